"""docs/coming-from.md: every public name of HIPS autograd has its place there, and both columns agree."""

import doctest
import importlib
import re

import autograd
import autograd.misc.fixed_points
import autograd.misc.flatten
import autograd.misc.optimizers
import autograd.numpy as anp
import autograd.test_util
import numpy as np
import pytest
from helpers import PAGE, resolve, rows, subjects, words
from numpy.testing import assert_allclose

import wengert as wg
from wengert.pytree import tree_leaves

SAME = {"numpy", "scipy", "extend"}  # modules whose names tests/test_hips.py compares
PARTS = {"core", "differential_operators", "tracer", "util", "wrap_util"}  # of its insides
MODULES = ("", "extend", "builtins", "misc.flatten", "misc.optimizers", "misc.fixed_points", "test_util")


def public(module):
    """The names that a module of autograd offers: what it defines, or takes from another to hand it on."""
    found = importlib.import_module(f"autograd.{module}".rstrip("."))
    if module in ("", "extend"):
        return {name for name in vars(found) if name[0] != "_"} - SAME - PARTS
    if module == "builtins":
        return {"dict", "isinstance", "list", "tuple", "type"}
    own = {
        n for n, f in vars(found).items() if getattr(f, "__module__", None) == found.__name__ and n[0] != "_"
    }
    return own & {"flatten", "flatten_func", "adam", "rmsprop", "sgd", "fixed_point", "check_grads"}


def test_every_name_of_hips_autograd_has_its_place():
    text = PAGE.read_text()
    section = text[text.index("## From HIPS autograd") : text.index("## From JAX")]
    told = words("HIPS autograd", "autograd") | set(re.findall(r"`(\w+)(?:\(f\))?`", section))
    for module in MODULES:
        assert not {name for name in public(module) if name not in told and not hasattr(wg, name)}, module


def test_every_name_that_it_is_led_to_exists():
    resolve("HIPS autograd", "autograd", "JAX", "jax", "PyTorch", "torch")


def descended():
    """The function that the page defines."""
    names = {}
    for example in doctest.DocTestParser().get_examples(PAGE.read_text().replace("\n```", "\n\n")):
        if "def descended" in example.source:
            exec(example.source, {"wg": wg}, names)
    return names["descended"]


THEIRS = {
    **vars(autograd),
    "misc": autograd.misc,
    "test_util": autograd.test_util,
    **subjects(anp, anp.array),
}
OURS = {**subjects(np, np.array), "wg": wg, "descended": descended()}


@pytest.mark.parametrize(("left", "right"), rows("autograd"), ids=lambda text: text.strip("`"))
def test_both_columns_compute_the_same(left, right):
    theirs, ours = eval(left.strip("`"), THEIRS), eval(right.strip("`"), OURS)
    for a, b in zip(tree_leaves(ours), tree_leaves(theirs), strict=True):
        assert_allclose(a, b, rtol=1e-8, atol=1e-10)

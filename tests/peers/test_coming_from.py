"""docs/coming-from.md of JAX and PyTorch: what has another name there computes the same."""

import functools
import operator

import jax
import jax.flatten_util
import jax.test_util
import numpy as np
import pytest
import torch
from helpers import PAGE, rows, subjects, words
from jax import numpy as jnp
from numpy.testing import assert_allclose

import wengert as wg
import wengert.random

jax.config.update("jax_enable_x64", True)

MORE = {"functools": functools, "operator": operator}
OURS = {**subjects(np, np.array), **MORE, "wg": wg}
JAX = {**subjects(jnp, jnp.array), **MORE, "jax": jax, "jnp": jnp}
TORCH = {**subjects(torch, lambda x: torch.tensor(x, dtype=torch.float64)), "torch": torch}

# ---- names --------------------------------------------------------------------------------------------

TRANSFORMS = (
    "checkpoint custom_jvp custom_vjp eval_shape grad hessian jacfwd jacobian jacrev jit jvp "
    "linear_transpose linearize pure_callback remat value_and_grad vjp vmap"
).split()
CONTROL = "scan cond while_loop fori_loop map switch associative_scan stop_gradient top_k".split()
TREES = "tree_flatten tree_leaves tree_map tree_reduce tree_unflatten register_pytree_node".split()


def functions(module):
    return {n for n, f in vars(module).items() if n[0] != "_" and callable(f) and not isinstance(f, type)}


def test_every_transform_of_jax_has_its_place():
    told = words("JAX", "jax")
    assert all(hasattr(jax, name) for name in TRANSFORMS)
    assert all(hasattr(jax.lax, name) for name in CONTROL)
    assert not {*TRANSFORMS, *CONTROL, *TREES} - told
    names = {*dir(wg.numpy), *told}
    rest = {n for n in functions(jax.nn) - names if "scaled" not in n and "attention" not in n}
    assert all(f"`{name}`" in PAGE.read_text() for name in rest), rest


def test_every_function_of_torch_has_its_place():
    told = words("PyTorch", "torch")
    autograd = {n for n in torch.autograd.__all__ if n.lower() not in ("variable", "nestediofunction")}
    assert not {*functions(torch.autograd.functional), *torch.func.__all__, *autograd} - told - {
        "functionalize", "debug_unwrap", "rearrange", "replace_all_batch_norm_modules_",
        "set_multithreading_enabled", "enforce_grad_layout_policy", "grad_mode",
    }  # fmt: skip


# ---- what they compute --------------------------------------------------------------------------------


def numbers(tree):
    leaves, _ = jax.tree_util.tree_flatten(tree)
    return [x.detach().numpy() if isinstance(x, torch.Tensor) else np.asarray(x) for x in leaves]


@pytest.mark.filterwarnings("ignore")  # PyTorch's own
@pytest.mark.parametrize(
    ("left", "right", "names"),
    [(*row, JAX) for row in rows("jax")] + [(*row, TORCH) for row in rows("torch")],
    ids=lambda x: x.strip("`") if isinstance(x, str) else "",
)
def test_both_columns_compute_the_same(left, right, names):
    theirs, ours = numbers(eval(left.strip("`"), names)), numbers(eval(right.strip("`"), OURS))
    for a, b in zip(ours, theirs, strict=True):
        assert_allclose(a, b, rtol=1e-8, atol=1e-10)

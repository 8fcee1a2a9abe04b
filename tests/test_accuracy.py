"""The pages that are measured or generated, and the claim that they make: two units in the last place."""

import importlib
from pathlib import Path

import numpy as np
import pytest
from oracle import names

import wengert as wg

ROOT = Path(__file__).resolve().parent.parent
ELEMENTWISE = names("UNARY", "BINARY", "ZERO")


@pytest.fixture(scope="module")
def accuracy():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        yield importlib.import_module("benchmarks.accuracy")


@pytest.fixture(scope="module")
def sets(accuracy):
    """A process for each instruction set that this machine has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WENGERT_ISA", "")  # restored at the end
        running = {isa: accuracy.InstructionSet(isa) for isa in wg.cpu_info()["supported"]}
    yield running
    for kernels in running.values():
        kernels.close()


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_a_function_is_good_to_two_units(accuracy, sets, monkeypatch, name):
    """Against mpmath, at some of the points of docs/accuracy.md, on every instruction set."""
    monkeypatch.setattr(accuracy, "RANDOM", 400)
    for dtype in accuracy.FLOATS:
        arrays = accuracy.points(name, dtype)
        high, low, known = accuracy.exact(name, arrays)
        assert known.sum() > 400
        for isa, kernels in sets.items():
            off = accuracy.ulps(kernels.ask(accuracy.values, name, arrays), high, low)[known]
            worst = np.argmax(off)
            assert off[worst] <= 2, (isa, dtype, [x[known][worst] for x in arrays])


def test_units_are_those_of_the_exact_result(accuracy):
    for dtype in accuracy.FLOATS:
        info = np.finfo(dtype)
        most, least, eps = float(info.max), float(info.smallest_subnormal), float(info.eps)
        for y, high, low, expected in (
            (1, 1 + eps, 0, 1),
            (1, 1, eps / 4, 0.25),
            (2, 2, -eps / 4, 0.25),  # a place below 2 is eps, from 2 on it is 2 eps
            (2, 2, eps / 4, 0.125),
            (np.inf, most, 0, 1),
            (-most, -np.inf, 0, 0.5),  # the last place of the first number beyond is twice as large
            (np.inf, np.inf, 0, 0),
            (0, least, 0, 1),
            (3 * least, least, 0, 2),
            (np.nan, 1, 0, np.inf),
        ):
            found = accuracy.ulps(np.array([y], dtype), np.array([high]), np.array([low]))
            assert found == expected, (dtype, y, high, low)


def test_every_page_knows_every_row():
    """docs/ops.md is what `make ops` writes, docs/accuracy.md has every function."""
    spec = importlib.util.spec_from_file_location("ops", ROOT / "docs" / "ops.py")
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    assert (ROOT / "docs" / "ops.md").read_text() == generator.page(), "run `make ops`"
    assert set(ELEMENTWISE) <= set(generator.measured()), "run `make accuracy`"

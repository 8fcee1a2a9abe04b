"""Ops on arrays against HIPS autograd: first and second derivatives of the cases in test_array_ops.

The functions are those that give their values in NumPy, run in autograd's namespace.
"""

import importlib

import numpy as np
import pytest
import test_array_ops
from oracle import derivative, run, weights
from test_array_ops import CASES, NUMPY, arrays, window

autograd = importlib.import_module("autograd")
anp = importlib.import_module("autograd.numpy")


def scattered(a, where, b, keep):
    """The elements of b at their places in an array like a, and where; of several the last, or the sum."""
    places = np.arange(a.size).reshape(a.shape)[where].ravel()
    matrix = np.zeros((a.size, places.size))
    for k, place in enumerate(places):
        matrix[place] *= keep
        matrix[place, k] = 1
    met = matrix.any(axis=1).reshape(a.shape)
    return anp.reshape(anp.dot(matrix, anp.reshape(b, -1)), a.shape), met


def with_set(a, where, b):
    values, met = scattered(a, where, b, keep=0)
    return anp.where(met, values, a)


def recurrence(attrs, a, b):
    axis, turned = attrs
    lines = [anp.moveaxis(x, axis, 0) for x in (a, b)]
    a, b = (x[::-1] if turned else x for x in lines)
    y = [b[0]] if b.shape[0] else []
    for k in range(1, b.shape[0]):
        y.append(b[k] + a[k - turned] * y[-1])
    return anp.moveaxis(anp.stack(y[::-1] if turned else y), 0, axis) if y else b * 1.0


# What those functions do in place, autograd cannot do, or would follow.
WRITTEN_OUT = {
    "broadcast": lambda attrs, a: a * np.ones(attrs),
    "slice_add": lambda attrs, a, b: a + scattered(a, window(attrs, a), b, 1)[0],
    "slice_set": lambda attrs, a, b: with_set(a, window(attrs, a) if attrs else (), b),
    "index_add": lambda attrs, a, i, b: a + scattered(a, i.astype("int64"), b, 1)[0],
    "index_set": lambda attrs, a, i, b: with_set(a, i.astype("int64"), b),
    "recurrence": recurrence,
    "stop_gradient": lambda attrs, a: anp.array(getattr(a, "_value", a)),
}
FLAT = {"argmax", "ravel_index", "cast"}  # integers, or bits that float32 drops
OF_COMPLEX = {"to_complex"}  # in test_complex.py


@pytest.mark.filterwarnings("ignore:Output seems independent of input")
@pytest.mark.parametrize("name", [name for name in NUMPY if name not in FLAT | OF_COMPLEX])
def test_derivatives_are_autograd_s(name, monkeypatch):
    monkeypatch.setattr(test_array_ops, "np", anp)  # the namespace of the functions in NUMPY
    function = WRITTEN_OUT.get(name, NUMPY[name])
    compared = 0
    for program, operands in CASES[name]:
        given = arrays(operands, "float64")
        if not hasattr(program, "attrs") or any(x.size == 0 for x in given):
            continue
        floats = [k for k, x in enumerate(given) if x.dtype.kind == "f"]

        def contracted(*xs, program=program, floats=floats):
            cubes = [x * (x * x) if k in floats else x for k, x in enumerate(xs)]
            y = function(program.attrs, *cubes)
            return anp.sum(weights(y.shape) * y)

        def gradients(*xs, f=contracted, floats=floats):
            return autograd.grad(f, floats)(*xs)

        def twice(*xs, gradients=gradients):
            return sum(anp.sum(weights(g.shape, 1) * g) for g in gradients(*xs))

        for order, theirs in (
            (("rev",), gradients),
            (("rev", "rev"), lambda *xs, f=twice: gradients(*xs, f=f)),
        ):
            ours = run(derivative(program, order), given, "eager")
            expected = theirs(*given)
            for k, g in enumerate(expected):
                y = ours[k] if k < len(ours) and ours[k] is not None else np.zeros(g.shape)
                # some tens of roundings of terms that are ten at most
                np.testing.assert_allclose(y, g, rtol=1e-12, atol=1e-12)
                compared += 1
    assert compared

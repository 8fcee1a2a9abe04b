"""The reference stands on its own feet: against the math module, central differences and HIPS autograd."""

import ast
import importlib
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import reference
import reference_arrays
import reference_functions
from oracle import OPS, Reference, names, run, weights


@pytest.mark.parametrize("module", [reference, reference_arrays, reference_functions])
def test_it_is_short_and_needs_only_the_standard_library(module):
    source = Path(module.__file__).read_text()
    assert len(source.splitlines()) <= 400
    nodes = list(ast.walk(ast.parse(source)))
    modules = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    modules |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in modules} <= {*sys.stdlib_module_names, "reference"}


def test_the_article():
    t = reference.Tape()
    x, y, one = t.leaf("float64", (), [0.5]), t.leaf("float64", (), [4.2]), t.number(1.0)
    z = x * y + reference_functions.sin(x)
    assert z.value.data == [2.579425538604203]
    dx, dy = reference.vjp([z], [one], [x, y])
    assert (dx.value.data, dy.value.data) == ([5.077582561890373], [0.5])
    assert reference.jvp([x], [one], [z])[0].value.data == [5.077582561890373]
    assert reference.vjp([dx], [one], [x])[0].value.data == [-math.sin(0.5)]
    assert reference.jvp([y], [one], [dx])[0].value.data == [1.0]


def central_difference(function, x, k, h=6e-6):
    """(f(x + h) - f(x - h)) / 2h, whose error is f''' h^2 / 6 + eps f / h: some 1e-10 at this h."""
    up, down = list(x), list(x)
    up[k], down[k] = x[k] + h, x[k] - h
    return (function(*up) - function(*down)) / (up[k] - down[k])


@pytest.mark.parametrize("name", names("UNARY", "BINARY"))
def test_partials_are_slopes(name):
    row, info = reference.OPS[name], OPS[name]
    params = (0.3,) * info.n_params
    for i in range(40):
        x = [
            info.lo + (info.hi - info.lo) * ((i + 0.37 * k + 0.5) % 40 + 0.01) / 41 for k in range(info.arity)
        ]
        y = row.function(*x, *params)
        for k in range(info.arity):
            if info.derivative[k] == "NAN":
                continue
            slope = row.derivatives[k].function(1.0, *x, y, *params)
            found = central_difference(lambda *x: row.function(*x, *params), x, k)
            assert found == pytest.approx(slope, rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("name", names("UNARY", "BINARY"))
def test_columns_are_those_of_the_table(name):
    """Two authors, one derivative: the column's text in ops.def and the lambda here give the same number."""
    row, info = reference.OPS[name], OPS[name]
    params = (0.3,) * info.n_params
    words = {"NAN": math.nan} | {
        word: op for word, op in reference.OPS.items() if isinstance(op, reference.Row)
    }
    for i in range(40):
        x = [
            info.lo + (info.hi - info.lo) * ((i + 0.37 * k + 0.5) % 40 + 0.01) / 41 for k in range(info.arity)
        ]
        y = row.function(*x, *params)
        for k in range(info.arity):
            letters = dict(zip("ab", x, strict=False), y=y, p=params)
            assert eval(info.derivative[k], words, letters) == pytest.approx(
                row.derivatives[k].function(1.0, *x, y, *params), rel=1e-14, abs=1e-15, nan_ok=True
            )


def test_hessian_of_a_small_net_is_autograd_s():
    anp = importlib.import_module("autograd.numpy")
    autograd = importlib.import_module("autograd")
    w, x = weights((3, 4)), weights((2, 3), 1.0)

    def loss(w):
        h = anp.tanh(anp.dot(x, w))
        return anp.sum(anp.log(anp.sum(anp.exp(h), axis=1)) * h[:, 0])

    def program(m, x, w):
        h = m.op("tanh", m.op("matmul", x, w))
        first = m.op("reshape", m.op("slice", h, attrs=(0, 1, 2, 0, 1, 1)), attrs=(2,))
        z = m.op("sum", m.op("mul", m.op("logsumexp", h, attrs=(2, 0)), first), attrs=(1, 0))
        (g,) = m.vjp([z], [m.array(np.array(1.0))], [w])
        columns = [m.jvp([w], [m.array(e.reshape(3, 4))], [g])[0] for e in np.eye(12)]
        rows = [m.vjp([g], [m.array(e.reshape(3, 4))], [w])[0] for e in np.eye(12)]
        return [z, g, *columns, *rows]

    z, g, *second = run(program, [x, w], "reference")
    np.testing.assert_allclose(z, loss(w), rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(g, autograd.grad(loss)(w), rtol=1e-13, atol=1e-14)
    hessian = autograd.hessian(loss)(w).reshape(12, 12)
    for side in (second[:12], second[12:]):
        np.testing.assert_allclose(np.array(side).reshape(12, 12), hessian, rtol=1e-12, atol=1e-13)


def test_a_call_is_what_it_calls():
    def body(m, a, b):
        return [m.op("sin", m.op("mul", a, b)), m.op("exp", a)]

    def derived(outputs_of):
        def program(m, a, b):
            outputs = outputs_of(m, a, b)
            seeds = [m.array(weights(y.shape)) for y in outputs]
            first = m.vjp(outputs, seeds, [a, b])
            return [*outputs, *first, *m.vjp(first, seeds, [a, b]), *m.jvp([a], [seeds[0]], first)]

        return program

    arrays = [weights((3,)), weights((3,), 1.0)]
    called = run(derived(lambda m, a, b: m.call(body, a, b)), arrays, "reference")
    inlined = run(derived(body), arrays, "reference")
    for x, y in zip(called, inlined, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-15)


def test_what_it_refuses():
    m = Reference()
    with pytest.raises(ValueError, match="broadcast"):
        m.op("add", m.array(np.ones(2)), m.array(np.ones(3)))
    with pytest.raises(IndexError, match="out of range"):
        m.op("gather", m.array(np.ones(2)), m.array(np.array([2])))
    with pytest.raises(ValueError, match="empty"):
        m.op("max", m.array(np.ones(0)), attrs=(1, 0))

"""Rules of one's own: every derivative of a custom function against that of the same function without one."""

import functools
import gc
import warnings
import weakref

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import wengert as wg
from wengert.extend import primitive

x, y = np.array([0.3, -0.4, 1.1]), np.array([1.0, 2.0, -0.5])
X = np.stack([x, 2 * x, y, x * y])


def plain(x, y):
    return {"a": np.sin(x) * y, "b": np.sum(x * y * y)}


@wg.custom_vjp
def by_vjp(x, y):
    return plain(x, y)


def forward(x, y):
    return by_vjp(x, y), (x, y)


def backward(residuals, g):
    x, y = residuals
    return g["a"] * np.cos(x) * y + g["b"] * y * y, g["a"] * np.sin(x) + 2 * g["b"] * x * y


by_vjp.defvjp(forward, backward)


@wg.custom_jvp
def by_jvp(x, y):
    return plain(x, y)


@by_jvp.defjvp
def rule(primals, tangents):
    (x, y), (s, t) = primals, tangents
    return by_jvp(x, y), {
        "a": np.cos(x) * y * s + np.sin(x) * t,
        "b": np.sum(s * y * y + 2 * x * y * t),
    }


def scalar(f):
    def g(x, y):
        out = f(x, y)
        return np.sum(out["a"] * x * np.tanh(y)) + out["b"] ** 2

    return g


TRANSFORMS = {
    "grad": lambda f: wg.grad(f, (0, 1)),
    "jvp": lambda f: lambda x, y: wg.jvp(f, (x, y), (y, x)),
    "rev-rev": lambda f: wg.jacrev(wg.jacrev(f, 1), 0),
    "fwd-rev": lambda f: wg.hessian(f, (0, 1)),
    "rev-fwd": lambda f: wg.jacrev(wg.jacfwd(f), 1),
    "fwd-fwd": lambda f: wg.jacfwd(wg.jacfwd(f)),
    "third": lambda f: wg.grad(lambda x, y: np.sum(wg.hessian(f)(x, y) ** 2), 1),
    "vmap": lambda f: lambda x, y: wg.vmap(f, in_axes=(0, None))(X, y),
    "vmap of grad": lambda f: lambda x, y: wg.vmap(wg.grad(f, 1), in_axes=(0, None))(X, y),
    "grad of vmap": lambda f: wg.grad(lambda x, y: np.sum(wg.vmap(f, (0, None))(X, y) * x[0] ** 2), (0, 1)),
    "hessian of vmap": lambda f: wg.hessian(lambda x, y: np.sum(wg.vmap(f, (None, 0))(x, X))),
    "vmap of vmap": lambda f: lambda x, y: wg.vmap(wg.vmap(wg.grad(f), (0, None)), (None, 0))(X, X),
}


@pytest.mark.parametrize("custom", [by_vjp, by_jvp], ids=["vjp", "jvp"])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_every_derivative_is_that_of_the_function_without_a_rule(name, custom):
    transform = TRANSFORMS[name]
    expected = wg.tree_map(np.asarray, transform(scalar(plain))(x, y))
    for g in (transform(scalar(custom)), wg.compile(transform(scalar(custom)))):
        # the same products in another order, of numbers up to 50
        wg.tree_map(lambda a, b: assert_allclose(a, b, rtol=1e-12, atol=1e-12), g(x, y), expected)


def test_without_a_tape_the_function_itself_runs():
    called = []

    @wg.custom_vjp
    def f(x):
        called.append(type(x))
        return x * 2

    f.defvjp(lambda x: (f(x), None), lambda r, g: (g,))
    assert f(3.0) == 6.0
    assert called == [float]
    assert wg.grad(f)(3.0) == 1.0  # the rule's answer, not the truth


@pytest.mark.parametrize("inside", [lambda f: f, wg.compile, wg.checkpoint])
def test_every_transform_follows_the_rule_and_not_the_function(inside):
    """A rule that says 7 x where the derivative is 2: who looks behind the call is found out."""

    @wg.custom_jvp
    def f(x):
        return 2 * x

    f.defjvp(lambda primals, tangents: (f(*primals), 7 * primals[0] * tangents[0]))
    g = inside(lambda x: f(x))
    for h in (lambda t: t, wg.compile):
        assert h(wg.grad(g))(3.0) == 21.0
        assert h(wg.jacfwd(g))(3.0) == 21.0
        assert h(wg.jacrev(lambda x: g(x) * np.ones(2)))(3.0).tolist() == [21.0, 21.0]
        assert h(wg.hessian(g))(3.0) == 7.0
        assert h(wg.laplacian(g))(3.0) == 7.0
        assert h(wg.hessian_diagonal(g))(3.0) == 7.0
        assert h(wg.vmap(wg.jacfwd(g)))(x).tolist() == [7 * v for v in x]
        assert h(wg.grad(lambda c: wg.scan(lambda c, _: (g(c), None), c, length=2)[0]))(3.0) == 7 * 6 * 7 * 3


def test_arguments_that_are_not_differentiated():
    @functools.partial(wg.custom_vjp, nondiff_argnums=(0, 2))
    def apply(f, x, power):
        return f(x) ** power

    apply.defvjp(
        lambda f, x, power: (apply(f, x, power), x),
        lambda f, power, x, g: (g * power * f(x) ** (power - 1) * wg.grad(f)(x),),
    )
    assert_allclose(wg.grad(lambda x: apply(np.sin, x, 3))(0.7), 3 * np.sin(0.7) ** 2 * np.cos(0.7))

    @wg.custom_jvp(nondiff_argnums=1)
    def scaled(x, k):
        return x * k

    scaled.defjvp(lambda k, primals, tangents: (scaled(primals[0], k), 7 * k * tangents[0]))
    assert wg.grad(lambda x: scaled(x, 2))(1.0) == 14.0

    last = wg.custom_vjp(lambda x, k: x * k, nondiff_argnums=-1)
    last.defvjp(lambda x, k: (last(x, k), None), lambda k, _, g: (5 * k * g,))
    assert wg.grad(last)(1.0, 3) == 15.0
    assert wg.grad(lambda x: last(k=3, x=x))(1.0) == 15.0  # by name
    with pytest.raises(ValueError, match="as one of nondiff_argnums"):
        wg.grad(last, 1)(1.0, 3.0)
    with pytest.raises(TypeError, match=r"nondiff_argnums: .* names argument 5"):
        _fixed_at(5)(1.0)


def _fixed_at(number):
    f = wg.custom_vjp(lambda x: x, nondiff_argnums=number)
    f.defvjp(lambda x: (x, None), lambda *_: ())
    return f


def test_a_rule_may_capture_what_the_function_captures():
    table = np.array([1.0, 3.0, 2.0])

    @wg.custom_vjp
    def f(x):
        return np.sum(x * table)

    f.defvjp(lambda x: (f(x), None), lambda r, g: (g * wg.numpy.multiply(table, 10),))
    assert_array_equal(wg.grad(f)(x), 10 * table)
    g = wg.compile(wg.grad(f))
    assert_array_equal(g(x), 10 * table)
    table[0] = 5
    assert_array_equal(g(x), 10 * table)


def test_none_is_a_cotangent_of_zero():
    @wg.custom_vjp
    def f(x, tree):
        return np.sum(x) * tree["w"]

    f.defvjp(lambda x, tree: (f(x, tree), None), lambda r, g: (None, {"w": g * 2}))
    gx, gt = wg.grad(f, (0, 1))(x, {"w": 3.0})
    assert_array_equal(gx, 0 * x)
    assert gt == {"w": 2.0}


def make(backward):
    @wg.custom_vjp
    def f(x):
        return np.sin(x)

    f.defvjp(lambda x: (f(x), x), backward)
    return f


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: wg.grad(make(lambda x, g: (np.ones(2) * g,)))(1.0), ValueError, r"\(2,\), expected \(\)"),
        (lambda: wg.grad(make(lambda x, g: (g, g)))(1.0), ValueError, "the rule returned"),
        (lambda: wg.grad(make(lambda x, g: 1 / 0))(1.0), ZeroDivisionError, "division by zero"),
        (lambda: wg.grad(make(lambda x, g: (g if x > 0 else -g,)))(1.0), TypeError, "np.where"),
        (lambda: wg.grad(make(lambda x, g: (g * wg.numpy.sum(X),)))(1.0), ValueError, "pass it as an arg"),
        (lambda: wg.grad(wg.custom_vjp(np.sin))(1.0), TypeError, "sin has no rule yet"),
        (
            lambda: wg.grad(lambda a: _capturing(a)(1.0))(2.0),
            ValueError,
            "uses a Var from outside",
        ),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_captured_var_passes_through_the_rule():
    """d/dx of f is g a by the rule, and that is an ordinary function of a."""
    assert wg.grad(lambda a: wg.grad(_capturing(a))(1.0) ** 2)(2.0) == 4.0


def _capturing(a):
    @wg.custom_vjp
    def f(x):
        return x * a

    f.defvjp(lambda x: (f(x), None), lambda r, g: (g * a,))
    return f


def airy(x):
    from scipy.special import airy

    return airy(x)[0]


def airy_slope(x):
    from scipy.special import airy

    return airy(x)[1]


def test_a_host_call_with_a_rule_in_every_derivative():
    """Airy's function: y'' = x y, so the rules of y and y' lead to one another."""
    slope = wg.host_call(airy_slope, lambda s: s, vjp=lambda g, _, x: (g * x * value(x),))
    value = wg.host_call(airy, lambda s: s, vjp=lambda g, _, x: (g * slope(x),))
    assert_allclose(value(x), airy(x))
    for h in (lambda t: t, wg.compile):
        assert_allclose(h(value)(x), airy(x))
        assert_allclose(h(wg.elementwise_grad(value))(x), airy_slope(x))
        assert_allclose(h(lambda x: wg.jvp(value, (x,), (y,))[1])(x), airy_slope(x) * y)
        assert_allclose(h(wg.hessian(value))(0.3), 0.3 * airy(0.3))
        assert_allclose(h(wg.jacfwd(wg.jacfwd(value)))(0.3), 0.3 * airy(0.3))
        third = airy(0.3) + 0.3 * airy_slope(0.3)
        assert_allclose(h(wg.grad(wg.hessian(value)))(0.3), third)
        assert_allclose(h(lambda v: wg.jet(value, (v,), ((1.0, None, None),))[1][2])(0.3), third)
        with warnings.catch_warnings():  # said once in a process
            warnings.simplefilter("ignore")
            assert_allclose(h(wg.vmap(wg.grad(value)))(x), airy_slope(x))
            assert_allclose(h(wg.vmap(wg.hessian(value)))(x), x * airy(x))


def test_a_program_calls_out_once_for_the_same_operands():
    calls = []
    f = wg.host_call(lambda x: calls.append(1) or np.sin(x), (2,), vjp=lambda g, _, x: (g * np.cos(x),))

    @wg.compile
    def g(x):
        f(3 * x)  # which nothing reads
        return f(x) * f(x) + f(2 * x)

    x = np.array([0.5, 1.0])
    g(x)
    calls.clear()
    assert np.array_equal(g(x), np.sin(x) * np.sin(x) + np.sin(2 * x))
    assert len(calls) == 2


def test_a_host_call_is_called_at_each_replay_and_keeps_its_word():
    calls = []
    f = wg.compile(wg.host_call(lambda a, b: calls.append(1) or np.outer(a, b), (3, 2), "float32"))
    assert f(x, np.ones(2)).dtype == np.float32
    f(x, np.ones(2))
    assert len(calls) == 2
    with pytest.raises(ValueError, match="not \\(2,\\) as declared"):
        wg.compile(wg.host_call(np.sin, (2,)))(x)
    with pytest.raises(TypeError, match="host_call: sin has no derivative; pass its rule as vjp="):
        wg.grad(wg.host_call(np.sin, ()))(1.0)
    with pytest.raises(TypeError, match="host_call: sin has no derivative"):
        wg.jvp(wg.host_call(np.sin, ()), (1.0,), (1.0,))
    assert wg.grad(lambda v: v * wg.host_call(np.sin, ())(wg.stop_gradient(v)))(1.0) == np.sin(1.0)


def test_recordings_of_custom_functions_are_freed():
    @wg.custom_vjp
    def f(x):
        return np.sin(x) * wg.numpy.sum(y)

    f.defvjp(lambda x: (f(x), x), lambda x, g: (g * np.cos(x) * wg.numpy.sum(y),))
    g = wg.compile(wg.grad(lambda x: np.sum(f(x) * wg.vmap(f)(x)[0])))
    g(x)
    refs = [weakref.ref(trace.tape) for trace in g._traces.values()]
    assert refs
    gc.disable()
    try:
        del g
        assert all(ref() is None for ref in refs)
    finally:
        gc.enable()


def test_a_forward_rule_that_returns_no_pair_is_named():
    f = wg.custom_vjp(lambda x: x * x)
    f.defvjp(lambda x: x * x, lambda x, g: (2 * x * g,))
    with pytest.raises(TypeError, match=r"forward must return a pair \(result, residuals\)"):
        wg.grad(f)(3.0)
    g = wg.custom_jvp(lambda x: x * x)
    g.defjvp(lambda primals, tangents: 2 * primals[0] * tangents[0])
    with pytest.raises(TypeError, match=r"the rule must return a pair \(result, tangent\)"):
        wg.grad(g)(3.0)


@pytest.mark.parametrize("wrap", [lambda f: wg.host_call(f, (3,)), primitive])
def test_a_function_may_keep_and_change_what_it_is_given(wrap):
    kept = []

    def spoil(x):
        kept.append(x)
        x *= 2.0
        return x

    spoils = wrap(spoil)
    f = wg.compile(lambda x: (spoils(x + 0.0), x * 1.0))
    for k in (1.0, 2.0):
        x = np.full(3, k)
        doubled, same = f(x)
        assert_array_equal([doubled, same, x], [[2 * k] * 3, [k] * 3, [k] * 3])
    assert_array_equal(kept[-2:], [[2.0] * 3, [4.0] * 3])


def test_a_rule_that_asks_for_its_own_result_reads_it():
    calls = []
    f = wg.host_call(lambda x: calls.append(1) or np.exp(x), (2,), vjp=lambda g, y, x: (g * y,))
    x, v = np.array([0.5, 1.0]), np.array([1.0, -2.0])
    for transform, expected in (
        (wg.grad(lambda x: np.sum(f(x) ** 2)), 2 * np.exp(2 * x)),
        (lambda x: wg.jvp(f, (x,), (v,))[1], v * np.exp(x)),
        (lambda x: wg.hvp(lambda x: np.sum(f(x) ** 2), x, v), 4 * v * np.exp(2 * x)),
        (wg.grad(lambda x: np.sum(wg.grad(lambda x: np.sum(f(x)))(x))), np.exp(x)),
    ):
        for h in (transform, wg.compile(transform)):
            calls.clear()
            assert_allclose(h(x), expected, rtol=1e-13)
            assert len(calls) == 1
    stacked = wg.vmap(wg.grad(lambda x: np.sum(f(x))))
    assert_allclose(stacked(np.stack([x, v])), np.exp([x, v]), rtol=1e-13)


def test_a_rule_that_changes_what_it_asks_for_changes_a_copy():
    @wg.custom_vjp
    def f(x):
        return np.exp(x) * 1.0

    def forward(x):
        y = f(x)
        z = y * 1.0
        y *= 0.0
        other = f(x)
        x *= 0.5  # from here on it is another argument
        return y, (z, other, f(x))

    f.defvjp(forward, lambda r, g: (g * (r[0] + 10 * r[1] + 100 * r[2]),))
    x = np.array([0.5, 1.0])
    expected = 11 * np.exp(x) + 100 * np.exp(x / 2)
    assert_allclose(wg.grad(lambda x: np.sum(f(x)))(x), expected, rtol=1e-13)
    assert_allclose(wg.compile(wg.grad(lambda x: np.sum(f(x))))(x), expected, rtol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "complex128", "bool"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 1, 3)])
def test_a_host_call_sees_every_array_where_it_is(shape, dtype):
    """At places that are used again by arrays of other shapes, dtypes and values."""
    function = wg.compile(wg.host_call(lambda a, b: np.concatenate([a.ravel(), b.ravel()]), (4,), dtype))
    size = int(np.prod(shape))
    f = wg.compile(wg.host_call(lambda a, b: np.stack([a, b]), (2, *shape), dtype))
    for k in range(3):
        a, b = (np.arange(j, size + j).reshape(shape).astype(dtype) for j in (k, 2 * k))
        assert_array_equal(f(a, b), np.stack([a, b]))
        c, d = np.full((1, 2), k, dtype), np.full(2, k + 1, dtype)
        assert_array_equal(function(c, d), np.concatenate([c.ravel(), d]))

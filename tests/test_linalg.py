"""numpy.linalg on Vars: NumPy's values, derivatives against differences and against HIPS autograd."""

from concurrent.futures import ThreadPoolExecutor

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import wengert as wg
import wengert.numpy as wnp
import wengert.scipy as wscipy
import wengert.scipy.linalg
from wengert import hosted
from wengert.hosted import decompositions, solutions
from wengert.hosted.decompositions import pull, push, through_cholesky
from wengert.hosted.solutions import LOWER, UPPER
from wengert.transforms import custom

RNG = np.random.default_rng(5)
A = RNG.normal(size=(4, 4)) + 3 * np.eye(4)
B = RNG.normal(size=(4, 3))
DISTINCT = np.diag([1.0, 2.0, 3.5, 5.0])
LARGER = np.diag(np.arange(1.0, 10.0))  # than what the core decomposes itself
TURNS = np.array([[0.2, 2.0, 0.3], [-1.5, 0.4, -0.2], [0.5, 0.1, -1.2]])  # a pair of complex eigenvalues
STACK = RNG.normal(size=(2, 3, 3)) + 2 * np.eye(3)


def positive(np, a):
    return np.matmul(a, np.swapaxes(a, -1, -2)) + np.eye(a.shape[-1])


def symmetric(np, a):
    return a + np.swapaxes(a, -1, -2)


# name -> function of (np, arrays), arrays; compared with HIPS where the name does not end in "*"
CASES = {
    "inv": (lambda np, a: np.linalg.inv(a), (A,)),
    "inv stack": (lambda np, a: np.linalg.inv(a), (STACK,)),
    "solve": (lambda np, a, b: np.linalg.solve(a, b), (A, B)),
    "solve vector": (lambda np, a, b: np.linalg.solve(a, b), (A, B[:, 0])),
    "solve stack *": (lambda np, a, b: np.linalg.solve(a, b), (STACK, B[:3])),
    "pinv": (lambda np, a: np.linalg.pinv(a), (B,)),
    "det": (lambda np, a: np.linalg.det(a), (A,)),
    "det stack": (lambda np, a: np.linalg.det(a), (STACK,)),
    "slogdet": (lambda np, a: np.linalg.slogdet(a)[1], (STACK,)),
    "cholesky": (lambda np, a: np.linalg.cholesky(positive(np, a)), (A,)),
    "cholesky upper *": (lambda np, a: np.linalg.cholesky(positive(np, a), upper=True), (STACK,)),
    "qr complete *": (lambda np, a: np.linalg.qr(a, "complete")[0] @ np.diag([1.0, 2, 3, 0]) @ a, (B,)),
    "qr complete r *": (
        lambda np, a: np.linalg.qr(a, "complete")[1] @ np.linalg.qr(a.T, "complete")[1], (B,),
    ),
    "qr *": (lambda np, a: np.linalg.qr(a)[0] @ np.linalg.qr(a)[1].T, (B,)),
    "qr wide *": (lambda np, a: np.linalg.qr(a, "r"), (B.T,)),
    "eigh": (lambda np, a: np.linalg.eigh(symmetric(np, a))[1] ** 2, (A,)),
    "eigh values": (lambda np, a: np.linalg.eigh(symmetric(np, a))[0], (STACK,)),
    "eigvals *": (lambda np, a: np.linalg.eigvals(symmetric(np, a)) ** 2, (A,)),
    "eigvals complex *": (lambda np, a: abs(np.linalg.eigvals(a)) ** 2, (TURNS,)),
    "eigvals stack *": (lambda np, a: np.real(np.prod(np.linalg.eigvals(a), -1)), (STACK,)),
    "eig": (lambda np, a: np.linalg.eig(positive(np, a) @ DISTINCT)[1] ** 2, (A,)),
    "eig complex": (lambda np, a: abs(np.linalg.eig(a)[1]) ** 2, (TURNS,)),
    "eigvalsh *": (lambda np, a: np.linalg.eigvalsh(symmetric(np, a), "U"), (A,)),
    "svd": (lambda np, a: np.linalg.svd(a, full_matrices=False)[0] ** 2, (B,)),
    "svd wide": (lambda np, a: np.linalg.svd(a, full_matrices=False)[2] ** 2, (B.T,)),
    "svd values": (lambda np, a: np.linalg.svd(a, compute_uv=False), (STACK,)),
    "svd full *": (lambda np, a: np.linalg.svd(a)[0][:, 3:] @ np.linalg.svd(a)[0][:, 3:].T, (B,)),
    "svd full wide *": (lambda np, a: np.linalg.svd(a)[2][3:].T @ np.linalg.svd(a)[2][3:], (B.T,)),
    "svd full square *": (lambda np, a: np.linalg.svd(a)[0] * np.linalg.svd(a)[2], (A,)),
    "svdvals *": (lambda np, a: np.linalg.svdvals(a), (B,)),
    "lstsq *": (lambda np, a, b: np.linalg.lstsq(a, b)[0], (B[:, :2], A)),
    "lstsq residuals *": (lambda np, a, b: np.linalg.lstsq(a, b)[1], (B[:, :2], A[0])),
    "matrix_power *": (lambda np, a: np.linalg.matrix_power(a, 3), (STACK,)),
    "matrix_power -2 *": (lambda np, a: np.linalg.matrix_power(a, -2), (A,)),
    "matrix_power 0 *": (lambda np, a: np.linalg.matrix_power(a, 0), (A,)),
    "norm": (lambda np, a: np.linalg.norm(a), (A,)),
    "norm nuc": (lambda np, a: np.linalg.norm(a, "nuc"), (A,)),
    "norm axis": (lambda np, a: np.linalg.norm(a, 3, axis=1), (A,)),
    "vector_norm *": (lambda np, a: np.linalg.vector_norm(a, axis=0, ord=1, keepdims=True), (A,)),
    "matrix_norm *": (lambda np, a: np.linalg.matrix_norm(a, ord=2), (STACK,)),
    "cond *": (lambda np, a: np.linalg.cond(a) + np.linalg.cond(a, 1), (A,)),
    "tensorsolve *": (lambda np, a, b: np.linalg.tensorsolve(a.reshape(2, 2, 4), b), (A, A[:2, :2])),
    "tensorinv *": (lambda np, a: np.linalg.tensorinv(a.reshape(4, 2, 2), ind=1), (A,)),
    "outer *": (lambda np, a: np.linalg.outer(a[0], a[1]) @ np.linalg.matmul(a, a), (A,)),
}  # fmt: skip
for _order in (1, -1, 2, -2, np.inf, -np.inf, "fro"):
    CASES[f"norm {_order} *"] = (lambda np, a, o=_order: np.linalg.norm(a, o, keepdims=True), (A,))
for _order in (0, 1, 2, 3, np.inf, -np.inf):
    CASES[f"vector norm {_order} *"] = (lambda np, a, o=_order: np.linalg.norm(a[:, 0], o), (A,))


@pytest.mark.parametrize("name", CASES)
def test_values_and_derivatives(name, tape):
    f, args = CASES[name]
    expected = f(np, *args)
    found = f(np, *map(tape.leaf, args))
    assert found.shape == np.shape(expected)
    assert_allclose(found.value, expected, rtol=1e-11, atol=1e-12)
    assert_allclose(f(wnp, *map(tape.leaf, args)).value, expected, rtol=1e-11, atol=1e-12)
    assert_allclose(f(wnp, *args), expected, rtol=1e-12)
    compiled = wg.compile(lambda *args: f(np, *args))
    assert_allclose(compiled(*args), expected, rtol=1e-11, atol=1e-12)
    wg.testing.check_grads(lambda *args: f(np, *args), args, order=2, scale=10)
    gradient = wg.jacobian(lambda *args: f(np, *args), argnums=tuple(range(len(args))))
    for eager, replayed in zip(gradient(*args), wg.compile(gradient)(*args), strict=True):
        assert_allclose(replayed, eager, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", [name for name in CASES if not name.endswith("*")])
def test_gradients_are_hips_autograds(name):
    f, args = CASES[name]
    argnums = tuple(range(len(args)))
    theirs = autograd.grad(lambda *args: anp.sum(f(anp, *args) ** 2), argnums)(*args)
    ours = wg.grad(lambda *args: np.sum(f(np, *args) ** 2), argnums)(*args)
    for mine, other in zip(ours, theirs, strict=True):
        assert_allclose(mine, other, rtol=1e-9, atol=1e-10)


# ---- complex matrices -----------------------------------------------------------------------------------

CA = A + 1j * RNG.normal(size=(4, 4))
CB = B + 1j * RNG.normal(size=(4, 3))
CSTACK = STACK + 1j * RNG.normal(size=(2, 3, 3))


def adjoint(np, a):
    return np.conj(np.swapaxes(a, -1, -2))


def hermitian(np, a):
    return a + adjoint(np, a)


def definite(np, a):
    return np.matmul(a, adjoint(np, a)) + np.eye(a.shape[-1])


def projector(np, v):
    """Onto the first column, whatever its factor."""
    return v[..., :, :1] @ adjoint(np, v[..., :, :1])


# Vectors are determined up to a factor: only what is the same for all factors is compared.  HIPS autograd's
# pinv and cholesky transpose where complex matrices need the conjugate too.
COMPLEX = {
    "inv": (lambda np, a: np.linalg.inv(a), CSTACK),
    "solve": (lambda np, a: np.linalg.solve(a, CB), CA),
    "solve real": (lambda np, a: np.linalg.solve(A, a), CB),
    "det": (lambda np, a: np.linalg.det(a), CSTACK),
    "slogdet": (lambda np, a: np.linalg.slogdet(a)[1], CSTACK),
    "slogdet sign *": (lambda np, a: np.linalg.slogdet(a)[0], CSTACK),
    "pinv *": (lambda np, a: np.linalg.pinv(a), CB),
    "cholesky *": (lambda np, a: np.linalg.cholesky(definite(np, a)), CA),
    "qr *": (lambda np, a: np.linalg.qr(a)[0] @ DISTINCT[:3, :3] + a @ np.linalg.qr(a)[1], CB),
    "qr complete *": (lambda np, a: np.linalg.qr(a, "complete")[0][:, :3], CB),
    "qr wide *": (lambda np, a: np.linalg.qr(a)[1], CB.T),
    "eigh": (lambda np, a: np.linalg.eigh(hermitian(np, a))[0], CSTACK),
    "eigh vectors": (lambda np, a: projector(np, np.linalg.eigh(hermitian(np, a))[1]), CSTACK),
    "eig": (lambda np, a: np.linalg.eig(a)[0], CA),
    "eig vectors": (lambda np, a: projector(np, np.linalg.eig(a)[1]), CA),
    "svd": (lambda np, a: np.linalg.svd(a, full_matrices=False)[1], CB),
    "svd vectors": (
        lambda np, a: projector(np, adjoint(np, np.linalg.svd(a, full_matrices=False)[2])), CB.T,
    ),
    "svd full *": (lambda np, a: np.linalg.svd(a)[0][:, 3:] @ adjoint(np, np.linalg.svd(a)[0][:, 3:]), CB),
    "lstsq *": (lambda np, a: np.linalg.lstsq(a, CA)[0], CB),
    "matrix_power *": (lambda np, a: np.linalg.matrix_power(a, -3), CSTACK),
    "norm": (lambda np, a: np.linalg.norm(a), CA),
    "norm axis *": (lambda np, a: np.linalg.norm(a, 1, axis=1) + np.linalg.norm(a, np.inf), CA),
    "norm nuc": (lambda np, a: np.linalg.norm(a, "nuc"), CA),
    "cond *": (lambda np, a: np.linalg.cond(a), CA),
    "tensorsolve *": (lambda np, a: np.linalg.tensorsolve(a.reshape(2, 2, 4), CA[:2, :2]), CA),
}  # fmt: skip


@pytest.mark.parametrize("name", COMPLEX)
def test_complex_values_and_derivatives(name, tape):
    f, z = COMPLEX[name]
    expected = f(np, z)
    for found in (f(np, tape.leaf(z)).value, wg.compile(lambda z: f(np, z))(z)):
        assert found.dtype == expected.dtype
        assert_allclose(found, expected, rtol=1e-10, atol=1e-11)
    narrow = z.astype("c8")
    assert f(np, tape.leaf(narrow)).dtype == f(np, narrow).dtype

    def parts(x, y):  # the real and imaginary part as functions of those of the argument
        w = f(np, x + 1j * y)
        return np.real(w), np.imag(w)

    wg.testing.check_grads(parts, (z.real.copy(), z.imag.copy()), order=2, scale=10)


@pytest.mark.parametrize("name", [name for name in COMPLEX if not name.endswith("*")])
def test_complex_gradients_are_hips_autograds(name):
    f, z = COMPLEX[name]
    g = 1.0 + np.cos(np.arange(f(np, z).size)).reshape(np.shape(f(np, z))) * (1 - 0.5j)
    theirs = autograd.grad(lambda z: anp.sum(anp.real(g * f(anp, z))))(z)
    ours = wg.grad(lambda z: np.sum(np.real(g * f(np, z))))(z)
    assert_allclose(ours, theirs, rtol=1e-8, atol=1e-9)


def test_a_complex_result_is_not_cut_to_its_real_part():
    with pytest.raises(TypeError, match="complex"):
        wg.grad(lambda a: np.sum(wengert.scipy.linalg.logm(a)))(-np.diag([1.0, 2.0]))


@pytest.mark.parametrize(
    ("f", "calls"),
    [
        (lambda a: np.sum(np.linalg.inv(a)), 1),
        (lambda a: np.sum(np.linalg.eigvalsh(a)), 1),
        (lambda a: np.sum(np.linalg.svd(a)[1]), 1),
        (lambda a: np.linalg.slogdet(a)[1], 2),  # and a solution
        (lambda a: np.sum(np.linalg.cholesky(a)), 2),  # and the transposed of its derivative
        (lambda a: np.sum(np.linalg.solve(a, a[0])), 2),  # and one of the transposed
        (lambda a: np.sum(np.linalg.qr(a)[1]), 2),
    ],
)
def test_a_gradient_decomposes_once(f, calls, monkeypatch):
    gradient = wg.compile(wg.value_and_grad(f))
    assert gradient.program(LARGER).explain().count("host:") == calls
    called = []
    kept = hosted._CALLED.items()
    counted = {at: lambda *x, of=f, **out: called.append(of) or of(*x, **out) for at, f in kept}
    monkeypatch.setattr(hosted, "_CALLED", counted)
    monkeypatch.setattr(hosted, "FILLING", {counted.get(id(f)) for f in hosted.FILLING})
    eager = wg.grad(f)(LARGER)
    assert len(called) == calls
    assert_allclose(gradient(LARGER)[1], eager, rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
@pytest.mark.parametrize("n", [1, 2, 32, 33, 65, 130])
def test_triangular_systems_are_solved_by_blocks(n, dtype):
    """Substitution has |a x - b| <= n eps |a| |x| (Higham 2002, theorem 8.5); complex products, and
    inverses of blocks, whose condition is below 8 here, may cost 8 times as much each."""
    rng = np.random.default_rng(n)
    a, b = rng.standard_normal((3, n, n)), rng.standard_normal((3, n, 7))
    if dtype == np.complex128:
        a, b = a + 1j * rng.standard_normal((3, n, n)), b * 1j
    a = np.tril(a / np.sqrt(n) / 2 + 2 * np.eye(n)).astype(dtype)
    b = b.astype(dtype)
    for solve, t in ((LOWER, a), (UPPER, np.swapaxes(a, -1, -2))):
        solve(t, b, out=(x := np.full_like(b, np.nan)))
        assert np.all(np.abs(t @ x - b) <= 8 * 8 * n * np.finfo(dtype).eps * (np.abs(t) @ np.abs(x)))


def factored(n, dtype=float, stack=()):
    """A positive definite matrix and its factor, whose condition is that of the square root."""
    rng = np.random.default_rng(n)
    a = rng.standard_normal((*stack, n, n)) / np.sqrt(max(n, 1))
    a = a + 1j * rng.standard_normal((*stack, n, n)) / np.sqrt(max(n, 1)) if dtype == np.complex128 else a
    return np.linalg.cholesky(definite(np, a).astype(dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
@pytest.mark.parametrize("n", [0, 1, 2, 7, 8, 9, 31, 32, 33, 65, 130])
def test_the_derivative_of_cholesky_and_its_transposed(n, dtype):
    """By definition, and as transposes.

    Each element is a sum of at most 2 n products, solved for: 2 n eps of what is added up, 8 times as much
    for a block's inverse, whose condition is below 8 here; of complex products twice as much.
    """
    rng, factor = np.random.default_rng(n), factored(n, dtype, (3,))
    e, g = rng.standard_normal((2, 3, n, n)).astype(dtype)
    if dtype == np.complex128:
        e, g = e * (1 + 0.5j), g - 1j * np.swapaxes(g, -1, -2)
    unread = np.tril(g) + np.triu(np.full_like(g, np.nan), 1)
    x = wg.compile(through_cholesky, static_argnums=2)(factor, e, push)
    w = wg.compile(through_cholesky, static_argnums=2)(factor, unread, pull)
    bound = 2 * 8 * 2 * 2 * n * np.finfo(dtype).eps
    assert_array_equal(x, np.tril(x))
    assert_array_equal(w, adjoint(np, w))
    change, size = x @ adjoint(np, factor), abs(x) @ abs(adjoint(np, factor))
    assert np.all(abs(hermitian(np, change) - hermitian(np, e) / 2) <= bound * hermitian(np, size))
    rest = 2 * w @ factor - g
    rest = np.tril(rest, -1) + np.eye(n) * rest.real  # a factor's diagonal is real
    assert np.all(abs(rest) <= bound * 2 * (abs(w) @ abs(factor)))
    assert_allclose(
        np.vdot(g, x).real, np.vdot(w, e).real, rtol=0, atol=bound * (1 + np.vdot(abs(w), abs(e)))
    )


@pytest.mark.parametrize("n", [0, 1, 5, 31, 32, 33, 70])
def test_derivatives_of_a_log_determinant_by_cholesky(n):
    """The inverse, and what it becomes; v is symmetric."""
    factor = factored(n)
    k, v = factor @ factor.T, hermitian(np, np.random.default_rng(n).standard_normal((n, n)))
    gradient = wg.grad(lambda k: 2 * np.sum(np.log(np.diagonal(np.linalg.cholesky(k)))))
    inverse, close = np.linalg.inv(k), {"rtol": 1e-11, "atol": 1e-12 * (1 + n)}
    second, third = -inverse @ v @ inverse, 2 * inverse @ v @ inverse @ v @ inverse
    assert_allclose(gradient(k), inverse, **close)
    along = lambda f: lambda k: wg.jvp(f, (k,), (v,))[1]
    assert_allclose(along(gradient)(k), second, **close)
    assert_allclose(wg.vjp(gradient, k)[1](v)[0], second, **close)
    assert_allclose(along(along(gradient))(k), third, **close)
    for f in (gradient, along(gradient), along(along(gradient))):
        assert_allclose(wg.compile(f)(k), f(k), rtol=1e-13, atol=1e-14)
    stack = np.stack([k, 2 * k + np.eye(n)])
    for f in (gradient, along(gradient)):
        assert_allclose(wg.vmap(f)(stack), [f(x) for x in stack], rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("dtype", [float, np.complex128])
@pytest.mark.parametrize("n", [3, 31, 32, 33])
def test_derivatives_of_cholesky_agree_with_differences(n, dtype):
    a, turned = factored(n, float, (2,)), factored(n, dtype, (2,))  # complex in one case

    def f(a):
        factor = np.linalg.cholesky(definite(np, a + turned))
        return np.real(factor) + np.imag(factor) * 0.5

    wg.testing.check_grads(f, (a,), order=2, scale=10)


def test_a_failure_raises_numpys_error_and_leaves_the_tape(tape):
    v = tape.leaf(np.zeros((2, 2)))
    length = len(tape)
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        np.linalg.inv(v)
    assert len(tape) == length
    tape.verify()
    compiled = wg.compile(np.linalg.inv)
    assert_allclose(compiled(2 * np.eye(2)), np.eye(2) / 2)
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        compiled(np.zeros((2, 2)))
    assert_allclose(compiled(np.eye(2)), np.eye(2))


def test_cholesky_reads_the_triangle_that_numpy_reads(tape):
    upper, lower = np.triu(positive(np, A)), np.tril(positive(np, A))
    assert_allclose(
        np.linalg.cholesky(tape.leaf(upper), upper=True).value, np.linalg.cholesky(upper, upper=True)
    )
    assert_allclose(np.linalg.cholesky(tape.leaf(lower)).value, np.linalg.cholesky(lower))


def test_norms_at_zero_have_derivative_zero():
    assert_allclose(wg.grad(np.linalg.norm)(np.zeros(3)), 0)
    assert_allclose(wg.hessian(np.linalg.norm)(np.array([0.0, 2.0])), [[0.5, 0], [0, 0]])


def test_what_is_not_supported_is_named(tape):
    v = tape.leaf(B)
    with pytest.raises(TypeError, match="mode='raw'"):
        np.linalg.qr(v, "raw")
    with pytest.raises(np.linalg.LinAlgError, match="square"):
        np.linalg.det(v)


def test_vmap_of_a_solution():
    solved = wg.vmap(np.linalg.solve, in_axes=(None, 1), out_axes=1)(A, B)
    assert_allclose(solved, np.linalg.solve(A, B), rtol=1e-12)


# ---- recordings of library functions are kept ---------------------------------------------------------


KEPT = {
    "inv": (np.linalg.inv, solutions._inv.kept),
    "eigvalsh": (lambda a: np.linalg.eigvalsh(a + a.T), decompositions._eigh.kept),
}


@pytest.mark.parametrize("name", KEPT)
def test_a_recording_serves_all_calls_of_a_kind(name):
    """In both modes, of both dtypes, of other values; what is recorded by one call is not by the next."""
    f, kept = KEPT[name]
    kept.clear()
    matrices = [np.diag([2.0, 3.0, 5.0]) + 0.1 * k * (A[:3, :3] + A[:3, :3].T) for k in range(3)]
    for n, dtype in enumerate(["float64", "float32"], 1):
        for a in matrices:
            wg.testing.check_grads(f, (a,))
            b = a.astype(dtype)
            assert_allclose(wg.vjp(f, b)[0], f(b), rtol=1e-5)
            assert_allclose(wg.compile(wg.grad(lambda a: np.sum(f(a) ** 2)))(b),
                            wg.grad(lambda a: np.sum(f(a) ** 2))(b), rtol=1e-4, atol=1e-6)  # fmt: skip
            assert len(kept) == n
    with ThreadPoolExecutor(2) as pool:  # a tape belongs to its thread, so each keeps its own
        slopes = list(pool.map(lambda a: wg.grad(lambda a: np.sum(f(a)))(a), matrices * 20))
    for a, slope in zip(matrices * 20, slopes, strict=True):
        assert_allclose(slope, wg.grad(lambda a: np.sum(f(a)))(a), rtol=1e-12)


def test_few_recordings_are_kept_and_none_of_large_arrays():
    kept = KEPT["inv"][1]
    kept.clear()
    for n in range(1, custom.MOST_KINDS + 3):
        assert_allclose(wg.vjp(np.linalg.inv, 2 * np.eye(n))[0], np.eye(n) / 2)
    assert 0 < len(kept) <= custom.MOST_KINDS
    kept.clear()
    wg.vjp(np.linalg.inv, np.eye(129))
    assert not kept


def test_users_functions_are_recorded_anew():
    """They may read what has changed since."""
    rate = 1.0
    f = lambda y, t: -rate * y
    solve = lambda y: wscipy.integrate.odeint(f, y, [0.0, 1.0])[-1, 0]
    for rate in (1.0, 2.0):
        assert_allclose(wg.grad(lambda y: solve(y))(np.ones(1)), np.exp(-rate), rtol=1e-6)

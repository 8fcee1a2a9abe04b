"""numpy.fft on Vars: NumPy's values, derivatives against differences and against HIPS autograd."""

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import wengert as wg
import wengert.numpy as wnp

X = np.cos(np.arange(24.0) ** 1.3).reshape(4, 6)


def both(z):
    """Real and imaginary parts, so that a function of real numbers is left."""
    return z.real + 2.0 * z.imag * z.imag


# name -> function of real arrays; HIPS has those that do not end in "*"
CASES = {
    "fft": lambda np, x: both(np.fft.fft(x)),
    "fft n": lambda np, x: both(np.fft.fft(x, 8, 0, "ortho")),
    "fft cut *": lambda np, x: both(np.fft.fft(x, n=3, axis=0, norm="forward")),
    "ifft": lambda np, x: both(np.fft.ifft(x)),
    "ifft forward *": lambda np, x: both(np.fft.ifft(x, norm="forward", axis=0)),
    "rfft *": lambda np, x: both(np.fft.rfft(x, axis=0)),
    "rfft odd *": lambda np, x: both(np.fft.rfft(x, n=5)),
    "irfft *": lambda np, x: np.fft.irfft(np.fft.rfft(x) * np.fft.rfft(x * x)),
    "irfft odd *": lambda np, x: np.fft.irfft(np.fft.fft(x), n=7, norm="ortho"),
    "irfft of complex *": lambda np, x: np.fft.irfft(np.fft.fft(x)),
    "hfft *": lambda np, x: np.fft.hfft(np.fft.fft(x), axis=0),
    "ihfft *": lambda np, x: both(np.fft.ihfft(x, norm="ortho")),
    "fft2": lambda np, x: both(np.fft.fft2(x)),
    "ifft2 *": lambda np, x: both(np.fft.ifft2(x, s=(3, 8))),
    "fftn *": lambda np, x: both(np.fft.fftn(x, axes=(0,))),
    "ifftn": lambda np, x: both(np.fft.ifftn(x)),
    "rfftn *": lambda np, x: both(np.fft.rfftn(x)),
    "irfftn *": lambda np, x: np.fft.irfftn(np.fft.rfft2(x) * 1j),
    "irfft2 *": lambda np, x: np.fft.irfft2(np.fft.fft2(x)),
    "fftshift": lambda np, x: np.fft.fftshift(x) ** 2,
    "ifftshift": lambda np, x: np.fft.ifftshift(x, axes=1) * x,
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_derivatives(name, tape):
    f = CASES[name]
    expected = f(np, X)
    assert_allclose(f(np, tape.leaf(X)).value, expected, rtol=1e-12, atol=1e-12)
    assert_allclose(f(wnp, tape.leaf(X)).value, expected, rtol=1e-12, atol=1e-12)
    assert_allclose(wg.compile(lambda x: f(np, x))(X), expected, rtol=1e-12, atol=1e-12)
    wg.testing.check_grads(lambda x: f(np, x), (X,), order=2, scale=10)
    gradient = wg.grad(lambda x: np.sum(f(np, x) ** 2))
    assert_allclose(wg.compile(gradient)(X), gradient(X), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", [name for name in CASES if not name.endswith("*")])
def test_gradients_are_hips_autograds(name):
    f = CASES[name]

    def theirs(x):
        z = f(anp, x) if "shift" in name else None
        return anp.sum(z**2)

    if "shift" not in name:  # theirs has real and imag as functions only
        inner = {"fft": anp.fft.fft, "ifft": anp.fft.ifft, "fft2": anp.fft.fft2, "ifftn": anp.fft.ifftn}
        options = {"n": 8, "axis": 0, "norm": "ortho"} if name == "fft n" else {}
        transform = inner[name.split()[0]]

        def theirs(x):
            z = transform(x, **options)
            return anp.sum((anp.real(z) + 2.0 * anp.imag(z) ** 2) ** 2)

    assert_allclose(
        wg.grad(lambda x: np.sum(f(np, x) ** 2))(X), autograd.grad(theirs)(X), rtol=1e-10, atol=1e-11
    )


@pytest.mark.parametrize("name", ["fft", "rfft", "irfft", "hfft", "ihfft"])
def test_what_numpy_refuses_is_refused(name, tape):
    with pytest.raises(ValueError, match="norm='best'"):
        getattr(np.fft, name)(tape.leaf(X), norm="best")
    if name in ("rfft", "ihfft"):
        with pytest.raises(TypeError, match="real numbers"):
            getattr(np.fft, name)(tape.leaf(X) * 1j)

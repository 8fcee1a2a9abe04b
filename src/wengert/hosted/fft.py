"""numpy.fft: discrete Fourier transforms by NumPy.

They are linear and symmetric: a cotangent is transformed as a tangent is.  Of real numbers one half says all:
what that leaves out is what is in it, conjugated, but for its first element and, of an even number, its last.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .. import numpy as wnp
from ..protocols.movement import disordered, is_ordered
from ..protocols.registry import into, normalize_axis, recorded
from . import FFT, FILLING, call, custom_vjp, files

_file = functools.partial(files, FFT)
_FORWARD = {None: 0.0, "backward": 0.0, "ortho": 0.5, "forward": 1.0}  # the power of 1/n for each norm


def _primitive(function: Any) -> Any:
    @custom_vjp
    def transform(a):
        return call(function, a, shape=a.shape, dtype=a.dtype)

    transform.defvjp(lambda a: (transform(a), ()), lambda _, g: (transform(g),))
    return transform


FILLING |= {np.fft.fft, np.fft.ifft, np.fft.rfft}
_PLAIN, _INVERSE = _primitive(np.fft.fft), _primitive(np.fft.ifft)


def _occurrences(n: int, dtype: Any) -> np.ndarray:
    """How often each element of a half occurs in the whole; a rule takes it as an argument."""
    return np.where(np.arange(n // 2 + 1) % (n / 2) == 0, 1, 2).astype(dtype)


@functools.partial(custom_vjp, nondiff_argnums=2)
def _to_half(a, occurrences, n):
    shape, dtype = (*a.shape[:-1], n // 2 + 1), np.result_type(a.dtype, np.complex64)
    return call(np.fft.rfft, a, shape=shape, dtype=dtype)


@functools.partial(custom_vjp, nondiff_argnums=2)
def _from_half(a, occurrences, n):
    return call(_from_half_of(n), a, shape=(*a.shape[:-1], n), dtype=occurrences.dtype)


@functools.cache  # a tape refers to it for good
def _from_half_of(n: int) -> Any:
    function = functools.partial(np.fft.irfft, n=n)
    FILLING.add(function)
    return function


_to_half.defvjp(
    lambda a, occurrences, n: (_to_half(a, occurrences, n), occurrences),
    lambda n, occurrences, g: (_from_half(wnp.conjugate(g) / occurrences, occurrences, n) * float(n), None),
)
_from_half.defvjp(
    lambda a, occurrences, n: (_from_half(a, occurrences, n), occurrences),
    lambda n, occurrences, g: (wnp.conjugate(_to_half(g, occurrences, n)) * (occurrences / float(n)), None),
)


def _scaled(a: Any, n: int, norm: Any, inverse: bool) -> Any:
    if norm not in _FORWARD:
        raise ValueError(f'fft: norm={norm!r}; expected "backward", "ortho" or "forward"')
    power = _FORWARD[norm] if not inverse else 1.0 - _FORWARD[norm]
    scale = float(n) ** ((1.0 if inverse else 0.0) - power)  # what NumPy's inverse divides by is undone
    return a if scale == 1.0 else a * scale


def _fitted(a: Any, n: int, axis: int) -> Any:
    """Cut, or filled up with zeros, to n elements along an axis."""
    if n < 1:
        raise ValueError(f"fft: invalid number of data points ({n}) specified")
    extent = a.shape[axis]
    if n <= extent:
        return a[(slice(None),) * axis + (slice(0, n),)] if n < extent else a
    zeros = np.zeros([n - extent if k == axis else m for k, m in enumerate(a.shape)], a.dtype)
    return wnp.concatenate([a, zeros], axis)


def _transform(a: Any, n: Any, axis: int, norm: Any, inverse: bool, half: bool = False) -> Any:
    a = recorded(a)
    axis = normalize_axis(axis, a.ndim)
    from_half, to_half = half and inverse, half and not inverse
    n = (2 * (a.shape[axis] - 1) if from_half else a.shape[axis]) if n is None else int(n)
    dtype = np.result_type(a.dtype, np.float32 if to_half else np.complex64)
    a = _fitted(wnp.astype(a, dtype, copy=False), n // 2 + 1 if from_half and n > 0 else n, axis)
    last = wnp.moveaxis(a, axis, -1)
    if half:
        real_dtype = np.zeros(0, dtype).real.dtype
        last = (_from_half if inverse else _to_half)(last, _occurrences(n, real_dtype), n)
    else:
        last = (_INVERSE if inverse else _PLAIN)(last)
    if axis < a.ndim - 1 or not is_ordered(a):
        last = disordered(last)
    return _scaled(wnp.moveaxis(last, -1, axis), n, norm, inverse)


@_file(np.fft.fft)
def fft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """The discrete Fourier transform along an axis."""
    return into(out, _transform(a, n, axis, norm, False))


@_file(np.fft.ifft)
def ifft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """The inverse of `fft`."""
    return into(out, _transform(a, n, axis, norm, True))


@_file(np.fft.rfft)
def rfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """The first half of the transform of real numbers, which says all."""
    a = recorded(a)
    if a.dtype.kind == "c":
        raise TypeError(f"rfft: takes real numbers, got {a.dtype}; use fft")
    return into(out, _transform(a, n, axis, norm, False, half=True))


@_file(np.fft.irfft)
def irfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """The inverse of `rfft`: n real numbers."""
    return into(out, _transform(a, n, axis, norm, True, half=True))


@_file(np.fft.hfft)
def hfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """The transform of a Hermitian sequence, of which the first half is given: real numbers."""
    return into(out, irfft(wnp.conjugate(recorded(a)), n, axis, _OTHER_WAY.get(norm, norm)))


@_file(np.fft.ihfft)
def ihfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None, out: Any = None) -> Any:
    """The inverse of `hfft`."""
    return into(out, wnp.conjugate(rfft(a, n, axis, _OTHER_WAY.get(norm, norm))))


_OTHER_WAY = {None: "forward", "backward": "forward", "forward": "backward", "ortho": "ortho"}


def _axes(a: Any, s: Any, axes: Any) -> tuple[list, list]:
    """Extents (None: as they are) and axes."""
    if axes is None:
        axes = range(a.ndim) if s is None else range(a.ndim - len(s), a.ndim)
    axes = [normalize_axis(axis, a.ndim) for axis in axes]
    return [None if n == -1 else n for n in (s if s is not None else [None] * len(axes))], axes


def _many(transform: Any) -> Any:
    def along(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None) -> Any:
        """The transform along several axes."""
        a = recorded(a)
        for n, axis in zip(*_axes(a, s, axes), strict=True):
            a = transform(a, n, axis, norm)
        return into(out, a)

    return along


fftn, ifftn = _file(np.fft.fftn)(_many(fft)), _file(np.fft.ifftn)(_many(ifft))


@_file(np.fft.rfftn)
def rfftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None) -> Any:
    """`rfft` along the last of several axes, `fft` along the others."""
    a = recorded(a)
    extents, along = _axes(a, s, axes)
    return into(out, fftn(rfft(a, extents[-1], along[-1], norm), extents[:-1], along[:-1], norm))


@_file(np.fft.irfftn)
def irfftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None) -> Any:
    """The inverse of `rfftn`."""
    a = recorded(a)
    extents, along = _axes(a, s, axes)
    return into(out, irfft(ifftn(a, extents[:-1], along[:-1], norm), extents[-1], along[-1], norm))


def _of_two(transform: Any) -> Any:
    def plane(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None, out: Any = None) -> Any:
        """The transform along two axes."""
        return transform(a, s, axes, norm, out)

    return plane


for _name, _function in (("fft2", fftn), ("ifft2", ifftn), ("rfft2", rfftn), ("irfft2", irfftn)):
    _file(getattr(np.fft, _name))(_of_two(_function))


def _shift(x: Any, axes: Any, sign: int) -> Any:
    x = recorded(x)
    along = range(x.ndim) if axes is None else (axes if isinstance(axes, (tuple, list)) else (axes,))
    along = tuple(normalize_axis(axis, x.ndim) for axis in along)
    shifts = tuple(x.shape[k] // 2 if sign > 0 else -(x.shape[k] // 2) for k in along)
    return wnp.roll(x, shifts, along)


@_file(np.fft.fftshift)
def fftshift(x: Any, axes: Any = None) -> Any:
    """With the zero frequency in the middle."""
    return _shift(x, axes, 1)


@_file(np.fft.ifftshift)
def ifftshift(x: Any, axes: Any = None) -> Any:
    """The inverse of `fftshift`."""
    return _shift(x, axes, -1)

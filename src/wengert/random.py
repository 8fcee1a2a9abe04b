"""Random numbers as functions of a key: the same bits eager, compiled and on any number of threads.

A key is an int64. Every function returns the same numbers for the same key: take a key for each use from
`split`. The numbers are those of Philox-4x32-10 (Salmon et al. 2011), each made of the key and its place.

Examples
--------
>>> import wengert as wg
>>> key, other = wg.random.split(wg.random.key(0))
>>> wg.random.normal(key, (2, 3)).shape
(2, 3)
>>> bool((wg.random.uniform(other, (9,)) == wg.random.uniform(other, (9,))).all())
True
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ._core import Tape, Var, current, dtype_code
from .protocols import NAMESPACE
from .protocols.registry import append, dims

__all__ = ["bernoulli", "key", "normal", "permutation", "split", "uniform"]

NUMBERS, KEYS = 0, 1  # streams of one key that share no block


def key(seed: Any) -> np.int64:
    """The key of a seed, an integer of which 64 bits count.

    Examples
    --------
    >>> import wengert as wg
    >>> wg.random.key(7)
    np.int64(7)
    """
    try:
        number = operator.index(seed)
    except TypeError:
        raise TypeError(f"random.key: seed={seed!r}; expected an integer") from None
    return np.uint64(number % 2**64).astype(np.int64)


def _draw(function: str, key: Any, dtype: Any, stream: int, shape: Any) -> Any:
    """Numbers of a stream: a Var where the key is one or while a function is compiled, else an ndarray."""
    shape = dims(shape)
    if any(n < 0 for n in shape):
        raise ValueError(f"random.{function}: shape={shape}; expected extents of 0 or more")
    key = key if isinstance(key, Var) else np.asarray(key)
    if key.dtype != np.int64:
        raise TypeError(
            f"random.{function}: key has dtype {key.dtype}; expected an int64 as wg.random.key(seed) gives"
        )
    attrs, tape = (dtype_code(dtype), stream, *shape), current()
    if isinstance(key, Var) or (tape is not None and tape.abstract):
        return append("random", key, attrs=attrs)
    return append("random", Tape().as_var(key), attrs=attrs).value


def split(key: Any, n: int = 2) -> Any:
    """`n` keys that share nothing with each other or with the numbers drawn from `key`.

    Examples
    --------
    >>> import wengert as wg
    >>> wg.random.split(wg.random.key(0), 3).shape
    (3,)
    """
    return _draw("split", key, np.int64, KEYS, n)


def uniform(key: Any, shape: Any = (), dtype: Any = np.float64, low: Any = 0.0, high: Any = 1.0) -> Any:
    """Numbers spread evenly over [low, high); low and high may be differentiated.

    Examples
    --------
    >>> import wengert as wg
    >>> x = wg.random.uniform(wg.random.key(1), (1000,), low=2, high=3)
    >>> bool((x >= 2).all() and (x < 3).all())
    True
    """
    unit = _draw("uniform", key, _float("uniform", dtype), NUMBERS, shape)
    if type(low) in (int, float) and type(high) in (int, float) and (low, high) == (0, 1):
        return unit
    return unit * (high - low) + low


def normal(key: Any, shape: Any = (), dtype: Any = np.float64) -> Any:
    """Numbers from the normal distribution of mean 0 and variance 1, by inversion.

    Examples
    --------
    >>> import wengert as wg
    >>> x = wg.random.normal(wg.random.key(1), (10000,))
    >>> bool(abs(x.mean()) < 0.05 and abs(x.std() - 1) < 0.05)
    True
    """
    dtype = _float("normal", dtype)
    unit = _draw("normal", key, dtype, NUMBERS, shape)
    # in (-1, 1): of 0 the inverse would be -inf
    spread = NAMESPACE["maximum"](2 * unit - 1, float(np.nextafter(dtype.type(-1), 0)))
    return NAMESPACE["erfinv"](spread) * 2**0.5


def bernoulli(key: Any, shape: Any = (), p: Any = 0.5) -> Any:
    """Bools that are true with probability p.

    Examples
    --------
    >>> import wengert as wg
    >>> wg.random.bernoulli(wg.random.key(1), (4,), p=0.0)
    array([False, False, False, False])
    """
    return _draw("bernoulli", key, np.float64, NUMBERS, shape) < p


def permutation(key: Any, n: int) -> Any:
    """The numbers from 0 to n - 1 in random order.

    Examples
    --------
    >>> import wengert as wg
    >>> sorted(wg.random.permutation(wg.random.key(1), 4).tolist())
    [0, 1, 2, 3]
    """
    # of two equal numbers, which are among n once in 2^65 / n^2 draws, the first stays in front
    return NAMESPACE["argsort"](_draw("permutation", key, np.int64, NUMBERS, n))


def _float(function: str, dtype: Any) -> np.dtype:
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise TypeError(f"random.{function}: dtype={dtype}; expected float32 or float64")
    return dtype

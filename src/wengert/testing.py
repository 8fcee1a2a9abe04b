"""Checks of derivatives against differences of function values, for tests of one's own functions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten
from .transforms import jvp, vjp

__all__ = ["check_grads"]


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int = 2,
    modes: Sequence[str] = ("fwd", "rev"),
    seed: int = 0,
    scale: float = 1.0,
) -> None:
    """Compares the derivatives of `f` at `args` with central differences, up to an order and in every mix of
    modes.

    A random direction v is drawn; forward mode is compared with (f(x + hv) - f(x - hv)) / 2h, and reverse
    mode by <u, J v> = <Jᵀ u, v> for a random cotangent u.  The same is then asked of the function
    (x, v) -> J v, or of (x, u) -> Jᵀ u, up to `order`.

    Parameters
    ----------
    f : callable
        Takes and returns pytrees of floats.
    args : sequence
        The point; all of its leaves are differentiated.
    order : int
    modes : sequence of {"fwd", "rev"}
    seed : int
        Of the directions' generator.
    scale : float
        A factor on the tolerance, for functions with large higher derivatives.

    Raises
    ------
    AssertionError
        Where a derivative and the differences do not agree; it names the order and mode.
    TypeError
        Where `args` is neither tuple nor list.
    ValueError
        For an unknown mode.

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> wg.testing.check_grads(lambda x: np.tanh(x) * np.sum(x), (np.array([0.1, 0.2]),), order=3)
    """
    if not isinstance(args, tuple | list):
        raise TypeError(
            f"check_grads: args is a {type(args).__name__}; expected a tuple of the arguments, such as (x,)"
        )
    for mode in modes:
        if mode not in ("fwd", "rev"):
            raise ValueError(f'check_grads: mode {mode!r}; expected "fwd" or "rev"')
    _check(f, tuple(args), order, tuple(modes), np.random.default_rng(seed), scale, "")


def _check(f: Callable, args: tuple, order: int, modes: tuple, rng: Any, scale: float, path: str) -> None:
    if order == 0:
        return
    direction = _like(args, rng)
    y = f(*args)
    numeric, tolerance = _difference(f, args, direction, y, scale)
    cotangent = _like(y, rng)
    for mode in modes:
        name = f"{path}{mode}"
        if mode == "fwd":
            _close(jvp(f, args, direction)[1], numeric, tolerance, f"check_grads: {name} of {_name(f)}")
        else:
            adjoint = vjp(f, *args)[1](cotangent)
            sides = _dot(adjoint, direction), _dot(cotangent, numeric)
            room = tolerance * sum(np.sum(np.abs(u)) for u in tree_leaves(cotangent)) + 1e-300
            _close(sides[0], sides[1], room, f"check_grads: {name} of {_name(f)}")
        _check(*_next(f, args, mode, direction, cotangent), order - 1, modes, rng, scale, f"{name}-")


def _next(f: Callable, args: tuple, mode: str, direction: tuple, cotangent: Any) -> tuple[Callable, tuple]:
    """The derivative in one mode as a function of the point and of the direction, and where to check that."""

    @functools.wraps(f)
    def forward(args, direction):
        return jvp(f, args, direction)[1]

    @functools.wraps(f)
    def reverse(args, cotangent):
        return vjp(f, *args)[1](cotangent)

    return (forward, (args, direction)) if mode == "fwd" else (reverse, (args, cotangent))


def _difference(f: Callable, args: tuple, direction: tuple, y: Any, scale: float) -> tuple[Any, float]:
    """The central difference along a direction, and how far off it may be.

    With unit roundoff eps the step h = eps^(1/3) balances the two errors: h^2 f'''/6 from the formula, and
    eps |f| / h from its values; both are of size eps^(2/3).  The factor 100 is for third derivatives
    and conditions above 1.
    """
    dtypes = [np.asarray(leaf).dtype for leaf in tree_leaves((args, y))]
    eps = max((float(np.finfo(d).eps) for d in dtypes if d.kind == "f"), default=float(np.finfo(float).eps))
    h = eps ** (1 / 3)

    def step(sign: float) -> Any:
        def moved(x, v):
            return (np.asarray(x) + sign * h * np.asarray(v)).astype(np.asarray(x).dtype)

        return f(*tree_map(moved, args, direction))

    numeric = tree_map(lambda up, down: (np.asarray(up) - np.asarray(down)) / (2 * h), step(1.0), step(-1.0))
    size = max((float(np.max(np.abs(v), initial=0.0)) for v in tree_leaves((y, numeric))), default=0.0)
    return numeric, scale * 100 * eps ** (2 / 3) * (1 + size)


def _close(found: Any, expected: Any, tolerance: float, what: str) -> None:
    for a, b in zip(tree_leaves(found), tree_leaves(expected), strict=True):
        worst = float(np.max(np.abs(np.asarray(a) - np.asarray(b)), initial=0.0))
        if not worst <= tolerance:
            raise AssertionError(
                f"{what}: derivative\n{a}\ndifferences\n{b}\napart by {worst:.3g}, allowed {tolerance:.3g}"
            )


def _like(tree: Any, rng: np.random.Generator) -> Any:
    """Random numbers of the shapes and dtypes of a tree's leaves, as a direction of about unit length."""
    leaves, structure = tree_flatten(tree)
    if any(np.iscomplexobj(x) for x in leaves):
        raise TypeError("check_grads: complex numbers; check np.real and np.imag of f, by real arguments")
    drawn = [
        rng.standard_normal(np.shape(x)).astype(np.result_type(np.asarray(x).dtype, np.float32))
        for x in leaves
    ]
    length = np.sqrt(sum(float(np.sum(np.square(x, dtype=float))) for x in drawn)) or 1.0
    return tree_unflatten(structure, [(x / length).astype(x.dtype) for x in drawn])


def _dot(a: Any, b: Any) -> float:
    return float(
        sum(
            np.sum(np.asarray(x, float) * np.asarray(y, float))
            for x, y in zip(tree_leaves(a), tree_leaves(b), strict=True)
        )
    )


def _name(f: Callable) -> str:
    return getattr(f, "__name__", repr(f))

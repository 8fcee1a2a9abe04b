"""Derivatives of what a solver finds, from the equation that it solves."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import numpy as wnp
from .._core import Var, innermost
from ..pytree import flatten, tree_leaves, tree_map
from ..tape import recording_on
from .first import stop_gradient
from .jacobians import jacobian

STEPS = 2


def implicit_root(f: Callable[..., Any], solver: Callable[..., Any]) -> Callable[..., Any]:
    """A solver whose result has the derivatives of the root that it finds.

    The solver itself is not looked into: it may call SciPy, iterate to a tolerance, or read a table.  From
    its result two Newton steps on f(x, *args) = 0 are recorded.  They leave a root where it is, and have
    its derivatives: those of the first step are exact to first order, those of the second to third, as the
    distance from the root is squared by each.

    Parameters
    ----------
    f : callable
        f(x, *args) is zero at the root; of as many numbers as `x`.  For a minimum it is the gradient of the
        objective, for a fixed point x - g(x, *args).
    solver : callable
        Takes `args`, as plain arrays where their values are known, to the root: an array or a pytree.  While
        a function is recorded, values are not known: then it must consist of what can be recorded (`scan`),
        or be a `wg.host_call`, which needs no rule.

    Returns
    -------
    callable
        Takes `args` to the root.

    Raises
    ------
    ValueError
        Where `f` does not return as many numbers as the root has.

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> from scipy.optimize import brentq
    >>> root = wg.implicit_root(lambda x, a: x**3 - a, lambda a: brentq(lambda x: x**3 - a, 0, 10))
    >>> round(wg.grad(root)(8.0), 9), round(wg.grad(wg.grad(root))(8.0), 9)
    (np.float64(0.083333333), np.float64(-0.006944444))
    """

    @functools.wraps(solver)
    def root(*args: Any) -> Any:
        if innermost(tree_leaves(args)) is None:
            return solver(*args)
        start = _solved(solver, tree_map(_known, args))
        start = tree_map(lambda x: float(x) if type(x) is int else x, start)
        vector, unflatten = flatten(stop_gradient(start))

        def residual(x: Any) -> Any:
            return flatten(f(unflatten(x), *args))[0]

        for _ in range(STEPS):
            value = residual(vector)
            if np.shape(value) != np.shape(vector):
                raise ValueError(
                    f"implicit_root: f returns {np.size(value)} numbers for a root of {np.size(vector)}"
                )
            vector = vector - wnp.linalg.solve(jacobian(residual)(vector), value)
        return unflatten(vector)

    return root


def _solved(solver: Callable[..., Any], args: tuple) -> Any:
    """What the solver finds; where all values are known, nothing of it is recorded."""
    if any(isinstance(x, Var) for x in tree_leaves(args)):
        try:
            return solver(*args)
        except TypeError as error:
            raise TypeError(
                f"implicit_root: the solver {getattr(solver, '__name__', solver)} looks at values, of "
                f"which a recording has none: pass wg.host_call(solver, shape); {error}"
            ) from error
    with recording_on(None):
        return solver(*args)


def _known(x: Any) -> Any:
    """The value of a Var that has one; while a function is recorded, the Var without its derivative."""
    if not isinstance(x, Var):
        return x
    return stop_gradient(x) if x.tape.abstract else x.value

"""scipy.integrate: `odeint`; every other name is SciPy's."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.integrate as _integrate

from .. import numpy as wnp
from .. import transforms
from ..hosted import call
from ..protocols.registry import is_recorded, recorded, refuse_options
from ..pytree import tree_flatten, tree_unflatten
from ..tape import recording_on
from ..transforms import vjp

custom_vjp: Any = transforms.custom_vjp  # users' functions may change: no recording is kept


def odeint(func: Callable, y0: Any, t: Any, args: tuple = (), **options: Any) -> Any:
    """As `scipy.integrate.odeint`: the solution of y' = func(y, t, *args) at the times `t`.

    It has derivatives by `y0`, `t` and the arrays in `args`; what `func` captures is constant.
    """
    leaves, structure = tree_flatten(args)
    if not is_recorded((y0, t, leaves)):
        return _integrate.odeint(func, y0, t, args, **options)
    refuse_options("odeint", full_output=options.get("full_output") or None)
    operands = (x if is_recorded((x,)) else np.asarray(x, float) for x in (y0, t, *leaves))
    y0, t, *leaves = map(recorded, operands)
    return _solution(func, structure, tuple(sorted(options.items())))(np.ravel(y0), t, *leaves)


@functools.cache  # a tape that calls the solver may live long
def _solution(func: Callable, structure: Any, options: tuple) -> Callable:
    """The solution as a function of y0, t and the leaves of the arguments.

    Its cotangent a follows a' = -a df/dy backwards in time and takes up that of each y(t) on the way; that of
    an argument p is the integral of a df/dp (Chen et al., "Neural ordinary differential equations", 2018).
    """

    def slope(y, s, *leaves):
        return func(y, s, *tree_unflatten(structure, leaves))

    def host(y0, t, *program_leaves):
        leaves = [np.array(x) for x in program_leaves]  # a function may keep what it is given
        with recording_on(None):
            return _integrate.odeint(lambda y, s: slope(y, s, *leaves), y0, t, **dict(options))

    @custom_vjp
    def solve(y0, t, *leaves):
        shape = (t.shape[0], y0.shape[0])
        return call(host, y0, t, *leaves, shape=shape, dtype=np.float64, stacks=False)

    def backwards(state, s, *leaves):  # of y, a and the integrals
        n = (state.shape[0] - sum(np.size(p) for p in leaves)) // 2
        dy, pull = vjp(slope, state[:n], s, *leaves)
        by_y, _, *by_leaves = pull(-state[n : 2 * n])
        return np.concatenate([np.ravel(x) for x in (dy, by_y, *by_leaves)])

    def forward(*given):
        y = solve(*given)
        return y, (y, given)

    def backward(residuals, g):
        y, (y0, t, *leaves) = residuals
        n, back = y0.shape[0], _solution(backwards, tree_flatten(tuple(leaves))[1], options)
        ends = np.cumsum([0, *(np.size(p) for p in leaves)])
        a, since, integrals = g[-1], 0.0 * g[-1], wnp.broadcast_to(0.0 * g[0, 0], (ends[-1],))
        later = [g[k] @ slope(y[k], t[k], *leaves) for k in range(1, y.shape[0])]
        for k in range(y.shape[0] - 1, 0, -1):
            start = wnp.concatenate([y[k], a, integrals])
            state = back(start, wnp.stack([t[k], t[k - 1]]), *leaves)[1]
            since, integrals = state[n : 2 * n], state[2 * n :]  # without the cotangent at t[k - 1]
            a = since + g[k - 1]
        first = -(since @ slope(y[0], t[0], *leaves))
        by_leaves = (
            wnp.reshape(integrals[i:j], np.shape(p)) for i, j, p in zip(ends, ends[1:], leaves, strict=False)
        )
        return (a, wnp.stack([first, *later]), *by_leaves)

    solve.defvjp(forward, backward)
    return solve


def __getattr__(name: str) -> Any:
    return getattr(_integrate, name)

"""Second derivatives without the Hessian: its trace, and products with its like.

The Laplacian is taken in one forward pass that carries, for every value, its derivatives by all inputs and
the sum of its second ones: y = g(a) gives dy_i = g'(a) da_i and Ly = g'(a) La + sum over i of
g''(a)[da_i, da_i] (Li et al. 2023, "Forward Laplacian", arXiv:2307.08214).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._core import Var
from ..protocols.registry import append
from ..pytree import tree_unflatten
from ..tape import OPS
from .batching import batch
from .call import decorates, derived
from .first import pushed, vjp
from .jacobians import hvp, units
from .jets import plus


@decorates
def laplacian(f, argnums=0, has_aux=False):
    """The function that returns the sum of the second derivatives of `f` by every element of its argument.

    One forward pass, whose cost grows linearly with the number of elements: no Hessian is formed.

    Parameters
    ----------
    f : callable
        Returns arrays of any shapes; `vmap` gives one Laplacian for each point.
    argnums : int or tuple of int
    has_aux : bool
        `f` returns a pair (output, aux), and the result is (Laplacian, aux).

    Returns
    -------
    callable
        Returns what `f` returns, the Laplacian in place of each value.

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> wg.laplacian(lambda x: np.sum(x**3))(np.array([1.0, 2.0]))
    np.float64(18.0)
    >>> u = lambda p: np.sin(p[0]) * np.exp(p[1])  # harmonic
    >>> wg.vmap(wg.laplacian(u))(np.ones((3, 2)))
    array([0., 0., 0.])
    """

    def rule(recording, bound, outputs, structure):
        total: list[Any] = [None] * len(outputs)
        for x in bound.inputs:
            total = list(map(plus, total, _laplacians(recording.tape, bound.inputs, x, outputs)))
        return tree_unflatten(structure, recording.derivatives(total, outputs))

    return derived("laplacian", f, argnums, has_aux, rule)


def _laplacians(tape: Any, inputs: list[Var], x: Var, outputs: list[Var]) -> list[Var | None]:
    """The Laplacian of every output by one input; None where it is zero."""
    part, given = tape.extract(inputs, outputs)
    nodes = [part.at(index) for index in range(len(part))]
    source, ends = nodes[part.inputs[[v.index for v in inputs].index(x.index)]], part.outputs
    tangent = part.input(x.dtype, x.shape)
    first = part.jvp([source], [tangent], nodes)
    if any(part.node(v.index).op == "call" for v in nodes):  # a loop or a rule: by directions
        once = [nodes[k] if first[k] is None else first[k] for k in ends]
        seconds = part.jvp([source], [tangent], once)
        curved, nodes = {k: [q] for k, q in zip(ends, seconds, strict=True) if q is not None}, []
    else:
        curved = {k: c for k in range(len(nodes)) if (c := _curvature(part, nodes, first, k))}
    if not curved or not x.size:
        return [None] * len(outputs)
    part.set_outputs([v for c in curved.values() for v in c] + nodes)
    wanted = [v is c[0] for c in curved.values() for v in c] + [False] * len(nodes)
    batched, _ = batch(part, x.size, [False] * len(given) + [True], wanted)
    ids, sums = iter(batched.outputs), {}
    for k, c in curved.items():
        q, *factor = [batched.at(next(ids)) for _ in c]
        total = append("sum", q, attrs=(1, 0))
        sums[k] = append("zmul", *factor, total) if factor else total
    second = _collapsed(part, batched, list(ids), sums) if nodes else sums
    known = [k for k in ends if second.get(k) is not None]
    batched.set_outputs([second[k] for k in known])
    results = tape.call(batched, [*given, units(tape, x, 0, x.size)]) if known else []
    return list(map(dict(zip(known, results, strict=True)).get, ends))


def _curvature(part: Any, nodes: list[Var], first: list[Var | None], k: int) -> list[Var]:
    """The second derivative of node k's own operation along the tangents of its operands; [] if it is zero.

    A function g of one moving operand has g''(a) da^2: [da^2, which is to be summed over all directions, and
    g''(a), the factor of the sum].
    """
    node, tangent = part.node(k), first[k]
    moving = [i for i in dict.fromkeys(node.inputs) if first[i] is not None]
    if tangent is None or not moving:
        return []
    at, along, fixed = [nodes[i] for i in (*moving, k)], [first[i] for i in moving], [None] * len(moving)
    if len(moving) == 1 and OPS[node.op].derivative[0]:  # elementwise
        one = part.full(1, at[0].dtype, at[0].shape)
        slope = part.jvp(at[:1], [one], at[1:])
        factor = part.jvp(at, [one, *slope], slope)
        return [append("square", along[0]), *factor] if factor[0] is not None else []
    # its tangent, seen as a function of operands and result, with the operands' tangents held fixed
    return [q for q in part.jvp([*at, *along], [*along, tangent, *fixed], [tangent]) if q is not None]


def _collapsed(part: Any, batched: Any, ids: list[int], sums: dict[int, Var]) -> dict[int, Var | None]:
    """The Laplacian of every node: what its operands bring, and its own curvature summed over directions."""
    second: dict[int, Var | None] = {}
    for k, own in enumerate(ids):
        moving = [i for i in dict.fromkeys(part.node(k).inputs) if second.get(i) is not None]
        operands = [batched.at(ids[i]) for i in moving]
        brought = batched.jvp(operands, [second[i] for i in moving], [batched.at(own)])[0]
        second[k] = plus(brought, sums.get(k))
    return second


def gauss_newton(f: Callable, loss: Callable | None = None) -> Callable:
    """Products with the Gauss-Newton matrix J' H J: J is the Jacobian of `f`, H the Hessian of `loss`.

    It is the Hessian of loss(f(x)) without the curvature of `f`, and never indefinite for a convex loss.

    Parameters
    ----------
    f : callable
        Takes a pytree to an array.
    loss : callable, optional
        Takes that array to a number; half the sum of squares if not given.

    Returns
    -------
    callable
        Takes `x` and `v`, of the structure of `x`, to the product.

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> A = np.array([[1.0, 2.0], [0.0, 1.0]])
    >>> wg.gauss_newton(lambda x: A @ x)(np.zeros(2), np.array([1.0, 0.0]))
    array([1., 2.])
    """

    def product(x: Any, v: Any) -> Any:
        y, dy, _ = pushed("gauss_newton", f, (x,), (v,), "v")
        return vjp(f, x)[1](dy if loss is None else hvp(loss, y, dy))[0]

    return product

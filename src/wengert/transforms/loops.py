"""Control: scan, a loop whose body is recorded once; checkpoint, which computes again; cond."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import numpy as wnp
from .._core import Var, innermost
from ..pytree import leaf_names, tree_flatten, tree_map, tree_unflatten
from ..tape import Tape
from .call import Recording, decorates
from .child import Child


def scan(
    f: Callable[[Any, Any], tuple],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    checkpoint: str | None = None,
) -> tuple:
    """A loop over the first axis of arrays that carries values along, as JAX's `lax.scan`.

    The body is recorded once, whatever the length; a recorded program runs it.  Memory does not grow with the
    length, except for what is stacked and, where a reverse sweep follows, the carries.

    Parameters
    ----------
    f : callable
        Takes a carry and an entry of `xs`; returns the next carry, of the same structure, shapes and dtypes,
        and a pytree of arrays to be stacked.
    init : pytree
        The first carry.
    xs : pytree of arrays, optional
        All of one length along their first axis.
    length : int, optional
        The number of steps; needed where there is no `xs`.
    reverse : bool
        Go from the last entry to the first; what is stacked stands where its entry stood.
    checkpoint : "sqrt" or "log", optional
        How a reverse sweep over N steps saves memory: it keeps about 2 sqrt(N) carries and takes the steps
        once more, or about 8 log8(N) carries and takes them log8(N) times more.  By default it keeps all.

    Returns
    -------
    carry : pytree
        The last one.
    ys : pytree
        What `f` returned beside the carries, stacked along a new first axis.

    Raises
    ------
    ValueError
        Where lengths, or the carries that go in and come out, do not fit.

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> wg.scan(lambda total, x: (total + x, total * x), 0.0, np.array([1.0, 2.0, 3.0]))
    (np.float64(6.0), array([0., 2., 9.]))
    """
    carries, carry_tree = tree_flatten(init)
    entries, entry_tree = tree_flatten(xs)
    steps = _length(entries, leaf_names(entry_tree, "xs"), length)
    if checkpoint not in _INNER:
        raise ValueError(f"scan: checkpoint={checkpoint!r}; expected None, 'sqrt' or 'log'")
    inner = _INNER[checkpoint](steps)
    if inner > 1:
        return _in_blocks(f, init, xs, steps, reverse, checkpoint, inner)
    with Recording(carries + entries) as recording:
        tape = recording.tape
        moving = [tape.as_var(x) for x in entries]
        body, carried = _record_body(f, tape, carries, carry_tree, moving, entry_tree)
        layout = len(carried), len(moving), steps, reverse
        results = _loop(tape, body, [*carried, *moving], layout)
        carry = tree_unflatten(carry_tree, [recording.result(v) for v in results[: len(carried)]])
        ys = tree_unflatten(body.structure, [recording.result(v) for v in results[len(carried) :]])
        return carry, ys


# The steps that an iteration of the outer loop takes as a loop of its own, of whose carries nothing is kept.
_BASE = 8
_INNER: dict[str | None, Callable[[int], int]] = {
    None: lambda steps: 1,
    "sqrt": lambda steps: math.isqrt(steps) if steps > _BASE else 1,
    "log": lambda steps: _BASE ** int(math.log(steps, _BASE) - 1e-9) if steps > _BASE else 1,
}


def _in_blocks(
    f: Callable, init: Any, xs: Any, steps: int, reverse: bool, checkpoint: str | None, inner: int
) -> tuple:
    """A loop over blocks of `inner` steps, each a loop, then the steps that are left over."""
    whole = steps // inner * inner
    start = steps - whole if reverse else 0  # of the blocks; the steps that come last are left over
    within = checkpoint if checkpoint == "log" else None

    def block(carry: Any, entries: Any) -> tuple:
        return scan(f, carry, entries, inner, reverse, within)

    def stacked(x: Any) -> Any:
        return wnp.reshape(x[start : start + whole], (whole // inner, inner, *np.shape(x)[1:]))

    carry, ys = scan(block, init, tree_map(stacked, xs), whole // inner, reverse)
    ys = tree_map(lambda y: wnp.reshape(y, (whole, *np.shape(y)[2:])), ys)
    if whole == steps:
        return carry, ys
    rest = tree_map(lambda x: x[:start] if reverse else x[whole:], xs)
    carry, more = scan(f, carry, rest, steps - whole, reverse, checkpoint)
    return carry, tree_map(lambda a, b: wnp.concatenate([b, a] if reverse else [a, b]), ys, more)


def _record_body(
    f: Callable, tape: Any, carries: list, carry_tree: Any, moving: list[Var], entry_tree: Any
) -> tuple[Child, list[Var]]:
    """The body, and the first carries in the dtypes that the body keeps."""
    carried = [_start(tape, x) for x in carries]
    kinds = [(v.dtype, v.shape) for v in carried] + [(v.dtype, v.shape[1:]) for v in moving]

    def step(given: list) -> Any:
        carry = tree_unflatten(carry_tree, given[: len(carried)])
        result = f(carry, tree_unflatten(entry_tree, given[len(carried) :]))
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError("scan: the body must return a pair (carry, y)")
        leaves, structure = tree_flatten(result[0])
        if structure != carry_tree:
            raise ValueError(f"scan: the carry goes in as {carry_tree} and comes out as {structure}")
        labels = leaf_names(carry_tree, "the carry")
        return [_same(x, v, label) for x, v, label in zip(leaves, carried, labels, strict=True)], result[1]

    body = Child("scan", step, kinds, tape)
    body.structure = body.structure.children[1]
    return body, carried


def _start(tape: Any, x: Any) -> Var:
    v = tape.as_var(float(x) if type(x) is int else x)
    return wnp.astype(v, v.dtype) if v.weak else v


def _same(x: Any, like: Var, label: str) -> Any:
    """A carry that comes out, in the dtype in which it went in where it is a plain number."""
    if isinstance(x, (int, float)):
        return np.asarray(x, like.dtype)[()]
    if np.shape(x) != like.shape or x.dtype != like.dtype:
        raise ValueError(
            f"scan: {label} goes in with shape {like.shape} and dtype {like.dtype}, and comes out with "
            f"{np.shape(x)} and {x.dtype}"
        )
    return x


def _loop(tape: Any, body: Child, operands: list[Var], layout: tuple) -> list[Var]:
    """The loop's last carries and stacked entries; a tape that runs calls a recording of the loop."""
    n_results = len(body.tape.outputs)
    given = [tape.as_var(x) for x in operands + body.hidden]
    if not n_results:
        return []
    if tape.abstract:
        return tape.scan(body.tape, given, *layout)[:n_results]
    whole = Tape(abstract=True)
    inputs = [whole.input(v.dtype, v.shape) for v in given]
    whole.set_outputs(whole.scan(body.tape, inputs, *layout)[:n_results])
    return tape.call(whole, given)


@decorates
def checkpoint(f):
    """The same function, of which a reverse sweep keeps the arguments only and computes the rest again.

    Memory for time: about one more evaluation of `f` for each gradient.

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> wg.grad(lambda x: wg.checkpoint(lambda x: np.sin(np.sin(x)))(x))(0.0)
    np.float64(1.0)
    """

    @functools.wraps(f)
    def wrapped(*args, **kwargs):
        leaves, structure = tree_flatten((args, kwargs))
        if innermost(leaves) is None:
            return f(*args, **kwargs)
        places = [k for k, x in enumerate(leaves) if isinstance(x, (Var, np.ndarray))]

        def recorded(given: list[Var]) -> Any:
            whole = list(leaves)
            for k, v in zip(places, given, strict=True):
                whole[k] = v
            args, kwargs = tree_unflatten(structure, whole)
            return f(*args, **kwargs)

        with Recording(leaves) as recording:
            tape = recording.tape
            operands = [tape.as_var(leaves[k]) for k in places]
            body = Child("checkpoint", recorded, [(v.dtype, v.shape) for v in operands], tape)
            # a loop of one step: it runs as a whole, so that no part of it is shared with its derivative
            results = _loop(tape, body, operands, (0, 0, 1, False))
            return tree_unflatten(body.structure, [wnp.reshape(v, v.shape[1:]) for v in results])

    return wrapped


def cond(pred: Any, true_fun: Callable, false_fun: Callable, *operands: Any) -> Any:
    """One of two functions of the operands.

    Where `pred` is known, that one alone is called.  While a function is recorded both are, and the results
    are chosen from: their structures, shapes and dtypes must agree.

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> f = lambda x: wg.cond(x > 0, np.sqrt, lambda x: -x, x)
    >>> f(4.0), wg.compile(wg.grad(f))(-4.0)
    (np.float64(2.0), np.float64(-1.0))
    """
    if not isinstance(pred, Var) or not pred.tape.abstract:
        if np.size(pred) != 1:
            raise ValueError(f"cond: pred has shape {np.shape(pred)}; expected one truth value")
        return true_fun(*operands) if bool(pred) else false_fun(*operands)
    if pred.shape != ():
        raise ValueError(f"cond: pred has shape {pred.shape}; expected (): use np.where for arrays of them")
    (yes, structure), (no, other) = tree_flatten(true_fun(*operands)), tree_flatten(false_fun(*operands))
    labels = leaf_names(structure, "the result")
    if structure != other:
        raise ValueError(f"cond: the functions return {structure} and {other}")
    for a, b, label in zip(yes, no, labels, strict=True):
        if np.shape(a) != np.shape(b):
            raise ValueError(f"cond: {label} has shape {np.shape(a)} or {np.shape(b)}")
    return tree_unflatten(structure, [wnp.where(pred, a, b) for a, b in zip(yes, no, strict=True)])


def while_loop(cond_fun: Callable, body_fun: Callable, init: Any) -> Any:
    """Applies `body_fun` as long as `cond_fun` is true; returns the last value, as JAX's `lax.while_loop`.

    The condition is looked at, so values must be known: inside of `compile` and `vmap` use `scan` over as
    many steps as may be needed, with `np.where` to leave a value as it is.

    Raises
    ------
    TypeError
        While a function is recorded without values.

    Examples
    --------
    >>> import wengert as wg
    >>> half = lambda x: wg.while_loop(lambda x: x > 1, lambda x: x / 2, x)
    >>> half(10.0), wg.grad(half)(10.0)
    (0.625, np.float64(0.0625))
    """
    value = init
    while True:
        go_on = cond_fun(value)
        if isinstance(go_on, Var) and go_on.tape.abstract:
            raise TypeError(
                "while_loop: the condition depends on a traced value; use wg.scan over as many steps as may "
                "be needed, with np.where to leave a value as it is"
            )
        if np.size(go_on) != 1:
            raise ValueError(f"while_loop: the condition has shape {np.shape(go_on)}; expected one value")
        if not go_on:
            return value
        value = body_fun(value)


def _length(entries: list, labels: list[str], length: int | None) -> int:
    found = [(label, np.shape(x)) for x, label in zip(entries, labels, strict=True)]
    if length is None and not found:
        raise ValueError("scan: there is no xs, so length= must say how many steps to take")
    steps = length if length is not None else -1
    for label, shape in found:
        if not shape:
            raise ValueError(f"scan: {label} is a number; it must have a first axis, an entry per step")
        steps = shape[0] if steps < 0 else steps
        if shape[0] != steps:
            raise ValueError(f"scan: {label} has shape {shape}, but there are {steps} steps")
    return steps

"""Control: scan and while_loop, whose body is recorded once; checkpoint, which computes again; cond."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import numpy as wnp
from .._core import Var, innermost
from ..protocols.constants import known
from ..pytree import leaf_names, tree_flatten, tree_leaves, tree_map, tree_unflatten
from ..tape import OPS, Tape
from .call import Recording, decorates, on_tape, watched
from .child import Child, of_leaves

UNTIL = -1  # the number of steps of a loop that its condition ends
CARRIES = -1  # the block of a loop of which a derivative has the carries only
_FEW = 2  # "sqrt": smaller blocks are not worth a loop
_BLOCK = 16  # "log": of so many steps all carries are held at once
LITTLE = 1024  # elements computed by quick ops: a branch of `cond` that takes no more is no loop of its own
SLOW = ("BILINEAR", "RULE", "FLAT", "BITWISE")  # kinds of products, loops and the like
QUICK = frozenset(name for name, op in OPS.items() if op.kind not in SLOW)


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
    length, except for what is stacked and, where a reverse sweep follows, the carries and matrix products.

    Parameters
    ----------
    f : callable
        Takes a carry and an entry of `xs`; returns the next carry, of the same structure, shapes and dtypes,
        and a pytree of arrays to be stacked.
    init : pytree
        The first carry.  Python's integers in it are int64, or floats where the body makes floats of them.
    xs : pytree of arrays, optional
        All of one length along their first axis.
    length : int, optional
        The number of steps; needed where there is no `xs`.
    reverse : bool
        Go from the last entry to the first; what is stacked stands where its entry stood.
    checkpoint : "sqrt" or "log", optional
        How a reverse sweep over N steps saves memory.  "sqrt" keeps about 2 sqrt(N) carries and takes the
        steps once more.  "log" keeps snapshots at 0, 1/2, 3/4, 7/8 ... of the steps that are left, at most
        log2(N) + 1, and the carries of a block of 16 steps, and takes the steps about log2(N) / 2 times
        more; a reverse sweep over that sweep keeps all of its own.  By default all carries are kept, and of
        each step the matrix products (from 32 multiply-adds for an element on) that the sweep needs again.

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
    if checkpoint not in (None, "sqrt", "log"):
        raise ValueError(f"scan: checkpoint={checkpoint!r}; expected None, 'sqrt' or 'log'")
    if steps and watched(carries + entries):
        return _step_by_step(f, init, xs, range(steps)[:: -1 if reverse else 1])
    inner = math.isqrt(steps) if checkpoint == "sqrt" else 1
    if inner > _FEW:
        return _in_blocks(f, init, xs, steps, reverse, inner)
    block = 0 if checkpoint is None else _BLOCK if checkpoint == "log" and steps > _BLOCK else CARRIES
    return _looped("scan", f, (carries, carry_tree), (entries, entry_tree), steps, reverse, block)


def _step_by_step(f: Callable, carry: Any, xs: Any, steps: range) -> tuple:
    with Recording(tree_leaves((carry, xs))) as recording:
        tape, ys = recording.tape, {}
        carry, xs = tree_map(lambda x: _start(tape, x), carry), tree_map(tape.as_var, xs)
        for k in steps:
            carry, ys[k] = f(carry, tree_map(lambda x, k=k: x[k], xs))
        stacked = tree_map(lambda *y: wnp.stack(y), *(ys[k] for k in sorted(ys)))
        return tree_map(recording.result, (carry, stacked))


def _looped(
    name: str, f: Callable, carry: tuple, xs: tuple, steps: int, reverse: bool = False, block: int = 0
) -> tuple:
    """The loop, from the leaves and the structure of the first carry and of the entries."""
    (carries, carry_tree), (entries, entry_tree) = carry, xs
    with Recording(carries + entries) as recording:
        tape = recording.tape
        moving = [tape.as_var(x) for x in entries]
        body, carried = _record_body(name, f, tape, carries, carry_tree, moving, entry_tree)
        layout = len(carried), len(moving), steps, reverse, 0 if steps == UNTIL else -1, block
        results = _loop(tape, body, [*carried, *moving], layout)
        last = tree_unflatten(carry_tree, [recording.result(v) for v in results[: len(carried)]])
        ys = tree_unflatten(body.structure, [recording.result(v) for v in results[len(carried) :]])
        return last, ys


def _in_blocks(f: Callable, init: Any, xs: Any, steps: int, reverse: bool, inner: int) -> tuple:
    """A loop over blocks of `inner` steps, each a loop, then the steps that are left over."""
    whole = steps // inner * inner
    start = steps - whole if reverse else 0  # of the blocks; the steps that come last are left over

    if any(type(x) is int for x in tree_leaves(init)):  # a step tells what the body makes of them
        first = scan(f, init, tree_map(lambda x: x[:1], xs), 1)[0]
        init = tree_map(lambda x, y: y.dtype.type(x) if type(x) is int else x, init, first)

    def block(carry: Any, entries: Any) -> tuple:
        return _looped("scan", f, tree_flatten(carry), tree_flatten(entries), inner, reverse, CARRIES)

    def stacked(x: Any) -> Any:
        return wnp.reshape(x[start : start + whole], (whole // inner, inner, *np.shape(x)[1:]))

    entries = tree_flatten(tree_map(stacked, xs))
    carry, ys = _looped("scan", block, tree_flatten(init), entries, whole // inner, reverse, CARRIES)
    ys = tree_map(lambda y: wnp.reshape(y, (whole, *np.shape(y)[2:])), ys)
    if whole == steps:
        return carry, ys
    rest = tree_map(lambda x: x[:start] if reverse else x[whole:], xs)
    carry, more = scan(f, carry, rest, steps - whole, reverse, "sqrt")
    return carry, tree_map(lambda a, b: wnp.concatenate([b, a] if reverse else [a, b]), ys, more)


def _record_body(
    name: str, f: Callable, tape: Any, carries: list, carry_tree: Any, moving: list[Var], entry_tree: Any
) -> tuple[Child, list[Var]]:
    """The body, and the first carries in the dtypes that the body keeps."""
    carried = [_start(tape, x) for x in carries]
    kinds = [(v.dtype, v.shape) for v in carried] + [(v.dtype, v.shape[1:]) for v in moving]
    floats: dict[int, Var] = {}  # by carry: Python's integers of which the body makes floats

    def step(given: list) -> Any:
        carry = tree_unflatten(carry_tree, given[: len(carried)])
        result = f(carry, tree_unflatten(entry_tree, given[len(carried) :]))
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(f"{name}: the body must return a pair (carry, y)")
        leaves, structure = tree_flatten(result[0])
        if structure != carry_tree:
            raise ValueError(f"{name}: the carry goes in as {carry_tree} and comes out as {structure}")
        labels = leaf_names(carry_tree, "the carry")
        for k, x in enumerate(leaves):
            if type(carries[k]) is int and getattr(x, "dtype", np.dtype(type(x))).kind in "fc":
                floats[k] = carried[k] = _start(tape, float(carries[k]))
        return [
            _same(name, x, v, label) for x, v, label in zip(leaves, carried, labels, strict=True)
        ], result[1]

    body = Child(name, step, kinds, tape)
    body.structure = body.structure.children[1]
    if floats:  # such they are from the start
        carries = [floats.get(k, x) for k, x in enumerate(carries)]
        return _record_body(name, f, tape, carries, carry_tree, moving, entry_tree)
    return body, carried


def _start(tape: Any, x: Any) -> Var:
    v = tape.as_var(np.int64(x) if type(x) is int else x)  # it may be an index
    return wnp.astype(v, v.dtype) if v.weak else v


def _same(name: str, x: Any, like: Var, label: str) -> Any:
    """A carry that comes out, in the dtype in which it went in where it is a plain number."""
    if isinstance(x, (int, float)):
        return np.asarray(x, like.dtype)[()]
    if np.shape(x) != like.shape or x.dtype != like.dtype:
        raise ValueError(
            f"{name}: {label} goes in with shape {like.shape} and dtype {like.dtype}, and comes out with "
            f"{np.shape(x)} and {x.dtype}; start with one like that, or reshape or cast the result"
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
        if innermost(leaves) is None or watched(leaves):
            return f(*args, **kwargs)
        places = [k for k, x in enumerate(leaves) if isinstance(x, (Var, np.ndarray))]

        with Recording(leaves) as recording:
            tape = recording.tape
            operands = [tape.as_var(leaves[k]) for k in places]
            recorded = of_leaves(f, leaves, structure, places)
            body = Child("checkpoint", recorded, [(v.dtype, v.shape) for v in operands], tape)
            # a loop of one step: it runs as a whole, so that no part of it is shared with its derivative
            results = _loop(tape, body, operands, (0, 0, 1, False, -1))
            return tree_unflatten(body.structure, [wnp.reshape(v, v.shape[1:]) for v in results])

    return wrapped


def cond(pred: Any, true_fun: Callable, false_fun: Callable, *operands: Any) -> Any:
    """One of two functions of the operands, as JAX's `lax.cond`.

    While a function is recorded both are recorded, and a replay runs the one that `pred` asks for; under
    `vmap`, where elements may differ, it runs both unless all agree.  Little work is done both ways.  What
    Python computes (`wg.host_call`, `numpy.linalg`) is computed for those elements only that ask for it.

    Parameters
    ----------
    pred : one truth value
    true_fun, false_fun : callable
        Take the operands to pytrees that agree in structure, shapes and dtypes.
    *operands : pytrees of arrays

    Raises
    ------
    ValueError
        Where `pred` is not one value, or the functions' results do not agree.

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> f = lambda x: wg.cond(x > 0, np.sqrt, lambda x: -x, x)
    >>> f(4.0), wg.compile(wg.grad(f))(-4.0)
    (np.float64(2.0), np.float64(-1.0))
    """
    if np.size(pred) != 1:
        raise ValueError(
            f"cond: pred has shape {np.shape(pred)}; expected (): use np.where for arrays of them"
        )
    if not isinstance(pred, Var) or not pred.tape.abstract:
        return true_fun(*operands) if bool(known("cond", pred)) else false_fun(*operands)
    pred = wnp.not_equal(wnp.reshape(pred, ()), 0)
    leaves, structure = tree_flatten(operands)
    with Recording([pred, *leaves]) as recording:
        tape = recording.tape
        given = on_tape("cond", tape, leaves, structure, "the operand")
        kinds = [(v.dtype, v.shape) for v in given]

        def recorded(f: Callable) -> Child:
            return Child(
                "cond", lambda vs: f(*tree_unflatten(structure, vs[:-1])), [*kinds, (bool, ())], tape
            )

        yes, no = recorded(true_fun), recorded(false_fun)
        labels = leaf_names(yes.structure, "the result")
        if yes.structure != no.structure:
            raise ValueError(
                f"cond: the functions return {yes.structure} and {no.structure}; expected the same"
            )
        results = [_branch(tape, yes, given, pred), _branch(tape, no, given, wnp.logical_not(pred))]
        for a, b, label in zip(*results, labels, strict=True):
            if a.shape != b.shape:
                raise ValueError(f"cond: {label} has shape {a.shape} or {b.shape}; both functions must agree")
        chosen = [recording.result(wnp.where(pred, a, b)) for a, b in zip(*results, strict=True)]
        return tree_unflatten(yes.structure, chosen)


def _branch(tape: Any, child: Child, given: list[Var], guard: Any) -> list[Var]:
    """The results of one function of a `cond`; zeros, and nothing is run, where its guard is false."""
    nodes = [child.tape.node(k) for k in range(len(child.tape))]
    work = sum(math.prod(node.shape) if node.op in QUICK else LITTLE for node in nodes)
    if work < LITTLE:
        return tape.call(child.tape, [*given, guard, *child.hidden]) if child.tape.outputs else []
    results = _loop(tape, child, [*given, guard], (0, 0, 1, False, len(given)))
    return [wnp.reshape(v, v.shape[1:]) for v in results]


def while_loop(cond_fun: Callable, body_fun: Callable, init: Any) -> Any:
    """Applies `body_fun` as long as `cond_fun` is true; returns the last value, as JAX's `lax.while_loop`.

    Where the condition is known, this is Python's `while`, and has all derivatives.  While a function is
    recorded (`compile`, `vmap`), a replay goes round as often as it must: then there are derivatives in
    forward mode, and under `vmap` it goes on until all elements are done.

    Parameters
    ----------
    cond_fun : callable
        Takes a value to one truth value.
    body_fun : callable
        Takes a value to the next, of the same structure, shapes and dtypes.
    init : pytree

    Raises
    ------
    ValueError
        Where the condition is not one truth value, or values that go in and come out do not fit; for a
        reverse sweep through a recorded loop, the number of whose steps is not known.

    Examples
    --------
    >>> import wengert as wg
    >>> half = lambda x: wg.while_loop(lambda x: x > 1, lambda x: x / 2, x)
    >>> half(10.0), wg.grad(half)(10.0), wg.compile(half)(10.0)
    (0.625, np.float64(0.0625), np.float64(0.625))
    """
    value = init
    while True:
        go_on = cond_fun(value)
        if np.size(go_on) != 1:
            raise ValueError(f"while_loop: the condition has shape {np.shape(go_on)}; expected one value")
        if isinstance(go_on, Var) and go_on.tape.abstract:
            return _recorded_while(cond_fun, body_fun, (go_on, value))
        if not go_on:
            return value
        value = body_fun(value)


def _recorded_while(cond_fun: Callable, body_fun: Callable, init: tuple) -> Any:
    """A loop that carries its condition along."""

    def truth(go_on: Any) -> Any:
        return wnp.not_equal(wnp.reshape(go_on, ()), 0)

    def step(carry: Any, _: Any) -> tuple:
        value = body_fun(carry[1])
        return (truth(cond_fun(value)), value), None

    start = tree_flatten((truth(init[0]), init[1]))
    return _looped("while_loop", step, start, tree_flatten(None), UNTIL)[0][1]


def _length(entries: list, labels: list[str], length: int | None) -> int:
    found = [(label, np.shape(x)) for x, label in zip(entries, labels, strict=True)]
    if length is None and not found:
        raise ValueError("scan: there is no xs, so length= must say how many steps to take")
    if length is not None and (not isinstance(length, (int, np.integer)) or length < 0):
        raise ValueError(f"scan: length is {length!r}; expected an integer, at least 0")
    steps = length if length is not None else -1
    for label, shape in found:
        if not shape:
            raise ValueError(f"scan: {label} is a number; it must have a first axis, an entry per step")
        steps = shape[0] if steps < 0 else steps
        if shape[0] != steps:
            raise ValueError(f"scan: {label} has shape {shape}, but there are {steps} steps")
    return steps

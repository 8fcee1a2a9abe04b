"""jet: Taylor series through a function, all orders in one pass.

A value's series along a curve is a list of coefficients c_k = y^(k) / k!.  Linear ops take each coefficient
on its own, products are Cauchy's.  An elementwise op y = f(a) has y' = D(a, y) a', where D is its column of
the op table:

    k y_k = sum over j = 1 ... k of j a_j D_(k-j)

and D is made of ops of the table whose own coefficients, up to order k - 1, follow in the same way: this is
the recurrence of exp, of sine and cosine, of tanh (Griewank & Walther 2008, "Evaluating Derivatives", 13.2).
What is not elementwise (`max`, a loop, a custom rule) is differentiated along the curve order by order.
"""

from __future__ import annotations

import ast
import functools
import math
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any

import numpy as np

from .. import numpy as wnp
from .._core import Var
from ..protocols.registry import append
from ..pytree import leaf_names, tree_leaves, tree_unflatten
from ..tape import OPS
from .call import DIFFERENTIABLE, Bound, Recording, outputs_on, seed
from .custom import against


def jet(f: Callable, primals: Sequence[Any], series: Sequence[Any]) -> tuple[Any, list[Any]]:
    """The derivatives of `f` along a curve, from those of the curve: `jvp` of any order, as JAX's `jet`.

    Parameters
    ----------
    f : callable
    primals : tuple of pytrees of floats
        The arguments: the point of the curve at t = 0.
    series : tuple of sequences
        For each argument its derivatives by t at 0, of orders 1 to K: pytrees like it, None for zero.
        A straight line in the direction v is (v, None, None, ...).

    Returns
    -------
    y : pytree
    y_series : list of K pytrees like `y`
        The derivatives of f(curve(t)) by t at 0; divided by k! they are its Taylor coefficients.

    Raises
    ------
    ValueError
        Where primals and series differ in structure or shape, or series in length.

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> wg.jet(np.exp, (0.0,), ((2.0, None, None),))
    (np.float64(1.0), [np.float64(2.0), np.float64(4.0), np.float64(8.0)])
    """
    order = _order(primals, series)
    with Recording(tree_leaves((tuple(primals), tuple(map(tuple, series))))) as recording:
        tape = recording.tape
        bound = Bound("jet", tape, tuple(primals), tuple(range(len(primals))))
        given = _curve(tape, bound, series)
        outputs, structure = outputs_on("jet", tape, f(*bound.args))
        part, operands = tape.extract(bound.inputs, outputs)
        moving = [v for curve in given for v in curve if v is not None]
        found = _pushed(part, [[v is not None for v in curve] for curve in given], order)
        part.set_outputs([v for row in found for v in row if v is not None])
        results = iter(tape.call(part, [*operands, *moving]) if part.outputs else [])
        rows = [
            [recording.derivative(None if v is None else next(results), y) for v in row]
            for row, y in zip(found, outputs, strict=True)
        ]
        y = tree_unflatten(structure, [recording.result(v) for v in outputs])
        return y, [tree_unflatten(structure, [row[k] for row in rows]) for k in range(order)]


def _order(primals: Any, series: Any) -> int:
    """The order of the series, which all have the same."""
    for label, given in (("primals", primals), ("series", series)):
        if not isinstance(given, (tuple, list)) or len(given) != len(primals):
            raise ValueError(f"jet: {label} must be a tuple with one entry per argument, got {given!r}")
    lengths = {len(curve) if isinstance(curve, (tuple, list)) else 0 for curve in series}
    if len(lengths) != 1 or not min(lengths):
        raise ValueError("jet: series must be a tuple with as many derivatives, 1 or more, for each argument")
    return lengths.pop()


def _curve(tape: Any, bound: Bound, series: Any) -> list[list[Var | None]]:
    """By input, its derivatives on the tape."""
    found: list[list[Var | None]] = []
    for number, (curve, structure) in enumerate(zip(series, bound.structures, strict=True)):
        rows = [against("jet: the series has the structure", tree, structure) for tree in curve]
        labels = leaf_names(structure, f"series[{number}]")
        for column, label in zip(zip(*rows, strict=True), labels, strict=True):
            x = bound.inputs[len(found)]
            found.append([None if c is None else seed("jet", tape, c, x, label) for c in column])
    return found


def _pushed(part: Any, given: list[list[bool]], order: int) -> list[list[Var | None]]:
    """By output of the part, its derivatives of orders 1 to K; its new inputs are those of the curve."""
    jets, nodes = _Jets(part, order), [part.node(k) for k in range(len(part))]
    for index, flags in zip(list(part.inputs), given, strict=False):
        node = nodes[index]
        curve = [part.input(node.dtype, node.shape) if flag else None for flag in flags]
        jets.series[index] = _given(part.at(index), _normalized(curve))
    for k, node in enumerate(nodes):
        jets.visit(k, node)
    return [
        [_times(math.factorial(k), jets.series[end][k]) for k in range(1, order + 1)] for end in part.outputs
    ]


# ---- series -----------------------------------------------------------------------------------------------


class _Series:
    """The Taylor coefficients of a value, each a Var or None for zero, made when they are asked for."""

    def __init__(self, first: Var, rule: Callable[[int], Var | None] | None = None):
        self.known: list[Var | None] = [first]
        self.rule = rule  # None for a constant

    def __getitem__(self, k: int) -> Var | None:
        while self.rule and len(self.known) <= k:
            self.known.append(_like(self.known[0], self.rule(len(self.known))))
        return self.known[k] if k < len(self.known) else None


def _given(first: Var, rest: list[Var | None]) -> _Series:
    return _Series(first, lambda k: rest[k - 1]) if any(v is not None for v in rest) else _Series(first)


def _like(y: Any, v: Var | None) -> Var | None:
    """A coefficient in the shape and dtype of its value, of which an operand may have less."""
    if v is None or (v.shape == y.shape and v.dtype == y.dtype):
        return v
    v = v if v.dtype == y.dtype else wnp.astype(v, y.dtype)
    return v if v.shape == y.shape else append("broadcast", v, attrs=y.shape)


def _times(factor: float, v: Var | None) -> Var | None:
    return v if v is None or factor == 1 else append("mul", v, float(factor))


def plus(a: Var | None, b: Var | None) -> Var | None:
    return b if a is None else a if b is None else append("add", a, b)


def _cauchy(op: str, a: _Series, b: _Series, k: int, attrs: tuple = (), start: int = 0) -> Var | None:
    """The sum over j >= start of op(a_j, b_(k-j))."""
    total = None
    for j in range(start, k + 1):
        if (left := a[j]) is not None and (right := b[k - j]) is not None:
            total = plus(total, append(op, left, right, attrs=attrs))
    return total


class _Jets:
    """The series of the nodes of a tape, and of what their columns in the op table are made of."""

    def __init__(self, part: Any, order: int):
        self.part, self.order = part, order
        self.series: dict[int, _Series] = {}  # by node
        self.kept: list[_Series] = []
        self.constants: dict[float, _Series] = {}
        # by op, attributes and operands: the sine's cosine's sine is the sine
        self.known: dict[tuple, _Series] = {}

    def visit(self, k: int, node: Any) -> None:
        """Makes the series of a node, whose operands have theirs."""
        if k in self.series:  # an input, or a result placed with its call
            return
        first, operands = self.part.at(k), [self.series[i] for i in node.inputs]
        kind = OPS[node.op].kind
        if kind == "LEAF" or not any(s.rule for s in operands):
            self.series[k] = _Series(first)
        elif kind == "RULE":
            self._along(k, node)
        else:
            self.series[k] = self.op(node.op, operands, node.attrs, first)
        for order in range(1, self.order + 1):  # now, lest a long chain be asked for at its end
            self.series[k][order]

    def op(self, name: str, operands: list[_Series], attrs: tuple = (), first: Var | None = None) -> _Series:
        """The series of an op of the table that is not a RULE."""
        key = (name, attrs, *map(id, operands))
        if key not in self.known:
            first = append(name, *[s[0] for s in operands], attrs=attrs) if first is None else first
            series = _Series(first)
            if first.dtype in DIFFERENTIABLE and any(s.rule for s in operands):
                series.rule = self._rule(name, operands, attrs, series)
            self.known[key] = series
            self.kept += operands  # their ids are theirs as long as they live
        return self.known[key]

    def _rule(self, name: str, s: list[_Series], attrs: tuple, y: _Series) -> Callable | None:
        """How the coefficient k follows from those before it and from the operands'."""
        row = OPS[name]
        if name in ("mul", "zmul") or row.kind == "BILINEAR":
            return lambda k: _cauchy(name, s[0], s[1], k, attrs)
        if name == "div":
            return lambda k: self._quotient(s[0], s[1], y, k)
        if name == "add":
            return lambda k: plus(s[0][k], s[1][k])
        if row.kind == "LINEAR":
            return lambda k: self._linear(name, s, attrs, k)
        column = functools.cache(self._column)  # when it is asked for: a column's ops have columns
        if row.kind == "DERIVATIVE":
            base = list(OPS.values())[row.base]  # in the order of their codes
            return lambda k: _cauchy("zmul", s[0], column(base, row.operand, tuple(s[1:]), attrs), k)
        if row.kind not in ("UNARY", "BINARY"):
            return None  # piecewise constant, or no derivative flows through
        operands = (*s, *[s[0]] * (2 - len(s)), y)
        moving = [(i, a) for i, a in enumerate(s) if a.rule]
        return lambda k: self._recurrence([(a, column(row, i, operands, attrs)) for i, a in moving], k)

    def _recurrence(self, pairs: list[tuple[_Series, _Series]], k: int) -> Var | None:
        total = None
        for a, column in pairs:
            for j in range(1, k + 1):
                if (moved := a[j]) is not None and (slope := column[k - j]) is not None:
                    total = plus(total, _times(j, append("zmul", moved, slope)))
        return _times(1 / k, total)

    def _quotient(self, a: _Series, b: _Series, y: _Series, k: int) -> Var | None:
        """y b = a."""
        brought = _cauchy("mul", b, y, k, start=1)
        total = plus(a[k], _times(-1, brought))
        return None if total is None else append("div", total, b[0])

    def _linear(self, name: str, s: list[_Series], attrs: tuple, k: int) -> Var | None:
        if all(a[k] is None for a in s):
            return None
        firsts: list[Any] = [a[0] for a in s]
        zeros = [x if x.dtype not in DIFFERENTIABLE else self.part.full(0, x.dtype, x.shape) for x in firsts]
        parts = [zero if a[k] is None else a[k] for a, zero in zip(s, zeros, strict=True)]
        return append(name, *parts, attrs=attrs)

    def _column(self, row: Any, which: int, operands: tuple, attrs: tuple) -> _Series:
        """The series of a partial derivative; of the operands a, b and y, those that it reads or all."""
        text = row.derivative[which]
        tree = _parsed(text)
        read = sorted({x.id for x in ast.walk(tree) if isinstance(x, ast.Name)} & {"a", "b", "y"})
        names = dict(zip("aby" if len(operands) == 3 else read, operands, strict=True))

        def series(term: ast.expr) -> _Series:
            if isinstance(term, ast.Call):
                assert isinstance(term.func, ast.Name)
                return self.op(term.func.id, [series(x) for x in term.args])
            if isinstance(term, ast.Name):
                if term.id not in names:
                    raise ValueError(f"jet: {row.name} has no derivative by its operand {which}")
                return names[term.id]
            if isinstance(term, ast.Subscript):
                return self._constant(float(np.int64(attrs[ast.literal_eval(term.slice)]).view(np.float64)))
            return self._constant(ast.literal_eval(term))

        return series(tree)

    def _constant(self, value: float) -> _Series:
        if value not in self.constants:
            self.constants[value] = _Series(self.part.as_var(float(value)))
        return self.constants[value]

    def _along(self, k: int, node: Any) -> None:
        """The series of a RULE, or of the results of a call: the op alone, differentiated order after order.

        The derivatives u_1, u_2, ... of an operand u_0 are inputs: d/dt takes each to the next.
        """
        ends = [k]
        if node.op == "call":
            self.series[k] = _Series(self.part.at(k))
            # its results follow at once
            ends = list(takewhile(lambda e: self.part.node(e).op == "result", range(k + 1, len(self.part))))
        moving = [i for i in dict.fromkeys(node.inputs) if self.series[i].rule]
        sub, given = self.part.extract([self.part.at(i) for i in moving], [self.part.at(end) for end in ends])
        curves: list[list[Any]] = [[sub.at(slot)] for slot in sub.inputs[: len(moving)]]
        for curve, i in zip(curves, moving, strict=True):
            for order in range(1, self.order + 1):
                c = _times(math.factorial(order), self.series[i][order])
                curve.append(None if c is None else sub.input(c.dtype, c.shape))
                given += [] if c is None else [c]
        rows: list[list[Any]] = [[sub.at(end)] for end in sub.outputs]
        for order in range(self.order):
            pairs = [(c[j], c[j + 1]) for c in curves for j in range(order + 1) if c[j] is not None]
            at, along = map(list, zip(*pairs, strict=True))
            known = [row for row in rows if row[-1] is not None]
            following = dict(zip(map(id, known), sub.jvp(at, along, [row[-1] for row in known]), strict=True))
            for row in rows:
                row.append(following.get(id(row)))
        sub.set_outputs([v for row in rows for v in row[1:] if v is not None])
        results = iter(self.part.call(sub, given) if sub.outputs else [])
        for end, row in zip(ends, rows, strict=True):
            found = [None if v is None else next(results) for v in row[1:]]
            self.series[end] = _given(self.part.at(end), _normalized(found))


def _normalized(derivatives: list[Var | None]) -> list[Var | None]:
    """Taylor coefficients from derivatives of orders 1, 2, ..."""
    return [_times(1 / math.factorial(k), v) for k, v in enumerate(derivatives, 1)]


@functools.cache
def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body

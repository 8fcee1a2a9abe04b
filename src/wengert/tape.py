"""The tape by hand: variables, operations, and sweeps over them whose results are numbers.

t = Tape();  x = t.var(0.5, name="x");  z = x * 2 + np.sin(x)
t.gradient(z).wrt(x);  t.tangent(x).of(z);  print(t);  t.to_svg("tape.svg")
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import (
    _core,
    protocols,  # noqa: F401  registers what NumPy functions do with a Var
)
from ._core import Var, set_current

__all__ = ["Gradient", "Tangent", "Tape", "recording_on"]

OPS = {op.name: op for op in _core.ops()}
SHOWN = 120  # nodes of a long tape that are printed: half from its start, half from its end


@contextlib.contextmanager
def recording_on(tape: Any, ends: bool = False) -> Iterator[None]:
    """What has no Var among its operands is recorded on this tape, on none if it is None; it may end then."""
    before = set_current(tape)
    try:
        yield
    finally:
        set_current(before)
        if ends:
            tape.ended = True


class Section(NamedTuple):
    """A run of nodes that a gradient with `create_graph` appended."""

    start: int
    stop: int
    title: str


class Tape(_core.Tape):
    """A list of recorded operations.

    Operations on a tape's Vars append to it; each is computed at once.  An abstract tape, as `wg.compile`
    records it, knows shapes and dtypes only.

    Parameters
    ----------
    abstract : bool
    parent : Tape, optional
        The tape whose Vars may be used on this (abstract) one.

    Examples
    --------
    >>> import numpy as np, wengert as wg
    >>> t = wg.Tape()
    >>> x, y = t.var(0.5, name="x"), t.var(4.2, name="y")
    >>> z = x * y + np.sin(x)
    >>> z.value
    np.float64(2.579425538604203)
    >>> g = t.gradient(z)
    >>> g.wrt(x), g[y]
    (np.float64(5.077582561890373), np.float64(0.5))
    """

    # No attributes of the caller's: a Var kept in one would be a cycle that the collector does not see.
    __slots__ = ("_names", "_sections", "_variables")

    def __init__(self, abstract: bool = False, parent: _core.Tape | None = None):
        self._variables: list[int] = []
        self._names: dict[int, str] = {}
        self._sections: list[Section] = []

    def var(self, x: Any, name: str | None = None) -> Var:
        """A variable: a new node that the gradients of this tape are taken by.

        Parameters
        ----------
        x : float or array of floats
            Its value; on an abstract tape only its shape and dtype count.  Python integers count as floats.
        name : str, optional
            Shown where the tape is printed or drawn.

        Raises
        ------
        TypeError
            For arrays of integers and the like, which have no derivative.
        """
        if isinstance(x, Var):
            raise TypeError("var: x is a Var already; a variable is made from a number or an array")
        array = np.asarray(float(x) if type(x) is int else x)
        if array.dtype.kind not in "fc":
            raise TypeError(f"var: x has dtype {array.dtype}; a variable needs floats: pass x.astype(float)")
        v = self.input(array.dtype, array.shape) if self.abstract else self.leaf(array)
        self._variables.append(v.index)
        return v if name is None else self.name(v, name)

    def name(self, v: Var, name: str) -> Var:
        """Names a node, for printing and drawing; returns it."""
        self._own("name", v)
        self._names[v.index] = str(name)
        return v

    def pop(self, length: int) -> None:
        """Forgets the nodes from `length` on; Vars that refer to them have ended."""
        super().pop(length)
        self._variables = [index for index in self._variables if index < length]
        self._names = {index: name for index, name in self._names.items() if index < length}
        self._sections = [section for section in self._sections if section.stop <= length]

    def gradient(self, z: Var, create_graph: bool = False) -> Gradient:
        """The derivatives of one number by everything recorded before it, by a reverse sweep.

        Parameters
        ----------
        z : Var
            Of size 1.
        create_graph : bool
            Keep the sweep's nodes on the tape, so that the derivatives are Vars too (`g.var(x)`) and can be
            differentiated again.  Otherwise the tape's length is as before.

        Raises
        ------
        ValueError
            If `z` is not one number, or not of this tape.
        """
        self._own("gradient", z)
        if z.size != 1:
            raise ValueError(
                f"gradient: z has shape {z.shape}; expected one number: sum it, or use wg.jacobian"
            )
        if z.dtype.kind not in "fc":
            raise TypeError(f"gradient: z has dtype {z.dtype}; a derivative needs a float")
        return Gradient(self, z, create_graph)

    def tangent(self, x: Var, direction: Any = None) -> Tangent:
        """The derivatives of everything by one variable, by forward sweeps.

        Parameters
        ----------
        x : Var
        direction : array of the shape of `x`, optional
            The tangent of `x`; needed where `x` is not one number.
        """
        self._own("tangent", x)
        if direction is None and x.size != 1:
            raise ValueError(f"tangent: x has shape {x.shape}; pass direction=, an array of that shape")
        return Tangent(self, x, np.ones(x.shape) if direction is None else direction)

    def _own(self, what: str, v: Any) -> None:
        if not isinstance(v, Var) or v.tape is not self:
            raise ValueError(f"{what}: expected a Var of this tape, got {v!r}")
        v.shape  # noqa: B018  raises where the Var has ended

    # ---- what it looks like
    # -----------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"<{'abstract' if self.abstract else 'eager'} tape of {len(self)} nodes>"

    def __str__(self) -> str:
        """A table: index, op, inputs, value, local partial derivatives, name."""
        rows: list[tuple[str, ...] | str] = [
            ("", "op", "inputs", "shape" if self.abstract else "value", "local partials", "name")
        ]
        n, half = len(self), SHOWN // 2
        for index in range(n) if n <= SHOWN else (*range(half), *range(n - half, n)):
            if index == n - half and n > SHOWN:
                rows.append(f"... {n - SHOWN} nodes ...")
            rows += [f"--- {s.title}" for s in self._sections if s.start == index]
            rows.append(self._row(index))
            rows += ["--- recorded after it" for s in self._sections if s.stop == index + 1 < n]
        cells = [row for row in rows if isinstance(row, tuple)]
        widths = [max(len(row[k]) for row in cells) for k in range(6)]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            if isinstance(row, tuple)
            else row
            for row in rows
        ]
        return "\n".join(lines)

    def _row(self, index: int) -> tuple[str, ...]:
        node = self.node(index)
        inputs = " ".join(f"%{k}" for k in node.inputs)
        partials = "  ".join(
            f"d%{i}: {text}" for i, text in zip(node.inputs, self.partials(index), strict=True) if text
        )
        return (f"%{index}", node.op, inputs, self.summary(index), partials, self._names.get(index, ""))

    def summary(self, index: int) -> str:
        """A node's value in a few characters, or its dtype and shape."""
        node = self.node(index)
        return _short(self.value(index)) if node.has_value else f"{node.dtype}{list(node.shape)}"

    def partials(self, index: int) -> list[str]:
        """The local partial derivative by each input of a node; on an abstract tape its formula."""
        node = self.node(index)
        op = OPS[node.op]
        if not any(op.derivative):
            return [""] * len(node.inputs)
        if self.abstract:
            return [op.derivative[k] or "" for k in range(len(node.inputs))]
        mark, texts = len(self), []
        for k in range(len(node.inputs)):
            partial = self.partial(index, k)
            texts.append("" if partial is None else _short(partial.value))
        super().pop(mark)
        return texts

    def label(self, index: int) -> str:
        """The name given to a node, or nothing."""
        return self._names.get(index, "")

    def added(self, index: int) -> bool:
        """Whether a gradient with `create_graph` appended this node."""
        return any(section.start <= index < section.stop for section in self._sections)

    def to_svg(self, path: str | Path) -> None:
        """Writes a drawing of the tape."""
        Path(path).write_text(self._repr_svg_(), encoding="utf-8")

    def _repr_svg_(self) -> str:
        from .drawing import draw  # only needed here

        return draw(self)


def _short(value: Any) -> str:
    """A number to 7 digits; of an array a few elements, or its dtype and shape."""
    array = np.asarray(value)
    if array.ndim == 0:
        return f"{array.item():.7g}" if array.dtype.kind == "f" else str(array.item())
    if array.size <= 4:
        return np.array2string(array, precision=4, separator=" ").replace("\n", "")
    return f"{array.dtype}{list(array.shape)}"


class Gradient:
    """The derivatives of one number of a tape; what `Tape.gradient` returns.

    Examples
    --------
    >>> import wengert as wg
    >>> t = wg.Tape()
    >>> x = t.var(3.0)
    >>> g = t.gradient(x**3, create_graph=True)
    >>> g[x], t.gradient(g.var(x))[x]
    (np.float64(27.0), np.float64(18.0))
    """

    def __init__(self, tape: Tape, z: Var, create_graph: bool):
        self._tape = tape
        self._z = z
        self._create_graph = create_graph
        self._numbers: dict[int, Any] = {}
        self._vars: dict[int, Var] = {}
        self._sweep(list(tape._variables))

    def _sweep(self, inputs: list[int]) -> None:
        """Finds the derivatives by some nodes, in one reverse sweep."""
        tape, z, mark = self._tape, self._z, len(self._tape)
        given = [tape.at(index) for index in inputs]
        swept = tape.vjp([z], [tape.full(1, z.dtype, z.shape)], given, not self._create_graph)
        for x, g in zip(given, swept, strict=True):
            if self._create_graph:
                self._vars[x.index] = tape.full(0, x.dtype, x.shape) if g is None else g
            if not tape.abstract:
                self._numbers[x.index] = np.zeros(x.shape, x.dtype)[()] if g is None else g.value
        if not self._create_graph:
            tape.pop(mark)
        elif len(tape) > mark:
            name = tape.label(z.index)
            title = f"gradient of %{z.index}{f' ({name})' if name else ''}"
            tape._sections.append(Section(mark, len(tape), title))

    def _of(self, found: dict[int, Any], x: Var) -> Any:
        self._tape._own("gradient", x)
        if x.dtype.kind not in "fc":
            raise TypeError(f"gradient: %{x.index} has dtype {x.dtype}, by which there is no derivative")
        if self._z.dtype.kind == "c" != x.dtype.kind:
            raise TypeError(
                f"gradient: z is complex and %{x.index} real; take that of np.real, np.imag or np.abs"
            )
        if x.index not in found:
            self._sweep([x.index])
        return found[x.index]

    def wrt(self, x: Var) -> Any:
        """The derivative by a Var of the tape, also an intermediate one: a number, zero where independent."""
        if self._tape.abstract:
            raise TypeError("gradient: an abstract tape has no numbers; use create_graph=True and g.var(x)")
        return self._of(self._numbers, x)

    __getitem__ = wrt

    def var(self, x: Var) -> Var:
        """The derivative by a Var as a Var of the same tape, for derivatives of higher order."""
        if not self._create_graph:
            raise RuntimeError(
                "gradient: g.var(x) needs the sweep's nodes: use t.gradient(z, create_graph=True)"
            )
        return self._of(self._vars, x)


class Tangent:
    """The derivatives of a tape's nodes along a direction of one variable; what `Tape.tangent` returns."""

    def __init__(self, tape: Tape, x: Var, direction: Any):
        self._tape = tape
        self._x = x
        self._direction = np.asarray(direction, x.dtype)
        if self._direction.shape != x.shape:
            raise ValueError(f"tangent: direction has shape {self._direction.shape}, expected {x.shape}")

    def of(self, z: Var) -> Any:
        """The derivative of a Var of the tape: of its shape, zero where independent."""
        tape = self._tape
        tape._own("tangent", z)
        mark = len(tape)
        try:
            (swept,) = tape.jvp([self._x], [tape.as_var(self._direction)], [z])
            return np.zeros(z.shape, z.dtype)[()] if swept is None else swept.value
        finally:
            tape.pop(mark)

    __getitem__ = of

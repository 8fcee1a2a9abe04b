"""A drawing of a tape: SVG written by hand, one box per node, in layers from the inputs downwards.

An edge over several layers passes each of them through a gap of its own, so that none runs behind a box."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .tape import Tape

# Sizes in pixels.
WIDTH, HEIGHT, PASS, GAP, LAYER_GAP, MARGIN = 208, 50, 12, 28, 64, 24
STRAIGHT = 18  # the last part of an edge, beside which its label stands
CHARACTER = 6.8  # width that fits most characters of the font at its size
SHOWN = 80  # nodes of a long tape that are drawn: half from its start, half from its end

FILLS = {"input": "#dbeafe", "constant": "#f3f4f6", "added": "#fef3c7", "op": "#ffffff"}
STYLE = (
    "text{font-family:ui-sans-serif,system-ui,Helvetica,Arial,sans-serif;font-size:12px;fill:#111827}"
    ".op{font-weight:600}.name{fill:#1d4ed8;font-weight:600}.dim{fill:#6b7280;font-size:11px}"
    ".label{font-size:11px;paint-order:stroke;stroke:#fafafa;stroke-width:4px}.partial{fill:#b45309}"
    "rect{stroke:#9ca3af;stroke-width:1}path{fill:none;stroke:#9ca3af;stroke-width:1.3}"
)


class Layout(NamedTuple):
    """Where everything stands: the layer of each node, and the middles of what each layer holds.

    `x[index, layer]` is the middle of a node's box in its own layer and of its edges' gap in those below.
    """

    layer: dict[int, int]
    x: dict[tuple[int, int], float]
    width: float

    def top(self, layer: int) -> float:
        """The upper edge of a layer's boxes."""
        return MARGIN + 20 + layer * (HEIGHT + LAYER_GAP)


def draw(tape: Tape) -> str:
    """The picture as the text of an SVG file."""
    used = _used(tape)
    nodes = used if len(used) <= SHOWN else [*used[: SHOWN // 2], *used[-SHOWN // 2 :]]
    shown = set(nodes)
    inputs = {index: [k for k in tape.node(index).inputs if k in shown] for index in nodes}
    layout = _layout(_layers(tape, nodes, inputs), inputs)
    height = layout.top(max(layout.layer.values(), default=0)) + HEIGHT + MARGIN
    missing = {"unused": len(tape) - len(used), "in the middle": len(used) - len(nodes)}
    title = f"{len(tape)} nodes" + "".join(f", {n} {which} left out" for which, n in missing.items() if n)
    size = f'width="{layout.width:.0f}" height="{height:.0f}"'
    edges = [_edge(tape, layout, index, place) for index in nodes for place in range(_arity(tape, index))]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {layout.width:.0f} {height:.0f}">',
        f"<style>{STYLE}</style>",
        f'<rect x="0" y="0" {size} style="fill:#fafafa;stroke:none"/>',
        f'<text class="dim" x="{MARGIN}" y="{MARGIN}">{title}</text>',
        *edges,
        *(_labels(tape, layout, index) for index in nodes),  # above all edges
        *(_box(tape, layout, index) for index in nodes),
        "</svg>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _used(tape: Tape) -> list[int]:
    """The nodes without the constants that nothing reads."""
    read = {k for index in range(len(tape)) for k in tape.node(index).inputs} | set(tape.outputs)
    return [index for index in range(len(tape)) if index in read or tape.node(index).op != "constant"]


def _arity(tape: Tape, index: int) -> int:
    return len(tape.node(index).inputs)


def _layers(tape: Tape, nodes: list[int], inputs: dict[int, list[int]]) -> dict[int, int]:
    """The layer of each node: below all of its inputs; that of a constant is just above its first reader."""
    depth: dict[int, int] = {}
    for index in nodes:
        depth[index] = 1 + max((depth[k] for k in inputs[index]), default=-1)
    readers: dict[int, int] = {}
    for index in nodes:
        for k in inputs[index]:
            readers[k] = min(readers.get(k, depth[index]), depth[index])
    for index in nodes:
        if not inputs[index] and index in readers:
            depth[index] = readers[index] - 1
    return depth


def _layout(depth: dict[int, int], inputs: dict[int, list[int]]) -> Layout:
    """Layer by layer, ordered by the mean place of what is read from the layer above; each layer centred."""
    last = dict(depth)  # the last layer that a node's edges pass
    first_use: dict[int, tuple[int, int]] = {}  # the first reader, and as which of its inputs
    for index, read in inputs.items():
        for place, k in enumerate(read):
            last[k] = max(last[k], depth[index] - 1)
            first_use.setdefault(k, (index, place))
    layers = [
        [index for index in depth if depth[index] <= number <= last[index]]
        for number in range(1 + max(depth.values(), default=0))
    ]

    def extent(index: int, number: int) -> float:
        return WIDTH if depth[index] == number else PASS

    spans = [sum(extent(index, number) + GAP for index in layer) - GAP for number, layer in enumerate(layers)]
    width = 2 * MARGIN + max(*spans, 2 * WIDTH + GAP, 0)
    x: dict[tuple[int, int], float] = {}
    for number, layer in enumerate(layers):
        wishes = {}
        for index in layer:
            above = [x[k, number - 1] for k in ([index] if depth[index] < number else inputs[index])]
            mean = sum(above) / len(above) if above else width / 2
            wishes[index] = (mean, first_use.get(index, (index, 0)))
        left = (width - spans[number]) / 2
        for index in sorted(layer, key=wishes.__getitem__):
            x[index, number] = left + extent(index, number) / 2
            left += extent(index, number) + GAP
    return Layout(depth, x, width)


def _port(tape: Tape, layout: Layout, index: int, place: int) -> float:
    """Where on a box the edge of one of its inputs ends."""
    return layout.x[index, layout.layer[index]] + WIDTH * ((place + 1) / (_arity(tape, index) + 1) - 0.5)


def _edge(tape: Tape, layout: Layout, index: int, place: int) -> str:
    """The curve from an input of a node to it, or a dashed stub with the number of one that is not drawn."""
    k, last = tape.node(index).inputs[place], layout.layer[index]
    port, end = _port(tape, layout, index, place), layout.top(last)
    if k not in layout.layer:
        return (
            f'<path d="M{port:.0f},{end - 22:.0f} V{end:.0f}" stroke-dasharray="2 3"/>'
            f'<text class="dim" x="{port + 4:.0f}" y="{end - 12:.0f}">%{k}</text>'
        )
    curve = f"M{layout.x[k, layout.layer[k]]:.0f},{layout.top(layout.layer[k]) + HEIGHT:.0f}"
    for number in range(layout.layer[k] + 1, last + 1):
        x0, x1 = layout.x[k, number - 1], port if number == last else layout.x[k, number]
        y0, y1 = layout.top(number - 1) + HEIGHT, layout.top(number) - STRAIGHT
        bend = (y1 - y0) / 2
        curve += f" C{x0:.0f},{y0 + bend:.0f} {x1:.0f},{y1 - bend:.0f} {x1:.0f},{y1:.0f}"
        curve += f" V{y1 + STRAIGHT + (0 if number == last else HEIGHT):.0f}"
    return f'<path d="{curve}"/>'


def _labels(tape: Tape, layout: Layout, index: int) -> str:
    """The local partial derivatives, where they are numbers, beside the ends of the edges."""
    node = tape.node(index)
    if not node.has_value or node.shape:
        return ""
    parts, y = [], layout.top(layout.layer[index]) - 6
    for place, (k, partial) in enumerate(zip(node.inputs, tape.partials(index), strict=True)):
        if partial and k in layout.layer:
            anchor, offset = ("end", -6) if place == 0 and len(node.inputs) > 1 else ("start", 6)
            x = _port(tape, layout, index, place) + offset
            text = f'<text class="label partial" x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">'
            parts.append(f"{text}{escape(partial)}</text>")
    return "\n".join(parts)


def _box(tape: Tape, layout: Layout, index: int) -> str:
    """One node: index and op, name, and its value or its dtype and shape; cut where the box is too narrow."""
    op, n_inputs = tape.node(index).op, _arity(tape, index)
    kind = "added" if tape.added(index) else "constant" if op == "constant" else "op" if n_inputs else "input"
    middle, y = layout.x[index, layout.layer[index]], layout.top(layout.layer[index])
    left, right = middle - WIDTH / 2, middle + WIDTH / 2
    name = escape(_cut(tape.label(index), WIDTH / 2 - 20 - CHARACTER * len(op) / 2))
    value = tape.summary(index)
    size = f'width="{WIDTH}" height="{HEIGHT}"'
    shown = escape(_cut(value, WIDTH - 10))
    return (
        f"<g><title>%{index} = {escape(op)}: {escape(value)}</title>"
        f'<rect x="{left:.0f}" y="{y:.0f}" {size} rx="9" style="fill:{FILLS[kind]}"/>'
        f'<text class="dim" x="{left + 9:.0f}" y="{y + 19:.0f}">%{index}</text>'
        f'<text class="op" x="{middle:.0f}" y="{y + 19:.0f}" text-anchor="middle">{escape(op)}</text>'
        f'<text class="name" x="{right - 9:.0f}" y="{y + 19:.0f}" text-anchor="end">{name}</text>'
        f'<text x="{middle:.0f}" y="{y + 38:.0f}" text-anchor="middle">{shown}</text>'
        "</g>"
    )


def _cut(text: str, room: float) -> str:
    """A text that fits into a room in pixels; it is cut between numbers, where there are several."""
    most = int(room / CHARACTER)
    if len(text) <= most:
        return text
    start = text[: most - 2]
    return f"{start.rpartition(' ')[0] or start} \u2026"

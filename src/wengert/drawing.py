"""A drawing of a tape: SVG written by hand, one box per node, in layers from the inputs downwards."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .tape import Tape

# Sizes in pixels.
WIDTH, HEIGHT, GAP, LAYER_GAP, MARGIN = 176, 50, 28, 54, 24
SHOWN = 80  # nodes of a long tape that are drawn: half from its start, half from its end

FILLS = {"input": "#dbeafe", "constant": "#f3f4f6", "added": "#fef3c7", "op": "#ffffff"}
STYLE = (
    "text{font-family:ui-sans-serif,system-ui,Helvetica,Arial,sans-serif;font-size:12px;fill:#111827}"
    ".op{font-weight:600}.name{fill:#1d4ed8;font-weight:600}.dim{fill:#6b7280;font-size:11px}"
    ".partial{fill:#b45309;font-size:11px;paint-order:stroke;stroke:#fafafa;stroke-width:4px}"
    "rect{stroke:#9ca3af;stroke-width:1}path{fill:none;stroke:#9ca3af;stroke-width:1.3}"
)


class Box(NamedTuple):
    """A node's place in the picture."""

    x: float
    y: float


def draw(tape: Tape) -> str:
    """The picture as the text of an SVG file."""
    nodes = _shown(len(tape))
    inputs = {index: [k for k in tape.node(index).inputs if k in nodes] for index in nodes}
    layers = _layers(tape, nodes, inputs)
    columns = max((len(layer) for layer in layers), default=1)
    width = 2 * MARGIN + max(columns, 2) * (WIDTH + GAP) - GAP
    boxes = _places(layers, inputs, width)
    height = 2 * MARGIN + 20 + max(len(layers), 1) * (HEIGHT + LAYER_GAP) - LAYER_GAP
    skipped = len(tape) - len(nodes)
    title = f"{len(tape)} nodes" + (f", of which {skipped} in the middle are not drawn" if skipped else "")
    size = f'width="{width}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width} {height}">',
        f"<style>{STYLE}</style>",
        f'<rect x="0" y="0" {size} style="fill:#fafafa;stroke:none"/>',
        f'<text class="dim" x="{MARGIN}" y="{MARGIN}">{title}</text>',
        *(_edges(tape, index, boxes) for index in nodes),
        *(_box(tape, index, boxes[index], len(inputs[index])) for index in nodes),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _shown(n: int) -> list[int]:
    """The indices of the nodes that are drawn."""
    return list(range(n)) if n <= SHOWN else [*range(SHOWN // 2), *range(n - SHOWN // 2, n)]


def _layers(tape: Tape, nodes: list[int], inputs: dict[int, list[int]]) -> list[list[int]]:
    """The nodes by depth: each stands below all of its inputs, a constant just above its first reader."""
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
    layers: list[list[int]] = [[] for _ in range(1 + max(depth.values(), default=-1))]
    for index in nodes:
        layers[depth[index]].append(index)
    return [layer for layer in layers if layer]


def _places(layers: list[list[int]], inputs: dict[int, list[int]], width: float) -> dict[int, Box]:
    """Layer by layer, the nodes ordered by the mean place of their inputs, each layer centred."""
    boxes: dict[int, Box] = {}
    for number, layer in enumerate(layers):

        def mean_place(index: int) -> float:
            above = [boxes[k].x for k in inputs[index] if k in boxes]
            return sum(above) / len(above) if above else width / 2

        ordered = sorted(layer, key=lambda index: (mean_place(index), index))
        left = (width - len(ordered) * (WIDTH + GAP) + GAP) / 2
        for place, index in enumerate(ordered):
            boxes[index] = Box(left + place * (WIDTH + GAP), MARGIN + 20 + number * (HEIGHT + LAYER_GAP))
    return boxes


def _edges(tape: Tape, index: int, boxes: dict[int, Box]) -> str:
    """The curves from a node's inputs to it, with the local partial derivative where that is a number."""
    node, target, parts = tape.node(index), boxes[index], []
    partials = tape.partials(index) if node.has_value and not node.shape else [""] * len(node.inputs)
    for place, (k, partial) in enumerate(zip(node.inputs, partials, strict=True)):
        x = target.x + WIDTH * (place + 1) / (len(node.inputs) + 1)
        if k not in boxes:  # an input among the nodes that are not drawn
            parts.append(f'<path d="M{x:.0f},{target.y - 22:.0f} V{target.y:.0f}" stroke-dasharray="2 3"/>')
            parts.append(f'<text class="dim" x="{x + 4:.0f}" y="{target.y - 12:.0f}">%{k}</text>')
            continue
        source = boxes[k]
        x0, y0, y1 = source.x + WIDTH / 2, source.y + HEIGHT, target.y
        bend = max((y1 - y0) / 2, 20)
        curve = f"M{x0:.0f},{y0:.0f} C{x0:.0f},{y0 + bend:.0f} {x:.0f},{y1 - bend:.0f} {x:.0f},{y1:.0f}"
        parts.append(f'<path d="{curve}"/>')
        if partial:
            anchor = "end" if place == 0 and len(node.inputs) > 1 else "start"
            offset = -5 if anchor == "end" else 5
            text = f'<text class="partial" x="{x + offset:.0f}" y="{y1 - 7:.0f}" text-anchor="{anchor}">'
            parts.append(f"{text}{escape(partial)}</text>")
    return "\n".join(parts)


def _box(tape: Tape, index: int, box: Box, n_inputs: int) -> str:
    """One node: index and op, name, and its value or its dtype and shape."""
    op = tape.node(index).op
    kind = "added" if tape.added(index) else "constant" if op == "constant" else "op" if n_inputs else "input"
    name = escape(tape.label(index))
    middle = box.x + WIDTH / 2
    size = f'width="{WIDTH}" height="{HEIGHT}"'
    value = escape(tape.summary(index))
    return (
        f"<g><title>%{index} = {escape(op)}</title>"
        f'<rect x="{box.x:.0f}" y="{box.y:.0f}" {size} rx="9" style="fill:{FILLS[kind]}"/>'
        f'<text class="dim" x="{box.x + 9:.0f}" y="{box.y + 19:.0f}">%{index}</text>'
        f'<text class="op" x="{middle:.0f}" y="{box.y + 19:.0f}" text-anchor="middle">{escape(op)}</text>'
        f'<text class="name" x="{box.x + WIDTH - 9:.0f}" y="{box.y + 19:.0f}" text-anchor="end">{name}</text>'
        f'<text x="{middle:.0f}" y="{box.y + 38:.0f}" text-anchor="middle">{value}</text></g>'
    )

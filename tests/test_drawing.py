"""The drawing of a tape: what is left out, that texts fit their boxes and that edges keep clear of them."""

import re
import xml.etree.ElementTree as ET

import numpy as np

import wengert as wg
from wengert import drawing

SVG = "{http://www.w3.org/2000/svg}"


def drawn(tape):
    return ET.fromstring(tape._repr_svg_())


def boxes(svg):
    """Left, top, right and bottom of each box, by the number of its node."""
    found = {}
    for group in svg.iter(f"{SVG}g"):
        x, y, width, height = (
            float(group.find(f"{SVG}rect").get(name)) for name in ("x", "y", "width", "height")
        )
        found[group.find(f"{SVG}text").text] = (x, y, x + width, y + height)
    return found


def points(path):
    """Points along a path of M, C and V commands."""
    here, along = None, []
    for command, numbers in re.findall(r"([MCV])([-\d., ]+)", path.get("d")):
        at = np.array([float(number) for number in re.split(r"[, ]+", numbers.strip())])
        if command == "M":
            here = at
        elif command == "V":
            end = np.array([here[0], at[0]])
            along += [here + t * (end - here) for t in np.linspace(0, 1, 20)]
            here = end
        else:
            a, b, end = at.reshape(3, 2)
            for t in np.linspace(0, 1, 20):
                s = 1 - t
                along.append(s**3 * here + 3 * s * s * t * a + 3 * s * t * t * b + t**3 * end)
            here = end
    return along


def long_edges():
    """A tape on which edges pass several layers."""
    t = wg.Tape()
    x, y = t.var(0.5, name="x"), t.var(np.array([2.3842e-05, 1e-7, -3.3e9, 4.0]), name="y" * 40)
    z = np.sum(np.sin(np.exp(np.sin(y * x))) * x)
    return t, np.sin(np.sin(z)) * x + z


def test_edges_run_through_no_box():
    t, z = long_edges()
    t.gradient(z, create_graph=True)
    svg = drawn(t)
    areas = boxes(svg).values()
    assert len(areas) > 15
    for path in svg.iter(f"{SVG}path"):
        for x, y in points(path):
            assert not any(
                left < x < right and top + 1 < y < bottom - 1 for left, top, right, bottom in areas
            )


def test_boxes_do_not_overlap():
    t, _ = long_edges()
    areas = list(boxes(drawn(t)).values())
    for k, (left, top, right, bottom) in enumerate(areas):
        for left2, top2, right2, bottom2 in areas[:k]:
            assert right <= left2 or right2 <= left or bottom <= top2 or bottom2 <= top


def test_texts_are_cut_to_their_boxes_and_whole_in_the_title():
    t, _ = long_edges()
    svg = drawn(t)
    for text in (text for group in svg.iter(f"{SVG}g") for text in group.iter(f"{SVG}text")):
        assert len(text.text or "") * drawing.CHARACTER <= drawing.WIDTH
    whole = next(title.text for title in svg.iter(f"{SVG}title") if title.text.startswith("%1 "))
    assert whole == f"%1 = leaf: {t.summary(1)}"
    assert any((text.text or "").endswith(" \u2026") for text in svg.iter(f"{SVG}text"))


def test_constants_that_nothing_reads_are_left_out():
    t = wg.Tape(abstract=True)
    x = t.input(np.dtype(float), (), False)
    unused, used = t.as_var(4.0), t.as_var(2.0)
    y = x * used
    t.set_outputs([y])
    svg = drawn(t)
    assert set(boxes(svg)) == {f"%{v.index}" for v in (x, used, y)}
    assert f"%{unused.index}" not in boxes(svg)
    assert next(svg.iter(f"{SVG}text")).text == "4 nodes, 1 unused left out"


def test_the_middle_of_a_long_tape_is_left_out():
    t = wg.Tape()
    x = y = t.var(1.0)
    for _ in range(100):
        y = np.sin(y) * x
    svg = drawn(t)
    assert len(boxes(svg)) == drawing.SHOWN
    assert (
        next(svg.iter(f"{SVG}text")).text
        == f"{len(t)} nodes, {len(t) - drawing.SHOWN} in the middle left out"
    )


def test_an_empty_tape_can_be_drawn():
    assert boxes(drawn(wg.Tape())) == {}

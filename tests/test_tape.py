"""The tape by hand: Rufflewind's article, gradients of every order, tangents, tables and drawings."""

import pickle
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import wengert as wg


@pytest.fixture
def article():
    """The article's example: z = x y + sin x at x = 0.5, y = 4.2."""
    t = wg.Tape()
    x, y = t.var(0.5, name="x"), t.var(4.2, name="y")
    return t, x, y, x * y + np.sin(x)


def test_the_articles_values(article):
    t, x, y, z = article
    assert z.value == 2.579425538604203
    g = t.gradient(z)
    assert (g.wrt(x), g.wrt(y)) == (5.077582561890373, 0.5)
    assert (g[x], g[y]) == (g.wrt(x), g.wrt(y))
    assert z.grad()[x] == g[x]
    assert type(g[x]) is np.float64


def test_two_outputs_of_one_tape():
    t = wg.Tape()
    x = t.var(0.5)
    z, v = 2 * x + np.sin(x), 4 * x + np.cos(x)
    length = len(t)
    for _ in range(2):
        assert t.gradient(z)[x] == 2 + np.cos(0.5)
        assert t.gradient(v)[x] == 4 - np.sin(0.5)
    assert len(t) == length


def test_forward_mode_on_the_same_tape(article):
    t, x, y, z = article
    length = len(t)
    assert t.tangent(x).of(z) == 5.077582561890373
    assert t.tangent(y).of(z) == 0.5
    assert t.tangent(x).of(y) == 0.0
    assert t.tangent(x)[x] == 1.0
    assert len(t) == length


def test_the_articles_chain():
    t = wg.Tape()
    x = v = t.var(4.2)
    for _ in range(100):
        v = v**1.01
    power = 1.01**100
    assert_allclose(v.value, 4.2**power, rtol=1e-10)
    assert_allclose(t.gradient(v)[x], power * 4.2 ** (power - 1), rtol=1e-10)
    assert_allclose(t.tangent(x).of(v), power * 4.2 ** (power - 1), rtol=1e-10)


def test_gradients_by_intermediate_and_independent_nodes(article):
    t, x, _y, z = article
    product, later = t.at(2), x * 2
    g = t.gradient(z)
    assert (g[product], g[z], g[later]) == (1.0, 1.0, 0.0)
    other = t.var(np.ones(3))
    assert_array_equal(t.gradient(z)[other], np.zeros(3))
    w = np.sin(product) * 3
    assert_allclose(t.gradient(w)[product], 3 * np.cos(2.1), rtol=1e-15)


def test_higher_orders(article):
    t, x, y, z = article
    g = t.gradient(z, create_graph=True)
    length = len(t)
    h = t.gradient(g.var(x), create_graph=True)
    assert (h[x], h[y]) == (-np.sin(0.5), 1.0)
    assert t.gradient(h.var(x))[x] == -np.cos(0.5)
    assert len(t) > length
    assert t.tangent(y).of(g.var(x)) == 1.0
    independent = t.gradient(y * 1.0, create_graph=True)
    assert independent.var(x).value == 0.0


def test_arrays():
    t = wg.Tape()
    W, x = t.var(np.arange(6.0).reshape(2, 3)), t.var(np.ones(3, "f4"))
    z = np.sum((W @ x) ** 2)
    g = t.gradient(z)
    assert_allclose(g[W], 2 * np.outer([3.0, 12.0], np.ones(3)))
    assert g[x].dtype == np.float32
    assert_allclose(t.tangent(x, np.ones(3)).of(W @ x), [3.0, 12.0])


def test_variables_are_nodes_of_their_own():
    t = wg.Tape()
    x, y = t.var(1.0), t.var(1.0)
    g = t.gradient(x * 2 + y * 3)
    assert (g[x], g[y]) == (2.0, 3.0)
    assert t.var(2).dtype == np.float64


@pytest.mark.parametrize(
    ("action", "error", "match"),
    [
        (lambda t, x: t.gradient(x * np.ones(3)), ValueError, r"shape \(3,\); expected one number"),
        (lambda t, x: t.gradient(x > 0), TypeError, "dtype bool"),
        (lambda t, x: t.gradient(wg.Tape().var(1.0)), ValueError, "a Var of this tape"),
        (lambda t, x: t.gradient(x)[3.0], ValueError, "a Var of this tape"),
        (lambda t, x: t.gradient(x)[x > 0], TypeError, "dtype bool"),
        (lambda t, x: t.gradient(x).var(x), RuntimeError, "create_graph=True"),
        (lambda t, x: t.tangent(t.var(np.ones(2))), ValueError, "direction="),
        (lambda t, x: t.tangent(x, np.ones(2)), ValueError, r"direction has shape \(2,\), expected \(\)"),
        (lambda t, x: t.var(np.arange(3)), TypeError, r"astype\(float\)"),
        (lambda t, x: t.var(x), TypeError, "a Var already"),
        (lambda t, x: t.at(1000), IndexError, "node 1000 of a tape of"),
    ],
)
def test_mistakes_are_named(action, error, match):
    t = wg.Tape()
    with pytest.raises(error, match=match):
        action(t, t.var(0.5))


def test_transforms_meet_the_tape(article):
    t, x, y, z = article
    d = wg.grad(lambda u: u * z)(x)
    assert isinstance(d, wg.Var)
    assert d.tape is t
    assert d.value == z.value  # z is a constant of that gradient, being recorded before it
    assert t.gradient(d)[y] == 0.5


# ---- what it looks like ---------------------------------------------------------------------------------


def test_the_table(article):
    t, _x, _y, z = article
    t.name(z, "z")
    assert str(t) == (
        "    op    inputs  value      local partials      name\n"
        "%0  leaf          0.5                            x\n"
        "%1  leaf          4.2                            y\n"
        "%2  mul   %0 %1   2.1        d%0: 4.2  d%1: 0.5\n"
        "%3  sin   %0      0.4794255  d%0: 0.8775826\n"
        "%4  add   %2 %3   2.579426   d%2: 1  d%3: 1      z"
    )
    assert len(t) == 5


def test_what_a_gradient_added_stands_apart(article):
    t, x, _y, z = article
    t.gradient(z)
    assert "gradient" not in str(t)
    g = t.gradient(t.name(z, "z"), create_graph=True)
    end = len(t)
    g.var(x) * 2
    lines = str(t).splitlines()
    assert lines.index("--- gradient of %4 (z)") == 6
    assert lines.index("--- recorded after it") == 6 + 1 + end - 5


def test_long_tapes_are_cut_in_the_middle():
    t = wg.Tape()
    v = t.var(1.0)
    for _ in range(500):
        v = np.sin(v)
    assert "... 381 nodes ..." in str(t)
    assert len(str(t).splitlines()) == 122
    assert "501 nodes, 421 in the middle left out" in t._repr_svg_()


def test_an_abstract_tape_shows_shapes():
    t = wg.Tape(abstract=True)
    W = t.var(np.zeros((3, 2), "f4"), name="W")
    y = np.tanh(np.ones((5, 3), "f4") @ W)
    assert "float32[5, 2]" in str(t)
    assert "d%2: one_minus_square(y)" in str(t)
    assert repr(y) == "Var(shape=(5, 2), dtype=float32, traced)"
    with pytest.raises(TypeError, match="traced"):
        print(y.value)
    g = t.gradient(np.sum(y), create_graph=True)
    assert g.var(W).shape == (3, 2)
    with pytest.raises(TypeError, match="no numbers"):
        g[W]
    ElementTree.fromstring(t._repr_svg_())
    t.verify()


def test_the_drawing(article, tmp_path):
    t, _x, _y, z = article
    t.name(z, "<z & co>")
    t.gradient(z, create_graph=True)
    path = tmp_path / "tape.svg"
    t.to_svg(path)
    root = ElementTree.fromstring(path.read_text())
    texts = [element.text for element in root.iter() if element.tag.endswith("text")]
    for expected in ("mul", "sin", "%0", "x", "<z & co>", "2.579426", "0.8775826"):
        assert expected in texts
    boxes = [element for element in root.iter() if element.tag.endswith("}g")]
    assert len(boxes) == len(t)
    edges = [element for element in root.iter() if element.tag.endswith("path")]
    assert len(edges) == sum(len(t.node(k).inputs) for k in range(len(t)))


def test_a_tape_is_not_pickled(article):
    with pytest.raises(TypeError, match=r"a Tape cannot be copied or pickled.*pickle the arrays"):
        pickle.dumps(article[0])


def test_an_unwritable_path_raises(article, tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        article[0].to_svg(tmp_path / "missing" / "tape.svg")

"""What shares memory in NumPy shares it on a tape, in cases at the edge too; writes under every transform."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from test_in_place import PROGRAMS, VIEWS, M, X

import wengert as wg

# ---- which results are views ----------------------------------------------------------------------------

A = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
ARRAYS = {"matrix": A, "vector": A[0], "one": A[:1, :1], "square": A[:, :2]}
RESULTS = {
    "roll by 0": lambda x: np.roll(x, 0),
    "roll along by 0": lambda x: np.roll(x, 0, axis=0),
    "tile once": lambda x: np.tile(x, 1),
    "repeat once": lambda x: np.repeat(x, 1, axis=0),
    "pad by 0": lambda x: np.pad(x, 0),
    "concatenate one": lambda x: np.concatenate([x]),
    "append nothing": lambda x: np.append(x, x[:0], axis=0),
    "diff 0 times": lambda x: np.diff(x, 0),
    "clip": lambda x: np.clip(x, None, 10.0),
    "real": lambda x: np.real(x),
    "x.real": lambda x: x.real,
    "flip nothing": lambda x: np.flip(x, ()),
    "sum over nothing": lambda x: np.sum(x, axis=()),
    "max over nothing": lambda x: np.max(x, axis=()),
    "conjugate": lambda x: np.conjugate(x),
    "x.conj": lambda x: x.conj(),
    "+x": lambda x: +x,
    "x ** 1": lambda x: x**1,
    "astype": lambda x: x.astype(float),
    "astype, no copy": lambda x: x.astype(float, copy=False),
    "resize": lambda x: np.resize(x, x.shape),
    "delete nothing": lambda x: np.delete(x, [], axis=0),
    "nan_to_num": lambda x: np.nan_to_num(x),
    "nan_to_num, no copy": lambda x: np.nan_to_num(x, copy=False),
    "squeeze": lambda x: np.squeeze(x[None], 0),
    "atleast_2d": lambda x: np.atleast_2d(x),
    "reshape": lambda x: x.reshape(x.shape),
    "moveaxis": lambda x: np.moveaxis(x, 0, 0),
    "[...]": lambda x: x[...],
    "[()]": lambda x: x[()],
    "[None]": lambda x: x[None],
    "take all": lambda x: np.take(x, np.arange(len(x)), axis=0),
    "all indices": lambda x: x[np.arange(len(x))],
    "all of a mask": lambda x: x[np.ones(x.shape, bool)],
    "ravel": lambda x: np.ravel(x),
    "ravel reversed": lambda x: np.ravel(x[::-1]),
    "ravel every other": lambda x: np.ravel(x[..., ::2]),
    "ravel first": lambda x: np.ravel(x[:1]),
    "ravel last axis": lambda x: np.ravel(x[..., :1]),
    "ravel F": lambda x: np.ravel(x, "F"),
    "ravel turned": lambda x: np.ravel(x.T),
    "ravel turned F": lambda x: np.ravel(x.T, "F"),
    "reshape reversed": lambda x: x[::-1].reshape(-1),
    "flatten": lambda x: x.flatten(),
    "copy": lambda x: np.copy(x),
    "split in one": lambda x: np.split(x, 1)[0],
    "where": lambda x: np.where(True, x, 0.0),
    "select": lambda x: np.select([np.ones(x.shape, bool)], [x]),
    "choose": lambda x: np.choose(np.zeros(x.shape, int), [x]),
    "round": lambda x: np.round(x),
    "x * 1": lambda x: x * 1,
    "broadcast_arrays": lambda x: np.broadcast_arrays(x, x)[0],
    "meshgrid, no copy": lambda x: np.meshgrid(x[0], x[0], copy=False)[0] if x.ndim > 1 else x,
    "fftshift of nothing": lambda x: np.fft.fftshift(x, axes=()),
    "matrix_power": lambda x: np.linalg.matrix_power(x, 1) if x.shape == (2, 2) else x,
    "einsum of itself": lambda x: np.einsum("...i->...i", x),
    "einsum diagonal": lambda x: np.einsum("ii->i", x) if x.shape == (2, 2) else x,
}


@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize("name", RESULTS)
def test_results_share_what_numpys_share(name, array, tape):
    x = ARRAYS[array].copy()
    v = tape.leaf(x) * 1.0
    f = RESULTS[name]
    expected, found = f(x), f(v)
    before = found.value
    x[...] = np.nan
    v[...] = np.nan
    assert_allclose(found.value, expected)
    assert (
        np.isnan(found.value).any() == np.isnan(expected).any() == (not np.isfinite(before * expected).all())
    )


# ---- under transforms -----------------------------------------------------------------------------------

XS = np.stack([X, 0.3 * X**2, np.cos(X)])
TRANSFORMS = {
    "vmap": lambda f: wg.vmap(f),
    "compile vmap": lambda f: wg.compile(wg.vmap(f)),
    "scan": lambda f: lambda xs: wg.scan(lambda c, x: (c, f(x)), 0.0, xs)[1],
    "checkpoint": lambda f: lambda xs: np.stack([wg.vjp(wg.checkpoint(f), x)[0] for x in xs]),
    "jvp": lambda f: lambda xs: np.stack([wg.jvp(f, (x,), (x * 0,))[0] for x in xs]),
}
JACOBIANS = {
    "vmap": lambda f: wg.vmap(wg.jacobian(f)),
    "vmap forward": lambda f: wg.vmap(wg.jacfwd(f)),
    "compile vmap": lambda f: wg.compile(wg.vmap(wg.jacobian(f))),
    "of compile": lambda f: lambda xs: np.stack([wg.jacobian(wg.compile(f))(x) for x in xs]),
    "of checkpoint": lambda f: lambda xs: np.stack([wg.jacobian(wg.checkpoint(f))(x) for x in xs]),
    "of scan": lambda f: (
        lambda xs: np.stack(
            [
                wg.jacobian(lambda x: wg.scan(lambda c, _: (c, f(x.copy())), 0.0, None, length=1)[1][0])(x)
                for x in xs
            ]
        )
    ),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_that_write_under_transforms(name, transform):
    expected = np.stack([PROGRAMS[name](np, x.copy()) for x in XS])
    assert_allclose(
        TRANSFORMS[transform](lambda x: PROGRAMS[name](np, x))(XS), expected, rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize("transform", JACOBIANS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_jacobians_of_programs_that_write(name, transform):
    f = lambda x: PROGRAMS[name](np, x)
    expected = np.stack([wg.jacfwd(f)(x) for x in XS])
    assert_allclose(JACOBIANS[transform](f)(XS), expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("transform", ["vmap", "compile vmap", "scan"])
@pytest.mark.parametrize("name", VIEWS)
def test_writes_go_both_ways_under_transforms(name, transform):
    def run(x):
        y, z = VIEWS[name](x), VIEWS[name](x)
        y[...] = y * 3
        x[0, 0] = 100.0
        z[0] = -1.0
        x[1] += 7
        return [np.ravel(a) for a in (x, y, z)]

    batch = np.stack([M, 2 * M])
    found = TRANSFORMS[transform](lambda x: np.concatenate(run(x * 1.0)))(batch)
    assert_allclose(found, np.stack([np.concatenate(run(m.copy())) for m in batch]), rtol=1e-14)


def test_overlapping_views():
    def f(np, x):
        y = x * 1.0
        y[1:] = y[:-1]
        y[::2] = y[::-1][::2] * 2
        a, b = y[1:4], y[2:5]
        a += b
        b *= a
        y[:3] -= y[3:]
        return y

    program = lambda x: f(np, x)
    for g in (program, wg.compile(program)):
        assert_allclose(wg.vjp(g, X)[0], f(np, X.copy()), rtol=1e-12, atol=1e-14)
        wg.testing.check_grads(g, (X,))

"""Random numbers: known answers, the same bits however they are computed, distributions, refusals."""

import numpy as np
import pytest
import reference_arrays
import scipy.stats

import wengert as wg
from wengert import _core

KEY = wg.random.key(20)
N = 200_000


# Salmon et al. 2011, Random123's kat_vectors: counter, key and result of philox4x32 with ten rounds.
@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0,) * 4, (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_the_reference_gives_the_known_answers(counter, key, words):
    assert reference_arrays.philox(counter, key) == words


def test_the_core_gives_the_known_answer():
    """The other two have counters beyond any array; test_array_ops.py compares with the reference."""
    words = _core.record(CODE, (_core.Tape().leaf(np.int64(0)),), (1, 0, 4)).value.view("u4")
    assert list(words) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


CODE = {op.name: op.code for op in _core.ops()}["random"]
DRAWS = {
    "uniform": lambda key: wg.random.uniform(key, (5, 7), low=-1.0, high=3.0),
    "uniform 32": lambda key: wg.random.uniform(key, (1003,), "float32"),
    "normal": lambda key: wg.random.normal(key, (1003,)),
    "normal 32": lambda key: wg.random.normal(key, (9,), np.float32),
    "a number": lambda key: wg.random.normal(key),
    "bernoulli": lambda key: wg.random.bernoulli(key, (100,), p=0.3),
    "permutation": lambda key: wg.random.permutation(key, 50),
    "split": lambda key: wg.random.split(key, 4),
    "of a part": lambda key: wg.random.normal(wg.random.split(key)[1], (3,)),
}


@pytest.mark.parametrize("name", DRAWS)
def test_traced_and_captured_keys_give_the_same_bits(name):
    draw = DRAWS[name]
    expected = draw(KEY)
    traced = wg.compile(draw)
    for key in (KEY, wg.random.key(21)):
        np.testing.assert_array_equal(traced(key), draw(key))
    found = wg.compile(lambda x: draw(KEY) + 0 * x)(0)
    np.testing.assert_array_equal(found, expected + 0)
    assert np.asarray(traced(KEY)).dtype == np.asarray(expected).dtype


@pytest.mark.parametrize("name", DRAWS)
def test_a_key_for_each_row(name):
    keys = wg.random.split(KEY, 3)
    np.testing.assert_array_equal(wg.vmap(DRAWS[name])(keys), [DRAWS[name](key) for key in keys])


def test_the_number_of_threads_has_no_say():
    before = wg.get_num_threads()
    try:
        found = []
        for n in (1, 2, 3):
            wg.set_num_threads(n)
            found.append(wg.random.uniform(KEY, (N + 13,), "float32"))
    finally:
        wg.set_num_threads(before)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_every_part_of_a_longer_array_is_the_same():
    whole = wg.random.uniform(KEY, (1000,))
    for n in (1, 2, 63, 64, 65, 129):
        np.testing.assert_array_equal(wg.random.uniform(KEY, (n,)), whole[:n])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_distributions(dtype):
    """Kolmogorov and Smirnov's test; the key is fixed, so that the outcome is."""
    unit, bell = wg.random.uniform(KEY, (N,), dtype), wg.random.normal(KEY, (N,), dtype)
    assert unit.min() >= 0
    assert unit.max() < 1
    assert scipy.stats.kstest(unit.astype(float), "uniform").pvalue > 0.01
    assert scipy.stats.kstest(bell.astype(float), "norm").pvalue > 0.01
    assert np.isfinite(bell).all()
    assert abs(np.corrcoef(unit[1:], unit[:-1])[0, 1]) < 4 / N**0.5


def test_keys_and_streams_are_independent():
    keys = [KEY, *wg.random.split(KEY, 3), wg.random.key(21)]
    rows = np.array([wg.random.normal(key, (10_000,)) for key in keys])
    off = np.corrcoef(rows) - np.eye(len(keys))
    assert np.abs(off).max() < 4 / 100
    assert len(set(wg.random.split(KEY, 10_000).tolist())) == 10_000
    assert 0.29 < wg.random.bernoulli(KEY, (N,), p=0.3).mean() < 0.31


def test_a_permutation_has_every_number_once():
    found = wg.random.permutation(KEY, 1000)
    assert sorted(found.tolist()) == list(range(1000))
    assert np.abs(np.corrcoef(found, np.arange(1000))[0, 1]) < 0.15


def test_limits_and_what_is_made_of_numbers_have_derivatives():
    unit = wg.random.uniform(KEY, (4,))
    total = lambda high: wg.random.uniform(KEY, (4,), low=0.5, high=high).sum()
    for f in (total, wg.compile(total)):
        assert wg.grad(f)(2.0) == pytest.approx(unit.sum(), rel=1e-15)


def test_seeds():
    assert wg.random.key(2**64 + 5) == wg.random.key(5) == 5
    assert wg.random.key(-1) == -1
    assert wg.random.key(np.uint32(7)) == 7


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: wg.random.key(0.5), TypeError, "random.key: seed=0.5; expected an integer"),
        (lambda: wg.random.normal(0.5, (3,)), TypeError, "key has dtype float64; expected an int64"),
        (lambda: wg.random.normal(KEY, (3,), "int32"), TypeError, "dtype=int32; expected float32 or float64"),
        (lambda: wg.random.uniform(KEY, (-1,)), ValueError, r"shape=\(-1,\); expected extents of 0 or more"),
    ],
)
def test_refusals(call, error, match):
    with pytest.raises(error, match=match):
        call()

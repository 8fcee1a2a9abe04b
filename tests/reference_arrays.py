"""The array ops of the reference: what selects, joins, multiplies and reduces (csrc/rules/).

Attributes are as csrc/ops.def describes them.
"""

import math
import operator
from itertools import accumulate, chain, pairwise
from math import inf

from reference import (
    DTYPES,
    STORE,
    Array,
    Op,
    broadcast,
    cast,
    common_dtype,
    common_shape,
    div,
    equal,
    exp,
    fold,
    log,
    make,
    maximum,
    minimum,
    mul,
    places,
    reshape,
    stretched,
    sum_,
    total,
    transpose,
    where,
    zmul,
)


# ---- parts of arrays ---------------------------------------------------------------------------------------
def window(attrs, a):  # of a slice: start, step and length for each axis
    starts, steps, lengths, flat = attrs[0::3], attrs[1::3], attrs[2::3], a.strides
    return places(lengths, map(mul, steps, flat), sum(map(mul, starts, flat)))


def rows(a, i):  # a negative row counts from the end
    n, width = a.shape[0], math.prod(a.shape[1:])
    if any(not -n <= row < n for row in i.data):
        raise IndexError(f"an index is out of range for {n} rows")
    return [row % n * width + k for row in i.data for k in range(width)]


def join(attrs, *arrays):
    axis, shape = attrs[0], arrays[0].shape
    widths = [math.prod(x.shape[axis:]) for x in arrays]  # elements of each operand that lie side by side
    data = [
        x.data[i * n : (i + 1) * n] for i in range(math.prod(shape[:axis])) for x, n in zip(arrays, widths)
    ]
    extent = sum(x.shape[axis] for x in arrays)
    return make(common_dtype(*arrays), (*shape[:axis], extent, *shape[axis + 1 :]), chain(*data))


def split(g, y, *operands):
    starts = accumulate((x.shape[y.attrs[0]] for x in operands), initial=0)
    return [
        slice_(g, attrs=chain(*((start * (axis == y.attrs[0]), 1, n) for axis, n in enumerate(x.shape))))
        for x, start in zip(operands, starts)
    ]


def ravel(extents, *indices):
    shape, numbers = common_shape(*(i.shape for i in indices)), None
    for i, extent in zip(indices, extents):
        if any(not -extent <= x < extent for x in i.data):
            raise IndexError(f"an index is out of range for an axis of {extent}")
        column = [x % extent for x in i.spread(shape).data]
        numbers = [row * extent + x for row, x in zip(numbers, column)] if numbers else column
    return make("int64", shape, numbers)


def last_ones(i, a, b):
    """Whether a row of b is the last that index_set(a, i, b) puts in its place, in a shape that fits b's."""
    last = {row % a.shape[0]: k for k, row in enumerate(i.value.data)}
    kept = [last[row % a.shape[0]] == k for k, row in enumerate(i.value.data)]
    return i.tape.leaf("bool", i.shape + (1,) * (len(b.shape) - len(i.shape)), kept)


def second(x, y):
    return y


slice_ = Op(
    "slice",
    lambda attrs, a: a.take(attrs[2::3], window(attrs, a)),
    lambda g, y, a: [slice_add(a.zeros, g, attrs=y.attrs)],
)
slice_add = Op(
    "slice_add",
    lambda attrs, a, b: a.put(window(attrs, a), b, operator.add),
    lambda g, y, a, b: [g, slice_(g, attrs=y.attrs)],
)
slice_set = Op(
    "slice_set",
    lambda attrs, a, b: a.put(window(attrs, a), b, second),
    lambda g, y, a, b: [slice_set(g, b.zeros, attrs=y.attrs), slice_(g, attrs=y.attrs)],
)
gather = Op(
    "gather",
    lambda attrs, a, i: a.take(i.shape + a.shape[1:], rows(a, i)),
    lambda g, y, a, i: [index_add(a.zeros, i, g)],
)
index_add = Op(
    "index_add",
    lambda attrs, a, i, b: a.put(rows(a, i), b, operator.add),
    lambda g, y, a, i, b: [g, None, gather(g, i)],
)
index_set = Op(
    "index_set",
    lambda attrs, a, i, b: a.put(rows(a, i), b, second),
    lambda g, y, a, i, b: [index_set(g, i, b.zeros), None, where(last_ones(i, a, b), gather(g, i), 0)],
)
ravel_index = Op("ravel_index", ravel)
concatenate = Op("concatenate", join, split)


# ---- products and reductions -------------------------------------------------------------------------------
def products(attrs, a, b):
    left, right = (*a.shape, 1), (*b.shape[:-2], 1, *b.shape[-2:])  # (..., m, k, 1) and (..., 1, k, n)
    a, b, shape = a._replace(shape=left), b._replace(shape=right), common_shape(left, right)
    terms = Array(common_dtype(a, b), shape, list(map(mul, a.spread(shape).data, b.spread(shape).data)))
    return fold(lambda *xs: sum(xs))((1 << len(shape) - 2, 0), terms)


def weighted(name, evaluate, weights):
    """A reduction whose derivative is a weight for each element."""
    return Op(
        name,
        evaluate,
        lambda g, y, a: [zmul(stretched(g, y, a), weights(y, a))],
        lambda tangents, y, a: sum_(zmul(tangents[0], weights(y, a)), attrs=y.attrs),
    )


def shares(y, a):
    ties = cast(equal(a, stretched(y, y, a)), attrs=(a.dtype,))
    return div(ties, sum_(ties, attrs=(y.attrs[0], 1)))


def log_sum_exp(*xs):
    m = maximum(-inf, *xs)
    return m if math.isinf(m) else m + log(sum(exp(x - m) for x in xs))


def recur(attrs, a, b):
    (axis, turned), dtype = attrs, common_dtype(a, b)
    store, data = STORE[dtype], list(map(STORE[dtype], b.data))
    step, n = a.strides[axis], a.shape[axis]
    for first in places([1 if k == axis else m for k, m in enumerate(a.shape)], a.strides):
        line = [first + k * step for k in range(n)][:: -1 if turned else 1]
        for before, here in pairwise(line):
            data[here] = store(store(a.data[before if turned else here] * data[before]) + data[here])
    return make(dtype, b.shape, data)


def shifted(x, axis, by):
    """x[k] at place k + by, 0 at the place that is left; None where nothing stays in the array."""

    def box(start):
        return [z for k, n in enumerate(x.shape) for z in ((start, 1, n - 1) if k == axis else (0, 1, n))]

    part = x.shape[axis] > 1 and slice_(x, attrs=box(max(-by, 0)))
    return slice_add(x.zeros, part, attrs=box(max(by, 0))) if part else None


def recurrence_vjp(g, y, a, b):
    axis, turned = y.attrs
    h = recurrence(a, g, attrs=(axis, not turned))
    x, before = (y, shifted(h, axis, 1)) if turned else (h, shifted(y, axis, 1))
    return [before and zmul(x, before), h]


def recurrence_jvp(tangents, y, a, b):
    (axis, turned), (da, db) = y.attrs, tangents
    before = None if turned else shifted(y, axis, 1)
    moved = da and (shifted(zmul(da, y), axis, -1) if turned else before and zmul(da, before))
    return recurrence(a, total([db, moved]) or y.zeros, attrs=y.attrs)


recurrence = Op("recurrence", recur, recurrence_vjp, recurrence_jvp)
matmul = Op("matmul", products, lambda g, y, a, b: [matmul(g, b.turned), matmul(a.turned, g)])
matmul.jvp = lambda t, y, a, b: total([t[0] and matmul(t[0], b), t[1] and matmul(a, t[1])])  # bilinear
max_, min_ = weighted("max", fold(maximum), shares), weighted("min", fold(minimum), shares)
logsumexp = weighted("logsumexp", fold(log_sum_exp, "float64"), lambda y, a: exp(a - stretched(y, y, a)))


def others(y, a):
    """For each element the product of the others in its group: of a row of copies with 1 in its place."""
    inside = [axis for axis in range(len(a.shape)) if y.attrs[0] >> axis & 1]
    axes = [axis for axis in range(len(a.shape)) if axis not in inside] + inside
    n, x = math.prod(a.shape[axis] for axis in inside), transpose(a, attrs=axes)
    if not a.value.data:
        return a
    rows, eye = len(a.value.data) // n, a.tape.leaf("bool", (n, n), [i % (n + 1) == 0 for i in range(n * n)])
    copies = broadcast(reshape(x, attrs=(rows, 1, n)), attrs=(rows, n, n))
    weights = reshape(prod(where(eye, 1, copies), attrs=(4, 0)), attrs=x.shape)
    return transpose(weights, attrs=sorted(range(len(axes)), key=axes.__getitem__))


def order(attrs, a):
    axis, falling, over = attrs
    span = math.prod(a.shape[len(a.shape) - over :])
    step, n, data = a.strides[axis], a.shape[axis], list(a.data)
    for first in places([1 if k == axis else m for k, m in enumerate(a.shape)], a.strides) if n else ():
        line = a.data[first:][::step][:n]
        ranks = sorted(range(n), key=lambda k: (line[k] != line[k], line[k]), reverse=falling)
        data[first : first + n * step : step] = [first % span + k * step for k in ranks] if over else ranks
    return make("int64", a.shape, data)


def first_of(best):
    return lambda attrs, a: fold(lambda *xs: xs.index(best(*xs)), "int64", "int64")((1 << attrs[0], 0), a)


prod = weighted("prod", fold(lambda *xs: math.prod(xs), "int64"), others)
argmax, argmin, argsort = (
    Op("argmax", first_of(maximum)),
    Op("argmin", first_of(minimum)),
    Op("argsort", order),
)


# ---- random numbers: Philox-4x32-10 (Salmon et al. 2011) ---------------------------------------------------
def philox(counter, key):
    """Four 32-bit words for four of a counter and two of a key."""
    (a, b, c, d), (low, high) = counter, key
    for _ in range(10):
        p, q = a * 0xD2511F53, c * 0xCD9E8D57
        a, b, c, d = q >> 32 ^ b ^ low, q % 2**32, p >> 32 ^ d ^ high, p % 2**32
        low, high = (low + 0x9E3779B9) % 2**32, (high + 0xBB67AE85) % 2**32
    return a, b, c, d


def draw(attrs, keys):
    dtype, stream, shape = DTYPES[attrs[0]], attrs[1], tuple(attrs[2:])
    n, wide, data = math.prod(shape), dtype.endswith("64"), []
    for key in keys.data:
        key = key % 2**32, (key >> 32) % 2**32
        words = list(chain(*(philox((k, 0, stream % 2**32, stream >> 32), key) for k in range(n // 2 + 1))))
        numbers = [low + 2**32 * high for low, high in zip(words[::2], words[1::2])] if wide else words
        unit = (lambda x: (x >> 11) / 2**53) if wide else (lambda x: (x >> 8) / 2**24)
        data += map(unit, numbers[:n]) if dtype.startswith("float") else numbers[:n]
    return make(dtype, keys.shape + shape, data)


random = Op("random", draw)

"""The tape of wengert in pure Python: what csrc/ does, with lists for buffers and no care for speed.

A derivative is made of ordinary nodes, appended to the tape: so it can be differentiated again.
The elementary functions, one row each, are in reference_functions.py; what selects, joins, multiplies and
reduces arrays is in reference_arrays.py; complex numbers are in reference_complex.py.
"""
import math
import operator
from ctypes import c_float, c_int32, c_int64
from dataclasses import dataclass
from functools import reduce
from math import copysign, inf, nan
from typing import NamedTuple

# ---- arrays: a dtype, a shape and a flat list --------------------------------------------------------------
DTYPES = ("bool", "int32", "int64", "float32", "float64", "complex64", "complex128")
COMPLEX, FLOATS = DTYPES[5:], DTYPES[3:]  # what can be differentiated counts as a float
# What storing a number does to it: integers wrap; float32 is computed in double and rounded once.
STORE = {"bool": bool, "int32": lambda x: c_int32(int(x)).value, "int64": lambda x: c_int64(int(x)).value,
         "float32": lambda x: c_float(x).value, "float64": float, "complex128": complex,
         "complex64": lambda x: complex(c_float(x.real).value, c_float(x.imag).value)}


class Array(NamedTuple):
    dtype: str
    shape: tuple
    data: list  # in C order
    weak: bool = False  # a Python number, or made of nothing else: takes the dtype of what it meets (NEP 50)
    strides = property(lambda self: [math.prod(self.shape[axis + 1:]) for axis in range(len(self.shape))])

    def take(self, shape, places):
        return Array(self.dtype, tuple(shape), [self.data[i] for i in places])

    def put(self, places, b, combine):
        data = list(self.data)
        for i, x in zip(places, b.data, strict=True):
            data[i] = combine(data[i], x)
        return make(self.dtype, self.shape, data)

    def spread(self, shape):
        """Broadcast: an axis that is repeated has stride 0."""
        steps = [0 if n == 1 else step for n, step in zip(self.shape, self.strides)]
        return self.take(shape, places(shape, [0] * (len(shape) - len(steps)) + steps))

    def transposed(self, axes):
        shape, steps = ([of[axis] for axis in axes] for of in (self.shape, self.strides))
        return self.take(shape, places(shape, steps))


def places(shape, steps, start=0):
    """Where in the flat list the elements of a strided window lie: what moves elements is made of this."""
    found = [start]
    for extent, step in zip(shape, steps):
        found = [place + i * step for place in found for i in range(extent)]
    return found


def make(dtype, shape, data, weak=False):
    return Array(dtype, tuple(shape), [STORE[dtype](x) for x in data], weak)


def common_shape(*shapes):
    ndim = max(map(len, shapes))
    padded = [(1,) * (ndim - len(shape)) + tuple(shape) for shape in shapes]
    common = tuple(0 if 0 in along else max(along) for along in zip(*padded))
    if any(n not in (1, m) for shape in padded for n, m in zip(shape, common)):
        raise ValueError(f"shapes {shapes} do not broadcast")
    return common


def common_dtype(*arrays):
    """NumPy's promotion; a weak number has a say only where its kind exceeds that of all others."""
    kind = dict(zip(DTYPES, (0, 1, 1, 2, 2, 3, 3)))
    strong, highest = {x.dtype for x in arrays if not x.weak}, max(kind[x.dtype] for x in arrays)
    if highest < 2:
        return max([x for x in strong if kind[x] == highest] or ["bool", "int64"][highest:], key=DTYPES.index)
    single = strong & {"float32", "complex64"} and not strong & {"int32", "int64", "float64", "complex128"}
    return FLOATS[2 * (highest - 2) + (not single)]


# ---- numbers: C99's answers where Python raises ------------------------------------------------------------
def c99(function, pole=nan):
    def answer(x):
        try:
            return -inf if x == pole else function(x)
        except ValueError:
            return nan
        except OverflowError:
            return inf
    return answer


def power(a, b):
    if isinstance(b, int):  # a negative power of an integer is rounded towards 0
        return a**b if b >= 0 else int(a**b) if a else 0
    odd = math.isfinite(b) and b % 2 == 1
    try:
        return math.pow(a, b)
    except OverflowError:
        return -inf if a < 0 and odd else inf
    except ValueError:  # a root of a negative number, or a negative power of 0
        return nan if a else copysign(inf, a) if odd else inf


# ---- the tape: a list of nodes; appending one computes it --------------------------------------------------
class Tape:
    def __init__(self, function=None, *examples):
        """With a function from nodes to a list of nodes: a tape of it, for inputs like the examples."""
        self.nodes = []
        self.inputs = [self.leaf(x.dtype, x.shape, [0] * math.prod(x.shape)) for x in examples]
        self.outputs = function(*self.inputs) if function else []

    def push(self, op, operands, attrs, value):
        self.nodes.append(Node(self, len(self.nodes), op, operands, attrs, value))
        return self.nodes[-1]

    def number(self, x, dtype=None):
        own = {bool: "bool", int: "int64", float: "float64", complex: "complex128"}[type(x)]
        return self.push(None, (), (), make(dtype or own, (), [x], weak=dtype is None))

    def leaf(self, dtype, shape, data):
        return self.push(None, (), (), make(dtype, shape, data))

    def inline(self, tape, operands):
        """Appends these nodes to another tape, with operands in place of the inputs; the outputs there."""
        here = dict(zip(self.inputs, operands))
        for y in self.nodes:
            if y not in here:
                xs = [here[x] for x in y.operands]
                here[y] = y.op(*xs, attrs=y.attrs) if y.op else tape.push(None, (), (), y.value)
        return [here[y] for y in self.outputs]


@dataclass(eq=False)
class Node:
    tape: Tape
    index: int
    op: "Op"
    operands: tuple
    attrs: tuple
    value: Array
    dtype, shape = property(lambda self: self.value.dtype), property(lambda self: self.value.shape)
    zeros = property(lambda self: broadcast(self.tape.number(0.0, self.dtype), attrs=self.shape))
    turned = property(lambda self: transpose(self, attrs=(*range(n := len(self.shape))[:-2], n - 1, n - 2)))
    __add__ = __radd__ = lambda self, other: add(self, other)
    __mul__ = __rmul__ = lambda self, other: mul(self, other)
    __sub__, __rsub__ = lambda self, other: sub(self, other), lambda self, other: sub(other, self)
    __neg__ = lambda self: neg(self)


OPS = {}


class Op:
    """evaluate(attrs, *arrays) -> Array;  vjp(g, y, *operands) -> for each operand an adjoint or None;
    jvp(tangents, y, *operands) -> a tangent or None.  Attributes are as csrc/ops.def describes them."""

    def __init__(self, name, evaluate, vjp=None, jvp=None):
        self.name, self.evaluate, self.vjp, self.jvp = name, evaluate, vjp, jvp or self.linear
        OPS[name] = self

    def __call__(self, *operands, attrs=()):
        tape = next((x.tape for x in operands if isinstance(x, Node)), None)
        if not tape:
            return self.function(*operands)
        operands = [x if isinstance(x, Node) else tape.number(x) for x in operands]
        attrs = tuple(attrs)
        return tape.push(self, operands, attrs, self.evaluate(attrs, *(x.value for x in operands)))

    def linear(self, tangents, y, *operands):
        """The tangent of an op that is linear in its float operands is the op applied to their tangents."""
        moved = [x.zeros if t is None and x.dtype in FLOATS else t or x for x, t in zip(operands, tangents)]
        return self(*moved, attrs=y.attrs)


# ---- elementwise ops: one row each (csrc/ops.def) ----------------------------------------------------------
class Row(Op):
    """A function of the operands, and for each a partial derivative, a function of operands and result
    (then of parameters, if any).  They take numbers or nodes, so a derivative is written once: it is the
    arithmetic of a node d_<op>_<k> and, where that is differentiated, the recipe for what it stands for."""

    def __init__(self, name, function, *partials, lowest=0.0):  # joins the promotion: integers become float64
        super().__init__(name, self.evaluate, self.vjp, self.jvp)
        self.function, self.lowest = function, Tape().number(lowest).value
        self.derivatives = [Row(f"d_{name}_{k}", lambda g, *rest, partial=partial: zmul(g, partial(*rest)))
                            for k, partial in enumerate(partials)]
        for d in self.derivatives:
            d.vjp, d.jvp = by_expanding(lambda y: y.op.function(*y.operands, *y.attrs))

    def evaluate(self, attrs, *arrays):
        typed = arrays[self is where:]  # all but its condition
        dtype, shape = common_dtype(*typed, self.lowest), common_shape(*(x.shape for x in arrays))
        columns = zip(*(map(STORE[dtype], x.spread(shape).data) for x in arrays))
        data = [self.function(*column, *attrs) for column in columns]
        return make("bool" if self in COMPARISONS else dtype, shape, data, all(x.weak for x in typed))

    def vjp(self, g, y, *operands):
        return [d(g, *operands, y, attrs=y.attrs) for d in self.derivatives]

    def jvp(self, tangents, y, *operands):
        return total(t and d(t, *operands, y, attrs=y.attrs) for d, t in zip(self.derivatives, tangents))


class OfParts(Row):
    """A row that of complex numbers is the hypotenuse of their parts."""

    def __call__(self, a, attrs=()):
        if isinstance(a, Node) and a.dtype in COMPLEX:
            return OPS["hypot"](OPS["real"](a), OPS["imag"](a))
        return super().__call__(a, attrs=attrs)


def by_expanding(expand):
    """The rules of a node y that stands for others: expand(y) appends those, then they are differentiated."""
    def fresh(y):
        return {"start": len(y.tape.nodes), "outputs": [expand(y)]}
    return (lambda g, y, *operands: vjp(cotangents=[g], inputs=operands, **fresh(y)),
            lambda tangents, y, *operands: jvp(tangents=tangents, inputs=operands, **fresh(y))[0])


def total(terms):
    return reduce(add, [x for x in terms if x is not None] or [None])


equal, not_equal = Row("equal", operator.eq, lowest=False), Row("not_equal", operator.ne, lowest=False)
less, less_equal = Row("less", operator.lt, lowest=False), Row("less_equal", operator.le, lowest=False)
greater = Row("greater", operator.gt, lowest=False)
greater_equal = Row("greater_equal", operator.ge, lowest=False)
COMPARISONS = {equal, not_equal, less, less_equal, greater, greater_equal}
where = Row("where", lambda c, a, b: a if c else b, lowest=False)  # linear
where.vjp = lambda g, y, c, a, b: [None, where(c, g, 0), where(c, 0, g)]
where.jvp = lambda tangents, y, c, a, b: where(c, *(t or 0 for t in tangents[1:]))

add = Row("add", operator.add, lambda a, b, y: 1, lambda a, b, y: 1, lowest=False)
sub = Row("sub", operator.sub, lambda a, b, y: 1, lambda a, b, y: -1, lowest=False)
mul = Row("mul", operator.mul, lambda a, b, y: b, lambda a, b, y: a, lowest=False)
and_, or_ = Row("bitwise_and", operator.and_, lowest=False), Row("bitwise_or", operator.or_, lowest=False)
xor = Row("bitwise_xor", operator.xor, lowest=False)
invert = Row("invert", lambda a: not a if isinstance(a, bool) else ~a, lowest=False)
left_shift = Row("left_shift", lambda a, b: a << b, lowest=0)
right_shift = Row("right_shift", lambda a, b: a >> b, lowest=0)
# 0 if either factor is, even against inf or NaN: a branch that `where` did not take has no say.
zmul = Row("zmul", lambda a, b: a * b if a and b else 0.0, lambda a, b, y: b, lambda a, b, y: a)
div = Row("div", lambda a, b: a / b if b else a * copysign(inf, b),
          lambda a, b, y: reciprocal(b), lambda a, b, y: -div(y, b))
pow_ = Row("pow", power, lambda a, b, y: where(equal(b, 0), 0, b * pow_(a, b - 1)),
           lambda a, b, y: where(equal(a, 0), 0, y * log(a)), lowest=0)
maximum = Row("maximum", lambda *xs: max(xs, key=lambda x: (x != x, x)),  # NaN if there is any
              lambda a, b, y: where(greater(a, b), 1, where(equal(a, b), 0.5, 0)),
              lambda a, b, y: where(less(a, b), 1, where(equal(a, b), 0.5, 0)), lowest=False)
minimum = Row("minimum", lambda *xs: min(xs, key=lambda x: (x == x, x)),
              lambda a, b, y: where(less(a, b), 1, where(equal(a, b), 0.5, 0)),
              lambda a, b, y: where(greater(a, b), 1, where(equal(a, b), 0.5, 0)), lowest=False)

neg = Row("neg", operator.neg, lambda a, y: -1, lowest=False)
abs_ = OfParts("abs", abs, lambda a, y: sign(a), lowest=False)
sign = Row("sign", lambda a: (a > 0) - (a < 0) if a == a else a, lowest=False)
square = Row("square", lambda a: a * a, lambda a, y: 2 * a, lowest=False)
reciprocal = Row("reciprocal", lambda a: div(1, a), lambda a, y: -(y * y))
exp = Row("exp", c99(math.exp), lambda a, y: y)
log = Row("log", c99(math.log, pole=0), lambda a, y: reciprocal(a))

# ---- ops that every rule is made of ------------------------------------------------------------------------
def like(g, x):
    """An adjoint of x, from that of x broadcast or cast: what was repeated is summed; real of a real x."""
    new = len(g.shape) - len(x.shape)
    repeated = sum(1 << axis for axis, n in enumerate(g.shape) if axis < new or x.shape[axis - new] != n)
    g = reshape(sum_(g, attrs=(repeated, 0)), attrs=x.shape) if repeated else g
    g = OPS["real"](g) if g.dtype in COMPLEX and x.dtype not in COMPLEX else g
    return g if g.dtype == x.dtype else cast(g, attrs=(x.dtype,))


def fold(function, from_integers=None, from_floats=None):
    """Attributes of a reduction: a bit mask of the axes that it folds, and whether they stay as 1."""
    def evaluate(attrs, a):
        inside, outside = ([i for i in range(len(a.shape)) if attrs[0] >> i & 1 == which] for which in (1, 0))
        data, block = a.transposed(outside + inside).data, math.prod(a.shape[i] for i in inside)
        shape = [1 if i in inside else n for i, n in enumerate(a.shape) if attrs[1] or i in outside]
        parts = [data[i * block:(i + 1) * block] for i in range(math.prod(shape))]
        dtype = (from_floats if a.dtype in FLOATS else from_integers) or a.dtype
        return make(dtype, shape, [function(*part) for part in parts])
    return evaluate


def stretched(v, y, a):  # v, in the shape of y, over the axes of a that were folded
    kept = [1 if y.attrs[0] >> axis & 1 else n for axis, n in enumerate(a.shape)]
    return broadcast(reshape(v, attrs=kept), attrs=a.shape)


copy = Op("copy", lambda attrs, a: a, lambda g, y, a: [g])
stop_gradient = Op("stop_gradient", lambda attrs, a: a, lambda g, y, a: [None], lambda tangents, y, a: None)
cast = Op("cast", lambda attrs, a: make(*attrs, a.shape, a.data), lambda g, y, a: [g])
broadcast = Op("broadcast", lambda shape, a: a.spread(shape), lambda g, y, a: [g])
reshape = Op("reshape", lambda shape, a: Array(a.dtype, shape, a.data),
             lambda g, y, a: [reshape(g, attrs=a.shape)])
transpose = Op("transpose", lambda axes, a: a.transposed(axes),
               lambda g, y, a: [transpose(g, attrs=sorted(range(len(y.attrs)), key=y.attrs.__getitem__))])
sum_ = Op("sum", fold(lambda *xs: sum(xs), "int64"), lambda g, y, a: [stretched(g, y, a)])

# ---- the two sweeps: loops over the nodes that append more nodes -------------------------------------------
def vjp(outputs, cotangents, inputs, start=0):
    """Reverse mode: adjoints of inputs, None if no output depends on one; nodes before start are leaves."""
    nodes = outputs[0].tape.nodes[start:1 + max(y.index for y in outputs)]
    leaves = {x for x in inputs if x.dtype in FLOATS}
    followed, adjoint = set(leaves), {}

    def receive(x, g):
        if g is not None and x in followed:
            adjoint[x] = adjoint[x] + like(g, x) if x in adjoint else like(g, x)

    for y in nodes:
        if y.dtype in FLOATS and not followed.isdisjoint(y.operands):
            followed.add(y)
    for y, g in zip(outputs, cotangents):
        receive(y, g)
    for y in reversed(nodes):
        if y in adjoint and y not in leaves:
            for x, g in zip(y.operands, y.op.vjp(adjoint.pop(y), y, *y.operands)):
                receive(x, g)
    return [adjoint.pop(x, None) for x in inputs]  # an input that is named twice has its adjoint once


def jvp(inputs, tangents, outputs, start=0):
    """Forward mode: tangents of the outputs, None where one does not depend on the inputs."""
    tangent = dict(zip(inputs, tangents))
    for y in outputs[0].tape.nodes[start:1 + max(y.index for y in outputs)]:
        moving = [tangent.get(x) for x in y.operands]
        if y not in tangent and y.dtype in FLOATS and any(moving):
            tangent[y] = y.op.jvp(moving, y, *y.operands)
    return [tangent.get(y) for y in outputs]


# ---- child tapes: recorded once, called any number of times ------------------------------------------------
def replay(attrs, *arrays):
    (child, k), scratch = attrs, Tape()
    return child.inline(scratch, [scratch.push(None, (), (), x) for x in arrays])[k].value


# Attributes: the child tape, and which of its outputs.  (In C one node computes them all.)
call = Op("call", replay, *by_expanding(lambda y: y.attrs[0].inline(y.tape, y.operands)[y.attrs[1]]))

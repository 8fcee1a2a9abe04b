# Var: a handle to a node, with NumPy's operators and methods.  Part of _core.pyx.

# In the order of Py_LT, Py_LE, Py_EQ, Py_NE, Py_GT, Py_GE.
cdef int *COMPARISONS = [WG_less, WG_less_equal, WG_equal, WG_not_equal, WG_greater, WG_greater_equal]


def delegate(str name):
    """A method of Var that calls the function which the protocols register under its name."""
    def method(self, *args, **kwargs):
        return METHODS[name](self, *args, **kwargs)
    method.__name__ = name
    method.__qualname__ = f"Var.{name}"
    return method


cdef inline Var new_var(Tape tape, wg_id index):
    cdef Var v = Var.__new__(Var)
    v.tape, v.node, v.writes = tape, index, tape.writes
    if watching:
        METHODS["look"](v)
    return v


def watch(bint on):
    """Whether every new Var is looked at; returns whether that was so before."""
    global watching
    before, watching = watching, on
    return before


cdef int refresh(Var v) except -1:
    """Lets a handle mean what has been written in place since it was made."""
    if v.writes != v.tape.writes and v.writes != FROZEN and v.node < wg_tape_len(v.tape.handle):
        check(v.tape, wg_latest(v.tape.handle, v.node, &v.node))
        v.writes = v.tape.writes
    return 0


def frozen(Var v):
    """A handle to the same node that stays with it whatever is written in place."""
    cdef Var handle = new_var(v.tape, v.tape.node_of(v))
    handle.writes = FROZEN
    return handle


cdef wg_node_info describe(Var v) except *:
    cdef wg_node_info info
    if v.node >= wg_tape_len(v.tape.handle):
        raise_ended()
    check(v.tape, wg_node(v.tape.handle, v.node, &info))
    return info


cdef bint has_no_derivative(Var v) except -1:
    """Whether its value is known, and of integers or bools."""
    return not v.tape.abstract and describe(v).dtype < WG_F32


cdef object plain(Var v, str what, str numpy_name):
    """The value where no derivative is lost with it; TypeError otherwise."""
    return v.value if has_no_derivative(v) else refuse(what, numpy_name)


@cython.final
@cython.no_gc
@cython.freelist(1024)
@cython.c_api_binop_methods(True)
cdef class Var:
    """A handle to one node of a tape; it behaves as the ndarray that the node stands for."""
    cdef readonly Tape tape
    cdef wg_id node
    cdef uint32_t writes        # of the tape when `node` was right; FROZEN: written in place, it is another's

    def __init__(self, *args, **named):
        raise TypeError("Var: made by wg.Tape().var(value), or of its arguments by a transform (wg.grad)")

    @property
    def index(self):
        """The place of its node on the tape."""
        refresh(self)
        return self.node

    @property
    def value(self):
        """The value: a fresh ndarray, a NumPy scalar for shape (); TypeError while a function is compiled."""
        refresh(self)
        return read(self.tape, self.node)

    @property
    def shape(self):
        return shape_tuple(describe(self))

    @property
    def dtype(self):
        return DTYPES[<int>describe(self).dtype]

    @property
    def ndim(self):
        return describe(self).ndim

    @property
    def size(self):
        return prod(self.shape)

    @property
    def weak(self):
        """Whether the dtype gives way to the other operand's, as a Python number's does (NEP 50)."""
        return describe(self).weak

    @property
    def in_order(self):
        """1 where NumPy has the elements in C order, which `ravel` does not copy; 0: no, -1: unknown."""
        cdef int out = 0
        check(self.tape, wg_in_order(self.tape.handle, self.index, &out))
        return out

    @property
    def turned(self):
        """Whether NumPy may have axes in another order in memory than C's here, or in what is made of it."""
        return describe(self).turned

    @property
    def is_number(self):
        """Whether NumPy would have a scalar here, as x[0] is; x[..., 0] is an array of shape ()."""
        info = describe(self)
        return info.ndim == 0 and not info.shared

    def share(self):
        """Itself, from now on an array if of shape (), a view and no copy, or in C order; see `wg_share`."""
        check(self.tape, wg_share(self.tape.handle, self.node))
        return self

    real, imag, T = property(delegate("real")), property(delegate("imag")), property(delegate("transpose"))

    def __setattr__(self, name, value):
        if name not in ("real", "imag"):
            raise AttributeError(f"v.{name} = ... ({METHODS['line']()}) cannot be done; write v[...] = x, or "
                                 f"name another array, v = v.reshape(shape) or v.astype(dtype)")
        METHODS[name](self)[...] = value

    def grad(self):
        """The gradient of this number by everything recorded before it: `v.tape.gradient(v)`."""
        return self.tape.gradient(self)

    def __neg__(self):
        return unary(WG_neg, self)

    def __pos__(self):
        return unary(WG_copy, self)

    def __abs__(self):
        return unary(WG_abs, self)

    # With c_api_binop_methods either operand may be the Var.
    def __add__(left, right):
        return binary(WG_add, left, right)

    def __sub__(left, right):
        return binary(WG_sub, left, right)

    def __mul__(left, right):
        return binary(WG_mul, left, right)

    def __truediv__(left, right):
        return binary(WG_div, left, right)

    def __pow__(left, right, modulo):
        if modulo is not None:
            raise TypeError("pow(v, exponent, modulo): the modulo is not supported for a Var")
        return power(left, right)

    def __matmul__(left, right):
        return registered("matmul", left, right)

    def __mod__(left, right):
        return binary(WG_remainder, left, right)

    def __floordiv__(left, right):
        return registered("floor_divide", left, right)

    def __divmod__(left, right):
        return registered("divmod", left, right)

    def __round__(self, ndigits=None):
        return self.round(ndigits or 0)

    def __richcmp__(self, other, int op):
        return binary(COMPARISONS[op], self, other)

    def __and__(left, right):
        return binary(WG_bitwise_and, left, right)

    def __or__(left, right):
        return binary(WG_bitwise_or, left, right)

    def __xor__(left, right):
        return binary(WG_bitwise_xor, left, right)

    def __lshift__(left, right):
        return binary(WG_left_shift, left, right)

    def __rshift__(left, right):
        return binary(WG_right_shift, left, right)

    def __invert__(self):
        return unary(WG_invert, self)

    def __hash__(self):
        return hash((id(self.tape), self.index))

    def __bool__(self):
        if self.tape.abstract:
            raise TypeError(
                f"bool(v) ({METHODS['line']()}): a traced value has no truth value while a function is "
                "compiled, so `if`, `while`, `and`, `or` and `assert` cannot look at it; use np.where (or "
                "wg.cond), or pass what decides as a static argument (static_argnums)")
        return bool(self.value)

    def __float__(self):
        return float(plain(self, "float(v), a math function of v or storing v in a plain ndarray",
                           "np.sin(v) for math.sin(v), np.stack([...]) for a[i] = v"))

    def __int__(self):
        return int(plain(self, "int(v)", "v.astype(int)"))

    def __index__(self):
        if has_no_derivative(self):
            return self.value.__index__()
        raise TypeError(
            f"an index, a shape or range() ({METHODS['line']()}) needs a Python integer, not a Var: "
            "np.take(a, v) gathers, v.value is the plain number, and of a compiled function such an argument "
            "belongs in static_argnums")

    def __complex__(self):
        refuse("complex(v)", "v.astype(complex)")

    def __array__(self, dtype=None, copy=None):
        return np.asarray(plain(self, "np.asarray(v), or storing v in a plain ndarray,",
                                "wengert.numpy.asarray(v), wengert.numpy.array([...]) or np.stack([...]), "
                                "np.take(a, v) for a[v]"), dtype)

    def item(self, *args):
        return plain(self, "v.item()", "v itself is the number").item(*args)

    def tolist(self):
        return plain(self, "v.tolist()", "list(v) gives Vars").tolist()

    def __len__(self):
        cdef wg_node_info info = describe(self)
        if info.ndim == 0:
            raise TypeError("a Var of shape () has no length and cannot be iterated over")
        return info.shape[0]

    def __iter__(self):
        return (self[k] for k in range(len(self)))

    def __reversed__(self):
        return iter([self[k] for k in reversed(range(len(self)))])

    def __getitem__(self, key):
        found = part(self, key if type(key) is tuple else (key,))
        return METHODS["getitem"](self, key) if found is None else found

    def __setitem__(self, key, value):
        METHODS["setitem"](self, key, value)

    def __iadd__(self, other):
        return in_place(self, binary(WG_add, self, other))

    def __isub__(self, other):
        return in_place(self, binary(WG_sub, self, other))

    def __imul__(self, other):
        return in_place(self, binary(WG_mul, self, other))

    def __itruediv__(self, other):
        return in_place(self, binary(WG_div, self, other))

    def __ipow__(self, other, modulo):
        return in_place(self, power(self, other))

    def __imatmul__(self, other):
        return in_place(self, registered("matmul", self, other))

    def __imod__(self, other):
        return in_place(self, binary(WG_remainder, self, other))

    def __ifloordiv__(self, other):
        return in_place(self, registered("floor_divide", self, other))

    def __iand__(self, other):
        return in_place(self, binary(WG_bitwise_and, self, other))

    def __ior__(self, other):
        return in_place(self, binary(WG_bitwise_or, self, other))

    def __ixor__(self, other):
        return in_place(self, binary(WG_bitwise_xor, self, other))

    def __ilshift__(self, other):
        return in_place(self, binary(WG_left_shift, self, other))

    def __irshift__(self, other):
        return in_place(self, binary(WG_right_shift, self, other))

    def __format__(self, spec):
        return format(self.value, spec) if spec else str(self)

    def __repr__(self):
        if self.node >= wg_tape_len(self.tape.handle):
            return "Var(ended)"
        if not describe(self).has_value:
            return f"Var(shape={self.shape}, dtype={self.dtype}, traced)"
        return f"Var({np.array2string(np.asarray(self.value), separator=', ', threshold=20)})"

    def __str__(self):
        gone = self.node >= wg_tape_len(self.tape.handle) or not describe(self).has_value
        return repr(self) if gone else str(self.value)

    def __reduce__(self):
        raise TypeError(f"a Var cannot be pickled, saved or copied by module copy ({METHODS['line']()}): "
                        "it refers to its tape; use v.copy(), or v.value")

    __array_ufunc__ = OfUfuncs()

    def __array_function__(self, func, types, args, kwargs):
        return ARRAY_FUNCTION(func, types, args, kwargs)

    # ndarray's methods.
    sum, prod, cumsum, cumprod = delegate("sum"), delegate("prod"), delegate("cumsum"), delegate("cumprod")
    mean, var, std = delegate("mean"), delegate("var"), delegate("std")
    max, min, argmax, argmin = delegate("max"), delegate("min"), delegate("argmax"), delegate("argmin")
    any, all, argsort = delegate("any"), delegate("all"), delegate("argsort")
    reshape, ravel, flatten = delegate("reshape"), delegate("ravel"), delegate("flatten")
    transpose, swapaxes, squeeze = delegate("transpose"), delegate("swapaxes"), delegate("squeeze")
    repeat, take, clip = delegate("repeat"), delegate("take"), delegate("clip")
    astype, dot = delegate("astype"), delegate("dot")
    conj, conjugate = delegate("conj"), delegate("conjugate")

    def copy(self, order="C"):
        """A copy that belongs to what is being recorded, which may write to it."""
        if order == "F":
            return self.T.copy().T
        inside = wg_current != NULL and within(<Tape>wg_current, self.tape)
        copied = unary(WG_copy, (<Tape>wg_current).as_var(self) if inside else self)
        return copied.share() if describe(self).shared or (order == "C" and describe(self).ndim) else copied

    def __getattr__(self, name):
        return METHODS["attribute"](self, name)

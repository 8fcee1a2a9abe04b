# Recording: an op is appended to the current tape, or computed without one.  Part of _core.pyx.

def current():
    """The tape that this thread records on, or None."""
    return <object>wg_current if wg_current != NULL else None


def set_current(Tape tape):
    """Makes `tape` (or None) the tape that this thread records on; returns the one before."""
    global wg_current
    cdef object before = <object>wg_current if wg_current != NULL else None
    cdef PyObject *old = wg_current
    wg_current = <PyObject *>tape if tape is not None else NULL
    Py_XINCREF(wg_current)
    Py_XDECREF(old)
    return before


def innermost(operands):
    """The tape on which operands meet: the innermost tape of the Vars among them, or the current tape if that
    lies further in; None where there is neither.

    Raises ValueError where two Vars belong to unrelated tapes.
    """
    cdef Tape tape = None
    for x in operands:
        if type(x) is Var:
            tape = inner(tape, (<Var>x).tape)
    further_in = wg_current != NULL and (tape is None or within(<Tape>wg_current, tape))
    return <Tape>wg_current if further_in else tape


def record(int op, tuple operands, tuple attrs=()):
    """Appends one op to the innermost tape of its operands (with no Var among them, to the current tape).

    Attributes are integers, or floats for real parameters, which travel as the bits of a double.
    """
    cdef int64_t words[MAX_ATTRS]
    cdef int n_attrs = attr_words(attrs, words)
    return put(op, len(operands), items_of(operands), n_attrs, words)


cdef Var put(int op, Py_ssize_t n, PyObject **operands, int n_attrs=0, const int64_t *words=NULL):
    """As `record`, of operands that lie in a row."""
    cdef Tape tape = None
    cdef wg_id few[FEW]
    cdef wg_id *nodes = few
    cdef wg_id out = 0
    cdef _Ids ids
    cdef Py_ssize_t k
    for k in range(n):
        if type(<object>operands[k]) is Var:
            tape = inner((<Var>operands[k]).tape, tape)
    if tape is None:
        if wg_current == NULL:
            raise RuntimeError("record: there is no Var among the operands and no tape is being recorded")
        tape = <Tape>wg_current
    if n > FEW:
        ids = _Ids(<int>n)
        nodes = ids.data
    for k in range(n):
        nodes[k] = tape.node_of(<object>operands[k])
    status = wg_append(tape.handle, op, <int>n, nodes, n_attrs, words, &out)
    if status == WG_TYPE_ERROR and n == 1:
        found = METHODS["of_complex"](op, new_var(tape, nodes[0]))
        if found is not None:
            return found
    check(tape, status)
    return new_var(tape, out)


cdef int attr_words(tuple attrs, int64_t *words) except -1:
    """Attributes as the core takes them; returns their number."""
    cdef Scalar real
    cdef int k, n = <int>len(attrs)
    if n > MAX_ATTRS:
        raise ValueError(f"record: {n} attributes; at most {MAX_ATTRS} are supported")
    for k in range(n):
        if type(attrs[k]) is float:
            real.f64 = attrs[k]
            words[k] = real.i64
        else:
            words[k] = attrs[k]
    return n


cdef bint belongs(object x, bint abstract) except -1:
    if type(x) is Var:
        return True
    if isinstance(x, (list, tuple)):
        return any([belongs(part, abstract) for part in x])
    return abstract and isinstance(x, Array)


cdef bint is_abstract() noexcept:
    return wg_current != NULL and (<Tape>wg_current).abstract


def is_recorded(args):
    """Whether a call with these arguments belongs on a tape rather than to NumPy.

    It does with a Var among them (also inside lists), and while `wg.compile` records also with an ndarray:
    captured arrays are inputs of the program, not constants.
    """
    return belongs(args, is_abstract())


ctypedef object (*vectorcallfunc)(object, PyObject *const *, size_t, PyObject *)


cdef class Vectorcall:
    """What is called by the vectorcall protocol (PEP 590): by the C function that the object holds."""
    cdef vectorcallfunc vectorcall

    def __cinit__(self):
        use_vectorcall(<PyObject *>self, <PyTypeObject *>Vectorcall,
                       <char *>&self.vectorcall - <char *><PyObject *>self)

    def __call__(self, *args, **kwargs):
        return PyVectorcall_Call(self, args, kwargs)


cdef class Function(Vectorcall):
    """A function of `wengert.numpy`, which takes Vars and plain arrays alike.

    Parameters
    ----------
    plain : callable
        Answers where there is nothing to record, see `is_recorded`.
    recorded : callable
        Answers where there is.
    op : int, optional
        Of calls with just its operands: what they mean.
    appends : bool
        Those are recorded as that op, and `recorded` is not called.
    computes : bool
        Those with small plain arrays are computed by the core, and `plain` is not called.
    """
    cdef object plain, recorded
    cdef int op, arity
    cdef bint appends, computes
    cdef dict __dict__

    def __cinit__(self, plain, recorded, int op=-1, bint appends=False, bint computes=False):
        self.vectorcall, self.plain, self.recorded = answer, plain, recorded
        self.op, self.appends, self.computes = op, appends, computes
        self.arity = -1 if op < 0 else wg_op(op).arity

    def __reduce__(self):
        return self.__qualname__

    def __repr__(self):
        return f"<function {self.__module__}.{self.__name__}>"


cdef object answer(object function, PyObject *const *args, size_t nargsf, PyObject *kwnames):
    """What a Function is called with, as the vectorcall protocol has it (PEP 590)."""
    cdef Function f = <Function>function
    cdef Py_ssize_t k, n = PyVectorcall_NARGS(nargsf)
    cdef Py_ssize_t n_names = 0 if kwnames == NULL else len(<tuple>kwnames)
    cdef bint abstract = is_abstract(), operands_only = n == f.arity and n_names == 0
    for k in range(n + n_names):
        if belongs(<object>args[k], abstract):
            if operands_only and f.appends:
                return put(f.op, n, <PyObject **>args)
            if operands_only and f.computes and n == 1 and type(<object>args[0]) is Var:
                return whole(f.op, <Var>args[0])
            return PyObject_Vectorcall(f.recorded, args, nargsf, kwnames)
    if operands_only and f.computes and (found := compute(f.op, <int>n, args)) is not None:
        return found
    return PyObject_Vectorcall(f.plain, args, nargsf, kwnames)


cdef class OfUfuncs(Vectorcall):
    """Var's `__array_ufunc__`, which NumPy asks the class for: a method would take a tuple and a dict."""

    def __cinit__(self):
        self.vectorcall = answer_ufunc

    def __get__(self, instance, owner):
        return self if instance is None else partial(self, instance)


cdef object answer_ufunc(object function, PyObject *const *args, size_t nargsf, PyObject *kwnames):
    """Called with the Var, the ufunc, the name of its method and the inputs."""
    cdef Py_ssize_t k, n = PyVectorcall_NARGS(nargsf)
    if kwnames == NULL and n > 3 and <object>args[2] == "__call__":
        op = UFUNCS.get(<object>args[1])
        if op is not None:
            return put(op, n - 3, <PyObject **>args + 3)
    given = [<object>args[k] for k in range(n)]
    names = () if kwnames == NULL else <tuple>kwnames
    options = {name: <object>args[n + k] for k, name in enumerate(names)}
    return ARRAY_UFUNC(given[1], given[2], tuple(given[3:]), options)


cdef bint see(wg_array *a, int64_t *strides, object x) noexcept:
    """Describes an array to C; False unless it is a plain one of some numbers as C has them."""
    cdef int code, k
    if type(x) is not Array:
        return False
    cdef cnp.ndarray array = <cnp.ndarray>x
    code = code_of(array)
    a.ndim, a.shape, a.strides = cnp.PyArray_NDIM(array), <int64_t *>cnp.PyArray_DIMS(array), strides
    a.dtype, a.data = <wg_dtype>code, <char *>cnp.PyArray_DATA(array)
    if code < 0 or a.ndim == 0 or a.ndim > MAX_AXES:
        return False
    for k in range(a.ndim):
        strides[k] = cnp.PyArray_STRIDES(array)[k] >> SHIFTS[code]  # a division takes as long as all the rest
        if a.shape[k] == 0 or strides[k] << SHIFTS[code] != cnp.PyArray_STRIDES(array)[k]:
            return False
    return True


cdef object compute(int op, int n, PyObject *const *args):
    """An op of plain arrays as an eager tape computes it, without the tape.

    None where that is NumPy's: all that takes longer than its call, and all that takes a second look, such as
    broadcasting, promotion, subclasses and warnings.
    """
    cdef wg_array arrays[4]
    cdef int64_t strides[4][MAX_AXES]
    cdef int64_t reduced[2]  # all axes, which go
    cdef Scalar number
    cdef wg_array *a = &arrays[n == 3]  # behind the condition of `where`
    cdef wg_array *b = &arrays[n - 1]
    cdef bint alike = True
    cdef int k
    for k in range(n):
        if n > 3 or not see(&arrays[k], strides[k], <object>args[k]):
            return None
        alike &= (op != WG_matmul and arrays[k].ndim == arrays[0].ndim
                  and memcmp(arrays[k].shape, arrays[0].shape, arrays[0].ndim * sizeof(int64_t)) == 0)
    if a.dtype != b.dtype or not WG_F32 <= a.dtype <= WG_F64 or (n == 3 and arrays[0].dtype != WG_BOOL):
        return None
    if op == WG_matmul:
        return product(a, b)
    if not alike or cnp.PyArray_NBYTES(<cnp.ndarray>args[n - 1]) > SMALL:
        return None
    if op == WG_sum or op == WG_prod or op == WG_max or op == WG_min:
        reduced[0], reduced[1] = (1 << a.ndim) - 1, 0
        arrays[1].ndim, arrays[1].dtype, arrays[1].data = 0, a.dtype, <char *>&number
        whole = cnp.PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>args[0])  # its order is that of the sum
        return unpack(&number, a.dtype) if whole and wg_compute(op, 1, a, 2, reduced, &arrays[1]) else None
    array = new_array(a.ndim, a.shape, WG_BOOL if WG_equal <= op <= WG_greater_equal else a.dtype)
    see(&arrays[3], strides[3], array)
    return array if wg_compute(op, n, arrays, 0, NULL, &arrays[3]) else None


cdef object product(const wg_array *a, const wg_array *b):
    """The product of two matrices or vectors: `compute` of matmul."""
    cdef int64_t shapes[3][2]
    cdef int64_t strides[3][2]
    cdef wg_array arrays[3]
    cdef Scalar number
    cdef object found = None
    cdef int k, rows = a.ndim - 1, columns = b.ndim - 1  # whether the result has that axis
    if a.ndim > 2 or b.ndim > 2 or a.shape[rows] != b.shape[0]:
        return None
    shapes[0][0], shapes[0][1] = a.shape[0] if rows else 1, b.shape[0]
    shapes[1][0], shapes[1][1] = b.shape[0], b.shape[1] if columns else 1
    shapes[2][0], shapes[2][1] = shapes[0][0], shapes[1][1]
    strides[0][0], strides[0][1] = a.strides[0], a.strides[rows]
    strides[1][0], strides[1][1] = b.strides[0], b.strides[columns]
    strides[2][0], strides[2][1] = shapes[2][1], 1
    if shapes[2][0] * shapes[2][1] > SMALL_PRODUCT // b.shape[0]:
        return None
    # with one row or one column the order of the sum is that of memory, which on a tape is C's
    if (shapes[2][0] == 1 or shapes[2][1] == 1) and not (
            a.strides[rows] == 1 and b.strides[columns] == 1
            and (not rows or a.strides[0] == a.shape[1]) and (not columns or b.strides[0] == b.shape[1])):
        return None
    for k in range(3):
        arrays[k].dtype, arrays[k].ndim = a.dtype, 2
        arrays[k].shape, arrays[k].strides = shapes[k], strides[k]
    arrays[0].data, arrays[1].data, arrays[2].data = a.data, b.data, <char *>&number
    if rows or columns:
        found = new_array(rows + columns, shapes[2] + 1 - rows, a.dtype)
        arrays[2].data = <char *>cnp.PyArray_DATA(<cnp.ndarray>found)
    if not wg_compute(WG_matmul, 2, arrays, 0, NULL, &arrays[2]):
        return None
    return unpack(&number, a.dtype) if found is None else found


cdef Var unary(int op, Var v):
    cdef PyObject *operand = <PyObject *>v
    return put(op, 1, &operand)


cdef Var whole(int op, Var v):
    """A reduction over all axes."""
    cdef PyObject *operand = <PyObject *>v
    cdef int64_t words[2]  # the axes, and whether they are kept
    words[0], words[1] = (<int64_t>1 << describe(v).ndim) - 1, False
    return put(op, 1, &operand, 2, words)


cdef object binary(int op, object left, object right):
    """left op right, at least one of them a Var; NotImplemented where the other is no operand."""
    cdef PyObject *operands[2]
    if not is_operand(left) or not is_operand(right):
        return NotImplemented
    operands[0], operands[1] = <PyObject *>left, <PyObject *>right
    return put(op, 2, operands)


cdef object part(Var v, tuple key):
    """v[key] for integers, slices, None and `...`; None for other keys, what is not there, of a number."""
    cdef wg_node_info info = describe(v)
    cdef PyObject *operand = <PyObject *>v
    cdef int64_t extents[MAX_ATTRS]
    cdef int64_t windows[MAX_ATTRS]
    cdef int64_t kept[MAX_ATTRS]
    cdef Py_ssize_t start, stop, step, length, dots = len(key)
    cdef int ndim = info.ndim, taken = 0, axis = 0, n = 0, k
    cdef bint array
    for k, entry in enumerate(key):
        if type(entry) is slice or type(entry) is int:
            taken += 1
        elif entry is Ellipsis and dots == len(key):
            dots = k
        elif entry is not None:
            return None
    if ndim == 0 or taken > ndim or len(key) + ndim > MAX_ATTRS:
        return None
    memcpy(extents, info.shape, ndim * sizeof(int64_t))  # what is no index may append nodes where it is asked
    array = dots < len(key)
    if array or taken < ndim:
        key = key[:dots] + (EVERYTHING,) * (ndim - taken) + key[dots + 1:]
    for entry in key:
        if entry is None:
            kept[n], n = 1, n + 1
            continue
        if type(entry) is slice:
            PySlice_Unpack(entry, &start, &stop, &step)
            length = PySlice_AdjustIndices(extents[axis], &start, &stop, step)
            kept[n], n = length, n + 1
        else:
            start, step, length = PyNumber_AsSsize_t(entry, NULL), 1, 1  # the largest in place of larger ones
            start += extents[axis] if start < 0 else 0
            if not 0 <= start < extents[axis]:
                return None
        windows[3 * axis], windows[3 * axis + 1], windows[3 * axis + 2] = start, step, length
        axis += 1
    found = put(WG_slice, 1, &operand, 3 * ndim, windows)
    if n < ndim or len(key) > ndim:
        operand = <PyObject *>found
        found = put(WG_reshape, 1, &operand, n, kept)
    return found.share() if array and n == 0 else found


cdef object in_place(Var v, object result):
    """What v += w leaves v to be: an array is written to, a number is another one."""
    if result is NotImplemented or v.is_number:
        return result
    METHODS["overwrite"](v, result)
    return v


cdef object registered(str name, object left, object right):
    """left op right by a function that the protocols register; NotImplemented where one is no operand."""
    return METHODS[name](left, right) if is_operand(left) and is_operand(right) else NotImplemented


cdef bint is_operand(object x):
    return (type(x) is Var or type(x) is float or type(x) is int or type(x) is bool or type(x) is complex
            or isinstance(x, (Array, Generic, list, tuple)))


cdef dict POWERS = {1: (WG_copy,), 2: (WG_square,), 4: (WG_square, WG_square), 0.5: (WG_sqrt,),
                    -1: (WG_reciprocal,), -2: (WG_reciprocal, WG_square)}


cdef object power(object base, object exponent):
    """base ** exponent; small exponents take ops that cost less than `pow` and err no more."""
    if type(base) is not Var or not (type(exponent) is int or type(exponent) is float):
        return binary(WG_pow, base, exponent)
    if type(exponent) is int and exponent < 0 and describe(base).dtype < WG_F32 and not describe(base).weak:
        raise ValueError("integers to negative integer powers are no integers; cast the base to float")
    if exponent == 3:
        return binary(WG_mul, base, unary(WG_square, base))
    if exponent not in POWERS:
        return binary(WG_pow, base, exponent)
    for op in <tuple>POWERS[exponent]:
        base = unary(op, base)
    return base


cdef frozenset PLAIN = frozenset((Array, float, int, bool, str, NoneType))


def value_and_grad(str name, f, tuple args, argnum):
    """The value and the gradient of a function of plain arrays and numbers by one of them.

    MISSED for any other call, and where something is being recorded: see `transforms.first`.
    """
    cdef Tape tape
    cdef Var x
    if wg_current != NULL or type(argnum) is not int or not -len(args) <= argnum < len(args):
        return MISSED
    for given in args:
        if type(given) not in PLAIN:
            return MISSED
    given = args[argnum]
    if type(given) is not float and (type(given) is not Array or code_of(given) < WG_F32):
        return MISSED
    tape = METHODS["Tape"]()
    set_current(tape)
    try:
        x = tape.as_var(given)
        if type(given) is float:  # a constant; the leaf of an array is the input itself
            x = unary(WG_copy, x)
        start = frozen(x)  # whatever f writes to its argument
        y = f(*args[:argnum], x, *args[argnum + 1 or len(args):])
        if type(y) is not Var or describe(y).ndim > 0 or not WG_F32 <= describe(y).dtype <= WG_F64:
            y = METHODS["scalar_output"](name, tape, y, [x])
        slope = tape.vjp((y,), (tape.full(1, y.dtype, y.shape),), (start,), True)[0]
        return y.value, np.zeros(start.shape, start.dtype)[()] if slope is None else slope.value
    finally:
        set_current(None)
        Tape.pop(tape, 0)

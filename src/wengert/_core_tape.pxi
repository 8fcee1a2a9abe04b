# Tapes: the arrays that go in, the sweeps, and what comes out.  Part of _core.pyx.

cdef wg_tape *idle[MAX_IDLE]
cdef int n_idle = 0


cdef class Tape:
    """A list of recorded operations.

    Parameters
    ----------
    abstract : bool
        An abstract tape knows shapes and dtypes only; an eager one computes each node as it is appended.
    parent : Tape, optional
        The tape whose Vars may be used on this (abstract) one, as hidden inputs.
    """
    cdef wg_tape *handle
    cdef readonly bint abstract
    cdef public Tape parent     # the tape whose Vars may be used here as hidden inputs
    cdef int depth              # number of ancestors
    cdef dict slots             # abstract: identity of an array or Var -> its input node
    cdef readonly list sources  # abstract: per input slot None (declared), or the ndarray or Var behind it
    cdef public list snapshots  # abstract: (captured ndarray, its contents when first used)
    cdef public list relied     # abstract: the same of arrays whose values decide what is recorded
    cdef public bint ended      # the recording is over: its Vars take no more operations
    cdef uint32_t writes        # how often something was written in place
    cdef object __weakref__

    def __cinit__(self, bint abstract=False, Tape parent=None):
        global n_idle
        if not abstract and n_idle > 0:
            n_idle -= 1
            self.handle = idle[n_idle]
            wg_tape_adopt(self.handle)
        else:
            self.handle = wg_tape_new(abstract)
            if self.handle == NULL:
                raise MemoryError()
        self.abstract, self.parent = abstract, parent
        self.depth = 0 if parent is None else parent.depth + 1
        self.slots, self.sources, self.snapshots, self.relied = {}, [], [], []

    def __dealloc__(self):
        # Nobody refers to this object any more: no Var can see the C tape that the next transform takes over.
        global n_idle
        if self.handle == NULL:
            return
        if not self.abstract and n_idle < MAX_IDLE and wg_tape_len(self.handle) < IDLE_NODES:
            wg_tape_adopt(self.handle)
            wg_tape_pop(self.handle, 0)
            idle[n_idle] = self.handle
            n_idle += 1
        else:
            wg_tape_release(self.handle)

    def __reduce__(self):
        raise TypeError("a Tape cannot be copied or pickled: its nodes are memory of this process; "
                        "pickle the arrays (v.value) and the function that records it")

    def __len__(self):
        return wg_tape_len(self.handle)

    def pop(self, wg_id length):
        """Forgets the nodes from `length` on; Vars that refer to them have ended."""
        wg_tape_pop(self.handle, length)

    def verify(self):
        """Checks every invariant of every node; raises ValueError naming the first that fails."""
        check(self, wg_verify(self.handle))

    cdef wg_id node_of(self, object x) except? 0xFFFFFFFF:
        """The node of this tape that stands for an operand of any kind."""
        cdef Var v
        cdef int64_t extents[32]
        cdef wg_id out = 0
        cdef Scalar value
        cdef int code
        cdef bint weak
        if type(x) is Var:
            v = <Var>x
            if v.tape is self:
                if v.writes != self.writes:
                    refresh(v)
                if v.node >= wg_tape_len(self.handle) or self.ended:
                    raise_ended()
                return v.node
            return lift(self, v)
        code = weak_code(x)
        weak = code >= 0
        if type(x) is bool or isinstance(x, Generic):
            code = WG_BOOL if type(x) is bool else CODES.get(x.dtype, -1)
        if 0 <= code < WG_C64:  # complex numbers are too wide for a constant
            pack(&value, code, x)
            check(self, wg_constant(self.handle, <wg_dtype>code, &value, weak, &out))
            return out
        if type(x) is complex:  # weak as a float is: its parts are
            return self.joined(x.real, x.imag)
        cdef object array = supported(x)
        if not self.abstract:
            return leaf(self, array)
        # The caller's own array is read again at each replay, whatever conversion it takes.
        source = x if isinstance(x, Array) else array
        ndim = fill_shape(extents, array.shape)
        return self.hidden(id(source), source, CODES[array.dtype], ndim, extents, False)

    cdef wg_id joined(self, double re, double im) except? 0xFFFFFFFF:
        """The node of a complex constant."""
        cdef wg_id parts[2]
        cdef wg_id out = 0
        check(self, wg_constant(self.handle, WG_F64, &re, True, &parts[0]))
        check(self, wg_constant(self.handle, WG_F64, &im, True, &parts[1]))
        check(self, wg_append(self.handle, WG_to_complex, 2, parts, 0, NULL, &out))
        return out

    cdef wg_id hidden(self, object key, object source, wg_dtype dtype, int ndim, const int64_t *shape,
                      bint weak) except? 0xFFFFFFFF:
        """The input that stands for an array or an ancestor's Var, one per source."""
        cdef wg_id out = 0
        known = self.slots.get(key)
        if known is not None:
            return known
        check(self, wg_input(self.handle, dtype, ndim, shape, weak, &out))
        self.slots[key] = out
        self.sources.append(source)
        if isinstance(source, Array):
            self.snapshots.append((source, source.copy()))
        return out

    def as_var(self, x):
        """A Var of this tape for an array, a scalar or a Var of this tape or of an ancestor."""
        return new_var(self, self.node_of(x))

    def leaf(self, x):
        """A new leaf of an eager tape; 0-d numbers too, which `as_var` would intern as constants."""
        if self.abstract:
            raise ValueError("leaf: an abstract tape has inputs instead of leaves")
        return new_var(self, leaf(self, supported(x)))

    def input(self, dtype, shape, bint weak=False):
        """The next declared input of an abstract tape."""
        cdef int64_t extents[32]
        cdef wg_id out = 0
        cdef int ndim = fill_shape(extents, shape)
        check(self, wg_input(self.handle, CODES[np.dtype(dtype)], ndim, extents, weak, &out))
        self.sources.append(None)
        return new_var(self, out)

    def full(self, value, dtype, shape):
        """A constant repeated to a shape."""
        cdef Scalar element
        cdef wg_id out = 0, node = 0
        cdef int code = CODES[np.dtype(dtype)]
        cdef int64_t extents[32]
        cdef int64_t attr = code
        if code < WG_C64:
            pack(&element, code, value)
            check(self, wg_constant(self.handle, <wg_dtype>code, &element, False, &node))
        else:
            node = self.node_of(complex(value))
            check(self, wg_append(self.handle, WG_cast, 1, &node, 1, &attr, &node))
        if len(shape) == 0:
            return new_var(self, node)
        check(self, wg_append(self.handle, WG_broadcast, 1, &node, fill_shape(extents, shape), extents, &out))
        return new_var(self, out)

    def set_outputs(self, outputs):
        """Declares what an abstract tape computes."""
        cdef _Ids ids = node_ids(self, outputs)
        check(self, wg_tape_set_outputs(self.handle, ids.n, ids.data))

    def call(self, Tape child, operands):
        """Applies a recorded tape to operands, one per input slot; returns its outputs as a list of Vars."""
        cdef _Ids ids = node_ids(self, operands)
        cdef wg_id first = 0
        cdef uint32_t k
        if <uint32_t>ids.n != wg_tape_n_inputs(child.handle):
            raise ValueError(f"call: {ids.n} operands for {wg_tape_n_inputs(child.handle)} inputs")
        if wg_tape_n_outputs(child.handle) == 0:
            return []
        wg_tape_adopt(child.handle)
        check(self, wg_call(self.handle, child.handle, ids.n, ids.data, &first))
        return [new_var(self, first + k) for k in range(wg_tape_n_outputs(child.handle))]

    def scan(self, Tape body, operands, int n_carry, int n_x, int64_t length, bint reverse=False,
             int guard=-1, int64_t block=0):
        """Applies a recorded body `length` times, see `wg_scan`.

        Returns the last carries, the stacked entries, and all values of the carries if their number is known.
        """
        cdef _Ids ids = node_ids(self, operands)
        cdef wg_id first = 0
        cdef int k, n = <int>wg_tape_n_outputs(body.handle) + (n_carry if length >= 0 else 0)
        check(self, wg_scan(self.handle, body.handle, n_carry, n_x, length, reverse, guard, block, ids.n,
                            ids.data, &first))
        return [new_var(self, first + k) for k in range(n)]

    def vjp(self, outputs, cotangents, inputs, bint transient=False):
        """Appends a reverse sweep; returns one Var per input, None where the outputs do not depend on it."""
        cdef _Ids out = node_ids(self, outputs), seed = node_ids(self, cotangents)
        cdef _Ids given = node_ids(self, inputs), result = _Ids(given.n)
        check(self, wg_vjp(self.handle, out.n, out.data, seed.data, given.n, given.data,
                           transient and not watching, result.data))
        return vars_or_none(self, result)

    def jvp(self, inputs, tangents, outputs):
        """Appends a forward sweep; a tangent may be None (zero), as may each result."""
        cdef _Ids given = node_ids(self, inputs), seed = node_ids(self, tangents)
        cdef _Ids out = node_ids(self, outputs), result = _Ids(out.n)
        check(self, wg_jvp(self.handle, given.n, given.data, seed.data, out.n, out.data, result.data))
        return vars_or_none(self, result)

    cdef int take(self, wg_tape *handle) except -1:
        """Becomes the handle to another C tape."""
        wg_tape_release(self.handle)
        self.handle = handle

    def set_rule(self, derive):
        """Lets `derive(reverse, given, asked)` make the tapes by which calls of this one are differentiated,
        see `wg_derive_fn`."""
        wg_tape_set_rule(self.handle, derive_in_python, release_object, <void *>derive)
        Py_XINCREF(<PyObject *>derive)

    def extract(self, inputs, outputs):
        """The part that leads from inputs to outputs, as an abstract tape on which plain calls are inlined.

        Returns
        -------
        tape : Tape
        operands : list of Var
            What to call it with: `inputs`, then what else it reads.
        """
        cdef _Ids given = node_ids(self, inputs), out = node_ids(self, outputs)
        cdef Tape result = Tape(True)
        cdef wg_tape *handle = NULL
        cdef wg_id *operands = NULL
        cdef uint32_t k
        check(self, wg_extract(self.handle, given.n, given.data, out.n, out.data, &handle, &operands))
        result.take(handle)
        found = [new_var(self, operands[k]) for k in range(wg_tape_n_inputs(handle))]
        free(operands)
        check(result, wg_inline(handle, &handle))
        result.take(handle)
        return result, found

    def batch(self, int64_t size, batched, wanted):
        """A new abstract tape that does for `size` sets of inputs at once what this one does for one.

        Returns
        -------
        tape : Tape
            Input k has a first axis of that extent where `batched[k]`.
        outputs : list of bool
            Whether each output has it; where `wanted[k]` it has.
        looped : str or None
            An op that is done element by element, for lack of a batching rule.
        """
        cdef int n = len(batched), n_out = len(wanted), looped = -1, k
        cdef Tape result = Tape(True)
        cdef wg_tape *handle = NULL
        cdef wg_status status
        cdef c_bool *flags = <c_bool *>PyMem_Malloc(n + n_out + 1)
        if flags == NULL:
            raise MemoryError()
        for k in range(n + n_out):
            flags[k] = <bint>batched[k] if k < n else <bint>wanted[k - n]
        status = wg_batch(self.handle, size, flags, flags + n, &handle, &looped)
        outputs = [flags[n + k] != 0 for k in range(n_out)]
        PyMem_Free(flags)
        check(self, status)
        result.take(handle)
        return result, outputs, None if looped < 0 else text(wg_op(looped).name)

    def write(self, int op, tuple operands, tuple attrs=()):
        """Puts operands[1] (or operands[2] at rows operands[1]) into a slice, rows or all of operands[0].

        From then on every handle to that array and to its views means what was written.
        """
        cdef int64_t words[MAX_ATTRS]
        cdef int n_attrs = attr_words(attrs, words)
        cdef _Ids ids = node_ids(self, operands)
        check(self, wg_write(self.handle, op, ids.n, ids.data, n_attrs, words))
        self.writes = (self.writes + 1) % FROZEN

    def partial(self, wg_id node, int operand):
        """Appends the local partial derivative of an elementwise node; None where its op has none."""
        cdef wg_id out = WG_NONE
        check(self, wg_partial(self.handle, node, operand, &out))
        return None if out == WG_NONE else new_var(self, out)

    def node(self, wg_id index):
        """What is known of one node, as a `Node`."""
        cdef wg_node_info info
        check(self, wg_node(self.handle, index, &info))
        return Node(wg_op(info.op).name.decode(), DTYPES[<int>info.dtype], info.weak, shape_tuple(info),
                    tuple([info.inputs[k] for k in range(info.n_in)]),
                    tuple([info.attrs[k] for k in range(info.n_attr)]), info.has_value)

    def child(self, wg_id call):
        """The tape that a call node calls."""
        cdef Tape result = Tape(True)
        result.take(wg_tape_retain(wg_tape_child(self.handle, call)))
        return result

    def at(self, wg_id index):
        """The Var of a node."""
        if index >= wg_tape_len(self.handle):
            raise IndexError(f"node {index} of a tape of {wg_tape_len(self.handle)} nodes")
        return new_var(self, index)

    def value(self, wg_id index):
        """A node's value: a fresh ndarray, or a NumPy scalar for shape ()."""
        return read(self, index)

    @property
    def inputs(self):
        """The indices of an abstract tape's inputs, in slot order."""
        return [wg_tape_inputs(self.handle)[k] for k in range(wg_tape_n_inputs(self.handle))]

    @property
    def outputs(self):
        """The indices of the declared outputs."""
        return [wg_tape_outputs(self.handle)[k] for k in range(wg_tape_n_outputs(self.handle))]


cdef wg_status derive_in_python(wg_tape *t, void *context, wg_mode mode, const c_bool *given,
                                const c_bool *asked, wg_tape **out) noexcept with gil:
    cdef uint32_t k, n_in = wg_tape_n_inputs(t), n_out = wg_tape_n_outputs(t)
    cdef bint reverse = mode == WG_REVERSE
    try:
        derived = <Tape?>(<object>context)(
            reverse, [given[k] != 0 for k in range(n_out if reverse else n_in)],
            [not reverse or asked[k] != 0 for k in range(n_in if reverse else n_out)])
        out[0] = wg_tape_retain((<Tape>derived).handle)
        return WG_OK
    except BaseException as error:
        raised[get_ident()] = error
        return WG_RUNTIME_ERROR


cdef void release_object(void *context) noexcept with gil:
    Py_XDECREF(<PyObject *>context)


cdef int raise_ended() except -1:
    raise RuntimeError(
        "this Var has ended: the transform (grad, vjp, jvp, compile, ...) that recorded it has returned; "
        "return the quantity from the function instead of keeping the Var, or use a wg.Tape() of your own")


@cython.final
@cython.freelist(8)
cdef class _Ids:
    """A C array of node ids that Python's reference counting frees."""
    cdef wg_id small[16]
    cdef wg_id *data
    cdef int n

    def __cinit__(self, int n):
        self.n = n
        self.data = &self.small[0] if n <= 16 else <wg_id *>PyMem_Malloc(n * sizeof(wg_id))
        if self.data == NULL:
            raise MemoryError()

    def __dealloc__(self):
        if self.data != &self.small[0]:
            PyMem_Free(self.data)


cdef _Ids node_ids(Tape tape, object operands):
    """The nodes of operands; None becomes WG_NONE."""
    cdef _Ids ids = _Ids(len(operands))
    cdef int k
    for k in range(ids.n):
        x = operands[k]
        ids.data[k] = WG_NONE if x is None else tape.node_of(x)
    return ids


cdef list vars_or_none(Tape tape, _Ids ids):
    return [None if ids.data[k] == WG_NONE else new_var(tape, ids.data[k]) for k in range(ids.n)]


cdef int fill_shape(int64_t *out, object shape) except -1:
    """A shape as the core takes it; returns its number of axes."""
    cdef int k, ndim = len(shape)
    if ndim > WG_MAX_NDIM:
        raise ValueError(f"shape has {ndim} dimensions; at most {WG_MAX_NDIM} are supported")
    for k in range(ndim):
        out[k] = shape[k]
    return ndim


cdef tuple shape_tuple(wg_node_info info):
    return () if info.ndim == 0 else tuple([info.shape[k] for k in range(info.ndim)])


cdef object read(Tape tape, wg_id index):
    cdef wg_node_info info
    cdef Scalar element
    if index >= wg_tape_len(tape.handle):
        raise_ended()
    check(tape, wg_node(tape.handle, index, &info))
    if not info.has_value:
        raise TypeError(
            f"this Var is traced ({METHODS['line']()}): it has a shape and a dtype but no value while a "
            "function is compiled; "
            "compute with it, or pass what must be known as a static argument (static_argnums)")
    if info.ndim == 0:
        check(tape, wg_read(tape.handle, index, &element))
        return unpack(&element, info.dtype)
    array = new_array(info.ndim, info.shape, info.dtype)
    check(tape, wg_read(tape.handle, index, cnp.PyArray_DATA(array)))
    return array


cdef Tape inner(Tape a, Tape b):
    """The inner one of two tapes of one family, None being nobody's."""
    cdef Tape t, outer
    if a is b or b is None:
        return a
    if a is None:
        return b
    t, outer = (a, b) if a.depth > b.depth else (b, a)
    if not within(t, outer):
        raise ValueError(
            "Vars of unrelated tapes were combined: they come from two wg.Tape()s, or one was kept from a "
            "transform that does not enclose this one; record both on one tape, or pass v.value")
    return t


cdef bint within(Tape t, Tape outer):
    """Whether a tape is `outer` or one of those inside of it."""
    while t is not None and t is not outer:
        t = t.parent
    return t is not None


cdef wg_id lift(Tape tape, Var v) except? 0xFFFFFFFF:
    """An ancestor's Var as a hidden input of an abstract tape."""
    cdef wg_node_info info
    if inner(tape, v.tape) is not tape:
        raise ValueError(
            "a Var of an inner recording was used outside of it; return it from the compiled function")
    refresh(v)
    info = describe(v)
    return tape.hidden((id(v.tape), v.node), v, info.dtype, info.ndim, info.shape, info.weak)

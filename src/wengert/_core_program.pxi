# Programs: a tape, lowered once and replayed.  Part of _core.pyx.

cdef struct Slot:
    wg_dtype dtype
    bint weak
    int ndim
    int64_t itemsize
    size_t nbytes               # from its first to its last byte in memory,
    size_t before               # and how many of them lie before the first element
    int64_t shape[32]
    bint donated                # some output overwrites it
    bint turned                 # an input whose strides are these; else in C order
    int64_t strides[32]


cdef class Program:
    """An abstract tape with outputs, lowered for replay.

    Parameters
    ----------
    tape : Tape
    alias : sequence of int, optional
        Per output the input slot whose array it overwrites, or -1.
    strides : sequence, optional
        Per input, then per output, its strides in bytes, or None for C order.
    """
    cdef wg_program *handle
    cdef readonly int n_inputs, n_outputs
    cdef Slot *slots            # n_inputs inputs, then n_outputs outputs
    cdef int32_t *alias         # per output the donated input slot, or -1
    cdef int64_t **strides      # per slot, in elements, or NULL: in C order
    cdef object spare           # the _Frame of the last replay, for the next one
    cdef Tape tape
    cdef readonly dict orders   # by strides of the inputs: programs for operands that are not all in C order
    cdef object likely          # the one of them that answered last, if one did
    cdef bint turned            # this is one of them
    cdef bint donates           # some output overwrites an input

    def __cinit__(self, Tape tape, alias=None, strides=None):
        cdef wg_node_info info
        cdef int k, n
        cdef wg_id node
        cdef const wg_id *inputs = wg_tape_inputs(tape.handle)
        cdef const wg_id *outputs = wg_tape_outputs(tape.handle)
        self.tape, self.orders, self.turned = tape, {}, strides is not None
        wg_tape_adopt(tape.handle)  # from here on no other thread can come between
        self.n_inputs = wg_tape_n_inputs(tape.handle)
        self.n_outputs = wg_tape_n_outputs(tape.handle)
        n = self.n_inputs + self.n_outputs + 1
        self.slots = <Slot *>PyMem_Malloc(n * (sizeof(Slot) + sizeof(int64_t *) + sizeof(int32_t)))
        if self.slots == NULL:
            raise MemoryError()
        self.strides = <int64_t **>(self.slots + n)
        self.alias = <int32_t *>(self.strides + n)
        for k in range(self.n_inputs + self.n_outputs):
            node = inputs[k] if k < self.n_inputs else outputs[k - self.n_inputs]
            check(tape, wg_node(tape.handle, node, &info))
            fill_slot(&self.slots[k], &info)
            self.strides[k] = NULL if strides is None else turn_slot(&self.slots[k], strides[k])
        for k in range(self.n_outputs):
            self.alias[k] = -1 if alias is None else alias[k]
            if self.alias[k] >= 0:
                self.slots[self.alias[k]].donated = self.donates = True
        if self.n_outputs:  # the C core knows no program that computes nothing
            check(tape, wg_program_new(tape.handle, self.alias,
                                       <const int64_t **>self.strides if self.turned else NULL, &self.handle))

    def __reduce__(self):
        raise TypeError("a Program cannot be copied or pickled: it is memory of this process; "
                        "pickle the function that wg.compile made, which records again where it is called")

    def __dealloc__(self):
        if self.handle != NULL:
            wg_program_release(self.handle)
        PyMem_Free(self.slots)

    @property
    def info(self):
        """nodes, steps and the bytes of the plan, as a dict."""
        cdef wg_program_info info
        memset(&info, 0, sizeof(info))
        if self.handle != NULL:
            wg_program_describe(self.handle, &info)
        return info

    def weak(self, int slot):
        """float or int where the input is a Python number, else None."""
        if not 0 <= slot < self.n_inputs or not self.slots[slot].weak:
            return None
        return float if self.slots[slot].dtype == WG_F64 else int

    def input_types(self):
        """Dtype and shape of each input slot."""
        cdef int k, j
        return [(DTYPES[<int>self.slots[k].dtype],
                 tuple([self.slots[k].shape[j] for j in range(self.slots[k].ndim)]))
                for k in range(self.n_inputs)]

    def steps(self):
        """What a replay runs, one `Step` after the other."""
        cdef wg_step_info info
        cdef list found = []
        for k in range(self.info["steps"]):
            wg_program_step(self.handle, k, &info)
            names = tuple([text(wg_op(info.ops[j]).name) for j in range(info.n_ops)])
            found.append(Step(names, info.rows, info.block, info.groups, info.tile_bytes, info.flops,
                              info.bytes, text(info.reason)))
        return found

    def clock(self, list inputs, int times):
        """Seconds that each step takes, one list for each of so many replays."""
        cdef uint32_t k, n = self.info["steps"]
        cdef double *clock = <double *>PyMem_Malloc((n + 1) * sizeof(double))
        cdef list found = []
        if clock == NULL:
            raise MemoryError()
        try:
            wg_program_clock(self.handle, clock)
            for _ in range(times):
                memset(clock, 0, n * sizeof(double))
                if self.run(inputs) is None:
                    raise ValueError("clock: the arguments are not of the recorded shapes and dtypes")
                found.append([clock[k] * 1e-9 for k in range(n)])
        finally:
            wg_program_clock(self.handle, NULL)
            PyMem_Free(clock)
        return found

    def run(self, list inputs, list out=None):
        """Replays on one object per input slot.

        Parameters
        ----------
        inputs : list of ndarray, NumPy scalar or Python number
        out : list of ndarray, optional
            Arrays to write the outputs to; they may overlap inputs.

        Returns
        -------
        list or None
            The outputs: fresh arrays, the donated arrays or those of `out`; None where some input or some
            array of `out` has not the recorded type, shape or dtype, or lies in memory as no program can read
            it (nothing has run then).
        """
        return self.replay(list_items(inputs), len(inputs), out, -1, (), None)

    def repeat(self, list inputs, int64_t times, each=(), watch=None):
        """Replays many times in one C call; what is donated goes from one replay to the next.

        Parameters
        ----------
        inputs : list
            As for `run`; those whose slots `each` names have a first axis of `times` entries, of which every
            replay takes the next one.
        times : int
        each : collection of int
        watch : callable(done), optional
            Called every 40 ms or so with the number of replays done; where it raises, no other replay begins.

        Returns
        -------
        list or None
            As from `run`; outputs that are not donated have a first axis of `times` entries.
        """
        return self.replay(list_items(inputs), len(inputs), None, max(0, times), each, watch)

    cdef list replay(self, PyObject **inputs, Py_ssize_t n, list out, int64_t times, each, watch):
        cdef Program plan = self if self.likely is None or times >= 0 else <Program>self.likely
        if n != self.n_inputs:
            return None
        found = plan.attempt(inputs, out, times, each, watch)
        if found is None and times < 0:  # many replays would copy again and again what is to be copied
            plan = self.ordered(inputs)
            if plan is not None:
                found = plan.attempt(inputs, out, times, each, watch)
                self.likely = None if plan is self else plan
        return found

    cdef Program ordered(self, PyObject **inputs):
        """The program that reads such arrays where they lie; None where none can."""
        cdef list key = [None] * (self.n_inputs + self.n_outputs)
        cdef int k
        for k in range(self.n_inputs):
            x = <object>inputs[k]
            if isinstance(x, Array) and not cnp.PyArray_IS_C_CONTIGUOUS(x):
                key[k] = x.strides
                if self.slots[k].donated or not is_like(&self.slots[k], x, False) or (
                        any([step % x.itemsize for step in key[k]])):
                    return None
        if not any(key):
            return self
        found = self.orders.get(tuple(key))
        if found is None:
            if len(self.orders) >= MAX_ORDERS:
                self.orders.clear()
            found = self.orders[tuple(key)] = type(self)(
                self.tape, [self.alias[k] for k in range(self.n_outputs)], key)
        return found

    cdef list attempt(self, PyObject **inputs, list out, int64_t times, each, watch):
        """As `replay`, by this very program."""
        cdef _Frame frame = _Frame(self.n_inputs, self.n_outputs) if self.spare is None else self.spare
        cdef char message[256]
        cdef wg_status status
        cdef wg_repeat repeat
        cdef Slot *slot
        cdef list results = [None] * self.n_outputs
        cdef int k, n = self.n_inputs
        self.spare = None  # another thread that comes meanwhile makes a frame of its own
        frame.times, frame.watch, frame.slots = times, watch, self.slots
        try:
            for k in range(n):
                x = <object>inputs[k]
                if not frame.read(k, &self.slots[k], x, times >= 0 and k in each):
                    return None
            if self.handle == NULL:
                return []
            if self.donates and frame.shares(n):
                if self.turned:  # what is not in C order is copied before anything is overwritten
                    return None
                raise ValueError(
                    "a donated argument shares memory with another argument or with a captured array: it "
                    "would be overwritten while it is read; pass a copy or do not donate it")
            for k in range(self.n_outputs):
                slot = &self.slots[n + k]
                if self.alias[k] >= 0:
                    frame.pointers[n + k] = frame.pointers[self.alias[k]]
                    frame.nbytes[n + k] = frame.moves[n + k] = 0  # overlaps nothing
                    results[k] = <object>inputs[self.alias[k]]
                elif out is None:
                    results[k] = frame.make(n + k, slot)
                elif not frame.write(n + k, n, slot, out[k]):
                    return None
            if out is not None:
                for k in range(self.n_outputs):
                    results[k] = out[k]
                    if frame.overlaps(n + k, 0, n):  # written elsewhere, then copied
                        results[k] = frame.make(n + k, &self.slots[n + k])
            repeat.times, repeat.guard_bytes, frame.repeat = 1 if frame.times < 0 else frame.times, 0, &repeat
            repeat.moves, repeat.ask, repeat.context = frame.moves, ask_python, <void *>frame
            repeat.tries = True  # with the GIL: giving it away and taking it again takes as long as a run
            status = wg_program_repeat(
                self.handle, frame.pointers, frame.pointers + n, &repeat, message, sizeof(message))
            if status == WG_BUSY:
                repeat.tries = False
                with nogil:
                    status = wg_program_repeat(
                        self.handle, frame.pointers, frame.pointers + n, &repeat, message, sizeof(message))
            if status == WG_INTERRUPTED:
                raise frame.error
            if status != WG_OK:
                raise_status(status, message)
            for k in range(self.n_outputs):
                if results[k] is None:
                    results[k] = unpack(&frame.scalars[n + k], self.slots[n + k].dtype)
                if out is not None and out[k] is not results[k]:
                    out[k][...] = results[k]
                    results[k] = out[k]
            return results
        finally:
            frame.watch = frame.error = None
            self.spare = frame


cdef wg_answer ask_python(wg_repeat *repeat) noexcept with gil:
    """Whether a long replay is to go on: not after Ctrl-C, nor after an exception in what watches it."""
    cdef _Frame frame = <_Frame>repeat.context
    try:
        PyErr_CheckSignals()
        if frame.watch is not None:
            frame.watch(frame.repeat.done)
        elif get_ident() != main_thread().ident:  # Python's signals are the main thread's
            return WG_NEVER_ASK
    except BaseException as error:
        frame.error = error
        return WG_STOP
    return WG_GO_ON


cdef int fill_slot(Slot *slot, const wg_node_info *info) except -1:
    cdef int k
    slot.dtype, slot.weak, slot.ndim = info.dtype, info.weak, info.ndim
    slot.nbytes = slot.itemsize = wg_itemsize(info.dtype)
    slot.before, slot.turned, slot.donated = 0, False, False
    for k in range(info.ndim):
        slot.shape[k] = info.shape[k]
        slot.nbytes *= info.shape[k]
    return 0


cdef int64_t *turn_slot(Slot *slot, object strides) except? NULL:
    """Gives the slot these strides; returns them for C, in elements, NULL where it stays in C order."""
    cdef int64_t k, reach
    if strides is None:
        return NULL
    slot.turned, slot.nbytes = True, slot.itemsize
    for k in range(slot.ndim):
        slot.strides[k] = strides[k] // slot.itemsize
        reach = (slot.shape[k] - 1) * slot.strides[k] * slot.itemsize
        slot.nbytes += abs(reach)
        slot.before += max(-reach, 0)
    return slot.strides


cdef bint is_like(const Slot *slot, cnp.ndarray x, bint each):
    """Whether x has the slot's dtype and shape, behind one axis more with `each`."""
    cdef const cnp.npy_intp *shape = cnp.PyArray_DIMS(x) + each
    cdef int k
    if cnp.PyArray_NDIM(x) != slot.ndim + each or code_of(x) != <int>slot.dtype:
        return False
    for k in range(slot.ndim):
        if shape[k] != slot.shape[k]:
            return False
    return True


@cython.final
cdef class _Frame:
    """Pointers to the inputs and outputs of one replay, whose lists hold the arrays until it is over."""
    cdef int n
    cdef Scalar *scalars    # values of 0-d slots that no array holds
    cdef void **pointers    # inputs, then outputs
    cdef size_t *nbytes
    cdef const Slot *slots
    cdef int64_t *moves     # bytes by which a slot moves on with each replay
    cdef int *order         # the slots, inputs as they lie in memory where that was asked for
    cdef int64_t times      # replays; -1: one, whose outputs have no axis for that
    cdef object watch, error
    cdef wg_repeat *repeat  # of the whole program; within a loop of it another one asks

    def __cinit__(self, int n_in, int n_out):
        cdef char *block
        cdef int k
        self.n = n_in + n_out
        block = <char *>PyMem_Malloc((self.n + 1) * (sizeof(Scalar) + sizeof(void *) + 3 * sizeof(size_t)))
        if block == NULL:
            raise MemoryError()
        self.scalars = <Scalar *>block
        self.pointers = <void **>(self.scalars + self.n)
        self.nbytes = <size_t *>(self.pointers + self.n)
        self.moves = <int64_t *>(self.nbytes + self.n)
        self.order = <int *>(self.moves + self.n)
        for k in range(self.n):
            self.order[k] = k

    def __dealloc__(self):
        PyMem_Free(self.scalars)

    cdef bint read(self, int k, const Slot *slot, object x, bint each) except -1:
        """Points slot k at x; False where x does not match the slot."""
        self.moves[k] = 0
        if slot.weak and not each:
            if weak_code(x) != <int>slot.dtype:
                return False
            pack(&self.scalars[k], slot.dtype, x)
        elif type(x) is Array or (isinstance(x, Array) and x.__array_priority__ <= 0):
            return self.view(k, slot, x, slot.donated, each)
        elif (not isinstance(x, Generic) or slot.ndim or each or slot.donated
                or CODES.get(x.dtype, -1) != <int>slot.dtype):
            return False  # a Var, a masked array ...: looked at where arguments are described
        else:
            cnp.PyArray_ScalarAsCtype(x, &self.scalars[k])
        self.pointers[k] = &self.scalars[k]
        self.nbytes[k] = slot.nbytes
        return True

    cdef bint write(self, int k, int n_in, const Slot *slot, object out) except -1:
        """Points output k at an array that the caller gives; False where it does not match the slot."""
        return (isinstance(out, Array) and self.view(k, slot, out, True, False)
                and not self.overlaps(k, n_in, k))

    cdef object make(self, int k, const Slot *slot):
        """Points output k at a fresh array, which is returned; None for a number in `scalars`."""
        cdef int64_t shape[33]
        cdef bint each = self.times >= 0
        cdef int i
        if slot.ndim == 0 and not each:
            self.pointers[k] = &self.scalars[k]
            return None
        shape[0] = self.times
        for i in range(slot.ndim):
            shape[each + i] = slot.shape[i]
        array = new_array(slot.ndim + each, shape, slot.dtype)
        self.place(k, slot, array, each)
        return array

    cdef void place(self, int k, const Slot *slot, cnp.ndarray x, bint each) noexcept:
        self.pointers[k] = cnp.PyArray_DATA(x)
        self.nbytes[k] = slot.nbytes * (self.times if each else 1)
        self.moves[k] = slot.nbytes if each else 0

    cdef bint view(self, int k, const Slot *slot, cnp.ndarray x, bint writable, bint each):
        """Points slot k at the memory of x, if it is of the slot's shape, dtype and strides.

        With `each` it has a first axis beside the slot's, an entry for each replay.
        """
        cdef int i
        if (not is_like(slot, x, each) or (each and cnp.PyArray_DIMS(x)[0] != self.times)
                or (writable and not cnp.PyArray_CHKFLAGS(x, cnp.NPY_ARRAY_WRITEABLE))
                or not (slot.turned or cnp.PyArray_IS_C_CONTIGUOUS(x))):
            return False
        for i in range(slot.ndim if slot.turned else 0):
            if cnp.PyArray_STRIDES(x)[i] != slot.strides[i] * slot.itemsize:
                return False
        self.place(k, slot, x, each)
        return True

    cdef char *start(self, int k) noexcept:
        """Where the memory of slot k begins."""
        return <char *>self.pointers[k] - self.slots[k].before

    cdef bint overlaps(self, int k, int start, int stop):
        """Whether slot k shares memory with another one of those from start to stop."""
        cdef int i
        cdef char *a = self.start(k)
        for i in range(start, stop):
            if i != k and a < self.start(i) + self.nbytes[i] and self.start(i) < a + self.nbytes[k]:
                return True
        return False

    cdef bint shares(self, int n) noexcept:
        """Whether a donated one of n inputs shares memory with another.

        They are sorted by address: in linear time where they lie as they lay at the last replay.
        """
        cdef int i, j, k
        cdef char *end = NULL       # of all inputs before,
        cdef char *donated = NULL   # and of those that are donated
        for i in range(1, n):
            k, j = self.order[i], i
            while j > 0 and self.start(self.order[j - 1]) > self.start(k):
                self.order[j] = self.order[j - 1]
                j -= 1
            self.order[j] = k
        for i in range(n):
            k = self.order[i]
            if self.nbytes[k] and self.start(k) < (end if self.slots[k].donated else donated):
                return True
            end = max(end, self.start(k) + self.nbytes[k])
            if self.slots[k].donated:
                donated = max(donated, self.start(k) + self.nbytes[k])
        return False

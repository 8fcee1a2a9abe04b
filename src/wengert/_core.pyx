# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: auto_pickle=False, autotestdict=False
"""The binding of the C core: tapes, handles to their nodes, programs.  It marshals and does no mathematics.

Arrays come in and go out by NumPy's C interface.  One file, though long, because it is one extension module:
a Var's operators call its functions without Python in between.
"""
import os
import operator
from collections import namedtuple
from math import prod
from threading import get_ident, main_thread

import numpy as np

cimport cython
cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from cpython.object cimport PyObject, PyTypeObject
from cpython.long cimport PyLong_AsLongLongAndOverflow
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.ref cimport Py_XDECREF, Py_XINCREF
from libc.stdlib cimport free
from libc.string cimport memcmp, memset

cdef extern from *:
    """
    static _Thread_local PyObject *wg_current = NULL;
    #define items_of(t) (((PyTupleObject *)(t))->ob_item)
    static void use_vectorcall(PyTypeObject *type, Py_ssize_t offset) {
        type->tp_vectorcall_offset = offset;
        type->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL;
    }
    """
    PyObject *wg_current
    PyObject *PyCell_GET(object cell)
    PyObject **items_of(object t)
    ctypedef object (*vectorcallfunc)(object, PyObject *const *, size_t, PyObject *)
    Py_ssize_t PyVectorcall_NARGS(size_t nargsf)
    object PyObject_Vectorcall(object callable, PyObject *const *args, size_t nargsf, PyObject *kwnames)
    Py_ssize_t PyTuple_GET_SIZE(PyObject *t)
    void use_vectorcall(PyTypeObject *type, Py_ssize_t offset)

cdef extern from "numpy/arrayobject.h":
    object PyArray_Scalar(void *data, cnp.dtype dtype, object base)

cnp.import_array()

cdef enum:
    MAX_ATTRS = 128         # a slice has three per axis
    FROZEN = 0xFFFFFFFF
    MAX_IDLE = 8            # emptied C tapes kept for the next transform
    IDLE_NODES = 1 << 16    # a tape that grew longer gives its memory back instead
    FEW = 4                 # operands that need no allocation
    MAX_AXES = 8            # of plain arrays that are not NumPy's to compute
    SMALL = 1 << 12         # their bytes,
    SMALL_PRODUCT = 1 << 17  # and multiplications, that take no longer than a few calls of NumPy

cdef object np_asarray = np.asarray
cdef object Array = np.ndarray
cdef object Generic = np.generic
cdef object NoneType = type(None)
MISSING = object()  # stands for a name that is not bound

# By dtype code: NumPy's dtype, and its number there.
DTYPES = tuple([np.dtype(name) for name in ("?", "i4", "i8", "f4", "f8", "c8", "c16")])
cdef int[7] NUMBERS = [cnp.NPY_BOOL, cnp.NPY_INT32, cnp.NPY_INT64, cnp.NPY_FLOAT, cnp.NPY_DOUBLE,
                       cnp.NPY_CFLOAT, cnp.NPY_CDOUBLE]
cdef dict CODES = {dtype: code for code, dtype in enumerate(DTYPES)}
# Small integers are held by the narrowest supported one and promote as that.
cdef dict WIDENED = {np.dtype(a): np.dtype(b) for a, b in (
    ("i1", "i4"), ("u1", "i4"), ("i2", "i4"), ("u2", "i4"), ("u4", "i8"))}
cdef str SUPPORTED = "bool, int32, int64, float32, float64, complex64, complex128"

# What Python code registers (see `register`).
cdef dict METHODS = {}
cdef dict UFUNCS = {}
cdef object ARRAY_UFUNC = None
cdef object ARRAY_FUNCTION = None

cdef bint watching = False  # every new Var is looked at: see debug_nans
raised = {}  # by thread: by Python code that the C core called, until the core has returned

Node = namedtuple("Node", "op dtype weak shape inputs attrs has_value")
Step = namedtuple("Step", "ops rows block groups tile_bytes flops bytes reason")
Op = namedtuple("Op", "code name numpy doc derivative lo hi kind class_ arity n_params base operand")


cdef dict EXCEPTIONS = {WG_VALUE_ERROR: ValueError, WG_TYPE_ERROR: TypeError, WG_INDEX_ERROR: IndexError,
                        WG_MEMORY_ERROR: MemoryError, WG_INTERRUPTED: KeyboardInterrupt}


# ---- errors ------------------------------------------------------------------------------------------------

cdef int check(Tape tape, wg_status status) except -1:
    """Turns a status into the Python exception that it stands for."""
    if status == WG_OK:
        return 0
    raise_status(status, wg_tape_error(tape.handle))


cdef int raise_status(wg_status status, const char *text) except -1:
    error = raised.pop(get_ident(), None)
    if error is not None:
        raise error
    raise EXCEPTIONS.get(status, RuntimeError)(text.decode("utf-8", "replace") if text != NULL else "")


cdef int refuse(str what, str numpy_name) except -1:
    raise TypeError(METHODS["refusal"](what, numpy_name))


# ---- numbers and arrays ------------------------------------------------------------------------------------

cdef int pack(Scalar *out, int dtype, object x) except -1:
    """Writes a Python or NumPy scalar as one element of a dtype."""
    if dtype == WG_F64:
        out.f64 = x
    elif dtype == WG_I64:
        out.i64 = x
    else:
        cnp.PyArray_ScalarAsCtype(DTYPES[dtype].type(x), out)
    return 0


cdef object unpack(const Scalar *x, int dtype):
    """One element as a NumPy scalar."""
    return PyArray_Scalar(<void *>x, <cnp.dtype>DTYPES[dtype], None)


cdef int code_of(cnp.ndarray x):
    """The code of an array's dtype, if it is a supported one and lies in memory as C has it; else -1."""
    cdef int number = cnp.PyArray_TYPE(x), code
    if not cnp.PyArray_ISNOTSWAPPED(x) or not cnp.PyArray_ISALIGNED(x):
        return -1
    for code in range(WG_DTYPE_COUNT - 1, -1, -1):
        if number == NUMBERS[code]:
            return code
    return WG_I64 if number == cnp.NPY_LONGLONG and sizeof(long) == 8 else -1


cdef cnp.ndarray new_array(int ndim, const int64_t *shape, int dtype):
    """An array in C order for C to fill."""
    return cnp.PyArray_EMPTY(ndim, <cnp.npy_intp *>shape, NUMBERS[dtype], 0)


cdef int weak_code(object x):
    """The dtype code of a Python number that takes the other operand's dtype (NEP 50), or -1."""
    cdef int overflow = 0
    if type(x) is float:
        return WG_F64
    if type(x) is int:
        PyLong_AsLongLongAndOverflow(x, &overflow)
        return WG_F64 if overflow else WG_I64  # beyond 64 bits: a float, as it is to NumPy's float arrays
    return -1


def supported(x):
    """`x` as an ndarray of a native, aligned dtype that a tape can hold; `x` itself where it is one.

    Raises TypeError for float16, longdouble, uint64, object, str and the like.
    """
    cdef object array = x if isinstance(x, Array) else np_asarray(x)
    if type(array) is not Array and array.__array_priority__ > 0:  # a class that computes in a way of its own
        raise TypeError(
            f"a {type(array).__name__} cannot be recorded, for its mask or its own arithmetic would be lost: "
            f"pass a plain array (np.asarray(x), or x.filled(...) where it is masked)")
    dtype = array.dtype
    if dtype in CODES:
        fits = code_of(array) >= 0 and not any([stride % dtype.itemsize for stride in array.strides])
        return array if fits else array.copy()
    dtype = dtype.newbyteorder("=")
    dtype = WIDENED.get(dtype, dtype)
    if dtype not in CODES:
        raise TypeError(
            f"an array of dtype {array.dtype} cannot be recorded; supported are {SUPPORTED}: "
            f"convert it with .astype(...)")
    return array.astype(dtype)


cdef wg_id leaf(Tape tape, cnp.ndarray array) except? 0xFFFFFFFF:
    """A new leaf of an eager tape for an array that `supported` has passed.

    The array is copied: that takes less than any operation that reads it, and the caller may change it then.
    """
    cdef int64_t strides[32]
    cdef wg_id out = 0
    cdef int ndim = cnp.PyArray_NDIM(array), k
    if ndim > WG_MAX_NDIM:
        raise ValueError(f"an array of {ndim} axes cannot be recorded; at most {WG_MAX_NDIM} can")
    for k in range(ndim):
        strides[k] = cnp.PyArray_STRIDES(array)[k] // cnp.PyArray_ITEMSIZE(array)
    check(tape, wg_leaf(tape.handle, <wg_dtype>code_of(array), ndim, <int64_t *>cnp.PyArray_DIMS(array),
                        strides, cnp.PyArray_DATA(array), NULL, NULL, &out))
    return out


# ---- tapes -------------------------------------------------------------------------------------------------

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

    def __len__(self):
        return wg_tape_len(self.handle)

    def pop(self, wg_id length):
        """Forgets the nodes from `length` on; Vars that refer to them have ended."""
        wg_tape_pop(self.handle, length)

    def adopt(self):
        """Makes the calling thread the owner."""
        wg_tape_adopt(self.handle)

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
        if code >= 0:
            pack(&value, code, x)
            check(self, wg_constant(self.handle, <wg_dtype>code, &value, True, &out))
            return out
        if type(x) is complex:  # weak as a float is: its parts are
            return self.joined(x.real, x.imag)
        if type(x) is bool or isinstance(x, Generic):
            code = WG_BOOL if type(x) is bool else CODES.get(x.dtype, -1)
        if 0 <= code < WG_C64:  # complex numbers are too wide for a constant
            pack(&value, code, x)
            check(self, wg_constant(self.handle, <wg_dtype>code, &value, False, &out))
            return out
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
             int guard=-1):
        """Applies a recorded body `length` times, see `wg_scan`.

        Returns the last carries, the stacked entries, and all values of the carries if their number is known.
        """
        cdef _Ids ids = node_ids(self, operands)
        cdef wg_id first = 0
        cdef int k, n = <int>wg_tape_n_outputs(body.handle) + (n_carry if length >= 0 else 0)
        check(self, wg_scan(self.handle, body.handle, n_carry, n_x, length, reverse, guard, ids.n, ids.data,
                            &first))
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
            flags[k] = batched[k] if k < n else wanted[k - n]
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
    cdef Tape innermost = t
    while t is not None and t is not outer:
        t = t.parent
    if t is None:
        raise ValueError(
            "Vars of unrelated tapes were combined: they come from two wg.Tape()s, or one was kept from a "
            "transform that does not enclose this one; record both on one tape, or pass v.value")
    return innermost


cdef wg_id lift(Tape tape, Var v) except? 0xFFFFFFFF:
    """An ancestor's Var as a hidden input of an abstract tape."""
    cdef wg_node_info info
    if inner(tape, v.tape) is not tape:
        raise ValueError(
            "a Var of an inner recording was used outside of it; return it from the compiled function")
    refresh(v)
    info = describe(v)
    return tape.hidden((id(v.tape), v.node), v, info.dtype, info.ndim, info.shape, info.weak)


# ---- recording ---------------------------------------------------------------------------------------------

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
    cdef Tape tape = None, recording, t
    for x in operands:
        if type(x) is Var:
            tape = inner(tape, (<Var>x).tape)
    if wg_current == NULL:
        return tape
    recording = <Tape>wg_current
    t = recording
    while tape is not None and t is not None and t is not tape:
        t = t.parent
    return tape if t is None else recording


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
    check(tape, wg_append(tape.handle, op, <int>n, nodes, n_attrs, words, &out))
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
        for part in x:
            if belongs(part, abstract):
                return True
        return False
    return abstract and isinstance(x, Array)


cdef bint is_abstract() noexcept:
    return wg_current != NULL and (<Tape>wg_current).abstract


def is_recorded(args):
    """Whether a call with these arguments belongs on a tape rather than to NumPy.

    It does with a Var among them (also inside lists), and while `wg.compile` records also with an ndarray:
    captured arrays are inputs of the program, not constants.
    """
    cdef bint abstract = is_abstract()
    for x in args:
        if belongs(x, abstract):
            return True
    return False


cdef class Function:
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
    cdef vectorcallfunc vectorcall
    cdef object plain, recorded
    cdef int op, arity
    cdef bint appends, computes
    cdef dict __dict__

    def __cinit__(self, plain, recorded, int op=-1, bint appends=False, bint computes=False):
        self.vectorcall, self.plain, self.recorded = answer, plain, recorded
        self.op, self.appends, self.computes = op, appends, computes
        self.arity = -1 if op < 0 else wg_op(op).arity

    def __call__(self, *args, **kwargs):
        return (self.recorded if is_recorded((*args, *kwargs.values())) else self.plain)(*args, **kwargs)

    def __reduce__(self):
        return self.__qualname__

    def __repr__(self):
        return f"<function wengert.numpy.{self.__name__}>"


cdef object answer(object function, PyObject *const *args, size_t nargsf, PyObject *kwnames):
    """What a Function is called with, as the vectorcall protocol has it (PEP 590)."""
    cdef Function f = <Function>function
    cdef Py_ssize_t k, n = PyVectorcall_NARGS(nargsf)
    cdef Py_ssize_t n_names = 0 if kwnames == NULL else PyTuple_GET_SIZE(kwnames)
    cdef bint abstract = is_abstract(), operands_only = n == f.arity and n_names == 0
    for k in range(n + n_names):
        if belongs(<object>args[k], abstract):
            if operands_only and f.appends:
                return put(f.op, n, <PyObject **>args)
            return PyObject_Vectorcall(f.recorded, args, nargsf, kwnames)
    if operands_only and f.computes:
        found = compute(f.op, <int>n, args)
        if found is not None:
            return found
    return PyObject_Vectorcall(f.plain, args, nargsf, kwnames)


cdef bint see(wg_array *a, int64_t *strides, object x) noexcept:
    """Describes an array to C; False unless it is a plain one of some numbers as C has them."""
    cdef cnp.ndarray array
    cdef int code, k
    if type(x) is not Array:
        return False
    array = <cnp.ndarray>x
    code = code_of(array)
    a.ndim, a.shape, a.strides = cnp.PyArray_NDIM(array), <int64_t *>cnp.PyArray_DIMS(array), strides
    a.dtype, a.data = <wg_dtype>code, <char *>cnp.PyArray_DATA(array)
    if code < 0 or a.ndim == 0 or a.ndim > MAX_AXES:
        return False
    for k in range(a.ndim):
        if a.shape[k] == 0 or cnp.PyArray_STRIDES(array)[k] % cnp.PyArray_ITEMSIZE(array) != 0:
            return False
        strides[k] = cnp.PyArray_STRIDES(array)[k] // cnp.PyArray_ITEMSIZE(array)
    return True


cdef object compute(int op, int n, PyObject *const *args):
    """An op of plain arrays as an eager tape computes it, without the tape.

    None where that is NumPy's: all that takes longer than its call, and all that takes a second look, such as
    broadcasting, promotion, subclasses and warnings.
    """
    cdef wg_array arrays[3]
    cdef int64_t strides[3][MAX_AXES]
    cdef int64_t reduced[2]  # all axes, which go
    cdef Scalar number
    cdef wg_array *a = &arrays[0]
    cdef wg_array *b = &arrays[n - 1]
    if n > 2 or not see(a, strides[0], <object>args[0]):
        return None
    if n == 2 and not see(b, strides[1], <object>args[1]):
        return None
    if a.dtype != b.dtype or (a.dtype != WG_F32 and a.dtype != WG_F64):
        return None
    if op == WG_matmul:
        return product(a, b)
    if (b.ndim != a.ndim or memcmp(a.shape, b.shape, a.ndim * sizeof(int64_t)) != 0
            or cnp.PyArray_NBYTES(<cnp.ndarray>args[0]) > SMALL):
        return None
    if op == WG_sum or op == WG_prod or op == WG_max or op == WG_min:
        reduced[0], reduced[1] = (1 << a.ndim) - 1, 0
        arrays[1].ndim, arrays[1].dtype, arrays[1].data = 0, a.dtype, <char *>&number
        whole = cnp.PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>args[0])  # its order is that of the sum
        return unpack(&number, a.dtype) if whole and wg_compute(op, 1, a, 2, reduced, &arrays[1]) else None
    array = new_array(a.ndim, a.shape, WG_BOOL if WG_equal <= op <= WG_greater_equal else a.dtype)
    see(&arrays[2], strides[2], array)
    return array if wg_compute(op, n, arrays, 0, NULL, &arrays[2]) else None


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


cdef object binary(int op, object left, object right):
    """left op right, at least one of them a Var; NotImplemented where the other is no operand."""
    cdef PyObject *operands[2]
    if not is_operand(left) or not is_operand(right):
        return NotImplemented
    operands[0], operands[1] = <PyObject *>left, <PyObject *>right
    return put(op, 2, operands)


cdef object in_place(Var v, object result):
    """What v += w leaves v to be: an array is written to, a number is another one."""
    if result is NotImplemented or describe(v).ndim == 0:
        return result
    METHODS["overwrite"](v, result)
    return v


cdef object registered(str name, object left, object right):
    """left op right by a function that the protocols register; NotImplemented where one is no operand."""
    return METHODS[name](left, right) if is_operand(left) and is_operand(right) else NotImplemented


cdef bint is_operand(object x):
    return (type(x) is Var or type(x) is float or type(x) is int or type(x) is bool or type(x) is complex
            or isinstance(x, (Array, Generic, list, tuple)))


cdef object power(object base, object exponent):
    """base ** exponent; small exponents take ops that cost less than `pow` and err no more."""
    cdef Var square
    if type(base) is not Var or not (type(exponent) is int or type(exponent) is float):
        return binary(WG_pow, base, exponent)
    if exponent == 1:
        return unary(WG_copy, base)
    if exponent == 0.5:
        return unary(WG_sqrt, base)
    if exponent == 2 or exponent == 3 or exponent == 4:
        square = unary(WG_square, base)
        if exponent == 2:
            return square
        return binary(WG_mul, base, square) if exponent == 3 else unary(WG_square, square)
    if type(exponent) is int and exponent < 0 and describe(base).dtype < WG_F32 and not describe(base).weak:
        raise ValueError("integers to negative integer powers are no integers; cast the base to float")
    if exponent == -1 or exponent == -2:
        inverse = unary(WG_reciprocal, base)
        return inverse if exponent == -1 else unary(WG_square, inverse)
    return binary(WG_pow, base, exponent)


# ---- Var ---------------------------------------------------------------------------------------------------

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


@cython.final
@cython.no_gc
@cython.freelist(1024)
@cython.c_api_binop_methods(True)
cdef class Var:
    """A handle to one node of a tape; it behaves as the ndarray that the node stands for."""

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
        """Whether the elements lie in C order where NumPy would have them: what `ravel` need not copy."""
        cdef c_bool out = False
        check(self.tape, wg_in_order(self.tape.handle, self.index, &out))
        return out

    real = property(delegate("real"))
    imag = property(delegate("imag"))

    @property
    def T(self):
        return METHODS["transpose"](self)

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
        refuse("float(v), a math function of v or storing v in a plain ndarray",
               "np.sin(v) for math.sin(v), np.stack([...]) for a[i] = v")

    def __int__(self):
        refuse("int(v)", "v.astype(int)")

    def __index__(self):
        raise TypeError(
            f"an index, a shape or range() ({METHODS['line']()}) needs a Python integer, not a Var: "
            "np.take(a, v) gathers, v.value is the plain number, and of a compiled function such an argument "
            "belongs in static_argnums")

    def __complex__(self):
        refuse("complex(v)", "v.astype(complex)")

    def __array__(self, dtype=None, copy=None):
        refuse("np.asarray(v), or storing v in a plain ndarray,",
               "wengert.numpy.asarray(v), wengert.numpy.array([...]) or np.stack([...])")

    def item(self, *args):
        refuse("v.item()", "v itself is the number")

    def tolist(self):
        refuse("v.tolist()", "list(v) gives Vars")

    def __len__(self):
        cdef wg_node_info info = describe(self)
        if info.ndim == 0:
            raise TypeError("a Var of shape () has no length and cannot be iterated over")
        return info.shape[0]

    def __iter__(self):
        return iter([self[k] for k in range(len(self))])

    def __getitem__(self, key):
        return METHODS["getitem"](self, key)

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
        return in_place(self, METHODS["matmul"](self, other))

    def __imod__(self, other):
        return in_place(self, binary(WG_remainder, self, other))

    def __ifloordiv__(self, other):
        return in_place(self, METHODS["floor_divide"](self, other))

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
        return format(self.value, spec)

    def __repr__(self):
        if self.node >= wg_tape_len(self.tape.handle):
            return "Var(ended)"
        if not describe(self).has_value:
            return f"Var(shape={self.shape}, dtype={self.dtype}, traced)"
        return f"Var({np.array2string(np_asarray(self.value), separator=', ', threshold=20)})"

    def __str__(self):
        return str(self.value) if not self.tape.abstract else repr(self)

    def __reduce__(self):
        raise TypeError("a Var cannot be pickled or deep-copied: it refers to its tape; use v.value")

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if method == "__call__" and not kwargs:
            op = UFUNCS.get(ufunc)
            if op is not None:
                return put(op, len(inputs), items_of(inputs))
        return ARRAY_UFUNC(ufunc, method, inputs, kwargs)

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
        cdef Tape tape = None if wg_current == NULL else <Tape>wg_current
        while tape is not None and tape is not self.tape:
            tape = tape.parent
        return unary(WG_copy, self if tape is None else (<Tape>wg_current).as_var(self))

    def __getattr__(self, name):
        return METHODS["attribute"](self, name)


# ---- programs ----------------------------------------------------------------------------------------------

cdef class Program:
    """An abstract tape with outputs, lowered for replay.

    Parameters
    ----------
    tape : Tape
    alias : sequence of int, optional
        Per output the input slot whose array it overwrites, or -1.
    """

    def __cinit__(self, Tape tape, alias=None):
        cdef wg_node_info info
        cdef int k
        cdef wg_id node
        cdef const wg_id *inputs = wg_tape_inputs(tape.handle)
        cdef const wg_id *outputs = wg_tape_outputs(tape.handle)
        self.n_inputs = wg_tape_n_inputs(tape.handle)
        self.n_outputs = wg_tape_n_outputs(tape.handle)
        self.slots = <Slot *>PyMem_Malloc((self.n_inputs + self.n_outputs + 1) * sizeof(Slot))
        self.alias = <int32_t *>PyMem_Malloc((self.n_outputs + 1) * sizeof(int32_t))
        self.donated = <bint *>PyMem_Malloc((self.n_inputs + 1) * sizeof(bint))
        if self.slots == NULL or self.alias == NULL or self.donated == NULL:
            raise MemoryError()
        memset(self.donated, 0, (self.n_inputs + 1) * sizeof(bint))
        for k in range(self.n_inputs + self.n_outputs):
            node = inputs[k] if k < self.n_inputs else outputs[k - self.n_inputs]
            check(tape, wg_node(tape.handle, node, &info))
            fill_slot(&self.slots[k], &info)
        for k in range(self.n_outputs):
            self.alias[k] = -1 if alias is None else alias[k]
            if self.alias[k] >= 0:
                self.donated[self.alias[k]] = True
        if self.n_outputs:  # the C core knows no program that computes nothing
            check(tape, wg_program_new(tape.handle, self.alias, &self.handle))

    def __dealloc__(self):
        if self.handle != NULL:
            wg_program_release(self.handle)
        PyMem_Free(self.slots)
        PyMem_Free(self.alias)
        PyMem_Free(self.donated)

    @property
    def info(self):
        """nodes, steps and the bytes of the plan, as a dict."""
        cdef wg_program_info info
        memset(&info, 0, sizeof(info))
        if self.handle != NULL:
            wg_program_describe(self.handle, &info)
        return {"nodes": info.nodes, "steps": info.steps, "arena_bytes": info.arena_bytes,
                "live_bytes": info.live_bytes, "scratch_bytes": info.scratch_bytes,
                "value_bytes": info.value_bytes}

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
            array of `out` has not the recorded type, shape, dtype or C order (nothing has run then).
        """
        return self.replay(inputs, out, -1, (), None)

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
        return self.replay(inputs, None, max(0, times), each, watch)

    cdef list replay(self, list inputs, list out, int64_t times, object each, object watch):
        cdef _Frame frame = self.spare or _Frame(self.n_inputs, self.n_outputs)
        self.spare = None  # another thread that comes meanwhile makes a frame of its own
        frame.times, frame.watch = times, watch
        try:
            return self.attempt(frame, inputs, out, each)
        finally:
            frame.watch = frame.error = None
            self.spare = frame

    cdef list attempt(self, object held, list inputs, list out, object each):
        cdef _Frame frame = held
        cdef char message[256]
        cdef wg_status status
        cdef wg_repeat repeat
        cdef Slot *slot
        cdef int k, n = self.n_inputs
        if len(inputs) != n:
            return None
        for k in range(n):
            if not frame.read(k, &self.slots[k], inputs[k], self.donated[k], frame.times >= 0 and k in each):
                return None
        if self.handle == NULL:
            return []
        cdef list results = [None] * self.n_outputs
        for k in range(self.n_outputs):
            slot = &self.slots[n + k]
            if self.alias[k] >= 0:
                frame.refuse_shared(self.alias[k], n)
                frame.pointers[n + k] = frame.pointers[self.alias[k]]
                frame.nbytes[n + k] = frame.moves[n + k] = 0  # overlaps nothing
                results[k] = inputs[self.alias[k]]
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
        with nogil:
            status = wg_program_repeat(self.handle, frame.pointers, frame.pointers + n, &repeat, message,
                                       sizeof(message))
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
    slot.nbytes = wg_itemsize(info.dtype)
    for k in range(info.ndim):
        slot.shape[k] = info.shape[k]
        slot.nbytes *= info.shape[k]
    return 0


@cython.final
cdef class _Frame:
    """Pointers to the inputs and outputs of one replay, whose lists hold the arrays until it is over."""
    cdef int n
    cdef Scalar *scalars    # values of 0-d slots that no array holds
    cdef void **pointers    # inputs, then outputs
    cdef size_t *nbytes
    cdef int64_t *moves     # bytes by which a slot moves on with each replay
    cdef int64_t times      # replays; -1: one, whose outputs have no axis for that
    cdef object watch, error
    cdef wg_repeat *repeat  # of the whole program; within a loop of it another one asks

    def __cinit__(self, int n_in, int n_out):
        cdef char *block
        self.n = n_in + n_out
        block = <char *>PyMem_Malloc((self.n + 1) * (sizeof(Scalar) + sizeof(void *) + 2 * sizeof(size_t)))
        if block == NULL:
            raise MemoryError()
        self.scalars = <Scalar *>block
        self.pointers = <void **>(self.scalars + self.n)
        self.nbytes = <size_t *>(self.pointers + self.n)
        self.moves = <int64_t *>(self.nbytes + self.n)

    def __dealloc__(self):
        PyMem_Free(self.scalars)

    cdef bint read(self, int k, const Slot *slot, object x, bint writable, bint each) except -1:
        """Points slot k at x; False where x does not match the slot."""
        self.moves[k] = 0
        if slot.weak and not each:
            if weak_code(x) != <int>slot.dtype:
                return False
            self.pointers[k] = &self.scalars[k]
            self.nbytes[k] = slot.nbytes
            pack(&self.scalars[k], slot.dtype, x)
            return True
        if type(x) is Array or (isinstance(x, Array) and x.__array_priority__ <= 0):
            return self.view(k, slot, x, writable, each)
        if (not isinstance(x, Generic) or slot.ndim or each or writable
                or CODES.get(x.dtype, -1) != <int>slot.dtype):
            return False  # a Var, a masked array ...: looked at where arguments are described
        self.pointers[k] = &self.scalars[k]
        self.nbytes[k] = slot.nbytes
        cnp.PyArray_ScalarAsCtype(x, &self.scalars[k])
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
        self.view(k, slot, array, True, each)
        return array

    cdef bint view(self, int k, const Slot *slot, cnp.ndarray x, bint writable, bint each):
        """Points slot k at the memory of x, if it is in C order and of the slot's shape and dtype.

        With `each` it has a first axis beside the slot's, an entry for each replay.
        """
        cdef const cnp.npy_intp *shape = cnp.PyArray_DIMS(x)
        cdef int i
        if (cnp.PyArray_NDIM(x) != slot.ndim + each or code_of(x) != <int>slot.dtype
                or not cnp.PyArray_IS_C_CONTIGUOUS(x) or (each and shape[0] != self.times)
                or (writable and not cnp.PyArray_CHKFLAGS(x, cnp.NPY_ARRAY_WRITEABLE))):
            return False
        for i in range(slot.ndim):
            if shape[each + i] != slot.shape[i]:
                return False
        self.pointers[k] = cnp.PyArray_DATA(x)
        self.nbytes[k] = slot.nbytes * (self.times if each else 1)
        self.moves[k] = slot.nbytes if each else 0
        return True

    cdef bint overlaps(self, int k, int start, int stop):
        """Whether slot k shares memory with another one of those from start to stop."""
        cdef int i
        cdef char *a = <char *>self.pointers[k]
        cdef char *b
        for i in range(start, stop):
            b = <char *>self.pointers[i]
            if i != k and a < b + self.nbytes[i] and b < a + self.nbytes[k]:
                return True
        return False

    cdef int refuse_shared(self, int k, int n_in) except -1:
        if self.overlaps(k, 0, n_in):
            raise ValueError(
                "a donated argument shares memory with another argument or with a captured array: it would "
                "be overwritten while it is read; pass a copy or do not donate it")
        return 0


# ---- calls of compiled functions ---------------------------------------------------------------------------

# Methods are called by their class, as Tree.match(tree, ...): else Cython would look for an override in the
# Python class of the object, at every call.

cdef dict nodes = {}  # class -> (take apart, put together), see wengert.pytree.register_pytree_node
NODES = nodes


cdef class Tree:
    """The structure of a pytree; `wengert.pytree.Structure` has the words.

    Taking apart what has a known structure, and putting leaves into one, is on the path of every call.
    """

    def __init__(self, kind, tuple children=(), tuple keys=(), tuple order=()):
        self.kind, self.children, self.keys, self.order = kind, children, keys, order
        self.n_leaves = 1 if kind is None else sum([child.n_leaves for child in children])
        self.hash = hash((kind, keys, children))

    def __hash__(self):
        return self.hash

    def __eq__(self, other):
        cdef Tree tree
        if self is other:
            return True
        if not isinstance(other, Tree) or self.hash != (<Tree>other).hash:
            return False
        tree = <Tree>other
        return self.kind is tree.kind and self.keys == tree.keys and self.children == tree.children

    cpdef bint match(self, object x, list leaves) except -1:
        """Appends the leaves of x, if it has this structure; else what has been appended is of no use."""
        cdef Tree child
        cdef object key
        cdef int k = 0
        if self.kind is None:
            if type(x) is not Array and (x is None or isinstance(x, (tuple, list, dict)) or type(x) in nodes):
                return False
            leaves.append(x)
            return True
        if x is None or self.kind is NoneType:
            return x is None and self.kind is NoneType
        if not isinstance(x, self.kind):
            return False
        if self.kind in nodes:
            if type(x) is not self.kind:
                return False
            x, aux = nodes[self.kind][0](x)
            if aux != self.keys[0]:
                return False
        if len(x) != len(self.children):
            return False
        if self.kind is dict:
            for key in self.keys:
                child = <Tree>self.children[k]
                k += 1
                if key not in <dict>x or not Tree.match(child, (<dict>x)[key], leaves):
                    return False
            return True
        if type(x) is not self.kind and hasattr(x, "_fields"):
            return False
        for key in x:
            child = <Tree>self.children[k]
            k += 1
            if not Tree.match(child, key, leaves):
                return False
        return True

    cpdef object build(self, list leaves):
        """The pytree of this structure with these leaves."""
        cdef int at = 0
        return self.put(leaves, &at)

    cdef object put(self, list leaves, int *at):
        if self.kind is None:
            at[0] += 1
            return leaves[at[0] - 1]
        if self.kind is NoneType:
            return None
        cdef list parts = [(<Tree>part).put(leaves, at) for part in self.children]
        if self.kind is list:
            return parts
        if self.kind is tuple:
            return tuple(parts)
        if self.kind in nodes:
            return nodes[self.kind][1](self.keys[0], tuple(parts))
        if self.kind is not dict:
            return self.kind(*parts)
        cdef dict by_key = dict(zip(self.keys, parts))
        return by_key if self.keys == self.order else {key: by_key[key] for key in self.order}


cdef class Guards:
    """The objects that names stood for when a function was recorded; `wengert.guards` finds them."""

    cpdef bint hold(self) except -1:
        """Whether every name still means the same object."""
        cdef tuple entry
        for entry in self.names:  # (namespace, name, object)
            if (<dict>entry[0]).get(entry[1], MISSING) is not entry[2]:
                return False
        for entry in self.cells:  # (cell, contents)
            if PyCell_GET(entry[0]) != (NULL if entry[1] is MISSING else <PyObject *>entry[1]):
                return False
        for entry in self.relied:  # (array, its contents)
            if entry[0].shape != entry[1].shape or entry[0].tobytes() != entry[1].tobytes():
                return False
        for entry in self.attributes:  # (function, its defaults, those of its keywords)
            function, defaults, keywords = entry
            if function.__defaults__ is not defaults or (keywords and function.__kwdefaults__ != keywords):
                return False
        return True


cdef class Replay:
    """What it takes to answer a call of a compiled function; `wengert.recording.Trace` fills it in.

    Attributes
    ----------
    plan : Program or None
        None until it is first needed.
    tree, structure : Tree
        Of the arguments (args, or (args, kwargs) where `keywords`), and of the result.
    statics : list of (int, Static)
        The leaves of the arguments that a recording knows by value.
    traced, donated : list of int
        The leaves that are inputs, and those of them that are overwritten.
    hidden : list
        Captured arrays: the inputs behind the traced ones.
    constants : list of (int, object)
        The leaves of the result that are no outputs.
    slots : dict
        By arguments over which `Compiled.loop` has gone: their input slots.
    """

    cpdef object serve(self, tuple args, dict kwargs, object out, int64_t times=-1, object each=(),
                       object watch=None):
        """The answer to a call; NotImplemented where this recording does not serve it just as it is.

        With `times` the answer to so many calls, as `Program.repeat` gives it.
        """
        cdef list leaves = [], targets = None
        if self.plan is None or self.keywords != (len(kwargs) > 0):
            return NotImplemented
        if wg_current != NULL and (<Tape>wg_current).abstract:
            return NotImplemented
        if not Tree.match(self.tree, (args, kwargs) if self.keywords else args, leaves):
            return NotImplemented
        for k, static in self.statics:
            if not static.holds(leaves[k]):
                return NotImplemented
        for k in self.donated:
            if getattr(leaves[k], "base", None) is not None:  # a view is looked at more closely
                return NotImplemented
        if not Guards.hold(self.guards):
            return NotImplemented
        if out is not None:
            targets = []
            if self.donated or not Tree.match(self.structure, out, targets):
                return NotImplemented
            for k, _ in reversed(self.constants):
                del targets[k]
        cdef list outputs = self.plan.replay(Replay.operands(self, leaves), targets, times, each, watch)
        return NotImplemented if outputs is None else Replay.assemble(self, outputs)

    cpdef list operands(self, list leaves):
        """One object per input slot: the traced arguments, then what the function captured."""
        if self.statics:
            leaves = [leaves[k] for k in self.traced]
        return leaves + self.hidden if self.hidden else leaves

    cpdef object assemble(self, list outputs):
        """The function's result from its outputs."""
        for k, leaf in self.constants:
            outputs.insert(k, leaf)
        return Tree.build(self.structure, outputs)


cdef class Caller:
    """Calls are answered by the recordings used last, where those can; else by the method `call`."""

    def __cinit__(self):
        self.recent, self.statics = (), ()

    def __call__(self, *args, **kwargs):
        cdef object out = kwargs.pop("out", None) if kwargs else None
        cdef object answer = self.answer(args, kwargs, out)
        return self.call(args, kwargs, out) if answer is NotImplemented else answer

    def again(self, *args):
        """The answer to a call like the last ones; NotImplemented to any other."""
        return self.answer(args, {}, None)

    cdef object answer(self, tuple args, dict kwargs, object out):
        cdef tuple recent = self.recent  # another thread may set it meanwhile
        cdef object result, replay
        if self.statics:
            args = self.wrap(args)
        for replay in recent:
            result = Replay.serve(<Replay>replay, args, kwargs, out)
            if result is not NotImplemented:
                if replay is not recent[0]:
                    self.recent = (replay, *[other for other in recent if other is not replay])
                return result
        return NotImplemented


# ---- module ------------------------------------------------------------------------------------------------

def register(methods=None, ufuncs=None, array_ufunc=None, array_function=None):
    """Tells Var what Python code implements: named methods, ufunc -> op code, and NumPy's two protocols."""
    global ARRAY_UFUNC, ARRAY_FUNCTION
    METHODS.update(methods or {})
    UFUNCS.update(ufuncs or {})
    ARRAY_UFUNC = array_ufunc or ARRAY_UFUNC
    ARRAY_FUNCTION = array_function or ARRAY_FUNCTION


cdef str text(const char *s):
    return None if s == NULL else s.decode("utf-8")


def ops():
    """The op table, one `Op` per row."""
    cdef const wg_op_info *row
    cdef list table = []
    for code in range(WG_OP_COUNT):
        row = wg_op(code)
        derivative = (text(row.derivative[0]), text(row.derivative[1]))
        table.append(Op(code, text(row.name), text(row.numpy), text(row.doc), derivative, row.lo, row.hi,
                        row.kind, row.class_, row.arity, row.n_params, row.base, row.operand))
    return table


def dtype_code(dtype):
    """The code of a supported dtype, as the `cast` op takes it; TypeError for any other."""
    dtype = np.dtype(dtype)
    if dtype not in CODES:
        raise TypeError(f"dtype {dtype} is not supported by a tape; supported are {SUPPORTED}")
    return CODES[dtype]


def set_num_threads(n):
    """How many threads programs and large eager operations may use; results are the same bits for any number.

    Raises
    ------
    TypeError
        Where n is no integer.
    ValueError
        For n < 1 and for more threads than are supported.
    """
    try:
        wanted = operator.index(n)
    except TypeError:
        raise TypeError(f"set_num_threads: n={n!r}; expected an integer") from None
    # what does not fit a C int is refused like any other number out of range
    if wg_set_num_threads(wanted if 0 < wanted < 1 << 31 else 0) != WG_OK:
        raise ValueError(f"set_num_threads: n={n}; expected 1 to 256")


def get_num_threads():
    """How many threads programs and large eager operations may use."""
    return wg_get_num_threads()


def isa():
    """The instruction set whose kernels run."""
    return wg_isa().decode()


def isa_supported(str name):
    """Whether kernels of this name are compiled in and this CPU can run them."""
    return wg_isa_supported(name.encode())


cdef int initialise() except -1:
    cdef char message[256]
    cdef bytes wanted = os.environ.get("WENGERT_ISA", "").encode()
    message[0] = 0
    if wg_kernels_init(wanted, message, sizeof(message)) != WG_OK:
        raise ImportError(f"WENGERT_ISA={wanted.decode()!r}: {message.decode('utf-8', 'replace')}")
    cdef Function f = Function(None, None)
    use_vectorcall(<PyTypeObject *>Function, <char *>&f.vectorcall - <char *><PyObject *>f)
    return 0


initialise()

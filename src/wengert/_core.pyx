# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: auto_pickle=False, autotestdict=False
"""The binding of the C core: tapes, handles to their nodes, programs.  It marshals and does no mathematics.

Arrays come in and go out by NumPy's C interface.  The files included below are one module with this one, so
that a Var's operators call its functions without Python in between.
"""
import os
import operator
from collections import namedtuple
from functools import partial
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
from libc.string cimport memcmp, memcpy, memset

cdef extern from *:
    """
    static _Thread_local PyObject *wg_current = NULL;
    #define items_of(t) (((PyTupleObject *)(t))->ob_item)
    #define list_items(l) (((PyListObject *)(l))->ob_item)
    #define no_sequence(type) ((type)->tp_as_sequence->sq_item = NULL)
    static void use_vectorcall(PyObject *self, PyTypeObject *base, Py_ssize_t offset) {
        PyTypeObject *type = Py_TYPE(self); /* may be a class written in Python, with a __call__ of its own */
        type->tp_vectorcall_offset = offset;
        if (type->tp_call == base->tp_call) type->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL;
    }
    """
    PyObject *wg_current
    PyObject *PyCell_GET(object cell)
    PyObject *PyDict_GetItemWithError(object namespace, object name) except? NULL
    PyObject *PyFunction_GetDefaults(object function)
    PyObject **items_of(object t)
    PyObject **list_items(object l)
    void no_sequence(PyTypeObject *type)
    Py_ssize_t PyVectorcall_NARGS(size_t nargsf)
    object PyVectorcall_Call(object callable, tuple args, dict kwargs)
    object PyObject_Vectorcall(object callable, PyObject *const *args, size_t nargsf, PyObject *kwnames)
    void use_vectorcall(PyObject *self, PyTypeObject *base, Py_ssize_t offset)
    Py_ssize_t PyNumber_AsSsize_t(object x, PyObject *overflows) except? -1
    int PySlice_Unpack(object slice, Py_ssize_t *start, Py_ssize_t *stop, Py_ssize_t *step) except -1
    Py_ssize_t PySlice_AdjustIndices(Py_ssize_t n, Py_ssize_t *start, Py_ssize_t *stop, Py_ssize_t step)

cdef extern from "numpy/arrayobject.h":
    object PyArray_Scalar(void *data, cnp.dtype dtype, object base)

cnp.import_array()

cdef enum:
    MAX_ATTRS = 128         # a slice has three per axis
    FROZEN = 0xFFFFFFFF
    MAX_IDLE = 8            # emptied C tapes kept for the next transform
    IDLE_NODES = 1 << 16    # a tape that grew longer gives its memory back instead
    MAX_ORDERS = 8          # in memory of its operands for which a program has a plan
    FEW = 4                 # operands that need no allocation
    MAX_AXES = 8            # of plain arrays that are not NumPy's to compute
    SMALL = 1 << 12         # their bytes,
    SMALL_PRODUCT = 1 << 17  # and multiplications, that take no longer than a few calls of NumPy

cdef object Array = np.ndarray
cdef object Generic = np.generic
cdef object NoneType = type(None)
cdef object EVERYTHING = slice(None)
MISSING = object()  # stands for a name that is not bound
MISSED = object()  # in place of an answer: no recording at hand serves the call

# By dtype code: NumPy's dtype, and its number there.
DTYPES = tuple([np.dtype(name) for name in ("?", "i4", "i8", "f4", "f8", "c8", "c16")])
cdef int[7] NUMBERS = [dtype.num for dtype in DTYPES]
cdef int[7] SHIFTS = [dtype.itemsize.bit_length() - 1 for dtype in DTYPES]  # 2 ** it bytes
cdef dict CODES = {dtype: code for code, dtype in enumerate(DTYPES)}
cdef signed char[32] CODE_AT = [-1] * 32  # by NumPy's number of the dtype
cdef object c_type
for c_type in map(np.dtype, "?ilqfdFD"):  # of which some are one, under two numbers
    CODE_AT[<int>c_type.num] = CODES.get(c_type, -1)
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


cdef class Tape
cdef class Var


# ---- errors ------------------------------------------------------------------------------------------------

cdef int check(Tape tape, wg_status status) except -1:
    """Turns a status into the Python exception that it stands for."""
    if status != WG_OK:
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
    cdef int number = cnp.PyArray_TYPE(x)
    plain = 0 <= number < 32 and cnp.PyArray_ISNOTSWAPPED(x) and cnp.PyArray_ISALIGNED(x)
    return CODE_AT[number] if plain else -1


cdef cnp.ndarray new_array(int ndim, const int64_t *shape, int dtype):
    """An array in C order for C to fill."""
    return cnp.PyArray_SimpleNew(ndim, <cnp.npy_intp *>shape, NUMBERS[dtype])


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
    cdef object array = x if isinstance(x, Array) else np.asarray(x)
    if type(array) is not Array and array.__array_priority__ > 0:  # a class that computes in a way of its own
        raise TypeError(
            f"a {type(array).__name__} cannot be recorded, for its mask or its own arithmetic would be lost: "
            f"pass a plain array (np.asarray(x), or x.filled(...) where it is masked)")
    dtype = array.dtype
    if dtype in CODES:
        fits = code_of(array) >= 0 and (cnp.PyArray_IS_C_CONTIGUOUS(array) or not any(
            [stride % dtype.itemsize for stride in array.strides]))
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


include "_core_tape.pxi"
include "_core_recording.pxi"
include "_core_var.pxi"
include "_core_program.pxi"
include "_core_call.pxi"


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
    cdef const wg_op_info *op
    cdef list table = []
    for code in range(WG_OP_COUNT):
        op = wg_op(code)
        derivative = (text(op.derivative[0]), text(op.derivative[1]))
        table.append(Op(code, text(op.name), text(op.numpy), text(op.doc), derivative, op.lo, op.hi,
                        text(op.kind_name), text(op.class_name), op.arity, op.n_params, op.base, op.operand))
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
    return 0


initialise()
no_sequence(<PyTypeObject *>Var)  # of whose refusals NumPy would make its own: array[0] = v

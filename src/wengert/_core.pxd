# The C interface of wengert.h as Cython sees it.
from cpython.object cimport PyObject
from libc.stddef cimport size_t
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t


cdef extern from "stdbool.h" nogil:
    ctypedef unsigned char c_bool "bool"

cdef extern from "wengert.h" nogil:
    enum:
        WG_MAX_NDIM, WG_OP_COUNT, WG_NONE

    ctypedef enum wg_dtype:
        WG_BOOL, WG_I32, WG_I64, WG_F32, WG_F64, WG_C64, WG_C128, WG_DTYPE_COUNT

    ctypedef enum wg_status:
        WG_OK, WG_VALUE_ERROR, WG_TYPE_ERROR, WG_INDEX_ERROR, WG_MEMORY_ERROR, WG_RUNTIME_ERROR
        WG_INTERRUPTED, WG_BUSY

    # The op codes that operators of Var use; every other op is found by name.
    enum:
        WG_neg, WG_abs, WG_reciprocal, WG_square, WG_sqrt, WG_copy, WG_broadcast, WG_reshape, WG_slice
        WG_add, WG_sub, WG_mul, WG_div, WG_pow, WG_matmul, WG_sum, WG_prod, WG_max, WG_min
        WG_bitwise_and, WG_bitwise_or, WG_bitwise_xor, WG_invert, WG_left_shift, WG_right_shift
        WG_cast, WG_to_complex, WG_remainder
        WG_equal, WG_not_equal, WG_less, WG_less_equal, WG_greater, WG_greater_equal

    ctypedef struct wg_op_info:
        const char *name
        const char *numpy
        const char *doc
        const char *kind_name
        const char *class_name
        const char *derivative[2]
        double lo, hi
        int arity, n_params, base, operand

    const wg_op_info *wg_op(int op)
    size_t wg_itemsize(wg_dtype dtype)
    wg_status wg_kernels_init(const char *isa, char *message, size_t message_size)
    const char *wg_isa()
    bint wg_isa_supported(const char *name)
    wg_status wg_set_num_threads(int n)
    int wg_get_num_threads()

    ctypedef struct wg_tape:
        pass
    ctypedef uint32_t wg_id

    wg_tape *wg_tape_new(bint abstract)
    void wg_tape_release(wg_tape *t)
    const char *wg_tape_error(const wg_tape *t)
    uint32_t wg_tape_len(const wg_tape *t)
    void wg_tape_pop(wg_tape *t, uint32_t length)
    void wg_tape_adopt(wg_tape *t)

    wg_status wg_constant(wg_tape *t, wg_dtype dtype, const void *value, bint weak, wg_id *out)
    wg_status wg_leaf(wg_tape *t, wg_dtype dtype, int ndim, const int64_t *shape, const int64_t *strides,
                      void *data, void (*release)(void *) noexcept, void *owner, wg_id *out)
    wg_status wg_input(wg_tape *t, wg_dtype dtype, int ndim, const int64_t *shape, bint weak, wg_id *out)
    wg_status wg_append(wg_tape *t, int op, int n_in, const wg_id *inputs, int n_attr, const int64_t *attrs,
                        wg_id *out)
    wg_status wg_tape_set_outputs(wg_tape *t, int n, const wg_id *outputs)
    wg_status wg_call(wg_tape *t, wg_tape *child, int n_in, const wg_id *inputs, wg_id *first)
    wg_status wg_scan(wg_tape *t, wg_tape *body, int n_carry, int n_x, int64_t length, bint reverse,
                      int guard, int64_t block, int n_in, const wg_id *inputs, wg_id *first)
    wg_status wg_vjp(wg_tape *t, int n_out, const wg_id *outputs, const wg_id *cotangents, int n_in,
                     const wg_id *inputs, bint transient, wg_id *result)
    wg_status wg_jvp(wg_tape *t, int n_in, const wg_id *inputs, const wg_id *tangents, int n_out,
                     const wg_id *outputs, wg_id *result)
    ctypedef enum wg_mode:
        WG_REVERSE, WG_FORWARD
    ctypedef wg_status (*wg_derive_fn)(wg_tape *t, void *context, wg_mode mode, const c_bool *given,
                                       const c_bool *asked, wg_tape **out) noexcept
    void wg_tape_set_rule(wg_tape *t, wg_derive_fn derive, void (*release)(void *) noexcept, void *context)
    wg_tape *wg_tape_retain(wg_tape *t)
    wg_tape *wg_tape_child(const wg_tape *t, wg_id call)
    wg_status wg_extract(wg_tape *t, int n_in, const wg_id *inputs, int n_out, const wg_id *outputs,
                         wg_tape **out, wg_id **operands)
    wg_status wg_inline(wg_tape *t, wg_tape **out)
    wg_status wg_batch(wg_tape *t, int64_t size, const c_bool *batched, c_bool *out_batched, wg_tape **out,
                       int *looped)
    wg_status wg_write(wg_tape *t, int op, int n_in, const wg_id *inputs, int n_attr, const int64_t *attrs)
    wg_status wg_latest(wg_tape *t, wg_id id, wg_id *out)
    wg_status wg_share(wg_tape *t, wg_id id)
    wg_status wg_in_order(wg_tape *t, wg_id id, int *out)
    wg_status wg_partial(wg_tape *t, wg_id node, int k, wg_id *out)

    ctypedef struct wg_node_info:
        int op
        wg_dtype dtype
        bint weak, has_value, shared, turned
        int ndim
        const int64_t *shape
        int n_in
        const wg_id *inputs "in"
        int n_attr
        const int64_t *attrs

    wg_status wg_node(wg_tape *t, wg_id id, wg_node_info *info)
    wg_status wg_read(wg_tape *t, wg_id id, void *dst)
    uint32_t wg_tape_n_inputs(const wg_tape *t)
    uint32_t wg_tape_n_outputs(const wg_tape *t)
    const wg_id *wg_tape_inputs(const wg_tape *t)
    const wg_id *wg_tape_outputs(const wg_tape *t)
    wg_status wg_verify(wg_tape *t)

    ctypedef struct wg_array:
        char *data
        const int64_t *shape
        const int64_t *strides
        int ndim
        wg_dtype dtype

    bint wg_compute(int op, int n_in, const wg_array *operands, int n_attr, const int64_t *attrs,
                    const wg_array *out)

    ctypedef struct wg_program:
        pass
    ctypedef struct wg_program_info:
        uint32_t nodes, steps
        size_t arena_bytes, live_bytes, scratch_bytes, packed_bytes, held_bytes, least_bytes, value_bytes

    wg_status wg_program_new(wg_tape *t, const int32_t *alias, const int64_t *const *strides,
                             wg_program **out)
    void wg_program_release(wg_program *p)
    ctypedef enum wg_answer:
        WG_GO_ON, WG_STOP, WG_NEVER_ASK
    ctypedef struct wg_repeat:
        int64_t times
        int64_t guard_bytes
        const int64_t *moves
        wg_answer (*ask)(wg_repeat *) noexcept
        void *context
        int64_t done
        bint tries
    wg_status wg_program_repeat(wg_program *p, void **inputs, void **outputs, wg_repeat *repeat,
                                char *message, size_t message_size)
    void wg_program_describe(const wg_program *p, wg_program_info *info)
    ctypedef struct wg_step_info:
        const uint16_t *ops
        uint32_t n_ops
        int64_t rows, block
        int groups
        size_t tile_bytes
        double flops, bytes
        const char *reason
    void wg_program_step(const wg_program *p, uint32_t step, wg_step_info *info)
    void wg_program_clock(wg_program *p, double *clock)


cdef union Scalar:
    int64_t i64
    double f64
    float f32
    double c128[2]  # the widest

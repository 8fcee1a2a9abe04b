/* Appending: operands are promoted (NEP 50), the result's shape and dtype inferred, the node pushed and, on an eager
 * tape, run.  Whatever fails leaves the tape as it was. */
#include <stdlib.h>
#include <string.h>

#include "tape.h"

/* ---- constants and leaves ---------------------------------------------------------------------------------- */
static bool fits_inline(wg_dtype dtype) { return wg_itemsize(dtype) <= 8; }

wg_status wg_constant(wg_tape *t, wg_dtype dtype, const void *value, bool weak, wg_id *out) {
    WG_TRY(wg_check_thread(t));
    if ((unsigned)dtype >= WG_DTYPE_COUNT || !fits_inline(dtype))
        return wg_fail(t, WG_TYPE_ERROR, "a scalar constant cannot be %s", wg_dtype_name(dtype));
    wg_node_rec node = {.op = WG_constant,
                        .dtype = (uint8_t)dtype,
                        .flags = (uint8_t)(WG_FLAG_VALUE | (weak ? WG_FLAG_WEAK : 0)),
                        .shape = t->scalar_shape};
    memcpy(&node.value, value, wg_itemsize(dtype));
    uint64_t hash = ((uint64_t)node.value.i64 ^ dtype) * 0x9E3779B97F4A7C15u;
    wg_id *slot = &t->constants[hash >> 56];
    _Static_assert(WG_CONST_SLOTS == 256, "the hash's top 8 bits");
    if (*slot < t->len && memcmp(&t->nodes[*slot], &node, sizeof node) == 0) return *out = *slot, WG_OK;
    WG_TRY(wg_push(t, &node, out));
    *slot = *out;
    return WG_OK;
}

wg_status wg_number(wg_tape *t, wg_dtype dtype, double value, bool weak, wg_id *out) {
    wg_scalar u = {.i64 = 0};
    if (dtype == WG_C128) { /* too wide for a constant: a cast one */
        WG_TRY(wg_number(t, WG_F64, value, weak, out));
        return wg_append_flagged(t, WG_cast, 1, out, 1, &(int64_t){dtype}, 0, out);
    }
    switch (dtype) {
    case WG_BOOL: u.b = value != 0; break;
    case WG_I32: u.i32 = (int32_t)value; break;
    case WG_I64: u.i64 = (int64_t)value; break;
    case WG_F32: u.f32 = (float)value; break;
    case WG_C64: u.c64[0] = (float)value; break;
    default: u.f64 = value; break;
    }
    return wg_constant(t, dtype, &u, weak, out);
}

static wg_status new_leaf(wg_tape *t, int op, wg_dtype dtype, int ndim, const int64_t *shape, int flags, uint32_t attrs,
                          wg_id *out) {
    if ((unsigned)dtype >= WG_DTYPE_COUNT) return wg_fail(t, WG_TYPE_ERROR, "no such dtype");
    wg_node_rec node = {.op = (uint16_t)op, .dtype = (uint8_t)dtype, .flags = (uint8_t)flags, .attrs = attrs};
    WG_TRY(wg_make_shape(t, dtype, ndim, shape, &node.shape));
    return wg_push(t, &node, out);
}

/* Wraps the caller's memory; on failure the caller still owns it. */
static wg_status wrap(wg_tape *t, int ndim, const int64_t *strides, void *data, void (*release)(void *), void *owner,
                      wg_id id) {
    uint32_t stride_id = wg_intern(&t->vectors, ndim, strides);
    wg_buffer *buffer = stride_id == WG_NONE ? NULL : wg_buffer_new(0);
    if (!buffer) return wg_no_memory(t);
    buffer->data = data;
    wg_status status = wg_set_view(t, id, buffer, 0, stride_id);
    if (status == WG_OK) {
        buffer->release = release;
        buffer->owner = owner;
    }
    return status;
}

wg_status wg_leaf(wg_tape *t, wg_dtype dtype, int ndim, const int64_t *shape, const int64_t *strides, void *data,
                  void (*release)(void *), void *owner, wg_id *out) {
    WG_TRY(wg_check_thread(t));
    if (!t->run) return wg_fail(t, WG_RUNTIME_ERROR, "an abstract tape takes inputs, not arrays");
    uint32_t len = t->len;
    WG_TRY(new_leaf(t, WG_leaf, dtype, ndim, shape, 0, 0, out));
    wg_status status;
    if (release) {
        status = wrap(t, ndim, strides, data, release, owner, *out);
    } else {
        void *copy = wg_alloc_value(t, *out);
        status = copy ? WG_OK : wg_no_memory(t);
        if (copy) wg_pack(copy, dtype, ndim, shape, strides, data);
    }
    if (status != WG_OK) return wg_tape_pop(t, len), status;
    int64_t in_order[WG_MAX_NDIM];
    wg_contiguous_strides(ndim, shape, in_order);
    for (int k = 0; k < ndim; k++)
        if (shape[k] > 1 && strides[k] != in_order[k]) t->nodes[*out].flags |= WG_FLAG_TURNED;
    return WG_OK;
}

wg_status wg_input(wg_tape *t, wg_dtype dtype, int ndim, const int64_t *shape, bool weak, wg_id *out) {
    WG_TRY(wg_check_thread(t));
    if (t->run) return wg_fail(t, WG_RUNTIME_ERROR, "an eager tape takes arrays, not inputs");
    if (!wg_grow(&t->inputs, &t->cap_inputs, (uint64_t)t->n_inputs + 1, sizeof *t->inputs)) return wg_no_memory(t);
    uint32_t place, attrs_len = t->attrs_len;
    WG_TRY(wg_push_attrs(t, 1, &(int64_t){t->n_inputs}, &place));
    wg_status status = new_leaf(t, WG_input, dtype, ndim, shape, weak ? WG_FLAG_WEAK : 0, place, out);
    if (status == WG_OK)
        t->inputs[t->n_inputs++] = *out;
    else
        t->attrs_len = attrs_len;
    return status;
}

/* ---- promotion --------------------------------------------------------------------------------------------- */
static int kind_of(int dtype) { return dtype == WG_BOOL ? 0 : dtype < WG_F32 ? 1 : dtype < WG_C64 ? 2 : 3; }

/* A weak scalar takes the strong dtype unless its kind is higher (NEP 50). */
static wg_dtype promote_weak(int strong, int weak) {
    if (kind_of(weak) <= kind_of(strong)) return (wg_dtype)strong;
    if (kind_of(weak) == 3) return strong == WG_F32 ? WG_C64 : WG_C128;
    return kind_of(weak) == 1 ? WG_I64 : WG_F64;
}

static wg_status coerce(wg_tape *t, wg_id *id, wg_dtype dtype) {
    const wg_node_rec node = t->nodes[*id];
    if (node.dtype == dtype) return WG_OK;
    if (node.op == WG_constant && node.dtype >= WG_I64 && node.dtype <= WG_F64 && wg_is_float(dtype)) {
        double value = node.dtype == WG_F64   ? node.value.f64
                       : node.dtype == WG_F32 ? node.value.f32
                                              : (double)node.value.i64;
        return wg_number(t, dtype, value, false, id);
    }
    if (node.op == WG_constant && node.flags & WG_FLAG_WEAK && node.dtype == WG_I64 && dtype == WG_I32 &&
        node.value.i64 != (int32_t)node.value.i64)
        return wg_fail(t, WG_VALUE_ERROR, "Python integer %lld is out of bounds for int32", (long long)node.value.i64);
    return wg_append_flagged(t, WG_cast, 1, id, 1, &(int64_t){dtype}, 0, id);
}

/* What NumPy computes of bools in int8, which a tape does not have, or not at all. */
static bool not_of_bools(int op) {
    return op == WG_sub || op == WG_neg || op == WG_sign || op == WG_remainder || op == WG_pow || op == WG_left_shift ||
           op == WG_right_shift;
}

/* Brings operands first..last-1 (those whose dtype the result takes) to one dtype; *weak: all are Python scalars. */
static wg_status promote(wg_tape *t, const wg_op_info *info, int first, int step, int n, wg_id *in, bool *weak) {
    int strong = -1, soft = -1;
    for (int k = first; k < n; k += step) {
        const wg_node_rec *node = &t->nodes[in[k]];
        int *side = node->flags & WG_FLAG_WEAK ? &soft : &strong;
        *side = *side < 0 ? node->dtype : (int)wg_promote((wg_dtype)*side, node->dtype);
    }
    *weak = strong < 0;
    int dtype = strong < 0 ? soft : soft < 0 ? strong : (int)promote_weak(strong, soft);
    if ((info->class_ == WG_CLASS_FLOAT || info->class_ == WG_CLASS_FIELD) && dtype < WG_F32) dtype = WG_F64;
    int op = (int)(info - wg_op_table);
    if (info->class_ == WG_CLASS_INTEGER && dtype >= WG_F32)
        return wg_fail(t, WG_TYPE_ERROR, "%s takes integers and bools, got %s", info->name,
                       wg_dtype_name((wg_dtype)dtype));
    if (dtype == WG_BOOL && not_of_bools(op))
        return wg_fail(t, WG_TYPE_ERROR, "%s is not defined for bools; compare them (!=) or cast them", info->name);
    for (int k = first; k < n; k += step) WG_TRY(coerce(t, &in[k], (wg_dtype)dtype));
    return WG_OK;
}

static wg_status promote_operands(wg_tape *t, const wg_op_info *info, int n_in, wg_id *in, bool *weak) {
    *weak = false;
    switch ((enum wg_infer_rule)info->infer) {
    case WG_INFER_elementwise:
    case WG_INFER_to_complex:
    case WG_INFER_matmul:
    case WG_INFER_reduce:
    case WG_INFER_recurrence:
    case WG_INFER_slice_add:
    case WG_INFER_concatenate: return promote(t, info, 0, 1, n_in, in, weak);
    case WG_INFER_compare: WG_TRY(promote(t, info, 0, 1, n_in, in, weak)); return *weak = false, WG_OK;
    case WG_INFER_where: WG_TRY(coerce(t, &in[0], WG_BOOL)); return promote(t, info, 1, 1, n_in, in, weak);
    case WG_INFER_index_add: return promote(t, info, 0, 2, n_in, in, weak);
    case WG_INFER_same: *weak = t->nodes[in[0]].flags & WG_FLAG_WEAK; return WG_OK;
    default: return WG_OK;
    }
}

/* ---- append ------------------------------------------------------------------------------------------------ */
static bool takes_complex(const wg_op_info *info) {
    return info->class_ == WG_CLASS_ANY || info->class_ == WG_CLASS_FIELD || info->class_ == WG_CLASS_RING;
}

/* |a| of a complex a, in terms of its parts. */
static wg_status absolute(wg_tape *t, wg_id a, wg_id *out) {
    wg_id parts[2];
    WG_TRY(wg_append_flagged(t, WG_real, 1, &a, 0, NULL, 0, &parts[0]));
    WG_TRY(wg_append_flagged(t, WG_imag, 1, &a, 0, NULL, 0, &parts[1]));
    return wg_append_flagged(t, WG_hypot, 2, parts, 0, NULL, 0, out);
}

/* Scalar code: floats of one dtype and shape (), which leave nothing to promote and nothing to infer. */
static bool plain_numbers(const wg_tape *t, const wg_op_info *info, int n_in, const wg_id *in) {
    int dtype = t->nodes[in[0]].dtype;
    if (info->infer != WG_INFER_elementwise || info->class_ == WG_CLASS_INTEGER || !wg_is_float(dtype)) return false;
    for (int k = 0; k < n_in; k++) {
        const wg_node_rec *x = &t->nodes[in[k]];
        if (x->shape != t->scalar_shape || x->dtype != dtype || x->flags & WG_FLAG_WEAK) return false;
    }
    return !(info->kind == WG_KIND_DERIVATIVE ? wg_row(info->base) : info)->n_params;
}

/* WG_FLAG_TURNED of a result: where axes change their order, and of all that is made of such a one. */
static int turned(const wg_tape *t, int op, int n_in, const wg_id *in, const int64_t *attrs, uint32_t shape) {
    int flag = 0;
    for (int k = 0, last = 0; op == WG_transpose && k < wg_vec_ndim(t, shape); k++) {
        if (wg_vec(t, shape)[k] <= 1) continue;
        if (attrs[k] < last) flag = WG_FLAG_TURNED;
        last = (int)attrs[k];
    }
    for (int k = 0; k < n_in; k++) flag |= t->nodes[in[k]].flags & WG_FLAG_TURNED;
    return flag;
}

static wg_status append(wg_tape *t, int op, int n_in, wg_id *in, int n_attr, const int64_t *attrs, int flags,
                        wg_id *out) {
    const wg_op_info *info = wg_row(op);
    bool weak = false;
    wg_node_rec node = {.op = (uint16_t)op, .shape = t->scalar_shape};
    wg_dtype dtype = (wg_dtype)t->nodes[in[0]].dtype;
    if (n_attr || !plain_numbers(t, info, n_in, in)) {
        WG_TRY(promote_operands(t, info, n_in, in, &weak));
        WG_TRY(wg_infer(t, op, n_in, in, n_attr, attrs, &dtype, &node.shape));
    }
    node.flags = (uint8_t)(flags | (weak ? WG_FLAG_WEAK : 0));
    if (wg_vec_ndim(t, node.shape) > 1) node.flags |= (uint8_t)turned(t, op, n_in, in, attrs, node.shape);
    node.dtype = (uint8_t)dtype;
    if (wg_is_complex(t->nodes[in[0]].dtype) && op == WG_abs) return absolute(t, in[0], out);
    if (wg_is_complex(t->nodes[in[0]].dtype) && !takes_complex(info))
        return wg_fail(t, WG_TYPE_ERROR, "%s does not take %s arrays; take real and imaginary parts", info->name,
                       wg_dtype_name((wg_dtype)t->nodes[in[0]].dtype));
    if (info->arity < 0)
        WG_TRY(wg_push_side(t, n_in, in, &node.in[0]));
    else
        memcpy(node.in, in, (size_t)n_in * sizeof *in);
    for (int k = info->arity < 0 ? 1 : n_in; k < 3; k++) node.in[k] = WG_NONE;
    WG_TRY(wg_push_attrs(t, n_attr, attrs, &node.attrs));
    WG_TRY(wg_push(t, &node, out));
    return t->run ? t->run(t, *out) : WG_OK;
}

enum { FEW = 8 };

wg_status wg_append_flagged(wg_tape *t, int op, int n_in, const wg_id *in, int n_attr, const int64_t *attrs, int flags,
                            wg_id *out) {
    uint32_t len = t->len, attrs_len = t->attrs_len, side_len = t->side_len;
    wg_id few[FEW], *operands = few; /* a copy: promotion replaces ids */
    uint32_t cap = 0;
    if (n_in > FEW) {
        operands = NULL;
        if (!wg_grow(&operands, &cap, (uint64_t)n_in, sizeof *operands)) return wg_no_memory(t);
    }
    if (n_in) memcpy(operands, in, (size_t)n_in * sizeof *in);
    wg_status status = append(t, op, n_in, operands, n_attr, attrs, flags, out);
    if (operands != few) free(operands);
    if (status != WG_OK) {
        wg_tape_pop(t, len);
        t->attrs_len = attrs_len;
        t->side_len = side_len;
    }
    return status;
}

wg_status wg_append(wg_tape *t, int op, int n_in, const wg_id *in, int n_attr, const int64_t *attrs, wg_id *out) {
    WG_TRY(wg_check_thread(t));
    const wg_op_info *info = wg_op(op);
    if (!info || info->kind == WG_KIND_LEAF || info->kind == WG_KIND_LOWERED || op == WG_call || op == WG_result)
        return wg_fail(t, WG_VALUE_ERROR, "append: %s is not an op to append", info ? info->name : "this");
    if (info->arity >= 0 ? n_in != info->arity : n_in < 1)
        return wg_fail(t, WG_TYPE_ERROR, "%s takes %d operands, got %d", info->name, info->arity, n_in);
    for (int k = 0; k < n_in; k++) {
        if (in[k] >= t->len) return wg_check_id(t, in[k], info->name);
        if (t->nodes[in[k]].op == WG_call) return wg_fail(t, WG_VALUE_ERROR, "%s: a call has no value", info->name);
    }
    return wg_append_flagged(t, op, n_in, in, n_attr, attrs, 0, out);
}

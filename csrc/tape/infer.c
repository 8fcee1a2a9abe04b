/* Shape and dtype of every op's result, from operands that have been promoted.  The table's column `infer` names the
 * rule. */
#include <string.h>

#include "tape.h"

typedef struct {
    wg_tape *t;
    const char *name;
    int op, n_in, n_attr;
    const wg_id *in;
    const int64_t *attrs;
} wg_ask;

static int ndim_of(const wg_ask *q, int k) { return wg_ndim(q->t, q->in[k]); }
static const int64_t *shape_of(const wg_ask *q, int k) { return wg_shape(q->t, q->in[k]); }
static wg_dtype dtype_of(const wg_ask *q, int k) { return (wg_dtype)q->t->nodes[q->in[k]].dtype; }

static const char *text_of(const wg_ask *q, int k, char text[256]) {
    return wg_shape_text(ndim_of(q, k), shape_of(q, k), text, 256);
}

static wg_status wants_attrs(const wg_ask *q, int n) {
    if (q->n_attr == n) return WG_OK;
    return wg_fail(q->t, WG_VALUE_ERROR, "%s takes %d attributes, got %d", q->name, n, q->n_attr);
}

static wg_status wants_index(const wg_ask *q, int k) {
    wg_dtype dtype = dtype_of(q, k);
    if (dtype == WG_I32 || dtype == WG_I64) return WG_OK;
    return wg_fail(q->t, WG_TYPE_ERROR, "%s: indices must be integers, got %s", q->name, wg_dtype_name(dtype));
}

static wg_status elementwise(const wg_ask *q, int first, uint32_t *shape) {
    *shape = q->t->nodes[q->in[first]].shape;
    for (int k = 0; k < q->n_in; k++)
        WG_TRY(wg_broadcast_shapes(q->t, q->name, *shape, q->t->nodes[q->in[k]].shape, shape));
    return WG_OK;
}

static wg_status reduce(const wg_ask *q, wg_dtype *dtype, uint32_t *shape) {
    WG_TRY(wants_attrs(q, 2));
    int ndim = ndim_of(q, 0), n = 0;
    uint64_t mask = (uint64_t)q->attrs[0];
    if (mask >> ndim) return wg_fail(q->t, WG_VALUE_ERROR, "%s: an axis is out of range for %d axes", q->name, ndim);
    int64_t out[WG_MAX_NDIM];
    const int64_t *in = shape_of(q, 0);
    for (int i = 0; i < ndim; i++) {
        bool reduced = mask >> i & 1;
        if (reduced && in[i] == 0 && (q->op == WG_max || q->op == WG_min))
            return wg_fail(q->t, WG_VALUE_ERROR, "%s of an empty axis has no value; axis %d has extent 0", q->name, i);
        if (!reduced)
            out[n++] = in[i];
        else if (q->attrs[1])
            out[n++] = 1;
    }
    if ((q->op == WG_sum || q->op == WG_prod) && *dtype < WG_I64) *dtype = WG_I64; /* as NumPy */
    return wg_make_shape(q->t, *dtype, n, out, shape);
}

static wg_status wants_axis(const wg_ask *q) { /* as the first attribute */
    if (q->attrs[0] >= 0 && q->attrs[0] < ndim_of(q, 0)) return WG_OK;
    return wg_fail(q->t, WG_VALUE_ERROR, "%s: axis %lld is out of range for %d axes", q->name, (long long)q->attrs[0],
                   ndim_of(q, 0));
}

static wg_status argreduce(const wg_ask *q, wg_dtype *dtype, uint32_t *shape) {
    WG_TRY(wants_attrs(q, 1));
    WG_TRY(wants_axis(q));
    int ndim = ndim_of(q, 0), n = 0;
    int64_t axis = q->attrs[0], out[WG_MAX_NDIM];
    const int64_t *in = shape_of(q, 0);
    if (in[axis] == 0) return wg_fail(q->t, WG_VALUE_ERROR, "%s of an empty axis has no value", q->name);
    for (int i = 0; i < ndim; i++)
        if (i != axis) out[n++] = in[i];
    *dtype = WG_I64;
    return wg_make_shape(q->t, *dtype, n, out, shape);
}

static wg_status argsort(const wg_ask *q, wg_dtype *dtype, uint32_t *shape) {
    const int64_t over = q->n_attr == 3 ? q->attrs[2] : 0, ndim = ndim_of(q, 0);
    WG_TRY(wants_attrs(q, 3));
    WG_TRY(wants_axis(q));
    if (over < 0 || over > ndim || (over > 0 && q->attrs[0] < ndim - over))
        return wg_fail(q->t, WG_VALUE_ERROR, "%s: the last %lld of %lld axes leave out axis %lld", q->name,
                       (long long)over, (long long)ndim, (long long)q->attrs[0]);
    *dtype = WG_I64;
    return wg_make_shape(q->t, *dtype, ndim_of(q, 0), shape_of(q, 0), shape);
}

static wg_status reshape(const wg_ask *q, wg_dtype dtype, uint32_t *shape) {
    WG_TRY(wg_make_shape(q->t, dtype, q->n_attr, q->attrs, shape));
    if (wg_vec_size(q->t, *shape) == wg_size(q->t, q->in[0])) return WG_OK;
    char from[256], to[256];
    return wg_fail(q->t, WG_VALUE_ERROR, "reshape: %s does not hold as many elements as %s", text_of(q, 0, from),
                   wg_shape_text(q->n_attr, q->attrs, to, sizeof to));
}

static wg_status transpose(const wg_ask *q, wg_dtype dtype, uint32_t *shape) {
    int ndim = ndim_of(q, 0);
    WG_TRY(wants_attrs(q, ndim));
    int64_t out[WG_MAX_NDIM];
    uint64_t seen = 0;
    for (int i = 0; i < ndim; i++) {
        int64_t axis = q->attrs[i];
        if (axis < 0 || axis >= ndim || seen >> axis & 1)
            return wg_fail(q->t, WG_VALUE_ERROR, "transpose: axes are not a permutation of %d axes", ndim);
        seen |= (uint64_t)1 << axis;
        out[i] = shape_of(q, 0)[axis];
    }
    return wg_make_shape(q->t, dtype, ndim, out, shape);
}

static wg_status broadcast(const wg_ask *q, wg_dtype dtype, uint32_t *shape) {
    WG_TRY(wg_make_shape(q->t, dtype, q->n_attr, q->attrs, shape));
    uint32_t both = *shape;
    if (ndim_of(q, 0) <= q->n_attr)
        WG_TRY(wg_broadcast_shapes(q->t, q->name, q->t->nodes[q->in[0]].shape, *shape, &both));
    if (both == *shape && ndim_of(q, 0) <= q->n_attr) return WG_OK;
    char from[256], to[256];
    return wg_fail(q->t, WG_VALUE_ERROR, "broadcast_to: shape %s does not broadcast to %s", text_of(q, 0, from),
                   wg_shape_text(q->n_attr, q->attrs, to, sizeof to));
}

static wg_status slice(const wg_ask *q, wg_dtype dtype, uint32_t *shape) {
    int ndim = ndim_of(q, 0);
    WG_TRY(wants_attrs(q, 3 * ndim));
    int64_t out[WG_MAX_NDIM];
    for (int i = 0; i < ndim; i++) {
        int64_t extent = shape_of(q, 0)[i];
        int64_t start = q->attrs[3 * i], step = q->attrs[3 * i + 1], length = q->attrs[3 * i + 2];
        /* the last element, start + (length - 1) step, must lie in the axis; compared without overflow */
        bool fits = length >= 0 && (length == 0 || (start >= 0 && start < extent));
        if (fits && length > 1)
            fits = step > 0 ? (length - 1) <= (extent - 1 - start) / step
                            : step < 0 && step > -INT64_MAX && (length - 1) <= start / -step;
        if (!fits)
            return wg_fail(q->t, WG_INDEX_ERROR, "%s: start %lld, step %lld, length %lld leaves axis %d of extent %lld",
                           q->name, (long long)start, (long long)step, (long long)length, i, (long long)extent);
        out[i] = length;
    }
    return wg_make_shape(q->t, dtype, ndim, out, shape);
}

/* The base's shape, once operand b is known to have that of the part that it goes to. */
static wg_status of_base(const wg_ask *q, int b, const char *part, uint32_t *shape) {
    if (*shape == q->t->nodes[q->in[b]].shape) return *shape = q->t->nodes[q->in[0]].shape, WG_OK;
    char value[256], wanted[256];
    return wg_fail(q->t, WG_VALUE_ERROR, "%s: b has shape %s, %s %s", q->name, text_of(q, b, value), part,
                   wg_shape_text(wg_vec_ndim(q->t, *shape), wg_vec(q->t, *shape), wanted, sizeof wanted));
}

static wg_status slice_add(const wg_ask *q, wg_dtype dtype, uint32_t *shape) {
    WG_TRY(slice(q, dtype, shape));
    return of_base(q, 1, "the slice has", shape);
}

static wg_status concatenate(const wg_ask *q, wg_dtype dtype, uint32_t *shape) {
    WG_TRY(wants_attrs(q, 1));
    if (q->n_in < 1) return wg_fail(q->t, WG_VALUE_ERROR, "concatenate: needs at least one array");
    int ndim = ndim_of(q, 0);
    WG_TRY(wants_axis(q));
    int64_t axis = q->attrs[0], out[WG_MAX_NDIM];
    for (int i = 0; i < ndim; i++) out[i] = shape_of(q, 0)[i];
    for (int k = 1; k < q->n_in; k++) {
        bool fits = ndim_of(q, k) == ndim;
        for (int i = 0; fits && i < ndim; i++) fits = i == axis || shape_of(q, k)[i] == out[i];
        if (!fits) {
            char first[256], other[256];
            return wg_fail(q->t, WG_VALUE_ERROR, "concatenate: shapes %s and %s differ outside axis %lld",
                           text_of(q, 0, first), text_of(q, k, other), (long long)axis);
        }
        int64_t extent = shape_of(q, k)[axis];
        if (out[axis] > INT64_MAX - extent) return wg_fail(q->t, WG_VALUE_ERROR, "concatenate: the result is too big");
        out[axis] += extent;
    }
    return wg_make_shape(q->t, dtype, ndim, out, shape);
}

static wg_status gather(const wg_ask *q, wg_dtype dtype, uint32_t *shape) {
    WG_TRY(wants_index(q, 1));
    int n_index = ndim_of(q, 1), ndim = ndim_of(q, 0), n = 0;
    if (ndim < 1) return wg_fail(q->t, WG_INDEX_ERROR, "%s: a 0-d array has no rows", q->name);
    if (n_index + ndim - 1 > WG_MAX_NDIM)
        return wg_fail(q->t, WG_VALUE_ERROR, "%s: the result would have more than %d axes", q->name, WG_MAX_NDIM);
    int64_t out[WG_MAX_NDIM];
    for (int i = 0; i < n_index; i++) out[n++] = shape_of(q, 1)[i];
    for (int i = 1; i < ndim; i++) out[n++] = shape_of(q, 0)[i];
    return wg_make_shape(q->t, dtype, n, out, shape);
}

static wg_status index_add(const wg_ask *q, wg_dtype dtype, uint32_t *shape) {
    WG_TRY(gather(q, dtype, shape));
    return of_base(q, 2, "the indexed rows have", shape);
}

static wg_status ravel_index(const wg_ask *q, wg_dtype *dtype, uint32_t *shape) {
    WG_TRY(wants_attrs(q, q->n_in));
    int64_t rows = 1;
    for (int k = 0; k < q->n_in; k++) {
        int64_t extent = q->attrs[k];
        WG_TRY(wants_index(q, k));
        if (extent < 0 || (extent > 0 && rows > INT64_MAX / extent))
            return wg_fail(q->t, WG_VALUE_ERROR, "%s: the extents have no product of 63 bits", q->name);
        rows *= extent;
    }
    *dtype = WG_I64;
    return elementwise(q, 0, shape);
}

static wg_status recurrence(const wg_ask *q) {
    WG_TRY(wants_attrs(q, 2));
    char ta[256], tb[256];
    if (q->t->nodes[q->in[0]].shape != q->t->nodes[q->in[1]].shape)
        return wg_fail(q->t, WG_VALUE_ERROR, "%s: a has shape %s, b has %s", q->name, text_of(q, 0, ta),
                       text_of(q, 1, tb));
    return wants_axis(q);
}

static wg_status random(const wg_ask *q, wg_dtype *dtype, uint32_t *shape) {
    int n_keys = ndim_of(q, 0), ndim = q->n_attr - 2;
    if (dtype_of(q, 0) != WG_I64)
        return wg_fail(q->t, WG_TYPE_ERROR, "random: a key is an int64, got %s; make one with wg.random.key(seed)",
                       wg_dtype_name(dtype_of(q, 0)));
    if (ndim < 0 || q->attrs[0] < WG_I32 || q->attrs[0] > WG_F64)
        return wg_fail(q->t, WG_VALUE_ERROR, "random: expected a real dtype, a stream and a shape");
    if (n_keys + ndim > WG_MAX_NDIM)
        return wg_fail(q->t, WG_VALUE_ERROR, "random: the result would have more than %d axes", WG_MAX_NDIM);
    int64_t out[WG_MAX_NDIM];
    for (int i = 0; i < n_keys + ndim; i++) out[i] = i < n_keys ? shape_of(q, 0)[i] : q->attrs[2 + i - n_keys];
    *dtype = (wg_dtype)q->attrs[0];
    return wg_make_shape(q->t, *dtype, n_keys + ndim, out, shape);
}

static wg_status matmul(const wg_ask *q, wg_dtype dtype, uint32_t *shape) {
    int na = ndim_of(q, 0), nb = ndim_of(q, 1);
    char ta[256], tb[256];
    if (na < 2 || nb < 2)
        return wg_fail(q->t, WG_VALUE_ERROR, "matmul: operands need two axes or more, got shapes %s and %s",
                       text_of(q, 0, ta), text_of(q, 1, tb));
    if (shape_of(q, 0)[na - 1] != shape_of(q, 1)[nb - 2])
        return wg_fail(q->t, WG_VALUE_ERROR, "matmul: shapes %s and %s: %lld columns against %lld rows",
                       text_of(q, 0, ta), text_of(q, 1, tb), (long long)shape_of(q, 0)[na - 1],
                       (long long)shape_of(q, 1)[nb - 2]);
    uint32_t batch_a, batch_b, batch;
    WG_TRY(wg_make_shape(q->t, dtype, na - 2, shape_of(q, 0), &batch_a));
    WG_TRY(wg_make_shape(q->t, dtype, nb - 2, shape_of(q, 1), &batch_b));
    WG_TRY(wg_broadcast_shapes(q->t, "matmul", batch_a, batch_b, &batch));
    int n = wg_vec_ndim(q->t, batch);
    int64_t out[WG_MAX_NDIM];
    if (n + 2 > WG_MAX_NDIM) return wg_fail(q->t, WG_VALUE_ERROR, "matmul: more than %d axes", WG_MAX_NDIM);
    if (n) memcpy(out, wg_vec(q->t, batch), (size_t)n * sizeof *out);
    out[n] = shape_of(q, 0)[na - 2];
    out[n + 1] = shape_of(q, 1)[nb - 1];
    return wg_make_shape(q->t, dtype, n + 2, out, shape);
}

static wg_status result(const wg_ask *q, wg_dtype *dtype, uint32_t *shape) {
    const wg_node_rec *call = &q->t->nodes[q->in[0]];
    if (call->op != WG_call) return wg_fail(q->t, WG_VALUE_ERROR, "result: its operand must be a call");
    WG_TRY(wants_attrs(q, 1));
    return wg_infer_result(q->t, q->in[0], q->attrs[0], dtype, shape);
}

wg_status wg_infer(wg_tape *t, int op, int n_in, const wg_id *in, int n_attr, const int64_t *attrs, wg_dtype *dtype,
                   uint32_t *shape) {
    const wg_op_info *info = wg_row(op);
    wg_ask q = {.t = t, .name = info->name, .op = op, .n_in = n_in, .n_attr = n_attr, .in = in, .attrs = attrs};
    if (n_in) {
        *dtype = (wg_dtype)t->nodes[in[0]].dtype;
        *shape = t->nodes[in[0]].shape;
    }
    switch ((enum wg_infer_rule)info->infer) {
    case WG_INFER_elementwise:
        WG_TRY(wants_attrs(&q, wg_row(info->kind == WG_KIND_DERIVATIVE ? info->base : op)->n_params));
        return elementwise(&q, 0, shape);
    case WG_INFER_compare: *dtype = WG_BOOL; return elementwise(&q, 0, shape);
    case WG_INFER_where: *dtype = dtype_of(&q, 1); return elementwise(&q, 0, shape);
    case WG_INFER_cast:
        WG_TRY(wants_attrs(&q, 1));
        if (attrs[0] < 0 || attrs[0] >= WG_DTYPE_COUNT) return wg_fail(t, WG_VALUE_ERROR, "cast: no such dtype");
        *dtype = (wg_dtype)attrs[0];
        return WG_OK;
    case WG_INFER_reshape: return reshape(&q, *dtype, shape);
    case WG_INFER_transpose: return transpose(&q, *dtype, shape);
    case WG_INFER_broadcast: return broadcast(&q, *dtype, shape);
    case WG_INFER_slice: return slice(&q, *dtype, shape);
    case WG_INFER_slice_add: return slice_add(&q, *dtype, shape);
    case WG_INFER_concatenate: return concatenate(&q, *dtype, shape);
    case WG_INFER_gather: return gather(&q, *dtype, shape);
    case WG_INFER_index_add: return index_add(&q, *dtype, shape);
    case WG_INFER_host:
        if (n_attr < WG_HOST_SHAPE || attrs[WG_HOST_DTYPE] < 0 || attrs[WG_HOST_DTYPE] >= WG_DTYPE_COUNT)
            return wg_fail(t, WG_VALUE_ERROR, "host takes a function, a context, a dtype, stacks and a shape");
        *dtype = (wg_dtype)attrs[WG_HOST_DTYPE];
        return wg_make_shape(t, *dtype, n_attr - WG_HOST_SHAPE, attrs + WG_HOST_SHAPE, shape);
    case WG_INFER_ravel_index: return ravel_index(&q, dtype, shape);
    case WG_INFER_part:
        if (!wg_is_complex(*dtype))
            return wg_fail(t, WG_TYPE_ERROR, "%s takes complex numbers, got %s", info->name, wg_dtype_name(*dtype));
        *dtype = *dtype == WG_C64 ? WG_F32 : WG_F64;
        return WG_OK;
    case WG_INFER_to_complex: *dtype = *dtype == WG_F32 ? WG_C64 : WG_C128; return elementwise(&q, 0, shape);
    case WG_INFER_random: return random(&q, dtype, shape);
    case WG_INFER_recurrence: return recurrence(&q);
    case WG_INFER_reduce: return reduce(&q, dtype, shape);
    case WG_INFER_argreduce: return argreduce(&q, dtype, shape);
    case WG_INFER_argsort: return argsort(&q, dtype, shape);
    case WG_INFER_matmul: return matmul(&q, *dtype, shape);
    case WG_INFER_result: return result(&q, dtype, shape);
    case WG_INFER_call:
        *dtype = WG_BOOL;
        *shape = t->scalar_shape;
        return WG_OK; /* only its results have values */
    case WG_INFER_same:
    case WG_INFER_COUNT:
    case WG_INFER_none: return WG_OK;
    }
    return WG_OK;
}

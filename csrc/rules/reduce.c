/* Rules of reductions.  Attributes of all of them: bit mask of axes, keepdims. */
#include "rules.h"

/* A reduction's result (or its cotangent) stretched back over the shape of its operand x. */
static wg_status stretch(wg_tape *t, wg_id node, wg_id value, wg_id x, wg_id *out) {
    wg_attr_copy attrs = wg_copy_attrs(t, node);
    int64_t kept[WG_MAX_NDIM];
    int ndim = wg_ndim(t, x);
    for (int i = 0; i < ndim; i++) kept[i] = (uint64_t)attrs.x[0] >> i & 1 ? 1 : wg_shape(t, x)[i];
    uint32_t shape;
    WG_TRY(wg_make_shape(t, (wg_dtype)t->nodes[x].dtype, ndim, kept, &shape));
    WG_TRY(wg_emit_reshape(t, value, shape, out));
    return wg_emit_broadcast(t, *out, t->nodes[x].shape, out);
}

wg_status wg_vjp_sum(wg_sweep *s, wg_id node, wg_id g) {
    wg_id x = s->t->nodes[node].in[0];
    WG_TRY(stretch(s->t, node, g, x, &g));
    return wg_contribute(s, x, g);
}

/* x of shape (rows, n) with its rows turned around */
static wg_status turn_rows(wg_tape *t, wg_id x, wg_id *out) {
    int64_t rows = wg_shape(t, x)[0], n = wg_shape(t, x)[1];
    return wg_append_flagged(t, WG_slice, 1, &x, 6, (int64_t[]){0, 1, rows, n - 1, -1, n}, 0, out);
}

/* For each element of x, shape (rows, n), the product of those behind it in its row: y[k] = x[k+1] y[k+1] from 1. */
static wg_status product_behind(wg_tape *t, wg_id x, wg_id *out) {
    int64_t rows = wg_shape(t, x)[0], n = wg_shape(t, x)[1];
    wg_dtype dtype = (wg_dtype)t->nodes[x].dtype;
    wg_id start, one;
    uint32_t column;
    WG_TRY(wg_make_shape(t, dtype, 2, (int64_t[]){rows, 1}, &column));
    WG_TRY(wg_number(t, dtype, 1, false, &one));
    WG_TRY(wg_emit_broadcast(t, one, column, &one));
    WG_TRY(wg_emit_zeros(t, x, &start));
    WG_TRY(wg_append_flagged(t, WG_slice_set, 2, (wg_id[]){start, one}, 6, (int64_t[]){0, 1, rows, n - 1, 1, 1}, 0,
                             &start));
    return wg_append_flagged(t, WG_recurrence, 2, (wg_id[]){x, start}, 2, (int64_t[]){1, 1}, 0, out);
}

/* The product of all other elements of its group for each of x, without a division: those before it times those behind.
 * The groups are brought to rows, and back. */
static wg_status product_of_others(wg_tape *t, wg_id node, wg_id x, wg_id *out) {
    uint64_t mask = (uint64_t)wg_copy_attrs(t, node).x[0];
    int64_t order[WG_MAX_NDIM], back[WG_MAX_NDIM], shape[WG_MAX_NDIM];
    int ndim = wg_ndim(t, x), at = 0;
    for (int reduced = 0; reduced < 2; reduced++)
        for (int i = 0; i < ndim; i++)
            if ((int)(mask >> i & 1) == reduced) back[i] = at, shape[at] = wg_shape(t, x)[i], order[at++] = i;
    int64_t rows = wg_size(t, node), n = rows ? wg_size(t, x) / rows : 0;
    if (rows == 0 || n == 0) return *out = x, WG_OK; /* no element */
    wg_dtype dtype = (wg_dtype)t->nodes[x].dtype;
    uint32_t flat, grouped;
    wg_id before;
    WG_TRY(wg_make_shape(t, dtype, 2, (int64_t[]){rows, n}, &flat));
    WG_TRY(wg_make_shape(t, dtype, ndim, shape, &grouped));
    WG_TRY(wg_append_flagged(t, WG_transpose, 1, &x, ndim, order, 0, &x));
    WG_TRY(wg_emit_reshape(t, x, flat, &x));
    WG_TRY(turn_rows(t, x, &before));
    WG_TRY(product_behind(t, before, &before));
    WG_TRY(turn_rows(t, before, &before));
    WG_TRY(product_behind(t, x, out));
    WG_TRY(wg_emit2(t, WG_mul, before, *out, out));
    WG_TRY(wg_emit_reshape(t, *out, grouped, out));
    return wg_append_flagged(t, WG_transpose, 1, out, ndim, back, 0, out);
}

/* The weight of each element in the derivative of prod, max, min or logsumexp: dy = sum of weight * dx. */
static wg_status weights(wg_tape *t, wg_id node, wg_id *out) {
    wg_id x = t->nodes[node].in[0], y, count;
    if (t->nodes[node].op == WG_prod) return product_of_others(t, node, x, out);
    WG_TRY(stretch(t, node, node, x, &y));
    if (t->nodes[node].op == WG_logsumexp) { /* softmax */
        WG_TRY(wg_emit2(t, WG_sub, x, y, out));
        return wg_emit1(t, WG_exp, *out, out);
    }
    uint64_t axes = (uint64_t)wg_copy_attrs(t, node).x[0];
    WG_TRY(wg_emit2(t, WG_equal, x, y, out)); /* ties share the derivative equally */
    WG_TRY(wg_append_flagged(t, WG_cast, 1, out, 1, &(int64_t){t->nodes[x].dtype}, 0, out));
    WG_TRY(wg_emit_sum(t, *out, axes, true, &count));
    return wg_emit2(t, WG_div, *out, count, out);
}

static wg_status vjp_weighted(wg_sweep *s, wg_id node, wg_id g) {
    wg_id x = s->t->nodes[node].in[0], w;
    WG_TRY(weights(s->t, node, &w));
    WG_TRY(stretch(s->t, node, g, x, &g));
    WG_TRY(wg_emit2(s->t, WG_zmul, g, w, &g)); /* an untaken branch may have NaN for a weight */
    return wg_contribute(s, x, g);
}

static wg_status jvp_weighted(wg_sweep *s, wg_id node, const wg_id *tangents, wg_id *out) {
    wg_attr_copy attrs = wg_copy_attrs(s->t, node);
    WG_TRY(weights(s->t, node, out));
    WG_TRY(wg_emit2(s->t, WG_zmul, tangents[0], *out, out));
    return wg_emit_sum(s->t, *out, (uint64_t)attrs.x[0], attrs.x[1] != 0, out);
}

#define WEIGHTED(name)                                                                                                 \
    wg_status wg_vjp_##name(wg_sweep *s, wg_id node, wg_id g) { return vjp_weighted(s, node, g); }                     \
    wg_status wg_jvp_##name(wg_sweep *s, wg_id node, const wg_id *tangents, wg_id *out) {                              \
        return jvp_weighted(s, node, tangents, out);                                                                   \
    }
WEIGHTED(prod)
WEIGHTED(max)
WEIGHTED(min)
WEIGHTED(logsumexp)

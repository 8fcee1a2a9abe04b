/* Rules of ops that move elements, and of where: linear, so only the cotangents are written here. */
#include "rules.h"

static wg_id operand(const wg_sweep *s, wg_id node, int k) { return wg_in(s->t, node)[k]; }

wg_status wg_vjp_where(wg_sweep *s, wg_id node, wg_id g) {
    wg_id condition = operand(s, node, 0), zero, part;
    WG_TRY(wg_number(s->t, (wg_dtype)s->t->nodes[g].dtype, 0, false, &zero));
    for (int k = 1; k <= 2; k++) {
        wg_id x = operand(s, node, k);
        if (!wg_wants(s, x)) continue;
        WG_TRY(wg_emit3(s->t, WG_where, condition, k == 1 ? g : zero, k == 1 ? zero : g, &part));
        WG_TRY(wg_contribute_sum(s, x, part));
    }
    return WG_OK;
}

wg_status wg_vjp_copy(wg_sweep *s, wg_id node, wg_id g) { return wg_contribute(s, operand(s, node, 0), g); }

wg_status wg_vjp_cast(wg_sweep *s, wg_id node, wg_id g) {
    wg_id x = operand(s, node, 0);
    if (!wg_wants(s, x)) return WG_OK;
    if (wg_is_complex(s->t->nodes[g].dtype) && !wg_is_complex(s->t->nodes[x].dtype))
        WG_TRY(wg_emit1(s->t, WG_real, g, &g));
    WG_TRY(wg_append_flagged(s->t, WG_cast, 1, &g, 1, &(int64_t){s->t->nodes[x].dtype}, 0, &g));
    return wg_contribute(s, x, g);
}

/* Complex numbers as HIPS autograd has them: the cotangent of x + iy is that of x less i times that of y, so that a
 * function of a complex variable multiplies it by its derivative, and of reals it is real. */
wg_status wg_vjp_real(wg_sweep *s, wg_id node, wg_id g) {
    wg_id x = operand(s, node, 0);
    WG_TRY(wg_append_flagged(s->t, WG_cast, 1, &g, 1, &(int64_t){s->t->nodes[x].dtype}, 0, &g));
    return wg_contribute(s, x, g);
}

wg_status wg_vjp_imag(wg_sweep *s, wg_id node, wg_id g) {
    wg_id zero;
    WG_TRY(wg_number(s->t, (wg_dtype)s->t->nodes[g].dtype, 0, false, &zero));
    WG_TRY(wg_emit1(s->t, WG_neg, g, &g));
    WG_TRY(wg_emit2(s->t, WG_to_complex, zero, g, &g));
    return wg_contribute(s, operand(s, node, 0), g);
}

wg_status wg_vjp_conj(wg_sweep *s, wg_id node, wg_id g) {
    WG_TRY(wg_emit1(s->t, WG_conj, g, &g));
    return wg_contribute(s, operand(s, node, 0), g);
}

wg_status wg_vjp_to_complex(wg_sweep *s, wg_id node, wg_id g) {
    for (int k = 0; k < 2; k++) {
        wg_id x = operand(s, node, k), part;
        if (!wg_wants(s, x)) continue;
        WG_TRY(wg_emit1(s->t, k ? WG_imag : WG_real, g, &part));
        if (k) WG_TRY(wg_emit1(s->t, WG_neg, part, &part));
        WG_TRY(wg_contribute_sum(s, x, part));
    }
    return WG_OK;
}

wg_status wg_vjp_reshape(wg_sweep *s, wg_id node, wg_id g) {
    wg_id x = operand(s, node, 0);
    WG_TRY(wg_emit_reshape(s->t, g, s->t->nodes[x].shape, &g));
    return wg_contribute(s, x, g);
}

wg_status wg_vjp_transpose(wg_sweep *s, wg_id node, wg_id g) {
    wg_attr_copy axes = wg_copy_attrs(s->t, node), inverse = {.n = axes.n};
    for (int i = 0; i < axes.n; i++) inverse.x[axes.x[i]] = i;
    WG_TRY(wg_append_flagged(s->t, WG_transpose, 1, &g, inverse.n, inverse.x, 0, &g));
    return wg_contribute(s, operand(s, node, 0), g);
}

wg_status wg_vjp_broadcast(wg_sweep *s, wg_id node, wg_id g) { return wg_contribute_sum(s, operand(s, node, 0), g); }

wg_status wg_vjp_slice(wg_sweep *s, wg_id node, wg_id g) {
    wg_attr_copy window = wg_copy_attrs(s->t, node);
    return wg_contribute_slice(s, operand(s, node, 0), window.x, window.n, g);
}

wg_status wg_vjp_slice_add(wg_sweep *s, wg_id node, wg_id g) {
    wg_attr_copy window = wg_copy_attrs(s->t, node);
    wg_id base = operand(s, node, 0), b = operand(s, node, 1), part;
    WG_TRY(wg_contribute(s, base, g));
    if (!wg_wants(s, b)) return WG_OK;
    WG_TRY(wg_append_flagged(s->t, WG_slice, 1, &g, window.n, window.x, 0, &part));
    return wg_contribute(s, b, part);
}

/* A slice or rows that were overwritten: the base's part of g is 0 there, and b has what is there. */
wg_status wg_vjp_slice_set(wg_sweep *s, wg_id node, wg_id g) {
    wg_attr_copy window = wg_copy_attrs(s->t, node);
    wg_id base = operand(s, node, 0), b = operand(s, node, 1), part;
    if (wg_wants(s, b)) { /* first, for the other part is made in place */
        WG_TRY(wg_append_flagged(s->t, WG_slice, 1, &g, window.n, window.x, 0, &part));
        WG_TRY(wg_contribute(s, b, part));
    }
    if (!wg_wants(s, base)) return WG_OK;
    WG_TRY(wg_emit_zeros(s->t, b, &part));
    return wg_contribute_rest(s, base, node, WG_slice_set, 2, (wg_id[]){g, part}, window.n, window.x);
}

wg_status wg_vjp_concatenate(wg_sweep *s, wg_id node, wg_id g) {
    wg_attr_copy axis = wg_copy_attrs(s->t, node);
    int64_t start = 0, length;
    for (int k = 0; k < wg_n_in(s->t, node); k++, start += length) {
        wg_id x = operand(s, node, k), part;
        length = wg_shape(s->t, x)[axis.x[0]];
        if (!wg_wants(s, x)) continue;
        WG_TRY(wg_emit_part(s->t, g, axis.x[0], start, length, &part));
        WG_TRY(wg_contribute(s, x, part));
    }
    return WG_OK;
}

wg_status wg_vjp_gather(wg_sweep *s, wg_id node, wg_id g) {
    return wg_contribute_rows(s, operand(s, node, 0), operand(s, node, 1), g);
}

wg_status wg_vjp_index_add(wg_sweep *s, wg_id node, wg_id g) {
    wg_id base = operand(s, node, 0), index = operand(s, node, 1), b = operand(s, node, 2), part;
    WG_TRY(wg_contribute(s, base, g));
    if (!wg_wants(s, b)) return WG_OK;
    WG_TRY(wg_emit2(s->t, WG_gather, g, index, &part));
    return wg_contribute(s, b, part);
}

/* Only the last of several rows that went to one place has a part in the result: *out = part of it, 0 for the others.
 * The rows write their numbers 1, 2, 3, ... to n_rows places; the last ones find their own there. */
static wg_status keep_last(wg_tape *t, wg_id index, int64_t n_rows, wg_id part, wg_id *out) {
    int64_t n = wg_size(t, index), spread[WG_MAX_NDIM];
    int n_index = wg_ndim(t, index), ndim = wg_ndim(t, part);
    for (int i = 0; i < ndim; i++) spread[i] = i < n_index ? wg_shape(t, part)[i] : 1;
    uint32_t flat, places, kept;
    WG_TRY(wg_make_shape(t, WG_I64, 1, &n, &flat));
    WG_TRY(wg_make_shape(t, WG_I64, 1, &n_rows, &places));
    WG_TRY(wg_make_shape(t, WG_BOOL, ndim, spread, &kept));
    wg_id one, number, at, found, zero;
    WG_TRY(wg_number(t, WG_I64, 1, false, &one));
    WG_TRY(wg_emit_broadcast(t, one, flat, &one));
    WG_TRY(wg_append_flagged(t, WG_recurrence, 2, (wg_id[]){one, one}, 2, (int64_t[]){0, 0}, 0, &number));
    WG_TRY(wg_number(t, WG_I64, 0, false, &zero));
    WG_TRY(wg_emit_broadcast(t, zero, places, &at));
    WG_TRY(wg_emit_reshape(t, index, flat, &index));
    WG_TRY(wg_emit3(t, WG_index_set, at, index, number, &at));
    WG_TRY(wg_emit2(t, WG_gather, at, index, &found));
    WG_TRY(wg_emit2(t, WG_equal, found, number, &found));
    WG_TRY(wg_emit_reshape(t, found, kept, &found));
    WG_TRY(wg_number(t, (wg_dtype)t->nodes[part].dtype, 0, false, &zero));
    return wg_emit3(t, WG_where, found, part, zero, out);
}

wg_status wg_vjp_index_set(wg_sweep *s, wg_id node, wg_id g) {
    wg_id base = operand(s, node, 0), index = operand(s, node, 1), b = operand(s, node, 2), part;
    if (wg_wants(s, b)) { /* first, for the other part is made in place */
        WG_TRY(wg_emit2(s->t, WG_gather, g, index, &part));
        if (wg_size(s->t, index) > 1) WG_TRY(keep_last(s->t, index, wg_shape(s->t, node)[0], part, &part));
        WG_TRY(wg_contribute(s, b, part));
    }
    if (!wg_wants(s, base)) return WG_OK;
    WG_TRY(wg_emit_zeros(s->t, b, &part));
    return wg_contribute_rest(s, base, node, WG_index_set, 3, (wg_id[]){g, index, part}, 0, NULL);
}

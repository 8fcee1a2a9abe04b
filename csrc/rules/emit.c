/* What rules are written with: append one op, change a shape, undo a broadcast. */
#include <string.h>

#include "rules.h"

wg_status wg_check_like(wg_tape *t, const char *what, int k, wg_tape *from, wg_id x, const wg_tape *like, wg_id y,
                        int64_t rows) {
    char got[256], wanted[256];
    WG_TRY(wg_check_id(from, x, what));
    const wg_dtype dtype = (wg_dtype)from->nodes[x].dtype, asked = (wg_dtype)like->nodes[y].dtype;
    const int ndim = wg_ndim(from, x), n = wg_ndim(like, y), skip = rows >= 0;
    const int64_t *shape = wg_shape(from, x), *expected = wg_shape(like, y);
    if (dtype == asked && ndim == n + skip && (!skip || shape[0] == rows) &&
        (n == 0 || memcmp(shape + skip, expected, (size_t)n * sizeof *shape) == 0))
        return WG_OK;
    return wg_fail(t, WG_VALUE_ERROR, "%s %d is %s of shape %s; expected %s of shape %s%s", what, k,
                   wg_dtype_name(dtype), wg_shape_text(ndim, shape, got, sizeof got), wg_dtype_name(asked),
                   wg_shape_text(n, expected, wanted, sizeof wanted), skip ? ", one for each step" : "");
}

wg_status wg_emit1(wg_tape *t, int op, wg_id a, wg_id *out) { return wg_append_flagged(t, op, 1, &a, 0, NULL, 0, out); }

wg_status wg_emit2(wg_tape *t, int op, wg_id a, wg_id b, wg_id *out) {
    return wg_append_flagged(t, op, 2, (wg_id[]){a, b}, 0, NULL, 0, out);
}

wg_status wg_emit3(wg_tape *t, int op, wg_id a, wg_id b, wg_id c, wg_id *out) {
    return wg_append_flagged(t, op, 3, (wg_id[]){a, b, c}, 0, NULL, 0, out);
}

static wg_status to_shape(wg_tape *t, int op, wg_id a, uint32_t shape, wg_id *out) {
    if (t->nodes[a].shape == shape) return *out = a, WG_OK;
    int64_t extents[WG_MAX_NDIM];
    int ndim = wg_vec_ndim(t, shape);
    if (ndim) memcpy(extents, wg_vec(t, shape), (size_t)ndim * sizeof *extents);
    return wg_append_flagged(t, op, 1, &a, ndim, extents, 0, out);
}

wg_status wg_emit_reshape(wg_tape *t, wg_id a, uint32_t shape, wg_id *out) {
    return to_shape(t, WG_reshape, a, shape, out);
}

wg_status wg_emit_broadcast(wg_tape *t, wg_id a, uint32_t shape, wg_id *out) {
    return to_shape(t, WG_broadcast, a, shape, out);
}

wg_status wg_emit_swap(wg_tape *t, wg_id a, wg_id *out) {
    int64_t axes[WG_MAX_NDIM];
    int ndim = wg_ndim(t, a);
    for (int i = 0; i < ndim; i++) axes[i] = i < ndim - 2 ? i : 2 * ndim - 3 - i;
    return wg_append_flagged(t, WG_transpose, 1, &a, ndim, axes, 0, out);
}

wg_status wg_emit_sum(wg_tape *t, wg_id a, uint64_t axes, bool keepdims, wg_id *out) {
    return wg_append_flagged(t, WG_sum, 1, &a, 2, (int64_t[]){(int64_t)axes, keepdims}, 0, out);
}

wg_status wg_emit_zeros(wg_tape *t, wg_id like, wg_id *out) {
    const wg_node_rec node = t->nodes[like];
    WG_TRY(wg_number(t, (wg_dtype)node.dtype, 0, false, out));
    return wg_emit_broadcast(t, *out, node.shape, out);
}

bool wg_is_number(const wg_tape *t, wg_id id, double number) {
    const wg_node_rec *node = &t->nodes[id];
    if (node->op != WG_constant) return false;
    const double value = node->dtype == WG_F64 ? node->value.f64 : node->dtype == WG_F32 ? (double)node->value.f32 : -1;
    return memcmp(&value, &number, sizeof value) == 0; /* tells 0 from -0 */
}

wg_id wg_repeated_constant(const wg_tape *t, wg_id id) {
    while (t->nodes[id].op == WG_broadcast || t->nodes[id].op == WG_reshape) id = t->nodes[id].in[0];
    return t->nodes[id].op == WG_constant ? id : WG_NONE;
}

bool wg_is_zeros(const wg_tape *t, wg_id id) {
    const wg_id constant = wg_repeated_constant(t, id);
    return constant != WG_NONE && wg_is_number(t, constant, 0);
}

wg_status wg_emit_plus(wg_tape *t, wg_id a, wg_id b, wg_id *out) {
    if (a == WG_NONE || b == WG_NONE) return *out = a == WG_NONE ? b : a, WG_OK;
    return wg_emit2(t, WG_add, a, b, out);
}

int wg_along(const wg_tape *t, wg_id x, int64_t axis, int64_t start, int64_t length, int64_t *window) {
    const int ndim = wg_ndim(t, x);
    for (int i = 0; i < ndim; i++) {
        window[3 * i] = i == axis ? start : 0;
        window[3 * i + 1] = 1;
        window[3 * i + 2] = i == axis ? length : wg_shape(t, x)[i];
    }
    return 3 * ndim;
}

wg_status wg_emit_part(wg_tape *t, wg_id x, int64_t axis, int64_t start, int64_t length, wg_id *out) {
    int64_t window[3 * WG_MAX_NDIM];
    const int n = wg_along(t, x, axis, start, length, window);
    return wg_append_flagged(t, WG_slice, 1, &x, n, window, 0, out);
}

wg_status wg_unbroadcast(wg_tape *t, wg_id g, wg_id like, wg_id *out) {
    uint32_t target = t->nodes[like].shape;
    *out = g;
    if (t->nodes[g].shape == target) return WG_OK;
    int extra = wg_ndim(t, g) - wg_vec_ndim(t, target);
    const int64_t *from = wg_shape(t, g), *to = wg_vec(t, target);
    uint64_t axes = 0;
    for (int i = 0; i < wg_ndim(t, g); i++)
        if (i < extra || (to[i - extra] == 1 && from[i] != 1)) axes |= (uint64_t)1 << i;
    if (axes) WG_TRY(wg_emit_sum(t, g, axes, false, out));
    return wg_emit_reshape(t, *out, target, out);
}

wg_status wg_contribute_sum(wg_sweep *s, wg_id id, wg_id g) {
    WG_TRY(wg_unbroadcast(s->t, g, id, &g));
    return wg_contribute(s, id, g);
}

wg_attr_copy wg_copy_attrs(const wg_tape *t, wg_id id) {
    wg_attr_copy copy;
    copy.n = wg_n_attr(t, id);
    if (copy.n) memcpy(copy.x, wg_attr(t, id), (size_t)copy.n * sizeof *copy.x);
    return copy;
}

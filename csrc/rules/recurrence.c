/* The rules of y = recurrence(a, b): y = M b, where M is the inverse of the identity less a's entries below the
 * diagonal; the attribute `transposed` is M's transpose, so the adjoint of b is the op itself, turned around. */
#include "rules.h"

/* Attributes of the slice of x from `start` on, all but one element along the axis. */
static int but_one(const wg_tape *t, wg_id x, int64_t axis, int64_t start, int64_t *window) {
    return wg_along(t, x, axis, start, wg_shape(t, x)[axis] - 1, window);
}

/* x[x_start:] times y[y_start:], all but one element of each along the axis */
static wg_status products(wg_tape *t, int64_t axis, wg_id x, int64_t x_start, wg_id y, int64_t y_start, wg_id *out) {
    const int64_t n = wg_shape(t, x)[axis] - 1;
    WG_TRY(wg_emit_part(t, x, axis, x_start, n, &x));
    WG_TRY(wg_emit_part(t, y, axis, y_start, n, &y));
    return wg_emit2(t, WG_zmul, x, y, out);
}

wg_status wg_vjp_recurrence(wg_sweep *s, wg_id node, wg_id g) {
    wg_tape *t = s->t;
    wg_id a = t->nodes[node].in[0], b = t->nodes[node].in[1], part;
    wg_attr_copy attrs = wg_copy_attrs(t, node);
    int64_t axis = attrs.x[0], turned = attrs.x[1] != 0, window[3 * WG_MAX_NDIM];
    WG_TRY(wg_append_flagged(t, WG_recurrence, 2, (wg_id[]){a, g}, 2, (int64_t[]){axis, !turned}, 0, &g));
    WG_TRY(wg_contribute(s, b, g));
    if (!wg_wants(s, a) || wg_shape(t, a)[axis] < 2) return WG_OK;
    /* a[k] couples y[k-1] and y[k]: its adjoint is g[k] y[k-1], or transposed g[k-1] y[k] */
    WG_TRY(products(t, axis, g, !turned, node, turned, &part));
    int n = but_one(t, a, axis, 1, window);
    return wg_contribute_slice(s, a, window, n, part);
}

wg_status wg_jvp_recurrence(wg_sweep *s, wg_id node, const wg_id *tangents, wg_id *out) {
    wg_tape *t = s->t;
    wg_id a = t->nodes[node].in[0], part, more = tangents[1];
    wg_attr_copy attrs = wg_copy_attrs(t, node);
    int64_t axis = attrs.x[0], turned = attrs.x[1] != 0, window[3 * WG_MAX_NDIM];
    if (more == WG_NONE) WG_TRY(wg_emit_zeros(t, node, &more));
    if (tangents[0] != WG_NONE && wg_shape(t, a)[axis] >= 2) { /* da[k] y[k-1] to k, or da[k+1] y[k+1] to k */
        WG_TRY(products(t, axis, tangents[0], 1, node, turned, &part));
        int n = but_one(t, a, axis, !turned, window);
        WG_TRY(wg_append_flagged(t, WG_slice_add, 2, (wg_id[]){more, part}, n, window, 0, &more));
    }
    return wg_append_flagged(t, WG_recurrence, 2, (wg_id[]){a, more}, 2, (int64_t[]){axis, turned}, 0, out);
}

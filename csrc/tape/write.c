/* Writing in place.  A node never changes; v[i] = w appends the array with w in it, and from then on every handle to
 * the old node means the new one, and every handle to a view of it means that view of the new one.
 *
 * `moved` holds where a node was written to; a handle that is older than the last write asks wg_latest.  Views are
 * NumPy's: a node is a view of its operand where strides can express it and an array in C order is behind both, or
 * where WG_FLAG_SHARED says so, as of the parts of complex numbers.  Such a one is read by computing it again.
 *
 * Of an array with WG_FLAG_TURNED it is not known in which order NumPy has its axes in memory, so a reshape that merges
 * axes may be a view or a copy there.  Either is written to, as a copy; then the other is lost, and raises when read.
 */
#include <stdlib.h>
#include <string.h>

#include "tape.h"

enum { NEARBY = 4096 }; /* nodes among which readers are looked for before an array is written over */

typedef struct { /* a node behind the array that it is a view of: ids[0] the array, ids[n - 1] the node */
    wg_id few[16], *ids;
    uint32_t n, cap;
    bool in_order;      /* the node's elements in the array */
    bool unknown;       /* NumPy's strides of the node are */
    uint32_t undecided; /* the last place in ids[] of what may be a view or a copy; 0: none */
} wg_chain;

static void chain_free(wg_chain *c) {
    if (c->ids != c->few) free(c->ids);
}

static bool is_lost(const wg_tape *t, wg_id id) { return id < t->moved_len && t->moved[id] == WG_NONE; }

static wg_id follow(wg_tape *t, wg_id id) {
    wg_id last = id;
    while (last < t->moved_len && t->moved[last] && !is_lost(t, last)) last = t->moved[last];
    while (id != last) { /* the next one asks once */
        wg_id next = t->moved[id];
        t->moved[id] = last;
        id = next;
    }
    return last;
}

static wg_status move(wg_tape *t, wg_id from, wg_id to) {
    uint32_t known = t->moved_cap;
    if (!wg_grow(&t->moved, &t->moved_cap, (uint64_t)from + 1, sizeof *t->moved)) return wg_no_memory(t);
    memset(t->moved + known, 0, (size_t)(t->moved_cap - known) * sizeof *t->moved);
    if (from >= t->moved_len) t->moved_len = from + 1;
    t->moved[from] = to;
    return WG_OK;
}

void wg_forget_moves(wg_tape *t, wg_id len) {
    for (wg_id id = 0; id < t->moved_len; id++)
        if (id >= len || (t->moved[id] >= len && !is_lost(t, id))) t->moved[id] = 0;
    if (t->moved_len > len) t->moved_len = len;
}

static bool is_shared(const wg_tape *t, wg_id id) { return t->nodes[id].flags & WG_FLAG_SHARED; }
/* NumPy's scalars share nothing. */
static bool is_number(const wg_tape *t, wg_id id) { return wg_ndim(t, id) == 0 && !is_shared(t, id); }

static bool may_be_view(const wg_tape *t, wg_id id) {
    int op = t->nodes[id].op;
    if (op == WG_reshape || op == WG_transpose || op == WG_broadcast || op == WG_slice) return !is_number(t, id);
    return is_shared(t, id) && (op == WG_gather || op == WG_real || op == WG_imag);
}

/* The strides that NumPy would have for a view y of x; false for a copy. */
static bool strides_of(const wg_tape *t, wg_id x, wg_id y, const int64_t *strides, int64_t *out) {
    int op = t->nodes[y].op, ndim = wg_ndim(t, y);
    int64_t offset;
    if (is_number(t, x)) return false;
    if (op == WG_real || op == WG_imag) {
        for (int k = 0; k < ndim; k++) out[k] = 2 * strides[k];
    } else if (op == WG_gather) { /* windows: (count, length, ...) of (extent, ...) */
        for (int k = 0; k < ndim; k++) out[k] = strides[k ? k - 1 : 0];
    } else if (!wg_view_op(op, wg_attr(t, y), wg_ndim(t, x), wg_shape(t, x), strides, ndim, wg_shape(t, y), &offset,
                           out)) {
        /* of a diagonal, whose last axis is of two: none that could be merged */
        for (int k = 0; k < ndim; k++) out[k] = k < ndim - 1 ? strides[k] : (int64_t)1 << 40;
        return is_shared(t, y);
    }
    return true;
}

/* Whether a reshape merges no axes, whatever their order in memory, nor asks for C's. */
static bool merges_nothing(const wg_tape *t, wg_id x, wg_id y) {
    int64_t strides[WG_MAX_NDIM], out[WG_MAX_NDIM], offset;
    for (int k = 0; k < wg_ndim(t, x); k++) strides[k] = ((int64_t)1 << 40) + k; /* none that could be merged */
    return t->nodes[x].shape != t->nodes[y].shape && wg_view_op(WG_reshape, NULL, wg_ndim(t, x), wg_shape(t, x),
                                                                strides, wg_ndim(t, y), wg_shape(t, y), &offset, out);
}

/* The views between a node and its array, from the array on. */
static wg_status chain_of(wg_tape *t, wg_id id, wg_chain *c) {
    *c = (wg_chain){.ids = c->few, .cap = 16};
    for (;; id = follow(t, t->nodes[id].in[0])) {
        if (c->n == c->cap) {
            wg_id *ids = malloc((size_t)c->cap * 2 * sizeof *ids);
            if (!ids) return wg_no_memory(t);
            memcpy(ids, c->ids, c->n * sizeof *ids);
            chain_free(c);
            c->ids = ids;
            c->cap *= 2;
        }
        c->ids[c->n++] = id;
        if (!may_be_view(t, id)) break;
    }
    for (uint32_t k = 0; k < c->n / 2; k++) {
        wg_id other = c->ids[c->n - 1 - k];
        c->ids[c->n - 1 - k] = c->ids[k];
        c->ids[k] = other;
    }
    int64_t strides[WG_MAX_NDIM], next[WG_MAX_NDIM];
    uint32_t array = 0;
    wg_contiguous_strides(wg_ndim(t, c->ids[0]), wg_shape(t, c->ids[0]), strides);
    c->unknown = t->nodes[c->ids[0]].flags & WG_FLAG_TURNED;
    for (uint32_t k = 1; k < c->n; k++) {
        wg_id x = c->ids[k - 1], y = c->ids[k];
        if (c->unknown && !is_number(t, x)) {
            if (t->nodes[y].op == WG_reshape && !is_shared(t, y) && !merges_nothing(t, x, y)) c->undecided = k;
        } else if (strides_of(t, x, y, strides, next)) {
            memcpy(strides, next, sizeof strides);
        } else { /* a copy */
            array = k;
            wg_contiguous_strides(wg_ndim(t, y), wg_shape(t, y), strides);
            c->unknown = false;
        }
    }
    wg_contiguous_strides(wg_ndim(t, c->ids[c->n - 1]), wg_shape(t, c->ids[c->n - 1]), next);
    c->in_order = true;
    for (int k = 0; k < wg_ndim(t, c->ids[c->n - 1]); k++)
        if (wg_shape(t, c->ids[c->n - 1])[k] > 1 && strides[k] != next[k]) c->in_order = false;
    c->n -= array;
    memmove(c->ids, c->ids + array, c->n * sizeof *c->ids);
    return WG_OK;
}

/* Appends the view `like` of another operand. */
static wg_status view_again(wg_tape *t, wg_id like, wg_id operand, wg_id *out) {
    int64_t copy[3 * WG_MAX_NDIM];
    wg_node_rec node = t->nodes[like];
    const int n = wg_n_attr(t, like);
    if (n) memcpy(copy, wg_attr(t, like), (size_t)n * sizeof *copy);
    node.in[0] = operand;
    return wg_append_flagged(t, node.op, wg_row(node.op)->arity, node.in, n, copy, node.flags & WG_FLAG_SHARED, out);
}

static wg_status latest(wg_tape *t, wg_id id, wg_chain *c) {
    WG_TRY(chain_of(t, follow(t, id), c));
    bool lost = is_lost(t, c->ids[0]);
    for (uint32_t k = 1; k < c->n && !lost; k++) {
        wg_id view = c->ids[k];
        if (t->nodes[view].in[0] == c->ids[k - 1]) continue;
        lost = c->undecided > 0;
        if (lost) break;
        WG_TRY(view_again(t, view, c->ids[k - 1], &c->ids[k]));
        WG_TRY(move(t, view, c->ids[k]));
    }
    if (!lost) return WG_OK;
    return wg_fail(
        t, WG_VALUE_ERROR,
        "an array and a reshape or ravel of it, one of which was written to: whether they share memory in "
        "NumPy depends on the order of the array's axes in memory, which is not followed where it was made of "
        "transposed or strided ones; take the reshape of a copy, v.copy().reshape(...)");
}

wg_status wg_latest(wg_tape *t, wg_id id, wg_id *out) {
    WG_TRY(wg_check_id(t, id, "latest"));
    wg_chain c;
    wg_status status = latest(t, id, &c);
    if (status == WG_OK) *out = c.ids[c.n - 1];
    chain_free(&c);
    return status;
}

wg_status wg_in_order(wg_tape *t, wg_id id, int *out) {
    WG_TRY(wg_check_id(t, id, "in_order"));
    wg_chain c;
    wg_status status = chain_of(t, id, &c);
    if (status == WG_OK) *out = c.unknown ? -1 : c.in_order;
    chain_free(&c);
    return status;
}

/* Whether an array that a write made may be written over: nothing recorded since needs its values, neither to compute
 * nor in a rule.  Rules of linear ops read no floats. */
static bool may_write_over(const wg_tape *t, wg_id id) {
    const wg_node_rec *node = &t->nodes[id];
    if (!t->run || (node->op != WG_slice_set && node->op != WG_index_set) || t->len - id > NEARBY) return false;
    for (wg_id reader = id + 1; reader < t->len; reader++) {
        bool linear = wg_row(t->nodes[reader].op)->kind == WG_KIND_LINEAR && wg_has_adjoint(node->dtype);
        for (int k = 0; k < wg_n_in(t, reader) && !linear; k++)
            if (wg_in(t, reader)[k] == id) return false;
    }
    return true;
}

/* What the array behind a view becomes when the view becomes `value`. */
static wg_status write_back(wg_tape *t, wg_id base, wg_id view, wg_id value, wg_id *out) {
    const int64_t *attrs = wg_attr(t, view), *shape = wg_shape(t, base);
    int64_t x[3 * WG_MAX_NDIM];
    int n = wg_n_attr(t, view), ndim = wg_ndim(t, base), op = t->nodes[view].op;
    switch (op) {
    case WG_slice:
        memcpy(x, attrs, (size_t)n * sizeof *x);
        return wg_append_flagged(t, WG_slice_set, 2, (wg_id[]){base, value}, n, x, 0, out);
    case WG_reshape:
        if (ndim) memcpy(x, shape, (size_t)ndim * sizeof *x);
        return wg_append_flagged(t, WG_reshape, 1, &value, ndim, x, 0, out);
    case WG_transpose:
        for (int i = 0; i < n; i++) x[attrs[i]] = i;
        return wg_append_flagged(t, WG_transpose, 1, &value, n, x, 0, out);
    case WG_real:
    case WG_imag: {
        wg_id parts[2] = {value, value}, *other = &parts[op == WG_real];
        WG_TRY(wg_append_flagged(t, op == WG_real ? WG_imag : WG_real, 1, &base, 0, NULL, 0, other));
        return wg_append_flagged(t, WG_to_complex, 2, parts, 0, NULL, 0, out);
    }
    default:
        return wg_fail(t, WG_VALUE_ERROR,
                       "assignment destination is read-only: it repeats elements of another array (broadcast_to, "
                       "sliding_window_view), or is a diagonal, which NumPy does not let you write to either; write to "
                       "a copy, v.copy(), or to the array itself (np.fill_diagonal)");
    }
}

static wg_status write(wg_tape *t, wg_chain *c, int op, int n_in, const wg_id *in, int n_attr, const int64_t *attrs) {
    uint32_t first = c->undecided; /* a copy, as if it was one */
    wg_id view = c->ids[c->n - 1], array = c->ids[first], value = in[1];
    if (op != WG_copy) {
        wg_id operands[3] = {view, in[1], n_in > 2 ? in[2] : WG_NONE};
        int flags = c->n == first + 1 && may_write_over(t, view) ? WG_FLAG_STEAL : 0;
        WG_TRY(wg_append_flagged(t, op, n_in, operands, n_attr, attrs, flags, &value));
    }
    if (t->nodes[value].shape != t->nodes[view].shape || t->nodes[value].dtype != t->nodes[view].dtype)
        return wg_fail(t, WG_VALUE_ERROR, "write: the value has another shape or dtype than the array");
    for (uint32_t k = c->n - 1; k > first; k--) WG_TRY(write_back(t, c->ids[k - 1], c->ids[k], value, &value));
    if (may_be_view(t, value) || is_number(t, value))
        WG_TRY(wg_append_flagged(t, WG_copy, 1, &value, 0, NULL, t->nodes[array].flags & WG_FLAG_SHARED, &value));
    t->nodes[value].flags =
        (uint8_t)((t->nodes[value].flags & ~WG_FLAG_TURNED) | (t->nodes[array].flags & WG_FLAG_TURNED));
    if (first) WG_TRY(move(t, c->ids[0], WG_NONE));
    return move(t, array, value);
}

wg_status wg_share(wg_tape *t, wg_id id) {
    WG_TRY(wg_check_id(t, id, "share"));
    t->nodes[id].flags |= WG_FLAG_SHARED;
    if (t->nodes[id].op == WG_copy) t->nodes[id].flags &= (uint8_t)~WG_FLAG_TURNED;
    return WG_OK;
}

wg_status wg_write(wg_tape *t, int op, int n_in, const wg_id *in, int n_attr, const int64_t *attrs) {
    if (n_in < 2 || n_in > 3 || (op != WG_copy && op != WG_slice_set && op != WG_index_set))
        return wg_fail(t, WG_VALUE_ERROR, "write: no such way to write");
    for (int k = 0; k < n_in; k++) WG_TRY(wg_check_id(t, in[k], "write"));
    wg_chain c;
    uint32_t len = t->len;
    wg_status status = latest(t, in[0], &c);
    if (status == WG_OK) status = write(t, &c, op, n_in, in, n_attr, attrs);
    chain_free(&c);
    if (status != WG_OK) wg_tape_pop(t, len);
    return status;
}

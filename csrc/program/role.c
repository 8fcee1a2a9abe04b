/* What a node can do inside a region: a loop over blocks of rows, rows being the first axis of the values. */
#include "program.h"

/* A matrix that every block of rows reads or adds to should stay in the second-level cache beside the tiles. */
enum { SMALL_MATRIX = 1 << 16 }; /* bytes */
/* A tall matrix has at least so many times the rows that it is multiplied by, and long ones at least so many times the
 * elements of their product: threads then exchange sums of the result instead of parts of the matrix.  There are few
 * groups of rows, so a result may be larger than what all groups of a region read. */
enum { TALL = 3, LONG = 4, LARGE_MATRIX = 1 << 19 };
/* Shorter lines are not folded from one to the next outside, see reduce.c. */
enum { LEAST_DOWN = 4 };
/* Where others are added to some rows only: elements of each of those, and bytes of all rows.  Of more than stays in
 * the second-level cache, one array after the other is faster than all at once. */
enum { LEAST_SHIFTED = 64, MOST_SHIFTED = 1 << 19 };
/* So many rows of a product, at most, are one row of its region. */
enum { MOST_PARTS = 64 };

static int64_t bytes_of(const wg_tape *t, wg_id id) {
    return wg_size(t, id) * (int64_t)wg_itemsize(t->nodes[id].dtype);
}
static int64_t first_extent(const wg_tape *t, wg_id id) { return wg_ndim(t, id) ? wg_shape(t, id)[0] : 1; }

static bool fits_one_row(const wg_tape *t, wg_id id) {
    return wg_size(t, id) <= WG_ONE_ROW && wg_ndim(t, id) < WG_MAX_NDIM; /* there is an axis of rows besides */
}

static wg_role role_of_reduction(const wg_tape *t, wg_id id, int64_t *rows) {
    const wg_id x = t->nodes[id].in[0];
    const int64_t *attrs;
    wg_attrs(t, id, &attrs);
    const uint64_t mask = (uint64_t)attrs[0];
    const int ndim = wg_ndim(t, x), op = t->nodes[id].op;
    const bool same = t->nodes[x].dtype == t->nodes[id].dtype;
    if (ndim == 0 || wg_size(t, x) == 0 || t->nodes[x].dtype == WG_BOOL || !same || mask == 0) return WG_ROLE_NONE;
    const int64_t *shape = wg_shape(t, x);
    *rows = shape[0];
    const uint64_t all = ((uint64_t)1 << ndim) - 1;
    if (mask == all && op == WG_sum) return WG_ROLE_TOTAL;
    if (mask == 1 && op == WG_sum && wg_is_float(t->nodes[x].dtype)) return WG_ROLE_COLUMNS;
    uint64_t run = mask; /* of axes that go: neighbours; if the first does, all is one row */
    while (!(run & 1)) run >>= 1;
    if ((run & (run + 1)) != 0 || (mask & 1 && !fits_one_row(t, x))) return WG_ROLE_NONE;
    if (mask & 1) *rows = 1;
    const bool trails = mask >> (ndim - 1), adds = op == WG_sum && !(mask & 1);
    const bool down = op != WG_logsumexp && wg_is_float(t->nodes[x].dtype) && (adds || shape[ndim - 1] >= LEAST_DOWN);
    return trails || down ? WG_ROLE_FOLD : WG_ROLE_NONE;
}

/* The rows of a product with `extent` of them: where these are parts of the rows of what has been computed (tangents
 * are, of a batch), those rows. */
static int64_t rows_of(const wg_tape *t, const wg_window *windows, wg_id x, int64_t extent) {
    const int64_t rows = first_extent(t, windows[x].root);
    const bool parts = rows > 1 && extent % rows == 0 && extent / rows <= MOST_PARTS;
    return parts && wg_computes(t, windows, windows[x].root) ? rows : extent;
}

/* Few rows times a tall matrix by which the gradient is taken, too: a sum over the matrix' rows, so that threads read
 * those of which they compute gradient and update (docs/adr/0029-tall-matrices.md). */
static bool is_tall(const wg_tape *t, const wg_window *windows, wg_id id) {
    const wg_id a = t->nodes[id].in[0], b = t->nodes[id].in[1];
    if (windows[windows[a].root].gradient != t->nodes[b].shape) return false;
    const int64_t m = wg_shape(t, id)[0], n = wg_shape(t, id)[1], k = wg_shape(t, b)[0];
    return wg_vec(t, windows[a].strides)[1] == 1 && m > 1 && n > 1 && k >= TALL * m && bytes_of(t, b) > SMALL_MATRIX;
}

/* Many rows, transposed, times as many, as in the gradient by a layer's weights of a large batch: a sum over rows of
 * which each thread reads those that it has made (docs/adr/0031-whose-lines.md). */
static bool is_long(const wg_tape *t, const wg_window *windows, wg_id id) {
    const wg_id a = t->nodes[id].in[0], b = t->nodes[id].in[1];
    const int64_t *strides = wg_vec(t, windows[a].strides);
    return strides[0] == 1 && strides[1] != 1 && bytes_of(t, id) > SMALL_MATRIX &&
           wg_size(t, a) + wg_size(t, b) >= LONG * wg_size(t, id);
}

bool wg_shares_rows(const wg_tape *t, const wg_window *windows, wg_id id) {
    const wg_id a = t->nodes[id].in[0], b = t->nodes[id].in[1];
    if (t->nodes[id].op != WG_matmul || wg_ndim(t, a) != 2 || wg_ndim(t, b) != 2) return false;
    if (wg_vec(t, windows[b].strides)[1] != 1 || bytes_of(t, id) > LARGE_MATRIX) return false;
    return is_tall(t, windows, id) || is_long(t, windows, id);
}

static wg_role role_of_product(const wg_tape *t, const wg_window *windows, wg_id id, int64_t *rows) {
    const wg_id a = t->nodes[id].in[0], b = t->nodes[id].in[1];
    if (wg_ndim(t, a) != 2 || wg_ndim(t, b) != 2 || !wg_is_float(t->nodes[id].dtype)) return WG_ROLE_NONE;
    if (wg_size(t, a) == 0 || wg_size(t, b) == 0) return WG_ROLE_NONE;
    const int64_t *strides = wg_vec(t, windows[a].strides);
    if (wg_shares_rows(t, windows, id)) return *rows = wg_shape(t, b)[0], WG_ROLE_OUTER;
    if (strides[0] == 1 && strides[1] != 1) { /* (k, rows) (rows, n): a sum over the rows */
        *rows = rows_of(t, windows, b, wg_shape(t, b)[0]);
        return bytes_of(t, id) <= SMALL_MATRIX ? WG_ROLE_OUTER : WG_ROLE_NONE;
    }
    *rows = rows_of(t, windows, a, wg_shape(t, a)[0]);
    return bytes_of(t, b) <= SMALL_MATRIX ? WG_ROLE_PRODUCT : WG_ROLE_NONE;
}

/* False unless the slice that is changed takes all of every axis from the given one on but one, and a run of that. */
bool wg_part_of_rows(const wg_tape *t, wg_id id, int axis, wg_row_part *out) {
    const int64_t *window, *shape = wg_shape(t, id);
    int64_t inner = 1;
    wg_attrs(t, id, &window);
    *out = (wg_row_part){0};
    for (int i = wg_ndim(t, id); i-- > axis; inner *= shape[i]) {
        const int64_t start = window[3 * i], step = window[3 * i + 1], length = window[3 * i + 2];
        if (step == 1 && length == shape[i]) continue;
        if (out->step || step != 1) return false;
        *out = (wg_row_part){.offset = start * inner, .n = length * inner, .step = shape[i] * inner};
    }
    if (axis > 0 && !out->step) *out = (wg_row_part){.n = inner, .step = inner}; /* whole rows */
    return out->n > 0;
}

bool wg_changes_some_rows(const wg_tape *t, const wg_window *windows, wg_id id) {
    const int64_t *window, extent = first_extent(t, id);
    const wg_array x = wg_window_array(t, windows, t->nodes[id].in[1]);
    wg_attrs(t, id, &window);
    if (window[1] != 1 || window[2] == extent || 2 * window[2] < extent) return false;
    if (fits_one_row(t, id) || bytes_of(t, id) > MOST_SHIFTED) return false;
    return wg_array_contiguous(&x) && wg_size(t, t->nodes[id].in[1]) >= LEAST_SHIFTED * window[2];
}

static wg_role role_of_change(const wg_tape *t, const wg_window *windows, wg_id id, int64_t *rows) {
    wg_row_part part;
    const int64_t *window;
    wg_attrs(t, id, &window);
    const bool some = wg_changes_some_rows(t, windows, id), all = window[1] == 1 && window[2] == wg_shape(t, id)[0];
    *rows = all || some ? first_extent(t, id) : 1;
    const bool fits = all || some ? bytes_of(t, id) / *rows <= SMALL_MATRIX : fits_one_row(t, id);
    if (!fits || !wg_is_float(t->nodes[id].dtype)) return WG_ROLE_NONE;
    return wg_part_of_rows(t, id, some, &part) ? WG_ROLE_WINDOW : WG_ROLE_NONE;
}

/* What can be computed in its place in the result is not copied, so a concatenation of it is no part of a region. */
static wg_role role_of_concatenation(const wg_tape *t, const wg_window *windows, wg_id id, int64_t *rows) {
    const int64_t *axis, *shape = wg_shape(t, id);
    const wg_id *in;
    wg_attrs(t, id, &axis);
    for (int i = 0; i < axis[0]; i++)
        if (shape[i] != 1) return WG_ROLE_NONE;
    for (int k = 0, n = wg_operands(t, id, &in); k < n; k++) {
        const wg_id root = windows[in[k]].root;
        if (wg_computes(t, windows, root) && wg_size(t, root) <= wg_size(t, in[k])) return WG_ROLE_NONE;
    }
    *rows = 1;
    return fits_one_row(t, id) ? WG_ROLE_JOIN : WG_ROLE_NONE;
}

/* Complex numbers stay outside: no tile or sum of a region is 16 bytes wide. */
static bool touches_complex(const wg_tape *t, wg_id id) {
    const wg_id *in;
    bool touches = wg_is_complex(t->nodes[id].dtype);
    for (int k = 0, n = wg_operands(t, id, &in); k < n; k++) touches |= wg_is_complex(t->nodes[in[k]].dtype);
    return touches;
}

wg_role wg_role_of(const wg_tape *t, const wg_window *windows, wg_id id, int64_t *rows) {
    const wg_node_rec *node = &t->nodes[id];
    if (!wg_computes(t, windows, id) || wg_size(t, id) == 0 || touches_complex(t, id)) return WG_ROLE_NONE;
    if (wg_map_of(wg_kernels_table(), t, id)) return *rows = first_extent(t, id), WG_ROLE_MAP;
    switch (node->op) {
    case WG_sum:
    case WG_max:
    case WG_min:
    case WG_logsumexp: return role_of_reduction(t, id, rows);
    case WG_matmul: return role_of_product(t, windows, id, rows);
    case WG_slice_add: return role_of_change(t, windows, id, rows);
    case WG_concatenate: return role_of_concatenation(t, windows, id, rows);
    default: return WG_ROLE_NONE;
    }
}

wg_role wg_role_in(const wg_tape *t, const wg_window *windows, wg_id id, int64_t rows) {
    const wg_role role = wg_role_of(t, windows, id, &(int64_t){0});
    return rows == 1 && role == WG_ROLE_COLUMNS ? WG_ROLE_FOLD : role;
}

wg_map_fn wg_map_of(const wg_kernels *k, const wg_tape *t, wg_id id) {
    const wg_node_rec *node = &t->nodes[id];
    if (node->op == WG_cast) return k->cast[t->nodes[node->in[0]].dtype][node->dtype];
    if (!wg_is_elementwise(wg_row(node->op)->kind) && node->op != WG_where) return NULL;
    return k->map[node->op][t->nodes[node->in[node->op == WG_where]].dtype];
}

bool wg_moves_elements(const wg_tape *t, const wg_window *windows, wg_id id) {
    const int op = t->nodes[id].op;
    if (!wg_computes(t, windows, id) || wg_size(t, id) == 0 || touches_complex(t, id)) return false;
    if (op == WG_slice_add) return wg_kernels_table()->map[WG_add][t->nodes[id].dtype];
    return op == WG_slice_set || op == WG_concatenate;
}

void wg_find_escapes(const wg_program *p, const wg_window *windows, const uint32_t *range, bool *escapes) {
    const wg_tape *t = p->flat;
    for (wg_id id = 0; id < t->len; id++) {
        if (!wg_computes(t, windows, id)) continue;
        const wg_id *in;
        int n = wg_operands(t, id, &in);
        for (int k = 0; k < n; k++) {
            const wg_id root = windows[in[k]].root;
            if (t->nodes[id].op == WG_call && wg_source_of(t, windows, in[k]) != WG_NONE) continue;
            if (range[root] != range[id] || range[id] == WG_NONE) escapes[root] = true;
        }
    }
    for (uint32_t k = 0; k < t->n_outputs; k++) escapes[windows[t->outputs[k]].root] = true;
    for (wg_id id = 0; id < t->len; id++) { /* sums over rows are whole only outside */
        if (range[id] == WG_NONE || !wg_computes(t, windows, id)) continue;
        if (wg_sums_rows(wg_role_in(t, windows, id, p->ranges[range[id]].rows))) escapes[id] = true;
    }
}

bool wg_sums_rows(wg_role role) { return role == WG_ROLE_TOTAL || role == WG_ROLE_COLUMNS || role == WG_ROLE_OUTER; }

/* Does row r of the view lie in row r of its root, for all r?  A row is one index of the axis, or several. */
bool wg_row_aligned(const wg_tape *t, const wg_window *window, wg_id id, int64_t rows, int axis) {
    if (rows == 1) return true;
    const int ndim = wg_ndim(t, id);
    const int64_t *shape = wg_shape(t, id), *strides = wg_vec(t, window->strides);
    const int64_t width = wg_size(t, window->root) / rows, parts = axis < ndim ? shape[axis] / rows : 0;
    if (parts == 0 || shape[axis] % rows || first_extent(t, window->root) % rows || strides[axis] * parts != width)
        return false;
    if (parts > 1 && window->offset) return false;         /* to gather parts is not worth it */
    int64_t least = window->offset, most = window->offset; /* of the places in row 0 */
    for (int i = 0; i < ndim; i++)
        *(strides[i] < 0 ? &least : &most) += strides[i] * ((i == axis ? parts : shape[i]) - 1);
    return least >= 0 && most < width;
}

bool wg_streams(const wg_tape *t, const wg_window *windows, wg_id id, wg_role role, int operand, int64_t rows) {
    const wg_id x = t->nodes[id].in[operand];
    switch (role) {
    case WG_ROLE_MAP:
    case WG_ROLE_WINDOW:
        return rows == 1 || rows == WG_SCALARS ||
               (wg_ndim(t, x) == wg_ndim(t, id) && wg_row_aligned(t, &windows[x], x, rows, 0));
    case WG_ROLE_PRODUCT: return operand == 0 && wg_row_aligned(t, &windows[x], x, rows, 0);
    case WG_ROLE_OUTER: return wg_row_aligned(t, &windows[x], x, rows, operand == 0);
    default: return wg_row_aligned(t, &windows[x], x, rows, 0);
    }
}

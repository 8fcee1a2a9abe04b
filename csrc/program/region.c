/* Regions, made: the nodes of a range become micro-ops over slots.  Values that live only in the region are tiles, of
 * one block of rows; what is the same for all rows (a bias, a scalar, a turned weight) becomes a fill, made once. */
#include <stdlib.h>
#include <string.h>

#include "maker.h"

enum {
    CHUNK = 1024,    /* elements that a fill of a broadcast operand holds, about: 4 or 8 KB */
    WIDE = 1024,     /* bytes of a row whose tiles begin with cache lines */
    LONG_ROW = 4096, /* elements: a few tiles of such rows fill the first cache */
    MOST_PLANES = 64 /* each is read at a place of its own, as many as the processor keeps translations of */
};

/* ---- micro-ops, by role ------------------------------------------------------------------------------------ */
/* How many elements the fills of a node hold: whole rows. */
static int64_t chunk_of(const wg_maker *m, int64_t width) {
    const int64_t rows = width >= CHUNK ? 1 : CHUNK / width;
    return (rows < m->r->rows ? rows : m->r->rows) * width;
}

/* Does the node add, subtract, multiply or divide real numbers: WG_FIRST_...? */
static bool is_first(const wg_tape *t, wg_id id, int *first) {
    static const uint16_t ops[WG_FIRST_COUNT] = {WG_add, WG_sub, WG_mul, WG_div, WG_zmul};
    for (*first = 0; *first < WG_FIRST_COUNT; ++*first)
        if (t->nodes[id].op == ops[*first]) return wg_is_float(t->nodes[id].dtype);
    return false;
}

/* What the node does to its operand number k in the second half of a pair: WG_THEN_NONE if that is not among them. */
static int then_of(const wg_tape *t, wg_id id, int k) {
    static const int as_left[] = {WG_THEN_ADD, WG_THEN_SUB, WG_THEN_MUL, WG_THEN_DIV, WG_THEN_ZMUL};
    static const int as_right[] = {WG_THEN_ADD, WG_THEN_RSUB, WG_THEN_MUL, WG_THEN_RDIV, WG_THEN_ZMUL};
    int first;
    if (is_first(t, id, &first)) return (k == 0 ? as_left : as_right)[first];
    return t->nodes[id].op == WG_sqrt ? WG_THEN_ROOT : WG_THEN_NONE;
}

/* Is x node p, maybe in another shape? */
static bool is_value(const wg_maker *m, wg_id x, wg_id p) {
    return m->windows[x].root == p && wg_size(m->t, x) == wg_size(m->t, p) && wg_lies_in_order(m, x);
}

/* Which operand of `id` the last micro-op has made for it alone, so that `id` can join it; else -1. */
static int joined_operand(const wg_maker *m, wg_id id) {
    const wg_id p = m->latest, *in = m->t->nodes[id].in;
    if (p == WG_NONE || m->escapes[p] || m->last[p - m->range.lo] != id) return -1;
    if (m->t->nodes[p].dtype != m->t->nodes[id].dtype || wg_size(m->t, p) != wg_size(m->t, id)) return -1;
    const bool alone = wg_operands(m->t, id, &(const wg_id *){NULL}) == 1;
    if (!alone && m->windows[in[0]].root == m->windows[in[1]].root) return -1;
    return is_value(m, in[0], p) ? 0 : !alone && is_value(m, in[1], p) ? 1 : -1;
}

/* The micro-op reads its operand k so. */
static void set_operand(wg_micro *micro, int k, const wg_argument *argument) {
    micro->in[k] = argument->slot;
    micro->moves[k] = argument->moves;
    if (k == 3) return; /* a pair has three */
    micro->strides[k] = !argument->single;
    micro->again[k] = argument->again;
    micro->pitch[k] = argument->pitch;
    micro->offset[k] = argument->offset;
}

/* Makes a pair of the last micro-op: `id` is what it does with its result, the operand numbered k, and with the other.
 */
static wg_status make_second(wg_maker *m, wg_id id, wg_id first_node, int k, int64_t part, const wg_argument *other) {
    wg_micro *micro = &m->r->code[m->r->n_code - 1];
    int first;
    (void)is_first(m->t, first_node, &first);
    micro->pair = wg_kernels_table()->pair[first][then_of(m->t, id, k)][m->t->nodes[id].dtype];
    set_operand(micro, 2, other);
    micro->part = part;
    if (!other->moves && !other->single) micro->chunk = chunk_of(m, micro->width);
    return wg_result_slot(m, id, &micro->out);
}

/* Is operand x of `id` a bias, which a product that is the other operand can add to its rows? */
static bool is_bias(const wg_maker *m, wg_id id, wg_id x) {
    const int64_t n = width_of(m, id);
    return m->t->nodes[id].op == WG_add && n > 1 && wg_size(m->t, x) == n && wg_lies_in_order(m, x) &&
           wg_shape(m->t, x)[wg_ndim(m->t, x) - 1] == n && !is_inside(m, m->windows[x].root);
}

static wg_status add_bias(wg_maker *m, wg_id id, wg_id bias) {
    wg_micro *micro = &m->r->code[m->r->n_code - 1];
    uint32_t slot, out;
    WG_TRY(wg_slot_in_place(m, bias, 0, &slot));
    WG_TRY(wg_result_slot(m, id, &out));
    micro->in[2] = slot, micro->out = out, micro->biased = true;
    return WG_OK;
}

static wg_status make_map(wg_maker *m, wg_id id) {
    wg_tape *t = m->t;
    const wg_id latest = m->latest;
    const int op = t->nodes[id].op, joined = joined_operand(m, id);
    m->latest = WG_NONE;
    const bool after_product = joined >= 0 && t->nodes[latest].op == WG_matmul;
    if (after_product && is_bias(m, id, t->nodes[id].in[1 - joined]))
        return add_bias(m, id, t->nodes[id].in[1 - joined]);
    const int64_t width = width_of(m, id), chunk = chunk_of(m, width);
    const uint32_t n_code = m->r->n_code;
    wg_micro micro = {.op = (uint16_t)op, .role = WG_ROLE_MAP, .width = width, .out_size = (uint8_t)itemsize_of(m, id)};
    wg_argument arguments[4] = {{0}};
    const int n = wg_operands(t, id, &(const wg_id *){NULL});
    int first;
    const bool pairs = is_first(t, id, &first);
    const bool second = joined >= 0 && !after_product && then_of(t, id, joined) != WG_THEN_NONE;
    if (second) micro.part = m->r->code[n_code - 1].part;
    for (int k = 0; k < n; k++) {
        WG_TRY(wg_map_operand(m, id, t->nodes[id].in[k], chunk, pairs, &micro.part, &arguments[k]));
        if (!arguments[k].moves && !arguments[k].single) micro.chunk = chunk;
    }
    m->r->cost += (double)wg_size(t, id) * wg_element_cost(op, (wg_dtype)t->nodes[id].dtype);
    if (second && m->r->n_code == n_code)
        return make_second(m, id, latest, joined, micro.part, &arguments[n == 1 ? 0 : 1 - joined]);
    const void *given[3] = {&arguments[0], &arguments[1], &arguments[2]}, *wanted[4];
    for (int k = 0; k < 4; k++) wanted[k] = &arguments[0];
    wg_map_operands(op, n, given, wanted);
    for (int k = 0; k < 4; k++) set_operand(&micro, k, wanted[k]);
    if (!arguments[0].apart && !arguments[1].apart) micro.part = 0; /* that of a pair which did not come about */
    micro.strides[3] = true, micro.pitch[3] = width;
    micro.map = wg_map_of(wg_kernels_table(), t, id);
    if (pairs) micro.pair = wg_kernels_table()->pair[first][WG_THEN_NONE][t->nodes[id].dtype];
    if (pairs) m->latest = id;
    wg_detail detail = {.dtype = (wg_dtype)t->nodes[id].dtype};
    const int64_t *attrs;
    const int n_attr = op == WG_cast ? 0 : wg_attrs(t, id, &attrs);
    for (int i = 0; i < n_attr && i < WG_MAX_PARAMS; i++) detail.params[i] = wg_bits_double(attrs[i]);
    WG_TRY(wg_result_slot(m, id, &micro.out));
    return wg_add_micro(m, micro, n_attr ? &detail : NULL);
}

static wg_status make_reduction(wg_maker *m, wg_id id, wg_role role) {
    const wg_id x = m->t->nodes[id].in[0];
    const int op = m->t->nodes[id].op;
    wg_detail detail = {.dtype = (wg_dtype)m->t->nodes[x].dtype};
    wg_micro micro = {
        .op = (uint16_t)op, .role = (uint8_t)role, .width = role == WG_ROLE_FOLD ? width_of(m, id) : width_of(m, x)};
    detail.extent = wg_size(m->t, x) / wg_size(m->t, id);
    WG_TRY(wg_row_operand(m, x, &micro.in[0]));
    const int64_t *attrs; /* what is inside of the axes that go */
    wg_attrs(m->t, id, &attrs);
    int64_t inner = 1;
    for (int i = wg_ndim(m->t, x); i-- > 0 && !(attrs[0] >> i & 1);) inner *= wg_shape(m->t, x)[i];
    if (role == WG_ROLE_FOLD && inner > 1) /* a row of ones times the rows that are added */
        detail.gemm = (wg_gemm){.m = 1, .n = inner, .k = detail.extent, .b_row = inner, .b_col = 1, .c_row = inner};
    if (op == WG_logsumexp) WG_TRY(wg_spare_tile(m, width_of(m, x) * itemsize_of(m, x), &micro.in[1]));
    WG_TRY(role == WG_ROLE_FOLD ? wg_result_slot(m, id, &micro.out) : wg_sum_slot(m, id, &micro.out));
    m->r->cost += (double)wg_size(m->t, x) * wg_element_cost(op, detail.dtype);
    if (role == WG_ROLE_FOLD) m->r->cost += 10.0 * (double)wg_size(m->t, id);
    return wg_add_micro(m, micro, &detail);
}

/* Copies n elements of each row from those behind the first `at` of the operand to those behind `place`; in one row,
 * these need not be 0. */
static wg_status copy_run(wg_maker *m, wg_dtype dtype, const wg_argument *from, int64_t at, uint32_t to, int64_t place,
                          int64_t n) {
    const int64_t item = (int64_t)wg_itemsize(dtype);
    wg_micro copy = {.op = WG_copy, .role = WG_ROLE_MAP, .width = n, .out_size = (uint8_t)item};
    wg_argument part = *from;
    if (!n) return WG_OK;
    WG_TRY(wg_slot_behind(m, from->slot, at * item, &part.slot));
    for (int k = 0; k < 4; k++) set_operand(&copy, k, &part);
    if (!from->moves) copy.chunk = chunk_of(m, n);
    copy.map = wg_kernels_table()->cast[dtype][dtype];
    WG_TRY(wg_slot_behind(m, to, place * item, &copy.out));
    return wg_add_micro(m, copy, NULL);
}

static wg_status make_join(wg_maker *m, wg_id id) {
    const wg_id *in;
    uint32_t out;
    int64_t place = 0;
    WG_TRY(wg_result_slot(m, id, &out));
    for (int k = 0, n = wg_operands(m->t, id, &in); k < n; k++) {
        wg_argument part = {0};
        const int64_t size = wg_size(m->t, in[k]);
        if (size) WG_TRY(wg_map_operand(m, in[k], in[k], size, false, &(int64_t){0}, &part));
        WG_TRY(copy_run(m, (wg_dtype)m->t->nodes[id].dtype, &part, 0, out, place, size));
        place += size;
    }
    m->r->cost += (double)wg_size(m->t, id) * wg_element_cost(WG_copy, (wg_dtype)m->t->nodes[id].dtype);
    return WG_OK;
}

/* The node's rows with others added to a part of each: in the tile of its operand where that dies, else in a copy; of
 * one row, only what is in front of the part and behind it is copied. */
static wg_status make_change(wg_maker *m, wg_id id) {
    wg_tape *t = m->t;
    const wg_id root = m->windows[t->nodes[id].in[0]].root, x = t->nodes[id].in[1];
    const wg_id base = t->nodes[root].op == WG_constant ? root : t->nodes[id].in[0];
    const wg_dtype dtype = (wg_dtype)t->nodes[id].dtype;
    const int64_t width = width_of(m, id), chunk = chunk_of(m, width);
    int64_t unused = 0;
    wg_row_part part;
    wg_argument whole = {0}, more = {0};
    const bool some = !is_one_row(m) && wg_changes_some_rows(t, m->windows, id);
    const int64_t *window;
    wg_attrs(t, id, &window);
    wg_micro add = {
        .op = WG_slice_add, .role = WG_ROLE_MAP, .strides[3] = true, .out_size = (uint8_t)itemsize_of(m, id)};
    add.width = some ? wg_size(t, x) / window[2] : width_of(m, x);
    wg_part_of_rows(t, id, some, &part);
    WG_TRY(wg_map_operand(m, id, base, chunk, false, &unused, &whole));
    if (some) { /* an array from outside: its first row belongs to the window's first */
        more = (wg_argument){.moves = add.out_size, .pitch = add.width};
        WG_TRY(wg_slot_in_place(m, x, add.width * add.out_size, &more.slot));
        m->r->slots[more.slot].base -= window[0] * add.width * add.out_size;
        add.first = window[0], add.end = window[0] + window[2];
    } else {
        WG_TRY(wg_map_operand(m, x, x, add.width, false, &unused, &more));
    }
    WG_TRY(wg_result_slot(m, id, &add.out));
    const wg_slot *from = &m->r->slots[whole.slot], *to = &m->r->slots[add.out];
    const bool apart = is_one_row(m) && whole.moves && part.step == width; /* read where it lies */
    if (from->kind != WG_SLOT_TILE || to->kind != WG_SLOT_TILE || from->base != to->base) {
        const int64_t first = apart ? part.offset : width, behind = part.offset + part.n;
        WG_TRY(copy_run(m, dtype, &whole, 0, add.out, 0, first));
        if (apart) WG_TRY(copy_run(m, dtype, &whole, behind, add.out, behind, width - behind));
    }
    const int64_t item = itemsize_of(m, id);
    const wg_argument place = {.slot = apart ? whole.slot : add.out, .pitch = width, .offset = part.offset * item};
    for (int k = 0; k < 3; k++) set_operand(&add, k, k == 1 ? &more : &place);
    add.part = part.n;
    add.gap[0] = add.gap[3] = part.step - part.n;
    add.pitch[3] = place.pitch, add.offset[3] = place.offset;
    add.pair = wg_kernels_table()->pair[WG_FIRST_ADD][WG_THEN_NONE][dtype];
    m->r->cost += (double)wg_size(t, id) * wg_element_cost(WG_add, dtype);
    return wg_add_micro(m, add, NULL);
}

/* The left operand of a product, rows along the given axis: in place with any strides that start at its root. */
static wg_status factor(wg_maker *m, wg_id x, int axis, int64_t parts, uint32_t *slot, int64_t *row, int64_t *column) {
    const int64_t *strides = wg_vec(m->t, m->windows[x].strides);
    *row = strides[0], *column = strides[1];
    if (!is_inside(m, m->windows[x].root) || m->windows[x].offset == 0)
        return wg_slot_in_place(m, x, parts * strides[axis] * itemsize_of(m, x), slot);
    wg_reading turned; /* a slice of a value: gathered, by rows */
    const int64_t shape[2] = {wg_shape(m->t, x)[axis], wg_shape(m->t, x)[1 - axis]};
    const int64_t by_rows[2] = {strides[axis], strides[1 - axis]};
    turned.shape = wg_intern(&m->t->vectors, 2, shape);
    turned.strides = wg_intern(&m->t->vectors, 2, by_rows);
    if (turned.shape == WG_NONE || turned.strides == WG_NONE) return wg_no_memory(m->t);
    turned.offset = m->windows[x].offset;
    wg_micro micro = {.gathers = true, .width = shape[1], .in = {m->slot[m->windows[x].root - m->range.lo]}};
    WG_TRY(wg_spare_tile(m, shape[1] * itemsize_of(m, x), &micro.out));
    *slot = micro.out;
    *row = axis == 0 ? shape[1] : 1, *column = axis == 0 ? 1 : shape[1];
    return wg_add_micro(m, micro, &(wg_detail){.dtype = (wg_dtype)m->t->nodes[x].dtype, .reading = turned});
}

static wg_status make_product(wg_maker *m, wg_id id, wg_role role) {
    wg_tape *t = m->t;
    const wg_id a = t->nodes[id].in[0], b = t->nodes[id].in[1];
    wg_detail detail = {.dtype = (wg_dtype)t->nodes[id].dtype};
    wg_gemm *g = &detail.gemm;
    wg_micro micro = {.op = WG_matmul, .role = (uint8_t)role};
    g->n = wg_shape(t, id)[1];
    g->m = wg_shape(t, a)[0], g->k = wg_shape(t, a)[1]; /* one of them the rows, set for each block */
    g->c_row = g->n;
    detail.extent = (role == WG_ROLE_OUTER ? g->k : g->m) / m->r->rows;
    micro.width = detail.extent * g->n;
    m->multiplies = true, m->shared |= wg_shares_rows(t, m->windows, id);
    m->r->cost += wg_product_cost((double)g->m * (double)g->n * (double)g->k, detail.dtype);
    WG_TRY(factor(m, a, role == WG_ROLE_OUTER, detail.extent, &micro.in[0], &g->a_row, &g->a_col));
    if (role == WG_ROLE_OUTER) {
        WG_TRY(factor(m, b, 0, detail.extent, &micro.in[1], &g->b_row, &g->b_col));
        WG_TRY(wg_sum_slot(m, id, &micro.out));
        return wg_add_micro(m, micro, &detail);
    }
    const int64_t *strides = wg_vec(t, m->windows[b].strides);
    g->b_row = strides[0], g->b_col = strides[1];
    if (g->b_col == 1) {
        WG_TRY(wg_slot_in_place(m, b, 0, &micro.in[1]));
    } else { /* turned once, so that every block reads rows of vectors */
        wg_reading turned = {.shape = t->nodes[b].shape, .strides = m->windows[b].strides};
        g->b_row = g->n, g->b_col = 1;
        WG_TRY(wg_new_fill(m, b, turned, &micro.in[1]));
    }
    WG_TRY(wg_result_slot(m, id, &micro.out));
    m->latest = id;
    return wg_add_micro(m, micro, &detail);
}

wg_status wg_note_op(wg_maker *m, wg_id id) {
    wg_region *r = m->r;
    if (!wg_grow(&r->ops, &r->cap_ops, (uint64_t)r->n_ops + 1, sizeof *r->ops)) return wg_no_memory(m->t);
    r->ops[r->n_ops++] = m->t->nodes[id].op;
    r->flops += wg_flops(m->t, id);
    return WG_OK;
}

/* The tiles of what `id` is the last to read. */
static wg_status drop_operands(wg_maker *m, wg_id id) {
    const wg_id *in;
    int n = wg_operands(m->t, id, &in);
    for (int k = 0; k < n; k++) {
        const wg_id root = m->windows[in[k]].root;
        if (!is_inside(m, root) || m->last[root - m->range.lo] != id) continue;
        m->last[root - m->range.lo] = WG_NONE;
        WG_TRY(wg_drop_tile(m, m->slot[root - m->range.lo]));
    }
    return WG_OK;
}

/* Makes the node, or a chain that begins with it; *end: what comes next. */
static wg_status make_node(wg_maker *m, wg_id id, wg_id *end) {
    const wg_role role = wg_role_in(m->t, m->windows, id, m->range.rows);
    WG_TRY(wg_note_op(m, id));
    m->n_spare = 0;
    *end = id;
    if (role == WG_ROLE_MAP) WG_TRY(wg_make_chain(m, id, end));
    if (role != WG_ROLE_MAP || *end > id) m->latest = WG_NONE;
    if (*end > id) {
        for (; id < *end; id++)
            if (wg_computes(m->t, m->windows, id)) WG_TRY(drop_operands(m, id));
        return WG_OK;
    }
    *end = id + 1;
    switch (role) {
    case WG_ROLE_NONE:
        return wg_fail(m->t, WG_RUNTIME_ERROR, "region: %s has no part in it", wg_row(m->t->nodes[id].op)->name);
    case WG_ROLE_MAP: WG_TRY(make_map(m, id)); break;
    case WG_ROLE_WINDOW: WG_TRY(make_change(m, id)); break;
    case WG_ROLE_JOIN: WG_TRY(make_join(m, id)); break;
    case WG_ROLE_PRODUCT:
    case WG_ROLE_OUTER: WG_TRY(make_product(m, id, role)); break;
    case WG_ROLE_FOLD:
    case WG_ROLE_TOTAL:
    case WG_ROLE_COLUMNS: WG_TRY(make_reduction(m, id, role)); break;
    }
    WG_TRY(drop_operands(m, id));
    while (m->n_spare) WG_TRY(wg_drop_tile(m, m->spare[--m->n_spare]));
    return WG_OK;
}

/* ---- in all ------------------------------------------------------------------------------------------------ */
/* Can every element be a row of its own?  Then blocks are of any length, whatever the shape.  Rows that are longer than
 * a block may be planes of such rows: a block of elements is then computed in all of them before the next, so that what
 * they share is read once.  Returns how many planes there are, or 0. */
static int64_t planes_of(const wg_maker *m) {
    int64_t size = 0, rows, pitch;
    bool whole = true;
    for (wg_id id = m->range.lo; id < m->range.hi; id++) {
        if (!wg_computes(m->t, m->windows, id)) continue;
        const wg_role role = wg_role_of(m->t, m->windows, id, &rows);
        const wg_id like = role == WG_ROLE_TOTAL ? m->t->nodes[id].in[0] : id;
        if (role != WG_ROLE_MAP && role != WG_ROLE_TOTAL) return 0;
        if (size == 0) size = wg_size(m->t, like);
        if (size != wg_size(m->t, like)) return 0;
        const wg_id *in;
        int n = wg_operands(m->t, id, &in);
        for (int k = 0; k < n; k++) {
            const bool single = wg_size(m->t, in[k]) == 1 && !is_inside(m, m->windows[in[k]].root);
            if (single || (wg_size(m->t, in[k]) == size && wg_lies_in_order(m, in[k]))) continue;
            if (role == WG_ROLE_TOTAL || !wg_planes_lie_in_order(m, id, in[k], &pitch)) return 0;
            whole = false;
        }
    }
    if (whole) return 1;
    const int64_t planes = m->range.rows;
    return planes > 1 && planes <= MOST_PLANES && size / planes >= LONG_ROW ? planes : 0;
}

static wg_status make_fixed(wg_maker *m) {
    wg_region *r = m->r;
    if (!r->fixed_bytes) return WG_OK;
    r->fixed = r->fixed_bytes < PTRDIFF_MAX ? aligned_alloc(64, r->fixed_bytes) : NULL;
    if (!r->fixed) return wg_no_memory(m->t);
    for (uint32_t k = 0; k < r->n_fills; k++) {
        if (r->slots[r->fills[k].slot].kind != WG_SLOT_FIXED) continue;
        wg_node_rec constant = m->t->nodes[m->windows[m->face->operands[r->fills[k].array]].root];
        const wg_array x = {.data = (char *)&constant.value, .dtype = (wg_dtype)constant.dtype};
        wg_make_fill(r, &r->fills[k], x, r->fixed);
    }
    return WG_OK;
}

static wg_status make_region(wg_maker *m) {
    const size_t n = m->range.hi - m->range.lo;
    m->slot = malloc(n * sizeof *m->slot);
    m->last = malloc(n * sizeof *m->last);
    if (!m->slot || !m->last) return wg_no_memory(m->t);
    memset(m->last, 0xff, n * sizeof *m->last);
    const bool scalars = m->range.rows == WG_SCALARS;
    const int64_t planes = scalars ? 0 : planes_of(m);
    m->flat = planes > 0;
    m->r->planes = m->flat ? planes : 1;
    m->latest = WG_NONE;
    m->r->t = m->t;
    m->r->rows = m->range.rows;
    for (wg_id id = m->range.lo; id < m->range.hi; id++) {
        if (!wg_computes(m->t, m->windows, id)) continue;
        if (m->flat) m->r->rows = wg_size(m->t, wg_size(m->t, id) == 1 ? m->t->nodes[id].in[0] : id) / planes;
        m->wide |= width_of(m, id) * itemsize_of(m, id) >= WIDE;
        const wg_id *in;
        int n_in = wg_operands(m->t, id, &in);
        for (int k = 0; k < n_in; k++) {
            const wg_id root = m->windows[in[k]].root;
            if (is_inside(m, root)) m->last[root - m->range.lo] = id;
        }
    }
    if (scalars) return wg_make_scalars(m);
    for (wg_id id = m->range.lo, next; id < m->range.hi; id = next) {
        next = id + 1;
        if (wg_computes(m->t, m->windows, id)) WG_TRY(make_node(m, id, &next));
    }
    wg_choose_blocks(m->r, m->tiles.size, m->flat, m->multiplies, m->shared);
    for (uint32_t k = 0; k < m->r->n_slots; k++)
        if (m->r->slots[k].result) m->r->slots[k].array += m->face->n_operands;
    return make_fixed(m);
}

wg_status wg_region_new(wg_program *p, const wg_window *windows, const bool *escapes, wg_range range, wg_region **out,
                        wg_interface *face) {
    wg_maker m = {.t = p->flat, .windows = windows, .escapes = escapes, .range = range, .face = face};
    m.r = *out = calloc(1, sizeof *m.r);
    if (m.r && range.rows == WG_LOOPS) {
        WG_TRY(wg_loop_plan_new(p, windows, escapes, range, &m.r->loop, face));
        return m.r->cost = wg_loop_cost(m.r->loop), WG_OK;
    }
    wg_status status = m.r ? make_region(&m) : wg_no_memory(m.t);
    free(m.slot);
    free(m.elements);
    free(m.last);
    free(m.tiles.gaps);
    return status;
}

void wg_region_free(wg_region *r) {
    if (!r) return;
    wg_loop_plan_free(r->loop);
    wg_scalars_free(r->scalars);
    free(r->code);
    free(r->details);
    free(r->slots);
    free(r->fills);
    free(r->fixed);
    free(r->sums);
    free(r->ops);
    free(r);
}

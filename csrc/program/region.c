/* Regions, made: the nodes of a range become micro-ops over slots.  Values that only the region reads live in tiles, of
 * one block of rows; what is the same for all rows (a bias, a scalar, a turned weight) becomes a fill, made once. */
#include <stdlib.h>
#include <string.h>

#include "program.h"

enum {
    CHUNK = 1024, /* elements that a fill of a broadcast operand holds, about: 4 or 8 KB */
    VECTOR = 64,  /* bytes of the widest vector: what a pair reads of a single number */
    FEW = 8
};

typedef struct {
    wg_tape *t;
    const wg_window *windows;
    const bool *escapes;
    wg_range range;
    wg_region *r;
    wg_interface *face;
    uint32_t *slot;      /* by node - lo: where its value is */
    wg_id *last;         /* by node - lo: its last reader in the region */
    wg_arena tiles;      /* in bytes for each row */
    bool flat;           /* every element is a row */
    bool multiplies;     /* there are products */
    wg_id paired;        /* what the last micro-op makes, if it may become the first half of a pair */
    uint32_t spare[FEW]; /* tiles that only the micro-op in the making needs */
    int n_spare;
} wg_maker;

static bool is_inside(const wg_maker *m, wg_id root) { return root >= m->range.lo && root < m->range.hi; }
static int64_t itemsize_of(const wg_maker *m, wg_id id) { return (int64_t)wg_itemsize(m->t->nodes[id].dtype); }
static int64_t width_of(const wg_maker *m, wg_id id) { return m->flat ? 1 : wg_size(m->t, id) / m->r->rows; }

/* ---- slots ------------------------------------------------------------------------------------------------- */
static wg_status new_slot(wg_maker *m, wg_slot slot, uint32_t *out) {
    wg_region *r = m->r;
    if (!wg_grow(&r->slots, &r->cap_slots, (uint64_t)r->n_slots + 1, sizeof *r->slots)) return wg_no_memory(m->t);
    r->slots[r->n_slots] = slot;
    return *out = r->n_slots++, WG_OK;
}

static wg_status new_tile(wg_maker *m, int64_t bytes, uint32_t *out) {
    size_t base, size = (size_t)(m->flat ? bytes : (bytes + 7) / 8 * 8);
    if (!wg_arena_take(&m->tiles, size, &base)) return wg_no_memory(m->t);
    return new_slot(m, (wg_slot){.kind = WG_SLOT_TILE, .base = (int64_t)base, .per_row = (int64_t)size}, out);
}

static wg_status spare_tile(wg_maker *m, int64_t bytes, uint32_t *out) {
    WG_TRY(new_tile(m, bytes, out));
    m->spare[m->n_spare++] = *out;
    return WG_OK;
}

static wg_status drop_tile(wg_maker *m, uint32_t slot) {
    const wg_slot *s = &m->r->slots[slot];
    if (s->kind != WG_SLOT_TILE) return WG_OK;
    return wg_arena_give(&m->tiles, (size_t)s->base, (size_t)s->per_row) ? WG_OK : wg_no_memory(m->t);
}

static wg_status operand_number(wg_maker *m, wg_id id, uint32_t *out) {
    wg_interface *face = m->face;
    for (uint32_t k = face->n_operands; k-- > 0 && face->n_operands - k <= 64;) /* most are near */
        if (face->operands[k] == id) return *out = k, WG_OK;
    if (!wg_grow(&face->operands, &face->cap_operands, (uint64_t)face->n_operands + 1, sizeof *face->operands))
        return wg_no_memory(m->t);
    face->operands[face->n_operands] = id;
    return *out = face->n_operands++, WG_OK;
}

static wg_status result_number(wg_maker *m, wg_id id, uint32_t *out) {
    wg_interface *face = m->face;
    if (!wg_grow(&face->results, &face->cap_results, (uint64_t)face->n_results + 1, sizeof *face->results))
        return wg_no_memory(m->t);
    face->results[face->n_results] = id;
    return *out = face->n_results++, WG_OK;
}

/* ---- reading operands -------------------------------------------------------------------------------------- */
/* Node `id` read as an array of the given shape: missing and repeated axes have stride 0. */
static wg_status reading_as(wg_maker *m, wg_id id, int ndim, const int64_t *shape, wg_reading *out) {
    int64_t extents[WG_MAX_NDIM], strides[WG_MAX_NDIM];
    const int own = wg_ndim(m->t, id);
    for (int i = 0; i < ndim; i++) {
        const int k = i - (ndim - own);
        extents[i] = shape[i];
        strides[i] = k < 0 || wg_shape(m->t, id)[k] == 1 ? 0 : wg_vec(m->t, m->windows[id].strides)[k];
    }
    out->shape = wg_intern(&m->t->vectors, ndim, extents);
    out->strides = wg_intern(&m->t->vectors, ndim, strides);
    return out->shape == WG_NONE || out->strides == WG_NONE ? wg_no_memory(m->t) : WG_OK;
}

/* Made once, before the first block. */
static wg_status new_fill(wg_maker *m, wg_id id, wg_reading reading, uint32_t *out) {
    wg_region *r = m->r;
    WG_TRY(operand_number(m, id, &reading.array));
    for (uint32_t k = 0; k < r->n_fills; k++) {
        const wg_reading *old = &r->fills[k];
        if (old->array == reading.array && old->shape == reading.shape && old->strides == reading.strides)
            return *out = old->slot, WG_OK;
    }
    if (!wg_grow(&r->fills, &r->cap_fills, (uint64_t)r->n_fills + 1, sizeof *r->fills)) return wg_no_memory(m->t);
    WG_TRY(new_slot(m, (wg_slot){.kind = WG_SLOT_FILL, .base = (int64_t)r->fill_bytes}, out));
    r->fill_bytes += wg_round_up((size_t)(wg_vec_size(m->t, reading.shape) * itemsize_of(m, id)));
    reading.slot = *out;
    r->fills[r->n_fills++] = reading;
    return WG_OK;
}

static wg_status add_micro(wg_maker *m, wg_micro micro, const wg_detail *detail) {
    wg_region *r = m->r;
    if (detail) {
        if (!wg_grow(&r->details, &r->cap_details, (uint64_t)r->n_details + 1, sizeof *r->details))
            return wg_no_memory(m->t);
        r->details[micro.detail = r->n_details++] = *detail;
    }
    if (!wg_grow(&r->code, &r->cap_code, (uint64_t)r->n_code + 1, sizeof *r->code)) return wg_no_memory(m->t);
    r->code[r->n_code++] = micro;
    return WG_OK;
}

/* The memory of `id` as it stands, moving on by per_row bytes; inside the region it is the root's. */
static wg_status slot_in_place(wg_maker *m, wg_id id, int64_t per_row, uint32_t *out) {
    const wg_id root = m->windows[id].root;
    if (is_inside(m, root)) return *out = m->slot[root - m->range.lo], WG_OK;
    wg_slot slot = {.kind = WG_SLOT_ARRAY, .per_row = per_row};
    WG_TRY(operand_number(m, id, &slot.array));
    return new_slot(m, slot, out);
}

/* `id` gathered block by block into a tile of contiguous rows of the given shape. */
static wg_status gather_rows(wg_maker *m, wg_id id, int ndim, const int64_t *shape, uint32_t *out) {
    wg_detail detail = {.dtype = (wg_dtype)m->t->nodes[id].dtype};
    wg_micro micro = {.gathers = true, .width = 1};
    for (int i = 1; i < ndim; i++) micro.width *= shape[i];
    WG_TRY(reading_as(m, id, ndim, shape, &detail.reading));
    const int64_t step = ndim ? wg_vec(m->t, detail.reading.strides)[0] * itemsize_of(m, id) : 0;
    WG_TRY(slot_in_place(m, id, step, &micro.in[0]));
    if (is_inside(m, m->windows[id].root)) detail.reading.offset = m->windows[id].offset;
    WG_TRY(spare_tile(m, micro.width * itemsize_of(m, id), &micro.out));
    *out = micro.out;
    return add_micro(m, micro, &detail);
}

/* Does `id` lie in contiguous rows that start where its array, or its root's tile, does? */
static bool in_order(const wg_maker *m, wg_id id) {
    const wg_array x = wg_window_array(m->t, m->windows, id);
    return wg_array_contiguous(&x) && (!is_inside(m, m->windows[id].root) || m->windows[id].offset == 0);
}

/* Does `id` go on, row by row, as a value of `ndim` axes does?  Else it is the same for all rows. */
static bool goes_by_rows(const wg_maker *m, wg_id id, int ndim) {
    if (m->r->rows == 1) return is_inside(m, m->windows[id].root);
    return wg_ndim(m->t, id) == ndim && wg_shape(m->t, id)[0] == m->r->rows;
}

typedef struct { /* an operand of an elementwise micro-op */
    uint32_t slot;
    uint8_t moves; /* bytes with each element; 0: a fill */
    bool single;   /* a fill of one vector, all its elements the same: for pairs */
} wg_argument;

static wg_status map_operand(wg_maker *m, wg_id id, wg_id x, int64_t chunk, bool pairs, wg_argument *out) {
    wg_tape *t = m->t;
    const int ndim = wg_ndim(t, id);
    const int64_t width = width_of(m, id);
    out->moves = (uint8_t)itemsize_of(m, x);
    if (wg_size(t, x) == wg_size(t, id) && in_order(m, x))
        return slot_in_place(m, x, width * itemsize_of(m, x), &out->slot);
    int64_t shape[WG_MAX_NDIM];
    if (ndim) memcpy(shape, wg_shape(t, id), (size_t)ndim * sizeof *shape);
    if (goes_by_rows(m, x, ndim)) return gather_rows(m, x, ndim, shape, &out->slot);
    wg_reading reading = {0};
    out->moves = 0;
    if (wg_size(t, x) == 1) {
        out->single = pairs;
        if (pairs) chunk = VECTOR / itemsize_of(m, x);
        WG_TRY(reading_as(m, x, 1, &chunk, &reading));
        reading.strides = wg_intern(&t->vectors, 1, &(int64_t){0});
        if (reading.strides == WG_NONE) return wg_no_memory(t);
    } else {
        shape[0] = chunk / width;
        WG_TRY(reading_as(m, x, ndim, shape, &reading));
    }
    return new_fill(m, x, reading, &out->slot);
}

/* The operand of a reduction: contiguous rows. */
static wg_status row_operand(wg_maker *m, wg_id x, uint32_t *out) {
    if (in_order(m, x)) return slot_in_place(m, x, width_of(m, x) * itemsize_of(m, x), out);
    int64_t shape[WG_MAX_NDIM];
    memcpy(shape, wg_shape(m->t, x), (size_t)wg_ndim(m->t, x) * sizeof *shape);
    return gather_rows(m, x, wg_ndim(m->t, x), shape, out);
}

/* ---- results ----------------------------------------------------------------------------------------------- */
/* A tile that dies with this elementwise node and that its result may take over. */
static uint32_t heir_of(const wg_maker *m, wg_id id) {
    const wg_id *in;
    int n = wg_operands(m->t, id, &in);
    for (int k = 0; k < n; k++) {
        const wg_id root = m->windows[in[k]].root;
        if (!is_inside(m, root) || m->last[root - m->range.lo] != id || !in_order(m, in[k])) continue;
        const uint32_t slot = m->slot[root - m->range.lo];
        bool alone = m->r->slots[slot].kind == WG_SLOT_TILE && itemsize_of(m, root) == itemsize_of(m, id) &&
                     wg_size(m->t, root) == wg_size(m->t, id) && wg_size(m->t, in[k]) == wg_size(m->t, id);
        for (int j = 0; j < n && alone; j++) /* another view of it is read in another order */
            alone = m->windows[in[j]].root != root || (in_order(m, in[j]) && wg_size(m->t, in[j]) == wg_size(m->t, id));
        if (alone) return root;
    }
    return WG_NONE;
}

/* Where the node's rows go: to the step's array if anybody outside reads them, else to a tile. */
static wg_status result_slot(wg_maker *m, wg_id id, uint32_t *out) {
    const int64_t bytes = width_of(m, id) * itemsize_of(m, id);
    const bool takes_over = !m->escapes[id] && wg_map_of(wg_kernels_table(), m->t, id);
    const wg_id heir = takes_over ? heir_of(m, id) : WG_NONE;
    uint32_t *own = &m->slot[id - m->range.lo];
    if (m->escapes[id]) {
        wg_slot slot = {.kind = WG_SLOT_ARRAY, .result = true, .per_row = bytes};
        WG_TRY(result_number(m, id, &slot.array));
        WG_TRY(new_slot(m, slot, own));
    } else if (heir != WG_NONE) {
        WG_TRY(new_slot(m, m->r->slots[m->slot[heir - m->range.lo]], own));
        m->last[heir - m->range.lo] = WG_NONE; /* not to be given back */
    } else {
        WG_TRY(new_tile(m, bytes, own));
    }
    return *out = *own, WG_OK;
}

static wg_status sum_slot(wg_maker *m, wg_id id, uint32_t *out) {
    wg_region *r = m->r;
    wg_slot slot = {.kind = WG_SLOT_SUM, .result = true, .base = (int64_t)r->sum_bytes};
    WG_TRY(result_number(m, id, &slot.array));
    WG_TRY(new_slot(m, slot, out));
    m->slot[id - m->range.lo] = *out;
    r->sum_bytes += wg_round_up((size_t)(wg_size(m->t, id) * itemsize_of(m, id)));
    if (!wg_grow(&r->sums, &r->cap_sums, (uint64_t)r->n_sums + 1, sizeof *r->sums)) return wg_no_memory(m->t);
    const wg_map_fn add = wg_kernels_table()->map[WG_add][m->t->nodes[id].dtype];
    r->sums[r->n_sums++] = (wg_sum){*out, wg_size(m->t, id), add};
    return WG_OK;
}

/* ---- micro-ops, by role ------------------------------------------------------------------------------------ */
static double map_cost(const wg_tape *t, wg_id id) { /* nanoseconds an element, about, in the cache */
    const int op = t->nodes[id].op, base = wg_row(op)->kind == WG_KIND_DERIVATIVE ? wg_row(op)->base : op;
    const bool quick = base == WG_add || base == WG_sub || base == WG_mul || base == WG_neg || base == WG_where ||
                       base == WG_square || base == WG_relu || base == WG_maximum || base == WG_cast;
    return (quick ? 0.02 : 0.12) * (double)wg_itemsize(t->nodes[id].dtype);
}

/* How many elements the fills of a node hold: whole rows. */
static int64_t chunk_of(const wg_maker *m, int64_t width) {
    const int64_t rows = width >= CHUNK ? 1 : CHUNK / width;
    return (rows < m->r->rows ? rows : m->r->rows) * width;
}

/* Does the node add, subtract, multiply or divide real numbers: WG_FIRST_...? */
static bool is_first(const wg_tape *t, wg_id id, int *first) {
    static const uint16_t ops[WG_FIRST_COUNT] = {WG_add, WG_sub, WG_mul, WG_div};
    for (*first = 0; *first < WG_FIRST_COUNT; ++*first)
        if (t->nodes[id].op == ops[*first]) return wg_is_float(t->nodes[id].dtype);
    return false;
}

/* What the node does to its operand number k in the second half of a pair: WG_THEN_NONE if that is not among them. */
static int then_of(const wg_tape *t, wg_id id, int k) {
    static const int as_left[] = {WG_THEN_ADD, WG_THEN_SUB, WG_THEN_MUL, WG_THEN_DIV};
    static const int as_right[] = {WG_THEN_ADD, WG_THEN_RSUB, WG_THEN_MUL, WG_THEN_RDIV};
    int first;
    if (is_first(t, id, &first)) return (k == 0 ? as_left : as_right)[first];
    return t->nodes[id].op == WG_sqrt ? WG_THEN_ROOT : WG_THEN_NONE;
}

/* Which operand of `id` the last micro-op has made for it alone, so that `id` can be its second half; else -1. */
static int paired_operand(const wg_maker *m, wg_id id) {
    const wg_id p = m->paired, *in = m->t->nodes[id].in;
    if (p == WG_NONE || m->escapes[p] || m->last[p - m->range.lo] != id) return -1;
    if (m->t->nodes[p].dtype != m->t->nodes[id].dtype || wg_size(m->t, p) != wg_size(m->t, id)) return -1;
    const bool alone = wg_operands(m->t, id, &(const wg_id *){NULL}) == 1;
    if (!alone && m->windows[in[0]].root == m->windows[in[1]].root) return -1;
    const int k = in[0] == p ? 0 : !alone && in[1] == p ? 1 : -1;
    return k < 0 || then_of(m->t, id, k) == WG_THEN_NONE ? -1 : k;
}

/* Makes the last micro-op a pair: `id` is what it does with its result, the operand numbered k, and with the other. */
static wg_status make_second(wg_maker *m, wg_id id, int k, const wg_argument *other) {
    wg_micro *micro = &m->r->code[m->r->n_code - 1];
    int first;
    (void)is_first(m->t, m->paired, &first);
    micro->pair = wg_kernels_table()->pair[first][then_of(m->t, id, k)][m->t->nodes[id].dtype];
    micro->in[2] = other->slot;
    micro->moves[2] = other->moves;
    micro->strides[2] = !other->single;
    if (!other->moves && !other->single) micro->chunk = chunk_of(m, micro->width);
    m->paired = WG_NONE;
    return result_slot(m, id, &micro->out);
}

static wg_status make_map(wg_maker *m, wg_id id) {
    wg_tape *t = m->t;
    const int op = t->nodes[id].op, second = paired_operand(m, id);
    const int64_t width = width_of(m, id), chunk = chunk_of(m, width);
    const uint32_t n_code = m->r->n_code;
    wg_micro micro = {.op = (uint16_t)op, .role = WG_ROLE_MAP, .width = width, .out_size = (uint8_t)itemsize_of(m, id)};
    wg_argument arguments[4] = {{0}};
    const int n = wg_operands(t, id, &(const wg_id *){NULL});
    int first;
    const bool pairs = is_first(t, id, &first);
    for (int k = 0; k < n; k++) {
        WG_TRY(map_operand(m, id, t->nodes[id].in[k], chunk, pairs, &arguments[k]));
        if (!arguments[k].moves && !arguments[k].single) micro.chunk = chunk;
    }
    m->r->cost += (double)wg_size(t, id) * map_cost(t, id);
    if (second >= 0 && m->r->n_code == n_code) return make_second(m, id, second, &arguments[n == 1 ? 0 : 1 - second]);
    const void *given[3] = {&arguments[0], &arguments[1], &arguments[2]}, *wanted[4];
    for (int k = 0; k < 4; k++) wanted[k] = &arguments[0];
    wg_map_operands(op, n, given, wanted);
    for (int k = 0; k < 4; k++) {
        const wg_argument *argument = wanted[k];
        micro.in[k] = argument->slot;
        micro.moves[k] = argument->moves;
        micro.strides[k] = !argument->single;
    }
    micro.map = wg_map_of(wg_kernels_table(), t, id);
    if (pairs) micro.pair = wg_kernels_table()->pair[first][WG_THEN_NONE][t->nodes[id].dtype];
    m->paired = pairs ? id : WG_NONE;
    wg_detail detail = {.dtype = (wg_dtype)t->nodes[id].dtype};
    const int64_t *attrs;
    const int n_attr = op == WG_cast ? 0 : wg_attrs(t, id, &attrs);
    for (int i = 0; i < n_attr && i < WG_MAX_PARAMS; i++) detail.params[i] = wg_bits_double(attrs[i]);
    WG_TRY(result_slot(m, id, &micro.out));
    return add_micro(m, micro, n_attr ? &detail : NULL);
}

static wg_status make_reduction(wg_maker *m, wg_id id, wg_role role) {
    const wg_id x = m->t->nodes[id].in[0];
    const int op = m->t->nodes[id].op;
    wg_detail detail = {.dtype = (wg_dtype)m->t->nodes[x].dtype};
    wg_micro micro = {
        .op = (uint16_t)op, .role = (uint8_t)role, .width = role == WG_ROLE_FOLD ? width_of(m, id) : width_of(m, x)};
    detail.extent = wg_size(m->t, x) / wg_size(m->t, id);
    WG_TRY(row_operand(m, x, &micro.in[0]));
    if (op == WG_logsumexp) WG_TRY(spare_tile(m, width_of(m, x) * itemsize_of(m, x), &micro.in[1]));
    WG_TRY(role == WG_ROLE_FOLD ? result_slot(m, id, &micro.out) : sum_slot(m, id, &micro.out));
    m->r->cost += (double)wg_size(m->t, x) * (op == WG_logsumexp ? 1.0 : 0.1);
    if (role == WG_ROLE_FOLD) m->r->cost += 10.0 * (double)wg_size(m->t, id);
    return add_micro(m, micro, &detail);
}

/* The left operand of a product, rows along the given axis: in place with any strides that start at its root. */
static wg_status factor(wg_maker *m, wg_id x, int axis, uint32_t *slot, int64_t *row, int64_t *column) {
    const int64_t *strides = wg_vec(m->t, m->windows[x].strides);
    *row = strides[0], *column = strides[1];
    if (!is_inside(m, m->windows[x].root) || m->windows[x].offset == 0)
        return slot_in_place(m, x, strides[axis] * itemsize_of(m, x), slot);
    wg_reading turned; /* a slice of a value: gathered, by rows */
    const int64_t shape[2] = {wg_shape(m->t, x)[axis], wg_shape(m->t, x)[1 - axis]};
    const int64_t by_rows[2] = {strides[axis], strides[1 - axis]};
    turned.shape = wg_intern(&m->t->vectors, 2, shape);
    turned.strides = wg_intern(&m->t->vectors, 2, by_rows);
    if (turned.shape == WG_NONE || turned.strides == WG_NONE) return wg_no_memory(m->t);
    turned.offset = m->windows[x].offset;
    wg_micro micro = {.gathers = true, .width = shape[1], .in = {m->slot[m->windows[x].root - m->range.lo]}};
    WG_TRY(spare_tile(m, shape[1] * itemsize_of(m, x), &micro.out));
    *slot = micro.out;
    *row = axis == 0 ? shape[1] : 1, *column = axis == 0 ? 1 : shape[1];
    return add_micro(m, micro, &(wg_detail){.dtype = (wg_dtype)m->t->nodes[x].dtype, .reading = turned});
}

static wg_status make_product(wg_maker *m, wg_id id, wg_role role) {
    wg_tape *t = m->t;
    const wg_id a = t->nodes[id].in[0], b = t->nodes[id].in[1];
    wg_detail detail = {.dtype = (wg_dtype)t->nodes[id].dtype};
    wg_gemm *g = &detail.gemm;
    wg_micro micro = {.op = WG_matmul, .role = (uint8_t)role};
    g->n = wg_shape(t, id)[1];
    g->m = wg_shape(t, a)[0], g->k = wg_shape(t, a)[1]; /* one of them the rows, set for each block */
    g->c_row = micro.width = g->n;
    m->multiplies = true;
    m->r->cost += (double)g->m * (double)g->n * (double)g->k / (detail.dtype == WG_F32 ? 30 : 15);
    WG_TRY(factor(m, a, role == WG_ROLE_OUTER, &micro.in[0], &g->a_row, &g->a_col));
    if (role == WG_ROLE_OUTER) {
        WG_TRY(factor(m, b, 0, &micro.in[1], &g->b_row, &g->b_col));
        WG_TRY(sum_slot(m, id, &micro.out));
        return add_micro(m, micro, &detail);
    }
    const int64_t *strides = wg_vec(t, m->windows[b].strides);
    g->b_row = strides[0], g->b_col = strides[1];
    if (g->b_col == 1) {
        WG_TRY(slot_in_place(m, b, 0, &micro.in[1]));
    } else { /* turned once, so that every block reads rows of vectors */
        wg_reading turned = {.shape = t->nodes[b].shape, .strides = m->windows[b].strides};
        g->b_row = g->n, g->b_col = 1;
        WG_TRY(new_fill(m, b, turned, &micro.in[1]));
    }
    WG_TRY(result_slot(m, id, &micro.out));
    return add_micro(m, micro, &detail);
}

static wg_status make_node(wg_maker *m, wg_id id) {
    int64_t rows;
    const wg_role role = wg_role_of(m->t, m->windows, id, &rows);
    wg_region *r = m->r;
    if (!wg_grow(&r->ops, &r->cap_ops, (uint64_t)r->n_ops + 1, sizeof *r->ops)) return wg_no_memory(m->t);
    r->ops[r->n_ops++] = m->t->nodes[id].op;
    r->flops += wg_flops(m->t, id);
    m->n_spare = 0;
    if (role != WG_ROLE_MAP) m->paired = WG_NONE;
    switch (role) {
    case WG_ROLE_NONE:
        return wg_fail(m->t, WG_RUNTIME_ERROR, "region: %s has no part in it", wg_row(m->t->nodes[id].op)->name);
    case WG_ROLE_MAP: WG_TRY(make_map(m, id)); break;
    case WG_ROLE_PRODUCT:
    case WG_ROLE_OUTER: WG_TRY(make_product(m, id, role)); break;
    case WG_ROLE_FOLD:
    case WG_ROLE_TOTAL:
    case WG_ROLE_COLUMNS: WG_TRY(make_reduction(m, id, role)); break;
    }
    const wg_id *in;
    int n = wg_operands(m->t, id, &in);
    for (int k = 0; k < n; k++) {
        const wg_id root = m->windows[in[k]].root;
        if (!is_inside(m, root) || m->last[root - m->range.lo] != id) continue;
        m->last[root - m->range.lo] = WG_NONE;
        WG_TRY(drop_tile(m, m->slot[root - m->range.lo]));
    }
    while (m->n_spare) WG_TRY(drop_tile(m, m->spare[--m->n_spare]));
    return WG_OK;
}

/* ---- in all ------------------------------------------------------------------------------------------------ */
/* Can every element be a row of its own?  Then blocks are of any length, whatever the shape. */
static bool is_flat(const wg_maker *m) {
    int64_t size = 0, rows;
    for (wg_id id = m->range.lo; id < m->range.hi; id++) {
        if (!wg_computes(m->t, m->windows, id)) continue;
        const wg_role role = wg_role_of(m->t, m->windows, id, &rows);
        const wg_id like = role == WG_ROLE_TOTAL ? m->t->nodes[id].in[0] : id;
        if (role != WG_ROLE_MAP && role != WG_ROLE_TOTAL) return false;
        if (size == 0) size = wg_size(m->t, like);
        if (size != wg_size(m->t, like)) return false;
        const wg_id *in;
        int n = wg_operands(m->t, id, &in);
        for (int k = 0; k < n; k++) {
            const bool single = wg_size(m->t, in[k]) == 1 && !is_inside(m, m->windows[in[k]].root);
            if (!single && (wg_size(m->t, in[k]) != size || !in_order(m, in[k]))) return false;
        }
    }
    return true;
}

static wg_status make_region(wg_maker *m) {
    const size_t n = m->range.hi - m->range.lo;
    m->slot = malloc(n * sizeof *m->slot);
    m->last = malloc(n * sizeof *m->last);
    if (!m->slot || !m->last) return wg_no_memory(m->t);
    memset(m->last, 0xff, n * sizeof *m->last);
    m->flat = is_flat(m);
    m->paired = WG_NONE;
    m->r->t = m->t;
    m->r->rows = m->range.rows;
    for (wg_id id = m->range.lo; id < m->range.hi; id++) {
        if (!wg_computes(m->t, m->windows, id)) continue;
        if (m->flat) m->r->rows = wg_size(m->t, wg_size(m->t, id) == 1 ? m->t->nodes[id].in[0] : id);
        const wg_id *in;
        int n_in = wg_operands(m->t, id, &in);
        for (int k = 0; k < n_in; k++) {
            const wg_id root = m->windows[in[k]].root;
            if (is_inside(m, root)) m->last[root - m->range.lo] = id;
        }
    }
    for (wg_id id = m->range.lo; id < m->range.hi; id++)
        if (wg_computes(m->t, m->windows, id)) WG_TRY(make_node(m, id));
    wg_choose_blocks(m->r, m->tiles.size, m->flat, m->multiplies);
    for (uint32_t k = 0; k < m->r->n_slots; k++)
        if (m->r->slots[k].result) m->r->slots[k].array += m->face->n_operands;
    return WG_OK;
}

wg_status wg_region_new(wg_tape *t, const wg_window *windows, const bool *escapes, wg_range range, wg_region **out,
                        wg_interface *face) {
    wg_maker m = {.t = t, .windows = windows, .escapes = escapes, .range = range, .face = face};
    m.r = *out = calloc(1, sizeof *m.r);
    if (m.r && range.rows == WG_LOOPS) {
        WG_TRY(wg_loop_plan_new(t, windows, range, &m.r->loop, face));
        return m.r->cost = wg_loop_nanoseconds(m.r->loop), WG_OK;
    }
    wg_status status = m.r ? make_region(&m) : wg_no_memory(t);
    free(m.slot);
    free(m.last);
    free(m.tiles.gaps);
    return status;
}

void wg_region_free(wg_region *r) {
    if (!r) return;
    wg_loop_plan_free(r->loop);
    free(r->code);
    free(r->details);
    free(r->slots);
    free(r->fills);
    free(r->sums);
    free(r->ops);
    free(r);
}

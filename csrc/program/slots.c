/* Where a region's micro-ops find their operands and leave their results. */
#include <string.h>

#include "maker.h"

enum {
    VECTOR = 64,     /* bytes of the widest vector: what a pair reads of a single number */
    LEAST_PART = 16, /* elements that are worth a call of a kernel; fewer are gathered with their like */
    LEAST_ALONE = 64 /* elements of a row that read a number of its own as one vector, not as a row of it */
};

/* ---- slots ------------------------------------------------------------------------------------------------- */
static wg_status new_slot(wg_maker *m, wg_slot slot, uint32_t *out) {
    *out = m->r->n_slots;
    return WG_PUSH(m->t, m->r, slots, slot);
}

static wg_status new_tile(wg_maker *m, int64_t bytes, uint32_t *out) {
    size_t base, size = m->flat ? (size_t)bytes : m->wide ? wg_round_up((size_t)bytes) : (size_t)(bytes + 7) / 8 * 8;
    if (!wg_arena_take(&m->tiles, size, &base)) return wg_no_memory(m->t);
    return new_slot(m, (wg_slot){.kind = WG_SLOT_TILE, .base = (int64_t)base, .per_row = (int64_t)size}, out);
}

wg_status wg_spare_tile(wg_maker *m, int64_t bytes, uint32_t *out) {
    WG_TRY(new_tile(m, bytes, out));
    m->spare[m->n_spare++] = *out;
    return WG_OK;
}

wg_status wg_drop_tile(wg_maker *m, uint32_t slot) {
    const wg_slot *s = &m->r->slots[slot];
    if (s->kind != WG_SLOT_TILE) return WG_OK;
    return wg_arena_give(&m->tiles, (size_t)s->base, (size_t)s->per_row) ? WG_OK : wg_no_memory(m->t);
}

wg_status wg_operand_number(wg_maker *m, wg_id id, uint32_t *out) {
    wg_interface *face = m->face;
    *out = face->numbers[id];
    if (*out < face->n_operands && face->operands[*out] == id) return WG_OK;
    *out = face->numbers[id] = face->n_operands;
    return WG_PUSH(m->t, face, operands, id);
}

wg_status wg_result_number(wg_maker *m, wg_id id, uint32_t *out) {
    *out = m->face->n_results;
    return WG_PUSH(m->t, m->face, results, id);
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
wg_status wg_new_fill(wg_maker *m, wg_id id, wg_reading reading, uint32_t *out) {
    wg_region *r = m->r;
    WG_TRY(wg_operand_number(m, id, &reading.array));
    for (uint32_t k = 0; k < r->n_fills; k++) {
        const wg_reading *old = &r->fills[k];
        if (old->array == reading.array && old->shape == reading.shape && old->strides == reading.strides)
            return *out = old->slot, WG_OK;
    }
    const bool fixed = m->t->nodes[m->windows[id].root].op == WG_constant;
    size_t *bytes = fixed ? &r->fixed_bytes : &r->fill_bytes;
    WG_TRY(new_slot(m, (wg_slot){.kind = fixed ? WG_SLOT_FIXED : WG_SLOT_FILL, .base = (int64_t)*bytes}, out));
    *bytes = wg_plus(*bytes, wg_round_up((size_t)(wg_vec_size(m->t, reading.shape) * itemsize_of(m, id))));
    reading.slot = *out;
    return WG_PUSH(m->t, r, fills, reading);
}

wg_status wg_add_micro(wg_maker *m, wg_micro micro, const wg_detail *detail) {
    if (detail) micro.detail = m->r->n_details;
    if (detail) WG_TRY(WG_PUSH(m->t, m->r, details, *detail));
    return WG_PUSH(m->t, m->r, code, micro);
}

wg_status wg_slot_behind(wg_maker *m, uint32_t slot, int64_t bytes, uint32_t *out) {
    wg_slot behind = m->r->slots[slot];
    if (behind.kind == WG_SLOT_SUM) behind.kind = WG_SLOT_ARRAY, behind.base = 0; /* of the only group */
    behind.base += bytes;
    return bytes ? new_slot(m, behind, out) : (*out = slot, WG_OK);
}

/* The memory of `id` as it stands, moving on by per_row bytes; inside the region it is the root's. */
wg_status wg_slot_in_place(wg_maker *m, wg_id id, int64_t per_row, uint32_t *out) {
    const wg_id root = m->windows[id].root;
    const int64_t behind = is_one_row(m) ? m->windows[id].offset * itemsize_of(m, id) : 0;
    if (is_inside(m, root)) return wg_slot_behind(m, m->slot[root - m->range.lo], behind, out);
    wg_slot slot = {.kind = WG_SLOT_ARRAY, .per_row = per_row, .per_plane = per_row * m->r->rows};
    WG_TRY(wg_operand_number(m, id, &slot.array));
    return new_slot(m, slot, out);
}

/* The shape, of *ndim axes, of which the first are the region's rows: of its only row, what is no row yet is one. */
static void lay_in_rows(const wg_maker *m, wg_id id, int *ndim, int64_t *shape) {
    const int own = *ndim = wg_ndim(m->t, id), whole = m->r->rows == 1 && own < WG_MAX_NDIM && wg_size(m->t, id) > 1;
    if (own) memcpy(shape + whole, wg_shape(m->t, id), (size_t)own * sizeof *shape);
    if (whole) shape[0] = 1, *ndim = own + 1;
}

/* `id` gathered block by block into a tile of contiguous rows of the given shape. */
static wg_status gather_rows(wg_maker *m, wg_id id, int ndim, const int64_t *shape, uint32_t *out) {
    wg_detail detail = {.dtype = (wg_dtype)m->t->nodes[id].dtype};
    wg_micro micro = {.gathers = true, .width = 1};
    for (int i = 1; i < ndim; i++) micro.width *= shape[i];
    WG_TRY(reading_as(m, id, ndim, shape, &detail.reading));
    detail.reading.offset = m->windows[id].offset;
    const wg_id root = m->windows[id].root;
    for (int k = 0; k < GATHERED && k < m->n_gathered; k++) {
        const wg_gathered *old = &m->gathered[k];
        const bool alike = old->root == root && old->reading.offset == detail.reading.offset &&
                           old->reading.shape == detail.reading.shape && old->reading.strides == detail.reading.strides;
        if (alike) return *out = old->slot, WG_OK;
    }
    wg_gathered *kept = &m->gathered[m->n_gathered % GATHERED];
    if (m->n_gathered++ >= GATHERED) m->spare[m->n_spare++] = kept->slot; /* the micro-op in the making may read it */
    const int64_t step = ndim ? wg_vec(m->t, detail.reading.strides)[0] * itemsize_of(m, id) : 0;
    WG_TRY(wg_slot_in_place(m, id, step, &micro.in[0]));
    WG_TRY(new_tile(m, micro.width * itemsize_of(m, id), &micro.out));
    *kept = (wg_gathered){.root = root, .reading = detail.reading, .slot = micro.out};
    if (!is_inside(m, root) || is_one_row(m)) detail.reading.offset = 0; /* the slot starts there */
    *out = micro.out;
    return wg_add_micro(m, micro, &detail);
}

bool wg_lies_in_order(const wg_maker *m, wg_id id) {
    const wg_array x = wg_window_array(m->t, m->windows, id);
    const bool starts = !is_inside(m, m->windows[id].root) || m->windows[id].offset == 0;
    return wg_array_contiguous(&x) && (starts || is_one_row(m));
}

bool wg_planes_lie_in_order(const wg_maker *m, wg_id id, wg_id x, int64_t *pitch) {
    const int64_t *of = wg_shape(m->t, id), *shape = wg_shape(m->t, x), *strides = wg_vec(m->t, m->windows[x].strides);
    const int missing = wg_ndim(m->t, id) - wg_ndim(m->t, x);
    int64_t width = 1;
    if (missing > 1 || is_inside(m, m->windows[x].root)) return false;
    for (int i = wg_ndim(m->t, x); i-- > 1 - missing; width *= shape[i])
        if (shape[i] != of[i + missing] || strides[i] != width) return false;
    *pitch = missing || shape[0] == 1 ? 0 : strides[0];
    return true;
}

/* Does `id` go on, row by row, as a value of `ndim` axes does?  Else it is the same for all rows. */
static bool goes_by_rows(const wg_maker *m, wg_id id, int ndim) {
    if (m->r->rows == 1) return is_inside(m, m->windows[id].root);
    return wg_ndim(m->t, id) == ndim && wg_shape(m->t, id)[0] == m->r->rows;
}

/* How many elements of x stand side by side in each row, if `id` reads them so, once or again and again; else 0.  No
 * axis counts rows where there is only one. */
static int64_t side_by_side(const wg_maker *m, wg_id id, wg_id x) {
    const int ndim = wg_ndim(m->t, x), by_rows = !is_one_row(m);
    const int64_t *of = wg_shape(m->t, id), *shape = wg_shape(m->t, x), *strides = wg_vec(m->t, m->windows[x].strides);
    int64_t part = 1;
    int i = ndim;
    if (ndim != wg_ndim(m->t, id)) return 0;
    for (; i > by_rows && shape[i - 1] == of[i - 1] && strides[i - 1] == part; i--) part *= shape[i - 1];
    while (i > by_rows && shape[i - 1] == 1) i--;
    return i <= by_rows && part >= LEAST_PART ? part : 0;
}

wg_status wg_map_operand(wg_maker *m, wg_id id, wg_id x, int64_t chunk, bool pairs, int64_t *part, wg_argument *out) {
    wg_tape *t = m->t;
    const int64_t width = width_of(m, id);
    int ndim;
    out->moves = (uint8_t)itemsize_of(m, x), out->pitch = width;
    if (wg_size(t, x) == wg_size(t, id) && wg_lies_in_order(m, x))
        return wg_slot_in_place(m, x, width * itemsize_of(m, x), &out->slot);
    int64_t shape[WG_MAX_NDIM], pitch;
    if (m->r->planes > 1 && wg_planes_lie_in_order(m, id, x, &pitch)) {
        WG_TRY(wg_slot_in_place(m, x, itemsize_of(m, x), &out->slot));
        return m->r->slots[out->slot].per_plane = pitch * itemsize_of(m, x), WG_OK;
    }
    lay_in_rows(m, id, &ndim, shape);
    if (goes_by_rows(m, x, ndim)) {
        if (pairs && wg_size(t, x) == m->r->rows && width >= LEAST_ALONE) { /* a vector of each row's number */
            for (int i = 1; i < ndim; i++) shape[i] = i == ndim - 1 ? VECTOR / itemsize_of(m, x) : 1;
            if (*part == 0) *part = width;
            out->single = out->apart = true, out->moves = 0, out->pitch = shape[ndim - 1];
            return gather_rows(m, x, ndim, shape, &out->slot);
        }
        const int64_t own = pairs ? side_by_side(m, id, x) : 0;
        const bool free = *part == 0 || *part == width; /* what is no part of another operand's row is not cut yet */
        if (!own || !(free || own == *part || own == width)) return gather_rows(m, x, ndim, shape, &out->slot);
        if (free) *part = own;
        out->apart = true, out->again = own < width;
        out->pitch = wg_vec(t, m->windows[x].strides)[0];
        if (is_inside(m, m->windows[x].root) && !is_one_row(m)) out->offset = m->windows[x].offset * itemsize_of(m, x);
        return wg_slot_in_place(m, x, out->pitch * itemsize_of(m, x), &out->slot);
    }
    wg_reading reading = {0};
    out->moves = 0, out->pitch = 0;
    if (wg_size(t, x) == 1) {
        out->single = pairs;
        if (pairs) chunk = VECTOR / itemsize_of(m, x);
        WG_TRY(reading_as(m, x, 1, &chunk, &reading));
    } else {
        shape[0] = chunk / width;
        WG_TRY(reading_as(m, x, ndim, shape, &reading));
    }
    return wg_new_fill(m, x, reading, &out->slot);
}

/* The operand of a reduction: contiguous rows. */
wg_status wg_row_operand(wg_maker *m, wg_id x, uint32_t *out) {
    if (wg_lies_in_order(m, x)) return wg_slot_in_place(m, x, width_of(m, x) * itemsize_of(m, x), out);
    int64_t shape[WG_MAX_NDIM];
    int ndim;
    lay_in_rows(m, x, &ndim, shape);
    return gather_rows(m, x, ndim, shape, out);
}

/* ---- results ----------------------------------------------------------------------------------------------- */
/* A tile that dies with this node, elementwise or a change of it, and that its result may take over. */
static uint32_t heir_of(const wg_maker *m, wg_id id) {
    const wg_id *in = wg_in(m->t, id);
    const int n = wg_n_in(m->t, id), heirs = m->t->nodes[id].op == WG_slice_add ? 1 : n;
    for (int k = 0; k < heirs; k++) {
        const wg_id root = m->windows[in[k]].root;
        if (!is_inside(m, root) || m->last[root - m->range.lo] != id || !wg_lies_in_order(m, in[k])) continue;
        const uint32_t slot = m->slot[root - m->range.lo];
        bool alone = m->r->slots[slot].kind == WG_SLOT_TILE && itemsize_of(m, root) == itemsize_of(m, id) &&
                     wg_size(m->t, root) == wg_size(m->t, id) && wg_size(m->t, in[k]) == wg_size(m->t, id);
        for (int j = 0; j < n && alone; j++) /* another view of it is read in another order */
            alone = m->windows[in[j]].root != root ||
                    (wg_lies_in_order(m, in[j]) && wg_size(m->t, in[j]) == wg_size(m->t, id));
        if (alone) return root;
    }
    return WG_NONE;
}

/* Where the node's rows go: to the step's array if anybody outside reads them, else to a tile. */
wg_status wg_result_slot(wg_maker *m, wg_id id, uint32_t *out) {
    const int64_t bytes = width_of(m, id) * itemsize_of(m, id);
    const bool changes = m->t->nodes[id].op == WG_slice_add;
    const bool takes_over = !m->escapes[id] && (changes || wg_map_of(wg_kernels_table(), m->t, id));
    const wg_id heir = takes_over ? heir_of(m, id) : WG_NONE;
    uint32_t *own = &m->slot[id - m->range.lo];
    if (m->escapes[id]) {
        wg_slot slot = {.kind = WG_SLOT_ARRAY, .result = true, .per_row = bytes, .per_plane = bytes * m->r->rows};
        WG_TRY(wg_result_number(m, id, &slot.array));
        WG_TRY(new_slot(m, slot, own));
    } else if (heir != WG_NONE) {
        WG_TRY(new_slot(m, m->r->slots[m->slot[heir - m->range.lo]], own));
        m->last[heir - m->range.lo] = WG_NONE; /* not to be given back */
    } else {
        WG_TRY(new_tile(m, bytes, own));
    }
    return *out = *own, WG_OK;
}

wg_status wg_sum_slot(wg_maker *m, wg_id id, uint32_t *out) {
    wg_region *r = m->r;
    wg_slot slot = {.kind = WG_SLOT_SUM, .result = true, .base = (int64_t)r->sum_bytes};
    WG_TRY(wg_result_number(m, id, &slot.array));
    WG_TRY(new_slot(m, slot, out));
    m->slot[id - m->range.lo] = *out;
    r->sum_bytes = wg_plus(r->sum_bytes, wg_round_up((size_t)(wg_size(m->t, id) * itemsize_of(m, id))));
    wg_sum sum = {*out, wg_size(m->t, id), itemsize_of(m, id), .add = NULL};
    sum.add = wg_kernels_table()->map[WG_add][m->t->nodes[id].dtype];
    return WG_PUSH(m->t, r, sums, sum);
}

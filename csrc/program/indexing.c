/* Reading and changing parts of an array: rows by integer index, and slices. */
#include <stdatomic.h>
#include <string.h>

#include "program.h"

enum { LONG_ROW = 256 }; /* bytes: worth a call, and of shorter ones each part would read what all parts do */

/* ---- indices ----------------------------------------------------------------------------------------------- */
typedef struct {
    const wg_array *array;
    bool contiguous;
    int64_t extent; /* of the axis that they go into */
} wg_indices;

static wg_indices indices_of(const wg_array *array, int64_t extent) {
    return (wg_indices){array, wg_array_contiguous(array), extent};
}

static int64_t index_at(const wg_indices *x, int64_t i) {
    if (!x->contiguous) i = wg_place_of(x->array, i);
    return x->array->dtype == WG_I32 ? ((const int32_t *)x->array->data)[i] : ((const int64_t *)x->array->data)[i];
}

/* Row numbers of the n index elements from `start` on, counted from the end if negative: the elements themselves, or
 * what is made of them in tile.  good: how many there are before the first that is out of range. */
static const int64_t *rows_of(const wg_indices *x, int64_t start, int64_t n, int64_t *tile, int64_t *good) {
    const bool plain = x->contiguous && x->array->dtype == WG_I64;
    const int64_t *index = plain ? (const int64_t *)x->array->data + start : tile;
    const uint64_t last = (uint64_t)x->extent - 1;
    uint64_t signs = 0; /* one for all, so that no branch depends on a single element */
    for (int64_t i = 0; !plain && i < n; i++) tile[i] = index_at(x, start + i);
    for (int64_t i = 0; i < n; i++) signs |= (uint64_t)index[i] | (last - (uint64_t)index[i]);
    *good = n;
    if (signs >> 63 == 0) return index;
    for (int64_t i = 0; i < n; i++) {
        tile[i] = index[i] < 0 ? index[i] + x->extent : index[i];
        if ((tile[i] < 0 || tile[i] >= x->extent) && *good == n) *good = i;
    }
    return tile;
}

static wg_status out_of_range(wg_step *step, const wg_indices *x, int64_t i, int axis) {
    step->index = index_at(x, i);
    step->extent = x->extent;
    step->axis = axis;
    return WG_INDEX_ERROR;
}

static wg_array rows_view(const wg_array *x, int n) { /* one row of x: its axes but the first n */
    return (wg_array){x->data, x->shape + n, x->strides + n, x->ndim - n, x->dtype};
}

/* Rows of one element of this type: all of them, and returns. */
#define PICK(type)                                                                                                     \
    do {                                                                                                               \
        type *restrict const to = (type *)dst;                                                                         \
        const type *const from = (const type *)x->data;                                                                \
        const int64_t stride = x->strides[0];                                                                          \
        if (stride == 1)                                                                                               \
            for (int64_t i = 0; i < n; i++) to[i] = from[rows[i]];                                                     \
        else                                                                                                           \
            for (int64_t i = 0; i < n; i++) to[i] = from[rows[i] * stride];                                            \
        return;                                                                                                        \
    } while (0)

void wg_pick_rows(char *dst, const wg_array *x, const int64_t *rows, int64_t n, int64_t width) {
    int64_t itemsize = (int64_t)wg_itemsize(x->dtype), bytes = width * itemsize, strides[WG_MAX_NDIM];
    wg_array row = rows_view(x, 1), to = row;
    if (bytes == 4 && width == 1) PICK(uint32_t);
    if (bytes == 8 && width == 1) PICK(uint64_t);
    const bool whole = wg_array_contiguous(&row);
    const wg_rows_fn take = wg_kernels_table()->take_at[itemsize == 4 ? WG_F32 : WG_F64];
    if (take && whole && (itemsize == 4 || itemsize == 8) && bytes < LONG_ROW && x->strides[0] == width) {
        take(dst, x->data, rows, n, width);
        return;
    }
    wg_contiguous_strides(row.ndim, row.shape, strides);
    to.strides = strides;
    for (int64_t i = 0; i < n; i++) {
        to.data = dst + i * bytes;
        row.data = x->data + rows[i] * x->strides[0] * itemsize;
        if (whole)
            memcpy(to.data, row.data, (size_t)bytes);
        else
            wg_move(&to, &row);
    }
}

typedef struct {
    const wg_step *step;
    wg_indices index;
    int64_t size;
    _Atomic int64_t good; /* so many before the first that is out of range */
} wg_gathering;

static void gather_part(void *context, int part) {
    wg_gathering *g = context;
    const wg_array *x = &g->step->in[0], row = rows_view(x, 1);
    const int64_t width = wg_array_size(&row), parts = g->step->parts, end = g->size * (part + 1) / parts;
    int64_t tile[WG_TILE], good;
    for (int64_t start = g->size * part / parts, n; start < end; start += n) {
        n = end - start < WG_TILE ? end - start : WG_TILE;
        const int64_t *rows = rows_of(&g->index, start, n, tile, &good);
        wg_pick_rows(g->step->out.data + start * width * (int64_t)wg_itemsize(x->dtype), x, rows, good, width);
        if (good == n) continue;
        for (int64_t all = g->good; start + good < all;)
            if (atomic_compare_exchange_weak(&g->good, &all, start + good)) break;
        return;
    }
}

wg_status wg_execute_gather(wg_step *step) {
    const int64_t size = wg_array_size(&step->in[1]);
    wg_gathering g = {step, indices_of(&step->in[1], step->in[0].shape[0]), size, size};
    wg_parallel(step->alone, step->parts, gather_part, &g);
    return g.good < size ? out_of_range(step, &g.index, g.good, 0) : WG_OK;
}

/* Operands are indices of one axis each, broadcast together: row = (i0 * n1 + i1) * n2 + i2 ... */
wg_status wg_execute_ravel_index(wg_step *step) {
    const wg_array *out = &step->out;
    int64_t size = wg_array_size(out), *row = (int64_t *)out->data, offset, strides[WG_MAX_NDIM];
    memset(row, 0, (size_t)size * sizeof *row);
    for (int axis = 0; axis < step->n_in; axis++) {
        const wg_array *x = &step->in[axis];
        wg_view_op(WG_broadcast, NULL, x->ndim, x->shape, x->strides, out->ndim, out->shape, &offset, strides);
        wg_array seen = {x->data, out->shape, strides, out->ndim, x->dtype};
        int64_t tile[WG_TILE], turned[WG_TILE], good, extent = step->attrs[axis];
        for (int64_t start = 0, n; start < size; start += n) {
            n = size - start < WG_TILE ? size - start : WG_TILE;
            wg_array part = {(char *)(uintptr_t)wg_fetch(tile, &seen, start, n), &n, &(int64_t){1}, 1, x->dtype};
            wg_indices index = {&part, true, extent};
            const int64_t *rows = rows_of(&index, 0, n, turned, &good);
            if (good < n) return out_of_range(step, &index, good, axis);
            for (int64_t i = 0; i < n; i++) row[start + i] = row[start + i] * extent + rows[i];
        }
    }
    return WG_OK;
}

/* ---- changing a part --------------------------------------------------------------------------------------- */
static bool adds(const wg_step *step) { return step->op == WG_slice_add || step->op == WG_index_add; }

/* dst[...] = b[...], or += b[...]. */
static wg_status change(const wg_kernels *k, const wg_step *step, const wg_array *dst, const wg_array *b) {
    if (!adds(step)) return wg_move(dst, b), WG_OK;
    if (wg_array_contiguous(dst) && wg_array_contiguous(b))
        return k->map[WG_add][dst->dtype](dst->data, (const void *[]){dst->data, b->data}, wg_array_size(b), NULL),
               WG_OK;
    const wg_array in[2] = {*dst, *b};
    wg_step add = *step;
    add.op = WG_add, add.n_in = 2, add.n_attr = 0, add.in = in, add.out = *dst;
    return wg_execute_elementwise(k, &add);
}

/* Rows lo ... hi - 1 of the result, as they are in the first operand. */
static void copy_base(const wg_step *step, int64_t lo, int64_t hi) {
    wg_array to = step->out, from = step->in[0];
    int64_t shape[WG_MAX_NDIM];
    if (to.data == from.data) return;
    if (to.ndim) {
        memcpy(shape, to.shape, (size_t)to.ndim * sizeof *shape);
        shape[0] = hi - lo;
        to.data += lo * to.strides[0] * (int64_t)wg_itemsize(to.dtype);
        from.data += lo * from.strides[0] * (int64_t)wg_itemsize(to.dtype);
        to.shape = from.shape = shape;
    }
    wg_move(&to, &from);
}

#define PUT(type, assign)                                                                                              \
    for (int64_t i = 0; i < n; i++) ((type *)out->data)[rows[i]] assign((const type *)b)[i]

/* Rows of one element, b contiguous.  False: this dtype has no such loop. */
static bool put_elements(bool add, const wg_array *out, const int64_t *rows, int64_t n, const char *b) {
    size_t itemsize = wg_itemsize(out->dtype);
    if (!add && itemsize == 4)
        PUT(uint32_t, =);
    else if (!add && itemsize == 8)
        PUT(uint64_t, =);
    else if (add && out->dtype == WG_F32)
        PUT(float, +=);
    else if (add && out->dtype == WG_F64)
        PUT(double, +=);
    else if (add && out->dtype == WG_I32)
        PUT(uint32_t, +=);
    else if (add && out->dtype == WG_I64)
        PUT(uint64_t, +=);
    else
        return false;
    return true;
}

typedef struct {
    const wg_kernels *k;
    wg_step *step;
    wg_indices index;
    int64_t size;
    int parts;
} wg_putting;

/* Rows lo ... hi - 1 of the result get theirs of the n that the index has from `start` on. */
static void put_rows(const wg_putting *p, const int64_t *rows, int64_t start, int64_t n, int64_t lo, int64_t hi) {
    const wg_step *step = p->step;
    const wg_array *b = &step->in[2], *index = &step->in[1];
    wg_array row = rows_view(&step->out, 1), more = rows_view(b, index->ndim);
    wg_array lead = {b->data, b->shape, b->strides, index->ndim, b->dtype}; /* b's index axes */
    const int64_t itemsize = (int64_t)wg_itemsize(b->dtype), width = wg_array_size(&row);
    const bool whole = wg_array_contiguous(b), beside = wg_array_contiguous(&more), add = adds(step);
    const wg_map_fn sum = p->k->map[WG_add][b->dtype];
    int64_t mine[WG_TILE], n_mine = 0;
    if (whole && width == 1 && put_elements(add, &step->out, rows, n, b->data + start * itemsize)) return;
    const wg_rows_fn add_at = p->k->add_at[b->dtype];
    if (add && add_at && whole && p->parts == 1 && width * itemsize < LONG_ROW) {
        add_at(step->out.data, b->data + start * width * itemsize, rows, n, width);
        return;
    }
    for (int64_t i = 0; i < n; i++) { /* no branch that could not be foreseen */
        mine[n_mine] = i;
        n_mine += rows[i] >= lo && rows[i] < hi;
    }
    for (int64_t j = 0; j < n_mine; j++) {
        const int64_t i = mine[j];
        more.data = b->data + (whole ? (start + i) * width : wg_place_of(&lead, start + i)) * itemsize;
        row.data = step->out.data + rows[i] * width * itemsize;
        if (add && beside)
            sum(row.data, (const void *[]){row.data, more.data}, width, NULL);
        else if (beside)
            memcpy(row.data, more.data, (size_t)(width * itemsize));
        else
            change(p->k, step, &row, &more);
    }
}

static void put_part(void *context, int part) {
    const wg_putting *p = context;
    const int64_t extent = p->step->out.shape[0];
    const int64_t lo = extent * part / p->parts, hi = extent * (part + 1) / p->parts;
    int64_t tile[WG_TILE], good;
    copy_base(p->step, lo, hi);
    for (int64_t start = 0, n; start < p->size; start += n) {
        n = p->size - start < WG_TILE ? p->size - start : WG_TILE;
        put_rows(p, rows_of(&p->index, start, n, tile, &good), start, n, lo, hi);
    }
}

/* Threads share the rows of the result, so that each of them takes what it gets in order. */
wg_status wg_execute_index_change(const wg_kernels *k, wg_step *step) {
    wg_putting p = {k, step, indices_of(&step->in[1], step->out.shape[0]), wg_array_size(&step->in[1]), 1};
    int64_t tile[WG_TILE], good;
    for (int64_t start = 0, n; start < p.size; start += n) { /* all are looked at before anything is changed */
        n = p.size - start < WG_TILE ? p.size - start : WG_TILE;
        rows_of(&p.index, start, n, tile, &good);
        if (good < n) return out_of_range(step, &p.index, start + good, 0);
    }
    const wg_array row = rows_view(&step->out, 1);
    if (wg_array_size(&row) * (int64_t)wg_itemsize(row.dtype) >= LONG_ROW) p.parts = step->parts;
    wg_parallel(step->alone, p.parts, put_part, &p);
    return WG_OK;
}

wg_status wg_execute_slice_change(const wg_kernels *k, wg_step *step) {
    copy_base(step, 0, step->out.ndim ? step->out.shape[0] : 1);
    const wg_array *out = &step->out;
    int64_t strides[WG_MAX_NDIM], offset;
    wg_array window = {.shape = step->in[1].shape, .strides = strides, .ndim = out->ndim, .dtype = out->dtype};
    wg_view_op(WG_slice, step->attrs, out->ndim, out->shape, out->strides, out->ndim, window.shape, &offset, strides);
    window.data = out->data + offset * (int64_t)wg_itemsize(out->dtype);
    return change(k, step, &window, &step->in[1]);
}

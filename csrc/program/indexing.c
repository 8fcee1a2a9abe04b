/* Reading and changing parts of an array: rows by integer index, and slices. */
#include <string.h>

#include "program.h"

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

/* Row number of index element i, counted from the end if negative; -1 if out of range. */
static int64_t row_of(const wg_indices *x, int64_t i) {
    int64_t row = index_at(x, i);
    if (row < 0) row += x->extent;
    return row >= 0 && row < x->extent ? row : -1;
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

wg_status wg_execute_gather(const wg_kernels *k, wg_step *step) {
    (void)k;
    const wg_array *x = &step->in[0];
    wg_array row = rows_view(x, 1);
    wg_indices index = indices_of(&step->in[1], x->shape[0]);
    int64_t n = wg_array_size(index.array), width = wg_array_size(&row);
    int64_t itemsize = (int64_t)wg_itemsize(x->dtype);
    bool whole = wg_array_contiguous(&row);
    for (int64_t i = 0; i < n; i++) {
        int64_t at = row_of(&index, i);
        if (at < 0) return out_of_range(step, &index, i, 0);
        char *dst = step->out.data + i * width * itemsize;
        row.data = x->data + at * x->strides[0] * itemsize;
        if (whole)
            memcpy(dst, row.data, (size_t)(width * itemsize));
        else
            wg_gather(dst, &row, 0, width);
    }
    return WG_OK;
}

/* Operands are indices of one axis each, broadcast together: row = (i0 * n1 + i1) * n2 + i2 ... */
wg_status wg_execute_ravel_index(const wg_kernels *k, wg_step *step) {
    (void)k;
    const wg_array *out = &step->out;
    int64_t size = wg_array_size(out), *row = (int64_t *)out->data, offset, strides[WG_MAX_NDIM];
    memset(row, 0, (size_t)size * sizeof *row);
    for (int axis = 0; axis < step->n_in; axis++) {
        const wg_array *x = &step->in[axis];
        wg_view_op(WG_broadcast, NULL, x->ndim, x->shape, x->strides, out->ndim, out->shape, &offset, strides);
        wg_array seen = {x->data, out->shape, strides, out->ndim, x->dtype};
        int64_t tile[WG_TILE], extent = step->attrs[axis];
        for (int64_t start = 0, n; start < size; start += n) {
            n = size - start < WG_TILE ? size - start : WG_TILE;
            wg_array part = {(char *)(uintptr_t)wg_fetch(tile, &seen, start, n), &n, &(int64_t){1}, 1, x->dtype};
            wg_indices index = {&part, true, extent};
            for (int64_t i = 0; i < n; i++) {
                int64_t at = row_of(&index, i);
                if (at < 0) return out_of_range(step, &index, i, axis);
                row[start + i] = row[start + i] * extent + at;
            }
        }
    }
    return WG_OK;
}

/* ---- changing a part --------------------------------------------------------------------------------------- */
/* dst[...] = b[...], or dst[...] += b[...] where add is given; dst strided. */
static void change(wg_map_fn add, const wg_array *dst, const wg_array *b) {
    _Alignas(64) char now[WG_TILE * 16], more[WG_TILE * 16];
    int64_t size = wg_array_size(dst), n;
    int64_t row = dst->ndim && dst->shape[dst->ndim - 1] >= 64 ? dst->shape[dst->ndim - 1] : INT64_MAX;
    bool whole = wg_array_contiguous(dst);
    for (int64_t start = 0; start < size; start += n) {
        n = size - start < WG_TILE ? size - start : WG_TILE;
        if (row != INT64_MAX && n > row - start % row) n = row - start % row;
        if (!add) {
            if (whole)
                wg_gather(dst->data + start * (int64_t)wg_itemsize(dst->dtype), b, start, n);
            else
                wg_scatter(dst, start, n, wg_fetch(more, b, start, n));
            continue;
        }
        const void *in[2] = {wg_fetch(now, dst, start, n), wg_fetch(more, b, start, n)};
        bool direct = in[0] != now;
        add(direct ? (void *)(uintptr_t)in[0] : now, in, n, NULL);
        if (!direct) wg_scatter(dst, start, n, now);
    }
}

static wg_map_fn change_of(const wg_kernels *k, const wg_step *step) {
    return step->op == WG_slice_add || step->op == WG_index_add ? k->map[WG_add][step->out.dtype] : NULL;
}

static void copy_base(wg_step *step) {
    if (step->out.data != step->in[0].data) wg_gather(step->out.data, &step->in[0], 0, wg_array_size(&step->out));
}

wg_status wg_execute_index_change(const wg_kernels *k, wg_step *step) {
    const wg_array *b = &step->in[2];
    wg_indices index = indices_of(&step->in[1], step->out.shape[0]);
    int64_t n = wg_array_size(index.array);
    for (int64_t i = 0; i < n; i++)
        if (row_of(&index, i) < 0) return out_of_range(step, &index, i, 0); /* before anything is changed */
    copy_base(step);
    wg_map_fn add = change_of(k, step);
    wg_array row = rows_view(&step->out, 1), more = rows_view(b, index.array->ndim);
    wg_array lead = {b->data, b->shape, b->strides, index.array->ndim, b->dtype}; /* b's index axes */
    int64_t itemsize = (int64_t)wg_itemsize(b->dtype), width = wg_array_size(&row);
    bool whole = wg_array_contiguous(b);
    for (int64_t i = 0; i < n; i++) {
        int64_t target = row_of(&index, i);
        if (target < 0) return out_of_range(step, &index, i, 0); /* another thread of the caller's changed them */
        more.data = b->data + (whole ? i * width : wg_place_of(&lead, i)) * itemsize;
        row.data = step->out.data + target * width * itemsize;
        if (add && whole)
            add(row.data, (const void *[]){row.data, more.data}, width, NULL);
        else if (whole)
            memcpy(row.data, more.data, (size_t)(width * itemsize));
        else
            change(add, &row, &more);
    }
    return WG_OK;
}

wg_status wg_execute_slice_change(const wg_kernels *k, wg_step *step) {
    copy_base(step);
    const wg_array *out = &step->out;
    int64_t strides[WG_MAX_NDIM], offset;
    wg_array window = {.shape = step->in[1].shape, .strides = strides, .ndim = out->ndim, .dtype = out->dtype};
    wg_view_op(WG_slice, step->attrs, out->ndim, out->shape, out->strides, out->ndim, window.shape, &offset, strides);
    window.data = out->data + offset * (int64_t)wg_itemsize(out->dtype);
    change(change_of(k, step), &window, &step->in[1]);
    return WG_OK;
}

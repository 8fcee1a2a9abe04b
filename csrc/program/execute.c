/* One op on arrays: what an eager node and a program's step both run. */
#include <stdio.h>
#include <string.h>

#include "program.h"

/* ---- movement ---------------------------------------------------------------------------------------------- */
static wg_status execute_copy(const wg_kernels *k, wg_step *step) { /* any view op that has to be a copy */
    (void)k;
    const wg_array *x = &step->in[0], *out = &step->out;
    int64_t offset, strides[WG_MAX_NDIM];
    wg_array view = *out; /* the operand as the result's shape sees it */
    if (wg_view_op(step->op, step->attrs, x->ndim, x->shape, x->strides, out->ndim, out->shape, &offset, strides)) {
        view.data = x->data + offset * (int64_t)wg_itemsize(x->dtype);
        view.strides = strides;
        wg_gather(out->data, &view, 0, wg_array_size(out));
    } else {
        wg_gather(out->data, x, 0, wg_array_size(out)); /* reshape: the same elements in C order */
    }
    return WG_OK;
}

static wg_status execute_cast(const wg_kernels *k, wg_step *step) {
    const wg_array *x = &step->in[0], *out = &step->out;
    _Alignas(64) char tile[WG_TILE * 16];
    wg_map_fn cast = k->cast[x->dtype][out->dtype];
    if (!cast) return step->problem = "this cast is not offered", WG_TYPE_ERROR;
    int64_t size = wg_array_size(out);
    for (int64_t start = 0; start < size; start += WG_TILE) {
        int64_t n = size - start < WG_TILE ? size - start : WG_TILE;
        const void *in = wg_fetch(tile, x, start, n);
        cast(out->data + start * (int64_t)wg_itemsize(out->dtype), &in, n, NULL);
    }
    return WG_OK;
}

static wg_status execute_concatenate(const wg_kernels *k, wg_step *step) {
    (void)k;
    int64_t axis = step->attrs[0], outer = 1, done = 0;
    size_t itemsize = wg_itemsize(step->out.dtype);
    for (int i = 0; i < axis; i++) outer *= step->out.shape[i];
    int64_t out_run = outer ? wg_array_size(&step->out) / outer : 0;
    for (int j = 0; j < step->n_in && outer; j++) {
        int64_t run = wg_array_size(&step->in[j]) / outer;
        for (int64_t i = 0; i < outer; i++)
            wg_gather(step->out.data + (size_t)(i * out_run + done) * itemsize, &step->in[j], i * run, run);
        done += run;
    }
    return WG_OK;
}

/* ---- rows by index ----------------------------------------------------------------------------------------- */
static int64_t index_at(const wg_array *index, int64_t i) {
    int64_t item;
    const char *at = wg_fetch(&item, index, i, 1);
    return index->dtype == WG_I32 ? *(const int32_t *)at : *(const int64_t *)at;
}

/* Row number of index element i, counted from the end if negative; -1 if out of range. */
static int64_t row_of(const wg_array *index, int64_t i, int64_t n_rows) {
    int64_t row = index_at(index, i);
    if (row < 0) row += n_rows;
    return row >= 0 && row < n_rows ? row : -1;
}

static wg_array rows_view(const wg_array *x) { /* one row of x: its axes but the first */
    return (wg_array){x->data, x->shape + 1, x->strides + 1, x->ndim - 1, x->dtype};
}

static wg_status out_of_range(wg_step *step, int64_t i) {
    step->index = index_at(&step->in[1], i);
    step->extent = step->in[0].shape[0];
    return WG_INDEX_ERROR;
}

static wg_status execute_gather(const wg_kernels *k, wg_step *step) {
    (void)k;
    const wg_array *x = &step->in[0], *index = &step->in[1];
    wg_array row = rows_view(x);
    int64_t n = wg_array_size(index), width = wg_array_size(&row);
    int64_t itemsize = (int64_t)wg_itemsize(x->dtype);
    bool whole = wg_array_contiguous(&row);
    for (int64_t i = 0; i < n; i++) {
        int64_t at = row_of(index, i, x->shape[0]);
        if (at < 0) return out_of_range(step, i);
        char *dst = step->out.data + i * width * itemsize;
        row.data = x->data + at * x->strides[0] * itemsize;
        if (whole)
            memcpy(dst, row.data, (size_t)(width * itemsize));
        else
            wg_gather(dst, &row, 0, width);
    }
    return WG_OK;
}

/* dst[...] += b[...], dst strided. */
static void add_to(const wg_kernels *k, const wg_array *dst, const wg_array *b) {
    _Alignas(64) char now[WG_TILE * 8], more[WG_TILE * 8];
    int64_t size = wg_array_size(dst), n;
    int64_t row = dst->ndim && dst->shape[dst->ndim - 1] >= 64 ? dst->shape[dst->ndim - 1] : INT64_MAX;
    for (int64_t start = 0; start < size; start += n) {
        n = size - start < WG_TILE ? size - start : WG_TILE;
        if (row != INT64_MAX && n > row - start % row) n = row - start % row;
        const void *in[2] = {wg_fetch(now, dst, start, n), wg_fetch(more, b, start, n)};
        bool direct = in[0] != now;
        k->map[WG_add][dst->dtype](direct ? (void *)(uintptr_t)in[0] : now, in, n, NULL);
        if (!direct) wg_scatter(dst, start, n, now);
    }
}

static void copy_base(wg_step *step) {
    if (step->out.data != step->in[0].data) wg_gather(step->out.data, &step->in[0], 0, wg_array_size(&step->out));
}

static wg_status execute_index_add(const wg_kernels *k, wg_step *step) {
    const wg_array *index = &step->in[1], *b = &step->in[2];
    int64_t n = wg_array_size(index), n_rows = step->out.shape[0];
    for (int64_t i = 0; i < n; i++)
        if (row_of(index, i, n_rows) < 0) return out_of_range(step, i); /* before anything is changed */
    copy_base(step);
    wg_array row = rows_view(&step->out), more = {.ndim = row.ndim, .dtype = b->dtype};
    more.shape = b->shape + index->ndim;
    more.strides = b->strides + index->ndim;
    wg_array lead = {b->data, b->shape, b->strides, index->ndim, b->dtype}; /* b's index axes */
    int64_t itemsize = (int64_t)wg_itemsize(b->dtype), width = wg_array_size(&row);
    bool whole = wg_array_contiguous(b);
    for (int64_t i = 0; i < n; i++) {
        int64_t at = 0, rest = i;
        for (int a = lead.ndim - 1; a >= 0 && !whole; a--) {
            at += rest % lead.shape[a] * lead.strides[a];
            rest /= lead.shape[a];
        }
        int64_t target = row_of(index, i, n_rows);
        if (target < 0) return out_of_range(step, i); /* another thread of the caller's changed the indices */
        more.data = b->data + (whole ? i * width : at) * itemsize;
        row.data = step->out.data + target * step->out.strides[0] * itemsize;
        add_to(k, &row, &more);
    }
    return WG_OK;
}

static wg_status execute_slice_add(const wg_kernels *k, wg_step *step) {
    copy_base(step);
    const wg_array *out = &step->out;
    int64_t strides[WG_MAX_NDIM], offset;
    wg_array window = {.shape = step->in[1].shape, .strides = strides, .ndim = out->ndim, .dtype = out->dtype};
    wg_view_op(WG_slice, step->attrs, out->ndim, out->shape, out->strides, out->ndim, window.shape, &offset, strides);
    window.data = out->data + offset * (int64_t)wg_itemsize(out->dtype);
    add_to(k, &window, &step->in[1]);
    return WG_OK;
}

/* ---- matmul ------------------------------------------------------------------------------------------------ */
/* Batch number i (C order over the result's leading axes) of an operand, whose leading axes broadcast. */
static int64_t batch_place(const wg_array *x, const wg_array *out, int64_t i) {
    int64_t place = 0;
    for (int axis = out->ndim - 3; axis >= 0; axis--) {
        int own = axis - (out->ndim - x->ndim);
        if (own >= 0 && x->shape[own] != 1) place += i % out->shape[axis] * x->strides[own];
        i /= out->shape[axis];
    }
    return place;
}

/* A product is split by its result's columns where B has to be packed and there are enough of them, else by its rows:
 * then no part packs what another packs as well. */
typedef struct {
    const wg_kernels *k;
    const wg_step *step;
    wg_gemm g; /* of the first batch */
    int64_t batches;
    int parts;
    bool by_columns;
} wg_product;

enum { COLUMN_GRAIN = 16, ROW_GRAIN = 6 }; /* of the float32 register tile */

/* [start, end) of n that a part takes, in whole grains. */
static void share(int64_t n, int part, int parts, int64_t grain, int64_t *start, int64_t *end) {
    int64_t grains = (n + grain - 1) / grain;
    *start = grains * part / parts * grain;
    *end = grains * (part + 1) / parts * grain;
    if (*end > n) *end = n;
}

static void run_product(void *context, int part) {
    const wg_product *p = context;
    const wg_step *step = p->step;
    const wg_array *a = &step->in[0], *b = &step->in[1], *out = &step->out;
    int64_t itemsize = (int64_t)wg_itemsize(out->dtype), start, end;
    wg_gemm g = p->g;
    size_t scratch = p->k->gemm_scratch[out->dtype](g.m, g.n, g.k);
    g.scratch = (char *)step->scratch + (size_t)part * ((scratch + 63) / 64 * 64);
    if (p->by_columns)
        share(g.n, part, p->parts, COLUMN_GRAIN, &start, &end), g.n = end - start;
    else
        share(g.m, part, p->parts, ROW_GRAIN, &start, &end), g.m = end - start;
    if (start >= end) return;
    for (int64_t i = 0; i < p->batches; i++) {
        g.a = a->data + (batch_place(a, out, i) + (p->by_columns ? 0 : start * g.a_row)) * itemsize;
        g.b = b->data + (batch_place(b, out, i) + (p->by_columns ? start * g.b_col : 0)) * itemsize;
        g.c = out->data + (i * p->g.m * p->g.n + (p->by_columns ? start : start * g.c_row)) * itemsize;
        p->k->gemm[out->dtype](&g);
    }
}

static double product_nanoseconds(const wg_step *step) {
    const wg_array *a = &step->in[0], *out = &step->out;
    double flops = 2.0 * (double)wg_array_size(out) * (double)a->shape[a->ndim - 1];
    return flops / (out->dtype == WG_F32 ? 50 : 25); /* a nanosecond's on one core, about */
}

static wg_status execute_matmul(const wg_kernels *k, wg_step *step) {
    const wg_array *a = &step->in[0], *b = &step->in[1], *out = &step->out;
    wg_gemm g = {.m = out->shape[out->ndim - 2],
                 .n = out->shape[out->ndim - 1],
                 .k = a->shape[a->ndim - 1],
                 .a_row = a->strides[a->ndim - 2],
                 .a_col = a->strides[a->ndim - 1],
                 .b_row = b->strides[b->ndim - 2],
                 .b_col = b->strides[b->ndim - 1]};
    g.c_row = g.n;
    if (!k->gemm[out->dtype]) return step->problem = "matmul is not offered for this dtype", WG_TYPE_ERROR;
    wg_product p = {.k = k, .step = step, .g = g, .parts = wg_parts(product_nanoseconds(step), step->max_parts)};
    p.batches = g.m && g.n ? wg_array_size(out) / (g.m * g.n) : 0;
    p.by_columns = g.n >= p.parts * 4 * COLUMN_GRAIN && (g.a_col == 1 || g.n >= g.m);
    wg_parallel(p.parts, run_product, &p);
    return WG_OK;
}

size_t wg_prepare(const wg_kernels *k, wg_step *step) {
    step->max_parts = wg_most_threads();
    if (step->op != WG_matmul) return 0;
    const wg_array *a = &step->in[0], *out = &step->out;
    wg_gemm_scratch_fn need = k->gemm_scratch[out->dtype];
    if (!need) return 0;
    step->max_parts = wg_parts(product_nanoseconds(step), step->max_parts);
    size_t one = need(out->shape[out->ndim - 2], out->shape[out->ndim - 1], a->shape[a->ndim - 1]);
    return (one + 63) / 64 * 64 * (size_t)step->max_parts;
}

/* ---- how many parts ---------------------------------------------------------------------------------------- */
int wg_parts(double nanoseconds, int most) {
    const double grain = 30e3; /* waking a worker takes up to 10 us: a part should be worth several */
    if (nanoseconds < 2 * grain) return 1;
    return nanoseconds / grain < most ? (int)(nanoseconds / grain) : most;
}

void wg_explain(const wg_step *step, wg_status status, char *text, size_t size) {
    const char *name = wg_row(step->op)->name;
    if (status == WG_INDEX_ERROR)
        snprintf(text, size, "%s: index %lld is out of bounds for axis 0 with size %lld", name, (long long)step->index,
                 (long long)step->extent);
    else
        snprintf(text, size, "%s: %s", name, step->problem ? step->problem : "failed");
}

/* ---- dispatch ---------------------------------------------------------------------------------------------- */
wg_status wg_execute(const wg_kernels *k, wg_step *step) {
    switch (step->op) {
    case WG_reshape:
    case WG_transpose:
    case WG_broadcast:
    case WG_slice:
    case WG_copy:
    case WG_stop_gradient: return execute_copy(k, step);
    case WG_cast: return execute_cast(k, step);
    case WG_concatenate: return execute_concatenate(k, step);
    case WG_gather: return execute_gather(k, step);
    case WG_index_add: return execute_index_add(k, step);
    case WG_slice_add: return execute_slice_add(k, step);
    case WG_matmul: return execute_matmul(k, step);
    case WG_argmax: return wg_execute_argmax(k, step);
    case WG_sum:
    case WG_max:
    case WG_min:
    case WG_logsumexp: return wg_execute_reduce(k, step);
    default: return wg_execute_elementwise(k, step);
    }
}

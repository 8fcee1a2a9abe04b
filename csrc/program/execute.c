/* One op on arrays: what an eager node and a program's step both run. */
#include <stdio.h>
#include <string.h>

#include "program.h"

/* ---- movement ---------------------------------------------------------------------------------------------- */
static wg_status execute_copy(wg_step *step) { /* any view op that has to be a copy */
    const wg_array *x = &step->in[0], *out = &step->out;
    int64_t offset, strides[WG_MAX_NDIM];
    if (wg_view_op(step->op, step->attrs, x->ndim, x->shape, x->strides, out->ndim, out->shape, &offset, strides)) {
        wg_array view = {x->data + offset * (int64_t)wg_itemsize(x->dtype), out->shape, strides, out->ndim, x->dtype};
        wg_move(out, &view); /* the operand as the result's shape sees it */
    } else {                 /* reshape: the same elements in C order */
        wg_contiguous_strides(x->ndim, x->shape, strides);
        wg_move(&(wg_array){out->data, x->shape, strides, x->ndim, x->dtype}, x);
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

static wg_status execute_concatenate(wg_step *step) {
    int64_t axis = step->attrs[0], itemsize = (int64_t)wg_itemsize(step->out.dtype);
    wg_array part = step->out;
    for (int j = 0; j < step->n_in; j++) {
        part.shape = step->in[j].shape;
        if (part.data != step->in[j].data) wg_move(&part, &step->in[j]); /* else it was made there */
        part.data += part.shape[axis] * part.strides[axis] * itemsize;
    }
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

/* A product is split by its result's columns where B has to be packed and there are enough of them, for then no part
 * packs what another packs as well; by its rows where these are so many that B is small beside them, for then a thread
 * reads the rows of A that it has made itself, and makes rows that it will read (docs/adr/0031-whose-lines.md). */
typedef struct {
    const wg_kernels *k;
    const wg_step *step;
    wg_gemm_fn run;
    wg_gemm g;                   /* of the first batch */
    int64_t batch, batches, row; /* of this piece of the product: the first one, how many, the first row */
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
    int64_t itemsize = (int64_t)wg_itemsize(out->dtype), start = 0, end = p->by_columns ? p->g.n : p->g.m;
    wg_gemm g = p->g;
    g.scratch = (char *)step->scratch + (part ? (size_t)part * (step->need / (size_t)step->parts) : 0);
    if (step->parts > 1) share(end, part, step->parts, p->by_columns ? COLUMN_GRAIN : ROW_GRAIN, &start, &end);
    if (start >= end) return;
    *(p->by_columns ? &g.n : &g.m) = end - start;
    int64_t row = p->row + (p->by_columns ? 0 : start), column = p->by_columns ? start : 0;
    for (int64_t i = p->batch; i < p->batch + p->batches; i++) {
        g.a = a->data + (batch_place(a, out, i) + row * g.a_row) * itemsize;
        g.b = b->data + (batch_place(b, out, i) + column * g.b_col) * itemsize;
        g.c = out->data + (i * out->shape[out->ndim - 2] * p->g.n + row * g.c_row + column) * itemsize;
        p->run(&g);
    }
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
    wg_product p = {.k = k, .step = step, .g = g};
    p.run = wg_gemm_for(k, out->dtype, g.m, g.n);
    const bool many_rows = g.m * (g.k + g.n) >= 2 * g.k * g.n;
    p.by_columns = g.n >= step->parts * 4 * COLUMN_GRAIN && (g.a_col == 1 || g.n >= g.m) && !many_rows;
    int64_t batches = g.m && g.n, batch_step, row_step = g.m;
    for (int axis = 0; axis < out->ndim - 2; axis++) batches *= out->shape[axis];
    batch_step = batches;
    if (step->cost > WG_PIECE && batches) { /* so that it can be stopped: some batches, some rows of a long batch */
        const int64_t pieces = (int64_t)(step->cost / WG_PIECE) + 1, row_pieces = (pieces + batches - 1) / batches;
        batch_step = (batches + pieces - 1) / pieces;
        row_step = ((g.m + row_pieces - 1) / row_pieces + 255) / 256 * 256;
    }
    for (p.batch = 0; p.batch < batches; p.batch += p.batches) {
        p.batches = batches - p.batch < batch_step ? batches - p.batch : batch_step;
        for (p.row = 0; p.row < g.m; p.row += p.g.m) {
            p.g.m = g.m - p.row < row_step ? g.m - p.row : row_step;
            if ((p.row || p.batch) && wg_stops(step->watch)) return WG_INTERRUPTED;
            wg_parallel(step->alone, step->parts, run_product, &p);
        }
    }
    return WG_OK;
}

static size_t scratch_of(const wg_kernels *k, const wg_step *step) {
    const wg_array *a = &step->in[0], *out = &step->out;
    if (step->region) return wg_region_scratch(step->region);
    if (step->op == WG_argsort || step->op == WG_sort) return wg_sort_scratch(step);
    if (step->op == WG_host) return wg_host_scratch(step);
    if (step->op != WG_matmul) return 0;
    size_t one =
        k->gemm_scratch[out->dtype](out->shape[out->ndim - 2], out->shape[out->ndim - 1], a->shape[a->ndim - 1]);
    return wg_times(wg_round_up(one), (size_t)step->parts);
}

void wg_prepare(const wg_kernels *k, wg_step *step) {
    step->cost = wg_cost(step);
    step->parts = wg_parts(step->cost, 2); /* what is not split does not ask the system for its cores */
    if (step->parts > 1) step->parts = wg_parts(step->cost, wg_most_threads());
    step->need = scratch_of(k, step);
}

/* Each step finds its arrays, in the order in which they were added. */
void wg_prepare_steps(wg_program *p, const int32_t *alias) {
    const double often = 2e6; /* nanoseconds of work after which a look at the watch costs nothing */
    const wg_kernels *k = wg_kernels_table();
    double since = 0;
    uint32_t at = 0;
    p->first_write = p->n_steps;
    for (uint32_t i = 0; i < p->n_steps; i++) {
        wg_step *step = &p->steps[i];
        step->in = p->arrays + at;
        step->out = p->arrays[at + (uint32_t)step->n_in];
        wg_prepare(k, step);
        if (step->need > p->scratch_size) p->scratch_size = step->need;
        for (int result = 0; result < step->n_out; result++) {
            uint32_t root = p->places[at + (uint32_t)(step->n_in + result)].root,
                     first = WG_ROOT_INPUTS + p->flat->n_inputs;
            if (alias && root >= first && alias[root - first] >= 0 && p->first_write > i) p->first_write = i;
        }
        at += (uint32_t)(step->n_in + step->n_out);
        p->trial.splits |= (step->region ? step->region->groups : step->parts) > 1, p->trial.cost += step->cost;
        step->slow = step->cost > often;
        step->looks = since > often;
        since = (step->looks ? 0 : since) + step->cost;
    }
}

void wg_explain(const wg_step *step, wg_status status, char *text, size_t size) {
    const char *name = wg_row(step->op)->name;
    if (status == WG_INDEX_ERROR && !step->problem)
        snprintf(text, size, "%s: index %lld is out of bounds for axis %d with size %lld", name, (long long)step->index,
                 step->axis, (long long)step->extent);
    else
        snprintf(text, size, "%s: %s", step->op == WG_call ? "scan" : name, step->problem ? step->problem : "failed");
}

/* ---- dispatch ---------------------------------------------------------------------------------------------- */
wg_status wg_execute(const wg_kernels *k, wg_step *step) {
    if (step->region) return wg_execute_region(k, step);
    switch (step->op) {
    case WG_reshape:
    case WG_transpose:
    case WG_broadcast:
    case WG_slice:
    case WG_copy:
    case WG_stop_gradient: return execute_copy(step);
    case WG_cast: return execute_cast(k, step);
    case WG_concatenate: return execute_concatenate(step);
    case WG_gather: return wg_execute_gather(step);
    case WG_index_add:
    case WG_index_set: return wg_execute_index_change(k, step);
    case WG_slice_add:
    case WG_slice_set: return wg_execute_slice_change(k, step);
    case WG_host: return wg_execute_host(k, step);
    case WG_ravel_index: return wg_execute_ravel_index(step);
    case WG_random: return wg_execute_random(k, step);
    case WG_recurrence: return wg_execute_recurrence(k, step);
    case WG_matmul: return execute_matmul(k, step);
    case WG_argmax:
    case WG_argmin: return wg_execute_argreduce(k, step);
    case WG_argsort:
    case WG_sort: return wg_execute_sort(k, step);
    case WG_sum:
    case WG_prod:
    case WG_max:
    case WG_min:
    case WG_logsumexp: return wg_execute_reduce(k, step);
    default: return wg_execute_elementwise(k, step);
    }
}

/* Elementwise ops on strided, broadcast arrays: the result is walked in C order in tiles; an operand whose tile lies
 * contiguous is read in place, any other is gathered. */
#include <string.h>

#include "program.h"

int wg_map_operands(int op, int n_in, const void *const *in, const void *slots[4]) {
    const wg_op_info *info = wg_row(op);
    if (info->kind != WG_KIND_DERIVATIVE) {
        for (int k = 0; k < n_in; k++) slots[k] = in[k];
        return n_in;
    }
    int reads = wg_row(info->base)->reads[info->operand], next = 1; /* the node keeps g and what its column reads */
    slots[0] = in[0];
    for (int k = 0; k < 3; k++) slots[k + 1] = reads >> k & 1 ? in[next++] : in[0];
    return 4;
}

/* An operand as the result's shape sees it: missing and repeated axes have stride 0. */
typedef struct {
    wg_array array;
    int64_t strides[WG_MAX_NDIM];
    bool direct; /* its elements lie as the result's do */
    bool single; /* one element, repeated */
} wg_operand;

static void see_as(wg_operand *o, const wg_array *x, const wg_array *out) {
    o->single = true;
    for (int i = 0; i < out->ndim; i++) {
        int k = i - (out->ndim - x->ndim);
        o->strides[i] = k < 0 || x->shape[k] == 1 ? 0 : x->strides[k];
        if (o->strides[i] != 0 && out->shape[i] != 1) o->single = false;
    }
    o->array =
        (wg_array){.data = x->data, .shape = out->shape, .strides = o->strides, .ndim = out->ndim, .dtype = x->dtype};
    o->direct = wg_array_contiguous(&o->array);
}

/* Rows as long as this are never crossed by a tile, so that a row repeated over the others is read in place. */
enum {
    LONG_ROW = 64,
    LOOK = 1 << 21 /* elements between two looks at the watch */
};

typedef struct {
    const wg_step *step;
    wg_map_fn map;
    double params[WG_MAX_PARAMS];
    wg_operand operands[3];
    int64_t size, row; /* of the result; row INT64_MAX: tiles may cross */
    bool all_direct;
    int parts;
} wg_loop;

static void run_range(const wg_loop *loop, int64_t start, int64_t end) {
    const wg_step *step = loop->step;
    _Alignas(64) char tiles[3][WG_TILE * 16];
    for (int j = 0; j < step->n_in; j++)
        if (loop->operands[j].single && !loop->operands[j].direct)
            wg_gather(tiles[j], &loop->operands[j].array, 0, loop->size < WG_TILE ? loop->size : WG_TILE);
    for (int64_t n; start < end; start += n) {
        n = end - start;
        if (!loop->all_direct && n > WG_TILE) n = WG_TILE;
        if (loop->row != INT64_MAX && n > loop->row - start % loop->row) n = loop->row - start % loop->row;
        const void *in[3], *slots[4];
        for (int j = 0; j < step->n_in; j++) {
            const wg_operand *o = &loop->operands[j];
            if (o->direct)
                in[j] = o->array.data + start * (int64_t)wg_itemsize(o->array.dtype);
            else
                in[j] = o->single ? tiles[j] : wg_fetch(tiles[j], &o->array, start, n);
        }
        wg_map_operands(step->op, step->n_in, in, slots);
        loop->map(step->out.data + start * (int64_t)wg_itemsize(step->out.dtype), slots, n, loop->params);
    }
}

static void run_part(void *context, int part) {
    const wg_loop *loop = context;
    int64_t each = (loop->size / loop->parts + WG_TILE - 1) / WG_TILE * WG_TILE, start = part * each;
    int64_t end = part == loop->parts - 1 || start + each > loop->size ? loop->size : start + each;
    for (int64_t stop; start < end && !wg_stops(loop->step->watch); start = stop) {
        stop = end - start < LOOK ? end : start + LOOK;
        run_range(loop, start, stop);
    }
}

wg_status wg_execute_elementwise(const wg_kernels *k, wg_step *step) {
    const wg_array *out = &step->out;
    wg_loop loop = {.step = step, .size = wg_array_size(out), .row = INT64_MAX, .all_direct = true};
    if (loop.size == 0) return WG_OK;
    loop.map = k->map[step->op][step->in[step->op == WG_where].dtype];
    if (!loop.map) {
        step->problem = "this op is not offered for this dtype; cast the operand";
        return WG_TYPE_ERROR;
    }
    for (int i = 0; i < step->n_attr && i < WG_MAX_PARAMS; i++) loop.params[i] = wg_bits_double(step->attrs[i]);
    bool in_place = true;
    for (int j = 0; j < step->n_in; j++) {
        wg_operand *o = &loop.operands[j];
        see_as(o, &step->in[j], out);
        loop.all_direct &= o->direct;
        in_place &= o->direct || o->single;
    }
    if (!in_place && out->shape[out->ndim - 1] >= LONG_ROW) loop.row = out->shape[out->ndim - 1];
    loop.parts = wg_parts((double)loop.size * 0.5, step->max_parts);
    wg_parallel(loop.parts, run_part, &loop);
    return wg_stops(step->watch) ? WG_INTERRUPTED : WG_OK;
}

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
enum { LONG_ROW = 64 };

static int64_t row_length(const wg_array *out, const wg_operand *operands, int n_in) {
    bool all_direct = true;
    for (int k = 0; k < n_in; k++) all_direct &= operands[k].direct || operands[k].single;
    int64_t row = out->ndim ? out->shape[out->ndim - 1] : 1;
    return all_direct || row < LONG_ROW ? INT64_MAX : row;
}

wg_status wg_execute_elementwise(const wg_kernels *k, wg_step *step) {
    const wg_array *out = &step->out;
    int64_t size = wg_array_size(out);
    if (size == 0) return WG_OK;
    wg_dtype dtype = step->in[step->op == WG_where].dtype;
    wg_map_fn map = k->map[step->op][dtype];
    if (!map) {
        step->problem = "this op is not offered for this dtype; cast the operand";
        return WG_TYPE_ERROR;
    }
    double params[WG_MAX_PARAMS];
    for (int i = 0; i < step->n_attr && i < WG_MAX_PARAMS; i++) params[i] = wg_bits_double(step->attrs[i]);
    wg_operand operands[3];
    _Alignas(64) char tiles[3][WG_TILE * sizeof(double)];
    bool all_direct = true;
    for (int j = 0; j < step->n_in; j++) {
        see_as(&operands[j], &step->in[j], out);
        all_direct &= operands[j].direct;
        if (operands[j].single && !operands[j].direct)
            wg_gather(tiles[j], &operands[j].array, 0, size < WG_TILE ? size : WG_TILE);
    }
    int64_t row = row_length(out, operands, step->n_in), n;
    size_t itemsize = wg_itemsize(out->dtype);
    for (int64_t start = 0; start < size; start += n) {
        int64_t to_row_end = row == INT64_MAX ? INT64_MAX : row - start % row;
        n = size - start;
        if (!all_direct && n > WG_TILE) n = WG_TILE;
        if (n > to_row_end) n = to_row_end;
        const void *in[3], *slots[4];
        for (int j = 0; j < step->n_in; j++) {
            const wg_operand *o = &operands[j];
            if (o->direct)
                in[j] = o->array.data + start * (int64_t)wg_itemsize(o->array.dtype);
            else
                in[j] = o->single ? tiles[j] : wg_fetch(tiles[j], &o->array, start, n);
        }
        wg_map_operands(step->op, step->n_in, in, slots);
        map(out->data + start * (int64_t)itemsize, slots, n, params);
    }
    return WG_OK;
}

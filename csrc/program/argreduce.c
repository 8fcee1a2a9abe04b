/* argmax and argmin: the place of the first largest or smallest element along an axis; of the first NaN if there is
 * one, as NumPy. */
#include "program.h"

typedef struct {
    wg_fold_fn fold; /* of the largest or smallest */
    wg_find_fn find;
    wg_advance_fn advance;
    bool largest, wide; /* wide: places are int64_t, else int32_t */
} wg_search;

enum { LONG_TILE = 4096 }; /* elements of a contiguous line that are folded at once, and then looked through */

typedef union { /* as wide as elements, so that vectors of both go together */
    int64_t wide[WG_TILE];
    int32_t narrow[WG_TILE];
} wg_spots;

static int64_t place_at(const wg_search *s, const wg_spots *places, int64_t i) {
    return s->wide ? places->wide[i] : places->narrow[i];
}

/* A line along the axis: one tile is folded after the other, and the first that has the result is looked through. */
static int64_t along(const wg_search *s, const wg_array *line) {
    _Alignas(64) char tile[WG_TILE * 8], best[8], value[8];
    const int64_t n = line->shape[0], most = line->strides[0] == 1 ? LONG_TILE : WG_TILE;
    int64_t length = n < most ? n : most;
    if (length == n) {
        const char *x = line->data;
        if (line->strides[0] != 1) wg_copy_run(tile, 1, x, line->strides[0], n, wg_itemsize(line->dtype)), x = tile;
        s->fold(best, x, n, 1);
        return s->find(x, n, best);
    }
    wg_spots tiles; /* the first of them: which tile has the best */
    tiles.wide[0] = 0;
    s->fold(best, wg_fetch(tile, line, 0, length), length, 1);
    for (int64_t start = most; start < n; start += most) {
        length = n - start < most ? n - start : most;
        s->fold(value, wg_fetch(tile, line, start, length), length, 1);
        s->advance(best, &tiles, value, 1, start / most, s->largest);
    }
    const int64_t place = place_at(s, &tiles, 0) * most;
    length = n - place < most ? n - place : most;
    return place + s->find(wg_fetch(tile, line, place, length), length, best);
}

/* Lines across it: those that start in a row of n advance together from row to row. */
static void across(const wg_search *s, const wg_array *x, int64_t stride, int64_t n, int64_t *out) {
    _Alignas(64) char best[WG_TILE * 8], row[WG_TILE * 8];
    wg_spots places = {.wide = {0}};
    const int64_t itemsize = (int64_t)wg_itemsize(x->dtype);
    wg_copy_run(best, 1, x->data, stride, n, (size_t)itemsize);
    for (int64_t k = 1; k < x->shape[0]; k++) {
        const char *next = x->data + k * x->strides[0] * itemsize;
        if (stride != 1) wg_copy_run(row, 1, next, stride, n, (size_t)itemsize);
        s->advance(best, &places, stride == 1 ? next : row, n, k, s->largest);
    }
    for (int64_t i = 0; i < n; i++) out[i] = place_at(s, &places, i);
}

wg_status wg_execute_argreduce(const wg_kernels *k, wg_step *step) {
    const wg_array *x = &step->in[0];
    const int axis = (int)step->attrs[0], kept = axis == x->ndim - 1 ? axis - 1 : x->ndim - 1; /* the last kept axis */
    const wg_fold fold = step->op == WG_argmax ? WG_FOLD_MAX : WG_FOLD_MIN;
    const wg_search s = {k->fold[fold][x->dtype], k->find[x->dtype], k->advance[x->dtype], step->op == WG_argmax,
                         wg_itemsize(x->dtype) == 8};
    if (!s.find) return step->problem = "this op is not offered for this dtype", WG_TYPE_ERROR;
    const int64_t n = x->shape[axis], row = kept < 0 ? 1 : x->shape[kept], stride = kept < 0 ? 0 : x->strides[kept];
    const bool rows = row >= 4 && stride && wg_distance(stride) < wg_distance(x->strides[axis]) && n <= INT32_MAX;
    const int64_t itemsize = (int64_t)wg_itemsize(x->dtype), n_out = wg_array_size(&step->out);
    int64_t inner = 1, *out = (int64_t *)step->out.data;
    for (int i = axis + 1; i < x->ndim; i++) inner *= x->shape[i];
    for (int64_t i = 0, taken; i < n_out; i += taken) {
        const int64_t first = i / inner * n * inner + i % inner; /* the line's first element, in C order */
        wg_array at = {x->data + wg_place_of(x, first) * itemsize, x->shape + axis, x->strides + axis, 1, x->dtype};
        taken = row - i % row;
        if (rows) {
            if (taken > WG_TILE) taken = WG_TILE;
            across(&s, &at, stride, taken, out + i);
        } else {
            for (int64_t j = 0; j < taken; j++, at.data += stride * itemsize) out[i + j] = along(&s, &at);
        }
    }
    return WG_OK;
}

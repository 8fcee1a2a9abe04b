/* argmax and argmin: the place of the first largest or smallest element along an axis; of the first NaN if there is
 * one, as NumPy. */
#include "program.h"

typedef struct {
    const wg_array *x;
    int64_t n, stride; /* of the axis */
    wg_fold_fn fold;   /* of the largest or smallest */
    bool largest;
} wg_search;

enum {
    SHORT = 32, /* elements that are compared one by one */
    BLOCK = 32  /* those that are compared with the result at once, without a branch */
};

#define BEFORE(candidate, best) ((largest ? (candidate) > (best) : (candidate) < (best)) || (candidate) != (candidate))

/* Lines along the axis: the kernels fold one tile after the other, and the first that has the result is looked through;
 * short lines are compared element by element.  Lines across it: those of one tile advance together from row to row. */
#define SEARCH(name, type)                                                                                             \
    static int64_t place_##name(const type *x, int64_t stride, int64_t n, bool largest) {                              \
        int64_t place = 0;                                                                                             \
        for (int64_t i = 1; i < n && x[place * stride] == x[place * stride]; i++)                                      \
            if (BEFORE(x[i * stride], x[place * stride])) place = i;                                                   \
        return place;                                                                                                  \
    }                                                                                                                  \
    static int64_t along_##name(const wg_search *s, const wg_array *line) {                                            \
        const bool largest = s->largest;                                                                               \
        type tile[WG_TILE], best = 0, value;                                                                           \
        int64_t place = 0, length;                                                                                     \
        if (s->n <= SHORT) return place_##name((const type *)line->data, s->stride, s->n, s->largest);                 \
        for (int64_t start = 0; start < s->n && best == best; start += WG_TILE) {                                      \
            length = s->n - start < WG_TILE ? s->n - start : WG_TILE;                                                  \
            s->fold(&value, wg_fetch(tile, line, start, length), length);                                              \
            if (start == 0 || BEFORE(value, best)) best = value, place = start;                                        \
        }                                                                                                              \
        length = s->n - place < WG_TILE ? s->n - place : WG_TILE;                                                      \
        const type *x = wg_fetch(tile, line, place, length);                                                           \
        int64_t i = 0, none = best == best;                                                                            \
        for (; none && i + BLOCK < length; i += none ? BLOCK : 0)                                                      \
            for (int64_t j = 0; j < BLOCK; j++) none &= x[i + j] != best;                                              \
        while (x[i] != best && x[i] == x[i]) i++;                                                                      \
        return place + i;                                                                                              \
    }                                                                                                                  \
    static void across_##name(const wg_search *s, const char *at, int64_t width, int64_t *out) {                       \
        const bool largest = s->largest;                                                                               \
        type best[WG_TILE];                                                                                            \
        const type *x = (const type *)at;                                                                              \
        for (int64_t i = 0; i < width; i++) best[i] = x[i], out[i] = 0;                                                \
        for (int64_t k = 1; k < s->n; k++) {                                                                           \
            x += s->stride;                                                                                            \
            for (int64_t i = 0; i < width; i++) {                                                                      \
                const bool better = best[i] == best[i] && BEFORE(x[i], best[i]);                                       \
                best[i] = better ? x[i] : best[i];                                                                     \
                out[i] = better ? k : out[i];                                                                          \
            }                                                                                                          \
        }                                                                                                              \
    }
SEARCH(bool, uint8_t)
SEARCH(i32, int32_t)
SEARCH(i64, int64_t)
SEARCH(f32, float)
SEARCH(f64, double)

static const struct {
    int64_t (*along)(const wg_search *s, const wg_array *line);
    void (*across)(const wg_search *s, const char *at, int64_t width, int64_t *out);
} searches[WG_DTYPE_COUNT] = {[WG_BOOL] = {along_bool, across_bool},
                              [WG_I32] = {along_i32, across_i32},
                              [WG_I64] = {along_i64, across_i64},
                              [WG_F32] = {along_f32, across_f32},
                              [WG_F64] = {along_f64, across_f64}};

wg_status wg_execute_argreduce(const wg_kernels *k, wg_step *step) {
    const wg_array *x = &step->in[0];
    const int axis = (int)step->attrs[0];
    const wg_fold fold = step->op == WG_argmax ? WG_FOLD_MAX : WG_FOLD_MIN;
    wg_search s = {x, x->shape[axis], x->strides[axis], k->fold[fold][x->dtype], step->op == WG_argmax};
    if (!searches[x->dtype].along) return step->problem = "this op is not offered for this dtype", WG_TYPE_ERROR;
    int64_t inner = 1, *out = (int64_t *)step->out.data, n_out = wg_array_size(&step->out), dense = 1;
    for (int i = axis + 1; i < x->ndim; i++) inner *= x->shape[i];
    wg_array across = {x->data, x->shape + axis + 1, x->strides + axis + 1, x->ndim - axis - 1, x->dtype};
    bool rows = wg_array_contiguous(&across) && inner >= 4;
    wg_array line = {x->data, &s.n, &s.stride, 1, x->dtype};
    for (int64_t i = 0; i < n_out; i += dense) {
        const int64_t first = i / inner * s.n * inner + i % inner; /* the line's first element, in C order */
        line.data = x->data + wg_place_of(x, first) * (int64_t)wg_itemsize(x->dtype);
        if (!rows) {
            out[i] = searches[x->dtype].along(&s, &line);
            continue;
        }
        dense = inner - i % inner < WG_TILE ? inner - i % inner : WG_TILE;
        searches[x->dtype].across(&s, line.data, dense, out + i);
    }
    return WG_OK;
}

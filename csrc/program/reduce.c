/* Reductions.  The order of a sum depends on shapes and strides only: elements of one result are taken in the order of
 * the reduced axes' strides, in chunks of WG_TILE, each folded by the kernel's fixed tree, chunks added from left to
 * right; where the kept axis is the densest one, whole rows are added from first to last instead. */
#include <math.h>
#include <string.h>

#include "program.h"

typedef struct {
    wg_array lines, kept, reduced; /* the operand with its kept axes in front; either group */
    int64_t shape[WG_MAX_NDIM], strides[WG_MAX_NDIM];
} wg_split;

/* The kept axes stay in order; the reduced ones are sorted, so that memory is read in order. */
static void split_axes(wg_split *s, const wg_array *x, uint64_t mask) {
    int n[2] = {0, 0}; /* kept; both */
    for (int i = 0; i < x->ndim; i++) n[1] = n[0] += !(mask >> i & 1);
    for (int i = 0, kept = 0; i < x->ndim; i++) {
        const bool reduces = mask >> i & 1;
        int place = reduces ? n[1]++ : kept++;
        for (; reduces && place > n[0] && wg_distance(s->strides[place - 1]) < wg_distance(x->strides[i]); place--) {
            s->shape[place] = s->shape[place - 1];
            s->strides[place] = s->strides[place - 1];
        }
        s->shape[place] = x->shape[i];
        s->strides[place] = x->strides[i];
    }
    s->lines = (wg_array){x->data, s->shape, s->strides, x->ndim, x->dtype};
    s->kept = (wg_array){x->data, s->shape, s->strides, n[0], x->dtype};
    s->reduced = (wg_array){x->data, s->shape + n[0], s->strides + n[0], x->ndim - n[0], x->dtype};
}

typedef struct {
    wg_map_fn combine; /* add, mul, maximum, minimum */
    wg_fold_fn fold;
    wg_down_fn down; /* or NULL */
    wg_dtype dtype;  /* of the result */
    bool whole;      /* the order does not matter: all that is at hand is folded at once */
} wg_reducer;

static wg_reducer reducer_of(const wg_kernels *k, int op, wg_dtype in, wg_dtype out) {
    static const int of[WG_OP_COUNT][2] = {[WG_prod] = {WG_FOLD_PROD, WG_mul},
                                           [WG_max] = {WG_FOLD_MAX, WG_maximum},
                                           [WG_min] = {WG_FOLD_MIN, WG_minimum},
                                           [WG_sum] = {WG_FOLD_SUM, WG_add}};
    const bool whole = op == WG_max || op == WG_min || out < WG_F32;
    return (wg_reducer){k->map[of[op][1]][out], k->fold[of[op][0]][in], k->fold_down[of[op][0]][out], out, whole};
}

enum { GATHERED = 4 * WG_TILE }; /* elements: some lines, or a part of one */

/* The folds of lines of n >= 1 elements, in chunks; out has the reducer's dtype. */
static void fold_lines(const wg_reducer *r, const wg_array *x, int64_t lines, int64_t n, char *out) {
    _Alignas(64) char tile[GATHERED * 16], part[16];
    const int64_t size = (int64_t)wg_itemsize(x->dtype), step = (int64_t)wg_itemsize(r->dtype);
    const int64_t piece = wg_array_contiguous(x) ? lines * n : GATHERED;
    const int64_t many = n < piece ? piece / n : 1, most = r->whole ? piece : WG_TILE;
    for (int64_t i = 0; i < lines; i += many)
        for (int64_t start = 0; start < n; start += piece) {
            const int64_t count = lines - i < many ? lines - i : many, length = n - start < piece ? n - start : piece;
            const char *at = wg_fetch(tile, x, i * n + start, count * length);
            for (int64_t k = 0; k < count; k++, at += length * size)
                for (int64_t place = 0, chunk; place < length; place += chunk) {
                    char *const result = out + (i + k) * step;
                    const bool first = start + place == 0;
                    chunk = length - place < most ? length - place : most;
                    r->fold(first ? result : part, at + place * size, chunk, 1);
                    if (!first) r->combine(result, (const void *[]){result, part}, 1, NULL);
                }
        }
}

/* log(sum(exp(x - m))) + m with m = max(x), or 0 where that is not finite. */
static void log_sum_exp(const wg_kernels *k, const wg_array *x, int64_t n, void *out) {
    wg_reducer max = reducer_of(k, WG_max, x->dtype, x->dtype);
    _Alignas(64) char tile[WG_TILE * sizeof(double)], shift[WG_TILE * sizeof(double)];
    bool f32 = x->dtype == WG_F32;
    double m = 0;
    if (n) fold_lines(&max, x, 1, n, tile);
    if (n) m = f32 ? *(float *)tile : *(double *)tile;
    if (!isfinite(m)) m = 0;
    int64_t width = n < WG_TILE ? n : WG_TILE;
    for (int64_t i = 0; i < width; i++) {
        if (f32)
            ((float *)shift)[i] = (float)m;
        else
            ((double *)shift)[i] = m;
    }
    union {
        float f32;
        double f64;
    } sum = {.f64 = 0}, part; /* zero in either */
    for (int64_t start = 0; start < n; start += WG_TILE) {
        int64_t length = n - start < WG_TILE ? n - start : WG_TILE;
        const void *in[2] = {wg_fetch(tile, x, start, length), shift};
        k->map[WG_sub][x->dtype](tile, in, length, NULL);
        k->map[WG_exp][x->dtype](tile, (const void *[]){tile}, length, NULL);
        k->fold[WG_FOLD_SUM][x->dtype](&part, tile, length, 1);
        k->map[WG_add][x->dtype](&sum, (const void *[]){&sum, &part}, 1, NULL);
    }
    k->map[WG_log][x->dtype](&sum, (const void *[]){&sum}, 1, NULL); /* as a region does: the same bits */
    if (f32)
        *(float *)out = sum.f32 + (float)m;
    else
        *(double *)out = sum.f64 + m;
}

/* Is the last kept axis denser than those reduced?  Then rows of it are combined whole. */
static bool rows_win(const wg_split *s, wg_dtype in, wg_dtype out) {
    int last = s->kept.ndim - 1;
    while (last >= 0 && s->kept.shape[last] == 1) last--;
    if (last < 0 || in != out || s->kept.strides[last] == 0) return false;
    for (int i = 0; i < s->reduced.ndim; i++) {
        const int64_t stride = wg_distance(s->reduced.strides[i]);
        if (s->reduced.shape[i] > 1 && stride && stride <= wg_distance(s->kept.strides[last])) return false;
    }
    return s->kept.shape[last] >= 4;
}

static void reduce_rows(const wg_reducer *r, wg_split *s, int64_t n_kept, int64_t n_reduced, char *out) {
    _Alignas(64) char tile[WG_TILE * 16];
    const int64_t itemsize = (int64_t)wg_itemsize(r->dtype);
    int last = s->kept.ndim - 1;
    while (s->kept.shape[last] == 1) last--;
    const int64_t stride = s->kept.strides[last], inner = s->reduced.ndim - 1;
    int64_t row = s->kept.shape[last];
    while (last-- > 0 && s->kept.strides[last] == row * stride) row *= s->kept.shape[last];
    const int64_t run = inner < 0 ? 1 : s->reduced.shape[inner], down = inner < 0 ? 0 : s->reduced.strides[inner];
    for (int64_t start = 0, n; start < n_kept; start += n, out += n * itemsize) {
        const char *x = s->kept.data + wg_place_of(&s->kept, start) * itemsize;
        n = row - start % row;
        if (stride != 1 && n > WG_TILE) n = WG_TILE;
        for (int64_t j = 0, place = 0, left = 0; j < n_reduced; j++, left--) {
            place = left ? place + down : wg_place_of(&s->reduced, j);
            if (left == 0) left = run;
            const void *in[2] = {out, x + place * itemsize};
            if (j == 0 || stride != 1) wg_copy_run(j ? tile : out, 1, in[1], stride, n, (size_t)itemsize);
            if (stride != 1) in[1] = tile;
            if (j && stride == 1 && r->down) {
                r->down(out, in[1], n, down, left);
                j += left - 1, left = 1;
            } else if (j)
                r->combine(out, in, n, NULL);
        }
    }
}

wg_status wg_execute_reduce(const wg_kernels *k, wg_step *step) {
    const wg_array *x = &step->in[0];
    int64_t n_out = wg_array_size(&step->out), n_in = wg_array_size(x);
    size_t itemsize = wg_itemsize(step->out.dtype);
    if (n_out == 0) return WG_OK;
    if (n_in == 0 && step->op != WG_logsumexp) { /* an empty sum or product; an empty max was refused */
        const void *in = &(uint8_t){step->op == WG_prod};
        for (int64_t i = 0; i < n_out; i++)
            k->cast[WG_BOOL][step->out.dtype](step->out.data + i * (int64_t)itemsize, &in, 1, NULL);
        return WG_OK;
    }
    wg_split s;
    split_axes(&s, x, (uint64_t)step->attrs[0]);
    int64_t n_reduced = n_in / n_out;
    wg_reducer r = reducer_of(k, step->op, x->dtype, step->out.dtype);
    if (step->op != WG_logsumexp && rows_win(&s, x->dtype, step->out.dtype)) {
        reduce_rows(&r, &s, n_out, n_reduced, step->out.data);
        return WG_OK;
    }
    if (step->op != WG_logsumexp) {
        fold_lines(&r, &s.lines, n_out, n_reduced, step->out.data);
        return WG_OK;
    }
    for (int64_t i = 0; i < n_out; i++) {
        s.reduced.data = x->data + wg_place_of(&s.kept, i) * (int64_t)itemsize;
        log_sum_exp(k, &s.reduced, n_reduced, step->out.data + i * (int64_t)itemsize);
    }
    return WG_OK;
}

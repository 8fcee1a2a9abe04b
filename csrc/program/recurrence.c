/* y[k] = a[k] y[k-1] + b[k] along an axis, or transposed y[k] = a[k+1] y[k+1] + b[k] from the end: one step after the
 * other, each a rounded product and a rounded sum.  With a = 1 it is a running sum. */
#include <string.h>

#include "program.h"

/* A walk along the axis: element i of each lies i strides on.  Transposed, it starts at the end and strides are
 * negative; a then starts one further, so that a[i] always couples y[i - 1] to y[i]. */
typedef struct {
    char *y;
    const char *a, *b;
    int64_t n, y_step, a_step, b_step; /* elements */
} wg_line;

#define LINE(name, T)                                                                                                  \
    static void line_##name(const wg_line *l) {                                                                        \
        T *y = (T *)(void *)l->y;                                                                                      \
        const T *a = (const T *)(const void *)l->a, *b = (const T *)(const void *)l->b;                                \
        T now = y[0] = b[0];                                                                                           \
        if (l->a_step == 0 && a[0] == 1)                                                                               \
            for (int64_t i = 1; i < l->n; i++) y[i * l->y_step] = now = now + b[i * l->b_step];                        \
        else                                                                                                           \
            for (int64_t i = 1; i < l->n; i++) y[i * l->y_step] = now = a[i * l->a_step] * now + b[i * l->b_step];     \
    }
LINE(u32, uint32_t) /* integers wrap around */
LINE(u64, uint64_t)
LINE(f32, float)
LINE(f64, double)

static void (*const line_of[WG_DTYPE_COUNT])(const wg_line *l) = {
    [WG_I32] = line_u32, [WG_I64] = line_u64, [WG_F32] = line_f32, [WG_F64] = line_f64};

/* The rows of one place are neighbours: they are combined whole. */
static void run_rows(const wg_kernels *k, const wg_step *step, int64_t first, int64_t n, int64_t inner, bool back) {
    _Alignas(64) char a[WG_TILE * 16], b[WG_TILE * 16];
    wg_map_fn times = k->map[WG_mul][step->out.dtype], plus = k->map[WG_add][step->out.dtype];
    int64_t itemsize = (int64_t)wg_itemsize(step->out.dtype);
    for (int64_t start = 0, width; start < inner; start += width) {
        width = inner - start < WG_TILE ? inner - start : WG_TILE;
        for (int64_t i = 0; i < n; i++) {
            int64_t row = first + (back ? n - 1 - i : i);
            char *y = step->out.data + (row * inner + start) * itemsize;
            const void *more = wg_fetch(b, &step->in[1], row * inner + start, width);
            if (i == 0) {
                memcpy(y, more, (size_t)(width * itemsize));
                continue;
            }
            const void *by = wg_fetch(a, &step->in[0], (row + back) * inner + start, width);
            times(y, (const void *[]){by, y + (back ? inner : -inner) * itemsize}, width, NULL);
            plus(y, (const void *[]){y, more}, width, NULL);
        }
    }
}

enum { FEW = 8 }; /* lines side by side that are not worth taking as rows */

wg_status wg_execute_recurrence(const wg_kernels *k, wg_step *step) {
    const wg_array *a = &step->in[0], *b = &step->in[1], *out = &step->out;
    int axis = (int)step->attrs[0];
    bool back = step->attrs[1] != 0;
    int64_t n = out->shape[axis], size = wg_array_size(out), inner = 1, itemsize = (int64_t)wg_itemsize(out->dtype);
    for (int i = axis + 1; i < out->ndim; i++) inner *= out->shape[i];
    if (!k->map[WG_mul][out->dtype] || !k->map[WG_add][out->dtype])
        return step->problem = "this op is not offered for this dtype; cast the operand", WG_TYPE_ERROR;
    bool rows = inner >= FEW || !line_of[out->dtype];
    for (int64_t start = 0; start < size; start += n * inner) {
        if (rows) {
            run_rows(k, step, start / inner, n, inner, back);
            continue;
        }
        for (int64_t j = 0; j < inner; j++) {
            int64_t at = start + j + (back ? (n - 1) * inner : 0), sign = back ? -1 : 1;
            int64_t a_step = sign * a->strides[axis], b_step = sign * b->strides[axis];
            line_of[out->dtype](&(wg_line){.y = out->data + at * itemsize,
                                           .a = a->data + (wg_place_of(a, at) - (back ? a_step : 0)) * itemsize,
                                           .b = b->data + wg_place_of(b, at) * itemsize,
                                           .n = n,
                                           .y_step = sign * inner,
                                           .a_step = a_step,
                                           .b_step = b_step});
        }
    }
    return WG_OK;
}

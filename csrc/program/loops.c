/* Strided walks: any layout to and from contiguous memory. */
#include <string.h>

#include "program.h"

bool wg_array_contiguous(const wg_array *x) {
    int64_t step = 1;
    bool contiguous = true;
    for (int i = x->ndim - 1; i >= 0; i--) {
        contiguous &= x->shape[i] == 1 || x->strides[i] == step;
        step *= x->shape[i];
    }
    return contiguous || step == 0; /* as all empty arrays are */
}

int64_t wg_place_of(const wg_array *x, int64_t index) {
    int64_t place = 0;
    for (int i = x->ndim - 1; i >= 0; i--) {
        place += index % x->shape[i] * x->strides[i];
        index /= x->shape[i];
    }
    return place;
}

/* The walk with neighbouring axes merged: element (i, j, ...) lies at i * stride[0] + ... */
typedef struct {
    int64_t shape[WG_MAX_NDIM], stride[WG_MAX_NDIM], at[WG_MAX_NDIM];
    int64_t place; /* of the current element */
    int ndim;
} wg_walk;

static void walk_init(wg_walk *w, const wg_array *x, int64_t start) {
    w->ndim = 0;
    for (int i = 0; i < x->ndim; i++) {
        if (x->shape[i] == 1) continue;
        int last = w->ndim - 1;
        if (last >= 0 && w->stride[last] == x->strides[i] * x->shape[i]) {
            w->shape[last] *= x->shape[i];
            w->stride[last] = x->strides[i];
        } else {
            w->shape[w->ndim] = x->shape[i];
            w->stride[w->ndim++] = x->strides[i];
        }
    }
    if (w->ndim == 0) {
        w->shape[0] = w->stride[0] = 1;
        w->ndim = 1;
    }
    w->place = 0;
    for (int i = w->ndim - 1; i >= 0; i--) {
        w->at[i] = start % w->shape[i];
        start /= w->shape[i];
        w->place += w->at[i] * w->stride[i];
    }
}

/* Moves on by n along axis i, not past its end. */
static void walk_on(wg_walk *w, int i, int64_t n) {
    w->at[i] += n;
    w->place += n * w->stride[i];
    while (w->at[i] == w->shape[i] && i > 0) {
        w->at[i] = 0;
        w->place += w->stride[i - 1] - w->shape[i] * w->stride[i];
        w->at[--i]++;
    }
}

enum { LEAST = 4, LONG = 32 }; /* elements: of less there is nothing to turn, and nothing to pick */

void wg_lay(char *dst, const char *src, const wg_axis *rows, const wg_axis *columns, int64_t itemsize) {
    const wg_kernels *k = wg_kernels_table();
    const wg_dtype alike = itemsize == 8 ? WG_F64 : WG_F32; /* of that size, if there is one */
    const bool offered = (itemsize == 4 || itemsize == 8) && k->turn[alike] && columns->d == 1;
    if (offered && rows->s == 1 && wg_distance(columns->s) > 1 && rows->n >= LEAST && columns->n >= LEAST)
        k->turn[alike](dst, rows->d, src, columns->s, rows->n, columns->n);
    else if (offered && columns->s == 2 && columns->n >= LONG)
        for (int64_t i = 0; i < rows->n; i++)
            k->pick[alike](dst + i * rows->d * itemsize, src + i * rows->s * itemsize, columns->n);
    else
        wg_copy_plane(dst, src, *rows, *columns, itemsize);
}

/* Where n elements hold several whole lines of the last axis, those are moved as one plane. */
void wg_gather(void *dst, const wg_array *x, int64_t start, int64_t n) {
    size_t itemsize = wg_itemsize(x->dtype);
    if (n <= 0) return; /* an empty array has no element to start from */
    wg_walk w;
    walk_init(&w, x, start);
    int last = w.ndim - 1;
    for (char *out = dst; n > 0;) {
        char *in = x->data + w.place * (int64_t)itemsize;
        int64_t line = w.shape[last], run = line - w.at[last];
        if (last > 0 && run == line && n >= 2 * line) {
            int64_t lines = w.shape[last - 1] - w.at[last - 1];
            if (lines > n / line) lines = n / line;
            wg_lay(out, in, &(wg_axis){lines, line, w.stride[last - 1]}, &(wg_axis){line, 1, w.stride[last]},
                   (int64_t)itemsize);
            run = lines * line;
            walk_on(&w, last - 1, lines);
        } else {
            if (run > n) run = n;
            wg_lay(out, in, &(wg_axis){1, 0, 0}, &(wg_axis){run, 1, w.stride[last]}, (int64_t)itemsize);
            walk_on(&w, last, run);
        }
        out += (size_t)run * itemsize;
        n -= run;
    }
}

const void *wg_fetch(void *tile, const wg_array *x, int64_t start, int64_t n) {
    wg_walk w;
    walk_init(&w, x, start);
    int last = w.ndim - 1;
    if (w.stride[last] == 1 && w.at[last] + n <= w.shape[last])
        return x->data + w.place * (int64_t)wg_itemsize(x->dtype);
    wg_gather(tile, x, start, n);
    return tile;
}

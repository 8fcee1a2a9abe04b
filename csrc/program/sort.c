/* argsort: every dtype's order is that of an unsigned key, so there is one sort.  It is stable: insertion for short
 * lines and merging for longer ones, then by bytes from the lowest (least significant digit first), eight passes at
 * most and no comparison. */
#include <string.h>

#include "program.h"

typedef struct {
    uint64_t key;
    int64_t at;
} wg_item;

#define SIGN (UINT64_C(1) << 63)

/* The bits of a float are ordered as it is once those of negative numbers are turned around.  NaN is above infinity; -0
 * and 0 are equal. */
static uint64_t key_of(const void *x, wg_dtype dtype) {
    double value;
    uint64_t bits;
    switch (dtype) {
    case WG_BOOL: return *(const uint8_t *)x;
    case WG_I32: return (uint64_t)(int64_t) * (const int32_t *)x ^ SIGN;
    case WG_I64: return *(const uint64_t *)x ^ SIGN;
    case WG_F32: value = *(const float *)x; break; /* exact */
    default: value = *(const double *)x; break;
    }
    if (value != value) return UINT64_MAX;
    if (value == 0) value = 0;
    memcpy(&bits, &value, sizeof bits);
    return bits & SIGN ? ~bits : bits ^ SIGN;
}

static void sort_short(wg_item *x, int64_t n) {
    for (int64_t i = 1; i < n; i++) {
        wg_item item = x[i];
        int64_t j = i;
        for (; j > 0 && x[j - 1].key > item.key; j--) x[j] = x[j - 1];
        x[j] = item;
    }
}

enum {
    RUN = 8,      /* insertion takes n^2 / 4 steps */
    LONGEST = 160 /* that is merged: the passes over bytes start with some thousands of steps */
};

/* Sorts x; the result is in x or in other, and returned. */
static wg_item *sort_merging(wg_item *x, wg_item *other, int64_t n) {
    for (int64_t i = 0; i < n; i += RUN) sort_short(x + i, n - i < RUN ? n - i : RUN);
    for (int64_t width = RUN; width < n; width *= 2) {
        for (int64_t start = 0; start < n; start += 2 * width) {
            const int64_t middle = n - start < width ? n : start + width, end = n - middle < width ? n : middle + width;
            int64_t a = start, b = middle, to = start;
            while (a < middle && b < end) { /* no branch on the keys, which nobody can foresee */
                const bool second = x[b].key < x[a].key;
                other[to++] = x[second ? b : a];
                a += !second, b += second;
            }
            memcpy(other + to, x + a, (size_t)(middle - a) * sizeof *x);
            memcpy(other + to + (middle - a), x + b, (size_t)(end - b) * sizeof *x);
        }
        wg_item *sorted = other;
        other = x;
        x = sorted;
    }
    return x;
}

static wg_item *sort_bytes(wg_item *x, wg_item *other, int64_t n) {
    int64_t count[8][256] = {{0}};
    for (int64_t i = 0; i < n; i++)
        for (int byte = 0; byte < 8; byte++) count[byte][x[i].key >> 8 * byte & 255]++;
    for (int byte = 0; byte < 8; byte++) {
        int64_t *place = count[byte], next = 0;
        if (place[x[0].key >> 8 * byte & 255] == n) continue; /* the same in all */
        for (int digit = 0; digit < 256; digit++) {
            int64_t here = place[digit];
            place[digit] = next;
            next += here;
        }
        for (int64_t i = 0; i < n; i++) other[place[x[i].key >> 8 * byte & 255]++] = x[i];
        wg_item *sorted = other;
        other = x;
        x = sorted;
    }
    return x;
}

size_t wg_argsort_scratch(const wg_step *step) {
    return wg_times(2 * sizeof(wg_item), (size_t)step->in[0].shape[step->attrs[0]]);
}

wg_status wg_execute_argsort(const wg_kernels *k, wg_step *step) {
    (void)k;
    const wg_array *x = &step->in[0];
    int axis = (int)step->attrs[0];
    uint64_t turned = step->attrs[1] ? UINT64_MAX : 0;
    int64_t n = x->shape[axis], size = wg_array_size(x), inner = 1, itemsize = (int64_t)wg_itemsize(x->dtype);
    for (int i = axis + 1; i < x->ndim; i++) inner *= x->shape[i];
    wg_item *items = step->scratch, *other = items + n;
    for (int64_t line = 0; line < size / (n ? n : 1); line++) {
        int64_t first = line / inner * n * inner + line % inner;
        const char *at = x->data + wg_place_of(x, first) * itemsize;
        for (int64_t i = 0; i < n; i++)
            items[i] = (wg_item){key_of(at + i * x->strides[axis] * itemsize, x->dtype) ^ turned, i};
        const wg_item *sorted = n <= LONGEST ? sort_merging(items, other, n) : sort_bytes(items, other, n);
        int64_t *out = (int64_t *)step->out.data + first;
        for (int64_t i = 0; i < n; i++) out[i * inner] = sorted[i].at;
    }
    return WG_OK;
}

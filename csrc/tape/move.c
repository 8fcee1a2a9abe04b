/* Copying arrays between any two layouts. */
#include <string.h>

#include "tape.h"

int64_t wg_array_size(const wg_array *x) {
    int64_t size = 1;
    for (int i = 0; i < x->ndim; i++) size *= x->shape[i];
    return size;
}

typedef struct {
    uint64_t half[2];
} wg_wide;

#ifdef __clang__
#define PICK(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define PICK(a, b, ...) __builtin_shuffle(a, b, (__typeof__(a)){__VA_ARGS__})
#endif
typedef uint32_t wg_four __attribute__((vector_size(16), aligned(4), may_alias));
typedef uint64_t wg_two __attribute__((vector_size(16), aligned(8), may_alias));

/* One element repeated, elements turned around, and every other one are loops that a compiler makes vectors of. */
#define COPY_RUN(type)                                                                                                 \
    do {                                                                                                               \
        type *d = (type *)dst;                                                                                         \
        const type *s = (const type *)src;                                                                             \
        if (d_step == 1 && s_step == 0)                                                                                \
            for (int64_t i = 0; i < n; i++) d[i] = s[0];                                                               \
        else if (d_step == 1 && s_step == -1)                                                                          \
            for (int64_t i = 0; i < n; i++) d[i] = s[-i];                                                              \
        else if (d_step == 1 && s_step == 2)                                                                           \
            for (int64_t i = 0; i < n; i++) d[i] = s[2 * i];                                                           \
        else                                                                                                           \
            for (int64_t i = 0; i < n; i++) d[i * d_step] = s[i * s_step];                                             \
    } while (0)

void wg_copy_run(char *restrict dst, int64_t d_step, const char *restrict src, int64_t s_step, int64_t n,
                 size_t itemsize) {
    static const wg_wide zero;
    if (d_step == 1 && s_step == 1) {
        memcpy(dst, src, (size_t)n * itemsize);
        return;
    }
    if (d_step == 1 && s_step == 0 && memcmp(src, &zero, itemsize) == 0) { /* adjoints begin so */
        memset(dst, 0, (size_t)n * itemsize);
        return;
    }
    switch (itemsize) {
    case 1: COPY_RUN(uint8_t); break;
    case 4: COPY_RUN(uint32_t); break;
    case 8: COPY_RUN(uint64_t); break;
    default: COPY_RUN(wg_wide); break;
    }
}

/* The axes that both have, neighbours merged where both allow it, in the destination's order. */
static int merge_axes(const wg_array *dst, const wg_array *src, wg_axis *axes) {
    int n = 0;
    for (int i = 0; i < dst->ndim; i++) {
        wg_axis a = {dst->shape[i], dst->strides[i], src->strides[i]};
        if (a.n == 1) continue;
        wg_axis *last = &axes[n - 1];
        if (n && last->d == a.d * a.n && last->s == a.s * a.n)
            *last = (wg_axis){last->n * a.n, a.d, a.s};
        else
            axes[n++] = a;
    }
    while (n < 2) axes[n++] = (wg_axis){1, 0, 0};
    return n;
}

/* Exchanges two axes: the order of a copy's loops is free. */
static void swap_axes(wg_axis *a, wg_axis *b) {
    wg_axis kept = *a;
    *a = *b;
    *b = kept;
}

enum {
    SHORT_RUN = 8, /* a run takes some nanoseconds to start */
    LONG_ROW = 64, /* of one element repeated: worth a call */
    BLOCK = 16     /* a turned matrix is copied in squares: each line of memory that is read serves a whole one */
};

/* Squares of a vector's width are turned in registers. */
static inline void turn_four(uint32_t *d, int64_t d_step, const uint32_t *s, int64_t s_step) {
    const wg_four a = *(const wg_four *)s, b = *(const wg_four *)(s + s_step);
    const wg_four c = *(const wg_four *)(s + 2 * s_step), e = *(const wg_four *)(s + 3 * s_step);
    const wg_four ab = PICK(a, b, 0, 4, 1, 5), ce = PICK(c, e, 0, 4, 1, 5);
    const wg_four high_ab = PICK(a, b, 2, 6, 3, 7), high_ce = PICK(c, e, 2, 6, 3, 7);
    *(wg_four *)d = PICK(ab, ce, 0, 1, 4, 5);
    *(wg_four *)(d + d_step) = PICK(ab, ce, 2, 3, 6, 7);
    *(wg_four *)(d + 2 * d_step) = PICK(high_ab, high_ce, 0, 1, 4, 5);
    *(wg_four *)(d + 3 * d_step) = PICK(high_ab, high_ce, 2, 3, 6, 7);
}

static inline void turn_two(uint64_t *d, int64_t d_step, const uint64_t *s, int64_t s_step) {
    const wg_two a = *(const wg_two *)s, b = *(const wg_two *)(s + s_step);
    *(wg_two *)d = PICK(a, b, 0, 2);
    *(wg_two *)(d + d_step) = PICK(a, b, 1, 3);
}

/* Down the source's lines, so that it is read as so many streams. */
#define COPY_TURNED(type, turn)                                                                                        \
    for (int64_t left = 0; left < wide; left += BLOCK)                                                                 \
        for (int64_t top = 0; top < high; top += BLOCK) {                                                              \
            type *restrict d = (type *)dst + top * rows.d + left;                                                      \
            const type *s = (const type *)src + top + left * columns.s;                                                \
            for (int64_t i = 0; i < BLOCK; i += 16 / (int64_t)sizeof(type))                                            \
                for (int64_t j = 0; j < BLOCK; j += 16 / (int64_t)sizeof(type))                                        \
                    turn(d + i * rows.d + j, rows.d, s + i + j * columns.s, columns.s);                                \
        }

/* Each element becomes a row of columns.n of them.  The last vector of a row may overlap the one before, or rows
 * before, which are written later. */
#define REPEAT_ROWS(type, vector)                                                                                      \
    do {                                                                                                               \
        const int64_t lanes = 16 / (int64_t)sizeof(type), last = columns.n - lanes;                                    \
        for (int64_t i = rows.n; i-- > 0;) {                                                                           \
            type *d = (type *)dst + i * rows.d;                                                                        \
            const vector v = (vector){0} + ((const type *)src)[i * rows.s];                                            \
            for (int64_t j = 0; j < last; j += lanes) *(vector *)(d + j) = v;                                          \
            if (i * rows.d + last >= 0)                                                                                \
                *(vector *)(d + last) = v;                                                                             \
            else                                                                                                       \
                for (int64_t j = 0; j < columns.n; j++) d[j] = v[0];                                                   \
        }                                                                                                              \
    } while (0)

static void copy_rows(char *dst, const char *src, wg_axis rows, wg_axis columns, int64_t itemsize) {
    const bool apart = columns.n * itemsize >= 16 || rows.d == columns.n;
    if (columns.s == 0 && columns.d == 1 && columns.n <= LONG_ROW && apart && rows.d >= columns.n &&
        (itemsize == 4 || itemsize == 8)) {
        if (itemsize == 4)
            REPEAT_ROWS(uint32_t, wg_four);
        else
            REPEAT_ROWS(uint64_t, wg_two);
        return;
    }
    const bool in_order = columns.s == 1 && columns.d == 1 && rows.d == columns.n;
    if (in_order && rows.s == 0 && rows.n > 1 && columns.n > 0) { /* one row again and again: what is there, doubled */
        const size_t row = (size_t)(columns.n * itemsize), size = (size_t)rows.n * row;
        memcpy(dst, src, row);
        for (size_t done = row; done < size; done *= 2)
            memcpy(dst + done, dst, done < size - done ? done : size - done);
        return;
    }
    if (columns.n < SHORT_RUN && rows.n > columns.n) swap_axes(&rows, &columns);
    for (int64_t i = 0; i < rows.n; i++)
        wg_copy_run(dst + i * rows.d * itemsize, columns.d, src + i * rows.s * itemsize, columns.s, columns.n,
                    (size_t)itemsize);
}

void wg_copy_plane(char *dst, const char *src, wg_axis rows, wg_axis columns, int64_t itemsize) {
    if (rows.s == -1) { /* from the other end */
        dst += (rows.n - 1) * rows.d * itemsize, src -= (rows.n - 1) * itemsize;
        rows.d = -rows.d, rows.s = 1;
    }
    if (rows.s == 1 && columns.d == 1 && wg_distance(columns.s) > 1 && (itemsize == 4 || itemsize == 8)) {
        const int64_t high = rows.n - rows.n % BLOCK, wide = high ? columns.n - columns.n % BLOCK : 0;
        if (itemsize == 4)
            COPY_TURNED(uint32_t, turn_four)
        else
            COPY_TURNED(uint64_t, turn_two)
        if (wide && high < rows.n) /* what is left below the squares, then beside them */
            copy_rows(dst + high * rows.d * itemsize, src + high * rows.s * itemsize,
                      (wg_axis){rows.n - high, rows.d, rows.s}, (wg_axis){wide, columns.d, columns.s}, itemsize);
        dst += wide * columns.d * itemsize, src += wide * columns.s * itemsize;
        columns.n -= wide;
    }
    copy_rows(dst, src, rows, columns, itemsize);
}

void wg_move(const wg_array *dst, const wg_array *src) {
    wg_axis axes[WG_MAX_NDIM + 2];
    int64_t at[WG_MAX_NDIM] = {0}, itemsize = (int64_t)wg_itemsize(dst->dtype);
    if (wg_array_size(dst) == 0) return;
    int n = merge_axes(dst, src, axes), dense = n - 1;
    for (int i = n - 2; i >= 0; i--)
        if (axes[i].n > 1 && wg_distance(axes[i].d) < wg_distance(axes[n - 1].d)) swap_axes(&axes[i], &axes[n - 1]);
    for (int i = n - 2; i >= 0; i--)
        if (axes[i].n > 1 && axes[i].s && wg_distance(axes[i].s) < wg_distance(axes[dense].s)) dense = i;
    if (dense != n - 1) swap_axes(&axes[dense], &axes[n - 2]); /* the source's own rows are the inner plane's */
    char *to = dst->data;
    const char *from = src->data;
    for (;;) {
        wg_copy_plane(to, from, axes[n - 2], axes[n - 1], itemsize);
        int i = n - 3;
        for (; i >= 0; i--) {
            to += axes[i].d * itemsize;
            from += axes[i].s * itemsize;
            if (++at[i] < axes[i].n) break;
            to -= axes[i].d * axes[i].n * itemsize;
            from -= axes[i].s * axes[i].n * itemsize;
            at[i] = 0;
        }
        if (i < 0) return;
    }
}

void wg_pack(void *dst, wg_dtype dtype, int ndim, const int64_t *shape, const int64_t *strides, const void *src) {
    int64_t packed[WG_MAX_NDIM];
    wg_contiguous_strides(ndim, shape, packed);
    wg_move(&(wg_array){dst, shape, packed, ndim, dtype},
            &(wg_array){(char *)(uintptr_t)src, shape, strides, ndim, dtype});
}

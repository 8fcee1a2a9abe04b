/* argsort.  An element's rank and its index within the line make one number, its item, and no two items are equal: any
 * sort of them is stable.  Many lines of moderate length are the columns of a network; a line that is longer, or alone,
 * is sorted by bytes from the lowest (least significant digit first).
 *
 * An item has 63 bits.  Ranks that leave no room for the index lose their lowest bits; where that brings two elements
 * into the wrong order, the line is sorted again, by those bits first. */
#include <string.h>

#include "program.h"

enum { LANES = 16, BLOCK = 64 /* elements of a line that are brought into columns at once */ };

typedef struct {
    const wg_kernels *k;
    const wg_step *step;
    int64_t n, inner, over;          /* elements of a line, from one to the next, and of what an index counts over */
    int64_t lines, groups, together; /* lines in a group */
    bool by_columns, flat;           /* flat: lines lie end to end */
    int parts;
    size_t need; /* bytes of scratch for each part */
} wg_sorting;

typedef struct { /* lines whose ranks have the same range */
    int64_t n, lines;
    int64_t *ranks;         /* (lines, n) */
    int64_t *items, *other; /* (n,): of one line */
    int64_t *columns;       /* (n, lines): of all */
    uint64_t lowest;
    int index_bits, rank_bits, lost; /* bits of an index, of ranks above the lowest, and of those that items lose */
} wg_lines;

static int bits_of(uint64_t x) {
    int bits = 0;
    for (; x; x >>= 1) bits++;
    return bits;
}

static int64_t item_of(const wg_lines *l, int64_t rank, int shift, int64_t index) {
    return (int64_t)(((uint64_t)rank - l->lowest) >> shift << l->index_bits & INT64_MAX) | index;
}

static int64_t index_of(const wg_lines *l, int64_t item) { return item & (((int64_t)1 << l->index_bits) - 1); }

/* Sorts a line's items by the bytes of their ranks; they end in l->items or in l->other, which change places. */
static void sort_bytes(wg_lines *l, int bits) {
    const int64_t n = l->n;
    int64_t count[8][256] = {{0}};
    for (int64_t i = 0; i < n; i++)
        for (int byte = 0; 8 * byte < bits; byte++) count[byte][l->items[i] >> (l->index_bits + 8 * byte) & 255]++;
    for (int byte = 0; 8 * byte < bits; byte++) {
        const int64_t *from = l->items;
        int64_t *to = l->other, *place = count[byte], next = 0;
        const int shift = l->index_bits + 8 * byte;
        if (place[from[0] >> shift & 255] == n) continue; /* the same in all */
        for (int digit = 0; digit < 256; digit++) {
            const int64_t here = place[digit];
            place[digit] = next;
            next += here;
        }
        for (int64_t i = 0; i < n; i++) to[place[from[i] >> shift & 255]++] = from[i];
        l->other = l->items, l->items = to;
    }
}

/* One line by its ranks without their lowest bits, as many of them at a time as an item holds. */
static void sort_line(wg_lines *l, const int64_t *ranks, int lost) {
    const int room = 63 - l->index_bits;
    for (int64_t i = 0; i < l->n; i++) l->items[i] = i;
    for (int shift = lost; shift < l->rank_bits; shift += room) {
        for (int64_t i = 0; i < l->n; i++) {
            const int64_t index = index_of(l, l->items[i]);
            l->items[i] = item_of(l, ranks[index], shift, index);
        }
        sort_bytes(l, l->rank_bits - shift < room ? l->rank_bits - shift : room);
    }
}

static void sort_columns(const wg_kernels *k, const wg_lines *lines) {
    const wg_lines l = *lines; /* which no store changes */
    for (int64_t start = 0; start < l.n; start += BLOCK) {
        const int64_t end = l.n - start < BLOCK ? l.n : start + BLOCK;
        for (int64_t line = 0; line < l.lines; line++)
            for (int64_t i = start; i < end; i++)
                l.columns[i * l.lines + line] = item_of(&l, l.ranks[line * l.n + i], l.lost, i);
    }
    k->sort_columns(l.columns, l.n, l.lines);
}

/* Brings items, `step` apart, from the order without the lowest bits of their ranks into that of whole ranks, by
 * insertion.  False: it would take more than n moves. */
static bool mend(const wg_lines *l, int64_t *items, int64_t step, const int64_t *ranks) {
    const int bits = l->index_bits;
    int64_t last = items[0], moves = l->n;
    for (int64_t i = 1; i < l->n; i++) {
        const int64_t item = items[i * step];
        if (item >> bits == last >> bits) {
            const int64_t rank = ranks[index_of(l, item)];
            int64_t *at = items + i * step;
            for (; at > items && at[-step] >> bits == item >> bits; at -= step) {
                if (ranks[index_of(l, at[-step])] <= rank) break;
                if (moves-- == 0) return false;
                *at = at[-step];
            }
            *at = item;
        }
        last = item;
    }
    return true;
}

static int64_t first_of(const wg_sorting *s, int64_t line) {
    return line / s->inner * s->n * s->inner + line % s->inner;
}

/* The ranks of lines from `start` on, and their range; of all in a part before those in the next. */
static void rank(const wg_sorting *s, int64_t start, wg_lines *l) {
    _Alignas(64) char tile[WG_TILE * 8];
    const wg_array *x = &s->step->in[0];
    const bool falling = s->step->attrs[1] != 0;
    const int64_t stride = x->strides[s->step->attrs[0]], itemsize = (int64_t)wg_itemsize(x->dtype);
    int64_t range[2] = {INT64_MAX, INT64_MIN};
    if (s->flat) s->k->rank[x->dtype](l->ranks, x->data + start * l->n * itemsize, l->lines * l->n, falling, range);
    for (int64_t i = 0, n; i < l->n && !s->flat; i += n) {
        n = l->n - i < WG_TILE ? l->n - i : WG_TILE;
        for (int64_t line = 0; line < l->lines; line++) {
            const int64_t place = wg_place_of(x, first_of(s, start + line)) + i * stride;
            wg_copy_run(tile, 1, x->data + place * itemsize, stride, n, (size_t)itemsize);
            s->k->rank[x->dtype](l->ranks + line * l->n + i, tile, n, falling, range);
        }
    }
    l->lowest = (uint64_t)range[0];
    l->rank_bits = bits_of((uint64_t)range[1] - l->lowest);
    l->lost = l->rank_bits + l->index_bits > 63 ? l->rank_bits + l->index_bits - 63 : 0;
}

/* The indices of items, `apart` elements from one to the next, into n places of the result, `inner` from one to the
 * next; lines side by side are written row by row. */
static void write_places(const wg_sorting *s, const wg_lines *l, int64_t first, const int64_t *items, int64_t lines) {
    const int64_t mask = ((int64_t)1 << l->index_bits) - 1, base = s->over ? first % s->over : 0;
    const int64_t apart = s->over ? s->inner : 1, next = s->over ? 1 : 0, n = l->n, step = s->by_columns ? l->lines : 1;
    int64_t *out = (int64_t *)s->step->out.data + first;
    if (s->inner == 1)
        for (int64_t i = 0; i < n; i++) out[i] = base + (items[i * step] & mask);
    else
        for (int64_t i = 0; i < n; i++, out += s->inner, items += step)
            for (int64_t line = 0; line < lines; line++) out[line] = base + line * next + (items[line] & mask) * apart;
}

static void sort_group(const wg_sorting *s, int64_t start, wg_lines l) {
    const bool across = s->by_columns && start % s->inner + l.lines <= s->inner;
    rank(s, start, &l);
    if (s->by_columns) sort_columns(s->k, &l);
    for (int64_t line = 0; line < l.lines; line++) {
        const int64_t *ranks = l.ranks + line * l.n, step = l.lines;
        int64_t *items = l.columns + line;
        if (!s->by_columns) sort_line(&l, ranks, l.lost), items = l.items;
        if (l.lost && !mend(&l, items, step, ranks)) {
            sort_line(&l, ranks, 0);
            for (int64_t i = 0; i < l.n && s->by_columns; i++) items[i * step] = l.items[i];
            if (!s->by_columns) items = l.items;
        }
        if (!across) write_places(s, &l, first_of(s, start + line), items, 1);
    }
    if (across) write_places(s, &l, first_of(s, start), l.columns, l.lines);
}

static wg_sorting sorting_of(const wg_step *step) {
    const wg_array *x = &step->in[0];
    const int axis = (int)step->attrs[0];
    wg_sorting s = {.step = step, .n = x->shape[axis], .inner = 1};
    for (int i = axis + 1; i < x->ndim; i++) s.inner *= x->shape[i];
    s.lines = s.n ? wg_array_size(x) / s.n : 0;
    s.flat = s.inner == 1 && wg_array_contiguous(x);
    if (step->attrs[2] > 0) s.over = 1;
    for (int i = x->ndim - (int)step->attrs[2]; i < x->ndim; i++) s.over *= x->shape[i];
    const int64_t full = (s.lines + LANES - 1) / LANES, even = full ? (s.lines + full - 1) / full : 1;
    s.by_columns = s.n <= 128 * even; /* measured: else bytes are faster */
    s.together = s.by_columns ? even : 1;
    s.groups = (s.lines + s.together - 1) / s.together;
    s.parts = s.groups && s.groups < step->parts ? (int)s.groups : step->parts;
    const size_t rows = s.by_columns ? 2 * (size_t)s.together + 2 : 3;
    s.need = wg_round_up(wg_times(wg_times(rows, (size_t)s.n), sizeof(int64_t)));
    return s;
}

size_t wg_argsort_scratch(const wg_step *step) {
    const wg_sorting s = sorting_of(step);
    return wg_times(s.need, (size_t)s.parts);
}

static void run_part(void *context, int part) {
    const wg_sorting *s = context;
    int64_t *scratch = (int64_t *)(void *)((char *)s->step->scratch + (size_t)part * s->need);
    wg_lines l = {.n = s->n, .index_bits = bits_of((uint64_t)s->n - 1), .items = scratch, .other = scratch + s->n};
    l.ranks = l.other + s->n, l.columns = l.ranks + s->together * s->n;
    for (int64_t group = s->groups * part / s->parts; group < s->groups * (part + 1) / s->parts; group++) {
        const int64_t start = group * s->together;
        l.lines = s->lines - start < s->together ? s->lines - start : s->together;
        sort_group(s, start, l);
    }
}

wg_status wg_execute_argsort(const wg_kernels *k, wg_step *step) {
    wg_sorting s = sorting_of(step);
    s.k = k;
    if (s.lines > 0) wg_parallel(step->alone, s.parts, run_part, &s);
    return WG_OK;
}

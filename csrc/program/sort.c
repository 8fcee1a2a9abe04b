/* argsort and sort.  An element's rank and its index within the line make one number, its item, and no two items are
 * equal: any sort of them is stable.  Many lines of moderate length are the columns of a network; a line that is
 * longer, or alone, is sorted by bytes from the lowest (least significant digit first).
 *
 * An item has 63 bits.  Ranks that leave no room for the index lose their lowest bits; where that brings two elements
 * into the wrong order, the line is sorted again, by those bits first.
 *
 * A sort, whose permutation nobody reads, takes the network of its own dtype, if in these lines no two numbers are
 * equal and not the same (0 and -0, NaN of all kinds); else it is by items, too, so that its bits are always theirs. */
#include <string.h>

#include "program.h"

typedef struct {
    const wg_kernels *k;
    const wg_step *step;
    int64_t n, inner, over;          /* elements of a line, from one to the next, and of what an index counts over */
    int64_t lines, groups, together; /* lines in a group */
    bool by_columns, values;         /* values: only the elements are wanted */
    int parts;
    size_t need; /* bytes of scratch for each part */
} wg_sorting;

typedef struct { /* lines side by side, whose ranks have the same range */
    int64_t n, lines;
    int64_t *ranks;         /* (n, lines) */
    int64_t *items, *other; /* (n,): of one line */
    int64_t *columns; /* (wg_sort_rows(n), lines): the elements, then the items of all, if they are more than one */
    uint64_t lowest;
    int index_bits, rank_bits, lost; /* bits of an index, of ranks above the lowest, and of those that items lose */
} wg_lines;

static int bits_of(uint64_t x) { return x ? 64 - __builtin_clzll(x) : 0; }

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
            l->items[i] = item_of(l, ranks[index * l->lines], shift, index);
        }
        sort_bytes(l, l->rank_bits - shift < room ? l->rank_bits - shift : room);
    }
}

static void sort_columns(const wg_kernels *k, const wg_lines *lines) {
    const wg_lines l = *lines; /* which no store changes */
    for (int64_t i = 0; i < l.n; i++)
        for (int64_t j = i * l.lines; j < (i + 1) * l.lines; j++) l.columns[j] = item_of(&l, l.ranks[j], l.lost, i);
    k->sort_columns[WG_I64](l.columns, l.n, l.lines);
}

/* Brings a line's items from the order without the lowest bits of their ranks into that of whole ranks, by
 * insertion.  False: it would take more than n moves. */
static bool mend(const wg_lines *l, int64_t *items, const int64_t *ranks) {
    const int bits = l->index_bits;
    const int64_t step = l->lines;
    int64_t last = items[0], moves = l->n;
    for (int64_t i = 1; i < l->n; i++) {
        const int64_t item = items[i * step];
        if (item >> bits == last >> bits) {
            const int64_t rank = ranks[index_of(l, item) * step];
            int64_t *at = items + i * step;
            for (; at > items && at[-step] >> bits == item >> bits; at -= step) {
                if (ranks[index_of(l, at[-step]) * step] <= rank) break;
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

/* Lines of x to columns side by side, or back: as many at once as are known to lie evenly apart. */
static void lay_lines(const wg_sorting *s, const wg_array *x, int64_t start, int64_t lines, char *columns, bool back) {
    const int64_t size = (int64_t)wg_itemsize(x->dtype), stride = x->strides[s->step->attrs[0]], n = s->n;
    const int64_t apart = s->inner > 1 ? 1 : n;
    const int64_t row = !wg_array_contiguous(x) ? 1 : s->inner > 1 ? s->inner : INT64_MAX; /* so many lie evenly */
    for (int64_t line = 0, run; line < lines; line += run) {
        run = row - (start + line) % row < lines - line ? row - (start + line) % row : lines - line;
        char *in_x = x->data + wg_place_of(x, first_of(s, start + line)) * size, *column = columns + line * size;
        if (!back)
            wg_lay(column, in_x, &(wg_axis){n, lines, stride}, &(wg_axis){run, 1, apart}, size);
        else if (apart < stride)
            wg_lay(in_x, column, &(wg_axis){n, stride, lines}, &(wg_axis){run, apart, 1}, size);
        else
            wg_lay(in_x, column, &(wg_axis){run, apart, 1}, &(wg_axis){n, stride, lines}, size);
    }
}

/* Lines from `start` on, which are in columns, as elements alone.  False: these are for items to sort. */
static bool sort_values(const wg_sorting *s, int64_t start, const wg_lines *l) {
    const wg_dtype dtype = s->step->in[0].dtype;
    if (!s->values || !s->by_columns || !s->k->sort_columns[dtype]) return false;
    if (s->k->tell_apart[dtype] && !s->k->tell_apart[dtype](l->columns, l->n * l->lines)) return false;
    s->k->sort_columns[dtype](l->columns, l->n, l->lines);
    lay_lines(s, &s->step->out, start, l->lines, (char *)l->columns, true);
    return true;
}

/* The ranks of columns of elements, and their range; of all in a part before those in the next. */
static void rank(const wg_sorting *s, wg_lines *l) {
    int64_t range[2] = {INT64_MAX, INT64_MIN};
    s->k->rank[s->step->in[0].dtype](l->ranks, l->columns, l->n * l->lines, s->step->attrs[1] != 0, range);
    l->lowest = (uint64_t)range[0];
    l->rank_bits = bits_of((uint64_t)range[1] - l->lowest);
    l->lost = l->rank_bits + l->index_bits > 63 ? l->rank_bits + l->index_bits - 63 : 0;
}

/* The indices of items into n places of the result, `inner` from one to the next; lines side by side are written row by
 * row. */
static void write_places(const wg_sorting *s, const wg_lines *l, int64_t first, const int64_t *items, int64_t lines) {
    const int64_t mask = ((int64_t)1 << l->index_bits) - 1, base = s->over ? first % s->over : 0;
    const int64_t apart = s->over ? s->inner : 1, next = s->over ? 1 : 0, n = l->n, step = l->lines;
    int64_t *out = (int64_t *)s->step->out.data + first;
    if (s->inner == 1)
        for (int64_t i = 0; i < n; i++) out[i] = base + (items[i * step] & mask);
    else
        for (int64_t i = 0; i < n; i++, out += s->inner, items += step)
            for (int64_t line = 0; line < lines; line++) out[line] = base + line * next + (items[line] & mask) * apart;
}

/* The elements at a line's items. */
static void write_values(const wg_sorting *s, const wg_lines *l, int64_t first, const int64_t *items) {
    const wg_array *x = &s->step->in[0];
    const int64_t size = (int64_t)wg_itemsize(x->dtype), n = l->n;
    const wg_array line = {x->data + wg_place_of(x, first) * size, &n, &x->strides[s->step->attrs[0]], 1, x->dtype};
    for (int64_t i = 0; i < n; i++) l->other[i] = index_of(l, items[i * l->lines]);
    wg_pick_rows((char *)l->items, &line, l->other, n, 1);
    wg_copy_run(s->step->out.data + first * size, s->inner, (char *)l->items, 1, n, (size_t)size);
}

static void sort_group(const wg_sorting *s, int64_t start, wg_lines l) {
    const bool across = s->by_columns && start % s->inner + l.lines <= s->inner;
    lay_lines(s, &s->step->in[0], start, l.lines, (char *)l.columns, false);
    if (sort_values(s, start, &l)) return;
    rank(s, &l);
    if (s->by_columns) sort_columns(s->k, &l);
    for (int64_t line = 0; line < l.lines; line++) {
        const int64_t *ranks = l.ranks + line;
        int64_t *items = l.columns + line;
        if (!s->by_columns) sort_line(&l, ranks, l.lost), items = l.items;
        if (l.lost && !mend(&l, items, ranks)) {
            sort_line(&l, ranks, 0);
            for (int64_t i = 0; i < l.n; i++) items[i * l.lines] = l.items[i];
        }
        if (s->values)
            write_values(s, &l, first_of(s, start + line), items);
        else if (!across)
            write_places(s, &l, first_of(s, start + line), items, 1);
    }
    if (across && !s->values) write_places(s, &l, first_of(s, start), l.columns, l.lines);
}

static wg_sorting sorting_of(const wg_step *step) {
    const wg_array *x = &step->in[0];
    const int axis = (int)step->attrs[0];
    wg_sorting s = {.step = step, .n = x->shape[axis], .inner = 1, .values = step->op == WG_sort};
    for (int i = axis + 1; i < x->ndim; i++) s.inner *= x->shape[i];
    s.lines = s.n ? wg_array_size(x) / s.n : 0;
    if (step->attrs[2] > 0) s.over = 1;
    for (int i = x->ndim - (int)step->attrs[2]; i < x->ndim; i++) s.over *= x->shape[i];
    const int64_t full = (s.lines + WG_SORT_COLUMNS - 1) / WG_SORT_COLUMNS;
    const int64_t even = full ? (s.lines + full - 1) / full : 1;
    /* Measured: else bytes are faster; and 16 lines of 8,192, with what they become, take 2 MB. */
    s.by_columns = s.n <= 64 * even * (even + 1) && s.n <= 8192;
    s.together = s.by_columns ? even : 1;
    s.groups = (s.lines + s.together - 1) / s.together;
    s.parts = s.groups && s.groups < step->parts ? (int)s.groups : step->parts;
    const size_t rows = (size_t)(s.by_columns ? wg_sort_rows(s.n) : s.n);
    s.need = wg_round_up(wg_times(wg_times(2 * (size_t)s.together + 2, rows), sizeof(int64_t)));
    return s;
}

size_t wg_sort_scratch(const wg_step *step) {
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

wg_status wg_execute_sort(const wg_kernels *k, wg_step *step) {
    wg_sorting s = sorting_of(step);
    s.k = k;
    if (s.lines > 0) wg_parallel(step->alone, s.parts, run_part, &s);
    return WG_OK;
}

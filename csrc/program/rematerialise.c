/* Rematerialisation: a large array that is cheap to compute from what is in memory anyway is computed again in each
 * region that reads it, instead of being written by one and read by others (Briggs, Cooper & Torczon 1992, for
 * registers).  Layers whose activation is written in NumPy code keep the products' results and the hard functions,
 * and not every sum and multiple between (docs/adr/0032-rematerialisation.md). */
#include <stdlib.h>
#include <string.h>

#include "program.h"

enum {
    LARGE = 1 << 16, /* bytes: smaller arrays stay in the caches from one region to the next */
    DEEP = 8,        /* operations that are done again for one array, about */
};
static const double CHEAP = 0.02; /* nanoseconds for each byte of a result: arithmetic and comparisons, see cost.c */

typedef struct { /* of a list */
    uint32_t what, next;
} wg_link;

typedef struct {
    const wg_program *p;
    wg_tape *t;
    const wg_range *ranges;
    uint32_t n_ranges;
    wg_window *windows;
    uint32_t *range;   /* by node: which, or WG_NONE */
    bool *escapes;     /* by node: before anything is computed again */
    uint32_t *readers; /* by node: a list of the ranges that need it; WG_NONE among them: in memory */
    bool *dropped;     /* by node: nobody does */
    bool repeats;      /* some node is computed again */
    uint32_t *again;   /* by range: a list of nodes that it computes again, in order */
    wg_link *links;
    uint32_t n_links, cap_links;
    wg_tape *out;
    wg_id *map, *kept; /* by node: its copy; and the one outside of a range that computes it again */
    wg_range *anew;
    uint32_t n_anew;
} wg_repeater;

static wg_status add_link(wg_repeater *w, uint32_t *list, uint32_t what) {
    for (uint32_t k = *list; k != WG_NONE; k = w->links[k].next)
        if (w->links[k].what == what) return WG_OK;
    if (!wg_grow(&w->links, &w->cap_links, (uint64_t)w->n_links + 1, sizeof *w->links)) return wg_no_memory(w->t);
    w->links[w->n_links] = (wg_link){what, *list};
    *list = w->n_links++;
    return WG_OK;
}

static int64_t bytes_of(const wg_tape *t, wg_id id) {
    return wg_size(t, id) * (int64_t)wg_itemsize(t->nodes[id].dtype);
}

/* Large, and cheap to compute. */
static bool may_repeat(const wg_repeater *w, wg_id id) {
    const wg_node_rec *node = &w->t->nodes[id];
    int64_t rows;
    return bytes_of(w->t, id) >= LARGE && wg_role_of(w->t, w->windows, id, &rows) == WG_ROLE_MAP &&
           wg_element_cost(node->op, (wg_dtype)node->dtype) <= CHEAP * (double)wg_itemsize(node->dtype);
}

/* Follows from numbers, vectors that are repeated, and one large array, *leaf (WG_NONE: none so far), all of which are
 * in memory anyway, by few operations. */
static bool follows(const wg_repeater *w, wg_id id, wg_id *leaf, int *ops) {
    const wg_id *in;
    if (++*ops > DEEP) return false;
    for (int k = 0, n = wg_operands(w->t, id, &in); k < n; k++) {
        const wg_id root = w->windows[in[k]].root;
        const bool outside = w->range[root] == WG_NONE, kept = outside || w->escapes[root];
        if (2 * wg_size(w->t, root) <= wg_size(w->t, id)) {
            if (!kept) return false;
        } else if (w->range[root] == w->range[id] && root == in[k] && may_repeat(w, root)) {
            if (!follows(w, root, leaf, ops)) return false;
        } else {
            if (!kept || (root != in[k] && !outside) || (*leaf != WG_NONE && *leaf != root)) return false;
            *leaf = root;
        }
    }
    return true;
}

/* Is the node computed again wherever another region reads it?  One array is read there in place of another. */
static bool repeats(const wg_repeater *w, wg_id id) {
    const uint32_t own = w->range[id];
    if (own == WG_NONE || w->ranges[own].rows <= 1 || !may_repeat(w, id)) return false;
    bool elsewhere = false;
    for (uint32_t k = w->readers[id]; k != WG_NONE; k = w->links[k].next) {
        const uint32_t reader = w->links[k].what;
        if (reader == WG_NONE || w->ranges[reader].rows != w->ranges[own].rows) return false;
        elsewhere |= reader != own;
    }
    wg_id leaf = WG_NONE;
    int ops = 0;
    return elsewhere && follows(w, id, &leaf, &ops);
}

/* The operands of a node that runs in a range, or in none, are needed there: in memory, unless the range could read
 * them block by block as it would compute them. */
static wg_status need_operands(wg_repeater *w, wg_id id, uint32_t range) {
    const wg_id *in;
    int64_t rows;
    const wg_role role = range == WG_NONE ? WG_ROLE_NONE : wg_role_of(w->t, w->windows, id, &rows);
    for (int k = 0, n = wg_operands(w->t, id, &in); k < n; k++) {
        const bool there =
            range != WG_NONE && w->windows[id].root == id && w->windows[in[k]].root == in[k] &&
            w->ranges[range].rows > 1 &&
            (w->range[in[k]] == range || wg_streams(w->t, w->windows, id, role, k, w->ranges[range].rows));
        WG_TRY(add_link(w, &w->readers[in[k]], there ? range : WG_NONE));
    }
    return WG_OK;
}

/* From the last node to the first: who needs it is known by then. */
static wg_status decide(wg_repeater *w) {
    for (uint32_t k = 0; k < w->t->n_outputs; k++) WG_TRY(add_link(w, &w->readers[w->t->outputs[k]], WG_NONE));
    for (wg_id id = w->t->len; id-- > 0;) {
        const uint32_t own = w->range[id];
        if (!repeats(w, id)) {
            WG_TRY(need_operands(w, id, own));
            continue;
        }
        w->dropped[id] = w->repeats = true;
        for (uint32_t k = w->readers[id], next; k != WG_NONE; k = next) {
            const uint32_t reader = w->links[k].what;
            next = w->links[k].next; /* adding links may move them */
            if (reader == own)
                w->dropped[id] = false;
            else
                WG_TRY(add_link(w, &w->again[reader], id));
            WG_TRY(need_operands(w, id, reader));
        }
    }
    return WG_OK;
}

/* ---- the tape anew ----------------------------------------------------------------------------------------- */
static wg_status copy(wg_repeater *w, wg_id id) { return wg_copy_node(w->out, w->t, id, w->map, &w->map[id]); }

static wg_status write_range(wg_repeater *w, const wg_range *range) {
    const wg_id lo = w->out->len;
    const uint32_t again = w->again[range - w->ranges];
    for (uint32_t k = again; k != WG_NONE; k = w->links[k].next) {
        const wg_id id = w->links[k].what;
        w->kept[id] = w->map[id];
        WG_TRY(copy(w, id));
    }
    for (wg_id id = range->lo; id < range->hi; id++)
        if (!w->dropped[id]) WG_TRY(copy(w, id));
    for (uint32_t k = again; k != WG_NONE; k = w->links[k].next) w->map[w->links[k].what] = w->kept[w->links[k].what];
    if (w->out->len > lo) w->anew[w->n_anew++] = (wg_range){lo, w->out->len, range->rows};
    return WG_OK;
}

static wg_status write_all(wg_repeater *w) {
    for (wg_id id = 0; id < w->t->len;) {
        const uint32_t range = w->range[id];
        if (range == WG_NONE)
            WG_TRY(copy(w, id));
        else
            WG_TRY(write_range(w, &w->ranges[range]));
        id = range == WG_NONE ? id + 1 : w->ranges[range].hi;
    }
    return wg_map_outputs(w->out, w->t, w->map);
}

static wg_status rematerialise(wg_repeater *w) {
    const size_t n = (size_t)w->t->len + 1, n_ranges = (size_t)w->n_ranges + 1;
    w->out = wg_tape_create(NULL);
    w->windows = malloc(n * sizeof *w->windows);
    w->range = malloc(n * sizeof *w->range);
    w->escapes = calloc(n, sizeof *w->escapes);
    w->readers = malloc(n * sizeof *w->readers);
    w->dropped = calloc(n, sizeof *w->dropped);
    w->again = malloc(n_ranges * sizeof *w->again);
    w->map = malloc(n * sizeof *w->map);
    w->kept = malloc(n * sizeof *w->kept);
    w->anew = malloc(n_ranges * sizeof *w->anew);
    if (!w->out || !w->windows || !w->range || !w->escapes || !w->readers || !w->dropped || !w->again || !w->map ||
        !w->kept || !w->anew)
        return wg_no_memory(w->t);
    memset(w->range, 0xff, n * sizeof *w->range);
    memset(w->readers, 0xff, n * sizeof *w->readers);
    memset(w->again, 0xff, n_ranges * sizeof *w->again);
    for (uint32_t k = 0; k < w->n_ranges; k++)
        for (wg_id id = w->ranges[k].lo; id < w->ranges[k].hi; id++) w->range[id] = k;
    WG_TRY(wg_find_windows(w->t, NULL, w->windows));
    wg_find_escapes(w->p, w->windows, w->range, w->escapes);
    WG_TRY(decide(w));
    return w->repeats ? write_all(w) : WG_OK;
}

wg_status wg_rematerialise(wg_program *p) {
    wg_repeater w = {.p = p, .t = p->flat, .ranges = p->ranges, .n_ranges = p->n_ranges};
    wg_status status = rematerialise(&w);
    if (status != WG_OK && w.out && w.out->error[0]) wg_fail(w.t, status, "%s", w.out->error);
    free(w.windows);
    free(w.range);
    free(w.escapes);
    free(w.readers);
    free(w.dropped);
    free(w.again);
    free(w.links);
    free(w.map);
    free(w.kept);
    if (status != WG_OK || !w.repeats) {
        if (w.out) wg_tape_release(w.out);
        free(w.anew);
        return status;
    }
    wg_tape_release(p->flat);
    free(p->ranges);
    p->flat = w.out;
    p->ranges = w.anew;
    p->n_ranges = w.n_anew;
    return WG_OK;
}

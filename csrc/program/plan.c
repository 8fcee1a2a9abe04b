/* The memory plan.  Every node that is not a view owns a storage; views share their root's.  A storage is a result's
 * buffer where that is safe, else a block of the arena that is taken at its definition and given back after its last
 * reader; an elementwise result takes over the block of an operand of its step that dies there.  What only a region
 * reads has no storage: the region keeps it in tiles.  An input that is not in C order is read where it lies, unless a
 * region reads it: then it is copied first. */
#include <stdlib.h>
#include <string.h>

#include "program.h"

#define FOREVER (WG_NONE - 1)

typedef struct {
    wg_place place;
    size_t size; /* bytes */
    wg_id first; /* the first node of the step that writes it first */
    wg_id last;  /* the last node of the last step that reads it, 0: none; FOREVER: copied out at the end */
    bool arena, placed;
    uint32_t host; /* the storage that it is a part of, WG_NONE: it stands alone */
} wg_storage;

typedef struct {
    wg_program *p;
    wg_tape *t;
    wg_window *windows; /* by node */
    uint32_t *range;    /* by node: its region's place among the ranges, or WG_NONE */
    bool *escapes;      /* by node: read outside of its region, or an output */
    uint32_t *storage;  /* by root */
    wg_storage *items;
    uint32_t n_items, cap_items;
    wg_arena arena;
    wg_interface *faces;           /* by region */
    uint32_t *numbers;             /* theirs */
    const int64_t *const *strides; /* by input, as given */
    const int64_t **in_place;      /* the same without those that are copied */
    bool *skipped;                 /* by node: no step is needed, for all operands are computed in place */
    size_t *live;                  /* by first node of a step: bytes of the arena in use */
    wg_id *staged;                 /* by output: WG_NONE, or a copy is needed at the end */
} wg_planner;

static size_t round_up(size_t size) { return wg_round_up(size == 0 ? 1 : size); }
static size_t bytes_of(const wg_tape *t, wg_id id) { return (size_t)wg_size(t, id) * wg_itemsize(t->nodes[id].dtype); }
static wg_storage *storage_of(const wg_planner *w, wg_id id) { return &w->items[w->storage[w->windows[id].root]]; }
static wg_storage *whole_of(const wg_planner *w, wg_id id) { /* of which its own may be a part */
    wg_storage *own = storage_of(w, id);
    while (own->host != WG_NONE) own = &w->items[own->host];
    return own;
}
static bool computes(const wg_planner *w, wg_id id) { return wg_computes(w->t, w->windows, id); }
/* Operands that the node reads: none of a view. */
static int n_read(const wg_planner *w, wg_id id) { return computes(w, id) ? wg_n_in(w->t, id) : 0; }

/* Time is counted in nodes.  A region reads from its first node on until its last, and writes as long. */
static wg_id start_of(const wg_planner *w, wg_id id) {
    return w->range[id] == WG_NONE ? id : w->p->ranges[w->range[id]].lo;
}

static bool is_copied(const wg_planner *w, uint32_t input) {
    return w->strides && w->strides[input] && !w->in_place[input];
}

static wg_id end_of(const wg_planner *w, wg_id id) {
    return w->range[id] == WG_NONE ? id : w->p->ranges[w->range[id]].hi - 1;
}

/* ---- storages ---------------------------------------------------------------------------------------------- */
static wg_status new_storage(wg_planner *w, wg_id id, wg_storage storage) {
    w->storage[id] = w->n_items;
    storage.size = bytes_of(w->t, id);
    storage.first = start_of(w, id);
    storage.host = WG_NONE;
    return WG_PUSH(w->t, w, items, storage);
}

static wg_status new_constant(wg_planner *w, wg_id id) {
    wg_place place = {WG_ROOT_CONST, 8 * (int64_t)w->p->n_constants};
    WG_TRY(WG_PUSH(w->t, w->p, constants, w->t->nodes[id].value.i64));
    return new_storage(w, id, (wg_storage){.place = place});
}

static wg_status assign_storages(wg_planner *w) {
    for (wg_id id = 0; id < w->t->len; id++) {
        const wg_node_rec *node = &w->t->nodes[id];
        if (node->op == WG_input) {
            const uint32_t input = (uint32_t)w->t->attrs[node->attrs + 1];
            wg_place place = {WG_ROOT_INPUTS + input, 0};
            WG_TRY(new_storage(w, id, (wg_storage){.place = place, .arena = is_copied(w, input)}));
        } else if (node->op == WG_constant) {
            WG_TRY(new_constant(w, id));
        } else if (computes(w, id)) {
            WG_TRY(new_storage(w, id, (wg_storage){.arena = w->range[id] == WG_NONE || w->escapes[id]}));
            if (!w->items[w->n_items - 1].arena) continue;
            w->p->value_size = wg_plus(w->p->value_size, round_up(bytes_of(w->t, id)));
        }
    }
    for (wg_id id = 0; id < w->t->len; id++) {
        const wg_id *in = wg_in(w->t, id);
        for (int k = 0; k < n_read(w, id); k++) {
            const wg_id source = wg_source_of(w->t, w->windows, in[k]);
            storage_of(w, in[k])->last = end_of(w, id);
            for (int j = 0; source != WG_NONE && j < wg_n_in(w->t, source); j++) /* that loop is run again */
                storage_of(w, wg_in(w->t, source)[j])->last = end_of(w, id);
        }
    }
    return WG_OK;
}

/* ---- writing over an operand ------------------------------------------------------------------------------- */
static bool is_whole(const wg_planner *w, wg_id id) { /* the node is its storage, element by element */
    const wg_array x = wg_window_array(w->t, w->windows, id);
    return w->windows[id].offset == 0 && bytes_of(w->t, id) == storage_of(w, id)->size && wg_array_contiguous(&x);
}

/* Does node `reader` read the storage, and parts of it, only element by element, as node `writer` writes its result,
 * and not later?  Or fold whole rows of it before, in the region of both, block by block? */
static bool reads_alike(const wg_planner *w, wg_id reader, wg_id writer, const wg_storage *storage) {
    const wg_tape *t = w->t;
    const wg_id *in = wg_in(t, reader);
    const int n = wg_n_in(t, reader), op = t->nodes[reader].op;
    const bool changes = op == WG_slice_add || op == WG_index_add || op == WG_slice_set || op == WG_index_set;
    const bool elementwise = wg_is_elementwise(wg_row(op)->kind) || op == WG_where;
    const bool folds = reader < writer && wg_role_of(t, w->windows, reader, &(int64_t){0}) == WG_ROLE_FOLD;
    for (int k = 0; k < n; k++) {
        if (whole_of(w, in[k]) != storage) continue;
        if (reader > writer || (changes ? k > 0 : !elementwise && !folds)) return false;
        if (!is_whole(w, in[k]) || wg_size(t, in[k]) != wg_size(t, writer)) return false;
        if (!folds && wg_size(t, reader) != wg_size(t, writer)) return false;
        if (wg_itemsize(t->nodes[in[k]].dtype) != wg_itemsize(t->nodes[writer].dtype)) return false;
    }
    return true;
}

/* May node `id` write its result over a storage that its step reads?  Yes when each element is read before the same
 * one is written.  A region does so block by block, if nothing behind `id` reads the storage; one row is one block,
 * whose nodes run in turn, but that one may be joined with the one before it. */
static bool may_overwrite(const wg_planner *w, wg_id id, const wg_storage *storage) {
    if (w->range[id] == WG_NONE) return reads_alike(w, id, id, storage);
    const wg_range *range = &w->p->ranges[w->range[id]];
    int64_t rows;
    if (range->rows == WG_SCALARS) return true; /* all are read at the start, and written at the end */
    if (range->rows != 1 && wg_role_of(w->t, w->windows, id, &rows) != WG_ROLE_MAP) return false;
    wg_id reader = range->rows == 1 ? id : range->lo;
    if (range->rows == 1)
        while (reader > range->lo && !computes(w, --reader)) continue;
    if (range->rows == 1 && w->t->nodes[reader].op == WG_matmul) return false; /* it adds a bias when it has written */
    for (; reader < range->hi; reader++)
        if (computes(w, reader) && !reads_alike(w, reader, id, storage)) return false;
    return true;
}

/* An operand of the step of `id` that dies there and whose block the result may take over; WG_NONE if there is none.
 * So a thread writes where it has just read, not where another core did before (docs/adr/0031-whose-lines.md). */
static wg_id dying_operand(const wg_planner *w, wg_id id) {
    enum { LONGEST = 64 }; /* nodes of a region: for each candidate all of them are looked at */
    const wg_id end = end_of(w, id), lo = start_of(w, id);
    if (w->range[id] != WG_NONE && (end - lo > LONGEST || wg_size(w->t, id) == 1)) return WG_NONE;
    for (wg_id reader = lo; reader <= id; reader++) {
        for (int k = 0; k < n_read(w, reader); k++) {
            const wg_id operand = wg_in(w->t, reader)[k];
            const wg_storage *x = storage_of(w, operand);
            const bool fits = x->arena && x->first < lo && x->last == end && x->size == storage_of(w, id)->size;
            if (fits && may_overwrite(w, id, x)) return w->windows[operand].root;
        }
    }
    return WG_NONE;
}

/* ---- parts ------------------------------------------------------------------------------------------------- */
/* May operand `x` of a concatenation be computed in its place there?  Yes if it is a whole storage of the arena that is
 * not part of another one. */
static bool can_be_part(const wg_planner *w, wg_id x) {
    const wg_storage *part = storage_of(w, x);
    return part->arena && part->host == WG_NONE && part->size > 0 && is_whole(w, x);
}

/* The operands of a concatenation along the first axis of some length are written where they belong from the start;
 * the node is a step only for those that cannot be. */
static void host_parts(wg_planner *w, wg_id id) {
    const int64_t *shape = wg_shape(w->t, id);
    for (int i = 0; i < wg_attr(w->t, id)[0]; i++)
        if (shape[i] != 1) return;
    wg_storage *host = storage_of(w, id);
    const wg_id *in = wg_in(w->t, id);
    const int n = wg_n_in(w->t, id);
    size_t offset = 0;
    int hosted = 0;
    for (int k = 0; k < n; k++) {
        if (can_be_part(w, in[k])) {
            wg_storage *part = storage_of(w, in[k]);
            part->arena = false;
            part->host = w->storage[id];
            part->place.offset = (int64_t)offset;
            if (part->first < host->first) host->first = part->first;
            if (part->last > host->last) host->last = part->last;
            hosted++;
        }
        offset += bytes_of(w->t, in[k]);
    }
    w->skipped[id] = hosted == n;
}

/* ---- results ----------------------------------------------------------------------------------------------- */
static uint32_t root_of_output(const wg_planner *w, uint32_t k) { return WG_ROOT_INPUTS + w->t->n_inputs + k; }

/* Output k computed straight into its buffer: it owns a storage, and if the buffer is a donated input's, that input is
 * not read any more. */
static bool claim(wg_planner *w, uint32_t k, int32_t alias) {
    const wg_id id = w->t->outputs[k], root = w->windows[id].root;
    wg_storage *own = storage_of(w, id);
    if (!own->arena || !is_whole(w, id)) return false;
    if (alias >= 0) {
        const wg_storage *donated = storage_of(w, w->t->inputs[alias]);
        const wg_id end = end_of(w, root);
        const bool read_then = donated->last > end || (own->first != start_of(w, root) && donated->last >= own->first);
        if (read_then || (donated->last == end && !may_overwrite(w, root, donated))) return false;
    }
    own->arena = false;
    own->place = (wg_place){root_of_output(w, k), 0};
    return true;
}

/* What is written over to make an output is made in its buffer, too: nobody reads what that holds before. */
static void claim_operands(wg_planner *w, wg_id output) {
    const wg_place place = storage_of(w, output)->place;
    for (wg_id x = w->windows[output].root; (x = dying_operand(w, x)) != WG_NONE;) {
        storage_of(w, x)->arena = false;
        storage_of(w, x)->place = place;
    }
}

/* The node is copied at the end, from its own storage or from one that it is a part of. */
static void keep(wg_planner *w, wg_id id) {
    wg_storage *own = storage_of(w, id);
    for (; own->host != WG_NONE; own = &w->items[own->host]) own->last = FOREVER;
    own->last = FOREVER;
}

static wg_status place_results(wg_planner *w, const int32_t *alias) {
    wg_tape *t = w->t;
    for (uint32_t k = 0; k < t->n_outputs; k++) { /* outputs that are inputs or constants are copied at the end */
        if (wg_contiguous(t, t->outputs[k]) == WG_NONE) return wg_no_memory(t);
        if (!storage_of(w, t->outputs[k])->arena) keep(w, t->outputs[k]);
    }
    for (uint32_t k = 0; k < t->n_outputs; k++) {
        w->staged[k] = WG_NONE;
        if (claim(w, k, alias ? alias[k] : -1)) continue;
        keep(w, t->outputs[k]);
        w->staged[k] = t->outputs[k];
    }
    for (uint32_t k = 0; k < t->n_outputs; k++) /* now that none of them is an output itself */
        if (w->staged[k] == WG_NONE && (!alias || alias[k] < 0)) claim_operands(w, t->outputs[k]);
    return WG_OK;
}

/* ---- the arena --------------------------------------------------------------------------------------------- */
static wg_status too_big(wg_planner *w) {
    return wg_fail(w->t, WG_MEMORY_ERROR, "the plan's intermediates do not fit in memory");
}

static wg_status place_node(wg_planner *w, wg_id id) {
    wg_storage *own = whole_of(w, id);
    if (!own->arena || own->placed) return WG_OK;
    own->placed = true;
    const wg_id heir = own == storage_of(w, id) ? dying_operand(w, id) : WG_NONE;
    if (heir != WG_NONE) {
        own->place = storage_of(w, heir)->place;
        storage_of(w, heir)->last = FOREVER; /* its block is not given back here */
        return WG_OK;
    }
    size_t offset;
    if (!wg_arena_take(&w->arena, round_up(own->size), &offset)) return too_big(w);
    own->place = (wg_place){WG_ROOT_ARENA, (int64_t)offset};
    return WG_OK;
}

static wg_status plan_arena(wg_planner *w) {
    for (uint32_t k = 0; k < w->t->n_inputs; k++)
        if (is_copied(w, k)) WG_TRY(place_node(w, w->t->inputs[k]));
    for (wg_id id = 0, hi; id < w->t->len; id = hi) {
        hi = end_of(w, id) + 1;
        for (wg_id k = id; k < hi; k++)
            if (computes(w, k)) WG_TRY(place_node(w, k));
        w->live[id] = w->arena.live;
        for (wg_id k = id; k < hi; k++)
            for (int j = 0; j < n_read(w, k); j++) {
                wg_storage *x = storage_of(w, wg_in(w->t, k)[j]);
                if (!x->arena || x->last != hi - 1) continue;
                x->last = FOREVER; /* given back once */
                if (!wg_arena_give(&w->arena, (size_t)x->place.offset, round_up(x->size))) return wg_no_memory(w->t);
            }
    }
    w->p->arena_size = w->arena.size;
    w->p->live_size = w->arena.most;
    return WG_OK;
}

/* ---- steps ------------------------------------------------------------------------------------------------- */
static wg_status add_array(wg_planner *w, wg_array array, wg_place place) {
    WG_TRY(WG_PUSH(w->t, w->p, arrays, array));
    return WG_PUSH(w->t, w->p, places, place);
}

static wg_place place_of(const wg_planner *w, const wg_storage *storage) {
    wg_place place = storage->place;
    for (; storage->host != WG_NONE; place.offset += storage->place.offset) { /* parts of parts */
        storage = &w->items[storage->host];
        place.root = storage->place.root;
    }
    return place;
}

static wg_status add_node_array(wg_planner *w, wg_id id) {
    wg_place place = place_of(w, storage_of(w, id));
    place.offset += w->windows[id].offset * (int64_t)wg_itemsize(w->t->nodes[id].dtype);
    return add_array(w, wg_window_array(w->t, w->windows, id), place);
}

static wg_status add_step(wg_planner *w, wg_step step) { return WG_PUSH(w->t, w->p, steps, step); }

static wg_status add_node(wg_planner *w, wg_id id) {
    const wg_tape *t = w->t;
    wg_step step = {.op = t->nodes[id].op, .n_in = wg_n_in(t, id), .n_out = 1, .live = w->live[id]};
    step.n_attr = wg_n_attr(t, id), step.attrs = wg_attr(t, id);
    for (int k = 0; k < step.n_in; k++) WG_TRY(add_node_array(w, wg_in(t, id)[k]));
    WG_TRY(add_node_array(w, id));
    return add_step(w, step);
}

static wg_array contiguous_array(const wg_planner *w, wg_id id) {
    /* the strides were interned by place_results: vectors do not move here */
    wg_array x = wg_window_array(w->t, w->windows, id);
    x.strides = wg_vec(w->t, wg_contiguous(w->t, id));
    return x;
}

static wg_status add_region(wg_planner *w, uint32_t range) {
    const wg_interface *face = &w->faces[range];
    for (uint32_t k = 0; k < face->n_operands; k++) WG_TRY(add_node_array(w, face->operands[k]));
    for (uint32_t k = 0; k < face->n_results; k++) {
        const uint32_t output = face->results[k] - w->t->len; /* or more than there are: the result is a node */
        if (output < w->t->n_outputs)
            WG_TRY(add_array(w, contiguous_array(w, w->t->outputs[output]), (wg_place){root_of_output(w, output), 0}));
        else
            WG_TRY(add_node_array(w, face->results[k]));
    }
    return add_step(w, (wg_step){.op = WG_call,
                                 .region = w->p->regions[range],
                                 .live = w->live[w->p->ranges[range].lo],
                                 .n_in = (int)face->n_operands,
                                 .n_out = (int)face->n_results});
}

/* ---- first and final copies -------------------------------------------------------------------------------- */
static wg_status add_first_copies(wg_planner *w) {
    for (uint32_t k = 0; k < w->t->n_inputs; k++) {
        if (!is_copied(w, k)) continue;
        wg_array given = wg_window_array(w->t, w->windows, w->t->inputs[k]);
        given.strides = wg_vec(w->t, wg_intern(&w->t->vectors, given.ndim, w->strides[k])); /* interned before */
        WG_TRY(add_array(w, given, (wg_place){WG_ROOT_INPUTS + k, 0}));
        WG_TRY(add_node_array(w, w->t->inputs[k]));
        WG_TRY(add_step(w, (wg_step){.op = WG_copy, .n_in = 1, .n_out = 1}));
    }
    return WG_OK;
}

/* Copies node `id` (from == NULL), or its contiguous copy at *from, to the contiguous place `to`. */
static wg_status add_copy(wg_planner *w, wg_id id, const wg_place *from, wg_place to) {
    const wg_array contiguous = contiguous_array(w, id);
    if (from)
        WG_TRY(add_array(w, contiguous, *from));
    else
        WG_TRY(add_node_array(w, id));
    WG_TRY(add_array(w, contiguous, to));
    return add_step(w, (wg_step){.op = WG_copy, .n_in = 1, .n_out = 1});
}

static bool is_input(const wg_planner *w, wg_id id) {
    uint32_t root = place_of(w, storage_of(w, id)).root;
    return root >= WG_ROOT_INPUTS && root < root_of_output(w, 0);
}

/* Outputs that could not be computed in place.  With donation, those that are an input's elements are first brought to
 * safety, for another output's copy may overwrite that input. */
static wg_status add_final_copies(wg_planner *w, const int32_t *alias) {
    wg_tape *t = w->t;
    size_t safe = w->p->arena_size;
    for (uint32_t k = 0; k < t->n_outputs; k++) {
        wg_id id = w->staged[k];
        if (id == WG_NONE || !alias || !is_input(w, id)) continue;
        uint32_t root = storage_of(w, id)->place.root;
        if (alias[k] >= 0 && root == WG_ROOT_INPUTS + (uint32_t)alias[k] && is_whole(w, id)) {
            w->staged[k] = WG_NONE; /* a donated argument that comes back as it is */
            continue;
        }
        const size_t size = round_up(bytes_of(t, id));
        WG_TRY(add_copy(w, id, NULL, (wg_place){WG_ROOT_ARENA, (int64_t)w->p->arena_size}));
        if (size > PTRDIFF_MAX - w->p->arena_size) return too_big(w);
        w->p->arena_size += size;
    }
    for (uint32_t k = 0; k < t->n_outputs; k++) {
        wg_id id = w->staged[k];
        if (id == WG_NONE) continue;
        bool was_saved = alias && is_input(w, id);
        wg_place saved = {WG_ROOT_ARENA, (int64_t)safe};
        WG_TRY(add_copy(w, id, was_saved ? &saved : NULL, (wg_place){root_of_output(w, k), 0}));
        if (was_saved) safe += round_up(bytes_of(t, id));
    }
    return WG_OK;
}

static wg_status prepare(wg_planner *w) {
    wg_program *p = w->p;
    const size_t n = (size_t)w->t->len + 1, n_ranges = (size_t)p->n_ranges + 1;
    w->windows = malloc(n * sizeof *w->windows);
    w->range = malloc(n * sizeof *w->range);
    w->escapes = calloc(n, sizeof *w->escapes);
    w->storage = malloc(n * sizeof *w->storage);
    w->skipped = calloc(n, sizeof *w->skipped);
    w->live = calloc(n, sizeof *w->live);
    w->staged = malloc(((size_t)w->t->n_outputs + 1) * sizeof *w->staged);
    w->faces = calloc(n_ranges, sizeof *w->faces);
    w->numbers = calloc(n, sizeof *w->numbers);
    p->regions = calloc(n_ranges, sizeof *p->regions);
    if (!w->windows || !w->range || !w->escapes || !w->storage || !w->skipped || !w->live || !w->staged || !w->faces ||
        !w->numbers || !p->regions)
        return wg_no_memory(w->t);
    memset(w->range, 0xff, n * sizeof *w->range);
    for (uint32_t k = 0; k < p->n_ranges; k++)
        for (wg_id id = p->ranges[k].lo; id < p->ranges[k].hi; id++) w->range[id] = k;
    WG_TRY(wg_find_windows(w->t, NULL, w->windows));
    if (!w->strides) return WG_OK;
    w->in_place = calloc((size_t)w->t->n_inputs + 1, sizeof *w->in_place);
    if (!w->in_place) return wg_no_memory(w->t);
    return wg_read_in_place(w->t, w->range, w->strides, w->in_place, w->windows);
}

static wg_status plan(wg_planner *w, const int32_t *alias) {
    wg_tape *t = w->t;
    WG_TRY(prepare(w));
    wg_find_escapes(w->p, w->windows, w->range, w->escapes);
    WG_TRY(assign_storages(w));
    for (wg_id id = 0; id < t->len; id++)
        if (t->nodes[id].op == WG_concatenate && w->range[id] == WG_NONE) host_parts(w, id);
    WG_TRY(place_results(w, alias));
    for (uint32_t k = 0; k < w->p->n_ranges; k++) {
        w->faces[k] = (wg_interface){.numbers = w->numbers, .staged = w->staged, .alias = alias};
        WG_TRY(wg_region_new(w->p, w->windows, w->escapes, w->p->ranges[k], &w->p->regions[k], &w->faces[k]));
    }
    WG_TRY(plan_arena(w));
    WG_TRY(add_first_copies(w));
    for (wg_id id = 0; id < t->len; id++) {
        const uint32_t range = w->range[id];
        if (range == WG_NONE && computes(w, id) && !w->skipped[id]) WG_TRY(add_node(w, id));
        if (range != WG_NONE && id == w->p->ranges[range].lo) WG_TRY(add_region(w, range));
    }
    WG_TRY(add_final_copies(w, alias));
    wg_prepare_steps(w->p, alias);
    w->p->held_size = wg_held(t, alias);
    return WG_OK;
}

wg_status wg_plan(wg_program *p, const int32_t *alias, const int64_t *const *strides) {
    wg_planner w = {.p = p, .t = p->flat, .strides = strides};
    wg_status status = plan(&w, alias);
    for (uint32_t k = 0; w.faces && k < p->n_ranges; k++) {
        free(w.faces[k].operands);
        free(w.faces[k].results);
    }
    free(w.in_place);
    free(w.windows);
    free(w.range);
    free(w.escapes);
    free(w.storage);
    free(w.items);
    free(w.arena.gaps);
    free(w.faces);
    free(w.numbers);
    free(w.skipped);
    free(w.live);
    free(w.staged);
    return status;
}

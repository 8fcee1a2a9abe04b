/* The memory plan.  Every live node that is not a view owns a storage; views share their operand's.  A storage is a
 * result's buffer where that is safe, else a block of the arena that is taken at its definition and given back after
 * its last reader; an elementwise result takes over the block of an operand that dies there. */
#include <stdlib.h>
#include <string.h>

#include "program.h"

#define FOREVER (WG_NONE - 1)

typedef struct {
    wg_place place;
    size_t size; /* bytes */
    wg_id last;  /* the last step that reads it, 0: none; FOREVER: copied out at the end */
    bool arena;
} wg_storage;

typedef struct {
    size_t offset, size;
} wg_block;

typedef struct {
    wg_program *p;
    wg_tape *t;
    bool *live;
    uint32_t *storage; /* by node */
    int64_t *offset;   /* by node: bytes into its storage */
    uint32_t *strides; /* by node: interned */
    wg_storage *items;
    uint32_t n_items, cap_items;
    wg_block *gaps; /* free blocks of the arena, by offset */
    uint32_t n_gaps, cap_gaps;
    wg_id *staged; /* by output: WG_NONE, or a copy is needed at the end */
} wg_planner;

static size_t round_up(size_t size) { return (size + 63) / 64 * 64 + (size == 0 ? 64 : 0); }
static size_t bytes_of(const wg_tape *t, wg_id id) { return (size_t)wg_size(t, id) * wg_itemsize(t->nodes[id].dtype); }

/* ---- storages ---------------------------------------------------------------------------------------------- */
static uint32_t contiguous_strides_of(wg_planner *w, wg_id id) {
    int64_t strides[WG_MAX_NDIM];
    wg_contiguous_strides(wg_ndim(w->t, id), wg_shape(w->t, id), strides);
    return wg_intern(&w->t->vectors, wg_ndim(w->t, id), strides);
}

static wg_status new_storage(wg_planner *w, wg_id id, wg_storage storage) {
    wg_tape *t = w->t;
    w->strides[id] = contiguous_strides_of(w, id);
    if (w->strides[id] == WG_NONE || !wg_grow(&w->items, &w->cap_items, (uint64_t)w->n_items + 1, sizeof *w->items))
        return wg_no_memory(t);
    w->offset[id] = 0;
    w->storage[id] = w->n_items;
    storage.size = bytes_of(t, id);
    w->items[w->n_items++] = storage;
    return WG_OK;
}

static wg_status new_constant(wg_planner *w, wg_id id) {
    wg_program *p = w->p;
    if (!wg_grow(&p->constants, &p->cap_constants, (uint64_t)p->n_constants + 1, sizeof *p->constants))
        return wg_no_memory(w->t);
    p->constants[p->n_constants] = w->t->nodes[id].value.i64;
    wg_place place = {WG_ROOT_CONST, 8 * (int64_t)p->n_constants++};
    return new_storage(w, id, (wg_storage){.place = place});
}

static wg_status view_of_operand(wg_planner *w, wg_id id, bool *is_view) {
    wg_tape *t = w->t;
    wg_id x = t->nodes[id].in[0];
    const int64_t *attrs;
    int64_t offset, strides[WG_MAX_NDIM];
    wg_attrs(t, id, &attrs);
    *is_view = wg_view_op(t->nodes[id].op, attrs, wg_ndim(t, x), wg_shape(t, x), wg_vec(t, w->strides[x]),
                          wg_ndim(t, id), wg_shape(t, id), &offset, strides);
    if (!*is_view) return WG_OK;
    w->strides[id] = wg_intern(&t->vectors, wg_ndim(t, id), strides);
    if (w->strides[id] == WG_NONE) return wg_no_memory(t);
    w->storage[id] = w->storage[x];
    w->offset[id] = w->offset[x] + offset * (int64_t)wg_itemsize(t->nodes[id].dtype);
    return WG_OK;
}

/* Steps are the live nodes that compute: neither leaves nor views. */
static bool is_step(const wg_planner *w, wg_id id) {
    const wg_node_rec *node = &w->t->nodes[id];
    if (!w->live[id] || wg_row(node->op)->kind == WG_KIND_LEAF) return false;
    return !wg_is_view_op(node->op) || w->storage[id] != w->storage[node->in[0]];
}

static wg_status assign_storages(wg_planner *w) {
    for (wg_id id = 0; id < w->t->len; id++) {
        const wg_node_rec *node = &w->t->nodes[id];
        bool is_view = false;
        if (node->op == WG_input) {
            wg_place place = {WG_ROOT_INPUTS + (uint32_t)w->t->attrs[node->attrs + 1], 0};
            WG_TRY(new_storage(w, id, (wg_storage){.place = place}));
            continue;
        }
        if (!w->live[id]) continue;
        if (node->op == WG_constant) {
            WG_TRY(new_constant(w, id));
            continue;
        }
        if (wg_is_view_op(node->op)) WG_TRY(view_of_operand(w, id, &is_view));
        if (is_view) continue;
        WG_TRY(new_storage(w, id, (wg_storage){.arena = true}));
        size_t size = round_up(bytes_of(w->t, id)), *sum = &w->p->value_size;
        *sum = size > SIZE_MAX - *sum ? SIZE_MAX : *sum + size;
    }
    for (wg_id id = 0; id < w->t->len; id++) {
        if (!is_step(w, id)) continue;
        const wg_id *in;
        int n = wg_operands(w->t, id, &in);
        for (int k = 0; k < n; k++) w->items[w->storage[in[k]]].last = id;
    }
    return WG_OK;
}

/* ---- writing over an operand ------------------------------------------------------------------------------- */
static bool is_whole(const wg_planner *w, wg_id id) { /* the node is its storage, element by element */
    const wg_tape *t = w->t;
    wg_array x = {.shape = wg_shape(t, id), .strides = wg_vec(t, w->strides[id]), .ndim = wg_ndim(t, id)};
    return w->offset[id] == 0 && bytes_of(t, id) == w->items[w->storage[id]].size && wg_array_contiguous(&x);
}

/* May step `id` write its result over a storage that it reads?  Yes when it reads each element before it writes the
 * same one: elementwise, every read of the storage whole; or changing a part of operand 0. */
static bool may_overwrite(const wg_planner *w, wg_id id, uint32_t storage) {
    const wg_tape *t = w->t;
    int op = t->nodes[id].op;
    const wg_id *in;
    int n = wg_operands(t, id, &in);
    bool changes = op == WG_slice_add || op == WG_index_add || op == WG_slice_set || op == WG_index_set;
    if (!changes && !wg_is_elementwise(wg_row(op)->kind) && op != WG_where) return false;
    for (int k = 0; k < n; k++) {
        if (w->storage[in[k]] != storage) continue;
        if (changes && k > 0) return false;
        if (!is_whole(w, in[k]) || wg_size(t, in[k]) != wg_size(t, id)) return false;
        if (wg_itemsize(t->nodes[in[k]].dtype) != wg_itemsize(t->nodes[id].dtype)) return false;
    }
    return true;
}

/* ---- results ----------------------------------------------------------------------------------------------- */
static uint32_t root_of_output(const wg_planner *w, uint32_t k) { return WG_ROOT_INPUTS + w->t->n_inputs + k; }

static wg_id input_storage(const wg_planner *w, int32_t slot) { return w->storage[w->t->inputs[slot]]; }

/* Output k computed straight into its buffer: it owns a storage, and if the buffer is a donated input's, that input is
 * not read any more. */
static bool claim(wg_planner *w, uint32_t k, int32_t alias) {
    wg_id id = w->t->outputs[k];
    wg_storage *own = &w->items[w->storage[id]];
    if (!own->arena || !is_whole(w, id)) return false;
    if (alias >= 0) {
        uint32_t donated = input_storage(w, alias);
        wg_id definition = id;
        while (!is_step(w, definition)) definition = w->t->nodes[definition].in[0]; /* past views */
        wg_id last = w->items[donated].last;
        if (last > definition || (last == definition && !may_overwrite(w, definition, donated))) return false;
    }
    own->arena = false;
    own->place = (wg_place){root_of_output(w, k), 0};
    return true;
}

static wg_status place_results(wg_planner *w, const int32_t *alias) {
    wg_tape *t = w->t;
    for (uint32_t k = 0; k < t->n_outputs; k++) { /* outputs that are inputs or constants are copied at the end */
        if (contiguous_strides_of(w, t->outputs[k]) == WG_NONE) return wg_no_memory(t);
        wg_storage *own = &w->items[w->storage[t->outputs[k]]];
        if (!own->arena) own->last = FOREVER;
    }
    for (uint32_t k = 0; k < t->n_outputs; k++) {
        w->staged[k] = WG_NONE;
        if (claim(w, k, alias ? alias[k] : -1)) continue;
        w->items[w->storage[t->outputs[k]]].last = FOREVER;
        w->staged[k] = t->outputs[k];
    }
    return WG_OK;
}

/* ---- the arena --------------------------------------------------------------------------------------------- */
static void remove_gap(wg_planner *w, uint32_t at) {
    w->n_gaps--;
    memmove(w->gaps + at, w->gaps + at + 1, (w->n_gaps - at) * sizeof *w->gaps);
}

static bool give_back(wg_planner *w, wg_block block) {
    uint32_t at = 0;
    while (at < w->n_gaps && w->gaps[at].offset < block.offset) at++;
    if (!wg_grow(&w->gaps, &w->cap_gaps, (uint64_t)w->n_gaps + 1, sizeof *w->gaps)) return false;
    memmove(w->gaps + at + 1, w->gaps + at, (w->n_gaps - at) * sizeof *w->gaps);
    w->gaps[at] = block;
    w->n_gaps++;
    wg_block *gap = &w->gaps[at]; /* merge with the next, then with the one before */
    if (at + 1 < w->n_gaps && gap->offset + gap->size == gap[1].offset) {
        gap->size += gap[1].size;
        remove_gap(w, at + 1);
    }
    if (at > 0 && gap[-1].offset + gap[-1].size == gap->offset) {
        gap[-1].size += gap->size;
        remove_gap(w, at);
    }
    return true;
}

static wg_status too_big(wg_planner *w) {
    return wg_fail(w->t, WG_MEMORY_ERROR, "the plan's intermediates do not fit in memory");
}

/* Lets the arena end at `end` bytes, if there can be such an arena. */
static bool extend_arena(wg_planner *w, size_t start, size_t size) {
    if (size > PTRDIFF_MAX - start) return false;
    w->p->arena_size = start + size;
    return true;
}

/* The smallest gap that holds the size; else the arena grows, by way of a gap at its end if there is one. */
static wg_status take(wg_planner *w, size_t size, int64_t *place) {
    uint32_t best = WG_NONE;
    for (uint32_t i = 0; i < w->n_gaps; i++)
        if (w->gaps[i].size >= size && (best == WG_NONE || w->gaps[i].size < w->gaps[best].size)) best = i;
    size_t end = w->p->arena_size;
    const wg_block *last = w->n_gaps ? &w->gaps[w->n_gaps - 1] : NULL;
    if (best == WG_NONE && last && last->offset + last->size == end) {
        best = w->n_gaps - 1;
        if (!extend_arena(w, last->offset, size)) return too_big(w);
        w->gaps[best].size = size;
    } else if (best == WG_NONE) {
        *place = (int64_t)end;
        return extend_arena(w, end, size) ? WG_OK : too_big(w);
    }
    *place = (int64_t)w->gaps[best].offset;
    w->gaps[best].offset += size;
    w->gaps[best].size -= size;
    if (w->gaps[best].size == 0) remove_gap(w, best);
    return WG_OK;
}

/* An operand's block that dies at this step and that the result may take over; WG_NONE if there is none. */
static uint32_t dying_operand(const wg_planner *w, wg_id id, size_t size) {
    const wg_id *in;
    int n = wg_operands(w->t, id, &in);
    for (int k = 0; k < n; k++) {
        uint32_t storage = w->storage[in[k]];
        const wg_storage *x = &w->items[storage];
        if (x->arena && x->last == id && x->size == size && may_overwrite(w, id, storage)) return storage;
    }
    return WG_NONE;
}

static wg_status plan_arena(wg_planner *w) {
    for (wg_id id = 0; id < w->t->len; id++) {
        if (!is_step(w, id)) continue;
        wg_storage *own = &w->items[w->storage[id]];
        uint32_t heir = own->arena ? dying_operand(w, id, own->size) : WG_NONE;
        if (heir != WG_NONE) {
            own->place = w->items[heir].place;
        } else if (own->arena) {
            own->place.root = WG_ROOT_ARENA;
            WG_TRY(take(w, round_up(own->size), &own->place.offset));
        }
        const wg_id *in;
        int n = wg_operands(w->t, id, &in);
        for (int k = 0; k < n; k++) {
            wg_storage *x = &w->items[w->storage[in[k]]];
            if (!x->arena || x->last != id) continue;
            x->last = FOREVER; /* given back once */
            if (w->storage[in[k]] == heir) continue;
            if (!give_back(w, (wg_block){(size_t)x->place.offset, round_up(x->size)})) return wg_no_memory(w->t);
        }
    }
    return WG_OK;
}

/* ---- steps ------------------------------------------------------------------------------------------------- */
static wg_status add_array(wg_planner *w, wg_array array, wg_place place) {
    wg_program *p = w->p;
    if (!wg_grow(&p->arrays, &p->cap_arrays, (uint64_t)p->n_arrays + 1, sizeof *p->arrays) ||
        !wg_grow(&p->places, &p->cap_places, (uint64_t)p->n_arrays + 1, sizeof *p->places))
        return wg_no_memory(w->t);
    p->arrays[p->n_arrays] = array;
    p->places[p->n_arrays++] = place;
    return WG_OK;
}

static wg_status add_node_array(wg_planner *w, wg_id id, uint32_t strides) {
    const wg_tape *t = w->t;
    wg_place place = w->items[w->storage[id]].place;
    place.offset += w->offset[id];
    wg_array array = {.shape = wg_shape(t, id),
                      .strides = wg_vec(t, strides),
                      .ndim = wg_ndim(t, id),
                      .dtype = (wg_dtype)t->nodes[id].dtype};
    return add_array(w, array, place);
}

static wg_status add_step(wg_planner *w, wg_step step) {
    wg_program *p = w->p;
    if (!wg_grow(&p->steps, &p->cap_steps, (uint64_t)p->n_steps + 1, sizeof *p->steps)) return wg_no_memory(w->t);
    p->steps[p->n_steps++] = step;
    return WG_OK;
}

static wg_status add_node(wg_planner *w, wg_id id) {
    const wg_id *in;
    wg_step step = {.op = w->t->nodes[id].op, .n_in = wg_operands(w->t, id, &in)};
    step.n_attr = wg_attrs(w->t, id, &step.attrs);
    for (int k = 0; k < step.n_in; k++) WG_TRY(add_node_array(w, in[k], w->strides[in[k]]));
    WG_TRY(add_node_array(w, id, w->strides[id]));
    return add_step(w, step);
}

/* ---- final copies ------------------------------------------------------------------------------------------ */
/* Copies node `id` (from == NULL), or its contiguous copy at *from, to the contiguous place `to`. */
static wg_status add_copy(wg_planner *w, wg_id id, const wg_place *from, wg_place to) {
    uint32_t contiguous = contiguous_strides_of(w, id); /* interned by place_results: vectors do not move here */
    WG_TRY(add_node_array(w, id, from ? contiguous : w->strides[id]));
    if (from) w->p->places[w->p->n_arrays - 1] = *from;
    WG_TRY(add_node_array(w, id, contiguous));
    w->p->places[w->p->n_arrays - 1] = to;
    return add_step(w, (wg_step){.op = WG_copy, .n_in = 1});
}

static bool is_input(const wg_planner *w, wg_id id) {
    uint32_t root = w->items[w->storage[id]].place.root;
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
        uint32_t root = w->items[w->storage[id]].place.root;
        if (alias[k] >= 0 && root == WG_ROOT_INPUTS + (uint32_t)alias[k] && is_whole(w, id)) {
            w->staged[k] = WG_NONE; /* a donated argument that comes back as it is */
            continue;
        }
        WG_TRY(add_copy(w, id, NULL, (wg_place){WG_ROOT_ARENA, (int64_t)w->p->arena_size}));
        if (!extend_arena(w, w->p->arena_size, round_up(bytes_of(t, id)))) return too_big(w);
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

/* Arrays do not move any more: each step finds its own, in the order in which they were added. */
static void finish(wg_program *p, const int32_t *alias) {
    const double often = 2e6; /* nanoseconds of work after which a look at the watch costs nothing */
    const wg_kernels *k = wg_kernels_table();
    double since = 0;
    uint32_t at = 0;
    p->first_write = p->n_steps;
    for (uint32_t i = 0; i < p->n_steps; i++) {
        wg_step *step = &p->steps[i];
        step->in = p->arrays + at;
        at += (uint32_t)step->n_in + 1;
        step->out = p->arrays[at - 1];
        size_t need = wg_prepare(k, step);
        if (need > p->scratch_size) p->scratch_size = need;
        uint32_t root = p->places[at - 1].root, first = WG_ROOT_INPUTS + p->flat->n_inputs;
        if (alias && root >= first && alias[root - first] >= 0 && p->first_write > i) p->first_write = i;
        step->looks = since > often;
        since = (step->looks ? 0 : since) + wg_nanoseconds(step);
    }
}

static wg_status plan(wg_planner *w, const int32_t *alias) {
    wg_tape *t = w->t;
    size_t n = (size_t)t->len + 1;
    w->live = malloc(n * sizeof *w->live);
    w->storage = malloc(n * sizeof *w->storage);
    w->offset = malloc(n * sizeof *w->offset);
    w->strides = malloc(n * sizeof *w->strides);
    w->staged = malloc(((size_t)t->n_outputs + 1) * sizeof *w->staged);
    if (!w->live || !w->storage || !w->offset || !w->strides || !w->staged) return wg_no_memory(t);
    wg_mark_live(t, w->live);
    WG_TRY(assign_storages(w));
    WG_TRY(place_results(w, alias));
    WG_TRY(plan_arena(w));
    for (wg_id id = 0; id < t->len; id++)
        if (is_step(w, id)) WG_TRY(add_node(w, id));
    WG_TRY(add_final_copies(w, alias));
    finish(w->p, alias);
    return WG_OK;
}

wg_status wg_plan(wg_program *p, const int32_t *alias) {
    wg_planner w = {.p = p, .t = p->flat};
    wg_status status = plan(&w, alias);
    free(w.live);
    free(w.storage);
    free(w.offset);
    free(w.strides);
    free(w.items);
    free(w.gaps);
    free(w.staged);
    return status;
}

/* Groups of nodes of one element, or of few: instructions over slots of 8 bytes, one for each element, which the
 * kernels run one after the other (docs/adr/0024-single-numbers.md).  Slot 0 is nobody's, for an instruction that names
 * it means the last result; then come the elements of the step's operands, copied there at the start, then what the
 * instructions compute.  What only moves elements is no instruction: its elements are in the slots where they were. */
#include <stdlib.h>
#include <string.h>

#include "maker.h"

enum {
    SLOT = 8,   /* bytes */
    RUN = 64,   /* instructions that may be calls within calls; an instruction that returns stands behind each run */
    LOOKS = 16, /* turns of a loop from one look at the watch to the next */
    MANY = 64   /* results: to read an operand in each turn is less than to look for it among more */
};

typedef struct { /* of one element, between an array of the step and a slot */
    uint32_t array, slot;
    int64_t offset; /* bytes, in the array */
    size_t size;
} wg_transfer;

typedef struct { /* the same while a loop runs: moves on by so many bytes with each turn */
    char *at, *slot;
    int64_t by;
    size_t size;
} wg_walk;

struct wg_scalars {
    wg_instruction *code;
    wg_transfer *transfers; /* n_read from operands, then those to results */
    uint32_t n_code, cap_code, n_transfers, cap_transfers, n_read;
};

static void end_run(const wg_instruction *i, char *slots, float last_f32, double last_f64) {
    (void)i, (void)slots, (void)last_f32, (void)last_f64;
}

/* Integers, bools and casts: the map of one element. */
static void run_map(const wg_instruction *i, char *slots, float last_f32, double last_f64) {
    const void *in[4];
    for (int k = 0; k < 4; k++) in[k] = slots + i->in[k];
    i->map(slots + i->out, in, 1, NULL);
    i[1].run(i + 1, slots, last_f32, last_f64);
}

/* ---- planning ---------------------------------------------------------------------------------------------- */
static wg_status add_instruction(wg_maker *m, wg_instruction i) { return WG_PUSH(m->t, m->r->scalars, code, i); }

/* The slot of x where node `id`, to whose shape it is broadcast, reads it for its element k (C order). */
static uint32_t slot_of(const wg_maker *m, wg_id x, wg_id id, int64_t k) {
    const wg_window *window = &m->windows[x];
    const bool inside = is_inside(m, window->root);
    int64_t own[WG_MAX_NDIM], strides[WG_MAX_NDIM], none;
    wg_contiguous_strides(wg_ndim(m->t, x), wg_shape(m->t, x), own);
    wg_view_op(WG_broadcast, NULL, wg_ndim(m->t, x), wg_shape(m->t, x), inside ? wg_vec(m->t, window->strides) : own,
               wg_ndim(m->t, id), wg_shape(m->t, id), &none, strides);
    const wg_array view = {.ndim = wg_ndim(m->t, id), .shape = wg_shape(m->t, id), .strides = strides};
    const uint32_t first =
        inside ? m->slot[window->root - m->range.lo] + (uint32_t)window->offset : WG_FEW * m->face->numbers[x];
    return m->elements[first + wg_place_of(&view, k)];
}

/* An element of the node, by an instruction that reads these slots; *out: its slot. */
static wg_status compute(wg_maker *m, wg_id id, const uint32_t slots[3], uint32_t *out) {
    const wg_kernels *kernels = wg_kernels_table();
    const bool adds = m->t->nodes[id].op == WG_slice_add;
    const int op = adds ? WG_add : m->t->nodes[id].op;
    const int dtype = m->t->nodes[wg_in(m->t, id)[op == WG_where]].dtype;
    const bool turned = (op == WG_add || op == WG_mul) && m->latest && slots[1] == m->latest;
    const void *given[3] = {&slots[turned], &slots[!turned], &slots[2]}, *wanted[4] = {slots, slots, slots, slots};
    wg_map_operands(op, wg_n_in(m->t, id), given, wanted);
    wg_instruction i = {.run = op == WG_cast ? NULL : kernels->scalar[op][dtype]};
    for (int j = 0; j < 4; j++) i.in[j] = *(const uint32_t *)wanted[j];
    size_t place; /* not an operand's that dies here: a map may read it after it has written */
    if (!wg_arena_take(&m->tiles, SLOT, &place) || place > UINT32_MAX) return wg_no_memory(m->t);
    *out = i.out = (uint32_t)place;
    const bool passes = i.run && wg_is_float(m->t->nodes[id].dtype);
    if (i.run) {
        if (!adds && wg_n_attr(m->t, id)) i.param = wg_bits_double(wg_attr(m->t, id)[0]);
        if (m->latest && slots[turned] == m->latest) i.in[0] = 0;
    } else {
        i.run = run_map;
        i.map = adds ? kernels->map[WG_add][dtype] : wg_map_of(kernels, m->t, id);
    }
    if (passes || m->latest == i.out) m->latest = passes ? i.out : 0;
    WG_TRY(add_instruction(m, i));
    if (m->r->scalars->n_code % (RUN + 1) < RUN) return WG_OK;
    m->latest = 0;
    return add_instruction(m, (wg_instruction){.run = end_run});
}

/* Puts the elements of x where a part of the node's begins, which has these strides, or adds them to what is there. */
static wg_status put(wg_maker *m, wg_id id, wg_id x, uint32_t *part, const int64_t *strides, bool adds) {
    const wg_array as = {.ndim = wg_ndim(m->t, x), .shape = wg_shape(m->t, x), .strides = strides};
    for (int64_t k = 0; k < wg_size(m->t, x); k++) {
        uint32_t *element = part + wg_place_of(&as, k);
        const uint32_t slots[3] = {adds ? *element : 0, slot_of(m, x, x, k)};
        *element = slots[1];
        if (adds) WG_TRY(compute(m, id, slots, element));
    }
    return WG_OK;
}

static wg_status move(wg_maker *m, wg_id id, uint32_t *elements) {
    const wg_tape *t = m->t;
    const wg_id *in = wg_in(t, id);
    const int64_t *attrs = wg_attr(t, id);
    const int op = t->nodes[id].op, n = wg_n_in(t, id);
    int64_t whole[WG_MAX_NDIM], strides[WG_MAX_NDIM], offset;
    wg_contiguous_strides(wg_ndim(t, id), wg_shape(t, id), whole);
    for (int k = 0; op == WG_concatenate && k < n; elements += wg_shape(t, in[k++])[attrs[0]] * whole[attrs[0]])
        WG_TRY(put(m, id, in[k], elements, whole, false));
    if (op == WG_concatenate) return WG_OK;
    wg_view_op(WG_slice, attrs, wg_ndim(t, id), NULL, whole, wg_ndim(t, in[1]), wg_shape(t, in[1]), &offset, strides);
    WG_TRY(put(m, id, in[0], elements, whole, false));
    return put(m, id, in[1], elements + offset, strides, op == WG_slice_add);
}

/* Slots are used again after the last reader, but for those where elements have been put. */
static wg_status free_operands(wg_maker *m, wg_id id, bool moves) {
    for (int k = 0; k < wg_n_in(m->t, id); k++) {
        const wg_id root = m->windows[wg_in(m->t, id)[k]].root;
        if (!is_inside(m, root) || m->escapes[root] || wg_moves_elements(m->t, m->windows, root)) continue;
        const bool last = m->last[root - m->range.lo] == id;
        if (moves || last) m->last[root - m->range.lo] = WG_NONE;
        for (int64_t j = 0; last && !moves && j < wg_size(m->t, root); j++)
            if (!wg_arena_give(&m->tiles, m->elements[m->slot[root - m->range.lo] + j], SLOT))
                return wg_no_memory(m->t);
    }
    return WG_OK;
}

static wg_status make_node(wg_maker *m, wg_id id) {
    const wg_id *in = wg_in(m->t, id);
    const bool moves = wg_moves_elements(m->t, m->windows, id);
    uint32_t *elements = m->elements + m->n_elements;
    m->slot[id - m->range.lo] = m->n_elements;
    m->n_elements += WG_FEW;
    WG_TRY(wg_note_op(m, id));
    for (int64_t k = 0; k < wg_size(m->t, id) && !moves; k++) {
        uint32_t slots[3] = {0};
        for (int j = 0; j < wg_n_in(m->t, id); j++) slots[j] = slot_of(m, in[j], id, k);
        WG_TRY(compute(m, id, slots, &elements[k]));
    }
    if (moves) WG_TRY(move(m, id, elements));
    return free_operands(m, id, moves);
}

/* Between the elements of node x and the step's array of this number, in which they lie as the strides say. */
static wg_status add_transfers(wg_maker *m, uint32_t array, wg_id x, const int64_t *strides) {
    wg_scalars *s = m->r->scalars;
    wg_tape *t = m->t;
    const int64_t n = wg_size(t, x), item = itemsize_of(m, x);
    const wg_array as = {.ndim = wg_ndim(t, x), .shape = wg_shape(t, x), .strides = strides};
    if (!wg_grow(&s->transfers, &s->cap_transfers, (uint64_t)s->n_transfers + (uint64_t)n, sizeof *s->transfers))
        return wg_no_memory(t);
    for (int64_t k = 0; k < n; k++)
        s->transfers[s->n_transfers++] =
            (wg_transfer){array, slot_of(m, x, x, k), wg_place_of(&as, k) * item, (size_t)item};
    return WG_OK;
}

/* All operands first: their slots are filled at the start. */
static wg_status add_operands(wg_maker *m) {
    const wg_interface *face = m->face;
    uint32_t number;
    size_t slot;
    for (wg_id id = m->range.lo; id < m->range.hi; id++) {
        const wg_id *in = wg_in(m->t, id);
        for (int k = 0, n = wg_computes(m->t, m->windows, id) ? wg_n_in(m->t, id) : 0; k < n; k++)
            if (!is_inside(m, m->windows[in[k]].root)) WG_TRY(wg_operand_number(m, in[k], &number));
    }
    m->elements = malloc(((size_t)face->n_operands + m->range.hi - m->range.lo) * WG_FEW * sizeof *m->elements);
    if (!m->elements || !wg_arena_take(&m->tiles, SLOT, &slot)) return wg_no_memory(m->t);
    for (uint32_t k = 0; k < face->n_operands; k++, m->n_elements += WG_FEW) {
        const wg_id x = face->operands[k];
        for (int64_t j = 0; j < wg_size(m->t, x); j++) {
            if (!wg_arena_take(&m->tiles, SLOT, &slot)) return wg_no_memory(m->t);
            m->elements[m->n_elements + j] = (uint32_t)slot;
        }
        WG_TRY(add_transfers(m, k, x, wg_vec(m->t, m->windows[x].strides)));
    }
    m->r->scalars->n_read = m->r->scalars->n_transfers;
    return WG_OK;
}

/* Outputs of the program that are views of the region's values, or further copies, are results, too. */
static wg_status add_outputs(wg_maker *m) {
    for (uint32_t k = 0, number; k < m->t->n_outputs; k++) {
        const wg_id x = m->face->staged[k];
        if (x == WG_NONE || !is_inside(m, m->windows[x].root) || (m->face->alias && m->face->alias[k] >= 0)) continue;
        WG_TRY(wg_result_number(m, m->t->len + k, &number));
        WG_TRY(add_transfers(m, m->face->n_operands + number, x, wg_vec(m->t, wg_contiguous(m->t, x))));
        m->face->staged[k] = WG_NONE;
    }
    return WG_OK;
}

wg_status wg_make_scalars(wg_maker *m) {
    wg_scalars *s = m->r->scalars = calloc(1, sizeof *s);
    uint32_t number;
    if (!s) return wg_no_memory(m->t);
    m->latest = 0;
    WG_TRY(add_operands(m));
    for (wg_id id = m->range.lo; id < m->range.hi; id++) {
        if (!wg_computes(m->t, m->windows, id)) continue;
        WG_TRY(make_node(m, id));
        if (!m->escapes[id]) continue;
        WG_TRY(wg_result_number(m, id, &number));
        WG_TRY(add_transfers(m, m->face->n_operands + number, id, wg_vec(m->t, m->windows[id].strides)));
    }
    WG_TRY(add_outputs(m));
    m->r->tile_bytes = wg_plus(m->tiles.size, wg_times(s->n_transfers, sizeof(wg_walk)));
    m->r->cost = 5.0 * s->n_code; /* nanoseconds, about */
    return add_instruction(m, (wg_instruction){.run = end_run});
}

void wg_scalars_free(wg_scalars *s) {
    if (!s) return;
    free(s->code);
    free(s->transfers);
    free(s);
}

/* ---- running ----------------------------------------------------------------------------------------------- */
static void move_number(void *to, const void *from, size_t size) {
    switch (size) {
    case 8: memcpy(to, from, 8); break;
    case 4: memcpy(to, from, 4); break;
    default: memcpy(to, from, 1);
    }
}

static void run_code(const wg_scalars *s, char *slots) {
    for (uint32_t at = 0; at < s->n_code; at += RUN + 1) s->code[at].run(&s->code[at], slots, 0, 0);
}

/* Without a look at the watch: fusion gives a step so few nodes that it is done within milliseconds. */
wg_status wg_execute_scalars(wg_step *step) {
    const wg_scalars *s = step->region->scalars;
    const wg_transfer *x = s->transfers, *results = x + s->n_read, *end = x + s->n_transfers;
    char *slots = step->scratch;
    for (; x < results; x++) move_number(slots + x->slot, (const char *)step->in[x->array].data + x->offset, x->size);
    run_code(s, slots);
    for (; x < end; x++) move_number((char *)step->in[x->array].data + x->offset, slots + x->slot, x->size);
    return WG_OK;
}

static bool is_written(const wg_walk *x, const wg_walk *results, const wg_walk *end) {
    if (end - results > MANY) return true;
    while (results < end && results->at != x->at) results++;
    return results < end;
}

/* The first turn reads all operands, the others those only that move on or are written: slots keep the rest. */
wg_status wg_repeat_scalars(const wg_program *p, wg_repeat *repeat, wg_watch *watch) {
    wg_step *step = &p->steps[0];
    const wg_scalars *s = step->region->scalars;
    char *slots = step->scratch;
    wg_walk *const end = (wg_walk *)(slots + step->region->tile_bytes), *const walks = end - s->n_transfers;
    wg_walk *results = end - (s->n_transfers - s->n_read), *first = results;
    for (uint32_t k = s->n_transfers; k-- > 0;) {
        const wg_transfer *x = &s->transfers[k];
        const uint32_t root = p->places[x->array].root;
        const int64_t by = repeat->moves && root >= WG_ROOT_INPUTS ? repeat->moves[root - WG_ROOT_INPUTS] : 0;
        wg_walk walk = {(char *)step->in[x->array].data + x->offset, slots + x->slot, by, x->size};
        if (k >= s->n_read)
            walks[k] = walk;
        else if (by || is_written(&walk, results, end))
            *--first = walk;
    }
    wg_execute_scalars(step);
    while (++repeat->done < repeat->times) {
        if (repeat->done % LOOKS == 0 && wg_stops(watch)) return WG_INTERRUPTED;
        for (wg_walk *w = first; w < results; w++) move_number(w->slot, w->at += w->by, w->size);
        run_code(s, slots);
        for (wg_walk *w = results; w < end; w++) move_number(w->at += w->by, w->slot, w->size);
    }
    return WG_OK;
}

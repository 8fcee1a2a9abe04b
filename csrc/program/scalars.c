/* Groups of 0-d nodes: instructions over slots of 8 bytes, one for each node, which the kernels run one after the other
 * (docs/adr/0024-single-numbers.md).  Slot 0 is nobody's, for an instruction that names it means the last result; then
 * come the step's operands, copied there at the start, then what the instructions compute. */
#include <stdlib.h>
#include <string.h>

#include "maker.h"

enum {
    SLOT = 8, /* bytes */
    RUN = 64  /* instructions that may be calls within calls; an instruction that returns stands behind each run */
};

struct wg_scalars {
    wg_instruction *code;
    uint32_t *results; /* slots of the step's results */
    uint32_t n_code, cap_code;
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

static wg_status add_instruction(wg_maker *m, wg_scalars *s, wg_instruction i) {
    if (!wg_grow(&s->code, &s->cap_code, (uint64_t)s->n_code + 1, sizeof *s->code)) return wg_no_memory(m->t);
    s->code[s->n_code++] = i;
    return WG_OK;
}

static wg_status slot_of(wg_maker *m, wg_id x, uint32_t *out) {
    const wg_id root = m->windows[x].root;
    if (is_inside(m, root)) return *out = m->slot[root - m->range.lo], WG_OK;
    WG_TRY(wg_operand_number(m, x, out));
    *out = SLOT * (*out + 1);
    return WG_OK;
}

/* Is operand k of the node what the last instruction has passed on? */
static bool is_latest(const wg_maker *m, wg_id id, int k) {
    return m->latest != WG_NONE && m->windows[m->t->nodes[id].in[k]].root == m->latest;
}

static wg_status make_instruction(wg_maker *m, wg_scalars *s, wg_id id) {
    const wg_kernels *k = wg_kernels_table();
    const wg_id *in;
    const int64_t *attrs;
    const int op = m->t->nodes[id].op, n = wg_operands(m->t, id, &in);
    uint32_t slots[3];
    const void *given[3], *wanted[4] = {&slots[0], &slots[0], &slots[0], &slots[0]};
    for (int j = 0; j < n; j++) {
        WG_TRY(slot_of(m, in[j], &slots[j]));
        given[j] = &slots[j];
    }
    const bool turned = (op == WG_add || op == WG_mul) && is_latest(m, id, 1);
    if (turned) given[0] = &slots[1], given[1] = &slots[0];
    wg_map_operands(op, n, given, wanted);
    wg_instruction i = {.run = op == WG_cast ? NULL : k->scalar[op][m->t->nodes[in[op == WG_where]].dtype]};
    for (int j = 0; j < 4; j++) i.in[j] = *(const uint32_t *)wanted[j];
    if (i.run) {
        if (wg_attrs(m->t, id, &attrs)) i.param = wg_bits_double(attrs[0]);
        if (is_latest(m, id, turned)) i.in[0] = 0;
        m->latest = wg_is_float(m->t->nodes[id].dtype) ? id : m->latest;
    } else {
        i.run = run_map;
        i.map = wg_map_of(k, m->t, id);
    }
    size_t out; /* not an operand's that dies here: a map may read it after it has written */
    if (!wg_arena_take(&m->tiles, SLOT, &out) || out > UINT32_MAX) return wg_no_memory(m->t);
    m->slot[id - m->range.lo] = i.out = (uint32_t)out;
    WG_TRY(add_instruction(m, s, i));
    if (s->n_code % (RUN + 1) < RUN) return WG_OK;
    m->latest = WG_NONE;
    return add_instruction(m, s, (wg_instruction){.run = end_run});
}

static wg_status free_operands(wg_maker *m, wg_id id) {
    const wg_id *in;
    const int n = wg_operands(m->t, id, &in);
    for (int k = 0; k < n; k++) {
        const wg_id root = m->windows[in[k]].root;
        if (!is_inside(m, root) || m->escapes[root] || m->last[root - m->range.lo] != id) continue;
        m->last[root - m->range.lo] = WG_NONE;
        if (!wg_arena_give(&m->tiles, m->slot[root - m->range.lo], SLOT)) return wg_no_memory(m->t);
    }
    return WG_OK;
}

wg_status wg_make_scalars(wg_maker *m) {
    wg_scalars *s = m->r->scalars = calloc(1, sizeof *s);
    wg_interface *face = m->face;
    size_t first;
    uint32_t number;
    if (!s) return wg_no_memory(m->t);
    for (wg_id id = m->range.lo; id < m->range.hi; id++) { /* all operands first: their slots are filled at the start */
        const wg_id *in;
        const int n = wg_computes(m->t, m->windows, id) ? wg_operands(m->t, id, &in) : 0;
        for (int k = 0; k < n; k++)
            if (!is_inside(m, m->windows[in[k]].root)) WG_TRY(wg_operand_number(m, in[k], &number));
    }
    if (!wg_arena_take(&m->tiles, SLOT * ((size_t)face->n_operands + 1), &first)) return wg_no_memory(m->t);
    for (wg_id id = m->range.lo; id < m->range.hi; id++) {
        if (!wg_computes(m->t, m->windows, id)) continue;
        WG_TRY(wg_note_op(m, id));
        WG_TRY(make_instruction(m, s, id));
        WG_TRY(free_operands(m, id));
        if (m->escapes[id]) WG_TRY(wg_result_number(m, id, &number));
    }
    WG_TRY(add_instruction(m, s, (wg_instruction){.run = end_run}));
    s->results = malloc(((size_t)face->n_results + 1) * sizeof *s->results);
    if (!s->results) return wg_no_memory(m->t);
    for (uint32_t k = 0; k < face->n_results; k++) s->results[k] = m->slot[face->results[k] - m->range.lo];
    m->r->tile_bytes = m->tiles.size;
    m->r->cost = 5.0 * m->r->n_ops; /* nanoseconds, about */
    return WG_OK;
}

void wg_scalars_free(wg_scalars *s) {
    if (!s) return;
    free(s->code);
    free(s->results);
    free(s);
}

static void move_number(void *to, const void *from, wg_dtype dtype) {
    switch (wg_itemsize(dtype)) {
    case 8: memcpy(to, from, 8); break;
    case 4: memcpy(to, from, 4); break;
    default: memcpy(to, from, 1);
    }
}

/* Without a look at the watch: fusion gives a step so few nodes that it is done within milliseconds. */
wg_status wg_execute_scalars(wg_step *step) {
    const wg_scalars *s = step->region->scalars;
    const wg_array *operands = step->in, *results = operands + step->n_in;
    char *slots = step->scratch;
    for (int k = 0; k < step->n_in; k++) move_number(slots + SLOT * (k + 1), operands[k].data, operands[k].dtype);
    for (uint32_t at = 0; at < s->n_code; at += RUN + 1) s->code[at].run(&s->code[at], slots, 0, 0);
    for (int k = 0; k < step->n_out; k++) move_number(results[k].data, slots + s->results[k], results[k].dtype);
    return WG_OK;
}

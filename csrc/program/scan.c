/* A call that is a loop, run by replaying its body's program: constants stay where they are, entries move on by a row,
 * and each carry either walks through the array of all its values or, where nobody reads those, is written over. */
#include <stdlib.h>
#include <string.h>

#include "program.h"

enum { DEAD = -1 };

struct wg_loop_plan {
    wg_loop_info info;
    wg_program *body;
    int *result;    /* by result of the call: its place among the step's arrays, or DEAD */
    bool *copied;   /* by operand: it has to be made contiguous */
    int64_t *bytes; /* by input, then by output of the body */
    size_t scratch; /* bytes: pointers, moves, then what is copied or dead */
    char problem[256];
};

static int n_slots(const wg_loop_plan *l) { return l->info.n_in + l->info.n_carry + l->info.n_y; }
static int values_of(const wg_loop_plan *l, int carry) { /* where all of them go, or DEAD */
    return l->info.length == WG_UNTIL ? DEAD : l->result[l->info.n_carry + l->info.n_y + carry];
}
static bool is_entry(const wg_loop_info *info, int k) { return k >= info->n_carry && k < info->n_carry + info->n_x; }
static size_t round_up(int64_t size) { return wg_round_up((size_t)size); }
static size_t table_bytes(const wg_loop_plan *l) {
    return round_up((int64_t)n_slots(l) * (int64_t)(sizeof(void *) + sizeof(int64_t)));
}

static wg_status lower_body(wg_loop_plan *l, wg_tape *t) {
    wg_tape *body = l->info.body;
    int32_t *alias = malloc(((size_t)body->n_outputs + 1) * sizeof *alias);
    if (!alias) return wg_no_memory(t);
    for (int k = 0; k < (int)body->n_outputs; k++) alias[k] = k < l->info.n_carry && values_of(l, k) == DEAD ? k : -1;
    wg_tape_adopt(body);
    wg_status status = wg_program_new(body, alias, NULL, &l->body);
    free(alias);
    if (status != WG_OK) return wg_fail(t, status, "%s", body->error);
    free(l->body->memory); /* it works in the scratch of the loop's step, as other loops do before and after it */
    l->body->memory = NULL;
    return WG_OK;
}

static void size_scratch(wg_loop_plan *l) {
    const wg_loop_info *info = &l->info;
    const wg_tape *body = info->body;
    for (int k = 0; k < n_slots(l); k++) {
        const wg_id id = k < info->n_in ? body->inputs[k] : body->outputs[k - info->n_in];
        l->bytes[k] = wg_size(body, id) * (int64_t)wg_itemsize((wg_dtype)body->nodes[id].dtype);
    }
    l->scratch = wg_plus(table_bytes(l), wg_plus(wg_round_up(l->body->arena_size), wg_round_up(l->body->scratch_size)));
    for (int k = 0; k < info->n_in; k++) {
        const bool entry = is_entry(info, k);
        if (l->copied[k]) l->scratch = wg_plus(l->scratch, round_up(l->bytes[k] * (entry ? info->length : 1)));
    }
    for (int k = 0; k < info->n_carry + info->n_y; k++)
        if (l->result[k] == DEAD) l->scratch = wg_plus(l->scratch, round_up(l->bytes[info->n_in + k]));
}

static wg_status make(wg_loop_plan *l, wg_tape *t, const wg_window *windows, wg_range range, wg_interface *face) {
    const wg_id *in;
    const int n_in = wg_operands(t, range.lo, &in), n_results = wg_n_results(t, range.lo);
    l->result = malloc(((size_t)n_results + 1) * sizeof *l->result);
    l->copied = calloc((size_t)n_in + 1, sizeof *l->copied);
    l->bytes = malloc(((size_t)n_slots(l) + 1) * sizeof *l->bytes);
    face->operands = malloc(((size_t)n_in + 1) * sizeof *face->operands);
    face->results = malloc(((size_t)n_results + 1) * sizeof *face->results);
    if (!l->result || !l->copied || !l->bytes || !face->operands || !face->results) return wg_no_memory(t);
    for (int k = 0; k < n_results; k++) l->result[k] = DEAD;
    for (int k = 0; k < n_in; k++) {
        const wg_array x = wg_window_array(t, windows, in[k]);
        face->operands[face->n_operands++] = in[k];
        l->copied[k] = !wg_array_contiguous(&x);
    }
    for (wg_id id = range.lo + 1; id < range.hi; id++) {
        if (t->nodes[id].op != WG_result) continue; /* a view of one */
        l->result[t->attrs[t->nodes[id].attrs + 1]] = n_in + (int)face->n_results;
        face->results[face->n_results++] = id;
    }
    WG_TRY(lower_body(l, t));
    size_scratch(l);
    return WG_OK;
}

wg_status wg_loop_plan_new(wg_tape *t, const wg_window *windows, wg_range range, wg_loop_plan **out,
                           wg_interface *face) {
    wg_loop_plan *l = *out = calloc(1, sizeof *l);
    if (!l) return wg_no_memory(t);
    wg_loop_of(t, range.lo, &l->info);
    return make(l, t, windows, range, face);
}

void wg_loop_plan_free(wg_loop_plan *l) {
    if (!l) return;
    wg_program_release(l->body);
    free(l->result);
    free(l->copied);
    free(l->bytes);
    free(l);
}

size_t wg_loop_scratch(const wg_loop_plan *l) { return l->scratch; }

double wg_loop_nanoseconds(const wg_loop_plan *l) {
    double once = 0;
    for (uint32_t i = 0; i < l->body->n_steps; i++) once += wg_nanoseconds(&l->body->steps[i]);
    return l->info.length == WG_UNTIL ? 1e9 : once * (double)l->info.length; /* it may never end: to be asked */
}

/* ---- running ----------------------------------------------------------------------------------------------- */
typedef struct {
    const wg_loop_plan *l;
    wg_step *step;
    void **pointers; /* of the body's inputs, then outputs */
    int64_t *moves;
    char *room; /* scratch that is left */
} wg_turning;

static char *take(wg_turning *w, int64_t size) {
    char *at = w->room;
    w->room += round_up(size);
    return at;
}

/* Slot k walks over rows of an array: from the row before `rows` back to the first where the loop is reversed. */
static void walk(wg_turning *w, int k, char *array, int64_t rows, int64_t from) {
    const bool reverse = w->l->info.reverse;
    const int64_t row = w->l->bytes[k];
    w->pointers[k] = array + (reverse ? rows - 1 - from : from) * row;
    w->moves[k] = reverse ? -row : row;
}

static void bind_inputs(wg_turning *w) {
    const wg_loop_info *info = &w->l->info;
    for (int k = 0; k < info->n_in; k++) {
        const wg_array *x = &w->step->in[k];
        const bool entry = is_entry(info, k);
        char *data = x->data;
        if (w->l->copied[k]) {
            data = take(w, w->l->bytes[k] * (entry ? info->length : 1));
            wg_gather(data, x, 0, wg_array_size(x));
        }
        w->pointers[k] = data;
        w->moves[k] = 0;
        if (entry) walk(w, k, data, info->length, 0);
    }
}

static void bind_outputs(wg_turning *w) {
    const wg_loop_plan *l = w->l;
    const wg_loop_info *info = &l->info;
    for (int k = 0; k < info->n_carry + info->n_y; k++) {
        const int out = info->n_in + k;
        char *own = l->result[k] == DEAD ? take(w, l->bytes[out]) : w->step->in[l->result[k]].data;
        w->pointers[out] = own;
        w->moves[out] = 0;
        if (k >= info->n_carry) {
            if (l->result[k] != DEAD) walk(w, out, own, info->length, 0);
            continue;
        }
        const void *start = w->pointers[k];
        if (values_of(l, k) == DEAD) { /* written over */
            w->pointers[k] = own;
        } else {
            char *all = w->step->in[values_of(l, k)].data;
            walk(w, k, all, info->length + 1, 0);
            walk(w, out, all, info->length + 1, 1);
        }
        memmove(w->pointers[k], start, (size_t)l->bytes[k]);
    }
}

/* Where a guard has kept the loop from its first step: zeros for what is stacked. */
static void clear_stacked(const wg_turning *w) {
    const wg_loop_plan *l = w->l;
    for (int k = l->info.n_carry; k < l->info.n_carry + l->info.n_y; k++)
        if (l->result[k] != DEAD)
            memset(w->step->in[l->result[k]].data, 0, (size_t)(l->bytes[l->info.n_in + k] * l->info.length));
}

/* The last of a carry's values, after so many steps, is a result of its own. */
static void copy_last(const wg_turning *w, int64_t steps) {
    const wg_loop_plan *l = w->l;
    for (int k = 0; k < l->info.n_carry; k++) {
        if (values_of(l, k) == DEAD || l->result[k] == DEAD) continue;
        const int64_t row = l->bytes[k];
        const char *all = w->step->in[values_of(l, k)].data;
        memcpy(w->step->in[l->result[k]].data, all + (l->info.reverse ? l->info.length - steps : steps) * row,
               (size_t)row);
    }
}

wg_status wg_execute_loop(wg_step *step) {
    wg_loop_plan *l = step->region->loop;
    wg_turning w = {.l = l, .step = step, .pointers = step->scratch, .room = (char *)step->scratch + table_bytes(l)};
    w.moves = (int64_t *)(w.pointers + n_slots(l));
    char *arena = take(&w, (int64_t)l->body->arena_size);
    wg_program_use(l->body, arena, take(&w, (int64_t)l->body->scratch_size));
    bind_inputs(&w);
    bind_outputs(&w);
    wg_repeat repeat = {.times = l->info.length == WG_UNTIL ? INT64_MAX : l->info.length, .moves = w.moves};
    if (l->info.guard >= 0) {
        repeat.guard = l->info.guard;
        repeat.guard_bytes = l->bytes[l->info.guard];
        if (!repeat.guard_bytes) repeat.times = 0; /* a batch of none */
    }
    if (step->watch) {
        repeat.ask = step->watch->repeat->ask;
        repeat.context = step->watch->repeat->context;
    }
    wg_status status =
        wg_program_repeat(l->body, w.pointers, w.pointers + l->info.n_in, &repeat, l->problem, sizeof l->problem);
    step->problem = l->problem;
    if (status == WG_OK) copy_last(&w, repeat.done);
    if (status == WG_OK && !repeat.done) clear_stacked(&w);
    return status;
}

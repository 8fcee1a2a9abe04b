/* A call that is a loop, run by replaying its body's program: constants stay where they are, entries move on by a row,
 * and each carry either walks through the array of all its values or, where nobody reads those, is written over.
 *
 * A loop that does not keep its carries is run again where they are read, block by block: up to the block that is
 * wanted from the last snapshot before it, leaving snapshots half way, half way from there, and so on.  So they stand
 * at 0, 1/2, 3/4, 7/8 ... of what a reader that goes back has before it, and are as many as that can be halved, and
 * one. */
#include <stdlib.h>
#include <string.h>

#include "program.h"

enum { DEAD = -1 };

typedef struct {        /* an operand */
    bool copied, first; /* it has to be made contiguous; no operand before is of the same loop */
    wg_loop_plan *loop; /* it is values of a carry of this loop, which runs again; or NULL */
    int carry;
    int64_t offset; /* bytes, within those values */
} wg_source;

struct wg_loop_plan {
    wg_loop_info info;
    wg_program *body;
    wg_source *sources;        /* by operand */
    int *result;               /* by result of the call: its place among the step's arrays, or DEAD */
    int64_t *bytes;            /* by input, then by output of the body */
    size_t scratch;            /* bytes: pointers, bases, moves, then what is copied, dead or kept */
    int64_t steps, span, most; /* in all; in a block; snapshots, of a loop that runs again, else 0 */
    /* while it runs: */
    wg_step *step;
    void **pointers;     /* of the body's inputs, then outputs, at the first step of a block */
    char **bases, *room; /* arrays through which they walk, one for a block of values; scratch that is left */
    int64_t *moves, done, marks[64], last, current; /* where snapshots stand; the last of them; the block at hand */
    char problem[256];
};

static int n_slots(const wg_loop_plan *l) { return l->info.n_in + l->info.n_carry + l->info.n_y; }
static int values_of(const wg_loop_plan *l, int carry) { /* where all of them go, or DEAD */
    return l->info.length == WG_UNTIL ? DEAD : l->result[l->info.n_carry + l->info.n_y + carry];
}
static bool is_entry(const wg_loop_info *info, int k) { return k >= info->n_carry && k < info->n_carry + info->n_x; }
static size_t round_up(int64_t size) { return wg_round_up((size_t)size); }
static int64_t n_blocks(const wg_loop_plan *l) { return l->steps ? (l->steps - 1) / l->span + 1 : 1; }

/* ---- planning ---------------------------------------------------------------------------------------------- */
wg_id wg_source_of(const wg_tape *t, const wg_window *windows, wg_id x) {
    const wg_node_rec *root = &t->nodes[windows[x].root];
    wg_loop_info l;
    if (root->op != WG_result) return WG_NONE;
    wg_loop_of(t, root->in[0], &l);
    return l.block > 0 && t->attrs[root->attrs + 1] >= l.n_carry + l.n_y ? root->in[0] : WG_NONE;
}

/* The body without what is stacked and nobody reads; l becomes the plan of such a loop. */
static wg_tape *leave_out(wg_loop_plan *l) {
    wg_loop_info *info = &l->info;
    const int end = info->n_carry + info->n_y, n_values = info->length == WG_UNTIL ? 0 : info->n_carry;
    wg_tape *body = wg_tape_clone(info->body);
    int n = 0;
    for (int k = 0; k < end && body; k++) {
        if (k >= info->n_carry && l->result[k] == DEAD && (n || k + 1 < end)) continue; /* a body has an output */
        body->outputs[n] = body->outputs[k];
        l->bytes[info->n_in + n] = l->bytes[info->n_in + k];
        l->result[n++] = l->result[k];
    }
    memmove(l->result + n, l->result + end, (size_t)n_values * sizeof *l->result);
    info->n_y = n - info->n_carry;
    if (body) body->n_outputs = (uint32_t)n;
    return body;
}

static wg_status lower_body(wg_loop_plan *l, wg_tape *t) {
    wg_tape *body = leave_out(l);
    int32_t *alias = body ? malloc(((size_t)body->n_outputs + 1) * sizeof *alias) : NULL;
    if (!alias) return wg_tape_release(body), wg_no_memory(t);
    for (int k = 0; k < (int)body->n_outputs; k++)
        alias[k] = !l->most && k < l->info.n_carry && values_of(l, k) == DEAD ? k : -1;
    const wg_status status = wg_program_new(body, alias, NULL, &l->body);
    if (status != WG_OK) wg_fail(t, status, "%s", body->error);
    free(alias);
    wg_tape_release(body);
    if (status != WG_OK) return status;
    free(l->body->memory); /* it works in the scratch of the loop's step, as other loops do before and after it */
    l->body->memory = NULL;
    return WG_OK;
}

/* What a run needs beside operands and results: pointers, memory for its body, copies, the carries that it keeps. */
static void size_scratch(wg_loop_plan *l) {
    const int n_in = l->info.n_in;
    l->scratch = wg_plus(round_up(3 * (int64_t)sizeof(void *) * n_slots(l)),
                         wg_plus(wg_round_up(l->body->arena_size), wg_round_up(l->body->scratch_size)));
    for (int k = 0; k < n_in; k++) {
        const int64_t rows = is_entry(&l->info, k) ? l->info.length : 1;
        if (l->sources[k].copied) l->scratch = wg_plus(l->scratch, round_up(l->bytes[k] * rows));
        if (l->sources[k].first) l->scratch = wg_plus(l->scratch, l->sources[k].loop->scratch);
    }
    for (int k = 0; k < l->info.n_carry + l->info.n_y; k++) {
        const int64_t rows = l->most && k < l->info.n_carry ? l->most + l->span + 1 : l->most || l->result[k] == DEAD;
        l->scratch = wg_plus(l->scratch, round_up(l->bytes[n_in + k] * rows));
    }
}

wg_status wg_loop_plan_new(const wg_program *p, const wg_window *windows, const bool *escapes, wg_range range,
                           wg_loop_plan **out, wg_interface *face) {
    wg_loop_plan *l = *out = calloc(1, sizeof *l);
    wg_tape *t = p->flat;
    const wg_id *in;
    if (!l) return wg_no_memory(t);
    wg_loop_of(t, range.lo, &l->info);
    const int n_in = wg_operands(t, range.lo, &in), n_results = wg_n_results(t, range.lo);
    l->result = malloc(((size_t)n_results + 1) * sizeof *l->result);
    l->sources = calloc((size_t)n_in + 1, sizeof *l->sources);
    l->bytes = malloc(((size_t)n_slots(l) + 1) * sizeof *l->bytes);
    face->operands = malloc(((size_t)n_in + 1) * sizeof *face->operands);
    face->results = malloc(((size_t)n_results + 1) * sizeof *face->results);
    if (!l->result || !l->sources || !l->bytes || !face->operands || !face->results) return wg_no_memory(t);
    for (int k = 0; k < n_results; k++) l->result[k] = DEAD;
    for (int k = 0; k < n_slots(l); k++) {
        const wg_id id = k < n_in ? l->info.body->inputs[k] : l->info.body->outputs[k - n_in];
        l->bytes[k] = wg_size(l->info.body, id) * (int64_t)wg_itemsize((wg_dtype)l->info.body->nodes[id].dtype);
    }
    for (wg_id id = range.lo + 1; id < range.hi; id++) {
        if (t->nodes[id].op != WG_result) continue; /* a view of one */
        const bool again = wg_source_of(t, windows, id) != WG_NONE;
        l->most |= again;
        if (!escapes[id]) continue;
        if (again) return wg_fail(t, WG_RUNTIME_ERROR, "scan: values of a carry that are not kept are read");
        l->result[t->attrs[t->nodes[id].attrs + 1]] = n_in + (int)face->n_results;
        face->results[face->n_results++] = id;
    }
    l->steps = l->info.length == WG_UNTIL ? INT64_MAX : l->info.length;
    l->span = l->most ? l->info.block : l->steps + !l->steps;          /* none is one block of none */
    for (int64_t n = n_blocks(l); l->most && n > 3; n /= 2) l->most++; /* halvings but the last, which is at hand */
    for (int k = 0; k < n_in; k++) {
        const wg_array x = wg_window_array(t, windows, in[k]);
        face->operands[face->n_operands++] = in[k];
        l->sources[k].copied = !wg_array_contiguous(&x);
        const wg_id source = wg_source_of(t, windows, in[k]);
        if (source == WG_NONE) continue;
        if (l->sources[k].copied || l->info.block >= 0)
            return wg_fail(t, WG_RUNTIME_ERROR, "scan: operand %d is not read as values of a carry are", k);
        uint32_t r = 0;
        while (p->ranges[r].lo != source) r++;
        wg_loop_plan *from = p->regions[r]->loop;
        l->sources[k] = (wg_source){.loop = from, .first = true, .carry = from->info.n_carry - wg_n_results(t, source)};
        l->sources[k].carry += (int)t->attrs[t->nodes[windows[in[k]].root].attrs + 1];
        l->sources[k].offset = windows[in[k]].offset * (int64_t)wg_itemsize(x.dtype);
        for (int j = 0; j < k; j++) l->sources[k].first &= l->sources[j].loop != from;
        l->span = from->span;
    }
    WG_TRY(lower_body(l, t));
    size_scratch(l);
    return WG_OK;
}

void wg_loop_plan_free(wg_loop_plan *l) {
    if (!l) return;
    wg_program_release(l->body);
    free(l->sources);
    free(l->result);
    free(l->bytes);
    free(l);
}

size_t wg_loop_scratch(const wg_loop_plan *l) { return l->scratch; }

double wg_loop_cost(const wg_loop_plan *l) { /* where it may never end: to be asked */
    return l->info.length == WG_UNTIL ? 1e9 : l->body->trial.cost * (double)l->info.length;
}

double wg_loop_flops(const wg_loop_plan *l) {
    return wg_program_flops(l->body) * (l->info.length == WG_UNTIL ? 1 : (double)l->info.length);
}

/* ---- running ----------------------------------------------------------------------------------------------- */
static char *take(wg_loop_plan *l, int64_t size) {
    char *at = l->room;
    l->room += round_up(size);
    return at;
}

static void walk(wg_loop_plan *l, int k, char *array, bool moves) {
    l->pointers[k] = l->bases[k] = array;
    l->moves[k] = !moves ? 0 : l->info.reverse ? -l->bytes[k] : l->bytes[k];
}

/* Snapshots, of which the first is the first carry, and behind them the values in a block; or all values; or one place,
 * which is written over. */
static void bind_carry(wg_loop_plan *l, int k) {
    const int values = values_of(l, k), out = l->info.n_in + k;
    const void *start = l->pointers[k];
    char *array;
    if (l->most)
        array = take(l, l->bytes[k] * (l->most + l->span + 1));
    else if (values != DEAD || l->result[k] != DEAD)
        array = l->step->in[values == DEAD ? l->result[k] : values].data;
    else
        array = take(l, l->bytes[k]);
    walk(l, k, array + l->most * l->bytes[k], l->most || values != DEAD);
    walk(l, out, array + l->most * l->bytes[k], l->most || values != DEAD);
    if (values != DEAD && l->info.reverse) array += l->info.length * l->bytes[k];
    memmove(array, start, (size_t)l->bytes[k]);
}

/* Returns the room that is left.  again: what it stacks is there already; what a guard may leave out is 0. */
static char *bind(wg_loop_plan *l, char *room, bool again) {
    const int n = n_slots(l);
    l->room = room;
    l->pointers = (void **)take(l, 3 * (int64_t)sizeof(void *) * n_slots(l));
    l->bases = (char **)(l->pointers + n);
    l->moves = (int64_t *)(l->bases + n);
    l->done = l->last = l->marks[0] = 0;
    l->current = -1;
    char *arena = take(l, (int64_t)l->body->arena_size);
    wg_program_use(l->body, arena, take(l, (int64_t)l->body->scratch_size));
    for (int k = 0; k < l->info.n_in; k++) {
        const wg_source *source = &l->sources[k];
        const bool entry = is_entry(&l->info, k);
        char *data = source->loop ? source->loop->bases[source->carry] + source->offset : l->step->in[k].data;
        if (source->copied) data = take(l, l->bytes[k] * (entry ? l->info.length : 1));
        if (source->copied) wg_gather(data, &l->step->in[k], 0, wg_array_size(&l->step->in[k]));
        walk(l, k, data, entry);
    }
    for (int k = 0; k < l->info.n_carry; k++) bind_carry(l, k);
    for (int k = l->info.n_in + l->info.n_carry; k < n; k++) {
        const int result = again ? DEAD : l->result[k - l->info.n_in];
        walk(l, k, result == DEAD ? take(l, l->bytes[k]) : l->step->in[result].data, result != DEAD);
        if (l->info.guard >= 0 && result != DEAD) memset(l->bases[k], 0, (size_t)(l->bytes[k] * l->info.length));
    }
    return l->room;
}

static int64_t rows_of(const wg_loop_plan *l, int64_t block) { /* all are whole but the last */
    return block == n_blocks(l) - 1 ? l->steps - block * l->span : l->span;
}

/* The n-th block that a loop meets is this one, and the other way round. */
static int64_t turn_of(const wg_loop_plan *l, int64_t n) { return l->info.reverse ? n_blocks(l) - 1 - n : n; }

static wg_status run_block(wg_loop_plan *l, wg_step *step, int64_t block) {
    const wg_loop_info *info = &l->info;
    for (int k = 0; k < n_slots(l); k++) { /* a carry goes in as one value and comes out as the next */
        const bool in = k < info->n_in, value = (in ? k : k - info->n_in) < info->n_carry;
        const bool here = value ? l->most > 0 : in && l->sources[k].loop;
        const int64_t row = info->reverse ? rows_of(l, block) - 1 + (value && in) : value && !in;
        if (l->moves[k]) l->pointers[k] = l->bases[k] + ((here ? 0 : block * l->span) + row) * l->bytes[k];
    }
    wg_repeat repeat = step->watch ? *step->watch->repeat : (wg_repeat){0}; /* asks whom the caller asks */
    repeat.times = rows_of(l, block);
    repeat.moves = l->moves;
    repeat.guard = info->guard;
    repeat.guard_bytes = info->guard < 0 ? 0 : l->bytes[info->guard];
    if (info->guard >= 0 && !repeat.guard_bytes) repeat.times = 0; /* a batch of none */
    wg_status status =
        wg_program_repeat(l->body, l->pointers, l->pointers + info->n_in, &repeat, l->problem, sizeof l->problem);
    step->problem = l->problem;
    l->done += repeat.done;
    return status == WG_OK && wg_stops(step->watch) ? WG_INTERRUPTED : status;
}

/* Rows of the carries: a block's values have numbers from 0 on, snapshots those before. */
static void copy_carries(const wg_loop_plan *l, int64_t to, int64_t from) {
    for (int k = 0; k < l->info.n_carry; k++)
        memcpy(l->bases[k] + to * l->bytes[k], l->bases[k] + from * l->bytes[k], (size_t)l->bytes[k]);
}

/* Runs a loop to the values that its carries have in a block.  Its readers go all the way back, or along with it. */
static wg_status bring(wg_loop_plan *l, wg_step *step, int64_t block) {
    const int64_t to = turn_of(l, block), first = l->info.reverse ? l->span : 0;
    int64_t n = l->current + 1;
    if (n > 0 && n <= to) {
        copy_carries(l, first, l->span - first);
    } else { /* from a snapshot on; those behind it make room */
        while (l->marks[l->last] > to) l->last--;
        n = l->marks[l->last];
        copy_carries(l, first ? rows_of(l, turn_of(l, n)) : 0, l->last - l->most);
    }
    while (n < to) {
        for (const int64_t half = n + (to - n) / 2 + 1; n < half; n++) {
            WG_TRY(run_block(l, step, turn_of(l, n)));
            copy_carries(l, first, first ? 0 : l->span);
        }
        if (n == to) break;
        l->marks[++l->last] = n;
        copy_carries(l, l->last - l->most, first);
    }
    l->current = to;
    return run_block(l, step, block);
}

wg_status wg_execute_loop(wg_step *step) {
    wg_loop_plan *l = step->region->loop;
    wg_status status = WG_OK;
    l->step = step;
    if (!step->n_out) return WG_OK; /* it only runs again */
    l->room = step->scratch;
    for (int k = 0; k < l->info.n_in; k++)
        if (l->sources[k].first) l->room = bind(l->sources[k].loop, l->room, true);
    bind(l, l->room, false);
    if (l->most) status = bring(l, step, turn_of(l, n_blocks(l) - 1));
    for (int64_t n = 0; n < n_blocks(l) && status == WG_OK && !l->most; n++) {
        for (int k = 0; k < l->info.n_in && status == WG_OK; k++)
            if (l->sources[k].first) status = bring(l->sources[k].loop, step, turn_of(l, n));
        if (status == WG_OK) status = run_block(l, step, turn_of(l, n));
    }
    const int64_t rows = l->most ? rows_of(l, turn_of(l, n_blocks(l) - 1)) : l->done;
    const int64_t last = !l->info.reverse ? rows : l->most ? 0 : l->info.length - rows;
    for (int k = 0; k < l->info.n_carry && status == WG_OK; k++) /* the last of its values is a result of its own */
        if (l->moves[k] && l->result[k] != DEAD)
            memcpy(step->in[l->result[k]].data, l->bases[k] + last * l->bytes[k], (size_t)l->bytes[k]);
    return status;
}

/* Lowering: calls are inlined, then what no output needs is left out. */
#include <stdlib.h>

#include "program.h"

typedef struct { /* a tape being copied into the flat one */
    const wg_tape *tape;
    wg_id *map; /* its ids -> flat ids */
    wg_id next; /* the node to copy next */
    wg_id call; /* the call in the tape below that this one answers */
} wg_frame;

typedef struct {
    wg_tape *flat;
    wg_frame *frames; /* a stack: calls within calls */
    uint32_t depth, cap;
    bool rules; /* calls of tapes with a rule of their own stay calls */
} wg_inliner;

/* Loops stay as they are. */
static bool stays(const wg_inliner *w, const wg_tape *tape, wg_id call, wg_loop_info *l) {
    return wg_loop_of(tape, call, l) || (w->rules && l->body->derive);
}

static bool push_frame(wg_inliner *w, const wg_tape *tape, wg_id call) {
    if (!wg_grow(&w->frames, &w->cap, (uint64_t)w->depth + 1, sizeof *w->frames)) return false;
    wg_id *map = malloc(((size_t)tape->len + 1) * sizeof *map);
    if (!map) return false;
    w->frames[w->depth++] = (wg_frame){.tape = tape, .map = map, .call = call};
    return true;
}

/* The top frame is done: its outputs are the results of the call below. */
static void pop_frame(wg_inliner *w) {
    wg_frame *top = &w->frames[--w->depth];
    if (w->depth) {
        wg_frame *below = &w->frames[w->depth - 1];
        for (uint32_t k = 0; k < top->tape->n_outputs; k++)
            below->map[top->call + 1 + k] = top->map[top->tape->outputs[k]];
    }
    free(top->map);
}

static wg_status copy_next(wg_inliner *w) {
    wg_frame *top = &w->frames[w->depth - 1];
    const wg_tape *tape = top->tape;
    wg_id id = top->next++;
    const wg_node_rec *node = &tape->nodes[id];
    wg_loop_info l;
    if (node->op == WG_result && !stays(w, tape, node->in[0], &l)) return WG_OK; /* renamed when its frame ended */
    if (node->op == WG_call && !stays(w, tape, id, &l))
        return push_frame(w, l.body, id) ? WG_OK : wg_no_memory(w->flat);
    if (node->op == WG_input && w->depth > 1) {
        const wg_frame *below = &w->frames[w->depth - 2];
        top->map[id] = below->map[wg_in(below->tape, top->call)[wg_attr(tape, id)[0]]];
        return WG_OK;
    }
    return wg_copy_node(w->flat, tape, id, top->map, &top->map[id]);
}

static wg_status inline_all(wg_inliner *w, const wg_tape *t) {
    if (!push_frame(w, t, WG_NONE)) return wg_no_memory(w->flat);
    for (;;) {
        wg_frame *top = &w->frames[w->depth - 1];
        if (top->next < top->tape->len) {
            WG_TRY(copy_next(w));
            continue;
        }
        if (w->depth > 1) {
            pop_frame(w);
            continue;
        }
        wg_status status = wg_map_outputs(w->flat, t, top->map);
        pop_frame(w);
        return status;
    }
}

static wg_tape *flatten(wg_tape *t, bool rules) {
    wg_inliner w = {.flat = wg_tape_create(NULL), .rules = rules};
    if (!w.flat) return wg_no_memory(t), NULL;
    wg_status status = inline_all(&w, t);
    while (w.depth) free(w.frames[--w.depth].map);
    free(w.frames);
    if (status == WG_OK) return w.flat;
    wg_fail(t, status, "%s", w.flat->error);
    wg_tape_release(w.flat);
    return NULL;
}

wg_tape *wg_flatten(wg_tape *t) { return flatten(t, false); }
wg_status wg_inline(wg_tape *t, wg_tape **out) { return (*out = flatten(t, true)) ? WG_OK : WG_MEMORY_ERROR; }

void wg_mark_live(const wg_tape *flat, bool *live) {
    for (wg_id id = 0; id < flat->len; id++) live[id] = false;
    for (uint32_t k = 0; k < flat->n_outputs; k++) live[flat->outputs[k]] = true;
    for (wg_id id = flat->len; id-- > 0;)
        for (int k = live[id] ? wg_n_in(flat, id) : 0; k-- > 0;) live[wg_in(flat, id)[k]] = true;
}

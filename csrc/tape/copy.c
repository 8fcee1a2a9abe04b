/* Copying nodes from one tape to another: how a child tape is transformed, how a call is inlined, and how a part of a
 * tape becomes a tape. */
#include <stdlib.h>
#include <string.h>

#include "tape.h"

wg_status wg_push_child(wg_tape *t, wg_tape *child) {
    if (!wg_grow(&t->children, &t->children_cap, (uint64_t)t->children_len + 1, sizeof *t->children))
        return wg_no_memory(t);
    t->children[t->children_len++] = wg_tape_retain(child);
    return WG_OK;
}

wg_status wg_copy_node(wg_tape *dst, const wg_tape *src, wg_id id, const wg_id *map, wg_id *out) {
    wg_node_rec node = src->nodes[id];
    if (node.flags & WG_FLAG_VIEW && node.op == WG_constant) { /* read through a view, it had moved to a buffer */
        const wg_view *view = &src->views[node.value.view];
        memcpy(&node.value, (const char *)view->buffer->data, wg_itemsize((wg_dtype)node.dtype));
    }
    node.flags &= node.op == WG_constant ? WG_FLAG_WEAK | WG_FLAG_VALUE : WG_FLAG_WEAK; /* other values stay behind */
    const wg_id *in = wg_in(src, id);
    const int n_in = wg_n_in(src, id);
    node.shape = wg_intern(&dst->vectors, wg_ndim(src, id), wg_shape(src, id));
    if (node.shape == WG_NONE) return wg_no_memory(dst);
    if (wg_row(node.op)->arity < 0) {
        WG_TRY(wg_push_side(dst, n_in, in, &node.in[0]));
        wg_id *renamed = dst->side + node.in[0] + 1;
        for (int k = 0; k < n_in; k++) renamed[k] = map[renamed[k]];
    } else {
        for (int k = 0; k < n_in; k++) node.in[k] = map[in[k]];
    }
    WG_TRY(wg_push_attrs(dst, wg_n_attr(src, id), wg_attr(src, id), &node.attrs));
    if (node.op == WG_call) {
        dst->attrs[node.attrs + 1] = dst->children_len;
        WG_TRY(wg_push_child(dst, wg_tape_child(src, id)));
    }
    if (node.op == WG_input) {
        if (!wg_grow(&dst->inputs, &dst->cap_inputs, (uint64_t)dst->n_inputs + 1, sizeof *dst->inputs))
            return wg_no_memory(dst);
        dst->attrs[node.attrs + 1] = dst->n_inputs;
        dst->inputs[dst->n_inputs++] = dst->len;
    }
    return wg_push(dst, &node, out);
}

wg_status wg_map_outputs(wg_tape *dst, const wg_tape *src, const wg_id *map) {
    wg_id *outputs = malloc(((size_t)src->n_outputs + 1) * sizeof *outputs);
    if (!outputs) return wg_no_memory(dst);
    for (uint32_t k = 0; k < src->n_outputs; k++) outputs[k] = map[src->outputs[k]];
    wg_status status = wg_tape_set_outputs(dst, (int)src->n_outputs, outputs);
    free(outputs);
    return status;
}

wg_tape *wg_tape_clone(const wg_tape *src) {
    wg_tape *t = wg_tape_create(NULL);
    wg_id *same = t ? malloc(((size_t)src->len + 1) * sizeof *same) : NULL;
    bool ok = same != NULL;
    for (wg_id id = 0; ok && id < src->len; id++) {
        same[id] = id;
        wg_id copied;
        ok = wg_copy_node(t, src, id, same, &copied) == WG_OK;
    }
    ok = ok && wg_map_outputs(t, src, same) == WG_OK;
    free(same);
    if (ok) return t;
    wg_tape_release(t);
    return NULL;
}

/* ---- a part of a tape as a tape ---------------------------------------------------------------------------- */
typedef struct {
    const wg_tape *from;
    wg_tape *t;      /* being made */
    wg_id lo, hi;    /* the nodes that are walked */
    uint8_t *marks;  /* by id */
    wg_id *map;      /* ids of `from` -> ids of t, WG_NONE */
    wg_id *operands; /* what the inputs of t stand for */
    int n;
} wg_part;
enum { DEPENDS = 1 /* on an input, or has to be computed again */, NEEDED = 2 /* by an output */ };

/* A later node has written into its buffer. */
static bool lost(const wg_tape *t, wg_id id) { return t->run && !(t->nodes[id].flags & WG_FLAG_VALUE); }

static void mark_part(wg_part *w) {
    const wg_tape *t = w->from;
    for (wg_id id = w->lo; id < w->hi; id++)
        for (int k = wg_n_in(t, id); k-- > 0;) w->marks[id] |= w->marks[wg_in(t, id)[k]] & DEPENDS;
    for (wg_id id = w->hi; id-- > w->lo;)
        for (int k = 0; k < wg_n_in(t, id); k++) {
            const wg_id x = wg_in(t, id)[k];
            w->marks[x] |= w->marks[id] & NEEDED;
            if (w->marks[id] != (DEPENDS | NEEDED) || !lost(t, x)) continue;
            w->marks[x] |= DEPENDS;
            if (x < w->lo) w->lo = x;
        }
}

static wg_status part_input(wg_part *w, wg_id id) {
    const wg_node_rec node = w->from->nodes[id];
    w->operands[w->n++] = id;
    return wg_input(w->t, (wg_dtype)node.dtype, wg_ndim(w->from, id), wg_shape(w->from, id), node.flags & WG_FLAG_WEAK,
                    &w->map[id]);
}

/* What a node of the part reads from outside of it: a constant, or another input. */
static wg_status part_operand(wg_part *w, wg_id id) {
    if (w->map[id] != WG_NONE) return WG_OK;
    if (w->from->nodes[id].op == WG_constant) return wg_copy_node(w->t, w->from, id, w->map, &w->map[id]);
    return part_input(w, id);
}

static wg_status copy_part(wg_part *w, int n_in, const wg_id *inputs, int n_out, const wg_id *outputs) {
    for (int i = 0; i < n_in; i++) w->marks[inputs[i]] |= DEPENDS;
    for (int k = 0; k < n_out; k++) w->marks[outputs[k]] |= NEEDED;
    mark_part(w);
    for (int i = 0; i < n_in; i++) WG_TRY(part_input(w, inputs[i]));
    for (wg_id id = w->lo; id < w->hi; id++) {
        const wg_id *in = wg_in(w->from, id);
        bool with_call = w->from->nodes[id].op == WG_result && w->map[in[0]] != WG_NONE; /* results stay together */
        if (w->map[id] != WG_NONE || (w->marks[id] != (DEPENDS | NEEDED) && !with_call)) continue;
        for (int k = 0; k < wg_n_in(w->from, id); k++) WG_TRY(part_operand(w, in[k]));
        WG_TRY(wg_copy_node(w->t, w->from, id, w->map, &w->map[id]));
    }
    wg_id *mapped = malloc(((size_t)n_out + 1) * sizeof *mapped);
    if (!mapped) return wg_no_memory(w->t);
    wg_status status = WG_OK;
    for (int k = 0; k < n_out && status == WG_OK; k++) {
        status = part_operand(w, outputs[k]);
        mapped[k] = w->map[outputs[k]];
    }
    if (status == WG_OK) status = wg_tape_set_outputs(w->t, n_out, mapped);
    free(mapped);
    return status;
}

wg_status wg_extract(wg_tape *t, int n_in, const wg_id *inputs, int n_out, const wg_id *outputs, wg_tape **out,
                     wg_id **operands) {
    wg_part w = {.from = t, .lo = t->len};
    for (int i = 0; i < n_in; i++) {
        WG_TRY(wg_check_id(t, inputs[i], "inputs"));
        if (inputs[i] < w.lo) w.lo = inputs[i];
        if (inputs[i] >= w.hi) w.hi = inputs[i] + 1;
    }
    for (int k = 0; k < n_out; k++) {
        WG_TRY(wg_check_id(t, outputs[k], "outputs"));
        if (outputs[k] >= w.hi) w.hi = outputs[k] + 1;
    }
    if (w.hi < w.lo) w.hi = w.lo;
    w.t = wg_tape_create(NULL);
    w.marks = calloc((size_t)t->len + 1, sizeof *w.marks);
    w.map = malloc(((size_t)t->len + 1) * sizeof *w.map);
    w.operands = malloc(((size_t)t->len + 1) * sizeof *w.operands);
    wg_status status = w.t && w.marks && w.map && w.operands ? WG_OK : wg_no_memory(t);
    if (status == WG_OK) {
        memset(w.map, 0xff, ((size_t)t->len + 1) * sizeof *w.map);
        status = copy_part(&w, n_in, inputs, n_out, outputs);
        if (status != WG_OK) wg_fail(t, status, "%s", w.t->error);
    }
    free(w.marks);
    free(w.map);
    if (status == WG_OK) return *out = w.t, *operands = w.operands, WG_OK;
    free(w.operands);
    wg_tape_release(w.t);
    return status;
}

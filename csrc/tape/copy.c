/* Copying nodes from one abstract tape to another: how a child tape is transformed and how a call is inlined. */
#include <stdlib.h>

#include "tape.h"

wg_status wg_push_child(wg_tape *t, wg_tape *child) {
    if (!wg_grow(&t->children, &t->children_cap, (uint64_t)t->children_len + 1, sizeof *t->children))
        return wg_no_memory(t);
    t->children[t->children_len++] = wg_tape_retain(child);
    return WG_OK;
}

wg_status wg_copy_node(wg_tape *dst, const wg_tape *src, wg_id id, const wg_id *map, wg_id *out) {
    wg_node_rec node = src->nodes[id];
    const wg_id *in;
    int n_in = wg_operands(src, id, &in);
    node.shape = wg_intern(&dst->vectors, wg_ndim(src, id), wg_shape(src, id));
    if (node.shape == WG_NONE) return wg_no_memory(dst);
    if (wg_row(node.op)->arity < 0) {
        WG_TRY(wg_push_side(dst, n_in, in, &node.in[0]));
        wg_id *renamed = dst->side + node.in[0] + 1;
        for (int k = 0; k < n_in; k++) renamed[k] = map[renamed[k]];
    } else {
        for (int k = 0; k < n_in; k++) node.in[k] = map[in[k]];
    }
    const int64_t *attrs;
    int n_attr = wg_attrs(src, id, &attrs);
    WG_TRY(wg_push_attrs(dst, n_attr, attrs, &node.attrs));
    if (node.op == WG_call) {
        wg_tape *child = src->children[attrs[0]];
        dst->attrs[node.attrs + 1] = dst->children_len;
        WG_TRY(wg_push_child(dst, child));
    }
    if (node.op == WG_input) {
        if (!wg_grow(&dst->inputs, &dst->cap_inputs, (uint64_t)dst->n_inputs + 1, sizeof *dst->inputs))
            return wg_no_memory(dst);
        dst->attrs[node.attrs + 1] = dst->n_inputs;
        dst->inputs[dst->n_inputs++] = dst->len;
    }
    return wg_push(dst, &node, out);
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
    if (ok && src->n_outputs) ok = wg_tape_set_outputs(t, (int)src->n_outputs, src->outputs) == WG_OK;
    free(same);
    if (ok) return t;
    wg_tape_release(t);
    return NULL;
}

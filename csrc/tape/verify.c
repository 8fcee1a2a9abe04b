/* wg_verify: every invariant of every node, for tests and for debugging a rule. */
#include "tape.h"

static wg_status verify_node(wg_tape *t, wg_id id) {
    const wg_node_rec node = t->nodes[id];
    const wg_op_info *info = wg_op(node.op);
    if (!info) return wg_fail(t, WG_VALUE_ERROR, "node %u: op %u is not in the table", id, node.op);
    if (node.dtype >= WG_DTYPE_COUNT) return wg_fail(t, WG_VALUE_ERROR, "node %u: no dtype %u", id, node.dtype);
    if (node.shape >= t->vectors.len) return wg_fail(t, WG_VALUE_ERROR, "node %u: no shape %u", id, node.shape);
    const wg_id *in = wg_in(t, id);
    const int n_in = wg_n_in(t, id);
    for (int k = 0; k < n_in; k++)
        if (in[k] >= id)
            return wg_fail(t, WG_VALUE_ERROR, "node %u (%s): operand %d is node %u", id, info->name, k, in[k]);
    bool valued = info->kind != WG_KIND_LEAF || node.op == WG_leaf;
    if (node.flags & WG_FLAG_VIEW) {
        if (node.value.view >= t->views_len || !t->views[node.value.view].buffer)
            return wg_fail(t, WG_VALUE_ERROR, "node %u (%s): its view is not there", id, info->name);
        if (wg_vec_ndim(t, t->views[node.value.view].strides) != wg_vec_ndim(t, node.shape))
            return wg_fail(t, WG_VALUE_ERROR, "node %u (%s): strides and shape differ in length", id, info->name);
    } else if (node.flags & WG_FLAG_VALUE && node.op != WG_call && wg_vec_size(t, node.shape) != 1) {
        return wg_fail(t, WG_VALUE_ERROR, "node %u (%s): an inline value must be one element", id, info->name);
    }
    if (!t->run && valued && node.flags & WG_FLAG_VALUE)
        return wg_fail(t, WG_VALUE_ERROR, "node %u (%s): has a value on an abstract tape", id, info->name);
    if (info->kind == WG_KIND_LEAF) return WG_OK;
    const int n_attr = wg_n_attr(t, id);
    int64_t copy[3 * WG_MAX_NDIM];
    for (int i = 0; i < n_attr; i++) copy[i] = wg_attr(t, id)[i];
    wg_dtype dtype = WG_BOOL;
    uint32_t shape;
    WG_TRY(wg_infer(t, node.op, n_in, in, n_attr, copy, &dtype, &shape));
    if (dtype != node.dtype || shape != node.shape)
        return wg_fail(t, WG_VALUE_ERROR, "node %u (%s): shape or dtype is not what the rule infers", id, info->name);
    return WG_OK;
}

wg_status wg_verify(wg_tape *t) {
    WG_TRY(wg_check_thread(t));
    for (wg_id id = 0; id < t->len; id++) WG_TRY(verify_node(t, id));
    for (uint32_t k = 0; k < t->n_inputs; k++)
        if (t->inputs[k] >= t->len || t->nodes[t->inputs[k]].op != WG_input)
            return wg_fail(t, WG_VALUE_ERROR, "input slot %u is not an input node", k);
    return WG_OK;
}

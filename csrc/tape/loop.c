/* Calls that are loops: what their attributes say, and the shapes of results. */
#include <string.h>

#include "tape.h"

wg_tape *wg_tape_child(const wg_tape *t, wg_id call) {
    return t->nodes[call].op == WG_call ? t->children[wg_attr(t, call)[0]] : NULL;
}

bool wg_loop_of(const wg_tape *t, wg_id call, wg_loop_info *l) {
    const int64_t *attrs = wg_attr(t, call);
    wg_tape *body = wg_tape_child(t, call);
    *l = (wg_loop_info){.body = body, .n_in = wg_n_in(t, call)};
    if (wg_n_attr(t, call) == 1) return false;
    l->n_carry = (int)attrs[1];
    l->n_x = (int)attrs[2];
    l->n_y = (int)body->n_outputs - l->n_carry;
    l->length = attrs[3];
    l->reverse = attrs[4] != 0;
    l->guard = (int)attrs[5];
    l->block = attrs[6];
    return true;
}

int wg_n_results(const wg_tape *t, wg_id call) {
    wg_loop_info l;
    return wg_loop_of(t, call, &l) && l.length != WG_UNTIL ? 2 * l.n_carry + l.n_y : (int)l.body->n_outputs;
}

wg_status wg_infer_result(wg_tape *t, wg_id call, int64_t k, wg_dtype *dtype, uint32_t *shape) {
    wg_loop_info l;
    const bool loops = wg_loop_of(t, call, &l), is_state = loops && k >= l.n_carry + l.n_y;
    if (k < 0 || k >= wg_n_results(t, call))
        return wg_fail(t, WG_VALUE_ERROR, "result: the call has %d results", wg_n_results(t, call));
    const wg_id output = l.body->outputs[is_state ? k - l.n_carry - l.n_y : k];
    const int ndim = wg_ndim(l.body, output);
    int64_t stacked[WG_MAX_NDIM];
    *dtype = (wg_dtype)l.body->nodes[output].dtype;
    if (!loops || k < l.n_carry) return wg_make_shape(t, *dtype, ndim, wg_shape(l.body, output), shape);
    if (ndim + 1 > WG_MAX_NDIM) return wg_fail(t, WG_VALUE_ERROR, "scan: more than %d axes", WG_MAX_NDIM);
    stacked[0] = l.length + is_state;
    if (ndim) memcpy(stacked + 1, wg_shape(l.body, output), (size_t)ndim * sizeof *stacked);
    return wg_make_shape(t, *dtype, ndim + 1, stacked, shape);
}

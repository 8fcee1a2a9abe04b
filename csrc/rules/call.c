/* call: one node that applies an abstract child tape.  Its derivative is again a call, of a child that is the old one
 * plus what wg_vjp or wg_jvp appended to it; children so derived are kept with the child they come from. */
#include <stdlib.h>
#include <string.h>

#include "rules.h"

/* ---- applying ---------------------------------------------------------------------------------------------- */
static wg_status check_operands(wg_tape *t, const wg_tape *child, int n_in, const wg_id *in) {
    if (!child->n_outputs || child->run)
        return wg_fail(t, WG_VALUE_ERROR, "call: the child must be an abstract tape with outputs");
    if (n_in < 0 || (uint32_t)n_in != child->n_inputs)
        return wg_fail(t, WG_VALUE_ERROR, "call: the child has %u inputs, got %d operands", child->n_inputs, n_in);
    for (int k = 0; k < n_in; k++) {
        WG_TRY(wg_check_like(t, "call: operand", k, t, in[k], child, child->inputs[k], -1));
    }
    return WG_OK;
}

/* attrs[0] is for the child's place. */
static wg_status push_call(wg_tape *t, wg_tape *child, int n_attr, int64_t *attrs, int n_in, const wg_id *in,
                           wg_id *first) {
    wg_node_rec call = {.op = WG_call, .dtype = WG_BOOL, .shape = t->scalar_shape, .in = {0, WG_NONE, WG_NONE}};
    wg_id call_id, id;
    attrs[0] = t->children_len;
    WG_TRY(wg_push_side(t, n_in, in, &call.in[0]));
    WG_TRY(wg_push_attrs(t, n_attr, attrs, &call.attrs));
    if (t->len == t->cap && !wg_grow(&t->nodes, &t->cap, (uint64_t)t->len + 1, sizeof *t->nodes))
        return wg_no_memory(t);
    WG_TRY(wg_push_child(t, child)); /* with the node's place secured: popping a call releases its child */
    WG_TRY(wg_push(t, &call, &call_id));
    *first = call_id + 1;
    for (int k = 0, n = wg_n_results(t, call_id); k < n; k++) {
        wg_node_rec result = {.op = WG_result, .in = {call_id, WG_NONE, WG_NONE}};
        wg_dtype dtype = WG_BOOL;
        WG_TRY(wg_infer_result(t, call_id, k, &dtype, &result.shape));
        result.dtype = (uint8_t)dtype;
        WG_TRY(wg_push_attrs(t, 1, &(int64_t){k}, &result.attrs));
        WG_TRY(wg_push(t, &result, &id));
    }
    return t->run ? t->run(t, call_id) : WG_OK;
}

wg_status wg_push_call(wg_tape *t, wg_tape *child, int n_attr, int64_t *attrs, int n_in, const wg_id *in,
                       wg_id *first) {
    uint32_t len = t->len, attrs_len = t->attrs_len, side_len = t->side_len;
    wg_status status = push_call(t, child, n_attr, attrs, n_in, in, first);
    if (status == WG_OK) return WG_OK;
    wg_tape_pop(t, len);
    t->attrs_len = attrs_len;
    t->side_len = side_len;
    return status;
}

wg_status wg_call(wg_tape *t, wg_tape *child, int n_in, const wg_id *in, wg_id *first) {
    int64_t attrs[1];
    WG_TRY(wg_check_thread(t));
    WG_TRY(check_operands(t, child, n_in, in));
    return wg_push_call(t, child, 1, attrs, n_in, in, first);
}

/* ---- derived children -------------------------------------------------------------------------------------- */
typedef struct { /* one call being differentiated */
    wg_tape *child;
    int n_in, n_out, n_known; /* known: the operands, and the results where a rule of its own may read them */
    bool *given;              /* reverse: which outputs have a cotangent; forward: which inputs have a tangent */
    bool *asked;              /* reverse: which inputs want one; forward: unused */
    wg_id *ids;               /* what is known, then the given (co)tangents */
} wg_question;

/* What is asked as bits; 0 when it does not fit and the answer is not kept. */
static uint64_t key_of(const wg_tape *child, wg_mode mode, const bool *given, const bool *asked) {
    uint32_t n_given = mode == WG_REVERSE ? child->n_outputs : child->n_inputs;
    uint32_t n_asked = mode == WG_REVERSE ? child->n_inputs : 0;
    if ((uint64_t)n_given + n_asked > 62) return 0;
    uint64_t key = (uint64_t)mode;
    for (uint32_t k = 0; k < n_given; k++) key = key << 1 | given[k];
    for (uint32_t k = 0; k < n_asked; k++) key = key << 1 | asked[k];
    return key; /* the counts are the child's own, so the bits are unambiguous */
}

wg_status wg_input_like(wg_tape *t, const wg_tape *from, wg_id like, wg_id *out) {
    int64_t shape[WG_MAX_NDIM];
    int ndim = wg_ndim(from, like);
    if (ndim) memcpy(shape, wg_shape(from, like), (size_t)ndim * sizeof *shape);
    return wg_input(t, (wg_dtype)from->nodes[like].dtype, ndim, shape, false, out);
}

static wg_status zeros_where_none(wg_tape *t, int n, const wg_id *like, wg_id *ids) {
    for (int k = 0; k < n; k++)
        if (ids[k] == WG_NONE) WG_TRY(wg_emit_zeros(t, like[k], &ids[k]));
    return WG_OK;
}

/* On a clone of the child: inputs for the given (co)tangents, the sweep, the answers as outputs.
 * ids: room for 3 * (n_inputs + n_outputs). */
static wg_status derive_on(wg_tape *t, wg_mode mode, const bool *is_given, const bool *asked, wg_id *ids) {
    int n_from = (int)(mode == WG_REVERSE ? t->n_outputs : t->n_inputs);
    int n_to = (int)(mode == WG_REVERSE ? t->n_inputs : t->n_outputs);
    const wg_id *from_all = mode == WG_REVERSE ? t->outputs : t->inputs;
    wg_id *from = ids, *given = from + n_from, *to = given + n_from, *answer = to + n_to;
    int n_given = 0, n_asked = 0;
    for (int k = 0; k < n_from; k++)
        if (is_given[k]) from[n_given++] = from_all[k];
    for (int k = 0; k < n_to; k++)
        if (mode == WG_FORWARD || asked[k]) to[n_asked++] = mode == WG_REVERSE ? t->inputs[k] : t->outputs[k];
    for (int k = 0; k < n_given; k++) WG_TRY(wg_input_like(t, t, from[k], &given[k]));
    if (mode == WG_REVERSE)
        WG_TRY(wg_vjp(t, n_given, from, given, n_asked, to, false, answer));
    else
        WG_TRY(wg_jvp(t, n_given, from, given, n_asked, to, answer));
    WG_TRY(zeros_where_none(t, n_asked, to, answer));
    return wg_tape_set_outputs(t, n_asked, answer);
}

static wg_status sweep_clone(wg_tape *child, wg_mode mode, const bool *given, const bool *asked, wg_tape **out) {
    wg_tape *clone = wg_tape_clone(child);
    wg_id *ids = malloc(((size_t)child->n_inputs + child->n_outputs + 1) * 3 * sizeof *ids);
    wg_status status = clone && ids ? derive_on(clone, mode, given, asked, ids) : wg_no_memory(child);
    free(ids);
    if (status == WG_OK) return *out = clone, WG_OK;
    if (clone && clone->error[0]) wg_fail(child, status, "%s", clone->error);
    wg_tape_release(clone);
    return status;
}

wg_status wg_derive_child(wg_tape *child, wg_mode mode, const bool *given, const bool *asked, wg_tape **out) {
    uint64_t key = key_of(child, mode, given, asked);
    for (uint32_t k = 0; key && k < child->derived_len; k++)
        if (child->derived[k].key == key) return *out = wg_tape_retain(child->derived[k].tape), WG_OK;
    if (child->derive)
        WG_TRY(child->derive(child, child->derive_context, mode, given, asked, out));
    else
        WG_TRY(sweep_clone(child, mode, given, asked, out));
    if (key && wg_grow(&child->derived, &child->derived_cap, (uint64_t)child->derived_len + 1, sizeof *child->derived))
        child->derived[child->derived_len++] = (wg_derived){.key = key, .tape = wg_tape_retain(*out)};
    return WG_OK;
}

static wg_status call_derived(wg_tape *t, const wg_question *q, wg_mode mode, int n, wg_id *answer) {
    wg_tape *derived;
    wg_status status = wg_derive_child(q->child, mode, q->given, q->asked, &derived);
    if (status != WG_OK) return wg_fail(t, status, "%s", q->child->error);
    status = wg_call(t, derived, n, q->ids, answer);
    wg_tape_release(derived);
    return status;
}

/* ---- the two rules ----------------------------------------------------------------------------------------- */
static wg_status vjp_call(wg_sweep *s, wg_id call, const wg_question *q) {
    int n = q->n_known, any = 0;
    for (int k = 0; k < q->n_in; k++) any |= q->asked[k] = wg_wants(s, q->ids[k]);
    for (int k = 0; k < q->n_out; k++) {
        wg_id id = call + 1 + (wg_id)k, g = id < s->hi ? wg_slot_of(s, id) : WG_NONE;
        q->given[k] = g != WG_NONE;
        if (g != WG_NONE) q->ids[n++] = g;
    }
    if (!any || n == q->n_known) return WG_OK;
    wg_id answer;
    wg_status status = call_derived(s->t, q, WG_REVERSE, n, &answer);
    const wg_tape *derived = status == WG_OK ? s->t->children[s->t->children_len - 1] : NULL;
    for (int k = 0, n_asked = 0; k < q->n_in && status == WG_OK; k++) { /* zeros: it does not depend on that operand */
        if (!q->asked[k]) continue;
        if (!wg_is_zeros(derived, derived->outputs[n_asked])) status = wg_contribute(s, q->ids[k], answer + n_asked);
        n_asked++;
    }
    wg_let_results_go(s, call); /* used */
    return status;
}

static wg_status jvp_call(wg_sweep *s, wg_id call, const wg_id *tangents, const wg_question *q) {
    int n = q->n_known;
    for (int k = 0; k < q->n_in; k++)
        if ((q->given[k] = tangents[k] != WG_NONE)) q->ids[n++] = tangents[k];
    wg_id answer;
    wg_status status = call_derived(s->t, q, WG_FORWARD, n, &answer);
    for (int k = 0; k < q->n_out && status == WG_OK; k++) {
        wg_id id = call + 1 + (wg_id)k;
        if (id < s->hi && wg_wants(s, id)) wg_set_slot(s, id, answer + (wg_id)k);
    }
    return status;
}

static wg_status ask(const wg_sweep *s, wg_id call, wg_question *q) {
    const int n_in = wg_n_in(s->t, call);
    wg_tape *child = wg_tape_child(s->t, call);
    size_t n = (size_t)n_in + child->n_outputs + 1;
    wg_id *memory = malloc(2 * n * (sizeof *memory + sizeof(bool)));
    if (!memory) return wg_no_memory(s->t);
    bool *masks = (bool *)(memory + 2 * n);
    if (n_in) memcpy(memory, wg_in(s->t, call), (size_t)n_in * sizeof *memory);
    *q = (wg_question){child, n_in, (int)child->n_outputs, n_in, masks, masks + n, memory};
    for (int k = 0; child->derive && k < q->n_out; k++) memory[q->n_known++] = call + 1 + (wg_id)k;
    return WG_OK;
}

void wg_let_results_go(wg_sweep *s, wg_id call) {
    for (int k = 0, n = wg_n_results(s->t, call); k < n; k++) {
        wg_id id = call + 1 + (wg_id)k;
        if (id < s->hi && !(s->marks[id - s->lo] & WG_MARK_KEEP)) wg_set_slot(s, id, WG_NONE);
    }
}

wg_status wg_vjp_results(wg_sweep *s, wg_id call) {
    wg_question q;
    wg_loop_info l;
    if (wg_loop_of(s->t, call, &l)) return wg_vjp_loop(s, call, &l);
    WG_TRY(ask(s, call, &q));
    wg_status status = vjp_call(s, call, &q);
    free(q.ids);
    return status;
}

wg_status wg_jvp_results(wg_sweep *s, wg_id call, const wg_id *tangents) {
    wg_question q;
    wg_loop_info l;
    if (wg_loop_of(s->t, call, &l)) return wg_jvp_loop(s, call, tangents, &l);
    WG_TRY(ask(s, call, &q));
    wg_status status = jvp_call(s, call, tangents, &q);
    free(q.ids);
    return status;
}

/* The table wants one function per row; the sweeps hand a call's results over together instead. */
wg_status wg_vjp_call(wg_sweep *s, wg_id node, wg_id g) { return (void)g, wg_vjp_results(s, node); }
wg_status wg_jvp_call(wg_sweep *s, wg_id node, const wg_id *tangents, wg_id *out) {
    return *out = WG_NONE, wg_jvp_results(s, node, tangents);
}

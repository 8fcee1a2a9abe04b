/* The two sweeps: reverse (VJP) and forward (JVP), each one loop over the nodes between inputs and outputs. */
#include <stdlib.h>
#include <string.h>

#include "rules.h"

/* ---- which rule -------------------------------------------------------------------------------------------- */
static const wg_vjp_rule vjp_rules[WG_OP_COUNT] = {
#define UNARY(name, numpy, class, params, lo, hi, da, doc)                                                             \
    [WG_##name] = wg_vjp_elementwise, [WG_d_##name##_0] = wg_vjp_derivative,
#define BINARY(name, numpy, class, lo, hi, da, db, doc)                                                                \
    [WG_##name] = wg_vjp_elementwise, [WG_d_##name##_0] = wg_vjp_derivative, [WG_d_##name##_1] = wg_vjp_derivative,
#define LINEAR(name, numpy, arity, infer, class, doc) [WG_##name] = wg_vjp_##name,
#define BILINEAR(name, numpy, infer, class, doc) [WG_##name] = wg_vjp_##name,
#define RULE(name, numpy, arity, infer, class, doc) [WG_##name] = wg_vjp_##name,
#include "../ops.def"
};

static wg_status jvp_linear(wg_sweep *s, wg_id node, const wg_id *tangents, wg_id *out);
static wg_status jvp_bilinear(wg_sweep *s, wg_id node, const wg_id *tangents, wg_id *out);

static const wg_jvp_rule jvp_rules[WG_OP_COUNT] = {
#define UNARY(name, numpy, class, params, lo, hi, da, doc)                                                             \
    [WG_##name] = wg_jvp_elementwise, [WG_d_##name##_0] = wg_jvp_derivative,
#define BINARY(name, numpy, class, lo, hi, da, db, doc)                                                                \
    [WG_##name] = wg_jvp_elementwise, [WG_d_##name##_0] = wg_jvp_derivative, [WG_d_##name##_1] = wg_jvp_derivative,
#define LINEAR(name, numpy, arity, infer, class, doc) [WG_##name] = jvp_linear,
#define BILINEAR(name, numpy, infer, class, doc) [WG_##name] = jvp_bilinear,
#define RULE(name, numpy, arity, infer, class, doc) [WG_##name] = wg_jvp_##name,
#include "../ops.def"
};

/* ---- slots ------------------------------------------------------------------------------------------------- */
static bool in_range(const wg_sweep *s, wg_id id) { return id >= s->lo && id < s->hi; }
static bool in_window(const wg_sweep *s, wg_id id) { return id >= s->extra_lo && id < s->extra_hi; }

bool wg_wants(const wg_sweep *s, wg_id id) {
    if (in_range(s, id)) return s->marks[id - s->lo] & WG_MARK_ACTIVE;
    return in_window(s, id) && s->extra_active[id - s->extra_lo];
}

wg_id wg_slot_of(const wg_sweep *s, wg_id id) {
    if (in_range(s, id)) return s->slot[id - s->lo];
    return in_window(s, id) ? s->extra_slot[id - s->extra_lo] : WG_NONE;
}

static void count(wg_sweep *s, wg_id value, int change) {
    if (s->transient && value != WG_NONE && value >= s->base) s->refs[value - s->base] += (uint32_t)change;
}

void wg_set_slot(wg_sweep *s, wg_id id, wg_id value) {
    wg_id *slot = in_range(s, id) ? &s->slot[id - s->lo] : &s->extra_slot[id - s->extra_lo];
    count(s, *slot, -1);
    count(s, value, 1);
    *slot = value;
}

/* refs[] covers every node before one is counted. */
static wg_status cover(wg_sweep *s) {
    if (!s->transient) return WG_OK;
    uint32_t old = s->refs_cap, need = s->t->len - s->base;
    if (!wg_grow(&s->refs, &s->refs_cap, need, sizeof *s->refs)) return wg_no_memory(s->t);
    if (s->refs_cap > old) memset(s->refs + old, 0, (size_t)(s->refs_cap - old) * sizeof *s->refs);
    return WG_OK;
}

static void set_owned(wg_sweep *s, wg_id id) {
    if (in_range(s, id)) s->marks[id - s->lo] |= WG_MARK_OWNED;
}

wg_status wg_contribute(wg_sweep *s, wg_id id, wg_id contribution) {
    if (!wg_wants(s, id)) return WG_OK;
    wg_id now = wg_slot_of(s, id);
    if (now != WG_NONE) {
        WG_TRY(wg_emit2(s->t, WG_add, now, contribution, &contribution));
        set_owned(s, id);
    }
    WG_TRY(cover(s));
    wg_set_slot(s, id, contribution);
    return WG_OK;
}

static wg_status contribute_part(wg_sweep *s, wg_id id, int op, int n_in, wg_id *in, int n_attr, const int64_t *attrs) {
    if (!wg_wants(s, id)) return WG_OK;
    wg_id now = wg_slot_of(s, id);
    bool owned = in_range(s, id) && s->marks[id - s->lo] & WG_MARK_OWNED;
    if (now == WG_NONE) {
        WG_TRY(wg_emit_zeros(s->t, id, &now));
        owned = false;
    }
    in[0] = now;
    WG_TRY(wg_append_flagged(s->t, op, n_in, in, n_attr, attrs, owned ? WG_FLAG_STEAL : 0, &now));
    WG_TRY(cover(s));
    wg_set_slot(s, id, now);
    set_owned(s, id);
    return WG_OK;
}

wg_status wg_contribute_slice(wg_sweep *s, wg_id id, const int64_t *attrs, int n_attr, wg_id g) {
    return contribute_part(s, id, WG_slice_add, 2, (wg_id[]){WG_NONE, g}, n_attr, attrs);
}

wg_status wg_contribute_rows(wg_sweep *s, wg_id id, wg_id index, wg_id g) {
    return contribute_part(s, id, WG_index_add, 3, (wg_id[]){WG_NONE, index, g}, 0, NULL);
}

wg_status wg_contribute_rest(wg_sweep *s, wg_id id, wg_id node, int op, int n_in, const wg_id *in, int n_attr,
                             const int64_t *attrs) {
    uint8_t marks = in_range(s, node) ? s->marks[node - s->lo] : 0;
    bool owned = (marks & (WG_MARK_OWNED | WG_MARK_KEEP)) == WG_MARK_OWNED;
    wg_id rest;
    WG_TRY(wg_append_flagged(s->t, op, n_in, in, n_attr, attrs, owned ? WG_FLAG_STEAL : 0, &rest));
    WG_TRY(wg_contribute(s, id, rest));
    set_owned(s, id); /* made here, and in this slot alone */
    return WG_OK;
}

/* ---- what is walked ---------------------------------------------------------------------------------------- */
static bool flows_through(const wg_tape *t, wg_id id) {
    const wg_op_info *info = wg_row(t->nodes[id].op);
    if (info->kind == WG_KIND_ZERO || info->kind == WG_KIND_COMPARE) return false;
    if (t->nodes[id].op == WG_call) return true;
    return wg_has_adjoint(t->nodes[id].dtype) && (info->kind != WG_KIND_FLAT || t->nodes[id].op == WG_result);
}

static void mark_active(wg_sweep *s) {
    for (wg_id id = s->lo; id < s->hi; id++) {
        if (s->marks[id - s->lo] & WG_MARK_ACTIVE || !flows_through(s->t, id)) continue;
        const wg_id *in = wg_in(s->t, id);
        for (int k = wg_n_in(s->t, id); k-- > 0;)
            if (in_range(s, in[k]) && s->marks[in[k] - s->lo] & WG_MARK_ACTIVE) s->marks[id - s->lo] |= WG_MARK_ACTIVE;
    }
}

/* Forward, only what the outputs depend on is of use. */
static void mark_needed(wg_sweep *s, int n_out, const wg_id *outputs) {
    for (int k = 0; k < n_out; k++)
        if (in_range(s, outputs[k])) s->marks[outputs[k] - s->lo] |= WG_MARK_NEEDED;
    for (wg_id id = s->hi; id-- > s->lo;) {
        const wg_id *in = wg_in(s->t, id);
        for (int k = s->marks[id - s->lo] & WG_MARK_NEEDED ? wg_n_in(s->t, id) : 0; k-- > 0;)
            if (in_range(s, in[k])) s->marks[in[k] - s->lo] |= WG_MARK_NEEDED;
    }
}

/* Where a function is recorded twice (a net for its value, and again for a derivative), each node's cotangent is to
 * be found once, as its value will be.  Copies count as what they copy, but inputs as nothing else. */
static wg_status find_same(wg_sweep *s) {
    const size_t n = (size_t)(s->hi - s->lo);
    wg_common common;
    s->same = malloc((n + 1) * sizeof *s->same);
    if (!s->same) return wg_no_memory(s->t);
    WG_TRY(wg_common_init(&common, s->t, n, s->same, s->lo));
    for (wg_id id = s->lo; id < s->hi; id++) {
        const wg_id from = s->t->nodes[id].in[0];
        const bool copies = s->t->nodes[id].op == WG_copy;
        wg_id *same = &s->same[id - s->lo];
        if (s->marks[id - s->lo] & WG_MARK_KEEP)
            *same = id;
        else if (copies)
            *same = from < s->lo ? from : s->same[from - s->lo];
        else
            *same = wg_common_node(&common, id);
    }
    wg_common_free(&common);
    return WG_OK;
}

static wg_status sweep_init(wg_sweep *s, wg_tape *t, int n_in, const wg_id *inputs, int n_out, const wg_id *outputs) {
    *s = (wg_sweep){.t = t, .lo = WG_NONE, .base = t->len};
    for (int i = 0; i < n_in; i++) {
        WG_TRY(wg_check_id(t, inputs[i], "inputs"));
        if (!wg_has_adjoint(t->nodes[inputs[i]].dtype))
            return wg_fail(t, WG_TYPE_ERROR, "input %d is %s, which has no derivative; cast it to float", i,
                           wg_dtype_name((wg_dtype)t->nodes[inputs[i]].dtype));
        if (inputs[i] < s->lo) s->lo = inputs[i];
        if (inputs[i] >= s->hi) s->hi = inputs[i] + 1;
    }
    for (int k = 0; k < n_out; k++) {
        WG_TRY(wg_check_id(t, outputs[k], "outputs"));
        if (outputs[k] >= s->hi) s->hi = outputs[k] + 1;
    }
    if (n_in == 0) s->lo = s->hi;
    size_t n = (size_t)(s->hi - s->lo) + 1;
    s->marks = calloc(n, sizeof *s->marks);
    s->slot = malloc(n * sizeof *s->slot);
    if (!s->marks || !s->slot) return wg_no_memory(t);
    memset(s->slot, 0xff, n * sizeof *s->slot);
    for (int i = 0; i < n_in; i++) s->marks[inputs[i] - s->lo] = WG_MARK_ACTIVE | WG_MARK_KEEP;
    mark_active(s);
    return WG_OK;
}

static void sweep_free(wg_sweep *s) {
    free(s->marks);
    free(s->slot);
    free(s->same);
    free(s->refs);
}

/* ---- reverse ----------------------------------------------------------------------------------------------- */
wg_status wg_vjp_node(wg_sweep *s, wg_id id, wg_id g) {
    wg_vjp_rule rule = vjp_rules[s->t->nodes[id].op];
    return rule ? rule(s, id, g) : WG_OK; /* leaves end here; nothing active is FLAT */
}

/* Values that no slot holds any more are freed: the cotangent just used and what its rule left behind. */
static wg_status free_unused(wg_sweep *s, wg_id used, wg_id from) {
    if (!s->transient) return WG_OK;
    WG_TRY(cover(s));
    if (used >= s->base && used != WG_NONE && s->refs[used - s->base] == 0) wg_drop_value(s->t, used);
    for (wg_id id = from; id < s->t->len; id++)
        if (s->refs[id - s->base] == 0 && s->t->nodes[id].op != WG_constant) wg_drop_value(s->t, id);
    return WG_OK;
}

static wg_status reverse(wg_sweep *s) {
    for (wg_id id = s->hi; id-- > s->lo;) {
        uint8_t marks = s->marks[id - s->lo];
        wg_id g = s->slot[id - s->lo], from = s->t->len;
        if (!(marks & WG_MARK_ACTIVE)) continue;
        const wg_id same = s->same && s->t->nodes[id].op != WG_copy ? s->same[id - s->lo] : id;
        if (s->t->nodes[id].op == WG_call) {
            WG_TRY(wg_vjp_results(s, id));
        } else if (g != WG_NONE && same != id) {
            WG_TRY(wg_contribute(s, same, g));
        } else if (g != WG_NONE && s->t->nodes[id].op != WG_result) { /* a result's slot waits for its call */
            WG_TRY(wg_vjp_node(s, id, g));
            if (!(marks & WG_MARK_KEEP)) wg_set_slot(s, id, WG_NONE);
        }
        WG_TRY(free_unused(s, g, from));
    }
    return WG_OK;
}

static wg_status vjp(wg_sweep *s, int n_out, const wg_id *outputs, const wg_id *cotangents) {
    for (int k = 0; k < n_out; k++) {
        WG_TRY(wg_check_like(s->t, "cotangent", k, s->t, cotangents[k], s->t, outputs[k], -1));
        if (outputs[k] >= s->lo) WG_TRY(wg_contribute(s, outputs[k], cotangents[k]));
    }
    return reverse(s);
}

wg_status wg_vjp(wg_tape *t, int n_out, const wg_id *outputs, const wg_id *cotangents, int n_in, const wg_id *inputs,
                 bool transient, wg_id *result) {
    WG_TRY(wg_check_thread(t));
    wg_sweep s;
    uint32_t len = t->len;
    wg_status status = sweep_init(&s, t, n_in, inputs, n_out, outputs);
    s.transient = transient && t->run;
    if (status == WG_OK && !t->run) status = find_same(&s); /* what is eager has been computed twice already */
    if (status == WG_OK) status = vjp(&s, n_out, outputs, cotangents);
    for (int i = 0; status == WG_OK && i < n_in; i++) result[i] = s.slot[inputs[i] - s.lo];
    sweep_free(&s);
    if (status != WG_OK) wg_tape_pop(t, len);
    return status;
}

/* ---- forward ----------------------------------------------------------------------------------------------- */
/* A linear op applied to its tangents; operands without one are zero, those that are no floats stay. */
static wg_status jvp_linear(wg_sweep *s, wg_id node, const wg_id *tangents, wg_id *out) {
    const int n = wg_n_in(s->t, node), op = s->t->nodes[node].op;
    wg_attr_copy attrs = wg_copy_attrs(s->t, node);
    wg_id *x = malloc((size_t)n * sizeof *x);
    if (!x) return wg_no_memory(s->t);
    memcpy(x, wg_in(s->t, node), (size_t)n * sizeof *x);
    wg_status status = WG_OK;
    for (int k = 0; k < n && status == WG_OK; k++) {
        if (tangents[k] != WG_NONE)
            x[k] = tangents[k];
        else if (wg_has_adjoint(s->t->nodes[x[k]].dtype))
            status = wg_emit_zeros(s->t, x[k], &x[k]);
    }
    if (status == WG_OK) status = wg_append_flagged(s->t, op, n, x, attrs.n, attrs.x, 0, out);
    free(x);
    return status;
}

static wg_status jvp_bilinear(wg_sweep *s, wg_id node, const wg_id *tangents, wg_id *out) {
    const wg_node_rec n = s->t->nodes[node];
    wg_id left = WG_NONE, right = WG_NONE;
    if (tangents[0] != WG_NONE) WG_TRY(wg_emit2(s->t, n.op, tangents[0], n.in[1], &left));
    if (tangents[1] != WG_NONE) WG_TRY(wg_emit2(s->t, n.op, n.in[0], tangents[1], &right));
    return wg_emit_plus(s->t, left, right, out);
}

wg_status wg_jvp_node(wg_sweep *s, wg_id id, const wg_id *tangents, wg_id *out) {
    wg_jvp_rule rule = jvp_rules[s->t->nodes[id].op];
    *out = WG_NONE;
    if (!rule) return WG_OK;
    WG_TRY(rule(s, id, tangents, out));
    if (*out == WG_NONE) return WG_OK;
    return wg_emit_broadcast(s->t, *out, s->t->nodes[id].shape, out); /* d_op of a smaller operand */
}

static wg_status forward_node(wg_sweep *s, wg_id id, wg_id *tangents) {
    bool any = false;
    for (int k = wg_n_in(s->t, id); k-- > 0;) any |= (tangents[k] = wg_slot_of(s, wg_in(s->t, id)[k])) != WG_NONE;
    if (!any || s->t->nodes[id].op == WG_result) return WG_OK;
    if (s->t->nodes[id].op == WG_call) return wg_jvp_results(s, id, tangents);
    wg_id out;
    WG_TRY(wg_jvp_node(s, id, tangents, &out));
    wg_set_slot(s, id, out);
    return WG_OK;
}

static wg_status forward(wg_sweep *s) {
    wg_id *tangents = NULL;
    uint32_t cap = 0;
    wg_status status = WG_OK;
    for (wg_id id = s->lo; id < s->hi && status == WG_OK; id++) {
        const uint8_t marks = s->marks[id - s->lo];
        if (!(marks & WG_MARK_ACTIVE) || !(marks & WG_MARK_NEEDED) || marks & WG_MARK_KEEP) continue;
        if (!wg_grow(&tangents, &cap, (uint64_t)wg_n_in(s->t, id) + 1, sizeof *tangents))
            status = wg_no_memory(s->t);
        else
            status = forward_node(s, id, tangents);
    }
    free(tangents);
    return status;
}

wg_status wg_jvp(wg_tape *t, int n_in, const wg_id *inputs, const wg_id *tangents, int n_out, const wg_id *outputs,
                 wg_id *result) {
    WG_TRY(wg_check_thread(t));
    wg_sweep s;
    uint32_t len = t->len;
    wg_status status = sweep_init(&s, t, n_in, inputs, n_out, outputs);
    for (int i = 0; i < n_in && status == WG_OK; i++) {
        if (tangents[i] == WG_NONE) continue;
        status = wg_check_like(t, "tangent", i, t, tangents[i], t, inputs[i], -1);
        if (status == WG_OK) wg_set_slot(&s, inputs[i], tangents[i]);
    }
    if (status == WG_OK) mark_needed(&s, n_out, outputs);
    if (status == WG_OK) status = forward(&s);
    for (int k = 0; status == WG_OK && k < n_out; k++)
        result[k] = outputs[k] >= s.lo ? s.slot[outputs[k] - s.lo] : WG_NONE;
    sweep_free(&s);
    if (status != WG_OK) wg_tape_pop(t, len);
    return status;
}

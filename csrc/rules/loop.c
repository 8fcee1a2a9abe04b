/* Rules of loops: the derivative of a loop is a loop again, whose body is the old one with a sweep appended.
 *
 * Reverse mode reads the carries as the loop met them, which are among its results, and runs the other way: the
 * cotangents of carries are carried, those of constants added up, those of entries stacked.  It also reads the carries
 * that followed, and matrix products, instead of computing them again. */
#include <stdlib.h>
#include <string.h>

#include "rules.h"

/* ---- recording --------------------------------------------------------------------------------------------- */
static bool fits_guard(const wg_tape *body, int n_carry, int n_x, int64_t length, int guard) {
    if (length == WG_UNTIL ? n_x || n_carry != (int)body->n_outputs || guard < 0 || guard >= n_carry
                           : length < 0 || (guard >= 0 && guard < n_carry + n_x))
        return false;
    return guard < (int)body->n_inputs && (guard < 0 || body->nodes[body->inputs[guard]].dtype == WG_BOOL);
}

/* A product of two rows at least, of so many multiply-adds an element.  (That of one row has other bits in another
 * program, and where its matrix is turned.) */
static bool is_product(const wg_tape *t, wg_id id, int64_t deep) {
    const wg_id a = t->nodes[id].in[0];
    const int64_t *end = t->nodes[id].op == WG_matmul ? wg_shape(t, a) + wg_ndim(t, a) : NULL;
    return end && wg_ndim(t, a) > 1 && end[-2] > 1 && end[-1] >= deep;
}
enum { DEEP = 32 }; /* is read faster than it is computed again; of 16, that costs as much */

/* The body with its products, each once, for more outputs: a derivative may read them, and a program in which none does
 * leaves them out. */
static wg_status with_products(const wg_tape *body, wg_tape *b, wg_common *common, wg_id *map, wg_id *outputs) {
    uint32_t n = body->n_outputs;
    for (wg_id id = 0; id < body->len; id++) {
        wg_id copied;
        WG_TRY(wg_copy_node(b, body, id, map, &copied));
        map[id] = wg_common_node(common, copied);
        if (map[id] == copied && is_product(b, copied, DEEP)) outputs[n++] = copied;
    }
    for (uint32_t k = 0; k < body->n_outputs; k++) outputs[k] = map[body->outputs[k]];
    return wg_tape_set_outputs(b, (int)n, outputs);
}

static wg_status keep_products(wg_tape *t, const wg_tape *body, wg_tape **out) {
    wg_tape *b = *out = wg_tape_create(NULL);
    wg_id *map = malloc((2 * (size_t)body->len + body->n_outputs + 1) * sizeof *map);
    wg_common common = {.table = NULL};
    wg_status status = b && map ? wg_common_init(&common, b, body->len, NULL, 0) : wg_no_memory(t);
    if (status == WG_OK) status = with_products(body, b, &common, map, map + body->len);
    if (status != WG_OK && b) wg_fail(t, status, "%s", b->error);
    wg_common_free(&common);
    free(map);
    return status;
}

static bool keeps_products(int64_t length, int guard, int64_t block) { return length > 1 && guard < 0 && block == 0; }

wg_status wg_scan(wg_tape *t, wg_tape *body, int n_carry, int n_x, int64_t length, bool reverse, int guard,
                  int64_t block, int n_in, const wg_id *in, wg_id *first) {
    WG_TRY(wg_check_thread(t));
    if (t->run || body->run) return wg_fail(t, WG_VALUE_ERROR, "scan: the tape and the body must be abstract");
    if (n_carry < 0 || n_x < 0 || !fits_guard(body, n_carry, n_x, length, guard) || n_in != (int)body->n_inputs ||
        n_carry + n_x > n_in || n_carry > (int)body->n_outputs || body->n_outputs == 0)
        return wg_fail(t, WG_VALUE_ERROR, "scan: %d operands, %u inputs and %u outputs of the body do not fit", n_in,
                       body->n_inputs, body->n_outputs);
    for (int k = 0; k < n_in; k++) {
        const bool entry = k >= n_carry && k < n_carry + n_x;
        WG_TRY(wg_check_like(t, "scan: operand", k, t, in[k], body, body->inputs[k], entry ? length : -1));
    }
    for (int k = 0; k < n_carry; k++)
        WG_TRY(wg_check_like(t, "scan: the next carry", k, body, body->outputs[k], body, body->inputs[k], -1));
    const bool keeps = keeps_products(length, guard, block);
    wg_status status = keeps ? keep_products(t, body, &body) : WG_OK;
    if (status == WG_OK)
        status = wg_push_call(t, body, 7, (int64_t[]){0, n_carry, n_x, length, reverse, guard, block}, n_in, in, first);
    if (keeps) wg_tape_release(body);
    return status;
}

/* ---- a body from a body ------------------------------------------------------------------------------------ */
typedef struct { /* a loop being made: its body b, and its operands on t */
    wg_tape *t, *b;
    const wg_loop_info *l; /* the loop it is derived from */
    wg_id *map;            /* the old body's ids -> those of b */
    wg_id *in;             /* the old operands, a copy */
    wg_id *operands, *outputs;
    int n_operands, n_outputs, n_carry, n_x, guard;
    wg_id *first, *second, *third; /* room for a sweep */
} wg_maker;

static wg_status open_maker(wg_maker *m, wg_tape *t, wg_id call, const wg_loop_info *l) {
    *m = (wg_maker){.t = t, .l = l, .b = wg_tape_create(NULL), .guard = -1};
    size_t n = 4 * ((size_t)l->body->n_inputs + l->body->n_outputs + 1);
    m->map = malloc(((size_t)l->body->len + 1) * sizeof *m->map);
    m->operands = malloc(7 * n * sizeof *m->operands);
    if (!m->b || !m->map || !m->operands) return wg_no_memory(t);
    m->outputs = m->operands + n;
    m->first = m->outputs + n;
    m->second = m->first + n;
    m->third = m->second + n;
    m->in = m->third + n;
    if (l->n_in) memcpy(m->in, wg_in(t, call), (size_t)l->n_in * sizeof *m->in);
    return WG_OK;
}

static void close_maker(wg_maker *m) {
    wg_tape_release(m->b);
    free(m->map);
    free(m->operands);
}

/* A new input of b like a node of the old body, and what it stands for. */
static wg_status take(wg_maker *m, wg_id like, wg_id operand, wg_id *out) {
    m->operands[m->n_operands++] = operand;
    return wg_input_like(m->b, m->l->body, like, out);
}

static wg_status take_old(wg_maker *m, int slot, wg_id operand) {
    const wg_id input = m->l->body->inputs[slot];
    if (slot == m->l->guard) m->guard = m->n_operands;
    return take(m, input, operand, &m->map[input]);
}

static wg_status copy_old_nodes(wg_maker *m) {
    const wg_tape *body = m->l->body;
    for (wg_id id = 0; id < body->len; id++)
        if (body->nodes[id].op != WG_input) WG_TRY(wg_copy_node(m->b, body, id, m->map, &m->map[id]));
    return WG_OK;
}

static wg_status give(wg_maker *m, wg_id answer, wg_id like) { /* an output; zeros where there is no answer */
    if (answer == WG_NONE) WG_TRY(wg_emit_zeros(m->b, like, &answer));
    m->outputs[m->n_outputs++] = answer;
    return WG_OK;
}

static wg_status finish(wg_maker *m, bool reverse, bool reads, wg_id *first) {
    wg_status status = wg_tape_set_outputs(m->b, m->n_outputs, m->outputs);
    /* what reads another's values keeps its own: else to run it again would be to run that one again and again */
    const int64_t block = reads && m->l->block > 0 ? -m->l->block : m->l->block;
    if (status == WG_OK) /* a loop's failure is in t already */
        return wg_scan(m->t, m->b, m->n_carry, m->n_x, m->l->length, reverse, m->guard, block, m->n_operands,
                       m->operands, first);
    return wg_fail(m->t, status, "%s", m->b->error);
}

static bool is_real(const wg_tape *t, wg_id id) { return wg_has_adjoint(t->nodes[id].dtype); }

/* ---- reverse ----------------------------------------------------------------------------------------------- */
/* Rows start ... start + length - 1 of a stacked array; of a single one also without its axis. */
static wg_status rows_of(wg_tape *t, wg_id x, int64_t start, int64_t length, bool single, wg_id *out) {
    int64_t shape[WG_MAX_NDIM];
    const int ndim = wg_ndim(t, x);
    WG_TRY(wg_emit_part(t, x, 0, start, length, out));
    if (!single) return WG_OK;
    for (int i = 1; i < ndim; i++) shape[i - 1] = wg_shape(t, x)[i];
    return wg_append_flagged(t, WG_reshape, 1, out, ndim - 1, shape, 0, out);
}

typedef struct {
    wg_sweep *s;
    wg_id call;
    wg_maker m;
} wg_reversal;

static wg_id result_of(const wg_reversal *r, int k) { return r->call + 1 + (wg_id)k; }
static wg_id cotangent_of(const wg_reversal *r, int k) {
    return result_of(r, k) < r->s->hi ? wg_slot_of(r->s, result_of(r, k)) : WG_NONE;
}

/* The cotangent of the last carry k: as a result, and as the last of its values. */
static wg_status last_cotangent(wg_reversal *r, int k, wg_id *out) {
    const wg_loop_info *l = r->m.l;
    const wg_id stacked = cotangent_of(r, l->n_carry + l->n_y + k), own = cotangent_of(r, k), like = result_of(r, k);
    wg_tape *t = r->s->t;
    wg_id last = WG_NONE;
    if (stacked != WG_NONE) WG_TRY(rows_of(t, stacked, l->reverse ? 0 : l->length, 1, true, &last));
    WG_TRY(wg_emit_plus(t, own, last, out));
    return *out == WG_NONE ? wg_emit_zeros(t, like, out) : WG_OK;
}

/* Inputs: cotangents of carries, sums for constants; carries, entries, cotangents of entries and of the values of
 * carries; constants.  third[]: those of them that are no inputs of the old body. */
static wg_status reverse_inputs(wg_reversal *r) {
    wg_maker *m = &r->m;
    const wg_loop_info *l = m->l;
    const wg_tape *body = l->body;
    const int x = l->n_carry, c = x + l->n_x, states = l->n_carry + l->n_y;
    wg_id operand, *given = m->third;
    for (int k = 0; k < x; k++) {
        if (!is_real(body, body->inputs[k])) continue;
        WG_TRY(last_cotangent(r, k, &operand));
        WG_TRY(take(m, body->inputs[k], operand, given++));
    }
    for (int k = c; k < l->n_in; k++) {
        if (!wg_wants(r->s, r->m.in[k])) continue;
        WG_TRY(wg_emit_zeros(m->t, m->in[k], &operand));
        WG_TRY(take(m, body->inputs[k], operand, given++));
    }
    m->n_carry = (int)(given - m->third);
    for (int k = 0; k < x; k++) {
        WG_TRY(rows_of(m->t, result_of(r, states + k), l->reverse, l->length, false, &operand));
        WG_TRY(take_old(m, k, operand));
    }
    for (int k = x; k < c; k++) WG_TRY(take_old(m, k, r->m.in[k]));
    for (int k = l->n_carry; k < states; k++)
        if (cotangent_of(r, k) != WG_NONE) WG_TRY(take(m, body->outputs[k], cotangent_of(r, k), given++));
    for (int k = 0; k < x; k++) {
        operand = cotangent_of(r, states + k);
        if (operand == WG_NONE) continue;
        WG_TRY(rows_of(m->t, operand, l->reverse, l->length, false, &operand));
        WG_TRY(take(m, body->inputs[k], operand, given++));
    }
    m->n_x = m->n_operands - m->n_carry;
    for (int k = c; k < l->n_in; k++) WG_TRY(take_old(m, k, r->m.in[k]));
    return WG_OK;
}

/* The sweep over the copied body, and the new body's outputs. */
static wg_status reverse_body(wg_reversal *r) {
    wg_maker *m = &r->m;
    const wg_loop_info *l = m->l;
    const wg_tape *body = l->body;
    const int x = l->n_carry, c = x + l->n_x, states = l->n_carry + l->n_y;
    wg_id *outputs = m->first, *inputs = m->second, *given = m->third, *answer = inputs + l->n_in, part;
    int n_out = 0, n_in = 0;
    WG_TRY(copy_old_nodes(m));
    for (int k = 0; k < l->n_carry; k++)
        if (is_real(body, body->inputs[k])) outputs[n_out++] = m->map[body->outputs[k]];
    const int n_real = n_out;
    for (int k = l->n_carry; k < states; k++)
        if (cotangent_of(r, k) != WG_NONE) outputs[n_out++] = m->map[body->outputs[k]];
    int at = m->n_carry + n_out - n_real; /* of the first cotangent of a carry's values */
    for (int k = 0; k < l->n_carry; k++)
        if (is_real(body, body->inputs[k])) inputs[n_in++] = m->map[body->inputs[k]];
    for (int k = c; k < l->n_in; k++)
        if (wg_wants(r->s, r->m.in[k])) inputs[n_in++] = m->map[body->inputs[k]];
    for (int k = x; k < c; k++)
        if (wg_wants(r->s, r->m.in[k])) inputs[n_in++] = m->map[body->inputs[k]];
    wg_id *seeds = answer + l->n_in;
    memcpy(seeds, given, (size_t)n_real * sizeof *seeds);
    memcpy(seeds + n_real, given + m->n_carry, (size_t)(n_out - n_real) * sizeof *seeds);
    WG_TRY(wg_vjp(m->b, n_out, outputs, seeds, n_in, inputs, false, answer));
    for (int k = 0, j = 0; k < l->n_carry; k++) {
        if (!is_real(body, body->inputs[k])) continue;
        if (cotangent_of(r, states + k) != WG_NONE) WG_TRY(wg_emit_plus(m->b, answer[j], given[at++], &answer[j]));
        WG_TRY(give(m, answer[j], inputs[j]));
        j++;
    }
    for (int j = n_real; j < m->n_carry; j++) { /* sums for constants */
        WG_TRY(wg_emit_plus(m->b, given[j], answer[j], &part));
        WG_TRY(give(m, part, WG_NONE));
    }
    for (int j = m->n_carry; j < n_in; j++) WG_TRY(give(m, answer[j], inputs[j]));
    return WG_OK;
}

/* ---- what the reverse body reads ---------------------------------------------------------------------------- */
typedef struct {
    const wg_reversal *r; /* its body is made anew, with inputs for what is known */
    wg_maker m;
    wg_id *operand; /* by its node: what an input in place of it stands for, or WG_NONE */
    uint8_t *marks; /* by its node */
} wg_reading;
enum { LIVE = 1, FACTOR = 2 /* the right one of a product */ };

static bool is_constant(const wg_maker *m, wg_id id) { /* or one turned */
    const wg_node_rec *node = &m->b->nodes[id];
    if (node->op == WG_transpose) node = &m->b->nodes[node->in[0]];
    return node->op == WG_input && m->b->attrs[node->attrs + 1] >= m->n_carry + m->n_x;
}

/* Of a next carry and of a product that is kept all values are known.  A constant is turned once, not by each step. */
static wg_status find_operand(const wg_reading *reads, wg_id id, wg_id *out) {
    const wg_maker *m = &reads->r->m;
    const wg_loop_info *l = m->l;
    const bool keeps = keeps_products(l->length, l->guard, l->block);
    if (is_constant(m, id)) {
        if (!keeps || !(reads->marks[id] & FACTOR)) return WG_OK;
        const wg_attr_copy axes = wg_copy_attrs(m->b, id);
        const wg_id x = reads->operand[m->b->nodes[id].in[0]];
        return wg_append_flagged(m->t, WG_transpose, 1, &x, axes.n, axes.x, 0, out);
    }
    for (int k = 0; k < l->n_carry + l->n_y; k++) {
        const wg_id node = l->body->outputs[k];
        if (m->map[node] != id) continue;
        if (k < l->n_carry && is_real(l->body, node))
            return rows_of(m->t, result_of(reads->r, l->n_carry + l->n_y + k), !l->reverse, l->length, false, out);
        if (k >= l->n_carry && keeps && is_product(l->body, node, DEEP)) return *out = result_of(reads->r, k), WG_OK;
    }
    return WG_OK;
}

static wg_status find_operands(wg_reading *reads) {
    const wg_maker *m = &reads->r->m;
    for (int k = 0; k < m->n_outputs; k++) reads->marks[m->outputs[k]] = LIVE;
    for (int k = 0; k < m->n_operands; k++) reads->operand[m->b->inputs[k]] = m->operands[k];
    for (wg_id id = m->b->len; id-- > 0;) {
        if (!reads->marks[id] || m->b->nodes[id].op == WG_input) continue;
        WG_TRY(find_operand(reads, id, &reads->operand[id]));
        if (reads->operand[id] != WG_NONE) reads->marks[id] = 0;
        for (int k = reads->marks[id] ? wg_n_in(m->b, id) : 0; k-- > 0;)
            reads->marks[wg_in(m->b, id)[k]] |= k == 1 && is_product(m->b, id, 1) ? LIVE | FACTOR : LIVE;
        if (m->b->nodes[id].op == WG_call) memset(reads->marks + id + 1, LIVE, (size_t)wg_n_results(m->b, id));
    }
    return WG_OK;
}

static wg_status take_operands(wg_reading *reads, bool constants) {
    wg_maker *m = &reads->m;
    for (wg_id id = 0; id < reads->r->m.b->len; id++) {
        if (reads->operand[id] == WG_NONE || is_constant(&reads->r->m, id) != constants) continue;
        m->operands[m->n_operands++] = reads->operand[id];
        WG_TRY(wg_input_like(m->b, reads->r->m.b, id, &m->map[id]));
    }
    return WG_OK;
}

static wg_status make_anew(wg_reading *reads) {
    const wg_maker *old = &reads->r->m;
    wg_maker *m = &reads->m;
    m->n_operands = 0;
    WG_TRY(take_operands(reads, false));
    m->n_x = m->n_operands - m->n_carry;
    if (m->guard >= 0) m->guard += m->n_x - old->n_x; /* it is a constant */
    WG_TRY(take_operands(reads, true));
    for (wg_id id = 0, copied; id < old->b->len; id++) {
        if (!reads->marks[id] || old->b->nodes[id].op == WG_input) continue;
        WG_TRY(wg_copy_node(m->b, old->b, id, m->map, &copied)); /* all results of a call, also where they are known */
        if (reads->operand[id] == WG_NONE) m->map[id] = copied;
    }
    for (int k = 0; k < m->n_outputs; k++) m->outputs[k] = m->map[m->outputs[k]];
    return WG_OK;
}

static wg_status finish_reading(wg_reversal *r, wg_id *first) {
    const size_t len = r->m.b->len, bytes = len * sizeof(wg_id);
    wg_id *room = malloc(3 * bytes);
    wg_reading reads = {.r = r, .m = r->m, .operand = room, .marks = calloc(len, 1)};
    wg_status status = room && reads.marks && (reads.m.b = wg_tape_create(NULL)) ? WG_OK : wg_no_memory(r->m.t);
    if (status == WG_OK) {
        reads.m.map = room + len;
        reads.m.operands = room + 2 * len;
        memset(room, 0xff, bytes);
        status = find_operands(&reads);
        if (status == WG_OK && (status = make_anew(&reads)) != WG_OK) wg_fail(r->m.t, status, "%s", reads.m.b->error);
        if (status == WG_OK) status = finish(&reads.m, !r->m.l->reverse, true, first);
        wg_tape_release(reads.m.b);
    }
    free(room);
    free(reads.marks);
    return status;
}

static wg_status reverse_loop(wg_reversal *r) {
    wg_maker *m = &r->m;
    const wg_loop_info *l = m->l;
    const int x = l->n_carry, c = x + l->n_x;
    wg_id result;
    WG_TRY(reverse_inputs(r));
    wg_status status = reverse_body(r);
    if (status != WG_OK) return wg_fail(m->t, status, "%s", m->b->error);
    WG_TRY(finish_reading(r, &result));
    for (int k = 0; k < x; k++)
        if (is_real(l->body, l->body->inputs[k])) WG_TRY(wg_contribute(r->s, r->m.in[k], result++));
    for (int k = c; k < l->n_in; k++)
        if (wg_wants(r->s, r->m.in[k])) WG_TRY(wg_contribute(r->s, r->m.in[k], result++));
    for (int k = x; k < c; k++)
        if (wg_wants(r->s, r->m.in[k])) WG_TRY(wg_contribute(r->s, r->m.in[k], result++));
    wg_let_results_go(r->s, r->call);
    return WG_OK;
}

wg_status wg_vjp_loop(wg_sweep *s, wg_id call, const wg_loop_info *l) {
    wg_reversal r = {.s = s, .call = call};
    bool given = false, asked = false;
    for (int k = 0; k < l->n_in; k++) asked |= wg_wants(s, wg_in(s->t, call)[k]);
    for (int k = 0; k < wg_n_results(s->t, call); k++) given |= cotangent_of(&r, k) != WG_NONE;
    if (!asked || !given) return WG_OK;
    if (l->length == WG_UNTIL)
        return wg_fail(s->t, WG_VALUE_ERROR,
                       "while_loop: reverse mode needs the values of all steps, whose number is "
                       "not known in a recording; use wg.jvp or wg.jacfwd, or wg.scan over as many steps as may be "
                       "needed, with np.where to leave a value as it is");
    wg_status status = open_maker(&r.m, s->t, call, l);
    if (status == WG_OK) status = reverse_loop(&r);
    close_maker(&r.m);
    return status;
}

/* ---- forward ----------------------------------------------------------------------------------------------- */
/* Each kind of input is followed by its tangents: all of real carries, the given ones of the others. */
static wg_status forward_inputs(wg_maker *m, const wg_id *tangents, int *n) {
    const wg_loop_info *l = m->l;
    const wg_tape *body = l->body;
    const int ends[] = {0, l->n_carry, l->n_carry + l->n_x, l->n_in};
    *n = 0;
    for (int kind = 0; kind < 3; kind++) {
        for (int k = ends[kind]; k < ends[kind + 1]; k++) WG_TRY(take_old(m, k, m->in[k]));
        for (int k = ends[kind]; k < ends[kind + 1]; k++) {
            const wg_id input = body->inputs[k];
            wg_id tangent = tangents[k];
            if (kind == 0 ? !is_real(body, input) : tangent == WG_NONE) continue;
            if (tangent == WG_NONE) WG_TRY(wg_emit_zeros(m->t, m->in[k], &tangent));
            m->first[*n] = m->map[input];
            WG_TRY(take(m, input, tangent, &m->second[(*n)++]));
        }
        if (kind == 0) m->n_carry = m->n_operands;
        if (kind == 1) m->n_x = m->n_operands - m->n_carry;
    }
    return WG_OK;
}

static wg_status forward_body(wg_maker *m, int n) {
    const wg_loop_info *l = m->l;
    const wg_tape *body = l->body;
    wg_id *answer = m->third;
    WG_TRY(copy_old_nodes(m));
    for (uint32_t k = 0; k < body->n_outputs; k++) m->outputs[k] = m->map[body->outputs[k]];
    WG_TRY(wg_jvp(m->b, n, m->first, m->second, (int)body->n_outputs, m->outputs, answer));
    m->n_outputs = l->n_carry;
    for (int k = 0; k < (int)body->n_outputs; k++)
        if (is_real(body, body->outputs[k])) WG_TRY(give(m, answer[k], m->map[body->outputs[k]]));
    return WG_OK;
}

static wg_status forward_loop(wg_sweep *s, wg_id call, const wg_id *tangents, wg_maker *m) {
    const wg_loop_info *l = m->l;
    const wg_tape *body = l->body;
    int n;
    wg_id result;
    WG_TRY(forward_inputs(m, tangents, &n));
    wg_status status = forward_body(m, n);
    if (status != WG_OK) return wg_fail(m->t, status, "%s", m->b->error);
    WG_TRY(finish(m, l->reverse, false, &result));
    /* results: carries, their tangents; tangents of entries; products; values of carries, their tangents */
    result += (wg_id)l->n_carry;
    for (int k = 0; k < wg_n_results(s->t, call); k++) {
        const bool state = k >= l->n_carry + l->n_y;
        const wg_id id = call + 1 + (wg_id)k;
        if (k == l->n_carry + l->n_y) result = s->t->len - (wg_id)(m->n_carry - l->n_carry);
        if (!is_real(body, body->outputs[state ? k - l->n_carry - l->n_y : k])) continue;
        if (id < s->hi && wg_wants(s, id)) wg_set_slot(s, id, result);
        result++;
    }
    return WG_OK;
}

wg_status wg_jvp_loop(wg_sweep *s, wg_id call, const wg_id *tangents, const wg_loop_info *l) {
    wg_maker m;
    wg_status status = open_maker(&m, s->t, call, l);
    if (status == WG_OK) status = forward_loop(s, call, tangents, &m);
    close_maker(&m);
    return status;
}

/* ---- batching ---------------------------------------------------------------------------------------------- */
wg_status wg_mask_body(wg_tape *b, int n_carry, int guard) {
    wg_id flag = b->inputs[guard];
    int64_t shape[WG_MAX_NDIM] = {wg_shape(b, flag)[0]};
    const uint64_t inner = ((uint64_t)1 << wg_ndim(b, flag)) - 2; /* axes of batches within, which are masked already */
    if (!wg_size(b, flag)) return WG_OK;
    if (inner) WG_TRY(wg_append_flagged(b, WG_max, 1, &flag, 2, (int64_t[]){(int64_t)inner, 0}, 0, &flag));
    for (int k = 0; k < (int)b->n_outputs; k++) {
        const wg_id next = b->outputs[k];
        wg_id go, old = b->inputs[k];
        int ndim = wg_ndim(b, next);
        for (int i = 1; i < ndim; i++) shape[i] = 1;
        WG_TRY(wg_append_flagged(b, WG_reshape, 1, &flag, ndim, shape, 0, &go));
        if (k >= n_carry) WG_TRY(wg_emit_zeros(b, next, &old));
        WG_TRY(wg_emit3(b, WG_where, go, next, old, &b->outputs[k]));
    }
    return WG_OK;
}

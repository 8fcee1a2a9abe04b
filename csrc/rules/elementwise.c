/* Rules of all elementwise ops, generated from the columns d/da and d/db of ops.def.
 *
 * A column becomes a postfix program at compile time: O(mul, K(2), a) is the three words {2, a, mul}.  Arguments stand
 * in written order, so every compiler appends the same nodes in the same order.
 *
 * The VJP or JVP of operand k appends one node d_<op>_<k>(g, a, b, y) = zmul(g, D); only when that node is itself
 * differentiated is D expanded into nodes. */
#include <math.h>
#include <string.h>

#include "rules.h"

enum word { WORD_OP, WORD_OPERAND_A, WORD_OPERAND_B, WORD_RESULT, WORD_CONST, WORD_PARAM };
typedef struct {
    uint8_t kind;
    uint16_t op;
    double value; /* of a constant; index of a parameter */
} wg_word;

#define a                                                                                                              \
    { WORD_OPERAND_A, 0, 0 }
#define b                                                                                                              \
    { WORD_OPERAND_B, 0, 0 }
#define y                                                                                                              \
    { WORD_RESULT, 0, 0 }
#define K(c)                                                                                                           \
    { WORD_CONST, 0, c }
#define P(i)                                                                                                           \
    { WORD_PARAM, 0, i }
#define O(op, ...)                                                                                                     \
    __VA_ARGS__, { WORD_OP, WG_##op, 0 }
#define UNARY(name, numpy, class, params, lo, hi, da, doc) static const wg_word column_##name##_0[] = {da};
#define BINARY(name, numpy, class, lo, hi, da, db, doc)                                                                \
    static const wg_word column_##name##_0[] = {da};                                                                   \
    static const wg_word column_##name##_1[] = {db};
#include "../ops.def"
#undef a
#undef b
#undef y
#undef K
#undef P
#undef O

typedef struct {
    const wg_word *words;
    int n;
} wg_column;

#define ENTRY(name, k) [WG_d_##name##_##k] = {column_##name##_##k, (int)(sizeof column_##name##_##k / sizeof(wg_word))},
/* A column's stack and window have room for all of its words. */
#define FITS(name, k)                                                                                                  \
    _Static_assert(sizeof column_##name##_##k / sizeof(wg_word) <= WG_MAX_EXPANSION, "the column is too long");
#define UNARY(name, numpy, class, params, lo, hi, da, doc) FITS(name, 0)
#define BINARY(name, numpy, class, lo, hi, da, db, doc) FITS(name, 0) FITS(name, 1)
#include "../ops.def"

static const wg_column columns[WG_OP_COUNT] = {
/* by the code of d_<name>_<k> */
#define UNARY(name, numpy, class, params, lo, hi, da, doc) ENTRY(name, 0)
#define BINARY(name, numpy, class, lo, hi, da, db, doc) ENTRY(name, 0) ENTRY(name, 1)
#include "../ops.def"
};

/* What the letters of a column stand for at one node. */
typedef struct {
    wg_id a, b, y;
    wg_dtype dtype;
    int n_params;
    int64_t params[WG_MAX_PARAMS]; /* doubles' bits */
} wg_letters;

static void params_of(const wg_tape *t, wg_id node, wg_letters *l) {
    l->n_params = wg_n_attr(t, node);
    for (int i = 0; i < l->n_params; i++) l->params[i] = wg_attr(t, node)[i];
}

static void letters_of(const wg_tape *t, wg_id node, wg_letters *l) {
    const wg_node_rec *n = &t->nodes[node];
    l->a = n->in[0];
    l->b = wg_row(n->op)->arity > 1 ? n->in[1] : WG_NONE;
    l->y = node;
    l->dtype = (wg_dtype)n->dtype;
    params_of(t, node, l);
}

/* A d_<op>_<k> node keeps g and those letters that its column reads: in[1], in[2]. */
static void letters_of_derivative(const wg_tape *t, wg_id node, const wg_id *in, wg_letters *l) {
    const wg_node_rec *n = &t->nodes[node];
    const wg_op_info *info = wg_row(n->op);
    int reads = wg_row(info->base)->reads[info->operand], k = 1;
    l->dtype = (wg_dtype)n->dtype;
    l->a = reads & 1 ? in[k++] : WG_NONE;
    l->b = reads & 2 ? in[k++] : WG_NONE;
    l->y = reads & 4 ? in[k++] : WG_NONE;
    params_of(t, node, l);
}

/* Evaluates a column as nodes. */
static wg_status expand(wg_tape *t, const wg_column *column, const wg_letters *l, wg_id *out) {
    wg_id stack[WG_MAX_EXPANSION];
    int top = 0;
    for (int i = 0; i < column->n; i++) {
        const wg_word *w = &column->words[i];
        switch ((enum word)w->kind) {
        case WORD_OPERAND_A: stack[top++] = l->a; break;
        case WORD_OPERAND_B: stack[top++] = l->b; break;
        case WORD_RESULT: stack[top++] = l->y; break;
        case WORD_CONST: WG_TRY(wg_number(t, l->dtype, w->value, false, &stack[top++])); break;
        case WORD_PARAM:
            WG_TRY(wg_number(t, l->dtype, wg_bits_double(l->params[(int)w->value]), false, &stack[top++]));
            break;
        case WORD_OP: {
            int arity = wg_row(w->op)->arity;
            top -= arity;
            WG_TRY(wg_append_flagged(t, w->op, arity, &stack[top], 0, NULL, 0, &stack[top]));
            top++;
        }
        }
    }
    *out = stack[0];
    return WG_OK;
}

/* d_<op>_<k>(g, ...) for the given letters; columns that are 1 or -1 need no kernel, NaN is no derivative. */
static wg_status emit_derivative(wg_tape *t, int d_op, const wg_letters *l, wg_id g, wg_id *out) {
    const wg_column *column = &columns[d_op];
    if (column->n == 1 && column->words[0].kind == WORD_CONST) {
        if (isnan(column->words[0].value))
            return wg_fail(t, WG_TYPE_ERROR, "%s has no derivative by operand %d; pass it through stop_gradient",
                           wg_row(wg_row(d_op)->base)->name, wg_row(d_op)->operand);
        if (column->words[0].value == 1) return *out = g, WG_OK;
        if (column->words[0].value == -1) return wg_emit1(t, WG_neg, g, out);
    }
    const wg_op_info *info = wg_row(d_op);
    int reads = wg_row(info->base)->reads[info->operand], n = 1;
    wg_id in[4] = {g};
    if (reads & 1) in[n++] = l->a;
    if (reads & 2) in[n++] = l->b;
    if (reads & 4) in[n++] = l->y;
    return wg_append_flagged(t, d_op, n, in, l->n_params, l->params, 0, out);
}

wg_status wg_vjp_elementwise(wg_sweep *s, wg_id node, wg_id g) {
    const wg_op_info *info = wg_row(s->t->nodes[node].op);
    if (info->kind == WG_KIND_ZERO || info->kind == WG_KIND_COMPARE) return WG_OK;
    wg_letters l;
    letters_of(s->t, node, &l);
    for (int k = 0; k < info->arity; k++) {
        wg_id operand = k ? l.b : l.a, part;
        if (!wg_wants(s, operand)) continue;
        WG_TRY(emit_derivative(s->t, s->t->nodes[node].op + 1 + k, &l, g, &part));
        WG_TRY(wg_contribute_sum(s, operand, part));
    }
    return WG_OK;
}

wg_status wg_jvp_elementwise(wg_sweep *s, wg_id node, const wg_id *tangents, wg_id *out) {
    const wg_op_info *info = wg_row(s->t->nodes[node].op);
    *out = WG_NONE;
    if (info->kind == WG_KIND_ZERO || info->kind == WG_KIND_COMPARE) return WG_OK;
    wg_letters l;
    letters_of(s->t, node, &l);
    for (int k = 0; k < info->arity; k++) {
        wg_id part;
        if (tangents[k] == WG_NONE) continue;
        WG_TRY(emit_derivative(s->t, s->t->nodes[node].op + 1 + k, &l, tangents[k], &part));
        WG_TRY(wg_emit_plus(s->t, *out, part, out));
    }
    return WG_OK;
}

/* d_<op>_<k>, as the node is, of another g. */
static wg_status derivative_of(wg_tape *t, wg_id node, wg_id g, wg_id *out) {
    wg_letters l;
    letters_of_derivative(t, node, wg_in(t, node), &l);
    return emit_derivative(t, t->nodes[node].op, &l, g, out);
}

/* Writes out D of the operands `in`, which ends the window that begins at extra_lo, so that wg_contribute and
 * wg_slot_of find the slots of D's nodes. */
static wg_status expand_in_window(wg_sweep *s, wg_id node, const wg_id *operands, wg_id *d) {
    wg_letters l;
    letters_of_derivative(s->t, node, operands, &l);
    const wg_id start = s->t->len;
    WG_TRY(expand(s->t, &columns[s->t->nodes[node].op], &l, d));
    if (s->t->len - start > WG_MAX_EXPANSION) /* a word appends one node: operands of a column have one dtype */
        return wg_fail(s->t, WG_RUNTIME_ERROR, "%s expands to too many nodes", wg_row(s->t->nodes[node].op)->name);
    s->extra_hi = s->t->len;
    for (wg_id id = start; id < s->extra_hi; id++) {
        bool active = false;
        for (int k = wg_n_in(s->t, id); k-- > 0;) active |= wg_wants(s, wg_in(s->t, id)[k]);
        s->extra_active[id - s->extra_lo] = active && wg_has_adjoint(s->t->nodes[id].dtype);
        s->extra_slot[id - s->extra_lo] = WG_NONE;
    }
    return WG_OK;
}

/* Carries the cotangent g of D on over D's nodes, which begin at `start`. */
static wg_status back_over(wg_sweep *s, wg_id start, wg_id d, wg_id g) {
    WG_TRY(wg_contribute_sum(s, d, g));
    for (wg_id id = s->extra_hi; id-- > start;) {
        const wg_id slot = s->extra_slot[id - s->extra_lo];
        if (slot != WG_NONE && s->extra_active[id - s->extra_lo]) WG_TRY(wg_vjp_node(s, id, slot));
    }
    return WG_OK;
}

/* Lets go of the window's slots, so that a transient sweep can free them. */
static void close_window(wg_sweep *s) {
    for (wg_id id = s->extra_lo; id < s->extra_hi; id++) wg_set_slot(s, id, WG_NONE);
    s->extra_lo = s->extra_hi = 0;
}

static bool reads_active(const wg_sweep *s, wg_id node) {
    for (int k = 1; k < wg_n_in(s->t, node); k++)
        if (wg_wants(s, wg_in(s->t, node)[k])) return true;
    return false;
}

/* z = zmul(g0, D(a, b, y)) is linear in g0; through D the cotangent is zmul(g, g0), carried on over D's nodes. */
wg_status wg_vjp_derivative(wg_sweep *s, wg_id node, wg_id g) {
    const wg_id g0 = s->t->nodes[node].in[0];
    wg_id part, d;
    if (wg_wants(s, g0)) {
        WG_TRY(derivative_of(s->t, node, g, &part));
        WG_TRY(wg_contribute_sum(s, g0, part));
    }
    if (!reads_active(s, node)) return WG_OK;
    s->extra_lo = s->t->len;
    WG_TRY(expand_in_window(s, node, wg_in(s->t, node), &d));
    WG_TRY(wg_emit2(s->t, WG_zmul, g, g0, &part));
    WG_TRY(back_over(s, s->extra_lo, d, part));
    close_window(s);
    return WG_OK;
}

/* A node of its own for a letter, in the shape of `like`. */
static wg_status own_letter(wg_tape *t, wg_id letter, wg_id like, wg_id *out) {
    if (t->nodes[letter].shape == t->nodes[like].shape) return wg_emit1(t, WG_copy, letter, out);
    return wg_emit_broadcast(t, letter, t->nodes[like].shape, out);
}

/* Through D, the tangent of z is the sum of zmul(tangent of a letter, c), where c is what the cotangent g0 of D comes
 * to at that letter.  A sweep forward over D says the same; but where tangents along several directions are carried, c
 * is computed once for all of them. */
static wg_status tangent_through(wg_tape *t, wg_id node, const wg_id *tangents, wg_id *out) {
    wg_id in[4], d, part;
    const int n = wg_n_in(t, node);
    memcpy(in, wg_in(t, node), (size_t)n * sizeof *in);
    wg_sweep back = {.t = t, .extra_lo = t->len};
    for (int k = 1; k < n; k++) {
        if (tangents[k] == WG_NONE) continue;
        WG_TRY(own_letter(t, in[k], node, &in[k]));
        back.extra_active[in[k] - back.extra_lo] = true;
        back.extra_slot[in[k] - back.extra_lo] = WG_NONE;
    }
    const wg_id start = t->len;
    WG_TRY(expand_in_window(&back, node, in, &d));
    WG_TRY(wg_emit_broadcast(t, in[0], t->nodes[node].shape, &part));
    WG_TRY(back_over(&back, start, d, part));
    for (int k = 1; k < n; k++) {
        const wg_id c = tangents[k] == WG_NONE ? WG_NONE : wg_slot_of(&back, in[k]);
        if (c == WG_NONE) continue;
        WG_TRY(wg_emit2(t, WG_zmul, tangents[k], c, &part));
        WG_TRY(wg_emit_plus(t, *out, part, out));
    }
    return WG_OK;
}

wg_status wg_jvp_derivative(wg_sweep *s, wg_id node, const wg_id *tangents, wg_id *out) {
    *out = WG_NONE;
    if (tangents[0] != WG_NONE) WG_TRY(derivative_of(s->t, node, tangents[0], out));
    for (int k = wg_n_in(s->t, node); k-- > 1;)
        if (tangents[k] != WG_NONE) return tangent_through(s->t, node, tangents, out);
    return WG_OK;
}

wg_status wg_partial(wg_tape *t, wg_id node, int k, wg_id *out) {
    WG_TRY(wg_check_id(t, node, "partial"));
    const wg_op_info *info = wg_row(t->nodes[node].op);
    *out = WG_NONE;
    if ((info->kind != WG_KIND_UNARY && info->kind != WG_KIND_BINARY) || k < 0 || k >= info->arity) return WG_OK;
    if (!wg_is_float(t->nodes[node].dtype)) return WG_OK;
    wg_letters l;
    letters_of(t, node, &l);
    return expand(t, &columns[t->nodes[node].op + 1 + k], &l, out);
}

/* Algebra on a flat tape, before fusion: what is written anew computes the same IEEE numbers with fewer nodes.
 *
 *   identities      copies, casts and reshapes that change nothing; a * 1, a / 1, a - 0
 *   constants       elementwise ops on constants alone, also repeated ones, computed by the kernels that would run them
 *   broadcasts      an elementwise op reads its operand as it was before it was broadcast
 *   derivatives     g D is two nodes where D is the same for several elements of a row
 *   signs           a + (-b) is a - b; (-a) b is a (-b) where b is the smaller one
 *   pairs           a + a is a * 2, and (-a) - b is a * (-1) - b, for products pair with their neighbours
 *   common nodes    the same op on the same operands is computed once
 *   sorting         elements gathered in their order, where nobody else reads that
 *   scattering      rows that an index picks are added after all else, to what is there, not to zeros
 *   assembly        0 + slices that cover it, as gradients of a flat parameter vector arrive: a concatenation
 *
 * Nodes that this leaves without a reader stay behind; fusion does not write them. */
#include <stdlib.h>
#include <string.h>

#include "../rules/rules.h"
#include "program.h"

typedef struct {
    wg_tape *src, *out;
    wg_id *map;       /* src -> out */
    uint32_t *uses;   /* by src node: how many operands, and outputs, it is */
    wg_common common; /* the nodes of out */
} wg_simplifier;

static bool same_shape(const wg_tape *t, wg_id a, wg_id b) { return t->nodes[a].shape == t->nodes[b].shape; }

/* ---- identities -------------------------------------------------------------------------------------------- */
/* Is a slice of this shape of the node all of it, in order?  Attributes: start, step and length of each axis. */
static bool covers(const wg_tape *t, wg_id id) {
    const int64_t *attrs = wg_attr(t, id);
    for (int k = 0; k < wg_n_attr(t, id); k += 3)
        if (attrs[k] != 0 || (attrs[k + 1] != 1 && attrs[k + 2] != 1)) return false;
    return same_shape(t, t->nodes[id].in[t->nodes[id].op == WG_slice_add], id);
}

/* What the node is equal to: an operand, or itself.  Bit for bit, but for the sign of zeros that are added to zeros. */
static wg_id same_as(const wg_tape *t, wg_id id) {
    const wg_node_rec *node = &t->nodes[id];
    const wg_id a = node->in[0], b = node->in[1];
    switch (node->op) {
    case WG_copy:
    case WG_stop_gradient: return a;
    case WG_cast: return t->nodes[a].dtype == node->dtype ? a : id;
    case WG_reshape:
    case WG_broadcast: return same_shape(t, a, id) ? a : id;
    case WG_slice: return covers(t, id) ? a : id;
    case WG_slice_add: return wg_is_zeros(t, a) && covers(t, id) ? b : id;
    case WG_mul:
        if (wg_is_number(t, a, 1) && same_shape(t, b, id)) return b;
        return wg_is_number(t, b, 1) && same_shape(t, a, id) ? a : id;
    case WG_div: return wg_is_number(t, b, 1) && same_shape(t, a, id) ? a : id;
    case WG_sub: return wg_is_number(t, b, 0) && same_shape(t, a, id) ? a : id;
    default: return id;
    }
}

/* ---- constants --------------------------------------------------------------------------------------------- */
static wg_status fold_constant(wg_tape *t, wg_id *id) {
    const wg_node_rec node = t->nodes[*id];
    const wg_map_fn map = wg_map_of(wg_kernels_table(), t, *id);
    const int n = wg_n_in(t, *id);
    if (!map || wg_itemsize((wg_dtype)node.dtype) > 8) return WG_OK;
    const void *in[3], *slots[4];
    double params[WG_MAX_PARAMS] = {0};
    for (int k = 0; k < n; k++) {
        const wg_id constant = wg_repeated_constant(t, wg_in(t, *id)[k]);
        if (constant == WG_NONE) return WG_OK;
        in[k] = &t->nodes[constant].value;
    }
    wg_params(wg_n_attr(t, *id), wg_attr(t, *id), params);
    wg_map_operands(node.op, n, in, slots);
    wg_scalar value = {.i64 = 0};
    map(&value, slots, 1, params);
    WG_TRY(wg_constant(t, (wg_dtype)node.dtype, &value, false, id));
    return wg_emit_broadcast(t, *id, node.shape, id);
}

/* ---- broadcasts -------------------------------------------------------------------------------------------- */
/* The operand as it was before it was broadcast, where the node's shape does not need the broadcast. */
static wg_status strip_broadcasts(wg_tape *t, wg_id id) {
    if (!wg_map_of(wg_kernels_table(), t, id)) return WG_OK;
    const int n = wg_n_in(t, id);
    for (int k = 0; k < n; k++) {
        const wg_id wide = t->nodes[id].in[k];
        if (t->nodes[wide].op != WG_broadcast) continue;
        uint32_t shape = t->nodes[t->nodes[wide].in[0]].shape;
        for (int j = 0; j < n; j++)
            if (j != k) WG_TRY(wg_broadcast_shapes(t, "broadcast", shape, t->nodes[t->nodes[id].in[j]].shape, &shape));
        if (shape == t->nodes[id].shape) t->nodes[id].in[k] = t->nodes[wide].in[0];
    }
    return WG_OK;
}

/* ---- derivatives ------------------------------------------------------------------------------------------- */
/* zmul(g, D), where D has fewer elements (it is the same along all directions of a point, say): D once, then the
 * product. zmul(g, zmul(1, D)) is the same number; where D is an operand, it is that. */
static wg_status split_derivative(wg_simplifier *s, wg_id *id) {
    wg_tape *t = s->out;
    const wg_node_rec node = t->nodes[*id];
    const wg_op_info *info = wg_row(node.op);
    if (info->kind != WG_KIND_DERIVATIVE) return WG_OK;
    wg_id in[4], g;
    const int n = wg_n_in(t, *id), n_attr = wg_n_attr(t, *id);
    memcpy(in, wg_in(t, *id), (size_t)n * sizeof *in);
    g = in[0], in[0] = in[1];
    if (info->base != WG_mul && info->base != WG_zmul && info->base != WG_exp) {
        int64_t params[WG_MAX_PARAMS];
        uint32_t shape = t->scalar_shape;
        for (int k = 1; k < n; k++) WG_TRY(wg_broadcast_shapes(t, "derivative", shape, t->nodes[in[k]].shape, &shape));
        if (wg_vec_size(t, shape) < 2 || wg_vec_size(t, shape) == wg_size(t, *id)) return WG_OK;
        if (n_attr) memcpy(params, wg_attr(t, *id), (size_t)n_attr * sizeof *params);
        WG_TRY(wg_number(t, (wg_dtype)node.dtype, 1, false, &in[0]));
        WG_TRY(wg_append_flagged(t, node.op, n, in, n_attr, params, 0, &in[0]));
        in[0] = wg_common_node(&s->common, in[0]);
    }
    return wg_emit2(t, WG_zmul, g, in[0], id);
}

/* ---- signs ------------------------------------------------------------------------------------------------- */
/* x times a number. */
static wg_status scaled(wg_simplifier *s, wg_id x, double factor, wg_id *out) {
    WG_TRY(wg_number(s->out, (wg_dtype)s->out->nodes[x].dtype, factor, false, out));
    WG_TRY(wg_emit2(s->out, WG_mul, x, *out, out));
    return *out = wg_common_node(&s->common, *out), WG_OK;
}

/* a + (-b) is a - b; a factor's sign goes to the smaller one. */
static wg_status move_signs(wg_simplifier *s, wg_id *id) {
    wg_tape *t = s->out;
    const int op = t->nodes[*id].op;
    const bool adds = op == WG_add, multiplies = op == WG_mul || op == WG_zmul;
    if ((!adds && !multiplies && op != WG_sub) || !wg_is_float(t->nodes[*id].dtype)) return WG_OK;
    for (int k = 2; k-- > (op == WG_sub);) {
        wg_id x = t->nodes[*id].in[k], other = t->nodes[*id].in[1 - k];
        if (t->nodes[x].op != WG_neg) continue;
        x = t->nodes[x].in[0];
        if (!multiplies) return wg_emit2(t, adds ? WG_sub : WG_add, other, x, id);
        if (wg_size(t, other) >= wg_size(t, x)) continue;
        WG_TRY(wg_emit1(t, WG_neg, other, &other));
        WG_TRY(fold_constant(t, &other));
        return wg_emit2(t, op, x, wg_common_node(&s->common, other), id);
    }
    const wg_id a = t->nodes[*id].in[0], b = t->nodes[*id].in[1];
    if (adds && a == b) return scaled(s, a, 2, id);
    if (op != WG_sub || t->nodes[a].op != WG_neg) return WG_OK;
    wg_id opposite;
    WG_TRY(scaled(s, t->nodes[a].in[0], -1, &opposite));
    return wg_emit2(t, WG_sub, opposite, b, id);
}

/* ---- sorting ----------------------------------------------------------------------------------------------- */
/* The elements of an array, laid end to end, gathered by the places where argsort finds them: if src has no other
 * reader of these, a sort of the elements alone. */
static void sort_alone(const wg_simplifier *s, wg_id id, wg_id now) {
    const wg_tape *t = s->out;
    wg_node_rec *node = &t->nodes[now];
    const wg_id places = node->in[1];
    if (node->op != WG_gather || t->nodes[places].op != WG_argsort || s->uses[s->src->nodes[id].in[1]] > 1) return;
    const wg_id x = t->nodes[places].in[0];
    const int64_t *attrs = wg_attr(t, places);
    if (attrs[1] || (wg_ndim(t, x) != 1 && wg_ndim(t, x) != attrs[2])) return; /* falling, or not places in all of x */
    const wg_node_rec *line = &t->nodes[node->in[0]];
    if (wg_ndim(t, node->in[0]) != 1 || (node->in[0] != x && (line->op != WG_reshape || line->in[0] != x))) return;
    node->op = WG_sort, node->in[0] = x, node->in[1] = WG_NONE, node->attrs = t->nodes[places].attrs;
}

/* ---- scattering -------------------------------------------------------------------------------------------- */
enum { SCATTERED = 1 << 18, LONG_ROW = 256 }; /* bytes, elements of a row: less may belong to a region, whole */

/* a + (0 + b at i) is a + b at i, and (a + b at i) + c is (a + c) + b at i: zeros are neither written nor read, and
 * what is added at few places need not be there before all of it. */
static wg_status scatter_last(const wg_simplifier *s, wg_id id, wg_id *now) {
    wg_tape *t = s->out;
    const wg_node_rec node = t->nodes[*now];
    const int ndim = wg_ndim(t, *now);
    if (node.op != WG_add || !wg_is_float(node.dtype) || ndim < 2 || wg_shape(t, *now)[ndim - 1] < LONG_ROW)
        return WG_OK;
    if (wg_size(t, *now) * (int64_t)wg_itemsize((wg_dtype)node.dtype) < SCATTERED) return WG_OK;
    for (int k = 0; k < 2; k++) {
        const wg_id whole = node.in[k], other = node.in[1 - k];
        const wg_id x = t->nodes[whole].op == WG_reshape ? t->nodes[whole].in[0] : whole;
        if (t->nodes[x].op != WG_index_add || s->uses[s->src->nodes[id].in[k]] > 1) continue;
        if (t->nodes[whole].shape != node.shape || t->nodes[other].shape != node.shape) continue;
        const wg_node_rec scatter = t->nodes[x];
        wg_id in[3] = {other, scatter.in[1], scatter.in[2]};
        if (!wg_is_zeros(t, scatter.in[0])) {
            WG_TRY(wg_emit_reshape(t, scatter.in[0], node.shape, &in[0]));
            WG_TRY(wg_emit2(t, WG_add, in[0], other, &in[0]));
        }
        WG_TRY(wg_emit_reshape(t, in[0], scatter.shape, &in[0]));
        WG_TRY(wg_append_flagged(t, WG_index_add, 3, in, 0, NULL, 0, now));
        return wg_emit_reshape(t, *now, node.shape, now);
    }
    return WG_OK;
}

/* ---- assembly ---------------------------------------------------------------------------------------------- */
typedef struct {
    int64_t start, length;
    wg_id part; /* in src */
} wg_piece;

static int by_start(const void *a, const void *b) {
    const int64_t x = ((const wg_piece *)a)->start, y = ((const wg_piece *)b)->start;
    return (x > y) - (x < y);
}

/* How many slices are added to zeros, one after the other with no other reader in between, to make this vector; 0 where
 * it is made in another way. */
static uint32_t pieces_of(const wg_simplifier *s, wg_id id, wg_piece *pieces) {
    const wg_tape *t = s->src;
    uint32_t n = 0;
    if (wg_ndim(t, id) != 1) return 0;
    for (bool top = true; t->nodes[id].op == WG_slice_add; top = false, n++) {
        const int64_t *attrs = wg_attr(t, id);
        if ((!top && s->uses[id] != 1) || attrs[1] != 1) return 0;
        if (pieces) pieces[n] = (wg_piece){attrs[0], attrs[2], t->nodes[id].in[1]};
        id = t->nodes[id].in[0];
    }
    return wg_is_zeros(t, id) ? n : 0;
}

/* Slices that cover the vector once: their concatenation.  (0 + b is b, but for the sign of a zero.) */
static wg_status assemble(wg_simplifier *s, wg_id id, wg_id *out) {
    const uint32_t n = pieces_of(s, id, NULL);
    if (n < 2) return WG_OK;
    wg_piece *pieces = malloc(n * sizeof *pieces);
    wg_id *parts = malloc(n * sizeof *parts);
    wg_status status = pieces && parts ? WG_OK : wg_no_memory(s->src);
    if (status == WG_OK) {
        pieces_of(s, id, pieces);
        qsort(pieces, n, sizeof *pieces, by_start);
        int64_t end = 0;
        uint32_t fit = 0;
        for (; fit < n && pieces[fit].start == end; fit++) {
            end += pieces[fit].length;
            parts[fit] = s->map[pieces[fit].part];
        }
        if (fit == n && end == wg_size(s->src, id)) /* all of them, in order, without gap or overlap */
            status = wg_append_flagged(s->out, WG_concatenate, (int)n, parts, 1, &(int64_t){0}, 0, out);
    }
    free(pieces);
    free(parts);
    return status;
}

/* ---- in all ------------------------------------------------------------------------------------------------ */
static wg_status simplify_node(wg_simplifier *s, wg_id id) {
    wg_id *now = &s->map[id];
    if (s->src->nodes[id].op == WG_constant) { /* interned: constants of calls may be the same */
        const wg_node_rec node = s->src->nodes[id];
        return wg_constant(s->out, (wg_dtype)node.dtype, &node.value, false, now);
    }
    WG_TRY(wg_copy_node(s->out, s->src, id, s->map, now));
    if (s->src->nodes[id].op == WG_slice_add) WG_TRY(assemble(s, id, now));
    sort_alone(s, id, *now);
    WG_TRY(scatter_last(s, id, now));
    WG_TRY(strip_broadcasts(s->out, *now));
    WG_TRY(split_derivative(s, now));
    WG_TRY(move_signs(s, now));
    WG_TRY(fold_constant(s->out, now));
    *now = same_as(s->out, *now);
    *now = wg_common_node(&s->common, *now);
    return WG_OK;
}

static wg_status simplify(wg_simplifier *s) {
    wg_tape *t = s->src;
    const size_t n = (size_t)t->len + 1;
    s->out = wg_tape_create(NULL);
    s->map = malloc(n * sizeof *s->map);
    s->uses = calloc(n, sizeof *s->uses);
    if (!s->out || !s->map || !s->uses) return wg_no_memory(t);
    WG_TRY(wg_common_init(&s->common, s->out, n, NULL, 0)); /* none becomes more than two, or one of its parts more */
    for (wg_id id = 0; id < t->len; id++)
        for (int k = wg_n_in(t, id); k-- > 0;) s->uses[wg_in(t, id)[k]]++;
    for (uint32_t k = 0; k < t->n_outputs; k++) s->uses[t->outputs[k]]++;
    for (wg_id id = 0; id < t->len; id++) WG_TRY(simplify_node(s, id));
    return wg_map_outputs(s->out, t, s->map);
}

wg_status wg_simplify(wg_program *p) {
    wg_simplifier s = {.src = p->flat};
    p->nodes = p->flat->len; /* as recorded */
    wg_status status = simplify(&s);
    if (status != WG_OK && s.out && s.out->error[0]) wg_fail(s.src, status, "%s", s.out->error);
    free(s.map);
    free(s.uses);
    wg_common_free(&s.common);
    if (status != WG_OK) {
        if (s.out) wg_tape_release(s.out);
        return status;
    }
    wg_tape_release(p->flat);
    p->flat = s.out;
    return WG_OK;
}

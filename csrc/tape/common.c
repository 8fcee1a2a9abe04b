/* Common nodes: which nodes compute what an earlier node does, by a table of those seen so far. */
#include <stdlib.h>
#include <string.h>

#include "tape.h"

wg_status wg_common_init(wg_common *c, wg_tape *t, size_t most, const wg_id *same, wg_id lo) {
    size_t slots = 64;
    while (slots < 4 * most) slots *= 2;
    *c = (wg_common){.t = t, .same = same, .lo = lo, .mask = (uint32_t)(slots - 1)};
    c->table = malloc(slots * sizeof *c->table);
    if (!c->table) return wg_no_memory(t);
    memset(c->table, 0xff, slots * sizeof *c->table);
    return WG_OK;
}

void wg_common_free(wg_common *c) { free(c->table); }

static wg_id operand(const wg_common *c, wg_id id) { return c->same && id >= c->lo ? c->same[id - c->lo] : id; }

static uint64_t mix(uint64_t hash, uint64_t word) { return (hash ^ word) * 1099511628211u; } /* FNV-1a */

static uint64_t hash_node(const wg_common *c, wg_id id) {
    const wg_node_rec *node = &c->t->nodes[id];
    const wg_id *in;
    const int64_t *attrs;
    uint64_t hash = mix(mix(mix(14695981039346656037u, node->op), node->dtype), node->shape);
    for (int k = 0, n = wg_operands(c->t, id, &in); k < n; k++) hash = mix(hash, operand(c, in[k]));
    for (int k = 0, n = wg_attrs(c->t, id, &attrs); k < n; k++) hash = mix(hash, (uint64_t)attrs[k]);
    return hash ^ (hash >> 29);
}

static bool same_node(const wg_common *c, wg_id a, wg_id b) {
    const wg_node_rec *x = &c->t->nodes[a], *y = &c->t->nodes[b];
    if (x->op != y->op || x->dtype != y->dtype || x->shape != y->shape) return false;
    const wg_id *in_x, *in_y;
    const int64_t *attrs_x, *attrs_y;
    const int n = wg_operands(c->t, a, &in_x), n_attr = wg_attrs(c->t, a, &attrs_x);
    if (wg_operands(c->t, b, &in_y) != n || wg_attrs(c->t, b, &attrs_y) != n_attr) return false;
    for (int k = 0; k < n; k++)
        if (operand(c, in_x[k]) != operand(c, in_y[k])) return false;
    return n_attr == 0 || memcmp(attrs_x, attrs_y, (size_t)n_attr * sizeof *attrs_x) == 0;
}

/* Leaves are what they are, and what runs a child is not looked into.  A host op is a function of its operands. */
wg_id wg_common_node(wg_common *c, wg_id id) {
    const int op = c->t->nodes[id].op;
    if (wg_row(op)->kind == WG_KIND_LEAF || op == WG_call || op == WG_result) return id;
    for (uint32_t at = (uint32_t)hash_node(c, id) & c->mask;; at = (at + 1) & c->mask) {
        if (c->table[at] == WG_NONE) return c->table[at] = id;
        if (same_node(c, c->table[at], id)) return c->table[at];
    }
}

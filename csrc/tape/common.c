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
    uint64_t hash = mix(mix(mix(14695981039346656037u, node->op), node->dtype), node->shape);
    for (int k = 0; k < wg_n_in(c->t, id); k++) hash = mix(hash, operand(c, wg_in(c->t, id)[k]));
    for (int k = 0; k < wg_n_attr(c->t, id); k++) hash = mix(hash, (uint64_t)wg_attr(c->t, id)[k]);
    return hash ^ (hash >> 29);
}

static bool same_node(const wg_common *c, wg_id a, wg_id b) {
    const wg_node_rec *x = &c->t->nodes[a], *y = &c->t->nodes[b];
    if (x->op != y->op || x->dtype != y->dtype || x->shape != y->shape) return false;
    const int n = wg_n_in(c->t, a), n_attr = wg_n_attr(c->t, a);
    if (wg_n_in(c->t, b) != n || wg_n_attr(c->t, b) != n_attr) return false;
    for (int k = 0; k < n; k++)
        if (operand(c, wg_in(c->t, a)[k]) != operand(c, wg_in(c->t, b)[k])) return false;
    return n_attr == 0 || memcmp(wg_attr(c->t, a), wg_attr(c->t, b), (size_t)n_attr * sizeof(int64_t)) == 0;
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

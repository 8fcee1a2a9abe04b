/* Runs of elementwise nodes that match a row of chains.def become one micro-op. */
#include <string.h>

#include "maker.h"

enum { OPERAND = 0x80, MOST_STEPS = 16 };
/* Of a chain for a byte of each array.  In one thread's cache it is 0.08; but a store to parameters that another thread
 * has read waits 20 to 140 ns for each line, so that threads should share even short updates. */
static const double BYTE_NS = 0.225;

typedef struct {
    int n_arrays, n_operands, n_steps;
    struct {
        uint16_t op;
        uint8_t in[2]; /* OPERAND + k, or the number of a step */
        bool kept;
    } steps[MOST_STEPS];
} wg_chain_row;

#define X(k) (OPERAND + (k))
#define R(n) (n)
#define STEP(n, op, a, b) [n] = {WG_##op, {a, b}, false},
#define KEEP(n, k, op, a, b) [n] = {WG_##op, {a, b}, true},
#define ROOT(n, a) [n] = {WG_sqrt, {a, a}, false},
#define CHAIN(name, arrays, operands, results, n, steps) {arrays, operands, n, {steps}},
static const wg_chain_row chains[WG_CHAIN_COUNT] = {
#include "../chains.def"
};

typedef struct { /* a row, nodes that may match it, and its operands among theirs */
    const wg_chain_row *row;
    wg_id nodes[MOST_STEPS], operands[WG_CHAIN_SLOTS];
} wg_match;

/* Can x stand where the row says so?  The first that can is bound there. */
static bool fits(const wg_maker *m, wg_match *match, wg_id x, int place) {
    if (place < OPERAND) return x == match->nodes[place];
    wg_id *bound = &match->operands[place - OPERAND];
    if (*bound != WG_NONE) return *bound == x;
    const wg_id root = m->windows[x].root, first = match->nodes[0];
    if (is_inside(m, root) && root >= first) return false;
    if (place - OPERAND >= match->row->n_arrays ? wg_size(m->t, x) != 1 || is_inside(m, root)
                                                : wg_size(m->t, x) != wg_size(m->t, first) || !wg_lies_in_order(m, x))
        return false;
    return *bound = x, true;
}

/* The nodes that compute from `id` on, as many as the row has: do they match it, and does nobody else read what is not
 * kept? */
static bool matches(const wg_maker *m, wg_match *match, wg_id id) {
    const wg_tape *t = m->t;
    const wg_id first = id;
    int n = 0;
    memset(match->operands, 0xff, sizeof match->operands);
    for (; n < match->row->n_steps && id < m->range.hi; id++)
        if (wg_computes(t, m->windows, id)) match->nodes[n++] = id;
    if (n < match->row->n_steps || wg_size(t, first) == 1) return false;
    for (int k = 0; k < n; k++) {
        id = match->nodes[k];
        if (t->nodes[id].op != match->row->steps[k].op || t->nodes[id].dtype != t->nodes[first].dtype) return false;
        if (t->nodes[id].shape != t->nodes[first].shape) return false;
        if (!match->row->steps[k].kept && (m->escapes[id] || m->last[id - m->range.lo] > match->nodes[n - 1]))
            return false;
        for (int j = 0; j < wg_n_in(t, id); j++)
            if (!fits(m, match, wg_in(t, id)[j], match->row->steps[k].in[j])) return false;
    }
    return true;
}

static wg_status add_chain(wg_maker *m, const wg_match *match, int number) {
    const wg_chain_row *row = match->row;
    const wg_id first = match->nodes[0];
    wg_detail detail = {.dtype = (wg_dtype)m->t->nodes[first].dtype};
    wg_micro micro = {.op = m->t->nodes[first].op, .role = WG_ROLE_MAP, .width = width_of(m, first)};
    int n = 0;
    for (; n < row->n_operands; n++) {
        wg_argument operand = {0};
        WG_TRY(wg_map_operand(m, first, match->operands[n], 1, true, &(int64_t){0}, &operand));
        detail.slots[n] = operand.slot;
    }
    for (int k = 0; k < row->n_steps; k++) {
        const wg_id id = match->nodes[k];
        if (k > 0) WG_TRY(wg_note_op(m, id));
        if (row->steps[k].kept)
            WG_TRY(wg_result_slot(m, id, &detail.slots[n++]));
        else
            m->last[id - m->range.lo] = WG_NONE; /* it has no tile */
    }
    detail.extent = n;
    micro.chain = wg_kernels_table()->chain[number][detail.dtype];
    m->r->cost += BYTE_NS * (double)(wg_size(m->t, first) * itemsize_of(m, first));
    return wg_add_micro(m, micro, &detail);
}

wg_status wg_make_chain(wg_maker *m, wg_id id, wg_id *end) {
    wg_match match;
    *end = id;
    for (int row = 0; row < WG_CHAIN_COUNT; row++) {
        match.row = &chains[row];
        if (!matches(m, &match, id)) continue;
        *end = match.nodes[match.row->n_steps - 1] + 1;
        return add_chain(m, &match, row);
    }
    return WG_OK;
}

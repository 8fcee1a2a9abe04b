/* The rule of matmul: C = A B gives dA = dC B^T and dB = A^T dC; transposes are views. */
#include "rules.h"

wg_status wg_vjp_matmul(wg_sweep *s, wg_id node, wg_id g) {
    wg_id a = s->t->nodes[node].in[0], b = s->t->nodes[node].in[1], turned, part;
    if (wg_wants(s, b)) {
        WG_TRY(wg_emit_swap(s->t, a, &turned));
        WG_TRY(wg_emit2(s->t, WG_matmul, turned, g, &part));
        WG_TRY(wg_contribute_sum(s, b, part));
    }
    if (wg_wants(s, a)) { /* last: what made A goes on from here, maybe in the same pass */
        WG_TRY(wg_emit_swap(s->t, b, &turned));
        WG_TRY(wg_emit2(s->t, WG_matmul, g, turned, &part));
        WG_TRY(wg_contribute_sum(s, a, part));
    }
    return WG_OK;
}

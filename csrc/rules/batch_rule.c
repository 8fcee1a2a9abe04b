/* The derivative of a batched tape whose plain one has a rule of its own: that rule, batched. */
#include <stdlib.h>
#include <string.h>

#include "rules.h"

typedef struct { /* of a batched tape: the plain one, and which of its inputs, then outputs, are batched */
    wg_tape *plain;
    int64_t size;
    bool flags[];
} wg_batched_rule;

static void release_rule(void *context) {
    wg_batched_rule *rule = context;
    wg_tape_release(rule->plain);
    free(rule);
}

/* Cotangents of inputs that all elements share are summed. */
static wg_status sum_shared(wg_tape *t, const bool *shared, const bool *batched) {
    for (uint32_t k = 0; k < t->n_outputs; k++)
        if (batched[k] && shared[k]) WG_TRY(wg_emit_sum(t, t->outputs[k], 1, false, &t->outputs[k]));
    return WG_OK;
}

/* The plain tape's rule, batched. */
static wg_status derive_batched(wg_tape *t, void *context, wg_mode mode, const bool *given, const bool *asked,
                                wg_tape **out) {
    const wg_batched_rule *rule = context;
    wg_tape *plain = rule->plain, *derived;
    uint32_t n_in = plain->n_inputs, n_out = plain->n_outputs, n = 0, m = 0;
    const bool *of_out = rule->flags + n_in, reverse = mode == WG_REVERSE;
    wg_status status = wg_derive_child(plain, mode, given, asked, &derived);
    if (status != WG_OK) return wg_fail(t, status, "%s", plain->error);
    size_t total = (size_t)n_in + n_out;
    bool *flags = calloc(4 * total + 1, sizeof *flags), *wanted = flags + 2 * total, *shared = flags + 3 * total;
    if (!flags) return wg_tape_release(derived), wg_no_memory(t);
    int looped;
    for (; n < total; n++) flags[n] = rule->flags[n]; /* what it takes and what it gives */
    for (uint32_t k = 0; k < (reverse ? n_out : n_in); k++)
        if (given[k]) flags[n++] = reverse ? of_out[k] : rule->flags[k];
    for (uint32_t k = 0; k < (reverse ? n_in : n_out); k++)
        if (!reverse || asked[k])
            wanted[m] = reverse ? rule->flags[k] : of_out[k], shared[m] = reverse && !wanted[m], m++;
    status = wg_batch(derived, rule->size, flags, wanted, out, &looped);
    if (status != WG_OK) wg_fail(t, status, "%s", derived->error);
    if (status == WG_OK) {
        status = sum_shared(*out, shared, wanted);
        if (status != WG_OK) wg_tape_release(*out);
    }
    free(flags);
    wg_tape_release(derived);
    return status;
}

wg_status wg_batch_rule_of(wg_tape *t, int64_t size, const bool *batched, const bool *out_batched, wg_tape *out) {
    wg_batched_rule *rule = malloc(sizeof *rule + t->n_inputs + t->n_outputs);
    if (!rule) return wg_no_memory(t);
    *rule = (wg_batched_rule){.plain = wg_tape_retain(t), .size = size};
    memcpy(rule->flags, batched, t->n_inputs);
    memcpy(rule->flags + t->n_inputs, out_batched, t->n_outputs);
    wg_tape_set_rule(out, derive_batched, release_rule, rule);
    return WG_OK;
}

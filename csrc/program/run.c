/* Programs: made once, replayed without Python and without allocation. */
#include <stdlib.h>
#include <string.h>

#include "program.h"

static wg_status allocate(wg_program *p) {
    p->n_inputs = p->flat->n_inputs;
    p->n_outputs = p->flat->n_outputs;
    size_t n_roots = WG_ROOT_INPUTS + (size_t)p->n_inputs + p->n_outputs;
    p->bases = calloc(n_roots, sizeof *p->bases);
    p->arena = aligned_alloc(64, (p->arena_size + 127) / 64 * 64);
    p->scratch = aligned_alloc(64, (p->scratch_size + 127) / 64 * 64);
    if (!p->bases || !p->arena || !p->scratch) return wg_no_memory(p->flat);
    p->bases[WG_ROOT_ARENA] = p->arena;
    p->bases[WG_ROOT_CONST] = (char *)p->constants;
    if (pthread_mutex_init(&p->lock, NULL) != 0) return wg_fail(p->flat, WG_RUNTIME_ERROR, "no lock for the program");
    p->lock_ready = true;
    for (uint32_t i = 0; i < p->n_steps; i++) p->steps[i].scratch = p->scratch;
    return WG_OK;
}

wg_status wg_program_new(wg_tape *t, const int32_t *alias, wg_program **out) {
    WG_TRY(wg_check_thread(t));
    if (t->run || !t->n_outputs) return wg_fail(t, WG_VALUE_ERROR, "a program needs an abstract tape with outputs");
    wg_program *p = calloc(1, sizeof *p);
    if (!p) return wg_no_memory(t);
    p->flat = wg_flatten(t);
    wg_status status = p->flat ? wg_plan(p, alias) : WG_MEMORY_ERROR;
    if (status == WG_OK) status = allocate(p);
    if (status == WG_OK) return *out = p, WG_OK;
    if (p->flat) wg_fail(t, status, "%s", p->flat->error);
    wg_program_release(p);
    return status;
}

void wg_program_release(wg_program *p) {
    if (!p) return;
    if (p->lock_ready) pthread_mutex_destroy(&p->lock);
    wg_tape_release(p->flat);
    free(p->steps);
    free(p->arrays);
    free(p->places);
    free(p->bases);
    free(p->arena);
    free(p->scratch);
    free(p->constants);
    free(p);
}

static void bind(wg_program *p, void *const *inputs, void *const *outputs) {
    char **bases = p->bases + WG_ROOT_INPUTS;
    for (uint32_t k = 0; k < p->n_inputs; k++) bases[k] = inputs[k];
    for (uint32_t k = 0; k < p->n_outputs; k++) bases[p->n_inputs + k] = outputs[k];
    for (uint32_t i = 0; i < p->n_arrays; i++) p->arrays[i].data = p->bases[p->places[i].root] + p->places[i].offset;
}

static wg_status run_steps(wg_program *p) {
    const wg_kernels *k = wg_kernels_table();
    for (uint32_t i = 0; i < p->n_steps; i++) {
        wg_step *step = &p->steps[i];
        step->out.data = step->in[step->n_in].data; /* the result is the array behind the operands */
        wg_status status = wg_execute(k, step);
        if (status == WG_OK) continue;
        wg_explain(step, status, p->error, sizeof p->error);
        return status;
    }
    return WG_OK;
}

wg_status wg_program_run(wg_program *p, void *const *inputs, void *const *outputs) {
    pthread_mutex_lock(&p->lock);
    bind(p, inputs, outputs);
    wg_status status = run_steps(p);
    pthread_mutex_unlock(&p->lock);
    return status;
}

const char *wg_program_error(const wg_program *p) { return p->error; }

void wg_program_describe(const wg_program *p, wg_program_info *info) {
    *info = (wg_program_info){.nodes = p->flat->len,
                              .steps = p->n_steps,
                              .arena_bytes = p->arena_size,
                              .scratch_bytes = p->scratch_size,
                              .value_bytes = p->value_size};
}

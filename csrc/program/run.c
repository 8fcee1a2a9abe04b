/* Programs: made once, replayed without Python and without allocation. */
#define _DEFAULT_SOURCE /* nanosleep, madvise */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "program.h"

/* Where there is much of it, in huge pages: a column of a large matrix has a page for each element, more than the
 * translation buffer holds, and what lies apart in small pages may crowd the same places of a cache. */
static char *new_memory(size_t size) {
    const size_t huge = (size_t)1 << 21, page = size < huge ? 64 : huge;
    if (size > PTRDIFF_MAX - huge) return NULL;
    size = (size + page - 1) / page * page;
    char *memory = aligned_alloc(page, size);
#ifdef MADV_HUGEPAGE
    if (memory && page == huge) (void)madvise(memory, size, MADV_HUGEPAGE); /* refused: small pages then */
#endif
    return memory;
}

static wg_status allocate(wg_program *p) {
    p->n_inputs = p->flat->n_inputs;
    p->n_outputs = p->flat->n_outputs;
    size_t n_roots = WG_ROOT_INPUTS + (size_t)p->n_inputs + p->n_outputs, arena = (p->arena_size + 127) / 64 * 64;
    p->bases = calloc(n_roots, sizeof *p->bases);
    if (p->scratch_size > PTRDIFF_MAX - arena)
        return wg_fail(p->flat, WG_MEMORY_ERROR, "the plan's intermediates do not fit in memory");
    p->memory = new_memory(arena + p->scratch_size + 64);
    if (!p->bases || !p->memory)
        return wg_fail(p->flat, WG_MEMORY_ERROR, "unable to allocate %zu bytes for the plan's intermediates",
                       p->arena_size + p->scratch_size);
    p->bases[WG_ROOT_CONST] = (char *)p->constants;
    wg_program_use(p, p->memory, p->memory + arena);
    return WG_OK;
}

void wg_program_use(wg_program *p, char *arena, char *scratch) {
    p->bases[WG_ROOT_ARENA] = arena;
    for (uint32_t i = 0; i < p->n_steps; i++) p->steps[i].scratch = scratch;
}

wg_status wg_program_new(wg_tape *t, const int32_t *alias, const int64_t *const *strides, wg_program **out) {
    WG_TRY(wg_check_thread(t));
    if (t->run || !t->n_outputs) return wg_fail(t, WG_VALUE_ERROR, "a program needs an abstract tape with outputs");
    wg_program *p = calloc(1, sizeof *p);
    if (!p) return wg_no_memory(t);
    p->flat = wg_flatten(t);
    wg_status status = p->flat ? wg_simplify(p) : WG_MEMORY_ERROR;
    if (status == WG_OK) status = wg_fuse(p);
    if (status == WG_OK) status = wg_rematerialise(p);
    if (status == WG_OK) status = wg_plan(p, alias, strides);
    if (status == WG_OK) status = allocate(p);
    if (status == WG_OK) return *out = p, WG_OK;
    if (p->flat) wg_fail(t, status, "%s", p->flat->error);
    wg_program_release(p);
    return status;
}

void wg_program_release(wg_program *p) {
    if (!p) return;
    wg_tape_release(p->flat);
    for (uint32_t k = 0; p->regions && k < p->n_ranges; k++) wg_region_free(p->regions[k]);
    free(p->regions);
    free(p->ranges);
    free(p->steps);
    free(p->arrays);
    free(p->places);
    free(p->bases);
    free(p->memory);
    free(p->constants);
    free(p);
}

static void place(wg_program *p) {
    for (uint32_t i = 0; i < p->n_arrays; i++) p->arrays[i].data = p->bases[p->places[i].root] + p->places[i].offset;
}

static void bind(wg_program *p, void *const *inputs, void *const *outputs) {
    char **bases = p->bases + WG_ROOT_INPUTS;
    for (uint32_t k = 0; k < p->n_inputs; k++) bases[k] = inputs[k];
    for (uint32_t k = 0; k < p->n_outputs; k++) bases[p->n_inputs + k] = outputs[k];
    place(p);
}

static wg_status run_steps(wg_program *p, bool alone, wg_watch *watch, char *message, size_t message_size) {
    const wg_kernels *k = wg_kernels_table();
    for (uint32_t i = 0; i < p->n_steps; i++) {
        wg_step *step = &p->steps[i];
        wg_watch *may_stop = i < p->first_write ? watch : NULL;
        if (step->looks && wg_stops(may_stop)) return WG_INTERRUPTED;
        step->watch = step->slow ? may_stop : NULL;
        step->alone = alone;
        step->out.data = step->in[step->n_in].data; /* the results are the arrays behind the operands */
        const int64_t start = p->clock ? wg_now() : 0;
        wg_status status = wg_execute(k, step);
        if (p->clock) p->clock[i] += (double)(wg_now() - start);
        if (status == WG_OK) continue;
        if (status != WG_INTERRUPTED) wg_explain(step, status, message, message_size);
        return status;
    }
    return WG_OK;
}

/* ---- all threads or one --------------------------------------------------------------------------------------
 * What it costs that cores use each other's data depends on where they are: ten times as much where they share no
 * cache, and a virtual machine may move them.  So a short program finds out, again and again.  Its results do not
 * depend on it. */
enum { TRIES = 4, SHARE = 128 };      /* replays in a row by all threads, then by one: one in so many is compared */
static const int64_t WAKING = 200000; /* nanoseconds: sleeping threads take up to 100 us to come, and what replays take
                                         until then says nothing of all threads */
static const double WORTH = 0.97;     /* of one thread's time: more than that is no gain */
static const double SHORT = 1e6;      /* nanoseconds: what takes longer gains by threads wherever they are */
static const double BRIEF = 1e4;      /* nanoseconds: so long may a caller keep a lock that others wait for */

/* Runs the steps by as many threads as seem best. */
static wg_status run_once(wg_program *p, wg_watch *watch, char *message, size_t message_size) {
    wg_trial *t = &p->trial;
    if (!t->splits || t->cost > SHORT || p->clock || wg_get_num_threads() == 1)
        return run_steps(p, false, watch, message, message_size);
    if (t->replay == SHARE * (t->waking + 2 * TRIES)) t->replay = 0;
    const bool timed = t->replay < t->waking + 2 * TRIES;
    const int64_t start = timed ? wg_now() : 0;
    if (t->replay == 0) *t = (wg_trial){true, t->cost, .since = start, .best = {INT64_MAX, INT64_MAX}};
    if (t->replay == t->waking && start - t->since < WAKING) t->waking++;
    const int64_t turn = (int64_t)t->replay++ - t->waking; /* of the comparison; negative: the threads wake up */
    const bool helps = (double)t->best[false] < WORTH * (double)t->best[true];
    const bool alone = turn < 2 * TRIES ? turn >= TRIES : !helps;
    wg_status status = run_steps(p, alone, watch, message, message_size);
    const int64_t time = timed && turn >= 0 ? wg_now() - start : INT64_MAX;
    if (time < t->best[alone]) t->best[alone] = time;
    return status;
}

/* One caller at a time.  No mutex, for a child forked while another thread replays would wait for ever: it sees an
 * owner of another generation and takes the program over.  RUNTIME_ERROR where the owner waits for this very call. */
static wg_status acquire(wg_program *p, const void *thread, bool waits) {
    const uint32_t me = wg_fork_generation();
    for (int tries = 0;; tries++) {
        unsigned owner = atomic_load(&p->owner);
        if (owner != me && atomic_compare_exchange_strong(&p->owner, &owner, me)) break;
        if (owner == me && atomic_load_explicit(&p->thread, memory_order_relaxed) == thread) return WG_RUNTIME_ERROR;
        if (!waits) return WG_BUSY;
        if (tries < 100)
            sched_yield();
        else
            nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
    }
    atomic_store_explicit(&p->thread, thread, memory_order_relaxed); /* only this thread looks for itself */
    return WG_OK;
}

static void release(wg_program *p) {
    atomic_store_explicit(&p->thread, NULL, memory_order_relaxed);
    atomic_store_explicit(&p->owner, 0, memory_order_release);
}

static void move_on(wg_program *p, const int64_t *moves) {
    for (uint32_t k = 0; k < p->n_inputs + p->n_outputs; k++) p->bases[WG_ROOT_INPUTS + k] += moves[k];
    place(p);
}

static bool goes_on(const wg_program *p, const wg_repeat *r) {
    const char *guard = r->guard_bytes ? p->bases[WG_ROOT_INPUTS + (uint32_t)r->guard] : NULL;
    return !guard || memchr(guard, true, (size_t)r->guard_bytes);
}

wg_status wg_program_repeat(wg_program *p, void *const *inputs, void *const *outputs, wg_repeat *repeat, char *message,
                            size_t message_size) {
    wg_watch watch = {.repeat = repeat, .caller = wg_this_thread()};
    repeat->done = 0;
    if (repeat->tries && p->trial.cost * (double)repeat->times > BRIEF) return WG_BUSY;
    wg_status status = acquire(p, watch.caller, !repeat->tries);
    if (status == WG_RUNTIME_ERROR)
        snprintf(message, message_size, "a program cannot run while a signal handler or callback has stopped it");
    if (status != WG_OK) return status;
    bind(p, inputs, outputs);
    const bool numbers = p->n_steps == 1 && p->steps[0].region && p->steps[0].region->scalars;
    if (numbers && repeat->times > 1 && !repeat->guard_bytes && !p->clock)
        status = wg_repeat_scalars(p, repeat, &watch);
    while (repeat->done < repeat->times && status == WG_OK) {
        if (repeat->done && repeat->moves) move_on(p, repeat->moves);
        if (!goes_on(p, repeat)) break;
        status = run_once(p, &watch, message, message_size);
        if (status == WG_OK && ++repeat->done < repeat->times && wg_stops(&watch)) status = WG_INTERRUPTED;
    }
    release(p);
    return status;
}

wg_status wg_program_run(wg_program *p, void *const *inputs, void *const *outputs, char *message, size_t message_size) {
    return wg_program_repeat(p, inputs, outputs, &(wg_repeat){.times = 1}, message, message_size);
}

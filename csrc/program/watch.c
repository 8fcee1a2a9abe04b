/* Interrupts: a replay asks its caller now and then whether to go on. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include <time.h>

#include "program.h"

static const int64_t PERIOD = 40000000; /* nanoseconds: as no piece of work takes more than 50 ms, 100 suffice */

int64_t wg_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

const void *wg_this_thread(void) {
    static _Thread_local char here;
    return &here;
}

bool wg_stops(wg_watch *watch) {
    if (!watch) return false;
    if (atomic_load_explicit(&watch->stop, memory_order_relaxed)) return true;
    if (watch->caller != wg_this_thread() || !watch->repeat->ask) return false;
    const int64_t time = wg_now();
    if (!watch->due) watch->due = time + PERIOD; /* the first look starts the clock: short work has none */
    if (time < watch->due) return false;
    wg_answer answer = watch->repeat->ask(watch->repeat);
    watch->due = answer == WG_NEVER_ASK ? INT64_MAX : wg_now() + PERIOD;
    if (answer == WG_STOP) atomic_store_explicit(&watch->stop, true, memory_order_relaxed);
    return answer == WG_STOP;
}

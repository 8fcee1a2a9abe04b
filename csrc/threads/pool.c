#define _GNU_SOURCE /* sched_getaffinity */
#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "../wengert.h"

enum {
    MAX_THREADS = 256,
    MAX_PARTS = 0xffff,
    SPINS = 4000, /* pauses before a worker sleeps: some 50 us, more than the gap between two steps of a program */
};

/* A region is one call of wg_parallel.  Its parts are handed out from both ends of what `ticket` says is left: the high
 * half is the region's number, then come the end and the start of what nobody has taken, 16 bits each.  The caller
 * takes parts from the start and workers from the end, so that from one replay to the next a thread meets the data that
 * its own cache still holds.  Whoever changes the ticket owns that part, and the region's task and context stay put
 * until every owned part is done. */
static struct {
    pthread_mutex_t taken; /* held by the caller whose region runs */
    pthread_mutex_t lock;  /* guards sleeping and waking */
    pthread_cond_t wake;
    _Atomic uint64_t ticket;
    atomic_int undone, sleepers, limit; /* limit 0: not asked yet */
    atomic_uint generation;             /* of fork, from 0 */
    atomic_bool watched;                /* forks are counted */
    int workers;                        /* started; changed only under `taken` */
    wg_task_fn task;
    void *context;
} pool = {.taken = PTHREAD_MUTEX_INITIALIZER, .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

static inline void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static inline int first_left(uint64_t ticket) { return (int)(ticket & 0xffff); }
static inline int end_of_left(uint64_t ticket) { return (int)(ticket >> 16 & 0xffff); }
static inline bool parts_left(uint64_t ticket) { return first_left(ticket) < end_of_left(ticket); }

/* Runs parts of the current region until none is left. */
static void work(bool caller) {
    uint64_t ticket = atomic_load(&pool.ticket);
    while (parts_left(ticket)) {
        const uint64_t taken = caller ? ticket + 1 : ticket - (1 << 16);
        if (!atomic_compare_exchange_weak(&pool.ticket, &ticket, taken)) continue;
        pool.task(pool.context, caller ? first_left(ticket) : end_of_left(taken));
        atomic_fetch_sub(&pool.undone, 1);
        ticket = atomic_load(&pool.ticket);
    }
}

static void sleep_until_work(void) {
    pthread_mutex_lock(&pool.lock);
    atomic_fetch_add(&pool.sleepers, 1); /* before the look at the ticket: the caller looks the other way round */
    while (!parts_left(atomic_load(&pool.ticket))) pthread_cond_wait(&pool.wake, &pool.lock);
    atomic_fetch_sub(&pool.sleepers, 1);
    pthread_mutex_unlock(&pool.lock);
}

static void *worker(void *unused) {
    for (;;) {
        int spins = 0;
        while (!parts_left(atomic_load(&pool.ticket)) && spins++ < SPINS) pause_briefly();
        if (!parts_left(atomic_load(&pool.ticket))) sleep_until_work();
        work(false);
    }
    return unused;
}

/* The child has the caller's thread only. */
static void after_fork(void) {
    pthread_mutex_init(&pool.taken, NULL);
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.wake, NULL);
    atomic_store(&pool.ticket, 0);
    atomic_store(&pool.undone, 0);
    atomic_store(&pool.sleepers, 0);
    atomic_fetch_add(&pool.generation, 1);
    pool.workers = 0;
}

static pthread_once_t fork_handler = PTHREAD_ONCE_INIT;
static void watch_forks(void) { atomic_store(&pool.watched, pthread_atfork(NULL, NULL, after_fork) == 0); }

uint32_t wg_fork_generation(void) {
    pthread_once(&fork_handler, watch_forks);
    return atomic_load(&pool.generation) + 1;
}

static void start_workers(int wanted) {
    (void)wg_fork_generation();
    if (!atomic_load(&pool.watched)) return; /* workers do not survive a fork, and a child must know */
    sigset_t all, before;                    /* signals belong to the caller's threads */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (pthread_t thread; pool.workers < wanted; pool.workers++) {
        if (pthread_create(&thread, NULL, worker, NULL) != 0) break; /* fewer will do */
        pthread_detach(thread);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static int default_threads(void) {
    int cores = 1;
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) cores = CPU_COUNT(&set);
#else
    cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
#endif
    const char *text = getenv("OMP_NUM_THREADS");
    long asked = text ? strtol(text, NULL, 10) : 0;
    if (asked > 0 && asked < cores) cores = (int)asked;
    return cores < 1 ? 1 : cores > MAX_THREADS ? MAX_THREADS : cores;
}

int wg_get_num_threads(void) {
    int limit = atomic_load(&pool.limit);
    if (limit) return limit;
    int expected = 0, found = default_threads();
    atomic_compare_exchange_strong(&pool.limit, &expected, found);
    return expected ? expected : found;
}

int wg_most_threads(void) {
    int limit = wg_get_num_threads(), cores = default_threads();
    return limit > cores ? limit : cores;
}

wg_status wg_set_num_threads(int n) {
    if (n < 1 || n > MAX_THREADS) return WG_VALUE_ERROR;
    atomic_store(&pool.limit, n);
    return WG_OK;
}

void wg_parallel(bool alone, int parts, wg_task_fn task, void *context) {
    int threads = alone ? 1 : wg_get_num_threads();
    if (parts > 1 && parts <= MAX_PARTS && threads > 1 && pthread_mutex_trylock(&pool.taken) == 0) {
        int wanted = (threads < parts ? threads : parts) - 1;
        if (pool.workers < wanted) start_workers(wanted);
        pool.task = task;
        pool.context = context;
        atomic_store(&pool.undone, parts);
        uint64_t region = (atomic_load(&pool.ticket) >> 32) + 1;
        atomic_store(&pool.ticket, region << 32 | (uint64_t)parts << 16);
        if (atomic_load(&pool.sleepers)) {
            pthread_mutex_lock(&pool.lock);
            pthread_cond_broadcast(&pool.wake);
            pthread_mutex_unlock(&pool.lock);
        }
        work(true);
        for (int spins = 0; atomic_load(&pool.undone); spins++) {
            if (spins < SPINS)
                pause_briefly();
            else
                sched_yield();
        }
        pthread_mutex_unlock(&pool.taken);
        return;
    }
    for (int part = 0; part < parts; part++) task(context, part);
}

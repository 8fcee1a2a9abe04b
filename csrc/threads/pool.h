/* A small pool of threads: starts at first use, survives fork, spins briefly and then sleeps.  Knows nothing of tapes.
 */
#ifndef WG_POOL_H
#define WG_POOL_H

#include <stdbool.h>
#include <stdint.h>

typedef void (*wg_task_fn)(void *context, int part);

/* Runs task(context, part) once for every part in 0..parts-1 and returns when all are done.  The caller works too.
 * Where it is to be alone, or the pool is taken by another caller or has one thread, the caller does it all: what a
 * part computes must not depend on who runs it. */
void wg_parallel(bool alone, int parts, wg_task_fn task, void *context);

/* The most threads that can be of use: those asked for, or the cores this process may use if they are more. */
int wg_most_threads(void);

/* Which process this is in a line of forks: 1 in the first, then counting up.  A lock that was taken under another
 * number is held by a thread that this process does not have. */
uint32_t wg_fork_generation(void);

#endif

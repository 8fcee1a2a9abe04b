/* The pool: every part once, many regions, callers in competition, fork, more and fewer threads; and the same bits for
 * any number of threads. */
#define _DEFAULT_SOURCE /* usleep */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "threads/pool.h"
#include "wengert.h"

typedef struct {
    atomic_int hits[64];
    int plain[64]; /* each part writes its own: visible to the caller afterwards */
} counts;

static void count_part(void *context, int part) {
    counts *c = context;
    atomic_fetch_add(&c->hits[part], 1);
    c->plain[part]++;
}

static int each_once(int parts, int rounds) {
    counts c = {0};
    for (int round = 0; round < rounds; round++) wg_parallel(false, parts, count_part, &c);
    for (int i = 0; i < parts; i++)
        if (atomic_load(&c.hits[i]) != rounds || c.plain[i] != rounds) return 0;
    return 1;
}

static void *compete(void *ok) {
    *(int *)ok = each_once(8, 2000);
    return NULL;
}

static void test_regions(void) {
    for (int threads = 1; threads <= 4; threads++) {
        CHECK(wg_set_num_threads(threads) == WG_OK && wg_get_num_threads() == threads);
        CHECK(each_once(1, 100) && each_once(threads, 5000) && each_once(64, 200));
    }
    CHECK(wg_set_num_threads(0) == WG_VALUE_ERROR && wg_set_num_threads(1000) == WG_VALUE_ERROR);
    pthread_t callers[3];
    int ok[3] = {0};
    for (int i = 0; i < 3; i++) pthread_create(&callers[i], NULL, compete, &ok[i]);
    for (int i = 0; i < 3; i++) pthread_join(callers[i], NULL);
    CHECK(ok[0] && ok[1] && ok[2]);
}

static void test_fork(void) {
    pid_t child = fork();
    if (child == 0) _exit(each_once(8, 1000) ? 0 : 1);
    int status = 1;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(each_once(8, 1000));
}

/* tanh(x w)^T (x w) and a big sum of an elementwise chain, replayed with different numbers of threads. */
static void test_same_bits(void) {
    enum { ROWS = 301, COLS = 257 };
    wg_tape *t = wg_tape_new(true);
    wg_id x, w, y, z, turned, out[2];
    CHECK(wg_input(t, WG_F32, 2, (int64_t[]){ROWS, 200}, false, &x) == WG_OK);
    CHECK(wg_input(t, WG_F32, 2, (int64_t[]){200, COLS}, false, &w) == WG_OK);
    CHECK(wg_append(t, WG_matmul, 2, (wg_id[]){x, w}, 0, NULL, &y) == WG_OK);
    CHECK(wg_append(t, WG_tanh, 1, &y, 0, NULL, &z) == WG_OK);
    CHECK(wg_append(t, WG_transpose, 1, &z, 2, (int64_t[]){1, 0}, &turned) == WG_OK);
    CHECK(wg_append(t, WG_matmul, 2, (wg_id[]){turned, y}, 0, NULL, &out[0]) == WG_OK);
    CHECK(wg_append(t, WG_sum, 1, &z, 2, (int64_t[]){1, 0}, &out[1]) == WG_OK);
    CHECK(wg_tape_set_outputs(t, 2, out) == WG_OK);
    wg_program *p = NULL;
    CHECK(wg_set_num_threads(1) == WG_OK && wg_program_new(t, NULL, NULL, &p) == WG_OK);
    float *a = malloc(sizeof *a * ROWS * 200), *b = malloc(sizeof *b * 200 * COLS), sums[2][COLS];
    float *c[2] = {malloc(sizeof(float) * COLS * COLS), malloc(sizeof(float) * COLS * COLS)};
    if (p && a && b && c[0] && c[1]) {
        for (int i = 0; i < ROWS * 200; i++) a[i] = (float)((i * 37 % 101) - 50) / 101;
        for (int i = 0; i < 200 * COLS; i++) b[i] = (float)((i * 53 % 89) - 44) / 89;
        CHECK(wg_program_run(p, (void *[]){a, b}, (void *[]){c[0], sums[0]}, NULL, 0) == WG_OK);
        for (int threads = 2; threads <= 4; threads++) {
            CHECK(wg_set_num_threads(threads) == WG_OK);
            CHECK(wg_program_run(p, (void *[]){a, b}, (void *[]){c[1], sums[1]}, NULL, 0) == WG_OK);
            CHECK(memcmp(c[0], c[1], sizeof(float) * COLS * COLS) == 0 &&
                  memcmp(sums[0], sums[1], sizeof sums[0]) == 0);
        }
    }
    free(a), free(b), free(c[0]), free(c[1]);
    wg_program_release(p);
    wg_tape_release(t);
}

/* A program that another thread is replaying when the process forks can be replayed by the child. */
typedef struct {
    wg_program *p;
    atomic_int stop, runs;
} replay;

static void *replay_on(void *context) {
    replay *r = context;
    double x = 2, y;
    while (!atomic_load(&r->stop)) {
        wg_program_run(r->p, (void *[]){&x}, (void *[]){&y}, NULL, 0);
        atomic_fetch_add(&r->runs, 1);
    }
    return NULL;
}

static void test_fork_during_a_replay(void) {
    wg_tape *t = wg_tape_new(true);
    wg_id x;
    replay r = {0};
    CHECK(wg_input(t, WG_F64, 0, NULL, false, &x) == WG_OK);
    for (int i = 0; i < 2000; i++)
        if (wg_append(t, WG_cos, 1, &x, 0, NULL, &x) != WG_OK) break;
    CHECK(wg_tape_set_outputs(t, 1, &x) == WG_OK && wg_program_new(t, NULL, NULL, &r.p) == WG_OK);
    pthread_t other;
    CHECK(pthread_create(&other, NULL, replay_on, &r) == 0);
    while (atomic_load(&r.runs) < 10) usleep(100);
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();
        if (child == 0) {
            double a = 2, b = 0;
            alarm(20); /* a child that waits for ever is ended and fails the check */
            _exit(wg_program_run(r.p, (void *[]){&a}, (void *[]){&b}, NULL, 0) == WG_OK && b > 0.73 && b < 0.74 ? 0
                                                                                                                : 1);
        }
        int status = 1;
        CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    atomic_store(&r.stop, 1);
    pthread_join(other, NULL);
    wg_program_release(r.p);
    wg_tape_release(t);
}

int main(void) {
    char message[200];
    if (wg_kernels_init(getenv("WENGERT_ISA"), message, sizeof message) != WG_OK) return 2;
    test_regions();
    test_fork();
    test_same_bits();
    test_fork_during_a_replay();
    return report();
}

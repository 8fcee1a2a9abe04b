/* The pool: every part once, many regions, callers in competition, fork, more and fewer threads; and the same bits for
 * any number of threads. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "threads/pool.h"
#include "wengert.h"

static int passed, failed;
#define CHECK(x)                                                                                                       \
    do {                                                                                                               \
        if (x)                                                                                                         \
            passed++;                                                                                                  \
        else                                                                                                           \
            failed++, fprintf(stderr, "line %d: %s\n", __LINE__, #x);                                                  \
    } while (0)

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
    for (int round = 0; round < rounds; round++) wg_parallel(parts, count_part, &c);
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
    CHECK(wg_set_num_threads(1) == WG_OK && wg_program_new(t, NULL, &p) == WG_OK);
    float *a = malloc(sizeof *a * ROWS * 200), *b = malloc(sizeof *b * 200 * COLS), sums[2][COLS];
    float *c[2] = {malloc(sizeof(float) * COLS * COLS), malloc(sizeof(float) * COLS * COLS)};
    if (p && a && b && c[0] && c[1]) {
        for (int i = 0; i < ROWS * 200; i++) a[i] = (float)((i * 37 % 101) - 50) / 101;
        for (int i = 0; i < 200 * COLS; i++) b[i] = (float)((i * 53 % 89) - 44) / 89;
        CHECK(wg_program_run(p, (void *[]){a, b}, (void *[]){c[0], sums[0]}) == WG_OK);
        for (int threads = 2; threads <= 4; threads++) {
            CHECK(wg_set_num_threads(threads) == WG_OK);
            CHECK(wg_program_run(p, (void *[]){a, b}, (void *[]){c[1], sums[1]}) == WG_OK);
            CHECK(memcmp(c[0], c[1], sizeof(float) * COLS * COLS) == 0 &&
                  memcmp(sums[0], sums[1], sizeof sums[0]) == 0);
        }
    }
    free(a), free(b), free(c[0]), free(c[1]);
    wg_program_release(p);
    wg_tape_release(t);
}

int main(void) {
    char message[200];
    if (wg_kernels_init(getenv("WENGERT_ISA"), message, sizeof message) != WG_OK) return 2;
    test_regions();
    test_fork();
    test_same_bits();
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}

/* Many replays as one call: operands that move on, a caller that stops it, donated inputs left whole. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "wengert.h"

/* total + x and x * x, the total donated. */
static wg_program *running_sum(wg_tape *t) {
    wg_id total, x, out[2];
    wg_program *p = NULL;
    CHECK(wg_input(t, WG_F64, 0, NULL, false, &total) == WG_OK && wg_input(t, WG_F64, 0, NULL, false, &x) == WG_OK);
    CHECK(wg_append(t, WG_add, 2, (wg_id[]){total, x}, 0, NULL, &out[0]) == WG_OK);
    CHECK(wg_append(t, WG_mul, 2, (wg_id[]){x, x}, 0, NULL, &out[1]) == WG_OK);
    CHECK(wg_tape_set_outputs(t, 2, out) == WG_OK);
    CHECK(wg_program_new(t, (int32_t[]){0, -1}, NULL, &p) == WG_OK);
    return p;
}

static void test_moves(wg_program *p) {
    double total = 1, x[5] = {1, 2, 3, 4, 5}, squares[5] = {0};
    char message[100];
    wg_repeat repeat = {.times = 5, .moves = (int64_t[]){0, sizeof *x, 0, sizeof *squares}};
    CHECK(wg_program_repeat(p, (void *[]){&total, x}, (void *[]){&total, squares}, &repeat, message, 100) == WG_OK);
    CHECK(repeat.done == 5 && total == 16 && squares[0] == 1 && squares[4] == 25);
    repeat.moves = NULL;
    CHECK(wg_program_repeat(p, (void *[]){&total, x}, (void *[]){&total, squares}, &repeat, message, 100) == WG_OK);
    CHECK(total == 21 && squares[0] == 1 && squares[4] == 25);
    repeat.times = 0;
    CHECK(wg_program_repeat(p, (void *[]){&total, x}, (void *[]){&total, squares}, &repeat, message, 100) == WG_OK);
    CHECK(repeat.done == 0 && total == 21);
}

typedef struct {
    wg_answer answers[3];
    int asked;
    wg_program *p;
    wg_status inner; /* of a replay from within */
} script;

static wg_answer answer(wg_repeat *repeat) {
    script *s = repeat->context;
    double a = 0, b = 1, c;
    char message[100];
    if (s->p) s->inner = wg_program_run(s->p, (void *[]){&a, &b}, (void *[]){&a, &c}, message, 100);
    return s->answers[s->asked++];
}

static void test_answers(wg_program *p) {
    double total = 0, x = 1, square;
    char message[100];
    script s = {.answers = {WG_GO_ON, WG_STOP}, .p = p};
    wg_repeat repeat = {.times = INT64_MAX, .ask = answer, .context = &s};
    CHECK(wg_program_repeat(p, (void *[]){&total, &x}, (void *[]){&total, &square}, &repeat, message, 100) ==
          WG_INTERRUPTED);
    CHECK(s.asked == 2 && s.inner == WG_RUNTIME_ERROR && repeat.done > 0 && total == (double)repeat.done);
    s = (script){.answers = {WG_GO_ON, WG_NEVER_ASK, WG_STOP}};
    repeat.times = 3 * repeat.done;
    CHECK(wg_program_repeat(p, (void *[]){&total, &x}, (void *[]){&total, &square}, &repeat, message, 100) == WG_OK);
    CHECK(s.asked <= 2);
}

/* What tries is not kept waiting: neither by much work of its own nor by who is at it. */
static wg_status try_it(wg_program *p, int64_t times) {
    double total = 0, x = 1, square;
    char message[100];
    wg_repeat repeat = {.times = times, .tries = true};
    wg_status status = wg_program_repeat(p, (void *[]){&total, &x}, (void *[]){&total, &square}, &repeat, message, 100);
    CHECK(repeat.done == (status == WG_OK ? times : 0) && total == (double)repeat.done);
    return status;
}

static void *try_once(void *p) {
    CHECK(try_it(p, 1) == WG_BUSY);
    return NULL;
}

static wg_answer try_elsewhere(wg_repeat *repeat) {
    pthread_t thread;
    const bool started = pthread_create(&thread, NULL, try_once, repeat->context) == 0;
    CHECK(started);
    if (started) pthread_join(thread, NULL);
    CHECK(try_it(repeat->context, 1) == WG_RUNTIME_ERROR);
    return WG_STOP;
}

static void test_tries(wg_program *p) {
    double total = 0, x = 1, square;
    char message[100];
    CHECK(try_it(p, 1) == WG_OK && try_it(p, 1 << 20) == WG_BUSY);
    wg_repeat repeat = {.times = INT64_MAX, .ask = try_elsewhere, .context = p};
    CHECK(wg_program_repeat(p, (void *[]){&total, &x}, (void *[]){&total, &square}, &repeat, message, 100) ==
          WG_INTERRUPTED);
    CHECK(try_it(p, 1) == WG_OK);
}

int main(void) {
    char message[200];
    if (wg_kernels_init(getenv("WENGERT_ISA"), message, sizeof message) != WG_OK) return 2;
    wg_tape *t = wg_tape_new(true);
    wg_program *p = running_sum(t);
    if (p) test_moves(p), test_answers(p), test_tries(p);
    wg_program_release(p);
    wg_tape_release(t);
    return report();
}

/* A chain of 10^6 nodes: recorded, differentiated twice, lowered and replayed; run under `ulimit -s 256`, so that any
 * recursion over the graph overflows the stack. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "wengert.h"

enum { LENGTH = 1000000 };

/* x <- 0.5 x + 0.5 sin(x) ... as mul and sin in turn */
static wg_id chain(wg_tape *t, wg_id x) {
    double half = 0.999999;
    wg_id c;
    CHECK(wg_constant(t, WG_F64, &half, true, &c) == WG_OK);
    wg_status status = WG_OK;
    for (int i = 0; i < LENGTH / 2 && status == WG_OK; i++) {
        status = wg_append(t, WG_mul, 2, (wg_id[]){x, c}, 0, NULL, &x);
        if (status == WG_OK) status = wg_append(t, WG_sin, 1, &x, 0, NULL, &x);
    }
    CHECK(status == WG_OK);
    return x;
}

/* The same chain and its derivative in plain C. */
static void by_hand(double x, double *y, double *dy) {
    *dy = 1;
    for (int i = 0; i < LENGTH / 2; i++) {
        x *= 0.999999;
        *dy *= 0.999999 * cos(x);
        x = sin(x);
    }
    *y = x;
}

int main(void) {
    char message[200];
    if (wg_kernels_init(getenv("WENGERT_ISA"), message, sizeof message) != WG_OK) return 2;
    double start = 0.7, one = 1, value, slope, y, dy;
    by_hand(start, &value, &slope);
    wg_id leaf, x, z, g, c;

    wg_tape *t = wg_tape_new(false);
    CHECK(wg_leaf(t, WG_F64, 0, NULL, NULL, &start, NULL, NULL, &leaf) == WG_OK);
    CHECK(wg_append(t, WG_copy, 1, &leaf, 0, NULL, &x) == WG_OK);
    z = chain(t, x);
    CHECK(wg_constant(t, WG_F64, &one, true, &c) == WG_OK);
    CHECK(wg_vjp(t, 1, &z, &c, 1, &x, true, &g) == WG_OK);
    CHECK(wg_read(t, z, &y) == WG_OK && fabs(y - value) <= 1e-9 * fabs(value));
    CHECK(wg_read(t, g, &dy) == WG_OK && fabs(dy - slope) <= 1e-6 * fabs(slope));
    CHECK(wg_verify(t) == WG_OK);
    wg_tape_release(t);

    t = wg_tape_new(true);
    CHECK(wg_input(t, WG_F64, 0, NULL, false, &x) == WG_OK);
    z = chain(t, x);
    CHECK(wg_constant(t, WG_F64, &one, true, &c) == WG_OK);
    CHECK(wg_vjp(t, 1, &z, &c, 1, &x, false, &g) == WG_OK);
    CHECK(wg_tape_set_outputs(t, 2, (wg_id[]){z, g}) == WG_OK);
    wg_program *p = NULL;
    CHECK(wg_program_new(t, NULL, NULL, &p) == WG_OK);
    if (p) {
        double again, dagain;
        CHECK(wg_program_run(p, (void *[]){&start}, (void *[]){&again, &dagain}, NULL, 0) == WG_OK);
        CHECK(again == y && dagain == dy); /* eager and compiled: the same bits */
    }
    wg_program_release(p);
    wg_tape_release(t);

    wg_tape *inner = wg_tape_new(true); /* a chain of calls within calls, freed without recursion */
    CHECK(wg_input(inner, WG_F64, 0, NULL, false, &x) == WG_OK);
    CHECK(wg_append(inner, WG_sin, 1, &x, 0, NULL, &z) == WG_OK);
    CHECK(wg_tape_set_outputs(inner, 1, &z) == WG_OK);
    for (int i = 0; i < 20000; i++) {
        wg_tape *outer = wg_tape_new(true);
        CHECK(wg_input(outer, WG_F64, 0, NULL, false, &x) == WG_OK);
        CHECK(wg_call(outer, inner, 1, &x, &z) == WG_OK);
        CHECK(wg_tape_set_outputs(outer, 1, &z) == WG_OK);
        wg_tape_release(inner);
        inner = outer;
    }
    CHECK(wg_program_new(inner, NULL, NULL, &p) == WG_OK);
    CHECK(wg_program_run(p, (void *[]){&start}, (void *[]){&y}, NULL, 0) == WG_OK && fabs(y - sin(start)) < 1e-15);
    wg_program_release(p);
    wg_tape_release(inner);
    return report();
}

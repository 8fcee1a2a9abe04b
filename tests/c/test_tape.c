/* The C core without Python: recording, both sweeps, order two, calls, programs, errors. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "wengert.h"

#define NEAR(x, y) check(fabs((x) - (y)) <= 1e-14 * (1 + fabs(y)), #x " == " #y, __LINE__)

static wg_id leaf(wg_tape *t, int ndim, const int64_t *shape, const double *x) {
    int64_t strides[8], step = 1;
    wg_id id = WG_NONE, copy = WG_NONE;
    for (int i = ndim - 1; i >= 0; i--) strides[i] = step, step *= shape[i];
    OK(wg_leaf(t, WG_F64, ndim, shape, strides, (void *)(uintptr_t)x, NULL, NULL, &id));
    OK(wg_append(t, WG_copy, 1, &id, 0, NULL, &copy));
    return copy;
}
static wg_id scalar(wg_tape *t, double x) { return leaf(t, 0, NULL, &x); }
static wg_id number(wg_tape *t, double x) {
    wg_id id = WG_NONE;
    OK(wg_constant(t, WG_F64, &x, true, &id));
    return id;
}
static wg_id op1(wg_tape *t, int op, wg_id a) {
    wg_id out = WG_NONE;
    OK(wg_append(t, op, 1, &a, 0, NULL, &out));
    return out;
}
static wg_id op2(wg_tape *t, int op, wg_id a, wg_id b) {
    wg_id out = WG_NONE;
    OK(wg_append(t, op, 2, (wg_id[]){a, b}, 0, NULL, &out));
    return out;
}
static wg_id sum_all(wg_tape *t, wg_id a) {
    wg_node_info info;
    wg_id out = WG_NONE;
    OK(wg_node(t, a, &info));
    OK(wg_append(t, WG_sum, 1, &a, 2, (int64_t[]){(1 << info.ndim) - 1, 0}, &out));
    return out;
}
static double value(wg_tape *t, wg_id id) {
    double x = NAN;
    OK(wg_read(t, id, &x));
    return x;
}
static wg_id gradient(wg_tape *t, wg_id z, wg_id x) {
    wg_id one = number(t, 1), g = WG_NONE;
    OK(wg_vjp(t, 1, &z, &one, 1, &x, false, &g));
    return g;
}

/* Rufflewind, "Reverse-mode automatic differentiation: a tutorial" */
static void test_article(void) {
    wg_tape *t = wg_tape_new(false);
    wg_id x = scalar(t, 0.5), y = scalar(t, 4.2), one = number(t, 1), zero = number(t, 0), g[2], z_dot;
    wg_id z = op2(t, WG_add, op2(t, WG_mul, x, y), op1(t, WG_sin, x));
    CHECK(fabs(value(t, z) - 2.579425538604203) < 1e-15);
    OK(wg_vjp(t, 1, &z, &one, 2, (wg_id[]){x, y}, true, g));
    CHECK(fabs(value(t, g[0]) - 5.077582561890373) < 1e-15);
    CHECK(value(t, g[1]) == 0.5);
    OK(wg_jvp(t, 2, (wg_id[]){x, y}, (wg_id[]){one, zero}, 1, &z, &z_dot));
    CHECK(fabs(value(t, z_dot) - 5.077582561890373) < 1e-15);
    OK(wg_verify(t));
    wg_tape_release(t);
}

static void test_higher_orders(void) { /* tanh, by reverse over reverse over reverse */
    wg_tape *t = wg_tape_new(false);
    wg_id x = scalar(t, 0.3);
    wg_id y = op1(t, WG_tanh, x);
    double v = tanh(0.3), s = 1 - v * v;
    wg_id g1 = gradient(t, y, x), g2 = gradient(t, g1, x), g3 = gradient(t, g2, x);
    NEAR(value(t, g1), s);
    NEAR(value(t, g2), -2 * v * s);
    NEAR(value(t, g3), s * (6 * v * v - 2));
    wg_id one = number(t, 1), forward;
    OK(wg_jvp(t, 1, &x, &one, 1, &g1, &forward));
    NEAR(value(t, forward), -2 * v * s);
    OK(wg_verify(t));
    wg_tape_release(t);
}

static void test_matmul_broadcast(void) {
    wg_tape *t = wg_tape_new(false);
    double a[6] = {1, 2, 3, 4, 5, 6}, b[6] = {1, -1, 2, 0.5, -2, 1}, c[2] = {0.1, 0.2}, got[6];
    wg_id x = leaf(t, 2, (int64_t[]){2, 3}, a), w = leaf(t, 2, (int64_t[]){3, 2}, b),
          bias = leaf(t, 1, (int64_t[]){2}, c);
    wg_id y = op2(t, WG_add, op2(t, WG_matmul, x, w), bias), z = sum_all(t, op1(t, WG_square, y)), one = number(t, 1),
          g[3];
    OK(wg_read(t, y, got)); /* x w = [[-1, 3], [2, 4.5]] */
    NEAR(got[0], -1 + 0.1);
    NEAR(got[3], 4.5 + 0.2);
    OK(wg_vjp(t, 1, &z, &one, 3, (wg_id[]){x, w, bias}, true, g));
    OK(wg_read(t, g[2], got));
    NEAR(got[0], 2 * (-0.9 + 2.1));
    NEAR(got[1], 2 * (3.2 + 4.7));
    OK(wg_read(t, g[1], got)); /* x^T (2 y) */
    NEAR(got[0], 2 * (1 * -0.9 + 4 * 2.1));
    OK(wg_read(t, g[0], got)); /* (2 y) w^T */
    NEAR(got[0], 2 * (-0.9 * 1 + 3.2 * -1));
    OK(wg_verify(t));
    wg_tape_release(t);
}

static void test_slices_accumulate(void) { /* sum of x[i] * x[i + 1]: every slice writes into one cotangent */
    enum { N = 100 };
    wg_tape *t = wg_tape_new(false);
    double v[N], g_out[N];
    for (int i = 0; i < N; i++) v[i] = i;
    wg_id x = leaf(t, 1, (int64_t[]){N}, v), z = number(t, 0), one = number(t, 1), g;
    for (int i = 0; i + 1 < N; i++) {
        wg_id left, right;
        OK(wg_append(t, WG_slice, 1, &x, 3, (int64_t[]){i, 1, 1}, &left));
        OK(wg_append(t, WG_slice, 1, &x, 3, (int64_t[]){i + 1, 1, 1}, &right));
        z = op2(t, WG_add, z, sum_all(t, op2(t, WG_mul, left, right)));
    }
    OK(wg_vjp(t, 1, &z, &one, 1, &x, true, &g));
    OK(wg_read(t, g, g_out));
    CHECK(g_out[0] == 1 && g_out[50] == 100 && g_out[N - 1] == N - 2);
    wg_tape_release(t);
}

/* loss(w, x) = sum(tanh(x @ w)^2) on an abstract tape; outputs the loss and its gradient by w */
static wg_tape *loss_tape(void) {
    wg_tape *t = wg_tape_new(true);
    wg_id w, x, g, out[2];
    OK(wg_input(t, WG_F64, 2, (int64_t[]){3, 2}, false, &w));
    OK(wg_input(t, WG_F64, 2, (int64_t[]){4, 3}, false, &x));
    out[0] = sum_all(t, op1(t, WG_square, op1(t, WG_tanh, op2(t, WG_matmul, x, w))));
    g = gradient(t, out[0], w);
    out[1] = g;
    OK(wg_tape_set_outputs(t, 2, out));
    OK(wg_verify(t));
    return t;
}

static void test_program_and_call(void) {
    double w[6], x[12], loss, g[6], loss2, h = 1e-6;
    for (int i = 0; i < 6; i++) w[i] = 0.1 * (i - 2);
    for (int i = 0; i < 12; i++) x[i] = 0.3 * ((i * 7) % 5 - 2);
    wg_tape *child = loss_tape();
    wg_program *p = NULL;
    OK(wg_program_new(child, NULL, NULL, &p));
    OK(wg_program_run(p, (void *[]){w, x}, (void *[]){&loss, g}, NULL, 0));
    for (int i = 0; i < 6; i++) { /* central differences */
        double up, down, dummy[6], keep = w[i];
        w[i] = keep + h;
        OK(wg_program_run(p, (void *[]){w, x}, (void *[]){&up, dummy}, NULL, 0));
        w[i] = keep - h;
        OK(wg_program_run(p, (void *[]){w, x}, (void *[]){&down, dummy}, NULL, 0));
        w[i] = keep;
        CHECK(fabs((up - down) / (2 * h) - g[i]) < 1e-8);
    }
    wg_tape *t = wg_tape_new(false); /* the same as a call on an eager tape, and its derivative */
    wg_id wv = leaf(t, 2, (int64_t[]){3, 2}, w), xv = leaf(t, 2, (int64_t[]){4, 3}, x), first, one = number(t, 1), gw;
    OK(wg_call(t, child, 2, (wg_id[]){wv, xv}, &first));
    loss2 = value(t, first);
    CHECK(loss2 == loss);
    double through[6];
    OK(wg_vjp(t, 1, &first, &one, 1, &wv, true, &gw));
    OK(wg_read(t, gw, through));
    for (int i = 0; i < 6; i++) NEAR(through[i], g[i]);
    wg_id gg = first + 1, z = sum_all(t, op1(t, WG_square, gg)), hess, tangent; /* order two through the call */
    OK(wg_vjp(t, 1, &z, &one, 1, &wv, false, &hess));
    OK(wg_jvp(t, 1, &wv, &wv, 1, &gg, &tangent));
    OK(wg_verify(t));
    wg_tape_release(t);
    wg_program_release(p);
    wg_tape_release(child);
}

static void test_donation(void) { /* (x, y) -> (x + y, x): both buffers given back */
    wg_tape *t = wg_tape_new(true);
    wg_id x, y;
    OK(wg_input(t, WG_F64, 1, (int64_t[]){3}, false, &x));
    OK(wg_input(t, WG_F64, 1, (int64_t[]){3}, false, &y));
    OK(wg_tape_set_outputs(t, 2, (wg_id[]){op2(t, WG_add, x, y), x}));
    wg_program *p = NULL;
    OK(wg_program_new(t, (int32_t[]){0, 1}, NULL, &p));
    double a[3] = {1, 2, 3}, b[3] = {10, 20, 30};
    OK(wg_program_run(p, (void *[]){a, b}, (void *[]){a, b}, NULL, 0));
    CHECK(a[0] == 11 && a[2] == 33 && b[0] == 1 && b[2] == 3);
    wg_program_release(p);
    OK(wg_tape_set_outputs(t, 2, (wg_id[]){y, x})); /* a swap */
    OK(wg_program_new(t, (int32_t[]){0, 1}, NULL, &p));
    OK(wg_program_run(p, (void *[]){a, b}, (void *[]){a, b}, NULL, 0));
    CHECK(a[0] == 1 && a[2] == 3 && b[0] == 11 && b[2] == 33);
    wg_program_release(p);
    wg_tape_release(t);
}

/* Inputs (37, 41) with any strides, one read by steps of their own, one by a region as well: as in C order. */
static void test_strided_inputs(void) {
    enum { ROWS = 37, COLUMNS = 41, N = ROWS * COLUMNS, N_OUT = 5 };
    static const int64_t cases[][3] = {/* strides, elements before the first one */
                                       {1, ROWS, 0},
                                       {-COLUMNS, -1, N - 1},
                                       {2 * COLUMNS, 2, 0},
                                       {COLUMNS, 1, 0},
                                       {1, -ROWS, (COLUMNS - 1) * ROWS},
                                       {0, 1, 0},
                                       {1, 0, 0},
                                       {3, 2, 0}};
    wg_tape *t = wg_tape_new(true);
    wg_id a, b, turned, flat, both;
    OK(wg_input(t, WG_F64, 2, (int64_t[]){ROWS, COLUMNS}, false, &a));
    OK(wg_input(t, WG_F64, 2, (int64_t[]){ROWS, COLUMNS}, false, &b));
    OK(wg_append(t, WG_transpose, 1, &a, 2, (int64_t[]){1, 0}, &turned));
    OK(wg_append(t, WG_reshape, 1, &a, 1, (int64_t[]){N}, &flat));
    OK(wg_append(t, WG_concatenate, 2, (wg_id[]){b, a}, 1, (int64_t[]){0}, &both));
    const wg_id region = op2(t, WG_mul, op1(t, WG_exp, b), b);
    OK(wg_tape_set_outputs(t, N_OUT, (wg_id[]){op1(t, WG_neg, a), turned, flat, both, region}));
    for (int i = 0; i < (int)(sizeof cases / sizeof *cases); i++) {
        const int64_t *s = cases[i], reach = llabs(s[0]) * (ROWS - 1) + llabs(s[1]) * (COLUMNS - 1);
        double *x = malloc((size_t)(reach + 1) * sizeof *x), ordered[N], *found[2][N_OUT];
        for (int64_t k = 0; k <= reach; k++) x[k] = (double)(k % 1009) / 500 - 1;
        for (int k = 0; k < N; k++) ordered[k] = x[s[2] + k / COLUMNS * s[0] + k % COLUMNS * s[1]];
        for (int order = 0; order < 2; order++) {
            double *in = order ? x + s[2] : ordered;
            wg_program *p = NULL;
            for (int k = 0; k < N_OUT; k++) found[order][k] = malloc((k == 3 ? 2 : 1) * N * sizeof(double));
            OK(wg_program_new(t, NULL, order ? (const int64_t *[]){s, s} : NULL, &p));
            OK(wg_program_run(p, (void *[]){in, in}, (void **)found[order], NULL, 0));
            wg_program_release(p);
        }
        for (int k = 0; k < N_OUT; k++) {
            CHECK(memcmp(found[0][k], found[1][k], (k == 3 ? 2 : 1) * N * sizeof(double)) == 0);
            free(found[0][k]), free(found[1][k]);
        }
        free(x);
    }
    wg_tape_release(t);
}

static void test_errors(void) {
    wg_tape *t = wg_tape_new(false);
    double v[6] = {0};
    wg_id a = leaf(t, 2, (int64_t[]){2, 3}, v), b = leaf(t, 2, (int64_t[]){2, 3}, v), out;
    uint32_t len = wg_tape_len(t);
    CHECK(wg_append(t, WG_matmul, 2, (wg_id[]){a, b}, 0, NULL, &out) == WG_VALUE_ERROR);
    CHECK(strstr(wg_tape_error(t), "3 columns against 2 rows") != NULL);
    CHECK(wg_append(t, WG_broadcast, 1, &a, 2, (int64_t[]){(int64_t)1 << 40, (int64_t)1 << 40}, &out) ==
          WG_VALUE_ERROR);
    CHECK(wg_append(t, WG_slice, 1, &a, 6, (int64_t[]){0, 1, 3, 0, 1, 3}, &out) == WG_INDEX_ERROR);
    CHECK(wg_append(t, WG_slice, 1, &a, 6, (int64_t[]){0, INT64_MIN, 2, 0, 1, 3}, &out) == WG_INDEX_ERROR);
    CHECK(wg_append(t, WG_sin, 1, &(wg_id){12345}, 0, NULL, &out) == WG_RUNTIME_ERROR);
    CHECK(wg_tape_len(t) == len);
    int64_t index = 2;
    wg_id i;
    OK(wg_leaf(t, WG_I64, 0, NULL, NULL, &index, NULL, NULL, &i));
    CHECK(wg_append(t, WG_gather, 2, (wg_id[]){a, i}, 0, NULL, &out) == WG_INDEX_ERROR);
    OK(wg_verify(t));
    wg_tape_release(t);
}

static void test_views_and_weak(void) {
    wg_tape *t = wg_tape_new(false);
    float v[6] = {1, 2, 3, 4, 5, 6}, got[6];
    wg_id a, turned, flat, y;
    OK(wg_leaf(t, WG_F32, 2, (int64_t[]){2, 3}, (int64_t[]){3, 1}, v, NULL, NULL, &a));
    OK(wg_append(t, WG_transpose, 1, &a, 2, (int64_t[]){1, 0}, &turned));
    OK(wg_append(t, WG_reshape, 1, &turned, 1, (int64_t[]){6}, &flat)); /* has to copy */
    y = op2(t, WG_mul, flat, number(t, 2));                             /* a Python float: stays float32 */
    wg_node_info info;
    OK(wg_node(t, y, &info));
    CHECK(info.dtype == WG_F32 && info.ndim == 1);
    OK(wg_read(t, y, got));
    CHECK(got[0] == 2 && got[1] == 8 && got[2] == 4 && got[5] == 12);
    OK(wg_verify(t));
    wg_tape_release(t);
}

static void test_plans_that_do_not_fit(void) { /* four intermediates of 2^62 bytes each, read from their ends */
    wg_tape *t = wg_tape_new(true);
    wg_id x, y, z;
    const int64_t size = (int64_t)1 << 59;
    OK(wg_input(t, WG_F64, 0, NULL, false, &x));
    OK(wg_append(t, WG_broadcast, 1, &x, 1, &size, &y));
    wg_id parts[4];
    for (int i = 0; i < 4; i++) {
        parts[i] = op2(t, WG_mul, y, number(t, i + 2));
        OK(wg_append(t, WG_slice, 1, &parts[i], 3, (int64_t[]){size - 1, -1, size}, &parts[i]));
    }
    z = op2(t, WG_add, op2(t, WG_add, parts[0], parts[1]), op2(t, WG_add, parts[2], parts[3]));
    z = sum_all(t, z);
    OK(wg_tape_set_outputs(t, 1, &z));
    wg_program *p = NULL;
    CHECK(wg_program_new(t, NULL, NULL, &p) == WG_MEMORY_ERROR && p == NULL);
    CHECK(strstr(wg_tape_error(t), "intermediates") != NULL);
    wg_tape_release(t);
}

static void count_release(void *count) { ++*(int *)count; }

static void test_borrowed_memory(void) { /* read in place, released once: when the last view of it has gone */
    wg_tape *t = wg_tape_new(false);
    double x[6] = {1, 2, 3, 4, 5, 6}, got[3];
    int released = 0;
    wg_id a, column;
    OK(wg_leaf(t, WG_F64, 2, (int64_t[]){2, 3}, (int64_t[]){3, 1}, x, count_release, &released, &a));
    OK(wg_append(t, WG_slice, 1, &a, 6, (int64_t[]){1, -1, 2, 2, 1, 1}, &column));
    x[5] = 60;
    OK(wg_read(t, column, got));
    CHECK(got[0] == 60 && got[1] == 3 && released == 0);
    wg_tape_pop(t, column);
    CHECK(released == 0);
    wg_tape_pop(t, 0);
    CHECK(released == 1);
    wg_tape_release(t);
    CHECK(released == 1);
}

int main(void) {
    char message[200] = "";
    if (wg_kernels_init(getenv("WENGERT_ISA"), message, sizeof message) != WG_OK)
        return fprintf(stderr, "%s\n", message), 2;
    test_article();
    test_higher_orders();
    test_matmul_broadcast();
    test_slices_accumulate();
    test_program_and_call();
    test_donation();
    test_strided_inputs();
    test_errors();
    test_views_and_weak();
    test_borrowed_memory();
    test_plans_that_do_not_fit();
    return report();
}

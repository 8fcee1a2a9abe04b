/* Random programs, run eagerly and replayed with random donation: the same numbers.  Made for the sanitizers: every
 * plan that overlaps what it must not, every stale pointer and every leak shows here.  One program in eight works on
 * arrays large enough that its regions have several blocks, groups of rows and parts: main() sees to it. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "program/program.h"

enum { MAX_VALUES = 128, N_INPUTS = 3, MAX_OUT = 6, PARTS = 3 };
typedef struct { /* of a program's inputs: (rows, cols) twice, and (cols, last) */
    int64_t rows, cols, last;
} extents;
static const extents small = {3, 4, 3}, large[] = {{700, 6, 6}, {1300, 2, 2}, {150, 40, 40}, {36, 250, 3}};
static extents dims;
static unsigned seed;
static uint64_t state;
static struct { /* regions, over all programs */
    int blocks, groups, product_groups, parts;
} reached;

static int pick(int n) { /* xorshift64* (Vigna 2016) */
    state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
    return (int)((state * 0x2545F4914F6CDD1Du >> 33) % (uint64_t)n);
}

typedef struct { /* one tape being written, and its float nodes */
    wg_tape *t;
    wg_id values[MAX_VALUES];
    int n;
} writer;

static void keep(writer *w, wg_id id) {
    if (w->n < MAX_VALUES) w->values[w->n++] = id;
}

static int64_t most_elements(void) { return dims.rows * dims.cols; }

/* What the tangents of a batch go through: x along several directions, times a matrix, and summed over these. */
static wg_status along_directions(wg_tape *t, wg_id x, wg_id w, wg_id *out) {
    const int64_t rows = dims.rows, k = dims.cols, n = dims.last;
    wg_id y;
    WG_TRY(wg_append(t, WG_reshape, 1, &x, 3, (int64_t[]){rows, 1, k}, &y));
    WG_TRY(wg_append(t, WG_broadcast, 1, &y, 3, (int64_t[]){rows, PARTS, k}, &y));
    WG_TRY(wg_append(t, WG_sin, 1, &y, 0, NULL, &y));
    WG_TRY(wg_append(t, WG_reshape, 1, &y, 2, (int64_t[]){rows * PARTS, k}, &y));
    WG_TRY(wg_append(t, WG_matmul, 2, (wg_id[]){y, w}, 0, NULL, &y));
    WG_TRY(wg_append(t, WG_reshape, 1, &y, 3, (int64_t[]){rows, PARTS, n}, &y));
    return wg_append(t, WG_sum, 1, &y, 2, (int64_t[]){1 << 1, 0}, out);
}

/* One random op; most attempts fit, those that do not must leave the tape as it was. */
static void random_op(writer *w) {
    wg_id a = w->values[pick(w->n)], b = w->values[pick(w->n)], out = WG_NONE, index;
    wg_node_info info;
    if (wg_node(w->t, a, &info) != WG_OK) return;
    int ndim = info.ndim, op;
    int64_t shape[4] = {0}, row;
    for (int i = 0; i < ndim; i++) shape[i] = info.shape[i];
    static const int unary[] = {WG_tanh,   WG_sin,     WG_exp,  WG_neg, WG_relu,
                                WG_square, WG_sigmoid, WG_copy, WG_abs, WG_gelu};
    static const int binary[] = {WG_add, WG_sub, WG_mul, WG_maximum, WG_zmul, WG_matmul};
    static const int folds[] = {WG_sum, WG_prod, WG_max, WG_logsumexp};
    switch (pick(13)) {
    case 0:
    case 1: (void)wg_append(w->t, unary[pick(10)], 1, &a, 0, NULL, &out); break;
    case 2:
    case 3:
        op = binary[pick(6)];
        if (wg_node(w->t, b, &info) != WG_OK) break;
        if (op == WG_matmul && ndim == 2 && info.ndim == 2 && shape[0] * info.shape[1] > most_elements()) break;
        (void)wg_append(w->t, op, 2, (wg_id[]){a, b}, 0, NULL, &out);
        break;
    case 4: (void)wg_append(w->t, folds[pick(4)], 1, &a, 2, (int64_t[]){pick(1 << ndim), pick(2)}, &out); break;
    case 5:
        if (ndim == 2)
            (void)wg_append(w->t, WG_transpose, 1, &a, 2, (int64_t[]){1, 0}, &out);
        else if (ndim == 0)
            (void)wg_append(w->t, WG_broadcast, 1, &a, 2, (int64_t[]){dims.rows, dims.cols}, &out);
        break;
    case 6:
        if (ndim == 2) (void)wg_append(w->t, WG_reshape, 1, &a, 1, (int64_t[]){shape[0] * shape[1]}, &out);
        break;
    case 7:
        if (ndim != 2 || !shape[0] || !shape[1]) break;
        (void)wg_append(w->t, WG_slice, 1, &a, 6, (int64_t[]){shape[0] - 1, -1, shape[0], pick((int)shape[1]), 1, 1},
                        &out);
        break;
    case 8:
        if (ndim) (void)wg_append(w->t, WG_recurrence, 2, (wg_id[]){a, b}, 2, (int64_t[]){pick(ndim), pick(2)}, &out);
        break;
    case 9: /* sorted along the first axis: rows by the order of the first column */
        if (ndim < 1 || !shape[0] || (ndim == 2 && !shape[1])) break;
        if (wg_append(w->t, WG_argsort, 1, &a, 3, (int64_t[]){0, pick(2), 0}, &index) != WG_OK) break;
        if (ndim == 2 && wg_append(w->t, WG_slice, 1, &index, 6, (int64_t[]){0, 1, shape[0], 0, 1, 1}, &index) != WG_OK)
            break;
        if (wg_append(w->t, WG_reshape, 1, &index, 1, shape, &index) != WG_OK) break;
        (void)wg_append(w->t, WG_gather, 2, (wg_id[]){a, index}, 0, NULL, &out);
        break;
    case 10: /* rows of b at places that the order of its elements names, several at one place */
        if (ndim != 2 || shape[0] < 2 || !shape[1]) break;
        if (wg_node(w->t, b, &info) != WG_OK || info.ndim != 2 || memcmp(info.shape, shape, 16) != 0) break;
        if (wg_append(w->t, WG_argmin, 1, &a, 1, (int64_t[]){0}, &index) != WG_OK) break;
        if (wg_append(w->t, WG_gather, 2, (wg_id[]){a, index}, 0, NULL, &out) != WG_OK) break;
        (void)wg_append(w->t, WG_index_set, 3, (wg_id[]){b, index, out}, 0, NULL, &out);
        break;
    case 11:
        if (ndim == 2 && shape[0] == dims.rows && shape[1] == dims.cols)
            (void)along_directions(w->t, a, w->values[N_INPUTS - 1], &out);
        break;
    default:
        if (ndim < 1 || !shape[0]) break;
        row = pick((int)(2 * shape[0])) - shape[0]; /* also from the end */
        if (wg_constant(w->t, WG_I64, &row, false, &index) != WG_OK) break;
        (void)wg_append(w->t, WG_gather, 2, (wg_id[]){a, index}, 0, NULL, &out);
    }
    if (out != WG_NONE) keep(w, out);
}

static void write_program(writer *w, wg_id *outputs, int n_out) {
    for (int i = 0; i < 25; i++) random_op(w);
    /* a scalar of everything, its gradient, and once more */
    wg_id z = w->values[0], part;
    double one = 1;
    wg_node_info info;
    for (int i = 0; i < w->n; i++) {
        CHECK(wg_node(w->t, w->values[i], &info) == WG_OK);
        CHECK(wg_append(w->t, WG_tanh, 1, &w->values[i], 0, NULL, &part) == WG_OK); /* keeps numbers tame */
        CHECK(wg_append(w->t, WG_sum, 1, &part, 2, (int64_t[]){(1 << info.ndim) - 1, 0}, &part) == WG_OK);
        if (i == 0)
            z = part;
        else
            CHECK(wg_append(w->t, WG_add, 2, (wg_id[]){z, part}, 0, NULL, &z) == WG_OK);
    }
    wg_id seed_id, g[N_INPUTS];
    CHECK(wg_constant(w->t, WG_F64, &one, false, &seed_id) == WG_OK);
    CHECK(wg_vjp(w->t, 1, &z, &seed_id, N_INPUTS, w->values, false, g) == WG_OK);
    keep(w, z);
    for (int i = 0; i < N_INPUTS; i++)
        if (g[i] != WG_NONE) keep(w, g[i]);
    if (g[0] != WG_NONE && wg_jvp(w->t, 1, w->values, &g[0], 1, &g[0], &part) == WG_OK && part != WG_NONE)
        keep(w, part);
    CHECK(wg_verify(w->t) == WG_OK);
    for (int k = 0; k < n_out; k++) outputs[k] = w->values[k < n_out / 2 ? pick(w->n) : w->n - 1 - pick(5)];
}

/* The same bytes, but for what taking sums in another order can do: a plan may turn an operand of a product, or sum
 * rows in blocks.  Sums here have at most rows * cols terms, a program is some 100 roundings deep: of small arrays 1e3
 * of them, and the bound leaves room for ten times as many. */
static bool agree(const void *replayed, const void *eager, size_t bytes) {
    const double *x = replayed, *y = eager;
    if (memcmp(x, y, bytes) == 0) return true;
    for (size_t i = 0; i < bytes / sizeof *x; i++) {
        const double bound = 1e3 * (double)most_elements() * DBL_EPSILON * (1 + fabs(y[i]));
        const bool same = x[i] == y[i] || (isnan(x[i]) && isnan(y[i]));
        if (!same && !(fabs(x[i] - y[i]) <= bound)) return false;
    }
    return true;
}

/* Which ways of running regions the program takes. */
static void note(const wg_program *p) {
    for (uint32_t i = 0; i < p->n_ranges; i++) {
        const wg_region *r = p->regions[i];
        bool product = false, parts = false;
        for (uint32_t k = 0; k < r->n_code; k++) {
            const bool multiplies = !r->code[k].gathers && r->code[k].role == WG_ROLE_PRODUCT;
            product |= multiplies;
            parts |= multiplies && r->details[r->code[k].detail].extent > 1;
        }
        reached.blocks += r->rows > r->groups * r->block;
        reached.groups += r->groups > 2;
        reached.product_groups += product && r->groups > 2;
        reached.parts += parts;
    }
}

static void run_one(void) {
    const int64_t shapes[N_INPUTS][2] = {{dims.rows, dims.cols}, {dims.rows, dims.cols}, {dims.cols, dims.last}};
    double *data[N_INPUTS], *eager[MAX_OUT], *replayed[MAX_OUT];
    for (int i = 0; i < N_INPUTS; i++) {
        const int64_t size = shapes[i][0] * shapes[i][1];
        if (!(data[i] = malloc((size_t)size * sizeof(double)))) exit(2);
        for (int64_t j = 0; j < size; j++) data[i][j] = (pick(2001) - 1000) / 500.0;
    }
    uint64_t start = state;
    int n_out = 1 + pick(MAX_OUT);
    wg_id outputs[2][MAX_OUT];
    writer w[2] = {{.t = wg_tape_new(false)}, {.t = wg_tape_new(true)}};
    for (int k = 0; k < 2; k++) {
        state = start;
        for (int i = 0; i < N_INPUTS; i++) {
            wg_id id = WG_NONE;
            if (k == 0) {
                CHECK(wg_leaf(w[0].t, WG_F64, 2, shapes[i], (int64_t[]){shapes[i][1], 1}, data[i], NULL, NULL, &id) ==
                      WG_OK);
                CHECK(wg_append(w[0].t, WG_copy, 1, &id, 0, NULL, &id) == WG_OK);
            } else {
                CHECK(wg_input(w[1].t, WG_F64, 2, shapes[i], false, &id) == WG_OK);
            }
            keep(&w[k], id);
        }
        write_program(&w[k], outputs[k], n_out);
    }
    size_t bytes[MAX_OUT];
    int32_t alias[MAX_OUT];
    bool given[N_INPUTS] = {false};
    for (int k = 0; k < n_out; k++) {
        wg_node_info info;
        CHECK(wg_node(w[0].t, outputs[0][k], &info) == WG_OK);
        bytes[k] = 8;
        for (int i = 0; i < info.ndim; i++) bytes[k] *= (size_t)info.shape[i];
        eager[k] = malloc(bytes[k] + 1), replayed[k] = malloc(bytes[k] + 1);
        if (!eager[k] || !replayed[k]) exit(2);
        if (info.has_value) CHECK(wg_read(w[0].t, outputs[0][k], eager[k]) == WG_OK);
        alias[k] = -1;
        int slot = pick(N_INPUTS);
        bool fits = info.ndim == 2 && info.shape[0] == shapes[slot][0] && info.shape[1] == shapes[slot][1];
        if (fits && !given[slot] && pick(2)) alias[k] = slot, given[slot] = true;
    }
    wg_program *p = NULL;
    CHECK(wg_tape_set_outputs(w[1].t, n_out, outputs[1]) == WG_OK);
    CHECK(wg_program_new(w[1].t, alias, NULL, &p) == WG_OK);
    void *in[N_INPUTS], *out[MAX_OUT];
    for (int i = 0; i < N_INPUTS; i++) in[i] = data[i];
    for (int k = 0; k < n_out; k++) out[k] = alias[k] >= 0 ? (void *)data[alias[k]] : replayed[k];
    CHECK(p && wg_program_run(p, in, out, NULL, 0) == WG_OK);
    for (int k = 0; k < n_out; k++) CHECK(agree(out[k], eager[k], bytes[k]));
    note(p);
    for (int i = 0; i < N_INPUTS; i++) free(data[i]);
    for (int k = 0; k < n_out; k++) free(eager[k]), free(replayed[k]);
    wg_program_release(p);
    wg_tape_release(w[0].t);
    wg_tape_release(w[1].t);
}

int main(int argc, char **argv) {
    char message[200];
    if (wg_kernels_init(getenv("WENGERT_ISA"), message, sizeof message) != WG_OK) return 2;
    unsigned first = argc > 1 ? (unsigned)atoi(argv[1]) : 1, count = argc > 2 ? (unsigned)atoi(argv[2]) : 400;
    for (seed = first; seed < first + count; seed++) {
        state = 0x9E3779B97F4A7C15u * (seed + 1);
        int before = failed;
        dims = seed % 8 ? small : large[seed / 8 % 4];
        run_one();
        if (failed > before) fprintf(stderr, "that was seed %u\n", seed);
    }
    CHECK(argc > 1 || (reached.blocks && reached.groups && reached.product_groups && reached.parts));
    printf("regions of several blocks: %d, of many groups: %d, those with products: %d; with parts: %d\n",
           reached.blocks, reached.groups, reached.product_groups, reached.parts);
    return report();
}

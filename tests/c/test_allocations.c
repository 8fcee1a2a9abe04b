/* A replay allocates nothing, on one thread and on several.  The linker sends every call of the core to those below
 * (Makefile), which count and pass it on. */
#include <stdatomic.h>
#include <stdlib.h>

#include "check.h"
#include "wengert.h"

void *__real_malloc(size_t), *__real_calloc(size_t, size_t), *__real_realloc(void *, size_t);
void *__real_aligned_alloc(size_t, size_t);
void *__wrap_malloc(size_t), *__wrap_calloc(size_t, size_t), *__wrap_realloc(void *, size_t);
void *__wrap_aligned_alloc(size_t, size_t);

static atomic_int allocations;

void *__wrap_malloc(size_t size) { return atomic_fetch_add(&allocations, 1), __real_malloc(size); }
void *__wrap_calloc(size_t n, size_t size) { return atomic_fetch_add(&allocations, 1), __real_calloc(n, size); }
void *__wrap_realloc(void *p, size_t size) { return atomic_fetch_add(&allocations, 1), __real_realloc(p, size); }
void *__wrap_aligned_alloc(size_t a, size_t n) { return atomic_fetch_add(&allocations, 1), __real_aligned_alloc(a, n); }

enum { MOST = 4 };

static wg_id input(wg_tape *t, int ndim, const int64_t *shape) {
    wg_id id = 0;
    OK(wg_input(t, WG_F32, ndim, shape, false, &id));
    return id;
}

static wg_id append(wg_tape *t, int op, int n_in, const wg_id *in, int n_attr, const int64_t *attrs) {
    wg_id id = 0;
    OK(wg_append(t, op, n_in, in, n_attr, attrs, &id));
    return id;
}

/* w - sum((tanh(x w + b) v)^2)' by w: the step of a net with n inputs, n hidden units and two outputs; w is donated. */
static void net(wg_tape *t, int64_t rows, int64_t n) {
    const wg_id w = input(t, 2, (int64_t[]){n, n}), x = input(t, 2, (int64_t[]){rows, n}),
                b = input(t, 1, (int64_t[]){n}), v = input(t, 2, (int64_t[]){n, 2});
    const wg_id inner = append(t, WG_copy, 1, &w, 0, NULL);
    const wg_id product = append(t, WG_matmul, 2, (wg_id[]){x, inner}, 0, NULL);
    const wg_id sum = append(t, WG_add, 2, (wg_id[]){product, b}, 0, NULL);
    const wg_id hidden = append(t, WG_tanh, 1, &sum, 0, NULL);
    const wg_id out = append(t, WG_matmul, 2, (wg_id[]){hidden, v}, 0, NULL);
    const wg_id squares = append(t, WG_square, 1, &out, 0, NULL);
    const wg_id loss = append(t, WG_sum, 1, &squares, 2, (int64_t[]){3, 0});
    wg_id one = 0, gradient = 0;
    OK(wg_constant(t, WG_F32, &(float){1}, false, &one));
    OK(wg_vjp(t, 1, &loss, &one, 1, &inner, true, &gradient));
    const wg_id next = append(t, WG_sub, 2, (wg_id[]){w, gradient}, 0, NULL);
    OK(wg_tape_set_outputs(t, 1, &next));
}

/* Rows in the order of y, a recurrence over them, and its results added to rows. */
static void arrays(wg_tape *t, int64_t rows, int64_t n) {
    const wg_id x = input(t, 2, (int64_t[]){rows, n}), y = input(t, 1, (int64_t[]){rows});
    const wg_id order = append(t, WG_argsort, 1, &y, 3, (int64_t[]){0, 0, 0});
    const wg_id sorted = append(t, WG_gather, 2, (wg_id[]){x, order}, 0, NULL);
    const wg_id sums = append(t, WG_recurrence, 2, (wg_id[]){x, sorted}, 2, (int64_t[]){0, 0});
    const wg_id back = append(t, WG_index_add, 3, (wg_id[]){x, order, sums}, 0, NULL);
    OK(wg_tape_set_outputs(t, 1, &back));
}

/* h = tanh(h + x w), row by row: h of shape (1, n), x of (rows, 1, n). */
static void loop(wg_tape *t, int64_t rows, int64_t n) {
    wg_tape *body = wg_tape_new(true);
    const wg_id h = input(body, 2, (int64_t[]){1, n}), entry = input(body, 2, (int64_t[]){1, n}),
                inner = input(body, 2, (int64_t[]){n, n});
    const wg_id product = append(body, WG_matmul, 2, (wg_id[]){entry, inner}, 0, NULL);
    const wg_id sum = append(body, WG_add, 2, (wg_id[]){h, product}, 0, NULL);
    const wg_id next = append(body, WG_tanh, 1, &sum, 0, NULL);
    OK(wg_tape_set_outputs(body, 1, &next));
    const wg_id carry = input(t, 2, (int64_t[]){1, n}), x = input(t, 3, (int64_t[]){rows, 1, n}),
                w = input(t, 2, (int64_t[]){n, n});
    wg_id first = 0;
    OK(wg_scan(t, body, 1, 1, rows, false, -1, 0, 3, (wg_id[]){carry, x, w}, &first));
    OK(wg_tape_set_outputs(t, 1, &first));
    wg_tape_release(body);
}

static int64_t elements(wg_tape *t, wg_id id) {
    wg_node_info info;
    OK(wg_node(t, id, &info));
    int64_t n = 1;
    for (int d = 0; d < info.ndim; d++) n *= info.shape[d];
    return n;
}

static void test_replays(void (*record)(wg_tape *, int64_t, int64_t), bool donate, int64_t rows, int64_t n) {
    wg_tape *t = wg_tape_new(true);
    record(t, rows, n);
    char message[200];
    void *in[MOST] = {NULL}, *out[MOST] = {NULL};
    for (uint32_t i = 0; i < wg_tape_n_inputs(t); i++) {
        const int64_t length = elements(t, wg_tape_inputs(t)[i]);
        float *values = in[i] = malloc((size_t)length * sizeof *values);
        for (int64_t k = 0; values && k < length; k++) values[k] = (float)(k * 37 % 101 - 50) / 1e4f;
    }
    out[0] = donate ? in[0] : malloc((size_t)elements(t, wg_tape_outputs(t)[0]) * sizeof(float));
    for (int threads = 1; threads <= 3; threads++) {
        wg_program *p = NULL;
        OK(wg_set_num_threads(threads));
        OK(wg_program_new(t, (int32_t[]){donate ? 0 : -1}, NULL, &p));
        if (!p) break;
        OK(wg_program_run(p, in, out, message, sizeof message)); /* the pool may begin here */
        wg_repeat repeat = {.times = 20};
        const int before = atomic_load(&allocations);
        for (int i = 0; i < 20; i++) OK(wg_program_run(p, in, out, message, sizeof message));
        OK(wg_program_repeat(p, in, out, &repeat, message, sizeof message));
        CHECK(before > 0 && atomic_load(&allocations) == before);
        wg_program_release(p);
    }
    if (!donate) free(out[0]);
    for (int i = 0; i < MOST; i++) free(in[i]);
    wg_tape_release(t);
}

int main(void) {
    char message[200];
    if (wg_kernels_init(getenv("WENGERT_ISA"), message, sizeof message) != WG_OK) return 2;
    test_replays(net, true, 32, 8);   /* a region */
    test_replays(net, true, 64, 300); /* products that are steps */
    test_replays(net, false, 64, 300);
    test_replays(arrays, false, 500, 20);
    test_replays(loop, false, 30, 40);
    return report();
}

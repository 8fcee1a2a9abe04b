/* Eager tapes: a node runs when it is appended.  And one op without a tape. */
#include <fenv.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"

static wg_array array_of(wg_tape *t, wg_id id) {
    return (wg_array){.data = wg_data(t, id),
                      .shape = wg_shape(t, id),
                      .strides = wg_strides(t, id),
                      .ndim = wg_ndim(t, id),
                      .dtype = (wg_dtype)t->nodes[id].dtype};
}

static wg_status check_values(wg_tape *t, wg_id id) {
    const wg_id *in = wg_in(t, id);
    for (int k = 0; k < wg_n_in(t, id); k++)
        if (!(t->nodes[in[k]].flags & WG_FLAG_VALUE))
            return wg_fail(t, WG_RUNTIME_ERROR, "%s: node %u has no value any more; a transient sweep freed it",
                           wg_row(t->nodes[id].op)->name, in[k]);
    return WG_OK;
}

/* A value that lies in its node moves to a buffer, so that a view can refer to it. */
static wg_status move_to_buffer(wg_tape *t, wg_id id) {
    if (t->nodes[id].flags & WG_FLAG_VIEW) return WG_OK;
    wg_buffer *buffer = wg_buffer_new(sizeof t->nodes[id].value);
    if (!buffer) return wg_no_memory(t);
    memcpy(buffer->data, &t->nodes[id].value, sizeof t->nodes[id].value);
    return wg_set_view(t, id, buffer, 0, t->nodes[id].shape); /* all extents are 1: so may the strides be */
}

static wg_status run_view(wg_tape *t, wg_id id, bool *done) {
    wg_id x = t->nodes[id].in[0];
    int64_t offset, strides[WG_MAX_NDIM];
    *done = wg_view_op(t->nodes[id].op, wg_attr(t, id), wg_ndim(t, x), wg_shape(t, x), wg_strides(t, x), wg_ndim(t, id),
                       wg_shape(t, id), &offset, strides);
    if (!*done) return WG_OK;
    size_t itemsize = wg_itemsize((wg_dtype)t->nodes[id].dtype);
    if (wg_size(t, id) == 1 && itemsize <= sizeof t->nodes[id].value) { /* one element is copied: a loop over x[i] */
        memcpy(&t->nodes[id].value, wg_data(t, x) + offset * (int64_t)itemsize, itemsize);
        t->nodes[id].flags |= WG_FLAG_VALUE;
        return WG_OK;
    }
    WG_TRY(move_to_buffer(t, x));
    uint32_t stride_id = wg_intern(&t->vectors, wg_ndim(t, id), strides);
    if (stride_id == WG_NONE) return wg_no_memory(t);
    const wg_view *view = &t->views[t->nodes[x].value.view];
    wg_buffer *buffer = view->buffer;
    offset += view->offset;
    wg_buffer_retain(buffer);
    return wg_set_view(t, id, buffer, offset, stride_id);
}

/* Takes over operand 0's buffer where the sweep said that nobody else reads it. */
static bool steal(wg_tape *t, wg_id id) {
    wg_node_rec *node = &t->nodes[id], *base = &t->nodes[node->in[0]];
    if (!(node->flags & WG_FLAG_STEAL) || !(base->flags & WG_FLAG_VIEW)) return false;
    if (t->views[base->value.view].buffer->refs != 1) return false;
    wg_array x = array_of(t, node->in[0]);
    if (!wg_array_contiguous(&x)) return false;
    node->value.view = base->value.view;
    node->flags |= WG_FLAG_VALUE | WG_FLAG_VIEW;
    base->flags &= (uint8_t) ~(WG_FLAG_VALUE | WG_FLAG_VIEW);
    return true;
}

/* What could not be written over is still there, as the handles to it will find. */
static void give_back(wg_tape *t, wg_id id) {
    wg_node_rec *node = &t->nodes[id], *base = &t->nodes[node->in[0]];
    base->value.view = node->value.view;
    base->flags |= WG_FLAG_VALUE | WG_FLAG_VIEW;
    node->flags &= (uint8_t) ~(WG_FLAG_VALUE | WG_FLAG_VIEW);
}

static wg_status run_scalar(wg_tape *t, wg_id id, const wg_kernels *k) {
    wg_node_rec *node = &t->nodes[id];
    const wg_id *ids = wg_in(t, id);
    const void *in[3], *slots[4];
    const int n = wg_n_in(t, id);
    double params[WG_MAX_PARAMS];
    for (int i = 0; i < n; i++) in[i] = wg_data(t, ids[i]);
    wg_params(wg_n_attr(t, id), wg_attr(t, id), params);
    wg_map_operands(node->op, n, in, slots);
    wg_map_fn map = k->map[node->op][t->nodes[ids[node->op == WG_where]].dtype];
    if (!map)
        return wg_fail(t, WG_TYPE_ERROR, "%s is not offered for %s", wg_row(node->op)->name,
                       wg_dtype_name((wg_dtype)t->nodes[ids[0]].dtype));
    map(&node->value, slots, 1, params);
    node->flags |= WG_FLAG_VALUE;
    return WG_OK;
}

enum { FEW = 8 };

static wg_status no_room(wg_tape *t, wg_id id) {
    char shape[256];
    wg_shape_text(wg_ndim(t, id), wg_shape(t, id), shape, sizeof shape);
    return wg_fail(t, WG_MEMORY_ERROR, "%s: unable to allocate a result of shape %s and dtype %s",
                   wg_row(t->nodes[id].op)->name, shape, wg_dtype_name((wg_dtype)t->nodes[id].dtype));
}

static wg_status run_arrays(wg_tape *t, wg_id id, const wg_kernels *k) {
    const wg_id *in = wg_in(t, id);
    wg_array few[FEW], *operands = few;
    wg_step step = {.op = t->nodes[id].op, .n_in = wg_n_in(t, id)};
    uint32_t cap = 0;
    if (step.n_in > FEW) {
        operands = NULL;
        if (!wg_grow(&operands, &cap, (uint64_t)step.n_in, sizeof *operands)) return wg_no_memory(t);
    }
    bool stolen = steal(t, id);
    wg_status status = stolen || wg_alloc_value(t, id) ? WG_OK : no_room(t, id);
    if (status == WG_OK) {
        for (int i = 0; i < step.n_in; i++) operands[i] = array_of(t, in[i]);
        step.in = operands;
        step.out = array_of(t, id);
        if (stolen) operands[0] = step.out;
        step.n_attr = wg_n_attr(t, id), step.attrs = wg_attr(t, id);
        wg_prepare(k, &step);
        step.scratch = wg_scratch(t, step.need);
        status = step.scratch ? wg_execute(k, &step) : wg_no_memory(t);
        if (step.scratch && status != WG_OK) wg_explain(&step, status, t->error, sizeof t->error);
    }
    if (status != WG_OK && stolen) give_back(t, id);
    if (operands != few) free(operands);
    return status;
}

static void release_program(void *program) { wg_program_release(program); }

static wg_status program_of(wg_tape *t, wg_tape *child, wg_program **program) {
    if (!child->program) {
        wg_tape_adopt(child);
        wg_status status = wg_program_new(child, NULL, NULL, program);
        if (status != WG_OK) return wg_fail(t, status, "%s", child->error);
        child->program = *program;
        child->program_release = release_program;
    }
    *program = child->program;
    return WG_OK;
}

/* Where a program finds an operand: its own memory, or a contiguous copy of it. */
static wg_status bind_operand(wg_tape *t, wg_id id, void **pointer, wg_buffer **copy) {
    wg_array x = array_of(t, id);
    *pointer = x.data;
    if (wg_array_contiguous(&x)) return WG_OK;
    *copy = wg_buffer_new((size_t)wg_size(t, id) * wg_itemsize(x.dtype));
    if (!*copy) return no_room(t, id);
    *pointer = (*copy)->data;
    return wg_read(t, id, *pointer);
}

/* The child's program, lowered at its first call, writes straight into the results' values. */
static wg_status run_call(wg_tape *t, wg_id call) {
    const wg_id *in = wg_in(t, call);
    const int n_in = wg_n_in(t, call);
    wg_tape *child = wg_tape_child(t, call);
    wg_program *program;
    WG_TRY(program_of(t, child, &program));
    size_t n_out = child->n_outputs, n = (size_t)n_in + n_out;
    void **pointers = calloc(n + 1, sizeof *pointers);
    wg_buffer **copies = calloc((size_t)n_in + 1, sizeof *copies);
    wg_status status = pointers && copies ? WG_OK : wg_no_memory(t);
    for (int k = 0; k < n_in && status == WG_OK; k++) status = bind_operand(t, in[k], &pointers[k], &copies[k]);
    for (size_t k = (size_t)n_in; k < n && status == WG_OK; k++) {
        wg_id result = call + 1 + (wg_id)(k - (size_t)n_in);
        if (!(pointers[k] = wg_alloc_value(t, result))) status = no_room(t, result);
    }
    if (status == WG_OK) status = wg_program_run(program, pointers, pointers + n_in, t->error, sizeof t->error);
    for (int k = 0; copies && k < n_in; k++)
        if (copies[k]) wg_buffer_release(copies[k]);
    free(copies);
    free(pointers);
    t->nodes[call].flags |= WG_FLAG_VALUE; /* nothing to read, but done */
    return status;
}

static wg_status run_node(wg_tape *t, wg_id id) {
    WG_TRY(check_values(t, id));
    int op = t->nodes[id].op;
    const wg_kernels *k = wg_kernels_table();
    if (t->nodes[id].shape == t->scalar_shape && (wg_is_elementwise(wg_row(op)->kind) || op == WG_where) &&
        t->nodes[id].dtype != WG_C128)
        return run_scalar(t, id, k);
    if (op == WG_call) return run_call(t, id);
    if (wg_is_view_op(op)) {
        bool done;
        wg_status status = run_view(t, id, &done);
        if (status != WG_OK || done) return status;
    }
    return run_arrays(t, id, k);
}

wg_tape *wg_tape_new(bool abstract) { return wg_tape_create(abstract ? NULL : run_node); }

/* x * 0 is 0 for finite x only; many sums, for an addition waits for the one before. */
#define ALL_FINITE(name, T)                                                                                            \
    static bool name(const T *x, int64_t n) {                                                                          \
        enum { LANES = 128 / sizeof(T) };                                                                              \
        T zeros[LANES] = {0};                                                                                          \
        int64_t i = 0;                                                                                                 \
        for (; n - i >= LANES; i += LANES)                                                                             \
            for (int j = 0; j < LANES; j++) zeros[j] += x[i + j] * 0;                                                  \
        for (; i < n; i++) zeros[0] += x[i] * 0;                                                                       \
        for (int j = 1; j < LANES; j++) zeros[0] += zeros[j];                                                          \
        return zeros[0] == 0;                                                                                          \
    }
ALL_FINITE(all_finite_f32, float)
ALL_FINITE(all_finite_f64, double)

static bool all_finite(const wg_array *x) {
    if (x->dtype == WG_F32) return all_finite_f32((const float *)x->data, wg_array_size(x));
    return x->dtype != WG_F64 || all_finite_f64((const double *)x->data, wg_array_size(x));
}

bool wg_compute(int op, int n_in, const wg_array *in, int n_attr, const int64_t *attrs, const wg_array *out) {
    const wg_kernels *k = wg_kernels_table();
    wg_step step = {.op = (uint16_t)op, .n_in = n_in, .in = in, .out = *out, .n_attr = n_attr, .attrs = attrs};
    _Alignas(64) char near[1 << 16]; /* to allocate takes as long as a product of few numbers */
    wg_prepare(k, &step);
    step.scratch = step.need <= sizeof near ? near : aligned_alloc(64, wg_round_up(step.need));
    if (!step.scratch) return false;
    const int raised = FE_INVALID | FE_OVERFLOW;
    bool done = wg_execute(k, &step) == WG_OK, overflows = op == WG_matmul && fetestexcept(raised);
    if (done && overflows) { /* or something did before, which is seldom: to look costs 10 ns */
        feclearexcept(raised);
        done = wg_execute(k, &step) == WG_OK, overflows = fetestexcept(raised);
    }
    if (step.scratch != near) free(step.scratch);
    /* The flags tell sooner, but most maps treat lanes apart: they raise flags for what they throw away, and none. They
     * are this thread's, so a product must be too small to be shared (the binding asks for 2^17 multiplications at
     * most). */
    return done && !overflows && (op == WG_matmul || all_finite(out));
}

/* Batching: a tape that does for `size` sets of inputs at once what another does for one.
 *
 * A batched node has one more axis, in front; a node that depends on no batched input stays as it is and is computed
 * once.  What an axis in front means to an op follows from the rule that infers its shape, so there is one rule per
 * column `infer` of ops.def.  An op whose rule is missing is done element by element. */
#include <stdlib.h>
#include <string.h>

#include "rules.h"

typedef struct {
    const wg_tape *from;
    wg_tape *t; /* being made */
    int64_t size;
    wg_id *map;    /* ids of `from` -> ids of t */
    bool *batched; /* by id of `from` */
    int looped;    /* an op that was done element by element, or -1 */
} wg_batching;

typedef struct { /* a node of `from` that reads something batched */
    wg_id node;
    int op, n;
    const wg_id *from; /* its operands there */
    wg_id *in;         /* and here: to be changed */
    wg_attr_copy attrs;
    const wg_loop_info *loop; /* or it is this loop */
} wg_batchee;

typedef wg_status (*wg_batch_rule)(wg_batching *w, wg_batchee *x, wg_id *out);

static wg_status loop(wg_batching *w, wg_batchee *x, wg_id *out);

/* ---- what rules are written with --------------------------------------------------------------------------- */
static wg_status append(wg_batching *w, const wg_batchee *x, wg_id *out) {
    return wg_append_flagged(w->t, x->op, x->n, x->in, x->attrs.n, x->attrs.x, 0, out);
}

/* `words` in front of the attributes */
static wg_status prepend(wg_batching *w, wg_batchee *x, int n, const int64_t *words) {
    if (x->attrs.n + n > 3 * WG_MAX_NDIM) return wg_fail(w->t, WG_VALUE_ERROR, "vmap: more than %d axes", WG_MAX_NDIM);
    memmove(x->attrs.x + n, x->attrs.x, (size_t)x->attrs.n * sizeof *words);
    memcpy(x->attrs.x, words, (size_t)n * sizeof *words);
    x->attrs.n += n;
    return WG_OK;
}

/* op (reshape or broadcast) of a to the shape (first, 1, ..., 1, rest) with n + 1 axes */
static wg_status to_axes(wg_batching *w, int op, wg_id a, int64_t first, int n, int n_rest, const int64_t *rest,
                         wg_id *out) {
    int64_t shape[WG_MAX_NDIM];
    if (n + 1 > WG_MAX_NDIM) return wg_fail(w->t, WG_VALUE_ERROR, "vmap: more than %d axes", WG_MAX_NDIM);
    shape[0] = first;
    for (int i = 0; i < n; i++) shape[1 + i] = i < n - n_rest ? 1 : rest[i - (n - n_rest)];
    return wg_append_flagged(w->t, op, 1, &a, n + 1, shape, 0, out);
}

/* A batched operand as if it had n axes behind its first: those of extent 1 that broadcasting would put in front. */
static wg_status align(wg_batching *w, wg_batchee *x, int k, int n) {
    wg_id id = x->from[k];
    if (!w->batched[id] || wg_ndim(w->from, id) == n) return WG_OK;
    return to_axes(w, WG_reshape, x->in[k], w->size, n, wg_ndim(w->from, id), wg_shape(w->from, id), &x->in[k]);
}

/* Operand k, repeated where it is shared. */
static wg_status spread(wg_batching *w, wg_id from, wg_id *id) {
    int n = wg_ndim(w->from, from);
    if (w->batched[from]) return WG_OK;
    return to_axes(w, WG_broadcast, *id, w->size, n, n, wg_shape(w->from, from), id);
}

/* ---- rules ------------------------------------------------------------------------------------------------- */
static wg_status batch_elementwise(wg_batching *w, wg_batchee *x, wg_id *out) {
    for (int k = 0; k < x->n; k++) WG_TRY(align(w, x, k, wg_ndim(w->from, x->node)));
    return append(w, x, out);
}

static wg_status batch_same(wg_batching *w, wg_batchee *x, wg_id *out) { return append(w, x, out); }

static wg_status batch_reshape(wg_batching *w, wg_batchee *x, wg_id *out) { /* and broadcast */
    WG_TRY(x->op == WG_broadcast ? align(w, x, 0, x->attrs.n) : WG_OK);
    WG_TRY(prepend(w, x, 1, &w->size));
    return append(w, x, out);
}

static wg_status batch_transpose(wg_batching *w, wg_batchee *x, wg_id *out) {
    for (int i = 0; i < x->attrs.n; i++) x->attrs.x[i]++;
    WG_TRY(prepend(w, x, 1, &(int64_t){0}));
    return append(w, x, out);
}

static wg_status batch_slice(wg_batching *w, wg_batchee *x, wg_id *out) { /* slice_add and slice_set */
    for (int k = 0; k < x->n; k++) WG_TRY(spread(w, x->from[k], &x->in[k]));
    WG_TRY(prepend(w, x, 3, (int64_t[]){0, 1, w->size}));
    return append(w, x, out);
}

static wg_status batch_axis(wg_batching *w, wg_batchee *x, wg_id *out) { /* the first attribute is an axis */
    for (int k = 0; k < x->n; k++) WG_TRY(spread(w, x->from[k], &x->in[k]));
    x->attrs.x[0]++;
    return append(w, x, out);
}

static wg_status batch_reduce(wg_batching *w, wg_batchee *x, wg_id *out) {
    x->attrs.x[0] = (int64_t)((uint64_t)x->attrs.x[0] << 1); /* a mask of axes */
    return append(w, x, out);
}

/* 0, 1, ..., size - 1 as int64, by doubling; shape (size, 1, ..., 1) with n + 1 axes */
static wg_status positions(wg_batching *w, int n, wg_id *out) {
    wg_id more;
    WG_TRY(wg_number(w->t, WG_I64, 0, false, out));
    WG_TRY(to_axes(w, WG_broadcast, *out, 1, 0, 0, NULL, out));
    for (int64_t length = 1; length < w->size; length *= 2) {
        WG_TRY(wg_number(w->t, WG_I64, (double)length, false, &more));
        WG_TRY(wg_emit2(w->t, WG_add, *out, more, &more));
        WG_TRY(wg_append_flagged(w->t, WG_concatenate, 2, (wg_id[]){*out, more}, 1, &(int64_t){0}, 0, out));
    }
    WG_TRY(wg_append_flagged(w->t, WG_slice, 1, out, 3, (int64_t[]){0, 1, w->size}, 0, out));
    return to_axes(w, WG_reshape, *out, w->size, n, 0, NULL, out);
}

/* The rows of all elements laid end to end, and the index into them. */
static wg_status lay_rows(wg_batching *w, wg_batchee *x) {
    int ndim = wg_ndim(w->from, x->from[0]);
    const int64_t *shape = wg_shape(w->from, x->from[0]);
    wg_id start, i = x->in[1];
    WG_TRY(spread(w, x->from[0], &x->in[0]));
    WG_TRY(spread(w, x->from[1], &i));
    WG_TRY(to_axes(w, WG_reshape, x->in[0], w->size * shape[0], ndim - 1, ndim - 1, shape + 1, &x->in[0]));
    WG_TRY(positions(w, wg_ndim(w->from, x->from[1]), &start));
    const int64_t extents[2] = {w->size, shape[0]};
    return wg_append_flagged(w->t, WG_ravel_index, 2, (wg_id[]){start, i}, 2, extents, 0, &x->in[1]);
}

static wg_status batch_gather(wg_batching *w, wg_batchee *x, wg_id *out) {
    if (w->batched[x->from[0]]) WG_TRY(lay_rows(w, x));
    return append(w, x, out);
}

static wg_status batch_index_add(wg_batching *w, wg_batchee *x, wg_id *out) {
    int ndim = wg_ndim(w->from, x->node);
    WG_TRY(lay_rows(w, x));
    WG_TRY(spread(w, x->from[2], &x->in[2]));
    WG_TRY(append(w, x, out));
    return to_axes(w, WG_reshape, *out, w->size, ndim, ndim, wg_shape(w->from, x->node), out);
}

/* A shared matrix takes all elements in one product: (size, ..., m, k) (k, n) as (size ... m, k) (k, n), and
 * (m, k) (size, k, 1) as (size, k) (k, m). */
static wg_status batch_matmul(wg_batching *w, wg_batchee *x, wg_id *out) {
    const wg_tape *from = w->from;
    wg_id a = x->from[0], b = x->from[1];
    int na = wg_ndim(from, a), nb = wg_ndim(from, b), ndim = wg_ndim(from, x->node);
    int64_t k = wg_shape(from, a)[na - 1], n = wg_shape(from, b)[nb - 1];
    bool flat = false;
    if (!w->batched[b] && nb == 2) {
        int64_t rows = w->size;
        for (int i = 0; i < na - 1; i++) rows *= wg_shape(from, a)[i];
        WG_TRY(to_axes(w, WG_reshape, x->in[0], rows, 1, 1, &k, &x->in[0]));
        flat = true;
    } else if (!w->batched[a] && na == 2 && nb == 2 && n == 1) {
        wg_id turned;
        WG_TRY(wg_emit_swap(w->t, x->in[0], &turned));
        WG_TRY(to_axes(w, WG_reshape, x->in[1], w->size, 1, 1, &k, &x->in[0]));
        x->in[1] = turned;
        flat = true;
    } else {
        WG_TRY(align(w, x, 0, ndim));
        WG_TRY(align(w, x, 1, ndim));
    }
    WG_TRY(append(w, x, out));
    if (!flat) return WG_OK;
    return to_axes(w, WG_reshape, *out, w->size, ndim, ndim, wg_shape(from, x->node), out);
}

/* A function that takes stacks gets one, of operands that have as many axes as one another (numbers are shared). */
static wg_status batch_host(wg_batching *w, wg_batchee *x, wg_id *out) {
    int ndim = -1;
    for (int k = 0; k < x->n; k++) {
        int n = wg_ndim(w->from, x->from[k]);
        if (n == 0 && !w->batched[x->from[k]]) continue;
        if (!x->attrs.x[WG_HOST_STACKS] || (ndim >= 0 && n != ndim)) return loop(w, x, out);
        ndim = n;
    }
    for (int k = 0; k < x->n; k++)
        if (wg_ndim(w->from, x->from[k]) || w->batched[x->from[k]]) WG_TRY(spread(w, x->from[k], &x->in[k]));
    int64_t fixed[WG_HOST_SHAPE];
    memcpy(fixed, x->attrs.x, sizeof fixed);
    x->attrs.x[WG_HOST_SHAPE - 1] =
        w->size; /* in front of the shape, and what stood there one place further in front */
    WG_TRY(prepend(w, x, 1, fixed));
    memcpy(x->attrs.x, fixed, sizeof fixed);
    return append(w, x, out);
}

static const wg_batch_rule batch_rules[WG_INFER_COUNT] = {
    [WG_INFER_elementwise] = batch_elementwise,
    [WG_INFER_compare] = batch_elementwise,
    [WG_INFER_where] = batch_elementwise,
    [WG_INFER_same] = batch_same,
    [WG_INFER_cast] = batch_same,
    [WG_INFER_reshape] = batch_reshape,
    [WG_INFER_transpose] = batch_transpose,
    [WG_INFER_broadcast] = batch_reshape,
    [WG_INFER_slice] = batch_slice,
    [WG_INFER_slice_add] = batch_slice,
    [WG_INFER_concatenate] = batch_axis,
    [WG_INFER_gather] = batch_gather,
    [WG_INFER_index_add] = batch_index_add,
    [WG_INFER_ravel_index] = batch_elementwise,
    [WG_INFER_reduce] = batch_reduce,
    [WG_INFER_argreduce] = batch_axis,
    [WG_INFER_argsort] = batch_axis,
    [WG_INFER_part] = batch_same,
    [WG_INFER_to_complex] = batch_elementwise,
    [WG_INFER_random] = batch_same, /* an array for each key */
    [WG_INFER_recurrence] = batch_axis,
    [WG_INFER_matmul] = batch_matmul,
    [WG_INFER_host] = batch_host,
};

/* ---- without a rule ---------------------------------------------------------------------------------------- */
/* Element i of operand k. */
static wg_status element(wg_batching *w, const wg_batchee *x, int k, int64_t i, wg_id *out) {
    wg_id id = x->from[k];
    int ndim = wg_ndim(w->from, id);
    const int64_t *shape = wg_shape(w->from, id);
    *out = x->in[k];
    if (!w->batched[id]) return WG_OK;
    WG_TRY(wg_emit_part(w->t, *out, 0, i, 1, out));
    return wg_append_flagged(w->t, WG_reshape, 1, out, ndim, shape, 0, out);
}

/* What a node of `from` is for each element, end to end. */
static wg_status stack(wg_batching *w, wg_id node, wg_id *parts, wg_id *out) {
    int ndim = wg_ndim(w->from, node);
    const int64_t *shape = wg_shape(w->from, node);
    if (w->size == 0) {
        WG_TRY(wg_number(w->t, (wg_dtype)w->from->nodes[node].dtype, 0, false, out));
        return to_axes(w, WG_broadcast, *out, 0, ndim, ndim, shape, out);
    }
    for (int64_t i = 0; i < w->size; i++) WG_TRY(to_axes(w, WG_reshape, parts[i], 1, ndim, ndim, shape, &parts[i]));
    return wg_append_flagged(w->t, WG_concatenate, (int)w->size, parts, 1, &(int64_t){0}, 0, out);
}

/* parts: (n, size); out: n of them, the op's own or the loop's results */
static wg_status loop_into(wg_batching *w, const wg_batchee *x, int n, wg_id *in, wg_id *parts, wg_id *out) {
    const wg_loop_info *l = x->loop;
    w->looped = l ? WG_host : x->op;
    for (int64_t i = 0; i < w->size; i++) {
        wg_id *first = &parts[i];
        for (int k = 0; k < x->n; k++) WG_TRY(element(w, x, k, i, &in[k]));
        WG_TRY(
            l ? wg_scan(w->t, l->body, l->n_carry, l->n_x, l->length, l->reverse, l->guard, l->block, x->n, in, first)
              : wg_append_flagged(w->t, x->op, x->n, in, x->attrs.n, x->attrs.x, 0, first));
        for (int k = 1; k < n; k++) first[k * w->size] = *first + (wg_id)k;
    }
    for (int k = 0; k < n; k++) WG_TRY(stack(w, x->node + (wg_id)(l ? k + 1 : 0), parts + k * w->size, &out[k]));
    return WG_OK;
}

static wg_status loop(wg_batching *w, wg_batchee *x, wg_id *out) {
    const int n = x->loop ? wg_n_results(w->from, x->node) : 1;
    wg_id *in = w->size < INT32_MAX ? malloc((n * (size_t)w->size + (size_t)x->n + 1) * sizeof *in) : NULL;
    if (!in) return wg_no_memory(w->t);
    wg_status status = loop_into(w, x, n, in, in + x->n, out);
    free(in);
    return status;
}

/* ---- a tape ------------------------------------------------------------------------------------------------ */
static wg_status batch_with(wg_batching *w, wg_batchee *x) {
    wg_batch_rule rule = batch_rules[wg_row(x->op)->infer];
    wg_id out;
    for (int k = 0; k < x->n; k++) x->in[k] = w->map[x->from[k]];
    WG_TRY((rule ? rule : loop)(w, x, &out));
    w->map[x->node] = out;
    int ndim = wg_ndim(w->from, x->node);
    const int64_t *got = wg_shape(w->t, out);
    if (wg_ndim(w->t, out) == ndim + 1 && got[0] == w->size &&
        (ndim == 0 || memcmp(got + 1, wg_shape(w->from, x->node), (size_t)ndim * sizeof *got) == 0))
        return WG_OK;
    char text[256];
    return wg_fail(w->t, WG_RUNTIME_ERROR, "vmap: the batching rule of %s gives shape %s", wg_row(x->op)->name,
                   wg_shape_text(ndim + 1, got, text, sizeof text));
}

static wg_status batch_op(wg_batching *w, wg_id id) {
    const wg_tape *from = w->from;
    wg_batchee x = {.node = id, .op = from->nodes[id].op, .n = wg_n_in(from, id), .from = wg_in(from, id)};
    x.attrs = wg_copy_attrs(from, id);
    x.in = malloc(((size_t)x.n + 1) * sizeof *x.in);
    wg_status status = x.in ? batch_with(w, &x) : wg_no_memory(w->t);
    free(x.in);
    return status;
}

/* The body batched: a carry is batched if its first value is, or what becomes of it. */
static wg_status batch_body(wg_batching *w, const wg_loop_info *l, bool *flags, bool *out_flags, wg_tape **out) {
    bool guarded = false;
    for (bool settled = false; !settled;) {
        settled = true;
        guarded = l->guard >= 0 && flags[l->guard]; /* of a carry maybe after a round only */
        if (guarded) memset(flags, true, (size_t)l->n_carry);
        memset(out_flags, guarded, l->body->n_outputs);
        memcpy(out_flags, flags, (size_t)l->n_carry);
        wg_status status = wg_batch(l->body, w->size, flags, out_flags, out, &w->looped);
        if (status != WG_OK) return wg_fail(w->t, status, "%s", l->body->error);
        for (int k = 0; k < l->n_carry; k++) {
            settled &= flags[k] == out_flags[k];
            flags[k] = out_flags[k];
        }
        if (!settled) wg_tape_release(*out);
    }
    wg_status status = guarded ? wg_mask_body(*out, l->n_carry, l->guard) : WG_OK;
    if (status == WG_OK) return WG_OK;
    wg_fail(w->t, status, "%s", (*out)->error);
    wg_tape_release(*out);
    return status;
}

/* Exchanges the first two axes. */
static wg_status turn(wg_batching *w, wg_id *id) {
    int64_t axes[WG_MAX_NDIM] = {1, 0};
    int ndim = wg_ndim(w->t, *id);
    for (int i = 2; i < ndim; i++) axes[i] = i;
    return wg_append_flagged(w->t, WG_transpose, 1, id, ndim, axes, 0, id);
}

static wg_status batch_loop(wg_batching *w, wg_id id, const wg_loop_info *l, wg_id *in, bool *flags) {
    const wg_id *from = wg_in(w->from, id);
    const int x = l->n_carry, c = x + l->n_x, n = wg_n_results(w->from, id);
    wg_tape *body;
    wg_id first;
    for (int k = 0; k < l->n_in; k++) {
        in[k] = w->map[from[k]];
        flags[k] = w->batched[from[k]];
        if (k >= x && k < c && flags[k]) WG_TRY(turn(w, &in[k])); /* entries are taken along the first axis */
    }
    bool *out_flags = flags + l->n_in;
    WG_TRY(batch_body(w, l, flags, out_flags, &body));
    wg_status status = WG_OK;
    for (int k = 0; k < x && status == WG_OK; k++)
        if (flags[k]) status = spread(w, from[k], &in[k]);
    if (status == WG_OK)
        status =
            wg_scan(w->t, body, l->n_carry, l->n_x, l->length, l->reverse, l->guard, l->block, l->n_in, in, &first);
    wg_tape_release(body);
    const wg_id values = w->t->len - (wg_id)x; /* of carries: the last results */
    for (int k = 0; k < n && status == WG_OK; k++) {
        const int value = k - l->n_carry - l->n_y;
        wg_id result = value < 0 ? first + (wg_id)k : values + (wg_id)value;
        const bool batched = out_flags[value < 0 ? k : value];
        if (batched && k >= l->n_carry) status = turn(w, &result);
        w->map[id + 1 + (wg_id)k] = result;
        w->batched[id + 1 + (wg_id)k] = batched;
    }
    return status;
}

static wg_status batch_plain_call(wg_batching *w, wg_id id, wg_tape *child, int n, wg_id *in, bool *flags) {
    const wg_id *from = wg_in(w->from, id);
    wg_tape *batched;
    wg_id first;
    for (int k = 0; k < n; k++) in[k] = w->map[from[k]], flags[k] = w->batched[from[k]];
    wg_status status = wg_batch(child, w->size, flags, flags + n, &batched, &w->looped);
    if (status != WG_OK) return wg_fail(w->t, status, "%s", child->error);
    status = wg_call(w->t, batched, n, in, &first);
    wg_tape_release(batched);
    for (uint32_t k = 0; k < child->n_outputs && status == WG_OK; k++) {
        w->map[id + 1 + k] = first + k;
        w->batched[id + 1 + k] = flags[n + (int)k];
    }
    return status;
}

static bool asks_python(const wg_tape *t) {
    bool asks = false;
    for (wg_id id = 0; id < t->len && !asks; id++) asks = t->nodes[id].op == WG_host;
    for (uint32_t k = 0; k < t->children_len && !asks; k++) asks = asks_python(t->children[k]);
    return asks;
}

/* A loop whose guard may differ from element to element, for one after the other: Python is asked only where it is
 * true. */
static wg_status batch_guarded(wg_batching *w, wg_id id, const wg_loop_info *l, wg_id *in) {
    wg_batchee x = {.node = id, .n = l->n_in, .from = wg_in(w->from, id), .in = in, .loop = l};
    for (int k = 0; k < x.n; k++) in[k] = w->map[x.from[k]];
    memset(w->batched + id + 1, true, (size_t)wg_n_results(w->from, id));
    return loop(w, &x, w->map + id + 1);
}

static wg_status batch_call(wg_batching *w, wg_id id) {
    wg_loop_info l;
    const bool loops = wg_loop_of(w->from, id, &l);
    wg_id *in = malloc(((size_t)l.n_in + 1) * sizeof *in);
    bool *flags = calloc((size_t)l.n_in + l.body->n_outputs + 1, sizeof *flags);
    wg_status status = in && flags ? WG_OK : wg_no_memory(w->t);
    const wg_id *from = wg_in(w->from, id);
    const bool guarded = loops && l.guard >= 0 && (l.length == WG_UNTIL || w->batched[from[l.guard]]);
    if (status == WG_OK && guarded && asks_python(l.body))
        status = batch_guarded(w, id, &l, in);
    else if (status == WG_OK)
        status = loops ? batch_loop(w, id, &l, in, flags) : batch_plain_call(w, id, l.body, l.n_in, in, flags);
    free(flags);
    free(in);
    return status;
}

static wg_status batch_input(wg_batching *w, wg_id id, bool batched) {
    int64_t shape[WG_MAX_NDIM];
    int ndim = wg_ndim(w->from, id);
    w->batched[id] = batched;
    if (!batched) return wg_copy_node(w->t, w->from, id, w->map, &w->map[id]);
    if (ndim + 1 > WG_MAX_NDIM) return wg_fail(w->t, WG_VALUE_ERROR, "vmap: more than %d axes", WG_MAX_NDIM);
    shape[0] = w->size;
    if (ndim) memcpy(shape + 1, wg_shape(w->from, id), (size_t)ndim * sizeof *shape);
    return wg_input(w->t, (wg_dtype)w->from->nodes[id].dtype, ndim + 1, shape, false, &w->map[id]);
}

static wg_status batch_nodes(wg_batching *w, const bool *batched) {
    for (wg_id id = 0; id < w->from->len; id++) {
        const wg_node_rec *node = &w->from->nodes[id];
        if (node->op == WG_input) {
            WG_TRY(batch_input(w, id, batched[wg_attr(w->from, id)[0]]));
            continue;
        }
        bool any = false;
        for (int k = wg_n_in(w->from, id); k-- > 0;) any |= w->batched[wg_in(w->from, id)[k]];
        if (node->op == WG_result && any) continue; /* placed with its call */
        w->batched[id] = any;
        if (!any)
            WG_TRY(wg_copy_node(w->t, w->from, id, w->map, &w->map[id]));
        else
            WG_TRY(node->op == WG_call ? batch_call(w, id) : batch_op(w, id));
    }
    return WG_OK;
}

static wg_status batch_outputs(wg_batching *w, bool *batched) {
    uint32_t n = w->from->n_outputs;
    wg_id *outputs = malloc(((size_t)n + 1) * sizeof *outputs);
    wg_status status = outputs ? WG_OK : wg_no_memory(w->t);
    for (uint32_t k = 0; k < n && status == WG_OK; k++) {
        wg_id id = w->from->outputs[k];
        outputs[k] = w->map[id];
        if (batched[k]) status = spread(w, id, &outputs[k]);
        batched[k] |= w->batched[id];
    }
    if (status == WG_OK) status = wg_tape_set_outputs(w->t, (int)n, outputs);
    free(outputs);
    return status;
}

/* ---- in all ------------------------------------------------------------------------------------------------ */
wg_status wg_batch(wg_tape *t, int64_t size, const bool *batched, bool *out_batched, wg_tape **out, int *looped) {
    if (t->run || !t->n_outputs) return wg_fail(t, WG_VALUE_ERROR, "vmap needs an abstract tape with outputs");
    if (size < 0) return wg_fail(t, WG_VALUE_ERROR, "vmap: a batch of %lld", (long long)size);
    wg_batching w = {.from = t, .t = wg_tape_create(NULL), .size = size, .looped = -1};
    w.map = malloc(((size_t)t->len + 1) * sizeof *w.map);
    w.batched = calloc((size_t)t->len + 1, sizeof *w.batched);
    wg_status status = WG_OK;
    if (!w.t || !w.map || !w.batched) status = wg_no_memory(t);
    if (status == WG_OK) status = batch_nodes(&w, batched);
    if (status == WG_OK) status = batch_outputs(&w, out_batched);
    if (status == WG_OK && t->derive) status = wg_batch_rule_of(t, size, batched, out_batched, w.t);
    free(w.map);
    free(w.batched);
    if (w.looped >= 0) *looped = w.looped;
    if (status == WG_OK) return *out = w.t, WG_OK;
    if (w.t && w.t->error[0]) wg_fail(t, status, "%s", w.t->error);
    wg_tape_release(w.t);
    return status;
}

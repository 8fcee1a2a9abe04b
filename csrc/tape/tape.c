/* The tape's life: arenas, nodes, errors, popping. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>

#include "tape.h"

bool wg_grow(void *array, uint32_t *cap, uint64_t need, size_t itemsize) {
    if (need <= *cap) return true;
    if (need > UINT32_MAX - 1) return false; /* ids are 32 bits and WG_NONE is taken */
    uint64_t next = (uint64_t)*cap + *cap / 2 + 16;
    if (next < need) next = need;
    if (next > UINT32_MAX - 1) next = UINT32_MAX - 1;
    void *p; /* through memcpy: the caller's pointer has a type of its own */
    memcpy(&p, array, sizeof p);
    p = realloc(p, (size_t)next * itemsize);
    if (!p) return false;
    memcpy(array, &p, sizeof p);
    *cap = (uint32_t)next;
    return true;
}

wg_status wg_push_item(wg_tape *t, void *array, uint32_t *n, uint32_t *cap, const void *item, size_t itemsize) {
    char *items;
    if (!wg_grow(array, cap, (uint64_t)*n + 1, itemsize)) return wg_no_memory(t);
    memcpy(&items, array, sizeof items);
    memcpy(items + itemsize * (*n)++, item, itemsize);
    return WG_OK;
}

wg_tape *wg_tape_create(wg_run_fn run) {
    wg_tape *t = calloc(1, sizeof *t);
    if (!t) return NULL;
    t->refs = 1;
    t->run = run;
    t->views_free = WG_NONE;
    memset(t->constants, 0xff, sizeof t->constants);
    t->attrs_len = 1;
    bool ok = wg_vectors_init(&t->vectors) && wg_grow(&t->attrs, &t->attrs_cap, 16, sizeof *t->attrs) &&
              wg_grow(&t->nodes, &t->cap, 16, sizeof *t->nodes);
    t->scalar_shape = ok ? wg_intern(&t->vectors, 0, NULL) : WG_NONE;
    if (t->scalar_shape == WG_NONE) {
        wg_tape_release(t);
        return NULL;
    }
    wg_tape_adopt(t);
    return t;
}

wg_tape *wg_tape_retain(wg_tape *t) {
    t->refs++;
    return t;
}

/* Frees the tapes that hang on `t` by a work list, for a chain of children may be long. */
void wg_tape_release(wg_tape *t) {
    wg_tape *pending = NULL; /* linked through ->scratch, which is freed first */
    if (!t || --t->refs) return;
    free(t->scratch);
    t->scratch = NULL;
    pending = t;
    while (pending) {
        wg_tape *dead = pending;
        pending = dead->scratch;
        for (uint32_t k = 0; k < dead->children_len + dead->derived_len; k++) {
            wg_tape *child = k < dead->children_len ? dead->children[k] : dead->derived[k - dead->children_len].tape;
            if (--child->refs) continue;
            free(child->scratch);
            child->scratch = pending;
            pending = child;
        }
        for (uint32_t id = 0; id < dead->len; id++) wg_drop_value(dead, id);
        wg_free_spares(dead);
        if (dead->program) dead->program_release(dead->program);
        if (dead->derive) dead->derive_release(dead->derive_context);
        wg_vectors_free(&dead->vectors);
        free(dead->nodes);
        free(dead->side);
        free(dead->attrs);
        free(dead->moved);
        free(dead->views);
        free(dead->children);
        free(dead->derived);
        free(dead->inputs);
        free(dead->outputs);
        free(dead);
    }
}

void wg_tape_set_rule(wg_tape *t, wg_derive_fn derive, void (*release)(void *), void *context) {
    t->derive = derive;
    t->derive_release = release;
    t->derive_context = context;
}

const char *wg_tape_error(const wg_tape *t) { return t->error; }
uint32_t wg_tape_len(const wg_tape *t) { return t->len; }
uint32_t wg_tape_n_inputs(const wg_tape *t) { return t->n_inputs; }
uint32_t wg_tape_n_outputs(const wg_tape *t) { return t->n_outputs; }
const wg_id *wg_tape_inputs(const wg_tape *t) { return t->inputs; }
const wg_id *wg_tape_outputs(const wg_tape *t) { return t->outputs; }

static uintptr_t this_thread(void) { return (uintptr_t)pthread_self(); }
void wg_tape_adopt(wg_tape *t) { t->thread = this_thread(); }

wg_status wg_fail(wg_tape *t, wg_status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(t->error, sizeof t->error, format, args);
    va_end(args);
    return status;
}

wg_status wg_no_memory(wg_tape *t) { return wg_fail(t, WG_MEMORY_ERROR, "out of memory"); }

wg_status wg_check_thread(wg_tape *t) {
    if (t->thread == this_thread()) return WG_OK;
    return wg_fail(t, WG_RUNTIME_ERROR, "this tape belongs to another thread; record and differentiate on one thread");
}

wg_status wg_check_id(wg_tape *t, wg_id id, const char *what) {
    WG_TRY(wg_check_thread(t));
    if (id < t->len) return WG_OK;
    return wg_fail(t, WG_RUNTIME_ERROR, "%s: node %u is not on this tape, which has %u nodes", what, id, t->len);
}

wg_status wg_push(wg_tape *t, const wg_node_rec *node, wg_id *out) {
    if (t->len == t->cap && !wg_grow(&t->nodes, &t->cap, (uint64_t)t->len + 1, sizeof *t->nodes))
        return wg_no_memory(t);
    t->nodes[t->len] = *node;
    *out = t->len++;
    return WG_OK;
}

wg_status wg_push_attrs(wg_tape *t, int n, const int64_t *attrs, uint32_t *place) {
    *place = 0;
    if (n == 0) return WG_OK;
    if (!wg_grow(&t->attrs, &t->attrs_cap, (uint64_t)t->attrs_len + (uint64_t)n + 1, sizeof *t->attrs))
        return wg_no_memory(t);
    *place = t->attrs_len;
    t->attrs[t->attrs_len] = n;
    memcpy(t->attrs + t->attrs_len + 1, attrs, (size_t)n * sizeof *attrs);
    t->attrs_len += (uint32_t)n + 1;
    return WG_OK;
}

wg_status wg_push_side(wg_tape *t, int n, const wg_id *ids, uint32_t *place) {
    if (!wg_grow(&t->side, &t->side_cap, (uint64_t)t->side_len + (uint64_t)n + 1, sizeof *t->side))
        return wg_no_memory(t);
    *place = t->side_len;
    t->side[t->side_len] = (uint32_t)n;
    if (n) memcpy(t->side + t->side_len + 1, ids, (size_t)n * sizeof *ids);
    t->side_len += (uint32_t)n + 1;
    return WG_OK;
}

void wg_tape_pop(wg_tape *t, uint32_t len) {
    for (; t->len > len; t->len--) { /* arenas are stacks: popping in reverse uncovers each node's own start */
        wg_id id = t->len - 1;
        const wg_node_rec *node = &t->nodes[id];
        wg_drop_value(t, id);
        if (node->attrs) t->attrs_len = node->attrs;
        if (wg_row(node->op)->arity < 0) t->side_len = node->in[0];
        if (node->op == WG_call) wg_tape_release(t->children[--t->children_len]);
        if (node->op == WG_input) t->n_inputs--;
    }
    while (t->n_outputs && t->outputs[t->n_outputs - 1] >= len) t->n_outputs--;
    if (t->moved_len) wg_forget_moves(t, len);
}

wg_status wg_tape_set_outputs(wg_tape *t, int n, const wg_id *outputs) {
    for (int i = 0; i < n; i++) WG_TRY(wg_check_id(t, outputs[i], "set_outputs"));
    wg_id *copy = malloc((size_t)(n ? n : 1) * sizeof *copy);
    if (!copy) return wg_no_memory(t);
    if (n) memcpy(copy, outputs, (size_t)n * sizeof *copy);
    free(t->outputs);
    t->outputs = copy;
    t->n_outputs = (uint32_t)n;
    return WG_OK;
}

wg_status wg_node(wg_tape *t, wg_id id, wg_node_info *info) {
    WG_TRY(wg_check_id(t, id, "node"));
    const wg_node_rec *node = &t->nodes[id];
    *info = (wg_node_info){.op = node->op,
                           .dtype = node->dtype,
                           .weak = node->flags & WG_FLAG_WEAK,
                           .has_value = node->flags & WG_FLAG_VALUE,
                           .shared = node->flags & WG_FLAG_SHARED,
                           .turned = node->flags & WG_FLAG_TURNED,
                           .ndim = wg_ndim(t, id),
                           .shape = wg_shape(t, id),
                           .n_in = wg_n_in(t, id),
                           .in = wg_in(t, id),
                           .n_attr = wg_n_attr(t, id),
                           .attrs = wg_attr(t, id)};
    if (info->has_value) {
        info->data = wg_data(t, id);
        info->strides = wg_strides(t, id);
    }
    return WG_OK;
}

void *wg_scratch(wg_tape *t, size_t size) {
    if (size > t->scratch_size || !t->scratch) {
        size_t rounded = (size + 4095) / 4096 * 4096 + 4096;
        void *grown = aligned_alloc(64, rounded);
        if (!grown) return NULL;
        free(t->scratch);
        t->scratch = grown;
        t->scratch_size = rounded;
    }
    return t->scratch;
}

/* Interned integer vectors: each distinct shape or stride vector is stored once, so equality is equality of ids. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tape.h"

enum { FIRST_SLOTS = 64 };

static uint32_t hash_vector(int ndim, const int64_t *x) { /* FNV-1a over the words */
    uint64_t h = 14695981039346656037u ^ (uint64_t)ndim;
    for (int i = 0; i < ndim; i++) h = (h ^ (uint64_t)x[i]) * 1099511628211u;
    return (uint32_t)(h ^ (h >> 32));
}

bool wg_vectors_init(wg_vectors *v) {
    memset(v, 0, sizeof *v);
    v->slots = malloc(FIRST_SLOTS * sizeof *v->slots);
    if (!v->slots) return false;
    v->n_slots = FIRST_SLOTS;
    memset(v->slots, 0xff, FIRST_SLOTS * sizeof *v->slots);
    return true;
}

void wg_vectors_free(wg_vectors *v) {
    free(v->pool);
    free(v->items);
    free(v->slots);
    memset(v, 0, sizeof *v);
}

/* The slot that holds the vector, or the empty one where it belongs. */
static uint32_t *find_slot(const wg_vectors *v, int ndim, const int64_t *x) {
    uint32_t mask = v->n_slots - 1, at = hash_vector(ndim, x) & mask;
    for (;; at = (at + 1) & mask) {
        uint32_t id = v->slots[at];
        if (id == WG_NONE) return &v->slots[at];
        const wg_vector *item = &v->items[id];
        if (item->ndim == ndim && (ndim == 0 || memcmp(v->pool + item->start, x, (size_t)ndim * sizeof *x) == 0))
            return &v->slots[at];
    }
}

static bool double_slots(wg_vectors *v) {
    uint32_t n = v->n_slots * 2, *old = v->slots;
    uint32_t *slots = malloc(n * sizeof *slots);
    if (!slots) return false;
    memset(slots, 0xff, n * sizeof *slots);
    v->slots = slots;
    v->n_slots = n;
    for (uint32_t id = 0; id < v->len; id++) *find_slot(v, v->items[id].ndim, v->pool + v->items[id].start) = id;
    free(old);
    return true;
}

static int64_t saturated_product(int ndim, const int64_t *x) {
    int64_t size = 1;
    for (int i = 0; i < ndim; i++) {
        if (x[i] == 0) return 0;
        if (size > INT64_MAX / llabs(x[i])) return INT64_MAX;
        size *= llabs(x[i]);
    }
    return size;
}

uint32_t wg_intern(wg_vectors *v, int ndim, const int64_t *x) {
    uint32_t *slot = find_slot(v, ndim, x);
    if (*slot != WG_NONE) return *slot;
    if (v->len * 2 >= v->n_slots) {
        if (!double_slots(v)) return WG_NONE;
        slot = find_slot(v, ndim, x);
    }
    int64_t copy[WG_MAX_NDIM]; /* x may lie in the pool, which moves */
    if (ndim) memcpy(copy, x, (size_t)ndim * sizeof *x);
    if (!wg_grow(&v->items, &v->cap, (uint64_t)v->len + 1, sizeof *v->items) ||
        !wg_grow(&v->pool, &v->pool_cap, (uint64_t)v->pool_len + (uint64_t)ndim + 1, sizeof *v->pool))
        return WG_NONE;
    v->items[v->len] = (wg_vector){.start = v->pool_len, .ndim = ndim, .size = saturated_product(ndim, copy)};
    if (ndim) memcpy(v->pool + v->pool_len, copy, (size_t)ndim * sizeof *x);
    v->pool_len += (uint32_t)ndim;
    return *slot = v->len++;
}

const char *wg_shape_text(int ndim, const int64_t *shape, char *text, size_t size) {
    size_t at = (size_t)snprintf(text, size, "(");
    for (int i = 0; i < ndim && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, i ? ", %lld" : "%lld", (long long)shape[i]);
    if (at < size) snprintf(text + at, size - at, ndim == 1 ? ",)" : ")");
    return text;
}

wg_status wg_make_shape(wg_tape *t, wg_dtype dtype, int ndim, const int64_t *shape, uint32_t *out) {
    if (ndim < 0 || ndim > WG_MAX_NDIM)
        return wg_fail(t, WG_VALUE_ERROR, "shape has %d axes, at most %d are supported", ndim, WG_MAX_NDIM);
    int64_t bytes = (int64_t)wg_itemsize(dtype); /* of the non-zero extents, so that strides fit as well */
    for (int i = 0; i < ndim; i++) {
        char text[256];
        if (shape[i] < 0)
            return wg_fail(t, WG_VALUE_ERROR, "shape %s has a negative extent",
                           wg_shape_text(ndim, shape, text, sizeof text));
        if (shape[i] > 0 && bytes > INT64_MAX / shape[i])
            return wg_fail(t, WG_VALUE_ERROR, "shape %s is too big: its bytes do not fit in 63 bits",
                           wg_shape_text(ndim, shape, text, sizeof text));
        if (shape[i] > 0) bytes *= shape[i];
    }
    *out = wg_intern(&t->vectors, ndim, shape);
    return *out == WG_NONE ? wg_no_memory(t) : WG_OK;
}

wg_status wg_broadcast_shapes(wg_tape *t, const char *op, uint32_t a, uint32_t b, uint32_t *out) {
    if (a == b || wg_vec_ndim(t, b) == 0) return *out = a, WG_OK;
    if (wg_vec_ndim(t, a) == 0) return *out = b, WG_OK;
    int na = wg_vec_ndim(t, a), nb = wg_vec_ndim(t, b), n = na > nb ? na : nb;
    const int64_t *sa = wg_vec(t, a), *sb = wg_vec(t, b);
    int64_t shape[WG_MAX_NDIM];
    for (int i = 1; i <= n; i++) { /* from the last axis */
        int64_t x = i <= na ? sa[na - i] : 1, y = i <= nb ? sb[nb - i] : 1;
        if (x != y && x != 1 && y != 1) {
            char ta[256], tb[256];
            return wg_fail(t, WG_VALUE_ERROR,
                           "%s: operands of shapes %s and %s do not broadcast together; x[:, None] or "
                           "keepdims=True may align them",
                           op, wg_shape_text(na, sa, ta, sizeof ta), wg_shape_text(nb, sb, tb, sizeof tb));
        }
        shape[n - i] = x == 1 ? y : x;
    }
    return wg_make_shape(t, WG_C128, n, shape, out); /* the largest item: safe for any dtype */
}

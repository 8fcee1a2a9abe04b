/* Values of an eager tape's nodes: reference-counted buffers and strided views into them. */
#include <stdlib.h>
#include <string.h>

#include "tape.h"

enum { HEADER = 64 }; /* the buffer's header, and the alignment of its data */
_Static_assert(sizeof(wg_buffer) <= HEADER, "the header fits in one cache line");

wg_buffer *wg_buffer_new(size_t size) {
    if (size > SIZE_MAX - 2 * HEADER) return NULL;
    size = (size + HEADER - 1) / HEADER * HEADER;
    wg_buffer *b = aligned_alloc(HEADER, HEADER + size);
    if (b) *b = (wg_buffer){.refs = 1, .data = (char *)b + HEADER, .size = size};
    return b;
}

void wg_buffer_retain(wg_buffer *b) { b->refs++; }

void wg_buffer_release(wg_buffer *b) {
    if (--b->refs) return;
    if (b->release) b->release(b->owner);
    free(b);
}

/* Buffers are kept for the next values of about their size, in a list for each power of two: memory fresh from the
 * system costs a page fault for every 4 KB, several times what an op does with it, and the allocator's own bookkeeping
 * about as much as an op on a kilobyte. */
enum { SPARE_LEAST = 1 << 10, LOOKED_AT = 4 };
static const size_t spare_most = (size_t)32 << 20; /* bytes a tape keeps in all */

static wg_buffer **spares_of(wg_tape *t, size_t size) {
    int power = 0;
    while (power < WG_SPARES - 1 && size >> power > SPARE_LEAST) power++;
    return &t->spares[power];
}

static void let_go(wg_tape *t, wg_buffer *b) {
    if (b->refs > 1 || b->release || b->size < SPARE_LEAST || b->size > spare_most - t->spare_bytes) {
        wg_buffer_release(b);
        return;
    }
    wg_buffer **list = spares_of(t, b->size);
    b->owner = *list; /* the next one */
    *list = b;
    t->spare_bytes += b->size;
}

static wg_buffer *new_buffer(wg_tape *t, size_t size) {
    wg_buffer *b, **at = spares_of(t, size);
    for (int i = 0; size >= SPARE_LEAST && i < LOOKED_AT && (b = *at); i++, at = (wg_buffer **)&b->owner) {
        if (b->size < size || b->size / 2 > size) continue;
        *at = b->owner;
        b->owner = NULL;
        t->spare_bytes -= b->size;
        return b;
    }
    return wg_buffer_new(size);
}

void wg_free_spares(wg_tape *t) {
    for (int i = 0; i < WG_SPARES; i++)
        for (wg_buffer *b; (b = t->spares[i]); wg_buffer_release(b)) t->spares[i] = b->owner;
}

wg_status wg_set_view(wg_tape *t, wg_id id, wg_buffer *buffer, int64_t offset, uint32_t strides) {
    uint32_t view = t->views_free;
    if (view != WG_NONE) {
        t->views_free = t->views[view].strides;
    } else {
        if (!wg_grow(&t->views, &t->views_cap, (uint64_t)t->views_len + 1, sizeof *t->views)) {
            wg_buffer_release(buffer);
            return wg_no_memory(t);
        }
        view = t->views_len++;
    }
    t->views[view] = (wg_view){.buffer = buffer, .offset = offset, .strides = strides};
    wg_node_rec *node = &t->nodes[id];
    node->value.view = view;
    node->flags |= WG_FLAG_VALUE | WG_FLAG_VIEW;
    return WG_OK;
}

void wg_contiguous_strides(int ndim, const int64_t *shape, int64_t *strides) {
    int64_t step = 1;
    for (int i = ndim - 1; i >= 0; i--) {
        strides[i] = step;
        if (shape[i] > 1) step *= shape[i];
    }
}

void *wg_alloc_value(wg_tape *t, wg_id id) {
    wg_node_rec *node = &t->nodes[id];
    size_t itemsize = wg_itemsize(node->dtype);
    int ndim = wg_ndim(t, id);
    if (wg_size(t, id) == 1 && itemsize <= sizeof node->value) {
        node->flags = (uint8_t)((node->flags | WG_FLAG_VALUE) & ~WG_FLAG_VIEW);
        return &node->value;
    }
    int64_t strides[WG_MAX_NDIM];
    wg_contiguous_strides(ndim, wg_shape(t, id), strides);
    uint32_t stride_id = wg_intern(&t->vectors, ndim, strides);
    if (stride_id == WG_NONE) return NULL;
    wg_buffer *buffer = new_buffer(t, (size_t)wg_size(t, id) * itemsize); /* fits: wg_make_shape checked */
    if (!buffer || wg_set_view(t, id, buffer, 0, stride_id) != WG_OK) return NULL;
    return buffer->data;
}

void wg_drop_value(wg_tape *t, wg_id id) {
    wg_node_rec *node = &t->nodes[id];
    if (node->flags & WG_FLAG_VIEW) {
        wg_view *view = &t->views[node->value.view];
        let_go(t, view->buffer);
        *view = (wg_view){.strides = t->views_free};
        t->views_free = node->value.view;
    }
    node->flags &= (uint8_t) ~(WG_FLAG_VALUE | WG_FLAG_VIEW);
}

char *wg_data(wg_tape *t, wg_id id) {
    wg_node_rec *node = &t->nodes[id];
    if (!(node->flags & WG_FLAG_VALUE)) return NULL;
    if (!(node->flags & WG_FLAG_VIEW)) return (char *)&node->value;
    const wg_view *view = &t->views[node->value.view];
    return (char *)view->buffer->data + view->offset * (int64_t)wg_itemsize(node->dtype);
}

const int64_t *wg_strides(const wg_tape *t, wg_id id) {
    const wg_node_rec *node = &t->nodes[id];
    return wg_vec(t, node->flags & WG_FLAG_VIEW ? t->views[node->value.view].strides : node->shape); /* or all ones */
}

/* Reshape without a copy: split and merge runs of axes, each of which must be contiguous within itself. */
static bool reshape_view(int n_in, const int64_t *in, const int64_t *in_strides, int n_out, const int64_t *out,
                         int64_t *strides) {
    int64_t old[WG_MAX_NDIM], old_strides[WG_MAX_NDIM];
    int n_old = 0;
    for (int i = 0; i < n_in; i++) { /* axes of extent 1 carry no information */
        if (in[i] == 1) continue;
        old[n_old] = in[i];
        old_strides[n_old++] = in_strides[i];
    }
    int i = 0, j = 0;
    while (i < n_old && j < n_out) {
        int i1 = i + 1, j1 = j + 1;
        int64_t before = old[i], after = out[j];
        while (before != after) {
            if (before < after)
                before *= old[i1++];
            else
                after *= out[j1++];
        }
        for (int k = i; k + 1 < i1; k++)
            if (old_strides[k] != old[k + 1] * old_strides[k + 1]) return false;
        strides[j1 - 1] = old_strides[i1 - 1];
        for (int k = j1 - 1; k > j; k--) strides[k - 1] = strides[k] * out[k];
        i = i1;
        j = j1;
    }
    for (; j < n_out; j++) strides[j] = 1; /* what remains has extent 1 */
    return true;
}

bool wg_view_op(int op, const int64_t *attrs, int ndim_in, const int64_t *shape_in, const int64_t *strides_in,
                int ndim_out, const int64_t *shape_out, int64_t *offset, int64_t *strides_out) {
    *offset = 0;
    for (int i = 0; op == WG_reshape && i < ndim_out; i++)
        if (shape_out[i] == 0) { /* empty: any strides do */
            wg_contiguous_strides(ndim_out, shape_out, strides_out);
            return true;
        }
    switch (op) {
    case WG_reshape: return reshape_view(ndim_in, shape_in, strides_in, ndim_out, shape_out, strides_out);
    case WG_transpose:
        for (int i = 0; i < ndim_out; i++) strides_out[i] = strides_in[attrs[i]];
        return true;
    case WG_broadcast:
        for (int i = 0; i < ndim_out; i++) {
            int k = i - (ndim_out - ndim_in);
            strides_out[i] = k < 0 || (shape_in[k] == 1 && shape_out[i] != 1) ? 0 : strides_in[k];
        }
        return true;
    case WG_slice:
        for (int i = 0; i < ndim_out; i++) {
            if (shape_out[i] > 0) *offset += attrs[3 * i] * strides_in[i];
            strides_out[i] = shape_out[i] > 1 ? attrs[3 * i + 1] * strides_in[i] : strides_in[i];
        }
        return true;
    default: /* copy, stop_gradient */
        for (int i = 0; i < ndim_out; i++) strides_out[i] = strides_in[i];
        return true;
    }
}

wg_status wg_read(wg_tape *t, wg_id id, void *dst) {
    WG_TRY(wg_check_id(t, id, "read"));
    const char *src = wg_data(t, id);
    if (!src) return wg_fail(t, WG_RUNTIME_ERROR, "node %u (%s) has no value", id, wg_row(t->nodes[id].op)->name);
    wg_pack(dst, (wg_dtype)t->nodes[id].dtype, wg_ndim(t, id), wg_shape(t, id), wg_strides(t, id), src);
    return WG_OK;
}

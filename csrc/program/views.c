/* Views of a flat tape: whose elements a node reads, and where they lie among them. */
#include "program.h"

static wg_status window_of_view(wg_tape *t, wg_window *windows, wg_id id, bool *is_view) {
    const wg_id x = t->nodes[id].in[0];
    int64_t offset, strides[WG_MAX_NDIM];
    *is_view = wg_view_op(t->nodes[id].op, wg_attr(t, id), wg_ndim(t, x), wg_shape(t, x), wg_vec(t, windows[x].strides),
                          wg_ndim(t, id), wg_shape(t, id), &offset, strides);
    if (!*is_view) return WG_OK;
    windows[id] = (wg_window){.root = windows[x].root, .offset = windows[x].offset + offset};
    windows[id].strides = wg_intern(&t->vectors, wg_ndim(t, id), strides);
    return windows[id].strides == WG_NONE ? wg_no_memory(t) : WG_OK;
}

uint32_t wg_contiguous(wg_tape *t, wg_id id) {
    int64_t strides[WG_MAX_NDIM];
    wg_contiguous_strides(wg_ndim(t, id), wg_shape(t, id), strides);
    return wg_intern(&t->vectors, wg_ndim(t, id), strides);
}

static void note_gradient(const wg_tape *t, wg_window *windows, wg_id product) {
    const wg_id x = t->nodes[product].in[0];
    const int64_t *strides = wg_vec(t, windows[x].strides);
    if (wg_ndim(t, x) == 2 && strides[0] == 1 && strides[1] != 1)
        windows[windows[x].root].gradient = t->nodes[product].shape;
}

wg_status wg_find_windows(wg_tape *t, const int64_t *const *strides, wg_window *windows) {
    for (wg_id id = 0; id < t->len; id++) {
        bool is_view = false;
        if (wg_is_view_op(t->nodes[id].op)) WG_TRY(window_of_view(t, windows, id, &is_view));
        if (is_view) continue;
        const int64_t *own = strides && t->nodes[id].op == WG_input ? strides[wg_attr(t, id)[0]] : NULL;
        if (t->nodes[id].op == WG_matmul) note_gradient(t, windows, id);
        windows[id] = (wg_window){.root = id, .gradient = WG_NONE};
        windows[id].strides = own ? wg_intern(&t->vectors, wg_ndim(t, id), own) : wg_contiguous(t, id);
        if (windows[id].strides == WG_NONE) return wg_no_memory(t);
    }
    return WG_OK;
}

wg_array wg_window_array(const wg_tape *t, const wg_window *windows, wg_id id) {
    return (wg_array){.shape = wg_shape(t, id),
                      .strides = wg_vec(t, windows[id].strides),
                      .ndim = wg_ndim(t, id),
                      .dtype = (wg_dtype)t->nodes[id].dtype};
}

bool wg_computes(const wg_tape *t, const wg_window *windows, wg_id id) {
    return windows[id].root == id && wg_row(t->nodes[id].op)->kind != WG_KIND_LEAF;
}

wg_status wg_read_in_place(wg_tape *t, const uint32_t *range, const int64_t *const *strides, const int64_t **in_place,
                           wg_window *windows) {
    for (uint32_t k = 0; k < t->n_inputs; k++) {
        in_place[k] = strides[k];
        if (strides[k] && wg_intern(&t->vectors, wg_ndim(t, t->inputs[k]), strides[k]) == WG_NONE)
            return wg_no_memory(t);
    }
    for (wg_id id = 0; id < t->len; id++)
        for (int k = range[id] != WG_NONE && wg_computes(t, windows, id) ? wg_n_in(t, id) : 0; k-- > 0;) {
            const wg_id root = windows[wg_in(t, id)[k]].root;
            if (t->nodes[root].op == WG_input) in_place[wg_attr(t, root)[0]] = NULL;
        }
    return wg_find_windows(t, in_place, windows);
}

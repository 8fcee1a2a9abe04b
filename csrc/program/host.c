/* Host ops: a function outside of the core, which the binding calls in Python.  It sees contiguous operands. */
#include "program.h"

static size_t padded(const wg_array *x) { return wg_round_up((size_t)wg_array_size(x) * wg_itemsize(x->dtype)); }

size_t wg_host_scratch(const wg_step *step) {
    size_t size = 0;
    for (int k = 0; k < step->n_in; k++) size = wg_plus(size, wg_plus(padded(&step->in[k]), sizeof(wg_array)));
    return size;
}

wg_status wg_execute_host(const wg_kernels *kernels, wg_step *step) {
    const int64_t kind = step->attrs[WG_HOST_MATRIX];
    if (kind && kernels->small_matrices(kind, step->n_in, step->in, &step->out)) return WG_OK;
    wg_array *in = step->scratch, out = step->out;
    char *copies = (char *)step->scratch + (size_t)step->n_in * sizeof *in;
    for (int k = 0; k < step->n_in; k++) {
        in[k] = step->in[k];
        if (wg_array_contiguous(&in[k])) in[k].strides = NULL;
        if (kind || !in[k].strides) continue;
        wg_gather(copies, &in[k], 0, wg_array_size(&in[k]));
        in[k].data = copies, in[k].strides = NULL;
        copies += padded(&step->in[k]);
    }
    out.strides = NULL;
    wg_host_fn call = (wg_host_fn)(uintptr_t)step->attrs[WG_HOST_CALL];
    if (call((void *)(uintptr_t)step->attrs[WG_HOST_CONTEXT], step->n_in, in, &out)) return WG_OK;
    step->problem = "the function raised an exception";
    return WG_RUNTIME_ERROR;
}

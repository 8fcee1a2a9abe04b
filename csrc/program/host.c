/* Host ops: a function outside of the core, which the binding calls in Python.  It sees contiguous operands. */
#include "program.h"

static size_t padded(const wg_array *x) { return wg_round_up((size_t)wg_array_size(x) * wg_itemsize(x->dtype)); }

size_t wg_host_scratch(const wg_step *step) {
    size_t size = 0;
    for (int k = 0; k < step->n_in; k++) size = wg_plus(size, wg_plus(padded(&step->in[k]), sizeof(wg_host_array)));
    return size;
}

wg_status wg_execute_host(wg_step *step) {
    wg_host_array *in = step->scratch;
    char *copies = (char *)step->scratch + (size_t)step->n_in * sizeof *in;
    for (int k = 0; k < step->n_in; k++) {
        const wg_array *x = &step->in[k];
        in[k] = (wg_host_array){.data = x->data, .ndim = x->ndim, .shape = x->shape, .dtype = x->dtype};
        if (wg_array_contiguous(x)) continue;
        wg_gather(copies, x, 0, wg_array_size(x));
        in[k].data = copies;
        copies += padded(x);
    }
    const wg_array *y = &step->out;
    wg_host_array out = {.data = y->data, .ndim = y->ndim, .shape = y->shape, .dtype = y->dtype};
    wg_host_fn call = (wg_host_fn)(uintptr_t)step->attrs[WG_HOST_CALL];
    if (call((void *)(uintptr_t)step->attrs[WG_HOST_CONTEXT], step->n_in, in, &out)) return WG_OK;
    step->problem = "the function raised an exception";
    return WG_RUNTIME_ERROR;
}

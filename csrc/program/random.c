/* Random numbers: an array for each key, element by element a function of key, stream and place. */
#include "program.h"

typedef struct {
    const wg_kernels *k;
    const wg_step *step;
    int64_t each; /* elements of one key */
} wg_draw;

/* Part `part` of every key's elements. */
static void run_part(void *context, int part) {
    const wg_draw *d = context;
    const wg_array *keys = &d->step->in[0], *out = &d->step->out;
    const int64_t *attrs = d->step->attrs, itemsize = (int64_t)wg_itemsize(out->dtype);
    const int parts = d->step->parts;
    int64_t length = (d->each / parts + WG_TILE - 1) / WG_TILE * WG_TILE, start = part * length;
    int64_t end = part == parts - 1 || start + length > d->each ? d->each : start + length;
    for (int64_t i = 0, n = wg_array_size(keys); i < n && start < end; i++) {
        uint64_t item;
        const uint64_t *key = wg_fetch(&item, keys, i, 1);
        d->k->random(out->data + (i * d->each + start) * itemsize, out->dtype, *key, (uint64_t)attrs[1], start,
                     end - start);
    }
}

wg_status wg_execute_random(const wg_kernels *k, wg_step *step) {
    int64_t size = wg_array_size(&step->out);
    if (size == 0) return WG_OK;
    wg_draw d = {.k = k, .step = step, .each = size / wg_array_size(&step->in[0])};
    wg_parallel(step->alone, step->parts, run_part, &d);
    return WG_OK;
}

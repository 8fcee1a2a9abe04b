/* Blocks of an arena: taken at a definition, given back after the last reader. */
#include <stdlib.h>
#include <string.h>

#include "program.h"

static void remove_gap(wg_arena *a, uint32_t at) {
    a->n_gaps--;
    memmove(a->gaps + at, a->gaps + at + 1, (a->n_gaps - at) * sizeof *a->gaps);
}

bool wg_arena_give(wg_arena *a, size_t offset, size_t size) {
    a->live -= size;
    uint32_t at = 0;
    while (at < a->n_gaps && a->gaps[at].offset < offset) at++;
    if (!wg_grow(&a->gaps, &a->cap_gaps, (uint64_t)a->n_gaps + 1, sizeof *a->gaps)) return false;
    memmove(a->gaps + at + 1, a->gaps + at, (a->n_gaps - at) * sizeof *a->gaps);
    a->gaps[at] = (wg_block){offset, size};
    a->n_gaps++;
    wg_block *gap = &a->gaps[at]; /* merge with the next, then with the one before */
    if (at + 1 < a->n_gaps && gap->offset + gap->size == gap[1].offset) {
        gap->size += gap[1].size;
        remove_gap(a, at + 1);
    }
    if (at > 0 && gap[-1].offset + gap[-1].size == gap->offset) {
        gap[-1].size += gap->size;
        remove_gap(a, at);
    }
    return true;
}

/* Lets the arena end at start + size bytes, if there can be such an arena. */
static bool extend(wg_arena *a, size_t start, size_t size) {
    if (size > PTRDIFF_MAX - start) return false;
    a->size = start + size;
    return true;
}

bool wg_arena_take(wg_arena *a, size_t size, size_t *offset) {
    a->live += size;
    if (a->live > a->most) a->most = a->live;
    uint32_t best = WG_NONE;
    for (uint32_t i = 0; i < a->n_gaps; i++)
        if (a->gaps[i].size >= size && (best == WG_NONE || a->gaps[i].size < a->gaps[best].size)) best = i;
    const wg_block *last = a->n_gaps ? &a->gaps[a->n_gaps - 1] : NULL;
    if (best == WG_NONE && last && last->offset + last->size == a->size) { /* the gap at the end, made larger */
        best = a->n_gaps - 1;
        if (!extend(a, last->offset, size)) return false;
        a->gaps[best].size = size;
    } else if (best == WG_NONE) {
        *offset = a->size;
        return extend(a, a->size, size);
    }
    *offset = a->gaps[best].offset;
    a->gaps[best].offset += size;
    a->gaps[best].size -= size;
    if (a->gaps[best].size == 0) remove_gap(a, best);
    return true;
}

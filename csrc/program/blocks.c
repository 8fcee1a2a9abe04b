/* How many rows a block of a region has, and into how many groups its blocks fall: by shapes alone. */
#include <stdlib.h>

#include "program.h"

enum {
    TILE_BYTES = 1 << 16,         /* of one block's tiles and rows, about, so that they stay in the first caches */
    PRODUCT_TILE_BYTES = 1 << 18, /* with products more: each block reads and writes whole matrices besides */
    LEAST_ROWS = 6,               /* in a block of products: the rows of the register tile */
    ALIGNED_ROWS = 64,            /* blocks of rows of one element start at cache lines */
    LONGEST = 4096,               /* of elements that are rows of their own */
    GROUP_NS = 4500, /* what a group of rows should be worth: waking a thread that has not gone to sleep takes 1 us */
    PRODUCTS_NS = 40000,   /* beyond two groups, with products: each of them reads all matrices again */
    GROUP_ROWS = 16,       /* of products */
    SHARED_NS = 25000,     /* of many rows, of which each reads its own alone; so many groups at most, */
    SHARED_GROUPS = 4,     /* for each has a whole result to add, */
    SHARED_SUMS = 1 << 21, /* of so many bytes in all */
    MAX_SUMS = 1 << 18,    /* bytes of all groups' sums: adding them up must stay cheap beside the work */
    SUM_NS = 32,           /* what 64 bytes of a second group's sums cost: 20 where cores are near, 140 where not */
};

static int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

void wg_choose_blocks(wg_region *r, size_t row_bytes, bool flat, bool multiplies, bool shared) {
    int64_t tile = row_bytes ? (int64_t)row_bytes : 8;
    for (uint32_t k = 0; k < r->n_slots && !multiplies; k++) /* arrays that pass by need the cache as well */
        if (r->slots[k].kind == WG_SLOT_ARRAY) tile += llabs(r->slots[k].per_row); /* some go backwards */
    int64_t block = (multiplies ? PRODUCT_TILE_BYTES : TILE_BYTES) / tile, least = multiplies ? LEAST_ROWS : 1;
    if (block < least) block = least;
    if (flat && block > LONGEST) block = LONGEST;
    const int64_t piece = divide_up(r->rows, (int64_t)(r->cost / WG_PIECE) + 1);
    if (shared && block > piece) block = piece;
    r->unit = flat ? r->rows > 1 ? ALIGNED_ROWS : 8 : 1;
    int64_t most = shared ? SHARED_GROUPS : divide_up(r->rows, multiplies ? GROUP_ROWS : block);
    if (most > r->rows / r->unit) most = r->rows / r->unit; /* no group is empty */
    const double worth = shared ? SHARED_NS : multiplies ? PRODUCTS_NS : GROUP_NS;
    const bool pays = shared || r->cost / 2 > (double)r->sum_bytes / 64 * SUM_NS;
    /* a power of two, so that threads have as many each; what only passes by costs twice as much beyond L1 */
    int groups = pays && r->cost >= (multiplies ? 2 : 1) * GROUP_NS ? 2 : 1;
    while (groups < WG_MAX_GROUPS && 2 * groups * worth <= r->cost) groups *= 2;
    while (groups > 1 && groups > most) groups /= 2;
    while (groups > 1 && wg_times((size_t)groups, r->sum_bytes) > (shared ? SHARED_SUMS : MAX_SUMS)) groups /= 2;
    r->groups = groups;
    const int64_t rows = divide_up(r->rows, r->groups); /* of a group: shared evenly among its blocks */
    const int64_t tile_rows = divide_up(divide_up(rows, divide_up(rows, block)), r->unit) * r->unit;
    r->block = tile_rows < r->rows ? tile_rows : r->rows;
    for (uint32_t k = 0; k < r->n_slots; k++) {
        if (r->slots[k].kind != WG_SLOT_TILE) continue;
        r->slots[k].base *= tile_rows;
        r->slots[k].per_row = 0; /* blocks use the same tiles */
    }
    r->tile_bytes = wg_round_up(wg_times(row_bytes, (size_t)tile_rows));
    size_t scratch = 0;
    for (uint32_t k = 0; k < r->n_code; k++) {
        const wg_micro *micro = &r->code[k];
        if (micro->gathers || micro->role == WG_ROLE_MAP || micro->role == WG_ROLE_TOTAL) continue;
        wg_detail *detail = &r->details[micro->detail];
        wg_gemm *g = &detail->gemm;
        if (micro->role == WG_ROLE_COLUMNS)
            *g = (wg_gemm){
                .m = 1, .n = micro->width, .k = r->block, .b_row = micro->width, .b_col = 1, .c_row = micro->width};
        if (micro->role == WG_ROLE_PRODUCT) g->m = r->block * detail->extent;
        if (micro->role == WG_ROLE_OUTER) g->k = r->block * detail->extent;
        if (g->n == 0) continue; /* a reduction that needs none */
        const size_t need = wg_kernels_table()->gemm_scratch[detail->dtype](g->m, g->n, g->k);
        if (need > scratch) scratch = need;
    }
    r->gemm_bytes = wg_round_up(scratch);
}

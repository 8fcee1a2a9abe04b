/* Regions, run: one block of rows after the other through all micro-ops.  Rows fall into groups that shapes alone fix;
 * each group has sums of its own, which are added in a fixed tree, so that the bits do not depend on the threads. */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "program.h"

enum {
    LINE = 16,            /* elements: a cache line or two, in which one thread writes */
    SHARED_SUMS = 1 << 13 /* bytes of a group's sums from which on threads share their addition */
};

typedef struct {
    const wg_kernels *k;
    const wg_region *r;
    const wg_step *step;
    char *areas, *sums; /* of the scratch memory; sums: of all groups but the first */
    size_t area_bytes;
    int parts;                  /* of the sums */
    const void *caller;         /* the thread that waits for all groups */
    _Atomic uint64_t busy;      /* areas in use, as bits */
    bool filled[WG_MAX_GROUPS]; /* by area: what is the same for all rows is there, in the cache of the area's thread */
} wg_run;

typedef struct { /* one group on its way */
    const wg_run *run;
    char **at;         /* by slot, for the current block */
    char *gemm;        /* scratch */
    int64_t row, rows; /* the first of the block, and how many */
    bool first;        /* block of the group */
} wg_block_run;

/* ---- micro-ops --------------------------------------------------------------------------------------------- */
/* A pair whose rows do not all lie in order. */
static void run_parts(const wg_block_run *b, const wg_micro *micro) {
    const void *in[3];
    const int64_t before = micro->first > b->row ? micro->first - b->row : 0; /* rows that stay as they are */
    const int64_t end = micro->end && micro->end - b->row < b->rows ? micro->end - b->row : b->rows;
    wg_pace pace = {.n = micro->part, .parts = micro->width / micro->part, .rows = end - before};
    int64_t skipped[4];
    for (int k = 0; k < 4; k++) {
        skipped[k] = micro->offset[k] + before * micro->pitch[k] * micro->out_size;
        if (k < 3) in[k] = b->at[micro->in[k]] + skipped[k], pace.moves[k] = micro->strides[k];
        pace.part[k] = micro->strides[k] && !micro->again[k] ? micro->part + micro->gap[k] : 0;
        pace.row[k] = micro->pitch[k] - pace.parts * pace.part[k];
    }
    micro->pair(b->at[micro->out] + skipped[3], in, &pace);
}

static void run_map(const wg_block_run *b, const wg_micro *micro) {
    const int64_t n = b->rows * micro->width;
    const double *params = b->run->r->details ? b->run->r->details[micro->detail].params : NULL;
    const int64_t chunk = micro->chunk ? micro->chunk : n;
    wg_pace pace = {.parts = 1, .rows = 1, .moves = {micro->strides[0], micro->strides[1], micro->strides[2]}};
    const void *in[4];
    for (int k = 0; k < 4; k++) in[k] = b->at[micro->in[k]];
    char *out = b->at[micro->out];
    for (int64_t left = n;;) {
        const int64_t size = pace.n = left < chunk ? left : chunk;
        if (micro->pair)
            micro->pair(out, in, &pace);
        else
            micro->map(out, in, size, params);
        if ((left -= size) == 0) return; /* mostly at once */
        out += size * micro->out_size;
        for (int k = 0; k < 4; k++) in[k] = (const char *)in[k] + size * micro->moves[k];
    }
}

static void run_chain(const wg_block_run *b, const wg_micro *micro) {
    const wg_detail *detail = &b->run->r->details[micro->detail];
    void *at[WG_CHAIN_SLOTS];
    for (int k = 0; k < detail->extent; k++) at[k] = b->at[detail->slots[k]];
    micro->chain(at, b->rows * micro->width);
}

static void run_gather(const wg_block_run *b, const wg_micro *micro) {
    const wg_detail *detail = &b->run->r->details[micro->detail];
    const wg_tape *t = b->run->r->t;
    int64_t shape[WG_MAX_NDIM];
    wg_array x = {.data = b->at[micro->in[0]] + detail->reading.offset * (int64_t)wg_itemsize(detail->dtype),
                  .shape = shape,
                  .strides = wg_vec(t, detail->reading.strides),
                  .ndim = wg_vec_ndim(t, detail->reading.shape),
                  .dtype = detail->dtype};
    if (x.ndim) memcpy(shape, wg_vec(t, detail->reading.shape), (size_t)x.ndim * sizeof *shape);
    if (x.ndim) shape[0] = b->rows;
    wg_gather(b->at[micro->out], &x, 0, b->rows * micro->width);
}

static const void *one_of(wg_dtype dtype) {
    static const float one_f32 = 1;
    static const double one_f64 = 1;
    return dtype == WG_F32 ? (const void *)&one_f32 : (const void *)&one_f64;
}

static void run_gemm(const wg_block_run *b, const wg_micro *micro) {
    const wg_detail *detail = &b->run->r->details[micro->detail];
    const wg_kernels *k = b->run->k;
    wg_gemm g = detail->gemm;
    wg_gemm_fn run = k->gemm[detail->dtype];
    g.c = b->at[micro->out];
    g.scratch = b->gemm;
    if (micro->role == WG_ROLE_COLUMNS) { /* a row of ones, all of them the same one, times the block */
        g.a = one_of(detail->dtype);
        g.b = b->at[micro->in[0]];
        if (g.n > 1) run = k->gemv[detail->dtype]; /* several chains at once, where rows are short */
    } else {
        g.a = b->at[micro->in[0]];
        g.b = b->at[micro->in[1]];
    }
    if (micro->role == WG_ROLE_PRODUCT) {
        g.m = b->rows * detail->extent;
        run = wg_gemm_for(k, detail->dtype, b->run->r->rows * detail->extent, g.n);
        if (micro->biased) g.bias = b->at[micro->in[2]];
    } else {
        g.k = micro->role == WG_ROLE_OUTER ? b->rows * detail->extent : b->rows;
        g.accumulate = !b->first;
    }
    run(&g);
}

static void run_total(const wg_block_run *b, const wg_micro *micro) {
    const wg_detail *detail = &b->run->r->details[micro->detail];
    void *sum = b->at[micro->out];
    int64_t part;
    b->run->k->fold[WG_FOLD_SUM][detail->dtype](b->first ? sum : &part, b->at[micro->in[0]], b->rows * micro->width, 1);
    if (!b->first) b->run->k->map[WG_add][detail->dtype](sum, (const void *[]){sum, &part}, 1, NULL);
}

enum { RESULTS = 64 }; /* of logsumexp at once */

/* log(sum(exp(x - m))) + m for `n` rows of `extent` elements, m = max(x), or 0 where that is not finite. */
static void log_sum_exp(const wg_kernels *k, wg_dtype dtype, char *out, const char *x, char *shifted, int64_t n,
                        int64_t extent) {
    _Alignas(64) char sums[RESULTS * sizeof(double)];
    k->fold[WG_FOLD_MAX][dtype](out, x, extent, n);
    for (int64_t i = 0; i < n; i++) {
        if (dtype == WG_F32 && !isfinite(((float *)out)[i])) ((float *)out)[i] = 0;
        if (dtype == WG_F64 && !isfinite(((double *)out)[i])) ((double *)out)[i] = 0;
    }
    wg_copy_plane(shifted, out, (wg_axis){n, extent, 1}, (wg_axis){extent, 1, 0}, (int64_t)wg_itemsize(dtype));
    k->map[WG_sub][dtype](shifted, (const void *[]){x, shifted}, n * extent, NULL);
    k->map[WG_exp][dtype](shifted, (const void *[]){shifted}, n * extent, NULL);
    k->fold[WG_FOLD_SUM][dtype](sums, shifted, extent, n);
    k->map[WG_log][dtype](sums, (const void *[]){sums}, n, NULL);
    k->map[WG_add][dtype](out, (const void *[]){sums, out}, n, NULL);
}

static void run_fold(const wg_block_run *b, const wg_micro *micro) {
    const wg_kernels *k = b->run->k;
    const wg_detail *detail = &b->run->r->details[micro->detail];
    const int64_t n = b->rows * micro->width, item = (int64_t)wg_itemsize(detail->dtype), extent = detail->extent;
    char *out = b->at[micro->out], *x = b->at[micro->in[0]];
    if (micro->op == WG_logsumexp) {
        for (int64_t i = 0; i < n; i += RESULTS)
            log_sum_exp(k, detail->dtype, out + i * item, x + i * extent * item,
                        b->at[micro->in[1]] + i * extent * item, n - i < RESULTS ? n - i : RESULTS, extent);
        return;
    }
    const int fold = micro->op == WG_max ? WG_FOLD_MAX : micro->op == WG_min ? WG_FOLD_MIN : WG_FOLD_SUM;
    wg_gemm g = detail->gemm;
    if (g.n <= 1) {
        k->fold[fold][detail->dtype](out, x, extent, n);
        return;
    }
    g.a = one_of(detail->dtype); /* what is folded is not side by side */
    g.scratch = b->gemm;
    for (int64_t i = 0; i < n; i += g.n) {
        g.b = x + i * extent * item, g.c = out + i * item;
        if (fold == WG_FOLD_SUM)
            k->gemm[detail->dtype](&g);
        else {
            memcpy(g.c, g.b, (size_t)(g.n * item));
            k->fold_down[fold][detail->dtype](g.c, (const char *)g.b + g.n * item, g.n, g.n, extent - 1);
        }
    }
}

static void run_block(const wg_block_run *b) {
    const wg_region *r = b->run->r;
    for (uint32_t i = 0; i < r->n_code; i++) {
        const wg_micro *micro = &r->code[i];
        if (micro->gathers) {
            run_gather(b, micro);
            continue;
        }
        switch ((wg_role)micro->role) {
        case WG_ROLE_MAP: (micro->chain ? run_chain : micro->part ? run_parts : run_map)(b, micro); break;
        case WG_ROLE_FOLD: run_fold(b, micro); break;
        case WG_ROLE_TOTAL: run_total(b, micro); break;
        case WG_ROLE_PRODUCT:
        case WG_ROLE_COLUMNS:
        case WG_ROLE_OUTER: run_gemm(b, micro); break;
        case WG_ROLE_WINDOW: /* a pair */
        case WG_ROLE_JOIN:   /* copies */
        case WG_ROLE_NONE: break;
        }
    }
}

/* ---- groups of rows ---------------------------------------------------------------------------------------- */
static char *sums_of(const wg_run *run, int group) { return run->sums + (size_t)(group - 1) * run->r->sum_bytes; }

static char *sum_at(const wg_run *run, const wg_slot *slot, int group) {
    return group == 0 ? run->step->in[slot->array].data : sums_of(run, group) + slot->base;
}

/* Where every slot lies for the group's first row; arrays move on with the blocks. */
static void find_slots(const wg_run *run, int group, int64_t row, char *tiles, char *fills, char **at) {
    const wg_region *r = run->r;
    for (uint32_t k = 0; k < r->n_slots; k++) {
        const wg_slot *slot = &r->slots[k];
        switch (slot->kind) {
        case WG_SLOT_ARRAY: at[k] = run->step->in[slot->array].data + slot->base + row * slot->per_row; break;
        case WG_SLOT_TILE: at[k] = tiles + slot->base; break;
        case WG_SLOT_FILL: at[k] = fills + slot->base; break;
        case WG_SLOT_FIXED: at[k] = r->fixed + slot->base; break;
        case WG_SLOT_SUM: at[k] = sum_at(run, slot, group); break;
        }
    }
}

/* Where a part of n elements begins: at a multiple of the unit. */
static int64_t start_of(int64_t n, int64_t unit, int part, int parts) {
    return part == parts ? n : n / unit * part / parts * unit;
}

/* An area that is free: the caller's first ones and the workers' last ones, for what a thread has had is likely to be
 * in its cache. */
static int take_area(wg_run *run) {
    const int groups = run->r->groups;
    if (groups == 1) return 0;
    const bool caller = wg_this_thread() == run->caller;
    uint64_t busy = atomic_load(&run->busy);
    int area;
    do {
        const uint64_t idle = ~busy & (((uint64_t)1 << groups) - 1);
        area = caller ? __builtin_ctzll(idle) : 63 - __builtin_clzll(idle);
    } while (!atomic_compare_exchange_weak(&run->busy, &busy, busy | (uint64_t)1 << area));
    return area;
}

void wg_make_fill(const wg_region *r, const wg_reading *fill, wg_array x, char *fills) {
    x.shape = wg_vec(r->t, fill->shape);
    x.strides = wg_vec(r->t, fill->strides);
    x.ndim = wg_vec_ndim(r->t, fill->shape);
    wg_gather(fills + r->slots[fill->slot].base, &x, 0, wg_array_size(&x));
}

static void make_fills(const wg_run *run, char *fills) {
    const wg_region *r = run->r;
    for (uint32_t k = 0; k < r->n_fills; k++)
        if (r->slots[r->fills[k].slot].kind == WG_SLOT_FILL)
            wg_make_fill(r, &r->fills[k], run->step->in[r->fills[k].array], fills);
}

/* To another place, so many rows and planes on. */
static void move_on(const wg_block_run *b, int64_t rows, int64_t planes) {
    const wg_region *r = b->run->r;
    for (uint32_t k = 0; k < r->n_slots; k++) b->at[k] += rows * r->slots[k].per_row + planes * r->slots[k].per_plane;
}

static void run_group(void *context, int group) {
    wg_run *run = context;
    const wg_region *r = run->r;
    const int area = take_area(run);
    char *tiles = run->areas + (size_t)area * run->area_bytes, *fills = tiles + r->tile_bytes;
    wg_block_run b = {.run = run, .gemm = fills + r->fill_bytes, .first = true};
    b.at = (char **)(b.gemm + r->gemm_bytes);
    if (!run->filled[area]) make_fills(run, fills);
    run->filled[area] = true;
    int64_t row = start_of(r->rows, r->unit, group, r->groups);
    const int64_t end = start_of(r->rows, r->unit, group + 1, r->groups);
    find_slots(run, group, row, tiles, fills, b.at);
    for (; row < end && !wg_stops(run->step->watch); row += b.rows) {
        b.row = row, b.rows = end - row < r->block ? end - row : r->block;
        for (int64_t plane = 1;; plane++) {
            run_block(&b);
            b.first = false;
            if (plane == r->planes) break;
            move_on(&b, 0, 1);
        }
        if (row + b.rows < end) move_on(&b, b.rows, 1 - r->planes);
    }
    if (r->groups > 1) atomic_fetch_and(&run->busy, ~((uint64_t)1 << area));
}

/* Group g takes in group g + distance, distance = 1, 2, 4 ...: a tree that their number alone fixes.  A part adds its
 * share of the elements. */
static void add_sums(void *context, int part) {
    const wg_run *run = context;
    const wg_region *r = run->r;
    for (const wg_sum *s = r->sums; s < r->sums + r->n_sums; s++) {
        const int64_t from = start_of(s->size, LINE, part, run->parts);
        const int64_t n = start_of(s->size, LINE, part + 1, run->parts) - from;
        for (int distance = 1; distance < r->groups; distance *= 2)
            for (int group = 0; n > 0 && group + distance < r->groups; group += 2 * distance) {
                char *sum = sum_at(run, &r->slots[s->slot], group) + from * s->item;
                const char *other = sum_at(run, &r->slots[s->slot], group + distance) + from * s->item;
                s->add(sum, (const void *[]){sum, other}, n, NULL);
            }
    }
}

static size_t area_bytes(const wg_region *r) {
    const size_t tables = wg_round_up((size_t)r->n_slots * sizeof(char *));
    return wg_plus(wg_plus(r->tile_bytes, r->fill_bytes), wg_plus(r->gemm_bytes, tables));
}

size_t wg_region_scratch(const wg_region *r) {
    if (r->loop) return wg_loop_scratch(r->loop);
    if (r->scalars) return r->tile_bytes;
    const size_t groups = (size_t)r->groups;
    return wg_plus(wg_times(groups, area_bytes(r)), wg_times(groups - 1, r->sum_bytes));
}

wg_status wg_execute_region(const wg_kernels *k, wg_step *step) {
    if (step->region->loop) return wg_execute_loop(step);
    if (step->region->scalars) return wg_execute_scalars(step);
    wg_run run = {.k = k, .r = step->region, .step = step, .caller = wg_this_thread(), .areas = step->scratch};
    run.area_bytes = area_bytes(run.r);
    run.sums = run.areas + (size_t)run.r->groups * run.area_bytes;
    wg_parallel(step->alone, run.r->groups, run_group, &run);
    if (wg_stops(step->watch)) return WG_INTERRUPTED;
    run.parts = run.r->groups > 1 && run.r->sum_bytes >= SHARED_SUMS ? run.r->groups : 1;
    wg_parallel(step->alone, run.parts, add_sums, &run);
    return WG_OK;
}

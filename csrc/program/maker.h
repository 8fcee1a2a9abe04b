/* What region.c and slots.c share while they make a region. */
#ifndef WG_MAKER_H
#define WG_MAKER_H

#include "program.h"

enum { SPARE_TILES = 8, GATHERED = 3 };

typedef struct { /* an operand brought into order, for the next that wants it so */
    wg_id root;
    wg_reading reading;
    uint32_t slot;
} wg_gathered;

typedef struct {
    wg_tape *t;
    const wg_window *windows;
    const bool *escapes;
    wg_range range;
    wg_region *r;
    wg_interface *face;
    uint32_t *slot;     /* by node - lo: where its value is; of single numbers: where its elements stand among */
    uint32_t *elements; /* ... these, the slots of them: room for WG_FEW of each operand, then of each node */
    uint32_t n_elements;
    wg_id *last;                 /* by node - lo: its last reader in the region */
    wg_arena tiles;              /* in bytes for each row */
    bool flat;                   /* every element is a row */
    bool wide;                   /* rows are so long that tiles begin with cache lines */
    bool multiplies, shared;     /* there are products, by rows that threads share */
    wg_id latest;                /* what the last micro-op makes, if arithmetic may still join it; else WG_NONE; of
                                    single numbers: the slot of what the last instruction passes on, or 0 */
    uint32_t spare[SPARE_TILES]; /* tiles that only the micro-op in the making needs */
    int n_spare;
    wg_gathered gathered[GATHERED]; /* the latest */
    int n_gathered;                 /* so far */
} wg_maker;

static inline bool is_inside(const wg_maker *m, wg_id root) { return root >= m->range.lo && root < m->range.hi; }
static inline bool is_one_row(const wg_maker *m) { return m->range.rows == 1 && !m->flat; }
static inline int64_t itemsize_of(const wg_maker *m, wg_id id) { return (int64_t)wg_itemsize(m->t->nodes[id].dtype); }
static inline int64_t width_of(const wg_maker *m, wg_id id) { return m->flat ? 1 : wg_size(m->t, id) / m->r->rows; }

/* The number of `id` among the step's operands, or results; new ones are added. */
wg_status wg_operand_number(wg_maker *m, wg_id id, uint32_t *out);
wg_status wg_result_number(wg_maker *m, wg_id id, uint32_t *out);
/* For explain(): the region runs this node. */
wg_status wg_note_op(wg_maker *m, wg_id id);
/* The memory of `id` as it stands, moving on by per_row bytes; inside the region it is the root's. */
wg_status wg_slot_in_place(wg_maker *m, wg_id id, int64_t per_row, uint32_t *out);
/* The same memory, so many bytes further on in the region's only row. */
wg_status wg_slot_behind(wg_maker *m, uint32_t slot, int64_t bytes, uint32_t *out);
/* A tile that only the micro-op in the making needs; and one that nobody needs any more. */
wg_status wg_spare_tile(wg_maker *m, int64_t row_bytes, uint32_t *out);
wg_status wg_drop_tile(wg_maker *m, uint32_t slot);
/* Made once, before the first block. */
wg_status wg_new_fill(wg_maker *m, wg_id id, wg_reading reading, uint32_t *out);
wg_status wg_add_micro(wg_maker *m, wg_micro micro, const wg_detail *detail);
/* Does `id` lie in contiguous rows that start where its array, or its root's tile, does?  Of one row, anywhere in it.
 */
bool wg_lies_in_order(const wg_maker *m, wg_id id);
/* The same of each plane of x, an operand of `id` whose first axis counts planes; *pitch: elements from one to the
 * next, 0 where all are the same. */
bool wg_planes_lie_in_order(const wg_maker *m, wg_id id, wg_id x, int64_t *pitch);

typedef struct { /* an operand of an elementwise micro-op */
    uint32_t slot;
    uint8_t moves;  /* bytes with each element; 0: a fill */
    bool single;    /* a fill of one vector, all its elements the same: for pairs */
    bool apart;     /* its rows do not lie in order: */
    bool again;     /* `part` elements of each row, from the first of them again until the row is full */
    int64_t pitch;  /* elements from one row to the next */
    int64_t offset; /* bytes from where the slot begins */
} wg_argument;

/* Operand x of the elementwise node `id`; fills hold `chunk` elements; pairs: of a single number one vector will do;
 * and an operand may repeat a part of each row, if it is *part elements long or that is 0 so far. */
wg_status wg_map_operand(wg_maker *m, wg_id id, wg_id x, int64_t chunk, bool pairs, int64_t *part, wg_argument *out);
/* The operand of a reduction: contiguous rows. */
wg_status wg_row_operand(wg_maker *m, wg_id x, uint32_t *out);

/* Where the node's rows go: to the step's array if anybody outside reads them, else to a tile. */
wg_status wg_result_slot(wg_maker *m, wg_id id, uint32_t *out);
wg_status wg_sum_slot(wg_maker *m, wg_id id, uint32_t *out);

wg_status wg_make_scalars(wg_maker *m); /* scalars.c */
/* chain.c: a micro-op for the nodes from `id` on, up to *end, if they match a row of chains.def; else *end is `id`. */
wg_status wg_make_chain(wg_maker *m, wg_id id, wg_id *end);

#endif

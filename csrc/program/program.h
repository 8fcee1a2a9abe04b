/* Running: one op on arrays (execute.c), a node of an eager tape (eager.c), and programs: an abstract tape flattened
 * (lower.c), planned (plan.c) and replayed (run.c). */
#ifndef WG_PROGRAM_H
#define WG_PROGRAM_H

#include <stdatomic.h>

#include "../kernels/kernels.h"
#include "../tape/tape.h"
#include "../threads/pool.h"

enum { WG_TILE = 512 }; /* elements that a loop gathers at once: four operands of 8 bytes are half of L1 */

/* ---- loops.c: strided walks -------------------------------------------------------------------------------- */
bool wg_array_contiguous(const wg_array *x);
/* Where element `index` (C order) of an array lies, in elements. */
int64_t wg_place_of(const wg_array *x, int64_t index);
/* wg_copy_plane, but what lies turned goes through registers as wide as the kernels have. */
void wg_lay(char *dst, const char *src, const wg_axis *rows, const wg_axis *columns, int64_t itemsize);
/* Elements start, start + 1, ... start + n - 1 of x in C order, to contiguous memory. */
void wg_gather(void *dst, const wg_array *x, int64_t start, int64_t n);
/* As wg_gather, but gives a pointer into x where its elements lie contiguous; tile holds n elements. */
const void *wg_fetch(void *tile, const wg_array *x, int64_t start, int64_t n);

/* ---- watch.c: interrupts ----------------------------------------------------------------------------------- */
typedef struct {
    wg_repeat *repeat;
    const void *caller; /* the thread that may ask */
    int64_t due;        /* when to ask next; 0: not known yet */
    atomic_bool stop;
} wg_watch;
/* To be asked by long work every few milliseconds, on any thread: whether the replay is to end.  NULL never stops. */
bool wg_stops(wg_watch *watch);
int64_t wg_now(void);             /* nanoseconds of a clock that only goes forward */
const void *wg_this_thread(void); /* another address on every thread */

/* ---- execute.c: one op on arrays --------------------------------------------------------------------------- */
typedef struct {
    uint16_t op;
    int n_in, n_attr;
    const wg_array *in;
    wg_array out; /* C-contiguous but for elementwise ops; its data may be in[0]'s where a part of that is changed */
    const int64_t *attrs;
    const struct wg_region *region; /* what it runs instead of op; its n_out results stand behind its operands */
    int n_out;
    void *scratch;         /* 64-byte aligned */
    size_t need, live;     /* bytes of scratch; in a program, of the arena that are in use meanwhile */
    double cost;           /* nanoseconds on one thread, about: cost.c */
    int parts;             /* into which it falls, and for which scratch was sized */
    bool alone;            /* one thread is to run all parts */
    bool looks, slow;      /* much has been done since the last look at the watch; so it is in this step alone */
    wg_watch *watch;       /* of a slow step; NULL where it must not be stopped */
    const char *problem;   /* set on failure */
    int64_t index, extent; /* of WG_INDEX_ERROR: what was out of range of what, */
    int axis;              /* and of which axis */
} wg_step;
/* The failed step in words. */
void wg_explain(const wg_step *step, wg_status status, char *text, size_t size);

wg_status wg_execute(const wg_kernels *k, wg_step *step);
/* To be called once, before the step runs; data may be unknown yet: its cost, parts and scratch. */
void wg_prepare(const wg_kernels *k, wg_step *step);
wg_status wg_execute_elementwise(const wg_kernels *k, wg_step *step); /* elementwise.c */
wg_status wg_execute_reduce(const wg_kernels *k, wg_step *step);      /* reduce.c */
wg_status wg_execute_argreduce(const wg_kernels *k, wg_step *step);   /* argreduce.c */
wg_status wg_execute_random(const wg_kernels *k, wg_step *step);      /* random.c */
wg_status wg_execute_recurrence(const wg_kernels *k, wg_step *step);  /* recurrence.c */
wg_status wg_execute_sort(const wg_kernels *k, wg_step *step);        /* sort.c */
size_t wg_sort_scratch(const wg_step *step);
/* indexing.c, as those below.  Rows of x by number, `width` elements each, one behind the other. */
void wg_pick_rows(char *dst, const wg_array *x, const int64_t *rows, int64_t n, int64_t width);
wg_status wg_execute_gather(wg_step *step);
wg_status wg_execute_index_change(const wg_kernels *k, wg_step *step);
wg_status wg_execute_slice_change(const wg_kernels *k, wg_step *step);
wg_status wg_execute_ravel_index(wg_step *step);
wg_status wg_execute_host(const wg_kernels *k, wg_step *step); /* host.c */
size_t wg_host_scratch(const wg_step *step);

/* ---- cost.c: nanoseconds on one thread, about -------------------------------------------------------------- */
double wg_cost(const wg_step *step);
double wg_element_cost(int op, wg_dtype dtype); /* of the result; of a reduction, of the operand; in the cache */
double wg_product_cost(double multiplications, wg_dtype dtype);
/* Into how many parts, at most `most`, work of that cost is worth splitting.  Results do not depend on it, nor on how
 * many threads the parts then find. */
int wg_parts(double cost, int most);
enum { WG_PIECE = 100000000 }; /* of a product, whose cost is put at twice the time, between two looks at the watch */

/* Where d_<op>_<k> and the other elementwise kernels expect their operands; returns their number. */
int wg_map_operands(int op, int n_in, const void *const *in, const void *slots[4]);
/* And the parameters among an elementwise op's attributes. */
void wg_params(int n_attr, const int64_t *attrs, double params[WG_MAX_PARAMS]);

/* ---- views.c: where a node's elements lie ------------------------------------------------------------------ */
typedef struct {
    wg_id root;        /* the node whose elements they are: itself, unless it is a view */
    int64_t offset;    /* elements from the root's first one */
    uint32_t strides;  /* interned; of a root that is no input: contiguous */
    uint32_t gradient; /* of a root: the shape of a gradient by it, a product of a transposed matrix; or WG_NONE */
} wg_window;
/* Of all nodes; strides[k]: of input k, NULL where it lies in C order; NULL: all do. */
wg_status wg_find_windows(wg_tape *t, const int64_t *const *strides, wg_window *windows);
/* The same for a tape whose windows with all inputs in C order are known and whose node id runs in region range[id], or
 * in none (WG_NONE): in_place[k] becomes strides[k], or NULL where a region reads input k, which is copied then. */
wg_status wg_read_in_place(wg_tape *t, const uint32_t *range, const int64_t *const *strides, const int64_t **in_place,
                           wg_window *windows);
uint32_t wg_contiguous(wg_tape *t, wg_id id);                                   /* strides; WG_NONE if out of memory */
wg_array wg_window_array(const wg_tape *t, const wg_window *windows, wg_id id); /* without data */
/* Is the node neither a leaf nor a view? */
bool wg_computes(const wg_tape *t, const wg_window *windows, wg_id id);

/* Sizes of a plan: what is too large for a size_t is SIZE_MAX, which no allocation grants. */
static inline size_t wg_plus(size_t a, size_t b) { return b > SIZE_MAX - a ? SIZE_MAX : a + b; }
static inline size_t wg_times(size_t a, size_t b) { return a && b > SIZE_MAX / a ? SIZE_MAX : a * b; }
/* Bytes in whole cache lines. */
static inline size_t wg_round_up(size_t bytes) { return bytes > SIZE_MAX - 63 ? SIZE_MAX : (bytes + 63) / 64 * 64; }

/* ---- arena.c: a plan of blocks ----------------------------------------------------------------------------- */
typedef struct {
    size_t offset, size;
} wg_block;
typedef struct {
    wg_block *gaps; /* free blocks, by offset; the owner frees them */
    uint32_t n_gaps, cap_gaps;
    size_t size;       /* of the arena so far */
    size_t live, most; /* bytes taken and not given back: now, and the most that there were */
} wg_arena;
/* The smallest gap that holds the size, else new room at the end.  False: too big, or out of memory. */
bool wg_arena_take(wg_arena *a, size_t size, size_t *offset);
bool wg_arena_give(wg_arena *a, size_t offset, size_t size);

/* ---- role.c: what a node can do in a region ---------------------------------------------------------------- */
/* A region runs its nodes over one block of rows after the other, rows being the first axis of the values. */
typedef enum {
    WG_ROLE_NONE,
    WG_ROLE_MAP,     /* elementwise */
    WG_ROLE_WINDOW,  /* rows, with others added to a part of each */
    WG_ROLE_JOIN,    /* one row, of parts that are copied */
    WG_ROLE_FOLD,    /* a reduction within each row */
    WG_ROLE_PRODUCT, /* (rows, k) times a matrix (k, n) that is the same for all rows */
    WG_ROLE_TOTAL,   /* the sum of all elements */
    WG_ROLE_COLUMNS, /* the sum over the rows */
    WG_ROLE_OUTER    /* (k, rows) times (rows, n): a sum over the rows as well */
} wg_role;
/* A sum over many rows that threads share, which is a region by itself. */
bool wg_shares_rows(const wg_tape *t, const wg_window *windows, wg_id id);
wg_role wg_role_of(const wg_tape *t, const wg_window *windows, wg_id id, int64_t *rows);
/* The same in a region of so many rows: in one row, columns are folded as axes within a row are. */
wg_role wg_role_in(const wg_tape *t, const wg_window *windows, wg_id id, int64_t rows);
/* It puts elements into places, among single numbers; a slice is changed besides. */
bool wg_moves_elements(const wg_tape *t, const wg_window *windows, wg_id id);
/* Its result is whole only after the last block. */
bool wg_sums_rows(wg_role role);
/* escapes[id], false before: node id of p->flat, in region range[id] or in none (WG_NONE), is read outside of it, or an
 * output. */
void wg_find_escapes(const wg_program *p, const wg_window *windows, const uint32_t *range, bool *escapes);
typedef struct {             /* the parts of each row that a slice changes, in elements: */
    int64_t offset, n, step; /* where the first begins, how many, and from one part to the next */
} wg_row_part;
bool wg_part_of_rows(const wg_tape *t, wg_id id, int axis, wg_row_part *out);
/* Is a slice_add to a run of the first axis, at least half of it: rows of a region, which reads the other operand as an
 * array of fewer rows? */
bool wg_changes_some_rows(const wg_tape *t, const wg_window *windows, wg_id id);
/* Can a node of this role read its operand, if the region computes that, block by block? */
bool wg_streams(const wg_tape *t, const wg_window *windows, wg_id id, wg_role role, int operand, int64_t rows);
/* Row r of node `id`, along the axis, lies in row r of its root. */
bool wg_row_aligned(const wg_tape *t, const wg_window *window, wg_id id, int64_t rows, int axis);
/* The kernel of an elementwise op or cast; NULL for any other node. */
wg_map_fn wg_map_of(const wg_kernels *k, const wg_tape *t, wg_id id);

typedef struct { /* nodes lo..hi-1 of a flat tape run together, in blocks of rows */
    wg_id lo, hi;
    int64_t rows; /* WG_LOOPS: they are a loop and its results; WG_SCALARS: single numbers, or arrays of few */
} wg_range;
#define WG_LOOPS (-1)
#define WG_SCALARS (-2)
enum { WG_FEW = 8, WG_ONE_ROW = 4096 /* elements that may be a row by themselves */ };

/* ---- region.c, run_region.c -------------------------------------------------------------------------------- */
typedef struct { /* where a block of rows finds an array */
    enum {
        WG_SLOT_ARRAY, /* one of the step's arrays, operands before results */
        WG_SLOT_TILE,  /* memory for one block; base and size are for each row of it */
        WG_SLOT_FILL,  /* made before a thread's first block, the same for all: a repeated or turned operand */
        WG_SLOT_FIXED, /* made with the program: a repeated constant */
        WG_SLOT_SUM    /* a result that all blocks add to */
    } kind;
    bool result;       /* WG_SLOT_ARRAY, WG_SLOT_SUM: the array is a result */
    uint32_t array;    /* operand or result number */
    int64_t base;      /* bytes */
    int64_t per_row;   /* bytes by which it moves on with each row, */
    int64_t per_plane; /* and with each plane */
} wg_slot;

typedef struct {          /* an operand as it is read: broadcast, turned or sliced */
    uint32_t array, slot; /* of a fill: which operand, and where it goes */
    uint32_t shape, strides;
    int64_t offset; /* elements */
} wg_reading;

enum { WG_CHAIN_SLOTS = 16 };

typedef struct {                    /* what a micro-op knows beside its slots, by role */
    double params[WG_MAX_PARAMS];   /* MAP */
    wg_gemm gemm;                   /* PRODUCT, OUTER, COLUMNS, FOLD of inner axes: all but pointers and rows */
    wg_reading reading;             /* gathers */
    uint32_t slots[WG_CHAIN_SLOTS]; /* of a chain: arrays, single numbers, results */
    wg_dtype dtype;                 /* of the operands */
    int64_t extent; /* FOLD: elements that make one result; PRODUCT, OUTER: rows of each row; chain: slots */
} wg_detail;

typedef struct { /* one node, for a block of rows */
    uint16_t op;
    uint8_t role;
    bool gathers;     /* instead of computing: brings an operand into the order in which the next micro-op wants it */
    uint8_t moves[4]; /* MAP: bytes by which the operands move on with each element, 0 for fills */
    uint8_t out_size; /* MAP: bytes of an element of the result */
    bool biased;      /* PRODUCT: in[2] is added to its rows */
    bool strides[4];  /* pair: operand k is an array, else one vector of the same number */
    wg_map_fn map;
    wg_chain_fn chain;   /* MAP: instead of map, for the nodes of a chain */
    wg_pair_fn pair;     /* MAP: instead of map, for one or two nodes */
    uint32_t in[4], out; /* slots */
    uint32_t detail;
    int64_t width; /* elements of the result for each row */
    int64_t chunk; /* MAP: how many elements its fills hold; 0: it reads none */
    /* Of a pair whose rows do not all lie in order: elements of them that lie side by side, else 0; of its operands and
     * of the result, number 3: whether the same ones serve all parts of a row, else how many elements are left out
     * between parts, the elements from row to row, and the bytes from where the slot begins. */
    int64_t part, gap[4], pitch[4], offset[4];
    bool again[4];
    int64_t first, end; /* WINDOW of some rows: those from the first to the end, else 0 */
} wg_micro;

typedef struct { /* a sum over the rows */
    uint32_t slot;
    int64_t size; /* elements */
    int64_t item; /* bytes of one */
    wg_map_fn add;
} wg_sum;

typedef struct wg_loop_plan wg_loop_plan; /* scan.c */
typedef struct wg_scalars wg_scalars;     /* scalars.c */

enum { WG_MAX_GROUPS = 16 };

struct wg_region {
    wg_loop_plan *loop;  /* of a loop, which is a region of its own, */
    wg_scalars *scalars; /* or of single numbers; both NULL: the rest says what runs */
    const wg_tape *t;    /* owns shapes and strides */
    wg_micro *code;
    wg_detail *details;
    wg_slot *slots;
    wg_reading *fills;
    wg_sum *sums;
    uint16_t *ops; /* of its nodes */
    uint32_t n_ops, cap_ops;
    uint32_t n_code, n_details, n_slots, n_fills, n_sums;
    uint32_t cap_code, cap_details, cap_slots, cap_fills, cap_sums;
    int64_t rows, block; /* rows in all, and at most in a block */
    int64_t unit;        /* groups start at multiples of so many rows */
    int64_t planes;      /* so many of rows that are elements, each block in all planes by turns; mostly 1 */
    int groups;          /* of rows, each with sums of its own, added in a fixed tree */
    size_t fill_bytes, tile_bytes, gemm_bytes, sum_bytes; /* for each group */
    char *fixed;                                          /* fills of constants, fixed_bytes */
    size_t fixed_bytes;
    double cost, flops; /* nanoseconds on one thread, about; operations */
};
typedef struct wg_region wg_region;

/* Which nodes a region's step reads (as they are read, maybe views) and which it makes. */
typedef struct {
    wg_id *operands, *results; /* freed by the caller */
    uint32_t *numbers;         /* by node, shared by all: its number, if that operand is the node */
    uint32_t n_operands, n_results, cap_operands, cap_results;
    /* By output of the program, shared by all: WG_NONE, or what is to be copied there at the end; which input has the
     * same memory, see wg_program_new.  A region of single numbers takes copies over: the length of the tape and k,
     * among its results, is output k. */
    wg_id *staged;
    const int32_t *alias;
} wg_interface;
/* escapes[id]: somebody outside reads the node. */
wg_status wg_region_new(wg_program *p, const wg_window *windows, const bool *escapes, wg_range range, wg_region **out,
                        wg_interface *face);
/* blocks.c.  row_bytes: of tiles for each row; flat: every element is a row; multiplies: there are products; shared: by
 * many rows that threads share, each reading its own. */
void wg_choose_blocks(wg_region *r, size_t row_bytes, bool flat, bool multiplies, bool shared);
void wg_region_free(wg_region *r);
size_t wg_region_scratch(const wg_region *r);
wg_status wg_execute_region(const wg_kernels *k, wg_step *step);
void wg_make_fill(const wg_region *r, const wg_reading *fill, wg_array x, char *fills);

/* ---- scan.c: a call that is a loop, by replays of its body's program --------------------------------------- */
/* The loop that is run again where operand x is read, for x is values of a carry that it does not keep; or WG_NONE. */
wg_id wg_source_of(const wg_tape *t, const wg_window *windows, wg_id x);
wg_status wg_loop_plan_new(const wg_program *p, const wg_window *windows, const bool *escapes, wg_range range,
                           wg_loop_plan **out, wg_interface *face);
void wg_loop_plan_free(wg_loop_plan *l);
size_t wg_loop_scratch(const wg_loop_plan *l);
double wg_loop_cost(const wg_loop_plan *l);
double wg_loop_flops(const wg_loop_plan *l); /* of all turns; of one, where a condition ends it */
wg_status wg_execute_loop(wg_step *step);

/* ---- scalars.c: a region of 0-d nodes ---------------------------------------------------------------------- */
void wg_scalars_free(wg_scalars *s);
wg_status wg_execute_scalars(wg_step *step);

/* ---- programs ---------------------------------------------------------------------------------------------- */
typedef struct { /* an array whose memory is known only at replay: base[root] + offset */
    uint32_t root;
    int64_t offset; /* bytes */
} wg_place;
enum { WG_ROOT_ARENA, WG_ROOT_CONST, WG_ROOT_INPUTS /* then outputs */ };

typedef struct { /* of a short program whose steps are split: are all threads faster, or one? */
    bool splits;
    double cost;     /* nanoseconds on one thread, about */
    uint32_t replay; /* since the present comparison began, */
    uint32_t waking; /* the first so many of which do not count */
    int64_t since;   /* when it began */
    int64_t best[2]; /* nanoseconds of a replay by all, and by one */
} wg_trial;

struct wg_program {
    wg_tape *flat; /* the tape with calls inlined; owns shapes, strides and attributes */
    wg_step *steps;
    wg_array *arrays; /* operands and result of every step, in order */
    wg_place *places; /* of every array */
    uint32_t n_steps, cap_steps, n_arrays, cap_arrays, n_places, cap_places;
    uint32_t n_inputs, n_outputs, nodes; /* nodes: as recorded, calls inlined */
    wg_range *ranges;                    /* of the nodes that run as regions, in order */
    wg_region **regions;                 /* by range */
    uint32_t n_ranges;
    char **bases;       /* by root; inputs and outputs filled in at replay */
    char *memory;       /* of arena and scratch */
    int64_t *constants; /* 8 bytes each */
    uint32_t n_constants, cap_constants;
    size_t arena_size, live_size, scratch_size, value_size, held_size; /* see wg_program_info */
    double *clock;                                                     /* by step, or NULL */
    uint32_t first_write;         /* the first step that overwrites a donated input: from there on nothing stops it */
    wg_trial trial;               /* run.c */
    atomic_uint owner;            /* 0: free; else the fork generation of the caller that replays */
    _Atomic(const void *) thread; /* that caller's thread */
};

/* scalars.c: the repetitions of a program that is one such step. */
wg_status wg_repeat_scalars(const wg_program *p, wg_repeat *repeat, wg_watch *watch);
/* run.c: from now on the program works in this memory, of its arena_size and scratch_size. */
void wg_program_use(wg_program *p, char *arena, char *scratch);
/* lower.c: nodes of t with every call replaced by its child's nodes; inputs and outputs in order.
 * NULL on failure, with the message in t. */
wg_tape *wg_flatten(wg_tape *t);
/* lower.c: live[id] = an output depends on it. */
void wg_mark_live(const wg_tape *flat, bool *live);
/* simplify.c: writes p->flat anew, with fewer nodes that compute the same. */
wg_status wg_simplify(wg_program *p);
/* fuse.c: writes p->flat anew, without dead nodes, the nodes of each region side by side, and fills p->ranges. */
wg_status wg_fuse(wg_program *p);
/* rematerialise.c: writes p->flat and p->ranges anew, where regions compute again what others would keep for them. */
wg_status wg_rematerialise(wg_program *p);
double wg_flops(const wg_tape *t, wg_id id); /* describe.c: arithmetic operations of a node */
double wg_program_flops(const wg_program *p);
/* describe.c: bytes of inputs, and of outputs that do not take the place of one. */
size_t wg_held(const wg_tape *t, const int32_t *alias);
/* execute.c: prepares the steps, once the program's arrays do not move any more. */
void wg_prepare_steps(wg_program *p, const int32_t *alias);
/* plan.c: steps, places and sizes of p->flat. */
wg_status wg_plan(wg_program *p, const int32_t *alias, const int64_t *const *strides);

#endif

/* Running: one op on arrays (execute.c), a node of an eager tape (eager.c), and programs: an abstract tape flattened
 * (lower.c), planned (plan.c) and replayed (run.c). */
#ifndef WG_PROGRAM_H
#define WG_PROGRAM_H

#include <stdatomic.h>

#include "../kernels/kernels.h"
#include "../tape/tape.h"
#include "../threads/pool.h"

/* ---- arrays ------------------------------------------------------------------------------------------------ */
typedef struct {
    char *data;
    const int64_t *shape, *strides; /* strides in elements */
    int ndim;
    wg_dtype dtype;
} wg_array;

enum { WG_TILE = 512 }; /* elements that a loop gathers at once: four operands of 8 bytes are half of L1 */

/* ---- loops.c: strided walks -------------------------------------------------------------------------------- */
int64_t wg_array_size(const wg_array *x);
bool wg_array_contiguous(const wg_array *x);
/* Where element `index` (C order) of an array lies, in elements. */
int64_t wg_place_of(const wg_array *x, int64_t index);
/* Elements start, start + 1, ... start + n - 1 of x in C order, to contiguous memory and back. */
void wg_gather(void *dst, const wg_array *x, int64_t start, int64_t n);
void wg_scatter(const wg_array *x, int64_t start, int64_t n, const void *src);
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
const void *wg_this_thread(void); /* another address on every thread */

/* ---- execute.c: one op on arrays --------------------------------------------------------------------------- */
typedef struct {
    int op, n_in, n_attr;
    const wg_array *in;
    wg_array out; /* C-contiguous; for ops that change a part of in[0] its data may be in[0]'s */
    const int64_t *attrs;
    void *scratch;         /* wg_prepare's bytes, 64-byte aligned */
    int max_parts;         /* that scratch was sized for */
    bool looks;            /* much has been done since the last look at the watch */
    wg_watch *watch;       /* of long work; NULL where it must not be stopped */
    const char *problem;   /* set on failure */
    int64_t index, extent; /* of WG_INDEX_ERROR: what was out of range of what, */
    int axis;              /* and of which axis */
} wg_step;
/* The failed step in words. */
void wg_explain(const wg_step *step, wg_status status, char *text, size_t size);

wg_status wg_execute(const wg_kernels *k, wg_step *step);
/* To be called once, before the step runs; data may be unknown yet.  Returns the bytes of scratch that it takes. */
size_t wg_prepare(const wg_kernels *k, wg_step *step);
/* Into how many parts, at most `most`, work of so many nanoseconds on one thread is worth splitting.  Results do not
 * depend on it, nor on how many threads the parts then find. */
int wg_parts(double nanoseconds, int most);
/* The time on one thread, about. */
double wg_nanoseconds(const wg_step *step);
wg_status wg_execute_elementwise(const wg_kernels *k, wg_step *step); /* elementwise.c */
wg_status wg_execute_reduce(const wg_kernels *k, wg_step *step);      /* reduce.c */
wg_status wg_execute_argmax(const wg_kernels *k, wg_step *step);      /* reduce.c */
wg_status wg_execute_recurrence(const wg_kernels *k, wg_step *step);  /* recurrence.c */
wg_status wg_execute_gather(const wg_kernels *k, wg_step *step);      /* indexing.c, as those below */
wg_status wg_execute_index_change(const wg_kernels *k, wg_step *step);
wg_status wg_execute_slice_change(const wg_kernels *k, wg_step *step);
wg_status wg_execute_ravel_index(const wg_kernels *k, wg_step *step);

/* Where d_<op>_<k> and the other elementwise kernels expect their operands; returns their number. */
int wg_map_operands(int op, int n_in, const void *const *in, const void *slots[4]);

/* ---- programs ---------------------------------------------------------------------------------------------- */
typedef struct { /* an array whose memory is known only at replay: base[root] + offset */
    uint32_t root;
    int64_t offset; /* bytes */
} wg_place;
enum { WG_ROOT_ARENA, WG_ROOT_CONST, WG_ROOT_INPUTS /* then outputs */ };

struct wg_program {
    wg_tape *flat; /* the tape with calls inlined; owns shapes, strides and attributes */
    wg_step *steps;
    wg_array *arrays; /* operands and result of every step, in order */
    wg_place *places; /* of every array */
    uint32_t n_steps, cap_steps, n_arrays, cap_arrays, cap_places;
    uint32_t n_inputs, n_outputs;
    char **bases; /* by root; inputs and outputs filled in at replay */
    char *arena, *scratch;
    int64_t *constants; /* 8 bytes each */
    uint32_t n_constants, cap_constants;
    size_t arena_size, scratch_size, value_size;
    uint32_t first_write;         /* the first step that overwrites a donated input: from there on nothing stops it */
    atomic_uint owner;            /* 0: free; else the fork generation of the caller that replays */
    _Atomic(const void *) thread; /* that caller's thread */
};

/* lower.c: nodes of t with every call replaced by its child's nodes; inputs and outputs in order.
 * NULL on failure, with the message in t. */
wg_tape *wg_flatten(wg_tape *t);
/* lower.c: live[id] = an output depends on it. */
void wg_mark_live(const wg_tape *flat, bool *live);
/* plan.c: steps, places and sizes of p->flat. */
wg_status wg_plan(wg_program *p, const int32_t *alias);

#endif

/* wengert: the public C interface, the only header that the Python binding sees.
 *
 * A tape is a flat list of nodes.  Record: each op appends a node.  Differentiate: wg_vjp and wg_jvp append more nodes
 * to the same tape.  Run: an abstract tape is lowered to a program and replayed.
 *
 * Every call that can fail returns a wg_status; the message lives in the tape.  A failed call leaves the
 * tape at its length before the call.
 */
#ifndef WENGERT_H
#define WENGERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WG_MAX_NDIM 32

/* The library hides its names (-fvisibility=hidden) but for what other libraries look up by name: threadpoolctl. */
#define WG_EXPORT __attribute__((visibility("default")))

typedef enum { WG_BOOL, WG_I32, WG_I64, WG_F32, WG_F64, WG_C64, WG_C128, WG_DTYPE_COUNT } wg_dtype;

typedef enum {
    WG_OK,
    WG_VALUE_ERROR,
    WG_TYPE_ERROR,
    WG_INDEX_ERROR,
    WG_MEMORY_ERROR,
    WG_RUNTIME_ERROR,
    WG_INTERRUPTED,
    WG_BUSY
} wg_status;

/* The op codes: every row of ops.def, each elementwise row followed by its d_<name>_<operand>. */
typedef enum {
#define LEAF(name, doc) WG_##name,
#define UNARY(name, numpy, class, params, lo, hi, da, doc) WG_##name, WG_d_##name##_0,
#define BINARY(name, numpy, class, lo, hi, da, db, doc) WG_##name, WG_d_##name##_0, WG_d_##name##_1,
#define ZERO(name, numpy, class, lo, hi, doc) WG_##name,
#define COMPARE(name, numpy, doc) WG_##name,
#define BITWISE(name, numpy, arity, doc) WG_##name,
#define LINEAR(name, numpy, arity, infer, class, doc) WG_##name,
#define BILINEAR(name, numpy, infer, class, doc) WG_##name,
#define RULE(name, numpy, arity, infer, class, doc) WG_##name,
#define FLAT(name, numpy, arity, infer, class, doc) WG_##name,
#define LOWERED(name, arity, class, doc) WG_##name,
#include "ops.def"
    WG_OP_COUNT
} wg_opcode;

typedef enum { /* which macro of ops.def the row stands in */
               WG_KIND_LEAF,
               WG_KIND_UNARY,
               WG_KIND_BINARY,
               WG_KIND_ZERO,
               WG_KIND_COMPARE,
               WG_KIND_LINEAR,
               WG_KIND_BILINEAR,
               WG_KIND_RULE,
               WG_KIND_FLAT,
               WG_KIND_LOWERED,
               WG_KIND_DERIVATIVE, /* d_<name>_<operand>, generated from a UNARY or BINARY row */
               WG_KIND_BITWISE
} wg_kind;

typedef enum {
    WG_CLASS_FLOAT,
    WG_CLASS_NUMBER,
    WG_CLASS_ANY,
    WG_CLASS_INTEGER,
    WG_CLASS_FIELD,
    WG_CLASS_RING
} wg_class;

typedef struct {
    const char *name, *numpy, *doc;
    const char *kind_name, *class_name; /* as the constants of kind and class_ end */
    const char *derivative[2];          /* text of d/da and d/db, valid Python; NULL if none */
    double lo, hi;                      /* test domain */
    uint8_t kind, class_, infer;
    int8_t arity;     /* -1: any number */
    uint8_t n_params; /* real parameters P(i), kept as attributes */
    uint8_t reads[2]; /* which of a = 1, b = 2, y = 4 the column d/da, d/db reads: what the rule keeps */
    uint16_t base;    /* DERIVATIVE: the row it derives */
    uint8_t operand;  /* DERIVATIVE: by which operand */
} wg_op_info;

/* ---- ops and machine --------------------------------------------------------------------------------------- */
const wg_op_info *wg_op(int op); /* NULL if there is no such op */
size_t wg_itemsize(wg_dtype dtype);
const char *wg_dtype_name(wg_dtype dtype);
wg_dtype wg_promote(wg_dtype a, wg_dtype b); /* NumPy's promotion of two strong dtypes */

/* Fills the kernel table, generic first, then upward; isa NULL or "" chooses the best that is trusted.
 * VALUE_ERROR for an unknown or unsupported name, with message (message_size bytes) filled. */
wg_status wg_kernels_init(const char *isa, char *message, size_t message_size);
const char *wg_isa(void);                /* the table's name */
bool wg_isa_supported(const char *name); /* compiled in and this CPU has it */

/* At most so many threads run one program or one large op; results do not depend on it.  The default is the number of
 * cores this process may use, or OMP_NUM_THREADS if that is less.  VALUE_ERROR unless 1 <= n <= 256. */
WG_EXPORT wg_status wg_set_num_threads(int n);
WG_EXPORT int wg_get_num_threads(void);

/* ---- tape -------------------------------------------------------------------------------------------------- */
typedef struct wg_tape wg_tape;
typedef uint32_t wg_id;
#define WG_NONE UINT32_MAX

/* NULL if out of memory.  An eager tape (abstract = false) runs each node as it is appended. */
wg_tape *wg_tape_new(bool abstract);
wg_tape *wg_tape_retain(wg_tape *t);
void wg_tape_release(wg_tape *t);
const char *wg_tape_error(const wg_tape *t);
uint32_t wg_tape_len(const wg_tape *t);
/* Forgets the nodes from len on and releases their values. */
void wg_tape_pop(wg_tape *t, uint32_t len);
/* Makes the calling thread the owner; every other thread's calls fail with RUNTIME_ERROR. */
void wg_tape_adopt(wg_tape *t);

/* A 0-d constant; weak = a Python scalar, which takes the other operand's dtype (NEP 50). */
wg_status wg_constant(wg_tape *t, wg_dtype dtype, const void *value, bool weak, wg_id *out);
/* An array on an eager tape.  data is used in place; release(owner) is called when the last reader has gone
 * (release NULL: the data is copied).  Strides count elements. */
wg_status wg_leaf(wg_tape *t, wg_dtype dtype, int ndim, const int64_t *shape, const int64_t *strides, void *data,
                  void (*release)(void *), void *owner, wg_id *out);
/* The next input slot of an abstract tape. */
wg_status wg_input(wg_tape *t, wg_dtype dtype, int ndim, const int64_t *shape, bool weak, wg_id *out);
/* One op: promotes and broadcasts the operands, infers shape and dtype, appends (and runs, when eager).
 * Real parameters among attrs are doubles' bits.  Casts and constants may be appended before the node. */
wg_status wg_append(wg_tape *t, int op, int n_in, const wg_id *in, int n_attr, const int64_t *attrs, wg_id *out);
/* Declares what an abstract tape computes. */
wg_status wg_tape_set_outputs(wg_tape *t, int n, const wg_id *outputs);
/* Applies an abstract child tape with outputs to operands (one per input slot, same shape and dtype): appends one
 * call node and then its results; *first is the id of the first, the others follow. */
wg_status wg_call(wg_tape *t, wg_tape *child, int n_in, const wg_id *in, wg_id *first);
/* What a call node calls, or NULL for another node; borrowed. */
wg_tape *wg_tape_child(const wg_tape *t, wg_id call);
/* Applies an abstract body `length` times, on an abstract tape.  The body's inputs are n_carry carries, n_x entries and
 * then constants; its outputs the next carries and then more entries.  The operands: first carries; for each entry an
 * array with a first axis of `length`, taken from its end on where `reverse`; constants.  The results, *first and those
 * behind it: last carries; entries, stacked at the places of those that went in; where block is 0, likewise products
 * within the body, for the derivative; for each carry all its values, length + 1 of them, the one at row i (reverse: i
 * + 1) being what met the entries at i.
 *
 * With a guard, the number of a carry or constant of bools (else -1), the loop ends before the first step that meets
 * none that is true; what would have been stacked by the steps not taken is 0.  Where a carry is the guard, the length
 * is WG_UNTIL: there are no entries, and last carries are the only results.
 *
 * block: 0; or -1, of which a derivative reads no products; or the number of steps of which a program holds all values
 * of carries at once, and beside them snapshots of logarithmic number: a derivative that reads all values then runs the
 * loop again, block by block.  That derivative is a loop whose block is the same number, but negative: it keeps what is
 * its own. */
enum { WG_UNTIL = -1 };
wg_status wg_scan(wg_tape *t, wg_tape *body, int n_carry, int n_x, int64_t length, bool reverse, int guard,
                  int64_t block, int n_in, const wg_id *in, wg_id *first);

/* Reverse mode: from cotangents of outputs to those of inputs.  Only nodes that depend on inputs are followed; inputs
 * should be copy nodes made for this purpose.  Every node appended is an ordinary one.  result[i] is WG_NONE where the
 * outputs do not depend on input i.  transient: nothing encloses this sweep: an adjoint's value is freed after its
 * last reader (results keep theirs). */
wg_status wg_vjp(wg_tape *t, int n_out, const wg_id *outputs, const wg_id *cotangents, int n_in, const wg_id *inputs,
                 bool transient, wg_id *result);
/* Forward mode: from tangents of inputs (WG_NONE: zero) to those of outputs, result[i] WG_NONE where zero. */
wg_status wg_jvp(wg_tape *t, int n_in, const wg_id *inputs, const wg_id *tangents, int n_out, const wg_id *outputs,
                 wg_id *result);
/* How calls of t are differentiated, instead of by sweeping its nodes.  derive makes a tape that takes t's inputs, its
 * outputs, and then one cotangent for each given output (reverse) or one tangent for each given input (forward), and
 * gives a cotangent for each asked input (reverse) or the tangents of all outputs (forward). */
typedef enum { WG_REVERSE = 1, WG_FORWARD = 2 } wg_mode;
typedef wg_status (*wg_derive_fn)(wg_tape *t, void *context, wg_mode mode, const bool *given, const bool *asked,
                                  wg_tape **out);
void wg_tape_set_rule(wg_tape *t, wg_derive_fn derive, void (*release)(void *), void *context);

/* The part of a tape that leads from inputs to outputs as an abstract tape of its own.  Its first n_in inputs are the
 * given ones, as many as it has are in *operands: the nodes of t to be handed to a call of it, n_in of them the inputs
 * themselves; the caller frees that array. */
wg_status wg_extract(wg_tape *t, int n_in, const wg_id *inputs, int n_out, const wg_id *outputs, wg_tape **out,
                     wg_id **operands);
/* *out: the abstract tape t with its calls replaced by what they call; loops and what has a rule of its own stay. */
wg_status wg_inline(wg_tape *t, wg_tape **out);
/* Batching: *out is a new tape that does for `size` sets of inputs at once what the abstract tape t does for one.
 * batched[i]: input slot i gets a first axis of this extent, else it is shared.  out_batched[k]: output k is to have
 * that axis (in), has it (out).  *looped is set to an op that is done element by element, for it has no batching rule;
 * it is left alone if there is none. */
wg_status wg_batch(wg_tape *t, int64_t size, const bool *batched, bool *out_batched, wg_tape **out, int *looped);
/* Writing in place: in[0] with in[1] in its slice (op slice_set) or in[2] at its rows in[1] (index_set), or replaced by
 * in[1] (copy).  From then on wg_latest names the node that stands for in[0], and for the views of one array. */
wg_status wg_write(wg_tape *t, int op, int n_in, const wg_id *in, int n_attr, const int64_t *attrs);
wg_status wg_latest(wg_tape *t, wg_id id, wg_id *out);
/* Says that a node of shape () is an array (x[..., 0], not x[0]), or that a reshape, gather, real or imag is a view of
 * its operand whatever strides say, or that a copy lies in C order. */
wg_status wg_share(wg_tape *t, wg_id id);
/* Whether a node's elements lie in C order in the array behind it, or in one of its own; -1: not known of NumPy's. */
wg_status wg_in_order(wg_tape *t, wg_id id, int *out);
/* The local partial derivative of an elementwise node by its operand k as a node of its own (for showing a tape);
 * *out = WG_NONE when the op has no such column. */
wg_status wg_partial(wg_tape *t, wg_id node, int k, wg_id *out);

typedef struct {
    int op;
    wg_dtype dtype;
    bool weak, has_value, shared, turned;
    int ndim;
    const int64_t *shape;
    const int64_t *strides; /* elements; NULL without a value */
    const void *data;       /* NULL without a value; valid until the next call on this tape */
    int n_in;
    const wg_id *in; /* valid until the next call on this tape */
    int n_attr;
    const int64_t *attrs;
} wg_node_info;
wg_status wg_node(wg_tape *t, wg_id id, wg_node_info *info);
/* Copies a node's value to C-contiguous memory of the right size. */
wg_status wg_read(wg_tape *t, wg_id id, void *dst);

uint32_t wg_tape_n_inputs(const wg_tape *t);
uint32_t wg_tape_n_outputs(const wg_tape *t);
const wg_id *wg_tape_inputs(const wg_tape *t);
const wg_id *wg_tape_outputs(const wg_tape *t);
/* Checks every invariant of every node; VALUE_ERROR with a message naming the first that fails. */
wg_status wg_verify(wg_tape *t);

/* ---- one op without a tape ---------------------------------------------------------------------------------- */
typedef struct {
    char *data;
    const int64_t *shape, *strides; /* strides in elements */
    int ndim;
    wg_dtype dtype;
} wg_array;
/* The op `host` calls a function outside of the core, which returns false where it failed; attributes: the function and
 * its context as integers, dtype of the result, whether the function takes stacks of operands, what it computes of
 * matrices (of small ones the core does that itself; SLOGDET: pairs), then the result's shape.  Strides are NULL where
 * data is C-contiguous, as it always is where the function is none of matrices. */
enum { WG_HOST_CALL, WG_HOST_CONTEXT, WG_HOST_DTYPE, WG_HOST_STACKS, WG_HOST_MATRIX, WG_HOST_SHAPE };
enum { WG_HOST_OTHER, WG_HOST_INV, WG_HOST_SOLVE, WG_HOST_TRIANGULAR, WG_HOST_CHOLESKY, WG_HOST_DET, WG_HOST_SLOGDET };
enum { WG_HOST_PUSH = WG_HOST_SLOGDET + 1, WG_HOST_PULL }; /* through Cholesky's, whose factor is the first operand */
typedef bool (*wg_host_fn)(void *context, int n_in, const wg_array *in, const wg_array *out);
/* What wg_append computes on an eager tape, bit for bit, of operands of one dtype and into a C-contiguous result of the
 * dtype and shape that the op infers.  False where the result is of no use: the op is not offered, memory is lacking,
 * or not all of it is finite, of which the caller may want to warn. */
bool wg_compute(int op, int n_in, const wg_array *in, int n_attr, const int64_t *attrs, const wg_array *out);

/* ---- programs ---------------------------------------------------------------------------------------------- */
typedef struct wg_program wg_program;

/* Lowers an abstract tape with outputs: inlines calls, removes dead nodes, plans memory.  alias[k] is the input slot
 * whose buffer output k may overwrite (a donated argument of the same shape and dtype), or -1; NULL: none.
 * strides[k] are those of input k, in elements; NULL where it lies in C order, as donated ones must, and for strides
 * where all do.  On failure the message lives in the tape. */
wg_status wg_program_new(wg_tape *t, const int32_t *alias, const int64_t *const *strides, wg_program **out);
void wg_program_release(wg_program *p);
/* Replays: inputs and outputs are buffers, one per slot, in C order unless the program was made for other strides;
 * outputs[k] == inputs[alias[k]] where donated, otherwise outputs overlap no input.  Allocates nothing; needs no
 * Python; callers wait for each other.  On failure message (message_size bytes) is filled. */
wg_status wg_program_run(wg_program *p, void *const *inputs, void *const *outputs, char *message, size_t message_size);

typedef enum { WG_GO_ON, WG_STOP, WG_NEVER_ASK } wg_answer; /* the last: go on, and ask no more */
typedef struct wg_repeat wg_repeat;
struct wg_repeat {
    int64_t times;
    int guard; /* an input of so many bools, one of which must be true for a replay to begin; 0 of them: any */
    int64_t guard_bytes;
    const int64_t *moves; /* bytes by which each input, then each output, moves on after a replay; NULL: none */
    wg_answer (*ask)(wg_repeat *); /* by the calling thread, every 40 ms; NULL: never */
    void *context;                 /* of ask */
    int64_t done;                  /* set: how many replays are complete */
    bool tries; /* BUSY at once, where another caller is at it or it may take more than some microseconds */
};
/* So many replays, one after the other, as one call.  Stopped by ask it returns INTERRUPTED: what is donated is as the
 * last whole replay left it, for one that has begun to overwrite a donated input is completed first. */
wg_status wg_program_repeat(wg_program *p, void *const *inputs, void *const *outputs, wg_repeat *repeat, char *message,
                            size_t message_size);

typedef struct {
    uint32_t nodes;       /* of the tape, calls inlined */
    uint32_t steps;       /* that a replay runs */
    size_t arena_bytes;   /* planned for intermediates */
    size_t live_bytes;    /* the most of them that are needed at one time: no plan of this schedule takes less */
    size_t scratch_bytes; /* planned for what one step needs: packed panels, tiles, sums of groups, copies */
    size_t packed_bytes;  /* the most of it that is packed panels of products */
    size_t held_bytes;    /* arguments, and results that do not overwrite one */
    size_t least_bytes;   /* the largest sum, over the steps, of what is in use and of the step's scratch */
    size_t value_bytes;   /* the intermediates' sizes added up: what no reuse would take */
} wg_program_info;
void wg_program_describe(const wg_program *p, wg_program_info *info);

typedef struct {
    const uint16_t *ops; /* that the step runs, in order */
    uint32_t n_ops;
    int64_t rows, block; /* of a region: its rows, and how many run together (0: its ops are on single numbers); both
                            0: the step is one op */
    int groups;          /* of rows, each with sums of its own */
    size_t tile_bytes;   /* of a block's values, or the single numbers */
    double flops, bytes; /* arithmetic operations; arrays read and written, each counted once */
    const char *reason;  /* why it is no region; NULL for one */
} wg_step_info;
void wg_program_step(const wg_program *p, uint32_t step, wg_step_info *info);
/* From now on every replay adds the nanoseconds of each step to clock[step]; NULL: no more. */
void wg_program_clock(wg_program *p, double *clock);

#endif

/* The tape: a flat list of 32-byte nodes and the arenas beside it.  Knows the op table and no kernels: what runs a node
 * on an eager tape is the function `run` that the tape was created with. */
#ifndef WG_TAPE_H
#define WG_TAPE_H

#include "../wengert.h"

enum { WG_MAX_PARAMS = 4 }; /* P(i) of one row */
extern const wg_op_info wg_op_table[WG_OP_COUNT];
/* wg_op for a code that is known to be one */
static inline const wg_op_info *wg_row(int op) { return &wg_op_table[op]; }

/* ---- move.c: arrays in any layout ---------------------------------------------------------------------------- */
int64_t wg_array_size(const wg_array *x);
/* dst[...] = src[...] for two layouts of one shape and dtype that do not overlap. */
void wg_move(const wg_array *dst, const wg_array *src);
/* The elements of a strided array (strides in elements), in C order. */
void wg_pack(void *dst, wg_dtype dtype, int ndim, const int64_t *shape, const int64_t *strides, const void *src);
typedef struct {
    int64_t n, d, s; /* extent; strides of destination and source, elements */
} wg_axis;
/* The same for two axes, the columns being the one along which the destination's elements lie closer. */
void wg_copy_plane(char *dst, const char *src, wg_axis rows, wg_axis columns, int64_t itemsize);
static inline int64_t wg_distance(int64_t stride) { return stride < 0 ? -stride : stride; }
void wg_copy_run(char *restrict dst, int64_t d_step, const char *restrict src, int64_t s_step, int64_t n,
                 size_t itemsize);

/* ---- values ------------------------------------------------------------------------------------------------ */
typedef struct { /* reference-counted memory that views share */
    int64_t refs;
    void *data;
    void (*release)(void *); /* NULL: data lies right behind this header */
    void *owner;             /* of the data; of a spare buffer: the next one */
    size_t size;             /* bytes behind this header */
} wg_buffer;

typedef struct {       /* a strided window into a buffer */
    wg_buffer *buffer; /* NULL: this entry is free */
    int64_t offset;    /* elements from buffer->data */
    uint32_t strides;  /* interned vector, elements; free entries: the next free id */
} wg_view;

/* ---- nodes ------------------------------------------------------------------------------------------------- */
enum {
    WG_FLAG_WEAK = 1,  /* a Python scalar, or made of nothing else: takes the other operand's dtype */
    WG_FLAG_VALUE = 2, /* has a value */
    WG_FLAG_VIEW = 4,  /* ... and it is views[value.view]; else it is one element and lies in value itself */
    WG_FLAG_STEAL = 8, /* may write into operand 0's buffer, which then has no value any more */
    /* NumPy has an array here whose memory others may share, although shape and strides do not say so: of shape (), but
     * not a number, as x[..., 0] and not x[0]; or a part of operand 0 that strides do not express.  See write.c. */
    WG_FLAG_SHARED = 16,
    /* NumPy may have the axes in another order in memory than C's, or those of what is made of it, see write.c. */
    WG_FLAG_TURNED = 32,
};

typedef union { /* one element of any dtype of at most 8 bytes */
    uint8_t b;
    int32_t i32;
    int64_t i64;
    float f32;
    double f64;
    float c64[2];
    uint32_t view; /* instead: the place of a view */
} wg_scalar;

typedef struct {
    uint16_t op;
    uint8_t dtype, flags;
    uint32_t in[3];  /* operands; an op with any number of them: in[0] is their place in side[] */
    uint32_t shape;  /* interned vector */
    uint32_t attrs;  /* place in attrs[] of {count, a0, a1, ...}; 0: none */
    wg_scalar value; /* the value where that is one element, or the id of a view */
} wg_node_rec;
_Static_assert(sizeof(wg_node_rec) == 32, "a node is 32 bytes");

/* ---- interned integer vectors: shapes and strides ---------------------------------------------------------- */
typedef struct {
    uint32_t start; /* in pool */
    int32_t ndim;
    int64_t size; /* product, saturated at INT64_MAX */
} wg_vector;

typedef struct {
    int64_t *pool;
    wg_vector *items;
    uint32_t *slots; /* open addressing, WG_NONE = empty; n_slots is a power of two */
    uint32_t pool_len, pool_cap, len, cap, n_slots;
} wg_vectors;

/* ---- the tape ---------------------------------------------------------------------------------------------- */
typedef wg_status (*wg_run_fn)(wg_tape *t, wg_id id);

typedef struct { /* a transformed copy of a child tape, kept for the next call: see rules/call.c */
    uint64_t key;
    wg_tape *tape;
} wg_derived;

#define WG_CONST_SLOTS 256
enum { WG_SPARES = 16 }; /* lists of buffers that a tape keeps for its next values */

struct wg_tape {
    wg_node_rec *nodes;
    uint32_t len, cap;
    uint32_t *side; /* {count, ids...} of nodes with any number of operands */
    uint32_t side_len, side_cap;
    int64_t *attrs; /* {count, words...}; attrs[0] is unused, so that 0 means none */
    uint32_t attrs_len, attrs_cap;
    wg_view *views;
    uint32_t views_len, views_cap, views_free; /* views_free: head of the free list, WG_NONE = empty */
    wg_vectors vectors;
    uint32_t scalar_shape;           /* the interned () */
    wg_id constants[WG_CONST_SLOTS]; /* by hash of value and dtype; entries are checked when used */
    wg_tape **children;              /* referenced by call nodes */
    uint32_t children_len, children_cap;
    wg_id *moved; /* by id: the node that was written in its place, 0: none; see write.c */
    uint32_t moved_len, moved_cap;
    wg_id *inputs, *outputs; /* of an abstract tape */
    uint32_t n_inputs, cap_inputs, n_outputs;
    wg_run_fn run; /* NULL: abstract */
    void *program; /* made by run when this tape is called; see program/eager.c */
    void (*program_release)(void *);
    wg_derive_fn derive; /* of calls of this tape; NULL: by sweeping a copy of it */
    void (*derive_release)(void *);
    void *derive_context;
    wg_derived *derived;
    uint32_t derived_len, derived_cap;
    void *scratch; /* grows to what the largest kernel call needed */
    size_t scratch_size;
    wg_buffer *spares[WG_SPARES]; /* by size, see value.c; each the first of a list */
    size_t spare_bytes;
    int64_t refs;
    uintptr_t thread;
    char error[512];
};

/* ---- tape.c ------------------------------------------------------------------------------------------------ */
wg_tape *wg_tape_create(wg_run_fn run);
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
wg_status
wg_fail(wg_tape *t, wg_status status, const char *format, ...);
wg_status wg_no_memory(wg_tape *t);
wg_status wg_check_thread(wg_tape *t);
wg_status wg_check_id(wg_tape *t, wg_id id, const char *what);
/* Appends the record as it stands (no promotion, no inference, no run). */
wg_status wg_push(wg_tape *t, const wg_node_rec *node, wg_id *out);
wg_status wg_push_attrs(wg_tape *t, int n, const int64_t *attrs, uint32_t *place);
wg_status wg_push_side(wg_tape *t, int n, const wg_id *ids, uint32_t *place);
/* Operands and attributes of a node, until the next one is appended, and their numbers. */
static inline const wg_id *wg_in(const wg_tape *t, wg_id id) {
    const wg_node_rec *node = &t->nodes[id];
    return wg_row(node->op)->arity < 0 ? t->side + node->in[0] + 1 : node->in;
}
static inline int wg_n_in(const wg_tape *t, wg_id id) {
    const int arity = wg_row(t->nodes[id].op)->arity;
    return arity < 0 ? (int)t->side[t->nodes[id].in[0]] : arity;
}
static inline const int64_t *wg_attr(const wg_tape *t, wg_id id) { return t->attrs + t->nodes[id].attrs + 1; }
static inline int wg_n_attr(const wg_tape *t, wg_id id) {
    return t->nodes[id].attrs ? (int)t->attrs[t->nodes[id].attrs] : 0;
}
/* The same in one call, which returns the number. */
static inline int wg_operands(const wg_tape *t, wg_id id, const wg_id **in) {
    return *in = wg_in(t, id), wg_n_in(t, id);
}
static inline int wg_attrs(const wg_tape *t, wg_id id, const int64_t **attrs) {
    return *attrs = wg_attr(t, id), wg_n_attr(t, id);
}
/* *array, of *cap elements, with room for `need` */
bool wg_grow(void *array, uint32_t *cap, uint64_t need, size_t itemsize);
wg_status wg_push_item(wg_tape *t, void *array, uint32_t *n, uint32_t *cap, const void *item, size_t itemsize);
/* One more item, a variable, at the end of owner->items, of which there are n_items. */
#define WG_PUSH(t, owner, items, item)                                                                                 \
    wg_push_item(t, &(owner)->items, &(owner)->n_##items, &(owner)->cap_##items, &(item), sizeof *(owner)->items)
void *wg_scratch(wg_tape *t, size_t size); /* 64-byte aligned, NULL if out of memory */

/* ---- write.c ----------------------------------------------------------------------------------------------- */
void wg_forget_moves(wg_tape *t, wg_id len); /* of and to nodes from `len` on */

/* ---- copy.c ------------------------------------------------------------------------------------------------ */
wg_status wg_push_child(wg_tape *t, wg_tape *child); /* takes a reference of its own */
/* Appends node `id` of src to dst as it stands, its operands renamed by map[]; calls keep their child. */
wg_status wg_copy_node(wg_tape *dst, const wg_tape *src, wg_id id, const wg_id *map, wg_id *out);
/* The outputs of src as those of dst, by the ids that its nodes have there. */
wg_status wg_map_outputs(wg_tape *dst, const wg_tape *src, const wg_id *map);
/* A new abstract tape with the same nodes, so that ids stay what they were; NULL if out of memory. */
wg_tape *wg_tape_clone(const wg_tape *src);

/* ---- loop.c ------------------------------------------------------------------------------------------------ */
typedef struct { /* a call whose attributes make it a loop, see wg_scan */
    wg_tape *body;
    int n_in, n_carry, n_x, n_y;
    int64_t length; /* or WG_UNTIL */
    bool reverse;
    int guard;     /* an operand, or -1 */
    int64_t block; /* of steps; 0: all are kept, also products; negative: it keeps its carries */
} wg_loop_info;
bool wg_loop_of(const wg_tape *t, wg_id call, wg_loop_info *l); /* false: a plain call */
int wg_n_results(const wg_tape *t, wg_id call);
wg_status wg_infer_result(wg_tape *t, wg_id call, int64_t k, wg_dtype *dtype, uint32_t *shape);

/* ---- value.c ----------------------------------------------------------------------------------------------- */
wg_buffer *wg_buffer_new(size_t size); /* one reference, data 64-byte aligned, uninitialised */
void wg_buffer_retain(wg_buffer *b);
void wg_buffer_release(wg_buffer *b);
/* Gives node `id` the view; takes over the caller's reference to buffer, also on failure. */
wg_status wg_set_view(wg_tape *t, wg_id id, wg_buffer *buffer, int64_t offset, uint32_t strides);
/* Gives node `id` fresh contiguous memory (inside the node when 0-d) and returns where, NULL if out of memory. */
void *wg_alloc_value(wg_tape *t, wg_id id);
void wg_drop_value(wg_tape *t, wg_id id);
void wg_free_spares(wg_tape *t);
char *wg_data(wg_tape *t, wg_id id); /* first element; NULL without a value */
const int64_t *wg_strides(const wg_tape *t, wg_id id);
/* The view that reshape, transpose, broadcast or slice makes of a strided operand.  False: only a copy can. */
bool wg_view_op(int op, const int64_t *attrs, int ndim_in, const int64_t *shape_in, const int64_t *strides_in,
                int ndim_out, const int64_t *shape_out, int64_t *offset, int64_t *strides_out);
void wg_contiguous_strides(int ndim, const int64_t *shape, int64_t *strides);

/* ---- common.c ---------------------------------------------------------------------------------------------- */
typedef struct {
    wg_tape *t;
    const wg_id *same; /* by id - lo: what an operand from lo on counts as; NULL: itself */
    wg_id lo;
    wg_id *table; /* open addressing; WG_NONE: empty */
    uint32_t mask;
} wg_common;
wg_status wg_common_init(wg_common *c, wg_tape *t, size_t most, const wg_id *same, wg_id lo); /* for so many nodes */
void wg_common_free(wg_common *c);
/* The first node asked for that is the same op on the same operands: maybe this one. */
wg_id wg_common_node(wg_common *c, wg_id id);

/* ---- vectors.c --------------------------------------------------------------------------------------------- */
bool wg_vectors_init(wg_vectors *v);
void wg_vectors_free(wg_vectors *v);
/* The id of the vector, WG_NONE if out of memory. */
uint32_t wg_intern(wg_vectors *v, int ndim, const int64_t *x);
static inline int wg_vec_ndim(const wg_tape *t, uint32_t id) { return t->vectors.items[id].ndim; }
static inline const int64_t *wg_vec(const wg_tape *t, uint32_t id) {
    return t->vectors.pool + t->vectors.items[id].start;
}
static inline int64_t wg_vec_size(const wg_tape *t, uint32_t id) { return t->vectors.items[id].size; }
static inline int wg_ndim(const wg_tape *t, wg_id id) { return wg_vec_ndim(t, t->nodes[id].shape); }
static inline const int64_t *wg_shape(const wg_tape *t, wg_id id) { return wg_vec(t, t->nodes[id].shape); }
static inline int64_t wg_size(const wg_tape *t, wg_id id) { return wg_vec_size(t, t->nodes[id].shape); }
/* Interns a shape after checking extents and that its bytes fit. */
wg_status wg_make_shape(wg_tape *t, wg_dtype dtype, int ndim, const int64_t *shape, uint32_t *out);
wg_status wg_broadcast_shapes(wg_tape *t, const char *op, uint32_t a, uint32_t b, uint32_t *out);
/* "(2, 3)" into text */
const char *wg_shape_text(int ndim, const int64_t *shape, char *text, size_t size);

/* ---- infer.c ----------------------------------------------------------------------------------------------- */
enum wg_infer_rule {
    WG_INFER_none,
    WG_INFER_elementwise,
    WG_INFER_compare,
    WG_INFER_where,
    WG_INFER_same,
    WG_INFER_cast,
    WG_INFER_reshape,
    WG_INFER_transpose,
    WG_INFER_broadcast,
    WG_INFER_slice,
    WG_INFER_slice_add,
    WG_INFER_concatenate,
    WG_INFER_gather,
    WG_INFER_index_add,
    WG_INFER_ravel_index,
    WG_INFER_host,
    WG_INFER_reduce,
    WG_INFER_recurrence,
    WG_INFER_random,
    WG_INFER_part,
    WG_INFER_to_complex,
    WG_INFER_argreduce,
    WG_INFER_argsort,
    WG_INFER_matmul,
    WG_INFER_call,
    WG_INFER_result,
    WG_INFER_COUNT
};
/* Shape and dtype of the op on operands that have been promoted. */
wg_status wg_infer(wg_tape *t, int op, int n_in, const wg_id *in, int n_attr, const int64_t *attrs, wg_dtype *dtype,
                   uint32_t *shape);

/* ---- append.c ---------------------------------------------------------------------------------------------- */
static inline bool wg_is_float(int dtype) { return dtype == WG_F32 || dtype == WG_F64; }
static inline bool wg_is_complex(int dtype) { return dtype >= WG_C64; }
static inline bool wg_has_adjoint(int dtype) { return dtype >= WG_F32; }
static inline bool wg_is_elementwise(int kind) {
    return kind == WG_KIND_UNARY || kind == WG_KIND_BINARY || kind == WG_KIND_ZERO || kind == WG_KIND_COMPARE ||
           kind == WG_KIND_DERIVATIVE || kind == WG_KIND_BITWISE;
}
static inline bool wg_is_view_op(int op) {
    return op == WG_reshape || op == WG_transpose || op == WG_broadcast || op == WG_slice || op == WG_copy ||
           op == WG_stop_gradient;
}
wg_status wg_append_flagged(wg_tape *t, int op, int n_in, const wg_id *in, int n_attr, const int64_t *attrs, int flags,
                            wg_id *out);
/* A constant of any dtype from a double; a weak one when weak. */
wg_status wg_number(wg_tape *t, wg_dtype dtype, double value, bool weak, wg_id *out);

typedef union {
    double real;
    int64_t bits;
} wg_either;
static inline double wg_bits_double(int64_t x) { return (wg_either){.bits = x}.real; }

#define WG_TRY(call)                                                                                                   \
    do {                                                                                                               \
        wg_status status_ = (call);                                                                                    \
        if (status_ != WG_OK) return status_;                                                                          \
    } while (0)

#endif

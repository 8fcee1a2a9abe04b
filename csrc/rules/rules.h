/* Differentiation: rules append nodes, never compute numbers.  A sweep walks a range of nodes; a rule reads the
 * cotangent (or tangents) of one node and hands contributions to its operands. */
#ifndef WG_RULES_H
#define WG_RULES_H

#include "../tape/tape.h"

enum { WG_MAX_EXPANSION = 64 }; /* nodes of one expanded derivative column, constants included */

enum {
    WG_MARK_ACTIVE = 1, /* depends on the sweep's inputs, and a derivative can flow through it */
    WG_MARK_OWNED = 2,  /* its slot holds a node that this sweep made and nobody else reads */
    WG_MARK_KEEP = 4,   /* an input: its slot is a result */
    WG_MARK_NEEDED = 8, /* forward: an output depends on it */
};

typedef struct {
    wg_tape *t;
    wg_id lo, hi;   /* the nodes that are walked: lo <= id < hi */
    uint8_t *marks; /* by id - lo: WG_MARK_... */
    wg_id *slot;    /* by id - lo: the cotangent (reverse) or tangent (forward), WG_NONE = zero */
    wg_id *same;    /* reverse, by id - lo: the first node that computes the same; NULL: nobody has looked */
    wg_id extra_lo; /* the expansion of one derivative column, appended during the sweep */
    wg_id extra_hi;
    bool extra_active[WG_MAX_EXPANSION + 2]; /* two letters of its own may stand before it */
    wg_id extra_slot[WG_MAX_EXPANSION + 2];
    bool transient; /* nothing encloses the sweep: values are freed after their last reader */
    wg_id base;     /* transient: the tape's length at the start */
    uint32_t *refs; /* transient: by id - base, how many slots hold the node */
    uint32_t refs_cap;
} wg_sweep;

typedef wg_status (*wg_vjp_rule)(wg_sweep *s, wg_id node, wg_id g);
/* *out: the node's tangent; tangents[k] may be WG_NONE, but not all of them are */
typedef wg_status (*wg_jvp_rule)(wg_sweep *s, wg_id node, const wg_id *tangents, wg_id *out);

/* ---- sweep.c ----------------------------------------------------------------------------------------------- */
bool wg_wants(const wg_sweep *s, wg_id id); /* would a contribution to this node be used? */
wg_status wg_contribute(wg_sweep *s, wg_id id, wg_id contribution);
/* Adds g to a slice, or to indexed rows, of the node's cotangent, in place where the sweep owns it. */
wg_status wg_contribute_slice(wg_sweep *s, wg_id id, const int64_t *attrs, int n_attr, wg_id g);
wg_status wg_contribute_rows(wg_sweep *s, wg_id id, wg_id index, wg_id g);
/* Contributes the node's cotangent in[0] with a part of it changed by op, in place where the sweep owns it: the last
 * that a rule does with it. */
wg_status wg_contribute_rest(wg_sweep *s, wg_id id, wg_id node, int op, int n_in, const wg_id *in, int n_attr,
                             const int64_t *attrs);
wg_status wg_vjp_node(wg_sweep *s, wg_id id, wg_id g);
wg_status wg_jvp_node(wg_sweep *s, wg_id id, const wg_id *tangents, wg_id *out);
wg_id wg_slot_of(const wg_sweep *s, wg_id id);
void wg_set_slot(wg_sweep *s, wg_id id, wg_id value);

/* ---- call.c ------------------------------------------------------------------------------------------------ */
/* A call's results follow it; their slots are read (reverse) or written (forward) together. */
wg_status wg_vjp_results(wg_sweep *s, wg_id call);
wg_status wg_jvp_results(wg_sweep *s, wg_id call, const wg_id *tangents);
/* The tape by which calls of a child are differentiated, see wg_derive_fn; on failure the message lives in the child.
 */
wg_status wg_derive_child(wg_tape *child, wg_mode mode, const bool *given, const bool *asked, wg_tape **out);

wg_status wg_push_call(wg_tape *t, wg_tape *child, int n_attr, int64_t *attrs, int n_in, const wg_id *in, wg_id *first);
void wg_let_results_go(wg_sweep *s, wg_id call); /* their slots are not read any more */
wg_status wg_input_like(wg_tape *t, const wg_tape *from, wg_id like, wg_id *out);

/* ---- loop.c: the same for calls that are loops ------------------------------------------------------------- */
wg_status wg_vjp_loop(wg_sweep *s, wg_id call, const wg_loop_info *l);
wg_status wg_jvp_loop(wg_sweep *s, wg_id call, const wg_id *tangents, const wg_loop_info *l);
/* A guarded body whose guard is batched, as is all that it carries and stacks: an element whose guard is false keeps
 * its carries and stacks 0. */
wg_status wg_mask_body(wg_tape *b, int n_carry, int guard);

/* ---- elementwise.c ----------------------------------------------------------------------------------------- */
wg_status wg_vjp_elementwise(wg_sweep *s, wg_id node, wg_id g);
wg_status wg_jvp_elementwise(wg_sweep *s, wg_id node, const wg_id *tangents, wg_id *out);
wg_status wg_vjp_derivative(wg_sweep *s, wg_id node, wg_id g);
wg_status wg_jvp_derivative(wg_sweep *s, wg_id node, const wg_id *tangents, wg_id *out);

/* ---- emit.c: what rules are written with ------------------------------------------------------------------- */
/* x, the k-th of what a message names, must be as y in dtype and shape, or as `rows` of it unless that is -1. */
wg_status wg_check_like(wg_tape *t, const char *what, int k, wg_tape *from, wg_id x, const wg_tape *like, wg_id y,
                        int64_t rows);
wg_status wg_emit1(wg_tape *t, int op, wg_id a, wg_id *out);
wg_status wg_emit2(wg_tape *t, int op, wg_id a, wg_id b, wg_id *out);
wg_status wg_emit3(wg_tape *t, int op, wg_id a, wg_id b, wg_id c, wg_id *out);
wg_status wg_emit_reshape(wg_tape *t, wg_id a, uint32_t shape, wg_id *out);
wg_status wg_emit_broadcast(wg_tape *t, wg_id a, uint32_t shape, wg_id *out);
wg_status wg_emit_swap(wg_tape *t, wg_id a, wg_id *out); /* the last two axes */
wg_status wg_emit_sum(wg_tape *t, wg_id a, uint64_t axes, bool keepdims, wg_id *out);
wg_status wg_emit_zeros(wg_tape *t, wg_id like, wg_id *out);
/* Is the node this constant, of floats?  The constant that it repeats, or is; else WG_NONE.  Is it zeros? */
bool wg_is_number(const wg_tape *t, wg_id id, double number);
wg_id wg_repeated_constant(const wg_tape *t, wg_id id);
bool wg_is_zeros(const wg_tape *t, wg_id id);
wg_status wg_emit_plus(wg_tape *t, wg_id a, wg_id b, wg_id *out); /* WG_NONE is zero */
/* Attributes of the slice of x that takes so many elements along an axis and all along the others; their number. */
int wg_along(const wg_tape *t, wg_id x, int64_t axis, int64_t start, int64_t length, int64_t *window);
wg_status wg_emit_part(wg_tape *t, wg_id x, int64_t axis, int64_t start, int64_t length, wg_id *out);
/* Sums what broadcasting repeated: back to the shape of node `like`. */
wg_status wg_unbroadcast(wg_tape *t, wg_id g, wg_id like, wg_id *out);
/* Contributes after wg_unbroadcast. */
wg_status wg_contribute_sum(wg_sweep *s, wg_id id, wg_id g);
/* A copy of a node's attributes, which stays put while nodes are appended. */
typedef struct {
    int n;
    int64_t x[3 * WG_MAX_NDIM];
} wg_attr_copy;
wg_attr_copy wg_copy_attrs(const wg_tape *t, wg_id id);

/* The rules that ops.def names. */
#define LINEAR(name, numpy, arity, infer, class, doc) wg_status wg_vjp_##name(wg_sweep *s, wg_id node, wg_id g);
#define BILINEAR(name, numpy, infer, class, doc) wg_status wg_vjp_##name(wg_sweep *s, wg_id node, wg_id g);
#define RULE(name, numpy, arity, infer, class, doc)                                                                    \
    wg_status wg_vjp_##name(wg_sweep *s, wg_id node, wg_id g);                                                         \
    wg_status wg_jvp_##name(wg_sweep *s, wg_id node, const wg_id *tangents, wg_id *out);
#include "../ops.def"

/* batch_rule.c: gives `out`, which is t batched, the rule of t batched likewise. */
wg_status wg_batch_rule_of(wg_tape *t, int64_t size, const bool *batched, const bool *out_batched, wg_tape *out);

#endif

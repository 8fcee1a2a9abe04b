/* Fusion: nodes that walk the same rows are gathered into regions, each a loop over blocks of rows, and the tape is
 * written anew with the nodes of a region side by side.
 *
 * A node joins a region if what it reads of it is at hand block by block, and if nothing it reads otherwise waits for
 * the region's end.  To know the latter, every node and every region carries the set of regions that it waits for, as
 * bits; regions come in generations of 64, and only those of the current one are open. */
#include <stdlib.h>
#include <string.h>

#include "program.h"

enum { GENERATION = 64, MAX_MEMBERS = 1 << 16 };

typedef struct {
    int64_t rows;
    uint32_t shape;   /* of the first member */
    uint64_t waits;   /* for these regions of its generation, directly */
    wg_id head, tail; /* its nodes, in order */
    uint32_t n_steps; /* nodes that compute */
    bool apart;       /* nobody joins it */
    bool fits;        /* all members may be parts of one row */
} wg_group;

typedef struct {
    wg_tape *t;
    wg_window *windows;
    bool *live;
    uint32_t *group; /* by node: WG_NONE or which */
    uint64_t *waits; /* by node outside of groups: for these of the current generation */
    wg_id *next;     /* by node: the next one in its group */
    uint8_t *roles;  /* by node */
    wg_group *groups;
    uint32_t n_groups, cap_groups, first_open; /* of the current generation */
    bool few;                                  /* elements are moved, and no node has more than WG_FEW */
} wg_fuser;

static uint64_t bit(const wg_fuser *f, uint32_t group) {
    return group == WG_NONE || group < f->first_open ? 0 : (uint64_t)1 << (group - f->first_open);
}

/* All that regions in `set` wait for, with themselves. */
static uint64_t closure(const wg_fuser *f, uint64_t set) {
    for (uint64_t seen = 0; seen != set;) {
        uint64_t fresh = set & ~seen;
        seen = set;
        for (; fresh; fresh &= fresh - 1) set |= f->groups[f->first_open + (uint32_t)__builtin_ctzll(fresh)].waits;
    }
    return set;
}

/* ---- joining ----------------------------------------------------------------------------------------------- */
/* What the node would wait for as a member of `group` (WG_NONE: outside of any); false: it cannot be a member.
 * *reads: it reads a value of the group block by block. */
static bool waits_of(const wg_fuser *f, wg_id id, uint32_t group, uint64_t *waits, bool *reads) {
    const wg_id *in;
    int n = wg_operands(f->t, id, &in);
    *waits = 0;
    *reads = false;
    for (int k = 0; k < n; k++) {
        const wg_id root = f->windows[in[k]].root;
        const uint32_t from = f->group[root];
        if (from == group && group != WG_NONE) {
            const wg_role role = (wg_role)f->roles[id];
            const int64_t rows = f->groups[group].rows;
            if (rows != 1 && wg_sums_rows((wg_role)f->roles[root])) return false;
            if (!wg_streams(f->t, f->windows, id, role, k, rows)) return false;
            *reads = true;
        } else {
            *waits |= from == WG_NONE ? f->waits[root] : bit(f, from);
        }
    }
    return group == WG_NONE || !(closure(f, *waits) & bit(f, group));
}

static void add_member(wg_fuser *f, wg_id id, uint32_t group) {
    wg_group *g = &f->groups[group];
    f->group[id] = group;
    f->next[id] = WG_NONE;
    if (g->head == WG_NONE)
        g->head = id;
    else
        f->next[g->tail] = id;
    g->tail = id;
}

/* May the node be part of a row, with all its elements?  Vectors are, of a region whose products have one row or where
 * places of a vector are mixed. */
static bool fits_one_row(const wg_fuser *f, wg_id id) {
    const wg_role role = (wg_role)f->roles[id];
    const bool whole = role == WG_ROLE_MAP || role == WG_ROLE_WINDOW || role == WG_ROLE_JOIN;
    const bool folds = role == WG_ROLE_FOLD || role == WG_ROLE_TOTAL || role == WG_ROLE_COLUMNS;
    const wg_id like = folds ? f->t->nodes[id].in[0] : id;
    const bool fits = wg_size(f->t, like) <= WG_ONE_ROW && wg_ndim(f->t, like) < WG_MAX_NDIM;
    return (whole || folds) && fits && !f->few;
}

/* The open group that the node joins: the latest from which it reads, else the latest of its very shape. */
static uint32_t group_for(const wg_fuser *f, wg_id id, int64_t rows, uint64_t *waits) {
    uint32_t alike = WG_NONE;
    uint64_t alike_waits = 0, w;
    for (uint32_t g = f->n_groups; g-- > f->first_open;) {
        bool reads;
        const wg_group *group = &f->groups[g];
        const bool walks = group->rows == rows;
        if (group->apart || group->n_steps >= MAX_MEMBERS) continue;
        if (!walks && (group->rows != 1 || !fits_one_row(f, id))) continue;
        if (!waits_of(f, id, g, &w, &reads)) continue;
        if (reads) return *waits = w, g;
        if (walks && alike == WG_NONE && group->shape == f->t->nodes[id].shape) alike = g, alike_waits = w;
    }
    return *waits = alike_waits, alike;
}

/* ---- merging ----------------------------------------------------------------------------------------------- */
static void set_members(wg_fuser *f, wg_id head, uint32_t group) {
    for (wg_id id = head; id != WG_NONE; id = f->next[id]) f->group[id] = group;
}

/* What the members wait for as members of their group of now; false: they cannot be. */
static bool waits_of_members(const wg_fuser *f, wg_id head, uint32_t group, uint64_t *waits) {
    for (wg_id id = head; id != WG_NONE; id = f->next[id]) {
        uint64_t w;
        bool reads;
        if (f->windows[id].root != id) continue;
        if (!waits_of(f, id, group, &w, &reads)) return false;
        *waits |= w;
    }
    return true;
}

static wg_id merged(wg_fuser *f, wg_id a, wg_id b) { /* two lists of nodes in order, as one */
    wg_id head = WG_NONE, *end = &head;
    while (a != WG_NONE || b != WG_NONE) {
        wg_id *first = b == WG_NONE || (a != WG_NONE && a < b) ? &a : &b;
        *end = *first;
        end = &f->next[*first];
        *first = *end;
    }
    return head;
}

/* Makes two groups one, if neither waits for the other by way of anything else.  Rows may become parts of one. */
static void try_merge(wg_fuser *f, uint32_t into, uint32_t from) {
    wg_group *a = &f->groups[into], *b = &f->groups[from];
    uint64_t waits = 0;
    const int64_t rows = a->rows;
    const bool one = (a->rows == 1 && b->fits) || (b->rows == 1 && a->fits);
    if (a->apart || b->apart || (rows != b->rows && !one) || a->n_steps + b->n_steps > MAX_MEMBERS) return;
    set_members(f, b->head, into);
    a->rows = rows == b->rows ? rows : 1;
    const bool fits = waits_of_members(f, a->head, into, &waits) && waits_of_members(f, b->head, into, &waits) &&
                      !(closure(f, waits) & (bit(f, into) | bit(f, from)));
    if (!fits) {
        set_members(f, b->head, from);
        a->rows = rows;
        return;
    }
    a->tail = a->tail > b->tail ? a->tail : b->tail;
    a->head = merged(f, a->head, b->head);
    a->waits = waits;
    a->fits &= b->fits;
    a->n_steps += b->n_steps;
    *b = (wg_group){.head = WG_NONE}; /* rows 0: nobody joins it */
    for (wg_id id = 0; id < f->t->len; id++)
        if (f->waits[id] & bit(f, from)) f->waits[id] = (f->waits[id] & ~bit(f, from)) | bit(f, into);
    for (uint32_t g = f->first_open; g < f->n_groups; g++)
        if (f->groups[g].waits & bit(f, from)) f->groups[g].waits = (f->groups[g].waits & ~bit(f, from)) | bit(f, into);
}

/* The groups whose values the node of `group` reads, and that walk the same rows, become one with it. */
static void merge_operands(wg_fuser *f, wg_id id, uint32_t group) {
    const wg_id *in;
    const int n = wg_operands(f->t, id, &in);
    for (int k = 0; k < n; k++) {
        const uint32_t from = f->group[f->windows[in[k]].root];
        if (from != group && bit(f, from)) try_merge(f, group, from);
    }
}

static wg_status place_node(wg_fuser *f, wg_id id) {
    wg_tape *t = f->t;
    const wg_id root = f->windows[id].root;
    int64_t rows = 0;
    uint64_t waits = 0;
    bool reads;
    if (root != id) { /* a view stands with what it looks at */
        if (f->group[root] != WG_NONE) add_member(f, id, f->group[root]);
        return WG_OK;
    }
    f->roles[id] = (uint8_t)wg_role_of(t, f->windows, id, &rows);
    const bool splits = f->few && wg_moves_elements(t, f->windows, id);
    if (splits) f->roles[id] = WG_ROLE_MAP;
    if (splits || (f->roles[id] == WG_ROLE_MAP && (f->few || wg_ndim(t, id) == 0))) rows = WG_SCALARS;
    if (t->nodes[id].op == WG_result) { /* a loop and its results are a region of their own */
        add_member(f, id, f->group[t->nodes[id].in[0]]);
        return WG_OK;
    }
    const bool loops = t->nodes[id].op == WG_call;
    if (f->roles[id] == WG_ROLE_NONE && !loops) {
        waits_of(f, id, WG_NONE, &f->waits[id], &reads);
        return WG_OK;
    }
    if (loops) rows = WG_LOOPS;
    const bool apart = loops || wg_shares_rows(t, f->windows, id);
    uint32_t group = apart ? WG_NONE : group_for(f, id, rows, &waits);
    if (group == WG_NONE) {
        if (f->n_groups - f->first_open == GENERATION) {
            f->first_open = f->n_groups;
            memset(f->waits, 0, (size_t)t->len * sizeof *f->waits);
        }
        if (!wg_grow(&f->groups, &f->cap_groups, (uint64_t)f->n_groups + 1, sizeof *f->groups)) return wg_no_memory(t);
        group = f->n_groups++;
        f->groups[group] =
            (wg_group){.rows = rows, .shape = t->nodes[id].shape, .head = WG_NONE, .apart = apart, .fits = true};
        waits_of(f, id, WG_NONE, &waits, &reads);
    }
    add_member(f, id, group);
    f->groups[group].waits |= waits;
    f->groups[group].fits &= fits_one_row(f, id);
    f->groups[group].n_steps++;
    merge_operands(f, id, group);
    return WG_OK;
}

/* ---- the new order ----------------------------------------------------------------------------------------- */
typedef struct { /* a unit, a group or a node alone, whose operands are being written before it */
    wg_id first, member;
    int operand;
} wg_visit;

typedef struct {
    wg_fuser *f;
    wg_tape *out;
    wg_id *map; /* WG_NONE: not written yet */
    wg_visit *stack;
    uint32_t depth, cap;
    wg_range *ranges;
    uint32_t n_ranges, cap_ranges;
} wg_writer;

static wg_id first_of(const wg_fuser *f, wg_id id) {
    return f->group[id] == WG_NONE ? id : f->groups[f->group[id]].head;
}

static wg_status visit(wg_writer *w, wg_id id) {
    if (w->map[id] != WG_NONE) return WG_OK;
    if (!wg_grow(&w->stack, &w->cap, (uint64_t)w->depth + 1, sizeof *w->stack)) return wg_no_memory(w->out);
    const wg_id first = first_of(w->f, id);
    w->stack[w->depth++] = (wg_visit){.first = first, .member = first};
    return WG_OK;
}

static wg_status write_unit(wg_writer *w, wg_id first) {
    const uint32_t group = w->f->group[first];
    wg_range range = {.lo = w->out->len, .rows = group == WG_NONE ? 0 : w->f->groups[group].rows};
    for (wg_id id = first; id != WG_NONE; id = group == WG_NONE ? WG_NONE : w->f->next[id])
        if (w->f->live[id]) WG_TRY(wg_copy_node(w->out, w->f->t, id, w->map, &w->map[id]));
    range.hi = w->out->len;
    if (group == WG_NONE) return WG_OK;
    const bool alone = w->f->groups[group].n_steps < 2 && range.rows >= 0;
    if (alone && !w->f->groups[group].apart) return WG_OK;
    if (!wg_grow(&w->ranges, &w->cap_ranges, (uint64_t)w->n_ranges + 1, sizeof *w->ranges)) return wg_no_memory(w->out);
    w->ranges[w->n_ranges++] = range;
    return WG_OK;
}

/* Writes a unit after all that it reads; by a stack of our own, for a chain may be long. */
static wg_status write_from(wg_writer *w, wg_id id) {
    const wg_fuser *f = w->f;
    WG_TRY(visit(w, id));
    while (w->depth) {
        wg_visit *top = &w->stack[w->depth - 1];
        if (top->member == WG_NONE || w->map[top->first] != WG_NONE) {
            const wg_id first = top->first;
            w->depth--;
            if (w->map[first] == WG_NONE) WG_TRY(write_unit(w, first));
            continue;
        }
        const wg_id *in;
        if (!f->live[top->member] || top->operand >= wg_operands(f->t, top->member, &in)) {
            top->member = f->group[top->first] == WG_NONE ? WG_NONE : f->next[top->member];
            top->operand = 0;
            continue;
        }
        const wg_id x = in[top->operand++];
        if (first_of(f, x) != top->first) WG_TRY(visit(w, x));
    }
    return WG_OK;
}

static wg_status write_all(wg_writer *w) {
    wg_tape *t = w->f->t;
    for (uint32_t k = 0; k < t->n_inputs; k++) /* all of them, in the order of their slots */
        WG_TRY(wg_copy_node(w->out, t, t->inputs[k], w->map, &w->map[t->inputs[k]]));
    for (wg_id id = 0; id < t->len; id++)
        if (w->f->live[id]) WG_TRY(write_from(w, id));
    return wg_map_outputs(w->out, t, w->map);
}

/* ---- in all ------------------------------------------------------------------------------------------------ */
static wg_status form_groups(wg_fuser *f) {
    const size_t n = (size_t)f->t->len + 1;
    f->windows = malloc(n * sizeof *f->windows);
    f->live = malloc(n * sizeof *f->live);
    f->group = malloc(n * sizeof *f->group);
    f->waits = calloc(n, sizeof *f->waits);
    f->next = malloc(n * sizeof *f->next);
    f->roles = calloc(n, sizeof *f->roles);
    if (!f->windows || !f->live || !f->group || !f->waits || !f->next || !f->roles) return wg_no_memory(f->t);
    memset(f->group, 0xff, n * sizeof *f->group);
    wg_mark_live(f->t, f->live);
    WG_TRY(wg_find_windows(f->t, NULL, f->windows));
    bool many = false;
    for (wg_id id = 0; id < f->t->len; id++) {
        if (!f->live[id] || !wg_computes(f->t, f->windows, id)) continue;
        f->few |= wg_moves_elements(f->t, f->windows, id);
        many |= wg_size(f->t, id) > WG_FEW || f->t->nodes[id].op == WG_call;
    }
    f->few &= !many;
    for (wg_id id = 0; id < f->t->len; id++)
        if (f->live[id]) WG_TRY(place_node(f, id));
    return WG_OK;
}

static wg_status fuse(wg_writer *w) {
    WG_TRY(form_groups(w->f));
    const size_t n = (size_t)w->f->t->len + 1;
    w->out = wg_tape_create(NULL);
    w->map = malloc(n * sizeof *w->map);
    if (!w->out || !w->map) return wg_no_memory(w->f->t);
    memset(w->map, 0xff, n * sizeof *w->map);
    return write_all(w);
}

wg_status wg_fuse(wg_program *p) {
    wg_fuser f = {.t = p->flat};
    wg_writer w = {.f = &f};
    wg_status status = fuse(&w);
    if (status != WG_OK && w.out && w.out->error[0]) wg_fail(f.t, status, "%s", w.out->error);
    free(f.windows);
    free(f.live);
    free(f.group);
    free(f.waits);
    free(f.next);
    free(f.roles);
    free(f.groups);
    free(w.map);
    free(w.stack);
    if (status != WG_OK) {
        if (w.out) wg_tape_release(w.out);
        free(w.ranges);
        return status;
    }
    wg_tape_release(p->flat);
    p->flat = w.out;
    p->ranges = w.ranges;
    p->n_ranges = w.n_ranges;
    return WG_OK;
}

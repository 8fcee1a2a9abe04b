/* Elementwise ops on strided, broadcast arrays.  Axes that all arrays step through alike are merged; two of the rest,
 * one of them that of the result's lines or the operands', are walked in blocks.  What lies contiguous along a block's
 * rows is read and written in place, anything else by way of a tile. */
#include <string.h>

#include "program.h"

void wg_params(int n_attr, const int64_t *attrs, double params[WG_MAX_PARAMS]) {
    for (int i = 0; i < n_attr && i < WG_MAX_PARAMS; i++) params[i] = wg_bits_double(attrs[i]);
}

int wg_map_operands(int op, int n_in, const void *const *in, const void *slots[4]) {
    const wg_op_info *info = wg_row(op);
    if (info->kind != WG_KIND_DERIVATIVE) {
        for (int k = 0; k < n_in; k++) slots[k] = in[k];
        return n_in;
    }
    int reads = wg_row(info->base)->reads[info->operand], next = 1; /* the node keeps g and what its column reads */
    slots[0] = in[0];
    for (int k = 0; k < 3; k++) slots[k + 1] = reads >> k & 1 ? in[next++] : in[0];
    return 4;
}

enum {
    TILE = 1 << 14, /* bytes of a tile */
    HIGH = 16,      /* rows of a block of which an operand lies turned: the squares that it is moved in */
    LONG_ROW = 64,  /* rows that are worth a call of the kernel each */
    LINE = 64,      /* bytes of the cache's lines */
    LOOK = 1 << 21, /* elements between two looks at the watch */
    MOST = 4        /* operands and the result */
};

typedef struct {
    int64_t shape, strides[MOST]; /* elements; a repeated operand has stride 0 */
} wg_way;

typedef struct {
    const wg_step *step;
    wg_map_fn map;
    int n_axes; /* the last two are the blocks' rows and columns */
    int64_t rows, columns, row_blocks, column_blocks, blocks;
    int64_t short_of; /* rows that the first block lacks, so that the next begin a line of the result */
    int64_t itemsize[MOST];
    char *data[MOST];
    wg_way axes[WG_MAX_NDIM + 2];
    double params[WG_MAX_PARAMS];
} wg_loop;

typedef struct {
    _Alignas(64) char bytes[MOST][TILE];
    const char *held[MOST]; /* where what is in a tile comes from */
    int64_t rows, columns;  /* of the block that it was gathered for */
} wg_tiles;

static void swap_axes(wg_way *a, wg_way *b) {
    const wg_way kept = *a;
    *a = *b;
    *b = kept;
}

static const wg_array *array_of(const wg_step *step, int j) { return j < step->n_in ? &step->in[j] : &step->out; }

/* The result's axes, neighbours merged where all arrays allow it. */
static void merge_axes(wg_loop *l) {
    const wg_array *out = &l->step->out;
    const int n = l->step->n_in + 1;
    wg_way *axes = l->axes + 1; /* behind one of extent 1, so that there are two */
    int count = 0;
    axes[-1] = axes[0] = (wg_way){1, {1, 1, 1, 1}};
    for (int i = 0; i < out->ndim; i++) {
        if (out->shape[i] == 1) continue;
        wg_way a = {.shape = out->shape[i]}, *last = &axes[count - 1];
        bool merges = count > 0;
        for (int j = 0; j < n; j++) {
            const wg_array *x = array_of(l->step, j);
            const int k = i - (out->ndim - x->ndim);
            a.strides[j] = k < 0 || x->shape[k] == 1 ? 0 : x->strides[k];
            merges &= last->strides[j] == a.strides[j] * a.shape;
        }
        if (merges)
            a.shape *= last->shape, *last = a;
        else
            axes[count++] = a;
    }
    l->n_axes = count > 1 ? count + 1 : 2;
}

/* Which axis goes down an operand's lines where its columns do not; -1: none of any operand. */
static int turned_axis(const wg_loop *l, bool *straight) {
    const wg_way *last = &l->axes[l->n_axes - 1];
    int turned = -1;
    *straight = false;
    for (int j = 0; j < l->step->n_in; j++) {
        int64_t least = wg_distance(last->strides[j]);
        int own = -1;
        for (int i = l->n_axes - 2; i > 0; i--)
            if (l->axes[i].strides[j] && wg_distance(l->axes[i].strides[j]) < least)
                least = wg_distance(l->axes[i].strides[j]), own = i;
        if (own >= 0 && turned < 0) turned = own;
        *straight |= last->strides[j] == 1;
    }
    return turned;
}

/* The last two axes become those that blocks are cut from: the result's lines, or the operands' where all that has
 * lines is turned, and an axis across them. */
static bool choose_axes(wg_loop *l) {
    bool straight;
    const int turned = turned_axis(l, &straight);
    wg_way *columns = &l->axes[l->n_axes - 1], *rows = columns - 1;
    int across = turned;
    if (turned < 0 && rows->shape * columns->shape < LONG_ROW)
        for (int i = across = l->n_axes - 2; i > 0; i--)
            if (l->axes[i].shape > l->axes[across].shape) across = i;
    if (across >= 0) swap_axes(&l->axes[across], rows);
    if (turned >= 0 && !straight) swap_axes(rows, columns);
    return turned >= 0;
}

static void choose_blocks(wg_loop *l, bool turned) {
    const wg_way *columns = &l->axes[l->n_axes - 1], *rows = columns - 1;
    const int n = l->step->n_in + 1, parts = l->step->parts;
    int64_t widest = 1, size = 1, filled = 0, most;
    bool direct = rows->shape == 1 || columns->shape >= LONG_ROW;
    for (int j = 0; j < n; j++) {
        l->data[j] = array_of(l->step, j)->data;
        l->itemsize[j] = (int64_t)wg_itemsize(array_of(l->step, j)->dtype);
        if (l->itemsize[j] > widest) widest = l->itemsize[j];
        direct &= columns->strides[j] == 1;
        filled += columns->strides[j] > 1;
    }
    for (int i = 0; i < l->n_axes; i++) size *= l->axes[i].shape;
    /* Direct blocks are as long as the watch allows; tiles that are filled again and again stay in the first cache. */
    const int64_t tiles = turned ? 1 : filled > 1 ? 4 : 2;
    most = direct ? (size / parts < LOOK ? size / parts : LOOK) + LONG_ROW : TILE / tiles / widest;
    l->columns = turned && most / HIGH < columns->shape ? most / HIGH : columns->shape;
    if (l->columns > most) l->columns = most;
    l->rows = most / l->columns < rows->shape ? most / l->columns : rows->shape;
    l->column_blocks = (columns->shape + l->columns - 1) / l->columns;
    const int64_t lead = (-(intptr_t)l->data[n - 1] & (LINE - 1)) / l->itemsize[n - 1];
    l->short_of = turned && rows->strides[n - 1] == 1 && lead && lead < l->rows ? l->rows - lead : 0;
    l->row_blocks = (rows->shape + l->short_of + l->rows - 1) / l->rows;
    l->blocks = size / (rows->shape * columns->shape) * l->row_blocks * l->column_blocks;
}

/* The block's operands and result, one row after the other or, if all are whole, at once. */
static void run_rows(const wg_loop *l, char *const *at, const int64_t *steps, int64_t rows, int64_t columns) {
    const int n_in = l->step->n_in;
    for (int64_t i = 0; i < rows; i++) {
        const void *in[MOST], *slots[4];
        for (int j = 0; j < n_in; j++) in[j] = at[j] + i * steps[j];
        wg_map_operands(l->step->op, n_in, in, slots);
        l->map(at[n_in] + i * steps[n_in], slots, columns, l->params);
    }
}

static bool lie_alike(const wg_array *x, const wg_array *y) {
    if (x->ndim != y->ndim) return false;
    if (x->shape == y->shape && x->strides == y->strides) return true; /* interned */
    for (int i = 0; i < x->ndim; i++)
        if (x->shape[i] != y->shape[i] || x->strides[i] != y->strides[i]) return false;
    return true;
}

/* In one call of the kernel, if all arrays lie alike and are few enough numbers: most steps, of which short ones shall
 * not wait for a plan. */
static bool run_flat(const wg_loop *l, int64_t size) {
    const wg_step *step = l->step;
    char *at[MOST];
    if (size >= LOOK || step->parts > 1 || !wg_array_contiguous(&step->out)) return false; /* a slice of an array */
    for (int j = 0; j < step->n_in; j++) {
        if (!lie_alike(&step->in[j], &step->out)) return false;
        at[j] = step->in[j].data;
    }
    at[step->n_in] = step->out.data;
    run_rows(l, at, (int64_t[MOST]){0}, 1, size);
    return true;
}

static int64_t run_block(const wg_loop *l, int64_t number, wg_tiles *tiles) {
    const int n_in = l->step->n_in;
    const wg_way *column = &l->axes[l->n_axes - 1], *row = column - 1;
    int64_t left = number % l->column_blocks * l->columns;
    int64_t top = number / l->column_blocks % l->row_blocks * l->rows - l->short_of;
    int64_t outer = number / l->column_blocks / l->row_blocks, shape[2] = {row->shape - top, column->shape - left};
    int64_t places[MOST], steps[MOST];
    char *at[MOST];
    if (shape[0] > l->rows) shape[0] = l->rows;
    if (top < 0) shape[0] += top, top = 0;
    if (shape[1] > l->columns) shape[1] = l->columns;
    for (int j = 0; j <= n_in; j++) places[j] = top * row->strides[j] + left * column->strides[j];
    for (int i = l->n_axes - 3; i > 0 && outer; outer /= l->axes[i--].shape)
        for (int j = 0; j <= n_in; j++) places[j] += outer % l->axes[i].shape * l->axes[i].strides[j];
    bool whole = true, same = shape[0] == tiles->rows && shape[1] == tiles->columns;
    tiles->rows = shape[0], tiles->columns = shape[1];
    for (int j = 0; j <= n_in; j++) {
        char *from = l->data[j] + places[j] * l->itemsize[j];
        const bool tight_rows = shape[0] == 1 || row->strides[j] == shape[1];
        if (column->strides[j] == 1 && (tight_rows || shape[1] >= LONG_ROW)) {
            at[j] = from, steps[j] = row->strides[j] * l->itemsize[j];
            whole &= tight_rows;
            continue;
        }
        at[j] = tiles->bytes[j], steps[j] = shape[1] * l->itemsize[j];
        if (j < n_in && !(same && tiles->held[j] == from))
            wg_lay(at[j], from, &(wg_axis){shape[0], shape[1], row->strides[j]},
                   &(wg_axis){shape[1], 1, column->strides[j]}, l->itemsize[j]);
        tiles->held[j] = from;
    }
    if (whole)
        run_rows(l, at, steps, 1, shape[0] * shape[1]);
    else
        run_rows(l, at, steps, shape[0], shape[1]);
    if (at[n_in] == tiles->bytes[n_in]) { /* turned: the result's lines are the rows */
        const wg_axis lines = {shape[0], row->strides[n_in], shape[1]}, across = {shape[1], column->strides[n_in], 1};
        const bool turns = lines.d < across.d;
        wg_lay(l->data[n_in] + places[n_in] * l->itemsize[n_in], at[n_in], turns ? &across : &lines,
               turns ? &lines : &across, l->itemsize[n_in]);
    }
    return shape[0] * shape[1];
}

static void run_part(void *context, int part) {
    const wg_loop *l = context;
    const int64_t end = l->blocks * (part + 1) / l->step->parts;
    wg_tiles tiles;
    tiles.rows = 0;
    for (int64_t number = l->blocks * part / l->step->parts, done = LOOK; number < end; number++) {
        if (done >= LOOK && wg_stops(l->step->watch)) return;
        done = (done >= LOOK ? 0 : done) + run_block(l, number, &tiles);
    }
}

wg_status wg_execute_elementwise(const wg_kernels *k, wg_step *step) {
    wg_loop loop;
    const int64_t size = wg_array_size(&step->out);
    if (size == 0) return WG_OK;
    loop.step = step;
    loop.map = k->map[step->op][step->in[step->op == WG_where].dtype];
    if (!loop.map) {
        step->problem = "this op is not offered for this dtype; cast the operand";
        return WG_TYPE_ERROR;
    }
    wg_params(step->n_attr, step->attrs, loop.params);
    if (run_flat(&loop, size)) return WG_OK;
    merge_axes(&loop);
    choose_blocks(&loop, choose_axes(&loop));
    wg_parallel(step->alone, step->parts, run_part, &loop);
    return wg_stops(step->watch) ? WG_INTERRUPTED : WG_OK;
}

/* What a program is made of, in numbers: for explain() and profile(). */
#include "program.h"

/* An addition, a multiplication or a function of one element counts as one operation.  inner: the first operand's last
 * extent. */
static double flops(int op, double out, double in, double inner) {
    const wg_op_info *info = wg_row(op);
    if (op == WG_matmul) return 2 * out * inner;
    if (wg_is_elementwise(info->kind)) return out;
    return info->infer == WG_INFER_reduce ? in : 0;
}

double wg_flops(const wg_tape *t, wg_id id) {
    const wg_node_rec *node = &t->nodes[id];
    const wg_id *in = wg_in(t, id);
    const int n = wg_n_in(t, id), ndim = n ? wg_ndim(t, in[0]) : 0;
    return flops(node->op, (double)wg_size(t, id), n ? (double)wg_size(t, in[0]) : 0,
                 ndim ? (double)wg_shape(t, in[0])[ndim - 1] : 1);
}

size_t wg_held(const wg_tape *t, const int32_t *alias) {
    size_t held = 0;
    for (uint32_t k = 0; k < t->n_inputs + t->n_outputs; k++) {
        const bool is_input = k < t->n_inputs;
        if (!is_input && alias && alias[k - t->n_inputs] >= 0) continue;
        const wg_id id = is_input ? t->inputs[k] : t->outputs[k - t->n_inputs];
        held = wg_plus(held, (size_t)wg_size(t, id) * wg_itemsize(t->nodes[id].dtype));
    }
    return held;
}

/* Of a step's scratch, that in which products pack their operands. */
static size_t packed(const wg_step *step) {
    const wg_region *r = step->region;
    if (!r) return step->op == WG_matmul ? step->need : 0;
    return r->loop ? 0 : (size_t)r->groups * r->gemm_bytes;
}

void wg_program_describe(const wg_program *p, wg_program_info *info) {
    *info = (wg_program_info){.nodes = p->nodes,
                              .steps = p->n_steps,
                              .arena_bytes = p->arena_size,
                              .live_bytes = p->live_size,
                              .scratch_bytes = p->scratch_size,
                              .held_bytes = p->held_size,
                              .value_bytes = p->value_size};
    for (uint32_t i = 0; i < p->n_steps; i++) {
        const wg_step *step = &p->steps[i];
        if (packed(step) > info->packed_bytes) info->packed_bytes = packed(step);
        if (step->live + step->need > info->least_bytes) info->least_bytes = step->live + step->need;
    }
}

/* Why a step is not part of a region. */
static const char *reason_of(const wg_step *step) {
    if (step->region) return "a loop: each turn runs its body's program";
    if (step->op == WG_matmul) return "a product by itself, whose tiles threads share";
    if (step->op == WG_copy) return "a result that could not be computed in its place";
    if (wg_is_elementwise(wg_row(step->op)->kind)) return "nothing else walks its rows at that time";
    return "not done row by row";
}

static double step_flops(const wg_step *step) {
    const wg_array *a = &step->in[0];
    if (step->region) return step->region->loop ? wg_loop_flops(step->region->loop) : step->region->flops;
    return flops(step->op, (double)wg_array_size(&step->out), (double)wg_array_size(a),
                 a->ndim ? (double)a->shape[a->ndim - 1] : 1);
}

double wg_program_flops(const wg_program *p) {
    double sum = 0;
    for (uint32_t i = 0; i < p->n_steps; i++) sum += step_flops(&p->steps[i]);
    return sum;
}

void wg_program_step(const wg_program *p, uint32_t i, wg_step_info *info) {
    const wg_step *step = &p->steps[i];
    const wg_region *r = step->region && !step->region->loop ? step->region : NULL;
    *info = (wg_step_info){.ops = &step->op, .n_ops = 1};
    if (r)
        *info = (wg_step_info){.ops = r->ops,
                               .n_ops = r->n_ops,
                               .rows = r->scalars ? 1 : r->rows,
                               .block = r->block,
                               .groups = r->groups,
                               .tile_bytes = r->tile_bytes};
    info->reason = r ? NULL : reason_of(step);
    info->flops = step_flops(step);
    for (int k = 0; k < step->n_in + step->n_out; k++) {
        const wg_array *x = &step->in[k];
        info->bytes += (double)wg_array_size(x) * (double)wg_itemsize(x->dtype);
    }
}

void wg_program_clock(wg_program *p, double *clock) { p->clock = clock; }

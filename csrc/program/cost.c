/* What work costs: nanoseconds on one thread, about.  Into how many parts a step falls, into how many groups the rows
 * of a region, when to look at the watch, who may keep the interpreter's lock: all of it is decided by these. */
#include "program.h"

/* Of a byte of a map's result in the first cache, as measured of every op on Zen 4 with AVX-512: 0.02 to 0.04, 0.04 to
 * 0.2 and, of the slow ones, 0.2 to 1.1; with AVX2 functions take up to twice as long. */
enum { FUNCTION, QUICK, SLOW };
static const double OF_BYTE[] = {[FUNCTION] = 0.12, [QUICK] = 0.02, [SLOW] = 0.4};
static const uint8_t speed[WG_OP_COUNT] = {
    [WG_add] = QUICK,     [WG_sub] = QUICK,     [WG_mul] = QUICK,   [WG_zmul] = QUICK,  [WG_neg] = QUICK,
    [WG_abs] = QUICK,     [WG_square] = QUICK,  [WG_where] = QUICK, [WG_cast] = QUICK,  [WG_relu] = QUICK,
    [WG_maximum] = QUICK, [WG_minimum] = QUICK, [WG_pow] = SLOW,    [WG_erf] = SLOW,    [WG_erfc] = SLOW,
    [WG_erfinv] = SLOW,   [WG_gelu] = SLOW,     [WG_mish] = SLOW,   [WG_lgamma] = SLOW, [WG_digamma] = SLOW,
    [WG_gelu_tanh] = SLOW};
/* Of a byte that an op on arrays reads or writes beyond that cache: 80 GB/s. */
static const double MOVED = 0.012;

double wg_element_cost(int op, wg_dtype dtype) {
    const wg_op_info *row = wg_row(op);
    const bool plain = row->kind == WG_KIND_ZERO || row->kind == WG_KIND_COMPARE || row->kind == WG_KIND_BITWISE;
    const bool map = wg_is_elementwise(row->kind) || speed[op] == QUICK;
    if (row->infer == WG_INFER_reduce) return op == WG_logsumexp ? 1.0 : 0.1;
    if (row->kind == WG_KIND_DERIVATIVE) op = row->base;
    if (map || wg_is_view_op(op)) return OF_BYTE[plain || !map ? QUICK : speed[op]] * (double)wg_itemsize(dtype);
    return op == WG_argsort ? 5.0 : op == WG_sort ? 2.5 : 1.5; /* gathers, random numbers, ... */
}

double wg_product_cost(double multiplications, wg_dtype dtype) {
    return multiplications / (dtype == WG_F32 ? 30 : 15); /* half of the limit, as small products have it */
}

double wg_cost(const wg_step *step) {
    const wg_array *x = &step->in[0], *out = &step->out;
    const double size = (double)wg_array_size(out);
    if (step->region) return step->region->cost;
    if (step->op == WG_matmul) return wg_product_cost(size * (double)x->shape[x->ndim - 1], out->dtype);
    double bytes = size * (double)wg_itemsize(out->dtype);
    if (step->op == WG_gather) /* some rows, however many there are */
        return 2 * MOVED * bytes + (double)wg_array_size(&step->in[1]) * wg_element_cost(step->op, out->dtype);
    for (int k = 0; k < step->n_in; k++)
        bytes += (double)wg_array_size(&step->in[k]) * (double)wg_itemsize(step->in[k].dtype);
    const bool folds = wg_row(step->op)->infer == WG_INFER_reduce;
    return MOVED * bytes + (folds ? (double)wg_array_size(x) : size) * wg_element_cost(step->op, out->dtype);
}

int wg_parts(double cost, int most) {
    const double grain = 15e3; /* waking a worker takes 1 us while it spins, up to 10 where it sleeps */
    if (cost < 2 * grain) return 1;
    return cost / grain < most ? (int)(cost / grain) : most;
}

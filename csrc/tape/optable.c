/* wg_op_table[]: the rows of ops.def as data. */
#include "tape.h"

/* A column as text, valid Python: O(mul, K(2), a) -> "mul(2, a)". */
#define TEXT_(...) #__VA_ARGS__
#define TEXT(...) TEXT_(__VA_ARGS__)

/* ---- first pass: which of a = 1, b = 2, y = 4 a column reads, as a constant expression */
#define a 1
#define b 2
#define y 4
#define K(c) 0
#define P(i) 0
#define OR1(x1) (x1)
#define OR2(x1, x2) ((x1) | (x2))
#define OR3(x1, x2, x3) ((x1) | (x2) | (x3))
#define PICK(x1, x2, x3, name, ...) name
#define O(op, ...) PICK(__VA_ARGS__, OR3, OR2, OR1, )(__VA_ARGS__)
enum {
#define UNARY(name, numpy, class, params, lo, hi, da, doc) READS_##name##_0 = da,
#define BINARY(name, numpy, class, lo, hi, da, db, doc) READS_##name##_0 = da, READS_##name##_1 = db,
#include "../ops.def"
};
#undef a
#undef b
#undef y
#undef K
#undef P
#undef O

/* ---- second pass: the table */
#define K(c) c
#define P(i) p[i]
#define O(op, ...) op(__VA_ARGS__)
#define BITS(x) (((x)&1) + (((x) >> 1) & 1) + (((x) >> 2) & 1))
#define ROW(name_, numpy_, doc_, kind_, class, infer_, arity_, ...)                                                    \
    [WG_##name_] = {.name = #name_,                                                                                    \
                    .numpy = numpy_,                                                                                   \
                    .doc = doc_,                                                                                       \
                    .kind = WG_KIND_##kind_,                                                                           \
                    .kind_name = #kind_,                                                                               \
                    .class_ = WG_CLASS_##class,                                                                        \
                    .class_name = #class,                                                                              \
                    .infer = WG_INFER_##infer_,                                                                        \
                    .arity = arity_,                                                                                   \
                    __VA_ARGS__},
#define DERIVATIVE(name_, k)                                                                                           \
    [WG_d_##name_##_##k] = {.name = "d_" #name_ "_" #k,                                                                \
                            .numpy = "",                                                                               \
                            .doc = "g times the partial derivative of " #name_ " by operand " #k,                      \
                            .kind = WG_KIND_DERIVATIVE,                                                                \
                            .kind_name = "DERIVATIVE",                                                                 \
                            .class_ = WG_CLASS_FIELD,                                                                  \
                            .class_name = "FIELD",                                                                     \
                            .infer = WG_INFER_elementwise,                                                             \
                            .arity = 1 + BITS(READS_##name_##_##k),                                                    \
                            .base = WG_##name_,                                                                        \
                            .operand = k},
const wg_op_info wg_op_table[WG_OP_COUNT] = {
#define LEAF(name, doc) ROW(name, "", doc, LEAF, ANY, none, 0, .lo = 0)
#define UNARY(name, numpy, class, params, lo_, hi_, da, doc)                                                           \
    ROW(name, numpy, doc, UNARY, class, elementwise, 1, .lo = lo_, .hi = hi_, .n_params = params,                      \
        .derivative = {TEXT(da)}, .reads = {READS_##name##_0})                                                         \
    DERIVATIVE(name, 0)
#define BINARY(name, numpy, class, lo_, hi_, da, db, doc)                                                              \
    ROW(name, numpy, doc, BINARY, class, elementwise, 2, .lo = lo_, .hi = hi_, .derivative = {TEXT(da), TEXT(db)},     \
        .reads = {READS_##name##_0, READS_##name##_1})                                                                 \
    DERIVATIVE(name, 0) DERIVATIVE(name, 1)
#define ZERO(name, numpy, class, lo_, hi_, doc) ROW(name, numpy, doc, ZERO, class, elementwise, 1, .lo = lo_, .hi = hi_)
#define COMPARE(name, numpy, doc) ROW(name, numpy, doc, COMPARE, ANY, compare, 2, .lo = -3, .hi = 3)
#define BITWISE(name, numpy, arity, doc) ROW(name, numpy, doc, BITWISE, INTEGER, elementwise, arity, .lo = 0, .hi = 9)
#define LINEAR(name, numpy, arity, infer, class, doc)                                                                  \
    ROW(name, numpy, doc, LINEAR, class, infer, arity, .lo = -3, .hi = 3)
#define BILINEAR(name, numpy, infer, class, doc) ROW(name, numpy, doc, BILINEAR, class, infer, 2, .lo = -3, .hi = 3)
#define RULE(name, numpy, arity, infer, class, doc) ROW(name, numpy, doc, RULE, class, infer, arity, .lo = -3, .hi = 3)
#define FLAT(name, numpy, arity, infer, class, doc) ROW(name, numpy, doc, FLAT, class, infer, arity, .lo = -3, .hi = 3)
#define LOWERED(name, arity, class, doc) ROW(name, "", doc, LOWERED, class, none, arity, .lo = -3, .hi = 3)
#include "../ops.def"
};

const wg_op_info *wg_op(int op) { return op >= 0 && op < WG_OP_COUNT ? &wg_op_table[op] : NULL; }

size_t wg_itemsize(wg_dtype dtype) {
    static const uint8_t size[WG_DTYPE_COUNT] = {1, 4, 8, 4, 8, 8, 16};
    return (unsigned)dtype < WG_DTYPE_COUNT ? size[dtype] : 0;
}

const char *wg_dtype_name(wg_dtype dtype) {
    static const char *const name[WG_DTYPE_COUNT] = {"bool",    "int32",     "int64",     "float32",
                                                     "float64", "complex64", "complex128"};
    return (unsigned)dtype < WG_DTYPE_COUNT ? name[dtype] : "unknown dtype";
}

wg_dtype wg_promote(wg_dtype x, wg_dtype y) {
    if (x > y) return wg_promote(y, x);
    if (x == y || x == WG_BOOL) return y;
    if (y == WG_F32) return WG_F64;                 /* int32 or int64 with float32 */
    if (y == WG_C64 && x != WG_F32) return WG_C128; /* int or float64 with complex64 */
    return y;
}

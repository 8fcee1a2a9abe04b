/* The kernel table: what an instruction set offers.  Kernels know ops.def and raw pointers, nothing else.
 *
 * cpu.c fills the table from k_generic.c, then overrides it upward (k_avx2.c); an entry that an ISA does not offer
 * stays generic.  Every kernel is a plain function: no state, no allocation, callable from any thread.
 */
#ifndef WG_KERNELS_H
#define WG_KERNELS_H

#include "../wengert.h"

/* out[i] = op(in[0][i], in[1][i], ...) for i < n; all contiguous, out may be the same pointer as any in[k].
 * bool arrays are one byte an element, 0 or 1.
 *   elementwise op            in = {a} or {a, b}
 *   where                     in = {condition (bool), a, b}
 *   comparison                out is bool
 *   d_<op>_<k>                in = {g, a, b, y}; pointers that the column does not read are valid but ignored
 * params: the real parameters P(i). */
typedef void (*wg_map_fn)(void *out, const void *const *in, int64_t n, const double *params);

/* One elementwise op on single numbers, which lie in slots of 8 bytes: run computes slots + out from slots + in[k],
 * with operands as those of a map, and then runs the instruction behind it.  That is a tail call where the compiler
 * makes one and a call within a call where it does not: a run of instructions should be short, and ends in one that
 * returns. in[0] = 0 stands for the result of the last instruction of the operand's dtype, float32 or float64, which is
 * passed on in a register: through memory it would come several cycles later. */
typedef struct wg_instruction wg_instruction;
typedef void (*wg_instruction_fn)(const wg_instruction *i, char *slots, float last_f32, double last_f64);
struct wg_instruction {
    wg_instruction_fn run;
    uint32_t in[4], out; /* bytes */
    union {
        double param;  /* P(0): no row has more */
        wg_map_fn map; /* for an instruction that runs the map on one element */
    };
};

/* How operands and result, which is number 3, move on: in rows of `parts` parts of n elements. */
typedef struct {
    int64_t n, parts, rows;
    int64_t part[4], row[4]; /* elements from one part to the next, and besides from a row to the next */
    bool moves[3];           /* within a part; else operand k is one vector (64 bytes) of equal elements */
} wg_pace;

/* Two elementwise steps of float32 or float64 in one pass: t = a first b, out = t then c (RSUB and RDIV: c then t).
 * out may be the same pointer as any in[k] that moves on as it does. */
typedef void (*wg_pair_fn)(void *out, const void *const in[3], const wg_pace *pace);
enum { WG_FIRST_ADD, WG_FIRST_SUB, WG_FIRST_MUL, WG_FIRST_DIV, WG_FIRST_ZMUL, WG_FIRST_COUNT };
enum {
    WG_THEN_NONE,
    WG_THEN_ADD,
    WG_THEN_SUB,
    WG_THEN_MUL,
    WG_THEN_DIV,
    WG_THEN_ZMUL,
    WG_THEN_RSUB,
    WG_THEN_RDIV,
    WG_THEN_ROOT,
    WG_THEN_COUNT
};

/* All steps of a row of chains.def on n elements: at[] points to its arrays, its single numbers (one vector of each, 64
 * bytes) and its results, any of which may be the same pointer as an array. */
typedef void (*wg_chain_fn)(void *const *at, int64_t n);
enum {
#define CHAIN(name, arrays, operands, results, n, steps) WG_CHAIN_##name,
#include "../chains.def"
    WG_CHAIN_COUNT
};

/* out[i] = fold of x[i n ... i n + n - 1] for i < lines, n >= 1, in an order fixed by n alone (not by alignment).  max
 * and min give NaN if any is. */
typedef void (*wg_fold_fn)(void *out, const void *x, int64_t n, int64_t lines);
/* out[j] = fold of out[j], x[j], x[apart + j] ... from line to line, j < n: lines begin `apart` elements after another.
 * Of float32 and float64. */
typedef void (*wg_down_fn)(void *out, const void *x, int64_t n, int64_t apart, int64_t lines);
/* Makes one of `line`, which folds a single line. */
#define WG_FOLD_LINES(name, line, in_type, out_type)                                                                   \
    static void name(void *out, const void *x, int64_t n, int64_t lines) {                                             \
        for (int64_t i = 0; i < lines; i++) line((out_type *)out + i, (const in_type *)x + i * n, n);                  \
    }

/* The first place of *value among n elements that have it; of a NaN, if that comes first or *value is one. */
typedef int64_t (*wg_find_fn)(const void *x, int64_t n, const void *value);
/* Where row[i] is larger (or smaller) than best[i], or the first NaN, it becomes best[i], and at places[i]: int64_t for
 * elements of 8 bytes, else int32_t. */
typedef void (*wg_advance_fn)(void *best, void *places, const void *row, int64_t n, int64_t at, bool largest);

/* key[i] is ordered as x[i] is (falling: the other way round), NaN last; range, the smallest and the largest key so
 * far, becomes wide enough for these. */
typedef void (*wg_rank_fn)(int64_t *key, const void *x, int64_t n, bool falling, int64_t range[2]);
/* Whether equal numbers among these are of the same bits, and none is NaN. */
typedef bool (*wg_tell_apart_fn)(const void *x, int64_t n);
/* Sorts each column of x (n, columns), in memory for wg_sort_rows(n) of them; fastest for so many columns.  Floats are
 * such as tell_apart finds. */
enum { WG_SORT_COLUMNS = 16 };
static inline int64_t wg_sort_rows(int64_t n) { /* a power of two */
    int64_t rows = 16;
    while (rows < n) rows *= 2;
    return rows;
}
typedef void (*wg_sort_columns_fn)(void *x, int64_t n, int64_t columns);

/* C (m, n) = A (m, k) B (k, n), or C + A B with accumulate, and a bias, where there is one, added to each row of the
 * result; strides in elements, A and B strided at will (also negative
 * or 0), C with unit column stride.  Each element of C is one chain of multiply-adds in increasing k, the same for
 * every path (packed or not, edge or not). k = 0 gives zeros and the bias. C overlaps neither A, B nor the bias. */
typedef struct {
    int64_t m, n, k;
    const void *a;
    int64_t a_row, a_col;
    const void *b;
    int64_t b_row, b_col;
    void *c;
    int64_t c_row;
    bool accumulate;
    const void *bias; /* (n,), n > 1, or NULL */
    void *scratch;    /* gemm_scratch(...) bytes of the product or a larger one, 64-byte aligned */
} wg_gemm;
/* gemv and dot have the same arguments and serve products that have one row or one column, or both, as a whole; a part
 * of a larger product that happens to have one keeps to the larger one's kernel.  They sum C chains, chain c of the k
 * that leave c modulo C, joined by halves: s[c] += s[c + C / 2] for c < C / 2, and so on.  With L lanes in a vector, C
 * is 8 L for dot and L for gemv where its matrix is contiguous along k.  Where the result is a row of at most 4 L
 * elements and the matrix contiguous along that, C is 8 for L of them, 4 for 2 L and 2 for more.  Otherwise, and in
 * generic, they are gemm. */
typedef void (*wg_gemm_fn)(const wg_gemm *g);
typedef size_t (*wg_gemm_scratch_fn)(int64_t m, int64_t n, int64_t k); /* an upper bound for any strides */

/* to[i * to_row + j] = from[j * from_row + i] for i < rows, j < columns: bits, whatever they mean. */
typedef void (*wg_turn_fn)(void *to, int64_t to_row, const void *from, int64_t from_row, int64_t rows, int64_t columns);

/* to[i] = from[2 i] for i < n: bits, too. */
typedef void (*wg_pick_fn)(void *to, const void *from, int64_t n);

/* Rows of `width` elements: to[i] = from[rows[i]], bits again, or to[rows[i]] += from[i], for i < n in this order. */
typedef void (*wg_rows_fn)(void *to, const void *from, const int64_t *rows, int64_t n, int64_t width);

/* Elements first ... first + n - 1, 4 dividing first, of the random numbers of a key and a stream. */
typedef void (*wg_random_fn)(void *out, wg_dtype dtype, uint64_t key, uint64_t stream, int64_t first, int64_t n);

/* What `kind`, a WG_HOST_..., says of matrices with at most 8 rows and columns; false for others, and for what has no
 * result or no digits left on the way to it. */
typedef bool (*wg_matrices_fn)(int64_t kind, int n_in, const wg_array *in, const wg_array *out);

typedef enum { WG_FOLD_SUM, WG_FOLD_PROD, WG_FOLD_MAX, WG_FOLD_MIN, WG_FOLD_COUNT } wg_fold;

typedef struct {
    const char *isa;
    wg_map_fn map[WG_OP_COUNT][WG_DTYPE_COUNT]; /* by the dtype of a (of the branches for where, of g for d_...);
                                                   NULL where the row's class excludes it */
    wg_instruction_fn scalar[WG_OP_COUNT][WG_DTYPE_COUNT];          /* as map; only of float32 and float64 */
    wg_pair_fn pair[WG_FIRST_COUNT][WG_THEN_COUNT][WG_DTYPE_COUNT]; /* these two: of float32 and float64 */
    wg_chain_fn chain[WG_CHAIN_COUNT][WG_DTYPE_COUNT];
    wg_map_fn cast[WG_DTYPE_COUNT][WG_DTYPE_COUNT]; /* [from][to]; float to int truncates */
    wg_fold_fn fold[WG_FOLD_COUNT][WG_DTYPE_COUNT]; /* sums and products of int32 and bool are int64 */
    wg_down_fn fold_down[WG_FOLD_COUNT][WG_DTYPE_COUNT];
    wg_find_fn find[WG_DTYPE_COUNT]; /* these two: of real dtypes */
    wg_advance_fn advance[WG_DTYPE_COUNT];
    wg_rank_fn rank[WG_DTYPE_COUNT];                 /* of real dtypes */
    wg_tell_apart_fn tell_apart[WG_DTYPE_COUNT];     /* of float32 and float64 */
    wg_sort_columns_fn sort_columns[WG_DTYPE_COUNT]; /* of int32, int64, float32 and float64 */
    wg_random_fn random;
    wg_matrices_fn small_matrices;
    wg_gemm_fn gemm[WG_DTYPE_COUNT];
    wg_gemm_fn gemv[WG_DTYPE_COUNT], dot[WG_DTYPE_COUNT];
    wg_gemm_scratch_fn gemm_scratch[WG_DTYPE_COUNT];
    wg_turn_fn turn[WG_DTYPE_COUNT]; /* these four: of float32 and float64; NULL in generic */
    wg_pick_fn pick[WG_DTYPE_COUNT];
    wg_rows_fn take_at[WG_DTYPE_COUNT], add_at[WG_DTYPE_COUNT];
} wg_kernels;

/* The kernel of a product that as a whole is (m, n). */
static inline wg_gemm_fn wg_gemm_for(const wg_kernels *k, wg_dtype dtype, int64_t m, int64_t n) {
    return (m == 1 && n == 1 ? k->dot : m == 1 || n == 1 ? k->gemv : k->gemm)[dtype];
}

/* The table that wg_kernels_init filled. */
const wg_kernels *wg_kernels_table(void);

/* Each ISA overrides what it offers. */
void wg_kernels_generic(wg_kernels *k);
void wg_kernels_avx2(wg_kernels *k);
/* The matrix products of AVX2, for those of AVX-512 that have few columns, or one row or column and several chains. */
void wg_gemm_avx2_f32(const wg_gemm *g);
void wg_gemm_avx2_f64(const wg_gemm *g);
void wg_gemv_avx2_f32(const wg_gemm *g);
void wg_gemv_avx2_f64(const wg_gemm *g);
/* The networks of AVX2, for those of AVX-512 of few rows, or of another number of columns. */
void wg_sort_avx2_f32(void *x, int64_t n, int64_t columns);
void wg_sort_avx2_f64(void *x, int64_t n, int64_t columns);
void wg_kernels_avx512(wg_kernels *k);
void wg_kernels_neon(wg_kernels *k);

/* Builds a table of its own up to the named ISA, for tests that compare two in one process. */
wg_status wg_kernels_build(const char *isa, wg_kernels *k, char *message, size_t message_size);

#endif

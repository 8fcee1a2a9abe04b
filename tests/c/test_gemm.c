/* C unit tests of the matrix products in csrc/kernels: every instruction set of this build that the CPU has.
 *
 *   cc -std=c11 -ffp-contract=off -Icsrc tests/c/test_gemm.c csrc/kernels/{cpu,k_*}.c -lm
 */
#include "kernel_testing.h"

/* Element (0, 0) of a rows x cols matrix within `cells` elements, laid out in one of these ways. */
enum { ROWS, COLUMNS, PADDED, REVERSED, SAME_ROW, SAME_COLUMN, SPREAD, DIAGONALS, N_LAYOUTS };
static int64_t lay_out(int layout, int64_t rows, int64_t cols, int64_t *row, int64_t *col, int64_t *cells) {
    *row = layout == COLUMNS || layout == SAME_COLUMN ? 1 : layout == PADDED ? cols + 3 : layout == SAME_ROW ? 0 : cols;
    *col = layout == COLUMNS ? rows : layout == SAME_COLUMN ? 0 : 1;
    if (layout == SPREAD) *row *= 2, *col = 2;
    if (layout == DIAGONALS) *row = *col = 1;
    if (layout == REVERSED) *row = -*row, *col = -1;
    const int64_t reach = (rows ? rows - 1 : 0) * llabs(*row) + (cols ? cols - 1 : 0) * llabs(*col);
    *cells = rows && cols ? reach + 1 : 0;
    return layout == REVERSED && *cells ? reach : 0;
}

static double multiply_add(const wg_kernels *k, wg_dtype dtype, double x, double y, double sum) {
    const bool fused = strcmp(k->isa, "generic") != 0;
    if (dtype == WG_F64) return fused ? fma(x, y, sum) : sum + x * y;
    return fused ? fmaf((float)x, (float)y, (float)sum) : (float)sum + (float)x * (float)y;
}

static double plus(wg_dtype dtype, double x, double y) { return dtype == WG_F64 ? x + y : (float)x + (float)y; }

/* How many chains an element of gemv or dot is the sum of. */
static int64_t chains_of(const wg_kernels *k, wg_dtype dtype, wg_gemm_fn run, const wg_gemm *g) {
    if (strcmp(k->isa, "generic") == 0 || run == k->gemm[dtype]) return 1;
    const int64_t bytes = strcmp(k->isa, "neon") == 0 ? 16 : 32; /* avx512 uses avx2's */
    const int64_t lanes = bytes / (int64_t)item_size[dtype];
    if (run == k->dot[dtype]) return 8 * lanes;
    if ((g->n == 1 ? g->a_col : g->b_row) == 1) return lanes;
    if (g->n == 1 || g->b_col != 1 || g->n > 4 * lanes) return 1;
    return g->n <= lanes ? 8 : g->n <= 2 * lanes ? 4 : 2;
}

/* One product against its definition, bit for bit: a chain of multiply-adds in increasing k, fused where the ISA fuses;
 * gemv and dot: several chains, joined by halves. */
static void check_with(const wg_kernels *k, wg_gemm_fn run, wg_dtype dtype, int64_t m, int64_t n, int64_t depth,
                       int a_layout, int b_layout, bool accumulate) {
    const size_t size = item_size[dtype];
    int64_t a_cells, b_cells;
    const int64_t c_row = n + (int64_t)(random_bits() % 3);
    wg_gemm g = {.m = m, .n = n, .k = depth, .c_row = c_row, .accumulate = accumulate};
    const int64_t a0 = lay_out(a_layout, m, depth, &g.a_row, &g.a_col, &a_cells);
    const int64_t b0 = lay_out(b_layout, depth, n, &g.b_row, &g.b_col, &b_cells);
    const int64_t chains = chains_of(k, dtype, run, &g);
    const int64_t c_cells = m && n ? (m - 1) * c_row + n : 0;
    void *a = allocate((size_t)a_cells * size), *b = allocate((size_t)b_cells * size);
    void *c = allocate((size_t)c_cells * size), *want = allocate((size_t)c_cells * size);
    void *bias = allocate((size_t)n * size);
    for (int64_t j = 0; j < n; j++) set(dtype, bias, j, uniform(-1, 1));
    if (n > 1 && random_bits() % 2) g.bias = bias;
    for (int64_t i = 0; i < a_cells; i++) set(dtype, a, i, uniform(-1, 1));
    for (int64_t i = 0; i < b_cells; i++) set(dtype, b, i, uniform(-1, 1));
    for (int64_t i = 0; i < c_cells; i++) set(dtype, c, i, uniform(-1, 1));
    memcpy(want, c, (size_t)c_cells * size);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            const double before = accumulate ? get(dtype, c, i * c_row + j) : 0;
            double sums[128] = {chains == 1 ? before : 0};
            for (int64_t l = 0; l < depth; l++) {
                const double x = get(dtype, a, a0 + i * g.a_row + l * g.a_col);
                const double y = get(dtype, b, b0 + l * g.b_row + j * g.b_col);
                sums[l % chains] = multiply_add(k, dtype, x, y, sums[l % chains]);
            }
            for (int64_t width = chains / 2; width > 0; width /= 2)
                for (int64_t l = 0; l < width; l++) sums[l] = plus(dtype, sums[l], sums[l + width]);
            const double sum = chains > 1 && accumulate ? plus(dtype, before, sums[0]) : sums[0];
            set(dtype, want, i * c_row + j, g.bias ? plus(dtype, sum, get(dtype, bias, j)) : sum);
        }
    const size_t scratch = k->gemm_scratch[dtype](m, n, depth);
    g.a = (char *)a + (size_t)a0 * size, g.b = (char *)b + (size_t)b0 * size, g.c = c;
    g.scratch = aligned_alloc(64, scratch / 64 * 64 + 64);
    run(&g);
    CHECK(scratch <= 2 << 20, "%s scratch of %zu bytes", k->isa, scratch);
    CHECK(memcmp(c, want, (size_t)c_cells * size) == 0,
          "%s %s %s (%d, %d) x (%d, %d), layouts %d and %d, accumulate %d, bias %d", k->isa,
          run == k->gemm[dtype]  ? "gemm"
          : run == k->dot[dtype] ? "dot"
                                 : "gemv",
          dtype_name(dtype), (int)m, (int)depth, (int)depth, (int)n, a_layout, b_layout, accumulate, g.bias != NULL);
    free(a), free(b), free(c), free(want), free(bias), free(g.scratch);
}

static void check_product(const wg_kernels *k, wg_dtype dtype, int64_t m, int64_t n, int64_t depth, int a_layout,
                          int b_layout, bool accumulate) {
    check_with(k, k->gemm[dtype], dtype, m, n, depth, a_layout, b_layout, accumulate);
    if (m == 1 || n == 1) check_with(k, k->gemv[dtype], dtype, m, n, depth, a_layout, b_layout, accumulate);
    if (m == 1 && n == 1) check_with(k, k->dot[dtype], dtype, m, n, depth, a_layout, b_layout, accumulate);
}

static void test_products(const wg_kernels *k, wg_dtype dtype) {
    static const int sizes[] = {0, 1, 2, 5, 6, 7, 15, 16, 17, 31, 33, 64, 100};
    enum { N = sizeof sizes / sizeof *sizes };
    for (int i = 0; i < N * N * N; i++)
        check_product(k, dtype, sizes[i % N], sizes[i / N % N], sizes[i / N / N], (int)(random_bits() % N_LAYOUTS),
                      (int)(random_bits() % N_LAYOUTS), random_bits() & 1);
    for (int i = 0; i < N_LAYOUTS * N_LAYOUTS * 2; i++) { /* across the blocks of k, of columns and of rows */
        const int a = i / 2 % N_LAYOUTS, b = i / 2 / N_LAYOUTS;
        check_product(k, dtype, 23, 41, 530, a, b, i & 1);
        check_product(k, dtype, 13, 1101, 19, a, b, i & 1);
        check_product(k, dtype, 211, 18, 21, a, b, i & 1);
        check_product(k, dtype, 7, 5 + i % 31, 1 + i % 4, a, b, i & 1);    /* of few steps */
        check_product(k, dtype, 9 + i % 31, 1 + i % 17, 37, a, b, i & 1);  /* few columns, of as many rows or more */
        check_product(k, dtype, 9 + i % 31, 65 + i % 17, 21, a, b, i & 1); /* and few beyond whole vectors */
        check_product(k, dtype, 1, 147, 300, a, b, i & 1);
        check_product(k, dtype, 147, 1, 300, a, b, i & 1);
        check_product(k, dtype, 1, 1, 1000, a, b, i & 1);
        check_product(k, dtype, 1, 300, 77, a, b, i & 1);
        check_product(k, dtype, 512, 1, 9, a, b, i & 1);
        check_product(k, dtype, 1, 512, 9, a, b, i & 1);    /* rows of B begin at the same place of a line */
        check_product(k, dtype, 25, 27, 1024, a, b, i & 1); /* rows of A a page or two apart, which are packed */
    }
}

/* The other dtypes: (2, 3) x (3, 2), the second operand by rows and by columns. */
static void test_small_products(const wg_kernels *k) {
    const int32_t a[] = {1, 2, 3, 4, 5, INT32_MAX}, b[] = {7, 8, 9, 10, 11, 12}, bt[] = {7, 9, 11, 8, 10, 12};
    const int32_t want[] = {58, 64, 62, 70}; /* 11 INT32_MAX = -11 and 12 INT32_MAX = -12, modulo 2^32 up to 2^31 */
    int32_t c[4];
    wg_gemm g = {
        .m = 2, .n = 2, .k = 3, .a = a, .a_row = 3, .a_col = 1, .b = b, .b_row = 2, .b_col = 1, .c = c, .c_row = 2};
    k->gemm[WG_I32](&g);
    const uint32_t low[] = {73u + 11u * INT32_MAX, 82u + 12u * INT32_MAX};
    CHECK(c[0] == want[0] && c[1] == want[1] && (uint32_t)c[2] == low[0] && (uint32_t)c[3] == low[1], "int32 product");
    g.b = bt, g.b_row = 1, g.b_col = 3, g.accumulate = true;
    k->gemm[WG_I32](&g);
    CHECK(c[0] == 2 * want[0] && c[1] == 2 * want[1] && (uint32_t)c[2] == 2 * low[0], "int32 product, accumulated");

    const uint8_t p[] = {1, 0, 0, 0, 1, 1}, q[] = {1, 0, 0, 0, 0, 1};
    uint8_t r[4];
    g = (wg_gemm){
        .m = 2, .n = 2, .k = 3, .a = p, .a_row = 3, .a_col = 1, .b = q, .b_row = 2, .b_col = 1, .c = r, .c_row = 2};
    k->gemm[WG_BOOL](&g);
    CHECK(r[0] == 1 && r[1] == 0 && r[2] == 0 && r[3] == 1, "bool product");

    const double z[] = {1, 2, 3, -1}, w[] = {2, 1, 0, 1};
    double v[2];
    g = (wg_gemm){
        .m = 1, .n = 1, .k = 2, .a = z, .a_row = 2, .a_col = 1, .b = w, .b_row = 1, .b_col = 1, .c = v, .c_row = 1};
    k->gemm[WG_C128](&g);
    CHECK(v[0] == 1 && v[1] == 8, "complex product %g %g", v[0], v[1]); /* (1+2i)(2+i) + (3-i)i */
}

static void test_set(const wg_kernels *k, const wg_kernels *generic) {
    (void)generic;
    test_products(k, WG_F32);
    test_products(k, WG_F64);
    test_small_products(k);
}

int main(void) {
    with_every_set(test_set);
    return report();
}

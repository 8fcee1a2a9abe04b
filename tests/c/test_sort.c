/* C unit tests of csrc/kernels: what argsort is made of, on every instruction set.
 *
 *   cc -std=c11 -ffp-contract=off -Icsrc tests/c/test_sort.c csrc/kernels/{cpu,k_*}.c -lm
 */
#include "kernel_testing.h"

static int by_value(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Columns of every height, alone and side by side, as the C library sorts them; many numbers are equal. */
static void test_columns(const wg_kernels *k) {
    for (int64_t n = 0; n <= 70; n++) {
        for (int64_t columns = 1; columns <= 17; columns += n < 20 ? 1 : 4) {
            const size_t bytes = (size_t)(n * columns) * sizeof(int64_t);
            int64_t *x = allocate(bytes), *was = allocate(bytes), *line = allocate((size_t)n * sizeof *line);
            for (int64_t i = 0; i < n * columns; i++)
                was[i] = i % 3 ? (int64_t)random_bits() : (int64_t)(random_bits() % 5) - 2;
            memcpy(x, was, bytes);
            k->sort_columns(x, n, columns);
            for (int64_t c = 0; c < columns; c++) {
                int64_t wrong = 0;
                for (int64_t i = 0; i < n; i++) line[i] = was[i * columns + c];
                qsort(line, (size_t)n, sizeof *line, by_value);
                for (int64_t i = 0; i < n; i++) wrong += x[i * columns + c] != line[i];
                CHECK(wrong == 0, "%s: column %d of (%d, %d)", k->isa, (int)c, (int)n, (int)columns);
            }
            free(x), free(was), free(line);
        }
    }
}

/* Ranks are ordered as the numbers are, NaN last; and the other way round. */
static void test_ranks(const wg_kernels *k, wg_dtype dtype) {
    enum { N = 97 };
    double x[N];
    int64_t up[N], down[N], range[2] = {INT64_MAX, INT64_MIN}, turned[2] = {INT64_MAX, INT64_MIN}, low, high;
    for (int i = 0; i < N; i++) set(dtype, x, i, sample(dtype, i, -3, 3));
    set(dtype, x, N - 1, -NAN);
    k->rank[dtype](up, x, N, false, range);
    k->rank[dtype](down, x, N, true, turned);
    low = high = up[0];
    for (int i = 0; i < N; i++) {
        low = up[i] < low ? up[i] : low, high = up[i] > high ? up[i] : high;
        for (int j = 0; j < N; j++) {
            const double a = get(dtype, x, i), b = get(dtype, x, j);
            const int want = isnan(a) || isnan(b) ? !!isnan(a) - !!isnan(b) : (a > b) - (a < b);
            CHECK((up[i] > up[j]) - (up[i] < up[j]) == want, "%s %s: %g, %g", k->isa, dtype_name(dtype), a, b);
            CHECK((down[i] < down[j]) - (down[i] > down[j]) == want, "%s %s: %g, %g", k->isa, dtype_name(dtype), a, b);
        }
    }
    CHECK(range[0] == low && range[1] == high, "%s %s: range", k->isa, dtype_name(dtype));
    CHECK(turned[0] == ~high && turned[1] == ~low, "%s %s: turned range", k->isa, dtype_name(dtype));
}

static void test_integer_ranks(const wg_kernels *k) {
    const int64_t wide[] = {3, INT64_MIN, INT64_MAX, -1, 0};
    const int32_t narrow[] = {3, INT32_MIN, INT32_MAX, -1, 0};
    const uint8_t truth[] = {1, 0, 0, 1, 1};
    int64_t rank[5], range[2] = {INT64_MAX, INT64_MIN};
    k->rank[WG_I64](rank, wide, 5, false, range);
    CHECK(memcmp(rank, wide, sizeof wide) == 0 && range[0] == INT64_MIN && range[1] == INT64_MAX, "%s: int64", k->isa);
    k->rank[WG_I32](rank, narrow, 5, true, range);
    CHECK(rank[1] == INT32_MAX && rank[2] == INT32_MIN && rank[3] == 0 && rank[4] == -1, "%s: int32", k->isa);
    k->rank[WG_BOOL](rank, truth, 5, false, range);
    CHECK(rank[0] == 1 && rank[1] == 0 && rank[4] == 1, "%s: bool", k->isa);
}

static void test_set(const wg_kernels *k, const wg_kernels *generic) {
    (void)generic;
    for (wg_dtype dtype = WG_F32; dtype <= WG_F64; dtype++) test_ranks(k, dtype);
    test_columns(k);
    test_integer_ranks(k);
}

int main(void) {
    with_every_set(test_set);
    return report();
}

/* C unit tests of csrc/kernels: what argsort and sort are made of, on every instruction set.
 *
 *   cc -std=c11 -ffp-contract=off -Icsrc tests/c/test_sort.c csrc/kernels/{cpu,k_*}.c -lm
 */
#include "kernel_testing.h"

/* A long double holds every number of these dtypes. */
static long double number(wg_dtype dtype, const void *x, int64_t i) {
    if (dtype == WG_I64) return (long double)((const int64_t *)x)[i];
    if (dtype == WG_I32) return (long double)((const int32_t *)x)[i];
    return get(dtype, x, i);
}

static int by_value(const void *a, const void *b) {
    const long double x = *(const long double *)a, y = *(const long double *)b;
    return (x > y) - (x < y);
}

/* Many are equal, some the largest there is. */
static void set_any(wg_dtype dtype, void *x, int64_t i) {
    const int64_t bits = i % 3 ? (int64_t)random_bits() : (int64_t)(random_bits() % 5) - 2;
    const bool top = random_bits() % 50 == 0;
    if (dtype == WG_I64)
        ((int64_t *)x)[i] = top ? INT64_MAX : bits;
    else if (dtype == WG_I32)
        ((int32_t *)x)[i] = top ? INT32_MAX : (int32_t)(bits % 1000000000);
    else
        set(dtype, x, i, top ? (double)INFINITY : (double)bits);
}

static void test_columns_of(const wg_kernels *k, wg_dtype dtype, int64_t n, int64_t columns) {
    const size_t room = (size_t)(wg_sort_rows(n) * columns) * item_size[dtype];
    void *x = allocate(room), *was = allocate(room);
    long double *line = allocate((size_t)n * sizeof *line);
    for (int64_t i = 0; i < n * columns; i++) set_any(dtype, was, i);
    memcpy(x, was, (size_t)(n * columns) * item_size[dtype]);
    k->sort_columns[dtype](x, n, columns);
    for (int64_t c = 0; c < columns; c++) {
        int64_t wrong = 0;
        for (int64_t i = 0; i < n; i++) line[i] = number(dtype, was, i * columns + c);
        qsort(line, (size_t)n, sizeof *line, by_value);
        for (int64_t i = 0; i < n; i++) wrong += number(dtype, x, i * columns + c) != line[i];
        CHECK(wrong == 0, "%s, dtype %d: column %d of (%d, %d)", k->isa, (int)dtype, (int)c, (int)n, (int)columns);
    }
    free(x), free(was), free(line);
}

/* Columns of every height, alone and side by side, as the C library sorts them. */
static void test_columns(const wg_kernels *k, wg_dtype dtype) {
    static const int64_t heights[] = {100, 127, 128, 129, 255, 256, 257, 300, 511, 513, 1000};
    for (int64_t n = 0; n <= 70; n++)
        for (int64_t columns = 1; columns <= 17; columns += n < 20 ? 1 : 5) test_columns_of(k, dtype, n, columns);
    for (size_t i = 0; i < sizeof heights / sizeof *heights; i++) {
        test_columns_of(k, dtype, heights[i], WG_SORT_COLUMNS);
        test_columns_of(k, dtype, heights[i], 3);
    }
}

/* What a sort of numbers alone may not mix up: NaN of any kind, and -0, wherever it stands. */
static void test_told_apart(const wg_kernels *k, wg_dtype dtype) {
    static const double plain[] = {0, -1, 1, INFINITY, -INFINITY, 1e-40, -1e-40}, strange[] = {-0.0, NAN, -NAN};
    enum { N = 37, PLAIN = sizeof plain / sizeof *plain };
    double x[N];
    for (int i = 0; i < N; i++) set(dtype, x, i, plain[i % PLAIN]);
    CHECK(k->tell_apart[dtype](x, N) && k->tell_apart[dtype](x, 0), "%s %s: plain", k->isa, dtype_name(dtype));
    for (int i = 0; i < 3 * N; i++) {
        set(dtype, x, i % N, strange[i / N]);
        CHECK(!k->tell_apart[dtype](x, N), "%s %s: %g at %d", k->isa, dtype_name(dtype), strange[i / N], i % N);
        set(dtype, x, i % N, plain[i % PLAIN]);
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
    for (wg_dtype dtype = WG_F32; dtype <= WG_F64; dtype++) test_ranks(k, dtype), test_told_apart(k, dtype);
    for (wg_dtype dtype = WG_I32; dtype <= WG_F64; dtype++) test_columns(k, dtype);
    test_integer_ranks(k);
}

int main(void) {
    with_every_set(test_set);
    return report();
}

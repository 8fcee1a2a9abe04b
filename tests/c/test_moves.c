/* Kernels that move elements, of every instruction set: planes turned, every other element, rows picked by index. */
#include "kernel_testing.h"

/* A turned plane of any size, to and from rows with something between them, which stays. */
static void test_turn(const wg_kernels *k, wg_dtype dtype) {
    enum { MOST = 37, APART = 3 };
    const size_t size = item_size[dtype];
    for (int64_t rows = 1; k->turn[dtype] && rows <= MOST; rows++)
        for (int64_t columns = 1; columns <= MOST; columns++) {
            const int64_t from_row = rows + APART, to_row = columns + APART;
            const size_t from_bytes = (size_t)((columns - 1) * from_row + rows) * size;
            const size_t to_bytes = (size_t)((rows - 1) * to_row + columns) * size;
            char *from = allocate(from_bytes), *want = allocate(to_bytes), *got = allocate(to_bytes);
            for (size_t i = 0; i < from_bytes; i++) from[i] = (char)random_bits();
            memset(want, 'x', to_bytes), memset(got, 'x', to_bytes);
            for (int64_t i = 0; i < rows; i++)
                for (int64_t j = 0; j < columns; j++)
                    memcpy(want + (size_t)(i * to_row + j) * size, from + (size_t)(j * from_row + i) * size, size);
            k->turn[dtype](got, to_row, from, from_row, rows, columns);
            CHECK(memcmp(got, want, to_bytes) == 0, "%s %s: %d x %d turned", k->isa, dtype_name(dtype), (int)rows,
                  (int)columns);
            free(from), free(want), free(got);
        }
}

/* Of allocations that end with the last element that is read, and the last that is written. */
static void test_pick(const wg_kernels *k, wg_dtype dtype) {
    if (!k->pick[dtype]) return;
    const size_t size = item_size[dtype];
    for (int64_t n = 1; n < 80; n++) {
        char *from = allocate((size_t)(2 * n - 1) * size), *to = allocate((size_t)n * size);
        bool right = true;
        for (int64_t i = 0; i < 2 * n - 1; i++) set(dtype, from, i, (double)i);
        k->pick[dtype](to, from, n);
        for (int64_t i = 0; i < n; i++) right &= get(dtype, to, i) == (double)(2 * i);
        CHECK(right, "%s pick %s, %d", k->isa, dtype_name(dtype), (int)n);
        free(from), free(to);
    }
}

/* Rows of any width, some of them picked twice, of allocations that end with the last one. */
static void test_rows(const wg_kernels *k, wg_dtype dtype) {
    enum { EXTENT = 5, N = 9 };
    static const int64_t rows[N] = {4, 0, 2, 2, 4, 1, 2, 0, 4};
    const size_t size = item_size[dtype];
    for (int64_t width = 1; k->take_at[dtype] && width < 80; width++) {
        char *table = allocate((size_t)(EXTENT * width) * size), *taken = allocate((size_t)(N * width) * size);
        double want[EXTENT * 80];
        bool right = true;
        for (int64_t i = 0; i < EXTENT * width; i++) set(dtype, table, i, want[i] = (double)(i + 1));
        k->take_at[dtype](taken, table, rows, N, width);
        for (int64_t i = 0; i < N * width; i++)
            right &= get(dtype, taken, i) == (double)(rows[i / width] * width + i % width + 1);
        CHECK(right, "%s rows of %d %s taken", k->isa, (int)width, dtype_name(dtype));
        for (int64_t i = 0; i < N * width; i++) want[rows[i / width] * width + i % width] += get(dtype, taken, i);
        k->add_at[dtype](table, taken, rows, N, width);
        right = true;
        for (int64_t i = 0; i < EXTENT * width; i++) right &= get(dtype, table, i) == want[i];
        CHECK(right, "%s rows of %d %s added", k->isa, (int)width, dtype_name(dtype));
        free(table), free(taken);
    }
}

static void test_set(const wg_kernels *k, const wg_kernels *generic) {
    (void)generic;
    for (wg_dtype dtype = WG_F32; dtype <= WG_F64; dtype++) {
        test_turn(k, dtype);
        test_pick(k, dtype);
        test_rows(k, dtype);
    }
}

int main(void) {
    with_every_set(test_set);
    return report();
}

/* C unit tests of the kernels that run several steps at once, pairs and chains, on every instruction set of this build
 * that the CPU has.
 *
 *   cc -std=c11 -ffp-contract=off -Icsrc tests/c/test_chains.c csrc/kernels/{cpu,k_*}.c -lm
 */
#include "kernel_testing.h"

/* What a pair makes, written with room between parts and between rows.  whole: the operands, repeated. */
static void test_gaps(const wg_kernels *k, const wg_kernels *generic, wg_dtype dtype, int first, void *const *given,
                      void *const *whole, wg_pace pace) {
    static const int firsts[] = {WG_add, WG_sub, WG_mul, WG_div, WG_zmul};
    enum { GAP = 2, UNTOUCHED = 7 };
    const size_t size = item_size[dtype];
    const int64_t n = pace.n, pitch = pace.parts * (n + GAP) + GAP, all = pace.rows * pitch;
    char *apart = allocate((size_t)all * size), *want = allocate((size_t)all * size);
    for (int64_t e = 0; e < all; e++) set(dtype, apart, e, UNTOUCHED), set(dtype, want, e, UNTOUCHED);
    for (int64_t i = 0; i < pace.rows * pace.parts; i++) {
        const size_t from = (size_t)(i * n) * size;
        char *const to = want + (size_t)(i / pace.parts * pitch + i % pace.parts * (n + GAP)) * size;
        const void *const in[] = {(char *)whole[0] + from, (char *)whole[1] + from};
        generic->map[firsts[first]][dtype](to, in, n, NULL);
    }
    pace.part[3] = n + GAP, pace.row[3] = GAP;
    k->pair[first][WG_THEN_NONE][dtype](apart, (const void *const *)given, &pace);
    CHECK(memcmp(apart, want, (size_t)all * size) == 0, "%s %s pair %d, apart", k->isa, dtype_name(dtype), first);
    free(apart), free(want);
}

/* A pair is what its two steps are one after the other, bit for bit, whichever operands are a single number, or the
 * same in all parts of a row, or in all rows. */
static void test_pairs(const wg_kernels *k, const wg_kernels *generic, wg_dtype dtype) {
    enum { ROWS = 2, PARTS = 3, MOST = 18, VECTOR = 64, SINGLE = 0, MOVES, BY_PART, BY_ROW, MODES };
    static const int firsts[] = {WG_add, WG_sub, WG_mul, WG_div, WG_zmul};
    static const int thens[] = {WG_sqrt, WG_add, WG_sub, WG_mul, WG_div, WG_zmul, WG_sub, WG_div, WG_sqrt};
    const size_t size = item_size[dtype];
    for (int i = 0; i < WG_FIRST_COUNT * WG_THEN_COUNT * MODES * MODES * MODES * (MOST + 1); i++) {
        const int first = i % WG_FIRST_COUNT, then = i / WG_FIRST_COUNT % WG_THEN_COUNT;
        const int modes = i / WG_FIRST_COUNT / WG_THEN_COUNT % (MODES * MODES * MODES);
        const int part = i / WG_FIRST_COUNT / WG_THEN_COUNT / MODES / MODES / MODES, n = ROWS * PARTS * part;
        const int lengths[] = {VECTOR / (int)size, n, ROWS * part, PARTS * part};
        void *given[3], *whole[3], *t = allocate((size_t)n * size), *want = allocate((size_t)n * size);
        wg_pace pace = {.n = part, .parts = PARTS, .rows = ROWS, .part = {[3] = part}};
        for (int j = 0; j < 3; j++) {
            const int mode = modes / (j == 0 ? 1 : j == 1 ? MODES : MODES * MODES) % MODES;
            pace.moves[j] = mode != SINGLE;
            pace.part[j] = mode == MOVES || mode == BY_ROW ? part : 0;
            pace.row[j] = mode == BY_PART ? part : mode == BY_ROW ? -PARTS * part : 0;
            given[j] = allocate((size_t)lengths[mode] * size);
            whole[j] = allocate((size_t)n * size);
            const double single = uniform(0.5, 2);
            for (int e = 0; e < lengths[mode]; e++) set(dtype, given[j], e, mode == SINGLE ? single : uniform(0.5, 2));
            for (int e = 0; e < n; e++) {
                const int places[] = {0, e, e / (PARTS * part) * part + e % part, e % (PARTS * part)};
                set(dtype, whole[j], e, get(dtype, given[j], places[mode]));
            }
        }
        generic->map[firsts[first]][dtype](t, (const void *const[]){whole[0], whole[1]}, n, NULL);
        const bool reversed = then == WG_THEN_RSUB || then == WG_THEN_RDIV;
        const void *const second[] = {reversed ? whole[2] : t, reversed ? t : whole[2]};
        if (then == WG_THEN_NONE)
            memcpy(want, t, (size_t)n * size);
        else
            generic->map[thens[then]][dtype](want, second, n, NULL);
        if (then == WG_THEN_NONE) test_gaps(k, generic, dtype, first, given, whole, pace);
        void *const out = pace.part[0] && !pace.row[0] ? given[0] : t; /* in place where that can be */
        k->pair[first][then][dtype](out, (const void *const *)given, &pace);
        int wrong = 0;
        for (int e = 0; e < n; e++) {
            const double a = get(dtype, out, e), b = get(dtype, want, e);
            wrong += a != b && !(isnan(a) && isnan(b));
        }
        CHECK(wrong == 0, "%s %s pair %d %d n=%d: %d differ", k->isa, dtype_name(dtype), first, then, n, wrong);
        for (int j = 0; j < 3; j++) free(given[j]), free(whole[j]);
        free(t), free(want);
    }
}

/* A chain is what its steps are one after the other, bit for bit, also where its results take the place of arrays. */
static void test_chains(const wg_kernels *k, const wg_kernels *generic, wg_dtype dtype) {
    enum { OPERAND = 0x80, MOST = 16, SIZES = 40, VECTOR = 64 };
    static const struct {
        int arrays, operands, results, n;
        struct {
            int op, a, b, kept;
        } steps[MOST];
    } chains[] = {
#define X(k) (OPERAND + (k))
#define R(n) (n)
#define STEP(n, op, a, b) {WG_##op, a, b, -1},
#define KEEP(n, k, op, a, b) {WG_##op, a, b, k},
#define ROOT(n, a) {WG_sqrt, a, a, -1},
#define CHAIN(name, arrays, operands, results, n, steps) {arrays, operands, results, n, {steps}},
#include "chains.def"
    };
    const size_t size = item_size[dtype];
    for (int i = 0; i < WG_CHAIN_COUNT * SIZES; i++) {
        const int row = i % WG_CHAIN_COUNT, n = i / WG_CHAIN_COUNT + 1;
        void *x[MOST], *whole[MOST], *r[MOST], *kept[MOST], *at[2 * MOST];
        for (int j = 0; j < chains[row].operands; j++) {
            const bool single = j >= chains[row].arrays;
            const double number = uniform(0.5, 2);
            at[j] = x[j] = allocate((size_t)(single ? VECTOR : n * (int)size));
            whole[j] = allocate((size_t)n * size);
            for (int e = 0; e < n; e++) set(dtype, whole[j], e, single ? number : uniform(0.5, 2));
            for (int e = 0; single && e < VECTOR / (int)size; e++) set(dtype, x[j], e, number);
            if (!single) memcpy(x[j], whole[j], (size_t)n * size);
        }
        for (int j = 0; j < chains[row].n; j++) {
            const int a = chains[row].steps[j].a, b = chains[row].steps[j].b, result = chains[row].steps[j].kept;
            const void *in[] = {a < OPERAND ? r[a] : whole[a - OPERAND], b < OPERAND ? r[b] : whole[b - OPERAND]};
            r[j] = allocate((size_t)n * size);
            generic->map[chains[row].steps[j].op][dtype](r[j], in, n, NULL);
            if (result >= 0) kept[result] = r[j];
        }
        for (int j = 0; j < chains[row].results; j++) at[chains[row].operands + j] = x[j + n % 2];
        k->chain[row][dtype](at, n);
        for (int j = 0; j < chains[row].results; j++)
            CHECK(memcmp(x[j + n % 2], kept[j], (size_t)n * size) == 0, "%s %s chain %d n=%d: result %d", k->isa,
                  dtype_name(dtype), row, n, j);
        for (int j = 0; j < chains[row].operands; j++) free(x[j]), free(whole[j]);
        for (int j = 0; j < chains[row].n; j++) free(r[j]);
    }
}

static void test_set(const wg_kernels *k, const wg_kernels *generic) {
    for (wg_dtype dtype = WG_F32; dtype <= WG_F64; dtype++) {
        test_pairs(k, generic, dtype);
        test_chains(k, generic, dtype);
    }
}

int main(void) {
    with_every_set(test_set);
    return report();
}

/* C unit tests of csrc/kernels: every instruction set of this build that the CPU has, in one process.
 *
 *   cc -std=c11 -ffp-contract=off -Icsrc tests/c/test_kernels.c csrc/kernels/{cpu,k_*}.c -lm
 */
#include "kernel_testing.h"

/* ---- the elementwise rows ---------------------------------------------------------------------------------- */

typedef struct {
    const char *name;
    int op, arity; /* arity 4: a derivative column over g, a, b, y */
    int forward;   /* of a derivative: its row's op and arity */
    int forward_arity;
    double lo, hi;
} row;

static const row rows[] = {
#define UNARY(name, numpy, class, params, lo, hi, da, doc)                                                             \
    {#name, WG_##name, 1, 0, 0, lo, hi}, {"d_" #name "_0", WG_d_##name##_0, 4, WG_##name, 1, lo, hi},
#define BINARY(name, numpy, class, lo, hi, da, db, doc)                                                                \
    {#name, WG_##name, 2, 0, 0, lo, hi}, {"d_" #name "_0", WG_d_##name##_0, 4, WG_##name, 2, lo, hi},                  \
        {"d_" #name "_1", WG_d_##name##_1, 4, WG_##name, 2, lo, hi},
#define ZERO(name, numpy, class, lo, hi, doc) {#name, WG_##name, 1, 0, 0, lo, hi},
#include "ops.def"
};
enum { N_ROWS = sizeof rows / sizeof *rows };
static const int comparisons[] = {
#define COMPARE(name, numpy, doc) WG_##name,
#include "ops.def"
};
enum { N_COMPARISONS = sizeof comparisons / sizeof *comparisons };

/* Every kernel of an ISA against the generic one, element by element, for every length up to a few vectors, in place
 * and not, without touching what lies beyond. */
static void test_maps_against_generic(const wg_kernels *k, const wg_kernels *generic, wg_dtype dtype, const row *r) {
    enum { MOST = 67 };
    const size_t size = item_size[dtype];
    for (int64_t n = 0; n <= MOST; n++) {
        void *in[4], *want = allocate(MOST * size), *got = allocate((size_t)n * size);
        for (int j = 0; j < 4; j++) {
            in[j] = allocate((size_t)n * size);
            for (int64_t i = 0; i < n; i++) set(dtype, in[j], i, uniform(r->lo, r->hi));
        }
        if (r->arity == 4) generic->map[r->forward][dtype](in[3], (const void *const[]){in[1], in[2]}, n, params);
        const void *const *operands = (const void *const *)in;
        generic->map[r->op][dtype](want, operands, n, params);
        k->map[r->op][dtype](got, operands, n, params);
        double worst = 0;
        for (int64_t i = 0; i < n; i++) {
            const double a = get(dtype, got, i), b = get(dtype, want, i);
            /* two correct functions differ by 4 ULP at most; a column composes a few of them, and may cancel */
            const double scale = fabs(b) + (r->arity == 4 ? fabs(get(dtype, in[0], i)) : 0);
            const double error = fabs(a - b) / (scale * (dtype == WG_F32 ? FLT_EPSILON : DBL_EPSILON));
            if (a != b && !(error <= worst) && !(isnan(a) && isnan(b))) worst = error;
        }
        CHECK(worst <= (r->arity == 4 ? 24 : 4), "%s %s n=%d: %g ULP from generic", k->isa, r->name, (int)n, worst);
        for (int j = 0; j < (r->arity == 4 ? 4 : r->arity); j++) {
            void *const saved = allocate((size_t)n * size);
            memcpy(saved, in[j], (size_t)n * size);
            k->map[r->op][dtype](in[j], operands, n, params);
            CHECK(memcmp(in[j], got, (size_t)n * size) == 0, "%s %s n=%d: in place of operand %d", k->isa, r->name,
                  (int)n, j);
            memcpy(in[j], saved, (size_t)n * size);
            free(saved);
        }
        for (int j = 0; j < 4; j++) free(in[j]);
        free(want);
        free(got);
    }
}

/* A long row from any address gives what short ones give (a kernel takes the first elements by themselves, so that
 * whole vectors lie in whole lines, goes back from the end where the result lies a little behind an operand modulo 4
 * kB, and past the caches with 8 MB), also in place, and touches nothing around it. */
static void test_long_rows(const wg_kernels *k, wg_dtype dtype, const row *r, int64_t n) {
    enum { SHORT = 64, PAGE = 4096 };
    const size_t size = item_size[dtype], bytes = (size_t)n * size;
    char *in[4], *want = allocate(bytes), *got = allocate(bytes + PAGE + size);
    for (int j = 0; j < 4; j++) {
        in[j] = allocate(bytes);
        for (int64_t i = 0; i < n; i++) set(dtype, in[j], i, uniform(r->lo, r->hi));
    }
    for (int64_t i = 0; i < n; i += SHORT) {
        const void *part[4];
        for (int j = 0; j < 4; j++) part[j] = in[j] + (size_t)i * size;
        k->map[r->op][dtype](want + (size_t)i * size, part, n - i < SHORT ? n - i : SHORT, params);
    }
    const void *const *operands = (const void *const *)in;
    const size_t places[] = {0, size, 2 * size, ((uintptr_t)in[0] - (uintptr_t)got + 128) % PAGE};
    for (int p = 0; p < 4; p++) {
        char *const at = got + places[p];
        memset(got, 'x', bytes + PAGE + size);
        k->map[r->op][dtype](at, operands, n, params);
        CHECK(memcmp(at, want, bytes) == 0, "%s %s: %d elements at place %d", k->isa, r->name, (int)n, p);
        CHECK((at == got || at[-1] == 'x') && at[bytes] == 'x', "%s %s: around %d elements", k->isa, r->name, (int)n);
    }
    k->map[r->op][dtype](in[0], operands, n, params);
    CHECK(memcmp(in[0], want, bytes) == 0, "%s %s: %d elements in place", k->isa, r->name, (int)n);
    for (int j = 0; j < 4; j++) free(in[j]);
    free(want), free(got);
}

/* Where the cotangent is 0 the product is 0, whatever the derivative is. */
static void test_zero_cotangent(const wg_kernels *k, wg_dtype dtype, const row *r) {
    const size_t size = item_size[dtype];
    enum { N = N_SPECIAL * N_SPECIAL };
    void *g = allocate(N * size), *a = allocate(N * size), *b = allocate(N * size), *y = allocate(N * size);
    for (int i = 0; i < N; i++) {
        set(dtype, g, i, i % 2 ? 0.0 : -0.0);
        set(dtype, a, i, special[i / N_SPECIAL]);
        set(dtype, b, i, special[i % N_SPECIAL]);
    }
    k->map[r->forward][dtype](y, (const void *const[]){a, b}, N, params);
    k->map[r->op][dtype](g, (const void *const[]){g, a, b, y}, N, params);
    bool zero = true;
    for (int i = 0; i < N; i++) zero = zero && get(dtype, g, i) == 0;
    CHECK(zero, "%s %s: 0 times the derivative is not 0", k->isa, r->name);
    free(g), free(a), free(b), free(y);
}

/* Whatever has fused multiply-adds gives the same bits: one source, lane by lane.  (A NaN's own bits may differ.) */
static void test_same_bits(const wg_kernels *k, const wg_kernels *other, wg_dtype dtype, const row *r) {
    enum { N = N_SPECIAL * N_SPECIAL + 2000 };
    const size_t size = item_size[dtype];
    void *in[4], *mine = allocate(N * size), *its = allocate(N * size);
    for (int j = 0; j < 4; j++) {
        in[j] = allocate(N * size);
        for (int i = 0; i < N; i++) {
            const int pair = i - 2000;
            set(dtype, in[j], i,
                pair < 0 ? sample(dtype, N_SPECIAL + i, r->lo, r->hi)
                         : special[j == 1 ? pair / N_SPECIAL : pair % N_SPECIAL]);
        }
    }
    const void *const *operands = (const void *const *)in;
    if (r->arity == 4) other->map[r->forward][dtype](in[3], (const void *const[]){in[1], in[2]}, N, params);
    k->map[r->op][dtype](mine, operands, N, params);
    other->map[r->op][dtype](its, operands, N, params);
    int apart = 0;
    for (int i = 0; i < N; i++) {
        const double a = get(dtype, mine, i), b = get(dtype, its, i);
        apart += memcmp((char *)mine + i * size, (char *)its + i * size, size) != 0 && !(isnan(a) && isnan(b));
    }
    CHECK(apart == 0, "%s %s %s: %d of %d are not what %s gives", k->isa, dtype_name(dtype), r->name, apart, N,
          other->isa);
    for (int j = 0; j < 4; j++) free(in[j]);
    free(mine), free(its);
}

static void test_compare_and_where(const wg_kernels *k, wg_dtype dtype) {
    enum { N = N_SPECIAL * N_SPECIAL };
    void *a = allocate(N * item_size[dtype]), *b = allocate(N * item_size[dtype]), *y = allocate(N * item_size[dtype]);
    uint8_t *less = allocate(N);
    for (int i = 0; i < N; i++) {
        set(dtype, a, i, special[i / N_SPECIAL]);
        set(dtype, b, i, special[i % N_SPECIAL]);
    }
    const void *const in[] = {a, b};
    for (int c = 0; c < N_COMPARISONS; c++)
        for (int n = N; n > N - 9; n--) {
            k->map[comparisons[c]][dtype](less, in, n, params);
            bool right = true;
            for (int i = 0; i < n; i++) {
                const double x = get(dtype, a, i), z = get(dtype, b, i);
                const bool want = comparisons[c] == WG_equal        ? x == z
                                  : comparisons[c] == WG_not_equal  ? x != z
                                  : comparisons[c] == WG_less       ? x < z
                                  : comparisons[c] == WG_less_equal ? x <= z
                                  : comparisons[c] == WG_greater    ? x > z
                                                                    : x >= z;
                right = right && less[i] == want;
            }
            CHECK(right, "%s comparison %d, n=%d", k->isa, c, n);
        }
    k->map[WG_less][dtype](less, in, N, params);
    k->map[WG_where][dtype](y, (const void *const[]){less, a, b}, N, params);
    bool chosen = true, extreme = true;
    for (int i = 0; i < N; i++) {
        const double x = get(dtype, a, i), z = get(dtype, b, i), got = get(dtype, y, i), want = x < z ? x : z;
        chosen = chosen && (got == want || (isnan(got) && isnan(want)));
    }
    for (int sign = 0; sign < 2; sign++) {
        k->map[sign ? WG_minimum : WG_maximum][dtype](y, in, N, params);
        for (int i = 0; i < N; i++) {
            const double x = get(dtype, a, i), z = get(dtype, b, i), got = get(dtype, y, i);
            extreme = extreme && (isnan(x) || isnan(z) ? isnan(got) : got == (sign ? fmin(x, z) : fmax(x, z)));
        }
    }
    CHECK(chosen, "%s where", k->isa);
    CHECK(extreme, "%s maximum or minimum", k->isa);
    free(a), free(b), free(y), free(less);
}

/* ---- single numbers ------------------------------------------------------------------------------------------ */

static double handed_on;
static void hand_on(const wg_instruction *i, char *slots, float last_f32, double last_f64) {
    (void)slots;
    handed_on = i->in[0] == WG_F32 ? (double)last_f32 : last_f64;
}

/* An instruction gives the bits of the map of one element, whether its first operand lies in a slot or is handed to it,
 * and hands on its result; a comparison hands on what it got.  A NaN's own bits may differ. */
static void test_scalar(const wg_kernels *k, wg_dtype dtype, int op, double lo, double hi) {
    enum { N = N_SPECIAL * N_SPECIAL + 1000, OUT = 6 };
    const size_t size = item_size[dtype];
    const bool compares = op == WG_equal || op == WG_not_equal || op == WG_less || op == WG_less_equal ||
                          op == WG_greater || op == WG_greater_equal;
    int apart = 0, lost = 0;
    for (int i = 0; i < N; i++) {
        uint64_t slots[OUT + 1] = {0}, want = 0;
        const void *in[4];
        for (int j = 0; j < 4; j++) {
            const int pair = i - 1000;
            in[j] = &slots[j + 1];
            set(dtype, &slots[j + 1], 0,
                pair < 0 ? sample(dtype, N_SPECIAL + i, lo, hi)
                         : special[j == 1 ? pair / N_SPECIAL : pair % N_SPECIAL]);
        }
        if (op == WG_where) *(uint8_t *)&slots[1] = i % 2;
        k->map[op][dtype](&want, in, 1, params);
        const double first = get(dtype, &slots[1], 0), wanted = get(dtype, &want, 0);
        for (int handed = 0; handed < (op == WG_where ? 1 : 2); handed++) {
            const wg_instruction code[2] = {
                {.run = k->scalar[op][dtype], .in = {handed ? 0 : 8, 16, 24, 32}, .out = 8 * OUT, .param = params[0]},
                {.run = hand_on, .in = {(uint32_t)dtype}}};
            slots[OUT] = 0;
            code->run(code, (char *)slots, (float)first, first);
            const double got = get(dtype, &slots[OUT], 0), hands = compares ? first : got;
            apart += memcmp(&slots[OUT], &want, compares ? 1 : size) != 0 && !(isnan(got) && isnan(wanted));
            lost += memcmp(&handed_on, &hands, sizeof hands) != 0 && !(isnan(handed_on) && isnan(hands));
        }
    }
    CHECK(apart == 0 && lost == 0, "%s %s op %d: %d of %d are not the map's, %d not handed on", k->isa,
          dtype_name(dtype), op, apart, N, lost);
}

/* ---- folds --------------------------------------------------------------------------------------------------- */

static void test_folds(const wg_kernels *k, wg_dtype dtype) {
    const int64_t sizes[] = {1, 2, 3, 7, 8, 9, 31, 64, 65, 1000, 4095, 4096, 4097, 20001, 70000};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const int64_t n = sizes[s];
        const size_t bytes = (size_t)n * item_size[dtype];
        void *x = allocate(bytes), *shifted = allocate(bytes + item_size[dtype]);
        void *elsewhere = (char *)shifted + item_size[dtype];
        long double sum = 0, size = 0;
        double least = INFINITY, most = -INFINITY, got = 0, again = 0;
        for (int64_t i = 0; i < n; i++) {
            set(dtype, x, i, uniform(-3, 5));
            const double a = get(dtype, x, i);
            sum += a, size += fabs(a), least = fmin(least, a), most = fmax(most, a);
        }
        memcpy(elsewhere, x, bytes);
        k->fold[WG_FOLD_PROD][dtype](&got, x, n < 60 ? n : 60, 1); /* beyond, it may leave the range of float32 */
        long double product = 1;
        for (int64_t i = 0; i < n && i < 60; i++) product *= get(dtype, x, i);
        CHECK(fabsl(get(dtype, &got, 0) - product) <=
                  60 * (dtype == WG_F32 ? FLT_EPSILON : DBL_EPSILON) * fabsl(product),
              "%s product n=%d", k->isa, (int)n);
        k->fold[WG_FOLD_SUM][dtype](&got, x, n, 1);
        k->fold[WG_FOLD_SUM][dtype](&again, elsewhere, n, 1);
        /* chains of at most 64 additions, then trees: 64 + log2 n roundings of half an epsilon each */
        const double error = (double)(fabsl(get(dtype, &got, 0) - sum) / size);
        CHECK(error <= 40 * (dtype == WG_F32 ? FLT_EPSILON : DBL_EPSILON), "%s sum n=%d off by %g", k->isa, (int)n,
              error);
        CHECK(memcmp(&got, &again, sizeof got) == 0, "%s sum n=%d depends on alignment", k->isa, (int)n);
        k->fold[WG_FOLD_MAX][dtype](&got, x, n, 1);
        CHECK(get(dtype, &got, 0) == most, "%s max n=%d", k->isa, (int)n);
        k->fold[WG_FOLD_MIN][dtype](&got, x, n, 1);
        CHECK(get(dtype, &got, 0) == least, "%s min n=%d", k->isa, (int)n);
        for (int64_t i = 0; i < n; i += n / 7 + 1) {
            const double kept = get(dtype, x, i);
            set(dtype, x, i, 9);
            set(dtype, &got, 0, 9);
            CHECK(k->find[dtype](x, n, &got) == i, "%s found not %d of %d", k->isa, (int)i, (int)n);
            set(dtype, x, i, NAN);
            set(dtype, &got, 0, NAN);
            CHECK(k->find[dtype](x, n, &got) == i, "%s found not the NaN %d of %d", k->isa, (int)i, (int)n);
            k->fold[WG_FOLD_MAX][dtype](&got, x, n, 1);
            k->fold[WG_FOLD_MIN][dtype](&again, x, n, 1);
            CHECK(isnan(get(dtype, &got, 0)) && isnan(get(dtype, &again, 0)), "%s lost NaN %d of %d", k->isa, (int)i,
                  (int)n);
            set(dtype, x, i, kept);
        }
        free(x), free(shifted);
    }
}

/* Two, three or four numbers have the bits that they have with zeros behind them, -0 among them. */
static void test_short_sums(const wg_kernels *k, wg_dtype dtype) {
    enum { LINES = 37, PADDED = 16 };
    const size_t item = item_size[dtype];
    char *x = allocate(4 * LINES * item), *padded = allocate(PADDED * item), *sums = allocate(LINES * item);
    for (int64_t n = 2; n <= 4; n++) {
        for (int64_t i = 0; i < n * LINES; i++) set(dtype, x, i, i < 2 * n ? -0.0 : uniform(-3, 5));
        k->fold[WG_FOLD_SUM][dtype](sums, x, n, LINES);
        for (int64_t line = 0; line < LINES; line++) {
            double whole = 0;
            memset(padded, 0, PADDED * item);
            memcpy(padded, x + (size_t)(line * n) * item, (size_t)n * item);
            k->fold[WG_FOLD_SUM][dtype](&whole, padded, PADDED, 1);
            CHECK(memcmp(sums + (size_t)line * item, &whole, item) == 0, "%s sum %d of %d", k->isa, (int)line, (int)n);
        }
    }
    free(x), free(padded), free(sums);
}

/* A fold from line to line gives what the maps of two lines after another give, bit for bit, -0 and NaN among them: of
 * lines that stay in the first-level cache, and of more, side by side and apart. */
static void test_folds_down(const wg_kernels *k, wg_dtype dtype) {
    enum { LINES = 400, LONGEST = 150, APART = LONGEST + 3 };
    static const int of[WG_FOLD_COUNT] = {WG_add, WG_mul, WG_maximum, WG_minimum};
    const size_t item = item_size[dtype];
    char *x = allocate(LINES * APART * item), *down = allocate(LONGEST * item), *one = allocate(LONGEST * item);
    for (int64_t i = 0; i < LINES * APART; i++)
        set(dtype, x, i, i % 5 == 0 ? -0.0 : i % 5 == 1 ? 0.0 : i % 9973 == 0 ? (double)NAN : uniform(-3, 1));
    for (int64_t n = 1; n <= LONGEST; n += n < 70 ? 1 : 13)
        for (int fold = 0; fold < WG_FOLD_COUNT; fold++)
            for (int64_t lines = 0; lines <= LINES; lines += lines < 6 ? 1 : LINES - 6) {
                const int64_t apart = lines % 2 ? APART : n;
                memcpy(one, x, (size_t)n * item);
                memcpy(down, x, (size_t)n * item);
                for (int64_t line = 0; line < lines; line++)
                    k->map[of[fold]][dtype](one, (const void *[]){one, x + (size_t)(line * apart) * item}, n, NULL);
                k->fold_down[fold][dtype](down, x, n, apart, lines);
                CHECK(memcmp(down, one, (size_t)n * item) == 0, "%s fold %d down %d lines of %d", k->isa, fold,
                      (int)lines, (int)n);
            }
    free(x), free(down), free(one);
}

/* A fold of lines gives what folds of each line by itself give, bit for bit. */
static void test_fold_lines(const wg_kernels *k, wg_dtype dtype) {
    enum { LINES = 5, LONGEST = 70 };
    const size_t item = item_size[dtype];
    char *x = allocate(LINES * LONGEST * item);
    double all[LINES], one;
    for (int64_t i = 0; i < LINES * LONGEST; i++) set(dtype, x, i, uniform(-3, 5));
    for (int64_t n = 1; n <= LONGEST; n++)
        for (int fold = 0; fold < WG_FOLD_COUNT; fold++) {
            k->fold[fold][dtype](all, x, n, LINES);
            for (int64_t line = 0; line < LINES; line++) {
                k->fold[fold][dtype](&one, x + (size_t)(line * n) * item, n, 1);
                CHECK(memcmp((char *)all + (size_t)line * item, &one, item) == 0, "%s fold %d, line %d of %d", k->isa,
                      fold, (int)line, (int)n);
            }
        }
    free(x);
}

/* ---- integers, bool, complex, casts ---------------------------------------------------------------------------- */

static void test_integers(const wg_kernels *k) {
    const int32_t a[] = {INT32_MAX, INT32_MIN, -3, 0}, b[] = {1, -1, 5, 0};
    const struct {
        int op;
        int32_t want[4];
    } cases[] = {
        {WG_add, {INT32_MIN, INT32_MAX, 2, 0}},
        {WG_sub, {INT32_MAX - 1, -INT32_MAX, -8, 0}},
        {WG_mul, {INT32_MAX, INT32_MIN, -15, 0}},
        {WG_neg, {-INT32_MAX, INT32_MIN, 3, 0}},
        {WG_abs, {INT32_MAX, INT32_MIN, 3, 0}},
        {WG_sign, {1, -1, -1, 0}},
        {WG_square, {1, 0, 9, 0}},
        {WG_maximum, {INT32_MAX, -1, 5, 0}},
        {WG_minimum, {1, INT32_MIN, -3, 0}},
        {WG_floor, {INT32_MAX, INT32_MIN, -3, 0}},
        {WG_remainder, {0, 0, 2, 0}},
        {WG_pow, {INT32_MAX, 0, -243, 1}},
        {WG_bitwise_and, {1, INT32_MIN, 5, 0}},
        {WG_bitwise_xor, {INT32_MAX - 1, INT32_MAX, -8, 0}},
        {WG_left_shift, {-2, 0, -96, 0}},
        {WG_right_shift, {INT32_MAX >> 1, -1, -1, 0}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        int32_t got[4];
        int64_t wide[3][4];
        k->map[cases[c].op][WG_I32](got, (const void *const[]){a, b}, 4, params);
        CHECK(memcmp(got, cases[c].want, sizeof got) == 0, "int32 op %d", cases[c].op);
        for (int i = 0; i < 4; i++) wide[0][i] = a[i], wide[1][i] = b[i];
        k->map[cases[c].op][WG_I64](wide[2], (const void *const[]){wide[0], wide[1]}, 4, params);
        CHECK(wide[2][2] == cases[c].want[2] && wide[2][3] == cases[c].want[3], "int64 op %d", cases[c].op);
    }
    int64_t total;
    int32_t most;
    k->fold[WG_FOLD_SUM][WG_I32](&total, (const int32_t[]){INT32_MAX, INT32_MAX, 2}, 3, 1);
    k->fold[WG_FOLD_MAX][WG_I32](&most, a, 4, 1);
    CHECK(total == 4294967296 && most == INT32_MAX, "int32 folds");
    k->fold[WG_FOLD_SUM][WG_BOOL](&total, (const uint8_t[]){1, 0, 1}, 3, 1);
    CHECK(total == 2, "bool sum");
    uint8_t greater[4];
    k->map[WG_greater][WG_BOOL](greater, (const void *const[]){(const uint8_t[]){0, 1, 1}, (const uint8_t[]){0, 0, 1}},
                                3, params);
    CHECK(!greater[0] && greater[1] && !greater[2], "bool comparison");
}

static void test_casts(const wg_kernels *k) {
    const double x[] = {NAN, INFINITY, -INFINITY, 1e30, -2147483648.9, 2147483647.9, -0.9, 3.7};
    const int32_t want[] = {INT32_MIN, INT32_MIN, INT32_MIN, INT32_MIN, INT32_MIN, INT32_MAX, 0, 3};
    int32_t narrow[8];
    int64_t wide[8];
    float single[8];
    uint8_t truth[8];
    k->cast[WG_F64][WG_I32](narrow, (const void *const[]){x}, 8, params);
    CHECK(memcmp(narrow, want, sizeof want) == 0, "float64 to int32");
    k->cast[WG_F64][WG_F32](single, (const void *const[]){x}, 8, params);
    k->cast[WG_F32][WG_I64](wide, (const void *const[]){single}, 8, params);
    CHECK(wide[0] == INT64_MIN && wide[1] == INT64_MIN && wide[3] == INT64_MIN && wide[5] == 2147483648 && wide[7] == 3,
          "float32 to int64");
    k->cast[WG_F64][WG_BOOL](truth, (const void *const[]){x}, 8, params);
    CHECK(truth[0] && truth[6], "float64 to bool");
    k->cast[WG_I32][WG_F32](single, (const void *const[]){(const int32_t[]){16777217}}, 1, params);
    CHECK(single[0] == 16777216, "int32 to float32");
    double pair[2];
    k->cast[WG_F64][WG_C128](pair, (const void *const[]){x + 7}, 1, params);
    CHECK(pair[0] == 3.7 && pair[1] == 0, "float64 to complex128");
    k->map[WG_square][WG_C128](pair, (const void *const[]){(const double[]){1, 2}}, 1, params);
    CHECK(pair[0] == -3 && pair[1] == 4, "complex square");
}

static void test_names(void) {
    char message[200];
    wg_kernels k;
    CHECK(wg_kernels_build("foo", &k, message, sizeof message) == WG_VALUE_ERROR && strstr(message, "'foo'") &&
              strstr(message, "generic"),
          "%s", message);
    CHECK(wg_kernels_init("generic", message, sizeof message) == WG_OK && !strcmp(wg_isa(), "generic"), "generic");
    CHECK(wg_kernels_init("", message, sizeof message) == WG_OK && wg_isa_supported(wg_isa()), "the best");
    CHECK(!wg_isa_supported("foo") && wg_kernels_table()->gemm[WG_F32], "table");
}

static void test_set(const wg_kernels *k, const wg_kernels *generic) {
    static wg_kernels avx2;
    char message[200];
    const bool fused = strcmp(k->isa, "generic") != 0 && wg_isa_supported("avx2");
    if (fused) wg_kernels_build("avx2", &avx2, message, sizeof message);
    for (wg_dtype dtype = WG_F32; dtype <= WG_F64; dtype++) {
        for (int r = 0; r < N_ROWS; r++) {
            test_maps_against_generic(k, generic, dtype, &rows[r]);
            test_long_rows(k, dtype, &rows[r], 16 * 16 + 7);
            if (rows[r].op == WG_add) test_long_rows(k, dtype, &rows[r], (1 << 23) / (int64_t)item_size[dtype] + 9);
            if (rows[r].arity == 4) test_zero_cotangent(k, dtype, &rows[r]);
            if (fused) test_same_bits(k, &avx2, dtype, &rows[r]);
            test_scalar(k, dtype, rows[r].op, rows[r].lo, rows[r].hi);
        }
        for (int c = 0; c < N_COMPARISONS; c++) test_scalar(k, dtype, comparisons[c], -3, 3);
        test_scalar(k, dtype, WG_where, -3, 3);
        test_compare_and_where(k, dtype);
        test_folds(k, dtype);
        test_short_sums(k, dtype);
        test_fold_lines(k, dtype);
        test_folds_down(k, dtype);
    }
    test_integers(k);
    test_casts(k);
}

int main(void) {
    test_names();
    with_every_set(test_set);
    return report();
}

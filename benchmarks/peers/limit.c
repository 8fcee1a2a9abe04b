/* What the machine can do at most, as plain loops: fused multiply-adds in registers, and passes over memory.
 *
 * limit.py compiles this with the instruction set that wengert's kernels use.  No loop is clever; ordinary stores, no
 * streaming ones, as in the kernels that it is compared with. */
#if defined(__AVX512F__)
enum { BYTES = 64 };
#elif defined(__AVX__)
enum { BYTES = 32 };
#else
enum { BYTES = 16 };
#endif

/* Independent accumulators: as many as a core has multiply-adds under way (a latency of 4, two a cycle on x86, four on
 * large Arm cores), few enough to stay in registers with their factor: AVX-512 and NEON have 32, the others 16. */
#if defined(__AVX512F__) || defined(__ARM_NEON)
enum { CHAINS = 24 };
#else
enum { CHAINS = 12 };
#endif

#define UNROLLED _Pragma("GCC unroll 24") /* by itself GCC stops at 16 and leaves the accumulators in memory */
#define FMA(NAME, T)                                                                                                   \
    typedef T NAME##_vec __attribute__((vector_size(BYTES)));                                                          \
    /* Returns the operations per repeat.  With factor 0.5, x = 0.5 x + 0.5 stays at 1. */                             \
    int NAME(long repeats, T factor, T *result) {                                                                      \
        NAME##_vec sums[CHAINS], scale = {0}, total = {0};                                                             \
        scale += factor;                                                                                               \
        UNROLLED for (int i = 0; i < CHAINS; i++) sums[i] = scale * (T)(i + 1);                                        \
        for (long r = 0; r < repeats; r++)                                                                             \
            UNROLLED for (int i = 0; i < CHAINS; i++) sums[i] = sums[i] * scale + scale;                               \
        UNROLLED for (int i = 0; i < CHAINS; i++) total += sums[i];                                                    \
        *result = total[0];                                                                                            \
        return 2 * CHAINS * (int)(BYTES / sizeof(T));                                                                  \
    }
FMA(fma_float32, float)
FMA(fma_float64, double)

/* Keeps the compiler from merging the passes. */
#define PASS __asm__ volatile("" ::: "memory")

typedef float lanes __attribute__((vector_size(BYTES), aligned(4), may_alias));
enum { STEP = BYTES / sizeof(float), READERS = 8 };

/* Reads n floats, a multiple of STEP * READERS. */
void read_pass(long repeats, long n, const float *a, float *result) {
    lanes sums[READERS] = {{0}}, total = {0};
    for (long r = 0; r < repeats; r++) {
        for (long k = 0; k < n; k += STEP * READERS)
            for (int i = 0; i < READERS; i++) sums[i] += *(const lanes *)(a + k + STEP * i);
        PASS;
    }
    for (int i = 0; i < READERS; i++) total += sums[i];
    *result = total[0];
}

/* Reads n floats and writes n. */
void scale_pass(long repeats, long n, const float *a, float *y) {
    for (long r = 0; r < repeats; r++) {
        for (long k = 0; k < n; k += STEP) *(lanes *)(y + k) = *(const lanes *)(a + k) * 0.5f;
        PASS;
    }
}

/* Reads 2 n floats and writes n. */
void add_pass(long repeats, long n, const float *a, const float *b, float *y) {
    for (long r = 0; r < repeats; r++) {
        for (long k = 0; k < n; k += STEP) *(lanes *)(y + k) = *(const lanes *)(a + k) + *(const lanes *)(b + k);
        PASS;
    }
}

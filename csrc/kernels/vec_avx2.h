/* The vector vocabulary of AVX2 with FMA; real.h says what the words mean. */
#include "real.h"

#if REAL_BITS == 32

#define LANES 8
#define V __m256
typedef int32_t avx2_i32 __attribute__((vector_size(32)));
typedef uint32_t avx2_u32 __attribute__((vector_size(32)));
#define I avx2_i32
#define U avx2_u32
#define M avx2_i32

#define load(p) _mm256_loadu_ps(p)
#define store(p, v) _mm256_storeu_ps(p, v)
#define stream(p, v) _mm256_stream_ps(p, v)
#define tail_mask(n) ((M)_mm256_cmpgt_epi32(_mm256_set1_epi32((int)(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)))
#define load_masked(p, m) _mm256_maskload_ps(p, (__m256i)(m))
#define set1(c) _mm256_set1_ps((float)(c))
#define madd(a, b, c) _mm256_fmadd_ps(a, b, c)
#define vsqrt(a) _mm256_sqrt_ps(a)
#define vabs(a) _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a)
#define blend(m, a, b) _mm256_blendv_ps(b, a, (__m256)(m))
#define larger(a, b) _mm256_max_ps(a, b)
#define smaller(a, b) _mm256_min_ps(a, b)
#define rounded(a) _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
#define floored(a) _mm256_round_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)
#define any(m) (_mm256_movemask_ps((__m256)(m)) != 0)
#define transpose(r) transpose_f32(r)
#define evens(a, b) (V) _mm256_permute4x64_pd((__m256d)_mm256_shuffle_ps(a, b, 0x88), 0xD8)
#define store_tail(p, v, n) store_tail_f32(p, v, n)
#define lookup(table, i) lookup_f32(table, (__m256i)(i))
#define load_bools(p) ((M)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(p))) != 0)
#define store_bools(p, m) store_bools_f32(p, (__m256i)(m))

/* Either half of the table and a choice by the fourth bit of the place: a gather takes three times as long. */
static inline __m256 lookup_f32(const float *table, __m256i i) {
    const __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table), i);
    const __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table + 8), i);
    return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(i, 28)));
}

/* In pieces of 4, 2 and 1: a masked store takes tens of cycles on AMD. */
static inline void store_tail_f32(float *p, __m256 v, int64_t n) {
    __m128 part = _mm256_castps256_ps128(v);
    if (n & 4) {
        _mm_storeu_ps(p, part);
        part = _mm256_extractf128_ps(v, 1);
        p += 4;
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)p, part);
        part = _mm_movehl_ps(part, part);
        p += 2;
    }
    if (n & 1) _mm_store_ss(p, part);
}

static inline void store_bools_f32(uint8_t *p, __m256i m) {
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(m), _mm256_extracti128_si256(m, 1));
    _mm_storel_epi64((__m128i *)p, _mm_and_si128(_mm_packs_epi16(words, words), _mm_set1_epi8(1)));
}

static ALWAYS_INLINE void transpose_f32(__m256 *r) {
    __m256 pairs[8], quads[8];
    UNROLL
    for (int i = 0; i < 8; i += 2) {
        pairs[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        pairs[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    UNROLL
    for (int i = 0; i < 8; i += 4) {
        quads[i] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0x44);
        quads[i + 1] = _mm256_shuffle_ps(pairs[i], pairs[i + 2], 0xEE);
        quads[i + 2] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0x44);
        quads[i + 3] = _mm256_shuffle_ps(pairs[i + 1], pairs[i + 3], 0xEE);
    }
    UNROLL
    for (int i = 0; i < 4; i++) {
        r[i] = _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x20);
        r[i + 4] = _mm256_permute2f128_ps(quads[i], quads[i + 4], 0x31);
    }
}

#else

#define LANES 4
#define V __m256d
typedef int64_t avx2_i64 __attribute__((vector_size(32)));
typedef uint64_t avx2_u64 __attribute__((vector_size(32)));
#define I avx2_i64
#define U avx2_u64
#define M avx2_i64

#define load(p) _mm256_loadu_pd(p)
#define store(p, v) _mm256_storeu_pd(p, v)
#define stream(p, v) _mm256_stream_pd(p, v)
#define tail_mask(n) ((M)_mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3)))
#define load_masked(p, m) _mm256_maskload_pd(p, (__m256i)(m))
#define set1(c) _mm256_set1_pd((double)(c))
#define madd(a, b, c) _mm256_fmadd_pd(a, b, c)
#define vsqrt(a) _mm256_sqrt_pd(a)
#define vabs(a) _mm256_andnot_pd(_mm256_set1_pd(-0.0), a)
#define blend(m, a, b) _mm256_blendv_pd(b, a, (__m256d)(m))
#define larger(a, b) _mm256_max_pd(a, b)
#define smaller(a, b) _mm256_min_pd(a, b)
#define rounded(a) _mm256_round_pd(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
#define floored(a) _mm256_round_pd(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)
#define any(m) (_mm256_movemask_pd((__m256d)(m)) != 0)
#define transpose(r) transpose_f64(r)
#define evens(a, b) _mm256_permute4x64_pd(_mm256_unpacklo_pd(a, b), 0xD8)
#define store_tail(p, v, n) store_tail_f64(p, v, n)
#define lookup(table, i) _mm256_i64gather_pd(table, (__m256i)(i), sizeof(double))
#define load_bools(p) load_bools_f64(p)
#define store_bools(p, m) store_bools_f64(p, (__m256i)(m))

static inline void store_tail_f64(double *p, __m256d v, int64_t n) {
    __m128d part = _mm256_castpd256_pd128(v);
    if (n & 2) {
        _mm_storeu_pd(p, part);
        part = _mm256_extractf128_pd(v, 1);
        p += 2;
    }
    if (n & 1) _mm_store_sd(p, part);
}

static inline M load_bools_f64(const uint8_t *p) {
    int32_t bytes;
    memcpy(&bytes, p, sizeof bytes);
    return (M)_mm256_cvtepu8_epi64(_mm_cvtsi32_si128(bytes)) != 0;
}

static inline void store_bools_f64(uint8_t *p, __m256i m) {
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(m), _mm256_extracti128_si256(m, 1));
    const __m128i halves = _mm_packs_epi32(words, words); /* a mask survives any narrowing */
    const __m128i bytes = _mm_and_si128(_mm_packs_epi16(halves, halves), _mm_set1_epi8(1));
    const int32_t four = _mm_cvtsi128_si32(bytes);
    memcpy(p, &four, sizeof four);
}

static inline void transpose_f64(__m256d *r) {
    const __m256d a = _mm256_unpacklo_pd(r[0], r[1]), b = _mm256_unpackhi_pd(r[0], r[1]);
    const __m256d c = _mm256_unpacklo_pd(r[2], r[3]), d = _mm256_unpackhi_pd(r[2], r[3]);
    r[0] = _mm256_permute2f128_pd(a, c, 0x20);
    r[1] = _mm256_permute2f128_pd(b, d, 0x20);
    r[2] = _mm256_permute2f128_pd(a, c, 0x31);
    r[3] = _mm256_permute2f128_pd(b, d, 0x31);
}

#endif

#include "vec_lanes.h"
#define stream_end() _mm_sfence()
#define load_tail(p, n) load_masked(p, tail_mask(n))
#define load_tail_or(p, n, fill) blend(tail_mask(n), load_tail(p, n), fill)
#define load_bools_tail(p, n) FN(load_bool_lanes)(p, n)
#define store_bools_tail(p, m, n) FN(store_bool_lanes)(p, m, n)

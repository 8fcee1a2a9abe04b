/* The vector vocabulary of AVX-512 (F, BW, DQ and VL); real.h says what the words mean.  It serves maps and matrix
 * products.
 *
 * A mask stays a vector in the sources, as in every other set, so that they may use C's operators on it.  blend is
 * written in operators too: the compiler sees through both and leaves a comparison into a mask register and one masked
 * move.  Tails use mask registers openly: low_bits(n) has its lowest n bits set. */
#include "real.h"

#define stream_end() _mm_sfence()
#define low_bits(n) ((1u << (n)) - 1)
#define blend(m, a, b) FN(select)(m, a, b)

#if REAL_BITS == 32

#define LANES 16
#define V __m512
typedef int32_t avx512_i32 __attribute__((vector_size(64)));
typedef uint32_t avx512_u32 __attribute__((vector_size(64)));
#define I avx512_i32
#define U avx512_u32
#define M avx512_i32

#define load(p) _mm512_loadu_ps(p)
#define store(p, v) _mm512_storeu_ps(p, v)
#define stream(p, v) _mm512_stream_ps(p, v)
#define load_tail(p, n) _mm512_maskz_loadu_ps((__mmask16)low_bits(n), p)
#define store_tail(p, v, n) _mm512_mask_storeu_ps(p, (__mmask16)low_bits(n), v)
#define to_bytes(m) _mm512_cvtepi32_epi8((__m512i)((m)&1))
#define load_bools(p) ((M)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(p))) != 0)
#define store_bools(p, m) _mm_storeu_si128((__m128i *)(p), to_bytes(m))
#define load_bools_tail(p, n) ((M)_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8((__mmask16)low_bits(n), p)) != 0)
#define set1(c) _mm512_set1_ps((float)(c))
#define madd(a, b, c) _mm512_fmadd_ps(a, b, c)
#define vsqrt(a) _mm512_sqrt_ps(a)
#define vabs(a) _mm512_abs_ps(a)
#define larger(a, b) _mm512_max_ps(a, b)
#define smaller(a, b) _mm512_min_ps(a, b)
#define rounded(a) _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
#define floored(a) _mm512_roundscale_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)
#define scalef(x, n) _mm512_scalef_ps(x, n)
#define lookup(table, i) _mm512_permutexvar_ps((__m512i)(i), load(table))
#define any(m) (_mm512_movepi32_mask((__m512i)(m)) != 0)
#define from(x, least) _mm512_cmp_ps_mask(x, set1(least), _CMP_GE_OQ)
#define below(lanes, x, most) _mm512_mask_cmp_ps_mask(lanes, x, set1(most), _CMP_LT_OQ)
#define normal(x) LIKELY(_mm512_fpclass_ps_mask(x, 0xFF) == 0) /* of no other class */
#define transpose(r) transpose_f32(r)

/* r[0], r[step], r[2 step], r[3 step]: their quarters of 128 bits, as a matrix of 4 x 4, transposed */
static inline void transpose_quarters(__m512 *r, int step) {
    const __m512 even_a = _mm512_shuffle_f32x4(r[0], r[step], 0x88);
    const __m512 odd_a = _mm512_shuffle_f32x4(r[0], r[step], 0xDD);
    const __m512 even_b = _mm512_shuffle_f32x4(r[2 * step], r[3 * step], 0x88);
    const __m512 odd_b = _mm512_shuffle_f32x4(r[2 * step], r[3 * step], 0xDD);
    r[0] = _mm512_shuffle_f32x4(even_a, even_b, 0x88);
    r[step] = _mm512_shuffle_f32x4(odd_a, odd_b, 0x88);
    r[2 * step] = _mm512_shuffle_f32x4(even_a, even_b, 0xDD);
    r[3 * step] = _mm512_shuffle_f32x4(odd_a, odd_b, 0xDD);
}

static ALWAYS_INLINE void transpose_f32(__m512 *r) {
    UNROLL
    for (int i = 0; i < 16; i += 4) {
        const __m512 a = _mm512_unpacklo_ps(r[i], r[i + 1]), b = _mm512_unpackhi_ps(r[i], r[i + 1]);
        const __m512 c = _mm512_unpacklo_ps(r[i + 2], r[i + 3]), d = _mm512_unpackhi_ps(r[i + 2], r[i + 3]);
        r[i] = _mm512_shuffle_ps(a, c, 0x44);
        r[i + 1] = _mm512_shuffle_ps(a, c, 0xEE);
        r[i + 2] = _mm512_shuffle_ps(b, d, 0x44);
        r[i + 3] = _mm512_shuffle_ps(b, d, 0xEE);
    }
    UNROLL
    for (int i = 0; i < 4; i++) transpose_quarters(r + i, 4);
}

#else

#define LANES 8
#define V __m512d
typedef int64_t avx512_i64 __attribute__((vector_size(64)));
typedef uint64_t avx512_u64 __attribute__((vector_size(64)));
#define I avx512_i64
#define U avx512_u64
#define M avx512_i64

#define load(p) _mm512_loadu_pd(p)
#define store(p, v) _mm512_storeu_pd(p, v)
#define stream(p, v) _mm512_stream_pd(p, v)
#define load_tail(p, n) _mm512_maskz_loadu_pd((__mmask8)low_bits(n), p)
#define store_tail(p, v, n) _mm512_mask_storeu_pd(p, (__mmask8)low_bits(n), v)
#define to_bytes(m) _mm512_cvtepi64_epi8((__m512i)((m)&1))
#define load_bools(p) ((M)_mm512_cvtepu8_epi64(_mm_loadl_epi64((const __m128i *)(p))) != 0)
#define store_bools(p, m) _mm_storel_epi64((__m128i *)(p), to_bytes(m))
#define load_bools_tail(p, n) ((M)_mm512_cvtepu8_epi64(_mm_maskz_loadu_epi8((__mmask16)low_bits(n), p)) != 0)
#define set1(c) _mm512_set1_pd((double)(c))
#define madd(a, b, c) _mm512_fmadd_pd(a, b, c)
#define vsqrt(a) _mm512_sqrt_pd(a)
#define vabs(a) _mm512_abs_pd(a)
#define larger(a, b) _mm512_max_pd(a, b)
#define smaller(a, b) _mm512_min_pd(a, b)
#define rounded(a) _mm512_roundscale_pd(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
#define floored(a) _mm512_roundscale_pd(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)
#define scalef(x, n) _mm512_scalef_pd(x, n)
#define lookup(table, i) _mm512_permutex2var_pd(load(table), (__m512i)(i), load((table) + 8))
#define any(m) (_mm512_movepi64_mask((__m512i)(m)) != 0)
#define from(x, least) _mm512_cmp_pd_mask(x, set1(least), _CMP_GE_OQ)
#define below(lanes, x, most) _mm512_mask_cmp_pd_mask(lanes, x, set1(most), _CMP_LT_OQ)
#define normal(x) LIKELY(_mm512_fpclass_pd_mask(x, 0xFF) == 0)
#define transpose(r) transpose_f64(r)

static ALWAYS_INLINE void transpose_f64(__m512d *r) {
    __m512 pairs[8];
    UNROLL
    for (int i = 0; i < 8; i += 2) {
        pairs[i] = (__m512)_mm512_unpacklo_pd(r[i], r[i + 1]);
        pairs[i + 1] = (__m512)_mm512_unpackhi_pd(r[i], r[i + 1]);
    }
    transpose_quarters(pairs, 2);
    transpose_quarters(pairs + 1, 2);
    UNROLL
    for (int i = 0; i < 8; i++) r[i] = (__m512d)pairs[i];
}

#endif

#define within(x, least, most) LIKELY(below(from(x, least), x, most) == low_bits(LANES))
#define within_both(x, least, most, y, end) LIKELY(below(below(from(x, least), x, most), y, end) == low_bits(LANES))
#define settle(v) __asm__("" : "+v"(v))
#define store_bools_tail(p, m, n) _mm_mask_storeu_epi8(p, (__mmask16)low_bits(n), to_bytes(m))

/* b is hidden from the optimizer, which would else work out the halves of a blend with 0 apart: gcc 12 divides twice
 * for blend(m, 0, a / b). */
static ALWAYS_INLINE V FN(select)(M m, V a, V b) {
    settle(b);
    return (V)(((I)a & m) ^ ((I)b & ~m));
}

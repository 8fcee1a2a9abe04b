/* The vector vocabulary of AArch64's Advanced SIMD; real.h says what the words mean. */
#include "real.h"

#define stream(p, v) store(p, v)
#define stream_end() (void)0

#define larger(a, b) blend((a) > (b), a, b)
#define smaller(a, b) blend((a) < (b), a, b)

#if REAL_BITS == 32

#define LANES 4
#define V float32x4_t
#define I int32x4_t
#define U uint32x4_t
#define M int32x4_t

#define load(p) vld1q_f32(p)
#define store(p, v) vst1q_f32(p, v)
#define set1(c) vdupq_n_f32((float)(c))
#define madd(a, b, c) vfmaq_f32(c, a, b)
#define vsqrt(a) vsqrtq_f32(a)
#define vabs(a) vabsq_f32(a)
#define rounded(a) vrndnq_f32(a)
#define floored(a) vrndmq_f32(a)
#define blend(m, a, b) vbslq_f32((U)(m), a, b)
#define any(m) (vmaxvq_u32((U)(m)) != 0)
#define load_bools(p) load_bools_f32(p)
#define store_bools(p, m) store_bools_f32(p, m)
#define transpose(r) transpose_f32(r)
#define evens(a, b) vuzp1q_f32(a, b)

static inline M load_bools_f32(const uint8_t *p) {
    uint32_t bytes;
    memcpy(&bytes, p, sizeof bytes);
    return (M)vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(bytes)))) != 0;
}

static inline void store_bools_f32(uint8_t *p, M m) {
    const uint16x4_t words = vmovn_u32((U)(m & 1));
    const uint32_t bytes = vget_lane_u32((uint32x2_t)vmovn_u16(vcombine_u16(words, words)), 0);
    memcpy(p, &bytes, sizeof bytes);
}

static inline void transpose_f32(float32x4_t *r) {
    const float64x2_t a = (float64x2_t)vtrn1q_f32(r[0], r[1]), b = (float64x2_t)vtrn2q_f32(r[0], r[1]);
    const float64x2_t c = (float64x2_t)vtrn1q_f32(r[2], r[3]), d = (float64x2_t)vtrn2q_f32(r[2], r[3]);
    r[0] = (float32x4_t)vtrn1q_f64(a, c);
    r[1] = (float32x4_t)vtrn1q_f64(b, d);
    r[2] = (float32x4_t)vtrn2q_f64(a, c);
    r[3] = (float32x4_t)vtrn2q_f64(b, d);
}

#else

#define LANES 2
#define V float64x2_t
#define I int64x2_t
#define U uint64x2_t
#define M int64x2_t

#define load(p) vld1q_f64(p)
#define store(p, v) vst1q_f64(p, v)
#define set1(c) vdupq_n_f64((double)(c))
#define madd(a, b, c) vfmaq_f64(c, a, b)
#define vsqrt(a) vsqrtq_f64(a)
#define vabs(a) vabsq_f64(a)
#define rounded(a) vrndnq_f64(a)
#define floored(a) vrndmq_f64(a)
#define blend(m, a, b) vbslq_f64((U)(m), a, b)
#define any(m) (vmaxvq_u32((uint32x4_t)(m)) != 0)
#define load_bools(p) ((M){(p)[0], (p)[1]} != 0)
#define store_bools(p, m) ((p)[0] = (m)[0] & 1, (p)[1] = (m)[1] & 1)
#define transpose(r) transpose_f64(r)
#define evens(a, b) vuzp1q_f64(a, b)

static inline void transpose_f64(float64x2_t *r) {
    const float64x2_t low = vtrn1q_f64(r[0], r[1]);
    r[1] = vtrn2q_f64(r[0], r[1]);
    r[0] = low;
}

#endif

#include "vec_lanes.h"
#define lookup(table, i) FN(look_up)(table, i)
#define load_tail(p, n) FN(load_lanes)(p, n, set1(0))
#define load_tail_or(p, n, fill) FN(load_lanes)(p, n, fill)
#define store_tail(p, v, n) FN(store_lanes)(p, v, n)
#define load_bools_tail(p, n) FN(load_bool_lanes)(p, n)
#define store_bools_tail(p, m, n) FN(store_bool_lanes)(p, m, n)

static inline V FN(look_up)(const T *table, U i) {
    T lanes[LANES];
    for (int lane = 0; lane < LANES; lane++) lanes[lane] = table[i[lane]];
    return load(lanes);
}

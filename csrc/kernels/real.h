/* One pass over the kernel sources, and the words they are written in.  k_<isa>.c includes the sources once with
 * REAL_BITS 32 and once with 64, so this header and the vec_<isa>.h that include it have no guard: each pass defines
 * its names anew.  A macro that reads the same in both passes is defined twice, which C allows; what is undefined has
 * another text there or in another source.
 *
 * Every kernel source uses these words, C's operators on vectors (+ - * / < == & | ~ << and casts, which keep the bits)
 * and nothing else:
 *   T, V, I, U       scalar; vector of LANES scalars; vectors of signed and unsigned integers of the same width
 *   M                a mask, all bits of a lane set or clear; comparisons give it
 *   load, store      LANES contiguous elements, no alignment asked
 *   ..._tail(p, n)   the first n < LANES elements only; the others are neither read nor written and count as 0
 *   stream        a store past the caches where the set has one, to an address that LANES elements divide; stream_end()
 *                    behind the last, before another thread may read
 *   ..._bools        a mask from, or to, LANES bytes of 0 or 1
 *   set1(c)          c in every lane
 *   madd(a, b, c)    a * b + c, rounded once
 *   blend(m, a, b)   a where m, else b
 *   larger(a, b)     a > b ? a : b in every lane, hence b if either is NaN; smaller alike
 *   any(m)           is any lane of m set
 *   within(x, least, most) does least <= x < most hold in every lane, as it nearly always should; within_both(x, least,
 *                    most, y, end) and y < end
 *   normal(x)        is every lane a positive normal number, as it nearly always should be
 *   settle(v)        v is computed by here, whatever branches follow, where the optimizer would move it behind them
 *   rounded(a)       the nearest whole number, ties to even, and the sign kept; floored(a) the next one below
 *   scalef(x, n)     x 2^n for a whole n, rounded once; AVX-512 alone, vmath.inc does without
 *   lookup(table, i) the elements of an array of 16 that stand at the places i
 *   evens(a, b)      every other lane of a and then of b, from the first on
 *   transpose(r)     the LANES x LANES matrix whose rows are r[0], ..., r[LANES-1] */
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define NEVER_INLINE __attribute__((noinline))
#define LIKELY(condition) __builtin_expect(condition, 1)
#if defined(__clang__)
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#define UNROLL /* clang does so early enough by itself */
#else
#define INDEPENDENT _Pragma("GCC ivdep") /* a loop: what an iteration writes no other one reads */
#define UNROLL _Pragma("GCC unroll 16")
#endif

#undef T
#undef DTYPE
#undef FN
#undef LANES
#undef V
#undef I
#undef U
#undef M
#undef load
#undef store
#undef stream
#undef stream_end
#undef load_tail
#undef load_tail_or
#undef store_tail
#undef load_bools
#undef store_bools
#undef load_bools_tail
#undef store_bools_tail
#undef set1
#undef madd
#undef vsqrt
#undef vabs
#undef blend
#undef larger
#undef smaller
#undef any
#undef normal
#undef within
#undef within_both
#undef settle
#undef from
#undef below
#undef rounded
#undef floored
#undef scalef
#undef lookup
#undef transpose
#undef evens
#undef tail_mask
#undef load_masked
#undef to_bytes

#if REAL_BITS == 32
#define T float
#define DTYPE WG_F32
#define FN(name) name##_f32 /* the name of this pass's copy of a function */
#else
#define T double
#define DTYPE WG_F64
#define FN(name) name##_f64
#endif

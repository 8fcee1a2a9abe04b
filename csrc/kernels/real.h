/* The dtype of one pass over the kernel sources.  k_<isa>.c includes them once with REAL_BITS 32 and once with 64, so
 * this header has no guard: each pass defines its names anew. */
#undef T
#undef DTYPE
#undef FN

#if REAL_BITS == 32
#define T float
#define DTYPE WG_F32
#define FN(name) name##_f32 /* the name of this pass's copy of a function */
#else
#define T double
#define DTYPE WG_F64
#define FN(name) name##_f64
#endif

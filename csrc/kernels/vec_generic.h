/* The vector vocabulary of the generic ISA: vectors of one lane, so that every kernel source also reads as plain scalar
 * C.  real.h says what the words mean. */
#include "real.h"

#define stream(p, v) store(p, v)
#define stream_end() (void)0

#define LANES 1
#define V T
#define M bool

#define load(p) (*(p))
#define store(p, v) (*(p) = (v))
#define load_bools(p) (*(p) != 0)
#define store_bools(p, m) (*(p) = (m))

/* One lane leaves no tail: these stand in code that never runs. */
#define load_tail(p, n) load(p)
#define load_tail_or(p, n, fill) load(p)
#define store_tail(p, v, n) store(p, v)
#define load_bools_tail(p, n) load_bools(p)
#define store_bools_tail(p, m, n) store_bools(p, m)

#define set1(c) ((T)(c))
#define any(m) (m)
#define blend(m, a, b) ((m) ? (a) : (b))
#define vsqrt(a) ((T)sqrt(a)) /* a float's root rounded from the double's is the correctly rounded one */
#define vabs(a) ((T)fabs(a))
#define larger(a, b) ((a) > (b) ? (a) : (b))
#define smaller(a, b) ((a) < (b) ? (a) : (b))

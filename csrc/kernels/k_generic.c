/* The generic ISA: plain C for every entry of the table.  It is what other ISAs start from and are tested against. */
#include "kernels.h"

#include <math.h>
#include <string.h>

#define VEC "vec_generic.h"
#define KERNELS wg_kernels_generic
#define ISA "generic"
#define GENERIC 1
#define WIDENED 0
#include "isa.inc"

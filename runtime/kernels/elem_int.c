/* elem_int.c: the kernels of int64, uint8 and bool: what PyTorch has for them; the rest of their
 * tables is NULL. Arithmetic wraps, in unsigned numbers. */
#include <math.h>

#include "kernels/kern_priv.h"

#define SIMD _Pragma("omp simd")
#define PASTE_(a, b) a##_##b
#define PASTE(a, b) PASTE_(a, b)
#define S(name) PASTE(name, SUFFIX)

/* A number given as a double, such as a bound of clamp: saturating, NaN 0. */
static int64_t whole(double x) {
  int64_t y;
  sq_kern_cast(1, SQ_F64, &x, 1, SQ_I64, &y, 1);
  return y;
}

/* a^b by squaring; PyTorch's 0 for a negative b, except for a = 1 and -1. */
static int64_t power(int64_t a, int64_t b) {
  if (b < 0) return a == 1 ? 1 : a == -1 ? (b % 2 ? -1 : 1) : 0;
  uint64_t y = 1, factor = (uint64_t)a;
  for (; b > 0; b >>= 1, factor *= factor) {
    if (b & 1) y *= factor;
  }
  return (int64_t)y;
}

#define T int64_t
#define U uint64_t
#define SUFFIX i64
#define LEAST INT64_MIN
#define MOST INT64_MAX
#define NEGATIVE < 0
#define BELOW_0(x) ((x) < 0)
#define WIDTH 64
#include "kernels/int_tmpl.h"
#undef T
#undef U
#undef SUFFIX
#undef LEAST
#undef MOST
#undef NEGATIVE
#undef BELOW_0
#undef WIDTH

#define T uint8_t
#define U uint8_t
#define SUFFIX u8
#define LEAST 0
#define MOST 255
#define NEGATIVE != a /* never */
#define BELOW_0(x) ((x) != (x))
#define WIDTH 8
#include "kernels/int_tmpl.h"
#undef T
#undef U
#undef SUFFIX
#undef LEAST
#undef MOST
#undef NEGATIVE
#undef BELOW_0
#undef WIDTH

#define T uint8_t
#define U uint8_t
#define SUFFIX bool
#include "kernels/elem_run_tmpl.h"
#include "kernels/int_sum_tmpl.h"
#include "kernels/order_tmpl.h"

/* PyTorch's: one of them, and both. */
CORE2(add, a | b)
CORE2(mul, a &b)
CORE1(bit_not, !a)
RUN_ELEM(add, 2, sizeof(T))
RUN_ELEM(mul, 2, sizeof(T))
RUN_ELEM(bit_not, 1, sizeof(T))

static const sq_kern table_bool = {
    .elem = {ORDER_ELEMS, [SQ_ELEM_add] = S(add), [SQ_ELEM_mul] = S(mul),
             [SQ_ELEM_bit_not] = S(bit_not), [SQ_ELEM_sign] = S(copy)},
    SUM_KERNS,
    ORDER_KERNS};

const sq_kern *sq__kern_int(sq_dtype dtype) {
  return dtype == SQ_I64    ? &table_i64
         : dtype == SQ_U8   ? &table_u8
         : dtype == SQ_BOOL ? &table_bool
                            : NULL;
}

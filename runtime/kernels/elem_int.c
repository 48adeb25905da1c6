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

/* --- int64: sums too; those of uint8 and bool are taken as int64 by the caller -------------- */

static void fold(bool product, int64_t outer, int64_t R, int64_t inner, int64_t stride,
                 const int64_t *x, int64_t *y) {
  for (int64_t o = 0; o < outer; o++, y += inner) {
    for (int64_t j = 0; j < inner; j++) y[j] = product;
    for (int64_t r = 0; r < R; r++, x += stride) {
      SIMD for (int64_t j = 0; j < inner; j++) {
        y[j] =
            (int64_t)(product ? (uint64_t)y[j] * (uint64_t)x[j] : (uint64_t)y[j] + (uint64_t)x[j]);
      }
    }
  }
}

static void sum_i64(int64_t outer, int64_t R, int64_t inner, int64_t stride, const void *x,
                    void *y) {
  if (stride != 1) {
    fold(false, outer, R, inner, stride, x, y);
    return;
  }
  const int64_t *from = x;
  for (int64_t o = 0; o < outer; o++, from += R) {
    uint64_t acc = 0;
    for (int64_t r = 0; r < R; r++) acc = (uint64_t)(acc + (uint64_t)from[r]);
    ((int64_t *)y)[o] = (int64_t)acc;
  }
}

static void prod_i64(int64_t outer, int64_t R, int64_t inner, const void *x, void *y) {
  fold(true, outer, R, inner, inner, x, y);
}

static void cumsum_i64(int64_t outer, int64_t R, int64_t inner, bool backwards, const void *x,
                       void *y) {
  const int64_t step = backwards ? -inner : inner;
  for (int64_t o = 0; o < outer; o++) {
    const int64_t first = (o * R + (backwards ? R - 1 : 0)) * inner;
    const int64_t *from = (const int64_t *)x + first;
    int64_t *to = (int64_t *)y + first;
    for (int64_t r = 0; r < R; r++, from += step, to += step) {
      for (int64_t j = 0; j < inner; j++)
        to[j] = (int64_t)(r ? (uint64_t)to[j - step] + (uint64_t)from[j] : (uint64_t)from[j]);
    }
  }
}

#define T int64_t
#define U uint64_t
#define SUFFIX i64
#define LEAST INT64_MIN
#define MOST INT64_MAX
#define NEGATIVE < 0
#define SUMS .sum = sum_i64, .prod = prod_i64, .cumsum = cumsum_i64,
#include "kernels/int_tmpl.h"
#undef T
#undef U
#undef SUFFIX
#undef LEAST
#undef MOST
#undef NEGATIVE
#undef SUMS

#define T uint8_t
#define U uint8_t
#define SUFFIX u8
#define LEAST 0
#define MOST 255
#define NEGATIVE != a /* never */
#define SUMS
#include "kernels/int_tmpl.h"
#undef T
#undef U
#undef SUFFIX
#undef LEAST
#undef MOST
#undef NEGATIVE
#undef SUMS

#define T uint8_t
#define U uint8_t
#define SUFFIX bool
#include "kernels/elem_run_tmpl.h"
#include "kernels/order_tmpl.h"

/* PyTorch's: one of them, and both. */
CORE2(add, a | b)
CORE2(mul, a &b)
RUN_ELEM(add, 2, sizeof(T))
RUN_ELEM(mul, 2, sizeof(T))

static const sq_kern table_bool = {
    .elem = {ORDER_ELEMS, [SQ_ELEM_add] = S(add), [SQ_ELEM_mul] = S(mul)}, ORDER_KERNS};

const sq_kern *sq__kern_int(sq_dtype dtype) {
  return dtype == SQ_I64    ? &table_i64
         : dtype == SQ_U8   ? &table_u8
         : dtype == SQ_BOOL ? &table_bool
                            : NULL;
}

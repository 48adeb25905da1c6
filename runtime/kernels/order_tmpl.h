/* order_tmpl.h: what every type without NaN has, bool too: copies, comparisons, the greater and the
 * less. */
#include "kernels/where_tmpl.h"

CORE1(copy, a)
CORE1(zero, a & 0)
CORE2(maximum, a > b ? a : b)
CORE2(minimum, a < b ? a : b)
CORE2(bit_and, a &b)
CORE2(bit_or, a | b)
CORE2(bit_xor, a ^ b)
TEST2(eq, a == b)
TEST2(ne, a != b)
TEST2(lt, a < b)
TEST2(le, a <= b)
TEST2(gt, a > b)
TEST2(ge, a >= b)
TEST1(isnan, a & 0)
TEST1(isinf, a & 0)
TEST1(isfinite, a | 1 ? 1 : 0)
TEST1(logical_not, a == 0)
TEST1(nonzero_mask, a != 0)

RUN_ELEM(copy, 1, sizeof(T))
RUN_ELEM(zero, 1, sizeof(T))
RUN_ELEM(maximum, 2, sizeof(T))
RUN_ELEM(minimum, 2, sizeof(T))
RUN_ELEM(bit_and, 2, sizeof(T))
RUN_ELEM(bit_or, 2, sizeof(T))
RUN_ELEM(bit_xor, 2, sizeof(T))
RUN_ELEM(eq, 2, 1)
RUN_ELEM(ne, 2, 1)
RUN_ELEM(lt, 2, 1)
RUN_ELEM(le, 2, 1)
RUN_ELEM(gt, 2, 1)
RUN_ELEM(ge, 2, 1)
RUN_ELEM(isnan, 1, 1)
RUN_ELEM(isinf, 1, 1)
RUN_ELEM(isfinite, 1, 1)
RUN_ELEM(logical_not, 1, 1)
RUN_ELEM(nonzero_mask, 1, 1)

/* The first of equals wins. */
static void S(extreme)(bool greatest, int64_t outer, int64_t R, int64_t inner, const T *x, T *y,
                       int64_t *where) {
  for (int64_t o = 0; o < outer; o++, x += R * inner) {
    for (int64_t j = 0; j < inner; j++) {
      int64_t best = 0;
      for (int64_t r = 1; r < R; r++) {
        const T a = x[r * inner + j], b = x[best * inner + j];
        if (greatest ? a > b : a < b) best = r;
      }
      y[o * inner + j] = x[best * inner + j];
      if (where) where[o * inner + j] = best;
    }
  }
}

static void S(max)(int64_t outer, int64_t R, int64_t inner, const void *x, void *y,
                   int64_t *where) {
  S(extreme)(true, outer, R, inner, x, y, where);
}

static void S(min)(int64_t outer, int64_t R, int64_t inner, const void *x, void *y,
                   int64_t *where) {
  S(extreme)(false, outer, R, inner, x, y, where);
}

#ifndef ORDER_KERNS
#define ORDER_ELEMS                                                                         \
  [SQ_ELEM_copy] = S(copy), [SQ_ELEM_zero] = S(zero), [SQ_ELEM_maximum] = S(maximum),       \
  [SQ_ELEM_minimum] = S(minimum), [SQ_ELEM_eq] = S(eq), [SQ_ELEM_ne] = S(ne),               \
  [SQ_ELEM_lt] = S(lt), [SQ_ELEM_le] = S(le), [SQ_ELEM_gt] = S(gt), [SQ_ELEM_ge] = S(ge),   \
  [SQ_ELEM_isnan] = S(isnan), [SQ_ELEM_isinf] = S(isinf), [SQ_ELEM_isfinite] = S(isfinite), \
  [SQ_ELEM_logical_not] = S(logical_not), [SQ_ELEM_nonzero_mask] = S(nonzero_mask),         \
  [SQ_ELEM_bit_and] = S(bit_and), [SQ_ELEM_bit_or] = S(bit_or), [SQ_ELEM_bit_xor] = S(bit_xor)
#define ORDER_KERNS .max = S(max), .min = S(min), .where = S(where)
#endif

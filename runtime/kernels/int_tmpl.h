/* int_tmpl.h: the kernels of one integer type T (U: unsigned, of its width), from LEAST to MOST;
 * NEGATIVE is its test for being below 0. */
#include "kernels/elem_run_tmpl.h"
#include "kernels/int_sum_tmpl.h"
#include "kernels/order_tmpl.h"
#define SUM U
#include "kernels/index_tmpl.h"
#undef SUM

/* clang-format off */
CORE1(neg, (U)0 - (U)a)
CORE2(add, (U)a + (U)b)
CORE2(sub, (U)a - (U)b)
CORE2(mul, (U)a * (U)b)
CORE1(square, (U)a * (U)a)
CORE1(abs, a NEGATIVE ? (U)0 - (U)a : (U)a)
CORE1(sign, (a > 0) - (a NEGATIVE))
CORE1(relu, a NEGATIVE ? 0 : a)
CORE1(floor, a)
CORE1(ceil, a)
CORE1(round, a)
CORE2P(add_scaled, const U p0 = (U)whole(p[0]);, (U)a + p0 * (U)b)
CORE1P(scale, const U p0 = (U)whole(p[0]);, p0 * (U)a)
/* clang-format on */

static T S(bound)(double x) {
  const int64_t y = whole(x);
  return y < LEAST ? LEAST : y > MOST ? MOST : (T)y;
}
/* clang-format off */
CORE1P(clamp, const T p0 = S(bound)(ceil(p[0])); const T p1 = S(bound)(floor(p[1]));
       , a < p0 ? (p0 < p1 ? p0 : p1) : a > p1 ? p1 : a)
CORE2(pow, power((int64_t)a, (int64_t)b))
CORE1P(pow_scalar, const int64_t p0 = whole(p[0]);, power((int64_t)a, p0))
/* clang-format on */

RUN_ELEM(neg, 1, sizeof(T))
RUN_ELEM(add, 2, sizeof(T))
RUN_ELEM(sub, 2, sizeof(T))
RUN_ELEM(mul, 2, sizeof(T))
RUN_ELEM(square, 1, sizeof(T))
RUN_ELEM(abs, 1, sizeof(T))
RUN_ELEM(sign, 1, sizeof(T))
RUN_ELEM(relu, 1, sizeof(T))
RUN_ELEM(floor, 1, sizeof(T))
RUN_ELEM(ceil, 1, sizeof(T))
RUN_ELEM(round, 1, sizeof(T))
RUN_ELEM(add_scaled, 2, sizeof(T))
RUN_ELEM(scale, 1, sizeof(T))
RUN_ELEM(clamp, 1, sizeof(T))
RUN_ELEM(pow, 2, sizeof(T))
RUN_ELEM(pow_scalar, 1, sizeof(T))

static const sq_kern S(table) = {
    .elem =
        {ORDER_ELEMS, [SQ_ELEM_neg] = S(neg), [SQ_ELEM_add] = S(add), [SQ_ELEM_sub] = S(sub),
         [SQ_ELEM_mul] = S(mul), [SQ_ELEM_square] = S(square), [SQ_ELEM_abs] = S(abs),
         [SQ_ELEM_sign] = S(sign), [SQ_ELEM_relu] = S(relu), [SQ_ELEM_floor] = S(floor),
         [SQ_ELEM_ceil] = S(ceil), [SQ_ELEM_round] = S(round), [SQ_ELEM_add_scaled] = S(add_scaled),
         [SQ_ELEM_scale] = S(scale), [SQ_ELEM_clamp] = S(clamp), [SQ_ELEM_pow] = S(pow),
         [SQ_ELEM_pow_scalar] = S(pow_scalar)},
    .add_at = S(add_at),
    SUM_KERNS,
    ORDER_KERNS,
};

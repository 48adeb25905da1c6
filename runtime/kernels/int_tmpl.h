/* int_tmpl.h: the kernels of one integer type T (U: unsigned, of its width), from LEAST to MOST;
 * WIDTH bits wide; NEGATIVE
 * and BELOW_0 are its test for being below 0. */
#define MINUS_1(b) (BELOW_0(b) && (b) == (T)-1)
#define OPPOSITE(a, b) (BELOW_0(a) != BELOW_0(b))
#define OUTSIDE(b) (BELOW_0(b) || (b) >= WIDTH)
#define MOST_SHIFT (WIDTH - ((T)-1 < (T)1)) /* one less where there is a sign */
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
/* Of 0 and INT64_MIN / -1, which C leaves open: 0, and what wraps. */
CORE2(fmod, b == 0 || MINUS_1(b) ? 0 : a % b)
CORE2(div_trunc, b == 0 ? 0 : MINUS_1(b) ? (U)0 - (U)a : (U)(a / b))
CORE2(remainder, b == 0 || MINUS_1(b) ? 0 : a % b != 0 && OPPOSITE(a, b) ? a % b + b : a % b)
CORE2(div_floor, b == 0 ? 0 : MINUS_1(b) ? (U)0 - (U)a :
                 (U)(a / b - (a % b != 0 && OPPOSITE(a, b))))
CORE1(bit_not, ~a)
CORE2(shift_left, OUTSIDE(b) ? 0 : (U)a << b)
CORE2(shift_right, a >> (OUTSIDE(b) ? MOST_SHIFT : b))
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
RUN_ELEM(fmod, 2, sizeof(T))
RUN_ELEM(div_trunc, 2, sizeof(T))
RUN_ELEM(remainder, 2, sizeof(T))
RUN_ELEM(div_floor, 2, sizeof(T))
RUN_ELEM(bit_not, 1, sizeof(T))
RUN_ELEM(shift_left, 2, sizeof(T))
RUN_ELEM(shift_right, 2, sizeof(T))
RUN_ELEM(pow, 2, sizeof(T))
RUN_ELEM(pow_scalar, 1, sizeof(T))

static const sq_kern S(table) = {
    .elem = {ORDER_ELEMS,
             [SQ_ELEM_neg] = S(neg),
             [SQ_ELEM_add] = S(add),
             [SQ_ELEM_sub] = S(sub),
             [SQ_ELEM_mul] = S(mul),
             [SQ_ELEM_square] = S(square),
             [SQ_ELEM_abs] = S(abs),
             [SQ_ELEM_sign] = S(sign),
             [SQ_ELEM_relu] = S(relu),
             [SQ_ELEM_floor] = S(floor),
             [SQ_ELEM_ceil] = S(ceil),
             [SQ_ELEM_round] = S(round),
             [SQ_ELEM_add_scaled] = S(add_scaled),
             [SQ_ELEM_scale] = S(scale),
             [SQ_ELEM_clamp] = S(clamp),
             [SQ_ELEM_pow] = S(pow),
             [SQ_ELEM_pow_scalar] = S(pow_scalar),
             [SQ_ELEM_fmod] = S(fmod),
             [SQ_ELEM_div_trunc] = S(div_trunc),
             [SQ_ELEM_remainder] = S(remainder),
             [SQ_ELEM_div_floor] = S(div_floor),
             [SQ_ELEM_bit_not] = S(bit_not),
             [SQ_ELEM_shift_left] = S(shift_left),
             [SQ_ELEM_shift_right] = S(shift_right)},
    .add_at = S(add_at),
    SUM_KERNS,
    ORDER_KERNS,
};

#undef MINUS_1
#undef OPPOSITE
#undef OUTSIDE
#undef MOST_SHIFT

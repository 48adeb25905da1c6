/* kernels_oracle.h: what every elementwise kernel of kern.def computes, in long double and as
 * plainly as it can be said. O(name, tolerance, scale, value): |kernel - value| <= tolerance eps
 * (|value| + scale), where scale is the size of what cancels on the way. a, b, c, d are the inputs,
 * p0 and p1 the numbers. */
#ifndef SEQRT_SPEC_KERNELS_ORACLE_H
#define SEQRT_SPEC_KERNELS_ORACLE_H

#include <math.h>
#include <stdbool.h>

typedef long double real;

typedef struct oracle_result {
  real value, scale;
  double tolerance;
} oracle_result;

static inline real o_sign(real x) { return (real)(x > 0) - (real)(x < 0); }
static inline real o_sigmoid(real x) {
  return x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x));
}
static inline real o_area(real x) { return 0.5L * erfcl(-x * sqrtl(0.5L)); }
static inline real o_density(real x) {
  return expl(-0.5L * x * x) / sqrtl(2 * 3.14159265358979323846264L);
}
static inline real o_inner(real x) {
  return sqrtl(2 / 3.14159265358979323846264L) * (x + 0.044715L * x * x * x);
}
static inline real o_floor100(real x) { return x < -100 ? -100 : x; }
static inline real o_max(real a, real b) { return isnan(a) || a > b ? a : b; }
static inline real o_min(real a, real b) { return isnan(a) || a < b ? a : b; }
/* a / b rounded once, to the type of its operands: what is cut off afterwards depends on it. */
static inline real o_quotient(real a, real b) {
  const bool narrow = (real)(float)a == a && (real)(float)b == b;
  return narrow ? (real)((float)a / (float)b) : (real)((double)a / (double)b);
}
static inline real o_mod(real a, real b) {
  const real m = fmodl(a, b);
  return m != 0 && (b < 0) != (m < 0) ? m + b : m;
}
static inline real o_floor_div(real a, real b) {
  const real m = fmodl(a, b), q = (a - m) / b - (m != 0 && (b < 0) != (m < 0));
  return b == 0 ? a / b : q == 0 ? copysignl(0, a / b) : roundl(q);
}
static inline real o_gelu_tanh_slope(real x) {
  const real t = tanhl(o_inner(x)),
             di = sqrtl(2 / 3.14159265358979323846264L) * (1 + 3 * 0.044715L * x * x);
  return 0.5L * (1 + t) + 0.5L * x * (1 - t * t) * di;
}

#define O(name, tol, size, expr)                                              \
  static inline oracle_result oracle_##name(const real *v, const double *p) { \
    const real a = v[0], b = v[1], c = v[2], d = v[3], p0 = p[0], p1 = p[1];  \
    (void)a, (void)b, (void)c, (void)d, (void)p0, (void)p1;                   \
    const oracle_result r = {(expr), (size), (tol)};                          \
    return r;                                                                 \
  }

/* The formatter takes products for pointers. */
/* clang-format off */
O(copy, 0, 0, a)
O(neg, 0, 0, -a)
O(add, 0.51, 0, a + b)
O(sub, 0.51, 0, a - b)
O(mul, 0.51, 0, a * b)
O(div, 0.51, 0, a / b)
O(div_back_b, 2, 0, -a * c / b)
O(add_scaled, 1, fabsl(p0 * b), a + p0 * b)
O(scale, 0.51, 0, p0 * a)
O(square, 0.51, 0, a * a)
O(square_back, 1, 0, 2 * a * b)
O(pow, 2, 0, powl(a, b))
O(pow_back_a, 64, 0, c == 0 ? 0 : a * c * powl(b, c - 1))
O(pow_back_b, 4, 0, b == 0 && c >= 0 ? 0 : a * d * logl(b))
O(pow_scalar, 2, 0, p0 == 0.5 ? sqrtl(a) : p0 == -0.5 ? 1 / sqrtl(a) : powl(a, p0))
O(pow_scalar_back, 8, 0,
  p0 == 0     ? 0
  : p0 == 0.5 ? a * 0.5L / sqrtl(b)
  : p0 == 1   ? a
              : a * (p0 * powl(b, p0 - 1)))
O(reciprocal, 0.51, 0, 1 / a)
O(reciprocal_back, 2, 0, -a * b * b)
O(sqrt, 0.51, 0, sqrtl(a))
O(sqrt_back, 2, 0, a / (2 * b))
O(rsqrt, 2, 0, 1 / sqrtl(a))
O(rsqrt_back, 3, 0, -0.5L * a * b * b * b)
O(abs, 0, 0, fabsl(a))
O(abs_back, 0, 0, a * o_sign(b))
O(sign, 0, 0, o_sign(a))
O(floor, 0, 0, floorl(a))
O(ceil, 0, 0, ceill(a))
O(round, 0, 0, rintl(a))
O(remainder, 0.51, 0, o_mod(a, b))
O(remainder_back_b, 3, 0, -a * o_floor_div(b, c))
O(fmod, 0, 0, fmodl(a, b))
O(fmod_back_b, 0.51, 0, -a * truncl(o_quotient(b, c)))
O(div_floor, 2, 0, o_floor_div(a, b))
O(div_trunc, 0, 0, truncl(o_quotient(a, b)))
O(zero, 0, 0, 0)
O(maximum, 0, 0, o_max(a, b))
O(minimum, 0, 0, o_min(a, b))
O(maximum_back, 0, 0, isnan(b) || isnan(c) || b > c ? a : b == c ? a / 2 : 0)
O(minimum_back, 0, 0, isnan(b) || isnan(c) || b < c ? a : b == c ? a / 2 : 0)
O(clamp, 0, 0, a < p0 ? p0 : a > p1 ? p1 : a)
O(clamp_back, 0, 0, (b > p0 || p0 == -INFINITY) && (b < p1 || p1 == INFINITY) && !isnan(b) ? a : 0)
O(between_back_x, 0, 0,
  c == d             ? (b == c ? a : 0 * a)
  : c < b && b < d   ? a
  : c < d && (b == c || b == d) ? a / 2
                                : 0 * a)
O(between_back_low, 0, 0, c <= d && b < c ? a : c < d && b == c ? a / 2 : 0 * a)
O(between_back_high, 0, 0, c > d || b > d ? a : c < d && b == d ? a / 2 : 0 * a)
O(lerp, 3, fabsl(a) + fabsl(b) + fabsl(c * (b - a)),
  c < 0.5L ? a + c * (b - a) : b - (1 - c) * (b - a))
O(lerp_back_a, 2, fabsl(a), a * (1 - b))
O(lerp_back_c, 2, 0, a * (c - b))
O(exp, 2, 0, expl(a))
O(log, 2, 0, logl(a))
O(log1p, 2, 0, log1pl(a))
O(log1p_back, 2, 0, a / (1 + b))
O(expm1, 2, 0, expm1l(a))
O(expm1_back, 2, fabsl(a), a * (b + 1))
O(sin, 1, 0, sinl(a))
O(sin_back, 2, 0, a * cosl(b))
O(cos, 1, 0, cosl(a))
O(cos_back, 2, 0, -a * sinl(b))
O(atan, 2, 0, atanl(a))
O(atan_back, 2, 0, a / (1 + b * b))
O(erf, 2, 0, erfl(a))
O(erf_back, 24, 0, a * (2 / sqrtl(3.14159265358979323846264L)) * expl(-b * b))
O(tanh, 3, 0, tanhl(a))
O(tanh_back, 2, fabsl(a), a * (1 - b * b))
O(sigmoid, 2, 0, o_sigmoid(a))
O(sigmoid_back, 2, fabsl(a * b), a * b * (1 - b))
O(relu, 0, 0, isnan(a) || a > 0 ? a : 0)
O(relu_back, 0, 0, b <= 0 ? 0 : a)
O(leaky_relu, 0.51, 0, a > 0 ? a : p0 * a)
O(leaky_relu_back, 0.51, 0, b > 0 ? a : p0 * a)
O(elu, 3, 0, a > 0 ? a : p0 * expm1l(a))
O(elu_back, 3, 0, b > 0 ? a : a * (p0 * expl(b)))
O(gelu, 4, fabsl(a), a * o_area(a))
O(gelu_back, 8, 4 * fabsl(a), a * (o_area(b) + b * o_density(b)))
O(gelu_tanh, 4, fabsl(a), 0.5L * a * (1 + tanhl(o_inner(a))))
O(gelu_tanh_back, 32, 4 * fabsl(a), a * o_gelu_tanh_slope(b))
O(silu, 3, fabsl(a) * 1e-30L, a * o_sigmoid(a))
O(silu_back, 8, 4 * fabsl(a), a * (o_sigmoid(b) * (1 + b * (1 - o_sigmoid(b)))))
O(softplus, 6, 1, p0 * a > p1 ? a : log1pl(expl(p0 * a)) / p0)
O(softplus_back, 12, 0, p0 * b > p1 ? a : a * o_sigmoid(p0 * b))
O(bce, 4, fabsl(b) * 4 + 4, (b - 1) * o_floor100(log1pl(-a)) - b * o_floor100(logl(a)))
O(bce_back, 8, 0, a * ((b - c) / ((1 - b) * b < 1e-12L ? 1e-12L : (1 - b) * b)))
O(bce_logits, 4, fabsl(a) + fabsl(a * b),
  (isnan(a) || a > 0 ? a : 0) - a * b + log1pl(expl(-fabsl(a))))
O(bce_logits_back, 4, fabsl(a), a * (o_sigmoid(b) - c))
O(squared_error, 2, 0, (a - b) * (a - b))
O(squared_error_back, 2, 0, 2 * a * (b - c))
O(absolute_error, 0.51, 0, fabsl(a - b))
O(absolute_error_back, 0, 0, a * o_sign(b - c))
O(smooth_l1, 3, fabsl(p0),
  fabsl(a - b) < p0 ? 0.5L * (a - b) * (a - b) / p0 : fabsl(a - b) - 0.5L * p0)
O(smooth_l1_back, 2, 0, a * (fabsl(b - c) < p0 ? (b - c) / p0 : o_sign(b - c)))
O(eq, 0, 0, a == b)
O(ne, 0, 0, a != b)
O(lt, 0, 0, a < b)
O(le, 0, 0, a <= b)
O(gt, 0, 0, a > b)
O(ge, 0, 0, a >= b)
O(isnan, 0, 0, isnan(a) != 0)
O(isinf, 0, 0, isinf(a) != 0)
O(isfinite, 0, 0, isfinite(a) != 0)
O(logical_not, 0, 0, a == 0)
O(nonzero_mask, 0, 0, a != 0)
#undef O

#endif

/* elem_tmpl.h: the elementwise kernels, one expression each: a, b, c, d are the inputs, p0 and p1
 * the numbers. The formulas are those of kern.def. The formatter takes their products for pointers:
 * it leaves this file alone. */
/* clang-format off */

/* --- arithmetic ----------------------------------------------------------------------------- */
CORE1(copy, a)
CORE1(neg, -a)
CORE2(add, a + b)
CORE2(sub, a - b)
CORE2(mul, a * b)
CORE2(div, a / b)
CORE3(div_back_b, -a * c / b)
CORE2P(add_scaled, P0, a + p0 * b)
CORE1P(scale, P0, p0 * a)
CORE1(square, a * a)
CORE2(square_back, K(2) * a * b)
CORE2(pow, S(mpow)(a, b))
CORE3(pow_back_a, c == 0 ? K(0) : a * c * S(mpow)(b, c - K(1)))
CORE4(pow_back_b, b == 0 && c >= 0 ? K(0) : a * d * S(mlog)(b))
CORE1(reciprocal, K(1) / a)
CORE2(reciprocal_back, -a * b * b)
CORE1(sqrt, SQRT(a))
CORE2(sqrt_back, a / (K(2) * b))
CORE1(rsqrt, K(1) / SQRT(a))
CORE2(rsqrt_back, K(-0.5) * a * b * b * b)
CORE1(abs, FABS(a))
CORE2(abs_back, a * ((b > 0 ? K(1) : K(0)) - (b < 0 ? K(1) : K(0))))
CORE1(sign, (a > 0 ? K(1) : K(0)) - (a < 0 ? K(1) : K(0)))
CORE1(floor, FLOOR(a))
CORE1(ceil, CEIL(a))
CORE1(round, RINT(a))
INLINE T S(floored_mod)(T a, T b) {
  T mod = FMOD(a, b);
  return (mod != 0) & ((b < 0) != (mod < 0)) ? mod + b : mod;
}
/* The quotient is whole but for its rounding, which the last line takes back. */
INLINE T S(floored_div)(T a, T b) {
  T mod = FMOD(a, b), q = (a - mod) / b;
  if ((mod != 0) & ((b < 0) != (mod < 0))) q -= K(1);
  T whole = FLOOR(q);
  if (q - whole > K(0.5)) whole += K(1);
  return b == 0 ? a / b : q == 0 ? COPYSIGN(K(0), a / b) : whole;
}
CORE2(remainder, S(floored_mod)(a, b))
CORE3(remainder_back_b, -a * S(floored_div)(b, c))
CORE2(fmod, FMOD(a, b))
CORE3(fmod_back_b, -a * TRUNC(b / c))
CORE2(div_floor, S(floored_div)(a, b))
CORE2(div_trunc, TRUNC(a / b))
CORE1(zero, a != a ? K(0) : K(0))
CORE2(maximum, (a > b) | (a != a) ? a : b)
CORE2(minimum, (a < b) | (a != a) ? a : b)
CORE3(maximum_back, (b > c) | (b != b) | (c != c) ? a : (b == c ? K(0.5) * a : K(0)))
CORE3(minimum_back, (b < c) | (b != b) | (c != c) ? a : (b == c ? K(0.5) * a : K(0)))

INLINE T S(clamped)(T a, T least, T most) {
  a = a < least ? least : a;
  return a > most ? most : a;
}
CORE1P(clamp, P1, S(clamped)(a, p0, p1))
/* An infinite bound is none. */
CORE2P(clamp_back, P1,
       ((b > p0) | (p0 == -K(INFINITY))) & ((b < p1) | (p1 == K(INFINITY))) & (b == b) ? a : K(0))

INLINE T S(inside_share)(T x, T low, T high) {
  if (low == high) return x == low ? K(1) : K(0);
  return (low < x) & (x < high) ? K(1) : (low < high) & ((x == low) | (x == high)) ? K(0.5) : K(0);
}
INLINE T S(low_share)(T x, T low, T high) {
  return (low <= high) & (x < low) ? K(1) : (low < high) & (x == low) ? K(0.5) : K(0);
}
INLINE T S(high_share)(T x, T low, T high) {
  return (low > high) | (x > high) ? K(1) : (low < high) & (x == high) ? K(0.5) : K(0);
}
CORE4(between_back_x, a * S(inside_share)(b, c, d))
CORE4(between_back_low, a * S(low_share)(b, c, d))
CORE4(between_back_high, a * S(high_share)(b, c, d))

/* From the nearer end, as PyTorch: c = 0 gives a and c = 1 gives b, exactly. */
CORE3(lerp, c < K(0.5) ? a + c * (b - a) : b - (K(1) - c) * (b - a))
CORE2(lerp_back_a, a * (K(1) - b))
CORE3(lerp_back_c, a * (c - b))

/* The exponents that PyTorch treats apart are exact. */
CORE1P(power, P0, S(mpow)(a, p0))
CORE1(power_1, a == a ? K(1) : K(1))
CORE1(power_3, a * a * a)
CORE1(power_m2, K(1) / (a * a))

static void S(core_pow_scalar)(int64_t n, const void *const *in, void *out, const double *p) {
  elem_core *core = p[0] == 0      ? S(core_power_1)
                    : p[0] == 0.5  ? S(core_sqrt)
                    : p[0] == 1    ? S(core_copy)
                    : p[0] == 2    ? S(core_square)
                    : p[0] == 3    ? S(core_power_3)
                    : p[0] == -1   ? S(core_reciprocal)
                    : p[0] == -2   ? S(core_power_m2)
                    : p[0] == -0.5 ? S(core_rsqrt)
                                   : S(core_power);
  core(n, in, out, p);
}

CORE2P(power_back, P0, a * (p0 * S(mpow)(b, p0 - K(1))))
CORE2(power_back_half, a * (K(0.5) / SQRT(b)))
CORE2(power_back_3, a * (K(3) * (b * b)))
CORE2(power_back_m1, -a / (b * b))

static void S(core_pow_scalar_back)(int64_t n, const void *const *in, void *out, const double *p) {
  elem_core *core = p[0] == 0     ? S(core_zero)
                    : p[0] == 0.5 ? S(core_power_back_half)
                    : p[0] == 1   ? S(core_copy)
                    : p[0] == 2   ? S(core_square_back)
                    : p[0] == 3   ? S(core_power_back_3)
                    : p[0] == -1  ? S(core_power_back_m1)
                                  : S(core_power_back);
  core(n, in, out, p);
}

/* --- transcendental ------------------------------------------------------------------------- */
CORE1(exp, S(mexp)(a))
CORE1(log, S(mlog)(a))
CORE1(log1p, S(mlog1p)(a))
CORE2(log1p_back, a / (K(1) + b))
CORE1(expm1, S(mexpm1)(a))
CORE2(expm1_back, a * (b + K(1)))

#if BITS == 32
/* Blocks whose angles (input `angle`) are all near 0 vectorise; others, and NaN, go to libm. */
static void S(by_angle)(elem_core *near, elem_core *far, int angle, int64_t n,
                        const void *const *in, void *out) {
  for (int64_t i = 0; i < n; i += SQ_ELEM_BLOCK) {
    const int64_t count = n - i < SQ_ELEM_BLOCK ? n - i : SQ_ELEM_BLOCK;
    const T *x = (const T *)in[angle] + i;
    int outside = 0;
    for (int64_t j = 0; j < count; j++) outside |= !(FABS(x[j]) <= K(NEAR));
    const void *part[2] = {(const T *)in[0] + i, angle ? x : NULL};
    (outside ? far : near)(count, part, (T *)out + i, NULL);
  }
}

#define WAVE(name, angle, near_expr, far_expr, CORE_N)                                       \
  CORE_N(name##_near, near_expr)                                                             \
  CORE_N(name##_far, far_expr)                                                               \
  static void S(core_##name)(int64_t n, const void *const *in, void *out, const double *p) { \
    (void)p;                                                                                 \
    S(by_angle)(S(core_##name##_near), S(core_##name##_far), angle, n, in, out);             \
  }
WAVE(sin, 0, S(wave)(a, 0), S(msin)(a), CORE1)
WAVE(sin_back, 1, a * S(wave)(b, 1), a * S(mcos)(b), CORE2)
WAVE(cos, 0, S(wave)(a, 1), S(mcos)(a), CORE1)
WAVE(cos_back, 1, -a * S(wave)(b, 0), -a * S(msin)(b), CORE2)
#else
CORE1(sin, sin(a))
CORE2(sin_back, a * cos(b))
CORE1(cos, cos(a))
CORE2(cos_back, -a * sin(b))
#endif

CORE1(atan, S(matan)(a))
CORE2(atan_back, a / (K(1) + b * b))
CORE1(erf, S(merf)(a))
CORE2(erf_back, a * (K(1.12837916709551257390) * S(mexp)(-b * b)))

/* --- activations ---------------------------------------------------------------------------- */
CORE1(tanh, S(mtanh)(a))
CORE2(tanh_back, a * (K(1) - b * b))
CORE1(sigmoid, S(msigmoid)(a))
CORE2(sigmoid_back, a * (K(1) - b) * b)
CORE1(relu, (a > 0) | (a != a) ? a : K(0))
CORE2(relu_back, b <= 0 ? K(0) : a)
CORE1P(leaky_relu, P0, a > 0 ? a : p0 * a)
CORE2P(leaky_relu_back, P0, b > 0 ? a : p0 * a)
CORE1P(elu, P0, a > 0 ? a : p0 * S(mexpm1)(a))
CORE2P(elu_back, P0, a * ((b > 0 ? K(1) : p0) * S(mexp)(b > 0 ? K(0) : b)))

#define ROOT_2_PI K(0.79788456080286535588)  /* sqrt(2 / pi) */
#define ROOT_HALF_ K(0.70710678118654752440) /* sqrt(1 / 2) */
#define ONE_ROOT_2PI K(0.39894228040143267794)
#define GELU_CUBE K(0.044715) /* Hendrycks and Gimpel, 2016 */
CORE1(gelu, K(0.5) * a * (K(1) + S(merf)(a * ROOT_HALF_)))

INLINE T S(gelu_slope)(T x) {
  T area = K(0.5) * (K(1) + S(merf)(x * ROOT_HALF_));
  return area + x * (ONE_ROOT_2PI * S(mexp)(K(-0.5) * x * x));
}
CORE2(gelu_back, a * S(gelu_slope)(b))
CORE1(gelu_tanh, K(0.5) * a * (K(1) + S(mtanh)(ROOT_2_PI * (a + GELU_CUBE * a * a * a))))

INLINE T S(gelu_tanh_slope)(T x) {
  T t = S(mtanh)(ROOT_2_PI * (x + GELU_CUBE * x * x * x));
  T inner = ROOT_2_PI * (K(1) + K(3) * GELU_CUBE * x * x);
  return K(0.5) * (K(1) + t) + K(0.5) * x * (K(1) - t * t) * inner;
}
CORE2(gelu_tanh_back, a * S(gelu_tanh_slope)(b))
CORE1(silu, a * S(msigmoid)(a))

INLINE T S(silu_slope)(T x) {
  T s = S(msigmoid)(x);
  return s * (K(1) + x * (K(1) - s));
}
CORE2(silu_back, a * S(silu_slope)(b))
CORE1P(softplus, P1, p0 * a > p1 ? a : S(mlog1p)(S(mexp)(p0 * a)) / p0)
CORE2P(softplus_back, P1, p0 * b > p1 ? a : a * S(msigmoid)(p0 * b))

/* --- losses --------------------------------------------------------------------------------- */
INLINE T S(log_floor)(T x) { return x < K(-100) ? K(-100) : x; }
CORE2(bce, (b - K(1)) * S(log_floor)(S(mlog1p)(-a)) - b * S(log_floor)(S(mlog)(a)))

INLINE T S(bce_slope)(T x, T t) {
  T room = (K(1) - x) * x;
  return (x - t) / (room < K(1e-12) ? K(1e-12) : room);
}
CORE3(bce_back, a * S(bce_slope)(b, c))
CORE2(bce_logits, ((a > 0) | (a != a) ? a : K(0)) - a * b + S(mlog1p)(S(mexp)(-FABS(a))))
CORE3(bce_logits_back, a * (S(msigmoid)(b) - c))
CORE2(squared_error, (a - b) * (a - b))
CORE3(squared_error_back, K(2) * a * (b - c))
CORE2(absolute_error, FABS(a - b))
CORE3(absolute_error_back, a * ((b > c ? K(1) : K(0)) - (b < c ? K(1) : K(0))))

INLINE T S(smooth)(T d, T beta) { return d < beta ? K(0.5) * d * d / beta : d - K(0.5) * beta; }
INLINE T S(smooth_slope)(T d, T beta) {
  T sign = (d > 0 ? K(1) : K(0)) - (d < 0 ? K(1) : K(0));
  return FABS(d) < beta ? d / beta : sign;
}
CORE2P(smooth_l1, P0, S(smooth)(FABS(a - b), p0))
CORE3P(smooth_l1_back, P0, a * S(smooth_slope)(b - c, p0))

/* --- tests ---------------------------------------------------------------------------------- */
TEST2(eq, a == b)
TEST2(ne, a != b)
TEST2(lt, a < b)
TEST2(le, a <= b)
TEST2(gt, a > b)
TEST2(ge, a >= b)
TEST1(isnan, a != a)
TEST1(isinf, FABS(a) == K(INFINITY))
TEST1(isfinite, FABS(a) < K(INFINITY))
TEST1(logical_not, a == 0)
TEST1(nonzero_mask, a != 0)

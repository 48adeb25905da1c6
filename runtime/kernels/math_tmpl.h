/* math_tmpl.h: exp, log, tanh and their kin, branch-free so that loops over them vectorise. NaN
 * gives NaN, infinities and subnormals give what the function does. Polynomials are Chebyshev fits
 * of the function named beside them, made with 60 digits; the splitting of ln 2 is Cody and
 * Waite's. */

#if BITS == 32
#define MANTISSA 23
#define BIAS 127u
#define MAGIC K(12582912.0)   /* 1.5 2^23: adding it rounds to an integer, found in the low bits */
#define ONE_BITS 0x3f800000u  /* 1 */
#define ROOT_HALF 0x3f3504f3u /* sqrt(1/2) */
#define MANTISSA_BITS 0x7fffffu
#define COUNT_BITS 0x4b000000u /* 2^23: | n makes 2^23 + n */
#define COUNT_ONE K(8388608.0)
#define LEAST_NORMAL K(0x1p-126)
#define LN2_HI K(0.693145751953125) /* 16 bits: n LN2_HI is exact */
#define LN2_LO K(1.42860682031e-6)
#define EXP_LEAST K(-104.5) /* below: 0 */
#define EXP_MOST K(89)      /* above: Inf */
#define EXPM1_LEAST K(-20)  /* below: -1 */
#define FAR 64
#define FAR_DOWN K(-60)
#else
#define MANTISSA 52
#define BIAS 1023u
#define MAGIC K(6755399441055744.0)
#define ONE_BITS 0x3ff0000000000000u
#define ROOT_HALF 0x3fe6a09e667f3bcdu
#define MANTISSA_BITS 0xfffffffffffffu
#define COUNT_BITS 0x4330000000000000u
#define COUNT_ONE K(4503599627370496.0)
#define LEAST_NORMAL K(0x1p-1022)
#define LN2_HI K(0x1.62e42fefa38p-1) /* 42 bits */
#define LN2_LO K(0x1.ef35793c7673p-45)
#define EXP_LEAST K(-746)
#define EXP_MOST K(710)
#define EXPM1_LEAST K(-40)
#define FAR 128
#define FAR_DOWN K(-600)
#endif
#define LOG2E K(1.4426950408889634074)

INLINE U S(bits)(T x) {
  U u;
  memcpy(&u, &x, sizeof u);
  return u;
}

INLINE T S(from_bits)(U u) {
  T x;
  memcpy(&x, &u, sizeof x);
  return x;
}

/* x = n ln 2 + r, |r| <= ln 2 / 2. Returns e^r - 1; *k << MANTISSA is n in the exponent's place. */
INLINE T S(exp_reduced)(T x, U *k) {
  const T rounded = FMA(x, LOG2E, MAGIC), count = rounded - MAGIC;
  *k = S(bits)(rounded);
  T r = FMA(count, -LN2_HI, x);
  r = FMA(count, -LN2_LO, r);
#if BITS == 32 /* (e^r - 1 - r) / r^2; error 7e-8 */
  T q = K(0.001392626805);
  q = FMA(q, r, K(0.00836324667));
  q = FMA(q, r, K(0.04166655411));
  q = FMA(q, r, K(0.1666657658));
  q = FMA(q, r, K(0.5));
#else /* error 1e-16 */
  T q = K(2.510049478890504049e-8);
  q = FMA(q, r, K(2.762023056750689789e-7));
  q = FMA(q, r, K(2.755726822996322566e-6));
  q = FMA(q, r, K(0.0000248015209968256958));
  q = FMA(q, r, K(0.0001984126986320182839));
  q = FMA(q, r, K(0.001388888891740644563));
  q = FMA(q, r, K(0.008333333333330032124));
  q = FMA(q, r, K(0.04166666666662374155));
  q = FMA(q, r, K(0.1666666666666666746));
  q = FMA(q, r, K(0.5));
#endif
  return FMA(r * r, q, r);
}

/* 2^n, with n as exp_reduced gives it. */
INLINE T S(pow2)(U k) { return S(from_bits)((k << MANTISSA) + ONE_BITS); }

/* e^x where 2^n is a normal number. */
INLINE T S(exp_mid)(T x) {
  U k;
  const T m = S(exp_reduced)(x, &k);
  return (K(1) + m) * S(pow2)(k);
}

/* e^x for x <= EXP_MOST, as ((1 + m) 2^(n-1+far)) 2^(1-far), far = 0 or, far down, FAR: the
 * greatest n has a power, and only the last product rounds in the subnormals. A mask, since the
 * compiler makes two paths of a condition. */
INLINE T S(exp_low)(T x) {
  const T c = x < EXP_LEAST ? EXP_LEAST : x;
  const U far = ((U)0 - (U)(c < FAR_DOWN)) & ((U)FAR << MANTISSA);
  U k;
  const T m = S(exp_reduced)(c, &k);
  const T scale = S(from_bits)((k << MANTISSA) + (far + (ONE_BITS - ((U)1 << MANTISSA))));
  return (K(1) + m) * scale * S(from_bits)((ONE_BITS + ((U)1 << MANTISSA)) - far);
}

INLINE T S(mexp)(T x) { return S(exp_low)(x > EXP_MOST ? EXP_MOST : x); }

/* 2^n (e^r - 1) + (2^n - 1), halved till the end, since the greatest n has no 2^n. */
INLINE T S(mexpm1)(T x) {
  T c = x < EXPM1_LEAST ? EXPM1_LEAST : x;
  c = c > EXP_MOST ? EXP_MOST : c;
  U k;
  const T m = S(exp_reduced)(c, &k);
  const T half = S(from_bits)((k << MANTISSA) + (ONE_BITS - ((U)1 << MANTISSA)));
  const T y = FMA(half, m, half - K(0.5)) * K(2);
  return x == 0 ? x : y;
}

/* x = 2^e (1 + f), sqrt(1/2) <= 1 + f < sqrt 2; log x = e ln 2 + log(1 + f). */
INLINE T S(mlog)(T x) {
  bool small = x < LEAST_NORMAL;
  U u = S(bits)(small ? x * (COUNT_ONE) : x) - ROOT_HALF + ONE_BITS;
  T e = S(from_bits)((u >> MANTISSA) | COUNT_BITS) - (COUNT_ONE + K(BIAS));
  e = small ? e - K(MANTISSA) : e;
  T f = S(from_bits)((u & MANTISSA_BITS) + ROOT_HALF) - K(1);
#if BITS == 32 /* (log(1+f) - f + f^2/2) / f^3; error 3e-8 */
  T q = K(0.06972518634), ff = f * f;
  q = FMA(q, f, K(-0.1148121206));
  q = FMA(q, f, K(0.1168578472));
  q = FMA(q, f, K(-0.1242552336));
  q = FMA(q, f, K(0.1424900724));
  q = FMA(q, f, K(-0.1666780713));
  q = FMA(q, f, K(0.2000071721));
  q = FMA(q, f, K(-0.2499999693));
  q = FMA(q, f, K(0.3333333117));
  T y = FMA(e, LN2_LO, ff * f * q);
  y = f + FMA(K(-0.5), ff, y);
#else /* s = f / (2 + f): log(1+f) = 2 atanh s = f - f^2/2 + s (f^2/2 + R), R = 2 atanh(s)/s - 2; \
         error 2e-18 */
  T s = f / (K(2) + f), z = s * s, h = K(0.5) * f * f;
  T q = K(0.1461767036975554331);
  q = FMA(q, z, K(0.1533162279961574781));
  q = FMA(q, z, K(0.1818289209895942302));
  q = FMA(q, z, K(0.2222221109396224581));
  q = FMA(q, z, K(0.2857142862622573728));
  q = FMA(q, z, K(0.3999999999989895252));
  q = FMA(q, z, K(0.6666666666666669705));
  T y = FMA(s, FMA(z, q, h), e * LN2_LO);
  y = f - (h - y);
#endif
  y = FMA(e, LN2_HI, y);
  y = x < 0 ? K(NAN) : y;
  y = x == 0 ? K(-INFINITY) : y;
  return x < K(INFINITY) ? y : x + x;
}

/* u = fl(1 + x); log(1 + x) = log u + (what the sum lost) / u, to first order. */
INLINE T S(mlog1p)(T x) {
  T u = K(1) + x;
  T lost = x - (u - K(1));
  T y = S(mlog)(u);
  y = (u > 0 && u < K(INFINITY)) ? y + lost / u : y;
  return x == 0 ? x : y;
}

/* e = e^-|x|: nothing cancels and nothing overflows on either side. 1/(1+e) = 1 - e/(1+e) and
 * e/(1+e) = e - e e/(1+e) damp the quotient's error. */
INLINE T S(msigmoid)(T x) {
  const T e = S(exp_low)(-FABS(x)), v = x < 0 ? e : K(1);
  return FMA(-v, e / (K(1) + e), v);
}

#if BITS == 32

INLINE T S(mtanh)(T x) {
  T a = FABS(x), u = x * x;
  T e = S(exp_mid)(K(2) * (a > K(10) ? K(10) : a));
  T big = K(1) - K(2) / (e + K(1));
  T q = K(-0.006603473756); /* (tanh x / x - 1) / x^2 in x^2, for x < 0.55; error 1e-8 */
  q = FMA(q, u, K(0.02130579191));
  q = FMA(q, u, K(-0.05390884166));
  q = FMA(q, u, K(0.1333311074));
  q = FMA(q, u, K(-0.3333333199));
  T low = FMA(x * u, q, x);
  return a < K(0.55) ? low : COPYSIGN(big, x);
}

INLINE T S(merf)(T x) {
  T a = FABS(x), u = x * x;
  T t = a > K(4) ? K(4) : a; /* erf 4 rounds to 1 */
  T g = K(1.643569654e-6);   /* log(erfc t), 0.92 <= t <= 4; error 2e-8 */
  g = FMA(g, t, K(-4.617791279e-5));
  g = FMA(g, t, K(0.000597743472));
  g = FMA(g, t, K(-0.004763575249));
  g = FMA(g, t, K(0.0264310176));
  g = FMA(g, t, K(-0.1100944808));
  g = FMA(g, t, K(-0.6318145167));
  g = FMA(g, t, K(-1.130237616));
  g = FMA(g, t, K(0.0003204415313));
  T big = K(1) - S(exp_mid)(g);
  T q = K(8.334718615e-5); /* erf x / x - 1 in x^2; error 5e-10 */
  q = FMA(q, u, K(-0.0008134709332));
  q = FMA(q, u, K(0.005200368587));
  q = FMA(q, u, K(-0.02685915147));
  q = FMA(q, u, K(0.1128369152));
  q = FMA(q, u, K(-0.3761263352));
  q = FMA(q, u, K(0.128379167));
  return a < K(0.925) ? FMA(x, q, x) : COPYSIGN(big, x);
}

/* From 1 on by atan x = pi/2 - atan(1/x), so that no more than the last bit of pi/2 cancels. */
INLINE T S(matan)(T x) {
  T a = FABS(x), far = a > K(1) ? K(1) : K(0);
  T r = far > K(0) ? K(-1) / a : a, u = r * r;
  T q = K(-0.001827211582); /* (atan r / r - 1) / u, r <= 1; error 2e-9 */
  q = FMA(q, u, K(0.01106443508));
  q = FMA(q, u, K(-0.03145569168));
  q = FMA(q, u, K(0.05823454205));
  q = FMA(q, u, K(-0.0841945882));
  q = FMA(q, u, K(0.109575762));
  q = FMA(q, u, K(-0.1426524542));
  q = FMA(q, u, K(0.1999863863));
  q = FMA(q, u, K(-0.3333330187));
  T y = FMA(q * u, r, r); /* pi/2 in two parts */
  return COPYSIGN(far > K(0) ? K(1.57079637) + (y + K(-4.37113883e-8)) : y, x);
}

INLINE T S(msin)(T x) { return K(sin((double)x)); }
INLINE T S(mcos)(T x) { return K(cos((double)x)); }

/* sin (quarter 0) or cos (1) for |x| <= NEAR: x = n pi/2 + r in double, where n times 33 bits of
 * pi/2 is exact. */
#define NEAR 131072 /* 2^17 */
INLINE T S(wave)(T x, uint64_t quarter) {
  const double magic = 6755399441055744.0, a = (double)x;
  const double rounded = a * 0.63661977236758134308 + magic, n = rounded - magic;
  uint64_t k;
  memcpy(&k, &rounded, sizeof k);
  k += quarter;
  const double r = (a - n * 0x1.921fb544p+0) - n * 0x1.0b4611a626331p-34, u = r * r;
  double s = 2.724914679681316649e-6; /* (sin r / r - 1) / r^2; error 3e-11 */
  s = s * u - 0.0001984008071991224356;
  s = s * u + 0.008333331863560767561;
  s = s * u - 0.1666666666382658236;
  double c = -2.730030902052221953e-7; /* (cos r - 1 + r^2/2) / r^4; error 3e-12 */
  c = c * u + 0.00002480059535659450347;
  c = c * u - 0.00138888876627117721;
  c = c * u + 0.04166666666429724683;
  s = r + r * u * s;
  c = 1 - 0.5 * u + u * u * c;
  const uint64_t cosine = (uint64_t)0 - (k & 1), sign = (k & 2) << 62;
  uint64_t sb, cb;
  memcpy(&sb, &s, sizeof sb);
  memcpy(&cb, &c, sizeof cb);
  const uint64_t yb = ((cb & cosine) | (sb & ~cosine)) ^ sign;
  double y;
  memcpy(&y, &yb, sizeof y);
  return (T)y;
}
INLINE T S(mpow)(T a, T b) { return K(pow((double)a, (double)b)); }

#else

INLINE T S(mtanh)(T x) {
  T a = FABS(x);
  T m = S(mexpm1)(K(2) * (a > K(20) ? K(20) : a)); /* tanh 20 rounds to 1 */
  return COPYSIGN(m / (m + K(2)), x);
}

INLINE T S(matan)(T x) { return atan(x); }
INLINE T S(merf)(T x) { return erf(x); }
INLINE T S(mpow)(T a, T b) { return pow(a, b); }

#endif

#undef MANTISSA
#undef BIAS
#undef MAGIC
#undef ONE_BITS
#undef ROOT_HALF
#undef MANTISSA_BITS
#undef COUNT_BITS
#undef COUNT_ONE
#undef LEAST_NORMAL
#undef LN2_HI
#undef LN2_LO
#undef EXP_LEAST
#undef EXP_MOST
#undef EXPM1_LEAST
#undef FAR
#undef FAR_DOWN
#undef LOG2E

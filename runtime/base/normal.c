/* normal.c: Box-Muller in single precision. The order of operations is what makes PyTorch's bits:
 * where a fused multiply-add stands, another order rounds differently. */
#include "base/normal.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define FMA(a, b, c) __builtin_fmaf(a, b, c)

INLINE uint32_t bits_of(float x) {
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  return u;
}

INLINE float float_of(uint32_t u) {
  float x;
  memcpy(&x, &u, sizeof x);
  return x;
}

/* log x for normal x > 0: x = 2^e m with m in [sqrt 1/2, sqrt 2), log(1 + (m-1)) by a
 * polynomial. */
INLINE float log_of(float x) {
  uint32_t u = bits_of(x);
  float m = float_of((u & 0x7fffffu) | 0x3f000000u), e = (float)((int32_t)(u >> 23) - 126);
  int low = m < 0.707106781186547524f;
  float z, y, f = m - 1 + (low ? m : 0);
  e -= (float)low;
  z = f * f;
  y = FMA(7.0376836292e-2f, f, -1.1514610310e-1f);
  y = FMA(y, f, 1.1676998740e-1f);
  y = FMA(y, f, -1.2420140846e-1f);
  y = FMA(y, f, 1.4249322787e-1f);
  y = FMA(y, f, -1.6668057665e-1f);
  y = FMA(y, f, 2.0000714765e-1f);
  y = FMA(y, f, -2.4999993993e-1f);
  y = FMA(y, f, 3.3333331174e-1f) * f;
  y = FMA(y, z, e * -2.12194440e-4f); /* log 2 in two parts */
  y = FMA(-z, 0.5f, y);
  return FMA(e, 0.693359375f, f + y);
}

/* Sine and cosine of x >= 0: x less a multiple of pi/2, in three parts; a polynomial for each. */
INLINE void sincos_of(float x, float *sine, float *cosine) {
  int32_t j = ((int32_t)(x * 1.27323954473516f) + 1) & ~1; /* 4/pi: octants, rounded to even */
  float n = (float)j;
  float r = FMA(n, -0.78515625f, x);
  r = FMA(n, -2.4187564849853515625e-4f, r);
  r = FMA(n, -3.77489497744594108e-8f, r);
  float z = r * r;
  float c = FMA(2.443315711809948e-5f, z, -1.388731625493765e-3f);
  c = FMA(c, z, 4.166664568298827e-2f) * z;
  c = FMA(c, z, -(z * 0.5f)) + 1;
  float s = FMA(-1.9515295891e-4f, z, 8.3321608736e-3f);
  s = FMA(s, z, -1.6666654611e-1f) * z;
  s = FMA(s, r, r);
  uint32_t sine_sign = (uint32_t)(j & 4) << 29, cosine_sign = (uint32_t)(~(j - 2) & 4) << 29;
  int turned = (j & 2) != 0;
  *sine = float_of(bits_of(turned ? c : s) ^ sine_sign);
  *cosine = float_of(bits_of(turned ? s : c) ^ cosine_sign);
}

INLINE void block(float *x, float mean, float std) {
  for (int j = 0; j < 8; j++) {
    float s, c, r = sqrtf(-2 * log_of(1 - x[j]));
    sincos_of(6.28318530717958647692f * x[j + 8], &s, &c);
    x[j] = FMA(r * c, std, mean);
    x[j + 8] = FMA(r * s, std, mean);
  }
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) static void block_fma(float *x, float mean, float std) {
  block(x, mean, std);
}
#endif

/* The two differ in speed alone: without the instruction, fmaf rounds as it does. */
void sq_normal_block(float *x, float mean, float std) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    block_fma(x, mean, std);
    return;
  }
#endif
  block(x, mean, std);
}

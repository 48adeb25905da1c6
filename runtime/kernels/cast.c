/* cast.c: conversion between any two dtypes, a loop for each pair. */
#include <string.h>

#include "kernels/kern.h"

#define WRAP(to, x) ((to)(x))
#define TRUTH(to, x) ((to)((x) != 0))

/* Towards 0, saturating; the comparisons are false for NaN, which gives 0. */
static inline int64_t to_i64(double x) {
  return x >= 0x1p63 ? INT64_MAX : x <= -0x1p63 ? INT64_MIN : x == x ? (int64_t)x : 0;
}
static inline uint8_t to_u8(double x) { return x >= 255 ? 255 : x > 0 ? (uint8_t)x : 0; }
#define SAT_I64(to, x) to_i64((double)(x))
#define SAT_U8(to, x) to_u8((double)(x))

#define CAST(from_name, from, to_name, to, convert)                                   \
  static void from_name##_to_##to_name(int64_t n, const void *x, int64_t xs, void *y, \
                                       int64_t ys) {                                  \
    const from *p = x;                                                                \
    to *q = y;                                                                        \
    if (xs == 1 && ys == 1) {                                                         \
      for (int64_t i = 0; i < n; i++) q[i] = convert(to, p[i]);                       \
    } else {                                                                          \
      for (int64_t i = 0; i < n; i++) q[i * ys] = convert(to, p[i * xs]);             \
    }                                                                                 \
  }

/* from: f32 f64 i64 u8 b; int_conv, u8_conv: how it becomes an int64 and a uint8. */
#define CASTS(name, from, i64_conv, u8_conv) \
  CAST(name, from, f32, float, WRAP)         \
  CAST(name, from, f64, double, WRAP)        \
  CAST(name, from, i64, int64_t, i64_conv)   \
  CAST(name, from, u8, uint8_t, u8_conv)     \
  CAST(name, from, b, uint8_t, TRUTH)

CASTS(f32, float, SAT_I64, SAT_U8)
CASTS(f64, double, SAT_I64, SAT_U8)
CASTS(i64, int64_t, WRAP, WRAP)
CASTS(u8, uint8_t, WRAP, WRAP)
CASTS(b, uint8_t, TRUTH, TRUTH)

typedef void cast_fn(int64_t n, const void *x, int64_t xs, void *y, int64_t ys);

#define ROW(name) \
  { name##_to_f32, name##_to_f64, name##_to_i64, name##_to_u8, name##_to_b }
static cast_fn *const casts[SQ_DTYPES][SQ_DTYPES] = {ROW(f32), ROW(f64), ROW(i64), ROW(u8), ROW(b)};

void sq_kern_cast(int64_t n, sq_dtype from, const void *x, int64_t xs, sq_dtype to, void *y,
                  int64_t ys) {
  casts[from][to](n, x, xs, y, ys);
}

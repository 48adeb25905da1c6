/* int_sum_tmpl.h: sums and products of one integer type T, in int64 whatever T is: elements are
 * widened one by one, never as a tensor. They wrap, in unsigned numbers. */

static void S(sum)(int64_t outer, int64_t R, int64_t inner, int64_t stride, const void *x,
                   void *y) {
  const T *from = x;
  uint64_t *to = y;
  for (int64_t o = 0; o < outer; o++, to += inner) {
    uint64_t acc = 0;
    for (int64_t j = 0; j < inner; j++) to[j] = 0;
    if (stride == 1) {
      for (int64_t r = 0; r < R; r++) acc += (uint64_t)*from++;
      *to = acc;
      continue;
    }
    for (int64_t r = 0; r < R; r++, from += stride) {
      SIMD for (int64_t j = 0; j < inner; j++) to[j] += (uint64_t)from[j];
    }
  }
}

static void S(prod)(int64_t outer, int64_t R, int64_t inner, const void *x, void *y) {
  const T *from = x;
  uint64_t *to = y;
  for (int64_t o = 0; o < outer; o++, to += inner) {
    for (int64_t j = 0; j < inner; j++) to[j] = 1;
    for (int64_t r = 0; r < R; r++, from += inner) {
      SIMD for (int64_t j = 0; j < inner; j++) to[j] *= (uint64_t)from[j];
    }
  }
}

static void S(cumsum)(int64_t outer, int64_t R, int64_t inner, bool backwards, const void *x,
                      void *y) {
  const int64_t step = backwards ? -inner : inner;
  for (int64_t o = 0; o < outer; o++) {
    const int64_t first = (o * R + (backwards ? R - 1 : 0)) * inner;
    const T *from = (const T *)x + first;
    uint64_t *to = (uint64_t *)y + first;
    for (int64_t r = 0; r < R; r++, from += step, to += step) {
      for (int64_t j = 0; j < inner; j++) to[j] = (r ? to[j - step] : 0) + (uint64_t)from[j];
    }
  }
}

#ifndef SUM_KERNS
#define SUM_KERNS .sum = S(sum), .prod = S(prod), .cumsum = S(cumsum)
#endif

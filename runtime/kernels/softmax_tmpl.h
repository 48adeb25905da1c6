/* softmax_tmpl.h: softmax and its kin over the middle of (outer,R,inner). The greatest element is
 * taken off before exp, so that nothing overflows; sums are in double and in a fixed order. */

#ifndef BY_ROWS
/* inner = 1: row(R, x, ...) for every row; else column(R, inner, count, x, ...) for blocks of
 * columns. `at` is where a row or a block begins in x. */
#define BY_ROWS(row_call, column_call)                      \
  if (inner == 1) {                                         \
    for (int64_t at = 0; at < outer * R; at += R) row_call; \
    return;                                                 \
  }                                                         \
  EACH_COLUMN_BLOCK(outer, inner) {                         \
    const int64_t at = o * R * inner + j;                   \
    column_call;                                            \
  }
#endif

/* y = e^(x - m) for a row shorter than SQ_COLUMNS, filled up to whole vectors: a classifier's ten
 * logits cost one. */
static void S(short_exp)(int64_t n, const T *x, T m, T *y) {
  enum { VECTOR = 64 / sizeof(T) };
  T z[SQ_COLUMNS + VECTOR];
  const int64_t whole = (n + VECTOR - 1) / VECTOR * VECTOR;
  for (int64_t i = 0; i < n; i++) z[i] = x[i];
  for (int64_t i = n; i < whole; i++) z[i] = m;
  for (int64_t v = 0; v < whole; v += VECTOR) {
    SIMD for (int64_t i = v; i < v + VECTOR; i++) z[i] = S(mexp)(z[i] - m);
  }
  for (int64_t i = 0; i < n; i++) y[i] = z[i];
}

/* y = e^(x - m) and its sum. */
static double S(row_exp)(int64_t n, const T *x, T m, T *y) {
  double sum;
  if (n < SQ_COLUMNS) {
    S(short_exp)(n, x, m, y);
  } else {
    SIMD for (int64_t i = 0; i < n; i++) y[i] = S(mexp)(x[i] - m);
  }
  LANE_SUM(sum, n, (double)y[i]);
  return sum;
}

static double S(row_exp_sum)(int64_t n, const T *x, T m) {
  double sum;
  LANE_SUM(sum, n, (double)S(mexp)(x[i] - m));
  return sum;
}

static void S(column_exp_sum)(int64_t R, int64_t inner, int64_t count, const T *x, const T *m,
                              double *sum) {
  for (int64_t k = 0; k < count; k++) sum[k] = 0;
  for (int64_t r = 0; r < R; r++, x += inner) {
    SIMD for (int64_t k = 0; k < count; k++) sum[k] += (double)S(mexp)(x[k] - m[k]);
  }
}

/* --- logsumexp ------------------------------------------------------------------------------ */

/* What to take off: the maximum, or 0 where it is infinite and Inf - Inf would make a NaN. */
INLINE T S(shift_of)(T max) { return FABS(max) == K(INFINITY) ? K(0) : max; }

static T S(row_logsumexp)(int64_t R, const T *x) {
  const T m = S(shift_of)(S(row_max)(R, x));
  return (T)((double)m + log(S(row_exp_sum)(R, x, m)));
}

static void S(column_logsumexp)(int64_t R, int64_t inner, int64_t count, const T *x, T *y) {
  T m[SQ_COLUMNS];
  double sum[SQ_COLUMNS];
  S(column_max)(R, inner, count, x, m);
  for (int64_t k = 0; k < count; k++) m[k] = S(shift_of)(m[k]);
  S(column_exp_sum)(R, inner, count, x, m, sum);
  for (int64_t k = 0; k < count; k++) y[k] = (T)((double)m[k] + log(sum[k]));
}

static void S(logsumexp)(int64_t outer, int64_t R, int64_t inner, const void *x, void *y) {
  const T *from = x;
  T *to = y;
  BY_ROWS(*to++ = S(row_logsumexp)(R, from + at),
          S(column_logsumexp)(R, inner, count, from + at, to + o * inner + j))
}

/* --- softmax -------------------------------------------------------------------------------- */

static void S(row_softmax)(int64_t R, const T *x, T *y) {
  const T factor = (T)(1 / S(row_exp)(R, x, S(row_max)(R, x), y));
  SIMD for (int64_t i = 0; i < R; i++) y[i] *= factor;
}

static void S(column_softmax)(int64_t R, int64_t inner, int64_t count, const T *x, T *y) {
  T m[SQ_COLUMNS], factor[SQ_COLUMNS];
  double sum[SQ_COLUMNS];
  S(column_max)(R, inner, count, x, m);
  S(column_exp_sum)(R, inner, count, x, m, sum);
  for (int64_t k = 0; k < count; k++) factor[k] = (T)(1 / sum[k]);
  for (int64_t r = 0; r < R * inner; r += inner) {
    SIMD for (int64_t k = 0; k < count; k++) y[r + k] = S(mexp)(x[r + k] - m[k]) * factor[k];
  }
}

static void S(softmax)(int64_t outer, int64_t R, int64_t inner, const void *x, void *y) {
  const T *from = x;
  T *to = y;
  BY_ROWS(S(row_softmax)(R, from + at, to + at),
          S(column_softmax)(R, inner, count, from + at, to + at))
}

static void S(row_softmax_back)(int64_t R, const T *g, const T *y, T *dx) {
  double sum;
  LANE_SUM(sum, R, (double)g[i] * (double)y[i]);
  const T s = (T)sum;
  SIMD for (int64_t i = 0; i < R; i++) dx[i] = y[i] * (g[i] - s);
}

static void S(column_softmax_back)(int64_t R, int64_t inner, int64_t count, const T *g, const T *y,
                                   T *dx) {
  double sum[SQ_COLUMNS] = {0};
  for (int64_t r = 0; r < R * inner; r += inner) {
    SIMD for (int64_t k = 0; k < count; k++) sum[k] += (double)g[r + k] * (double)y[r + k];
  }
  for (int64_t r = 0; r < R * inner; r += inner) {
    SIMD for (int64_t k = 0; k < count; k++) dx[r + k] = y[r + k] * (g[r + k] - (T)sum[k]);
  }
}

static void S(softmax_back)(int64_t outer, int64_t R, int64_t inner, const void *g, const void *y,
                            void *dx) {
  const T *dy = g, *p = y;
  T *to = dx;
  BY_ROWS(S(row_softmax_back)(R, dy + at, p + at, to + at),
          S(column_softmax_back)(R, inner, count, dy + at, p + at, to + at))
}

/* --- log_softmax ---------------------------------------------------------------------------- */

static void S(row_log_softmax)(int64_t R, const T *x, T *y) {
  const T m = S(row_max)(R, x), norm = (T)log(S(row_exp_sum)(R, x, m));
  SIMD for (int64_t i = 0; i < R; i++) y[i] = x[i] - m - norm;
}

static void S(column_log_softmax)(int64_t R, int64_t inner, int64_t count, const T *x, T *y) {
  T m[SQ_COLUMNS], norm[SQ_COLUMNS];
  double sum[SQ_COLUMNS];
  S(column_max)(R, inner, count, x, m);
  S(column_exp_sum)(R, inner, count, x, m, sum);
  for (int64_t k = 0; k < count; k++) norm[k] = (T)log(sum[k]);
  for (int64_t r = 0; r < R * inner; r += inner) {
    SIMD for (int64_t k = 0; k < count; k++) y[r + k] = x[r + k] - m[k] - norm[k];
  }
}

static void S(log_softmax)(int64_t outer, int64_t R, int64_t inner, const void *x, void *y) {
  const T *from = x;
  T *to = y;
  BY_ROWS(S(row_log_softmax)(R, from + at, to + at),
          S(column_log_softmax)(R, inner, count, from + at, to + at))
}

static void S(row_log_softmax_back)(int64_t R, const T *g, const T *y, T *dx) {
  const T sum = (T)S(row_sum)(R, g);
  SIMD for (int64_t i = 0; i < R; i++) dx[i] = g[i] - S(mexp)(y[i]) * sum;
}

static void S(column_log_softmax_back)(int64_t R, int64_t inner, int64_t count, const T *g,
                                       const T *y, T *dx) {
  T sum[SQ_COLUMNS];
  S(column_sum)(R, inner, count, g, sum);
  for (int64_t r = 0; r < R * inner; r += inner) {
    SIMD for (int64_t k = 0; k < count; k++) dx[r + k] = g[r + k] - S(mexp)(y[r + k]) * sum[k];
  }
}

static void S(log_softmax_back)(int64_t outer, int64_t R, int64_t inner, const void *g,
                                const void *y, void *dx) {
  const T *dy = g, *p = y;
  T *to = dx;
  BY_ROWS(S(row_log_softmax_back)(R, dy + at, p + at, to + at),
          S(column_log_softmax_back)(R, inner, count, dy + at, p + at, to + at))
}

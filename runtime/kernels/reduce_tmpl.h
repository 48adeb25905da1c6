/* reduce_tmpl.h: reductions of x (outer,R,inner) to y (outer,inner). inner = 1: along the row, in
 * SQ_LANES partial results that are joined in a fixed order; inner > 1: SQ_COLUMNS columns at once,
 * each from top to bottom. The order of a sum depends on the shape alone. */

/* acc[0] becomes the sum of all lanes: halves, quarters, ... */
INLINE double S(join)(double *acc) {
  for (int half = SQ_LANES / 2; half > 0; half /= 2) {
    for (int l = 0; l < half; l++) acc[l] += acc[l + half];
  }
  return acc[0];
}

#ifndef LANE_SUM
/* The sum over i of the double `term` (of i). A row shorter than the lanes goes from left to
 * right. */
#define LANE_SUM(result, n, term)                              \
  do {                                                         \
    double acc_[SQ_LANES] = {0};                               \
    int64_t i_ = 0;                                            \
    if ((n) < SQ_LANES) {                                      \
      for (int64_t i = 0; i < (n); i++) acc_[0] += (term);     \
      (result) = acc_[0];                                      \
      break;                                                   \
    }                                                          \
    for (; i_ + SQ_LANES <= (n); i_ += SQ_LANES) {             \
      SIMD for (int l_ = 0; l_ < SQ_LANES; l_++) {             \
        const int64_t i = i_ + l_;                             \
        acc_[l_] += (term);                                    \
      }                                                        \
    }                                                          \
    for (int64_t i = i_; i < (n); i++) acc_[i - i_] += (term); \
    (result) = S(join)(acc_);                                  \
  } while (0)

/* Calls column(R, inner, count, ...) for blocks of at most SQ_COLUMNS columns of every (R,inner)
 * slice. */
#define EACH_COLUMN_BLOCK(outer, inner)                     \
  for (int64_t o = 0; o < (outer); o++)                     \
    for (int64_t j = 0, count = 0; j < (inner); j += count) \
      if (count = (inner)-j < SQ_COLUMNS ? (inner)-j : SQ_COLUMNS, count > 0)
#endif

static double S(row_sum)(int64_t n, const T *x) {
  double sum;
  LANE_SUM(sum, n, (double)x[i]);
  return sum;
}

static void S(column_sum)(int64_t R, int64_t stride, int64_t count, const T *x, T *y) {
  double acc[SQ_COLUMNS] = {0};
  for (int64_t r = 0; r < R; r++, x += stride) {
    SIMD for (int64_t k = 0; k < count; k++) acc[k] += (double)x[k];
  }
  for (int64_t k = 0; k < count; k++) y[k] = (T)acc[k];
}

static void S(sum)(int64_t outer, int64_t R, int64_t inner, int64_t stride, const void *x,
                   void *y) {
  const T *from = x;
  T *to = y;
  if (stride == 1) {
    for (int64_t o = 0; o < outer; o++) to[o] = (T)S(row_sum)(R, from + o * R);
    return;
  }
  EACH_COLUMN_BLOCK(outer, inner) {
    S(column_sum)(R, stride, count, from + o * R * stride + j, to + o * inner + j);
  }
}

static void S(sumsq)(int64_t n, const void *x, double *y) {
  const T *from = x;
  LANE_SUM(*y, n, (double)from[i] * (double)from[i]);
}

static void S(prod)(int64_t outer, int64_t R, int64_t inner, const void *x, void *y) {
  EACH_COLUMN_BLOCK(outer, inner) {
    const T *from = (const T *)x + o * R * inner + j;
    T *to = (T *)y + o * inner + j;
    double acc[SQ_COLUMNS];
    for (int64_t k = 0; k < count; k++) acc[k] = 1;
    for (int64_t r = 0; r < R; r++, from += inner) {
      SIMD for (int64_t k = 0; k < count; k++) acc[k] *= (double)from[k];
    }
    for (int64_t k = 0; k < count; k++) to[k] = (T)acc[k];
  }
}

/* --- max and min: NaN wins, the first of equals is where ------------------------------------ */

INLINE T S(greater)(T a, T b) { return (a > b) | (a != a) ? a : b; }
INLINE T S(less)(T a, T b) { return (a < b) | (a != a) ? a : b; }

static int64_t S(find)(int64_t n, const T *x, T value) {
  int64_t i = 0;
  for (; i + SQ_COLUMNS <= n; i += SQ_COLUMNS) {
    int hits = 0;
    for (int l = 0; l < SQ_COLUMNS; l++) hits |= (x[i + l] == value) | (x[i + l] != x[i + l]);
    if (hits) break;
  }
  while (i < n && !(x[i] == value || x[i] != x[i])) i++;
  return i;
}

#ifndef EXTREME
#define EXTREME(name, better, beats)                                                            \
  static T S(row_##name)(int64_t n, const T *x) {                                               \
    T best[SQ_LANES];                                                                           \
    if (n < SQ_LANES) {                                                                         \
      best[0] = x[0];                                                                           \
      for (int64_t i = 1; i < n; i++) best[0] = S(better)(best[0], x[i]);                       \
      return best[0];                                                                           \
    }                                                                                           \
    for (int l = 0; l < SQ_LANES; l++) best[l] = x[0];                                          \
    int64_t i = 0;                                                                              \
    for (; i + SQ_LANES <= n; i += SQ_LANES) {                                                  \
      SIMD for (int l = 0; l < SQ_LANES; l++) best[l] = S(better)(best[l], x[i + l]);           \
    }                                                                                           \
    for (; i < n; i++) best[0] = S(better)(best[0], x[i]);                                      \
    T all = best[0];                                                                            \
    for (int l = 1; l < SQ_LANES; l++) all = S(better)(all, best[l]);                           \
    return all;                                                                                 \
  }                                                                                             \
  static void S(column_##name)(int64_t R, int64_t inner, int64_t count, const T *x, T *y) {     \
    T best[SQ_COLUMNS];                                                                         \
    memcpy(best, x, (size_t)count * sizeof(T));                                                 \
    for (int64_t r = 1; r < R; r++) {                                                           \
      x += inner;                                                                               \
      SIMD for (int64_t k = 0; k < count; k++) best[k] = S(better)(best[k], x[k]);              \
    }                                                                                           \
    memcpy(y, best, (size_t)count * sizeof(T));                                                 \
  }                                                                                             \
  static void S(column_where_##name)(int64_t R, int64_t inner, int64_t count, const T *x, T *y, \
                                     int64_t *where) {                                          \
    T best[SQ_COLUMNS];                                                                         \
    int64_t at[SQ_COLUMNS] = {0};                                                               \
    memcpy(best, x, (size_t)count * sizeof(T));                                                 \
    for (int64_t r = 1; r < R; r++) {                                                           \
      x += inner;                                                                               \
      SIMD for (int64_t k = 0; k < count; k++) {                                                \
        const T a = x[k], b = best[k];                                                          \
        const bool wins = (b == b) & ((a beats b) | (a != a));                                  \
        best[k] = wins ? a : b;                                                                 \
        at[k] = wins ? r : at[k];                                                               \
      }                                                                                         \
    }                                                                                           \
    memcpy(y, best, (size_t)count * sizeof(T));                                                 \
    memcpy(where, at, (size_t)count * sizeof *where);                                           \
  }                                                                                             \
  static void S(name)(int64_t outer, int64_t R, int64_t inner, const void *x, void *y,          \
                      int64_t *where) {                                                         \
    const T *from = x;                                                                          \
    T *to = y;                                                                                  \
    if (inner == 1) {                                                                           \
      for (int64_t o = 0; o < outer; o++, from += R) {                                          \
        to[o] = S(row_##name)(R, from);                                                         \
        if (where) where[o] = S(find)(R, from, to[o]);                                          \
      }                                                                                         \
      return;                                                                                   \
    }                                                                                           \
    EACH_COLUMN_BLOCK(outer, inner) {                                                           \
      const T *column = from + o * R * inner + j;                                               \
      const int64_t at = o * inner + j;                                                         \
      if (where)                                                                                \
        S(column_where_##name)(R, inner, count, column, to + at, where + at);                   \
      else                                                                                      \
        S(column_##name)(R, inner, count, column, to + at);                                     \
    }                                                                                           \
  }
#endif

EXTREME(max, greater, >)
EXTREME(min, less, <)

/* --- variance and running sums -------------------------------------------------------------- */

static void S(row_variance)(int64_t R, double rest, const T *x, T *mean, T *var) {
  double m = S(row_sum)(R, x) / (double)R, sum;
  LANE_SUM(sum, R, ((double)x[i] - m) * ((double)x[i] - m));
  *mean = (T)m;
  *var = (T)(sum / rest);
}

static void S(column_variance)(int64_t R, int64_t inner, int64_t count, double rest, const T *x,
                               T *mean, T *var) {
  double m[SQ_COLUMNS] = {0}, sum[SQ_COLUMNS] = {0};
  const T *row = x;
  for (int64_t r = 0; r < R; r++, row += inner) {
    SIMD for (int64_t k = 0; k < count; k++) m[k] += (double)row[k];
  }
  for (int64_t k = 0; k < count; k++) m[k] /= (double)R;
  row = x;
  for (int64_t r = 0; r < R; r++, row += inner) {
    SIMD for (int64_t k = 0; k < count; k++) {
      sum[k] += ((double)row[k] - m[k]) * ((double)row[k] - m[k]);
    }
  }
  for (int64_t k = 0; k < count; k++) mean[k] = (T)m[k], var[k] = (T)(sum[k] / rest);
}

static void S(variance)(int64_t outer, int64_t R, int64_t inner, double correction, const void *x,
                        void *mean, void *var) {
  const T *from = x;
  T *m = mean, *v = var;
  const double left = (double)R - correction, rest = left > 0 ? left : 0;
  if (inner == 1) {
    for (int64_t o = 0; o < outer; o++) S(row_variance)(R, rest, from + o * R, m + o, v + o);
    return;
  }
  EACH_COLUMN_BLOCK(outer, inner) {
    const int64_t at = o * inner + j;
    S(column_variance)(R, inner, count, rest, from + o * R * inner + j, m + at, v + at);
  }
}

static void S(cumsum)(int64_t outer, int64_t R, int64_t inner, bool backwards, const void *x,
                      void *y) {
  EACH_COLUMN_BLOCK(outer, inner) {
    double acc[SQ_COLUMNS] = {0};
    for (int64_t s = 0; s < R; s++) {
      const int64_t at = (o * R + (backwards ? R - 1 - s : s)) * inner + j;
      const T *from = (const T *)x + at;
      T *to = (T *)y + at;
      SIMD for (int64_t k = 0; k < count; k++) {
        acc[k] += (double)from[k];
        to[k] = (T)acc[k];
      }
    }
  }
}

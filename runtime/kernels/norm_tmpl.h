/* norm_tmpl.h: normalisation by mean and variance, forward and back. Sums are in double and in an
 * order fixed by the shape. Ioffe and Szegedy 2015; Ba, Kiros and Hinton 2016; Wu and He 2018. */

/* --- batch norm of channels that are rows: x (N,L), rows `step` elements apart -------------- */

static double S(rows_sum)(int64_t N, int64_t L, int64_t step, const T *x) {
  double total = 0;
  for (int64_t n = 0; n < N; n++) total += S(row_sum)(L, x + n * step);
  return total;
}

static double S(rows_squares)(int64_t N, int64_t L, int64_t step, const T *x, double mean) {
  double total = 0;
  for (int64_t n = 0; n < N; n++, x += step) {
    double sum;
    LANE_SUM(sum, L, ((double)x[i] - mean) * ((double)x[i] - mean));
    total += sum;
  }
  return total;
}

/* sum g (x - mean) */
static double S(rows_product)(int64_t N, int64_t L, int64_t step, const T *g, const T *x,
                              double mean) {
  double total = 0;
  for (int64_t n = 0; n < N; n++, x += step, g += step) {
    double sum;
    LANE_SUM(sum, L, (double)g[i] * ((double)x[i] - mean));
    total += sum;
  }
  return total;
}

/* y = (x - m) a + b */
static inline void S(shift_scale)(int64_t n, const T *x, T m, T a, T b, T *y) {
  SIMD for (int64_t i = 0; i < n; i++) y[i] = FMA(x[i] - m, a, b);
}

/* dx = a g - b (x - m) - c */
static inline void S(shift_scale_back)(int64_t n, const T *g, const T *x, T m, T a, T b, T c,
                                       T *dx) {
  SIMD for (int64_t i = 0; i < n; i++) dx[i] = FMA(a, g[i], -FMA(b, x[i] - m, c));
}

/* --- batch norm of single columns: x (N,count), rows `step` apart; count <= SQ_COLUMNS
 * -------------
 */

static void S(columns_stats)(int64_t N, int64_t count, int64_t step, const T *x, double *mean,
                             double *var) {
  double m[SQ_COLUMNS] = {0}, v[SQ_COLUMNS] = {0};
  for (int64_t n = 0; n < N; n++) {
    const T *row = x + n * step;
    SIMD for (int64_t k = 0; k < count; k++) m[k] += (double)row[k];
  }
  for (int64_t k = 0; k < count; k++) m[k] /= (double)N;
  for (int64_t n = 0; n < N; n++) {
    const T *row = x + n * step;
    SIMD for (int64_t k = 0; k < count; k++) {
      v[k] += ((double)row[k] - m[k]) * ((double)row[k] - m[k]);
    }
  }
  for (int64_t k = 0; k < count; k++) mean[k] = m[k], var[k] = v[k] / (double)N;
}

static void S(columns_apply)(int64_t N, int64_t count, int64_t step, const T *x, const T *m,
                             const T *a, const T *b, T *y) {
  for (int64_t n = 0; n < N; n++, x += step, y += step) {
    SIMD for (int64_t k = 0; k < count; k++) y[k] = FMA(x[k] - m[k], a[k], b[k]);
  }
}

/* sg = sum g, sgx = sum g (x - mean) */
static void S(columns_sums)(int64_t N, int64_t count, int64_t step, const T *g, const T *x,
                            const double *mean, double *sg, double *sgx) {
  for (int64_t k = 0; k < count; k++) sg[k] = sgx[k] = 0;
  for (int64_t n = 0; n < N; n++, g += step, x += step) {
    SIMD for (int64_t k = 0; k < count; k++) {
      sg[k] += (double)g[k];
      sgx[k] += (double)g[k] * ((double)x[k] - mean[k]);
    }
  }
}

static void S(columns_back)(int64_t N, int64_t count, int64_t step, const T *g, const T *x,
                            const T *m, const T *a, const T *b, const T *c, T *dx) {
  for (int64_t n = 0; n < N; n++, g += step, x += step, dx += step) {
    SIMD for (int64_t k = 0; k < count; k++) dx[k] = FMA(a[k], g[k], -FMA(b[k], x[k] - m[k], c[k]));
  }
}

/* --- batch norm ----------------------------------------------------------------------------- */

static void S(batch_norm)(const sq_batch_norm *p) {
  const int64_t N = p->N, C = p->C, L = p->L, step = p->step;
  const bool training = p->training;
  const T *from = p->x, *weight = p->w, *bias = p->b;
  double *mean = p->mean, *var = p->var;
  T *to = p->y;
  for (int64_t c = 0, count; c < C; c += count) {
    T m[SQ_COLUMNS], a[SQ_COLUMNS], shift[SQ_COLUMNS];
    count = C - c < SQ_COLUMNS ? C - c : SQ_COLUMNS;
    if (training && L == 1) S(columns_stats)(N, count, step, from + c, mean + c, var + c);
    for (int64_t k = c; training && L != 1 && k < c + count; k++) {
      mean[k] = S(rows_sum)(N, L, step, from + k * L) / (double)(N * L);
      var[k] = S(rows_squares)(N, L, step, from + k * L, mean[k]) / (double)(N * L);
    }
    for (int64_t k = 0; k < count; k++) {
      m[k] = (T)mean[c + k];
      a[k] = (T)((weight ? (double)weight[c + k] : 1) / sqrt(var[c + k] + p->eps));
      shift[k] = bias ? bias[c + k] : K(0);
    }
    if (L == 1) S(columns_apply)(N, count, step, from + c, m, a, shift, to + c);
    for (int64_t k = 0; L != 1 && k < count; k++) {
      for (int64_t n = 0; n < N; n++) {
        const int64_t at = n * step + (c + k) * L;
        S(shift_scale)(L, from + at, m[k], a[k], shift[k], to + at);
      }
    }
  }
}

static void S(batch_norm_back)(const sq_batch_norm *p) {
  const int64_t N = p->N, C = p->C, L = p->L, step = p->step;
  const bool training = p->training;
  const T *dy = p->g, *from = p->x, *weight = p->w;
  const double *mean = p->mean, *var = p->var;
  T *to = p->dx, *dw = p->dw, *db = p->db;
  for (int64_t c = 0, count; c < C; c += count) {
    T m[SQ_COLUMNS], ka[SQ_COLUMNS], kb[SQ_COLUMNS], kc[SQ_COLUMNS];
    double sg[SQ_COLUMNS], sgx[SQ_COLUMNS];
    count = C - c < SQ_COLUMNS ? C - c : SQ_COLUMNS;
    if (L == 1) S(columns_sums)(N, count, step, dy + c, from + c, mean + c, sg, sgx);
    for (int64_t k = 0; L != 1 && k < count; k++) {
      const int64_t at = (c + k) * L;
      sg[k] = S(rows_sum)(N, L, step, dy + at);
      sgx[k] = S(rows_product)(N, L, step, dy + at, from + at, mean[c + k]);
    }
    for (int64_t k = 0; k < count; k++) {
      const double rstd = 1 / sqrt(var[c + k] + p->eps),
                   all = training ? (double)(N * L) : INFINITY;
      const double a = (weight ? (double)weight[c + k] : 1) * rstd;
      m[k] = (T)mean[c + k], ka[k] = (T)a;
      kb[k] = (T)(a * rstd * rstd * sgx[k] / all), kc[k] = (T)(a * sg[k] / all);
      if (dw) dw[c + k] = (T)(sgx[k] * rstd);
      if (db) db[c + k] = (T)sg[k];
    }
    if (L == 1 && to) S(columns_back)(N, count, step, dy + c, from + c, m, ka, kb, kc, to + c);
    for (int64_t k = 0; L != 1 && to && k < count; k++) {
      for (int64_t n = 0; n < N; n++) {
        const int64_t at = n * step + (c + k) * L;
        S(shift_scale_back)(L, dy + at, from + at, m[k], ka[k], kb[k], kc[k], to + at);
      }
    }
  }
}

/* --- layer norm and group norm: x (N,G,D,L), each (D,L) by its own mean and variance -------- */

static void S(norm_row)(int64_t D, int64_t L, const T *x, const T *w, const T *b, T m, T rstd,
                        T *y) {
  if (L == 1) {
    SIMD for (int64_t i = 0; i < D; i++) {
      const T hat = (x[i] - m) * rstd;
      y[i] = FMA(hat, w ? w[i] : K(1), b ? b[i] : K(0));
    }
    return;
  }
  for (int64_t d = 0; d < D; d++) {
    S(shift_scale)(L, x + d * L, m, w ? w[d] * rstd : rstd, b ? b[d] : K(0), y + d * L);
  }
}

static void S(norm_rows)(const sq_norm_rows *p) {
  const int64_t N = p->N, G = p->G, D = p->D, L = p->L;
  const T *from = p->x, *weight = p->w, *bias = p->b;
  double *mean = p->mean, *rstd = p->rstd;
  T *to = p->y;
  for (int64_t r = 0; r < N * G; r++, from += D * L, to += D * L) {
    const int64_t at = r % G * D;
    mean[r] = S(row_sum)(D * L, from) / (double)(D * L);
    rstd[r] = 1 / sqrt(S(rows_squares)(1, D * L, 0, from, mean[r]) / (double)(D * L) + p->eps);
    const T *scale = weight ? weight + at : NULL, *shift = bias ? bias + at : NULL;
    S(norm_row)(D, L, from, scale, shift, (T)mean[r], (T)rstd[r], to);
  }
}

/* Adds g (x - mean) rstd to dw and g to db, and gives the row's sums of w g and of
 * w g (x - mean). */
static void S(norm_row_sums)(int64_t D, int64_t L, const T *g, const T *x, const T *w, double mean,
                             double rstd, double *dw, double *db, double *sg, double *sgx) {
  if (L == 1) {
    SIMD for (int64_t i = 0; i < D; i++) {
      dw[i] += (double)g[i] * ((double)x[i] - mean) * rstd;
      db[i] += (double)g[i];
    }
    LANE_SUM(*sg, D, (double)g[i] * (w ? (double)w[i] : 1));
    LANE_SUM(*sgx, D, (double)g[i] * (w ? (double)w[i] : 1) * ((double)x[i] - mean));
    return;
  }
  *sg = *sgx = 0;
  for (int64_t d = 0; d < D; d++, g += L, x += L) {
    const double one = S(row_sum)(L, g), product = S(rows_product)(1, L, 0, g, x, mean);
    dw[d] += product * rstd;
    db[d] += one;
    *sg += one * (w ? (double)w[d] : 1);
    *sgx += product * (w ? (double)w[d] : 1);
  }
}

static void S(norm_row_back)(int64_t D, int64_t L, const T *g, const T *x, const T *w, T m, T rstd,
                             T b, T c, T *dx) {
  if (L == 1) {
    SIMD for (int64_t i = 0; i < D; i++) {
      dx[i] = FMA(rstd * (w ? w[i] : K(1)), g[i], -FMA(b, x[i] - m, c));
    }
    return;
  }
  for (int64_t d = 0; d < D; d++) {
    S(shift_scale_back)(L, g + d * L, x + d * L, m, w ? w[d] * rstd : rstd, b, c, dx + d * L);
  }
}

static void S(norm_rows_back)(const sq_norm_rows *p) {
  const int64_t N = p->N, G = p->G, D = p->D, L = p->L;
  const T *dy = p->g, *from = p->x;
  const double *mean = p->mean, *rstd = p->rstd;
  double *dw = p->dw, *db = p->db;
  T *to = p->dx;
  for (int64_t i = 0; i < G * D; i++) dw[i] = db[i] = 0;
  for (int64_t r = 0; r < N * G; r++, dy += D * L, from += D * L) {
    const int64_t at = r % G * D;
    const T *weight = p->w ? (const T *)p->w + at : NULL;
    double sg, sgx;
    S(norm_row_sums)(D, L, dy, from, weight, mean[r], rstd[r], dw + at, db + at, &sg, &sgx);
    if (!to) continue;
    const double all = (double)(D * L);
    S(norm_row_back)
    (D, L, dy, from, weight, (T)mean[r], (T)rstd[r], (T)(rstd[r] * rstd[r] * rstd[r] * sgx / all),
     (T)(rstd[r] * sg / all), to);
    to += D * L;
  }
}

/* --- RMS norm: x (N,D), the same without a mean --------------------------------------------- */

static void S(rms_rows)(const sq_norm_rows *p) {
  const int64_t N = p->N, D = p->D;
  const T *from = p->x;
  double *rstd = p->rstd;
  T *to = p->y;
  for (int64_t r = 0; r < N; r++, from += D, to += D) {
    rstd[r] = 1 / sqrt(S(rows_squares)(1, D, 0, from, 0) / (double)D + p->eps);
    S(norm_row)(D, 1, from, p->w, NULL, 0, (T)rstd[r], to);
  }
}

/* dw = sum g x rstd */
static void S(rms_rows_back)(const sq_norm_rows *p) {
  const int64_t N = p->N, D = p->D;
  const T *dy = p->g, *from = p->x, *weight = p->w;
  const double *rstd = p->rstd;
  double *dw = p->dw;
  T *to = p->dx;
  for (int64_t i = 0; i < D; i++) dw[i] = 0;
  for (int64_t r = 0; r < N; r++, dy += D, from += D) {
    SIMD for (int64_t i = 0; i < D; i++) dw[i] += (double)dy[i] * (double)from[i] * rstd[r];
    if (!to) continue;
    double sum;
    LANE_SUM(sum, D, (double)dy[i] * (weight ? (double)weight[i] : 1) * (double)from[i]);
    const T b = (T)(rstd[r] * rstd[r] * rstd[r] * sum / (double)D);
    S(norm_row_back)(D, 1, dy, from, weight, 0, (T)rstd[r], b, 0, to);
    to += D;
  }
}

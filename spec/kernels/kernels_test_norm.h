/* kernels_test_norm.h: normalisation against its formulas: elements that share a mean are listed,
 * and the rest is two sums. */

enum { MOST_SHARED = 2048 };

/* One group of elements with a common mean: places in x and, for each, its weight's. */
typedef struct shared {
  int64_t n, at[MOST_SHARED], w[MOST_SHARED];
  real mean, var;
} shared;

static void find_stats(sq_dtype t, const void *x, shared *s) {
  s->mean = s->var = 0;
  for (int64_t i = 0; i < s->n; i++) s->mean += get(t, x, s->at[i]) / s->n;
  for (int64_t i = 0; i < s->n; i++) {
    const real d = get(t, x, s->at[i]) - s->mean;
    s->var += d * d / s->n;
  }
}

static real weight_of(sq_dtype t, const void *w, int64_t i) { return w ? get(t, w, i) : 1; }

/* How much the rounding of a mean weighs after the division: a group of near equals has a small
 * deviation. */
static real norm_scale(const shared *s, double eps) {
  return 1 + fabsl(s->mean) / sqrtl(s->var + eps);
}

static void judge_norm(sq_dtype t, const shared *s, double eps, const void *x, const void *w,
                       const void *b, const void *y) {
  for (int64_t i = 0; i < s->n; i++) {
    const real hat = (get(t, x, s->at[i]) - s->mean) / sqrtl(s->var + eps);
    const real want = hat * weight_of(t, w, s->w[i]) + (b ? get(t, b, s->w[i]) : 0);
    check_near(t, y, s->at[i], want, 8, 8 * norm_scale(s, eps));
  }
}

/* dx; constant: mean and variance do not follow x. Adds to dw and db (long double). */
static void judge_norm_back(sq_dtype t, const shared *s, double eps, bool constant, const void *g,
                            const void *x, const void *w, const void *dx, real *dw, real *db) {
  const real rstd = 1 / sqrtl(s->var + eps);
  real mean = 0, dot = 0;
  for (int64_t i = 0; i < s->n; i++) {
    const real dy = get(t, g, s->at[i]), hat = (get(t, x, s->at[i]) - s->mean) * rstd;
    mean += dy * weight_of(t, w, s->w[i]) / s->n;
    dot += dy * weight_of(t, w, s->w[i]) * hat / s->n;
    dw[s->w[i]] += dy * hat;
    db[s->w[i]] += dy;
  }
  if (constant) mean = dot = 0;
  for (int64_t i = 0; i < s->n; i++) {
    const real hat = (get(t, x, s->at[i]) - s->mean) * rstd;
    const real dy = get(t, g, s->at[i]) * weight_of(t, w, s->w[i]);
    check_near(t, dx, s->at[i], rstd * (dy - mean - hat * dot), 16,
               (16 + 16 * rstd) * norm_scale(s, eps));
  }
}

static const int64_t norm_shapes[][4] = {{5, 3, 1, 0},  {2, 3, 4, 0}, {33, 70, 1, 0}, {4, 2, 37, 0},
                                         {1, 1, 64, 0}, {3, 1, 5, 1}, {2, 65, 3, 0}};
#define EACH_NORM for (size_t k = 0; k < 2 * sizeof norm_shapes / sizeof *norm_shapes; k++)

/* Channel c of (N,C,L), samples `step` apart. */
static void list_channel(const int64_t *s, int64_t step, int64_t c, shared *e) {
  e->n = 0;
  for (int64_t n = 0; n < s[0]; n++)
    for (int64_t l = 0; l < s[2]; l++) e->w[e->n] = c, e->at[e->n++] = n * step + c * s[2] + l;
}

static void test_batch_norm(const sq_kern *kern, sq_dtype t) {
  static shared e;
  double mean[70], var[70];
  EACH_NORM {
    const int64_t *s = norm_shapes[k / 2], step = s[1] * s[2];
    const void *w = k % 2 ? IN(1) : NULL, *b = k % 2 ? IN(2) : NULL;
    fill(t, IN(0), s[0] * step, 5, 9);
    fill(t, IN(1), s[1], -2, 2);
    fill(t, IN(2), s[1], -2, 2);
    for (int training = 1; training >= 0; training--) {
      for (int64_t c = 0; !training && c < s[1]; c++) mean[c] = 6, var[c] = 2;
      kern->batch_norm(&(sq_batch_norm){.N = s[0],
                                        .C = s[1],
                                        .L = s[2],
                                        .step = step,
                                        .training = training,
                                        .eps = 0.01,
                                        .x = IN(0),
                                        .w = w,
                                        .b = b,
                                        .mean = mean,
                                        .var = var,
                                        .y = OUT(0)});
      for (int64_t c = 0; c < s[1]; c++) {
        list_channel(s, step, c, &e);
        find_stats(t, IN(0), &e);
        if (!training) e.mean = 6, e.var = 2;
        check_near(SQ_F64, mean, c, e.mean, 64, 0);
        check_near(SQ_F64, var, c, e.var, 64, 1);
        judge_norm(t, &e, 0.01, IN(0), w, b, OUT(0));
      }
    }
  }
}

static void test_batch_norm_back(const sq_kern *kern, sq_dtype t) {
  static shared e;
  double mean[70], var[70];
  EACH_NORM {
    const int64_t *s = norm_shapes[k / 2], step = s[1] * s[2];
    const void *w = k % 2 ? IN(2) : NULL;
    fill(t, IN(0), s[0] * step, -2, 2);
    fill(t, IN(1), s[0] * step, 5, 9);
    fill(t, IN(2), s[1], -2, 2);
    for (int training = 0; training < 2; training++) {
      real dw[70] = {0}, db[70] = {0};
      for (int64_t c = 0; c < s[1]; c++) {
        list_channel(s, step, c, &e);
        find_stats(t, IN(1), &e);
        mean[c] = training ? (double)e.mean : 6, var[c] = training ? (double)e.var : 2;
      }
      kern->batch_norm_back(&(sq_batch_norm){.N = s[0],
                                             .C = s[1],
                                             .L = s[2],
                                             .step = step,
                                             .training = training,
                                             .eps = 0.01,
                                             .g = IN(0),
                                             .x = IN(1),
                                             .w = w,
                                             .mean = mean,
                                             .var = var,
                                             .dx = OUT(0),
                                             .dw = OUT(1),
                                             .db = OUT(2)});
      for (int64_t c = 0; c < s[1]; c++) {
        list_channel(s, step, c, &e);
        e.mean = mean[c], e.var = var[c];
        judge_norm_back(t, &e, 0.01, !training, IN(0), IN(1), w, OUT(0), dw, db);
        check_near(t, OUT(1), c, dw[c], 8, 32);
        check_near(t, OUT(2), c, db[c], 8, 32);
      }
    }
  }
}

/* Row r of (N G,D,L): weights are (G,D). */
static void list_row(int64_t G, int64_t D, int64_t L, int64_t r, shared *e) {
  e->n = 0;
  for (int64_t d = 0; d < D; d++)
    for (int64_t l = 0; l < L; l++) e->w[e->n] = r % G * D + d, e->at[e->n++] = (r * D + d) * L + l;
}

static void test_norm_rows(const sq_kern *kern, sq_dtype t) {
  static shared e;
  double mean[256], rstd[256];
  EACH_NORM {
    const int64_t *s = norm_shapes[k / 2], N = 3, G = s[0], D = s[1], L = s[2];
    const void *w = k % 2 ? IN(1) : NULL, *b = k % 2 ? IN(2) : NULL;
    if (D * L < 2) continue;
    fill(t, IN(0), N * G * D * L, 5, 9);
    fill(t, IN(1), G * D, -2, 2);
    fill(t, IN(2), G * D, -2, 2);
    sq_norm_rows a = {.N = N, .G = G, .D = D, .L = L, .eps = 0.01, .w = w, .mean = mean, .rstd = rstd};
    a.x = IN(0), a.b = b, a.y = OUT(0);
    kern->norm_rows(&a);
    for (int64_t r = 0; r < N * G; r++) {
      list_row(G, D, L, r, &e);
      find_stats(t, IN(0), &e);
      check_near(SQ_F64, mean, r, e.mean, 64, 0);
      check_near(SQ_F64, rstd, r, 1 / sqrtl(e.var + 0.01L), 64, 1);
      judge_norm(t, &e, 0.01, IN(0), w, b, OUT(0));
    }
  }
}

static void test_norm_rows_back(const sq_kern *kern, sq_dtype t) {
  static shared e;
  static real dw[4096], db[4096];
  double mean[256], rstd[256];
  EACH_NORM {
    const int64_t *s = norm_shapes[k / 2], N = 3, G = s[0], D = s[1], L = s[2];
    const void *w = k % 2 ? IN(2) : NULL;
    fill(t, IN(0), N * G * D * L, -2, 2);
    fill(t, IN(1), N * G * D * L, 5, 9);
    fill(t, IN(2), G * D, -2, 2);
    for (int64_t r = 0; r < N * G; r++) {
      list_row(G, D, L, r, &e);
      find_stats(t, IN(1), &e);
      mean[r] = (double)e.mean, rstd[r] = (double)(1 / sqrtl(e.var + 0.01L));
    }
    sq_norm_rows a = {.N = N, .G = G, .D = D, .L = L, .eps = 0.01, .w = w, .mean = mean, .rstd = rstd};
    a.g = IN(0), a.x = IN(1), a.dx = OUT(0), a.dw = OUT(1), a.db = OUT(2);
    kern->norm_rows_back(&a);
    memset(dw, 0, sizeof dw);
    memset(db, 0, sizeof db);
    for (int64_t r = 0; r < N * G; r++) {
      list_row(G, D, L, r, &e);
      find_stats(t, IN(1), &e);
      judge_norm_back(t, &e, 0.01, false, IN(0), IN(1), w, OUT(0), dw, db);
    }
    for (int64_t i = 0; i < G * D; i++) {
      check_near(SQ_F64, OUT(1), i, dw[i], 1024, 32);
      check_near(SQ_F64, OUT(2), i, db[i], 1024, 32);
    }
  }
}

static real mean_square(sq_dtype t, const void *x, int64_t at, int64_t D) {
  real sum = 0;
  for (int64_t i = 0; i < D; i++) sum += get(t, x, at + i) * get(t, x, at + i);
  return sum / (real)D;
}

static void test_rms_rows(const sq_kern *kern, sq_dtype t) {
  double rstd[8];
  for (int k = 0; k < 10; k++) {
    const int64_t N = 3, D = (int64_t[]){1, 2, 31, 64, 133}[k / 2];
    const void *w = k % 2 ? IN(1) : NULL;
    fill(t, IN(0), N * D, -2, 2);
    fill(t, IN(1), D, -2, 2);
    kern->rms_rows(&(sq_norm_rows){
        .N = N, .D = D, .eps = 0.01, .x = IN(0), .w = w, .rstd = rstd, .y = OUT(0)});
    for (int64_t i = 0; i < N * D; i++) {
      const real want = 1 / sqrtl(mean_square(t, IN(0), i / D * D, D) + 0.01L);
      check_near(SQ_F64, rstd, i / D, want, 64, 0);
      check_near(t, OUT(0), i, get(t, IN(0), i) * want * (w ? get(t, w, i % D) : 1), 8, 0);
    }
  }
}

static void test_rms_rows_back(const sq_kern *kern, sq_dtype t) {
  double rstd[8];
  for (int k = 0; k < 10; k++) {
    const int64_t N = 3, D = (int64_t[]){1, 2, 31, 64, 133}[k / 2];
    const void *w = k % 2 ? IN(2) : NULL;
    real dw[133] = {0};
    for (int i = 0; i < 3; i++) fill(t, IN(i), N * D, -2, 2);
    for (int64_t r = 0; r < N; r++)
      rstd[r] = (double)(1 / sqrtl(mean_square(t, IN(1), r * D, D) + 0.01L));
    sq_norm_rows a = {.N = N, .D = D, .g = IN(0), .x = IN(1), .w = w, .rstd = rstd};
    a.dx = OUT(0), a.dw = OUT(1);
    kern->rms_rows_back(&a);
    for (int64_t r = 0; r < N; r++) {
      real sum = 0;
      for (int64_t i = 0; i < D; i++) {
        const real g = get(t, IN(0), r * D + i), x = get(t, IN(1), r * D + i);
        sum += g * (w ? get(t, w, i) : 1) * x;
        dw[i] += g * x * rstd[r];
      }
      for (int64_t i = 0; i < D; i++) {
        const real g = get(t, IN(0), r * D + i) * (w ? get(t, w, i) : 1);
        const real x = get(t, IN(1), r * D + i), s = rstd[r];
        check_near(t, OUT(0), r * D + i, s * g - x * s * s * s * sum / (real)D, 32, 8);
      }
    }
    for (int64_t i = 0; i < D; i++) check_near(SQ_F64, OUT(1), i, dw[i], 64, 8);
    a.dx = NULL;
    kern->rms_rows_back(&a);
    for (int64_t i = 0; i < D; i++) check_near(SQ_F64, OUT(1), i, dw[i], 64, 8);
  }
}

/* kernels_test_rows.h: tests of the kernels that are not elementwise; a part of kernels_test.c. */

/* --- reductions: x (outer,R,inner) ---------------------------------------------------------- */

typedef struct extent {
  int64_t outer, R, inner;
} extent;

static const extent extents[] = {{1, 1, 1},  {3, 10, 1}, {2, 1000, 1}, {4, 31, 1},
                                 {2, 32, 1}, {2, 33, 1}, {1, 64, 1},   {1, 65, 1},
                                 {2, 5, 3},  {1, 7, 64}, {2, 9, 65},   {1, 100, 130},
                                 {0, 3, 2},  {2, 3, 0},  {1, 2, 1},    {2, 63, 2}};
static const extent empty_extents[] = {{2, 0, 3}, {2, 0, 1}};

/* Runs `body` for every extent, with x the column's first index: element r is x + r inner, the
 * result is `to`. */
#define EACH_EXTENT(list) for (const extent *e = list; e < list + sizeof list / sizeof *list; e++)
#define EACH_COLUMN for (int64_t to = 0; to < e->outer * e->inner; to++)
#define FIRST (to / (e->inner) * e->R * e->inner + to % (e->inner))

static real column_sum(sq_dtype t, const extent *e, int64_t stride, int64_t to, real *size) {
  const int64_t first = to / e->inner * e->R * stride + to % e->inner;
  real sum = 0;
  *size = 0;
  for (int64_t r = 0; r < e->R; r++) {
    sum += get(t, IN(0), first + r * stride);
    *size += fabsl(get(t, IN(0), first + r * stride));
  }
  if (t == SQ_F32) *size *= 0x1p-20L; /* added in double */
  return sum;
}

static void sum_extent(const sq_kern *kern, sq_dtype t, const extent *e, int64_t stride) {
  fill(t, IN(0), e->outer * e->R * stride, -1, 1);
  kern->sum(e->outer, e->R, e->inner, stride, IN(0), OUT(0));
  EACH_COLUMN {
    real size, want = column_sum(t, e, stride, to, &size);
    check_near(t, OUT(0), to, want, 4, size);
  }
}

static void test_sum(const sq_kern *kern, sq_dtype t) {
  EACH_EXTENT(extents) sum_extent(kern, t, e, e->inner);
  EACH_EXTENT(empty_extents) sum_extent(kern, t, e, e->inner);
  EACH_EXTENT(extents) sum_extent(kern, t, e, e->inner + 3);
  set(t, IN(0), 5, NAN);
  kern->sum(1, 50, 1, 1, IN(0), OUT(0));
  check_near(t, OUT(0), 0, NAN, 0, 0);
}

static void test_sumsq(const sq_kern *kern, sq_dtype t) {
  for (int64_t n = 0; n < 200; n += 13) {
    real want = 0;
    double got;
    fill(t, IN(0), n, -1, 1);
    for (int64_t i = 0; i < n; i++) want += get(t, IN(0), i) * get(t, IN(0), i);
    kern->sumsq(n, IN(0), &got);
    check(near(SQ_F64, got, want, 16, 0), "n %" PRId64 ": %.17g, not %.17Lg", n, got, want);
  }
}

static void prod_extent(const sq_kern *kern, sq_dtype t, const extent *e) {
  fill(t, IN(0), e->outer * e->R * e->inner, 0.9, 1.1);
  kern->prod(e->outer, e->R, e->inner, IN(0), OUT(0));
  EACH_COLUMN {
    real want = 1;
    for (int64_t r = 0; r < e->R; r++) want *= get(t, IN(0), FIRST + r * e->inner);
    check_near(t, OUT(0), to, want, t == SQ_F32 ? 1 : (double)e->R + 1, 0);
  }
}

static void test_prod(const sq_kern *kern, sq_dtype t) {
  EACH_EXTENT(extents) prod_extent(kern, t, e);
  EACH_EXTENT(empty_extents) prod_extent(kern, t, e);
}

typedef void extreme_fn(int64_t outer, int64_t R, int64_t inner, const void *x, void *y,
                        int64_t *where);

static void extreme_extent(extreme_fn *f, bool greatest, sq_dtype t, const extent *e) {
  static int64_t where[ROOM];
  f(e->outer, e->R, e->inner, IN(0), OUT(0), where);
  f(e->outer, e->R, e->inner, IN(0), OUT(1), NULL);
  EACH_COLUMN {
    int64_t best = 0;
    for (int64_t r = 1; r < e->R; r++) {
      const real a = get(t, IN(0), FIRST + r * e->inner),
                 b = get(t, IN(0), FIRST + best * e->inner);
      if (!isnan(b) && (isnan(a) || (greatest ? a > b : a < b))) best = r;
    }
    check(where[to] == best, "is at %" PRId64 ", not %" PRId64, where[to], best);
    check_near(t, OUT(0), to, get(t, IN(0), FIRST + best * e->inner), 0, 0);
    check_near(t, OUT(1), to, get(t, IN(0), FIRST + best * e->inner), 0, 0);
  }
}

static void test_extreme(extreme_fn *f, bool greatest, sq_dtype t) {
  EACH_EXTENT(extents) {
    const int64_t n = e->outer * e->R * e->inner;
    fill(t, IN(0), n, -1, 1);
    extreme_extent(f, greatest, t, e);
    fill_special(t, IN(0), n, 100);
    extreme_extent(f, greatest, t, e);
    for (int64_t i = 0; i < n; i++) set(t, IN(0), i, floor(uniform(0, 3))); /* equals */
    extreme_extent(f, greatest, t, e);
  }
}

static void test_max(const sq_kern *kern, sq_dtype t) { test_extreme(kern->max, true, t); }
static void test_min(const sq_kern *kern, sq_dtype t) { test_extreme(kern->min, false, t); }

static void test_variance(const sq_kern *kern, sq_dtype t) {
  EACH_EXTENT(extents) {
    fill(t, IN(0), e->outer * e->R * e->inner, 1, 3);
    for (double correction = 0; correction < 3; correction++) {
      kern->variance(e->outer, e->R, e->inner, correction, IN(0), OUT(0), OUT(1));
      EACH_COLUMN {
        real size, mean = column_sum(t, e, e->inner, to, &size) / e->R, sum = 0;
        for (int64_t r = 0; r < e->R; r++) {
          const real d = get(t, IN(0), FIRST + r * e->inner) - mean;
          sum += d * d;
        }
        const real left = (real)e->R - correction;
        check_near(t, OUT(0), to, mean, 8, 0);
        check_near(t, OUT(1), to, sum / (left > 0 ? left : 0), 32, 0.01L);
      }
    }
  }
}

static void cumsum_extent(const sq_kern *kern, sq_dtype t, const extent *e, bool backwards) {
  fill(t, IN(0), e->outer * e->R * e->inner, 0, 1);
  kern->cumsum(e->outer, e->R, e->inner, backwards, IN(0), OUT(0));
  EACH_COLUMN {
    real sum = 0;
    for (int64_t s = 0; s < e->R; s++) {
      const int64_t i = FIRST + (backwards ? e->R - 1 - s : s) * e->inner;
      sum += get(t, IN(0), i);
      check_near(t, OUT(0), i, sum, t == SQ_F32 ? 1 : 32, 0);
    }
  }
}

static void test_cumsum(const sq_kern *kern, sq_dtype t) {
  for (int backwards = 0; backwards < 2; backwards++) {
    EACH_EXTENT(extents) cumsum_extent(kern, t, e, backwards);
    EACH_EXTENT(empty_extents) cumsum_extent(kern, t, e, backwards);
  }
}

/* --- softmax -------------------------------------------------------------------------------- */

static real log_norm(sq_dtype t, const void *x, int64_t first, int64_t R, int64_t step) {
  real max = -INFINITY, sum = 0;
  for (int64_t r = 0; r < R; r++) max = fmaxl(max, get(t, x, first + r * step));
  for (int64_t r = 0; r < R; r++) sum += expl(get(t, x, first + r * step) - max);
  return max + logl(sum);
}

/* What a case of test_softmaxes checks at one element, given log sum e^x of its column. */
typedef void softmax_run(const sq_kern *kern, const extent *e);
typedef real softmax_want(real x, real norm);

static void test_softmaxes(const sq_kern *kern, sq_dtype t, softmax_run *run, softmax_want *want,
                           real scale) {
  EACH_EXTENT(extents) {
    for (double shift = 0; shift < 2000; shift += 800) { /* e^800 is no number */
      fill(t, IN(0), e->outer * e->R * e->inner, shift - 4, shift + 4);
      run(kern, e);
      EACH_COLUMN {
        const real norm = log_norm(t, IN(0), FIRST, e->R, e->inner);
        for (int64_t r = 0; r < e->R; r++) {
          const int64_t i = FIRST + r * e->inner;
          check_near(t, OUT(0), i, want(get(t, IN(0), i), norm), 8, scale);
        }
      }
    }
  }
}

static void run_softmax(const sq_kern *kern, const extent *e) {
  kern->softmax(e->outer, e->R, e->inner, IN(0), OUT(0));
}
static void run_log_softmax(const sq_kern *kern, const extent *e) {
  kern->log_softmax(e->outer, e->R, e->inner, IN(0), OUT(0));
}
static real want_softmax(real x, real norm) { return expl(x - norm); }
static real want_log_softmax(real x, real norm) { return x - norm; }

static void test_softmax(const sq_kern *kern, sq_dtype t) {
  test_softmaxes(kern, t, run_softmax, want_softmax, 0);
}
static void test_log_softmax(const sq_kern *kern, sq_dtype t) {
  test_softmaxes(kern, t, run_log_softmax, want_log_softmax, 4);
}

static void test_logsumexp(const sq_kern *kern, sq_dtype t) {
  EACH_EXTENT(extents) {
    fill(t, IN(0), e->outer * e->R * e->inner, -900, 900);
    kern->logsumexp(e->outer, e->R, e->inner, IN(0), OUT(0));
    EACH_COLUMN check_near(t, OUT(0), to, log_norm(t, IN(0), FIRST, e->R, e->inner), 2, 0);
  }
  static const double odd[][3] = {{1, INFINITY, 2}, {-INFINITY, -INFINITY, -INFINITY}, {NAN, 0, 1}};
  static const double want[] = {INFINITY, -INFINITY, NAN};
  for (int i = 0; i < 3; i++) {
    for (int k = 0; k < 3; k++) set(t, IN(0), k, odd[i][k]);
    kern->logsumexp(1, 3, 1, IN(0), OUT(0));
    check_near(t, OUT(0), 0, want[i], 0, 0);
  }
}

typedef void softmax_back_fn(int64_t outer, int64_t R, int64_t inner, const void *g, const void *y,
                             void *dx);

static void test_softmax_backs(softmax_back_fn *f, bool log, sq_dtype t) {
  EACH_EXTENT(extents) {
    fill(t, IN(0), e->outer * e->R * e->inner, -1, 1);
    fill(t, IN(1), e->outer * e->R * e->inner, log ? -3 : 0, log ? 0 : 1);
    f(e->outer, e->R, e->inner, IN(0), IN(1), OUT(0));
    EACH_COLUMN {
      real sum = 0, size = 1;
      for (int64_t r = 0; r < e->R; r++) {
        const int64_t i = FIRST + r * e->inner;
        const real term = get(t, IN(0), i) * (log ? 1 : get(t, IN(1), i));
        sum += term, size += fabsl(term);
      }
      for (int64_t r = 0; r < e->R; r++) {
        const int64_t i = FIRST + r * e->inner;
        const real g = get(t, IN(0), i), y = get(t, IN(1), i);
        check_near(t, OUT(0), i, log ? g - expl(y) * sum : y * (g - sum), 8, size);
      }
    }
  }
}

static void test_softmax_back(const sq_kern *kern, sq_dtype t) {
  test_softmax_backs(kern->softmax_back, false, t);
}
static void test_log_softmax_back(const sq_kern *kern, sq_dtype t) {
  test_softmax_backs(kern->log_softmax_back, true, t);
}

/* --- where ---------------------------------------------------------------------------------- */

static void test_where(const sq_kern *kern, sq_dtype t) {
  uint8_t c[2000];
  for (int i = 0; i < 2000; i++) c[i] = uniform(0, 1) < 0.5;
  fill(t, IN(0), 2000, -1, 1);
  fill(t, IN(1), 2000, -1, 1);
  for (int64_t mode = 0; mode < 27; mode++) {
    const int64_t cs = mode % 3, as = mode / 3 % 3, bs = mode / 9, n = mode == 0 ? 0 : 333;
    kern->where(n, c, cs, IN(0), as, IN(1), bs, OUT(0));
    for (int64_t i = 0; i < n; i++) {
      check_near(t, OUT(0), i, c[i * cs] ? get(t, IN(0), i * as) : get(t, IN(1), i * bs), 0, 0);
    }
  }
}

/* --- products of the others, rows added at indices ------------------------------------------ */

static void test_prod_others(const sq_kern *kern, sq_dtype t) {
  EACH_EXTENT(extents) {
    const int64_t n = e->outer * e->R * e->inner;
    fill(t, IN(0), n, 0.9, 1.1);
    for (int64_t i = 0; i < n; i += 37) set(t, IN(0), i, 0);
    kern->prod_others(e->outer, e->R, e->inner, IN(0), OUT(0));
    EACH_COLUMN {
      for (int64_t r = 0; r < e->R; r++) {
        real want = 1;
        for (int64_t s = 0; s < e->R; s++) want *= s == r ? 1 : get(t, IN(0), FIRST + s * e->inner);
        check_near(t, OUT(0), FIRST + r * e->inner, want, t == SQ_F32 ? 2 : (double)e->R + 1, 0);
      }
    }
  }
}

/* Whole numbers, so that every type agrees to the bit. */
static void test_add_at(const sq_kern *kern, sq_dtype t) {
  enum { ROWS = 11, FROM = 40 };
  int64_t at[FROM];
  for (int64_t inner = 0; inner < 70; inner += 23) {
    real want[ROWS * 70] = {0};
    memset(OUT(0), 0, sizeof want);
    for (int64_t i = 0; i < FROM * inner; i++) set(t, IN(0), i, floor(uniform(0, 5)));
    for (int64_t i = 0; i < FROM; i++) {
      at[i] = (int64_t)uniform(0, ROWS - 1e-9);
      for (int64_t j = 0; j < inner; j++) want[at[i] * inner + j] += get(t, IN(0), i * inner + j);
    }
    kern->add_at(FROM, inner, at, IN(0), OUT(0));
    for (int64_t i = 0; i < ROWS * inner; i++) check_near(t, OUT(0), i, want[i], 0, 0);
  }
}

static void test_from_bytes(const sq_kern *kern, sq_dtype t) {
  uint8_t x[256 + 13];
  for (int i = 0; i < 256 + 13; i++) x[i] = (uint8_t)i;
  for (int64_t n = 0; n <= 256 + 13; n += 269 - 256) {
    kern->from_bytes(n, x, -1, 1, OUT(0));
    for (int64_t i = 0; i < n; i++) {
      real part = round_to(t, (real)x[i] / 255), want = round_to(t, -1 + round_to(t, 2 * part));
      check_near(t, OUT(0), i, want, 0, 0);
    }
  }
}

/* --- recurrent cells ------------------------------------------------------------------------ */

static const int64_t widths[] = {1, 2, 5, 16, 33, 64, 100};
#define EACH_WIDTH for (const int64_t *w = widths; w < widths + sizeof widths / sizeof *widths; w++)

/* Sets every 7th number apart, NaN too: what one element does must not reach its neighbours. */
static void fill_gates(sq_dtype t, void *x, int64_t n) {
  static const double odd[] = {-100, 100, NAN, 0, -20, 20};
  fill(t, x, n, -4, 4);
  for (int64_t i = 0; i < n; i += 7) set(t, x, i, odd[i / 7 % 6]);
}

static void lstm_case(const sq_kern *kern, sq_dtype t, int64_t B, int64_t H, bool prev) {
  const int64_t gs = 4 * H + 3, cs = H + 1, hs = 2 * H, ts = H, ps = H + 5;
  fill_gates(t, IN(0), B * gs);
  fill(t, IN(1), B * ps, -2, 2);
  memcpy(OUT(0), IN(0), (size_t)(B * gs) * sq_dtype_size(t));
  memset(OUT(1), CANARY, (size_t)(B * cs) * sq_dtype_size(t));
  kern->lstm_step(&(sq_lstm){.B = B,
                             .H = H,
                             .gates = {OUT(0), gs},
                             .c_prev = {prev ? IN(1) : NULL, ps},
                             .c = {OUT(1), cs},
                             .h = {OUT(2), hs},
                             .tanh_c = {OUT(3), ts}});
  for (int64_t i = 0; i < B * H; i++) {
    const int64_t b = i / H, j = i % H;
    real gate[4];
    for (int k = 0; k < 4; k++) {
      const int64_t at = b * gs + k * H + j;
      const real x = get(t, IN(0), at);
      gate[k] = k == 2 ? tanhl(x) : o_sigmoid(x);
      check_near(t, OUT(0), at, gate[k], 3, 0);
    }
    const real c = gate[1] * (prev ? get(t, IN(1), b * ps + j) : 0) + gate[0] * gate[2];
    check_near(t, OUT(1), b * cs + j, c, 8, 1);
    check_near(t, OUT(3), b * ts + j, tanhl(c), 12, 1);
    check_near(t, OUT(2), b * hs + j, gate[3] * tanhl(c), 12, 1);
  }
  const unsigned char *gap = (const unsigned char *)OUT(1) + H * (int64_t)sq_dtype_size(t);
  check(gap[0] == CANARY && gap[3] == CANARY, "wrote between rows");
}

static void test_lstm_step(const sq_kern *kern, sq_dtype t) {
  EACH_WIDTH {
    lstm_case(kern, t, 3, *w, true);
    lstm_case(kern, t, 2, *w, false);
  }
}

static void lstm_back_case(const sq_kern *kern, sq_dtype t, int64_t B, int64_t H, bool prev) {
  const int64_t gs = 4 * H + 1, ps = H + 2, ts = H + 3, hs = H + 4, ds = H + 5, os = 4 * H + 6;
  fill(t, IN(0), B * gs, 0, 1);
  fill(t, IN(1), B * ps, -2, 2);
  fill(t, IN(2), B * ts, -1, 1);
  fill(t, IN(3), B * hs, -1, 1);
  fill(t, IN(4), B * ds, -1, 1);
  memcpy(OUT(0), IN(4), (size_t)(B * ds) * sq_dtype_size(t));
  kern->lstm_step_back(&(sq_lstm_back){.B = B,
                                       .H = H,
                                       .gates = {IN(0), gs},
                                       .c_prev = {prev ? IN(1) : NULL, ps},
                                       .tanh_c = {IN(2), ts},
                                       .dh = {IN(3), hs},
                                       .dc = {OUT(0), ds},
                                       .dgates = {OUT(1), os}});
  for (int64_t n = 0; n < B * H; n++) {
    const int64_t b = n / H, j = n % H, at = b * os + j;
    const real i = get(t, IN(0), b * gs + j), f = get(t, IN(0), b * gs + H + j);
    const real g = get(t, IN(0), b * gs + 2 * H + j), o = get(t, IN(0), b * gs + 3 * H + j);
    const real c0 = prev ? get(t, IN(1), b * ps + j) : 0, tc = get(t, IN(2), b * ts + j);
    const real dh = get(t, IN(3), b * hs + j),
               dc = get(t, IN(4), b * ds + j) + dh * o * (1 - tc * tc);
    check_near(t, OUT(1), at, dc * g * i * (1 - i), 8, 1);
    check_near(t, OUT(1), at + H, dc * c0 * f * (1 - f), 8, 1);
    check_near(t, OUT(1), at + 2 * H, dc * i * (1 - g * g), 8, 1);
    check_near(t, OUT(1), at + 3 * H, dh * tc * o * (1 - o), 8, 1);
    check_near(t, OUT(0), b * ds + j, dc * f, 8, 1);
  }
}

static void test_lstm_step_back(const sq_kern *kern, sq_dtype t) {
  EACH_WIDTH {
    lstm_back_case(kern, t, 3, *w, true);
    lstm_back_case(kern, t, 2, *w, false);
  }
}

static void test_gru_step(const sq_kern *kern, sq_dtype t) {
  EACH_WIDTH {
    const int64_t B = 3, H = *w, gs = 3 * H + 2, us = H + 1, ps = H + 3, hs = H + 4;
    fill_gates(t, IN(0), B * gs);
    fill(t, IN(1), B * us, -2, 2);
    fill(t, IN(2), B * ps, -1, 1);
    memcpy(OUT(0), IN(0), (size_t)(B * gs) * sq_dtype_size(t));
    kern->gru_step(&(sq_gru){.B = B,
                             .H = H,
                             .gates = {OUT(0), gs},
                             .hn = {IN(1), us},
                             .h_prev = {IN(2), ps},
                             .h = {OUT(1), hs}});
    for (int64_t i = 0; i < B * H; i++) {
      const int64_t b = i / H, j = i % H, at = b * gs + j;
      const real r = o_sigmoid(get(t, IN(0), at)), z = o_sigmoid(get(t, IN(0), at + H));
      const real n = tanhl(get(t, IN(0), at + 2 * H) + r * get(t, IN(1), b * us + j));
      check_near(t, OUT(0), at, r, 2, 0);
      check_near(t, OUT(0), at + H, z, 2, 0);
      check_near(t, OUT(0), at + 2 * H, n, 16, 1);
      check_near(t, OUT(1), b * hs + j, (1 - z) * n + z * get(t, IN(2), b * ps + j), 16, 1);
    }
  }
}

static void test_gru_step_back(const sq_kern *kern, sq_dtype t) {
  EACH_WIDTH {
    const int64_t B = 3, H = *w, gs = 3 * H + 2, us = H + 1, ps = H + 3, ds = H + 4, os = 3 * H + 5,
                  vs = H + 6;
    fill(t, IN(0), B * gs, 0, 1);
    fill(t, IN(1), B * us, -2, 2);
    fill(t, IN(2), B * ps, -1, 1);
    fill(t, IN(3), B * ds, -1, 1);
    memcpy(OUT(0), IN(3), (size_t)(B * ds) * sq_dtype_size(t));
    kern->gru_step_back(&(sq_gru_back){.B = B,
                                       .H = H,
                                       .gates = {IN(0), gs},
                                       .hn = {IN(1), us},
                                       .h_prev = {IN(2), ps},
                                       .dh = {OUT(0), ds},
                                       .dgates = {OUT(1), os},
                                       .dhn = {OUT(2), vs}});
    for (int64_t i = 0; i < B * H; i++) {
      const int64_t b = i / H, j = i % H, at = b * gs + j, to = b * os + j;
      const real r = get(t, IN(0), at), z = get(t, IN(0), at + H), n = get(t, IN(0), at + 2 * H);
      const real u = get(t, IN(1), b * us + j), h = get(t, IN(2), b * ps + j),
                 d = get(t, IN(3), b * ds + j);
      const real dn = d * (1 - z) * (1 - n * n);
      check_near(t, OUT(1), to, dn * u * r * (1 - r), 8, 1);
      check_near(t, OUT(1), to + H, d * (h - n) * z * (1 - z), 8, 1);
      check_near(t, OUT(1), to + 2 * H, dn, 8, 1);
      check_near(t, OUT(2), b * vs + j, dn * r, 8, 1);
      check_near(t, OUT(0), b * ds + j, d * z, 1, 0);
    }
  }
}

/* --- rows ----------------------------------------------------------------------------------- */

static void test_add_row(const sq_kern *kern, sq_dtype t) {
  for (int64_t O = 0; O < 140; O += 23) {
    const int64_t ld = O + 3;
    fill(t, IN(0), O, -1, 1);
    fill(t, IN(1), 5 * ld, -1, 1);
    memcpy(OUT(0), IN(1), (size_t)(5 * ld) * sq_dtype_size(t));
    kern->add_row(5, O, ld, IN(0), OUT(0));
    for (int64_t i = 0; i < 5 * ld; i++) {
      const real bias = i % ld < O ? get(t, IN(0), i % ld) : 0;
      check_near(t, OUT(0), i, get(t, IN(1), i) + bias, 0.51, 0);
    }
  }
}

enum { CE_ROWS = 6, IGNORED = 3 };

static real class_weight(sq_dtype t, bool weighted, int64_t c) {
  return weighted ? get(t, IN(1), c) : 1;
}

static void cross_entropy_case(const sq_kern *kern, sq_dtype t, int64_t C, bool weighted,
                               double s) {
  int64_t labels[CE_ROWS];
  fill(t, IN(0), CE_ROWS * C, -4, 4);
  fill(t, IN(1), C, 0.5, 2);
  fill(t, IN(2), CE_ROWS, -1, 1);
  for (int b = 0; b < CE_ROWS; b++) labels[b] = (int64_t)uniform(0, (double)C - 1e-9);
  labels[IGNORED] = -100;
  const void *w = weighted ? IN(1) : NULL;
  sq_cross_entropy a = {.B = CE_ROWS,
                        .C = C,
                        .ignore = -100,
                        .smoothing = s,
                        .t = labels,
                        .weight = w,
                        .x = IN(0),
                        .p = OUT(0),
                        .loss = OUT(1),
                        .g = IN(2)};
  kern->cross_entropy(&a);
  a.gs = 1, a.dx = OUT(2);
  kern->cross_entropy_back(&a);
  a.gs = 0, a.dx = OUT(3);
  kern->cross_entropy_back(&a);
  for (int64_t b = 0; b < CE_ROWS; b++) {
    const real norm = log_norm(t, IN(0), b * C, C, 1);
    const bool counts = labels[b] != -100;
    real loss = 0, total = 0;
    for (int64_t c = 0; c < C; c++) {
      const real wc = class_weight(t, weighted, c),
                 target = (real)s / C + (c == labels[b] ? 1 - s : 0);
      if (counts) loss -= target * wc * (get(t, IN(0), b * C + c) - norm);
      if (counts) total += target * wc;
    }
    check_near(t, OUT(1), b, loss, 8, 4);
    for (int64_t c = 0; c < C; c++) {
      const real p = expl(get(t, IN(0), b * C + c) - norm);
      const real target =
          ((real)s / C + (c == labels[b] ? 1 - s : 0)) * class_weight(t, weighted, c);
      const real slope = counts ? total * p - target : 0;
      check_near(t, OUT(0), b * C + c, p, 8, 0);
      check_near(t, OUT(2), b * C + c, get(t, IN(2), b) * slope, 8, 2);
      check_near(t, OUT(3), b * C + c, get(t, IN(2), 0) * slope, 8, 2);
    }
  }
}

static void test_cross_entropy(const sq_kern *kern, sq_dtype t) {
  static const int64_t classes[] = {1, 2, 10, 31, 32, 65, 130};
  for (int i = 0; i < 7; i++) {
    for (int mode = 0; mode < 4; mode++)
      cross_entropy_case(kern, t, classes[i], mode & 1, mode & 2 ? 0.1 : 0);
  }
}

/* Its backward is judged with it. */
static void test_cross_entropy_back(const sq_kern *kern, sq_dtype t) {
  cross_entropy_case(kern, t, 10, true, 0.25);
}

/* --- attention ------------------------------------------------------------------------------- */

enum { QUERIES = 5, NO_MASK = 0, TRUTHS, NUMBERS, MASKS };

/* A block of attention with a mask of a kind in IN(1), strides (row, column). */
static sq_attention attention_block(sq_dtype t, int64_t C, int64_t seen, int kind,
                                    int64_t column) {
  sq_attention a = {.R = QUERIES, .C = C, .step = C + 3, .seen = seen, .scale = 0.75};
  fill(t, IN(0), QUERIES * a.step, -4, 4);
  fill(t, IN(1), QUERIES * 2 * C + 8, -1, 1);
  if (kind == TRUTHS)
    for (int64_t i = 0; i < QUERIES * 2 * C + 8; i++)
      ((uint8_t *)IN(1))[i] = uniform(0, 1) < 0.6;
  a.mask = kind == NO_MASK ? NULL : IN(1), a.truth = kind == TRUTHS;
  a.mask_row = 2 * C, a.mask_column = column;
  return a;
}

/* z of one element; -Inf where it is left out. */
static real attention_z(sq_dtype t, const sq_attention *a, int64_t r, int64_t c) {
  const int64_t at = r * a->mask_row + c * a->mask_column;
  if (c >= a->seen + r || (a->mask && a->truth && !((const uint8_t *)a->mask)[at]))
    return -INFINITY;
  const real z = get(t, IN(0), r * a->step + c) * (real)a->scale;
  return a->mask && !a->truth ? z + get(t, a->mask, at) : z;
}

/* Rows that begin, go on from 2 e^0.5, and hold a greater score already. */
static void attention_case(const sq_kern *kern, sq_dtype t, sq_attention a) {
  static const double before[QUERIES] = {-INFINITY, 0.5, 40, -3, -INFINITY};
  double max[QUERIES], sum[QUERIES], factor[QUERIES];
  for (int r = 0; r < QUERIES; r++) max[r] = before[r], sum[r] = isinf(before[r]) ? 0 : 2;
  memcpy(OUT(0), IN(0), (size_t)(QUERIES * a.step) * sq_dtype_size(t));
  a.s = OUT(0), a.max = max, a.sum = sum, a.factor = factor;
  kern->attention(&a);
  for (int64_t r = 0; r < QUERIES; r++) {
    real most = before[r], total = 0;
    for (int64_t c = 0; c < a.C; c++) most = fmaxl(most, attention_z(t, &a, r, c));
    const real base = isinf(most) ? 0 : most;
    for (int64_t c = 0; c < a.C; c++) {
      const real e = expl(attention_z(t, &a, r, c) - base);
      check_near(t, OUT(0), r * a.step + c, e, 24, 0);
      total += e;
    }
    const real old = isinf(before[r]) ? 1 : expl(before[r] - base), eps = t == SQ_F32 ? 1e-5L : 1e-13L;
    check(isinf(most) ? isinf(max[r]) : fabsl(max[r] - most) <= eps * 8, "max of row %d", (int)r);
    check(fabsl(factor[r] - old) <= eps, "factor of row %d", (int)r);
    total += isinf(before[r]) ? 0 : 2 * old;
    check(fabsl(sum[r] - total) <= eps * (1 + total), "sum of row %d", (int)r);
  }
}

static void test_attention(const sq_kern *kern, sq_dtype t) {
  EACH_WIDTH {
    for (int kind = 0; kind < MASKS; kind++)
      for (int64_t column = 0; column < 3; column++) {
        attention_case(kern, t, attention_block(t, *w, *w, kind, column));
        attention_case(kern, t, attention_block(t, *w, *w / 2 - 1, kind, column));
        attention_case(kern, t, attention_block(t, *w, -2, kind, column));
      }
  }
}

static void attention_back_case(const sq_kern *kern, sq_dtype t, sq_attention a) {
  static const double lse[QUERIES] = {0.5, 3, INFINITY, -1, 2}, dot[QUERIES] = {0, 1, -1, 0.5, 2};
  fill(t, IN(2), QUERIES * a.step, -1, 1);
  memcpy(OUT(0), IN(0), (size_t)(QUERIES * a.step) * sq_dtype_size(t));
  memcpy(OUT(1), IN(2), (size_t)(QUERIES * a.step) * sq_dtype_size(t));
  a.s = OUT(0), a.ds = OUT(1), a.dmask = OUT(2), a.dmask_row = a.C + 1;
  a.lse = lse, a.dot = dot;
  kern->attention_back(&a);
  for (int64_t r = 0; r < QUERIES; r++)
    for (int64_t c = 0; c < a.C; c++) {
      const int64_t at = r * a.step + c;
      const real p = expl(attention_z(t, &a, r, c) - lse[r]);
      const real dz = p * (get(t, IN(2), at) - dot[r]);
      check_near(t, OUT(0), at, p, 24, 0);
      check_near(t, OUT(1), at, dz * (real)a.scale, 32, 1);
      check_near(t, OUT(2), r * a.dmask_row + c, dz, 32, 1);
    }
}

static void test_attention_back(const sq_kern *kern, sq_dtype t) {
  EACH_WIDTH {
    for (int kind = 0; kind < MASKS; kind++)
      for (int64_t column = 0; column < 3; column++) {
        attention_back_case(kern, t, attention_block(t, *w, *w, kind, column));
        attention_back_case(kern, t, attention_block(t, *w, *w / 2 - 1, kind, column));
      }
  }
}

static void test_dot_rows(const sq_kern *kern, sq_dtype t) {
  EACH_WIDTH {
    const int64_t n = *w, xs = n + 2, ys = n + 5;
    double out[QUERIES];
    fill(t, IN(0), QUERIES * xs, -1, 1);
    fill(t, IN(1), QUERIES * ys, -1, 1);
    kern->dot_rows(QUERIES, n, IN(0), xs, IN(1), ys, out);
    for (int64_t r = 0; r < QUERIES; r++) {
      real want = 0;
      for (int64_t i = 0; i < n; i++) want += get(t, IN(0), r * xs + i) * get(t, IN(1), r * ys + i);
      check(fabsl(out[r] - want) <= 1e-13L * (real)(1 + n), "row %d", (int)r);
    }
  }
}

/* --- optimizers: three steps, every combination of options ---------------------------------- */

enum { PARAMETERS = 77 };
static real weight[PARAMETERS], slots[3][PARAMETERS]; /* the oracle's parameters and state */
static real grad_at;                                  /* dL/dw after maximize and weight decay */

static void begin_steps(sq_dtype t) {
  fill(t, OUT(0), PARAMETERS, -1, 1);
  for (int i = 0; i < PARAMETERS; i++) weight[i] = get(t, OUT(0), i);
  memset(slots, 0, sizeof slots);
  for (int k = 1; k < 4; k++) memset(OUT(k), 0, PARAMETERS * 8);
}

/* w and the first `used` slots agree, as far as rounding of three steps goes. */
static void judge_steps(sq_dtype t, int used) {
  for (int i = 0; i < PARAMETERS; i++) {
    check_near(t, OUT(0), i, weight[i], 64, 1);
    for (int k = 0; k < used; k++) check_near(t, OUT(k + 1), i, slots[k][i], 64, 1);
  }
}

static real gradient(sq_dtype t, int i, bool maximize, double decay) {
  const real g = get(t, IN(0), i);
  grad_at = (maximize ? -g : g) + decay * weight[i];
  return grad_at;
}

static void test_sgd_step(const sq_kern *kern, sq_dtype t) {
  const double lr = 0.125;
  for (int mode = 0; mode < 32; mode++) {
    const double momentum = mode & 1 ? 0.75 : 0, dampening = mode & 2 ? 0.25 : 0,
                 decay = mode & 4 ? 0.125 : 0;
    const bool nesterov = mode & 8, maximize = mode & 16;
    begin_steps(t);
    for (int step = 0; step < 3; step++) {
      fill(t, IN(0), PARAMETERS, -1, 1);
      const sq_sgd o = {lr, momentum, dampening, decay, nesterov, maximize, step == 0};
      kern->sgd_step(PARAMETERS, &o, OUT(0), IN(0), momentum != 0 ? OUT(1) : NULL);
      for (int i = 0; i < PARAMETERS; i++) {
        real d = gradient(t, i, maximize, decay);
        if (momentum != 0) {
          slots[0][i] = step == 0 ? d : momentum * slots[0][i] + (1 - dampening) * d;
          d = nesterov ? d + momentum * slots[0][i] : slots[0][i];
        }
        weight[i] -= lr * d;
      }
    }
    judge_steps(t, momentum != 0);
  }
}

static void test_rmsprop_step(const sq_kern *kern, sq_dtype t) {
  const double lr = 0.125, alpha = 0.75, small = 0.0625;
  for (int mode = 0; mode < 16; mode++) {
    const double decay = mode & 1 ? 0.125 : 0, momentum = mode & 2 ? 0.5 : 0;
    const bool centered = mode & 4, maximize = mode & 8;
    begin_steps(t);
    for (int step = 0; step < 3; step++) {
      fill(t, IN(0), PARAMETERS, -1, 1);
      const sq_rmsprop o = {lr, alpha, small, decay, momentum, centered, maximize};
      kern->rmsprop_step(PARAMETERS, &o, OUT(0), IN(0), OUT(1), centered ? OUT(2) : NULL,
                         momentum > 0 ? OUT(3) : NULL);
      for (int i = 0; i < PARAMETERS; i++) {
        const real d = gradient(t, i, maximize, decay);
        slots[0][i] = alpha * slots[0][i] + (1 - alpha) * d * d;
        if (centered) slots[1][i] = alpha * slots[1][i] + (1 - alpha) * d;
        real move = d / (sqrtl(slots[0][i] - slots[1][i] * slots[1][i]) + small);
        if (momentum > 0) move = slots[2][i] = momentum * slots[2][i] + move;
        weight[i] -= lr * move;
      }
    }
    judge_steps(t, 3);
  }
}

static void test_adam_step(const sq_kern *kern, sq_dtype t) {
  const double lr = 0.125, beta1 = 0.75, beta2 = 0.875, small = 0.0625;
  for (int mode = 0; mode < 16; mode++) {
    const double decay = mode & 1 ? 0.125 : 0;
    const bool decoupled = mode & 2, maximize = mode & 4, amsgrad = mode & 8;
    begin_steps(t);
    for (int step = 1; step <= 3; step++) {
      fill(t, IN(0), PARAMETERS, -1 / step, 1.0 / step);
      const sq_adam o = {lr, beta1, beta2, small, decay, decoupled, maximize, step};
      kern->adam_step(PARAMETERS, &o, OUT(0), IN(0), OUT(1), OUT(2), amsgrad ? OUT(3) : NULL);
      for (int i = 0; i < PARAMETERS; i++) {
        if (decoupled) weight[i] *= 1 - lr * decay;
        const real d = gradient(t, i, maximize, decoupled ? 0 : decay);
        slots[0][i] = beta1 * slots[0][i] + (1 - beta1) * d;
        slots[1][i] = beta2 * slots[1][i] + (1 - beta2) * d * d;
        if (amsgrad) slots[2][i] = fmaxl(slots[2][i], slots[1][i]);
        const real v = amsgrad ? slots[2][i] : slots[1][i], root = sqrtl(1 - powl(beta2, step));
        weight[i] -= lr / (1 - powl(beta1, step)) * slots[0][i] / (sqrtl(v) / root + small);
      }
    }
    judge_steps(t, 3);
  }
}

static void test_adagrad_step(const sq_kern *kern, sq_dtype t) {
  const double lr = 0.125, slower = 0.5, small = 0.0625;
  for (int mode = 0; mode < 4; mode++) {
    const double decay = mode & 1 ? 0.125 : 0;
    begin_steps(t);
    for (int step = 1; step <= 3; step++) {
      fill(t, IN(0), PARAMETERS, -1, 1);
      const sq_adagrad o = {lr, slower, small, decay, mode & 2, step};
      kern->adagrad_step(PARAMETERS, &o, OUT(0), IN(0), OUT(1));
      for (int i = 0; i < PARAMETERS; i++) {
        const real d = gradient(t, i, mode & 2, decay);
        slots[0][i] += d * d;
        weight[i] -= lr / (1 + (step - 1) * slower) * d / (sqrtl(slots[0][i]) + small);
      }
    }
    judge_steps(t, 1);
  }
}

static void test_adadelta_step(const sq_kern *kern, sq_dtype t) {
  const double lr = 0.125, rho = 0.75, small = 0.0625;
  for (int mode = 0; mode < 4; mode++) {
    const double decay = mode & 1 ? 0.125 : 0;
    begin_steps(t);
    for (int step = 1; step <= 3; step++) {
      fill(t, IN(0), PARAMETERS, -1, 1);
      const sq_adadelta o = {lr, rho, small, decay, mode & 2};
      kern->adadelta_step(PARAMETERS, &o, OUT(0), IN(0), OUT(1), OUT(2));
      for (int i = 0; i < PARAMETERS; i++) {
        const real d = gradient(t, i, mode & 2, decay);
        slots[0][i] = rho * slots[0][i] + (1 - rho) * d * d;
        const real move = sqrtl(slots[1][i] + small) / sqrtl(slots[0][i] + small) * d;
        slots[1][i] = rho * slots[1][i] + (1 - rho) * move * move;
        weight[i] -= lr * move;
      }
    }
    judge_steps(t, 2);
  }
}

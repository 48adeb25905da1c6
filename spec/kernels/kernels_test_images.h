/* kernels_test_images.h: windows over images, tap by tap; a part of kernels_test.c. */

static int64_t window_count(int64_t size, int64_t kernel, int64_t step, int64_t padding,
                            int64_t dilation) {
  return (size + 2 * padding - dilation * (kernel - 1) - 1) / step + 1;
}

static void set_out_size(sq_window *w) {
  w->OY = window_count(w->Y, w->KY, w->SY, w->PY, w->DY);
  w->OX = window_count(w->X, w->KX, w->SX, w->PX, w->DX);
}

typedef void window_fn(const sq_kern *kern, sq_dtype t, const sq_window *w);

/* Kernels, steps, paddings, dilations; `spread`: whether dilation is tried. */
static void each_window(const sq_kern *kern, sq_dtype t, bool spread, window_fn *f) {
  for (int mode = 0; mode < 48; mode++) {
    sq_window w = {.C = 1 + mode % 3,
                   .Y = 6 + mode % 5,
                   .X = 9 - mode % 4,
                   .KY = 1 + mode % 3,
                   .KX = 1 + mode / 3 % 4};
    w.SY = 1 + mode / 2 % 3, w.SX = 1 + mode % 2, w.PY = mode / 4 % 2 * (w.KY / 2),
    w.PX = mode / 8 % 2 * (w.KX / 2);
    w.DY = spread ? 1 + mode / 16 % 2 : 1, w.DX = spread ? 1 + mode / 5 % 2 : 1;
    set_out_size(&w);
    fill(t, IN(0), w.C * w.Y * w.X, -1, 1);
    if (w.OY > 0 && w.OX > 0) f(kern, t, &w);
  }
}

/* Where a tap of a window reads in its image, or -1 in the padding. */
static int64_t tap_at(const sq_window *w, int64_t c, int64_t oy, int64_t ox, int64_t ky,
                      int64_t kx) {
  const int64_t y = oy * w->SY - w->PY + ky * w->DY, x = ox * w->SX - w->PX + kx * w->DX;
  return y < 0 || y >= w->Y || x < 0 || x >= w->X ? -1 : (c * w->Y + y) * w->X + x;
}

#define EACH_OUTPUT                        \
  for (int64_t c = 0; c < w->C; c++)       \
    for (int64_t oy = 0; oy < w->OY; oy++) \
      for (int64_t ox = 0; ox < w->OX; ox++)
#define EACH_TAP                         \
  for (int64_t ky = 0; ky < w->KY; ky++) \
    for (int64_t kx = 0; kx < w->KX; kx++)
#define OUTPUT_AT ((c * w->OY + oy) * w->OX + ox)
#define COLUMN_AT ((((c * w->KY + ky) * w->KX + kx) * w->OY + oy) * w->OX + ox)

static void judge_image(sq_dtype t, const sq_window *w, const real *want) {
  for (int64_t i = 0; i < w->C * w->Y * w->X; i++) check_near(t, OUT(0), i, want[i], 32, 1);
}

static void max_pool_case(const sq_kern *kern, sq_dtype t, const sq_window *w) {
  static int64_t where[ROOM];
  kern->max_pool(w, IN(0), OUT(0), where);
  EACH_OUTPUT {
    int64_t best = -1;
    EACH_TAP {
      const int64_t at = tap_at(w, c, oy, ox, ky, kx);
      if (at < 0) continue;
      const real v = get(t, IN(0), at);
      if (best < 0 || v > get(t, IN(0), best) || isnan(v)) best = at;
    }
    check_near(t, OUT(0), OUTPUT_AT, get(t, IN(0), best), 0, 0);
    check(where[OUTPUT_AT] == best - c * w->Y * w->X, "lies elsewhere");
  }
}

/* What PyTorch divides by: the window cut to the padded image, or to the image. */
static real pool_divisor(const sq_window *w, int64_t oy, int64_t ox, bool pads) {
  real n = 0;
  EACH_TAP {
    const int64_t y = oy * w->SY - w->PY + ky, x = ox * w->SX - w->PX + kx;
    if (pads ? y < w->Y + w->PY && x < w->X + w->PX : tap_at(w, 0, oy, ox, ky, kx) >= 0) n++;
  }
  return n;
}

static void avg_pool_case(const sq_kern *kern, sq_dtype t, const sq_window *w) {
  for (int pads = 0; pads < 2; pads++) {
    kern->avg_pool(w, pads, IN(0), OUT(0));
    EACH_OUTPUT {
      real sum = 0;
      EACH_TAP {
        const int64_t at = tap_at(w, c, oy, ox, ky, kx);
        if (at >= 0) sum += get(t, IN(0), at);
      }
      check_near(t, OUT(0), OUTPUT_AT, sum / pool_divisor(w, oy, ox, pads), 4, 1);
    }
  }
}

static void avg_pool_back_case(const sq_kern *kern, sq_dtype t, const sq_window *w) {
  for (int pads = 0; pads < 2; pads++) {
    real want[4096] = {0};
    fill(t, IN(1), w->C * w->OY * w->OX, -1, 1);
    memset(OUT(0), 0, ROOM);
    kern->avg_pool_back(w, pads, IN(1), OUT(0));
    EACH_OUTPUT EACH_TAP {
      const int64_t at = tap_at(w, c, oy, ox, ky, kx);
      if (at >= 0) want[at] += get(t, IN(1), OUTPUT_AT) / pool_divisor(w, oy, ox, pads);
    }
    judge_image(t, w, want);
  }
}

/* The same where some pixels are infinite or NaN, and others are the least there are. */
static void max_pool_special_case(const sq_kern *kern, sq_dtype t, const sq_window *w) {
  fill_special(t, IN(0), w->C * w->Y * w->X, 1e15);
  max_pool_case(kern, t, w);
  for (int64_t i = 0; i < w->C * w->Y * w->X; i++) set(t, IN(0), i, -INFINITY);
  max_pool_case(kern, t, w);
}

/* Rows of more windows than are taken at once. */
static void test_long_pool(const sq_kern *kern, sq_dtype t) {
  sq_window w = {.C = 1, .Y = 3, .X = 2 * SQ_COLUMNS + 7, .KY = 2, .KX = 3, .SY = 1, .SX = 1};
  w.PY = 1, w.PX = 1, w.DY = w.DX = 1;
  for (; w.SX < 4; w.SX++) {
    set_out_size(&w);
    fill(t, IN(0), w.Y * w.X, -1, 1);
    max_pool_case(kern, t, &w);
  }
}

static void test_max_pool(const sq_kern *kern, sq_dtype t) {
  each_window(kern, t, true, max_pool_case);
  each_window(kern, t, true, max_pool_special_case);
  test_long_pool(kern, t);
}
static void test_avg_pool(const sq_kern *kern, sq_dtype t) {
  each_window(kern, t, false, avg_pool_case);
}
static void test_avg_pool_back(const sq_kern *kern, sq_dtype t) {
  each_window(kern, t, false, avg_pool_back_case);
}

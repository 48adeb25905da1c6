/* kernels_test_images.h: windows over images against the plainest loops: for each result, each tap.
 */

static const sq_window windows[] = {
    /* C Y X  KY KX  SY SX  PY PX  DY DX */
    {1, 4, 4, 2, 2, 2, 2, 0, 0, 1, 1, 2, 2}, {3, 5, 6, 3, 2, 1, 1, 1, 1, 1, 1, 5, 7},
    {2, 7, 5, 2, 3, 2, 1, 0, 1, 1, 1, 3, 5}, {2, 7, 7, 3, 3, 2, 2, 1, 1, 2, 2, 3, 3},
    {1, 1, 9, 1, 3, 1, 1, 0, 0, 1, 3, 1, 3}, {1, 3, 40, 2, 5, 1, 3, 1, 2, 1, 1, 4, 14},
    {2, 5, 5, 2, 2, 2, 2, 0, 0, 1, 1, 3, 3}, /* the last windows end outside, as in ceil_mode */
};
#define EACH_WINDOW \
  for (const sq_window *w = windows; w < windows + sizeof windows / sizeof *windows; w++)
#define EACH_RESULT                        \
  for (int64_t c = 0; c < w->C; c++)       \
    for (int64_t oy = 0; oy < w->OY; oy++) \
      for (int64_t ox = 0; ox < w->OX; ox++)

static int64_t result_of(const sq_window *w, int64_t c, int64_t oy, int64_t ox) {
  return (c * w->OY + oy) * w->OX + ox;
}

/* What tap (ky,kx) of a window reads: a place in x, -1 for padding. */
static int64_t tap_of(const sq_window *w, int64_t c, int64_t oy, int64_t ox, int64_t ky,
                      int64_t kx) {
  const int64_t y = oy * w->SY - w->PY + ky * w->DY, x = ox * w->SX - w->PX + kx * w->DX;
  return y < 0 || y >= w->Y || x < 0 || x >= w->X ? -1 : (c * w->Y + y) * w->X + x;
}

static void test_im2col(const sq_kern *kern, sq_dtype t) {
  EACH_WINDOW {
    fill(t, IN(0), w->C * w->Y * w->X, -2, 2);
    kern->im2col(w, IN(0), OUT(0));
    EACH_RESULT {
      for (int64_t k = 0; k < w->KY * w->KX; k++) {
        const int64_t from = tap_of(w, c, oy, ox, k / w->KX, k % w->KX);
        const int64_t to = result_of(w, c * w->KY * w->KX + k, oy, ox);
        check_near(t, OUT(0), to, from < 0 ? 0 : get(t, IN(0), from), 0, 0);
      }
    }
  }
}

/* Whole numbers, so that sums are exact. */
static void test_col2im(const sq_kern *kern, sq_dtype t) {
  EACH_WINDOW {
    const int64_t n = w->C * w->Y * w->X, taps = w->KY * w->KX;
    for (int64_t i = 0; i < n; i++) set(t, OUT(0), i, i % 5), set(SQ_F64, OUT(1), i, i % 5);
    for (int64_t i = 0; i < w->C * taps * w->OY * w->OX; i++) set(t, IN(0), i, i % 7 - 3);
    EACH_RESULT {
      for (int64_t k = 0; k < taps; k++) {
        const int64_t at = tap_of(w, c, oy, ox, k / w->KX, k % w->KX);
        const real g = get(t, IN(0), result_of(w, c * taps + k, oy, ox));
        if (at >= 0) set(SQ_F64, OUT(1), at, get(SQ_F64, OUT(1), at) + g);
      }
    }
    kern->col2im(w, IN(0), OUT(0));
    for (int64_t i = 0; i < n; i++) check_near(t, OUT(0), i, get(SQ_F64, OUT(1), i), 0, 0);
  }
}

static void test_max_pool(const sq_kern *kern, sq_dtype t) {
  int64_t *where = OUT(1);
  EACH_WINDOW {
    fill_special(t, IN(0), w->C * w->Y * w->X, 9);
    kern->max_pool(w, IN(0), OUT(0), where);
    EACH_RESULT {
      const int64_t r = result_of(w, c, oy, ox), plane = c * w->Y * w->X;
      real best = -INFINITY;
      bool nan = false;
      for (int64_t k = 0; k < w->KY * w->KX; k++) {
        const int64_t at = tap_of(w, c, oy, ox, k / w->KX, k % w->KX);
        if (at < 0) continue;
        nan = nan || isnan(get(t, IN(0), at));
        best = fmaxl(best, get(t, IN(0), at));
      }
      check_near(t, OUT(0), r, nan ? NAN : best, 0, 0);
      const real there = get(t, IN(0), plane + where[r]), got = get(t, OUT(0), r);
      check(there == got || (isnan(there) && isnan(got)), "[%" PRId64 "] lies elsewhere", r);
    }
  }
}

/* The taps inside the plane, and what their sum is divided by. */
static real pool_taps(const sq_window *w, int64_t oy, int64_t ox, bool pads) {
  real n = 0;
  for (int64_t k = 0; k < w->KY * w->KX; k++) {
    const int64_t y = oy * w->SY - w->PY + k / w->KX, x = ox * w->SX - w->PX + k % w->KX;
    n += pads ? y < w->Y + w->PY && x < w->X + w->PX
              : tap_of(w, 0, oy, ox, k / w->KX, k % w->KX) >= 0;
  }
  return n;
}

static void test_avg_pool(const sq_kern *kern, sq_dtype t) {
  EACH_WINDOW {
    if (w->DY != 1 || w->DX != 1) continue;
    for (int pads = 0; pads < 2; pads++) {
      fill(t, IN(0), w->C * w->Y * w->X, -2, 2);
      kern->avg_pool(w, pads, IN(0), OUT(0));
      EACH_RESULT {
        real sum = 0;
        for (int64_t k = 0; k < w->KY * w->KX; k++) {
          const int64_t at = tap_of(w, c, oy, ox, k / w->KX, k % w->KX);
          if (at >= 0) sum += get(t, IN(0), at);
        }
        check_near(t, OUT(0), result_of(w, c, oy, ox), sum / pool_taps(w, oy, ox, pads), 2, 2);
      }
    }
  }
}

static void test_avg_pool_back(const sq_kern *kern, sq_dtype t) {
  EACH_WINDOW {
    if (w->DY != 1 || w->DX != 1) continue;
    for (int pads = 0; pads < 2; pads++) {
      const int64_t n = w->C * w->Y * w->X;
      fill(t, IN(0), w->C * w->OY * w->OX, -2, 2);
      for (int64_t i = 0; i < n; i++) set(t, OUT(0), i, 1), set(SQ_F64, OUT(1), i, 1);
      EACH_RESULT {
        const real g = get(t, IN(0), result_of(w, c, oy, ox)) / pool_taps(w, oy, ox, pads);
        for (int64_t k = 0; k < w->KY * w->KX; k++) {
          const int64_t at = tap_of(w, c, oy, ox, k / w->KX, k % w->KX);
          if (at >= 0) set(SQ_F64, OUT(1), at, get(SQ_F64, OUT(1), at) + g);
        }
      }
      kern->avg_pool_back(w, pads, IN(0), OUT(0));
      for (int64_t i = 0; i < n; i++) check_near(t, OUT(0), i, get(SQ_F64, OUT(1), i), 8, 4);
    }
  }
}

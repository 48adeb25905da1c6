/* image_tmpl.h: pooling. An image is (C,Y,X); w gives kernel, stride, padding, dilation and the
 * size of the result. */

/* The first and last+1 output position whose input position lies in 0..size-1, for one tap. */
static inline void S(reach)(int64_t size, int64_t out, int64_t tap, int64_t stride, int64_t padding,
                            int64_t *first, int64_t *end) {
  const int64_t low = padding - tap; /* position o reads o stride - low */
  *first = low > 0 ? (low + stride - 1) / stride : 0;
  *end = size - 1 + low < 0 ? 0 : (size - 1 + low) / stride + 1;
  if (*end > out) *end = out;
  if (*first > *end) *first = *end;
}

/* One tap over n windows side by side: where it is greater than what was found, or NaN, it is it;
 * `place` is where it lies behind a window's corner. */
INLINE void S(pool_tap)(int64_t n, int64_t step, const T *from, U place, T *best, U *found) {
  SIMD for (int64_t i = 0; i < n; i++) {
    const T v = from[i * step];
    const bool wins = v > best[i] || v != v;
    best[i] = wins ? v : best[i];
    found[i] = wins ? place : found[i];
  }
}

static void S(pool_taps)(int64_t n, int64_t step, const T *from, U place, T *best, U *found) {
  if (step == 1) {
    S(pool_tap)(n, 1, from, place, best, found);
  } else if (step == 2) {
    S(pool_tap)(n, 2, from, place, best, found);
  } else {
    S(pool_tap)(n, step, from, place, best, found);
  }
}

/* The first tap inside the plane, of a window that holds nothing above -Inf. */
static U S(first_place)(const sq_window *w, int64_t y, int64_t x) {
  const int64_t ky = y < 0 ? (-y + w->DY - 1) / w->DY : 0;
  const int64_t kx = x < 0 ? (-x + w->DX - 1) / w->DX : 0;
  return (U)(ky * w->DY * w->X + kx * w->DX);
}

/* Windows from..from+n of row oy of one plane. */
static void S(pool_line)(const sq_window *w, const T *plane, int64_t oy, int64_t from, int64_t n,
                         T *best, int64_t *where) {
  U found[SQ_COLUMNS];
  const int64_t y = oy * w->SY - w->PY;
  for (int64_t i = 0; i < n; i++) best[i] = (T)-INFINITY, found[i] = (U)-1;
  for (int64_t ky = 0; ky < w->KY; ky++) {
    const int64_t iy = y + ky * w->DY;
    for (int64_t kx = 0; kx < w->KX && iy >= 0 && iy < w->Y; kx++) {
      int64_t first, end;
      S(reach)(w->X, from + n, kx * w->DX, w->SX, w->PX, &first, &end);
      if (first < from) first = from;
      if (first >= end) continue;
      S(pool_taps)
      (end - first, w->SX, plane + iy * w->X + first * w->SX - w->PX + kx * w->DX,
       (U)(ky * w->DY * w->X + kx * w->DX), best + first - from, found + first - from);
    }
  }
  for (int64_t i = 0; i < n; i++) {
    const int64_t x = (from + i) * w->SX - w->PX;
    if (found[i] == (U)-1) found[i] = S(first_place)(w, y, x);
    where[i] = y * w->X + x + (int64_t)found[i];
  }
}

/* The greatest of each window of C planes, and where it lies in its plane; NaN wins. */
static void S(max_pool)(const sq_window *w, const void *x, void *y, int64_t *where) {
  const T *plane = x;
  T *to = y;
  for (int64_t c = 0; c < w->C; c++, plane += w->Y * w->X) {
    for (int64_t oy = 0; oy < w->OY; oy++) {
      for (int64_t ox = 0, n; ox < w->OX; ox += n, to += n, where += n) {
        n = w->OX - ox < SQ_COLUMNS ? w->OX - ox : SQ_COLUMNS;
        S(pool_line)(w, plane, oy, ox, n, to, where);
      }
    }
  }
}

/* The window at (oy,ox), cut to the plane; and what PyTorch divides by. */
static inline double S(pool_window)(const sq_window *w, int64_t oy, int64_t ox, bool pads,
                                    int64_t *y0, int64_t *y1, int64_t *x0, int64_t *x1) {
  *y0 = oy * w->SY - w->PY, *x0 = ox * w->SX - w->PX;
  *y1 = *y0 + w->KY < w->Y + w->PY ? *y0 + w->KY : w->Y + w->PY;
  *x1 = *x0 + w->KX < w->X + w->PX ? *x0 + w->KX : w->X + w->PX;
  const double padded = (double)((*y1 - *y0) * (*x1 - *x0));
  if (*y0 < 0) *y0 = 0;
  if (*x0 < 0) *x0 = 0;
  if (*y1 > w->Y) *y1 = w->Y;
  if (*x1 > w->X) *x1 = w->X;
  return pads ? padded : (double)((*y1 - *y0) * (*x1 - *x0));
}

/* The mean of each window of C planes; pads: padding counts as zeros. */
static void S(avg_pool)(const sq_window *w, bool pads, const void *x, void *y) {
  const T *plane = x;
  T *to = y;
  int64_t y0, y1, x0, x1;
  for (int64_t c = 0; c < w->C; c++, plane += w->Y * w->X) {
    for (int64_t oy = 0; oy < w->OY; oy++) {
      for (int64_t ox = 0; ox < w->OX; ox++) {
        const double n = S(pool_window)(w, oy, ox, pads, &y0, &y1, &x0, &x1);
        double sum = 0;
        for (int64_t iy = y0; iy < y1; iy++)
          for (int64_t ix = x0; ix < x1; ix++) sum += (double)plane[iy * w->X + ix];
        *to++ = (T)(sum / n);
      }
    }
  }
}

/* dx += each dy, shared by its window. */
static void S(avg_pool_back)(const sq_window *w, bool pads, const void *dy, void *dx) {
  const T *g = dy;
  T *plane = dx;
  int64_t y0, y1, x0, x1;
  for (int64_t c = 0; c < w->C; c++, plane += w->Y * w->X) {
    for (int64_t oy = 0; oy < w->OY; oy++) {
      for (int64_t ox = 0; ox < w->OX; ox++) {
        const double n = S(pool_window)(w, oy, ox, pads, &y0, &y1, &x0, &x1);
        const T share = (T)((double)*g++ / n);
        for (int64_t iy = y0; iy < y1; iy++)
          for (int64_t ix = x0; ix < x1; ix++) plane[iy * w->X + ix] += share;
      }
    }
  }
}

/* image_tmpl.h: pooling. An image is (C,Y,X); w gives kernel, stride, padding, dilation and the
 * size of the result. */

/* The greatest of each window of C planes, and where it lies in its plane; NaN wins. */
static void S(max_pool)(const sq_window *w, const void *x, void *y, int64_t *where) {
  const T *plane = x;
  T *to = y;
  for (int64_t c = 0; c < w->C; c++, plane += w->Y * w->X) {
    for (int64_t oy = 0; oy < w->OY; oy++) {
      for (int64_t ox = 0; ox < w->OX; ox++) {
        int64_t best = -1;
        for (int64_t ky = 0; ky < w->KY; ky++) {
          const int64_t iy = oy * w->SY - w->PY + ky * w->DY;
          for (int64_t kx = 0; kx < w->KX && iy >= 0 && iy < w->Y; kx++) {
            const int64_t ix = ox * w->SX - w->PX + kx * w->DX, at = iy * w->X + ix;
            if (ix < 0 || ix >= w->X) continue;
            if (best < 0 || plane[at] > plane[best] || plane[at] != plane[at]) best = at;
          }
        }
        *to++ = plane[best];
        *where++ = best;
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

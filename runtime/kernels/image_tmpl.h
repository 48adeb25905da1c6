/* image_tmpl.h: windows over images: columns for a convolution's product and back, and pooling. An
 * image is (C,Y,X); w gives kernel, stride, padding, dilation and the size of the result. */

/* The first and last+1 output position whose input position lies in 0..size-1, for one tap. */
static inline void S(reach)(int64_t size, int64_t out, int64_t tap, int64_t stride, int64_t padding,
                            int64_t *first, int64_t *end) {
  const int64_t low = padding - tap; /* position o reads o stride - low */
  *first = low > 0 ? (low + stride - 1) / stride : 0;
  *end = size - 1 + low < 0 ? 0 : (size - 1 + low) / stride + 1;
  if (*end > out) *end = out;
  if (*first > *end) *first = *end;
}

/* columns (C KY KX, OY OX): row (c,ky,kx) holds what that tap reads at each output position. */
static void S(im2col)(const sq_window *w, const void *x, void *columns) {
  const int64_t area = w->OY * w->OX;
  T *to = columns;
  for (int64_t row = 0; row < w->C * w->KY * w->KX; row++, to += area) {
    const int64_t kx = row % w->KX * w->DX, ky = row / w->KX % w->KY * w->DY;
    const T *image = (const T *)x + row / (w->KX * w->KY) * w->Y * w->X;
    int64_t first, end;
    S(reach)(w->X, w->OX, kx, w->SX, w->PX, &first, &end);
    for (int64_t oy = 0; oy < w->OY; oy++) {
      T *line = to + oy * w->OX;
      const int64_t y = oy * w->SY - w->PY + ky;
      if (y < 0 || y >= w->Y) {
        memset(line, 0, (size_t)w->OX * sizeof(T));
        continue;
      }
      const T *from = image + y * w->X + kx - w->PX;
      for (int64_t ox = 0; ox < first; ox++) line[ox] = 0;
      if (w->SX == 1) {
        if (end > first) memcpy(line + first, from + first, (size_t)(end - first) * sizeof(T));
      } else {
        for (int64_t ox = first; ox < end; ox++) line[ox] = from[ox * w->SX];
      }
      for (int64_t ox = end; ox < w->OX; ox++) line[ox] = 0;
    }
  }
}

/* x += the columns, each where it was read. */
static void S(col2im)(const sq_window *w, const void *columns, void *x) {
  const int64_t area = w->OY * w->OX;
  const T *from = columns;
  for (int64_t row = 0; row < w->C * w->KY * w->KX; row++, from += area) {
    const int64_t kx = row % w->KX * w->DX, ky = row / w->KX % w->KY * w->DY;
    T *image = (T *)x + row / (w->KX * w->KY) * w->Y * w->X;
    int64_t first, end;
    S(reach)(w->X, w->OX, kx, w->SX, w->PX, &first, &end);
    for (int64_t oy = 0; oy < w->OY; oy++) {
      const int64_t y = oy * w->SY - w->PY + ky;
      if (y < 0 || y >= w->Y) continue;
      T *to = image + y * w->X + kx - w->PX;
      const T *line = from + oy * w->OX;
      for (int64_t ox = first; ox < end; ox++) to[ox * w->SX] += line[ox];
    }
  }
}

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

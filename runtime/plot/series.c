/* series.c: what is drawn into a panel: checked, copied, given its looks. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/shape.h"
#include "plot/plot_priv.h"

enum { MOST_BINS = 10000, MOST_SIDE = 16384 };
#define MOST_POINTS ((int64_t)1 << 32)

/* --- looks ---------------------------------------------------------------------------------- */

static sq_status set_dash(sq_series *s, const char *dash) {
  static const char *const known[] = {"-", "--", ":", "-."};
  if (!dash) dash = "-";
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (strcmp(dash, known[i]) != 0) continue;
    memcpy(s->dash, known[i], strlen(known[i]) + 1);
    return SQ_OK;
  }
  return sq_fail(SQ_EARG, "[plot] dash is '%s': one of - -- : -.", dash);
}

static sq_status set_marker(sq_series *s, const char *marker) {
  if (!marker || marker[0] == 0) return SQ_OK;
  if (marker[1] == 0 && strchr("os^vDx+.", marker[0])) {
    s->marker = marker[0];
    return SQ_OK;
  }
  return sq_fail(SQ_EARG, "[plot] marker is '%s': one of o s ^ v D x + .", marker);
}

static sq_status check_style_sizes(const sq_plot_style *p) {
  bool width = p->width >= 0 && p->width <= 100, size = p->size >= 0 && p->size <= 100;
  if (!width || !size)
    return sq_fail(SQ_EARG, "[plot] width %g, size %g: 0 to 100 points", p->width, p->size);
  if (p->alpha >= 0 && p->alpha <= 1) return SQ_OK;
  return sq_fail(SQ_EARG, "[plot] alpha is %g: 0 to 1", p->alpha);
}

/* A band belongs to the line before it; every other series takes the next colour. */
static sq_rgb next_color(sq_axes *axes, const sq_series *s) {
  if (s->kind != SERIES_BAND) return sq__color_palette(axes->colors++);
  sq_rgb color = sq__color_palette(axes->colors);
  for (const sq_series *t = axes->first; t; t = t->next) {
    if (t->kind == SERIES_LINE) color = t->color;
  }
  return color;
}

static sq_status set_style(sq_axes *axes, sq_series *s, const sq_plot_style *style) {
  static const sq_plot_style none;
  const sq_plot_style *p = style ? style : &none;
  SQ_TRY(check_style_sizes(p));
  SQ_TRY(set_dash(s, p->dash));
  SQ_TRY(set_marker(s, p->marker));
  if (s->kind == SERIES_SCATTER && !s->marker) s->marker = 'o';
  s->width = p->width > 0 ? p->width : 1.4;
  s->size = p->size > 0 ? p->size : 5;
  s->alpha = p->alpha > 0 ? p->alpha : s->kind == SERIES_BAND ? 0.2 : 1;
  if (p->label) SQ_TRY(sq_strdup(p->label, &s->label));
  if (p->color) return sq__color_parse(p->color, &s->color);
  s->color = next_color(axes, s);
  return SQ_OK;
}

/* --- making, and joining to the panel ------------------------------------------------------- */

static void drop_series(sq_series *s) {
  sq_free(s->x);
  sq_free(s->names);
  sq_free(s->pixels);
  sq_free(s->label);
  sq_free(s);
}

static sq_status make_series(series_kind kind, int64_t n, sq_series **out) {
  if (n < 0 || n > MOST_POINTS) return sq_fail(SQ_EARG, "[plot] %" PRId64 " points", n);
  void *block;
  SQ_TRY(sq_alloc_zero(sizeof(sq_series), &block));
  *out = block;
  (*out)->kind = kind;
  (*out)->n = n;
  return SQ_OK;
}

/* The last step of every series: on failure the panel is as it was. */
static sq_status join_series(sq_axes *axes, sq_series *s, sq_status status,
                             const sq_plot_style *style) {
  int colors = axes->colors;
  if (status == SQ_OK && s->kind != SERIES_IMAGE) status = set_style(axes, s, style);
  if (status != SQ_OK) {
    axes->colors = colors;
    drop_series(s);
    return status;
  }
  *axes->last = s;
  axes->last = &s->next;
  return SQ_OK;
}

/* One block for the three columns; x counts from 1 where there is none. */
static sq_status copy_columns(sq_series *s, const double *x, const double *y, const double *y2) {
  void *block;
  int64_t columns = y2 ? 3 : 2;
  SQ_TRY(sq_alloc(columns * s->n * (int64_t)sizeof(double), &block));
  s->x = block;
  s->y = s->x + s->n;
  for (int64_t i = 0; i < s->n; i++) s->x[i] = x ? x[i] : (double)(i + 1);
  if (s->n > 0) memcpy(s->y, y, (size_t)s->n * sizeof *y);
  if (!y2) return SQ_OK;
  s->y2 = s->y + s->n;
  if (s->n > 0) memcpy(s->y2, y2, (size_t)s->n * sizeof *y2);
  return SQ_OK;
}

sq_status sq_axes_line(sq_axes *axes, int64_t n, const double *x, const double *y,
                       const sq_plot_style *style) {
  sq_series *s = NULL;
  SQ_TRY(make_series(SERIES_LINE, n, &s));
  return join_series(axes, s, copy_columns(s, x, y, NULL), style);
}

sq_status sq_axes_scatter(sq_axes *axes, int64_t n, const double *x, const double *y,
                          const sq_plot_style *style) {
  sq_series *s = NULL;
  SQ_TRY(make_series(SERIES_SCATTER, n, &s));
  return join_series(axes, s, copy_columns(s, x, y, NULL), style);
}

sq_status sq_axes_band(sq_axes *axes, int64_t n, const double *x, const double *lo,
                       const double *hi, const sq_plot_style *style) {
  sq_series *s = NULL;
  SQ_TRY(make_series(SERIES_BAND, n, &s));
  return join_series(axes, s, copy_columns(s, x, lo, hi), style);
}

/* --- bars ----------------------------------------------------------------------------------- */

/* Pointers and texts in one block. */
static sq_status copy_names(sq_series *s, const char *const *names) {
  if (!names) return SQ_OK;
  int64_t room = s->n * (int64_t)sizeof(char *);
  for (int64_t i = 0; i < s->n; i++) room += (int64_t)strlen(names[i]) + 1;
  void *block;
  SQ_TRY(sq_alloc(room, &block));
  s->names = block;
  char *at = (char *)(s->names + s->n);
  for (int64_t i = 0; i < s->n; i++) {
    size_t size = strlen(names[i]) + 1;
    s->names[i] = memcpy(at, names[i], size);
    at += size;
  }
  return SQ_OK;
}

sq_status sq_axes_bar(sq_axes *axes, int64_t n, const double *x, const double *y,
                      const char *const *names, const sq_plot_style *style) {
  sq_series *s = NULL;
  SQ_TRY(make_series(SERIES_BAR, n, &s));
  sq_status status = copy_columns(s, x, y, NULL);
  if (status == SQ_OK) status = copy_names(s, names);
  return join_series(axes, s, status, style);
}

/* --- histograms ----------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Freedman and Diaconis: a bin is 2 IQR / n^(1/3) wide. sorted has n >= 1 values. */
static int64_t choose_bins(int64_t n, const double *sorted) {
  double span = sorted[n - 1] - sorted[0];
  double iqr = sorted[(n - 1) * 3 / 4] - sorted[(n - 1) / 4];
  double bins = iqr > 0 ? ceil(span / (2 * iqr / cbrt((double)n))) : ceil(sqrt((double)n));
  return bins < 5 ? 5 : bins > 60 ? 60 : (int64_t)bins;
}

static sq_status count_bins(sq_series *s, int64_t bins, int64_t n, const double *sorted) {
  double lo = n > 0 ? sorted[0] : 0, hi = n > 0 ? sorted[n - 1] : 1;
  if (lo == hi) {
    double half = fabs(lo) > 1 / SQ_PLOT_MOST ? fabs(lo) * 0.05 : 0.5;
    lo -= half;
    hi += half;
  }
  void *block;
  SQ_TRY(sq_alloc_zero((2 * bins + 1) * (int64_t)sizeof(double), &block));
  s->n = bins;
  s->x = block;
  s->y = s->x + bins + 1;
  for (int64_t i = 0; i <= bins; i++) {
    double t = (double)i / (double)bins;
    s->x[i] = lo * (1 - t) + hi * t;
  }
  for (int64_t i = 0; i < n; i++) {
    double t = (sorted[i] - lo) / (hi - lo);
    int64_t bin = (int64_t)(t * (double)bins);
    s->y[bin < bins ? bin : bins - 1] += 1;
  }
  return SQ_OK;
}

static sq_status fill_hist(sq_series *s, int64_t n, const double *values, int64_t bins) {
  if (bins < 0 || bins > MOST_BINS)
    return sq_fail(SQ_EARG, "[plot] %" PRId64 " bins: 1 to %d, or 0", bins, MOST_BINS);
  void *block;
  SQ_TRY(sq_alloc(n * (int64_t)sizeof(double), &block));
  double *sorted = block;
  int64_t finite = 0;
  for (int64_t i = 0; i < n; i++) {
    if (fabs(values[i]) <= SQ_PLOT_MOST) sorted[finite++] = values[i];
  }
  qsort(sorted, (size_t)finite, sizeof *sorted, by_value);
  if (bins == 0) bins = finite > 0 ? choose_bins(finite, sorted) : 1;
  sq_status status = count_bins(s, bins, finite, sorted);
  sq_free(sorted);
  return status;
}

sq_status sq_axes_hist(sq_axes *axes, int64_t n, const double *values, int64_t bins,
                       const sq_plot_style *style) {
  sq_series *s = NULL;
  SQ_TRY(make_series(SERIES_HIST, n, &s));
  return join_series(axes, s, fill_hist(s, n, values, bins), style);
}

/* --- pictures ------------------------------------------------------------------------------- */

static uint32_t color_channel(double v) {
  v = v > 0 ? v < 1 ? v : 1 : 0; /* NaN is 0 */
  return (uint32_t)(v * 255 + 0.5);
}

/* Premultiplied, as cairo's ARGB32. */
static uint32_t pack_pixel(sq_rgb c, double alpha) {
  return color_channel(alpha) << 24 | color_channel(c.r * alpha) << 16 |
         color_channel(c.g * alpha) << 8 | color_channel(c.b * alpha);
}

static void value_range(int64_t n, const double *v, double *lo, double *hi) {
  double least = INFINITY, most = -INFINITY;
  for (int64_t i = 0; i < n; i++) {
    if (!isfinite(v[i])) continue;
    if (v[i] < least) least = v[i];
    if (v[i] > most) most = v[i];
  }
  *lo = least < most ? least : least == most ? least - 0.5 : 0;
  *hi = least < most ? most : least == most ? most + 0.5 : 1;
}

static sq_status fill_image(sq_series *s, int64_t c, const double *v, double lo, double hi,
                            const char *name) {
  const sq_colormap *map;
  SQ_TRY(sq__colormap_find(name ? name : "gray", &map));
  int64_t n = s->pixels_y * s->pixels_x;
  if (lo == 0 && hi == 0) {
    hi = 1;
    if (c == 1) value_range(n, v, &lo, &hi);
  }
  void *block;
  SQ_TRY(sq_alloc(n * 4, &block));
  s->pixels = block;
  for (int64_t i = 0; i < n; i++, v += c) {
    double at[4] = {0, 0, 0, 1};
    bool clear = false;
    for (int64_t k = 0; k < c; k++) {
      at[k] = (v[k] - lo) / (hi - lo);
      clear = clear || isnan(v[k]);
    }
    sq_rgb color = c == 1 ? sq__colormap_at(map, at[0]) : (sq_rgb){at[0], at[1], at[2]};
    s->pixels[i] = clear ? 0 : pack_pixel(color, at[3]);
  }
  return SQ_OK;
}

static sq_status check_image(int64_t y, int64_t x, int64_t c, double lo, double hi) {
  if (y < 1 || y > MOST_SIDE || x < 1 || x > MOST_SIDE || (c != 1 && c != 3 && c != 4)) {
    return sq_fail(SQ_EARG,
                   "[plot] an image of %" PRId64 " x %" PRId64 " pixels, %" PRId64
                   " channels: sides are 1 to %d, channels 1, 3 or 4",
                   y, x, c, MOST_SIDE);
  }
  if ((lo == 0 && hi == 0) || (lo < hi && isfinite(hi - lo))) return SQ_OK;
  return sq_fail(SQ_EARG, "[plot] an image's range is %g to %g: the first must be less", lo, hi);
}

sq_status sq_axes_image(sq_axes *axes, int64_t y, int64_t x, int64_t c, const double *values,
                        double lo, double hi, const char *map) {
  SQ_TRY(check_image(y, x, c, lo, hi));
  sq_series *s = NULL;
  SQ_TRY(make_series(SERIES_IMAGE, 0, &s));
  s->pixels_y = y;
  s->pixels_x = x;
  s->alpha = 1;
  return join_series(axes, s, fill_image(s, c, values, lo, hi, map), NULL);
}

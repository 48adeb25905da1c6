/* plot.h: figures of training curves, bars, histograms and pictures, as PNG, SVG or PDF. Knows no
 * tensors: arrays of doubles go in, copies are kept. Positions of axes count from 0 here. */
#ifndef SQ_PLOT_PLOT_H
#define SQ_PLOT_PLOT_H

#include "base/status.h"

typedef struct sq_figure sq_figure; /* rows x cols axes on one page */
typedef struct sq_axes sq_axes;     /* one panel; lives as long as its figure */

/* What a figure is made with. Lengths are points (1/72 inch); a PNG has 2 pixels a point. 0 or
 * NULL: the default. */
typedef struct sq_figure_spec {
  int64_t rows, cols;   /* 1..32, default 1 */
  double width, height; /* 0, or 50..4000; by default what rows and cols need. Too little room grows
                           the page. */
  const char *title;    /* UTF-8; NULL: none */
} sq_figure_spec;

/* How a series looks. NULL and 0 are the defaults. */
typedef struct sq_plot_style {
  const char *color; /* "#rgb", "#rrggbb", a CSS name, "C0".."C7" of the palette; NULL: the next of
                        the palette */
  const char *label; /* what the legend says; NULL: not in the legend */
  const char *dash;  /* "-" (default), "--", ":", "-." */
  const char
      *marker;  /* "o" "s" "^" "v" "D" "x" "+" "."; a line has none by default, a scatter has "o" */
  double width; /* of lines, points; 1.4 */
  double size;  /* of markers, points; 5 */
  double alpha; /* 0 < alpha <= 1; lines 1, bands 0.2 */
} sq_plot_style;

/* An empty figure. [new, sq_figure_free | fails: arg, nomem | Lua thread] */
SQ_CHECKED sq_status sq_figure_new(const sq_figure_spec *spec, sq_figure **out);

/* Takes NULL. [take | Lua thread] */
void sq_figure_free(sq_figure *figure);

/* The panel in that row and column, from 0. A panel that was never asked for stays blank.
 * [borrow | fails: arg | Lua thread] */
SQ_CHECKED sq_status sq_figure_axes(sq_figure *figure, int64_t row, int64_t col, sq_axes **out);

/* A line through (x[i], y[i]); x NULL: 1, 2, ..., n. A NaN or infinity is a gap; a point alone
 * between gaps is a dot. style may be NULL, here and below. [fails: arg, nomem | Lua thread] */
SQ_CHECKED sq_status sq_axes_line(sq_axes *axes, int64_t n, const double *x, const double *y,
                                  const sq_plot_style *style);

/* A marker at each (x[i], y[i]); x NULL: 1, 2, ..., n. [fails: arg, nomem | Lua thread] */
SQ_CHECKED sq_status sq_axes_scatter(sq_axes *axes, int64_t n, const double *x, const double *y,
                                     const sq_plot_style *style);

/* A bar from 0 to y[i] at x[i]; x NULL: 1, 2, ..., n. names[i], where given, stands under it in
 * place of numbers. Bars of several calls stand side by side. [fails: arg, nomem | Lua thread] */
SQ_CHECKED sq_status sq_axes_bar(sq_axes *axes, int64_t n, const double *x, const double *y,
                                 const char *const *names, const sq_plot_style *style);

/* How many of the values within 1e300 fall in each of `bins` equal parts of [least, greatest];
 * bins 0: by the rule of Freedman and Diaconis (1981), 5..60; else 1..10000.
 * [fails: arg, nomem | Lua thread] */
SQ_CHECKED sq_status sq_axes_hist(sq_axes *axes, int64_t n, const double *values, int64_t bins,
                                  const sq_plot_style *style);

/* The area between (x[i], lo[i]) and (x[i], hi[i]); x NULL: 1, 2, ..., n. Without a colour it takes
 * that of the line before it. [fails: arg, nomem | Lua thread] */
SQ_CHECKED sq_status sq_axes_band(sq_axes *axes, int64_t n, const double *x, const double *lo,
                                  const double *hi, const sq_plot_style *style);

/* A picture, values (Y,X,C): C = 1 goes through the colour map ("gray" by default, "gray_r",
 * "viridis", "magma", "coolwarm"), C = 3 and 4 are red, green, blue (and alpha). lo..hi is the
 * range of the values; lo = hi = 0: least and greatest value for C = 1, 0..1 for colours. NaN is
 * transparent. Row 0 is at the top; sides up to 16,384. [fails: arg, nomem | Lua thread] */
SQ_CHECKED sq_status sq_axes_image(sq_axes *axes, int64_t y, int64_t x, int64_t c,
                                   const double *values, double lo, double hi, const char *map);

/* The texts around a panel; NULL takes one away. UTF-8. [fails: nomem | Lua thread] */
SQ_CHECKED sq_status sq_axes_set_title(sq_axes *axes, const char *text);
SQ_CHECKED sq_status sq_axes_set_xlabel(sq_axes *axes, const char *text);
SQ_CHECKED sq_status sq_axes_set_ylabel(sq_axes *axes, const char *text);

/* What a panel shows: lo < hi, within 1e300 (a NaN in place of either: found from the data).
 * [fails: arg | Lua thread] */
SQ_CHECKED sq_status sq_axes_set_xlim(sq_axes *axes, double lo, double hi);
SQ_CHECKED sq_status sq_axes_set_ylim(sq_axes *axes, double lo, double hi);

/* "linear" or "log"; a log axis leaves out what is not positive. [fails: arg | Lua thread] */
SQ_CHECKED sq_status sq_axes_set_xscale(sq_axes *axes, const char *scale);
SQ_CHECKED sq_status sq_axes_set_yscale(sq_axes *axes, const char *scale);

/* Shows the labels of the series: "best" (NULL: where it hides least), "upper right", "upper left",
 * "lower left", "lower right", "upper center", "lower center", "center left", "center right", or
 * "outside" (right of the panel). [fails: arg | Lua thread] */
SQ_CHECKED sq_status sq_axes_legend(sq_axes *axes, const char *place);

typedef enum sq_figure_kind { SQ_FIGURE_PNG, SQ_FIGURE_SVG, SQ_FIGURE_PDF } sq_figure_kind;

/* The figure as the bytes of a file; the same figure gives the same bytes as PNG and PDF (as SVG
 * too, but for numbers in names that count up). [new, *bytes with sq_free | fails: arg (a text that
 * is no UTF-8), nomem | Lua thread] */
SQ_CHECKED sq_status sq_figure_render(sq_figure *figure, sq_figure_kind kind, void **bytes,
                                      int64_t *size);

/* Renders by the ending of the path, .png, .svg or .pdf, and writes it whole or not at all.
 * [fails: arg, io, nomem | Lua thread] */
SQ_CHECKED sq_status sq_figure_save(sq_figure *figure, const char *path);

#endif

/* plot_priv.h: what the rooms of plot/ share: the model of a figure, ticks, colours, layout. */
#ifndef SQ_PLOT_PLOT_PRIV_H
#define SQ_PLOT_PLOT_PRIV_H

#include <cairo.h>

#include "plot/plot.h"

/* The greatest value that an axis reaches. */
#define SQ_PLOT_MOST 1e300

/* --- the model: what was asked for (figure.c, series.c) ------------------------------------- */

typedef struct sq_rgb {
  double r, g, b;
} sq_rgb;

typedef enum series_kind {
  SERIES_IMAGE, /* in the order in which they are drawn */
  SERIES_BAND,
  SERIES_BAR,
  SERIES_HIST,
  SERIES_LINE,
  SERIES_SCATTER,
  SERIES_KINDS
} series_kind;

typedef struct sq_series {
  struct sq_series *next;
  series_kind kind;
  int64_t n;
  double *x, *y,
      *y2;      /* n each; HIST: x has n + 1 edges; BAND: y..y2. One block, which begins at x */
  char **names; /* BAR: n texts in one block, or NULL */
  int64_t pixels_y, pixels_x;
  uint32_t *pixels; /* IMAGE: premultiplied ARGB, rows as cairo wants them */
  sq_rgb color;
  double width, size, alpha;
  char dash[3], marker; /* marker 0: none */
  char *label;
} sq_series;

typedef struct sq_axis {
  double lo, hi; /* as set; NaN: from the data */
  bool log;
  char *label;
} sq_axis;

struct sq_axes {
  bool used;
  sq_axis x, y;
  char *title;
  const char *legend; /* one of the places, or NULL */
  sq_series *first, **last;
  int colors; /* how many of the palette are taken */
};

struct sq_figure {
  int rows, cols;
  double width, height;
  char *title;
  sq_axes *axes; /* (rows, cols) */
};

/* --- colours (color.c) ---------------------------------------------------------------------- */

/* The colour of that name. [fails: arg] */
SQ_CHECKED sq_status sq__color_parse(const char *name, sq_rgb *out);

/* The i-th of the palette, which goes round. */
sq_rgb sq__color_palette(int i);

/* A colour map by name. [borrow | fails: arg, with the list] */
typedef struct sq_colormap sq_colormap;
SQ_CHECKED sq_status sq__colormap_find(const char *name, const sq_colormap **out);

/* The map's colour at t, held to 0..1. */
sq_rgb sq__colormap_at(const sq_colormap *map, double t);

/* --- ticks (ticks.c) ------------------------------------------------------------------------ */

enum { TICKS_MOST = 96 };

typedef struct sq_tick {
  double at;
  bool minor;
  const char *name; /* what is written: text, or a bar's name */
  char text[40];
} sq_tick;

typedef struct sq_ticks {
  int n;
  sq_tick tick[TICKS_MOST];
} sq_ticks;

/* Ticks of lo..hi, lo < hi, about `most` of them labelled, 2 <= most <= 12, at multiples of 1, 2 or
 * 5 times a power of ten; `whole`: no step below 1. A log axis (lo > 0) has its decades, and 2..9
 * between them as minor ticks. */
void sq__ticks_choose(double lo, double hi, int most, bool log, bool whole, sq_ticks *out);

/* --- layout (range.c, layout.c) ------------------------------------------------------------- */

typedef struct sq_box {
  double x, y, w, h;
} sq_box;

typedef struct sq_range {
  double lo, hi;
  bool log, whole, reversed;
} sq_range;

/* What one panel needs to be drawn. */
typedef struct sq_view {
  sq_axes *axes;
  sq_range x, y;
  sq_ticks xticks, yticks;
  bool bare;                       /* a picture: no ticks, no spines, its own proportions */
  bool slanted;                    /* names under bars that do not fit side by side */
  double left, right, top, bottom; /* room its texts need around the box */
  double legend_w, legend_h;
  sq_box box;
} sq_view;

typedef struct sq_page {
  sq_figure *figure;
  double width, height; /* points */
  sq_view *views;       /* (rows, cols) */
} sq_page;

/* The ranges of both axes: as set, else from the data with a margin; never empty. */
void sq__range_find(const sq_axes *axes, sq_range *x, sq_range *y);

/* Where a value lies between the ends of a range, 0..1 within; NaN when a log axis cannot show
 * it. */
double sq__range_place(const sq_range *range, double value);

/* A value's place on the page. */
double sq__view_x(const sq_view *v, double value);
double sq__view_y(const sq_view *v, double value);

/* The middle of bar i of a series and the width of one bar, in values of x. */
double sq__bar_place(const sq_axes *axes, const sq_series *s, int64_t i, double *width);

/* Places everything so that no text is cut off. `cr` measures text.
 * [new, sq_free(page->views) | fails: nomem] */
SQ_CHECKED sq_status sq__layout(sq_figure *figure, cairo_t *cr, sq_page *page);

/* --- drawing (text.c, marks.c, legend.c, draw.c, render.c) ---------------------------------- */

enum { TEXT_TICK, TEXT_LABEL, TEXT_TITLE, TEXT_FIGURE };

/* Sets the font of that kind of text. */
void sq__text_font(cairo_t *cr, int kind);
/* The same, smaller where the text would be wider than `room`. */
void sq__text_fit(cairo_t *cr, int kind, const char *text, double room);
/* How far a text in the current font goes, and how high a line of it is. */
double sq__text_width(cairo_t *cr, const char *text);
double sq__text_height(cairo_t *cr);
/* Writes at (x, y), the middle of the text's height; align 0 begins, 0.5 centres, 1 ends there;
 * angle in radians. */
void sq__text_draw(cairo_t *cr, double x, double y, double align, double angle, const char *text);

void sq__set_color(cairo_t *cr, sq_rgb color, double alpha);
void sq__set_dash(cairo_t *cr, const sq_series *s);
void sq__draw_marker(cairo_t *cr, const sq_series *s, double x, double y);
void sq__draw_series(cairo_t *cr, const sq_view *v, const sq_series *s);

/* The size of a panel's legend; 0 x 0 without one. */
void sq__legend_size(cairo_t *cr, const sq_axes *axes, double *w, double *h);
void sq__legend_draw(cairo_t *cr, const sq_view *v);

/* The whole page. */
void sq__draw_page(cairo_t *cr, const sq_page *page);

#endif

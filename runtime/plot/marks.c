/* marks.c: lines, markers, bars, bands and pictures within one panel. */
#include <math.h>

#include "plot/plot_priv.h"

enum { MANY = 4000 }; /* a longer line is drawn as what it covers of each half point of width */

void sq__set_color(cairo_t *cr, sq_rgb c, double alpha) {
  cairo_set_source_rgba(cr, c.r, c.g, c.b, alpha);
}

void sq__set_dash(cairo_t *cr, const sq_series *s) {
  double w = s->width, dashes[4];
  int n = 0;
  if (s->dash[0] == ':') {
    dashes[n++] = 0.01; /* with round ends: a dot */
    dashes[n++] = 2 * w;
  } else if (s->dash[1] == '-') {
    dashes[n++] = 3 * w;
    dashes[n++] = 2.5 * w;
  } else if (s->dash[1] == '.') {
    dashes[n++] = 3.5 * w;
    dashes[n++] = 2.2 * w;
    dashes[n++] = 0.01; /* with round ends: a dot */
    dashes[n++] = 2.2 * w;
  }
  cairo_set_dash(cr, dashes, n, 0);
}

/* --- lines ---------------------------------------------------------------------------------- */

/* A path that is drawn to; `down` while the last point was a number. */
typedef struct pen {
  cairo_t *cr;
  bool down, held;               /* held: the points of one column wait to be drawn */
  double x, first, lo, hi, last; /* that column */
} pen;

static void pen_point(pen *p, double x, double y) {
  if (!p->down) cairo_move_to(p->cr, x, y);
  if (p->down) cairo_line_to(p->cr, x, y);
  p->down = true;
}

static void pen_flush(pen *p) {
  if (!p->held) return;
  p->held = false;
  pen_point(p, p->x, p->first);
  if (p->lo < p->first) pen_point(p, p->x, p->lo);
  if (p->hi > p->lo) pen_point(p, p->x, p->hi);
  if (p->last != p->hi) pen_point(p, p->x, p->last);
}

static void pen_lift(pen *p) {
  pen_flush(p);
  p->down = false;
}

static void pen_column(pen *p, double x, double y) {
  double column = floor(2 * x) / 2;
  if (p->held && p->x == column) {
    p->lo = fmin(p->lo, y);
    p->hi = fmax(p->hi, y);
    p->last = y;
    return;
  }
  pen_flush(p);
  p->held = true;
  p->x = column;
  p->first = p->lo = p->hi = p->last = y;
}

static bool is_visible(const sq_view *v, const sq_series *s, int64_t i) {
  if (i < 0 || i >= s->n || !isfinite(s->x[i]) || !isfinite(s->y[i])) return false;
  return !isnan(sq__view_x(v, s->x[i]) + sq__view_y(v, s->y[i]));
}

/* A point between gaps has no line to be seen by. */
static void draw_lone_points(cairo_t *cr, const sq_view *v, const sq_series *s) {
  for (int64_t i = 0; i < s->n; i++) {
    if (!is_visible(v, s, i) || is_visible(v, s, i - 1) || is_visible(v, s, i + 1)) continue;
    cairo_new_path(cr);
    cairo_arc(cr, sq__view_x(v, s->x[i]), sq__view_y(v, s->y[i]), 1.3 * s->width, 0, 2 * M_PI);
    cairo_fill(cr);
  }
}

static void draw_line(cairo_t *cr, const sq_view *v, const sq_series *s) {
  pen p = {.cr = cr};
  cairo_new_path(cr);
  for (int64_t i = 0; i < s->n; i++) {
    double x = sq__view_x(v, s->x[i]), y = sq__view_y(v, s->y[i]);
    if (!is_visible(v, s, i)) {
      pen_lift(&p);
    } else if (s->n > MANY) {
      pen_column(&p, x, y);
    } else {
      pen_point(&p, x, y);
    }
  }
  pen_flush(&p);
  sq__set_color(cr, s->color, s->alpha);
  sq__set_dash(cr, s);
  cairo_set_line_width(cr, s->width);
  cairo_set_line_cap(cr, CAIRO_LINE_CAP_ROUND);
  cairo_set_line_join(cr, CAIRO_LINE_JOIN_ROUND);
  cairo_stroke(cr);
  cairo_set_dash(cr, NULL, 0, 0);
  if (!s->marker) draw_lone_points(cr, v, s);
}

/* --- markers -------------------------------------------------------------------------------- */

static void add_polygon(cairo_t *cr, double x, double y, double r, int corners, double turn) {
  for (int i = 0; i < corners; i++) {
    double a = turn + 2 * M_PI * i / corners;
    cairo_line_to(cr, x + r * cos(a), y + r * sin(a));
  }
  cairo_close_path(cr);
}

/* x and +: strokes, not areas. */
static void draw_cross(cairo_t *cr, const sq_series *s, double x, double y) {
  double r = s->size * 0.5, turn = s->marker == 'x' ? M_PI / 4 : 0;
  for (int i = 0; i < 2; i++) {
    double a = turn + i * M_PI / 2, dx = r * cos(a), dy = r * sin(a);
    cairo_move_to(cr, x - dx, y - dy);
    cairo_line_to(cr, x + dx, y + dy);
  }
  sq__set_color(cr, s->color, s->alpha);
  cairo_set_line_width(cr, fmax(1, s->size * 0.25));
  cairo_set_line_cap(cr, CAIRO_LINE_CAP_ROUND);
  cairo_stroke(cr);
}

/* The areas of all markers are about the same. */
static void marker_shape(cairo_t *cr, char marker, double size, double x, double y) {
  double r = size / 2;
  switch (marker) {
    case 's':
      add_polygon(cr, x, y, r * 1.25, 4, M_PI / 4);
      break;
    case 'D':
      add_polygon(cr, x, y, r * 1.25, 4, 0);
      break;
    case '^':
      add_polygon(cr, x, y + r * 0.15, r * 1.35, 3, -M_PI / 2);
      break;
    case 'v':
      add_polygon(cr, x, y - r * 0.15, r * 1.35, 3, M_PI / 2);
      break;
    case '.':
      cairo_arc(cr, x, y, r * 0.5, 0, 2 * M_PI);
      break;
    default:
      cairo_arc(cr, x, y, r, 0, 2 * M_PI);
      break;
  }
}

void sq__draw_marker(cairo_t *cr, const sq_series *s, double x, double y) {
  cairo_new_path(cr);
  if (s->marker == 'x' || s->marker == '+') {
    draw_cross(cr, s, x, y);
    return;
  }
  marker_shape(cr, s->marker, s->size, x, y);
  sq__set_color(cr, s->color, s->alpha);
  cairo_fill_preserve(cr);
  cairo_set_source_rgba(cr, 1, 1, 1, s->alpha); /* a white rim tells neighbours apart */
  cairo_set_line_width(cr, 0.5);
  cairo_stroke(cr);
}

static bool is_inside(const sq_box *b, double x, double y) {
  return x >= b->x - 0.5 && x <= b->x + b->w + 0.5 && y >= b->y - 0.5 && y <= b->y + b->h + 0.5;
}

/* On a line, markers that would cover each other are left out. */
static void draw_markers(cairo_t *cr, const sq_view *v, const sq_series *s) {
  double lx = -INFINITY, ly = -INFINITY;
  for (int64_t i = 0; i < s->n; i++) {
    double x = sq__view_x(v, s->x[i]), y = sq__view_y(v, s->y[i]);
    if (!is_visible(v, s, i) || !is_inside(&v->box, x, y)) continue;
    if (s->kind == SERIES_LINE && hypot(x - lx, y - ly) < s->size) continue;
    sq__draw_marker(cr, s, x, y);
    lx = x;
    ly = y;
  }
}

/* --- areas ---------------------------------------------------------------------------------- */

static void fill_box(cairo_t *cr, double x0, double y0, double x1, double y1) {
  cairo_rectangle(cr, fmin(x0, x1), fmin(y0, y1), fabs(x1 - x0), fabs(y1 - y0));
  cairo_fill(cr);
}

/* Where bars stand: 0, or the lower end of a log axis. */
static double ground_y(const sq_view *v) {
  return v->y.log ? v->box.y + v->box.h : sq__view_y(v, 0);
}

static void draw_bars(cairo_t *cr, const sq_view *v, const sq_series *s) {
  sq__set_color(cr, s->color, s->alpha);
  for (int64_t i = 0; i < s->n; i++) {
    double width, middle = sq__bar_place(v->axes, s, i, &width), y = sq__view_y(v, s->y[i]);
    double x0 = sq__view_x(v, middle - width / 2), x1 = sq__view_x(v, middle + width / 2);
    if (isfinite(s->y[i]) && !isnan(x0 + x1 + y)) fill_box(cr, x0, ground_y(v), x1, y);
  }
}

static void draw_hist(cairo_t *cr, const sq_view *v, const sq_series *s) {
  for (int64_t i = 0; i < s->n; i++) {
    double x0 = sq__view_x(v, s->x[i]), x1 = sq__view_x(v, s->x[i + 1]);
    double y = sq__view_y(v, s->y[i]);
    if (s->y[i] <= 0 || isnan(x0 + x1 + y)) continue;
    double rim = x1 - x0 > 3 ? 0.35 : 0; /* a thin gap tells bins apart */
    sq__set_color(cr, s->color, s->alpha);
    fill_box(cr, x0 + rim, ground_y(v), x1 - rim, y);
  }
}

/* Points from..to of one edge of a band, in either direction. */
static void band_edge(cairo_t *cr, const sq_view *v, const sq_series *s, const double *y,
                      int64_t from, int64_t to) {
  int64_t step = from <= to ? 1 : -1;
  double lx = -INFINITY;
  for (int64_t i = from; i != to + step; i += step) {
    double x = sq__view_x(v, s->x[i]);
    if (s->n > MANY && i != from && i != to && fabs(x - lx) < 0.5) continue;
    cairo_line_to(cr, x, sq__view_y(v, y[i]));
    lx = x;
  }
}

static bool band_point(const sq_view *v, const sq_series *s, int64_t i) {
  bool finite = isfinite(s->x[i]) && isfinite(s->y[i]) && isfinite(s->y2[i]);
  return finite &&
         !isnan(sq__view_x(v, s->x[i]) + sq__view_y(v, s->y[i]) + sq__view_y(v, s->y2[i]));
}

static void draw_band(cairo_t *cr, const sq_view *v, const sq_series *s) {
  sq__set_color(cr, s->color, s->alpha);
  for (int64_t i = 0; i < s->n;) {
    int64_t end = i;
    while (end < s->n && band_point(v, s, end)) end++;
    if (end - i >= 2) {
      cairo_new_path(cr);
      band_edge(cr, v, s, s->y, i, end - 1);
      band_edge(cr, v, s, s->y2, end - 1, i);
      cairo_close_path(cr);
      cairo_fill(cr);
    }
    i = end > i ? end : i + 1;
  }
}

static void draw_image(cairo_t *cr, const sq_view *v, const sq_series *s) {
  int w = (int)s->pixels_x, h = (int)s->pixels_y;
  double x0 = sq__view_x(v, 0.5), x1 = sq__view_x(v, w + 0.5);
  double y0 = sq__view_y(v, 0.5), y1 = sq__view_y(v, h + 0.5);
  if (!(fabs(x1 - x0) > 0.01 && fabs(y1 - y0) > 0.01)) return; /* limits that leave nothing of it */
  cairo_surface_t *pixels = cairo_image_surface_create_for_data((unsigned char *)s->pixels,
                                                                CAIRO_FORMAT_ARGB32, w, h, w * 4);
  cairo_save(cr);
  cairo_translate(cr, x0, y0);
  cairo_scale(cr, (x1 - x0) / w, (y1 - y0) / h);
  cairo_set_source_surface(cr, pixels, 0, 0);
  cairo_pattern_set_filter(cairo_get_source(cr), CAIRO_FILTER_NEAREST);
  cairo_rectangle(cr, 0, 0, w, h);
  cairo_fill(cr);
  cairo_restore(cr);
  cairo_surface_destroy(pixels);
}

void sq__draw_series(cairo_t *cr, const sq_view *v, const sq_series *s) {
  const sq_box *b = &v->box;
  cairo_save(cr);
  double rim = s->kind == SERIES_LINE ? s->width / 2 : 0; /* a line along the edge stays whole */
  cairo_rectangle(cr, b->x - rim, b->y - rim, b->w + 2 * rim, b->h + 2 * rim);
  cairo_clip(cr);
  switch (s->kind) {
    case SERIES_IMAGE:
      draw_image(cr, v, s);
      break;
    case SERIES_BAND:
      draw_band(cr, v, s);
      break;
    case SERIES_BAR:
      draw_bars(cr, v, s);
      break;
    case SERIES_HIST:
      draw_hist(cr, v, s);
      break;
    case SERIES_LINE:
      draw_line(cr, v, s);
      break;
    default:
      break;
  }
  cairo_restore(cr);
  if (s->marker) draw_markers(cr, v, s);
}

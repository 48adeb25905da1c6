/* legend.c: the legend of a panel, and the place where it hides least. */
#include <math.h>
#include <string.h>

#include "plot/plot_priv.h"

enum { GRID_X = 48, GRID_Y = 32 };

static const double PAD = 5, SAMPLE = 19, GAP = 5, INSET = 5;

/* How much is drawn in each cell of the panel. */
typedef struct coverage {
  const sq_view *view;
  int cell[GRID_Y][GRID_X];
} coverage;

void sq__legend_size(cairo_t *cr, const sq_axes *axes, double *w, double *h) {
  *w = *h = 0;
  if (!axes->legend) return;
  sq__text_font(cr, TEXT_TICK);
  int rows = 0;
  for (const sq_series *s = axes->first; s; s = s->next) {
    if (!s->label) continue;
    rows++;
    *w = fmax(*w, sq__text_width(cr, s->label));
  }
  if (rows == 0) return;
  *w += 2 * PAD + SAMPLE + GAP;
  *h = rows * sq__text_height(cr) * 1.2 + 2 * PAD - 2;
}

/* --- the place ------------------------------------------------------------------------------ */

static int cell_of(double at, double from, double length, int n) {
  double c = floor((at - from) / length * n);
  return c >= 0 && c < n ? (int)c : -1;
}

static void cover_cell(coverage *c, double x, double y, int weight) {
  const sq_box *b = &c->view->box;
  int i = cell_of(x, b->x, b->w, GRID_X), j = cell_of(y, b->y, b->h, GRID_Y);
  if (i >= 0 && j >= 0) c->cell[j][i] += weight;
}

static void cover_segment(coverage *c, double x0, double y0, double x1, double y1) {
  const sq_box *b = &c->view->box;
  double cells = fmax(fabs(x1 - x0) / b->w * GRID_X, fabs(y1 - y0) / b->h * GRID_Y);
  int steps = (int)fmin(cells * 2, 400) + 1;
  for (int i = 0; i <= steps; i++) {
    double t = (double)i / steps;
    cover_cell(c, x0 + (x1 - x0) * t, y0 + (y1 - y0) * t, 3);
  }
}

static void cover_area(coverage *c, double x0, double x1, double y0, double y1) {
  const sq_box *b = &c->view->box;
  for (int j = 0; j < GRID_Y; j++) {
    double y = b->y + b->h * (j + 0.5) / GRID_Y;
    if (y < fmin(y0, y1) || y > fmax(y0, y1)) continue;
    for (int i = 0; i < GRID_X; i++) {
      double x = b->x + b->w * (i + 0.5) / GRID_X;
      if (x >= fmin(x0, x1) - b->w / GRID_X / 2 && x <= fmax(x0, x1) + b->w / GRID_X / 2)
        c->cell[j][i] += 2;
    }
  }
}

static void cover_series(coverage *c, const sq_series *s) {
  const sq_view *v = c->view;
  double lx = NAN, ly = NAN, ground = v->box.y + v->box.h;
  for (int64_t i = 0; i < s->n; i++) {
    double x = sq__view_x(v, s->x[i]), y = sq__view_y(v, s->y[i]), width = 0;
    if (s->kind == SERIES_BAR) {
      double middle = sq__bar_place(v->axes, s, i, &width);
      cover_area(c, sq__view_x(v, middle - width / 2), sq__view_x(v, middle + width / 2), y,
                 ground);
    } else if (s->kind == SERIES_HIST) {
      cover_area(c, x, sq__view_x(v, s->x[i + 1]), y, ground);
    } else if (s->kind == SERIES_BAND) {
      cover_area(c, x, x, y, sq__view_y(v, s->y2[i]));
    } else if (s->kind == SERIES_LINE && !isnan(x + y + lx + ly)) {
      cover_segment(c, lx, ly, x, y);
    } else if (!isnan(x + y)) {
      cover_cell(c, x, y, 4);
    }
    lx = x;
    ly = y;
  }
}

static int64_t count_hidden(const coverage *c, const sq_box *at) {
  const sq_box *b = &c->view->box;
  int64_t sum = 0;
  for (int j = 0; j < GRID_Y; j++) {
    double y = b->y + b->h * (j + 0.5) / GRID_Y;
    if (y < at->y - 3 || y > at->y + at->h + 3) continue;
    for (int i = 0; i < GRID_X; i++) {
      double x = b->x + b->w * (i + 0.5) / GRID_X;
      if (x >= at->x - 3 && x <= at->x + at->w + 3) sum += c->cell[j][i];
    }
  }
  return sum;
}

static const struct {
  const char *name;
  double x, y; /* 0..1 of the free room */
} places[] = {{"upper right", 1, 0},   {"upper left", 0, 0},    {"lower right", 1, 1},
              {"lower left", 0, 1},    {"center right", 1, .5}, {"center left", 0, .5},
              {"upper center", .5, 0}, {"lower center", .5, 1}};
enum { PLACES = sizeof places / sizeof *places };

static sq_box box_at(const sq_view *v, int place) {
  const sq_box *b = &v->box;
  return (sq_box){b->x + INSET + (b->w - 2 * INSET - v->legend_w) * places[place].x,
                  b->y + INSET + (b->h - 2 * INSET - v->legend_h) * places[place].y, v->legend_w,
                  v->legend_h};
}

static sq_box best_box(const sq_view *v) {
  coverage c = {.view = v};
  for (const sq_series *s = v->axes->first; s; s = s->next) cover_series(&c, s);
  int best = 0;
  int64_t least = INT64_MAX;
  for (int i = 0; i < PLACES; i++) {
    sq_box box = box_at(v, i);
    int64_t cost = count_hidden(&c, &box);
    if (cost >= least) continue;
    least = cost;
    best = i;
  }
  return box_at(v, best);
}

static sq_box choose_box(const sq_view *v) {
  if (strcmp(v->axes->legend, "outside") == 0)
    return (sq_box){v->box.x + v->box.w + 8, v->box.y, v->legend_w, v->legend_h};
  for (int i = 0; i < PLACES; i++) {
    if (strcmp(v->axes->legend, places[i].name) == 0) return box_at(v, i);
  }
  return best_box(v);
}

/* --- the drawing ---------------------------------------------------------------------------- */

static void draw_sample(cairo_t *cr, const sq_series *s, double x, double y) {
  if (s->kind == SERIES_LINE) {
    sq__set_color(cr, s->color, s->alpha);
    sq__set_dash(cr, s);
    cairo_set_line_width(cr, s->width);
    cairo_set_line_cap(cr, CAIRO_LINE_CAP_ROUND);
    cairo_move_to(cr, x + 1, y);
    cairo_line_to(cr, x + SAMPLE - 1, y);
    cairo_stroke(cr);
    cairo_set_dash(cr, NULL, 0, 0);
  } else if (s->kind != SERIES_SCATTER) {
    sq__set_color(cr, s->color, s->alpha);
    cairo_rectangle(cr, x + 2, y - 3, SAMPLE - 4, 6);
    cairo_fill(cr);
  }
  if (s->marker) sq__draw_marker(cr, s, x + SAMPLE / 2, y);
}

static void draw_frame(cairo_t *cr, const sq_box *b) {
  cairo_rectangle(cr, b->x, b->y, b->w, b->h);
  cairo_set_source_rgba(cr, 1, 1, 1, 0.88);
  cairo_fill_preserve(cr);
  cairo_set_source_rgb(cr, 0.85, 0.85, 0.85);
  cairo_set_line_width(cr, 0.5);
  cairo_stroke(cr);
}

void sq__legend_draw(cairo_t *cr, const sq_view *v) {
  if (!v->axes->legend || v->legend_w <= 0) return;
  sq_box b = choose_box(v);
  draw_frame(cr, &b);
  sq__text_font(cr, TEXT_TICK);
  double row = sq__text_height(cr) * 1.2, y = b.y + PAD - 1 + row / 2;
  for (const sq_series *s = v->axes->first; s; s = s->next) {
    if (!s->label) continue;
    draw_sample(cr, s, b.x + PAD, y);
    cairo_set_source_rgb(cr, 0.15, 0.15, 0.15);
    sq__text_draw(cr, b.x + PAD + SAMPLE + GAP, y, 0, 0, s->label);
    y += row;
  }
}

/* draw.c: a laid-out page onto a cairo context: titles, grids, spines, ticks, and the series of
 * each panel. */
#include <math.h>

#include "plot/plot_priv.h"

static const double SLANT = -0.698; /* 40 degrees */

static void set_ink(cairo_t *cr, double level) { cairo_set_source_rgb(cr, level, level, level); }

static void add_segment(cairo_t *cr, double x0, double y0, double x1, double y1) {
  cairo_move_to(cr, x0, y0);
  cairo_line_to(cr, x1, y1);
}

static void draw_grid(cairo_t *cr, const sq_view *v) {
  const sq_box *b = &v->box;
  for (int i = 0; i < v->yticks.n; i++) {
    double y = sq__view_y(v, v->yticks.tick[i].at);
    if (!v->yticks.tick[i].minor) add_segment(cr, b->x, y, b->x + b->w, y);
  }
  for (int i = 0; i < v->xticks.n; i++) {
    const sq_tick *t = &v->xticks.tick[i];
    double x = sq__view_x(v, t->at);
    if (!t->minor && t->name == t->text) add_segment(cr, x, b->y, x, b->y + b->h);
  }
  set_ink(cr, 0.91);
  cairo_set_line_width(cr, 0.6);
  cairo_set_line_cap(cr, CAIRO_LINE_CAP_BUTT);
  cairo_stroke(cr);
}

/* Two spines and the ticks, outwards: the panel is left to the data. */
static void draw_spines(cairo_t *cr, const sq_view *v) {
  const sq_box *b = &v->box;
  double bottom = b->y + b->h;
  add_segment(cr, b->x, b->y, b->x, bottom);
  cairo_line_to(cr, b->x + b->w, bottom);
  for (int i = 0; i < v->yticks.n; i++) {
    double y = sq__view_y(v, v->yticks.tick[i].at);
    add_segment(cr, b->x, y, b->x - (v->yticks.tick[i].minor ? 1.8 : 3), y);
  }
  for (int i = 0; i < v->xticks.n; i++) {
    double x = sq__view_x(v, v->xticks.tick[i].at);
    add_segment(cr, x, bottom, x, bottom + (v->xticks.tick[i].minor ? 1.8 : 3));
  }
  set_ink(cr, 0.35);
  cairo_set_line_width(cr, 0.7);
  cairo_set_line_cap(cr, CAIRO_LINE_CAP_SQUARE);
  cairo_stroke(cr);
}

static void draw_numbers(cairo_t *cr, const sq_view *v) {
  const sq_box *b = &v->box;
  set_ink(cr, 0.25);
  sq__text_font(cr, TEXT_TICK);
  double half = sq__text_height(cr) / 2;
  for (int i = 0; i < v->yticks.n; i++) {
    const sq_tick *t = &v->yticks.tick[i];
    if (!t->minor) sq__text_draw(cr, b->x - 5.5, sq__view_y(v, t->at), 1, 0, t->name);
  }
  for (int i = 0; i < v->xticks.n; i++) {
    const sq_tick *t = &v->xticks.tick[i];
    double x = sq__view_x(v, t->at), y = b->y + b->h + 5 + half;
    if (t->minor) continue;
    if (v->slanted) {
      sq__text_draw(cr, x + half * 0.6, y, 1, SLANT, t->name);
    } else {
      sq__text_draw(cr, x, y, 0.5, 0, t->name);
    }
  }
}

static void draw_labels(cairo_t *cr, const sq_view *v) {
  const sq_box *b = &v->box;
  const sq_axes *a = v->axes;
  double middle = b->x + b->w / 2;
  set_ink(cr, 0.1);
  if (a->x.label) {
    sq__text_fit(cr, TEXT_LABEL, a->x.label, v->left + b->w + v->right);
    sq__text_draw(cr, middle, b->y + b->h + v->bottom - sq__text_height(cr) / 2, 0.5, 0,
                  a->x.label);
  }
  if (a->y.label) {
    sq__text_fit(cr, TEXT_LABEL, a->y.label, v->top + b->h + v->bottom);
    sq__text_draw(cr, b->x - v->left + sq__text_height(cr) / 2, b->y + b->h / 2, 0.5, -M_PI / 2,
                  a->y.label);
  }
  if (a->title) {
    sq__text_fit(cr, TEXT_TITLE, a->title, v->bare ? b->w : v->left + b->w + v->right);
    double gap = v->bare ? 2 : 5;
    sq__text_draw(cr, middle, b->y - gap - sq__text_height(cr) / 2, 0.5, 0, a->title);
  }
}

static void draw_view(cairo_t *cr, const sq_view *v) {
  if (!v->bare) draw_grid(cr, v);
  for (int kind = 0; kind < SERIES_KINDS; kind++) {
    for (const sq_series *s = v->axes->first; s; s = s->next) {
      if ((int)s->kind == kind) sq__draw_series(cr, v, s);
    }
  }
  if (!v->bare) {
    draw_spines(cr, v);
    draw_numbers(cr, v);
  }
  draw_labels(cr, v);
  sq__legend_draw(cr, v);
}

void sq__draw_page(cairo_t *cr, const sq_page *page) {
  const sq_figure *f = page->figure;
  cairo_set_source_rgb(cr, 1, 1, 1);
  cairo_paint(cr);
  if (f->title) {
    set_ink(cr, 0.05);
    sq__text_fit(cr, TEXT_FIGURE, f->title, page->width - 16);
    sq__text_draw(cr, page->width / 2, 9 + sq__text_height(cr) / 2, 0.5, 0, f->title);
  }
  for (int i = 0; i < f->rows * f->cols; i++) {
    if (page->views[i].axes->used) draw_view(cr, &page->views[i]);
  }
}

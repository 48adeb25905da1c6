/* layout.c: where panels and texts stand. Margins come from measured texts and are shared by the
 * panels of a column or a row, so that panels line up and nothing is cut off. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "plot/plot_priv.h"

enum { PASSES = 3 }; /* ticks depend on the room and the room on ticks: settled after two */

static const double PAD = 9, COL_GAP = 14, ROW_GAP = 12; /* around the page, between panels */

static bool only_pictures(const sq_axes *axes) {
  for (const sq_series *s = axes->first; s; s = s->next) {
    if (s->kind == SERIES_IMAGE) return true;
  }
  return false;
}

static const sq_series *named_bars(const sq_axes *axes) {
  for (const sq_series *s = axes->first; s; s = s->next) {
    if (s->kind == SERIES_BAR && s->names) return s;
  }
  return NULL;
}

/* --- ticks ---------------------------------------------------------------------------------- */

static double widest_tick(cairo_t *cr, const sq_ticks *ticks) {
  double most = 0;
  for (int i = 0; i < ticks->n; i++) most = fmax(most, sq__text_width(cr, ticks->tick[i].name));
  return most;
}

static int count_labelled(const sq_ticks *ticks) {
  int n = 0;
  for (int i = 0; i < ticks->n; i++) n += !ticks->tick[i].minor;
  return n;
}

/* A name under each bar that shows; where there are too many bars, under every second, third,
 * ... */
static void name_ticks(sq_view *v, const sq_series *s) {
  int64_t stride = (s->n + TICKS_MOST - 1) / TICKS_MOST;
  sq_ticks *out = &v->xticks;
  out->n = 0;
  for (int64_t i = 0; i < s->n && out->n < TICKS_MOST; i += stride) {
    double at = sq__range_place(&v->x, s->x[i]);
    if (at >= 0 && at <= 1) out->tick[out->n++] = (sq_tick){.at = s->x[i], .name = s->names[i]};
  }
}

/* The most ticks whose numbers leave room between them. */
static void choose_x(cairo_t *cr, sq_view *v) {
  const sq_series *bars = named_bars(v->axes);
  if (bars) {
    name_ticks(v, bars);
    v->slanted = (widest_tick(cr, &v->xticks) + 6) * count_labelled(&v->xticks) > v->box.w;
    return;
  }
  int most = (int)fmin(8, fmax(2, v->box.w / 28));
  do {
    sq__ticks_choose(v->x.lo, v->x.hi, most, v->x.log, v->x.whole, &v->xticks);
  } while ((widest_tick(cr, &v->xticks) + 8) * count_labelled(&v->xticks) > v->box.w &&
           --most >= 2);
}

static void choose_y(sq_view *v) {
  int most = (int)fmin(8, fmax(2, v->box.h / 22));
  sq__ticks_choose(v->y.lo, v->y.hi, most, v->y.log, v->y.whole, &v->yticks);
}

/* --- what a panel needs around it ----------------------------------------------------------- */

/* How far the texts under the x axis pass the panel's ends, and how deep they go. */
static void measure_x(cairo_t *cr, sq_view *v) {
  double height = sq__text_height(cr), deep = height;
  for (int i = 0; i < v->xticks.n; i++) {
    const sq_tick *t = &v->xticks.tick[i];
    if (t->minor) continue;
    double w = sq__text_width(cr, t->name), at = v->box.w * sq__range_place(&v->x, t->at);
    double before = v->slanted ? w * 0.77 : w / 2, after = v->slanted ? height / 2 : w / 2;
    v->left = fmax(v->left, before - at);
    v->right = fmax(v->right, at + after - v->box.w);
    if (v->slanted) deep = fmax(deep, w * 0.64 + height * 0.77);
  }
  v->bottom = 6 + deep;
}

static void measure_panel(cairo_t *cr, sq_view *v) {
  v->left = v->bottom = 0;
  v->right = v->top = v->bare ? 0 : 5;
  sq__text_font(cr, TEXT_TICK);
  if (!v->bare) {
    v->left = widest_tick(cr, &v->yticks) + 7;
    measure_x(cr, v);
  }
  sq__legend_size(cr, v->axes, &v->legend_w, &v->legend_h);
  if (v->axes->legend && strcmp(v->axes->legend, "outside") == 0 && v->legend_w > 0)
    v->right = fmax(v->right, v->legend_w + 8);
  sq__text_font(cr, TEXT_LABEL);
  if (v->axes->y.label) v->left += sq__text_height(cr) + 4;
  if (v->axes->x.label) v->bottom += sq__text_height(cr) + 2;
  sq__text_font(cr, TEXT_TITLE);
  if (v->axes->title) v->top = sq__text_height(cr) + (v->bare ? 3 : 6);
}

/* --- the page ------------------------------------------------------------------------------- */

static bool all_bare(const sq_page *p) {
  for (int i = 0; i < p->figure->rows * p->figure->cols; i++) {
    if (p->views[i].axes->used && !p->views[i].bare) return false;
  }
  return true;
}

static void start_size(sq_page *p) {
  const sq_figure *f = p->figure;
  bool pictures = all_bare(p);
  double one = f->cols == 1 ? 430 : 290 * f->cols, high = f->rows == 1 ? 290 : 195 * f->rows;
  if (pictures) {
    one = f->cols == 1 && f->rows == 1 ? 300 : 90 * f->cols + 2 * PAD;
    high = f->cols == 1 && f->rows == 1 ? 300 : 90 * f->rows + 2 * PAD;
  }
  p->width = f->width > 0 ? f->width : one;
  p->height = f->height > 0 ? f->height : high + (f->title ? 24 : 0);
}

static void start_view(sq_page *p, int i) {
  sq_view *v = &p->views[i];
  v->axes = &p->figure->axes[i];
  v->bare = only_pictures(v->axes);
  v->box = (sq_box){0, 0, p->width / p->figure->cols, p->height / p->figure->rows};
  sq__range_find(v->axes, &v->x, &v->y);
}

typedef struct margins {
  double before, after;
} margins;

/* The greatest margins of each column and row. */
static void share_margins(const sq_page *p, margins *cols, margins *rows) {
  const sq_figure *f = p->figure;
  memset(cols, 0, (size_t)f->cols * sizeof *cols);
  memset(rows, 0, (size_t)f->rows * sizeof *rows);
  for (int i = 0; i < f->rows * f->cols; i++) {
    const sq_view *v = &p->views[i];
    if (!v->axes->used) continue;
    margins *c = &cols[i % f->cols], *r = &rows[i / f->cols];
    c->before = fmax(c->before, v->left);
    c->after = fmax(c->after, v->right);
    r->before = fmax(r->before, v->top);
    r->after = fmax(r->after, v->bottom);
  }
}

/* The side of each panel along one direction; the page grows when less than `least` is left. */
static double divide_page(int n, const margins *m, double gap, double other, double least,
                          double *page) {
  double taken = 2 * PAD + other + gap * (n - 1);
  for (int i = 0; i < n; i++) taken += m[i].before + m[i].after;
  *page = fmax(*page, taken + least * n);
  return (*page - taken) / n;
}

static double title_height(const sq_page *p, cairo_t *cr) {
  if (!p->figure->title) return 0;
  sq__text_font(cr, TEXT_FIGURE);
  return sq__text_height(cr) + 8;
}

/* A picture keeps its proportions, in the middle of its cell. */
static void keep_proportions(sq_view *v) {
  double aspect = (v->x.hi - v->x.lo) / (v->y.hi - v->y.lo), w = fmin(v->box.w, v->box.h * aspect);
  double h = w / aspect;
  v->box = (sq_box){v->box.x + (v->box.w - w) / 2, v->box.y + (v->box.h - h) / 2, w, h};
}

static void place_boxes(sq_page *p, cairo_t *cr, bool final) {
  const sq_figure *f = p->figure;
  margins cols[32], rows[32];
  share_margins(p, cols, rows);
  bool pictures = all_bare(p);
  double head = title_height(p, cr), col_gap = pictures ? 5 : COL_GAP, least_h = 40;
  double row_gap = pictures ? 5 : ROW_GAP;
  for (int i = 0; i < f->rows * f->cols; i++) {
    const sq_view *v = &p->views[i];
    bool outside = v->axes->legend && strcmp(v->axes->legend, "outside") == 0;
    if (outside) least_h = fmax(least_h, v->legend_h);
  }
  double w = divide_page(f->cols, cols, col_gap, 0, pictures ? 10 : 60, &p->width);
  double h = divide_page(f->rows, rows, row_gap, head, pictures ? 10 : least_h, &p->height);
  double y = PAD + head;
  for (int r = 0; r < f->rows; r++) {
    double x = PAD;
    for (int c = 0; c < f->cols; c++) {
      sq_view *v = &p->views[r * f->cols + c];
      v->box = (sq_box){x + cols[c].before, y + rows[r].before, w, h};
      if (final && v->bare) keep_proportions(v);
      x += cols[c].before + w + cols[c].after + col_gap;
    }
    y += rows[r].before + h + rows[r].after + row_gap;
  }
}

sq_status sq__layout(sq_figure *figure, cairo_t *cr, sq_page *page) {
  int n = figure->rows * figure->cols;
  void *views;
  SQ_TRY(sq_alloc_zero(n * (int64_t)sizeof(sq_view), &views));
  *page = (sq_page){.figure = figure, .views = views};
  for (int i = 0; i < n; i++) {
    page->views[i].axes = &figure->axes[i];
    page->views[i].bare = only_pictures(&figure->axes[i]);
  }
  start_size(page);
  for (int i = 0; i < n; i++) start_view(page, i);
  for (int pass = 0; pass < PASSES; pass++) {
    for (int i = 0; i < n; i++) {
      sq_view *v = &page->views[i];
      if (!v->axes->used) continue;
      sq__text_font(cr, TEXT_TICK);
      choose_x(cr, v);
      choose_y(v);
      measure_panel(cr, v);
    }
    place_boxes(page, cr, pass == PASSES - 1);
  }
  return SQ_OK;
}

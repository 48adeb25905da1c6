/* range.c: what part of the plane a panel shows, and where values lie in it. */
#include <math.h>

#include "plot/plot_priv.h"

/* Values beyond do not count, so that widths and ratios stay finite. */
#define MOST SQ_PLOT_MOST
#define LEAST_LOG (1 / SQ_PLOT_MOST)

typedef struct extent {
  double lo, hi;
  bool log;   /* only positive values count */
  bool whole; /* all of them are whole numbers */
} extent;

static void take_value(extent *e, double v) {
  if (!(fabs(v) <= MOST) || (e->log && v < LEAST_LOG)) return;
  if (fabs(v) < LEAST_LOG) v = 0;
  if (v < e->lo) e->lo = v;
  if (v > e->hi) e->hi = v;
  if (v != floor(v)) e->whole = false;
}

static int bar_groups(const sq_axes *axes) {
  int groups = 0;
  for (const sq_series *s = axes->first; s; s = s->next) groups += s->kind == SERIES_BAR;
  return groups;
}

/* The least distance of neighbours, 1 for a bar alone. */
static double bar_spacing(const sq_series *s) {
  double least = INFINITY;
  for (int64_t i = 1; i < s->n; i++) {
    double d = fabs(s->x[i] - s->x[i - 1]);
    if (d > 0 && d < least) least = d;
  }
  return isfinite(least) ? least : 1;
}

double sq__bar_place(const sq_axes *axes, const sq_series *s, int64_t i, double *width) {
  int groups = bar_groups(axes), mine = 0;
  for (const sq_series *t = axes->first; t != s; t = t->next) mine += t->kind == SERIES_BAR;
  double spacing = bar_spacing(s);
  *width = 0.8 * spacing / groups;
  return s->x[i] + *width * (mine - (groups - 1) / 2.0);
}

static void take_bars(const sq_axes *axes, const sq_series *s, extent *x, extent *y) {
  if (!y->log) take_value(y, 0);
  for (int64_t i = 0; i < s->n; i++) {
    double width, middle = sq__bar_place(axes, s, i, &width);
    bool whole = x->whole && s->x[i] == floor(s->x[i]);
    take_value(x, middle - width * 0.6);
    take_value(x, middle + width * 0.6);
    x->whole = whole;
    take_value(y, s->y[i]);
  }
}

static void take_series(const sq_axes *axes, const sq_series *s, extent *x, extent *y) {
  if (s->kind == SERIES_BAR) {
    take_bars(axes, s, x, y);
    return;
  }
  if (s->kind == SERIES_IMAGE) { /* pixels count from 1; their middles are whole */
    take_value(x, 0.5);
    take_value(x, (double)s->pixels_x + 0.5);
    take_value(y, 0.5);
    take_value(y, (double)s->pixels_y + 0.5);
    return;
  }
  if (s->kind == SERIES_HIST) {
    take_value(x, s->x[s->n]);
    if (!y->log) take_value(y, 0);
  }
  for (int64_t i = 0; i < s->n; i++) {
    take_value(x, s->x[i]);
    take_value(y, s->y[i]);
    if (s->y2) take_value(y, s->y2[i]);
  }
}

/* Room around the data; `ground`: bars stand on 0, with nothing below. */
static void add_margin(sq_range *r, double part, bool ground) {
  if (r->log) {
    double by = exp(part * (log(r->hi) - log(r->lo)));
    r->lo = fmax(r->lo / by, LEAST_LOG);
    r->hi = fmin(r->hi * by, MOST);
    return;
  }
  double by = (r->hi - r->lo) * part;
  if (!(ground && r->lo == 0)) r->lo -= by;
  if (!(ground && r->hi == 0)) r->hi += by;
}

/* From the data, or what stands in for it: none at all, a single value, one too large to be
 * drawn. */
static void settle_range(const extent *e, double part, bool ground, sq_range *r) {
  double lo = e->lo, hi = e->hi;
  if (lo > hi) {
    lo = e->log ? 1 : 0;
    hi = e->log ? 10 : 1;
  } else if (e->log && hi / lo < 1 + 1e-9) {
    lo /= 2;
    hi *= 2;
  } else if (hi - lo <= 1e-12 * fmax(fabs(lo), fabs(hi))) {
    double half = lo == 0 && hi == 0 ? 0.5 : e->whole && fabs(lo) < 1e6 ? 0.5 : fabs(lo) * 0.05;
    lo -= half;
    hi += half;
  }
  *r = (sq_range){.lo = lo, .hi = hi, .log = e->log, .whole = e->whole};
  add_margin(r, part, ground);
}

/* What was set holds; the other end makes room where it must. A log axis does not take what it
 * cannot show. */
static void apply_limits(const sq_axis *axis, sq_range *r) {
  bool low = !isnan(axis->lo) && !(r->log && axis->lo < LEAST_LOG);
  bool high = !isnan(axis->hi) && !(r->log && axis->hi < 10 * LEAST_LOG);
  if (low) r->lo = axis->lo;
  if (high) r->hi = axis->hi;
  if (r->hi - r->lo > 1e-12 * fmax(fabs(r->lo), fabs(r->hi))) return;
  double by = fmax(1, fabs(low ? r->lo : r->hi) * 0.1);
  if (low) {
    r->hi = r->log ? r->lo * 10 : r->lo + by;
  } else {
    r->lo = r->log ? r->hi / 10 : r->hi - by;
  }
}

void sq__range_find(const sq_axes *axes, sq_range *x, sq_range *y) {
  extent ex = {INFINITY, -INFINITY, axes->x.log, true};
  extent ey = {INFINITY, -INFINITY, axes->y.log, true};
  bool ground = false, picture = false;
  for (const sq_series *s = axes->first; s; s = s->next) {
    take_series(axes, s, &ex, &ey);
    ground = ground || s->kind == SERIES_BAR || s->kind == SERIES_HIST;
    picture = picture || s->kind == SERIES_IMAGE;
  }
  if (ex.lo > ex.hi) ex.whole = false;
  settle_range(&ex, picture ? 0 : 0.03, false, x);
  settle_range(&ey, picture ? 0 : 0.05, ground, y);
  y->whole = false;
  y->reversed = picture;
  apply_limits(&axes->x, x);
  apply_limits(&axes->y, y);
}

double sq__range_place(const sq_range *r, double v) {
  double at;
  if (r->log) {
    at = v > 0 ? (log(v) - log(r->lo)) / (log(r->hi) - log(r->lo)) : NAN;
  } else {
    at = (v - r->lo) / (r->hi - r->lo);
  }
  return r->reversed ? 1 - at : at;
}

/* cairo's coordinates are 24.8 bit numbers: what lies far outside is brought near, still
 * outside. */
static double hold_near(double v) { return v > 1e5 ? 1e5 : v < -1e5 ? -1e5 : v; }

double sq__view_x(const sq_view *v, double value) {
  double at = sq__range_place(&v->x, value);
  return isnan(at) ? NAN : hold_near(v->box.x + v->box.w * at);
}

double sq__view_y(const sq_view *v, double value) {
  double at = sq__range_place(&v->y, value);
  return isnan(at) ? NAN : hold_near(v->box.y + v->box.h * (1 - at));
}

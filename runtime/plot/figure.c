/* figure.c: the model of a figure: panels, their texts, limits and scales. Draws nothing. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "plot/plot_priv.h"

enum { MOST_ROWS = 32 };

static const char *const places[] = {"best",         "upper right",  "upper left",   "lower left",
                                     "lower right",  "upper center", "lower center", "center left",
                                     "center right", "outside"};

static sq_status check_spec(const sq_figure_spec *s) {
  if (s->rows < 0 || s->rows > MOST_ROWS || s->cols < 0 || s->cols > MOST_ROWS) {
    return sq_fail(SQ_EARG, "[plot] %" PRId64 " rows and %" PRId64 " cols: 1 to %d of each",
                   s->rows, s->cols, MOST_ROWS);
  }
  bool width = s->width == 0 || (s->width >= 50 && s->width <= 4000);
  bool height = s->height == 0 || (s->height >= 50 && s->height <= 4000);
  if (width && height) return SQ_OK;
  return sq_fail(SQ_EARG, "[plot] a page of %g x %g points: each side is 50 to 4000", s->width,
                 s->height);
}

static sq_status fill_figure(sq_figure *f, const sq_figure_spec *spec) {
  void *axes;
  int64_t count = (int64_t)f->rows * f->cols;
  SQ_TRY(sq_alloc_zero(count * (int64_t)sizeof(sq_axes), &axes));
  f->axes = axes;
  for (int64_t i = 0; i < count; i++) {
    sq_axes *a = &f->axes[i];
    a->x.lo = a->x.hi = a->y.lo = a->y.hi = NAN;
    a->last = &a->first;
  }
  return spec->title ? sq_strdup(spec->title, &f->title) : SQ_OK;
}

sq_status sq_figure_new(const sq_figure_spec *spec, sq_figure **out) {
  SQ_TRY(check_spec(spec));
  void *block;
  SQ_TRY(sq_alloc_zero(sizeof(sq_figure), &block));
  sq_figure *f = block;
  f->rows = spec->rows ? (int)spec->rows : 1;
  f->cols = spec->cols ? (int)spec->cols : 1;
  f->width = spec->width;
  f->height = spec->height;
  sq_status status = fill_figure(f, spec);
  if (status != SQ_OK) {
    sq_figure_free(f);
    return status;
  }
  *out = f;
  return SQ_OK;
}

static void free_axes(sq_axes *a) {
  for (sq_series *s = a->first; s;) {
    sq_series *next = s->next;
    sq_free(s->x);
    sq_free(s->names);
    sq_free(s->pixels);
    sq_free(s->label);
    sq_free(s);
    s = next;
  }
  sq_free(a->title);
  sq_free(a->x.label);
  sq_free(a->y.label);
}

void sq_figure_free(sq_figure *figure) {
  if (!figure) return;
  for (int i = 0; figure->axes && i < figure->rows * figure->cols; i++) free_axes(&figure->axes[i]);
  sq_free(figure->axes);
  sq_free(figure->title);
  sq_free(figure);
}

sq_status sq_figure_axes(sq_figure *figure, int64_t row, int64_t col, sq_axes **out) {
  if (row < 0 || row >= figure->rows || col < 0 || col >= figure->cols) {
    return sq_fail(SQ_EARG,
                   "[plot] no axes in row %" PRId64 ", column %" PRId64
                   ": the figure has %d row%s and %d column%s",
                   row + 1, col + 1, figure->rows, figure->rows == 1 ? "" : "s", figure->cols,
                   figure->cols == 1 ? "" : "s");
  }
  *out = &figure->axes[row * figure->cols + col];
  (*out)->used = true;
  return SQ_OK;
}

static sq_status set_label(char **slot, const char *text) {
  char *copy = NULL;
  if (text) SQ_TRY(sq_strdup(text, &copy));
  sq_free(*slot);
  *slot = copy;
  return SQ_OK;
}

sq_status sq_axes_set_title(sq_axes *axes, const char *text) {
  return set_label(&axes->title, text);
}
sq_status sq_axes_set_xlabel(sq_axes *axes, const char *text) {
  return set_label(&axes->x.label, text);
}
sq_status sq_axes_set_ylabel(sq_axes *axes, const char *text) {
  return set_label(&axes->y.label, text);
}

static sq_status set_axis_limits(sq_axis *axis, const char *name, double lo, double hi) {
  if (fabs(lo) > SQ_PLOT_MOST || fabs(hi) > SQ_PLOT_MOST || lo >= hi || hi - lo < 1 / SQ_PLOT_MOST)
    return sq_fail(
        SQ_EARG, "[plot] %s is {%g, %g}: the first must be less than the second, both within 1e300",
        name, lo, hi);
  axis->lo = lo;
  axis->hi = hi;
  return SQ_OK;
}

sq_status sq_axes_set_xlim(sq_axes *axes, double lo, double hi) {
  return set_axis_limits(&axes->x, "xlim", lo, hi);
}
sq_status sq_axes_set_ylim(sq_axes *axes, double lo, double hi) {
  return set_axis_limits(&axes->y, "ylim", lo, hi);
}

static sq_status set_scale(sq_axis *axis, const char *name, const char *scale) {
  bool log = strcmp(scale, "log") == 0;
  if (!log && strcmp(scale, "linear") != 0)
    return sq_fail(SQ_EARG, "[plot] %s is '%s': linear or log", name, scale);
  axis->log = log;
  return SQ_OK;
}

sq_status sq_axes_set_xscale(sq_axes *axes, const char *scale) {
  return set_scale(&axes->x, "xscale", scale);
}
sq_status sq_axes_set_yscale(sq_axes *axes, const char *scale) {
  return set_scale(&axes->y, "yscale", scale);
}

sq_status sq_axes_legend(sq_axes *axes, const char *place) {
  if (!place) place = places[0];
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    if (strcmp(place, places[i]) != 0) continue;
    axes->legend = places[i];
    return SQ_OK;
  }
  return sq_fail(SQ_EARG,
                 "[plot] a legend cannot be placed at '%s': best, upper right, upper left, lower "
                 "left, lower right, upper center, lower center, center left, center right or "
                 "outside",
                 place);
}

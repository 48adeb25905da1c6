/* format.c: a tensor as text, laid out as PyTorch does: one width for all elements, 4 digits, edges
 * only above 1,000 elements. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "tensor/tensor.h"

enum { DIGITS = 4, EDGE = 3, MOST = 1000, LINE = 80 };

/* How one tensor is written: found in a first walk over what will be shown, used in a second. */
typedef struct printer {
  const sq_tensor *t;
  bool summary;
  bool whole, scientific; /* all finite values are whole; powers of ten are needed */
  double least, most;     /* of the sizes of finite values other than 0; most = 0: there is none */
  int width;
  char *text;
  int64_t used, room;
} printer;

/* --- text that grows ------------------------------------------------------------------------ */

static sq_status put_letters(printer *p, const char *s, int64_t n) {
  if (p->used + n + 1 > p->room) {
    void *block = p->text;
    SQ_TRY(sq_realloc((p->used + n + 64) * 2, &block));
    p->text = block;
    p->room = (p->used + n + 64) * 2;
  }
  memcpy(p->text + p->used, s, (size_t)n);
  p->used += n;
  p->text[p->used] = 0;
  return SQ_OK;
}

static sq_status put_text(printer *p, const char *s) {
  return put_letters(p, s, (int64_t)strlen(s));
}

static sq_status put_blanks(printer *p, int n) {
  while (n-- > 0) SQ_TRY(put_letters(p, " ", 1));
  return SQ_OK;
}

/* --- one element ---------------------------------------------------------------------------- */

static void float_text(const printer *p, double x, char *buf, size_t n) {
  if (isnan(x)) {
    snprintf(buf, n, "nan");
  } else if (isinf(x)) {
    snprintf(buf, n, x > 0 ? "inf" : "-inf");
  } else if (p->scientific) {
    sq_format(buf, n, "%.*e", DIGITS, x);
  } else if (p->whole) {
    sq_format(buf, n, "%.0f.", x);
  } else {
    sq_format(buf, n, "%.*f", DIGITS, x);
  }
}

static void element_text(const printer *p, int64_t at, char *buf, size_t n) {
  const sq_tensor *t = p->t;
  if (sq_is_float(t->dtype)) {
    float_text(p, sq_tensor_get(t, at), buf, n);
  } else if (t->dtype == SQ_BOOL) {
    snprintf(buf, n, sq_tensor_get_int(t, at) ? "true" : "false");
  } else {
    snprintf(buf, n, "%" PRId64, sq_tensor_get_int(t, at));
  }
}

/* --- the walk ------------------------------------------------------------------------------- */

/* How many positions of a dim are shown, and which is number k of them. */
static int64_t shown_count(const printer *p, int dim) {
  int64_t n = p->t->shape[dim];
  return p->summary && n > 2 * EDGE ? 2 * EDGE : n;
}

static int64_t shown_position(const printer *p, int dim, int64_t k) {
  int64_t n = p->t->shape[dim];
  return k >= EDGE && shown_count(p, dim) < n ? n - 2 * EDGE + k : k;
}

/* Calls see for each element that is shown. Depth is at most 8. */
static void walk_shown(printer *p, int dim, int64_t at, void (*see)(printer *p, int64_t at)) {
  if (dim == p->t->ndim) {
    see(p, at);
    return;
  }
  for (int64_t k = 0; k < shown_count(p, dim); k++)
    walk_shown(p, dim + 1, at * p->t->shape[dim] + shown_position(p, dim, k), see);
}

static void see_range(printer *p, int64_t at) {
  double x = fabs(sq_tensor_get(p->t, at));
  if (!isfinite(x) || x == 0) return;
  if (x != ceil(x)) p->whole = false;
  if (p->most == 0 || x < p->least) p->least = x;
  if (x > p->most) p->most = x;
}

static void see_width(printer *p, int64_t at) {
  char buf[400];
  element_text(p, at, buf, sizeof buf);
  int n = (int)strlen(buf);
  if (n > p->width) p->width = n;
}

/* Chooses the form that all elements share. */
static void choose_form(printer *p) {
  p->whole = true;
  if (sq_is_float(p->t->dtype)) {
    walk_shown(p, 0, 0, see_range);
    bool wide = p->most > 0 && (p->most / p->least > 1000 || p->most > 1e8);
    p->scientific = wide || (!p->whole && p->least < 1e-4);
  }
  walk_shown(p, 0, 0, see_width);
}

/* --- writing -------------------------------------------------------------------------------- */

static sq_status put_element(printer *p, int64_t at) {
  char buf[400];
  element_text(p, at, buf, sizeof buf);
  SQ_TRY(put_blanks(p, p->width - (int)strlen(buf)));
  return put_text(p, buf);
}

/* The last dim: elements in lines of at most 80 letters. */
static sq_status put_row(printer *p, int dim, int64_t at) {
  int64_t n = shown_count(p, dim), per_line = (LINE - dim - 1) / (p->width + 2);
  if (per_line < 1) per_line = 1;
  bool cut = n < p->t->shape[dim];
  for (int64_t k = 0, column = 0; k < n; k++, column++) {
    if (k > 0) SQ_TRY(put_text(p, ","));
    if (cut && k == EDGE) {
      SQ_TRY(put_text(p, "  ...,"));
      column++;
    }
    if (k > 0 && column >= per_line) {
      SQ_TRY(put_text(p, "\n"));
      SQ_TRY(put_blanks(p, dim + 1));
      column = 0;
    } else if (k > 0) {
      SQ_TRY(put_text(p, " "));
    }
    SQ_TRY(put_element(p, at * p->t->shape[dim] + shown_position(p, dim, k)));
  }
  return SQ_OK;
}

/* Between two slices of dim: as many line ends as dims lie inside it, less one. */
static sq_status put_gap(printer *p, int dim) {
  SQ_TRY(put_text(p, ","));
  for (int i = dim + 1; i < p->t->ndim; i++) SQ_TRY(put_text(p, "\n"));
  return put_blanks(p, dim + 1);
}

static sq_status put_block(printer *p, int dim, int64_t at) {
  if (dim == p->t->ndim) return put_element(p, at);
  SQ_TRY(put_text(p, "["));
  if (dim == p->t->ndim - 1) {
    SQ_TRY(put_row(p, dim, at));
    return put_text(p, "]");
  }
  int64_t n = shown_count(p, dim);
  for (int64_t k = 0; k < n; k++) {
    if (k > 0) SQ_TRY(put_gap(p, dim));
    if (k == EDGE && n < p->t->shape[dim]) {
      SQ_TRY(put_text(p, "..."));
      SQ_TRY(put_gap(p, dim));
    }
    SQ_TRY(put_block(p, dim + 1, at * p->t->shape[dim] + shown_position(p, dim, k)));
  }
  return put_text(p, "]");
}

static sq_status put_tensor(printer *p) {
  char last[192];
  SQ_TRY(p->t->numel == 0 ? put_text(p, "[]") : put_block(p, 0, 0));
  snprintf(last, sizeof last, "\n[%s %s]", sq_dtype_name(p->t->dtype),
           sq_tensor_shape_text(p->t, SQ_SHAPE_BUF));
  return put_text(p, last);
}

sq_status sq_tensor_format(sq_tensor *t, char **out) {
  printer p = {.t = t, .summary = t->numel > MOST};
  if (t->numel > 0) choose_form(&p);
  sq_status st = put_tensor(&p);
  if (st != SQ_OK) {
    sq_free(p.text);
    return st;
  }
  *out = p.text;
  return SQ_OK;
}

/* op_shape.c: other windows on the same elements. Nothing is copied, but by reshape and contiguous
 * where they must; the gradient of a window is the same window of the gradient. */
#include <inttypes.h>

#include "autograd/again_priv.h"
#include "autograd/op_priv.h"
#include "tensor/map.h"
#include "tensor/view.h"

/* y has x's elements in x's order.  dx = dy in x's shape. */
static sq_status reshape_backward(sq_back *b) {
  return sq_reshape(b->dy[0], sq__in_ndim(b, IN_X), sq__in_shape(b, IN_X), &b->dx[IN_X]);
}

static void reshape_again(sq_again *r) {
  sq__gives(r, IN_X, sq__like_input(r, sq__dy(r, 0), IN_X));
}

/* A window whose gradient is made by `back`_backward, and recorded by `back`_again. */
#define SQ_WINDOW(op, back)        \
  const sq_op_impl sq__op_##op = { \
      .forward = op##_forward, .backward = back##_backward, .again = back##_again, .view = true}

static sq_status view_forward(sq_call *c) {
  return sq_view(c->in[IN_X], c->arg[VIEW_SHAPE].ints.n, c->arg[VIEW_SHAPE].ints.v, &c->out[0]);
}
SQ_WINDOW(view, reshape);

static sq_status reshape_forward(sq_call *c) {
  return sq_reshape(c->in[IN_X], c->arg[RESHAPE_SHAPE].ints.n, c->arg[RESHAPE_SHAPE].ints.v,
                    &c->out[0]);
}
SQ_WINDOW(reshape, reshape);

/* Dims first..last become one. */
static sq_status flatten_forward(sq_call *c) {
  const sq_tensor *x = c->in[IN_X];
  int first, last, n = 0;
  int64_t shape[SQ_MAX_DIMS];
  SQ_TRY(sq_dim_resolve("flatten", c->arg[FLATTEN_START_DIM].integer, x->ndim, &first));
  SQ_TRY(sq_dim_resolve("flatten", c->arg[FLATTEN_END_DIM].integer, x->ndim, &last));
  if (first > last) {
    return sq_fail(SQ_ESHAPE, "[flatten] start_dim %d comes after end_dim %d", first + 1, last + 1);
  }
  for (int i = 0; i < x->ndim; i++) {
    if (i <= first || i > last) {
      shape[n++] = x->shape[i];
    } else {
      shape[n - 1] *= x->shape[i];
    }
  }
  if (x->ndim == 0) shape[n++] = 1;
  return sq_reshape(c->in[IN_X], n, shape, &c->out[0]);
}
SQ_WINDOW(flatten, reshape);

/* Dim `dim` becomes several; one of their sizes may be -1. */
static sq_status unflatten_forward(sq_call *c) {
  sq_tensor *x = c->in[IN_X];
  int dim, n = 0, parts = c->arg[UNFLATTEN_SIZES].ints.n;
  int64_t shape[SQ_MAX_DIMS], sizes[SQ_MAX_DIMS];
  SQ_TRY(sq_dim_resolve("unflatten", c->arg[UNFLATTEN_DIM].integer, x->ndim, &dim));
  if (x->ndim == 0 || parts == 0 || x->ndim - 1 + parts > SQ_MAX_DIMS) {
    return sq_fail(SQ_ESHAPE, "[unflatten] x is %s: a dim of it can't become %d dims",
                   sq_tensor_shape_text(x, SQ_SHAPE_BUF), parts);
  }
  sq_tensor one = {.ndim = 1, .numel = x->shape[dim], .shape = {x->shape[dim]}};
  SQ_TRY(sq_infer_shape("unflatten", &one, parts, c->arg[UNFLATTEN_SIZES].ints.v, sizes));
  for (int i = 0; i < dim; i++) shape[n++] = x->shape[i];
  for (int i = 0; i < parts; i++) shape[n++] = sizes[i];
  for (int i = dim + 1; i < x->ndim; i++) shape[n++] = x->shape[i];
  return sq_view(x, n, shape, &c->out[0]);
}
SQ_WINDOW(unflatten, reshape);

/* --- orders of dims ------------------------------------------------------------------------- */

/* What transpose and t keep. */
typedef struct exchanged {
  int dim0, dim1;
} exchanged;

/* y = x with two dims exchanged.  dx = dy with the same two exchanged. */
static sq_status exchange_dims(sq_call *c, int a, int d) {
  SQ_SAVE_VALUES(c, exchanged, a, d);
  return sq_transpose(c->in[IN_X], a, d, &c->out[0]);
}

static sq_status transpose_forward(sq_call *c) {
  int a, d;
  SQ_TRY(sq_dim_resolve("transpose", c->arg[TRANSPOSE_DIM0].integer, c->in[IN_X]->ndim, &a));
  SQ_TRY(sq_dim_resolve("transpose", c->arg[TRANSPOSE_DIM1].integer, c->in[IN_X]->ndim, &d));
  return exchange_dims(c, a, d);
}

static sq_status transpose_backward(sq_back *b) {
  const exchanged *v = sq__values(b);
  return sq_transpose(b->dy[0], v->dim0, v->dim1, &b->dx[IN_X]);
}

static void transpose_again(sq_again *r) {
  const exchanged *v = sq__values(r->b);
  sq__gives(r, IN_X, sq__swapped(r, sq__dy(r, 0), v->dim0, v->dim1));
}
SQ_WINDOW(transpose, transpose);

static sq_status t_forward(sq_call *c) {
  const sq_tensor *x = c->in[IN_X];
  if (x->ndim > 2) {
    return sq_fail(SQ_ESHAPE, "[t] x is %s: it must have at most 2 dims; use transpose or permute",
                   sq_tensor_shape_text(x, SQ_SHAPE_BUF));
  }
  return exchange_dims(c, 0, x->ndim == 2 ? 1 : 0);
}
SQ_WINDOW(t, transpose);

typedef struct permuted {
  int order[SQ_MAX_DIMS];
} permuted;

/* y's dim i is x's dim order[i]. */
static sq_status permute_forward(sq_call *c) {
  const sq_tensor *x = c->in[IN_X];
  const sq_arg *dims = &c->arg[PERMUTE_DIMS];
  permuted v;
  if (dims->ints.n != x->ndim) {
    return sq_fail(SQ_ESHAPE, "[permute] x is %s: %d dims are given, it has %d",
                   sq_tensor_shape_text(x, SQ_SHAPE_BUF), dims->ints.n, x->ndim);
  }
  for (int i = 0; i < x->ndim; i++)
    SQ_TRY(sq_dim_resolve("permute", dims->ints.v[i], x->ndim, &v.order[i]));
  sq__save_values(c, &v, sizeof v);
  return sq_permute(c->in[IN_X], v.order, &c->out[0]);
}

/* The order that undoes it. */
static void way_back(const sq_back *b, int *back) {
  const permuted *v = sq__values(b);
  for (int i = 0; i < sq__in_ndim(b, IN_X); i++) back[v->order[i]] = i;
}

static sq_status permute_backward(sq_back *b) {
  int back[SQ_MAX_DIMS];
  way_back(b, back);
  return sq_permute(b->dy[0], back, &b->dx[IN_X]);
}

static void permute_again(sq_again *r) {
  int back[SQ_MAX_DIMS];
  way_back(r->b, back);
  sq__gives(r, IN_X, sq__turned(r, sq__dy(r, 0), sq__in_ndim(r->b, IN_X), back));
}
SQ_WINDOW(permute, permute);

/* --- dims of size 1, and repeated ones ------------------------------------------------------ */

static sq_status squeeze_forward(sq_call *c) {
  unsigned mask;
  SQ_TRY(sq__dims_mask(c, SQUEEZE_DIM, c->in[IN_X]->ndim, &mask));
  return sq_squeeze(c->in[IN_X], c->arg[SQUEEZE_DIM].kind == SQ_ARG_NIL ? ~0u : mask, &c->out[0]);
}
SQ_WINDOW(squeeze, reshape);

static sq_status unsqueeze_forward(sq_call *c) {
  int dim;
  SQ_TRY(sq_dim_resolve("unsqueeze", c->arg[UNSQUEEZE_DIM].integer, c->in[IN_X]->ndim + 1, &dim));
  return sq_unsqueeze(c->in[IN_X], dim, &c->out[0]);
}
SQ_WINDOW(unsqueeze, reshape);

/* y repeats x.  dx = dy summed over what was repeated. */
static sq_status expand_backward(sq_back *b) { return sq__give(b, IN_X, sq_tensor_keep(b->dy[0])); }

static void expand_again(sq_again *r) { sq__gives(r, IN_X, sq__dy(r, 0)); }

static sq_status expand_forward(sq_call *c) {
  return sq_expand(c->in[IN_X], c->arg[EXPAND_SIZES].ints.n, c->arg[EXPAND_SIZES].ints.v,
                   &c->out[0]);
}
SQ_WINDOW(expand, expand);

static sq_status expand_as_forward(sq_call *c) {
  return sq_expand(c->in[IN_X], c->in[IN_EXPAND_AS_OTHER]->ndim, c->in[IN_EXPAND_AS_OTHER]->shape,
                   &c->out[0]);
}
const sq_op_impl sq__op_expand_as = {.forward = expand_as_forward,
                                     .backward = expand_backward,
                                     .again = expand_again,
                                     .view = true,
                                     .mixed = true};

/* --- parts of a dim ------------------------------------------------------------------------- */

/* What ops on a part keep. */
typedef struct range {
  int dim;
  int64_t start, length, step; /* of select only the start */
} range;

/* What dx is written into: zeros, or the sum that has come to x already. */
static sq_status begin_part(const sq_back *b, sq_tensor **out) {
  if (!b->sum) return sq__zeros(b, IN_X, out);
  *out = sq_tensor_keep(b->sum);
  return SQ_OK;
}

/* dy at its part of dx. */
static sq_status end_part(sq_back *b, sq_tensor *part, sq_tensor **dx) {
  if (b->sum) return sq_map_into(SQ_ELEM_add, (sq_tensor *[]){part, b->dy[0]}, NULL, part);
  SQ_TRY(sq_tensor_copy(part, b->dy[0]));
  b->dx[IN_X] = sq_tensor_give(dx);
  return SQ_OK;
}

/* A window on a part of x. */
#define SQ_PART(op, back)                                      \
  const sq_op_impl sq__op_##op = {.forward = op##_forward,     \
                                  .backward = back##_backward, \
                                  .again = back##_again,       \
                                  .adds = true,                \
                                  .view = true}

SQ_ALIKE(NARROW_DIM, SELECT_DIM);
SQ_ALIKE(SLICE_DIM, SELECT_DIM);

static sq_status dim_of_x(const sq_call *c, int *dim) {
  const sq_tensor *x = c->in[IN_X];
  if (x->ndim == 0)
    return sq_fail(SQ_ESHAPE, "[%s] x has no dims: it is a single value", c->op->name);
  return sq_dim_resolve(c->op->name, c->arg[SELECT_DIM].integer, x->ndim, dim);
}

/* y = x at one position of dim.  dx = 0 but there. */
static sq_status select_forward(sq_call *c) {
  int dim;
  int64_t at;
  SQ_TRY(dim_of_x(c, &dim));
  SQ_TRY(sq__position(c, c->arg[SELECT_INDEX].integer, dim, c->in[IN_X]->shape[dim], &at));
  SQ_SAVE_VALUES(c, range, .dim = dim, .start = at);
  return sq_select(c->in[IN_X], dim, at, &c->out[0]);
}

static sq_status select_backward(sq_back *b) {
  const range *v = sq__values(b);
  SQ_OWN sq_tensor *dx = NULL, *part = NULL;
  SQ_TRY(begin_part(b, &dx));
  SQ_TRY(sq_select(dx, v->dim, v->start, &part));
  return end_part(b, part, &dx);
}

/* dy added to zeros at positions of the dim. */
static sq_tensor *put_range(sq_again *r, const range *v, int64_t n, int64_t step, sq_tensor *dy) {
  sq_tensor *at = sq__positions(r, v->start, n, step);
  return sq__placed(r, sq__in_ndim(r->b, IN_X), sq__in_shape(r->b, IN_X), v->dim, at, dy);
}

static void select_again(sq_again *r) {
  const range *v = sq__values(r->b);
  sq_tensor *row = SQ_DO(unsqueeze, sq__arg(sq__dy(r, 0)), SQ_D(v->dim));
  sq__gives(r, IN_X, put_range(r, v, 1, 1, row));
}
SQ_PART(select, select);

/* y = `length` positions of dim from start on, in steps.  dx = 0 but there. */
static sq_status take_positions(sq_call *c, int dim, int64_t start, int64_t length, int64_t step) {
  SQ_SAVE_VALUES(c, range, dim, start, length, step);
  return sq_narrow(c->in[IN_X], dim, start, length, step, &c->out[0]);
}

static sq_status part_backward(sq_back *b) {
  const range *v = sq__values(b);
  SQ_OWN sq_tensor *dx = NULL, *there = NULL;
  SQ_TRY(begin_part(b, &dx));
  SQ_TRY(sq_narrow(dx, v->dim, v->start, v->length, v->step, &there));
  return end_part(b, there, &dx);
}

static void part_again(sq_again *r) {
  const range *v = sq__values(r->b);
  sq__gives(r, IN_X, put_range(r, v, v->length, v->step, sq__dy(r, 0)));
}

static sq_status narrow_forward(sq_call *c) {
  int dim;
  SQ_TRY(dim_of_x(c, &dim));
  int64_t size = c->in[IN_X]->shape[dim], start = c->arg[NARROW_START].integer,
          length = c->arg[NARROW_LENGTH].integer;
  if (start != size || length != 0)
    SQ_TRY(sq__position(c, c->arg[NARROW_START].integer, dim, size, &start));
  if (length < 0 || length > size - start) {
    return sq_fail(SQ_ESHAPE,
                   "[narrow] %" PRId64 " positions from %" PRId64 " on: dim %d has %" PRId64,
                   length, start + 1, dim + 1, size);
  }
  return take_positions(c, dim, start, length, 1);
}
SQ_PART(narrow, part);

/* start = stop + 1 gives no position at all. */
static sq_status slice_forward(sq_call *c) {
  int dim;
  SQ_TRY(dim_of_x(c, &dim));
  int64_t size = c->in[IN_X]->shape[dim], start = c->arg[SLICE_START].integer,
          stop = c->arg[SLICE_STOP].integer;
  int64_t step = c->arg[SLICE_STEP].integer;
  if (step < 1) return sq_fail(SQ_EARG, "[slice] step is %" PRId64 ": it must be at least 1", step);
  if (start < 0) start += size;
  if (stop < 0 && stop >= -size) stop += size;
  if (stop == start - 1 && start >= 0 && start <= size) return take_positions(c, dim, start, 0, 1);
  SQ_TRY(sq__position(c, c->arg[SLICE_START].integer, dim, size, &start));
  SQ_TRY(sq__position(c, c->arg[SLICE_STOP].integer, dim, size, &stop));
  if (stop < start) {
    return sq_fail(SQ_ESHAPE, "[slice] the range ends at %" PRId64 ", before its start %" PRId64,
                   stop + 1, start + 1);
  }
  return take_positions(c, dim, start, (stop - start) / step + 1, step);
}
SQ_PART(slice, part);

/* --- order in memory ------------------------------------------------------------------------ */

static sq_status contiguous_backward(sq_back *b) {
  b->dx[IN_X] = sq_tensor_keep(b->dy[0]);
  return SQ_OK;
}

static void contiguous_again(sq_again *r) { sq__gives(r, IN_X, sq__dy(r, 0)); }

/* A window on x, or a copy of it.  dx = dy. */
static sq_status contiguous_forward(sq_call *c) {
  if (!sq_tensor_is_contiguous(c->in[IN_X])) return sq_tensor_clone(c->in[IN_X], &c->out[0]);
  return sq_tensor_alias(c->in[IN_X], &c->out[0]);
}
SQ_WINDOW(contiguous, contiguous);

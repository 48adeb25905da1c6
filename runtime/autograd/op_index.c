/* op_index.c: elements by index or mask. Indices are data, from 0; all are checked before anything
 * is written. */
#include <inttypes.h>
#include <string.h>

#include "autograd/again_priv.h"
#include "autograd/op_priv.h"
#include "tensor/gather.h"
#include "tensor/map.h"
#include "tensor/pick.h"
#include "tensor/reduce.h"
#include "tensor/view.h"

/* --- whole positions of a dim --------------------------------------------------------------- */

/* Dim and index of (x, dim, index, ...), the index a row of checked positions. */
static sq_status read_positions(const sq_call *c, int *dim, sq_tensor **index) {
  const sq_tensor *x = c->in[IN_X], *i = c->in[IN_INDEX_SELECT_INDEX];
  SQ_TRY(sq_dim_resolve(c->op->name, c->arg[INDEX_SELECT_DIM].integer, x->ndim, dim));
  if (i->ndim > 1) {
    return sq_fail(SQ_ESHAPE, "[%s] index is %s: it must have 1 dim", c->op->name,
                   sq_tensor_shape_text(i, SQ_SHAPE_BUF));
  }
  return sq_read_index(c->op->name, c->in[IN_INDEX_SELECT_INDEX], x->ndim ? x->shape[*dim] : 1,
                       index);
}

/* What ops on a dim keep: the checked index, the dim, and alpha of index_add. */
enum { INDEX };

typedef struct positions {
  int dim;
  double alpha;
} positions;

static sq_status save_positions(sq_call *c, int dim, double alpha, sq_tensor *index) {
  SQ_SAVE_VALUES(c, positions, dim, alpha);
  return sq__save(c, INDEX, index);
}

static int saved_dim(const sq_back *b) { return ((const positions *)sq__values(b))->dim; }

SQ_ALIKE(INDEX_COPY_DIM, INDEX_SELECT_DIM);
SQ_ALIKE(INDEX_ADD_DIM, INDEX_SELECT_DIM);
SQ_ALIKE(INDEX_FILL_DIM, INDEX_SELECT_DIM);
SQ_ALIKE(IN_INDEX_COPY_INDEX, IN_INDEX_SELECT_INDEX);
SQ_ALIKE(IN_INDEX_ADD_INDEX, IN_INDEX_SELECT_INDEX);
SQ_ALIKE(IN_INDEX_FILL_INDEX, IN_INDEX_SELECT_INDEX);
SQ_ALIKE(IN_INDEX_ADD_SOURCE, IN_INDEX_COPY_SOURCE);

/* y[i] = x[index[i]] along dim;  dx[index[i]] += dy[i] */
static sq_status index_select_forward(sq_call *c) {
  SQ_OWN sq_tensor *index = NULL;
  int dim;
  SQ_TRY(read_positions(c, &dim, &index));
  SQ_TRY(sq_index_select(c->in[IN_X], dim, index->numel, sq_data(index), &c->out[0]));
  return save_positions(c, dim, 1, index);
}

static sq_status index_select_backward(sq_back *b) {
  SQ_OWN sq_tensor *dx = NULL;
  const sq_tensor *index = sq__saved(b, INDEX);
  SQ_TRY(sq__zeros(b, IN_X, &dx));
  SQ_TRY(sq_index_put(dx, saved_dim(b), index->numel, sq_data(index), b->dy[0], true));
  b->dx[IN_X] = sq_tensor_give(&dx);
  return SQ_OK;
}

static void index_select_again(sq_again *r) {
  const sq_back *b = r->b;
  sq__gives(r, IN_X,
            sq__placed(r, sq__in_ndim(b, IN_X), sq__in_shape(b, IN_X), saved_dim(b),
                       sq__saved(b, INDEX), sq__dy(r, 0)));
}
const sq_op_impl sq__op_index_select = {.forward = index_select_forward,
                                        .backward = index_select_backward,
                                        .again = index_select_again,
                                        .mixed = true};

/* Fails unless source is x with index's length in dim. */
static sq_status check_source(const sq_call *c, int dim, const sq_tensor *index) {
  const sq_tensor *x = c->in[IN_X], *s = c->in[IN_INDEX_COPY_SOURCE];
  bool fits = s->ndim == x->ndim;
  for (int i = 0; fits && i < x->ndim; i++)
    fits = s->shape[i] == (i == dim ? index->numel : x->shape[i]);
  if (!fits) {
    return sq_fail(SQ_ESHAPE,
                   "[%s] source is %s, x is %s with %" PRId64
                   " indices: source must be x's shape with that size in dim %d",
                   c->op->name, sq_tensor_shape_text(s, SQ_SHAPE_BUF),
                   sq_tensor_shape_text(x, SQ_SHAPE_BUF), index->numel, dim + 1);
  }
  if (s->dtype == x->dtype) return SQ_OK;
  return sq_fail(SQ_ETYPE, "[%s] x is %s, source is %s: convert one with :to(dtype)", c->op->name,
                 sq_dtype_name(x->dtype), sq_dtype_name(s->dtype));
}

/* y = x but y[index[i]] = or += source[i] along dim. */
static sq_status put_positions(sq_call *c, bool add) {
  SQ_OWN sq_tensor *index = NULL, *y = NULL, *scaled = NULL;
  int dim;
  double alpha = add ? c->arg[INDEX_ADD_ALPHA].number : 1;
  SQ_TRY(read_positions(c, &dim, &index));
  SQ_TRY(check_source(c, dim, index));
  SQ_TRY(sq_tensor_clone(c->in[IN_X], &y));
  if (alpha != 1)
    SQ_TRY(sq_map("index_add", SQ_ELEM_scale, &c->in[IN_INDEX_ADD_SOURCE], &alpha, &scaled));
  SQ_TRY(sq_index_put(y, dim, index->numel, sq_data(index),
                      scaled ? scaled : c->in[IN_INDEX_ADD_SOURCE], add));
  c->out[0] = sq_tensor_give(&y);
  return save_positions(c, dim, alpha, index);
}

static sq_status index_copy_forward(sq_call *c) { return put_positions(c, false); }
static sq_status index_add_forward(sq_call *c) { return put_positions(c, true); }

/* dx = dy, 0 at the positions;  dsource[i] = dy[index[i]] */
static sq_status index_copy_backward(sq_back *b) {
  SQ_OWN sq_tensor *dx = NULL, *zeros = NULL;
  const sq_tensor *index = sq__saved(b, INDEX);
  int dim = saved_dim(b);
  SQ_TRY(sq_index_select(b->dy[0], dim, index->numel, sq_data(index), &zeros));
  if (sq__needs(b, IN_INDEX_COPY_SOURCE)) b->dx[IN_INDEX_COPY_SOURCE] = sq_tensor_keep(zeros);
  if (!sq__needs(b, IN_X)) return SQ_OK;
  SQ_OWN sq_tensor *nothing = NULL;
  SQ_TRY(sq_tensor_full(zeros->dtype, zeros->ndim, zeros->shape, 0, &nothing));
  SQ_TRY(sq_tensor_clone(b->dy[0], &dx));
  SQ_TRY(sq_index_put(dx, dim, index->numel, sq_data(index), nothing, false));
  b->dx[IN_X] = sq_tensor_give(&dx);
  return SQ_OK;
}

/* dx = dy;  dsource[i] = alpha dy[index[i]] */
static sq_status index_add_backward(sq_back *b) {
  const sq_tensor *index = sq__saved(b, INDEX);
  double alpha = ((const positions *)sq__values(b))->alpha;
  b->dx[IN_X] = sq_tensor_keep(b->dy[0]);
  if (!sq__needs(b, IN_INDEX_ADD_SOURCE)) return SQ_OK;
  SQ_OWN sq_tensor *picked = NULL;
  SQ_TRY(sq_index_select(b->dy[0], saved_dim(b), index->numel, sq_data(index), &picked));
  return sq_map("index_add", SQ_ELEM_scale, &picked, &alpha, &b->dx[IN_INDEX_ADD_SOURCE]);
}

/* dy at the positions, recorded; and dy but 0 there. */
static sq_tensor *dy_at_positions(sq_again *r) {
  sq_arg index = sq__arg(sq__saved(r->b, INDEX));
  return SQ_DO(index_select, sq__arg(sq__dy(r, 0)), SQ_D(saved_dim(r->b)), index);
}

static sq_tensor *dy_elsewhere(sq_again *r) {
  sq_arg index = sq__arg(sq__saved(r->b, INDEX));
  return SQ_DO(index_fill, sq__arg(sq__dy(r, 0)), SQ_D(saved_dim(r->b)), index, SQ_N(0));
}

static void index_copy_again(sq_again *r) {
  if (sq__needs(r->b, IN_INDEX_COPY_SOURCE)) sq__gives(r, IN_INDEX_COPY_SOURCE, dy_at_positions(r));
  if (sq__needs(r->b, IN_X)) sq__gives(r, IN_X, dy_elsewhere(r));
}

static void index_add_again(sq_again *r) {
  double alpha = ((const positions *)sq__values(r->b))->alpha;
  sq__gives(r, IN_X, sq__dy(r, 0));
  if (sq__needs(r->b, IN_INDEX_ADD_SOURCE))
    sq__gives(r, IN_INDEX_ADD_SOURCE, sq__scale(r, dy_at_positions(r), alpha));
}
const sq_op_impl sq__op_index_copy = {.forward = index_copy_forward,
                                      .backward = index_copy_backward,
                                      .again = index_copy_again,
                                      .inplace = true,
                                      .mixed = true};
const sq_op_impl sq__op_index_add = {.forward = index_add_forward,
                                     .backward = index_add_backward,
                                     .again = index_add_again,
                                     .inplace = true,
                                     .mixed = true};

/* x with the positions of dim set to a value without dims. */
static sq_status fill_positions(sq_tensor *x, int dim, const sq_tensor *index, sq_tensor *value,
                                sq_tensor **out) {
  SQ_OWN sq_tensor *y = NULL, *values = NULL;
  int64_t shape[SQ_MAX_DIMS];
  for (int i = 0; i < x->ndim; i++) shape[i] = i == dim ? index->numel : x->shape[i];
  SQ_TRY(sq_tensor_clone(x, &y));
  SQ_TRY(sq_expand(value, x->ndim, shape, &values));
  SQ_TRY(sq_index_put(y, dim, index->numel, sq_data(index), values, false));
  *out = sq_tensor_give(&y);
  return SQ_OK;
}

/* The same with 0. */
static sq_status clear_positions(sq_tensor *x, int dim, const sq_tensor *index, sq_tensor **out) {
  SQ_OWN sq_tensor *zero = NULL;
  SQ_TRY(sq_tensor_scalar(x->dtype, 0, &zero));
  return fill_positions(x, dim, index, zero, out);
}

/* 0 but at the positions, each of which counts once. */
static sq_status only_positions(sq_tensor *x, int dim, const sq_tensor *index, sq_tensor **out) {
  SQ_OWN sq_tensor *none = NULL, *yes = NULL, *mask = NULL, *zero = NULL;
  SQ_TRY(sq_tensor_full(SQ_BOOL, x->ndim, x->shape, 0, &none));
  SQ_TRY(sq_tensor_scalar(SQ_BOOL, 1, &yes));
  SQ_TRY(fill_positions(none, dim, index, yes, &mask));
  SQ_TRY(sq_tensor_scalar(x->dtype, 0, &zero));
  return sq_where(mask, x, zero, out);
}

/* y = x but y[index[i]] = value;  dx = dy, 0 at the positions; dvalue = the sum of dy there */
static sq_status index_fill_forward(sq_call *c) {
  SQ_OWN sq_tensor *index = NULL, *value = NULL;
  int dim;
  if (c->in[IN_INDEX_FILL_VALUE]->ndim != 0) {
    return sq_fail(SQ_ESHAPE, "[index_fill] value is %s: it must be a number or have no dims",
                   sq_tensor_shape_text(c->in[IN_INDEX_FILL_VALUE], SQ_SHAPE_BUF));
  }
  SQ_TRY(read_positions(c, &dim, &index));
  SQ_TRY(sq_tensor_cast(c->in[IN_INDEX_FILL_VALUE], c->in[IN_X]->dtype, &value));
  SQ_TRY(fill_positions(c->in[IN_X], dim, index, value, &c->out[0]));
  return save_positions(c, dim, 1, index);
}

static sq_status index_fill_backward(sq_back *b) {
  const sq_tensor *index = sq__saved(b, INDEX);
  int dim = saved_dim(b);
  if (sq__needs(b, IN_X)) SQ_TRY(clear_positions(b->dy[0], dim, index, &b->dx[IN_X]));
  if (!sq__needs(b, IN_INDEX_FILL_VALUE)) return SQ_OK;
  SQ_OWN sq_tensor *picked = NULL, *sum = NULL;
  SQ_TRY(only_positions(b->dy[0], dim, index, &picked));
  SQ_TRY(sq_sum(picked, 0, false, &sum));
  return sq_tensor_cast(sum, sq__in_dtype(b, IN_INDEX_FILL_VALUE), &b->dx[IN_INDEX_FILL_VALUE]);
}

/* 1 at the positions, 0 elsewhere. */
static sq_tensor *positions_mask(sq_again *r) {
  sq_tensor *dy = sq__dy(r, 0), *none = sq__filled(r, dy->ndim, dy->shape, 0);
  sq_arg index = sq__arg(sq__saved(r->b, INDEX));
  return SQ_DO(index_fill, sq__arg(none), SQ_D(saved_dim(r->b)), index, SQ_N(1));
}

static void index_fill_again(sq_again *r) {
  if (sq__needs(r->b, IN_X)) sq__gives(r, IN_X, dy_elsewhere(r));
  if (!sq__needs(r->b, IN_INDEX_FILL_VALUE)) return;
  sq_tensor *there = sq__mul(r, sq__dy(r, 0), positions_mask(r));
  sq__gives(r, IN_INDEX_FILL_VALUE, sq__sum_dims(r, there, 0, false));
}
const sq_op_impl sq__op_index_fill = {.forward = index_fill_forward,
                                      .backward = index_fill_backward,
                                      .again = index_fill_again,
                                      .inplace = true,
                                      .mixed = true};

/* --- places that several tensors pick -------------------------------------------------------- */

/* What index_put keeps: the places, and how it put values there. */
enum { PLACES };

typedef struct placement {
  bool add;
  int dims, ndim;             /* of x that were picked from, of what was picked */
  int64_t shape[SQ_MAX_DIMS]; /* of what was picked */
} placement;

/* The values, behind the list of indices, are the last input. */
static int values_input(int inputs) { return inputs - 1; }

/* The places that the indices of the call pick from x's first dims. */
static sq_status read_picked_places(const sq_call *c, sq_pick *pick, sq_tensor **places) {
  int dim[SQ_MAX_DIMS], n = c->arg[INDEX_PUT_INDICES].tensors.n, at = 0;
  const sq_tensor *x = c->in[IN_X];
  sq_tensor **indices = c->in + IN_INDEX_PUT_INDICES;
  for (int i = 0; i < n && i < x->ndim; i++) {
    dim[i] = at;
    at += sq_pick_dims(indices[i]);
  }
  if (n == 0 || n > x->ndim || at > x->ndim) {
    return sq_fail(SQ_ESHAPE, "[index_put] indices: %d for x of shape %s: one per dim, from 1 on",
                   n, sq_tensor_shape_text(x, SQ_SHAPE_BUF));
  }
  return sq_read_pick("index_put", x, n, indices, dim, pick, places);
}

/* t's first `dims` dims laid flat, and the others: (size, inner). */
static void as_rows(const sq_tensor *t, int dims, int64_t *rows) {
  rows[0] = rows[1] = 1;
  for (int i = 0; i < t->ndim; i++) rows[i >= dims] *= t->shape[i];
}

/* y[place[i]] = or += values[i], places numbered over y's first `dims` dims; y contiguous. */
static sq_status put_rows(sq_tensor *y, int dims, const sq_tensor *places, sq_tensor *values,
                          bool add) {
  SQ_OWN sq_tensor *flat = NULL, *rows = NULL;
  int64_t shape[2];
  as_rows(y, dims, shape);
  SQ_TRY(sq_view(y, 2, shape, &flat));
  SQ_TRY(sq_reshape(values, 2, (int64_t[]){places->numel, shape[1]}, &rows));
  return sq_index_put(flat, 0, places->numel, sq_data(places), rows, add);
}

/* The shape of what is picked: the pick's, then x's other dims. */
static int picked_shape(const sq_tensor *x, const sq_pick *pick, int64_t *shape) {
  int n = 0;
  for (int i = 0; i < pick->ndim; i++) shape[n++] = pick->shape[i];
  for (int i = pick->dims; i < x->ndim; i++) shape[n++] = x->shape[i];
  return n;
}

/* y = x but y[place[i]] = or += values[i];  dx = dy, 0 there unless added;
 * dvalues[i] = dy[place[i]] */
static sq_status index_put_forward(sq_call *c) {
  SQ_OWN sq_tensor *places = NULL, *wide = NULL, *y = NULL;
  sq_tensor *x = c->in[IN_X], *values = c->in[values_input(c->nin)];
  bool add = c->arg[INDEX_PUT_ACCUMULATE].flag;
  sq_pick pick;
  int64_t shape[2 * SQ_MAX_DIMS];
  if (values->dtype != x->dtype) {
    return sq_fail(SQ_ETYPE, "[index_put] x is %s, values is %s: convert one with :to(dtype)",
                   sq_dtype_name(x->dtype), sq_dtype_name(values->dtype));
  }
  SQ_TRY(read_picked_places(c, &pick, &places));
  int n = picked_shape(x, &pick, shape);
  if (n > SQ_MAX_DIMS) return sq_fail(SQ_ESHAPE, "[index_put] more than %d dims", SQ_MAX_DIMS);
  SQ_TRY(sq_fail_in(sq_expand(values, n, shape, &wide), "[index_put] values: "));
  SQ_TRY(sq_tensor_clone(x, &y));
  SQ_TRY(put_rows(y, pick.dims, places, wide, add));
  c->out[0] = sq_tensor_give(&y);
  placement v = {.add = add, .dims = pick.dims, .ndim = n};
  memcpy(v.shape, shape, (size_t)n * sizeof *shape);
  sq__save_values(c, &v, sizeof v);
  return sq__save(c, PLACES, places);
}

static sq_status index_put_back_values(sq_back *b, const placement *v) {
  SQ_OWN sq_tensor *flat = NULL, *rows = NULL;
  const sq_tensor *places = sq__saved(b, PLACES);
  sq_tensor *values;
  int64_t size[2];
  as_rows(b->dy[0], v->dims, size);
  SQ_TRY(sq_reshape(b->dy[0], 2, size, &flat));
  SQ_TRY(sq_index_select(flat, 0, places->numel, sq_data(places), &rows));
  SQ_TRY(sq_view(rows, v->ndim, v->shape, &values));
  return sq__give(b, values_input(sq__inputs(b)), values);
}

static sq_status index_put_backward(sq_back *b) {
  const placement *v = sq__values(b);
  if (sq__needs(b, values_input(sq__inputs(b)))) SQ_TRY(index_put_back_values(b, v));
  if (!sq__needs(b, IN_X)) return SQ_OK;
  if (v->add) {
    b->dx[IN_X] = sq_tensor_keep(b->dy[0]);
    return SQ_OK;
  }
  SQ_OWN sq_tensor *dx = NULL, *zero = NULL, *zeros = NULL;
  SQ_TRY(sq_tensor_clone(b->dy[0], &dx));
  SQ_TRY(sq_tensor_scalar(dx->dtype, 0, &zero));
  SQ_TRY(sq_expand(zero, v->ndim, v->shape, &zeros));
  SQ_TRY(put_rows(dx, v->dims, sq__saved(b, PLACES), zeros, false));
  b->dx[IN_X] = sq_tensor_give(&dx);
  return SQ_OK;
}

/* The same on dy with its first dims laid flat: places are positions of dim 1. */
static void index_put_again(sq_again *r) {
  const placement *v = sq__values(r->b);
  sq_tensor *dy = sq__dy(r, 0);
  sq_arg places = sq__arg(sq__saved(r->b, PLACES));
  int values = values_input(sq__inputs(r->b));
  int64_t size[2];
  as_rows(dy, v->dims, size);
  sq_tensor *flat = sq__shaped(r, dy, 2, size);
  if (sq__needs(r->b, values)) {
    sq_tensor *rows = SQ_DO(index_select, sq__arg(flat), SQ_D(0), places);
    sq__gives(r, values, sq__shaped(r, rows, v->ndim, v->shape));
  }
  if (!sq__needs(r->b, IN_X)) return;
  sq_tensor *rest = v->add ? flat : SQ_DO(index_fill, sq__arg(flat), SQ_D(0), places, SQ_N(0));
  sq__gives(r, IN_X, sq__shaped(r, rest, dy->ndim, dy->shape));
}
const sq_op_impl sq__op_index_put = {.forward = index_put_forward,
                                     .backward = index_put_backward,
                                     .again = index_put_again,
                                     .inplace = true,
                                     .mixed = true};

/* --- single elements along a dim ------------------------------------------------------------ */

SQ_ALIKE(SCATTER_DIM, GATHER_DIM);
SQ_ALIKE(SCATTER_ADD_DIM, GATHER_DIM);
SQ_ALIKE(IN_SCATTER_INDEX, IN_GATHER_INDEX);
SQ_ALIKE(IN_SCATTER_ADD_INDEX, IN_GATHER_INDEX);
SQ_ALIKE(IN_SCATTER_ADD_SRC, IN_SCATTER_SRC);

/* Dim and index of (x, dim, index, ...), of any shape. */
static sq_status read_places(const sq_call *c, int *dim, sq_tensor **index) {
  const sq_tensor *x = c->in[IN_X];
  SQ_TRY(sq_dim_resolve(c->op->name, c->arg[GATHER_DIM].integer, x->ndim, dim));
  return sq_read_index(c->op->name, c->in[IN_GATHER_INDEX], x->ndim ? x->shape[*dim] : 1, index);
}

/* y[i][j] = x[index[i][j]][j];  dx[index[i][j]][j] += dy[i][j] */
static sq_status gather_forward(sq_call *c) {
  SQ_OWN sq_tensor *index = NULL;
  int dim;
  SQ_TRY(read_places(c, &dim, &index));
  SQ_TRY(sq_gather("gather", c->in[IN_X], dim, index, &c->out[0]));
  return save_positions(c, dim, 1, index);
}

static sq_status gather_backward(sq_back *b) {
  SQ_OWN sq_tensor *dx = NULL;
  SQ_TRY(sq__zeros(b, IN_X, &dx));
  SQ_TRY(sq_scatter("gather", dx, saved_dim(b), sq__saved(b, INDEX), b->dy[0], true));
  b->dx[IN_X] = sq_tensor_give(&dx);
  return SQ_OK;
}

static void gather_again(sq_again *r) {
  sq_tensor *zeros = sq__filled(r, sq__in_ndim(r->b, IN_X), sq__in_shape(r->b, IN_X), 0);
  sq_arg index = sq__arg(sq__saved(r->b, INDEX)), dy = sq__arg(sq__dy(r, 0));
  sq__gives(r, IN_X, SQ_DO(scatter_add, sq__arg(zeros), SQ_D(saved_dim(r->b)), index, dy));
}
const sq_op_impl sq__op_gather = {
    .forward = gather_forward, .backward = gather_backward, .again = gather_again, .mixed = true};

/* y = x but y[index[i][j]][j] = or += src[i][j]; src may be a number. */
static sq_status scatter_into(sq_call *c, bool add) {
  SQ_OWN sq_tensor *index = NULL, *y = NULL;
  int dim;
  SQ_TRY(read_places(c, &dim, &index));
  if (c->in[IN_SCATTER_SRC]->dtype != c->in[IN_X]->dtype) {
    return sq_fail(SQ_ETYPE, "[%s] x is %s, src is %s: convert one with :to(dtype)", c->op->name,
                   sq_dtype_name(c->in[IN_X]->dtype), sq_dtype_name(c->in[IN_SCATTER_SRC]->dtype));
  }
  SQ_TRY(sq_tensor_clone(c->in[IN_X], &y));
  SQ_TRY(sq_scatter(c->op->name, y, dim, index, c->in[IN_SCATTER_SRC], add));
  c->out[0] = sq_tensor_give(&y);
  return save_positions(c, dim, 1, index);
}

/* dsrc[i][j] = dy[index[i][j]][j]; 0 for what of src the index does not reach. */
static sq_status scatter_back_src(sq_back *b) {
  SQ_OWN sq_tensor *picked = NULL, *dsrc = NULL, *part = NULL;
  sq_tensor *index = sq__saved(b, INDEX);
  SQ_TRY(sq_gather("scatter", b->dy[0], saved_dim(b), index, &picked));
  if (sq__in_ndim(b, IN_SCATTER_SRC) == 0)
    return sq__give(b, IN_SCATTER_SRC, sq_tensor_give(&picked));
  SQ_TRY(sq__zeros(b, IN_SCATTER_SRC, &dsrc));
  SQ_TRY(sq_tensor_window(dsrc, index->ndim, index->shape, dsrc->stride, 0, &part));
  SQ_TRY(sq_tensor_copy(part, picked));
  b->dx[IN_SCATTER_SRC] = sq_tensor_give(&dsrc);
  return SQ_OK;
}

static sq_status scatter_forward(sq_call *c) { return scatter_into(c, false); }

/* dx = dy, 0 where src was written. */
static sq_status scatter_backward(sq_back *b) {
  if (sq__needs(b, IN_SCATTER_SRC)) SQ_TRY(scatter_back_src(b));
  if (!sq__needs(b, IN_X)) return SQ_OK;
  SQ_OWN sq_tensor *dx = NULL, *zero = NULL;
  SQ_TRY(sq_tensor_clone(b->dy[0], &dx));
  SQ_TRY(sq_tensor_scalar(dx->dtype, 0, &zero));
  SQ_TRY(sq_scatter("scatter", dx, saved_dim(b), sq__saved(b, INDEX), zero, false));
  b->dx[IN_X] = sq_tensor_give(&dx);
  return SQ_OK;
}

static sq_status scatter_add_forward(sq_call *c) { return scatter_into(c, true); }

/* dx = dy */
static sq_status scatter_add_backward(sq_back *b) {
  if (sq__needs(b, IN_X)) b->dx[IN_X] = sq_tensor_keep(b->dy[0]);
  return sq__needs(b, IN_SCATTER_ADD_SRC) ? scatter_back_src(b) : SQ_OK;
}

/* t with zeros behind it in every dim, in the shape of input i. */
static sq_tensor *padded_to(sq_again *r, int i, sq_tensor *t, const int64_t *have) {
  const int64_t *want = sq__in_shape(r->b, i);
  int ndim = sq__in_ndim(r->b, i);
  int64_t shape[SQ_MAX_DIMS];
  memcpy(shape, have, (size_t)ndim * sizeof *shape);
  for (int d = 0; d < ndim; d++) {
    shape[d] = want[d] - have[d];
    sq_tensor *parts[] = {t, sq__filled(r, ndim, shape, 0)};
    if (want[d] > have[d]) t = sq__joined(r, 2, parts, d);
    shape[d] = want[d];
  }
  return t;
}

static void scatter_src_again(sq_again *r) {
  sq_tensor *index = sq__saved(r->b, INDEX);
  if (!sq__needs(r->b, IN_SCATTER_SRC)) return;
  sq_tensor *g = SQ_DO(gather, sq__arg(sq__dy(r, 0)), SQ_D(saved_dim(r->b)), sq__arg(index));
  if (sq__in_ndim(r->b, IN_SCATTER_SRC) > 0) g = padded_to(r, IN_SCATTER_SRC, g, index->shape);
  sq__gives(r, IN_SCATTER_SRC, g);
}

static void scatter_again(sq_again *r) {
  sq_arg index = sq__arg(sq__saved(r->b, INDEX));
  scatter_src_again(r);
  if (!sq__needs(r->b, IN_X)) return;
  sq__gives(r, IN_X, SQ_DO(scatter, sq__arg(sq__dy(r, 0)), SQ_D(saved_dim(r->b)), index, SQ_N(0)));
}

static void scatter_add_again(sq_again *r) {
  sq__gives(r, IN_X, sq__dy(r, 0));
  scatter_src_again(r);
}
const sq_op_impl sq__op_scatter = {.forward = scatter_forward,
                                   .backward = scatter_backward,
                                   .again = scatter_again,
                                   .inplace = true,
                                   .mixed = true};
const sq_op_impl sq__op_scatter_add = {.forward = scatter_add_forward,
                                       .backward = scatter_add_backward,
                                       .again = scatter_add_again,
                                       .inplace = true,
                                       .mixed = true};

/* --- masks ---------------------------------------------------------------------------------- */

/* What masked_fill keeps; the others keep PLACES where the mask holds. */
enum { MASK };

SQ_ALIKE(IN_MASKED_SELECT_MASK, IN_MASKED_FILL_MASK);
SQ_ALIKE(IN_MASKED_SCATTER_MASK, IN_MASKED_FILL_MASK);

static sq_status check_mask(const sq_call *c) {
  if (c->in[IN_MASKED_FILL_MASK]->dtype == SQ_BOOL) return SQ_OK;
  return sq_fail(SQ_ETYPE, "[%s] the mask is %s: it must be bool", c->op->name,
                 sq_dtype_name(c->in[IN_MASKED_FILL_MASK]->dtype));
}

/* y = value where mask, else x;  dx = 0 where mask, else dy; dvalue = the sum of dy where mask */
static sq_status masked_fill_forward(sq_call *c) {
  SQ_TRY(check_mask(c));
  if (c->in[IN_MASKED_FILL_VALUE]->ndim != 0) {
    return sq_fail(SQ_ESHAPE, "[masked_fill] value is %s: it must be a number or have no dims",
                   sq_tensor_shape_text(c->in[IN_MASKED_FILL_VALUE], SQ_SHAPE_BUF));
  }
  SQ_OWN sq_tensor *value = NULL;
  SQ_TRY(sq_tensor_cast(c->in[IN_MASKED_FILL_VALUE], c->in[IN_X]->dtype, &value));
  SQ_TRY(sq__save(c, MASK, c->in[IN_MASKED_FILL_MASK]));
  return sq_where(c->in[IN_MASKED_FILL_MASK], value, c->in[IN_X], &c->out[0]);
}

static sq_status masked_fill_backward(sq_back *b) {
  SQ_OWN sq_tensor *zero = NULL;
  sq_tensor *value, *mask = sq__saved(b, MASK);
  const int into = IN_MASKED_FILL_VALUE;
  SQ_TRY(sq_tensor_scalar(b->dy[0]->dtype, 0, &zero));
  if (sq__needs(b, IN_X)) {
    SQ_TRY(sq_where(mask, zero, b->dy[0], &value));
    SQ_TRY(sq__give(b, IN_X, value));
  }
  if (!sq__needs(b, into)) return SQ_OK;
  SQ_TRY(sq_where(mask, b->dy[0], zero, &value));
  SQ_OWN sq_tensor *sum = NULL;
  sq_status st = sq_sum(value, 0, false, &sum);
  sq_tensor_drop(value);
  if (st == SQ_OK) st = sq_tensor_cast(sum, sq__in_dtype(b, into), &b->dx[into]);
  return st;
}

static void masked_fill_again(sq_again *r) {
  sq_tensor *mask = sq__saved(r->b, MASK), *zero = sq__number(r, 0), *dy = sq__dy(r, 0);
  if (sq__needs(r->b, IN_X)) sq__gives(r, IN_X, sq__choose(r, mask, zero, dy));
  if (sq__needs(r->b, IN_MASKED_FILL_VALUE))
    sq__gives(r, IN_MASKED_FILL_VALUE, sq__sum_dims(r, sq__choose(r, mask, dy, zero), 0, false));
}
const sq_op_impl sq__op_masked_fill = {.forward = masked_fill_forward,
                                       .backward = masked_fill_backward,
                                       .again = masked_fill_again,
                                       .inplace = true,
                                       .mixed = true};

/* Row-major places where the mask, expanded to that shape, holds. */
static sq_status mask_places(sq_tensor *mask, int ndim, const int64_t *shape, sq_tensor **out) {
  SQ_OWN sq_tensor *wide = NULL;
  SQ_TRY(sq_expand_contiguous(mask, ndim, shape, &wide));
  return sq_nonzero(wide, out);
}

/* What masked_select keeps besides: the shape in which x and mask meet. */
typedef struct meeting {
  int ndim;
  int64_t shape[SQ_MAX_DIMS];
} meeting;

/* y = the elements of x where mask, both broadcast, in a row;  dx = dy put back there */
static sq_status masked_select_forward(sq_call *c) {
  SQ_TRY(check_mask(c));
  sq_tensor *x = c->in[IN_X], *mask = c->in[IN_MASKED_SELECT_MASK];
  meeting v = {0};
  SQ_TRY(sq_shape_broadcast("masked_select", x->ndim, x->shape, mask->ndim, mask->shape, &v.ndim,
                            v.shape));
  SQ_OWN sq_tensor *places = NULL, *wide = NULL, *flat = NULL;
  SQ_TRY(mask_places(mask, v.ndim, v.shape, &places));
  SQ_TRY(sq_expand(x, v.ndim, v.shape, &wide));
  SQ_TRY(sq_reshape(wide, 1, (int64_t[]){wide->numel}, &flat));
  SQ_TRY(sq_index_select(flat, 0, places->numel, sq_data(places), &c->out[0]));
  sq__save_values(c, &v, sizeof v);
  return sq__save(c, PLACES, places);
}

static sq_status masked_select_backward(sq_back *b) {
  const meeting *v = sq__values(b);
  SQ_OWN sq_tensor *wide = NULL, *flat = NULL;
  const sq_tensor *places = sq__saved(b, PLACES);
  SQ_TRY(sq_tensor_full(sq__in_dtype(b, IN_X), v->ndim, v->shape, 0, &wide));
  SQ_TRY(sq_view(wide, 1, (int64_t[]){wide->numel}, &flat));
  SQ_TRY(sq_index_put(flat, 0, places->numel, sq_data(places), b->dy[0], false));
  return sq__give(b, IN_X, sq_tensor_give(&wide));
}

static void masked_select_again(sq_again *r) {
  const meeting *v = sq__values(r->b);
  int64_t size = 1;
  for (int i = 0; i < v->ndim; i++) size *= v->shape[i];
  sq_tensor *flat = sq__placed(r, 1, &size, 0, sq__saved(r->b, PLACES), sq__dy(r, 0));
  sq__gives(r, IN_X, sq__shaped(r, flat, v->ndim, v->shape));
}
const sq_op_impl sq__op_masked_select = {.forward = masked_select_forward,
                                         .backward = masked_select_backward,
                                         .again = masked_select_again,
                                         .mixed = true};

/* y = x but source's elements, in order, where mask, both broadcast;  dx = dy, 0 there;
 * dsource = dy from there */
static sq_status masked_scatter_forward(sq_call *c) {
  SQ_TRY(check_mask(c));
  sq_tensor *x = c->in[IN_X], *mask = c->in[IN_MASKED_SCATTER_MASK];
  sq_tensor *source = c->in[IN_MASKED_SCATTER_SOURCE];
  int ndim;
  int64_t shape[SQ_MAX_DIMS];
  SQ_TRY(sq_shape_broadcast("masked_scatter", x->ndim, x->shape, mask->ndim, mask->shape, &ndim,
                            shape));
  SQ_OWN sq_tensor *places = NULL, *wide = NULL, *y = NULL, *flat = NULL, *row = NULL, *part = NULL;
  SQ_TRY(mask_places(mask, ndim, shape, &places));
  if (source->dtype != x->dtype || source->numel < places->numel) {
    return sq_fail(SQ_ESHAPE,
                   "[masked_scatter] source is %s %s: the mask takes %" PRId64 " elements of %s",
                   sq_dtype_name(source->dtype), sq_tensor_shape_text(source, SQ_SHAPE_BUF),
                   places->numel, sq_dtype_name(x->dtype));
  }
  SQ_TRY(sq_expand(x, ndim, shape, &wide));
  SQ_TRY(sq_tensor_clone(wide, &y));
  SQ_TRY(sq_view(y, 1, (int64_t[]){y->numel}, &flat));
  SQ_TRY(sq_reshape(source, 1, (int64_t[]){source->numel}, &row));
  SQ_TRY(sq_narrow(row, 0, 0, places->numel, 1, &part));
  SQ_TRY(sq_index_put(flat, 0, places->numel, sq_data(places), part, false));
  c->out[0] = sq_tensor_give(&y);
  return sq__save(c, PLACES, places);
}

static sq_status masked_scatter_backward(sq_back *b) {
  SQ_OWN sq_tensor *flat = NULL, *picked = NULL, *dsource = NULL, *row = NULL, *part = NULL;
  sq_tensor *dy = b->dy[0];
  const sq_tensor *places = sq__saved(b, PLACES);
  SQ_TRY(sq_reshape(dy, 1, (int64_t[]){dy->numel}, &flat));
  if (sq__needs(b, IN_X)) {
    SQ_OWN sq_tensor *dx = NULL;
    sq_tensor *wide;
    SQ_TRY(clear_positions(flat, 0, places, &dx));
    SQ_TRY(sq_view(dx, dy->ndim, dy->shape, &wide));
    SQ_TRY(sq__give(b, IN_X, wide));
  }
  if (!sq__needs(b, IN_MASKED_SCATTER_SOURCE)) return SQ_OK;
  SQ_TRY(sq_index_select(flat, 0, places->numel, sq_data(places), &picked));
  SQ_TRY(sq__zeros(b, IN_MASKED_SCATTER_SOURCE, &dsource));
  SQ_TRY(sq_view(dsource, 1, (int64_t[]){dsource->numel}, &row));
  SQ_TRY(sq_narrow(row, 0, 0, places->numel, 1, &part));
  SQ_TRY(sq_tensor_copy(part, picked));
  b->dx[IN_MASKED_SCATTER_SOURCE] = sq_tensor_give(&dsource);
  return SQ_OK;
}

static void masked_scatter_again(sq_again *r) {
  sq_tensor *places = sq__saved(r->b, PLACES), *dy = sq__dy(r, 0);
  sq_tensor *flat = sq__shaped(r, dy, 1, &dy->numel);
  if (sq__needs(r->b, IN_X)) {
    sq_tensor *rest = SQ_DO(index_fill, sq__arg(flat), SQ_D(0), sq__arg(places), SQ_N(0));
    sq__gives(r, IN_X, sq__shaped(r, rest, dy->ndim, dy->shape));
  }
  if (!sq__needs(r->b, IN_MASKED_SCATTER_SOURCE)) return;
  const int64_t *shape = sq__in_shape(r->b, IN_MASKED_SCATTER_SOURCE);
  int64_t size = 1;
  for (int i = 0; i < sq__in_ndim(r->b, IN_MASKED_SCATTER_SOURCE); i++) size *= shape[i];
  sq_tensor *picked = SQ_DO(index_select, sq__arg(flat), SQ_D(0), sq__arg(places));
  sq_tensor *row = sq__placed(r, 1, &size, 0, sq__positions(r, 0, places->numel, 1), picked);
  sq__gives(r, IN_MASKED_SCATTER_SOURCE, sq__like_input(r, row, IN_MASKED_SCATTER_SOURCE));
}
const sq_op_impl sq__op_masked_scatter = {.forward = masked_scatter_forward,
                                          .backward = masked_scatter_backward,
                                          .again = masked_scatter_again,
                                          .inplace = true,
                                          .mixed = true};

/* --- positions as data ---------------------------------------------------------------------- */

/* The places (n) of sq_nonzero as one index per dim: (n, ndim). */
static sq_status nonzero_forward(sq_call *c) {
  SQ_OWN sq_tensor *places = NULL, *y = NULL;
  const sq_tensor *x = c->in[IN_X];
  SQ_TRY(sq_nonzero(c->in[IN_X], &places));
  SQ_TRY(sq_tensor_new(SQ_I64, 2, (int64_t[]){places->numel, x->ndim}, &y));
  const int64_t *from = sq_data(places);
  int64_t *to = sq_data(y);
  for (int64_t i = 0; i < places->numel; i++, to += x->ndim) {
    int64_t rest = from[i];
    for (int d = x->ndim - 1; d >= 0; d--) {
      to[d] = rest % x->shape[d];
      rest /= x->shape[d];
    }
  }
  c->out[0] = sq_tensor_give(&y);
  return SQ_OK;
}
const sq_op_impl sq__op_nonzero = {.forward = nonzero_forward};

/* y[..., k] = 1 where x[...] is k, else 0. */
static sq_status one_hot_forward(sq_call *c) {
  SQ_OWN sq_tensor *index = NULL, *y = NULL;
  sq_tensor *x = c->in[IN_X];
  int64_t shape[SQ_MAX_DIMS], classes = c->arg[ONE_HOT_NUM_CLASSES].integer;
  SQ_TRY(sq_read_index("one_hot", x, classes == -1 ? INT64_MAX : classes, &index));
  const int64_t *v = sq_data(index);
  if (classes == -1 && x->numel == 0)
    return sq_fail(SQ_EARG, "[one_hot] x has no elements: give num_classes");
  for (int64_t i = 0, open = classes == -1; open && i < x->numel; i++)
    if (v[i] >= classes) classes = v[i] + 1;
  if (x->ndim == SQ_MAX_DIMS)
    return sq_fail(SQ_ESHAPE, "[one_hot] a tensor has at most %d dims", SQ_MAX_DIMS);
  for (int i = 0; i < x->ndim; i++) shape[i] = x->shape[i];
  shape[x->ndim] = classes;
  SQ_TRY(sq_tensor_full(SQ_I64, x->ndim + 1, shape, 0, &y));
  int64_t *to = sq_data(y);
  for (int64_t i = 0; i < x->numel; i++) to[i * classes + v[i]] = 1;
  c->out[0] = sq_tensor_give(&y);
  return SQ_OK;
}
const sq_op_impl sq__op_one_hot = {.forward = one_hot_forward, .functional = true};

/* What embedding keeps besides INDEX. */
typedef struct looked_up {
  int64_t padding; /* -1: none */
} looked_up;

/* y[...,:] = weight[input[...],:];  dweight[input[...],:] += dy[...,:], 0 for padding_idx */
static sq_status embedding_forward(sq_call *c) {
  SQ_OWN sq_tensor *index = NULL, *rows = NULL;
  sq_tensor *x = c->in[IN_EMBEDDING_INPUT], *weight = c->in[IN_EMBEDDING_WEIGHT];
  int64_t shape[SQ_MAX_DIMS], padding = -1;
  if (weight->ndim != 2 || x->ndim == SQ_MAX_DIMS) {
    return sq_fail(SQ_ESHAPE, "[embedding] weight is %s: it must be (classes,features)",
                   sq_tensor_shape_text(weight, SQ_SHAPE_BUF));
  }
  int64_t N = weight->shape[0];
  if (c->arg[EMBEDDING_PADDING_IDX].kind != SQ_ARG_NIL) {
    padding = c->arg[EMBEDDING_PADDING_IDX].integer;
    if (padding < -N || padding >= N) {
      return sq_fail(SQ_EARG, "[embedding] padding_idx %" PRId64 " is out of range: 0 to %" PRId64,
                     padding, N - 1);
    }
    if (padding < 0) padding += N;
  }
  SQ_TRY(sq_read_index("embedding", x, N, &index));
  SQ_TRY(sq_index_select(weight, 0, index->numel, sq_data(index), &rows));
  for (int i = 0; i < x->ndim; i++) shape[i] = x->shape[i];
  shape[x->ndim] = weight->shape[1];
  SQ_TRY(sq_reshape(rows, x->ndim + 1, shape, &c->out[0]));
  SQ_SAVE_VALUES(c, looked_up, padding);
  return sq__save(c, INDEX, index);
}

static sq_status embedding_backward(sq_back *b) {
  SQ_OWN sq_tensor *dw = NULL, *rows = NULL, *padding = NULL;
  const sq_tensor *index = sq__saved(b, INDEX);
  int64_t pad = ((const looked_up *)sq__values(b))->padding;
  SQ_TRY(sq__zeros(b, IN_EMBEDDING_WEIGHT, &dw));
  SQ_TRY(sq_reshape(b->dy[0], 2, (int64_t[]){index->numel, dw->shape[1]}, &rows));
  SQ_TRY(sq_index_put(dw, 0, index->numel, sq_data(index), rows, true));
  if (pad >= 0) {
    SQ_TRY(sq_select(dw, 0, pad, &padding));
    SQ_TRY(sq_tensor_fill(padding, 0));
  }
  b->dx[IN_EMBEDDING_WEIGHT] = sq_tensor_give(&dw);
  return SQ_OK;
}

static void embedding_again(sq_again *r) {
  sq_tensor *index = sq__saved(r->b, INDEX);
  const int64_t *shape = sq__in_shape(r->b, IN_EMBEDDING_WEIGHT);
  int64_t pad = ((const looked_up *)sq__values(r->b))->padding;
  sq_tensor *rows = sq__shaped(r, sq__dy(r, 0), 2, (int64_t[]){index->numel, shape[1]});
  sq_tensor *dw = sq__placed(r, 2, shape, 0, sq__shaped(r, index, 1, &index->numel), rows);
  sq_arg padding = sq__arg(sq__positions(r, pad, 1, 1));
  if (pad >= 0) dw = SQ_DO(index_fill, sq__arg(dw), SQ_D(0), padding, SQ_N(0));
  sq__gives(r, IN_EMBEDDING_WEIGHT, dw);
}
const sq_op_impl sq__op_embedding = {.forward = embedding_forward,
                                     .backward = embedding_backward,
                                     .again = embedding_again,
                                     .mixed = true,
                                     .functional = true};

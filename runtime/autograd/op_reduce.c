/* op_reduce.c: reductions over any dims, and what runs along one. */
#include <math.h>

#include "autograd/op_priv.h"
#include "tensor/gather.h"
#include "tensor/map.h"
#include "tensor/reduce.h"
#include "tensor/view.h"

/* How many elements the dims in mask hold. */
static int64_t count(int ndim, const int64_t *shape, unsigned mask) {
  int64_t n = 1;
  for (int i = 0; i < ndim; i++)
    if (mask == 0 || mask >> i & 1) n *= shape[i];
  return n;
}

/* value = t / n, in t's dtype. */
static sq_status divide(sq_tensor *t, double n, sq_tensor **out) {
  SQ_OWN sq_tensor *divisor = NULL;
  SQ_TRY(sq_tensor_scalar(t->dtype, n, &divisor));
  return sq_map("mean", SQ_ELEM_div, (sq_tensor *[]){t, divisor}, NULL, out);
}

/* dx = dy, of a reduction over saved int 0's dims, spread over x: a view with stride 0. */
static sq_status spread(sq_back *b, sq_tensor *dy, sq_tensor **out) {
  SQ_OWN sq_tensor *narrow = NULL;
  SQ_TRY(sq__unreduce(b, 0, dy, (unsigned)sq__ints(b)[0], &narrow));
  return sq_expand(narrow, sq__in_ndim(b, 0), sq__in_shape(b, 0), out);
}

/* y = sum x;  dx = dy */
static sq_status sum_forward(sq_call *c) {
  unsigned mask;
  SQ_TRY(sq__dims_mask(c, 1, c->in[0]->ndim, &mask));
  sq__save_int(c, mask);
  return sq_sum(c->in[0], mask, c->arg[2].flag, &c->out[0]);
}

static sq_status sum_backward(sq_back *b) { return spread(b, b->dy[0], &b->dx[0]); }
const sq_op_impl sq__op_sum = {.forward = sum_forward, .backward = sum_backward};

/* y = sum x / N;  dx = dy / N */
static sq_status mean_forward(sq_call *c) {
  SQ_OWN sq_tensor *x = NULL, *sum = NULL;
  unsigned mask;
  SQ_TRY(sq__dims_mask(c, 1, c->in[0]->ndim, &mask));
  SQ_TRY(sq__to_float(c->in[0], &x));
  SQ_TRY(sq_sum(x, mask, c->arg[2].flag, &sum));
  sq__save_int(c, mask);
  return divide(sum, (double)count(x->ndim, x->shape, mask), &c->out[0]);
}

static sq_status mean_backward(sq_back *b) {
  SQ_OWN sq_tensor *part = NULL;
  double n = (double)count(sq__in_ndim(b, 0), sq__in_shape(b, 0), (unsigned)sq__ints(b)[0]);
  SQ_TRY(divide(b->dy[0], n, &part));
  return spread(b, part, &b->dx[0]);
}
const sq_op_impl sq__op_mean = {.forward = mean_forward, .backward = mean_backward};

/* --- choices -------------------------------------------------------------------------------------
 */

/* The greatest or least. Along dim: values and places;  dx = dy at the places. Of all:  dx = dy
 * shared evenly by those that are equal to it. */
static sq_status choose(sq_call *c, sq_reduction kind) {
  sq_tensor *x = c->in[0];
  bool whole = c->arg[1].kind == SQ_ARG_NIL;
  int dim = 0;
  if (!whole) SQ_TRY(sq_dim_resolve(c->op->name, c->arg[1].integer, x->ndim, &dim));
  unsigned mask = whole ? 0 : sq__dim_bit(x->ndim, dim);
  SQ_TRY(sq_reduce(c->op->name, kind, x, mask, !whole && c->arg[2].flag, &c->out[0],
                   whole ? NULL : &c->out[1]));
  sq__save_ints(c, 2, (int64_t[]){mask, dim});
  SQ_TRY(sq__save(c, whole ? x : NULL));
  SQ_TRY(sq__save(c, whole ? c->out[0] : NULL));
  return sq__save(c, c->out[1]);
}

static sq_status choose_all_backward(sq_back *b) {
  SQ_OWN sq_tensor *equal = NULL, *number = NULL, *part = NULL, *zero = NULL;
  sq_tensor *x = sq__saved(b, 0), *y = sq__saved(b, 1);
  double n;
  SQ_TRY(sq_map("max", isnan(sq_tensor_get(y, 0)) ? SQ_ELEM_isnan : SQ_ELEM_eq,
                (sq_tensor *[]){x, y}, NULL, &equal));
  SQ_TRY(sq_sum(equal, 0, false, &number));
  SQ_TRY(sq_tensor_item(number, &n));
  SQ_TRY(divide(b->dy[0], n, &part));
  SQ_TRY(sq_tensor_scalar(x->dtype, 0, &zero));
  return sq_where(equal, part, zero, &b->dx[0]);
}

static sq_status choose_backward(sq_back *b) {
  if (!b->dy[0]) return SQ_OK;
  if (sq__saved(b, 0)) return choose_all_backward(b);
  SQ_OWN sq_tensor *dx = NULL, *where = NULL, *dy = NULL;
  unsigned mask = (unsigned)sq__ints(b)[0];
  SQ_TRY(sq_tensor_full(sq__in_dtype(b, 0), sq__in_ndim(b, 0), sq__in_shape(b, 0), 0, &dx));
  SQ_TRY(sq__unreduce(b, 0, sq__saved(b, 2), mask, &where));
  SQ_TRY(sq__unreduce(b, 0, b->dy[0], mask, &dy));
  SQ_TRY(sq_scatter("max", dx, (int)sq__ints(b)[1], where, dy, false));
  b->dx[0] = sq_tensor_give(&dx);
  return SQ_OK;
}

static sq_status max_forward(sq_call *c) { return choose(c, SQ_REDUCE_MAX); }
static sq_status min_forward(sq_call *c) { return choose(c, SQ_REDUCE_MIN); }
const sq_op_impl sq__op_max = {.forward = max_forward, .backward = choose_backward};
const sq_op_impl sq__op_min = {.forward = min_forward, .backward = choose_backward};

/* Of all: the place in row-major order. */
static sq_status place(sq_call *c, sq_reduction kind) {
  SQ_OWN sq_tensor *value = NULL;
  int dim = 0, ndim = c->in[0]->ndim;
  bool whole = c->arg[1].kind == SQ_ARG_NIL;
  if (!whole) SQ_TRY(sq_dim_resolve(c->op->name, c->arg[1].integer, ndim, &dim));
  return sq_reduce(c->op->name, kind, c->in[0], whole ? 0 : sq__dim_bit(ndim, dim), c->arg[2].flag,
                   &value, &c->out[0]);
}

static sq_status argmax_forward(sq_call *c) { return place(c, SQ_REDUCE_MAX); }
static sq_status argmin_forward(sq_call *c) { return place(c, SQ_REDUCE_MIN); }
const sq_op_impl sq__op_argmax = {.forward = argmax_forward};
const sq_op_impl sq__op_argmin = {.forward = argmin_forward};

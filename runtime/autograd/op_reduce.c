/* op_reduce.c: reductions over any dims, and what runs along one. */
#include <math.h>

#include "autograd/again_priv.h"
#include "autograd/op_priv.h"
#include "tensor/gather.h"
#include "tensor/map.h"
#include "tensor/reduce.h"
#include "tensor/sort.h"
#include "tensor/view.h"

/* What the ops here keep besides tensors. */
typedef struct reduced {
  unsigned mask; /* the dims, 0: all */
  int dim;       /* the one, where there is one */
  double number; /* var, std: N - correction; norm: p */
} reduced;

/* How many elements the dims in mask hold. */
static int64_t count_reduced(int ndim, const int64_t *shape, unsigned mask) {
  int64_t n = 1;
  for (int i = 0; i < ndim; i++)
    if (mask == 0 || mask >> i & 1) n *= shape[i];
  return n;
}

/* value = t / n, in t's dtype. */
static sq_status divide_by(sq_tensor *t, double n, sq_tensor **out) {
  SQ_OWN sq_tensor *divisor = NULL;
  SQ_TRY(sq_tensor_scalar(t->dtype, n, &divisor));
  return sq_map("mean", SQ_ELEM_div, (sq_tensor *[]){t, divisor}, NULL, out);
}

/* dx = dy, of a reduction over the kept dims, spread over x: a view with stride 0. */
static sq_status spread_gradient(sq_back *b, sq_tensor *dy, sq_tensor **out) {
  const reduced *v = sq__values(b);
  SQ_OWN sq_tensor *narrow = NULL;
  SQ_TRY(sq__unreduce(b, IN_X, dy, v->mask, &narrow));
  return sq_expand(narrow, sq__in_ndim(b, IN_X), sq__in_shape(b, IN_X), out);
}

/* The same, recorded: g over the kept dims, spread over x. */
static sq_tensor *spread_again(sq_again *r, sq_tensor *g) {
  const reduced *v = sq__values(r->b);
  sq_tensor *narrow = sq__spread(r, IN_X, g, v->mask);
  return sq__expanded(r, narrow, sq__in_ndim(r->b, IN_X), sq__in_shape(r->b, IN_X));
}

/* The result in a dtype. */
static sq_status give_in(sq_call *c, sq_dtype dtype) {
  if (c->out[0]->dtype == dtype) return SQ_OK;
  sq_tensor *cast;
  SQ_TRY(sq_tensor_cast(c->out[0], dtype, &cast));
  sq_tensor_drop(c->out[0]);
  c->out[0] = cast;
  return SQ_OK;
}

/* The result in the dtype that argument `arg` asks for, if it does. */
static sq_status give_as_asked(sq_call *c, int arg) {
  return c->arg[arg].kind == SQ_ARG_DTYPE ? give_in(c, c->arg[arg].dtype) : SQ_OK;
}

/* y = sum x;  dx = dy */
static sq_status sum_forward(sq_call *c) {
  unsigned mask;
  SQ_TRY(sq__dims_mask(c, SUM_DIM, c->in[IN_X]->ndim, &mask));
  SQ_SAVE_VALUES(c, reduced, .mask = mask);
  SQ_TRY(sq_sum(c->in[IN_X], mask, c->arg[SUM_KEEPDIM].flag, &c->out[0]));
  return give_as_asked(c, SUM_DTYPE);
}

static sq_status sum_backward(sq_back *b) { return spread_gradient(b, b->dy[0], &b->dx[IN_X]); }
static void sum_again(sq_again *r) { sq__gives(r, IN_X, spread_again(r, sq__dy(r, 0))); }
const sq_op_impl sq__op_sum = {
    .forward = sum_forward, .backward = sum_backward, .again = sum_again, .in_dtype = true};

/* y = sum x / N;  dx = dy / N */
static sq_status mean_forward(sq_call *c) {
  SQ_OWN sq_tensor *x = NULL, *sum = NULL, *real = NULL;
  unsigned mask;
  if (c->arg[MEAN_DTYPE].kind == SQ_ARG_DTYPE && !sq_is_float(c->arg[MEAN_DTYPE].dtype))
    return sq_fail(SQ_ETYPE, "[mean] dtype is %s: a mean is float32 or float64",
                   sq_dtype_name(c->arg[MEAN_DTYPE].dtype));
  SQ_TRY(sq__dims_mask(c, MEAN_DIM, c->in[IN_X]->ndim, &mask));
  /* bytes add up exactly; sums of int64 could wrap */
  bool bytes = sq_dtype_size(c->in[IN_X]->dtype) == 1;
  SQ_TRY(bytes ? sq_tensor_contiguous(c->in[IN_X], &x) : sq__to_float(c->in[IN_X], &x));
  SQ_TRY(sq_sum(x, mask, c->arg[MEAN_KEEPDIM].flag, &sum));
  SQ_TRY(sq__to_float(sum, &real));
  SQ_SAVE_VALUES(c, reduced, .mask = mask);
  return divide_by(real, (double)count_reduced(x->ndim, x->shape, mask), &c->out[0]);
}

/* How many elements became one. */
static double count_summed(const sq_back *b) {
  const reduced *v = sq__values(b);
  return (double)count_reduced(sq__in_ndim(b, IN_X), sq__in_shape(b, IN_X), v->mask);
}

static sq_status mean_backward(sq_back *b) {
  SQ_OWN sq_tensor *part = NULL;
  SQ_TRY(divide_by(b->dy[0], count_summed(b), &part));
  return spread_gradient(b, part, &b->dx[IN_X]);
}

static void mean_again(sq_again *r) {
  sq_tensor *n = sq__number(r, count_summed(r->b));
  sq__gives(r, IN_X, spread_again(r, sq__div(r, sq__dy(r, 0), n)));
}
const sq_op_impl sq__op_mean = {
    .forward = mean_forward, .backward = mean_backward, .again = mean_again, .in_dtype = true};

/* --- choices -------------------------------------------------------------------------------- */

/* Results of choices along a dim. */
enum { VALUES, PLACES };

/* What max and min keep: x and y where they chose among all, else the places. */
enum { CHOSEN_X, CHOSEN_Y, CHOSEN_PLACES };

SQ_ALIKE(MIN_DIM, MAX_DIM);
SQ_ALIKE(MIN_KEEPDIM, MAX_KEEPDIM);
SQ_ALIKE(ARGMIN_DIM, ARGMAX_DIM);
SQ_ALIKE(ARGMIN_KEEPDIM, ARGMAX_KEEPDIM);

/* The greatest or least. Along dim: values and places;  dx = dy at the places. Of all:  dx = dy
 * shared evenly by those that are equal to it. */
static sq_status choose_extreme(sq_call *c, sq_reduction kind) {
  sq_tensor *x = c->in[IN_X];
  bool whole = c->arg[MAX_DIM].kind == SQ_ARG_NIL;
  int dim = 0;
  if (!whole) SQ_TRY(sq_dim_resolve(c->op->name, c->arg[MAX_DIM].integer, x->ndim, &dim));
  unsigned mask = whole ? 0 : sq__dim_bit(x->ndim, dim);
  SQ_TRY(sq_reduce(c->op->name, kind, x, mask, !whole && c->arg[MAX_KEEPDIM].flag, &c->out[VALUES],
                   whole ? NULL : &c->out[PLACES]));
  SQ_SAVE_VALUES(c, reduced, .mask = mask, .dim = dim);
  SQ_TRY(sq__save(c, CHOSEN_X, whole ? x : NULL));
  SQ_TRY(sq__save(c, CHOSEN_Y, whole ? c->out[VALUES] : NULL));
  return sq__save(c, CHOSEN_PLACES, c->out[PLACES]);
}

/* dx of the greatest of all for dy = g. */
static sq_status share_evenly(const sq_back *b, sq_tensor *g, sq_tensor **dx) {
  SQ_OWN sq_tensor *equal = NULL, *number = NULL, *part = NULL, *zero = NULL;
  sq_tensor *x = sq__saved(b, CHOSEN_X), *y = sq__saved(b, CHOSEN_Y);
  double n;
  SQ_TRY(sq_map("max", isnan(sq_tensor_get(y, 0)) ? SQ_ELEM_isnan : SQ_ELEM_eq,
                (sq_tensor *[]){x, y}, NULL, &equal));
  SQ_TRY(sq_sum(equal, 0, false, &number));
  SQ_TRY(sq_tensor_item(number, &n));
  SQ_TRY(divide_by(g, n, &part));
  SQ_TRY(sq_tensor_scalar(x->dtype, 0, &zero));
  return sq_where(equal, part, zero, dx);
}

static sq_status choose_backward(sq_back *b) {
  if (!b->dy[VALUES]) return SQ_OK;
  if (sq__saved(b, CHOSEN_X)) return share_evenly(b, b->dy[VALUES], &b->dx[IN_X]);
  const reduced *v = sq__values(b);
  SQ_OWN sq_tensor *dx = NULL, *where = NULL, *dy = NULL;
  SQ_TRY(sq__zeros(b, IN_X, &dx));
  SQ_TRY(sq__unreduce(b, IN_X, sq__saved(b, CHOSEN_PLACES), v->mask, &where));
  SQ_TRY(sq__unreduce(b, IN_X, b->dy[VALUES], v->mask, &dy));
  SQ_TRY(sq_scatter("max", dx, v->dim, where, dy, false));
  b->dx[IN_X] = sq_tensor_give(&dx);
  return SQ_OK;
}

/* dy, along dim, at the places in zeros of x's shape. */
static sq_tensor *put_at_places(sq_again *r, sq_tensor *places, sq_tensor *dy) {
  const reduced *v = sq__values(r->b);
  sq_tensor *zeros = sq__filled(r, sq__in_ndim(r->b, IN_X), sq__in_shape(r->b, IN_X), 0);
  return SQ_DO(scatter, sq__arg(zeros), SQ_D(v->dim), sq__arg(places), sq__arg(dy));
}

static void choose_again(sq_again *r) {
  const reduced *v = sq__values(r->b);
  sq_tensor *dy = sq__dy(r, VALUES), *share = NULL;
  if (!dy) return;
  if (!sq__saved(r->b, CHOSEN_X)) {
    sq_tensor *places = sq__spread(r, IN_X, sq__saved(r->b, CHOSEN_PLACES), v->mask);
    sq__gives(r, IN_X, put_at_places(r, places, sq__spread(r, IN_X, dy, v->mask)));
    return;
  }
  sq_tensor *one = sq__number(r, 1);
  if (!one) return;
  sq_status st = share_evenly(r->b, one, &share);
  sq__gives(r, IN_X, sq__mul(r, dy, sq__own(r, st, share)));
}

static sq_status max_forward(sq_call *c) { return choose_extreme(c, SQ_REDUCE_MAX); }
static sq_status min_forward(sq_call *c) { return choose_extreme(c, SQ_REDUCE_MIN); }
const sq_op_impl sq__op_max = {.forward = max_forward,
                               .backward = choose_backward,
                               .again = choose_again,
                               .with_tensor = SQ_OP_maximum};
const sq_op_impl sq__op_min = {.forward = min_forward,
                               .backward = choose_backward,
                               .again = choose_again,
                               .with_tensor = SQ_OP_minimum};

/* Of all: the place in row-major order. */
static sq_status place_of_extreme(sq_call *c, sq_reduction kind) {
  SQ_OWN sq_tensor *value = NULL;
  int dim = 0, ndim = c->in[IN_X]->ndim;
  bool whole = c->arg[ARGMAX_DIM].kind == SQ_ARG_NIL;
  if (!whole) SQ_TRY(sq_dim_resolve(c->op->name, c->arg[ARGMAX_DIM].integer, ndim, &dim));
  return sq_reduce(c->op->name, kind, c->in[IN_X], whole ? 0 : sq__dim_bit(ndim, dim),
                   c->arg[ARGMAX_KEEPDIM].flag, &value, &c->out[0]);
}

static sq_status argmax_forward(sq_call *c) { return place_of_extreme(c, SQ_REDUCE_MAX); }
static sq_status argmin_forward(sq_call *c) { return place_of_extreme(c, SQ_REDUCE_MIN); }
const sq_op_impl sq__op_argmax = {.forward = argmax_forward};
const sq_op_impl sq__op_argmin = {.forward = argmin_forward};

/* --- products, spreads and norms ------------------------------------------------------------ */

/* What prod keeps: x, flat where it was taken whole. */
enum { PROD_SAVED_X };

/* y = prod x;  dx = dy times the product of the others */
static sq_status prod_forward(sq_call *c) {
  SQ_OWN sq_tensor *flat = NULL, *y = NULL;
  sq_tensor *x = c->in[IN_X];
  bool whole = c->arg[PROD_DIM].kind == SQ_ARG_NIL;
  int dim = 0;
  if (whole) {
    SQ_TRY(sq_reshape(x, 1, (int64_t[]){x->numel}, &flat));
  } else {
    SQ_TRY(sq_dim_resolve("prod", c->arg[PROD_DIM].integer, x->ndim, &dim));
    flat = sq_tensor_keep(x);
  }
  SQ_TRY(sq_reduce("prod", SQ_REDUCE_PROD, flat, sq__dim_bit(flat->ndim, dim),
                   !whole && c->arg[PROD_KEEPDIM].flag, &y, NULL));
  SQ_SAVE_VALUES(c, reduced, .mask = whole ? 0 : sq__dim_bit(x->ndim, dim), .dim = dim);
  SQ_TRY(sq__save(c, PROD_SAVED_X, flat));
  c->out[0] = sq_tensor_give(&y);
  return give_as_asked(c, PROD_DTYPE);
}

static sq_status prod_backward(sq_back *b) {
  SQ_OWN sq_tensor *others = NULL, *shaped = NULL, *dy = NULL;
  const reduced *v = sq__values(b);
  sq_tensor *x = sq__saved(b, PROD_SAVED_X);
  SQ_TRY(sq_along_dim(SQ_ALONG_OTHERS, &x, v->dim, &others));
  SQ_TRY(sq_reshape(others, sq__in_ndim(b, IN_X), sq__in_shape(b, IN_X), &shaped));
  SQ_TRY(sq__unreduce(b, IN_X, b->dy[0], v->mask, &dy));
  return sq_map("prod", SQ_ELEM_mul, (sq_tensor *[]){shaped, dy}, NULL, &b->dx[IN_X]);
}

/* The product over `size` positions of a dim, by halves: so zeros have slopes too. */
static sq_tensor *multiply_halves(sq_again *r, sq_tensor *t, int dim, int64_t size) {
  while (size > 1 && r->st == SQ_OK) {
    int64_t half = size / 2;
    sq_tensor *parts[2] = {
        sq__mul(r, sq__part(r, t, dim, 0, half), sq__part(r, t, dim, half, half))};
    if (size % 2) parts[1] = sq__part(r, t, dim, size - 1, 1);
    t = size % 2 ? sq__joined(r, 2, parts, dim) : parts[0];
    size = half + size % 2;
  }
  return t;
}

static void prod_compose(sq_again *r, sq_tensor **y) {
  const reduced *v = sq__values(r->b);
  sq_tensor *kept = sq__saved(r->b, PROD_SAVED_X), *dy = sq__dy(r, 0), *shaped = NULL;
  int64_t size = kept->ndim ? kept->shape[v->dim] : 1;
  sq_status st = sq_reshape(kept, sq__in_ndim(r->b, IN_X), sq__in_shape(r->b, IN_X), &shaped);
  sq_tensor *x = sq__input(r, IN_X, sq__own(r, st, shaped));
  if (size == 0) return;
  y[0] = multiply_halves(r, sq__shaped(r, x, kept->ndim, kept->shape), v->dim, size);
  y[0] = sq__shaped(r, y[0], dy->ndim, dy->shape);
}
const sq_op_impl sq__op_prod = {
    .forward = prod_forward, .backward = prod_backward, .compose = prod_compose, .in_dtype = true};

/* What var and std keep. */
enum { VAR_SAVED_X, VAR_SAVED_MEAN, VAR_SAVED_Y };

SQ_ALIKE(STD_DIM, VAR_DIM);
SQ_ALIKE(STD_UNBIASED, VAR_UNBIASED);
SQ_ALIKE(STD_KEEPDIM, VAR_KEEPDIM);
SQ_ALIKE(STD_CORRECTION, VAR_CORRECTION);

/* var = sum (x - mean)^2 / (N - correction), std its root.
 * dx = dvar 2 (x - mean) / (N - correction);  dvar = dstd / (2 std), 0 where std = 0 */
static sq_status variance_of(sq_call *c, bool root) {
  SQ_OWN sq_tensor *mean = NULL, *mean1 = NULL, *var = NULL;
  sq_tensor *x = c->in[IN_X];
  unsigned mask;
  SQ_TRY(sq__dims_mask(c, VAR_DIM, x->ndim, &mask));
  double correction = c->arg[VAR_CORRECTION].kind == SQ_ARG_NIL ? c->arg[VAR_UNBIASED].flag
                                                                : c->arg[VAR_CORRECTION].number;
  SQ_TRY(sq_variance(c->op->name, x, mask, c->arg[VAR_KEEPDIM].flag, correction, &mean, &var));
  double rest = (double)count_reduced(x->ndim, x->shape, mask) - correction;
  SQ_SAVE_VALUES(c, reduced, .mask = mask, .number = rest > 0 ? rest : 0);
  SQ_TRY(sq__save(c, VAR_SAVED_X, x));
  SQ_TRY(sq__save(c, VAR_SAVED_MEAN, mean));
  if (root) {
    SQ_TRY(sq_map("std", SQ_ELEM_sqrt, &var, NULL, &c->out[0]));
  } else {
    c->out[0] = sq_tensor_give(&var);
  }
  return sq__save(c, VAR_SAVED_Y, c->out[0]);
}

/* dx from g = dvar 2. */
static sq_status variance_back(sq_back *b, sq_tensor *g) {
  SQ_OWN sq_tensor *part = NULL, *dy = NULL, *mean = NULL, *centered = NULL;
  const reduced *v = sq__values(b);
  sq_tensor *x = sq__saved(b, VAR_SAVED_X);
  SQ_TRY(divide_by(g, v->number, &part));
  SQ_TRY(sq__unreduce(b, IN_X, part, v->mask, &dy));
  SQ_TRY(sq__unreduce(b, IN_X, sq__saved(b, VAR_SAVED_MEAN), v->mask, &mean));
  SQ_TRY(sq_map("var", SQ_ELEM_sub, (sq_tensor *[]){x, mean}, NULL, &centered));
  return sq_map("var", SQ_ELEM_mul, (sq_tensor *[]){centered, dy}, NULL, &b->dx[IN_X]);
}

static sq_status var_forward(sq_call *c) { return variance_of(c, false); }
static sq_status var_backward(sq_back *b) {
  SQ_OWN sq_tensor *twice = NULL;
  double two = 2;
  SQ_TRY(sq_map("var", SQ_ELEM_scale, &b->dy[0], &two, &twice));
  return variance_back(b, twice);
}

/* dx from g = dvar 2, recorded. */
static void variance_again(sq_again *r, sq_tensor *g) {
  const reduced *v = sq__values(r->b);
  sq_tensor *x = sq__input(r, IN_X, sq__saved(r->b, VAR_SAVED_X));
  sq_tensor *centered = sq__sub(r, x, sq__mean_dims(r, x, v->mask, true));
  sq_tensor *part = sq__div(r, g, sq__number(r, v->number));
  sq__gives(r, IN_X, sq__mul(r, centered, sq__spread(r, IN_X, part, v->mask)));
}

static void var_again(sq_again *r) { variance_again(r, sq__scale(r, sq__dy(r, 0), 2)); }
const sq_op_impl sq__op_var = {
    .forward = var_forward, .backward = var_backward, .again = var_again};

/* g / y, 0 where y is. */
static sq_status divide_or_zero(sq_tensor *g, sq_tensor *y, sq_tensor **out) {
  SQ_OWN sq_tensor *ratio = NULL, *zero = NULL, *mask = NULL;
  SQ_TRY(sq_map("div", SQ_ELEM_div, (sq_tensor *[]){g, y}, NULL, &ratio));
  SQ_TRY(sq_map("div", SQ_ELEM_logical_not, &y, NULL, &mask));
  SQ_TRY(sq_tensor_scalar(y->dtype, 0, &zero));
  return sq_where(mask, zero, ratio, out);
}

static sq_status std_forward(sq_call *c) { return variance_of(c, true); }
static sq_status std_backward(sq_back *b) {
  SQ_OWN sq_tensor *g = NULL;
  SQ_TRY(divide_or_zero(b->dy[0], sq__saved(b, VAR_SAVED_Y), &g));
  return variance_back(b, g);
}

/* g / y, 0 where y is; there y is taken for 1, so that no infinity lies behind the 0. */
static sq_tensor *over_or_zero(sq_again *r, sq_tensor *g, sq_tensor *y) {
  sq_tensor *none = sq__of(r, SQ_OP_logical_not, y);
  sq_tensor *ratio = sq__div(r, g, sq__choose(r, none, sq__number(r, 1), y));
  return sq__choose(r, none, sq__number(r, 0), ratio);
}

static void std_again(sq_again *r) {
  sq_tensor *y = sq__result(r, 0, sq__saved(r->b, VAR_SAVED_Y));
  variance_again(r, over_or_zero(r, sq__dy(r, 0), y));
}
const sq_op_impl sq__op_std = {
    .forward = std_forward, .backward = std_backward, .again = std_again};

/* |x|^p. */
static sq_status power_of_each(sq_tensor *x, double p, sq_tensor **out) {
  if (p == 2) return sq_map("norm", SQ_ELEM_square, &x, NULL, out);
  SQ_OWN sq_tensor *size = NULL;
  SQ_TRY(sq_map("norm", SQ_ELEM_abs, &x, NULL, &size));
  return sq_map("norm", SQ_ELEM_pow_scalar, &size, &p, out);
}

/* What norm and logsumexp keep. */
enum { SAVED_X, SAVED_Y };

/* y = (sum |x|^p)^(1/p); p = inf: max |x|, -inf: min |x|, 0: how many are not 0.
 * dx = dy sign(x) (|x| / y)^(p-1), 0 where y = 0; inf: dy sign(x) shared by those with |x| = y */
static sq_status norm_forward(sq_call *c) {
  SQ_OWN sq_tensor *each = NULL, *sum = NULL;
  sq_tensor *x = c->in[IN_X];
  double p = c->arg[NORM_P].number, root = 1 / p;
  bool keepdim = c->arg[NORM_KEEPDIM].flag;
  unsigned mask;
  SQ_TRY(sq__want_float(c, IN_X));
  SQ_TRY(sq__dims_mask(c, NORM_DIM, x->ndim, &mask));
  if (isinf(p)) {
    SQ_TRY(sq_map("norm", SQ_ELEM_abs, &x, NULL, &each));
    SQ_TRY(sq_reduce("norm", p > 0 ? SQ_REDUCE_MAX : SQ_REDUCE_MIN, each, mask, keepdim, &c->out[0],
                     NULL));
  } else if (p == 0) {
    SQ_OWN sq_tensor *flags = NULL;
    SQ_TRY(sq_map("norm", SQ_ELEM_nonzero_mask, &x, NULL, &flags));
    SQ_TRY(sq_tensor_cast(flags, x->dtype, &each));
    SQ_TRY(sq_sum(each, mask, keepdim, &c->out[0]));
  } else {
    SQ_TRY(power_of_each(x, p, &each));
    SQ_TRY(sq_sum(each, mask, keepdim, &sum));
    SQ_TRY(sq_map("norm", SQ_ELEM_pow_scalar, &sum, &root, &c->out[0]));
  }
  SQ_SAVE_VALUES(c, reduced, .mask = mask, .number = p);
  SQ_TRY(sq__save(c, SAVED_X, x));
  return sq__save(c, SAVED_Y, c->out[0]);
}

/* dx of the greatest or least size: its mask, divided by how many there are. */
static sq_status extreme_share(sq_tensor *size, sq_tensor *y, unsigned mask, sq_tensor **out) {
  SQ_OWN sq_tensor *equal = NULL, *hits = NULL, *number = NULL;
  SQ_TRY(sq_map("norm", SQ_ELEM_eq, (sq_tensor *[]){size, y}, NULL, &equal));
  SQ_TRY(sq_tensor_cast(equal, size->dtype, &hits));
  SQ_TRY(sq_sum(hits, mask, true, &number));
  return divide_or_zero(hits, number, out);
}

/* y, but 0 where t is 0. */
static sq_status zero_at_zero(sq_tensor *t, sq_tensor *y, sq_tensor **out) {
  SQ_OWN sq_tensor *zero = NULL, *mask = NULL;
  SQ_TRY(sq_map("norm", SQ_ELEM_logical_not, &t, NULL, &mask));
  SQ_TRY(sq_tensor_scalar(y->dtype, 0, &zero));
  return sq_where(mask, zero, y, out);
}

/* (|x| / y)^(p-1); where p < 1 and x or y is 0 there is no slope, and PyTorch says 0. */
static sq_status power_share(sq_tensor *size, sq_tensor *y, double p, sq_tensor **out) {
  SQ_OWN sq_tensor *ratio = NULL, *share = NULL, *part = NULL;
  double less = p - 1;
  SQ_TRY(divide_or_zero(size, y, &ratio));
  if (p >= 1) return sq_map("norm", SQ_ELEM_pow_scalar, &ratio, &less, out);
  SQ_TRY(sq_map("norm", SQ_ELEM_pow_scalar, &ratio, &less, &share));
  SQ_TRY(zero_at_zero(size, share, &part));
  return zero_at_zero(y, part, out);
}

/* dx / dy. */
static sq_status share_of_norm(const sq_back *b, sq_tensor **out) {
  SQ_OWN sq_tensor *y = NULL, *size = NULL, *share = NULL, *signs = NULL;
  const reduced *v = sq__values(b);
  sq_tensor *x = sq__saved(b, SAVED_X);
  SQ_TRY(sq__unreduce(b, IN_X, sq__saved(b, SAVED_Y), v->mask, &y));
  SQ_TRY(sq_map("norm", SQ_ELEM_sign, &x, NULL, &signs));
  SQ_TRY(sq_map("norm", SQ_ELEM_abs, &x, NULL, &size));
  if (isinf(v->number)) {
    SQ_TRY(extreme_share(size, y, v->mask, &share));
  } else {
    SQ_TRY(power_share(size, y, v->number, &share));
  }
  return sq_map("norm", SQ_ELEM_mul, (sq_tensor *[]){share, signs}, NULL, out);
}

static sq_status norm_backward(sq_back *b) {
  SQ_OWN sq_tensor *dy = NULL, *share = NULL;
  const reduced *v = sq__values(b);
  if (v->number == 0) return SQ_OK;
  SQ_TRY(share_of_norm(b, &share));
  SQ_TRY(sq__unreduce(b, IN_X, b->dy[0], v->mask, &dy));
  return sq_map("norm", SQ_ELEM_mul, (sq_tensor *[]){share, dy}, NULL, &b->dx[IN_X]);
}

/* sign(x) |x|^(p-1) / y^(p-1), 0 where x or y is: x / y for p = 2. */
static sq_tensor *norm_slope(sq_again *r, double p) {
  const reduced *v = sq__values(r->b);
  sq_tensor *kept = sq__saved(r->b, SAVED_X), *x = sq__input(r, IN_X, kept);
  sq_tensor *y = sq__spread(r, IN_X, sq__result(r, 0, sq__saved(r->b, SAVED_Y)), v->mask);
  if (p == 2) return over_or_zero(r, x, y);
  sq_tensor *none = sq__of(r, SQ_OP_logical_not, kept);
  sq_tensor *size = sq__choose(r, none, sq__number(r, 1), sq__of(r, SQ_OP_abs, x));
  sq_tensor *power = sq__power(r, over_or_zero(r, size, y), p - 1);
  sq_tensor *dead = SQ_DO(logical_or, sq__arg(none), sq__arg(sq__of(r, SQ_OP_logical_not, y)));
  sq_tensor *share = sq__choose(r, dead, sq__number(r, 0), power);
  return sq__mul(r, share, sq__of(r, SQ_OP_sign, kept));
}

static void norm_again(sq_again *r) {
  const reduced *v = sq__values(r->b);
  sq_tensor *share = NULL;
  if (v->number == 0) return;
  if (isinf(v->number) || v->number == 1) {
    sq_status st = share_of_norm(r->b, &share);
    share = sq__own(r, st, share);
  } else {
    share = norm_slope(r, v->number);
  }
  sq__gives(r, IN_X, sq__mul(r, share, sq__spread(r, IN_X, sq__dy(r, 0), v->mask)));
}
const sq_op_impl sq__op_norm = {
    .forward = norm_forward, .backward = norm_backward, .again = norm_again};

/* y = log sum e^x;  dx = dy e^(x - y) */
static sq_status logsumexp_forward(sq_call *c) {
  SQ_OWN sq_tensor *x = NULL;
  unsigned mask;
  SQ_TRY(sq__dims_mask(c, LOGSUMEXP_DIM, c->in[IN_X]->ndim, &mask));
  SQ_TRY(sq__to_float(c->in[IN_X], &x));
  SQ_TRY(sq_reduce("logsumexp", SQ_REDUCE_LOGSUMEXP, x, mask, c->arg[LOGSUMEXP_KEEPDIM].flag,
                   &c->out[0], NULL));
  SQ_SAVE_VALUES(c, reduced, .mask = mask);
  SQ_TRY(sq__save(c, SAVED_X, c->in[IN_X]));
  return sq__save(c, SAVED_Y, c->out[0]);
}

static sq_status logsumexp_backward(sq_back *b) {
  SQ_OWN sq_tensor *y = NULL, *dy = NULL, *less = NULL, *share = NULL;
  const reduced *v = sq__values(b);
  SQ_TRY(sq__unreduce(b, IN_X, sq__saved(b, SAVED_Y), v->mask, &y));
  SQ_TRY(sq__unreduce(b, IN_X, b->dy[0], v->mask, &dy));
  SQ_TRY(sq_map("logsumexp", SQ_ELEM_sub, (sq_tensor *[]){sq__saved(b, SAVED_X), y}, NULL, &less));
  SQ_TRY(sq_map("logsumexp", SQ_ELEM_exp, &less, NULL, &share));
  return sq_map("logsumexp", SQ_ELEM_mul, (sq_tensor *[]){share, dy}, NULL, &b->dx[IN_X]);
}

static void logsumexp_again(sq_again *r) {
  const reduced *v = sq__values(r->b);
  sq_tensor *x = sq__input(r, IN_X, sq__saved(r->b, SAVED_X));
  sq_tensor *y = sq__spread(r, IN_X, sq__result(r, 0, sq__saved(r->b, SAVED_Y)), v->mask);
  sq_tensor *share = sq__of(r, SQ_OP_exp, sq__sub(r, x, y));
  sq__gives(r, IN_X, sq__mul(r, share, sq__spread(r, IN_X, sq__dy(r, 0), v->mask)));
}
const sq_op_impl sq__op_logsumexp = {
    .forward = logsumexp_forward, .backward = logsumexp_backward, .again = logsumexp_again};

SQ_ALIKE(ANY_DIM, ALL_DIM);
SQ_ALIKE(ANY_KEEPDIM, ALL_KEEPDIM);

/* The least or the greatest of the elements' truths; of none, what changes nothing. */
static sq_status reduce_truths(sq_call *c, bool all) {
  SQ_OWN sq_tensor *flags = NULL;
  sq_tensor *x = c->in[IN_X];
  const bool keepdim = c->arg[ALL_KEEPDIM].flag;
  unsigned mask;
  SQ_TRY(sq__dims_mask(c, ALL_DIM, x->ndim, &mask));
  SQ_TRY(sq_map(c->op->name, SQ_ELEM_nonzero_mask, &x, NULL, &flags));
  if (count_reduced(x->ndim, x->shape, mask) > 0) {
    SQ_TRY(sq_reduce(c->op->name, all ? SQ_REDUCE_MIN : SQ_REDUCE_MAX, flags, mask, keepdim,
                     &c->out[0], NULL));
  } else {
    sq_fold f;
    SQ_TRY(sq_fold_dims(flags, mask, keepdim, &f));
    sq_tensor_drop(f.x);
    SQ_TRY(sq_tensor_full(SQ_BOOL, f.ndim, f.shape, all, &c->out[0]));
  }
  return x->dtype == SQ_U8 ? give_in(c, SQ_U8) : SQ_OK; /* as PyTorch */
}

static sq_status all_forward(sq_call *c) { return reduce_truths(c, true); }
static sq_status any_forward(sq_call *c) { return reduce_truths(c, false); }
const sq_op_impl sq__op_all = {.forward = all_forward};
const sq_op_impl sq__op_any = {.forward = any_forward};

/* --- along a dim ---------------------------------------------------------------------------- */

/* y_i = x_0 + ... + x_i;  dx_i = dy_i + ... + dy_n */
static sq_status cumsum_forward(sq_call *c) {
  int dim;
  if (c->arg[CUMSUM_DTYPE].kind == SQ_ARG_DTYPE && c->arg[CUMSUM_DTYPE].dtype == SQ_BOOL)
    return sq_fail(SQ_ETYPE, "[cumsum] dtype is bool: running sums are numbers");
  SQ_TRY(sq_dim_resolve("cumsum", c->arg[CUMSUM_DIM].integer, c->in[IN_X]->ndim, &dim));
  SQ_SAVE_VALUES(c, reduced, .dim = dim);
  SQ_TRY(sq_along_dim(SQ_ALONG_CUMSUM, c->in, dim, &c->out[0]));
  return give_as_asked(c, CUMSUM_DTYPE);
}

static sq_status cumsum_backward(sq_back *b) {
  const reduced *v = sq__values(b);
  return sq_along_dim(SQ_ALONG_CUMSUM_BACK, &b->dy[0], v->dim, &b->dx[IN_X]);
}

/* dy back to front, added up, back to front. */
static void cumsum_again(sq_again *r) {
  const reduced *v = sq__values(r->b);
  sq_tensor *dy = sq__dy(r, 0);
  sq_arg dim = sq__ints(SQ_ARG_DIMS, dy->ndim > 0, (int64_t[]){v->dim});
  sq_tensor *sums = SQ_DO(cumsum, sq__arg(SQ_DO(flip, sq__arg(dy), dim)), SQ_D(v->dim));
  sq__gives(r, IN_X, SQ_DO(flip, sq__arg(sums), dim));
}
const sq_op_impl sq__op_cumsum = {.forward = cumsum_forward,
                                  .backward = cumsum_backward,
                                  .again = cumsum_again,
                                  .in_dtype = true};

/* What sort and topk keep. */
enum { SORTED_PLACES };

/* Values in order and their places;  dx = dy at the places */
static sq_status sort_forward(sq_call *c) {
  int dim;
  SQ_TRY(sq_dim_resolve("sort", c->arg[SORT_DIM].integer, c->in[IN_X]->ndim, &dim));
  sq_tensor *x = c->in[IN_X];
  SQ_TRY(sq_sort(x, dim, x->ndim ? x->shape[dim] : 1, c->arg[SORT_DESCENDING].flag, &c->out[VALUES],
                 &c->out[PLACES]));
  SQ_SAVE_VALUES(c, reduced, .dim = dim);
  return sq__save(c, SORTED_PLACES, c->out[PLACES]);
}

static sq_status sort_backward(sq_back *b) {
  if (!b->dy[VALUES]) return SQ_OK;
  const reduced *v = sq__values(b);
  SQ_OWN sq_tensor *dx = NULL;
  SQ_TRY(sq__zeros(b, IN_X, &dx));
  SQ_TRY(sq_scatter("sort", dx, v->dim, sq__saved(b, SORTED_PLACES), b->dy[VALUES], false));
  b->dx[IN_X] = sq_tensor_give(&dx);
  return SQ_OK;
}

static void sort_again(sq_again *r) {
  if (!sq__dy(r, VALUES)) return;
  sq__gives(r, IN_X, put_at_places(r, sq__saved(r->b, SORTED_PLACES), sq__dy(r, VALUES)));
}
const sq_op_impl sq__op_sort = {
    .forward = sort_forward, .backward = sort_backward, .again = sort_again};

/* The k greatest or least, sorted whether asked for or not. */
static sq_status topk_forward(sq_call *c) {
  sq_tensor *x = c->in[IN_X];
  int dim;
  SQ_TRY(sq_dim_resolve("topk", c->arg[TOPK_DIM].integer, x->ndim, &dim));
  int64_t k = c->arg[TOPK_K].integer, size = x->ndim ? x->shape[dim] : 1;
  if (k < 0 || k > size) {
    return sq_fail(SQ_EARG, "[topk] k is %lld: dim %d has %lld positions", (long long)k, dim + 1,
                   (long long)size);
  }
  SQ_TRY(sq_sort(x, dim, k, c->arg[TOPK_LARGEST].flag, &c->out[VALUES], &c->out[PLACES]));
  SQ_SAVE_VALUES(c, reduced, .dim = dim);
  return sq__save(c, SORTED_PLACES, c->out[PLACES]);
}
const sq_op_impl sq__op_topk = {
    .forward = topk_forward, .backward = sort_backward, .again = sort_again};

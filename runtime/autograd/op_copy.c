/* op_copy.c: copies, conversions, joins, and other orders of elements. */
#include <inttypes.h>

#include "autograd/again_priv.h"
#include "autograd/op_priv.h"
#include "tensor/gather.h"
#include "tensor/map.h"
#include "tensor/reduce.h"
#include "tensor/view.h"

/* y = x.  dx = dy. */
static sq_status clone_forward(sq_call *c) { return sq_tensor_clone(c->in[IN_X], &c->out[0]); }

static sq_status clone_backward(sq_back *b) {
  b->dx[IN_X] = sq_tensor_keep(b->dy[0]);
  return SQ_OK;
}

/* sq__gives converts to the input's dtype. */
static void passed_on_again(sq_again *r) { sq__gives(r, IN_X, sq__dy(r, 0)); }
const sq_op_impl sq__op_clone = {
    .forward = clone_forward, .backward = clone_backward, .again = passed_on_again};

/* y = x in another dtype; x's own is a window on it.  dx = dy in x's dtype. */
static sq_status to_forward(sq_call *c) {
  if (c->in[IN_X]->dtype == c->arg[TO_DTYPE].dtype) return sq_tensor_alias(c->in[IN_X], &c->out[0]);
  return sq_tensor_cast(c->in[IN_X], c->arg[TO_DTYPE].dtype, &c->out[0]);
}

static sq_status to_backward(sq_back *b) {
  return sq_tensor_cast(b->dy[0], sq__in_dtype(b, IN_X), &b->dx[IN_X]);
}
const sq_op_impl sq__op_to = {
    .forward = to_forward, .backward = to_backward, .again = passed_on_again, .view = true};

/* y = src in x's shape and dtype.  dx = 0, dsrc = dy summed to src's shape. */
static sq_status copy_forward(sq_call *c) {
  sq_tensor *x = c->in[IN_X];
  SQ_TRY(sq_check_expands("copy", c->in[IN_COPY_SRC], x));
  SQ_OWN sq_tensor *y = NULL;
  SQ_TRY(sq_tensor_new_like(x, x->dtype, &y));
  SQ_TRY(sq_tensor_copy(y, c->in[IN_COPY_SRC]));
  c->out[0] = sq_tensor_give(&y);
  return SQ_OK;
}

static sq_status copy_into(sq_call *c) {
  SQ_TRY(sq_check_expands("copy", c->in[IN_COPY_SRC], c->in[IN_X]));
  return sq_tensor_copy(c->in[IN_X], c->in[IN_COPY_SRC]);
}

static sq_status copy_backward(sq_back *b) {
  if (!sq__needs(b, IN_COPY_SRC)) return SQ_OK;
  sq_tensor *dy;
  SQ_TRY(sq_tensor_cast(b->dy[0], sq__in_dtype(b, IN_COPY_SRC), &dy));
  return sq__give(b, IN_COPY_SRC, dy);
}

static void copy_again(sq_again *r) { sq__gives(r, IN_COPY_SRC, sq__dy(r, 0)); }
const sq_op_impl sq__op_copy = {.forward = copy_forward,
                                .backward = copy_backward,
                                .again = copy_again,
                                .into = copy_into,
                                .inplace = true,
                                .mixed = true};

/* y = value everywhere;  dx = 0 */
static sq_status nothing_backward(sq_back *b) { return sq__zeros(b, IN_X, &b->dx[IN_X]); }

static void nothing_again(sq_again *r) { r->st = nothing_backward(r->b); }

static sq_status fill_forward(sq_call *c) {
  SQ_OWN sq_tensor *y = NULL;
  SQ_TRY(sq_tensor_new_like(c->in[IN_X], c->in[IN_X]->dtype, &y));
  SQ_TRY(sq_fail_in(sq_tensor_fill_number(y, c->arg[FILL_VALUE].value), "[fill] "));
  c->out[0] = sq_tensor_give(&y);
  return SQ_OK;
}

static sq_status fill_into(sq_call *c) {
  return sq_fail_in(sq_tensor_fill_number(c->in[IN_X], c->arg[FILL_VALUE].value), "[fill_] ");
}
const sq_op_impl sq__op_fill = {.forward = fill_forward,
                                .backward = nothing_backward,
                                .again = nothing_again,
                                .into = fill_into,
                                .inplace = true};

static sq_status zero_forward(sq_call *c) {
  const sq_tensor *x = c->in[IN_X];
  return sq_tensor_full(x->dtype, x->ndim, x->shape, 0, &c->out[0]);
}

static sq_status zero_into(sq_call *c) { return sq_tensor_fill(c->in[IN_X], 0); }
const sq_op_impl sq__op_zero = {.forward = zero_forward,
                                .backward = nothing_backward,
                                .again = nothing_again,
                                .into = zero_into,
                                .inplace = true};

/* --- joins ---------------------------------------------------------------------------------- */

/* What cat and stack keep. */
typedef struct joined {
  int dim;
} joined;

/* torch.cat lets 1-d tensors without elements join anything. */
static bool is_nothing(const sq_tensor *t) { return t->ndim == 1 && t->shape[0] == 0; }

static sq_status cat_shape(const sq_call *c, const sq_tensor *first, int dim, int64_t *shape) {
  for (int i = 0; i < first->ndim; i++) shape[i] = i == dim ? 0 : first->shape[i];
  for (int k = 0; k < c->nin; k++) {
    const sq_tensor *x = c->in[k];
    if (is_nothing(x) && first->ndim != 1) continue;
    bool fits = x->ndim == first->ndim;
    for (int i = 0; fits && i < x->ndim; i++) fits = i == dim || x->shape[i] == shape[i];
    if (!fits) {
      return sq_fail(SQ_ESHAPE,
                     "[cat] tensor 1 is %s, tensor %d is %s: they may differ in dim %d only",
                     sq_tensor_shape_text(first, SQ_SHAPE_BUF), k + 1,
                     sq_tensor_shape_text(x, SQ_SHAPE_BUF), dim + 1);
    }
    shape[dim] += x->shape[dim];
  }
  return SQ_OK;
}

/* Writes x behind what y holds already, along dim. */
static sq_status put_behind(sq_tensor *y, int dim, int64_t *at, sq_tensor *x) {
  SQ_OWN sq_tensor *place = NULL;
  SQ_TRY(sq_narrow(y, dim, *at, x->shape[dim], 1, &place));
  *at += x->shape[dim];
  return sq_map_into(SQ_ELEM_copy, &x, NULL, place);
}

/* y = the tensors behind one another along dim.  dx_k = its part of dy. */
static sq_status cat_forward(sq_call *c) {
  if (c->nin == 0) return sq_fail(SQ_EARG, "[cat] there are no tensors to join");
  const sq_tensor *first = c->in[IN_CAT_TENSORS];
  for (int k = 0; k < c->nin; k++) {
    if (c->in[k]->ndim == 0)
      return sq_fail(SQ_ESHAPE, "[cat] tensor %d has no dims: use stack for single values", k + 1);
    if (is_nothing(first)) first = c->in[k];
  }
  int dim;
  int64_t shape[SQ_MAX_DIMS], at = 0;
  SQ_TRY(sq_dim_resolve("cat", c->arg[CAT_DIM].integer, first->ndim, &dim));
  SQ_TRY(cat_shape(c, first, dim, shape));
  SQ_SAVE_VALUES(c, joined, dim);
  SQ_OWN sq_tensor *y = NULL;
  SQ_TRY(sq_tensor_new(first->dtype, first->ndim, shape, &y));
  for (int k = 0; k < c->nin; k++) {
    if (c->in[k]->numel > 0) SQ_TRY(put_behind(y, dim, &at, c->in[k]));
  }
  c->out[0] = sq_tensor_give(&y);
  return SQ_OK;
}

/* How many positions tensor k took. */
static int64_t length_of_part(const sq_back *b, int k, int dim) {
  bool nothing = sq__in_ndim(b, k) == 1 && sq__in_shape(b, k)[0] == 0;
  return nothing ? 0 : sq__in_shape(b, k)[dim];
}

static bool is_given_part(const sq_back *b, int k) {
  return sq__needs(b, k) && !(sq__in_ndim(b, k) == 1 && sq__in_shape(b, k)[0] == 0);
}

static sq_status cat_backward(sq_back *b) {
  int dim = ((const joined *)sq__values(b))->dim;
  int64_t at = 0;
  for (int k = 0; k < sq__inputs(b); k++) {
    int64_t n = length_of_part(b, k, dim);
    if (is_given_part(b, k)) SQ_TRY(sq_narrow(b->dy[0], dim, at, n, 1, &b->dx[k]));
    at += n;
  }
  return SQ_OK;
}

static void cat_again(sq_again *r) {
  int dim = ((const joined *)sq__values(r->b))->dim;
  int64_t at = 0;
  for (int k = 0; k < sq__inputs(r->b); k++) {
    int64_t n = length_of_part(r->b, k, dim);
    if (is_given_part(r->b, k)) sq__gives(r, k, sq__part(r, sq__dy(r, 0), dim, at, n));
    at += n;
  }
}
const sq_op_impl sq__op_cat = {.forward = cat_forward,
                               .backward = cat_backward,
                               .again = cat_again,
                               .promotes = SQ_ALL_INPUTS};

/* y[..,k,..] = tensor k.  dx_k = dy[..,k,..]. */
static sq_status stack_forward(sq_call *c) {
  if (c->nin == 0) return sq_fail(SQ_EARG, "[stack] there are no tensors to join");
  const sq_tensor *x = c->in[IN_STACK_TENSORS];
  int dim;
  int64_t shape[SQ_MAX_DIMS];
  SQ_TRY(sq_dim_resolve("stack", c->arg[STACK_DIM].integer, x->ndim + 1, &dim));
  if (x->ndim == SQ_MAX_DIMS)
    return sq_fail(SQ_ESHAPE, "[stack] a tensor has at most %d dims", SQ_MAX_DIMS);
  for (int k = 1; k < c->nin; k++) {
    if (sq_shape_equal(x->ndim, x->shape, c->in[k]->ndim, c->in[k]->shape)) continue;
    return sq_fail(SQ_ESHAPE, "[stack] tensor 1 is %s, tensor %d is %s: they must be equal",
                   sq_tensor_shape_text(x, SQ_SHAPE_BUF), k + 1,
                   sq_tensor_shape_text(c->in[k], SQ_SHAPE_BUF));
  }
  for (int i = 0; i <= x->ndim; i++)
    shape[i] = i < dim ? x->shape[i] : i == dim ? c->nin : x->shape[i - 1];
  SQ_SAVE_VALUES(c, joined, dim);
  SQ_OWN sq_tensor *y = NULL;
  SQ_TRY(sq_tensor_new(x->dtype, x->ndim + 1, shape, &y));
  for (int k = 0; k < c->nin; k++) {
    SQ_OWN sq_tensor *place = NULL;
    SQ_TRY(sq_select(y, dim, k, &place));
    SQ_TRY(sq_map_into(SQ_ELEM_copy, &c->in[k], NULL, place));
  }
  c->out[0] = sq_tensor_give(&y);
  return SQ_OK;
}

static sq_status stack_backward(sq_back *b) {
  int dim = ((const joined *)sq__values(b))->dim;
  for (int k = 0; k < sq__inputs(b); k++) {
    if (sq__needs(b, k)) SQ_TRY(sq_select(b->dy[0], dim, k, &b->dx[k]));
  }
  return SQ_OK;
}

static void stack_again(sq_again *r) {
  int dim = ((const joined *)sq__values(r->b))->dim;
  for (int k = 0; k < sq__inputs(r->b); k++)
    if (sq__needs(r->b, k)) sq__gives(r, k, sq__at(r, sq__dy(r, 0), dim, k));
}
const sq_op_impl sq__op_stack = {.forward = stack_forward,
                                 .backward = stack_backward,
                                 .again = stack_again,
                                 .promotes = SQ_ALL_INPUTS};

/* --- orders --------------------------------------------------------------------------------- */

typedef struct flipped {
  unsigned mask; /* of dims */
} flipped;

/* Dims back to front.  dx = dy with the same dims turned. */
static sq_status flip_forward(sq_call *c) {
  unsigned mask;
  SQ_TRY(sq__dims_mask(c, FLIP_DIMS, c->in[IN_X]->ndim, &mask));
  SQ_SAVE_VALUES(c, flipped, mask);
  return sq_flip(c->in[IN_X], mask, &c->out[0]);
}

static sq_status flip_backward(sq_back *b) {
  const flipped *v = sq__values(b);
  return sq_flip(b->dy[0], v->mask, &b->dx[IN_X]);
}

static void flip_again(sq_again *r) {
  const flipped *v = sq__values(r->b);
  int64_t dims[SQ_MAX_DIMS];
  int n = 0;
  for (int d = 0; d < SQ_MAX_DIMS; d++)
    if (v->mask >> d & 1) dims[n++] = d;
  sq__gives(r, IN_X, SQ_DO(flip, sq__arg(sq__dy(r, 0)), sq__ints(SQ_ARG_DIMS, n, dims)));
}
const sq_op_impl sq__op_flip = {
    .forward = flip_forward, .backward = flip_backward, .again = flip_again};

/* What roll does, and keeps: n times by shift[i] along dim[i]; all of x as one row where dim[0] is
 * -1. */
typedef struct rolls {
  int n;
  int64_t dim[SQ_MAX_DIMS], shift[SQ_MAX_DIMS];
} rolls;

/* y = x rolled, the other way round where sign is -1. */
static sq_status roll_all(sq_tensor *x, const rolls *r, int sign, sq_tensor **out) {
  SQ_OWN sq_tensor *y = NULL, *flat = NULL;
  if (r->n > 0 && r->dim[0] < 0) {
    SQ_TRY(sq_reshape(x, 1, (int64_t[]){-1}, &flat));
    SQ_TRY(sq_roll(flat, 0, sign * r->shift[0], &y));
    return sq_reshape(y, x->ndim, x->shape, out);
  }
  SQ_TRY(sq_tensor_clone(x, &y));
  for (int i = 0; i < r->n; i++) {
    sq_tensor *next;
    SQ_TRY(sq_roll(y, (int)r->dim[i], sign * r->shift[i], &next));
    sq_tensor_drop(y);
    y = next;
  }
  *out = sq_tensor_give(&y);
  return SQ_OK;
}

/* y[i] = x[i - shift], round the end.  dx = dy rolled back. */
static sq_status roll_forward(sq_call *c) {
  sq_tensor *x = c->in[IN_X];
  const sq_arg *shifts = &c->arg[ROLL_SHIFTS], *dims = &c->arg[ROLL_DIMS];
  bool whole = dims->kind == SQ_ARG_NIL;
  rolls r = {.n = shifts->ints.n, .dim = {-1}};
  if (x->numel == 0) return sq_tensor_clone(x, &c->out[0]);
  if (r.n < 1 || r.n > SQ_MAX_DIMS || r.n != (whole ? 1 : dims->ints.n)) {
    return sq_fail(SQ_EARG, "[roll] %d shifts: there must be one for each dim given, or one alone",
                   r.n);
  }
  for (int i = 0; i < r.n; i++) {
    int dim = -1;
    if (!whole) SQ_TRY(sq_dim_resolve("roll", dims->ints.v[i], x->ndim, &dim));
    r.dim[i] = x->ndim ? dim : -1;
    r.shift[i] = shifts->ints.v[i];
  }
  sq__save_values(c, &r, sizeof r);
  return roll_all(x, &r, 1, &c->out[0]);
}

static sq_status roll_backward(sq_back *b) {
  if (b->dy[0]->numel == 0) return sq_tensor_clone(b->dy[0], &b->dx[IN_X]);
  return roll_all(b->dy[0], sq__values(b), -1, &b->dx[IN_X]);
}

static void roll_again(sq_again *r) {
  const rolls *v = sq__values(r->b);
  int64_t shift[SQ_MAX_DIMS];
  sq_tensor *dy = sq__dy(r, 0);
  if (dy->numel == 0) {
    sq__gives(r, IN_X, dy);
    return;
  }
  for (int i = 0; i < v->n; i++) shift[i] = -v->shift[i];
  bool whole = v->dim[0] < 0;
  sq_arg dims = whole ? (sq_arg){0} : sq__ints(SQ_ARG_DIMS, v->n, v->dim);
  sq__gives(r, IN_X, SQ_DO(roll, sq__arg(dy), sq__ints(SQ_ARG_INTS, v->n, shift), dims));
}
const sq_op_impl sq__op_roll = {
    .forward = roll_forward, .backward = roll_backward, .again = roll_again};

typedef struct side {
  int64_t diagonal;
  bool upper;
} side;

SQ_ALIKE(TRIL_DIAGONAL, TRIU_DIAGONAL);

/* y = x on one side of a diagonal, 0 on the other.  dx = dy on that side. */
static sq_status take_triangle(sq_call *c, bool upper) {
  if (c->in[IN_X]->ndim < 2) {
    return sq_fail(SQ_ESHAPE, "[%s] x is %s: it must have at least 2 dims", c->op->name,
                   sq_tensor_shape_text(c->in[IN_X], SQ_SHAPE_BUF));
  }
  SQ_SAVE_VALUES(c, side, c->arg[TRIL_DIAGONAL].integer, upper);
  return sq_triangle(c->in[IN_X], upper, c->arg[TRIL_DIAGONAL].integer, &c->out[0]);
}

static sq_status tril_forward(sq_call *c) { return take_triangle(c, false); }
static sq_status triu_forward(sq_call *c) { return take_triangle(c, true); }

static sq_status triangle_backward(sq_back *b) {
  const side *v = sq__values(b);
  return sq_triangle(b->dy[0], v->upper, v->diagonal, &b->dx[IN_X]);
}

static void triangle_again(sq_again *r) {
  const side *v = sq__values(r->b);
  sq_arg arg[] = {sq__arg(sq__dy(r, 0)), SQ_I(v->diagonal)};
  sq__gives(r, IN_X, sq__do(r, v->upper ? SQ_OP_triu : SQ_OP_tril, 2, arg));
}
const sq_op_impl sq__op_tril = {
    .forward = tril_forward, .backward = triangle_backward, .again = triangle_again};
const sq_op_impl sq__op_triu = {
    .forward = triu_forward, .backward = triangle_backward, .again = triangle_again};

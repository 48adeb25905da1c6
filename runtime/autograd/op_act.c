/* op_act.c: activations, elementwise and along a dim; kernels and their gradients. */
#include "autograd/again_priv.h"
#include "autograd/op_priv.h"
#include "tensor/map.h"
#include "tensor/reduce.h"
#include "tensor/view.h"

/* 1 - t */
static sq_tensor *rest_of(sq_again *r, sq_tensor *t) { return sq__sub(r, sq__number(r, 1), t); }

static sq_tensor *above_zero(sq_again *r) { return SQ_DO(gt, sq__arg(sq__elem_a(r)), SQ_N(0)); }

static sq_tensor *tanh_slope(sq_again *r) {
  return rest_of(r, sq__of(r, SQ_OP_square, sq__elem_y(r)));
}
static sq_tensor *sigmoid_slope(sq_again *r) {
  return sq__mul(r, sq__elem_y(r), rest_of(r, sq__elem_y(r)));
}

/* 1 where x > 0, else alpha e^x, which is not made of greater x. */
static sq_tensor *elu_slope(sq_again *r) {
  sq_tensor *low = SQ_DO(clamp, sq__arg(sq__elem_a(r)), (sq_arg){0}, SQ_N(0));
  sq_tensor *curve = sq__scale(r, sq__of(r, SQ_OP_exp, low), sq__elem_number(r, 0));
  return sq__choose(r, above_zero(r), sq__number(r, 1), curve);
}

/* s (1 + x (1 - s)), s = sigmoid x */
static sq_tensor *silu_slope(sq_again *r) {
  sq_tensor *x = sq__elem_a(r), *s = sq__of(r, SQ_OP_sigmoid, x);
  return sq__mul(r, s, sq__shift(r, sq__mul(r, x, rest_of(r, s)), 1));
}

/* sigmoid(beta x), 1 behind the threshold */
static sq_tensor *softplus_slope(sq_again *r) {
  sq_tensor *x = sq__scale(r, sq__elem_a(r), sq__elem_number(r, 0));
  sq_tensor *line = SQ_DO(gt, sq__arg(x), SQ_N(sq__elem_number(r, 1)));
  return sq__choose(r, line, sq__number(r, 1), sq__of(r, SQ_OP_sigmoid, x));
}

SQ_ACTIVATION(tanh, SQ_ELEM_tanh, true, .grad = {{SQ_ELEM_tanh_back, "gy", tanh_slope}});
SQ_ACTIVATION(sigmoid, SQ_ELEM_sigmoid, true,
              .grad = {{SQ_ELEM_sigmoid_back, "gy", sigmoid_slope}});
SQ_ACTIVATION(relu, SQ_ELEM_relu, false, .grad = {{SQ_ELEM_relu_back, "gy", sq__flat}});
SQ_ACTIVATION(leaky_relu, SQ_ELEM_leaky_relu, false,
              .grad = {{SQ_ELEM_leaky_relu_back, "ga", sq__flat}});
SQ_ACTIVATION(elu, SQ_ELEM_elu, false, .grad = {{SQ_ELEM_elu_back, "ga", elu_slope}});
SQ_ACTIVATION(silu, SQ_ELEM_silu, false, .grad = {{SQ_ELEM_silu_back, "ga", silu_slope}});
SQ_ACTIVATION(softplus, SQ_ELEM_softplus, false,
              .grad = {{SQ_ELEM_softplus_back, "ga", softplus_slope}});

/* What gelu keeps: x in slot GELU_X, and which of the two it was. */
typedef struct gelu_kind {
  bool by_tanh;
} gelu_kind;

/* y = x Phi(x), or x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2 (Hendrycks and Gimpel 2016). */
static sq_status gelu_forward(sq_call *c) {
  SQ_TRY(sq__want_float(c, IN_X));
  bool by_tanh = c->arg[GELU_APPROXIMATE].string[0] == 't';
  SQ_SAVE_VALUES(c, gelu_kind, by_tanh);
  SQ_TRY(sq__save(c, GELU_X, c->in[IN_X]));
  return sq_map("gelu", by_tanh ? SQ_ELEM_gelu_tanh : SQ_ELEM_gelu, c->in, NULL, &c->out[0]);
}

static sq_status gelu_backward(sq_back *b) {
  const gelu_kind *kind = sq__values(b);
  sq_elem kernel = kind->by_tanh ? SQ_ELEM_gelu_tanh_back : SQ_ELEM_gelu_back;
  sq_tensor *in[] = {b->dy[0], sq__saved(b, GELU_X)};
  return sq_map("gelu", kernel, in, NULL, &b->dx[IN_X]);
}

/* Phi(x) + x phi(x) */
static sq_tensor *gelu_slope(sq_again *r, sq_tensor *x) {
  sq_tensor *area = sq__of(r, SQ_OP_erf, sq__scale(r, x, 0.70710678118654752440));
  sq_tensor *bell = sq__of(r, SQ_OP_exp, sq__scale(r, sq__of(r, SQ_OP_square, x), -0.5));
  sq_tensor *tail = sq__scale(r, sq__mul(r, x, bell), 0.39894228040143267794);
  return sq__add(r, sq__scale(r, sq__shift(r, area, 1), 0.5), tail);
}

/* (1 + t) / 2 + x (1 - t^2) inner / 2, t = tanh(sqrt(2/pi) (x + 0.044715 x^3)) */
static sq_tensor *gelu_tanh_slope(sq_again *r, sq_tensor *x) {
  const double root = 0.79788456080286535588, cube = 0.044715;
  sq_tensor *x2 = sq__of(r, SQ_OP_square, x);
  sq_tensor *bent = sq__mul(r, x, sq__shift(r, sq__scale(r, x2, cube), 1));
  sq_tensor *t = sq__of(r, SQ_OP_tanh, sq__scale(r, bent, root));
  sq_tensor *inner = sq__scale(r, sq__shift(r, sq__scale(r, x2, 3 * cube), 1), root);
  sq_tensor *curve = sq__mul(r, rest_of(r, sq__of(r, SQ_OP_square, t)), sq__mul(r, x, inner));
  return sq__scale(r, sq__add(r, sq__shift(r, t, 1), curve), 0.5);
}

static void gelu_again(sq_again *r) {
  const gelu_kind *kind = sq__values(r->b);
  sq_tensor *x = sq__input(r, IN_X, sq__saved(r->b, GELU_X));
  sq_tensor *slope = kind->by_tanh ? gelu_tanh_slope(r, x) : gelu_slope(r, x);
  sq__gives(r, IN_X, sq__mul(r, sq__dy(r, 0), slope));
}
const sq_op_impl sq__op_gelu = {.forward = gelu_forward,
                                .backward = gelu_backward,
                                .again = gelu_again,
                                .inplace = true,
                                .functional = true};

/* --- along a dim ---------------------------------------------------------------------------- */

/* What both keep: y, and the dim. */
enum { SOFTMAX_Y };

typedef struct softmax_dim {
  int dim;
} softmax_dim;

SQ_ALIKE(SOFTMAX_DIM, LOG_SOFTMAX_DIM);

/* Runs softmax or log_softmax along dim. */
static sq_status along_dim(sq_call *c, sq_along kernel) {
  SQ_TRY(sq__want_float(c, IN_X));
  int dim;
  SQ_TRY(sq_dim_resolve(c->op->name, c->arg[SOFTMAX_DIM].integer, c->in[IN_X]->ndim, &dim));
  SQ_SAVE_VALUES(c, softmax_dim, dim);
  SQ_TRY(sq_along_dim(kernel, c->in, dim, &c->out[0]));
  return sq__save(c, SOFTMAX_Y, c->out[0]);
}

static sq_status along_dim_back(sq_back *b, sq_along kernel) {
  const softmax_dim *v = sq__values(b);
  sq_tensor *in[] = {b->dy[0], sq__saved(b, SOFTMAX_Y)};
  return sq_along_dim(kernel, in, v->dim, &b->dx[IN_X]);
}

/* y = e^x / sum e^x;  dx = y (dy - sum dy y) */
static sq_status softmax_forward(sq_call *c) { return along_dim(c, SQ_ALONG_SOFTMAX); }
static sq_status softmax_backward(sq_back *b) { return along_dim_back(b, SQ_ALONG_SOFTMAX_BACK); }

/* The sum of t along the dim, spread again. */
static sq_tensor *sum_along(sq_again *r, sq_tensor *t) {
  const softmax_dim *v = sq__values(r->b);
  return sq__sum_dims(r, t, sq__dim_bit(sq__in_ndim(r->b, IN_X), v->dim), true);
}

static void softmax_again(sq_again *r) {
  sq_tensor *y = sq__result(r, 0, sq__saved(r->b, SOFTMAX_Y)), *g = sq__dy(r, 0);
  sq__gives(r, IN_X, sq__mul(r, y, sq__sub(r, g, sum_along(r, sq__mul(r, g, y)))));
}
const sq_op_impl sq__op_softmax = {.forward = softmax_forward,
                                   .backward = softmax_backward,
                                   .again = softmax_again,
                                   .in_dtype = true,
                                   .functional = true};

/* y = x - log sum e^x;  dx = dy - e^y sum dy */
static sq_status log_softmax_forward(sq_call *c) { return along_dim(c, SQ_ALONG_LOG_SOFTMAX); }
static sq_status log_softmax_backward(sq_back *b) {
  return along_dim_back(b, SQ_ALONG_LOG_SOFTMAX_BACK);
}

static void log_softmax_again(sq_again *r) {
  sq_tensor *y = sq__result(r, 0, sq__saved(r->b, SOFTMAX_Y)), *g = sq__dy(r, 0);
  sq__gives(r, IN_X, sq__sub(r, g, sq__mul(r, sq__of(r, SQ_OP_exp, y), sum_along(r, g))));
}
const sq_op_impl sq__op_log_softmax = {.forward = log_softmax_forward,
                                       .backward = log_softmax_backward,
                                       .again = log_softmax_again,
                                       .in_dtype = true,
                                       .functional = true};

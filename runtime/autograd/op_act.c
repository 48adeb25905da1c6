/* op_act.c: activations, elementwise and along a dim; kernels and their gradients. */
#include "autograd/op_priv.h"
#include "tensor/map.h"
#include "tensor/reduce.h"
#include "tensor/view.h"

SQ_ACTIVATION(tanh, SQ_ELEM_tanh, true, .grad = {{SQ_ELEM_tanh_back, "gy"}});
SQ_ACTIVATION(sigmoid, SQ_ELEM_sigmoid, true, .grad = {{SQ_ELEM_sigmoid_back, "gy"}});
SQ_ACTIVATION(relu, SQ_ELEM_relu, false, .grad = {{SQ_ELEM_relu_back, "gy"}});
SQ_ACTIVATION(leaky_relu, SQ_ELEM_leaky_relu, false, .grad = {{SQ_ELEM_leaky_relu_back, "ga"}});
SQ_ACTIVATION(elu, SQ_ELEM_elu, false, .grad = {{SQ_ELEM_elu_back, "ga"}});
SQ_ACTIVATION(silu, SQ_ELEM_silu, false, .grad = {{SQ_ELEM_silu_back, "ga"}});
SQ_ACTIVATION(softplus, SQ_ELEM_softplus, false, .grad = {{SQ_ELEM_softplus_back, "ga"}});

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
const sq_op_impl sq__op_gelu = {
    .forward = gelu_forward, .backward = gelu_backward, .inplace = true, .functional = true};

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
const sq_op_impl sq__op_softmax = {
    .forward = softmax_forward, .backward = softmax_backward, .in_dtype = true, .functional = true};

/* y = x - log sum e^x;  dx = dy - e^y sum dy */
static sq_status log_softmax_forward(sq_call *c) { return along_dim(c, SQ_ALONG_LOG_SOFTMAX); }
static sq_status log_softmax_backward(sq_back *b) {
  return along_dim_back(b, SQ_ALONG_LOG_SOFTMAX_BACK);
}
const sq_op_impl sq__op_log_softmax = {.forward = log_softmax_forward,
                                       .backward = log_softmax_backward,
                                       .in_dtype = true,
                                       .functional = true};

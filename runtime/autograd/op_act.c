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

/* y = x Phi(x), or x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2 (Hendrycks and Gimpel 2016). */
static sq_status gelu_forward(sq_call *c) {
  SQ_TRY(sq__want_float(c, 0));
  bool by_tanh = c->arg[1].string[0] == 't';
  sq__save_int(c, by_tanh);
  SQ_TRY(sq__save(c, c->in[0]));
  return sq_map("gelu", by_tanh ? SQ_ELEM_gelu_tanh : SQ_ELEM_gelu, c->in, NULL, &c->out[0]);
}

static sq_status gelu_backward(sq_back *b) {
  sq_elem kernel = sq__ints(b)[0] ? SQ_ELEM_gelu_tanh_back : SQ_ELEM_gelu_back;
  return sq_map("gelu", kernel, (sq_tensor *[]){b->dy[0], sq__saved(b, 0)}, NULL, &b->dx[0]);
}
const sq_op_impl sq__op_gelu = {
    .forward = gelu_forward, .backward = gelu_backward, .inplace = true, .functional = true};

/* --- along a dim ---------------------------------------------------------------------------- */

/* Runs softmax or log_softmax along dim. */
static sq_status along_dim(sq_call *c, sq_along kernel) {
  SQ_TRY(sq__want_float(c, 0));
  int dim;
  SQ_TRY(sq_dim_resolve(c->op->name, c->arg[1].integer, c->in[0]->ndim, &dim));
  sq__save_int(c, dim);
  SQ_TRY(sq_along_dim(kernel, c->in, dim, &c->out[0]));
  return sq__save(c, c->out[0]);
}

static sq_status along_dim_back(sq_back *b, sq_along kernel) {
  sq_tensor *in[] = {b->dy[0], sq__saved(b, 0)};
  return sq_along_dim(kernel, in, (int)sq__ints(b)[0], &b->dx[0]);
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

/* op_dropout.c: elements dropped by chance. */
#include "autograd/op_priv.h"
#include "tensor/draw.h"
#include "tensor/map.h"

/* 0 or 1 / (1 - p) for each element of x, drawn as PyTorch draws them. */
static sq_status draw_noise(const sq_tensor *x, double p, sq_rng *rng, sq_tensor **out) {
  SQ_OWN sq_tensor *noise = NULL, *divisor = NULL;
  SQ_TRY(sq_tensor_laid_like(x, &noise));
  SQ_TRY(sq_tensor_scalar(x->dtype, p < 1 ? 1 - p : 1, &divisor));
  SQ_TRY(sq_tensor_draw("dropout", noise, SQ_LAW_BERNOULLI, sq_real(1 - p), sq_whole(0), rng));
  SQ_TRY(sq_map_into(SQ_ELEM_div, (sq_tensor *[]){noise, divisor}, NULL, noise));
  *out = sq_tensor_give(&noise);
  return SQ_OK;
}

/* y = x noise in training, noise = 0 with probability p, else 1 / (1 - p); y = x otherwise.
 * dx = dy noise.  Srivastava et al. 2014. */
static sq_status dropout_forward(sq_call *c) {
  SQ_OWN sq_tensor *noise = NULL;
  double p = c->arg[1].number;
  SQ_TRY(sq__want_float(c, 0));
  if (!(p >= 0 && p <= 1)) return sq_fail(SQ_EARG, "[dropout] p is %g: it must be 0 to 1", p);
  if (!c->arg[2].flag || p == 0) {
    SQ_TRY(sq__save(c, NULL));
    return sq_tensor_clone(c->in[0], &c->out[0]);
  }
  sq_rng *rng = c->arg[3].kind == SQ_ARG_GENERATOR ? c->arg[3].generator : sq_rng_default();
  SQ_TRY(draw_noise(c->in[0], p, rng, &noise));
  SQ_TRY(sq__save(c, noise));
  return sq_map("dropout", SQ_ELEM_mul, (sq_tensor *[]){c->in[0], noise}, NULL, &c->out[0]);
}

static sq_status dropout_backward(sq_back *b) {
  sq_tensor *noise = sq__saved(b, 0);
  if (!noise) {
    b->dx[0] = sq_tensor_keep(b->dy[0]);
    return SQ_OK;
  }
  return sq_map("dropout", SQ_ELEM_mul, (sq_tensor *[]){b->dy[0], noise}, NULL, &b->dx[0]);
}
const sq_op_impl sq__op_dropout = {
    .forward = dropout_forward, .backward = dropout_backward, .functional = true};

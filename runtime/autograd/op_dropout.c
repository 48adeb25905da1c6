/* op_dropout.c: elements dropped by chance. */
#include "autograd/again_priv.h"
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

/* What is kept: the noise, NULL without any. */
enum { NOISE };

/* y = x noise in training, noise = 0 with probability p, else 1 / (1 - p); y = x otherwise.
 * dx = dy noise.  Srivastava et al. 2014. */
static sq_status dropout_forward(sq_call *c) {
  SQ_OWN sq_tensor *noise = NULL;
  double p = c->arg[DROPOUT_P].number;
  SQ_TRY(sq__want_float(c, IN_X));
  if (!(p >= 0 && p <= 1)) return sq_fail(SQ_EARG, "[dropout] p is %g: it must be 0 to 1", p);
  if (!c->arg[DROPOUT_TRAINING].flag || p == 0) {
    SQ_TRY(sq__save(c, NOISE, NULL));
    return sq_tensor_clone(c->in[IN_X], &c->out[0]);
  }
  sq_rng *rng = c->arg[DROPOUT_GENERATOR].kind == SQ_ARG_GENERATOR
                    ? c->arg[DROPOUT_GENERATOR].generator
                    : sq_rng_default();
  SQ_TRY(draw_noise(c->in[IN_X], p, rng, &noise));
  SQ_TRY(sq__save(c, NOISE, noise));
  return sq_map("dropout", SQ_ELEM_mul, (sq_tensor *[]){c->in[IN_X], noise}, NULL, &c->out[0]);
}

static sq_status dropout_backward(sq_back *b) {
  sq_tensor *noise = sq__saved(b, NOISE);
  if (!noise) {
    b->dx[IN_X] = sq_tensor_keep(b->dy[0]);
    return SQ_OK;
  }
  return sq_map("dropout", SQ_ELEM_mul, (sq_tensor *[]){b->dy[0], noise}, NULL, &b->dx[IN_X]);
}

static void dropout_again(sq_again *r) {
  sq_tensor *noise = sq__saved(r->b, NOISE), *dy = sq__dy(r, 0);
  sq__gives(r, IN_X, noise ? sq__mul(r, dy, noise) : dy);
}
const sq_op_impl sq__op_dropout = {.forward = dropout_forward,
                                   .backward = dropout_backward,
                                   .again = dropout_again,
                                   .functional = true};

/* op_elem.c: elementwise arithmetic; each op is its kernel and the gradient of each input. No loop
 * is written here. */
#include "autograd/op_priv.h"
#include "tensor/map.h"

/* y = a + alpha b;  da = dy, db = alpha dy */
static sq_status add_forward(sq_call *c) {
  double alpha = c->arg[2].number;
  sq__save_number(c, alpha);
  sq_elem kernel = alpha == 1 ? SQ_ELEM_add : SQ_ELEM_add_scaled;
  return sq_map("add", kernel, c->in, &alpha, &c->out[0]);
}

/* y = a - alpha b;  da = dy, db = -alpha dy */
static sq_status sub_forward(sq_call *c) {
  double alpha = -c->arg[2].number;
  sq__save_number(c, alpha);
  sq_elem kernel = alpha == -1 ? SQ_ELEM_sub : SQ_ELEM_add_scaled;
  return sq_map("sub", kernel, c->in, &alpha, &c->out[0]);
}

static sq_status add_into(sq_call *c) {
  double alpha = c->arg[2].number;
  return sq__elem_into(c, alpha == 1 ? SQ_ELEM_add : SQ_ELEM_add_scaled, &alpha);
}

static sq_status sub_into(sq_call *c) {
  double alpha = -c->arg[2].number;
  return sq__elem_into(c, alpha == -1 ? SQ_ELEM_sub : SQ_ELEM_add_scaled, &alpha);
}

/* The saved number is what b was multiplied by. */
static sq_status sum_backward(sq_back *b) {
  if (sq__needs(b, 0)) SQ_TRY(sq__give(b, 0, sq_tensor_keep(b->dy[0])));
  if (!sq__needs(b, 1)) return SQ_OK;
  double factor = sq__number(b, 0);
  if (factor == 1) return sq__give(b, 1, sq_tensor_keep(b->dy[0]));
  sq_tensor *scaled;
  SQ_TRY(sq_map("add", SQ_ELEM_scale, b->dy, &factor, &scaled));
  return sq__give(b, 1, scaled);
}

const sq_op_impl sq__op_add = {
    .forward = add_forward, .backward = sum_backward, .into = add_into, .inplace = true};
const sq_op_impl sq__op_sub = {
    .forward = sub_forward, .backward = sum_backward, .into = sub_into, .inplace = true};

SQ_ELEMENTWISE(mul, SQ_ELEM_mul, .grad = {{SQ_ELEM_mul, "gb"}, {SQ_ELEM_mul, "ga"}});
SQ_ELEMENTWISE(div, SQ_ELEM_div, true, .grad = {{SQ_ELEM_div, "gb"}, {SQ_ELEM_div_back_b, "gby"}});
SQ_ELEMENTWISE(pow, SQ_ELEM_pow,
               .grad = {{SQ_ELEM_pow_back_a, "gab"}, {SQ_ELEM_pow_back_b, "gaby"}});
SQ_ELEMENTWISE(neg, SQ_ELEM_neg, .grad = {{SQ_ELEM_neg, "g"}});

/* Comparisons: bool, without gradient. */
#define SQ_TEST(op) \
  const sq_op_impl sq__op_##op = {.forward = sq__elem_forward, .elem = {SQ_ELEM_##op}}

SQ_TEST(eq);
SQ_TEST(ne);
SQ_TEST(lt);
SQ_TEST(le);
SQ_TEST(gt);
SQ_TEST(ge);

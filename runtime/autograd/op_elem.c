/* op_elem.c: elementwise arithmetic; each op is its kernel and the gradient of each input. No loop
 * is written here. */
#include <math.h>

#include "autograd/op_priv.h"
#include "tensor/map.h"
#include "tensor/view.h"

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
SQ_ELEMENTWISE(neg, SQ_ELEM_neg, .grad = {{SQ_ELEM_neg, "g"}});

/* y = a^b;  da = dy b a^(b-1), db = dy y ln a.  A number as b has kernels of its own. */
static sq_status pow_forward(sq_call *c) {
  bool scalar = c->arg[1].kind == SQ_ARG_NUMBER;
  double p = scalar ? c->arg[1].number : 0;
  if (scalar && p < 0 && !sq_is_float(c->in[0]->dtype)) {
    return sq_fail(SQ_ETYPE, "[pow] x is %s: a negative power of it needs floats, use x:float()",
                   sq_dtype_name(c->in[0]->dtype));
  }
  SQ_TRY(sq_map("pow", scalar ? SQ_ELEM_pow_scalar : SQ_ELEM_pow, c->in, &p, &c->out[0]));
  sq__save_int(c, scalar);
  sq__save_number(c, p);
  SQ_TRY(sq__save(c, c->in[0]));
  SQ_TRY(sq__save(c, scalar ? NULL : c->in[1]));
  return sq__save(c, scalar ? NULL : c->out[0]);
}

static sq_status pow_into(sq_call *c) {
  bool scalar = c->arg[1].kind == SQ_ARG_NUMBER;
  double p = scalar ? c->arg[1].number : 0;
  return sq__elem_into(c, scalar ? SQ_ELEM_pow_scalar : SQ_ELEM_pow, &p);
}

static sq_status pow_backward(sq_back *b) {
  sq_tensor *x = sq__saved(b, 0), *y = sq__saved(b, 1), *value, *g = b->dy[0];
  double p = sq__number(b, 0);
  if (sq__ints(b)[0])
    return sq_map("pow", SQ_ELEM_pow_scalar_back, (sq_tensor *[]){g, x}, &p, &b->dx[0]);
  if (sq__needs(b, 0)) {
    SQ_TRY(sq_map("pow", SQ_ELEM_pow_back_a, (sq_tensor *[]){g, x, y}, NULL, &value));
    SQ_TRY(sq__give(b, 0, value));
  }
  if (!sq__needs(b, 1)) return SQ_OK;
  SQ_TRY(
      sq_map("pow", SQ_ELEM_pow_back_b, (sq_tensor *[]){g, x, y, sq__saved(b, 2)}, NULL, &value));
  return sq__give(b, 1, value);
}
const sq_op_impl sq__op_pow = {
    .forward = pow_forward, .backward = pow_backward, .into = pow_into, .inplace = true};

/* --- functions of one number ---------------------------------------------------------------- */

SQ_ELEMENTWISE(exp, SQ_ELEM_exp, true, .grad = {{SQ_ELEM_mul, "gy"}});
SQ_ELEMENTWISE(log, SQ_ELEM_log, true, .grad = {{SQ_ELEM_div, "ga"}});
SQ_ELEMENTWISE(log1p, SQ_ELEM_log1p, true, .grad = {{SQ_ELEM_log1p_back, "ga"}});
SQ_ELEMENTWISE(expm1, SQ_ELEM_expm1, true, .grad = {{SQ_ELEM_expm1_back, "gy"}});
SQ_ELEMENTWISE(sqrt, SQ_ELEM_sqrt, true, .grad = {{SQ_ELEM_sqrt_back, "gy"}});
SQ_ELEMENTWISE(rsqrt, SQ_ELEM_rsqrt, true, .grad = {{SQ_ELEM_rsqrt_back, "gy"}});
SQ_ELEMENTWISE(abs, SQ_ELEM_abs, false, .grad = {{SQ_ELEM_abs_back, "ga"}});
SQ_ELEMENTWISE(sign, SQ_ELEM_sign, false, .grad = {{SQ_ELEM_zero, "g"}});
SQ_ELEMENTWISE(sin, SQ_ELEM_sin, true, .grad = {{SQ_ELEM_sin_back, "ga"}});
SQ_ELEMENTWISE(cos, SQ_ELEM_cos, true, .grad = {{SQ_ELEM_cos_back, "ga"}});
SQ_ELEMENTWISE(square, SQ_ELEM_square, false, .grad = {{SQ_ELEM_square_back, "ga"}});
SQ_ELEMENTWISE(reciprocal, SQ_ELEM_reciprocal, true, .grad = {{SQ_ELEM_reciprocal_back, "gy"}});
SQ_ELEMENTWISE(erf, SQ_ELEM_erf, true, .grad = {{SQ_ELEM_erf_back, "ga"}});
SQ_ELEMENTWISE(floor, SQ_ELEM_floor, false, .grad = {{SQ_ELEM_zero, "g"}});
SQ_ELEMENTWISE(ceil, SQ_ELEM_ceil, false, .grad = {{SQ_ELEM_zero, "g"}});
SQ_ELEMENTWISE(round, SQ_ELEM_round, false, .grad = {{SQ_ELEM_zero, "g"}});

/* y = x, at least p0 and at most p1;  dx = dy where p0 <= x <= p1, else 0 */
static sq_status clamp_bounds(sq_call *c, double *p) {
  if (c->arg[1].kind == SQ_ARG_NIL && c->arg[2].kind == SQ_ARG_NIL) {
    return sq_fail(SQ_EARG, "[clamp] give min, max or both");
  }
  p[0] = c->arg[1].kind == SQ_ARG_NIL ? -INFINITY : c->arg[1].number;
  p[1] = c->arg[2].kind == SQ_ARG_NIL ? INFINITY : c->arg[2].number;
  for (int i = 0; i < 2 && !sq_is_float(c->in[0]->dtype); i++) {
    if (p[i] == floor(p[i])) continue; /* one out of range bounds nothing, or all */
    return sq_fail(SQ_ETYPE, "[clamp] %.14g is no %s: convert the tensor first, with x:float()",
                   p[i], sq_dtype_name(c->in[0]->dtype));
  }
  return SQ_OK;
}

static sq_status clamp_forward(sq_call *c) {
  double p[2];
  SQ_TRY(clamp_bounds(c, p));
  sq__save_number(c, p[0]);
  sq__save_number(c, p[1]);
  SQ_TRY(sq__save(c, c->in[0]));
  return sq_map("clamp", SQ_ELEM_clamp, c->in, p, &c->out[0]);
}

static sq_status clamp_into(sq_call *c) {
  double p[2];
  SQ_TRY(clamp_bounds(c, p));
  return sq__elem_into(c, SQ_ELEM_clamp, p);
}

static sq_status clamp_backward(sq_back *b) {
  double p[2] = {sq__number(b, 0), sq__number(b, 1)};
  return sq_map("clamp", SQ_ELEM_clamp_back, (sq_tensor *[]){b->dy[0], sq__saved(b, 0)}, p,
                &b->dx[0]);
}
const sq_op_impl sq__op_clamp = {
    .forward = clamp_forward, .backward = clamp_backward, .into = clamp_into, .inplace = true};

/* --- choices between two -------------------------------------------------------------------- */

SQ_ELEMENTWISE(maximum, SQ_ELEM_maximum,
               .grad = {{SQ_ELEM_maximum_back, "gab"}, {SQ_ELEM_maximum_back, "gba"}});
SQ_ELEMENTWISE(minimum, SQ_ELEM_minimum,
               .grad = {{SQ_ELEM_minimum_back, "gab"}, {SQ_ELEM_minimum_back, "gba"}});
SQ_ELEMENTWISE(lerp, SQ_ELEM_lerp,
               .grad = {
                   {SQ_ELEM_lerp_back_a, "gc"}, {SQ_ELEM_mul, "gc"}, {SQ_ELEM_lerp_back_c, "gab"}});

/* y = a where c, else b;  da = dy where c, else 0; db = 0 where c, else dy */
static sq_status where_forward(sq_call *c) {
  SQ_TRY(sq__save(c, c->in[0]));
  return sq_where(c->in[0], c->in[1], c->in[2], &c->out[0]);
}

static sq_status where_backward(sq_back *b) {
  SQ_OWN sq_tensor *zero = NULL;
  sq_tensor *mask = sq__saved(b, 0), *value;
  SQ_TRY(sq_tensor_scalar(b->dy[0]->dtype, 0, &zero));
  if (sq__needs(b, 1)) {
    SQ_TRY(sq_where(mask, b->dy[0], zero, &value));
    SQ_TRY(sq__give(b, 1, value));
  }
  if (!sq__needs(b, 2)) return SQ_OK;
  SQ_TRY(sq_where(mask, zero, b->dy[0], &value));
  return sq__give(b, 2, value);
}
const sq_op_impl sq__op_where = {
    .forward = where_forward, .backward = where_backward, .mixed = true};

/* --- tests: bool, without gradient ---------------------------------------------------------- */

/* name_ of a test: its bool result in x's dtype. */
static sq_status test_into(sq_call *c) {
  SQ_TRY(c->op->impl->forward(c));
  for (int i = 1; i < c->nin; i++) SQ_TRY(sq_check_expands(c->op->name, c->in[i], c->in[0]));
  return sq_tensor_copy(c->in[0], c->out[0]);
}

/* Both, or one of them, as bool: the lesser or the greater of 0 and 1. */
static sq_status logical(sq_call *c, sq_elem kernel) {
  SQ_OWN sq_tensor *a = NULL, *b = NULL;
  SQ_TRY(sq_map(c->op->name, SQ_ELEM_nonzero_mask, &c->in[0], NULL, &a));
  SQ_TRY(sq_map(c->op->name, SQ_ELEM_nonzero_mask, &c->in[1], NULL, &b));
  return sq_map(c->op->name, kernel, (sq_tensor *[]){a, b}, NULL, &c->out[0]);
}

static sq_status logical_and_forward(sq_call *c) { return logical(c, SQ_ELEM_minimum); }
static sq_status logical_or_forward(sq_call *c) { return logical(c, SQ_ELEM_maximum); }
const sq_op_impl sq__op_logical_and = {
    .forward = logical_and_forward, .into = test_into, .inplace = true, .mixed = true};
const sq_op_impl sq__op_logical_or = {
    .forward = logical_or_forward, .into = test_into, .inplace = true, .mixed = true};

#define SQ_TEST(op, in_place)      \
  const sq_op_impl sq__op_##op = { \
      .forward = sq__elem_forward, .into = test_into, .inplace = in_place, .elem = {SQ_ELEM_##op}}

SQ_TEST(eq, true);
SQ_TEST(ne, true);
SQ_TEST(lt, true);
SQ_TEST(le, true);
SQ_TEST(gt, true);
SQ_TEST(ge, true);
SQ_TEST(isnan, false);
SQ_TEST(isinf, false);
SQ_TEST(isfinite, false);
SQ_TEST(logical_not, true);

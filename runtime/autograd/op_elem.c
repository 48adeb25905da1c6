/* op_elem.c: elementwise arithmetic; each op is its kernel and the gradient of each input. No loop
 * is written here. */
#include <math.h>
#include <string.h>

#include "autograd/again_priv.h"
#include "autograd/op_priv.h"
#include "tensor/map.h"
#include "tensor/reduce.h"
#include "tensor/view.h"

/* What add and sub keep. */
typedef struct sum_factor {
  double b; /* b was multiplied by it */
} sum_factor;

SQ_ALIKE(SUB_ALPHA, ADD_ALPHA);
SQ_ALIKE(IN_SUB_OTHER, IN_ADD_OTHER);

/* alpha b where the kernels do not multiply by alpha themselves: in whole numbers, exactly, and in
 * bool; else b. [new] */
static sq_status times_alpha(const sq_call *c, sq_tensor **out) {
  sq_number alpha = c->arg[ADD_ALPHA].value;
  sq_tensor *b = c->in[IN_ADD_OTHER];
  *out = sq_tensor_keep(b);
  if (alpha.real == 1 || sq_is_float(b->dtype)) return SQ_OK;
  sq_tensor_drop(b);
  *out = NULL;
  if (!alpha.is_whole) {
    return sq_fail(SQ_ETYPE, "[%s] alpha is %.14g: beside %s it must be a whole number, as 2",
                   c->op->name, alpha.real, sq_dtype_name(b->dtype));
  }
  if (b->dtype == SQ_BOOL) alpha = sq_whole(alpha.whole != 0);
  SQ_OWN sq_tensor *factor = NULL;
  SQ_TRY(sq_fail_in(sq_tensor_number(b->dtype, alpha, &factor), "[%s] alpha: ", c->op->name));
  return sq_map(c->op->name, SQ_ELEM_mul, (sq_tensor *[]){b, factor}, NULL, out);
}

/* a + sign alpha b: by one kernel where alpha is 1 or went into b. */
static sq_elem sum_kernel(const sq_call *c, double sign, double *factor) {
  double alpha = sq_is_float(c->in[IN_ADD_OTHER]->dtype) ? c->arg[ADD_ALPHA].number : 1;
  *factor = sign * alpha;
  return alpha != 1 ? SQ_ELEM_add_scaled : sign > 0 ? SQ_ELEM_add : SQ_ELEM_sub;
}

static sq_status add_sub_forward(sq_call *c, double sign) {
  SQ_OWN sq_tensor *b = NULL;
  double factor;
  SQ_TRY(times_alpha(c, &b));
  sq_elem kernel = sum_kernel(c, sign, &factor);
  SQ_SAVE_VALUES(c, sum_factor, factor);
  return sq_map(c->op->name, kernel, (sq_tensor *[]){c->in[IN_X], b}, &factor, &c->out[0]);
}

static sq_status sum_into(sq_call *c, double sign) {
  SQ_OWN sq_tensor *b = NULL;
  double factor;
  SQ_TRY(times_alpha(c, &b));
  sq_elem kernel = sum_kernel(c, sign, &factor);
  sq_call scaled = *c;
  scaled.in = (sq_tensor *[]){c->in[IN_X], b};
  return sq__elem_into(&scaled, kernel, &factor);
}

/* y = a + alpha b;  da = dy, db = alpha dy */
static sq_status add_forward(sq_call *c) { return add_sub_forward(c, 1); }
static sq_status add_into(sq_call *c) { return sum_into(c, 1); }

/* What is subtracted or subtracted from must be no bool: it would become a number unasked. */
static sq_status check_no_bool(const sq_call *c) {
  for (int i = 0; i < 2; i++) {
    if (c->arg[i].kind != SQ_ARG_TENSOR || c->arg[i].tensor->dtype != SQ_BOOL) continue;
    return sq_fail(SQ_ETYPE,
                   "[sub] %s is bool: a mask is inverted with x:logical_not(), or convert it, with "
                   ":long()",
                   i ? "other" : "x");
  }
  return SQ_OK;
}

/* y = a - alpha b;  da = dy, db = -alpha dy */
static sq_status sub_forward(sq_call *c) {
  SQ_TRY(check_no_bool(c));
  return add_sub_forward(c, -1);
}

static sq_status sub_into(sq_call *c) {
  SQ_TRY(check_no_bool(c));
  return sum_into(c, -1);
}

static sq_status add_sub_backward(sq_back *b) {
  if (sq__needs(b, IN_X)) SQ_TRY(sq__give(b, IN_X, sq_tensor_keep(b->dy[0])));
  if (!sq__needs(b, IN_ADD_OTHER)) return SQ_OK;
  double factor = ((const sum_factor *)sq__values(b))->b;
  if (factor == 1) return sq__give(b, IN_ADD_OTHER, sq_tensor_keep(b->dy[0]));
  sq_tensor *scaled;
  SQ_TRY(sq_map("add", SQ_ELEM_scale, b->dy, &factor, &scaled));
  return sq__give(b, IN_ADD_OTHER, scaled);
}

static void add_sub_again(sq_again *r) {
  sq__gives(r, IN_X, sq__dy(r, 0));
  if (!sq__needs(r->b, IN_ADD_OTHER)) return;
  double factor = ((const sum_factor *)sq__values(r->b))->b;
  sq__gives(r, IN_ADD_OTHER, sq__scale(r, sq__dy(r, 0), factor));
}

const sq_op_impl sq__op_add = {.forward = add_forward,
                               .backward = add_sub_backward,
                               .again = add_sub_again,
                               .into = add_into,
                               .inplace = true,
                               .promotes = SQ_ALL_INPUTS};
const sq_op_impl sq__op_sub = {.forward = sub_forward,
                               .backward = add_sub_backward,
                               .again = add_sub_again,
                               .into = sub_into,
                               .inplace = true,
                               .promotes = SQ_ALL_INPUTS};

SQ_ELEMENTWISE(mul, SQ_ELEM_mul,
               .grad = {{SQ_ELEM_mul, "gb", sq__elem_b}, {SQ_ELEM_mul, "ga", sq__elem_a}});
SQ_ELEMENTWISE(neg, SQ_ELEM_neg, .grad = {{SQ_ELEM_neg, "g", sq__flat}});

/* --- quotients ------------------------------------------------------------------------------- */

/* Fails where the dtype has no such kernel: bits of floats, remainders of bool. */
static sq_status check_defined(const sq_call *c, sq_elem kernel) {
  sq_dtype dtype = c->in[IN_X]->dtype;
  if (sq_kern_of(dtype)->elem[kernel]) return SQ_OK;
  return sq_fail(SQ_ETYPE, "[%s] is not defined for %s: convert it, with x:long()", c->op->name,
                 sq_dtype_name(dtype));
}

SQ_ALIKE(IN_REMAINDER_OTHER, IN_DIV_OTHER);
SQ_ALIKE(IN_FMOD_OTHER, IN_DIV_OTHER);
SQ_ALIKE(IN_FLOOR_DIVIDE_OTHER, IN_DIV_OTHER);

/* Whole numbers can't be divided by 0. */
static sq_status check_divisor(const sq_call *c) {
  sq_tensor *b = c->in[IN_DIV_OTHER];
  if (sq_is_float(b->dtype)) return SQ_OK;
  SQ_OWN sq_tensor *zero = NULL, *any = NULL;
  SQ_TRY(sq_map(c->op->name, SQ_ELEM_logical_not, &b, NULL, &zero));
  SQ_TRY(sq_sum(zero, 0, false, &any));
  if (!sq_tensor_get_int(any, 0)) return SQ_OK;
  return sq_fail(SQ_EARG, "[%s] other has a 0: %s can't be divided by it, x:float() can",
                 c->op->name, sq_dtype_name(b->dtype));
}

static sq_status check_quotient(const sq_call *c, sq_elem kernel) {
  SQ_TRY(check_defined(c, kernel));
  return check_divisor(c);
}

/* y = kernel(a, b), by the op's rule. */
static sq_status quotient_forward(sq_call *c) {
  SQ_TRY(check_quotient(c, c->op->impl->elem.kernel));
  return sq__elem_forward(c);
}

static sq_status quotient_into(sq_call *c) {
  SQ_TRY(check_quotient(c, c->op->impl->elem.kernel));
  return sq__elem_inplace(c);
}

#define SQ_QUOTIENT(op, back, ...)                             \
  const sq_op_impl sq__op_##op = {.forward = quotient_forward, \
                                  .backward = back,            \
                                  .again = sq__elem_again,     \
                                  .into = quotient_into,       \
                                  .inplace = true,             \
                                  .promotes = SQ_ALL_INPUTS,   \
                                  .elem = {__VA_ARGS__}}

/* da = dy, db = -dy times the rounded quotient */
SQ_QUOTIENT(remainder, sq__elem_backward, SQ_ELEM_remainder,
            .grad = {{SQ_ELEM_copy, "g"}, {SQ_ELEM_remainder_back_b, "gab", sq__flat}});
SQ_QUOTIENT(fmod, sq__elem_backward, SQ_ELEM_fmod,
            .grad = {{SQ_ELEM_copy, "g"}, {SQ_ELEM_fmod_back_b, "gab", sq__flat}});

static sq_status floor_divide_backward(sq_back *b) {
  (void)b;
  return sq_fail(
      SQ_ESTATE,
      "[floor_divide] has no gradient; that of x:div(y, {rounding_mode = \"floor\"}) is 0");
}
SQ_QUOTIENT(floor_divide, floor_divide_backward, SQ_ELEM_div_floor);

/* How the quotient is rounded; SQ_ELEM_div where it is not. */
static sq_elem quotient_kernel(const sq_call *c) {
  const sq_arg *mode = &c->arg[DIV_ROUNDING_MODE];
  if (mode->kind == SQ_ARG_NIL) return SQ_ELEM_div;
  return strcmp(mode->string, "floor") == 0 ? SQ_ELEM_div_floor : SQ_ELEM_div_trunc;
}

/* a / b, whole numbers as float32. */
static sq_status true_quotient(sq_call *c) {
  SQ_OWN sq_tensor *a = NULL, *b = NULL;
  SQ_TRY(sq__to_float(c->in[IN_X], &a));
  SQ_TRY(sq__to_float(c->in[IN_DIV_OTHER], &b));
  sq_call floats = *c;
  floats.in = (sq_tensor *[]){a, b};
  sq_status st = sq__elem_forward(&floats);
  c->out[0] = floats.out[0];
  return st;
}

/* What div keeps besides the operands. */
typedef struct quotient {
  bool rounded;
} quotient;

/* y = a / b;  da = dy / b, db = -dy y / b;  of a rounded quotient 0 */
static sq_status div_forward(sq_call *c) {
  sq_elem kernel = quotient_kernel(c);
  if (kernel == SQ_ELEM_div) {
    SQ_TRY(true_quotient(c));
  } else {
    SQ_TRY(check_quotient(c, kernel));
    SQ_TRY(sq_map("div", kernel, c->in, NULL, &c->out[0]));
  }
  SQ_SAVE_VALUES(c, quotient, kernel != SQ_ELEM_div);
  return SQ_OK;
}

static sq_status div_into(sq_call *c) {
  sq_elem kernel = quotient_kernel(c);
  if (kernel != SQ_ELEM_div) {
    SQ_TRY(check_quotient(c, kernel));
  } else if (!sq_is_float(c->in[IN_X]->dtype)) {
    return sq_fail(SQ_ETYPE,
                   "[div_] the result is float32, x is %s: in place nothing is cast down; use "
                   "x:div(...), or convert x first",
                   sq_dtype_name(c->in[IN_X]->dtype));
  }
  return sq__elem_into(c, kernel, NULL);
}

static sq_status div_backward(sq_back *b) {
  const quotient *v = sq__values(b);
  if (!v->rounded) return sq__elem_backward(b);
  for (int i = 0; i < sq__inputs(b); i++) {
    if (!sq__needs(b, i)) continue;
    SQ_TRY(sq_tensor_full(b->dy[0]->dtype, sq__in_ndim(b, i), sq__in_shape(b, i), 0, &b->dx[i]));
  }
  return SQ_OK;
}
/* 1 / b and -y / b. */
static sq_tensor *div_slope_a(sq_again *r) { return sq__of(r, SQ_OP_reciprocal, sq__elem_b(r)); }
static sq_tensor *div_slope_b(sq_again *r) {
  return sq__of(r, SQ_OP_neg, sq__div(r, sq__elem_y(r), sq__elem_b(r)));
}

static void div_again(sq_again *r) {
  const quotient *v = sq__values(r->b);
  if (!v->rounded) {
    sq__elem_again(r);
    return;
  }
  for (int i = 0; i < sq__inputs(r->b); i++)
    sq__gives(r, i, sq__filled(r, sq__in_ndim(r->b, i), sq__in_shape(r->b, i), 0));
}
const sq_op_impl sq__op_div = {
    .forward = div_forward,
    .backward = div_backward,
    .again = div_again,
    .into = div_into,
    .inplace = true,
    .promotes = SQ_ALL_INPUTS,
    .elem = {SQ_ELEM_div,
             .grad = {{SQ_ELEM_div, "gb", div_slope_a}, {SQ_ELEM_div_back_b, "gby", div_slope_b}}}};

/* --- powers ---------------------------------------------------------------------------------- */

/* What pow keeps: a, b, y, and b as a number. */
enum { POW_SAVED_A, POW_SAVED_B, POW_SAVED_Y };

typedef struct power {
  bool scalar;
  double p;
} power;

/* True where b is a number and has kernels of its own: those of floats. */
static bool by_number(const sq_call *c) {
  return c->arg[POW_EXPONENT].kind == SQ_ARG_NUMBER && sq_is_float(c->in[IN_X]->dtype);
}

static sq_status check_power(const sq_call *c) {
  const sq_arg *b = &c->arg[POW_EXPONENT];
  if (b->kind != SQ_ARG_NUMBER || b->number >= 0 || sq_is_float(c->in[IN_X]->dtype)) return SQ_OK;
  return sq_fail(SQ_ETYPE, "[pow] x is %s: a negative power of it needs floats, use x:float()",
                 sq_dtype_name(c->in[IN_X]->dtype));
}

/* y = a^b;  da = dy b a^(b-1), db = dy y ln a.  A number as b has kernels of its own. */
static sq_status pow_forward(sq_call *c) {
  SQ_TRY(check_power(c));
  bool scalar = by_number(c);
  double p = scalar ? c->arg[POW_EXPONENT].number : 0;
  SQ_TRY(sq_map("pow", scalar ? SQ_ELEM_pow_scalar : SQ_ELEM_pow, c->in, &p, &c->out[0]));
  SQ_SAVE_VALUES(c, power, scalar, p);
  SQ_TRY(sq__save(c, POW_SAVED_A, c->in[IN_X]));
  SQ_TRY(sq__save(c, POW_SAVED_B, scalar ? NULL : c->in[IN_POW_EXPONENT]));
  return sq__save(c, POW_SAVED_Y, scalar ? NULL : c->out[0]);
}

static sq_status pow_into(sq_call *c) {
  SQ_TRY(check_power(c));
  double p = c->arg[POW_EXPONENT].kind == SQ_ARG_NUMBER ? c->arg[POW_EXPONENT].number : 0;
  return sq__elem_into(c, by_number(c) ? SQ_ELEM_pow_scalar : SQ_ELEM_pow, &p);
}

static sq_status pow_backward(sq_back *b) {
  const power *v = sq__values(b);
  sq_tensor *g = b->dy[0], *x = sq__saved(b, POW_SAVED_A), *y = sq__saved(b, POW_SAVED_B), *value;
  if (v->scalar)
    return sq_map("pow", SQ_ELEM_pow_scalar_back, (sq_tensor *[]){g, x}, &v->p, &b->dx[IN_X]);
  if (sq__needs(b, IN_X)) {
    SQ_TRY(sq_map("pow", SQ_ELEM_pow_back_a, (sq_tensor *[]){g, x, y}, NULL, &value));
    SQ_TRY(sq__give(b, IN_X, value));
  }
  if (!sq__needs(b, IN_POW_EXPONENT)) return SQ_OK;
  sq_tensor *in[] = {g, x, y, sq__saved(b, POW_SAVED_Y)};
  SQ_TRY(sq_map("pow", SQ_ELEM_pow_back_b, in, NULL, &value));
  return sq__give(b, IN_POW_EXPONENT, value);
}
/* p a^(p-1), but 0 for p = 0, as b. */
static void power_of_number_again(sq_again *r, double p) {
  sq_tensor *x = sq__input(r, IN_X, sq__saved(r->b, POW_SAVED_A));
  sq_tensor *slope = p == 0 ? sq__number(r, 0) : sq__scale(r, sq__power(r, x, p - 1), p);
  sq__gives(r, IN_X, sq__mul(r, sq__dy(r, 0), slope));
}

/* b a^(b-1), 0 where b is: there a is taken for 1, so that no infinity lies behind the 0. */
static sq_tensor *pow_slope_a(sq_again *r, sq_tensor *a, sq_tensor *b) {
  sq_tensor *none = sq__of(r, SQ_OP_logical_not, b), *base;
  base = sq__choose(r, none, sq__number(r, 1), a);
  sq_tensor *slope = sq__mul(r, b, SQ_DO(pow, sq__arg(base), sq__arg(sq__shift(r, b, -1))));
  return sq__choose(r, none, sq__number(r, 0), slope);
}

/* y ln a, 0 where a is and b >= 0. */
static sq_tensor *pow_slope_b(sq_again *r, sq_tensor *a, sq_tensor *b) {
  sq_tensor *y = sq__result(r, 0, sq__saved(r->b, POW_SAVED_Y));
  sq_tensor *rises = SQ_DO(ge, sq__arg(b), SQ_N(0));
  sq_tensor *zero = SQ_DO(logical_and, sq__arg(sq__of(r, SQ_OP_logical_not, a)), sq__arg(rises));
  return sq__mul(r, y, sq__of(r, SQ_OP_log, sq__choose(r, zero, sq__number(r, 1), a)));
}

static void pow_again(sq_again *r) {
  const power *v = sq__values(r->b);
  if (v->scalar) {
    power_of_number_again(r, v->p);
    return;
  }
  sq_tensor *a = sq__input(r, IN_X, sq__saved(r->b, POW_SAVED_A));
  sq_tensor *b = sq__input(r, IN_POW_EXPONENT, sq__saved(r->b, POW_SAVED_B));
  if (sq__needs(r->b, IN_X)) sq__gives(r, IN_X, sq__mul(r, sq__dy(r, 0), pow_slope_a(r, a, b)));
  if (sq__needs(r->b, IN_POW_EXPONENT))
    sq__gives(r, IN_POW_EXPONENT, sq__mul(r, sq__dy(r, 0), pow_slope_b(r, a, b)));
}
const sq_op_impl sq__op_pow = {.forward = pow_forward,
                               .backward = pow_backward,
                               .again = pow_again,
                               .into = pow_into,
                               .inplace = true,
                               .promotes = SQ_ALL_INPUTS};

/* --- functions of one number ---------------------------------------------------------------- */

/* The slopes of those whose kernel's is not flat. */
static sq_tensor *one_over(sq_again *r, sq_tensor *t) { return sq__of(r, SQ_OP_reciprocal, t); }
static sq_tensor *log_slope(sq_again *r) { return one_over(r, sq__elem_a(r)); }
static sq_tensor *log1p_slope(sq_again *r) { return one_over(r, sq__shift(r, sq__elem_a(r), 1)); }
static sq_tensor *expm1_slope(sq_again *r) { return sq__shift(r, sq__elem_y(r), 1); }
static sq_tensor *sqrt_slope(sq_again *r) { return one_over(r, sq__scale(r, sq__elem_y(r), 2)); }
static sq_tensor *rsqrt_slope(sq_again *r) {
  return sq__scale(r, sq__power(r, sq__elem_y(r), 3), -0.5);
}
static sq_tensor *sin_slope(sq_again *r) { return sq__of(r, SQ_OP_cos, sq__elem_a(r)); }
static sq_tensor *cos_slope(sq_again *r) {
  return sq__of(r, SQ_OP_neg, sq__of(r, SQ_OP_sin, sq__elem_a(r)));
}
static sq_tensor *atan_slope(sq_again *r) {
  return one_over(r, sq__shift(r, sq__of(r, SQ_OP_square, sq__elem_a(r)), 1));
}
static sq_tensor *square_slope(sq_again *r) { return sq__scale(r, sq__elem_a(r), 2); }
static sq_tensor *reciprocal_slope(sq_again *r) {
  return sq__of(r, SQ_OP_neg, sq__of(r, SQ_OP_square, sq__elem_y(r)));
}

/* 2 / sqrt(pi) e^-x^2 */
static sq_tensor *erf_slope(sq_again *r) {
  sq_tensor *e = sq__of(r, SQ_OP_neg, sq__of(r, SQ_OP_square, sq__elem_a(r)));
  return sq__scale(r, sq__of(r, SQ_OP_exp, e), 1.12837916709551257390);
}

SQ_ELEMENTWISE(exp, SQ_ELEM_exp, true, .grad = {{SQ_ELEM_mul, "gy", sq__elem_y}});
SQ_ELEMENTWISE(log, SQ_ELEM_log, true, .grad = {{SQ_ELEM_div, "ga", log_slope}});
SQ_ELEMENTWISE(log1p, SQ_ELEM_log1p, true, .grad = {{SQ_ELEM_log1p_back, "ga", log1p_slope}});
SQ_ELEMENTWISE(expm1, SQ_ELEM_expm1, true, .grad = {{SQ_ELEM_expm1_back, "gy", expm1_slope}});
SQ_ELEMENTWISE(sqrt, SQ_ELEM_sqrt, true, .grad = {{SQ_ELEM_sqrt_back, "gy", sqrt_slope}});
SQ_ELEMENTWISE(rsqrt, SQ_ELEM_rsqrt, true, .grad = {{SQ_ELEM_rsqrt_back, "gy", rsqrt_slope}});
SQ_ELEMENTWISE(abs, SQ_ELEM_abs, false, .grad = {{SQ_ELEM_abs_back, "ga", sq__flat}});
SQ_ELEMENTWISE(sign, SQ_ELEM_sign, false, .grad = {{SQ_ELEM_zero, "g", sq__flat}});
SQ_ELEMENTWISE(sin, SQ_ELEM_sin, true, .grad = {{SQ_ELEM_sin_back, "ga", sin_slope}});
SQ_ELEMENTWISE(cos, SQ_ELEM_cos, true, .grad = {{SQ_ELEM_cos_back, "ga", cos_slope}});
SQ_ELEMENTWISE(atan, SQ_ELEM_atan, true, .grad = {{SQ_ELEM_atan_back, "ga", atan_slope}});

/* y = x^2, of bool as int64;  dx = 2 x dy */
static sq_status square_forward(sq_call *c) {
  if (c->in[IN_X]->dtype != SQ_BOOL) return sq__elem_forward(c);
  SQ_OWN sq_tensor *whole = NULL;
  SQ_TRY(sq_tensor_cast(c->in[IN_X], SQ_I64, &whole));
  return sq_map("square", SQ_ELEM_square, &whole, NULL, &c->out[0]);
}
const sq_op_impl sq__op_square = {
    .forward = square_forward,
    .backward = sq__elem_backward,
    .again = sq__elem_again,
    .into = sq__elem_inplace,
    .inplace = true,
    .elem = {SQ_ELEM_square, .grad = {{SQ_ELEM_square_back, "ga", square_slope}}}};
SQ_ELEMENTWISE(reciprocal, SQ_ELEM_reciprocal, true,
               .grad = {{SQ_ELEM_reciprocal_back, "gy", reciprocal_slope}});
SQ_ELEMENTWISE(erf, SQ_ELEM_erf, true, .grad = {{SQ_ELEM_erf_back, "ga", erf_slope}});
SQ_ELEMENTWISE(floor, SQ_ELEM_floor, false, .grad = {{SQ_ELEM_zero, "g", sq__flat}});
SQ_ELEMENTWISE(ceil, SQ_ELEM_ceil, false, .grad = {{SQ_ELEM_zero, "g", sq__flat}});
SQ_ELEMENTWISE(round, SQ_ELEM_round, false, .grad = {{SQ_ELEM_zero, "g", sq__flat}});

/* What clamp keeps: x, and the bounds. */
enum { CLAMP_SAVED_X };

typedef struct bounds {
  double p[2];
} bounds;

SQ_ALIKE(CLIP_MIN, CLAMP_MIN);
SQ_ALIKE(CLIP_MAX, CLAMP_MAX);

/* y = x, at least p0 and at most p1;  dx = dy where p0 < x < p1, else 0 */
static sq_status clamp_bounds(sq_call *c, double *p) {
  const sq_arg *min = &c->arg[CLAMP_MIN], *max = &c->arg[CLAMP_MAX];
  if (min->kind == SQ_ARG_NIL && max->kind == SQ_ARG_NIL) {
    return sq_fail(SQ_EARG, "[%s] give min, max or both", c->op->name);
  }
  p[0] = min->kind == SQ_ARG_NIL ? -INFINITY : min->number;
  p[1] = max->kind == SQ_ARG_NIL ? INFINITY : max->number;
  for (int i = 0; i < 2 && c->in[IN_X]->dtype == SQ_F32; i++) {
    if (sq_number_fits(SQ_F32, sq_real(p[i]))) continue;
    return sq_fail(SQ_ETYPE, "[clamp] %.14g is out of range for float32", p[i]);
  }
  return SQ_OK;
}

/* The same of int64, whose bounds no double may hold: by a tensor of each. */
static sq_status clamp_whole(const sq_call *c, sq_tensor **out) {
  static const sq_elem kernels[] = {SQ_ELEM_maximum, SQ_ELEM_minimum};
  const sq_arg *bound[] = {&c->arg[CLAMP_MIN], &c->arg[CLAMP_MAX]};
  SQ_OWN sq_tensor *y = sq_tensor_keep(c->in[IN_X]);
  for (int i = 0; i < 2; i++) {
    if (bound[i]->kind == SQ_ARG_NIL) continue;
    SQ_OWN sq_tensor *limit = NULL, *x = sq_tensor_give(&y);
    SQ_TRY(sq_fail_in(sq_tensor_number(SQ_I64, bound[i]->value, &limit), "[clamp] bound: "));
    SQ_TRY(sq_map("clamp", kernels[i], (sq_tensor *[]){x, limit}, NULL, &y));
  }
  *out = sq_tensor_give(&y);
  return SQ_OK;
}

static sq_status clamp_forward(sq_call *c) {
  bounds v;
  SQ_TRY(clamp_bounds(c, v.p));
  if (c->in[IN_X]->dtype == SQ_I64) return clamp_whole(c, &c->out[0]);
  sq__save_values(c, &v, sizeof v);
  SQ_TRY(sq__save(c, CLAMP_SAVED_X, c->in[IN_X]));
  return sq_map("clamp", SQ_ELEM_clamp, c->in, v.p, &c->out[0]);
}

static sq_status clamp_into(sq_call *c) {
  bounds v;
  SQ_TRY(clamp_bounds(c, v.p));
  if (c->in[IN_X]->dtype == SQ_I64) {
    SQ_OWN sq_tensor *y = NULL;
    SQ_TRY(clamp_whole(c, &y));
    return sq_tensor_copy(c->in[IN_X], y);
  }
  return sq__elem_into(c, SQ_ELEM_clamp, v.p);
}

/* dx for dy = g. */
static sq_status clamp_part(const sq_back *b, sq_tensor *g, sq_tensor **dx) {
  const bounds *v = sq__values(b);
  sq_tensor *in[] = {g, sq__saved(b, CLAMP_SAVED_X)};
  return sq_map("clamp", SQ_ELEM_clamp_back, in, v->p, dx);
}

static sq_status clamp_backward(sq_back *b) { return clamp_part(b, b->dy[0], &b->dx[IN_X]); }

static void clamp_again(sq_again *r) {
  sq_tensor *one = sq__number(r, 1), *slope = NULL;
  if (!one) return;
  sq_status st = clamp_part(r->b, one, &slope);
  sq__gives(r, IN_X, sq__mul(r, sq__dy(r, 0), sq__own(r, st, slope)));
}
const sq_op_impl sq__op_clamp = {.forward = clamp_forward,
                                 .backward = clamp_backward,
                                 .again = clamp_again,
                                 .into = clamp_into,
                                 .inplace = true,
                                 .promotes = SQ_ALL_INPUTS,
                                 .numbers = true,
                                 .with_tensor = SQ_OP_clamp_between};
const sq_op_impl sq__op_clip = {.forward = clamp_forward,
                                .backward = clamp_backward,
                                .again = clamp_again,
                                .into = clamp_into,
                                .inplace = true,
                                .promotes = SQ_ALL_INPUTS,
                                .numbers = true,
                                .with_tensor = SQ_OP_clamp_between};

/* All inputs are kept, in the slots of their numbers.
 * y = min(max(x, low), high), a bound left out is NULL;  dy goes to where y came from, by halves
 * where x is at one bound */
static sq_status clamp_between_forward(sq_call *c) {
  sq_tensor *x = c->in[IN_X];
  sq_tensor *low = c->in[IN_CLAMP_BETWEEN_MIN], *high = c->in[IN_CLAMP_BETWEEN_MAX];
  SQ_OWN sq_tensor *raised = NULL;
  for (int i = 0; i < c->nin; i++) SQ_TRY(sq__save(c, i, c->in[i]));
  if (low) SQ_TRY(sq_map("clamp", SQ_ELEM_maximum, (sq_tensor *[]){x, low}, NULL, &raised));
  if (!high) {
    c->out[0] = sq_tensor_give(&raised);
    return SQ_OK;
  }
  sq_tensor *in[] = {raised ? raised : x, high};
  return sq_map("clamp", SQ_ELEM_minimum, in, NULL, &c->out[0]);
}

/* The gradient of input i for dy = g. */
static sq_status clamp_between_part(const sq_back *b, int i, sq_tensor *g, sq_tensor **value) {
  static const sq_elem both[] = {[IN_X] = SQ_ELEM_between_back_x,
                                 [IN_CLAMP_BETWEEN_MIN] = SQ_ELEM_between_back_low,
                                 [IN_CLAMP_BETWEEN_MAX] = SQ_ELEM_between_back_high};
  sq_tensor *x = sq__saved(b, IN_X);
  sq_tensor *low = sq__saved(b, IN_CLAMP_BETWEEN_MIN), *high = sq__saved(b, IN_CLAMP_BETWEEN_MAX);
  sq_tensor *in[] = {g, x, low, high};
  sq_tensor *bound = low ? low : high;
  sq_elem kernel = both[i];
  if (!low || !high) {
    kernel = low ? SQ_ELEM_maximum_back : SQ_ELEM_minimum_back;
    in[1] = i == IN_X ? x : bound;
    in[2] = i == IN_X ? bound : x;
  }
  return sq_map("clamp", kernel, in, NULL, value);
}

static sq_status clamp_between_backward(sq_back *b) {
  for (int i = 0; i < sq__inputs(b); i++) {
    sq_tensor *value;
    if (!sq__needs(b, i)) continue;
    SQ_TRY(clamp_between_part(b, i, b->dy[0], &value));
    SQ_TRY(sq__give(b, i, value));
  }
  return SQ_OK;
}

static void clamp_between_again(sq_again *r) {
  sq_tensor *one = sq__number(r, 1);
  for (int i = 0; one && i < sq__inputs(r->b); i++) {
    sq_tensor *slope = NULL;
    if (!sq__needs(r->b, i) || r->st != SQ_OK) continue;
    sq_status st = clamp_between_part(r->b, i, one, &slope);
    sq__gives(r, i, sq__mul(r, sq__dy(r, 0), sq__own(r, st, slope)));
  }
}
const sq_op_impl sq__op_clamp_between = {.forward = clamp_between_forward,
                                         .backward = clamp_between_backward,
                                         .again = clamp_between_again,
                                         .inplace = true,
                                         .promotes = SQ_ALL_INPUTS,
                                         .hidden = true};

/* --- choices between two -------------------------------------------------------------------- */

SQ_ELEMENTWISE(maximum, SQ_ELEM_maximum,
               .grad = {{SQ_ELEM_maximum_back, "gab", sq__flat},
                        {SQ_ELEM_maximum_back, "gba", sq__flat}});
SQ_ELEMENTWISE(minimum, SQ_ELEM_minimum,
               .grad = {{SQ_ELEM_minimum_back, "gab", sq__flat},
                        {SQ_ELEM_minimum_back, "gba", sq__flat}});

static sq_tensor *lerp_slope_a(sq_again *r) { return sq__sub(r, sq__number(r, 1), sq__elem_c(r)); }
static sq_tensor *lerp_slope_c(sq_again *r) { return sq__sub(r, sq__elem_b(r), sq__elem_a(r)); }

/* y = a + c (b - a);  da = dy (1 - c), db = dy c, dc = dy (b - a).  Only c promotes, to a. */
const sq_op_impl sq__op_lerp = {
    .forward = sq__elem_forward,
    .backward = sq__elem_backward,
    .again = sq__elem_again,
    .inplace = true,
    .promotes = 1u << IN_LERP_X | 1u << IN_LERP_WEIGHT,
    .elem = {SQ_ELEM_lerp, .grad = {{SQ_ELEM_lerp_back_a, "gc", lerp_slope_a},
                                    {SQ_ELEM_mul, "gc", sq__elem_c},
                                    {SQ_ELEM_lerp_back_c, "gab", lerp_slope_c}}}};

/* What where keeps. */
enum { WHERE_SAVED_CONDITION };

/* y = a where c, else b;  da = dy where c, else 0; db = 0 where c, else dy */
static sq_status where_forward(sq_call *c) {
  SQ_TRY(sq__save(c, WHERE_SAVED_CONDITION, c->in[IN_WHERE_CONDITION]));
  return sq_where(c->in[IN_WHERE_CONDITION], c->in[IN_WHERE_X], c->in[IN_WHERE_Y], &c->out[0]);
}

static sq_status where_backward(sq_back *b) {
  SQ_OWN sq_tensor *zero = NULL;
  sq_tensor *mask = sq__saved(b, WHERE_SAVED_CONDITION), *value;
  SQ_TRY(sq_tensor_scalar(b->dy[0]->dtype, 0, &zero));
  if (sq__needs(b, IN_WHERE_X)) {
    SQ_TRY(sq_where(mask, b->dy[0], zero, &value));
    SQ_TRY(sq__give(b, IN_WHERE_X, value));
  }
  if (!sq__needs(b, IN_WHERE_Y)) return SQ_OK;
  SQ_TRY(sq_where(mask, zero, b->dy[0], &value));
  return sq__give(b, IN_WHERE_Y, value);
}
static void where_again(sq_again *r) {
  sq_tensor *mask = sq__saved(r->b, WHERE_SAVED_CONDITION), *zero = sq__number(r, 0);
  if (sq__needs(r->b, IN_WHERE_X))
    sq__gives(r, IN_WHERE_X, sq__choose(r, mask, sq__dy(r, 0), zero));
  if (sq__needs(r->b, IN_WHERE_Y))
    sq__gives(r, IN_WHERE_Y, sq__choose(r, mask, zero, sq__dy(r, 0)));
}
const sq_op_impl sq__op_where = {.forward = where_forward,
                                 .backward = where_backward,
                                 .again = where_again,
                                 .promotes = ~(1u << IN_WHERE_CONDITION),
                                 .mixed = true};

/* --- tests: bool, without gradient ---------------------------------------------------------- */

/* name_ of a test: its bool result in x's dtype. */
static sq_status test_into(sq_call *c) {
  SQ_TRY(c->op->impl->forward(c));
  for (int i = 1; i < c->nin; i++) SQ_TRY(sq_check_expands(c->op->name, c->in[i], c->in[IN_X]));
  return sq_tensor_copy(c->in[IN_X], c->out[0]);
}

SQ_ALIKE(IN_LOGICAL_OR_OTHER, IN_LOGICAL_AND_OTHER);
SQ_ALIKE(IN_LOGICAL_XOR_OTHER, IN_LOGICAL_AND_OTHER);

/* Both, or one of them, as bool: the lesser or the greater of 0 and 1. */
static sq_status run_logical(sq_call *c, sq_elem kernel) {
  SQ_OWN sq_tensor *a = NULL, *b = NULL;
  SQ_TRY(sq_map(c->op->name, SQ_ELEM_nonzero_mask, &c->in[IN_X], NULL, &a));
  SQ_TRY(sq_map(c->op->name, SQ_ELEM_nonzero_mask, &c->in[IN_LOGICAL_AND_OTHER], NULL, &b));
  return sq_map(c->op->name, kernel, (sq_tensor *[]){a, b}, NULL, &c->out[0]);
}

static sq_status logical_and_forward(sq_call *c) { return run_logical(c, SQ_ELEM_minimum); }
static sq_status logical_xor_forward(sq_call *c) { return run_logical(c, SQ_ELEM_bit_xor); }
static sq_status logical_or_forward(sq_call *c) { return run_logical(c, SQ_ELEM_maximum); }
const sq_op_impl sq__op_logical_and = {
    .forward = logical_and_forward, .into = test_into, .inplace = true, .mixed = true};
const sq_op_impl sq__op_logical_or = {
    .forward = logical_or_forward, .into = test_into, .inplace = true, .mixed = true};

const sq_op_impl sq__op_logical_xor = {
    .forward = logical_xor_forward, .into = test_into, .inplace = true, .mixed = true};

#define SQ_TEST(op, in_place)                                  \
  const sq_op_impl sq__op_##op = {.forward = sq__elem_forward, \
                                  .into = test_into,           \
                                  .inplace = in_place,         \
                                  .promotes = SQ_ALL_INPUTS,   \
                                  .elem = {SQ_ELEM_##op}}

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

/* --- bits: of whole numbers and bool, without gradient --------------------------------------- */

static sq_status bits_forward(sq_call *c) {
  SQ_TRY(check_defined(c, c->op->impl->elem.kernel));
  return sq__elem_forward(c);
}

static sq_status bits_into(sq_call *c) {
  SQ_TRY(check_defined(c, c->op->impl->elem.kernel));
  return sq__elem_inplace(c);
}

#define SQ_BITS(op, kernel)                                          \
  const sq_op_impl sq__op_bitwise_##op = {.forward = bits_forward,   \
                                          .into = bits_into,         \
                                          .inplace = true,           \
                                          .promotes = SQ_ALL_INPUTS, \
                                          .elem = {kernel}}

SQ_BITS(and, SQ_ELEM_bit_and);
SQ_BITS(or, SQ_ELEM_bit_or);
SQ_BITS(xor, SQ_ELEM_bit_xor);
SQ_BITS(not, SQ_ELEM_bit_not);
SQ_BITS(left_shift, SQ_ELEM_shift_left);
SQ_BITS(right_shift, SQ_ELEM_shift_right);

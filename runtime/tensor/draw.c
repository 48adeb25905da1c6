/* draw.c: random numbers into tensors, in the order in which PyTorch draws them. */
#include "tensor/draw.h"

#include <float.h>
#include <math.h>

#include "tensor/view.h"

/* --- orders --------------------------------------------------------------------------------- */

/* The dims of t by falling stride. */
static void memory_order(const sq_tensor *t, int *order) {
  for (int i = 0; i < t->ndim; i++) {
    int at = i;
    for (; at > 0 && t->stride[order[at - 1]] < t->stride[i]; at--) order[at] = order[at - 1];
    order[at] = i;
  }
}

/* The window on t whose row-major order is that of memory. */
static sq_status in_memory_order(sq_tensor *t, sq_tensor **out) {
  int order[SQ_MAX_DIMS];
  memory_order(t, order);
  return sq_permute(t, order, out);
}

sq_status sq_tensor_laid_like(const sq_tensor *x, sq_tensor **out) {
  int order[SQ_MAX_DIMS], back[SQ_MAX_DIMS];
  int64_t shape[SQ_MAX_DIMS], step = 1;
  bool gaps = false;
  memory_order(x, order);
  for (int i = x->ndim - 1; i >= 0; i--) {
    shape[i] = x->shape[order[i]];
    back[order[i]] = i;
    gaps = gaps || (shape[i] != 1 && x->stride[order[i]] != step);
    step *= shape[i];
  }
  if (gaps || sq_tensor_is_contiguous(x)) return sq_tensor_new_like(x, x->dtype, out);
  SQ_OWN sq_tensor *laid = NULL;
  SQ_TRY(sq_tensor_new(x->dtype, x->ndim, shape, &laid));
  return sq_permute(laid, back, out);
}

/* --- what is refused ------------------------------------------------------------------------ */

static sq_status check_uniform(const char *what, sq_dtype dtype, double a, double b) {
  double most = dtype == SQ_F32 ? (double)FLT_MAX : DBL_MAX;
  if (!(fabs(a) <= most && fabs(b) <= most && b - a <= most))
    return sq_fail(SQ_EARG, "[%s] from is %.14g, to is %.14g: %s does not hold both and to - from",
                   what, a, b, sq_dtype_name(dtype));
  if (a > b)
    return sq_fail(SQ_EARG, "[%s] from is %.14g, to is %.14g: from must not be above to", what, a,
                   b);
  return SQ_OK;
}

static sq_status check_integers(const char *what, sq_dtype dtype, int64_t low, int64_t high) {
  if (low >= high)
    return sq_fail(SQ_EARG, "[%s] low is %lld, high is %lld: low must be below high", what,
                   (long long)low, (long long)high);
  if (!sq_number_fits(dtype, sq_whole(low)) || !sq_number_fits(dtype, sq_whole(high - 1)))
    return sq_fail(SQ_ETYPE, "[%s] %lld to %lld is out of range for %s", what, (long long)low,
                   (long long)(high - 1), sq_dtype_name(dtype));
  return SQ_OK;
}

static sq_status check_law(const char *what, sq_dtype dtype, sq_law law, sq_number a, sq_number b) {
  if (law == SQ_LAW_INTEGERS) return check_integers(what, dtype, a.whole, b.whole);
  if (law == SQ_LAW_BERNOULLI && !(a.real >= 0 && a.real <= 1))
    return sq_fail(SQ_EARG, "[%s] p is %.14g: it must be in 0 to 1", what, a.real);
  if (law == SQ_LAW_BERNOULLI) return SQ_OK;
  if (!sq_is_float(dtype))
    return sq_fail(SQ_ETYPE, "[%s] x is %s: it must be float32 or float64", what,
                   sq_dtype_name(dtype));
  if (law == SQ_LAW_UNIFORM) return check_uniform(what, dtype, a.real, b.real);
  if (!(b.real >= 0))
    return sq_fail(SQ_EARG, "[%s] std is %.14g: it must be at least 0", what, b.real);
  return SQ_OK;
}

/* --- draws ---------------------------------------------------------------------------------- */

/* An end of a range of whole numbers that a float dtype rounds outwards is drawn inwards, as
 * PyTorch does: there are `digits` binary digits. */
static int64_t move_inwards(int64_t rounded, int64_t end, int digits, int sign) {
  int n = 0;
  for (uint64_t size = (uint64_t)(end < 0 ? -end : end); size >>= 1;) n++;
  return rounded + sign * ((int64_t)1 << (n - digits + 1));
}

static int64_t round_to_dtype(sq_dtype dtype, int64_t x) {
  double y = dtype == SQ_F32 ? (double)(float)x : (double)x;
  return y >= 0x1p63 ? INT64_MAX : (int64_t)y;
}

static void draw_integers(sq_dtype to, sq_number a, sq_number b, sq_tensor *drawn, sq_rng *rng) {
  int64_t low = a.whole, high = b.whole;
  int digits = to == SQ_F32 ? 24 : 53;
  if (sq_is_float(to) && round_to_dtype(to, low + 1) < low)
    low = move_inwards(round_to_dtype(to, low + 1), low + 1, digits, 1);
  if (sq_is_float(to) && round_to_dtype(to, high - 1) >= high)
    high = move_inwards(round_to_dtype(to, high - 1), high - 1, digits, -1);
  sq_rng_randint(rng, low, high, drawn->numel, sq_data(drawn));
}

/* Into a contiguous tensor. `serial`: one by one, as PyTorch fills what is not contiguous. */
static void draw_floats(sq_tensor *t, sq_law law, double a, double b, bool serial, sq_rng *rng) {
  if (law == SQ_LAW_UNIFORM) sq_rng_uniform(rng, t->dtype, t->numel, a, b, sq_data(t));
  if (law == SQ_LAW_BERNOULLI) sq_rng_bernoulli(rng, t->dtype, a, t->numel, sq_data(t));
  if (law == SQ_LAW_NORMAL && serial) sq_rng_normal_each(rng, t->dtype, t->numel, a, b, sq_data(t));
  if (law == SQ_LAW_NORMAL && !serial) sq_rng_normal(rng, t->dtype, t->numel, a, b, sq_data(t));
}

/* The laws as ops in place, without the underscore: only these can meet an expanded tensor. */
static const char *const law_names[] = {"uniform", "normal", "bernoulli", "random"};

sq_status sq_tensor_draw(const char *what, sq_tensor *t, sq_law law, sq_number a, sq_number b,
                         sq_rng *rng) {
  SQ_TRY(check_law(what, t->dtype, law, a, b));
  SQ_TRY(sq_check_apart(law_names[law], t));
  if (sq_is_float(t->dtype) && law != SQ_LAW_INTEGERS && sq_tensor_is_contiguous(t)) {
    draw_floats(t, law, a.real, b.real, false, rng);
    sq_tensor_changed(t);
    return SQ_OK;
  }
  SQ_OWN sq_tensor *sorted = NULL, *drawn = NULL;
  sq_dtype dtype = law == SQ_LAW_INTEGERS ? SQ_I64 : sq_is_float(t->dtype) ? t->dtype : SQ_F32;
  SQ_TRY(in_memory_order(t, &sorted));
  SQ_TRY(sq_tensor_new_like(sorted, dtype, &drawn));
  if (law == SQ_LAW_INTEGERS) {
    draw_integers(t->dtype, a, b, drawn, rng);
  } else {
    draw_floats(drawn, law, a.real, b.real, true, rng);
  }
  return sq_tensor_copy(sorted, drawn);
}

/* compare.c: two tensors as a whole, element by element in double (int64 exactly). */
#include "tensor/compare.h"

#include <math.h>

#include "tensor/view.h"

/* As in PyTorch, nearness asks for one dtype where equality does not. */
static sq_status check_one_dtype(const char *what, const sq_tensor *a, const sq_tensor *b) {
  if (a->dtype == b->dtype) return SQ_OK;
  return sq_fail(SQ_ETYPE, "[%s] dtypes differ: a is %s, b is %s: convert one with :to(\"%s\")",
                 what, sq_dtype_name(a->dtype), sq_dtype_name(b->dtype),
                 sq_dtype_name(sq_is_float(b->dtype) ? b->dtype : a->dtype));
}

sq_status sq_equal(sq_tensor *a, sq_tensor *b, bool *same) {
  *same = sq_shape_equal(a->ndim, a->shape, b->ndim, b->shape);
  bool whole = !sq_is_float(a->dtype) && !sq_is_float(b->dtype);
  for (int64_t i = 0; *same && i < a->numel; i++) {
    *same = whole ? sq_tensor_get_int(a, i) == sq_tensor_get_int(b, i)
                  : sq_tensor_get(a, i) == sq_tensor_get(b, i);
  }
  return SQ_OK;
}

static bool is_near(double a, double b, double rtol, double atol, bool equal_nan) {
  if (a == b) return true;
  if (isnan(a) || isnan(b)) return equal_nan && isnan(a) && isnan(b);
  if (isinf(a) || isinf(b)) return false;
  return fabs(a - b) <= atol + rtol * fabs(b);
}

sq_status sq_allclose(sq_tensor *a, sq_tensor *b, double rtol, double atol, bool equal_nan,
                      bool *close) {
  SQ_TRY(check_one_dtype("allclose", a, b));
  int ndim;
  int64_t shape[SQ_MAX_DIMS];
  SQ_TRY(sq_shape_broadcast("allclose", a->ndim, a->shape, b->ndim, b->shape, &ndim, shape));
  SQ_OWN sq_tensor *wide_a = NULL, *wide_b = NULL;
  SQ_TRY(sq_expand(a, ndim, shape, &wide_a));
  SQ_TRY(sq_expand(b, ndim, shape, &wide_b));
  *close = true;
  for (int64_t i = 0; *close && i < wide_a->numel; i++)
    *close = is_near(sq_tensor_get(wide_a, i), sq_tensor_get(wide_b, i), rtol, atol, equal_nan);
  return SQ_OK;
}

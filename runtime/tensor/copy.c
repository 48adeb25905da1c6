/* copy.c: tensors with content: filled, cloned, cast, copied into one another. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels/kern.h"
#include "tensor/map.h"

bool sq_number_fits(sq_dtype dtype, sq_number x) {
  const double v = x.real;
  if (dtype == SQ_F64) return true;
  if (dtype == SQ_F32) return !(fabs(v) > FLT_MAX) || isinf(v);
  if (dtype == SQ_I64 && x.is_whole) return true;
  if (v != floor(v)) return false; /* NaN too */
  return dtype == SQ_I64 ? fabs(v) <= 9223372036854774784.0
                         : v >= 0 && v <= (dtype == SQ_U8 ? 255 : 1);
}

/* Fails unless a number can be an element of that dtype without loss of kind. */
static sq_status check_number(sq_dtype dtype, sq_number x) {
  if (sq_number_fits(dtype, x)) return SQ_OK;
  if (x.real == floor(x.real) && !isinf(x.real))
    return sq_fail(SQ_ETYPE, "%.14g is out of range for %s", x.real, sq_dtype_name(dtype));
  return sq_fail(SQ_ETYPE, "%.14g is no %s: convert the tensor first, with x:float()", x.real,
                 sq_dtype_name(dtype));
}

void sq_number_put(sq_dtype dtype, sq_number x, void *element) {
  if (dtype == SQ_I64 && x.is_whole) {
    memcpy(element, &x.whole, sizeof x.whole);
  } else {
    sq_kern_cast(1, SQ_F64, &x.real, 1, dtype, element, 1);
  }
}

sq_status sq_tensor_number(sq_dtype dtype, sq_number value, sq_tensor **out) {
  SQ_TRY(check_number(dtype, value));
  SQ_TRY(sq_tensor_new(dtype, 0, NULL, out));
  sq_number_put(dtype, value, sq_data(*out));
  return SQ_OK;
}

sq_status sq_tensor_scalar(sq_dtype dtype, double value, sq_tensor **out) {
  return sq_tensor_number(dtype, sq_real(value), out);
}

sq_status sq_tensor_full(sq_dtype dtype, int ndim, const int64_t *shape, double value,
                         sq_tensor **out) {
  SQ_OWN sq_tensor *t = NULL;
  SQ_TRY(sq_tensor_new(dtype, ndim, shape, &t));
  if (value == 0 && !signbit(value)) {
    memset(sq_data(t), 0, (size_t)t->storage->bytes);
  } else {
    SQ_TRY(sq_tensor_fill(t, value));
  }
  *out = sq_tensor_give(&t);
  return SQ_OK;
}

sq_status sq_tensor_clone(sq_tensor *t, sq_tensor **out) {
  SQ_OWN sq_tensor *copy = NULL;
  SQ_TRY(sq_tensor_new_like(t, t->dtype, &copy));
  SQ_TRY(sq_map_into(SQ_ELEM_copy, (sq_tensor *[]){t}, NULL, copy));
  *out = sq_tensor_give(&copy);
  return SQ_OK;
}

sq_status sq_tensor_contiguous(sq_tensor *t, sq_tensor **out) {
  if (!sq_tensor_is_contiguous(t)) return sq_tensor_clone(t, out);
  *out = sq_tensor_keep(t);
  return SQ_OK;
}

sq_status sq_tensor_cast(sq_tensor *t, sq_dtype dtype, sq_tensor **out) {
  if (t->dtype == dtype) {
    *out = sq_tensor_keep(t);
    return SQ_OK;
  }
  SQ_OWN sq_tensor *flat = NULL, *cast = NULL;
  SQ_TRY(sq_tensor_contiguous(t, &flat));
  SQ_TRY(sq_tensor_new_like(t, dtype, &cast));
  sq_kern_cast(t->numel, t->dtype, sq_data(flat), 1, dtype, sq_data(cast), 1);
  *out = sq_tensor_give(&cast);
  return SQ_OK;
}

sq_status sq_tensor_copy(sq_tensor *to, sq_tensor *from) {
  SQ_OWN sq_tensor *cast = NULL, *apart = NULL;
  SQ_TRY(sq_tensor_cast(from, to->dtype, &cast));
  if (cast->storage == to->storage) { /* the two may overlap */
    SQ_TRY(sq_tensor_clone(cast, &apart));
  } else {
    apart = sq_tensor_keep(cast);
  }
  SQ_TRY(sq_map_into(SQ_ELEM_copy, (sq_tensor *[]){apart}, NULL, to));
  sq_tensor_changed(to);
  return SQ_OK;
}

sq_status sq_tensor_fill_number(sq_tensor *t, sq_number value) {
  SQ_OWN sq_tensor *scalar = NULL;
  SQ_TRY(sq_tensor_number(t->dtype, value, &scalar));
  return sq_tensor_copy(t, scalar);
}

sq_status sq_tensor_fill(sq_tensor *t, double value) {
  return sq_tensor_fill_number(t, sq_real(value));
}

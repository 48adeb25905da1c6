/* shape.c: dtypes, checked products, broadcasting. */
#include "base/shape.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct {
  const char *name, *alias;
  size_t size;
} dtypes[SQ_DTYPES] = {
    [SQ_F32] = {"float32", "float", 4}, [SQ_F64] = {"float64", "double", 8},
    [SQ_I64] = {"int64", "long", 8},    [SQ_U8] = {"uint8", "byte", 1},
    [SQ_BOOL] = {"bool", "boolean", 1},
};

size_t sq_dtype_size(sq_dtype dtype) { return dtypes[dtype].size; }
const char *sq_dtype_name(sq_dtype dtype) { return dtypes[dtype].name; }

sq_status sq_dtype_parse(const char *name, sq_dtype *out) {
  for (int i = 0; i < SQ_DTYPES; i++) {
    if (strcmp(name, dtypes[i].name) == 0 || strcmp(name, dtypes[i].alias) == 0) {
      *out = (sq_dtype)i;
      return SQ_OK;
    }
  }
  return sq_fail(
      SQ_EARG, "no dtype is called '%s': there are float32, float64, int64, uint8 and bool", name);
}

sq_status sq_size_mul(int64_t a, int64_t b, int64_t *out) {
  if (a < 0 || b < 0) return sq_fail(SQ_ESHAPE, "a size is negative: %" PRId64, a < 0 ? a : b);
  if (__builtin_mul_overflow(a, b, out)) {
    return sq_fail(SQ_ESHAPE, "%" PRId64 " times %" PRId64 " is more than a 64-bit size can hold",
                   a, b);
  }
  return SQ_OK;
}

sq_status sq_shape_numel(const char *what, int ndim, const int64_t *shape, int64_t *out) {
  if (ndim < 0 || ndim > SQ_MAX_DIMS) {
    return sq_fail(SQ_ESHAPE, "[%s] %d dims: a tensor has at most %d", what, ndim, SQ_MAX_DIMS);
  }
  int64_t product = 1;
  bool empty = false;
  for (int i = 0; i < ndim; i++) {
    if (shape[i] < 0) {
      return sq_fail(SQ_ESHAPE, "[%s] size %" PRId64 " of dim %d is negative", what, shape[i],
                     i + 1);
    }
    if (shape[i] == 0) {
      empty = true; /* (2^40, 2^40, 0) has 0 elements: no overflow */
    } else if (__builtin_mul_overflow(product, shape[i], &product) || product > SQ_MAX_NUMEL) {
      return sq_fail(SQ_ESHAPE, "[%s] shape %s has more than 2^47 elements", what,
                     sq_shape_text(ndim, shape, SQ_SHAPE_BUF));
    }
  }
  *out = empty ? 0 : product;
  return SQ_OK;
}

const char *sq_shape_text(int ndim, const int64_t *shape, char *buf, size_t n) {
  size_t used = (size_t)snprintf(buf, n, "(");
  for (int i = 0; i < ndim && used < n; i++) {
    used += (size_t)snprintf(buf + used, n - used, "%s%" PRId64, i ? "," : "", shape[i]);
  }
  if (used < n) snprintf(buf + used, n - used, ")");
  return buf;
}

sq_status sq_shape_broadcast(const char *what, int adim, const int64_t *a, int bdim,
                             const int64_t *b, int *ndim, int64_t *shape) {
  int out = adim > bdim ? adim : bdim;
  for (int i = 1; i <= out; i++) { /* i counts dims from the right */
    int64_t x = i <= adim ? a[adim - i] : 1;
    int64_t y = i <= bdim ? b[bdim - i] : 1;
    if (x != y && x != 1 && y != 1) {
      return sq_fail(SQ_ESHAPE,
                     "[%s] shapes do not broadcast: a is %s, b is %s: dim -%d is %" PRId64
                     " and %" PRId64 ", they must be equal or one of them 1",
                     what, sq_shape_text(adim, a, SQ_SHAPE_BUF),
                     sq_shape_text(bdim, b, SQ_SHAPE_BUF), i, x, y);
    }
    shape[out - i] = x == 1 ? y : x;
  }
  *ndim = out;
  return SQ_OK;
}

void sq_shape_strides(int ndim, const int64_t *shape, int64_t *stride) {
  int64_t step = 1;
  for (int i = ndim - 1; i >= 0; i--) {
    stride[i] = step;
    if (shape[i] > 0) step *= shape[i];
  }
}

bool sq_shape_equal(int adim, const int64_t *a, int bdim, const int64_t *b) {
  return adim == bdim && (adim == 0 || memcmp(a, b, (size_t)adim * sizeof *a) == 0);
}

sq_status sq_dim_resolve(const char *what, int64_t dim, int ndim, int *out) {
  int dims = ndim == 0 ? 1 : ndim; /* a 0-d tensor takes dim 1 or -1, as in PyTorch */
  if (dim < -dims || dim >= dims) {
    return sq_fail(SQ_ESHAPE,
                   "[%s] dim %" PRId64
                   " is out of range: the tensor has %d dim%s (1 to %d, or -1 to -%d)",
                   what, dim < 0 ? dim : dim + 1, ndim, ndim == 1 ? "" : "s", dims, dims);
  }
  *out = (int)(dim < 0 ? dim + dims : dim);
  return SQ_OK;
}

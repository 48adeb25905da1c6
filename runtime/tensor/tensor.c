/* tensor.c: storage and tensors: their birth, life in references, and death. */
#include "tensor/tensor.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/kern.h"
#include "tensor/map.h"

static void storage_drop(sq_storage *s) {
  if (--s->refs > 0) return;
  sq_free(s->data);
  sq_free(s);
}

static sq_status storage_new(int64_t bytes, sq_storage **out) {
  void *block, *data;
  SQ_TRY(sq_alloc(bytes, &data));
  sq_status st = sq_alloc(sizeof(sq_storage), &block);
  if (st != SQ_OK) {
    sq_free(data);
    return st;
  }
  *out = block;
  **out = (sq_storage){.refs = 1, .bytes = bytes, .data = data};
  return SQ_OK;
}

/* A tensor header on a storage that the header takes. */
static sq_status header_new(sq_dtype dtype, int ndim, const int64_t *shape, sq_storage *take,
                            sq_tensor **out) {
  void *block;
  sq_status st = sq_alloc(sizeof(sq_tensor), &block);
  if (st != SQ_OK) {
    storage_drop(take);
    return st;
  }
  sq_tensor *t = block;
  t->refs = 1;
  t->dtype = dtype;
  t->ndim = ndim;
  t->offset = 0;
  t->numel = 1;
  for (int i = 0; i < ndim; i++) {
    t->shape[i] = shape[i];
    t->numel *= shape[i];
  }
  t->storage = take;
  t->extra = NULL;
  *out = t;
  return SQ_OK;
}

sq_status sq_tensor_new(sq_dtype dtype, int ndim, const int64_t *shape, sq_tensor **out) {
  int64_t numel;
  SQ_TRY(sq_shape_numel("tensor", ndim, shape, &numel));
  sq_storage *s;
  SQ_TRY(storage_new(numel * (int64_t)sq_dtype_size(dtype), &s));
  SQ_TRY(header_new(dtype, ndim, shape, s, out));
  sq_shape_strides(ndim, shape, (*out)->stride);
  return SQ_OK;
}

sq_status sq_tensor_new_like(const sq_tensor *like, sq_dtype dtype, sq_tensor **out) {
  return sq_tensor_new(dtype, like->ndim, like->shape, out);
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

bool sq_number_fits(sq_dtype dtype, double value) {
  if (sq_is_float(dtype)) return true;
  if (value != floor(value)) return false; /* NaN too */
  return dtype == SQ_I64 ? fabs(value) <= 9223372036854774784.0
                         : value >= 0 && value <= (dtype == SQ_U8 ? 255 : 1);
}

/* Fails unless a number can be an element of that dtype without loss of kind. */
static sq_status check_value(sq_dtype dtype, double value) {
  if (sq_number_fits(dtype, value)) return SQ_OK;
  if (value == floor(value) && !isinf(value))
    return sq_fail(SQ_ETYPE, "%.14g is out of range for %s", value, sq_dtype_name(dtype));
  return sq_fail(SQ_ETYPE, "%.14g is no %s: convert the tensor first, with x:float()", value,
                 sq_dtype_name(dtype));
}

/* Writes one element. */
static void put_value(sq_dtype dtype, double value, void *x) {
  sq_kern_cast(1, SQ_F64, &value, 1, dtype, x, 1);
}

sq_status sq_tensor_scalar(sq_dtype dtype, double value, sq_tensor **out) {
  SQ_TRY(check_value(dtype, value));
  SQ_TRY(sq_tensor_new(dtype, 0, NULL, out));
  put_value(dtype, value, sq_data(*out));
  return SQ_OK;
}

sq_tensor *sq_tensor_keep(sq_tensor *t) {
  if (t) t->refs++;
  return t;
}

void sq_tensor_drop(sq_tensor *t) {
  if (!t || --t->refs > 0) return;
  if (t->extra) t->extra->drop(t->extra);
  storage_drop(t->storage);
  sq_free(t);
}

void sq_tensor_drop_at(sq_tensor **t) { sq_tensor_drop(*t); }

sq_status sq_tensor_window(sq_tensor *t, int ndim, const int64_t *shape, const int64_t *stride,
                           int64_t offset, sq_tensor **out) {
  t->storage->refs++;
  SQ_TRY(header_new(t->dtype, ndim, shape, t->storage, out));
  for (int i = 0; i < ndim; i++) (*out)->stride[i] = stride[i];
  (*out)->offset = offset;
  return SQ_OK;
}

sq_status sq_tensor_alias(sq_tensor *t, sq_tensor **out) {
  return sq_tensor_window(t, t->ndim, t->shape, t->stride, t->offset, out);
}

bool sq_tensor_is_contiguous(const sq_tensor *t) {
  int64_t step = 1;
  for (int i = t->ndim - 1; i >= 0; i--) {
    if (t->shape[i] != 1 && t->stride[i] != step) return t->numel == 0;
    step *= t->shape[i];
  }
  return true;
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

sq_status sq_tensor_fill(sq_tensor *t, double value) {
  SQ_OWN sq_tensor *scalar = NULL;
  SQ_TRY(sq_tensor_scalar(t->dtype, value, &scalar));
  return sq_tensor_copy(t, scalar);
}

/* The address of element number `at`. */
static const void *element(const sq_tensor *t, int64_t at) {
  int64_t offset = t->offset;
  for (int i = t->ndim - 1; i >= 0; i--) {
    offset += at % t->shape[i] * t->stride[i];
    at /= t->shape[i];
  }
  return (const char *)t->storage->data + (size_t)offset * sq_dtype_size(t->dtype);
}

double sq_tensor_get(const sq_tensor *t, int64_t at) {
  double value;
  sq_kern_cast(1, t->dtype, element(t, at), 1, SQ_F64, &value, 1);
  return value;
}

int64_t sq_tensor_get_int(const sq_tensor *t, int64_t at) {
  int64_t value;
  sq_kern_cast(1, t->dtype, element(t, at), 1, SQ_I64, &value, 1);
  return value;
}

sq_status sq_tensor_item(const sq_tensor *t, double *out) {
  if (t->numel != 1) {
    return sq_fail(SQ_ESHAPE, "[item] x is %s: only a tensor with one element is a number",
                   sq_tensor_shape_text(t, SQ_SHAPE_BUF));
  }
  *out = sq_tensor_get(t, 0);
  return SQ_OK;
}

/* tensor.c: storage and tensors: their birth, life in references, and death. */
#include "tensor/tensor.h"

#include "base/mem.h"
#include "kernels/kern.h"

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
  SQ_TRY(sq_kern_check());
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

void sq_tensor_become(sq_tensor *t, sq_tensor *from) {
  SQ_ASSERT(from->refs == 1 && from->storage->refs == 1);
  sq_tensor was = *t;
  *t = *from;
  t->refs = was.refs;
  t->extra = was.extra;
  t->storage->version = was.storage->version + 1;
  from->storage = was.storage;
  sq_tensor_drop(from);
}

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

int sq_tensor_shared_dim(const sq_tensor *t) {
  for (int i = 0; i < t->ndim; i++)
    if (t->stride[i] == 0 && t->shape[i] > 1 && t->numel > 0) return i;
  return -1;
}

sq_status sq_check_apart(const char *op, const sq_tensor *t) {
  int dim = sq_tensor_shared_dim(t);
  if (dim < 0) return SQ_OK;
  return sq_fail(SQ_ESTATE,
                 "[%s_] x is %s and expanded: elements along dim %d share memory; change a clone",
                 op, sq_tensor_shape_text(t, SQ_SHAPE_BUF), dim + 1);
}

sq_status sq_check_expands(const char *what, const sq_tensor *t, const sq_tensor *to) {
  int ndim;
  int64_t shape[SQ_MAX_DIMS];
  SQ_TRY(sq_shape_broadcast(what, t->ndim, t->shape, to->ndim, to->shape, &ndim, shape));
  if (!sq_shape_equal(ndim, shape, to->ndim, to->shape)) {
    return sq_fail(SQ_ESHAPE, "[%s] %s does not broadcast to %s", what,
                   sq_tensor_shape_text(t, SQ_SHAPE_BUF), sq_tensor_shape_text(to, SQ_SHAPE_BUF));
  }
  return SQ_OK;
}

/* The address of element number `at`. */
static const void *element_address(const sq_tensor *t, int64_t at) {
  int64_t offset = t->offset;
  for (int i = t->ndim - 1; i >= 0; i--) {
    offset += at % t->shape[i] * t->stride[i];
    at /= t->shape[i];
  }
  return (const char *)t->storage->data + (size_t)offset * sq_dtype_size(t->dtype);
}

double sq_tensor_get(const sq_tensor *t, int64_t at) {
  double value;
  sq_kern_cast(1, t->dtype, element_address(t, at), 1, SQ_F64, &value, 1);
  return value;
}

int64_t sq_tensor_get_int(const sq_tensor *t, int64_t at) {
  int64_t value;
  sq_kern_cast(1, t->dtype, element_address(t, at), 1, SQ_I64, &value, 1);
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

/* tensor.h: storage and strided tensors. Knows no gradients: what autograd hangs on a tensor is
 * opaque here. */
#ifndef SQ_TENSOR_TENSOR_H
#define SQ_TENSOR_TENSOR_H

#include "base/shape.h"

/* A block of elements, shared by all views of it. */
typedef struct sq_storage {
  int32_t refs;
  uint32_t version; /* counts in-place changes: autograd compares it with the version it saved */
  int64_t bytes;
  void *data;
} sq_storage;

/* What a floor above hangs on a tensor; `drop` frees it. */
typedef struct sq_extra {
  void (*drop)(struct sq_extra *self);
} sq_extra;

/* Fields are read freely and written only inside tensor/. Strides are in elements, 0 where a dim is
 * expanded. */
typedef struct sq_tensor {
  int32_t refs;
  sq_dtype dtype;
  int32_t ndim;
  int64_t numel, offset;
  int64_t shape[SQ_MAX_DIMS], stride[SQ_MAX_DIMS];
  sq_storage *storage;
  sq_extra *extra; /* owned; NULL for a tensor that autograd has not seen */
} sq_tensor;

/* The first element. Writers of content call sq_tensor_changed afterwards. */
static inline void *sq_data(const sq_tensor *t) {
  return (char *)t->storage->data + (size_t)t->offset * sq_dtype_size(t->dtype);
}

/* A tensor that is dropped at the end of the block: `SQ_OWN sq_tensor *t = NULL;` */
#define SQ_OWN __attribute__((cleanup(sq_tensor_drop_at)))

/* A contiguous tensor, content undefined. [new | fails: shape, nomem | Lua thread] */
SQ_CHECKED sq_status sq_tensor_new(sq_dtype dtype, int ndim, const int64_t *shape, sq_tensor **out);

/* The same, of the shape of another. [new | fails: nomem | Lua thread] */
SQ_CHECKED sq_status sq_tensor_new_like(const sq_tensor *like, sq_dtype dtype, sq_tensor **out);

/* All elements `value`, converted to the dtype. [new | fails: shape, nomem | Lua thread] */
SQ_CHECKED sq_status sq_tensor_full(sq_dtype dtype, int ndim, const int64_t *shape, double value,
                                    sq_tensor **out);

/* True when an element of that dtype can be the number: for int64, uint8 and bool whole ones in
 * range; for float32 what does not become infinite; any for float64. [any thread] */
bool sq_number_fits(sq_dtype dtype, sq_number value);

/* Writes the number, which fits, as one element. [any thread] */
void sq_number_put(sq_dtype dtype, sq_number value, void *element);

/* A 0-d tensor of a number that fits. [new | fails: type, nomem | Lua thread] */
SQ_CHECKED sq_status sq_tensor_number(sq_dtype dtype, sq_number value, sq_tensor **out);

/* The same. [new | fails: type, nomem | Lua thread] */
SQ_CHECKED sq_status sq_tensor_scalar(sq_dtype dtype, double value, sq_tensor **out);

/* Another reference to t. NULL stays NULL. [keep | Lua thread] */
sq_tensor *sq_tensor_keep(sq_tensor *t);

/* Gives up a reference; the last frees tensor, storage and extra. NULL is allowed. [take | Lua
 * thread] */
void sq_tensor_drop(sq_tensor *t);
void sq_tensor_drop_at(sq_tensor **t); /* for SQ_OWN */

/* Hands over what an SQ_OWN variable holds: returns it and leaves NULL. */
static inline sq_tensor *sq_tensor_give(sq_tensor **t) {
  sq_tensor *given = *t;
  *t = NULL;
  return given;
}

/* Another window on the same storage, with the given geometry; nothing of autograd comes along. The
 * caller has checked that it lies inside. [new | fails: nomem | Lua thread] */
SQ_CHECKED sq_status sq_tensor_window(sq_tensor *t, int ndim, const int64_t *shape,
                                      const int64_t *stride, int64_t offset, sq_tensor **out);

/* The same geometry without autograd. [new | fails: nomem | Lua thread] */
SQ_CHECKED sq_status sq_tensor_alias(sq_tensor *t, sq_tensor **out);

/* True when elements lie in row-major order without gaps. */
bool sq_tensor_is_contiguous(const sq_tensor *t);

/* The dim (from 0) along which elements share memory, as in what expand gives; -1 without one. */
int sq_tensor_shared_dim(const sq_tensor *t);

/* Fails where elements of t share memory: a write to one would be a write to others. `op` names the
 * op in place, without the underscore. [fails: state | any thread] */
SQ_CHECKED sq_status sq_check_apart(const char *op, const sq_tensor *t);

/* t itself if it is contiguous, else a contiguous copy. [new | fails: nomem | Lua thread] */
SQ_CHECKED sq_status sq_tensor_contiguous(sq_tensor *t, sq_tensor **out);

/* A contiguous copy. [new | fails: nomem | Lua thread] */
SQ_CHECKED sq_status sq_tensor_clone(sq_tensor *t, sq_tensor **out);

/* A copy of another dtype; t itself if it has that dtype already.
 * [new | fails: nomem | Lua thread] */
SQ_CHECKED sq_status sq_tensor_cast(sq_tensor *t, sq_dtype dtype, sq_tensor **out);

/* to = from, broadcast to `to`'s shape and converted to its dtype; the two may overlap. Counts as
 * an in-place change. [fails: shape, nomem | Lua thread] */
SQ_CHECKED sq_status sq_tensor_copy(sq_tensor *to, sq_tensor *from);

/* Every element = a number that fits. Counts as an in-place change.
 * [fails: type, nomem | Lua thread] */
SQ_CHECKED sq_status sq_tensor_fill_number(sq_tensor *t, sq_number value);
SQ_CHECKED sq_status sq_tensor_fill(sq_tensor *t, double value);

/* Element number `at` (in row-major order of t's shape) as a double; int64 beyond 2^53 is rounded.
 * `at` is in range. [any thread] */
double sq_tensor_get(const sq_tensor *t, int64_t at);
int64_t sq_tensor_get_int(const sq_tensor *t,
                          int64_t at); /* exact for integers; floats are truncated */

/* Fails unless t broadcasts to the shape of `to`. [fails: shape | any thread] */
SQ_CHECKED sq_status sq_check_expands(const char *what, const sq_tensor *t, const sq_tensor *to);

/* The value of a tensor with one element. [fails: shape | any thread] */
SQ_CHECKED sq_status sq_tensor_item(const sq_tensor *t, double *out);

/* t becomes what `from` is: its dtype, shape and elements; t's old storage is given up, and stays
 * with those who share it. `from` is a tensor that nobody else holds, on a storage of its own.
 * Counts as an in-place change of t: the new storage's version is one above the old one's.
 * [take from | Lua thread] */
void sq_tensor_become(sq_tensor *t, sq_tensor *from);

/* Says that content was written in place. */
static inline void sq_tensor_changed(sq_tensor *t) { t->storage->version++; }

/* "(32,64)". Returns buf. */
static inline const char *sq_tensor_shape_text(const sq_tensor *t, char *buf, size_t n) {
  return sq_shape_text(t->ndim, t->shape, buf, n);
}

/* What print shows: values in aligned columns, summarised above 1,000 elements (3 at each edge, 4
 * digits), then dtype and shape. [new, free with sq_free | fails: nomem | Lua thread] */
SQ_CHECKED sq_status sq_tensor_format(sq_tensor *t, char **out);

#endif

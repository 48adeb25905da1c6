/* op_common.c: dims, positions and dtypes as the arguments of many ops give them. */
#include <inttypes.h>

#include "autograd/op_priv.h"
#include "tensor/view.h"

sq_status sq__dims_mask(const sq_call *c, int arg, int ndim, unsigned *mask) {
  const sq_arg *a = &c->arg[arg];
  *mask = 0;
  for (int i = 0; a->kind != SQ_ARG_NIL && i < a->ints.n; i++) {
    int dim;
    SQ_TRY(sq_dim_resolve(c->op->name, a->ints.v[i], ndim, &dim));
    unsigned bit = sq__dim_bit(ndim, dim);
    if (*mask & bit) return sq_fail(SQ_ESHAPE, "[%s] dim %d appears twice", c->op->name, dim + 1);
    *mask |= bit;
  }
  return SQ_OK;
}

sq_status sq__position(const sq_call *c, int64_t at, int dim, int64_t size, int64_t *out) {
  if (at < -size || at >= size) {
    return sq_fail(SQ_ESHAPE,
                   "[%s] position %" PRId64 " is out of range: dim %d has size %" PRId64
                   " (1 to %" PRId64 ", or -1 to -%" PRId64 ")",
                   c->op->name, at < 0 ? at : at + 1, dim + 1, size, size, size);
  }
  *out = at < 0 ? at + size : at;
  return SQ_OK;
}

sq_status sq__unreduce(const sq_back *b, int i, sq_tensor *t, unsigned mask, sq_tensor **out) {
  int ndim = sq__in_ndim(b, i);
  int64_t shape[SQ_MAX_DIMS];
  for (int k = 0; k < ndim; k++) shape[k] = mask == 0 || mask >> k & 1 ? 1 : sq__in_shape(b, i)[k];
  return sq_reshape(t, ndim, shape, out);
}

sq_status sq__zeros(const sq_back *b, int i, sq_tensor **out) {
  return sq_tensor_full(sq__in_dtype(b, i), sq__in_ndim(b, i), sq__in_shape(b, i), 0, out);
}

sq_status sq__contiguous_or_null(sq_tensor *t, sq_tensor **out) {
  return t ? sq_tensor_contiguous(t, out) : SQ_OK;
}

void *sq__data_or_null(const sq_tensor *t) { return t ? sq_data(t) : NULL; }

sq_status sq__to_float(sq_tensor *x, sq_tensor **out) {
  return sq_tensor_cast(x, sq_is_float(x->dtype) ? x->dtype : SQ_F32, out);
}

sq_status sq__never_called(sq_call *c) {
  return sq_fail(SQ_EARG, "[%s] is not called from scripts", c->op->name);
}

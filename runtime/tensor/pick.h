/* pick.h: what index tensors and masks pick together, as one row of places. Records nothing. */
#ifndef SQ_TENSOR_PICK_H
#define SQ_TENSOR_PICK_H

#include "tensor/tensor.h"

/* The places, and what stands for the picked dims in a result. */
typedef struct sq_pick {
  int dims;     /* how many dims are picked from */
  int64_t size; /* the elements of those dims: a place is one of their row-major numbers */
  int ndim;
  int64_t shape[SQ_MAX_DIMS];
} sq_pick;

/* How many dims a tensor in a key picks from: a mask as many as it has, at least 1; indices 1. */
int sq_pick_dims(const sq_tensor *by);

/* Tensor by[i] picks from t's dims dim[i] on: int64 indices, from 0 or negative from the end, or a
 * bool mask of those dims' sizes, which stands for a row of indices. They are broadcast together.
 * places: (n) int64, n the elements of pick->shape. [new | fails: type, shape, arg, nomem | Lua
 * thread] */
SQ_CHECKED sq_status sq_read_pick(const char *what, const sq_tensor *t, int n, sq_tensor *const *by,
                                  const int *dim, sq_pick *pick, sq_tensor **places);

#endif

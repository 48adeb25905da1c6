/* reduce.h: reductions over any set of dims, in an order fixed by the shape alone. Records nothing.
 */
#ifndef SQ_TENSOR_REDUCE_H
#define SQ_TENSOR_REDUCE_H

#include "tensor/tensor.h"

/* A tensor seen as (outer, R, inner), contiguous, with the reduced dims in the middle. */
typedef struct sq_fold {
  sq_tensor *x; /* new: drop it */
  int64_t outer, R, inner;
  int ndim; /* of the result */
  int64_t shape[SQ_MAX_DIMS];
} sq_fold;

/* Brings the dims in `mask` (bit i: dim i) together; a mask of 0 means all. keepdim keeps them as 1
 * in the result's shape. [new | fails: nomem | Lua thread] */
SQ_CHECKED sq_status sq_fold_dims(sq_tensor *t, unsigned mask, bool keepdim, sq_fold *out);

/* Sum over the dims in mask; int64 for bool and integer input. [new | fails: nomem, intr | Lua
 * thread] */
SQ_CHECKED sq_status sq_sum(sq_tensor *t, unsigned mask, bool keepdim, sq_tensor **out);

/* The gradient of a broadcast: t summed to a shape that broadcasts to t's. t itself when the shapes
 * agree. [new | fails: nomem, intr | Lua thread] */
SQ_CHECKED sq_status sq_sum_to(sq_tensor *t, int ndim, const int64_t *shape, sq_tensor **out);

/* The sum of squares of all elements, in double. Floats only. [fails: nomem, intr | Lua thread] */
SQ_CHECKED sq_status sq_sumsq(sq_tensor *t, double *out);

#endif

/* reduce.h: reductions over any set of dims, in an order fixed by the shape alone. Records
 * nothing. */
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

typedef enum sq_reduction {
  SQ_REDUCE_MAX, /* NaN wins; the first of equals is where */
  SQ_REDUCE_MIN,
  SQ_REDUCE_PROD,
  SQ_REDUCE_LOGSUMEXP /* floats only */
} sq_reduction;

/* A reduction over the dims in mask. `where`, if not NULL, gets the places of max or min, int64,
 * counted in the reduced dims. `what` names the op. [new | fails: shape, max or min of nothing;
 * type; nomem, intr | Lua thread] */
SQ_CHECKED sq_status sq_reduce(const char *what, sq_reduction kind, sq_tensor *t, unsigned mask,
                               bool keepdim, sq_tensor **out, sq_tensor **where);

/* Mean and variance over the dims in mask: var = sum (x - mean)^2 / max(0, N - correction). Floats
 * only. [new | fails: type, nomem, intr | Lua thread] */
SQ_CHECKED sq_status sq_variance(const char *what, sq_tensor *t, unsigned mask, bool keepdim,
                                 double correction, sq_tensor **mean, sq_tensor **var);

typedef enum sq_along {
  SQ_ALONG_SOFTMAX,          /* x: e^x / sum e^x */
  SQ_ALONG_SOFTMAX_BACK,     /* dy, y: y (dy - sum dy y) */
  SQ_ALONG_LOG_SOFTMAX,      /* x: x - log sum e^x */
  SQ_ALONG_LOG_SOFTMAX_BACK, /* dy, y: dy - e^y sum dy */
  SQ_ALONG_CUMSUM,           /* x: running sums */
  SQ_ALONG_CUMSUM_BACK,      /* dy: running sums from the end */
  SQ_ALONG_OTHERS            /* x: the product of all others */
} sq_along;

/* y, of in[0]'s shape, from in[0] and, for softmax's gradients, in[1], along one dim. [new | fails:
 * nomem, intr | Lua thread] */
SQ_CHECKED sq_status sq_along_dim(sq_along kind, sq_tensor *const *in, int dim, sq_tensor **out);

/* The gradient of a broadcast: t summed to a shape that broadcasts to t's. t itself when the shapes
 * agree. [new | fails: nomem, intr | Lua thread] */
SQ_CHECKED sq_status sq_sum_to(sq_tensor *t, int ndim, const int64_t *shape, sq_tensor **out);

/* The sum of squares of all elements, in double. Floats only. [fails: nomem, intr | Lua thread] */
SQ_CHECKED sq_status sq_sumsq(sq_tensor *t, double *out);

#endif

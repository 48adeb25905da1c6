/* map.h: elementwise kernels over tensors: broadcasting, strides, threads. Records nothing. */
#ifndef SQ_TENSOR_MAP_H
#define SQ_TENSOR_MAP_H

#include "kernels/kern.h"
#include "tensor/tensor.h"

/* out = kernel(in...; p), inputs of one dtype, broadcast against each other; bool for a test
 * kernel. `what` names the op in errors. [new | fails: shape, type, nomem, intr | Lua thread] */
SQ_CHECKED sq_status sq_map(const char *what, sq_elem kernel, sq_tensor *const *in, const double *p,
                            sq_tensor **out);

/* The same into a tensor that is there, to whose shape the inputs broadcast; it may be one of the
 * inputs (the same tensor or the same geometry), and must not overlap them otherwise. Does not
 * count as an in-place change: the caller decides. [fails: shape, type, intr | Lua thread] */
SQ_CHECKED sq_status sq_map_into(sq_elem kernel, sq_tensor *const *in, const double *p,
                                 sq_tensor *out);

/* y = a where c, else b; c bool, a and b of one dtype, all broadcast. [new | fails: shape, type,
 * nomem | Lua thread] */
SQ_CHECKED sq_status sq_where(sq_tensor *c, sq_tensor *a, sq_tensor *b, sq_tensor **out);

#endif

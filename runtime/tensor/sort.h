/* sort.h: order along a dim. Records nothing. */
#ifndef SQ_TENSOR_SORT_H
#define SQ_TENSOR_SORT_H

#include "tensor/tensor.h"

/* The first k of x sorted along dim (resolved), 0 <= k <= its size; stable, NaN as the greatest;
 * `where` holds the places in x, int64 from 0. [new | fails: nomem, intr | Lua thread] */
SQ_CHECKED sq_status sq_sort(sq_tensor *x, int dim, int64_t k, bool descending, sq_tensor **values,
                             sq_tensor **where);

#endif

/* loader.h: batches: rows of a tensor brought together, bytes turned into numbers on the way. */
#ifndef SQ_DATASETS_LOADER_H
#define SQ_DATASETS_LOADER_H

#include "tensor/tensor.h"

/* Which rows of dim 0: at[0..n), or first, first + 1, ... where at is NULL. */
typedef struct sq_rows {
  int64_t n, first;
  const int64_t *at;
} sq_rows;

/* y (n,...) with y[i] = x[at[i]], of x's dtype; x contiguous. [new | fails: arg, a row that x
 * lacks; shape, x is 0-d; nomem, intr | Lua thread] */
SQ_CHECKED sq_status sq_batch(sq_tensor *x, sq_rows rows, sq_tensor **out);

/* The same for uint8 rows, as float32: lo + (hi - lo) (byte / 255). [fails: type as well] */
SQ_CHECKED sq_status sq_batch_scaled(sq_tensor *x, sq_rows rows, double lo, double hi,
                                     sq_tensor **out);

#endif

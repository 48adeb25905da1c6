/* gather.h: elements by index: rows picked, gathered and scattered, orders reversed, triangles,
 * positions of what is not 0. Records nothing. Dims are resolved (0..ndim-1), indices are checked
 * data from 0. */
#ifndef SQ_TENSOR_GATHER_H
#define SQ_TENSOR_GATHER_H

#include "tensor/tensor.h"

/* `index` as contiguous int64, every value checked to be in 0..size-1 (what names the op and the
 * error gives the place and the value). [new | fails: type (int64 or uint8 only), arg, nomem | Lua
 * thread] */
SQ_CHECKED sq_status sq_read_index(const char *what, sq_tensor *index, int64_t size,
                                   sq_tensor **out);

/* y = x with dim `dim` made of its positions at[0..n): y[..,i,..] = x[..,at[i],..]; at in range.
 * [new | fails: shape, nomem | Lua thread] */
SQ_CHECKED sq_status sq_index_select(sq_tensor *x, int dim, int64_t n, const int64_t *at,
                                     sq_tensor **out);

/* y[..,at[i],..] = or += x[..,i,..], in order of i; y contiguous, x of y's dtype and of its
 * shape with n in dim `dim`. Does not count as an in-place change.
 * [fails: nomem, type (bool can't add) | Lua thread] */
SQ_CHECKED sq_status sq_index_put(sq_tensor *y, int dim, int64_t n, const int64_t *at, sq_tensor *x,
                                  bool add);

/* y[i][j][k] = x[index[i][j][k]][j][k] for dim 0, and so on: y of index's shape, index contiguous,
 * in range, its other dims at most x's. [new | fails: shape, nomem | Lua thread] */
SQ_CHECKED sq_status sq_gather(const char *what, sq_tensor *x, int dim, sq_tensor *index,
                               sq_tensor **out);

/* y[index[i][j][k]][j][k] = or += src[i][j][k] for dim 0, and so on, in row-major order of index; y
 * contiguous, src of y's dtype, 0-d or at least index's size in every dim. Does not count as an
 * in-place change. [fails: shape, type (bool can't add), nomem | Lua thread] */
SQ_CHECKED sq_status sq_scatter(const char *what, sq_tensor *y, int dim, sq_tensor *index,
                                sq_tensor *src, bool add);

/* The dims in mask back to front. [new | fails: nomem | Lua thread] */
SQ_CHECKED sq_status sq_flip(sq_tensor *t, unsigned mask, sq_tensor **out);

/* Dim `dim` turned round by `shift` positions: y[i] = x[(i - shift) mod size].
 * [new | fails: nomem | Lua thread] */
SQ_CHECKED sq_status sq_roll(sq_tensor *t, int dim, int64_t shift, sq_tensor **out);

/* Of the last two dims, what lies on and above (upper) or below the diagonal, 0 elsewhere;
 * `diagonal` counts to the right of the main one. [new | fails: nomem | Lua thread] */
SQ_CHECKED sq_status sq_triangle(sq_tensor *t, bool upper, int64_t diagonal, sq_tensor **out);

/* Row-major numbers of the elements that are not 0: int64 (n). [new | fails: nomem | Lua thread] */
SQ_CHECKED sq_status sq_nonzero(sq_tensor *t, sq_tensor **out);

#endif

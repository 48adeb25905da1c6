/* view.h: other windows on the same storage, and the two ways of reading an index. Records
 * nothing. */
#ifndef SQ_TENSOR_VIEW_H
#define SQ_TENSOR_VIEW_H

#include "tensor/tensor.h"

/* All positions and dims of this header count from 0; dims are resolved (0..ndim-1). */

/* The view of that shape (one size may be -1) if the strides allow it. [new | fails: shape | Lua
 * thread] */
SQ_CHECKED sq_status sq_view(sq_tensor *t, int ndim, const int64_t *shape, sq_tensor **out);

/* The same, copying where the strides do not allow a view.
 * [new | fails: shape, nomem | Lua thread] */
SQ_CHECKED sq_status sq_reshape(sq_tensor *t, int ndim, const int64_t *shape, sq_tensor **out);

/* Fills in the -1 of a shape for numel elements. `what` names the op.
 * [fails: shape | any thread] */
SQ_CHECKED sq_status sq_infer_shape(const char *what, const sq_tensor *t, int ndim,
                                    const int64_t *shape, int64_t *full);

/* Dims a and b exchanged; dims in a given order. [new | fails: nomem; permute: shape, unless order
 * is a permutation] */
SQ_CHECKED sq_status sq_transpose(sq_tensor *t, int a, int b, sq_tensor **out);
SQ_CHECKED sq_status sq_permute(sq_tensor *t, const int *order, sq_tensor **out);

/* Without dim `dim` at position `at` of it; `at` in range. [new | fails: nomem | Lua thread] */
SQ_CHECKED sq_status sq_select(sq_tensor *t, int dim, int64_t at, sq_tensor **out);

/* `length` positions of a dim from `start` on, in steps of `step` >= 1; in range. [new | fails:
 * nomem | Lua thread] */
SQ_CHECKED sq_status sq_narrow(sq_tensor *t, int dim, int64_t start, int64_t length, int64_t step,
                               sq_tensor **out);

/* A dim of size 1 put before position dim (0..ndim). [new | fails: shape (8 dims), nomem | Lua
 * thread] */
SQ_CHECKED sq_status sq_unsqueeze(sq_tensor *t, int dim, sq_tensor **out);

/* Dims whose bit is set in `mask` and whose size is 1 are dropped. [new | fails: nomem | Lua
 * thread] */
SQ_CHECKED sq_status sq_squeeze(sq_tensor *t, unsigned mask, sq_tensor **out);

/* Broadcast to a larger shape, stride 0 in the new places; -1 keeps a size. [new | fails: shape,
 * nomem | Lua thread] */
SQ_CHECKED sq_status sq_expand(sq_tensor *t, int ndim, const int64_t *shape, sq_tensor **out);

/* The same made contiguous: t itself where nothing has to be done. [new | fails: shape, nomem | Lua
 * thread] */
SQ_CHECKED sq_status sq_expand_contiguous(sq_tensor *t, int ndim, const int64_t *shape,
                                          sq_tensor **out);

#endif

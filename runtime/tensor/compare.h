/* compare.h: two tensors as a whole. */
#ifndef SQ_TENSOR_COMPARE_H
#define SQ_TENSOR_COMPARE_H

#include "tensor/tensor.h"

/* *same = the shapes agree and every element of a equals b's; NaN equals nothing. Dtypes may
 * differ. [fails: type, nomem | Lua thread] */
SQ_CHECKED sq_status sq_equal(sq_tensor *a, sq_tensor *b, bool *same);

/* *close = |a - b| <= atol + rtol |b| for every element, broadcast; infinities of one sign are
 * close, NaN is close to NaN when `equal_nan`. One dtype.
 * [fails: shape, type, nomem | Lua thread] */
SQ_CHECKED sq_status sq_allclose(sq_tensor *a, sq_tensor *b, double rtol, double atol,
                                 bool equal_nan, bool *close);

#endif

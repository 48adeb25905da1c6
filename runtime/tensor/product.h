/* product.h: matrix products of tensors, over batches. Records nothing. */
#ifndef SQ_TENSOR_PRODUCT_H
#define SQ_TENSOR_PRODUCT_H

#include "tensor/tensor.h"

/* a b as torch.matmul: a (...,M,K), b (...,K,N) -> (...,M,N), the dims in front broadcast; a 1-d
 * operand is a row (left) or a column (right) whose dim is dropped from the result; (K) (K) -> ().
 * Transposed operands are read in place. `what` names the op in errors. [new | fails: shape, type
 * (floats of one dtype only), nomem, io, intr | Lua thread] */
SQ_CHECKED sq_status sq_matmul(const char *what, sq_tensor *a, sq_tensor *b, sq_tensor **out);

/* The same with the last two dims of a (ta) or b (tb) exchanged first; both at least 2-d. [as
 * sq_matmul] */
SQ_CHECKED sq_status sq_matmul_t(const char *what, sq_tensor *a, bool ta, sq_tensor *b, bool tb,
                                 sq_tensor **out);

#endif

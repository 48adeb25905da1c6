/* draw.h: random numbers into tensors, in the order in which PyTorch draws them. */
#ifndef SQ_TENSOR_DRAW_H
#define SQ_TENSOR_DRAW_H

#include "base/rng.h"
#include "tensor/tensor.h"

typedef enum sq_law { SQ_LAW_UNIFORM, SQ_LAW_NORMAL, SQ_LAW_BERNOULLI, SQ_LAW_INTEGERS } sq_law;

/* Draws every element of t: uniform in a to b, normal with mean a and deviation b, 1 with
 * probability a, or whole numbers a to b - 1. Elements are drawn in the order in which they lie in
 * memory. Counts as an in-place change. `what` names the caller.
 * [fails: arg; type, what t's dtype does not hold; state on an expanded t; nomem | Lua thread] */
SQ_CHECKED sq_status sq_tensor_draw(const char *what, sq_tensor *t, sq_law law, sq_number a,
                                    sq_number b, sq_rng *rng);

/* A tensor of x's shape and dtype, content undefined, whose elements lie in memory in the order of
 * x's where x has no gaps, else row-major: torch.empty_like. [new | fails: nomem | Lua thread] */
SQ_CHECKED sq_status sq_tensor_laid_like(const sq_tensor *x, sq_tensor **out);

#endif

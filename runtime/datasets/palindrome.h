/* palindrome.h: random digit palindromes, of which a network sees all but the last digit. */
#ifndef SQ_DATASETS_PALINDROME_H
#define SQ_DATASETS_PALINDROME_H

#include "base/rng.h"
#include "tensor/tensor.h"

/* n palindromes of length T >= 2: x holds digits 1..T-1 of each, one-hot (n,T-1,10) or as numbers
 * (n,T-1,1), float32; y (n) int64 is digit T, which is digit 1. Draws ceil(T/2) digits for each
 * from g. [new | fails: arg, shape, nomem | Lua thread] */
SQ_CHECKED sq_status sq_palindrome_batch(sq_rng *g, int64_t T, int64_t n, bool one_hot,
                                         sq_tensor **x, sq_tensor **y);

#endif

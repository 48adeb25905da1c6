/* einsum.h: sums of products by Einstein's notation. Records nothing. */
#ifndef SQ_TENSOR_EINSUM_H
#define SQ_TENSOR_EINSUM_H

#include "tensor/tensor.h"

enum { SQ_EINSUM_MAX = 6 }; /* operands */

/* A label for each dim: letters, or 1..8 for the dims of "...", counted from the right. */
typedef struct sq_term {
  int n;
  char label[SQ_MAX_DIMS];
} sq_term;

/* Reads "ij,jk->ik" for n operands into term[0..n) and the result's *out; without "->" the result
 * has the labels that appear once, in alphabetical order, behind "...". [fails: arg, shape | any
 * thread] */
SQ_CHECKED sq_status sq_einsum_parse(const char *equation, int n, sq_tensor *const *in,
                                     sq_term *term, sq_term *out);

/* y[out labels] = sum over the other labels of the product of the operands; a dim of size 1
 * broadcasts. n operands of one float type. y is a tensor of its own. [new | fails: shape, type,
 * nomem, intr | Lua thread] */
SQ_CHECKED sq_status sq_einsum(int n, const sq_term *term, sq_tensor *const *in, const sq_term *out,
                               sq_tensor **y);

/* The window on t with each label once: repeated ones walk the diagonal. `once` gets its labels.
 * [new | fails: shape, nomem | Lua thread] */
SQ_CHECKED sq_status sq_einsum_diagonal(sq_tensor *t, const sq_term *term, sq_term *once,
                                        sq_tensor **out);

/* The place of a label in a term, -1 if it is not there. */
int sq_term_find(const sq_term *term, char label);

#endif

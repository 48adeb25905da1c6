/* conv.h: convolutions as products, and pooling. Records nothing. */
#ifndef SQ_TENSOR_CONV_H
#define SQ_TENSOR_CONV_H

#include "kernels/kern.h"
#include "tensor/tensor.h"

/* What a convolution of x (B,C,Y,X) with w (O,C/groups,KY,KX) to y (B,O,OY,OX) is: sizes of one
 * image, with C the channels of all groups. */
typedef struct sq_conv {
  sq_window w;
  int64_t B, O, groups;
} sq_conv;

/* Sizes for x, a weight (O,C/groups,KY,KX) and pairs (down, across);
 * OY = (Y + 2 PY - DY (KY-1) - 1) / SY + 1. `what` names the op.
 * [fails: shape, arg | any thread] */
SQ_CHECKED sq_status sq_conv_shape(const char *what, const sq_tensor *x, const sq_tensor *weight,
                                   const int64_t *stride, const int64_t *padding,
                                   const int64_t *dilation, int64_t groups, sq_conv *out);

/* y = x * w (cross-correlation), y (B,O,OY,OX). All tensors below are contiguous or copied so.
 * [new | fails: nomem, io, intr | Lua thread] */
SQ_CHECKED sq_status sq_conv_forward(const sq_conv *g, sq_tensor *x, sq_tensor *w, sq_tensor **y);

/* The gradient of x: what a transposed convolution computes. [new | as above] */
SQ_CHECKED sq_status sq_conv_input(const sq_conv *g, sq_tensor *dy, sq_tensor *w, sq_tensor **dx);

/* The gradient of w; images are cut into slices by their number alone, whose sums are added in
 * order. [new | as above] */
SQ_CHECKED sq_status sq_conv_weight(const sq_conv *g, sq_tensor *x, sq_tensor *dy, sq_tensor **dw);

#endif

/* pool.c: MaxPool2d and AvgPool2d. */
#include <inttypes.h>
#include <stdio.h>

#include "autograd/op_args.h"
#include "layers/layer.h"

typedef struct pool {
  sq_layer base;
  int64_t kernel[2], stride[2], padding[2], dilation[2];
  bool ceil_mode, pads;
} pool;

static sq_status want_pair(const sq_layer *l, const char *what, const int64_t *pair,
                           int64_t least) {
  SQ_TRY(sq_layer_want_size(l->class->name, what, pair[0], least));
  return sq_layer_want_size(l->class->name, what, pair[1], least);
}

/* Of both; without stride windows lie side by side. Only MaxPool2d has a dilation, only AvgPool2d
 * counts padding. */
static sq_status init(sq_layer *l, const sq_args *a) {
  pool *p = (pool *)l;
  const sq_arg *kernel = sq_args_get(a, "kernel_size"), *stride = sq_args_get(a, "stride");
  const sq_arg *dilation = sq_args_get(a, "dilation");
  sq_layer_read_pair(kernel, p->kernel);
  sq_layer_read_pair(stride->kind == SQ_ARG_PAIR ? stride : kernel, p->stride);
  sq_layer_read_pair(sq_args_get(a, "padding"), p->padding);
  sq_layer_read_pair(dilation->kind == SQ_ARG_PAIR ? dilation : &SQ_I(1), p->dilation);
  p->ceil_mode = sq_args_get(a, "ceil_mode")->flag;
  p->pads = sq_args_get(a, "count_include_pad")->flag;
  SQ_TRY(want_pair(l, "kernel_size", p->kernel, 1));
  SQ_TRY(want_pair(l, "stride", p->stride, 1));
  SQ_TRY(want_pair(l, "padding", p->padding, 0));
  return want_pair(l, "dilation", p->dilation, 1);
}

/* Of the call. */
enum { X };

static sq_status forward_max(sq_layer *l, const sq_arg *arg, sq_tensor **out) {
  const pool *p = (const pool *)l;
  return SQ_APPLY(
      max_pool2d,
      out, [MAX_POOL2D_X] = arg[X], [MAX_POOL2D_KERNEL_SIZE] = sq_layer_pair(2, p->kernel),
      [MAX_POOL2D_STRIDE] = sq_layer_pair(2, p->stride),
      [MAX_POOL2D_PADDING] = sq_layer_pair(2, p->padding),
      [MAX_POOL2D_DILATION] = sq_layer_pair(2, p->dilation),
      [MAX_POOL2D_CEIL_MODE] = SQ_B(p->ceil_mode));
}

static sq_status forward_avg(sq_layer *l, const sq_arg *arg, sq_tensor **out) {
  const pool *p = (const pool *)l;
  return SQ_APPLY(
      avg_pool2d,
      out, [AVG_POOL2D_X] = arg[X], [AVG_POOL2D_KERNEL_SIZE] = sq_layer_pair(2, p->kernel),
      [AVG_POOL2D_STRIDE] = sq_layer_pair(2, p->stride),
      [AVG_POOL2D_PADDING] = sq_layer_pair(2, p->padding),
      [AVG_POOL2D_CEIL_MODE] = SQ_B(p->ceil_mode), [AVG_POOL2D_COUNT_INCLUDE_PAD] = SQ_B(p->pads));
}

static void describe(const sq_layer *l, char *buf, size_t n) {
  const pool *p = (const pool *)l;
  const int64_t *k = p->kernel, *s = p->stride, *pad = p->padding;
  snprintf(buf, n,
           "kernel_size={%" PRId64 ",%" PRId64 "}, stride={%" PRId64 ",%" PRId64
           "}, "
           "padding={%" PRId64 ",%" PRId64 "}%s",
           k[0], k[1], s[0], s[1], pad[0], pad[1], p->ceil_mode ? ", ceil_mode" : "");
}

const sq_layer_class sq__layer_max_pool2d = {
    .name = "MaxPool2d",
    .signature =
        "(kernel_size: pair, stride: pair? = nil, padding: pair = 0, dilation: pair = 1, "
        "ceil_mode: bool = false) -> MaxPool2d",
    .call = "(x: Tensor) -> Tensor",
    .doc = "The greatest of each window of x (B,C,Y,X); stride is kernel_size by default.",
    .size = sizeof(pool),
    .init = init,
    .forward = forward_max,
    .describe = describe,
};

const sq_layer_class sq__layer_avg_pool2d = {
    .name = "AvgPool2d",
    .signature =
        "(kernel_size: pair, stride: pair? = nil, padding: pair = 0, "
        "ceil_mode: bool = false, count_include_pad: bool = true) -> AvgPool2d",
    .call = "(x: Tensor) -> Tensor",
    .doc = "The mean of each window of x (B,C,Y,X); stride is kernel_size by default.",
    .size = sizeof(pool),
    .init = init,
    .forward = forward_avg,
    .describe = describe,
};

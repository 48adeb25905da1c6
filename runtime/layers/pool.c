/* pool.c: MaxPool2d and AvgPool2d. */
#include <inttypes.h>
#include <stdio.h>

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

static void read_pair(const sq_arg *a, int64_t *pair) {
  pair[0] = a->ints.v[0];
  pair[1] = a->ints.v[1];
}

/* (kernel_size, stride, padding, ...); without stride windows lie side by side. */
static sq_status init(sq_layer *l, const sq_arg *arg) {
  pool *p = (pool *)l;
  read_pair(&arg[0], p->kernel);
  read_pair(arg[1].kind == SQ_ARG_PAIR ? &arg[1] : &arg[0], p->stride);
  read_pair(&arg[2], p->padding);
  SQ_TRY(want_pair(l, "kernel_size", p->kernel, 1));
  SQ_TRY(want_pair(l, "stride", p->stride, 1));
  return want_pair(l, "padding", p->padding, 0);
}

static sq_status init_max(sq_layer *l, const sq_arg *arg) {
  pool *p = (pool *)l;
  SQ_TRY(init(l, arg));
  read_pair(&arg[3], p->dilation);
  p->ceil_mode = arg[4].flag;
  return want_pair(l, "dilation", p->dilation, 1);
}

static sq_status init_avg(sq_layer *l, const sq_arg *arg) {
  pool *p = (pool *)l;
  SQ_TRY(init(l, arg));
  p->ceil_mode = arg[3].flag;
  p->pads = arg[4].flag;
  return SQ_OK;
}

static sq_arg pair_arg(const int64_t *pair) {
  return (sq_arg){.kind = SQ_ARG_PAIR, .ints = {2, pair}};
}

static sq_status forward_max(sq_layer *l, const sq_arg *arg, sq_tensor **out) {
  const pool *p = (const pool *)l;
  sq_arg args[] = {arg[0],
                   pair_arg(p->kernel),
                   pair_arg(p->stride),
                   pair_arg(p->padding),
                   pair_arg(p->dilation),
                   SQ_B(p->ceil_mode)};
  return sq_apply(SQ_OP_max_pool2d, 6, args, out);
}

static sq_status forward_avg(sq_layer *l, const sq_arg *arg, sq_tensor **out) {
  const pool *p = (const pool *)l;
  sq_arg args[] = {arg[0],
                   pair_arg(p->kernel),
                   pair_arg(p->stride),
                   pair_arg(p->padding),
                   SQ_B(p->ceil_mode),
                   SQ_B(p->pads)};
  return sq_apply(SQ_OP_avg_pool2d, 6, args, out);
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
    .init = init_max,
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
    .init = init_avg,
    .forward = forward_avg,
    .describe = describe,
};

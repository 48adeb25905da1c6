/* conv.c: Conv1d, Conv2d and ConvTranspose2d. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "autograd/op_args.h"
#include "layers/layer.h"

typedef struct conv {
  sq_layer base;
  int dims;              /* of the image: 1 or 2 */
  bool transposed, same; /* same: padding keeps the image's sizes */
  int64_t in, out, groups;
  int64_t kernel[2], stride[2], padding[2], dilation[2], more[2]; /* more: output_padding */
  int64_t fan_in;
} conv;

static sq_status check_conv_options(const conv *c) {
  const char *name = c->base.class->name;
  SQ_TRY(sq_layer_want_size(name, "in_channels", c->in, 1));
  SQ_TRY(sq_layer_want_size(name, "out_channels", c->out, 1));
  SQ_TRY(sq_layer_want_size(name, "groups", c->groups, 1));
  for (int i = 0; i < 2; i++) {
    SQ_TRY(sq_layer_want_size(name, "kernel_size", c->kernel[i], 1));
    SQ_TRY(sq_layer_want_size(name, "stride", c->stride[i], 1));
    SQ_TRY(sq_layer_want_size(name, "padding", c->padding[i], 0));
    SQ_TRY(sq_layer_want_size(name, "dilation", c->dilation[i], 1));
    SQ_TRY(sq_layer_want_size(name, "output_padding", c->more[i], 0));
  }
  if (c->same && (c->stride[0] != 1 || c->stride[1] != 1))
    return sq_fail(SQ_EARG, "[nn.%s] padding \"same\" needs a stride of 1", name);
  if (c->in % c->groups == 0 && c->out % c->groups == 0) return SQ_OK;
  return sq_fail(SQ_EARG,
                 "[nn.%s] in_channels %" PRId64 " and out_channels %" PRId64
                 " must both divide into groups %" PRId64,
                 name, c->in, c->out, c->groups);
}

/* weight (O,C/groups,KY,KX), transposed (C,O/groups,KY,KX); bias (O). fan_in: as PyTorch counts it,
 * dim 2 times the field. */
static sq_status add_conv_parameters(conv *c, bool bias, sq_dtype dtype) {
  int64_t first = c->transposed ? c->in : c->out, second = c->transposed ? c->out : c->in;
  int64_t shape[] = {first, second / c->groups, c->kernel[0], c->kernel[1]};
  sq_tensor *t;
  SQ_TRY(sq_tensor_new(dtype, 2 + c->dims, shape, &t));
  c->fan_in = t->numel / first;
  SQ_TRY(sq_layer_add(&c->base, t, false, "weight"));
  if (!bias) return SQ_OK;
  SQ_TRY(sq_tensor_new(dtype, 1, &c->out, &t));
  return sq_layer_add(&c->base, t, false, "bias");
}

/* weight ~ kaiming_uniform(a = sqrt 5), bias ~ U(-1/sqrt fan_in, 1/sqrt fan_in), as
 * nn._ConvNd.reset_parameters. */
static sq_status reset(sq_layer *l) {
  const conv *c = (const conv *)l;
  sq_init_uniform(l->entry[0].tensor, sq_init_default_bound(c->fan_in));
  if (l->entries > 1) sq_init_uniform(l->entry[1].tensor, 1 / sqrt((double)c->fan_in));
  return SQ_OK;
}

static void describe_pair(const conv *c, const char *name, const int64_t *pair, int64_t usual,
                          char *buf, size_t n) {
  buf[0] = 0;
  bool even = c->dims == 1 || pair[0] == pair[1];
  if (even && pair[0] == usual) return;
  if (even) {
    snprintf(buf, n, ", %s=%" PRId64, name, pair[0]);
  } else {
    snprintf(buf, n, ", %s={%" PRId64 ",%" PRId64 "}", name, pair[0], pair[1]);
  }
}

static void describe(const sq_layer *l, char *buf, size_t n) {
  const conv *c = (const conv *)l;
  char kernel[64], stride[64], padding[64], dilation[64], more[64], groups[48] = "";
  describe_pair(c, "kernel_size", c->kernel, 0, kernel, sizeof kernel);
  describe_pair(c, "stride", c->stride, 1, stride, sizeof stride);
  describe_pair(c, "padding", c->padding, 0, padding, sizeof padding);
  if (c->same) snprintf(padding, sizeof padding, ", padding=same");
  describe_pair(c, "dilation", c->dilation, 1, dilation, sizeof dilation);
  describe_pair(c, "output_padding", c->more, 0, more, sizeof more);
  if (c->groups > 1) snprintf(groups, sizeof groups, ", groups=%" PRId64, c->groups);
  snprintf(buf, n, "%" PRId64 " -> %" PRId64 "%s%s%s%s%s%s%s", c->in, c->out, kernel, stride,
           padding, more, dilation, groups, l->entries > 1 ? "" : ", bias=false");
}

/* --- Conv1d and Conv2d ---------------------------------------------------------------------- */

/* Of all three: only the transposed one has an output_padding, and "same" is no padding of it. */
static sq_status init_any(sq_layer *l, const sq_args *a) {
  conv *c = (conv *)l;
  const sq_arg *padding = sq_args_get(a, "padding");
  c->in = sq_args_get(a, "in_channels")->integer;
  c->out = sq_args_get(a, "out_channels")->integer;
  c->groups = sq_args_get(a, "groups")->integer;
  c->same = padding->kind == SQ_ARG_STRING;
  if (!c->same) sq_layer_read_pair(padding, c->padding);
  if (c->transposed) sq_layer_read_pair(sq_args_get(a, "output_padding"), c->more);
  sq_layer_read_pair(sq_args_get(a, "kernel_size"), c->kernel);
  sq_layer_read_pair(sq_args_get(a, "stride"), c->stride);
  sq_layer_read_pair(sq_args_get(a, "dilation"), c->dilation);
  SQ_TRY(check_conv_options(c));
  return add_conv_parameters(c, sq_args_get(a, "bias")->flag, sq_args_get(a, "dtype")->dtype);
}

static sq_status init_conv(sq_layer *l, const sq_args *a, int dims) {
  ((conv *)l)->dims = dims;
  return init_any(l, a);
}

static sq_status init_conv1d(sq_layer *l, const sq_args *a) { return init_conv(l, a, 1); }
static sq_status init_conv2d(sq_layer *l, const sq_args *a) { return init_conv(l, a, 2); }

/* Of the calls. */
enum { X };

static sq_status forward(sq_layer *l, const sq_arg *arg, sq_tensor **out) {
  const conv *c = (const conv *)l;
  sq_arg args[] = {[CONV2D_X] = arg[X],
                   [CONV2D_WEIGHT] = SQ_T(l->entry[0].tensor),
                   [CONV2D_BIAS] = SQ_T(l->entries > 1 ? l->entry[1].tensor : NULL),
                   [CONV2D_STRIDE] = sq_layer_pair(c->dims, c->stride),
                   [CONV2D_PADDING] = c->same ? SQ_S("same") : sq_layer_pair(c->dims, c->padding),
                   [CONV2D_DILATION] = sq_layer_pair(c->dims, c->dilation),
                   [CONV2D_GROUPS] = SQ_I(c->groups)};
  return sq_apply(c->dims == 1 ? SQ_OP_conv1d : SQ_OP_conv2d, sizeof args / sizeof *args, args,
                  out);
}

#define CONV(id, class_name, ints, takes, text)                                               \
  const sq_layer_class sq__layer_##id = {                                                     \
      .name = class_name,                                                                     \
      .signature =                                                                            \
          "(in_channels: int, out_channels: int, kernel_size: " ints ", stride: " ints        \
          " = 1, padding: " ints "|\"same\"|\"valid\" = 0, dilation: " ints                   \
          " = 1, groups: int = 1, bias: bool = true, dtype: dtype = float32) -> " class_name, \
      .call = takes,                                                                          \
      .doc = text,                                                                            \
      .size = sizeof(conv),                                                                   \
      .optional = "bias",                                                                     \
      .init = init_##id,                                                                      \
      .forward = forward,                                                                     \
      .describe = describe,                                                                   \
      .reset = reset,                                                                         \
  }

CONV(conv1d, "Conv1d", "lone", "(x: Tensor) -> Tensor",
     "Cross-correlation: x (B,C,X) -> (B,O,X'); weight (O,C/groups,K), bias (O).");
CONV(conv2d, "Conv2d", "pair", "(x: Tensor) -> Tensor",
     "Cross-correlation: x (B,C,Y,X) -> (B,O,Y',X'); weight (O,C/groups,KY,KX), bias (O).");

/* --- ConvTranspose2d ------------------------------------------------------------------------ */

static sq_status init_transposed(sq_layer *l, const sq_args *a) {
  ((conv *)l)->transposed = true;
  return init_conv(l, a, 2);
}

static sq_status forward_transposed(sq_layer *l, const sq_arg *arg, sq_tensor **out) {
  const conv *c = (const conv *)l;
  sq_tensor *bias = l->entries > 1 ? l->entry[1].tensor : NULL;
  return SQ_APPLY(
      conv_transpose2d,
      out, [CONV_TRANSPOSE2D_X] = arg[X], [CONV_TRANSPOSE2D_WEIGHT] = SQ_T(l->entry[0].tensor),
      [CONV_TRANSPOSE2D_BIAS] = SQ_T(bias), [CONV_TRANSPOSE2D_STRIDE] = sq_layer_pair(2, c->stride),
      [CONV_TRANSPOSE2D_PADDING] = sq_layer_pair(2, c->padding),
      [CONV_TRANSPOSE2D_OUTPUT_PADDING] = sq_layer_pair(2, c->more),
      [CONV_TRANSPOSE2D_GROUPS] = SQ_I(c->groups),
      [CONV_TRANSPOSE2D_DILATION] = sq_layer_pair(2, c->dilation));
}

const sq_layer_class sq__layer_conv_transpose2d = {
    .name = "ConvTranspose2d",
    .signature =
        "(in_channels: int, out_channels: int, kernel_size: pair, stride: pair = 1, "
        "padding: pair = 0, output_padding: pair = 0, groups: int = 1, bias: bool = true, "
        "dilation: pair = 1, dtype: dtype = float32) -> ConvTranspose2d",
    .call = "(x: Tensor) -> Tensor",
    .doc =
        "The transposed convolution: x (B,C,Y,X) -> (B,O,Y',X'), Y' = (Y-1) stride - 2 padding + "
        "dilation (KY-1) + output_padding + 1; weight (C,O/groups,KY,KX), bias (O).",
    .size = sizeof(conv),
    .optional = "bias",
    .init = init_transposed,
    .forward = forward_transposed,
    .describe = describe,
    .reset = reset,
};

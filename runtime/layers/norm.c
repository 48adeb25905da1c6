/* norm.c: BatchNorm1d, BatchNorm2d, LayerNorm, GroupNorm, RMSNorm. */
#include <inttypes.h>
#include <stdio.h>

#include "autograd/op_args.h"
#include "base/text.h"
#include "layers/layer.h"

/* Of the calls. */
enum { X };

/* --- batch norm ----------------------------------------------------------------------------- */

typedef struct batch_norm {
  sq_layer base;
  int64_t C;
  double eps, momentum;
  bool affine, track, cumulative;
} batch_norm;

/* weight, bias (C), then running_mean, running_var (C) and num_batches_tracked (). */
static sq_status init_batch(sq_layer *l, const sq_args *a) {
  batch_norm *self = (batch_norm *)l;
  self->C = sq_args_get(a, "num_features")->integer;
  self->eps = sq_args_get(a, "eps")->number;
  self->momentum = sq_args_get(a, "momentum")->number;
  self->affine = sq_args_get(a, "affine")->flag;
  self->track = sq_args_get(a, "track_running_stats")->flag;
  self->cumulative = sq_args_get(a, "cumulative")->flag;
  sq_dtype dtype = sq_args_get(a, "dtype")->dtype;
  SQ_TRY(sq_layer_want_size(l->class->name, "num_features", self->C, 0));
  static const char *const names[] = {"weight", "bias", "running_mean", "running_var"};
  for (int i = 0; i < 4; i++) {
    if (i < 2 ? !self->affine : !self->track) continue;
    sq_tensor *t;
    SQ_TRY(sq_tensor_new(dtype, 1, &self->C, &t));
    SQ_TRY(sq_layer_add(l, t, i >= 2, "%s", names[i]));
  }
  if (!self->track) return SQ_OK;
  sq_tensor *count;
  SQ_TRY(sq_tensor_scalar(SQ_I64, 0, &count));
  return sq_layer_add(l, count, true, "num_batches_tracked");
}

static sq_status fill_entry(const sq_layer *l, const char *name, double value) {
  sq_tensor *t = sq_layer_get(l, name);
  return t ? sq_tensor_fill(t, value) : SQ_OK;
}

/* weight and variance 1, the others 0. */
static sq_status reset_batch(sq_layer *l) {
  SQ_TRY(fill_entry(l, "weight", 1));
  SQ_TRY(fill_entry(l, "bias", 0));
  SQ_TRY(fill_entry(l, "running_mean", 0));
  SQ_TRY(fill_entry(l, "running_var", 1));
  return fill_entry(l, "num_batches_tracked", 0);
}

/* What is counted for running averages goes up only when the op went well. */
static sq_status forward_batch(sq_layer *l, const sq_arg *arg, sq_tensor **out) {
  const batch_norm *self = (const batch_norm *)l;
  sq_tensor *count = sq_layer_get(l, "num_batches_tracked");
  double seen = count ? sq_tensor_get(count, 0) + 1 : 1;
  double momentum = self->cumulative ? 1 / seen : self->momentum;
  bool training = l->training || !self->track;
  SQ_TRY(SQ_APPLY(
      batch_norm, out, [BATCH_NORM_X] = arg[X],
      [BATCH_NORM_RUNNING_MEAN] = SQ_T(sq_layer_get(l, "running_mean")),
      [BATCH_NORM_RUNNING_VAR] = SQ_T(sq_layer_get(l, "running_var")),
      [BATCH_NORM_WEIGHT] = SQ_T(sq_layer_get(l, "weight")),
      [BATCH_NORM_BIAS] = SQ_T(sq_layer_get(l, "bias")), [BATCH_NORM_TRAINING] = SQ_B(training),
      [BATCH_NORM_MOMENTUM] = SQ_N(momentum), [BATCH_NORM_EPS] = SQ_N(self->eps)));
  return count && l->training ? sq_tensor_fill(count, seen) : SQ_OK;
}

static sq_status want_dims(const sq_layer *l, const sq_tensor *x, bool fits, const char *shape) {
  int64_t C = ((const batch_norm *)l)->C;
  if (fits && x->shape[1] == C) return SQ_OK;
  return sq_fail(SQ_ESHAPE, "[nn.%s] x is %s: it must be %s with %" PRId64 " channels",
                 l->class->name, sq_tensor_shape_text(x, SQ_SHAPE_BUF), shape, C);
}

static sq_status forward_batch1d(sq_layer *l, const sq_arg *arg, sq_tensor **out) {
  int n = arg[X].tensor->ndim;
  SQ_TRY(
      want_dims(l, arg[X].tensor, n == 2 || n == 3, "(batch,channels) or (batch,channels,time)"));
  return forward_batch(l, arg, out);
}

static sq_status forward_batch2d(sq_layer *l, const sq_arg *arg, sq_tensor **out) {
  SQ_TRY(want_dims(l, arg[X].tensor, arg[X].tensor->ndim == 4, "(batch,channels,height,width)"));
  return forward_batch(l, arg, out);
}

static void describe_batch(const sq_layer *l, char *buf, size_t n) {
  const batch_norm *self = (const batch_norm *)l;
  char momentum[48] = ", cumulative";
  if (!self->cumulative) sq_format(momentum, sizeof momentum, ", momentum=%g", self->momentum);
  snprintf(buf, n, "%" PRId64 "%s%s%s", self->C,
           self->momentum == 0.1 && !self->cumulative ? "" : momentum,
           self->affine ? "" : ", affine=false", self->track ? "" : ", track_running_stats=false");
}

#define BATCH_NORM(id, class_name, takes)                                                     \
  const sq_layer_class sq__layer_##id = {                                                     \
      .name = class_name,                                                                     \
      .signature =                                                                            \
          "(num_features: int, eps: number = 1e-05, momentum: number = 0.1, "                 \
          "affine: bool = true, track_running_stats: bool = true, "                           \
          "cumulative: bool = false, dtype: dtype = float32) -> " class_name,                 \
      .call = "(x: Tensor) -> Tensor",                                                        \
      .doc = "(x - mean) / sqrt(var + eps) weight + bias for each channel of x " takes        \
             "; in training by the batch, which the running averages follow (cumulative: as " \
             "the mean of all batches, PyTorch's momentum=None), else by those.",             \
      .size = sizeof(batch_norm),                                                             \
      .optional = "weight bias running_mean running_var num_batches_tracked",                 \
      .init = init_batch,                                                                     \
      .forward = forward_##id,                                                                \
      .describe = describe_batch,                                                             \
      .reset = reset_batch,                                                                   \
  }

BATCH_NORM(batch1d, "BatchNorm1d", "(B,C) or (B,C,T)");
BATCH_NORM(batch2d, "BatchNorm2d", "(B,C,Y,X)");

/* --- layer norm ----------------------------------------------------------------------------- */

/* Of LayerNorm and RMSNorm. */
typedef struct rows_norm {
  sq_layer base;
  int ndim;
  int64_t shape[SQ_MAX_DIMS];
  sq_arg eps; /* of RMSNorm nil: the dtype's rounding */
} rows_norm;

/* Weight and bias, where there are any. */
static sq_status init_rows(sq_layer *l, const sq_args *a) {
  rows_norm *self = (rows_norm *)l;
  const sq_arg *shape = sq_args_get(a, "normalized_shape");
  self->ndim = shape->ints.n;
  self->eps = *sq_args_get(a, "eps");
  if (self->ndim < 1 || self->ndim > SQ_MAX_DIMS)
    return sq_fail(SQ_ESHAPE, "[nn.%s] normalized_shape must have 1 to %d sizes", l->class->name,
                   SQ_MAX_DIMS);
  for (int i = 0; i < self->ndim; i++) self->shape[i] = shape->ints.v[i];
  if (!sq_args_get(a, "elementwise_affine")->flag) return SQ_OK;
  for (int i = 0; i < 2 && (i == 0 || sq_args_get(a, "bias")->flag); i++) {
    sq_tensor *t;
    SQ_TRY(sq_tensor_new(sq_args_get(a, "dtype")->dtype, self->ndim, self->shape, &t));
    SQ_TRY(sq_layer_add(l, t, false, "%s", i == 0 ? "weight" : "bias"));
  }
  return SQ_OK;
}

/* weight 1, bias 0. */
static sq_status reset_affine(sq_layer *l) {
  SQ_TRY(fill_entry(l, "weight", 1));
  return fill_entry(l, "bias", 0);
}

static sq_status forward_layer(sq_layer *l, const sq_arg *arg, sq_tensor **out) {
  const rows_norm *self = (const rows_norm *)l;
  sq_arg shape = {.kind = SQ_ARG_SHAPE, .ints = {self->ndim, self->shape}};
  return SQ_APPLY(layer_norm, out, [LAYER_NORM_X] = arg[X], [LAYER_NORM_NORMALIZED_SHAPE] = shape,
                  [LAYER_NORM_WEIGHT] = SQ_T(sq_layer_get(l, "weight")),
                  [LAYER_NORM_BIAS] = SQ_T(sq_layer_get(l, "bias")), [LAYER_NORM_EPS] = self->eps);
}

static void describe_rows(const sq_layer *l, char *buf, size_t n) {
  const rows_norm *self = (const rows_norm *)l;
  snprintf(buf, n, "%s%s", sq_shape_text(self->ndim, self->shape, SQ_SHAPE_BUF),
           l->entries > 0 ? "" : ", elementwise_affine=false");
}

const sq_layer_class sq__layer_layer_norm = {
    .name = "LayerNorm",
    .signature =
        "(normalized_shape: ints, eps: number = 1e-05, elementwise_affine: bool = true, "
        "bias: bool = true, dtype: dtype = float32) -> LayerNorm",
    .call = "(x: Tensor) -> Tensor",
    .doc = "(x - mean) / sqrt(var + eps) weight + bias over the last dims of x.",
    .size = sizeof(rows_norm),
    .optional = "weight bias",
    .init = init_rows,
    .forward = forward_layer,
    .describe = describe_rows,
    .reset = reset_affine,
};

/* --- group norm ----------------------------------------------------------------------------- */

typedef struct group_norm {
  sq_layer base;
  int64_t groups, C;
  double eps;
} group_norm;

static sq_status init_group(sq_layer *l, const sq_args *a) {
  group_norm *self = (group_norm *)l;
  self->groups = sq_args_get(a, "num_groups")->integer;
  self->C = sq_args_get(a, "num_channels")->integer;
  self->eps = sq_args_get(a, "eps")->number;
  SQ_TRY(sq_layer_want_size("GroupNorm", "num_groups", self->groups, 1));
  SQ_TRY(sq_layer_want_size("GroupNorm", "num_channels", self->C, 1));
  if (self->C % self->groups != 0) {
    return sq_fail(SQ_EARG,
                   "[nn.GroupNorm] %" PRId64 " channels can't be cut into %" PRId64 " groups",
                   self->C, self->groups);
  }
  for (int i = 0; i < 2 && sq_args_get(a, "affine")->flag; i++) {
    sq_tensor *t;
    SQ_TRY(sq_tensor_new(sq_args_get(a, "dtype")->dtype, 1, &self->C, &t));
    SQ_TRY(sq_layer_add(l, t, false, "%s", i == 0 ? "weight" : "bias"));
  }
  return SQ_OK;
}

static sq_status forward_group(sq_layer *l, const sq_arg *arg, sq_tensor **out) {
  const group_norm *self = (const group_norm *)l;
  const sq_tensor *x = arg[X].tensor;
  if (x->ndim < 2 || x->shape[1] != self->C) {
    return sq_fail(SQ_ESHAPE, "[nn.GroupNorm] x is %s: it must be (batch,%" PRId64 ",...)",
                   sq_tensor_shape_text(x, SQ_SHAPE_BUF), self->C);
  }
  return SQ_APPLY(
      group_norm, out, [GROUP_NORM_X] = arg[X], [GROUP_NORM_NUM_GROUPS] = SQ_I(self->groups),
      [GROUP_NORM_WEIGHT] = SQ_T(sq_layer_get(l, "weight")),
      [GROUP_NORM_BIAS] = SQ_T(sq_layer_get(l, "bias")), [GROUP_NORM_EPS] = SQ_N(self->eps));
}

static void describe_group(const sq_layer *l, char *buf, size_t n) {
  const group_norm *self = (const group_norm *)l;
  snprintf(buf, n, "%" PRId64 " groups of %" PRId64 "%s", self->groups, self->C / self->groups,
           l->entries > 0 ? "" : ", affine=false");
}

const sq_layer_class sq__layer_group_norm = {
    .name = "GroupNorm",
    .signature =
        "(num_groups: int, num_channels: int, eps: number = 1e-05, affine: bool = true, "
        "dtype: dtype = float32) -> GroupNorm",
    .call = "(x: Tensor) -> Tensor",
    .doc = "(x - mean) / sqrt(var + eps) weight + bias over groups of channels of x (B,C,...).",
    .size = sizeof(group_norm),
    .optional = "weight bias",
    .init = init_group,
    .forward = forward_group,
    .describe = describe_group,
    .reset = reset_affine,
};

/* --- RMS norm ------------------------------------------------------------------------------- */

static sq_status forward_rms(sq_layer *l, const sq_arg *arg, sq_tensor **out) {
  const rows_norm *self = (const rows_norm *)l;
  sq_arg shape = {.kind = SQ_ARG_SHAPE, .ints = {self->ndim, self->shape}};
  return SQ_APPLY(rms_norm, out, [RMS_NORM_X] = arg[X], [RMS_NORM_NORMALIZED_SHAPE] = shape,
                  [RMS_NORM_WEIGHT] = SQ_T(sq_layer_get(l, "weight")), [RMS_NORM_EPS] = self->eps);
}

const sq_layer_class sq__layer_rms_norm = {
    .name = "RMSNorm",
    .signature =
        "(normalized_shape: ints, eps: number? = nil, elementwise_affine: bool = true, "
        "dtype: dtype = float32) -> RMSNorm",
    .call = "(x: Tensor) -> Tensor",
    .doc =
        "x / sqrt(mean(x^2) + eps) weight over the last dims of x; eps nil: the dtype's rounding.",
    .size = sizeof(rows_norm),
    .init = init_rows,
    .forward = forward_rms,
    .describe = describe_rows,
    .reset = reset_affine,
};

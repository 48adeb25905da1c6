/* norm.c: BatchNorm1d, BatchNorm2d, LayerNorm, GroupNorm, RMSNorm. */
#include <inttypes.h>
#include <stdio.h>

#include "base/text.h"
#include "layers/layer.h"

/* --- batch norm ----------------------------------------------------------------------------- */

typedef struct batch_norm {
  sq_layer base;
  int64_t C;
  double eps, momentum;
  bool affine, track, cumulative;
} batch_norm;

/* weight, bias (C), then running_mean, running_var (C) and num_batches_tracked (). */
static sq_status init_batch(sq_layer *l, const sq_arg *arg) {
  batch_norm *self = (batch_norm *)l;
  self->C = arg[0].integer;
  self->eps = arg[1].number;
  self->momentum = arg[2].number;
  self->affine = arg[3].flag;
  self->track = arg[4].flag;
  self->cumulative = arg[5].flag;
  sq_dtype dtype = arg[6].dtype;
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

static sq_status fill(const sq_layer *l, const char *name, double value) {
  sq_tensor *t = sq_layer_get(l, name);
  return t ? sq_tensor_fill(t, value) : SQ_OK;
}

/* weight and variance 1, the others 0. */
static sq_status reset_batch(sq_layer *l) {
  SQ_TRY(fill(l, "weight", 1));
  SQ_TRY(fill(l, "bias", 0));
  SQ_TRY(fill(l, "running_mean", 0));
  SQ_TRY(fill(l, "running_var", 1));
  return fill(l, "num_batches_tracked", 0);
}

/* What is counted for running averages goes up only when the op went well. */
static sq_status forward_batch(sq_layer *l, const sq_arg *arg, sq_tensor **out) {
  const batch_norm *self = (const batch_norm *)l;
  sq_tensor *count = sq_layer_get(l, "num_batches_tracked");
  double seen = count ? sq_tensor_get(count, 0) + 1 : 1;
  double momentum = self->cumulative ? 1 / seen : self->momentum;
  bool training = l->training || !self->track;
  sq_arg args[] = {arg[0],
                   SQ_T(sq_layer_get(l, "running_mean")),
                   SQ_T(sq_layer_get(l, "running_var")),
                   SQ_T(sq_layer_get(l, "weight")),
                   SQ_T(sq_layer_get(l, "bias")),
                   SQ_B(training),
                   SQ_N(momentum),
                   SQ_N(self->eps)};
  SQ_TRY(sq_apply(SQ_OP_batch_norm, 8, args, out));
  return count && l->training ? sq_tensor_fill(count, seen) : SQ_OK;
}

static sq_status want_dims(const sq_layer *l, const sq_tensor *x, bool fits, const char *shape) {
  int64_t C = ((const batch_norm *)l)->C;
  if (fits && x->shape[1] == C) return SQ_OK;
  return sq_fail(SQ_ESHAPE, "[nn.%s] x is %s: it must be %s with %" PRId64 " channels",
                 l->class->name, sq_tensor_shape_text(x, SQ_SHAPE_BUF), shape, C);
}

static sq_status forward_batch1d(sq_layer *l, const sq_arg *arg, sq_tensor **out) {
  int n = arg[0].tensor->ndim;
  SQ_TRY(
      want_dims(l, arg[0].tensor, n == 2 || n == 3, "(batch,channels) or (batch,channels,time)"));
  return forward_batch(l, arg, out);
}

static sq_status forward_batch2d(sq_layer *l, const sq_arg *arg, sq_tensor **out) {
  SQ_TRY(want_dims(l, arg[0].tensor, arg[0].tensor->ndim == 4, "(batch,channels,height,width)"));
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

typedef struct layer_norm {
  sq_layer base;
  int ndim;
  int64_t shape[SQ_MAX_DIMS];
  double eps;
} layer_norm;

static sq_status init_layer(sq_layer *l, const sq_arg *arg) {
  layer_norm *self = (layer_norm *)l;
  self->ndim = arg[0].ints.n;
  self->eps = arg[1].number;
  if (self->ndim < 1 || self->ndim > SQ_MAX_DIMS)
    return sq_fail(SQ_ESHAPE, "[nn.LayerNorm] normalized_shape must have 1 to %d sizes",
                   SQ_MAX_DIMS);
  for (int i = 0; i < self->ndim; i++) self->shape[i] = arg[0].ints.v[i];
  for (int i = 0; i < 2 && arg[2].flag && (i == 0 || arg[3].flag); i++) {
    sq_tensor *t;
    SQ_TRY(sq_tensor_new(arg[4].dtype, self->ndim, self->shape, &t));
    SQ_TRY(sq_layer_add(l, t, false, "%s", i == 0 ? "weight" : "bias"));
  }
  return SQ_OK;
}

static sq_status reset_affine(sq_layer *l) {
  SQ_TRY(fill(l, "weight", 1));
  return fill(l, "bias", 0);
}

static sq_status forward_layer(sq_layer *l, const sq_arg *arg, sq_tensor **out) {
  const layer_norm *self = (const layer_norm *)l;
  sq_arg shape = {.kind = SQ_ARG_SHAPE, .ints = {self->ndim, self->shape}};
  sq_arg args[] = {arg[0], shape, SQ_T(sq_layer_get(l, "weight")), SQ_T(sq_layer_get(l, "bias")),
                   SQ_N(self->eps)};
  return sq_apply(SQ_OP_layer_norm, 5, args, out);
}

static void describe_layer(const sq_layer *l, char *buf, size_t n) {
  const layer_norm *self = (const layer_norm *)l;
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
    .size = sizeof(layer_norm),
    .optional = "weight bias",
    .init = init_layer,
    .forward = forward_layer,
    .describe = describe_layer,
    .reset = reset_affine,
};

/* --- group norm ----------------------------------------------------------------------------- */

typedef struct group_norm {
  sq_layer base;
  int64_t groups, C;
  double eps;
} group_norm;

static sq_status init_group(sq_layer *l, const sq_arg *arg) {
  group_norm *self = (group_norm *)l;
  self->groups = arg[0].integer;
  self->C = arg[1].integer;
  self->eps = arg[2].number;
  SQ_TRY(sq_layer_want_size("GroupNorm", "num_groups", self->groups, 1));
  SQ_TRY(sq_layer_want_size("GroupNorm", "num_channels", self->C, 1));
  if (self->C % self->groups != 0) {
    return sq_fail(SQ_EARG,
                   "[nn.GroupNorm] %" PRId64 " channels can't be cut into %" PRId64 " groups",
                   self->C, self->groups);
  }
  for (int i = 0; i < 2 && arg[3].flag; i++) {
    sq_tensor *t;
    SQ_TRY(sq_tensor_new(arg[4].dtype, 1, &self->C, &t));
    SQ_TRY(sq_layer_add(l, t, false, "%s", i == 0 ? "weight" : "bias"));
  }
  return SQ_OK;
}

static sq_status forward_group(sq_layer *l, const sq_arg *arg, sq_tensor **out) {
  const group_norm *self = (const group_norm *)l;
  const sq_tensor *x = arg[0].tensor;
  if (x->ndim < 2 || x->shape[1] != self->C) {
    return sq_fail(SQ_ESHAPE, "[nn.GroupNorm] x is %s: it must be (batch,%" PRId64 ",...)",
                   sq_tensor_shape_text(x, SQ_SHAPE_BUF), self->C);
  }
  sq_arg args[] = {arg[0], SQ_I(self->groups), SQ_T(sq_layer_get(l, "weight")),
                   SQ_T(sq_layer_get(l, "bias")), SQ_N(self->eps)};
  return sq_apply(SQ_OP_group_norm, 5, args, out);
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

typedef struct rms_norm {
  sq_layer base;
  int ndim;
  int64_t shape[SQ_MAX_DIMS];
  sq_arg eps; /* nil: the dtype's rounding */
} rms_norm;

static sq_status init_rms(sq_layer *l, const sq_arg *arg) {
  rms_norm *self = (rms_norm *)l;
  self->ndim = arg[0].ints.n;
  self->eps = arg[1];
  if (self->ndim < 1 || self->ndim > SQ_MAX_DIMS)
    return sq_fail(SQ_ESHAPE, "[nn.RMSNorm] normalized_shape must have 1 to %d sizes", SQ_MAX_DIMS);
  for (int i = 0; i < self->ndim; i++) self->shape[i] = arg[0].ints.v[i];
  if (!arg[2].flag) return SQ_OK;
  sq_tensor *t;
  SQ_TRY(sq_tensor_new(arg[3].dtype, self->ndim, self->shape, &t));
  return sq_layer_add(l, t, false, "weight");
}

static sq_status reset_rms(sq_layer *l) { return fill(l, "weight", 1); }

static sq_status forward_rms(sq_layer *l, const sq_arg *arg, sq_tensor **out) {
  const rms_norm *self = (const rms_norm *)l;
  sq_arg shape = {.kind = SQ_ARG_SHAPE, .ints = {self->ndim, self->shape}};
  sq_arg args[] = {arg[0], shape, SQ_T(sq_layer_get(l, "weight")), self->eps};
  return sq_apply(SQ_OP_rms_norm, 4, args, out);
}

static void describe_rms(const sq_layer *l, char *buf, size_t n) {
  const rms_norm *self = (const rms_norm *)l;
  snprintf(buf, n, "%s%s", sq_shape_text(self->ndim, self->shape, SQ_SHAPE_BUF),
           l->entries > 0 ? "" : ", elementwise_affine=false");
}

const sq_layer_class sq__layer_rms_norm = {
    .name = "RMSNorm",
    .signature =
        "(normalized_shape: ints, eps: number? = nil, elementwise_affine: bool = true, "
        "dtype: dtype = float32) -> RMSNorm",
    .call = "(x: Tensor) -> Tensor",
    .doc =
        "x / sqrt(mean(x^2) + eps) weight over the last dims of x; eps nil: the dtype's rounding.",
    .size = sizeof(rms_norm),
    .init = init_rms,
    .forward = forward_rms,
    .describe = describe_rms,
    .reset = reset_rms,
};

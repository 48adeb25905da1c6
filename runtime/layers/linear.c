/* linear.c: the fully connected layer. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "layers/layer.h"

typedef struct linear {
  sq_layer base;
  int64_t in, out;
} linear;

static sq_status init(sq_layer *l, const sq_args *a) {
  linear *self = (linear *)l;
  self->in = sq_args_get(a, "in_features")->integer;
  self->out = sq_args_get(a, "out_features")->integer;
  sq_dtype dtype = sq_args_get(a, "dtype")->dtype;
  SQ_TRY(sq_layer_want_size("Linear", "in_features", self->in, 0));
  SQ_TRY(sq_layer_want_size("Linear", "out_features", self->out, 0));
  sq_tensor *t;
  SQ_TRY(sq_tensor_new(dtype, 2, (int64_t[]){self->out, self->in}, &t));
  SQ_TRY(sq_layer_add(l, t, false, "weight"));
  if (!sq_args_get(a, "bias")->flag) return SQ_OK;
  SQ_TRY(sq_tensor_new(dtype, 1, &self->out, &t));
  return sq_layer_add(l, t, false, "bias");
}

/* weight ~ kaiming_uniform(a = sqrt 5), bias ~ U(-1/sqrt in, 1/sqrt in), as
 * nn.Linear.reset_parameters. */
static sq_status reset(sq_layer *l) {
  const linear *self = (const linear *)l;
  sq_init_uniform(l->entry[0].tensor, sq_init_default_bound(self->in));
  if (l->entries > 1)
    sq_init_uniform(l->entry[1].tensor, self->in > 0 ? 1 / sqrt((double)self->in) : 0);
  return SQ_OK;
}

/* Of the call. */
enum { X };

static sq_status forward(sq_layer *l, const sq_arg *arg, sq_tensor **out) {
  sq_tensor *bias = l->entries > 1 ? l->entry[1].tensor : NULL;
  return SQ_APPLY(linear, out, arg[X], SQ_T(l->entry[0].tensor), SQ_T(bias));
}

static void describe(const sq_layer *l, char *buf, size_t n) {
  const linear *self = (const linear *)l;
  snprintf(buf, n, "%" PRId64 " -> %" PRId64 "%s", self->in, self->out,
           l->entries > 1 ? "" : ", bias=false");
}

const sq_layer_class sq__layer_linear = {
    .name = "Linear",
    .signature =
        "(in_features: int, out_features: int, bias: bool = true, dtype: dtype = float32) -> "
        "Linear",
    .call = "(x: Tensor) -> Tensor",
    .doc = "y = x weight^T + bias: x (...,I) -> (...,O); weight (O,I), bias (O).",
    .size = sizeof(linear),
    .optional = "bias",
    .init = init,
    .forward = forward,
    .describe = describe,
    .reset = reset,
};

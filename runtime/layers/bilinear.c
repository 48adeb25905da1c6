/* bilinear.c: the bilinear layer. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "layers/layer.h"

typedef struct bilinear {
  sq_layer base;
  int64_t in1, in2, out;
} bilinear;

static sq_status init(sq_layer *l, const sq_args *a) {
  bilinear *b = (bilinear *)l;
  sq_dtype dtype = sq_args_get(a, "dtype")->dtype;
  b->in1 = sq_args_get(a, "in1_features")->integer;
  b->in2 = sq_args_get(a, "in2_features")->integer;
  b->out = sq_args_get(a, "out_features")->integer;
  SQ_TRY(sq_layer_want_size("Bilinear", "in1_features", b->in1, 1));
  SQ_TRY(sq_layer_want_size("Bilinear", "in2_features", b->in2, 1));
  SQ_TRY(sq_layer_want_size("Bilinear", "out_features", b->out, 1));
  sq_tensor *t;
  SQ_TRY(sq_tensor_new(dtype, 3, (int64_t[]){b->out, b->in1, b->in2}, &t));
  SQ_TRY(sq_layer_add(l, t, false, "weight"));
  if (!sq_args_get(a, "bias")->flag) return SQ_OK;
  SQ_TRY(sq_tensor_new(dtype, 1, &b->out, &t));
  return sq_layer_add(l, t, false, "bias");
}

/* All ~ U(-1/sqrt in1, 1/sqrt in1), as nn.Bilinear.reset_parameters. */
static sq_status reset(sq_layer *l) {
  double bound = 1 / sqrt((double)((const bilinear *)l)->in1);
  for (int i = 0; i < l->entries; i++) sq_init_uniform(l->entry[i].tensor, bound);
  return SQ_OK;
}

/* Of the call. */
enum { X1, X2 };

static sq_status forward(sq_layer *l, const sq_arg *arg, sq_tensor **out) {
  sq_arg bias = l->entries > 1 ? SQ_T(l->entry[1].tensor) : (sq_arg){0};
  return SQ_APPLY(bilinear, out, arg[X1], arg[X2], SQ_T(l->entry[0].tensor), bias);
}

static void describe(const sq_layer *l, char *buf, size_t n) {
  const bilinear *b = (const bilinear *)l;
  snprintf(buf, n, "%" PRId64 ", %" PRId64 " -> %" PRId64 "%s", b->in1, b->in2, b->out,
           l->entries > 1 ? "" : ", bias=false");
}

const sq_layer_class sq__layer_bilinear = {
    .name = "Bilinear",
    .signature =
        "(in1_features: int, in2_features: int, out_features: int, bias: bool = true, "
        "dtype: dtype = float32) -> Bilinear",
    .call = "(x1: Tensor, x2: Tensor) -> Tensor",
    .doc = "y_o = x1 weight_o x2 + bias_o: x1 (...,I), x2 (...,J) -> (...,O); weight (O,I,J).",
    .size = sizeof(bilinear),
    .optional = "bias",
    .init = init,
    .forward = forward,
    .describe = describe,
    .reset = reset,
};

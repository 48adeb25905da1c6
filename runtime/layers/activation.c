/* activation.c: layers without parameters: an op and the arguments it was made with. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "layers/layer.h"

enum { MAX_KEPT = 2 };

typedef struct activation {
  sq_layer base;
  int kept;
  sq_arg arg[MAX_KEPT];
  char text[16]; /* what a string argument points to */
} activation;

/* Keeps the constructor's arguments: they follow x in the op's. */
static sq_status init(sq_layer *l, const sq_args *given) {
  activation *a = (activation *)l;
  int n = given->signature->params;
  a->kept = n < MAX_KEPT ? n : MAX_KEPT;
  for (int i = 0; i < a->kept; i++) {
    a->arg[i] = given->arg[i];
    if (a->arg[i].kind != SQ_ARG_STRING) continue;
    snprintf(a->text, sizeof a->text, "%s", a->arg[i].string);
    a->arg[i].string = a->text;
  }
  return SQ_OK;
}

/* Of the call. */
enum { X, CALLED };

static sq_status apply_activation(sq_layer *l, sq_op_id op, const sq_arg *x, sq_tensor **out) {
  const activation *a = (const activation *)l;
  sq_arg args[CALLED + MAX_KEPT] = {[X] = *x};
  memcpy(args + CALLED, a->arg, (size_t)a->kept * sizeof *args);
  return sq_apply(op, CALLED + a->kept, args, out);
}

static void describe(const sq_layer *l, char *buf, size_t n) {
  const activation *a = (const activation *)l;
  size_t used = 0;
  buf[0] = 0;
  for (int i = 0; i < a->kept && used < n; i++) {
    const sq_arg *arg = &a->arg[i];
    const char *comma = i ? ", " : "";
    int wrote = 0;
    if (arg->kind == SQ_ARG_NUMBER)
      wrote = sq_format(buf + used, n - used, "%s%g", comma, arg->number);
    if (arg->kind == SQ_ARG_STRING)
      wrote = snprintf(buf + used, n - used, "%s%s", comma, arg->string);
    if (arg->kind == SQ_ARG_DIM) {
      long long dim = arg->integer < 0 ? arg->integer : arg->integer + 1; /* as scripts count */
      wrote = snprintf(buf + used, n - used, "%sdim=%lld", comma, dim);
    }
    used += (size_t)wrote;
  }
}

#define ACTIVATION(id, op, class_name, args, text)                                 \
  static sq_status forward_##id(sq_layer *l, const sq_arg *arg, sq_tensor **out) { \
    return apply_activation(l, SQ_OP_##op, &arg[X], out);                          \
  }                                                                                \
  const sq_layer_class sq__layer_##id = {                                          \
      .name = class_name,                                                          \
      .signature = "(" args ") -> " class_name,                                    \
      .call = "(x: Tensor) -> Tensor",                                             \
      .doc = text,                                                                 \
      .size = sizeof(activation),                                                  \
      .init = init,                                                                \
      .forward = forward_##id,                                                     \
      .describe = describe,                                                        \
  }

ACTIVATION(tanh, tanh, "Tanh", "", "tanh x, elementwise.");
ACTIVATION(sigmoid, sigmoid, "Sigmoid", "", "1 / (1 + e^-x), elementwise.");
ACTIVATION(relu, relu, "ReLU", "", "max(x, 0), elementwise.");
ACTIVATION(leaky_relu, leaky_relu, "LeakyReLU", "negative_slope: number = 0.01",
           "x, or negative_slope x below 0.");
ACTIVATION(elu, elu, "ELU", "alpha: number = 1", "x, or alpha (e^x - 1) below 0.");
ACTIVATION(gelu, gelu, "GELU", "approximate: \"none\"|\"tanh\" = none", "x Phi(x), elementwise.");
ACTIVATION(silu, silu, "SiLU", "", "x sigmoid(x), elementwise.");
ACTIVATION(softplus, softplus, "Softplus", "beta: number = 1, threshold: number = 20",
           "log(1 + e^(beta x)) / beta.");
ACTIVATION(softmax, softmax, "Softmax", "dim: dim", "e^x / sum e^x along dim.");
ACTIVATION(log_softmax, log_softmax, "LogSoftmax", "dim: dim", "x - log sum e^x along dim.");
ACTIVATION(flatten, flatten, "Flatten", "start_dim: dim = 2, end_dim: dim = -1",
           "Dims start_dim to end_dim as one.");

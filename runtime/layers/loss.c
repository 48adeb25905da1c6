/* loss.c: losses as layers: the op, and the arguments it was made with, which follow input and
 * target. A weight is a buffer. */
#include <stdio.h>
#include <string.h>

#include "layers/layer.h"

enum { MAX_KEPT = 4 };

typedef struct loss {
  sq_layer base;
  int kept;
  sq_arg arg[MAX_KEPT]; /* a tensor's place is among the entries */
  char text[16];        /* the reduction */
} loss;

static sq_status keep_one(loss *l, int i, const sq_param *p, const sq_arg *arg) {
  l->arg[i] = *arg;
  l->kept = i + 1;
  if (arg->kind == SQ_ARG_TENSOR) {
    l->arg[i].tensor = NULL;
    return sq_layer_add(&l->base, sq_tensor_keep(arg->tensor), true, "%s", p->name);
  }
  if (arg->kind == SQ_ARG_STRING) {
    snprintf(l->text, sizeof l->text, "%s", arg->string);
    l->arg[i].string = l->text;
  }
  return SQ_OK;
}

static sq_status init(sq_layer *l, const sq_args *a) {
  for (int i = 0; i < a->signature->params; i++)
    SQ_TRY(keep_one((loss *)l, i, &a->signature->param[i], &a->arg[i]));
  return SQ_OK;
}

/* Of the call. */
enum { INPUT, TARGET, CALLED };

/* Buffers fill the tensors' places in order. */
static sq_status apply_loss(sq_layer *base, sq_op_id op, const sq_arg *arg, sq_tensor **out) {
  const loss *l = (const loss *)base;
  sq_arg args[CALLED + MAX_KEPT] = {arg[INPUT], arg[TARGET]};
  int buffer = 0;
  for (int i = 0; i < l->kept; i++) {
    args[CALLED + i] = l->arg[i];
    if (l->arg[i].kind == SQ_ARG_TENSOR) args[CALLED + i].tensor = base->entry[buffer++].tensor;
  }
  return sq_apply(op, CALLED + l->kept, args, out);
}

static void describe(const sq_layer *base, char *buf, size_t n) {
  const loss *l = (const loss *)base;
  snprintf(buf, n, "%s", strcmp(l->text, "mean") == 0 ? "" : l->text);
}

#define REDUCTION "reduction: \"mean\"|\"none\"|\"sum\" = mean"

#define LOSS(id, op, class_name, args, text_)                                      \
  static sq_status forward_##id(sq_layer *l, const sq_arg *arg, sq_tensor **out) { \
    return apply_loss(l, SQ_OP_##op, arg, out);                                    \
  }                                                                                \
  const sq_layer_class sq__layer_##id = {                                          \
      .name = class_name,                                                          \
      .signature = "(" args ") -> " class_name,                                    \
      .call = "(input: Tensor, target: Tensor) -> Tensor",                         \
      .doc = text_,                                                                \
      .size = sizeof(loss),                                                        \
      .optional = "weight pos_weight",                                             \
      .init = init,                                                                \
      .forward = forward_##id,                                                     \
      .describe = describe,                                                        \
  }

LOSS(cross_entropy_loss, cross_entropy, "CrossEntropyLoss",
     "weight: Tensor? = nil, ignore_index: int = -100, " REDUCTION ", label_smoothing: number = 0",
     "-log softmax(input)[target]: logits (B,C,...), classes (B,...) from 0.");
LOSS(nll_loss, nll_loss, "NLLLoss", "weight: Tensor? = nil, ignore_index: int = -100, " REDUCTION,
     "-input[target]: log-probabilities (B,C,...), classes (B,...) from 0.");
LOSS(bce_loss, binary_cross_entropy, "BCELoss", "weight: Tensor? = nil, " REDUCTION,
     "-(t log x + (1-t) log(1-x)) of probabilities.");
LOSS(bce_logits_loss, binary_cross_entropy_with_logits, "BCEWithLogitsLoss",
     "weight: Tensor? = nil, " REDUCTION ", pos_weight: Tensor? = nil",
     "BCELoss of sigmoid(input), stable.");
LOSS(mse_loss, mse_loss, "MSELoss", REDUCTION, "(input - target)^2.");
LOSS(l1_loss, l1_loss, "L1Loss", REDUCTION, "|input - target|.");
LOSS(smooth_l1_loss, smooth_l1_loss, "SmoothL1Loss", REDUCTION ", beta: number = 1",
     "d^2 / (2 beta) where d = |input - target| < beta, else d - beta/2.");
LOSS(kl_div_loss, kl_div, "KLDivLoss",
     "reduction: \"mean\"|\"none\"|\"sum\"|\"batchmean\" = mean, log_target: bool = false",
     "target (log target - input), input in log-probabilities.");

/* adam.c: Adam (Kingma and Ba, 2015) and AdamW (Loshchilov and Hutter, 2019).
 * m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g g;
 * w -= lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps) */
#include <math.h>

#include "optim/optim.h"

enum { LR, BETA1, BETA2, EPS, WEIGHT_DECAY, AMSGRAD, MAXIMIZE };

/* betas is argument 2: a list of two. */
static sq_status read(const sq_arg *arg, double *h) {
  h[LR] = arg[1].number;
  h[BETA1] = 0.9;
  h[BETA2] = 0.999;
  if (arg[2].kind == SQ_ARG_NUMBERS) {
    if (arg[2].numbers.n != 2) {
      return sq_fail(SQ_EARG, "[optim.Adam] betas has %d numbers: it must have 2, as {0.9, 0.999}",
                     arg[2].numbers.n);
    }
    h[BETA1] = arg[2].numbers.v[0];
    h[BETA2] = arg[2].numbers.v[1];
  }
  h[EPS] = arg[3].number;
  h[WEIGHT_DECAY] = arg[4].number;
  h[AMSGRAD] = arg[5].flag;
  h[MAXIMIZE] = arg[6].flag;
  return SQ_OK;
}

static bool uses(const double *h, int state) { return state < 2 || h[AMSGRAD] != 0; }

static void step(const sq_update *u, bool decoupled) {
  const double *h = u->hyper;
  const sq_adam o = {.lr = h[LR],
                     .beta1 = h[BETA1],
                     .beta2 = h[BETA2],
                     .eps = h[EPS],
                     .weight_decay = h[WEIGHT_DECAY],
                     .decoupled = decoupled,
                     .maximize = h[MAXIMIZE] != 0,
                     .step = u->step};
  u->kern->adam_step(u->n, &o, u->w, u->g, u->state[0], u->state[1], u->state[2]);
}

static void update_adam(const sq_update *u) { step(u, false); }
static void update_adamw(const sq_update *u) { step(u, true); }

#define BELOW_ONE 0.9999999999999999 /* betas are in [0, 1) */

#define ADAM(id, class_name, decay, text)                                                 \
  const sq_optim_class sq__optim_##id = {                                                 \
      .name = class_name,                                                                 \
      .signature =                                                                        \
          "(params: any, lr: number = 0.001, betas: numbers? = nil, eps: number = 1e-8, " \
          "weight_decay: number = " decay                                                 \
          ", amsgrad: bool = false, maximize: bool = false) -> " class_name,              \
      .doc = text,                                                                        \
      .hyper = {{"lr", false, 0, INFINITY},                                               \
                {"beta1", false, 0, BELOW_ONE, "betas"},                                  \
                {"beta2", false, 0, BELOW_ONE, "betas"},                                  \
                {"eps", false, 0, INFINITY},                                              \
                {"weight_decay", false, 0, INFINITY},                                     \
                {"amsgrad", true, 0, 1},                                                  \
                {"maximize", true, 0, 1}},                                                \
      .state = {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"},                               \
      .read = read,                                                                       \
      .uses = uses,                                                                       \
      .update = update_##id,                                                              \
  }

ADAM(adam, "Adam", "0",
     "Steps by mean over root mean square of the gradients, both corrected for their start; betas "
     "= {0.9, 0.999}.");
ADAM(adamw, "AdamW", "0.01",
     "Adam with the weights decayed by lr weight_decay apart from the gradient; betas = {0.9, "
     "0.999}.");

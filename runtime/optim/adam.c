/* adam.c: Adam (Kingma and Ba, 2015) and AdamW (Loshchilov and Hutter, 2019).
 * m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g g;
 * w -= lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps) */
#include <math.h>

#include "optim/optim.h"

enum { LR, BETA1, BETA2, EPS, WEIGHT_DECAY, AMSGRAD, MAXIMIZE };

static bool uses(const double *h, int state) { return state < 2 || h[AMSGRAD] != 0; }

static void step_adam(const sq_update *u, bool decoupled) {
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

static void update_adam(const sq_update *u) { step_adam(u, false); }
static void update_adamw(const sq_update *u) { step_adam(u, true); }

#define BELOW_ONE 0.9999999999999999 /* betas are in [0, 1) */

#define ADAM(id, class_name, decay, text)                                                 \
  const sq_optim_class sq__optim_##id = {                                                 \
      .name = class_name,                                                                 \
      .signature =                                                                        \
          "(params: any, lr: number = 0.001, betas: numbers? = nil, eps: number = 1e-8, " \
          "weight_decay: number = " decay                                                 \
          ", amsgrad: bool = false, maximize: bool = false) -> " class_name,              \
      .doc = text,                                                                        \
      .hyper = {[LR] = {"lr", false, 0, INFINITY},                                        \
                [BETA1] = {"beta1", false, 0, BELOW_ONE, "betas", 0.9},                   \
                [BETA2] = {"beta2", false, 0, BELOW_ONE, "betas", 0.999},                 \
                [EPS] = {"eps", false, 0, INFINITY},                                      \
                [WEIGHT_DECAY] = {"weight_decay", false, 0, INFINITY},                    \
                [AMSGRAD] = {"amsgrad", true, 0, 1},                                      \
                [MAXIMIZE] = {"maximize", true, 0, 1}},                                   \
      .state = {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"},                               \
      .uses = uses,                                                                       \
      .update = update_##id,                                                              \
  }

ADAM(adam, "Adam", "0",
     "Steps by mean over root mean square of the gradients, both corrected for their start; betas "
     "= {0.9, 0.999}.");
ADAM(adamw, "AdamW", "0.01",
     "Adam with the weights decayed by lr weight_decay apart from the gradient; betas = {0.9, "
     "0.999}.");

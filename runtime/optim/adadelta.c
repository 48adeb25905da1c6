/* adadelta.c: Adadelta (Zeiler, 2012).
 * s = rho s + (1 - rho) g g;  d = g sqrt(a + eps) / sqrt(s + eps);  a = rho a + (1 - rho) d d;
 * w -= lr d */
#include <math.h>

#include "optim/optim.h"

enum { LR, RHO, EPS, WEIGHT_DECAY, MAXIMIZE };

static bool uses(const double *h, int state) {
  (void)h;
  return state < 2;
}

static void update(const sq_update *u) {
  const double *h = u->hyper;
  const sq_adadelta o = {.lr = h[LR],
                         .rho = h[RHO],
                         .eps = h[EPS],
                         .weight_decay = h[WEIGHT_DECAY],
                         .maximize = h[MAXIMIZE] != 0};
  u->kern->adadelta_step(u->n, &o, u->w, u->g, u->state[0], u->state[1]);
}

const sq_optim_class sq__optim_adadelta = {
    .name = "Adadelta",
    .signature =
        "(params: any, lr: number = 1, rho: number = 0.9, eps: number = 1e-6, weight_decay: number "
        "= 0, maximize: bool = false) -> Adadelta",
    .doc =
        "Steps by the gradient times the root mean square of past steps over that of past "
        "gradients; rho is how much of the past is kept.",
    .hyper = {[LR] = {"lr", false, 0, INFINITY},
              [RHO] = {"rho", false, 0, 1},
              [EPS] = {"eps", false, 0, INFINITY},
              [WEIGHT_DECAY] = {"weight_decay", false, 0, INFINITY},
              [MAXIMIZE] = {"maximize", true, 0, 1}},
    .state = {"square_avg", "acc_delta"},
    .uses = uses,
    .update = update,
};

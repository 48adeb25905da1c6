/* rmsprop.c: RMSprop (Hinton, lecture 6e).
 * s = alpha s + (1 - alpha) g g;  w -= lr g / (sqrt s + eps) */
#include <math.h>

#include "optim/optim.h"

enum { LR, ALPHA, EPS, WEIGHT_DECAY, MOMENTUM, CENTERED, MAXIMIZE };

static bool uses(const double *h, int state) {
  return state == 0 || (state == 1 && h[CENTERED] != 0) || (state == 2 && h[MOMENTUM] > 0);
}

static void update(const sq_update *u) {
  const double *h = u->hyper;
  const sq_rmsprop o = {.lr = h[LR],
                        .alpha = h[ALPHA],
                        .eps = h[EPS],
                        .weight_decay = h[WEIGHT_DECAY],
                        .momentum = h[MOMENTUM],
                        .centered = h[CENTERED] != 0,
                        .maximize = h[MAXIMIZE] != 0};
  u->kern->rmsprop_step(u->n, &o, u->w, u->g, u->state[0], u->state[1], u->state[2]);
}

const sq_optim_class sq__optim_rmsprop = {
    .name = "RMSprop",
    .signature =
        "(params: any, lr: number = 0.01, alpha: number = 0.99, eps: number = 1e-8, weight_decay: "
        "number = 0, "
        "momentum: number = 0, centered: bool = false, maximize: bool = false) -> RMSprop",
    .doc = "s = alpha s + (1 - alpha) g g; w = w - lr g / (sqrt s + eps).",
    .hyper = {[LR] = {"lr", false, 0, INFINITY},
              [ALPHA] = {"alpha", false, 0, INFINITY},
              [EPS] = {"eps", false, 0, INFINITY},
              [WEIGHT_DECAY] = {"weight_decay", false, 0, INFINITY},
              [MOMENTUM] = {"momentum", false, 0, INFINITY},
              [CENTERED] = {"centered", true, 0, 1},
              [MAXIMIZE] = {"maximize", true, 0, 1}},
    .state = {"square_avg", "grad_avg", "momentum_buffer"},
    .uses = uses,
    .update = update,
};

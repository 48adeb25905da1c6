/* sgd.c: stochastic gradient descent with momentum.
 * g += wd w;  v = mu v + (1 - dampening) g;  w -= lr v, or lr (g + mu v) with Nesterov's rule. */
#include <math.h>

#include "optim/optim.h"

enum { LR, MOMENTUM, DAMPENING, WEIGHT_DECAY, NESTEROV, MAXIMIZE };

static sq_status check(const double *h) {
  if (h[NESTEROV] && (h[MOMENTUM] <= 0 || h[DAMPENING] != 0)) {
    return sq_fail(SQ_EARG, "[optim.SGD] nesterov needs a momentum above 0 and no dampening");
  }
  return SQ_OK;
}

static bool uses(const double *h, int state) { return state == 0 && h[MOMENTUM] != 0; }

static void update(const sq_update *u) {
  const double *h = u->hyper;
  const sq_sgd o = {.lr = h[LR],
                    .momentum = h[MOMENTUM],
                    .dampening = h[DAMPENING],
                    .weight_decay = h[WEIGHT_DECAY],
                    .nesterov = h[NESTEROV] != 0,
                    .maximize = h[MAXIMIZE] != 0,
                    .first = u->fresh};
  u->kern->sgd_step(u->n, &o, u->w, u->g, u->state[0]);
}

const sq_optim_class sq__optim_sgd = {
    .name = "SGD",
    .signature =
        "(params: any, lr: number = 0.001, momentum: number = 0, dampening: number = 0, "
        "weight_decay: number = 0, "
        "nesterov: bool = false, maximize: bool = false) -> SGD",
    .doc = "g = g + weight_decay w; v = momentum v + (1 - dampening) g; w = w - lr v.",
    .hyper = {[LR] = {"lr", false, 0, INFINITY},
              [MOMENTUM] = {"momentum", false, 0, INFINITY},
              [DAMPENING] = {"dampening", false, -INFINITY, INFINITY},
              [WEIGHT_DECAY] = {"weight_decay", false, 0, INFINITY},
              [NESTEROV] = {"nesterov", true, 0, 1},
              [MAXIMIZE] = {"maximize", true, 0, 1}},
    .state = {"momentum_buffer"},
    .check = check,
    .uses = uses,
    .update = update,
};

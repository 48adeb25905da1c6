/* adagrad.c: Adagrad (Duchi, Hazan and Singer, 2011).
 * s += g g;  w -= lr / (1 + (t-1) lr_decay) g / (sqrt s + eps) */
#include <math.h>

#include "optim/optim.h"

enum { LR, LR_DECAY, WEIGHT_DECAY, START, EPS, MAXIMIZE };

static bool uses(const double *h, int state) {
  (void)h;
  return state == 0;
}

static double start(const double *h, int state) {
  (void)state;
  return h[START];
}

static void update(const sq_update *u) {
  const double *h = u->hyper;
  const sq_adagrad o = {.lr = h[LR],
                        .lr_decay = h[LR_DECAY],
                        .eps = h[EPS],
                        .weight_decay = h[WEIGHT_DECAY],
                        .maximize = h[MAXIMIZE] != 0,
                        .step = u->step};
  u->kern->adagrad_step(u->n, &o, u->w, u->g, u->state[0]);
}

const sq_optim_class sq__optim_adagrad = {
    .name = "Adagrad",
    .signature =
        "(params: any, lr: number = 0.01, lr_decay: number = 0, weight_decay: number = 0, "
        "initial_accumulator_value: number = 0, eps: number = 1e-10, maximize: bool = false) -> "
        "Adagrad",
    .doc = "s = s + g g; w = w - lr g / (sqrt s + eps), lr falling with lr_decay.",
    .hyper = {[LR] = {"lr", false, 0, INFINITY},
              [LR_DECAY] = {"lr_decay", false, 0, INFINITY},
              [WEIGHT_DECAY] = {"weight_decay", false, 0, INFINITY},
              [START] = {"initial_accumulator_value", false, 0, INFINITY},
              [EPS] = {"eps", false, 0, INFINITY},
              [MAXIMIZE] = {"maximize", true, 0, 1}},
    .state = {"sum"},
    .uses = uses,
    .start = start,
    .update = update,
};

/* adagrad.c: Adagrad (Duchi, Hazan and Singer, 2011).
 * s += g g;  w -= lr / (1 + (t-1) lr_decay) g / (sqrt s + eps) */
#include <math.h>

#include "optim/optim.h"

enum { LR, LR_DECAY, WEIGHT_DECAY, START, EPS, MAXIMIZE };

static sq_status read(const sq_arg *arg, double *h) {
  for (int i = LR; i <= EPS; i++) h[i] = arg[1 + i].number;
  h[MAXIMIZE] = arg[1 + MAXIMIZE].flag;
  return SQ_OK;
}

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
    .hyper = {{"lr", false, 0, INFINITY},
              {"lr_decay", false, 0, INFINITY},
              {"weight_decay", false, 0, INFINITY},
              {"initial_accumulator_value", false, 0, INFINITY},
              {"eps", false, 0, INFINITY},
              {"maximize", true, 0, 1}},
    .state = {"sum"},
    .read = read,
    .uses = uses,
    .start = start,
    .update = update,
};

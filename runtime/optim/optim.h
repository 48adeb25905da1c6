/* optim.h: optimizers: groups of parameters, their hyperparameters by name, their state, one
 * threaded pass a step. Sees parameters and gradients, no tape. */
#ifndef SQ_OPTIM_OPTIM_H
#define SQ_OPTIM_OPTIM_H

#include "base/signature.h"
#include "kernels/kern.h"
#include "tensor/tensor.h"

enum { SQ_MAX_HYPERS = 10, SQ_MAX_STATES = 3 };

/* A hyperparameter: a number from lo to hi, or a flag (0 or 1). */
typedef struct sq_hyper {
  const char *name;
  bool flag;
  double lo, hi;
} sq_hyper;

/* One tile of a step: n elements of a parameter, its gradient and its states (NULL where a state is
 * not in use). `step` counts this parameter's steps from 1. */
typedef struct sq_update {
  const sq_kern *kern;
  const double *hyper; /* in the class's order */
  int64_t n, step;
  void *w;
  const void *g;
  void *state[SQ_MAX_STATES];
} sq_update;

typedef struct sq_optim_class {
  const char *name;      /* "Adam" */
  const char *signature; /* of the constructor; its first parameter is the parameters */
  const char *doc;
  sq_hyper hyper[SQ_MAX_HYPERS];    /* ends with a NULL name */
  const char *state[SQ_MAX_STATES]; /* names as in PyTorch's state_dict */

  /* hyper[] from the constructor's complete arguments. [fails: arg] */
  sq_status (*read)(const sq_arg *arg, double *hyper);
  bool (*uses)(const double *hyper, int state);
  double (*start)(const double *hyper, int state); /* a state's first value; NULL: 0 */
  void (*update)(const sq_update *u);
} sq_optim_class;

typedef struct sq_optim_param {
  sq_tensor *w;
  sq_tensor *state[SQ_MAX_STATES]; /* NULL until the first step */
  int64_t step;
} sq_optim_param;

typedef struct sq_optim_group {
  double hyper[SQ_MAX_HYPERS];
  int first, n; /* its parameters */
} sq_optim_group;

typedef struct sq_optim {
  const sq_optim_class *class;
  double defaults[SQ_MAX_HYPERS];
  int groups, params;
  sq_optim_group *group;
  sq_optim_param *param; /* of all groups, in order */
} sq_optim;

/* All classes, ending with NULL. [borrow] */
const sq_optim_class *const *sq_optim_classes(void);

/* An optimizer without parameters. `arg` are the constructor's complete arguments.
 * [new | fails: arg, nomem | Lua thread] */
SQ_CHECKED sq_status sq_optim_new(const sq_optim_class *class, const sq_arg *arg, sq_optim **out);
void sq_optim_drop(sq_optim *o);

/* Adds a group with the defaults as its hyperparameters. Parameters are contiguous floats, none
 * twice. [keep | fails: type, state, nomem | Lua thread] */
SQ_CHECKED sq_status sq_optim_add_group(sq_optim *o, int n, sq_tensor *const *params);

/* The number of the hyperparameter of that name, -1 without one. */
int sq_optim_find(const sq_optim_class *class, const char *name);

/* Sets one of a group. [fails: arg, out of range | Lua thread] */
SQ_CHECKED sq_status sq_optim_set(sq_optim *o, int group, int hyper, double value);

/* One step: grads[i] is the gradient of parameter i, NULL to leave it alone. Counts as an in-place
 * change of the parameters. [fails: shape, type, nomem; then nothing has changed | Lua thread] */
SQ_CHECKED sq_status sq_optim_step(sq_optim *o, sq_tensor *const *grads);

/* State `state` of parameter i, made if there is none: for state_dict. [borrow | fails: nomem | Lua
 * thread] */
SQ_CHECKED sq_status sq_optim_state(sq_optim *o, int i, int state, sq_tensor **out);

#endif

/* optim.h: optimizers: groups of parameters, their hyperparameters by name, their state, one
 * threaded pass a step. Sees parameters and gradients, no tape. */
#ifndef SQ_OPTIM_OPTIM_H
#define SQ_OPTIM_OPTIM_H

#include "kernels/kern.h"
#include "signature/signature.h"
#include "tensor/tensor.h"

enum { SQ_MAX_HYPERS = 10, SQ_MAX_STATES = 3, SQ_PLANS = 5 };
enum { SQ_MAX_OPTIONS = SQ_MAX_HYPERS + SQ_PLANS };

/* A hyperparameter: a number from lo to hi, or a flag (0 or 1), the constructor's argument of that
 * name. Those that PyTorch has as one list stand together and name it, with what they are where it
 * is left out: beta1 and beta2 are "betas". */
typedef struct sq_hyper {
  const char *name;
  bool flag;
  double lo, hi;
  const char *list;
  double usual;
} sq_hyper;

/* One tile of a step: n elements of a parameter, its gradient and its states (NULL where a state is
 * not in use). `step` counts this parameter's steps from 1; `fresh`: no step has used its first
 * state before. */
typedef struct sq_update {
  const sq_kern *kern;
  const double *hyper; /* in the class's order */
  int64_t n, step;
  bool fresh;
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

  sq_status (*check)(const double *hyper); /* of some together; may be NULL [fails: arg] */
  bool (*uses)(const double *hyper, int state);
  double (*start)(const double *hyper, int state); /* a state's first value; NULL: 0 */
  void (*update)(const sq_update *u);
} sq_optim_class;

typedef struct sq_optim_param {
  sq_tensor *w;
  sq_tensor *state[SQ_MAX_STATES]; /* NULL until the first step */
  int64_t step;
  bool used; /* a step has used the first state */
} sq_optim_param;

/* A group's options: the class's hyperparameters, then from SQ_MAX_HYPERS on the plans, which
 * schedulers keep with it (initial_lr, ...); NaN: none is kept. */
typedef struct sq_optim_group {
  double option[SQ_MAX_OPTIONS];
  int first, n; /* its parameters */
} sq_optim_group;

typedef struct sq_optim {
  const sq_optim_class *class;
  double defaults[SQ_MAX_OPTIONS];
  int groups, params;
  int64_t steps; /* taken since it was made */
  sq_optim_group *group;
  sq_optim_param *param; /* of all groups, in order */
} sq_optim;

/* All classes, ending with NULL. [borrow] */
const sq_optim_class *const *sq_optim_classes(void);

/* The class of that name, "Adam". [borrow | fails: arg, with the nearest name | any thread] */
SQ_CHECKED sq_status sq_optim_class_of(const char *name, const sq_optim_class **out);

/* An optimizer without parameters, which come in groups: what stands in args[0], their place in the
 * constructor's signature, is not looked at. Missing arguments take their defaults.
 * [new | fails: arg, nomem | Lua thread] */
SQ_CHECKED sq_status sq_optim_new(const sq_optim_class *class, int nargs, const sq_arg *args,
                                  sq_optim **out);
void sq_optim_drop(sq_optim *o);

/* Adds a group with these options (SQ_MAX_OPTIONS of them, each checked; NULL: the constructor's).
 * Parameters are contiguous floats, none twice. [keep | fails: type, state, nomem | Lua thread] */
SQ_CHECKED sq_status sq_optim_add_group(sq_optim *o, int n, sq_tensor *const *params,
                                        const double *option);

/* The place of the option of that name among a group's, -1 without one; and its name back. */
int sq_optim_find(const sq_optim_class *class, const char *name);
const char *sq_optim_option(const sq_optim_class *class, int option);

/* Whether an option may have that value. [fails: arg, out of range | Lua thread] */
SQ_CHECKED sq_status sq_optim_check(const sq_optim_class *class, int option, double value);

/* One step: grads[i] is the gradient of parameter i, NULL to leave it alone. A state follows its
 * parameter's dtype. Counts as an in-place change of the parameters. [fails: shape, of a gradient
 * or of a state whose parameter has changed since; type, state, nomem; then no parameter has
 * changed | Lua thread] */
SQ_CHECKED sq_status sq_optim_step(sq_optim *o, sq_tensor *const *grads);

/* A copy of t as a state of parameter i. [new | fails: shape, nomem | Lua thread] */
SQ_CHECKED sq_status sq_optim_state_from(const sq_optim *o, int i, sq_tensor *t, sq_tensor **out);

/* Gives parameter i its steps and its states (SQ_MAX_STATES of them, as sq_optim_state_from made
 * them; NULL: none). [keep | Lua thread] */
void sq_optim_adopt(sq_optim *o, int i, int64_t step, sq_tensor *const *state);

#endif

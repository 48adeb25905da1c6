/* call_priv.h: a call of an op on its way: for op.c, which makes it, and inplace.c. */
#ifndef SQ_AUTOGRAD_CALL_PRIV_H
#define SQ_AUTOGRAD_CALL_PRIV_H

#include "autograd/tape_priv.h"

/* The tensor inputs of one call. Numbers that stand for tensors are made tensors, which live
 * here. */
typedef struct sq_inputs {
  sq_arg arg[SQ_MAX_PARAMS];
  int n, made_n;
  sq_tensor **in, *few[SQ_FEW_INPUTS], *made[2];
} sq_inputs;

/* A call whose inputs are gathered and checked. */
typedef struct sq_prepared {
  sq_inputs x;
  sq_call c;
} sq_prepared;

/* Completes the arguments, gathers the inputs and checks their dtypes. Afterwards sq__unprepare
 * drops what was made. [fails: arg, type, nomem: then there is nothing to drop] */
SQ_CHECKED sq_status sq__prepare(const sq_op *op, int nargs, const sq_arg *args, sq_prepared *p);
void sq__unprepare(sq_prepared *p);

/* True when the call is to be recorded. */
bool sq__wants_node(const sq_call *c);

/* Runs forward into c->out and, where recorded, hangs a node on the results. On failure nothing is
 * left. [new c->out | fails: as forward] */
SQ_CHECKED sq_status sq__call(sq_call *c, bool record);

#endif

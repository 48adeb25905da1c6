/* call_priv.h: a call of an op on its way: for op.c, which makes it, and inplace.c. */
#ifndef SQ_AUTOGRAD_CALL_PRIV_H
#define SQ_AUTOGRAD_CALL_PRIV_H

#include "autograd/tape_priv.h"

/* The tensor inputs of one call. made[i] is in[i] where the call made it, of a number or by taking
 * the input in another dtype; else NULL. */
typedef struct sq_inputs {
  sq_arg arg[SQ_MAX_PARAMS];
  int n;
  sq_tensor **in, **made, *few[2 * SQ_FEW_INPUTS];
} sq_inputs;

/* A call whose inputs are gathered and checked. */
typedef struct sq_prepared {
  sq_inputs x;
  sq_call c;
} sq_prepared;

/* Completes the arguments, gathers the inputs in the dtypes they are taken in, and checks these.
 * Afterwards sq__unprepare drops what was made. [fails: arg, type, nomem: then there is nothing to
 * drop] */
SQ_CHECKED sq_status sq__prepare(const sq_op *op, int nargs, const sq_arg *args, sq_prepared *p);
void sq__unprepare(sq_prepared *p);

/* True when the call is to be recorded. */
bool sq__wants_node(const sq_call *c);

/* Runs forward into c->out and, where recorded, hangs a node on the results. On failure nothing is
 * left. [new c->out | fails: as forward] */
SQ_CHECKED sq_status sq__call(sq_call *c, bool record);

#endif

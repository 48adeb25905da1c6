/* function.h: functions of the host's own on the tape: the host runs their forward, and the tape
 * calls it for their backward. */
#ifndef SQ_AUTOGRAD_FUNCTION_H
#define SQ_AUTOGRAD_FUNCTION_H

#include "autograd/op.h"

/* The op that all functions of a name are on the tape, for errors, profiles and sq_grad_fn; it
 * lives for ever. [borrow | fails: nomem | Lua thread] */
SQ_CHECKED sq_status sq_function_op(const char *name, const sq_op **out);

/* One way back through a call. dx[i] is to be set, to a new reference, where needed[i]; NULL stands
 * for 0. Its shape broadcasts down to the input's; the tape sums and casts it. */
typedef struct sq_function_way {
  bool recorded; /* ops are to be recorded */
  int results, inputs, kept;
  sq_tensor *const *dy;   /* of each result, NULL for none */
  sq_tensor *const *keep; /* what the call kept, each at its place on the tape */
  const bool *needed;
  sq_tensor **dx;
} sq_function_way;

/* What the host does for a call; `self` is the host's own of that call, dropped with what the call
 * kept: at the end of a backward that retains nothing, else with the graph. */
typedef struct sq_function_host {
  sq_status (*backward)(void *self, const sq_function_way *way);
  void (*drop)(void *self);
} sq_function_host;

/* A call whose forward has run, unrecorded. */
typedef struct sq_function_call {
  const sq_op *op;
  int inputs, results, kept, checked; /* results: SQ_MAX_OUT at most; checked: so many of what is
                                         kept may not change in place before backward */
  sq_tensor *const *input, *const *result, *const *keep; /* an entry of keep may be NULL */
  unsigned constant;                                     /* bit k: result k has no gradient */
  bool materialize;                                      /* dy is zeros where none arrived */
  const sq_function_host *host;
  void *self;
} sq_function_call;

/* out[k] = result k on the tape: a window on it, or a copy where it shares its memory with an input
 * or a result before it, or is on the tape already. The graph holds none of the tensors given, only
 * windows on them.
 * [new out | take self where it succeeds | fails: nomem; then nothing has changed | Lua thread] */
SQ_CHECKED sq_status sq_function_record(const sq_function_call *c, sq_tensor **out);

#endif

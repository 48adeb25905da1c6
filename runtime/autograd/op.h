/* op.h: the menu of ops as a table, and the one way to call one. */
#ifndef SQ_AUTOGRAD_OP_H
#define SQ_AUTOGRAD_OP_H

#include "signature/signature.h"
#include "tensor/tensor.h"

enum { SQ_MAX_OUT = 3 };

typedef enum sq_op_id {
#define OP(name, signature, doc, lo, hi) SQ_OP_##name,
#include "autograd/op.def"
#undef OP
  SQ_OPS
} sq_op_id;

/* What the menu says of an op, and what its block in op_<family>.c says. */
typedef struct sq_op {
  const char *name, *signature, *doc;
  double lo, hi; /* where gradcheck draws float inputs; lo = hi: there is no gradient to check */
  const struct sq_op_impl *impl;
} sq_op;

/* Row `id` of the menu. [borrow | any thread] */
const sq_op *sq_op_at(sq_op_id id);

/* The op's signature, read at its first use. [borrow | fails: format, nomem | Lua thread] */
SQ_CHECKED sq_status sq_op_signature(const sq_op *op, const sq_signature **out);

/* True when name_ exists: x becomes the result. */
bool sq_op_has_inplace(const sq_op *op);

/* True when the op has a backward. */
bool sq_op_has_backward(const sq_op *op);

/* True when the backward can itself be recorded, for gradients of gradients. */
bool sq_op_has_second(const sq_op *op);

/* True for an op of the tape's own, which scripts do not call. */
bool sq_op_is_hidden(const sq_op *op);

/* True for an op that stands for a layer or a loss: PyTorch's nn.functional has it. */
bool sq_op_is_functional(const sq_op *op);

/* The op that it is where a Tensor stands in the place of its dim or numbers, 0 where there is
 * none: x:max(y) is maximum. */
int sq_op_with_tensor(const sq_op *op);

/* True for an op that is a method too: its first parameter is a Tensor. */
bool sq_op_is_method(const sq_op *op);

/* out[0..] = op(args), recorded when gradients are on and an input requires one. Trailing arguments
 * may be left out where the signature has a default. `out` has room for the signature's results.
 * Outputs are new references. [new | fails: shape, arg, type, state, nomem, intr, the op's name in
 * front | Lua thread] */
SQ_CHECKED sq_status sq_apply(sq_op_id op, int nargs, const sq_arg *args, sq_tensor **out);

/* The same with the arguments written out: SQ_APPLY(softmax, &y, SQ_T(x), SQ_D(0)). */
#define SQ_APPLY(op, out, ...)                                                  \
  sq_apply(SQ_OP_##op, (int)(sizeof((sq_arg[]){__VA_ARGS__}) / sizeof(sq_arg)), \
           (sq_arg[]){__VA_ARGS__}, out)

/* As sq_apply, but written into args[0], which must be a tensor: x.exp_(). Recorded likewise;
 * counts as an in-place change.
 * [fails: as sq_apply, and state on a leaf that requires a gradient | Lua thread] */
SQ_CHECKED sq_status sq_apply_inplace(sq_op_id op, int nargs, const sq_arg *args);

#endif

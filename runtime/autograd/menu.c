/* menu.c: the menu of ops as a table, each op with its block and, from its first use on, its
 * signature. */
#include "autograd/op_priv.h"

static const sq_op menu[SQ_OPS] = {
#define OP(name, signature, doc, lo, hi) {#name, signature, doc, lo, hi, &sq__op_##name},
#include "autograd/op.def"
#undef OP
};

/* Where the cache has them: a call looks nothing up. */
static const sq_signature *signatures[SQ_OPS];

const sq_op *sq_op_at(sq_op_id id) { return &menu[id]; }

sq_status sq_op_signature(const sq_op *op, const sq_signature **out) {
  const sq_signature **slot = &signatures[op - menu];
  if (!*slot) SQ_TRY(sq_signature_of(op->signature, slot));
  *out = *slot;
  return SQ_OK;
}

bool sq_op_has_inplace(const sq_op *op) { return op->impl->inplace; }
bool sq_op_has_backward(const sq_op *op) { return op->impl->backward != NULL; }

bool sq_op_has_second(const sq_op *op) { return op->impl->again || op->impl->compose; }
bool sq_op_is_hidden(const sq_op *op) { return op->impl->hidden; }
int sq_op_with_tensor(const sq_op *op) { return op->impl->with_tensor; }

bool sq_op_is_functional(const sq_op *op) { return op->impl->functional; }

bool sq_op_is_method(const sq_op *op) {
  sq_arg_kind first = sq_signature_first(op->signature);
  return first == SQ_ARG_TENSOR || first == SQ_ARG_OPERAND;
}

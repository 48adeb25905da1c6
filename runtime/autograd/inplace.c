/* inplace.c: an op written into its first tensor. Without a graph the kernel writes where x lies;
 * else the result is made apart, copied into x, and x takes its place in the graph. */
#include <string.h>

#include "autograd/call_priv.h"
#include "autograd/walk_priv.h"
#include "tensor/promote.h"

static sq_status check_inplace(const sq_op *op, sq_tensor *t) {
  SQ_TRY(sq_check_apart(op->name, t));
  if (!sq_grad_enabled()) return SQ_OK;
  const sq_tensor *viewed = sq__viewed(t), *owner = viewed ? viewed : t;
  if (sq_requires_grad(owner) && sq_is_leaf(owner)) {
    return sq_fail(SQ_ESTATE,
                   "[%s_] x is %sa leaf that requires a gradient: changing it in place would break "
                   "its graph; do it under "
                   "sq.no_grad(), or change a clone",
                   op->name, owner == t ? "" : "a view of ");
  }
  return SQ_OK;
}

/* After t's content became `result`'s: t takes over result's place in the graph, and what t is a
 * window on learns of it. NULL: it is a constant now. */
static sq_status rebase_tensor(sq_tensor *t, sq_tensor *result) {
  const sq_meta *from = result ? sq__meta_of(result) : NULL;
  sq_meta *m = sq__meta_of(t);
  sq_tensor *viewed = sq__viewed(t);
  bool tracked = from && from->node;
  if (!tracked && !sq_requires_grad(t) && !(viewed && sq_requires_grad(viewed))) return SQ_OK;
  if (!viewed) {
    if (tracked) return sq__set_node(t, from->node, from->index);
    sq__node_drop(m->node); /* overwritten with a constant */
    m->node = NULL;
    return SQ_OK;
  }
  sq_node *copied;
  SQ_TRY(sq__window_node(SQ_OP_copy_slices, 2, (sq_tensor *[]){viewed, result}, t, &copied));
  sq_status st = sq__set_node(viewed, copied, 0);
  sq__node_drop(copied);
  if (st != SQ_OK) return st;
  m->view_version = t->storage->version - 1; /* out of date: made anew from what it looks at */
  return sq__refresh_view(t);
}

/* Writes straight into x where nothing is recorded and the op can: false if not, as where x is
 * taken in another dtype. */
static bool write_into(sq_call *c, const sq_tensor *t, sq_status *st) {
  const sq_op_impl *impl = c->op->impl;
  if (c->in[0] != t) return false;
  sq_status (*into)(sq_call * c) = impl->into;
  if (!into) {
    if (impl->forward != sq__elem_forward) return false;
    into = sq__elem_inplace;
  }
  *st = sq__watching ? sq__watch_forward(c, into) : into(c);
  return true;
}

/* The node is about to see x change: what it saved of x it keeps as a copy. */
static sq_status save_copies(sq_tensor *result, const sq_tensor *t) {
  const sq_meta *m = sq__meta_of(result);
  if (!m || !m->node) return SQ_OK;
  for (int i = 0; i < m->node->nsaved; i++) {
    sq_saved *s = &m->node->saved[i];
    if (!s->tensor || s->tensor->storage != t->storage) continue;
    sq_tensor *copy;
    SQ_TRY(sq_tensor_clone(s->tensor, &copy));
    sq_tensor_drop(s->tensor);
    *s = (sq_saved){copy, copy->storage->version};
  }
  return SQ_OK;
}

static sq_status check_result(const sq_op *op, const sq_tensor *t, const sq_tensor *result) {
  if (!sq_shape_equal(t->ndim, t->shape, result->ndim, result->shape)) {
    return sq_fail(SQ_ESHAPE, "[%s_] the result is %s, x is %s: an in-place op keeps x's shape",
                   op->name, sq_tensor_shape_text(result, SQ_SHAPE_BUF),
                   sq_tensor_shape_text(t, SQ_SHAPE_BUF));
  }
  if (!sq_promotes_into(result->dtype, t->dtype)) {
    return sq_fail(SQ_ETYPE,
                   "[%s_] the result is %s, x is %s: in place nothing is cast down; use x:%s(...), "
                   "or convert x first",
                   op->name, sq_dtype_name(result->dtype), sq_dtype_name(t->dtype), op->name);
  }
  return SQ_OK;
}

/* The result in x's dtype, recorded where the result is. */
static sq_status in_dtype_of(const sq_tensor *t, sq_tensor *result, sq_tensor **out) {
  const sq_arg dtype = {.kind = SQ_ARG_DTYPE, .dtype = t->dtype};
  if (result->dtype != t->dtype) return sq_apply(SQ_OP_to, 2, (sq_arg[]){SQ_T(result), dtype}, out);
  *out = sq_tensor_keep(result);
  return SQ_OK;
}

/* The result of a call written into x. */
static sq_status write_back(sq_call *c, sq_tensor *t) {
  SQ_TRY(check_result(c->op, t, c->out[0]));
  SQ_TRY(save_copies(c->out[0], t));
  SQ_OWN sq_tensor *result = NULL;
  SQ_TRY(in_dtype_of(t, c->out[0], &result));
  if (t->refs > 1) SQ_TRY(sq__let_go_of_leaves(result)); /* it may be a leaf's gradient */
  SQ_TRY(sq_tensor_copy(t, result));
  return rebase_tensor(t, result);
}

sq_status sq_apply_inplace(sq_op_id id, int nargs, const sq_arg *args) {
  const sq_op *op = sq_op_at(id);
  sq_tensor *t = args[0].tensor;
  SQ_TRY(check_inplace(op, t));
  sq_prepared call;
  SQ_TRY(sq__prepare(op, nargs, args, &call));
  bool record = sq__wants_node(&call.c);
  sq_status st = SQ_OK;
  if (!record && write_into(&call.c, t, &st)) {
    if (st == SQ_OK && sq_grad_enabled()) st = rebase_tensor(t, NULL);
  } else {
    st = sq__call(&call.c, record);
    if (st == SQ_OK) st = write_back(&call.c, t);
  }
  sq__unprepare(&call);
  sq_tensor_drop(call.c.out[0]);
  return st;
}

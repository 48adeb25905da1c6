/* view_tape.c: gradients through windows and in-place changes. A change of a window is recorded on
 * what it looks at, as a copy into a slice; other windows learn of it when they are used next. */
#include <string.h>

#include "autograd/tape_priv.h"
#include "tensor/map.h"
#include "tensor/view.h"

sq_status sq__note_view(sq_tensor *view, sq_tensor *of) {
  if (view->storage != of->storage || !sq_is_float(of->dtype)) return SQ_OK;
  sq_meta *m;
  SQ_TRY(sq__meta(view, &m));
  const sq_meta *source = sq__meta_of(of);
  m->viewed = sq_tensor_keep(source && source->viewed ? source->viewed : of);
  m->view_version = view->storage->version;
  return SQ_OK;
}

/* Geometry of a window, as saved by the two ops below: ndim, offset, shape, stride. */
static void save_geometry(sq_call *c, const sq_tensor *t) {
  sq__save_int(c, t->ndim);
  sq__save_int(c, t->offset);
  sq__save_ints(c, t->ndim, t->shape);
  sq__save_ints(c, t->ndim, t->stride);
}

/* The part of `whole`, a contiguous gradient of the viewed tensor, that the window looks at. */
static sq_status window_of(sq_tensor *whole, const int64_t *g, sq_tensor **out) {
  int ndim = (int)g[0];
  return sq_tensor_window(whole, ndim, g + 2, g + 2 + ndim, g[1], out);
}

/* as_strided: the window w of x.  dx = 0 with dy added where w looks (an expanded window adds up).
 */
static sq_status as_strided_forward(sq_call *c) {
  return sq_fail(SQ_EARG, "[%s] is not called from scripts", c->op->name);
}

/* whole += g at the window, element by element: a window may look at one element many times. */
static sq_status add_to_window(sq_tensor *whole, const int64_t *geometry, sq_tensor *g) {
  SQ_OWN sq_tensor *part = NULL;
  SQ_TRY(window_of(whole, geometry, &part));
  bool folded = false;
  for (int i = 0; i < part->ndim; i++)
    folded = folded || (part->stride[i] == 0 && part->shape[i] > 1);
  if (!folded) return sq_map_into(SQ_ELEM_add, (sq_tensor *[]){part, g}, NULL, part);
  for (int i = 0; i < part->ndim; i++) {
    if (part->stride[i] != 0 || part->shape[i] <= 1) continue;
    for (int64_t at = 0; at < part->shape[i]; at++) {
      SQ_OWN sq_tensor *one = NULL, *value = NULL;
      SQ_TRY(sq_select(part, i, at, &one));
      SQ_TRY(sq_select(g, i, at, &value));
      int64_t inner[2 + 2 * SQ_MAX_DIMS] = {one->ndim, one->offset};
      memcpy(inner + 2, one->shape, (size_t)one->ndim * sizeof *inner);
      memcpy(inner + 2 + one->ndim, one->stride, (size_t)one->ndim * sizeof *inner);
      SQ_TRY(add_to_window(whole, inner, value));
    }
    return SQ_OK;
  }
  return SQ_OK;
}

static sq_status as_strided_backward(sq_back *b) {
  SQ_TRY(sq_tensor_full(b->dy[0]->dtype, sq__in_ndim(b, 0), sq__in_shape(b, 0), 0, &b->dx[0]));
  return add_to_window(b->dx[0], sq__ints(b), b->dy[0]);
}

const sq_op_impl sq__op_as_strided = {as_strided_forward, as_strided_backward, .mixed = true};

/* copy_slices: x with its window replaced by v.  dx = dy, 0 at the window; dv = dy at the window.
 */
static sq_status copy_slices_backward(sq_back *b) {
  SQ_OWN sq_tensor *dx = NULL;
  SQ_TRY(sq_tensor_clone(b->dy[0], &dx));
  SQ_OWN sq_tensor *part = NULL;
  SQ_TRY(window_of(dx, sq__ints(b), &part));
  if (sq__needs(b, 1)) SQ_TRY(sq_tensor_clone(part, &b->dx[1]));
  SQ_TRY(sq_tensor_fill(part, 0));
  b->dx[0] = sq_tensor_give(&dx);
  return SQ_OK;
}

const sq_op_impl sq__op_copy_slices = {as_strided_forward, copy_slices_backward, .mixed = true};

/* A window's offset and strides count in its storage; a gradient of the viewed tensor is contiguous
 * and starts at 0. That is the same when the viewed tensor is contiguous at offset 0, as every
 * tensor that owns its storage is. */
static sq_status window_node(sq_op_id op, int nin, sq_tensor *const *in, const sq_tensor *window,
                             sq_node **out) {
  SQ_TRY(sq__node_new(sq_op_at(op), nin, in, out));
  sq_call c = {.node = *out};
  save_geometry(&c, window);
  return SQ_OK;
}

sq_status sq__refresh_view(sq_tensor *t) {
  sq_meta *m = sq__meta_of(t);
  if (!m || !m->viewed || m->view_version == t->storage->version) return SQ_OK;
  m->view_version = t->storage->version;
  if (!sq_requires_grad(m->viewed)) return SQ_OK;
  sq_node *node;
  SQ_TRY(window_node(SQ_OP_as_strided, 1, (sq_tensor *[]){m->viewed}, t, &node));
  sq_status st = sq__set_node(t, node, 0);
  sq__node_drop(node);
  return st;
}

sq_status sq__check_inplace(const sq_op *op, sq_tensor *t) {
  if (!sq_grad_enabled()) return SQ_OK;
  const sq_meta *m = sq__meta_of(t);
  const sq_tensor *owner = m && m->viewed ? m->viewed : t;
  if (sq_requires_grad(owner) && sq_is_leaf(owner)) {
    return sq_fail(SQ_ESTATE,
                   "[%s_] x is %sa leaf that requires a gradient: changing it in place would break "
                   "its graph; do it under "
                   "sq.no_grad(), or change a clone",
                   op->name, owner == t ? "" : "a view of ");
  }
  return SQ_OK;
}

sq_status sq__rebase(sq_tensor *t, sq_tensor *result) {
  const sq_meta *from = result ? sq__meta_of(result) : NULL;
  sq_meta *m = sq__meta_of(t);
  bool tracked = from && from->node;
  if (!tracked && !sq_requires_grad(t) && !(m && m->viewed && sq_requires_grad(m->viewed)))
    return SQ_OK;
  if (!m || !m->viewed) {
    if (tracked) return sq__set_node(t, from->node, from->index);
    sq__node_drop(m->node); /* overwritten with a constant */
    m->node = NULL;
    return SQ_OK;
  }
  sq_node *copied;
  SQ_TRY(window_node(SQ_OP_copy_slices, 2, (sq_tensor *[]){m->viewed, result}, t, &copied));
  sq_status st = sq__set_node(m->viewed, copied, 0);
  sq__node_drop(copied);
  if (st != SQ_OK) return st;
  m->view_version = t->storage->version - 1; /* out of date: made anew from what it looks at */
  return sq__refresh_view(t);
}

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

/* Where a window and the tensor it looks at lie in their storage, as the two ops below save it: the
 * window's ndim, offset, shape and stride, then the viewed tensor's offset and stride. */
static void save_geometry(sq_call *c, const sq_tensor *window, const sq_tensor *viewed) {
  sq__save_int(c, window->ndim);
  sq__save_int(c, window->offset);
  sq__save_ints(c, window->ndim, window->shape);
  sq__save_ints(c, window->ndim, window->stride);
  sq__save_int(c, viewed->offset);
  sq__save_ints(c, viewed->ndim, viewed->stride);
}

/* Gradients of the viewed tensor, laid out as it lies in its storage. */
typedef struct layout {
  sq_tensor *all;    /* the elements from its first to its last; drop it */
  sq_tensor *viewed; /* the viewed tensor's place in them; drop it */
  sq_tensor *window; /* the window's; drop it */
} layout;

static void drop_layout(layout *l) {
  sq_tensor_drop(l->all);
  sq_tensor_drop(l->viewed);
  sq_tensor_drop(l->window);
}

static sq_status lay_out(const sq_back *b, sq_dtype dtype, layout *l) {
  const int64_t *g = sq__ints(b), *shape = sq__in_shape(b, 0);
  int ndim = (int)g[0];
  int64_t offset = g[2 + 2 * ndim], n = 1;
  const int64_t *stride = g + 3 + 2 * ndim;
  for (int i = 0; i < sq__in_ndim(b, 0); i++) n += (shape[i] - 1) * stride[i];
  if (n < 0) n = 0; /* no elements */
  SQ_TRY(sq_tensor_full(dtype, 1, &n, 0, &l->all));
  SQ_TRY(sq_tensor_window(l->all, sq__in_ndim(b, 0), shape, stride, 0, &l->viewed));
  return sq_tensor_window(l->all, ndim, g + 2, g + 2 + ndim, g[1] - offset, &l->window);
}

/* Neither op is called by name: the engine makes their nodes. */
static sq_status never_called(sq_call *c) {
  return sq_fail(SQ_EARG, "[%s] is not called from scripts", c->op->name);
}

/* window += g, position by position where it looks at one element many times. */
static sq_status add_to_window(sq_tensor *window, sq_tensor *g) {
  for (int i = 0; i < window->ndim; i++) {
    if (window->stride[i] != 0 || window->shape[i] <= 1) continue;
    for (int64_t at = 0; at < window->shape[i]; at++) {
      SQ_OWN sq_tensor *one = NULL, *value = NULL;
      SQ_TRY(sq_select(window, i, at, &one));
      SQ_TRY(sq_select(g, i, at, &value));
      SQ_TRY(add_to_window(one, value));
    }
    return SQ_OK;
  }
  return sq_map_into(SQ_ELEM_add, (sq_tensor *[]){window, g}, NULL, window);
}

/* as_strided: the window w of x.  dx = 0 with dy added where w looks (an expanded window adds up).
 */
static sq_status as_strided_backward(sq_back *b) {
  layout l = {0};
  sq_status st = lay_out(b, b->dy[0]->dtype, &l);
  if (st == SQ_OK) st = add_to_window(l.window, b->dy[0]);
  if (st == SQ_OK) st = sq_tensor_clone(l.viewed, &b->dx[0]);
  drop_layout(&l);
  return st;
}

const sq_op_impl sq__op_as_strided = {
    .forward = never_called, .backward = as_strided_backward, .mixed = true};

/* copy_slices: x with its window replaced by v.  dx = dy, 0 at the window; dv = dy at the window.
 */
static sq_status copy_slices_backward(sq_back *b) {
  layout l = {0};
  sq_status st = lay_out(b, b->dy[0]->dtype, &l);
  if (st == SQ_OK) st = sq_tensor_copy(l.viewed, b->dy[0]);
  if (st == SQ_OK && sq__needs(b, 1)) st = sq_tensor_clone(l.window, &b->dx[1]);
  if (st == SQ_OK) st = sq_tensor_fill(l.window, 0);
  if (st == SQ_OK) st = sq_tensor_clone(l.viewed, &b->dx[0]);
  drop_layout(&l);
  return st;
}

const sq_op_impl sq__op_copy_slices = {
    .forward = never_called, .backward = copy_slices_backward, .mixed = true};

static sq_status window_node(sq_op_id op, int nin, sq_tensor *const *in, const sq_tensor *window,
                             sq_node **out) {
  SQ_TRY(sq__node_new(sq_op_at(op), nin, in, out));
  sq_call c = {.node = *out};
  save_geometry(&c, window, in[0]);
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

/* Fails where two elements of t share memory. */
static sq_status check_apart(const sq_op *op, const sq_tensor *t) {
  for (int i = 0; i < t->ndim; i++) {
    if (t->stride[i] != 0 || t->shape[i] <= 1) continue;
    return sq_fail(SQ_ESTATE,
                   "[%s_] x is %s and expanded: elements along dim %d share memory; change a clone",
                   op->name, sq_tensor_shape_text(t, SQ_SHAPE_BUF), i + 1);
  }
  return SQ_OK;
}

sq_status sq__check_inplace(const sq_op *op, sq_tensor *t) {
  SQ_TRY(check_apart(op, t));
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

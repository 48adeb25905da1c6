/* walk.c: walks over the graph by a heap of nodes by age; and the gradient that a tensor is given,
 * whose graph must not hold that tensor. */
#include "autograd/walk_priv.h"

#include "base/mem.h"

static sq_status room_for_node(sq_nodes *h) {
  void *list = h->node;
  SQ_TRY(sq_grow(h->n + 1, sizeof *h->node, &list, &h->room));
  h->node = list;
  return SQ_OK;
}

sq_status sq__heap_push(sq_nodes *h, sq_node *n) {
  SQ_TRY(room_for_node(h));
  int64_t at = h->n++;
  for (; at > 0 && h->node[(at - 1) / 2]->seq < n->seq; at = (at - 1) / 2)
    h->node[at] = h->node[(at - 1) / 2];
  h->node[at] = sq__node_keep(n);
  return SQ_OK;
}

sq_node *sq__heap_pop(sq_nodes *h) {
  sq_node *top = h->node[0], *last = h->node[--h->n];
  int64_t at = 0;
  for (;;) {
    int64_t child = 2 * at + 1;
    if (child >= h->n) break;
    if (child + 1 < h->n && h->node[child + 1]->seq > h->node[child]->seq) child++;
    if (h->node[child]->seq <= last->seq) break;
    h->node[at] = h->node[child];
    at = child;
  }
  if (h->n > 0) h->node[at] = last;
  return top;
}

/* --- lanes ---------------------------------------------------------------------------------- */

static uint8_t lanes;

uint8_t sq__take_lane(void) {
  for (unsigned bit = 1; bit < 256; bit <<= 1) {
    if (lanes & bit) continue;
    lanes |= (uint8_t)bit;
    return (uint8_t)bit;
  }
  return 0;
}

void sq__give_lane(uint8_t lane) { lanes &= (uint8_t)~lane; }

sq_status sq__come_by(sq_nodes *h, sq_node *n, uint8_t lane) {
  if (n->seen & lane) return SQ_OK;
  n->seen |= lane;
  return sq__heap_push(h, n);
}

static sq_status come_by_inputs(sq_nodes *h, const sq_node *n, uint8_t lane, uint64_t oldest,
                                bool holding) {
  for (int i = 0; i < n->nin; i++) {
    sq_node *behind = n->edge[i].node;
    if (!behind || behind->seq < oldest || (holding && behind->lets_go)) continue;
    SQ_TRY(sq__come_by(h, behind, lane));
  }
  return SQ_OK;
}

sq_status sq__gather(sq_nodes *h, uint8_t lane, uint64_t oldest, bool holding, sq_nodes *all) {
  sq_status st = SQ_OK;
  while (h->n > 0) {
    sq_node *n = sq__heap_pop(h);
    if (st == SQ_OK) st = room_for_node(all);
    if (st == SQ_OK) {
      all->node[all->n++] = n;
      st = come_by_inputs(h, n, lane, oldest, holding);
    } else {
      n->seen &= (uint8_t)~lane;
      sq__node_drop(n);
    }
  }
  sq_free(h->node);
  return st;
}

void sq__forget(sq_nodes *all, uint8_t lane) {
  for (int64_t i = 0; i < all->n; i++) {
    all->node[i]->seen &= (uint8_t)~lane;
    all->node[i]->wanted &= (uint8_t)~lane;
    sq__node_drop(all->node[i]);
  }
  sq_free(all->node);
}

/* --- the gradient of a tensor --------------------------------------------------------------- */

/* The oldest first: a node that has let go has only such behind it. */
sq_status sq__let_go_of_leaves(sq_tensor *grad) {
  const sq_meta *m = sq__meta_of(grad);
  if (!m || !m->node || m->node->lets_go) return SQ_OK;
  sq_nodes h = {0}, all = {0};
  uint8_t lane = sq__take_lane();
  if (!lane) return SQ_OK;
  sq_status st = sq__come_by(&h, m->node, lane);
  sq_status gathered = sq__gather(&h, lane, 0, true, &all);
  if (st == SQ_OK) st = gathered;
  for (int64_t i = all.n - 1; i >= 0 && st == SQ_OK; i--) st = sq__save_bare(all.node[i]);
  sq__forget(&all, lane);
  sq__give_lane(lane);
  return st;
}

sq_status sq_set_grad(sq_tensor *t, sq_tensor *grad) {
  if (grad && !sq_shape_equal(t->ndim, t->shape, grad->ndim, grad->shape)) {
    return sq_fail(SQ_ESHAPE, "[grad] x is %s, its gradient can't be %s",
                   sq_tensor_shape_text(t, SQ_SHAPE_BUF), sq_tensor_shape_text(grad, SQ_SHAPE_BUF));
  }
  if (grad && grad->dtype != t->dtype) {
    return sq_fail(SQ_ETYPE, "[grad] x is %s, its gradient can't be %s", sq_dtype_name(t->dtype),
                   sq_dtype_name(grad->dtype));
  }
  if (!grad && !sq_grad(t)) return SQ_OK;
  if (grad) SQ_TRY(sq__let_go_of_leaves(grad));
  sq_slot *slot;
  SQ_TRY(sq__slot_of(t, &slot));
  sq_tensor_keep(grad);
  sq_tensor_drop(slot->grad);
  slot->grad = grad;
  return SQ_OK;
}

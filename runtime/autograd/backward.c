/* backward.c: gradients from results to leaves: a heap of nodes by age, so that no depth of graph
 * needs a stack. */
#include <stdio.h>

#include "autograd/tape_priv.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "tensor/map.h"

/* Nodes with a gradient waiting, youngest on top: all that use a node's results are younger than
 * it. */
typedef struct heap {
  sq_node **node;
  int64_t n, room;
} heap;

static sq_status heap_push(heap *h, sq_node *n) {
  if (h->n == h->room) {
    int64_t room = h->room ? 2 * h->room : 64;
    void *block = h->node;
    SQ_TRY(sq_realloc(room * (int64_t)sizeof *h->node, &block));
    h->node = block;
    h->room = room;
  }
  int64_t at = h->n++;
  for (; at > 0 && h->node[(at - 1) / 2]->seq < n->seq; at = (at - 1) / 2)
    h->node[at] = h->node[(at - 1) / 2];
  h->node[at] = sq__node_keep(n);
  return SQ_OK;
}

static sq_node *heap_pop(heap *h) {
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

/* *sum = *sum + value; the first value is taken over. [take value] */
static sq_status add_to_sum(sq_tensor **sum, sq_tensor *value) {
  if (!*sum) {
    *sum = value;
    return SQ_OK;
  }
  sq_tensor *total;
  sq_status st = sq_map("backward", SQ_ELEM_add, (sq_tensor *[]){*sum, value}, NULL, &total);
  sq_tensor_drop(value);
  if (st != SQ_OK) return st;
  sq_tensor_drop(*sum);
  *sum = total;
  return SQ_OK;
}

/* A leaf's gradient owns its memory: scripts may change it in place. [take value] */
static sq_status accumulate_leaf(sq_slot *slot, sq_tensor *value) {
  if (slot->grad && sq_tensor_shared_dim(slot->grad) >= 0) return add_to_sum(&slot->grad, value);
  if (slot->grad) {
    sq_tensor *sum = slot->grad;
    sq_status st = sq_map_into(SQ_ELEM_add, (sq_tensor *[]){sum, value}, NULL, sum);
    sq_tensor_changed(sum);
    sq_tensor_drop(value);
    return st;
  }
  bool alone = value->refs == 1 && value->storage->refs == 1 && sq_tensor_is_contiguous(value);
  if (alone) {
    slot->grad = value;
    return SQ_OK;
  }
  sq_status st = sq_tensor_clone(value, &slot->grad);
  sq_tensor_drop(value);
  return st;
}

/* What one run of backward carries. */
typedef struct run {
  heap waiting;
  bool retain;
  int captures; /* sq_gradients: where gradients go instead of the leaves */
  sq_tensor *const *input;
  sq_tensor **captured;
} run;

/* Sends a gradient along an edge. [take value] */
static sq_status send_gradient(run *r, const sq_edge *e, sq_tensor *value) {
  if (e->slot && r->captured) {
    sq_status st = SQ_OK;
    for (int i = 0; i < r->captures && st == SQ_OK; i++) {
      const sq_meta *m = sq__meta_of(r->input[i]);
      if (m && !m->node && m->slot == e->slot)
        st = add_to_sum(&r->captured[i], sq_tensor_keep(value));
    }
    sq_tensor_drop(value);
    return st;
  }
  if (e->slot) return accumulate_leaf(e->slot, value);
  sq_node *n = e->node;
  bool fresh = true;
  for (int k = 0; k < SQ_MAX_OUT; k++) fresh = fresh && !n->dy[k];
  if (fresh) {
    sq_status st = heap_push(&r->waiting, n);
    if (st != SQ_OK) {
      sq_tensor_drop(value);
      return st;
    }
  }
  return add_to_sum(&n->dy[e->index], value);
}

/* Fails when an input of the node has got another dtype or shape: it can't take this gradient. */
static sq_status check_inputs(const sq_node *n) {
  for (int i = 0; i < n->nin; i++) {
    const sq_edge *e = &n->edge[i];
    if (!e->slot || !e->slot->stale) continue;
    char where[160] = "";
    if (n->source) snprintf(where, sizeof where, " at %s:%d", n->source, n->line);
    return sq_fail(SQ_ESTATE,
                   "[%s] an input%s was %s %s, and its tensor was given another dtype or shape "
                   "since: this graph needs what it was; run the forward again",
                   n->op->name, where, sq_dtype_name(e->dtype),
                   sq_shape_text(e->ndim, e->shape, SQ_SHAPE_BUF));
  }
  return SQ_OK;
}

static sq_status check_saved(const sq_node *n) {
  if (n->released && n->nsaved > 0) {
    return sq_fail(
        SQ_ESTATE,
        "[%s] backward a second time: what it saved was freed by the first; give the first "
        "backward{retain_graph = true}",
        n->op->name);
  }
  for (int i = 0; i < n->nsaved; i++) {
    const sq_saved *s = &n->saved[i];
    if (!s->tensor || s->tensor->storage->version == s->version) continue;
    char where[160] = "";
    if (n->source) snprintf(where, sizeof where, " at %s:%d", n->source, n->line);
    return sq_fail(SQ_ESTATE,
                   "[%s] a tensor of shape %s that it saved for backward%s was changed in place "
                   "since (version %u, saved "
                   "at %u): change a clone instead",
                   n->op->name, sq_tensor_shape_text(s->tensor, SQ_SHAPE_BUF), where,
                   s->tensor->storage->version, s->version);
  }
  return SQ_OK;
}

/* Keeps a copy of results' gradients that were asked for. */
static sq_status serve_results(run *r, sq_node *n) {
  for (int k = 0; k < SQ_MAX_OUT; k++) {
    if (!n->dy[k]) continue;
    if (n->slot[k] && !r->captured) SQ_TRY(accumulate_leaf(n->slot[k], sq_tensor_keep(n->dy[k])));
    for (int i = 0; i < r->captures; i++) {
      const sq_meta *m = sq__meta_of(r->input[i]);
      if (m && m->node == n && m->index == k) r->captured[i] = sq_tensor_keep(n->dy[k]);
    }
  }
  return SQ_OK;
}

/* Runs a node's backward and sends on what it gives. */
static sq_status run_node(run *r, sq_node *n) {
  SQ_TRY(check_inputs(n));
  SQ_TRY(check_saved(n));
  SQ_TRY(serve_results(r, n));
  sq_tensor *few[SQ_FEW_INPUTS] = {0};
  void *many = NULL;
  if (n->nin > SQ_FEW_INPUTS) SQ_TRY(sq_alloc_zero(n->nin * (int64_t)sizeof(sq_tensor *), &many));
  sq_back b = {n, n->dy, many ? many : few};
  sq_status st = sq__watching ? sq__watch_backward(&b) : n->op->impl->backward(&b);
  if (st == SQ_OK && !r->retain) sq__release_saved(n);
  for (int k = 0; k < SQ_MAX_OUT; k++) {
    sq_tensor_drop(n->dy[k]);
    n->dy[k] = NULL;
  }
  for (int i = 0; i < n->nin; i++) {
    if (!b.dx[i]) continue;
    if (st == SQ_OK && sq__needs(&b, i)) {
      st = send_gradient(r, &n->edge[i], b.dx[i]);
    } else {
      sq_tensor_drop(b.dx[i]);
    }
  }
  sq_free(many);
  return st;
}

static sq_status run_all(run *r) {
  sq_status st = SQ_OK;
  while (r->waiting.n > 0) {
    sq_node *n = heap_pop(&r->waiting);
    if (st == SQ_OK) st = run_node(r, n);
    if (st == SQ_OK) st = sq_interrupt_check();
    for (int k = 0; k < SQ_MAX_OUT; k++) { /* left over only after a failure */
      sq_tensor_drop(n->dy[k]);
      n->dy[k] = NULL;
    }
    sq__node_drop(n);
  }
  sq_free(r->waiting.node);
  return st;
}

/* The gradient that backward starts from. */
static sq_status make_seed(sq_tensor *t, sq_tensor *grad, sq_tensor **out) {
  if (!sq_requires_grad(t)) {
    return sq_fail(SQ_ESTATE,
                   "[backward] x requires no gradient: no tensor it was made from does, or it was "
                   "made under no_grad");
  }
  if (!grad && t->numel != 1) {
    return sq_fail(
        SQ_ESHAPE,
        "[backward] x is %s: only a tensor with one element goes back by itself; reduce it, with "
        "x:mean() or x:sum(), or give a gradient of its shape",
        sq_tensor_shape_text(t, SQ_SHAPE_BUF));
  }
  if (!grad) return sq_tensor_full(t->dtype, t->ndim, t->shape, 1, out);
  if (!sq_shape_equal(t->ndim, t->shape, grad->ndim, grad->shape)) {
    return sq_fail(SQ_ESHAPE, "[backward] x is %s, gradient is %s: they must be equal",
                   sq_tensor_shape_text(t, SQ_SHAPE_BUF), sq_tensor_shape_text(grad, SQ_SHAPE_BUF));
  }
  if (grad->dtype != t->dtype) return sq_tensor_cast(grad, t->dtype, out);
  return sq_tensor_clone(grad, out);
}

/* Puts the seed of one output on the heap. */
static sq_status start_output(run *r, sq_tensor *t, sq_tensor *grad) {
  sq_tensor *first;
  SQ_TRY(make_seed(t, grad, &first));
  sq_edge e;
  sq_status st = sq__edge_to(t, &e);
  if (st == SQ_OK) {
    st = send_gradient(r, &e, first);
  } else {
    sq_tensor_drop(first);
  }
  sq__node_drop(e.node);
  sq__slot_drop(e.slot);
  return st;
}

sq_status sq_backward(sq_tensor *t, sq_tensor *grad, bool retain) {
  run r = {.retain = retain};
  sq_status st = start_output(&r, t, grad);
  sq_status ran = run_all(&r);
  return st != SQ_OK ? st : ran;
}

static sq_status check_captured(const run *r, bool allow_unused) {
  for (int i = 0; i < r->captures; i++) {
    if (!r->captured[i] && !allow_unused) {
      return sq_fail(SQ_ESTATE,
                     "[grad] input %d is not part of the outputs' graph: pass allow_unused = true "
                     "for nil there",
                     i + 1);
    }
  }
  return SQ_OK;
}

sq_status sq_gradients(int outputs, sq_tensor *const *output, sq_tensor *const *grads, int inputs,
                       sq_tensor *const *input, bool retain, bool allow_unused, sq_tensor **out) {
  for (int i = 0; i < inputs; i++) {
    out[i] = NULL;
    if (!sq_requires_grad(input[i]))
      return sq_fail(SQ_ESTATE, "[grad] input %d requires no gradient", i + 1);
    SQ_TRY(sq__refresh_view(input[i]));
  }
  run r = {.retain = retain, .captures = inputs, .input = input, .captured = out};
  sq_status st = SQ_OK;
  for (int k = 0; k < outputs && st == SQ_OK; k++)
    st = start_output(&r, output[k], grads ? grads[k] : NULL);
  sq_status ran = run_all(&r);
  if (st == SQ_OK) st = ran;
  if (st == SQ_OK) st = check_captured(&r, allow_unused);
  for (int i = 0; i < inputs && st != SQ_OK; i++) {
    sq_tensor_drop(out[i]);
    out[i] = NULL;
  }
  return st;
}

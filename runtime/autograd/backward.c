/* backward.c: gradients from results to leaves, or to some inputs only; recorded, where they are to
 * have gradients themselves. */
#include "autograd/again_priv.h"
#include "autograd/tape_priv.h"
#include "autograd/walk_priv.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "tensor/map.h"

/* What one run of backward carries. */
typedef struct run {
  sq_nodes waiting;
  bool retain, create;
  int captures; /* sq_gradients: where gradients go instead of the leaves */
  sq_tensor *const *input;
  sq_tensor **captured;
  uint8_t lane;                    /* the bit of those that lead to them; 0: all nodes */
  sq_node *at;                     /* the node that runs */
  sq_tensor *(*aside)[SQ_MAX_OUT]; /* gradients on their way, while a run inside has the nodes */
  struct run *outer;
} run;

static run *innermost;

/* Whether nobody else sees its memory: it may be added to in place. */
static bool is_alone(const sq_tensor *t) {
  return t->refs == 1 && t->storage->refs == 1 && sq_tensor_is_contiguous(t);
}

/* *sum = *sum + value; the first value is taken over. [take value] */
static sq_status add_to_sum(const run *r, sq_tensor **sum, sq_tensor *value) {
  if (!*sum) {
    *sum = value;
    return SQ_OK;
  }
  sq_tensor *total, *in[] = {*sum, value};
  if (!r->create && is_alone(*sum)) {
    sq_status st = sq_map_into(SQ_ELEM_add, in, NULL, *sum);
    sq_tensor_drop(value);
    return st;
  }
  sq_status st = r->create ? SQ_APPLY(add, &total, SQ_T(in[0]), SQ_T(in[1]))
                           : sq_map("backward", SQ_ELEM_add, in, NULL, &total);
  sq_tensor_drop(value);
  if (st != SQ_OK) return st;
  sq_tensor_drop(*sum);
  *sum = total;
  return SQ_OK;
}

/* *grad = a tensor of value's own memory. [take value] */
static sq_status take_apart(const run *r, sq_tensor *value, sq_tensor **grad) {
  if (is_alone(value)) {
    *grad = value;
    return SQ_OK;
  }
  sq_status st = r->create ? SQ_APPLY(clone, grad, SQ_T(value)) : sq_tensor_clone(value, grad);
  sq_tensor_drop(value);
  return st;
}

/* A recorded gradient in place of what was there. [take value] */
static sq_status accumulate_recorded(const run *r, sq_slot *slot, sq_tensor *value) {
  SQ_OWN sq_tensor *sum = sq_tensor_keep(slot->grad);
  if (sum) {
    SQ_TRY(add_to_sum(r, &sum, value));
  } else {
    SQ_TRY(take_apart(r, value, &sum));
  }
  SQ_TRY(sq__let_go_of_leaves(sum));
  sq_tensor_drop(slot->grad);
  slot->grad = sq_tensor_give(&sum);
  return SQ_OK;
}

/* A leaf's gradient owns its memory: scripts may change it in place. [take value] */
static sq_status accumulate_leaf(const run *r, sq_slot *slot, sq_tensor *value) {
  if (slot->forgotten) {
    sq_tensor_drop(value);
    return SQ_OK;
  }
  if (r->create) return accumulate_recorded(r, slot, value);
  if (!slot->grad) return take_apart(r, value, &slot->grad);
  if (sq_tensor_shared_dim(slot->grad) >= 0) return add_to_sum(r, &slot->grad, value);
  sq_tensor *sum = slot->grad;
  sq_status st = sq_map_into(SQ_ELEM_add, (sq_tensor *[]){sum, value}, NULL, sum);
  sq_tensor_changed(sum);
  sq_tensor_drop(value);
  return st;
}

/* Sends a gradient along an edge. [take value] */
static sq_status send_gradient(run *r, const sq_edge *e, sq_tensor *value) {
  if (e->slot && r->captured) {
    sq_status st = SQ_OK;
    for (int i = 0; i < r->captures && st == SQ_OK; i++) {
      const sq_meta *m = sq__meta_of(r->input[i]);
      if (m && !m->node && m->slot == e->slot)
        st = add_to_sum(r, &r->captured[i], sq_tensor_keep(value));
    }
    sq_tensor_drop(value);
    return st;
  }
  if (e->slot) return accumulate_leaf(r, e->slot, value);
  sq_node *n = e->node;
  bool fresh = true;
  for (int k = 0; k < SQ_MAX_OUT; k++) fresh = fresh && !n->dy[k];
  if (fresh) {
    sq_status st = sq__heap_push(&r->waiting, n);
    if (st != SQ_OK) {
      sq_tensor_drop(value);
      return st;
    }
  }
  return add_to_sum(r, &n->dy[e->index], value);
}

/* Fails when an input of the node has got another dtype or shape: it can't take this gradient. */
static sq_status check_inputs(const sq_node *n) {
  for (int i = 0; i < n->nin; i++) {
    const sq_edge *e = &n->edge[i];
    if (!e->slot || !e->slot->stale) continue;
    char where[160];
    return sq_fail(SQ_ESTATE,
                   "[%s] an input%s was %s %s, and its tensor was given another dtype or shape "
                   "since: this graph needs what it was; run the forward again",
                   n->op->name, sq__where_text(n, where, sizeof where), sq_dtype_name(e->dtype),
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
  for (int i = 0; i < n->nsaved; i++) SQ_TRY(sq__check_version(n, &n->saved[i]));
  return SQ_OK;
}

/* Keeps a copy of results' gradients that were asked for. */
static sq_status serve_results(run *r, sq_node *n) {
  for (int k = 0; k < SQ_MAX_OUT; k++) {
    if (!n->dy[k]) continue;
    if (n->slot[k] && !r->captured)
      SQ_TRY(accumulate_leaf(r, n->slot[k], sq_tensor_keep(n->dy[k])));
    for (int i = 0; i < r->captures; i++) {
      const sq_meta *m = sq__meta_of(r->input[i]);
      if (m && m->node == n && m->index == k) r->captured[i] = sq_tensor_keep(n->dy[k]);
    }
  }
  return SQ_OK;
}

/* --- running a rule ------------------------------------------------------------------------- */

static void drop_made(sq_again *r) {
  for (int64_t i = r->n - 1; i >= 0; i--) sq_tensor_drop(r->made[i]);
  sq_free(r->made);
}

/* The results that got a gradient, and the inputs that were asked for. */
typedef struct ends {
  int outputs, inputs;
  sq_tensor *y[SQ_MAX_OUT], *dy[SQ_MAX_OUT];
  sq_tensor **in, **dx;
  int *number;
} ends;

static void choose_ends(const sq_again *r, sq_tensor *const *y, ends *e) {
  for (int k = 0; k < SQ_MAX_OUT; k++) {
    if (!r->b->dy[k] || !y[k] || !sq_requires_grad(y[k])) continue;
    e->y[e->outputs] = y[k];
    e->dy[e->outputs++] = r->b->dy[k];
  }
  for (int i = 0; i < sq__inputs(r->b); i++) {
    if (!r->in[i] || !sq_requires_grad(r->in[i])) continue;
    e->number[e->inputs] = i;
    e->in[e->inputs++] = r->in[i];
  }
}

/* Records the composition and goes back through it. */
static void go_through(sq_again *r, ends *e) {
  sq_tensor *y[SQ_MAX_OUT] = {0};
  r->b->node->op->impl->compose(r, y);
  if (r->st != SQ_OK) return;
  choose_ends(r, y, e);
  if (!e->outputs || !e->inputs) return;
  const unsigned flags = SQ_CREATE_GRAPH | SQ_RETAIN_GRAPH | SQ_ALLOW_UNUSED;
  if (sq__failed(r, sq_gradients(e->outputs, e->y, e->dy, e->inputs, e->in, flags, e->dx))) return;
  for (int i = 0; i < e->inputs; i++) r->b->dx[e->number[i]] = e->dx[i];
}

/* One block for the three lists of a composition. */
static void run_composition(sq_again *r) {
  int64_t n = sq__inputs(r->b);
  void *block;
  if (sq__failed(r, sq_alloc_zero(n * (int64_t)(3 * sizeof(sq_tensor *) + sizeof(int)), &block)))
    return;
  r->in = block;
  ends e = {.in = r->in + n, .dx = r->in + 2 * n, .number = (int *)(void *)(r->in + 3 * n)};
  go_through(r, &e);
  sq_free(block);
}

static sq_status back_again(sq_back *b) {
  sq_again r = {.b = b};
  const sq_op_impl *impl = b->node->op->impl;
  if (impl->again) {
    impl->again(&r);
  } else if (impl->compose) {
    run_composition(&r);
  } else {
    sq__has_none(&r);
  }
  drop_made(&r);
  return r.st;
}

/* --- the run ---------------------------------------------------------------------------------- */

/* Whether an input of the node is on the way to what is asked for. */
static bool leads_on(const run *r, const sq_node *n) {
  sq_back b = {.node = (sq_node *)n, .lane = r->lane};
  for (int i = 0; i < n->nin; i++)
    if (sq__needs(&b, i)) return true;
  return false;
}

/* What the node's only gradient is added to where it arrives, if that is its backward's to change:
 * windows on one tensor then fill one gradient, and need no zeros each. NULL: they do. */
static sq_tensor *sum_of(const run *r, const sq_node *n) {
  if (!n->op->impl->adds || r->create || sq__watching) return NULL;
  const sq_edge *e = &n->edge[0];
  sq_tensor *sum = e->node ? e->node->dy[e->index] : NULL;
  return sum && is_alone(sum) ? sum : NULL;
}

/* dx of the node, recorded as if the script stood where the node does. */
static sq_status go_back(const run *r, sq_back *b) {
  sq_status (*backward)(sq_back *) = r->create ? back_again : b->node->op->impl->backward;
  const sq_node *was = r->create ? sq__stand_at(b->node) : NULL;
  sq_status st = sq__watching ? sq__watch_backward(b, backward) : backward(b);
  if (r->create) sq__stand_at(was);
  return st;
}

/* Runs a node's backward and sends on what it gives. */
static sq_status run_node(run *r, sq_node *n) {
  bool on = !r->lane || leads_on(r, n);
  if (on) SQ_TRY(check_inputs(n));
  if (on) SQ_TRY(check_saved(n));
  SQ_TRY(serve_results(r, n));
  if (!on) return SQ_OK;
  sq_tensor *few[SQ_FEW_INPUTS] = {0};
  void *many = NULL;
  if (n->nin > SQ_FEW_INPUTS) SQ_TRY(sq_alloc_zero(n->nin * (int64_t)sizeof(sq_tensor *), &many));
  r->at = n;
  sq_back b = {n, n->dy, many ? many : few, r->lane, sum_of(r, n)};
  sq_status st = go_back(r, &b);
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

/* Runs what waits, or only clears it away after a failure. */
static sq_status run_all(run *r, sq_status st) {
  while (r->waiting.n > 0) {
    sq_node *n = sq__heap_pop(&r->waiting);
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

/* Fails where backward, or grad, can't start from t. */
static sq_status check_start(const run *r, const sq_tensor *t, const sq_tensor *grad) {
  const char *op = r->captured ? "grad" : "backward", *x = r->captured ? "an output" : "x";
  if (!sq_requires_grad(t)) {
    return sq_fail(SQ_ESTATE,
                   "[%s] %s requires no gradient: no tensor it was made from does, or it was made "
                   "under no_grad%s",
                   op, x,
                   r->captured ? ", or is a gradient taken without create_graph = true" : "");
  }
  if (!grad && t->numel != 1) {
    return sq_fail(
        SQ_ESHAPE,
        "[%s] %s is %s: only a tensor with one element goes back by itself; reduce it, with "
        "x:mean() or x:sum(), or give a gradient of its shape",
        op, x, sq_tensor_shape_text(t, SQ_SHAPE_BUF));
  }
  if (!grad || sq_shape_equal(t->ndim, t->shape, grad->ndim, grad->shape)) return SQ_OK;
  return sq_fail(SQ_ESHAPE, "[%s] %s is %s, gradient is %s: they must be equal", op, x,
                 sq_tensor_shape_text(t, SQ_SHAPE_BUF), sq_tensor_shape_text(grad, SQ_SHAPE_BUF));
}

/* The gradient that backward starts from; where the run is recorded, the one given as it is, with
 * its own graph. */
static sq_status make_seed(const run *r, sq_tensor *t, sq_tensor *grad, sq_tensor **out) {
  SQ_TRY(check_start(r, t, grad));
  if (!grad) return sq_tensor_full(t->dtype, t->ndim, t->shape, 1, out);
  if (r->create) {
    const sq_arg dtype = {.kind = SQ_ARG_DTYPE, .dtype = t->dtype};
    return SQ_APPLY(to, out, SQ_T(grad), dtype);
  }
  if (grad->dtype != t->dtype) return sq_tensor_cast(grad, t->dtype, out);
  return sq_tensor_clone(grad, out);
}

/* Puts the seed of one output on the heap. */
static sq_status start_output(run *r, sq_tensor *t, sq_tensor *grad) {
  sq_tensor *first;
  SQ_TRY(make_seed(r, t, grad, &first));
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

/* Seeds the outputs, then the rest; a recorded run records even under no_grad. */
static sq_status seed_outputs(run *r, int n, sq_tensor *const *output, sq_tensor *const *grads) {
  sq_status st = SQ_OK;
  for (int k = 0; k < n && st == SQ_OK; k++)
    st = start_output(r, output[k], grads ? grads[k] : NULL);
  return st;
}

/* --- gradients of some inputs --------------------------------------------------------------- */

/* Puts the mark of the lane on the inputs; the age of the oldest node that may lead to one. */
static uint64_t mark_inputs(const run *r) {
  uint64_t oldest = UINT64_MAX;
  for (int i = 0; i < r->captures; i++) {
    const sq_meta *m = sq__meta_of(r->input[i]);
    if (m->node) {
      m->node->wanted |= r->lane;
      if (m->node->seq < oldest) oldest = m->node->seq;
    } else {
      if (m->slot) m->slot->wanted |= r->lane;
      oldest = 0;
    }
  }
  return oldest;
}

static void unmark_inputs(const run *r) {
  for (int i = 0; i < r->captures; i++) {
    const sq_meta *m = sq__meta_of(r->input[i]);
    if (m->node) m->node->wanted &= (uint8_t)~r->lane;
    if (m->slot) m->slot->wanted &= (uint8_t)~r->lane;
  }
}

/* Marks the nodes that lead from what waits to an input: only those go back. */
static sq_status mark_ways(const run *r, sq_nodes *all) {
  sq_nodes h = {0};
  uint64_t oldest = mark_inputs(r);
  sq_status st = SQ_OK;
  for (int64_t i = 0; i < r->waiting.n && st == SQ_OK; i++)
    st = sq__come_by(&h, r->waiting.node[i], r->lane);
  sq_status gathered = sq__gather(&h, r->lane, oldest, false, all);
  for (int64_t i = all->n - 1; i >= 0; i--)
    if (leads_on(r, all->node[i])) all->node[i]->wanted |= r->lane;
  return st != SQ_OK ? st : gathered;
}

/* --- from outputs to inputs ------------------------------------------------------------------- */

/* Gradients that wait at a node are of one run. A function's backward may begin another, which
 * comes by the same nodes: it finds them empty, and leaves them empty. */
static void swap_waiting(run *r) {
  for (int64_t i = 0; i <= r->waiting.n; i++) {
    sq_node *n = i < r->waiting.n ? r->waiting.node[i] : r->at;
    for (int k = 0; k < SQ_MAX_OUT; k++) {
      sq_tensor *t = n->dy[k];
      n->dy[k] = r->aside[i][k];
      r->aside[i][k] = t;
    }
  }
}

static sq_status begin_run(run *r) {
  if (innermost && sq__in_host) {
    void *block;
    SQ_TRY(sq_alloc_zero((innermost->waiting.n + 1) * (int64_t)sizeof *r->aside, &block));
    innermost->aside = block;
    swap_waiting(innermost);
  }
  r->outer = innermost;
  innermost = r;
  return SQ_OK;
}

static void end_run(run *r) {
  innermost = r->outer;
  if (!innermost || !innermost->aside) return;
  swap_waiting(innermost);
  sq_free(innermost->aside);
  innermost->aside = NULL;
}

/* `ways`: where the run goes to some inputs only, what came by on the way there; else NULL.
 * Inlined, gcc would take `innermost` for a pointer that outlives the run. */
__attribute__((noinline)) static sq_status go(run *r, int n, sq_tensor *const *output,
                                              sq_tensor *const *grads, sq_nodes *ways) {
  SQ_TRY(begin_run(r));
  bool was = r->create && sq_grad_enable(true);
  sq_status st = seed_outputs(r, n, output, grads);
  if (st == SQ_OK && r->lane) st = mark_ways(r, ways);
  st = run_all(r, st);
  end_run(r);
  if (r->create) sq_grad_enable(was);
  return st;
}

sq_status sq_backward(sq_tensor *t, sq_tensor *grad, unsigned flags) {
  run r = {.retain = flags & SQ_RETAIN_GRAPH, .create = flags & SQ_CREATE_GRAPH};
  return go(&r, 1, &t, &grad, NULL);
}

/* Fails where an input was not reached: an op may have read it as it was before its tensor got
 * another dtype or shape; else none did. */
static sq_status check_captured(const run *r, const sq_nodes *ways, bool allow_unused) {
  for (int i = 0; i < r->captures; i++) {
    if (r->captured[i]) continue;
    for (int64_t k = 0; k < ways->n; k++) SQ_TRY(check_inputs(ways->node[k]));
    if (allow_unused) continue;
    return sq_fail(SQ_ESTATE,
                   "[grad] input %d is not part of the outputs' graph: pass allow_unused = true "
                   "for nil there",
                   i + 1);
  }
  return SQ_OK;
}

sq_status sq_gradients(int outputs, sq_tensor *const *output, sq_tensor *const *grads, int inputs,
                       sq_tensor *const *input, unsigned flags, sq_tensor **out) {
  for (int i = 0; i < inputs; i++) {
    out[i] = NULL;
    if (!sq_requires_grad(input[i]))
      return sq_fail(SQ_ESTATE, "[grad] input %d requires no gradient", i + 1);
    SQ_TRY(sq__refresh_view(input[i]));
  }
  run r = {.retain = flags & SQ_RETAIN_GRAPH,
           .create = flags & SQ_CREATE_GRAPH,
           .captures = inputs,
           .input = input,
           .captured = out,
           .lane = sq__take_lane()};
  sq_nodes ways = {0};
  sq_status st = go(&r, outputs, output, grads, &ways);
  if (st == SQ_OK) st = check_captured(&r, &ways, flags & SQ_ALLOW_UNUSED);
  sq__forget(&ways, r.lane);
  unmark_inputs(&r);
  sq__give_lane(r.lane);
  for (int i = 0; i < inputs && st != SQ_OK; i++) {
    sq_tensor_drop(out[i]);
    out[i] = NULL;
  }
  return st;
}

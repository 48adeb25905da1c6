/* tape.c: nodes, and backward: a heap of nodes by age, so that no depth of graph needs a stack. */
#include "autograd/tape.h"

#include <stdio.h>
#include <string.h>

#include "autograd/tape_priv.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "tensor/map.h"
#include "tensor/reduce.h"

static bool enabled = true;
static uint64_t next_seq = 1;
static sq_locator *locator;

bool sq_grad_enabled(void) { return enabled; }

bool sq_grad_enable(bool on) {
  bool was = enabled;
  enabled = on;
  return was;
}

void sq_set_locator(sq_locator *locate) { locator = locate; }

/* --- slots and meta -------------------------------------------------------------------------- */

static sq_status slot_new(sq_slot **out) {
  void *block;
  SQ_TRY(sq_alloc_zero(sizeof(sq_slot), &block));
  *out = block;
  (*out)->refs = 1;
  return SQ_OK;
}

static void slot_drop(sq_slot *s) {
  if (!s || --s->refs > 0) return;
  sq_tensor_drop(s->grad);
  sq_free(s);
}

static void meta_drop(sq_extra *extra) {
  sq_meta *m = (sq_meta *)extra;
  sq__node_drop(m->node);
  slot_drop(m->slot);
  sq_tensor_drop(m->viewed);
  sq_free(m);
}

sq_status sq__meta(sq_tensor *t, sq_meta **out) {
  if (!t->extra) {
    void *block;
    SQ_TRY(sq_alloc_zero(sizeof(sq_meta), &block));
    t->extra = block;
    t->extra->drop = meta_drop;
  }
  *out = sq__meta_of(t);
  return SQ_OK;
}

/* The slot of a tensor, made if it has none. */
static sq_status slot_of(sq_tensor *t, sq_slot **out) {
  sq_meta *m;
  SQ_TRY(sq__meta(t, &m));
  if (!m->slot) SQ_TRY(slot_new(&m->slot));
  *out = m->slot;
  return SQ_OK;
}

bool sq_requires_grad(const sq_tensor *t) {
  const sq_meta *m = sq__meta_of(t);
  return m && (m->requires_grad || m->node);
}

bool sq_is_leaf(const sq_tensor *t) { return !t->extra || !sq__meta_of(t)->node; }

const char *sq_grad_fn(const sq_tensor *t) {
  return sq_is_leaf(t) ? NULL : sq__meta_of(t)->node->op->name;
}

sq_tensor *sq_grad(const sq_tensor *t) {
  const sq_meta *m = sq__meta_of(t);
  return m && m->slot ? m->slot->grad : NULL;
}

sq_status sq_set_requires_grad(sq_tensor *t, bool on) {
  if (on && !sq_is_float(t->dtype)) {
    return sq_fail(SQ_ETYPE,
                   "[requires_grad_] x is %s: only float32 and float64 tensors have gradients",
                   sq_dtype_name(t->dtype));
  }
  if (!sq_is_leaf(t)) {
    if (on) return SQ_OK;
    return sq_fail(
        SQ_ESTATE,
        "[requires_grad_] x is a result of [%s]: use x:detach() for a tensor without gradient",
        sq_grad_fn(t));
  }
  sq_meta *m;
  SQ_TRY(sq__meta(t, &m));
  m->requires_grad = on;
  return SQ_OK;
}

sq_status sq_detach(sq_tensor *t) {
  sq_meta *m = sq__meta_of(t);
  if (!m) return SQ_OK;
  if (m->viewed && sq_requires_grad(m->viewed)) {
    return sq_fail(SQ_ESTATE,
                   "[detach_] x is a view of a tensor with a gradient: use x:detach() instead");
  }
  sq__node_drop(m->node);
  m->node = NULL;
  m->requires_grad = false;
  return SQ_OK;
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
  sq_slot *slot;
  SQ_TRY(slot_of(t, &slot));
  sq_tensor_keep(grad);
  sq_tensor_drop(slot->grad);
  slot->grad = grad;
  return SQ_OK;
}

sq_status sq_retain_grad(sq_tensor *t) {
  if (!sq_requires_grad(t)) {
    return sq_fail(SQ_ESTATE,
                   "[retain_grad] x requires no gradient: call x:requires_grad_() first");
  }
  if (sq_is_leaf(t)) return SQ_OK;
  SQ_TRY(sq__refresh_view(t));
  sq_meta *m = sq__meta_of(t);
  if (m->node->slot[m->index]) return SQ_OK;
  sq_slot *slot;
  SQ_TRY(slot_of(t, &slot));
  slot->refs++;
  m->node->slot[m->index] = slot;
  return SQ_OK;
}

/* --- nodes ----------------------------------------------------------------------------------- */

/* Points an edge to where the gradient of `t` goes. */
static sq_status edge_to(sq_tensor *t, sq_edge *e) {
  memset(e, 0, sizeof *e);
  if (!t) return SQ_OK;
  e->ndim = t->ndim;
  e->dtype = t->dtype;
  memcpy(e->shape, t->shape, (size_t)t->ndim * sizeof *t->shape);
  if (!t->extra) return SQ_OK;
  SQ_TRY(sq__refresh_view(t));
  sq_meta *m = sq__meta_of(t);
  if (m->node) {
    e->node = sq__node_keep(m->node);
    e->index = m->index;
  } else if (m->requires_grad) {
    SQ_TRY(slot_of(t, &e->slot));
    e->slot->refs++;
  }
  return SQ_OK;
}

sq_status sq__node_new(const sq_op *op, int nin, sq_tensor *const *in, sq_node **out) {
  void *block;
  SQ_TRY(sq_alloc((int64_t)(sizeof(sq_node) + (size_t)nin * sizeof(sq_edge)), &block));
  sq_node *n = block;
  memset(n, 0, offsetof(sq_node, saved));
  n->refs = 1;
  n->op = op;
  for (int i = 0; i < nin; i++) {
    sq_status st = edge_to(in[i], &n->edge[i]);
    if (st != SQ_OK) {
      sq__node_drop(n);
      return st;
    }
    n->nin = i + 1;
  }
  n->seq = next_seq++;
  if (locator) n->line = locator(&n->source);
  *out = n;
  return SQ_OK;
}

sq_node *sq__node_keep(sq_node *n) {
  if (n) n->refs++;
  return n;
}

static void release_saved(sq_node *n) {
  for (int i = 0; i < n->nsaved; i++) {
    sq_tensor *t = n->saved[i].tensor;
    n->saved[i].tensor = NULL;
    sq_tensor_drop(t);
  }
  n->released = true;
}

/* Nodes whose last reference is gone wait here, so that freeing a long chain does not recurse. */
static sq_node *dying;
static bool reaping;

static void free_node(sq_node *n) {
  release_saved(n); /* dropping tensors may put more nodes on the list */
  for (int i = 0; i < n->nin; i++) {
    sq__node_drop(n->edge[i].node);
    slot_drop(n->edge[i].slot);
  }
  for (int k = 0; k < SQ_MAX_OUT; k++) {
    sq_tensor_drop(n->dy[k]);
    slot_drop(n->slot[k]);
  }
  sq_free(n);
}

void sq__node_drop(sq_node *n) {
  if (!n || --n->refs > 0) return;
  n->next = dying;
  dying = n;
  if (reaping) return;
  reaping = true;
  while (dying) {
    sq_node *first = dying;
    dying = first->next;
    free_node(first);
  }
  reaping = false;
}

sq_status sq__set_node(sq_tensor *t, sq_node *node, int index) {
  sq_meta *m;
  SQ_TRY(sq__meta(t, &m));
  sq__node_keep(node);
  sq__node_drop(m->node);
  m->node = node;
  m->index = index;
  m->view_version = t->storage->version;
  return SQ_OK;
}

/* --- what a block saves and reads --------------------------------------------------------------
 */

/* True for a parameter: no in-place change will hang a graph on it. Any other tensor is saved as a
 * bare window: were it changed in place to a result of this node, the node would hold itself. */
static bool is_fixed_leaf(const sq_tensor *t) {
  const sq_meta *m = sq__meta_of(t);
  return m && m->requires_grad && !m->node && !m->viewed;
}

sq_status sq__save(sq_call *c, sq_tensor *t) {
  if (!c->node) return SQ_OK;
  sq_node *n = c->node;
  SQ_ASSERT(n->nsaved < MAX_SAVED);
  sq_saved *s = &n->saved[n->nsaved];
  s->tensor = NULL;
  if (!t) { /* an optional argument left out */
    n->nsaved++;
    return SQ_OK;
  }
  if (is_fixed_leaf(t)) {
    s->tensor = sq_tensor_keep(t);
  } else {
    SQ_TRY(sq_tensor_alias(t, &s->tensor));
  }
  s->version = t->storage->version;
  n->nsaved++;
  return SQ_OK;
}

void sq__save_number(sq_call *c, double x) {
  if (!c->node) return;
  SQ_ASSERT(c->node->nnumbers < MAX_NUMBERS);
  c->node->number[c->node->nnumbers++] = x;
}

void sq__save_ints(sq_call *c, int n, const int64_t *v) {
  for (int i = 0; i < n; i++) sq__save_int(c, v[i]);
}

void sq__save_int(sq_call *c, int64_t v) {
  if (!c->node) return;
  SQ_ASSERT(c->node->nints < MAX_INTS);
  c->node->ints[c->node->nints++] = v;
}

sq_status sq__reserve(sq_call *c, sq_tensor *y) {
  sq_meta *m;
  return c->node ? sq__meta(y, &m) : SQ_OK;
}

bool sq__needs(const sq_back *b, int i) { return b->node->edge[i].node || b->node->edge[i].slot; }
int sq__inputs(const sq_back *b) { return b->node->nin; }
sq_tensor *sq__saved(const sq_back *b, int i) { return b->node->saved[i].tensor; }
double sq__number(const sq_back *b, int i) { return b->node->number[i]; }
const int64_t *sq__ints(const sq_back *b) { return b->node->ints; }
int sq__in_ndim(const sq_back *b, int i) { return b->node->edge[i].ndim; }
const int64_t *sq__in_shape(const sq_back *b, int i) { return b->node->edge[i].shape; }
sq_dtype sq__in_dtype(const sq_back *b, int i) { return b->node->edge[i].dtype; }

sq_status sq__give(sq_back *b, int i, sq_tensor *value) {
  const sq_edge *e = &b->node->edge[i];
  sq_status st = sq_sum_to(value, e->ndim, e->shape, &b->dx[i]);
  sq_tensor_drop(value);
  return st;
}

/* --- backward -------------------------------------------------------------------------------- */

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
static sq_status accumulate(sq_tensor **sum, sq_tensor *value) {
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
static sq_status send(run *r, const sq_edge *e, sq_tensor *value) {
  if (e->slot && r->captured) {
    sq_status st = SQ_OK;
    for (int i = 0; i < r->captures && st == SQ_OK; i++) {
      const sq_meta *m = sq__meta_of(r->input[i]);
      if (m && !m->node && m->slot == e->slot)
        st = accumulate(&r->captured[i], sq_tensor_keep(value));
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
  return accumulate(&n->dy[e->index], value);
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

enum { FEW_INPUTS = 16 };

/* Runs a node's backward and sends on what it gives. */
static sq_status run_node(run *r, sq_node *n) {
  SQ_TRY(check_saved(n));
  SQ_TRY(serve_results(r, n));
  sq_tensor *few[FEW_INPUTS] = {0};
  void *many = NULL;
  if (n->nin > FEW_INPUTS) SQ_TRY(sq_alloc_zero(n->nin * (int64_t)sizeof(sq_tensor *), &many));
  sq_back b = {n, n->dy, many ? many : few};
  sq_status st = sq__watching ? sq__watch_backward(&b) : n->op->impl->backward(&b);
  if (st == SQ_OK && !r->retain) release_saved(n);
  for (int k = 0; k < SQ_MAX_OUT; k++) {
    sq_tensor_drop(n->dy[k]);
    n->dy[k] = NULL;
  }
  for (int i = 0; i < n->nin; i++) {
    if (!b.dx[i]) continue;
    if (st == SQ_OK && sq__needs(&b, i)) {
      st = send(r, &n->edge[i], b.dx[i]);
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
static sq_status seed(sq_tensor *t, sq_tensor *grad, sq_tensor **out) {
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
  if (grad->dtype != t->dtype) {
    return sq_fail(SQ_ETYPE, "[backward] x is %s, gradient is %s: convert it with :to(dtype)",
                   sq_dtype_name(t->dtype), sq_dtype_name(grad->dtype));
  }
  return sq_tensor_clone(grad, out);
}

/* Puts the seed of one output on the heap. */
static sq_status start(run *r, sq_tensor *t, sq_tensor *grad) {
  sq_tensor *first;
  SQ_TRY(seed(t, grad, &first));
  sq_edge e;
  sq_status st = edge_to(t, &e);
  if (st == SQ_OK) {
    st = send(r, &e, first);
  } else {
    sq_tensor_drop(first);
  }
  sq__node_drop(e.node);
  slot_drop(e.slot);
  return st;
}

sq_status sq_backward(sq_tensor *t, sq_tensor *grad, bool retain) {
  run r = {.retain = retain};
  sq_status st = start(&r, t, grad);
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
    st = start(&r, output[k], grads ? grads[k] : NULL);
  sq_status ran = run_all(&r);
  if (st == SQ_OK) st = ran;
  if (st == SQ_OK) st = check_captured(&r, allow_unused);
  for (int i = 0; i < inputs && st != SQ_OK; i++) {
    sq_tensor_drop(out[i]);
    out[i] = NULL;
  }
  return st;
}

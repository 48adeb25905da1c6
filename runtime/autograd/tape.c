/* tape.c: who requires a gradient, the nodes of the graph, what they keep, and the windows: a
 * change of a window is recorded on what it looks at; other windows learn of it when they are used
 * next. */
#include "autograd/tape.h"

#include <stdio.h>
#include <string.h>

#include "autograd/tape_priv.h"
#include "base/mem.h"
#include "tensor/reduce.h"

static bool enabled = true;
static uint64_t next_seq = 1;
static sq_locator *locator;
static const sq_node *standing_at; /* NULL: ask the locator */

bool sq_grad_enabled(void) { return enabled; }

bool sq_grad_enable(bool on) {
  bool was = enabled;
  enabled = on;
  return was;
}

void sq_set_locator(sq_locator *locate) { locator = locate; }

/* --- slots and meta ------------------------------------------------------------------------- */

static sq_status slot_new(sq_slot **out) {
  void *block;
  SQ_TRY(sq_alloc_zero(sizeof(sq_slot), &block));
  *out = block;
  (*out)->refs = 1;
  return SQ_OK;
}

void sq__slot_drop(sq_slot *s) {
  if (!s || --s->refs > 0) return;
  sq_tensor_drop(s->grad);
  sq_free(s);
}

/* Nobody shows the slot's gradient any more. */
static void forget_grad(sq_slot *s) {
  sq_tensor *grad = s->grad;
  s->grad = NULL;
  s->forgotten = true;
  sq_tensor_drop(grad);
}

static void meta_drop(sq_extra *extra) {
  sq_meta *m = (sq_meta *)extra;
  if (m->slot && !m->stand_in) forget_grad(m->slot);
  sq__node_drop(m->node);
  sq__slot_drop(m->slot);
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

sq_status sq__slot_of(sq_tensor *t, sq_slot **out) {
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
                   "[requires_grad_] x is %s: only float32 and float64 tensors have gradients; "
                   "write 1.0 for 1, or give dtype = \"float32\"",
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

bool sq_is_parameter(const sq_tensor *t) { return t->extra && sq__meta_of(t)->parameter; }

sq_status sq_mark_parameter(sq_tensor *t) {
  sq_meta *m;
  SQ_TRY(sq__meta(t, &m));
  m->parameter = true;
  return SQ_OK;
}

sq_status sq_detach(sq_tensor *t) {
  sq_meta *m = sq__meta_of(t);
  if (!m) return SQ_OK;
  const sq_tensor *viewed = sq__viewed(t);
  if (viewed && sq_requires_grad(viewed)) {
    return sq_fail(SQ_ESTATE,
                   "[detach_] x is a view of a tensor with a gradient: use x:detach() instead");
  }
  sq__node_drop(m->node);
  m->node = NULL;
  m->requires_grad = false;
  return SQ_OK;
}

/* --- other data in the same tensor ------------------------------------------------------------ */

/* What a tensor is about to become: everything that can fail is in here. */
typedef struct becoming {
  sq_tensor *data, *grad; /* grad: NULL for none */
  sq_slot *slot;          /* a new one, where a graph holds the old one */
} becoming;

static void becoming_drop(becoming *b) {
  sq_tensor_drop(b->data);
  sq_tensor_drop(b->grad);
  sq__slot_drop(b->slot);
}

static sq_status check_becomes(const sq_tensor *t, const sq_tensor *value, sq_dtype dtype) {
  const sq_tensor *grad = sq_grad(t);
  if (!sq_is_leaf(t)) {
    return sq_fail(SQ_ESTATE,
                   "[data] x is %s %s, a result of [%s], and can't become %s %s: only a leaf takes "
                   "another dtype or shape",
                   sq_dtype_name(t->dtype), sq_tensor_shape_text(t, SQ_SHAPE_BUF), sq_grad_fn(t),
                   sq_dtype_name(dtype), sq_tensor_shape_text(value, SQ_SHAPE_BUF));
  }
  if (sq_requires_grad(t) && !sq_is_float(dtype)) {
    return sq_fail(SQ_ETYPE,
                   "[data] x requires a gradient and can't become %s: only float32 and "
                   "float64 tensors have gradients",
                   sq_dtype_name(dtype));
  }
  if (grad && !sq_shape_equal(grad->ndim, grad->shape, value->ndim, value->shape)) {
    return sq_fail(SQ_ESTATE,
                   "[data] x has a gradient of shape %s and can't become %s: set x.grad "
                   "= nil first",
                   sq_tensor_shape_text(grad, SQ_SHAPE_BUF),
                   sq_tensor_shape_text(value, SQ_SHAPE_BUF));
  }
  return SQ_OK;
}

static sq_status copy_as(sq_tensor *t, sq_dtype dtype, sq_tensor **out) {
  return dtype == t->dtype ? sq_tensor_clone(t, out) : sq_tensor_cast(t, dtype, out);
}

static sq_status prepare_becoming(sq_tensor *t, sq_tensor *value, sq_dtype dtype, becoming *b) {
  SQ_TRY(check_becomes(t, value, dtype));
  SQ_TRY(copy_as(value, dtype, &b->data));
  const sq_meta *m = sq__meta_of(t);
  if (!m || !m->slot) return SQ_OK;
  if (m->slot->grad) SQ_TRY(copy_as(m->slot->grad, dtype, &b->grad));
  return m->slot->refs > 1 ? slot_new(&b->slot) : SQ_OK;
}

/* [take what b holds] */
static void become_tensor(sq_tensor *t, becoming *b) {
  sq_tensor_become(t, b->data);
  sq_meta *m = sq__meta_of(t);
  if (b->slot) {
    b->slot->grad = m->slot->grad;
    m->slot->grad = NULL;
    m->slot->stale = true;
    sq__slot_drop(m->slot);
    m->slot = b->slot;
  }
  if (b->grad) sq_tensor_become(m->slot->grad, b->grad);
  *b = (becoming){0};
}

sq_status sq_set_data(sq_tensor *t, sq_tensor *value) {
  if (t->dtype == value->dtype && sq_shape_equal(t->ndim, t->shape, value->ndim, value->shape))
    return sq_tensor_copy(t, value);
  becoming b = {0};
  sq_status st = prepare_becoming(t, value, value->dtype, &b);
  if (st == SQ_OK) become_tensor(t, &b);
  becoming_drop(&b);
  return st;
}

sq_status sq_convert(int n, sq_tensor *const *t, sq_dtype dtype) {
  void *block;
  SQ_TRY(sq_alloc_zero((n + 1) * (int64_t)sizeof(becoming), &block));
  becoming *b = block;
  sq_status st = SQ_OK;
  for (int i = 0; i < n && st == SQ_OK; i++)
    if (t[i]->dtype != dtype) st = prepare_becoming(t[i], t[i], dtype, &b[i]);
  for (int i = 0; i < n && st == SQ_OK; i++)
    if (b[i].data && t[i]->dtype != dtype)
      become_tensor(t[i], &b[i]); /* one given twice becomes once */
  for (int i = 0; i < n; i++) becoming_drop(&b[i]);
  sq_free(block);
  return st;
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
  SQ_TRY(sq__slot_of(t, &slot));
  slot->refs++;
  m->node->slot[m->index] = slot;
  return SQ_OK;
}

/* --- nodes ---------------------------------------------------------------------------------- */

sq_status sq__edge_to(sq_tensor *t, sq_edge *e) {
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
    SQ_TRY(sq__slot_of(t, &e->slot));
    e->slot->refs++;
  }
  return SQ_OK;
}

static void locate_node(sq_node *n) {
  if (standing_at) {
    n->source = standing_at->source;
    n->line = standing_at->line;
  } else if (locator) {
    n->line = locator(&n->source);
  }
}

const sq_node *sq__stand_at(const sq_node *n) {
  const sq_node *was = standing_at;
  standing_at = n;
  return was;
}

sq_status sq__node_new(const sq_op *op, int nin, sq_tensor *const *in, sq_node **out) {
  void *block;
  SQ_TRY(sq_alloc((int64_t)(sizeof(sq_node) + (size_t)nin * sizeof(sq_edge)), &block));
  sq_node *n = block;
  memset(n, 0, offsetof(sq_node, saved));
  n->refs = 1;
  n->op = op;
  for (int i = 0; i < nin; i++) {
    sq_status st = sq__edge_to(in[i], &n->edge[i]);
    if (st != SQ_OK) {
      sq__node_drop(n);
      return st;
    }
    n->nin = i + 1;
  }
  n->seq = next_seq++;
  locate_node(n);
  *out = n;
  return SQ_OK;
}

sq_node *sq__node_keep(sq_node *n) {
  if (n) n->refs++;
  return n;
}

void sq__release_saved(sq_node *n) {
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
  sq__release_saved(n); /* dropping tensors may put more nodes on the list */
  for (int i = 0; i < n->nin; i++) {
    sq__node_drop(n->edge[i].node);
    sq__slot_drop(n->edge[i].slot);
  }
  for (int k = 0; k < SQ_MAX_OUT; k++) {
    sq_tensor_drop(n->dy[k]);
    sq__slot_drop(n->slot[k]);
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

/* --- what a block saves and reads ----------------------------------------------------------- */

/* True for a parameter: no in-place change will hang a graph on it. Any other tensor is saved as a
 * bare window: were it changed in place to a result of this node, the node would hold itself. */
static bool is_fixed_leaf(const sq_tensor *t) {
  const sq_meta *m = sq__meta_of(t);
  return m && m->requires_grad && !m->node && !m->viewed;
}

sq_status sq__save(sq_call *c, int slot, sq_tensor *t) {
  if (!c->node) return SQ_OK;
  sq_node *n = c->node;
  SQ_ASSERT(slot < MAX_SAVED);
  while (n->nsaved <= slot) n->saved[n->nsaved++].tensor = NULL;
  if (!t) return SQ_OK; /* an optional argument left out */
  sq_saved *s = &n->saved[slot];
  if (is_fixed_leaf(t)) {
    s->tensor = sq_tensor_keep(t);
  } else {
    SQ_TRY(sq_tensor_alias(t, &s->tensor));
  }
  s->version = t->storage->version;
  return SQ_OK;
}

void sq__save_values(sq_call *c, const void *values, size_t size) {
  if (c->node) memcpy(c->node->values, values, size);
}

sq_status sq__reserve(sq_call *c, sq_tensor *y) {
  sq_meta *m;
  return c->node ? sq__meta(y, &m) : SQ_OK;
}

sq_status sq__attach(const sq_edge *e, sq_tensor *t) {
  sq_meta *m;
  if (e->node) return sq__set_node(t, e->node, e->index);
  if (!e->slot) return SQ_OK;
  SQ_TRY(sq__meta(t, &m));
  m->requires_grad = m->stand_in = true;
  m->slot = e->slot;
  e->slot->refs++;
  return SQ_OK;
}

sq_status sq__save_bare(sq_node *n) {
  for (int i = 0; i < n->nsaved; i++) {
    sq_tensor *t = n->saved[i].tensor, *bare;
    if (!t || !is_fixed_leaf(t)) continue;
    SQ_TRY(sq_tensor_alias(t, &bare));
    n->saved[i].tensor = bare;
    sq_tensor_drop(t);
  }
  n->lets_go = true;
  return SQ_OK;
}

bool sq__needs(const sq_back *b, int i) {
  const sq_edge *e = &b->node->edge[i];
  if (!b->lane) return e->node || e->slot;
  return e->node ? e->node->wanted & b->lane : e->slot && e->slot->wanted & b->lane;
}
int sq__inputs(const sq_back *b) { return b->node->nin; }
sq_tensor *sq__saved(const sq_back *b, int slot) { return b->node->saved[slot].tensor; }
const void *sq__values(const sq_back *b) { return b->node->values; }
int sq__in_ndim(const sq_back *b, int i) { return b->node->edge[i].ndim; }
const int64_t *sq__in_shape(const sq_back *b, int i) { return b->node->edge[i].shape; }
sq_dtype sq__in_dtype(const sq_back *b, int i) { return b->node->edge[i].dtype; }

sq_status sq__give(sq_back *b, int i, sq_tensor *value) {
  const sq_edge *e = &b->node->edge[i];
  sq_status st = sq_sum_to(value, e->ndim, e->shape, &b->dx[i]);
  sq_tensor_drop(value);
  return st;
}

const char *sq__where_text(const sq_node *n, char *buf, size_t size) {
  *buf = 0;
  if (n->source) snprintf(buf, size, " at %s:%d", n->source, n->line);
  return buf;
}

sq_status sq__check_version(const sq_node *n, const sq_saved *s) {
  char where[160];
  if (!s->tensor || s->tensor->storage->version == s->version) return SQ_OK;
  return sq_fail(SQ_ESTATE,
                 "[%s] a tensor of shape %s that it saved for backward%s was changed in place "
                 "since (version %u, saved "
                 "at %u): change a clone instead",
                 n->op->name, sq_tensor_shape_text(s->tensor, SQ_SHAPE_BUF),
                 sq__where_text(n, where, sizeof where), s->tensor->storage->version, s->version);
}

bool sq__in_host;

/* --- windows -------------------------------------------------------------------------------- */

/* How a change in place keeps its gradient. A window (a view) shares the storage of the tensor it
 * looks at, and notes that tensor in `viewed`. When an op writes into a window, what is recorded is
 * a change of the viewed tensor: a node copy_slices takes the old tensor and the written value, and
 * becomes the node of the viewed tensor. The other windows on it are out of date then, and they may
 * be many; none is touched. Each notices when it is used next: its storage has a newer version than
 * the one its node was made for, and sq__refresh_view gives it a node as_strided on the viewed
 * tensor as it is now. In backward both lay the gradient out as the storage lies, and read or clear
 * the window's place in it, so overlapping and strided windows come out right. */

sq_status sq__note_view(sq_tensor *view, sq_tensor *of) {
  if (view->storage != of->storage || !sq_is_float(of->dtype)) return SQ_OK;
  sq_meta *m;
  SQ_TRY(sq__meta(view, &m));
  sq_tensor *source = sq__viewed(of);
  m->viewed = sq_tensor_keep(source ? source : of);
  m->view_version = view->storage->version;
  return SQ_OK;
}

static void save_geometry(sq_call *c, const sq_tensor *window, const sq_tensor *viewed) {
  sq_geometry g = {.ndim = window->ndim, .offset = window->offset, .viewed_offset = viewed->offset};
  memcpy(g.shape, window->shape, sizeof g.shape);
  memcpy(g.stride, window->stride, sizeof g.stride);
  memcpy(g.viewed_stride, viewed->stride, sizeof g.viewed_stride);
  sq__save_values(c, &g, sizeof g);
}

sq_status sq__window_node(sq_op_id op, int nin, sq_tensor *const *in, const sq_tensor *window,
                          sq_node **out) {
  SQ_TRY(sq__node_new(sq_op_at(op), nin, in, out));
  sq_call c = {.node = *out};
  save_geometry(&c, window, in[0]);
  return SQ_OK;
}

sq_status sq__refresh_view(sq_tensor *t) {
  sq_meta *m = sq__meta_of(t);
  sq_tensor *viewed = sq__viewed(t);
  if (!viewed || m->view_version == t->storage->version) return SQ_OK;
  m->view_version = t->storage->version;
  if (!sq_requires_grad(viewed)) return SQ_OK;
  sq_node *node;
  SQ_TRY(sq__window_node(SQ_OP_as_strided, 1, (sq_tensor *[]){viewed}, t, &node));
  sq_status st = sq__set_node(t, node, 0);
  sq__node_drop(node);
  return st;
}

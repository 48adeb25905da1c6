/* op_function.c: the one op behind all functions of the host's own: their calls on the tape, and
 * the way back through the host.
 *
 * What a call keeps hangs, as an sq_extra, on a tensor without elements, which the node saves like
 * any other: it goes when saved tensors go. A kept tensor is a window with an edge to where its
 * gradient goes; of a result of the call itself only the number is noted, and it is put on the tape
 * when it is handed out, so the node never holds itself. */
#include "autograd/function.h"

#include <string.h>

#include "autograd/again_priv.h"
#include "autograd/tape_priv.h"
#include "base/mem.h"
#include "tensor/reduce.h"

/* --- names ---------------------------------------------------------------------------------- */

typedef struct named {
  struct named *next;
  sq_op op;
  char name[];
} named;
static named *all_named;

sq_status sq_function_op(const char *name, const sq_op **out) {
  for (const named *n = all_named; n; n = n->next) {
    if (strcmp(n->name, name) != 0) continue;
    *out = &n->op;
    return SQ_OK;
  }
  void *block;
  size_t size = strlen(name) + 1;
  SQ_TRY(sq_alloc((int64_t)(sizeof(named) + size), &block));
  named *n = block;
  memcpy(n->name, name, size);
  n->op = *sq_op_at(SQ_OP_function);
  n->op.name = n->name;
  n->next = all_named;
  all_named = n;
  *out = &n->op;
  return SQ_OK;
}

/* --- what a call keeps ---------------------------------------------------------------------- */

typedef struct kept {
  sq_saved saved;
  int result; /* it is that result of the call; -1: the edge leads to its place */
  sq_edge edge;
} kept;

enum { HOLDER }; /* the node's saved tensor that carries it */

typedef struct state {
  sq_meta base; /* first: a tensor's extra is one */
  const sq_function_host *host;
  void *self;
  int results, n, checked;
  bool materialize;
  sq_edge like[SQ_MAX_OUT]; /* shape and dtype of the results */
  kept keep[];
} state;

static void state_drop(sq_extra *extra) {
  state *s = (state *)extra;
  if (s->self) s->host->drop(s->self);
  for (int i = 0; i < s->n; i++) {
    sq_tensor_drop(s->keep[i].saved.tensor);
    sq__node_drop(s->keep[i].edge.node);
    sq__slot_drop(s->keep[i].edge.slot);
  }
  sq_free(s);
}

/* Which of the tensors t is, -1: none. */
static int index_of_tensor(const sq_tensor *t, int n, sq_tensor *const *list) {
  for (int i = 0; i < n; i++)
    if (list[i] == t) return i;
  return -1;
}

static sq_status keep_tensor(const sq_function_call *c, sq_tensor *t, kept *k) {
  k->result = -1;
  if (!t) return SQ_OK;
  if (index_of_tensor(t, c->inputs, c->input) < 0)
    k->result = index_of_tensor(t, c->results, c->result);
  if (k->result < 0) SQ_TRY(sq__edge_to(t, &k->edge));
  k->saved.version = t->storage->version;
  return sq_tensor_alias(t, &k->saved.tensor);
}

/* The tensor that carries the state, and the state: without the host's own yet. */
static sq_status make_state(const sq_function_call *c, sq_tensor **holder, state **out) {
  void *block;
  SQ_TRY(sq_tensor_new(SQ_F32, 1, (int64_t[]){0}, holder));
  SQ_TRY(sq_alloc_zero((int64_t)(sizeof(state) + (size_t)c->kept * sizeof(kept)), &block));
  state *s = *out = block;
  s->base.base.drop = state_drop;
  (*holder)->extra = &s->base.base;
  s->host = c->host;
  s->results = c->results;
  s->checked = c->checked;
  s->materialize = c->materialize;
  for (int k = 0; k < c->results; k++) {
    s->like[k].ndim = c->result[k]->ndim;
    s->like[k].dtype = c->result[k]->dtype;
    memcpy(s->like[k].shape, c->result[k]->shape, sizeof c->result[k]->shape);
  }
  for (int i = 0; i < c->kept; i++) {
    s->n = i + 1;
    SQ_TRY(keep_tensor(c, c->keep[i], &s->keep[i]));
  }
  return SQ_OK;
}

/* --- recording ------------------------------------------------------------------------------ */

/* Whether a change of the result in place would be one of another tensor too. */
static bool shares_memory(const sq_function_call *c, int k) {
  const sq_storage *own = c->result[k]->storage;
  if (sq_requires_grad(c->result[k])) return true;
  for (int i = 0; i < c->inputs; i++)
    if (c->input[i]->storage == own) return true;
  for (int i = 0; i < k; i++)
    if (c->result[i]->storage == own) return true;
  return false;
}

static sq_status make_results(const sq_function_call *c, sq_node *n, sq_tensor **out) {
  for (int k = 0; k < c->results; k++) {
    if (shares_memory(c, k)) {
      SQ_TRY(sq_tensor_clone(c->result[k], &out[k]));
    } else {
      SQ_TRY(sq_tensor_alias(c->result[k], &out[k]));
    }
    if (c->constant >> k & 1 || !sq_is_float(out[k]->dtype)) continue;
    SQ_TRY(sq__set_node(out[k], n, k));
  }
  return SQ_OK;
}

static sq_status record_call(const sq_function_call *c, sq_node *n, sq_tensor **out) {
  state *s = NULL;
  sq_saved *first = &n->saved[HOLDER];
  first->tensor = NULL;
  n->nsaved = 1;
  SQ_TRY(make_state(c, &first->tensor, &s));
  first->version = first->tensor->storage->version;
  SQ_TRY(make_results(c, n, out));
  s->self = c->self;
  return SQ_OK;
}

sq_status sq_function_record(const sq_function_call *c, sq_tensor **out) {
  sq_node *n;
  for (int k = 0; k < c->results; k++) out[k] = NULL;
  SQ_TRY(sq__node_new(c->op, c->inputs, c->input, &n));
  sq_status st = record_call(c, n, out);
  for (int k = 0; k < c->results && st != SQ_OK; k++) {
    sq_tensor_drop(out[k]);
    out[k] = NULL;
  }
  sq__node_drop(n);
  return st;
}

/* --- the way back --------------------------------------------------------------------------- */

/* What one way back holds, in one block. */
typedef struct trip {
  state *s;
  sq_tensor **keep, **dx, *dy[SQ_MAX_OUT];
  bool *needed;
  void *block;
} trip;

static sq_status hand_out(const sq_node *n, const kept *k, sq_tensor **out) {
  if (!k->saved.tensor) return SQ_OK;
  SQ_TRY(sq_tensor_alias(k->saved.tensor, out));
  if (k->result >= 0) return sq__set_node(*out, (sq_node *)n, k->result);
  return sq__attach(&k->edge, *out);
}

static sq_status pack(sq_back *b, trip *t) {
  const state *s = t->s;
  int n = sq__inputs(b);
  int64_t bytes = (s->n + n) * (int64_t)sizeof(sq_tensor *) + n * (int64_t)sizeof(bool);
  SQ_TRY(sq_alloc_zero(bytes, &t->block));
  t->keep = t->block;
  t->dx = t->keep + s->n;
  t->needed = (bool *)(void *)(t->dx + n);
  for (int i = 0; i < n; i++) t->needed[i] = sq__needs(b, i);
  for (int i = 0; i < s->n; i++) {
    if (i < s->checked) SQ_TRY(sq__check_version(b->node, &s->keep[i].saved));
    SQ_TRY(hand_out(b->node, &s->keep[i], &t->keep[i]));
  }
  for (int k = 0; k < s->results; k++) {
    const sq_edge *like = &s->like[k];
    t->dy[k] = sq_tensor_keep(b->dy[k]);
    if (t->dy[k] || !s->materialize || !sq_is_float(like->dtype)) continue;
    SQ_TRY(sq_tensor_full(like->dtype, like->ndim, like->shape, 0, &t->dy[k]));
  }
  return SQ_OK;
}

static void unpack(const sq_back *b, trip *t) {
  for (int k = 0; k < SQ_MAX_OUT; k++) sq_tensor_drop(t->dy[k]);
  for (int i = 0; t->block && i < t->s->n; i++) sq_tensor_drop(t->keep[i]);
  for (int i = 0; t->block && i < sq__inputs(b); i++) sq_tensor_drop(t->dx[i]);
  sq_free(t->block);
}

/* The host's ops stand where its script does, and its switch of recording is put back. */
static sq_status call_host(const trip *t, int inputs, bool recorded) {
  const sq_function_way way = {recorded, t->s->results, inputs,    t->s->n,
                               t->dy,    t->keep,       t->needed, t->dx};
  bool was = sq_grad_enable(recorded), inside = sq__in_host;
  const sq_node *stood = sq__stand_at(NULL);
  sq__in_host = true;
  sq_status st = t->s->host->backward(t->s->self, &way);
  sq__in_host = inside;
  sq__stand_at(stood);
  sq_grad_enable(was);
  return st;
}

static bool sums_to(const sq_tensor *t, int ndim, const int64_t *shape) {
  int more = t->ndim - ndim;
  for (int d = 0; d < ndim && more >= 0; d++)
    if (shape[d] != 1 && shape[d] != t->shape[d + more]) return false;
  return more >= 0;
}

/* Fails where a gradient can't be one of its input's. */
static sq_status check_gradient(const sq_back *b, int i, const sq_tensor *t) {
  const sq_edge *e = &b->node->edge[i];
  char where[160];
  if (!sq_is_float(t->dtype)) {
    return sq_fail(SQ_ETYPE, "[%s] backward gave a gradient of dtype %s for tensor %d%s, it is %s",
                   b->node->op->name, sq_dtype_name(t->dtype), i + 1,
                   sq__where_text(b->node, where, sizeof where), sq_dtype_name(e->dtype));
  }
  if (sums_to(t, e->ndim, e->shape)) return SQ_OK;
  return sq_fail(SQ_ESHAPE,
                 "[%s] backward gave a gradient of shape %s for tensor %d%s, whose shape is %s: "
                 "they must be equal, or the gradient broadcast from it",
                 b->node->op->name, sq_tensor_shape_text(t, SQ_SHAPE_BUF), i + 1,
                 sq__where_text(b->node, where, sizeof where),
                 sq_shape_text(e->ndim, e->shape, SQ_SHAPE_BUF));
}

/* dx[i] of an ordinary backward: without a graph of its own, in the input's shape and dtype. */
static sq_status give_bare(sq_back *b, int i, sq_tensor *t) {
  SQ_OWN sq_tensor *bare = NULL, *cast = NULL;
  SQ_TRY(sq_tensor_alias(t, &bare));
  sq_dtype dtype = sq__in_dtype(b, i);
  if (t->dtype != dtype) SQ_TRY(sq_tensor_cast(bare, dtype, &cast));
  return sq__give(b, i, sq_tensor_give(cast ? &cast : &bare));
}

/* r: of a recorded backward, else NULL. */
static sq_status through_host(sq_back *b, sq_again *r) {
  SQ_OWN sq_tensor *holder =
      sq_tensor_keep(sq__saved(b, HOLDER)); /* the script may free the graph */
  trip t = {.s = (state *)holder->extra};
  sq_status st = pack(b, &t);
  if (st == SQ_OK) st = call_host(&t, sq__inputs(b), r != NULL);
  for (int i = 0; i < sq__inputs(b) && st == SQ_OK; i++) {
    if (!t.dx[i] || !sq__needs(b, i)) continue;
    st = check_gradient(b, i, t.dx[i]);
    if (st != SQ_OK) break;
    if (r) {
      sq__gives(r, i, t.dx[i]);
      st = r->st;
    } else {
      st = give_bare(b, i, t.dx[i]);
    }
  }
  unpack(b, &t);
  return st;
}

static sq_status function_backward(sq_back *b) { return through_host(b, NULL); }

static void function_again(sq_again *r) { sq__failed(r, through_host(r->b, r)); }

const sq_op_impl sq__op_function = {.forward = sq__never_called,
                                    .backward = function_backward,
                                    .again = function_again,
                                    .mixed = true,
                                    .hidden = true};

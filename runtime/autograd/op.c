/* op.c: the menu as a table, and the call of an op: inputs gathered and checked, forward, a node
 * for backward. */
#include "autograd/op.h"

#include <string.h>

#include "autograd/tape_priv.h"
#include "base/mem.h"
#include "tensor/map.h"
#include "tensor/view.h"

static const sq_op menu[SQ_OPS] = {
#define OP(name, signature, doc, lo, hi) {#name, signature, doc, lo, hi, &sq__op_##name},
#include "autograd/op.def"
#undef OP
};

static sq_signature *signatures[SQ_OPS];

const sq_op *sq_op_at(sq_op_id id) { return &menu[id]; }

sq_status sq_op_signature(const sq_op *op, const sq_signature **out) {
  sq_signature **slot = &signatures[op - menu];
  if (!*slot) SQ_TRY(sq_signature_parse(op->signature, slot));
  *out = *slot;
  return SQ_OK;
}

bool sq_op_has_inplace(const sq_op *op) { return op->impl->inplace; }
bool sq_op_has_backward(const sq_op *op) { return op->impl->backward != NULL; }

enum { FEW = 16 };

/* The tensor inputs of one call. Numbers that stand for tensors are made tensors, which live here.
 */
typedef struct inputs {
  sq_arg arg[SQ_MAX_PARAMS];
  int n, made_n;
  sq_tensor **in, *few[FEW], *made[2];
} inputs;

static bool is_made(const inputs *x, const sq_tensor *t) {
  return x->made_n > 0 && (t == x->made[0] || (x->made_n > 1 && t == x->made[1]));
}

static void drop_inputs(inputs *x) {
  for (int i = 0; i < x->made_n; i++) sq_tensor_drop(x->made[i]);
  if (x->in != x->few) sq_free(x->in);
}

static sq_status complete_args(const sq_op *op, const sq_signature *s, int nargs,
                               const sq_arg *args, sq_arg *full) {
  for (int i = 0; i < s->params; i++) {
    const sq_param *p = &s->param[i];
    full[i] = i < nargs ? args[i] : p->fallback;
    if (i < nargs && args[i].kind == SQ_ARG_NIL && p->has_default) full[i] = p->fallback;
    if (full[i].kind == SQ_ARG_NIL && !p->optional) {
      return sq_fail(SQ_EARG, "[%s] %s is missing: it is called as %s%s", op->name, p->name,
                     op->name, op->signature);
    }
  }
  return SQ_OK;
}

/* The dtype a number takes in a call: that of a tensor in another place for numbers, else of the
 * first tensor, but for masks; float32 with none. */
static sq_dtype number_dtype(const sq_op *op, const sq_signature *s, const sq_arg *arg) {
  for (int i = 0; i < s->params; i++) {
    if (s->param[i].kind == SQ_ARG_OPERAND && arg[i].kind == SQ_ARG_TENSOR)
      return arg[i].tensor->dtype;
  }
  for (int i = 0; i < s->params; i++) {
    bool mask = op->impl->mixed && arg[i].kind == SQ_ARG_TENSOR && arg[i].tensor->dtype == SQ_BOOL;
    if (arg[i].kind == SQ_ARG_TENSOR && !mask) return arg[i].tensor->dtype;
  }
  return SQ_F32;
}

/* A number that no element can be, such as 1.5 beside int64, is compared as float64. */
static sq_status number_to_tensor(const sq_op *op, sq_dtype dtype, double value, inputs *x,
                                  sq_tensor **out) {
  if (op->impl->elem.promote && !sq_is_float(dtype)) dtype = SQ_F32;
  if (sq_elem_is_test(op->impl->elem.kernel) && !sq_number_fits(dtype, value)) dtype = SQ_F64;
  SQ_ASSERT(x->made_n < 2);
  sq_status st = sq_tensor_scalar(dtype, value, out);
  if (st != SQ_OK) return sq_fail_in(st, "[%s] ", op->name);
  x->made[x->made_n++] = *out;
  return SQ_OK;
}

/* How many tensor inputs the arguments have. */
static int count_inputs(const sq_signature *s, const sq_arg *arg) {
  int n = 0;
  for (int i = 0; i < s->params; i++) {
    sq_arg_kind kind = s->param[i].kind;
    if (kind == SQ_ARG_TENSOR || kind == SQ_ARG_OPERAND) n++;
    if (kind == SQ_ARG_TENSORS) n += arg[i].tensors.n;
  }
  return n;
}

static sq_status gather_inputs(const sq_op *op, const sq_signature *s, inputs *x) {
  int total = count_inputs(s, x->arg);
  x->in = x->few;
  if (total > FEW) {
    void *block;
    SQ_TRY(sq_alloc(total * (int64_t)sizeof(sq_tensor *), &block));
    x->in = block;
  }
  sq_dtype dtype = number_dtype(op, s, x->arg);
  for (int i = 0; i < s->params; i++) {
    const sq_arg *a = &x->arg[i];
    switch (s->param[i].kind) {
      case SQ_ARG_OPERAND:
        if (a->kind == SQ_ARG_NUMBER) {
          SQ_TRY(number_to_tensor(op, dtype, a->number, x, &x->in[x->n]));
          x->n++;
          break;
        }
        /* fall through */
      case SQ_ARG_TENSOR:
        x->in[x->n++] = a->kind == SQ_ARG_TENSOR ? a->tensor : NULL;
        break;
      case SQ_ARG_TENSORS:
        for (int k = 0; k < a->tensors.n; k++) x->in[x->n++] = a->tensors.v[k];
        break;
      default:
        break;
    }
  }
  return SQ_OK;
}

static sq_status check_dtypes(const sq_op *op, const inputs *x) {
  if (op->impl->mixed) return SQ_OK;
  for (int i = 1; i < x->n; i++) {
    if (is_made(x, x->in[0]) || is_made(x, x->in[i])) continue; /* it took the dtype it needs */
    if (x->in[0] && x->in[i] && x->in[0]->dtype != x->in[i]->dtype) {
      const char *to =
          sq_dtype_name(sq_is_float(x->in[i]->dtype) ? x->in[i]->dtype : x->in[0]->dtype);
      return sq_fail(SQ_ETYPE, "[%s] dtypes differ: a is %s, b is %s: convert one with :to(\"%s\")",
                     op->name, sq_dtype_name(x->in[0]->dtype), sq_dtype_name(x->in[i]->dtype), to);
    }
  }
  return SQ_OK;
}

static bool wants_node(const sq_op *op, const inputs *x) {
  if (!sq_grad_enabled() || !op->impl->backward) return false;
  for (int i = 0; i < x->n; i++) {
    if (!x->in[i] || !x->in[i]->extra) continue;
    const sq_meta *m = sq__meta_of(x->in[i]);
    bool outdated = m->viewed && m->view_version != x->in[i]->storage->version;
    if (m->requires_grad || m->node || (outdated && sq_requires_grad(m->viewed))) return true;
  }
  return false;
}

/* Hangs the node on the results. */
static sq_status attach(sq_call *c) {
  if (c->op->impl->view && sq_grad_enabled()) SQ_TRY(sq__note_view(c->out[0], c->in[0]));
  for (int k = 0; c->node && k < SQ_MAX_OUT; k++) {
    if (c->out[k] && sq_is_float(c->out[k]->dtype)) SQ_TRY(sq__set_node(c->out[k], c->node, k));
  }
  return SQ_OK;
}

static sq_status call_op(sq_call *c, bool record) {
  if (record) SQ_TRY(sq__node_new(c->op, c->nin, c->in, &c->node));
  sq_status (*forward)(sq_call * c) = c->op->impl->forward;
  sq_status st = sq__watching ? sq__watch_forward(c, forward) : forward(c);
  if (st == SQ_OK) st = attach(c);
  sq__node_drop(c->node);
  for (int k = 0; k < SQ_MAX_OUT && st != SQ_OK; k++) {
    sq_tensor_drop(c->out[k]);
    c->out[k] = NULL;
  }
  return st;
}

/* A call whose inputs are gathered and checked; drop its inputs. */
typedef struct prepared {
  inputs x;
  sq_call c;
} prepared;

static sq_status prepare(const sq_op *op, int nargs, const sq_arg *args, prepared *p) {
  const sq_signature *s;
  SQ_TRY(sq_op_signature(op, &s));
  inputs *x = &p->x;
  x->n = x->made_n = 0;
  x->in = x->few;
  SQ_TRY(complete_args(op, s, nargs, args, x->arg));
  sq_status st = gather_inputs(op, s, x);
  if (st == SQ_OK) st = check_dtypes(op, x);
  if (st != SQ_OK) drop_inputs(x);
  p->c = (sq_call){.op = op, .arg = x->arg, .nin = x->n, .in = x->in};
  return st;
}

sq_status sq_apply(sq_op_id id, int nargs, const sq_arg *args, sq_tensor **out) {
  const sq_op *op = &menu[id];
  prepared p;
  SQ_TRY(prepare(op, nargs, args, &p));
  sq_status st = call_op(&p.c, wants_node(op, &p.x));
  drop_inputs(&p.x);
  for (int k = 0; k < signatures[id]->returns; k++) out[k] = p.c.out[k];
  return st;
}

/* The op's numbers in order. */
static int numbers_of(const sq_call *c, double *p) {
  const sq_signature *s = signatures[c->op - menu];
  int n = 0;
  for (int i = 0; i < s->params && n < MAX_NUMBERS; i++) {
    if (s->param[i].kind == SQ_ARG_NUMBER)
      p[n++] = c->arg[i].kind == SQ_ARG_NUMBER ? c->arg[i].number : 0;
  }
  return n;
}

sq_status sq__elem_into(sq_call *c, sq_elem kernel, const double *p) {
  sq_tensor *t = c->in[0], *in[4] = {t}, *apart[4] = {0};
  for (int i = 1; i < c->nin; i++) SQ_TRY(sq_check_expands(c->op->name, c->in[i], t));
  sq_status st = SQ_OK;
  for (int i = 1; i < c->nin; i++) {
    in[i] = c->in[i];
    if (in[i] == t || in[i]->storage != t->storage) continue;
    st = sq_tensor_clone(c->in[i], &apart[i]); /* the two may overlap */
    if (st != SQ_OK) break;
    in[i] = apart[i];
  }
  if (st == SQ_OK) st = sq_map_into(kernel, in, p, t);
  sq_tensor_changed(t);
  for (int i = 1; i < c->nin; i++) sq_tensor_drop(apart[i]);
  return st;
}

static sq_status elem_into(sq_call *c) {
  double p[MAX_NUMBERS] = {0};
  numbers_of(c, p);
  return sq__elem_into(c, c->op->impl->elem.kernel, p);
}

/* Writes straight into x where nothing is recorded and the op can: false if not. */
static bool write_into(sq_call *c, sq_status *st) {
  const sq_op_impl *impl = c->op->impl;
  sq_status (*into)(sq_call * c) = impl->into;
  if (!into) {
    if (impl->forward != sq__elem_forward) return false;
    if (impl->elem.promote && !sq_is_float(c->in[0]->dtype)) return false;
    into = elem_into;
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
  if (result->dtype != t->dtype) {
    return sq_fail(SQ_ETYPE, "[%s_] the result is %s, x is %s: an in-place op keeps x's dtype",
                   op->name, sq_dtype_name(result->dtype), sq_dtype_name(t->dtype));
  }
  return SQ_OK;
}

/* The result of a recorded call written into x. */
static sq_status write_back(sq_call *c, sq_tensor *t) {
  SQ_TRY(check_result(c->op, t, c->out[0]));
  SQ_TRY(save_copies(c->out[0], t));
  SQ_TRY(sq_tensor_copy(t, c->out[0]));
  return sq__rebase(t, c->out[0]);
}

sq_status sq_apply_inplace(sq_op_id id, int nargs, const sq_arg *args) {
  const sq_op *op = &menu[id];
  sq_tensor *t = args[0].tensor;
  SQ_TRY(sq__check_inplace(op, t));
  prepared call;
  SQ_TRY(prepare(op, nargs, args, &call));
  bool record = wants_node(op, &call.x);
  sq_status st = SQ_OK;
  if (!record && write_into(&call.c, &st)) {
    if (st == SQ_OK && sq_grad_enabled()) st = sq__rebase(t, NULL);
  } else {
    st = call_op(&call.c, record);
    if (st == SQ_OK) st = write_back(&call.c, t);
  }
  drop_inputs(&call.x);
  sq_tensor_drop(call.c.out[0]);
  return st;
}

/* --- the elementwise engine --------------------------------------------------------------------
 */

sq_status sq__want_float(const sq_call *c, int i) {
  if (sq_is_float(c->in[i]->dtype)) return SQ_OK;
  return sq_fail(SQ_ETYPE, "[%s] x is %s: it must be float32 or float64, convert it with x:float()",
                 c->op->name, sq_dtype_name(c->in[i]->dtype));
}

/* True when a gradient rule reads that operand. */
static bool reads(const sq_call *c, char letter) {
  const sq_elem_rule *r = &c->op->impl->elem;
  for (int i = 0; i < c->nin; i++) {
    if (c->node->edge[i].node || c->node->edge[i].slot) {
      if (r->grad[i].operands && strchr(r->grad[i].operands, letter)) return true;
    }
  }
  return false;
}

/* Saves y, a, b, c, d where a gradient rule reads them: saved in that order, absent ones as NULL.
 */
static sq_status save_operands(sq_call *c) {
  SQ_TRY(sq__save(c, reads(c, 'y') ? c->out[0] : NULL));
  for (int i = 0; i < c->nin; i++) SQ_TRY(sq__save(c, reads(c, (char)('a' + i)) ? c->in[i] : NULL));
  return SQ_OK;
}

/* The dtype that input i is taken in: float32 for integers where the op promotes, float64 where a
 * test compares with a number that is no integer. */
static sq_dtype taken_as(const sq_call *c, int i) {
  const sq_elem_rule *r = &c->op->impl->elem;
  if (r->promote && !sq_is_float(c->in[i]->dtype)) return SQ_F32;
  if (c->nin == 2 && c->in[0]->dtype != c->in[1]->dtype && sq_elem_is_test(r->kernel))
    return SQ_F64;
  return c->in[i]->dtype;
}

sq_status sq__elem_forward(sq_call *c) {
  const sq_elem_rule *r = &c->op->impl->elem;
  double p[MAX_NUMBERS];
  int np = numbers_of(c, p);
  sq_tensor *cast[4] = {0};
  sq_status st = SQ_OK;
  for (int i = 0; i < c->nin && st == SQ_OK; i++) {
    st = sq_tensor_cast(c->in[i], taken_as(c, i), &cast[i]);
  }
  if (st == SQ_OK) st = sq_map(c->op->name, r->kernel, cast, p, &c->out[0]);
  for (int i = 0; i < c->nin; i++) sq_tensor_drop(cast[i]);
  if (st != SQ_OK || !c->node) return st;
  for (int i = 0; i < np; i++) sq__save_number(c, p[i]);
  return save_operands(c);
}

sq_status sq__elem_backward(sq_back *b) {
  const sq_node *n = b->node;
  const sq_elem_rule *r = &n->op->impl->elem;
  for (int i = 0; i < n->nin; i++) {
    const char *letters = r->grad[i].operands;
    if (!sq__needs(b, i) || !letters) continue;
    sq_tensor *operand[4], *value;
    for (int k = 0; letters[k]; k++) {
      char l = letters[k];
      operand[k] = l == 'g'   ? b->dy[0]
                   : l == 'y' ? n->saved[0].tensor
                              : n->saved[1 + l - 'a'].tensor;
    }
    if (r->grad[i].kernel == SQ_ELEM_copy) {
      value = sq_tensor_keep(b->dy[0]);
    } else {
      SQ_TRY(sq_map(n->op->name, r->grad[i].kernel, operand, n->number, &value));
    }
    SQ_TRY(sq__give(b, i, value));
  }
  return SQ_OK;
}

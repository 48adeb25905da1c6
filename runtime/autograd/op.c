/* op.c: the call of an op: arguments completed, inputs gathered and checked, forward, and a node
 * for backward. */
#include "autograd/op.h"

#include "autograd/call_priv.h"
#include "base/mem.h"
#include "tensor/view.h"

static bool is_made(const sq_inputs *x, const sq_tensor *t) {
  return x->made_n > 0 && (t == x->made[0] || (x->made_n > 1 && t == x->made[1]));
}

static void drop_inputs(sq_inputs *x) {
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
static sq_status number_to_tensor(const sq_op *op, sq_dtype dtype, double value, sq_inputs *x,
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

static sq_status gather_inputs(const sq_op *op, const sq_signature *s, sq_inputs *x) {
  int total = count_inputs(s, x->arg);
  x->in = x->few;
  if (total > SQ_FEW_INPUTS) {
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

static sq_status check_dtypes(const sq_op *op, const sq_inputs *x) {
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

bool sq__wants_node(const sq_call *c) {
  if (!sq_grad_enabled() || !c->op->impl->backward) return false;
  for (int i = 0; i < c->nin; i++) {
    if (!c->in[i] || !c->in[i]->extra) continue;
    const sq_meta *m = sq__meta_of(c->in[i]);
    const sq_tensor *viewed = sq__viewed(c->in[i]);
    bool outdated = viewed && m->view_version != c->in[i]->storage->version;
    if (m->requires_grad || m->node || (outdated && sq_requires_grad(viewed))) return true;
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

sq_status sq__call(sq_call *c, bool record) {
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

sq_status sq__prepare(const sq_op *op, int nargs, const sq_arg *args, sq_prepared *p) {
  const sq_signature *s;
  SQ_TRY(sq_op_signature(op, &s));
  sq_inputs *x = &p->x;
  x->n = x->made_n = 0;
  x->in = x->few;
  SQ_TRY(complete_args(op, s, nargs, args, x->arg));
  sq_status st = gather_inputs(op, s, x);
  if (st == SQ_OK) st = check_dtypes(op, x);
  if (st != SQ_OK) drop_inputs(x);
  p->c = (sq_call){.op = op, .signature = s, .arg = x->arg, .nin = x->n, .in = x->in};
  return st;
}

void sq__unprepare(sq_prepared *p) { drop_inputs(&p->x); }

sq_status sq_apply(sq_op_id id, int nargs, const sq_arg *args, sq_tensor **out) {
  sq_prepared p;
  SQ_TRY(sq__prepare(sq_op_at(id), nargs, args, &p));
  sq_status st = sq__call(&p.c, sq__wants_node(&p.c));
  sq__unprepare(&p);
  for (int k = 0; k < p.c.signature->returns; k++) out[k] = p.c.out[k];
  return st;
}

/* op.c: the call of an op: arguments completed, inputs gathered and checked, forward, and a node
 * for backward. */
#include "autograd/op.h"

#include "autograd/call_priv.h"
#include "base/mem.h"
#include "tensor/promote.h"
#include "tensor/view.h"

static void drop_inputs(sq_inputs *x) {
  for (int i = 0; i < x->n; i++) sq_tensor_drop(x->made[i]);
  if (x->in != x->few) sq_free(x->in);
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

static sq_status make_input_room(const sq_signature *s, sq_inputs *x) {
  int total = count_inputs(s, x->arg);
  if (total > SQ_FEW_INPUTS) {
    void *block;
    SQ_TRY(sq_alloc(2 * total * (int64_t)sizeof(sq_tensor *), &block));
    x->in = block;
    x->made = x->in + total;
  }
  return SQ_OK;
}

static void add_input(sq_inputs *x, sq_tensor *t) {
  x->made[x->n] = NULL;
  x->in[x->n++] = t;
}

/* Tensors, lists laid flat; NULL for a number or one left out. */
static void gather_inputs(const sq_signature *s, sq_inputs *x) {
  for (int i = 0; i < s->params; i++) {
    const sq_arg *a = &x->arg[i];
    sq_arg_kind kind = s->param[i].kind;
    if (kind == SQ_ARG_TENSOR || kind == SQ_ARG_OPERAND)
      add_input(x, a->kind == SQ_ARG_TENSOR ? a->tensor : NULL);
    if (kind == SQ_ARG_TENSORS)
      for (int k = 0; k < a->tensors.n; k++) add_input(x, a->tensors.v[k]);
  }
}

/* --- dtypes --------------------------------------------------------------------------------- */

static bool takes_part(const sq_op *op, int input) {
  return op->impl->promotes >> (input < 31 ? input : 31) & 1;
}

/* The dtype in which the inputs that promote are taken. */
static sq_dtype common_dtype(const sq_op *op, const sq_signature *s, const sq_inputs *x) {
  sq_promotion p = {0};
  for (int i = 0; i < x->n; i++)
    if (x->in[i] && takes_part(op, i)) sq_promote_tensor(&p, x->in[i]);
  for (int i = 0; i < s->params; i++)
    if ((s->param[i].kind == SQ_ARG_OPERAND || op->impl->numbers) &&
        x->arg[i].kind == SQ_ARG_NUMBER)
      sq_promote_number(&p, x->arg[i].value);
  sq_dtype dtype = sq_promoted(&p);
  return op->impl->elem.promote && !sq_is_float(dtype) ? SQ_F32 : dtype;
}

/* A number becomes a tensor of the common dtype: arithmetic takes what float32 does not hold as
 * infinite, and a test compares a number that uint8 does not hold in int64. */
static sq_status number_input(const sq_op *op, sq_dtype *common, sq_number value, sq_tensor **out) {
  bool test = sq_elem_is_test(op->impl->elem.kernel);
  if (test && !sq_number_fits(*common, value) && !sq_is_float(*common)) *common = SQ_I64;
  if (op->impl->promotes && *common == SQ_F32) value = sq_real((double)(float)value.real);
  return sq_fail_in(sq_tensor_number(*common, value, out), "[%s] ", op->name);
}

/* Numbers as tensors: of the common dtype, or of the first input's where the op does not promote.
 */
static sq_status make_numbers(const sq_op *op, const sq_signature *s, sq_inputs *x,
                              sq_dtype *common) {
  int at = 0;
  if (!op->impl->promotes) *common = x->in[0] ? x->in[0]->dtype : SQ_F32;
  for (int i = 0; i < s->params; i++) {
    sq_arg_kind kind = s->param[i].kind;
    if (kind == SQ_ARG_OPERAND && x->arg[i].kind == SQ_ARG_NUMBER) {
      SQ_TRY(number_input(op, common, x->arg[i].value, &x->made[at]));
      x->in[at] = x->made[at];
    }
    at += kind == SQ_ARG_TENSOR || kind == SQ_ARG_OPERAND ? 1
          : kind == SQ_ARG_TENSORS                        ? x->arg[i].tensors.n
                                                          : 0;
  }
  return SQ_OK;
}

/* Takes input i in a dtype. The conversion is an op of its own on the tape: gradients come back in
 * the input's dtype. */
static sq_status convert_input(sq_inputs *x, int i, sq_dtype to) {
  const sq_arg dtype = {.kind = SQ_ARG_DTYPE, .dtype = to};
  if (x->in[i]->dtype == to) return SQ_OK;
  sq_tensor *converted;
  SQ_TRY(sq_apply(SQ_OP_to, 2, (sq_arg[]){SQ_T(x->in[i]), dtype}, &converted));
  sq_tensor_drop(x->made[i]);
  x->in[i] = x->made[i] = converted;
  return SQ_OK;
}

static sq_status convert_inputs(const sq_op *op, sq_inputs *x, sq_dtype common) {
  for (int i = 0; i < x->n; i++)
    if (x->in[i] && takes_part(op, i)) SQ_TRY(convert_input(x, i, common));
  return SQ_OK;
}

/* sum(x, {dtype = "float64"}) adds in float64. */
static sq_status convert_as_asked(const sq_signature *s, sq_inputs *x) {
  for (int i = 0; i < s->params; i++)
    if (x->arg[i].kind == SQ_ARG_DTYPE) return convert_input(x, 0, x->arg[i].dtype);
  return SQ_OK;
}

static bool all_of_one_dtype(const sq_inputs *x) {
  for (int i = 0; i < x->n; i++)
    if (!x->in[i] || x->in[i]->dtype != x->in[0]->dtype) return false;
  return true;
}

static sq_status settle_dtypes(const sq_op *op, const sq_signature *s, sq_inputs *x) {
  if (op->impl->in_dtype) return convert_as_asked(s, x);
  if (all_of_one_dtype(x) && !op->impl->elem.promote && !op->impl->numbers) return SQ_OK;
  sq_dtype common = common_dtype(op, s, x);
  SQ_TRY(make_numbers(op, s, x, &common));
  return convert_inputs(op, x, common);
}

static sq_status check_dtypes(const sq_op *op, const sq_inputs *x) {
  if (op->impl->mixed) return SQ_OK;
  for (int i = 1; i < x->n; i++) {
    if (x->in[0] && x->in[i] && x->in[0]->dtype != x->in[i]->dtype) {
      const char *to =
          sq_dtype_name(sq_is_float(x->in[i]->dtype) ? x->in[i]->dtype : x->in[0]->dtype);
      return sq_fail(SQ_ETYPE, "[%s] dtypes differ: a is %s, b is %s: convert one with :to(\"%s\")",
                     op->name, sq_dtype_name(x->in[0]->dtype), sq_dtype_name(x->in[i]->dtype), to);
    }
  }
  return SQ_OK;
}

/* --- the call ------------------------------------------------------------------------------- */

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
static sq_status attach_node(sq_call *c) {
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
  if (st == SQ_OK) st = attach_node(c);
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
  x->n = 0;
  x->in = x->few;
  x->made = x->few + SQ_FEW_INPUTS;
  SQ_TRY(sq_signature_complete(s, op->name, nargs, args, x->arg));
  SQ_TRY(make_input_room(s, x));
  gather_inputs(s, x);
  sq_status st = settle_dtypes(op, s, x);
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

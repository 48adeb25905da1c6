/* elem.c: the elementwise engine: what an op that is one kernel per element does forward, in place
 * and backward, driven by the rule in its block. */
#include <string.h>

#include "autograd/again_priv.h"
#include "autograd/tape_priv.h"
#include "tensor/map.h"
#include "tensor/view.h"

enum { MAX_NUMBERS = 4, MAX_OPERANDS = 4 };

/* What is saved, in slots and as values: the result, the inputs, and the op's numbers. */
enum { Y, A };

typedef struct numbers {
  double p[MAX_NUMBERS];
} numbers;

/* The op's numbers in order. */
static numbers numbers_of(const sq_call *c) {
  const sq_signature *s = c->signature;
  numbers v = {0};
  int n = 0;
  for (int i = 0; i < s->params && n < MAX_NUMBERS; i++) {
    if (s->param[i].kind == SQ_ARG_NUMBER)
      v.p[n++] = c->arg[i].kind == SQ_ARG_NUMBER ? c->arg[i].number : 0;
  }
  return v;
}

sq_status sq__elem_into(sq_call *c, sq_elem kernel, const double *p) {
  sq_tensor *t = c->in[IN_X], *in[MAX_OPERANDS] = {t}, *apart[MAX_OPERANDS] = {0};
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

sq_status sq__elem_inplace(sq_call *c) {
  numbers v = numbers_of(c);
  return sq__elem_into(c, c->op->impl->elem.kernel, v.p);
}

sq_status sq__want_float(const sq_call *c, int i) {
  if (sq_is_float(c->in[i]->dtype)) return SQ_OK;
  return sq_fail(SQ_ETYPE, "[%s] x is %s: it must be float32 or float64, convert it with x:float()",
                 c->op->name, sq_dtype_name(c->in[i]->dtype));
}

/* True when a gradient rule reads that operand. */
static bool rule_reads(const sq_call *c, char letter) {
  const sq_elem_rule *r = &c->op->impl->elem;
  for (int i = 0; i < c->nin; i++) {
    if (c->node->edge[i].node || c->node->edge[i].slot) {
      if (r->grad[i].operands && strchr(r->grad[i].operands, letter)) return true;
    }
  }
  return false;
}

/* Saves y, a, b, c, d where a gradient rule reads them, the others as NULL. */
static sq_status save_operands(sq_call *c) {
  SQ_TRY(sq__save(c, Y, rule_reads(c, 'y') ? c->out[0] : NULL));
  for (int i = 0; i < c->nin; i++)
    SQ_TRY(sq__save(c, A + i, rule_reads(c, (char)('a' + i)) ? c->in[i] : NULL));
  return SQ_OK;
}

sq_status sq__elem_forward(sq_call *c) {
  const sq_elem_rule *r = &c->op->impl->elem;
  numbers v = numbers_of(c);
  SQ_TRY(sq_map(c->op->name, r->kernel, c->in, v.p, &c->out[0]));
  if (!c->node) return SQ_OK;
  sq__save_values(c, &v, sizeof v);
  return save_operands(c);
}

sq_status sq__elem_backward(sq_back *b) {
  const sq_node *n = b->node;
  const sq_elem_rule *r = &n->op->impl->elem;
  const numbers *v = sq__values(b);
  for (int i = 0; i < n->nin; i++) {
    const char *letters = r->grad[i].operands;
    if (!sq__needs(b, i) || !letters) continue;
    sq_tensor *operand[MAX_OPERANDS], *value;
    for (int k = 0; letters[k]; k++) {
      char l = letters[k];
      operand[k] = l == 'g' ? b->dy[0] : sq__saved(b, l == 'y' ? Y : A + l - 'a');
    }
    if (r->grad[i].kernel == SQ_ELEM_copy) {
      value = sq_tensor_keep(b->dy[0]);
    } else {
      SQ_TRY(sq_map(n->op->name, r->grad[i].kernel, operand, v->p, &value));
    }
    SQ_TRY(sq__give(b, i, value));
  }
  return SQ_OK;
}

/* --- backward of recorded ops --------------------------------------------------------------- */

sq_tensor *sq__elem_y(sq_again *r) { return sq__result(r, 0, sq__saved(r->b, Y)); }
sq_tensor *sq__elem_a(sq_again *r) { return sq__input(r, 0, sq__saved(r->b, A)); }
sq_tensor *sq__elem_b(sq_again *r) { return sq__input(r, 1, sq__saved(r->b, A + 1)); }
sq_tensor *sq__elem_c(sq_again *r) { return sq__input(r, 2, sq__saved(r->b, A + 2)); }

double sq__elem_number(const sq_again *r, int k) {
  return ((const numbers *)sq__values(r->b))->p[k];
}

sq_tensor *sq__flat(sq_again *r) {
  const sq_op *op = r->b->node->op;
  const numbers *v = sq__values(r->b);
  const char *letters = op->impl->elem.grad[r->input].operands;
  sq_tensor *operand[MAX_OPERANDS], *slope = NULL, *one = sq__number(r, 1);
  for (int k = 0; letters[k]; k++) {
    char l = letters[k];
    operand[k] = l == 'g' ? one : sq__saved(r->b, l == 'y' ? Y : A + l - 'a');
  }
  if (r->st != SQ_OK) return NULL;
  sq_status st = sq_map(op->name, op->impl->elem.grad[r->input].kernel, operand, v->p, &slope);
  return sq__own(r, st, slope);
}

/* dx = dy slope */
void sq__elem_again(sq_again *r) {
  const sq_elem_rule *rule = &r->b->node->op->impl->elem;
  for (int i = 0; i < sq__inputs(r->b); i++) {
    if (!sq__needs(r->b, i) || !rule->grad[i].operands) continue;
    r->input = i;
    if (rule->grad[i].kernel == SQ_ELEM_copy) {
      sq__gives(r, i, sq__dy(r, 0));
    } else if (rule->grad[i].slope) {
      sq__gives(r, i, sq__mul(r, sq__dy(r, 0), rule->grad[i].slope(r)));
    } else {
      sq__has_none(r);
    }
  }
}

/* op_einsum.c: Einstein's notation; the gradient of each operand is a sum of products too. */
#include "autograd/again_priv.h"
#include "autograd/op_priv.h"
#include "tensor/einsum.h"
#include "tensor/view.h"

/* What is kept: the operands in the slots of their numbers, and the labels. */
typedef struct labels {
  sq_term term[SQ_EINSUM_MAX], out;
} labels;

/* y[out] = the sum over other labels of the product of the operands. d(operand k)[labels
 * k] = the same sum of dy and the other operands, spread over what k alone has. */
static sq_status einsum_forward(sq_call *c) {
  labels v;
  if (c->nin < 1 || c->nin > SQ_EINSUM_MAX) {
    return sq_fail(SQ_EARG, "[einsum] %d operands: there may be 1 to %d", c->nin, SQ_EINSUM_MAX);
  }
  SQ_TRY(sq_einsum_parse(c->arg[EINSUM_EQUATION].string, c->nin, c->in, v.term, &v.out));
  SQ_TRY(sq_einsum(c->nin, v.term, c->in, &v.out, &c->out[0]));
  for (int k = 0; k < c->nin; k++) SQ_TRY(sq__save(c, k, c->in[k]));
  sq__save_values(c, &v, sizeof v);
  return SQ_OK;
}

/* The labels of operand k, once each, that dy or another operand has as well and that it does not
 * broadcast: what its gradient is computed over. */
static sq_term reachable_labels(const sq_tensor *x, const sq_term *mine, int n,
                                const sq_term *others, sq_tensor *const *in) {
  sq_term result = {0};
  for (int i = 0; i < mine->n; i++) {
    char l = mine->label[i];
    bool larger = false, found = false;
    for (int k = 0; k < n; k++) {
      int at = sq_term_find(&others[k], l);
      found = found || at >= 0;
      larger = larger || (at >= 0 && in[k]->shape[at] != 1);
    }
    if (found && !(larger && x->shape[i] == 1) && sq_term_find(&result, l) < 0)
      result.label[result.n++] = l;
  }
  return result;
}

/* g, over some of the labels `once`, as a tensor that broadcasts to one over all of them. */
static sq_status align_labels(sq_tensor *g, const sq_term *have, const sq_term *once,
                              sq_tensor **out) {
  int64_t shape[SQ_MAX_DIMS];
  for (int i = 0; i < once->n; i++) { /* `have` is in the order of `once` */
    int at = sq_term_find(have, once->label[i]);
    shape[i] = at < 0 ? 1 : g->shape[at];
  }
  return sq_reshape(g, once->n, shape, out);
}

static sq_status operand_backward(sq_back *b, int k) {
  const labels *v = sq__values(b);
  sq_term terms[SQ_EINSUM_MAX] = {v->out}, once;
  sq_tensor *in[SQ_EINSUM_MAX] = {b->dy[0]}, *x = sq__saved(b, k);
  int others = 1, n = sq__inputs(b);
  for (int j = 0; j < n; j++) {
    if (j == k) continue;
    terms[others] = v->term[j];
    in[others++] = sq__saved(b, j);
  }
  sq_term have = reachable_labels(x, &v->term[k], n, terms, in);
  SQ_OWN sq_tensor *g = NULL, *aligned = NULL, *dx = NULL, *window = NULL;
  SQ_TRY(sq_einsum(n, terms, in, &have, &g));
  SQ_TRY(sq_tensor_full(x->dtype, x->ndim, x->shape, 0, &dx));
  SQ_TRY(sq_einsum_diagonal(dx, &v->term[k], &once, &window));
  SQ_TRY(align_labels(g, &have, &once, &aligned));
  SQ_TRY(sq_tensor_copy(window, aligned));
  b->dx[k] = sq_tensor_give(&dx);
  return SQ_OK;
}

static sq_status einsum_backward(sq_back *b) {
  for (int k = 0; k < sq__inputs(b); k++)
    if (sq__needs(b, k)) SQ_TRY(operand_backward(b, k));
  return SQ_OK;
}

/* --- recorded ------------------------------------------------------------------------------- */

enum { MOST_LABELS = 52 };

/* Terms as a text: labels become letters in the order in which they are met. */
typedef struct lettering {
  int met;
  char label[MOST_LABELS];
  char text[SQ_EINSUM_MAX * (SQ_MAX_DIMS + 1) + SQ_MAX_DIMS + 3];
  int n;
} lettering;

static void spell_term(lettering *l, const sq_term *t) {
  for (int i = 0; i < t->n; i++) {
    int at = 0;
    while (at < l->met && l->label[at] != t->label[i]) at++;
    if (at == l->met) l->label[l->met++] = t->label[i];
    l->text[l->n++] = (char)(at < 26 ? 'a' + at : 'A' + at - 26);
  }
}

static void spell_equation(lettering *l, int n, const sq_term *terms, const sq_term *out) {
  for (int k = 0; k < n; k++) {
    if (k > 0) l->text[l->n++] = ',';
    spell_term(l, &terms[k]);
  }
  l->text[l->n++] = '-', l->text[l->n++] = '>';
  spell_term(l, out);
}

/* Where the elements of the window with each label once stand in operand k, in row-major order. */
static sq_status diagonal_places(const sq_back *b, int k, sq_term *once, sq_tensor **window) {
  const labels *v = sq__values(b);
  SQ_OWN sq_tensor *numbers = NULL;
  const sq_tensor *x = sq__saved(b, k);
  SQ_TRY(sq_tensor_new_like(x, SQ_I64, &numbers));
  for (int64_t i = 0; i < x->numel; i++) ((int64_t *)sq_data(numbers))[i] = i;
  return sq_einsum_diagonal(numbers, &v->term[k], once, window);
}

/* g, over the labels `have`, spread over operand k's own and put on its diagonal. */
static sq_tensor *spread_labels(sq_again *r, int k, const sq_term *have, sq_tensor *g) {
  sq_term once;
  sq_tensor *window = NULL;
  if (!g) return NULL;
  sq_status st = diagonal_places(r->b, k, &once, &window);
  if (!(window = sq__own(r, st, window))) return NULL;
  int64_t shape[SQ_MAX_DIMS], size = sq__saved(r->b, k)->numel;
  for (int i = 0; i < once.n; i++) { /* `have` is in the order of `once` */
    int at = sq_term_find(have, once.label[i]);
    shape[i] = at < 0 ? 1 : g->shape[at];
  }
  g = sq__expanded(r, sq__shaped(r, g, once.n, shape), once.n, window->shape);
  if (once.n == sq__in_ndim(r->b, k)) return g;
  sq_tensor *places = sq__shaped(r, window, 1, &window->numel);
  g = sq__placed(r, 1, &size, 0, places, sq__shaped(r, g, 1, &window->numel));
  return sq__like_input(r, g, k);
}

static void operand_again(sq_again *r, int k) {
  const labels *v = sq__values(r->b);
  sq_term terms[SQ_EINSUM_MAX] = {v->out};
  sq_tensor *in[SQ_EINSUM_MAX] = {sq__dy(r, 0)}, *recorded[SQ_EINSUM_MAX] = {sq__dy(r, 0)};
  int others = 1, n = sq__inputs(r->b);
  for (int j = 0; j < n; j++) {
    if (j == k) continue;
    terms[others] = v->term[j];
    in[others] = sq__saved(r->b, j);
    recorded[others] = sq__input(r, j, in[others]);
    others++;
  }
  sq_term have = reachable_labels(sq__saved(r->b, k), &v->term[k], n, terms, in);
  lettering l = {0};
  spell_equation(&l, n, terms, &have);
  sq_arg list = {.kind = SQ_ARG_TENSORS, .tensors = {.n = n, .v = recorded}};
  sq__gives(r, k, spread_labels(r, k, &have, SQ_DO(einsum, SQ_S(l.text), list)));
}

static void einsum_again(sq_again *r) {
  for (int k = 0; k < sq__inputs(r->b); k++)
    if (sq__needs(r->b, k)) operand_again(r, k);
}
const sq_op_impl sq__op_einsum = {
    .forward = einsum_forward, .backward = einsum_backward, .again = einsum_again};

/* op_einsum.c: Einstein's notation; the gradient of each operand is a sum of products too. */
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
const sq_op_impl sq__op_einsum = {.forward = einsum_forward, .backward = einsum_backward};

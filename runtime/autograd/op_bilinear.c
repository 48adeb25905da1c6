/* op_bilinear.c: a product of two inputs through a weight for each output. */
#include <inttypes.h>
#include <string.h>

#include "autograd/again_priv.h"
#include "autograd/op_priv.h"
#include "tensor/map.h"
#include "tensor/product.h"
#include "tensor/reduce.h"
#include "tensor/view.h"

static sq_status check_bilinear(const sq_call *c) {
  const sq_tensor *a = c->in[IN_BILINEAR_X1], *b = c->in[IN_BILINEAR_X2],
                  *w = c->in[IN_BILINEAR_WEIGHT], *bias = c->in[IN_BILINEAR_BIAS];
  SQ_TRY(sq__want_float(c, IN_BILINEAR_X1));
  bool fits = w->ndim == 3 && a->ndim >= 1 && a->ndim == b->ndim &&
              memcmp(a->shape, b->shape, (size_t)(a->ndim - 1) * sizeof *a->shape) == 0 &&
              a->shape[a->ndim - 1] == w->shape[1] && b->shape[b->ndim - 1] == w->shape[2];
  if (!fits) {
    return sq_fail(SQ_ESHAPE,
                   "[bilinear] x1 is %s, x2 is %s, weight is %s: they must be (...,I), (...,J) and "
                   "(O,I,J)",
                   sq_tensor_shape_text(a, SQ_SHAPE_BUF), sq_tensor_shape_text(b, SQ_SHAPE_BUF),
                   sq_tensor_shape_text(w, SQ_SHAPE_BUF));
  }
  if (!bias || (bias->ndim == 1 && bias->shape[0] == w->shape[0])) return SQ_OK;
  return sq_fail(SQ_ESHAPE, "[bilinear] bias is %s, weight is %s: bias must be (%" PRId64 ")",
                 sq_tensor_shape_text(bias, SQ_SHAPE_BUF), sq_tensor_shape_text(w, SQ_SHAPE_BUF),
                 w->shape[0]);
}

/* x (...,n) as rows (N,1,n), and the weight (O,I,J) as (I,O J). */
static sq_status as_batch_rows(sq_tensor *x, sq_tensor **out) {
  int64_t n = x->shape[x->ndim - 1], rows = 1;
  for (int i = 0; i < x->ndim - 1; i++) rows *= x->shape[i];
  return sq_reshape(x, 3, (int64_t[]){rows, 1, n}, out);
}

static sq_status weight_columns(sq_tensor *w, sq_tensor **out) {
  SQ_OWN sq_tensor *turned = NULL;
  SQ_TRY(sq_permute(w, (const int[]){1, 0, 2}, &turned));
  return sq_reshape(turned, 2, (int64_t[]){w->shape[1], w->shape[0] * w->shape[2]}, out);
}

/* half (N,O,J) = x1 (N,1,I) times the weights: y_o = half_o x2. */
static sq_status half_product(sq_tensor *rows, sq_tensor *w, sq_tensor **out) {
  SQ_OWN sq_tensor *columns = NULL, *flat = NULL, *product = NULL;
  SQ_TRY(weight_columns(w, &columns));
  SQ_TRY(sq_reshape(rows, 2, (int64_t[]){rows->shape[0], rows->shape[2]}, &flat));
  SQ_TRY(sq_matmul("bilinear", flat, columns, &product));
  return sq_reshape(product, 3, (int64_t[]){rows->shape[0], w->shape[0], w->shape[2]}, out);
}

/* What is kept. */
enum { X1, X2, WEIGHT };

/* y_o = x1 w_o x2 + b_o.
 * dx1 = sum_o dy_o w_o x2, dx2 = sum_o dy_o x1 w_o, dw_o = x1^T dy_o x2, db = sum dy. */
static sq_status bilinear_forward(sq_call *c) {
  SQ_TRY(check_bilinear(c));
  const sq_tensor *x1 = c->in[IN_BILINEAR_X1];
  SQ_OWN sq_tensor *a = NULL, *b = NULL, *half = NULL, *each = NULL, *y = NULL, *biased = NULL;
  int64_t shape[SQ_MAX_DIMS];
  memcpy(shape, x1->shape, sizeof shape);
  shape[x1->ndim - 1] = c->in[IN_BILINEAR_WEIGHT]->shape[0];
  SQ_TRY(as_batch_rows(c->in[IN_BILINEAR_X1], &a));
  SQ_TRY(as_batch_rows(c->in[IN_BILINEAR_X2], &b));
  SQ_TRY(half_product(a, c->in[IN_BILINEAR_WEIGHT], &half));
  SQ_TRY(sq_map("bilinear", SQ_ELEM_mul, (sq_tensor *[]){half, b}, NULL, &each));
  SQ_TRY(sq_sum(each, 4, false, &y));
  if (c->in[IN_BILINEAR_BIAS]) {
    SQ_TRY(sq_map("bilinear", SQ_ELEM_add, (sq_tensor *[]){y, c->in[IN_BILINEAR_BIAS]}, NULL,
                  &biased));
  } else {
    biased = sq_tensor_keep(y);
  }
  SQ_TRY(sq__save(c, X1, c->in[IN_BILINEAR_X1]));
  SQ_TRY(sq__save(c, X2, c->in[IN_BILINEAR_X2]));
  SQ_TRY(sq__save(c, WEIGHT, c->in[IN_BILINEAR_WEIGHT]));
  return sq_reshape(biased, x1->ndim, shape, &c->out[0]);
}

/* g (N,O,1) x2 (N,1,J) as (N,O J): what x1 and the weights meet. */
static sq_status outer_product(sq_tensor *g, sq_tensor *b, sq_tensor **out) {
  SQ_OWN sq_tensor *each = NULL;
  SQ_TRY(sq_map("bilinear", SQ_ELEM_mul, (sq_tensor *[]){g, b}, NULL, &each));
  return sq_reshape(each, 2, (int64_t[]){each->shape[0], each->shape[1] * each->shape[2]}, out);
}

static sq_status give_left(sq_back *b, sq_tensor *met, sq_tensor *a, sq_tensor *w) {
  SQ_OWN sq_tensor *columns = NULL, *dx = NULL, *flat = NULL, *dw = NULL, *cut = NULL,
                   *turned = NULL;
  if (sq__needs(b, IN_BILINEAR_X1)) {
    SQ_TRY(weight_columns(w, &columns));
    SQ_TRY(sq_matmul_t("bilinear", met, false, columns, true, &dx));
    SQ_TRY(sq_reshape(dx, sq__in_ndim(b, IN_BILINEAR_X1), sq__in_shape(b, IN_BILINEAR_X1),
                      &b->dx[IN_BILINEAR_X1]));
  }
  if (!sq__needs(b, IN_BILINEAR_WEIGHT)) return SQ_OK;
  SQ_TRY(sq_reshape(a, 2, (int64_t[]){a->shape[0], a->shape[2]}, &flat));
  SQ_TRY(sq_matmul_t("bilinear", flat, true, met, false, &dw));
  SQ_TRY(sq_reshape(dw, 3, (int64_t[]){w->shape[1], w->shape[0], w->shape[2]}, &cut));
  SQ_TRY(sq_permute(cut, (const int[]){1, 0, 2}, &turned));
  return sq_tensor_contiguous(turned, &b->dx[IN_BILINEAR_WEIGHT]);
}

static sq_status bilinear_backward(sq_back *b) {
  SQ_OWN sq_tensor *g = NULL, *a = NULL, *x2 = NULL, *met = NULL, *half = NULL, *dx2 = NULL;
  sq_tensor *w = sq__saved(b, WEIGHT);
  SQ_TRY(as_batch_rows(sq__saved(b, X1), &a));
  SQ_TRY(as_batch_rows(sq__saved(b, X2), &x2));
  SQ_TRY(sq_reshape(b->dy[0], 3, (int64_t[]){a->shape[0], w->shape[0], 1}, &g));
  SQ_TRY(outer_product(g, x2, &met));
  SQ_TRY(give_left(b, met, a, w));
  if (sq__needs(b, IN_BILINEAR_X2)) {
    SQ_TRY(half_product(a, w, &half));
    SQ_TRY(sq_matmul_t("bilinear", g, true, half, false, &dx2));
    SQ_TRY(sq_reshape(dx2, sq__in_ndim(b, IN_BILINEAR_X2), sq__in_shape(b, IN_BILINEAR_X2),
                      &b->dx[IN_BILINEAR_X2]));
  }
  return sq__needs(b, IN_BILINEAR_BIAS) ? sq_sum(g, 5, false, &b->dx[IN_BILINEAR_BIAS]) : SQ_OK;
}

/* y = sum over j of (x1 w)_oj x2_j: rows (N,I) times (I,O J), then by x2 (N,1,J). */
static void bilinear_compose(sq_again *r, sq_tensor **y) {
  const int64_t *shape = sq__in_shape(r->b, IN_BILINEAR_WEIGHT), O = shape[0], I = shape[1];
  const int64_t J = shape[2];
  sq_tensor *kept = sq__saved(r->b, X1), *dy = sq__dy(r, 0);
  int64_t N = 1;
  for (int i = 0; i < kept->ndim - 1; i++) N *= kept->shape[i];
  sq_tensor *a = sq__input(r, IN_BILINEAR_X1, kept);
  sq_tensor *b = sq__input(r, IN_BILINEAR_X2, sq__saved(r->b, X2));
  sq_tensor *w = sq__input(r, IN_BILINEAR_WEIGHT, sq__saved(r->b, WEIGHT));
  sq_tensor *columns = sq__turned(r, w, 3, (const int[]){1, 0, 2});
  columns = sq__shaped(r, columns, 2, (int64_t[]){I, O * J});
  sq_tensor *half = sq__matmul(r, sq__shaped(r, a, 2, (int64_t[]){N, I}), columns);
  half = sq__shaped(r, half, 3, (int64_t[]){N, O, J});
  half = sq__mul(r, half, sq__shaped(r, b, 3, (int64_t[]){N, 1, J}));
  y[0] = sq__shaped(r, sq__sum_dims(r, half, 4, false), dy->ndim, dy->shape);
  if (sq__inputs(r->b) > IN_BILINEAR_BIAS && sq__needs(r->b, IN_BILINEAR_BIAS))
    y[0] = sq__add(r, y[0], sq__input_slope(r, IN_BILINEAR_BIAS));
}
const sq_op_impl sq__op_bilinear = {.forward = bilinear_forward,
                                    .backward = bilinear_backward,
                                    .compose = bilinear_compose,
                                    .functional = true};

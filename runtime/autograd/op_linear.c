/* op_linear.c: the affine map, fused with its bias. */
#include "autograd/again_priv.h"
#include "autograd/op_priv.h"
#include "kernels/gemm.h"
#include "tensor/reduce.h"
#include "tensor/view.h"

static sq_status check_linear(const sq_call *c) {
  const sq_tensor *x = c->in[IN_X], *w = c->in[IN_LINEAR_WEIGHT], *b = c->in[IN_LINEAR_BIAS];
  if (w->ndim != 2) {
    return sq_fail(SQ_ESHAPE, "[linear] weight is %s: it must be (out,in)",
                   sq_tensor_shape_text(w, SQ_SHAPE_BUF));
  }
  if (x->ndim < 1 || x->shape[x->ndim - 1] != w->shape[1]) {
    return sq_fail(SQ_ESHAPE, "[linear] x is %s, weight is %s: x's last dim must be %lld",
                   sq_tensor_shape_text(x, SQ_SHAPE_BUF), sq_tensor_shape_text(w, SQ_SHAPE_BUF),
                   (long long)w->shape[1]);
  }
  if (b && (b->ndim != 1 || b->shape[0] != w->shape[0])) {
    return sq_fail(SQ_ESHAPE, "[linear] bias is %s, weight is %s: bias must be (%lld)",
                   sq_tensor_shape_text(b, SQ_SHAPE_BUF), sq_tensor_shape_text(w, SQ_SHAPE_BUF),
                   (long long)w->shape[0]);
  }
  return sq__want_float(c, IN_X);
}

/* What is kept. */
enum { X, WEIGHT };

/* y = x w^T + b.  x (...,I), w (O,I), b (O) -> y (...,O).  dx = dy w, dw = dy^T x, db = column sums
 * of dy. */
static sq_status linear_forward(sq_call *c) {
  SQ_TRY(check_linear(c));
  SQ_OWN sq_tensor *x = NULL, *w = NULL, *b = NULL, *y = NULL;
  SQ_TRY(sq_tensor_contiguous(c->in[IN_X], &x));
  SQ_TRY(sq_tensor_contiguous(c->in[IN_LINEAR_WEIGHT], &w));
  int64_t shape[SQ_MAX_DIMS], I = w->shape[1], O = w->shape[0], rows = 1;
  for (int i = 0; i < x->ndim - 1; i++) rows *= shape[i] = x->shape[i];
  shape[x->ndim - 1] = O;
  SQ_TRY(sq_tensor_new(x->dtype, x->ndim, shape, &y));
  if (c->in[IN_LINEAR_BIAS]) SQ_TRY(sq_tensor_contiguous(c->in[IN_LINEAR_BIAS], &b));
  sq_gemm g = {.dtype = x->dtype, .tb = true, .m = rows, .n = O, .k = I};
  g.a = sq_data(x), g.lda = I;
  g.b = sq_data(w), g.ldb = I;
  g.c = sq_data(y), g.ldc = O;
  if (b) g.bias = sq_data(b);
  SQ_TRY(sq_gemm_run(&g));
  SQ_TRY(sq__save(c, X, c->in[IN_X]));
  SQ_TRY(sq__save(c, WEIGHT, c->in[IN_LINEAR_WEIGHT]));
  c->out[0] = sq_tensor_give(&y);
  return SQ_OK;
}

static sq_status linear_backward(sq_back *b) {
  SQ_OWN sq_tensor *dy = NULL, *x = NULL, *w = NULL, *dx = NULL, *dw = NULL, *db = NULL;
  SQ_TRY(sq_tensor_contiguous(b->dy[0], &dy));
  SQ_TRY(sq_tensor_contiguous(sq__saved(b, X), &x));
  SQ_TRY(sq_tensor_contiguous(sq__saved(b, WEIGHT), &w));
  sq_dtype dtype = x->dtype;
  int64_t O = w->shape[0], I = w->shape[1], rows = 1;
  for (int i = 0; i < x->ndim - 1; i++) rows *= x->shape[i];
  if (sq__needs(b, IN_X)) {
    SQ_TRY(sq_tensor_new_like(x, dtype, &dx));
    sq_gemm g = {.dtype = dtype, .m = rows, .n = I, .k = O};
    g.a = sq_data(dy), g.lda = O;
    g.b = sq_data(w), g.ldb = I;
    g.c = sq_data(dx), g.ldc = I;
    SQ_TRY(sq_gemm_run(&g));
  }
  if (sq__needs(b, IN_LINEAR_WEIGHT)) {
    SQ_TRY(sq_tensor_new_like(w, dtype, &dw));
    sq_gemm g = {.dtype = dtype, .ta = true, .m = O, .n = I, .k = rows};
    g.a = sq_data(dy), g.lda = O;
    g.b = sq_data(x), g.ldb = I;
    g.c = sq_data(dw), g.ldc = I;
    SQ_TRY(sq_gemm_run(&g));
  }
  if (sq__needs(b, IN_LINEAR_BIAS)) {
    SQ_OWN sq_tensor *flat = NULL;
    SQ_TRY(sq_view(dy, 2, (int64_t[]){rows, O}, &flat));
    SQ_TRY(sq_sum(flat, 1, false, &db));
  }
  b->dx[IN_X] = sq_tensor_give(&dx);
  b->dx[IN_LINEAR_WEIGHT] = sq_tensor_give(&dw);
  b->dx[IN_LINEAR_BIAS] = sq_tensor_give(&db);
  return SQ_OK;
}

static void linear_again(sq_again *r) {
  sq_tensor *kept = sq__saved(r->b, X), *dy = sq__dy(r, 0);
  sq_tensor *x = sq__input(r, IN_X, kept);
  sq_tensor *w = sq__input(r, IN_LINEAR_WEIGHT, sq__saved(r->b, WEIGHT));
  const int64_t *shape = sq__in_shape(r->b, IN_LINEAR_WEIGHT);
  int64_t rows = 1;
  for (int i = 0; i < kept->ndim - 1; i++) rows *= kept->shape[i];
  if (sq__needs(r->b, IN_X)) sq__gives(r, IN_X, sq__matmul(r, dy, w));
  if (!sq__needs(r->b, IN_LINEAR_WEIGHT) && !sq__needs(r->b, IN_LINEAR_BIAS)) return;
  sq_tensor *g = sq__shaped(r, dy, 2, (int64_t[]){rows, shape[0]});
  if (sq__needs(r->b, IN_LINEAR_WEIGHT)) {
    sq_tensor *flat = sq__shaped(r, x, 2, (int64_t[]){rows, shape[1]});
    sq__gives(r, IN_LINEAR_WEIGHT, sq__matmul(r, sq__swapped(r, g, 0, 1), flat));
  }
  if (sq__needs(r->b, IN_LINEAR_BIAS)) sq__gives(r, IN_LINEAR_BIAS, sq__sum_dims(r, g, 1, false));
}

const sq_op_impl sq__op_linear = {.forward = linear_forward,
                                  .backward = linear_backward,
                                  .again = linear_again,
                                  .functional = true};

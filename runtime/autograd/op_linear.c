/* op_linear.c: the affine map, fused with its bias. */
#include "autograd/op_priv.h"
#include "base/limits.h"
#include "base/parallel.h"
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

typedef struct bias_job {
  const sq_kern *kern;
  const void *bias;
  char *y;
  size_t size;
  int64_t rows, O;
} bias_job;

static void bias_tile(int64_t tile, void *context) {
  const bias_job *j = context;
  int64_t first = tile * SQ_BIAS_ROWS;
  int64_t n = sq_tile_size(j->rows, SQ_BIAS_ROWS, tile);
  j->kern->add_row(n, j->O, j->bias, j->y + (size_t)(first * j->O) * j->size);
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
  SQ_TRY(sq_gemm_tiled(x->dtype, false, true, rows, O, I, 1, sq_data(x), I, sq_data(w), I, 0,
                       sq_data(y), O));
  if (c->in[IN_LINEAR_BIAS]) {
    SQ_TRY(sq_tensor_contiguous(c->in[IN_LINEAR_BIAS], &b));
    bias_job j = {sq_kern_of(x->dtype), sq_data(b), sq_data(y), sq_dtype_size(x->dtype), rows, O};
    sq_parallel(sq_tiles(rows, SQ_BIAS_ROWS), rows * O / 4, bias_tile, &j);
    SQ_TRY(sq_interrupt_check());
  }
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
    SQ_TRY(sq_gemm_tiled(dtype, false, false, rows, I, O, 1, sq_data(dy), O, sq_data(w), I, 0,
                         sq_data(dx), I));
  }
  if (sq__needs(b, IN_LINEAR_WEIGHT)) {
    SQ_TRY(sq_tensor_new_like(w, dtype, &dw));
    SQ_TRY(sq_gemm_tiled(dtype, true, false, O, I, rows, 1, sq_data(dy), O, sq_data(x), I, 0,
                         sq_data(dw), I));
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

const sq_op_impl sq__op_linear = {
    .forward = linear_forward, .backward = linear_backward, .functional = true};

/* product.c: which product a pair of tensors asks for: shapes, batches, and transposition found in
 * strides. The multiplying is done by kernels/gemm. */
#include "tensor/product.h"

#include "kernels/gemm.h"
#include "tensor/view.h"

/* A batch of matrices as BLAS reads it. */
typedef struct matrices {
  sq_tensor *t; /* new: drop it */
  bool trans;   /* stored as its transpose */
  int64_t ld, step;
} matrices;

/* How one matrix of t lies in memory, or false when BLAS can't read it. */
static bool read_matrix(const sq_tensor *t, matrices *m) {
  int64_t rows = t->shape[t->ndim - 2], columns = t->shape[t->ndim - 1];
  int64_t down = t->stride[t->ndim - 2], right = t->stride[t->ndim - 1];
  if ((right == 1 || columns == 1) && (down >= columns || rows == 1)) {
    m->trans = false;
    m->ld = rows == 1 ? columns : down;
  } else if ((down == 1 || rows == 1) && (right >= rows || columns == 1)) {
    m->trans = true;
    m->ld = columns == 1 ? rows : right;
  } else {
    return false;
  }
  if (m->ld < 1) m->ld = 1;
  return true;
}

/* The step from one matrix of the batch to the next, or false where there is no single one. */
static bool read_batch(const sq_tensor *t, int64_t *step) {
  int64_t expect = 0;
  bool first = true;
  *step = 0;
  for (int i = t->ndim - 3; i >= 0; i--) {
    if (t->shape[i] == 1) continue;
    if (first) {
      *step = expect = t->stride[i];
      first = false;
    } else if (t->stride[i] != expect) {
      return false;
    }
    expect *= t->shape[i];
  }
  return true;
}

/* t expanded to (batch..., rows, columns), copied where it can't be read in place. */
static sq_status read_matrices(sq_tensor *t, int ndim, const int64_t *batch, matrices *m) {
  int64_t shape[SQ_MAX_DIMS];
  for (int i = 0; i < ndim - 2; i++) shape[i] = batch[i];
  shape[ndim - 2] = t->shape[t->ndim - 2];
  shape[ndim - 1] = t->shape[t->ndim - 1];
  SQ_OWN sq_tensor *wide = NULL;
  SQ_TRY(sq_expand(t, ndim, shape, &wide));
  if (wide->numel == 0 || !read_matrix(wide, m) || !read_batch(wide, &m->step)) {
    SQ_TRY(sq_tensor_clone(wide, &m->t));
    m->trans = false;
    m->ld = shape[ndim - 1] > 0 ? shape[ndim - 1] : 1;
    m->step = shape[ndim - 2] * shape[ndim - 1];
    return SQ_OK;
  }
  m->t = sq_tensor_give(&wide);
  return SQ_OK;
}

static sq_status check_product(const char *what, const sq_tensor *a, const sq_tensor *b,
                               int64_t inner_a, int64_t inner_b) {
  if (a->dtype != b->dtype || a->dtype == SQ_BOOL) {
    return sq_fail(SQ_ETYPE, "[%s] a is %s, b is %s: both must be of one dtype, and not bool", what,
                   sq_dtype_name(a->dtype), sq_dtype_name(b->dtype));
  }
  if (inner_a != inner_b) {
    return sq_fail(SQ_ESHAPE, "[%s] inner sizes differ: a is %s, b is %s", what,
                   sq_tensor_shape_text(a, SQ_SHAPE_BUF), sq_tensor_shape_text(b, SQ_SHAPE_BUF));
  }
  return SQ_OK;
}

/* y = a b for operands of at least two dims; y is contiguous. */
static sq_status multiply_batches(sq_tensor *a, sq_tensor *b, sq_tensor *y) {
  int64_t m = y->shape[y->ndim - 2], n = y->shape[y->ndim - 1], k = a->shape[a->ndim - 1];
  if (y->numel == 0) return SQ_OK;
  int64_t batch = y->numel / (m * n);
  matrices A = {0}, B = {0};
  sq_status st = read_matrices(a, y->ndim, y->shape, &A);
  if (st == SQ_OK) st = read_matrices(b, y->ndim, y->shape, &B);
  if (st == SQ_OK) {
    sq_gemm g = {.dtype = y->dtype, .ta = A.trans, .tb = B.trans, .m = m, .n = n, .k = k};
    g.a = sq_data(A.t), g.lda = A.ld, g.sa = A.step;
    g.b = sq_data(B.t), g.ldb = B.ld, g.sb = B.step;
    g.c = sq_data(y), g.ldc = n, g.sc = m * n;
    g.batch = batch;
    st = sq_gemm_run(&g);
  }
  sq_tensor_drop(A.t);
  sq_tensor_drop(B.t);
  return st;
}

/* One matrix b for all of a's: the dims in front of a are rows too. */
static sq_status multiply_rows(sq_tensor *a, sq_tensor *b, sq_tensor *y) {
  SQ_OWN sq_tensor *rows = NULL, *flat = NULL;
  int64_t n = y->shape[y->ndim - 1], k = a->shape[a->ndim - 1];
  if (y->numel == 0) return SQ_OK;
  SQ_TRY(sq_reshape(a, 2, (int64_t[]){y->numel / n, k}, &rows));
  SQ_TRY(sq_view(y, 2, (int64_t[]){y->numel / n, n}, &flat));
  return multiply_batches(rows, b, flat);
}

static sq_status product_of(const char *what, sq_tensor *a, sq_tensor *b, sq_tensor **out) {
  int ndim;
  int64_t shape[SQ_MAX_DIMS];
  SQ_TRY(sq_shape_broadcast(what, a->ndim - 2, a->shape, b->ndim - 2, b->shape, &ndim, shape));
  shape[ndim] = a->shape[a->ndim - 2];
  shape[ndim + 1] = b->shape[b->ndim - 1];
  SQ_OWN sq_tensor *y = NULL;
  SQ_TRY(sq_tensor_new(a->dtype, ndim + 2, shape, &y));
  if (b->ndim == 2 && a->ndim > 2) {
    SQ_TRY(multiply_rows(a, b, y));
  } else {
    SQ_TRY(multiply_batches(a, b, y));
  }
  *out = sq_tensor_give(&y);
  return SQ_OK;
}

sq_status sq_matmul(const char *what, sq_tensor *a, sq_tensor *b, sq_tensor **out) {
  if (a->ndim == 0 || b->ndim == 0) {
    return sq_fail(SQ_ESHAPE, "[%s] a is %s, b is %s: both need at least 1 dim", what,
                   sq_tensor_shape_text(a, SQ_SHAPE_BUF), sq_tensor_shape_text(b, SQ_SHAPE_BUF));
  }
  SQ_TRY(
      check_product(what, a, b, a->shape[a->ndim - 1], b->shape[b->ndim == 1 ? 0 : b->ndim - 2]));
  SQ_OWN sq_tensor *row = NULL, *column = NULL, *y = NULL;
  if (a->ndim == 1) SQ_TRY(sq_unsqueeze(a, 0, &row));
  if (b->ndim == 1) SQ_TRY(sq_unsqueeze(b, 1, &column));
  SQ_TRY(product_of(what, row ? row : a, column ? column : b, &y));
  unsigned dropped = 0;
  if (row) dropped |= 1u << (y->ndim - 2);
  if (column) dropped |= 1u << (y->ndim - 1);
  if (!dropped) {
    *out = sq_tensor_give(&y);
    return SQ_OK;
  }
  return sq_squeeze(y, dropped, out);
}

sq_status sq_matmul_t(const char *what, sq_tensor *a, bool ta, sq_tensor *b, bool tb,
                      sq_tensor **out) {
  SQ_OWN sq_tensor *at = NULL, *bt = NULL;
  if (ta) SQ_TRY(sq_transpose(a, a->ndim - 2, a->ndim - 1, &at));
  if (tb) SQ_TRY(sq_transpose(b, b->ndim - 2, b->ndim - 1, &bt));
  return sq_matmul(what, ta ? at : a, tb ? bt : b, out);
}

/* op_matmul.c: products of vectors, matrices and batches of them. */
#include <math.h>

#include "autograd/op_priv.h"
#include "tensor/map.h"
#include "tensor/product.h"
#include "tensor/view.h"

/* t, with a dim of size 1 put in at `dim` where asked for. */
static sq_status put_in(sq_tensor *t, bool wanted, int dim, sq_tensor **out) {
  if (wanted) return sq_unsqueeze(t, dim, out);
  *out = sq_tensor_keep(t);
  return SQ_OK;
}

/* y = a b (...,M,N), dims in front broadcast.  da = dy b^T, db = a^T dy, summed over what was
 * broadcast. */
static sq_status matmul_forward(sq_call *c) {
  SQ_TRY(sq_matmul(c->op->name, c->in[0], c->in[1], &c->out[0]));
  SQ_TRY(sq__save(c, c->in[0]));
  return sq__save(c, c->in[1]);
}

/* db of one matrix b for many of a: all of a's rows against all of dy's. */
static sq_status rows_backward(sq_tensor *a, sq_tensor *dy, sq_tensor **out) {
  SQ_OWN sq_tensor *rows = NULL, *grads = NULL;
  int64_t k = a->shape[a->ndim - 1], n = dy->shape[dy->ndim - 1], m = 1;
  for (int i = 0; i < a->ndim - 1; i++) m *= a->shape[i];
  SQ_TRY(sq_reshape(a, 2, (int64_t[]){m, k}, &rows));
  SQ_TRY(sq_reshape(dy, 2, (int64_t[]){m, n}, &grads));
  return sq_matmul_t("matmul", rows, true, grads, false, out);
}

static sq_status matmul_backward(sq_back *b) {
  SQ_OWN sq_tensor *x = NULL, *y = NULL, *g1 = NULL, *g = NULL;
  sq_tensor *value;
  bool row = sq__saved(b, 0)->ndim == 1, column = sq__saved(b, 1)->ndim == 1;
  SQ_TRY(put_in(sq__saved(b, 0), row, 0, &x));
  SQ_TRY(put_in(sq__saved(b, 1), column, 1, &y));
  SQ_TRY(put_in(b->dy[0], column, b->dy[0]->ndim, &g1)); /* dy with the dims that vectors dropped */
  SQ_TRY(put_in(g1, row, g1->ndim - 1, &g));
  if (sq__needs(b, 0)) {
    SQ_TRY(sq_matmul_t("matmul", g, false, y, true, &value));
    SQ_TRY(sq__give(b, 0, value));
  }
  if (sq__needs(b, 1)) {
    if (y->ndim == 2 && x->ndim > 2) {
      SQ_TRY(rows_backward(x, g, &value));
    } else {
      SQ_TRY(sq_matmul_t("matmul", x, true, g, false, &value));
    }
    if (column) {
      SQ_OWN sq_tensor *dy = value;
      SQ_TRY(sq_squeeze(dy, 1u << (dy->ndim - 1), &value));
    }
    SQ_TRY(sq__give(b, 1, value));
  }
  return SQ_OK;
}
const sq_op_impl sq__op_matmul = {.forward = matmul_forward, .backward = matmul_backward};

/* The same for operands of fixed dims. */
static sq_status fixed(sq_call *c, int xdim, int ydim) {
  const sq_tensor *x = c->in[0], *y = c->in[1];
  bool fits = x->ndim == xdim && y->ndim == ydim;
  if (fits && xdim == 3) fits = x->shape[0] == y->shape[0];
  if (fits) return matmul_forward(c);
  return sq_fail(SQ_ESHAPE, "[%s] a is %s, b is %s: a must have %d dim%s and b %d%s; use matmul",
                 c->op->name, sq_tensor_shape_text(x, SQ_SHAPE_BUF),
                 sq_tensor_shape_text(y, SQ_SHAPE_BUF), xdim, xdim == 1 ? "" : "s", ydim,
                 xdim == 3 ? ", with batches of one size" : "");
}

static sq_status mm_forward(sq_call *c) { return fixed(c, 2, 2); }
static sq_status bmm_forward(sq_call *c) { return fixed(c, 3, 3); }
static sq_status mv_forward(sq_call *c) { return fixed(c, 2, 1); }
static sq_status dot_forward(sq_call *c) { return fixed(c, 1, 1); }
const sq_op_impl sq__op_mm = {.forward = mm_forward, .backward = matmul_backward};
const sq_op_impl sq__op_bmm = {.forward = bmm_forward, .backward = matmul_backward};
const sq_op_impl sq__op_mv = {.forward = mv_forward, .backward = matmul_backward};
const sq_op_impl sq__op_dot = {.forward = dot_forward, .backward = matmul_backward};

/* y = beta x + alpha a b;  dx = beta dy, da = alpha dy b^T, db = alpha a^T dy */
static sq_status addmm_forward(sq_call *c) {
  SQ_OWN sq_tensor *product = NULL, *scaled = NULL;
  sq_tensor *x = c->in[0], *a = c->in[1], *m = c->in[2];
  double beta = c->arg[3].number, alpha = c->arg[4].number;
  if (a->ndim != 2 || m->ndim != 2) {
    return sq_fail(SQ_ESHAPE, "[addmm] mat1 is %s, mat2 is %s: both must have 2 dims",
                   sq_tensor_shape_text(a, SQ_SHAPE_BUF), sq_tensor_shape_text(m, SQ_SHAPE_BUF));
  }
  bool whole = beta == floor(beta) && alpha == floor(alpha);
  if (!sq_is_float(x->dtype) && !whole) {
    return sq_fail(SQ_ETYPE, "[addmm] beta is %.14g, alpha is %.14g: for %s they must be whole",
                   beta, alpha, sq_dtype_name(x->dtype));
  }
  SQ_TRY(sq_matmul("addmm", a, m, &product));
  SQ_TRY(sq_check_expands("addmm", x, product));
  SQ_TRY(sq__save(c, a));
  SQ_TRY(sq__save(c, m));
  sq__save_number(c, beta);
  sq__save_number(c, alpha);
  if (beta == 0) return sq_map("addmm", SQ_ELEM_scale, &product, &alpha, &c->out[0]);
  SQ_TRY(sq_map("addmm", SQ_ELEM_scale, &x, &beta, &scaled));
  return sq_map("addmm", SQ_ELEM_add_scaled, (sq_tensor *[]){scaled, product}, &alpha, &c->out[0]);
}

static sq_status addmm_backward(sq_back *b) {
  SQ_OWN sq_tensor *g = NULL;
  double beta = sq__number(b, 0), alpha = sq__number(b, 1);
  sq_tensor *value;
  SQ_TRY(sq_map("addmm", SQ_ELEM_scale, &b->dy[0], &alpha, &g));
  if (sq__needs(b, 0)) {
    SQ_TRY(sq_map("addmm", SQ_ELEM_scale, &b->dy[0], &beta, &value));
    SQ_TRY(sq__give(b, 0, value));
  }
  if (sq__needs(b, 1)) SQ_TRY(sq_matmul_t("addmm", g, false, sq__saved(b, 1), true, &b->dx[1]));
  if (sq__needs(b, 2)) SQ_TRY(sq_matmul_t("addmm", sq__saved(b, 0), true, g, false, &b->dx[2]));
  return SQ_OK;
}
const sq_op_impl sq__op_addmm = {.forward = addmm_forward, .backward = addmm_backward};

/* y[i][j] = a[i] b[j];  da = dy b, db = dy^T a */
static sq_status outer_forward(sq_call *c) {
  sq_tensor *x = c->in[0], *y = c->in[1];
  if (x->ndim != 1 || y->ndim != 1) {
    return sq_fail(SQ_ESHAPE, "[outer] a is %s, b is %s: both must have 1 dim",
                   sq_tensor_shape_text(x, SQ_SHAPE_BUF), sq_tensor_shape_text(y, SQ_SHAPE_BUF));
  }
  SQ_OWN sq_tensor *column = NULL;
  SQ_TRY(sq_unsqueeze(x, 1, &column));
  SQ_TRY(sq__save(c, x));
  SQ_TRY(sq__save(c, y));
  return sq_map("outer", SQ_ELEM_mul, (sq_tensor *[]){column, y}, NULL, &c->out[0]);
}

static sq_status outer_backward(sq_back *b) {
  SQ_OWN sq_tensor *turned = NULL;
  SQ_TRY(sq_transpose(b->dy[0], 0, 1, &turned));
  if (sq__needs(b, 0)) SQ_TRY(sq_matmul("outer", b->dy[0], sq__saved(b, 1), &b->dx[0]));
  if (sq__needs(b, 1)) SQ_TRY(sq_matmul("outer", turned, sq__saved(b, 0), &b->dx[1]));
  return SQ_OK;
}
const sq_op_impl sq__op_outer = {
    .forward = outer_forward, .backward = outer_backward, .promotes = SQ_ALL_INPUTS};

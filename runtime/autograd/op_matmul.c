/* op_matmul.c: products of vectors, matrices and batches of them. */
#include <math.h>

#include "autograd/again_priv.h"
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

/* What products of two keep: their operands. */
enum { A, B };

SQ_ALIKE(IN_MM_MAT2, IN_MATMUL_OTHER);
SQ_ALIKE(IN_BMM_MAT2, IN_MATMUL_OTHER);
SQ_ALIKE(IN_MV_VEC, IN_MATMUL_OTHER);
SQ_ALIKE(IN_DOT_OTHER, IN_MATMUL_OTHER);

/* y = a b (...,M,N), dims in front broadcast.  da = dy b^T, db = a^T dy, summed over what was
 * broadcast. */
static sq_status matmul_forward(sq_call *c) {
  SQ_TRY(sq_matmul(c->op->name, c->in[IN_X], c->in[IN_MATMUL_OTHER], &c->out[0]));
  SQ_TRY(sq__save(c, A, c->in[IN_X]));
  return sq__save(c, B, c->in[IN_MATMUL_OTHER]);
}

/* db of one matrix b for many of a: all of a's rows against all of dy's. */
static sq_status shared_matrix_backward(sq_tensor *a, sq_tensor *dy, sq_tensor **out) {
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
  bool row = sq__saved(b, A)->ndim == 1, column = sq__saved(b, B)->ndim == 1;
  SQ_TRY(put_in(sq__saved(b, A), row, 0, &x));
  SQ_TRY(put_in(sq__saved(b, B), column, 1, &y));
  SQ_TRY(put_in(b->dy[0], column, b->dy[0]->ndim, &g1)); /* dy with the dims that vectors dropped */
  SQ_TRY(put_in(g1, row, g1->ndim - 1, &g));
  if (sq__needs(b, IN_X)) {
    SQ_TRY(sq_matmul_t("matmul", g, false, y, true, &value));
    SQ_TRY(sq__give(b, IN_X, value));
  }
  if (sq__needs(b, IN_MATMUL_OTHER)) {
    if (y->ndim == 2 && x->ndim > 2) {
      SQ_TRY(shared_matrix_backward(x, g, &value));
    } else {
      SQ_TRY(sq_matmul_t("matmul", x, true, g, false, &value));
    }
    if (column) {
      SQ_OWN sq_tensor *dy = value;
      SQ_TRY(sq_squeeze(dy, 1u << (dy->ndim - 1), &value));
    }
    SQ_TRY(sq__give(b, IN_MATMUL_OTHER, value));
  }
  return SQ_OK;
}

/* The same of recorded products; what vectors lack is put in and left out again. */
static void matmul_again(sq_again *r) {
  sq_tensor *a = sq__saved(r->b, A), *m = sq__saved(r->b, B), *g = sq__dy(r, 0);
  bool row = a->ndim == 1, column = m->ndim == 1;
  sq_tensor *x = sq__input(r, IN_X, a), *y = sq__input(r, IN_MATMUL_OTHER, m);
  if (row) x = SQ_DO(unsqueeze, sq__arg(x), SQ_D(0));
  if (column) y = SQ_DO(unsqueeze, sq__arg(y), SQ_D(1));
  if (column) g = SQ_DO(unsqueeze, sq__arg(g), SQ_D(-1));
  if (row) g = SQ_DO(unsqueeze, sq__arg(g), SQ_D(-2));
  if (sq__needs(r->b, IN_X)) sq__gives(r, IN_X, sq__matmul(r, g, sq__swapped(r, y, -2, -1)));
  if (!sq__needs(r->b, IN_MATMUL_OTHER)) return;
  sq_tensor *dy = sq__matmul(r, sq__swapped(r, x, -2, -1), g);
  if (column) dy = SQ_DO(squeeze, sq__arg(dy), sq__ints(SQ_ARG_DIMS, 1, (int64_t[]){-1}));
  sq__gives(r, IN_MATMUL_OTHER, dy);
}
const sq_op_impl sq__op_matmul = {
    .forward = matmul_forward, .backward = matmul_backward, .again = matmul_again};

/* The same for operands of fixed dims. */
static sq_status multiply_fixed(sq_call *c, int xdim, int ydim) {
  const sq_tensor *x = c->in[IN_X], *y = c->in[IN_MATMUL_OTHER];
  bool fits = x->ndim == xdim && y->ndim == ydim;
  if (fits && xdim == 3) fits = x->shape[0] == y->shape[0];
  if (fits) return matmul_forward(c);
  return sq_fail(SQ_ESHAPE, "[%s] a is %s, b is %s: a must have %d dim%s and b %d%s; use matmul",
                 c->op->name, sq_tensor_shape_text(x, SQ_SHAPE_BUF),
                 sq_tensor_shape_text(y, SQ_SHAPE_BUF), xdim, xdim == 1 ? "" : "s", ydim,
                 xdim == 3 ? ", with batches of one size" : "");
}

static sq_status mm_forward(sq_call *c) { return multiply_fixed(c, 2, 2); }
static sq_status bmm_forward(sq_call *c) { return multiply_fixed(c, 3, 3); }
static sq_status mv_forward(sq_call *c) { return multiply_fixed(c, 2, 1); }
static sq_status dot_forward(sq_call *c) { return multiply_fixed(c, 1, 1); }

#define SQ_PRODUCT(op)             \
  const sq_op_impl sq__op_##op = { \
      .forward = op##_forward, .backward = matmul_backward, .again = matmul_again}
SQ_PRODUCT(mm);
SQ_PRODUCT(bmm);
SQ_PRODUCT(mv);
SQ_PRODUCT(dot);

/* What addmm keeps besides a and b. */
typedef struct factors {
  double beta, alpha;
} factors;

/* y = beta x + alpha a b;  dx = beta dy, da = alpha dy b^T, db = alpha a^T dy */
static sq_status addmm_forward(sq_call *c) {
  SQ_OWN sq_tensor *product = NULL, *scaled = NULL;
  sq_tensor *x = c->in[IN_ADDMM_INPUT], *a = c->in[IN_ADDMM_MAT1], *m = c->in[IN_ADDMM_MAT2];
  double beta = c->arg[ADDMM_BETA].number, alpha = c->arg[ADDMM_ALPHA].number;
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
  SQ_TRY(sq__save(c, A, a));
  SQ_TRY(sq__save(c, B, m));
  SQ_SAVE_VALUES(c, factors, beta, alpha);
  if (beta == 0) return sq_map("addmm", SQ_ELEM_scale, &product, &alpha, &c->out[0]);
  SQ_TRY(sq_map("addmm", SQ_ELEM_scale, &x, &beta, &scaled));
  return sq_map("addmm", SQ_ELEM_add_scaled, (sq_tensor *[]){scaled, product}, &alpha, &c->out[0]);
}

static sq_status addmm_backward(sq_back *b) {
  SQ_OWN sq_tensor *g = NULL;
  const factors *v = sq__values(b);
  sq_tensor *value;
  SQ_TRY(sq_map("addmm", SQ_ELEM_scale, &b->dy[0], &v->alpha, &g));
  if (sq__needs(b, IN_ADDMM_INPUT)) {
    SQ_TRY(sq_map("addmm", SQ_ELEM_scale, &b->dy[0], &v->beta, &value));
    SQ_TRY(sq__give(b, IN_ADDMM_INPUT, value));
  }
  if (sq__needs(b, IN_ADDMM_MAT1))
    SQ_TRY(sq_matmul_t("addmm", g, false, sq__saved(b, B), true, &b->dx[IN_ADDMM_MAT1]));
  if (sq__needs(b, IN_ADDMM_MAT2))
    SQ_TRY(sq_matmul_t("addmm", sq__saved(b, A), true, g, false, &b->dx[IN_ADDMM_MAT2]));
  return SQ_OK;
}

static void addmm_again(sq_again *r) {
  const factors *v = sq__values(r->b);
  sq_tensor *g = sq__scale(r, sq__dy(r, 0), v->alpha);
  sq_tensor *a = sq__input(r, IN_ADDMM_MAT1, sq__saved(r->b, A));
  sq_tensor *m = sq__input(r, IN_ADDMM_MAT2, sq__saved(r->b, B));
  if (sq__needs(r->b, IN_ADDMM_INPUT))
    sq__gives(r, IN_ADDMM_INPUT, sq__scale(r, sq__dy(r, 0), v->beta));
  if (sq__needs(r->b, IN_ADDMM_MAT1))
    sq__gives(r, IN_ADDMM_MAT1, sq__matmul(r, g, sq__swapped(r, m, 0, 1)));
  if (sq__needs(r->b, IN_ADDMM_MAT2))
    sq__gives(r, IN_ADDMM_MAT2, sq__matmul(r, sq__swapped(r, a, 0, 1), g));
}
const sq_op_impl sq__op_addmm = {
    .forward = addmm_forward, .backward = addmm_backward, .again = addmm_again};

/* y[i][j] = a[i] b[j];  da = dy b, db = dy^T a */
static sq_status outer_forward(sq_call *c) {
  sq_tensor *x = c->in[IN_X], *y = c->in[IN_OUTER_VEC2];
  if (x->ndim != 1 || y->ndim != 1) {
    return sq_fail(SQ_ESHAPE, "[outer] a is %s, b is %s: both must have 1 dim",
                   sq_tensor_shape_text(x, SQ_SHAPE_BUF), sq_tensor_shape_text(y, SQ_SHAPE_BUF));
  }
  SQ_OWN sq_tensor *column = NULL;
  SQ_TRY(sq_unsqueeze(x, 1, &column));
  SQ_TRY(sq__save(c, A, x));
  SQ_TRY(sq__save(c, B, y));
  return sq_map("outer", SQ_ELEM_mul, (sq_tensor *[]){column, y}, NULL, &c->out[0]);
}

static sq_status outer_backward(sq_back *b) {
  SQ_OWN sq_tensor *turned = NULL;
  SQ_TRY(sq_transpose(b->dy[0], 0, 1, &turned));
  if (sq__needs(b, IN_X)) SQ_TRY(sq_matmul("outer", b->dy[0], sq__saved(b, B), &b->dx[IN_X]));
  if (sq__needs(b, IN_OUTER_VEC2))
    SQ_TRY(sq_matmul("outer", turned, sq__saved(b, A), &b->dx[IN_OUTER_VEC2]));
  return SQ_OK;
}

static void outer_again(sq_again *r) {
  sq_tensor *a = sq__input(r, IN_X, sq__saved(r->b, A)), *g = sq__dy(r, 0);
  sq_tensor *v = sq__input(r, IN_OUTER_VEC2, sq__saved(r->b, B));
  if (sq__needs(r->b, IN_X)) sq__gives(r, IN_X, sq__matmul(r, g, v));
  if (sq__needs(r->b, IN_OUTER_VEC2))
    sq__gives(r, IN_OUTER_VEC2, sq__matmul(r, sq__swapped(r, g, 0, 1), a));
}
const sq_op_impl sq__op_outer = {.forward = outer_forward,
                                 .backward = outer_backward,
                                 .again = outer_again,
                                 .promotes = SQ_ALL_INPUTS};

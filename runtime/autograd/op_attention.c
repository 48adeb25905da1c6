/* op_attention.c: attention that keeps no matrix of weights (Dao et al. 2022, Dao 2023).
 *
 * A tile of forward takes one batch item (a head counts as one) and a block of queries, and goes
 * through the keys block by block. Of a block of keys it makes the scores, e^(score - max) of them
 * with the greatest score so far, and adds their product with the values to the result; where a
 * later block has a greater score, what is there is multiplied down first. At the end the result is
 * divided by the sum. What is kept of a row's weights is the logarithm of that sum: lse.
 *
 * Backward makes each block's weights anew, P = e^(z - lse), z = scale Q K^T + mask. With
 * D = rowsum(dY Y) the gradients are dV = P^T dY, dZ = P (dY V^T - D), dQ = scale dZ K and
 * dK = scale dZ^T Q. A tile is one batch item, and adds its blocks in order: who ran it does not
 * change a bit. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "autograd/again_priv.h"
#include "autograd/op_priv.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "kernels/gemm.h"
#include "tensor/view.h"

enum {
  QUERY = IN_SCALED_DOT_PRODUCT_ATTENTION_QUERY,
  KEY = IN_SCALED_DOT_PRODUCT_ATTENTION_KEY,
  VALUE = IN_SCALED_DOT_PRODUCT_ATTENTION_VALUE,
  MASK = IN_SCALED_DOT_PRODUCT_ATTENTION_ATTN_MASK
};

/* What both directions go by: (batch,L,E), (batch,S,E), (batch,S,V). */
typedef struct attended {
  int ndim;                   /* of the batch, with two dims behind it */
  int64_t shape[SQ_MAX_DIMS]; /* of the scores: (batch,L,S) */
  int64_t N, L, S, E, V;      /* N: items of the batch */
  bool causal;
  double scale;
} attended;

_Static_assert(sizeof(attended) <= SQ_MAX_VALUES, "attended is kept");

/* --- what is refused ------------------------------------------------------------------------ */

static sq_status check_attended_types(const sq_call *c) {
  const sq_tensor *q = c->in[QUERY], *k = c->in[KEY], *v = c->in[VALUE], *m = c->in[MASK];
  SQ_TRY(sq__want_float(c, QUERY));
  if (q->dtype != k->dtype || q->dtype != v->dtype) {
    return sq_fail(SQ_ETYPE, "[%s] query is %s, key is %s, value is %s: they must have one dtype",
                   c->op->name, sq_dtype_name(q->dtype), sq_dtype_name(k->dtype),
                   sq_dtype_name(v->dtype));
  }
  if (!m || m->dtype == SQ_BOOL || m->dtype == SQ_F32 || m->dtype == q->dtype) return SQ_OK;
  return sq_fail(SQ_ETYPE, "[%s] attn_mask is %s, query is %s: the mask must be bool or float32%s",
                 c->op->name, sq_dtype_name(m->dtype), sq_dtype_name(q->dtype),
                 q->dtype == SQ_F32 ? "" : " or as the query");
}

static sq_status check_options(const sq_call *c) {
  const double p = c->arg[SCALED_DOT_PRODUCT_ATTENTION_DROPOUT_P].number;
  if (!(p >= 0 && p <= 1))
    return sq_fail(SQ_EARG, "[%s] dropout_p is %g: it must be 0 to 1", c->op->name, p);
  if (p > 0) {
    return sq_fail(SQ_EARG,
                   "[%s] dropout_p is %g: it keeps no weights that could be dropped; "
                   "nn.MultiheadAttention{dropout=...} drops them, or write "
                   "F.dropout(F.softmax(scores, -1), p):matmul(value)",
                   c->op->name, p);
  }
  if (c->in[MASK] && c->arg[SCALED_DOT_PRODUCT_ATTENTION_IS_CAUSAL].flag)
    return sq_fail(SQ_EARG, "[%s] attn_mask is given and is_causal is true: only one can hold",
                   c->op->name);
  return SQ_OK;
}

static sq_status check_attended(const sq_call *c) {
  const sq_tensor *q = c->in[QUERY], *k = c->in[KEY], *v = c->in[VALUE];
  if (q->ndim >= 2 && k->ndim >= 2 && v->ndim >= 2 &&
      q->shape[q->ndim - 1] == k->shape[k->ndim - 1] &&
      k->shape[k->ndim - 2] == v->shape[v->ndim - 2])
    return SQ_OK;
  return sq_fail(SQ_ESHAPE,
                 "[%s] query is %s, key is %s, value is %s: they must be (...,L,E), (...,S,E) and "
                 "(...,S,V)",
                 c->op->name, sq_tensor_shape_text(q, SQ_SHAPE_BUF),
                 sq_tensor_shape_text(k, SQ_SHAPE_BUF), sq_tensor_shape_text(v, SQ_SHAPE_BUF));
}

static sq_status check_attn_mask(const sq_call *c, const attended *a) {
  const sq_tensor *m = c->in[MASK];
  if (!m) return SQ_OK;
  bool fits = m->ndim <= a->ndim;
  for (int i = 1; fits && i <= m->ndim; i++)
    fits = m->shape[m->ndim - i] == 1 || m->shape[m->ndim - i] == a->shape[a->ndim - i];
  if (fits) return SQ_OK;
  return sq_fail(SQ_ESHAPE, "[%s] attn_mask is %s: it must broadcast to the scores, %s",
                 c->op->name, sq_tensor_shape_text(m, SQ_SHAPE_BUF),
                 sq_shape_text(a->ndim, a->shape, SQ_SHAPE_BUF));
}

/* Checks the call and reads its sizes. */
static sq_status read_attended(const sq_call *c, attended *a) {
  const sq_tensor *q = c->in[QUERY], *k = c->in[KEY], *v = c->in[VALUE];
  const sq_arg *scale = &c->arg[SCALED_DOT_PRODUCT_ATTENTION_SCALE];
  int64_t both[SQ_MAX_DIMS], all;
  int n;
  SQ_TRY(check_attended_types(c));
  SQ_TRY(check_options(c));
  SQ_TRY(check_attended(c));
  SQ_TRY(sq_shape_broadcast(c->op->name, q->ndim - 2, q->shape, k->ndim - 2, k->shape, &n, both));
  SQ_TRY(sq_shape_broadcast(c->op->name, n, both, v->ndim - 2, v->shape, &a->ndim, a->shape));
  SQ_TRY(sq_shape_numel(c->op->name, a->ndim, a->shape, &a->N));
  a->L = a->shape[a->ndim++] = q->shape[q->ndim - 2];
  a->S = a->shape[a->ndim++] = k->shape[k->ndim - 2];
  a->E = q->shape[q->ndim - 1], a->V = v->shape[v->ndim - 1];
  SQ_TRY(sq_shape_numel(c->op->name, a->ndim, a->shape, &all));
  a->causal = c->arg[SCALED_DOT_PRODUCT_ATTENTION_IS_CAUSAL].flag;
  a->scale = scale->kind != SQ_ARG_NIL ? scale->number : a->E > 0 ? 1 / sqrt((double)a->E) : 1;
  return check_attn_mask(c, a);
}

/* --- operands ------------------------------------------------------------------------------- */

/* x over the whole batch, the numbers of a row side by side. [new] */
static sq_status enter(const attended *a, sq_tensor *x, sq_tensor **out) {
  SQ_OWN sq_tensor *rows = NULL;
  int64_t shape[SQ_MAX_DIMS];
  const int n = x->ndim;
  if (x->shape[n - 1] <= 1 || x->stride[n - 1] == 1) {
    rows = sq_tensor_keep(x);
  } else {
    SQ_TRY(sq_tensor_contiguous(x, &rows));
  }
  memcpy(shape, a->shape, sizeof shape);
  shape[a->ndim - 2] = x->shape[n - 2], shape[a->ndim - 1] = x->shape[n - 1];
  return sq_expand(rows, a->ndim, shape, out);
}

/* The mask over all scores, truths or numbers of that dtype; NULL without one. [new] */
static sq_status enter_mask(const attended *a, sq_tensor *mask, sq_dtype dtype, sq_tensor **out) {
  SQ_OWN sq_tensor *m = NULL;
  if (!mask) return SQ_OK;
  SQ_TRY(sq_tensor_cast(mask, mask->dtype == SQ_BOOL ? SQ_BOOL : dtype, &m));
  return sq_expand(m, a->ndim, a->shape, out);
}

/* Zeros in x's shape but for the last dim, in x's order of memory: heads that were cut out of rows
 * become rows again without a copy. [new] */
static sq_status rows_like(const sq_tensor *x, int64_t columns, sq_tensor **out) {
  SQ_OWN sq_tensor *laid = NULL;
  int order[SQ_MAX_DIMS], back[SQ_MAX_DIMS];
  int64_t shape[SQ_MAX_DIMS];
  const int n = x->ndim;
  for (int i = 0; i < n - 1; i++) {
    int at = i;
    for (; at > 0 && x->stride[order[at - 1]] < x->stride[i]; at--) order[at] = order[at - 1];
    order[at] = i;
  }
  order[n - 1] = n - 1;
  for (int i = 0; i < n; i++) back[order[i]] = i, shape[i] = x->shape[order[i]];
  shape[n - 1] = columns;
  SQ_TRY(sq_tensor_full(x->dtype, n, shape, 0, &laid));
  return sq_permute(laid, back, out);
}

/* --- a tile --------------------------------------------------------------------------------- */

typedef struct job {
  const attended *a;
  const sq_kern *kern;
  sq_dtype dtype;
  size_t size;
  const sq_tensor *q, *k, *v, *mask, *y, *dy; /* over the whole batch; mask or NULL */
  const sq_tensor *dq, *dk, *dv, *dmask;      /* each or NULL */
  double *lse;                                /* (N,L) */
  int64_t blocks;                             /* of queries of an item, each a tile of forward */
  sq_scratch scratch;
  int64_t scores; /* bytes of one block of them */
} job;

/* A thread's own memory: two blocks of scores, numbers of each query, panels of a product. */
typedef struct buffers {
  char *s, *ds;
  double *max, *sum, *factor;
  void *panels;
} buffers;

static buffers buffers_of(const job *j) {
  char *at = sq_scratch_mine(&j->scratch);
  double *numbers = (double *)(void *)(at + 2 * j->scores);
  return (buffers){.s = at,
                   .ds = at + j->scores,
                   .max = numbers,
                   .sum = numbers + SQ_ATTENTION_ROWS,
                   .factor = numbers + 2 * SQ_ATTENTION_ROWS,
                   .panels = numbers + 3 * SQ_ATTENTION_ROWS};
}

static int64_t step_of(const sq_tensor *t) { return t->stride[t->ndim - 2]; }

/* Row `row` of item n of a tensor over the whole batch. */
static void *row_of(const sq_tensor *t, int64_t n, int64_t row) {
  int64_t at = row * step_of(t);
  for (int i = t->ndim - 3; i >= 0; n /= t->shape[i--]) at += n % t->shape[i] * t->stride[i];
  return sq__offset(sq_data(t), at, sq_dtype_size(t->dtype));
}

/* A block: queries i..i+R and keys s..s+C of item n. */
typedef struct block {
  int64_t n, i, R, s, C;
} block;

static block block_of(const attended *a, int64_t n, int64_t i) {
  const int64_t left = a->L - i;
  return (block){.n = n, .i = i, .R = left < SQ_ATTENTION_ROWS ? left : SQ_ATTENTION_ROWS};
}

/* Whether there are keys from s on which a query of the block sees. */
static bool next_keys(const attended *a, int64_t s, block *b) {
  if (s >= a->S || (a->causal && s >= b->i + b->R)) return false;
  b->s = s;
  b->C = a->S - s < SQ_ATTENTION_KEYS ? a->S - s : SQ_ATTENTION_KEYS;
  return true;
}

/* to (R,C) = rows of the block's queries in x times those of its keys in z. */
static void multiply_sides(const job *j, const block *b, const sq_tensor *x, const sq_tensor *z,
                           char *to, void *panels) {
  sq_gemm g = {.dtype = j->dtype, .tb = true, .m = b->R, .n = b->C, .k = x->shape[x->ndim - 1]};
  g.a = row_of(x, b->n, b->i), g.lda = step_of(x);
  g.b = row_of(z, b->n, b->s), g.ldb = step_of(z);
  g.c = to, g.ldc = SQ_ATTENTION_KEYS;
  sq_gemm_tile(&g, panels);
}

/* The block's scores, and all that turns them into weights but the rows' numbers. */
static sq_attention score(const job *j, const block *b, const buffers *m) {
  const sq_tensor *mask = j->mask;
  multiply_sides(j, b, j->q, j->k, m->s, m->panels);
  sq_attention w = {.R = b->R, .C = b->C, .step = SQ_ATTENTION_KEYS, .scale = j->a->scale};
  w.s = m->s;
  w.seen = j->a->causal ? b->i - b->s + 1 : b->C;
  if (!mask) return w;
  w.truth = mask->dtype == SQ_BOOL;
  w.mask_row = step_of(mask), w.mask_column = mask->stride[mask->ndim - 1];
  w.mask = sq__offset(row_of(mask, b->n, b->i), b->s * w.mask_column, sq_dtype_size(mask->dtype));
  return w;
}

/* to (rows,V) += weights (or their transpose) times rows of x, from `row` on. */
static void add_product(const job *j, bool transposed, const block *b, const char *weights,
                        const sq_tensor *x, int64_t row, void *to, int64_t step, void *panels) {
  sq_gemm g = {.dtype = j->dtype, .ta = transposed, .add = true, .n = x->shape[x->ndim - 1]};
  g.m = transposed ? b->C : b->R;
  g.k = transposed ? b->R : b->C;
  g.a = weights, g.lda = SQ_ATTENTION_KEYS;
  g.b = row_of(x, b->n, row), g.ldb = step_of(x);
  g.c = to, g.ldc = step;
  sq_gemm_tile(&g, panels);
}

/* --- forward -------------------------------------------------------------------------------- */

static void scale_row(const job *j, void *row, double factor) {
  const void *in[] = {row};
  if (factor == 1) return;
  j->kern->elem[SQ_ELEM_scale](j->a->V, in, (int64_t[]){1}, row, 1, &factor);
}

static void scale_rows(const job *j, const block *b, const double *factor) {
  for (int64_t r = 0; r < b->R; r++) scale_row(j, row_of(j->y, b->n, b->i + r), factor[r]);
}

/* Divides by the sums and notes lse: of a row that sees nothing y is 0, and lse such that its
 * weights are. */
static void finish_rows(const job *j, const block *b, const buffers *m) {
  double *lse = j->lse + b->n * j->a->L + b->i;
  for (int64_t r = 0; r < b->R; r++) {
    const double sum = m->sum[r];
    lse[r] = sum == 0 ? INFINITY : sum == INFINITY ? NAN : m->max[r] + log(sum);
    m->factor[r] = sum == 0 ? 0 : 1 / sum;
  }
  scale_rows(j, b, m->factor);
}

static void attend_tile(int64_t tile, void *context) {
  const job *j = context;
  const buffers m = buffers_of(j);
  block b = block_of(j->a, tile / j->blocks, tile % j->blocks * SQ_ATTENTION_ROWS);
  void *y = row_of(j->y, b.n, b.i);
  for (int64_t r = 0; r < b.R; r++) m.max[r] = -INFINITY, m.sum[r] = 0;
  for (int64_t s = 0; next_keys(j->a, s, &b); s += SQ_ATTENTION_KEYS) {
    sq_attention w = score(j, &b, &m);
    w.max = m.max, w.sum = m.sum, w.factor = m.factor;
    j->kern->attention(&w);
    scale_rows(j, &b, m.factor);
    add_product(j, false, &b, m.s, j->v, b.s, y, step_of(j->y), m.panels);
  }
  finish_rows(j, &b, &m);
}

/* The work in rough nanoseconds, of so many products of scores. */
static int64_t work_of_scores(const attended *a, double products) {
  const double scores = (double)a->N * (double)a->L * (double)a->S;
  return (int64_t)(scores * (1 + products * (double)(a->E + a->V) / 60)) + 1;
}

/* Runs the tiles with scratch for each thread. [fails: nomem, intr] */
static sq_status run(job *j, int64_t tiles, double products, sq_tile_fn *tile) {
  const attended *a = j->a;
  const int64_t side =
      SQ_ATTENTION_ROWS > SQ_ATTENTION_KEYS ? SQ_ATTENTION_ROWS : SQ_ATTENTION_KEYS;
  const int64_t inner = a->E > a->V ? a->E : a->V, most = inner > side ? inner : side;
  const bool back = j->dy != NULL; /* then weights and scores are also taken transposed */
  const sq_gemm largest = {.dtype = j->dtype, .ta = back, .m = most, .n = most, .k = most};
  j->scores = sq_lines(SQ_ATTENTION_ROWS * SQ_ATTENTION_KEYS * (int64_t)j->size);
  j->scratch.each = 2 * j->scores + sq_lines(3 * SQ_ATTENTION_ROWS * (int64_t)sizeof(double)) +
                    sq_gemm_scratch(&largest);
  return sq_parallel_scratch(&j->scratch, tiles, work_of_scores(a, products), tile, j);
}

/* q, k, v, mask as a job reads them. */
typedef struct operands {
  sq_tensor *q, *k, *v, *mask;
} operands;

static void drop_operands(operands *o) {
  sq_tensor_drop(o->q), sq_tensor_drop(o->k), sq_tensor_drop(o->v), sq_tensor_drop(o->mask);
}

static sq_status enter_all(const attended *a, sq_tensor *q, sq_tensor *k, sq_tensor *v,
                           sq_tensor *mask, operands *o) {
  SQ_TRY(enter(a, q, &o->q));
  SQ_TRY(enter(a, k, &o->k));
  SQ_TRY(enter(a, v, &o->v));
  return enter_mask(a, mask, q->dtype, &o->mask);
}

static job job_of(const attended *a, const operands *o) {
  const sq_dtype dtype = o->q->dtype;
  return (job){.a = a,
               .kern = sq_kern_of(dtype),
               .dtype = dtype,
               .size = sq_dtype_size(dtype),
               .q = o->q,
               .k = o->k,
               .v = o->v,
               .mask = o->mask,
               .blocks = sq_tiles(a->L, SQ_ATTENTION_ROWS)};
}

/* What is kept. */
enum { KEPT_Q, KEPT_K, KEPT_V, KEPT_MASK, KEPT_Y, KEPT_LSE };

static sq_status keep_all(sq_call *c, const attended *a, sq_tensor *y, sq_tensor *lse) {
  SQ_TRY(sq__save(c, KEPT_Q, c->in[QUERY]));
  SQ_TRY(sq__save(c, KEPT_K, c->in[KEY]));
  SQ_TRY(sq__save(c, KEPT_V, c->in[VALUE]));
  SQ_TRY(sq__save(c, KEPT_MASK, c->in[MASK]));
  SQ_TRY(sq__save(c, KEPT_Y, y));
  SQ_TRY(sq__save(c, KEPT_LSE, lse));
  sq__save_values(c, a, sizeof *a);
  return SQ_OK;
}

/* y = softmax(scale q k^T + mask) v, 0 in a row whose keys are all left out; the gradients above.
 */
static sq_status scaled_dot_product_attention_forward(sq_call *c) {
  attended a = {.ndim = 0};
  SQ_TRY(read_attended(c, &a));
  __attribute__((cleanup(drop_operands))) operands o = {NULL, NULL, NULL, NULL};
  SQ_OWN sq_tensor *y = NULL, *lse = NULL;
  SQ_TRY(enter_all(&a, c->in[QUERY], c->in[KEY], c->in[VALUE], c->in[MASK], &o));
  SQ_TRY(rows_like(o.q, a.V, &y));
  SQ_TRY(sq_tensor_new(SQ_F64, 2, (int64_t[]){a.N, a.L}, &lse));
  job j = job_of(&a, &o);
  j.y = y, j.lse = sq_data(lse);
  SQ_TRY(run(&j, a.N * j.blocks, 1, attend_tile));
  SQ_TRY(keep_all(c, &a, y, lse));
  c->out[0] = sq_tensor_give(&y);
  return SQ_OK;
}

/* --- backward ------------------------------------------------------------------------------- */

/* One block's part in all gradients; dot (R): rowsum(dy y). */
static void block_back(const job *j, const block *b, const buffers *m, const double *dot) {
  sq_attention w = score(j, b, m);
  multiply_sides(j, b, j->dy, j->v, m->ds, m->panels); /* dy v^T */
  w.ds = m->ds, w.dot = dot, w.lse = j->lse + b->n * j->a->L + b->i;
  if (j->dmask) {
    w.dmask = sq__offset(row_of(j->dmask, b->n, b->i), b->s, j->size);
    w.dmask_row = step_of(j->dmask);
  }
  j->kern->attention_back(&w);
  if (j->dv)
    add_product(j, true, b, m->s, j->dy, b->i, row_of(j->dv, b->n, b->s), step_of(j->dv),
                m->panels);
  if (j->dq)
    add_product(j, false, b, m->ds, j->k, b->s, row_of(j->dq, b->n, b->i), step_of(j->dq),
                m->panels);
  if (j->dk)
    add_product(j, true, b, m->ds, j->q, b->i, row_of(j->dk, b->n, b->s), step_of(j->dk),
                m->panels);
}

static void attend_back_tile(int64_t n, void *context) {
  const job *j = context;
  const buffers m = buffers_of(j);
  for (int64_t i = 0; i < j->a->L && !sq_interrupt_pending(); i += SQ_ATTENTION_ROWS) {
    block b = block_of(j->a, n, i);
    j->kern->dot_rows(b.R, j->a->V, row_of(j->dy, n, i), step_of(j->dy), row_of(j->y, n, i),
                      step_of(j->y), m.sum);
    for (int64_t s = 0; next_keys(j->a, s, &b); s += SQ_ATTENTION_KEYS)
      block_back(j, &b, &m, m.sum);
  }
}

/* Gives the mask its gradient, in its own dtype. [fails: nomem, intr] */
static sq_status give_mask(sq_back *b, sq_tensor *dmask) {
  sq_tensor *g;
  if (!dmask) return SQ_OK;
  SQ_TRY(sq_tensor_cast(dmask, sq__in_dtype(b, MASK), &g));
  return sq__give(b, MASK, g);
}

static sq_status give(sq_back *b, int i, sq_tensor **g) {
  return *g ? sq__give(b, i, sq_tensor_give(g)) : SQ_OK;
}

static sq_status scaled_dot_product_attention_backward(sq_back *b) {
  const attended *a = sq__values(b);
  __attribute__((cleanup(drop_operands))) operands o = {NULL, NULL, NULL, NULL};
  SQ_OWN sq_tensor *dy = NULL, *dq = NULL, *dk = NULL, *dv = NULL, *dmask = NULL;
  SQ_TRY(enter_all(a, sq__saved(b, KEPT_Q), sq__saved(b, KEPT_K), sq__saved(b, KEPT_V),
                   sq__saved(b, KEPT_MASK), &o));
  SQ_TRY(enter(a, b->dy[0], &dy));
  if (sq__needs(b, QUERY)) SQ_TRY(rows_like(o.q, a->E, &dq));
  if (sq__needs(b, KEY)) SQ_TRY(rows_like(o.k, a->E, &dk));
  if (sq__needs(b, VALUE)) SQ_TRY(rows_like(o.v, a->V, &dv));
  if (o.mask && sq__needs(b, MASK)) SQ_TRY(sq_tensor_new(dy->dtype, a->ndim, a->shape, &dmask));
  job j = job_of(a, &o);
  j.y = sq__saved(b, KEPT_Y), j.lse = sq_data(sq__saved(b, KEPT_LSE));
  j.dy = dy, j.dq = dq, j.dk = dk, j.dv = dv, j.dmask = dmask;
  SQ_TRY(run(&j, a->N, 2.5, attend_back_tile));
  SQ_TRY(give(b, QUERY, &dq));
  SQ_TRY(give(b, KEY, &dk));
  SQ_TRY(give(b, VALUE, &dv));
  return give_mask(b, dmask);
}

/* --- recorded ------------------------------------------------------------------------------- */

/* Which keys each query sees, bool; NULL: all. Without its numbers a mask of -inf leaves out. */
static sq_tensor *seen_keys(sq_again *r, const attended *a, sq_tensor *mask) {
  if (mask && mask->dtype == SQ_BOOL) return mask;
  if (mask) return SQ_DO(gt, sq__arg(mask), SQ_N(-INFINITY));
  if (!a->causal) return NULL;
  sq_tensor *ones = sq__filled(r, 2, (int64_t[]){a->L, a->S}, 1);
  return SQ_DO(ne, sq__arg(SQ_DO(tril, sq__arg(ones))), SQ_N(0));
}

/* softmax(scale q k^T + mask) v with all weights in memory. What is not seen has a score far below
 * all others, and the weight 0 even where nothing is. */
static void scaled_dot_product_attention_compose(sq_again *r, sq_tensor **y) {
  const attended *a = sq__values(r->b);
  sq_tensor *kept = sq__saved(r->b, KEPT_MASK), *seen = seen_keys(r, a, kept);
  sq_tensor *q = sq__input(r, QUERY, sq__saved(r->b, KEPT_Q));
  sq_tensor *k = sq__input(r, KEY, sq__saved(r->b, KEPT_K));
  sq_tensor *v = sq__input(r, VALUE, sq__saved(r->b, KEPT_V));
  sq_tensor *scores = sq__scale(r, sq__matmul(r, q, sq__swapped(r, k, -2, -1)), a->scale);
  if (kept && kept->dtype != SQ_BOOL) {
    const sq_arg dtype = {.kind = SQ_ARG_DTYPE, .dtype = sq__in_dtype(r->b, QUERY)};
    sq_tensor *mask = SQ_DO(to, sq__arg(sq__input(r, MASK, kept)), dtype);
    scores = sq__add(r, scores, sq__choose(r, seen, mask, sq__number(r, 0)));
  }
  if (seen) scores = sq__choose(r, seen, scores, sq__number(r, -1e30));
  sq_tensor *weights = SQ_DO(softmax, sq__arg(scores), SQ_D(-1));
  if (seen) weights = sq__choose(r, seen, weights, sq__number(r, 0));
  y[0] = sq__matmul(r, weights, v);
}
const sq_op_impl sq__op_scaled_dot_product_attention = {
    .forward = scaled_dot_product_attention_forward,
    .backward = scaled_dot_product_attention_backward,
    .compose = scaled_dot_product_attention_compose,
    .mixed = true,
    .functional = true};

/* op_loss.c: losses, each with its reduction. */
#include <inttypes.h>

#include "autograd/op_priv.h"
#include "base/parallel.h"
#include "tensor/map.h"
#include "tensor/reduce.h"
#include "tensor/view.h"

/* --- cross-entropy: softmax and the negative log-likelihood in one
 * ------------------------------------ */

enum { PER_TILE = 16384 }; /* elements of a tile, about */

/* Logits as rows (N,C) whatever their dims: (C), (N,C) or (N,C,...) with the classes in dim 2. */
static sq_status class_rows(sq_tensor *x, sq_tensor **out) {
  SQ_OWN sq_tensor *last = NULL;
  int order[SQ_MAX_DIMS], n = 0;
  if (x->ndim > 2) {
    for (int i = 0; i < x->ndim; i++)
      if (i != 1) order[n++] = i;
    order[n] = 1;
    SQ_TRY(sq_permute(x, order, &last));
  } else {
    last = sq_tensor_keep(x);
  }
  int64_t C = x->shape[x->ndim == 1 ? 0 : 1];
  SQ_OWN sq_tensor *flat = NULL;
  SQ_TRY(sq_tensor_contiguous(last, &flat));
  return sq_reshape(flat, 2, (int64_t[]){C > 0 ? x->numel / C : 0, C}, out);
}

/* The way back: rows (N,C) as a tensor of x's shape. */
static sq_status from_class_rows(sq_tensor *rows, int ndim, const int64_t *shape, sq_tensor **out) {
  if (ndim <= 2) return sq_reshape(rows, ndim, shape, out);
  int64_t moved[SQ_MAX_DIMS];
  int order[SQ_MAX_DIMS], n = 0;
  for (int i = 0; i < ndim; i++)
    if (i != 1) moved[n++] = shape[i];
  moved[n] = shape[1];
  for (int i = 0; i < ndim; i++) order[i] = i == 0 ? 0 : i == 1 ? ndim - 1 : i - 1;
  SQ_OWN sq_tensor *last = NULL;
  SQ_TRY(sq_reshape(rows, ndim, moved, &last));
  return sq_permute(last, order, out);
}

static sq_status check_shapes(const sq_call *c) {
  const sq_tensor *x = c->in[0], *t = c->in[1], *w = c->in[2];
  SQ_TRY(sq__want_float(c, 0));
  bool fits = x->ndim >= 1 && t->ndim == x->ndim - 1;
  for (int i = 0, k = 0; fits && i < x->ndim; i++)
    if (i != (x->ndim > 1)) fits = x->shape[i] == t->shape[k++];
  if (!fits) {
    return sq_fail(
        SQ_ESHAPE, "[%s] input is %s, target is %s: input must be (B,C,...) and target (B,...)",
        c->op->name, sq_tensor_shape_text(x, SQ_SHAPE_BUF), sq_tensor_shape_text(t, SQ_SHAPE_BUF));
  }
  int64_t C = x->shape[x->ndim > 1];
  if (w && (w->ndim != 1 || w->shape[0] != C || w->dtype != x->dtype)) {
    return sq_fail(SQ_ESHAPE, "[%s] weight is %s %s: it must be %s (%" PRId64 ")", c->op->name,
                   sq_dtype_name(w->dtype), sq_tensor_shape_text(w, SQ_SHAPE_BUF),
                   sq_dtype_name(x->dtype), C);
  }
  return SQ_OK;
}

/* The target as contiguous int64 classes, all in 0..C-1 or ignored. */
static sq_status read_classes(const sq_call *c, int64_t C, int64_t ignore, sq_tensor **out) {
  sq_tensor *t = c->in[1];
  if (t->dtype != SQ_I64 && t->dtype != SQ_U8) {
    return sq_fail(SQ_ETYPE, "[%s] target is %s: classes are int64, convert it with x:long()",
                   c->op->name, sq_dtype_name(t->dtype));
  }
  SQ_OWN sq_tensor *whole = NULL, *flat = NULL;
  SQ_TRY(sq_tensor_cast(t, SQ_I64, &whole));
  SQ_TRY(sq_tensor_contiguous(whole, &flat));
  const int64_t *v = sq_data(flat);
  for (int64_t i = 0; i < flat->numel; i++) {
    if ((v[i] >= 0 && v[i] < C) || v[i] == ignore) continue;
    return sq_fail(SQ_EARG,
                   "[%s] target row %" PRId64 " is class %" PRId64 ": classes are 0 to %" PRId64,
                   c->op->name, i + 1, v[i], C - 1);
  }
  *out = sq_tensor_give(&flat);
  return SQ_OK;
}

/* Runs over all rows, in tiles. */
typedef struct rows_job {
  const sq_kern *kern;
  size_t size;
  int64_t N, C, per_tile, ignore, gs;
  double smoothing;
  const char *x, *p, *g, *weight;
  const int64_t *t;
  char *y, *loss;
} rows_job;

static void forward_tile(int64_t tile, void *context) {
  const rows_job *j = context;
  int64_t first = tile * j->per_tile;
  int64_t n = j->N - first < j->per_tile ? j->N - first : j->per_tile;
  size_t row = (size_t)(first * j->C) * j->size;
  j->kern->cross_entropy(n, j->C, j->x + row, j->t + first, j->weight, j->ignore, j->smoothing,
                         j->y + row, j->loss + (size_t)first * j->size);
}

static void backward_tile(int64_t tile, void *context) {
  const rows_job *j = context;
  int64_t first = tile * j->per_tile;
  int64_t n = j->N - first < j->per_tile ? j->N - first : j->per_tile;
  size_t row = (size_t)(first * j->C) * j->size;
  j->kern->cross_entropy_back(n, j->C, j->p + row, j->t + first, j->weight, j->ignore, j->smoothing,
                              j->g + (size_t)(first * j->gs) * j->size, j->gs, j->y + row);
}

static sq_status run_rows(rows_job *j, sq_tile_fn *tile) {
  j->per_tile = j->C >= PER_TILE ? 1 : PER_TILE / (j->C > 0 ? j->C : 1);
  sq_parallel((j->N + j->per_tile - 1) / j->per_tile, 3 * j->N * j->C, tile, j);
  return sq_interrupt_check();
}

/* The sum of the weights of the rows that count: what their mean is divided by. */
static double total_weight(const sq_tensor *classes, const sq_tensor *weight, int64_t ignore) {
  const int64_t *v = sq_data(classes);
  double total = 0;
  for (int64_t i = 0; i < classes->numel; i++)
    if (v[i] != ignore) total += weight ? sq_tensor_get(weight, v[i]) : 1;
  return total;
}

static char reduction_of(const sq_call *c, int arg) { return c->arg[arg].string[0]; }

/* The loss of each element -> none: in `shape`; sum; mean: sum / total. */
static sq_status reduce_loss(sq_tensor *each, char reduction, double total, int ndim,
                             const int64_t *shape, sq_tensor **out) {
  if (reduction == 'n') return sq_reshape(each, ndim, shape, out);
  if (reduction == 's') return sq_sum(each, 0, false, out);
  SQ_OWN sq_tensor *sum = NULL, *divisor = NULL;
  SQ_TRY(sq_sum(each, 0, false, &sum));
  SQ_TRY(sq_tensor_scalar(sum->dtype, total, &divisor));
  return sq_map("mean", SQ_ELEM_div, (sq_tensor *[]){sum, divisor}, NULL, out);
}

/* dL/d(loss of each element) as a tensor: dy, divided by total for a mean. */
static sq_status spread_loss(sq_tensor *dy, char reduction, double total, sq_tensor **out) {
  if (reduction != 'm') return sq_tensor_contiguous(dy, out);
  SQ_OWN sq_tensor *divisor = NULL;
  SQ_TRY(sq_tensor_scalar(dy->dtype, total, &divisor));
  return sq_map("mean", SQ_ELEM_div, (sq_tensor *[]){dy, divisor}, NULL, out);
}

/* Saved: p (N,C), classes (N), weight (C) or NULL; ints ignore, reduction; numbers smoothing,
 * total. */
static sq_status save_rows(sq_call *c, sq_tensor *p, sq_tensor *t, int64_t ignore, char reduction,
                           double smoothing, double total) {
  SQ_TRY(sq__save(c, p));
  SQ_TRY(sq__save(c, t));
  SQ_TRY(sq__save(c, c->in[2]));
  sq__save_ints(c, 2, (int64_t[]){ignore, reduction});
  sq__save_number(c, smoothing);
  sq__save_number(c, total);
  return SQ_OK;
}

/* loss_i = -w_t ((1-s) log p_t) - s/C sum_c w_c log p_c, p = softmax(input_i), t = target_i; mean:
 * divided by the sum of the w_t of rows that are not ignored.  dinput = dloss w (p - target). */
static sq_status cross_entropy_forward(sq_call *c) {
  SQ_TRY(check_shapes(c));
  int64_t ignore = c->arg[3].integer;
  double smoothing = c->arg[5].number;
  if (!(smoothing >= 0 && smoothing <= 1)) {
    return sq_fail(SQ_EARG, "[cross_entropy] label_smoothing is %g: it must be 0 to 1", smoothing);
  }
  SQ_OWN sq_tensor *x = NULL, *t = NULL, *w = NULL, *p = NULL, *each = NULL;
  SQ_TRY(read_classes(c, c->in[0]->shape[c->in[0]->ndim > 1], ignore, &t));
  SQ_TRY(class_rows(c->in[0], &x));
  if (c->in[2]) SQ_TRY(sq_tensor_contiguous(c->in[2], &w));
  SQ_TRY(sq_tensor_new_like(x, x->dtype, &p));
  SQ_TRY(sq_tensor_new(x->dtype, 1, x->shape, &each));
  rows_job j = {.kern = sq_kern_of(x->dtype),
                .size = sq_dtype_size(x->dtype),
                .N = x->shape[0],
                .C = x->shape[1],
                .ignore = ignore,
                .smoothing = smoothing,
                .x = sq_data(x),
                .weight = w ? sq_data(w) : NULL,
                .t = sq_data(t),
                .y = sq_data(p),
                .loss = sq_data(each)};
  if (x->numel > 0) SQ_TRY(run_rows(&j, forward_tile));
  char reduction = reduction_of(c, 4);
  double total = reduction == 'm' ? total_weight(t, w, ignore) : 1;
  SQ_TRY(save_rows(c, p, t, ignore, reduction, smoothing, total));
  return reduce_loss(each, reduction, total, c->in[1]->ndim, c->in[1]->shape, &c->out[0]);
}

static sq_status cross_entropy_backward(sq_back *b) {
  SQ_OWN sq_tensor *g = NULL, *w = NULL, *dx = NULL;
  sq_tensor *p = sq__saved(b, 0);
  char reduction = (char)sq__ints(b)[1];
  SQ_TRY(spread_loss(b->dy[0], reduction, sq__number(b, 1), &g));
  if (sq__saved(b, 2)) SQ_TRY(sq_tensor_contiguous(sq__saved(b, 2), &w));
  SQ_TRY(sq_tensor_new_like(p, p->dtype, &dx));
  rows_job j = {.kern = sq_kern_of(p->dtype),
                .size = sq_dtype_size(p->dtype),
                .N = p->shape[0],
                .C = p->shape[1],
                .ignore = sq__ints(b)[0],
                .gs = reduction == 'n',
                .smoothing = sq__number(b, 0),
                .p = sq_data(p),
                .g = sq_data(g),
                .weight = w ? sq_data(w) : NULL,
                .t = sq_data(sq__saved(b, 1)),
                .y = sq_data(dx)};
  if (p->numel > 0) SQ_TRY(run_rows(&j, backward_tile));
  return from_class_rows(dx, sq__in_ndim(b, 0), sq__in_shape(b, 0), &b->dx[0]);
}
const sq_op_impl sq__op_cross_entropy = {
    .forward = cross_entropy_forward, .backward = cross_entropy_backward, .mixed = true};

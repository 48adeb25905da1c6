/* op_loss.c: losses, each with its reduction. */
#include <inttypes.h>
#include <math.h>

#include "autograd/again_priv.h"
#include "autograd/op_priv.h"
#include "base/limits.h"
#include "base/parallel.h"
#include "tensor/gather.h"
#include "tensor/map.h"
#include "tensor/reduce.h"
#include "tensor/view.h"

/* Inputs of all losses; not every one has a weight. */
enum {
  IN_INPUT = IN_CROSS_ENTROPY_INPUT,
  IN_TARGET = IN_CROSS_ENTROPY_TARGET,
  IN_WEIGHT = IN_CROSS_ENTROPY_WEIGHT
};

#define SAME_INPUTS(op)                \
  SQ_ALIKE(IN_##op##_INPUT, IN_INPUT); \
  SQ_ALIKE(IN_##op##_TARGET, IN_TARGET)

SAME_INPUTS(NLL_LOSS);
SAME_INPUTS(BINARY_CROSS_ENTROPY);
SAME_INPUTS(BINARY_CROSS_ENTROPY_WITH_LOGITS);
SAME_INPUTS(MSE_LOSS);
SAME_INPUTS(L1_LOSS);
SAME_INPUTS(SMOOTH_L1_LOSS);
SAME_INPUTS(KL_DIV);
SQ_ALIKE(IN_NLL_LOSS_WEIGHT, IN_WEIGHT);
SQ_ALIKE(IN_BINARY_CROSS_ENTROPY_WEIGHT, IN_WEIGHT);
SQ_ALIKE(IN_BINARY_CROSS_ENTROPY_WITH_LOGITS_WEIGHT, IN_WEIGHT);

/* --- cross-entropy: softmax and the negative log-likelihood in one -------------------------- */

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

/* A weight is a constant of the loss. */
static sq_status refuse_gradient(const sq_call *c, const sq_tensor *t, const char *name) {
  if (!t || !c->node || !sq_requires_grad(t)) return SQ_OK;
  return sq_fail(SQ_EARG, "[%s] %s requires a gradient, which this loss does not give: detach it",
                 c->op->name, name);
}

static sq_status check_weight(const sq_call *c) {
  const sq_tensor *x = c->in[IN_INPUT], *w = c->in[IN_WEIGHT];
  int64_t C = x->shape[x->ndim > 1];
  if (w && (w->ndim != 1 || w->shape[0] != C || w->dtype != x->dtype)) {
    return sq_fail(SQ_ESHAPE, "[%s] weight is %s %s: it must be %s (%" PRId64 ")", c->op->name,
                   sq_dtype_name(w->dtype), sq_tensor_shape_text(w, SQ_SHAPE_BUF),
                   sq_dtype_name(x->dtype), C);
  }
  return SQ_OK;
}

static sq_status check_shapes(const sq_call *c) {
  const sq_tensor *x = c->in[IN_INPUT], *t = c->in[IN_TARGET];
  SQ_TRY(sq__want_float(c, IN_INPUT));
  SQ_TRY(refuse_gradient(c, c->in[IN_WEIGHT], "weight"));
  bool fits = x->ndim >= 1 && t->ndim == x->ndim - 1;
  for (int i = 0, k = 0; fits && i < x->ndim; i++)
    if (i != (x->ndim > 1)) fits = x->shape[i] == t->shape[k++];
  if (!fits) {
    return sq_fail(
        SQ_ESHAPE, "[%s] input is %s, target is %s: input must be (B,C,...) and target (B,...)",
        c->op->name, sq_tensor_shape_text(x, SQ_SHAPE_BUF), sq_tensor_shape_text(t, SQ_SHAPE_BUF));
  }
  return check_weight(c);
}

/* The target as contiguous int64 classes, all in 0..C-1 or ignored. */
static sq_status read_classes(const sq_call *c, int64_t C, int64_t ignore, sq_tensor **out) {
  sq_tensor *t = c->in[IN_TARGET];
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
  int64_t per_tile;
  sq_cross_entropy all;
} rows_job;

/* The rows of a tile. */
static sq_cross_entropy class_rows_of(const rows_job *j, int64_t tile) {
  sq_cross_entropy part = j->all;
  int64_t first = tile * j->per_tile, row = first * part.C;
  part.B = sq_tile_size(j->all.B, j->per_tile, tile);
  part.t += first;
  part.x = sq__offset(part.x, row, j->size), part.p = sq__offset(part.p, row, j->size);
  part.g = sq__offset(part.g, first * part.gs, j->size),
  part.dx = sq__offset(part.dx, row, j->size);
  part.loss = sq__offset(part.loss, first, j->size);
  return part;
}

static void forward_tile(int64_t tile, void *context) {
  const rows_job *j = context;
  sq_cross_entropy part = class_rows_of(j, tile);
  j->kern->cross_entropy(&part);
}

static void backward_tile(int64_t tile, void *context) {
  const rows_job *j = context;
  sq_cross_entropy part = class_rows_of(j, tile);
  j->kern->cross_entropy_back(&part);
}

static sq_status run_class_rows(sq_dtype dtype, const sq_cross_entropy *all, sq_tile_fn *tile) {
  rows_job j = {sq_kern_of(dtype), sq_dtype_size(dtype), sq_per_tile(all->C, SQ_TILE), *all};
  if (all->B * all->C == 0) return SQ_OK;
  sq_parallel(sq_tiles(all->B, j.per_tile), 3 * all->B * all->C, tile, &j);
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

/* dy, divided by total for a mean, recorded; 0 for a mean of nothing. */
static sq_tensor *spread_loss_again(sq_again *r, char reduction, double total) {
  sq_tensor *dy = sq__dy(r, 0);
  if (reduction == 'm' && total == 0) return sq__scale(r, dy, 0);
  return reduction == 'm' ? sq__div(r, dy, sq__number(r, total)) : dy;
}

/* What cross_entropy keeps: p (N,C) and the classes (N), or log p and the weighed probabilities of
 * a target that holds some; the weight (C). */
enum { ROWS_P, ROWS_CLASSES, ROWS_WEIGHT };
enum { TARGET_LOG_P, TARGET_Q, TARGET_WEIGHT = ROWS_WEIGHT };

typedef struct entropy {
  bool distribution; /* the target held probabilities */
  int dim;           /* of the classes, there */
  int64_t ignore;
  char reduction;
  double smoothing, total; /* total: what a mean is divided by */
} entropy;

/* True for a target that holds a probability of each class: of input's shape, floats. */
static bool is_distribution(const sq_call *c) {
  const sq_tensor *x = c->in[IN_INPUT], *t = c->in[IN_TARGET];
  return sq_is_float(t->dtype) && x->ndim > 0 &&
         sq_shape_equal(x->ndim, x->shape, t->ndim, t->shape);
}

static sq_status check_distribution(const sq_call *c) {
  const sq_tensor *x = c->in[IN_INPUT], *t = c->in[IN_TARGET];
  SQ_TRY(sq__want_float(c, IN_INPUT));
  SQ_TRY(refuse_gradient(c, c->in[IN_WEIGHT], "weight"));
  SQ_TRY(check_weight(c));
  if (t->dtype != x->dtype) {
    return sq_fail(SQ_ETYPE,
                   "[cross_entropy] input is %s, target is %s: convert one with :to(dtype)",
                   sq_dtype_name(x->dtype), sq_dtype_name(t->dtype));
  }
  if (c->arg[CROSS_ENTROPY_IGNORE_INDEX].integer < 0) return SQ_OK;
  return sq_fail(SQ_EARG,
                 "[cross_entropy] ignore_index %" PRId64
                 " is a class, but target holds probabilities: leave it out",
                 c->arg[CROSS_ENTROPY_IGNORE_INDEX].integer);
}

/* t scaled by `factor`, plus `more`, times w (C) along dim `dim`; w may be NULL. */
static sq_status weigh_terms(sq_tensor *t, double factor, double more, sq_tensor *w, int dim,
                             sq_tensor **out) {
  SQ_OWN sq_tensor *scaled = NULL, *constant = NULL, *moved = NULL, *wide = NULL;
  SQ_TRY(sq_map("cross_entropy", SQ_ELEM_scale, &t, &factor, &scaled));
  SQ_TRY(sq_tensor_scalar(t->dtype, more, &constant));
  SQ_TRY(sq_map("cross_entropy", SQ_ELEM_add, (sq_tensor *[]){scaled, constant}, NULL, &moved));
  if (!w) {
    *out = sq_tensor_give(&moved);
    return SQ_OK;
  }
  int64_t shape[SQ_MAX_DIMS];
  for (int i = 0; i < t->ndim; i++) shape[i] = i == dim ? w->numel : 1;
  SQ_TRY(sq_reshape(w, t->ndim, shape, &wide));
  return sq_map("cross_entropy", SQ_ELEM_mul, (sq_tensor *[]){moved, wide}, NULL, out);
}

/* loss_i = -sum_c q_c log p_c, q = w ((1-s) target + s/C), p = softmax(input_i); mean: divided by
 * the number of rows.  dinput = p sum_c dloss q - dloss q;  dtarget = -dloss (1-s) w log p */
static sq_status distribution_forward(sq_call *c, double smoothing) {
  SQ_TRY(check_distribution(c));
  sq_tensor *x = c->in[IN_INPUT];
  int dim = x->ndim > 1;
  double classes = (double)x->shape[dim];
  SQ_OWN sq_tensor *log_p = NULL, *q = NULL, *terms = NULL, *sum = NULL, *each = NULL;
  SQ_TRY(sq_along_dim(SQ_ALONG_LOG_SOFTMAX, &x, dim, &log_p));
  SQ_TRY(
      weigh_terms(c->in[IN_TARGET], 1 - smoothing, smoothing / classes, c->in[IN_WEIGHT], dim, &q));
  SQ_TRY(sq_map("cross_entropy", SQ_ELEM_mul, (sq_tensor *[]){log_p, q}, NULL, &terms));
  SQ_TRY(sq_sum(terms, 1u << dim, false, &sum));
  SQ_TRY(sq_map("cross_entropy", SQ_ELEM_neg, &sum, NULL, &each));
  char reduction = reduction_of(c, CROSS_ENTROPY_REDUCTION);
  double total = reduction == 'm' ? (double)each->numel : 1;
  SQ_TRY(sq__save(c, TARGET_LOG_P, log_p));
  SQ_TRY(sq__save(c, TARGET_Q, q));
  SQ_TRY(sq__save(c, TARGET_WEIGHT, c->in[IN_WEIGHT]));
  SQ_SAVE_VALUES(c, entropy, .distribution = true, .dim = dim, .reduction = reduction,
                 .smoothing = smoothing, .total = total);
  return reduce_loss(each, reduction, total, each->ndim, each->shape, &c->out[0]);
}

static sq_status distribution_backward(sq_back *b) {
  SQ_OWN sq_tensor *g = NULL, *wide = NULL, *minus = NULL, *slope = NULL;
  const entropy *v = sq__values(b);
  sq_tensor *log_p = sq__saved(b, TARGET_LOG_P), *q = sq__saved(b, TARGET_Q), *value;
  SQ_TRY(spread_loss(b->dy[0], v->reduction, v->total, &g));
  if (v->reduction == 'n') {
    SQ_TRY(sq_unsqueeze(g, v->dim, &wide));
  } else {
    wide = sq_tensor_keep(g);
  }
  SQ_TRY(sq_map("cross_entropy", SQ_ELEM_neg, &wide, NULL, &minus));
  if (sq__needs(b, IN_INPUT)) {
    SQ_TRY(sq_map("cross_entropy", SQ_ELEM_mul, (sq_tensor *[]){q, minus}, NULL, &slope));
    sq_tensor *in[] = {slope, log_p};
    SQ_TRY(sq_along_dim(SQ_ALONG_LOG_SOFTMAX_BACK, in, v->dim, &b->dx[IN_INPUT]));
  }
  if (!sq__needs(b, IN_TARGET)) return SQ_OK;
  SQ_OWN sq_tensor *weighed = NULL;
  SQ_TRY(weigh_terms(log_p, 1 - v->smoothing, 0, sq__saved(b, TARGET_WEIGHT), v->dim, &weighed));
  SQ_TRY(sq_map("cross_entropy", SQ_ELEM_mul, (sq_tensor *[]){weighed, minus}, NULL, &value));
  return sq__give(b, IN_TARGET, value);
}

/* loss_i = -w_t ((1-s) log p_t) - s/C sum_c w_c log p_c, p = softmax(input_i), t = target_i; mean:
 * divided by the sum of the w_t of rows that are not ignored.  dinput = dloss w (p - target). */
static sq_status cross_entropy_forward(sq_call *c) {
  int64_t ignore = c->arg[CROSS_ENTROPY_IGNORE_INDEX].integer;
  double smoothing = c->arg[CROSS_ENTROPY_LABEL_SMOOTHING].number;
  if (!(smoothing >= 0 && smoothing <= 1)) {
    return sq_fail(SQ_EARG, "[cross_entropy] label_smoothing is %g: it must be 0 to 1", smoothing);
  }
  if (is_distribution(c)) return distribution_forward(c, smoothing);
  SQ_TRY(check_shapes(c));
  SQ_OWN sq_tensor *x = NULL, *t = NULL, *w = NULL, *p = NULL, *each = NULL;
  SQ_TRY(read_classes(c, c->in[IN_INPUT]->shape[c->in[IN_INPUT]->ndim > 1], ignore, &t));
  SQ_TRY(class_rows(c->in[IN_INPUT], &x));
  SQ_TRY(sq__contiguous_or_null(c->in[IN_WEIGHT], &w));
  SQ_TRY(sq_tensor_new_like(x, x->dtype, &p));
  SQ_TRY(sq_tensor_new(x->dtype, 1, x->shape, &each));
  sq_cross_entropy all = {.B = x->shape[0],
                          .C = x->shape[1],
                          .ignore = ignore,
                          .smoothing = smoothing,
                          .x = sq_data(x),
                          .weight = sq__data_or_null(w),
                          .t = sq_data(t),
                          .p = sq_data(p),
                          .loss = sq_data(each)};
  SQ_TRY(run_class_rows(x->dtype, &all, forward_tile));
  char reduction = reduction_of(c, CROSS_ENTROPY_REDUCTION);
  double total = reduction == 'm' ? total_weight(t, w, ignore) : 1;
  SQ_TRY(sq__save(c, ROWS_P, p));
  SQ_TRY(sq__save(c, ROWS_CLASSES, t));
  SQ_TRY(sq__save(c, ROWS_WEIGHT, c->in[IN_WEIGHT]));
  SQ_SAVE_VALUES(c, entropy, .ignore = ignore, .reduction = reduction, .smoothing = smoothing,
                 .total = total);
  return reduce_loss(each, reduction, total, c->in[IN_TARGET]->ndim, c->in[IN_TARGET]->shape,
                     &c->out[0]);
}

static sq_status cross_entropy_backward(sq_back *b) {
  const entropy *v = sq__values(b);
  if (v->distribution) return distribution_backward(b);
  SQ_OWN sq_tensor *g = NULL, *w = NULL, *dx = NULL;
  sq_tensor *p = sq__saved(b, ROWS_P);
  SQ_TRY(spread_loss(b->dy[0], v->reduction, v->total, &g));
  SQ_TRY(sq__contiguous_or_null(sq__saved(b, ROWS_WEIGHT), &w));
  SQ_TRY(sq_tensor_new_like(p, p->dtype, &dx));
  sq_cross_entropy all = {.B = p->shape[0],
                          .C = p->shape[1],
                          .ignore = v->ignore,
                          .gs = v->reduction == 'n',
                          .smoothing = v->smoothing,
                          .p = sq_data(p),
                          .g = sq_data(g),
                          .weight = sq__data_or_null(w),
                          .t = sq_data(sq__saved(b, ROWS_CLASSES)),
                          .dx = sq_data(dx)};
  SQ_TRY(run_class_rows(p->dtype, &all, backward_tile));
  return from_class_rows(dx, sq__in_ndim(b, IN_INPUT), sq__in_shape(b, IN_INPUT), &b->dx[IN_INPUT]);
}

/* Both ways the loss is -sum_c k_c log p_c, so dinput = dloss (p sum_c k - k); p is softmax of any
 * logits that give it, as log p does. */
static void give_logits(sq_again *r, sq_tensor *logits, sq_tensor *k, int dim) {
  const entropy *v = sq__values(r->b);
  sq_tensor *g = spread_loss_again(r, v->reduction, v->total);
  if (v->reduction == 'n') g = SQ_DO(unsqueeze, sq__arg(g), SQ_D(dim));
  sq_tensor *p = SQ_DO(softmax, sq__arg(logits), SQ_D(dim));
  sq_tensor *slope = sq__sub(r, sq__mul(r, p, sq__sum_dims(r, k, 1u << dim, true)), k);
  sq__gives(r, IN_INPUT, sq__mul(r, g, slope));
}

/* q = w ((1-s) target + s/C), whose value is kept, as a function of the target. */
static void distribution_again(sq_again *r) {
  const entropy *v = sq__values(r->b);
  sq_tensor *weight = sq__saved(r->b, TARGET_WEIGHT), *w = weight;
  int64_t shape[SQ_MAX_DIMS];
  int ndim = sq__in_ndim(r->b, IN_INPUT);
  for (int i = 0; i < ndim; i++) shape[i] = i == v->dim ? sq__in_shape(r->b, IN_INPUT)[i] : 1;
  if (w) w = sq__shaped(r, w, ndim, shape);
  sq_tensor *logits = sq__input(r, IN_INPUT, sq__saved(r->b, TARGET_LOG_P));
  sq_tensor *more = sq__scale(r, sq__input_slope(r, IN_TARGET), 1 - v->smoothing);
  if (w) more = sq__mul(r, more, w);
  sq_tensor *q = sq__add(r, sq__saved(r->b, TARGET_Q), more);
  if (sq__needs(r->b, IN_INPUT)) give_logits(r, logits, q, v->dim);
  if (!sq__needs(r->b, IN_TARGET)) return;
  sq_tensor *g = spread_loss_again(r, v->reduction, v->total);
  if (v->reduction == 'n') g = SQ_DO(unsqueeze, sq__arg(g), SQ_D(v->dim));
  sq_tensor *log_p = SQ_DO(log_softmax, sq__arg(logits), SQ_D(v->dim));
  sq_tensor *slope = sq__scale(r, w ? sq__mul(r, log_p, w) : log_p, v->smoothing - 1);
  sq__gives(r, IN_TARGET, sq__mul(r, g, slope));
}

/* k of each row: (1-s) w_t at its class t and s/C w_c everywhere, 0 for an ignored row. */
static sq_status class_shares(const sq_back *b, sq_tensor **out) {
  const entropy *v = sq__values(b);
  const sq_tensor *p = sq__saved(b, ROWS_P), *w = sq__saved(b, ROWS_WEIGHT);
  const int64_t *t = sq_data(sq__saved(b, ROWS_CLASSES)), C = p->shape[1];
  SQ_OWN sq_tensor *wide = NULL, *k = NULL;
  SQ_TRY(sq_tensor_full(SQ_F64, 2, p->shape, 0, &wide));
  double *row = sq_data(wide);
  for (int64_t i = 0; i < p->shape[0]; i++, row += C) {
    if (t[i] == v->ignore) continue;
    for (int64_t c = 0; c < C; c++)
      row[c] = v->smoothing / (double)C * (w ? sq_tensor_get(w, c) : 1);
    row[t[i]] += (1 - v->smoothing) * (w ? sq_tensor_get(w, t[i]) : 1);
  }
  SQ_TRY(sq_tensor_cast(wide, p->dtype, &k));
  return from_class_rows(k, sq__in_ndim(b, IN_INPUT), sq__in_shape(b, IN_INPUT), out);
}

/* log p in input's shape. */
static sq_status log_of_rows(const sq_back *b, sq_tensor **out) {
  SQ_OWN sq_tensor *rows = NULL;
  sq_tensor *p = sq__saved(b, ROWS_P);
  SQ_TRY(sq_map("cross_entropy", SQ_ELEM_log, &p, NULL, &rows));
  return from_class_rows(rows, sq__in_ndim(b, IN_INPUT), sq__in_shape(b, IN_INPUT), out);
}

static void cross_entropy_again(sq_again *r) {
  const entropy *v = sq__values(r->b);
  if (v->distribution) {
    distribution_again(r);
    return;
  }
  sq_tensor *log_p = NULL, *k = NULL;
  sq_status st = log_of_rows(r->b, &log_p);
  log_p = sq__own(r, st, log_p);
  if (!log_p) return;
  st = class_shares(r->b, &k);
  k = sq__own(r, st, k);
  give_logits(r, sq__input(r, IN_INPUT, log_p), k, sq__in_ndim(r->b, IN_INPUT) > 1);
}
const sq_op_impl sq__op_cross_entropy = {.forward = cross_entropy_forward,
                                         .backward = cross_entropy_backward,
                                         .again = cross_entropy_again,
                                         .mixed = true,
                                         .functional = true};

/* --- negative log-likelihood ---------------------------------------------------------------- */

/* each_i = sign w_t x_i[t], t = classes[i], 0 for an ignored row; back: the reverse, into zeros.
 * Element by element: one in C is read. */
static void pick_classes(const sq_tensor *classes, int64_t C, const sq_tensor *w, int64_t ignore,
                         int64_t *at, double *scale) {
  const int64_t *t = sq_data(classes);
  for (int64_t i = 0; i < classes->numel; i++) {
    bool counts = t[i] != ignore;
    at[i] = counts ? i * C + t[i] : -1;
    scale[i] = !counts ? 0 : w ? -sq_tensor_get(w, t[i]) : -1;
  }
}

/* For rows (N,C): where the class of each row lies, clamped to 0 for an ignored row, and what its
 * element counts: -w, or 0. */
static sq_status class_places(const sq_tensor *rows, const sq_tensor *classes, const sq_tensor *w,
                              int64_t ignore, sq_tensor **places, sq_tensor **scale) {
  SQ_OWN sq_tensor *at = NULL, *wide = NULL;
  SQ_TRY(sq_tensor_new(SQ_I64, 1, rows->shape, &at));
  SQ_TRY(sq_tensor_new(SQ_F64, 1, rows->shape, &wide));
  int64_t *v = sq_data(at);
  pick_classes(classes, rows->shape[1], w, ignore, v, sq_data(wide));
  for (int64_t i = 0; i < at->numel; i++)
    if (v[i] < 0) v[i] = i * rows->shape[1];
  SQ_TRY(sq_tensor_cast(wide, rows->dtype, scale));
  *places = sq_tensor_give(&at);
  return SQ_OK;
}

/* y = x scale; 0 where the scale is, even if x is not finite. */
static sq_status scale_classes(sq_tensor *x, sq_tensor *scale, sq_tensor **out) {
  SQ_OWN sq_tensor *product = NULL, *ignored = NULL, *zero = NULL;
  SQ_TRY(sq_map("nll_loss", SQ_ELEM_mul, (sq_tensor *[]){x, scale}, NULL, &product));
  SQ_TRY(sq_map("nll_loss", SQ_ELEM_logical_not, &scale, NULL, &ignored));
  SQ_TRY(sq_tensor_scalar(scale->dtype, 0, &zero));
  return sq_where(ignored, zero, product, out);
}

/* What nll_loss keeps: where each row's class lies, what it counts, and the shape of the rows. */
enum { NLL_PLACES, NLL_SCALE };

typedef struct likelihood {
  char reduction;
  double total;
  int64_t rows[2];
} likelihood;

/* loss_i = -w_t x_i[t], t = target_i; mean: divided by the sum of the w_t of rows that count.
 * dx_i[t] = -w_t dloss_i */
static sq_status nll_loss_forward(sq_call *c) {
  SQ_TRY(check_shapes(c));
  int64_t ignore = c->arg[NLL_LOSS_IGNORE_INDEX].integer;
  SQ_OWN sq_tensor *x = NULL, *t = NULL, *at = NULL, *scale = NULL, *flat = NULL, *picked = NULL;
  SQ_OWN sq_tensor *each = NULL;
  SQ_TRY(read_classes(c, c->in[IN_INPUT]->shape[c->in[IN_INPUT]->ndim > 1], ignore, &t));
  SQ_TRY(class_rows(c->in[IN_INPUT], &x));
  SQ_TRY(class_places(x, t, c->in[IN_WEIGHT], ignore, &at, &scale));
  SQ_TRY(sq_reshape(x, 1, (int64_t[]){x->numel}, &flat));
  SQ_TRY(sq_index_select(flat, 0, at->numel, sq_data(at), &picked));
  SQ_TRY(scale_classes(picked, scale, &each));
  char reduction = reduction_of(c, NLL_LOSS_REDUCTION);
  double total = reduction == 'm' ? total_weight(t, c->in[IN_WEIGHT], ignore) : 1;
  SQ_TRY(sq__save(c, NLL_PLACES, at));
  SQ_TRY(sq__save(c, NLL_SCALE, scale));
  SQ_SAVE_VALUES(c, likelihood, reduction, total, {x->shape[0], x->shape[1]});
  return reduce_loss(each, reduction, total, c->in[IN_TARGET]->ndim, c->in[IN_TARGET]->shape,
                     &c->out[0]);
}

static sq_status nll_loss_backward(sq_back *b) {
  SQ_OWN sq_tensor *g = NULL, *row = NULL, *values = NULL, *dx = NULL, *flat = NULL;
  const likelihood *v = sq__values(b);
  sq_tensor *at = sq__saved(b, NLL_PLACES), *scale = sq__saved(b, NLL_SCALE);
  SQ_TRY(spread_loss(b->dy[0], v->reduction, v->total, &g));
  if (v->reduction == 'n') {
    SQ_TRY(sq_reshape(g, 1, (int64_t[]){g->numel}, &row));
  } else {
    row = sq_tensor_keep(g);
  }
  SQ_TRY(scale_classes(row, scale, &values));
  SQ_TRY(sq_tensor_full(values->dtype, 2, v->rows, 0, &dx));
  SQ_TRY(sq_view(dx, 1, (int64_t[]){dx->numel}, &flat));
  SQ_TRY(sq_index_put(flat, 0, at->numel, sq_data(at), values, false));
  return from_class_rows(dx, sq__in_ndim(b, IN_INPUT), sq__in_shape(b, IN_INPUT), &b->dx[IN_INPUT]);
}

/* from_class_rows, recorded. */
static sq_tensor *class_rows_back(sq_again *r, sq_tensor *rows) {
  const int64_t *shape = sq__in_shape(r->b, IN_INPUT);
  int ndim = sq__in_ndim(r->b, IN_INPUT), order[SQ_MAX_DIMS], n = 0;
  int64_t moved[SQ_MAX_DIMS];
  if (ndim <= 2) return sq__like_input(r, rows, IN_INPUT);
  for (int i = 0; i < ndim; i++)
    if (i != 1) moved[n++] = shape[i];
  moved[n] = shape[1];
  for (int i = 0; i < ndim; i++) order[i] = i == 0 ? 0 : i == 1 ? ndim - 1 : i - 1;
  return sq__turned(r, sq__shaped(r, rows, ndim, moved), ndim, order);
}

static void nll_loss_again(sq_again *r) {
  const likelihood *v = sq__values(r->b);
  const int64_t size = v->rows[0] * v->rows[1];
  sq_tensor *g = spread_loss_again(r, v->reduction, v->total);
  if (v->reduction == 'n') g = sq__shaped(r, g, 1, v->rows);
  sq_tensor *values = sq__mul(r, g, sq__saved(r->b, NLL_SCALE));
  sq_tensor *flat = sq__placed(r, 1, &size, 0, sq__saved(r->b, NLL_PLACES), values);
  sq__gives(r, IN_INPUT, class_rows_back(r, flat));
}
const sq_op_impl sq__op_nll_loss = {.forward = nll_loss_forward,
                                    .backward = nll_loss_backward,
                                    .again = nll_loss_again,
                                    .mixed = true,
                                    .functional = true};

/* --- element by element: input and target of one shape -------------------------------------- */

static sq_status check_pair(const sq_call *c) {
  const sq_tensor *x = c->in[IN_INPUT], *t = c->in[IN_TARGET];
  SQ_TRY(sq__want_float(c, IN_INPUT));
  if (sq_shape_equal(x->ndim, x->shape, t->ndim, t->shape)) return SQ_OK;
  return sq_fail(SQ_ESHAPE, "[%s] input is %s, target is %s: they must be equal", c->op->name,
                 sq_tensor_shape_text(x, SQ_SHAPE_BUF), sq_tensor_shape_text(t, SQ_SHAPE_BUF));
}

/* Fails where input or target was no float before the two met. */
static sq_status check_floats(const sq_call *c) {
  for (int i = IN_INPUT; i <= IN_TARGET; i++) {
    sq_dtype dtype = c->arg[i].tensor->dtype;
    if (sq_is_float(dtype)) continue;
    return sq_fail(SQ_ETYPE,
                   "[%s] %s is %s: it must be float32 or float64, convert it with :float()",
                   c->op->name, i == IN_TARGET ? "target" : "input", sq_dtype_name(dtype));
  }
  return SQ_OK;
}

/* What these losses keep. */
enum { SAVED_INPUT, SAVED_TARGET, SAVED_WEIGHT, SAVED_POS_WEIGHT };

typedef struct pair {
  char reduction;
  double total;
  double p;  /* of the kernel */
  bool logs; /* kl_div: the target is log-probabilities */
} pair;

/* each (times weight, which broadcasts) -> the loss, by v.reduction; keeps v, input, target and
 * weight. */
static sq_status finish_loss(sq_call *c, sq_tensor *each, sq_tensor *weight, pair v) {
  SQ_OWN sq_tensor *weighted = NULL;
  if (weight) {
    SQ_TRY(refuse_gradient(c, weight, "weight"));
    SQ_TRY(sq_check_expands(c->op->name, weight, each));
    SQ_TRY(sq_map(c->op->name, SQ_ELEM_mul, (sq_tensor *[]){each, weight}, NULL, &weighted));
  } else {
    weighted = sq_tensor_keep(each);
  }
  bool batch = v.reduction == 'b';
  const sq_tensor *x = c->in[IN_INPUT];
  v.total = batch ? (x->ndim ? (double)x->shape[0] : 1) : (double)x->numel;
  if (batch) v.reduction = 'm';
  SQ_TRY(sq__save(c, SAVED_INPUT, c->in[IN_INPUT]));
  SQ_TRY(sq__save(c, SAVED_TARGET, c->in[IN_TARGET]));
  SQ_TRY(sq__save(c, SAVED_WEIGHT, weight));
  sq__save_values(c, &v, sizeof v);
  return reduce_loss(weighted, v.reduction, v.total, x->ndim, x->shape, &c->out[0]);
}

/* dL/deach, which broadcasts to x. */
static sq_status start_loss_back(const sq_back *b, sq_tensor **out) {
  SQ_OWN sq_tensor *g = NULL;
  const pair *v = sq__values(b);
  sq_tensor *weight = sq__saved(b, SAVED_WEIGHT);
  SQ_TRY(spread_loss(b->dy[0], v->reduction, v->total, &g));
  if (!weight) {
    *out = sq_tensor_give(&g);
    return SQ_OK;
  }
  return sq_map("loss", SQ_ELEM_mul, (sq_tensor *[]){g, weight}, NULL, out);
}

/* A loss of kernels alone. */
static sq_status pair_forward(sq_call *c, sq_elem kernel, int reduction_arg, double p) {
  SQ_OWN sq_tensor *each = NULL;
  SQ_TRY(check_pair(c));
  SQ_TRY(sq_map(c->op->name, kernel, c->in, &p, &each));
  return finish_loss(c, each, NULL, (pair){.reduction = reduction_of(c, reduction_arg), .p = p});
}

/* Of losses of the difference: dtarget = -dinput. */
static sq_status pair_backward(sq_back *b, sq_elem kernel) {
  SQ_OWN sq_tensor *g = NULL, *dx = NULL;
  const pair *v = sq__values(b);
  SQ_TRY(start_loss_back(b, &g));
  sq_tensor *in[] = {g, sq__saved(b, SAVED_INPUT), sq__saved(b, SAVED_TARGET)};
  SQ_TRY(sq_map("loss", kernel, in, &v->p, &dx));
  if (sq__needs(b, IN_TARGET)) SQ_TRY(sq_map("loss", SQ_ELEM_neg, &dx, NULL, &b->dx[IN_TARGET]));
  b->dx[IN_INPUT] = sq_tensor_give(&dx);
  return SQ_OK;
}

/* The same recorded: dL/deach, input and target, and the gradients of both. */
static sq_tensor *loss_dy(sq_again *r) {
  const pair *v = sq__values(r->b);
  sq_tensor *g = spread_loss_again(r, v->reduction, v->total), *w = sq__saved(r->b, SAVED_WEIGHT);
  return w ? sq__mul(r, g, w) : g;
}

static sq_tensor *loss_input(sq_again *r) {
  return sq__input(r, IN_INPUT, sq__saved(r->b, SAVED_INPUT));
}

static sq_tensor *loss_target(sq_again *r) {
  return sq__input(r, IN_TARGET, sq__saved(r->b, SAVED_TARGET));
}

/* dinput = dloss slope, dtarget = -dinput. */
static void give_pair(sq_again *r, sq_tensor *slope) {
  sq_tensor *dx = sq__mul(r, loss_dy(r), slope);
  sq__gives(r, IN_INPUT, dx);
  if (sq__needs(r->b, IN_TARGET)) sq__gives(r, IN_TARGET, sq__of(r, SQ_OP_neg, dx));
}

static sq_tensor *loss_difference(sq_again *r) { return sq__sub(r, loss_input(r), loss_target(r)); }

static void mse_loss_again(sq_again *r) { give_pair(r, sq__scale(r, loss_difference(r), 2)); }

static void l1_loss_again(sq_again *r) { give_pair(r, sq__of(r, SQ_OP_sign, loss_difference(r))); }

static void smooth_l1_loss_again(sq_again *r) {
  const pair *v = sq__values(r->b);
  sq_tensor *d = loss_difference(r), *sign = sq__of(r, SQ_OP_sign, d);
  if (v->p > 0) {
    sq_tensor *near = SQ_DO(lt, sq__arg(sq__of(r, SQ_OP_abs, d)), SQ_N(v->p));
    sign = sq__choose(r, near, sq__div(r, d, sq__number(r, v->p)), sign);
  }
  give_pair(r, sign);
}

/* (x - t)^2;  dx = 2 (x - t) dy */
static sq_status mse_loss_forward(sq_call *c) {
  return pair_forward(c, SQ_ELEM_squared_error, MSE_LOSS_REDUCTION, 0);
}
static sq_status mse_loss_backward(sq_back *b) {
  return pair_backward(b, SQ_ELEM_squared_error_back);
}
const sq_op_impl sq__op_mse_loss = {.forward = mse_loss_forward,
                                    .backward = mse_loss_backward,
                                    .again = mse_loss_again,
                                    .promotes = SQ_ALL_INPUTS,
                                    .functional = true};

/* |x - t|;  dx = sign(x - t) dy */
static sq_status l1_loss_forward(sq_call *c) {
  return pair_forward(c, SQ_ELEM_absolute_error, L1_LOSS_REDUCTION, 0);
}
static sq_status l1_loss_backward(sq_back *b) {
  return pair_backward(b, SQ_ELEM_absolute_error_back);
}
const sq_op_impl sq__op_l1_loss = {.forward = l1_loss_forward,
                                   .backward = l1_loss_backward,
                                   .again = l1_loss_again,
                                   .promotes = SQ_ALL_INPUTS,
                                   .functional = true};

/* d = |x - t|: d^2 / (2 beta) where d < beta, else d - beta/2 */
static sq_status smooth_l1_loss_forward(sq_call *c) {
  double beta = c->arg[SMOOTH_L1_LOSS_BETA].number;
  if (!(beta >= 0))
    return sq_fail(SQ_EARG, "[smooth_l1_loss] beta is %g: it must be at least 0", beta);
  return pair_forward(c, SQ_ELEM_smooth_l1, SMOOTH_L1_LOSS_REDUCTION, beta);
}
static sq_status smooth_l1_loss_backward(sq_back *b) {
  return pair_backward(b, SQ_ELEM_smooth_l1_back);
}
const sq_op_impl sq__op_smooth_l1_loss = {.forward = smooth_l1_loss_forward,
                                          .backward = smooth_l1_loss_backward,
                                          .again = smooth_l1_loss_again,
                                          .promotes = SQ_ALL_INPUTS,
                                          .functional = true};

/* y = kernel(a, b). */
static sq_status map_two(sq_elem kernel, sq_tensor *a, sq_tensor *b, sq_tensor **out) {
  return sq_map("loss", kernel, (sq_tensor *[]){a, b}, NULL, out);
}

/* Fails unless all of x is in 0..1; `what` is its name. */
static sq_status check_probabilities(sq_tensor *x, const char *what) {
  SQ_OWN sq_tensor *least = NULL, *most = NULL;
  if (x->numel == 0) return SQ_OK;
  SQ_TRY(sq_reduce("binary_cross_entropy", SQ_REDUCE_MIN, x, 0, false, &least, NULL));
  SQ_TRY(sq_reduce("binary_cross_entropy", SQ_REDUCE_MAX, x, 0, false, &most, NULL));
  double low = sq_tensor_get(least, 0), high = sq_tensor_get(most, 0);
  if (low >= 0 && high <= 1) return SQ_OK;
  return sq_fail(SQ_EARG,
                 "[binary_cross_entropy] %s is %g to %g: it must be probabilities, 0 to 1; for "
                 "logits there is binary_cross_entropy_with_logits",
                 what, low, high);
}

/* -w (t log x + (1-t) log(1-x)), logs at least -100;  dx = w (x - t) / (x (1-x)) dy,
 * dt = w (log(1-x) - log x) dy */
static sq_status binary_cross_entropy_forward(sq_call *c) {
  SQ_OWN sq_tensor *each = NULL;
  SQ_TRY(check_pair(c));
  SQ_TRY(check_probabilities(c->in[IN_INPUT], "input"));
  SQ_TRY(check_probabilities(c->in[IN_TARGET], "target"));
  SQ_TRY(sq_map("binary_cross_entropy", SQ_ELEM_bce, c->in, NULL, &each));
  return finish_loss(c, each, c->in[IN_WEIGHT],
                     (pair){.reduction = reduction_of(c, BINARY_CROSS_ENTROPY_REDUCTION)});
}

/* log x, at least -100. */
static sq_status bounded_log(sq_tensor *x, sq_tensor **out) {
  SQ_OWN sq_tensor *y = NULL;
  double p[] = {-100, INFINITY};
  SQ_TRY(sq_map("log", SQ_ELEM_log, &x, NULL, &y));
  return sq_map("log", SQ_ELEM_clamp, &y, p, out);
}

static sq_status bce_target_back(sq_tensor *g, sq_tensor *x, sq_tensor **out) {
  SQ_OWN sq_tensor *one = NULL, *rest = NULL, *a = NULL, *z = NULL, *difference = NULL;
  SQ_TRY(sq_tensor_scalar(x->dtype, 1, &one));
  SQ_TRY(map_two(SQ_ELEM_sub, one, x, &rest));
  SQ_TRY(bounded_log(rest, &a));
  SQ_TRY(bounded_log(x, &z));
  SQ_TRY(map_two(SQ_ELEM_sub, a, z, &difference));
  return map_two(SQ_ELEM_mul, difference, g, out);
}

static sq_status binary_cross_entropy_backward(sq_back *b) {
  SQ_OWN sq_tensor *g = NULL;
  sq_tensor *x = sq__saved(b, SAVED_INPUT), *t = sq__saved(b, SAVED_TARGET);
  SQ_TRY(start_loss_back(b, &g));
  if (sq__needs(b, IN_INPUT))
    SQ_TRY(sq_map("loss", SQ_ELEM_bce_back, (sq_tensor *[]){g, x, t}, NULL, &b->dx[IN_INPUT]));
  return sq__needs(b, IN_TARGET) ? bce_target_back(g, x, &b->dx[IN_TARGET]) : SQ_OK;
}

static sq_tensor *at_least(sq_again *r, sq_tensor *t, double least) {
  return SQ_DO(clamp, sq__arg(t), SQ_N(least));
}

static void binary_cross_entropy_again(sq_again *r) {
  sq_tensor *x = loss_input(r), *t = loss_target(r), *g = loss_dy(r);
  sq_tensor *rest = sq__sub(r, sq__number(r, 1), x);
  if (sq__needs(r->b, IN_INPUT)) {
    sq_tensor *room = at_least(r, sq__mul(r, rest, x), 1e-12);
    sq__gives(r, IN_INPUT, sq__mul(r, g, sq__div(r, sq__sub(r, x, t), room)));
  }
  if (!sq__needs(r->b, IN_TARGET)) return;
  sq_tensor *a = at_least(r, sq__of(r, SQ_OP_log, rest), -100);
  sq_tensor *z = at_least(r, sq__of(r, SQ_OP_log, x), -100);
  sq__gives(r, IN_TARGET, sq__mul(r, g, sq__sub(r, a, z)));
}
const sq_op_impl sq__op_binary_cross_entropy = {.forward = binary_cross_entropy_forward,
                                                .backward = binary_cross_entropy_backward,
                                                .again = binary_cross_entropy_again,
                                                .functional = true};

/* What a positive target counts: 1 + (q - 1) t. */
static sq_status positive_weight(sq_tensor *q, sq_tensor *t, sq_tensor **out) {
  SQ_OWN sq_tensor *one = NULL, *less = NULL, *part = NULL;
  SQ_TRY(sq_tensor_scalar(t->dtype, 1, &one));
  SQ_TRY(map_two(SQ_ELEM_sub, q, one, &less));
  SQ_TRY(map_two(SQ_ELEM_mul, t, less, &part));
  return map_two(SQ_ELEM_add, part, one, out);
}

/* log(1 + e^-x): the loss of a target 1. */
static sq_status softplus_of_minus(sq_tensor *x, sq_tensor **out) {
  SQ_OWN sq_tensor *one = NULL;
  SQ_TRY(sq_tensor_scalar(x->dtype, 1, &one));
  return map_two(SQ_ELEM_bce_logits, x, one, out);
}

/* With pos_weight q: (1-t) x + (1 + (q-1) t) log(1 + e^-x). */
static sq_status weighted_logits(sq_tensor *x, sq_tensor *t, sq_tensor *q, sq_tensor **out) {
  SQ_OWN sq_tensor *one = NULL, *rest = NULL, *line = NULL, *w = NULL, *soft = NULL, *bend = NULL;
  SQ_TRY(sq_tensor_scalar(x->dtype, 1, &one));
  SQ_TRY(map_two(SQ_ELEM_sub, one, t, &rest));
  SQ_TRY(map_two(SQ_ELEM_mul, rest, x, &line));
  SQ_TRY(positive_weight(q, t, &w));
  SQ_TRY(softplus_of_minus(x, &soft));
  SQ_TRY(map_two(SQ_ELEM_mul, w, soft, &bend));
  return map_two(SQ_ELEM_add, line, bend, out);
}

/* w (max(x,0) - x t + log(1 + e^-|x|));  dx = w (sigmoid(x) - t) dy, dt = -w x dy.  With pos_weight
 * q: dx = ((1-t) - (1 + (q-1) t) (1 - sigmoid x)) dy, dt = (-x + (q-1) log(1 + e^-x)) dy */
static sq_status binary_cross_entropy_with_logits_forward(sq_call *c) {
  SQ_OWN sq_tensor *each = NULL;
  sq_tensor *x = c->in[IN_INPUT], *t = c->in[IN_TARGET],
            *q = c->in[IN_BINARY_CROSS_ENTROPY_WITH_LOGITS_POS_WEIGHT];
  SQ_TRY(check_floats(c));
  SQ_TRY(check_pair(c));
  if (q) {
    SQ_TRY(refuse_gradient(c, q, "pos_weight"));
    SQ_TRY(sq_check_expands(c->op->name, q, x));
    SQ_TRY(weighted_logits(x, t, q, &each));
  } else {
    SQ_TRY(map_two(SQ_ELEM_bce_logits, x, t, &each));
  }
  SQ_TRY(finish_loss(
      c, each, c->in[IN_WEIGHT],
      (pair){.reduction = reduction_of(c, BINARY_CROSS_ENTROPY_WITH_LOGITS_REDUCTION)}));
  return sq__save(c, SAVED_POS_WEIGHT, q);
}

static sq_status weighted_logits_dx(sq_tensor *x, sq_tensor *t, sq_tensor *q, sq_tensor **out) {
  SQ_OWN sq_tensor *one = NULL, *rest = NULL, *minus = NULL, *other = NULL, *w = NULL, *part = NULL;
  SQ_TRY(sq_tensor_scalar(x->dtype, 1, &one));
  SQ_TRY(map_two(SQ_ELEM_sub, one, t, &rest));
  SQ_TRY(sq_map("loss", SQ_ELEM_neg, &x, NULL, &minus));
  SQ_TRY(sq_map("loss", SQ_ELEM_sigmoid, &minus, NULL, &other));
  SQ_TRY(positive_weight(q, t, &w));
  SQ_TRY(map_two(SQ_ELEM_mul, w, other, &part));
  return map_two(SQ_ELEM_sub, rest, part, out);
}

static sq_status logits_dt(sq_tensor *x, sq_tensor *q, sq_tensor **out) {
  if (!q) return sq_map("loss", SQ_ELEM_neg, &x, NULL, out);
  SQ_OWN sq_tensor *one = NULL, *less = NULL, *soft = NULL, *part = NULL;
  SQ_TRY(sq_tensor_scalar(x->dtype, 1, &one));
  SQ_TRY(map_two(SQ_ELEM_sub, q, one, &less));
  SQ_TRY(softplus_of_minus(x, &soft));
  SQ_TRY(map_two(SQ_ELEM_mul, less, soft, &part));
  return map_two(SQ_ELEM_sub, part, x, out);
}

static sq_status binary_cross_entropy_with_logits_backward(sq_back *b) {
  SQ_OWN sq_tensor *g = NULL, *each = NULL, *dt = NULL;
  sq_tensor *x = sq__saved(b, SAVED_INPUT), *t = sq__saved(b, SAVED_TARGET),
            *q = sq__saved(b, SAVED_POS_WEIGHT);
  SQ_TRY(start_loss_back(b, &g));
  if (sq__needs(b, IN_INPUT) && !q)
    SQ_TRY(
        sq_map("loss", SQ_ELEM_bce_logits_back, (sq_tensor *[]){g, x, t}, NULL, &b->dx[IN_INPUT]));
  if (sq__needs(b, IN_INPUT) && q) {
    SQ_TRY(weighted_logits_dx(x, t, q, &each));
    SQ_TRY(map_two(SQ_ELEM_mul, each, g, &b->dx[IN_INPUT]));
  }
  if (!sq__needs(b, IN_TARGET)) return SQ_OK;
  SQ_TRY(logits_dt(x, q, &dt));
  return map_two(SQ_ELEM_mul, dt, g, &b->dx[IN_TARGET]);
}

/* With pos_weight q: (1-t) - (1 + (q-1) t) (1 - sigmoid x). */
static sq_tensor *weighted_logits_slope(sq_again *r, sq_tensor *x, sq_tensor *t, sq_tensor *q) {
  sq_tensor *less = sq__sub(r, q, sq__number(r, 1)), *minus = sq__of(r, SQ_OP_neg, x);
  sq_tensor *w = sq__shift(r, sq__mul(r, t, less), 1);
  sq_tensor *bend = sq__mul(r, w, sq__of(r, SQ_OP_sigmoid, minus));
  return sq__sub(r, sq__sub(r, sq__number(r, 1), t), bend);
}

/* (q-1) log(1 + e^-x) - x, the logarithm as the loss of a target 1. */
static sq_tensor *logits_target_slope(sq_again *r, sq_tensor *x, sq_tensor *q) {
  if (!q) return sq__of(r, SQ_OP_neg, x);
  sq_arg ones =
      sq__arg(sq__filled(r, sq__in_ndim(r->b, IN_INPUT), sq__in_shape(r->b, IN_INPUT), 1));
  sq_tensor *soft =
      SQ_DO(binary_cross_entropy_with_logits, sq__arg(x), ones, (sq_arg){0}, SQ_S("none"));
  sq_tensor *less = sq__sub(r, q, sq__number(r, 1));
  return sq__sub(r, sq__mul(r, less, soft), x);
}

static void binary_cross_entropy_with_logits_again(sq_again *r) {
  sq_tensor *x = loss_input(r), *t = loss_target(r), *q = sq__saved(r->b, SAVED_POS_WEIGHT);
  sq_tensor *g = loss_dy(r);
  if (sq__needs(r->b, IN_INPUT)) {
    sq_tensor *slope =
        q ? weighted_logits_slope(r, x, t, q) : sq__sub(r, sq__of(r, SQ_OP_sigmoid, x), t);
    sq__gives(r, IN_INPUT, sq__mul(r, g, slope));
  }
  if (sq__needs(r->b, IN_TARGET))
    sq__gives(r, IN_TARGET, sq__mul(r, g, logits_target_slope(r, x, q)));
}
const sq_op_impl sq__op_binary_cross_entropy_with_logits = {
    .forward = binary_cross_entropy_with_logits_forward,
    .backward = binary_cross_entropy_with_logits_backward,
    .again = binary_cross_entropy_with_logits_again,
    .promotes = SQ_ALL_INPUTS,
    .functional = true};

/* t log t, 0 at 0. */
static sq_status t_log_t(sq_tensor *t, sq_tensor **out) {
  SQ_OWN sq_tensor *l = NULL, *p = NULL, *none = NULL, *zero = NULL;
  SQ_TRY(sq_map("loss", SQ_ELEM_log, &t, NULL, &l));
  SQ_TRY(map_two(SQ_ELEM_mul, t, l, &p));
  SQ_TRY(sq_map("loss", SQ_ELEM_logical_not, &t, NULL, &none));
  SQ_TRY(sq_tensor_scalar(t->dtype, 0, &zero));
  return sq_where(none, zero, p, out);
}

/* t (log t - x), or e^t (t - x) of log-probabilities t.  dx = -t dy; dt = (log t + 1 - x) dy, or
 * e^t (t - x + 1) dy */
static sq_status kl_div_forward(sq_call *c) {
  SQ_OWN sq_tensor *p = NULL, *a = NULL, *each = NULL;
  sq_tensor *x = c->in[IN_INPUT], *t = c->in[IN_TARGET];
  bool logs = c->arg[KL_DIV_LOG_TARGET].flag;
  SQ_TRY(check_floats(c));
  SQ_TRY(check_pair(c));
  if (logs) {
    SQ_TRY(sq_map("kl_div", SQ_ELEM_exp, &t, NULL, &p));
    SQ_TRY(map_two(SQ_ELEM_sub, t, x, &a));
    SQ_TRY(map_two(SQ_ELEM_mul, p, a, &each));
  } else {
    SQ_TRY(t_log_t(t, &p));
    SQ_TRY(map_two(SQ_ELEM_mul, t, x, &a));
    SQ_TRY(map_two(SQ_ELEM_sub, p, a, &each));
  }
  pair v = {.reduction = reduction_of(c, KL_DIV_REDUCTION), .logs = logs};
  return finish_loss(c, each, NULL, v);
}

static sq_status kl_div_backward(sq_back *b) {
  SQ_OWN sq_tensor *g = NULL, *p = NULL, *minus = NULL, *l = NULL, *a = NULL, *one = NULL;
  SQ_OWN sq_tensor *more = NULL, *each = NULL;
  sq_tensor *x = sq__saved(b, SAVED_INPUT), *t = sq__saved(b, SAVED_TARGET);
  bool logs = ((const pair *)sq__values(b))->logs;
  SQ_TRY(start_loss_back(b, &g));
  if (logs) {
    SQ_TRY(sq_map("kl_div", SQ_ELEM_exp, &t, NULL, &p));
  } else {
    p = sq_tensor_keep(t);
  }
  if (sq__needs(b, IN_INPUT)) {
    SQ_TRY(sq_map("kl_div", SQ_ELEM_neg, &p, NULL, &minus));
    SQ_TRY(map_two(SQ_ELEM_mul, minus, g, &b->dx[IN_INPUT]));
  }
  if (!sq__needs(b, IN_TARGET)) return SQ_OK;
  SQ_TRY(sq_map("kl_div", logs ? SQ_ELEM_copy : SQ_ELEM_log, &t, NULL, &l));
  SQ_TRY(map_two(SQ_ELEM_sub, l, x, &a));
  SQ_TRY(sq_tensor_scalar(t->dtype, 1, &one));
  SQ_TRY(map_two(SQ_ELEM_add, a, one, &more));
  if (logs) {
    SQ_TRY(map_two(SQ_ELEM_mul, more, p, &each));
  } else {
    each = sq_tensor_keep(more);
  }
  return map_two(SQ_ELEM_mul, each, g, &b->dx[IN_TARGET]);
}

static void kl_div_again(sq_again *r) {
  bool logs = ((const pair *)sq__values(r->b))->logs;
  sq_tensor *x = loss_input(r), *t = loss_target(r), *g = loss_dy(r);
  sq_tensor *p = logs ? sq__of(r, SQ_OP_exp, t) : t;
  if (sq__needs(r->b, IN_INPUT)) sq__gives(r, IN_INPUT, sq__mul(r, g, sq__of(r, SQ_OP_neg, p)));
  if (!sq__needs(r->b, IN_TARGET)) return;
  sq_tensor *l = logs ? t : sq__of(r, SQ_OP_log, t);
  sq_tensor *slope = sq__shift(r, sq__sub(r, l, x), 1);
  sq__gives(r, IN_TARGET, sq__mul(r, g, logs ? sq__mul(r, slope, p) : slope));
}
const sq_op_impl sq__op_kl_div = {.forward = kl_div_forward,
                                  .backward = kl_div_backward,
                                  .again = kl_div_again,
                                  .promotes = SQ_ALL_INPUTS,
                                  .functional = true};

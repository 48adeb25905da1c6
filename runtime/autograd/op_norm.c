/* op_norm.c: normalisation over the batch, over the last dims, over groups of channels. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "autograd/again_priv.h"
#include "autograd/op_priv.h"
#include "base/limits.h"
#include "base/parallel.h"
#include "tensor/map.h"

static sq_status want_vector(const sq_call *c, int i, const char *what, int64_t n) {
  const sq_tensor *t = c->in[i];
  if (!t || (t->ndim == 1 && t->shape[0] == n)) return SQ_OK;
  return sq_fail(SQ_ESHAPE, "[%s] %s is %s, x is %s: it must be (%" PRId64 ")", c->op->name, what,
                 sq_tensor_shape_text(t, SQ_SHAPE_BUF),
                 sq_tensor_shape_text(c->in[IN_X], SQ_SHAPE_BUF), n);
}

/* n numbers in double, undefined. */
static sq_status new_doubles(int64_t n, sq_tensor **out) {
  return sq_tensor_new(SQ_F64, 1, &n, out);
}

/* --- batch norm ----------------------------------------------------------------------------- */

/* x (N,C,L), cut into tiles of channels. */
typedef struct batch_job {
  const sq_kern *kern;
  size_t size;
  int64_t channels; /* of a tile */
  sq_batch_norm all;
} batch_job;

static void set_extent(batch_job *j, sq_dtype dtype, int ndim, const int64_t *shape) {
  sq_batch_norm *all = &j->all;
  j->kern = sq_kern_of(dtype);
  j->size = sq_dtype_size(dtype);
  all->N = shape[0];
  all->C = shape[1];
  all->L = 1;
  for (int i = 2; i < ndim; i++) all->L *= shape[i];
  all->step = all->C * all->L;
  int64_t each = all->N * all->L, most = each > 0 ? SQ_TILE / each : all->C;
  if (most < 1) most = 1;
  j->channels = all->L > 1 ? most : sq_tiles(most, SQ_NORM_CHANNELS) * SQ_NORM_CHANNELS;
}

/* The channels of a tile. */
static sq_batch_norm channels_of(const batch_job *j, int64_t tile) {
  sq_batch_norm part = j->all;
  int64_t c = tile * j->channels, at = c * part.L;
  part.C = sq_tile_size(part.C, j->channels, tile);
  part.x = sq__offset(part.x, at, j->size), part.y = sq__offset(part.y, at, j->size);
  part.g = sq__offset(part.g, at, j->size), part.dx = sq__offset(part.dx, at, j->size);
  part.w = sq__offset(part.w, c, j->size), part.dw = sq__offset(part.dw, c, j->size);
  part.b = sq__offset(part.b, c, j->size), part.db = sq__offset(part.db, c, j->size);
  part.mean += c, part.var += c;
  return part;
}

static void batch_tile(int64_t tile, void *context) {
  const batch_job *j = context;
  sq_batch_norm part = channels_of(j, tile);
  j->kern->batch_norm(&part);
}

static void batch_tile_back(int64_t tile, void *context) {
  const batch_job *j = context;
  sq_batch_norm part = channels_of(j, tile);
  j->kern->batch_norm_back(&part);
}

static sq_status run_batch(batch_job *j, sq_tile_fn *tile) {
  int64_t all = j->all.N * j->all.C * j->all.L;
  if (all == 0) return SQ_OK;
  sq_parallel(sq_tiles(j->all.C, j->channels), all, tile, j);
  return sq_interrupt_check();
}

static sq_status check_batch(const sq_call *c, bool training) {
  const sq_tensor *x = c->in[IN_X];
  SQ_TRY(sq__want_float(c, IN_X));
  if (x->ndim < 2)
    return sq_fail(SQ_ESHAPE, "[batch_norm] x is %s: it must be (batch,channels,...)",
                   sq_tensor_shape_text(x, SQ_SHAPE_BUF));
  static const char *const names[] = {[IN_BATCH_NORM_RUNNING_MEAN] = "running_mean",
                                      [IN_BATCH_NORM_RUNNING_VAR] = "running_var",
                                      [IN_BATCH_NORM_WEIGHT] = "weight",
                                      [IN_BATCH_NORM_BIAS] = "bias"};
  for (int i = IN_X + 1; i < c->nin; i++) SQ_TRY(want_vector(c, i, names[i], x->shape[1]));
  if (!training && (!c->in[IN_BATCH_NORM_RUNNING_MEAN] || !c->in[IN_BATCH_NORM_RUNNING_VAR])) {
    return sq_fail(SQ_EARG,
                   "[batch_norm] without training, running_mean and running_var are needed");
  }
  if (training && x->shape[1] > 0 && x->numel / x->shape[1] == 1) {
    return sq_fail(SQ_ESHAPE,
                   "[batch_norm] x is %s: training needs more than one value for each channel",
                   sq_tensor_shape_text(x, SQ_SHAPE_BUF));
  }
  return SQ_OK;
}

/* (1 - momentum) running + momentum factor stat, in double, then in running's dtype; NULL where
 * there is none. */
static sq_status follow_stat(sq_tensor *running, sq_tensor *stat, double momentum, double factor,
                             sq_tensor **out) {
  if (!running) return SQ_OK;
  SQ_OWN sq_tensor *next = NULL, *old = NULL, *scaled = NULL;
  double keep = 1 - momentum, weight = momentum * factor;
  SQ_TRY(sq_tensor_cast(running, SQ_F64, &old));
  SQ_TRY(sq_map("batch_norm", SQ_ELEM_scale, &stat, &weight, &scaled));
  SQ_TRY(sq_map("batch_norm", SQ_ELEM_scale, &old, &keep, &next));
  SQ_TRY(sq_map_into(SQ_ELEM_add, (sq_tensor *[]){scaled, next}, NULL, scaled));
  return sq_tensor_cast(scaled, running->dtype, out);
}

/* running = next: nothing here can fail for want of memory. */
static sq_status write_running(sq_tensor *running, sq_tensor *next) {
  return next ? sq_tensor_copy(running, next) : SQ_OK;
}

/* What is kept. */
enum { BATCH_X, BATCH_W, BATCH_MEAN, BATCH_VAR };

typedef struct batch_values {
  bool training;
  double eps;
} batch_values;

/* y = (x - mean) / sqrt(var + eps) w + b over channels; mean and var of the batch in training,
 * and then running = (1 - momentum) running + momentum (mean, unbiased var); else the running
 * ones.  dx = w rstd (dy - mean dy - x^ mean(dy x^)), x^ = (x - mean) rstd;
 * without training dx = w rstd dy.  dw = sum dy x^, db = sum dy. */
static sq_status batch_norm_forward(sq_call *c) {
  bool training = c->arg[BATCH_NORM_TRAINING].flag;
  SQ_TRY(check_batch(c, training));
  batch_job j = {.all = {.training = training, .eps = c->arg[BATCH_NORM_EPS].number}};
  SQ_OWN sq_tensor *x = NULL, *w = NULL, *b = NULL, *y = NULL, *mean = NULL, *var = NULL;
  SQ_OWN sq_tensor *next_mean = NULL, *next_var = NULL;
  SQ_TRY(sq_tensor_contiguous(c->in[IN_X], &x));
  set_extent(&j, x->dtype, x->ndim, x->shape);
  SQ_TRY(sq__contiguous_or_null(c->in[IN_BATCH_NORM_WEIGHT], &w));
  SQ_TRY(sq__contiguous_or_null(c->in[IN_BATCH_NORM_BIAS], &b));
  SQ_TRY(new_doubles(j.all.C, &mean));
  SQ_TRY(new_doubles(j.all.C, &var));
  if (!training) {
    SQ_TRY(sq_tensor_copy(mean, c->in[IN_BATCH_NORM_RUNNING_MEAN]));
    SQ_TRY(sq_tensor_copy(var, c->in[IN_BATCH_NORM_RUNNING_VAR]));
  }
  SQ_TRY(sq_tensor_new_like(x, x->dtype, &y));
  j.all.x = sq_data(x), j.all.w = sq__data_or_null(w), j.all.b = sq__data_or_null(b),
  j.all.y = sq_data(y);
  j.all.mean = sq_data(mean), j.all.var = sq_data(var);
  SQ_TRY(run_batch(&j, batch_tile));
  SQ_TRY(sq__save(c, BATCH_X, x));
  SQ_TRY(sq__save(c, BATCH_W, w));
  SQ_TRY(sq__save(c, BATCH_MEAN, mean));
  SQ_TRY(sq__save(c, BATCH_VAR, var));
  SQ_SAVE_VALUES(c, batch_values, training, j.all.eps);
  if (training && x->numel > 0) {
    double n = (double)(j.all.N * j.all.L);
    SQ_TRY(follow_stat(c->in[IN_BATCH_NORM_RUNNING_MEAN], mean, c->arg[BATCH_NORM_MOMENTUM].number,
                       1, &next_mean));
    SQ_TRY(follow_stat(c->in[IN_BATCH_NORM_RUNNING_VAR], var, c->arg[BATCH_NORM_MOMENTUM].number,
                       n / (n - 1), &next_var));
  }
  SQ_TRY(sq__reserve(c, y)); /* from here on nothing fails: the running ones move or they do not */
  SQ_TRY(write_running(c->in[IN_BATCH_NORM_RUNNING_MEAN], next_mean));
  SQ_TRY(write_running(c->in[IN_BATCH_NORM_RUNNING_VAR], next_var));
  c->out[0] = sq_tensor_give(&y);
  return SQ_OK;
}

static sq_status batch_norm_backward(sq_back *b) {
  const batch_values *v = sq__values(b);
  batch_job j = {.all = {.training = v->training, .eps = v->eps}};
  SQ_OWN sq_tensor *g = NULL, *dx = NULL, *dw = NULL, *db = NULL;
  sq_tensor *x = sq__saved(b, BATCH_X);
  set_extent(&j, x->dtype, x->ndim, x->shape);
  SQ_TRY(sq_tensor_contiguous(b->dy[0], &g));
  if (sq__needs(b, IN_X)) SQ_TRY(sq_tensor_new_like(x, x->dtype, &dx));
  if (sq__needs(b, IN_BATCH_NORM_WEIGHT)) SQ_TRY(sq_tensor_full(x->dtype, 1, &j.all.C, 0, &dw));
  if (sq__needs(b, IN_BATCH_NORM_BIAS)) SQ_TRY(sq_tensor_full(x->dtype, 1, &j.all.C, 0, &db));
  j.all.g = sq_data(g), j.all.x = sq_data(x), j.all.w = sq__data_or_null(sq__saved(b, BATCH_W));
  j.all.mean = sq_data(sq__saved(b, BATCH_MEAN)), j.all.var = sq_data(sq__saved(b, BATCH_VAR));
  j.all.dx = sq__data_or_null(dx), j.all.dw = sq__data_or_null(dw), j.all.db = sq__data_or_null(db);
  SQ_TRY(run_batch(&j, batch_tile_back));
  b->dx[IN_X] = sq_tensor_give(&dx);
  b->dx[IN_BATCH_NORM_WEIGHT] = sq_tensor_give(&dw);
  b->dx[IN_BATCH_NORM_BIAS] = sq_tensor_give(&db);
  return SQ_OK;
}

/* t over the root of its mean square plus eps, over the dims in mask. */
static sq_tensor *over_root(sq_again *r, sq_tensor *t, unsigned mask, double eps) {
  sq_tensor *square = sq__mean_dims(r, sq__of(r, SQ_OP_square, t), mask, true);
  return sq__mul(r, t, sq__of(r, SQ_OP_rsqrt, sq__shift(r, square, eps)));
}

/* The same of t less its mean. */
static sq_tensor *standardised(sq_again *r, sq_tensor *t, unsigned mask, double eps) {
  return over_root(r, sq__sub(r, t, sq__mean_dims(r, t, mask, true)), mask, eps);
}

/* x^ w + b; both may be left out, b's value does not matter. [w in the shape that it has on x^] */
static sq_tensor *stretched(sq_again *r, sq_tensor *x, int i, sq_tensor *w, int bias, int ndim,
                            const int64_t *shape) {
  if (w) x = sq__mul(r, x, sq__shaped(r, sq__input(r, i, w), ndim, shape));
  if (bias < 0 || !sq__needs(r->b, bias)) return x;
  return sq__add(r, x, sq__shaped(r, sq__input_slope(r, bias), ndim, shape));
}

/* A kept statistic (C) in x's dtype, in the shape that it has on x. */
static sq_tensor *statistic(sq_again *r, sq_tensor *t, int ndim, const int64_t *shape) {
  const sq_arg dtype = {.kind = SQ_ARG_DTYPE, .dtype = sq__in_dtype(r->b, IN_X)};
  return sq__shaped(r, SQ_DO(to, sq__arg(t), dtype), ndim, shape);
}

static void batch_norm_compose(sq_again *r, sq_tensor **y) {
  const batch_values *v = sq__values(r->b);
  int ndim = sq__in_ndim(r->b, IN_X);
  int64_t shape[SQ_MAX_DIMS];
  for (int i = 0; i < ndim; i++) shape[i] = i == 1 ? sq__in_shape(r->b, IN_X)[1] : 1;
  sq_tensor *x = sq__input(r, IN_X, sq__saved(r->b, BATCH_X));
  if (v->training) {
    x = standardised(r, x, ((1u << ndim) - 1) & ~2u, v->eps);
  } else {
    sq_tensor *var = statistic(r, sq__saved(r->b, BATCH_VAR), ndim, shape);
    x = sq__sub(r, x, statistic(r, sq__saved(r->b, BATCH_MEAN), ndim, shape));
    x = sq__mul(r, x, sq__of(r, SQ_OP_rsqrt, sq__shift(r, var, v->eps)));
  }
  y[0] = stretched(r, x, IN_BATCH_NORM_WEIGHT, sq__saved(r->b, BATCH_W), IN_BATCH_NORM_BIAS, ndim,
                   shape);
}
const sq_op_impl sq__op_batch_norm = {.forward = batch_norm_forward,
                                      .backward = batch_norm_backward,
                                      .compose = batch_norm_compose,
                                      .functional = true};

/* --- layer norm and group norm -------------------------------------------------------------- */

/* x (N,G,D,L), cut into a few tiles of samples, so that the tiles' sums of dw and db, (tiles,G,D),
 * are few. */
typedef struct rows_job {
  const sq_kern *kern;
  size_t size;
  int64_t samples; /* of a tile */
  sq_norm_rows all;
} rows_job;

static void set_tiles(rows_job *j, sq_dtype dtype) {
  const sq_norm_rows *all = &j->all;
  int64_t each = all->G * all->D * all->L, least = each > 0 ? SQ_TILE / each : all->N;
  j->kern = sq_kern_of(dtype);
  j->size = sq_dtype_size(dtype);
  j->samples = sq_tiles(all->N, SQ_NORM_TILES);
  if (j->samples < least) j->samples = least;
  if (j->samples < 1) j->samples = 1;
}

static int64_t tiles_of(const rows_job *j) { return sq_tiles(j->all.N, j->samples); }

/* The samples of a tile. */
static sq_norm_rows samples_of(const rows_job *j, int64_t tile) {
  sq_norm_rows part = j->all;
  int64_t row = tile * j->samples * part.G, at = row * part.D * part.L;
  int64_t sum = tile * part.G * part.D;
  part.N = sq_tile_size(part.N, j->samples, tile);
  part.x = sq__offset(part.x, at, j->size), part.y = sq__offset(part.y, at, j->size);
  part.g = sq__offset(part.g, at, j->size), part.dx = sq__offset(part.dx, at, j->size);
  part.mean = sq__offset(part.mean, row, sizeof *part.mean);
  part.rstd = sq__offset(part.rstd, row, sizeof *part.rstd);
  part.dw = sq__offset(part.dw, sum, sizeof *part.dw);
  part.db = sq__offset(part.db, sum, sizeof *part.db);
  return part;
}

static void rows_tile(int64_t tile, void *context) {
  const rows_job *j = context;
  sq_norm_rows part = samples_of(j, tile);
  j->kern->norm_rows(&part);
}

static void rows_tile_back(int64_t tile, void *context) {
  const rows_job *j = context;
  sq_norm_rows part = samples_of(j, tile);
  j->kern->norm_rows_back(&part);
}

static sq_status run_rows(rows_job *j, sq_tile_fn *tile) {
  int64_t all = j->all.N * j->all.G * j->all.D * j->all.L;
  if (all > 0) sq_parallel(tiles_of(j), 2 * all, tile, j);
  return sq_interrupt_check();
}

/* What is kept; by rms_norm no mean. */
enum { ROWS_X, ROWS_W, ROWS_RSTD, ROWS_MEAN };

typedef struct extent {
  int64_t N, G, D, L;
  double eps;
} extent;

SQ_ALIKE(IN_GROUP_NORM_WEIGHT, IN_LAYER_NORM_WEIGHT);
SQ_ALIKE(IN_GROUP_NORM_BIAS, IN_LAYER_NORM_BIAS);

/* Inputs are x, weight, bias; j has its extent. */
static sq_status rows_forward(sq_call *c, rows_job *j) {
  SQ_OWN sq_tensor *x = NULL, *w = NULL, *b = NULL, *y = NULL, *mean = NULL, *rstd = NULL;
  SQ_TRY(sq_tensor_contiguous(c->in[IN_X], &x));
  SQ_TRY(sq__contiguous_or_null(c->in[IN_LAYER_NORM_WEIGHT], &w));
  SQ_TRY(sq__contiguous_or_null(c->in[IN_LAYER_NORM_BIAS], &b));
  SQ_TRY(new_doubles(j->all.N * j->all.G, &mean));
  SQ_TRY(new_doubles(j->all.N * j->all.G, &rstd));
  SQ_TRY(sq_tensor_new_like(x, x->dtype, &y));
  set_tiles(j, x->dtype);
  j->all.x = sq_data(x), j->all.w = sq__data_or_null(w), j->all.b = sq__data_or_null(b),
  j->all.y = sq_data(y);
  j->all.mean = sq_data(mean), j->all.rstd = sq_data(rstd);
  SQ_TRY(run_rows(j, rows_tile));
  SQ_TRY(sq__save(c, ROWS_X, x));
  SQ_TRY(sq__save(c, ROWS_W, w));
  SQ_TRY(sq__save(c, ROWS_RSTD, rstd));
  SQ_TRY(sq__save(c, ROWS_MEAN, mean));
  SQ_SAVE_VALUES(c, extent, j->all.N, j->all.G, j->all.D, j->all.L, j->all.eps);
  c->out[0] = sq_tensor_give(&y);
  return SQ_OK;
}

/* The tiles' sums added in order: a gradient in input i's shape. */
static sq_status give_sums(sq_back *b, const rows_job *j, int i, const double *parts) {
  int64_t n = j->all.G * j->all.D;
  SQ_OWN sq_tensor *sum = NULL, *dw = NULL;
  if (!sq__needs(b, i)) return SQ_OK;
  SQ_TRY(sq_tensor_full(SQ_F64, sq__in_ndim(b, i), sq__in_shape(b, i), 0, &sum));
  double *to = sq_data(sum);
  for (int64_t tile = 0; j->all.L * n > 0 && tile < tiles_of(j); tile++)
    for (int64_t k = 0; k < n; k++) to[k] += parts[tile * n + k];
  SQ_TRY(sq_tensor_cast(sum, sq__in_dtype(b, i), &dw));
  b->dx[i] = sq_tensor_give(&dw);
  return SQ_OK;
}

static sq_status rows_backward(sq_back *b) {
  const extent *v = sq__values(b);
  rows_job j = {.all = {.N = v->N, .G = v->G, .D = v->D, .L = v->L}};
  SQ_OWN sq_tensor *g = NULL, *dx = NULL, *dw = NULL, *db = NULL;
  sq_tensor *x = sq__saved(b, ROWS_X);
  set_tiles(&j, x->dtype);
  SQ_TRY(sq_tensor_contiguous(b->dy[0], &g));
  if (sq__needs(b, IN_X)) SQ_TRY(sq_tensor_new_like(x, x->dtype, &dx));
  SQ_TRY(new_doubles(tiles_of(&j) * j.all.G * j.all.D, &dw));
  SQ_TRY(new_doubles(tiles_of(&j) * j.all.G * j.all.D, &db));
  j.all.g = sq_data(g), j.all.x = sq_data(x), j.all.w = sq__data_or_null(sq__saved(b, ROWS_W));
  j.all.mean = sq_data(sq__saved(b, ROWS_MEAN)), j.all.rstd = sq_data(sq__saved(b, ROWS_RSTD));
  j.all.dx = sq__data_or_null(dx), j.all.dw = sq_data(dw), j.all.db = sq_data(db);
  SQ_TRY(run_rows(&j, rows_tile_back));
  SQ_TRY(give_sums(b, &j, IN_LAYER_NORM_WEIGHT, j.all.dw));
  SQ_TRY(give_sums(b, &j, IN_LAYER_NORM_BIAS, j.all.db));
  b->dx[IN_X] = sq_tensor_give(&dx);
  return SQ_OK;
}

/* On x as (N,G,D,L); the weight is (1,G,D,1). */
static void norm_rows_compose(sq_again *r, sq_tensor **y,
                              sq_tensor *(*normal)(sq_again *, sq_tensor *, unsigned, double),
                              int bias) {
  const extent *v = sq__values(r->b);
  const int64_t shape[] = {1, v->G, v->D, 1};
  sq_tensor *x = sq__input(r, IN_X, sq__saved(r->b, ROWS_X));
  x = normal(r, sq__shaped(r, x, 4, (int64_t[]){v->N, v->G, v->D, v->L}), 0xcu, v->eps);
  x = stretched(r, x, IN_LAYER_NORM_WEIGHT, sq__saved(r->b, ROWS_W), bias, 4, shape);
  y[0] = sq__like_input(r, x, IN_X);
}

static void rows_compose(sq_again *r, sq_tensor **y) {
  norm_rows_compose(r, y, standardised, IN_LAYER_NORM_BIAS);
}

SQ_ALIKE(RMS_NORM_NORMALIZED_SHAPE, LAYER_NORM_NORMALIZED_SHAPE);
SQ_ALIKE(IN_RMS_NORM_WEIGHT, IN_LAYER_NORM_WEIGHT);

/* Of x, weight and, for layer_norm, bias. */
static sq_status check_last_dims(const sq_call *c) {
  const sq_tensor *x = c->in[IN_X];
  int n = c->arg[LAYER_NORM_NORMALIZED_SHAPE].ints.n;
  const int64_t *shape = c->arg[LAYER_NORM_NORMALIZED_SHAPE].ints.v;
  SQ_TRY(sq__want_float(c, IN_X));
  if (n < 1 || n > x->ndim || memcmp(x->shape + x->ndim - n, shape, (size_t)n * sizeof *shape)) {
    return sq_fail(SQ_ESHAPE, "[%s] x is %s: its last dims must be normalized_shape, %s",
                   c->op->name, sq_tensor_shape_text(x, SQ_SHAPE_BUF),
                   n <= SQ_MAX_DIMS ? sq_shape_text(n, shape, SQ_SHAPE_BUF) : "which is too long");
  }
  for (int i = IN_LAYER_NORM_WEIGHT; i < c->nin; i++) {
    const sq_tensor *t = c->in[i];
    if (!t || sq_shape_equal(t->ndim, t->shape, n, shape)) continue;
    return sq_fail(SQ_ESHAPE, "[%s] %s is %s: it must be %s", c->op->name,
                   i == IN_LAYER_NORM_WEIGHT ? "weight" : "bias",
                   sq_tensor_shape_text(t, SQ_SHAPE_BUF), sq_shape_text(n, shape, SQ_SHAPE_BUF));
  }
  return SQ_OK;
}

/* Rows of normalized_shape. */
static void cut_last_dims(const sq_call *c, rows_job *j) {
  const sq_tensor *x = c->in[IN_X];
  j->all.N = j->all.D = 1;
  for (int i = 0; i < x->ndim; i++)
    *(i < x->ndim - c->arg[LAYER_NORM_NORMALIZED_SHAPE].ints.n ? &j->all.N : &j->all.D) *=
        x->shape[i];
}

/* y = x^ w + b, x^ = (x - mean) / sqrt(var + eps) over the last dims.
 * dx = rstd (w dy - mean(w dy) - x^ mean(w dy x^)), dw = sum dy x^, db = sum dy over the dims in
 * front. */
static sq_status layer_norm_forward(sq_call *c) {
  SQ_TRY(check_last_dims(c));
  rows_job j = {.all = {.G = 1, .L = 1, .eps = c->arg[LAYER_NORM_EPS].number}};
  cut_last_dims(c, &j);
  return rows_forward(c, &j);
}
const sq_op_impl sq__op_layer_norm = {.forward = layer_norm_forward,
                                      .backward = rows_backward,
                                      .compose = rows_compose,
                                      .functional = true};

/* The same over each of G groups of channels and all of space; w and b (C). */
static sq_status group_norm_forward(sq_call *c) {
  const sq_tensor *x = c->in[IN_X];
  int64_t G = c->arg[GROUP_NORM_NUM_GROUPS].integer;
  SQ_TRY(sq__want_float(c, IN_X));
  if (x->ndim < 2 || G < 1 || x->shape[1] % G != 0) {
    return sq_fail(SQ_ESHAPE,
                   "[group_norm] x is %s: its dim 2, the channels, must be cut into %" PRId64
                   " groups",
                   sq_tensor_shape_text(x, SQ_SHAPE_BUF), G);
  }
  SQ_TRY(want_vector(c, IN_GROUP_NORM_WEIGHT, "weight", x->shape[1]));
  SQ_TRY(want_vector(c, IN_GROUP_NORM_BIAS, "bias", x->shape[1]));
  rows_job j = {.all = {.N = x->shape[0],
                        .G = G,
                        .D = x->shape[1] / G,
                        .L = 1,
                        .eps = c->arg[GROUP_NORM_EPS].number}};
  for (int i = 2; i < x->ndim; i++) j.all.L *= x->shape[i];
  return rows_forward(c, &j);
}
const sq_op_impl sq__op_group_norm = {.forward = group_norm_forward,
                                      .backward = rows_backward,
                                      .compose = rows_compose,
                                      .functional = true};

/* --- RMS norm ------------------------------------------------------------------------------- */

static void rms_tile(int64_t tile, void *context) {
  const rows_job *j = context;
  sq_norm_rows part = samples_of(j, tile);
  j->kern->rms_rows(&part);
}

static void rms_tile_back(int64_t tile, void *context) {
  const rows_job *j = context;
  sq_norm_rows part = samples_of(j, tile);
  j->kern->rms_rows_back(&part);
}

/* y = x rstd w, rstd = 1 / sqrt(mean(x^2) + eps) over the last dims.
 * dx = rstd w dy - x rstd^3 mean(w dy x), dw = sum dy x rstd over the dims in front.
 * Zhang and Sennrich 2019. */
static sq_status rms_norm_forward(sq_call *c) {
  SQ_TRY(check_last_dims(c));
  SQ_OWN sq_tensor *x = NULL, *w = NULL, *y = NULL, *rstd = NULL;
  SQ_TRY(sq_tensor_contiguous(c->in[IN_X], &x));
  SQ_TRY(sq__contiguous_or_null(c->in[IN_RMS_NORM_WEIGHT], &w));
  rows_job j = {.all = {.G = 1, .L = 1, .eps = x->dtype == SQ_F32 ? FLT_EPSILON : DBL_EPSILON}};
  if (c->arg[RMS_NORM_EPS].kind != SQ_ARG_NIL) j.all.eps = c->arg[RMS_NORM_EPS].number;
  cut_last_dims(c, &j);
  SQ_TRY(new_doubles(j.all.N, &rstd));
  SQ_TRY(sq_tensor_new_like(x, x->dtype, &y));
  set_tiles(&j, x->dtype);
  j.all.x = sq_data(x), j.all.w = sq__data_or_null(w), j.all.y = sq_data(y),
  j.all.rstd = sq_data(rstd);
  SQ_TRY(run_rows(&j, rms_tile));
  SQ_TRY(sq__save(c, ROWS_X, x));
  SQ_TRY(sq__save(c, ROWS_W, w));
  SQ_TRY(sq__save(c, ROWS_RSTD, rstd));
  SQ_SAVE_VALUES(c, extent, j.all.N, j.all.G, j.all.D, j.all.L, j.all.eps);
  c->out[0] = sq_tensor_give(&y);
  return SQ_OK;
}

static sq_status rms_norm_backward(sq_back *b) {
  const extent *v = sq__values(b);
  rows_job j = {.all = {.N = v->N, .G = v->G, .D = v->D, .L = v->L}};
  SQ_OWN sq_tensor *g = NULL, *dx = NULL, *dw = NULL;
  sq_tensor *x = sq__saved(b, ROWS_X);
  set_tiles(&j, x->dtype);
  SQ_TRY(sq_tensor_contiguous(b->dy[0], &g));
  if (sq__needs(b, IN_X)) SQ_TRY(sq_tensor_new_like(x, x->dtype, &dx));
  SQ_TRY(new_doubles(tiles_of(&j) * j.all.D, &dw));
  j.all.g = sq_data(g), j.all.x = sq_data(x), j.all.w = sq__data_or_null(sq__saved(b, ROWS_W));
  j.all.rstd = sq_data(sq__saved(b, ROWS_RSTD)), j.all.dx = sq__data_or_null(dx),
  j.all.dw = sq_data(dw);
  SQ_TRY(run_rows(&j, rms_tile_back));
  SQ_TRY(give_sums(b, &j, IN_RMS_NORM_WEIGHT, j.all.dw));
  b->dx[IN_X] = sq_tensor_give(&dx);
  return SQ_OK;
}

static void rms_norm_compose(sq_again *r, sq_tensor **y) { norm_rows_compose(r, y, over_root, -1); }
const sq_op_impl sq__op_rms_norm = {.forward = rms_norm_forward,
                                    .backward = rms_norm_backward,
                                    .compose = rms_norm_compose,
                                    .functional = true};

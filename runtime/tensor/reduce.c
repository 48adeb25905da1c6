/* reduce.c: reductions. Long sums are cut into blocks of fixed size whose sums are added in
 * order. */
#include "tensor/reduce.h"

#include <math.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "kernels/kern.h"
#include "tensor/view.h"

static unsigned all_dims(int ndim) { return ndim == 0 ? 0 : (1u << ndim) - 1; }

/* True when the bits of the mask are neighbours. */
static bool are_neighbours(unsigned mask) {
  unsigned low = mask & (0u - mask);
  return ((mask + low) & mask) == 0;
}

static void result_shape(const sq_tensor *t, unsigned mask, bool keepdim, sq_fold *f) {
  f->ndim = 0;
  for (int i = 0; i < t->ndim; i++) {
    bool reduced = mask >> i & 1;
    if (!reduced || keepdim) f->shape[f->ndim++] = reduced ? 1 : t->shape[i];
  }
}

sq_status sq_fold_dims(sq_tensor *t, unsigned mask, bool keepdim, sq_fold *f) {
  if (mask == 0) mask = all_dims(t->ndim);
  result_shape(t, mask, keepdim, f);
  SQ_OWN sq_tensor *sorted = NULL;
  if (are_neighbours(mask)) {
    sorted = sq_tensor_keep(t);
  } else {
    int order[SQ_MAX_DIMS], n = 0;
    unsigned moved = 0;
    for (int i = 0; i < t->ndim; i++)
      if (!(mask >> i & 1)) order[n++] = i;
    for (int i = 0; i < t->ndim; i++)
      if (mask >> i & 1) moved |= 1u << n, order[n++] = i;
    SQ_TRY(sq_permute(t, order, &sorted));
    mask = moved;
  }
  f->outer = f->R = f->inner = 1;
  for (int i = 0; i < t->ndim; i++) {
    bool before = (mask >> i) > 1 && !(mask >> i & 1);
    *(mask >> i & 1 ? &f->R : before ? &f->outer : &f->inner) *= sorted->shape[i];
  }
  return sq_tensor_contiguous(sorted, &f->x);
}

/* y (outer,inner) = the sums of x (outer,R,inner), cut in one of three ways. */
typedef struct sum_job {
  const sq_kern *kern, *y_kern;
  const char *x;
  char *y;
  size_t size, y_size;          /* of an element: whole numbers add in int64, whatever x is */
  int64_t outer, R, inner, cut; /* the cut: how much of one of the three a tile takes */
} sum_job;

/* n outer positions from o on, R rows from r on, `columns` columns from j on, into row `to` of y.
 */
static void sum_part(const sum_job *s, int64_t o, int64_t n, int64_t r, int64_t R, int64_t j,
                     int64_t columns, int64_t to) {
  s->kern->sum(n, R, columns, s->inner, s->x + (size_t)((o * s->R + r) * s->inner + j) * s->size,
               s->y + (size_t)(to * s->inner + j) * s->y_size);
}

static void groups_tile(int64_t tile, void *context) {
  const sum_job *s = context;
  int64_t o = tile * s->cut;
  sum_part(s, o, sq_tile_size(s->outer, s->cut, tile), 0, s->R, 0, s->inner, o);
}

static void columns_tile(int64_t tile, void *context) {
  const sum_job *s = context;
  int64_t across = sq_tiles(s->inner, s->cut), o = tile / across, at = tile % across;
  sum_part(s, o, 1, 0, s->R, at * s->cut, sq_tile_size(s->inner, s->cut, at), o);
}

static void blocks_tile(int64_t tile, void *context) {
  const sum_job *s = context;
  int64_t blocks = sq_tiles(s->R, s->cut), o = tile / blocks, at = tile % blocks;
  sum_part(s, o, 1, at * s->cut, sq_tile_size(s->R, s->cut, at), 0, s->inner, tile);
}

static sq_status sum_folded(sum_job *s);

/* R is cut into blocks of two rows or more; their sums, at most half of x, are summed again. */
static sq_status sum_blocks(sum_job *s) {
  int64_t blocks;
  void *partial;
  s->cut = SQ_BLOCK / s->inner;
  blocks = sq_tiles(s->R, s->cut);
  SQ_TRY(sq_alloc(s->outer * blocks * s->inner * (int64_t)s->y_size, &partial));
  sum_job first = *s, rest = *s;
  first.y = partial, rest.x = partial, rest.R = blocks;
  rest.kern = s->y_kern, rest.size = s->y_size;
  sq_parallel(s->outer * blocks, s->outer * s->R * s->inner / 2, blocks_tile, &first);
  sq_status st = sum_folded(&rest);
  sq_free(partial);
  return st;
}

/* A group is what stands behind one outer position: a small one is summed with its neighbours, of
 * a large one the rows are cut, or the columns where a row alone is long. */
static sq_status sum_folded(sum_job *s) {
  int64_t group = s->R * s->inner, work = s->outer * group / 2;
  bool large = group > 2 * SQ_BLOCK && s->R > 1;
  if (large && s->inner <= SQ_BLOCK / 2) return sum_blocks(s);
  if (large) {
    s->cut = SQ_BLOCK / s->R > SQ_LEAST_COLUMNS ? SQ_BLOCK / s->R : SQ_LEAST_COLUMNS;
    sq_parallel(s->outer * sq_tiles(s->inner, s->cut), work, columns_tile, s);
  } else {
    s->cut = sq_per_tile(group, SQ_BLOCK);
    sq_parallel(sq_tiles(s->outer, s->cut), work, groups_tile, s);
  }
  return sq_interrupt_check();
}

sq_status sq_sum(sq_tensor *t, unsigned mask, bool keepdim, sq_tensor **out) {
  SQ_OWN sq_tensor *y = NULL, *x = NULL;
  sq_dtype wide = sq_is_float(t->dtype) ? t->dtype : SQ_I64;
  sq_fold f;
  SQ_TRY(sq_fold_dims(t, mask, keepdim, &f));
  x = f.x;
  SQ_TRY(sq_tensor_new(wide, f.ndim, f.shape, &y));
  sum_job s = {.kern = sq_kern_of(t->dtype), .size = sq_dtype_size(t->dtype)};
  s.y_kern = sq_kern_of(wide), s.y_size = sq_dtype_size(wide);
  s.x = sq_data(x), s.y = sq_data(y), s.outer = f.outer, s.R = f.R, s.inner = f.inner;
  SQ_TRY(sum_folded(&s));
  *out = sq_tensor_give(&y);
  return SQ_OK;
}

sq_status sq_sum_to(sq_tensor *t, int ndim, const int64_t *shape, sq_tensor **out) {
  if (sq_shape_equal(t->ndim, t->shape, ndim, shape)) {
    *out = sq_tensor_keep(t);
    return SQ_OK;
  }
  unsigned mask = 0;
  int skip = t->ndim - ndim;
  for (int i = 0; i < t->ndim; i++) {
    if (i < skip || (shape[i - skip] == 1 && t->shape[i] != 1)) mask |= 1u << i;
  }
  if (mask == 0) return sq_reshape(t, ndim, shape, out);
  SQ_OWN sq_tensor *sum = NULL;
  SQ_TRY(sq_sum(t, mask, true, &sum));
  return sq_reshape(sum, ndim, shape, out);
}

typedef struct sumsq_job {
  const sq_kern *kern;
  const char *x;
  double *partial;
  size_t size;
  int64_t n;
} sumsq_job;

static void sumsq_tile(int64_t tile, void *context) {
  const sumsq_job *s = context;
  int64_t first = tile * SQ_BLOCK, n = sq_tile_size(s->n, SQ_BLOCK, tile);
  s->kern->sumsq(n, s->x + (size_t)first * s->size, s->partial + tile);
}

sq_status sq_sumsq(sq_tensor *t, double *out) {
  if (!sq_is_float(t->dtype)) {
    return sq_fail(SQ_ETYPE, "[norm] x is %s: it must be float32 or float64",
                   sq_dtype_name(t->dtype));
  }
  SQ_OWN sq_tensor *flat = NULL;
  SQ_TRY(sq_tensor_contiguous(t, &flat));
  int64_t tiles = sq_tiles(t->numel, SQ_BLOCK);
  void *partial;
  SQ_TRY(sq_alloc_zero(tiles * (int64_t)sizeof(double), &partial));
  sumsq_job s = {sq_kern_of(t->dtype), sq_data(flat), partial, sq_dtype_size(t->dtype), t->numel};
  sq_parallel(tiles, t->numel / 2, sumsq_tile, &s);
  double sum = 0;
  for (int64_t i = 0; i < tiles; i++) sum += s.partial[i];
  sq_free(partial);
  *out = sum;
  return sq_interrupt_check();
}

/* --- other reductions: tiles of whole groups ------------------------------------------------ */

/* A kernel over (outer,R,inner), cut along outer. */
typedef struct group_job {
  const sq_kern *kern;
  int kind;
  size_t size, y_size; /* of an element */
  int64_t outer, R, inner, per_tile;
  double correction;
  const char *x, *x2;
  char *y, *y2;
} group_job;

static sq_status run_groups(group_job *g, sq_tile_fn *tile) {
  int64_t group = g->R * g->inner;
  g->per_tile = sq_per_tile(group, SQ_BLOCK);
  if (g->outer * g->inner > 0)
    sq_parallel(sq_tiles(g->outer, g->per_tile), 2 * g->outer * group, tile, g);
  return sq_interrupt_check();
}

/* The part of a job that a tile does. */
static group_job reduction_tile(const group_job *all, int64_t tile, size_t y2_size) {
  group_job g = *all;
  int64_t first = tile * g.per_tile, in = first * g.R * g.inner, out = first * g.inner;
  g.outer = sq_tile_size(g.outer, g.per_tile, tile);
  g.x += (size_t)in * g.size;
  if (g.x2) g.x2 += (size_t)in * g.size;
  g.y += (size_t)out * g.y_size;
  if (g.y2) g.y2 += (size_t)out * y2_size;
  return g;
}

static void reduce_tile(int64_t tile, void *context) {
  group_job g = reduction_tile(context, tile, sizeof(int64_t));
  int64_t *where = (int64_t *)(void *)g.y2;
  switch ((sq_reduction)g.kind) {
    case SQ_REDUCE_MAX:
      g.kern->max(g.outer, g.R, g.inner, g.x, g.y, where);
      break;
    case SQ_REDUCE_MIN:
      g.kern->min(g.outer, g.R, g.inner, g.x, g.y, where);
      break;
    case SQ_REDUCE_PROD:
      g.kern->prod(g.outer, g.R, g.inner, g.x, g.y);
      break;
    case SQ_REDUCE_LOGSUMEXP:
      g.kern->logsumexp(g.outer, g.R, g.inner, g.x, g.y);
      break;
  }
}

static sq_status check_reduction(const char *what, sq_reduction kind, const sq_tensor *t) {
  if (kind != SQ_REDUCE_LOGSUMEXP || sq_is_float(t->dtype)) return SQ_OK;
  return sq_fail(SQ_ETYPE, "[%s] x is %s: it must be float32 or float64", what,
                 sq_dtype_name(t->dtype));
}

/* Fills y of an empty reduction: nothing to choose from is an error, unless y is empty too. */
static sq_status reduce_nothing(const char *what, sq_reduction kind, const sq_tensor *t,
                                sq_tensor *y) {
  if (y->numel == 0) return SQ_OK;
  if (kind == SQ_REDUCE_PROD) return sq_tensor_fill(y, 1);
  if (kind == SQ_REDUCE_LOGSUMEXP) return sq_tensor_fill(y, -INFINITY);
  return sq_fail(SQ_ESHAPE, "[%s] x is %s: there is no element to choose", what,
                 sq_tensor_shape_text(t, SQ_SHAPE_BUF));
}

sq_status sq_reduce(const char *what, sq_reduction kind, sq_tensor *t, unsigned mask, bool keepdim,
                    sq_tensor **out, sq_tensor **where) {
  SQ_TRY(check_reduction(what, kind, t));
  SQ_OWN sq_tensor *y = NULL, *at = NULL, *x = NULL;
  bool whole = kind == SQ_REDUCE_PROD && !sq_is_float(t->dtype);
  sq_fold f;
  SQ_TRY(sq_fold_dims(t, mask, keepdim, &f));
  x = f.x;
  SQ_TRY(sq_tensor_new(whole ? SQ_I64 : x->dtype, f.ndim, f.shape, &y));
  if (where) SQ_TRY(sq_tensor_new(SQ_I64, f.ndim, f.shape, &at));
  if (f.R == 0) {
    SQ_TRY(reduce_nothing(what, kind, t, y));
  } else {
    group_job g = {
        .kern = sq_kern_of(x->dtype), .kind = (int)kind, .size = sq_dtype_size(x->dtype)};
    g.outer = f.outer, g.R = f.R, g.inner = f.inner, g.y_size = sq_dtype_size(y->dtype);
    g.x = sq_data(x), g.y = sq_data(y), g.y2 = where ? sq_data(at) : NULL;
    SQ_TRY(run_groups(&g, reduce_tile));
  }
  *out = sq_tensor_give(&y);
  if (where) *where = sq_tensor_give(&at);
  return SQ_OK;
}

static void variance_tile(int64_t tile, void *context) {
  group_job g = reduction_tile(context, tile, ((group_job *)context)->size);
  g.kern->variance(g.outer, g.R, g.inner, g.correction, g.x, g.y2, g.y);
}

sq_status sq_variance(const char *what, sq_tensor *t, unsigned mask, bool keepdim,
                      double correction, sq_tensor **mean, sq_tensor **var) {
  SQ_TRY(check_reduction(what, SQ_REDUCE_LOGSUMEXP, t));
  SQ_OWN sq_tensor *y = NULL, *m = NULL, *x = NULL;
  sq_fold f;
  SQ_TRY(sq_fold_dims(t, mask, keepdim, &f));
  x = f.x;
  SQ_TRY(sq_tensor_full(x->dtype, f.ndim, f.shape, NAN, &y));
  SQ_TRY(sq_tensor_full(x->dtype, f.ndim, f.shape, NAN, &m));
  group_job g = {.kern = sq_kern_of(x->dtype), .size = sq_dtype_size(x->dtype)};
  g.y_size = g.size, g.outer = f.outer, g.R = f.R, g.inner = f.inner, g.correction = correction;
  g.x = sq_data(x), g.y = sq_data(y), g.y2 = sq_data(m);
  if (f.R > 0) SQ_TRY(run_groups(&g, variance_tile));
  *mean = sq_tensor_give(&m);
  *var = sq_tensor_give(&y);
  return SQ_OK;
}

static void along_tile(int64_t tile, void *context) {
  const group_job *all = context;
  int64_t first = tile * all->per_tile, n = sq_tile_size(all->outer, all->per_tile, tile);
  int64_t R = all->R, inner = all->inner;
  int64_t skip = first * R * inner;
  const char *x = all->x + (size_t)skip * all->size;
  const char *x2 = all->x2 ? all->x2 + (size_t)skip * all->size : NULL;
  char *y = all->y + (size_t)skip * all->y_size;
  switch ((sq_along)all->kind) {
    case SQ_ALONG_SOFTMAX:
      all->kern->softmax(n, R, inner, x, y);
      break;
    case SQ_ALONG_SOFTMAX_BACK:
      all->kern->softmax_back(n, R, inner, x, x2, y);
      break;
    case SQ_ALONG_LOG_SOFTMAX:
      all->kern->log_softmax(n, R, inner, x, y);
      break;
    case SQ_ALONG_LOG_SOFTMAX_BACK:
      all->kern->log_softmax_back(n, R, inner, x, x2, y);
      break;
    case SQ_ALONG_CUMSUM:
      all->kern->cumsum(n, R, inner, false, x, y);
      break;
    case SQ_ALONG_CUMSUM_BACK:
      all->kern->cumsum(n, R, inner, true, x, y);
      break;
    case SQ_ALONG_OTHERS:
      all->kern->prod_others(n, R, inner, x, y);
      break;
  }
}

sq_status sq_along_dim(sq_along kind, sq_tensor *const *in, int dim, sq_tensor **out) {
  SQ_OWN sq_tensor *x = NULL, *x2 = NULL, *y = NULL;
  bool two = kind == SQ_ALONG_SOFTMAX_BACK || kind == SQ_ALONG_LOG_SOFTMAX_BACK;
  SQ_TRY(sq_tensor_contiguous(in[0], &x));
  if (two) SQ_TRY(sq_tensor_contiguous(in[1], &x2));
  SQ_TRY(sq_tensor_new_like(x, sq_is_float(x->dtype) ? x->dtype : SQ_I64, &y));
  group_job g = {.kern = sq_kern_of(x->dtype), .kind = (int)kind, .size = sq_dtype_size(x->dtype)};
  g.y_size = sq_dtype_size(y->dtype);
  g.outer = g.R = g.inner = 1;
  for (int i = 0; i < x->ndim; i++)
    *(i < dim ? &g.outer : i == dim ? &g.R : &g.inner) *= x->shape[i];
  g.x = sq_data(x), g.x2 = two ? sq_data(x2) : NULL, g.y = sq_data(y);
  if (g.R > 0) SQ_TRY(run_groups(&g, along_tile));
  *out = sq_tensor_give(&y);
  return SQ_OK;
}

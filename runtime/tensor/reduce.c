/* reduce.c: reductions. Long sums are cut into blocks of fixed size whose sums are added in order.
 */
#include "tensor/reduce.h"

#include "base/mem.h"
#include "base/parallel.h"
#include "kernels/kern.h"
#include "tensor/view.h"

enum { BLOCK = 32768 };

static unsigned all_dims(int ndim) { return ndim == 0 ? 0 : (1u << ndim) - 1; }

/* True when the bits of the mask are neighbours. */
static bool neighbours(unsigned mask) {
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
  if (neighbours(mask)) {
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

/* A sum cut twice: R into blocks, and (outer, block) into tiles. */
typedef struct sum_job {
  const sq_kern *kern;
  const char *x;
  char *y;
  size_t size;
  int64_t outer, R, inner, blocks, per_block, per_tile;
} sum_job;

static void sum_one(const sum_job *s, int64_t o, int64_t block) {
  int64_t first = block * s->per_block;
  int64_t n = s->R - first < s->per_block ? s->R - first : s->per_block;
  s->kern->sum(1, n, s->inner, s->x + (size_t)((o * s->R + first) * s->inner) * s->size,
               s->y + (size_t)((o * s->blocks + block) * s->inner) * s->size);
}

static void sum_tile(int64_t tile, void *context) {
  const sum_job *s = context;
  if (s->blocks > 1) {
    sum_one(s, tile / s->blocks, tile % s->blocks);
    return;
  }
  int64_t first = tile * s->per_tile;
  int64_t n = s->outer - first < s->per_tile ? s->outer - first : s->per_tile;
  s->kern->sum(n, s->R, s->inner, s->x + (size_t)(first * s->R * s->inner) * s->size,
               s->y + (size_t)(first * s->inner) * s->size);
}

/* y (outer,inner) = the sum of x (outer,R,inner) over R. */
static sq_status sum_folded(sq_dtype dtype, const void *x, int64_t outer, int64_t R, int64_t inner,
                            void *y) {
  sum_job s = {sq_kern_of(dtype), x, y, sq_dtype_size(dtype), outer, R, inner, 1, R, 1};
  int64_t group = R * inner; /* elements behind one outer position */
  void *partial = NULL;
  if (group > 2 * BLOCK && R > 1) {
    s.per_block = inner >= BLOCK ? 1 : BLOCK / inner;
    s.blocks = (R + s.per_block - 1) / s.per_block;
    SQ_TRY(sq_alloc(outer * s.blocks * inner * (int64_t)s.size, &partial));
    s.y = partial;
    sq_parallel(outer * s.blocks, outer * group / 2, sum_tile, &s);
    sq_status st = sum_folded(dtype, partial, outer, s.blocks, inner, y);
    sq_free(partial);
    SQ_TRY(st);
    return sq_interrupt_check();
  }
  s.per_tile = group >= BLOCK || group == 0 ? 1 : BLOCK / group;
  if (group == 0) s.per_tile = outer > 0 ? outer : 1;
  sq_parallel((outer + s.per_tile - 1) / s.per_tile, outer * group / 2, sum_tile, &s);
  return sq_interrupt_check();
}

sq_status sq_sum(sq_tensor *t, unsigned mask, bool keepdim, sq_tensor **out) {
  SQ_OWN sq_tensor *wide = NULL, *y = NULL;
  SQ_TRY(sq_tensor_cast(t, sq_is_float(t->dtype) ? t->dtype : SQ_I64, &wide));
  sq_fold f;
  SQ_TRY(sq_fold_dims(wide, mask, keepdim, &f));
  sq_status st = sq_tensor_new(wide->dtype, f.ndim, f.shape, &y);
  if (st == SQ_OK) st = sum_folded(wide->dtype, sq_data(f.x), f.outer, f.R, f.inner, sq_data(y));
  sq_tensor_drop(f.x);
  if (st == SQ_OK) *out = sq_tensor_give(&y);
  return st;
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
  int64_t first = tile * BLOCK;
  int64_t n = s->n - first < BLOCK ? s->n - first : BLOCK;
  s->kern->sumsq(n, s->x + (size_t)first * s->size, s->partial + tile);
}

sq_status sq_sumsq(sq_tensor *t, double *out) {
  if (!sq_is_float(t->dtype)) {
    return sq_fail(SQ_ETYPE, "[norm] x is %s: it must be float32 or float64",
                   sq_dtype_name(t->dtype));
  }
  SQ_OWN sq_tensor *flat = NULL;
  SQ_TRY(sq_tensor_contiguous(t, &flat));
  int64_t tiles = (t->numel + BLOCK - 1) / BLOCK;
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

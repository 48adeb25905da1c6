/* where.c: a choice between two tensors, element by element. Its condition is of another type, so
 * it is no kernel of map.c. */
#include "base/limits.h"
#include "base/parallel.h"
#include "tensor/map.h"
#include "tensor/view.h"

/* Tiles are runs of SQ_TILE elements of the three, laid out alike. */
typedef struct where_job {
  const sq_kern *kern;
  const sq_tensor *c, *a, *b;
  sq_tensor *y;
} where_job;

static void where_tile(int64_t tile, void *context) {
  const where_job *w = context;
  int64_t first = tile * SQ_TILE;
  int64_t n = sq_tile_size(w->y->numel, SQ_TILE, tile);
  size_t size = sq_dtype_size(w->y->dtype);
  w->kern->where(n, (const uint8_t *)sq_data(w->c) + first, 1,
                 (const char *)sq_data(w->a) + (size_t)first * size, 1,
                 (const char *)sq_data(w->b) + (size_t)first * size, 1,
                 (char *)sq_data(w->y) + (size_t)first * size);
}

sq_status sq_where(sq_tensor *c, sq_tensor *a, sq_tensor *b, sq_tensor **out) {
  if (c->dtype != SQ_BOOL) {
    return sq_fail(SQ_ETYPE, "[where] the condition is %s: it must be bool",
                   sq_dtype_name(c->dtype));
  }
  if (a->dtype != b->dtype) {
    return sq_fail(SQ_ETYPE, "[where] a is %s, b is %s: convert one with :to(dtype)",
                   sq_dtype_name(a->dtype), sq_dtype_name(b->dtype));
  }
  int ndim;
  int64_t shape[SQ_MAX_DIMS];
  SQ_TRY(sq_shape_broadcast("where", a->ndim, a->shape, b->ndim, b->shape, &ndim, shape));
  SQ_TRY(sq_shape_broadcast("where", ndim, shape, c->ndim, c->shape, &ndim, shape));
  SQ_OWN sq_tensor *y = NULL, *cf = NULL, *af = NULL, *bf = NULL;
  SQ_TRY(sq_tensor_new(a->dtype, ndim, shape, &y));
  SQ_TRY(sq_expand_contiguous(c, ndim, shape, &cf));
  SQ_TRY(sq_expand_contiguous(a, ndim, shape, &af));
  SQ_TRY(sq_expand_contiguous(b, ndim, shape, &bf));
  where_job w = {sq_kern_of(a->dtype), cf, af, bf, y};
  sq_parallel(sq_tiles(y->numel, SQ_TILE), y->numel, where_tile, &w);
  SQ_TRY(sq_interrupt_check());
  *out = sq_tensor_give(&y);
  return SQ_OK;
}

/* pick.c: index tensors and masks as places. A tensor in a key gives numbers within the dims it
 * picks from, as places of its own; those of several are joined as digits of one number are. */
#include "tensor/pick.h"

#include <inttypes.h>

#include "tensor/gather.h"
#include "tensor/view.h"

int sq_pick_dims(const sq_tensor *by) {
  return by->dtype == SQ_BOOL && by->ndim > 1 ? by->ndim : 1;
}

static sq_status read_mask(const char *what, const sq_tensor *t, int dim, sq_tensor *mask,
                           sq_tensor **out) {
  if (mask->ndim == 0 || dim + mask->ndim > t->ndim ||
      !sq_shape_equal(mask->ndim, mask->shape, mask->ndim, t->shape + dim)) {
    return sq_fail(
        SQ_ESHAPE, "[%s] the mask is %s, x is %s: a mask has the sizes of the dims it picks from",
        what, sq_tensor_shape_text(mask, SQ_SHAPE_BUF), sq_tensor_shape_text(t, SQ_SHAPE_BUF));
  }
  return sq_nonzero(mask, out);
}

static sq_status read_indices(const char *what, const sq_tensor *t, int dim, sq_tensor *index,
                              sq_tensor **out) {
  if (dim >= t->ndim) {
    return sq_fail(SQ_ESHAPE, "[%s] more indices than x %s has dims", what,
                   sq_tensor_shape_text(t, SQ_SHAPE_BUF));
  }
  SQ_OWN sq_tensor *own = NULL;
  SQ_TRY(sq_tensor_clone(index, &own));
  int64_t *v = sq_data(own), size = t->shape[dim];
  for (int64_t i = 0; i < own->numel; i++) {
    if (v[i] < -size || v[i] >= size) {
      return sq_fail(SQ_EARG,
                     "[%s] index %" PRId64
                     " (a tensor's content counts from 0) is out of range: dim %d of x %s has size "
                     "%" PRId64,
                     what, v[i], dim + 1, sq_tensor_shape_text(t, SQ_SHAPE_BUF), size);
    }
    if (v[i] < 0) v[i] += size;
  }
  *out = sq_tensor_give(&own);
  return SQ_OK;
}

/* The places of one tensor within the dims it picks from. [new] */
static sq_status places_of(const char *what, const sq_tensor *t, int dim, sq_tensor *by,
                           sq_tensor **out) {
  if (by->dtype == SQ_BOOL) return read_mask(what, t, dim, by, out);
  if (by->dtype == SQ_I64) return read_indices(what, t, dim, by, out);
  return sq_fail(SQ_ETYPE,
                 "[%s] a %s tensor can't be an index: it must be int64 (indices from 0) or bool (a "
                 "mask)",
                 what, sq_dtype_name(by->dtype));
}

/* *places = *places size + more, broadcast. */
static sq_status join_places(const char *what, int64_t size, sq_tensor *more, sq_tensor **places) {
  int ndim;
  int64_t shape[SQ_MAX_DIMS];
  SQ_OWN sq_tensor *a = NULL, *b = NULL, *y = NULL;
  SQ_TRY(sq_shape_broadcast(what, (*places)->ndim, (*places)->shape, more->ndim, more->shape, &ndim,
                            shape));
  SQ_TRY(sq_expand_contiguous(*places, ndim, shape, &a));
  SQ_TRY(sq_expand_contiguous(more, ndim, shape, &b));
  SQ_TRY(sq_tensor_new(SQ_I64, ndim, shape, &y));
  const int64_t *high = sq_data(a), *low = sq_data(b);
  int64_t *to = sq_data(y);
  for (int64_t i = 0; i < y->numel; i++) to[i] = high[i] * size + low[i];
  sq_tensor_drop(*places);
  *places = sq_tensor_give(&y);
  return SQ_OK;
}

sq_status sq_read_pick(const char *what, const sq_tensor *t, int n, sq_tensor *const *by,
                       const int *dim, sq_pick *pick, sq_tensor **places) {
  SQ_OWN sq_tensor *all = NULL;
  *pick = (sq_pick){.size = 1};
  for (int i = 0; i < n; i++) {
    SQ_OWN sq_tensor *one = NULL;
    SQ_TRY(places_of(what, t, dim[i], by[i], &one));
    int64_t size = 1;
    for (int k = 0; k < sq_pick_dims(by[i]); k++) size *= t->shape[dim[i] + k];
    pick->dims += sq_pick_dims(by[i]);
    pick->size *= size;
    if (all) {
      SQ_TRY(join_places(what, size, one, &all));
    } else {
      all = sq_tensor_give(&one);
    }
  }
  pick->ndim = all->ndim;
  for (int i = 0; i < all->ndim; i++) pick->shape[i] = all->shape[i];
  return sq_view(all, 1, &all->numel, places);
}

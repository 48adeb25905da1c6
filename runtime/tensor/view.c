/* view.c: other windows on the same storage. */
#include "tensor/view.h"

#include <inttypes.h>

sq_status sq_infer_shape(const char *what, const sq_tensor *t, int ndim, const int64_t *shape,
                         int64_t *full) {
  if (ndim > SQ_MAX_DIMS)
    return sq_fail(SQ_ESHAPE, "[%s] %d dims: a tensor has at most %d", what, ndim, SQ_MAX_DIMS);
  int64_t known = 1;
  int open = -1;
  for (int i = 0; i < ndim; i++) {
    full[i] = shape[i];
    if (shape[i] == -1 && open < 0) {
      open = i;
    } else if (shape[i] < 0) {
      return sq_fail(SQ_ESHAPE,
                     "[%s] size %" PRId64 " of dim %d: only one size may be -1, none below", what,
                     shape[i], i + 1);
    } else {
      SQ_TRY(sq_size_mul(known, shape[i], &known));
    }
  }
  if (open >= 0 && known > 0 && t->numel % known == 0) full[open] = t->numel / known;
  bool fits = open < 0 ? known == t->numel : known > 0 && t->numel % known == 0;
  if (!fits) {
    return sq_fail(SQ_ESHAPE, "[%s] x is %s with %" PRId64 " elements: it can't become %s", what,
                   sq_tensor_shape_text(t, SQ_SHAPE_BUF), t->numel,
                   sq_shape_text(ndim, shape, SQ_SHAPE_BUF));
  }
  return SQ_OK;
}

/* Strides of the new shape over the same storage, or false. Each new dim must lie inside a run of
 * old dims that are walked without a step. */
static bool view_strides(const sq_tensor *t, int ndim, const int64_t *shape, int64_t *stride) {
  if (t->numel == 0) {
    sq_shape_strides(ndim, shape, stride);
    return true;
  }
  int old = t->ndim - 1, to = ndim - 1;
  while (old >= 0 || to >= 0) {
    int64_t run = 1, step = 1;
    while (old >= 0 && t->shape[old] == 1) old--;
    if (old >= 0) {
      step = t->stride[old];
      run = t->shape[old--];
      while (old >= 0 && (t->shape[old] == 1 || t->stride[old] == step * run))
        run *= t->shape[old--];
    }
    int64_t left = run;
    while (to >= 0 && left % shape[to] == 0 && (left > 1 || shape[to] == 1)) {
      stride[to] = step;
      step *= shape[to];
      left /= shape[to--];
    }
    if (left != 1) return false;
    if (old < 0 && to >= 0 && shape[to] != 1) return false;
  }
  return true;
}

sq_status sq_view(sq_tensor *t, int ndim, const int64_t *shape, sq_tensor **out) {
  int64_t full[SQ_MAX_DIMS], stride[SQ_MAX_DIMS];
  SQ_TRY(sq_infer_shape("view", t, ndim, shape, full));
  if (!view_strides(t, ndim, full, stride)) {
    return sq_fail(SQ_ESHAPE,
                   "[view] x is %s and not contiguous: a view as %s is not possible, use reshape",
                   sq_tensor_shape_text(t, SQ_SHAPE_BUF), sq_shape_text(ndim, full, SQ_SHAPE_BUF));
  }
  return sq_tensor_window(t, ndim, full, stride, t->offset, out);
}

sq_status sq_reshape(sq_tensor *t, int ndim, const int64_t *shape, sq_tensor **out) {
  int64_t full[SQ_MAX_DIMS], stride[SQ_MAX_DIMS];
  SQ_TRY(sq_infer_shape("reshape", t, ndim, shape, full));
  if (view_strides(t, ndim, full, stride))
    return sq_tensor_window(t, ndim, full, stride, t->offset, out);
  SQ_OWN sq_tensor *copy = NULL;
  SQ_TRY(sq_tensor_clone(t, &copy));
  return sq_view(copy, ndim, full, out);
}

sq_status sq_transpose(sq_tensor *t, int a, int b, sq_tensor **out) {
  int order[SQ_MAX_DIMS];
  for (int i = 0; i < t->ndim; i++) order[i] = i == a ? b : i == b ? a : i;
  return sq_permute(t, order, out);
}

sq_status sq_permute(sq_tensor *t, const int *order, sq_tensor **out) {
  int64_t shape[SQ_MAX_DIMS], stride[SQ_MAX_DIMS];
  unsigned seen = 0;
  for (int i = 0; i < t->ndim; i++) {
    if (order[i] < 0 || order[i] >= t->ndim || seen >> order[i] & 1) {
      return sq_fail(SQ_ESHAPE, "[permute] the dims must name each of the %d dims once", t->ndim);
    }
    seen |= 1u << order[i];
    shape[i] = t->shape[order[i]];
    stride[i] = t->stride[order[i]];
  }
  return sq_tensor_window(t, t->ndim, shape, stride, t->offset, out);
}

sq_status sq_select(sq_tensor *t, int dim, int64_t at, sq_tensor **out) {
  int64_t shape[SQ_MAX_DIMS], stride[SQ_MAX_DIMS];
  int n = 0;
  for (int i = 0; i < t->ndim; i++) {
    if (i == dim) continue;
    shape[n] = t->shape[i];
    stride[n++] = t->stride[i];
  }
  return sq_tensor_window(t, n, shape, stride, t->offset + at * t->stride[dim], out);
}

sq_status sq_narrow(sq_tensor *t, int dim, int64_t start, int64_t length, int64_t step,
                    sq_tensor **out) {
  SQ_TRY(
      sq_tensor_window(t, t->ndim, t->shape, t->stride, t->offset + start * t->stride[dim], out));
  sq_tensor *v = *out;
  v->shape[dim] = length;
  v->stride[dim] *= step;
  v->numel = 1;
  for (int i = 0; i < v->ndim; i++) v->numel *= v->shape[i];
  return SQ_OK;
}

sq_status sq_unsqueeze(sq_tensor *t, int dim, sq_tensor **out) {
  if (t->ndim == SQ_MAX_DIMS) {
    return sq_fail(SQ_ESHAPE, "[unsqueeze] x is %s: a tensor has at most %d dims",
                   sq_tensor_shape_text(t, SQ_SHAPE_BUF), (int)SQ_MAX_DIMS);
  }
  int64_t shape[SQ_MAX_DIMS], stride[SQ_MAX_DIMS];
  for (int i = 0, from = 0; i <= t->ndim; i++) {
    shape[i] = i == dim ? 1 : t->shape[from];
    stride[i] =
        i == dim ? (from < t->ndim ? t->shape[from] * t->stride[from] : 1) : t->stride[from];
    if (i != dim) from++;
  }
  return sq_tensor_window(t, t->ndim + 1, shape, stride, t->offset, out);
}

sq_status sq_squeeze(sq_tensor *t, unsigned mask, sq_tensor **out) {
  int64_t shape[SQ_MAX_DIMS], stride[SQ_MAX_DIMS];
  int n = 0;
  for (int i = 0; i < t->ndim; i++) {
    if (t->shape[i] == 1 && (mask >> i & 1)) continue;
    shape[n] = t->shape[i];
    stride[n++] = t->stride[i];
  }
  return sq_tensor_window(t, n, shape, stride, t->offset, out);
}

sq_status sq_expand(sq_tensor *t, int ndim, const int64_t *shape, sq_tensor **out) {
  int64_t full[SQ_MAX_DIMS], stride[SQ_MAX_DIMS], numel;
  int skip = ndim - t->ndim;
  bool fits = skip >= 0 && ndim <= SQ_MAX_DIMS;
  for (int i = 0; fits && i < ndim; i++) {
    int64_t have = i < skip ? 1 : t->shape[i - skip];
    full[i] = shape[i] == -1 && i >= skip ? have : shape[i];
    fits = full[i] >= 0 && (full[i] == have || have == 1);
    stride[i] = 0;
    if (i >= skip && have == full[i]) stride[i] = t->stride[i - skip];
  }
  if (!fits) {
    return sq_fail(SQ_ESHAPE, "[expand] x is %s: it does not expand to %s",
                   sq_tensor_shape_text(t, SQ_SHAPE_BUF),
                   sq_shape_text(ndim < SQ_MAX_DIMS ? ndim : SQ_MAX_DIMS, shape, SQ_SHAPE_BUF));
  }
  SQ_TRY(sq_shape_numel("expand", ndim, full, &numel));
  return sq_tensor_window(t, ndim, full, stride, t->offset, out);
}

sq_status sq_expand_contiguous(sq_tensor *t, int ndim, const int64_t *shape, sq_tensor **out) {
  SQ_OWN sq_tensor *wide = NULL;
  SQ_TRY(sq_expand(t, ndim, shape, &wide));
  return sq_tensor_contiguous(wide, out);
}

/* gather.c: elements by index. Moves bytes; the one sum is a kernel. */
#include "tensor/gather.h"

#include <inttypes.h>
#include <string.h>

#include "kernels/kern.h"
#include "tensor/map.h"
#include "tensor/view.h"

/* y as (outer, R, inner) around one dim. */
typedef struct around {
  int64_t outer, R, inner;
  size_t bytes; /* of `inner` elements */
} around;

static around around_dim(const sq_tensor *t, int dim) {
  around a = {1, 1, 1, 0};
  for (int i = 0; i < t->ndim; i++) {
    *(i < dim ? &a.outer : i == dim ? &a.R : &a.inner) *= t->shape[i];
  }
  a.bytes = (size_t)a.inner * sq_dtype_size(t->dtype);
  return a;
}

static char *at_byte(const sq_tensor *t, size_t bytes) { return (char *)sq_data(t) + bytes; }

sq_status sq_read_index(const char *what, sq_tensor *index, int64_t size, sq_tensor **out) {
  if (index->dtype != SQ_I64 && index->dtype != SQ_U8) {
    return sq_fail(SQ_ETYPE, "[%s] the index is %s: it must be int64, convert it with x:long()",
                   what, sq_dtype_name(index->dtype));
  }
  SQ_OWN sq_tensor *whole = NULL, *flat = NULL;
  SQ_TRY(sq_tensor_cast(index, SQ_I64, &whole));
  SQ_TRY(sq_tensor_contiguous(whole, &flat));
  const int64_t *v = sq_data(flat);
  for (int64_t i = 0; i < flat->numel; i++) {
    if (v[i] < 0 || v[i] >= size) {
      return sq_fail(SQ_EARG,
                     "[%s] index %" PRId64 " at element %" PRId64
                     " is out of range: it must be 0 to %" PRId64,
                     what, v[i], i + 1, size - 1);
    }
  }
  *out = sq_tensor_give(&flat);
  return SQ_OK;
}

sq_status sq_index_select(sq_tensor *x, int dim, int64_t n, const int64_t *at, sq_tensor **out) {
  SQ_OWN sq_tensor *flat = NULL, *y = NULL;
  int64_t shape[SQ_MAX_DIMS];
  for (int i = 0; i < x->ndim; i++) shape[i] = i == dim ? n : x->shape[i];
  SQ_TRY(sq_tensor_new(x->dtype, x->ndim, shape, &y));
  SQ_TRY(sq_tensor_contiguous(x, &flat));
  around a = around_dim(x, dim);
  for (int64_t o = 0; o < a.outer && a.bytes > 0; o++) {
    char *to = at_byte(y, (size_t)(o * n) * a.bytes);
    const char *from = at_byte(flat, (size_t)(o * a.R) * a.bytes);
    for (int64_t i = 0; i < n; i++, to += a.bytes)
      memcpy(to, from + (size_t)at[i] * a.bytes, a.bytes);
  }
  *out = sq_tensor_give(&y);
  return SQ_OK;
}

static sq_status check_adds(const char *what, const sq_tensor *y) {
  if (sq_kern_of(y->dtype)->add_at) return SQ_OK;
  return sq_fail(SQ_ETYPE, "[%s] %s can't be added: convert it with x:long()", what,
                 sq_dtype_name(y->dtype));
}

sq_status sq_index_put(sq_tensor *y, int dim, int64_t n, const int64_t *at, sq_tensor *x,
                       bool add) {
  SQ_ASSERT(sq_tensor_is_contiguous(y));
  if (add) SQ_TRY(check_adds("index_add", y));
  SQ_OWN sq_tensor *flat = NULL;
  SQ_TRY(sq_tensor_contiguous(x, &flat));
  around a = around_dim(y, dim);
  for (int64_t o = 0; o < a.outer && a.bytes > 0; o++) {
    char *to = at_byte(y, (size_t)(o * a.R) * a.bytes);
    const char *from = at_byte(flat, (size_t)(o * n) * a.bytes);
    if (add) {
      sq_kern_of(y->dtype)->add_at(n, a.inner, at, from, to);
      continue;
    }
    for (int64_t i = 0; i < n; i++, from += a.bytes)
      memcpy(to + (size_t)at[i] * a.bytes, from, a.bytes);
  }
  return SQ_OK;
}

/* Where in a contiguous x each element of index points to, as int64. */
static sq_status flat_places(const char *what, const sq_tensor *x, int dim, const sq_tensor *index,
                             sq_tensor **out) {
  bool fits = index->ndim == x->ndim;
  for (int i = 0; fits && i < x->ndim; i++) fits = i == dim || index->shape[i] <= x->shape[i];
  if (!fits) {
    return sq_fail(
        SQ_ESHAPE, "[%s] index is %s, x is %s: index may not be larger, but along dim %d", what,
        sq_tensor_shape_text(index, SQ_SHAPE_BUF), sq_tensor_shape_text(x, SQ_SHAPE_BUF), dim + 1);
  }
  SQ_TRY(sq_tensor_new_like(index, SQ_I64, out));
  int64_t stride[SQ_MAX_DIMS], count[SQ_MAX_DIMS] = {0}, place = 0, *to = sq_data(*out);
  const int64_t *v = sq_data(index);
  sq_shape_strides(x->ndim, x->shape, stride);
  int64_t along = x->ndim ? stride[dim] : 0;
  if (x->ndim) stride[dim] = 0;
  for (int64_t i = 0; i < index->numel; i++) {
    to[i] = place + v[i] * along;
    for (int d = index->ndim - 1; d >= 0; d--) { /* one step on in row-major order */
      place += stride[d];
      if (++count[d] < index->shape[d]) break;
      place -= count[d] * stride[d];
      count[d] = 0;
    }
  }
  return SQ_OK;
}

static void copy_one(size_t size, char *to, const char *from) {
  if (size == 4) {
    memcpy(to, from, 4);
  } else if (size == 8) {
    memcpy(to, from, 8);
  } else {
    *to = *from;
  }
}

sq_status sq_gather(const char *what, sq_tensor *x, int dim, sq_tensor *index, sq_tensor **out) {
  SQ_OWN sq_tensor *flat = NULL, *places = NULL, *y = NULL;
  SQ_TRY(flat_places(what, x, dim, index, &places));
  SQ_TRY(sq_tensor_contiguous(x, &flat));
  SQ_TRY(sq_tensor_new_like(index, x->dtype, &y));
  const int64_t *at = sq_data(places);
  size_t size = sq_dtype_size(x->dtype);
  for (int64_t i = 0; i < y->numel; i++)
    copy_one(size, at_byte(y, (size_t)i * size), at_byte(flat, (size_t)at[i] * size));
  *out = sq_tensor_give(&y);
  return SQ_OK;
}

/* The part of src that index covers, contiguous. */
static sq_status cut_source(const char *what, sq_tensor *src, const sq_tensor *index,
                            sq_tensor **out) {
  if (src->ndim == 0) return sq_expand_contiguous(src, index->ndim, index->shape, out);
  bool fits = src->ndim == index->ndim;
  for (int i = 0; fits && i < src->ndim; i++) fits = index->shape[i] <= src->shape[i];
  if (!fits) {
    return sq_fail(SQ_ESHAPE, "[%s] index is %s, src is %s: src must be at least as large", what,
                   sq_tensor_shape_text(index, SQ_SHAPE_BUF),
                   sq_tensor_shape_text(src, SQ_SHAPE_BUF));
  }
  SQ_OWN sq_tensor *part = NULL;
  SQ_TRY(sq_tensor_window(src, index->ndim, index->shape, src->stride, src->offset, &part));
  return sq_tensor_contiguous(part, out);
}

sq_status sq_scatter(const char *what, sq_tensor *y, int dim, sq_tensor *index, sq_tensor *src,
                     bool add) {
  SQ_ASSERT(sq_tensor_is_contiguous(y));
  if (add) SQ_TRY(check_adds(what, y));
  SQ_OWN sq_tensor *places = NULL, *part = NULL;
  SQ_TRY(flat_places(what, y, dim, index, &places));
  SQ_TRY(cut_source(what, src, index, &part));
  const int64_t *at = sq_data(places);
  if (add) {
    sq_kern_of(y->dtype)->add_at(index->numel, 1, at, sq_data(part), sq_data(y));
    return SQ_OK;
  }
  size_t size = sq_dtype_size(y->dtype);
  for (int64_t i = 0; i < index->numel; i++)
    copy_one(size, at_byte(y, (size_t)at[i] * size), at_byte(part, (size_t)i * size));
  return SQ_OK;
}

/* --- orders and triangles ------------------------------------------------------------------- */

static sq_status flip_dim(sq_tensor *t, int dim, sq_tensor **out) {
  SQ_OWN sq_tensor *flat = NULL, *y = NULL;
  SQ_TRY(sq_tensor_contiguous(t, &flat));
  SQ_TRY(sq_tensor_new_like(t, t->dtype, &y));
  around a = around_dim(t, dim);
  for (int64_t o = 0; o < a.outer && a.bytes > 0; o++) {
    char *to = at_byte(y, (size_t)(o * a.R) * a.bytes);
    const char *from = at_byte(flat, (size_t)((o + 1) * a.R) * a.bytes);
    for (int64_t i = 0; i < a.R; i++, to += a.bytes) memcpy(to, from -= a.bytes, a.bytes);
  }
  *out = sq_tensor_give(&y);
  return SQ_OK;
}

sq_status sq_flip(sq_tensor *t, unsigned mask, sq_tensor **out) {
  SQ_OWN sq_tensor *y = NULL;
  if (mask == 0) return sq_tensor_clone(t, out);
  y = sq_tensor_keep(t);
  for (int i = 0; i < t->ndim; i++) {
    if (!(mask >> i & 1)) continue;
    sq_tensor *next;
    SQ_TRY(flip_dim(y, i, &next));
    sq_tensor_drop(y);
    y = next;
  }
  *out = sq_tensor_give(&y);
  return SQ_OK;
}

/* y[to .. to+n) = x[from .. from+n) along a dim. */
static sq_status copy_part(sq_tensor *y, int64_t to, sq_tensor *x, int64_t from, int64_t n,
                           int dim) {
  SQ_OWN sq_tensor *target = NULL, *source = NULL;
  SQ_TRY(sq_narrow(y, dim, to, n, 1, &target));
  SQ_TRY(sq_narrow(x, dim, from, n, 1, &source));
  return sq_map_into(SQ_ELEM_copy, (sq_tensor *[]){source}, NULL, target);
}

sq_status sq_roll(sq_tensor *t, int dim, int64_t shift, sq_tensor **out) {
  SQ_OWN sq_tensor *y = NULL;
  SQ_TRY(sq_tensor_new_like(t, t->dtype, &y));
  int64_t size = t->shape[dim];
  if (size > 0) {
    int64_t s = (shift % size + size) % size;
    SQ_TRY(copy_part(y, s, t, 0, size - s, dim));
    SQ_TRY(copy_part(y, 0, t, size - s, s, dim));
  }
  *out = sq_tensor_give(&y);
  return SQ_OK;
}

static int64_t limit_to(int64_t x, int64_t low, int64_t high) {
  return x < low ? low : x > high ? high : x;
}

sq_status sq_triangle(sq_tensor *t, bool upper, int64_t diagonal, sq_tensor **out) {
  SQ_OWN sq_tensor *y = NULL;
  SQ_TRY(sq_tensor_clone(t, &y));
  int64_t rows = t->shape[t->ndim - 2], columns = t->shape[t->ndim - 1];
  size_t size = sq_dtype_size(t->dtype);
  int64_t all = columns > 0 ? y->numel / columns : 0;
  diagonal = limit_to(diagonal, -rows - 1, columns + 1);
  for (int64_t row = 0; row < all; row++) {
    /* the first column above the diagonal (upper: on it) */
    int64_t edge = limit_to(row % rows + diagonal + (upper ? 0 : 1), 0, columns);
    int64_t first = upper ? 0 : edge, n = upper ? edge : columns - edge;
    memset(at_byte(y, (size_t)(row * columns + first) * size), 0, (size_t)n * size);
  }
  *out = sq_tensor_give(&y);
  return SQ_OK;
}

sq_status sq_nonzero(sq_tensor *t, sq_tensor **out) {
  SQ_OWN sq_tensor *flags = NULL, *places = NULL;
  SQ_TRY(sq_map("nonzero", SQ_ELEM_nonzero_mask, &t, NULL, &flags));
  const uint8_t *flag = sq_data(flags);
  int64_t n = 0;
  for (int64_t i = 0; i < t->numel; i++) n += flag[i];
  SQ_TRY(sq_tensor_new(SQ_I64, 1, &n, &places));
  int64_t *to = sq_data(places);
  for (int64_t i = 0; i < t->numel; i++)
    if (flag[i]) *to++ = i;
  *out = sq_tensor_give(&places);
  return SQ_OK;
}

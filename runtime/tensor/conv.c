/* conv.c: each image becomes columns, (C KY KX, OY OX), in a scratch of its thread, and one product
 * per group. */
#include "tensor/conv.h"

#include <inttypes.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "kernels/gemm.h"
#include "tensor/reduce.h"
#include "tensor/view.h"

static int64_t reach_of(int64_t size, int64_t taps, int64_t stride, int64_t padding,
                        int64_t dilation) {
  int64_t room = size + 2 * padding - dilation * (taps - 1) - 1;
  return room < 0 ? 0 : room / stride + 1;
}

static sq_status check_numbers(const char *what, const int64_t *stride, const int64_t *padding,
                               const int64_t *dilation, int64_t groups) {
  for (int i = 0; i < 2; i++) {
    if (stride[i] < 1 || dilation[i] < 1 || padding[i] < 0)
      return sq_fail(SQ_EARG, "[%s] stride and dilation must be at least 1, padding at least 0",
                     what);
    if (stride[i] > INT32_MAX || dilation[i] > INT32_MAX || padding[i] > INT32_MAX)
      return sq_fail(SQ_EARG, "[%s] stride, dilation or padding is over 2^31-1", what);
  }
  if (groups < 1) return sq_fail(SQ_EARG, "[%s] groups is %" PRId64, what, groups);
  return SQ_OK;
}

sq_status sq_conv_shape(const char *what, const sq_tensor *x, const sq_tensor *weight,
                        const int64_t *stride, const int64_t *padding, const int64_t *dilation,
                        int64_t groups, sq_conv *out) {
  SQ_TRY(check_numbers(what, stride, padding, dilation, groups));
  bool fits = x->ndim == 4 && weight->ndim == 4 && x->shape[1] == weight->shape[1] * groups &&
              weight->shape[0] % groups == 0 && weight->numel > 0;
  if (!fits) {
    return sq_fail(SQ_ESHAPE,
                   "[%s] x is %s, weight is %s with %" PRId64
                   " groups: x must be (B,C,..) and weight (O,C/groups,..), O a multiple of groups",
                   what, sq_tensor_shape_text(x, SQ_SHAPE_BUF),
                   sq_tensor_shape_text(weight, SQ_SHAPE_BUF), groups);
  }
  const int64_t *s = x->shape, *k = weight->shape + 2;
  out->w = (sq_window){s[1],       s[2],       s[3],        k[0],        k[1], stride[0], stride[1],
                       padding[0], padding[1], dilation[0], dilation[1], 0,    0};
  out->w.OY = reach_of(s[2], k[0], stride[0], padding[0], dilation[0]);
  out->w.OX = reach_of(s[3], k[1], stride[1], padding[1], dilation[1]);
  out->B = s[0], out->O = weight->shape[0], out->groups = groups;
  if (out->w.OY < 1 || out->w.OX < 1) {
    return sq_fail(SQ_ESHAPE, "[%s] x is %s, weight is %s: the kernel is larger than the padded x",
                   what, sq_tensor_shape_text(x, SQ_SHAPE_BUF),
                   sq_tensor_shape_text(weight, SQ_SHAPE_BUF));
  }
  int64_t columns;
  SQ_TRY(sq_size_mul(out->w.OY, out->w.OX, &columns));
  return sq_size_mul(s[1] * k[0] * k[1], columns, &columns);
}

/* One call over all images. */
typedef struct job {
  const sq_conv *g;
  const sq_kern *kern;
  sq_dtype dtype;
  size_t size;
  char *x, *w, *y, *scratch, *panels;        /* panels: within scratch, for sq_gemm_tile */
  int64_t K, area, plane, per_slice, slices; /* K: rows of columns, of one group */
  int64_t band;                              /* rows of results whose columns stand at once */
} job;

static char *image_at(const job *j, char *base, int64_t b, int64_t elements) {
  return base + (size_t)(b * elements) * j->size;
}

static char *scratch_columns(const job *j) {
  return image_at(j, j->scratch, sq_thread_index(), j->g->groups * j->K * j->band * j->g->w.OX);
}

/* One product on this thread. */
static void multiply(const job *j, const sq_gemm *g) {
  sq_gemm_tile(g, j->panels + sq_thread_index() * sq_gemm_scratch(j->dtype, INT64_MAX, INT64_MAX));
}

/* The window of the results' rows from oy on, a band of them. */
static sq_window band_at(const job *j, int64_t oy) {
  sq_window w = j->g->w;
  w.PY -= oy * w.SY;
  w.OY = w.OY - oy < j->band ? w.OY - oy : j->band;
  return w;
}

/* Fills the sizes; the scratch is (threads, C KY KX, a band of OY, OX). Free j->scratch. */
static sq_status prepare_conv(const sq_conv *g, sq_dtype dtype, job *j) {
  const sq_window *w = &g->w;
  *j = (job){.g = g, .kern = sq_kern_of(dtype), .dtype = dtype, .size = sq_dtype_size(dtype)};
  j->K = w->C / g->groups * w->KY * w->KX;
  j->area = w->OY * w->OX;
  j->plane = w->Y * w->X;
  int64_t columns, all;
  SQ_TRY(sq_size_mul(g->groups * j->K, w->OX, &columns));
  j->band = sq_per_tile(columns, SQ_CONV_COLUMNS);
  if (j->band > w->OY) j->band = w->OY;
  SQ_TRY(sq_size_mul(columns, j->band, &columns));
  SQ_TRY(sq_size_mul(columns * (int64_t)j->size, sq_threads(), &all));
  all = (all + 63) / 64 * 64;
  void *block;
  SQ_TRY(sq_alloc(all + sq_threads() * sq_gemm_scratch(dtype, INT64_MAX, INT64_MAX), &block));
  j->scratch = block;
  j->panels = j->scratch + all;
  return SQ_OK;
}

/* The work of n images, in rough nanoseconds. */
static int64_t work_of_images(const job *j, int64_t n) {
  return (int64_t)((double)n * (double)j->g->O * (double)j->K * (double)j->area / 50) + 1;
}

/* Shapes of tensors by the window. */
static sq_status new_image(const sq_conv *g, sq_dtype dtype, bool out, sq_tensor **t) {
  const sq_window *w = &g->w;
  int64_t in[] = {g->B, w->C, w->Y, w->X}, result[] = {g->B, g->O, w->OY, w->OX};
  return sq_tensor_full(dtype, 4, out ? result : in, 0, t);
}

static void conv_tile(int64_t b, void *context) {
  const job *j = context;
  const sq_conv *g = j->g;
  int64_t O = g->O / g->groups;
  char *columns = scratch_columns(j), *x = image_at(j, j->x, b, g->w.C * j->plane);
  for (int64_t oy = 0; oy < g->w.OY; oy += j->band) {
    sq_window w = band_at(j, oy);
    int64_t area = w.OY * w.OX;
    char *y = image_at(j, j->y, 1, b * g->O * j->area + oy * w.OX);
    j->kern->im2col(&w, x, columns);
    for (int64_t k = 0; k < g->groups; k++) {
      sq_gemm m = {.dtype = j->dtype, .m = O, .n = area, .k = j->K};
      m.a = image_at(j, j->w, k, O * j->K), m.lda = j->K;
      m.b = image_at(j, columns, k, j->K * area), m.ldb = area;
      m.c = image_at(j, y, k, O * j->area), m.ldc = j->area;
      multiply(j, &m);
    }
  }
}

sq_status sq_conv_forward(const sq_conv *g, sq_tensor *x, sq_tensor *w, sq_tensor **out) {
  SQ_OWN sq_tensor *xf = NULL, *wf = NULL, *y = NULL;
  SQ_TRY(sq_tensor_contiguous(x, &xf));
  SQ_TRY(sq_tensor_contiguous(w, &wf));
  SQ_TRY(new_image(g, x->dtype, true, &y));
  job j;
  SQ_TRY(prepare_conv(g, x->dtype, &j));
  j.x = sq_data(xf), j.w = sq_data(wf), j.y = sq_data(y);
  sq_parallel(g->B, work_of_images(&j, g->B), conv_tile, &j);
  sq_free(j.scratch);
  SQ_TRY(sq_interrupt_check());
  *out = sq_tensor_give(&y);
  return SQ_OK;
}

static void input_tile(int64_t b, void *context) {
  const job *j = context;
  const sq_conv *g = j->g;
  int64_t O = g->O / g->groups;
  char *columns = scratch_columns(j), *dx = image_at(j, j->x, b, g->w.C * j->plane);
  for (int64_t oy = 0; oy < g->w.OY; oy += j->band) {
    sq_window w = band_at(j, oy);
    int64_t area = w.OY * w.OX;
    char *dy = image_at(j, j->y, 1, b * g->O * j->area + oy * w.OX);
    for (int64_t k = 0; k < g->groups; k++) {
      sq_gemm m = {.dtype = j->dtype, .ta = true, .m = j->K, .n = area, .k = O};
      m.a = image_at(j, j->w, k, O * j->K), m.lda = j->K;
      m.b = image_at(j, dy, k, O * j->area), m.ldb = j->area;
      m.c = image_at(j, columns, k, j->K * area), m.ldc = area;
      multiply(j, &m);
    }
    j->kern->col2im(&w, columns, dx);
  }
}

sq_status sq_conv_input(const sq_conv *g, sq_tensor *dy, sq_tensor *w, sq_tensor **out) {
  SQ_OWN sq_tensor *yf = NULL, *wf = NULL, *dx = NULL;
  SQ_TRY(sq_tensor_contiguous(dy, &yf));
  SQ_TRY(sq_tensor_contiguous(w, &wf));
  SQ_TRY(new_image(g, dy->dtype, false, &dx));
  job j;
  SQ_TRY(prepare_conv(g, dy->dtype, &j));
  j.x = sq_data(dx), j.w = sq_data(wf), j.y = sq_data(yf);
  sq_parallel(g->B, work_of_images(&j, g->B), input_tile, &j);
  sq_free(j.scratch);
  SQ_TRY(sq_interrupt_check());
  *out = sq_tensor_give(&dx);
  return SQ_OK;
}

/* dw += what image b gives. */
static void add_weight(const job *j, int64_t b, char *columns, char *dw) {
  const sq_conv *g = j->g;
  int64_t O = g->O / g->groups;
  char *x = image_at(j, j->x, b, g->w.C * j->plane);
  for (int64_t oy = 0; oy < g->w.OY; oy += j->band) {
    sq_window w = band_at(j, oy);
    int64_t area = w.OY * w.OX;
    char *dy = image_at(j, j->y, 1, b * g->O * j->area + oy * w.OX);
    j->kern->im2col(&w, x, columns);
    for (int64_t k = 0; k < g->groups; k++) {
      sq_gemm m = {.dtype = j->dtype, .tb = true, .add = true, .m = O, .n = j->K, .k = area};
      m.a = image_at(j, dy, k, O * j->area), m.lda = j->area;
      m.b = image_at(j, columns, k, j->K * area), m.ldb = area;
      m.c = image_at(j, dw, k, O * j->K), m.ldc = j->K;
      multiply(j, &m);
    }
  }
}

/* Images of one slice, summed in their order. */
static void weight_tile(int64_t s, void *context) {
  const job *j = context;
  int64_t first = s * j->per_slice, n = sq_tile_size(j->g->B, j->per_slice, s);
  char *columns = scratch_columns(j), *dw = image_at(j, j->w, s, j->g->O * j->K);
  for (int64_t b = first; b < first + n; b++) add_weight(j, b, columns, dw);
}

sq_status sq_conv_weight(const sq_conv *g, sq_tensor *x, sq_tensor *dy, sq_tensor **out) {
  SQ_OWN sq_tensor *xf = NULL, *yf = NULL, *parts = NULL;
  SQ_TRY(sq_tensor_contiguous(x, &xf));
  SQ_TRY(sq_tensor_contiguous(dy, &yf));
  const sq_window *w = &g->w;
  int64_t shape[] = {g->B < SQ_CONV_SLICES ? (g->B ? g->B : 1) : SQ_CONV_SLICES, g->O,
                     w->C / g->groups, w->KY, w->KX};
  SQ_TRY(sq_tensor_full(x->dtype, 5, shape, 0, &parts));
  job j;
  SQ_TRY(prepare_conv(g, x->dtype, &j));
  j.x = sq_data(xf), j.w = sq_data(parts), j.y = sq_data(yf);
  j.slices = shape[0];
  j.per_slice = sq_tiles(g->B, j.slices);
  sq_parallel(j.slices, work_of_images(&j, g->B), weight_tile, &j);
  sq_free(j.scratch);
  SQ_TRY(sq_interrupt_check());
  return sq_sum(parts, 1, false, out);
}

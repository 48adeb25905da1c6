/* map.c: elementwise kernels over tensors. Dims are merged until as few as possible are left, and
 * the rest is cut into tiles. */
#include "tensor/map.h"

#include "base/limits.h"
#include "base/parallel.h"

enum { MAX_IN = 4 };

/* One job: operand 0 is the output. The last dim is what a kernel call covers. */
typedef struct job {
  sq_elem_fn *kernel;
  const double *p;
  int operands, ndim;
  int64_t shape[SQ_MAX_DIMS];
  int64_t stride[MAX_IN + 1][SQ_MAX_DIMS];
  char *data[MAX_IN + 1];
  size_t size[MAX_IN + 1];
  int64_t rows, per_tile; /* rows of the last dim, or elements of it when there is but one row */
} job;

/* Strides of t as seen from a shape it broadcasts to. */
static void broadcast_strides(const sq_tensor *t, int ndim, int64_t *stride) {
  int skip = ndim - t->ndim;
  for (int i = 0; i < ndim; i++) {
    stride[i] = i < skip || t->shape[i - skip] == 1 ? 0 : t->stride[i - skip];
  }
}

/* Drops dims of size 1 and merges neighbours that every operand walks through without a step. */
static void merge_dims(job *j) {
  int n = 0;
  for (int i = 0; i < j->ndim; i++) {
    if (j->shape[i] == 1) continue;
    bool join = n > 0;
    if (join) {
      for (int k = 0; k < j->operands; k++)
        join = join && j->stride[k][n - 1] == j->stride[k][i] * j->shape[i];
    }
    int to = join ? n - 1 : n;
    j->shape[to] = join ? j->shape[to] * j->shape[i] : j->shape[i];
    for (int k = 0; k < j->operands; k++) j->stride[k][to] = j->stride[k][i];
    n = to + 1;
  }
  if (n == 0) {
    j->shape[0] = 1;
    for (int k = 0; k < j->operands; k++) j->stride[k][0] = 1;
    n = 1;
  }
  j->ndim = n;
}

static void call_kernel(const job *j, const int64_t *offset, int64_t n) {
  const void *in[MAX_IN];
  int64_t stride[MAX_IN];
  int last = j->ndim - 1;
  for (int k = 1; k < j->operands; k++) {
    in[k - 1] = j->data[k] + offset[k] * (int64_t)j->size[k];
    stride[k - 1] = j->stride[k][last];
  }
  j->kernel(n, in, stride, j->data[0] + offset[0] * (int64_t)j->size[0], j->stride[0][last], j->p);
}

static void map_tile(int64_t tile, void *context) {
  const job *j = context;
  int64_t first = tile * j->per_tile;
  int64_t end = first + j->per_tile < j->rows ? first + j->per_tile : j->rows;
  for (int64_t row = first; row < end; row++) {
    int64_t offset[MAX_IN + 1] = {0}, rest = row;
    for (int i = j->ndim - 2; i >= 0; i--) {
      int64_t at = rest % j->shape[i];
      rest /= j->shape[i];
      for (int k = 0; k < j->operands; k++) offset[k] += at * j->stride[k][i];
    }
    call_kernel(j, offset, j->shape[j->ndim - 1]);
  }
}

static void run_span(int64_t tile, void *context) {
  const job *j = context;
  int64_t first = tile * SQ_TILE, n = sq_tile_size(j->rows, SQ_TILE, tile);
  int64_t offset[MAX_IN + 1];
  for (int k = 0; k < j->operands; k++) offset[k] = first * j->stride[k][0];
  call_kernel(j, offset, n);
}

static sq_status run_map(job *j, int64_t numel) {
  if (numel == 0) return SQ_OK;
  merge_dims(j);
  int64_t last = j->shape[j->ndim - 1];
  if (j->ndim == 1) {
    j->rows = last;
    sq_parallel(sq_tiles(last, SQ_TILE), numel / 2, run_span, j);
  } else {
    j->rows = numel / last;
    j->per_tile = sq_per_tile(last, SQ_TILE);
    sq_parallel(sq_tiles(j->rows, j->per_tile), numel / 2, map_tile, j);
  }
  return sq_interrupt_check();
}

static sq_status find_kernel(sq_elem kernel, sq_tensor *const *in, sq_elem_fn **out) {
  int n = sq_elem_inputs(kernel);
  for (int k = 1; k < n; k++) {
    if (in[k]->dtype != in[0]->dtype) {
      return sq_fail(SQ_ETYPE, "[%s] a is %s, b is %s: convert one with :to(dtype)",
                     sq_elem_name(kernel), sq_dtype_name(in[0]->dtype),
                     sq_dtype_name(in[k]->dtype));
    }
  }
  *out = sq_kern_of(in[0]->dtype)->elem[kernel];
  if (!*out) {
    return sq_fail(SQ_ETYPE, "[%s] is not defined for %s: convert it, with x:float() or x:long()",
                   sq_elem_name(kernel), sq_dtype_name(in[0]->dtype));
  }
  return SQ_OK;
}

sq_status sq_map_into(sq_elem kernel, sq_tensor *const *in, const double *p, sq_tensor *out) {
  job j = {.p = p, .operands = 1 + sq_elem_inputs(kernel), .ndim = out->ndim};
  SQ_TRY(find_kernel(kernel, in, &j.kernel));
  for (int i = 0; i < out->ndim; i++) j.shape[i] = out->shape[i];
  for (int k = 0; k < j.operands; k++) {
    const sq_tensor *t = k == 0 ? out : in[k - 1];
    if (k > 0) SQ_TRY(sq_check_expands(sq_elem_name(kernel), t, out));
    broadcast_strides(t, out->ndim, j.stride[k]);
    j.data[k] = sq_data(t);
    j.size[k] = sq_dtype_size(t->dtype);
  }
  return run_map(&j, out->numel);
}

/* True when all inputs are contiguous and of one shape: one kernel call on small ones. */
static bool all_plain(int n, sq_tensor *const *in) {
  for (int k = 0; k < n; k++) {
    if (!sq_tensor_is_contiguous(in[k])) return false;
    if (!sq_shape_equal(in[k]->ndim, in[k]->shape, in[0]->ndim, in[0]->shape)) return false;
  }
  return true;
}

static void map_plain(sq_elem_fn *fn, int n, sq_tensor *const *in, const double *p,
                      sq_tensor *out) {
  const void *data[MAX_IN] = {0};
  static const int64_t ones[MAX_IN] = {1, 1, 1, 1};
  for (int k = 0; k < n; k++) data[k] = sq_data(in[k]);
  fn(out->numel, data, ones, sq_data(out), 1, p);
}

sq_status sq_map(const char *what, sq_elem kernel, sq_tensor *const *in, const double *p,
                 sq_tensor **out) {
  int n = sq_elem_inputs(kernel);
  sq_elem_fn *fn;
  sq_status st = find_kernel(kernel, in, &fn);
  if (st != SQ_OK) return st;
  sq_dtype dtype = sq_elem_is_test(kernel) ? SQ_BOOL : in[0]->dtype;
  SQ_OWN sq_tensor *fresh = NULL;
  if (in[0]->numel <= SQ_TILE && all_plain(n, in)) {
    SQ_TRY(sq_tensor_new_like(in[0], dtype, &fresh));
    map_plain(fn, n, in, p, fresh);
  } else {
    int ndim = in[0]->ndim;
    int64_t shape[SQ_MAX_DIMS];
    for (int i = 0; i < ndim; i++) shape[i] = in[0]->shape[i];
    for (int k = 1; k < n; k++) {
      SQ_TRY(sq_shape_broadcast(what, ndim, shape, in[k]->ndim, in[k]->shape, &ndim, shape));
    }
    SQ_TRY(sq_tensor_new(dtype, ndim, shape, &fresh));
    SQ_TRY(sq_map_into(kernel, in, p, fresh));
  }
  *out = sq_tensor_give(&fresh);
  return SQ_OK;
}

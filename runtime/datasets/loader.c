/* loader.c: rows of a tensor brought together, in tiles of rows. */
#include "datasets/loader.h"

#include <inttypes.h>
#include <string.h>

#include "base/limits.h"
#include "base/parallel.h"
#include "kernels/kern.h"

enum { AHEAD = 2 /* rows fetched into the cache before their turn */ };

typedef struct job {
  sq_rows rows;
  int64_t width;               /* elements of a row */
  size_t from_bytes, to_bytes; /* of a row */
  const char *from;
  char *to;
  int64_t tile_rows;
  bool scaled;
  double lo, hi;
} job;

static int64_t source_row(const job *j, int64_t i) {
  return j->rows.at ? j->rows.at[i] : j->rows.first + i;
}

/* The first lines of a row; the processor's own prefetcher brings the rest. */
static void prefetch_row(const job *j, int64_t i) {
  if (i >= j->rows.n) return;
  const char *row = j->from + (size_t)source_row(j, i) * j->from_bytes;
  for (size_t b = 0; b < j->from_bytes && b < 1024; b += 64) __builtin_prefetch(row + b);
}

static void copy_tile(int64_t tile, void *context) {
  const job *j = context;
  int64_t begin = tile * j->tile_rows, end = begin + j->tile_rows;
  for (int64_t i = begin; i < end && i < j->rows.n; i++) {
    if (j->rows.at) prefetch_row(j, i + AHEAD);
    const char *from = j->from + (size_t)source_row(j, i) * j->from_bytes;
    char *to = j->to + (size_t)i * j->to_bytes;
    if (j->scaled) {
      sq_kern_of(SQ_F32)->from_bytes(j->width, (const uint8_t *)from, j->lo, j->hi, to);
    } else {
      memcpy(to, from, j->from_bytes);
    }
  }
}

static sq_status check_rows(const sq_tensor *x, const sq_rows *rows) {
  if (x->ndim == 0) return sq_fail(SQ_ESHAPE, "[batch] a tensor without dims has no rows");
  int64_t size = x->shape[0];
  if (!rows->at && (rows->first < 0 || rows->n < 0 || rows->first > size - rows->n)) {
    return sq_fail(SQ_EARG, "[batch] rows %" PRId64 " to %" PRId64 " of %" PRId64, rows->first,
                   rows->first + rows->n - 1, size);
  }
  for (int64_t i = 0; rows->at && i < rows->n; i++) {
    if (rows->at[i] < 0 || rows->at[i] >= size)
      return sq_fail(SQ_EARG, "[batch] row %" PRId64 ": there are rows 0 to %" PRId64, rows->at[i],
                     size - 1);
  }
  return SQ_OK;
}

/* Fills in sizes and pointers, makes the result, runs. */
static sq_status gather_rows(job *j, sq_tensor *x, sq_dtype dtype, sq_tensor **out) {
  SQ_TRY(check_rows(x, &j->rows));
  SQ_OWN sq_tensor *y = NULL;
  int64_t shape[SQ_MAX_DIMS];
  memcpy(shape, x->shape, sizeof shape);
  shape[0] = j->rows.n;
  SQ_TRY(sq_tensor_new(dtype, x->ndim, shape, &y));
  j->width = 1;
  for (int i = 1; i < x->ndim; i++) j->width *= x->shape[i];
  j->from_bytes = (size_t)j->width * sq_dtype_size(x->dtype);
  j->to_bytes = (size_t)j->width * sq_dtype_size(dtype);
  j->from = sq_data(x);
  j->to = sq_data(y);
  j->tile_rows = j->to_bytes < SQ_BATCH_BYTES ? SQ_BATCH_BYTES / (int64_t)(j->to_bytes + 1) : 1;
  int64_t tiles = sq_tiles(j->rows.n, j->tile_rows);
  sq_parallel(tiles, y->numel / 4, copy_tile, j);
  SQ_TRY(sq_interrupt_check());
  *out = sq_tensor_give(&y);
  return SQ_OK;
}

sq_status sq_batch(sq_tensor *x, sq_rows rows, sq_tensor **out) {
  SQ_ASSERT(sq_tensor_is_contiguous(x));
  job j = {.rows = rows};
  return gather_rows(&j, x, x->dtype, out);
}

sq_status sq_batch_scaled(sq_tensor *x, sq_rows rows, double lo, double hi, sq_tensor **out) {
  SQ_ASSERT(sq_tensor_is_contiguous(x));
  if (x->dtype != SQ_U8)
    return sq_fail(SQ_ETYPE, "[batch] x is %s: only uint8 is scaled to a range",
                   sq_dtype_name(x->dtype));
  job j = {.rows = rows, .scaled = true, .lo = lo, .hi = hi};
  return gather_rows(&j, x, SQ_F32, out);
}

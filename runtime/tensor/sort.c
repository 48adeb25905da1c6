/* sort.c: merge sort of rows. Elements become 64-bit keys whose order as integers is theirs. */
#include "tensor/sort.h"

#include <string.h>

#include "base/mem.h"
#include "base/parallel.h"
#include "kernels/kern.h"
#include "tensor/gather.h"
#include "tensor/view.h"

typedef struct entry {
  int64_t key, at;
} entry;

/* The key of a float: its bits, with the negative half turned round; -0 is 0, NaN comes last. */
static int64_t float_key(double x) {
  if (x != x) return INT64_MAX;
  if (x == 0) x = 0;
  int64_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits < 0 ? INT64_MIN - bits : bits;
}

static void read_keys(const sq_tensor *t, int64_t first, int64_t n, bool descending, entry *e) {
  const char *from = (const char *)sq_data(t) + (size_t)first * sq_dtype_size(t->dtype);
  for (int64_t i = 0; i < n; i++) {
    int64_t key;
    double x;
    if (sq_is_float(t->dtype)) {
      sq_kern_cast(1, t->dtype, from + (size_t)i * sq_dtype_size(t->dtype), 1, SQ_F64, &x, 1);
      key = float_key(x);
    } else {
      sq_kern_cast(1, t->dtype, from + (size_t)i * sq_dtype_size(t->dtype), 1, SQ_I64, &key, 1);
    }
    e[i] = (entry){descending ? ~key : key, i};
  }
}

/* Merges the sorted e[a..b) and e[b..c) into to[a..c). */
static void merge(const entry *e, int64_t a, int64_t b, int64_t c, entry *to) {
  int64_t left = a, right = b;
  for (int64_t i = a; i < c; i++) {
    bool take_left = right >= c || (left < b && e[left].key <= e[right].key);
    to[i] = e[take_left ? left++ : right++];
  }
}

/* Sorts e[0..n) with scratch of the same size; returns the one that holds the result. */
static entry *merge_sort(int64_t n, entry *e, entry *scratch) {
  for (int64_t run = 1; run < n; run *= 2) {
    for (int64_t a = 0; a < n; a += 2 * run) {
      int64_t b = a + run < n ? a + run : n, c = a + 2 * run < n ? a + 2 * run : n;
      merge(e, a, b, c, scratch);
    }
    entry *other = e;
    e = scratch;
    scratch = other;
  }
  return e;
}

/* where = the order of each row of x, contiguous with its dim last. */
static sq_status sort_rows(const sq_tensor *x, bool descending, int64_t *where) {
  int64_t n = x->shape[x->ndim - 1];
  void *block;
  SQ_TRY(sq_alloc(2 * n * (int64_t)sizeof(entry), &block));
  entry *e = block;
  for (int64_t first = 0; first < x->numel && !sq_interrupt_pending(); first += n) {
    read_keys(x, first, n, descending, e);
    const entry *sorted = merge_sort(n, e, e + n);
    for (int64_t i = 0; i < n; i++) where[first + i] = sorted[i].at;
  }
  sq_free(block);
  return sq_interrupt_check();
}

static sq_status sort_last(sq_tensor *x, bool descending, sq_tensor **values, sq_tensor **where) {
  SQ_OWN sq_tensor *flat = NULL, *at = NULL;
  SQ_TRY(sq_tensor_contiguous(x, &flat));
  SQ_TRY(sq_tensor_new_like(x, SQ_I64, &at));
  if (x->numel > 0) SQ_TRY(sort_rows(flat, descending, sq_data(at)));
  SQ_TRY(sq_gather("sort", flat, x->ndim - 1, at, values));
  *where = sq_tensor_give(&at);
  return SQ_OK;
}

sq_status sq_sort(sq_tensor *x, int dim, bool descending, sq_tensor **values, sq_tensor **where) {
  SQ_OWN sq_tensor *last = NULL, *v = NULL, *w = NULL, *vt = NULL, *wt = NULL;
  if (x->ndim == 0) {
    SQ_TRY(sq_tensor_clone(x, &v));
    SQ_TRY(sq_tensor_full(SQ_I64, 0, NULL, 0, where));
    *values = sq_tensor_give(&v);
    return SQ_OK;
  }
  SQ_TRY(sq_transpose(x, dim, x->ndim - 1, &last));
  SQ_TRY(sort_last(last, descending, &v, &w));
  SQ_TRY(sq_transpose(v, dim, x->ndim - 1, &vt));
  SQ_TRY(sq_transpose(w, dim, x->ndim - 1, &wt));
  SQ_OWN sq_tensor *ordered = NULL;
  SQ_TRY(sq_tensor_contiguous(vt, &ordered));
  SQ_TRY(sq_tensor_contiguous(wt, where));
  *values = sq_tensor_give(&ordered);
  return SQ_OK;
}

/* sort.c: merge sort of rows. Elements become 64-bit keys whose order as integers is theirs. */
#include "tensor/sort.h"

#include <string.h>

#include "base/limits.h"
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

/* n keys of the row that begins at `first`, from its element `at` on. */
static void load_keys(const sq_tensor *t, int64_t first, int64_t at, int64_t n, bool descending,
                      entry *e) {
  const char *from = (const char *)sq_data(t) + (size_t)(first + at) * sq_dtype_size(t->dtype);
  for (int64_t i = 0; i < n; i++) {
    int64_t key;
    double x;
    if (sq_is_float(t->dtype)) {
      sq_kern_cast(1, t->dtype, from + (size_t)i * sq_dtype_size(t->dtype), 1, SQ_F64, &x, 1);
      key = float_key(x);
    } else {
      sq_kern_cast(1, t->dtype, from + (size_t)i * sq_dtype_size(t->dtype), 1, SQ_I64, &key, 1);
    }
    e[i] = (entry){descending ? ~key : key, at + i};
  }
}

/* Merges the sorted e[a..b) and e[b..c) into to[a..c). */
static void merge_runs(const entry *e, int64_t a, int64_t b, int64_t c, entry *to) {
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
      merge_runs(e, a, b, c, scratch);
    }
    entry *other = e;
    e = scratch;
    scratch = other;
  }
  return e;
}

/* The first k of a row of n, in order, to e; of a long row the first k so far are kept and sorted
 * with the next `step`. e and scratch have room for k + step, or n. */
static const entry *first_of_row(const sq_tensor *x, int64_t first, int64_t n, int64_t k,
                                 int64_t step, bool descending, entry *e, entry *scratch) {
  const entry *sorted = e;
  for (int64_t at = 0, held = 0; at < n; at += step) {
    int64_t more = n - at < step ? n - at : step;
    if (sorted != e) memcpy(e, sorted, (size_t)held * sizeof *e);
    load_keys(x, first, at, more, descending, e + held);
    sorted = merge_sort(held + more, e, scratch);
    held = held + more < k ? held + more : k;
  }
  return sorted;
}

/* where = the places of the first k of each row of x, contiguous with its dim last. */
static sq_status sort_rows(const sq_tensor *x, int64_t k, bool descending, int64_t *where) {
  int64_t n = x->shape[x->ndim - 1], step = k > SQ_TOPK_ROW ? k : SQ_TOPK_ROW;
  if (k + step >= n) step = n;
  int64_t room = step == n ? n : k + step;
  void *block;
  SQ_TRY(sq_alloc(2 * room * (int64_t)sizeof(entry), &block));
  entry *e = block;
  for (int64_t first = 0; first < x->numel && !sq_interrupt_pending(); first += n, where += k) {
    const entry *sorted = first_of_row(x, first, n, k, step, descending, e, e + room);
    for (int64_t i = 0; i < k; i++) where[i] = sorted[i].at;
  }
  sq_free(block);
  return sq_interrupt_check();
}

static sq_status sort_last(sq_tensor *x, int64_t k, bool descending, sq_tensor **values,
                           sq_tensor **where) {
  SQ_OWN sq_tensor *flat = NULL, *at = NULL;
  int64_t shape[SQ_MAX_DIMS];
  for (int i = 0; i < x->ndim; i++) shape[i] = i == x->ndim - 1 ? k : x->shape[i];
  SQ_TRY(sq_tensor_contiguous(x, &flat));
  SQ_TRY(sq_tensor_new(SQ_I64, x->ndim, shape, &at));
  if (x->numel > 0) SQ_TRY(sort_rows(flat, k, descending, sq_data(at)));
  SQ_TRY(sq_gather("sort", flat, x->ndim - 1, at, values));
  *where = sq_tensor_give(&at);
  return SQ_OK;
}

sq_status sq_sort(sq_tensor *x, int dim, int64_t k, bool descending, sq_tensor **values,
                  sq_tensor **where) {
  SQ_OWN sq_tensor *last = NULL, *v = NULL, *w = NULL, *vt = NULL, *wt = NULL;
  if (x->ndim == 0) {
    SQ_TRY(sq_tensor_clone(x, &v));
    SQ_TRY(sq_tensor_full(SQ_I64, 0, NULL, 0, where));
    *values = sq_tensor_give(&v);
    return SQ_OK;
  }
  SQ_TRY(sq_transpose(x, dim, x->ndim - 1, &last));
  SQ_TRY(sort_last(last, k, descending, &v, &w));
  SQ_TRY(sq_transpose(v, dim, x->ndim - 1, &vt));
  SQ_TRY(sq_transpose(w, dim, x->ndim - 1, &wt));
  SQ_OWN sq_tensor *ordered = NULL;
  SQ_TRY(sq_tensor_contiguous(vt, &ordered));
  SQ_TRY(sq_tensor_contiguous(wt, where));
  *values = sq_tensor_give(&ordered);
  return SQ_OK;
}

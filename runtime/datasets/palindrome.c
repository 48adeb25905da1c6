/* palindrome.c: random digit palindromes. */
#include "datasets/palindrome.h"

#include <inttypes.h>
#include <string.h>

#include "base/mem.h"

enum { DIGITS = 10 };

/* One palindrome from its first half: the place of each digit in x, the last one in y. */
static void write_one(int64_t T, const int64_t *half, bool one_hot, float *x, int64_t *y) {
  for (int64_t t = 0; t < T - 1; t++) {
    int64_t digit = half[t < T - 1 - t ? t : T - 1 - t];
    if (one_hot) {
      x[t * DIGITS + digit] = 1;
    } else {
      x[t] = (float)digit;
    }
  }
  *y = half[0];
}

sq_status sq_palindrome_batch(sq_rng *g, int64_t T, int64_t n, bool one_hot, sq_tensor **x,
                              sq_tensor **y) {
  if (T < 2)
    return sq_fail(
        SQ_EARG,
        "[Palindrome] length is %" PRId64 ": a palindrome to complete has at least 2 digits", T);
  if (n < 0)
    return sq_fail(SQ_EARG, "[Palindrome] a batch of %" PRId64 ": it must be 0 or more", n);
  int64_t width = one_hot ? DIGITS : 1, half = (T + 1) / 2, draws;
  SQ_OWN sq_tensor *in = NULL, *out = NULL;
  SQ_TRY(sq_size_mul(n, half, &draws));
  SQ_TRY(sq_tensor_full(SQ_F32, 3, (int64_t[]){n, T - 1, width}, 0, &in));
  SQ_TRY(sq_tensor_new(SQ_I64, 1, &n, &out));
  void *block;
  SQ_TRY(sq_alloc(draws * (int64_t)sizeof(int64_t), &block));
  const int64_t *digits = block;
  sq_rng_randint(g, 0, DIGITS, draws, block);
  float *to = sq_data(in);
  int64_t *labels = sq_data(out);
  for (int64_t i = 0; i < n; i++)
    write_one(T, digits + i * half, one_hot, to + i * (T - 1) * width, labels + i);
  sq_free(block);
  *x = sq_tensor_give(&in);
  *y = sq_tensor_give(&out);
  return SQ_OK;
}

/* others_tmpl.h: products of all elements but one: the gradient of a product, 0 in it or not. */

static void S(prod_others)(int64_t outer, int64_t R, int64_t inner, const void *x, void *y) {
  const T *from = x;
  T *to = y;
  for (int64_t o = 0; o < outer; o++, from += R * inner, to += R * inner) {
    for (int64_t j = 0; j < inner; j++) {
      double before = 1, behind = 1;
      for (int64_t r = 0; r < R; r++) {
        to[r * inner + j] = (T)before;
        before *= (double)from[r * inner + j];
      }
      for (int64_t r = R - 1; r >= 0; r--) {
        to[r * inner + j] = (T)((double)to[r * inner + j] * behind);
        behind *= (double)from[r * inner + j];
      }
    }
  }
}

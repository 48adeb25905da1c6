/* index_tmpl.h: rows added where an index says, for any type that adds; SUM is the type it adds
 * in. */

/* y (.., inner): row at[i] += row i of x (n,inner), in order of i. */
static void S(add_at)(int64_t n, int64_t inner, const int64_t *at, const void *x, void *y) {
  const T *from = x;
  for (int64_t i = 0; i < n; i++, from += inner) {
    T *to = (T *)y + at[i] * inner;
    for (int64_t j = 0; j < inner; j++) to[j] = (T)((SUM)to[j] + (SUM)from[j]);
  }
}

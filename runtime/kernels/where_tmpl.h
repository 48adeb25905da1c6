/* where_tmpl.h: a choice between two inputs, for any type. */

static void S(where)(int64_t n, const uint8_t *c, int64_t cs, const void *a, int64_t as,
                     const void *b, int64_t bs, void *y) {
  const T *p = a, *q = b;
  T *to = y;
  if (cs == 1 && as == 1 && bs == 1) {
    SIMD for (int64_t i = 0; i < n; i++) to[i] = c[i] ? p[i] : q[i];
  } else {
    for (int64_t i = 0; i < n; i++) to[i] = c[i * cs] ? p[i * as] : q[i * bs];
  }
}

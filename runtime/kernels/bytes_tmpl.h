/* bytes_tmpl.h: bytes as numbers in a range, for pictures. */

/* y = lo + (hi - lo) (x / 255): what dividing by 255 and then scaling gives in PyTorch, bit for
 * bit. */
static void S(from_bytes)(int64_t n, const uint8_t *x, double lo, double hi, void *y) {
  T *to = y, low = (T)lo, width = (T)(hi - lo);
  for (int64_t i = 0; i < n; i++) to[i] = low + width * ((T)x[i] / (T)255);
}

/* attention_tmpl.h: the softmax of attention, block by block of keys, and its gradient. Milakov and
 * Gimelshein 2018 (a softmax whose maximum is not known yet); Dao 2023. */

/* z of one row's n columns, in place of s. */
INLINE void S(mask_row)(int64_t n, T scale, const void *mask, bool truth, int64_t stride, T *s) {
  if (!mask) {
    SIMD for (int64_t c = 0; c < n; c++) s[c] *= scale;
  } else if (truth) {
    const uint8_t *m = mask;
    SIMD for (int64_t c = 0; c < n; c++) s[c] = m[c * stride] ? s[c] * scale : K(-INFINITY);
  } else {
    const T *m = mask;
    SIMD for (int64_t c = 0; c < n; c++) s[c] = s[c] * scale + m[c * stride];
  }
}

/* Row r as z; returns how many columns it sees. */
static int64_t S(attention_row)(const sq_attention *a, int64_t r, T *s) {
  const int64_t seen = a->seen + r, n = seen < 0 ? 0 : seen < a->C ? seen : a->C;
  const size_t size = a->truth ? 1 : sizeof(T);
  const char *mask = a->mask;
  if (mask) mask += (size_t)(r * a->mask_row) * size;
  if (a->mask_column == 1) {
    S(mask_row)(n, (T)a->scale, mask, a->truth, 1, s);
  } else {
    S(mask_row)(n, (T)a->scale, mask, a->truth, a->mask_column, s);
  }
  for (int64_t c = n; c < a->C; c++) s[c] = K(-INFINITY);
  return n;
}

static void S(attention)(const sq_attention *a) {
  T *s = a->s;
  for (int64_t r = 0; r < a->R; r++, s += a->step) {
    S(attention_row)(a, r, s);
    const T before = (T)a->max[r], here = S(row_max)(a->C, s);
    const T m = here > before || here != here ? here : before, shift = S(shift_of)(m);
    const bool same = a->sum[r] == 0 || before == m;
    a->factor[r] = same ? 1 : (double)S(mexp)(before - shift);
    a->sum[r] = a->sum[r] * a->factor[r] + S(row_exp)(a->C, s, shift, s);
    a->max[r] = (double)m;
  }
}

static void S(attention_back)(const sq_attention *a) {
  const T scale = (T)a->scale;
  T *s = a->s, *ds = a->ds;
  for (int64_t r = 0; r < a->R; r++, s += a->step, ds += a->step) {
    const int64_t n = S(attention_row)(a, r, s);
    const T lse = (T)a->lse[r], dot = (T)a->dot[r];
    SIMD for (int64_t c = 0; c < n; c++) {
      s[c] = S(mexp)(s[c] - lse);
      ds[c] = s[c] * (ds[c] - dot);
    }
    for (int64_t c = n; c < a->C; c++) s[c] = ds[c] = 0;
    if (a->dmask) memcpy((T *)a->dmask + r * a->dmask_row, ds, (size_t)a->C * sizeof(T));
    SIMD for (int64_t c = 0; c < n; c++) ds[c] *= scale;
  }
}

static void S(dot_rows)(int64_t B, int64_t n, const void *x, int64_t xs, const void *y, int64_t ys,
                        double *out) {
  const T *a = x, *b = y;
  for (int64_t r = 0; r < B; r++, a += xs, b += ys)
    LANE_SUM(out[r], n, (double)a[i] * (double)b[i]);
}

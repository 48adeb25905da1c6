/* patch_tmpl.h: pictures for products. What a convolution multiplies with is what each tap of its
 * kernel reads at each position; as a matrix (taps, positions) that repeats every pixel as often as
 * there are taps. It is never written whole. A picture is laid out once (stage), with zeros around
 * it and its columns dealt by their remainder of the step, so that what a tap reads along a row of
 * results lies side by side: element (tap, position) is then at taps[tap] + where the position is,
 * and pieces of the matrix are packed straight from there (pack_patches). */

/* Row y of channel c, or NULL in the padding. */
static const T *S(source_row)(const sq_stage *s, const T *x, int64_t c, int64_t y) {
  return y < s->PY || y - s->PY >= s->Y ? NULL : x + (c * s->Y + y - s->PY) * s->X;
}

/* The columns of one row whose remainder is `first`; the rest of `to` is 0. */
static void S(stage_row)(const sq_stage *s, const T *row, int64_t first, T *to) {
  int64_t i = 0, x = first - s->PX; /* column i is row[x + i SX] */
  for (; i < s->columns && x < 0; i++, x += s->SX) to[i] = 0;
  const int64_t inside = x < s->X ? (s->X - x + s->SX - 1) / s->SX : 0;
  const int64_t n = inside < s->columns - i ? inside : s->columns - i;
  if (s->SX == 1) {
    for (int64_t v = 0; v < n; v++) to[i + v] = row[x + v];
  } else if (s->SX == 2) {
    for (int64_t v = 0; v < n; v++) to[i + v] = row[x + 2 * v];
  } else {
    for (int64_t v = 0; v < n; v++) to[i + v] = row[x + v * s->SX];
  }
  i += n > 0 ? n : 0;
  for (; i < s->columns; i++) to[i] = 0;
}

static void S(stage)(const sq_stage *s, const void *x, void *staged) {
  T *to = staged;
  for (int64_t c = 0; c < s->C; c++) {
    for (int64_t y = 0; y < s->rows; y++) {
      const T *row = S(source_row)(s, x, c, y);
      for (int64_t first = 0; first < s->SX; first++, to += s->columns) {
        if (row) {
          S(stage_row)(s, row, first, to);
        } else {
          memset(to, 0, (size_t)s->columns * sizeof(T));
        }
      }
    }
  }
}

/* Where positions `first`..first+n lie: runs of them are side by side. Returns how many runs. */
static int S(find_runs)(const sq_patches *p, int64_t first, int64_t n, int64_t *at, int64_t *v) {
  int64_t ox = first % p->OX, oy = first / p->OX % p->OY, b = first / (p->OX * p->OY);
  int runs = 0;
  for (int64_t i = 0; i < n;) {
    at[runs] = b * p->picture + oy * p->row + ox;
    v[runs++] = i;
    i += p->OX - ox;
    ox = 0;
    if (++oy == p->OY) oy = 0, b++;
  }
  return runs;
}

/* One panel. Each run is copied a whole line long: what is too much the next run, or the next line,
 * writes over. */
INLINE void S(pack_runs)(const sq_patches *p, int runs, const int64_t *at, const int64_t *v,
                         T *to) {
  for (int64_t i = 0; i < p->k; i++, to += S(IN_PANEL)) {
    const T *from = (const T *)p->x + p->taps[i];
    for (int r = 0; r < runs; r++) memcpy(to + v[r], from + at[r], SQ_PANEL_BYTES);
  }
}

static void S(pack_patches)(const sq_patches *p) {
  T *to = p->panels;
  int64_t at[S(IN_PANEL)], v[S(IN_PANEL)];
  for (int64_t j = 0; j < p->n; j += S(IN_PANEL), to += p->k * S(IN_PANEL)) {
    const int64_t n = p->n - j < S(IN_PANEL) ? p->n - j : S(IN_PANEL);
    const int runs = S(find_runs)(p, p->first + j, n, at, v);
    if (runs == 1) {
      S(pack_runs)(p, 1, at, v, to);
    } else if (runs == 2) {
      S(pack_runs)(p, 2, at, v, to);
    } else {
      S(pack_runs)(p, runs, at, v, to);
    }
  }
}

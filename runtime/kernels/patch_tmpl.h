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

/* The columns with a remainder of SX: those from..from+n have pixels, every SX-th from x on. */
typedef struct S(comb) {
  int64_t from, n, x;
} S(comb);

static S(comb) S(comb_of)(const sq_stage *s, int64_t rest) {
  const int64_t before = s->PX - rest; /* pixels that are missing in front */
  S(comb) c = {.from = before > 0 ? (before + s->SX - 1) / s->SX : 0};
  c.x = rest - s->PX + c.from * s->SX;
  const int64_t inside = c.x < s->X ? (s->X - c.x + s->SX - 1) / s->SX : 0;
  c.n = inside < s->columns - c.from ? inside : s->columns - c.from;
  return c;
}

static void S(copy_comb)(int64_t n, const T *from, int64_t step, T *to) {
  if (step == 1) {
    memcpy(to, from, (size_t)n * sizeof(T));
  } else if (step == 2) {
    for (int64_t v = 0; v < n; v++) to[v] = from[2 * v];
  } else {
    for (int64_t v = 0; v < n; v++) to[v] = from[v * step];
  }
}

static void S(stage)(const sq_stage *s, const void *x, void *staged) {
  const int64_t line = s->SX * s->columns;
  memset(staged, 0, (size_t)(s->C * s->rows * line) * sizeof(T));
  for (int64_t rest = 0; rest < s->SX; rest++) {
    const S(comb) comb = S(comb_of)(s, rest);
    if (comb.n <= 0) continue;
    T *to = (T *)staged + rest * s->columns + comb.from;
    for (int64_t c = 0; c < s->C; c++)
      for (int64_t y = 0; y < s->rows; y++, to += line) {
        const T *row = S(source_row)(s, x, c, y);
        if (row) S(copy_comb)(comb.n, row + comb.x, s->SX, to);
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

/* One panel. Each run is copied so many bytes long, which is no less than it has: what is too much
 * the next run, or the next line, writes over. */
INLINE void S(pack_runs)(const sq_patches *p, int runs, size_t bytes, const int64_t *at,
                         const int64_t *v, T *to) {
  for (int64_t i = 0; i < p->k; i++, to += S(IN_PANEL)) {
    const T *from = (const T *)p->x + p->taps[i];
    for (int r = 0; r < runs; r++) memcpy(to + v[r], from + at[r], bytes);
  }
}

static void S(pack_patches)(const sq_patches *p) {
  T *to = p->panels;
  int64_t at[S(IN_PANEL)], v[S(IN_PANEL)];
  for (int64_t j = 0; j < p->n; j += S(IN_PANEL), to += p->k * S(IN_PANEL)) {
    const int64_t n = p->n - j < S(IN_PANEL) ? p->n - j : S(IN_PANEL);
    const int runs = S(find_runs)(p, p->first + j, n, at, v);
    const size_t longest = (size_t)(n < p->OX ? n : p->OX) * sizeof(T);
    if (runs == 1) {
      S(pack_runs)(p, 1, SQ_PANEL_BYTES, at, v, to);
    } else if (runs == 2 && longest <= SQ_PANEL_BYTES / 2) {
      S(pack_runs)(p, 2, SQ_PANEL_BYTES / 2, at, v, to);
    } else if (runs == 2) {
      S(pack_runs)(p, 2, SQ_PANEL_BYTES, at, v, to);
    } else if (runs == 4 && longest <= SQ_PANEL_BYTES / 4) {
      S(pack_runs)(p, 4, SQ_PANEL_BYTES / 4, at, v, to);
    } else {
      S(pack_runs)(p, runs, SQ_PANEL_BYTES, at, v, to);
    }
  }
}

/* rnn_tmpl.h: one time step of LSTM and GRU for a slice of rows: all gates of an element in one
 * pass. Hochreiter and Schmidhuber 1997 with Gers' forget gate; Cho et al. 2014 with the reset gate
 * after the product, as in PyTorch. */

INLINE void S(sigmoids)(int64_t n, T *x) {
  SIMD for (int64_t j = 0; j < n; j++) x[j] = S(msigmoid)(x[j]);
}

INLINE void S(tanhs)(int64_t n, T *x) {
  SIMD for (int64_t j = 0; j < n; j++) x[j] = S(mtanh)(x[j]);
}

/* One row, in loops of one function each: a row stays in L1, and short bodies let the processor
 * overlap more of them. prev: whether there is a c_prev; a constant at both calls, so that the loop
 * has no test in it. */
INLINE void S(lstm_row)(int64_t H, T *gates, bool prev, const T *c_prev, T *c, T *h, T *tanh_c) {
  const T *gi = gates, *gf = gates + H, *gg = gates + 2 * H, *go = gates + 3 * H;
  S(sigmoids)(2 * H, gates);
  S(tanhs)(H, gates + 2 * H);
  S(sigmoids)(H, gates + 3 * H);
  SIMD for (int64_t j = 0; j < H; j++) {
    const T cell = FMA(gf[j], prev ? c_prev[j] : K(0), gi[j] * gg[j]);
    const T t = S(mtanh)(cell);
    c[j] = cell, tanh_c[j] = t, h[j] = go[j] * t;
  }
}

static void S(lstm_step)(const sq_lstm *a) {
  const int64_t H = a->H;
  T *g = a->gates.at, *c = a->c.at, *h = a->h.at, *t = a->tanh_c.at;
  const T *prev = a->c_prev.at;
  for (int64_t b = 0; b < a->B; b++) {
    if (prev)
      S(lstm_row)(H, g, true, prev + b * a->c_prev.step, c, h, t);
    else
      S(lstm_row)(H, g, false, NULL, c, h, t);
    g += a->gates.step, c += a->c.step, h += a->h.step, t += a->tanh_c.step;
  }
}

INLINE void S(lstm_row_back)(int64_t H, const T *gates, bool prev, const T *c_prev, const T *tanh_c,
                             const T *dh, T *dc, T *dgates) {
  const T *gi = gates, *gf = gates + H, *gg = gates + 2 * H, *go = gates + 3 * H;
  T *di = dgates, *df = dgates + H, *dg = dgates + 2 * H, *dout = dgates + 3 * H;
  SIMD for (int64_t j = 0; j < H; j++) {
    const T i = gi[j], f = gf[j], g = gg[j], o = go[j], t = tanh_c[j], y = dh[j];
    const T d = FMA(y * o, K(1) - t * t, dc[j]);
    di[j] = d * g * (i * (K(1) - i));
    df[j] = d * (prev ? c_prev[j] : K(0)) * (f * (K(1) - f));
    dg[j] = d * i * (K(1) - g * g);
    dout[j] = y * t * (o * (K(1) - o));
    dc[j] = d * f;
  }
}

static void S(lstm_step_back)(const sq_lstm_back *a) {
  const int64_t H = a->H;
  const T *g = a->gates.at, *prev = a->c_prev.at, *t = a->tanh_c.at, *y = a->dh.at;
  T *d = a->dc.at, *to = a->dgates.at;
  for (int64_t b = 0; b < a->B; b++) {
    if (prev)
      S(lstm_row_back)(H, g, true, prev + b * a->c_prev.step, t, y, d, to);
    else
      S(lstm_row_back)(H, g, false, NULL, t, y, d, to);
    g += a->gates.step, t += a->tanh_c.step, y += a->dh.step;
    d += a->dc.step, to += a->dgates.step;
  }
}

static void S(gru_step)(const sq_gru *a) {
  const int64_t H = a->H;
  for (int64_t b = 0; b < a->B; b++) {
    T *gr = (T *)a->gates.at + b * a->gates.step, *gz = gr + H, *gn = gz + H;
    T *y = (T *)a->h.at + b * a->h.step;
    const T *u = (const T *)a->hn.at + b * a->hn.step;
    const T *h0 = (const T *)a->h_prev.at + b * a->h_prev.step;
    S(sigmoids)(2 * H, gr);
    SIMD for (int64_t j = 0; j < H; j++) {
      const T n = S(mtanh)(FMA(gr[j], u[j], gn[j]));
      gn[j] = n;
      y[j] = FMA(gz[j], h0[j] - n, n);
    }
  }
}

static void S(gru_step_back)(const sq_gru_back *a) {
  const int64_t H = a->H;
  for (int64_t b = 0; b < a->B; b++) {
    const T *gr = (const T *)a->gates.at + b * a->gates.step, *gz = gr + H, *gn = gz + H;
    const T *u = (const T *)a->hn.at + b * a->hn.step;
    const T *h0 = (const T *)a->h_prev.at + b * a->h_prev.step;
    T *y = (T *)a->dh.at + b * a->dh.step, *du = (T *)a->dhn.at + b * a->dhn.step;
    T *dr = (T *)a->dgates.at + b * a->dgates.step, *dz = dr + H, *dn = dz + H;
    SIMD for (int64_t j = 0; j < H; j++) {
      const T r = gr[j], z = gz[j], n = gn[j], d = y[j];
      const T inner = d * (K(1) - z) * (K(1) - n * n);
      dn[j] = inner;
      dz[j] = d * (h0[j] - n) * (z * (K(1) - z));
      dr[j] = inner * u[j] * (r * (K(1) - r));
      du[j] = inner * r;
      y[j] = d * z;
    }
  }
}

static void S(add_row)(int64_t B, int64_t O, int64_t ld, const void *b, void *y) {
  const T *bias = b;
  T *row = y;
  for (int64_t r = 0; r < B; r++, row += ld) {
    SIMD for (int64_t j = 0; j < O; j++) row[j] += bias[j];
  }
}

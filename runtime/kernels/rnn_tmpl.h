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

static void S(lstm_step)(int64_t B, int64_t H, void *gates, int64_t gs, const void *c_prev,
                         int64_t cps, void *c, int64_t cs, void *h, int64_t hs, void *tanh_c,
                         int64_t ts) {
  T *g = gates, *c1 = c, *h1 = h, *t = tanh_c;
  const T *c0 = c_prev;
  for (int64_t b = 0; b < B; b++) {
    if (c0) {
      S(lstm_row)(H, g + b * gs, true, c0 + b * cps, c1 + b * cs, h1 + b * hs, t + b * ts);
    } else {
      S(lstm_row)(H, g + b * gs, false, NULL, c1 + b * cs, h1 + b * hs, t + b * ts);
    }
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

static void S(lstm_step_back)(int64_t B, int64_t H, const void *gates, int64_t gs,
                              const void *c_prev, int64_t cps, const void *tanh_c, int64_t ts,
                              const void *dh, int64_t dhs, void *dc, int64_t dcs, void *dgates,
                              int64_t dgs) {
  const T *g = gates, *c0 = c_prev, *t = tanh_c, *y = dh;
  T *d = dc, *to = dgates;
  for (int64_t b = 0; b < B; b++, g += gs, t += ts, y += dhs, d += dcs, to += dgs) {
    if (c0)
      S(lstm_row_back)(H, g, true, c0 + b * cps, t, y, d, to);
    else
      S(lstm_row_back)(H, g, false, NULL, t, y, d, to);
  }
}

static void S(gru_step)(int64_t B, int64_t H, void *gates, int64_t gs, const void *hn, int64_t hns,
                        const void *h_prev, int64_t hps, void *h, int64_t hs) {
  for (int64_t b = 0; b < B; b++) {
    T *gr = (T *)gates + b * gs, *gz = gr + H, *gn = gz + H, *y = (T *)h + b * hs;
    const T *u = (const T *)hn + b * hns, *h0 = (const T *)h_prev + b * hps;
    S(sigmoids)(2 * H, gr);
    SIMD for (int64_t j = 0; j < H; j++) {
      const T n = S(mtanh)(FMA(gr[j], u[j], gn[j]));
      gn[j] = n;
      y[j] = FMA(gz[j], h0[j] - n, n);
    }
  }
}

static void S(gru_step_back)(int64_t B, int64_t H, const void *gates, int64_t gs, const void *hn,
                             int64_t hns, const void *h_prev, int64_t hps, void *dh, int64_t dhs,
                             void *dgates, int64_t dgs, void *dhn, int64_t dhns) {
  for (int64_t b = 0; b < B; b++) {
    const T *gr = (const T *)gates + b * gs, *gz = gr + H, *gn = gz + H;
    const T *u = (const T *)hn + b * hns, *h0 = (const T *)h_prev + b * hps;
    T *y = (T *)dh + b * dhs, *dr = (T *)dgates + b * dgs, *dz = dr + H, *dn = dz + H;
    T *du = (T *)dhn + b * dhns;
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

static void S(add_row)(int64_t B, int64_t O, const void *b, void *y) {
  const T *bias = b;
  T *row = y;
  for (int64_t r = 0; r < B; r++, row += O) {
    SIMD for (int64_t j = 0; j < O; j++) row[j] += bias[j];
  }
}

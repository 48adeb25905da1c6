/* loss_tmpl.h: cross-entropy of logits with class labels, softmax and all. As PyTorch: smoothing s
 * gives the target (1-s) onehot + s/C, and each class counts with its own weight. */

/* sum_c w_c (log p_c), log p_c = x_c - shift: what smoothing adds. */
static double S(weighted_sum)(int64_t C, const T *x, double shift, const T *w) {
  double sum;
  if (w)
    LANE_SUM(sum, C, (double)w[i] * ((double)x[i] - shift));
  else
    LANE_SUM(sum, C, (double)x[i] - shift);
  return sum;
}

static void S(cross_entropy)(const sq_cross_entropy *a) {
  const int64_t C = a->C, *t = a->t;
  const double smoothing = a->smoothing;
  const T *w = a->weight;
  for (int64_t b = 0; b < a->B; b++) {
    const T *row = (const T *)a->x + b * C, max = S(row_max)(C, row);
    T *prob = (T *)a->p + b * C;
    const double sum = S(row_exp)(C, row, max, prob), shift = (double)max + log(sum);
    const T factor = (T)(1 / sum);
    SIMD for (int64_t i = 0; i < C; i++) prob[i] *= factor;
    double y = 0;
    if (t[b] != a->ignore) {
      const double log_p = (double)row[t[b]] - shift;
      y = -(1 - smoothing) * (w ? (double)w[t[b]] : 1) * log_p;
      if (smoothing > 0) y -= smoothing / (double)C * S(weighted_sum)(C, row, shift, w);
    }
    ((T *)a->loss)[b] = (T)y;
  }
}

/* dx = g (a p - hit onehot - flat w), with a = hit + flat sum w. */
static void S(cross_entropy_back)(const sq_cross_entropy *a) {
  const int64_t C = a->C, *t = a->t;
  const double smoothing = a->smoothing;
  const T *w = a->weight, *dy = a->g;
  const double total = w ? S(row_sum)(C, w) : (double)C;
  for (int64_t b = 0; b < a->B; b++) {
    const T *prob = (const T *)a->p + b * C;
    T *to = (T *)a->dx + b * C;
    if (t[b] == a->ignore) {
      memset(to, 0, (size_t)C * sizeof(T));
      continue;
    }
    const double scale = (double)dy[b * a->gs], flat = scale * smoothing / (double)C;
    const double hit = scale * (1 - smoothing) * (w ? (double)w[t[b]] : 1);
    const T all = (T)(hit + flat * total), even = (T)flat;
    if (smoothing > 0 && w) {
      SIMD for (int64_t i = 0; i < C; i++) to[i] = all * prob[i] - even * w[i];
    } else {
      SIMD for (int64_t i = 0; i < C; i++) to[i] = all * prob[i] - even;
    }
    to[t[b]] -= (T)hit;
  }
}

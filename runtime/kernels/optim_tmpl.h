/* optim_tmpl.h: optimizer updates of n elements, formulas and order as in torch.optim. Options are
 * constants of the loop: a zero weight decay costs a multiplication, not a branch. */

static void S(sgd_plain)(int64_t n, T lr, T sign, T decay, T *w, const T *g) {
  SIMD for (int64_t i = 0; i < n; i++) w[i] -= lr * FMA(decay, w[i], sign * g[i]);
}

static void S(sgd_step)(int64_t n, double lr, double momentum, double dampening,
                        double weight_decay, bool nesterov, bool maximize, bool first, void *w,
                        const void *g, void *buf) {
  const T rate = (T)lr, sign = maximize ? K(-1) : K(1), decay = (T)weight_decay;
  const T keep = first ? K(0) : (T)momentum, take = first ? K(1) : (T)(1 - dampening);
  const T ahead = nesterov ? (T)momentum : K(1), own = nesterov ? K(1) : K(0);
  const T *grad = g;
  T *x = w, *v = buf;
  if (!v) {
    S(sgd_plain)(n, rate, sign, decay, x, grad);
    return;
  }
  if (first) memset(v, 0, (size_t)n * sizeof(T));
  SIMD for (int64_t i = 0; i < n; i++) {
    const T d = FMA(decay, x[i], sign * grad[i]);
    v[i] = keep * v[i] + take * d;
    x[i] -= rate * (own * d + ahead * v[i]);
  }
}

/* centered and moving (momentum > 0) are constants at each call. */
INLINE void S(rmsprop_loop)(int64_t n, bool centered, bool moving, T lr, T alpha, T eps, T decay,
                            T momentum, T sign, T *w, const T *g, T *square, T *mean, T *buf,
                            T rest) {
  SIMD for (int64_t i = 0; i < n; i++) {
    const T d = FMA(decay, w[i], sign * g[i]);
    T s = square[i] = alpha * square[i] + rest * d * d;
    if (centered) {
      const T m = mean[i] = alpha * mean[i] + rest * d;
      s -= m * m;
    }
    T step = d / (SQRT(s) + eps);
    if (moving) step = buf[i] = momentum * buf[i] + step;
    w[i] -= lr * step;
  }
}

static void S(rmsprop_step)(int64_t n, double lr, double alpha, double eps, double weight_decay,
                            double momentum, bool centered, bool maximize, void *w, const void *g,
                            void *square, void *mean, void *buf) {
  const T sign = maximize ? K(-1) : K(1);
#define LOOP(is_centered, is_moving)                                                             \
  S(rmsprop_loop)                                                                                \
  (n, is_centered, is_moving, (T)lr, (T)alpha, (T)eps, (T)weight_decay, (T)momentum, sign, w, g, \
   square, mean, buf, (T)(1 - alpha))
  if (centered && momentum > 0)
    LOOP(true, true);
  else if (centered)
    LOOP(true, false);
  else if (momentum > 0)
    LOOP(false, true);
  else
    LOOP(false, false);
#undef LOOP
}

/* amsgrad is a constant at each call. */
INLINE void S(adam_loop)(int64_t n, bool amsgrad, T rate, T root, T beta1, T rest1, T beta2,
                         T rest2, T eps, T decay, T shrink, T sign, T *w, const T *g, T *m, T *v,
                         T *vmax) {
  SIMD for (int64_t i = 0; i < n; i++) {
    const T x = w[i] * shrink, d = FMA(decay, x, sign * g[i]);
    const T m1 = m[i] = beta1 * m[i] + rest1 * d;
    T v1 = v[i] = beta2 * v[i] + rest2 * d * d;
    if (amsgrad) v1 = vmax[i] = (vmax[i] > v1) | (vmax[i] != vmax[i]) ? vmax[i] : v1;
    w[i] = x - rate * m1 / (SQRT(v1) / root + eps);
  }
}

static void S(adam_step)(int64_t n, double lr, double beta1, double beta2, double eps,
                         double weight_decay, bool decoupled, bool maximize, int64_t step, void *w,
                         const void *g, void *m, void *v, void *vmax) {
  const T rate = (T)(lr / (1 - pow(beta1, (double)step)));
  const T root = (T)sqrt(1 - pow(beta2, (double)step));
  const T decay = decoupled ? K(0) : (T)weight_decay;
  const T shrink = decoupled ? (T)(1 - lr * weight_decay) : K(1);
  const T sign = maximize ? K(-1) : K(1), b1 = (T)beta1, r1 = (T)(1 - beta1), b2 = (T)beta2;
  const T r2 = (T)(1 - beta2), small = (T)eps;
  if (vmax) {
    S(adam_loop)(n, true, rate, root, b1, r1, b2, r2, small, decay, shrink, sign, w, g, m, v, vmax);
  } else {
    S(adam_loop)
    (n, false, rate, root, b1, r1, b2, r2, small, decay, shrink, sign, w, g, m, v, NULL);
  }
}

static void S(adagrad_step)(int64_t n, double lr, double lr_decay, double eps, double weight_decay,
                            bool maximize, int64_t step, void *w, const void *g, void *sum) {
  const T rate = (T)(lr / (1 + (double)(step - 1) * lr_decay));
  const T sign = maximize ? K(-1) : K(1), decay = (T)weight_decay, small = (T)eps;
  const T *grad = g;
  T *x = w, *s = sum;
  SIMD for (int64_t i = 0; i < n; i++) {
    const T d = FMA(decay, x[i], sign * grad[i]);
    const T s1 = s[i] = s[i] + d * d;
    x[i] -= rate * d / (SQRT(s1) + small);
  }
}

/* optim_tmpl.h: optimizer updates of n elements, formulas and order as in torch.optim. Options are
 * constants of the loop: a zero weight decay costs a multiplication, not a branch. */

static void S(sgd_plain)(int64_t n, T lr, T sign, T decay, T *w, const T *g) {
  SIMD for (int64_t i = 0; i < n; i++) w[i] -= lr * FMA(decay, w[i], sign * g[i]);
}

static void S(sgd_step)(int64_t n, const sq_sgd *o, void *w, const void *g, void *buf) {
  const T rate = (T)o->lr, sign = o->maximize ? K(-1) : K(1), decay = (T)o->weight_decay;
  const T keep = o->first ? K(0) : (T)o->momentum, take = o->first ? K(1) : (T)(1 - o->dampening);
  const T ahead = o->nesterov ? (T)o->momentum : K(1), own = o->nesterov ? K(1) : K(0);
  const T *grad = g;
  T *x = w, *v = buf;
  if (!v) {
    S(sgd_plain)(n, rate, sign, decay, x, grad);
    return;
  }
  if (o->first) memset(v, 0, (size_t)n * sizeof(T));
  SIMD for (int64_t i = 0; i < n; i++) {
    const T d = FMA(decay, x[i], sign * grad[i]);
    v[i] = keep * v[i] + take * d;
    x[i] -= rate * (own * d + ahead * v[i]);
  }
}

/* centered and moving (momentum > 0) are constants at each call. */
INLINE void S(rmsprop_loop)(int64_t n, bool centered, bool moving, const sq_rmsprop *o, T *w,
                            const T *g, T *square, T *mean, T *buf) {
  const T lr = (T)o->lr, alpha = (T)o->alpha, rest = (T)(1 - o->alpha), eps = (T)o->eps;
  const T decay = (T)o->weight_decay, momentum = (T)o->momentum;
  const T sign = o->maximize ? K(-1) : K(1);
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

static void S(rmsprop_step)(int64_t n, const sq_rmsprop *o, void *w, const void *g, void *square,
                            void *mean, void *buf) {
  const bool moving = o->momentum > 0;
  if (o->centered && moving)
    S(rmsprop_loop)(n, true, true, o, w, g, square, mean, buf);
  else if (o->centered)
    S(rmsprop_loop)(n, true, false, o, w, g, square, mean, buf);
  else if (moving)
    S(rmsprop_loop)(n, false, true, o, w, g, square, mean, buf);
  else
    S(rmsprop_loop)(n, false, false, o, w, g, square, mean, buf);
}

/* amsgrad is a constant at each call. */
INLINE void S(adam_loop)(int64_t n, bool amsgrad, const sq_adam *o, T *w, const T *g, T *m, T *v,
                         T *vmax) {
  const T rate = (T)(o->lr / (1 - pow(o->beta1, (double)o->step)));
  const T root = (T)sqrt(1 - pow(o->beta2, (double)o->step)), eps = (T)o->eps;
  const T decay = o->decoupled ? K(0) : (T)o->weight_decay;
  const T shrink = o->decoupled ? (T)(1 - o->lr * o->weight_decay) : K(1);
  const T sign = o->maximize ? K(-1) : K(1), beta1 = (T)o->beta1, beta2 = (T)o->beta2;
  const T rest1 = (T)(1 - o->beta1), rest2 = (T)(1 - o->beta2);
  SIMD for (int64_t i = 0; i < n; i++) {
    const T x = w[i] * shrink, d = FMA(decay, x, sign * g[i]);
    const T m1 = m[i] = beta1 * m[i] + rest1 * d;
    T v1 = v[i] = beta2 * v[i] + rest2 * d * d;
    if (amsgrad) v1 = vmax[i] = (vmax[i] > v1) | (vmax[i] != vmax[i]) ? vmax[i] : v1;
    w[i] = x - rate * m1 / (SQRT(v1) / root + eps);
  }
}

static void S(adam_step)(int64_t n, const sq_adam *o, void *w, const void *g, void *m, void *v,
                         void *vmax) {
  if (vmax)
    S(adam_loop)(n, true, o, w, g, m, v, vmax);
  else
    S(adam_loop)(n, false, o, w, g, m, v, NULL);
}

static void S(adagrad_step)(int64_t n, const sq_adagrad *o, void *w, const void *g, void *sum) {
  const T rate = (T)(o->lr / (1 + (double)(o->step - 1) * o->lr_decay));
  const T sign = o->maximize ? K(-1) : K(1), decay = (T)o->weight_decay, small = (T)o->eps;
  const T *grad = g;
  T *x = w, *s = sum;
  SIMD for (int64_t i = 0; i < n; i++) {
    const T d = FMA(decay, x[i], sign * grad[i]);
    const T s1 = s[i] = s[i] + d * d;
    x[i] -= rate * d / (SQRT(s1) + small);
  }
}

static void S(adadelta_step)(int64_t n, const sq_adadelta *o, void *w, const void *g, void *square,
                             void *delta) {
  const T rate = (T)o->lr, rho = (T)o->rho, rest = (T)(1 - o->rho), small = (T)o->eps;
  const T sign = o->maximize ? K(-1) : K(1), decay = (T)o->weight_decay;
  const T *grad = g;
  T *x = w, *s = square, *a = delta;
  SIMD for (int64_t i = 0; i < n; i++) {
    const T d = FMA(decay, x[i], sign * grad[i]);
    const T s1 = s[i] = rho * s[i] + rest * d * d;
    const T step = SQRT(a[i] + small) / SQRT(s1 + small) * d;
    a[i] = rho * a[i] + rest * step * step;
    x[i] -= rate * step;
  }
}

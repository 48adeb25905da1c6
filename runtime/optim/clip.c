/* clip.c: gradient clipping. Norms are added in double, tensor after tensor. */
#include "optim/clip.h"

#include <math.h>

#include "tensor/map.h"
#include "tensor/reduce.h"

/* Adds sum |g|^p of one tensor to *sum; for p = infinity, raises *sum to max |g|. */
static sq_status add_power(sq_tensor *g, double p, double *sum) {
  double part = 0;
  if (p == 2) {
    SQ_TRY(sq_sumsq(g, &part));
    *sum += part;
    return SQ_OK;
  }
  for (int64_t i = 0; i < g->numel; i++) {
    double x = fabs(sq_tensor_get(g, i));
    if (isinf(p)) {
      part = x > part || isnan(x) ? x : part;
    } else {
      part += pow(x, p);
    }
  }
  *sum = !isinf(p) ? *sum + part : part > *sum || isnan(part) ? part : *sum;
  return SQ_OK;
}

/* Before any is changed. */
static sq_status check_all_apart(const char *op, int n, sq_tensor *const *grads) {
  for (int i = 0; i < n; i++) {
    if (grads[i]) SQ_TRY(sq_check_apart(op, grads[i]));
  }
  return SQ_OK;
}

sq_status sq_clip_norm(int n, sq_tensor *const *grads, double max_norm, double p, bool finite,
                       double *norm) {
  if (!(p > 0)) return sq_fail(SQ_EARG, "[clip_grad_norm_] norm_type is %g: it must be above 0", p);
  if (!(max_norm >= 0))
    return sq_fail(SQ_EARG, "[clip_grad_norm_] max_norm is %g: it must be 0 or more", max_norm);
  SQ_TRY(check_all_apart("clip_grad_norm", n, grads));
  double sum = 0;
  for (int i = 0; i < n; i++) {
    if (grads[i]) SQ_TRY(add_power(grads[i], p, &sum));
  }
  double total = p == 2 ? sqrt(sum) : isinf(p) ? sum : pow(sum, 1 / p);
  if (finite && !isfinite(total)) {
    return sq_fail(SQ_ESTATE, "[clip_grad_norm_] the gradients' norm is %g: training has diverged",
                   total);
  }
  double factor = max_norm / (total + 1e-6);
  for (int i = 0; i < n && !(factor >= 1); i++) {
    if (!grads[i]) continue;
    SQ_TRY(sq_map_into(SQ_ELEM_scale, &grads[i], &factor, grads[i]));
    sq_tensor_changed(grads[i]);
  }
  *norm = total;
  return SQ_OK;
}

sq_status sq_clip_value(int n, sq_tensor *const *grads, double limit) {
  double range[] = {-limit, limit};
  SQ_TRY(check_all_apart("clip_grad_value", n, grads));
  for (int i = 0; i < n; i++) {
    if (!grads[i]) continue;
    SQ_TRY(sq_map_into(SQ_ELEM_clamp, &grads[i], range, grads[i]));
    sq_tensor_changed(grads[i]);
  }
  return SQ_OK;
}

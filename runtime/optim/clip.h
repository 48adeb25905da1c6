/* clip.h: limits on gradients. */
#ifndef SQ_OPTIM_CLIP_H
#define SQ_OPTIM_CLIP_H

#include "tensor/tensor.h"

/* Scales n gradients in place by min(1, max_norm / (norm + 1e-6)), norm = (sum |g|^p)^(1/p) over
 * all of them, p > 0 or infinity; *norm is what it was before. NULL entries are passed over. As
 * torch.nn.utils.clip_grad_norm_. [fails: arg, type, nomem, intr; with `finite`: state, when the
 * norm is NaN or infinite | Lua thread] */
SQ_CHECKED sq_status sq_clip_norm(int n, sq_tensor *const *grads, double max_norm, double p,
                                  bool finite, double *norm);

/* Brings every element of n gradients into -limit..limit. [fails: type, intr | Lua thread] */
SQ_CHECKED sq_status sq_clip_value(int n, sq_tensor *const *grads, double limit);

#endif

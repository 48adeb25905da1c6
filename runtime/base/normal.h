/* normal.h: sixteen uniforms become sixteen normals, to the bit as PyTorch's AVX2 build makes
 * them. */
#ifndef SQ_BASE_NORMAL_H
#define SQ_BASE_NORMAL_H

/* x[j], x[j+8] = mean + std r cos t, mean + std r sin t, with r = sqrt(-2 log(1 - x[j])), t = 2 pi
 * x[j+8], for j in 0..7; x in [0, 1). log, sine and cosine are Moshier's single-precision ones
 * (Cephes 2.2), rounded after every step that the fused instructions of x86 round after; the same
 * bits on every processor. [any thread] */
void sq_normal_block(float *x, float mean, float std);

#endif

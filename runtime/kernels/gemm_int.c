/* gemm_int.c: matrix products of integers, which no BLAS has: plain loops, arithmetic wraps. */
#include "kernels/kern_priv.h"

/* C (m,n) = A (m,k) B (k,n); element (i,p) of A is a[i di + p dp], (p,j) of B is b[p ep + j ej]. */
#define PRODUCT(name, T, U)                                                                    \
  static void name(int64_t m, int64_t n, int64_t k, const T *a, int64_t di, int64_t dp,        \
                   const T *b, int64_t ep, int64_t ej, T *c, int64_t ldc) {                    \
    for (int64_t i = 0; i < m; i++) {                                                          \
      T *row = c + i * ldc;                                                                    \
      for (int64_t j = 0; j < n; j++) row[j] = 0;                                              \
      for (int64_t p = 0; p < k; p++) {                                                        \
        const U factor = (U)a[i * di + p * dp];                                                \
        const T *from = b + p * ep;                                                            \
        for (int64_t j = 0; j < n; j++) row[j] = (T)(U)((U)row[j] + factor * (U)from[j * ej]); \
      }                                                                                        \
    }                                                                                          \
  }

PRODUCT(product_i64, int64_t, uint64_t)
PRODUCT(product_u8, uint8_t, uint32_t)

void sq__gemm_int(const sq_gemm *g) {
  const int64_t di = g->ta ? 1 : g->lda, dp = g->ta ? g->lda : 1;
  const int64_t ep = g->tb ? 1 : g->ldb, ej = g->tb ? g->ldb : 1;
  if (g->dtype == SQ_I64) {
    product_i64(g->m, g->n, g->k, g->a, di, dp, g->b, ep, ej, g->c, g->ldc);
  } else {
    product_u8(g->m, g->n, g->k, g->a, di, dp, g->b, ep, ej, g->c, g->ldc);
  }
}

/* gemm.h: matrix products: our own by packed panels, the BLAS's where both operands are large. */
#ifndef SQ_KERNELS_GEMM_H
#define SQ_KERNELS_GEMM_H

#include "base/shape.h"

/* C (m,n) = op(A) (m,k) op(B) (k,n), or C += where `add`, all row-major, leading dims in elements;
 * op transposes where ta, tb say so. C overlaps neither; without `add` it is not read; k = 0 gives
 * 0. int64 and uint8 wrap, and cannot add. */
typedef struct sq_gemm {
  sq_dtype dtype;
  bool ta, tb, add;
  int64_t m, n, k;
  const void *a;
  int64_t lda;
  const void *b;
  int64_t ldb;
  void *c;
  int64_t ldc;
  const void *bias;          /* (n), which each row gets added last; or NULL; floats only */
  int64_t batch, sa, sb, sc; /* so many products, sa, sb, sc elements from one to the next (0:
                                the same again); batch 0 is one product */
} sq_gemm;

/* The products, cut into tiles by shape alone and run by the pool; the whole of k is in each tile.
 * An element is one sum in the order of k by fused multiply-adds, where the BLAS has no part in it:
 * the same bits by every ISA that has them. [fails: shape, a size over 2^31-1; nomem; io, no BLAS;
 * intr | Lua thread] */
SQ_CHECKED sq_status sq_gemm_run(const sq_gemm *g);

/* One product on this thread by our own panels: for tiles. `scratch` has sq_gemm_scratch(g) bytes
 * or more, 64-byte aligned; float32 and float64. [any thread] */
void sq_gemm_tile(const sq_gemm *g, void *scratch);
int64_t sq_gemm_scratch(const sq_gemm *g);

/* Bytes of the panels that are packed at once of B (k,n): at most SQ_PRODUCT_DEPTH by
 * SQ_PRODUCT_COLUMNS of it. */
int64_t sq_piece_bytes(sq_dtype dtype, int64_t k, int64_t n);

/* Whether every product is our own, however large, so that bits depend on no BLAS: SEQRT_PORTABLE
 * in the environment, neither empty nor 0, as it was at the first question. [Lua thread] */
bool sq_gemm_portable(void);

/* Who has multiplied so far: "own panels (avx2)", and the BLAS by its name where a product was
 * large; or that it is never asked. [borrow, until the next call | Lua thread] */
const char *sq_gemm_engine(void);

#endif

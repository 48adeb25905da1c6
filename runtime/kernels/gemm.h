/* gemm.h: matrix products over a single-threaded BLAS. */
#ifndef SQ_KERNELS_GEMM_H
#define SQ_KERNELS_GEMM_H

#include "base/shape.h"

/* Loads the BLAS with its own threads off and the kernels that fit the chosen ISA; later calls do
 * nothing. [fails: io, the library is missing, naming it | Lua thread] */
SQ_CHECKED sq_status sq_blas_load(void);

/* What the load took, in nanoseconds; 0 before it. [any thread] */
int64_t sq_blas_load_ns(void);

/* "libopenblas.so.0 (SkylakeX)", or the library's name where it does not tell; "not loaded yet".
 * [borrow | Lua thread] */
const char *sq_blas_name(void);

/* C (m,n) = alpha op(A) (m,k) op(B) (k,n) + beta C, row-major, leading dims in elements; op
 * transposes where ta, tb say so. One thread, no tiles: what a tile calls. beta = 0 writes C
 * without reading it. int64 and uint8 wrap, and have alpha 1 and beta 0 only. m, n, k and the
 * leading dims are at most 2^31-1. [any thread, after sq_blas_load] */
void sq_gemm(sq_dtype dtype, bool ta, bool tb, int64_t m, int64_t n, int64_t k, double alpha,
             const void *a, int64_t lda, const void *b, int64_t ldb, double beta, void *c,
             int64_t ldc);

/* The same, cut into tiles by shape alone and run by the pool; the whole of k is in each tile.
 * [fails: shape, a size over 2^31-1; io, as sq_blas_load; intr | Lua thread] */
SQ_CHECKED sq_status sq_gemm_tiled(sq_dtype dtype, bool ta, bool tb, int64_t m, int64_t n,
                                   int64_t k, double alpha, const void *a, int64_t lda,
                                   const void *b, int64_t ldb, double beta, void *c, int64_t ldc);

/* `batch` products of one shape; operands step by sa, sb, sc elements (0 repeats one). [fails: as
 * sq_gemm_tiled] */
SQ_CHECKED sq_status sq_gemm_batched(sq_dtype dtype, bool ta, bool tb, int64_t batch, int64_t m,
                                     int64_t n, int64_t k, double alpha, const void *a, int64_t lda,
                                     int64_t sa, const void *b, int64_t ldb, int64_t sb,
                                     double beta, void *c, int64_t ldc, int64_t sc);

#endif

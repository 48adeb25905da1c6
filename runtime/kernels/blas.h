/* blas.h: the BLAS, a library of its own: for large plain products. */
#ifndef SQ_KERNELS_BLAS_H
#define SQ_KERNELS_BLAS_H

#include "kernels/gemm.h"

/* Loads the BLAS with its own threads off and the kernels that fit the chosen ISA; later calls do
 * nothing. [fails: io, the library is missing, naming it | Lua thread] */
SQ_CHECKED sq_status sq_blas_load(void);

/* What the load took, in nanoseconds; 0 before it. [any thread] */
int64_t sq_blas_load_ns(void);

/* "libopenblas.so.0 (SkylakeX)", or the library's name where it does not tell; "not loaded".
 * [borrow | Lua thread] */
const char *sq_blas_name(void);

/* One product (batch and bias are not looked at) on this thread: float32 or float64, no size 0,
 * sizes and leading dims at most 2^31-1. [any thread, after sq_blas_load] */
void sq_blas_gemm(const sq_gemm *g);

#endif

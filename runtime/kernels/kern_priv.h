/* kern_priv.h: the tables that kern.c chooses from. */
#ifndef SQ_KERNELS_KERN_PRIV_H
#define SQ_KERNELS_KERN_PRIV_H

#include "kernels/gemm.h"
#include "kernels/kern.h"

/* The table of SQ_F32 or SQ_F64, NULL for another dtype. Calling a kernel of an unsupported ISA is
 * an illegal instruction; getting the table is not. [borrow | any thread] */
const sq_kern *sq__kern_base(sq_dtype dtype);
const sq_kern *sq__kern_avx2(sq_dtype dtype);
const sq_kern *sq__kern_avx512(sq_dtype dtype);

/* The table of SQ_I64, SQ_U8 or SQ_BOOL, NULL for another dtype; the same for every ISA.
 * [borrow | any thread] */
const sq_kern *sq__kern_int(sq_dtype dtype);

/* One product of int64 or uint8; k may be 0. [any thread] */
void sq__gemm_int(const sq_gemm *g);

#endif

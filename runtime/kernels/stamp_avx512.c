/* stamp_avx512.c: the kernels for AVX-512 F, DQ, BW, VL. */
#define STAMP_ISA avx512
#define STAMP_FMA 1
#define STAMP_VECTOR 64 /* bytes */
#define STAMP_ROWS 12
#define STAMP_PANELS 2
#include "kernels/stamp.h"

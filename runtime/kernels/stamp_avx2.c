/* stamp_avx2.c: the kernels for AVX2 and FMA. */
#define STAMP_ISA avx2
#define STAMP_FMA 1
#define STAMP_VECTOR 32 /* bytes */
#define STAMP_ROWS 6
#define STAMP_PANELS 1
#include "kernels/stamp.h"

/* stamp_avx2.c: the kernels for AVX2 and FMA. */
#define STAMP_ISA avx2
#define STAMP_FMA 1
#include "kernels/stamp.h"

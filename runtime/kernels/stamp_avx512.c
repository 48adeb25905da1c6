/* stamp_avx512.c: the kernels for AVX-512 F, DQ, BW, VL. */
#define STAMP_ISA avx512
#define STAMP_FMA 1
#include "kernels/stamp.h"

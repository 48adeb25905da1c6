/* stamp_base.c: the kernels for any x86-64 (SSE2), and any other processor. */
#define STAMP_ISA base
#define STAMP_FMA 0
#define STAMP_VECTOR 16 /* bytes */
#define STAMP_ROWS 2
#define STAMP_PANELS 1
#include "kernels/stamp.h"

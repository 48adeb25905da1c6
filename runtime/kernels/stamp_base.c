/* stamp_base.c: the kernels for any x86-64 (SSE2), and any other processor. */
#define STAMP_ISA base
#define STAMP_FMA 0
#include "kernels/stamp.h"

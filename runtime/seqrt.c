/* seqrt.c: the start of the library. */
#include "seqrt.h"

sq_status sq_init(void) { return sq_kern_init(); }

/* cpu.h: which kernel set this processor runs. */
#ifndef SQ_BASE_CPU_H
#define SQ_BASE_CPU_H

#include "base/status.h"

typedef enum sq_isa { SQ_ISA_BASE, SQ_ISA_AVX2, SQ_ISA_AVX512, SQ_ISAS } sq_isa;

/* "base", "avx2", "avx512". [borrow | any thread] */
const char *sq_isa_name(sq_isa isa);

/* True when processor and operating system both support it (CPUID, and XCR0 for the registers'
 * saving). [any thread] */
bool sq_isa_supported(sq_isa isa);

/* The kernel set in use: SEQRT_ISA if set, else the best supported; chosen once. [fails: arg, when
 * SEQRT_ISA is unknown or not supported here | Lua thread] */
SQ_CHECKED sq_status sq_isa_select(sq_isa *out);

/* The processor's name as it gives it, "unknown" without one. [borrow | Lua thread] */
const char *sq_cpu_name(void);

#endif

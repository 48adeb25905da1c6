/* stamp.h: makes one ISA's kernels out of the templates, for float32 and float64. A stamp_<isa>.c
 * defines STAMP_ISA (its name), STAMP_FMA (1 where the processor has fused multiply-add) and the
 * tile of a product that its registers hold (STAMP_VECTOR bytes of a vector, STAMP_ROWS rows,
 * STAMP_PANELS panels), includes this, and is compiled with its own flags.
 *
 * In a template, T is the type, U the unsigned integer of its width, S(name) the name of this
 * stamp, K(x) a constant of type T, FMA(a, b, c) = a b + c, SIMD stands before a loop whose
 * iterations are independent. No template includes anything, no function of a template is seen
 * outside its stamp. */
#include <math.h>
#include <string.h>

#include "kernels/kern_priv.h"

#define SIMD _Pragma("omp simd")
#define INLINE \
  static inline __attribute__((always_inline)) /* a call in a loop keeps it from vectorising */
#define PASTE_(a, b) a##_##b
#define PASTE(a, b) PASTE_(a, b)
#define S(name) PASTE(name, SUFFIX)
#define K(x) ((T)(x))

#define T float
#define U uint32_t
#define SUFFIX f32
#define BITS 32
#define SQRT(x) __builtin_sqrtf(x)
#define FABS(x) __builtin_fabsf(x)
#define FLOOR(x) __builtin_floorf(x)
#define CEIL(x) __builtin_ceilf(x)
#define RINT(x) __builtin_rintf(x)
#define TRUNC(x) __builtin_truncf(x)
#define FMOD(x, y) __builtin_fmodf(x, y)
#define COPYSIGN(x, y) __builtin_copysignf(x, y)
#if STAMP_FMA
#define FMA(a, b, c) __builtin_fmaf(a, b, c)
#else
#define FMA(a, b, c) ((a) * (b) + (c))
#endif
#include "kernels/all_tmpl.h"
#undef T
#undef U
#undef SUFFIX
#undef BITS
#undef SQRT
#undef FABS
#undef FLOOR
#undef CEIL
#undef RINT
#undef TRUNC
#undef FMOD
#undef COPYSIGN
#undef FMA

#define T double
#define U uint64_t
#define SUFFIX f64
#define BITS 64
#define SQRT(x) __builtin_sqrt(x)
#define FABS(x) __builtin_fabs(x)
#define FLOOR(x) __builtin_floor(x)
#define CEIL(x) __builtin_ceil(x)
#define RINT(x) __builtin_rint(x)
#define TRUNC(x) __builtin_trunc(x)
#define FMOD(x, y) __builtin_fmod(x, y)
#define COPYSIGN(x, y) __builtin_copysign(x, y)
#if STAMP_FMA
#define FMA(a, b, c) __builtin_fma(a, b, c)
#else
#define FMA(a, b, c) ((a) * (b) + (c))
#endif
#include "kernels/all_tmpl.h"

const sq_kern *PASTE(sq__kern, STAMP_ISA)(sq_dtype dtype) {
  return dtype == SQ_F32 ? &table_f32 : dtype == SQ_F64 ? &table_f64 : NULL;
}

/* wire.h: the numbers that files hold, of more types than tensors have, and their conversion. */
#ifndef SQ_BASE_WIRE_H
#define SQ_BASE_WIRE_H

#include "base/shape.h"

typedef enum sq_wire {
  SQ_WIRE_BOOL,
  SQ_WIRE_U8,
  SQ_WIRE_I8,
  SQ_WIRE_U16,
  SQ_WIRE_I16,
  SQ_WIRE_U32,
  SQ_WIRE_I32,
  SQ_WIRE_U64,
  SQ_WIRE_I64,
  SQ_WIRE_F16,  /* IEEE 754 binary16 */
  SQ_WIRE_BF16, /* the upper half of a binary32 */
  SQ_WIRE_F32,
  SQ_WIRE_F64,
  SQ_WIRES
} sq_wire;

/* An array as it lies in the bytes of a file; the bytes belong to whoever read the file. */
typedef struct sq_array {
  sq_wire type;
  bool big_endian, fortran; /* fortran: the first dim runs fastest */
  int ndim;
  int64_t shape[SQ_MAX_DIMS], numel;
  const uint8_t *data; /* numel sq_wire_size(type) bytes, aligned to nothing */
} sq_array;

/* Bytes of one element. [any thread] */
int64_t sq_wire_size(sq_wire type);

/* "bool", "uint8", "int8", ..., "float16", "bfloat16", "float32", "float64".
 * [borrow | any thread] */
const char *sq_wire_name(sq_wire type);

/* The dtype that holds it: bool and uint8 themselves, float16 and bfloat16 as float32, every other
 * whole number as int64. [any thread] */
sq_dtype sq_wire_dtype(sq_wire type);

/* The file type of a dtype. [any thread] */
sq_wire sq_dtype_wire(sq_dtype dtype);

/* The array's elements as `dtype`, in row-major order, into out (numel elements). Floats are taken
 * as float32 or float64, whole numbers as those or int64, every type as its own dtype; values are
 * rounded once. [fails: type, for another pair; format, for a bool that is not 0 or 1, a uint64
 * past 2^63-1 | Lua thread] */
SQ_CHECKED sq_status sq_array_read(const sq_array *array, sq_dtype dtype, void *out);

#endif

/* npy.h: NumPy's array files. Knows no tensors and runs nothing: object arrays are refused. */
#ifndef SQ_FILES_NPY_H
#define SQ_FILES_NPY_H

#include "base/wire.h"

/* Describes the array in the bytes of a .npy file, versions 1 to 3, both byte orders, both
 * element orders; up to 8 dims. bool, int8..int64, uint8..uint64, float16..float64. Bytes
 * missing or left over are errors; errors name the byte and the field. out->data points into
 * `bytes`. [borrow | fails: format | any thread]  numpy/lib/format.py. */
SQ_CHECKED sq_status sq_npy_parse(const void *bytes, int64_t size, sq_array *out);

/* Writes version 1, row-major, little-endian; the data begin at a multiple of 64. [fails: shape,
 * io, nomem | Lua thread] */
SQ_CHECKED sq_status sq_npy_save(const char *path, sq_dtype dtype, int ndim, const int64_t *shape,
                                 const void *data);

#endif

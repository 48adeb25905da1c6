/* idx.h: IDX files, the format of MNIST and its kin, plain or compressed by gzip. Knows no
 * tensors. */
#ifndef SQ_DATASETS_IDX_H
#define SQ_DATASETS_IDX_H

#include "base/wire.h"

/* Describes the array in the bytes of a plain IDX file: uint8, int8, int16, int32, float32 or
 * float64, 1 to 8 dims, big-endian. Bytes missing or left over are errors; errors name the byte and
 * the field. out->data points into `bytes`. [borrow | fails: format | any thread]  LeCun, Cortes,
 * Burges: the MNIST database. */
SQ_CHECKED sq_status sq_idx_parse(const void *bytes, int64_t size, sq_array *out);

/* The plain bytes of an IDX file that gzip compressed. The sizes in the header say how many
 * there are; only that many are allocated, and only after a compressed file could hold them and,
 * where they are many, after all of it was checked once.
 * [new, *plain with sq_free | fails: format, nomem | Lua thread]  RFC 1952. */
SQ_CHECKED sq_status sq_idx_inflate(const void *bytes, int64_t size, void **plain,
                                    int64_t *plain_size);

/* Reads a file of either kind, told apart by its first bytes. out->data points into *owned.
 * [new, *owned with sq_free | fails: io, format, nomem | Lua thread] */
SQ_CHECKED sq_status sq_idx_load(const char *path, void **owned, sq_array *out);

#endif

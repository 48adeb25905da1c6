/* safetensors.h: named arrays and a few texts in one file, the format that PyTorch's and Hugging
 * Face's tools exchange. Knows no tensors; nothing in a file is ever run. */
#ifndef SQ_FILES_SAFETENSORS_H
#define SQ_FILES_SAFETENSORS_H

#include "base/wire.h"

#define SQ_SAFETENSORS_MOST_HEADER ((int64_t)100000000)

typedef struct sq_named_array {
  const char *name;
  sq_array array;
} sq_named_array;

typedef struct sq_text_pair {
  const char *key, *value;
} sq_text_pair;

/* What a file holds, in the order of its header. The arrays point into the file's bytes, the texts
 * belong to this. */
typedef struct sq_safetensors {
  int64_t arrays, pairs;
  sq_named_array *array;
  sq_text_pair *pair; /* __metadata__ */
  void *block;
} sq_safetensors;

/* Describes the bytes of a file. Strict: 8 bytes of header length, at most 100,000,000; a header
 * that begins with '{' and is UTF-8; each entry has dtype, shape (up to 8 dims) and data_offsets
 * and nothing else; the offsets cover the data without hole, overlap or rest; no name stands twice;
 * __metadata__ has texts only. dtypes: BOOL, U8, I8, U16, I16, U32, I32, U64, I64, F16, BF16, F32,
 * F64. Errors name byte and field; while a file is found broken, no more than 16 MB plus its
 * header's size are allocated. [new, sq_safetensors_free; `bytes` is borrowed | fails: format,
 * nomem | Lua thread]  safetensors, README: Format. */
SQ_CHECKED sq_status sq_safetensors_parse(const void *bytes, int64_t size, sq_safetensors *out);

/* Leaves it empty; an empty one is allowed. [take] */
void sq_safetensors_free(sq_safetensors *file);

/* One array to be saved: contiguous, row-major. */
typedef struct sq_save_array {
  const char *name;
  sq_dtype dtype;
  int ndim;
  const int64_t *shape;
  const void *data;
} sq_save_array;

/* Writes a file whole or not at all. The same arrays and pairs give the same bytes in whatever
 * order they come: pairs by key, arrays as the reference writer has them, by type (int64, float64,
 * float32, uint8, bool), then name; the header is padded with spaces to a multiple of 8. [fails:
 * arg, for a name that stands twice, is __metadata__ or no UTF-8; shape, io, nomem | Lua thread] */
SQ_CHECKED sq_status sq_safetensors_save(const char *path, int64_t arrays,
                                         const sq_save_array *array, int64_t pairs,
                                         const sq_text_pair *pair);

#endif

/* fuzz_array.h: reads every element of an array that a reader has described. */
#ifndef SQ_SPEC_FUZZ_ARRAY_H
#define SQ_SPEC_FUZZ_ARRAY_H

#include "base/wire.h"
#include "fuzz.h"

/* The description holds together and lies within the bytes; its elements are read as their own
 * dtype and as float32. */
static inline sq_status fuzz_array(const sq_array *a, const uint8_t *data, int64_t size) {
  int64_t numel = 0, bytes = a->numel * sq_wire_size(a->type);
  FUZZ_CHECK(sq_shape_numel("fuzz", a->ndim, a->shape, &numel) == SQ_OK && numel == a->numel);
  FUZZ_CHECK(a->data >= data && a->data + bytes <= data + size);
  sq_dtype dtypes[] = {sq_wire_dtype(a->type), SQ_F32};
  for (int i = 0; i < 2; i++) {
    void *out = NULL;
    SQ_TRY(sq_alloc(numel * (int64_t)sq_dtype_size(dtypes[i]), &out));
    sq_status status = sq_array_read(a, dtypes[i], out);
    sq_free(out);
    FUZZ_CHECK(status == SQ_OK || status == SQ_EFORMAT);
  }
  return SQ_OK;
}

#endif

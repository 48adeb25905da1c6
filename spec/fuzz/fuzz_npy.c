/* fuzz_npy.c: NumPy's array files. */
#include "files/npy.h"
#include "fuzz_array.h"

static sq_status read_npy(const uint8_t *data, int64_t size) {
  sq_array array = {0};
  SQ_TRY(sq_npy_parse(data, size, &array));
  return fuzz_array(&array, data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_reader(read_npy, data, size);
  return 0;
}

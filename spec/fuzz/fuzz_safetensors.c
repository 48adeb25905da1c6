/* fuzz_safetensors.c: safetensors; what is accepted covers the data exactly, and no name stands
 * twice. */
#include "files/safetensors.h"
#include "fuzz_array.h"

static sq_status check_arrays(const sq_safetensors *file, const uint8_t *data, int64_t size) {
  int64_t covered = 0;
  for (int64_t i = 0; i < file->arrays; i++) {
    const sq_array *a = &file->array[i].array;
    covered += a->numel * sq_wire_size(a->type);
    for (int64_t k = 0; k < i; k++)
      FUZZ_CHECK(strcmp(file->array[i].name, file->array[k].name) != 0);
    SQ_TRY(fuzz_array(a, data, size));
  }
  int64_t header = 0;
  memcpy(&header, data, sizeof header);
  FUZZ_CHECK(8 + header + covered == size);
  return SQ_OK;
}

static sq_status read_safetensors(const uint8_t *data, int64_t size) {
  sq_safetensors file = {0};
  SQ_TRY(sq_safetensors_parse(data, size, &file));
  sq_status status = check_arrays(&file, data, size);
  sq_safetensors_free(&file);
  return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_reader(read_safetensors, data, size);
  return 0;
}

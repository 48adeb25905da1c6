/* fuzz_idx.c: IDX files, plain and under gzip. */
#include <zlib.h>

#include "datasets/idx.h"
#include "fuzz_array.h"

static sq_status read_idx(const uint8_t *data, int64_t size) {
  sq_array array = {0};
  void *plain = NULL;
  int64_t plain_size = 0;
  if (size < 2 || data[0] != 0x1f || data[1] != 0x8b) {
    SQ_TRY(sq_idx_parse(data, size, &array));
    return fuzz_array(&array, data, size);
  }
  SQ_TRY(sq_idx_inflate(data, size, &plain, &plain_size));
  sq_status status = sq_idx_parse(plain, plain_size, &array);
  FUZZ_CHECK(status == SQ_OK); /* inflating has checked the header */
  status = fuzz_array(&array, plain, plain_size);
  sq_free(plain);
  return status;
}

/* The input as the content of a sound gzip file: what is behind the checksum is searched too. */
static void read_wrapped(const uint8_t *data, size_t size) {
  static uint8_t wrapped[1 << 13];
  z_stream z = {.next_in = (z_const Bytef *)(uintptr_t)data, .avail_in = (uInt)size};
  FUZZ_CHECK(deflateInit2(&z, 1, Z_DEFLATED, 16 + 15, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  z.next_out = wrapped;
  z.avail_out = sizeof wrapped;
  FUZZ_CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
  fuzz_reader(read_idx, wrapped, z.total_out);
  deflateEnd(&z);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_reader(read_idx, data, size);
  if (size <= 1 << 12) read_wrapped(data, size);
  return 0;
}

/* fuzz_png.c: PNG pictures; what is read is written and read again, unchanged. */
#include <zlib.h>

#include "files/png.h"
#include "fuzz.h"

static void check_again(const sq_png *first, bool deep) {
  void *bytes = NULL;
  int64_t size = 0;
  sq_png again = {0};
  sq_status status = sq_png_encode(first, &bytes, &size);
  FUZZ_CHECK(status == SQ_OK || status == SQ_ENOMEM);
  if (status != SQ_OK) return;
  status = sq_png_decode(bytes, size, deep, &again);
  sq_free(bytes);
  FUZZ_CHECK(status == SQ_OK || status == SQ_ENOMEM);
  if (status != SQ_OK) return;
  FUZZ_CHECK(again.height == first->height && again.width == first->width);
  FUZZ_CHECK(again.channels == first->channels && again.bytes == first->bytes);
  FUZZ_CHECK(memcmp(again.pixels, first->pixels,
                    (size_t)(again.height * again.width * again.channels * again.bytes)) == 0);
  sq_free(again.pixels);
}

static sq_status read_as(const uint8_t *data, int64_t size, bool deep) {
  sq_png picture = {0}, header = {0};
  sq_status status = sq_png_decode(data, size, deep, &picture);
  if (status != SQ_OK) return status;
  FUZZ_CHECK(picture.channels == 1 || picture.channels == 3 || picture.channels == 4);
  if (sq_png_peek(data, size, deep, &header) == SQ_OK)
    FUZZ_CHECK(header.height == picture.height && header.channels == picture.channels &&
               header.bytes == picture.bytes);
  FUZZ_CHECK(picture.bytes == 1 || (deep && picture.bytes == 2));
  if (picture.height * picture.width < 1 << 16) check_again(&picture, deep);
  sq_free(picture.pixels);
  return SQ_OK;
}

static sq_status read_png(const uint8_t *data, int64_t size) {
  SQ_TRY(read_as(data, size, true));
  return read_as(data, size, false);
}

static uint32_t big32(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Writes the right checksum behind every whole chunk: what is behind the checksums is searched too.
 */
static void repair(uint8_t *data, size_t size) {
  for (size_t at = 8; at + 12 <= size;) {
    size_t n = big32(data + at);
    if (n > size - at - 12) return;
    uint32_t sum = (uint32_t)crc32(0, data + at + 4, (uInt)n + 4);
    for (size_t i = 0; i < 4; i++) data[at + 8 + n + i] = (uint8_t)(sum >> (24 - 8 * i));
    at += n + 12;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_reader(read_png, data, size);
  uint8_t *copy = malloc(size ? size : 1);
  FUZZ_CHECK(copy);
  memcpy(copy, data, size);
  repair(copy, size);
  if (memcmp(copy, data, size) != 0) fuzz_reader(read_png, copy, size);
  free(copy);
  return 0;
}

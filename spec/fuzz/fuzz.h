/* fuzz.h: what every fuzz target promises and checks; a broken promise aborts. */
#ifndef SQ_SPEC_FUZZ_H
#define SQ_SPEC_FUZZ_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                            \
  do {                                                                                   \
    if (!(condition)) {                                                                  \
      fprintf(stderr, "%s:%d: %s; the last error: %s\n", __FILE__, __LINE__, #condition, \
              sq_error_text());                                                          \
      abort();                                                                           \
    }                                                                                    \
  } while (0)

/* One reader: reads the bytes, checks what it gets, gives it all back. */
typedef sq_status fuzz_read(const uint8_t *data, int64_t size);

/* What holds for every reader: a refusal costs at most 16 MB and twice the file, says why in the
 * right kind, and leaves nothing behind; so does a failing allocation. A reader that runs out under
 * that limit must accept without it. */
static inline void fuzz_reader(fuzz_read *read, const uint8_t *data, size_t size) {
  sq_mem_stats before, after;
  sq_mem_get_stats(&before);
  sq_mem_set_limit((int64_t)16 << 20 | (int64_t)(2 * size));
  sq_status status = read(data, (int64_t)size);
  FUZZ_CHECK(status == SQ_OK || status == SQ_EFORMAT || status == SQ_ENOMEM);
  FUZZ_CHECK(status == SQ_OK || sq_error_text()[0] == '[' || strstr(sq_error_text(), "at byte"));
  sq_mem_set_limit((int64_t)1 << 30);
  if (status == SQ_ENOMEM) FUZZ_CHECK(read(data, (int64_t)size) != SQ_EFORMAT);
  sq_mem_fail_after((int64_t)(size % 12), -1);
  sq_status starved = read(data, (int64_t)size);
  sq_mem_fail_after(-1, 0);
  FUZZ_CHECK(starved == status || starved == SQ_ENOMEM);
  sq_mem_get_stats(&after);
  FUZZ_CHECK(after.live_blocks == before.live_blocks);
}

#endif

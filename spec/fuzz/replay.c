/* replay.c: runs a fuzz target without a fuzzer: every file it is given, and of each small file
 * every truncation and every flipped bit. */
#include "fuzz.h"

enum { SMALL = 600 };

static long runs;

/* A copy in a block of its own size, so that a sanitizer sees each byte read beyond the end. */
static void run(const uint8_t *data, size_t size) {
  uint8_t *copy = malloc(size ? size : 1);
  FUZZ_CHECK(copy);
  memcpy(copy, data, size);
  LLVMFuzzerTestOneInput(copy, size);
  free(copy);
  runs++;
}

static void run_broken(uint8_t *data, size_t size) {
  for (size_t n = 0; n < size; n++) run(data, n);
  for (size_t bit = 0; bit < 8 * size; bit++) {
    data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    run(data, size);
    data[bit / 8] ^= (uint8_t)(1 << bit % 8);
  }
}

static void run_file(const char *path) {
  static uint8_t data[1 << 20];
  FILE *f = fopen(path, "rb");
  if (!f) {
    fprintf(stderr, "replay: cannot open %s\n", path);
    exit(1);
  }
  size_t size = fread(data, 1, sizeof data, f);
  fclose(f);
  run(data, size);
  if (size <= SMALL) run_broken(data, size);
}

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) run_file(argv[i]);
  printf("%d files, %ld inputs\n", argc - 1, runs);
  return argc > 1 ? 0 : 1;
}

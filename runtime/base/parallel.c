/* parallel.c: OpenMP behind one function, and the interrupt flag. */
#include "base/parallel.h"

#include <inttypes.h>
#include <omp.h>
#include <signal.h>
#include <stdlib.h>

enum {
  SERIAL_BELOW = 20000,
  MAX_THREADS = 256
}; /* ns: about ten times what waking the pool costs */

static volatile sig_atomic_t interrupted;
static int threads; /* 0: not asked yet */

void sq_interrupt_raise(void) { interrupted = 1; }
void sq_interrupt_clear(void) { interrupted = 0; }
bool sq_interrupt_pending(void) { return interrupted != 0; }

sq_status sq_interrupt_check(void) {
  return interrupted ? sq_fail(SQ_EINTR, "interrupted") : SQ_OK;
}

static int default_threads(void) {
  static const char *const names[] = {"SEQRT_THREADS", "OMP_NUM_THREADS"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    const char *text = getenv(names[i]);
    long n = text ? strtol(text, NULL, 10) : 0;
    if (n >= 1 && n <= MAX_THREADS) return (int)n;
  }
  int n = omp_get_num_procs();
  return n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : n;
}

int sq_threads(void) {
  if (threads == 0) threads = default_threads();
  return threads;
}

sq_status sq_set_threads(int64_t n) {
  if (n < 1 || n > MAX_THREADS) {
    return sq_fail(SQ_EARG, "threads is %" PRId64 ": it must be 1 to %d", n, (int)MAX_THREADS);
  }
  threads = (int)n;
  return SQ_OK;
}

int sq_thread_index(void) { return omp_get_thread_num(); }

static bool serial(int64_t tiles, int64_t work) {
  return tiles <= 1 || work < SERIAL_BELOW || sq_threads() == 1 || omp_in_parallel();
}

static void run_tiles(int64_t tiles, bool stoppable, sq_tile_fn *tile, void *context) {
#pragma omp parallel for schedule(dynamic, 1) num_threads(sq_threads())
  for (int64_t i = 0; i < tiles; i++) {
    if (!stoppable || !interrupted) tile(i, context);
  }
}

void sq_parallel(int64_t tiles, int64_t work, sq_tile_fn *tile, void *context) {
  if (!serial(tiles, work)) {
    run_tiles(tiles, true, tile, context);
    return;
  }
  for (int64_t i = 0; i < tiles && !interrupted; i++) tile(i, context);
}

void sq_parallel_all(int64_t tiles, int64_t work, sq_tile_fn *tile, void *context) {
  if (!serial(tiles, work)) {
    run_tiles(tiles, false, tile, context);
    return;
  }
  for (int64_t i = 0; i < tiles; i++) tile(i, context);
}

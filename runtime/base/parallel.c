/* parallel.c: when tiles are worth threads, how many threads there are, and the interrupt flag. */
#include "base/parallel.h"

#include "base/limits.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/shape.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>

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
    if (n >= 1 && n <= SQ_POOL_MAX) return (int)n;
  }
  return sq_pool_cores();
}

int sq_threads(void) {
  if (threads == 0) threads = default_threads();
  return threads;
}

sq_status sq_set_threads(int64_t n) {
  if (n < 1 || n > SQ_POOL_MAX) {
    return sq_fail(SQ_EARG, "threads is %" PRId64 ": it must be 1 to %d", n, (int)SQ_POOL_MAX);
  }
  threads = (int)n;
  return SQ_OK;
}

int sq_thread_index(void) { return sq_pool_index(); }

/* True if the pool ran it; else the caller does. */
static bool run_shared(int64_t tiles, int64_t work, bool stoppable, sq_tile_fn *tile,
                       void *context) {
  if (tiles <= 1 || work < SQ_SERIAL_BELOW || sq_threads() == 1) return false;
  const sq_pool_job job = {tile, context, tiles, stoppable ? &interrupted : NULL};
  return sq_pool_run(&job, tiles < sq_threads() ? (int)tiles : sq_threads());
}

void sq_parallel(int64_t tiles, int64_t work, sq_tile_fn *tile, void *context) {
  if (run_shared(tiles, work, true, tile, context)) return;
  for (int64_t i = 0; i < tiles && !interrupted; i++) tile(i, context);
}

void sq_parallel_all(int64_t tiles, int64_t work, sq_tile_fn *tile, void *context) {
  if (run_shared(tiles, work, false, tile, context)) return;
  for (int64_t i = 0; i < tiles; i++) tile(i, context);
}

sq_status sq_parallel_scratch(sq_scratch *s, int64_t tiles, int64_t work, sq_tile_fn *tile,
                              void *context) {
  int64_t all;
  void *block;
  SQ_TRY(sq_size_mul(sq_lines(s->each), sq_threads(), &all));
  SQ_TRY(sq_alloc(all, &block));
  s->at = block;
  sq_parallel(tiles, work, tile, context);
  sq_free(block);
  return sq_interrupt_check();
}

char *sq_scratch_mine(const sq_scratch *s) { return s->at + sq_thread_index() * sq_lines(s->each); }

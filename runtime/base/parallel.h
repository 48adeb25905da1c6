/* parallel.h: tiles picked up by threads, and the flag that asks long work to stop. */
#ifndef SQ_BASE_PARALLEL_H
#define SQ_BASE_PARALLEL_H

#include "base/status.h"

/* One piece of work. Tiles are cut by shape alone, never by the thread count, so that every run
 * prints the same bits; a tile writes only what belongs to it. No tile allocates. */
typedef void sq_tile_fn(int64_t tile, void *context);

/* How many tiles of `per` things n things make; the size of one of them, the last may be smaller;
 * how many things of `size` elements each make a tile of about `elements`, at least one. Sizes >=
 * 0, per >= 1. [any thread] */
static inline int64_t sq_tiles(int64_t n, int64_t per) { return n / per + (n % per > 0); }
static inline int64_t sq_tile_size(int64_t n, int64_t per, int64_t tile) {
  return n - tile * per < per ? n - tile * per : per;
}
static inline int64_t sq_per_tile(int64_t size, int64_t elements) {
  return size >= elements ? 1 : elements / (size > 0 ? size : 1);
}

/* Runs tiles 0..tiles-1, each once, in any order, on the pool; returns when all are done. `work` is
 * the whole job in rough nanoseconds: small jobs run on the calling thread. Tiles not yet begun are
 * skipped once the interrupt flag stands: then the result is undefined and the caller returns
 * sq_interrupt_check(). [Lua thread] */
void sq_parallel(int64_t tiles, int64_t work, sq_tile_fn *tile, void *context);

/* The same, to its end whatever the interrupt flag says: for work that must not be left half done.
 * [Lua thread] */
void sq_parallel_all(int64_t tiles, int64_t work, sq_tile_fn *tile, void *context);

/* Memory for tiles, which allocate none: `each` bytes of every thread, 64-byte aligned, content
 * undefined. */
typedef struct sq_scratch {
  int64_t each;
  char *at;
} sq_scratch;

/* sq_parallel with scratch: s->each is the caller's, s->at is there while tiles run. [fails: shape,
 * over 2^63-1; nomem; intr | Lua thread] */
SQ_CHECKED sq_status sq_parallel_scratch(sq_scratch *s, int64_t tiles, int64_t work,
                                         sq_tile_fn *tile, void *context);

/* The bytes of the thread that runs this tile. [borrow | any thread] */
char *sq_scratch_mine(const sq_scratch *s);

/* This thread's number within sq_parallel, 0..sq_threads()-1: it picks a scratch buffer, and never
 * a result. [any thread] */
int sq_thread_index(void);

/* How many threads sq_parallel uses: SEQRT_THREADS or OMP_NUM_THREADS if set, else the cores this
 * process may run on. [Lua thread] */
int sq_threads(void);

/* [fails: arg, outside 1..256 | Lua thread] */
SQ_CHECKED sq_status sq_set_threads(int64_t n);

/* Asks running work to stop; safe in a signal handler. [any thread] */
void sq_interrupt_raise(void);
void sq_interrupt_clear(void);
bool sq_interrupt_pending(void);

/* SQ_EINTR while the flag stands, else SQ_OK; what a loop longer than 0.1 s calls between steps.
 * [fails: intr] */
SQ_CHECKED sq_status sq_interrupt_check(void);

#endif

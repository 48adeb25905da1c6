/* pool.h: the threads that pick up tiles. What a tile is and when threads pay is parallel.h's. */
#ifndef SQ_BASE_POOL_H
#define SQ_BASE_POOL_H

#include <stdbool.h>
#include <stdint.h>

enum { SQ_POOL_MAX = 256 };

typedef struct sq_pool_job {
  void (*run)(int64_t tile, void *context);
  void *context;
  int64_t tiles;
  const volatile int *stop; /* tiles are skipped while *stop is not 0; NULL: never */
} sq_pool_job;

/* Runs every tile of `job` on up to `threads` threads (1..SQ_POOL_MAX), the caller among them;
 * returns when all are done. False, and nothing has run, if a job is under way already (a tile
 * that asks again, a second Lua thread): the caller then runs its tiles itself. Threads start at
 * their first use; where the system grants fewer, fewer work. A forked child starts its own.
 * [any thread] */
bool sq_pool_run(const sq_pool_job *job, int threads);

/* 0 for the thread that called sq_pool_run, 1..threads-1 for its helpers. [any thread] */
int sq_pool_index(void);

/* The cores this process may run on, at least 1. [any thread] */
int sq_pool_cores(void);

#endif

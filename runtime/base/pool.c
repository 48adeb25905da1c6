/* pool.c: threads that help with one job at a time.
 *
 * A job is a number of tiles. Whoever has time takes the next tile from a common counter, the owner
 * of the job too, until none is left. The owner opens the job by one write to the state word below:
 * it holds the job's number, how many helpers may join and how many have. A helper that sees a new
 * number adds itself to those that joined, takes tiles, and takes itself off again. When the owner
 * finds no tile left it closes the job, by setting the limit to 0, and from then on nobody joins;
 * it waits only until those that joined have left, which takes at most one tile each. A helper that
 * the system has not run yet is never waited for: it finds the job closed. So on a busy machine a
 * job costs no more than it would on one thread. (A barrier over the whole team does: with three
 * other programs on two cores it made a training ten times slower.) Helpers look at the state for a
 * while before they sleep, since the next job mostly comes at once; an owner that has something to
 * wait for does the same. */
#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

enum {
  SPINS = 2000, /* looks at the state before sleeping: 50 to 100 us, the pause between two jobs */
  COUNT_BITS = 9,
  COUNT_MASK = (1 << COUNT_BITS) - 1,
};

/* The state of the pool in one word, changed only by atomic steps:
 *   bits 0..8   helpers that have joined the job and may hold a tile
 *   bits 9..17  limit: helper i may join while i < limit; 0: the job is closed
 *   bits 18..   number of the job, so that a helper joins each job once */
typedef uint64_t pool_state;
#define STATE_LIMIT ((pool_state)COUNT_MASK << COUNT_BITS)

static _Atomic pool_state state;
static _Atomic int64_t next_tile;
static _Atomic int sleepers;      /* helpers asleep on `work` */
static _Atomic bool owner_sleeps; /* the owner is asleep on `done` */
static sq_pool_job job; /* written by the owner while the job is closed and nobody in it */
static atomic_flag taken = ATOMIC_FLAG_INIT;
static int helpers; /* started, by the owner alone */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work = PTHREAD_COND_INITIALIZER, done = PTHREAD_COND_INITIALIZER;
static _Thread_local int index_here;

static int count_of(pool_state s) { return (int)(s & COUNT_MASK); }
static int limit_of(pool_state s) { return (int)(s >> COUNT_BITS & COUNT_MASK); }
static uint64_t number_of(pool_state s) { return s >> 2 * COUNT_BITS; }

static void relax_core(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

int sq_pool_index(void) { return index_here; }

int sq_pool_cores(void) {
  cpu_set_t set;
  int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  return n < 1 ? 1 : n > SQ_POOL_MAX ? SQ_POOL_MAX : n;
}

static void take_tiles(void) {
  int64_t i;
  while ((i = atomic_fetch_add_explicit(&next_tile, 1, memory_order_relaxed)) < job.tiles) {
    if (!job.stop || !*job.stop) job.run(i, job.context);
  }
}

/* --- a helper ------------------------------------------------------------------------------- */

static bool may_join(pool_state s, uint64_t last) {
  return index_here < limit_of(s) && number_of(s) != last;
}

/* Sleeps until a job stands open that this helper has not served. */
static pool_state wait_for_job(uint64_t last) {
  pool_state s = atomic_load(&state);
  for (int i = 0; i < SPINS && !may_join(s, last); i++) {
    relax_core();
    s = atomic_load(&state);
  }
  if (may_join(s, last)) return s;
  pthread_mutex_lock(&lock);
  atomic_fetch_add(&sleepers, 1);
  while (!may_join(s = atomic_load(&state), last)) pthread_cond_wait(&work, &lock);
  atomic_fetch_sub(&sleepers, 1);
  pthread_mutex_unlock(&lock);
  return s;
}

static void leave_job(void) {
  pool_state before = atomic_fetch_sub(&state, 1);
  if (count_of(before) == 1 && limit_of(before) == 0 && atomic_load(&owner_sleeps)) {
    pthread_mutex_lock(&lock);
    pthread_cond_signal(&done);
    pthread_mutex_unlock(&lock);
  }
}

static void *run_helper(void *number) {
  uint64_t last = 0;
  index_here = (int)(intptr_t)number;
  for (;;) {
    pool_state s = wait_for_job(last);
    while (may_join(s, last)) {
      if (!atomic_compare_exchange_weak(&state, &s, s + 1)) continue;
      last = number_of(s);
      take_tiles();
      leave_job();
    }
  }
  return NULL;
}

/* --- the owner ------------------------------------------------------------------------------ */

/* A child of fork has no helpers, and nobody is in a job. */
static void forget_helpers(void) {
  helpers = 0;
  atomic_store(&sleepers, 0);
  atomic_store(&owner_sleeps, false);
  atomic_store(&state, atomic_load(&state) & ~(pool_state)(STATE_LIMIT | COUNT_MASK));
  pthread_mutex_init(&lock, NULL);
  pthread_cond_init(&work, NULL);
  pthread_cond_init(&done, NULL);
  atomic_flag_clear(&taken);
}

/* Signals stay with the thread that runs Lua. */
static void start_helpers(int wanted) {
  static bool once;
  sigset_t all, old;
  if (!once) once = pthread_atfork(NULL, NULL, forget_helpers) == 0;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  while (helpers < wanted) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, run_helper, (void *)(intptr_t)(helpers + 1)) != 0) break;
    pthread_detach(thread);
    helpers++;
  }
  pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void open_job(const sq_pool_job *j, int threads) {
  job = *j;
  atomic_store_explicit(&next_tile, 0, memory_order_relaxed);
  uint64_t number = number_of(atomic_load(&state)) + 1;
  atomic_store(&state, number << 2 * COUNT_BITS | (pool_state)threads << COUNT_BITS);
  if (atomic_load(&sleepers) == 0) return;
  pthread_mutex_lock(&lock);
  pthread_cond_broadcast(&work);
  pthread_mutex_unlock(&lock);
}

static void close_job(void) {
  pool_state s = atomic_fetch_and(&state, ~STATE_LIMIT);
  for (int i = 0; i < SPINS && count_of(s) > 0; i++) {
    relax_core();
    s = atomic_load(&state);
  }
  if (count_of(s) == 0) return;
  pthread_mutex_lock(&lock);
  atomic_store(&owner_sleeps, true);
  while (count_of(atomic_load(&state)) > 0) pthread_cond_wait(&done, &lock);
  atomic_store(&owner_sleeps, false);
  pthread_mutex_unlock(&lock);
}

bool sq_pool_run(const sq_pool_job *j, int threads) {
  if (atomic_flag_test_and_set(&taken)) return false;
  if (helpers < threads - 1) start_helpers(threads - 1);
  open_job(j, threads);
  take_tiles();
  close_job();
  atomic_flag_clear(&taken);
  return true;
}

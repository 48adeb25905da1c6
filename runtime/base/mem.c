/* mem.c: aligned blocks, cached by size class, counted and limited. Each block has a 64-byte head
 * before it.
 *
 * A training step takes the same blocks as the one before, so what is freed is kept: all that was
 * in use at once lately, and a floor beside it, so that a steady step asks the system for nothing.
 * What "lately" is goes by bytes and not by time: the most that was in use in this generation and
 * in the one before, where a generation is several times that many bytes asked for. One flood is
 * therefore forgotten two generations later. Where more would be kept, the blocks that have lain
 * longest go. */
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/limits.h"

enum {
  ALIGN = 64,
  CLASSES = 160, /* four per power of two: a block is at most 25 % larger than asked */
};

typedef struct head {
  struct head *next, *before;   /* in the cache, of its class */
  struct head *older, *younger; /* in the cache, of all */
  int64_t asked;                /* what the caller asked for */
  int64_t room;                 /* what the block holds, head excluded */
  int class;
} head;

_Static_assert(sizeof(head) <= ALIGN, "a block's head fits before the aligned bytes");

static head *cache[CLASSES];
static head *oldest, *youngest; /* of all in the cache */
static sq_mem_stats stats;
static int64_t in_use;         /* live blocks, with all that they hold */
static int64_t most_in_use[2]; /* in the generation before, in this one */
static int64_t generation_end; /* in total_bytes */
static int64_t reported;       /* of total_bytes, to Lua's collector */
static int64_t fail_skip = -1, fail_count;

/* The size class of n bytes, and the bytes a block of that class holds. */
static int size_class_of(int64_t n, int64_t *room) {
  if (n <= 256) {
    int64_t lines = n <= ALIGN ? 1 : (n + ALIGN - 1) / ALIGN;
    *room = lines * ALIGN;
    return (int)lines - 1;
  }
  int top =
      63 - __builtin_clzll((unsigned long long)(n - 1)); /* 2^top < n <= 2^(top+1), top >= 8 */
  int64_t quarter = (int64_t)1 << (top - 2);
  int64_t steps = (n - ((int64_t)1 << top) + quarter - 1) / quarter; /* 1..4 */
  *room = ((int64_t)1 << top) + steps * quarter;
  return 4 + (top - 8) * 4 + (int)steps - 1;
}

/* The number in a file of /sys or /proc; -1 when there is none. */
static int64_t number_in(const char *path) {
  FILE *f = fopen(path, "re");
  if (!f) return -1;
  int64_t value = -1;
  if (fscanf(f, "%" SCNd64, &value) != 1) value = -1;
  fclose(f);
  return value;
}

static int64_t default_limit(void) {
  int64_t least = (int64_t)sysconf(_SC_PHYS_PAGES) * (int64_t)sysconf(_SC_PAGESIZE);
  static const char *const files[] = {"/sys/fs/cgroup/memory.max",
                                      "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    int64_t cgroup = number_in(files[i]);
    if (cgroup > 0 && cgroup < least) least = cgroup;
  }
  return least / 5 * 4;
}

/* Whether a block of that size is mapped: large aligned blocks that come and go tear malloc's heap
 * into pieces that it can't give back. Sanitizers see every block where malloc makes all of them.
 */
static bool is_mapped(int64_t room) {
#ifdef SQ_NO_CACHE
  (void)room;
  return false;
#else
  return room >= SQ_MAPPED;
#endif
}

/* For n bytes now, for `room` later; NULL when the system has no more. */
static head *system_block(int64_t n, int64_t room) {
  size_t bytes = (size_t)room + ALIGN, huge = (size_t)n + ALIGN;
  void *raw = NULL;
  if (!is_mapped(room)) return posix_memalign(&raw, ALIGN, bytes) == 0 ? raw : NULL;
  stats.system_calls++;
  raw = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) return NULL;
  /* rows read here and there in a data set miss the page tables otherwise; what is room alone is
   * not to become memory with them */
  if (huge >= (size_t)SQ_HUGE_FROM) (void)madvise(raw, huge, MADV_HUGEPAGE);
  return raw;
}

static void system_free(head *h) {
  if (is_mapped(h->room)) {
    stats.system_calls++;
    munmap(h, (size_t)h->room + ALIGN);
  } else {
    free(h);
  }
}

/* --- the cache ------------------------------------------------------------------------------ */

/* A block leaves both its lists, */
static void leave_cache(head *h) {
  *(h->before ? &h->before->next : &cache[h->class]) = h->next;
  if (h->next) h->next->before = h->before;
  *(h->older ? &h->older->younger : &oldest) = h->younger;
  *(h->younger ? &h->younger->older : &youngest) = h->older;
  stats.cached_bytes -= h->room;
}

/* and enters them: as the first of its class, the youngest of all. */
static void enter_cache(head *h) {
  h->before = NULL;
  h->next = cache[h->class];
  if (h->next) h->next->before = h;
  cache[h->class] = h;
  h->older = youngest;
  h->younger = NULL;
  *(youngest ? &youngest->younger : &oldest) = h;
  youngest = h;
  stats.cached_bytes += h->room;
}

/* The blocks that have lain longest go until what is kept, and `used` bytes beside it, are within
 * `most`, or none is left. */
static void drop_oldest(int64_t used, int64_t most) {
  while (oldest && used + stats.cached_bytes > most) {
    head *h = oldest;
    leave_cache(h);
    system_free(h);
  }
}

void sq_mem_trim(void) { drop_oldest(0, 0); }

/* What is kept counts too: a block that is taken from there again asks no limit. */
void sq_mem_set_limit(int64_t bytes) {
  stats.limit_bytes = bytes > 0 ? bytes : default_limit();
  drop_oldest(stats.live_bytes, stats.limit_bytes);
}

/* What live and cached blocks together may hold. */
static int64_t most_kept(void) {
#ifdef SQ_NO_CACHE /* sanitizer builds: every free is seen */
  return 0;
#else
  return (most_in_use[0] > most_in_use[1] ? most_in_use[0] : most_in_use[1]) + SQ_CACHE_FLOOR;
#endif
}

static void count_use(int64_t room) {
  in_use += room;
  if (in_use > most_in_use[1]) most_in_use[1] = in_use;
  if (stats.total_bytes < generation_end) return;
  most_in_use[0] = most_in_use[1];
  most_in_use[1] = in_use;
  generation_end = stats.total_bytes + SQ_GENERATION * (most_in_use[0] + SQ_CACHE_FLOOR);
}

/* --- blocks --------------------------------------------------------------------------------- */

static sq_status refuse_bytes(int64_t n, const char *why) {
  return sq_fail(SQ_ENOMEM,
                 "out of memory: %" PRId64 " bytes asked, %" PRId64 " in use, %" PRId64
                 " allowed%s",
                 n, stats.live_bytes, stats.limit_bytes, why);
}

/* True when a test wants this allocation to fail. */
static bool planned_failure(void) {
  if (fail_skip < 0) return false;
  if (fail_skip > 0) {
    fail_skip--;
    return false;
  }
  if (fail_count == 0) {
    fail_skip = -1;
    return false;
  }
  if (fail_count > 0) fail_count--;
  return true;
}

static sq_status fresh_block(int64_t n, int64_t room, head **out) {
  if (stats.limit_bytes == 0) sq_mem_set_limit(0);
  drop_oldest(in_use + room, most_kept());
  drop_oldest(stats.live_bytes + room, stats.limit_bytes);
  if (stats.live_bytes + room > stats.limit_bytes) return refuse_bytes(n, "");
  *out = system_block(n, room);
  if (!*out) return refuse_bytes(n, " (the system has no more)");
  return SQ_OK;
}

sq_status sq_alloc(int64_t n, void **out) {
  if (n < 0 || n > INT64_MAX / 4) return refuse_bytes(n, "");
  if (planned_failure()) return refuse_bytes(n, " (a failure planned by a test)");
  int64_t room;
  int class = size_class_of(n, &room);
  head *h = cache[class];
  if (h) {
    leave_cache(h);
  } else {
    SQ_TRY(fresh_block(n, room, &h));
  }
  *h = (head){.asked = n, .room = room, .class = class};
  stats.live_bytes += n;
  stats.live_blocks++;
  stats.total_blocks++;
  stats.total_bytes += n;
  count_use(room);
  if (stats.live_bytes > stats.peak_bytes) stats.peak_bytes = stats.live_bytes;
  *out = (char *)h + ALIGN;
  return SQ_OK;
}

sq_status sq_alloc_zero(int64_t n, void **out) {
  SQ_TRY(sq_alloc(n, out));
  memset(*out, 0, (size_t)n);
  return SQ_OK;
}

void sq_free(void *block) {
  if (!block) return;
  head *h = (head *)((char *)block - ALIGN);
  stats.live_bytes -= h->asked;
  stats.live_blocks--;
  in_use -= h->room;
  enter_cache(h);
  drop_oldest(in_use, most_kept());
}

sq_status sq_realloc(int64_t n, void **block) {
  void *fresh;
  SQ_TRY(sq_alloc(n, &fresh));
  if (*block) {
    const head *h = (const head *)((const char *)*block - ALIGN);
    memcpy(fresh, *block, (size_t)(h->asked < n ? h->asked : n));
    sq_free(*block);
  }
  *block = fresh;
  return SQ_OK;
}

sq_status sq_grow(int64_t n, size_t size, void **list, int64_t *room) {
  if (n <= *room) return SQ_OK;
  int64_t more = *room > 0 ? *room : SQ_FIRST_ROOM;
  while (more < n) more *= 2;
  SQ_TRY(sq_realloc(more * (int64_t)size, list));
  *room = more;
  return SQ_OK;
}

sq_status sq_strdup(const char *text, char **out) {
  int64_t n = (int64_t)strlen(text) + 1;
  void *copy;
  SQ_TRY(sq_alloc(n, &copy));
  memcpy(copy, text, (size_t)n);
  *out = copy;
  return SQ_OK;
}

void sq_mem_get_stats(sq_mem_stats *out) {
  if (stats.limit_bytes == 0) sq_mem_set_limit(0);
  *out = stats;
}

void sq_mem_reset_peak(void) { stats.peak_bytes = stats.live_bytes; }

int64_t sq_mem_take_pressure(void) {
  int64_t taken = stats.total_bytes - reported;
  reported = stats.total_bytes;
  return taken;
}

void sq_mem_fail_after(int64_t n, int64_t count) {
  fail_skip = n;
  fail_count = count;
}

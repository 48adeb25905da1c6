/* mem.h: the only caller of malloc. Knows bytes, not what they are for. */
#ifndef SQ_BASE_MEM_H
#define SQ_BASE_MEM_H

#include "base/status.h"

typedef struct sq_mem_stats {
  int64_t live_bytes, live_blocks; /* asked for and not yet freed */
  int64_t peak_bytes;              /* the most live_bytes has been, since the peak was reset */
  int64_t cached_bytes;            /* freed, kept for the next request of that size */
  int64_t limit_bytes;             /* what live and cached bytes together may not pass */
  int64_t total_blocks;            /* allocations since the start */
  int64_t total_bytes;             /* what they asked for, freed or not */
  int64_t system_calls;            /* by which large blocks were mapped, or given back */
} sq_mem_stats;

/* n bytes, 64-byte aligned, content undefined; n = 0 gives a valid pointer. The limit is checked
 * before the system is asked. [new, free with sq_free | fails: nomem, naming the bytes asked, in
 * use and allowed | Lua thread] */
SQ_CHECKED sq_status sq_alloc(int64_t n, void **out);

/* The same, all bytes 0. [new | fails: nomem | Lua thread] */
SQ_CHECKED sq_status sq_alloc_zero(int64_t n, void **out);

/* n bytes in whole lines of 64: what lies behind so many in a block is aligned as the block is.
 * [any thread] */
static inline int64_t sq_lines(int64_t n) { return (n + 63) / 64 * 64; }

/* Gives a block back; NULL is allowed. [take | Lua thread] */
void sq_free(void *block);

/* Moves a block to a new size, keeping min(old, new) bytes; *block may be NULL. On failure *block
 * is as before. [new | fails: nomem | Lua thread] */
SQ_CHECKED sq_status sq_realloc(int64_t n, void **block);

/* Makes room for n items of `size` bytes in a list that has it for *room: for SQ_FIRST_ROOM at the
 * least, then twice what there was, as often as it takes. *list may be NULL. On failure nothing
 * changes. [fails: nomem | Lua thread] */
SQ_CHECKED sq_status sq_grow(int64_t n, size_t size, void **list, int64_t *room);

/* A copy of a C string. [new | fails: nomem | Lua thread] */
SQ_CHECKED sq_status sq_strdup(const char *text, char **out);

/* Counters since the start of the process. [Lua thread] */
void sq_mem_get_stats(sq_mem_stats *out);

/* The peak is what lives now. [Lua thread] */
void sq_mem_reset_peak(void);

/* Bytes asked for since this was called last: what Lua's collector is told. [Lua thread] */
int64_t sq_mem_take_pressure(void);

/* Sets the limit in bytes; 0 restores the default, 80 % of the smaller of RAM and cgroup. [Lua
 * thread] */
void sq_mem_set_limit(int64_t bytes);

/* Frees all cached blocks. [Lua thread] */
void sq_mem_trim(void);

/* For tests: lets n more allocations through, then fails `count` in a row (a negative count: all);
 * n < 0 turns it off. [Lua thread] */
void sq_mem_fail_after(int64_t n, int64_t count);

#endif

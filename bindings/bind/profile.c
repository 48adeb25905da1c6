/* profile.c: a stack of running calls, a table of what they took, and the table printed. Fixed
 * arrays and no Lua: it works to the very end of a run, also of one without memory. */
#include "bind/profile.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "autograd/watch.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "kernels/blas.h"

typedef enum kind { FORWARD, BACKWARD, FUNCTION, KINDS } kind;

/* What one op or function took at one line. Names and sources live for ever, so their addresses
 * tell them apart. */
typedef struct record {
  const char *class, *name, *source; /* class: of a method, else NULL; name NULL: a free place */
  int line;
  kind kind;
  int64_t calls, ns, bytes;
} record;

/* A call that runs. */
typedef struct frame {
  record *record;
  uintptr_t place; /* on the C stack: one that an error left behind is found by it */
  int64_t begin, bytes, inner_ns, inner_bytes;
  int64_t loading; /* what the load of the BLAS had taken before */
} frame;

enum { RECORDS = 4096, FRAMES = 256 };

bool profile_running;

static record records[RECORDS];
static int used;
static frame frames[FRAMES];
static int depth;
static int64_t started;

static int64_t clock_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t bytes_so_far(void) {
  sq_mem_stats stats;
  sq_mem_get_stats(&stats);
  return stats.total_bytes;
}

/* --- counting ------------------------------------------------------------------------------- */

static bool is_same(const record *a, const record *b) {
  return a->name == b->name && a->line == b->line && a->source == b->source && a->kind == b->kind &&
         a->class == b->class;
}

/* The record of that key; when the table is nearly full, one for all further keys. */
static record *record_of(record key) {
  static const char others[] = "(others)";
  if (used > RECORDS * 3 / 4) key = (record){.name = others, .kind = key.kind};
  uint64_t h = (uint64_t)(uintptr_t)key.name * 31 + (uint64_t)(uintptr_t)key.source * 17 +
               (uint64_t)(uintptr_t)key.class * 7 + (uint64_t)key.line * 5 + (uint64_t)key.kind;
  h *= UINT64_C(0x9E3779B97F4A7C15);
  for (uint64_t i = h >> 52;; i++) { /* 12 bits: RECORDS places */
    record *r = &records[i % RECORDS];
    if (r->name && !is_same(r, &key)) continue;
    if (!r->name) {
      *r = key;
      used++;
    }
    return r;
  }
}

/* Calls of the same or a greater depth on the C stack, which grows down, were left by an error. */
static void push_frame(record key, uintptr_t place) {
  while (depth > 0 && frames[depth - 1].place <= place) depth--;
  if (depth == FRAMES) depth--;
  frames[depth++] =
      (frame){record_of(key), place, clock_ns(), bytes_so_far(), 0, 0, sq_blas_load_ns()};
}

/* The first product loads the BLAS, which may take longer than all products: a row of its own. */
static void take_load_apart(frame *f) {
  static const char load[] = "(load of the BLAS)";
  int64_t ns = sq_blas_load_ns() - f->loading;
  if (ns == 0) return;
  record *r = record_of((record){.name = load, .source = load, .kind = FUNCTION});
  r->calls++;
  r->ns += ns;
  f->inner_ns += ns;
  for (frame *outer = frames; outer < f; outer++) outer->loading += ns;
}

static void pop_frame(uintptr_t place) {
  while (depth > 0 && frames[depth - 1].place < place) depth--;
  if (depth == 0) return;
  frame *f = &frames[--depth];
  take_load_apart(f);
  int64_t ns = clock_ns() - f->begin, bytes = bytes_so_far() - f->bytes;
  f->record->calls++;
  f->record->ns += ns - f->inner_ns;
  f->record->bytes += bytes - f->inner_bytes;
  if (depth > 0) {
    f[-1].inner_ns += ns;
    f[-1].inner_bytes += bytes;
  }
}

static void op_begin(const sq_op *op, bool backward, const char *source, int line) {
  if (!backward) line = bind_locate(&source);
  push_frame(
      (record){
          .name = op->name, .source = source, .line = line, .kind = backward ? BACKWARD : FORWARD},
      (uintptr_t)__builtin_frame_address(0));
}

static void op_end(void) { pop_frame((uintptr_t)__builtin_frame_address(0)); }

static const sq_observer op_observer = {op_begin, op_end};

void profile_begin(lua_State *L, const char *name) {
  const bind_box *box = bind_box_at(L, 1);
  record key = {.class = box ? box->class->name : NULL, .name = name, .kind = FUNCTION};
  key.line = bind_locate(&key.source);
  push_frame(key, (uintptr_t)__builtin_frame_address(0));
}

void profile_end(void) { pop_frame((uintptr_t)__builtin_frame_address(0)); }

/* --- printing ------------------------------------------------------------------------------- */

/* Records of an op, a function or a line, taken together. */
typedef struct sum {
  const record *key;
  int64_t ns[KINDS], calls[KINDS], bytes;
} sum;

static sum sums[RECORDS];

static int64_t total_ns(const sum *s) { return s->ns[FORWARD] + s->ns[BACKWARD] + s->ns[FUNCTION]; }

static void add_record(sum *to, const record *r) {
  to->ns[r->kind] += r->ns;
  to->calls[r->kind] += r->calls;
  to->bytes += r->bytes;
}

static bool is_op(const record *r) { return r->kind != FUNCTION; }

static bool same_op(const record *a, const record *b) {
  return is_op(a) == is_op(b) && a->name == b->name && a->class == b->class;
}

static bool same_line(const record *a, const record *b) {
  return a->source == b->source && a->line == b->line;
}

static int by_time(const void *a, const void *b) {
  int64_t x = total_ns(a), y = total_ns(b);
  if (x != y) return x < y ? 1 : -1;
  const record *r = ((const sum *)a)->key, *s = ((const sum *)b)->key;
  int names = strcmp(r->name, s->name);
  return names ? names : (r->line > s->line) - (r->line < s->line);
}

/* Fills sums, the longest first, and *all; returns how many. */
static int gather_sums(bool (*same)(const record *a, const record *b), sum *all) {
  int n = 0;
  *all = (sum){0};
  for (const record *r = records; r < records + RECORDS; r++) {
    if (!r->name || r->calls == 0) continue;
    int at = 0;
    while (at < n && !same(sums[at].key, r)) at++;
    if (at == n) sums[n++] = (sum){.key = r};
    add_record(&sums[at], r);
    add_record(all, r);
  }
  qsort(sums, (size_t)n, sizeof *sums, by_time);
  return n;
}

static void SQ_PRINTF(1, 2) print_text(const char *format, ...) {
  char text[1024];
  va_list args;
  va_start(args, format);
  sq_vformat(text, sizeof text, format, args);
  va_end(args);
  fputs(text, stderr);
}

/* "12.3": milliseconds; "-" for what never ran. */
static const char *ms_text(int64_t ns, int64_t calls, char *out) {
  if (calls == 0) return "-";
  sq_format(out, 24, "%.1f", (double)ns * 1e-6);
  return out;
}

static void print_numbers(const sum *s, int64_t wall) {
  char a[24], b[24], c[24];
  print_text("%10s %10s %10s %9.1f %6.1f", ms_text(s->ns[FORWARD], s->calls[FORWARD], a),
             ms_text(s->ns[BACKWARD], s->calls[BACKWARD], b),
             ms_text(s->ns[FUNCTION], s->calls[FUNCTION], c), (double)s->bytes / (1 << 20),
             100.0 * (double)total_ns(s) / (double)wall);
}

static void print_head(const char *what) {
  print_text("\n%-28s %10s %10s %10s %9s %6s", what, "forward ms", "backward", "function", "MB",
             "%");
}

enum { LEAST_ROWS = 12, MOST_ROWS = 24 };

/* How many rows are worth a line of their own: what has room on a screen, further ones from 0.05 %
 * on. */
static int rows_shown(int n, int64_t wall) {
  int rows = 0;
  while (rows < n && rows < MOST_ROWS && (rows < LEAST_ROWS || total_ns(&sums[rows]) > wall / 2000))
    rows++;
  return rows;
}

/* The rows past the first `from` in one. */
static void print_rest(int from, int n, int64_t wall) {
  if (from >= n) return;
  sum rest = {0};
  char label[32];
  for (int i = from; i < n; i++) {
    for (int k = 0; k < KINDS; k++) {
      rest.ns[k] += sums[i].ns[k];
      rest.calls[k] += sums[i].calls[k];
    }
    rest.bytes += sums[i].bytes;
  }
  snprintf(label, sizeof label, "(%d more)", n - from);
  print_text("\n%-28s ", label);
  print_numbers(&rest, wall);
}

static void print_ops(int64_t wall) {
  sum all;
  int n = gather_sums(same_op, &all), shown = rows_shown(n, wall);
  print_head("op or function");
  print_text(" %9s", "calls");
  for (int i = 0; i < shown; i++) {
    const record *r = sums[i].key;
    char label[64];
    snprintf(label, sizeof label, "%s%s%s", r->class ? r->class : "", r->class ? ":" : "", r->name);
    print_text("\n%-28.28s ", label);
    print_numbers(&sums[i], wall);
    print_text(" %9" PRId64, sums[i].calls[is_op(r) ? FORWARD : FUNCTION]);
  }
  print_rest(shown, n, wall);
  print_text("\n%-28s ", "all");
  print_numbers(&all, wall);
  print_text("\n");
}

/* The text of that line of a file without its indent, cut to the room; "" when it can't be read. */
static const char *line_text(const char *path, int line, char *out, size_t room) {
  void *data = NULL;
  int64_t size;
  out[0] = '\0';
  if (!path || line == 0 || sq_file_read(path, 1 << 24, &data, &size) != SQ_OK) return out;
  const char *s = data;
  for (int at = 1; at < line && s; at++) {
    s = strchr(s, '\n');
    if (s) s++;
  }
  if (s) {
    s += strspn(s, " \t");
    snprintf(out, room, "%.*s", (int)strcspn(s, "\r\n"), s);
  }
  sq_free(data);
  return out;
}

static void print_lines(int64_t wall) {
  sum all;
  int n = gather_sums(same_line, &all), shown = rows_shown(n, wall);
  print_head("line");
  for (int i = 0; i < shown; i++) {
    const record *r = sums[i].key;
    char label[256], code[49];
    const char *source = r->source ? r->source : "?";
    if (r->line > 0)
      snprintf(label, sizeof label, "%s:%d", source, r->line);
    else
      snprintf(label, sizeof label, "%s", source);
    size_t length = strlen(label);
    print_text("\n%-28s ", length > 28 ? label + length - 28 : label);
    print_numbers(&sums[i], wall);
    print_text("  %s", line_text(r->source, r->line, code, sizeof code));
  }
  print_rest(shown, n, wall);
  print_text("\n%-28s ", "all");
  print_numbers(&all, wall);
  print_text("\n");
}

static void print_profile(void) {
  int64_t wall = clock_ns() - started;
  sum all;
  fflush(stdout);
  if (gather_sums(same_op, &all) == 0) {
    print_text("\nprofile of %.3f s: nothing of seqrt ran\n", (double)wall * 1e-9);
    return;
  }
  print_text("\nprofile of %.3f s: forward %.3f, backward %.3f, functions %.3f, the rest %.3f\n",
             (double)wall * 1e-9, (double)all.ns[FORWARD] * 1e-9, (double)all.ns[BACKWARD] * 1e-9,
             (double)all.ns[FUNCTION] * 1e-9, (double)(wall - total_ns(&all)) * 1e-9);
  print_text("(a backward counts for the line where its op ran; MB is memory asked for)\n");
  print_ops(wall);
  print_lines(wall);
}

bool profile_enable(bool on) {
  bool was = profile_running;
  if (on == was) return was;
  profile_running = on;
  sq_observe(on ? &op_observer : NULL);
  if (!on) {
    print_profile();
    return was;
  }
  memset(records, 0, sizeof records);
  used = depth = 0;
  started = clock_ns();
  return was;
}

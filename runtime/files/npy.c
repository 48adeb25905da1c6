/* npy.c: reads the header of a .npy file, which is a Python dict, by its own strict rules, and
 * writes version 1. */
#include "files/npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"

enum { MAGIC = 6, MOST_HEADER = 65536, MOST_TEXT = 256 };

/* --- a cursor over the header --------------------------------------------------------------- */

typedef struct cursor {
  const char *text;
  int64_t at, end; /* bytes from the start of the file */
} cursor;

static sq_status broken_npy(const cursor *c, const char *what) {
  return sq_fail(SQ_EFORMAT, "[npy] at byte %" PRId64 ": %s", c->at, what);
}

static char peek_char(const cursor *c) { return c->at < c->end ? c->text[c->at] : 0; }

static void skip_space(cursor *c) {
  while (peek_char(c) == ' ' || peek_char(c) == '\n' || peek_char(c) == '\t') c->at++;
}

static bool skip_word(cursor *c, const char *word) {
  skip_space(c);
  int64_t n = (int64_t)strlen(word);
  if (c->end - c->at < n || memcmp(c->text + c->at, word, (size_t)n) != 0) return false;
  c->at += n;
  return true;
}

/* A quoted text without escapes. */
static sq_status read_quoted(cursor *c, const char *what, char *out, int64_t room) {
  skip_space(c);
  char quote = peek_char(c);
  if (quote != '\'' && quote != '"') return broken_npy(c, what);
  int64_t n = 0;
  for (c->at++; peek_char(c) != quote; c->at++) {
    char ch = peek_char(c);
    if (ch < ' ' || ch > '~' || ch == '\\' || n + 1 >= room) return broken_npy(c, what);
    out[n++] = ch;
  }
  c->at++;
  out[n] = 0;
  return SQ_OK;
}

static sq_status whole_number(cursor *c, int64_t *out) {
  skip_space(c);
  int64_t value = 0;
  if (peek_char(c) < '0' || peek_char(c) > '9') return broken_npy(c, "shape: a size is expected");
  for (; peek_char(c) >= '0' && peek_char(c) <= '9'; c->at++) {
    if (__builtin_mul_overflow(value, 10, &value) ||
        __builtin_add_overflow(value, peek_char(c) - '0', &value))
      return broken_npy(c, "shape: a size passes 2^63-1");
  }
  if (peek_char(c) == 'L') c->at++; /* Python 2 wrote so */
  *out = value;
  return SQ_OK;
}

/* --- the three fields ----------------------------------------------------------------------- */

static sq_status set_npy_type(const cursor *c, const char *descr, sq_array *a) {
  static const char *const names[SQ_WIRES] = {
      [SQ_WIRE_BOOL] = "b1", [SQ_WIRE_U8] = "u1",  [SQ_WIRE_I8] = "i1",  [SQ_WIRE_U16] = "u2",
      [SQ_WIRE_I16] = "i2",  [SQ_WIRE_U32] = "u4", [SQ_WIRE_I32] = "i4", [SQ_WIRE_U64] = "u8",
      [SQ_WIRE_I64] = "i8",  [SQ_WIRE_F16] = "f2", [SQ_WIRE_F32] = "f4", [SQ_WIRE_F64] = "f8"};
  const char *type = descr + (descr[0] != 0 && strchr("<>=|", descr[0]) ? 1 : 0);
  a->big_endian = descr[0] == '>';
  if (type[0] == 'O')
    return broken_npy(
        c, "descr: an object array holds pickled Python objects, which are never loaded");
  for (int i = 0; i < SQ_WIRES; i++) {
    if (!names[i] || strcmp(type, names[i]) != 0) continue;
    a->type = (sq_wire)i;
    if (descr[0] == '|' && sq_wire_size(a->type) > 1) break;
    return SQ_OK;
  }
  return sq_fail(SQ_EFORMAT, "[npy] at byte %" PRId64 ": descr: no tensor holds the type '%s'",
                 c->at, descr);
}

static sq_status read_descr(cursor *c, sq_array *a) {
  char descr[MOST_TEXT];
  skip_space(c);
  if (peek_char(c) == '[' || peek_char(c) == '(')
    return broken_npy(c, "descr: an array of records does not fit a tensor");
  SQ_TRY(read_quoted(c, "descr: a type in quotes is expected", descr, sizeof descr));
  return set_npy_type(c, descr, a);
}

static sq_status read_order(cursor *c, sq_array *a) {
  a->fortran = skip_word(c, "True");
  if (a->fortran || skip_word(c, "False")) return SQ_OK;
  return broken_npy(c, "fortran_order: True or False is expected");
}

static sq_status read_shape(cursor *c, sq_array *a) {
  if (!skip_word(c, "(")) return broken_npy(c, "shape: '(' is expected");
  a->ndim = 0;
  while (!skip_word(c, ")")) {
    if (a->ndim == SQ_MAX_DIMS) return broken_npy(c, "shape: more than 8 dims");
    SQ_TRY(whole_number(c, &a->shape[a->ndim++]));
    bool comma = skip_word(c, ",");
    if (!comma && (a->ndim == 1 || !skip_word(c, ")")))
      return broken_npy(c, "shape: ',' or ')' is expected");
    if (!comma) break;
  }
  if (sq_shape_numel("npy", a->ndim, a->shape, &a->numel) == SQ_OK) return SQ_OK;
  return sq_fail_in(SQ_EFORMAT, "at byte %" PRId64 ", shape: ", c->at);
}

static sq_status read_field(cursor *c, sq_array *a, bool seen[3]) {
  static const char *const names[] = {"descr", "fortran_order", "shape"};
  static sq_status (*const readers[])(cursor *, sq_array *) = {read_descr, read_order, read_shape};
  char key[MOST_TEXT];
  SQ_TRY(read_quoted(c, "a key in quotes is expected", key, sizeof key));
  if (!skip_word(c, ":")) return broken_npy(c, "':' is expected");
  for (int i = 0; i < 3; i++) {
    if (strcmp(key, names[i]) != 0) continue;
    if (seen[i])
      return sq_fail(SQ_EFORMAT, "[npy] at byte %" PRId64 ": '%s' stands twice", c->at, key);
    seen[i] = true;
    return readers[i](c, a);
  }
  return sq_fail(SQ_EFORMAT, "[npy] at byte %" PRId64 ": '%s' is no key of a .npy header", c->at,
                 key);
}

static sq_status read_npy_header(cursor *c, sq_array *a) {
  bool seen[3] = {false};
  if (!skip_word(c, "{")) return broken_npy(c, "'{' is expected");
  while (!skip_word(c, "}")) {
    SQ_TRY(read_field(c, a, seen));
    if (skip_word(c, ",")) continue;
    if (!skip_word(c, "}")) return broken_npy(c, "',' or '}' is expected");
    break;
  }
  skip_space(c);
  if (c->at != c->end) return broken_npy(c, "more text follows the header's '}'");
  if (seen[0] && seen[1] && seen[2]) return SQ_OK;
  return broken_npy(c, "the header lacks descr, fortran_order or shape");
}

/* --- the file ------------------------------------------------------------------------------- */

/* Where the header's text lies. */
static sq_status find_npy_header(const uint8_t *b, int64_t size, cursor *c) {
  *c = (cursor){(const char *)b, 0, size};
  if (size < 10 || memcmp(b, "\x93NUMPY", MAGIC) != 0)
    return broken_npy(c, "this is no .npy file: its first bytes are others");
  c->at = MAGIC;
  int major = b[6];
  if (major < 1 || major > 3 || b[7] != 0)
    return sq_fail(SQ_EFORMAT, "[npy] at byte 6: version %d.%d is not known: 1.0, 2.0 and 3.0 are",
                   major, b[7]);
  c->at = 8;
  int64_t length = b[8] | b[9] << 8;
  int64_t start = 10;
  if (major > 1) {
    if (size < 12) return broken_npy(c, "the file ends within the header's length");
    length |= (int64_t)b[10] << 16 | (int64_t)b[11] << 24;
    start = 12;
  }
  if (length > MOST_HEADER || length > size - start)
    return sq_fail(SQ_EFORMAT,
                   "[npy] at byte 8: header length %" PRId64 ", the file has %" PRId64
                   " bytes more and a header at most %d",
                   length, size - start, MOST_HEADER);
  c->at = start;
  c->end = start + length;
  return SQ_OK;
}

sq_status sq_npy_parse(const void *bytes, int64_t size, sq_array *out) {
  cursor c;
  sq_array a = {0};
  SQ_TRY(find_npy_header(bytes, size, &c));
  SQ_TRY(read_npy_header(&c, &a));
  int64_t need = a.numel * sq_wire_size(a.type); /* at most 2^47 times 8 */
  if (need != size - c.end)
    return sq_fail(SQ_EFORMAT,
                   "[npy] at byte %" PRId64 ": shape %s of %s takes %" PRId64
                   " bytes of data, the file has %" PRId64,
                   c.end, sq_shape_text(a.ndim, a.shape, SQ_SHAPE_BUF), sq_wire_name(a.type), need,
                   size - c.end);
  a.data = (const uint8_t *)bytes + c.end;
  *out = a;
  return SQ_OK;
}

/* --- writing -------------------------------------------------------------------------------- */

/* Magic, version, length and dict, padded to 64 bytes. Returns its size. */
static int64_t make_npy_header(sq_dtype dtype, int ndim, const int64_t *shape, char *out,
                               size_t room) {
  static const char *const names[SQ_DTYPES] = {
      [SQ_F32] = "<f4", [SQ_F64] = "<f8", [SQ_I64] = "<i8", [SQ_U8] = "|u1", [SQ_BOOL] = "|b1"};
  char *dict = out + 10;
  size_t left = room - 10, used;
  used = (size_t)snprintf(dict, left, "{'descr': '%s', 'fortran_order': False, 'shape': (",
                          names[dtype]);
  for (int i = 0; i < ndim; i++)
    used += (size_t)snprintf(dict + used, left - used, "%s%" PRId64 "%s", i ? " " : "", shape[i],
                             i + 1 < ndim || ndim == 1 ? "," : "");
  used += (size_t)snprintf(dict + used, left - used, "), }");
  size_t total = (10 + used + 1 + 63) / 64 * 64;
  memset(dict + used, ' ', total - 10 - used - 1);
  out[total - 1] = '\n';
  memcpy(out, "\x93NUMPY\x01\x00", 8);
  out[8] = (char)((total - 10) & 255);
  out[9] = (char)((total - 10) >> 8);
  return (int64_t)total;
}

static sq_status put_npy(sq_writer *w, const char *header, int64_t header_size, const void *data,
                         int64_t size) {
  SQ_TRY(sq_writer_put(w, header, header_size));
  return sq_writer_put(w, data, size);
}

sq_status sq_npy_save(const char *path, sq_dtype dtype, int ndim, const int64_t *shape,
                      const void *data) {
  int64_t numel = 0;
  SQ_TRY(sq_shape_numel("npy", ndim, shape, &numel));
  char header[512]; /* eight sizes of 19 digits fit twice */
  int64_t header_size = make_npy_header(dtype, ndim, shape, header, sizeof header);
  sq_writer *w = NULL;
  SQ_TRY(sq_writer_begin(path, &w));
  sq_status status = put_npy(w, header, header_size, data, numel * (int64_t)sq_dtype_size(dtype));
  if (status != SQ_OK) {
    sq_writer_abandon(w);
    return status;
  }
  return sq_writer_commit(w);
}

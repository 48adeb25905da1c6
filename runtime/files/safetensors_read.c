/* safetensors_read.c: reads the header member by member, so that a broken one costs little: the
 * extent of each name and value is found here, what is in them is parsed by Jansson, strictly. */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "files/safetensors.h"

enum { LENGTH = 8, MOST_ENTRY = 1 << 16, MOST_TEXT = 4 << 20 };

/* --- extents: where the next name and value lie --------------------------------------------- */

typedef struct scan {
  const char *text;
  int64_t at, end; /* bytes from the start of the file */
} scan;

typedef struct span {
  int64_t from, to;
} span;

static sq_status broken_header(int64_t at, const char *what) {
  return sq_fail(SQ_EFORMAT, "[safetensors] at byte %" PRId64 ": %s", at, what);
}

static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

static char peek_letter(scan *s) {
  while (s->at < s->end && is_space(s->text[s->at])) s->at++;
  return s->at < s->end ? s->text[s->at] : 0;
}

/* From one quote to the next that is not escaped. */
static sq_status skip_text(scan *s, span *out) {
  if (peek_letter(s) != '"') return broken_header(s->at, "a text in quotes is expected");
  out->from = s->at++;
  while (s->at < s->end && s->text[s->at] != '"') s->at += s->text[s->at] == '\\' ? 2 : 1;
  if (s->at >= s->end) return broken_header(out->from, "this text does not end");
  out->to = ++s->at;
  return SQ_OK;
}

/* A text, or all from a bracket to its partner. */
static sq_status skip_value(scan *s, span *out) {
  if (peek_letter(s) == '"') return skip_text(s, out);
  if (peek_letter(s) != '{') return broken_header(s->at, "a text or an object is expected");
  out->from = s->at;
  for (int64_t depth = 0; peek_letter(s) != 0;) {
    span inside;
    char c = s->text[s->at];
    if (c == '"') {
      SQ_TRY(skip_text(s, &inside));
      continue;
    }
    s->at++;
    if (c == '{' || c == '[') depth++;
    if ((c == '}' || c == ']') && --depth == 0) {
      out->to = s->at;
      return SQ_OK;
    }
  }
  return broken_header(out->from, "this object does not end");
}

/* The next member of an object; *more is false at its '}', which is skipped. `first` is kept by
 * this function. */
static sq_status next_member(scan *s, bool *first, span *key, span *value, bool *more) {
  *more = false;
  if (*first && peek_letter(s) == '}') {
    s->at++;
    return SQ_OK;
  }
  if (!*first) {
    char c = peek_letter(s);
    if (c != '}' && c != ',') return broken_header(s->at, "',' or '}' is expected");
    s->at++;
    if (c == '}') return SQ_OK;
  }
  *first = false;
  SQ_TRY(skip_text(s, key));
  if (peek_letter(s) != ':') return broken_header(s->at, "':' is expected");
  s->at++;
  SQ_TRY(skip_value(s, value));
  *more = true;
  return SQ_OK;
}

/* --- values, by Jansson --------------------------------------------------------------------- */

/* The value within a span; to be given back with json_decref. */
static sq_status load_json(const scan *s, span at, int64_t most, json_t **out) {
  if (at.to - at.from > most)
    return sq_fail(SQ_EFORMAT,
                   "[safetensors] at byte %" PRId64 ": %" PRId64 " bytes long, at most %" PRId64
                   " are read",
                   at.from, at.to - at.from, most);
  json_error_t e;
  *out = json_loadb(s->text + at.from, (size_t)(at.to - at.from),
                    JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &e);
  if (*out) return SQ_OK;
  if (json_error_code(&e) == json_error_out_of_memory)
    return sq_fail(SQ_ENOMEM, "[safetensors] out of memory in the header");
  return sq_fail(SQ_EFORMAT, "[safetensors] at byte %" PRId64 ": %s",
                 at.from + (e.position > 0 ? e.position : 0), e.text);
}

static sq_status wrong_entry(const char *name, int64_t at, const char *what) {
  return sq_fail(SQ_EFORMAT, "[safetensors] at byte %" PRId64 ": '%.80s': %s", at, name, what);
}

static sq_status set_json_type(const json_t *dtype, const char *name, int64_t at, sq_array *a) {
  static const char *const names[SQ_WIRES] = {
      [SQ_WIRE_BOOL] = "BOOL", [SQ_WIRE_U8] = "U8",     [SQ_WIRE_I8] = "I8",
      [SQ_WIRE_U16] = "U16",   [SQ_WIRE_I16] = "I16",   [SQ_WIRE_U32] = "U32",
      [SQ_WIRE_I32] = "I32",   [SQ_WIRE_U64] = "U64",   [SQ_WIRE_I64] = "I64",
      [SQ_WIRE_F16] = "F16",   [SQ_WIRE_BF16] = "BF16", [SQ_WIRE_F32] = "F32",
      [SQ_WIRE_F64] = "F64"};
  if (!json_is_string(dtype)) return wrong_entry(name, at, "dtype is no text");
  for (int i = 0; i < SQ_WIRES; i++) {
    if (strcmp(json_string_value(dtype), names[i]) != 0) continue;
    a->type = (sq_wire)i;
    return SQ_OK;
  }
  return sq_fail(SQ_EFORMAT,
                 "[safetensors] at byte %" PRId64 ": '%.80s': dtype '%.20s' is not read", at, name,
                 json_string_value(dtype));
}

static sq_status set_shape(const json_t *shape, const char *name, int64_t at, sq_array *a) {
  if (!json_is_array(shape)) return wrong_entry(name, at, "shape is no list");
  if (json_array_size(shape) > SQ_MAX_DIMS)
    return wrong_entry(name, at, "shape has more than 8 dims");
  a->ndim = (int)json_array_size(shape);
  for (int i = 0; i < a->ndim; i++) {
    const json_t *size = json_array_get(shape, (size_t)i);
    if (!json_is_integer(size)) return wrong_entry(name, at, "shape holds what is no whole number");
    a->shape[i] = json_integer_value(size);
  }
  if (sq_shape_numel("safetensors", a->ndim, a->shape, &a->numel) == SQ_OK) return SQ_OK;
  return sq_fail_in(SQ_EFORMAT, "at byte %" PRId64 ", shape of '%.80s': ", at, name);
}

static sq_status set_offsets(const json_t *pair, const char *name, int64_t at, const sq_array *a,
                             int64_t room, span *out) {
  const json_t *from = json_array_get(pair, 0), *to = json_array_get(pair, 1);
  if (json_array_size(pair) != 2 || !json_is_integer(from) || !json_is_integer(to))
    return wrong_entry(name, at, "data_offsets is no pair of whole numbers");
  *out = (span){json_integer_value(from), json_integer_value(to)};
  if (out->from < 0 || out->to < out->from || out->to > room)
    return sq_fail(SQ_EFORMAT,
                   "[safetensors] at byte %" PRId64 ": '%.80s': data_offsets [%" PRId64 ", %" PRId64
                   "] leave the %" PRId64 " bytes of data",
                   at, name, out->from, out->to, room);
  int64_t need = a->numel * sq_wire_size(a->type); /* at most 2^47 times 8 */
  if (out->to - out->from == need) return SQ_OK;
  return sq_fail(SQ_EFORMAT,
                 "[safetensors] at byte %" PRId64 ": '%.80s': shape %s of %s takes %" PRId64
                 " bytes, data_offsets give %" PRId64,
                 at, name, sq_shape_text(a->ndim, a->shape, SQ_SHAPE_BUF), sq_wire_name(a->type),
                 need, out->to - out->from);
}

static sq_status read_entry(const json_t *entry, const char *name, int64_t at, int64_t room,
                            sq_array *a, span *range) {
  if (!json_is_object(entry)) return wrong_entry(name, at, "an entry is an object");
  const json_t *dtype = json_object_get(entry, "dtype"), *shape = json_object_get(entry, "shape");
  const json_t *offsets = json_object_get(entry, "data_offsets");
  if (!dtype || !shape || !offsets || json_object_size(entry) != 3)
    return wrong_entry(name, at, "an entry has dtype, shape and data_offsets, and nothing else");
  SQ_TRY(set_json_type(dtype, name, at, a));
  SQ_TRY(set_shape(shape, name, at, a));
  return set_offsets(offsets, name, at, a, room, range);
}

/* --- the passes: count, check, keep --------------------------------------------------------- */

typedef struct reader {
  const uint8_t *bytes;
  int64_t size, data;     /* of the file; where the data begin */
  int64_t arrays, pairs;  /* counted so far in this pass */
  int64_t text;           /* bytes of all names, keys and values */
  span *ranges;           /* checking: of each array */
  uint64_t *names, *keys; /* checking: a hash of each */
  sq_safetensors *file;   /* keeping: what is filled */
  char *at;               /* keeping: where the next text goes */
} reader;

/* FNV-1a, finished by a mix of its own so that its two halves depend on all of the text. */
static uint64_t hash_text(const char *t) {
  uint64_t h = 14695981039346656037u;
  for (; *t; t++) h = (h ^ (uint8_t)*t) * 1099511628211u;
  h = (h ^ h >> 32) * 0x9e3779b97f4a7c15u;
  return h ^ h >> 29;
}

static const char *keep_text(reader *r, const char *text) {
  size_t n = strlen(text) + 1;
  char *kept = memcpy(r->at, text, n);
  r->at += n;
  return kept;
}

static sq_status take_pair(reader *r, const json_t *key, const json_t *value, int64_t at) {
  const char *k = json_string_value(key), *v = json_string_value(value);
  if (!v) return wrong_entry(k, at, "__metadata__ holds texts only");
  if (r->keys) r->keys[r->pairs] = hash_text(k);
  if (r->file) {
    sq_text_pair *p = &r->file->pair[r->pairs];
    p->key = keep_text(r, k);
    p->value = keep_text(r, v);
  }
  r->text += (int64_t)(strlen(k) + strlen(v) + 2);
  r->pairs++;
  return SQ_OK;
}

static sq_status take_array(reader *r, const json_t *key, const json_t *entry, int64_t at) {
  sq_array a = {0};
  span range = {0, 0};
  const char *name = json_string_value(key);
  if (strcmp(name, "__metadata__") == 0) /* written with escapes: readers would not agree on it */
    return broken_header(at, "no array can be called __metadata__");
  SQ_TRY(read_entry(entry, name, at, r->size - r->data, &a, &range));
  a.data = r->bytes + r->data + range.from;
  if (r->names) {
    r->names[r->arrays] = hash_text(name);
    r->ranges[r->arrays] = range;
  }
  if (r->file) r->file->array[r->arrays] = (sq_named_array){keep_text(r, name), a};
  r->text += (int64_t)strlen(name) + 1;
  r->arrays++;
  return SQ_OK;
}

typedef sq_status take_fn(reader *r, const json_t *key, const json_t *value, int64_t at);

static sq_status take_member(reader *r, const scan *s, span key, span value, take_fn *take) {
  json_t *k = NULL, *v = NULL;
  sq_status status = load_json(s, key, MOST_ENTRY, &k);
  int64_t most = take == take_pair ? MOST_TEXT : MOST_ENTRY;
  if (status == SQ_OK) status = load_json(s, value, most, &v);
  if (status == SQ_OK) status = take(r, k, v, key.from);
  json_decref(k);
  json_decref(v);
  return status;
}

static sq_status read_metadata(reader *r, const scan *s, span value) {
  scan inner = {s->text, value.from, value.to};
  bool first = true, more = true;
  span k, v;
  if (peek_letter(&inner) != '{') return broken_header(value.from, "__metadata__ is no object");
  inner.at++;
  for (;;) {
    SQ_TRY(next_member(&inner, &first, &k, &v, &more));
    if (!more) return SQ_OK;
    SQ_TRY(take_member(r, s, k, v, take_pair));
  }
}

static bool is_metadata(const scan *s, span key) {
  static const char word[] = "\"__metadata__\"";
  return key.to - key.from == sizeof word - 1 &&
         memcmp(s->text + key.from, word, sizeof word - 1) == 0;
}

/* One pass over the header. */
static sq_status read_members(reader *r) {
  scan s = {(const char *)r->bytes, LENGTH + 1, r->data};
  bool first = true, more = true, metadata = false;
  span k, v;
  r->arrays = r->pairs = r->text = 0;
  for (;;) {
    SQ_TRY(next_member(&s, &first, &k, &v, &more));
    if (!more) break;
    if (!is_metadata(&s, k)) {
      SQ_TRY(take_member(r, &s, k, v, take_array));
    } else if (metadata) {
      return broken_header(k.from, "__metadata__ stands twice");
    } else {
      metadata = true;
      SQ_TRY(read_metadata(r, &s, v));
    }
  }
  if (peek_letter(&s) != 0 || s.at != s.end)
    return broken_header(s.at, "more text follows the header's '}'");
  return SQ_OK;
}

static int by_range(const void *a, const void *b) {
  const span *x = a, *y = b;
  if (x->from != y->from) return x->from < y->from ? -1 : 1;
  return (x->to > y->to) - (x->to < y->to);
}

static int by_hash(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static sq_status check_unique(int64_t n, uint64_t *hashes, const char *what) {
  qsort(hashes, (size_t)n, sizeof *hashes, by_hash);
  for (int64_t i = 1; i < n; i++) {
    if (hashes[i] == hashes[i - 1])
      return sq_fail(SQ_EFORMAT, "[safetensors] at byte 8: %s stands twice in the header", what);
  }
  return SQ_OK;
}

static sq_status check_cover(const reader *r) {
  int64_t reached = 0, room = r->size - r->data;
  qsort(r->ranges, (size_t)r->arrays, sizeof *r->ranges, by_range);
  for (int64_t i = 0; i < r->arrays; i++) {
    if (r->ranges[i].from != reached)
      return sq_fail(SQ_EFORMAT, "[safetensors] data_offsets: %s at byte %" PRId64 " of the data",
                     r->ranges[i].from > reached ? "a hole" : "two arrays overlap",
                     r->ranges[i].from > reached ? reached : r->ranges[i].from);
    reached = r->ranges[i].to;
  }
  if (reached == room) return SQ_OK;
  return sq_fail(SQ_EFORMAT,
                 "[safetensors] data_offsets: the arrays end at byte %" PRId64
                 " of the data, the file has %" PRId64 " bytes of it",
                 reached, room);
}

/* The second pass, with room for a range and a hash of everything that the first has counted. */
static sq_status check_ranges(reader *r) {
  void *block = NULL;
  int64_t arrays = r->arrays, pairs = r->pairs;
  SQ_TRY(sq_alloc(arrays * (int64_t)(sizeof(span) + 8) + pairs * 8, &block));
  r->ranges = block;
  r->names = (uint64_t *)(r->ranges + arrays);
  r->keys = r->names + arrays;
  sq_status status = read_members(r);
  if (status == SQ_OK) status = check_unique(r->arrays, r->names, "a name");
  if (status == SQ_OK) status = check_cover(r);
  if (status == SQ_OK) status = check_unique(r->pairs, r->keys, "a key of __metadata__");
  r->ranges = NULL;
  r->names = r->keys = NULL;
  sq_free(block);
  return status;
}

static sq_status keep_entries(reader *r, sq_safetensors *file) {
  int64_t arrays = r->arrays * (int64_t)sizeof(sq_named_array);
  int64_t pairs = r->pairs * (int64_t)sizeof(sq_text_pair);
  SQ_TRY(sq_alloc(arrays + pairs + r->text, &file->block));
  file->arrays = r->arrays;
  file->pairs = r->pairs;
  file->array = file->block;
  file->pair = (sq_text_pair *)((char *)file->block + arrays);
  r->at = (char *)file->pair + pairs;
  r->file = file;
  return read_members(r);
}

/* The header's length and first byte. */
static sq_status find_json_header(const uint8_t *b, int64_t size, int64_t *data) {
  if (size < LENGTH)
    return sq_fail(SQ_EFORMAT, "[safetensors] at byte 0: %" PRId64 " bytes are no file", size);
  uint64_t n = 0;
  for (int i = 0; i < LENGTH; i++) n |= (uint64_t)b[i] << (8 * i);
  if (n > (uint64_t)SQ_SAFETENSORS_MOST_HEADER || (int64_t)n > size - LENGTH)
    return sq_fail(SQ_EFORMAT,
                   "[safetensors] at byte 0: header length %" PRIu64 ": the file has %" PRId64
                   " bytes more, and a header at most %" PRId64,
                   n, size - LENGTH, SQ_SAFETENSORS_MOST_HEADER);
  if (n < 2 || b[LENGTH] != '{') return broken_header(LENGTH, "a header begins with '{'");
  *data = LENGTH + (int64_t)n;
  return SQ_OK;
}

sq_status sq_safetensors_parse(const void *bytes, int64_t size, sq_safetensors *out) {
  reader r = {.bytes = bytes, .size = size};
  sq_safetensors file = {0};
  SQ_TRY(find_json_header(bytes, size, &r.data));
  SQ_TRY(read_members(&r));
  SQ_TRY(check_ranges(&r));
  sq_status status = keep_entries(&r, &file);
  if (status != SQ_OK) {
    sq_safetensors_free(&file);
    return status;
  }
  *out = file;
  return SQ_OK;
}

void sq_safetensors_free(sq_safetensors *file) {
  sq_free(file->block);
  *file = (sq_safetensors){0};
}

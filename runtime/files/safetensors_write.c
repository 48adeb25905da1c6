/* safetensors_write.c: writes arrays and texts; the order and every byte follow from what is saved
 * alone. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "files/safetensors.h"

/* --- the header's text ---------------------------------------------------------------------- */

typedef struct text {
  char *bytes;
  int64_t size, room;
} text;

static sq_status append_bytes(text *t, const char *bytes, int64_t n) {
  if (t->size + n > SQ_SAFETENSORS_MOST_HEADER)
    return sq_fail(SQ_EARG, "[safetensors] the names and texts take more than %" PRId64 " bytes",
                   SQ_SAFETENSORS_MOST_HEADER);
  void *grown = t->bytes;
  SQ_TRY(sq_grow(t->size + n, 1, &grown, &t->room));
  t->bytes = grown;
  memcpy(t->bytes + t->size, bytes, (size_t)n);
  t->size += n;
  return SQ_OK;
}

static sq_status append_word(text *t, const char *word) {
  return append_bytes(t, word, (int64_t)strlen(word));
}

static int on_json(const char *bytes, size_t n, void *context) {
  return append_bytes(context, bytes, (int64_t)n) == SQ_OK ? 0 : -1;
}

/* In quotes, with JSON's escapes. */
static sq_status append_quoted(text *t, const char *word) {
  json_t *json = json_string(word);
  if (!json) return sq_fail(SQ_EARG, "[safetensors] a name or text is not valid UTF-8");
  int failed = json_dump_callback(json, on_json, t, JSON_ENCODE_ANY);
  json_decref(json);
  return failed ? SQ_ENOMEM : SQ_OK; /* append has written why */
}

static sq_status append_pairs(text *t, int64_t n, const sq_text_pair *const *pairs) {
  SQ_TRY(append_word(t, "\"__metadata__\":{"));
  for (int64_t i = 0; i < n; i++) {
    if (i > 0) SQ_TRY(append_word(t, ","));
    SQ_TRY(append_quoted(t, pairs[i]->key));
    SQ_TRY(append_word(t, ":"));
    SQ_TRY(append_quoted(t, pairs[i]->value));
  }
  return append_word(t, "}");
}

static sq_status append_array(text *t, const sq_save_array *a, int64_t from, int64_t to) {
  static const char *const names[SQ_DTYPES] = {
      [SQ_F32] = "F32", [SQ_F64] = "F64", [SQ_I64] = "I64", [SQ_U8] = "U8", [SQ_BOOL] = "BOOL"};
  char part[128];
  SQ_TRY(append_quoted(t, a->name));
  snprintf(part, sizeof part, ":{\"dtype\":\"%s\",\"shape\":[", names[a->dtype]);
  SQ_TRY(append_word(t, part));
  for (int i = 0; i < a->ndim; i++) {
    snprintf(part, sizeof part, "%s%" PRId64, i ? "," : "", a->shape[i]);
    SQ_TRY(append_word(t, part));
  }
  snprintf(part, sizeof part, "],\"data_offsets\":[%" PRId64 ",%" PRId64 "]}", from, to);
  return append_word(t, part);
}

/* --- order ---------------------------------------------------------------------------------- */

/* The reference writer's order of types, the widest first. */
static int type_rank(sq_dtype dtype) {
  static const int ranks[SQ_DTYPES] = {
      [SQ_I64] = 0, [SQ_F64] = 1, [SQ_F32] = 2, [SQ_U8] = 3, [SQ_BOOL] = 4};
  return ranks[dtype];
}

static int by_name(const void *a, const void *b) {
  return strcmp((*(const sq_save_array *const *)a)->name, (*(const sq_save_array *const *)b)->name);
}

static int by_type_and_name(const void *a, const void *b) {
  const sq_save_array *x = *(const sq_save_array *const *)a, *y = *(const sq_save_array *const *)b;
  int d = type_rank(x->dtype) - type_rank(y->dtype);
  return d != 0 ? d : strcmp(x->name, y->name);
}

static int by_key(const void *a, const void *b) {
  return strcmp((*(const sq_text_pair *const *)a)->key, (*(const sq_text_pair *const *)b)->key);
}

static sq_status sort_arrays(int64_t n, const sq_save_array **sorted) {
  qsort(sorted, (size_t)n, sizeof *sorted, by_name);
  for (int64_t i = 0; i < n; i++) {
    if (strcmp(sorted[i]->name, "__metadata__") == 0)
      return sq_fail(SQ_EARG, "[safetensors] no array can be called __metadata__");
    if (i > 0 && strcmp(sorted[i]->name, sorted[i - 1]->name) == 0)
      return sq_fail(SQ_EARG, "[safetensors] two arrays are called '%.80s'", sorted[i]->name);
  }
  qsort(sorted, (size_t)n, sizeof *sorted, by_type_and_name);
  return SQ_OK;
}

static sq_status sort_pairs(int64_t n, const sq_text_pair **sorted) {
  qsort(sorted, (size_t)n, sizeof *sorted, by_key);
  for (int64_t i = 1; i < n; i++) {
    if (strcmp(sorted[i]->key, sorted[i - 1]->key) == 0)
      return sq_fail(SQ_EARG, "[safetensors] two texts are called '%.80s'", sorted[i]->key);
  }
  return SQ_OK;
}

/* --- the file ------------------------------------------------------------------------------- */

typedef struct job {
  int64_t arrays, pairs;
  const sq_save_array **array; /* sorted */
  const sq_text_pair **pair;
  text header;
} job;

static sq_status bytes_of(const sq_save_array *a, int64_t *out) {
  int64_t numel = 0;
  SQ_TRY(sq_shape_numel("safetensors", a->ndim, a->shape, &numel));
  *out = numel * (int64_t)sq_dtype_size(a->dtype);
  return SQ_OK;
}

static sq_status make_json_header(job *j) {
  text *t = &j->header;
  int64_t at = 0, size = 0;
  SQ_TRY(append_word(t, "{"));
  if (j->pairs > 0) SQ_TRY(append_pairs(t, j->pairs, j->pair));
  for (int64_t i = 0; i < j->arrays; i++) {
    if (i > 0 || j->pairs > 0) SQ_TRY(append_word(t, ","));
    SQ_TRY(bytes_of(j->array[i], &size));
    SQ_TRY(append_array(t, j->array[i], at, at + size));
    at += size;
  }
  SQ_TRY(append_word(t, "}"));
  while (t->size % 8 != 0) SQ_TRY(append_word(t, " "));
  return SQ_OK;
}

static sq_status put_file(const job *j, sq_writer *w) {
  uint8_t length[8];
  int64_t size = 0;
  for (int i = 0; i < 8; i++) length[i] = (uint8_t)((uint64_t)j->header.size >> (8 * i));
  SQ_TRY(sq_writer_put(w, length, sizeof length));
  SQ_TRY(sq_writer_put(w, j->header.bytes, j->header.size));
  for (int64_t i = 0; i < j->arrays; i++) {
    SQ_TRY(bytes_of(j->array[i], &size));
    SQ_TRY(sq_writer_put(w, j->array[i]->data, size));
  }
  return SQ_OK;
}

static sq_status write_file(const char *path, const job *j) {
  sq_writer *w = NULL;
  SQ_TRY(sq_writer_begin(path, &w));
  sq_status status = put_file(j, w);
  if (status != SQ_OK) {
    sq_writer_abandon(w);
    return status;
  }
  return sq_writer_commit(w);
}

static sq_status prepare_save(job *j, const sq_save_array *array, const sq_text_pair *pair) {
  for (int64_t i = 0; i < j->arrays; i++) j->array[i] = &array[i];
  for (int64_t i = 0; i < j->pairs; i++) j->pair[i] = &pair[i];
  SQ_TRY(sort_arrays(j->arrays, j->array));
  SQ_TRY(sort_pairs(j->pairs, j->pair));
  return make_json_header(j);
}

sq_status sq_safetensors_save(const char *path, int64_t arrays, const sq_save_array *array,
                              int64_t pairs, const sq_text_pair *pair) {
  job j = {.arrays = arrays, .pairs = pairs};
  void *order = NULL;
  SQ_TRY(sq_alloc((arrays + pairs) * (int64_t)sizeof(void *), &order));
  j.array = order;
  j.pair = (const sq_text_pair **)order + arrays;
  sq_status status = prepare_save(&j, array, pair);
  if (status == SQ_OK) status = write_file(path, &j);
  sq_free(j.header.bytes);
  sq_free(order);
  return status;
}

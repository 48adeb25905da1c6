/* signature.c: the reader of signature strings, the one cache of what it read, and the completion
 * of arguments. */
#include "signature/signature.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

/* A signature, its parameters, a copy of its text and one cut into words, in one block. */
typedef struct parsed {
  sq_signature sig;
  sq_param param[SQ_MAX_PARAMS];
  struct parsed *next; /* of those in the same bucket of the cache */
  char letters[];
} parsed;

typedef struct reader {
  const char *start, *at;
  char *word; /* where the next word goes */
} reader;

static const struct {
  const char *type;
  sq_arg_kind kind;
} kinds[] = {
    {"Tensor", SQ_ARG_TENSOR},
    {"Tensor|number", SQ_ARG_OPERAND},
    {"Tensor[]", SQ_ARG_TENSORS},
    {"number", SQ_ARG_NUMBER},
    {"int", SQ_ARG_INT},
    {"bool", SQ_ARG_BOOL},
    {"string", SQ_ARG_STRING},
    {"dtype", SQ_ARG_DTYPE},
    {"Generator", SQ_ARG_GENERATOR},
    {"dim", SQ_ARG_DIM},
    {"dims", SQ_ARG_DIMS},
    {"shape", SQ_ARG_SHAPE},
    {"pair", SQ_ARG_PAIR},
    {"lone", SQ_ARG_LONE},
    {"pair|same|valid", SQ_ARG_PADDING},
    {"lone|same|valid", SQ_ARG_LONE_PADDING},
    {"position", SQ_ARG_POSITION},
    {"ints", SQ_ARG_INTS},
    {"numbers", SQ_ARG_NUMBERS},
    {"function", SQ_ARG_FUNCTION},
    {"table", SQ_ARG_TABLE},
    {"any", SQ_ARG_ANY},
};

static sq_status wrong_letter(const reader *r, const char *expected) {
  return sq_fail(SQ_EFORMAT, "signature \"%s\": at letter %d: expected %s", r->start,
                 (int)(r->at - r->start) + 1, expected);
}

static void skip_blanks(reader *r) {
  while (*r->at == ' ') r->at++;
}

static bool accept_token(reader *r, const char *token) {
  skip_blanks(r);
  size_t n = strlen(token);
  if (strncmp(r->at, token, n) != 0) return false;
  r->at += n;
  return true;
}

/* The letters up to one of `stop`, without quotes and trailing blanks. */
static const char *take_word(reader *r, const char *stop) {
  skip_blanks(r);
  char *begin = r->word, *end = begin;
  while (*r->at && !strchr(stop, *r->at)) {
    if (*r->at != '"') *end++ = *r->at;
    r->at++;
  }
  while (end > begin && end[-1] == ' ') end--;
  *end = 0;
  r->word = end + 1;
  return begin;
}

static sq_arg_kind kind_of_type(const char *type, size_t length, bool quoted) {
  if (quoted) return SQ_ARG_CHOICE;
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    const char *known = kinds[i].type;
    if (strlen(known) == length && memcmp(type, known, length) == 0) return kinds[i].kind;
  }
  return SQ_ARG_OBJECT;
}

static sq_number read_number(const char *text, char **end) {
  int64_t whole = strtoll(text, end, 10);
  if (**end == 0) return sq_whole(whole);
  return sq_real(sq_parse_number(text, end));
}

/* The value behind `=`, for a parameter of known kind. */
static sq_status read_default(reader *r, sq_param *p) {
  const char *text = take_word(r, ",)");
  p->has_default = true;
  char *end = NULL;
  if (strcmp(text, "nil") == 0) {
    p->optional = true;
    return SQ_OK;
  }
  p->fallback.kind = p->kind;
  switch (p->kind) {
    case SQ_ARG_NUMBER:
    case SQ_ARG_OPERAND:
      p->fallback.kind = SQ_ARG_NUMBER;
      p->fallback.value = read_number(text, &end);
      break;
    case SQ_ARG_LONE:
    case SQ_ARG_LONE_PADDING:
      p->fallback.kind = SQ_ARG_INT;
      p->fallback.integer = strtoll(text, &end, 10);
      break;
    case SQ_ARG_INT:
    case SQ_ARG_DIM:
    case SQ_ARG_POSITION:
      p->fallback.integer = strtoll(text, &end, 10);
      if (p->kind != SQ_ARG_INT && p->fallback.integer > 0) p->fallback.integer--;
      break;
    case SQ_ARG_PADDING:
    case SQ_ARG_PAIR: { /* a pair's default is one number for both */
      static const int64_t pairs[][2] = {{0, 0}, {1, 1}, {2, 2}, {3, 3}};
      long value = strtol(text, &end, 10);
      if (value < 0 || value > 3) return wrong_letter(r, "a pair's default of 0 to 3");
      p->fallback.kind = SQ_ARG_PAIR;
      p->fallback.ints.n = 2;
      p->fallback.ints.v = pairs[value];
      break;
    }
    case SQ_ARG_BOOL:
      p->fallback.flag = strcmp(text, "true") == 0;
      break;
    case SQ_ARG_STRING:
    case SQ_ARG_CHOICE:
      p->fallback.kind = SQ_ARG_STRING;
      p->fallback.string = text;
      break;
    case SQ_ARG_DTYPE:
      return sq_dtype_parse(text, &p->fallback.dtype);
    case SQ_ARG_NIL:
    case SQ_ARG_TENSOR:
    case SQ_ARG_TENSORS:
    case SQ_ARG_GENERATOR:
    case SQ_ARG_DIMS:
    case SQ_ARG_SHAPE:
    case SQ_ARG_INTS:
    case SQ_ARG_NUMBERS:
    case SQ_ARG_FUNCTION:
    case SQ_ARG_TABLE:
    case SQ_ARG_ANY:
    case SQ_ARG_OBJECT:
      return wrong_letter(r, "nil as the default of this type");
  }
  return end && *end ? wrong_letter(r, "a number") : SQ_OK;
}

static sq_status read_param(reader *r, sq_param *p) {
  memset(p, 0, sizeof *p);
  p->name = take_word(r, ":,)");
  if (!accept_token(r, ":")) return wrong_letter(r, "':' and a type");
  skip_blanks(r);
  bool quoted = *r->at == '"';
  p->type = take_word(r, "?=,)");
  p->kind = kind_of_type(p->type, strlen(p->type), quoted);
  p->optional = accept_token(r, "?");
  p->has_default = p->optional;
  return accept_token(r, "=") ? read_default(r, p) : SQ_OK;
}

static sq_status read_results(reader *r, sq_signature *s) {
  if (!accept_token(r, "->")) return SQ_OK;
  do {
    if (s->returns == (int)(sizeof s->result / sizeof *s->result))
      return wrong_letter(r, "fewer results");
    s->result[s->returns++] = take_word(r, ",");
  } while (accept_token(r, ","));
  return SQ_OK;
}

static sq_status read_all(reader *r, sq_signature *s) {
  if (!accept_token(r, "(")) return wrong_letter(r, "'('");
  if (!accept_token(r, ")")) {
    do {
      if (s->params == SQ_MAX_PARAMS) return wrong_letter(r, "fewer parameters");
      SQ_TRY(read_param(r, &s->param[s->params++]));
    } while (accept_token(r, ","));
    if (!accept_token(r, ")")) return wrong_letter(r, "',' or ')'");
  }
  SQ_TRY(read_results(r, s));
  return *r->at ? wrong_letter(r, "the end") : SQ_OK;
}

static sq_status parse_text(const char *text, parsed **out) {
  size_t n = strlen(text) + 1;
  void *block;
  SQ_TRY(sq_alloc_zero((int64_t)(sizeof(parsed) + n + 2 * n + 64), &block));
  parsed *p = block;
  memcpy(p->letters, text, n);
  p->sig.text = p->letters;
  p->sig.param = p->param;
  reader r = {p->letters, p->letters, p->letters + n};
  sq_status st = read_all(&r, &p->sig);
  if (st != SQ_OK) {
    sq_free(p);
    return st;
  }
  *out = p;
  return SQ_OK;
}

sq_arg_kind sq_signature_first(const char *text) {
  const char *type = text + strcspn(text, ":)");
  if (*type != ':') return SQ_ARG_NIL;
  type += 1 + strspn(type + 1, " ");
  size_t length = strcspn(type, "?=,)");
  while (length > 0 && type[length - 1] == ' ') length--;
  return kind_of_type(type, length, *type == '"');
}

/* --- the cache ------------------------------------------------------------------------------ */

enum { BUCKETS = 256 };

static parsed *cache[BUCKETS];

/* FNV-1a (Fowler, Noll and Vo), folded to a bucket. */
static parsed **bucket_of(const char *text) {
  uint32_t hash = 2166136261u;
  for (; *text; text++) hash = (hash ^ (unsigned char)*text) * 16777619u;
  return &cache[(hash ^ hash >> 16) % BUCKETS];
}

sq_status sq_signature_of(const char *text, const sq_signature **out) {
  parsed **bucket = bucket_of(text), *p = *bucket;
  while (p && strcmp(p->sig.text, text) != 0) p = p->next;
  if (!p) {
    SQ_TRY(parse_text(text, &p));
    p->next = *bucket;
    *bucket = p;
  }
  *out = &p->sig;
  return SQ_OK;
}

/* --- arguments ---------------------------------------------------------------------------- */

/* Kinds whose arguments lie in the same field of sq_arg are one group; each holds its own. */
static int field_group(sq_arg_kind kind) {
  switch (kind) {
    case SQ_ARG_DIM:
    case SQ_ARG_POSITION:
      return SQ_ARG_INT;
    case SQ_ARG_DIMS:
    case SQ_ARG_SHAPE:
    case SQ_ARG_PAIR:
      return SQ_ARG_INTS;
    case SQ_ARG_CHOICE:
      return SQ_ARG_STRING;
    default:
      return (int)kind;
  }
}

static bool takes_kind(const sq_param *p, sq_arg_kind kind) {
  if (p->kind == SQ_ARG_OPERAND) return kind == SQ_ARG_TENSOR || kind == SQ_ARG_NUMBER;
  if (p->kind == SQ_ARG_PADDING) return kind == SQ_ARG_PAIR || kind == SQ_ARG_STRING;
  if (p->kind == SQ_ARG_LONE_PADDING) return kind == SQ_ARG_INT || kind == SQ_ARG_STRING;
  if (p->kind == SQ_ARG_LONE) return kind == SQ_ARG_INT;
  return field_group(p->kind) == field_group(kind) || p->kind >= SQ_ARG_FUNCTION;
}

enum { MAX_CHOICES = 24, CHOICE_LETTERS = 256 };

/* Cuts "mean|sum|none" into words, ended by NULL. */
static void cut_choices(char *text, const char **words) {
  int n = 0;
  for (char *w = text; w && n < MAX_CHOICES; n++) {
    words[n] = w;
    char *bar = strchr(w, '|');
    if (bar) *bar = 0;
    w = bar ? bar + 1 : NULL;
  }
  words[n] = NULL;
}

static sq_status check_choice(const char *what, const sq_param *p, const char *given) {
  char text[CHOICE_LETTERS];
  const char *words[MAX_CHOICES + 1];
  snprintf(text, sizeof text, "%s", p->type);
  cut_choices(text, words);
  for (int i = 0; words[i]; i++)
    if (strcmp(words[i], given) == 0) return SQ_OK;
  const char *near = sq_nearest(given, words);
  return sq_fail(SQ_EARG, "[%s] %s is \"%s\": it must be one of %s%s%s%s", what, p->name, given,
                 p->type, near ? " (did you mean \"" : "", near ? near : "", near ? "\"?)" : "");
}

static sq_status check_kind(const sq_signature *s, const char *what, const sq_param *p,
                            const sq_arg *arg) {
  if (!takes_kind(p, arg->kind)) {
    return sq_fail(SQ_ETYPE, "[%s] %s is of another kind: it is called as %s%s", what, p->name,
                   what, s->text);
  }
  return p->kind == SQ_ARG_CHOICE ? check_choice(what, p, arg->string) : SQ_OK;
}

sq_status sq_signature_complete(const sq_signature *s, const char *what, int nargs,
                                const sq_arg *args, sq_arg *full) {
  if (nargs > s->params) {
    return sq_fail(SQ_EARG, "[%s] takes at most %d arguments, got %d: it is called as %s%s", what,
                   s->params, nargs, what, s->text);
  }
  for (int i = 0; i < s->params; i++) {
    const sq_param *p = &s->param[i];
    full[i] = i < nargs && args[i].kind != SQ_ARG_NIL ? args[i] : p->fallback;
    if (full[i].kind == SQ_ARG_NIL) {
      if (p->optional || p->has_default) continue;
      return sq_fail(SQ_EARG, "[%s] %s is missing; it is called as %s%s", what, p->name, what,
                     s->text);
    }
    bool number = p->kind == SQ_ARG_NUMBER || p->kind == SQ_ARG_OPERAND;
    if (number && full[i].kind == SQ_ARG_INT) full[i] = SQ_V(sq_whole(full[i].integer));
    SQ_TRY(check_kind(s, what, p, &full[i]));
  }
  return SQ_OK;
}

int sq_signature_find(const sq_signature *s, const char *name, size_t length) {
  for (int i = 0; i < s->params; i++) {
    if (strlen(s->param[i].name) == length && memcmp(s->param[i].name, name, length) == 0) return i;
  }
  bool input = length == 5 && memcmp(name, "input", 5) == 0;
  return input && s->params > 0 && strcmp(s->param[0].name, "x") == 0 ? 0 : -1;
}

const sq_arg *sq_args_get(const sq_args *a, const char *name) {
  static const sq_arg none = {.kind = SQ_ARG_NIL};
  int i = sq_signature_find(a->signature, name, strlen(name));
  return i < 0 ? &none : &a->arg[i];
}

static int lower_letter(char c) { return tolower((unsigned char)c); }

static int least_of(int a, int b) { return a < b ? a : b; }

enum { LONGEST = 63 };

/* How many single letters separate two words, swapped neighbours counting as one (Damerau 1964, no
 * letter changed twice); words longer than 63 letters count as far. */
static int word_distance(const char *a, const char *b) {
  size_t n = strlen(a), m = strlen(b);
  if (n > LONGEST || m > LONGEST) return LONGEST + 1;
  int rows[3][LONGEST + 1], *before = rows[0], *above = rows[1], *row = rows[2];
  for (size_t j = 0; j <= m; j++) row[j] = (int)j;
  for (size_t i = 1; i <= n; i++) {
    int *free_row = before;
    before = above, above = row, row = free_row;
    row[0] = (int)i;
    for (size_t j = 1; j <= m; j++) {
      int other = lower_letter(a[i - 1]) != lower_letter(b[j - 1]);
      row[j] = least_of(above[j - 1] + other, least_of(above[j], row[j - 1]) + 1);
      bool swapped = i > 1 && j > 1 && lower_letter(a[i - 1]) == lower_letter(b[j - 2]) &&
                     lower_letter(a[i - 2]) == lower_letter(b[j - 1]);
      if (swapped) row[j] = least_of(row[j], before[j - 2] + 1);
    }
  }
  return row[m];
}

/* True when one word begins with the other, of at least two letters. */
static bool begin_alike(const char *a, const char *b) {
  size_t n = strlen(a), m = strlen(b), shorter = n < m ? n : m;
  return shorter > 1 && strncmp(a, b, shorter) == 0;
}

const char *sq_nearest(const char *word, const char *const *words) {
  const char *best = NULL;
  const int furthest = (int)strlen(word) / 3 + 1;
  int least = furthest + 1;
  for (; *words; words++) {
    int d = word_distance(word, *words);
    if (d > furthest && begin_alike(word, *words)) d = furthest;
    if (d < least) {
      least = d;
      best = *words;
    }
  }
  return best;
}

sq_status sq_fail_unknown(const char *none, const char *name, const char *const *names) {
  const char *near = sq_nearest(name, names);
  return sq_fail(SQ_EARG, "%s is called '%s'%s%s%s", none, name, near ? ": did you mean '" : "",
                 near ? near : "", near ? "'?" : "");
}

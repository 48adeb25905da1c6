/* registry.c: the list of all functions and classes that were opened, and the one cache of
 * signatures. */
#include "bind/registry.h"

#include <string.h>

#include "autograd/op.h"
#include "base/mem.h"

/* --- signatures ----------------------------------------------------------------------------- */

typedef struct cached {
  const char *text;
  const sq_signature *sig;
  struct cached *next;
} cached;

static cached *signatures;

sq_status registry_signature(const char *text, const sq_signature **out) {
  for (const cached *c = signatures; c; c = c->next) {
    if (c->text != text && strcmp(c->text, text) != 0) continue;
    *out = c->sig;
    return SQ_OK;
  }
  void *block;
  SQ_TRY(sq_alloc(sizeof(cached), &block));
  sq_signature *sig;
  sq_status st = sq_signature_parse(text, &sig);
  if (st != SQ_OK) {
    sq_free(block);
    return st;
  }
  cached *c = block;
  *c = (cached){text, sig, signatures};
  signatures = c;
  *out = sig;
  return SQ_OK;
}

sq_status registry_signature_copy(const char *text, const sq_signature **out) {
  for (const cached *c = signatures; c; c = c->next)
    if (strcmp(c->text, text) == 0) return registry_signature(c->text, out);
  char *copy;
  SQ_TRY(sq_strdup(text, &copy));
  sq_status st = registry_signature(copy, out);
  if (st != SQ_OK) sq_free(copy);
  return st;
}

/* --- the list ------------------------------------------------------------------------------- */

static registry_functions *groups;
static const bind_class **classes;
static int group_count, class_count;

/* Room for one more item of `size` bytes in a list that lives as long as the process. */
static sq_status make_room(void **list, int n, size_t size) {
  enum { FIRST = 64 };
  if (n > 0 && (n < FIRST || (n & (n - 1)) != 0)) return SQ_OK; /* it doubles at powers of two */
  return sq_realloc((int64_t)size * (n < FIRST ? FIRST : 2 * n), list);
}

sq_status registry_add_functions(const char *owner, const bind_fn *fns) {
  for (int i = 0; i < group_count; i++)
    if (groups[i].fns == fns) return SQ_OK;
  void *list = groups;
  SQ_TRY(make_room(&list, group_count, sizeof *groups));
  groups = list;
  groups[group_count++] = (registry_functions){owner, fns};
  return SQ_OK;
}

bool registry_is_class(const bind_class *class) {
  for (int i = 0; i < class_count; i++)
    if (classes[i] == class) return true;
  return false;
}

sq_status registry_add_class(const bind_class *class) {
  if (registry_is_class(class)) return SQ_OK;
  void *list = (void *)classes;
  SQ_TRY(make_room(&list, class_count, sizeof *classes));
  classes = list;
  classes[class_count++] = class;
  return SQ_OK;
}

const registry_functions *registry_functions_at(int i) {
  return i < group_count ? &groups[i] : NULL;
}
const bind_class *registry_class_at(int i) { return i < class_count ? classes[i] : NULL; }

/* --- ops ------------------------------------------------------------------------------------ */

const char *registry_inplace_name(int op) {
  static char names[SQ_OPS][32];
  char *name = names[op];
  if (!*name) {
    strncpy(name, sq_op_at((sq_op_id)op)->name, sizeof names[op] - 2);
    name[strlen(name)] = '_';
  }
  return name;
}

/* registry.c: the list of all functions and classes that were opened. */
#include "bind/registry.h"

#include <string.h>

#include "autograd/op.h"
#include "base/mem.h"

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

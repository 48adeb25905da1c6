/* layer.c: birth and death of layers, and their tensors by name. */
#include "layers/layer.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

#define LAYER(name) extern const sq_layer_class sq__layer_##name;
#include "layers/layer.def"
#undef LAYER

static const sq_layer_class *const classes[] = {
#define LAYER(name) &sq__layer_##name,
#include "layers/layer.def"
#undef LAYER
    NULL};

const sq_layer_class *const *sq_layer_classes(void) { return classes; }

enum { CLASSES = sizeof classes / sizeof *classes - 1 };

sq_status sq_layer_class_of(const char *name, const sq_layer_class **out) {
  const char *names[CLASSES + 1] = {NULL};
  for (int i = 0; i < CLASSES; i++) {
    names[i] = classes[i]->name;
    if (strcmp(names[i], name) != 0) continue;
    *out = classes[i];
    return SQ_OK;
  }
  return sq_fail_unknown("[nn] no layer", name, names);
}

enum { TITLE = 64 };

/* "nn.Linear" */
static const char *layer_title(const sq_layer_class *class, char *buf, size_t n) {
  snprintf(buf, n, "nn.%s", class->name);
  return buf;
}

sq_status sq_layer_new(const sq_layer_class *class, int nargs, const sq_arg *args, sq_layer **out) {
  char name[TITLE];
  sq_arg full[SQ_MAX_PARAMS];
  const sq_signature *made_by, *call;
  SQ_TRY(sq_signature_of(class->signature, &made_by));
  SQ_TRY(sq_signature_of(class->call, &call));
  SQ_TRY(sq_signature_complete(made_by, layer_title(class, name, sizeof name), nargs, args, full));
  void *block;
  SQ_TRY(sq_alloc_zero((int64_t) class->size, &block));
  sq_layer *l = block;
  *l = (sq_layer){.class = class, .call = call, .training = true};
  sq_status st = class->init(l, &(sq_args){made_by, full});
  if (st == SQ_OK && class->reset) st = class->reset(l);
  if (st != SQ_OK) {
    sq_layer_drop(l);
    return st;
  }
  *out = l;
  return SQ_OK;
}

sq_status sq_layer_forward(sq_layer *l, int nargs, const sq_arg *args, sq_tensor **out) {
  char name[TITLE];
  sq_arg full[SQ_MAX_PARAMS];
  SQ_TRY(
      sq_signature_complete(l->call, layer_title(l->class, name, sizeof name), nargs, args, full));
  return l->class->forward(l, full, out);
}

void sq_layer_drop(sq_layer *l) {
  if (!l) return;
  for (int i = 0; i < l->entries; i++) sq_tensor_drop(l->entry[i].tensor);
  sq_free(l->entry);
  sq_free(l);
}

static sq_named *find_entry(const sq_layer *l, const char *name) {
  for (int i = 0; i < l->entries; i++) {
    if (strcmp(l->entry[i].name, name) == 0) return &l->entry[i];
  }
  return NULL;
}

sq_tensor *sq_layer_get(const sq_layer *l, const char *name) {
  const sq_named *e = find_entry(l, name);
  return e ? e->tensor : NULL;
}

bool sq_layer_lacks(const sq_layer *l, const char *name) {
  size_t n = strlen(name);
  for (const char *at = l->class->optional; at && *at; at += strcspn(at, " ")) {
    at += strspn(at, " ");
    if (strncmp(at, name, n) == 0 && (at[n] == ' ' || !at[n])) return !find_entry(l, name);
  }
  return false;
}

sq_status sq_layer_set(sq_layer *l, const char *name, sq_tensor *t) {
  sq_named *e = find_entry(l, name);
  if (!e) return sq_fail(SQ_EARG, "[nn.%s] has no parameter or buffer '%s'", l->class->name, name);
  if (!sq_shape_equal(e->tensor->ndim, e->tensor->shape, t->ndim, t->shape)) {
    return sq_fail(SQ_ESHAPE, "[nn.%s] %s is %s: it can't become %s", l->class->name, name,
                   sq_tensor_shape_text(e->tensor, SQ_SHAPE_BUF),
                   sq_tensor_shape_text(t, SQ_SHAPE_BUF));
  }
  sq_tensor_keep(t);
  sq_tensor_drop(e->tensor);
  e->tensor = t;
  return SQ_OK;
}

static sq_status make_entry_room(sq_layer *l) {
  void *list = l->entry;
  SQ_TRY(sq_grow(l->entries + 1, sizeof *l->entry, &list, &l->room));
  l->entry = list;
  return SQ_OK;
}

sq_status sq_layer_add(sq_layer *l, sq_tensor *t, bool buffer, const char *name, ...) {
  sq_status st = make_entry_room(l);
  if (st == SQ_OK && !buffer) st = sq_set_requires_grad(t, true);
  if (st == SQ_OK && !buffer) st = sq_mark_parameter(t);
  if (st != SQ_OK) {
    sq_tensor_drop(t);
    return st;
  }
  sq_named *e = &l->entry[l->entries++];
  *e = (sq_named){.tensor = t, .buffer = buffer};
  va_list args;
  va_start(args, name);
  sq_vformat(e->name, sizeof e->name, name, args);
  va_end(args);
  return SQ_OK;
}

void sq_init_uniform(sq_tensor *t, double bound) {
  sq_rng_uniform(sq_rng_default(), t->dtype, t->numel, -bound, bound, sq_data(t));
  sq_tensor_changed(t);
}

double sq_init_default_bound(int64_t fan_in) {
  if (fan_in == 0) return 0;
  double a = sqrt(5.0), gain = sqrt(2.0 / (1 + a * a)); /* in PyTorch's order of operations */
  return sqrt(3.0) * (gain / sqrt((double)fan_in));
}

sq_status sq_layer_want_size(const char *layer, const char *what, int64_t value, int64_t least) {
  if (value >= least) return SQ_OK;
  return sq_fail(SQ_EARG, "[nn.%s] %s is %" PRId64 ": it must be at least %" PRId64, layer, what,
                 value, least);
}

void sq_layer_read_pair(const sq_arg *a, int64_t *pair) {
  pair[0] = a->kind == SQ_ARG_PAIR ? a->ints.v[0] : a->integer;
  pair[1] = a->kind == SQ_ARG_PAIR ? a->ints.v[1] : a->integer;
}

sq_arg sq_layer_pair(int dims, const int64_t *pair) {
  if (dims == 1) return SQ_I(pair[0]);
  return (sq_arg){.kind = SQ_ARG_PAIR, .ints = {2, pair}};
}

/* optim.c: groups and states, and the step: all parameters cut into tiles of fixed size, run by the
 * pool. */
#include "optim/optim.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "base/text.h"

#define OPTIM(name) extern const sq_optim_class sq__optim_##name;
#include "optim/optim.def"
#undef OPTIM

static const sq_optim_class *const classes[] = {
#define OPTIM(name) &sq__optim_##name,
#include "optim/optim.def"
#undef OPTIM
    NULL};

const sq_optim_class *const *sq_optim_classes(void) { return classes; }

sq_status sq_optim_class_of(const char *name, const sq_optim_class **out) {
  enum { CLASSES = sizeof classes / sizeof *classes - 1 };
  const char *names[CLASSES + 1] = {NULL};
  for (int i = 0; i < CLASSES; i++) {
    names[i] = classes[i]->name;
    if (strcmp(names[i], name) != 0) continue;
    *out = classes[i];
    return SQ_OK;
  }
  return sq_fail_unknown("[optim] no optimizer", name, names);
}

/* What schedulers keep with a group, as PyTorch's do. */
static const char *const plans[SQ_PLANS] = {"initial_lr", "max_lr", "min_lr", "base_momentum",
                                            "max_momentum"};

const char *sq_optim_option(const sq_optim_class *class, int option) {
  return option < SQ_MAX_HYPERS ? class->hyper[option].name : plans[option - SQ_MAX_HYPERS];
}

int sq_optim_find(const sq_optim_class *class, const char *name) {
  for (int i = 0; i < SQ_MAX_OPTIONS; i++) {
    const char *option = sq_optim_option(class, i);
    if (option && strcmp(option, name) == 0) return i;
  }
  return -1;
}

sq_status sq_optim_check(const sq_optim_class *class, int option, double value) {
  const sq_hyper any = {.lo = -INFINITY, .hi = INFINITY};
  const sq_hyper *h = option < SQ_MAX_HYPERS ? &class->hyper[option] : &any;
  if (value >= h->lo && value <= h->hi) return SQ_OK; /* NaN fails */
  return sq_fail(SQ_EARG, "[optim.%s] %s is %g: it must be %g to %g", class->name,
                 sq_optim_option(class, option), value, h->lo, h->hi);
}

/* What stands in the place of the parameters. */
enum { PARAMS };

/* The constructor's arguments with something in that place. */
static sq_status complete_options(const sq_optim_class *class, int nargs, const sq_arg *args,
                                  sq_arg *full, sq_args *out) {
  const sq_signature *s;
  sq_arg given[SQ_MAX_PARAMS] = {0};
  for (int i = PARAMS + 1; i < nargs && i < SQ_MAX_PARAMS; i++) given[i] = args[i];
  given[PARAMS].kind = SQ_ARG_ANY;
  SQ_TRY(sq_signature_of(class->signature, &s));
  char name[64];
  snprintf(name, sizeof name, "optim.%s", class->name);
  *out = (sq_args){s, full};
  return sq_signature_complete(s, name, nargs > PARAMS ? nargs : PARAMS + 1, given, full);
}

static bool of_one_list(const sq_hyper *a, const sq_hyper *b) {
  return a->list && b->list && strcmp(a->list, b->list) == 0;
}

/* "0.9, 0.999": what the members of a list usually are. */
static const char *usual_text(const sq_optim_class *class, const sq_hyper *h, char *buf, size_t n) {
  size_t used = 0;
  buf[0] = 0;
  for (int i = 0; i < SQ_MAX_HYPERS && class->hyper[i].name && used < n; i++) {
    if (!of_one_list(&class->hyper[i], h)) continue;
    const char *comma = used ? ", " : "";
    used += (size_t)sq_format(buf + used, n - used, "%s%g", comma, class->hyper[i].usual);
  }
  return buf;
}

/* A member of a list: its place there is that among the hyperparameters that name it. */
static sq_status read_member(const sq_optim_class *class, const sq_args *a, const sq_hyper *h,
                             double *value) {
  const sq_arg *list = sq_args_get(a, h->list);
  int place = 0, members = 0;
  *value = h->usual;
  if (list->kind != SQ_ARG_NUMBERS) return SQ_OK;
  for (int i = 0; i < SQ_MAX_HYPERS && class->hyper[i].name; i++) {
    members += of_one_list(&class->hyper[i], h);
    place += of_one_list(&class->hyper[i], h) && &class->hyper[i] < h;
  }
  if (list->numbers.n != members) {
    char usual[96];
    return sq_fail(SQ_EARG, "[optim.%s] %s has %d numbers: it must have %d, as {%s}", class->name,
                   h->list, list->numbers.n, members, usual_text(class, h, usual, sizeof usual));
  }
  *value = list->numbers.v[place];
  return SQ_OK;
}

static sq_status read_hypers(const sq_optim_class *class, const sq_args *a, double *value) {
  for (int i = 0; i < SQ_MAX_HYPERS && class->hyper[i].name; i++) {
    const sq_hyper *h = &class->hyper[i];
    if (h->list) {
      SQ_TRY(read_member(class, a, h, &value[i]));
    } else {
      const sq_arg *arg = sq_args_get(a, h->name);
      value[i] = h->flag ? arg->flag : arg->number;
    }
  }
  return class->check ? class->check(value) : SQ_OK;
}

sq_status sq_optim_new(const sq_optim_class *class, int nargs, const sq_arg *args, sq_optim **out) {
  sq_arg arg[SQ_MAX_PARAMS];
  double option[SQ_MAX_OPTIONS] = {0};
  sq_args given;
  SQ_TRY(complete_options(class, nargs, args, arg, &given));
  SQ_TRY(read_hypers(class, &given, option));
  for (int i = 0; i < SQ_MAX_HYPERS && class->hyper[i].name; i++)
    SQ_TRY(sq_optim_check(class, i, option[i]));
  for (int i = SQ_MAX_HYPERS; i < SQ_MAX_OPTIONS; i++) option[i] = NAN;
  void *block;
  SQ_TRY(sq_alloc_zero(sizeof(sq_optim), &block));
  *out = block;
  (*out)->class = class;
  memcpy((*out)->defaults, option, sizeof option);
  return SQ_OK;
}

void sq_optim_drop(sq_optim *o) {
  if (!o) return;
  for (int i = 0; i < o->params; i++) {
    sq_tensor_drop(o->param[i].w);
    for (int k = 0; k < SQ_MAX_STATES; k++) sq_tensor_drop(o->param[i].state[k]);
  }
  sq_free(o->param);
  sq_free(o->group);
  sq_free(o);
}

static sq_status check_params(const sq_optim *o, int n, sq_tensor *const *params) {
  for (int i = 0; i < n; i++) {
    const sq_tensor *w = params[i];
    if (!sq_is_float(w->dtype)) {
      return sq_fail(SQ_ETYPE, "[optim.%s] parameter %d is %s: it must be float32 or float64",
                     o->class->name, i + 1, sq_dtype_name(w->dtype));
    }
    if (!sq_tensor_is_contiguous(w)) {
      return sq_fail(SQ_ESTATE,
                     "[optim.%s] parameter %d %s is not contiguous: give it x:contiguous()",
                     o->class->name, i + 1, sq_tensor_shape_text(w, SQ_SHAPE_BUF));
    }
    bool twice = false;
    for (int k = 0; k < o->params; k++) twice = twice || o->param[k].w == w;
    for (int k = 0; k < i; k++) twice = twice || params[k] == w;
    if (twice)
      return sq_fail(SQ_ESTATE, "[optim.%s] parameter %d is given twice", o->class->name, i + 1);
  }
  return SQ_OK;
}

sq_status sq_optim_add_group(sq_optim *o, int n, sq_tensor *const *params, const double *option) {
  SQ_TRY(check_params(o, n, params));
  void *groups = o->group, *all = o->param;
  SQ_TRY(sq_realloc((o->groups + 1) * (int64_t)sizeof *o->group, &groups));
  o->group = groups;
  SQ_TRY(sq_realloc((o->params + n) * (int64_t)sizeof *o->param, &all));
  o->param = all;
  sq_optim_group *g = &o->group[o->groups++];
  memcpy(g->option, option ? option : o->defaults, sizeof g->option);
  g->first = o->params;
  g->n = n;
  for (int i = 0; i < n; i++)
    o->param[o->params++] = (sq_optim_param){.w = sq_tensor_keep(params[i])};
  return SQ_OK;
}

static const sq_optim_group *group_of_param(const sq_optim *o, int i) {
  const sq_optim_group *g = o->group;
  while (i >= g->first + g->n) g++;
  return g;
}

sq_status sq_optim_state_from(const sq_optim *o, int i, sq_tensor *t, sq_tensor **out) {
  const sq_tensor *w = o->param[i].w;
  if (!sq_shape_equal(t->ndim, t->shape, w->ndim, w->shape)) {
    return sq_fail(SQ_ESHAPE, "[optim.%s] parameter %d is %s, a state of it %s", o->class->name,
                   i + 1, sq_tensor_shape_text(w, SQ_SHAPE_BUF),
                   sq_tensor_shape_text(t, SQ_SHAPE_BUF));
  }
  SQ_TRY(sq_tensor_new(w->dtype, w->ndim, w->shape, out));
  sq_status st = sq_tensor_copy(*out, t);
  if (st == SQ_OK) return SQ_OK;
  sq_tensor_drop(*out);
  *out = NULL;
  return st;
}

void sq_optim_adopt(sq_optim *o, int i, int64_t step, sq_tensor *const *state) {
  sq_optim_param *p = &o->param[i];
  for (int k = 0; k < SQ_MAX_STATES; k++) {
    sq_tensor *old = p->state[k];
    p->state[k] = state[k] ? sq_tensor_keep(state[k]) : NULL;
    sq_tensor_drop(old);
  }
  p->step = step;
  p->used = state[0] != NULL;
}

/* A parameter that became another dtype takes its state along; of another shape it has none. */
static sq_status follow_parameter(sq_optim *o, int i, int state) {
  const sq_tensor *w = o->param[i].w;
  sq_tensor **s = &o->param[i].state[state], *converted;
  if (!sq_shape_equal(w->ndim, w->shape, (*s)->ndim, (*s)->shape)) {
    return sq_fail(SQ_ESHAPE,
                   "[optim.%s] parameter %d is %s now, its %s is %s: a new shape needs a new "
                   "optimizer",
                   o->class->name, i + 1, sq_tensor_shape_text(w, SQ_SHAPE_BUF),
                   o->class->state[state], sq_tensor_shape_text(*s, SQ_SHAPE_BUF));
  }
  if ((*s)->dtype == w->dtype) return SQ_OK;
  SQ_TRY(sq_tensor_cast(*s, w->dtype, &converted));
  sq_tensor_drop(*s);
  *s = converted;
  return SQ_OK;
}

/* A state as a step needs it: made if there is none, in its parameter's dtype. */
static sq_status ready_state(sq_optim *o, int i, int k, const double *hyper) {
  sq_optim_param *p = &o->param[i];
  if (p->state[k]) return follow_parameter(o, i, k);
  double start = o->class->start ? o->class->start(hyper, k) : 0;
  return sq_tensor_full(p->w->dtype, p->w->ndim, p->w->shape, start, &p->state[k]);
}

/* One parameter of a step, and the tiles before it. */
typedef struct item {
  const sq_optim_param *p;
  const double *hyper;
  sq_tensor *g;
  int64_t tiles_before;
  bool fresh;
} item;

typedef struct pass {
  const sq_optim_class *class;
  item *item;
  int n;
} pass;

static void update_tile(int64_t tile, void *context) {
  const pass *s = context;
  int low = 0, high = s->n - 1; /* the last item with tiles_before <= tile */
  while (low < high) {
    int middle = (low + high + 1) / 2;
    if (s->item[middle].tiles_before <= tile) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  const item *it = &s->item[low];
  const sq_tensor *w = it->p->w;
  int64_t first = (tile - it->tiles_before) * SQ_TILE;
  size_t skip = (size_t)first * sq_dtype_size(w->dtype);
  sq_update u = {.kern = sq_kern_of(w->dtype),
                 .hyper = it->hyper,
                 .n = sq_tile_size(w->numel, SQ_TILE, tile - it->tiles_before),
                 .step = it->p->step,
                 .fresh = it->fresh,
                 .w = (char *)sq_data(w) + skip,
                 .g = (const char *)sq_data(it->g) + skip};
  for (int k = 0; k < SQ_MAX_STATES; k++) {
    bool used = s->class->state[k] && s->class->uses(it->hyper, k);
    u.state[k] = used ? (char *)sq_data(it->p->state[k]) + skip : NULL;
  }
  s->class->update(&u);
}

static sq_status check_grad(const sq_optim *o, int i, const sq_tensor *g) {
  const sq_tensor *w = o->param[i].w;
  if (!sq_tensor_is_contiguous(w)) {
    return sq_fail(SQ_ESTATE, "[optim.%s] parameter %d %s is not contiguous any more",
                   o->class->name, i + 1, sq_tensor_shape_text(w, SQ_SHAPE_BUF));
  }
  if (g->dtype != w->dtype || !sq_shape_equal(g->ndim, g->shape, w->ndim, w->shape)) {
    return sq_fail(SQ_ESHAPE, "[optim.%s] parameter %d is %s %s, its gradient %s %s",
                   o->class->name, i + 1, sq_dtype_name(w->dtype),
                   sq_tensor_shape_text(w, SQ_SHAPE_BUF), sq_dtype_name(g->dtype),
                   sq_tensor_shape_text(g, SQ_SHAPE_BUF));
  }
  return SQ_OK;
}

/* Gradients made contiguous and states made: all that can fail. */
static sq_status prepare_pass(sq_optim *o, sq_tensor *const *grads, pass *s) {
  for (int i = 0; i < o->params; i++) {
    if (!grads[i]) continue;
    SQ_TRY(check_grad(o, i, grads[i]));
    const double *hyper = group_of_param(o, i)->option;
    item *it = &s->item[s->n];
    it->fresh = !o->param[i].used;
    for (int k = 0; k < SQ_MAX_STATES; k++)
      if (o->class->state[k] && o->class->uses(hyper, k)) SQ_TRY(ready_state(o, i, k, hyper));
    SQ_TRY(sq_tensor_contiguous(grads[i], &it->g));
    it->p = &o->param[i];
    it->hyper = hyper;
    s->n++;
  }
  return SQ_OK;
}

sq_status sq_optim_step(sq_optim *o, sq_tensor *const *grads) {
  void *block;
  SQ_TRY(sq_alloc_zero((o->params + 1) * (int64_t)sizeof(item), &block));
  pass s = {.class = o->class, .item = block};
  sq_status st = prepare_pass(o, grads, &s);
  int64_t tiles = 0, work = 0;
  for (int i = 0; i < s.n && st == SQ_OK; i++) {
    sq_optim_param *p = &o->param[s.item[i].p - o->param];
    p->step++;
    p->used = p->used || o->class->uses(s.item[i].hyper, 0);
    s.item[i].tiles_before = tiles;
    tiles += sq_tiles(p->w->numel, SQ_TILE);
    work += p->w->numel;
    sq_tensor_changed(p->w);
  }
  if (st == SQ_OK) sq_parallel_all(tiles, work, update_tile, &s);
  if (st == SQ_OK) o->steps++;
  for (int i = 0; i < s.n; i++) sq_tensor_drop(s.item[i].g);
  sq_free(block);
  return st;
}

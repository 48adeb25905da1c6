/* optim.c: optimizers as userdata. Parameter groups as tables, and state dicts, are
 * bindings/lua/optim.lua's. */
#include <math.h>
#include <string.h>

#include "autograd/tape.h"
#include "bind/api.h"
#include "bind/bind.h"
#include "bind/part.h"
#include "bind/registry.h"
#include "module/open.h"
#include "optim/clip.h"
#include "optim/optim.h"

#define OPTIM(name) OPTIM_##name,
enum {
#include "optim/optim.def"
  CLASSES
};
#undef OPTIM

static bind_class classes[CLASSES];
static bind_field fields[CLASSES][2 * SQ_MAX_HYPERS + 2];
static bind_fn constructors[CLASSES + 1];

static void drop_optim(void *object) { sq_optim_drop(object); }

static sq_optim *check_optim(lua_State *L, int at) { return bind_check(L, at, &optim_class); }

/* --- lists of tensors on the Lua side ------------------------------------------------------- */

/* The tensors of the list at `at`, in a userdata that is pushed; they live as long as the list. */
static sq_tensor **check_tensors(lua_State *L, int at, const char *what, int *n) {
  luaL_checkstack(L, 4, NULL);
  if (lua_type(L, at) != LUA_TTABLE) {
    const char *got = bind_describe(L, at);
    bind_error(L, "[%s] expected a list of tensors, got %s: give it model:parameters()", what, got);
  }
  *n = (int)lua_rawlen(L, at);
  sq_tensor **list = lua_newuserdatauv(L, (size_t)(*n + 1) * sizeof *list, 0);
  for (int i = 0; i < *n; i++) {
    lua_rawgeti(L, at, i + 1);
    if (!bind_test(L, -1, bind_tensor_class)) {
      const char *got = bind_describe(L, -1);
      bind_error(L, "[%s] item %d of the list is %s: it must be a Tensor", what, i + 1, got);
    }
    list[i] = bind_tensor(L, -1);
    lua_pop(L, 1);
  }
  return list;
}

/* --- options by name ------------------------------------------------------------------------ */

/* An option as scripts see it: one value, or a list that stands at `first` and behind it. */
typedef struct option {
  int first, n;
  bool list;
} option;

static bool find_option(const sq_optim_class *c, const char *name, option *out) {
  *out = (option){sq_optim_find(c, name), 1, false};
  if (out->first >= 0) return true;
  int n = 0, first = 0;
  for (int i = SQ_MAX_HYPERS - 1; i >= 0; i--) {
    if (!c->hyper[i].list || strcmp(c->hyper[i].list, name) != 0) continue;
    n++;
    first = i;
  }
  *out = (option){first, n, true};
  return n > 0;
}

/* The names of a class's options as constructors and states have them, ended by NULL: betas, not
 * beta1. [n >= SQ_MAX_OPTIONS + 1] */
static int option_names(const sq_optim_class *c, const char **names) {
  int n = 0;
  for (int i = 0; i < SQ_MAX_OPTIONS; i++) {
    const char *name = sq_optim_option(c, i), *list = i < SQ_MAX_HYPERS ? c->hyper[i].list : NULL;
    if (list && n > 0 && strcmp(names[n - 1], list) == 0) continue;
    if (name) names[n++] = list ? list : name;
  }
  names[n] = NULL;
  return n;
}

static int unknown_option(lua_State *L, const sq_optim_class *c, const char *name) {
  const char *names[SQ_MAX_OPTIONS + 1];
  option_names(c, names);
  const char *near = sq_nearest(name, names);
  const char *hint = near ? lua_pushfstring(L, " (did you mean '%s'?)", near) : "";
  return bind_error(L, "[optim.%s] a group has no option '%s'%s", c->name, name, hint);
}

static int wrong_option_kind(lua_State *L, const sq_optim_class *c, const char *name,
                             const char *kind, int at) {
  const char *got = bind_describe(L, at);
  return bind_error(L, "[optim.%s] %s is %s: it must be %s", c->name, name, got, kind);
}

/* The value at `at` of one option, checked; a flag is 0 or 1. */
static double check_option_value(lua_State *L, const sq_optim_class *c, int i, int at) {
  const char *name = sq_optim_option(c, i);
  bool flag = i < SQ_MAX_HYPERS && c->hyper[i].flag;
  if (lua_type(L, at) != (flag ? LUA_TBOOLEAN : LUA_TNUMBER))
    wrong_option_kind(L, c, name, flag ? "true or false" : "a number", at);
  double value = flag ? lua_toboolean(L, at) : lua_tonumber(L, at);
  BIND_TRY(L, sq_optim_check(c, i, value));
  return value;
}

/* Writes the checked value at `at` to the places of `o` in to[]. */
static void read_option(lua_State *L, const sq_optim_class *c, const char *name, option o, int at,
                        double *to) {
  at = lua_absindex(L, at);
  if (!o.list) {
    to[o.first] = check_option_value(L, c, o.first, at);
    return;
  }
  if (lua_type(L, at) != LUA_TTABLE || (int)lua_rawlen(L, at) != o.n)
    wrong_option_kind(L, c, name, lua_pushfstring(L, "a list of %d numbers", o.n), at);
  double value[SQ_MAX_HYPERS];
  for (int k = 0; k < o.n; k++) {
    lua_rawgeti(L, at, k + 1);
    value[k] = check_option_value(L, c, o.first + k, -1);
    lua_pop(L, 1);
  }
  memcpy(to + o.first, value, (size_t)o.n * sizeof *value);
}

static void push_option_value(lua_State *L, const sq_optim_class *c, int i, double value) {
  if (i < SQ_MAX_HYPERS && c->hyper[i].flag) {
    lua_pushboolean(L, value != 0);
  } else {
    lua_pushnumber(L, value);
  }
}

/* Pushes an option; nil for a plan that none keeps. */
static void push_option(lua_State *L, const sq_optim_class *c, option o, const double *from) {
  if (o.first >= SQ_MAX_HYPERS && from[o.first] != from[o.first]) {
    lua_pushnil(L);
    return;
  }
  if (!o.list) {
    push_option_value(L, c, o.first, from[o.first]);
    return;
  }
  lua_createtable(L, o.n, 0);
  for (int k = 0; k < o.n; k++) {
    push_option_value(L, c, o.first + k, from[o.first + k]);
    lua_rawseti(L, -2, k + 1);
  }
}

/* --- construction --------------------------------------------------------------------------- */

/* The options that a group's table names, written over those in to[]; other string keys are errors,
 * and so are members of a list: which of betas and beta1 would count? */
static void read_group_options(lua_State *L, const sq_optim_class *c, int table, double *to) {
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING || strcmp(lua_tostring(L, -2), "params") == 0) continue;
    const char *name = lua_tostring(L, -2);
    option o;
    if (!find_option(c, name, &o)) unknown_option(L, c, name);
    if (!o.list && o.first < SQ_MAX_HYPERS && c->hyper[o.first].list)
      bind_error(L, "[optim.%s] a group has no option '%s': give it '%s'", c->name, name,
                 c->hyper[o.first].list);
    read_option(L, c, name, o, -1, to);
  }
}

/* What an op computed moves with what it was computed from; an update would be lost. */
static void check_leaves(lua_State *L, const sq_optim *o, int n, sq_tensor *const *params) {
  for (int i = 0; i < n; i++) {
    if (sq_is_leaf(params[i])) continue;
    bind_error(L,
               "[optim.%s] parameter %d %s is not a leaf: %s made it, so a step would change a "
               "result, not what it comes from; give the tensors that it was made of, or "
               "x:detach():requires_grad_()",
               o->class->name, i + 1, sq_tensor_shape_text(params[i], SQ_SHAPE_BUF),
               sq_grad_fn(params[i]));
  }
}

/* Adds the group at `at`: a list of tensors, or {params = list, lr = ...}, where one tensor does
 * for a list of one. */
static void add_group(lua_State *L, sq_optim *o, int at) {
  int top = lua_gettop(L), n;
  double values[SQ_MAX_OPTIONS];
  memcpy(values, o->defaults, sizeof values);
  bool table = lua_type(L, at) == LUA_TTABLE && lua_getfield(L, at, "params") != LUA_TNIL;
  if (table && bind_test(L, -1, bind_tensor_class)) {
    lua_createtable(L, 1, 0);
    lua_insert(L, -2);
    lua_rawseti(L, -2, 1);
  }
  sq_tensor **params = check_tensors(L, table ? top + 1 : at, o->class->name, &n);
  if (n == 0) bind_error(L, "[optim.%s] the list of parameters is empty", o->class->name);
  if (table) read_group_options(L, o->class, at, values);
  check_leaves(L, o, n, params);
  BIND_TRY(L, sq_optim_add_group(o, n, params, values));
  lua_settop(L, top);
}

static bool is_list_of_groups(lua_State *L, int at) {
  if (lua_type(L, at) != LUA_TTABLE) return false;
  bool groups = lua_rawgeti(L, at, 1) == LUA_TTABLE;
  lua_pop(L, 1);
  return groups;
}

/* optim.Adam(params, ...): the running function's row tells which. */
static int construct_optim(lua_State *L, const sq_arg *arg) {
  int which = (int)(bind_running_fn(L) - constructors), list = arg[0].stack;
  bind_box *box = bind_new(L, &classes[which], 0);
  sq_optim *o = NULL;
  BIND_TRY(L, sq_optim_new(sq_optim_classes()[which], bind_running_params(L), arg, &o));
  box->object = o;
  if (!is_list_of_groups(L, list)) {
    add_group(L, o, list);
    return 1;
  }
  for (lua_Integer i = 1; lua_rawgeti(L, list, i) != LUA_TNIL; i++) {
    add_group(L, o, lua_gettop(L));
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return 1;
}

/* --- methods -------------------------------------------------------------------------------- */

static int optim_step(lua_State *L, const sq_arg *arg) {
  sq_optim *o = arg[0].object;
  sq_tensor **grads = lua_newuserdatauv(L, (size_t)(o->params + 1) * sizeof *grads, 0);
  for (int i = 0; i < o->params; i++) grads[i] = sq_grad(o->param[i].w);
  BIND_TRY(L, sq_optim_step(o, grads));
  return 0;
}

static int optim_zero_grad(lua_State *L, const sq_arg *arg) {
  enum { SELF, SET_TO_NONE };
  sq_optim *o = arg[SELF].object;
  for (int i = 0; i < o->params; i++) {
    sq_tensor *g = sq_grad(o->param[i].w);
    if (arg[SET_TO_NONE].flag) {
      BIND_TRY(L, sq_set_grad(o->param[i].w, NULL));
    } else if (g) {
      if (!sq_is_leaf(g)) BIND_TRY(L, sq_detach(g)); /* a recorded one */
      BIND_TRY(L, sq_tensor_fill(g, 0));
    }
  }
  return 0;
}

static int optim_add_param_group(lua_State *L, const sq_arg *arg) {
  enum { SELF, GROUP };
  add_group(L, arg[SELF].object, arg[GROUP].stack);
  return 0;
}

/* Methods that optim.lua has: found there at each call. */
static int call_optim_part(lua_State *L, const char *name, const sq_arg *second) {
  part_require(L, "optim");
  lua_getfield(L, -1, name);
  lua_pushvalue(L, 1);
  if (second) {
    lua_pushvalue(L, second->stack);
  } else {
    lua_pushnil(L);
  }
  lua_call(L, 2, 1);
  return 1;
}

static int optim_state_dict(lua_State *L, const sq_arg *arg) {
  (void)arg;
  return call_optim_part(L, "state_dict", NULL);
}

static int optim_load_state_dict(lua_State *L, const sq_arg *arg) {
  enum { SELF, STATE };
  call_optim_part(L, "load_state_dict", &arg[STATE]);
  return 0;
}

static const bind_fn methods[] = {
    {"step", "(self: Optimizer)",
     "Changes the parameters by their gradients; those without one stay.", optim_step},
    {"zero_grad", "(self: Optimizer, set_to_none: bool = true)",
     "Clears the parameters' gradients.", optim_zero_grad},
    {"add_param_group", "(self: Optimizer, group: table)",
     "Adds a group: {params = list, lr = ..., betas = ...}; options left out are the "
     "constructor's.",
     optim_add_param_group},
    {"state_dict", "(self: Optimizer) -> table",
     "State and options, for a checkpoint; tensors are shared.", optim_state_dict},
    {"load_state_dict", "(self: Optimizer, state: table)",
     "Takes over what state_dict gave: of the same number and shapes of parameters, or nothing "
     "changes.",
     optim_load_state_dict},
    {0}};

static int optim_to_text(lua_State *L) {
  const sq_optim *o = check_optim(L, 1);
  lua_pushfstring(L, "%s(%d parameters", o->class->name, o->params);
  for (int i = 0; o->class->hyper[i].name; i++) {
    const sq_hyper *h = &o->class->hyper[i];
    double value = o->group[0].option[i];
    lua_pushfstring(L, ", %s=", h->name);
    if (h->flag)
      lua_pushstring(L, value != 0 ? "true" : "false");
    else
      bind_push_number_text(L, value);
    lua_concat(L, 3);
  }
  lua_pushliteral(L, ")");
  lua_concat(L, 2);
  return 1;
}

static const luaL_Reg meta[] = {{"__tostring", optim_to_text}, {NULL, NULL}};

const bind_class optim_class = {
    .name = "Optimizer",
    .doc = "Changes parameters by their gradients.",
    .methods = methods,
    .meta = meta,
    .drop = drop_optim,
};

/* --- fields: opt.lr of the first group, for all groups when assigned ------------------------ */

static int get_option(lua_State *L, void *self) {
  const sq_optim *o = self;
  option which = {0};
  find_option(o->class, lua_tostring(L, 2), &which);
  push_option(L, o->class, which, o->group[0].option);
  return 1;
}

static void set_option(lua_State *L, void *self, int value) {
  sq_optim *o = self;
  option which = {0};
  const char *name = lua_tostring(L, 2);
  find_option(o->class, name, &which);
  for (int g = 0; g < o->groups; g++)
    read_option(L, o->class, name, which, value, o->group[g].option);
}

static int get_groups(lua_State *L, void *self) {
  (void)self;
  return call_optim_part(L, "param_groups", NULL);
}

/* --- seqrt.optimizer: what optim.lua needs -------------------------------------------------- */

/* sizes(opt) -> {parameters of group 1, of group 2, ...} */
static int core_sizes(lua_State *L) {
  const sq_optim *o = check_optim(L, 1);
  lua_createtable(L, o->groups, 0);
  for (int g = 0; g < o->groups; g++) {
    lua_pushinteger(L, o->group[g].n);
    lua_rawseti(L, -2, g + 1);
  }
  return 1;
}

/* steps(opt) -> how many it has taken since it was made */
static int core_steps(lua_State *L) {
  lua_pushinteger(L, check_optim(L, 1)->steps);
  return 1;
}

static int check_place(lua_State *L, int at, int n) {
  lua_Integer i = luaL_checkinteger(L, at);
  luaL_argcheck(L, i >= 1 && i <= n, at, "no such place");
  return (int)i - 1;
}

static int core_param(lua_State *L) {
  const sq_optim *o = check_optim(L, 1);
  bind_push_tensor(L, o->param[check_place(L, 2, o->params)].w);
  return 1;
}

static void push_name_list(lua_State *L, const char *const *names, int n) {
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    lua_pushstring(L, names[i]);
    lua_rawseti(L, -2, i + 1);
  }
}

/* options(opt) -> names of the class's options in order, names of plans */
static int core_options(lua_State *L) {
  const sq_optim *o = check_optim(L, 1);
  const char *names[SQ_MAX_OPTIONS + 1];
  int n = option_names(o->class, names) - SQ_PLANS;
  push_name_list(L, names, n);
  push_name_list(L, names + n, SQ_PLANS);
  return 2;
}

/* check(opt, options): raises what a group could not be given */
static int core_check(lua_State *L) {
  const sq_optim *o = check_optim(L, 1);
  double values[SQ_MAX_OPTIONS];
  read_group_options(L, o->class, 2, values);
  return 0;
}

/* states(opt) -> {name = whether every parameter that has made a step has it} */
static int core_states(lua_State *L) {
  const sq_optim *o = check_optim(L, 1);
  const double off[SQ_MAX_OPTIONS] = {0};
  lua_newtable(L);
  for (int k = 0; k < SQ_MAX_STATES && o->class->state[k]; k++) {
    lua_pushboolean(L, o->class->uses(off, k));
    lua_setfield(L, -2, o->class->state[k]);
  }
  return 1;
}

/* get(opt, group, name) -> value, nil for a name it does not have */
static int core_get_option(lua_State *L) {
  const sq_optim *o = check_optim(L, 1);
  int group = check_place(L, 2, o->groups);
  option which;
  if (!find_option(o->class, luaL_checkstring(L, 3), &which)) return 0;
  push_option(L, o->class, which, o->group[group].option);
  return 1;
}

/* set(opt, group, name, value); nil clears a plan */
static int core_set_option(lua_State *L) {
  sq_optim *o = check_optim(L, 1);
  int group = check_place(L, 2, o->groups);
  const char *name = luaL_checkstring(L, 3);
  option which;
  if (!find_option(o->class, name, &which)) return unknown_option(L, o->class, name);
  double *to = o->group[group].option;
  if (which.first >= SQ_MAX_HYPERS && lua_isnil(L, 4)) {
    to[which.first] = NAN;
  } else {
    read_option(L, o->class, name, which, 4, to);
  }
  return 0;
}

/* state(opt, i) -> {step = n, name = tensor, ...}, nil before the first step */
static int core_state(lua_State *L) {
  const sq_optim *o = check_optim(L, 1);
  const sq_optim_param *p = &o->param[check_place(L, 2, o->params)];
  if (p->step == 0) return 0;
  lua_newtable(L);
  lua_pushinteger(L, p->step);
  lua_setfield(L, -2, "step");
  for (int k = 0; k < SQ_MAX_STATES; k++) {
    if (!p->state[k]) continue;
    bind_push_tensor(L, p->state[k]);
    lua_setfield(L, -2, o->class->state[k]);
  }
  return 1;
}

/* copied(opt, i, tensor) -> a copy of it as a state of parameter i */
static int core_copied(lua_State *L) {
  const sq_optim *o = check_optim(L, 1);
  int i = check_place(L, 2, o->params);
  sq_tensor *from = bind_tensor(L, 3), **slot = bind_new_tensor(L);
  BIND_TRY(L, sq_optim_state_from(o, i, from, slot));
  return 1;
}

/* adopt(opt, i, {step = n, name = a tensor of copied, ...}): all of parameter i's state */
static int core_adopt(lua_State *L) {
  sq_optim *o = check_optim(L, 1);
  int i = check_place(L, 2, o->params);
  sq_tensor *state[SQ_MAX_STATES] = {0};
  for (int k = 0; k < SQ_MAX_STATES && o->class->state[k]; k++) {
    if (lua_getfield(L, 3, o->class->state[k]) != LUA_TNIL) state[k] = bind_tensor(L, -1);
    lua_pop(L, 1);
  }
  lua_getfield(L, 3, "step");
  sq_optim_adopt(o, i, luaL_checkinteger(L, -1), state);
  return 0;
}

int luaopen_seqrt_optimizer(lua_State *L) {
  static const luaL_Reg core[] = {
      {"sizes", core_sizes},    {"param", core_param}, {"options", core_options},
      {"states", core_states},  {"check", core_check}, {"get", core_get_option},
      {"set", core_set_option}, {"state", core_state}, {"copied", core_copied},
      {"adopt", core_adopt},    {"steps", core_steps}, {NULL, NULL}};
  luaL_newlib(L, core);
  return 1;
}

/* --- clipping ------------------------------------------------------------------------------- */

static int clip_grad_norm(lua_State *L, const sq_arg *arg) {
  enum { PARAMETERS, MAX_NORM, NORM_TYPE, ERROR_IF_NONFINITE };
  int n;
  sq_tensor **grads = check_tensors(L, arg[PARAMETERS].stack, "clip_grad_norm_", &n);
  for (int i = 0; i < n; i++) grads[i] = sq_grad(grads[i]);
  double norm = 0;
  BIND_TRY(L, sq_clip_norm(n, grads, arg[MAX_NORM].number, arg[NORM_TYPE].number,
                           arg[ERROR_IF_NONFINITE].flag, &norm));
  lua_pushnumber(L, norm);
  return 1;
}

static int clip_grad_value(lua_State *L, const sq_arg *arg) {
  enum { PARAMETERS, CLIP_VALUE };
  int n;
  sq_tensor **grads = check_tensors(L, arg[PARAMETERS].stack, "clip_grad_value_", &n);
  for (int i = 0; i < n; i++) grads[i] = sq_grad(grads[i]);
  BIND_TRY(L, sq_clip_value(n, grads, arg[CLIP_VALUE].number));
  return 0;
}

static const bind_fn clips[] = {
    {"clip_grad_norm_",
     "(parameters: any, max_norm: number, norm_type: number = 2, error_if_nonfinite: bool = false) "
     "-> number",
     "Scales all gradients so that their common norm is at most max_norm; gives the norm before.",
     clip_grad_norm},
    {"clip_grad_value_", "(parameters: any, clip_value: number)",
     "Brings every element of the gradients into range.", clip_grad_value},
    {0}};

/* Adds them to the table on the top: sq.nn.utils. */
void open_clip(lua_State *L) { bind_functions(L, "sq.nn.utils", clips); }

static bind_field option_field(const char *name, const char *type) {
  return (bind_field){name, type, "Of all groups; the first one's when read.", get_option,
                      set_option};
}

/* The fields of class i: every option, lists under their name too, and param_groups. */
static void fill_fields(int i, const sq_optim_class *c) {
  int n = 0;
  for (int k = 0; c->hyper[k].name; k++) {
    const sq_hyper *h = &c->hyper[k];
    if (h->list && (k == 0 || !h[-1].list)) fields[i][n++] = option_field(h->list, "table");
    fields[i][n++] = option_field(h->name, h->flag ? "bool" : "number");
  }
  fields[i][n] = (bind_field){"param_groups", "table", "The groups; their options may be assigned.",
                              get_groups, NULL};
}

void open_optim(lua_State *L) {
  lua_newtable(L);
  const sq_optim_class *const *c = sq_optim_classes();
  BIND_TRY(L, registry_add_class(&optim_class));
  for (int i = 0; c[i]; i++) {
    fill_fields(i, c[i]);
    classes[i] = optim_class;
    classes[i].name = c[i]->name;
    classes[i].doc = c[i]->doc;
    classes[i].base = &optim_class;
    classes[i].methods = NULL;
    classes[i].fields = fields[i];
    constructors[i] = (bind_fn){c[i]->name, c[i]->signature, c[i]->doc, construct_optim};
    bind_class_open(L, &classes[i]);
  }
  bind_functions(L, "sq.optim", constructors);
  part_open_table(L, "sq.optim");
}

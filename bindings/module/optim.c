/* optim.c: optimizers as userdata. Parameter groups as tables, and state dicts, are
 * bindings/lua/optim.lua's. */
#include <string.h>

#include "autograd/tape.h"
#include "bind/api.h"
#include "bind/bind.h"
#include "bind/part.h"
#include "bind/registry.h"
#include "module/open.h"
#include "optim/clip.h"
#include "optim/optim.h"

enum { MAX_CLASSES = 16 };

static bind_class classes[MAX_CLASSES];
static bind_field fields[MAX_CLASSES][SQ_MAX_HYPERS + 2];
static bind_fn constructors[MAX_CLASSES + 1];

static void drop_optim(void *object) { sq_optim_drop(object); }

static sq_optim *check_optim(lua_State *L, int at) { return bind_check(L, at, &bind_optim_class); }

static int index_of(const char *name) {
  int i = 0;
  while (strcmp(classes[i].name, name) != 0) i++;
  return i;
}

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

/* --- construction --------------------------------------------------------------------------- */

/* A number, or a flag as 0 or 1. */
static double to_hyper(lua_State *L, int at) {
  return lua_type(L, at) == LUA_TBOOLEAN ? lua_toboolean(L, at) : luaL_checknumber(L, at);
}

/* Sets the hyperparameters that a group's table names; other string keys are errors. */
static void set_group_options(lua_State *L, sq_optim *o, int group, int table) {
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING || strcmp(lua_tostring(L, -2), "params") == 0) continue;
    int i = sq_optim_find(o->class, lua_tostring(L, -2));
    if (i < 0)
      bind_error(L, "[optim.%s] a group has no option '%s'", o->class->name, lua_tostring(L, -2));
    double value = to_hyper(L, -1);
    BIND_TRY(L, sq_optim_set(o, group, i, value));
  }
}

/* Adds the group at `at`: a list of tensors, or {params = list, lr = ...}. */
static void add_group(lua_State *L, sq_optim *o, int at) {
  int top = lua_gettop(L), n;
  bool table = lua_type(L, at) == LUA_TTABLE && lua_getfield(L, at, "params") != LUA_TNIL;
  int list = table ? top + 1 : at;
  sq_tensor **params = check_tensors(L, list, o->class->name, &n);
  if (n == 0) bind_error(L, "[optim.%s] the list of parameters is empty", o->class->name);
  BIND_TRY(L, sq_optim_add_group(o, n, params));
  if (table) set_group_options(L, o, o->groups - 1, at);
  lua_settop(L, top);
}

static bool is_list_of_groups(lua_State *L, int at) {
  if (lua_type(L, at) != LUA_TTABLE) return false;
  bool groups = lua_rawgeti(L, at, 1) == LUA_TTABLE;
  lua_pop(L, 1);
  return groups;
}

/* optim.Adam(params, ...): the running function's name tells which. */
static int construct(lua_State *L, const sq_arg *arg) {
  int which = index_of(bind_running(L)), list = arg[0].stack;
  bind_box *box = bind_new(L, &classes[which], 0);
  sq_optim *o = NULL;
  BIND_TRY(L, sq_optim_new(sq_optim_classes()[which], arg, &o));
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

static int step(lua_State *L, const sq_arg *arg) {
  sq_optim *o = arg[0].object;
  sq_tensor **grads = lua_newuserdatauv(L, (size_t)(o->params + 1) * sizeof *grads, 0);
  for (int i = 0; i < o->params; i++) grads[i] = sq_grad(o->param[i].w);
  BIND_TRY(L, sq_optim_step(o, grads));
  return 0;
}

static int zero_grad(lua_State *L, const sq_arg *arg) {
  sq_optim *o = arg[0].object;
  for (int i = 0; i < o->params; i++) {
    sq_tensor *g = sq_grad(o->param[i].w);
    if (arg[1].flag) {
      BIND_TRY(L, sq_set_grad(o->param[i].w, NULL));
    } else if (g) {
      BIND_TRY(L, sq_tensor_fill(g, 0));
    }
  }
  return 0;
}

static int add_param_group(lua_State *L, const sq_arg *arg) {
  add_group(L, arg[0].object, arg[1].stack);
  return 0;
}

/* Methods that optim.lua has: found there at each call. */
static int call_part(lua_State *L, const char *name, const sq_arg *second) {
  bind_require_part(L, "optim");
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

static int state_dict(lua_State *L, const sq_arg *arg) {
  (void)arg;
  return call_part(L, "state_dict", NULL);
}

static int load_state_dict(lua_State *L, const sq_arg *arg) {
  call_part(L, "load_state_dict", &arg[1]);
  return 0;
}

static const bind_fn methods[] = {
    {"step", "(self: Optimizer)",
     "Changes the parameters by their gradients; those without one stay.", step},
    {"zero_grad", "(self: Optimizer, set_to_none: bool = true)",
     "Clears the parameters' gradients.", zero_grad},
    {"add_param_group", "(self: Optimizer, group: table)",
     "Adds a group: {params = list, lr = ...}; options left out are the constructor's.",
     add_param_group},
    {"state_dict", "(self: Optimizer) -> table",
     "State and options, for a checkpoint; tensors are shared.", state_dict},
    {"load_state_dict", "(self: Optimizer, state: table)", "Takes over what state_dict gave.",
     load_state_dict},
    {0}};

static int to_text(lua_State *L) {
  const sq_optim *o = check_optim(L, 1);
  lua_pushfstring(L, "%s(%d parameters", o->class->name, o->params);
  for (int i = 0; o->class->hyper[i].name; i++) {
    lua_pushfstring(L, ", %s=%f", o->class->hyper[i].name, o->group[0].hyper[i]);
    lua_concat(L, 2);
  }
  lua_pushliteral(L, ")");
  lua_concat(L, 2);
  return 1;
}

static const luaL_Reg meta[] = {{"__tostring", to_text}, {NULL, NULL}};

const bind_class bind_optim_class = {
    .name = "Optimizer",
    .doc = "Changes parameters by their gradients.",
    .methods = methods,
    .meta = meta,
    .drop = drop_optim,
};

/* --- fields: opt.lr of the first group, for all groups when assigned ------------------------ */

static void push_hyper(lua_State *L, const sq_optim *o, int group, int i) {
  double value = o->group[group].hyper[i];
  if (o->class->hyper[i].flag) {
    lua_pushboolean(L, value != 0);
  } else {
    lua_pushnumber(L, value);
  }
}

static int get_hyper(lua_State *L, void *self) {
  const sq_optim *o = self;
  push_hyper(L, o, 0, sq_optim_find(o->class, lua_tostring(L, 2)));
  return 1;
}

static void set_hyper(lua_State *L, void *self, int value) {
  sq_optim *o = self;
  int i = sq_optim_find(o->class, lua_tostring(L, 2));
  double number = to_hyper(L, value);
  for (int g = 0; g < o->groups; g++) BIND_TRY(L, sq_optim_set(o, g, i, number));
}

static int get_groups(lua_State *L, void *self) {
  (void)self;
  return call_part(L, "param_groups", NULL);
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

/* hypers(opt) -> names in order */
static int core_hypers(lua_State *L) {
  const sq_optim *o = check_optim(L, 1);
  lua_newtable(L);
  for (int i = 0; o->class->hyper[i].name; i++) {
    lua_pushstring(L, o->class->hyper[i].name);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

/* get(opt, group, name) -> value, nil for a name it does not have */
static int core_get(lua_State *L) {
  const sq_optim *o = check_optim(L, 1);
  int group = check_place(L, 2, o->groups), i = sq_optim_find(o->class, luaL_checkstring(L, 3));
  if (i < 0) return 0;
  push_hyper(L, o, group, i);
  return 1;
}

/* set(opt, group, name, value) */
static int core_set(lua_State *L) {
  sq_optim *o = check_optim(L, 1);
  int group = check_place(L, 2, o->groups), i = sq_optim_find(o->class, luaL_checkstring(L, 3));
  if (i < 0)
    return bind_error(L, "[optim.%s] a group has no option '%s'", o->class->name,
                      lua_tostring(L, 3));
  BIND_TRY(L, sq_optim_set(o, group, i, to_hyper(L, 4)));
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

/* load(opt, i, {step = n, name = tensor, ...}): tensors are copied */
static int core_load(lua_State *L) {
  sq_optim *o = check_optim(L, 1);
  int i = check_place(L, 2, o->params);
  for (int k = 0; k < SQ_MAX_STATES && o->class->state[k]; k++) {
    if (lua_getfield(L, 3, o->class->state[k]) != LUA_TNIL) {
      sq_tensor *to = NULL, *from = bind_tensor(L, -1);
      BIND_TRY(L, sq_optim_state(o, i, k, &to));
      BIND_TRY(L, sq_tensor_copy(to, from));
    }
    lua_pop(L, 1);
  }
  lua_getfield(L, 3, "step");
  o->param[i].step = luaL_checkinteger(L, -1);
  return 0;
}

int luaopen_seqrt_optimizer(lua_State *L) {
  static const luaL_Reg core[] = {
      {"sizes", core_sizes}, {"param", core_param}, {"hypers", core_hypers}, {"get", core_get},
      {"set", core_set},     {"state", core_state}, {"load", core_load},     {NULL, NULL}};
  luaL_newlib(L, core);
  return 1;
}

/* --- clipping ------------------------------------------------------------------------------- */

static int clip_grad_norm(lua_State *L, const sq_arg *arg) {
  int n;
  sq_tensor **grads = check_tensors(L, arg[0].stack, "clip_grad_norm_", &n);
  for (int i = 0; i < n; i++) grads[i] = sq_grad(grads[i]);
  double norm = 0;
  BIND_TRY(L, sq_clip_norm(n, grads, arg[1].number, arg[2].number, arg[3].flag, &norm));
  lua_pushnumber(L, norm);
  return 1;
}

static int clip_grad_value(lua_State *L, const sq_arg *arg) {
  int n;
  sq_tensor **grads = check_tensors(L, arg[0].stack, "clip_grad_value_", &n);
  for (int i = 0; i < n; i++) grads[i] = sq_grad(grads[i]);
  BIND_TRY(L, sq_clip_value(n, grads, arg[1].number));
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

void open_optim(lua_State *L) {
  lua_newtable(L);
  const sq_optim_class *const *c = sq_optim_classes();
  BIND_TRY(L, registry_add_class(&bind_optim_class));
  for (int i = 0; c[i]; i++) {
    int k = 0;
    for (; c[i]->hyper[k].name; k++) {
      const sq_hyper *h = &c[i]->hyper[k];
      fields[i][k] =
          (bind_field){h->name, h->flag ? "bool" : "number",
                       "Of all groups; the first one's when read.", get_hyper, set_hyper};
    }
    fields[i][k] = (bind_field){"param_groups", "table",
                                "The groups; their options may be assigned.", get_groups, NULL};
    classes[i] = bind_optim_class;
    classes[i].name = c[i]->name;
    classes[i].doc = c[i]->doc;
    classes[i].base = &bind_optim_class;
    classes[i].methods = NULL;
    classes[i].fields = fields[i];
    constructors[i] = (bind_fn){c[i]->name, c[i]->signature, c[i]->doc, construct};
    bind_class_open(L, &classes[i]);
  }
  bind_functions(L, "sq.optim", constructors);
  static const bind_lazy_row rows[] = {{"lr_scheduler", "lr_scheduler"}, {NULL, NULL}};
  bind_lazy(L, "optim", rows);
}

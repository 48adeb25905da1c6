/* layer.c: C layers as Lua modules: constructors from the classes' signatures, calls, parameters
 * as fields. Walking, saving and printing are bindings/lua/module.lua's, for layers and Lua classes
 * alike. */
#include <stdio.h>
#include <string.h>

#include "bind/api.h"
#include "bind/args.h"
#include "bind/bind.h"
#include "bind/part.h"
#include "bind/registry.h"
#include "layers/layer.h"
#include "module/open.h"

/* How many classes there are. */
enum {
  CLASSES = 0
#define LAYER(name) +1
#include "layers/layer.def"
#undef LAYER
};

/* A Lua class for each class of layers, in the order of sq_layer_classes. */
static bind_class classes[CLASSES + 1]; /* ends with one without a name */
static bind_fn constructors[CLASSES + 1];

static void drop_layer(void *object) { sq_layer_drop(object); }

static sq_layer *check_layer(lua_State *L, int at) { return bind_check(L, at, &layer_class); }

/* nn.Linear(...) and the like: the running function's row tells which. */
static int construct_layer(lua_State *L, const sq_arg *arg) {
  int which = (int)(bind_running_fn(L) - constructors);
  part_require(L, "module"); /* gives the classes their methods, the first time */
  bind_box *box = bind_new(L, &classes[which], 0);
  sq_layer *l = NULL;
  BIND_TRY(L, sq_layer_new(sq_layer_classes()[which], bind_running_params(L), arg, &l));
  box->object = l;
  return 1;
}

/* --- calling a layer ------------------------------------------------------------------------ */

/* "Net.head", as module.lua knows it, then what the layer is. */
static int raise_in_layer(lua_State *L, const sq_layer *l, int self, sq_status st) {
  if (st == SQ_EINTR) return bind_raise(L, st);
  char text[2048], what[256] = "";
  snprintf(text, sizeof text, "%s", sq_error_text());
  if (l->class->describe) l->class->describe(l, what, sizeof what);
  part_require(L, "module");
  lua_getfield(L, -1, "path");
  lua_pushvalue(L, self);
  lua_call(L, 1, 1);
  const char *path = lua_tostring(L, -1), *space = what[0] ? " " : "";
  if (strcmp(path, l->class->name) == 0)
    return bind_error(L, "%s (in nn.%s%s%s)", text, path, space, what);
  return bind_error(L, "%s (in %s, nn.%s%s%s)", text, path, l->class->name, space, what);
}

static sq_status call_forward(lua_State *L, sq_layer *l, const sq_arg *arg, sq_tensor **out) {
  sq_status st = l->class->forward(l, arg, out);
  if (st == SQ_ENOMEM && bind_collect(L)) st = l->class->forward(l, arg, out);
  return st;
}

/* The number of items of a plain table that has nothing else, 0 for anything else. */
static int items_only(lua_State *L, int at) {
  if (lua_type(L, at) != LUA_TTABLE) return 0;
  int top = lua_gettop(L), keys = 0, n = (int)lua_rawlen(L, at);
  bool plain = !lua_getmetatable(L, at);
  lua_settop(L, top);
  for (lua_pushnil(L); plain && lua_next(L, at); lua_pop(L, 1)) keys++;
  lua_settop(L, top);
  return plain && keys == n ? n : 0;
}

/* PyTorch's way to give a state: lstm(x, {h, c}) is lstm(x, h, c), for layers whose further
 * arguments are Tensors that may be left out. */
static void unpack_state(lua_State *L, const char *name, const sq_signature *s) {
  int n = lua_gettop(L) == 3 ? items_only(L, 3) : 0, takes = 0;
  for (int p = 1; p < s->params && s->param[p].kind == SQ_ARG_TENSOR && s->param[p].optional; p++)
    takes++;
  if (n == 0 || takes == 0) return;
  if (n != takes)
    bind_error(L, "[%s] the list has %d Tensor%s, the state %d; it is called as %s%s", name, n,
               n == 1 ? "" : "s", takes, name, s->text);
  luaL_checkstack(L, n, NULL);
  for (int i = 1; i <= n; i++) lua_rawgeti(L, 3, i);
  lua_remove(L, 3);
}

/* __call: the layer moves behind the arguments, which are then read like any function's. */
static int call_layer(lua_State *L) {
  sq_layer *l = check_layer(L, 1);
  bind_args a = {.L = L, .name = l->class->name, .sig = l->call};
  unpack_state(L, a.name, a.sig);
  lua_pushvalue(L, 1);
  lua_remove(L, 1);
  int self = lua_gettop(L);
  a.given = self - 1;
  bind_args_read(&a);
  luaL_checkstack(L, SQ_MAX_OUT + 2, NULL);
  sq_tensor **box[SQ_MAX_OUT], *out[SQ_MAX_OUT] = {0};
  for (int k = 0; k < a.sig->returns; k++) box[k] = bind_new_tensor(L);
  sq_status st = call_forward(L, l, a.arg, out);
  if (st != SQ_OK) return raise_in_layer(L, l, self, st);
  for (int k = 0; k < a.sig->returns; k++) *box[k] = out[k];
  bind_account(L);
  return a.sig->returns;
}

/* --- fields --------------------------------------------------------------------------------- */

static int get_training(lua_State *L, void *self) {
  lua_pushboolean(L, ((sq_layer *)self)->training);
  return 1;
}

static void set_training(lua_State *L, void *self, int value) {
  ((sq_layer *)self)->training = bind_flag(L, value, "training");
}

/* Raises: no such field. The names that it may have meant are the class's members, a table, and the
 * layer's tensors. */
static int unknown_field(lua_State *L, const sq_layer *l, int members) {
  lua_newtable(L);
  int names = lua_gettop(L);
  for (lua_pushnil(L); lua_next(L, members);) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, names);
  }
  for (int i = 0; i < l->entries; i++) {
    lua_pushboolean(L, true);
    lua_setfield(L, names, l->entry[i].name);
  }
  return bind_unknown_member(L, l->class->name, names);
}

/* layer.weight; nil for a bias that the layer was made without. */
static int lookup_tensor(lua_State *L, void *self) {
  const char *name = lua_tostring(L, 2);
  sq_tensor *t = sq_layer_get(self, name);
  if (!t && !sq_layer_lacks(self, name))
    return unknown_field(L, self, lua_upvalueindex(1)); /* of the class's __index, which runs */
  bind_push_tensor(L, t);
  return 1;
}

static bool is_buffer(const sq_layer *l, const char *name) {
  for (int i = 0; i < l->entries; i++)
    if (strcmp(l->entry[i].name, name) == 0) return l->entry[i].buffer;
  return false;
}

/* layer.weight = other.weight: shares it. */
static bool assign_tensor(lua_State *L, void *self, int value) {
  const sq_layer *l = self;
  const char *name = lua_tostring(L, 2), *class = l->class->name;
  if (sq_layer_lacks(l, name))
    bind_error(L, "[nn.%s] the layer was made without %s: make one that has it", class, name);
  if (!sq_layer_get(l, name)) return unknown_field(L, l, lua_upvalueindex(1));
  if (!bind_test(L, value, bind_tensor_class)) {
    const char *got = bind_describe(L, value);
    bind_error(L, "[nn.%s] %s: expected a Tensor, got %s", class, name, got);
  }
  sq_tensor *t = bind_tensor(L, value);
  if (!is_buffer(l, name) && !sq_is_parameter(t))
    bind_error(L,
               "[nn.%s] %s is a parameter and this a plain Tensor, which nothing would train: give "
               "it nn.Parameter(t), or copy the values: sq.no_grad(function() layer.%s:copy_(t) "
               "end)",
               class, name, name);
  BIND_TRY(L, sq_layer_set(self, name, t));
  return true;
}

static const bind_field fields[] = {
    {"training", "bool", "True in training, false in evaluation.", get_training, set_training},
    {0}};

static int layer_to_text(lua_State *L) {
  part_require(L, "module");
  lua_getfield(L, -1, "Module");
  lua_getfield(L, -1, "__tostring");
  lua_pushvalue(L, 1);
  lua_call(L, 1, 1);
  return 1;
}

/* pairs(layer): its parameters by name, as module.lua goes over them. */
static int layer_pairs(lua_State *L) {
  part_require(L, "module");
  lua_getfield(L, -1, "pairs");
  lua_pushvalue(L, 1);
  lua_call(L, 1, 3);
  return 3;
}

static const luaL_Reg meta[] = {
    {"__call", call_layer}, {"__tostring", layer_to_text}, {"__pairs", layer_pairs}, {NULL, NULL}};

/* What module.lua makes and lists; layers are modules too. */
static const bind_class module_class = {.name = "Module"};

const bind_class layer_class = {
    .name = "Layer",
    .doc = "A layer: call it with its inputs; parameters are fields.",
    .base = &module_class,
    .fields = fields,
    .meta = meta,
    .drop = drop_layer,
    .lookup = lookup_tensor,
    .assign = assign_tensor,
};

/* --- seqrt.layer: what module.lua needs of C layers ----------------------------------------- */

static int core_entries(lua_State *L) {
  const sq_layer *l = check_layer(L, 1);
  lua_createtable(L, l->entries, 0);
  for (int i = 0; i < l->entries; i++) {
    lua_createtable(L, 0, 3);
    lua_pushstring(L, l->entry[i].name);
    lua_setfield(L, -2, "name");
    bind_push_tensor(L, l->entry[i].tensor);
    lua_setfield(L, -2, "value");
    lua_pushstring(L, l->entry[i].buffer ? "buffer" : "parameter");
    lua_setfield(L, -2, "kind");
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static int core_describe(lua_State *L) {
  const sq_layer *l = check_layer(L, 1);
  char text[256] = "";
  if (l->class->describe) l->class->describe(l, text, sizeof text);
  lua_pushstring(L, text);
  return 1;
}

static int core_class(lua_State *L) {
  lua_pushstring(L, check_layer(L, 1)->class->name);
  return 1;
}

/* convert(tensors, dtype): leaves become another dtype and stay who they are. */
static int core_convert(lua_State *L) {
  lua_Integer n = luaL_len(L, 1);
  sq_tensor **t = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *t, 0);
  for (lua_Integer i = 0; i < n; i++) {
    lua_rawgeti(L, 1, i + 1);
    t[i] = bind_tensor(L, -1); /* the list holds it */
    lua_pop(L, 1);
  }
  sq_dtype dtype;
  BIND_TRY(L, sq_dtype_parse(luaL_checkstring(L, 2), &dtype));
  BIND_TRY(L, sq_convert((int)n, t, dtype));
  return 0;
}

static int core_set_tensor(lua_State *L) {
  BIND_TRY(L, sq_layer_set(check_layer(L, 1), luaL_checkstring(L, 2), bind_tensor(L, 3)));
  return 0;
}

static int core_is_parameter(lua_State *L) {
  const bind_box *box = bind_test(L, 1, bind_tensor_class);
  lua_pushboolean(L, box && box->tensor && sq_is_parameter(box->tensor));
  return 1;
}

static int core_mark_parameter(lua_State *L) {
  BIND_TRY(L, sq_mark_parameter(bind_tensor(L, 1)));
  lua_settop(L, 1);
  return 1;
}

static int core_train(lua_State *L) {
  check_layer(L, 1)->training = lua_toboolean(L, 2);
  return 0;
}

/* The same for all boxes of one tensor. */
static int core_id(lua_State *L) {
  lua_pushlightuserdata(L, bind_tensor(L, 1));
  return 1;
}

static int core_is_layer(lua_State *L) {
  lua_pushboolean(L, bind_test(L, 1, &layer_class) != NULL);
  return 1;
}

/* inherit(methods): Lua methods that all layers get. */
static int core_inherit(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  for (const bind_class *c = classes; c->name; c++) {
    for (lua_pushnil(L); lua_next(L, 1);) {
      const char *name = lua_tostring(L, -2);
      if (lua_isfunction(L, -1) && strncmp(name, "__", 2) != 0) {
        bind_class_add(L, c, name);
      } else {
        lua_pop(L, 1);
      }
    }
  }
  return 0;
}

int luaopen_seqrt_layer(lua_State *L) {
  static const luaL_Reg core[] = {{"entries", core_entries},
                                  {"describe", core_describe},
                                  {"class", core_class},
                                  {"convert", core_convert},
                                  {"set", core_set_tensor},
                                  {"is_parameter", core_is_parameter},
                                  {"mark_parameter", core_mark_parameter},
                                  {"train", core_train},
                                  {"id", core_id},
                                  {"is_layer", core_is_layer},
                                  {"inherit", core_inherit},
                                  {NULL, NULL}};
  luaL_newlib(L, core);
  return 1;
}

/* --- sq.nn ---------------------------------------------------------------------------------- */

static void open_classes(lua_State *L) {
  const sq_layer_class *const *c = sq_layer_classes();
  BIND_TRY(L, registry_add_class(&layer_class));
  for (int i = 0; c[i]; i++) {
    classes[i] = layer_class;
    classes[i].fields = NULL;
    classes[i].name = c[i]->name;
    classes[i].doc = c[i]->doc;
    classes[i].call = c[i]->call;
    classes[i].call_doc = c[i]->call_doc ? c[i]->call_doc : "The layer at work.";
    classes[i].base = &layer_class;
    constructors[i] = (bind_fn){c[i]->name, c[i]->signature, c[i]->doc, construct_layer};
    bind_class_open(L, &classes[i]);
  }
  bind_functions(L, "sq.nn", constructors);
}

/* nn.functional: the ops that stand for a layer or a loss, under PyTorch's names. */
static void open_functional(lua_State *L) {
  lua_newtable(L);
  for (int i = 0; i < SQ_OPS; i++) {
    const sq_op *op = sq_op_at((sq_op_id)i);
    if (!sq_op_is_functional(op)) continue;
    bind_push_op(L, i, false, 0);
    lua_setfield(L, -2, op->name);
  }
  part_open_table(L, "sq.nn.functional");
  lua_setfield(L, -2, "functional");
}

void open_nn(lua_State *L) {
  lua_newtable(L);
  open_classes(L);
  open_functional(L);
  lua_newtable(L);
  open_clip(L);
  part_open_table(L, "sq.nn.utils");
  lua_setfield(L, -2, "utils");
  part_open_table(L, "sq.nn");
}

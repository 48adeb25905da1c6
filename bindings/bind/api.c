/* api.c: what Lua parts see of the registry, and how they add functions and classes to it. */
#include "bind/api.h"

#include <lualib.h>
#include <string.h>

#include "autograd/op.h"
#include "bind/args.h"
#include "bind/part.h"
#include "bind/parts.h"
#include "bind/registry.h"

/* --- the list ------------------------------------------------------------------------------- */

static void set_string_at(lua_State *L, int table, const char *key, const char *value) {
  lua_pushstring(L, value);
  lua_setfield(L, table, key);
}

/* Sets row.params, a list of {name, type, optional}, and row.returns, of a signature. */
static void set_signature(lua_State *L, const char *text) {
  const sq_signature *s;
  BIND_TRY(L, sq_signature_of(text, &s));
  bind_set_string(L, "signature", text);
  lua_createtable(L, s->params, 0);
  for (int i = 0; i < s->params; i++) {
    const sq_param *p = &s->param[i];
    lua_createtable(L, 0, 3);
    bind_set_string(L, "name", p->name);
    bind_set_string(L, "type", p->type);
    lua_pushboolean(L, p->has_default || p->optional);
    lua_setfield(L, -2, "optional");
    lua_pushboolean(L, p->kind == SQ_ARG_CHOICE);
    lua_setfield(L, -2, "choice");
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "params");
  lua_createtable(L, s->returns, 0);
  for (int i = 0; i < s->returns; i++) {
    lua_pushstring(L, s->result[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "returns");
}

/* Adds a row to the list on the stack's top. */
static void add_row(lua_State *L, const char *kind, const char *owner, const char *name,
                    const char *signature, const char *doc) {
  lua_createtable(L, 0, 8);
  bind_set_string(L, "kind", kind);
  bind_set_string(L, "owner", owner);
  bind_set_string(L, "name", name);
  bind_set_string(L, "doc", doc);
  if (signature) set_signature(L, signature);
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

/* Sets has_backward, has_second, lo and hi of the last row: what a check of gradients goes by. */
static void set_checked_range(lua_State *L, const sq_op *op) {
  lua_rawgeti(L, -1, (lua_Integer)lua_rawlen(L, -1));
  lua_pushboolean(L, sq_op_has_backward(op));
  lua_setfield(L, -2, "has_backward");
  lua_pushboolean(L, sq_op_has_second(op));
  lua_setfield(L, -2, "has_second");
  lua_pushnumber(L, op->lo);
  lua_setfield(L, -2, "lo");
  lua_pushnumber(L, op->hi);
  lua_setfield(L, -2, "hi");
  lua_pop(L, 1);
}

/* An op's row, and those of what else it is: a method, in place, in nn.functional. */
static void list_op(lua_State *L, const sq_op *op, const char *inplace) {
  const char *signature = op->signature, *doc = op->doc;
  add_row(L, "op", "sq", op->name, signature, doc);
  set_checked_range(L, op);
  if (sq_op_is_method(op)) add_row(L, "method", "Tensor", op->name, signature, doc);
  if (sq_op_is_functional(op)) add_row(L, "function", "sq.nn.functional", op->name, signature, doc);
  if (!sq_op_has_inplace(op)) return;
  add_row(L, "function", "sq", inplace, signature, doc);
  add_row(L, "method", "Tensor", inplace, signature, doc);
}

static void list_ops(lua_State *L) {
  for (int i = 0; i < SQ_OPS; i++) {
    const sq_op *op = sq_op_at((sq_op_id)i);
    if (!sq_op_is_hidden(op)) list_op(L, op, registry_inplace_name(i));
  }
}

static void list_class(lua_State *L, const bind_class *c) {
  add_row(L, "class", c->base ? c->base->name : NULL, c->name, NULL, c->doc);
  if (c->call) add_row(L, "call", c->name, c->name, c->call, c->call_doc);
  for (const bind_fn *f = c->methods; f && f->name; f++)
    add_row(L, "method", c->name, f->name, f->signature, f->doc);
  for (const bind_field *f = c->fields; f && f->name; f++) {
    add_row(L, "field", c->name, f->name, NULL, f->doc);
    lua_rawgeti(L, -1, (lua_Integer)lua_rawlen(L, -1));
    bind_set_string(L, "type", f->type);
    lua_pop(L, 1);
  }
}

static void list_functions(lua_State *L) {
  const registry_functions *group;
  for (int i = 0; (group = registry_functions_at(i)) != NULL; i++)
    for (const bind_fn *f = group->fns; f->name; f++)
      add_row(L, "function", group->owner, f->name, f->signature, f->doc);
}

static void list_classes(lua_State *L) {
  const bind_class *class;
  for (int i = 0; (class = registry_class_at(i)) != NULL; i++)
    if (class->doc) list_class(L, class);
}

static const char documented;

/* The rows that api.define and api.class added. */
static void push_documented(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &documented) == LUA_TTABLE) return;
  lua_pop(L, 1);
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &documented);
}

/* Parts list what they offer when they are loaded. */
static void load_parts(lua_State *L) {
  for (const part_file *part = part_files; part->name; part++) {
    part_require(L, part->name);
    lua_pop(L, 1);
  }
}

/* list() -> rows {kind, owner, name, signature, doc, example, params, returns, type}; an op's also
 * has has_backward, has_second, lo, hi. kind is op, function, class, call (of an object of that
 * class), method or field. */
static int api_list(lua_State *L) {
  load_parts(L);
  lua_newtable(L);
  list_ops(L);
  list_functions(L);
  list_classes(L);
  push_documented(L);
  lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, -1, i);
    lua_rawseti(L, -3, (lua_Integer)lua_rawlen(L, -3) + 1);
  }
  lua_pop(L, 1);
  return 1;
}

/* describe(value) -> a row for a function of ours; a class's name for an object; else nil. */
static int api_describe(lua_State *L) {
  const bind_entry *e = bind_entry_of(L, 1);
  if (e) {
    lua_createtable(L, 0, 8);
    bind_set_string(L, "kind", "function");
    bind_set_string(L, "name", e->name);
    bind_set_string(L, "doc", e->doc);
    set_signature(L, e->signature);
    return 1;
  }
  bind_box *box = bind_box_at(L, 1);
  if (box) {
    lua_pushstring(L, box->class->name);
    return 1;
  }
  push_documented(L);
  lua_pushvalue(L, 1);
  if (lua_isnil(L, 1)) return 1;
  lua_rawget(L, -2);
  return 1;
}

/* Lists a row {owner=, name=, kind=, signature=, doc=, example=, value=} of what is written in Lua.
 * The signature is read. */
static int api_document(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  if (lua_getfield(L, 1, "signature") == LUA_TSTRING) {
    const sq_signature *s;
    BIND_TRY(L, sq_signature_of(lua_tostring(L, -1), &s));
    lua_pushvalue(L, 1);
    set_signature(L, s->text);
  }
  lua_settop(L, 1);
  push_documented(L);
  lua_pushvalue(L, 1);
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  if (lua_getfield(L, 1, "value") != LUA_TNIL) {
    lua_pushvalue(L, 1);
    lua_rawset(L, -3);
  }
  return 0;
}

/* --- functions that are written in Lua ------------------------------------------------------ */

/* What a parameter is when it is left out. */
static void push_default(lua_State *L, const sq_param *p) {
  const sq_arg *a = &p->fallback;
  if (a->kind == SQ_ARG_DIM || a->kind == SQ_ARG_POSITION) { /* as scripts count */
    lua_pushinteger(L, a->integer < 0 ? a->integer : a->integer + 1);
  } else if (!bind_push_plain(L, a)) {
    lua_pushnil(L);
  }
}

/* What stands in the place of "...": any number of values, each as it is. */
static void push_open(const bind_args *a, int p) {
  int n = a->place[p] ? a->count[p] : 0;
  luaL_checkstack(a->L, n, NULL);
  for (int i = 0; i < n; i++) lua_pushvalue(a->L, a->place[p] + i);
}

/* The checked value of parameter p, as the script wrote it; several numbers as a list. */
static void push_checked_value(const bind_args *a, int p) {
  lua_State *L = a->L;
  if (a->sig->param[p].name[0] == '.') {
    push_open(a, p);
    return;
  }
  if (a->arg[p].kind == SQ_ARG_NIL || a->place[p] == 0 || lua_isnil(L, a->place[p])) {
    push_default(L, &a->sig->param[p]);
    return;
  }
  if (a->count[p] == 1) {
    lua_pushvalue(L, a->place[p]);
    return;
  }
  lua_createtable(L, a->count[p], 0);
  for (int i = 0; i < a->count[p]; i++) {
    lua_pushvalue(L, a->place[p] + i);
    lua_rawseti(L, -2, i + 1);
  }
}

/* Upvalues: the signature, the name, the Lua function. */
static int call_defined(lua_State *L) {
  bind_args a; /* not zeroed: its lists are long, and only what is set is read */
  a.L = L;
  a.name = lua_tostring(L, lua_upvalueindex(2));
  a.sig = lua_touserdata(L, lua_upvalueindex(1));
  a.given = lua_gettop(L);
  a.plain = false;
  a.in_lua = true;
  bind_args_read(&a);
  luaL_checkstack(L, a.sig->params + 4, NULL);
  int top = lua_gettop(L);
  lua_pushvalue(L, lua_upvalueindex(3));
  for (int p = 0; p < a.sig->params; p++) push_checked_value(&a, p);
  lua_call(L, lua_gettop(L) - top - 1, LUA_MULTRET);
  return lua_gettop(L) - top;
}

/* Lists the row at `row`, an absolute index. */
static void list_row(lua_State *L, int row) {
  lua_pushcfunction(L, api_document);
  lua_pushvalue(L, row);
  lua_call(L, 1, 0);
}

/* Pushes the function `fn` behind the signature of the row at `row`. */
static void push_defined(lua_State *L, int row, int fn) {
  const sq_signature *s;
  lua_getfield(L, row, "signature");
  const char *text = luaL_checkstring(L, -1);
  BIND_TRY(L, sq_signature_of(text, &s));
  lua_pushlightuserdata(L, (void *)s);
  lua_getfield(L, row, "name");
  lua_pushvalue(L, fn);
  lua_pushcclosure(L, call_defined, 3);
  lua_remove(L, -2);
}

/* define{owner=, name=, signature=, doc=, example=, call=, value=} -> the function, listed: it
 * reads its arguments by the signature as those in C do, and gives `call` one checked value for
 * each parameter. `value` is what scripts call where that is not the function itself: a class. */
static int api_define(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_getfield(L, 1, "call");
  luaL_argcheck(L, lua_isfunction(L, 2), 1, "a signature needs its function: call = function");
  push_defined(L, 1, 2);
  if (lua_getfield(L, 1, "value") == LUA_TNIL) {
    lua_pushvalue(L, 3);
    lua_setfield(L, 1, "value");
  }
  lua_settop(L, 3);
  set_string_at(L, 1, "kind", "function");
  lua_pushnil(L);
  lua_setfield(L, 1, "call");
  list_row(L, 1);
  return 1;
}

/* Pushes a method's signature: "(n: int) -> Tensor" of class X is "(self: X, n: int) -> Tensor". */
static void push_with_self(lua_State *L, const char *class, const char *text) {
  luaL_argcheck(L, text[0] == '(' && text[1], 2, "a signature begins with '('");
  lua_pushfstring(L, "(self: %s%s%s", class, text[1] == ')' ? "" : ", ", text + 1);
}

/* Lists the call of an object, which is its forward; arguments as add_method's. */
static void list_call(lua_State *L, const char *class) {
  lua_createtable(L, 0, 8);
  int row = lua_gettop(L);
  bind_set_string(L, "kind", "call");
  bind_set_string(L, "owner", class);
  bind_set_string(L, "name", class);
  lua_pushvalue(L, 2);
  lua_setfield(L, row, "signature");
  lua_pushvalue(L, 3);
  lua_setfield(L, row, "doc");
  lua_pushvalue(L, 4);
  lua_setfield(L, row, "example");
  list_row(L, row);
}

/* What class() gives: method(name, signature without self, doc, [example,] fn). Upvalues: the
 * class's name, its methods. The method is fn behind its signature: what is listed is checked. */
static int add_method(lua_State *L) {
  const char *class = lua_tostring(L, lua_upvalueindex(1));
  const char *name = luaL_checkstring(L, 1), *text = luaL_checkstring(L, 2);
  luaL_checkstring(L, 3);
  if (lua_gettop(L) == 4) { /* without an example */
    lua_pushnil(L);
    lua_insert(L, 4);
  }
  lua_settop(L, 5);
  luaL_checktype(L, 5, LUA_TFUNCTION);
  lua_createtable(L, 0, 8);
  bind_set_string(L, "kind", "method");
  bind_set_string(L, "owner", class);
  bind_set_string(L, "name", name);
  push_with_self(L, class, text);
  lua_setfield(L, 6, "signature");
  lua_pushvalue(L, 3);
  lua_setfield(L, 6, "doc");
  lua_pushvalue(L, 4);
  lua_setfield(L, 6, "example");
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_setfield(L, 6, "of");
  push_defined(L, 6, 5);
  lua_setfield(L, lua_upvalueindex(2), name);
  list_row(L, 6);
  if (strcmp(name, "forward") == 0) list_call(L, class);
  return 0;
}

/* Lists the fields of a class, {{name, type, doc}, ...}, which are on the top. */
static void list_fields(lua_State *L) {
  static const char *const keys[] = {"name", "type", "doc"};
  int fields = lua_gettop(L);
  lua_Integer n = (lua_Integer)lua_rawlen(L, fields);
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, fields, i);
    lua_createtable(L, 0, 5);
    int row = lua_gettop(L);
    bind_set_string(L, "kind", "field");
    lua_getfield(L, 1, "name");
    lua_setfield(L, row, "owner");
    for (int k = 0; k < 3; k++) {
      lua_rawgeti(L, row - 1, k + 1);
      lua_setfield(L, row, keys[k]);
    }
    list_row(L, row);
    lua_settop(L, fields);
  }
}

/* Whether a part of ours, or C, asked for the key: those know what may be missing. */
static bool asked_by_ours(lua_State *L) {
  lua_Debug ar;
  if (!lua_getstack(L, 1, &ar)) return true;
  lua_getinfo(L, "S", &ar);
  return ar.what[0] == 'C' || strncmp(ar.source, "=seqrt:", 7) == 0;
}

/* __index of the methods of a strict class: a name that neither they nor the fields have is an
 * error that says the nearest, as it is for classes in C. Upvalues: the class's name, its
 * fields. */
static int unknown_key(lua_State *L) {
  if (lua_type(L, 2) != LUA_TSTRING || lua_tostring(L, 2)[0] == '_' || asked_by_ours(L)) return 0;
  lua_settop(L, 2);
  lua_Integer n = (lua_Integer)luaL_len(L, lua_upvalueindex(2));
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, lua_upvalueindex(2), i);
    lua_rawgeti(L, -1, 1);
    if (lua_rawequal(L, 2, -1)) return 0;
    lua_settop(L, 2);
  }
  return bind_unknown_member(L, lua_tostring(L, lua_upvalueindex(1)), 1);
}

/* The methods at 2 of the class at 1. */
static void make_strict(lua_State *L) {
  lua_createtable(L, 0, 1);
  lua_getfield(L, 1, "name");
  if (lua_getfield(L, 1, "fields") != LUA_TTABLE) {
    lua_pop(L, 1);
    lua_newtable(L);
  }
  lua_pushcclosure(L, unknown_key, 2);
  lua_setfield(L, 3, "__index");
  lua_setmetatable(L, 2);
}

/* class{name=, owner= (its base), doc=, example=, methods=, fields=, strict=} lists a class that is
 * written in Lua and gives the function that lists its methods and puts them behind their
 * signatures: see add_method. strict: see unknown_key. */
static int api_class(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  set_string_at(L, 1, "kind", "class");
  lua_getfield(L, 1, "methods");
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_pushvalue(L, 2);
  lua_setfield(L, 1, "value");
  list_row(L, 1);
  lua_getfield(L, 1, "strict");
  const bool strict = lua_toboolean(L, -1);
  lua_settop(L, 2);
  if (strict) make_strict(L);
  if (lua_getfield(L, 1, "fields") == LUA_TTABLE) list_fields(L);
  lua_getfield(L, 1, "name");
  luaL_checkstring(L, -1);
  lua_pushvalue(L, 2);
  lua_pushcclosure(L, add_method, 2);
  return 1;
}

/* nearest(word, words) -> a word or nil. */
static int api_nearest(lua_State *L) {
  const char *word = luaL_checkstring(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_Integer n = (lua_Integer)lua_rawlen(L, 2);
  const char **words = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *words, 0);
  int at = 0;
  for (lua_Integer i = 1; i <= n; i++) {
    if (lua_rawgeti(L, 2, i) == LUA_TSTRING) words[at++] = lua_tostring(L, -1);
    lua_pop(L, 1);
  }
  words[at] = NULL;
  const char *near = sq_nearest(word, words);
  lua_pushstring(L, near);
  return 1;
}

/* The arguments as one text, made as by string.format. Upvalue: format. */
static const char *formatted(lua_State *L) {
  luaL_checkstring(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, 1);
  return lua_tostring(L, 1);
}

/* fail(format, ...): raises the text with the line of the script that called in front. */
static int api_fail(lua_State *L) { return bind_raise_text(L, formatted(L)); }

/* warn(format, ...): says the text on standard error, with that line in front. */
static int api_warn(lua_State *L) {
  bind_warn(L, formatted(L));
  return 0;
}

int luaopen_seqrt_api(lua_State *L) {
  lua_pushnil(L); /* a module that is opened anew, as busted does, has a list of its own */
  lua_rawsetp(L, LUA_REGISTRYINDEX, &documented);
  static const luaL_Reg functions[] = {{"list", api_list},       {"describe", api_describe},
                                       {"define", api_define},   {"class", api_class},
                                       {"nearest", api_nearest}, {NULL, NULL}};
  luaL_newlib(L, functions);
  bind_push_format(L);
  lua_pushvalue(L, -1);
  lua_pushcclosure(L, api_fail, 1);
  lua_setfield(L, -3, "fail");
  lua_pushcclosure(L, api_warn, 1);
  lua_setfield(L, -2, "warn");
  return 1;
}

/* part.c: Lua parts: loaded, as values of a table that are made at their first use, and called with
 * checked arguments. */
#include "bind/part.h"

#include <string.h>

#include "bind/parts.h"

void part_require(lua_State *L, const char *part) {
  lua_getglobal(L, "require");
  lua_pushfstring(L, "seqrt.%s", part);
  lua_call(L, 1, 1);
}

/* The part that defines `name` in the table `owner`, NULL where none does. [borrow] */
static const char *find_part(const char *owner, const char *name) {
  for (const part_value *v = part_values; v->owner; v++)
    if (strcmp(v->owner, owner) == 0 && strcmp(v->name, name) == 0) return v->part;
  return NULL;
}

/* __index of such a table. Upvalue: its path. */
static int lazy_index(lua_State *L) {
  if (lua_type(L, 2) != LUA_TSTRING) return 0;
  const char *key = lua_tostring(L, 2), *owner = lua_tostring(L, lua_upvalueindex(1));
  if (key[0] == '_') return 0; /* libraries look for names of their own */
  const char *part = find_part(owner, key);
  if (!part) return bind_unknown_member(L, strncmp(owner, "sq.", 3) == 0 ? owner + 3 : owner, 1);
  part_require(L, part);
  if (lua_type(L, -1) == LUA_TTABLE && lua_getfield(L, -1, key) == LUA_TNIL) lua_pop(L, 1);
  lua_pushvalue(L, 2);
  lua_pushvalue(L, -2);
  lua_rawset(L, 1);
  return 1;
}

/* Pushes the list of what parts define in that table. */
static void push_value_names(lua_State *L, const char *owner) {
  lua_newtable(L);
  int n = 0;
  for (const part_value *v = part_values; v->owner; v++) {
    if (strcmp(v->owner, owner) != 0) continue;
    lua_pushstring(L, v->name);
    lua_rawseti(L, -2, ++n);
  }
}

void part_open_table(lua_State *L, const char *owner) {
  lua_createtable(L, 0, 2);
  lua_pushstring(L, owner);
  lua_pushcclosure(L, lazy_index, 1);
  lua_setfield(L, -2, "__index");
  push_value_names(L, owner);
  lua_setfield(L, -2, "__dir");
  lua_setmetatable(L, -2);
}

/* --- calls ---------------------------------------------------------------------------------- */

static void push_numbers(lua_State *L, const sq_arg *arg) {
  lua_createtable(L, arg->numbers.n, 0);
  for (int i = 0; i < arg->numbers.n; i++) {
    lua_pushnumber(L, arg->numbers.v[i]);
    lua_rawseti(L, -2, i + 1);
  }
}

/* The kinds that such functions use; other kinds are ours to add. */
static void push_argument(lua_State *L, const sq_arg *arg) {
  if (bind_push_plain(L, arg)) return;
  switch (arg->kind) {
    case SQ_ARG_NUMBERS:
      push_numbers(L, arg);
      break;
    case SQ_ARG_TENSOR:
      bind_push_argument(L, arg->tensor);
      break;
    case SQ_ARG_GENERATOR:
      bind_push_argument(L, arg->generator);
      break;
    case SQ_ARG_OBJECT:
      bind_push_argument(L, arg->object);
      break;
    case SQ_ARG_ANY:
    case SQ_ARG_TABLE:
    case SQ_ARG_FUNCTION:
      lua_pushvalue(L, arg->stack);
      break;
    default:
      bind_error(L, "[%s] this kind of argument is not handed over", bind_running(L));
  }
}

static void push_function(lua_State *L, const char *part) {
  part_require(L, part);
  lua_getfield(L, -1, bind_running(L));
  lua_remove(L, -2);
}

int part_call(lua_State *L, const char *part, const sq_arg *arg) {
  int n = bind_running_params(L), top = lua_gettop(L);
  luaL_checkstack(L, n + 8, NULL);
  push_function(L, part);
  for (int i = 0; i < n; i++) push_argument(L, &arg[i]);
  lua_call(L, n, LUA_MULTRET);
  return lua_gettop(L) - top;
}

int part_call_open(lua_State *L, const char *part) {
  push_function(L, part);
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  return lua_gettop(L);
}

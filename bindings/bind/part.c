/* part.c: Lua parts: loaded, as values of a table that are made at their first use, and called with
 * checked arguments. */
#include "bind/part.h"

#include <string.h>

void bind_require_part(lua_State *L, const char *part) {
  lua_getglobal(L, "require");
  lua_pushfstring(L, "seqrt.%s", part);
  lua_call(L, 1, 1);
}

/* __index of such a table. Upvalues: rows, owner. */
static int lazy_index(lua_State *L) {
  if (lua_type(L, 2) != LUA_TSTRING) return 0;
  const char *key = lua_tostring(L, 2);
  if (key[0] == '_') return 0; /* libraries look for names of their own */
  const bind_lazy_row *row = lua_touserdata(L, lua_upvalueindex(1));
  for (; row && row->key; row++) {
    if (strcmp(row->key, key) != 0) continue;
    bind_require_part(L, row->part);
    if (lua_type(L, -1) == LUA_TTABLE && lua_getfield(L, -1, key) == LUA_TNIL) lua_pop(L, 1);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, -2);
    lua_rawset(L, 1);
    return 1;
  }
  return bind_unknown_member(L, lua_tostring(L, lua_upvalueindex(2)), 1);
}

void bind_lazy(lua_State *L, const char *owner, const bind_lazy_row *rows) {
  lua_createtable(L, 0, 2);
  lua_pushlightuserdata(L, (void *)(uintptr_t)rows);
  lua_pushstring(L, owner);
  lua_pushcclosure(L, lazy_index, 2);
  lua_setfield(L, -2, "__index");
  lua_newtable(L);
  int n = 0;
  for (const bind_lazy_row *row = rows; row && row->key; row++) {
    lua_pushstring(L, row->key);
    lua_rawseti(L, -2, ++n);
  }
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
  switch (arg->kind) {
    case SQ_ARG_NIL:
      lua_pushnil(L);
      break;
    case SQ_ARG_INT:
      lua_pushinteger(L, arg->integer);
      break;
    case SQ_ARG_NUMBER:
      bind_push_number(L, arg->value);
      break;
    case SQ_ARG_BOOL:
      lua_pushboolean(L, arg->flag);
      break;
    case SQ_ARG_STRING:
      lua_pushstring(L, arg->string);
      break;
    case SQ_ARG_DTYPE:
      lua_pushstring(L, sq_dtype_name(arg->dtype));
      break;
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
  bind_require_part(L, part);
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

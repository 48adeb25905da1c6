/* part.c: hands checked arguments over to a function of a Lua part. */
#include "part.h"

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
      lua_pushnumber(L, arg->number);
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

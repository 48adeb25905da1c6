/* value.c: plain values between C and Lua: numbers, flags, texts, paths, and what a function gives
 * back. */
#include <string.h>

#include "base/mem.h"
#include "bind/bind.h"

sq_number bind_number(lua_State *L, int at) {
  return lua_isinteger(L, at) ? sq_whole(lua_tointeger(L, at)) : sq_real(lua_tonumber(L, at));
}

void bind_push_number(lua_State *L, sq_number x) {
  if (x.is_whole) {
    lua_pushinteger(L, x.whole);
  } else {
    lua_pushnumber(L, x.real);
  }
}

bool bind_push_plain(lua_State *L, const sq_arg *arg) {
  switch (arg->kind) {
    case SQ_ARG_NIL:
      lua_pushnil(L);
      return true;
    case SQ_ARG_INT:
      lua_pushinteger(L, arg->integer);
      return true;
    case SQ_ARG_NUMBER:
      bind_push_number(L, arg->value);
      return true;
    case SQ_ARG_BOOL:
      lua_pushboolean(L, arg->flag);
      return true;
    case SQ_ARG_STRING:
      lua_pushstring(L, arg->string);
      return true;
    case SQ_ARG_DTYPE:
      lua_pushstring(L, sq_dtype_name(arg->dtype));
      return true;
    default:
      return false;
  }
}

bool bind_flag(lua_State *L, int at, const char *what) {
  if (!lua_isboolean(L, at)) {
    const char *got = bind_describe(L, at);
    bind_error(L, "[%s] expected true or false, got %s", what, got);
  }
  return lua_toboolean(L, at);
}

const char *bind_path(lua_State *L, int at) {
  size_t n;
  const char *path = lua_type(L, at) == LUA_TSTRING ? lua_tolstring(L, at, &n) : NULL;
  if (!path) bind_error(L, "a path must be a string, got %s", bind_describe(L, at));
  if (strlen(path) != n) bind_error(L, "a path cannot hold a 0 byte");
  return path;
}

void bind_set_string(lua_State *L, const char *key, const char *text) {
  if (!text) return;
  lua_pushstring(L, text);
  lua_setfield(L, -2, key);
}

/* --- results -------------------------------------------------------------------------------- */

int bind_give_self(lua_State *L) {
  lua_settop(L, 1);
  return 1;
}

static int push_bytes(lua_State *L) {
  lua_pushlstring(L, lua_touserdata(L, 1), (size_t)lua_tointeger(L, 2));
  return 1;
}

int bind_give_bytes(lua_State *L, void *bytes, int64_t size) {
  lua_pushcfunction(L, push_bytes);
  lua_pushlightuserdata(L, bytes);
  lua_pushinteger(L, size);
  int failed = lua_pcall(L, 2, 1, 0);
  sq_free(bytes);
  return failed ? lua_error(L) : 1;
}

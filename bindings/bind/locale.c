/* locale.c: what Lua's own library writes and reads as numbers, the same under every locale: the
 * Lua parts see these functions in place of Lua's. */
#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

#include "base/text.h"
#include "bind/bind.h"

/* Upvalue: the function that it calls with a point. */
static int call_with_point(lua_State *L) {
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  void *before = sq_point_begin();
  int failed = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
  sq_point_end(before);
  return failed ? lua_error(L) : lua_gettop(L);
}

/* Sets table.name on the top to the function `name` of the table at `from`, with a point. */
static void set_pointed(lua_State *L, int from, const char *name) {
  lua_getfield(L, from, name);
  lua_pushcclosure(L, call_with_point, 1);
  lua_setfield(L, -2, name);
}

/* A new table that shows all of the table at `of` besides its own. */
static void push_over(lua_State *L, int of) {
  lua_newtable(L);
  lua_newtable(L);
  lua_pushvalue(L, of);
  lua_setfield(L, -2, "__index");
  lua_setmetatable(L, -2);
}

/* Lua's library as it is now, whatever the script does to its globals. */
static void push_library(lua_State *L, const char *name, lua_CFunction opener) {
  luaL_requiref(L, name, opener, 0);
}

void bind_push_format(lua_State *L) {
  push_library(L, LUA_STRLIBNAME, luaopen_string);
  lua_getfield(L, -1, "format");
  lua_pushcclosure(L, call_with_point, 1);
  lua_remove(L, -2);
}

void bind_push_environment(lua_State *L) {
  static const char key;
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &key) == LUA_TTABLE) return;
  lua_pop(L, 1);
  push_library(L, LUA_GNAME, luaopen_base);
  int global = lua_gettop(L);
  push_over(L, global);
  set_pointed(L, global, "tostring");
  set_pointed(L, global, "tonumber");
  bind_push_format(L);
  lua_setfield(L, -2, "format");
  push_library(L, LUA_TABLIBNAME, luaopen_table);
  push_over(L, lua_gettop(L));
  set_pointed(L, -2, "concat");
  set_pointed(L, -2, "sort"); /* texts by their bytes, in every locale */
  lua_setfield(L, global + 1, "table");
  lua_settop(L, global + 1);
  lua_remove(L, global);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &key);
}

const char *bind_push_number_text(lua_State *L, double value) {
  char text[48];
  sq_format(text, sizeof text, "%.14g", value);
  bool whole = text[strspn(text, "-0123456789")] == '\0';
  return lua_pushfstring(L, "%s%s", text, whole ? ".0" : "");
}

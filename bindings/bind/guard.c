/* guard.c: a switch that turns back when its block ends, also by an error. */
#include "bind/guard.h"

typedef struct guard {
  guard_switch *set;
  bool was, done;
} guard;

static const char guard_key;

static int close_guard(lua_State *L) {
  guard *g = lua_touserdata(L, 1);
  if (!g || lua_rawlen(L, 1) != sizeof *g || g->done) return 0;
  g->done = true;
  g->set(g->was);
  return 0;
}

static void push_guard(lua_State *L, guard_switch *set, bool on) {
  guard *g = lua_newuserdatauv(L, sizeof *g, 0);
  g->done = true;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &guard_key);
  lua_setmetatable(L, -2);
  g->set = set;
  g->was = set(on);
  g->done = false;
}

int guard_with(lua_State *L, const sq_arg *arg, guard_switch *set, bool on) {
  push_guard(L, set, on);
  if (arg[0].kind == SQ_ARG_NIL) return 1;
  lua_insert(L, 1);
  lua_toclose(L, 1);
  lua_call(L, lua_gettop(L) - 2, LUA_MULTRET);
  return lua_gettop(L) - 1;
}

void guard_open(lua_State *L) {
  lua_createtable(L, 0, 3);
  lua_pushcfunction(L, close_guard);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "__gc");
  lua_setfield(L, -2, "__close");
  lua_pushliteral(L, "guard");
  lua_setfield(L, -2, "__name");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &guard_key);
}

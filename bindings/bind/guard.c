/* guard.c: switches that turn back when their block ends, also by an error.
 *
 * Open guards stand in one list, the newest on top. What a switch is follows from the list alone:
 * the newest guard of the running coroutine decides; without one the newest that holds elsewhere;
 * without any the switch is what it was before. So guards may end in any order, and the last one
 * leaves nothing behind. A guard holds while the coroutine that opened it is running or waits for
 * one that it resumed. One that yielded, failed or was abandoned holds nothing: that needs no
 * collection, since every call of the module looks at the list while there are guards. */
#include "bind/guard.h"

typedef struct guard {
  guard_switch *of; /* NULL: it has ended */
  struct guard *below, *above;
  lua_State *owner; /* kept alive by the guard's user value */
  bool on;
  const char *source; /* where it was opened */
  int line;
} guard;

static const char guard_key;
static guard *top;
static guard_switch *switches; /* those that had a guard */

/* --- the list ------------------------------------------------------------------------------- */

/* True for a coroutine that runs or has resumed the one that runs. */
static bool is_running(lua_State *L, lua_State *owner) {
  lua_Debug frame;
  if (owner == L) return true;
  if (lua_status(owner) != LUA_OK) return false;
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  bool main = lua_tothread(L, -1) == owner;
  lua_pop(L, 1);
  return main || lua_getstack(owner, 0, &frame) != 0;
}

/* The guard that decides, NULL without one. */
static guard *deciding_guard(lua_State *L, const guard_switch *s) {
  for (guard *g = top; g; g = g->below)
    if (g->of == s && g->owner == L) return g;
  for (guard *g = top; g; g = g->below)
    if (g->of == s && (s->everywhere || is_running(L, g->owner))) return g;
  return NULL;
}

static void settle_switch(lua_State *L, guard_switch *s) {
  const guard *g = deciding_guard(L, s);
  s->set(g ? g->on : s->base);
}

/* Every call of the module comes here while there are guards. */
static void settle_switches(lua_State *L) {
  if (!lua_checkstack(L, 1)) return;
  for (guard_switch *s = switches; s; s = s->next)
    if (s->live) settle_switch(L, s);
}

static void add_switch(guard_switch *s) {
  for (const guard_switch *k = switches; k; k = k->next)
    if (k == s) return;
  s->next = switches;
  switches = s;
}

static void begin_guard(lua_State *L, guard *g, guard_switch *s, bool on) {
  add_switch(s);
  if (s->live++ == 0) s->base = s->set(on);
  *g = (guard){.of = s, .below = top, .owner = L, .on = on};
  g->line = bind_locate(&g->source);
  if (top) top->above = g;
  top = g;
  settle_switch(L, s);
  bind_on_enter(settle_switches);
}

static void end_guard(lua_State *L, guard *g) {
  guard_switch *s = g->of;
  if (!s) return;
  g->of = NULL;
  if (g->below) g->below->above = g->above;
  if (g->above) g->above->below = g->below;
  if (g == top) top = g->below;
  s->live--;
  settle_switch(L, s);
  if (!top) bind_on_enter(NULL);
}

/* --- guards in Lua -------------------------------------------------------------------------- */

static guard *to_guard(lua_State *L) {
  guard *g = lua_touserdata(L, 1);
  return g && lua_rawlen(L, 1) == sizeof *g ? g : NULL;
}

static int close_guard(lua_State *L) {
  guard *g = to_guard(L);
  if (g) end_guard(L, g);
  return 0;
}

/* A guard that held until now and is collected was forgotten, unless the whole state ends. */
static void tell_forgotten(lua_State *L, const guard *g) {
  lua_Debug frame;
  if (!g->of || !is_running(L, g->owner) || !lua_getstack(L, 1, &frame) || !g->source) return;
  lua_writestringerror("%s:", g->source);
  lua_writestringerror("%d: ", g->line);
  lua_writestringerror("%s\n",
                       "warning: this guard held until it was collected; say `local _ <close> "
                       "= ...`, or call its close()");
}

static int collect_guard(lua_State *L) {
  guard *g = to_guard(L);
  if (!g) return 0;
  tell_forgotten(L, g);
  end_guard(L, g);
  return 0;
}

static void push_guard(lua_State *L, guard_switch *s, bool on) {
  guard *g = lua_newuserdatauv(L, sizeof *g, 1);
  g->of = NULL;
  lua_pushthread(L);
  lua_setiuservalue(L, -2, 1);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &guard_key);
  lua_setmetatable(L, -2);
  begin_guard(L, g, s, on);
}

int guard_with(lua_State *L, const sq_arg *arg, guard_switch *s, bool on) {
  push_guard(L, s, on);
  if (arg[0].kind == SQ_ARG_NIL) return 1;
  lua_insert(L, 1);
  lua_toclose(L, 1);
  lua_call(L, lua_gettop(L) - 2, LUA_MULTRET);
  return lua_gettop(L) - 1;
}

void guard_turn(lua_State *L, guard_switch *s, bool on) {
  guard *g = deciding_guard(L, s);
  if (g) {
    g->on = on;
  } else {
    s->base = on;
  }
  s->set(on);
}

void guard_open(lua_State *L) {
  lua_createtable(L, 0, 4);
  lua_pushcfunction(L, collect_guard);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, close_guard);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "__close");
  lua_createtable(L, 0, 1);
  lua_insert(L, -2);
  lua_setfield(L, -2, "close");
  lua_setfield(L, -2, "__index");
  lua_pushliteral(L, "guard");
  lua_setfield(L, -2, "__name");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &guard_key);
}

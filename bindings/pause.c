/* pause.c: SIGINT stops the script at its next instruction; a second one within a second ends the
 * process. */
#include "pause.h"

#include <lauxlib.h>
#include <signal.h>
#include <time.h>

#include "base/parallel.h"

enum {
  ECHO_MS = 20, /* timeout(1) and others signal a process and then its group: that is one Ctrl-C */
  KILL_MS = 1000
};

static lua_State *main_state;
static lua_State *volatile running; /* main_state, or the coroutine that runs */
static volatile sig_atomic_t seen;
static volatile int64_t last_ms;

static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void disarm(void) {
  lua_sethook(main_state, NULL, 0, 0);
  lua_State *L = running;
  if (L != main_state) lua_sethook(L, NULL, 0, 0);
}

static void stop(lua_State *L, lua_Debug *event) {
  (void)event;
  disarm();
  lua_sethook(L, NULL, 0, 0);
  sq_interrupt_clear();
  luaL_error(L, "interrupted!");
}

static void on_sigint(int sig) {
  int64_t now = now_ms();
  if (seen && now - last_ms < ECHO_MS) return;
  if (seen && now - last_ms < KILL_MS) {
    signal(sig, SIG_DFL);
    raise(sig);
    return;
  }
  seen = 1;
  last_ms = now;
  sq_interrupt_raise();
  int every = LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT;
  lua_State *L = running;
  lua_sethook(main_state, stop, every, 1);
  if (L != main_state) lua_sethook(L, stop, every, 1);
}

bool sq_pause_seen(void) { return seen != 0; }

void sq_pause_reset(void) {
  running = main_state;
  disarm();
  seen = 0;
  sq_interrupt_clear();
}

/* coroutine.resume(co, ...): the original, in the first upvalue, with `running` set around it. */
static int co_resume(lua_State *L) {
  lua_State *co = lua_tothread(L, 1), *before = running;
  luaL_argexpected(L, co != NULL, 1, "coroutine");
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  running = co;
  int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
  running = before;
  return status == LUA_OK ? lua_gettop(L) : lua_error(L);
}

/* What coroutine.wrap returns; its coroutine is the first upvalue. */
static int wrapped(lua_State *L) {
  lua_State *co = lua_tothread(L, lua_upvalueindex(1)), *before = running;
  int args = lua_gettop(L), results = 0;
  luaL_argcheck(L, lua_checkstack(co, args), 1, "too many arguments to resume");
  lua_xmove(L, co, args);
  running = co;
  int status = lua_resume(co, L, args, &results);
  running = before;
  if (status == LUA_OK || status == LUA_YIELD) {
    luaL_checkstack(L, results, "too many results to resume");
    lua_xmove(co, L, results);
    return results;
  }
  int state = lua_status(co);
  if (state != LUA_OK && state != LUA_YIELD) lua_resetthread(co); /* runs its <close> variables */
  lua_xmove(co, L, 1);
  if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  return lua_error(L);
}

static int co_wrap(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_State *co = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  lua_pushcclosure(L, wrapped, 1);
  return 1;
}

void sq_pause_install(lua_State *L) {
  struct sigaction old, act = {.sa_handler = on_sigint, .sa_flags = SA_RESTART};
  main_state = running = L;
  sigemptyset(&act.sa_mask);
  if (sigaction(SIGINT, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
    sigaction(SIGINT, &act, NULL);
  lua_getglobal(L, "coroutine");
  lua_getfield(L, -1, "resume");
  lua_pushcclosure(L, co_resume, 1);
  lua_setfield(L, -2, "resume");
  lua_pushcfunction(L, co_wrap);
  lua_setfield(L, -2, "wrap");
  lua_pop(L, 1);
}

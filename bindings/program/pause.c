/* pause.c: signals that stop or pause the script.
 *
 * A signal may come at any moment, in the middle of a product or of Lua's own allocator, so the
 * handler does next to nothing: it notes the signal and arms a debug hook of Lua on the state that
 * runs. Lua calls the hook before its next instruction, and there the script is whole: `arrive`
 * opens the prompt, or lets a checkpoint save first, or raises an error that ends the script. Which
 * coroutine runs is not known to a signal handler, so resume and wrap are replaced by equals that
 * note it.
 *
 * The prompt runs inside that hook, while the frames of the script lie below it and can be read
 * and changed. Lua switches hooks off within a hook, and a loop typed at the prompt could then
 * not be interrupted; so the prompt, and whatever else is called from here, runs in a coroutine
 * of its own, where hooks are on. A long C call sees no hook: it looks at the interrupt flag
 * between tiles, and the flag is raised only where nothing is lost by it, for a chunk typed at
 * the prompt, or when a second signal says that the first was not enough. A second signal within
 * a second ends the process. */
#include "program/pause.h"

#include <lauxlib.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/parallel.h"
#include "module/sys.h"

enum {
  ECHO_MS = 20, /* timeout(1) and others signal a process and then its group: that is one Ctrl-C */
  KILL_MS = 1000,
  GRACE_MS = 30000, /* for a checkpoint to come to its next safe point */
  GRACE_COUNT = 10000
};

static pause_prompt *prompt; /* what a pause opens */
static lua_State *main_state;
static lua_State *volatile running; /* main_state, or the coroutine that runs */
static volatile sig_atomic_t seen;  /* SIGINT, SIGTERM, 0 */
static volatile sig_atomic_t mode = PAUSE_SAVE;
static volatile int64_t last_ms;
static bool waiting; /* a checkpoint will save and end the script at its next safe point */

static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- the hook ------------------------------------------------------------------------------- */

static void disarm_hooks(void) {
  lua_State *L = running;
  lua_sethook(main_state, NULL, 0, 0);
  if (L != main_state) lua_sethook(L, NULL, 0, 0);
}

/* stop.lua's function of that name, with that argument, if the module has loaded it. */
static int stop_body(lua_State *L) {
  if (!luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE) ||
      lua_getfield(L, -1, "seqrt.stop") != LUA_TTABLE)
    return 0;
  lua_pushvalue(L, 1);
  lua_gettable(L, -2);
  lua_pushvalue(L, 2);
  lua_call(L, 1, 1);
  return 1;
}

/* Calls it in a coroutine: hooks are off inside a hook, there they are on. Returns whether its
 * result is true. */
static bool call_stop(lua_State *L, const char *name, const char *text) {
  lua_State *co = lua_newthread(L), *before = pause_set_running(co);
  int results = 0;
  lua_pushcfunction(co, stop_body);
  lua_pushstring(co, name);
  lua_pushstring(co, text);
  bool ok = lua_resume(co, L, 2, &results) == LUA_OK && results > 0 && lua_toboolean(co, -1);
  pause_set_running(before);
  lua_pop(L, 1);
  return ok;
}

static void stop_at_line(lua_State *L, lua_Debug *event);

/* Opens the prompt inside the script, which is `L` between two instructions, and does as told. */
static void open_prompt(lua_State *L, bool stepping) {
  pause_mode before = pause_set_mode(PAUSE_STOP);
  sys_leave_lines();
  pause_reset();
  pause_action action = prompt(L, stepping);
  pause_set_mode(before);
  pause_reset();
  if (action == PAUSE_STEP) lua_sethook(L, stop_at_line, LUA_MASKLINE, 0);
  if (action == PAUSE_ABORT) luaL_error(L, "aborted");
}

/* The hook of `step`: the next line that is not the module's own. */
static void stop_at_line(lua_State *L, lua_Debug *event) {
  if (!lua_getinfo(L, "S", event) || strncmp(event->source, "=seqrt:", 7) == 0) return;
  open_prompt(L, true);
}

static const char *signal_text(void) { return seen == SIGTERM ? "terminated!" : "interrupted!"; }

/* The end of a script, raised as an error: after what sq.on_stop registered. */
static void end_script(lua_State *L) {
  if (mode != PAUSE_STOP) (void)call_stop(L, "save", NULL);
  lua_pushstring(L, signal_text());
  lua_error(L);
}

/* The hook while a checkpoint is waited for. */
static void end_overdue(lua_State *L, lua_Debug *event) {
  (void)event;
  if (now_ms() - last_ms < GRACE_MS) return;
  disarm_hooks();
  lua_sethook(L, NULL, 0, 0);
  end_script(L);
}

/* True when a checkpoint has taken over what the signal asks for. */
static bool defer_to_checkpoint(lua_State *L) {
  if (mode == PAUSE_STOP || waiting || !call_stop(L, "defer", signal_text())) return false;
  waiting = true;
  lua_sethook(main_state, end_overdue, LUA_MASKCOUNT, GRACE_COUNT);
  if (L != main_state) lua_sethook(L, end_overdue, LUA_MASKCOUNT, GRACE_COUNT);
  return true;
}

/* The hook of a signal. Who looks around wants a function of the script, not the end of a print. */
static void act_on_signal(lua_State *L, lua_Debug *event) {
  bool opens = mode == PAUSE_OPEN && seen == SIGINT;
  if (opens && lua_getinfo(L, "S", event) && event->what[0] == 'C') return;
  disarm_hooks();
  lua_sethook(L, NULL, 0, 0);
  sq_interrupt_clear();
  if (opens) {
    open_prompt(L, false);
  } else if (!defer_to_checkpoint(L)) {
    end_script(L);
  }
}

/* A C call of the runtime ends by itself soon and at a point that makes sense; so it is asked to
 * break off only for a chunk at the prompt, or when the first signal was not enough. */
static void on_signal(int sig) {
  int64_t now = now_ms();
  if (seen && now - last_ms < ECHO_MS) return;
  if (seen && now - last_ms < KILL_MS) {
    signal(sig, SIG_DFL);
    raise(sig);
    return;
  }
  if (mode == PAUSE_STOP || seen) sq_interrupt_raise();
  seen = sig;
  last_ms = now;
  int every = LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT;
  lua_State *L = running;
  lua_sethook(main_state, act_on_signal, every, 1);
  if (L != main_state) lua_sethook(L, act_on_signal, every, 1);
}

/* The hook of SIGUSR1: saves, at once or at the next safe point, and goes on. */
static void save_now(lua_State *L, lua_Debug *event) {
  (void)event;
  disarm_hooks();
  lua_sethook(L, NULL, 0, 0);
  (void)call_stop(L, "defer", "save");
  (void)call_stop(L, "save", NULL);
}

/* One that asks to end the script is served first: then it is saved anyway. */
static void on_save_signal(int sig) {
  (void)sig;
  if (seen || waiting) return;
  int every = LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT;
  lua_State *L = running;
  lua_sethook(main_state, save_now, every, 1);
  if (L != main_state) lua_sethook(L, save_now, every, 1);
}

int pause_seen(void) { return seen; }

pause_mode pause_set_mode(pause_mode next) {
  pause_mode before = (pause_mode)mode;
  mode = (sig_atomic_t)next;
  return before;
}

lua_State *pause_set_running(lua_State *L) {
  lua_State *before = running;
  running = L;
  return before;
}

void pause_reset(void) {
  disarm_hooks();
  waiting = false;
  seen = 0;
  sq_interrupt_clear();
}

/* --- coroutines ----------------------------------------------------------------------------- */

/* Who resumed whom, the innermost first; on the C stack of the calls below. */
typedef struct waiting_state {
  lua_State *resumer;
  struct waiting_state *up;
} waiting_state;

static waiting_state *chain;

int pause_push_resumers(lua_State *L, int most) {
  int n = 0;
  for (const waiting_state *l = chain; l && n < most; l = l->up, n++) {
    lua_State *from = l->resumer;
    if (!lua_checkstack(from, 1) || !lua_checkstack(L, 1)) break;
    lua_pushthread(from);
    lua_xmove(from, L, 1);
  }
  return n;
}

/* coroutine.resume(co, ...): the original, in the first upvalue, with `running` set around it. */
static int co_resume(lua_State *L) {
  lua_State *co = lua_tothread(L, 1), *before = running;
  luaL_argexpected(L, co != NULL, 1, "coroutine");
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  waiting_state me = {L, chain};
  chain = &me;
  running = co;
  int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
  running = before;
  chain = me.up;
  return status == LUA_OK ? lua_gettop(L) : lua_error(L);
}

/* What coroutine.wrap returns; its coroutine is the first upvalue. */
static int resume_wrapped(lua_State *L) {
  lua_State *co = lua_tothread(L, lua_upvalueindex(1)), *before = running;
  int args = lua_gettop(L), results = 0;
  luaL_argcheck(L, lua_checkstack(co, args), 1, "too many arguments to resume");
  lua_xmove(L, co, args);
  waiting_state me = {L, chain};
  chain = &me;
  running = co;
  int status = lua_resume(co, L, args, &results);
  running = before;
  chain = me.up;
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
  lua_pushcclosure(L, resume_wrapped, 1);
  return 1;
}

/* require "seqrt.pause".hold(flag) -> flag before: while it is held Ctrl-C stops the script, as off
 * a terminal. */
static int pause_hold(lua_State *L) {
  bool held = mode == PAUSE_SAVE;
  if (mode != PAUSE_STOP) mode = lua_toboolean(L, 1) ? PAUSE_SAVE : PAUSE_OPEN;
  lua_pushboolean(L, held);
  return 1;
}

static void install_module(lua_State *L) {
  static const luaL_Reg functions[] = {{"hold", pause_hold}, {NULL, NULL}};
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  luaL_newlib(L, functions);
  lua_setfield(L, -2, "seqrt.pause");
  lua_pop(L, 1);
}

void pause_install(lua_State *L, pause_prompt *opened) {
  prompt = opened;
  struct sigaction old, act = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
  main_state = running = L;
  sigemptyset(&act.sa_mask);
  struct sigaction saving = {.sa_handler = on_save_signal, .sa_flags = SA_RESTART};
  sigemptyset(&saving.sa_mask);
  sigaction(SIGUSR1, &saving, NULL);
  sigaction(SIGTERM, &act, NULL);
  if (sigaction(SIGINT, NULL, &old) == 0 && old.sa_handler != SIG_IGN) {
    sigaction(SIGINT, &act, NULL);
  }
  install_module(L);
  lua_getglobal(L, "coroutine");
  lua_getfield(L, -1, "resume");
  lua_pushcclosure(L, co_resume, 1);
  lua_setfield(L, -2, "resume");
  lua_pushcfunction(L, co_wrap);
  lua_setfield(L, -2, "wrap");
  lua_pop(L, 1);
}

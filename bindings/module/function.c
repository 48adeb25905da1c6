/* function.c: what bindings/lua/nn/function.lua builds on: a call of a script's own function put on
 * the tape, and the tape's call of its backward. The script's part of a call is one Lua value, the
 * job, which the registry holds until the graph lets go of it. */
#include "autograd/function.h"

#include <string.h>

#include "autograd/tape.h"
#include "base/mem.h"
#include "module/open.h"

static const char runner_key;
static lua_State *main_state;

/* The host's own of a call. */
typedef struct job {
  int ref;
  const char *name;
} job;

/* Called wherever a graph ends, also while garbage is collected: luaL_unref of a reference that
 * exists neither allocates nor raises. */
static void drop_job(void *self) {
  luaL_unref(main_state, LUA_REGISTRYINDEX, ((job *)self)->ref);
  sq_free(self);
}

/* --- the tape calls back -------------------------------------------------------------------- */

typedef struct back {
  const job *job;
  const sq_function_way *way;
} back;

static void push_tensors(lua_State *L, int n, sq_tensor *const *t) {
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    bind_push_tensor(L, t[i]);
    lua_rawseti(L, -2, i + 1);
  }
}

static void push_flags(lua_State *L, int n, const bool *flag) {
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    lua_pushboolean(L, flag[i]);
    lua_rawseti(L, -2, i + 1);
  }
}

/* Calls runner(job, recorded, dy, keep, needed), which gives a list of gradients, one for each
 * input, false for none. */
static int enter_runner(lua_State *L) {
  const back *b = lua_touserdata(L, 1);
  const sq_function_way *w = b->way;
  lua_settop(L, 0);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &runner_key);
  lua_rawgeti(L, LUA_REGISTRYINDEX, b->job->ref);
  lua_pushboolean(L, w->recorded);
  push_tensors(L, w->results, w->dy);
  push_tensors(L, w->kept, w->keep);
  push_flags(L, w->inputs, w->needed);
  lua_call(L, 5, 1);
  for (int i = 0; i < w->inputs; i++) {
    if (lua_rawgeti(L, -1, i + 1) == LUA_TUSERDATA && w->needed[i])
      w->dx[i] = sq_tensor_keep(bind_tensor(L, -1));
    lua_pop(L, 1);
  }
  return 0;
}

static sq_status call_script(void *self, const sq_function_way *way) {
  lua_State *L = bind_state();
  back b = {self, way};
  if (!lua_checkstack(L, 8)) return sq_fail(SQ_ENOMEM, "[%s] no room for a call", b.job->name);
  int top = lua_gettop(L);
  lua_pushcfunction(L, enter_runner);
  lua_pushlightuserdata(L, &b);
  int code = lua_pcall(L, 1, 0, 0);
  bind_enter(L);
  sq_status st = code == LUA_OK ? SQ_OK : bind_keep_error(L);
  lua_settop(L, top);
  return st;
}

static const sq_function_host host = {call_script, drop_job};

/* --- a call is put on the tape -------------------------------------------------------------- */

/* The tensors of the list at a stack index, NULL for false. Pushes what holds the array. */
static sq_tensor **read_given(lua_State *L, int at, int *n) {
  *n = (int)lua_rawlen(L, at);
  sq_tensor **t = lua_newuserdatauv(L, (size_t)(*n + 1) * sizeof *t, 0);
  for (int i = 0; i < *n; i++) {
    t[i] = lua_rawgeti(L, at, i + 1) == LUA_TUSERDATA ? bind_tensor(L, -1) : NULL;
    lua_pop(L, 1);
  }
  return t;
}

static unsigned read_constant(lua_State *L, int at, int results) {
  unsigned constant = 0;
  for (int k = 0; k < results; k++) {
    lua_rawgeti(L, at, k + 1);
    if (lua_toboolean(L, -1)) constant |= 1u << k;
    lua_pop(L, 1);
  }
  return constant;
}

/* A userdata that holds a job until the tape takes it over. */
static int abandon_job(lua_State *L) {
  job **held = lua_touserdata(L, 1);
  if (*held) drop_job(*held);
  *held = NULL;
  return 0;
}

static job **push_job(lua_State *L, const char *name, int value) {
  job **held = lua_newuserdatauv(L, sizeof *held, 0);
  *held = NULL;
  if (luaL_newmetatable(L, "seqrt.job")) {
    lua_pushcfunction(L, abandon_job);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  void *block;
  BIND_TRY(L, sq_alloc((int64_t)sizeof(job), &block));
  *(job *)block = (job){LUA_NOREF, name};
  *held = block;
  lua_pushvalue(L, value);
  (*held)->ref = luaL_ref(L, LUA_REGISTRYINDEX);
  return held;
}

/* record(name, inputs, results, keep, constant, checked, materialize, job): the results on the
 * tape. */
static int record(lua_State *L) {
  enum { NAME = 1, INPUTS, RESULTS, KEEP, CONSTANT, CHECKED, MATERIALIZE, JOB };
  sq_function_call c = {.host = &host};
  bind_enter(L);
  luaL_checkstack(L, SQ_MAX_OUT + 12, NULL);
  BIND_TRY(L, sq_function_op(lua_tostring(L, NAME), &c.op));
  c.input = read_given(L, INPUTS, &c.inputs);
  c.result = read_given(L, RESULTS, &c.results);
  c.keep = read_given(L, KEEP, &c.kept);
  c.constant = read_constant(L, CONSTANT, c.results);
  c.checked = (int)lua_tointeger(L, CHECKED);
  c.materialize = lua_toboolean(L, MATERIALIZE);
  job **held = push_job(L, c.op->name, JOB);
  c.self = *held;
  sq_tensor **slot[SQ_MAX_OUT], *out[SQ_MAX_OUT] = {0};
  for (int k = 0; k < c.results; k++) slot[k] = bind_new_tensor(L);
  BIND_TRY(L, sq_function_record(&c, out));
  *held = NULL;
  for (int k = 0; k < c.results; k++) *slot[k] = out[k];
  return c.results;
}

/* set_runner(fn): what enter_runner calls. */
static int set_runner(lua_State *L) {
  lua_settop(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &runner_key);
  return 0;
}

int luaopen_seqrt_recorder(lua_State *L) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  main_state = lua_tothread(L, -1);
  lua_pushboolean(L, false);
  (void)bind_keep_error(L);
  static const luaL_Reg core[] = {{"record", record}, {"set_runner", set_runner}, {NULL, NULL}};
  luaL_newlib(L, core);
  lua_pushinteger(L, SQ_MAX_OUT);
  lua_setfield(L, -2, "most");
  return 1;
}

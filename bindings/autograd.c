/* autograd.c: whether ops are recorded, and gradients on request. */
#include <string.h>

#include "autograd/tape.h"
#include "open.h"

/* --- no_grad ---------------------------------------------------------------------------------- */

/* A switch of recording that ends with its block. */
typedef struct guard {
  bool was, done;
} guard;

static const char guard_key;

static int guard_close(lua_State *L) {
  guard *g = lua_touserdata(L, 1);
  if (!g || lua_rawlen(L, 1) != sizeof *g || g->done) return 0;
  g->done = true;
  sq_grad_enable(g->was);
  return 0;
}

static void push_guard(lua_State *L, bool on) {
  guard *g = lua_newuserdatauv(L, sizeof *g, 0);
  g->done = true;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &guard_key);
  lua_setmetatable(L, -2);
  g->was = sq_grad_enable(on);
  g->done = false;
}

/* Without a function: the guard, for `local _ <close> = ...`. With one: its results. */
static int with_grad(lua_State *L, const sq_arg *arg, bool on) {
  if (arg[0].kind == SQ_ARG_NIL) {
    push_guard(L, on);
    return 1;
  }
  push_guard(L, on);
  lua_insert(L, 1);
  lua_toclose(L, 1);
  lua_call(L, lua_gettop(L) - 2, LUA_MULTRET);
  return lua_gettop(L) - 1;
}

static int no_grad(lua_State *L, const sq_arg *arg) { return with_grad(L, arg, false); }
static int enable_grad(lua_State *L, const sq_arg *arg) { return with_grad(L, arg, true); }

static int is_grad_enabled(lua_State *L, const sq_arg *arg) {
  (void)arg;
  lua_pushboolean(L, sq_grad_enabled());
  return 1;
}

static int set_grad_enabled(lua_State *L, const sq_arg *arg) {
  (void)L;
  sq_grad_enable(arg[0].flag);
  return 0;
}

/* --- gradients -------------------------------------------------------------------------------- */

enum { MOST = 64 };

static int grad(lua_State *L, const sq_arg *arg) {
  int outputs = arg[0].tensors.n, inputs = arg[1].tensors.n;
  bool seeded = arg[2].kind != SQ_ARG_NIL;
  if (inputs > MOST) return bind_error(L, "[grad] %d inputs: at most %d at once", inputs, MOST);
  if (seeded && arg[2].tensors.n != outputs)
    return bind_error(L, "[grad] grad_outputs has %d tensors for %d outputs", arg[2].tensors.n,
                      outputs);
  luaL_checkstack(L, inputs + 4, NULL);
  sq_tensor **slot[MOST], *out[MOST] = {0};
  for (int i = 0; i < inputs; i++) slot[i] = bind_new_tensor(L);
  int first = lua_gettop(L) - inputs + 1;
  sq_status st = sq_gradients(outputs, arg[0].tensors.v, seeded ? arg[2].tensors.v : NULL, inputs,
                              arg[1].tensors.v, arg[3].flag, arg[4].flag, out);
  if (st != SQ_OK) return bind_raise(L, st);
  for (int i = 0; i < inputs; i++) *slot[i] = out[i];
  for (int i = 0; i < inputs; i++) {
    if (out[i]) continue;
    lua_pushnil(L);
    lua_replace(L, first + i);
  }
  return inputs;
}

/* --- opening ---------------------------------------------------------------------------------- */

static const bind_fn functions[] = {
    {"no_grad", "(fn: function? = nil, ...: any? = nil) -> any",
     "Ops are not recorded: until the end of the block with `local _ <close> = sq.no_grad()`, or "
     "while fn(...) runs, whose results are returned.",
     no_grad},
    {"enable_grad", "(fn: function? = nil, ...: any? = nil) -> any",
     "Ops are recorded again inside a no_grad; used like it.", enable_grad},
    {"is_grad_enabled", "() -> bool", "True while ops are recorded.", is_grad_enabled},
    {"set_grad_enabled", "(mode: bool)", "Turns recording on or off until told otherwise.",
     set_grad_enabled},
    {NULL, NULL, NULL, NULL}};

static const bind_fn autograd[] = {
    {"grad",
     "(outputs: Tensor[], inputs: Tensor[], grad_outputs: Tensor[]? = nil, retain_graph: bool = "
     "false, allow_unused: bool = false) -> Tensor",
     "The gradient of the sum of outputs for each input, one result each; leaves' .grad stay as "
     "they are.",
     grad},
    {NULL, NULL, NULL, NULL}};

static const bind_lazy_row parts[] = {{"gradcheck", "gradcheck"}, {NULL, NULL}};

void open_autograd(lua_State *L) {
  lua_createtable(L, 0, 4);
  lua_pushcfunction(L, guard_close);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "__gc");
  lua_setfield(L, -2, "__close");
  lua_pushliteral(L, "grad mode");
  lua_setfield(L, -2, "__name");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &guard_key);
  bind_functions(L, "sq", functions);
  lua_newtable(L);
  bind_functions(L, "sq.autograd", autograd);
  bind_lazy(L, "sq.autograd", parts);
  lua_setfield(L, -2, "autograd");
}

/* autograd.c: whether ops are recorded and watched, and gradients on request. */
#include <string.h>

#include "autograd/tape.h"
#include "autograd/watch.h"
#include "bind/guard.h"
#include "bind/part.h"
#include "bind/profile.h"
#include "module/open.h"

/* --- switches ------------------------------------------------------------------------------- */

static guard_switch recording = {.set = sq_grad_enable}, checking = {.set = sq_anomaly_enable},
                    profiling = {.set = profile_enable, .everywhere = true};

static int no_grad(lua_State *L, const sq_arg *arg) {
  return guard_with(L, arg, &recording, false);
}

static int enable_grad(lua_State *L, const sq_arg *arg) {
  return guard_with(L, arg, &recording, true);
}

static int is_grad_enabled(lua_State *L, const sq_arg *arg) {
  (void)arg;
  lua_pushboolean(L, sq_grad_enabled());
  return 1;
}

static int set_grad_enabled(lua_State *L, const sq_arg *arg) {
  guard_turn(L, &recording, arg[0].flag);
  return 0;
}

static int detect_anomaly(lua_State *L, const sq_arg *arg) {
  return guard_with(L, arg, &checking, true);
}

static int is_anomaly_enabled(lua_State *L, const sq_arg *arg) {
  (void)arg;
  lua_pushboolean(L, sq_anomaly_enabled());
  return 1;
}

static int set_detect_anomaly(lua_State *L, const sq_arg *arg) {
  guard_turn(L, &checking, arg[0].flag);
  return 0;
}

static int profile(lua_State *L, const sq_arg *arg) { return guard_with(L, arg, &profiling, true); }

/* --- gradients ------------------------------------------------------------------------------ */

unsigned autograd_flags(const sq_arg *retain, const sq_arg *create) {
  bool kept = retain->kind == SQ_ARG_NIL ? create->flag : retain->flag;
  return (kept ? SQ_RETAIN_GRAPH : 0u) | (create->flag ? SQ_CREATE_GRAPH : 0u);
}

static int grad(lua_State *L, const sq_arg *arg) {
  enum { OUTPUTS, INPUTS, GRAD_OUTPUTS, RETAIN_GRAPH, CREATE_GRAPH, ALLOW_UNUSED };
  int outputs = arg[OUTPUTS].tensors.n, inputs = arg[INPUTS].tensors.n;
  bool seeded = arg[GRAD_OUTPUTS].kind != SQ_ARG_NIL;
  if (seeded && arg[GRAD_OUTPUTS].tensors.n != outputs)
    return bind_error(L, "[grad] grad_outputs has %d tensors for %d outputs",
                      arg[GRAD_OUTPUTS].tensors.n, outputs);
  luaL_checkstack(L, inputs + 6, NULL);
  size_t room = (size_t)(inputs + 1);
  sq_tensor ***slot = lua_newuserdatauv(L, room * sizeof *slot, 0);
  sq_tensor **out = lua_newuserdatauv(L, room * sizeof *out, 0);
  memset(out, 0, room * sizeof(sq_tensor *));
  for (int i = 0; i < inputs; i++) slot[i] = bind_new_tensor(L);
  int first = lua_gettop(L) - inputs + 1;
  unsigned flags = autograd_flags(&arg[RETAIN_GRAPH], &arg[CREATE_GRAPH]);
  if (arg[ALLOW_UNUSED].flag) flags |= SQ_ALLOW_UNUSED;
  sq_status st =
      sq_gradients(outputs, arg[OUTPUTS].tensors.v, seeded ? arg[GRAD_OUTPUTS].tensors.v : NULL,
                   inputs, arg[INPUTS].tensors.v, flags, out);
  if (st != SQ_OK) return bind_raise(L, st);
  for (int i = 0; i < inputs; i++) *slot[i] = out[i];
  for (int i = 0; i < inputs; i++) {
    if (out[i]) continue;
    lua_pushnil(L);
    lua_replace(L, first + i);
  }
  return inputs;
}

/* --- opening -------------------------------------------------------------------------------- */

static const bind_fn functions[] = {
    {"no_grad", "(fn: function? = nil, ...: any? = nil) -> any",
     "Ops are not recorded: until the end of the block with `local _ <close> = sq.no_grad()`, or "
     "while fn(...) runs, whose results are returned. A guard without <close> holds until its "
     "close(); guards may end in any order. It holds in the coroutine that opened it and those "
     "that this one resumes, not where it yields to.",
     no_grad},
    {"enable_grad", "(fn: function? = nil, ...: any? = nil) -> any",
     "Ops are recorded again inside a no_grad; used like it.", enable_grad},
    {"is_grad_enabled", "() -> bool", "True while ops are recorded.", is_grad_enabled},
    {"set_grad_enabled", "(mode: bool)",
     "Turns recording on or off: for the rest of the innermost no_grad or enable_grad, outside of "
     "them until told otherwise.",
     set_grad_enabled},
    {"detect_anomaly", "(fn: function? = nil, ...: any? = nil) -> any",
     "The first op that makes NaN or Inf is an error that names it, what it read and the script's "
     "line, in forward and in backward; used like no_grad. Slow: for finding a fault. `seqrt "
     "--detect-anomaly script.lua` does it for a whole run.",
     detect_anomaly},
    {"is_anomaly_enabled", "() -> bool", "True while NaN and Inf are looked for.",
     is_anomaly_enabled},
    {"set_detect_anomaly", "(mode: bool)", "Turns detect_anomaly on or off until told otherwise.",
     set_detect_anomaly},
    {"profile", "(fn: function? = nil, ...: any? = nil) -> any",
     "Time and memory of every op and every line, on standard error at the end; used like no_grad. "
     "`seqrt --profile script.lua` does it for a whole run.",
     profile},
    {NULL, NULL, NULL, NULL}};

static const bind_fn autograd[] = {
    {"grad",
     "(outputs: Tensor[], inputs: Tensor[], grad_outputs: Tensor[]? = nil, retain_graph: bool? = "
     "nil, create_graph: bool = false, allow_unused: bool = false) -> Tensor",
     "The gradient of the sum of outputs for each input, one result each; leaves' .grad stay as "
     "they are. With create_graph the gradients are recorded and have gradients themselves, to any "
     "order; retain_graph is what create_graph is, unless given.",
     grad},
    {NULL, NULL, NULL, NULL}};

void open_autograd(lua_State *L) {
  guard_open(L);
  bind_functions(L, "sq", functions);
  lua_newtable(L);
  bind_functions(L, "sq.autograd", autograd);
  part_open_table(L, "sq.autograd");
  lua_newtable(L);
  part_open_table(L, "sq.autograd.functional");
  lua_setfield(L, -2, "functional");
  lua_setfield(L, -2, "autograd");
}

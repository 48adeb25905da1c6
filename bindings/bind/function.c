/* function.c: a C function or an op as a Lua function: arguments read by signature, results in
 * boxes. */
#include <string.h>

#include "autograd/op.h"
#include "bind/args.h"
#include "bind/bind.h"
#include "bind/profile.h"
#include "bind/registry.h"

/* True when an argument behind the first, or an option, is a Tensor. */
static bool has_tensor(lua_State *L) {
  int n = lua_gettop(L);
  bool found = false;
  for (int i = 2; i <= n && !found; i++) found = bind_test(L, i, bind_tensor_class) != NULL;
  if (found || n == 0 || lua_type(L, n) != LUA_TTABLE || luaL_getmetafield(L, n, "__index"))
    return found;
  luaL_checkstack(L, 4, NULL);
  for (lua_pushnil(L); lua_next(L, n); lua_pop(L, 1)) {
    bool first = lua_type(L, -2) == LUA_TSTRING && (strcmp(lua_tostring(L, -2), "x") == 0 ||
                                                    strcmp(lua_tostring(L, -2), "input") == 0);
    found = found || (!first && bind_test(L, -1, bind_tensor_class));
  }
  return found;
}

static int call_op(lua_State *L, int op, bool inplace, const bind_args *a) {
  int params = a->sig->params, returns = a->sig->returns;
  if (inplace) {
    if (a->arg[0].kind != SQ_ARG_TENSOR)
      return bind_error(L, "[%s] %s is a number: what is changed in place must be a Tensor",
                        a->name, a->sig->param[0].name);
    BIND_TRY(L, sq_apply_inplace((sq_op_id)op, params, a->arg));
    lua_settop(L, 1);
    return 1;
  }
  bind_box *box[SQ_MAX_OUT];
  sq_tensor *out[SQ_MAX_OUT] = {0};
  luaL_checkstack(L, SQ_MAX_OUT + 2, NULL);
  int first = lua_gettop(L);
  for (int k = 0; k < returns; k++) box[k] = bind_new(L, bind_tensor_class, 0);
  BIND_TRY(L, sq_apply((sq_op_id)op, params, a->arg, out));
  for (int k = 0; k < returns; k++) box[k]->tensor = out[k];
  while (returns > 1 && !out[returns - 1]) returns--; /* x:max() has no indices */
  lua_settop(L, first + returns);
  return returns;
}

/* Every function of the module: upvalue 1 is its entry. */
static int bind_call(lua_State *L) {
  bind_entry *e = lua_touserdata(L, lua_upvalueindex(1));
  if (!e->sig) BIND_TRY(L, sq_signature_of(e->signature, &e->sig));
  bind_args a;
  a.L = L;
  a.name = e->name;
  a.sig = e->sig;
  a.plain = e->most > 0;
  a.in_lua = false;
  if (a.plain) lua_settop(L, e->most);
  int op = e->op;
  if (e->with_tensor && has_tensor(L)) {
    op = e->with_tensor;
    BIND_TRY(L, sq_signature_of(sq_op_at((sq_op_id)op)->signature, &a.sig));
  }
  a.given = lua_gettop(L);
  bind_args_read(&a);
  bool timed = profile_running && e->op < 0; /* an op is timed in the runtime */
  if (timed) profile_begin(L, e->name);
  int results = op >= 0 ? call_op(L, op, e->inplace, &a) : e->call(L, a.arg);
  if (timed) profile_end();
  bind_account(L);
  return results;
}

const bind_entry *bind_entry_of(lua_State *L, int at) {
  if (lua_tocfunction(L, at) != bind_call) return NULL;
  if (!lua_getupvalue(L, at, 1)) return NULL;
  const bind_entry *e = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return e;
}

const char *bind_running(lua_State *L) {
  const bind_entry *e = lua_touserdata(L, lua_upvalueindex(1));
  return e->name;
}

const bind_fn *bind_running_fn(lua_State *L) {
  const bind_entry *e = lua_touserdata(L, lua_upvalueindex(1));
  return e->fn;
}

int bind_running_params(lua_State *L) {
  const bind_entry *e = lua_touserdata(L, lua_upvalueindex(1));
  return e->sig->params;
}

void bind_push_argument(lua_State *L, const void *object) {
  for (int i = lua_gettop(L); i >= 1; i--) {
    const bind_box *box = bind_box_at(L, i);
    if (!box || box->object != object) continue;
    lua_pushvalue(L, i);
    return;
  }
  lua_pushnil(L);
}

static bind_entry *push_entry(lua_State *L) {
  bind_entry *e = lua_newuserdatauv(L, sizeof *e, 0);
  memset(e, 0, sizeof *e);
  e->op = -1;
  lua_pushvalue(L, -1);
  lua_pushcclosure(L, bind_call, 1);
  lua_remove(L, -2);
  return e;
}

void bind_push_function(lua_State *L, const bind_fn *fn) {
  bind_entry *e = push_entry(L);
  e->name = fn->name;
  e->signature = fn->signature;
  e->doc = fn->doc;
  e->call = fn->call;
  e->fn = fn;
}

void bind_push_op(lua_State *L, int op, bool inplace, int most) {
  const sq_op *row = sq_op_at((sq_op_id)op);
  bind_entry *e = push_entry(L);
  e->name = inplace ? registry_inplace_name(op) : row->name;
  e->signature = row->signature;
  e->doc = row->doc;
  e->op = op;
  e->with_tensor = sq_op_with_tensor(row);
  e->inplace = inplace;
  e->most = most;
}

void bind_functions(lua_State *L, const char *owner, const bind_fn *fns) {
  for (const bind_fn *f = fns; f->name; f++) {
    bind_push_function(L, f);
    lua_setfield(L, -2, f->name);
  }
  BIND_TRY(L, registry_add_functions(owner, fns));
}

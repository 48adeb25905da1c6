/* bind.c: errors with the script's line, boxes, classes, functions, and Lua's collector told about
 * C memory. */
#include "bind.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api.h"
#include "autograd/op.h"
#include "autograd/tape.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "bind_args.h"
#include "parts.h"
#include "profile.h"

/* --- errors ----------------------------------------------------------------------------------- */

/* Pushes "script.lua:42: " of the innermost function that is a script's; the module's own Lua parts
 * are called "=seqrt:...". */
static void push_where(lua_State *L) {
  lua_Debug ar;
  for (int level = 0; lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "Sl", &ar);
    if (ar.currentline <= 0 || strncmp(ar.source, "=seqrt:", 7) == 0) continue;
    lua_pushfstring(L, "%s:%d: ", ar.short_src, ar.currentline);
    return;
  }
  lua_pushliteral(L, "");
}

static int raise_text(lua_State *L, const char *text) {
  luaL_checkstack(L, 4, NULL);
  push_where(L);
  lua_pushstring(L, text);
  lua_concat(L, 2);
  return lua_error(L);
}

int bind_error(lua_State *L, const char *format, ...) {
  char text[2048];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  return raise_text(L, text);
}

int bind_raise(lua_State *L, sq_status status) {
  if (status != SQ_EINTR) return raise_text(L, sq_error_text());
  sq_interrupt_clear();
  return raise_text(L, "interrupted!");
}

bool bind_collect(lua_State *L) {
  lua_gc(L, LUA_GCCOLLECT);
  return true;
}

/* Strings are cut: an error is read by people. */
static const char *describe_string(lua_State *L, int at) {
  size_t n;
  const char *s = lua_tolstring(L, at, &n);
  if (n <= 40) return lua_pushfstring(L, "the string \"%s\"", s);
  char cut[41];
  snprintf(cut, sizeof cut, "%.37s...", s);
  return lua_pushfstring(L, "the string \"%s\"", cut);
}

static const char *describe_number(lua_State *L, int at) {
  lua_pushvalue(L, at);
  lua_tostring(L, -1);
  return lua_pushfstring(L, "the number %s", lua_tostring(L, -1));
}

const char *bind_describe(lua_State *L, int at) {
  at = lua_absindex(L, at);
  luaL_checkstack(L, 4, NULL);
  bind_box *box = bind_box_at(L, at);
  if (box) return lua_pushfstring(L, "a %s", box->class->name);
  switch (lua_type(L, at)) {
    case LUA_TNONE:
      return lua_pushliteral(L, "no value");
    case LUA_TNIL:
      return lua_pushliteral(L, "nil");
    case LUA_TNUMBER:
      return describe_number(L, at);
    case LUA_TSTRING:
      return describe_string(L, at);
    case LUA_TBOOLEAN:
      return lua_pushstring(L, lua_toboolean(L, at) ? "true" : "false");
    default:
      return lua_pushfstring(L, "a %s", luaL_typename(L, at));
  }
}

/* --- the collector ---------------------------------------------------------------------------- */

/* C bytes that Lua does not see. A young collection when a good part of what lives was allocated
 * since the last one; a full one when the live bytes have grown by half, since a young collection
 * leaves tensors that outlived two of them. */
static int64_t debt, base;

enum { YOUNG = 1 << 20, SLACK = 16 << 20 };

void bind_account(lua_State *L) {
  debt += sq_mem_take_pressure();
  if (debt < YOUNG) return;
  sq_mem_stats stats;
  sq_mem_get_stats(&stats);
  if (debt < stats.live_bytes / 4) return;
  debt = 0;
  lua_gc(L, LUA_GCSTEP, 0); /* in generational mode: one young collection */
  sq_mem_get_stats(&stats);
  if (stats.live_bytes < base + base / 2 + SLACK) return;
  lua_gc(L, LUA_GCCOLLECT);
  sq_mem_get_stats(&stats);
  base = stats.live_bytes;
}

/* --- where an op was recorded -------------------------------------------------------------------
 */

/* Names of scripts, kept for ever: nodes of the tape point to them. */
enum { SOURCES = 128 };
static char *sources[SOURCES];

static const char *keep_source(const char *name) {
  for (int i = 0; i < SOURCES; i++) {
    if (!sources[i] && sq_strdup(name, &sources[i]) != SQ_OK) return NULL;
    if (strcmp(sources[i], name) == 0) return sources[i];
  }
  return NULL;
}

/* The state whose function of ours runs. */
static lua_State *running;

int bind_locate(const char **source) {
  lua_Debug ar;
  *source = NULL;
  for (int level = 1; running && lua_getstack(running, level, &ar); level++) {
    lua_getinfo(running, "Sl", &ar);
    if (ar.currentline <= 0 || strncmp(ar.source, "=seqrt:", 7) == 0) continue;
    *source = keep_source(ar.short_src);
    return ar.currentline;
  }
  return 0;
}

void bind_enter(lua_State *L) { running = L; }

void bind_note_lines(void) { sq_set_locator(bind_locate); }

/* --- boxes ------------------------------------------------------------------------------------ */

bind_box *bind_box_at(lua_State *L, int at) {
  if (lua_type(L, at) != LUA_TUSERDATA || lua_rawlen(L, at) != sizeof(bind_box)) return NULL;
  bind_box *box = lua_touserdata(L, at);
  return api_is_class(box->class) ? box : NULL;
}

bind_box *bind_test(lua_State *L, int at, const bind_class *class) {
  if (lua_type(L, at) != LUA_TUSERDATA || lua_rawlen(L, at) != sizeof(bind_box)) return NULL;
  bind_box *box = lua_touserdata(L, at);
  if (box->class == class) return box;
  if (!api_is_class(box->class)) return NULL;
  for (const bind_class *c = box->class; c; c = c->base)
    if (c == class) return box;
  return NULL;
}

bind_box *bind_new(lua_State *L, const bind_class *class, int uservalues) {
  bind_box *box = lua_newuserdatauv(L, sizeof *box, uservalues);
  box->class = class;
  box->object = NULL;
  lua_rawgetp(L, LUA_REGISTRYINDEX, class);
  lua_setmetatable(L, -2);
  return box;
}

void *bind_check(lua_State *L, int at, const bind_class *class) {
  bind_box *box = bind_test(L, at, class);
  if (!box) {
    const char *got = bind_describe(L, at);
    bind_error(L, "expected a %s, got %s", class->name, got);
  }
  if (!box->object) bind_error(L, "this %s was closed", class->name);
  return box->object;
}

sq_tensor *bind_tensor(lua_State *L, int at) { return bind_check(L, at, &bind_tensor_class); }

sq_tensor **bind_new_tensor(lua_State *L) { return &bind_new(L, &bind_tensor_class, 0)->tensor; }

void bind_push_tensor(lua_State *L, sq_tensor *t) {
  if (t) {
    sq_tensor **slot = bind_new_tensor(L);
    *slot = sq_tensor_keep(t);
  } else {
    lua_pushnil(L);
  }
}

/* --- functions -------------------------------------------------------------------------------- */

static int call_op(lua_State *L, const api_entry *e, const bind_args *a) {
  int params = a->sig->params, returns = a->sig->returns;
  if (e->inplace) {
    if (a->arg[0].kind != SQ_ARG_TENSOR)
      return bind_error(L, "[%s] %s is a number: what is changed in place must be a Tensor",
                        a->name, a->sig->param[0].name);
    BIND_TRY(L, sq_apply_inplace((sq_op_id)e->op, params, a->arg));
    lua_settop(L, 1);
    return 1;
  }
  bind_box *box[SQ_MAX_OUT];
  sq_tensor *out[SQ_MAX_OUT] = {0};
  luaL_checkstack(L, SQ_MAX_OUT + 2, NULL);
  int first = lua_gettop(L);
  for (int k = 0; k < returns; k++) box[k] = bind_new(L, &bind_tensor_class, 0);
  BIND_TRY(L, sq_apply((sq_op_id)e->op, params, a->arg, out));
  for (int k = 0; k < returns; k++) box[k]->tensor = out[k];
  while (returns > 1 && !out[returns - 1]) returns--; /* x:max() has no indices */
  lua_settop(L, first + returns);
  return returns;
}

/* Every function of the module: upvalue 1 is its entry. */
static int bind_call(lua_State *L) {
  api_entry *e = lua_touserdata(L, lua_upvalueindex(1));
  if (!e->sig) BIND_TRY(L, api_signature(e->signature, &e->sig));
  bind_args a;
  a.L = L;
  a.name = e->name;
  a.sig = e->sig;
  a.plain = e->most > 0;
  a.in_lua = false;
  if (a.plain) lua_settop(L, e->most);
  a.given = lua_gettop(L);
  bind_args_read(&a);
  bool timed = profile_running && e->op < 0; /* an op is timed in the runtime */
  if (timed) profile_begin(L, e->name);
  int results = e->op >= 0 ? call_op(L, e, &a) : e->call(L, a.arg);
  if (timed) profile_end();
  bind_account(L);
  return results;
}

const api_entry *api_entry_of(lua_State *L, int at) {
  if (lua_tocfunction(L, at) != bind_call) return NULL;
  if (!lua_getupvalue(L, at, 1)) return NULL;
  const api_entry *e = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return e;
}

const char *bind_running(lua_State *L) {
  const api_entry *e = lua_touserdata(L, lua_upvalueindex(1));
  return e->name;
}

int bind_running_params(lua_State *L) {
  const api_entry *e = lua_touserdata(L, lua_upvalueindex(1));
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

static api_entry *push_entry(lua_State *L) {
  api_entry *e = lua_newuserdatauv(L, sizeof *e, 0);
  memset(e, 0, sizeof *e);
  e->op = -1;
  lua_pushvalue(L, -1);
  lua_pushcclosure(L, bind_call, 1);
  lua_remove(L, -2);
  return e;
}

void bind_push_function(lua_State *L, const bind_fn *fn) {
  api_entry *e = push_entry(L);
  e->name = fn->name;
  e->signature = fn->signature;
  e->doc = fn->doc;
  e->call = fn->call;
}

void bind_push_op(lua_State *L, int op, bool inplace, int most) {
  const sq_op *row = sq_op_at((sq_op_id)op);
  api_entry *e = push_entry(L);
  e->name = inplace ? api_inplace_name(op) : row->name;
  e->signature = row->signature;
  e->doc = row->doc;
  e->op = op;
  e->inplace = inplace;
  e->most = most;
}

void bind_functions(lua_State *L, const char *owner, const bind_fn *fns) {
  for (const bind_fn *f = fns; f->name; f++) {
    bind_push_function(L, f);
    lua_setfield(L, -2, f->name);
  }
  api_add_functions(owner, fns);
}

/* --- classes ---------------------------------------------------------------------------------- */

/* Raises: no such field. Upvalue 1 is the table of members. */
static int unknown_member(lua_State *L, const char *owner, int members) {
  const char *name = lua_tostring(L, 2);
  const char *near = api_nearest_key(L, members, name);
  if (near) return bind_error(L, "%s has no '%s': did you mean '%s'?", owner, name, near);
  return bind_error(L, "%s has no '%s'", owner, name);
}

/* __index: members by name (a method is a function, a field its row), other keys by the class.
 * Upvalues: members, class. */
static int class_index(lua_State *L) {
  if (lua_type(L, 2) != LUA_TSTRING) {
    const bind_class *class = lua_touserdata(L, lua_upvalueindex(2));
    if (class->index) {
      bind_enter(L);
      int n = class->index(L);
      bind_account(L);
      return n;
    }
    const char *key = bind_describe(L, 2);
    return bind_error(L, "a %s has no field %s", class->name, key);
  }
  lua_pushvalue(L, 2);
  int type = lua_rawget(L, lua_upvalueindex(1));
  if (type == LUA_TFUNCTION) return 1;
  const bind_class *class = lua_touserdata(L, lua_upvalueindex(2));
  if (type == LUA_TNIL) {
    if (class->lookup && class->lookup(L, bind_check(L, 1, class))) return 1;
    return unknown_member(L, class->name, lua_upvalueindex(1));
  }
  const bind_field *field = lua_touserdata(L, -1);
  return field->get(L, bind_check(L, 1, class));
}

static int class_newindex(lua_State *L) {
  const bind_class *class = lua_touserdata(L, lua_upvalueindex(2));
  if (lua_type(L, 2) != LUA_TSTRING) {
    if (class->newindex) {
      bind_enter(L);
      class->newindex(L);
      bind_account(L);
      return 0;
    }
    const char *key = bind_describe(L, 2);
    return bind_error(L, "a %s has no field %s", class->name, key);
  }
  lua_pushvalue(L, 2);
  int type = lua_rawget(L, lua_upvalueindex(1));
  if (type == LUA_TNIL) {
    if (class->assign && class->assign(L, bind_check(L, 1, class), 3)) return 0;
    return unknown_member(L, class->name, lua_upvalueindex(1));
  }
  const bind_field *field = type == LUA_TLIGHTUSERDATA ? lua_touserdata(L, -1) : NULL;
  if (!field || !field->set)
    return bind_error(L, "%s.%s can't be assigned", class->name, lua_tostring(L, 2));
  field->set(L, bind_check(L, 1, class), 3);
  return 0;
}

/* __gc and __close. Upvalue 1: the class. */
static int class_close(lua_State *L) {
  const bind_class *class = lua_touserdata(L, lua_upvalueindex(1));
  bind_box *box = bind_test(L, 1, class);
  if (!box || !box->object) return 0;
  void *object = box->object;
  box->object = NULL;
  class->drop(object);
  return 0;
}

/* Fills the table on the top with what the class and those it is based on offer. */
static void add_members(lua_State *L, const bind_class *class) {
  if (class->base) add_members(L, class->base);
  for (const bind_fn *f = class->methods; f && f->name; f++) {
    bind_push_function(L, f);
    lua_setfield(L, -2, f->name);
  }
  for (const bind_field *f = class->fields; f && f->name; f++) {
    lua_pushlightuserdata(L, (void *)(uintptr_t)f);
    lua_setfield(L, -2, f->name);
  }
}

/* The names of the members as a list, for completion; the metatable is on the top. */
static void push_member_names(lua_State *L) {
  lua_newtable(L);
  lua_getfield(L, -2, "__members");
  lua_Integer n = 0;
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    lua_pushvalue(L, -2);
    lua_rawseti(L, -5, ++n);
  }
  lua_pop(L, 1);
}

/* Sets a metamethod whose upvalues are members and class. */
static void set_accessor(lua_State *L, const char *name, lua_CFunction f, const bind_class *class) {
  lua_getfield(L, -1, "__members");
  lua_pushlightuserdata(L, (void *)(uintptr_t) class);
  lua_pushcclosure(L, f, 2);
  lua_setfield(L, -2, name);
}

void bind_class_open(lua_State *L, const bind_class *class) {
  api_add_class(class);
  lua_createtable(L, 0, 16);
  lua_pushstring(L, class->name);
  lua_setfield(L, -2, "__name");
  lua_newtable(L);
  add_members(L, class);
  lua_setfield(L, -2, "__members");
  set_accessor(L, "__index", class_index, class);
  set_accessor(L, "__newindex", class_newindex, class);
  lua_pushlightuserdata(L, (void *)(uintptr_t) class);
  lua_pushcclosure(L, class_close, 1);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "__gc");
  lua_setfield(L, -2, "__close");
  if (class->meta) luaL_setfuncs(L, class->meta, 0);
  push_member_names(L);
  lua_setfield(L, -2, "__dir");
  lua_rawsetp(L, LUA_REGISTRYINDEX, class);
}

void bind_class_add(lua_State *L, const bind_class *class, const char *name) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, class);
  if (strncmp(name, "__", 2) != 0) {
    lua_getfield(L, -1, "__dir");
    lua_pushstring(L, name);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    lua_pop(L, 1);
    lua_getfield(L, -1, "__members");
    lua_replace(L, -2);
  }
  lua_pushvalue(L, -2);
  lua_setfield(L, -2, name);
  lua_pop(L, 2);
}

/* --- tables whose values are Lua parts -------------------------------------------------------- */

void bind_require_part(lua_State *L, const char *part) {
  lua_getglobal(L, "require");
  lua_pushfstring(L, "seqrt.%s", part);
  lua_call(L, 1, 1);
}

/* __index of such a table. Upvalues: rows, owner. */
static int lazy_index(lua_State *L) {
  if (lua_type(L, 2) != LUA_TSTRING) return 0;
  const char *key = lua_tostring(L, 2);
  if (key[0] == '_') return 0; /* libraries look for names of their own */
  const bind_lazy_row *row = lua_touserdata(L, lua_upvalueindex(1));
  for (; row && row->key; row++) {
    if (strcmp(row->key, key) != 0) continue;
    bind_require_part(L, row->part);
    if (lua_type(L, -1) == LUA_TTABLE && lua_getfield(L, -1, key) == LUA_TNIL) lua_pop(L, 1);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, -2);
    lua_rawset(L, 1);
    return 1;
  }
  return unknown_member(L, lua_tostring(L, lua_upvalueindex(2)), 1);
}

void bind_lazy(lua_State *L, const char *owner, const bind_lazy_row *rows) {
  lua_createtable(L, 0, 2);
  lua_pushlightuserdata(L, (void *)(uintptr_t)rows);
  lua_pushstring(L, owner);
  lua_pushcclosure(L, lazy_index, 2);
  lua_setfield(L, -2, "__index");
  lua_newtable(L);
  int n = 0;
  for (const bind_lazy_row *row = rows; row && row->key; row++) {
    lua_pushstring(L, row->key);
    lua_rawseti(L, -2, ++n);
  }
  lua_setfield(L, -2, "__dir");
  lua_setmetatable(L, -2);
}

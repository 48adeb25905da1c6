/* box.c: errors with the script's line, boxes, and Lua's collector told about C memory. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autograd/tape.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "base/text.h"
#include "bind/bind.h"
#include "bind/registry.h"

/* --- errors --------------------------------------------------------------------------------- */

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

int bind_raise_text(lua_State *L, const char *text) {
  luaL_checkstack(L, 4, NULL);
  push_where(L);
  lua_pushstring(L, text);
  lua_concat(L, 2);
  return lua_error(L);
}

void bind_warn(lua_State *L, const char *text) {
  luaL_checkstack(L, 1, NULL);
  push_where(L);
  lua_writestringerror("%s", lua_tostring(L, -1));
  lua_writestringerror("warning: %s\n", text);
  lua_pop(L, 1);
}

int bind_error(lua_State *L, const char *format, ...) {
  char text[2048];
  va_list args;
  va_start(args, format);
  sq_vformat(text, sizeof text, format, args);
  va_end(args);
  return bind_raise_text(L, text);
}

static const char kept_error;

sq_status bind_keep_error(lua_State *L) {
  lua_rawsetp(L, LUA_REGISTRYINDEX, &kept_error);
  return sq_fail(SQ_EHOST, "a function of the script failed");
}

static int raise_kept(lua_State *L) {
  luaL_checkstack(L, 2, NULL);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &kept_error);
  lua_pushboolean(L, false);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &kept_error);
  return lua_error(L);
}

int bind_raise(lua_State *L, sq_status status) {
  if (status == SQ_EHOST) return raise_kept(L);
  if (status != SQ_EINTR) return bind_raise_text(L, sq_error_text());
  sq_interrupt_clear();
  return bind_raise_text(L, "interrupted!");
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
  if (lua_isinteger(L, at)) return lua_pushfstring(L, "the number %I", lua_tointeger(L, at));
  return lua_pushfstring(L, "the number %s", bind_push_number_text(L, lua_tonumber(L, at)));
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

/* --- the collector -------------------------------------------------------------------------- */

/* C bytes that Lua does not see. A young collection when a good part of what lives was allocated
 * since the last one; a full one when the live bytes have grown by half, since a young collection
 * leaves tensors that outlived two of them. */
static int64_t debt, base;

void bind_account(lua_State *L) {
  debt += sq_mem_take_pressure();
  if (debt < SQ_YOUNG) return;
  sq_mem_stats stats;
  sq_mem_get_stats(&stats);
  if (debt < stats.live_bytes / 4) return;
  debt = 0;
  lua_gc(L, LUA_GCSTEP, 0); /* in generational mode: one young collection */
  sq_mem_get_stats(&stats);
  if (stats.live_bytes < base + base / 2 + SQ_SLACK) return;
  lua_gc(L, LUA_GCCOLLECT);
  sq_mem_get_stats(&stats);
  base = stats.live_bytes;
}

/* --- where an op was recorded --------------------------------------------------------------- */

/* Names of scripts, kept for ever: nodes of the tape point to them. */
typedef struct script {
  struct script *next;
  char name[];
} script;
static script *scripts;

static const char *keep_source(const char *name) {
  for (const script *s = scripts; s; s = s->next)
    if (strcmp(s->name, name) == 0) return s->name;
  void *block;
  size_t size = strlen(name) + 1;
  if (sq_alloc((int64_t)(sizeof(script) + size), &block) != SQ_OK) return NULL;
  script *s = block;
  s->next = scripts;
  memcpy(s->name, name, size);
  scripts = s;
  return s->name;
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

static void (*on_enter)(lua_State *L);

void bind_on_enter(void (*fn)(lua_State *L)) { on_enter = fn; }

void bind_enter(lua_State *L) {
  running = L;
  if (on_enter) on_enter(L);
}

lua_State *bind_state(void) { return running; }

void bind_note_lines(void) { sq_set_locator(bind_locate); }

const bind_class *bind_tensor_class, *bind_generator_class;

/* --- boxes ---------------------------------------------------------------------------------- */

bind_box *bind_box_at(lua_State *L, int at) {
  if (lua_type(L, at) != LUA_TUSERDATA || lua_rawlen(L, at) != sizeof(bind_box)) return NULL;
  bind_box *box = lua_touserdata(L, at);
  return registry_is_class(box->class) ? box : NULL;
}

bind_box *bind_test(lua_State *L, int at, const bind_class *class) {
  if (lua_type(L, at) != LUA_TUSERDATA || lua_rawlen(L, at) != sizeof(bind_box)) return NULL;
  bind_box *box = lua_touserdata(L, at);
  if (box->class == class) return box;
  if (!registry_is_class(box->class)) return NULL;
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

sq_tensor *bind_tensor(lua_State *L, int at) { return bind_check(L, at, bind_tensor_class); }

sq_tensor **bind_new_tensor(lua_State *L) { return &bind_new(L, bind_tensor_class, 0)->tensor; }

void bind_push_tensor(lua_State *L, sq_tensor *t) {
  if (t) {
    sq_tensor **slot = bind_new_tensor(L);
    *slot = sq_tensor_keep(t);
  } else {
    lua_pushnil(L);
  }
}

/* --- names that do not exist ---------------------------------------------------------------- */

static int by_letters(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char *bind_nearest_key(lua_State *L, int table, const char *word) {
  luaL_checkstack(L, 6, NULL);
  table = lua_absindex(L, table);
  size_t n = 0;
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) n++;
  const char **words = lua_newuserdatauv(L, (n + 1) * sizeof *words, 0);
  size_t at = 0;
  for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1))
    if (lua_type(L, -2) == LUA_TSTRING) words[at++] = lua_tostring(L, -2);
  words[at] = NULL;
  qsort(words, at, sizeof *words, by_letters); /* of equally near ones always the same */
  const char *near = sq_nearest(word, words);
  lua_pop(L, 1);
  return near;
}

int bind_unknown_member(lua_State *L, const char *owner, int members) {
  const char *name = lua_tostring(L, 2);
  const char *near = bind_nearest_key(L, members, name);
  if (near) return bind_error(L, "%s has no '%s': did you mean '%s'?", owner, name, near);
  return bind_error(L, "%s has no '%s'", owner, name);
}

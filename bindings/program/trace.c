/* trace.c: tracebacks that show the script's own frames and none of C or of our Lua parts. */
#include "program/trace.h"

#include <lauxlib.h>
#include <stdbool.h>
#include <string.h>

enum { SHOWN_FIRST = 12, SHOWN_LAST = 10 };

static void add_frame(luaL_Buffer *out, lua_State *L, lua_Debug *frame) {
  if (frame->currentline > 0) {
    lua_pushfstring(L, "\n  %s:%d: in ", frame->short_src, frame->currentline);
  } else {
    lua_pushfstring(L, "\n  %s: in ", frame->short_src);
  }
  luaL_addvalue(out);
  if (strcmp(frame->what, "main") == 0) {
    luaL_addstring(out, "the main chunk");
  } else if (frame->namewhat[0] != '\0') {
    lua_pushfstring(L, "%s '%s'", frame->namewhat, frame->name);
    luaL_addvalue(out);
  } else {
    lua_pushfstring(L, "function <%s:%d>", frame->short_src, frame->linedefined);
    luaL_addvalue(out);
  }
  if (frame->istailcall) luaL_addstring(out, " (after tail calls)");
}

/* The number of levels on the stack. lua_getstack walks from the top, so levels are not counted one
 * by one. */
static int count_levels(lua_State *of) {
  lua_Debug frame;
  int low = 0, high = 1;
  while (lua_getstack(of, high, &frame)) {
    low = high;
    high *= 2;
  }
  while (low < high) {
    int middle = low + (high - low) / 2;
    if (lua_getstack(of, middle, &frame)) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return high;
}

void trace_push(lua_State *L, lua_State *of, int level) {
  int levels = count_levels(of);
  int skip_from = levels, skip_to = levels;
  if (levels - level > SHOWN_FIRST + SHOWN_LAST + 1) {
    skip_from = level + SHOWN_FIRST;
    skip_to = levels - SHOWN_LAST;
  }
  lua_Debug frame;
  bool any = false;
  luaL_Buffer out;
  luaL_buffinit(L, &out);
  for (; level < levels; level++) {
    if (level == skip_from) {
      lua_pushfstring(L, "\n  ... (%d levels not shown)", skip_to - skip_from);
      luaL_addvalue(&out);
      level = skip_to;
    }
    if (!lua_getstack(of, level, &frame) || !lua_getinfo(of, "Slnt", &frame)) break;
    if (strcmp(frame.what, "C") == 0 || strncmp(frame.source, "=seqrt:", 7) == 0) continue;
    if (!any) luaL_addstring(&out, "stack traceback:");
    any = true;
    add_frame(&out, L, &frame);
  }
  luaL_pushresult(&out);
}

int trace_handler(lua_State *L) {
  if (lua_type(L, 1) == LUA_TSTRING || luaL_getmetafield(L, 1, "__tostring") != LUA_TNIL) {
    luaL_tolstring(L, 1, NULL);
  } else {
    lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
  }
  trace_push(L, L, 1);
  if (lua_rawlen(L, -1) > 0) {
    lua_pushliteral(L, "\n");
    lua_insert(L, -2);
    lua_concat(L, 3);
  } else {
    lua_pop(L, 1);
  }
  return 1;
}

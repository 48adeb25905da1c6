/* trace.c: tracebacks that show the script's own frames and none of C. */
#include "trace.h"

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

static bool lua_frame(lua_State *of, int level, lua_Debug *frame) {
  return lua_getinfo(of, "Slnt", frame) != 0 && strcmp(frame->what, "C") != 0 && level >= 0;
}

static int count_frames(lua_State *of, int level) {
  lua_Debug frame;
  int n = 0;
  for (; lua_getstack(of, level, &frame); level++) n += lua_frame(of, level, &frame);
  return n;
}

void sq_trace_push(lua_State *L, lua_State *of, int level) {
  int frames = count_frames(of, level), shown = 0;
  lua_Debug frame;
  luaL_Buffer out;
  luaL_buffinit(L, &out);
  if (frames > 0) luaL_addstring(&out, "stack traceback:");
  for (; lua_getstack(of, level, &frame); level++) {
    if (!lua_frame(of, level, &frame)) continue;
    shown++;
    if (shown <= SHOWN_FIRST || shown > frames - SHOWN_LAST) {
      add_frame(&out, L, &frame);
    } else if (shown == SHOWN_FIRST + 1) {
      lua_pushfstring(L, "\n  ... (%d calls not shown)", frames - SHOWN_FIRST - SHOWN_LAST);
      luaL_addvalue(&out);
    }
  }
  luaL_pushresult(&out);
}

int sq_trace_handler(lua_State *L) {
  if (lua_type(L, 1) == LUA_TSTRING || luaL_getmetafield(L, 1, "__tostring") != LUA_TNIL) {
    luaL_tolstring(L, 1, NULL);
  } else {
    lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
  }
  sq_trace_push(L, L, 1);
  if (lua_rawlen(L, -1) > 0) {
    lua_pushliteral(L, "\n");
    lua_insert(L, -2);
    lua_concat(L, 3);
  } else {
    lua_pop(L, 1);
  }
  return 1;
}

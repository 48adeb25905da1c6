/* trace.h: error messages with the script's frames. */
#ifndef SQ_PROGRAM_TRACE_H
#define SQ_PROGRAM_TRACE_H

#include <lua.h>

/* A message handler for lua_pcall: turns the error value into a text that ends in the calls that
 * led to it, frames of C left out. A table or userdata without __tostring keeps its type's name.
 * [Lua thread] */
int trace_handler(lua_State *L);

/* Pushes "stack traceback:" and one line for each Lua frame of `of` from `level` on; "" when there
 * is none. Long stacks are cut in the middle. [Lua thread] */
void trace_push(lua_State *L, lua_State *of, int level);

#endif

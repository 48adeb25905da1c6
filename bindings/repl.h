/* repl.h: the prompt. Lines come from readline (or plain standard input); bindings/lua/repl.lua
 * does the rest. */
#ifndef SQ_BINDINGS_REPL_H
#define SQ_BINDINGS_REPL_H

#include <lua.h>

/* Runs the prompt until the end of input; 0, or 1 when it could not start (the reason is on
 * stderr). [Lua thread] */
int sq_repl_run(lua_State *L);

#endif

/* repl.h: the prompt. Lines come from readline (or plain standard input); bindings/lua/repl.lua
 * does the rest. */
#ifndef SQ_PROGRAM_REPL_H
#define SQ_PROGRAM_REPL_H

#include <lua.h>
#include <stdbool.h>

#include "program/pause.h"

/* Runs the prompt until the end of input, after two lines of greeting if wanted; 0, or 1 when it
 * could not start (the reason is on stderr). [Lua thread] */
int repl_run(lua_State *L, bool greeting);

/* Runs the prompt inside a hook of `L`, whose frames it shows and changes, until the user goes on.
 * Never raises. [Lua thread] */
pause_action repl_pause(lua_State *L, bool stepping);

/* A message handler: trace_handler's text, and the frames are kept for the next repl_run.
 * [Lua thread] */
int repl_keep_handler(lua_State *L);

#endif

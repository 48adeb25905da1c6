/* pause.h: what Ctrl-C does to a running script. */
#ifndef SQ_BINDINGS_PAUSE_H
#define SQ_BINDINGS_PAUSE_H

#include <lua.h>
#include <stdbool.h>

/* Takes over SIGINT (unless the process was started with it ignored), and replaces coroutine.resume
 * and coroutine.wrap by equals that note which coroutine runs, so that a loop inside one can be
 * stopped. `L` is the main state. [Lua thread] */
void sq_pause_install(lua_State *L);

/* Forgets an interrupt that has been dealt with; what a top level calls after each chunk it ran.
 * [Lua thread] */
void sq_pause_reset(void);

/* True when SIGINT has come since the last reset. [Lua thread] */
bool sq_pause_seen(void);

#endif

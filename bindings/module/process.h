/* process.h: children of this program. */
#ifndef SQ_MODULE_PROCESS_H
#define SQ_MODULE_PROCESS_H

#include <lua.h>

/* require "seqrt.process": spawn, wait and the class Process for the parent; adopt and tell for the
 * child. [Lua thread] */
int luaopen_seqrt_process(lua_State *L);

#endif

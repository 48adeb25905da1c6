/* sys.h: what the Lua parts need of the operating system. */
#ifndef SQ_MODULE_SYS_H
#define SQ_MODULE_SYS_H

#include <lua.h>

/* require "seqrt.sys": fs {mkdir_p exists join glob}, clock, and for the parts isatty, width,
 * append, write, read, probe. [Lua thread] */
int luaopen_seqrt_sys(lua_State *L);

/* Moves the cursor below the lines of progress, where others may print. [Lua thread] */
void sys_leave_lines(void);

#endif

/* part.h: functions whose arguments a signature checks and whose body is a Lua part's. */
#ifndef SQ_BINDINGS_PART_H
#define SQ_BINDINGS_PART_H

#include "bind.h"

/* Calls the part's function of the running function's name with all checked arguments; its results
 * are the results. For bind_fn.call. [Lua thread] */
int part_call(lua_State *L, const char *part, const sq_arg *arg);

/* The same for a function whose only parameter is `...`: all arguments as they are. */
int part_call_open(lua_State *L, const char *part);

#endif

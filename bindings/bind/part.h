/* part.h: Lua parts: values of a table that a part makes, and functions whose arguments a signature
 * checks and whose body is a part's. */
#ifndef SQ_BIND_PART_H
#define SQ_BIND_PART_H

#include "bind/bind.h"

/* Gives the table on the stack's top, which scripts call `owner` ("sq.nn"), an __index that loads
 * the part that defines a name there, at the name's first use, and that raises on names that do not
 * exist, with the nearest one. */
void part_open_table(lua_State *L, const char *owner);

/* Pushes what the Lua part of that name returns: require "seqrt.<part>". */
void part_require(lua_State *L, const char *part);

/* Calls the part's function of the running function's name with all checked arguments; its results
 * are the results. For bind_fn.call. [Lua thread] */
int part_call(lua_State *L, const char *part, const sq_arg *arg);

/* The same for a function whose only parameter is `...`: all arguments as they are. */
int part_call_open(lua_State *L, const char *part);

#endif

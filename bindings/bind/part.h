/* part.h: Lua parts: values of a table that a part makes, and functions whose arguments a signature
 * checks and whose body is a part's. */
#ifndef SQ_BIND_PART_H
#define SQ_BIND_PART_H

#include "bind/bind.h"

/* A value of a table that a Lua part makes at its first use. */
typedef struct bind_lazy_row {
  const char *key, *part; /* the part's value, or its field `key` if that is a table with one */
} bind_lazy_row;

/* Gives the table on the stack's top an __index that loads the parts and that raises on names that
 * do not exist, with the nearest one. `owner` is the table's name in the error. */
void bind_lazy(lua_State *L, const char *owner, const bind_lazy_row *rows);

/* Pushes what the Lua part of that name returns: require "seqrt.<part>". */
void bind_require_part(lua_State *L, const char *part);

/* Calls the part's function of the running function's name with all checked arguments; its results
 * are the results. For bind_fn.call. [Lua thread] */
int part_call(lua_State *L, const char *part, const sq_arg *arg);

/* The same for a function whose only parameter is `...`: all arguments as they are. */
int part_call_open(lua_State *L, const char *part);

#endif

/* api.h: the list of everything that scripts can call: for help, completion and editors. */
#ifndef SQ_BINDINGS_API_H
#define SQ_BINDINGS_API_H

#include "bind.h"

/* What stands behind one function of the module: upvalue 1 of its closure. */
typedef struct api_entry {
  const char *name, *signature, *doc;
  int (*call)(lua_State *L, const sq_arg *arg);
  const sq_signature *sig; /* read at the first call */
  int op;                  /* -1: none */
  bool inplace;
  int most; /* arguments looked at, 0: all */
} api_entry;

/* The entry of a function of ours, else NULL. [borrow] */
const api_entry *api_entry_of(lua_State *L, int at);

/* The signature of that text (a constant), read once. [borrow | fails: format, nomem | Lua thread]
 */
SQ_CHECKED sq_status api_signature(const char *text, const sq_signature **out);

/* Notes functions of a table, and a class; a second time is no harm. [keep | Lua thread] */
void api_add_functions(const char *owner, const bind_fn *fns);
void api_add_class(const bind_class *class);
/* Notes that a table holds these ops under their names. [keep | Lua thread] */
void api_add_ops(const char *owner, const int *ops, int n);
bool api_is_class(const bind_class *class);

/* "exp_" for op exp. [borrow] */
const char *api_inplace_name(int op);

/* True for an op that scripts may call, and for one whose first parameter is a tensor. */
bool api_op_is_public(int op);
bool api_op_is_method(int op);

/* The string key of a table that is nearest to a misspelt one; NULL without one. [borrow, while the
 * table stands] */
const char *api_nearest_key(lua_State *L, int table, const char *word);

/* require "seqrt.api": list() and describe(value) for the parts that print help; and, for functions
 * and classes that are written in Lua, the one registration each has, where it is made:
 *
 *   sq.sweep = api.define {owner = "sq", name = "sweep", signature = "(run: function, ...) ->
 * table", doc = "One line.", example = "sq.sweep(run, {seed = {1, 2}})", call = function(run, ...)
 * end}
 *
 *   local method = api.class {name = "Log", methods = Log, doc = "...", example = "...",
 *     fields = {{"dir", "string", "Its folder."}}}
 *   method("write", "(step: int, values: table) -> Log", "One line.", nil)
 *   function Log:write(step, values) ... end
 *
 * define() reads arguments by the signature, as for functions in C; a method that is given as fifth
 * argument, too. */
int luaopen_seqrt_api(lua_State *L);

#endif

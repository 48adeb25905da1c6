/* args.h: arguments of a call, read by a signature. */
#ifndef SQ_BIND_ARGS_H
#define SQ_BIND_ARGS_H

#include "base/limits.h"
#include "bind/bind.h"

/* A call being read. Lists lie in `few`, and in userdata on the stack when that is full: an error
 * leaves nothing behind. */
typedef struct bind_args {
  lua_State *L;
  const char *name;
  const sq_signature *sig;
  int given;   /* arguments on the stack */
  bool plain;  /* an operator's operands: a table is no options table */
  bool in_lua; /* the function is written in Lua: objects of classes that are, too, are taken */
  int used;
  int place[SQ_MAX_PARAMS]; /* the stack index of each parameter's value, 0: left out */
  int count[SQ_MAX_PARAMS]; /* how many values from there on belong to it */
  sq_arg arg[SQ_MAX_PARAMS];
  int64_t few[SQ_FEW_WORDS];
} bind_args;

/* Reads the stack's arguments into a->arg; raises where they do not fit. L, name, sig, given
 * and plain are set. */
void bind_args_read(bind_args *a);

/* A whole number at a stack index. `what` names it in the error. */
int64_t bind_args_int(lua_State *L, int at, const char *op, const char *what);

#endif

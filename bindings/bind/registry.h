/* registry.h: the list of everything that scripts can call: what functions and classes add to when
 * they are opened, and api.c reads. */
#ifndef SQ_BIND_REGISTRY_H
#define SQ_BIND_REGISTRY_H

#include "bind/bind.h"

/* Functions of the table `owner`, ended by a name of NULL. */
typedef struct registry_functions {
  const char *owner;
  const bind_fn *fns;
} registry_functions;

/* Note functions and a class; a second time is no harm. [keep | fails: nomem | Lua thread] */
SQ_CHECKED sq_status registry_add_functions(const char *owner, const bind_fn *fns);
SQ_CHECKED sq_status registry_add_class(const bind_class *class);

/* Whether that class was opened. [Lua thread] */
bool registry_is_class(const bind_class *class);

/* Number i (from 0) of what was noted, NULL past the end. [borrow, until more is noted] */
const registry_functions *registry_functions_at(int i);
const bind_class *registry_class_at(int i);

/* "exp_" for op exp. [borrow] */
const char *registry_inplace_name(int op);

#endif

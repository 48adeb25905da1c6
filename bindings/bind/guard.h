/* guard.h: switches that hold for a block or for a call: no_grad, detect_anomaly, profile. */
#ifndef SQ_BIND_GUARD_H
#define SQ_BIND_GUARD_H

#include "bind/bind.h"

/* Turns something on or off and returns what it was. */
typedef bool guard_switch(bool on);

/* For bind_fn.call of a function "(fn: function? = nil, ...: any? = nil) -> any": without a
 * function pushes a guard, for `local _ <close> = ...`, that turns back at the end of the block;
 * with one calls fn(...) in between and returns its results. [Lua thread] */
int guard_with(lua_State *L, const sq_arg *arg, guard_switch *set, bool on);

/* Makes the guards' metatable; once per state. */
void guard_open(lua_State *L);

#endif

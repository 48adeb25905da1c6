/* guard.h: switches that hold for a block or for a call: no_grad, enable_grad, detect_anomaly,
 * profile. */
#ifndef SQ_BIND_GUARD_H
#define SQ_BIND_GUARD_H

#include "bind/bind.h"

/* One switch: set() turns it and returns what it was. A guard holds while it is open and the
 * coroutine that opened it runs or waits for one that it resumed; `everywhere`: in every coroutine.
 * Zero but for these two; lives for ever. */
typedef struct guard_switch {
  bool (*set)(bool on);
  bool everywhere;
  bool base; /* what holds without guards, while there are some */
  int live;
  struct guard_switch *next;
} guard_switch;

/* For bind_fn.call of a function "(fn: function? = nil, ...: any? = nil) -> any": without a
 * function pushes a guard, for `local _ <close> = ...`, that ends with its block; with one calls
 * fn(...) in between and returns its results. [Lua thread] */
int guard_with(lua_State *L, const sq_arg *arg, guard_switch *s, bool on);

/* Turns the switch without a guard: until the innermost guard that holds ends, or for good. [Lua
 * thread] */
void guard_turn(lua_State *L, guard_switch *s, bool on);

/* Makes the guards' metatable; once per state. */
void guard_open(lua_State *L);

#endif

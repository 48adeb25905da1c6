/* profile.h: time and memory of every op, function and line of a script. */
#ifndef SQ_BIND_PROFILE_H
#define SQ_BIND_PROFILE_H

#include "bind/bind.h"

/* True while a profile is taken. Read it, and set it by profile_enable. */
extern bool profile_running;

/* Starts a profile, or ends it and prints it on standard error; returns whether one was running.
 * Ops, forward and backward, are timed from then on. [Lua thread] */
bool profile_enable(bool on);

/* Around a function of the module that is no op, while profile_running; only what it spends outside
 * of ops and functions that it calls is counted. One that raises needs no profile_end. */
void profile_begin(lua_State *L, const char *name);
void profile_end(void);

#endif

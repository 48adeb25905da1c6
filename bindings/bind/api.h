/* api.h: what Lua parts see of the registry: for help, completion, editors, and for functions and
 * classes that are written in Lua. */
#ifndef SQ_BIND_API_H
#define SQ_BIND_API_H

#include "bind/bind.h"

/* require "seqrt.api": list() and describe(value) for the parts that print help; fail(format, ...),
 * which raises with the script's line; and, for functions and classes that are written in Lua, the
 * one registration each has, where it is made:
 *
 *   sq.sweep = api.define {owner = "sq", name = "sweep",
 *     signature = "(run: function, ...) -> table", doc = "One line.",
 *     example = "sq.sweep(run, {seed = {1, 2}})", call = function(run, ...) end}
 *
 *   local method = api.class {name = "Log", methods = Log, doc = "...", example = "...",
 *     fields = {{"dir", "string", "Its folder."}}}
 *   method("write", "(step: int, values: table) -> Log", "One line.", function(self, step, values)
 * end)
 *
 * Both read arguments by the signature, as for functions in C: there is no signature without its
 * function. */
int luaopen_seqrt_api(lua_State *L);

#endif

-- counts.lua: instructions of a training step by compiler and Lua, as `make counts` wrote them: see count.lua.
return {
  ["gcc 12.2.0, Lua 5.4.4"] = {
    convnet = 6945860,
    gan = 6833526,
    lstm = 2856575,
    mlp = 2258501,
    written_out = 5410090,
  },
}

-- counts.lua: instructions of a training step by compiler and Lua; `make counts` wrote them, see count.lua.
return {
  ["gcc 12.2.0, Lua 5.4.4"] = {
    convnet = 7043290,
    gan = 7402526,
    lstm = 2920075,
    mlp = 2393471,
    written_out = 5403961,
  },
}

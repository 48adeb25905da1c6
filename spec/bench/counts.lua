-- counts.lua: instructions of a training step by compiler and Lua; `make counts` wrote them, see count.lua.
return {
  ["gcc 12.2.0, Lua 5.4.4"] = {
    convnet = 7130285,
    gan = 7403173,
    lstm = 3130547,
    mlp = 2393641,
    written_out = 4900158,
  },
}

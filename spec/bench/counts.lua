-- counts.lua: instructions of a training step by compiler and Lua; `make counts` wrote them, see count.lua.
return {
  ["gcc 12.2.0, Lua 5.4.4"] = {
    convnet = 7043121,
    gan = 7402134,
    lstm = 3130497,
    mlp = 2393638,
    written_out = 5395532,
  },
}

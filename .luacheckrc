-- .luacheckrc: luacheck's settings; `make lint` runs it.
std = "lua54"
max_line_length = 120
files["spec"].std = "+busted"
files["bindings/lua/repl.lua"].globals = {"_G"}

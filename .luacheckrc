-- .luacheckrc: luacheck's settings; `make lint` runs it.
std = "lua54"
max_line_length = 128
exclude_files = {"spec/golden/*.lua"} -- made by scripts, in long lines
files["spec"].std = "+busted"
files["bindings/lua"].read_globals = {"format"} -- bindings/bind/locale.c
files["bindings/lua/prompt/repl.lua"].globals = {"_G"}

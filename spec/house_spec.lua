-- house_spec.lua: the rules of the house, read off the sources; each rule is first shown to fail on a breach.
local support = require "spec.lib.support"

-- --- what a file is ------------------------------------------------------------------------------

-- A room and those it may look into: a runtime room, or a room of bindings/, which also looks into every runtime room.
local ROOMS = {
  base = {"base"},
  signature = {"base", "signature"},
  kernels = {"base", "kernels"},
  tensor = {"base", "kernels", "tensor"},
  autograd = {"base", "signature", "kernels", "tensor", "autograd"},
  layers = {"base", "signature", "kernels", "tensor", "autograd", "layers"},
  optim = {"base", "signature", "kernels", "tensor", "optim"},
  datasets = {"base", "kernels", "tensor", "datasets"},
  files = {"base", "kernels", "tensor", "files"},
  plot = {"base", "kernels", "tensor", "plot"},
  bind = {"bind"},
  module = {"bind", "module"},
  program = {"bind", "module", "program"},
}
local BINDINGS = {bind = true, module = true, program = true}

-- Which files may include a system header: patterns over paths.
local HEADERS = {
  {"^cblas%.h$", {"^runtime/kernels/blas%.c$"}},
  {"^png%.h$", {"^runtime/files/png%.c$"}},
  {"^cairo", {"^runtime/plot/"}},
  {"^jansson%.h$", {"^runtime/files/"}},
  {"^zlib%.h$", {"^runtime/base/", "^runtime/files/", "^runtime/datasets/"}},
  {"^pthread%.h$", {"^runtime/base/"}},
  {"^readline/", {"^bindings/program/repl%.c$"}},
  {"^lua%.h$", {"^bindings/"}},
  {"^lauxlib%.h$", {"^bindings/"}},
  {"^lualib%.h$", {"^bindings/"}},
  {"^setjmp%.h$", {"^runtime/files/png%.c$"}}, -- libpng reports errors that way
}

-- Which files may call a function of libc.
local CALLS = {
  {"printf fprintf vprintf vfprintf puts fputs putchar putc fputc perror", {"^bindings/", "^spec/"}},
  {"exit _exit _Exit quick_exit", {"^bindings/program/main%.c$"}},
  {"abort longjmp siglongjmp sigsetjmp", {}},
  {"setjmp", {"^runtime/files/png%.c$"}},
  {"malloc calloc realloc aligned_alloc posix_memalign", {"^runtime/base/mem%.c$"}},
  {"free strdup strndup", {"^runtime/base/mem%.c$", "^bindings/program/repl%.c$"}}, -- readline's lines are malloc's
  {"strtod strtof strtold atof vsnprintf", {"^runtime/base/text%.c$"}},
  {"fopen fdopen freopen open openat creat tmpfile", {"^runtime/base/", "^bindings/program/main%.c$"}},
}

local TOP = {Makefile = true, runtime = true, bindings = true, scripts = true, data = true, spec = true,
  ["README.md"] = true, ["CHANGELOG.md"] = true, LICENSE = true}

local function matches_any(path, patterns)
  for _, pattern in ipairs(patterns) do if path:find(pattern) then return true end end
  return false
end

local function contains(list, item)
  for _, each in ipairs(list) do if each == item then return true end end
  return false
end

local function room_of(path) return path:match "^runtime/(%w+)/" or path:match "^bindings/(%w+)/" end

-- C without comments and with empty strings, lines kept; each text once.
local bared = {}
local function bare(text)
  if bared[text] then return bared[text] end
  local function blank(s) return (s:gsub("[^\n]", " ")) end
  local out, i = {}, 1
  while i <= #text do
    local s = text:find("[\"'/]", i)
    if not s then
      out[#out + 1] = text:sub(i)
      break
    end
    out[#out + 1] = text:sub(i, s - 1)
    local e
    local two = text:sub(s, s + 1)
    if two == "/*" then
      e = select(2, text:find("*/", s + 2, true)) or #text
    elseif two == "//" then
      e = (text:find("\n", s, true) or #text + 1) - 1
    elseif two:sub(1, 1) == "/" then
      e = s
      out[#out + 1] = "/"
    else
      e = s + 1
      while e <= #text and text:sub(e, e) ~= two:sub(1, 1) do
        e = e + (text:sub(e, e) == "\\" and 2 or 1)
      end
    end
    if two:sub(1, 1) ~= "/" or two == "/*" or two == "//" then out[#out + 1] = blank(text:sub(s, e)) end
    i = e + 1
  end
  bared[text] = table.concat(out)
  return bared[text]
end

-- --- the rules: each returns a list of breaches ---------------------------------------------------

local rules = {}

function rules.includes(path, text)
  local found, room = {}, room_of(path)
  local function breach(name, why) found[#found + 1] = ("%s includes %s: %s"):format(path, name, why) end
  for name in text:gmatch '#%s*include%s*"([^"]+)"' do
    local to = name:match "^(%w+)/"
    local below = BINDINGS[room] and not BINDINGS[to]
    if to == "runtime" or to == "bindings" or not to and name ~= "seqrt.h" or name:find("..", 1, true) then
      breach(name, "name it from runtime/ or bindings/ down")
    elseif room and to and not below and not contains(ROOMS[room] or {}, to) then
      breach(name, room .. " may not look there")
    elseif path:find "^bindings/" and name:find "_priv%.h$" then
      breach(name, "bindings use public headers")
    elseif path == "runtime/seqrt.h" and name:find "_priv%.h$" then
      breach(name, "the umbrella holds public headers")
    end
  end
  for name in text:gmatch "#%s*include%s*<([^>]+)>" do
    for _, rule in ipairs(HEADERS) do
      if name:find(rule[1]) and not matches_any(path, rule[2]) then breach("<" .. name .. ">", "not in this file") end
    end
  end
  return found
end

function rules.calls(path, text)
  local found, code = {}, bare(text)
  for _, rule in ipairs(CALLS) do
    if not matches_any(path, rule[2]) then
      for name in rule[1]:gmatch "%S+" do
        if code:find("%f[%w_]" .. name .. "%s*%(") then
          found[#found + 1] = ("%s calls %s"):format(path, name)
        end
      end
    end
  end
  return found
end

-- Numbers have a point under every locale: C writes those with fractions by sq_format, Lua parts by format.
function rules.numbers(path, text)
  local found = {}
  local function breach(what) found[#found + 1] = ("%s: %s"):format(path, what) end
  if path:find "^bindings/lua/" then
    if text:find "%):format%(" or text:find "string%.format" then
      breach "format(...) keeps the point, string.format does not"
    end
  elseif path ~= "runtime/base/text.c" and matches_any(path, {"^runtime/", "^bindings/"}) then
    for name, from, to in bare(text):gmatch "%f[%w_]([%a_]+)%s*()%b()()" do
      local call = text:sub(from, to - 1)
      local libc = name:find "printf$" or name == "lua_pushfstring" or name == "luaL_error"
      if libc and call:find '"[^"]*%%[-+ #0]*[%d.*]*l?[aefgAEFG][^"]*"' then
        breach(name .. " follows the locale, sq_format does not")
      end
    end
  end
  return found
end

-- What cuts work or memory stands in limits.h, where the small build changes it.
function rules.limits(path, text)
  local found = {}
  local function look(name, value)
    for word in ("TILE BLOCK SLICES LANES COLUMNS WINDOW FEW BUFFER"):gmatch "%S+" do
      if ("_" .. name .. "_"):find("_" .. word .. "_", 1, true) then
        found[#found + 1] = ("%s: %s = %s cuts: it belongs into base/limits.h"):format(path, name, value)
      end
    end
  end
  if path == "runtime/base/limits.h" then return found end
  for name, value in bare(text):gmatch "%f[%w_]([%u][%u_]+) = (%d+)" do look(name, value) end
  for name, value in bare(text):gmatch "#%s*define ([%u][%u_]+) (%d+)" do look(name, value) end
  return found
end

-- A block of declarations (no blank line inside) has a comment before it or on one of its lines.
function rules.contracts(path, text)
  local found = {}
  if not path:find "^runtime/.*%.h$" or path:find "_priv%.h$" or path:find "_tmpl%.h$" or path:find "/stamp%.h$" then
    return found
  end
  local plain, lines, block, commented = bare(text), {}, nil, false
  for line in (text .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = line end
  local i = 0
  for line in (plain .. "\n\n"):gmatch "(.-)\n" do
    i = i + 1
    local source = lines[i] or ""
    if source:find "^%s*$" then
      if block and not commented then
        found[#found + 1] = ("%s:%d: no contract for %s"):format(path, block.line, block.name)
      end
      block, commented = nil, false
    else
      if line ~= source then commented = true end
      local name = line:find "^[%a_]" and not line:find "^#" and line:match "(sq_[%w_]+)%("
      if name and not block then block = {name = name, line = i} end
    end
  end
  return found
end

-- Arguments, inputs, gradients and what is kept go by name: a signature that changes moves the names with it.
function rules.named(path, text)
  local found = {}
  if not matches_any(path, {"^runtime/autograd/op_", "^runtime/layers/", "^runtime/optim/"}) then return found end
  local code = bare(text):gsub("sq_arg %w+%[%d+%]", "") -- room for some
  for _, pattern in ipairs {"%f[%w_]args?%[%d[^%]]*%]", "%->in%[%d[^%]]*%]", "%->dx%[%d[^%]]*%]", "%f[%w_]sq__%w+%([bc], %d"} do
    for number in code:gmatch(pattern) do found[#found + 1] = ("%s has a number for a name: %s"):format(path, number) end
  end
  return found
end

-- Of layers: arg[NAME] stands where the signatures of calls in that file have it, and sq_args_get(a, "name") is in one.
function rules.signed(path, text)
  local found = {}
  local function breach(...) found[#found + 1] = path .. ": " .. string.format(...) end
  if not path:find "^runtime/layers/.*%.c$" then return found end
  local at, calls = {}, {}
  for list in bare(text):gmatch "enum {([%u%d_, ]+)}" do
    local i = 0
    for name in list:gmatch "[%u%d_]+" do at[name], i = i, i + 1 end
  end
  for params in text:gmatch '"%((%w+: Tensor[^()]*)%) %->' do
    local names = {}
    for name in params:gmatch "(%w+): Tensor" do names[#names + 1] = name end
    calls[#calls + 1] = names
  end
  local code = bare(text):gsub("sq_arg arg%[[%w_]+%]", "") -- room for some
  for name in code:gmatch "%f[%w_]arg%[([%u%d_]+)%]" do
    local place, seen = at[name], false
    for _, names in ipairs(place and calls or {}) do
      local there = names[place + 1]
      seen = seen or there
      if there and there ~= name:lower() then breach("arg[%s] is %s", name, there) end
    end
    if not seen then breach("no call has arg[%s]", name) end
  end
  for name in text:gmatch 'sq_args_get%(a, "([%w_]+)"%)' do
    if not text:find("[\"( ]" .. name .. ": ") then breach("no signature has %s", name) end
  end
  return found
end

-- A kernel that takes more than eight arguments takes a struct with their names.
function rules.kernels(path, text)
  local found = {}
  if path ~= "runtime/kernels/kern.def" then return found end
  for name, args in text:gmatch "\nKERN%((%w[%w_]*), (%b())%)" do
    local n = select(2, args:gsub(",", "")) + 1
    if n > 8 then found[#found + 1] = ("kernel %s takes %d arguments"):format(name, n) end
  end
  return found
end

function rules.first_line(path, text)
  local name, first = path:match "[^/]+$", text:match "^[^\n]*"
  if first:sub(1, 2) == "#!" then first = text:match "\n([^\n]*)" or "" end
  local mark
  if name:find "%.[chd]e?f?$" then
    mark = "/* " .. name .. ": "
  elseif name:find "%.lua$" then
    mark = "-- " .. name .. ": "
  elseif name:find "%.sh$" or name:find "%.py$" then
    mark = "# " .. name .. ": "
  else
    return {}
  end
  if first:sub(1, #mark) == mark and #first > #mark + 8 then return {} end
  return {("%s: the first line should be '%s...'"):format(path, mark)}
end

-- A Lua part raises through api.fail, which finds the script's line; error(caught, 0) hands a caught value on.
function rules.parts_raise(path, text)
  local found, code = {}, text:gsub('"[^"\n]*"', '""'):gsub("%-%-[^\n]*", "")
  for call in code:gmatch '%f[%w_.:]error%s*[%("\'{][^\n]*' do
    if not call:find "^error%([%a_][%w_]*, 0%)" then
      found[#found + 1] = ("%s raises without api.fail: %s"):format(path, call)
    end
  end
  return found
end

-- The formatter leaves comments alone, so they are measured here: a line's length, and a banner on one line.
function rules.comments(path, text)
  local found, i = {}, 0
  if not path:find "%.[ch]$" then return found end
  for line in text:gmatch "([^\n]*)\n" do
    i = i + 1
    if utf8.len(line) and utf8.len(line) > 100 then found[#found + 1] = ("%s:%d: more than 100 columns"):format(path, i) end
  end
  for banner in text:gmatch "(/%* %-%-%-[^\n]*)\n %*[%- ]*/" do
    found[#found + 1] = ("%s: a banner ends on its line: %s"):format(path, banner)
  end
  return found
end

-- Lua without comments and with empty strings, lines kept; and its strings in single quotes.
local function bare_lua(text)
  local out, single, i = {}, {}, 1
  local function blank(s) return (s:gsub("[^\n]", " ")) end
  while i <= #text do
    local s = text:find("[\"'%-%[#]", i) or #text + 1
    local level = text:match("^%-?%-?%[(=*)%[", s)
    local comment = text:sub(s, s + 1) == "--" or s == 1 and text:sub(1, 2) == "#!"
    local quote = text:match("^[\"']", s)
    out[#out + 1] = text:sub(i, s - 1)
    local e = s
    if level and (comment or text:sub(s, s) == "[") then
      e = select(2, text:find("]" .. level .. "]", s, true)) or #text
    elseif comment then
      e = (text:find("\n", s, true) or #text + 1) - 1
    elseif quote then
      e = s + 1
      while e <= #text and text:sub(e, e) ~= quote do e = e + (text:sub(e, e) == "\\" and 2 or 1) end
      if quote == "'" then single[#single + 1] = text:sub(s, e) end
      out[#out + 1] = quote .. blank(text:sub(s + 1, e - 1)) .. quote
    end
    if comment then
      out[#out + 1] = blank(text:sub(s, e))
    elseif level then
      out[#out + 1] = '"' .. text:sub(s, e):gsub("[^\n]", "") .. '"'
    elseif not quote then
      out[#out + 1] = text:sub(s, e)
    end
    i = e + 1
  end
  return table.concat(out), single
end

-- The one layout of Lua: indents of 2 spaces, {a = 1} without blanks inside, a comma behind the last item where the brace
-- stands on its own line; a call with nothing but a string or a table: f "x", f {x}, with parentheses where it goes on:
-- f("x").y; double quotes, unless the string has some. Unused names, blanks at ends and lengths are luacheck's.
function rules.lua_layout(path, text)
  local code, single = bare_lua(text)
  local found = {}
  local function breach(at, what)
    found[#found + 1] = ("%s:%d: %s"):format(path, select(2, code:sub(1, at):gsub("\n", "\n")) + 1, what)
  end
  local function look(pattern, what) for at in code:gmatch("()" .. pattern) do breach(at, what) end end
  look("{ +[^%s]", "a blank behind {")
  look("[^%s] +}", "a blank before }")
  look("[%w_][{\"']", "no blank before { or a string")
  look("\t", "a tab")
  look(",[ ]*}", "a comma before } on its line")
  for at, last in code:gmatch "()([^%s])%s-\n *}" do
    if last ~= "," and last ~= "{" then breach(at, "no comma before } on the next line") end
  end
  for at, blanks in ("\n" .. code):gmatch "\n()( +)[^%s]" do
    if #blanks % 2 == 1 then breach(at - 1, "an odd indent") end
  end
  for at in code:gmatch "[%w_]()%(" do
    local args, goes_on = code:match("^(%b())%s*([^%s]?)", at)
    local alone = args and (args:find "^%([\"']%s*[\"']%)$" or args:find "^%(%b{}%)$")
    if alone and not goes_on:find "[.:%[({\"']" then breach(at, "parentheses around a lone string or table") end
  end
  for _, s in ipairs(single) do if not s:find '["\\]' then found[#found + 1] = path .. ": " .. s .. ": double quotes" end end
  return found
end

function rules.top(name)
  if TOP[name] or name:sub(1, 1) == "." then return {} end
  return {("'%s' is no name of the top level"):format(name)}
end

-- The text speaks of the project: no paths of one machine, no numbers of tickets.
function rules.workplace(path, text)
  local found = {}
  local forbidden = {"/wo" .. "rk/", "%.%./sha" .. "red", "[Ii]ss" .. "ue #?%d", "iss" .. "ues show", "worktr" .. "ee"}
  for _, pattern in ipairs(forbidden) do
    local at = text:find(pattern)
    local hit = at and text:sub(1, at - 1):match "[^\n]*$" .. text:match("[^\n]*", at)
    if hit then found[#found + 1] = ("%s speaks of a workplace: %s"):format(path, hit) end
  end
  return found
end

-- A function of the bindings calls its arguments by name: `enum { X, DIM };`, arg[DIM].
function rules.argument_names(path, text)
  local found = {}
  for use in bare(text):gmatch "%f[%w_]arg%s*%[%s*[1-9]%d*%s*%]" do found[#found + 1] = ("%s: %s"):format(path, use) end
  for use in bare(text):gmatch "%f[%w_]arg%s*%+%s*%d+" do found[#found + 1] = ("%s: %s"):format(path, use) end
  return found
end

-- What a header of bindings/ declares begins with bind_ in bind/, with the name of a .c file of its room, as that file's
-- do, or as what opens a table or a module; `stems` are those names.
function rules.public_names(path, text, stems)
  local found = {}
  local prefixes = {"luaopen_seqrt", "open_", table.unpack(stems)}
  if room_of(path) == "bind" then prefixes[#prefixes + 1] = "bind_" end
  for line in bare(text):gmatch "[^\n]+" do
    local name = line:find "^[%a_]" and not line:find "^typedef" and not line:find "^#" and line:match "([%a_][%w_]*)%("
    if name == "SQ_PRINTF" then name = nil end
    local known = not name
    for _, prefix in ipairs(prefixes) do known = known or name:sub(1, #prefix) == prefix end
    if not known then found[#found + 1] = ("%s declares %s: begin with the file's name"):format(path, name) end
  end
  return found
end

-- Class blocks of layers and optimizers are read side by side: the same slot has the same name.
local SLOTS = {init = true, reset = true, forward = true, describe = true, update = true, uses = true}

-- {[path] = text} -> the static functions that two files define: one name, one meaning.
local function statics_twice(sources)
  local first, found, paths = {}, {}, {}
  for path in pairs(sources) do paths[#paths + 1] = path end
  table.sort(paths)
  for _, path in ipairs(paths) do
    local seen = {}
    for head in ("\n" .. bare(sources[path])):gmatch "\nstatic ([^;{}=]-)%b()%s*{" do
      local name = head:match "([%a_][%w_]*)%s*$"
      if name and not SLOTS[name] and not seen[name] then
        seen[name] = true
        if first[name] then found[#found + 1] = ("%s and %s define %s"):format(first[name], path, name) end
        first[name] = first[name] or path
      end
    end
  end
  return found
end

-- --- what the pages say -----------------------------------------------------------------------------

local ROOM_NAMES = {"", "runtime/", "bindings/", "spec/", "scripts/"}

-- A file or folder that a page names: beside the page, at the top, below runtime/ or bindings/; a bare file name: anywhere.
local function is_there(path, name, all)
  local base = path:match "^.*/" or ""
  if support.exists(base .. name) then return true end
  for _, room in ipairs(ROOM_NAMES) do if support.exists(room .. name) then return true end end
  return not name:find "/" and all.names[name] ~= nil
end

-- What is made, downloaded or only meant: no page promises that it stands in the tree.
local MADE = {"^build/", "^runs/", "^data/%w+", "^mnist/", "^fashion%-mnist/", "^/usr/", "^https?:", "^#", "[<>*$ ]",
  "^samples/"}

-- Links, pictures, and `words` that look like a path or like one of the runtime's functions.
function rules.pages(path, text, all)
  local found, base = {}, path:match "^.*/" or ""
  local prose = ("\n" .. text):gsub("\n```.-\n```", "\n")
  for target in prose:gmatch "%]%(([^)]+)%)" do
    local file = target:gsub("#.*$", "")
    if file ~= "" and not file:find "^https?:" and not support.exists(base .. file) then
      found[#found + 1] = ("%s links to %s, which is not there"):format(path, target)
    end
  end
  for name in prose:gmatch "`([^`\n]+)`" do
    local looks = (name:find "^[%w_./-]+%.[chdm]e?[fd]?$" or name:find "^[%w_./-]+%.lua$" or name:find "^[%w_./-]+%.py$"
      or name:find "^[%w_./-]+%.sh$" or name:find "^[%w_.-]+/[%w_./-]*$")
    if looks and not matches_any(name, MADE) and not is_there(path, name:gsub("/$", ""), all) then
      found[#found + 1] = ("%s names `%s`, which is not there"):format(path, name)
    end
    local fn = name:match "^(sq_[%w_]+)" or name:match "^(bind_[%w_]+)"
    if fn and not name:find "[.*]" and not all.words[fn] then
      found[#found + 1] = ("%s names `%s`, which no source has"):format(path, name)
    end
  end
  return found
end

-- --- circles ---------------------------------------------------------------------------------------

-- The ways through a graph {[name] = {[name] = why}} that lead back, each named once, by a walk in depth.
local function circles(graph)
  local found, state, path = {}, {}, {}
  local function walk(name)
    state[name] = "open"
    path[#path + 1] = name
    local nexts = {}
    for to in pairs(graph[name] or {}) do nexts[#nexts + 1] = to end
    table.sort(nexts)
    for _, to in ipairs(nexts) do
      if state[to] == "open" then
        local from = #path
        while path[from] ~= to do from = from - 1 end
        local steps = {}
        for i = from, #path do
          local next_one = path[i + 1] or to
          steps[#steps + 1] = ("%s (%s)"):format(path[i], graph[path[i]][next_one])
        end
        found[#found + 1] = table.concat(steps, " -> ") .. " -> " .. to
      elseif not state[to] then
        walk(to)
      end
    end
    path[#path] = nil
    state[name] = "done"
  end
  local names = {}
  for name in pairs(graph) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do if not state[name] then walk(name) end end
  return found
end

-- {[path] = text} -> which file includes which.
local function include_graph(sources)
  local graph = {}
  for path, text in pairs(sources) do
    graph[path] = {}
    for name in text:gmatch '#%s*include%s*"([^"]+)"' do
      for _, top in ipairs {"runtime/", "bindings/"} do
        if sources[top .. name] and top .. name ~= path then graph[path][top .. name] = "includes" end
      end
    end
  end
  return graph
end

-- {[path] = text} -> which .c file uses a name that one other .c file alone defines. Names that the preprocessor
-- pastes together are not seen.
local function name_graph(sources)
  local owner, code, graph = {}, {}, {}
  for path, text in pairs(sources) do
    if path:find "%.c$" then
      code[path] = bare(text):gsub("\n%s*#[^\n]*", "\n")
      for line in code[path]:gmatch "[^\n]+" do
        local name = line:find "^[%a_]" and not line:find "^static" and not line:find "^typedef" and not line:find "^extern"
          and (line:match "([%a_][%w_]*)%(.*[^;]$" or line:match "^[%w_%s%*]-([%a_][%w_]*)%s*[=%[;,]")
        if name then owner[name] = (owner[name] == nil or owner[name] == path) and path or false end
      end
    end
  end
  for path, text in pairs(code) do
    graph[path] = {}
    for name in text:gmatch "[%a_][%w_]*" do
      if owner[name] and owner[name] ~= path then graph[path][owner[name]] = name end
    end
  end
  return graph
end

-- --- reading the house -----------------------------------------------------------------------------

local function lines_of(command)
  local out, pipe = {}, assert(io.popen(command))
  for line in pipe:lines() do out[#out + 1] = line end
  pipe:close()
  return out
end

-- Files as git knows them, else as they lie there.
local in_git = #lines_of "git ls-files 2>/dev/null" > 0
local files = lines_of(in_git and "git ls-files --cached --others --exclude-standard"
  or "find Makefile README.md LICENSE runtime bindings scripts spec -type f")

local function check(rule, wanted)
  local found = {}
  for _, path in ipairs(files) do
    if wanted(path) and support.exists(path) then
      for _, breach in ipairs(rule(path, support.read(path))) do found[#found + 1] = breach end
    end
  end
  assert.same({}, found)
end

-- Of the house: what spec/ builds is outside, and may print and end as it likes.
local function is_c(path) return (path:find "%.[ch]$" or path:find "%.def$") and not path:find "^spec/" end
local function is_text(path) return not matches_any(path, {"%.png$", "^spec/golden/", "%.safetensors$"}) end

local function fails(rule, path, text, expected)
  local found = rule(path, text)
  assert.equal(1, #found, path .. ": " .. text)
  assert.truthy(found[1]:find(expected, 1, true), found[1])
end

local function passes(rule, path, text) assert.same({}, rule(path, text)) end

describe("the house", function()
  it("looks only down", function()
    fails(rules.includes, "runtime/base/mem.c", '#include "tensor/tensor.h"', "base may not look there")
    fails(rules.includes, "runtime/signature/a.c", '#include "tensor/tensor.h"', "signature may not look there")
    fails(rules.includes, "runtime/kernels/a.c", '#  include "autograd/op.h"', "kernels may not look there")
    fails(rules.includes, "runtime/kernels/a.c", '#include "signature/signature.h"', "kernels may not look there")
    fails(rules.includes, "runtime/optim/a.c", '#include "autograd/tape.h"', "optim may not look there")
    fails(rules.includes, "runtime/optim/a.c", '#include "layers/linear.h"', "optim may not look there")
    fails(rules.includes, "runtime/plot/a.c", '#include "files/png.h"', "plot may not look there")
    fails(rules.includes, "runtime/files/a.c", '#include "bind/bind.h"', "files may not look there")
    fails(rules.includes, "bindings/bind/a.c", '#include "module/open.h"', "bind may not look there")
    fails(rules.includes, "bindings/module/a.c", '#include "program/pause.h"', "module may not look there")
    fails(rules.includes, "runtime/tensor/a.c", '#include "../base/mem.h"', "name it from runtime/ or bindings/ down")
    fails(rules.includes, "bindings/module/tensor.c", '#include "autograd/tape_priv.h"', "public headers")
    fails(rules.includes, "runtime/seqrt.h", '#include "autograd/tape_priv.h"', "public headers")
    passes(rules.includes, "runtime/layers/a.c", '#include "autograd/tape.h"\n#include "layers/layer.h"')
    passes(rules.includes, "bindings/module/a.c", '#include "tensor/tensor.h"\n#include "bind/bind.h"')
    check(rules.includes, is_c)
  end)

  it("has no circles", function()
    local function circle(graph_of, sources, expected)
      local found = circles(graph_of(sources))
      assert.equal(expected and 1 or 0, #found, table.concat(found, "\n"))
      if expected then assert.truthy(found[1]:find(expected, 1, true), found[1]) end
    end
    circle(include_graph, {["runtime/a/a.h"] = '#include "b/b.h"', ["runtime/b/b.h"] = '#include "a/a.h"'}, "runtime/a/a.h")
    circle(include_graph, {["runtime/a/a.h"] = '#include "b/b.h"', ["runtime/b/b.h"] = "int sq_b(void);"})
    local a, b = "int sq_a(void) {\n  return sq_b();\n}\n", "int sq_b(void) {\n  return 1;\n}\n"
    circle(name_graph, {["runtime/a/a.c"] = a, ["runtime/b/b.c"] = b})
    circle(name_graph, {["runtime/a/a.c"] = a, ["runtime/b/b.c"] = b:gsub("1", "sq_a()")}, "(sq_b)")
    circle(name_graph, {["runtime/a/a.c"] = a .. "int sq_x;\n", ["runtime/b/b.c"] = b:gsub("1", "sq_x")}, "(sq_x)")
    local sources = {}
    for _, path in ipairs(files) do
      if is_c(path) and support.exists(path) then sources[path] = support.read(path) end
    end
    assert.same({}, circles(include_graph(sources)))
    assert.same({}, circles(name_graph(sources)))
  end)

  it("calls the arguments of its functions in C by name", function()
    fails(rules.argument_names, "bindings/module/a.c", "int n = arg[1].integer;", "arg[1]")
    fails(rules.argument_names, "bindings/module/a.c", "read_style(arg + 3);", "arg + 3")
    passes(rules.argument_names, "bindings/module/a.c", "int n = arg[DIM].integer, m = arg[0].integer; /* arg[2] */")
    check(rules.argument_names, function(path) return path:find "^bindings/module/" or path:find "^bindings/bind/" end)
  end)

  it("names what is public in bindings by its file", function()
    local function named(path, text) return rules.public_names(path, text, {"pause_", "repl_"}) end
    fails(named, "bindings/program/a.h", "int sq_pause_seen(void);\n", "declares sq_pause_seen")
    fails(named, "bindings/module/a.h", "void bind_it(lua_State *L);\n", "declares bind_it")
    passes(named, "bindings/program/pause.h", "int pause_seen(void);\ntypedef int act(int n);\nint luaopen_seqrt_a(void *L);\n")
    passes(named, "bindings/bind/a.h", "int bind_error(lua_State *L, ...) SQ_PRINTF(2, 3);\n")
    local stems = {}
    for _, path in ipairs(files) do
      local room, stem = path:match "^bindings/(%w+)/(%w+)[%w_]*%.c$"
      if room then stems[room] = stems[room] or {}; table.insert(stems[room], stem .. "_") end
    end
    check(function(path, text) return rules.public_names(path, text, stems[room_of(path)]) end,
      function(path) return path:find "^bindings/%w+/[%w_]+%.h$" end)
  end)

  it("has one static function of a name", function()
    local a, b = "static int f(int x) {\n  return x;\n}\n", "static sq_status SQ_X f(\n    int y) {\n}\n"
    assert.same({"runtime/a/a.c and runtime/a/b.c define f"}, statics_twice {["runtime/a/a.c"] = a, ["runtime/a/b.c"] = b})
    assert.same({}, statics_twice {["runtime/a/a.c"] = a .. a, ["runtime/b/c.c"] = "static int f(int);"})
    assert.same({}, statics_twice {["runtime/a/a.c"] = a:gsub("f", "init"), ["runtime/a/b.c"] = b:gsub("f", "init")})
    local sources = {}
    for _, path in ipairs(files) do
      if path:find "%.c$" and room_of(path) and support.exists(path) then sources[path] = support.read(path) end
    end
    assert.same({}, statics_twice(sources))
  end)

  it("keeps each library behind its door", function()
    fails(rules.includes, "runtime/kernels/elem.c", "#include <cblas.h>", "<cblas.h>")
    fails(rules.includes, "runtime/plot/figure.c", "#include <png.h>", "<png.h>")
    fails(rules.includes, "runtime/files/png.c", "#include <cairo/cairo.h>", "<cairo/cairo.h>")
    fails(rules.includes, "runtime/base/mem.c", "#include <lua.h>", "<lua.h>")
    fails(rules.includes, "bindings/program/main.c", "#include <setjmp.h>", "<setjmp.h>")
    fails(rules.includes, "bindings/program/main.c", "#include <readline/readline.h>", "<readline/readline.h>")
    passes(rules.includes, "runtime/kernels/blas.c", "#include <cblas.h>")
  end)

  it("prints, ends, allocates and opens where it may", function()
    fails(rules.calls, "runtime/tensor/a.c", 'void f(void) { printf("x"); }', "calls printf")
    fails(rules.calls, "runtime/base/status.c", "void f(void) { exit (1); }", "calls exit")
    fails(rules.calls, "bindings/module/tensor.c", "void f(void) { abort(); }", "calls abort")
    fails(rules.calls, "runtime/layers/a.c", "int *p = malloc(4);", "calls malloc")
    fails(rules.calls, "bindings/module/tensor.c", "free(p);", "calls free")
    fails(rules.calls, "runtime/files/npy.c", 'FILE *f = fopen("x", "r");', "calls fopen")
    passes(rules.calls, "runtime/tensor/a.c", '/* printf( */ const char *s = "exit(1)"; sq_free(p);')
    passes(rules.calls, "runtime/tensor/a.c", "int a = b / c; sq_exit(1); // malloc(3)\n")
    passes(rules.calls, "runtime/base/mem.c", "free(p);")
    check(rules.calls, is_c)
  end)

  it("writes numbers with a point", function()
    fails(rules.numbers, "runtime/layers/a.c", 'f(1); snprintf(buf, n, "%s=%.3g", name, x);', "snprintf follows the locale")
    fails(rules.numbers, "bindings/module/a.c", 'lua_pushfstring(L, "lr=%f", x);', "lua_pushfstring follows")
    fails(rules.calls, "runtime/signature/signature.c", "x = strtod(text, &end);", "calls strtod")
    fails(rules.numbers, "bindings/lua/run/a.lua", 'local s = ("%g"):format(x)', "format(...) keeps the point")
    passes(rules.numbers, "runtime/layers/a.c", 'sq_format(buf, n, "%g", x); snprintf(buf, n, "%d%%", i); f("%g");')
    passes(rules.numbers, "bindings/lua/run/a.lua", 'local s = format("%g", x)')
    check(rules.numbers, function(path) return is_c(path) or path:find "%.lua$" end)
    passes(rules.calls, "runtime/base/text.c", "x = strtod(t, &e);")
  end)

  it("keeps what cuts work or memory in one header", function()
    fails(rules.limits, "runtime/tensor/a.c", "enum { TILE = 16384, MAX_IN = 4 };", "TILE = 16384 cuts")
    fails(rules.limits, "bindings/bind/a.h", "#define BIND_FEW 64\n", "BIND_FEW = 64 cuts")
    passes(rules.limits, "runtime/tensor/a.c", "int64_t tiles = n / SQ_TILE; /* TILE = 5 */")
    check(rules.limits, is_c)
  end)

  it("calls arguments by name", function()
    fails(rules.named, "runtime/autograd/op_a.c", "int64_t dim = c->arg[1].integer;", "has a number for a name: arg[1]")
    fails(rules.named, "runtime/autograd/op_a.c", "sq_tensor *w = c->in[1];", "has a number for a name: ->in[1]")
    fails(rules.named, "runtime/autograd/op_a.c", "b->dx[2 + i] = NULL;", "has a number for a name: ->dx[2 + i]")
    fails(rules.named, "runtime/autograd/op_a.c", "if (!sq__needs(b, 3)) return SQ_OK;", "for a name: sq__needs(b, 3")
    fails(rules.named, "runtime/layers/a.c", "self->in = arg[0].integer;", "has a number for a name: arg[0]")
    fails(rules.named, "runtime/optim/a.c", "h[LR] = arg[1 + LR].number;", "has a number for a name: arg[1 + LR]")
    passes(rules.named, "runtime/autograd/op_a.c", "sq_arg args[9] = {0}; b->dx[IN_X] = sq__saved(b, INDEX); y = c->in[k];")
    check(rules.named, is_c)
    local call = 'enum { X, H };\n.call = "(x: Tensor, h: Tensor? = nil) -> Tensor",\n'
    fails(rules.signed, "runtime/layers/a.c", call:gsub("x:", "y:") .. "f(arg[X], arg[H]);", "arg[X] is y")
    fails(rules.signed, "runtime/layers/a.c", call .. "enum { C };\nf(arg[C]);", "arg[C] is x")
    fails(rules.signed, "runtime/layers/a.c", call .. "f(arg[Z]);", "no call has arg[Z]")
    fails(rules.signed, "runtime/layers/a.c", '"(size: int) -> A" sq_args_get(a, "bias")->flag;', "no signature has bias")
    passes(rules.signed, "runtime/layers/a.c", call .. '"(size: int) -> A" f(arg[X], arg[H], sq_args_get(a, "size"));')
    check(rules.signed, is_c)
  end)

  it("calls no kernel with a row of arguments", function()
    local nine = "\nKERN(far, (int a, int b, int c, int d, int e, int f, int g, int h, int i))"
    fails(rules.kernels, "runtime/kernels/kern.def", nine, "kernel far takes 9 arguments")
    passes(rules.kernels, "runtime/kernels/kern.def", (nine:gsub(", int i", "")))
    check(rules.kernels, is_c)
  end)

  it("gives every public declaration its contract", function()
    fails(rules.contracts, "runtime/base/a.h", "/* a.h: a */\n\nint sq_a(void);\n", "no contract for sq_a")
    fails(rules.contracts, "runtime/base/a.h", "/* A. */\nint sq_a(void);\n\nsq_status sq_b(int x,\n  int y);", "sq_b")
    passes(rules.contracts, "runtime/base/a.h", "/* Both. */\nint sq_a(void);\nint sq_b(void);\n")
    passes(rules.contracts, "runtime/base/a.h", "int sq_a(void); /* One. */\n\n#define SQ_X(a) sq_b(a)\n")
    check(rules.contracts, is_c)
  end)

  it("raises in Lua parts with the script's line", function()
    fails(rules.parts_raise, "bindings/lua/a.lua", 'if x then error("no", 2) end', "without api.fail")
    fails(rules.parts_raise, "bindings/lua/a.lua", 'error "no"', "without api.fail")
    fails(rules.parts_raise, "bindings/lua/a.lua", "error(text:format(x), 0)", "without api.fail")
    passes(rules.parts_raise, "bindings/lua/a.lua", 'api.fail("[a] no") -- an error("x")\nlocal t = {error = "error (x)"}')
    passes(rules.parts_raise, "bindings/lua/a.lua", "if not ok then error(why, 0) end")
    check(rules.parts_raise, function(path) return path:find "^bindings/lua/" end)
  end)

  it("keeps comments within the page", function()
    fails(rules.comments, "runtime/base/a.c", "/* " .. ("x"):rep(100) .. " */\n", "more than 100 columns")
    fails(rules.comments, "runtime/base/a.c", "/* --- reading ---------\n */\n", "a banner ends on its line")
    passes(rules.comments, "runtime/base/a.c", "/* --- reading --------- */\n")
    check(rules.comments, is_c)
  end)

  it("writes Lua in one layout", function()
    local function wrong(text, expected) fails(rules.lua_layout, "scripts/a.lua", text, expected) end
    wrong("f { a = 1}", "blank behind {")
    wrong("local t = {a = 1 }", "blank before }")
    wrong("local t = f{1}", "no blank before {")
    wrong("local t = f\"x\"", "no blank before {")
    wrong("local t = {\n  1\n}", "no comma before }")
    wrong("local t = {1,}", "a comma before }")
    wrong("if x then\n   f()\nend", "a.lua:2: an odd indent")
    wrong("f(\"x\")\ng()", "lone string")
    wrong("g()\nf({1, {2}})", "a.lua:2: parentheses")
    wrong("local s = 'x'", "double quotes")
    wrong("if x then\n\tf()\nend", "a tab")
    passes(rules.lua_layout, "scripts/a.lua", "f {a = {1}} f \"x\" f({1}, 2) f(\"x\").y = f({1}):g() -- f{ 1 }\n"
      .. "local t = { -- one\n  1, -- two\n}\nlocal s, q = '\"', [[\n   f{ 1 }]]\nf(\"a\\\"\" .. {}[1]) --[[ f{ 1 } ]]\n")
    check(rules.lua_layout, function(path)
      return path:find "%.lua$" and (not path:find "^spec/golden/" or path:find "cases%.lua$")
    end)
  end)

  it("says in the first line of a file what it is", function()
    fails(rules.first_line, "runtime/base/a.c", '#include "a.h"\n', "'/* a.c: ...'")
    fails(rules.first_line, "runtime/base/a.c", "/* b.c: another one's. */\n", "'/* a.c: ...'")
    fails(rules.first_line, "bindings/lua/run/a.lua", "local x = 1\n", "'-- a.lua: ...'")
    fails(rules.first_line, "data/get.sh", "#!/bin/sh\nset -e\n", "'# get.sh: ...'")
    fails(rules.first_line, "runtime/kernels/k.def", "K(x)\n", "'/* k.def: ...'")
    passes(rules.first_line, "data/get.sh", "#!/bin/sh\n# get.sh: fetches the sets.\n")
    check(rules.first_line, function() return true end)
  end)

  it("has nothing else at the top level", function()
    fails(rules.top, "docs", "", "'docs'")
    local found, seen = {}, {}
    for _, path in ipairs(files) do
      local name = path:match "^[^/]+"
      if not seen[name] and support.exists(name) then
        seen[name] = true
        for _, breach in ipairs(rules.top(name)) do found[#found + 1] = breach end
      end
    end
    assert.same({}, found)
  end)

  it("has pages whose links and names lead somewhere", function()
    local all = {names = {}, words = {}}
    for _, path in ipairs(files) do
      all.names[path:match "[^/]+$"] = true
      if path:find "^runtime/" or path:find "^bindings/" then
        for word in (support.exists(path) and support.read(path) or ""):gmatch "%f[%w_][sb][qi]n?d?_[%w_]+" do
          all.words[word] = true
        end
      end
    end
    local function pages(path, text) return rules.pages(path, text, all) end
    fails(pages, "runtime/README.md", "see [this](no/such.md)", "links to no/such.md")
    fails(pages, "runtime/README.md", "see `base/nothing.c`", "names `base/nothing.c`")
    fails(pages, "bindings/README.md", "the folder `lua/none/`", "names `lua/none/`")
    fails(pages, "README.md", "call `sq_nothing_at_all`", "names `sq_nothing_at_all`")
    passes(pages, "runtime/README.md", "`base/mem.c`, `mem.c`, `sq_alloc`, [top](../README.md#x), `build/seqrt`, `x:sum()`")
    check(pages, function(path) return path:find "%.md$" end)
    for _, folder in ipairs {"runtime", "bindings", "scripts", "data", "spec"} do
      assert.is_true(support.exists(folder .. "/README.md"), folder .. " has no README.md")
    end
  end)

  it("speaks of the project alone", function()
    fails(rules.workplace, "README.md", "see /wo" .. "rk/main", "speaks of a workplace")
    fails(rules.workplace, "README.md", "as iss" .. "ue 12 says", "speaks of a workplace")
    passes(rules.workplace, "README.md", "the network is shared")
    check(rules.workplace, is_text)
  end)
end)

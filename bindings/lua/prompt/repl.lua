-- repl.lua: the prompt: reads a chunk, runs it, prints what it gave; also inside a paused script and after an error.
local pretty = require "seqrt.pretty"

local repl = {}

local PRESETS = {"nn", "optim", "data", "image", "plot"}

-- line: C's line reader; history: a path or nil; frames: the stack that is looked at, innermost first, or nil; at: the
-- one chosen; paused: it is a live one; text: the last chunk; env: where chunks run; preset: names that are always there.
local session = {preset = {}, at = 1}

local function sys() return require "seqrt.sys" end
local function warn(text) io.stderr:write(text, "\n") end

-- --- frames -----------------------------------------------------------------------------------------------

local function describe_frame(info)
  local what = info.what == "main" and "the main chunk"
    or info.name and info.namewhat .. " '" .. info.name .. "'"
    or format("function <%s:%d>", info.short_src, info.linedefined)
  return format("%s:%d: in %s", info.short_src, info.currentline, what)
end

-- The module's own Lua parts: a user's code is elsewhere.
local function is_ours(frame) return frame.source:sub(1, 7) == "=seqrt:" end

-- Visits name, value, set(value) of the locals of a live frame: a later one hides an earlier one of the same name.
local function each_live_local(thread, level, visit)
  local n = 1
  while true do
    local name, value = debug.getlocal(thread, level, n)
    if not name then break end
    local i = n
    if name:sub(1, 1) ~= "(" then visit(name, value, function(new) debug.setlocal(thread, level, i, new) end) end
    n = n + 1
  end
end

local function each_upvalue(fn, visit)
  local n = 1
  while true do
    local name, value = debug.getupvalue(fn, n)
    if not name then break end
    local i = n
    if name ~= "" then visit(name, value, function(new) debug.setupvalue(fn, i, new) end) end
    n = n + 1
  end
end

-- The frames of a stack from a level on. keep: their locals are copied, for a stack that will be gone.
local function read_frames(thread, level, keep, stop_at)
  local frames = {}
  while true do
    local info = debug.getinfo(thread, level, "Slnf")
    if not info or info.func == stop_at then break end
    if info.what ~= "C" then
      local at, kept = level, {}
      local frame = {func = info.func, source = info.source, line = info.currentline, text = describe_frame(info),
        main = info.what == "main"}
      if keep then
        each_live_local(thread, at, function(name, value) kept[#kept + 1] = {name, value} end)
        function frame.each_local(visit)
          for _, pair in ipairs(kept) do visit(pair[1], pair[2], function(new) pair[2] = new end) end
        end
      else
        function frame.each_local(visit) each_live_local(thread, at, visit) end
      end
      frames[#frames + 1] = frame
    end
    level = level + 1
    if #frames >= 1000 then break end
  end
  return frames
end

-- found, value, set, kind of a name in a frame.
local function look_up(frame, wanted)
  local found, value, set
  local function visit(name, v, s)
    if name == wanted then found, value, set = true, v, s end
  end
  frame.each_local(visit)
  if found then return true, value, set, "local" end
  each_upvalue(frame.func, visit)
  if found then return true, value, set, "upvalue" end
  return false
end

-- The same in the frames that called it: a name that the chosen frame does not know at all may be a local there. Also
-- gives that frame.
local function look_up_outside(wanted)
  for i = session.at + 1, #session.frames do
    local frame = session.frames[i]
    local found, value, set, kind = look_up(frame, wanted)
    if found and not is_ours(frame) then return true, value, set, kind, frame end
  end
  return false
end

local function globals_of(frame)
  local found, value = look_up(frame, "_ENV")
  return found and value or _G
end

-- The variables that a chunk at the prompt sees inside a frame: its locals, upvalues, globals, then the presets.
local frame_env = setmetatable({}, {
  __index = function(_, name)
    local frame = session.frames and session.frames[session.at]
    if not frame then return _G[name] end
    local found, value = look_up(frame, name)
    if found then return value end
    value = globals_of(frame)[name]
    if value == nil then value = session.preset[name] end
    if value == nil then value = select(2, look_up_outside(name)) end
    return value
  end,
  __newindex = function(_, name, value)
    local frame = session.frames and session.frames[session.at]
    if not frame then
      _G[name] = value
      return
    end
    local found, _, set, kind = look_up(frame, name)
    local where = ""
    if not found and globals_of(frame)[name] == nil then
      local outer
      found, _, set, kind, outer = look_up_outside(name)
      where = outer and " of " .. outer.text:match ": in (.*)$" or ""
    end
    if found then set(value) else globals_of(frame)[name] = value end
    print(format("(%s %s%s)", found and kind or "global", name, where))
  end,
})

local function get_global(name) return session.env[name] end

-- Calls visit for every name that can be used at the prompt.
local function each_name(visit)
  local frame = session.frames and session.env == frame_env and session.frames[session.at]
  if frame then
    frame.each_local(visit)
    each_upvalue(frame.func, visit)
    for name in pairs(session.preset) do visit(name) end
  end
  for name in pairs(frame and globals_of(frame) or _G) do visit(name) end
end

-- --- errors -----------------------------------------------------------------------------------------------

-- A line of a frame's source with the one before it, if the source can be had.
local function source_lines(frame)
  local text
  if frame.source == "=stdin" then
    text = frame.main and session.text -- a function may come from an earlier chunk
  elseif frame.source:sub(1, 1) == "@" then
    text = sys().read(frame.source:sub(2))
  end
  if not text or frame.line < 1 then return "" end
  local n, out = 0, {}
  for line in (text .. "\n"):gmatch "(.-)\n" do
    n = n + 1
    if n == frame.line or n == frame.line - 1 then
      out[#out + 1] = format("\n  %4d %s %s", n, n == frame.line and ">" or "|", line)
    end
    if n == frame.line then return table.concat(out) end
  end
  return ""
end

local function first_foreign(frames)
  for i, frame in ipairs(frames) do if not is_ours(frame) then return i end end
  return 1
end

local function trace(frames)
  local out, foreign = {}, {}
  for _, frame in ipairs(frames) do if not is_ours(frame) then foreign[#foreign + 1] = frame end end
  if #foreign < 2 then return "" end
  for i, frame in ipairs(foreign) do
    if i <= 8 or i > #foreign - 4 then
      out[#out + 1] = "\n  " .. frame.text
    elseif i == 9 then
      out[#out + 1] = format("\n  ... (%d calls not shown)", #foreign - 12)
    end
  end
  return table.concat(out)
end

local function message_of(value)
  if type(value) == "string" then return value end
  local meta = debug.getmetatable(value)
  if type(meta) == "table" and meta.__tostring then return tostring(value) end
  return format("(error object is a %s value)", type(value))
end

-- The frames from a level on of the coroutine that runs, read from another one: there levels count from the caller of
-- this (1), whatever reads them.
local wrap, running = coroutine.wrap, coroutine.running
local function read_own_frames(level, stop_at)
  local frames = wrap(read_frames)(running(), level, true, stop_at)
  return frames
end

-- Keeps the frames of the error for locals, up and down; returns its text with source lines and calls.
local function explain(value, level, stop_at)
  local frames = read_own_frames(level, stop_at)
  session.dead = frames
  local frame = frames[first_foreign(frames)]
  return message_of(value) .. (frame and source_lines(frame) or "") .. trace(frames)
end

-- --- running a chunk ----------------------------------------------------------------------------------------

-- A chunk that would go on: Lua's message then ends in <eof>.
local function incomplete(message) return type(message) == "string" and message:sub(-5) == "<eof>" end

-- The function of a chunk that may be an expression; nil and why.
local function compile(text)
  local chunk = load("return " .. text, "=stdin", "t", session.env)
  if chunk then return chunk end
  return load(text, "=stdin", "t", session.env)
end

local evaluate

-- Levels: 0 is wrap's function, then read_own_frames, explain, on_error, and 4 what raised.
local function on_error(value)
  local text = explain(value, 4, evaluate)
  return text
end

-- xpcall's results, as a frame at which a traceback ends.
function evaluate(chunk) return table.pack(xpcall(chunk, on_error)) end

local function show_results(results)
  local texts = {}
  for i = 2, results.n do
    local ok, text = pcall(pretty, results[i])
    texts[i - 1] = ok and text or tostring(text)
  end
  local ok, message = pcall(print, table.unpack(texts, 1, results.n - 1))
  if not ok then warn(format("error calling 'print' (%s)", message)) end
end

local function keep_last(value)
  session.preset._ = value
  if session.env == _G then _G._ = value end
end

local function run_chunk(text, chunk)
  session.text = text
  local results = evaluate(chunk)
  if not results[1] then
    warn(results[2])
  elseif results.n > 1 then
    keep_last(results[2])
    if not text:find ";%s*$" then show_results(results) end
  end
end

-- --- commands -----------------------------------------------------------------------------------------------

local function frame_now() return session.frames[session.at] end

local function show_frame() print(frame_now().text .. source_lines(frame_now())) end

local function move_frame(by)
  local to = session.at + by
  while session.frames[to] and is_ours(session.frames[to]) do to = to + by end
  if not session.frames[to] then
    print(by > 0 and "this is the outermost frame" or "this is the innermost frame")
    return
  end
  session.at = to
  show_frame()
end

local function show_variables(title, each)
  local list, seen = {}, {}
  each(function(name, value)
    if name == "_ENV" then return end
    if not seen[name] then list[#list + 1] = name end
    seen[name] = {value}
  end)
  for _, name in ipairs(list) do
    local text = pretty({seen[name][1]}):gsub("^{%s*", ""):gsub("%s*}$", "")
    print(format("  %-7s %s = %s", title, name, text))
  end
  return #list
end

-- What sq.on_stop registered saves now; a checkpoint at its next safe point, which `what` ("save" or "quit") says to the
-- script. True when that is yet to come.
local function save_script(what)
  local stop = require "seqrt.stop"
  local later = stop.defer(what)
  local count, failures = stop.save()
  for _, text in ipairs(failures) do warn("save: " .. text) end
  if later then
    print(what == "save" and "the checkpoint will be saved at the end of this step: cont"
      or "going on to the end of this step, to save the checkpoint")
  elseif count == 0 then
    print "nothing was saved: the script has set no checkpoint (sq.on_stop)"
  elseif #failures == 0 then
    print "saved"
  end
  return later
end

-- Commands that look at frames; each gets nothing and returns nil, or what the prompt's caller is to do.
local looking = {
  where = function()
    for i, frame in ipairs(session.frames) do
      if not is_ours(frame) then print((i == session.at and "* " or "  ") .. frame.text) end
    end
  end,
  locals = function()
    local n = show_variables("local", frame_now().each_local)
    n = n + show_variables("upvalue", function(visit) each_upvalue(frame_now().func, visit) end)
    if n == 0 then print "no locals here" end
  end,
  up = function() move_frame(1) end,
  down = function() move_frame(-1) end,
}

-- Those that end a pause.
local ending = {
  cont = function() return "cont" end,
  step = function() return "step" end,
  abort = function() return "abort" end,
  save = function() save_script "save" end,
  quit = function()
    if save_script "quit" then return "cont" end
    io.stdout:flush()
    os.exit(130)
  end,
}

local SHORT = {c = "cont", s = "step", q = "quit", w = "where", bt = "where", l = "locals", u = "up", d = "down"}

-- The command that a line is, or nil: ":name", or the bare name where no variable has it.
local function command_of(text)
  local colon, name = text:match "^%s*(:?)(%a+)%s*$"
  if not name then return nil end
  local full = looking[name] and name or ending[name] and name or SHORT[name]
  if not full then return nil end
  local known = session.frames and looking[full] or session.paused and ending[full]
  if colon == ":" then
    if not known and session.dead and looking[full] then -- the stack of the last error
      session.frames, session.at = session.dead, first_foreign(session.dead)
      return looking[full]
    end
    return known or function() print "no script is paused, and there was no error" end
  end
  if not known or name ~= full and not session.paused then return nil end
  if get_global(name) ~= nil then
    if session.paused then print(format("(a variable; the command is :%s)", name)) end
    return nil
  end
  return known
end

local function help_on(text)
  local help = require "seqrt.help"
  text = text:match "^%s*(.-)%s*$"
  if text == "" then return print "?x explains x, ?word searches; look at sq, nn, optim, data, image, plot" end
  local chunk = load("return " .. text:gsub(":", "."), "=help", "t", session.env)
  local ok, value
  if chunk then ok, value = pcall(chunk) end
  if not ok or value == nil then value = text end
  help.help(value)
end

local function time_of(text)
  local chunk, message = compile(text)
  if not chunk then return warn(message) end
  local start = sys().clock()
  run_chunk(text, chunk)
  print(format("%.3g s", sys().clock() - start))
end

-- Lines that are no Lua: ?x, %time x, $ command. True when it was one.
local function special(text)
  local mark, rest = text:match "^%s*([?$])(.*)$"
  if mark == "?" then
    help_on(rest)
  elseif mark == "$" then
    os.execute(rest)
  else
    rest = text:match "^%s*%%time%s+(.*)$"
    if not rest then return false end
    time_of(rest)
  end
  return true
end

-- --- the loop -----------------------------------------------------------------------------------------------

local function prompt(name, default)
  local value = _G[name]
  return value == nil and default or tostring(value)
end

-- Reads until the chunk is complete or wrong. Returns its text, function and message, or its text and a command as the
-- fourth; nil and why without one.
local function read_chunk()
  local line = session.line
  local text, why = line.read(session.paused and "paused> " or prompt("_PROMPT", "> "))
  if not text then return nil, nil, why end
  local command = command_of(text)
  if command or text:find "^%s*[?$]" or text:find "^%s*%%time%s" then return text, nil, nil, command end
  while true do
    local chunk, message = compile(text)
    if chunk or not incomplete(message) then return text, chunk, message end
    local more, ended = line.read(prompt("_PROMPT2", ">> "))
    if not more and ended == "interrupt" then return nil, nil, ended end
    if not more then return text, nil, message end
    text = text .. "\n" .. more
  end
end

-- One turn. Returns true to go on, false at the end of input, or what to do with the paused script.
local function take_turn()
  local text, chunk, message, command = read_chunk()
  if not text then return message == "interrupt" end
  if text:find "%S" then session.line.add(text, session.history) end
  if command then
    local action = command()
    if action then session.frames, session.paused = nil, nil end
    return action or true
  end
  if special(text) then return true end
  if chunk then run_chunk(text, chunk) else warn(message) end
  return true
end

-- $SEQRT_HISTORY, else the XDG state folder; nil when there is no home, or none is wanted ("").
local function history_path()
  local own = os.getenv "SEQRT_HISTORY"
  if own then return own ~= "" and own or nil end
  local state, home = os.getenv "XDG_STATE_HOME", os.getenv "HOME"
  if not (state and state:sub(1, 1) == "/") then
    if not home or home == "" then return nil end
    state = home .. "/.local/state"
  end
  return sys().fs.mkdir_p(state .. "/seqrt") and state .. "/seqrt/history" or nil
end

local function open_line(line)
  if session.line then return end
  session.line, session.history = line, history_path()
  if session.history then line.load(session.history) end
  line.completer(function(before, word, in_string)
    return require "seqrt.complete".complete(before, word, in_string, get_global, each_name)
  end)
end

-- who(): the globals that the user made.
local function who()
  local names = {}
  for name in pairs(_G) do
    if not session.known[name] and type(name) == "string" and name ~= "_" then names[#names + 1] = name end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    print(format("  %-12s %s", name, (pretty({_G[name]}):gsub("^{%s*", ""):gsub("%s*}$", ""))))
  end
end

local function fill_presets()
  local sq = require "seqrt"
  local preset = session.preset
  preset.sq, preset.help, preset.who = sq, require "seqrt.help".help, who
  for _, name in ipairs(PRESETS) do preset[name] = sq[name] end
end

local function greet()
  local info = require "seqrt".info()
  print(format("seqrt %s, %s, %s kernels, %d threads", info.version, info.lua, info.isa, info.threads))
  print "help(x) or ?x explains, Tab completes, Ctrl-D leaves"
end

-- Called by the program with its line reader; returns the function that takes one turn.
function repl.start(line, greeting)
  open_line(line)
  fill_presets()
  session.env = _G
  for name, value in pairs(session.preset) do if rawget(_G, name) == nil then _G[name] = value end end
  session.known = {}
  for name in pairs(_G) do session.known[name] = true end
  if session.failed then -- the script of -i: its frames are looked at
    session.frames, session.at, session.env = session.failed, first_foreign(session.failed), frame_env
    show_frame()
    print "the script's frames: locals, where, up, down; Ctrl-D leaves"
  elseif greeting then
    greet()
  end
  return take_turn
end

-- Called when Ctrl-C has stopped `thread` between two instructions.
-- The rest are the coroutines that wait for it: their frames follow.
function repl.pause(line, thread, stepping, ...)
  open_line(line)
  fill_presets()
  session.frames = read_frames(thread, 0, false)
  for _, resumer in ipairs {...} do
    local frames = read_frames(resumer, 0, false)
    table.move(frames, 1, #frames, #session.frames + 1, session.frames)
  end
  session.at, session.paused, session.env = first_foreign(session.frames), true, frame_env
  if not stepping then print "\npaused: cont, step, where, locals, up, down, abort, save, quit; assign to change" end
  if session.frames[session.at] then show_frame() end
  return take_turn
end

-- Message handler of a script under -i: keeps its frames for the prompt.
-- Levels: 0 is wrap's function, then read_own_frames, keep, the handler, and 4 what raised.
function repl.keep() session.failed = read_own_frames(4) end

return repl

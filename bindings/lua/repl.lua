-- repl.lua: the prompt: reads a chunk, runs it, prints what it gave.
local repl = {}

local PRESETS = {"nn", "optim", "data", "image", "plot"}

local session = {line = nil, history = nil}

-- $SEQRT_HISTORY, else the XDG state folder; nil when there is no home.
local function history_path()
  local own = os.getenv "SEQRT_HISTORY"
  if own then return own ~= "" and own or nil end
  local state, home = os.getenv "XDG_STATE_HOME", os.getenv "HOME"
  if not (state and state:sub(1, 1) == "/") then
    if not home or home == "" then return nil end
    state = home .. "/.local/state"
  end
  local fs = require "seqrt.sys".fs
  return fs.mkdir_p(state .. "/seqrt") and state .. "/seqrt/history" or nil
end

-- A chunk that would go on: Lua's message then ends in <eof>.
local function incomplete(message)
  return type(message) == "string" and message:sub(-5) == "<eof>"
end

local function prompt(name, default)
  local value = _G[name]
  return value == nil and default or tostring(value)
end

-- The function of a chunk that may be an expression; nil and why.
local function compile(text)
  local chunk = load("return " .. text, "=stdin", "t")
  if chunk then return chunk end
  return load(text, "=stdin", "t")
end

-- Reads until the chunk is complete or wrong. Returns its text, function and message; nil at the end of input.
local function read_chunk()
  local line = session.line
  local text, why = line.read(prompt("_PROMPT", "> "))
  if not text then return nil, nil, why end
  while true do
    local chunk, message = compile(text)
    if chunk or not incomplete(message) then return text, chunk, message end
    local more, ended = line.read(prompt("_PROMPT2", ">> "))
    if not more and ended == "interrupt" then return nil, nil, ended end
    if not more then return text, nil, message end
    text = text .. "\n" .. more
  end
end

local function report(message) io.stderr:write(tostring(message), "\n") end

local function step()
  local text, chunk, message = read_chunk()
  if not text then return message == "interrupt" end
  if text:find "%S" then session.line.add(text, session.history) end
  if not chunk then
    report(message)
    return true
  end
  local results = table.pack(xpcall(chunk, debug.traceback))
  if not results[1] then
    report(results[2])
  elseif results.n > 1 then
    local ok, bad = pcall(print, table.unpack(results, 2, results.n))
    if not ok then report("error calling 'print' (" .. tostring(bad) .. ")") end
  end
  return true
end

-- Called by the program with its line reader; returns the function that runs one chunk and says whether to go on.
function repl.start(line)
  local sq = require "seqrt"
  session.line, session.history = line, history_path()
  if session.history then line.load(session.history) end
  _G.sq = sq
  for _, name in ipairs(PRESETS) do _G[name] = sq[name] end
  return step
end

return repl

-- board.lua: what a sweep shows on standard error while it runs: on a terminal a table of all runs that is drawn over
-- itself, elsewhere a line when a run ends.

local sys = require "seqrt.sys"
local sq = require "seqrt"
local progress = require "seqrt.progress"
local Progress = progress.Progress

local REDRAW = 0.1 -- s
local BAR = 12 -- columns

local Board = {}
Board.__index = Board

-- "lstm", "T=5": a text as it is, another value with its name.
local function word(run, name)
  local value = run.values[name]
  if type(value) == "string" then return value end
  return Progress.text.postfix {[name] = value}
end

-- No text of a run can move the cursor.
local function clean(text) return (text:gsub("%c", " "):gsub("\194[\128-\159]", " ")) end

-- What each run is called, in columns of the same width.
local function labels(runs, over)
  local out, columns = {}, Progress.text.columns
  for i in ipairs(runs) do out[i] = {} end
  for k, name in ipairs(over) do
    local width = 0
    for i, run in ipairs(runs) do
      out[i][k] = clean(word(run, name))
      width = math.max(width, columns(out[i][k]))
    end
    for i in ipairs(runs) do out[i][k] = out[i][k] .. (" "):rep(width - columns(out[i][k])) end
  end
  for i in ipairs(runs) do out[i] = table.concat(out[i], "  ") end
  return out
end

-- The numbers of a result, as "accuracy=1, loss=0.001"; its swept options have been named already.
local function numbers(run)
  local values = {}
  for name, value in pairs(run.result or {}) do
    if type(value) == "number" and run.values[name] == nil then values[name] = value + 0.0 end
  end
  return Progress.text.postfix(values)
end

local function seconds_text(seconds)
  return seconds < 60 and format("%.1f s", seconds) or Progress.text.time(seconds)
end

-- --- a terminal ---------------------------------------------------------------------------------------------------

function Board:paint(code, text)
  return self.colored and format("\27[%sm%s\27[0m", code, text) or text
end

-- A run as plain text, and its state as a color.
function Board:row(run)
  local text = Progress.text
  if run.state == "waiting" then return "waiting", "2" end
  if run.state == "failed" then return format("failed   %8s  %s", seconds_text(run.seconds), run.failure), "31" end
  if run.state == "done" then
    return format("done     %8s  %s", seconds_text(run.seconds), numbers(run)), nil
  end
  local elapsed = seconds_text(sq.clock() - run.start)
  if not run.total or run.total == 0 then return format("running  %8s  %s", elapsed, run.postfix or ""), "36" end
  local fraction = math.min(1, run.n / run.total)
  return format("%s %3.0f%%  %s", text.bar(fraction, BAR, self.glyphs), fraction * 100, run.postfix or ""), "36"
end

-- How much of the work is done, every run counted alike.
function Board:progress()
  local done, ended, failed = 0, 0, 0
  for _, run in ipairs(self.todo) do
    if run.state == "done" or run.state == "failed" then
      done, ended = done + 1, ended + 1
      if run.state == "failed" then failed = failed + 1 end
    elseif run.total and run.total > 0 then
      done = done + math.min(1, run.n / run.total)
    end
  end
  return done / #self.todo, ended, failed
end

function Board:foot()
  local fraction, ended, failed = self:progress()
  local elapsed = sq.clock() - self.start
  local time = Progress.text.time
  local left = fraction > 0.01 and time(elapsed / fraction * (1 - fraction)) or "?"
  return format("%d of %d runs%s, %d at a time [%s<%s]", ended, #self.todo,
    failed > 0 and format(" (%d failed)", failed) or "", self.jobs, time(elapsed), left)
end

-- The first run that is shown: of more than fit, those from just before the first that is not done.
function Board:first(room)
  local active = 1
  while active < #self.runs and (self.runs[active].state == "done" or self.runs[active].state == "failed") do
    active = active + 1
  end
  return math.max(1, math.min(active - 2, #self.runs - room + 1))
end

-- Goes back to the first line of the last drawing. A terminal that has become narrower has broken its lines.
function Board:home(width)
  local up = 0
  for _, length in ipairs(self.drawn) do up = up + math.max(1, (length + width - 1) // width) end
  self.drawn = {}
  return up > 0 and format("\27[%dA\r\27[J", up) or ""
end

function Board:draw()
  local width, height = sys.width(2)
  local text = Progress.text
  local room = math.max(1, math.min(#self.runs, height - 2))
  local out = {self:home(width)}
  local function add(line, color)
    line = text.cut(line, width - 1)
    self.drawn[#self.drawn + 1] = text.columns(line)
    out[#out + 1] = (color and self:paint(color, line) or line) .. "\n"
  end
  local first = self:first(room)
  for i = first, first + room - 1 do
    local state, color = self:row(self.runs[i])
    add(format("  %s  %s", self.labels[i], clean(state)), color)
  end
  add("  " .. self:foot())
  io.stderr:write(table.concat(out))
  io.stderr:flush()
end

-- --- the board ------------------------------------------------------------------------------------------------------

-- Called several times a second.
function Board:update()
  if not self.terminal or sq.clock() - self.last < REDRAW then return end
  self.last = sq.clock()
  self:draw()
end

-- A run has ended.
function Board:finished(run)
  self.last = -1
  if self.terminal or not self.shown then return end
  local _, ended = self:progress()
  local what = run.state == "done" and numbers(run) or run.failure
  io.stderr:write(format("[%d/%d] %s: %s in %s%s\n", ended, #self.todo, self.label_of[run]:gsub(" +", " "), run.state,
    seconds_text(run.seconds), what ~= "" and ": " .. clean(what) or ""))
  io.stderr:flush()
end

-- Leaves one line in place of the table.
function Board:close()
  if self.closed then return end
  self.closed = true
  local _, ended, failed = self:progress()
  local width = sys.width(2)
  if self.terminal then io.stderr:write(self:home(width)) end
  if not self.shown then return end
  io.stderr:write(format("%d of %d runs in %s, %d at a time with %d thread%s each%s\n", ended, #self.todo,
    seconds_text(sq.clock() - self.start), self.jobs, self.threads, self.threads == 1 and "" or "s",
    failed > 0 and format(", %d failed", failed) or ""))
  io.stderr:flush()
end
Board.__close = Board.close

-- Board(runs, todo, over, jobs, threads): all runs of the sweep, and those to be done now.
return function(runs, todo, over, jobs, threads)
  local shown = os.getenv "SEQRT_PROGRESS" ~= "0"
  local self = setmetatable({runs = runs, todo = todo, jobs = jobs, threads = threads, start = sq.clock(), last = -1,
    shown = shown, terminal = shown and sys.isatty(2) and os.getenv "TERM" ~= "dumb", drawn = {},
    labels = labels(runs, over), label_of = {}, colored = (os.getenv "NO_COLOR" or "") == "",
    glyphs = Progress.is_utf8() and progress.glyphs.utf8 or progress.glyphs.ascii}, Board)
  for i, run in ipairs(runs) do self.label_of[run] = self.labels[i] end
  return self
end

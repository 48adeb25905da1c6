-- progress.lua: tqdm's line on a terminal, a plain line now and then elsewhere, on standard error.
local sys = require "seqrt.sys"
local clock = sys.clock

local SMOOTHING, MIN_INTERVAL, PLAIN_INTERVAL, SINK_INTERVAL = 0.3, 0.1, 10.0, 0.2
local EIGHTHS = {[0] = " ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"}
local ASCII = {[0] = " ", "1", "2", "3", "4", "5", "6", "7", "8", "9", "#"}

local Progress = {}
Progress.__index = Progress
Progress.__name = "Progress"

local api = require "seqrt.api"
local method = api.class {name = "Progress", methods = Progress, strict = true,
  doc = "A line that shows how far a loop is, as tqdm's; an iterator, and a <close> variable.",
  example = "local bar <close> = sq.progress(1000, {desc = \"training\"})",
  fields = {{"n", "number", "How many are done."}, {"total", "any", "How many there are, or nil."}}}

-- These hold weakly: a bar that nobody has any more, after an error or in a coroutine that is dropped, can be collected.
local bars = setmetatable({}, {__mode = "k"}) -- all that were made
local open = setmetatable({}, {__mode = "v"}) -- those on the terminal, outermost first; collected ones leave gaps
local places = 0 -- the last place in `open` that was taken
local told = setmetatable({}, {__mode = "v"}) -- [1]: the bar whose state goes to Progress.sink, the outermost

-- --- the line -----------------------------------------------------------------------------------------

local function time_text(seconds)
  local s = math.tointeger(math.floor(seconds))
  if not s then return "?" end -- longer than an integer counts
  if s >= 3600 then return format("%d:%02d:%02d", s // 3600, s // 60 % 60, s % 60) end
  return format("%02d:%02d", s // 60, s % 60)
end

local function rate_text(rate, unit)
  if not rate or rate == math.huge then return "?" .. unit .. "/s" end
  if rate > 0 and rate < 1 then return format("%5.2fs/%s", 1 / rate, unit) end
  return format("%5.2f%s/s", rate, unit)
end

local function value_text(value)
  if type(value) == "number" and math.type(value) == "float" then return format("%.3g", value) end
  return tostring(value)
end

local function postfix_text(postfix)
  if type(postfix) ~= "table" then return postfix and tostring(postfix) or "" end
  local out, names = {}, {}
  for name in pairs(postfix) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do out[i] = name .. "=" .. value_text(postfix[name]) end
  return table.concat(out, ", ")
end

-- Counts may be floats, and too large for an integer.
local function count_text(n)
  local whole = math.tointeger(n)
  return whole and format("%d", whole) or format("%.10g", n)
end

local function bar_text(fraction, width, glyphs)
  local parts = #glyphs
  local full = math.floor(math.max(0, fraction) * width * parts)
  local whole, rest = full // parts, full % parts
  if whole >= width then return glyphs[parts]:rep(width) end
  return glyphs[parts]:rep(whole) .. glyphs[rest] .. (" "):rep(width - whole - 1)
end

-- What would break the line becomes a space.
local function in_line(text) return (text:gsub("[\n\r\t\v\f]", " ")) end

local columns = sys.columns

-- The line for a state: {n, total, elapsed, rate, unit, desc, postfix}; without `width` the bar itself is left out.
local function line_text(s, width, glyphs)
  local desc = s.desc and s.desc ~= "" and in_line(s.desc) .. ": " or ""
  local unit, postfix = in_line(s.unit or "it"), in_line(postfix_text(s.postfix))
  local rate = s.rate or s.n > 0 and s.elapsed > 0 and s.n / s.elapsed or nil
  local tail = rate_text(rate, unit) .. (postfix ~= "" and ", " .. postfix or "")
  if not (s.total and s.total > 0 and s.n <= s.total) then -- as tqdm: such a total says nothing
    return format("%s%s%s [%s, %s]", desc, count_text(s.n), unit, time_text(s.elapsed), tail)
  end
  local left = rate and rate > 0 and time_text(math.max(0, s.total - s.n) / rate) or "?"
  local fraction = s.n / s.total
  local head = format("%s%3.0f%%|", desc, fraction * 100)
  local foot = format("| %s/%s [%s<%s, %s]", count_text(s.n), count_text(s.total), time_text(s.elapsed), left, tail)
  if not width then return head:sub(1, -2) .. foot:sub(2) end
  local room = math.max(1, width - columns(head) - columns(foot))
  return head .. bar_text(fraction, room, glyphs) .. foot
end

-- --- drawing ------------------------------------------------------------------------------------------

local function put_text(...)
  io.stderr:write(...)
  io.stderr:flush()
end

-- The beginning that has room; its colors end there.
local function cut_text(text, width)
  local _, bytes = columns(text, width)
  if bytes == #text then return text end
  return text:sub(1, bytes) .. (text:find "\27%[" and "\27[0m" or "")
end

local function at_row(row, text)
  put_text(("\n"):rep(row), "\r", text, row > 0 and "\27[" .. row .. "A" or "")
end

-- `last`: nothing comes after this.
local function draw_bar(self, rate, last)
  self.rate, self.elapsed = rate, clock() - self.start
  if self.terminal then
    local width = sys.width(2)
    local text = cut_text(line_text(self, width, self.glyphs), width)
    local now = columns(text)
    at_row(self.row, text .. (" "):rep(math.min(self.drawn, width) - now))
    self.drawn = now
    sys.hold_lines(places)
    return
  end
  if told[1] == self then Progress.sink(self) end
  if Progress.sink and not last and clock() - (self.plain_time or 0) < PLAIN_INTERVAL then return end
  self.plain_time = clock()
  put_text(line_text(self), "\n")
end

local function clear_bar(self)
  at_row(self.row, (" "):rep(self.drawn) .. "\r")
  self.drawn = 0
end

-- The open bars in their order.
local function standing()
  local list = {}
  for place = 1, places do list[#list + 1] = open[place] end
  return list
end

-- Takes all bars off the terminal, lets between() write, and puts those that are still open on rows without gaps.
local function rearrange(between, ...)
  for _, bar in ipairs(standing()) do clear_bar(bar) end
  between(...)
  local list = standing()
  for place = 1, places do open[place] = list[place] end
  places = #list
  sys.hold_lines(places)
  for place, bar in ipairs(list) do
    bar.row = place - 1
    draw_bar(bar, bar.rate)
  end
end

-- Leaves the last state on the row of the outermost, or nothing.
local function take_away(self)
  clear_bar(self)
  for place = 1, places do if open[place] == self then open[place] = nil end end
  if not self.leave then return end
  self.row = 0
  draw_bar(self)
  put_text "\n"
end

-- A mean of the last values, newer ones weighing more, as tqdm's EMA.
local function smooth(mean, x)
  mean.last = SMOOTHING * x + (1 - SMOOTHING) * mean.last
  mean.weight = SMOOTHING + (1 - SMOOTHING) * mean.weight
  return mean.last / mean.weight
end

-- Called when n reaches `due`: draws if the time has come. The clock is looked at again a third of the way to the next
-- redraw, so that most updates only count, and a rate that drops is soon noticed.
local function tick(self)
  local now = clock()
  local dt, dn = now - self.last_time, self.n - self.last_n
  local wait = self.interval - dt
  if wait <= 0 then
    draw_bar(self, dn > 0 and smooth(self.mean_n, dn) / smooth(self.mean_t, dt) or nil)
    self.last_time, self.last_n, wait = now, self.n, self.interval
  end
  self.due = self.n + math.max(1, dn / math.max(dt, 1e-9) * wait // 3)
end

-- --- methods --------------------------------------------------------------------------------------------

local function update_bar(self, k)
  local n = self.n + k
  self.n = n
  if n >= self.due then tick(self) end
end

method("update", "(k: number = 1)", "k more are done.", update_bar)

-- The innermost loops call it: bar:update() on a bar needs no signature to be read.
local checked_update = Progress.update
function Progress.update(self, k, more)
  if more ~= nil then checked_update(self, k, more) end -- which raises
  if k ~= nil or not bars[self] then return checked_update(self, k) end
  local n = self.n + 1
  self.n = n
  if n >= self.due then tick(self) end
end

method("set_postfix", "(postfix: any)", "What stands at the end of the line, from the next redraw on: a table of names and "
  .. "values, or a text.", "bar:set_postfix {loss = loss:item()}",
  function(self, postfix) self.postfix = postfix end)

method("set_description", "(desc: string)", "What stands at the beginning of the line.",
  function(self, desc) self.desc = desc end)

method("write", "(text: any) -> Progress", "Prints a line to standard output, above the bars.",
  function(self, text)
    rearrange(function()
      io.stdout:write(tostring(text), "\n")
      io.stdout:flush()
    end)
    return self
  end)

local function close_bar(self)
  if self.closed then return end
  self.closed, self.due = true, math.huge
  if not self.shown then return end
  if self.terminal then return rearrange(take_away, self) end
  draw_bar(self, nil, true)
  if told[1] == self then told[1] = nil end
end

method("close", "()", "Draws the last state, with the rate over all the time, and leaves the line.", close_bar)

function Progress:__close() close_bar(self) end

-- One that nobody closed ends its line too, unless something else did.
function Progress:__gc()
  if self.terminal and sys.hold_lines() > 0 then close_bar(self) end
end

-- The iterator of `for i in sq.progress(n) do`: counts from 1.
function Progress:__call(_, i)
  if i then update_bar(self, 1) end
  i = (i or 0) + 1
  if self.total and i > self.total then
    close_bar(self)
    return nil
  end
  return i
end

-- --- the function -----------------------------------------------------------------------------------------

local function is_utf8()
  local locale = os.getenv "LC_ALL" or ""
  if locale == "" then locale = os.getenv "LC_CTYPE" or "" end
  if locale == "" then locale = os.getenv "LANG" or "" end
  return locale:lower():find "utf%-?8" ~= nil
end

-- SEQRT_PROGRESS: "0" none, "5s" a line every 5 seconds, else as usual. Returns whether to show, and the interval.
local function wish()
  local text = os.getenv "SEQRT_PROGRESS" or ""
  local seconds = tonumber((text:match "^([%d.]+)s$"))
  return text ~= "0" and seconds ~= 0, seconds
end

-- total may be nil. options: desc, unit, leave, initial, disable. What `for` takes: it closes the bar however it is left.
local function progress(total, options)
  local counts = not total or total >= 0 -- false for NaN
  if not counts then api.fail("progress: total is %s: it must be a count", total) end
  if total == math.huge then total = nil end
  local shown, seconds = wish()
  if options.disable then shown = false end
  local terminal = sys.isatty(2) and os.getenv "TERM" ~= "dumb"
  local self = setmetatable({n = options.initial or 0, total = total and math.tointeger(total) or total,
    desc = options.desc, unit = options.unit or "it", shown = shown, terminal = terminal,
    glyphs = is_utf8() and EIGHTHS or ASCII, interval = seconds or terminal and MIN_INTERVAL or PLAIN_INTERVAL,
    start = clock(), drawn = 0, row = 0, due = 0, mean_n = {last = 0, weight = 0},
    mean_t = {last = 0, weight = 0}}, Progress)
  bars[self] = true
  self.last_time, self.last_n = self.start, self.n
  if not shown then
    self.due = math.huge
  elseif terminal then
    places = places + 1
    self.row, open[places] = places - 1, self
    draw_bar(self)
  elseif Progress.sink then
    self.interval, self.plain_time = SINK_INTERVAL, self.start
    told[1] = told[1] or self
  end
  self.leave = options.leave
  if self.leave == nil then self.leave = self.row == 0 end
  return self, nil, nil, self
end

-- Progress.sink, where set: a function that gets the outermost bar that is not on a terminal several times a second.

Progress.text = {bar = bar_text, time = time_text, postfix = postfix_text, cut = cut_text, columns = columns}
Progress.is_utf8 = is_utf8

return {
  Progress = Progress,
  line = line_text, -- for specs
  glyphs = {utf8 = EIGHTHS, ascii = ASCII},
  progress = api.define {owner = "sq", name = "progress",
    signature = "(total: number? = nil, desc: string? = nil, unit: string = it, leave: bool? = nil, initial: number = 0, "
      .. "disable: bool = false) -> Progress",
    doc = "tqdm's line on standard error while a loop runs: `for i in sq.progress(n) do`, which also ends the line at break "
      .. "or an error, or update() and close() by hand. Off a terminal a plain line now and then. total nil or inf: unknown.",
    example = "for step in sq.progress(1000, {desc = \"training\"}) do train(step) end",
    call = function(total, desc, unit, leave, initial, disable)
      return progress(total, {desc = desc, unit = unit, leave = leave, initial = initial, disable = disable})
    end},
}

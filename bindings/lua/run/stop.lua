-- stop.lua: what a script wants done before it is stopped. sq.on_stop(save) is called between any two instructions; a
-- checkpoint, whose step must be whole, has the stop wait for its next safe point: see checkpoint.lua.

local api = require "seqrt.api"

local stop = {}
local savers = {} -- functions, in the order they came
local points = setmetatable({}, {__mode = "k"}) -- what will come to a safe point
local asked -- what waits for one: "save", "quit", or the error that ends the script

stop.on_stop = api.define {owner = "sq", name = "on_stop", signature = "(fn: function) -> function",
  doc = "fn() is called when SIGINT or SIGTERM ends the script, and by `save` and `quit` at a pause. Gives a function that "
    .. "takes it back.",
  example = "sq.on_stop(function() checkpoints:save(step, {model = model}) end)",
  call = function(fn)
    savers[#savers + 1] = fn
    return function()
      for i, each in ipairs(savers) do if each == fn then return table.remove(savers, i) end end
    end
  end}

-- Calls them all; one that fails does not keep the others from it. Returns how many there are, and the failures' texts.
function stop.save()
  local failures = {}
  for _, fn in ipairs {table.unpack(savers)} do
    local ok, message = pcall(fn)
    if not ok then failures[#failures + 1] = tostring(message) end
  end
  return #savers, failures
end

-- Notes what to do at the next safe point. False, and nothing noted, when none will come.
function stop.defer(what)
  if next(points) == nil then return false end
  asked = what
  return true
end

-- What waits for a safe point, or nil.
function stop.asked() return asked end

-- `object` will come to safe points, until it is withdrawn or collected.
function stop.promise(object) points[object] = true end

-- A safe point is reached and what it is for is saved: leaves the script if that was asked.
function stop.done()
  local what = asked
  asked = nil
  if not what or what == "save" then return end
  stop.save()
  if what ~= "quit" then error(what, 0) end
  io.stdout:flush()
  os.exit(130)
end

-- No more safe points of this object. What still waits, with nobody left to wait for, happens now.
function stop.withdraw(object)
  points[object] = nil
  if next(points) == nil then stop.done() end
end

-- Objects with latest() and dir: the checkpoints that are open; they come and go by themselves.
stop.checkpoints = setmetatable({}, {__mode = "k"})

-- ": the last good checkpoint, of step 10, stays in 'runs/a'", or "".
function stop.what_stays()
  local texts = {}
  for each in pairs(stop.checkpoints) do
    local step = each.lock and each:latest()
    if step then texts[#texts + 1] = format("; the checkpoint of step %d stays in '%s'", step, each.dir) end
  end
  table.sort(texts)
  return table.concat(texts)
end

return stop

-- stop.lua: what a script wants done before it is stopped from outside: sq.on_stop(save).

local stop = {}
local savers = {} -- functions, in the order they came

-- fn() is called when SIGINT or SIGTERM ends the script, and by `save` and `quit` at a pause. Returns a function that takes
-- it back.
function stop.on_stop(fn)
  if type(fn) ~= "function" then error("[on_stop] fn is no function", 2) end
  savers[#savers + 1] = fn
  return function()
    for i, each in ipairs(savers) do if each == fn then return table.remove(savers, i) end end
  end
end

-- Calls them all; one that fails does not keep the others from it. Returns how many there are, and the failures' texts.
function stop.save()
  local failures = {}
  for _, fn in ipairs({table.unpack(savers)}) do
    local ok, message = pcall(fn)
    if not ok then failures[#failures + 1] = tostring(message) end
  end
  return #savers, failures
end

return stop

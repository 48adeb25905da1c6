-- stop.lua: what a script wants done before it is stopped from outside: sq.on_stop(save).

local api = require "seqrt.api"

local stop = {}
local savers = {} -- functions, in the order they came

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
  for _, fn in ipairs({table.unpack(savers)}) do
    local ok, message = pcall(fn)
    if not ok then failures[#failures + 1] = tostring(message) end
  end
  return #savers, failures
end

return stop

-- steady.lua: a model that trains in a process of its own, for steady_spec.lua.
--
-- steady.lua NAME WARM STEPS SIZE=N... trains a model of spec/bench/models.lua, of these sizes, for WARM + STEPS steps and
-- prints how many system calls for memory the last of them, STEPS, made.
local sq = require "seqrt"
local models = dofile "spec/bench/models.lua"

local step = models.make(arg[1], models.sizes(table.unpack(arg, 4)))
for _ = 1, tonumber(arg[2]) do step() end
local before = sq.memory_stats().system_calls
for _ = 1, tonumber(arg[3]) do step() end
print(sq.memory_stats().system_calls - before)

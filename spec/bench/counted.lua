-- counted.lua: a model that trains under valgrind, for count.lua.
--
-- counted.lua KEY STEPS SIZE=N... trains a model of models.lua, of these sizes, and marks each step's begin, and the last
-- one's end, by a call that training makes nowhere. No BLAS has a part in it: its instructions would be counted too.
local sq = require "seqrt"
local models = dofile(arg[0]:gsub("[^/]*$", "models.lua"))

local step = models.make(arg[1], models.sizes(table.unpack(arg, 3)))
for _ = 1, tonumber(arg[2]) do
  sq.get_num_threads()
  step()
end
sq.get_num_threads()
assert(not sq.info().products:find(",", 1, true), "a BLAS, or who else: " .. sq.info().products)

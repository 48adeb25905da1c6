-- steps.lua: one side of bench.lua: training steps of usual models (models.lua), timed.
--
-- steps.lua KEYS SECONDS runs each model of KEYS, comma between, for so long; prints "version TEXT", then a line for each:
-- key, seconds of a step, loss after three steps, seconds of its floor. The floor is the step's matrix products alone, at
-- the best rate this machine reaches on large square ones in this run, and what its optimizer reads and writes, at the
-- rate of a large copy.
local sq = require "seqrt"
local models = dofile(arg[0]:gsub("[^/]*$", "models.lua"))

local keys, seconds = arg[1], tonumber(arg[2])

-- --- the machine's own rates ---------------------------------------------------------------------

local function best(fn, times)
  local least = math.huge
  for _ = 1, times do
    local begin = sq.clock()
    fn()
    least = math.min(least, sq.clock() - begin)
  end
  return least
end

-- Multiplications a second of products of n x n; bytes a second, read and written, of a copy that no cache holds.
local function product_rate()
  local n = 1024
  local a, b = sq.randn(n, n), sq.randn(n, n)
  return n ^ 3 / best(function() return a:matmul(b) end, 7)
end

local function stream_rate()
  local from, to = sq.zeros(1 << 24), sq.zeros(1 << 24)
  return 2 * 4 * #from / best(function() to:copy_(from) end, 4)
end

-- --- the run -------------------------------------------------------------------------------------

-- The median of rounds of at least a sixth of the time each.
local function time_of(step)
  local rounds = {}
  for round = 1, 6 do
    local begin, n = sq.clock(), 0
    repeat
      step()
      n = n + 1
    until sq.clock() - begin > seconds / 6
    rounds[round] = (sq.clock() - begin) / n
  end
  table.sort(rounds)
  return (rounds[3] + rounds[4]) / 2
end

local products, bytes = product_rate(), stream_rate()
local info = sq.info()
print(("version seqrt %s, %s, %s, threads: %d"):format(info.version, info.cpu, info.products, info.threads))
for key in keys:gmatch "[^,]+" do
  local step, multiplications, parameters = models.make(key)
  local count, loss = 0, nil
  for _, p in ipairs(parameters) do count = count + p:numel() end
  for _ = 1, 3 do loss = step() end
  local floor = multiplications / products + 7 * 4 * count / bytes -- p, m, v read and written, the gradient read
  print(("%s %.9f %.9g %.9f"):format(key, time_of(step), loss, floor))
  collectgarbage()
end

-- steps.lua: one side of bench.lua: training steps of usual models (models.lua), timed.
--
-- steps.lua answers each line "KEY SECONDS" by one, "SECONDS LOSS FLOOR": what a step of that model takes, timed for so
-- long, its loss after three steps, and seconds of its floor; and the line "rates" by the machine's two. The floor is the
-- step's matrix products alone, at the best rate this machine reached on large square ones when it was last asked, and
-- what its optimizer reads and writes, at the rate of a large copy.
local sq = require "seqrt"
local models = dofile(arg[0]:gsub("[^/]*$", "models.lua"))

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
local function time_of(step, seconds)
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

local products, bytes
local made = {}

local function make(key)
  local step, multiplications, parameters = models.make(key)
  local model = {step = step, multiplications = multiplications, count = 0}
  for _, p in ipairs(parameters) do model.count = model.count + p:numel() end
  for _ = 1, 3 do model.loss = step() end
  made[key] = model
  return model
end

local function rates()
  products, bytes = product_rate(), stream_rate()
  collectgarbage()
  return ("%g %g"):format(products, bytes)
end

local function answer(key, seconds)
  local model = made[key] or make(key)
  local floor = model.multiplications / products + 7 * 4 * model.count / bytes -- p, m, v read and written, the gradient read
  return ("%.9f %.9g %.9f"):format(time_of(model.step, seconds), model.loss, floor)
end

io.stdout:setvbuf "line"
rates()
local info = sq.info()
print(("seqrt %s, %s, %s, threads: %d"):format(info.version, info.cpu, info.products, info.threads))
for line in io.lines() do
  local key, seconds = line:match "^(%S+) ?(%S*)$"
  print(key == "rates" and rates() or answer(key, tonumber(seconds)))
end

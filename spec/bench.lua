-- bench.lua: what `make bench` runs: each experiment's training step against its floor, measured in the same run.
--
-- The floor is the step's matrix products alone, at the best rate this machine reaches on large square ones. The two are
-- timed in turns, and the ratio is the median over the turns, so that a noisy machine disturbs both alike.

local sq = require "seqrt"
local nn = sq.nn

local function time(fn, times)
  local begin = sq.clock()
  for _ = 1, times do fn() end
  return (sq.clock() - begin) / times
end

local function median(list)
  table.sort(list)
  return list[(#list + 1) // 2]
end

-- The best of a few products of n x n, in floating point operations a second.
local N = 1024
local A, B = sq.randn(N, N), sq.randn(N, N)
local function product_rate()
  local best = math.huge
  for _ = 1, 5 do best = math.min(best, time(function() return A:matmul(B) end, 1)) end
  return 2 * N ^ 3 / best
end

-- step(): one training step; flops: those of its products. Prints the medians.
local function against_floor(name, step, flops, turns)
  for _ = 1, 10 do step() end
  local ratios, times, floors = {}, {}, {}
  for turn = 1, turns do
    floors[turn] = flops / product_rate()
    times[turn] = time(step, 20)
    ratios[turn] = times[turn] / floors[turn]
  end
  print(("%-24s %8.2f ms   floor %6.2f ms   ratio %.2f"):format(name, median(times) * 1e3, median(floors) * 1e3,
    median(ratios)))
end

-- The products of a recurrent step: forward, gradient of h, gradient of the weights; the decoder is counted likewise.
local function palindrome(T)
  local batch, hidden, inputs, classes = 128, 128, 10, 10
  sq.manual_seed(0)
  local set = sq.data.Palindrome { length = T, generator = sq.Generator(0) }
  local rnn = nn.LSTM(inputs, hidden, { batch_first = true, forget_bias = 1 })
  local head = nn.Linear(hidden, classes)
  local parameters = rnn:parameters()
  for _, p in ipairs(head:parameters()) do parameters[#parameters + 1] = p end
  local opt = sq.optim.RMSprop(parameters, { lr = 1e-3 })
  local function step()
    local x, y = set:batch(batch)
    local logits = head((rnn(x))[{ {}, -1 }])
    local loss = nn.functional.cross_entropy(logits, y)
    opt:zero_grad()
    loss:backward()
    nn.utils.clip_grad_norm_(parameters, 10)
    opt:step()
  end
  local gates = 4 * hidden
  local flops = 2 * batch * ((T - 1) * gates * (inputs + hidden) * 2 + (T - 2) * gates * hidden + hidden * classes * 3)
  return step, flops
end

local info = sq.info()
print(("seqrt %s, %s, %s kernels, %s, %d threads"):format(info.version, info.cpu, info.isa, info.blas, info.threads))
for _, T in ipairs { 10, 30 } do
  local step, flops = palindrome(T)
  against_floor(("LSTM palindrome, T = %d"):format(T), step, flops, 9)
end

-- --- the cost of a call -------------------------------------------------------------------------

local x = sq.randn(16):requires_grad_()
local y = sq.randn(16)
local m, v = sq.randn(4, 4):requires_grad_(), sq.randn(4, 4)
local calls = {
  { "a + b", function() return x + y end },
  { "a:exp()", function() return x:exp() end },
  { "a:matmul(b)", function() return m:matmul(v) end },
  { "5 ops and backward", function() (x * y + y):tanh():exp():sum():backward() end },
}
for _, call in ipairs(calls) do
  local turns = {}
  for turn = 1, 9 do turns[turn] = time(call[2], 20000) end
  print(("%-24s %8.0f ns"):format(call[1], median(turns) * 1e9))
end

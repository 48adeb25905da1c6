-- steady.lua: models that train in a process of their own, for steady_spec.lua.
--
-- steady.lua NAME WARM STEPS trains a model for WARM + STEPS steps and prints how many system calls for memory the last of
-- them, STEPS, made.
local sq = require "seqrt"
local nn, F = sq.nn, sq.nn.functional

-- A training step of a model, given what computes its loss.
local function step_of(model, loss)
  local optimizer = sq.optim.Adam(model:parameters(), {lr = 1e-3})
  return function()
    local value = loss()
    optimizer:zero_grad()
    value:backward()
    optimizer:step()
  end
end

local models = {}

function models.perceptron()
  local model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 10))
  local x, y = sq.rand(128, 784), sq.randint(0, 10, {128})
  return step_of(model, function() return F.cross_entropy(model(x), y) end)
end

function models.recurrent()
  local rnn, head = nn.LSTM(10, 128, {batch_first = true}), nn.Linear(128, 10)
  local x, y = sq.rand(64, 20, 10), sq.randint(0, 10, {64})
  return step_of(nn.ModuleList {rnn, head}, function() return F.cross_entropy(head((rnn(x))[{{}, -1}]), y) end)
end

function models.convolutional()
  local model = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3, {stride = 2}), nn.ReLU(),
    nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32 * 6 * 6, 10))
  local x, y = sq.rand(32, 1, 28, 28), sq.randint(0, 10, {32})
  return step_of(model, function() return F.cross_entropy(model(x), y) end)
end

function models.attentive()
  local attention, norm, head = nn.MultiheadAttention(64, 4, {batch_first = true}), nn.LayerNorm(64), nn.Linear(64, 10)
  local x, y = sq.rand(16, 64, 64), sq.randint(0, 10, {1024})
  return step_of(nn.ModuleList {attention, norm, head}, function()
    local n = norm(x)
    return F.cross_entropy(head(x + (attention(n, n, n))):reshape(1024, 10), y)
  end)
end

function models.written_out()
  local cell, head = nn.Linear(10 + 128, 4 * 128), nn.Linear(128, 10)
  local x, y = sq.rand(10, 128, 10), sq.randint(0, 10, {128})
  return step_of(nn.ModuleList {cell, head}, function()
    local h, c = sq.zeros(128, 128), sq.zeros(128, 128)
    for t = 1, 10 do
      local i, f, g, o = cell(sq.cat({x[t], h}, 2)):chunk(4, 2)
      c = f:sigmoid() * c + i:sigmoid() * g:tanh()
      h = o:sigmoid() * c:tanh()
    end
    return F.cross_entropy(head(h), y)
  end)
end

local step = assert(models[arg[1]], "no such model")()
for _ = 1, tonumber(arg[2]) do step() end
local before = sq.memory_stats().system_calls
for _ = 1, tonumber(arg[3]) do step() end
print(sq.memory_stats().system_calls - before)

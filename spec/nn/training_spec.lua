-- training_spec.lua: whole trainings have PyTorch's loss curves (spec/golden/training.lua) from PyTorch's seed.
local sq = require "seqrt"
local golden = dofile "spec/golden/training.lua"
local support = require "spec.lib.support"
local nn, F = sq.nn, sq.nn.functional

describe("a training has PyTorch's loss curve:", function()
  it("a perceptron with SGD and momentum, 200 steps in float64, to 1e-8", function()
    sq.manual_seed(0)
    local function linear(i, o) return nn.Linear(i, o, {dtype = "float64"}) end
    local model = nn.Sequential(linear(8, 32), nn.Tanh(), linear(32, 16), nn.ReLU(), linear(16, 4))
    local x, y = sq.rand({64, 8}, {dtype = "float64"}), sq.randint(0, 4, {64})
    local opt = sq.optim.SGD(model:parameters(), {lr = 0.1, momentum = 0.9})
    assert.equal(200, #golden.mlp)
    for step, want in ipairs(golden.mlp) do
      local loss = F.cross_entropy(model(x), y)
      support.assert_close(loss:item(), want, 1e-8, 0, "the loss of step " .. step)
      opt:zero_grad()
      loss:backward()
      opt:step()
    end
  end)

  it("an LSTM on palindromes with RMSprop and clipping, 50 steps in float32, to 1e-4", function()
    sq.manual_seed(0)
    local rnn, head = nn.LSTM(10, 32, {batch_first = true}), nn.Linear(32, 10)
    local parameters = rnn:parameters()
    for _, p in ipairs(head:parameters()) do parameters[#parameters + 1] = p end
    local opt = sq.optim.RMSprop(parameters, {lr = 1e-3})
    assert.equal(50, #golden.lstm)
    for step, want in ipairs(golden.lstm) do
      local half = sq.randint(0, 10, {64, 5})
      local digits = sq.cat({half, half:flip(2)}, 2)
      local x, y = sq.one_hot(digits[{{}, {1, 9}}], 10):float(), digits[{{}, 10}]
      local loss = F.cross_entropy(head((rnn(x))[{{}, -1}]), y)
      support.assert_close(loss:item(), want, 1e-4, 0, "the loss of step " .. step)
      opt:zero_grad()
      loss:backward()
      nn.utils.clip_grad_norm_(parameters, 1)
      opt:step()
    end
  end)
end)

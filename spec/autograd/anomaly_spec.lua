-- anomaly_spec.lua: sq.detect_anomaly names the op and the line that make the first NaN or Inf, forward and backward.
local sq = require "seqrt"
local support = require "spec.lib.support"
local nn = sq.nn

local INF, NAN = math.huge, 0 / 0

-- The error's text without its line, or nil.
local function watched(fn)
  local ok, message = pcall(sq.detect_anomaly, fn)
  assert.is_false(sq.is_anomaly_enabled())
  if ok then return nil end
  local line, text = message:match "^spec/autograd/anomaly_spec%.lua:(%d+): (.*)$"
  assert.truthy(line, message)
  return text, tonumber(line)
end

local function here() return debug.getinfo(2, "l").currentline end

describe("sq.detect_anomaly, forward", function()
  it("names the op, what it made and what it read", function()
    local x, line = sq.tensor {-1, 2, 3}, nil
    local text, at = watched(function() line = here() return x:log() end)
    assert.equal("[log] made NaN: its result (3) holds 1 NaN: x (3) goes from -1 to 3", text)
    assert.equal(line, at)
    assert.equal("[exp] made Inf: its result (3) holds 2 Inf: x (3) goes from -1000 to 3000",
      (watched(function() return (x * 1000):exp() end)))
    assert.equal("[div] made NaN: its result (2) holds 1 NaN and 1 Inf: x (2) goes from 0 to 1, other (2) from 0 to 0",
      (watched(function() return sq.tensor {0, 1} / sq.zeros(2) end)))
  end)

  it("sees it through windows, in other dtypes, without recording, in place", function()
    assert.truthy(watched(function() return sq.zeros(4, 4):t()[{{1, 2}, {}}]:log() end):find "^%[log%] made Inf")
    assert.truthy(watched(function() return sq.zeros(4, {dtype = "float64"}):log() end):find "^%[log%] made Inf")
    assert.truthy(watched(function() sq.no_grad(function() sq.zeros(4):log_() end) end):find "^%[log%] made Inf")
    local w = sq.ones(2):requires_grad_()
    assert.truthy(watched(function() (w - 1):log_() end):find "^%[log%] made Inf")
    local big = sq.full({3}, 1e200, {dtype = "float64"}) -- whose squares overflow: no fault of its own
    assert.is_nil(watched(function() return big * 2 end))
  end)

  it("tells NaN that came from outside from NaN that was made", function()
    local net = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    net[1].weight.data[{2, 3}] = NAN
    local text = watched(function() return net(sq.ones(2, 3)) end):gsub(" %(in .*", "")
    assert.equal("[linear] weight (4,3) holds 1 NaN that no watched op made: look at the data, and at the last step of "
      .. "the optimizer (its gradients, its learning rate)", text)
    assert.truthy(watched(function() return sq.tensor {NAN, 1} + 1 end):find("[add] x (2) holds 1 NaN that no", 1, true))
  end)

  it("leaves what is meant alone: infinite masks, numbers that are written, what is not a float", function()
    local mask = sq.tensor {true, false}
    assert.is_nil(watched(function()
      local p = sq.ones(2):masked_fill(mask, -INF):softmax(1)
      assert.same({0, 1}, p:tolist())
      local bias = sq.tensor {-INF, 0}
      assert.same({0, 1}, (sq.ones(2) + bias):softmax(1):tolist())
      sq.tensor {NAN, 1}:isnan()
      sq.zeros(2):fill_(NAN)
      sq.tensor {1, 2}:to "int64":add(1)
      return sq.full({2}, INF):clamp(0, 1)
    end))
  end)

  it("is off by default, and outside of its block", function()
    assert.is_false(sq.is_anomaly_enabled())
    assert.same({-INF}, sq.zeros(1):log():tolist())
    do
      local _ <close> = sq.detect_anomaly()
      assert.is_true(sq.is_anomaly_enabled())
      do
        local _ <close> = sq.detect_anomaly()
      end
      assert.is_true(sq.is_anomaly_enabled())
    end
    assert.is_false(sq.is_anomaly_enabled())
    assert.same({1, 2}, {sq.detect_anomaly(function(a, b) return a, b end, 1, 2)})
    sq.set_detect_anomaly(true)
    assert.is_true(sq.is_anomaly_enabled())
    sq.set_detect_anomaly(false)
    assert.same({-INF}, sq.zeros(1):log():tolist())
  end)
end)

describe("sq.detect_anomaly, backward", function()
  it("names the op whose backward made it, and the line where the op ran", function()
    local w, ran, back = sq.tensor({0.0, 1.0, 4.0}):requires_grad_(), nil, nil
    local text, at = watched(function()
      ran = here() local y = w:sqrt()
      local loss = (y * 2):sum()
      back = here() loss:backward()
    end)
    assert.equal("[sqrt] its backward made Inf: the gradient of x (3) holds 1 Inf; the op ran at "
      .. "spec/autograd/anomaly_spec.lua:" .. ran, text)
    assert.equal(back, at)
    text = watched(function() sq.autograd.grad({(w * w):sqrt():sum()}, {w}) end)
    assert.truthy(text:find("[sqrt] its backward made Inf: the gradient of x (3) holds 1 Inf", 1, true), text)
  end)

  it("sees gradients that overflow where they are added", function()
    local w = sq.tensor({1.0}):requires_grad_()
    local text = watched(function()
      local y, big = w * 1, sq.tensor {2e38}
      local loss = y * big * 0.5 + y * big * 0.5
      loss:backward(sq.tensor {2})
    end)
    assert.truthy(text:find("[mul] the gradients that reach its result add up to Inf: their sum (1) holds 1 Inf; the op", 1,
      true), text)
  end)

  it("leaves the gradients of before, and works again after", function()
    local w = sq.tensor({0.0, 1.0}):requires_grad_()
    w:sum():backward()
    assert.truthy(watched(function() w:sqrt():sum():backward() end))
    assert.same({1, 1}, w.grad:tolist())
    assert.is_nil(watched(function() (w * w):sum():backward() end))
    assert.same({1, 3}, w.grad:tolist())
  end)

  it("changes no numbers, and leaks none", function()
    local function train()
      sq.manual_seed(3)
      local net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
      local opt = sq.optim.SGD(net:parameters(), {lr = 0.1})
      for _ = 1, 5 do
        opt:zero_grad()
        net(sq.randn(3, 4)):square():mean():backward()
        opt:step()
      end
      return net[1].weight:tolist()
    end
    local plain = train()
    assert.same(plain, sq.detect_anomaly(train))
    collectgarbage()
    collectgarbage()
    local before = sq.memory_stats().live_blocks
    watched(function() sq.tensor({0.0}):requires_grad_():sqrt():backward() end)
    watched(function() return sq.zeros(3):log() end)
    collectgarbage()
    collectgarbage()
    assert.equal(before, sq.memory_stats().live_blocks)
  end)
end)

describe("seqrt --detect-anomaly", function()
  it("watches a whole run", function()
    local path = support.write(support.tmpdir() .. "/s.lua", "local sq = require 'seqrt'\n"
      .. "local x = sq.zeros(2)\nprint(x:log())\n")
    local _, err, code = support.run {"--detect-anomaly", path}
    assert.equal(1, code)
    assert.truthy(err:find(path .. ":3: [log] made Inf: its result (2) holds 2 Inf: x (2) goes from 0 to 0\n", 1, true), err)
    _, err, code = support.run {path}
    assert.same({"", 0}, {err, code})
  end)
end)

-- optim_spec.lua: every optimizer against PyTorch over 1,000 steps, its state there and back, the same bits for any threads.
local golden = require "spec.golden.optim"
local sq = require "seqrt"
local support = require "spec.support"
local optim = sq.optim

local function parameters(dtype)
  local a = sq.arange(1, 6, { dtype = "float64" }) / 4
  local b = sq.arange(0, 4, { dtype = "float64" }):reshape(2, 2) / -3 + 0.3
  return a:to(dtype):requires_grad_(), b:to(dtype):requires_grad_()
end

-- optim.py's loss
local function loss(a, b, t, sign)
  local i = sq.arange(1, 6, { dtype = "float64" })
  local goal = (i * (0.1 * t)):sin():to(a.dtype)
  local x, y = a * i:to(a.dtype) / 2 - goal, b * b:t() + b - math.cos(0.05 * t)
  return ((x * x):sum() + (y * y):sum() / 4) * sign
end

local function make(case, a, b)
  local name, options = case[1], case[2]
  return optim[name]({ { params = { a } }, { params = { b }, lr = 0.5 * (options.lr or 0.01) } }, options)
end

local function steps(case, opt, a, b, first, last, at)
  for t = first, last do
    opt:zero_grad()
    loss(a, b, t, case[2].maximize and -1 or 1):backward()
    opt:step()
    if at then at(t) end
  end
end

local function label(case)
  local words = {}
  for key, value in pairs(case[2]) do
    words[#words + 1] = key .. "=" .. (type(value) == "table" and table.concat(value, ",") or tostring(value))
  end
  table.sort(words)
  return case[1] .. " " .. table.concat(words, " ")
end

local function check(case, dtype, rtol, last)
  local a, b = parameters(dtype)
  local row = { [1] = 3, [10] = 4, [100] = 5, [1000] = 6 }
  steps(case, make(case, a, b), a, b, 1, last, function(t)
    if not row[t] then return end
    local values = sq.cat({ a:detach(), b:detach():reshape(-1) }):tolist()
    support.assert_close(values, case[row[t]], rtol, rtol * 0.1, "step " .. t)
  end)
end

describe("an optimizer", function()
  for _, case in ipairs(golden.optimizers) do
    it("goes PyTorch's way for 1,000 steps: " .. label(case), function()
      check(case, "float64", 1e-9, 1000)
      check(case, "float32", 2e-4, 100)
    end)

    it("goes on from its state to the bit: " .. label(case), function()
      local path = support.tmpdir() .. "/state.safetensors"
      local a, b = parameters "float32"
      local opt = make(case, a, b)
      steps(case, opt, a, b, 1, 20)
      sq.save(path, { a = a, b = b, opt = opt:state_dict() })
      steps(case, opt, a, b, 21, 40)
      local saved = sq.load(path)
      local c, d = saved.a:requires_grad_(), saved.b:requires_grad_()
      local again = optim[case[1]]({ { params = { c } }, { params = { d } } }, { lr = 0.9 })
      again:load_state_dict(saved.opt)
      assert.equal(opt.param_groups[2].lr, again.param_groups[2].lr)
      steps(case, again, c, d, 21, 40)
      assert.is_true(a:equal(c))
      assert.is_true(b:equal(d))
    end)
  end

  it("gives the same bits for any number of threads", function()
    local threads = sq.get_num_threads()
    for _, case in ipairs(golden.optimizers) do
      local results = {}
      for n = 1, 4 do
        sq.set_num_threads(n)
        local generator = sq.Generator(1)
        local w = sq.randn(301, 401, { generator = generator }):requires_grad_()
        local v = sq.randn(7, { generator = generator }):requires_grad_()
        local opt = optim[case[1]]({ w, v }, case[2])
        for _ = 1, 3 do
          opt:zero_grad();
          ((w * w * w):sum() + (v * v):sum()):backward()
          opt:step()
        end
        results[n] = { w, v }
      end
      sq.set_num_threads(threads)
      for n = 2, 4 do
        for i = 1, 2 do assert.is_true(results[1][i]:equal(results[n][i]), label(case) .. ", threads " .. n) end
      end
    end
  end)

  it("leaves a parameter without gradient alone", function()
    for _, case in ipairs(golden.optimizers) do
      local a, b = parameters "float32"
      local before = b:detach():clone()
      local opt = make(case, a, b);
      (a * a):sum():backward()
      opt:step()
      assert.is_true(b:equal(before))
      assert.is_false(a:equal((parameters "float32")))
    end
  end)

  it("says what is wrong with a state", function()
    local a, b = parameters "float32"
    local opt = optim.Adam { a, b }
    opt:load_state_dict(opt:state_dict())
    local function raises(expected, state)
      local ok, message = pcall(opt.load_state_dict, opt, state)
      assert.is_false(ok)
      assert.truthy(tostring(message):find(expected, 1, true), tostring(message))
    end
    raises("the state has 0 parameter groups, the optimizer has 1", {})
    local state = opt:state_dict()
    state.state["3"] = {}
    raises("the state has a parameter 3, the optimizer has 2", state)
    local other = optim.Adam { b, a }
    ;((a * a):sum() + (b * b):sum()):backward()
    other:step()
    raises(", the parameter is (", other:state_dict())
  end)
end)

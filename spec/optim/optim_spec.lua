-- optim_spec.lua: every optimizer against PyTorch over 1,000 steps, its state there and back, the same bits for any threads.
local golden = require "spec.golden.optim"
local sq = require "seqrt"
local api = require "seqrt.api"
local support = require "spec.lib.support"
local optim = sq.optim

local classes = {}
for _, row in ipairs(api.list()) do
  if row.owner == "sq.optim" and row.kind == "function" then classes[#classes + 1] = row.name end
end

local function parameters(dtype)
  local a = sq.arange(1, 6, {dtype = "float64"}) / 4
  local b = sq.arange(0, 4, {dtype = "float64"}):reshape(2, 2) / -3 + 0.3
  return a:to(dtype):requires_grad_(), b:to(dtype):requires_grad_()
end

-- optim.py's loss
local function loss(a, b, t, sign)
  local i = sq.arange(1, 6, {dtype = "float64"})
  local goal = (i * (0.1 * t)):sin():to(a.dtype)
  local x, y = a * i:to(a.dtype) / 2 - goal, b * b:t() + b - math.cos(0.05 * t)
  return ((x * x):sum() + (y * y):sum() / 4) * sign
end

local function make(case, a, b)
  local name, options = case[1], case[2]
  return optim[name]({{params = {a}}, {params = {b}, lr = 0.5 * (options.lr or 0.01)}}, options)
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
  local row = {[1] = 3, [10] = 4, [100] = 5, [1000] = 6}
  steps(case, make(case, a, b), a, b, 1, last, function(t)
    if not row[t] then return end
    local values = sq.cat({a:detach(), b:detach():reshape(-1)}):tolist()
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
      sq.save(path, {a = a, b = b, opt = opt:state_dict()})
      steps(case, opt, a, b, 21, 40)
      local saved = sq.load(path)
      local c, d = saved.a:requires_grad_(), saved.b:requires_grad_()
      local again = optim[case[1]]({{params = {c}}, {params = {d}}}, {lr = 0.9})
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
        local w = sq.randn(301, 401, {generator = generator}):requires_grad_()
        local v = sq.randn(7, {generator = generator}):requires_grad_()
        local opt = optim[case[1]]({w, v}, case[2])
        for _ = 1, 3 do
          opt:zero_grad();
          ((w * w * w):sum() + (v * v):sum()):backward()
          opt:step()
        end
        results[n] = {w, v}
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

  it("has numbers for every class", function()
    local counted, missing = {}, {}
    for _, case in ipairs(golden.optimizers) do counted[case[1]] = true end
    for _, name in ipairs(classes) do
      if not counted[name] then missing[#missing + 1] = name end
    end
    support.assert_numbers(missing, "optim")
    assert.is_true(#classes >= 5)
  end)
end)

local function leaf(...) return sq.ones(...):requires_grad_() end

local function raises(expected, fn, ...)
  local ok, message = pcall(fn, ...)
  assert.is_false(ok)
  assert.truthy(tostring(message):find(expected, 1, true), tostring(message))
  assert.truthy(tostring(message):find "^[^:]*optim_spec.lua:%d+: ", "without the script's line: " .. tostring(message))
end

-- Everything of an optimizer that a load may change, as one text.
local function told(opt)
  local words = {}
  local function tell(name, value)
    if type(value) == "table" then
      local keys = {}
      for key in pairs(value) do keys[#keys + 1] = key end
      table.sort(keys, function(x, y) return tostring(x) < tostring(y) end)
      for _, key in ipairs(keys) do tell(name .. "." .. tostring(key), value[key]) end
    else
      if sq.is_tensor(value) then value = table.concat(value:reshape(-1):tolist(), ",") end
      words[#words + 1] = name .. " " .. tostring(value)
    end
  end
  tell("", opt:state_dict())
  return table.concat(words, "\n")
end

local function trained(name, options, ...)
  local params = {}
  for i, shape in ipairs {...} do params[i] = leaf(table.unpack(shape)) end
  local opt = optim[name](params, options)
  for _ = 1, 3 do
    opt:zero_grad()
    for _, w in ipairs(params) do (w * w):sum():backward() end
    opt:step()
  end
  return opt, params
end

describe("a state of an optimizer", function()
  it("of other parameters is refused, and nothing has changed", function()
    for _, name in ipairs(classes) do
      local opt = trained(name, {lr = 0.25}, {2}, {3, 4})
      local before = told(opt)
      local function refused(expected, ...)
        raises(expected, opt.load_state_dict, opt, trained(name, {lr = 0.5}, ...):state_dict())
        assert.equal(before, told(opt))
      end
      refused("group 1 of the state has 1 parameters, the optimizer's has 2", {2})
      refused("group 1 of the state has 3 parameters, the optimizer's has 2", {2}, {3, 4}, {5})
      refused("parameter 2 of the state is (4,3), the optimizer's is (3,4)", {2}, {4, 3})
      refused("parameter 1 of the state is (3,4), the optimizer's is (2)", {3, 4}, {2})
    end
  end)

  it("that is damaged is refused, and nothing has changed", function()
    local opt = trained("Adam", {lr = 0.25}, {2}, {3})
    local before = told(opt)
    local function refused(expected, change)
      local state = trained("Adam", {lr = 0.5}, {2}, {3}):state_dict()
      change(state)
      raises(expected, opt.load_state_dict, opt, state)
      assert.equal(before, told(opt))
    end
    refused("param_groups is no table", function(s) s.param_groups = nil end)
    refused("the state has 2 parameter groups, the optimizer has 1", function(s) s.param_groups[2] = s.param_groups[1] end)
    refused("param_groups[1].params is no table", function(s) s.param_groups[1].params = nil end)
    refused("param_groups[1] of the state has no lr", function(s) s.param_groups[1].lr = nil end)
    refused("a group has no option 'momentum'", function(s) s.param_groups[1].momentum = 0.9 end)
    refused("lr is the string", function(s) s.param_groups[1].lr = "0.1" end)
    refused("lr is -1: it must be 0 to inf", function(s) s.param_groups[1].lr = -1 end)
    refused("betas is a table: it must be a list of 2 numbers", function(s) s.param_groups[1].betas = {0.9} end)
    refused("the state has a parameter 3, the optimizer has 2", function(s) s.state["3"] = s.state["1"] end)
    refused("the state has a parameter x, the optimizer has 2", function(s) s.state.x = s.state["1"] end)
    refused("state['2'] is no table", function(s) s.state["2"] = 1 end)
    refused("the step of parameter 2 is 1.5", function(s) s.state["2"].step = 1.5 end)
    refused("the step of parameter 2 is nil", function(s) s.state["2"].step = nil end)
    refused("parameter 2 of the state has no exp_avg_sq", function(s) s.state["2"].exp_avg_sq = nil end)
    refused("parameter 2 of the state has square_avg: it is another optimizer's", function(s)
      s.state["2"].square_avg = sq.ones(3)
    end)
    refused("exp_avg of parameter 2 is no tensor", function(s) s.state["2"].exp_avg = 3 end)
    refused("exp_avg of parameter 2 is (4), the parameter is (3)", function(s) s.state["2"].exp_avg = sq.ones(4) end)
    raises("the state has 1 parameter groups, the optimizer has 2", function()
      local two = optim.SGD({{params = {leaf(2)}}, {params = {leaf(2)}}}, {lr = 1})
      two:load_state_dict(optim.SGD({leaf(2)}, {lr = 1}):state_dict())
    end)
  end)

  it("is the whole state: what an optimizer had before is gone", function()
    local opt, params = trained("Adam", {}, {2})
    local fresh = leaf(2)
    opt:load_state_dict(optim.Adam({fresh}):state_dict())
    params[1]:detach():fill_(1)
    local other = optim.Adam {fresh}
    for _, pair in ipairs {{opt, params[1]}, {other, fresh}} do
      pair[1]:zero_grad()
      ;(pair[2] * 3):sum():backward()
      pair[1]:step()
    end
    assert.is_true(params[1]:equal(fresh))
  end)

  it("is a copy: two optimizers with one state go their own ways", function()
    local opt = trained("Adam", {}, {2})
    local state = opt:state_dict()
    local other = trained("Adam", {}, {2})
    other:load_state_dict(state)
    local before = told(opt)
    state.state["1"].exp_avg:fill_(7)
    assert.not_equal(before, told(opt)) -- shared with the one that gave it
    assert.equal(before, told(other))
  end)

  it("keeps initial_lr and what else schedulers write down", function()
    local opt = optim.SGD({{params = {leaf(2)}, initial_lr = 0.5}}, {lr = 0.1})
    assert.equal(0.5, opt.param_groups[1].initial_lr)
    assert.is_nil(opt.param_groups[1].max_lr)
    local other = optim.SGD({leaf(2)}, {lr = 0.2})
    other.param_groups[1].max_lr = 3
    other:load_state_dict(opt:state_dict())
    assert.equal(0.5, other.param_groups[1].initial_lr)
    assert.is_nil(other.param_groups[1].max_lr)
    assert.equal(0.1, other.lr)
  end)
end)

describe("a group of an optimizer", function()
  it("takes leaves only", function()
    local w = leaf(2)
    raises("[optim.SGD] parameter 2 (2) is not a leaf: mul made it", optim.SGD, {w, w * 0.5}, {lr = 0.1})
    local opt = optim.Adam {w}
    local before = told(opt)
    raises("[optim.Adam] parameter 1 (2) is not a leaf", opt.add_param_group, opt, {params = {w + 1}})
    raises("[optim.Adam] parameter 1 is given twice", opt.add_param_group, opt, {params = {w}})
    raises("[optim.Adam] parameter 2 is given twice", optim.Adam, {w, w})
    raises("[optim.Adam] a group has no option 'lrr' (did you mean 'lr'?)", opt.add_param_group, opt,
      {params = {leaf(1)}, lrr = 1})
    raises("[optim.Adam] lr is -1: it must be 0 to inf", opt.add_param_group, opt, {params = {leaf(1)}, lr = -1})
    assert.equal(before, told(opt))
    optim.SGD({sq.ones(2)}, {lr = 0.1}) -- one without a gradient is a leaf: it stays
  end)

  it("has every option of its constructor, as PyTorch's has", function()
    assert.equal("SGD(1 parameters, lr=0.5, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=false, maximize=true)",
      tostring(optim.SGD({leaf(1)}, {lr = 0.5, maximize = true})))
    local opt = optim.AdamW({{params = leaf(2), lr = 0.5, betas = {0.5, 0.75}, eps = 1e-3, weight_decay = 0.25, amsgrad = true,
      maximize = true}, {params = {leaf(1)}}}, {betas = {0.25, 0.5}})
    local first, second = opt.param_groups[1], opt.param_groups[2]
    assert.same({0.5, 0.75}, first.betas)
    assert.same({0.25, 0.5}, second.betas)
    assert.same({0.5, 1e-3, 0.25, true, true}, {first.lr, first.eps, first.weight_decay, first.amsgrad, first.maximize})
    second.betas = {0.125, 0.5}
    assert.same({0.125, 0.5}, opt.param_groups[2].betas)
    assert.same({0.5, 0.75}, opt.betas)
    opt.betas = {0, 0.5}
    assert.same({{0, 0.5}, {0, 0.5}}, {first.betas, second.betas})
    raises("betas is a table: it must be a list of 2 numbers", function() first.betas = {0.1} end)
    raises("beta2 is 1: it must be 0 to 1", function() first.betas = {0.1, 1} end)
    raises("amsgrad is the number 1: it must be true or false", function() first.amsgrad = 1 end)
    raises("lr is the string", function() opt.lr = "1" end)
    raises("a group has no option 'beta' (did you mean 'betas'?)", function() first.beta = 1 end)
    raises("a group has no option 'beta1': give it 'betas'", optim.Adam, {{params = {leaf(1)}, beta1 = 0.5}})
    assert.same({0, 0.5}, first.betas)
  end)

  it("trains by its own betas", function()
    local a, b = leaf(3), leaf(3)
    local both = optim.Adam {{params = {a}, betas = {0.5, 0.75}}, {params = {b}}}
    local c, d = leaf(3), leaf(3)
    local one, two = optim.Adam({c}, {betas = {0.5, 0.75}}), optim.Adam {d}
    for _ = 1, 5 do
      for _, opt in ipairs {both, one, two} do opt:zero_grad() end
      for _, w in ipairs {a, b, c, d} do (w * w * w):sum():backward() end
      for _, opt in ipairs {both, one, two} do opt:step() end
    end
    assert.is_true(a:equal(c) and b:equal(d))
    assert.is_false(a:equal(b))
  end)
end)

describe("momentum that is switched on later", function()
  it("starts with the gradient, as PyTorch's buffer does", function()
    local w = leaf(1)
    local opt = optim.SGD({w}, {lr = 1, dampening = 0.5})
    local function step()
      opt:zero_grad();
      (w * 0.25):sum():backward()
      opt:step()
    end
    step()
    opt.momentum = 0.5
    step()
    assert.equal(0.5, w:detach():item()) -- 1 - 0.25 - 0.25
    step()
    assert.equal(0.25, w:detach():item()) -- the buffer is 0.5 * 0.25 + 0.5 * 0.25
  end)
end)

-- scheduler_spec.lua: every schedule against PyTorch over 200 places, momentum included; its state there and back.
local golden = require "spec.golden.optim"
local sq = require "seqrt"
local api = require "seqrt.api"
local support = require "spec.lib.support"
local optim = sq.optim

local PLACES = 200

-- A scheduler of the case and its optimizer, which prepare(optimizer) sees before.
local function start(case, prepare, last_epoch)
  local name, optimizer, options = case[1], case[2], {}
  local more = {lr = 0.5}
  if optimizer == "SGD" then more.momentum = 0.9 end
  local opt = optim[optimizer]({{params = {sq.ones(2):requires_grad_()}},
    {params = {sq.ones(3):requires_grad_()}, lr = 0.25}}, more)
  for key, value in pairs(case[3]) do options[key] = value end
  if name == "LambdaLR" then
    options.lr_lambda = {function(n) return 0.95 ^ n end, function(n) return 1 / (1 + n) end}
  end
  options.optimizer, options.last_epoch = opt, last_epoch
  if prepare then prepare(opt) end
  local scheduler = optim.lr_scheduler[name](options)
  opt:step()
  return scheduler, opt
end

-- What ReduceLROnPlateau watches, as in optim.py.
local function watched(t) return 1 / (1 + t // 20) + 0.01 * ((t * 7) % 5) end

local function step(case, scheduler, t)
  if case[1] == "ReduceLROnPlateau" then scheduler:step(watched(t)) else scheduler:step() end
end

local function now(case, opt)
  local first, second = opt.param_groups[1], opt.param_groups[2]
  return {first.lr, second.lr, case[2] == "SGD" and first.momentum or first.beta1}
end

local function label(i, case)
  local words = {}
  for key, value in pairs(case[3]) do
    words[#words + 1] = key .. "=" .. (type(value) == "table" and table.concat(value, ",") or tostring(value))
  end
  table.sort(words)
  return ("%d %s %s"):format(i, case[1], table.concat(words, " "))
end

describe("a scheduler", function()
  for i, case in ipairs(golden.schedulers) do
    it("has PyTorch's rates at 0 to 200: " .. label(i, case), function()
      local scheduler, opt = start(case)
      for t = 0, PLACES do
        local values = now(case, opt)
        local expected = {case[4][t + 1], values[2], values[3]}
        if t % 10 == 0 then expected = {case[4][t + 1], case[5][t // 10 + 1], case[6][t // 10 + 1]} end
        support.assert_close(values, expected, 1e-9, 1e-15, "place " .. t)
        support.assert_close(scheduler:get_last_lr(), {values[1], values[2]}, 0, 0, "get_last_lr")
        if t < PLACES then step(case, scheduler, t) end
      end
    end)

    it("goes on from its state to the bit: " .. label(i, case), function()
      local path = support.tmpdir() .. "/state.safetensors"
      for _, place in ipairs {0, 1, 77} do
        local scheduler, opt = start(case)
        for t = 0, place - 1 do step(case, scheduler, t) end
        sq.save(path, {scheduler = scheduler:state_dict(), opt = opt:state_dict()})
        local saved = sq.load(path)
        local again, other = start(case)
        other:load_state_dict(saved.opt)
        again:load_state_dict(saved.scheduler)
        for t = place, PLACES - 1 do
          assert.same(now(case, opt), now(case, other))
          step(case, scheduler, t)
          step(case, again, t)
        end
        assert.same(now(case, opt), now(case, other))
      end
    end)
  end

  for _, case in ipairs(golden.resumes) do
    local number, place, how, want = table.unpack(case)
    local schedule = golden.schedulers[number]
    it(("goes on as PyTorch's from place %d, %s: %s"):format(place, how, label(number, schedule)), function()
      local scheduler, opt = start(schedule)
      for t = 0, place - 1 do step(schedule, scheduler, t) end
      if how == "hand" then opt.param_groups[1].lr = 0.123 end
      local again, other
      if how == "made" then
        again, other = start(schedule, function(new) new:load_state_dict(opt:state_dict()) end, scheduler.last_epoch)
      else
        again, other = start(schedule)
        other:load_state_dict(opt:state_dict())
        again:load_state_dict(scheduler:state_dict())
      end
      local got = {}
      for t = place, place + 9 do
        local last = again:get_last_lr()
        table.move(now(schedule, other), 1, 3, #got + 1, got)
        table.move(last, 1, 2, #got + 1, got)
        step(schedule, again, t)
      end
      support.assert_close(got, want, 1e-9, 1e-15, "resumed")
    end)
  end

  it("has numbers for every class", function()
    local counted, resumed, missing = {}, {}, {}
    for _, case in ipairs(golden.schedulers) do counted[case[1]] = true end
    for _, case in ipairs(golden.resumes) do resumed[golden.schedulers[case[1]][1]] = true end
    for _, row in ipairs(api.list()) do
      if row.owner == "sq.optim.lr_scheduler" and not (counted[row.name] and resumed[row.name]) then
        missing[#missing + 1] = row.name
      end
    end
    support.assert_numbers(missing, "optim")
    assert.is_true(resumed.StepLR and resumed.OneCycleLR)
  end)

  it("that is made with last_epoch wants the base rates", function()
    local opt = optim.SGD({sq.ones(1, {requires_grad = true})}, {lr = 0.1})
    local ok, message = pcall(optim.lr_scheduler.StepLR, opt, 2, {last_epoch = 3})
    assert.is_false(ok)
    assert.truthy(message:find "scheduler_spec.lua:%d+: %[lr_scheduler.StepLR%] initial_lr is not specified in", message)
    assert.truthy(message:find("param_groups[1], and last_epoch = 3 goes on from it", 1, true), message)
    ok, message = pcall(optim.lr_scheduler.OneCycleLR, opt, {max_lr = 1, total_steps = 9, last_epoch = 3})
    assert.is_false(ok)
    assert.truthy(message:find("initial_lr is not specified in param_groups[1]", 1, true), message)
  end)

  it("keeps the base rate of the first one", function()
    local opt = optim.SGD({sq.ones(1, {requires_grad = true})}, {lr = 0.5})
    optim.lr_scheduler.LambdaLR(opt, function() return 0.5 end)
    assert.equal(0.25, opt.lr)
    optim.lr_scheduler.LambdaLR(opt, function() return 1 end)
    assert.equal(0.5, opt.lr)
    assert.equal(0.5, opt.param_groups[1].initial_lr)
  end)

  it("says so once when its first step comes before the optimizer's", function()
    local dir = support.tmpdir()
    support.write(dir .. "/s.lua", [[
local sq = require "seqrt"
local function made(kind, ...)
  local opt = sq.optim.SGD({sq.ones(1, {requires_grad = true})}, {lr = 1})
  return sq.optim.lr_scheduler[kind](opt, ...), opt
end
local early = made("StepLR", 2)
early:step() -- line 7
early:step()
local right, opt = made("ExponentialLR", 0.5)
opt:step() right:step()
made("ReduceLROnPlateau"):step(1)
local again = made("StepLR", 2)
again:load_state_dict(early:state_dict())
again:step()
local failed, broken = made("StepLR", 2)
broken.param_groups[1].params[1]:sum():backward()
broken.param_groups[1].params[1].grad = nil
failed:step() -- line 18
]])
    local _, err, code = support.run {dir .. "/s.lua"}
    assert.equal(0, code, err)
    local lines = {}
    for line in err:gmatch "s.lua:(%d+): warning: %[lr_scheduler.StepLR%] its first step comes before the optimizer's" do
      lines[#lines + 1] = line
    end
    assert.same({"7", "18"}, lines, err)
    assert.equal(2, select(2, err:gsub("\n", "")), err)
  end)

  it("takes a value to watch where it watches one, and nothing else", function()
    local function refused(expected, scheduler, ...)
      local ok, message = pcall(scheduler.step, scheduler, ...)
      assert.is_false(ok)
      assert.truthy(message:find "^spec/optim/scheduler_spec.lua:%d+: %[lr_scheduler%.", message)
      assert.truthy(message:find(expected, 1, true), message)
      assert.equal(0, scheduler.last_epoch)
    end
    local function plateau() return optim.lr_scheduler.ReduceLROnPlateau(optim.SGD {sq.ones(1):requires_grad_()}) end
    local wants = ": it needs the value to watch, a number or a tensor with one element, as in scheduler:step(loss)"
    refused("step got nothing" .. wants, plateau())
    refused("step got 'x'" .. wants, plateau(), "x")
    refused("step got a boolean" .. wants, plateau(), true)
    refused("step got a table" .. wants, plateau(), {1})
    refused("step got a Tensor of 2 elements, float32" .. wants, plateau(), sq.ones(2))
    refused("step got a Tensor of 1 elements, bool" .. wants, plateau(), sq.ones(1):gt(0))
    refused("[lr_scheduler.StepLR] step takes nothing, it got 3: ReduceLROnPlateau takes", start(golden.schedulers[1]), 3)
    for _, value in ipairs {1, 0.5, sq.tensor(0.5), sq.ones(1, 1), sq.tensor {3}} do
      local scheduler = plateau()
      scheduler:step(value)
      assert.equal(1, scheduler.last_epoch)
      assert.equal(type(value) == "number" and value or value:item(), scheduler.best)
    end
  end)

  it("refuses a state that is none", function()
    local scheduler, opt = start(golden.schedulers[3])
    local function refused(expected, change)
      local state = start(golden.schedulers[3]):state_dict()
      state.lrs = {7, 7}
      state = change(state) or state
      local ok, message = pcall(scheduler.load_state_dict, scheduler, state)
      assert.is_false(ok)
      assert.truthy(tostring(message):find(expected, 1, true), tostring(message))
      assert.same({0.5, 0.25}, {opt.param_groups[1].lr, opt.param_groups[2].lr})
      assert.equal(0, scheduler.last_epoch)
    end
    refused("this is no state of a scheduler", function() return {} end)
    refused("this is no state of a scheduler", function(s) s.last_epoch = nil end)
    refused("the state is of StepLR", function() return start(golden.schedulers[1]):state_dict() end)
    refused("last_epoch is 1.5: it must be of type integer", function(s) s.last_epoch = 1.5 end)
    refused("gamma is 0.1x: it must be of type number", function(s) s.gamma = "0.1x" end)
    refused("milestones is 3: it must be of type list", function(s) s.milestones = 3 end)
    refused("there is no 'gama' in its state (did you mean 'gamma'?)", function(s) s.gama = 1 end)
    refused("lrs has 1 rates, the optimizer has 2 groups", function(s) s.lrs = {7} end)
    refused("base_lrs is nil: it must be of type list", function(s) s.base_lrs = nil end)
  end)
end)

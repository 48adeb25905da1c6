-- scheduler_spec.lua: every schedule against PyTorch over 200 places, momentum included; its state there and back.
local golden = require "spec.golden.optim"
local sq = require "seqrt"
local support = require "spec.support"
local optim = sq.optim

local PLACES = 200

local function start(case)
  local name, optimizer, options = case[1], case[2], {}
  local more = { lr = 0.5 }
  if optimizer == "SGD" then more.momentum = 0.9 end
  local opt = optim[optimizer]({ { params = { sq.ones(2):requires_grad_() } },
    { params = { sq.ones(3):requires_grad_() }, lr = 0.25 } }, more)
  for key, value in pairs(case[3]) do options[key] = value end
  if name == "LambdaLR" then
    options.lr_lambda = { function(n) return 0.95 ^ n end, function(n) return 1 / (1 + n) end }
  end
  options.optimizer = opt
  return optim.lr_scheduler[name](options), opt
end

-- What ReduceLROnPlateau watches, as in optim.py.
local function watched(t) return 1 / (1 + t // 20) + 0.01 * ((t * 7) % 5) end

local function step(case, scheduler, t)
  if case[1] == "ReduceLROnPlateau" then scheduler:step(watched(t)) else scheduler:step() end
end

local function now(case, opt)
  local first, second = opt.param_groups[1], opt.param_groups[2]
  return { first.lr, second.lr, case[2] == "SGD" and first.momentum or first.beta1 }
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
        local expected = { case[4][t + 1], values[2], values[3] }
        if t % 10 == 0 then expected = { case[4][t + 1], case[5][t // 10 + 1], case[6][t // 10 + 1] } end
        support.assert_close(values, expected, 1e-9, 1e-15, "place " .. t)
        support.assert_close(scheduler:get_last_lr(), { values[1], values[2] }, 0, 0, "get_last_lr")
        if t < PLACES then step(case, scheduler, t) end
      end
    end)

    it("goes on from its state to the bit: " .. label(i, case), function()
      local path = support.tmpdir() .. "/state.safetensors"
      for _, place in ipairs { 0, 1, 77 } do
        local scheduler, opt = start(case)
        for t = 0, place - 1 do step(case, scheduler, t) end
        sq.save(path, { scheduler = scheduler:state_dict(), opt = opt:state_dict() })
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

  it("refuses a state that is none", function()
    local scheduler = start(golden.schedulers[1])
    local ok, message = pcall(scheduler.load_state_dict, scheduler, {})
    assert.is_false(ok)
    assert.truthy(tostring(message):find("this is no state of a scheduler", 1, true), tostring(message))
  end)
end)

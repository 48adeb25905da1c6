-- optim.lua: parameter groups as tables, and state dicts of optimizers.

local core = require "seqrt.optimizer"
local fail = require "seqrt.api".fail
local optim = {}

-- opt.param_groups[i]: options by name, read from and written to the optimizer; params is the list of tensors.
local function group(opt, i, first, n)
  local params = {}
  for k = 1, n do params[k] = core.param(opt, first + k - 1) end
  return setmetatable({ params = params }, {
    __index = function(_, name) return core.get(opt, i, name) end,
    __newindex = function(_, name, value) core.set(opt, i, name, value) end,
    __dir = core.hypers(opt),
  })
end

function optim.param_groups(opt)
  local groups, first = {}, 1
  for i, n in ipairs(core.sizes(opt)) do
    groups[i] = group(opt, i, first, n)
    first = first + n
  end
  return groups
end

-- {state = {["1"] = {step, exp_avg, ...}, ...}, param_groups = {["1"] = {lr, ...}, ...}}; numbers are positions as text,
-- so that sq.save can write it.
function optim.state_dict(opt)
  local dict, total = { state = {}, param_groups = {} }, 0
  for i, n in ipairs(core.sizes(opt)) do
    local options = {}
    for _, name in ipairs(core.hypers(opt)) do options[name] = core.get(opt, i, name) end
    dict.param_groups[tostring(i)] = options
    total = total + n
  end
  for i = 1, total do dict.state[tostring(i)] = core.state(opt, i) end
  return dict
end

local function check(opt, dict)
  local groups, params = core.sizes(opt), 0
  for _, n in ipairs(groups) do params = params + n end
  local found = 0
  for _ in pairs(dict.param_groups or {}) do found = found + 1 end
  if found ~= #groups then
    fail("[load_state_dict] the state has %d parameter groups, the optimizer has %d", found, #groups)
  end
  for key, state in pairs(dict.state or {}) do
    local i = tonumber(key)
    if not i or i < 1 or i > params then
      fail("[load_state_dict] the state has a parameter %s, the optimizer has %d", key, params)
    end
    for name, value in pairs(state) do
      if name ~= "step" and tostring(value.shape) ~= tostring(core.param(opt, i).shape) then
        fail("[load_state_dict] %s of parameter %d is %s, the parameter is %s", name, i, value.shape,
          core.param(opt, i).shape)
      end
    end
  end
end

-- Checks all of it, then takes it over.
function optim.load_state_dict(opt, dict)
  check(opt, dict)
  for i in ipairs(core.sizes(opt)) do
    for name, value in pairs(dict.param_groups[tostring(i)]) do core.set(opt, i, name, value) end
  end
  for key, state in pairs(dict.state) do core.load(opt, tonumber(key), state) end
end

return optim

-- optim.lua: parameter groups as tables, and state dicts of optimizers.

local core = require "seqrt.optimizer"
local fail = require "seqrt.api".fail
local is_tensor = require "seqrt".is_tensor
local optim = {}

-- opt.param_groups[i]: options by name, read from and written to the optimizer; params is the list of tensors.
local function group(opt, i, first, n)
  local params = {}
  for k = 1, n do params[k] = core.param(opt, first + k - 1) end
  return setmetatable({params = params}, {
    __index = function(_, name) return core.get(opt, i, name) end,
    __newindex = function(_, name, value) core.set(opt, i, name, value) end,
    __dir = (core.options(opt)),
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

-- The shapes of n parameters from `first` on: what a state has as a group's params, where PyTorch's has numbers.
local function shapes(opt, first, n)
  local list = {}
  for k = 1, n do list[k] = tostring(core.param(opt, first + k - 1).shape) end
  return list
end

-- {state = {["1"] = {step, exp_avg, ...}, ...}, param_groups = {{params = shapes, lr, betas, initial_lr, ...}, ...}}.
-- A parameter that has made no step has no state, so its keys are positions as text, which files can hold.
function optim.state_dict(opt)
  local dict, total = {state = {}, param_groups = {}}, 0
  for i, n in ipairs(core.sizes(opt)) do
    local options = {params = shapes(opt, total + 1, n)}
    for _, names in ipairs {core.options(opt)} do
      for _, name in ipairs(names) do options[name] = core.get(opt, i, name) end
    end
    dict.param_groups[i] = options
    total = total + n
  end
  for i = 1, total do dict.state[tostring(i)] = core.state(opt, i) end
  return dict
end

-- --- loading: all of a state is checked and copied before any of it counts ------------------------------------------

local function want_table(value, what)
  if type(value) ~= "table" then fail("[load_state_dict] %s is no table: give it what state_dict gave", what) end
  return value
end

local function check_shapes(saved, own, i, first)
  if #saved ~= #own then
    fail("[load_state_dict] group %d of the state has %d parameters, the optimizer's has %d", i, #saved, #own)
  end
  for k, shape in ipairs(own) do
    if saved[k] ~= shape then
      fail("[load_state_dict] parameter %d of the state is %s, the optimizer's is %s", first + k, tostring(saved[k]), shape)
    end
  end
end

local function check_groups(opt, dict)
  local sizes, saved = core.sizes(opt), want_table(want_table(dict, "the state").param_groups, "param_groups")
  if #saved ~= #sizes then
    fail("[load_state_dict] the state has %d parameter groups, the optimizer has %d", #saved, #sizes)
  end
  local first = 0
  for i, n in ipairs(sizes) do
    local what = format("param_groups[%d]", i)
    local options = want_table(saved[i], what)
    check_shapes(want_table(options.params, what .. ".params"), shapes(opt, first + 1, n), i, first)
    core.check(opt, options)
    for _, name in ipairs((core.options(opt))) do
      if options[name] == nil then fail("[load_state_dict] %s of the state has no %s", what, name) end
    end
    first = first + n
  end
  return first
end

local function check_keys(state, params)
  for key in pairs(want_table(state, "state")) do
    local i = math.tointeger(tonumber(key))
    if not i or i < 1 or i > params or tostring(i) ~= key then
      fail("[load_state_dict] the state has a parameter %s, the optimizer has %d", tostring(key), params)
    end
  end
end

local function copied_tensor(opt, i, name, value)
  local shape = tostring(core.param(opt, i).shape)
  if not is_tensor(value) then fail("[load_state_dict] %s of parameter %d is no tensor", name, i) end
  if tostring(value.shape) ~= shape then
    fail("[load_state_dict] %s of parameter %d is %s, the parameter is %s", name, i, tostring(value.shape), shape)
  end
  return core.copied(opt, i, value)
end

-- The state of parameter i, copied.
local function copy_state(opt, i, saved)
  want_table(saved, format("state['%d']", i))
  if math.type(saved.step) ~= "integer" or saved.step < 0 then
    fail("[load_state_dict] the step of parameter %d is %s: it must be a whole number", i, tostring(saved.step))
  end
  local copy, states = {step = saved.step}, core.states(opt)
  for name, value in pairs(saved) do
    if name ~= "step" then
      if states[name] == nil then
        fail("[load_state_dict] parameter %d of the state has %s: it is another optimizer's", i, tostring(name))
      end
      copy[name] = copied_tensor(opt, i, name, value)
    end
  end
  for name, required in pairs(states) do
    if required and not copy[name] then fail("[load_state_dict] parameter %d of the state has no %s", i, name) end
  end
  return copy
end

function optim.load_state_dict(opt, dict)
  local params, states = check_groups(opt, dict), {}
  check_keys(dict.state, params)
  for i = 1, params do
    local saved = dict.state[tostring(i)]
    states[i] = saved and copy_state(opt, i, saved) or {step = 0}
  end
  for i, saved in ipairs(dict.param_groups) do
    for _, names in ipairs {core.options(opt)} do
      for _, name in ipairs(names) do core.set(opt, i, name, saved[name]) end
    end
  end
  for i, own in ipairs(states) do core.adopt(opt, i, own) end
end

return optim

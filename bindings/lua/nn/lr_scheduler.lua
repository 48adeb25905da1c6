-- lr_scheduler.lua: learning rates that change from step to step: PyTorch's sequences of values, to rounding.
--
-- A scheduler sets the rates of all groups when it is made (place 0) and at each step. `last_epoch` is the place. Each
-- kind gives next(self, group): the rate of a group at the new place, often from the rate that stands, as in PyTorch, so
-- that schedulers can be chained.

local api = require "seqrt.api"
local fail = api.fail

local Scheduler = {}
Scheduler.__index = Scheduler
Scheduler.__name = "Scheduler"

local method = api.class {name = "Scheduler", methods = Scheduler,
  doc = "Changes the learning rates of an optimizer's groups from step to step.",
  example = "for epoch = 1, 10 do train(); scheduler:step() end",
  fields = {{"last_epoch", "int", "How many steps were taken."}, {"optimizer", "Optimizer", "Whose rates it sets."}}}

local function rates(self)
  local list = {}
  for i, group in ipairs(self.optimizer.param_groups) do list[i] = group.lr end
  return list
end

method("step", "(metric: any? = nil)", "One place further; ReduceLROnPlateau takes the value to watch.",
  function(self)
    self.last_epoch = self.last_epoch + 1
    local values = {}
    for i, group in ipairs(self.optimizer.param_groups) do values[i] = self:next(i, group) end
    for i, group in ipairs(self.optimizer.param_groups) do group.lr = values[i] end
  end)

method("get_last_lr", "() -> table", "The rate of each group.",
  function(self) return rates(self) end)

-- Lists as tables with text keys, which files can hold.
local function packed(list)
  local out = {}
  for i, v in ipairs(list) do out[tostring(i)] = v end
  return out
end

local function unpacked(map)
  local out = {}
  for k, v in pairs(map) do out[tonumber(k)] = v end
  return out
end

method("state_dict", "() -> table",
  "All numbers, strings and flags of the scheduler, for a checkpoint; functions stay with the script.",
  function(self)
    local state = {}
    for key, value in pairs(self) do
      local kind = type(value)
      if kind == "number" or kind == "string" or kind == "boolean" then state[key] = value end
    end
    state.base_lrs = packed(self.base_lrs)
    state.last_lr = packed(rates(self))
    return state
  end)

method("load_state_dict", "(state_dict: table)", "Takes over what state_dict gave, the groups' rates too.",
  function(self, state)
    if type(state) ~= "table" or not state.last_epoch or not state.base_lrs or not state.last_lr then
      fail("[%s] load_state_dict: this is no state of a scheduler", self.name)
    end
    local lrs, groups = unpacked(state.last_lr), self.optimizer.param_groups
    if #lrs ~= #groups then
      fail("[%s] load_state_dict: the state has %d rates, the optimizer has %d groups", self.name, #lrs, #groups)
    end
    for key, value in pairs(state) do
      if key ~= "base_lrs" and key ~= "last_lr" then self[key] = value end
    end
    self.base_lrs = unpacked(state.base_lrs)
    for i, group in ipairs(groups) do group.lr = lrs[i] end
  end)

-- A scheduler of that kind at place 0, or, for last_epoch >= 0, going on from there: the groups' rates are what they are.
local function start(name, optimizer, last_epoch, next_rate, fields)
  local self = setmetatable(fields, Scheduler)
  self.name, self.optimizer, self.next, self.last_epoch = name, optimizer, next_rate, last_epoch
  self.base_lrs = self.base_lrs or rates(self)
  self:step()
  return self
end

local lr_scheduler = {}

local EXAMPLES = {
  StepLR = "(opt, 30, {gamma = 0.1})", MultiStepLR = "(opt, {30, 80})", ExponentialLR = "(opt, 0.95)",
  CosineAnnealingLR = "(opt, 100)", LambdaLR = "(opt, function(n) return 0.95 ^ n end)",
  OneCycleLR = "(opt, 0.01, {total_steps = 1000})", ReduceLROnPlateau = "(opt, {patience = 5})",
}

-- `takes` is what the constructor has after the optimizer; make(optimizer, ...) gets it complete.
local function define(name, takes, doc, make)
  lr_scheduler[name] = api.define {owner = "sq.optim.lr_scheduler", name = name, doc = doc, call = make,
    example = ("local scheduler = optim.lr_scheduler.%s%s"):format(name, EXAMPLES[name]),
    signature = "(optimizer: Optimizer, " .. takes .. ") -> Scheduler"}
end

-- --- kinds -----------------------------------------------------------------------------------------------------

define("StepLR", "step_size: int, gamma: number = 0.1, last_epoch: int = -1", "lr times gamma every step_size steps.",
  function(optimizer, step_size, gamma, last_epoch)
    if step_size < 1 then fail("[lr_scheduler.StepLR] step_size is %d: it must be at least 1", step_size) end
    local function next_rate(self, _, group)
      local at = self.last_epoch
      return at > 0 and at % self.step_size == 0 and group.lr * self.gamma or group.lr
    end
    return start("lr_scheduler.StepLR", optimizer, last_epoch, next_rate, {step_size = step_size, gamma = gamma})
  end)

define("MultiStepLR", "milestones: ints, gamma: number = 0.1, last_epoch: int = -1",
  "lr times gamma at each milestone; one that stands twice counts twice.",
  function(optimizer, milestones, gamma, last_epoch)
    local times = {}
    for _, at in ipairs(type(milestones) == "table" and milestones or {milestones}) do times[at] = (times[at] or 0) + 1 end
    local function next_rate(self, _, group) return group.lr * self.gamma ^ (times[self.last_epoch] or 0) end
    return start("lr_scheduler.MultiStepLR", optimizer, last_epoch, next_rate, {gamma = gamma})
  end)

define("ExponentialLR", "gamma: number, last_epoch: int = -1", "lr times gamma at every step.",
  function(optimizer, gamma, last_epoch)
    local function next_rate(self, _, group) return self.last_epoch == 0 and group.lr or group.lr * self.gamma end
    return start("lr_scheduler.ExponentialLR", optimizer, last_epoch, next_rate, {gamma = gamma})
  end)

-- Loshchilov and Hutter 2016 (SGDR), without restarts; from the rate that stands, as PyTorch does it.
local function cosine(self, i, group)
  local t, T, low = self.last_epoch, self.T_max, self.eta_min
  if t == 0 then return group.lr end
  if (t - 1 - T) % (2 * T) == 0 then
    return group.lr + (self.base_lrs[i] - low) * (1 - math.cos(math.pi / T)) / 2
  end
  return (1 + math.cos(math.pi * t / T)) / (1 + math.cos(math.pi * (t - 1) / T)) * (group.lr - low) + low
end

define("CosineAnnealingLR", "T_max: int, eta_min: number = 0, last_epoch: int = -1",
  "From lr to eta_min in T_max steps along half a cosine, and back.",
  function(optimizer, T_max, eta_min, last_epoch)
    if T_max < 1 then fail("[lr_scheduler.CosineAnnealingLR] T_max is %d: it must be at least 1", T_max) end
    return start("lr_scheduler.CosineAnnealingLR", optimizer, last_epoch, cosine, {T_max = T_max, eta_min = eta_min})
  end)

define("LambdaLR", "lr_lambda: any, last_epoch: int = -1",
  "The first lr times lr_lambda(place), places from 0; one function, or a list with one for each group.",
  function(optimizer, lr_lambda, last_epoch)
    local groups = #optimizer.param_groups
    if type(lr_lambda) == "table" and #lr_lambda ~= groups then
      fail("[lr_scheduler.LambdaLR] there are %d functions for %d groups", #lr_lambda, groups)
    end
    local function next_rate(self, i)
      local fn = type(lr_lambda) == "table" and lr_lambda[i] or lr_lambda
      return self.base_lrs[i] * fn(self.last_epoch)
    end
    return start("lr_scheduler.LambdaLR", optimizer, last_epoch, next_rate, {})
  end)

-- --- OneCycleLR (Smith and Topin 2018) ----------------------------------------------------------------------------

local anneal = {
  cos = function(from, to, part) return to + (from - to) / 2 * (1 + math.cos(math.pi * part)) end,
  linear = function(from, to, part) return (to - from) * part + from end,
}

-- The phases as {last place, rate from, rate to, momentum from, momentum to}, names of levels.
local function phases(total, pct_start, three)
  if three then
    return {
      {pct_start * total - 1, "initial", "max", "high", "low"},
      {2 * pct_start * total - 2, "max", "initial", "low", "high"},
      {total - 1, "initial", "min", "high", "high"},
    }
  end
  return {{pct_start * total - 1, "initial", "max", "high", "low"}, {total - 1, "max", "min", "low", "high"}}
end

-- Momentum, or Adam's first beta, of a group.
local function momentum_name(group)
  if group.momentum ~= nil then return "momentum" end
  return group.beta1 ~= nil and "beta1" or nil
end

local function one_cycle(self, i, group)
  if self.last_epoch > self.total_steps then
    fail("[lr_scheduler.OneCycleLR] step %d of %d", self.last_epoch, self.total_steps)
  end
  local level, first = self.levels[i], 0
  for k, p in ipairs(self.phases) do
    if self.last_epoch <= p[1] or k == #self.phases then
      local part, by = (self.last_epoch - first) / (p[1] - first), anneal[self.anneal_strategy]
      if self.cycle_momentum then group[momentum_name(group)] = by(level[p[4]], level[p[5]], part) end
      return by(level[p[2]], level[p[3]], part)
    end
    first = p[1]
  end
end

-- One number for all groups, or a list.
local function each(value, i) return type(value) == "table" and value[i] or value end

define("OneCycleLR", "max_lr: numbers, total_steps: int? = nil, epochs: int? = nil, steps_per_epoch: int? = nil, "
  .. "pct_start: number = 0.3, anneal_strategy: \"cos\"|\"linear\" = cos, cycle_momentum: bool = true, "
  .. "base_momentum: numbers? = nil, max_momentum: numbers? = nil, div_factor: number = 25, final_div_factor: number = 10000, "
  .. "three_phase: bool = false",
  "From max_lr / div_factor up to max_lr and down to almost 0; momentum the other way round.",
  function(optimizer, max_lr, total_steps, epochs, steps_per_epoch, pct_start, anneal_strategy, cycle_momentum,
           base_momentum, max_momentum, div_factor, final_div_factor, three_phase)
    if not total_steps and not (epochs and steps_per_epoch) then
      fail("[lr_scheduler.OneCycleLR] give total_steps, or epochs and steps_per_epoch")
    end
    total_steps = total_steps or epochs * steps_per_epoch
    if total_steps < 1 then fail("[lr_scheduler.OneCycleLR] total_steps is %d: it must be at least 1", total_steps) end
    if pct_start < 0 or pct_start > 1 then
      fail("[lr_scheduler.OneCycleLR] pct_start is %g: it must be 0 to 1", pct_start)
    end
    local levels, base_lrs = {}, {}
    for i, group in ipairs(optimizer.param_groups) do
      local top = each(max_lr, i)
      local first = top / div_factor
      if cycle_momentum and not momentum_name(group) then
        fail("[lr_scheduler.OneCycleLR] the optimizer has no momentum: say cycle_momentum = false")
      end
      levels[i] = {initial = first, max = top, min = first / final_div_factor, low = each(base_momentum or 0.85, i),
        high = each(max_momentum or 0.95, i)}
      base_lrs[i] = first
    end
    return start("lr_scheduler.OneCycleLR", optimizer, -1, one_cycle, {total_steps = total_steps, levels = levels,
      base_lrs = base_lrs, phases = phases(total_steps, pct_start, three_phase), anneal_strategy = anneal_strategy,
      cycle_momentum = cycle_momentum})
  end)

-- --- ReduceLROnPlateau ----------------------------------------------------------------------------------------------

local Plateau = setmetatable({}, {__index = Scheduler})
Plateau.__index = Plateau
Plateau.__name = "Scheduler"

local function better(self, value)
  local relative, margin = self.threshold_mode == "rel", self.threshold
  if self.mode == "min" then
    return value < (relative and self.best * (1 - margin) or self.best - margin)
  end
  return value > (relative and self.best * (1 + margin) or self.best + margin)
end

local function reduce(self)
  for i, group in ipairs(self.optimizer.param_groups) do
    local old = group.lr
    local new = math.max(old * self.factor, each(self.min_lrs, i))
    if old - new > self.eps then group.lr = new end
  end
end

-- One more value of what is watched: a number, or a tensor with one element.
function Plateau:step(metric)
  if metric == nil then fail("[lr_scheduler.ReduceLROnPlateau] step needs the value to watch: scheduler:step(loss)") end
  local value = type(metric) == "number" and metric or metric:item()
  self.last_epoch = self.last_epoch + 1
  if better(self, value) then
    self.best, self.num_bad_epochs = value, 0
  else
    self.num_bad_epochs = self.num_bad_epochs + 1
  end
  if self.cooldown_counter > 0 then
    self.cooldown_counter, self.num_bad_epochs = self.cooldown_counter - 1, 0
  end
  if self.num_bad_epochs > self.patience then
    reduce(self)
    self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
  end
end

define("ReduceLROnPlateau", "mode: \"min\"|\"max\" = min, factor: number = 0.1, patience: int = 10, "
  .. "threshold: number = 0.0001, threshold_mode: \"rel\"|\"abs\" = rel, cooldown: int = 0, min_lr: numbers? = nil, "
  .. "eps: number = 1e-08",
  "lr times factor when the value given to step has not become better for more than patience steps.",
  function(optimizer, mode, factor, patience, threshold, threshold_mode, cooldown, min_lr, eps)
    if factor >= 1 then fail("[lr_scheduler.ReduceLROnPlateau] factor is %g: it must be below 1", factor) end
    local self = setmetatable({name = "lr_scheduler.ReduceLROnPlateau", optimizer = optimizer, mode = mode,
      factor = factor, patience = patience, threshold = threshold, threshold_mode = threshold_mode, cooldown = cooldown,
      min_lrs = min_lr or 0, eps = eps, best = mode == "min" and math.huge or -math.huge, num_bad_epochs = 0,
      cooldown_counter = 0, last_epoch = 0}, Plateau)
    self.base_lrs = rates(self)
    return self
  end)

return lr_scheduler

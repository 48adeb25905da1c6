-- lr_scheduler.lua: learning rates that change from step to step: PyTorch's sequences of values, to rounding.
--
-- A scheduler sets the rates of all groups when it is made (place 0) and at each step. `last_epoch` is the place. Each
-- kind gives next(self, i, group): the rate of a group at the new place, often from the rate that stands, as in PyTorch,
-- so that schedulers can be chained and a rate assigned by hand counts.
--
-- The base rates live in the optimizer's groups as initial_lr, and so in the optimizer's state: the first scheduler
-- writes them down, those made later find them. A scheduler that is made with last_epoch goes on from there, and needs
-- them. `self.initial` is true while one is being made.

local api = require "seqrt.api"
local core = require "seqrt.optimizer"
local is_tensor = require "seqrt".is_tensor
local fail, warn = api.fail, api.warn

local Scheduler = {}
Scheduler.__index = Scheduler
Scheduler.__name = "Scheduler"

local method = api.class {name = "Scheduler", methods = Scheduler, strict = true,
  doc = "Changes the learning rates of an optimizer's groups from step to step.",
  example = "for epoch = 1, 10 do train(); scheduler:step() end",
  fields = {{"last_epoch", "int", "How many steps were taken."}, {"optimizer", "Optimizer", "Whose rates it sets."}}}

local function rates(optimizer, name)
  local list = {}
  for i, group in ipairs(optimizer.param_groups) do list[i] = group[name or "lr"] end
  return list
end

-- A first step before any of the optimizer's leaves the first rate unused.
local function warn_of_order(self)
  if self.steps_before == core.steps(self.optimizer) then
    warn("[%s] its first step comes before the optimizer's, so the rate it began with is never used: opt:step() first, "
      .. "then scheduler:step()", self.name)
  end
  self.steps_before = nil
end

method("step", "(metric: any? = nil)",
  "One place further, behind the optimizer's step; ReduceLROnPlateau takes the value to watch.",
  function(self, metric)
    if metric ~= nil and not self.watches then
      fail("[%s] step takes nothing, it got %s: ReduceLROnPlateau takes the value to watch", self.name, tostring(metric))
    end
    warn_of_order(self)
    self:advance(metric)
  end)

method("get_last_lr", "() -> table", "The rate of each group that it set last.",
  function(self) return {table.unpack(self.last_lr)} end)

-- --- states ---------------------------------------------------------------------------------------------------
--
-- Each kind says what it saves: {name = type}, type as Lua's type() has it, "integer", or "list" (of numbers).

local COMMON = {kind = "string", last_epoch = "integer", base_lrs = "list", last_lr = "list", lrs = "list"}

local function is_list(value)
  if type(value) ~= "table" then return false end
  for key, v in pairs(value) do
    if math.type(key) ~= "integer" or type(v) ~= "number" then return false end
  end
  return true
end

local function is_kind(value, kind)
  if kind == "integer" then return math.type(value) == "integer" end
  if kind == "list" then return is_list(value) end
  return type(value) == kind
end

local function names_of(...)
  local names = {}
  for _, saves in ipairs {...} do
    for name in pairs(saves) do names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

local function check_known(self, state)
  for name in pairs(state) do
    if not COMMON[name] and not self.saves[name] then
      local near = api.nearest(tostring(name), names_of(COMMON, self.saves))
      fail("[%s] load_state_dict: there is no '%s' in its state%s", self.name, tostring(name),
        near and format(" (did you mean '%s'?)", near) or "")
    end
  end
end

local function check_present(self, state, saves)
  for name, kind in pairs(saves) do
    if not is_kind(state[name], kind) then
      fail("[%s] load_state_dict: %s is %s: it must be of type %s", self.name, name, tostring(state[name]), kind)
    end
  end
end

local function check_state(self, state)
  if state.last_epoch == nil or state.kind == nil then
    fail("[%s] load_state_dict: this is no state of a scheduler", self.name)
  end
  if state.kind ~= self.kind then
    fail("[%s] load_state_dict: the state is of %s", self.name, tostring(state.kind))
  end
  check_known(self, state)
  check_present(self, state, COMMON)
  check_present(self, state, self.saves)
  local groups = #self.optimizer.param_groups
  for _, name in ipairs {"base_lrs", "last_lr", "lrs"} do
    if #state[name] ~= groups then
      fail("[%s] load_state_dict: %s has %d rates, the optimizer has %d groups", self.name, name, #state[name], groups)
    end
  end
end

-- A list is copied, so that a state stays what it was.
local function copied(value) return type(value) == "table" and {table.unpack(value)} or value end

method("state_dict", "() -> table",
  "The place, the base rates and what the kind was made with, for a checkpoint; functions stay with the script.",
  function(self)
    local state = {kind = self.kind, last_epoch = self.last_epoch, base_lrs = copied(self.base_lrs),
      last_lr = copied(self.last_lr), lrs = rates(self.optimizer)}
    for name in pairs(self.saves) do state[name] = copied(self[name]) end
    return state
  end)

method("load_state_dict", "(state_dict: table)",
  "Takes over what state_dict gave, the groups' rates too; the state of another kind changes nothing.",
  function(self, state)
    check_state(self, state)
    for _, name in ipairs {"last_epoch", "base_lrs", "last_lr"} do self[name] = copied(state[name]) end
    for name in pairs(self.saves) do self[name] = copied(state[name]) end
    self.steps_before = nil
    for i, group in ipairs(self.optimizer.param_groups) do group.lr = state.lrs[i] end
  end)

-- --- making one -----------------------------------------------------------------------------------------------

local function advance(self)
  self.last_epoch = self.last_epoch + 1
  local values = {}
  for i, group in ipairs(self.optimizer.param_groups) do values[i] = self:next(i, group) end
  for i, group in ipairs(self.optimizer.param_groups) do group.lr = values[i] end
  self.last_lr = rates(self.optimizer)
end

-- Writes the base rates down, or, for one that goes on, wants them there.
local function note_base_rates(name, optimizer, last_epoch)
  for i, group in ipairs(optimizer.param_groups) do
    if last_epoch == -1 then
      group.initial_lr = group.initial_lr or group.lr
    elseif not group.initial_lr then
      fail("[lr_scheduler.%s] initial_lr is not specified in param_groups[%d], and last_epoch = %d goes on from it: load "
        .. "the optimizer's state first, or give the group {params = ..., lr = ..., initial_lr = ...}", name, i, last_epoch)
    end
  end
end

-- The base rate of group i; one that was added to the optimizer since has none.
local function base_rate(self, i)
  return self.base_lrs[i] or fail("[%s] group %d was added after the scheduler was made: make a new scheduler", self.name, i)
end

-- A scheduler of that kind at place 0, or, for another last_epoch than -1, at the place behind it.
local function start(kind, optimizer, last_epoch, next_rate, fields, saves)
  note_base_rates(kind, optimizer, last_epoch)
  local self = setmetatable(fields, Scheduler)
  self.kind, self.name, self.saves = kind, "lr_scheduler." .. kind, saves
  self.optimizer, self.advance, self.next, self.last_epoch = optimizer, advance, next_rate, last_epoch
  self.base_lrs = rates(optimizer, "initial_lr")
  self.initial = true
  advance(self)
  self.initial, self.steps_before = false, core.steps(optimizer)
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
    example = format("local scheduler = optim.lr_scheduler.%s%s", name, EXAMPLES[name]),
    signature = "(optimizer: Optimizer, " .. takes .. ") -> Scheduler"}
end

-- --- kinds -----------------------------------------------------------------------------------------------------

define("StepLR", "step_size: int, gamma: number = 0.1, last_epoch: int = -1", "lr times gamma every step_size steps.",
  function(optimizer, step_size, gamma, last_epoch)
    if step_size < 1 then fail("[lr_scheduler.StepLR] step_size is %d: it must be at least 1", step_size) end
    local function next_rate(self, _, group)
      local at = self.last_epoch
      return at ~= 0 and at % self.step_size == 0 and group.lr * self.gamma or group.lr
    end
    return start("StepLR", optimizer, last_epoch, next_rate, {step_size = step_size, gamma = gamma},
      {step_size = "integer", gamma = "number"})
  end)

local function times_in(list, value)
  local n = 0
  for _, v in ipairs(list) do n = n + (v == value and 1 or 0) end
  return n
end

define("MultiStepLR", "milestones: ints, gamma: number = 0.1, last_epoch: int = -1",
  "lr times gamma at each milestone; one that stands twice counts twice.",
  function(optimizer, milestones, gamma, last_epoch)
    local function next_rate(self, _, group)
      return group.lr * self.gamma ^ times_in(self.milestones, self.last_epoch)
    end
    milestones = type(milestones) == "table" and copied(milestones) or {milestones}
    return start("MultiStepLR", optimizer, last_epoch, next_rate, {milestones = milestones, gamma = gamma},
      {milestones = "list", gamma = "number"})
  end)

define("ExponentialLR", "gamma: number, last_epoch: int = -1", "lr times gamma at every step.",
  function(optimizer, gamma, last_epoch)
    local function next_rate(self, _, group) return self.initial and group.lr or group.lr * self.gamma end
    return start("ExponentialLR", optimizer, last_epoch, next_rate, {gamma = gamma}, {gamma = "number"})
  end)

-- Loshchilov and Hutter 2016 (SGDR), without restarts; from the rate that stands, as PyTorch does it.
local function cosine(self, i, group)
  local t, T, low = self.last_epoch, self.T_max, self.eta_min
  if self.initial then return group.lr end
  if (t - 1 - T) % (2 * T) == 0 then
    return group.lr + (base_rate(self, i) - low) * (1 - math.cos(math.pi / T)) / 2
  end
  return (1 + math.cos(math.pi * t / T)) / (1 + math.cos(math.pi * (t - 1) / T)) * (group.lr - low) + low
end

define("CosineAnnealingLR", "T_max: int, eta_min: number = 0, last_epoch: int = -1",
  "From lr to eta_min in T_max steps along half a cosine, and back.",
  function(optimizer, T_max, eta_min, last_epoch)
    if T_max < 1 then fail("[lr_scheduler.CosineAnnealingLR] T_max is %d: it must be at least 1", T_max) end
    return start("CosineAnnealingLR", optimizer, last_epoch, cosine, {T_max = T_max, eta_min = eta_min},
      {T_max = "integer", eta_min = "number"})
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
      return base_rate(self, i) * fn(self.last_epoch)
    end
    return start("LambdaLR", optimizer, last_epoch, next_rate, {}, {})
  end)

-- --- OneCycleLR (Smith and Topin 2018) ----------------------------------------------------------------------------

local anneal = {
  cos = function(from, to, part) return to + (from - to) / 2 * (1 + math.cos(math.pi * part)) end,
  linear = function(from, to, part) return (to - from) * part + from end,
}

-- The phases as {last place, rate from, rate to, momentum from, momentum to}, all but the first names of plans in a group.
local function phases(total, pct_start, three)
  if three then
    return {
      {pct_start * total - 1, "initial_lr", "max_lr", "max_momentum", "base_momentum"},
      {2 * pct_start * total - 2, "max_lr", "initial_lr", "base_momentum", "max_momentum"},
      {total - 1, "initial_lr", "min_lr", "max_momentum", "max_momentum"},
    }
  end
  return {
    {pct_start * total - 1, "initial_lr", "max_lr", "max_momentum", "base_momentum"},
    {total - 1, "max_lr", "min_lr", "base_momentum", "max_momentum"},
  }
end

-- Momentum, or Adam's first beta, of a group.
local function momentum_name(group)
  if group.momentum ~= nil then return "momentum" end
  return group.beta1 ~= nil and "beta1" or nil
end

local function one_cycle(self, i, group)
  base_rate(self, i)
  if self.last_epoch > self.total_steps then
    fail("[lr_scheduler.OneCycleLR] step %d of %d", self.last_epoch, self.total_steps)
  end
  local first, list = 0, phases(self.total_steps, self.pct_start, self.three_phase)
  for k, p in ipairs(list) do
    if self.last_epoch <= p[1] or k == #list then
      local part, by = (self.last_epoch - first) / (p[1] - first), anneal[self.anneal_strategy]
      if self.cycle_momentum then group[momentum_name(group)] = by(group[p[4]], group[p[5]], part) end
      return by(group[p[2]], group[p[3]], part)
    end
    first = p[1]
  end
end

-- One number for all groups, or a list.
local function each(value, i) return type(value) == "table" and value[i] or value end

local function check_each(kind, name, value, optimizer)
  local n = #optimizer.param_groups
  if type(value) == "table" and #value ~= n then
    fail("[lr_scheduler.%s] %s has %d values for %d groups", kind, name, #value, n)
  end
end

-- What the cycle goes between, written down in the groups, as PyTorch does it: so it goes into the optimizer's state.
local function plan_cycle(optimizer, o)
  for i, group in ipairs(optimizer.param_groups) do
    group.max_lr = each(o.max_lr, i)
    group.initial_lr = group.max_lr / o.div_factor
    group.min_lr = group.initial_lr / o.final_div_factor
    if o.cycle_momentum then
      group.max_momentum, group.base_momentum = each(o.max_momentum, i), each(o.base_momentum, i)
    end
  end
end

-- One that goes on needs what the cycle goes between.
local function check_plans(optimizer, last_epoch, cycle_momentum)
  local names = {"initial_lr", "max_lr", "min_lr", cycle_momentum and "max_momentum", cycle_momentum and "base_momentum"}
  for i, group in ipairs(optimizer.param_groups) do
    for _, name in ipairs(names) do
      if name and not group[name] then
        fail("[lr_scheduler.OneCycleLR] %s is not specified in param_groups[%d], and last_epoch = %d goes on from it: "
          .. "load the optimizer's state first", name, i, last_epoch)
      end
    end
  end
end

local ONE_CYCLE = {total_steps = "integer", pct_start = "number", three_phase = "boolean", anneal_strategy = "string",
  cycle_momentum = "boolean"}

define("OneCycleLR", "max_lr: numbers, total_steps: int? = nil, epochs: int? = nil, steps_per_epoch: int? = nil, "
  .. "pct_start: number = 0.3, anneal_strategy: \"cos\"|\"linear\" = cos, cycle_momentum: bool = true, "
  .. "base_momentum: numbers? = nil, max_momentum: numbers? = nil, div_factor: number = 25, final_div_factor: number = 10000, "
  .. "three_phase: bool = false, last_epoch: int = -1",
  "From max_lr / div_factor up to max_lr and down to almost 0; momentum the other way round.",
  function(optimizer, max_lr, total_steps, epochs, steps_per_epoch, pct_start, anneal_strategy, cycle_momentum,
    base_momentum, max_momentum, div_factor, final_div_factor, three_phase, last_epoch)
    if not total_steps and not (epochs and steps_per_epoch) then
      fail "[lr_scheduler.OneCycleLR] give total_steps, or epochs and steps_per_epoch"
    end
    total_steps = total_steps or epochs * steps_per_epoch
    if total_steps < 1 then fail("[lr_scheduler.OneCycleLR] total_steps is %d: it must be at least 1", total_steps) end
    if pct_start < 0 or pct_start > 1 then
      fail("[lr_scheduler.OneCycleLR] pct_start is %g: it must be 0 to 1", pct_start)
    end
    if cycle_momentum and not momentum_name(optimizer.param_groups[1]) then
      fail "[lr_scheduler.OneCycleLR] the optimizer has no momentum: say cycle_momentum = false"
    end
    local o = {max_lr = max_lr, div_factor = div_factor, final_div_factor = final_div_factor, cycle_momentum = cycle_momentum,
      base_momentum = base_momentum or 0.85, max_momentum = max_momentum or 0.95}
    for _, name in ipairs {"max_lr", "base_momentum", "max_momentum"} do
      check_each("OneCycleLR", name, o[name], optimizer)
    end
    if last_epoch == -1 then plan_cycle(optimizer, o) else check_plans(optimizer, last_epoch, cycle_momentum) end
    return start("OneCycleLR", optimizer, last_epoch, one_cycle, {total_steps = total_steps, pct_start = pct_start,
      three_phase = three_phase, anneal_strategy = anneal_strategy, cycle_momentum = cycle_momentum}, ONE_CYCLE)
  end)

-- --- ReduceLROnPlateau ----------------------------------------------------------------------------------------------

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
    local new = math.max(old * self.factor, self.min_lrs[i] or self.min_lrs[1])
    if old - new > self.eps then group.lr = new end
  end
end

-- What is watched: a number, or a tensor with one element.
local function watched(metric)
  if type(metric) == "number" then return metric end
  local value = is_tensor(metric) and metric:numel() == 1 and metric:item()
  if type(value) == "number" then return value end
  local got = metric == nil and "nothing" or type(metric) == "string" and format("'%s'", metric)
    or is_tensor(metric) and format("a Tensor of %d elements, %s", metric:numel(), metric.dtype) or "a " .. type(metric)
  fail("[lr_scheduler.ReduceLROnPlateau] step got %s: it needs the value to watch, a number or a tensor with one element, "
    .. "as in scheduler:step(loss)", got)
end

local function watch(self, metric)
  local value = watched(metric)
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
  self.last_lr = rates(self.optimizer)
end

local PLATEAU = {mode = "string", factor = "number", patience = "integer", threshold = "number", threshold_mode = "string",
  cooldown = "integer", min_lrs = "list", eps = "number", best = "number", num_bad_epochs = "integer",
  cooldown_counter = "integer"}

local function every(value, optimizer)
  local list = {}
  for i in ipairs(optimizer.param_groups) do list[i] = each(value, i) end
  return list
end

define("ReduceLROnPlateau", "mode: \"min\"|\"max\" = min, factor: number = 0.1, patience: int = 10, "
  .. "threshold: number = 0.0001, threshold_mode: \"rel\"|\"abs\" = rel, cooldown: int = 0, min_lr: numbers? = nil, "
  .. "eps: number = 1e-08",
  "lr times factor when the value given to step has not become better for more than patience steps.",
  function(optimizer, mode, factor, patience, threshold, threshold_mode, cooldown, min_lr, eps)
    if factor >= 1 then fail("[lr_scheduler.ReduceLROnPlateau] factor is %g: it must be below 1", factor) end
    check_each("ReduceLROnPlateau", "min_lr", min_lr, optimizer)
    local self = setmetatable({kind = "ReduceLROnPlateau", name = "lr_scheduler.ReduceLROnPlateau", saves = PLATEAU,
      optimizer = optimizer, mode = mode, factor = factor, patience = patience, threshold = threshold,
      threshold_mode = threshold_mode, cooldown = cooldown, min_lrs = every(min_lr or 0, optimizer),
      eps = eps, best = mode == "min" and math.huge or -math.huge, num_bad_epochs = 0,
      cooldown_counter = 0, last_epoch = 0, advance = watch, watches = true}, Scheduler)
    self.base_lrs, self.last_lr = rates(optimizer), rates(optimizer)
    return self
  end)

return lr_scheduler

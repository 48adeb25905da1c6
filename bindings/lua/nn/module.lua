-- module.lua: what every module can do, C layers and Lua classes alike: walk, save, load, print; and nn.Module, which makes
-- classes in Lua. What a module holds is members.lua's. No arithmetic is done here.

local api = require "seqrt.api"
local core = require "seqrt.layer" -- from bindings/module/layer.c
local members = require "seqrt.members"
local fail, path, walk = api.fail, members.path, members.walk

local Module = {} -- the methods; C layers find them too
local declare = api.class {name = "Module", methods = Module,
  doc = "A part of a model. Fields that hold parameters, layers or modules register themselves.",
  example = "local Net = nn.Module \"Net\"; function Net:init(n) self.head = nn.Linear(n, 10) end",
  fields = {{"training", "bool", "True in training, false in evaluation."}}}
local function sq() return require "seqrt" end

-- All tensors of a kind as {name, tensor}, each tensor once however often it is shared.
local function list_tensors(m, kind)
  local list, seen = {}, {}
  if kind == "parameter" then members.check_tables(m) end
  walk(m, "", function(name, e)
    if e.kind ~= kind or seen[core.id(e.value)] then return end
    seen[core.id(e.value)] = true
    list[#list + 1] = {name, e.value}
  end)
  return list
end

local function iterate(list)
  local i = 0
  return function()
    i = i + 1
    if list[i] then return list[i][1], list[i][2] end
  end
end

local function second_of_each(list)
  local out = {}
  for i, pair in ipairs(list) do out[i] = pair[2] end
  return out
end

declare("class_name", "() -> string", "The name of its class.",
  members.class_name)

declare("parameters", "() -> Tensor[]", "All parameters, those of its children too, each once.",
  "optim.Adam(model:parameters(), {lr = 1e-3})",
  function(self) return second_of_each(list_tensors(self, "parameter")) end)

declare("named_parameters", "() -> function", "Goes over all parameters with their names.",
  "for name, p in model:named_parameters() do print(name, p.shape) end",
  function(self) return iterate(list_tensors(self, "parameter")) end)

declare("buffers", "() -> Tensor[]", "All buffers: tensors that are saved and not trained.",
  function(self) return second_of_each(list_tensors(self, "buffer")) end)

declare("named_buffers", "() -> function", "Goes over all buffers with their names.",
  function(self) return iterate(list_tensors(self, "buffer")) end)

declare("named_children", "() -> function", "Goes over the modules that it holds itself, with their names.",
  function(self)
    local list = {}
    for _, e in ipairs(members.list(self)) do
      if e.kind == "child" then list[#list + 1] = {e.name, e.value} end
    end
    return iterate(list)
  end)

declare("children", "() -> table", "The modules that it holds itself.",
  function(self)
    local list = {}
    for _, child in self:named_children() do list[#list + 1] = child end
    return list
  end)

declare("named_modules", "() -> function", "Goes over this module and all below it, each once, with their names.",
  function(self)
    local list, seen = {{"", self}}, {[self] = true}
    walk(self, "", function(name, e)
      if e.kind == "child" and not seen[e.value] then
        seen[e.value] = true
        list[#list + 1] = {name, e.value}
      end
    end)
    return iterate(list)
  end)

declare("modules", "() -> table", "This module and all below it, each once.",
  function(self)
    local list = {}
    for _, m in self:named_modules() do list[#list + 1] = m end
    return list
  end)

declare("apply", "(fn: function) -> Module", "Calls fn(module) on every module below, then on this one.",
  "model:apply(function(m) if m:class_name() == \"Linear\" then nn.init.zeros_(m.bias) end end)",
  function(self, fn)
    for _, child in self:named_children() do child:apply(fn) end
    fn(self)
    return self
  end)

declare("train", "(mode: bool = true) -> Module", "Sets training mode for this module and all below it.",
  function(self, mode)
    for _, m in self:named_modules() do
      if core.is_layer(m) then
        core.train(m, mode)
      else
        members.state_of(m).value.training = mode
      end
    end
    return self
  end)

declare("eval", "() -> Module", "Sets evaluation mode: train(false).",
  function(self) return self:train(false) end)

declare("zero_grad", "()", "Clears the gradients of all parameters.",
  function(self)
    for _, p in ipairs(self:parameters()) do p.grad = nil end
  end)

declare("requires_grad_", "(requires_grad: bool = true) -> Module", "Whether its parameters are trained.",
  "model.encoder:requires_grad_(false)",
  function(self, on)
    for _, p in ipairs(self:parameters()) do p:requires_grad_(on) end
    return self
  end)

declare("num_parameters", "() -> int", "How many numbers its parameters hold.",
  function(self)
    local n = 0
    for _, p in ipairs(self:parameters()) do n = n + p:numel() end
    return n
  end)

-- Buffers that are floats, converted: {owner, name, value} each; what several share they share again.
local function converted_buffers(m, dtype)
  local list, done = {}, {}
  walk(m, "", function(_, e, owner)
    if e.kind ~= "buffer" or not e.value.dtype:find "^float" then return end
    local id = core.id(e.value)
    done[id] = done[id] or e.value:detach():to(dtype)
    list[#list + 1] = {owner, e.name, done[id]}
  end)
  return list
end

declare("to", "(dtype: dtype) -> Module",
  "Converts all float parameters, with their gradients, where they are: optimizers go on with the same ones. Buffers are "
    .. "replaced.",
  "model:to \"float64\"",
  function(self, dtype)
    if not dtype:find "^float" then fail("[to] dtype is %s: parameters are float32 or float64", dtype) end
    local buffers, parameters = converted_buffers(self, dtype), {}
    for _, p in ipairs(self:parameters()) do
      if p.dtype:find "^float" then parameters[#parameters + 1] = p end
    end
    core.convert(parameters, dtype)
    for _, b in ipairs(buffers) do
      if core.is_layer(b[1]) then core.set(b[1], b[2], b[3]) else members.put(b[1], b[2], b[3], "buffer") end
    end
    return self
  end)

declare("float", "() -> Module", "to(\"float32\").",
  function(self) return self:to "float32" end)

declare("double", "() -> Module", "to(\"float64\").",
  function(self) return self:to "float64" end)

declare("state_dict", "() -> table",
  "Parameters and buffers by name, without gradients, sharing memory with the module.",
  "sq.save(\"net.safetensors\", model:state_dict())",
  function(self)
    local state = {}
    members.check_tables(self)
    walk(self, "", function(name, e)
      if e.kind ~= "child" then state[name] = e.value:detach() end
    end)
    return state
  end)

local function join(list)
  table.sort(list)
  return table.concat(list, ", ")
end

declare("load_state_dict", "(state_dict: table, strict: bool = true) -> table, table",
  "Copies a state_dict into the module; nothing is changed unless all of it fits. Gives the lists of missing and "
    .. "unexpected keys, which are an error unless strict is false.",
  "model:load_state_dict(sq.load \"net.safetensors\")",
  function(self, state, strict)
    local missing, unexpected, wrong, known, copies = {}, {}, {}, {}, {}
    walk(self, "", function(name, e)
      if e.kind == "child" then return end
      known[name] = true
      local from = state[name]
      if not from then
        missing[#missing + 1] = name
      elseif not sq().is_tensor(from) then
        wrong[#wrong + 1] = format("%s is a %s in the file and %s in the model", name, type(from), e.value.shape)
      elseif tostring(from.shape) ~= tostring(e.value.shape) then
        wrong[#wrong + 1] = format("%s is %s in the file and %s in the model", name, from.shape, e.value.shape)
      else
        copies[#copies + 1] = {e.value, from}
      end
    end)
    for name in pairs(state) do
      if not known[name] then unexpected[#unexpected + 1] = name end
    end
    local faults = {}
    if strict and #missing > 0 then faults[#faults + 1] = "missing: " .. join(missing) end
    if strict and #unexpected > 0 then faults[#faults + 1] = "unexpected: " .. join(unexpected) end
    if #wrong > 0 then faults[#faults + 1] = "wrong shape: " .. join(wrong) end
    if #faults > 0 then
      fail("[load_state_dict] the state does not fit %s: %s", path(self), table.concat(faults, "; "))
    end
    sq().no_grad(function()
      for _, pair in ipairs(copies) do pair[1]:copy_(pair[2]) end
    end)
    return missing, unexpected
  end)

-- --- print ---------------------------------------------------------------------------------------

local function with_commas(n)
  local s = tostring(n):reverse():gsub("(%d%d%d)", "%1,"):reverse()
  return (s:gsub("^,", ""))
end

local function own_count(m)
  local n = 0
  for _, e in ipairs(members.list(m)) do
    if e.kind == "parameter" then n = n + e.value:numel() end
  end
  return n
end

local function extra(m)
  if core.is_layer(m) then return core.describe(m) end
  local repr = members.state_of(m).methods.extra_repr
  return repr and repr(m) or ""
end

local function draw_tree(m, indent, lines, label)
  local own = own_count(m)
  local count = own > 0 and "  " .. with_commas(own) or ""
  local children = {}
  for name, child in Module.named_children(m) do children[#children + 1] = {name, child} end
  if #children == 0 then
    lines[#lines + 1] = format("%s%s%s(%s)%s", indent, label, Module.class_name(m), extra(m), count)
    return
  end
  lines[#lines + 1] = format("%s%s%s(%s", indent, label, Module.class_name(m), extra(m))
  for _, pair in ipairs(children) do draw_tree(pair[2], indent .. "  ", lines, "(" .. pair[1] .. "): ") end
  lines[#lines + 1] = indent .. ")" .. count
end

function Module:__tostring()
  local lines = {}
  draw_tree(self, "", lines, "")
  lines[#lines] = format("%s  %s parameters", lines[#lines]:gsub("  [%d,]+$", ""), with_commas(Module.num_parameters(self)))
  return table.concat(lines, "\n")
end

declare("register_buffer", "(name: string, tensor: Tensor?)",
  "Adds a tensor that is saved with the module and not trained; nil: the name of one that is not there.",
  function(self, name, tensor) members.register(self, "register_buffer", name, tensor, "buffer") end)

declare("register_parameter", "(name: string, param: Tensor?)",
  "Adds a parameter, made by nn.Parameter; nil: the name of one that is not there.",
  function(self, name, param) members.register(self, "register_parameter", name, param, "parameter") end)

declare("add_module", "(name: string, module: any)", "Adds a module under a name that a field can't have.",
  function(self, name, module) members.register(self, "add_module", name, module, "child") end)

core.inherit(Module)

-- --- Lua classes ----------------------------------------------------------------------------------

local function no_length(m)
  fail("[nn.Module] %s has no length: nn.Sequential and nn.ModuleList have", members.class_name(m))
end

-- A new module of a class.
local function instance(class)
  local self, value = {}, {training = true}
  local state = {class = class.name, methods = class.methods, order = {}, kind = {}, value = value, known = {training = true}}
  local methods = class.methods
  setmetatable(value, {__index = function(_, key)
    local method = methods[key]
    if method ~= nil then return method end
    return class.missing(self, key)
  end})
  local function call(_, ...)
    local forward = rawget(value, "forward") or methods.forward
    if not forward then fail("[nn.Module] %s has no forward", class.name) end
    return forward(self, ...)
  end
  return setmetatable(self, {__module = state, __name = class.name, __base = "Module", __index = value,
    __newindex = class.assign, __call = call, __pairs = class.pairs, __len = methods.__len or no_length,
    __tostring = methods.__tostring, __dir = members.names})
end

-- nn.Module(name) makes a class: give it init(self, ...) and forward(self, ...), call it to make an instance. A container
-- has its own ways to read what is no field, to assign, and to go over it.
local function class(name, missing, assign, pairs_of)
  local row = {name = name, methods = {}, missing = missing or members.missing, assign = assign or members.assign,
    pairs = pairs_of or members.pairs}
  return setmetatable(row.methods, {
    __index = Module,
    __call = function(_, ...)
      local self = instance(row)
      if row.methods.init then row.methods.init(self, ...) end
      return self
    end,
  })
end

local function name_checked(name)
  if name == "" then fail "[nn.Module] a class needs a name: nn.Module(\"Net\")" end
  return class(name)
end

local Parameter = api.define {owner = "sq.nn", name = "Parameter",
  signature = "(data: Tensor, requires_grad: bool = true) -> Tensor",
  doc = "A copy of a tensor that is a parameter of the module whose field it becomes: trained, saved and converted with it.",
  example = "self.scale = nn.Parameter(sq.ones(10))",
  call = function(data, requires_grad)
    return core.mark_parameter(data:detach():clone():requires_grad_(requires_grad))
  end}

-- Lists class_, made by class(), by its row of api.define, and checks what its instances are made with.
local function callable(class_, row)
  local meta = getmetatable(class_)
  row.value = class_
  row.call = row.call or function(...) return meta.make(class_, ...) end
  local make_checked = api.define(row)
  meta.make = meta.__call
  meta.__call = function(_, ...) return make_checked(...) end
end

setmetatable(Module, {})
callable(Module, {owner = "sq.nn", name = "Module", signature = "(name: string) -> any", call = name_checked,
  doc = "Makes a class of modules: give it init(self, ...) and forward(self, ...), call it to make an instance.",
  example = "local Net = nn.Module \"Net\""})

return {
  Module = Module,
  Parameter = Parameter,
  class = class,
  callable = callable,
  path = path,
  pairs = members.pairs,
}

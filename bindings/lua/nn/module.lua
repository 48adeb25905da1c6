-- module.lua: what every module can do, C layers and Lua classes alike: walk, save, load, print. No arithmetic is done here.
--
-- A member is a parameter, a buffer or a child, under a name and in the order of its making. C layers give their members
-- through `core`; a Lua module keeps them in `_members`, which plain assignment fills: self.head = nn.Linear(128, 10).

local api = require "seqrt.api"
local core = require "seqrt.layer" -- from bindings/module.c

local Module = {} -- the methods; C layers find them too
local fail = api.fail
local declare = api.class {name = "Module", methods = Module,
  doc = "A part of a model. Fields that hold parameters, layers or modules register themselves.",
  example = "local Net = nn.Module \"Net\"; function Net:init(n) self.head = nn.Linear(n, 10) end",
  fields = {{"training", "bool", "True in training, false in evaluation."}}}
local links = setmetatable({}, { __mode = "k" }) -- child -> where it was put last: {parent = (weak), name}

local function sq() return require "seqrt" end

local function is_module(x)
  if core.is_layer(x) then return true end
  local mt = type(x) == "table" and getmetatable(x)
  return mt and mt.__module == true or false
end

local function is_parameter(x) return sq().is_tensor(x) and x.requires_grad and x.is_leaf end

local function link(child, parent, name)
  links[child] = setmetatable({ parent = parent, name = name }, { __mode = "v" })
end

-- "Net.head": where a module stands, from the outermost one that holds it.
local function path(m)
  local names = {}
  while links[m] and links[m].parent do
    table.insert(names, 1, links[m].name)
    m = links[m].parent
  end
  table.insert(names, 1, Module.class_name(m))
  return table.concat(names, ".")
end

-- The members of one module itself: name, value, kind ("parameter", "buffer" or "child").
local function members(m)
  if core.is_layer(m) then return core.entries(m) end
  local list, kept = {}, rawget(m, "_members")
  for _, name in ipairs(kept.order) do
    list[#list + 1] = { name = name, value = kept.value[name], kind = kept.kind[name] }
  end
  return list
end

-- Calls visit(full name, member, owner) for all members in PyTorch's order: a module's own tensors before its children's.
local function walk(m, prefix, visit)
  local list = members(m)
  for _, own in ipairs {true, false} do
    for _, e in ipairs(list) do
      if (e.kind ~= "child") == own then
        local name = prefix == "" and e.name or prefix .. "." .. e.name
        visit(name, e, m)
        if e.kind == "child" then walk(e.value, name, visit) end
      end
    end
  end
end

-- All tensors of a kind as {name, tensor}, each tensor once however often it is shared.
local function collect(m, kind)
  local list, seen = {}, {}
  walk(m, "", function(name, e)
    if e.kind ~= kind or seen[core.id(e.value)] then return end
    seen[core.id(e.value)] = true
    list[#list + 1] = { name, e.value }
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

local function values(list)
  local out = {}
  for i, pair in ipairs(list) do out[i] = pair[2] end
  return out
end

declare("class_name", "() -> string", "The name of its class.",
  function(self) return core.is_layer(self) and core.class(self) or getmetatable(self).__name end)

declare("parameters", "() -> Tensor[]", "All parameters, those of its children too, each once.",
  "optim.Adam(model:parameters(), {lr = 1e-3})",
  function(self) return values(collect(self, "parameter")) end)

declare("named_parameters", "() -> function", "Goes over all parameters with their names.",
  "for name, p in model:named_parameters() do print(name, p.shape) end",
  function(self) return iterate(collect(self, "parameter")) end)

declare("buffers", "() -> Tensor[]", "All buffers: tensors that are saved and not trained.",
  function(self) return values(collect(self, "buffer")) end)

declare("named_buffers", "() -> function", "Goes over all buffers with their names.",
  function(self) return iterate(collect(self, "buffer")) end)

declare("named_children", "() -> function", "Goes over the modules that it holds itself, with their names.",
  function(self)
    local list = {}
    for _, e in ipairs(members(self)) do
      if e.kind == "child" then list[#list + 1] = { e.name, e.value } end
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
    local list, seen = { { "", self } }, { [self] = true }
    walk(self, "", function(name, e)
      if e.kind == "child" and not seen[e.value] then
        seen[e.value] = true
        list[#list + 1] = { name, e.value }
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
        rawset(m, "training", mode)
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

declare("to", "(dtype: dtype) -> Module",
  "Converts all float parameters and buffers, and their gradients, where they are: optimizers go on with the same ones.",
  "model:to \"float64\"",
  function(self, dtype)
    if not dtype:find "^float" then fail("[to] dtype is %s: parameters are float32 or float64", dtype) end
    local list = {}
    walk(self, "", function(_, e)
      if e.kind ~= "child" and e.value.dtype:find "^float" then list[#list + 1] = e.value end
    end)
    core.convert(list, dtype)
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
        wrong[#wrong + 1] = ("%s is a %s in the file and %s in the model"):format(name, type(from), e.value.shape)
      elseif tostring(from.shape) ~= tostring(e.value.shape) then
        wrong[#wrong + 1] = ("%s is %s in the file and %s in the model"):format(name, from.shape, e.value.shape)
      else
        copies[#copies + 1] = { e.value, from }
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
  for _, e in ipairs(members(m)) do
    if e.kind == "parameter" then n = n + e.value:numel() end
  end
  return n
end

local function extra(m)
  if core.is_layer(m) then return core.describe(m) end
  return m.extra_repr and m:extra_repr() or ""
end

local function draw(m, indent, lines, label)
  local own = own_count(m)
  local count = own > 0 and "  " .. with_commas(own) or ""
  local children = {}
  for name, child in Module.named_children(m) do children[#children + 1] = { name, child } end
  if #children == 0 then
    lines[#lines + 1] = ("%s%s%s(%s)%s"):format(indent, label, Module.class_name(m), extra(m), count)
    return
  end
  lines[#lines + 1] = ("%s%s%s(%s"):format(indent, label, Module.class_name(m), extra(m))
  for _, pair in ipairs(children) do draw(pair[2], indent .. "  ", lines, "(" .. pair[1] .. "): ") end
  lines[#lines + 1] = indent .. ")" .. count
end

function Module:__tostring()
  local lines = {}
  draw(self, "", lines, "")
  lines[#lines] = ("%s  %s parameters"):format(lines[#lines]:gsub("  [%d,]+$", ""), with_commas(Module.num_parameters(self)))
  return table.concat(lines, "\n")
end

core.inherit(Module)

-- --- Lua classes ----------------------------------------------------------------------------------

-- True if x is m or stands somewhere below it. Ends, since no module ever holds itself.
local function holds(m, x)
  if m == x then return true end
  if core.is_layer(m) then return false end
  for _, e in ipairs(members(m)) do
    if e.kind == "child" and holds(e.value, x) then return true end
  end
  return false
end

local function put(m, name, value, kind)
  if kind == "child" and not is_module(value) then
    fail("[nn.Module] %s is a %s: it must be a module", name, type(value))
  elseif kind == "child" and holds(value, m) then
    fail("[nn.Module] %s.%s would hold the module it stands in", Module.class_name(m), name)
  elseif kind ~= "child" and not sq().is_tensor(value) then
    fail("[nn.Module] %s is a %s: it must be a Tensor", name, type(value))
  end
  local kept = rawget(m, "_members")
  if not kept.kind[name] then kept.order[#kept.order + 1] = name end
  kept.kind[name], kept.value[name] = kind, value
  if kind == "child" then link(value, m, name) end
end

local function take_out(m, name)
  local kept = rawget(m, "_members")
  if not kept.kind[name] then return end
  kept.kind[name], kept.value[name] = nil, nil
  for i, n in ipairs(kept.order) do
    if n == name then table.remove(kept.order, i) break end
  end
end

local function assign(m, name, value)
  local kept = rawget(m, "_members")
  if is_module(value) then
    put(m, name, value, "child")
  elseif is_parameter(value) then
    put(m, name, value, "parameter")
  elseif kept.kind[name] == "buffer" and sq().is_tensor(value) then
    put(m, name, value, "buffer")
  else
    take_out(m, name)
    rawset(m, name, value)
  end
end

declare("register_buffer", "(name: string, tensor: Tensor)", "Adds a tensor that is saved with the module and not trained.",
  function(self, name, tensor) put(self, name, tensor, "buffer") end)

declare("register_parameter", "(name: string, param: Tensor)", "Adds a tensor that is trained.",
  function(self, name, tensor) put(self, name, tensor:requires_grad_(), "parameter") end)

declare("add_module", "(name: string, module: any)", "Adds a module under a name that a field can't have.",
  function(self, name, module) put(self, name, module, "child") end)

-- nn.Module(name) makes a class: give it init(self, ...) and forward(self, ...), call it to make an instance.
local function class(name)
  if type(name) ~= "string" then fail("[nn.Module] a class needs a name: nn.Module(\"Net\")") end
  local methods = setmetatable({}, { __index = Module })
  local mt = { __name = name, __base = "Module", __module = true, __newindex = assign, __tostring = Module.__tostring }
  function mt.__index(self, key)
    local method = methods[key]
    if method ~= nil then return method end
    return rawget(self, "_members").value[key]
  end
  function mt.__call(self, ...)
    local forward = methods.forward
    if not forward then fail("[nn.Module] %s has no forward", name) end
    return forward(self, ...)
  end
  return setmetatable(methods, {
    __index = Module,
    __call = function(_, ...)
      local self = setmetatable({ _members = { order = {}, kind = {}, value = {} }, training = true }, mt)
      if methods.init then methods.init(self, ...) end
      return self
    end,
  })
end

-- --- containers ------------------------------------------------------------------------------------

-- The modules given as arguments or in one list.
local function listed(what, ...)
  local list = ...
  if is_module(list) or list == nil then list = { ... } end
  for i, m in ipairs(list) do
    if not is_module(m) then
      fail("[nn.%s] argument %d is a %s: it must be a module", what, i, type(m))
    end
  end
  return list
end

local Sequential = class "Sequential"
api.class {name = "Sequential", owner = "Module", methods = Sequential,
  doc = "Modules called one after the other; seq[1] is the first, #seq counts."}
function Sequential:init(...)
  for i, m in ipairs(listed("Sequential", ...)) do put(self, tostring(i - 1), m, "child") end -- names as in PyTorch
end

function Sequential:forward(x)
  for _, m in ipairs(self:children()) do x = m(x) end
  return x
end

local ModuleList = class "ModuleList"
local list_method = api.class {name = "ModuleList", owner = "Module", methods = ModuleList,
  doc = "A list of modules: list[1] is the first, #list counts."}
function ModuleList:init(...)
  for i, m in ipairs(listed("ModuleList", ...)) do put(self, tostring(i - 1), m, "child") end
end

list_method("append", "(module: any) -> ModuleList", "Adds a module at the end.",
  function(self, m)
    put(self, tostring(#self:children()), m, "child")
    return self
  end)

-- seq[1] is the first, seq[-1] the last; #seq counts.
for _, c in ipairs { Sequential, ModuleList } do
  local make = getmetatable(c).__call
  getmetatable(c).__call = function(...)
    local self = make(...)
    local mt = getmetatable(self)
    if not mt.__len then
      local index = mt.__index
      function mt.__len(m) return #m._members.order end
      function mt.__index(m, key)
        if math.type(key) ~= "integer" then return index(m, key) end
        local n = #m
        if key == 0 or key > n or key < -n then
          fail("[nn.%s] position %d of %d modules: positions count from 1, or from -1 at the end", mt.__name, key, n)
        end
        return m._members.value[m._members.order[key > 0 and key or n + 1 + key]]
      end
    end
    return self
  end
end

local Identity = class "Identity"
api.class {name = "Identity", owner = "Module", methods = Identity, doc = "Gives what it gets."}
function Identity:forward(...) return ... end -- luacheck: ignore 212

local Parameter = api.define {owner = "sq.nn", name = "Parameter", signature = "(data: Tensor) -> Tensor",
  doc = "A copy of a tensor that is trained: as a module's field it is one of its parameters.",
  example = "self.scale = nn.Parameter(sq.ones(10))",
  call = function(t) return t:detach():clone():requires_grad_() end}

-- Classes that are called: nn.Module "Net", nn.Sequential(a, b).
local function callable(class_, name, signature, doc, example, make)
  local checked = api.define {owner = "sq.nn", name = name, signature = signature, doc = doc, example = example,
    call = make, value = class_}
  getmetatable(class_).__call = function(_, ...) return checked(...) end
end

setmetatable(Module, {})
callable(Module, "Module", "(name: string) -> any", "Makes a class of modules: give it init(self, ...) and "
  .. "forward(self, ...), call it to make an instance.", "local Net = nn.Module \"Net\"", class)
for _, row in ipairs {
  {Sequential, "Sequential", "(...: any? = nil) -> Sequential", "The modules one after the other; as arguments or in a list.",
    "nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))"},
  {ModuleList, "ModuleList", "(...: any? = nil) -> ModuleList", "A list of modules, as arguments or in a list.",
    "self.layers = nn.ModuleList {nn.Linear(8, 8), nn.Linear(8, 8)}"},
  {Identity, "Identity", "(...: any? = nil) -> Identity", "A module that gives what it gets, whatever it is made with.",
    "nn.Identity()"},
} do
  local make = getmetatable(row[1]).__call
  callable(row[1], row[2], row[3], row[4], row[5], function(...) return make(row[1], ...) end)
end

return {
  Module = Module,
  Sequential = Sequential,
  ModuleList = ModuleList,
  Identity = Identity,
  Parameter = Parameter,
  path = path,
  is_module = is_module,
}

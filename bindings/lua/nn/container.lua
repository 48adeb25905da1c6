-- container.lua: modules that hold others in an order: nn.Sequential, nn.ModuleList; and nn.Identity. seq[1] is the first,
-- seq[-1] the last, seq[i] = layer replaces; the names of the children are PyTorch's: "0", "1", ...

local api = require "seqrt.api"
local members = require "seqrt.members"
local module = require "seqrt.module"
local fail, is_module, state_of = api.fail, members.is_module, members.state_of

-- The names of the children in order.
local function names(m)
  local state, list = state_of(m), {}
  for _, name in ipairs(state.order) do
    if state.kind[name] == "child" then list[#list + 1] = name end
  end
  return list
end

local function add_child(m, child)
  local kind, n = state_of(m).kind, #names(m)
  while kind[tostring(n)] do n = n + 1 end -- add_module may have taken the number
  members.put(m, tostring(n), child, "child")
  return m
end

-- The modules given as arguments or in one list.
local function listed(what, ...)
  local list, n = {...}, select("#", ...)
  if n == 1 and type(list[1]) == "table" and not getmetatable(list[1]) then
    list, n = list[1], #list[1]
    for key in pairs(list) do
      if type(key) == "string" then
        fail("[nn.%s] '%s' is a name, and a table has no order of names: give the modules one after the other, or name "
          .. "them with m:add_module(\"%s\", module)", what, key, key)
      elseif math.type(key) ~= "integer" or key < 1 or key > n then
        fail("[nn.%s] the list has the key %s: it must be 1 to n without gaps", what, tostring(key))
      end
    end
  end
  for i = 1, n do
    if not is_module(list[i]) then fail("[nn.%s] argument %d is a %s: it must be a module", what, i, type(list[i])) end
  end
  return list
end

-- The name of the child at a position; nil just past the end, where ipairs stops.
local function name_at(m, key, to_assign)
  local list = names(m)
  local n = #list
  if key == n + 1 and not to_assign then return nil end
  if key == 0 or key > n or key < -n then
    fail("[nn.%s] position %d of %d modules: positions count from 1, or from -1 at the end%s", members.class_name(m), key, n,
      to_assign and key > n and "; :append(module) adds one" or "")
  end
  return list[key > 0 and key or n + 1 + key]
end

local function missing(m, key)
  if math.type(key) ~= "integer" then return members.missing(m, key) end
  local name = name_at(m, key)
  return name and state_of(m).value[name]
end

local function assign(m, key, value)
  if math.type(key) ~= "integer" then return members.assign(m, key, value) end
  local name = name_at(m, key, true)
  if not is_module(value) then
    fail("[nn.%s] [%d] = %s: it must be a module", members.class_name(m), key, value == nil and "nil" or "a " .. type(value))
  end
  members.put(m, name, value, "child")
end

-- pairs of a container goes over its positions.
local function go_over(m)
  local list, i = names(m), 0
  local value = state_of(m).value
  return function()
    i = i + 1
    if list[i] then return i, value[list[i]] end
  end, m, nil
end

local function container(name, doc)
  local class = module.class(name, missing, assign, go_over)
  local method = api.class {name = name, owner = "Module", methods = class, doc = doc}
  function class:init(...)
    for _, m in ipairs(listed(name, ...)) do add_child(self, m) end
  end
  function class:__len() return #names(self) end
  method("append", format("(module: any) -> %s", name), "Adds a module at the end.", add_child)
  method("extend", format("(modules: any) -> %s", name), "Adds the modules of a list, or of another container, at the end.",
    function(self, modules)
      local more = is_module(modules) and modules:children() or modules
      for _, m in ipairs(listed(name, more)) do add_child(self, m) end
      return self
    end)
  return class
end

local Sequential = container("Sequential", "Modules called one after the other; seq[1] is the first, seq[i] = layer replaces, "
  .. "#seq counts.")

function Sequential:forward(x, ...)
  if select("#", ...) > 0 then
    fail("[nn.Sequential] takes 1 argument, got %d: what takes more has its own forward", 1 + select("#", ...))
  end
  local state = state_of(self)
  for _, name in ipairs(state.order) do
    if state.kind[name] == "child" then x = state.value[name](x) end
  end
  return x
end

local ModuleList = container("ModuleList", "A list of modules: list[1] is the first, list[i] = module replaces, #list counts.")

local Identity = module.class "Identity"
api.class {name = "Identity", owner = "Module", methods = Identity, doc = "Gives what it gets."}
function Identity:forward(...) return ... end -- luacheck: ignore 212

module.callable(Sequential, {owner = "sq.nn", name = "Sequential", signature = "(...: any? = nil) -> Sequential",
  doc = "The modules one after the other; as arguments or in a list.",
  example = "nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))"})
module.callable(ModuleList, {owner = "sq.nn", name = "ModuleList", signature = "(...: any? = nil) -> ModuleList",
  doc = "A list of modules, as arguments or in a list.",
  example = "self.layers = nn.ModuleList {nn.Linear(8, 8), nn.Linear(8, 8)}"})
module.callable(Identity, {owner = "sq.nn", name = "Identity", signature = "(...: any? = nil) -> Identity",
  doc = "A module that gives what it gets, whatever it is made with.", example = "nn.Identity()"})

return {Sequential = Sequential, ModuleList = ModuleList, Identity = Identity}

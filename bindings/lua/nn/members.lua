-- members.lua: what a module holds, parameters, buffers and children under names, and what may stand in its fields.
--
-- A Lua module is an empty table; all of it is in its metatable's `__module`, its state: {class, methods, order, kind, value,
-- known}. So every assignment is seen, and no layer can slip into a plain field untold. `value` has plain fields too; only
-- members have a kind ("parameter", "buffer" or "child") and a place in `order`. Names that were assigned once are known and
-- may be nil; reading any other is an error. C layers give their members through `core`.

local api = require "seqrt.api"
local core = require "seqrt.layer" -- from bindings/module/layer.c
local fail = api.fail

local members = {}
local links = setmetatable({}, {__mode = "k"}) -- child -> where it was put last: {parent = (weak), name}

local function is_tensor(x) return require "seqrt".is_tensor(x) end

-- The state of a Lua module, nil for anything else.
local function state_of(x)
  local meta = type(x) == "table" and getmetatable(x)
  return type(meta) == "table" and rawget(meta, "__module") or nil
end
members.state_of = state_of

function members.is_module(x) return core.is_layer(x) or state_of(x) ~= nil end

function members.class_name(m) return core.is_layer(m) and core.class(m) or state_of(m).class end

-- "Net.head": where a module stands, from the outermost one that holds it.
function members.path(m)
  local names = {}
  while links[m] and links[m].parent do
    table.insert(names, 1, links[m].name)
    m = links[m].parent
  end
  table.insert(names, 1, members.class_name(m))
  return table.concat(names, ".")
end

-- The members of one module itself: name, value, kind.
function members.list(m)
  local state = state_of(m)
  if not state then return core.entries(m) end
  local list = {}
  for i, name in ipairs(state.order) do list[i] = {name = name, value = state.value[name], kind = state.kind[name]} end
  return list
end

-- Calls visit(full name, member, owner) for all members in PyTorch's order: a module's own tensors before its children's.
function members.walk(m, prefix, visit)
  local list = members.list(m)
  for _, own in ipairs {true, false} do
    for _, e in ipairs(list) do
      if (e.kind ~= "child") == own then
        local name = prefix == "" and e.name or prefix .. "." .. e.name
        visit(name, e, m)
        if e.kind == "child" then members.walk(e.value, name, visit) end
      end
    end
  end
end

-- Goes over a module's own parameters and children by name: what pairs(m) does.
function members.pairs(m)
  local list, i = members.list(m), 0
  return function()
    repeat i = i + 1 until not list[i] or list[i].kind ~= "buffer"
    if list[i] then return list[i].name, list[i].value end
  end, m, nil
end

-- True if x is m or stands somewhere below it. Ends, since no module ever holds itself.
local function holds(m, x)
  if m == x then return true end
  for _, e in ipairs(state_of(m) and members.list(m) or {}) do
    if e.kind == "child" and holds(e.value, x) then return true end
  end
  return false
end

-- --- putting members in --------------------------------------------------------------------------

local function check_name(state, name)
  if name == "" then fail("[nn.Module] %s: a parameter, buffer or module needs a name, got the empty one", state.class) end
  if name:find(".", 1, true) then
    fail("[nn.Module] %s: the name '%s' has a dot, which parts the names of modules in a state_dict", state.class, name)
  end
  if state.methods[name] ~= nil then
    fail("[nn.Module] %s.%s is the class's own: what is registered needs another name", state.class, name)
  end
end

local function check_value(m, state, name, value, kind)
  if kind == "child" and not members.is_module(value) then
    fail("[nn.Module] %s is a %s: it must be a module", name, type(value))
  elseif kind == "child" and holds(value, m) then
    fail("[nn.Module] %s.%s would hold the module it stands in", state.class, name)
  elseif kind == "parameter" and not core.is_parameter(value) then
    fail("[nn.Module] %s.%s is a %s: a parameter is made by nn.Parameter(t)", state.class, name,
      is_tensor(value) and "plain Tensor" or type(value))
  elseif kind == "buffer" and not is_tensor(value) then
    fail("[nn.Module] %s is a %s: it must be a Tensor", name, type(value))
  end
end

-- Makes `value` a member; one of that name gives way.
function members.put(m, name, value, kind)
  local state = state_of(m)
  check_name(state, name)
  check_value(m, state, name, value, kind)
  if not state.kind[name] then table.insert(state.order, name) end
  state.kind[name], state.value[name], state.known[name] = kind, value, true
  if kind == "child" then links[value] = setmetatable({parent = m, name = name}, {__mode = "v"}) end
end

-- The same for register_buffer and its kin: `what` names it. nil declares a member that is not there.
function members.register(m, what, name, value, kind)
  local state = state_of(m)
  if not state then
    fail("[%s] %s is a layer that holds what it was made with: nn.Module holds more", what, members.class_name(m))
  end
  local old = state.kind[name]
  if old and old ~= kind or not old and rawget(state.value, name) ~= nil then
    fail("[%s] %s.%s is a %s already", what, state.class, name, old or "field")
  end
  if value ~= nil then return members.put(m, name, value, kind) end
  check_name(state, name)
  members.take_out(state, name)
  state.known[name] = true
end

function members.take_out(state, name)
  if not state.kind[name] then return end
  state.kind[name], state.value[name] = nil, nil
  for i, n in ipairs(state.order) do
    if n == name then table.remove(state.order, i) break end
  end
end

-- What may not stand where a member is: it would be trained, or saved, no more.
local function check_replaces(state, name, value)
  local kind = state.kind[name]
  if kind == "parameter" and value ~= nil then
    fail("[nn.Module] %s.%s is a parameter and this %s, which nothing would train: give it nn.Parameter(t), or copy the "
      .. "values: sq.no_grad(function() m.%s:copy_(t) end)", state.class, name,
      is_tensor(value) and "a plain Tensor" or "a " .. type(value), name)
  elseif kind == "child" and value ~= nil then
    fail("[nn.Module] %s.%s is a module and can't become a %s: nil takes it out", state.class, name, type(value))
  end
end

-- The kind of member that a value is by itself, nil for what stays a plain field.
local function kind_of(value)
  local kind = type(value)
  if kind ~= "table" and kind ~= "userdata" then return nil end
  return members.is_module(value) and "child" or core.is_parameter(value) and "parameter" or nil
end

-- m.name = value
function members.assign(m, name, value)
  local state = state_of(m)
  if type(name) ~= "string" then
    fail("[nn.Module] %s: a field goes by its name, not by %s; nn.ModuleList is a list", state.class, tostring(name))
  end
  local old, kind = state.kind[name], kind_of(value)
  if not kind and old == "buffer" and is_tensor(value) then kind = "buffer" end
  if kind then return members.put(m, name, value, kind) end
  if old then
    check_replaces(state, name, value)
    members.take_out(state, name)
  end
  state.value[name], state.known[name] = value, true
end

-- Raises when a plain table in a field of m, or of a module below it, begins with a layer or a parameter that stands
-- nowhere in m: it would be neither trained nor saved. A table with a metatable is taken as it is.
function members.check_tables(m)
  local seen, states = {}, {}
  members.walk(m, "", function(_, e)
    seen[e.kind == "child" and e.value or core.id(e.value)] = true
    if e.kind == "child" then states[#states + 1] = state_of(e.value) end
  end)
  states[#states + 1] = state_of(m)
  for _, state in ipairs(states) do
    for name, value in pairs(state.value) do
      local plain = not state.kind[name] and type(value) == "table" and not getmetatable(value)
      local _, first = next(plain and value or {})
      local kind = kind_of(first)
      if kind and first ~= m and not seen[kind == "child" and first or core.id(first)] then
        fail("[nn.Module] %s.%s is a plain table, and the %s in it would be neither trained nor saved: %s (a table with a "
          .. "metatable is left alone)", state.class, name, kind == "child" and "modules" or "parameters",
          kind == "child" and "nn.ModuleList keeps them" or "give each a field of its own")
      end
    end
  end
end

-- --- reading -------------------------------------------------------------------------------------

-- All names that m answers to, without those of methods' metamethods.
function members.names(m)
  local state, set = state_of(m), {}
  for name in pairs(state.known) do set[#set + 1] = name end
  local methods = state.methods
  while type(methods) == "table" do
    for name in next, methods do
      if type(name) == "string" and not name:find "^__" then set[#set + 1] = name end
    end
    local meta = getmetatable(methods)
    methods = meta and meta.__index
  end
  table.sort(set)
  return set
end

-- A field that m does not have: nil where it was assigned once, else an error.
function members.missing(m, key)
  local state = state_of(m)
  if state.known[key] then return nil end
  if type(key) ~= "string" then
    fail("[nn.Module] %s has no %s: its fields go by name; nn.ModuleList is a list", state.class, tostring(key))
  end
  if key:find "^__" then return nil end -- libraries look for these
  local near = api.nearest(key, members.names(m))
  fail("%s has no '%s'%s (a field that may be nil is declared in init: self.%s = nil)", members.path(m), key,
    near and format(": did you mean '%s'?", near) or "", key)
end

return members

-- complete.lua: what may follow at the prompt: names, fields, methods, option names, keywords, file names.
local KEYWORDS = {"and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local",
  "nil", "not", "or", "repeat", "return", "then", "true", "until", "while"}

local complete = {}

local function add_name(set, name)
  if type(name) == "string" and name:find "^[%a_][%w_]*$" then set[name] = true end
end

-- Names that a value answers to, its own and those behind __index; __dir lists those of C.
local function names_of(value, set, depth)
  if depth > 8 then return end
  if type(value) == "table" then for key in next, value do add_name(set, key) end end
  local meta = debug.getmetatable(value)
  if type(meta) ~= "table" then return end
  local dir = rawget(meta, "__dir")
  if type(dir) == "function" then dir = dir(value) end
  if type(dir) == "table" then for _, name in ipairs(dir) do add_name(set, name) end end
  local index = rawget(meta, "__index")
  if type(index) == "table" then names_of(index, set, depth + 1) end
end

local function is_callable(value)
  if type(value) == "function" then return true end
  local meta = debug.getmetatable(value)
  return type(meta) == "table" and meta.__call ~= nil
end

-- The value of "a.b[1].c", names looked up by `get`; nil when something is missing. Nothing is called.
local function value_of(chain, get)
  local first, rest = chain:match "^([%a_][%w_]*)(.*)$"
  if not first then
    if chain:find "^[\"'].*[\"']$" then return "" end
    return nil
  end
  local value = get(first)
  while rest ~= "" and value ~= nil do
    local name, after = rest:match "^[.:]([%a_][%w_]*)(.*)$"
    if not name then
      name, after = rest:match "^%[(%-?%d+)%](.*)$"
      name = math.tointeger(tonumber(name))
    end
    if not name then
      name, after = rest:match "^%[[\"']([^\"']*)[\"']%](.*)$"
    end
    if not name then return nil end
    local ok, next_value = pcall(function() return value[name] end)
    if not ok then return nil end
    value, rest = next_value, after
  end
  return value
end

local CHAIN = "[%w_.:%[%]\"']*$"

local function members(before, get)
  local base, sign = before:match "^(.-)([.:])$"
  if not base then return nil end
  local chain = base:match(CHAIN)
  if chain == "" or sign == "." and base:sub(-1) == "." then return {} end
  local value, set = value_of(chain, get), {}
  if value == nil then return {} end
  names_of(value, set, 0)
  if sign == ":" then
    for name in pairs(set) do
      local ok, member = pcall(function() return value[name] end)
      if not (ok and is_callable(member)) then set[name] = nil end
    end
  end
  return set
end

-- The option names of the call whose { is open: f{..., f(..., {...
local function options(before, get)
  local depth, at = 0, #before
  while at > 0 do
    local c = before:sub(at, at)
    if c == "}" or c == ")" then
      depth = depth + 1
    elseif c == "{" or c == "(" then
      if depth == 0 and c == "{" then break end
      depth = depth - 1
    end
    at = at - 1
  end
  if at == 0 or not before:sub(at + 1):find "[{,]?%s*$" or before:find "=%s*$" then return nil end
  local head = before:sub(1, at - 1):gsub("%s*$", "")
  local open = head:match "^(.*)%([^()]*,?%s*$"
  local fn = value_of((open or head):match(CHAIN), get)
  local row = fn ~= nil and require "seqrt.api".describe(fn)
  if type(row) ~= "table" or not row.params then return nil end
  local set = {}
  for _, param in ipairs(row.params) do set[param.name .. " = "] = true end
  return set
end

local function sorted(set, word)
  local out = {}
  for name in pairs(set) do if name:sub(1, #word) == word then out[#out + 1] = name end end
  table.sort(out)
  return out
end

local function files(before, word)
  local fs = require "seqrt.sys".fs
  local folder = before:match "([^\"']*)$"
  local out = {}
  for i, path in ipairs(fs.glob((folder .. word):gsub("[%[%]*?\\]", "\\%0") .. "*") or {}) do
    out[i] = path:match "[^/]*$" .. (fs.exists(path .. "/.") and "/" or "")
  end
  return out
end

-- What may stand for `word` after the text `before`. get(name) gives a variable's value; each_name(visit) lists them.
function complete.complete(before, word, in_string, get, each_name)
  if in_string then return files(before, word) end
  local set = members(before, get)
  if set then return sorted(set, word) end
  set = options(before, get) or {}
  each_name(function(name) add_name(set, name) end)
  for _, name in ipairs(KEYWORDS) do set[name] = true end
  return sorted(set, word)
end

return complete

-- pretty.lua: values as text to be read: nested tables, cycles, tensors in one line inside a table.

local MAX_DEPTH, MAX_ITEMS, MAX_TEXT, WIDTH = 4, 100, 200, 76
local KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then true
until while]]):gmatch "%a+" do KEYWORDS[word] = true end

local function is_name(key)
  return type(key) == "string" and key:find "^[%a_][%w_]*$" ~= nil and not KEYWORDS[key]
end

local ESCAPES = {["\n"] = "\\n", ["\t"] = "\\t", ["\r"] = "\\r", ["\\"] = "\\\\", ['"'] = '\\"'}

local function quoted(text)
  local cut = #text > MAX_TEXT
  if cut then text = text:sub(1, (utf8.offset(text, 0, MAX_TEXT) or MAX_TEXT) - 1) end
  text = text:gsub('[%c"\\\127]', function(c) return ESCAPES[c] or format("\\%03d", c:byte()) end)
  return '"' .. text .. '"' .. (cut and "..." or "")
end

-- What stands inside a table for a value with its own way of printing: its last line if that names dtype and shape,
-- else its first one.
local function in_one_line(value)
  local text = tostring(value)
  local summary = text:match "\n(%[%a[%w]* %b()[^\n]*%])%s*$"
  if summary then return summary end
  local first, rest = text:match "^([^\n]*)(.*)$"
  return rest ~= "" and first .. " ..." or first
end

local function sorted_keys(t)
  local n, keys = #t, {}
  for key in next, t do
    if not (math.type(key) == "integer" and key >= 1 and key <= n) then keys[#keys + 1] = key end
  end
  local rank = {number = 1, string = 2, boolean = 3}
  table.sort(keys, function(a, b)
    local x, y = rank[type(a)] or 4, rank[type(b)] or 4
    if x ~= y then return x < y end
    if x <= 2 then return a < b end
    return tostring(a) < tostring(b)
  end)
  return keys, n
end

local render

local function render_table(t, depth, seen, indent)
  if seen[t] then return "<cycle>" end
  if next(t) == nil then return "{}" end
  if depth >= MAX_DEPTH then return "{...}" end
  seen[t] = true
  local inner, parts = indent .. "  ", {}
  local keys, n = sorted_keys(t)
  local shown = 0
  for i = 1, math.min(n, MAX_ITEMS) do
    parts[#parts + 1] = render(rawget(t, i), depth + 1, seen, inner)
    shown = shown + 1
  end
  for i = 1, math.min(#keys, MAX_ITEMS - shown) do
    local key = keys[i]
    local left = is_name(key) and key or "[" .. render(key, MAX_DEPTH, seen, inner) .. "]"
    parts[#parts + 1] = left .. " = " .. render(rawget(t, key), depth + 1, seen, inner)
    shown = shown + 1
  end
  local more = n + #keys - shown
  if more > 0 then parts[#parts + 1] = format("... %d more", more) end
  seen[t] = nil
  local line = "{" .. table.concat(parts, ", ") .. "}"
  if #line + #indent <= WIDTH and not line:find "\n" then return line end
  return "{\n" .. inner .. table.concat(parts, ",\n" .. inner) .. "\n" .. indent .. "}"
end

function render(value, depth, seen, indent)
  local kind = type(value)
  if kind == "string" then return quoted(value) end
  if kind == "table" then
    local meta = getmetatable(value)
    if type(meta) == "table" and meta.__tostring then return in_one_line(value) end
    return render_table(value, depth, seen, indent)
  end
  if kind == "userdata" then return in_one_line(value) end
  if kind == "function" then
    local info = debug.getinfo(value, "S")
    return info.what == "C" and "<function>" or format("<function %s:%d>", info.short_src, info.linedefined)
  end
  return tostring(value)
end

-- The text of a value: a string as it is, what has __tostring by that, other tables laid out.
return function(value)
  if type(value) == "string" then return value end
  if type(value) == "table" then
    local meta = getmetatable(value)
    if not (type(meta) == "table" and (meta.__tostring or meta.__name)) then return render(value, 0, {}, "") end
  end
  return tostring(value)
end

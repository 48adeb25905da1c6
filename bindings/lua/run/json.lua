-- json.lua: JSON as our own files are written in it. Numbers come back exactly; what JSON has no number for is null.

local json = {}

local ESCAPES = {['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t"}

-- A text in quotes; bytes that are not UTF-8 become question marks.
function json.quote(text)
  if not utf8.len(text) then text = text:gsub("[\128-\255]", "?") end
  return '"' .. text:gsub('[%c"\\\127]', function(c) return ESCAPES[c] or format("\\u%04x", c:byte()) end) .. '"'
end

-- The shortest of 15 or 17 digits that is the same number; a finite one.
function json.number(x)
  if math.type(x) == "integer" then return format("%d", x) end
  local text = format("%.15g", x)
  if tonumber(text) ~= x then text = format("%.17g", x) end
  return (text:gsub(",", ".")) -- a script may have set a locale with a decimal comma
end

local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  return keys
end

local encode

local function encode_table(value, indent)
  local inner = indent and indent .. "  "
  local parts, list = {}, #value > 0
  if list then
    for i, item in ipairs(value) do parts[i] = encode(item) end
    return "[" .. table.concat(parts, indent and ", " or ",") .. "]"
  end
  for i, key in ipairs(sorted_keys(value)) do
    parts[i] = json.quote(tostring(key)) .. (indent and ": " or ":") .. encode(value[key], inner)
  end
  if not indent or #parts == 0 then return "{" .. table.concat(parts, ",") .. "}" end
  return format("{\n%s%s\n%s}", inner, table.concat(parts, ",\n" .. inner), indent)
end

-- Numbers, texts, booleans and tables of them, names sorted; with `indent` (an empty text) a name a line. A table that
-- holds itself never ends here: the caller knows its tables.
function encode(value, indent)
  local kind = type(value)
  if kind == "table" then return encode_table(value, indent) end
  if kind == "number" then return value - value == 0 and json.number(value) or "null" end
  if kind == "boolean" then return tostring(value) end
  return value == nil and "null" or json.quote(tostring(value))
end
json.encode = encode

return json

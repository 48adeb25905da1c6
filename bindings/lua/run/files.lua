-- files.lua: sq.save and sq.load: nested tables as safetensors. Tensors stand under their names joined by dots; the tree
-- and what is no tensor go into the metadata as JSON. A flat table of tensors needs no tree: it is the file PyTorch makes.

local sq = require "seqrt"
local store = require "seqrt.store"
local quote = require("seqrt.json").quote
local fail = require("seqrt.api").fail

local files = {}

local TREE = "seqrt.tree"
local SHARED = "seqrt.shared" -- JSON: {name = the name its tensor is saved under}
local MOST_DEPTH = 100

-- --- the tree as JSON -------------------------------------------------------------------------------------
--
-- null stands for the tensor of that place. Strings that begin with "=" are special: "==..." a string that began with one
-- itself, "=inf", "=-inf", "=nan" numbers, "=x..." a string that is not UTF-8, in hexadecimal.

local function encode_string(text)
  if not utf8.len(text) then return '"=x' .. text:gsub(".", function(c) return format("%02x", c:byte()) end) .. '"' end
  return quote(text:sub(1, 1) == "=" and "=" .. text or text)
end

local function encode_number(x)
  if math.type(x) == "integer" then return format("%d", x) end
  if x ~= x then return '"=nan"' end
  if x == math.huge then return '"=inf"' end
  if x == -math.huge then return '"=-inf"' end
  local text = format("%.17g", x):gsub(",", ".") -- a script may have set a locale with a decimal comma
  return text:find "[.e]" and text or text .. ".0"
end

local function joined(prefix, key) return prefix == "" and key or prefix .. "." .. key end

-- The keys of a table: "list" and its length, or "object" and the sorted names.
local function keys_of(t, where)
  local names, n = {}, #t
  for key in pairs(t) do
    if type(key) == "string" then
      names[#names + 1] = key
    elseif math.type(key) ~= "integer" or key < 1 or key > n then
      fail("[save] %s has the key %s: keys are strings, or 1 to n without gaps", where, tostring(key))
    end
  end
  if n > 0 and #names > 0 then fail("[save] %s has both names and numbers as keys", where) end
  table.sort(names)
  return n > 0 and "list" or "object", n > 0 and n or names
end

local encode

local function encode_table(out, value, name, where, depth)
  if depth > MOST_DEPTH then fail("[save] %s is nested deeper than %d tables, or holds itself", where, MOST_DEPTH) end
  local parts = {}
  local kind, keys = keys_of(value, where)
  if kind == "list" then
    for i = 1, keys do
      parts[i] = encode(out, value[i], joined(name, tostring(i)), format("%s[%d]", where, i), depth + 1)
    end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  for i, key in ipairs(keys) do
    if not utf8.len(key) then fail("[save] a key of %s is not UTF-8", where) end
    local place = key:find "^[%a_][%w_]*$" and where .. "." .. key or format("%s[%q]", where, key)
    parts[i] = quote(key) .. ":" .. encode(out, value[key], joined(name, key), place, depth + 1)
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

-- The JSON of a value; its tensors are added to `out` under their names.
function encode(out, value, name, where, depth)
  local kind = type(value)
  if kind == "userdata" and sq.is_tensor(value) then
    if out[name] then fail("[save] two tensors would be called '%s'", name) end
    out[name] = value
    return "null"
  elseif kind == "table" and not getmetatable(value) then
    return encode_table(out, value, name, where, depth)
  elseif kind == "number" then
    return encode_number(value)
  elseif kind == "string" then
    return encode_string(value)
  elseif kind == "boolean" then
    return tostring(value)
  end
  local hint = (kind == "userdata" or kind == "table") and value.state_dict and ": save its state_dict()" or ""
  fail("[save] %s is a %s: tensors, numbers, strings, booleans and tables of them can be saved%s", where, kind, hint)
end

-- --- reading it back ------------------------------------------------------------------------------------------

local Reader = {}
Reader.__index = Reader

function Reader:wrong(what)
  fail("[load] '%s': metadata '%s', character %d: expected %s", self.path, self.key, self.at, what)
end

function Reader:skip() self.at = self.text:find("[^ \n\r\t]", self.at) or #self.text + 1 end

function Reader:take(token)
  self:skip()
  if self.text:sub(self.at, self.at + #token - 1) ~= token then return false end
  self.at = self.at + #token
  return true
end

local unescapes = {n = "\n", r = "\r", t = "\t", b = "\b", f = "\f", ["/"] = "/", ["\\"] = "\\", ['"'] = '"'}

-- The string whose opening quote has been read.
function Reader:string()
  local parts = {}
  while true do
    local plain, stop = self.text:match('^([^"\\]*)(["\\])', self.at)
    if not plain then self:wrong "a closing quote" end
    parts[#parts + 1] = plain
    self.at = self.at + #plain + 1
    if stop == '"' then return table.concat(parts) end
    local c = self.text:sub(self.at, self.at)
    local code = c == "u" and self.text:match("^%x%x%x%x", self.at + 1)
    if not code and not unescapes[c] then self:wrong "an escape" end
    parts[#parts + 1] = code and utf8.char(tonumber(code, 16)) or unescapes[c]
    self.at = self.at + (code and 5 or 1)
  end
end

local specials = {["=inf"] = math.huge, ["=-inf"] = -math.huge, ["=nan"] = 0 / 0}

function Reader:special(text)
  if text:sub(1, 1) ~= "=" then return text end
  if text:sub(2, 2) == "=" then return text:sub(2) end
  if specials[text] then return specials[text] end
  local hex = text:match "^=x(%x*)$"
  if not hex or #hex % 2 == 1 then self:wrong "a known kind of string" end
  return (hex:gsub("%x%x", function(h) return string.char(tonumber(h, 16)) end))
end

function Reader:items(close, item)
  if self:take(close) then return end
  repeat item() until not self:take ","
  if not self:take(close) then self:wrong("'" .. close .. "'") end
end

function Reader:list(name, depth)
  local t = {}
  self:items("]", function() t[#t + 1] = self:value(joined(name, tostring(#t + 1)), depth) end)
  return t
end

function Reader:object(name, depth)
  local t = {}
  self:items("}", function()
    if not self:take '"' then self:wrong "a key" end
    local key = self:string()
    if t[key] ~= nil then self:wrong(format("no second '%s'", key)) end
    if not self:take ":" then self:wrong "':'" end
    t[key] = self:value(joined(name, key), depth)
  end)
  return t
end

function Reader:tensor(name)
  local t = self.tensors[name]
  if not t then fail("[load] '%s': the tensor '%s' is missing", self.path, name) end
  self.used[name] = true
  return t
end

function Reader:value(name, depth)
  if depth > MOST_DEPTH then self:wrong("at most " .. MOST_DEPTH .. " levels") end
  if self:take "{" then return self:object(name, depth + 1) end
  if self:take "[" then return self:list(name, depth + 1) end
  if self:take '"' then return self:special(self:string()) end
  if self:take "null" then return self:tensor(name) end
  if self:take "true" then return true end
  if self:take "false" then return false end
  self:skip()
  local text = self.text:match("^-?%d[%d.eE+-]*", self.at)
  local number = text and tonumber(text)
  if not number then self:wrong "a value" end
  self.at = self.at + #text
  return number
end

local function read_json(path, tensors, key, text)
  local reader = setmetatable({path = path, tensors = tensors, used = {}, key = key, text = text, at = 1}, Reader)
  local value = reader:value("", 0)
  reader:skip()
  if reader.at <= #text then reader:wrong "the end" end
  return value, reader.used
end

local function rebuild(path, tensors, text)
  local value, used = read_json(path, tensors, TREE, text)
  for name in pairs(tensors) do
    if not used[name] then fail("[load] '%s': the tensor '%s' has no place in the tree", path, name) end
  end
  return value
end

local function add_shared(path, tensors, text)
  local shared = read_json(path, {}, SHARED, text)
  for name, kept in pairs(type(shared) == "table" and shared or {shared}) do
    if type(name) ~= "string" or not tensors[kept] or tensors[name] then
      fail("[load] '%s': metadata '%s' has a wrong name, '%s'", path, SHARED, tostring(name))
    end
  end
  for name, kept in pairs(shared) do tensors[name] = tensors[kept] end
end

-- --- save and load ---------------------------------------------------------------------------------------------

-- A table whose values are all tensors and whose keys are all strings.
local function is_flat(value)
  if next(value) == nil then return false end
  for key, item in pairs(value) do
    if type(key) ~= "string" or type(item) ~= "userdata" or not sq.is_tensor(item) then return false end
  end
  return true
end

-- The names to be saved, and {name = the first name} for further names of the same tensor.
local function without_doubles(tensors)
  local names, kept, first, other = {}, {}, {}, {}
  for name in pairs(tensors) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local id = store.same(tensors[name])
    if first[id] and tensors[name]:numel() > 0 then
      other[name] = first[id]
    else
      first[id] = name
      kept[#kept + 1] = name
    end
  end
  return kept, other
end

local function check_metadata(metadata)
  for key, value in pairs(metadata or {}) do
    if type(key) ~= "string" or type(value) ~= "string" then
      fail("[save] metadata.%s is a %s: metadata are texts by name", tostring(key), type(value))
    end
    if key == TREE or key == SHARED then fail("[save] the metadata '%s' is the file's own", key) end
  end
end

function files.save(path, value, metadata)
  check_metadata(metadata)
  local tensors, tree = {}, nil
  if type(value) == "table" and is_flat(value) then
    tensors = value
  else
    tree = encode(tensors, value, "", "value", 0)
  end
  local names, doubles = without_doubles(tensors)
  local list, keys, values = {}, {}, {}
  for i, name in ipairs(names) do list[i] = tensors[name]:detach():contiguous() end
  local function text(key, words) keys[#keys + 1], values[#keys + 1] = key, words end
  for key, words in pairs(metadata or {}) do text(key, words) end
  if next(doubles) then text(SHARED, encode({}, doubles, "", "value", 0)) end
  if tree then text(TREE, tree) end
  store.write(path, names, list, keys, values)
end

function files.load(path)
  local tensors, metadata = store.read(path)
  local tree, shared = metadata[TREE], metadata[SHARED]
  metadata[TREE], metadata[SHARED] = nil, nil
  if shared then add_shared(path, tensors, shared) end
  if tree then return rebuild(path, tensors, tree), metadata end
  return tensors, metadata
end

function files.Checkpoint(...) return require "seqrt.checkpoint"(...) end

return files

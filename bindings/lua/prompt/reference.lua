-- reference.lua: the whole API as Markdown (`seqrt --api`) and as a file for lua-language-server (`seqrt --luacats`).
local sq = require "seqrt"
local api = require "seqrt.api"
local help = require "seqrt.help"

local reference = {}

-- Rows by owner, sorted by name; an owner that is a class holds its methods and fields.
local function by_owner()
  local groups, classes = {}, {}
  for _, row in ipairs(api.list()) do
    if row.kind == "class" then
      classes[#classes + 1] = row
    else
      groups[row.owner] = groups[row.owner] or {}
      table.insert(groups[row.owner], row)
    end
  end
  for _, rows in pairs(groups) do table.sort(rows, function(a, b) return a.name < b.name end) end
  table.sort(classes, function(a, b) return a.name < b.name end)
  return groups, classes
end

local function table_owners(groups, classes)
  local is_class, owners = {}, {}
  for _, class in ipairs(classes) do is_class[class.name] = true end
  for owner in pairs(groups) do if not is_class[owner] then owners[#owners + 1] = owner end end
  table.sort(owners)
  return owners
end

-- --- Markdown -------------------------------------------------------------------------------------------

local function add_rows(out, rows)
  for _, row in ipairs(rows or {}) do
    local example = row.example and format("<br>`%s`", row.example) or ""
    out[#out + 1] = format("- `%s`<br>%s%s", help.heading(row), row.doc or "", example)
  end
end

function reference.markdown()
  local groups, classes = by_owner()
  local out = {"# seqrt " .. sq._VERSION, "",
    "Arguments go by position; those with a default may stand in a trailing table, or all in one table by name.",
    "Positions and dims count from 1 (negative ones from the end); the contents of tensors count from 0.", ""}
  for _, owner in ipairs(table_owners(groups, classes)) do
    out[#out + 1] = "## " .. owner .. "\n"
    add_rows(out, groups[owner])
    out[#out + 1] = ""
  end
  for _, class in ipairs(classes) do
    out[#out + 1] = format("## class %s%s\n\n%s%s\n", class.name, class.owner and " (" .. class.owner .. ")" or "",
      class.doc or "", class.example and format("<br>`%s`", class.example) or "")
    add_rows(out, groups[class.name])
    out[#out + 1] = ""
  end
  return table.concat(out, "\n")
end

-- --- lua-language-server --------------------------------------------------------------------------------

local TYPES = {int = "integer", bool = "boolean", dtype = "seqrt.dtype", dim = "integer", dims = "integer|integer[]",
  shape = "integer|integer[]", pair = "integer|integer[]", lone = "integer|integer[]",
  ["pair|same|valid"] = 'integer|integer[]|"same"|"valid"',
  ["lone|same|valid"] = 'integer|integer[]|"same"|"valid"', position = "integer", ints = "integer|integer[]",
  numbers = "number|number[]"}

local KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then true
  until while]]):gmatch "%w+" do KEYWORDS[word] = true end

local function editor_type(param)
  if param.choice then
    return '"' .. param.type:gsub("|", '"|"') .. '"'
  end
  return TYPES[param.type] or param.type
end

local function safe(name) return KEYWORDS[name] and name .. "_" or name end

local function results(row)
  local list = {}
  for i, result in ipairs(row.returns or {}) do
    local optional = result:match "%?$" and "?" or ""
    list[i] = editor_type {type = (result:gsub("%?$", ""))} .. optional
  end
  return list
end

-- The form with options in a trailing table, where there are any.
local function overload(row, first)
  local positional, options = {}, {}
  for i = first, #row.params do
    local p = row.params[i]
    if p.name == "..." then return nil end
    if p.optional then
      options[#options + 1] = format("%s?: %s", p.name, editor_type(p))
    else
      positional[#positional + 1] = format("%s: %s", safe(p.name), editor_type(p))
    end
  end
  if #options == 0 then return nil end
  positional[#positional + 1] = format("options: {%s}", table.concat(options, ", "))
  if row.kind == "method" then table.insert(positional, 1, "self: " .. row.owner) end
  local returned = table.concat(results(row), ", ")
  return format("---@overload fun(%s)%s", table.concat(positional, ", "), returned ~= "" and ": " .. returned or "")
end

-- Sizes and dims that may stand one by one: x:view(2, 3).
local function open_overload(row, first)
  local last = row.params[first]
  if not last or not (last.type == "shape" or (last.type == "dims" and #row.params == first)) then return nil end
  local self = row.kind == "method" and "self: " .. row.owner .. ", " or ""
  return format("---@overload fun(%s...: integer): %s", self, table.concat(results(row), ", "))
end

-- "fun(x: Tensor, h0?: Tensor): Tensor, Tensor" of the row of a call.
local function call_type(row)
  local list = {}
  for i, p in ipairs(row.params) do
    list[i] = p.name == "..." and "...: any" or format("%s%s: %s", safe(p.name), p.optional and "?" or "", editor_type(p))
  end
  local returned = table.concat(results(row), ", ")
  return format("fun(%s)%s", table.concat(list, ", "), returned ~= "" and ": " .. returned or "")
end

-- What editors show above a name.
local function add_doc(out, row)
  out[#out + 1] = "--- " .. (row.doc or "")
  if row.example then out[#out + 1] = "---\n---     " .. row.example end
end

local function add_function(out, row, prefix)
  local first = row.kind == "method" and 2 or 1
  local names = {}
  add_doc(out, row)
  for i = first, #(row.params or {}) do
    local p = row.params[i]
    names[#names + 1] = p.name == "..." and "..." or safe(p.name)
    out[#out + 1] = format("---@param %s%s %s", names[#names], p.optional and p.name ~= "..." and "?" or "",
      editor_type(p))
  end
  for _, result in ipairs(results(row)) do out[#out + 1] = "---@return " .. result end
  if row.params then
    out[#out + 1] = open_overload(row, first)
    out[#out + 1] = overload(row, first)
  end
  out[#out + 1] = format("function %s%s(%s) end\n", prefix, row.name, table.concat(names, ", "))
end

-- "int?" is integer|nil.
local function field_type(text)
  local name, optional = text:match "^(.-)(%??)$"
  return editor_type {type = name} .. (optional == "?" and "|nil" or "")
end

local OPERATORS = {"add", "sub", "mul", "div", "pow"}

local function add_class(out, class, rows)
  add_doc(out, class)
  out[#out + 1] = format("---@class %s%s", class.name, class.owner and ": " .. class.owner or "")
  for _, row in ipairs(rows or {}) do
    if row.kind == "field" then
      out[#out + 1] = format("---@field %s %s %s", row.name,
        row.type == "shape" and "integer[]" or field_type(row.type or "any"), row.doc or "")
    end
  end
  for _, row in ipairs(rows or {}) do
    if row.kind == "call" then out[#out + 1] = "---@overload " .. call_type(row) end
  end
  if class.name == "Tensor" then
    for _, name in ipairs(OPERATORS) do out[#out + 1] = format("---@operator %s(Tensor|number): Tensor", name) end
    out[#out + 1] = "---@operator unm: Tensor"
    out[#out + 1] = "---@operator len: integer"
    out[#out + 1] = "---@field [integer|Tensor|table] any"
  end
  out[#out + 1] = format("local %s = {}\n", class.name)
  for _, row in ipairs(rows or {}) do
    if row.kind == "method" then add_function(out, row, class.name .. ":") end
  end
end

function reference.luacats()
  local groups, classes = by_owner()
  local out = {"---@meta seqrt", "-- made by `seqrt --luacats`, version " .. sq._VERSION, "",
    '---@alias seqrt.dtype "float32"|"float64"|"int64"|"uint8"|"bool"', ""}
  for _, class in ipairs(classes) do add_class(out, class, groups[class.name]) end
  out[#out + 1] = "---@class seqrt\nlocal sq = {}\n"
  local made = {sq = true}
  for _, owner in ipairs(table_owners(groups, classes)) do
    local path = ""
    for word in owner:gmatch "[^.]+" do
      path = path == "" and word or path .. "." .. word
      if not made[path] then out[#out + 1] = path .. " = {}\n" end
      made[path] = true
    end
    for _, row in ipairs(groups[owner]) do
      if row.params then
        add_function(out, row, owner .. ".")
      else
        out[#out + 1] = format("--- %s\n%s.%s = nil ---@type any\n", row.doc or "", owner, row.name)
      end
    end
  end
  out[#out + 1] = "return sq"
  return table.concat(out, "\n")
end

return reference

-- help.lua: sq.help: what a function, a class or a name is, from the registered signatures.
local api = require "seqrt.api"

local rows

-- All that is listed. Parts list themselves when they are loaded, and list() loads them all: once is enough.
local function all_rows()
  rows = rows or api.list()
  return rows
end

-- "dim: dims? = nil" without its default: the parameters as written, from number `first` on.
local function parameters(signature, first)
  local inside = signature:match "^(%b())":sub(2, -2)
  local list = {}
  for word in (inside .. ","):gmatch "%s*(.-)%s*," do if word ~= "" then list[#list + 1] = word end end
  return table.concat(list, ", ", first or 1)
end

-- "x:sum(dim: dims? = nil) -> Tensor" or "sq.sum(x: Tensor, ...) -> Tensor".
local function heading(row)
  if row.kind == "class" then return "class " .. row.name end
  if row.kind == "field" then return format("%s.%s: %s", row.owner, row.name, row.type or "any") end
  if not row.signature then return (row.owner and row.owner .. "." or "") .. row.name end
  local results = row.signature:match "%)%s*(%->.*)$"
  results = results and " " .. results or ""
  if row.kind == "call" then return format("%s(%s)%s", row.owner:lower(), parameters(row.signature), results) end
  if row.kind == "method" then
    local self = row.params and row.params[1] and row.params[1].name or "self"
    if self == "self" then self = row.owner:lower() end
    return format("%s:%s(%s)%s", self, row.name, parameters(row.signature, 2), results)
  end
  return format("%s.%s(%s)%s", row.owner or "sq", row.name, parameters(row.signature), results)
end

local function entry(row)
  return heading(row) .. "\n    " .. (row.doc or "") .. (row.example and "\n    example: " .. row.example or "")
end

-- What a call of an object of the class takes and gives, after its constructor; "" where there is none.
local function call_text(class)
  local text = ""
  for _, row in ipairs(all_rows()) do
    if row.kind == "call" and row.owner == class then text = text .. "\n" .. entry(row) end
  end
  return text
end

-- A class with all it has, those of its base too.
local function class_text(name)
  local lines, bases = {}, {}
  local wanted = name
  while wanted do
    local base
    for _, row in ipairs(all_rows()) do
      if row.kind == "class" and row.name == wanted then
        if wanted == name then lines[#lines + 1] = entry(row) end
        base = row.owner
      elseif row.owner == wanted and (row.kind == "method" or row.kind == "field" or row.kind == "call" and wanted == name) then
        lines[#lines + 1] = entry(row)
      end
    end
    bases[wanted] = true
    wanted = base and not bases[base] and base or nil
  end
  return #lines > 0 and table.concat(lines, "\n") or nil
end

-- All functions of a table: "sq.optim".
local function owner_text(owner)
  local lines = {}
  for _, row in ipairs(all_rows()) do
    if row.owner == owner and (row.kind == "function" or row.kind == "op") then lines[#lines + 1] = entry(row) end
  end
  table.sort(lines)
  return #lines > 0 and table.concat(lines, "\n") or nil
end

-- Everything of that name; "x:sum", "Tensor.sum" and "sq.sum" are told apart by what stands before.
local function name_text(name)
  local owner, last = name:match "^(.*)[.:]([%w_]+)$"
  last = last or name
  local lines, seen = {}, {}
  for _, row in ipairs(all_rows()) do
    local fits = row.name == last and row.kind ~= "call" and (not owner or row.owner == owner or row.owner == "sq." .. owner)
    local text = fits and entry(row)
    if text and not seen[text] then
      seen[text] = true
      lines[#lines + 1] = row.kind == "class" and class_text(row.name) or text
    end
  end
  if #lines > 0 then return table.concat(lines, "\n") end
  return owner_text(name) or owner_text("sq." .. name)
end

local function unknown_text(name)
  local names = {}
  for _, row in ipairs(all_rows()) do names[#names + 1] = row.name end
  local near = api.nearest(name:match "[%w_]+$" or name, names)
  return format("nothing is called '%s'%s", name, near and format(": did you mean '%s'?", near) or "")
end

-- One line for each entry whose name or text holds the word, names first; nil without any.
local function search_text(word)
  local named, told, low, seen = {}, {}, word:lower(), {}
  for _, row in ipairs(all_rows()) do
    local in_name = row.name:lower():find(low, 1, true)
    local line = format("%-28s %s", row.owner and row.owner .. "." .. row.name or row.name, row.doc or "")
    local listed = row.kind ~= "field" and row.kind ~= "call" and not seen[line]
    if listed and (in_name or row.doc and row.doc:lower():find(low, 1, true)) then
      seen[line] = true
      local list = in_name and named or told
      list[#list + 1] = #line > 100 and line:sub(1, 97) .. "..." or line
    end
  end
  table.move(told, 1, #told, #named + 1, named)
  if #named > 30 then
    local rest = #named - 30
    named = table.move(named, 1, 30, 1, {})
    named[31] = format("... and %d more", rest)
  end
  return #named > 0 and table.concat(named, "\n") or nil
end

-- The comment above a function of a script, its first line, and where it stands.
local function script_text(fn)
  local info = debug.getinfo(fn, "S")
  local path, comments, n = info.source:match "^@(.*)", {}, 0
  local file = path and io.open(path)
  local place = format("function at %s:%d", info.short_src, info.linedefined)
  if not file then return info.what ~= "C" and place or nil end
  for line in file:lines() do
    n = n + 1
    if n == info.linedefined then
      place = table.concat(comments) .. line .. "\n    " .. place
      break
    end
    if line:find "^%s*%-%-" then comments[#comments + 1] = line .. "\n" else comments = {} end
  end
  file:close()
  return place
end

-- The path of one of our tables: "sq.nn.utils"; nil for others.
local function path_of(value, from, path)
  if rawequal(value, from) then return path end
  for name, each in pairs(from) do
    local found = type(name) == "string" and type(each) == "table" and not api.describe(each)
      and path_of(value, each, path .. "." .. name)
    if found then return found end
  end
end

-- One of our tables of functions, or an object of a class that is written in Lua.
local function table_text(value)
  local path = path_of(value, package.loaded.seqrt, "sq")
  if path then return owner_text(path) end
  local meta = getmetatable(value)
  if type(meta) ~= "table" then return nil end
  return class_text(rawget(meta, "__name") or "") or rawget(meta, "__base") and class_text(meta.__base)
end

local help = {}

-- The text for a value or a name; nil and a message where there is none.
function help.text(value)
  if type(value) == "string" then
    local text = name_text(value) or search_text(value)
    if text then return text end
    return nil, unknown_text(value)
  end
  local row = api.describe(value)
  if type(value) == "table" and not row then
    local text = table_text(value)
    if text then return text end
  end
  if type(row) == "string" then return class_text(row) end
  if row and row.kind == "class" then return name_text(row.name) end
  if not row and type(value) == "function" then
    local text = script_text(value)
    if text then return text end
  end
  if not row then return nil, format("there is no help for a %s", type(value)) end
  for _, each in ipairs(all_rows()) do
    if not row.owner and each.name == row.name and each.signature == row.signature then
      row.owner, row.kind = each.owner, each.kind
    end
  end
  return entry(row) .. call_text(row.name)
end

help.heading = heading

help.help = api.define {owner = "sq", name = "help", signature = "(value: any? = nil)",
  doc = "Prints what a function, an object or a name is.",
  example = "sq.help(sq.zeros) sq.help(x) sq.help \"LSTM\"",
  call = function(value)
    if value == nil then value = "sq" end
    local text, message = help.text(value)
    print(text or message)
  end}

return help

-- log.lua: sq.Log(dir): metrics as one JSON object per line, as CSV on request; a resumed run goes on in them.
local sys = require "seqrt.sys"

local Log = {}
Log.__index = Log
Log.__name = "Log"

local api = require "seqrt.api"
local method = api.class {name = "Log", methods = Log, doc = "Metrics on disk; log(step, values) is log:write.",
  example = "log(step, {loss = loss, accuracy = 0.9})",
  fields = {{"dir", "string", "Its folder."}, {"path", "string", "The file metrics.jsonl."}}}

local function check(ok, message)
  if not ok then error("[Log] " .. message, 0) end
  return ok
end

-- --- values ---------------------------------------------------------------------------------------------

local function number_text(x)
  if math.type(x) == "integer" then return ("%d"):format(x) end
  local text = ("%.15g"):format(x)
  if tonumber(text) ~= x then text = ("%.17g"):format(x) end
  return (text:gsub(",", ".")) -- a script may have set a locale with a decimal comma
end

local ESCAPES = {['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t"}

local function json_string(text)
  if not utf8.len(text) then text = text:gsub("[\128-\255]", "?") end
  return '"' .. text:gsub('[%c"\\\127]', function(c) return ESCAPES[c] or ("\\u%04x"):format(c:byte()) end) .. '"'
end

-- A tensor of one element counts as its number.
local function plain(name, value)
  local kind = type(value)
  if kind == "number" or kind == "string" or kind == "boolean" then return value end
  if kind == "userdata" and value.item then return value:item() end
  error(("[Log] '%s' is a %s: only numbers, strings, booleans and tensors of one element can be logged")
    :format(name, kind), 0)
end

-- JSON has neither NaN nor Inf: null, and a second field that says which it was.
local function json_field(name, value)
  local key = json_string(name)
  if type(value) == "string" then return key .. ":" .. json_string(value) end
  if type(value) == "boolean" then return key .. ":" .. tostring(value) end
  if value ~= value then return key .. ":null," .. json_string(name .. "_nan") .. ":true" end
  if value == math.huge then return key .. ":null," .. json_string(name .. "_inf") .. ":true" end
  if value == -math.huge then return key .. ":null," .. json_string(name .. "_neg_inf") .. ":true" end
  return key .. ":" .. number_text(value)
end

local function csv_cell(value)
  if value == nil then return "" end
  if type(value) ~= "string" then
    if type(value) == "boolean" then return tostring(value) end
    if value ~= value then return "nan" end
    return value == math.huge and "inf" or value == -math.huge and "-inf" or number_text(value)
  end
  value = value:gsub("[\r\n]+", " ")
  return value:find '[",]' and '"' .. value:gsub('"', '""') .. '"' or value
end

-- --- files ------------------------------------------------------------------------------------------------

local function append(path, text) check(sys.append(path, text)) end

local function csv_row(self, values)
  local cells = {}
  for i, name in ipairs(self.columns) do cells[i] = csv_cell(values[name]) end
  return table.concat(cells, ",") .. "\n"
end

local function csv_header(self)
  local cells = {}
  for i, name in ipairs(self.columns) do cells[i] = csv_cell(name) end
  return table.concat(cells, ",") .. "\n"
end

-- The CSV's lines after its header.
local function csv_rows(self)
  local rows, text = {}, check(sys.read(self.csv_path))
  for row in text:gmatch "([^\n]*)\n" do rows[#rows + 1] = row end
  table.remove(rows, 1)
  return rows
end

-- The file again with the header of now; rows of before get empty cells.
local function csv_rewrite(self, rows, missing)
  local out = {csv_header(self)}
  for _, row in ipairs(rows) do out[#out + 1] = row .. (","):rep(missing) .. "\n" end
  check(sys.write(self.csv_path, table.concat(out)))
end

local function write_csv(self, names, values)
  local known, missing = {}, 0
  for _, name in ipairs(self.columns) do known[name] = true end
  for _, name in ipairs(names) do
    if not known[name] then
      self.columns[#self.columns + 1] = name
      missing = missing + 1
    end
  end
  if self.rows == 0 then
    csv_rewrite(self, {}, 0)
  elseif missing > 0 then
    csv_rewrite(self, csv_rows(self), missing)
  end
  append(self.csv_path, csv_row(self, values))
end

-- A log that does not go on from a checkpoint starts its files anew, at its first line.
local function begin(self)
  if self.begun then return end
  self.begun = true
  check(sys.write(self.path, ""))
end

-- --- methods ------------------------------------------------------------------------------------------------

method("write", "(step: any, values: table? = nil) -> Log",
  "One line of metrics, on disk when this returns; or all in one table, step too.",
  "log:write(step, {loss = loss:item()}) log:write {step = step, loss = 0.5}")
function Log:write(step, values)
  if type(step) == "table" then step, values = step.step, step end
  if math.type(step) ~= "integer" then
    local whole = type(step) == "number" and math.tointeger(step)
    step = whole or error(("[Log] step is %s: it must be an integer"):format(tostring(step)), 2)
  end
  local row, names = {step = step, time = math.floor(sys.time() * 1000 + 0.5) / 1000}, {}
  for name, value in pairs(values or {}) do
    if type(name) ~= "string" then error("[Log] names of values are strings", 2) end
    if name ~= "step" and name ~= "time" then
      names[#names + 1], row[name] = name, plain(name, value)
    end
  end
  table.sort(names)
  table.insert(names, 1, "step")
  table.insert(names, 2, "time")
  local fields = {}
  for i, name in ipairs(names) do fields[i] = json_field(name, row[name]) end
  begin(self)
  local line = "{" .. table.concat(fields, ",") .. "}\n"
  append(self.path, line)
  self.bytes = self.bytes + #line
  if self.csv_path then write_csv(self, names, row) end
  self.rows = self.rows + 1
  return self
end

Log.__call = Log.write

method("state_dict", "() -> table", "Where the log stands, for a checkpoint.")
function Log:state_dict()
  return {bytes = self.bytes, rows = self.rows, columns = table.concat(self.columns, "\n")}
end

method("load_state_dict", "(state_dict: table) -> Log", "Goes on from a checkpoint: what was written after it is cut off.")
function Log:load_state_dict(state)
  local bytes, rows = math.tointeger(state.bytes), math.tointeger(state.rows)
  if not (bytes and rows and type(state.columns) == "string") then error("[Log] this is no state of a log", 2) end
  local text = bytes > 0 and check(sys.read(self.path)) or ""
  if #text < bytes then
    error(("[Log] %s has %d bytes, fewer than the %d of the checkpoint"):format(self.path, #text, bytes), 2)
  end
  check(sys.write(self.path, text:sub(1, bytes)))
  self.begun, self.bytes, self.rows, self.columns = true, bytes, rows, {}
  for name in state.columns:gmatch "[^\n]+" do self.columns[#self.columns + 1] = name end
  if self.csv_path and rows > 0 then
    local kept = csv_rows(self)
    -- columns that came after the checkpoint stay: their cells in the kept rows are empty
    local header = check(sys.read(self.csv_path)):match "[^\n]*"
    local out = {header .. "\n"}
    for i = 1, rows do out[#out + 1] = check(kept[i], self.csv_path .. " has lost rows") .. "\n" end
    check(sys.write(self.csv_path, table.concat(out)))
    self.columns = {}
    for name in header:gmatch "[^,]+" do self.columns[#self.columns + 1] = (name:gsub('^"(.*)"$', "%1")) end
  end
  return self
end

return api.define {owner = "sq", name = "Log", signature = "(dir: string, csv: bool = false) -> Log",
  doc = "Metrics, one JSON object a line, in dir/metrics.jsonl; with csv = true in dir/metrics.csv too. Makes the folder and "
    .. "finds out now whether it can be written.",
  example = "local log = sq.Log(\"runs/a\", {csv = true})",
  call = function(dir, csv)
    if dir == "" then error("[Log] dir must be the name of a folder", 3) end
    local ok, message = sys.fs.mkdir_p(dir)
    if ok then ok, message = sys.probe(dir) end
    if not ok then error("[Log] " .. message, 3) end
    return setmetatable({dir = dir, path = sys.fs.join(dir, "metrics.jsonl"), bytes = 0, rows = 0, columns = {},
      csv_path = csv and sys.fs.join(dir, "metrics.csv") or nil}, Log)
  end}

-- log.lua: sq.Log(dir): metrics as one JSON object per line, as CSV on request; a resumed run goes on in them.
local sys = require "seqrt.sys"
local json = require "seqrt.json"
local csv_text = require "seqrt.csv"
local record = require "seqrt.record"
local number_text, json_string = json.number, json.quote

local Log = {}
Log.__index = Log
Log.__name = "Log"

local api = require "seqrt.api"
local method = api.class {name = "Log", methods = Log, strict = true, doc = "Metrics on disk; log(step, values) is log:write.",
  example = "log(step, {loss = loss, accuracy = 0.9})",
  fields = {{"dir", "string", "Its folder."}, {"path", "string", "The file metrics.jsonl."}}}

local function fail(text, ...) api.fail("[Log] " .. text, ...) end

local function check(ok, message)
  if not ok then fail("%s", message) end
  return ok
end

-- --- values ---------------------------------------------------------------------------------------------

-- A tensor of one element counts as its number.
local function plain_value(name, value)
  local kind = type(value)
  if kind == "number" or kind == "string" or kind == "boolean" then return value end
  if kind == "userdata" and value.item then return value:item() end
  fail("'%s' is a %s: only numbers, strings, booleans and tensors of one element can be logged", name, kind)
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
  return csv_text(value)
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
local function begin_files(self)
  if self.begun then return end
  self.begun = true
  check(sys.write(self.path, ""))
end

-- --- methods ------------------------------------------------------------------------------------------------

-- A step as an integer.
local function whole(step)
  local n = type(step) == "number" and math.tointeger(step)
  return n or fail("step is %s: it must be an integer", tostring(step))
end

-- True for "loss", "d_loss", "train/loss": what training brings down.
local function is_loss(name) return (" " .. name:lower() .. " "):find "[^%a]loss[^%a]" ~= nil end

-- A loss that is not finite never comes back: the script stops, before it saves what it has.
local function check_loss(names, row)
  for _, name in ipairs(names) do
    local value = row[name]
    if is_loss(name) and type(value) == "number" and value - value ~= 0 then
      fail("step %d: %s is %s, and will not come back. `seqrt --detect-anomaly script.lua`, or sq.detect_anomaly(), names "
        .. "the op and the line that make it; a lower learning rate or clipped gradients may avoid it%s", row.step, name,
        value ~= value and "NaN" or value > 0 and "Inf" or "-Inf",
        require "seqrt.stop".what_stays())
    end
  end
end

method("write", "(step: any, values: table? = nil) -> Log",
  "One line of metrics, on disk when this returns; or all in one table, step too.",
  "log:write(step, {loss = loss:item()}) log:write {step = step, loss = 0.5}",
  function(self, step, values)
    if type(step) == "table" then step, values = step.step, step end
    step = whole(step)
    local row, names, numbers = {step = step, time = math.floor(sys.time() * 1000 + 0.5) / 1000}, {}, {}
    for name, value in pairs(values or {}) do
      if type(name) ~= "string" then fail "names of values are strings" end
      if name ~= "step" and name ~= "time" then
        value = plain_value(name, value)
        names[#names + 1], row[name] = name, value
        if type(value) == "number" then numbers[name] = value end
      end
    end
    table.sort(names)
    table.insert(names, 1, "step")
    table.insert(names, 2, "time")
    local fields = {}
    for i, name in ipairs(names) do fields[i] = json_field(name, row[name]) end
    begin_files(self)
    record.ensure(self.dir)
    local line = "{" .. table.concat(fields, ",") .. "}\n"
    append(self.path, line)
    self.bytes = self.bytes + #line
    if self.csv_path then write_csv(self, names, row) end
    if self.events then self.events:write("scalar", row.time, step, numbers) end
    self.rows = self.rows + 1
    if self.check_loss then check_loss(names, row) end
    return self
  end)

Log.__call = Log.write

-- Tensors by name to TensorBoard's file.
local function write_tensors(self, kind, step, values, prepare)
  if not self.events then
    fail("%ss go to TensorBoard alone: open the log with sq.Log(dir, {tensorboard = true})", kind)
  end
  step = whole(step)
  local prepared = {}
  for name, value in pairs(values) do
    if type(name) ~= "string" then fail "names of values are strings" end
    prepared[name] = prepare(name, value)
  end
  self.events:write(kind, sys.time(), step, prepared)
  return self
end

method("image", "(step: int, values: table) -> Log",
  "Pictures (C,Y,X) or (Y,X) by name, to TensorBoard: bytes, or floats 0 to 1.",
  "log:image(step, {samples = image.make_grid(x)})",
  function(self, step, values)
    return write_tensors(self, "image", step, values, function(name, value)
      return require("seqrt.image").bytes("Log: " .. name, value)
    end)
  end)

method("histogram", "(step: int, values: table) -> Log",
  "How the numbers of tensors are spread, by name, to TensorBoard; NaN and Inf are left out.",
  "log:histogram(step, {weight = layer.weight, gradient = layer.weight.grad})",
  function(self, step, values)
    return write_tensors(self, "histogram", step, values, function(name, value)
      if type(value) == "userdata" and value.numel then return value end
      fail("'%s' is a %s: a histogram is of a Tensor", name, type(value))
    end)
  end)

method("state_dict", "() -> table", "Where the log stands, for a checkpoint.",
  function(self)
    return {bytes = self.bytes, rows = self.rows, columns = table.concat(self.columns, "\n"),
      events = self.events and self.events:state_dict() or nil}
  end)

method("load_state_dict", "(state_dict: table) -> Log", "Goes on from a checkpoint: what was written after it is cut off.",
  function(self, state)
    local bytes, rows = math.tointeger(state.bytes), math.tointeger(state.rows)
    if not (bytes and rows and type(state.columns) == "string") then fail "this is no state of a log" end
    local text = bytes > 0 and check(sys.read(self.path)) or ""
    if #text < bytes then
      fail("%s has %d bytes, fewer than the %d of the checkpoint", self.path, #text, bytes)
    end
    check(sys.write(self.path, text:sub(1, bytes)))
    record.ensure(self.dir)
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
    if self.events and state.events then self.events:load_state_dict(state.events) end
    return self
  end)

return api.define {owner = "sq", name = "Log",
  signature = "(dir: string, csv: bool = false, tensorboard: bool = false, check_loss: bool = true) -> Log",
  doc = "Metrics, one JSON object a line, in dir/metrics.jsonl; with csv in dir/metrics.csv too, with tensorboard in an event "
    .. "file there. Makes the folder and finds out now whether it can be written. With check_loss, a value called loss "
    .. "(d_loss, train/loss) that is NaN or Inf is written, then stops the script.",
  example = "local log = sq.Log(\"runs/a\", {csv = true})",
  call = function(dir, csv, tensorboard, checked)
    if dir == "" then fail "dir must be the name of a folder" end
    local ok, message = sys.fs.mkdir_p(dir)
    if ok then ok, message = sys.probe(dir) end
    if not ok then fail("%s", message) end
    return setmetatable({dir = dir, path = sys.fs.join(dir, "metrics.jsonl"), bytes = 0, rows = 0, columns = {},
      csv_path = csv and sys.fs.join(dir, "metrics.csv") or nil, check_loss = checked,
      events = tensorboard and require "seqrt.events"(dir) or nil}, Log)
  end}

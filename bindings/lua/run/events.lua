-- events.lua: TensorBoard's event file of a log: one per folder, which a resumed run goes on in.
local api = require "seqrt.api"
local matching = require "seqrt.matching"
local store = require "seqrt.store"
local sys = require "seqrt.sys"

local Events = {}
Events.__index = Events

local PREFIX, SUFFIX = "events.out.tfevents.", ".seqrt"

local function fail(text, ...) api.fail("[Log] " .. text, ...) end

local function check(ok, message)
  if not ok then fail("%s", message) end
  return ok
end

-- The files that we have made in the folder.
local function our_files(dir) return check(matching(dir, PREFIX .. "*" .. SUFFIX)) end

-- Those of a run that is given up go: TensorBoard would lay the two over each other.
local function begin_file(self)
  if self.name then return end
  for _, path in ipairs(our_files(self.dir)) do os.remove(path) end
  local wall = sys.time()
  self.name = format("%s%010d.%s.%d%s", PREFIX, wall // 1 | 0, sys.hostname(), sys.pid(), SUFFIX)
  local record = store.event("version", wall)
  check(sys.write(sys.fs.join(self.dir, self.name), record))
  self.bytes = #record
end

-- Adds records; they are on disk when this returns.
local function add_records(self, records)
  begin_file(self)
  local text = table.concat(records)
  check(sys.append(sys.fs.join(self.dir, self.name), text))
  self.bytes = self.bytes + #text
end

-- One record of that kind for each name, in the names' order: {name = value}.
function Events:write(kind, wall, step, values)
  local names, records = {}, {}
  for name in pairs(values) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do records[i] = store.event(kind, wall, step, name, values[name]) end
  if #records > 0 then add_records(self, records) end
end

function Events:state_dict() return {name = self.name or "", bytes = self.bytes} end

-- Cuts off what was written after the checkpoint.
function Events:load_state_dict(state)
  local bytes = math.tointeger(state.bytes)
  if type(state.name) ~= "string" or not bytes then fail "this is no state of a log" end
  if state.name == "" then return end
  local path = sys.fs.join(self.dir, state.name)
  local text = check(sys.read(path))
  if #text < bytes then fail("%s has %d bytes, fewer than the %d of the checkpoint", path, #text, bytes) end
  check(sys.write(path, text:sub(1, bytes)))
  self.name, self.bytes = state.name, bytes
end

-- A file in that folder, made at its first record.
return function(dir) return setmetatable({dir = dir, bytes = 0}, Events) end

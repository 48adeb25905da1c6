-- checkpoint.lua: sq.Checkpoint: a folder of safetensors files, one a step, each whole or not there. The folder belongs to
-- one process at a time; what a killed one left half written is removed. A training that goes on where it was stopped:
--
--   local checkpoint <close> = sq.Checkpoint(dir, {keep = 2, every = 100})
--   local parts = {model = model, opt = opt, loader = loader, log = log}
--   for step = (checkpoint:resume(parts) or 0) + 1, steps do
--     ... one step ...
--     checkpoint:step(step, parts)
--   end
--
-- checkpoint:step is a safe point: nothing is half done there. SIGTERM, SIGINT off a terminal and `quit` at a pause wait
-- for it, it saves, and the script ends (143, 130, 130): the resumed run has the bits of one that was never stopped.

local sq = require "seqrt"
local files = require "seqrt.files"
local stop = require "seqrt.stop"
local store = require "seqrt.store"
local sys = require "seqrt.sys"

local Checkpoint = {}
Checkpoint.__index = Checkpoint
Checkpoint.__name = "Checkpoint"

local api = require "seqrt.api"
local method = api.class {name = "Checkpoint", methods = Checkpoint, strict = true,
  doc = "A folder of checkpoints, one process's at a time.",
  example = "local checkpoints = sq.Checkpoint(\"runs/a\"); local step = checkpoints:resume {model = model} or 0",
  fields = {{"dir", "string", "The folder."}, {"keep", "int", "How many of the newest are kept."},
    {"every", "int?", "Steps from one checkpoint to the next."}}}

local DEFAULT = "default_generator" -- its state goes into every checkpoint
local STEP = "step"

local function fail(text, ...) api.fail("[Checkpoint] " .. text, ...) end

local function matching(dir, pattern)
  local found, why = require "seqrt.matching"(dir, pattern)
  if not found then fail("%s", why) end
  return found
end

-- Half-written files of processes that are gone.
local function remove_halves(dir)
  for _, path in ipairs(matching(dir, ".seqrt-*.tmp")) do
    local pid = tonumber(path:match "%.seqrt%-(%d+)%-%d+%.tmp$")
    if pid and (pid == sys.pid() or not sys.fs.exists("/proc/" .. pid)) then os.remove(path) end
  end
end

-- {step, path} of all checkpoints, the newest first.
local function list(dir)
  local found = {}
  for _, path in ipairs(matching(dir, "checkpoint-*.safetensors")) do
    local step = math.tointeger(tonumber(path:match "checkpoint%-(%d+)%.safetensors$"))
    if step then found[#found + 1] = {step = step, path = path} end
  end
  table.sort(found, function(a, b) return a.step > b.step end)
  return found
end

local function check_open(self)
  if not self.lock then fail("the checkpoints of '%s' were closed", self.dir) end
end

local function check_step(step)
  if step < 0 then fail("step is %d: it must be a whole number from 0 on", step) end
end

local function check_parts(parts, what)
  for name in pairs(parts) do
    if type(name) ~= "string" then fail("%s takes names: %s{model = model, ...}", what, what) end
    if name == STEP or name == DEFAULT then fail("'%s' is saved anyway: choose another name", name) end
  end
end

local function has_state(value)
  local kind = type(value)
  if kind == "userdata" then return not sq.is_tensor(value) and value.state_dict ~= nil end
  return kind == "table" and value.state_dict ~= nil
end

-- Raises when a parameter, or a tensor of an object without parameters (an optimizer), holds NaN or Inf: such a state
-- would push the good ones out.
local function check_finite(name, state, where)
  if sq.is_tensor(state) then
    if state.dtype:find "^float" and not state:detach():isfinite():all():item() then
      fail("%s%s holds NaN or Inf: nothing was saved%s", name, where, require "seqrt.stop".what_stays())
    end
  elseif type(state) == "table" then
    for key, value in pairs(state) do check_finite(name, value, where .. "." .. tostring(key)) end
  end
end

-- Indexing an object of C for what it lacks raises.
local function has_parameters(object)
  local ok, found = pcall(function() return object.named_parameters end)
  return ok and found ~= nil
end

local function check_object(name, object, state)
  if not has_parameters(object) then return check_finite(name, state, "") end
  for key, parameter in object:named_parameters() do check_finite(name, parameter, "." .. key) end
end

method("save", "(step: int, parts: table) -> string",
  "Saves objects by their state_dict, all else as it is, and the default generator; gives the file's path. All but the `keep` "
    .. "newest are removed, and any of a later step: those are of a run that was given up.",
  "checkpoints:save(step, {model = model, opt = opt, loader = loader, epoch = 3})",
  function(self, step, parts)
    check_open(self)
    check_step(step)
    check_parts(parts, "save")
    local state = {[STEP] = step, [DEFAULT] = sq.default_generator:state_dict()}
    for name, value in pairs(parts) do
      state[name] = has_state(value) and value:state_dict() or value
      if has_state(value) then check_object(name, value, state[name]) end
    end
    local path = sys.fs.join(self.dir, format("checkpoint-%08d.safetensors", step))
    files.save(path, state)
    local kept = 0
    for _, old in ipairs(list(self.dir)) do
      if old.step <= step then kept = kept + 1 end
      if old.step > step or kept > self.keep then os.remove(old.path) end
    end
    return path
  end)

method("step", "(step: int, parts: table) -> string?",
  "What a training loop calls at the end of each step: saves every `every` steps, and when the script is to stop, which "
    .. "it then does. Gives the path if it saved.",
  "checkpoints:step(step, {model = model, opt = opt})",
  function(self, step, parts)
    check_open(self)
    check_step(step)
    local asked = stop.asked()
    stop.promise(self)
    local due = self.every and step % self.every == 0
    local path = (asked or due) and self:save(step, parts) or nil
    if asked then stop.done() end
    return path
  end)

-- The newest checkpoint that can be read. A damaged one is named on standard error if an older one stands in for it.
local function newest(self)
  local problems = {}
  for _, item in ipairs(list(self.dir)) do
    local ok, state = pcall(files.load, item.path)
    if ok and (type(state) ~= "table" or state[STEP] ~= item.step) then
      ok, state = false, format("'%s' holds no checkpoint of step %d", item.path, item.step)
    end
    if ok then
      if #problems > 0 then
        io.stderr:write(format("seqrt: %s; going on from step %d\n", table.concat(problems, "; "), item.step))
      end
      return state, item.path
    end
    problems[#problems + 1] = tostring(state)
  end
  if #problems > 0 then fail("no checkpoint can be read: %s", table.concat(problems, "; ")) end
end

local function check_names(state, parts, path)
  local missing = {}
  for name in pairs(parts) do
    if state[name] == nil then missing[#missing + 1] = name end
  end
  table.sort(missing)
  if #missing > 0 then fail("'%s' has no %s", path, table.concat(missing, ", ")) end
end

method("resume", "(parts: table? = nil) -> int?, table?",
  "Loads the newest checkpoint into these objects. Gives its step and a table of what was saved without a state_dict; nil "
    .. "where there is none.",
  "local step, more = checkpoints:resume {model = model, opt = opt}",
  function(self, parts)
    check_open(self)
    check_parts(parts or {}, "resume")
    local state, path = newest(self)
    if not state then return nil end
    check_names(state, parts or {}, path)
    local names = {}
    for name, value in pairs(parts or {}) do
      if type(value) ~= "table" and type(value) ~= "userdata" or not value.load_state_dict then
        fail("%s is a %s without load_state_dict", name, type(value))
      end
      names[#names + 1] = name
    end
    table.sort(names)
    for _, name in ipairs(names) do
      local ok, why = pcall(parts[name].load_state_dict, parts[name], state[name])
      if not ok then fail("'%s': %s: %s", path, name, tostring(why)) end
      state[name] = nil
    end
    sq.default_generator:load_state_dict(state[DEFAULT])
    local step = state[STEP]
    state[STEP], state[DEFAULT] = nil, nil
    return step, state
  end)

method("latest", "() -> int?", "The step of the newest checkpoint, or nil.",
  function(self)
    local all = list(self.dir)
    return all[1] and all[1].step
  end)

method("close", "()", "Gives the folder up; nothing can be saved any more.",
  function(self)
    local lock <close> = self.lock -- luacheck: ignore 211
    self.lock = nil
    stop.withdraw(self)
  end)
function Checkpoint:__close() self:close() end

function Checkpoint:__tostring()
  local step = self:latest()
  return format("Checkpoint in '%s': %s", self.dir, step and "step " .. step or "empty")
end

return function(dir, keep, every)
  if dir == "" then fail "dir must be the name of a folder" end
  if keep < 1 then fail("keep is %d: it must be at least 1", keep) end
  if every and every < 1 then fail("every is %d: it must be at least 1", every) end
  local ok, why = sys.fs.mkdir_p(dir)
  if ok then ok, why = sys.probe(dir) end
  if not ok then fail("%s", why) end
  local lock, taken = store.lock(dir)
  if not lock then fail("%s: give this run a folder of its own, or end the other one", taken) end
  remove_halves(dir)
  local self = setmetatable({dir = dir, keep = keep, every = every, lock = lock}, Checkpoint)
  require "seqrt.stop".checkpoints[self] = true
  return self
end

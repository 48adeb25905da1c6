-- hostile.lua: calls everything the module has with values that fit, that almost fit and that do not: from the main
-- state, coroutines and finalizers, with allocations that fail. usage: seqrt hostile.lua SEED CALLS; with
-- HOSTILE_TRACE=1 each call is written to stderr before it is made. Ends with "done" unless something breaks.
local sq = require "seqrt"
local api = require "seqrt.api"

local seed, calls = tonumber(arg[1] or 1), tonumber(arg[2] or 5000)
local random = math.random
math.randomseed(seed)

local function pick(list) return list[random(#list)] end

-- --- values -------------------------------------------------------------------------------------------------------

local DTYPES = {"float32", "float64", "int64", "uint8", "bool"}
local WEIRD = {0 / 0, 1 / 0, -1 / 0, 2 ^ 53, 2 ^ 63, -2 ^ 63, math.mininteger, math.maxinteger, 1e300, 0.5, -0.0, "", "a",
  "float32", true, false, {}, {1}, {{}}, {dim = 1}, {dim = 0 / 0}, print, io.stdout, coroutine.create(print),
  {1, 2, 3, 4, 5, 6, 7, 8, 9}, {-1}, {0}, {2 ^ 40, 2 ^ 40}, "sum", "mean", "tanh"}

local pool = {} -- tensors that calls gave back
local generators = {sq.Generator(1), sq.default_generator}

local function fresh()
  local shape = {}
  for i = 1, random(0, 4) do shape[i] = random(0, 4) end
  local x = sq.zeros(shape, {dtype = random(3) == 1 and pick(DTYPES) or "float32"})
  x:bernoulli_(0.5)
  if x.dtype:find "float" and random(3) == 1 then x:normal_():requires_grad_() end
  return x
end

local function closed()
  local x = sq.ones(2)
  getmetatable(x).__close(x)
  return x
end

local function known() return #pool > 0 and random(3) > 1 and pick(pool) or fresh() end

local function list_of(make, most)
  local list = {}
  for i = 1, random(0, most) do list[i] = make() end
  return list
end

local function anything()
  local kind = random(12)
  if kind <= 4 then return known() end
  if kind <= 7 then return random(-4, 5) end
  if kind == 8 then return list_of(random(2) == 1 and known or function() return random(-3, 4) end, 4) end
  if kind == 9 then return pick(generators) end
  if kind == 10 then return closed() end
  if kind == 11 then return nil end
  return pick(WEIRD)
end

local function position() return random(-3, 4) end

local FITTING = {
  Tensor = known,
  ["Tensor|number"] = function() return random(3) == 1 and random(-2, 2) or known() end,
  ["Tensor[]"] = function() return list_of(known, 3) end,
  number = function() return random(4) == 1 and pick(WEIRD) or random(-2, 3) * 0.5 end,
  int = position, dim = position, position = position,
  bool = function() return random(2) == 1 end,
  dims = function() return list_of(position, 3) end,
  ints = function() return list_of(position, 3) end,
  shape = function() return list_of(function() return random(-1, 4) end, 3) end,
  pair = function() return random(0, 3) end,
  lone = function() return random(3) == 1 and {random(0, 3)} or random(0, 3) end,
  ["pair|same|valid"] = function() return pick {"same", "valid", 0, 1, {1, 2}} end,
  ["lone|same|valid"] = function() return pick {"same", "valid", 0, 1, {1}} end,
  dtype = function() return pick(DTYPES) end,
  Generator = function() return pick(generators) end,
  ["function"] = function() return function(...) return ... end end,
}

local function argument(param)
  if random(8) == 1 then return anything() end
  if param.optional and random(2) == 1 then return nil end
  if param.choice then
    local words = {}
    for word in param.type:gmatch "[^|]+" do words[#words + 1] = word end
    return pick(words)
  end
  return (FITTING[param.type] or anything)()
end

-- --- functions ----------------------------------------------------------------------------------------------------

local LEFT_OUT = {fail_allocations = true, set_memory_limit = true, set_num_threads = true, help = true,
  set_grad_enabled = true, no_grad = true, enable_grad = true, clock = true,
  set_detect_anomaly = true, detect_anomaly = true, profile = true,
  cli = true, sweep = true, report = true, show = true, on_stop = true, Digits = true} -- leave, print or take long

local targets = {} -- {name, fn, params}

local function add(name, fn)
  local row = api.describe(fn)
  if type(row) == "table" then targets[#targets + 1] = {name = name, fn = fn, params = row.params} end
end

local function add_all(path, from, depth)
  local names, meta = {}, getmetatable(from)
  for _, name in ipairs(meta and meta.__dir or {}) do pcall(function() return from[name] end) end -- made at first use
  for name in pairs(from) do if type(name) == "string" then names[#names + 1] = name end end
  table.sort(names)
  for _, name in ipairs(names) do
    local value = from[name]
    if not LEFT_OUT[name] and type(value) == "function" then add(path .. name, value) end
    if type(value) == "table" and depth > 0 and value ~= sq and name ~= "fs" and not api.describe(value) then
      add_all(path .. name .. ".", value, depth - 1)
    end
  end
end

add_all("sq.", sq, 2)
add_all("Tensor.", getmetatable(sq.ones(1)).__members, 0)
add_all("Generator.", getmetatable(generators[1]).__members, 0)

-- --- objects: layers, optimizers, schedulers, datasets, figures, logs, whatever calls gave ---------------------------------

local objects = {}

local function names_of(t)
  local names = {}
  for name in pairs(t) do if type(name) == "string" and not name:find "^__" then names[#names + 1] = name end end
  table.sort(names)
  return names
end

-- The names of an object's methods.
local function methods_of(object)
  local meta = getmetatable(object)
  if meta.__module then return meta.__dir(object) end
  local members = meta.__members or type(meta.__index) == "table" and meta.__index or {}
  return names_of(members)
end

-- A function that calls a method of some object with whatever arguments, or the object with tensors.
local function poke()
  local object = pick(objects)
  local names = methods_of(object)
  local x, a, b = known(), random(2) == 1 and anything() or nil, anything()
  if random(4) == 1 or #names == 0 then return function() return object(x, a) end end
  local name = pick(names)
  return function() return not LEFT_OUT[name] and object[name](object, a, b) end
end

local function make_objects()
  local nn, optim, data, F = sq.nn, sq.optim, sq.data, sq.nn.Module "Random"
  function F:init() self.a, self.b = nn.Linear(4, 4), nn.LSTM(4, 4) end
  local net = F()
  local opt = optim.Adam(net:parameters(), {lr = 0.1})
  local set = data.TensorDataset(sq.ones(4, 4), sq.zeros(4))
  local figure = sq.plot.figure()
  objects = {net, opt, set, data.DataLoader(set, 2), optim.lr_scheduler.StepLR(opt, 2), figure, figure:axes(),
    nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU()), nn.Conv2d(1, 2, 2), nn.GRU(4, 4), nn.Embedding(4, 4),
    nn.MultiheadAttention(4, 2), sq.Log "log", sq.progress(3, {disable = true}), data.Palindrome(5), nn.Dropout(0.5),
    optim.SGD({sq.ones {2, requires_grad = true}}, {lr = 0.1, momentum = 0.9}), optim.RMSprop(net:parameters())}
end

-- --- calls --------------------------------------------------------------------------------------------------------

local function arguments(target)
  local args = {n = 0}
  if target.params and random(3) > 1 then
    for i, param in ipairs(target.params) do args[i] = argument(param) end
    args.n = #target.params
    while args.n > 0 and args[args.n] == nil do args.n = args.n - 1 end
  else
    args.n = random(0, 4)
    for i = 1, args.n do args[i] = anything() end
  end
  return args
end

local function trace(number, target, args)
  local words = {}
  for i = 1, args.n do
    local value = args[i]
    local ok, shape = pcall(function() return value.dtype .. tostring(value.shape) end)
    words[i] = ok and type(value) == "userdata" and shape or tostring(value)
  end
  io.stderr:write(("%d %s(%s)\n"):format(number, target.name, table.concat(words, ", ")))
end

local function operators(a, b, c)
  pcall(function() return a[b] end)
  pcall(function() a[b] = c end)
  return pcall(pick {
    function() return a + c end, function() return c * a end, function() return -a end, function() return #a end,
    function() return a[{b, c}] end, function() a[{b, c}] = 1 end, function() a[{c}] = b end,
    function() return a ^ c end, function() return a .. b end, function() return a < c end,
  })
end

-- The call in one of several circumstances.
local function call(target, args)
  local how = random(12)
  local function run() return target.fn(table.unpack(args, 1, args.n)) end
  if how == 1 then return pcall(coroutine.wrap(run)) end
  if how == 2 then
    setmetatable({}, {__gc = function() pcall(run) end})
    return true
  end
  if how == 3 then return operators(known(), anything(), anything()) end
  if how == 6 or how == 7 then run = poke() end
  if how == 7 then how = 4 end
  if how == 4 then
    sq.fail_allocations(random(0, 12), random(3) == 1 and -1 or random(2))
    local results = table.pack(pcall(run))
    sq.fail_allocations(-1)
    return table.unpack(results, 1, results.n)
  end
  if how == 5 then return pcall(sq.no_grad, run) end
  return pcall(run)
end

-- Keeps the tensors of a result for later calls.
local function keep(ok, ...)
  if not ok then
    assert(type((...)) == "string", "an error that is no text")
    return
  end
  for _, value in ipairs {...} do
    local usable = sq.is_tensor(value) and pcall(value.numel, value) and value:numel() < 5000
    if usable then pool[#pool < 40 and #pool + 1 or random(40)] = value end
    if usable and random(4) == 1 then tostring(value) end
    local kind = type(value)
    local object = not usable and (kind == "userdata" or kind == "table") and getmetatable(value)
    if type(object) == "table" and (object.__index or object.__members) and #objects < 60 and not sq.is_tensor(value) then
      objects[#objects + 1] = value
      pcall(tostring, value)
    end
  end
end

sq.set_memory_limit(2 ^ 30)
make_objects()
for i = 1, calls do
  local target = pick(targets)
  local args = arguments(target)
  if os.getenv "HOSTILE_TRACE" then trace(i, target, args) end
  keep(call(target, args))
  if random(50) == 1 then pcall(function() known():sum():backward() end) end
  if random(500) == 1 then collectgarbage() end
  if random(300) == 1 then pool = {} end
  if random(400) == 1 then make_objects() end
end
pool, objects = {}, {}
collectgarbage()
collectgarbage()
print "done"

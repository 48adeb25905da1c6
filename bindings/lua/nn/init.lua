-- init.lua: initial values of parameters, in place and unrecorded. Formulas, draws and their order are PyTorch's.

local sq = require "seqrt"
local api = require "seqrt.api"
local init = {}

local fail = api.fail

-- The example is nn.init.<name>(w) unless one is given.
local function define(name, signature, doc, call, example)
  init[name] = api.define {owner = "sq.nn.init", name = name, signature = signature, doc = doc, call = call,
    example = example or format("nn.init.%s(layer.weight)", name)}
end

-- Runs change() without recording; gives the tensor back.
local function quietly(t, change)
  sq.no_grad(change)
  return t
end

local function uniform(t, a, b, generator)
  return quietly(t, function() t:uniform_(a, b, {generator = generator}) end)
end

local function normal(t, mean, std, generator)
  return quietly(t, function() t:normal_(mean, std, {generator = generator}) end)
end

local function constant(t, value) return quietly(t, function() t:fill_(value) end) end

define("uniform_", "(tensor: Tensor, a: number = 0, b: number = 1, generator: Generator? = nil) -> Tensor", "U(a, b).",
  uniform)
define("normal_", "(tensor: Tensor, mean: number = 0, std: number = 1, generator: Generator? = nil) -> Tensor",
  "N(mean, std).", normal)
define("constant_", "(tensor: Tensor, val: number) -> Tensor", "All val.", constant,
  "nn.init.constant_(layer.bias, 0.1)")
define("zeros_", "(tensor: Tensor) -> Tensor", "All 0.", function(t) return constant(t, 0) end)
define("ones_", "(tensor: Tensor) -> Tensor", "All 1.", function(t) return constant(t, 1) end)

-- --- by fan ------------------------------------------------------------------------------------------

local function want_matrix(t)
  if t:dim() < 2 then fail("[nn.init] the tensor is %s: it needs 2 dims or more", t.shape) end
end

-- Inputs and outputs of one unit: dims 2 and 1, times the field of a convolution.
local function fans(t)
  want_matrix(t)
  local field = 1
  for i = 3, t:dim() do field = field * t:size(i) end
  return t:size(2) * field, t:size(1) * field
end

local gains = {
  linear = 1, conv1d = 1, conv2d = 1, conv_transpose2d = 1, sigmoid = 1, tanh = 5 / 3, relu = math.sqrt(2), selu = 3 / 4,
}

-- The factor that keeps a signal's size through that nonlinearity.
local function gain_of(nonlinearity, param)
  if nonlinearity == "leaky_relu" then return math.sqrt(2 / (1 + (param or 0.01) ^ 2)) end
  local gain = gains[nonlinearity]
  if gain then return gain end
  local names = {"leaky_relu"}
  for name in pairs(gains) do names[#names + 1] = name end
  table.sort(names)
  local near = api.nearest(nonlinearity, names)
  fail("[nn.init] no gain is known for '%s'%s", nonlinearity, near and format(" (did you mean '%s'?)", near)
    or ": there are " .. table.concat(names, ", "))
end

define("calculate_gain", "(nonlinearity: string, param: number? = nil) -> number",
  "The factor that keeps a signal's size through that nonlinearity.", gain_of, "nn.init.calculate_gain \"relu\"")

local function xavier_std(t, gain)
  local fan_in, fan_out = fans(t)
  return gain * math.sqrt(2 / (fan_in + fan_out))
end

define("xavier_uniform_", "(tensor: Tensor, gain: number = 1, generator: Generator? = nil) -> Tensor",
  "U(-a, a), a = gain sqrt(6 / (fan_in + fan_out)). Glorot and Bengio 2010.",
  function(t, gain, generator)
    local a = math.sqrt(3) * xavier_std(t, gain)
    return uniform(t, -a, a, generator)
  end)

define("xavier_normal_", "(tensor: Tensor, gain: number = 1, generator: Generator? = nil) -> Tensor",
  "N(0, gain sqrt(2 / (fan_in + fan_out))).",
  function(t, gain, generator) return normal(t, 0, xavier_std(t, gain), generator) end)

local KAIMING = "(tensor: Tensor, a: number = 0, mode: \"fan_in\"|\"fan_out\" = fan_in, "
  .. "nonlinearity: string = leaky_relu, generator: Generator? = nil) -> Tensor"

local function kaiming_std(t, a, mode, nonlinearity)
  local fan_in, fan_out = fans(t)
  return gain_of(nonlinearity, a) / math.sqrt(mode == "fan_out" and fan_out or fan_in)
end

define("kaiming_uniform_", KAIMING, "U(-b, b), b = gain sqrt(3 / fan). He et al. 2015.",
  function(t, a, mode, nonlinearity, generator)
    local bound = math.sqrt(3) * kaiming_std(t, a, mode, nonlinearity)
    return uniform(t, -bound, bound, generator)
  end)

define("kaiming_normal_", KAIMING, "N(0, gain / sqrt fan).",
  function(t, a, mode, nonlinearity, generator)
    return normal(t, 0, kaiming_std(t, a, mode, nonlinearity), generator)
  end)

-- --- orthogonal: Saxe et al. 2013 ----------------------------------------------------------------------

-- The q of x = q r, r with a positive diagonal, which makes it unique: x (n,m), n >= m, float64. Gram and Schmidt's
-- columns, each freed twice of those before it, so that rounding leaves them at right angles.
local function orthonormal(x)
  local rows = x:t():contiguous()
  for i = 1, rows:size(1) do
    local v = rows[i]
    if i > 1 then
      local before = rows[{{1, i - 1}}]
      for _ = 1, 2 do v = v - before:t():mv(before:mv(v)) end
    end
    rows[i] = v / v:norm()
  end
  return rows:t()
end

define("orthogonal_", "(tensor: Tensor, gain: number = 1, generator: Generator? = nil) -> Tensor",
  "A random matrix (dims 2 and on as one) with orthonormal rows or columns, times gain.",
  function(t, gain, generator)
    want_matrix(t)
    if t:numel() == 0 then return t end
    return quietly(t, function()
      local x = sq.zeros(t.shape, {dtype = t.dtype}):normal_(0, 1, {generator = generator}):double()
      x = x:reshape(t:size(1), -1)
      local wide = x:size(1) < x:size(2)
      local q = orthonormal(wide and x:t() or x)
      t:copy_((wide and q:t() or q):to(t.dtype):reshape(t.shape) * gain)
    end)
  end)

return init

-- init.lua: initial values of parameters, in place and unrecorded, and parameters as one vector. Formulas are PyTorch's.

local sq = require "seqrt"
local init = {}

-- Runs change() without recording; gives the tensor back.
local function quietly(t, change)
  sq.no_grad(change)
  return t
end

function init.uniform_(t, a, b) return quietly(t, function() t:uniform_(a or 0, b or 1) end) end
function init.normal_(t, mean, std) return quietly(t, function() t:normal_(mean or 0, std or 1) end) end
function init.constant_(t, value) return quietly(t, function() t:fill_(value) end) end
function init.zeros_(t) return init.constant_(t, 0) end
function init.ones_(t) return init.constant_(t, 1) end

-- Inputs and outputs of one unit: dims 2 and 1, times the field of a convolution.
local function fans(t)
  if t:dim() < 2 then error(("[nn.init] a tensor %s has no fan: it needs 2 dims or more"):format(t.shape), 3) end
  local field = t:numel() // math.max(1, t:size(1) * t:size(2))
  return t:size(2) * field, t:size(1) * field
end

local gains = {
  linear = 1, conv1d = 1, conv2d = 1, sigmoid = 1, tanh = 5 / 3, relu = math.sqrt(2), selu = 3 / 4,
}

-- The factor that keeps a signal's size through that nonlinearity.
function init.calculate_gain(nonlinearity, param)
  if nonlinearity == "leaky_relu" then return math.sqrt(2 / (1 + (param or 0.01) ^ 2)) end
  local gain = gains[nonlinearity]
  if not gain then error(("[nn.init] no gain is known for '%s'"):format(nonlinearity), 2) end
  return gain
end

-- U(-a, a), a = gain sqrt(6 / (fan_in + fan_out))
function init.xavier_uniform_(t, gain)
  local fan_in, fan_out = fans(t)
  local std = (gain or 1) * math.sqrt(2 / (fan_in + fan_out))
  local a = math.sqrt(3) * std
  return init.uniform_(t, -a, a)
end

-- N(0, std), std = gain sqrt(2 / (fan_in + fan_out))
function init.xavier_normal_(t, gain)
  local fan_in, fan_out = fans(t)
  return init.normal_(t, 0, (gain or 1) * math.sqrt(2 / (fan_in + fan_out)))
end

local function kaiming_std(t, options)
  local fan_in, fan_out = fans(t)
  local fan = options.mode == "fan_out" and fan_out or fan_in
  return init.calculate_gain(options.nonlinearity or "leaky_relu", options.a or 0) / math.sqrt(fan)
end

-- U(-b, b), b = gain sqrt(3 / fan); options: a, mode "fan_in" | "fan_out", nonlinearity
function init.kaiming_uniform_(t, options)
  local bound = math.sqrt(3) * kaiming_std(t, options or {})
  return init.uniform_(t, -bound, bound)
end

-- N(0, gain / sqrt fan); options as above
function init.kaiming_normal_(t, options) return init.normal_(t, 0, kaiming_std(t, options or {})) end

-- All parameters as one vector, recorded.
function init.parameters_to_vector(parameters)
  local flat = {}
  for i, p in ipairs(parameters) do flat[i] = p:reshape(-1) end
  return sq.cat(flat)
end

-- The vector's parts written into the parameters.
function init.vector_to_parameters(vector, parameters)
  local first = 1
  sq.no_grad(function()
    for _, p in ipairs(parameters) do
      local n = p:numel()
      p:copy_(vector[{ { first, first + n - 1 } }]:reshape(table.unpack(p.shape)))
      first = first + n
    end
  end)
end

return init

-- vector.lua: nn.utils: the parameters of a model as one vector, and back.

local sq = require "seqrt"
local api = require "seqrt.api"

local parameters_to_vector = api.define {owner = "sq.nn.utils", name = "parameters_to_vector",
  signature = "(parameters: Tensor[]) -> Tensor", doc = "All parameters in a row, recorded.",
  example = "local flat = nn.utils.parameters_to_vector(model:parameters())",
  call = function(parameters)
    local flat = {}
    for i, p in ipairs(parameters) do flat[i] = p:reshape(-1) end
    return sq.cat(flat)
  end}

local vector_to_parameters = api.define {owner = "sq.nn.utils", name = "vector_to_parameters",
  signature = "(vec: Tensor, parameters: Tensor[])", doc = "The vector's parts written into the parameters.",
  example = "nn.utils.vector_to_parameters(flat, model:parameters())",
  call = function(vec, parameters)
    local total, first = 0, 1
    for _, p in ipairs(parameters) do total = total + p:numel() end
    if vec:dim() ~= 1 or vec:numel() ~= total then
      api.fail("[nn.utils.vector_to_parameters] vec is %s: it must be (%d)", vec.shape, total)
    end
    sq.no_grad(function()
      for _, p in ipairs(parameters) do
        p:copy_(vec:narrow(1, first, p:numel()):reshape(p.shape))
        first = first + p:numel()
      end
    end)
  end}

return {parameters_to_vector = parameters_to_vector, vector_to_parameters = vector_to_parameters}

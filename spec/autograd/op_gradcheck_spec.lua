-- op_gradcheck_spec.lua: the gradient of every op, as the registry lists them: at least 20 random cases each in
-- float64, the whole Jacobian, relative 1e-6. An op with a gradient and without samples fails.
local sq = require "seqrt"
local api = require "seqrt.api"
local op_samples = require "spec.lib.op_samples"
local samples, between = op_samples.samples, op_samples.between

local CASES = 20
local ops = {}
for _, row in ipairs(api.list()) do
  if row.kind == "op" then ops[row.name] = row end
end

-- --- the check ------------------------------------------------------------------------------------------------

-- Runs cases until `tries` had something to differentiate; what is wrong, or nil.
local function check(name, op, tries)
  local done = 0
  for case = 1, 20 * tries do
    local args, n, inputs = op_samples.draw(ops[name])
    local y = op(table.unpack(args, 1, n))
    if #inputs > 0 and not y.requires_grad then return name .. ": its result requires no gradient" end
    local ok, text = pcall(sq.autograd.gradcheck, function() return op(table.unpack(args, 1, n)) end, inputs)
    if not ok then
      local shapes = {}
      for i, x in ipairs(inputs) do shapes[i] = tostring(x.shape) end
      return ("%s, case %d, inputs %s: %s"):format(name, case, table.concat(shapes, " "), text)
    end
    if #inputs > 0 and inputs[1]:numel() > 0 and y:numel() > 0 then done = done + 1 end
    if done == tries then return nil end
  end
  return name .. ": its samples have nothing to differentiate"
end

describe("the gradient", function()
  local names = {}
  for name, row in pairs(ops) do
    if row.has_backward and row.lo < row.hi then names[#names + 1] = name end
  end
  table.sort(names)

  for _, name in ipairs(names) do
    it("of " .. name .. " is that of its differences", function()
      math.randomseed(7)
      sq.manual_seed(7)
      assert(samples[name], name .. " has a gradient and no samples")
      local wrong = check(name, sq[name], CASES)
      assert(not wrong, wrong)
    end)
  end

  it("is sampled only for ops that are there", function()
    for name in pairs(samples) do assert(ops[name] and ops[name].has_backward, name) end
  end)
end)

-- fn with the gradient of another: values of right, backward of wrong.
local function swapped(right, wrong)
  return function(...)
    local w = wrong(...)
    return w + (right(...) - w):detach()
  end
end

describe("a wrong gradient is caught:", function()
  local faults = {
    sign = function(f) return function(...) return -f(...) end end,
    ["a factor of 1.001"] = function(f) return function(...) return f(...) * 1.001 end end,
    ["a constant gradient that is missing"] = function(f) return function(...) return f(...):detach() * 1 end end,
  }
  for what, fault in pairs(faults) do
    for _, name in ipairs {"tanh", "matmul", "softmax", "sum", "cross_entropy", "conv2d", "layer_norm", "where"} do
      it(what .. " in " .. name, function()
        math.randomseed(11)
        sq.manual_seed(11)
        assert.is_string(check(name, swapped(sq[name], fault(sq[name])), CASES))
      end)
    end
  end

  it("a dropped term", function()
    local x = between(0.5, 1.5, {3})
    local f = swapped(function(a) return a * a + a end, function(a) return a * a end)
    assert.is_false(pcall(sq.autograd.gradcheck, f, x))
  end)

  it("a transposed one", function()
    local x, y = between(0.5, 1.5, {3, 3}), between(0.5, 1.5, {3, 3}):detach()
    local f = swapped(function(a) return a * y end, function(a) return a * y:t() end)
    assert.is_false(pcall(sq.autograd.gradcheck, f, x))
  end)
end)

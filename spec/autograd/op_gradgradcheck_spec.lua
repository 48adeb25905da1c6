-- op_gradgradcheck_spec.lua: the gradient of the gradient of every op, as the registry lists them, in float64: what
-- create_graph records has the values of the ordinary backward, and its own gradients are those of differences,
-- relative 1e-5. An op with a gradient whose backward can't be recorded fails.
local sq = require "seqrt"
local api = require "seqrt.api"
local op_samples = require "spec.lib.op_samples"

local CASES = 20
local ops, names = {}, {}
for _, row in ipairs(api.list()) do
  if row.kind == "op" and row.has_backward and row.lo < row.hi then
    ops[row.name] = row
    names[#names + 1] = row.name
  end
end
table.sort(names)

local function results(op, args, n)
  local ys = {}
  for _, y in ipairs(table.pack(op(table.unpack(args, 1, n)))) do
    if y.requires_grad then ys[#ys + 1] = y end
  end
  return ys
end

local function gradients(op, args, n, inputs, above, create_graph)
  return table.pack(sq.autograd.grad(results(op, args, n), inputs,
    {grad_outputs = above, create_graph = create_graph, allow_unused = true}))
end

-- Where the recorded backward gives other values than the ordinary one, as text; nil where nowhere.
local function first_differs(op, args, n, inputs)
  local above = {}
  for k, y in ipairs(results(op, args, n)) do above[k] = sq.randn(y.shape, {dtype = "float64"}) end
  local plain, recorded = gradients(op, args, n, inputs, above), gradients(op, args, n, inputs, above, true)
  for i = 1, plain.n do
    local a, b = plain[i], recorded[i]
    local same = (a == nil) == (b == nil)
    if a and b and a:numel() > 0 then
      local scale = math.max(a:abs():max():item(), 1e-3)
      same = (a - b):abs():max():item() <= 1e-12 * scale
    end
    if not same then return ("input %d: backward gives %s, with create_graph %s"):format(i, a, b) end
  end
end

local function check(name, op, tries)
  local done = 0
  for case = 1, 20 * tries do
    local args, n, inputs = op_samples.draw(ops[name])
    local function fn() return table.unpack(results(op, args, n)) end
    if #inputs > 0 then
      local wrong = first_differs(op, args, n, inputs)
      local ok, text = true, nil
      if not wrong then ok, text = pcall(sq.autograd.gradgradcheck, fn, inputs, {atol = 1e-9}) end
      if wrong or not ok then
        local shapes = {}
        for i, x in ipairs(inputs) do shapes[i] = tostring(x.shape) end
        return ("%s, case %d, inputs %s: %s: its block's `again` or `compose` (runtime/autograd) must be mended")
          :format(name, case, table.concat(shapes, " "), wrong or text)
      end
      if inputs[1]:numel() > 0 then done = done + 1 end
    end
    if done == tries then return nil end
  end
  return name .. ": its samples have nothing to differentiate"
end

describe("the second gradient", function()
  for _, name in ipairs(names) do
    it("of " .. name .. " is that of differences", function()
      math.randomseed(5)
      sq.manual_seed(5)
      assert(ops[name].has_second, name .. ": give its block `again`, its backward in recorded ops, or `compose`, its "
        .. "forward in recorded ops (runtime/autograd/again_priv.h)")
      local wrong = check(name, sq[name], CASES)
      assert(not wrong, wrong)
    end)
  end
end)

describe("a wrong second gradient is caught:", function()
  it("a slope that does not depend on x", function()
    local x = op_samples.between(0.5, 1.5, {3})
    assert.is_true(sq.autograd.gradgradcheck(function(a) return a * a * a end, x))
    local function held(a) -- the value and the gradient of a^3, whose slope stands still
      local slope = (a * a):detach() * 3
      return a * slope + (a * a * a - a * slope):detach()
    end
    local ok, text = pcall(sq.autograd.gradgradcheck, held, x)
    assert.is_false(ok)
    assert.matches("[gradgradcheck] input 1, element (1), for output 1, element (1): backward gives 0, differences give",
      text, 1, true)
  end)
end)

-- edges_spec.lua: gradients at NaN, at bounds, at ties and at 0, and what losses refuse. The numbers are PyTorch 2.15's.
local sq = require "seqrt"

local nan, inf = 0 / 0, math.huge

local function same(want, got)
  for i, v in ipairs(want) do
    local ok = got[i] == v or (v ~= v and got[i] ~= got[i]) or math.abs(got[i] - v) <= 1e-5 * math.abs(v)
    assert.is_true(ok, ("element %d is %s, not %s"):format(i, got[i], v))
  end
  assert.equal(#want, #got)
end

-- The gradient of fn(x):sum() for each list of numbers.
local function gradients(fn, ...)
  local leaves = {}
  for i, data in ipairs {...} do leaves[i] = sq.tensor(data, {dtype = "float32", requires_grad = true}) end
  local y = fn(table.unpack(leaves))
  y:sum():backward()
  for i, x in ipairs(leaves) do leaves[i] = x.grad:tolist() end
  return table.unpack(leaves)
end

describe("the gradient", function()
  local X = {nan, -1, 0, 2, inf, -inf, -0.0, 1}

  local at = {
    relu = {sq.relu, {1, 0, 0, 1, 1, 0, 0, 1}},
    leaky_relu = {function(x) return x:leaky_relu(0.1) end, {0.1, 0.1, 0.1, 1, 1, 0.1, 0.1, 1}},
    abs = {sq.abs, {0, -1, 0, 1, 1, -1, 0, 1}},
    sign = {sq.sign, {0, 0, 0, 0, 0, 0, 0, 0}},
    ["clamp from below"] = {function(x) return x:clamp {min = 0} end, {0, 0, 0, 1, 1, 0, 0, 1}},
    ["clamp from above"] = {function(x) return x:clamp {max = 2} end, {0, 1, 1, 0, 0, 1, 1, 1}},
    clamp = {function(x) return x:clamp(0, 2) end, {0, 0, 0, 0, 0, 0, 0, 1}},
    softplus = {sq.softplus, {nan, 0.268941, 0.5, 0.880797, 1, 0, 0.5, 0.731059}},
  }
  for name, case in pairs(at) do
    it("of " .. name .. " is PyTorch's at NaN, infinities and bounds", function() same(case[2], gradients(case[1], X)) end)
  end

  it("of maximum and minimum goes to both where one is NaN, by halves where they are equal", function()
    local a, b = {nan, 1, 1, nan, 2, inf, 0, -0.0}, {1, nan, 1, nan, 1, inf, -0.0, 0}
    local da, db = gradients(sq.maximum, a, b)
    same({1, 1, 0.5, 1, 1, 0.5, 0.5, 0.5}, da)
    same({1, 1, 0.5, 1, 0, 0.5, 0.5, 0.5}, db)
    da, db = gradients(sq.minimum, a, b)
    same({1, 1, 0.5, 1, 0, 0.5, 0.5, 0.5}, da)
    same({1, 1, 0.5, 1, 1, 0.5, 0.5, 0.5}, db)
  end)

  it("of the greatest is shared by all that are NaN, or equal", function()
    same({0, 0.5, 0, 0.5}, gradients(function(x) return (x:max()) end, {1, nan, 2, nan}))
    same({0, 1, 0, 0}, gradients(function(x) return (x:max(1)) end, {1, nan, 2, nan}))
    same({0.5, 0.5, 0}, gradients(function(x) return (x:max()) end, {2, 2, 1}))
  end)

  it("of a norm is 0 where it has no slope", function()
    local function norm(p) return function(x) return x:norm(p) end end
    same({0, 1}, gradients(norm(0.5), {0, 4}))
    same({0, 0}, gradients(norm(0.5), {0, 0}))
    same({2.154701, -1.866025}, gradients(norm(0.5), {3, -4}))
    same({0, 0}, gradients(norm(-1), {0, 4}))
    same({0.326531, -0.183673}, gradients(norm(-1), {3, -4}))
    same({0, 1}, gradients(norm(1), {nan, 3}))
    same({0, 0}, gradients(norm(inf), {nan, 3}))
    same({1 / 3, -1 / 3, 1 / 3}, gradients(norm(inf), {2, -2, 2}))
  end)

  it("comes back in x's dtype where dtype = asks for another", function()
    for _, op in ipairs {"sum", "mean", "prod"} do
      local x = sq.tensor({1.0, 2.0}, {requires_grad = true})
      local y = x[op](x, {dtype = "float64"})
      y:backward()
      assert.same({"float64", "float32"}, {y.dtype, x.grad.dtype})
    end
    same({1 / 6, -1 / 6}, gradients(function(x) return x:softmax(1, {dtype = "float64"})[{{1, 1}}] * 0.75 end, {0.6931472, 0}))
  end)
end)

describe("binary_cross_entropy", function()
  it("refuses a target outside of 0 to 1, and NaN", function()
    for _, t in ipairs {2.0, -0.1, nan} do
      local ok, text = pcall(sq.binary_cross_entropy, sq.tensor {0.5}, sq.tensor {t})
      assert.is_false(ok)
      assert.is_truthy(tostring(text):find("[binary_cross_entropy] target is", 1, true), tostring(text))
    end
  end)
end)

describe("conv2d", function()
  it("takes a step that is never taken, whatever its size: it costs no memory, and backward no time", function()
    local x, w = sq.ones(1, 1, 4, 4):requires_grad_(), sq.full({1, 1, 2, 2}, 3.0):requires_grad_()
    local y = sq.conv2d(x, w, nil, {stride = 2147483647})
    y:sum():backward()
    assert.same({12, 12, 4}, {y:item(), x.grad:sum():item(), w.grad:sum():item()})
    assert.same({3, 0}, {x.grad[{1, 1, 2, 2}], x.grad[{1, 1, 3, 3}]})
  end)
end)

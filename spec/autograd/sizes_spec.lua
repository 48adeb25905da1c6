-- sizes_spec.lua: what is right for a few elements is right for many: across the constants that cut work into pieces.
local sq = require "seqrt"
local support = require "spec.lib.support"
local nn = sq.nn

-- fn's results, with at most `bytes` more memory than now.
local function within(bytes, fn, ...)
  sq.set_memory_limit(support.settle().live_bytes + bytes)
  local results = table.pack(pcall(fn, ...))
  sq.set_memory_limit(0)
  assert(results[1], results[2])
  return table.unpack(results, 2, results.n)
end

local MB = 1 << 20

local function assert_near(got, want, what)
  local off = (got:double() - want:double()):abs():max():item()
  local size = want:double():abs():max():item()
  local ok = off <= 2e-6 * size + 1e-12
  assert(ok, ("%s: off by %g where the largest is %g"):format(what, off, size))
end

-- The sum over a dim, row by row in float64.
local function by_rows(x, dim)
  local total = x:select(dim, 1):double()
  for i = 2, x:size(dim) do total = total + x:select(dim, i):double() end
  return total
end

describe("a sum with many elements behind each position", function()
  local shapes = {
    {5, 20001}, {3, 16385}, {4, 16383}, {4, 16384}, {4, 16385}, {2, 32768}, {2, 32769}, {2, 5, 20001}, {70, 3, 5000},
    {2, 65537}, {600, 401}, {8, 3, 96, 96},
  }

  for _, shape in ipairs(shapes) do
    it("is right for " .. table.concat(shape, " x "), function()
      sq.manual_seed(1)
      local dim = #shape == 3 and 2 or 1
      local x = sq.rand(shape)
      local room = 3 * x:numel() * 8 + MB
      for _, dtype in ipairs {"float32", "float64", "int64"} do
        local y = (dtype == "int64" and x * 1000 or x):to(dtype)
        assert_near(within(room, y.sum, y, dim), by_rows(y, dim), dtype)
      end
      assert_near(within(room, x.mean, x, dim), by_rows(x, dim) / shape[dim], "mean")
      assert_near(within(room, x.norm, x, 2, dim), by_rows(x:square(), dim):sqrt(), "norm")
      local mask = x:gt(0.9)
      assert.is_true(within(room, mask.any, mask, dim):equal(by_rows(mask, dim):gt(0)))
      assert.is_true(within(room, mask.all, mask, dim):equal(by_rows(mask, dim):eq(shape[dim])))
    end)
  end

  it("is what einsum sums, and what is taken off when data are centred", function()
    local x = sq.rand(5, 20001)
    assert_near(within(4 * MB, sq.einsum, "ij->j", {x}), by_rows(x, 1), "einsum")
    local off = within(4 * MB, function() return (x - x:mean(1)):mean(1):abs():max():item() end)
    assert.is_true(off < 1e-6)
  end)
end)

describe("the gradient of what is repeated, with many elements, of", function()
  local x, w = sq.rand(5, 20001) + 0.5, sq.linspace(0.5, 1, 5):reshape(5, 1)
  local ones = sq.ones(5, 20001)
  local ops = {
    add = {function(b) return x + b end, function() return ones end},
    sub = {function(b) return x - b end, function() return -ones end},
    mul = {function(b) return x * b end, function() return x end},
    div = {function(b) return b / x end, function() return 1 / x end},
    pow = {function(b) return x ^ b end, function(b) return x ^ b * x:log() end},
    maximum = {function(b) return sq.maximum(x, b) end, function(b) return b:gt(x):float() end},
    minimum = {function(b) return sq.minimum(x, b) end, function(b) return b:lt(x):float() end},
    where = {function(b) return sq.where(x:gt(1), b, x) end, function() return x:gt(1):float() end},
    lerp = {function(b) return sq.lerp(b, x, 0.25) end, function() return ones * 0.75 end},
    expand = {function(b) return b:expand(5, 20001) end, function() return ones end},
  }

  for name, op in pairs(ops) do
    it(name, function()
      local b = (sq.rand(20001) + 0.5):requires_grad_()
      within(16 * MB, function() (op[1](b) * w):sum():backward() end)
      assert_near(b.grad, by_rows(op[2](b:detach()) * w, 1), name)
    end)
  end

  it("a matrix of a batch of products", function()
    local a, b = sq.rand(5, 3, 150), sq.rand {150, 150, requires_grad = true}
    local g = sq.rand(5, 3, 150)
    within(16 * MB, function() (a:matmul(b) * g):sum():backward() end)
    assert_near(b.grad, a:reshape(15, 150):t():double():matmul(g:reshape(15, 150):double()), "matmul")
  end)
end)

-- The gradients of a layer's parameters, of a batch at once and of its rows one by one.
local function trains(layer, x)
  local function weigh(y)
    local shape = {y:size(2)}
    for i = 3, y:dim() do shape[i - 1] = 1 end
    return (y * sq.linspace(0.5, 1, y:size(2)):reshape(shape)):sum()
  end
  local room = 40 * MB
  within(room, function() weigh(layer(x)):backward() end)
  local got = {}
  for i, p in ipairs(layer:parameters()) do got[i] = p.grad end
  layer:zero_grad()
  for i = 1, #x do weigh(layer(x:narrow(1, i, 1))):backward() end
  for i, p in ipairs(layer:parameters()) do assert_near(got[i], p.grad, "parameter " .. i) end
end

describe("many weights are trained, of", function()
  local layers = {
    ["Conv2d(32, 64, 3)"] = {function() return nn.Conv2d(32, 64, 3) end, {8, 32, 8, 8}},
    ["Conv2d(64, 64, 3)"] = {function() return nn.Conv2d(64, 64, 3) end, {2, 64, 8, 8}},
    ["Conv1d(128, 128, 3)"] = {function() return nn.Conv1d(128, 128, 3) end, {8, 128, 20}},
    ["Conv2d with 20,001 results"] = {function() return nn.Conv2d(1, 20001, 1) end, {5, 1, 2, 1}},
    ["ConvTranspose2d(64, 32, 4)"] = {function() return nn.ConvTranspose2d(64, 32, 4, 2, 1) end, {16, 64, 7, 7}},
    ["Linear(2, 20001)"] = {function() return nn.Linear(2, 20001) end, {5, 2}},
  }
  for name, case in pairs(layers) do
    it(name, function()
      sq.manual_seed(3)
      trains(case[1](), sq.rand(case[2]))
    end)
  end

  it("addmm", function()
    local b, x, w = sq.zeros {20001, requires_grad = true}, sq.rand(5, 2), sq.rand(2, 20001)
    within(16 * MB, function() sq.addmm(b, x, w):sum():backward() end)
    assert_near(b.grad, sq.full({20001}, 5), "addmm")
  end)
end)

describe("a kernel as large as the picture", function()
  local function f64(...) return sq.randint(-8, 9, {...}):double() / 8 end

  -- dx and dw of sum(y dy).
  local function gradients(y, dy, x, w)
    x.grad, w.grad = nil, nil
    ;(y * dy):sum():backward()
    return x.grad, w.grad
  end

  for _, bias in ipairs {false, true} do
    it("is one product of rows of pixels" .. (bias and ", and a bias" or ""), function()
      local B, C, Y, X, O = 5, 3, 4, 2, 7
      local x, w, b, dy = f64(B, C, Y, X):requires_grad_(), f64(O, C, Y, X):requires_grad_(), f64(O), f64(B, O, 1, 1)
      local y = sq.conv2d(x, w, bias and b or nil)
      local rows = x:reshape(B, -1):matmul(w:reshape(O, -1):t()) + (bias and b or sq.zeros(O):double())
      assert.is_true(y:allclose(rows:reshape(B, O, 1, 1)))
      local dx, dw = gradients(y, dy, x, w)
      local want_dx, want_dw = gradients(rows:reshape(B, O, 1, 1), dy, x, w)
      assert.is_true(dx:allclose(want_dx) and dw:allclose(want_dw))
    end)
  end

  it("is one product where it is transposed", function()
    local B, C, Y, X, O = 5, 3, 4, 2, 7 -- (B,O,1,1) gives (B,C,Y,X)
    local x, w, dy = f64(B, O, 1, 1):requires_grad_(), f64(O, C, Y, X):requires_grad_(), f64(B, C, Y, X)
    local y = sq.conv_transpose2d(x, w)
    local rows = x:reshape(B, O):matmul(w:reshape(O, -1)):reshape(B, C, Y, X)
    assert.is_true(y:allclose(rows))
    local dx, dw = gradients(y, dy, x, w)
    local want_dx, want_dw = gradients(rows, dy, x, w)
    assert.is_true(dx:allclose(want_dx) and dw:allclose(want_dw))
  end)

  it("and pictures of no batch are none", function()
    assert.same({0, 7, 1, 1}, sq.conv2d(sq.zeros(0, 3, 4, 2), sq.zeros(7, 3, 4, 2)).shape)
  end)
end)

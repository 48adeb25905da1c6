-- functional_spec.lua: sq.autograd.functional: Jacobians, Hessians and products with them are PyTorch's (golden/graph.lua).
local sq = require "seqrt"
local golden = require "spec.golden.graph".functional
local functional = sq.autograd.functional

local function rand(...) return sq.rand(...):double() end
local function table_of(a, b) return (a:unsqueeze(2) * b):sin() * b end
local function number_of(a, b) return (table_of(a, b) ^ 2):sum() + a:prod():exp() end
local function cube(x) return (x ^ 3):sum() end
local function fails(text, ...)
  local ok, got = pcall(...)
  assert.is_false(ok)
  assert.equal(text, (got:gsub("^[^:]+:%d+: ", "")))
end

describe("sq.autograd.functional", function()
  it("is PyTorch's", function()
    sq.manual_seed(6)
    local a, b, va, vb, vy = rand(2), rand(3), rand(2), rand(3), rand(2, 3)
    local got = functional.jacobian(table_of, {a, b})
    for _, row in ipairs(functional.hessian(number_of, {a, b})) do table.move(row, 1, 2, #got + 1, got) end
    local function add(y, d)
      got[#got + 1] = y
      table.move(sq.is_tensor(d) and {d} or d, 1, 2, #got + 1, got)
    end
    add(functional.vjp(table_of, {a, b}, vy))
    add(functional.jvp(table_of, {a, b}, {va, vb}))
    add(functional.hvp(number_of, {a, b}, {va, vb}))
    assert.equal(#golden, #got)
    for i, want in ipairs(golden) do
      local flat = got[i]:flatten():tolist()
      assert.equal(#want, #flat)
      for k, v in ipairs(want) do
        local close = math.abs(flat[k] - v) <= 1e-12 * math.max(1, math.abs(v))
        assert(close, ("result %d, number %d: PyTorch has %.16g, here it is %.16g"):format(i, k, v, flat[k]))
      end
    end
    assert.same({2, 3, 2}, {table.unpack(got[1].shape)})
    assert.same({2, 3, 3}, {table.unpack(got[2].shape)})
  end)

  it("gives a Tensor for a Tensor, a list for a list, and a result for each of several", function()
    local x = rand(2)
    assert.is_true(sq.is_tensor(functional.hessian(cube, x)))
    assert.is_true(sq.is_tensor(functional.jacobian(sq.exp, {x})[1]))
    local first, second = functional.jacobian(function(a) return a, a * a end, x)
    assert.same({{1, 0}, {0, 1}}, first:tolist())
    assert.is_true(sq.allclose(second, sq.eye(2):double() * (2 * x)))
    local ys, d = functional.jvp(function(a) return a, a * a end, x, sq.ones(2):double())
    assert.is_true(sq.allclose(ys[2], x * x) and sq.allclose(d[2], 2 * x))
  end)

  it("leaves inputs alone and records nothing unless asked to", function()
    local x = rand(2):requires_grad_()
    local y, g = functional.vjp(cube, x)
    assert.is_false(y.requires_grad or g.requires_grad)
    assert.is_nil(x.grad)
    local h = functional.hessian(cube, x, {create_graph = true})
    assert.is_true(sq.allclose(sq.autograd.grad(h:sum(), x), sq.tensor {6, 6}:double()))
    sq.no_grad(function() assert.is_true(sq.allclose(functional.jacobian(cube, x), 3 * x ^ 2)) end)
  end)

  it("gives 0 for what does not depend on an input, or refuses with strict", function()
    local a, b = rand(2), rand(3)
    assert.same({0, 0, 0}, functional.jacobian(function(x) return x:sum() end, {a, b})[2]:tolist())
    assert.same({{0, 0}, {0, 0}}, functional.hessian(function(x) return x:sum() end, a):tolist())
    local _, none = functional.hvp(function(x) return x:sum() end, a, a)
    assert.same({0, 0}, none:tolist())
    fails("[jacobian] the result does not depend on input 2",
      functional.jacobian, function(x) return x:sum() end, {a, b}, {strict = true})
  end)

  it("says what it can't do", function()
    local x = rand(2)
    fails("[hessian] func must give one number, it gave (2)", functional.hessian, sq.exp, x)
    fails("[vjp] v may be left out only where the result has one element", functional.vjp, sq.exp, x)
    fails("[jvp] v is (3), inputs is (2): they must be equal", functional.jvp, sq.exp, x, rand(3))
    fails("[hvp] v has 2 tensors, inputs 1", functional.hvp, cube, x, {x, x})
    fails("[jacobian] inputs: expected a Tensor or a list of Tensors", functional.jacobian, sq.exp, {})
    fails("[jacobian] func: element 1 is no Tensor", functional.jacobian, function() return 1 end, x)
  end)
end)

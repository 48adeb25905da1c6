-- gradcheck_spec.lua: the check of gradients passes what is right and catches what is wrong.
local sq = require "seqrt"
local gradcheck = sq.autograd.gradcheck

local function leaf(...) return sq.rand {dtype = "float64", size = {...}}:add(0.5):requires_grad_() end

-- x through fn, with a gradient that goes through another way: y = right(x), dy = wrong(x).
local function with_wrong_backward(right, wrong)
  return function(x)
    local w = wrong(x)
    return w + (right(x) - w):detach()
  end
end

describe("gradcheck", function()
  it("passes right gradients", function()
    assert.is_true(gradcheck(function(a, b) return a * b + a:tanh(), b:exp() end, {leaf(2, 3), leaf(3)}))
    assert.is_true(gradcheck(function(a) return (a / 3):sum() end, leaf(4)))
    assert.is_true(gradcheck(function(a) return a * a end, leaf()))
    assert.is_true(gradcheck(function(a) return a:matmul(a:t()) end, leaf(3, 2)))
    assert.is_true(gradcheck(function(a) return a * 2 end, leaf(0, 2)))
    local base = leaf(3, 4)
    assert.is_true(gradcheck(function(a) return a[{{}, {2, 3}}]:t():exp() end, base))
  end)

  it("catches a wrong sign, a factor, a dropped term, a transposed gradient", function()
    local function square(x) return x * x end
    local cases = {
      {square, function(x) return -(x * x) end},
      {square, function(x) return x * x * 1.001 end},
      {square, function(x) return x * x * (1 + 1e-5) end},
      {function(x) return x * x + x end, square},
      {function(x) return x * x:detach() end, function(x) return x:detach() * x:t() end},
      {function(x) return x:exp() end, function(x) return x:exp() + x * 1e-4 end},
    }
    for i, case in ipairs(cases) do
      local ok, text = pcall(gradcheck, with_wrong_backward(case[1], case[2]), leaf(3, 3))
      assert.is_false(ok, "case " .. i)
      assert.matches("%[gradcheck%] input 1, element %(%d,%d%), for output 1, element %(%d,%d%): backward gives", text)
    end
  end)

  it("says no instead of raising when asked", function()
    local wrong = with_wrong_backward(function(x) return x * x end, function(x) return x end)
    assert.is_false(gradcheck(wrong, leaf(2), {raise_exception = false}))
  end)

  it("lets no NaN pass", function()
    assert.is_false(pcall(gradcheck, function(x) return x * (0 / 0) end, leaf(2)))
  end)

  it("names the input and leaves it as it was", function()
    local a, b = leaf(2), leaf(2)
    local before = b:tolist()
    local _, text = pcall(gradcheck, function(x, y) return x * (y * y):detach() end, {a, b})
    assert.matches("%[gradcheck%] input 2, ", text)
    assert.same(before, b:tolist())
    assert.is_nil(b.grad)
  end)

  it("refuses what it can't check", function()
    local function fails(text, ...)
      local ok, got = pcall(gradcheck, ...)
      assert.is_false(ok)
      assert.equal(text, (got:gsub("^[^:]+:%d+: ", "")))
    end
    local function same(x) return x * 1 end
    fails("[gradcheck] input 1 is float32: it must be float64", same, sq.rand {2, requires_grad = true})
    fails("[gradcheck] no input requires a gradient", same, sq.rand(2))
    fails("[gradcheck] there is no option 'esp' (did you mean 'eps'?); it is called as gradcheck(fn: function, inputs: any, "
      .. "eps: number = 1e-4, rtol: number = 1e-6, atol: number = 0, raise_exception: bool = true) -> bool",
      same, leaf(2), {esp = 1})
    fails("[gradcheck] no output of the function has a gradient", function(x) return x:detach() end, leaf(2))
  end)
end)

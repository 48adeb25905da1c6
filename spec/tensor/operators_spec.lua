-- operators_spec.lua: Lua's operators on tensors, by PyTorch's rules, and what they refuse.
local sq = require "seqrt"

local function fails(text, fn)
  local ok, got = pcall(fn)
  assert.is_false(ok)
  assert.equal(text, (got:gsub("^[^:]+:%d+: ", "")))
end

local function whole(values) return sq.tensor(values, "int64") end

local function is(dtype, values, x)
  assert.equal(dtype, x.dtype)
  assert.same(values, x:tolist())
end

describe("operators of quotients", function()
  it("round down, the remainder having the divisor's sign", function()
    is("float32", {1, -2, -2, 1}, sq.tensor {5., -5., 5., -5.} // sq.tensor {3., 3., -3., -3.})
    is("float32", {2, 1, -1, -2}, sq.tensor {5., -5., 5., -5.} % sq.tensor {3., 3., -3., -3.})
    is("int64", {-3, 2}, whole {-7, 7} // 3)
    is("int64", {2, 1}, whole {-7, 7} % 3)
    is("int64", {3, -1}, 7 // whole {2, -7})
    is("int64", {-1, 1}, 7 % whole {-2, 3})
    is("float32", {0.5}, whole {3} % 2.5)
    is("float32", {2}, whole {7} // 2.5)
    is("uint8", {4, 3}, sq.tensor({200, 3}, "uint8") % 7)
  end)

  it("wrap where the quotient is one more than int64 holds", function()
    local least = whole {math.mininteger}
    is("int64", {math.mininteger}, least // -1)
    is("int64", {0}, least % -1)
    is("int64", {math.mininteger}, least:div(-1, "trunc"))
    is("int64", {0}, least:fmod(-1))
  end)

  it("carry gradients, // excepted", function()
    local x, y = sq.tensor({5., -5.}, {requires_grad = true}), sq.tensor({3., 3.}, {requires_grad = true})
    local z = x % y
    z:sum():backward()
    assert.same({1, 1}, x.grad:tolist())
    assert.same({-1, 2}, y.grad:tolist())
    fails('[floor_divide] has no gradient; that of x:div(y, {rounding_mode = "floor"}) is 0',
      function() (x // y):sum():backward() end)
    x.grad = nil
    x:div(y, {rounding_mode = "floor"}):sum():backward()
    assert.same({0, 0}, x.grad:tolist())
  end)

  it("work in place", function()
    local x = whole {7, -7}
    x:remainder_(4)
    is("int64", {3, 1}, x)
    x:floor_divide_(2)
    is("int64", {1, 0}, x)
    local y = sq.tensor {7., -7.}
    y:div_(2, {rounding_mode = "trunc"})
    is("float32", {3, -3}, y)
    assert.has_error(function() x:div_(2) end)
  end)

  it("explain what they refuse", function()
    fails("[remainder] other has a 0: int64 can't be divided by it, x:float() can", function() return whole {3} % 0 end)
    fails("[floor_divide] other has a 0: int64 can't be divided by it, x:float() can",
      function() return whole {3} // whole {1, 0} end)
    fails("[div] other has a 0: uint8 can't be divided by it, x:float() can", function()
      return sq.tensor({3}, "uint8"):div(sq.tensor({0}, "uint8"), "trunc")
    end)
    fails("[remainder] is not defined for bool: convert it, with x:long()",
      function() return sq.tensor {true} % sq.tensor {true} end)
    assert.same({math.huge}, (sq.tensor {3.} // 0):tolist())
  end)
end)

describe("operators of bits", function()
  local mask, other = sq.tensor {true, true, false}, sq.tensor {true, false, false}

  it("are and, or, xor and not of masks", function()
    is("bool", {true, false, false}, mask & other)
    is("bool", {true, true, false}, mask | other)
    is("bool", {false, true, false}, mask ~ other)
    is("bool", {false, false, true}, ~mask)
    is("int64", {1, 1, 0}, mask & 1)
    mask:clone():bitwise_and_(other)
  end)

  it("are those of whole numbers", function()
    is("int64", {0, 2}, whole {8, 3} & 6)
    is("int64", {14, 7}, whole {8, 3} | 6)
    is("int64", {14, 5}, 6 ~ whole {8, 3})
    is("int64", {-9, 0}, ~whole {8, -1})
    is("int64", {4, -16}, whole {1, -8} << whole {2, 1})
    is("int64", {0, -4}, whole {1, -8} >> whole {2, 1})
    is("int64", {4}, 1 << whole {2})
    is("uint8", {144, 6}, sq.tensor({200, 3}, "uint8") << 1)
    is("int64", {2, 0}, sq.tensor {true, false} << 1)
  end)

  it("explain what they refuse", function()
    fails("[bitwise_and] is not defined for float32: convert it, with x:long()", function() return sq.tensor {1.} & 1 end)
    fails("[bitwise_not] is not defined for float64: convert it, with x:long()",
      function() return ~sq.tensor({1}, "float64") end)
    fails("[bitwise_or] is not defined for float32: convert it, with x:long()", function() return mask | 1.5 end)
    assert.matches("expected a Tensor or a number, got the string", select(2, pcall(function() return mask & "a" end)))
  end)
end)

describe("max, min and clamp", function()
  local x, y = sq.tensor {1., 5., 3.}, sq.tensor {2., 2., 4.}

  it("take a Tensor where others take a dim or a number", function()
    is("float32", {2, 5, 4}, x:max(y))
    is("float32", {1, 2, 3}, sq.min(x, y))
    is("float32", {2, 5, 4}, x:max {other = y})
    is("float32", {2, 3, 3}, x:clamp(sq.tensor(2.), sq.tensor {9., 3., 9.}))
    is("float32", {1, 2, 3}, x:clamp {max = y})
    is("float32", {2, 4, 3}, x:clip(2, 4))
    is("float32", {2, 5, 4}, sq.clamp {x = x, min = y})
    local z = x:clone()
    z:clamp_ {min = y}
    is("float32", {2, 5, 4}, z)
    local value, at = x:max(1)
    assert.same({5, 1}, {value:item(), at:item()})
    assert.equal(5, x:max():item())
  end)
end)

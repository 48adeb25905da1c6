-- index_spec.lua: x[key] and x[key] = value.
local sq = require "seqrt"

local function fails(text, fn, ...)
  local ok, got = pcall(fn, ...)
  assert.is_false(ok)
  assert.equal(text, (got:gsub("^[^:]+:%d+: ", "")))
end

local x

before_each(function() x = sq.arange(1, 13):float():view(3, 4) end)

describe("x[key]", function()
  it("is a number on a 1-d tensor, a view else", function()
    assert.equal(3, sq.tensor {1, 2, 3}[3])
    assert.equal(3, sq.tensor {1, 2, 3}[-1])
    assert.equal("integer", math.type(sq.arange(3)[2]))
    assert.is_true(sq.tensor {false, true}[2])
    assert.same({5, 6, 7, 8}, x[2]:tolist())
    assert.same({9, 10, 11, 12}, x[-1]:tolist())
    x[2][3] = 70
    assert.equal(70, x[{2, 3}])
    assert.equal(2, sq.tensor {1, 2}[2.0])
  end)

  it("takes a position, a range or all of each dim", function()
    assert.equal(7, x[{2, 3}])
    assert.same({3, 7, 11}, x[{{}, 3}]:tolist())
    assert.same({{6, 7}, {10, 11}}, x[{{2, 3}, {2, 3}}]:tolist())
    assert.same({{5, 6, 7, 8}}, x[{{2}}]:tolist())
    assert.same({{1, 3}, {9, 11}}, x[{{1, -1, 2}, {1, 4, 2}}]:tolist())
    assert.same({9, 10}, x[{-1, {1, 2}}]:tolist())
    assert.same({{9, 10, 11, 12}}, x[{{-1, -1}}]:tolist())
    assert.same(x:tolist(), x[{}]:tolist())
    assert.same(x:tolist(), x[{{}}]:tolist())
    assert.same({0, 4}, {x[{{2, 1}}]:size(1), x[{{2, 1}}]:size(2)})
    assert.same({0, 4}, {x[{{4, 3}}]:size(1), x[{{4, 3, 2}}]:size(2)})
    local deep = sq.arange(24):view(2, 3, 4)
    assert.same({{3, 7}, {15, 19}}, deep[{{}, {1, 2}, -1}]:tolist())
    assert.equal(23, deep[{2, 3, 4}])
  end)

  it("gives windows on the same elements", function()
    x[{{}, {2, 3}}]:fill_(0)
    assert.same({{1, 0, 0, 4}, {5, 0, 0, 8}, {9, 0, 0, 12}}, x:tolist())
    x[{}]:fill_(1)
    assert.equal(12, x:sum():item())
  end)

  it("picks by a mask", function()
    assert.same({9, 10, 11, 12}, x[x:gt(8)]:tolist())
    assert.same({{1, 2, 3, 4}, {9, 10, 11, 12}}, x[sq.tensor {true, false, true}]:tolist())
    assert.same({{2, 4}, {6, 8}, {10, 12}}, x[{{}, sq.tensor {false, true, false, true}}]:tolist())
    assert.equal("(0)", tostring(x[x:gt(99)].shape))
    local deep = sq.arange(12):view(2, 3, 2)
    assert.same({{2, 3}, {10, 11}}, deep[sq.tensor {{false, true, false}, {false, false, true}}]:tolist())
  end)

  it("picks by indices, which count from 0", function()
    local i = sq.tensor({2, 0, 0}, "int64")
    assert.same({{9, 10, 11, 12}, {1, 2, 3, 4}, {1, 2, 3, 4}}, x[i]:tolist())
    assert.same({{3, 1, 1}, {7, 5, 5}, {11, 9, 9}}, x[{{}, i}]:tolist())
    assert.same({7, 5, 5}, x[{2, i}]:tolist())
    assert.same({{7, 5, 5}}, x[{{2}, i}]:tolist())
    assert.same({{{9, 10, 11, 12}}, {{1, 2, 3, 4}}}, x[sq.tensor({{2}, {0}}, "int64")]:tolist())
    assert.same({9, 10, 11, 12}, x[sq.tensor({-1}, "int64")][1]:tolist())
    assert.same({5, 6, 7, 8}, x[sq.tensor(1, "int64")]:tolist())
    assert.equal(8, x[{sq.tensor(1, "int64"), sq.tensor(-1, "int64")}])
  end)

  it("carries gradients", function()
    local w = sq.ones {3, 4, requires_grad = true}
    local i = sq.tensor({0, 0}, "int64")
    local y = w[2]:sum() + w[{{}, {1, 3, 2}}]:sum() * 10 + w[i]:sum() * 100 + w[w:detach():lt(0)]:sum()
      + w[{{}, sq.tensor {true, false, false, false}}]:sum() * 1000
    y:backward()
    assert.same({{1210, 200, 210, 200}, {1011, 1, 11, 1}, {1010, 0, 10, 0}}, w.grad:tolist())
  end)

  it("of a recorded tensor gives an element as a tensor that carries the gradient", function()
    local w = sq.tensor({1., 2., 3.}, {requires_grad = true})
    local y = w * 2
    local l = (y * y):sum() + y[1]
    l:backward()
    assert.same({10, 16, 24}, w.grad:tolist())
    local m = sq.ones(2, 2, {requires_grad = true})
    local at = sq.tensor(1, "int64")
    for _, e in ipairs {m[{1, 2}], m[{at, 1}], m[1][at], w[-1], m[{"...", 1, 1}]} do
      assert.equal("()", tostring(e.shape))
      assert.is_true(e.requires_grad)
    end
    local loss = 0
    y = w * 2
    for i = 1, #w do loss = loss - y[i] * i end
    w.grad = nil
    loss:backward()
    assert.same({-2, -4, -6}, w.grad:tolist())
  end)

  it("of any other tensor gives an element as a number", function()
    local w = sq.tensor({1., 2.}, {requires_grad = true})
    assert.equal(2, w:detach()[2])
    assert.equal(2, w.data[2])
    assert.is_true(w:gt(1)[2])
    sq.no_grad(function() assert.equal(4, (w * 2)[2]) end)
    assert.equal(3, sq.tensor {1, 2, 3}[3])
  end)

  it("lets ipairs go over dim 1, and ends with nil just past it", function()
    local t, seen = sq.tensor {{1, 2}, {3, 4}}, {}
    for i, row in ipairs(t) do seen[i] = row:tolist() end
    assert.same({{1, 2}, {3, 4}}, seen)
    local sum = 0
    for _, v in ipairs(sq.tensor {1, 2, 3}) do sum = sum + v end
    assert.equal(6, sum)
    assert.is_nil(t[3])
    assert.is_nil(sq.zeros(0)[1])
    assert.has_error(function() return sq.tensor(1)[1] end)
    assert.has_error(function() t[3] = 1 end)
  end)

  it("takes a new dim and all dims left", function()
    assert.equal("(1,3,4)", tostring(x[sq.newaxis].shape))
    assert.equal("(3,1,4)", tostring(x[{{}, sq.newaxis}].shape))
    assert.same({3, 7, 11}, x[{"...", 3}]:tolist())
    assert.same(x:tolist(), x["..."]:tolist())
    x["..."] = 2
    x[{sq.newaxis, 1, "..."}] = sq.ones(1, 4)
    assert.equal(20, x:sum():item())
    assert.equal("(1)", tostring(sq.tensor(3.)[{sq.newaxis}].shape))
  end)

  it("explains what it refuses", function()
    local zero = "[index] position 0 in dim %d: positions count from 1 (or from -1, at the end)"
    fails(zero:format(1), function() return x[0] end)
    fails(zero:format(2), function() return x[{1, 0}] end)
    fails(zero:format(2), function() return x[{1, {0, 2}}] end)
    fails("[index] position 5 is out of range: dim 1 of x (3,4) has size 3", function() return x[5] end)
    fails("[index] position -5 is out of range: dim 2 of x (3,4) has size 4", function() return x[{1, -5}] end)
    fails("[index] a range to or from 5 is out of range: dim 2 of x (3,4) has size 4",
      function() return x[{1, {2, 5}}] end)
    fails("[index] a range from 3 to 1 in dim 1: the end lies before the start", function() return x[{{3, 1}}] end)
    fails("[index] a range's step is 0: it must be at least 1 (x:flip turns round)",
      function() return x[{{1, 2, 0}}] end)
    fails("[index] a range is {first, last} or {first, last, step}, got 4 numbers",
      function() return x[{{1, 2, 1, 1}}] end)
    fails("[index] 3 items for x of shape (3,4): at most one per dim", function() return x[{1, 1, 1}] end)
    fails("[index] position is 1.5: it must be a whole number", function() return x[1.5] end)
    fails("[index] position is nan: it must be a whole number", function() return x[0 / 0] end)
    fails("[index] position is 1e+300: that is out of range", function() return x[1e300] end)
    fails("[index] the key is true: x[i], x[{i, {first, last}, {}}] and x[tensor] are the forms",
      function() return x[true] end)
    fails('[index] item 2 is the string "a": an item is a position, a range {first, last}, {} for all, a tensor, '
      .. '"..." for all dims left, or sq.newaxis', function() return x[{1, "a"}] end)
    fails('[index] "..." stands twice in one key: it is all dims left', function() return x[{"...", 1, "..."}] end)
    fails("[index] the key takes 3 dims, x is (3,4): a mask takes as many dims as it has",
      function() return x[{1, x:gt(1)}] end)
    fails("[index] a float32 tensor can't be an index: it must be int64 (indices from 0) or bool (a mask)",
      function() return x[x] end)
    fails("[index] index 3 (a tensor's content counts from 0) is out of range: dim 1 of x (3,4) has size 3",
      function() return x[sq.tensor({0, 3}, "int64")] end)
    fails("[index] the mask is (2), x is (3,4): a mask has the sizes of the dims it picks from",
      function() return x[sq.tensor {true, false}] end)
    fails("[index] x is 0-d: it has no positions; x:item() is its value", function() return sq.tensor(1)[1] end)
    fails("[index] shapes do not broadcast: a is (2), b is (3): dim -1 is 2 and 3, they must be equal or one of them 1",
      function() return x[{sq.tensor({0, 1}, "int64"), sq.tensor({0, 1, 1}, "int64")}] end)
  end)
end)

describe("x[key] = value", function()
  it("writes numbers", function()
    x[1] = 0
    x[{2, {2, 3}}] = -1
    x[{3, -1}] = 99
    assert.same({{0, 0, 0, 0}, {5, -1, -1, 8}, {9, 10, 11, 99}}, x:tolist())
    x[{}] = 3
    assert.equal(36, x:sum():item())
    local b = sq.zeros(3, {dtype = "bool"})
    b[2] = true
    assert.same({false, true, false}, b:tolist())
    local n = sq.arange(3)
    n[1] = 2 ^ 53
    assert.equal(1 << 53, n[1])
  end)

  it("writes tensors, broadcast", function()
    x[2] = sq.tensor {1, 1, 2, 2}
    x[{{}, 1}] = sq.tensor(7)
    x[{{1, 2}, {3, 4}}] = sq.tensor {{-1}, {-2}}
    assert.same({{7, 2, -1, -1}, {7, 1, -2, -2}, {7, 10, 11, 12}}, x:tolist())
    x[1] = x[2]
    assert.same(x[2]:tolist(), x[1]:tolist())
  end)

  it("writes where a mask holds", function()
    x[x:gt(6)] = 0
    assert.same({{1, 2, 3, 4}, {5, 6, 0, 0}, {0, 0, 0, 0}}, x:tolist())
    x[sq.tensor {false, true, true}] = sq.tensor {9, 8, 7, 6}
    assert.same({{1, 2, 3, 4}, {9, 8, 7, 6}, {9, 8, 7, 6}}, x:tolist())
    x[x:eq(9)] = sq.tensor {-1, -2}
    assert.same({{1, 2, 3, 4}, {-1, 8, 7, 6}, {-2, 8, 7, 6}}, x:tolist())
    x[{{}, sq.tensor {true, false, false, true}}] = 0
    assert.same({{0, 2, 3, 0}, {0, 8, 7, 0}, {0, 8, 7, 0}}, x:tolist())
  end)

  it("writes at indices", function()
    local i = sq.tensor({2, 0}, "int64")
    x[i] = 0
    x[{{}, i}] = sq.tensor {{1, 2}}
    assert.same({{2, 0, 1, 0}, {2, 6, 1, 8}, {2, 0, 1, 0}}, x:tolist())
    x[{2, i}] = sq.tensor {-1, -2}
    assert.same({-2, 6, -1, 8}, x[2]:tolist())
  end)

  it("carries gradients", function()
    local w, v = sq.ones {3, 4, requires_grad = true}, sq.ones {4, requires_grad = true}
    local y = w * 2
    y[1] = v
    y[{2, {1, 2}}] = 5
    y[sq.tensor({2}, "int64")] = v * 3
    y:sum():backward()
    assert.same({{0, 0, 0, 0}, {0, 0, 2, 2}, {0, 0, 0, 0}}, w.grad:tolist())
    assert.same({4, 4, 4, 4}, v.grad:tolist())
  end)

  it("takes an element that carries a gradient", function()
    local w = sq.tensor({1., 2., 3.}, {requires_grad = true})
    local y = sq.zeros(3)
    for i = 1, 3 do y[i] = w[i] * i end
    y[1] = y[3] + y[2]
    y:sum():backward()
    assert.same({0, 4, 6}, w.grad:tolist())
  end)

  it("writes many times over what indices name twice: the last counts", function()
    local i = sq.tensor({1, 1, 0}, "int64")
    x[{i, i}] = sq.tensor {-1., -2., -3.}
    assert.equal(-2, x[{2, 2}])
    assert.equal(-3, x[{1, 1}])
  end)

  it("explains what it refuses", function()
    fails("[index] x[...] = the string \"a\": the value must be a number or a Tensor", function() x[1] = "a" end)
    fails("[index] x[...] = nil: the value must be a number or a Tensor", function() x[1] = nil end)
    fails("[index] x is int64, the value is float32: convert it with :to(\"int64\")",
      function() sq.arange(4)[{{1, 2}}] = sq.zeros(2) end)
    local ok, text = pcall(function() x[1] = sq.zeros(3) end)
    assert.is_false(ok)
    assert.matches("%(3%).*%(4%)", text)
    local w = sq.ones {2, requires_grad = true}
    ok, text = pcall(function() w[1] = 0 end)
    assert.is_false(ok)
    assert.matches("leaf that requires a gradient", text)
    sq.no_grad(function() w[1] = 0 end)
    assert.equal(0, w[1]:item())
  end)
end)

-- --- PyTorch's advanced indexing ----------------------------------------------------------------------------------

local golden = require "spec.golden.index"

local function made(shape, values, dtype)
  return sq.tensor(values, {dtype = dtype or "float64"}):view(shape)
end

-- A key of the golden file with its tensors made.
local function key_of(case)
  local key = {}
  for i, item in ipairs(case.key) do
    key[i] = item
    if type(item) == "table" and type(item[1]) == "string" then
      key[i] = made(item[2], item[3], item[1] == "i" and "int64" or "bool")
    end
  end
  return key
end

local function same(want, got)
  assert.equal(tostring(sq.zeros(want[1]).shape), tostring(got.shape))
  assert.same(want[2], got:numel() == 0 and {} or got:reshape(-1):tolist())
end

local function count(shape)
  local n = 1
  for _, size in ipairs(shape) do n = n * size end
  return n
end

-- The same elements on other strides.
local layouts = {
  contiguous = function(t) return t end,
  transposed = function(t) return t:dim() > 1 and t:transpose(1, -1):contiguous():transpose(1, -1) or t end,
  sliced = function(t)
    local wide = sq.zeros({2, table.unpack(t.shape)}, {dtype = t.dtype})
    wide = wide:permute(sq.arange(t:dim() + 1):roll(-1, 1):add(1):tolist()):contiguous()
    wide:select(-1, 2):copy_(t)
    return wide:select(-1, 2)
  end,
}

describe("PyTorch's numbers of x[key]", function()
  for layout, lay in pairs(layouts) do
    it("are those of reading, gradient and assignment, " .. layout, function()
      for n, case in ipairs(golden) do
        local where = ("case %d: "):format(n)
        local ok, text = pcall(function()
          local key = key_of(case)
          local function fresh() return lay(sq.arange(count(case.shape), {dtype = "float64"}):view(case.shape)) end
          local from = fresh():requires_grad_()
          local y = from[key]
          same(case.y, type(y) == "number" and sq.tensor(y, {dtype = "float64"}) or y)
          local dy = sq.arange(1, y:numel() + 1, {dtype = "float64"}):view(y.shape)
          y:backward(dy)
          same(case.grad, from.grad)
          if not case.put then return end
          local put, row = fresh(), fresh()
          put[key] = -dy
          same(case.put, put)
          row[key] = y:dim() > 0 and -sq.arange(1, y:size(-1) + 1, {dtype = "float64"}) or -1
          same(case.row, row)
          local recorded, v = fresh():requires_grad_(), dy:detach():requires_grad_()
          local z = recorded * 1
          z[key] = v
          z:sum():backward()
          same({y.shape, dy:mul(0):add(1):reshape(-1):tolist()}, v.grad)
          z = recorded:detach()
          z[key] = 0
          local kept = recorded.grad or sq.zeros_like(z)
          assert.is_true(z:equal(kept * recorded:detach()))
        end)
        assert(ok, where .. tostring(text))
      end
    end)
  end
end)

describe("a 0-d tensor in Lua", function()
  local one, two = sq.tensor(1., {requires_grad = true}), sq.tensor(2., {requires_grad = true})

  it("takes part in arithmetic and in stacks", function()
    assert.equal(7, (one + 2 * two - -2 ^ one):item())
    assert.same({1, 2}, sq.stack {one, two}:tolist())
    assert.matches("^1", tostring(one))
  end)

  it("has an order with numbers and its like", function()
    assert.is_true(one < two)
    assert.is_true(one < 1.5 and 1.5 < two and two > 1 and one >= 1 and 1 <= one)
    assert.is_false(two <= one or two < 2 or 3 <= two)
    assert.is_true(sq.tensor(true) > 0 and sq.tensor(7) <= 7)
    local none = sq.tensor(0 / 0)
    assert.is_false(none < 1 or none >= 1)
    assert.is_false(sq.tensor(1 << 53) < sq.tensor(1 << 53))
  end)

  it("explains what has no order and what is no equality", function()
    local many = "tensors have no order: x:lt(y), x:le(y), x:gt(y) and x:ge(y) compare the elements"
    fails(many, function() return sq.zeros(2) < 1 end)
    fails(many, function() return one <= sq.zeros(1) end)
    fails('a Tensor can\'t be compared with the string "a"', function() return one < "a" end)
    fails("== of two tensors is one boolean, so it does not compare elements: x:eq(y) does, x:equal(y) tells whether "
      .. "all are equal, rawequal(x, y) whether x is y", function() return sq.zeros(2) == sq.zeros(2) end)
    assert.is_true(one == one)
    assert.is_false(one == 1)
    local p = sq.nn.Linear(1, 1)
    assert.is_true(p.weight == p.weight)
    assert.is_false(p == p.weight)
  end)

  it("is no number to C: the error names item()", function()
    local ok, text = pcall(string.format, "%.3f", one)
    assert.is_false(ok)
    assert.matches("number expected, got Tensor (its number is x:item())", text, 1, true)
    assert.matches("^1", ("%s"):format(one))
  end)
end)

describe("x.T, x.mT and x.ndim", function()
  it("are the transposes and the number of dims", function()
    assert.same({{1, 5, 9}, {2, 6, 10}, {3, 7, 11}, {4, 8, 12}}, x.T:tolist())
    assert.equal(2, x.ndim)
    assert.equal(0, sq.tensor(1).ndim)
    assert.same({1, 2}, sq.tensor {1, 2}.T:tolist())
    assert.equal("(2,4,3)", tostring(sq.zeros(2, 3, 4).mT.shape))
    local w = sq.ones(2, 3, {requires_grad = true})
    w.T[1]:sum():backward()
    assert.same({{1, 0, 0}, {1, 0, 0}}, w.grad:tolist())
    fails("[T] x is (1,2,3): T is for at most 2 dims; x.mT exchanges the last two, x:permute(...) any",
      function() return sq.zeros(1, 2, 3).T end)
    fails("[mT] x is (3): it must have 2 dims or more", function() return sq.zeros(3).mT end)
  end)
end)

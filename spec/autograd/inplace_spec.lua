-- inplace_spec.lua: every name_ does what name does, into x: recorded or not, on any strides, and reads what it shares
-- memory with before it writes.
local sq = require "seqrt"
local api = require "seqrt.api"

-- Arguments behind x, a float64 tensor (3,4) in 0.5..1.5, for bits an int64 one; nothing for an op of x alone.
local function f64(...) return sq.rand({...}, {dtype = "float64"}) + 0.5 end
local function i64(...) return sq.randint(0, 99, {...}, {dtype = "int64"}) end
local function made_for(name) return name:find "^bitwise" and i64 or f64 end
local more = {
  add = function() return f64(4) end,
  sub = function() return f64(3, 1), 2 end,
  mul = function() return f64(3, 4) end,
  div = function() return f64(4) end,
  pow = function() return 2.5 end,
  maximum = function() return f64(3, 4) end,
  minimum = function() return f64(4) end,
  lerp = function() return f64(3, 4), 0.3 end,
  clamp = function() return 0.7, 1.2 end,
  clip = function() return 0.7, 1.2 end,
  remainder = function() return f64(4) end,
  fmod = function() return f64(3, 1) end,
  floor_divide = function() return f64(4) end,
  bitwise_and = function() return i64(4) end,
  bitwise_or = function() return i64(3, 1) end,
  bitwise_xor = function() return 6 end,
  bitwise_left_shift = function() return 2 end,
  bitwise_right_shift = function() return i64(4) end,
  logical_xor = function() return f64(4):gt(1) end,
  index_put = function() return {sq.tensor({2, 0}, {dtype = "int64"})}, f64(2, 4) end,
  copy = function() return f64(4) end,
  fill = function() return 2 end,
  index_copy = function() return 1, sq.tensor({2, 0}, {dtype = "int64"}), f64(2, 4) end,
  index_add = function() return 1, sq.tensor({2, 0}, {dtype = "int64"}), f64(2, 4) end,
  index_fill = function() return 2, sq.tensor({3}, {dtype = "int64"}), 9 end,
  scatter = function() return 1, sq.tensor({{2, 0, 1, 1}}, {dtype = "int64"}), f64(1, 4) end,
  scatter_add = function() return 1, sq.tensor({{2, 0, 1, 1}}, {dtype = "int64"}), f64(1, 4) end,
  logical_and = function() return f64(4):gt(1) end,
  logical_or = function() return f64(4):gt(1) end,
  masked_fill = function() return sq.tensor {true, false, true, false}, 7 end,
  masked_scatter = function() return sq.tensor {true, false, true, false}, f64(6) end,
}

for _, test in ipairs {"eq", "ne", "lt", "le", "gt", "ge"} do more[test] = function() return f64(4) end end

local names = {}
for _, row in ipairs(api.list()) do
  if row.kind == "op" and rawget(sq, row.name .. "_") then names[#names + 1] = row end
end

local function values(x) return x:contiguous():view(-1):tolist() end

describe("in place", function()
  it("is there for the ops that say so", function() assert.is_true(#names > 40) end)

  for _, row in ipairs(names) do
    local name = row.name
    local op, into = sq[name], sq[name .. "_"]
    local function arguments()
      if more[name] then return table.pack(more[name]()) end
      for i = 2, #row.params do assert(row.params[i].optional, name .. " needs arguments: add them to this spec") end
      return {n = 0}
    end

    it(name .. "_ is " .. name, function()
      for _, layout in ipairs {"plain", "transposed", "window"} do
        local args = arguments()
        local x = made_for(name)(3, 4)
        local want = values(op(x, table.unpack(args, 1, args.n)):to(x.dtype)) -- a test's are 0 and 1
        if layout == "transposed" then x = x:t():contiguous():t() end
        local base = sq.zeros(5, 9, {dtype = x.dtype})
        if layout == "window" then
          local v = base:narrow(1, 2, 3):slice(2, 2, 8, 2)
          v:copy_(x)
          x = v
        end
        local same = into(x, table.unpack(args, 1, args.n))
        assert.is_true(rawequal(same, x) or sq.equal(same, x))
        assert.same(want, values(x), layout)
      end
    end)

    it(name .. "_ is recorded as " .. name .. " is", function()
      if name:find "^bitwise" then return end -- of whole numbers, which have no gradient
      local args = arguments()
      local x = f64(3, 4)
      local a, b = x:clone():requires_grad_(), x:clone():requires_grad_()
      local ya = op(a * 1, table.unpack(args, 1, args.n))
      local yb = b * 1
      into(yb, table.unpack(args, 1, args.n))
      assert.same(values(ya:to(yb.dtype)), values(yb))
      if not row.has_backward then return assert.is_false(yb.requires_grad) end
      if name == "floor_divide" then return assert.has_error(function() yb:sum():backward() end) end
      local g = f64(3, 4)
      ya:backward(g)
      yb:backward(g)
      local zero = sq.zeros(3, 4, {dtype = "float64"})
      assert.same(values(a.grad or zero), values(b.grad or zero))
    end)
  end

  it("is refused where elements share memory, and nothing has changed", function()
    local draws = {random_ = {0, 9}, uniform_ = {}, normal_ = {}, bernoulli_ = {}}
    local none = {requires_grad_ = true, detach_ = true} -- write no element
    local seen = 0
    for _, row in ipairs(api.list()) do
      local name = row.name:match "^(.*)_$"
      if name and row.kind == "method" and row.owner == "Tensor" and not none[row.name] then
        local args = draws[row.name] or more[name] and table.pack(more[name]()) or {}
        for expanded, dim in pairs {[f64(1, 4):expand(3, 4)] = 1, [f64(4, 1):expand(4, 3):t()] = 1,
          [f64(3, 1):expand(3, 4)] = 2, [f64(3, 1):expand(3, 8)[{{}, {2, 5}}]] = 2} do
          local before = values(expanded)
          local ok, text = pcall(expanded[row.name], expanded, table.unpack(args))
          assert.is_false(ok, row.name)
          local expected = ("[%s] x is (3,4) and expanded: elements along dim %d share memory"):format(row.name, dim)
          assert.truthy(text:find(expected, 1, true), text)
          assert.same(before, values(expanded), row.name)
          seen = seen + 1
        end
      end
    end
    assert.is_true(seen > 4 * 55)
    for _, row in ipairs(api.list()) do
      if row.owner == "sq.nn.init" and row.name:find "_$" then
        local x = sq.zeros(1, 4):expand(3, 4)
        assert.is_false(pcall(sq.nn.init[row.name], x, row.name == "constant_" and 1 or nil), row.name)
        assert.same(values(sq.zeros(3, 4)), values(x), row.name)
      end
    end
    f64(1, 4):expand(1, 4):normal_() -- one row shares with none
    f64(1, 0):expand(3, 0):normal_()
  end)

  it("clips no gradient whose elements share memory", function()
    local w, v = sq.ones(3, 2, {requires_grad = true}), sq.ones(2, {requires_grad = true})
    v.grad = sq.full({2}, 3.0)
    w.grad = sq.full({1, 2}, 3.0):expand(3, 2)
    for _, name in ipairs {"clip_grad_norm_", "clip_grad_value_"} do
      local ok, text = pcall(sq.nn.utils[name], {v, w}, 1)
      assert.is_false(ok)
      assert.truthy(text:find(("[%s] x is (3,2) and expanded"):format(name), 1, true), text)
      assert.same({3, 3}, v.grad:tolist())
    end
  end)

  it("adds to an expanded gradient as to any other", function()
    local w = sq.ones(3, 2, {requires_grad = true})
    w.grad = sq.full({1, 2}, 3.0):expand(3, 2);
    (w * 1):sum():backward()
    assert.same(values(sq.full({3, 2}, 4.0)), values(w.grad))
  end)

  it("reads what it shares memory with first", function()
    for _, name in ipairs {"add", "sub", "mul", "div", "maximum", "copy"} do
      local x = f64(6)
      local want = values(sq[name](x[{{2, 6}}], x[{{1, 5}}]:clone()))
      sq[name .. "_"](x[{{2, 6}}], x[{{1, 5}}])
      assert.same(want, values(x[{{2, 6}}]), name)
      local m = f64(3, 3)
      want = values(sq[name](m, m:t():contiguous()))
      sq[name .. "_"](m, m:t())
      assert.same(want, values(m), name)
    end
  end)

  it("leaves x as it was when it fails", function()
    local x = f64(3, 4)
    local before = values(x)
    local index = sq.tensor({0, 3}, {dtype = "int64"})
    local function refuse(pattern, f, ...)
      local ok, text = pcall(f, ...)
      assert.is_false(ok)
      assert.matches(pattern, text)
      assert.same(before, values(x))
    end
    refuse("%[add%] .*%(2,3,4%)", sq.add_, x, f64(2, 3, 4))
    refuse("%[index_add%] index 3 at element 2 is out of range: it must be 0 to 2", sq.index_add_, x, 1, index, f64(2, 4))
    refuse("%[index_copy%] source is %(3,4%)", sq.index_copy_, x, 1, index:clamp(0, 2), f64(3, 4))
    refuse("%[scatter%] index 3", sq.scatter_, x, 1, sq.tensor({{0, 3}}, {dtype = "int64"}), 1)
    refuse("%[masked_fill%] the mask is float64", sq.masked_fill_, x, f64(3, 4), 1)
    refuse("%[masked_scatter%] source is float64 %(2%): the mask takes 12", sq.masked_scatter_, x,
      sq.ones({3, 4}, {dtype = "bool"}), f64(2))
    refuse("%[copy%]", sq.copy_, x, f64(5))
    refuse("%[clamp%] give min, max or both", sq.clamp_, x)
  end)
end)

-- promote_spec.lua: dtypes that differ meet as PyTorch's result_type says; gradients come back in the input's; in place nothing
-- is cast down; whole numbers are exact.
local sq = require "seqrt"

local HUGE = (1 << 53) + 1 -- no double is this number

local function operands()
  return {
    sq = sq, HUGE = HUGE,
    u = sq.tensor({1, 44}, "uint8"), i = sq.tensor({1, HUGE}, "int64"), b = sq.tensor {true, false},
    f = sq.tensor({1, 2}, "float32"), d = sq.tensor({1, 2}, "float64"),
    i0 = sq.tensor(3, "int64"), f0 = sq.tensor(1.5, "float32"), d0 = sq.tensor(1.5, "float64"), u0 = sq.tensor(2, "uint8"),
  }
end

local function run(code) return pcall(assert(load("return " .. code, "=case", "t", operands()))) end

-- What PyTorch 2.15 gives.
local right = {
  ["i + 0.5"] = "float32 1.5 9007199254740992",
  ["u + 1"] = "uint8 2 45",
  ["b + 1"] = "int64 2 1",
  ["b + b"] = "bool true false",
  ["b * 2.0"] = "float32 2 0",
  ["i + f"] = "float32 2 9007199254740992",
  ["f + d"] = "float64 2 4",
  ["f + d0"] = "float32 2.5 3.5",
  ["i + f0"] = "float32 2.5 9007199254740992",
  ["u + i0"] = "uint8 4 47",
  ["d0 + f"] = "float32 2.5 3.5",
  ["f0 + i0"] = "float32 4.5",
  ["d0 + f0"] = "float64 3",
  ["i0 + u"] = "uint8 4 47",
  ["i / 2"] = "float32 0.5 4503599627370496",
  ["u0 / i0"] = "float32 0.66666668653488159",
  ["i ^ 2"] = "int64 1 18014398509481985",
  ["i ^ 0.5"] = "float32 1 94906264",
  ["2 ^ u"] = "uint8 2 0",
  ["2.0 ^ i0"] = "float32 8",
  ["b:pow(2)"] = "int64 1 0",
  ["i + HUGE"] = "int64 9007199254740994 18014398509481986",
  ["i:eq(HUGE)"] = "bool false true",
  ["i:eq(1.5)"] = "bool false false",
  ["f:gt(i)"] = "bool false false",
  ["sq.maximum(i, f)"] = "float32 1 9007199254740992",
  ["sq.where(b, i, 1.5)"] = "float32 1 1.5",
  ["sq.where(b, 1, 2)"] = "int64 1 2",
  ["sq.where(b, 1.0, 2)"] = "float32 1 2",
  ["sq.cat{i, f}"] = "float32 1 9007199254740992 1 2",
  ["sq.cat{f, d}"] = "float64 1 2 1 2",
  ["sq.stack{b, u}"] = "uint8 1 0 1 44",
  ["sq.stack{i0, f0}"] = "float32 3 1.5",
  ["f:lerp(f, d0)"] = "float32 1 2",
  ["i:add(i, {alpha = 2})"] = "int64 3 27021597764222979",
  ["b:add(b, {alpha = 2})"] = "bool true false",
  ["i:add(f, {alpha = 0.5})"] = "float32 1.5 9007199254740992",
  ["u:sub(u, {alpha = 2})"] = "uint8 255 212",
  ["u:add_(i)"] = "uint8 2 45",
  ["f:add_(d)"] = "float32 2 4",
  ["f:mul_(i)"] = "float32 1 18014398509481984",
  ["i:add_(u)"] = "int64 2 9007199254741037",
  ["i:eq_(0.5)"] = "int64 0 0",
  ["i:masked_fill(b, HUGE)"] = ("int64 %d %d"):format(HUGE, HUGE),
  ["i:index_fill(1, i0 - 3, HUGE)"] = ("int64 %d %d"):format(HUGE, HUGE),
  ["i:fill_(HUGE)"] = ("int64 %d %d"):format(HUGE, HUGE),
  ["f + 1e39"] = "float32 inf inf",
}

-- What PyTorch refuses too, and (uint8 + 300) what it wraps in silence.
local refused = {
  ["i:mul_(2.0)"] = "[mul_] the result is float32, x is int64",
  ["b:add_(1)"] = "[add_] the result is int64, x is bool",
  ["i:exp_()"] = "[exp_] the result is float32, x is int64",
  ["i:div_(2)"] = "[div_] the result is float32, x is int64",
  ["b - 1"] = "[sub] x is bool: a mask is inverted with x:logical_not(), or convert it, with :long()",
  ["1 - b"] = "[sub] other is bool",
  ["b:pow(b)"] = "[pow] is not defined for bool",
  ["u:fill_(300)"] = "[fill_] 300 is out of range for uint8",
  ["f:lerp(d, 0.5)"] = "[lerp] dtypes differ: a is float32, b is float64",
  ["i:lerp(i, 0.5)"] = "[lerp] dtypes differ",
  ["i:add(i, {alpha = 0.5})"] = "[add] alpha is 0.5: beside int64 it must be a whole number, as 2",
  ["u + 300"] = "[add] 300 is out of range for uint8",
  ["f:fill_(1e39)"] = "[fill_] 1e+39 is out of range for float32",
  ["f:masked_fill(b, 1e39)"] = "[masked_fill] 1e+39 is out of range for float32",
  ["sq.mm(sq.zeros(2, 2), sq.eye(2, {dtype = \"float64\"}))"] = "[mm] dtypes differ: a is float32, b is float64",
}

local function text(t)
  local list = t:reshape(-1):tolist()
  for k, v in ipairs(list) do list[k] = math.type(v) == "float" and ("%.17g"):format(v) or tostring(v) end
  return t.dtype .. " " .. table.concat(list, " ")
end

describe("dtypes that differ", function()
  for code, want in pairs(right) do
    it("meet in " .. code, function()
      local ok, got = run(code)
      assert.equal(want, ok and text(got) or got)
    end)
  end

  for code, want in pairs(refused) do
    it("do not meet in " .. code, function()
      local ok, message = run(code)
      assert.is_false(ok)
      assert.is_truthy(tostring(message):find(want, 1, true), tostring(message))
    end)
  end

  it("give each input its gradient in its own dtype", function()
    local w = sq.tensor({1, 2}, {dtype = "float32", requires_grad = true})
    local v = sq.tensor({{3}, {4}}, {dtype = "float64", requires_grad = true})
    local y = w * v + sq.tensor({5, 6}, "int64") * w
    assert.equal("float64", y.dtype)
    y:sum():backward()
    assert.same({"float32", "float64"}, {w.grad.dtype, v.grad.dtype})
    assert.same({17, 19}, w.grad:tolist()) -- 3 + 4 + 2 * 5, 3 + 4 + 2 * 6
    assert.same({{3}, {3}}, v.grad:tolist())
  end)

  it("give gradients through cat, where and changes in place", function()
    local w = sq.tensor({1, 2}, {dtype = "float32", requires_grad = true})
    local v = sq.tensor({3, 4}, {dtype = "float64", requires_grad = true})
    local x = w * 1
    x:mul_(v)
    assert.equal("float32", x.dtype)
    local y = sq.cat {x, v}:sum() + sq.where(sq.tensor {true, false}, w, v):sum()
    y:backward()
    assert.same({"float32", "float64"}, {w.grad.dtype, v.grad.dtype})
    assert.same({4, 4}, w.grad:tolist())
    assert.same({2, 4}, v.grad:tolist())
  end)
end)

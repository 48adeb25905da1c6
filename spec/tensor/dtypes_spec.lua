-- dtypes_spec.lua: every op for every dtype that PyTorch has it for, and with PyTorch's result, dtype and shape; what differs
-- is listed, with the rule that says so.
local sq = require "seqrt"
local golden = dofile "spec/golden/dtypes.lua"

local DTYPES = {"float32", "float64", "int64", "uint8", "bool"}

local function element(v)
  local text = ("%.4g"):format(v)
  return ({["-0"] = "0", ["-nan"] = "nan"})[text] or text
end

local function show(v)
  if type(v) == "boolean" then return tostring(v) end
  if type(v) == "number" then return element(v) end
  local list = v:double():reshape(-1):tolist()
  for i, a in ipairs(list) do list[i] = element(a) end
  return ("%s %s %s"):format(v.dtype, v.shape, table.concat(list, ","))
end

-- The results as text; nil and the error.
local function run(code, dtype)
  local x = sq.tensor {{1, 0, 2}, {3, 1, 0}}:to(dtype)
  local env = {sq = sq, x = x, y = x[{{}, {1, 2}}]:clone(), dtype = dtype,
    two = sq.tensor({0, 1}, "int64"), four = sq.tensor({{0, 1}, {2, 0}}, "int64")}
  local all = table.pack(pcall(assert(load("return " .. code, "=case", "t", env))))
  if not all[1] then return nil, all[2] end
  local texts = {}
  for i = 2, all.n do texts[#texts + 1] = show(all[i]) end
  return table.concat(texts, " | ")
end

-- Where another result, or an error with this text, is meant: by case and dtype.
local FRACTION = "%d is no %w+: convert the tensor first, with x:float%(%)" -- a number takes the tensor's dtype
local RANGE = "2 is out of range for bool$"
local NO_BOOL = "bool"

local function meant(code, dtype)
  local integer = dtype == "int64" or dtype == "uint8"
  if code:find "^x:%l+%(1%.5%)$" or code == "x:clamp(0.5, 1.5)" then return not code:find "x:[elgn][qte]" and FRACTION end
  if integer then
    return dtype == "uint8" and (code:find "^x:a[ln][ly]%(" and "^bool" or code:find "einsum" and "int64")
  end
  if dtype ~= "bool" then return nil end
  if code:find "%(2%)$" then return RANGE end
  for _, op in ipairs {"sign", "square", "clamp", "scatter_add_", "index_add_", "alpha"} do
    if code:find(op, 1, true) then return NO_BOOL end
  end
end

describe("dtypes", function()
  it("are PyTorch's for every op", function()
    local same, other, wrong = 0, 0, {}
    for _, case in ipairs(golden) do
      local code = case[1]
      for _, dtype in ipairs(DTYPES) do
        local want = case[dtype]
        if want then
          local got, why = run(code, dtype)
          local different = meant(code, dtype)
          if got == want then
            same = same + 1
          elseif different and (got or why):find(different) then
            other = other + 1
          else
            wrong[#wrong + 1] = ("%s of %s: %s, not %s"):format(code, dtype, got or why, want)
          end
        end
      end
    end
    assert.equal("", table.concat(wrong, "\n"))
    assert.is_true(same > 500, same .. " cases")
    assert.is_true(other < 50, other .. " cases")
  end)

  it("wrap in products of integers", function()
    local big = sq.tensor({200, 200}, "uint8")
    assert.equal((200 * 200 * 2) % 256, big:dot(big):item())
    local most = sq.tensor({math.maxinteger, 1}, "int64")
    assert.equal(math.maxinteger * 1 + 1 * 1, most:dot(sq.ones(2, {dtype = "int64"})):item())
    local x = sq.randint(-9, 9, {3, 5, 4})
    local y = sq.randint(-9, 9, {3, 4, 6})
    assert.is_true(x:matmul(y):equal(x:double():matmul(y:double()):long()))
    assert.is_true(x:transpose(2, 3):matmul(x):equal(x:double():transpose(2, 3):matmul(x:double()):long()))
    assert.is_true(x[1]:matmul(x[2]:t()):equal(x[1]:double():matmul(x[2]:double():t()):long()))
    assert.equal(0, sq.ones(2, 0, {dtype = "int64"}):matmul(sq.ones(0, 2, {dtype = "int64"})):sum():item())
  end)

  it("keep int64 exact between bounds that no double holds", function()
    local x = sq.tensor {(1 << 60) + 1, -(1 << 60) - 1, 5}
    assert.same({(1 << 60) - 1, -(1 << 60) - 1, 5}, x:clamp {max = (1 << 60) - 1}:tolist())
    assert.same({(1 << 60) + 1, -(1 << 53) - 1, 5}, x:clamp {min = -(1 << 53) - 1}:tolist())
    assert.same({7, 6, 6}, x:clamp(6, 7):tolist())
    assert.same({3, 3, 3}, x:clamp(6, 3):tolist())
    assert.same({math.maxinteger, math.mininteger}, sq.tensor {math.maxinteger, math.mininteger}
      :clamp(math.mininteger, math.maxinteger):tolist())
    x:t():clamp_(-(1 << 53) - 1, (1 << 53) + 1)
    assert.same({(1 << 53) + 1, -(1 << 53) - 1, 5}, x:tolist())
  end)

  it("compare integers with any number", function()
    local x = sq.tensor({0, 1, 2}, "uint8")
    assert.same({false, false, true}, x:gt(1.5):tolist())
    assert.same({true, true, true}, x:lt(300):tolist())
    assert.same({true, true, true}, x:ge(-1):tolist())
    assert.same({false, false, false}, x:eq(0 / 0):tolist())
    assert.same({true, true, true}, x:bool():ne(2):tolist())
    assert.same({true, true, true}, x:lt(math.huge):tolist())
    assert.same({0, 0, 1}, x:gt_(1.5):tolist())
    assert.equal("uint8", x.dtype)
  end)
end)

describe("PyTorch's names", function()
  it("of arguments are taken", function()
    local x, y = sq.tensor {1.0, 2.0}, sq.tensor {3.0, 4.0}
    assert.same({4, 6}, sq.add {input = x, other = y}:tolist())
    assert.same({7, 10}, x:add(y, {alpha = 2}):tolist())
    assert.same({1, 4}, x:pow {exponent = 2}:tolist())
    assert.same({2, 3}, x:lerp {["end"] = y, weight = 0.5}:tolist())
    assert.equal(11, x:dot {other = y}:item())
    assert.same({{3, 4}, {6, 8}}, x:outer {vec2 = y}:tolist())
    assert.same({{1, 2}}, sq.mm {input = x:view(1, 2), mat2 = sq.eye(2)}:tolist())
    assert.equal(3, sq.sum {input = x, dim = 1}:item())
    assert.same({2, 2}, sq.clamp {input = x, min = 2}:tolist())
    assert.same({0, 1}, sq.randperm(2, {generator = sq.Generator(1), dtype = "float32"}):sort():tolist())
    local _, text = pcall(sq.randperm, 300, {dtype = "uint8"})
    assert.is_truthy(text:find("[randperm] n is 300: uint8 does not hold such numbers", 1, true))
  end)
end)

describe("detach_", function()
  it("takes a tensor out of the graph", function()
    local w = sq.ones {2, requires_grad = true}
    local y = w * 2
    assert.equal(y, y:detach_())
    assert.is_false(y.requires_grad)
    assert.is_true(y.is_leaf)
    assert.same({2, 2}, y:tolist())
    w:detach_()
    assert.is_false(w.requires_grad)
    local _, text = pcall(function() return (sq.ones {2, requires_grad = true} * 2)[{{1, 1}}]:detach_() end)
    assert.is_truthy(text:find("[detach_] x is a view of a tensor with a gradient: use x:detach() instead", 1, true))
  end)
end)

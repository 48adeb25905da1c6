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

-- What PyTorch gives for each op and each pair of dtypes, and for operands that are numbers. Refusals count as results.
describe("PyTorch's dtypes", function()
  local rows, scalars = assert(loadfile("spec/golden/promote.lua", "t"))(
    function(t) return t end, function(i) return {input = i} end, 0 / 0, math.huge)
  local DTYPES = {"bool", "uint8", "int64", "float32", "float64"}

  local function element(v)
    local digits = ("%.4g"):format(v)
    return ({["-0"] = "0", ["-nan"] = "nan"})[digits] or digits
  end

  local function show(v)
    if type(v) ~= "userdata" then return element(v) end
    local list = v:double():reshape(-1):tolist()
    for i, a in ipairs(list) do list[i] = element(a) end
    return v.dtype .. " " .. table.concat(list, ",")
  end

  -- The results as text, nil and the error where there are none.
  local function attempt(fn, ...)
    local all = table.pack(pcall(fn, ...))
    if not all[1] then return nil, all[2] end
    local texts = {}
    for i = 2, all.n do texts[#texts + 1] = show(all[i]) end
    return table.concat(texts, " | ")
  end

  -- A tensor of the file: {shape}, {values} or dtype, {shape}, {values}; float ones are of the dtype asked for.
  local function tensor(t, dtype)
    if type(t[1]) == "string" then return sq.tensor(t[3], t[1]):reshape(t[2]) end
    return sq.tensor(t[2], "float64"):reshape(t[1]):to(dtype)
  end

  local function fill(v, inputs)
    if type(v) ~= "table" then return v end
    if v.input then return inputs[v.input] end
    local list = {}
    for i, item in ipairs(v) do list[i] = fill(item, inputs) end
    return list
  end

  local function call(row, a, b)
    local inputs, args, floats = {}, {n = row[3].n}, 0
    for i, t in ipairs(row[2]) do
      if type(t[1]) ~= "string" then floats = floats + 1 end
      inputs[i] = tensor(t, floats == 2 and b or a)
    end
    for i = 1, args.n do args[i] = fill(row[3][i], inputs) end
    return attempt(sq[row[1]], table.unpack(args, 1, args.n))
  end

  -- How many dtypes a row is asked in: one for each of its first two float inputs.
  local function floats_of(row)
    local n = 0
    for _, t in ipairs(row[2]) do n = n + (type(t[1]) ~= "string" and 1 or 0) end
    return n
  end

  -- Where another answer is meant: ops, dtypes, and a pattern of the answer.
  local FLOATS = "must be float32 or float64"
  local meant_answers = {
    {"mean", "", "^float32"}, -- documented: PyTorch asks for a dtype
    {"argmax argmin topk", "bool", "int64"},
    {"topk", "", "int64 6,0,1$"}, -- the order of equals
    {"all any", "uint8", "^uint8"}, -- the case's function makes it bool
    {"rnn l1_loss dropout linear bilinear conv1d conv2d conv_transpose2d avg_pool2d max_pool2d", "", FLOATS},
    {"einsum", "^uint8 uint8$", "all must be"},
    {"addmm", "^uint8 uint8$", "^uint8"}, -- alpha is -1
    {"fill index_fill index_put", "", "is no %l+%d*: convert"}, -- a fraction is not cut off in silence
    {"index_add index_put scatter_add", "bool", "bool can't be added"},
    {"copy", "", "^%l+%d* [%d,]+$"}, -- the case's function has no dtype of x to keep
    {"l1_loss", "bool", "^float"},
    {"clamp", "^bool bool$", "^bool"},
    {"cross_entropy", "^float%d+ float%d+$", "convert one with :to"},
    {"rms_norm", "", "convert one with :to"}, -- as PyTorch's other norms; its own takes the weight in x's dtype
    {"binary_cross_entropy_with_logits", "^float64 float32$", "^float64"}, -- PyTorch: the target's
    {"group_norm", "^float32 float32$", "^float32 1,2"}, -- rounding
  }

  local function meant(op, key, answer)
    for _, row in ipairs(meant_answers) do
      local concerns = (" " .. row[1] .. " "):find(" " .. op .. " ", 1, true) and key:find(row[2])
      if concerns and answer:find(row[3]) then return true end
    end
  end

  local function compare(wrong, op, key, want, got, why)
    if got == want or meant(op, key, got or tostring(why)) then return end
    wrong[#wrong + 1] = ("%s of %s: %s, PyTorch %s"):format(op, key, got or why, want or "refuses")
  end

  for _, row in ipairs(rows) do
    it("are those of " .. row[1], function()
      local wrong, n = {}, floats_of(row)
      for _, a in ipairs(DTYPES) do
        for _, b in ipairs(n > 1 and DTYPES or {""}) do
          local key = n > 1 and a .. " " .. b or a
          local got, why = call(row, a, b)
          compare(wrong, row[1], key, row[key], got, why)
        end
      end
      assert.equal("", table.concat(wrong, "\n"))
    end)
  end

  -- A number that uint8 does not hold is refused where PyTorch wraps it; a fraction where it is cut off.
  for _, row in ipairs(scalars) do
    it("are those of " .. row[1], function()
      local wrong = {}
      for _, dtype in ipairs(DTYPES) do
        local env = {sq = sq, x = sq.tensor({1, 0, 3}, "int64"):to(dtype), mask = sq.tensor {true, false, true}}
        local got, why = attempt(assert(load("return " .. row[1], "=case", "t", env)))
        compare(wrong, row[1], dtype, row[dtype], got, why)
      end
      assert.equal("", table.concat(wrong, "\n"))
    end)
  end

  it("are there for every op that takes a tensor", function()
    local without, there, missing = {as_strided = true, copy_slices = true, ["function"] = true, clamp_between = true}, {}, {}
    for _, row in ipairs(rows) do there[row[1]] = true end
    for _, op in ipairs(require "seqrt.api".list()) do
      if op.kind == "op" and not there[op.name] and not without[op.name] then missing[#missing + 1] = op.name end
    end
    assert.same({}, missing)
  end)
end)

-- bind_spec.lua: how arguments are given, what errors say and where, what closed objects do.
local sq = require "seqrt"
local api = require "seqrt.api"

local function bare(text) return (tostring(text):gsub("^[^:]+:%d+: ", "")) end

describe("arguments", function()
  local x
  before_each(function() x = sq.arange(6):float():view(2, 3) end)

  it("go by position, in a trailing table, or all by name", function()
    local want = {{3}, {12}}
    assert.same(want, x:sum(2, true):tolist())
    assert.same(want, x:sum(-1, {keepdim = true}):tolist())
    assert.same(want, x:sum {dim = -1, keepdim = true}:tolist())
    assert.same(want, sq.sum(x, {dim = 2, keepdim = true}):tolist())
    assert.same(want, sq.sum {x = x, dim = 2, keepdim = true}:tolist())
    assert.same(want, x:sum({2}, true):tolist())
    assert.same(15, x:sum {}:item())
    assert.same(15, x:sum(nil):item())
    assert.same(15, x:sum(nil, {}):item())
  end)

  it("may be sizes one by one or as a list, options behind them", function()
    for _, y in ipairs {sq.zeros(2, 3, {dtype = "int64"}), sq.zeros({2, 3}, {dtype = "int64"}),
      sq.zeros {2, 3, dtype = "int64"}, sq.zeros {size = {2, 3}, dtype = "int64"}, sq.zeros({2, 3}, "int64"),
      sq.zeros(2, 3, "int64"), sq.zeros(sq.zeros(2, 3).shape, {dtype = "int64"}), sq.zeros(2.0, 3, sq.int64)} do
      assert.equal("int64", y.dtype)
      assert.equal("(2,3)", tostring(y.shape))
    end
    assert.equal("()", tostring(sq.zeros {}.shape))
    assert.equal("(3,2)", tostring(x:view(3, 2).shape))
    assert.equal("(3,2)", tostring(x:view {3, -1}.shape))
    assert.equal("(3,2)", tostring(x:permute(2, 1).shape))
    assert.equal("(3,2)", tostring(x:permute {2, 1}.shape))
    assert.equal("(4)", tostring(sq.randint(9, {4}).shape))
    assert.equal("(4,2)", tostring(sq.randint(3, 9, 4, 2).shape))
    assert.equal("(4)", tostring(sq.randint {low = 3, high = 9, size = {4}}.shape))
  end)

  it("may end in an empty table, which is no option", function()
    local nn, picture, w, b = sq.nn, sq.randn(1, 1, 4, 4), sq.randn(1, 1, 2, 2), sq.randn(1)
    local row, kernel = sq.randn(1, 1, 5), sq.randn(1, 1, 2)
    local calls = {
      {sq.conv1d, row, kernel, b}, {sq.conv2d, picture, w, b}, {sq.conv_transpose2d, picture, w, b},
      {sq.max_pool2d, picture, 2}, {sq.avg_pool2d, picture, 2}, {sq.sum, x}, {sq.mean, x}, {sq.softmax, x, 1}, {sq.squeeze, x},
      {sq.roll, x, 1}, {sq.flatten, x}, {sq.zeros, 2}, {nn.Conv2d, 1, 1, 2}, {nn.Conv1d, 1, 1, 2}, {nn.MaxPool2d, 2},
      {nn.AvgPool2d, 2}, {nn.ConvTranspose2d, 1, 1, 2}, {nn.Linear, 1, 1}, {nn.LSTM(2, 3), sq.ones(1, 1, 2)},
    }
    for i, call in ipairs(calls) do
      local function run()
        sq.manual_seed(1)
        return (call[1](table.unpack(call, 2)))
      end
      local plain = run()
      call[#call + 1] = {}
      local same = run()
      assert.equal(tostring(plain), tostring(same), i)
    end
    assert.equal("()", tostring(sq.zeros({}).shape)) -- sizes are needed: an empty list of them
    assert.error_matches(function() nn.LayerNorm {} end, "normalized_shape")
  end)

  it("may be tensors one by one where a list of them is last", function()
    local a, c = sq.randn(2, 3), sq.randn(3, 4)
    assert.is_true(sq.einsum("ij,jk->ik", a, c):equal(sq.einsum("ij,jk->ik", {a, c})))
    assert.is_true(sq.einsum("ij->j", a):equal(sq.einsum("ij->j", {a})))
    assert.is_true(sq.nn.utils.parameters_to_vector(a, c):equal(sq.nn.utils.parameters_to_vector {a, c}))
    assert.error_matches(function() sq.einsum("ij,jk->ik", a, 3) end, "operands: expected a list of Tensors, got the number 3")
    assert.error_matches(function() sq.einsum("ij,jk->ik", 3, a) end, "operands: expected a list of Tensors, got the number 3")
  end)

  it("may be one tensor for a list of one", function()
    assert.same(x:tolist(), sq.cat {x}:tolist())
    assert.same(x:tolist(), sq.cat(x):tolist())
    local w = sq.ones {2, requires_grad = true}
    assert.same({2, 2}, sq.autograd.grad((w * 2):sum(), w):tolist())
  end)

  it("take numbers on either side of an operator", function()
    assert.same({2, 1}, (3 - sq.tensor {1, 2}):tolist())
    assert.same({0.5, 0.25}, (1 / sq.tensor {2, 4}):tolist())
    assert.same({2, 4}, (2 ^ sq.tensor {1, 2}):tolist())
    assert.same({-1, -2}, (-sq.tensor {1, 2}):tolist())
    assert.same({2, 3}, (sq.tensor({1, 2}, "int64") + 1):tolist())
  end)

  it("are never strings for numbers, nor numbers for booleans", function()
    assert.is_false(pcall(sq.add, x, "1"))
    assert.is_false(pcall(sq.zeros, "2"))
    assert.is_false(pcall(x.sum, x, 1, 1))
  end)

  it("may be long lists", function()
    local many = {}
    for i = 1, 300 do many[i] = x end
    assert.equal(600, sq.cat(many):size(1))
    local sizes = {}
    for i = 1, 200 do sizes[i] = 1 end
    assert.is_false(pcall(sq.zeros, sizes))
  end)

  it("count from 1 for dims and positions alone", function()
    assert.equal(0, x:argmin():item())
    assert.same({2, 5}, x:select(2, 3):tolist())
    assert.same({1, 4}, x:select(-1, -2):tolist())
    assert.same({{0, 1}, {3, 4}}, x:narrow(2, 1, 2):tolist())
  end)

  it("with several results are several results", function()
    local v, i = x:max(2)
    assert.same({2, 5}, v:tolist())
    assert.same({2, 2}, i:tolist())
    assert.equal(1, select("#", x:max()))
  end)
end)

describe("errors", function()
  it("carry the line of the innermost script function", function()
    local fn = assert(load("local sq = ...\nlocal function f()\n  return sq.zeros(-1)\nend\nreturn f()", "=deep.lua"))
    local _, text = pcall(fn, sq)
    assert.matches("^deep%.lua:3: ", text)
    _, text = pcall(assert(load("local sq = ... \n\n pcall(1) sq.zeros(-1)", "=deep.lua")), sq)
    assert.matches("^deep%.lua:3: ", text)
    -- through a protected call of the C function itself
    _, text = select(2, pcall(assert(load("local sq = ...\nreturn pcall(sq.zeros, -1)", "=deep.lua")), sq))
    assert.equal("deep.lua:2: [zeros] size -1 of dim 1 is negative", text)
  end)

  it("come out of coroutines", function()
    local co = coroutine.create(function() return sq.zeros(-1) end)
    local ok, text = coroutine.resume(co)
    assert.is_false(ok)
    assert.equal("[zeros] size -1 of dim 1 is negative", bare(text))
    assert.equal("suspended", coroutine.status(coroutine.create(sq.zeros)))
    assert.is_false(coroutine.resume(coroutine.create(sq.zeros), -1))
    assert.is_true(coroutine.resume(coroutine.create(sq.zeros), 1))
  end)

  it("name the line that saved what was changed in place", function()
    local script = [[
local sq = ...
local w = sq.ones{3, requires_grad = true}
local h = w * 2
local y = h:pow(2):sum()
h:add_(1)
y:backward()]]
    local _, text = pcall(assert(load(script, "=train.lua")), sq)
    assert.equal("train.lua:6: [pow] a tensor of shape (3) that it saved for backward at train.lua:4 was changed in "
      .. "place since (version 1, saved at 0): change a clone instead", text)
  end)

  it("leave the work of others alone", function()
    local x = sq.ones(2)
    pcall(x.add_, x, sq.ones(3))
    pcall(x.fill_, x, "a")
    assert.same({1, 1}, x:tolist())
  end)
end)

describe("objects", function()
  local function closed()
    local x = sq.ones(2)
    do local y <close> = x end -- luacheck: ignore
    return x
  end

  it("that are closed say so", function()
    local x = closed()
    assert.equal("[exp] x: this Tensor was closed", bare(select(2, pcall(x.exp, x))))
    assert.equal("[add] other: this Tensor was closed", bare(select(2, pcall(function() return 1 + x end))))
    assert.equal("[cat] tensors: this Tensor was closed", bare(select(2, pcall(sq.cat, {x}))))
    assert.equal("this Tensor was closed", bare(select(2, pcall(function() return x.shape end))))
    assert.equal("this Tensor was closed", bare(select(2, pcall(function() return x[1] end))))
    assert.equal("this Tensor was closed", bare(select(2, pcall(function() x[1] = 1 end))))
    assert.equal("this Tensor was closed", bare(select(2, pcall(function() return #x end))))
    assert.equal("this Tensor was closed", bare(select(2, pcall(function() x.grad = nil end))))
    assert.equal("Tensor (closed)", tostring(x))
    local g = sq.Generator(1)
    getmetatable(g).__gc(g)
    getmetatable(g).__gc(g)
    assert.equal("Generator (closed)", tostring(g))
    assert.is_false(pcall(g.clone, g))
    assert.is_false(pcall(sq.rand, 2, {generator = g}))
  end)

  it("survive wrong calls of their metamethods", function()
    local meta = getmetatable(sq.ones(1))
    for name, fn in pairs(meta) do
      if type(fn) == "function" then
        for _, value in ipairs {0, "a", true, {}, io.stdout, sq.Generator(1), print, closed()} do
          pcall(fn, value)
          pcall(fn, value, value)
          pcall(fn, value, "shape", value)
          pcall(fn, sq.ones(1), value, value)
        end
        pcall(fn)
      end
      assert.is_string(name)
    end
  end)

  it("of other libraries are not taken for ours", function()
    assert.matches("expected a Tensor, got a userdata", select(2, pcall(sq.exp, io.stdout)))
    local fake = debug.setmetatable(io.tmpfile(), nil)
    assert.is_false(pcall(sq.exp, fake))
  end)

  it("work inside finalizers and coroutines", function()
    local seen = {}
    for i = 1, 20 do
      setmetatable({}, {__gc = function() seen[#seen + 1] = (sq.ones(4) * i):sum():item() end})
    end
    collectgarbage()
    collectgarbage()
    assert.equal(20, #seen)
    local gen = coroutine.wrap(function()
      for i = 1, 3 do coroutine.yield(sq.full({2}, i):sum():item()) end
    end)
    assert.same({2, 4, 6}, {gen(), gen(), gen()})
  end)

  it("may be made and dropped at the end of the state", function()
    local support = require "spec.lib.support"
    local out, err, status = support.shell(support.quote(support.seqrt) .. [[ -e '
      local sq = require "seqrt"
      local x = sq.ones{3, requires_grad = true}
      y = (x * 2):sum()
      setmetatable({}, {__gc = function() y:backward() print(x.grad[1], (sq.ones(2) + 1)[1]) end})']],
      {env = {ASAN_OPTIONS = "detect_leaks=0"}}) -- what is made while the state closes goes with the process
    assert.equal("", err)
    assert.equal("2.0\t2.0\n", out)
    assert.equal(0, status)
  end)
end)

describe("the list of functions", function()
  it("has a signature and a doc line for everything", function()
    for _, row in ipairs(api.list()) do
      local name = (row.owner or "") .. "." .. row.name
      assert.is_true(type(row.doc) == "string" and #row.doc > 2, name .. " has no doc line")
      if row.kind ~= "class" and row.kind ~= "field" then assert.is_string(row.signature, name) end
    end
  end)

  it("knows every function of the module and of Tensor", function()
    local function check(table, path)
      for key, value in pairs(table) do
        if type(value) == "function" and key ~= "clock" then
          assert.is_truthy(api.describe(value), ("%s.%s is not documented"):format(path, key))
        end
      end
    end
    check(sq, "sq")
    check(sq.autograd, "sq.autograd")
    check(getmetatable(sq.ones(1)).__members, "Tensor")
  end)

  it("names members for completion", function()
    local names = {}
    for _, name in ipairs(getmetatable(sq.ones(1)).__dir) do names[name] = true end
    for _, name in ipairs {"shape", "grad", "sum", "exp_", "backward", "item"} do assert.is_true(names[name], name) end
  end)

  it("is printed by help", function()
    local help = require "seqrt.help"
    local sum = "x:sum(dim: dims? = nil, keepdim: bool = false, dtype: dtype? = nil) -> Tensor"
    assert.is_truthy(help.text("Tensor.sum"):find(sum, 1, true))
    assert.is_truthy(help.text(sq.ones(1)):find(sum, 1, true))
    assert.is_truthy(help.text(sq.zeros):find("sq.zeros(size: shape, dtype", 1, true))
    assert.is_truthy(help.text(sq.autograd.gradcheck):find("sq.autograd.gradcheck(fn: function", 1, true))
    assert.equal("nothing is called 'zeross': did you mean 'zeros'?", select(2, help.text "zeross"))
  end)

  it("is printed whole as Markdown and for editors", function()
    local reference = require "seqrt.reference"
    local markdown, luacats = reference.markdown(), reference.luacats()
    assert.is_truthy(load(luacats, "=luacats", "t"))
    assert.equal("---@meta seqrt", luacats:match "^[^\n]+")
    for _, row in ipairs(api.list()) do
      if row.kind == "method" then
        assert.is_truthy(luacats:find(("function %s:%s("):format(row.owner, row.name), 1, true), row.name)
      end
      assert.is_truthy(markdown:find(row.name, 1, true), row.name)
    end
    for line in luacats:gmatch "[^\n]+" do
      local what = line:match "^%-%-%-@(%w+)"
      if what then
        assert.is_truthy(({meta = 1, alias = 1, class = 1, field = 1, param = 1, ["return"] = 1, overload = 1,
          operator = 1, type = 1})[what], line)
      end
    end
  end)
end)

-- tensor_spec.lua: constructors, fields, the methods that are no ops, gradients on and off, chance.
local sq = require "seqrt"

local function near(want, got, tolerance)
  local ok = math.abs(want - got) <= (tolerance or 1e-6)
  assert.is_true(ok, ("%.9g is not near %.9g"):format(got, want))
end

describe("constructors", function()
  it("read Lua values", function()
    assert.same({{1, 2}, {3, 4}}, sq.tensor {{1, 2}, {3, 4}}:tolist())
    assert.equal("int64", sq.tensor {1, 2}.dtype)
    assert.equal("int64", sq.tensor(3).dtype)
    assert.equal("float32", sq.tensor {1.0, 2.0}.dtype)
    assert.equal("float32", sq.tensor {{1, 2}, {3, 4.5}}.dtype)
    assert.equal("int64", sq.tensor {true, 2}.dtype)
    assert.equal("float32", sq.tensor {}.dtype)
    assert.same({"int64", "float32"}, {sq.full({2}, 3).dtype, sq.full({2}, 3.0).dtype})
    assert.equal("bool", sq.tensor {true, false}.dtype)
    assert.equal("float64", sq.tensor({1}, {dtype = "float64"}).dtype)
    assert.equal(3, sq.tensor(3):item())
    assert.is_true(sq.tensor(true):item())
    assert.equal("()", tostring(sq.tensor(3).shape))
    assert.equal("(0)", tostring(sq.tensor {}.shape))
    assert.equal("(2,0)", tostring(sq.tensor {{}, {}}.shape))
    assert.equal((1 << 62) + 1, sq.tensor({(1 << 62) + 1}, "int64")[1])
    assert.same({1, 0}, sq.tensor({true, false}, "float32"):tolist())
    assert.is_true(sq.tensor({1.5}, {requires_grad = true}).requires_grad)
    local x = sq.ones {2, requires_grad = true}
    local copy = sq.tensor(x)
    copy[1] = 5
    assert.same({1, 1}, x:tolist())
    assert.is_false(copy.requires_grad)
  end)

  it("fill", function()
    assert.same({{0, 0, 0}}, sq.zeros(1, 3):tolist())
    assert.same({1, 1}, sq.ones(2, {dtype = "int64"}):tolist())
    assert.same({2.5, 2.5}, sq.full({2}, 2.5):tolist())
    assert.same({{1, 0, 0}, {0, 1, 0}}, sq.eye(2, 3):tolist())
    local x = sq.ones(2, 3, {dtype = "float64"})
    for _, y in ipairs {sq.zeros_like(x), sq.ones_like(x), sq.empty_like(x), sq.full_like(x, 2), sq.rand_like(x),
      sq.randn_like(x)} do
      assert.equal("float64", y.dtype)
      assert.equal("(2,3)", tostring(y.shape))
    end
    assert.equal("int64", sq.zeros_like(x, {dtype = "int64"}).dtype)
    assert.equal("float32", sq.empty(3).dtype)
  end)

  it("count", function()
    assert.same({0, 1, 2}, sq.arange(3):tolist())
    assert.equal("int64", sq.arange(3).dtype)
    assert.same({2, 4, 6}, sq.arange(2, 7, 2):tolist())
    assert.same({3, 2, 1}, sq.arange(3, 0, -1):tolist())
    assert.same({0, 0.25, 0.5, 0.75}, sq.arange(0, 1, 0.25):tolist())
    assert.equal("float32", sq.arange(0, 1, 0.25).dtype)
    assert.equal("float32", sq.arange(3, {dtype = "float32"}).dtype)
    assert.same({0, 0.25, 0.5, 0.75, 1}, sq.linspace(0, 1, 5):tolist())
    assert.same({3}, sq.linspace(3, 9, 1):tolist())
    assert.same({}, sq.linspace(3, 9, 0):tolist())
    assert.same({}, sq.arange(0):tolist())
  end)
end)

describe("fields", function()
  it("tell what a tensor is", function()
    local x = sq.zeros(2, 3)
    assert.same({2, 3}, {table.unpack(x.shape)})
    assert.equal("(2,3)", tostring(x.shape))
    assert.is_true(x.shape == sq.ones(2, 3).shape)
    assert.is_false(x.shape == sq.ones(3, 2).shape)
    assert.equal(2, #x.shape)
    assert.is_true(x.is_leaf)
    assert.is_nil(x.grad)
    assert.is_nil(x.grad_fn)
    assert.equal(2, #x)
  end)

  it("carry gradients, which may be assigned", function()
    local x = sq.ones {2, requires_grad = true}
    local y = x * 3
    assert.equal("mul", y.grad_fn)
    assert.is_false(y.is_leaf)
    y:sum():backward()
    assert.same({3, 3}, x.grad:tolist())
    y = x * 3
    y:sum():backward()
    assert.same({6, 6}, x.grad:tolist())
    x.grad = nil
    assert.is_nil(x.grad)
    x.grad = sq.zeros(2)
    assert.same({0, 0}, x.grad:tolist())
    x.requires_grad = false
    assert.is_false((x * 2).requires_grad)
  end)

  it("give the elements without the graph", function()
    local x = sq.ones {2, requires_grad = true}
    x.data[1] = 7
    assert.same({7, 1}, x:tolist())
    x.data = sq.tensor {4.0, 5.0}
    assert.same({4, 5}, x:tolist())
    assert.is_false(x.data.requires_grad)
    local y = x * 2
    assert.is_false(pcall(function() y.data = sq.zeros(3) end))
    x.data = sq.zeros(3)
    assert.same({0, 0, 0}, x:tolist())
  end)
end)

describe("methods", function()
  it("measure", function()
    local x = sq.zeros(2, 3, 4)
    assert.equal(24, x:numel())
    assert.equal(3, x:dim())
    assert.equal(3, x:size(2))
    assert.equal(4, x:size(-1))
    assert.equal("(2,3,4)", tostring(x:size()))
    assert.is_true(x:is_contiguous())
    assert.is_false(x:transpose(1, 2):is_contiguous())
  end)

  it("give values", function()
    assert.equal("float", math.type(sq.tensor(2.0):item()))
    assert.equal("integer", math.type(sq.arange(1):item()))
    assert.same({{{0}, {1}}}, sq.arange(2):view(1, 2, 1):tolist())
    assert.same({{1, 3}, {2, 4}}, sq.tensor {{1, 2}, {3, 4}}:t():tolist())
    assert.equal(5, sq.tensor(5):tolist())
    assert.same({true, false}, sq.tensor {true, false}:tolist())
  end)

  it("convert", function()
    local x = sq.tensor {0, 1.7, -1.7}
    assert.same({0, 1, -1}, x:long():tolist())
    assert.same({false, true, true}, x:bool():tolist())
    assert.equal("float64", x:double().dtype)
    assert.equal("float32", x:double():float().dtype)
    assert.equal("uint8", sq.tensor {3}:byte().dtype)
    assert.equal("float64", x:type_as(sq.zeros(1, {dtype = "float64"})).dtype)
    local w = sq.ones {2, requires_grad = true}
    w:double():sum():backward()
    assert.same({1, 1}, w.grad:tolist())
    assert.equal("float32", w.grad.dtype)
  end)

  it("compare whole tensors", function()
    local x = sq.tensor {1.0, 2.0}
    assert.is_true(x:equal(sq.tensor {1.0, 2.0}))
    assert.is_false(x:equal(sq.tensor {1, 3}))
    assert.is_false(x:equal(sq.tensor {{1, 2}}))
    assert.is_false(sq.tensor {0 / 0}:equal(sq.tensor {0 / 0}))
    assert.is_true(x:allclose(x + 1e-6))
    assert.is_false(x:allclose(x + 1e-3))
    assert.is_true(x:allclose(x + 1e-3, {atol = 1e-2}))
    assert.is_true(sq.allclose(x, sq.tensor {{1.0, 2.0}, {1.0, 2.0}}))
    assert.is_false(sq.tensor {0 / 0}:allclose(sq.tensor {0 / 0}))
    assert.is_true(sq.tensor {0 / 0}:allclose(sq.tensor {0 / 0}, {equal_nan = true}))
    assert.is_true(sq.tensor {math.huge}:allclose(sq.tensor {math.huge}))
    assert.is_false(sq.tensor {math.huge}:allclose(sq.tensor {-math.huge}))
    assert.has_error(function() return x == sq.tensor {1, 2} end)
    assert.is_true(x == x) -- luacheck: ignore
  end)

  it("detach", function()
    local x = sq.ones {2, requires_grad = true}
    local y = x:detach()
    assert.is_false(y.requires_grad)
    y[1] = 9
    assert.equal(9, x[1]:item())
  end)

  it("go back", function()
    local x = sq.ones {2, requires_grad = true}
    local y = x * sq.tensor {2, 3}
    y:retain_grad()
    y:backward {gradient = sq.tensor {1, 10}, retain_graph = true}
    assert.same({2, 30}, x.grad:tolist())
    assert.same({1, 10}, y.grad:tolist())
    y:backward(sq.tensor {1, 10})
    assert.same({4, 60}, x.grad:tolist())
    local _, text = pcall(y.backward, y, sq.tensor {1, 1})
    assert.matches("%[mul%] backward a second time", text)
  end)
end)

describe("recording", function()
  local w
  before_each(function() w = sq.ones {2, requires_grad = true} end)

  it("stops for a block", function()
    do
      local _ <close> = sq.no_grad()
      assert.is_false((w * 2).requires_grad)
      do
        local _ <close> = sq.enable_grad() -- luacheck: ignore
        assert.is_true((w * 2).requires_grad)
      end
      assert.is_false(sq.is_grad_enabled())
      w:add_(1)
    end
    assert.is_true((w * 2).requires_grad)
    assert.same({2, 2}, w:tolist())
  end)

  it("stops for a function, whose results come back", function()
    assert.same({n = 3, 1, nil, {2}}, table.pack(sq.no_grad(function(...) return ... end, 1, nil, {2})))
    assert.is_false(sq.no_grad(sq.is_grad_enabled))
    assert.is_true(sq.no_grad(function() return sq.enable_grad(sq.is_grad_enabled) end))
  end)

  it("goes on after an error", function()
    local ok, text = pcall(sq.no_grad, error, "stop")
    assert.is_false(ok)
    assert.equal("stop", text)
    assert.is_true(sq.is_grad_enabled())
    pcall(function()
      local _ <close> = sq.no_grad()
      error "stop"
    end)
    assert.is_true(sq.is_grad_enabled())
    sq.set_grad_enabled(false)
    assert.is_false(sq.is_grad_enabled())
    sq.set_grad_enabled(true)
  end)

  it("gives gradients on request, leaves as they are", function()
    local v = sq.ones {2, requires_grad = true}
    local dw, dv = sq.autograd.grad((w * v * 3):sum(), {w, v})
    assert.same({3, 3}, dw:tolist())
    assert.same({3, 3}, dv:tolist())
    assert.is_nil(w.grad)
    local y = w * 2
    assert.same({2, 20}, sq.autograd.grad(y, w, {grad_outputs = sq.tensor {1, 10}}):tolist())
    local h = w * 2
    assert.same({4, 4}, sq.autograd.grad((h * h):sum(), {h}):tolist())
    assert.same({n = 2, nil, nil}, {n = 2, select(2, sq.autograd.grad(w:sum(), {w, v}, {allow_unused = true}))})
  end)

  it("is a million ops deep on a small stack", function()
    local support = require "spec.lib.support"
    local script = support.write(support.tmpdir() .. "/deep.lua", [[
local sq = require "seqrt"
local x = sq.ones{1, requires_grad = true}
local y = x
for _ = 1, 1000000 do y = y + 1 end
y:backward()
print(y:item(), x.grad:item())
]])
    local out, err, status = support.shell(("bash -c 'ulimit -s 256 && %s %s'"):format(support.seqrt, script))
    assert.equal("", err)
    assert.equal("1000001.0\t1.0\n", out)
    assert.equal(0, status)
  end)
end)

describe("chance", function()
  it("is PyTorch's", function()
    sq.manual_seed(0)
    local u = sq.rand(3):tolist()
    near(0.49625658988952637, u[1], 0)
    near(0.7682217955589294, u[2], 0)
    near(0.08847743272781372, u[3], 0)
    sq.manual_seed(0)
    local n = sq.randn(2):tolist()
    near(1.5409960746765137, n[1], 2e-7)
    near(-0.293428897857666, n[2], 2e-7)
    sq.manual_seed(0)
    assert.same({4, 9, 3, 0, 3}, sq.randint(0, 10, {5}):tolist())
    sq.manual_seed(0)
    assert.same({0, 1, 3, 2}, sq.randperm(4):tolist())
  end)

  it("comes from a generator where one is given", function()
    local g = sq.Generator(7)
    local a = sq.rand(4, {generator = g})
    sq.rand(100)
    assert.is_false(a:equal(sq.rand(4, {generator = g})))
    g:manual_seed(7)
    assert.is_true(a:equal(sq.rand(4, {generator = g})))
    assert.equal(7, g:initial_seed())
    assert.is_true(a:equal(sq.zeros(4):uniform_ {generator = g:manual_seed(7)}))
  end)

  it("goes on from a saved state", function()
    local g = sq.Generator(3)
    sq.randn(5, {generator = g})
    local state, twin = g:state_dict(), g:clone()
    local a = sq.randn(20, {generator = g})
    assert.is_true(a:equal(sq.randn(20, {generator = twin})))
    assert.is_true(a:equal(sq.randn(20, {generator = sq.Generator():load_state_dict(state)})))
    assert.is_true(a:equal(sq.randn(20, {generator = sq.Generator():set_state(state.state)})))
    assert.is_false(pcall(g.set_state, g, sq.zeros(2544, {dtype = "uint8"})))
  end)

  it("draws in place", function()
    local x = sq.zeros(10000)
    x:normal_(3, 0.5)
    near(3, x:mean():item(), 0.05)
    near(0.5, x:std():item(), 0.05)
    x:uniform_(-1, 3)
    assert.is_true(x:min():item() >= -1 and x:max():item() < 3)
    x:bernoulli_(0.25)
    near(0.25, x:mean():item(), 0.03)
    x:random_(2, 5)
    assert.equal(2, x:min():item())
    assert.equal(4, x:max():item())
    local b = sq.zeros(100, {dtype = "bool"}):bernoulli_(1)
    assert.same(100, b:sum():item())
    local column = sq.zeros(4, 4)
    column:t()[2]:fill_(1)
    column[{{}, 3}]:uniform_(5, 6)
    assert.equal(4, column:gt(2):sum():item())
  end)
end)

describe("the module", function()
  it("tells about itself", function()
    local info = sq.info()
    for _, key in ipairs {"version", "lua", "compiler", "isa", "cpu", "blas", "products"} do
      assert.is_string(info[key], key)
    end
    assert.equal(sq.get_num_threads(), info.threads)
    local before = sq.get_num_threads()
    sq.set_num_threads(1)
    assert.equal(1, sq.get_num_threads())
    sq.set_num_threads(before)
    assert.is_true(sq.is_tensor(sq.ones(1)))
    assert.is_false(sq.is_tensor(1))
    assert.is_false(sq.is_tensor(nil))
  end)

  it("loads into stock Lua", function()
    local support = require "spec.lib.support"
    if support.seqrt:find "build/[^/]+/" then return pending "a sanitizer's library does not load into a plain lua5.4" end
    local so = support.seqrt:gsub("[^/]*$", "") .. "?.so"
    local out, err, status = support.shell(([[lua5.4 -e 'package.cpath = "%s" local sq = require "seqrt"
      print(sq.ones(2):sum():item(), sq.autograd.gradcheck ~= nil)']]):format(so))
    assert.equal("", err)
    assert.equal("2.0\ttrue\n", out)
    assert.equal(0, status)
  end)
end)

describe("parts", function()
  local x
  before_each(function() x = sq.arange(10):float():view(2, 5) end)

  local function sizes(dim, ...)
    local list = {}
    for i, part in ipairs {...} do list[i] = part:size(dim) end
    return list
  end

  it("are windows on the whole, each a result", function()
    assert.same({2, 2, 1}, sizes(2, x:chunk(3, 2)))
    assert.same({1, 1}, sizes(1, x:chunk(5)))
    assert.same({2, 2, 1}, sizes(2, x:split(2, -1)))
    assert.same({1, 4}, sizes(2, x:split({1, 4}, 2)))
    assert.same({5}, sizes(2, x:split({5}, 2)))
    assert.same({5}, sizes(2, x:split {split_size = {5}, dim = 2}))
    assert.same({5}, sizes(2, x:split(5, 2)))
    assert.same({5}, sizes(2, x:split(99, 2)))
    assert.same({0, 5}, sizes(2, x:split({0, 5}, 2)))
    assert.same({0}, sizes(1, sq.zeros(0, 2):chunk(3)))
    local a, b = x:unbind()
    assert.same({0, 1, 2, 3, 4}, a:tolist())
    b:fill_(1)
    assert.equal(5, x[2]:sum():item())
    assert.equal(5, select("#", x:unbind(2)))
    assert.equal(0, select("#", sq.zeros(0):unbind()))
    assert.same({1, 2}, sizes(1, sq.split(sq.ones(3), {1, 2})))
  end)

  it("carry gradients", function()
    local w = sq.ones {2, 4, requires_grad = true}
    local a, b = w:chunk(2, 2)
    local c = w:unbind()
    local loss = (a * 2):sum() + (b * 3):sum() + c:sum()
    loss:backward()
    assert.same({{3, 3, 4, 4}, {2, 2, 3, 3}}, w.grad:tolist())
  end)

  it("refuse what does not add up", function()
    local function fails(text, fn, ...)
      assert.equal(text, (select(2, pcall(fn, ...)):gsub("^[^:]+:%d+: ", "")))
    end
    fails("[chunk] chunks is 0: it must be at least 1", x.chunk, x, 0)
    fails("[split] split_size is 0: it must be at least 1", x.split, x, 0)
    fails("[split] the sizes must be at least 0 and add up to 5, dim 2 of x (2,5)", x.split, x, {1, 2}, 2)
    fails("[split] the sizes must be at least 0 and add up to 5, dim 2 of x (2,5)", x.split, x, {2}, 2)
    fails("[split] the sizes must be at least 0 and add up to 5, dim 2 of x (2,5)", x.split, x, {6, -1}, 2)
    fails("[unbind] x is 0-d: it has no dim", sq.ones {}.unbind, sq.ones {})
    fails("[chunk] dim 3 is out of range: the tensor has 2 dims (1 to 2, or -1 to -2)", x.chunk, x, 2, 3)
  end)
end)

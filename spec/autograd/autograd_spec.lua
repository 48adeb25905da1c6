-- autograd_spec.lua: how gradients are collected, refused and carried through windows and in-place changes. The
-- numbers of the window cases are PyTorch's.
local sq = require "seqrt"
local support = require "spec.lib.support"

local function float64(t) return sq.tensor(t, {dtype = "float64"}) end
local function leaf(t) return float64(t):requires_grad_() end

local function live()
  collectgarbage()
  collectgarbage()
  return sq.memory_stats().live_blocks
end

describe("gradients", function()
  it("add up over backwards, and over uses", function()
    local x = leaf {1, 2, 3};
    (x * x):sum():backward()
    assert.same({2, 4, 6}, x.grad:tolist());
    (x * x + x):sum():backward()
    assert.same({5, 9, 13}, x.grad:tolist())
    x.grad = nil
    x:sum():backward()
    assert.same({1, 1, 1}, x.grad:tolist())
  end)

  it("are memory of their own", function()
    local x = leaf {1, 2}
    local y = x:expand(3, 2)
    y:sum():backward()
    x.grad:mul_(2)
    assert.same({6, 6}, x.grad:tolist())
    local a, b = leaf {1}, leaf {2};
    (a + b):sum():backward()
    a.grad:add_(1)
    assert.same({{2}, {1}}, {a.grad:tolist(), b.grad:tolist()})
  end)

  it("come a second time only when the graph was kept", function()
    local x = leaf {1, 2}
    local y = (x * x):sum()
    y:backward {retain_graph = true}
    y:backward()
    assert.same({4, 8}, x.grad:tolist())
    assert.has_error.matches(function() y:backward() end, "%[mul%] backward a second time.*retain_graph = true")
  end)

  it("start from one element, or from a gradient of the result's shape", function()
    local x = leaf {1, 2}
    local y = x * 3
    assert.has_error.matches(function() y:backward() end, "%[backward%] x is %(2%).*x:mean%(%) or x:sum%(%)")
    assert.has_error.matches(function() y:backward(float64 {1, 2, 3}) end, "x is %(2%), gradient is %(3%)")
    y:backward(float64 {1, 10})
    assert.same({3, 30}, x.grad:tolist())
    assert.has_error.matches(function() float64 {1}:backward() end, "requires no gradient")
  end)

  it("are kept for results on request", function()
    local x = leaf {1, 2}
    local y = x * 2
    y:retain_grad();
    (y * y):sum():backward()
    assert.same({4, 8}, y.grad:tolist())
    assert.same({8, 16}, x.grad:tolist())
  end)

  it("of some inputs leave .grad alone", function()
    local x, w = leaf {1, 2}, leaf {3, 4}
    local y = (x * w):sum()
    local dx, again = sq.autograd.grad({y}, {x, x}, {retain_graph = true})
    assert.same({{3, 4}, {3, 4}}, {dx:tolist(), again:tolist()})
    assert.is_nil(x.grad)
    local other = leaf {1}
    assert.has_error.matches(function() sq.autograd.grad({y}, {other}, {retain_graph = true}) end,
      "%[grad%] input 1 is not part")
    local dw, none = sq.autograd.grad({y}, {w, other}, {allow_unused = true})
    assert.same({1, 2}, dw:tolist())
    assert.is_nil(none)
  end)

  it("are none under no_grad and behind detach", function()
    local x = leaf {1, 2}
    sq.no_grad(function() assert.is_false((x * 2).requires_grad) end)
    do
      local _ <close> = sq.no_grad()
      assert.is_false((x * 2).requires_grad)
    end
    assert.is_true((x * 2).requires_grad)
    local d = x:detach()
    assert.is_false(d.requires_grad)
    d[1] = 7
    assert.same({7, 2}, x:tolist());
    (x * d):sum():backward()
    assert.same({7, 2}, x.grad:tolist())
  end)

  it("are of floats only", function()
    assert.has_error.matches(function() sq.tensor({1, 2}, {dtype = "int64"}):requires_grad_() end, "int64.*only float")
    local x = leaf {3, 1, 2}
    local values, places = x:sort()
    assert.is_true(values.requires_grad)
    assert.is_false(places.requires_grad)
    assert.is_false(x:gt(1).requires_grad)
  end)
end)

describe("an in-place change", function()
  it("of what backward needs is an error that names the op", function()
    local x = leaf {1, 2, 3}
    local y = x:exp()
    y:add_(1)
    assert.has_error.matches(function() y:sum():backward() end,
      "%[exp%] a tensor of shape %(3%) that it saved for backward.*changed in place")
    local a = x * 2
    local z = a * a
    a[{{1, 1}}]:add_(1)
    assert.has_error.matches(function() z:sum():backward() end, "%[mul%]")
  end)

  it("of what backward does not need is carried", function()
    local x = leaf {1, 2, 3}
    local y = x * 2
    y:add_(1):mul_(3)
    y:sum():backward()
    assert.same({6, 6, 6}, x.grad:tolist())
    local u = x:clone():detach():requires_grad_()
    local v = u * 1
    v:exp_()
    v:sum():backward()
    assert.same(u:exp():tolist(), u.grad:tolist())
  end)

  it("of a leaf is refused, and allowed under no_grad", function()
    local x = leaf {1, 2}
    assert.has_error.matches(function() x:mul_(2) end, "%[mul_%] x is a leaf that requires a gradient.*no_grad")
    assert.has_error.matches(function() x[{{1, 1}}]:mul_(2) end, "a view of a leaf")
    sq.no_grad(function() x:mul_(2) end)
    assert.same({2, 4}, x:tolist())
    local y = (x * x):sum()
    sq.no_grad(function() x:add_(1) end)
    assert.has_error.matches(function() y:backward() end, "changed in place")
  end)

  it("of an expanded tensor is refused: its elements share memory", function()
    assert.has_error.matches(function() float64 {1, 2}:expand(3, 2):add_(1) end, "%[add_%] x is %(3,2%) and expanded")
  end)

  it("keeps shape and dtype", function()
    assert.has_error.matches(function() float64 {1, 2}:add_(sq.zeros({3, 2}, {dtype = "float64"})) end, "%[add_?%]")
    assert.has_error.matches(function() sq.tensor({1, 2}, {dtype = "int64"}):exp_() end, "int64")
  end)

  it("with itself reads before it writes", function()
    local x = float64 {1, 2, 3}
    x:add_(x)
    assert.same({2, 4, 6}, x:tolist())
    x[{{2, 3}}]:copy_(x[{{1, 2}}])
    assert.same({2, 2, 4}, x:tolist())
    x[{{2, 3}}]:add_(x[{{1, 2}}])
    assert.same({2, 4, 6}, x:tolist())
  end)

  it("to a constant ends the gradient there", function()
    local x = leaf {1, 2, 3}
    local y = x * 2
    y:zero_()
    assert.is_true(y.requires_grad);
    (y + x):sum():backward()
    assert.same({1, 1, 1}, x.grad:tolist())
  end)
end)

describe("a window", function()
  it("changed in place changes its tensor's gradient", function()
    local x = leaf {1, 2, 3, 4}
    local y = x * x
    y[{{2, 3}}]:mul_(10)
    assert.same({1, 40, 90, 16}, y:tolist());
    (y * float64 {1, 2, 3, 4}):sum():backward()
    assert.same({2, 80, 180, 32}, x.grad:tolist())
  end)

  it("sees changes through another", function()
    local x = leaf {{1, 2, 3}, {4, 5, 6}}
    local y = x * 2
    local row, column = y[1], y:t()[2]
    row:mul_(column:sum():detach())
    assert.same({56, 10}, column:tolist());
    (column * column):sum():backward()
    assert.same({{0, 3136, 0}, {0, 40, 0}}, x.grad:tolist())
  end)

  it("of a buffer takes results in", function()
    local x = leaf {1, 2, 3}
    local b = sq.zeros(2, 3, {dtype = "float64"})
    b[2]:copy_(x * x)
    b[1]:copy_(b[2] * x:detach())
    assert.same({{1, 8, 27}, {1, 4, 9}}, b:tolist());
    (b * float64 {{1, 2, 3}, {4, 5, 6}}):sum():backward()
    assert.same({10, 36, 90}, x.grad:tolist())
  end)

  it("of a transposed or shifted buffer takes results in", function()
    local x = leaf {1, 2, 3}
    local b = sq.zeros(3, 2, {dtype = "float64"}):t():detach()
    b[2]:copy_(x * 3);
    (b * b):sum():backward()
    assert.same({18, 36, 54}, x.grad:tolist())
    x.grad = nil
    local c = sq.zeros(4, 3, {dtype = "float64"})[{{3, 4}}]:detach()
    c[2]:copy_(x * x);
    (c * float64 {{9, 9, 9}, {1, 2, 3}}):sum():backward()
    assert.same({2, 8, 18}, x.grad:tolist())
  end)

  it("of a window of a result passes on both changes", function()
    local x = leaf {1, 2, 3, 4}
    local y = x * 1
    local a = y[{{1, 3}}]
    local w = a[{{2, 3}}]
    w:mul_(w:detach() * 2)
    a:mul_(2)
    y:sum():backward()
    assert.same({2, 16, 36, 4}, y:tolist())
    assert.same({2, 8, 12, 1}, x.grad:tolist())
  end)

  it("in steps, and in another shape, is up to date", function()
    local x = leaf {1, 2, 3, 4}
    local y = x * 1
    local v = y:slice(1, 1, 4, 2)
    y:mul_(3);
    (v * v):sum():backward()
    assert.same({18, 0, 54, 0}, x.grad:tolist())
    local z = leaf {1, 2, 3, 4}
    local m = (z * 1):view(2, 2)
    m[1]:mul_(3)
    m:view(4)[{{2, 3}}]:mul_(2)
    m:sum():backward()
    assert.same({{3, 12}, {6, 4}}, m:tolist())
    assert.same({3, 6, 2, 1}, z.grad:tolist())
  end)

  it("that is expanded adds its gradients up", function()
    local x = leaf {1, 2};
    ((x * 1):expand(3, 2) * float64 {{1, 2}, {3, 4}, {5, 6}}):sum():backward()
    assert.same({9, 12}, x.grad:tolist())
    local y = leaf {1, 2}
    local wide = y:expand(3, 2)
    sq.no_grad(function() y:mul_(2) end) -- the window is made anew
    wide:sum():backward()
    assert.same({3, 3}, y.grad:tolist())
  end)

  it("made before its tensor required a gradient has none", function()
    local x = float64 {1, 2}
    local v = x[{{1, 1}}]
    x:requires_grad_()
    assert.is_false((v * 2).requires_grad)
  end)

  it("assigned by index carries gradients", function()
    local x = leaf {1, 2, 3}
    local y = x:clone()
    y[2] = 5
    y = y * y
    y:sum():backward()
    assert.same({2, 0, 6}, x.grad:tolist())
  end)
end)

describe("a graph", function()
  it("that was never gone back through leaves nothing behind", function()
    local function work()
      local x = leaf {1, 2, 3}
      local y = x * 2
      local z = y * y
      y:add_(z)            -- y's graph holds what saved y
      local b = sq.zeros(2, 3, {dtype = "float64"})
      local v = b[1] * x   -- saves a window of b, and then goes into b
      b[2]:copy_(v)
      local w = x:exp()
      w:mul_(w)
      return y, b, w
    end
    work()
    local before = live()
    for _ = 1, 50 do work() end
    assert.equal(before, live())
  end)

  it("gives back what it saved when it has been gone through", function()
    local x = leaf {1, 2, 3}
    x.grad = float64 {0, 0, 0}
    local loss = x:exp():tanh():sum()
    local before = live()
    loss:backward()
    assert.is_true(live() < before)
  end)

  it("of windows that overlap adds them up, in whatever order they come", function()
    local x = sq.arange(1, 13, {dtype = "float64"}):reshape(3, 4):requires_grad_()
    local function gradient(...)
      local y, loss = x * 2, 0 -- y is no leaf: its windows' gradients meet in one sum
      for _, weigh in ipairs {...} do loss = loss + weigh(y) end
      x.grad = nil
      loss:backward()
      return x.grad:tolist()
    end
    local function columns(y) return y:narrow(2, 2, 2):sum() * 3 end
    local function steps(y) return y[{{}, {1, 4, 3}}]:sum() * 5 end
    local function row(y) return y[2]:sum() * 7 end
    local function whole(y) return (y * y):sum() end
    local function turned(y) return (y:t()[3] * sq.tensor({1., 2, 3}, {dtype = "float64"})):sum() end
    assert.same({{10, 6, 6, 10}, {24, 20, 20, 24}, {10, 6, 6, 10}}, gradient(columns, steps, row))
    local all = {{18, 22, 32, 42}, {64, 68, 80, 88}, {82, 86, 100, 106}}
    assert.same(all, gradient(columns, whole, steps, turned, row))
    assert.same(all, gradient(row, turned, steps, whole, columns))
    assert.same(all, gradient(whole, columns, row, turned, steps))
  end)

  it("of a million ops fits on a stack of 256 KB", function()
    local script = [[
      local sq = require "seqrt"
      local x = sq.ones(1, {requires_grad = true})
      local y = x
      for _ = 1, 1000000 do y = y + x end
      y:backward()
      assert(x.grad:item() == 1000001)
      y = x
      for _ = 1, 1000000 do y = y * 1 end
      y = nil
      collectgarbage()
      io.write "done"
    ]]
    local file = support.write(support.tmpdir() .. "/chain.lua", script)
    local out, err, code = support.shell("sh -c 'ulimit -s 256; exec " .. support.seqrt .. " " .. file .. "'")
    assert.same({"done", 0, ""}, {out, code, err})
  end)
end)

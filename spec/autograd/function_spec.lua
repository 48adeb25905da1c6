-- function_spec.lua: sq.autograd.Function: PyTorch's numbers of a spline (spec/golden/function.lua), what forward and
-- backward may do, what they are told when it is wrong, and graphs that do not outlive what needs them.
local sq = require "seqrt"
local support = require "spec.lib.support"
local golden = require "spec.golden.function"
local Function, grad = sq.autograd.Function, sq.autograd.grad

local function double(values) return sq.tensor(values, {dtype = "float64"}) end
local function leaf(values) return double(values):requires_grad_() end

local function assert_close(want, got, what)
  assert.equal(#want, #got)
  for i, v in ipairs(want) do
    local close = math.abs(v - got[i]) <= 1e-12 * math.max(1, math.abs(v))
    assert(close, ("%s, number %d: PyTorch has %.17g, here it is %.17g"):format(what, i, v, got[i]))
  end
end

local function fails(fn, ...)
  local ok, err = pcall(fn)
  assert.is_false(ok)
  for _, text in ipairs {...} do
    assert(tostring(err):find(text, 1, true), ("'%s' is not in: %s"):format(text, tostring(err)))
  end
end

local function live()
  collectgarbage()
  collectgarbage()
  return sq.memory_stats().live_blocks
end

-- Runs fn, whose dead locals would keep what they last held, often enough that a leak shows.
local function assert_flat(fn)
  local function turns(n) for _ = 1, n do fn() end end
  turns(3)
  local before = live()
  turns(50)
  assert.is_true(live() <= before, ("%d blocks before, %d after"):format(before, live()))
end

local Cube = Function "Cube"
function Cube.forward(ctx, x)
  ctx:save_for_backward(x)
  return x ^ 3
end
function Cube.backward(ctx, dy)
  local x = ctx:saved()
  return dy * 3 * x ^ 2
end

local Exp = Function "Exp" -- of its result
function Exp.forward(ctx, x)
  local y = x:exp()
  ctx:save_for_backward(y)
  return y
end
function Exp.backward(ctx, dy) return dy * ctx:saved() end

-- --- a spline ------------------------------------------------------------------------------------------------------------

local H = 0.5
local KNOTS = sq.arange(-4, 5):double() * H
local function power(u, p) return sq.relu(u) ^ p end
local function pieces(u, p)
  return power(u + 2, p) - 4 * power(u + 1, p) + 6 * power(u, p) - 4 * power(u - 1, p) + power(u - 2, p)
end

local Spline = Function "Spline"
function Spline.forward(ctx, x, c, h)
  ctx:save_for_backward(x, c)
  ctx.h = h
  return sq.matmul(pieces((x:unsqueeze(2) - KNOTS) / h, 3) / 6, c)
end
function Spline.backward(ctx, dy)
  local x, c = ctx:saved()
  local u = (x:unsqueeze(2) - KNOTS) / ctx.h
  return dy * sq.matmul(pieces(u, 2) / 2, c) / ctx.h, sq.matmul(dy, pieces(u, 3) / 6)
end

local function spline_inputs()
  local x, c, dy = {}, {}, {}
  for i = 0, 11 do x[i + 1], dy[i + 1] = i * 37 % 23 / 8 - 1.375, i * 7 % 13 / 16 - 0.25 end
  for i = 0, 8 do c[i + 1] = i * 5 % 11 / 8 - 0.5 end
  return leaf(x), leaf(c), leaf(dy)
end

describe("a spline as Function", function()
  it("has PyTorch's value, first and second gradients", function()
    local x, c, dy = spline_inputs()
    local y = Spline(x, c, H)
    local dx, dc = grad(y, {x, c}, {grad_outputs = {dy}, create_graph = true})
    local xx, cc, ydy = grad((dx ^ 2):sum() + (dc ^ 3):sum(), {x, c, dy})
    for name, t in pairs {y = y, dx = dx, dc = dc, xx = xx, cc = cc, ydy = ydy} do
      assert_close(golden[name], t:tolist(), name)
    end
  end)

  it("trains through both as in PyTorch", function()
    local x, c = spline_inputs()
    local target, losses = sq.sin(2 * x:detach()), {}
    for i = 1, 40 do
      local y = Spline(x, c, H)
      local g = grad(y:sum(), x, {create_graph = true})
      local loss = ((y - target) ^ 2):mean() + 0.01 * (g ^ 2):mean()
      local dc = grad(loss, c)
      sq.no_grad(function() c:sub_(0.5 * dc) end)
      losses[i] = loss:item()
    end
    assert_close(golden.losses, losses, "loss")
  end)

  it("passes gradcheck and gradgradcheck", function()
    local x, c = spline_inputs()
    x = (x:detach() + 1 / 32):requires_grad_() -- not on knots
    assert.is_true(sq.autograd.gradcheck(Spline, {x, c, H}))
    assert.is_true(sq.autograd.gradgradcheck(Spline, {x, c, H}, nil, 1e-4, 1e-5, 1e-8))
    assert.is_true(sq.autograd.gradgradcheck(Exp.apply, leaf {0.5, -1}))
    local half = Function "Half"
    function half.forward(_, v) return v ^ 2 end
    function half.backward(_, dy) return dy end
    fails(function() sq.autograd.gradcheck(half, leaf {1, 2}) end, "[gradcheck] input 1, element (1)")
  end)
end)

-- --- meaning ---------------------------------------------------------------------------------------------------------------

describe("autograd.Function", function()
  it("records the call under its name and nothing inside", function()
    local seen
    local Look = Function "Look"
    function Look.forward(_, x)
      seen = {sq.is_grad_enabled(), (x * 2).requires_grad}
      return x * 2
    end
    function Look.backward(_, dy)
      seen = {sq.is_grad_enabled(), dy.requires_grad}
      return dy * 2
    end
    local x = leaf {1, 2}
    local y = Look(x)
    assert.same({false, false}, seen)
    assert.equal("Look", y.grad_fn)
    assert.is_true(y.requires_grad)
    y:sum():backward()
    assert.same({false, false}, seen)
    assert.same({2, 2}, x.grad:tolist())
    grad(Look(x):sum(), x, {create_graph = true})
    assert.is_true(seen[1])
    sq.no_grad(function() Look(x):detach() end)
    assert.is_true(sq.is_grad_enabled())
    assert.is_false(sq.no_grad(Look, x).requires_grad)
    assert.is_false(Look(double {1}).requires_grad)
  end)

  it("has gradients of any order, through inputs and through results", function()
    local x = leaf {2}
    local g, want = Cube(x), {12, 12, 6}
    for order = 1, 3 do
      g = grad(g:sum(), x, {create_graph = true})
      assert.same({want[order]}, g:tolist())
    end
    g = Exp(x)
    for _ = 1, 4 do
      g = grad(g:sum(), x, {create_graph = true})
      assert_close({math.exp(2)}, g:tolist(), "exp")
    end
    local y = Cube(x) * Exp(x)
    local first = sq.no_grad(grad, y:sum(), x, {create_graph = true})
    local e = math.exp(2)
    assert_close({20 * e}, first:tolist(), "first")
    assert_close({44 * e}, (grad(first:sum(), x)):tolist(), "second")
  end)

  it("takes several arguments and gives several results, also such that are no tensors", function()
    local got
    local Many = Function "Many"
    function Many.forward(ctx, x, name, w, none)
      assert.is_nil(none)
      ctx:save_for_backward(x, nil, w)
      assert.same({true, false, true, false}, ctx.needs_input_grad)
      local place = x:argmax()
      return x * w, name, place, w:clone()
    end
    function Many.backward(ctx, dy, name, place, dw)
      got = {name, place, dw:tolist(), {table.unpack(ctx.needs_input_grad, 1, 4)}}
      local x, none, w = ctx:saved()
      assert.is_nil(none)
      assert.equal(3, ctx.saved_tensors.n)
      return dy * w, nil, dy * x + dw
    end
    local x, w = leaf {1, 2}, leaf {3, 4}
    local y, name, place, copy = Many(x, "here", w, nil)
    assert.equal("here", name)
    assert.equal(1, place:item())
    assert.is_false(place.requires_grad)
    assert.equal("Many", copy.grad_fn)
    y:sum():backward {retain_graph = true}
    assert.same({[3] = {0, 0}, [4] = {true, false, true, false}}, got) -- zeros where none arrived
    assert.same({{3, 4}, {1, 2}}, {x.grad:tolist(), w.grad:tolist()})
    assert.same({4, 5}, (grad((copy * 3 + y):sum(), w, {retain_graph = true})):tolist())
    assert.same({false, false, true, false}, got[4]) -- only what is asked for
  end)

  it("gives nil for a result without a gradient where told to, and marks results", function()
    local got
    local Two = Function "Two"
    function Two.forward(ctx, x)
      local sign = x:sign()
      ctx:mark_non_differentiable(sign)
      ctx:set_materialize_grads(false)
      return x:abs(), sign, x * 2
    end
    function Two.backward(_, a, sign, b)
      got = {a, sign, b and b:tolist()}
      return b
    end
    local x = leaf {-1, 2}
    local _, sign, twice = Two(x)
    assert.is_false(sign.requires_grad)
    twice:sum():backward()
    assert.same({nil, nil, {1, 1}}, got)
  end)

  it("sums gradients to the input's shape and takes them in its dtype, as PyTorch does", function()
    local Wide = Function "Wide"
    function Wide.forward(_, x) return x:expand(3, 2):clone() end
    function Wide.backward(_, dy) return dy:double() end
    local x = sq.tensor({1., 2.}, {requires_grad = true})
    Wide(x):sum():backward()
    assert.same({3, 3}, x.grad:tolist())
    assert.equal("float32", x.grad.dtype)
    assert.equal("float32", grad(Wide(x):sum(), x, {create_graph = true}).dtype)
  end)

  it("takes nil as a gradient of 0", function()
    local None = Function "None"
    function None.forward(_, x, y) return x + y end
    function None.backward(_, dy) return nil, dy end
    local x, y = leaf {1}, leaf {2}
    None(x, y):backward()
    assert.is_nil(x.grad)
    assert.same({1}, y.grad:tolist())
  end)

  it("puts Tensors in fields of ctx back on the tape too", function()
    local Plain = Function "Plain"
    function Plain.forward(ctx, x)
      ctx.x, ctx.scale = x, 2
      ctx.y = x ^ 2 * ctx.scale
      return ctx.y
    end
    function Plain.backward(ctx, dy)
      assert.is_nil(ctx.extra)
      ctx.extra = dy
      return dy * ctx.y * 2 / ctx.x
    end
    assert.is_true(sq.autograd.gradcheck(Plain, leaf {1, -2}))
    assert.is_true(sq.autograd.gradgradcheck(Plain, leaf {1, -2}))
  end)

  it("gives results of their own memory", function()
    local Same = Function "Same"
    function Same.forward(_, x) return x, x:view(2, 1) end
    function Same.backward(_, a, b) return a + b:view(2) end
    local x = leaf {1, 2}
    local a, b = Same(x)
    a:mul_(2)
    assert.same({1, 2}, x:tolist())
    assert.same({{1}, {2}}, b:tolist())
    ;(a:sum() + b:sum()):backward()
    assert.same({3, 3}, x.grad:tolist())
  end)

  it("is part of a module, and of another's backward", function()
    local Net = sq.nn.Module "Net"
    function Net:init() self.line = sq.nn.Linear(2, 1) end
    function Net:forward(x) return Cube(self.line(x)) end
    local net = Net()
    net(sq.ones(3, 2)):sum():backward()
    assert.is_not_nil(net.line.weight.grad)
    local Outer = Function "Outer" -- recomputes, as checkpoint does
    function Outer.forward(ctx, x)
      ctx:save_for_backward(x)
      return Cube(x)
    end
    function Outer.backward(ctx, dy)
      local x = ctx:saved():detach():requires_grad_()
      local y = sq.enable_grad(Cube, x)
      return (grad(y, x, {grad_outputs = {dy}}))
    end
    local x = leaf {2}
    Outer(x):backward()
    assert.same({12}, x.grad:tolist())
  end)

  it("may go back through the graph it is part of", function()
    local x, inner = leaf {1, 2}, nil
    local Inside = Function "Inside"
    function Inside.forward(ctx, h)
      ctx:save_for_backward(h)
      return h * 2
    end
    function Inside.backward(ctx, dy)
      local h = ctx:saved()
      inner = sq.enable_grad(function() return grad((h * h):sum(), x, {retain_graph = true}) end)
      return dy * 2
    end
    local h = x * 3
    ;(h:sum() + Inside(h):sum() + (h * h):sum()):backward()
    assert.same({18, 36}, inner:tolist())
    assert.same({3 + 6 + 18, 3 + 6 + 36}, x.grad:tolist()) -- nothing of the two was mixed
  end)

  it("works in a coroutine", function()
    local x = leaf {2}
    local co = coroutine.wrap(function()
      local y = Cube(x)
      coroutine.yield()
      y:backward()
    end)
    co()
    collectgarbage()
    co()
    assert.same({12}, x.grad:tolist())
  end)
end)

-- --- what is wrong ---------------------------------------------------------------------------------------------------------

local function bad(backward)
  local Bad = Function "Bad"
  function Bad.forward(ctx, x, k)
    ctx:save_for_backward(x)
    return x * k
  end
  Bad.backward = backward
  return function() Bad(leaf {1, 2, 3}, 2):sum():backward() end
end

describe("a wrong autograd.Function", function()
  it("is told the script's line, its name and what was expected", function()
    local here = "function_spec.lua:"
    fails(bad(function(_, dy) return dy:view(2, 2) end), here, "[view]", "(in the backward of Bad)")
    fails(bad(function() error "mine" end), here, "mine (in the backward of Bad)")
    fails(bad(function() end), here, "[Bad] backward gave 0 gradients: forward had 2 arguments, and argument 1 is a Tensor")
    fails(bad(function(_, dy) return dy, nil, dy end), "[Bad] backward gave 3 gradients: forward had 2 arguments")
    fails(bad(function(_, dy) return dy, dy end), "a gradient for argument 2, which was no Tensor: give nil")
    fails(bad(function() return 3 end), here, "[Bad] backward gave a number as gradient 1: a Tensor or nil")
    fails(bad(function() return sq.ones(2) end), "[Bad] backward gave a gradient of shape (2) for tensor 1 at ", here,
      "whose shape is (3)")
    fails(bad(function() return sq.ones(1) end), "gradient of shape (1)")
    fails(bad(function() return sq.tensor({1, 2, 3}, "int64") end), "a gradient of dtype int64")
    fails(bad(nil), "[Bad] it has no backward")
    fails(function() Function "" end, here, "a class needs a name")
    fails(function() Function "Empty" (leaf {1}) end, here, "[Empty] it has no forward")
    local Four = Function "Four"
    function Four.forward(_, x) return x * 1, x * 2, x * 3, x * 4 end
    fails(function() Four(leaf {1}) end, here, "[Four] forward gave 4 Tensors: 3 at most")
    local Early = Function "Early"
    function Early.forward(ctx) return ctx:saved() end
    fails(function() Early(leaf {1}) end, here, "handed out in backward only")
    function Early.forward(ctx) ctx:save_for_backward(3) end
    fails(function() Early(leaf {1}) end, here, "[save_for_backward] argument 1 is a number")
  end)

  it("keeps an error that is no text, and leaves everything as it was", function()
    local reason = {}
    local ok, err = pcall(bad(function() error(reason) end))
    assert.is_false(ok)
    assert.equal(reason, err)
    assert.is_true(sq.is_grad_enabled())
    local x = leaf {2}
    local fine = Cube(x)
    fine:backward()
    assert.same({12}, x.grad:tolist())
  end)

  it("may not yield in backward", function()
    local co = coroutine.wrap(bad(function(_, dy)
      coroutine.yield()
      return dy
    end))
    fails(co, "attempt to yield across a C-call boundary")
  end)

  it("refuses tensors that were changed since, and a second backward", function()
    local x = leaf {1, 2}
    local h = x * 1
    local y = Cube(h)
    h:add_(1)
    fails(function() y:sum():backward() end, "[Cube] a tensor of shape (2) that it saved for backward at ", "changed in place")
    local z = Exp(x)
    sq.no_grad(function() z:mul_(2) end)
    fails(function() z:sum():backward() end, "[Exp] a tensor of shape (2)", "changed in place")
    local w = Cube(x)
    w:sum():backward {retain_graph = true}
    w:sum():backward()
    assert.same({6, 24}, x.grad:tolist())
    fails(function() w:sum():backward() end, "[Cube] backward a second time", "retain_graph = true")
  end)

  it("is named by anomaly mode", function()
    fails(function()
      local _ <close> = sq.detect_anomaly()
      bad(function() return sq.tensor {1, 0 / 0, 3} end)()
    end, "[Bad] its backward made NaN", "function_spec.lua:")
  end)
end)

-- --- memory ----------------------------------------------------------------------------------------------------------------

describe("the graph of an autograd.Function", function()
  local Knot = Function "Knot" -- holds whatever could hold it
  function Knot.forward(ctx, x)
    ctx.me, ctx.x, ctx.y = {ctx}, x, x:exp()
    ctx:save_for_backward(x, ctx.y)
    return ctx.y, ctx.y * 2
  end
  function Knot.backward(ctx, dy)
    ctx.late, ctx.kept = dy * ctx.y, ctx.saved_tensors
    return ctx.late
  end

  it("goes when its results go", function()
    local x = leaf {1, 2}
    assert_flat(function() Knot(x) end)
    assert_flat(function()
      local h = x * 1
      local y = Knot(h)
      h:add_(y) -- an input becomes a result
    end)
    assert_flat(function() Knot(x):sum():backward() end)
    assert_flat(function() grad(Knot(x):sum(), x, {create_graph = true}) end)
    assert_flat(function()
      local w = leaf {1, 2}
      Knot(w):sum():backward {create_graph = true}
    end)
    assert_flat(function() pcall(bad(function() error "no" end)) end)
  end)

  it("is let go of by what a module that ctx holds last gave, once it went back", function()
    local x = leaf {1, 2}
    local Held = Function "Held"
    function Held.forward(ctx, v, holder)
      ctx.holder = holder
      return v * 2
    end
    function Held.backward(_, dy) return dy * 2 end
    assert_flat(function()
      local holder = {}
      holder.last = Held(x, holder)
      holder.last:sum():backward()
    end)
  end)

  it("does not grow over 300 steps of training", function()
    local net = sq.nn.Sequential(sq.nn.Linear(4, 8), sq.nn.Linear(8, 1))
    local optimizer = sq.optim.SGD(net:parameters(), {lr = 1e-3})
    local x = sq.rand(16, 4)
    local function steps(n)
      for _ = 1, n do
        optimizer:zero_grad()
        local y = Cube(net[2](Exp(net[1](x))))
        y:mean():backward()
        optimizer:step()
      end
    end
    steps(10)
    local blocks, bytes = live(), sq.memory_stats().live_bytes
    steps(300)
    assert.is_true(live() <= blocks)
    assert.is_true(sq.memory_stats().live_bytes <= bytes)
  end)

  it("survives every allocation that fails", function()
    local x = leaf {1, 2}
    local function step()
      local y, z = Knot(x)
      return grad((y + z):sum(), x, {create_graph = true}):tolist()
    end
    local want = step()
    local before, passed = live(), false
    for n = 0, 500 do
      sq.fail_allocations(n, -1)
      local ok, got = pcall(step)
      sq.fail_allocations(-1)
      passed = ok
      if ok then
        assert.same(want, got)
        break
      end
      assert.is_true(live() <= before + 1, tostring(got))
    end
    assert.is_true(passed)
    assert.same(want, step())
  end)
end)

-- --- the program -----------------------------------------------------------------------------------------------------------

describe("the program with an autograd.Function", function()
  local SCRIPT = [[
    local sq = require "seqrt"
    local Named = sq.autograd.Function "Named"
    function Named.forward(_, x) return x * 2 end
    function Named.backward(_, dy) return dy * 2 end
    Named(sq.ones(3, {requires_grad = true})):sum():backward()
  ]]

  it("names it in a profile", function()
    local path = support.write(support.tmpdir() .. "/function.lua", SCRIPT)
    local _, out = support.run {"--profile", path}
    assert.matches("Named", out)
  end)
end)

-- create_graph_spec.lua: gradients of gradients: PyTorch's meaning of the options, PyTorch's numbers of whole trainings
-- (spec/golden/graph.lua), and graphs that do not outlive what needs them.
local sq = require "seqrt"
local nn, optim = sq.nn, sq.optim
local F = nn.functional
local golden = require "spec.golden.graph"

local function rand(...) return sq.rand(...):double() end
local function leaf(...) return sq.tensor(...):double():requires_grad_() end

local function assert_close(want, got, tolerance, what)
  local close = math.abs(want - got) <= tolerance * math.max(1, math.abs(want))
  assert(close, ("%s: PyTorch has %.16g, here it is %.16g"):format(what, want, got))
end

local function assert_rows(want, got, tolerance)
  assert.equal(#want, #got)
  for i, row in ipairs(want) do
    assert.equal(#row, #got[i])
    for k, v in ipairs(row) do assert_close(v, got[i][k], tolerance, ("row %d, number %d"):format(i, k)) end
  end
end

describe("create_graph", function()
  it("records gradients, to any order", function()
    local x = leaf {2, -1}
    local g = sq.autograd.grad((x ^ 5):sum(), x, {create_graph = true})
    assert.is_true(g.requires_grad)
    assert.is_false(g.is_leaf)
    local want = {{80, 5}, {160, -20}, {240, 60}, {240, -120}, {120, 120}, {0, 0}}
    for order = 1, 6 do
      assert.same(want[order], g:tolist())
      if order < 6 then g = sq.autograd.grad(g:sum(), x, {create_graph = true}) end
    end
  end)

  it("leaves recorded gradients in leaves, added up", function()
    local x = leaf {3}
    ;(x * x * x):sum():backward {create_graph = true}
    assert.same({27}, x.grad:tolist())
    assert.is_true(x.grad.requires_grad)
    local first = x.grad
    ;(x * x):sum():backward {create_graph = true}
    assert.same({33}, x.grad:tolist())
    assert.same({27}, first:tolist()) -- a new tensor, not the old one changed
    assert.same({20}, (sq.autograd.grad(x.grad:sum(), x)):tolist())
    sq.optim.SGD({x}, {lr = 0.1}):zero_grad(false)
    assert.same({0}, x.grad:tolist())
    assert.is_false(x.grad.requires_grad)
  end)

  it("keeps the graph unless told otherwise", function()
    local x = leaf {2}
    local y = (x:exp() * x):sum()
    sq.autograd.grad(y, x, {create_graph = true})
    sq.autograd.grad(y, x)
    assert.has_error.matches(function() sq.autograd.grad(y, x) end, "a second time")
    local z = (x:exp() * x):sum()
    sq.autograd.grad(z, x, {create_graph = true, retain_graph = false})
    assert.has_error.matches(function() sq.autograd.grad(z, x) end, "a second time")
  end)

  it("records under no_grad too, and nothing without it", function()
    local x = leaf {2}
    local y = (x * x):sum()
    sq.no_grad(function() assert.is_true(sq.autograd.grad(y, x, {create_graph = true}).requires_grad) end)
    assert.is_true(sq.is_grad_enabled())
    assert.is_false(sq.autograd.grad(y, x).requires_grad)
  end)

  it("takes what comes from above as it is, with its own graph", function()
    local x, v = leaf {1, 2}, leaf {3, 5}
    local g = sq.autograd.grad(x * x, x, {grad_outputs = {v}, create_graph = true})
    assert.same({6, 20}, g:tolist())
    local dv = sq.autograd.grad(g:sum(), v)
    assert.same({2, 4}, dv:tolist())
  end)

  it("goes back only through what leads to the inputs", function()
    local x, w = leaf {2}, leaf {3}
    local a = w:exp()
    local y = (a * x):sum()
    sq.autograd.grad(y, x)
    assert.has_error.matches(function() y:backward() end, "%[mul%] backward a second time")
    a:sum():backward() -- exp lay off the way: what it saved is still there
    assert_close(math.exp(3), w.grad:item(), 1e-12, "w.grad")
    local unused, none = sq.autograd.grad((x * 2):sum(), {x, w}, {allow_unused = true, create_graph = true})
    assert.same({2}, unused:tolist())
    assert.is_nil(none)
  end)

  it("sees what was changed in place, and gradients through views and changes of them", function()
    local x = leaf {1, 2, 3}
    local y = x:exp()
    local z = (y * y):sum()
    sq.no_grad(function() y:detach():add_(1) end)
    assert.has_error.matches(function() sq.autograd.grad(z, x, {create_graph = true}) end, "was changed in place")
    assert.is_true(sq.autograd.gradgradcheck(function(a)
      local b = a * 1
      local window = b[{{2, 3}}]
      window:mul_(a[{{1, 2}}])
      b[1] = a[2] * a[3]
      return b:view(3):sigmoid(), window:exp()
    end, x))
    assert.is_true(sq.autograd.gradgradcheck(function(a) return (a * a):tanh_() * a end, x))
  end)

  it("uses the mask that dropout drew", function()
    local x = sq.rand(100, {dtype = "float64", requires_grad = true})
    local y = F.dropout(x, 0.5) ^ 3
    local g = sq.autograd.grad(y:sum(), x, {create_graph = true})
    local h = sq.autograd.grad(g:sum(), x)
    local noise = y:detach():ne(0):double() * 2
    assert.is_true(sq.allclose(g, 3 * noise ^ 3 * x ^ 2))
    assert.is_true(sq.allclose(h, 6 * noise ^ 3 * x))
  end)

  it("is the ordinary gradient over several slices of a batch", function()
    sq.manual_seed(3)
    for _, kind in ipairs {"RNN", "LSTM", "GRU"} do
      local rnn = nn[kind](3, 5, {num_layers = 2, bidirectional = true, batch_first = true, dtype = "float64"})
      local x = sq.rand(70, 4, 3, {dtype = "float64", requires_grad = true})
      local inputs = {x, table.unpack(rnn:parameters())}
      local y = rnn(x):pow(2):sum()
      local plain = {sq.autograd.grad(y, inputs, {retain_graph = true})}
      local recorded = {sq.autograd.grad(y, inputs, {create_graph = true})}
      for i, a in ipairs(plain) do
        local scale = a:abs():max():item()
        local close = (a - recorded[i]):abs():max():item() <= 1e-12 * scale
        assert(close, kind)
      end
    end
  end)

  it("has the same bits with any number of threads", function()
    local function penalised(threads)
      sq.set_num_threads(threads)
      sq.manual_seed(1)
      local net = nn.Sequential(nn.Conv2d(2, 8, 3, 1, 1), nn.LayerNorm {8, 12, 12}, nn.SiLU(), nn.Flatten(),
        nn.Linear(1152, 32), nn.Tanh())
      local x = sq.randn(16, 2, 12, 12):requires_grad_()
      local g = sq.autograd.grad(net(x):sum(), x, {create_graph = true})
      g:pow(2):sum():backward()
      return {x.grad, net[1].weight.grad, net[2].weight.grad}
    end
    local before = sq.get_num_threads()
    local one = penalised(1)
    for threads = 2, 4 do
      for i, g in ipairs(penalised(threads)) do assert.is_true(sq.equal(one[i], g)) end
    end
    sq.set_num_threads(before)
  end)

  it("is seen by anomaly mode", function()
    local x = leaf {0}
    local g = sq.autograd.grad(x:sqrt():sum() * 0, x, {create_graph = true})
    assert.is_true(sq.isnan(g):any():item())
    sq.detect_anomaly(function()
      local y = x:pow(1.5):sum()
      local d = sq.autograd.grad(y, x, {create_graph = true})
      assert.has_error.matches(function() d:backward() end, "%[pow%] its backward made Inf.*create_graph_spec.lua:")
    end)
  end)
end)

describe("gradients of gradients are PyTorch's:", function()
  local function penalty(D, x)
    x:requires_grad_()
    local g = sq.autograd.grad(D(x):sum(), x, {create_graph = true})
    return ((g:flatten(2):norm(2, 2) - 1) ^ 2):mean()
  end

  -- One step of WGAN-GP.
  local function wgan(G, D, shape)
    local options = {lr = 1e-3, betas = {0.5, 0.9}}
    local opt_G, opt_D = optim.Adam(G:parameters(), options), optim.Adam(D:parameters(), options)
    local ones = {}
    for i = 1, #shape do ones[i] = 1 end
    return function()
      local x, z = rand(16, table.unpack(shape)) * 2 - 1, rand(16, 6) * 2 - 1
      local t = rand(16, table.unpack(ones))
      local fake = G(z):detach()
      local gp = penalty(D, x * t + fake * (1 - t))
      local loss_D = D(fake):mean() - D(x):mean() + 10 * gp
      opt_D:zero_grad()
      loss_D:backward()
      opt_D:step()
      local loss_G = -D(G(z)):mean()
      opt_G:zero_grad()
      loss_G:backward()
      opt_G:step()
      return {loss_D:item(), gp:item(), loss_G:item()}
    end
  end

  local function mlp()
    sq.manual_seed(1)
    local G = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))
    local D = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 16), nn.Softplus(), nn.Linear(16, 1))
    return wgan(G:double(), D:double(), {2})
  end

  local function conv()
    sq.manual_seed(2)
    local G = nn.Sequential(nn.Linear(6, 16), nn.Unflatten(2, {4, 2, 2}), nn.ReLU(), nn.ConvTranspose2d(4, 1, 4, 2, 1),
      nn.Tanh())
    local D = nn.Sequential(nn.Conv2d(1, 4, 3, 1, 1), nn.LayerNorm {4, 4, 4}, nn.LeakyReLU(0.2), nn.Conv2d(4, 6, 2, 2),
      nn.SiLU(), nn.Flatten(), nn.Linear(24, 1))
    return wgan(G:double(), D:double(), {1, 4, 4})
  end

  local function rows(step)
    local got = {}
    for i = 1, 100 do got[i] = step() end
    return got
  end

  it("WGAN-GP with a critic of linear layers", function() assert_rows(golden.wgan_mlp, rows(mlp()), 1e-10) end)
  it("WGAN-GP with a critic of convolutions and LayerNorm", function()
    assert_rows(golden.wgan_conv, rows(conv()), 1e-10)
  end)

  it("a PINN of second order", function()
    sq.manual_seed(3)
    local net = nn.Sequential(nn.Linear(1, 12), nn.Tanh(), nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 1)):double()
    local opt = optim.Adam(net:parameters(), {lr = 5e-3})
    assert_rows(golden.pinn, rows(function()
      local x = (rand(16, 1) * 6):requires_grad_()
      local u = net(x)
      local d = sq.autograd.grad(u:sum(), x, {create_graph = true})
      local dd = sq.autograd.grad(d:sum(), x, {create_graph = true})
      local loss = (dd + u):square():mean() + (d[{1}] - x[{1}]:cos()):square():sum()
      opt:zero_grad()
      loss:backward()
      opt:step()
      return {loss:item()}
    end), 1e-10)
  end)

  it("MAML with three steps inside", function()
    sq.manual_seed(4)
    local w = {}
    for i, s in ipairs {{8, 3}, {8}, {2, 8}, {2}} do w[i] = (rand(s) - 0.5):requires_grad_() end
    local x, y, x2, y2 = rand(5, 3), rand(5, 2), rand(5, 3), rand(5, 2)
    local function net(p, at) return F.linear(F.linear(at, p[1], p[2]):tanh(), p[3], p[4]) end
    local p = w
    for _ = 1, 3 do
      local g, moved = {sq.autograd.grad(F.mse_loss(net(p, x), y), p, {create_graph = true})}, {}
      for i, a in ipairs(p) do moved[i] = a - 0.5 * g[i] end
      p = moved
    end
    local loss = F.mse_loss(net(p, x2), y2)
    loss:backward()
    local got = {{loss:item()}}
    for i, a in ipairs(w) do got[i + 1] = a.grad:flatten():tolist() end
    assert_rows(golden.maml, got, 1e-10)
  end)

  for _, kind in ipairs {"LSTM", "GRU", "RNN"} do
    it("the Hessian of a small " .. kind, function()
      sq.manual_seed(5)
      local rnn = nn[kind](2, 2, {batch_first = true}):double()
      local x, t = rand(3, 4, 2), rand(3, 4, 2)
      local p = rnn:parameters()
      local function flat(gradients)
        for i, g in ipairs(gradients) do gradients[i] = g:flatten() end
        return sq.cat(gradients)
      end
      local loss = F.mse_loss(rnn(x), t) + rnn(x)[{{}, -1}]:pow(3):sum()
      local first, got = flat {sq.autograd.grad(loss, p, {create_graph = true})}, {}
      for i = 1, first:numel() do got[i] = flat({sq.autograd.grad(first[i], p, {retain_graph = true})}):tolist() end
      assert_rows(golden[kind:lower()], got, 1e-8)
    end)
  end

  -- Bytes and blocks that live after a step.
  local function living()
    collectgarbage()
    collectgarbage()
    local m = sq.memory_stats()
    return m.live_blocks
  end

  for name, make in pairs {["linear layers"] = mlp, ["convolutions and LayerNorm"] = conv} do
    it("300 steps of WGAN-GP with " .. name .. " leave nothing behind", function()
      local step = make()
      for _ = 1, 5 do step() end
      local before = living()
      for _ = 1, 300 do step() end
      assert.equal(before, living())
    end)
  end

  it("a leaf whose gradient is recorded goes when it is forgotten", function()
    local before = living()
    for _ = 1, 20 do
      local net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.LSTM(4, 2)):double()
      local x = rand(2, 3, 3):requires_grad_()
      local y = net[3](net[2](net[1](x))):pow(2):sum()
      local kept = (x * 2):retain_grad()
      local loss = y + (kept * kept):sum()
      loss:backward {create_graph = true}
      assert.is_true(net[1].weight.grad.requires_grad)
      x.grad = x * x -- set by hand
      local b = net[1].bias
      b.grad:mul_(b) -- and changed in place, recorded
    end
    assert.equal(before, living())
  end)

  it("a leaf that is gone before its gradient comes keeps nothing", function()
    local before = living()
    for _ = 1, 20 do
      local function make()
        local x = rand(3):requires_grad_()
        return (x * 2):exp():sum() + (rand(3):requires_grad_() * 3):retain_grad():tanh():sum()
      end
      local y = make()
      collectgarbage()
      collectgarbage()
      y:backward {create_graph = true}
    end
    assert.equal(before, living())
  end)
end)

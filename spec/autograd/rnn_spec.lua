-- rnn_spec.lua: recurrent layers over a whole sequence against the same formulas written step by step.
local sq = require "seqrt"
local nn = sq.nn

local function random(...) return sq.randn({...}, {dtype = "float64"}) end

local function gate(w, b, k, H) return w[{{(k - 1) * H + 1, k * H}}], b[{{(k - 1) * H + 1, k * H}}] end

-- One step out of tensor operations; the weights are nn.LSTM's, gates i f g o.
local function lstm_step(m, suffix, x, h, c)
  local H = h:size(2)
  local function pre(k)
    local wi, bi = gate(m["weight_ih_" .. suffix], m["bias_ih_" .. suffix], k, H)
    local wh, bh = gate(m["weight_hh_" .. suffix], m["bias_hh_" .. suffix], k, H)
    return x:matmul(wi:t()) + bi + h:matmul(wh:t()) + bh
  end
  local i, f, g, o = pre(1):sigmoid(), pre(2):sigmoid(), pre(3):tanh(), pre(4):sigmoid()
  c = f * c + i * g
  return o * c:tanh(), c
end

local function rnn_step(m, suffix, x, h, c, nonlinearity)
  local pre = x:matmul(m["weight_ih_" .. suffix]:t()) + m["bias_ih_" .. suffix]
    + h:matmul(m["weight_hh_" .. suffix]:t()) + m["bias_hh_" .. suffix]
  return nonlinearity == "relu" and pre:relu() or pre:tanh(), c
end

-- A stack of layers and directions, x (T,B,I).
local function by_steps(m, step, x, h0, c0, layers, directions, nonlinearity)
  local T, hs, cs = x:size(1), {}, {}
  for layer = 1, layers do
    local sides = {}
    for d = 1, directions do
      local k = (layer - 1) * directions + d
      local h, c, out = h0[k], c0 and c0[k], {}
      local suffix = "l" .. (layer - 1) .. (d == 2 and "_reverse" or "")
      for n = 1, T do
        local t = d == 2 and T + 1 - n or n
        h, c = step(m, suffix, x[t], h, c, nonlinearity)
        out[t] = h
      end
      sides[d], hs[k], cs[k] = sq.stack(out, 1), h, c
    end
    x = directions == 2 and sq.cat(sides, -1) or sides[1]
  end
  return x, sq.stack(hs, 1), c0 and sq.stack(cs, 1)
end

-- The largest difference of two tensors over 1 + the size of the second; NaN fails.
local function close(a, b, tolerance)
  local worst = ((a - b):abs() / (b:abs() + 1)):max():item()
  assert.is_true(worst <= tolerance, ("differ by %g"):format(worst))
end

local function gradients(outputs, weights, parameters)
  local loss
  for i, y in ipairs(outputs) do
    local part = (y * weights[i]):sum()
    loss = loss and loss + part or part
  end
  for _, p in ipairs(parameters) do p.grad = nil end
  loss:backward()
  local grads = {}
  for i, p in ipairs(parameters) do grads[i] = p.grad end
  return grads
end

local function compare(class, step, B, T, I, H, options)
  options.dtype = "float64"
  local layers, directions = options.num_layers or 1, options.bidirectional and 2 or 1
  local m = nn[class](I, H, options)
  local x = random(T, B, I):requires_grad_()
  local h0 = random(layers * directions, B, H):requires_grad_()
  local c0 = class == "LSTM" and random(layers * directions, B, H):requires_grad_() or nil
  local input = options.batch_first and x:transpose(1, 2) or x
  local fused = c0 and {m(input, h0, c0)} or {m(input, h0)}
  if options.batch_first then fused[1] = fused[1]:transpose(1, 2) end
  local plain = {by_steps(m, step, x, h0, c0, layers, directions, options.nonlinearity)}
  local weights, all = {}, m:parameters()
  for i, y in ipairs(plain) do
    close(fused[i], y, 1e-12)
    weights[i] = random(table.unpack(y.shape))
  end
  for _, t in ipairs {x, h0, c0} do all[#all + 1] = t end
  local got, want = gradients(fused, weights, all), gradients(plain, weights, all)
  for i in ipairs(all) do close(got[i], want[i], 1e-10) end
end

describe("a recurrent layer over a sequence", function()
  local cases = {
    {"of one row and one step", 1, 1, 2, 3, {}},
    {"of a slice and a bit", 33, 4, 3, 5, {}},
    {"with the batch first", 5, 4, 3, 5, {batch_first = true}},
    {"of two layers", 5, 3, 2, 4, {num_layers = 2}},
    {"in both directions", 5, 3, 2, 4, {bidirectional = true}},
    {"of two layers in both directions, batch first", 18, 3, 2, 4,
      {num_layers = 2, bidirectional = true, batch_first = true}},
  }
  local function run(class, step, case, nonlinearity)
    local name, B, T, I, H, options = table.unpack(case)
    local own = {nonlinearity = nonlinearity}
    for key, value in pairs(options) do own[key] = value end
    it(("is the %s's formulas, %s"):format(class, name), function()
      sq.manual_seed(1)
      compare(class, step, B, T, I, H, own)
    end)
  end
  for i, case in ipairs(cases) do
    run("LSTM", lstm_step, case)
    run("RNN", rnn_step, case, i % 2 == 0 and "relu" or "tanh")
  end

  it("takes an empty batch", function()
    local y, h, c = nn.LSTM(2, 3)(sq.zeros(4, 0, 2))
    assert.equal("(4,0,3)", tostring(y.shape))
    assert.equal("(1,0,3)", tostring(h.shape))
    assert.equal("(1,0,3)", tostring(c.shape))
  end)

  it("takes its state as a list, as PyTorch's tuple", function()
    local x = sq.randn(4, 2, 3)
    local m = nn.LSTM(3, 5)
    local _, h, c = m(x)
    local y, h2, c2 = m(x, h, c)
    for _, options in ipairs {{h, c}, {h0 = h, c0 = c}} do
      local z, h3, c3 = m(x, options)
      assert.is_true(z:equal(y) and h3:equal(h2) and c3:equal(c2))
    end
    for _, class in ipairs {nn.RNN, nn.GRU} do
      m = class(3, 5)
      _, h = m(x)
      assert.is_true(m(x, {h}):equal((m(x, h))))
    end
    m = nn.LSTMCell(3, 5)
    h, c = m(x[1])
    assert.is_true(m(x[1], {h, c}):equal((m(x[1], h, c))))
    for _, class in ipairs {nn.RNNCell, nn.GRUCell} do
      m = class(3, 5)
      h = m(x[1])
      assert.is_true(m(x[1], {h}):equal(m(x[1], h)))
    end
    m = nn.LSTM(3, 5)
    _, h, c = m(x)
    assert.error_matches(function() m(x, {h}) end, "%[LSTM%] the list has 1 Tensor, the state 2; it is called as LSTM%(x")
    assert.error_matches(function() m(x, {h, c, h}) end, "the list has 3 Tensors, the state 2")
    assert.error_matches(function() m(x, {h, c0 = c}) end, "options table has the number 1 as a key")
    assert.error_matches(function() m(x, {h, 3}) end, "c0: expected a Tensor, got the number 3")
    assert.error_matches(function() nn.Linear(3, 1)(x, {h}) end, "%[Linear%] the options table has the number 1")
  end)

  it("says what does not fit", function()
    local m = nn.LSTM(2, 3)
    assert.error_matches(function() m(sq.zeros(4, 5, 3)) end, "x is %(4,5,3%): it must be %(time,batch,2%)")
    assert.error_matches(function() m(sq.zeros(4, 5)) end, "x is %(4,5%): it must be")
    assert.error_matches(function() m(sq.zeros(4, 5, 2), sq.zeros(1, 4, 3)) end, "h0 is %(1,4,3%): it must be %(1,5,3%)")
    assert.error_matches(function() m(sq.zeros(0, 5, 2)) end, "at least one step")
    assert.error_matches(function() nn.LSTM(2, 0) end, "hidden_size is 0: it must be at least 1")
  end)
end)

-- layers_spec.lua: every layer and loss against PyTorch's numbers (spec/golden/layers.lua): results, the gradients of all
-- parameters and inputs, buffers and names, in float64 and float32. A class without numbers fails.
local sq = require "seqrt"
local support = require "spec.lib.support"
local nn = sq.nn

local rtol = {float64 = 1e-10, float32 = 1.3e-6}
local atol = {float64 = 1e-12, float32 = 1e-6}

local is_draw = {} -- the metatable of what is drawn, not given

local cases = {}
assert(loadfile("spec/golden/layers.lua", "t"))(function(case) cases[#cases + 1] = case end,
  function(draw) return setmetatable(draw, is_draw) end, 0 / 0, math.huge)

-- The tensor that layers.py draws: multiples of 1/64 in [lo, hi], int64 in [lo, hi), or bool.
local function draw(spec)
  local kind, shape, lo, hi = table.unpack(spec)
  if kind == "int" then return sq.randint(lo, hi, shape) end
  if kind == "bool" then return sq.randint(0, 2, shape):to "bool" end
  return sq.randint(math.floor(lo * 64 + 0.5), math.floor(hi * 64 + 0.5) + 1, shape):double() / 64
end

-- The same with floats as dtype; `drawn` counts nothing else.
local function value(v, dtype)
  if getmetatable(v) ~= is_draw then return v end
  local t = draw(v)
  return v[1] == "number" and t:to(dtype) or t
end

local function sorted(t)
  local names = {}
  for name in pairs(t) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- A table's values, drawn in the order of its names.
local function values(t, dtype)
  local out = {}
  for _, name in ipairs(sorted(t)) do out[name] = value(t[name], dtype) end
  return out
end

local function is_loss(case) return case[1]:find "Loss$" ~= nil end

assert(nn.MultiheadAttention) -- lists itself when it is loaded

local takes_dtype = {}
for _, row in ipairs(require "seqrt.api".list()) do
  if row.owner == "sq.nn" and row.signature then takes_dtype[row.name] = row.signature:find "dtype: dtype" ~= nil end
end

-- The layer of a case with its parameters and buffers drawn.
local function build(case, n, dtype)
  sq.manual_seed(n)
  local args = values(case[2], dtype)
  if takes_dtype[case[1]] then args.dtype = dtype end
  local layer = nn[case[1]](args):train(case.train)
  sq.manual_seed(1000 + n)
  local function fill(t, lo, hi) t:copy_(draw {"number", t.shape, lo, hi}:to(dtype)) end
  sq.no_grad(function()
    for _, p in ipairs(layer:parameters()) do fill(p, -0.5, 0.5) end
    if is_loss(case) then return end
    for _, b in ipairs(layer:buffers()) do
      if b.dtype == dtype then fill(b, 0.5, 1.5) end
    end
  end)
  return layer
end

-- Compares a tensor with its golden numbers.
local function check(got, want, dtype, what)
  assert.same(want[1], {table.unpack(got.shape)}, what)
  local flat, data = got:reshape(-1):tolist(), want[2]
  local r, a = rtol[dtype], atol[dtype]
  local every = want[3] and #flat // 8 or 1
  assert.equal(#data, (#flat + every - 1) // every, what)
  for i, w in ipairs(data) do
    local g = flat[(i - 1) * every + 1]
    local ok = g == w or (g ~= g and w ~= w) or math.abs(g - w) <= a + r * math.abs(w)
    if not ok then error(("%s: element %d is %.17g, not %.17g"):format(what, (i - 1) * every + 1, g, w), 0) end
  end
  if not want[3] then return end
  local sum, size = 0, 0
  for i, v in ipairs(flat) do sum, size = sum + v * math.cos(i - 1), size + math.abs(v) end
  support.assert_close(sum, want[3], 0, a + r * size, what .. ": the weighted sum")
end

-- A case drawn and called: the layer, all leaves, and the sum of what it gives times numbers that are drawn.
local function call(case, n, dtype, before)
  local layer = build(case, n, dtype)
  local x, leaves = {}, layer:parameters()
  for i, spec in ipairs(case[3]) do
    x[i] = value(spec, dtype)
  end
  local named = values(case[4], dtype)
  for i, spec in ipairs(case[3]) do
    if spec[1] == "number" then leaves[#leaves + 1] = x[i]:requires_grad_() end
  end
  if before then before(leaves) end
  local out
  if next(named) then x[#x + 1] = named end
  for _ = 1, case.times do out = {layer(table.unpack(x))} end
  local loss
  for i in ipairs(case.out) do
    local part = out[i].requires_grad and (out[i] * draw {"number", out[i].shape, -1, 1}:to(dtype)):sum()
    loss = part and (loss and loss + part or part) or loss
  end
  return layer, leaves, out, loss
end

local function run(case, n, dtype)
  local layer, leaves, out, loss = call(case, n, dtype)
  for i, want in ipairs(case.out) do
    check(out[i]:detach(), want, dtype, "result " .. i)
    assert.equal(dtype, out[i].dtype)
  end
  assert.equal(#case.out, #out)
  loss:backward()
  assert.equal(#case.grads, #leaves)
  for i, want in ipairs(case.grads) do
    check(leaves[i].grad or sq.zeros_like(leaves[i]), want, dtype, "gradient " .. i)
  end
  if not is_loss(case) then
    local buffers = layer:buffers()
    assert.equal(#case.buffers, #buffers)
    for i, want in ipairs(case.buffers) do check(buffers[i], want, dtype, "buffer " .. i) end
  end
  return layer
end

-- The sum of a case's gradients, recorded, times numbers that are drawn, and its leaves, moved so far in a direction that is
-- drawn; they stand first where no two numbers are equal.
local function slope_at(case, n, far)
  local generator, directions = sq.Generator(n), {}
  local function drawn(x) return sq.rand(x.shape, {dtype = "float64", generator = generator}) - 0.5 end
  local _, leaves, _, loss = call(case, n, "float64", function(leaves)
    sq.no_grad(function()
      for i, x in ipairs(leaves) do
        directions[i] = drawn(x)
        x:mul_(0.9):add_(0.02 + 0.01 * drawn(x) + far * directions[i]) -- a probability stays one
      end
    end)
  end)
  local slope = sq.zeros({}, {dtype = "float64"})
  for _, g in pairs {sq.autograd.grad(loss, leaves, {create_graph = true, allow_unused = true})} do
    slope = slope + (g * drawn(g)):sum()
  end
  return slope, leaves, directions
end

-- What the gradient of the gradient says of a small step, and what the step makes.
local function second(case, n)
  local slope, leaves, directions = slope_at(case, n, 0)
  local told, eps = 0, 1e-4
  local gradients = slope.requires_grad and table.pack(sq.autograd.grad(slope, leaves, {allow_unused = true})) or {}
  for i, d in ipairs(directions) do
    if gradients[i] then told = told + (gradients[i] * d):sum():item() end
  end
  local function difference(far)
    return (slope_at(case, n, far):item() - slope_at(case, n, -far):item()) / (2 * far)
  end
  return told, (4 * difference(eps / 2) - difference(eps)) / 3
end

describe("PyTorch's numbers", function()
  local kinds = {}
  for n, case in ipairs(cases) do
    local name = case[1]
    if not kinds[name] then
      kinds[name] = {}
      kinds[#kinds + 1] = name
    end
    kinds[name][n] = case
  end

  for _, name in ipairs(kinds) do
    it("are those of nn." .. name, function()
      for _, n in ipairs(sorted(kinds[name])) do
        for _, dtype in ipairs {"float64", "float32"} do
          local ok, text = pcall(run, kinds[name][n], n, dtype)
          assert(ok, ("case %d, nn.%s, %s: %s"):format(n, name, dtype, text))
        end
      end
    end)
  end

  for _, name in ipairs(kinds) do
    it("have gradients of gradients: nn." .. name, function()
      for _, n in ipairs(sorted(kinds[name])) do
        local told, made = second(kinds[name][n], n)
        local close = math.abs(told - made) <= 1e-5 * math.max(math.abs(made), 0.01)
        assert(close, ("case %d: create_graph gives %.10g, differences give %.10g: mend `again` or `compose` of its op "
          .. "(runtime/autograd)"):format(n, told, made))
      end
    end)
  end

  it("have PyTorch's names, in PyTorch's order", function()
    for n, case in ipairs(cases) do
      local names = {}
      local layer = build(case, n, "float64")
      for name in layer:named_parameters() do names[#names + 1] = name end
      for name in layer:named_buffers() do names[#names + 1] = name end
      assert.equal(case.names, table.concat(names, " "), ("case %d, nn.%s"):format(n, case[1]))
    end
  end)

  it("are there for every layer and loss", function()
    local without = {Module = true, Sequential = true, ModuleList = true, Identity = true, Parameter = true} -- compute nothing
    local missing = {}
    for _, row in ipairs(require "seqrt.api".list()) do
      if row.owner == "sq.nn" and row.name:find "^%u%w+$" and not (kinds[row.name] or without[row.name]) then
        missing[#missing + 1] = row.name
      end
    end
    support.assert_numbers(missing, "layers")
    for _, name in ipairs {"Linear", "LSTMCell", "MultiheadAttention", "KLDivLoss"} do assert.is_table(kinds[name]) end
  end)

  it("are read so that a difference of a millionth part shows", function()
    for n, case in ipairs(cases) do
      if case[1] == "LSTM" then
        local want = case.grads[1]
        local wrong = {want[1], {table.unpack(want[2])}, want[3]}
        wrong[2][2] = wrong[2][2] * (1 + 1e-6)
        local changed = setmetatable({grads = {wrong, table.unpack(case.grads, 2)}}, {__index = case})
        assert.is_false(pcall(run, changed, n, "float64"))
        return run(case, n, "float64")
      end
    end
  end)
end)

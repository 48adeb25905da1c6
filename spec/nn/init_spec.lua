-- init_spec.lua: from the same seed the same initial values as PyTorch's (spec/golden/init.lua): of every layer that
-- draws any, bit for bit, and of nn.init; what it refuses, and that nothing is recorded.
local sq = require "seqrt"
local golden = dofile "spec/golden/init.lua"
local support = require "spec.lib.support"
local nn = sq.nn

-- d = 31 d + the number's bits, as init.py's.
local function digest(values)
  local d = 0
  for _, v in ipairs(values) do d = d * 31 + string.unpack("<i8", string.pack("<d", v)) end
  return d
end

-- Compares a tensor with its row of golden numbers. A digest asks for the same bits.
local function check(row, t, dtype, what)
  assert.equal(dtype, t.dtype, what)
  assert.same(row[2], {table.unpack(t.shape)}, what)
  local values = t:reshape(-1):tolist()
  if row.digest then
    assert.same(row.ends, {values[1], values[#values]}, what)
    assert.equal(row.digest, digest(values), what)
    return
  end
  local tolerance = dtype == "float32" and 1e-6 or 1e-13
  local every = math.max(1, #values // 6)
  for k, want in ipairs(row.some) do
    support.assert_close(values[(k - 1) * every + 1], want, tolerance, tolerance, what)
  end
  local sum, weighted, size = 0, 0, 0
  for i, v in ipairs(values) do
    sum, weighted, size = sum + v, weighted + v * math.cos(i - 1), size + math.abs(v)
  end
  support.assert_close(sum, row.sum, 0, tolerance * size, what)
  support.assert_close(weighted, row.weighted, 0, tolerance * size, what)
end

-- The next number of the default generator, which says how many were drawn.
local function next_draw() return sq.rand(1, {dtype = "float64"}):item() end

local function check_layer(row)
  local name, args = row[1], row[2]
  sq.manual_seed(row.seed)
  local layer = nn[name](args)
  local what = ("nn.%s from seed %d, %s"):format(name, row.seed, args.dtype)
  assert.equal(row.after, next_draw(), what .. ": how many numbers were drawn")
  local state, n = layer:state_dict(), 0
  for _ in pairs(state) do n = n + 1 end
  assert.equal(#row - 2, n, what)
  for i = 3, #row do
    local want = row[i]
    local t = assert(state[want[1]], what .. " has no " .. want[1])
    check(want, t, want[1] == "num_batches_tracked" and "int64" or args.dtype, what .. ": " .. want[1])
  end
end

describe("initial values from PyTorch's seed", function()
  local kinds = {}
  for _, row in ipairs(golden.layers) do
    if not kinds[row[1]] then
      kinds[row[1]] = {}
      kinds[#kinds + 1] = row[1]
    end
    table.insert(kinds[row[1]], row)
  end
  for _, name in ipairs(kinds) do
    it("are PyTorch's in nn." .. name, function()
      for _, row in ipairs(kinds[name]) do check_layer(row) end
    end)
  end

  it("are there for every layer that has parameters", function()
    local missing = {}
    for _, row in ipairs(require "seqrt.api".list()) do
      if row.owner == "sq.nn" and row.signature:find "dtype: dtype" and not kinds[row.name] then
        missing[#missing + 1] = row.name
      end
    end
    support.assert_numbers(missing, "init")
  end)

  it("do not depend on the kernels of this machine", function()
    local script = [[
      local sq = require "seqrt"
      sq.manual_seed(3)
      for _, t in ipairs{sq.nn.Linear(33, 9).weight, sq.nn.LSTM(5, 8).weight_hh_l0, sq.nn.Embedding(9, 7).weight} do
        for _, v in ipairs(t:reshape(-1):tolist()) do io.write(("%a "):format(v)) end
      end]]
    local base = support.run({"-e", script}, {env = {SEQRT_ISA = "base"}})
    assert.is_true(#base > 1000)
    assert.equal((support.run {"-e", script}), base)
  end)

  it("with forget_bias differ in the biases of the forget gates alone", function()
    sq.manual_seed(5)
    local plain = nn.LSTM(3, 4, {num_layers = 2, bidirectional = true}):state_dict()
    local after = next_draw()
    sq.manual_seed(5)
    local layer = nn.LSTM(3, 4, {num_layers = 2, bidirectional = true, forget_bias = 1})
    assert.equal(after, next_draw())
    for name, t in layer:named_parameters() do
      local want = plain[name]:clone()
      if name:find "^bias" then want[{{5, 8}}]:fill_(name:find "^bias_ih" and 1 or 0) end
      assert.is_true(want:equal(t:detach()), name)
    end
  end)
end)

describe("nn.init", function()
  local kinds = {}
  for _, row in ipairs(golden.inits) do
    local name = row[4][1]
    if not kinds[name] then
      kinds[name] = {}
      kinds[#kinds + 1] = name
    end
    table.insert(kinds[name], row)
  end

  for _, name in ipairs(kinds) do
    it("has PyTorch's " .. name, function()
      for _, row in ipairs(kinds[name]) do
        local dtype, args, shape, want = table.unpack(row)
        local what = ("%s of (%s), %s"):format(name, table.concat(shape, ","), dtype)
        sq.manual_seed(7)
        local t = sq.zeros(shape, {dtype = dtype, requires_grad = true})
        assert.equal(t, nn.init[name](t, args), what)
        assert.equal(row.after, next_draw(), what .. ": how many numbers were drawn")
        check(want, t:detach(), dtype, what)
        assert.is_true(t.is_leaf and t.requires_grad, what .. " is recorded")
      end
    end)
  end

  it("has numbers for all its functions", function()
    local missing = {}
    for _, row in ipairs(require "seqrt.api".list()) do
      if row.owner == "sq.nn.init" and row.name ~= "calculate_gain" and not kinds[row.name] then
        missing[#missing + 1] = row.name
      end
    end
    support.assert_numbers(missing, "init")
  end)

  it("has PyTorch's gains", function()
    for _, row in ipairs(golden.gains) do
      support.assert_close(nn.init.calculate_gain(row[1], row[2]), row[3], 1e-15, 0, row[1])
    end
  end)

  it("draws from the generator it is given, and from that alone", function()
    for _, name in ipairs {"uniform_", "normal_", "xavier_uniform_", "xavier_normal_", "kaiming_uniform_",
      "kaiming_normal_", "orthogonal_"} do
      sq.manual_seed(9)
      local want = nn.init[name](sq.zeros(4, 3))
      sq.manual_seed(1)
      local first = next_draw()
      sq.manual_seed(1)
      local got = nn.init[name](sq.zeros(4, 3), {generator = sq.Generator(9)})
      assert.is_true(want:equal(got), name)
      assert.equal(first, next_draw(), name)
    end
  end)

  it("makes rows or columns of orthogonal_ orthonormal, also large ones", function()
    for _, shape in ipairs {{64, 200}, {200, 64}, {90, 90}} do
      local q = nn.init.orthogonal_(sq.zeros(shape, {dtype = "float64"}), 2)
      local product = shape[1] < shape[2] and q:matmul(q:t()) or q:t():matmul(q)
      local n = math.min(shape[1], shape[2])
      assert.is_true((product - 4 * sq.eye(n, {dtype = "float64"})):abs():max():item() <= 1e-13)
    end
  end)

  it("says what it can't do, at the script's line", function()
    local cases = {
      {function() nn.init.xavier_uniform_(sq.zeros(3)) end, "[nn.init] the tensor is (3): it needs 2 dims or more"},
      {function() nn.init.kaiming_normal_(sq.zeros(3)) end, "[nn.init] the tensor is (3): it needs 2 dims or more"},
      {function() nn.init.orthogonal_(sq.zeros(3)) end, "[nn.init] the tensor is (3): it needs 2 dims or more"},
      {function() nn.init.kaiming_uniform_(sq.zeros(3, 2), {nonlinearity = "relux"}) end,
        "[nn.init] no gain is known for 'relux' (did you mean 'relu'?)"},
      {function() nn.init.calculate_gain "swish" end, "[nn.init] no gain is known for 'swish': there are conv1d, conv2d, "
        .. "conv_transpose2d, leaky_relu, linear, relu, selu, sigmoid, tanh"},
      {function() nn.init.kaiming_uniform_(sq.zeros(3, 2), {mode = "fan"}) end,
        "[kaiming_uniform_] mode is \"fan\": it must be one of fan_in|fan_out"},
      {function() nn.init.uniform_(3) end, "[uniform_] tensor: expected a Tensor, got the number 3"},
      {function() nn.init.uniform_(sq.zeros(2, {dtype = "int64"})) end,
        "[uniform_] x is int64: it must be float32 or float64"},
      {function() nn.init.uniform_(sq.zeros(2), 1, 0) end, "[uniform_] from is 1, to is 0: from must not be above to"},
      {function() nn.init.normal_(sq.zeros(2), 0, -1) end, "[normal_] std is -1: it must be at least 0"},
      {function() nn.init.constant_(sq.zeros(2)) end, "[constant_] val is missing"},
      {function() nn.init.xavier_uniform_(sq.zeros(2, 2), {gian = 1}) end, "there is no option 'gian' (did you mean 'gain'?)"},
    }
    for i, case in ipairs(cases) do
      local ok, text = pcall(case[1])
      assert.is_false(ok, "case " .. i)
      assert.matches("init_spec%.lua:%d+: ", text)
      assert.is_truthy(text:find(case[2], 1, true), ("case %d: %s"):format(i, text))
    end
  end)
end)

describe("nn.utils", function()
  it("lays parameters out as one vector and back", function()
    local m = nn.LSTM(3, 4)
    local vector = nn.utils.parameters_to_vector(m:parameters())
    assert.equal(m:num_parameters(), vector:numel())
    assert.equal(m.weight_ih_l0[2][3]:item(), vector[6]:item())
    vector:sum():backward()
    for _, p in ipairs(m:parameters()) do assert.is_true(p.grad:equal(sq.ones_like(p))) end
    nn.utils.vector_to_parameters(sq.arange(vector:numel()):float(), m:parameters())
    assert.equal(vector:numel() - 1, m.bias_hh_l0[-1]:item())
    assert.is_true(m.bias_hh_l0.is_leaf)
    local ok, text = pcall(nn.utils.vector_to_parameters, sq.zeros(3), m:parameters())
    assert.is_false(ok)
    assert.matches("%[nn.utils.vector_to_parameters%] vec is %(3%): it must be %(144%)", text)
  end)
end)

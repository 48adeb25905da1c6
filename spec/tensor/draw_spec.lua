-- draw_spec.lua: random fills of any window and any range, and what is refused. The numbers are PyTorch 2.15's from seed 5.
local sq = require "seqrt"

local function close(want, t)
  local got = t:reshape(-1):tolist()
  for i, v in ipairs(want) do
    assert.is_true(math.abs(got[i] - v) <= 1e-4 * math.abs(v) + 1e-4, ("element %d is %s, not %s"):format(i, got[i], v))
  end
end

-- The first elements of what draw() gives from seed 5.
local function draws(want, draw)
  sq.manual_seed(5)
  close(want, draw())
end

describe("a random fill of a window", function()
  local zeros = sq.zeros

  it("goes by its order in memory", function()
    draws({0.8303, 0.1166, 0.6064, 0.1261}, function() return zeros(3, 5):t():uniform_() end)
    draws({0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 1}, function() return zeros(4, 5):t():bernoulli_(0.5) end)
    draws({11, 6, 88, 11, 23, 9, 14, 70, 4}, function() return zeros(2, 3, 4):permute(3, 1, 2):random_(0, 100) end)
    draws({11, 70, 79, 88, 14}, function() return zeros(4, 5, {dtype = "int64"}):t():random_(0, 100) end)
    draws({0.8303, 0.1261, 0.9075, 0.8199, 0.9201}, function() return zeros(2, 3, 4)[{{}, {1, 3, 2}}]:uniform_() end)
  end)

  it("draws normals one by one", function()
    draws({-0.4868, 1.9428, -0.5578, 0.5740, -0.6038}, function() return zeros(4, 5):t():normal_() end)
    draws({-0.4868, -0.6038, -0.5581, 0.6675, -0.1974}, function() return zeros(4, 5)[{{}, {1, 4}}]:normal_() end)
    draws({0.0264, 4.8856, -0.1156, 2.1480, -0.2076}, function() return zeros(4, 5):t():normal_(1, 2) end)
  end)

  it("is what dropout and the _like functions draw", function()
    draws({0, 0, 2, 2, 2, 0, 2, 2, 2, 0, 0, 2}, function() return sq.ones(4, 5):t():dropout(0.5) end)
    draws({0, 2, 2, 2, 2, 0, 0, 0, 0, 2, 2, 2}, function() return sq.ones(4, 5)[{{}, {1, 5, 2}}]:dropout(0.5) end)
    draws({0.8303, 0.8199, 0.1644, 0.9942, 0.1261}, function() return sq.rand_like(sq.ones(4, 3):t()) end)
    draws({-0.4868, 1.9428, -0.5578, 0.5740}, function() return sq.randn_like(sq.ones(4, 5):t()) end)
    assert.is_true(sq.rand_like(sq.ones(4, 3):t()):is_contiguous())
  end)
end)

describe("whole numbers", function()
  it("are drawn as PyTorch draws them from ranges around 2^28, and inwards where floats round", function()
    local function whole(want, draw)
      sq.manual_seed(5)
      assert.same(want, draw():tolist())
    end
    whole({148147046, 236996814, 250105852}, function() return sq.randint(0, (1 << 28) - 1, {3}) end)
    whole({236996814, 80864957, 220060790}, function() return sq.randint(0, 1 << 28, {3}) end)
    whole({-5128320818113132338, 6838803925648402109}, function() return sq.randint(math.mininteger, math.maxinteger, {2}) end)
    whole({4095051218741643470, 2227117907221014205}, function() return sq.zeros(2, {dtype = "int64"}):random_(0, 1 << 62) end)
    whole({148147088, 236996816, 250106048, 80865168}, function() return sq.zeros(4):random_(0, 1 << 28) end)
    whole({44819632, 488813920, 145356720, 80962664}, function() return sq.zeros(4):random_(0, 1 << 29) end)
    whole({8097882624, 3173168384, 5514065408, 617833536}, function() return sq.zeros(4):random_(0, 1 << 33) end)
    whole({13929371, 2115804, 15225037}, function() return sq.zeros(3):random_(0, 1 << 25) end)
    whole({true, false, true, true}, function() return sq.randint(0, 2, {4}, {dtype = "bool"}) end)
  end)
end)

describe("a range that a dtype does not hold", function()
  local refused = {
    ["sq.zeros(2):uniform_(-3e38, 3e38)"] = "[uniform_] from is -3e+38, to is 3e+38: float32 does not hold both and to - from",
    ["sq.zeros(2):uniform_(0, math.huge)"] = "[uniform_] from is 0, to is inf: float32",
    ["sq.zeros(2, {dtype = 'float64'}):uniform_(-1e308, 1e308)"] = "[uniform_] from is -1e+308, to is 1e+308: float64",
    ["sq.zeros(2):uniform_(1, 0)"] = "[uniform_] from is 1, to is 0: from must not be above to",
    ["sq.randint(0, 300, {3}, {dtype = 'uint8'})"] = "[randint] 0 to 299 is out of range for uint8",
    ["sq.zeros(3, {dtype = 'bool'}):random_(0, 3)"] = "[random_] 0 to 2 is out of range for bool",
    ["sq.zeros(3, {dtype = 'uint8'}):random_(-1, 3)"] = "[random_] -1 to 2 is out of range for uint8",
    ["sq.full({1}, 1e39)"] = "[full] fill_value is 1e+39: that is no float32",
    ["sq.full({2}, 300, {dtype = 'uint8'})"] = "[full] fill_value is 300: that is no uint8",
    ["sq.full_like(sq.zeros(2), 1e39)"] = "[full_like] fill_value is 1e+39: that is no float32",
    ["sq.tensor({1e39}, 'float32')"] = "[tensor] data[1] is 1e+39: that is no float32",
    ["sq.arange(5, {dtype = 'bool'})"] = "[arange] the last element is 4: that is no bool",
    ["sq.arange(2, -3, -1, {dtype = 'uint8'})"] = "[arange] the last element is -2: that is no uint8",
    ["sq.arange(0.1, -7.9, -4, {dtype = 'int64'})"] = "[arange] the first element is 0.1: that is no int64",
    ["sq.arange(0, 64, 0.5, {dtype = 'int64'})"] = "[arange] step is 0.5: that is no int64",
    ["sq.linspace(0, 10, 5, {dtype = 'int64'})"] = "[linspace] the step from 0 to 10 is 2.5: that is no int64",
    ["sq.linspace(4.3, 0, 1, {dtype = 'int64'})"] = "[linspace] start is 4.3: that is no int64",
    ["sq.zeros(3):fill_(1e39)"] = "[fill_] 1e+39 is out of range for float32",
    ["sq.zeros(1, 2):expand(3, 2):normal_()"] = "[normal_] x is (3,2)",
  }
  for code, want in pairs(refused) do
    it("is refused by " .. code, function()
      local ok, text = pcall(assert(load("return " .. code, "=case", "t", {sq = sq, math = math})))
      assert.is_false(ok)
      assert.is_truthy(tostring(text):find(want, 1, true), tostring(text))
    end)
  end

  it("is told from what it holds", function()
    assert.is_true(sq.zeros(100):uniform_(-1.7e38, 1.7e38):isfinite():all():item())
    assert.same({0, 1}, sq.arange(2, {dtype = "uint8"}):tolist())
    assert.same({0, 1, 2, 3, 4}, sq.linspace(0, 4, 5, {dtype = "int64"}):tolist())
    assert.same({(1 << 60) + 1, (1 << 60) + 2}, sq.arange((1 << 60) + 1, (1 << 60) + 3):tolist())
    assert.same({math.maxinteger - 1}, sq.arange(math.maxinteger - 1, math.maxinteger):tolist())
    assert.same({"int64", "float32"}, {sq.arange(4).dtype, sq.arange(4.0).dtype})
    assert.equal(0, sq.randperm(0, {dtype = "uint8"}):numel())
  end)
end)

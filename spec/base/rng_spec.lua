-- rng_spec.lua: the generator against PyTorch's draws (spec/golden/rng.lua), its states, its errors.
local sq = require "seqrt"
local golden = dofile "spec/golden/rng.lua"

local draws = {}
function draws.rand(n, dtype) return sq.rand({n}, {dtype = dtype}) end
function draws.randn(n, dtype) return sq.randn({n}, {dtype = dtype}) end
function draws.uniform_(n, dtype, lo, hi) return sq.empty({n}, {dtype = dtype}):uniform_(lo, hi) end
function draws.normal_(n, dtype, mean, std) return sq.empty({n}, {dtype = dtype}):normal_(mean, std) end
function draws.bernoulli_(n, dtype, p) return sq.empty({n}, {dtype = dtype}):bernoulli_(p) end
function draws.randint(lo, hi, n) return sq.randint(lo, hi, {n}) end
function draws.randperm(n) return sq.randperm(n) end

local function digest(values)
  local d = 0
  for _, v in ipairs(values) do d = d * 31 + string.unpack("<i8", string.pack("<d", v)) end
  return d
end

local function ends(values)
  local out, n = {}, #values
  for i = 1, math.min(3, n) do out[#out + 1] = values[i] end
  for i = math.max(1, n - 2), n do out[#out + 1] = values[i] end
  return out
end

local function check(step, stream)
  local name, args = step[1], step[2]
  local values = draws[name](table.unpack(args)):tolist()
  local what = ("seed %d: %s(%s)"):format(stream.seed, name, table.concat(args, ", "))
  if step.digest then
    assert.same(step.ends, ends(values), what)
    assert.equal(step.digest, digest(values), what)
    return
  end
  assert.equal(#step.all, #values, what)
  local tolerance = args[2] == "float32" and 1e-6 or 1e-14
  for i, expected in ipairs(step.all) do
    local near = math.abs(values[i] - expected) <= tolerance * math.max(1, math.abs(expected))
    assert.is_true(near, ("%s[%d]: %.17g, PyTorch %.17g"):format(what, i, values[i], expected))
  end
end

describe("a stream of draws", function()
  for _, stream in ipairs(golden) do
    it("is PyTorch's from seed " .. stream.seed, function()
      sq.manual_seed(stream.seed)
      for _, step in ipairs(stream) do check(step, stream) end
    end)
  end

  it("has drawn from every distribution", function()
    local seen = {}
    for _, step in ipairs(golden[1]) do seen[step[1]] = true end
    for name in pairs(draws) do assert.is_true(seen[name], name) end
  end)
end)

describe("a generator's state", function()
  it("continues the stream, with the kept half of a pair of normals", function()
    local g = sq.Generator(7)
    sq.randn({3}, {generator = g})
    local kept = g:state_dict()
    local first = sq.randn({5}, {generator = g}):tolist()
    sq.rand({1000}, {generator = g})
    g:load_state_dict(kept)
    assert.same(first, sq.randn({5}, {generator = g}):tolist())
    local other = sq.Generator(1):load_state_dict(kept)
    assert.same(first, sq.randn({5}, {generator = other}):tolist())
  end)

  it("does not touch the default generator", function()
    sq.manual_seed(3)
    local alone = sq.rand(4):tolist()
    sq.manual_seed(3)
    sq.rand({100}, {generator = sq.Generator(3)})
    assert.same(alone, sq.rand(4):tolist())
  end)

  it("is refused when a byte of it is another", function()
    local g = sq.Generator(7)
    local state = g:get_state()
    for _, at in ipairs {1, 8, 9, 1000, 2505, 2509, 2540, 2544} do
      local broken = state:clone()
      broken[at] = (broken[at] + 1) % 256
      local ok, message = pcall(g.set_state, g, broken)
      assert.is_false(ok, "byte " .. at)
      assert.truthy(message:find("[generator] these bytes are no generator's state", 1, true), message)
    end
    assert.is_true(g:get_state():equal(state))
  end)
end)

describe("sq.random", function()
  it("takes and gives what math.random does", function()
    for _ = 1, 1000 do
      local x = sq.random()
      assert.is_true(math.type(x) == "float" and x >= 0 and x < 1)
      assert.equal(1, sq.random(1))
      assert.equal("integer", math.type(sq.random(0)))
      local i, j = sq.random(6), sq.random(-2, 3)
      assert.is_true(math.type(i) == "integer" and i >= 1 and i <= 6)
      assert.is_true(math.type(j) == "integer" and j >= -2 and j <= 3)
    end
    assert.equal(7, sq.random(7, 7))
    assert.equal(math.maxinteger, sq.random(math.maxinteger, math.maxinteger))
    assert.equal(3, sq.random(3.0, 3.0))
    for _, bad in ipairs {{0, -1}, {-1}, {5, 4}, {1.5}, {1, "x"}} do
      assert.equal(pcall(math.random, table.unpack(bad)), (pcall(sq.random, table.unpack(bad))))
    end
    local _, text = pcall(sq.random, 5, 4)
    assert.truthy(text:find "rng_spec.lua:%d+: %[random%] there is no integer from 5 to 4", text)
  end)

  it("draws every integer of a range alike, also of wide ranges", function()
    sq.manual_seed(1)
    local counts, high = {0, 0, 0, 0, 0, 0}, 0
    for _ = 1, 6000 do
      local i = sq.random(6)
      counts[i] = counts[i] + 1
      -- 3 * 2^30 of 2^32: a remainder of 32 bits would draw the lowest quarter of it twice as often
      if sq.random(3 << 30) > 1 << 30 then high = high + 1 end
    end
    for i = 1, 6 do assert.is_true(counts[i] > 850 and counts[i] < 1150, i .. ": " .. counts[i]) end
    assert.is_true(high > 3800 and high < 4200, tostring(high))
    local signs = {}
    for _ = 1, 100 do signs[sq.random(math.mininteger, math.maxinteger) < 0] = true end
    assert.is_true(signs[true] and signs[false])
  end)

  it("draws from the default generator, or the one that is given, and so is in every checkpoint", function()
    local function some(options)
      local list = {}
      for i = 1, 20 do list[i] = i % 2 == 0 and sq.random(options) or sq.random(-5, 1000, options) end
      return list
    end
    sq.manual_seed(3)
    local first = some {}
    assert.not_same(first, some {})
    sq.manual_seed(3)
    assert.same(first, some {})
    local state = sq.default_generator:state_dict()
    local second = some {}
    sq.default_generator:load_state_dict(state)
    assert.same(second, some {})
    local own = sq.Generator(3)
    state = sq.default_generator:get_state()
    assert.same(first, some {generator = own})
    assert.is_true(state:equal(sq.default_generator:get_state()))

    local checkpoint = sq.Checkpoint(require "spec.lib.support".tmpdir())
    checkpoint:save(1, {})
    local after = some {}
    assert.equal(1, checkpoint:resume {})
    assert.same(after, some {})
  end)
end)

describe("sq.manual_seed", function()
  it("seeds math.random too", function()
    local function some() return {math.random(), math.random(1000), math.random(0)} end
    sq.manual_seed(5)
    local first = some()
    assert.not_same(first, some())
    sq.manual_seed(5)
    assert.same(first, some())
    sq.manual_seed(6)
    assert.not_same(first, some())
  end)
end)

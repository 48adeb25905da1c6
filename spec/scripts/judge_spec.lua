-- judge_spec.lua: scripts/judge.lua on generators made by hand, whose numbers are known.
local sq = require "seqrt"
local support = require "spec.lib.support"
local models = assert(loadfile "scripts/models.lua")()

local dir = support.tmpdir()
local classifier = dir .. "/classifier.safetensors"

local function judge(args)
  return support.run {"scripts/judge.lua", "--out", dir, "--classifier", classifier, "--samples", "200", table.unpack(args)}
end

-- The number a line of the report ends with.
local function number(out, text) return tonumber(out:match(text .. " +([%d.]+)\n")) end

-- A generator that draws one picture (28,28) whatever z is.
local function constant(picture)
  local G = models.Generator()
  local _ <close> = sq.no_grad()
  local last = G[#G - 2]
  local x = picture:reshape(-1):clamp(-0.99999, 0.99999)
  last.weight:zero_()
  last.bias:copy_(((1 + x) / (1 - x)):log() / 2)
  return G
end

describe("scripts/judge.lua", function()
  setup(function()
    local _, err, code = support.run {"scripts/classify.lua", "--dataset", "digits", "--epochs", "1", "--steps", "100",
      "--batch", "32", "--out", dir}
    assert.equal(0, code, err)
  end)

  it("sees that a generator draws one training picture only", function()
    local set = models.pictures("digits", "train")
    local x, y = set:batch(nil, 0, 1)
    local path = dir .. "/constant.safetensors"
    models.save(path, constant(x), "generator", "digits")
    local out, err, code = judge {"--generator", path}
    assert.equal(0, code, err)
    assert.matches(("\n%d +200 100.00%%%%\n"):format(y:item()), out)
    assert.equal(0, number(out, "share of the rarest class"))
    assert.is_true(support.close(number(out, "inception%-style score, 1 to 10"), 1, 1e-4), out)
    assert.is_true(number(out, "nearest training picture") <= 0.1, out)
    local text = support.read(dir .. "/judge.json")
    assert.matches('"histogram": %[[%d, ]*200[%d, ]*%]', text)
    assert.matches('"score": 1,', text)
  end)

  it("gives fresh weights a middling score and a large distance, the same ones for the same seed", function()
    sq.manual_seed(1)
    local path = dir .. "/fresh.safetensors"
    models.save(path, models.Generator(), "generator", "digits")
    local out, err, code = judge {"--generator", path, "--threads", "1"}
    assert.equal(0, code, err)
    local near, real = number(out, "nearest training picture"), number(out, "of real test pictures")
    assert.is_true(near > 2 * real and real > 1, out)
    assert.equal(out, (judge {"--generator", path, "--threads", "2"}))
  end)

  it("says what is wrong with a file", function()
    local function fails(path, pattern)
      local _, err, code = judge {"--generator", path, "--dry-run"}
      assert.equal(1, code)
      assert.matches(pattern, err)
    end
    fails(dir .. "/none", "/none is not there: `make gan` trains a generator, %-%-generator names another")
    fails(classifier, "classifier.safetensors holds a classifier: it must be a generator")
    sq.save(dir .. "/other", models.Discriminator():state_dict())
    fails(dir .. "/other", "/other does not fit the generator: ")
    support.write(dir .. "/cut", support.read(classifier):sub(1, 1000))
    fails(dir .. "/cut", "/cut")
    models.save(dir .. "/mnist", models.Generator(), "generator", "mnist")
    local _, err, code = support.run({"scripts/judge.lua", "--out", dir, "--classifier", dir .. "/none",
      "--generator", dir .. "/mnist", "--dry-run"}, {env = {SEQRT_DATA = "/nowhere"}})
    assert.equal(1, code)
    assert.matches("drawn digits instead", err)
    assert.matches("/none", err)
  end)

  it("runs dry with nothing but a generator", function()
    local out_dir = support.tmpdir()
    models.save(out_dir .. "/g", models.Generator(), "generator", "digits")
    local out, err, code = support.run {"scripts/judge.lua", "--out", out_dir, "--generator", out_dir .. "/g", "--dry-run"}
    assert.equal(0, code, err)
    assert.matches("classifier.safetensors is not there: training it first", err, 1, true)
    assert.matches("100 pictures of digits", out)
  end)
end)

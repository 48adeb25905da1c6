-- classify_spec.lua: scripts/classify.lua as a user runs it: dry, on drawn digits, and without the files it asks for.
local sq = require "seqrt"
local support = require "spec.lib.support"

local function classify(args, env)
  return support.run({"scripts/classify.lua", table.unpack(args)}, {env = env})
end

describe("scripts/classify.lua", function()
  it("learns drawn digits in a hundred steps, and saves what it learned #long", function()
    local dir = support.tmpdir()
    local out, err, code = classify {"--dataset", "digits", "--epochs", "1", "--steps", "100", "--batch", "32", "--out", dir}
    assert.equal(0, code, err)
    assert.is_true(tonumber(out:match "test accuracy ([%d.]+) after 1 epochs") >= 0.95, out)
    assert.matches("digits: 60000 pictures to learn from, 10000 to be tested on", out, 1, true)
    assert.matches("\n9 +%d+ +[%d.]+%%", out)
    local state, metadata = sq.load(dir .. "/classifier.safetensors")
    assert.equal("classifier", metadata.kind)
    assert.equal("digits", metadata.dataset)
    assert.equal("(10,128)", tostring(state["9.weight"].shape))
    local grid = sq.image.load(dir .. "/mistakes.png")
    assert.equal("(3,152,302)", tostring(grid.shape))
    assert.equal(101, select(2, support.read(dir .. "/metrics.jsonl"):gsub("\n", "")))
  end)

  it("takes the wide network too, with a batch and a rate of its own", function()
    local dir = support.tmpdir()
    local out, err, code = classify {"--dataset", "digits", "--model", "wide", "--dry-run", "--out", dir}
    assert.equal(0, code, err)
    assert.matches("Conv2d(32 -> 64, kernel_size=3)  18,496", out, 1, true)
    assert.matches("1,199,882 parameters", out, 1, true)
    assert.equal("(128,9216)", tostring(sq.load(dir .. "/classifier.safetensors")["6.weight"].shape))
  end)

  it("says in one line that MNIST is missing, and learns drawn digits", function()
    local out, err, code = classify({"--dry-run", "--out", support.tmpdir()}, {SEQRT_DATA = "/nowhere"})
    assert.equal(0, code, err)
    assert.matches("^MNIST is not in /nowhere/mnist %(`make mnist` downloads it%): drawn digits instead\n", err)
    assert.matches("digits: 60000 pictures", out, 1, true)
  end)

  it("says which file of a set is missing or broken", function()
    local dir = support.tmpdir()
    assert(os.execute("mkdir " .. dir .. "/mnist"))
    local images = "\0\0\8\3\0\0\0\2\0\0\0\28\0\0\0\28" .. ("\7"):rep(2 * 784)
    local path = dir .. "/mnist/train-images-idx3-ubyte"
    local function fails(pattern)
      local _, err, code = classify({"--dry-run", "--out", dir .. "/out"}, {SEQRT_DATA = dir})
      assert.equal(1, code)
      assert.matches(pattern, err)
    end
    support.write(path, images)
    fails "%[MNIST%] .*/train%-labels%-idx1%-ubyte is missing: `make mnist` downloads it"
    support.write(dir .. "/mnist/train-labels-idx1-ubyte", "\0\0\8\1\0\0\0\3\1\2\3")
    fails "train%-images%-idx3%-ubyte has 2 pictures, .*/train%-labels%-idx1%-ubyte has 3 labels"
    support.write(path, images:sub(1, -2))
    fails "train%-images%-idx3%-ubyte"
  end)

  it("answers a bad command line with status 2", function()
    for args, message in pairs {
      ["--epoch"] = "unknown option '--epoch': did you mean '--epochs'?",
      ["--dataset=cifar"] = "argument --dataset: invalid choice 'cifar' (choose from mnist, fashion, digits)",
    } do
      local _, err, code = classify {args}
      assert.equal(2, code)
      assert.matches("classify.lua: error: " .. message, err, 1, true)
    end
  end)
end)

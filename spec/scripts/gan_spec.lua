-- gan_spec.lua: the GAN as a user runs it: its tables, its files, a short training, what it says of wrong data; the ways
-- between its pictures.
local sq = require "seqrt"
local support = require "spec.lib.support"

package.path = "scripts/?.lua;" .. package.path
local models = require "models"

-- Runs scripts/gan.lua with no data but what `root` has. Returns output, errors, status, and the folder of the run.
local function gan(words, root, options)
  local dir = support.tmpdir()
  options = options or {}
  options.env = {SEQRT_DATA = root or dir}
  local out, err, code = support.run("scripts/gan.lua " .. words .. " --out " .. (options.out or dir), options)
  return out, err, code, options.out or dir
end

local function checkpoint_of(dir)
  local found = sq.fs.glob(dir .. "/checkpoints/*.safetensors")
  return #found > 0 and sq.load(found[#found]) or nil, #found
end

describe("the layer table", function()
  it("has each layer's shapes for a batch", function()
    local text = models.layer_table("generator", models.Generator(), sq.zeros(64, 100))
    local rows = {}
    for line in text:gmatch "[^\n]+" do rows[#rows + 1] = line end
    assert.equal("generator, 1510032 parameters", rows[1])
    local expected = {
      "input operation output",
      "(64,100) Linear(100 -> 128) (64,128)", "(64,128) LeakyReLU(0.2) (64,128)",
      "(64,128) Linear(128 -> 256) (64,256)", "(64,256) BatchNorm1d(256) (64,256)",
      "(64,256) LeakyReLU(0.2) (64,256)",
      "(64,256) Linear(256 -> 512) (64,512)", "(64,512) BatchNorm1d(512) (64,512)",
      "(64,512) LeakyReLU(0.2) (64,512)",
      "(64,512) Linear(512 -> 1024) (64,1024)", "(64,1024) BatchNorm1d(1024) (64,1024)",
      "(64,1024) LeakyReLU(0.2) (64,1024)",
      "(64,1024) Linear(1024 -> 784) (64,784)", "(64,784) Tanh() (64,784)",
      "(64,784) Unflatten(dim=2 -> (1,28,28)) (64,1,28,28)",
    }
    assert.equal(#expected, #rows - 1)
    for i, row in ipairs(expected) do assert.equal(row, (rows[i + 1]:gsub("  +", " "):gsub("^ ", ""))) end
  end)

  it("changes nothing in the network", function()
    local G = models.Generator()
    local before = sq.cat {G:state_dict()["3.running_mean"]:clone(), G:state_dict()["3.running_var"]:clone()}
    models.layer_table("generator", G, sq.randn(8, 100))
    assert.is_true(before:equal(sq.cat {G:state_dict()["3.running_mean"], G:state_dict()["3.running_var"]}))
    assert.is_true(G.training)
  end)
end)

describe("the GAN's step", function()
  local golden = require "spec.golden.gan"
  local bce = sq.nn.functional.binary_cross_entropy

  -- As scripts/gan.lua does it, on noise for pictures: {loss of D, loss of G, D(x), D(G(z))} of each step.
  local function losses(minimax, count)
    sq.manual_seed(golden.seed)
    local G, D = models.Generator():double(), models.Discriminator():double()
    local adam = {lr = 2e-4, betas = {0.5, 0.999}}
    local opt_G, opt_D = sq.optim.Adam(G:parameters(), adam), sq.optim.Adam(D:parameters(), adam)
    local real, fake, rows = sq.ones(golden.batch, 1):double(), sq.zeros(golden.batch, 1):double(), {}
    for i = 1, count do
      local x = (sq.rand(golden.batch, 1, 28, 28):double() * 2 - 1) ^ 3
      local pictures = G(sq.rand(golden.batch, 100):double() * 4 - 2)
      local p_real, p_fake = D(x), D(pictures:detach())
      local loss_D = bce(p_real, real) + bce(p_fake, fake)
      opt_D:zero_grad()
      loss_D:backward()
      opt_D:step()
      D:requires_grad_(false)
      local p = D(pictures)
      local loss_G = minimax and -bce(p, fake) or bce(p, real)
      opt_G:zero_grad()
      loss_G:backward()
      opt_G:step()
      D:requires_grad_(true)
      rows[i] = {loss_D:item(), loss_G:item(), p_real:mean():item(), p_fake:mean():item()}
    end
    return rows
  end

  it("gives PyTorch's losses from PyTorch's seed, over 50 steps in float64", function()
    support.assert_close(losses(false, 50), golden.nonsaturating, 1e-8, 0, "-log D(G(z))")
    support.assert_close(losses(true, 50), golden.minimax, 1e-8, 0, "log(1 - D(G(z)))")
  end)
end)

describe("scripts/gan.lua", function()
  it("runs dry, all of it, on drawn digits where there is no MNIST, and says so in one line", function()
    local out, err, code, dir = gan "--dry-run"
    assert.equal(0, code, err)
    local told = "MNIST is not in [^\n]*/mnist %(`make mnist` downloads it%): drawn digits instead\n"
    assert.equal(1, select(2, err:gsub(told, "")))
    assert.matches("generator, 1510032 parameters\n +input +operation +output\n", out)
    assert.matches("%(64,784%) +Linear%(784 %-> 512%) +%(64,512%)", out)
    assert.matches("%(64,1%) +Sigmoid%(%) +%(64,1%)\n", out)
    for _, name in ipairs {"evolution.png", "curves.png", "samples/first.png", "samples/middle.png", "samples/last.png"} do
      assert.equal("\137PNG", support.read(dir .. "/" .. name):sub(1, 4), name)
    end
    local _, dataset = models.load(dir .. "/generator.safetensors", models.Generator(), "generator")
    assert.equal("digits", dataset)
  end)

  it("draws the pictures of the fixed noise in grids of 5x5", function()
    local _, err, code, dir = gan "--dry-run --seed 3"
    assert.equal(0, code, err)
    local G = models.load(dir .. "/generator.safetensors", models.Generator(), "generator")
    local pictures = sq.no_grad(function() return G(checkpoint_of(dir).fixed_z) end)
    local grid = sq.image.load(dir .. "/samples/last.png")
    assert.equal("(3,152,152)", tostring(grid.shape))
    for i = 1, 25 do
      local top, left = 30 * ((i - 1) // 5) + 2, 30 * ((i - 1) % 5) + 2
      local tile = grid[{2, {top + 1, top + 28}, {left + 1, left + 28}}]:float()
      local apart = (pictures[i][1] * 127.5 + 127.5 - tile):abs():max():item()
      assert.is_true(apart <= 0.51, i .. ": " .. apart)
      grid[{{}, {top + 1, top + 28}, {left + 1, left + 28}}] = 0
    end
    assert.equal(0, grid:max():item()) -- between the pictures all is black
  end)

  it("learns: 200 steps on drawn digits, without a NaN #long", function()
    for _, loss in ipairs {"non-saturating", "minimax"} do
      local _, err, code, dir = gan("--dataset digits --digits 3200 --epochs 4 --loss " .. loss)
      assert.equal(0, code, err)
      local history = checkpoint_of(dir).history
      assert.equal("(200,4)", tostring(history.shape))
      assert.is_true(history:isfinite():all():item())
      local first, last = history[1]:tolist(), history[{{151, 200}}]:mean(1):tolist()
      assert.is_true(support.close(first[1], 2 * math.log(2), 0, 0.1), "D knows nothing at first: " .. first[1])
      assert.is_true(last[1] < first[1] - 0.02, ("D's loss falls: %g, %g"):format(first[1], last[1]))
      assert.is_true(last[3] > last[4] + 0.02, ("D(x) %g is above D(G(z)) %g"):format(last[3], last[4]))
      local count = select(2, support.read(dir .. "/metrics.jsonl"):gsub('"step":%d+', ""))
      assert.equal(4, count)
    end
  end)
end)

describe("scripts/gan.lua, stopped and resumed", function()
  local words = "--dataset digits --digits 320 --batch 32 --epochs 6" -- 60 steps, 10 an epoch

  local function bytes(dir, name) return support.read(dir .. "/" .. name) end

  local function assert_same(dir, whole)
    for _, each in ipairs {dir, whole} do
      local state = checkpoint_of(each)
      assert.equal(60, state.step)
      state.log = nil -- its size depends on how long the times are in digits
      sq.save(each .. "/state", state)
    end
    for _, name in ipairs {"generator.safetensors", "state", "evolution.png", "curves.png", "samples/first.png",
      "samples/middle.png", "samples/last.png"} do
      assert.is_true(bytes(dir, name) == bytes(whole, name), name)
    end
    local function rows(of) return (bytes(of, "metrics.jsonl"):gsub('"time":[%d.]+,', "")) end
    assert.equal(rows(whole), rows(dir))
  end

  it("ends with the bits of a run that was not stopped, for any number of threads #long", function()
    local begin = sq.clock()
    local _, err, code, whole = gan(words .. " --threads 1")
    local seconds = sq.clock() - begin
    assert.equal(0, code, err)
    for _, signal in ipairs {{"TERM", 143}, {"INT", 130}} do
      local name, status = table.unpack(signal)
      local out = support.tmpdir()
      local middle = false
      for pause = 1, 40 do -- each time a little later, so that it comes through
        local stop = {name, seconds * (0.1 + 0.05 * pause)}
        _, err, code = gan(words .. " --resume --threads 2", nil, {out = out, stop = stop})
        if code == 0 then break end
        assert.equal(status, code, err)
        local state, count = checkpoint_of(out)
        if count > 0 and state.history then
          assert.matches(name == "TERM" and "terminated!" or "interrupted!", err, 1, true)
          middle = middle or state.step % 10 ~= 0
        end
      end
      assert.equal(0, code, err)
      assert.is_true(middle, "stopped within an epoch at least once")
      assert_same(out, whole)
    end
  end)

  it("says where it goes on, and that there is nothing to go on from", function()
    local out, err, code, dir = gan(words .. " --resume --epochs 2")
    assert.equal(0, code, err)
    assert.matches("no checkpoint yet: from the beginning", out, 1, true)
    out, err, code = gan(words .. " --resume --epochs 3", nil, {out = dir})
    assert.equal(0, code, err)
    assert.matches("going on after step 20 of 30", out, 1, true)
  end)

  it("refuses to go on as another run", function()
    local _, err, code, dir = gan(words .. " --epochs 2")
    assert.equal(0, code, err)
    _, err, code = gan(words .. " --epochs 2 --resume --loss minimax", nil, {out = dir})
    assert.equal(1, code)
    assert.matches("--loss was non-saturating in " .. dir .. " and is minimax now", err, 1, true)
    _, err, code = gan(words .. " --epochs 1 --resume", nil, {out = dir})
    assert.equal(1, code)
    assert.matches(dir .. " has 20 steps, more than the 10 asked for", err, 1, true)
  end)
end)

describe("scripts/gan.lua on wrong data", function()
  local images = string.pack(">I4I4I4I4", 0x803, 70, 28, 28) .. ("\100"):rep(70 * 784)
  local labels = string.pack(">I4I4", 0x801, 70) .. ("\7"):rep(70)

  -- What the user reads when these are MNIST's training files.
  local function message(pictures, names)
    local root = support.tmpdir()
    assert(sq.fs.mkdir_p(root .. "/mnist"))
    if pictures then support.write(root .. "/mnist/train-images-idx3-ubyte", pictures) end
    if names then support.write(root .. "/mnist/train-labels-idx1-ubyte", names) end
    local _, err, code, dir = gan("--dry-run", root)
    assert.equal(1, code)
    assert.is_false(support.exists(dir .. "/generator.safetensors"))
    return err:match("^[^\n]*"):gsub(root, "ROOT"), err
  end

  it("takes files that are right", function()
    local root = support.tmpdir()
    assert(sq.fs.mkdir_p(root .. "/mnist"))
    support.write(root .. "/mnist/train-images-idx3-ubyte", images)
    support.write(root .. "/mnist/train-labels-idx1-ubyte", labels)
    local _, err, code, dir = gan("--dry-run", root)
    assert.equal(0, code, err)
    local _, dataset = models.load(dir .. "/generator.safetensors", models.Generator(), "generator")
    assert.equal("mnist", dataset)
  end)

  it("names a missing file and how to get it", function()
    assert.matches("%[MNIST%] ROOT/mnist/train%-labels%-idx1%-ubyte is missing: `make mnist` downloads it", (message(images)))
  end)

  it("names a truncated file, the size it has and the size it should have", function()
    assert.matches("'ROOT/mnist/train%-images%-idx3%-ubyte': %[idx%] at byte 4: sizes %(70,28,28%) make a file of "
      .. "54896 bytes, this has 50000", (message(images:sub(1, 50000), labels)))
    assert.matches("'ROOT/mnist/train%-labels%-idx1%-ubyte': %[idx%] at byte 6: the file ends within its sizes",
      (message(images, labels:sub(1, 6))))
  end)

  it("names both files when their counts differ", function()
    local few = string.pack(">I4I4", 0x801, 69) .. ("\7"):rep(69)
    assert.matches("%[MNIST%] ROOT/mnist/train%-images%-idx3%-ubyte has 70 pictures, "
      .. "ROOT/mnist/train%-labels%-idx1%-ubyte has 69 labels", (message(images, few)))
  end)

  it("refuses labels for pictures, and a label that is no digit", function()
    assert.matches("train%-images%-idx3%-ubyte holds uint8 %(70%): pictures are uint8 %(n,28,28%)", (message(labels, labels)))
    local wrong = labels:sub(1, -2) .. "\10"
    assert.matches("train%-labels%-idx1%-ubyte has a label 10: they are 0 to 9", (message(images, wrong)))
  end)

  it("says when a batch is more than there is", function()
    local _, err, code = gan "--dataset digits --digits 32 --epochs 1"
    assert.equal(1, code)
    assert.matches("%-%-batch 64: there are 32 pictures", err)
  end)
end)

describe("scripts/interpolate.lua", function()
  local dir = support.tmpdir()
  local function interpolate(words) return support.run("scripts/interpolate.lua --out " .. dir .. " " .. words) end
  sq.manual_seed(7)
  local G = models.Generator():eval()
  local file = dir .. "/generator.safetensors"
  models.save(file, G, "generator", "digits")

  -- The pictures of the strip, row by row, as floats in -1..1: (rows, columns, 28, 28).
  local function strip(rows, columns)
    local grid = sq.image.load(dir .. "/interpolation.png", {dtype = "float32"})
    assert.equal(("(3,%d,%d)"):format(30 * rows + 2, 30 * columns + 2), tostring(grid.shape))
    return function(r, c)
      local top, left = 30 * (r - 1) + 2, 30 * (c - 1) + 2
      return grid[{1, {top + 1, top + 28}, {left + 1, left + 28}}] * 2 - 1
    end
  end

  it("runs dry", function()
    local out, err, code = interpolate "--dry-run --from 3 --to 5 --rows 2"
    assert.equal(0, code, err)
    assert.matches("from 3 to 5", out)
    assert.matches(dir .. "/interpolation.png", out, 1, true)
  end)

  it("draws the pictures of (1-a) z1 + a z2, both ends and 7 between them, and how far apart they are", function()
    local out, err, code = interpolate("--scale 1 --rows 2 --seed 5 --generator " .. file)
    assert.equal(0, code, err)
    sq.manual_seed(5)
    local z1, z2, tile = sq.randn(2, 100), sq.randn(2, 100), strip(2, 9)
    for row = 1, 2 do
      local all, largest, sum = {}, 0, 0
      for i = 0, 8 do
        all[i] = sq.no_grad(function() return G(((1 - i / 8) * z1[row] + i / 8 * z2[row]):unsqueeze(1)) end)[1][1]
        local apart = (all[i] - tile(row, i + 1)):abs():max():item()
        assert.is_true(apart <= 1.02 / 255, ("row %d, picture %d: %g"):format(row, i, apart))
      end
      local whole = (all[8] - all[0]):norm():item()
      for i = 1, 8 do
        local part = (all[i] - all[i - 1]):norm():item() / whole
        largest, sum = math.max(largest, part), sum + part
      end
      local distance, uneven = out:match("\n +" .. row .. " +([%d.]+) +([%d.]+) +[%d. ]+\n")
      assert.is_true(support.close(tonumber(distance), whole, 0, 0.006), distance)
      assert.is_true(support.close(tonumber(uneven), largest / sum * 8, 0, 0.006), uneven)
    end
  end)

  it("keeps to the arc on request, and widens pixels", function()
    local _, err, code = interpolate("--scale 1 --mode slerp --steps 1 --seed 5 --generator " .. file)
    assert.equal(0, code, err)
    sq.manual_seed(5)
    local z1, z2, tile = sq.randn(1, 100)[1], sq.randn(1, 100)[1], strip(1, 3)
    local w = math.acos((z1:dot(z2) / (z1:norm() * z2:norm())):item())
    local middle = (z1 + z2) * (math.sin(w / 2) / math.sin(w))
    local picture = sq.no_grad(function() return G(middle:unsqueeze(1)) end)[1][1]
    assert.is_true((picture - tile(1, 2)):abs():max():item() <= 1.02 / 255)
    _, err, code = interpolate("--scale 3 --steps 1 --seed 5 --generator " .. file)
    assert.equal(0, code, err)
    assert.equal("(3,96,276)", tostring(sq.image.load(dir .. "/interpolation.png").shape))
  end)

  it("says what is missing, and what is not a generator", function()
    local _, err, code = interpolate "--generator /nowhere.safetensors"
    assert.equal(1, code)
    assert.matches("there is no /nowhere.safetensors: seqrt scripts/gan.lua makes one", err, 1, true)
    _, err, code = interpolate("--from 2 --generator " .. file)
    assert.equal(1, code)
    local hint = "there is no runs/classify/digits/classifier.safetensors: seqrt scripts/classify.lua --dataset digits"
    assert.matches(hint, err, 1, true)
    models.save(dir .. "/c.safetensors", models.Classifier(), "classifier", "digits")
    _, err, code = interpolate("--generator " .. dir .. "/c.safetensors")
    assert.equal(1, code)
    assert.matches("c.safetensors holds a classifier: it must be a generator", err, 1, true)
    _, err, code = interpolate(("--from 2 --generator %s --classifier %s/c.safetensors"):format(file, dir))
    assert.equal(1, code)
    assert.matches("0 of 5000 pictures are surely a 2, --rows 1 needs more", err, 1, true)
  end)
end)

-- events_spec.lua: TensorBoard's files to the byte, what a log puts into them, and that they go on after a checkpoint;
-- the loss that is no number stops a script, and keeps what was saved.
local sq = require "seqrt"
local store = require "seqrt.store"
local support = require "spec.lib.support"

local function hex(text) return (text:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) end

-- Lengths and payloads of a file's records; the checksums are those of the golden bytes below.
local function records(text)
  local list, at = {}, 1
  while at <= #text do
    local n = string.unpack("<I8", text, at)
    list[#list + 1] = text:sub(at + 12, at + 11 + n)
    at = at + 12 + n + 4
  end
  assert.equal(#text + 1, at)
  return list
end

local function event_file(dir)
  local found = sq.fs.glob(dir .. "/events.out.tfevents.*")
  assert.equal(1, #found)
  return found[1]
end

describe("TensorBoard's records", function()
  it("are these bytes", function() -- written by the tensorboard package's own RecordWriter: spec/golden/events.py
    local golden = require "spec.golden.events"
    assert.equal(golden.version, hex(store.event("version", 1690000000.125)))
    assert.equal(golden.scalar, hex(store.event("scalar", 1690000000.125, 300, "train/loss", 0.1)))
    assert.equal(golden.inf, hex(store.event("scalar", 1, 0, "loss", math.huge)))
    assert.equal(golden.histogram, hex(store.event("histogram", 2, -1, "w", sq.tensor {-1, 0, 0.5, 2, 0 / 0, math.huge})))
    assert.equal(golden.same, hex(store.event("histogram", 2, 5, "same", sq.tensor {3, 3})))
    assert.equal(golden.empty, hex(store.event("histogram", 2, 5, "empty", sq.zeros(0))))
    local png = store.png_bytes(sq.tensor({0, 128, 255}, {dtype = "uint8"}):view(1, 1, 3))
    local record = store.event("image", 2, 7, "x", sq.tensor({0, 128, 255}, {dtype = "uint8"}):view(1, 1, 3))
    local image = "\8\1\16\3\24\1\34" .. string.pack("s1", png)
    local value = "\10\1x\34" .. string.pack("s1", image)
    local summary = "\10" .. string.pack("s1", value)
    assert.equal(string.pack("<d", 2):gsub("^", "\9") .. "\16\7\42" .. string.pack("s1", summary), records(record)[1])
  end)
end)

describe("sq.Log with tensorboard", function()
  it("writes scalars, pictures and histograms", function()
    local dir = support.tmpdir()
    local log = sq.Log(dir, {tensorboard = true})
    assert.same({}, sq.fs.glob(dir .. "/events*"))
    log:write(1, {loss = 0.5, name = "text", done = true, acc = sq.ones(1)})
    log:image(1, {b = sq.rand(1, 4, 5), a = sq.rand(3, 2, 2)})
    log:histogram(2, {w = sq.randn(100)})
    local list = records(support.read(event_file(dir)))
    assert.equal(6, #list)
    for i, text in ipairs {"brain.Event:2", "\3acc\21", "\4loss\21", "\1a\34", "\1b\34", "\1w\42"} do
      assert.truthy(list[i]:find(text, 1, true), i)
    end
    assert.truthy(event_file(dir):find "events%.out%.tfevents%.%d%d%d%d%d%d%d%d%d%d%.[^/]+%.%d+%.seqrt$")
  end)

  it("starts anew, or goes on from a state", function()
    local dir = support.tmpdir()
    local log = sq.Log(dir, {tensorboard = true})
    log:write(1, {loss = 1})
    local state, text = log:state_dict(), support.read(event_file(dir))
    log:write(2, {loss = 2})
    local again = sq.Log(dir, {tensorboard = true})
    again:load_state_dict(state)
    assert.equal(text, support.read(event_file(dir)))
    again:write(2, {loss = 3})
    assert.equal(3, #records(support.read(event_file(dir))))
    sq.Log(dir, {tensorboard = true}):write(1, {loss = 1})
    assert.equal(2, #records(support.read(event_file(dir))))
    support.write(event_file(dir), "")
    assert.has_error(function() sq.Log(dir, {tensorboard = true}):load_state_dict {bytes = 0, rows = 0, columns = "",
      events = {name = event_file(dir):match "[^/]+$", bytes = 10}} end)
  end)

  it("says what is wrong", function()
    local function raises(text, fn, ...)
      local ok, message = pcall(fn, ...)
      assert.is_false(ok)
      assert.truthy(message:find(text, 1, true), message)
    end
    local dir = support.tmpdir()
    local plain, log = sq.Log(dir), sq.Log(dir, {tensorboard = true})
    raises("[Log] images go to TensorBoard alone: open the log with sq.Log(dir, {tensorboard = true})",
      plain.image, plain, 1, {x = sq.ones(2, 2)})
    raises("[Log: x] the picture is (2,2,2): C must be 1, 3 or 4", log.image, log, 1, {x = sq.ones(2, 2, 2)})
    raises("[Log: x] the picture is a number: it must be a Tensor", log.image, log, 1, {x = 1})
    raises("[Log] 'x' is a number: a histogram is of a Tensor", log.histogram, log, 1, {x = 1})
    raises("[histogram] step is 1.5: it must be a whole number", log.histogram, log, 1.5, {})
    assert.same({}, sq.fs.glob(dir .. "/events*"))
  end)
end)

describe("a loss that is no number", function()
  local SCRIPT = [[
    local sq = require "seqrt"
    local dir = arg[1]
    local log, kept = sq.Log(dir), sq.Checkpoint(dir)
    local model = sq.nn.Linear(2, 1)
    for step = 1, 5 do
      log:write(step, {d_loss = step < 4 and 1 / step or 0 / 0, lossy = 0 / 0})
      kept:save(step, {model = model})
    end
    print "never here"]]

  it("stops the script, with advice, and the last good checkpoint stays", function()
    local dir = support.tmpdir()
    local path = support.write(dir .. "/s.lua", SCRIPT)
    local out, err, code = support.run {path, dir .. "/run"}
    assert.same({"", 1}, {out, code})
    assert.truthy(err:find(path .. ":6: [Log] step 4: d_loss is NaN, and will not come back. `seqrt --detect-anomaly "
      .. "script.lua`, or sq.detect_anomaly(), names the op and the line that make it; a lower learning rate or clipped "
      .. "gradients may avoid it; the checkpoint of step 3 stays in '" .. dir .. "/run'\n", 1, true), err)
    assert.truthy(support.read(dir .. "/run/metrics.jsonl"):find '"step":4,.*"d_loss":null,"d_loss_nan":true')
    assert.equal(3, sq.Checkpoint(dir .. "/run"):latest())
  end)

  it("is written and let pass with check_loss = false", function()
    local log = sq.Log(support.tmpdir(), {check_loss = false})
    log:write(1, {loss = math.huge})
    log = sq.Log(support.tmpdir())
    log:write(1, {accuracy = 0 / 0, losses = 0 / 0, gloss = math.huge})
    assert.has_error(function() log:write(2, {["train/loss"] = -math.huge}) end)
    assert.has_error(function() log:write(2, {loss = sq.tensor {math.huge}}) end)
  end)

  it("nor are weights saved that hold NaN or Inf", function()
    local dir = support.tmpdir()
    local kept, model = sq.Checkpoint(dir), sq.nn.Sequential(sq.nn.Linear(2, 2), sq.nn.BatchNorm1d(2))
    local opt = sq.optim.Adam(model:parameters())
    kept:save(1, {model = model, opt = opt})
    model[2].running_mean:fill_(math.huge) -- a buffer may hold what it likes
    kept:save(2, {model = model, opt = opt, best = math.huge})
    model[1].weight.data[{1, 2}] = 0 / 0
    local ok, message = pcall(kept.save, kept, 3, {model = model, opt = opt})
    assert.is_false(ok)
    assert.truthy(message:find("[Checkpoint] model.0.weight holds NaN or Inf: nothing was saved; the checkpoint of step 2",
      1, true), message)
    assert.equal(2, kept:latest())
  end)
end)

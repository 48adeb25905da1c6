-- palindrome_spec.lua: the data, the experiment as a user runs it, and a whole training's bits and memory.
local sq = require "seqrt"
local support = require "spec.lib.support"
local nn = sq.nn

local script = "scripts/palindrome.lua"
local function run(...)
  return support.run {script, ...}
end

describe("data.Palindrome", function()
  it("gives T-1 digits and asks for the last", function()
    for _, T in ipairs {2, 5, 6} do
      local x, y = sq.data.Palindrome {length = T, generator = sq.Generator(3)}:batch(50)
      assert.equal(("(50,%d,10)"):format(T - 1), tostring(x.shape))
      assert.equal("int64", y.dtype)
      local digits = x:argmax(-1):tolist()
      local labels = y:tolist()
      assert.equal(50 * (T - 1), x:sum():item())
      for i = 1, 50 do
        local all = digits[i]
        all[T] = labels[i]
        for t = 1, T do assert.equal(all[t], all[T + 1 - t]) end
      end
    end
  end)

  it("draws all digits, the same ones from the same seed", function()
    local function labels(seed)
      local _, y = sq.data.Palindrome {length = 4, generator = sq.Generator(seed)}:batch(1000)
      return y
    end
    assert.is_true(labels(1):equal(labels(1)))
    assert.is_false(labels(1):equal(labels(2)))
    local counts = sq.one_hot(labels(1), 10):sum(1)
    assert.is_true(counts:min():item() > 60 and counts:max():item() < 140)
  end)

  it("gives digits as numbers on request", function()
    local x = sq.data.Palindrome {length = 5, one_hot = false}:batch(7)
    assert.equal("(7,4,1)", tostring(x.shape))
    assert.is_true(x:max():item() <= 9)
  end)

  it("refuses what is no palindrome", function()
    assert.error_matches(function() sq.data.Palindrome {length = 1} end, "length is 1: a palindrome to complete")
  end)
end)

describe("scripts/palindrome.lua", function()
  it("runs dry, all of it", function()
    local dir = support.tmpdir()
    local out, err, code = run("--dry-run", "--T", "5,6", "--cell", "rnn,lstm,scratch", "--out", dir)
    assert.equal(0, code, err)
    for _, name in ipairs {"rnn.png", "lstm.png", "scratch.png", "accuracy.png", "results.csv", "lstm-T6/metrics.jsonl"} do
      assert.is_true(support.exists(dir .. "/" .. name), name)
      assert.equal("\137PNG", name:find "png" and support.read(dir .. "/" .. name):sub(1, 4) or "\137PNG")
    end
    assert.matches("model%s+T%s+steps%s+loss%s+accuracy%s+ms/step", out)
    assert.matches("scratch%s+6%s+2%s", out)
  end)

  it("trains: the LSTM learns T = 5 in 60 steps", function()
    local dir = support.tmpdir()
    local out, err, code = run("--T", "5", "--cell", "lstm", "--steps", "60", "--hidden", "64", "--out", dir)
    assert.equal(0, code, err)
    local accuracy = tonumber(out:match "lstm%s+5%s+60%s+[%d.]+%s+([%d.]+)")
    assert.is_true(accuracy > 0.95, out)
    assert.equal(60, select(2, support.read(dir .. "/lstm-T5/metrics.jsonl"):gsub("\n", "")))
  end)

  it("answers a bad command line with status 2", function()
    local cases = {
      {{"--hiden", "3"}, "unknown option '%-%-hiden': did you mean '%-%-hidden'%?"},
      {{"--T", "1"}, "argument %-%-T: 1 is too small: at least 2"},
      {{"--hidden", "0"}, "argument %-%-hidden: 0 is too small: at least 1"},
      {{"--lr", "fast"}, "argument %-%-lr: 'fast' is not a number"},
      {{"--cell", "gru"}, "invalid choice 'gru' %(choose from rnn, lstm, scratch%)"},
      {{"--out", "/proc/none"}, "argument %-%-out: cannot make the folder '/proc/none'"},
    }
    for _, case in ipairs(cases) do
      local out, err, code = run(table.unpack(case[1]))
      assert.equal(2, code)
      assert.equal("", out)
      assert.matches("^palindrome.lua: error: ", err)
      assert.matches(case[2], err)
    end
  end)
end)

describe("the LSTM written out in the script", function()
  -- The script's class, without running the experiment.
  local function scratch_class()
    local text = support.read(script)
    local part = assert(text:match "(local Scratch = .-)\nlocal Net = ")
    return assert(load("local sq, nn = ...\n" .. part .. "\nreturn Scratch"))(sq, nn)
  end

  it("is nn.LSTM: outputs and all gradients agree", function()
    sq.manual_seed(0)
    local B, T, I, H = 6, 5, 10, 4
    local scratch = scratch_class()(I, H):double()
    local lstm = nn.LSTM(I, H, {batch_first = true, dtype = "float64"})
    local order = {"i", "f", "g", "o"}
    sq.no_grad(function()
      for k, g in ipairs(order) do
        local rows = {{(k - 1) * H + 1, k * H}}
        scratch["W_" .. g .. "x"]:copy_(lstm.weight_ih_l0[rows]:t())
        scratch["W_" .. g .. "h"]:copy_(lstm.weight_hh_l0[rows]:t())
        scratch["b_" .. g]:copy_(lstm.bias_ih_l0[rows] + lstm.bias_hh_l0[rows])
      end
    end)
    local x, weight = sq.randn(B, T, I, {dtype = "float64"}), sq.randn(B, T, H, {dtype = "float64"})
    local a, b = scratch(x), (lstm(x))
    assert.is_true((a - b):abs():max():item() <= 1e-10);
    (a * weight):sum():backward();
    (b * weight):sum():backward()
    local function same(p, q) assert.is_true((p - q):abs():max():item() <= 1e-10) end
    for k, g in ipairs(order) do
      local rows = {{(k - 1) * H + 1, k * H}}
      same(scratch["W_" .. g .. "x"].grad, lstm.weight_ih_l0.grad[rows]:t())
      same(scratch["W_" .. g .. "h"].grad, lstm.weight_hh_l0.grad[rows]:t())
      same(scratch["b_" .. g].grad, lstm.bias_ih_l0.grad[rows])
      same(scratch["b_" .. g].grad, lstm.bias_hh_l0.grad[rows])
    end
  end)
end)

-- 50 steps of the palindrome LSTM; prints the bits of loss and weights.
local training = [[
  local sq = require "seqrt"
  local nn = sq.nn
  sq.manual_seed(5)
  local set = sq.data.Palindrome { length = 12, generator = sq.Generator(5) }
  local rnn, head = nn.LSTM(10, 64, { batch_first = true, forget_bias = 1 }), nn.Linear(64, 10)
  local parameters = rnn:parameters()
  for _, p in ipairs(head:parameters()) do parameters[#parameters + 1] = p end
  local opt = sq.optim.RMSprop(parameters, { lr = 1e-3 })
  local function step()
    local x, y = set:batch(128)
    local loss = nn.functional.cross_entropy(head((rnn(x))[{ {}, -1 }]), y)
    opt:zero_grad()
    loss:backward()
    nn.utils.clip_grad_norm_(parameters, 1)
    opt:step()
    return loss:item()
  end
]]

describe("a training", function()
  it("has the same bits for 1, 2, 3 and 4 threads", function()
    local code = training .. [[
      for i = 1, 50 do io.write(("%a "):format(step())) end
      for _, p in ipairs(parameters) do
        for _, v in ipairs(p:detach():reshape(-1):tolist()) do io.write(("%a "):format(v)) end
      end
    ]]
    local path = support.write(support.tmpdir() .. "/train.lua", code)
    local first
    for threads = 1, 4 do
      local out, err, status = support.run({path}, {env = {SEQRT_THREADS = threads}})
      assert.equal(0, status, err)
      assert.is_true(#out > 100000)
      first = first or out
      assert.is_true(out == first, threads .. " threads differ from 1")
    end
  end)

  it("has a flat memory over 2,000 steps #long", function()
    local code = training:gsub("length = 12", "length = 4"):gsub("batch%(128%)", "batch(8)") .. [[
      local function rss()
        for line in io.lines "/proc/self/status" do
          local kb = line:match "VmRSS:%s+(%d+)"
          if kb then return tonumber(kb) end
        end
      end
      for _ = 1, 500 do step() end
      collectgarbage()
      local kb, blocks = rss(), sq.memory_stats().live_blocks
      for _ = 1, 2000 do step() end
      collectgarbage()
      print(rss() - kb, sq.memory_stats().live_blocks - blocks)
    ]]
    local path = support.write(support.tmpdir() .. "/flat.lua", code)
    local out, err, status = support.run {path}
    assert.equal(0, status, err)
    local kb, blocks = out:match "(%-?%d+)%s+(%-?%d+)"
    assert.is_true(tonumber(blocks) <= 0, out)
    assert.is_true(tonumber(kb) < 2048, out)
  end)
end)

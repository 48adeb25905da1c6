-- checkpoint_spec.lua: killed, stopped, out of disk, damaged: a training goes on from a whole checkpoint, to the same bits.
local sq = require "seqrt"
local support = require "spec.lib.support"

local TRAINING = "spec/run/training.lua"

local function raises(expected, fn, ...)
  local ok, message = pcall(fn, ...)
  assert.is_false(ok)
  assert.truthy(tostring(message):find(expected, 1, true), tostring(message))
end

-- Returns standard error and the exit status.
local function train(out, steps, every, ...)
  local _, err, status = support.run {TRAINING, out, steps, every, ...}
  return err, status
end

local function metrics(out) return (support.read(out .. "/metrics.jsonl"):gsub('"time":[%d.]+', "")) end

local function glob(dir, pattern)
  local names = {}
  for i, path in ipairs(sq.fs.glob(dir .. "/" .. pattern)) do names[i] = path:match "[^/]+$" end
  return names
end

local function assert_same_end(reference, out)
  assert.equal(metrics(reference), metrics(out))
  assert.is_true(support.read(reference .. "/final.safetensors") == support.read(out .. "/final.safetensors"))
end

describe("a training", function()
  local STEPS, reference = 100, nil

  setup(function()
    reference = support.tmpdir()
    local err, status = train(reference, STEPS, 1000)
    assert.equal("from 0\n", err)
    assert.equal(0, status)
    assert.equal(STEPS, #metrics(reference):gsub("[^\n]", ""))
  end)

  it("killed at 50 random moments and resumed each time ends with the same bits", function()
    local begin = sq.clock()
    train(support.tmpdir(), STEPS, 2)
    local whole = sq.clock() - begin
    local kills, resumed, finished = 0, 0, 0
    local out, random = support.tmpdir(), sq.Generator(3)
    while kills < 50 or finished == 0 do
      local seconds = sq.rand(1, {generator = random}):item() * whole * 0.7
      local err, status = train(out, STEPS, 2, table.unpack(kills < 50 and {"KILL", ("%.4f"):format(seconds)} or {}))
      if status == 137 then
        kills = kills + 1
        if err:find "from [1-9]" then resumed = resumed + 1 end
      else
        assert.equal(0, status, err)
        assert_same_end(reference, out)
        assert.same({}, glob(out, ".seqrt-*"))
        finished, out = finished + 1, support.tmpdir()
      end
    end
    assert.is_true(resumed >= 10, resumed .. " of 50 were resumed")
  end)

  for signal, code in pairs {TERM = 143, INT = 130} do
    it("that gets SIG" .. signal .. " ends its step, saves, and leaves with " .. code, function()
      local out = support.tmpdir()
      local err, status = train(out, STEPS, 1000, signal, 41)
      assert.equal(code, status)
      assert.truthy(err:find(signal == "TERM" and "terminated!" or "interrupted!", 1, true), err)
      assert.same({"checkpoint-00000041.safetensors"}, glob(out, "checkpoint-*"))
      err, status = train(out, STEPS, 1000)
      assert.equal("from 41\n", err)
      assert.equal(0, status)
      assert_same_end(reference, out)
    end)
  end

  it("paused and told to save or to quit does so at the end of the step", function()
    local out = support.tmpdir()
    local function pause(step)
      local t = support.terminal {TRAINING, out, STEPS, 1000, "PAUSE", step}
      t:expect "here"
      t:send "\3"
      t:expect "paused> "
      return t
    end
    local t = pause(30)
    t:send "save\r"
    t:expect "\nthe checkpoint will be saved at the end of this step: cont\n"
    t:send "here = false\rcont\r"
    assert.equal(0, t:status())
    assert_same_end(reference, out)
    assert.same({"checkpoint-00000030.safetensors"}, glob(out, "checkpoint-*"))
    t = pause(50)
    t:send "here = false\rquit\r"
    t:expect "\ngoing on to the end of this step, to save the checkpoint\n"
    assert.equal(130, t:status())
    assert.same({"checkpoint-00000030.safetensors", "checkpoint-00000050.safetensors"}, glob(out, "checkpoint-*"))
    assert.equal("from 50\n", (train(out, STEPS, 1000)))
    assert_same_end(reference, out)
  end)
end)

describe("a stop", function()
  local HEAD = [[
    local sq = require "seqrt"
    local dir = arg[1]
    local function kill() os.execute("kill -TERM " .. require "seqrt.sys".pid()) end
    local checkpoint = sq.Checkpoint(dir)
  ]]

  local function run(body)
    local dir = support.tmpdir()
    local path = support.write(dir .. "/s.lua", HEAD .. body)
    local out, err, status = support.run {path, dir}
    return out, err, status, dir
  end

  it("does not wait before the first step, nor after the last", function()
    local out, err, status, dir = run "kill() print 'not reached'"
    assert.equal("", out)
    assert.truthy(err:find("terminated!", 1, true))
    assert.equal(143, status)
    assert.same({}, glob(dir, "checkpoint-*"))
    out, err, status = run "checkpoint:step(1, {}) checkpoint:close() kill() print 'not reached'"
    assert.equal("", out)
    assert.truthy(err:find("terminated!", 1, true))
    assert.equal(143, status)
  end)

  it("that waited for a step which never came happens when the checkpoint is closed", function()
    local out, _, status, dir = run "checkpoint:step(1, {}) kill() print 'reached' checkpoint:close() print 'not reached'"
    assert.equal("reached\n", out)
    assert.equal(143, status)
    assert.same({}, glob(dir, "checkpoint-*"))
  end)

  it("calls what sq.on_stop registered, after the checkpoint is saved", function()
    local out, _, status, dir = run [[
      sq.on_stop(function() print(checkpoint:latest()) end)
      for step = 1, 3 do
        if step == 2 then kill() end
        checkpoint:step(step, {})
      end]]
    assert.equal("2\n", out)
    assert.equal(143, status)
    assert.same({"checkpoint-00000002.safetensors"}, glob(dir, "checkpoint-*"))
  end)

  it("that comes again after a second does not wait", function() -- the second is what it is about: no marker can stand for it
    local out, err, status = run "checkpoint:step(1, {}) kill() os.execute 'sleep 1.1' kill() print 'not reached'"
    assert.equal("", out)
    assert.truthy(err:find("terminated!", 1, true))
    assert.equal(143, status)
  end)

  it("works in a coroutine", function()
    local _, _, status, dir = run [[
      coroutine.wrap(function()
        for step = 1, 3 do
          if step == 2 then kill() end
          checkpoint:step(step, {})
        end
      end)()]]
    assert.equal(143, status)
    assert.same({"checkpoint-00000002.safetensors"}, glob(dir, "checkpoint-*"))
  end)
end)

describe("sq.Checkpoint", function()
  it("keeps the newest, and forgets a future that was given up", function()
    local dir = support.tmpdir()
    local checkpoint <close> = sq.Checkpoint(dir, {keep = 3, every = 10})
    assert.is_nil(checkpoint:latest())
    assert.is_nil((checkpoint:resume {}))
    assert.equal(("Checkpoint in '%s': empty"):format(dir), tostring(checkpoint))
    for step = 1, 50 do
      assert.equal(step % 10 == 0 and ("%s/checkpoint-%08d.safetensors"):format(dir, step) or nil,
        checkpoint:step(step, {value = step}))
    end
    assert.same({"checkpoint-00000030.safetensors", "checkpoint-00000040.safetensors",
      "checkpoint-00000050.safetensors"}, glob(dir, "*"))
    assert.equal(("Checkpoint in '%s': step 50"):format(dir), tostring(checkpoint))
    checkpoint:save(35, {value = "again"})
    assert.same({"checkpoint-00000030.safetensors", "checkpoint-00000035.safetensors"}, glob(dir, "*"))
    local step, rest = checkpoint:resume {}
    assert.equal(35, step)
    assert.same({value = "again"}, rest)
  end)

  it("writes the same bytes for the same state", function()
    local function save()
      sq.manual_seed(0)
      local model = sq.nn.LSTM(3, 4)
      local opt = sq.optim.Adam(model:parameters())
      model(sq.randn(2, 2, 3)):sum():backward()
      opt:step()
      local checkpoint <close> = sq.Checkpoint(support.tmpdir())
      return support.read(checkpoint:save(1, {model = model, opt = opt, words = {a = 1, b = "2", c = {3, 4.5}}}))
    end
    assert.is_true(save() == save())
  end)

  it("removes half-written files of processes that are gone", function()
    local dir = support.tmpdir()
    support.write(dir .. "/.seqrt-999999999-0.tmp", "half")
    support.write(dir .. "/.seqrt-1-0.tmp", "another's")
    support.write(dir .. "/.seqrt-note", "kept")
    local checkpoint <close> = sq.Checkpoint(dir) -- luacheck: ignore
    assert.same({".seqrt-1-0.tmp", ".seqrt-note"}, glob(dir, ".seqrt-*"))
  end)

  it("gives its folder to one process", function()
    local dir = support.tmpdir()
    local checkpoint = sq.Checkpoint(dir)
    local again <close> = sq.Checkpoint(dir) -- luacheck: ignore
    local try = {"-e", ("require 'seqrt'.Checkpoint '%s' print 'free'"):format(dir)}
    local out, err, status = support.run(try)
    assert.equal("", out)
    assert.equal(1, status)
    assert.truthy(err:find(("[Checkpoint] the folder '%s' is in use by another process: give this run a folder of its own, "
      .. "or end the other one"):format(dir), 1, true), err)
    checkpoint:close()
    raises("[Checkpoint] the checkpoints of '" .. dir .. "' were closed", checkpoint.save, checkpoint, 1, {})
    assert.equal("", (support.run(try)))
    again:close()
    assert.equal("free\n", (support.run(try)))
  end)

  it("names a damaged file and goes on from the one before", function()
    local dir = support.tmpdir()
    local code = ([[
      local c = require "seqrt".Checkpoint "%s"
      local step, rest = c:resume()
      print(step, rest and rest.value)]]):format(dir)
    do
      local checkpoint <close> = sq.Checkpoint(dir)
      checkpoint:save(1, {value = 10})
      checkpoint:save(2, {value = 20})
    end
    assert.equal("2\t20\n", (support.run {"-e", code}))
    local path = dir .. "/checkpoint-00000002.safetensors"
    local whole = support.read(path)
    support.write(path, whole:sub(1, #whole // 2))
    local out, err, status = support.run {"-e", code}
    assert.equal("1\t10\n", out)
    assert.truthy(err:find("'" .. path .. "': [safetensors] at byte ", 1, true), err)
    assert.truthy(err:find("; going on from step 1\n", 1, true), err)
    assert.equal(0, status)
    support.write(path, support.read(dir .. "/checkpoint-00000001.safetensors"))
    err = select(2, support.run {"-e", code})
    assert.truthy(err:find("'" .. path .. "' holds no checkpoint of step 2; going on from step 1", 1, true), err)
    support.write(dir .. "/checkpoint-00000001.safetensors", "")
    out, err, status = support.run {"-e", code}
    assert.equal("", out)
    assert.truthy(err:find("[Checkpoint] no checkpoint can be read: '" .. path .. "' holds no", 1, true), err)
    assert.equal(1, status)
  end)

  it("keeps the old checkpoint when the disk is full, and says why", function()
    local dir = support.tmpdir()
    local code = ([[
      local sq = require "seqrt"
      local c = sq.Checkpoint "%s"
      c:save(1, {x = sq.ones(10)})
      print(pcall(c.save, c, 2, {x = sq.ones(100000)}))
      print(c:resume())]]):format(dir)
    local script = support.write(support.tmpdir() .. "/s.lua", code)
    local out = support.shell(("bash -c 'ulimit -f 50; exec %s %s'"):format(support.seqrt, script))
    assert.truthy(out:find("cannot write '" .. dir .. "/checkpoint-00000002.safetensors': File too large", 1, true), out)
    assert.truthy(out:find "\n1\ttable", out)
    assert.same({"checkpoint-00000001.safetensors"}, glob(dir, "*"))
    assert.same({}, glob(dir, ".seqrt-*"))
  end)

  it("checks what it is given", function()
    local dir = support.tmpdir()
    local checkpoint <close> = sq.Checkpoint(dir)
    local model = sq.nn.Linear(2, 2)
    raises("[Checkpoint] dir must be the name of a folder", sq.Checkpoint, "")
    raises("[Checkpoint] keep is 0: it must be at least 1", sq.Checkpoint, dir, {keep = 0})
    raises("[Checkpoint] every is 0: it must be at least 1", sq.Checkpoint, dir, {every = 0})
    raises("did you mean 'keep'", sq.Checkpoint, dir, {kep = 1})
    raises("[Checkpoint] cannot make the folder '/dev/null'", sq.Checkpoint, "/dev/null/x")
    raises("[save] step is 1.5: it must be a whole number", checkpoint.save, checkpoint, 1.5, {})
    raises("[Checkpoint] step is -1", checkpoint.step, checkpoint, -1, {})
    raises("[save] parts is missing", checkpoint.save, checkpoint, 1)
    raises("[Checkpoint] save takes names: save{model = model, ...}", checkpoint.save, checkpoint, 1, {model})
    raises("[Checkpoint] 'step' is saved anyway: choose another name", checkpoint.save, checkpoint, 1, {step = 1})
    raises("[save] value.f is a function", checkpoint.save, checkpoint, 1, {f = print})
    assert.same({}, glob(dir, "*"))
    checkpoint:save(1, {model = model})
    raises("checkpoint-00000001.safetensors' has no opt", checkpoint.resume, checkpoint, {model = model, opt = model})
    raises("[Checkpoint] model is a number without load_state_dict", checkpoint.resume, checkpoint, {model = 1})
    raises("checkpoint-00000001.safetensors': model: ", checkpoint.resume, checkpoint, {model = sq.nn.Linear(3, 2)})
  end)
end)

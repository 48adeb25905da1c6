-- progress_spec.lua: tqdm's line to the letter, terminals and files, what an update costs.
local sq = require "seqrt"
local support = require "spec.support"

local Progress = require "seqrt.progress"
local UTF8, ASCII = Progress.glyphs.utf8, Progress.glyphs.ascii

-- Runs a script under a terminal of 80 columns; returns what the terminal was sent.
local function on_terminal(script, env)
  local path = support.write(support.tmpdir() .. "/p.lua", script)
  local command = ("stty cols 80; exec %s %s"):format(support.seqrt, path)
  env = env or {}
  env.LC_ALL, env.TERM, env.SHELL = env.LC_ALL or "C.UTF-8", env.TERM or "xterm", "/bin/sh"
  return (support.shell("script -qec " .. support.quote(command) .. " /dev/null", {env = env}))
end

describe("sq.progress", function()
  it("writes tqdm's line", function() -- the expected lines are tqdm 4.70.1's, of format_meter
    local function line(expected, state, width, glyphs)
      assert.equal(expected, Progress.line(state, width, glyphs or UTF8))
    end
    line("train:  45%|████▉      | 450/1000 [00:10<00:12, 45.00it/s, acc=0.98, loss=0.123]",
      {n = 450, total = 1000, elapsed = 10, rate = 45, desc = "train", postfix = {loss = 0.123, acc = 0.98}}, 80)
    line("  0%|                              | 0/1000 [00:00<?, ?it/s]", {n = 0, total = 1000, elapsed = 0}, 60)
    line(" 30%|#####3            | 3/10 [1:01:01<2:22:22, 1220.40s/it]", {n = 3, total = 10, elapsed = 3661.2}, 60,
      ASCII)
    line("x: 7it [00:02,  3.50it/s]", {n = 7, elapsed = 2, desc = "x"}, 80)
    line(" 33%|████████▎                | 1/3 [00:05<00:10,  5.00s/it]",
      {n = 1, total = 3, elapsed = 5, rate = 0.2}, 60)
    line("0it [00:01, ?it/s]", {n = 0, total = 0, elapsed = 1}, 50)
    line("outer: 100%|██████████████████████████| 30/30 [00:01<00:00, 25.00it/s]",
      {n = 30, total = 30, elapsed = 1.2, desc = "outer"}, 70)
  end)

  it("draws on a terminal and leaves the full line", function()
    local out = on_terminal 'for i in require "seqrt".progress(3, {desc = "run"}) do io.write "" end'
    assert.truthy(out:find("\rrun:   0%|", 1, true), out)
    assert.truthy(out:find("\rrun: 100%%|[█]+| 3/3 %[00:00<00:00, +[%d.]+it/s%]%s*\n$"), out)
    out = on_terminal('for _ in require "seqrt".progress(3) do end', {LC_ALL = "C"})
    assert.truthy(out:find("100%%|#+| 3/3 "), out)
  end)

  it("prints above the bar", function()
    local out = on_terminal [[
      local bar = require "seqrt".progress(2)
      bar:update(); bar:write "hello"; bar:update(); bar:close()]]
    assert.truthy(out:find("\rhello\r?\n\r 50%%|"), out)
  end)

  it("writes plain lines elsewhere, without control characters", function()
    local script = support.write(support.tmpdir() .. "/p.lua", [[
      local sq = require "seqrt"
      local bar = sq.progress(4, {desc = "run"})
      for _ = 1, 4 do
        local start = sq.clock()
        while sq.clock() - start < 0.06 do end
        bar:set_postfix {loss = 0.25}
        bar:update()
      end
      bar:close()]])
    local out, err, code = support.run {script}
    local _
    assert.same({"", 0}, {out, code})
    assert.truthy(err:find "^run: 100%% 4/4 %[00:00<00:00, 1%d%.%d%dit/s, loss=0.25%]\n$", err)
    _, err = support.run({script}, {env = {SEQRT_PROGRESS = "0.1s"}})
    assert.is_true(select(2, err:gsub("\n", "")) >= 3, err)
    assert.is_nil(err:find "[\27\r]")
    _, err = support.run({script}, {env = {SEQRT_PROGRESS = "0"}})
    assert.equal("", err)
  end)

  it("closes at break and on an error", function()
    local _, err, code = support.run {"-e", [[
      local ok, message = pcall(function()
        local bar <close> = require "seqrt".progress(10)
        bar:update(5)
        error "stop"
      end)
      assert(not ok)]]}
    assert.equal(0, code)
    assert.truthy(err:find " 50%% 5/10 ", err)
  end)

  it("refuses a count that is none", function()
    assert.has_error(function() sq.progress(-1) end, "progress: total is -1: it must be a count")
    local _, text = pcall(sq.progress, "x")
    assert.is_truthy(text:find('[progress] total: expected a number, got the string "x"', 1, true))
  end)

  it("costs no more than a few plain method calls per update", function()
    local Plain = {}
    Plain.__index = Plain
    function Plain:update(k) self.n = self.n + (k or 1) end
    local function best(object)
      local least = math.huge
      for _ = 1, 20 do
        local start = sq.clock()
        for _ = 1, 20000 do object:update() end
        least = math.min(least, sq.clock() - start)
      end
      return least
    end
    local bar = sq.progress(1e9, {disable = false})
    bar.shown = false -- nothing of this may reach the test's own output
    local ratio = best(bar) / best(setmetatable({n = 0}, Plain))
    assert.is_true(ratio < 5, ("%.1f times"):format(ratio))
  end)
end)

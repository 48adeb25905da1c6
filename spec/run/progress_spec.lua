-- progress_spec.lua: tqdm's line to the letter, terminals and files, what an update costs.
local sq = require "seqrt"
local support = require "spec.lib.support"

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

-- What stands on the terminal's screen in the end: its lines without their spaces at the end.
local function screen(sent)
  local lines, row, column = {}, 1, 1
  local function put(c)
    lines[row] = lines[row] or {}
    lines[row][column] = c
    column = column + 1
  end
  while sent ~= "" do
    local up = sent:match "^\27%[(%d+)A"
    local c = up and "\27[" .. up .. "A" or sent:match(utf8.charpattern)
    if up then
      row = row - tonumber(up)
    elseif c == "\r" then
      column = 1
    elseif c == "\n" then
      row = row + 1
    else
      put(c)
    end
    sent = sent:sub(#c + 1)
  end
  local out = {}
  for r = 1, row do
    for i = 1, 100 do out[r] = (out[r] or "") .. (lines[r] and lines[r][i] or " ") end
    out[r] = out[r]:gsub(" +$", ""):gsub("|[^|]*|", "|"):gsub(" %[.*", "")
  end
  return out
end

describe("sq.progress", function()
  it("gives nil for a field that may be missing, and keeps one of the script's own", function()
    local bar = require "seqrt".progress(nil, {disable = true})
    bar.mine = 3
    assert.same({nil, 3, nil}, {bar.total, bar.mine, bar._private})
    assert.has_error.matches(function() return bar.totle end, "Progress has no 'totle'")
  end)

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
    assert.truthy(out:find "\rrun: 100%%|[█]+| 3/3 %[00:00<00:00, +[%d.]+it/s%]%s*\n$", out)
    out = on_terminal('for _ in require "seqrt".progress(3) do end', {LC_ALL = "C"})
    assert.truthy(out:find "100%%|#+| 3/3 ", out)
  end)

  it("prints above the bar", function()
    local out = on_terminal [[
      local bar = require "seqrt".progress(2)
      bar:update(); bar:write "hello"; bar:update(); bar:close()]]
    assert.truthy(out:find "\rhello\r?\n\r 50%%|", out)
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
    assert.truthy(err:find "^run: 100%% 4/4 %[%d%d:%d%d<00:00, +[%d.]+it/s, loss=0.25%]\n$", err)
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

  it("ends its line however it is left", function()
    local ways = {
      ["break"] = "for i in sq.progress(5) do if i == 2 then break end end",
      ["goto"] = "for i in sq.progress(5) do if i == 2 then goto out end end ::out::",
      ["return"] = "local f = function() for i in sq.progress(5) do if i == 2 then return end end end f()",
      ["an error"] = 'pcall(function() for i in sq.progress(5) do if i == 2 then error "x" end end end)',
      ["a closed coroutine"] = "local co = coroutine.create(function() for i in sq.progress(5) do "
        .. "if i == 2 then coroutine.yield() end end end) coroutine.resume(co) coroutine.close(co)",
      ["a coroutine that nobody resumes"] = "coroutine.wrap(function() for i in sq.progress(5) do "
        .. "if i == 2 then coroutine.yield() end end end)() collectgarbage() collectgarbage()",
      ["a bar that nobody has"] = 'pcall(function() local bar = sq.progress(5) bar:update() error "x" end) collectgarbage()',
      ["a bar in a <close> variable"] = 'pcall(function() local bar <close> = sq.progress(5) bar:update() error "x" end)',
    }
    for way, script in pairs(ways) do
      local out = screen(on_terminal('local sq = require "seqrt" ' .. script .. ' print "after"'))
      assert.same({" 20%| 1/5", "after", ""}, out, way)
    end
  end)

  it("ends its line at the end of the process", function()
    for way, script in pairs {
      ["os.exit"] = "bar:update() os.exit(0)", ["os.exit and a closed state"] = "bar:update() os.exit(0, true)",
      ["the end of the script"] = "bar:update()"} do
      local out = screen(on_terminal('local bar = require "seqrt".progress(5) ' .. script))
      assert.truthy(out[1]:find "^ +%d+%%| %d/5$", way)
      assert.same({"", 2}, {out[2], #out}, way)
    end
    local out = screen(on_terminal [[
      local sq = require "seqrt"
      local outer, inner = sq.progress(5, {desc = "outer"}), sq.progress(3, {desc = "inner"})
      os.exit(0)]])
    assert.same({"outer:   0%| 0/5", "inner:   0%| 0/3", ""}, out)
    out = screen(on_terminal 'local bar = require "seqrt".progress(5) bar:update() error "no more"')
    assert.equal("  0%| 0/5", out[1])
    assert.truthy(out[2]:find "seqrt: .*no more$", out[2])
  end)

  it("keeps the lines of nested bars apart", function()
    local nested = [[
      local sq = require "seqrt"
      for i in sq.progress(2, {desc = "outer"}) do
        for j in sq.progress(3, {desc = "inner", leave = %s}) do %s end
      end
      print "after"]]
    assert.same({"outer: 100%| 2/2", "after", ""}, screen(on_terminal(nested:format("nil", ""))))
    assert.same({"inner: 100%| 3/3", "inner: 100%| 3/3", "outer: 100%| 2/2", "after", ""},
      screen(on_terminal(nested:format("true", ""))))
    assert.same({"inner:  33%| 1/3", "inner:  33%| 1/3", "outer: 100%| 2/2", "after", ""},
      screen(on_terminal(nested:format("true", "if j == 2 then break end"))))
    local out = screen(on_terminal [[
      local sq = require "seqrt"
      local a, b, c = sq.progress(2, {desc = "a"}), sq.progress(2, {desc = "b"}), sq.progress(2, {desc = "c", leave = true})
      a:close()
      b:write "said"
      c:close()
      b:update(2)
      b:close()
      print "after"]])
    assert.same({"a:   0%| 0/2", "said", "c:   0%| 0/2", "after", ""}, out)
    out = screen(on_terminal [[
      local sq = require "seqrt"
      local outer = sq.progress(2, {desc = "outer"})
      pcall(function() local lost = sq.progress(3, {desc = "lost"}) error "x" end)
      collectgarbage()
      for _ in sq.progress(4, {desc = "next", leave = true}) do end
      outer:update(2)
      outer:close()
      print "after"]])
    assert.same({"next: 100%| 4/4", "outer: 100%| 2/2", "after", ""}, out)
  end)

  it("counts the columns of what it writes", function()
    local columns = require "seqrt.sys".columns
    for text, want in pairs {[""] = 0, abc = 3, ["é"] = 1, ["e\u{301}"] = 1, ["层"] = 2, ["ｗ"] = 2, ["한글"] = 4, ["🙂"] = 2,
      ["a\u{200b}b"] = 2, ["❤\u{fe0f}"] = 2, ["❤"] = 1, ["\27[1;31mred\27[0m"] = 3, ["\255\200"] = 2, ["a\0b"] = 2,
      ["\u{1F468}\u{200D}\u{1F469}"] = 4} do
      assert.same({want, #text}, {columns(text)}, text)
    end
    assert.same({3, 4}, {columns("a层b层", 3)})
    assert.same({4, 5}, {columns("a层b层", 5)}) -- the second wide one has no room
    assert.same({2, 6}, {columns("e\u{301}e\u{301}e", 2)})
    local cut = Progress.Progress.text.cut
    assert.equal("层层", cut("层层层", 5))
    assert.equal("\27[31mab\27[0m", cut("\27[31mabc", 2))
    for _, desc in ipairs {"层层层层", "e\u{301}e\u{301}e\u{301}", "🙂🙂🙂", "\27[32mgreen\27[0m", "two\nlines\tand a tab"} do
      local line = Progress.line({n = 1, total = 3, elapsed = 1, desc = desc, postfix = {["损失"] = 0.5}}, 70, UTF8)
      assert.equal(70, (columns(line)), line)
      assert.is_nil(line:find "[\n\t]")
    end
  end)

  it("takes every count that tqdm takes", function()
    local function line(state) return (Progress.line(state, 60, ASCII):gsub(" %[.*", ""):gsub("|.*|", "|")) end
    assert.equal(" 50%| 0.5/1", line {n = 0.5, total = 1, elapsed = 1})
    assert.equal(" 40%| 1/2.5", line {n = 1, total = 2.5, elapsed = 1})
    assert.equal("  0%| 5/1e+30", line {n = 5, total = 1e30, elapsed = 1})
    assert.equal("infit", line {n = math.huge, total = 3, elapsed = 1})
    assert.equal("-50%| -1/2", line {n = -1, total = 2, elapsed = 1})
    assert.truthy(line({n = 0 / 0, total = 3, elapsed = 1}):find "^%-?nanit$")
    assert.is_nil(sq.progress(math.huge, {disable = true}).total) -- as tqdm: unknown
    local bar = sq.progress(nil, {disable = true})
    for i in bar do if i == 3 then break end end
    assert.equal(2, bar.n)
  end)

  it("refuses a count that is none", function()
    assert.has_error(function() sq.progress(-1) end, "progress: total is -1: it must be a count")
    local _, text = pcall(sq.progress, "x")
    assert.is_truthy(text:find('[progress] total: expected a number, got the string "x"', 1, true))
  end)

  it("costs a few instructions per update", function()
    local bar, n, hundreds = sq.progress(1e9, {disable = false}), 100000, 0
    bar.shown = false -- nothing of this may reach the test's own output
    debug.sethook(function() hundreds = hundreds + 1 end, "", 100)
    for _ = 1, n do bar:update() end
    debug.sethook()
    assert.is_true(hundreds * 100 / n < 20, hundreds * 100 / n)
  end)
end)

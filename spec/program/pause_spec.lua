-- pause_spec.lua: Ctrl-C in a script on a terminal: look, change, go on; signals off the terminal.
local support = require "spec.lib.support"

-- A script that runs until `lr` is 9, then tells what it has.
local LOOP = [[
local lr = 0.1
counter = 0
local function train(limit)
  local loss = 1.5
  while lr ~= 9 do
    counter = counter + 1 if not told then told = true print "begin" end
    if lr == 7 then error "seven" end
  end
  return loss
end
-- "begin" is told from within the loop
print("end", BODY, lr)
]]

local function start(body, env)
  local path = support.write(support.tmpdir() .. "/loop.lua", (LOOP:gsub("BODY", function() return body or "train(3)" end)))
  local t = support.terminal({path}, {env = env})
  t:expect "begin"
  t:send "\3"
  t:expect "paused> "
  return t, path
end

local function says(t, line, text)
  t:send(line .. "\r")
  t:expect("\n" .. text)
  t:expect "paused> "
end

describe("Ctrl-C in a script", function()
  it("pauses, shows where, and goes on with what was assigned", function()
    local t, path = start()
    assert.truthy(t:text():find("\npaused: cont, step, where, locals", 1, true))
    assert.truthy(t:text():find("\n" .. path .. ":%d: in %w+ 'train'\n     %d | "), t:text())
    says(t, "lr", "0.1\n")
    says(t, "limit, loss", "3\t1.5\n")
    says(t, "locals", "  local   limit = 3\n  local   loss = 1.5\n  upvalue lr = 0.1\n")
    says(t, "loss = 2.5", "(local loss)\n")
    says(t, "counter = -1000", "(global counter)\n")
    says(t, "counter", "-1000\n")
    says(t, "sq.ones(2):sum()", "2.\n")
    says(t, "where", "* " .. path)
    says(t, "up", path .. ":12: in the main chunk\n")
    says(t, "lr", "0.1\n")
    says(t, "down", path)
    says(t, "nothing.here", "stdin:1: attempt to index a nil value (global 'nothing')\n")
    t:send "lr = 9\r"
    t:expect "(upvalue lr)\n"
    t:send "cont\r"
    t:expect "end\t2.5\t9\n"
    assert.equal(0, t:status())
  end)

  it("finds the locals of the frames that called it, and says whose it writes", function()
    local t = start "(function(outer) local loss = 7 train(3) return outer + loss end)(4)"
    says(t, "outer", "4\n")
    says(t, "loss", "1.5\n")
    says(t, "outer = 5", "(local outer of function <")
    says(t, "fresh = 1", "(global fresh)\n")
    t:send "lr = 9\rcont\r"
    t:expect "end\t12\t9\n"
    assert.equal(0, t:status())
  end)

  it("works inside coroutines", function()
    local t, path = start "coroutine.wrap(function() return (train(3)) end)()"
    says(t, "limit", "3\n")
    t:send "where\r"
    t:expect "* "
    t:expect("\n  " .. path .. ":12: in the main chunk\n") -- which resumed it
    t:expect "paused> "
    t:send "lr = 9\rcont\r"
    t:expect "end\t1.5\t9\n"
    assert.equal(0, t:status())
  end)

  it("steps line by line", function()
    local t = start()
    local function line_after(command)
      t:send(command .. "\r")
      t:expect "train'\n"
      local at = t:expect " > "
      t:expect "paused> "
      return tonumber(t:text():sub(1, at):match "(%d+)$")
    end
    local a, b, c = line_after "step", line_after "step", line_after "step"
    local after = {[5] = 6, [6] = 7, [7] = 5}
    assert.same({after[a], after[b]}, {b, c})
    t:send "lr = 9\r\4" -- Ctrl-D goes on
    t:expect "end\t1.5\t9\n"
    assert.equal(0, t:status())
  end)

  it("pauses again, and the prompt itself can be interrupted", function()
    local t = start()
    t:send "print('run' .. 'ning') while true do end\r"
    t:expect "running"
    t:send "\3"
    t:expect "interrupted!"
    t:expect "paused> "
    says(t, "told = false", "(global told)\n")
    t:send "cont\r"
    t:expect "begin"
    t:send "\3"
    t:expect "paused: "
    t:expect "paused> "
    t:send "lr = 9\rcont\r"
    t:expect "end\t1.5\t9\n"
    assert.equal(0, t:status())
  end)

  it("gives way to a variable of a command's name", function()
    local path = support.write(support.tmpdir() .. "/s.lua",
      "local step = 41\nwhile step < 1e9 do\n  step = step + 0\n  if not told then told = true print 'begin' end\nend\n"
      .. "print('step', step)\n")
    local t = support.terminal {path}
    t:expect "begin"
    t:send "\3"
    t:expect "paused> "
    says(t, "step", "(a variable; the command is :step)\n41\n")
    t:send "step = 2e9\r:cont\r"
    t:expect "step\t2000000000.0\n"
    t:status()
  end)

  it("aborts as an error, also one raised later", function()
    local t = start()
    t:send "abort\r"
    t:expect "aborted"
    assert.equal(1, t:status())
    t = start()
    t:send "lr = 7\rcont\r"
    t:expect ": seven\nstack traceback:"
    assert.equal(1, t:status())
    t = start "select(2, pcall(train, 3))"
    t:send "abort\r"
    t:expect "\nend\taborted\t0.1\n"
    assert.equal(0, t:status())
  end)

  it("saves, and quits with 130", function()
    local dir = support.tmpdir()
    local t = start("(function() require 'seqrt'.on_stop(function() io.open('" .. dir
      .. "/saved', 'a'):write(counter > 0 and 'x' or '-'):close() end) return train(3) end)()")
    says(t, "save", "saved\n")
    assert.equal("x", support.read(dir .. "/saved"))
    t:send "quit\r"
    assert.equal(130, t:status())
    assert.equal("xx", support.read(dir .. "/saved"))
    t = start()
    says(t, "save", "nothing was saved: the script has set no checkpoint (sq.on_stop)\n")
    t:send "quit\r"
    assert.equal(130, t:status())
  end)

  it("lets work in C end first: nothing is half done", function()
    local path = support.write(support.tmpdir() .. "/s.lua", [[
      local sq = require "seqrt"
      local a, n, go = sq.randn(600, 600), 0, true
      print "begin"
      while go do
        local ok, message = pcall(a.matmul, a, a)
        assert(ok, message)
        n = n + 1
        print "a turn"
      end
      print "whole"]])
    local t = support.terminal {path}
    t:expect "begin"
    for _ = 1, 3 do
      t:expect "a turn"
      t:send "\3"
      t:expect "paused> "
      t:send "cont\r"
    end
    t:expect "a turn"
    t:send "\3"
    t:expect "paused> "
    t:send "go = false\rcont\r"
    t:expect "whole\n"
    assert.equal(0, t:status())
  end)

  it("a second one within a second kills", function()
    local path = support.write(support.tmpdir() .. "/s.lua", "print 'begin' local s = ('a'):rep(200) .. 'b'\n"
      .. "while true do s:find '.-.-.-.-.-.-.-.-.-c' end")
    local t = support.terminal {path}
    t:expect "begin"
    support.eventually(function()
      local ended = t:has_ended()
      if not ended then t:send "\3" end
      return ended
    end)
    assert.equal(130, t:status())
  end)

  it("ends the script with SEQRT_PAUSE=0", function()
    local path = support.write(support.tmpdir() .. "/s.lua", "print 'begin' while true do end")
    local t = support.terminal({path}, {env = {SEQRT_PAUSE = "0"}})
    t:expect "begin"
    t:send "\3"
    t:expect "interrupted!"
    assert.equal(130, t:status())
  end)
end)

describe("signals off the terminal", function()
  it("save and end with 130 and 143", function()
    local dir = support.tmpdir()
    local path = support.write(dir .. "/s.lua", [[
      require "seqrt".on_stop(function() io.open(arg[1], "w"):write "saved":close() end)
      require "seqrt".on_stop(function() error "one that fails" end)
      ]] .. support.READY .. "while true do end")
    for name, code in pairs {INT = 130, TERM = 143} do
      local _, err, status = support.run({path, dir .. "/" .. name}, {signal = name})
      assert.equal(code, status)
      assert.truthy(err:find(name == "INT" and "interrupted!" or "terminated!", 1, true), err)
      assert.equal("saved", support.read(dir .. "/" .. name))
    end
  end)

  it("save and go on at SIGUSR1, at once or at the next safe point", function()
    local dir = support.tmpdir()
    local path = support.write(dir .. "/s.lua", [[
      local sq = require "seqrt"
      local saved = 0
      sq.on_stop(function() saved = saved + 1 end)
      ]] .. support.READY .. [[
      while saved == 0 do end
      print("saved", saved, "and went on")]])
    local out, err, status = support.run({path}, {signal = "USR1"})
    assert.same({"saved\t1\tand went on\n", "", 0}, {out, err, status})
  end)

  it("can be taken back", function()
    local dir = support.tmpdir()
    local _, _, status = support.run({"-e", [[
      local off = require "seqrt".on_stop(function() io.open("]] .. dir .. [[/x", "w"):close() end)
      off()
      ]] .. support.READY .. "while true do end"}, {signal = "TERM"})
    assert.equal(143, status)
    assert.is_false(support.exists(dir .. "/x"))
    local _, text = pcall(require "seqrt".on_stop, 1)
    assert.is_truthy(text:find("[on_stop] fn: expected a function, got the number 1", 1, true))
  end)
end)

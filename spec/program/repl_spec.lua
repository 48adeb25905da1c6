-- repl_spec.lua: the prompt, on a terminal and through a pipe.
local support = require "spec.lib.support"

local function prompt(options)
  local t = support.terminal({}, options)
  t:expect "Ctrl-D leaves"
  t:expect "> "
  return t
end

-- Sends a line and waits for what it prints.
local function says(t, line, text)
  t:send(line .. "\r")
  t:expect("\n" .. text)
  t:expect "> "
end

describe("the prompt", function()
  it("evaluates, prints to be read, and leaves at Ctrl-D", function()
    local t = prompt()
    says(t, "1 + 1", "2\n")
    says(t, "'a', nil, true", "a\tnil\ttrue\n")
    says(t, "x = {a = 1, b = {1, 'two', {}}}", "")
    says(t, "x", '{a = 1, b = {1, "two", {}}}\n')
    says(t, "x.me = = x", "stdin:1: ")
    says(t, "x.me = x return x", '{a = 1, b = {1, "two", {}}, me = <cycle>}\n')
    says(t, "{1, {2, {3, {4, {5}}}}}", "{1, {2, {3, {4, {...}}}}}\n")
    says(t, "{t = sq.ones(2, 3)}", "{t = [float32 (2,3)]}\n")
    says(t, "6 * 7", "42\n")
    says(t, "_ + 1", "43\n")
    t:send "7 * 7;\r"
    t:expect "\n"
    t:send "'af' .. 'ter'\r"
    t:expect "\nafter\n"
    assert.is_nil(t:text():find("\n49\n", 1, true))
    t:send "\4"
    assert.equal(0, t:status())
  end)

  it("goes on where Lua says <eof>, and only there", function()
    local t = prompt()
    t:send "function f(a)\r"
    t:expect ">> "
    t:send "return a + 1 end\r"
    t:expect "> "
    says(t, "f(1)", "2\n")
    says(t, "x = = 1", "stdin:1: unexpected symbol near '='\n")
    if support.has_readline() then
      t:send "\27[200~for i = 1, 2 do\rprint('pasted', i)\rend\27[201~\r"
      t:expect "\npasted\t1\npasted\t2\n"
    end
    t:send "\4"
    t:status()
  end)

  it("shows the line of an error, its calls without C, and the dead frames", function()
    local dir = support.tmpdir()
    local path = support.write(dir .. "/m.lua", "local function inner(n)\n  local twice = 2 * n\n  return twice .. {}\nend\n"
      .. "return function() pcall(print)\n  return (inner(21)) end\n")
    local t = prompt()
    t:send("f = dofile '" .. path .. "'\r")
    t:expect "> "
    t:send "f()\r"
    t:expect("\n" .. path .. ":3: attempt to concatenate a table value\n     2 |   local twice = 2 * n\n     3 >   return")
    t:expect("\n  " .. path .. ":3: in upvalue 'inner'\n  " .. path .. ":6: in ")
    t:expect "> "
    assert.is_nil(t:text():find "%[C%]")
    says(t, ":locals", "  local   n = 21\n  local   twice = 42\n")
    says(t, ":up", path .. ":6: in ")
    t:send "\4"
    t:status()
  end)

  it("clears the line at Ctrl-C, and stops a chunk that runs", function()
    local t = prompt()
    t:send "error('not this"
    t:expect "not this"
    t:send "\3"
    t:expect "^C"
    t:expect "> "
    says(t, "'alive'", "alive\n")
    t:send "print('run' .. 'ning') while true do end\r"
    t:expect "running"
    t:send "\3"
    t:expect "interrupted!"
    t:expect "> "
    t:send "coroutine.wrap(function() print('run' .. 'ning') while true do end end)()\r"
    t:expect "running"
    t:send "\3"
    t:expect "interrupted!"
    t:expect "> "
    says(t, "'still ' .. 'alive'", "still alive\n")
    t:send "\4"
    assert.equal(0, t:status())
  end)

  it("stops long work in C at Ctrl-C", function() -- it would take a quarter of an hour
    local t = prompt()
    says(t, "a = sq.randn(1500, 1500)", "")
    t:send "b = a for i = 1, 10000 do b = b:matmul(a) if i == 1 then print('run' .. 'ning') end end\r"
    t:expect "running" -- and so, but for microseconds, in the second product
    t:send "\3"
    t:expect "interrupted!"
    t:expect "\n> " -- the line of the error has a > too
    t:send "\4"
    t:status()
  end)

  it("completes names, members, options, keywords and files", function()
    if not support.has_readline() then return pending "built without readline" end
    local dir = support.tmpdir()
    support.write(dir .. "/some_file.txt", "")
    local t = prompt()
    local function completes(keys, text)
      t:send(keys .. "\t")
      t:expect(text)
      t:send "\3"
      t:expect "> "
    end
    completes("string.forma", "string.format")
    completes("nn.LST", "nn.LSTM")
    completes("nn.LSTM{hidd", "nn.LSTM{hidden_size = ")
    completes("whil", "while")
    completes("io.open('" .. dir .. "/some_", dir .. "/some_file.txt")
    says(t, "tensor = sq.ones(2)", "")
    completes("tensor:sigm", "tensor:sigmoid")
    completes("tensor.requires_grad", "tensor.requires_grad")
    completes("tens", "tensor")
    t:send "\4"
    t:status()
  end)

  it("keeps its history, for the user alone", function()
    if not support.has_readline() then return pending "built without readline" end
    local dir = support.tmpdir()
    local state = {SEQRT_HISTORY = dir .. "/h"}
    local t = prompt {env = state}
    says(t, "'first' .. ' line'", "first line\n")
    says(t, "'first' .. ' line'", "first line\n")
    t:send "\4"
    t:status()
    local mode = support.shell("stat -c %a " .. dir .. "/h")
    assert.equal("600\n", mode)
    assert.equal(1, select(2, support.read(dir .. "/h"):gsub("first", "")))
    t = prompt {env = state}
    t:send "\16\r" -- Ctrl-P
    t:expect "\nfirst line\n"
    t:send "\18irst\r" -- Ctrl-R
    t:expect "\nfirst line\n"
    t:send "\4"
    t:status()
  end)

  it("puts the history where XDG says", function()
    local dir = support.tmpdir()
    local t = support.terminal({}, {env = {HOME = dir, XDG_STATE_HOME = dir .. "/state"}})
    t:expect "> "
    t:send "\4" -- SEQRT_HISTORY is set by the driver: it wins
    t:status()
    assert.is_false(support.exists(dir .. "/state"))
    local _, _, code = support.run({"-i", "-e", ""}, {stdin = "1\n", env = {HOME = dir, XDG_STATE_HOME = dir .. "/state"}})
    assert.equal(0, code)
    assert.is_true(support.exists(dir .. "/state/seqrt"))
  end)

  it("explains", function()
    local t = prompt()
    t:send "?nn.Linear\r"
    t:expect "sq.nn.Linear(in_features: int"
    t:send "help 'palindrom'\r"
    t:expect "sq.data.Palindrome"
    t:send "?zeross\r"
    t:expect "did you mean 'zeros'?"
    t:send "%time 1 + 1\r"
    t:expect "\n2\n"
    t:expect " s\n"
    t:send "$ echo from the shell\r"
    t:expect "\nfrom the shell\n"
    t:send "mine = 5 who()\r"
    t:expect "\n  mine         5\n"
    t:send "\4"
    t:status()
  end)

  it("works through a pipe, without control characters", function()
    local lines = "x = 5\nx\nfor i = 1, 2 do\nprint(i) end\nerror 'no'\nx + 1\nsq.ones(2)\n"
    local out, err, code = support.run({"-i"}, {stdin = lines})
    assert.equal(0, code)
    assert.equal("> > 5\n> >> 1\n2\n> > 6\n> [1., 1.]\n[float32 (2)]\n> ", (out:gsub("^[^\n]*\n", "")))
    assert.equal("stdin:1: no\n     1 > error 'no'\n", err)
    assert.is_nil((out .. err):find "\27")
    out = support.run({"-i", "-e", "_PROMPT, _PROMPT2 = 'a) ', 'b) '"}, {stdin = "x =\n1\n"})
    assert.equal("a) b) a) ", (out:gsub("^[^\n]*\n", "")))
  end)

  it("opens on the frames of a script's error with -i", function()
    local path = support.write(support.tmpdir() .. "/s.lua",
      "local up = 'upvalue'\nlocal function f(x)\n  local y = x * 2\n  error('broken ' .. up)\nend\nf(4)\n")
    local out, err, code = support.run({"-i", path}, {stdin = "y\nx + 1\nup\nlocals\nwhere\n"})
    assert.equal(1, code)
    assert.truthy(err:find(path .. ":4: broken upvalue\nstack traceback:", 1, true), err)
    assert.truthy(out:find(path .. ":4: in ", 1, true), out)
    local seen = "> 8\n> 5\n> upvalue\n>   local   x = 4\n  local   y = 8\n  upvalue up = \"upvalue\"\n"
    assert.truthy(out:find(seen, 1, true), out)
    assert.truthy(out:find("> * " .. path .. ":4: in local 'f'\n", 1, true), out)
    out, err, code = support.run({"-i", "-e", "z = 3"}, {stdin = "z\n"})
    assert.same({"", 0}, {err, code})
    assert.truthy(out:find("> 3\n", 1, true))
  end)
end)

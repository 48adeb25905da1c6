-- program_spec.lua: the command line, standard input, exit codes, arg, errors, Ctrl-C.
local support = require "spec.lib.support"
local run = support.run

local function same(out, err, code, args, options) assert.same({out, err, code}, {run(args, options)}) end

local function script(text) return support.write(support.tmpdir() .. "/s.lua", text) end

-- The program and what follows it on a shell's line.
local function in_shell(rest) return support.shell("sh -c " .. support.quote(support.seqrt .. rest)) end

describe("the program", function()
  it("runs -e, -l, scripts and standard input as lua does", function()
    same("3\n", "", 0, {"-e", "print(1 + 2)"})
    same("3\n", "", 0, {"-eprint(1 + 2)"})
    same("aaa\n", "", 0, {"-l", "s=string", "-e", "print(s.rep('a', 3))"})
    same("function\n", "", 0, {"-lstring", "-e", "print(type(string.rep))"})
    same("1\n2\n", "", 0, {"-e", "x = 1 print(x)", "-e", "print(x + 1)"})
    same("7\n", "", 0, {}, {stdin = "print(7)"})
    same("a\tb\ta\n", "", 0, {"-", "a", "b"}, {stdin = "print(arg[1], arg[2], (...))"})
    same("x\ty\n", "", 0, {script "print(...)", "x", "y"})
    same("1\n", "", 0, {script "#!/usr/bin/env seqrt\nprint(1)"})
  end)

  it("knows the module without a global", function()
    same("table\tnil\tnil\n", "", 0, {"-e", "print(type(require 'seqrt'), sq, nn)"})
    local out, _, code = run {"-l", "sq=seqrt", "-e", "print(type(sq.clock()))"}
    assert.same({"number\n", 0}, {out, code})
  end)

  it("fills arg on both sides of the script", function()
    local path = script "print(arg[-3], arg[-2], arg[-1], arg[0], arg[1], #arg)"
    same(("%s\t-e\t \t%s\t-x\t2\n"):format(support.seqrt, path), "", 0, {"-e", " ", path, "-x", "--"})
    same(support.seqrt .. "\tprint(arg[0], arg[2])\n", "", 0, {"-e", "print(arg[0], arg[2])"})
    local dash = support.tmpdir()
    support.write(dash .. "/-", "print 'the file'")
    same("the file\n", "", 0, {"--", "-"}, {cwd = dash})
  end)

  it("obeys LUA_INIT, LUA_PATH and -E", function()
    same("init\n1\n", "", 0, {"-e", "print(1)"}, {env = {LUA_INIT = "print 'init'"}})
    same("54\n1\n", "", 0, {"-e", "print(1)"}, {env = {LUA_INIT = "print 'init'", LUA_INIT_5_4 = "print '54'"}})
    same("1\n", "", 0, {"-E", "-e", "print(1)"}, {env = {LUA_INIT = "print 'init'"}})
    same("file\n", "", 0, {"-e", ""}, {env = {LUA_INIT = "@" .. script "print 'file'"}})
    local dir = support.tmpdir()
    support.write(dir .. "/mymod.lua", "return 42")
    same("42\n", "", 0, {"-e", "print((require 'mymod'))"}, {env = {LUA_PATH = dir .. "/?.lua"}})
    local _, err, code = run({"-E", "-e", "require 'mymod'"}, {env = {LUA_PATH = dir .. "/?.lua"}})
    assert.equal(1, code)
    assert.truthy(err:find "module 'mymod' not found")
    _, err, code = run({"-e", "print(1)"}, {env = {LUA_INIT = "error 'bad init'"}})
    assert.equal(1, code)
    assert.truthy(err:find("LUA_INIT:1: bad init", 1, true), err)
  end)

  it("turns warnings on with -W", function()
    same("", "", 0, {"-e", "warn 'x'"})
    same("", "Lua warning: x\n", 0, {"-W", "-e", "warn 'x'"})
  end)

  it("gives exit codes", function()
    local function code(...) return select(3, run {...}) end
    assert.equal(0, code("-e", "return 1"))
    assert.equal(1, code("-e", "error 'x'"))
    assert.equal(7, code("-e", "os.exit(7)"))
    assert.equal(0, code("-e", "os.exit(true, true)"))
    assert.equal(1, code("-e", "x ="))
    assert.equal(1, code "/nowhere/x.lua")
  end)

  it("says what is wrong with the command line", function()
    local function wrong(text, ...)
      local out, err, code = run {...}
      assert.same({"", 1}, {out, code})
      assert.equal(support.seqrt .. ": " .. text .. "\n", err:match "^[^\n]*\n")
      assert.truthy(err:find "\nusage: ")
    end
    wrong("unrecognized option '-z'", "-z")
    wrong("unrecognized option '-vv'", "-vv")
    wrong("unrecognized option '--verbose'", "--verbose")
    wrong("'-e' needs an argument", "-e")
    wrong("'-l' needs an argument", "-l")
  end)

  it("prints version and help", function()
    for _, flag in ipairs {"-v", "--version"} do
      local out, err, code = run {flag}
      assert.same({"", 0}, {err, code})
      assert.truthy(out:find "^seqrt %d+%.%d+%.%d+ %(Lua 5%.4%.%d+%)\n$", out)
    end
    local out, err, code = run {"--help"}
    assert.same({"", 0}, {err, code})
    assert.truthy(out:find "^usage: .*%-e stat", out)
  end)

  it("tells errors with the script's frames, none of C and none of ours", function()
    local path = script "local function f() error 'boom' end\nlocal function g() pcall(print) f() return 1 end\ng()\n"
    same("\n", ([[
%s: %s:1: boom
stack traceback:
  %s:1: in upvalue 'f'
  %s:2: in local 'g'
  %s:3: in the main chunk
]]):format(support.seqrt, path, path, path, path), 1, {path})
    path = script [[
local nn = require "seqrt".nn
local Net = nn.Module "Net"
function Net:forward(x) return self.fd(x) end
nn.Sequential(Net())(1)
]]
    local _, ours = run {path}
    assert.truthy(ours:find(path .. ":3: Sequential.0 has no 'fd'", 1, true), ours)
    assert.truthy(ours:find(path .. ":4: in the main chunk", 1, true), ours)
    assert.is_nil(ours:find "\n  seqrt:", ours)
    local _, err = run {"-e", "error {}"}
    assert.truthy(err:find("(error object is a table value)", 1, true), err)
    _, err = run {"-e", "error(setmetatable({}, {__tostring = function() return 'mine' end}))"}
    assert.truthy(err:find(": mine\n", 1, true), err)
    _, err = run {"-e", "local function f() return 1 + f() end f()"}
    assert.truthy(err:find "\n  %.%.%. %(%d+ levels not shown%)\n", err)
  end)

  it("runs text only", function()
    local path = support.write(support.tmpdir() .. "/b.lua", string.dump(function() return 1 end))
    local _, err, code = run {path}
    assert.equal(1, code)
    assert.truthy(err:find("attempt to load a binary chunk", 1, true), err)
  end)

  it("notices output that is lost", function()
    local _, err, code = in_shell " -e 'print(1)' >/dev/full"
    assert.same({support.seqrt .. ": standard output could not be written in full\n", 1}, {err, code})
    local out
    out, err = in_shell " -e 'for i = 1, 1e5 do print(i) end' | head -n 1"
    assert.same({"1\n", ""}, {out, err})
    _, err, code = in_shell " -e 'io.open(\"/dev/null\"):close()' <&- >&- 2>&-"
    assert.same({"", 0}, {err, code})
  end)

  it("stops at Ctrl-C with 130, in coroutines too", function()
    local function stops(code)
      local _, err, status = run({"-e", code}, {signal = "INT"})
      assert.equal(130, status)
      assert.truthy(err:find("interrupted!", 1, true), err)
    end
    local forever = support.READY .. "while true do end"
    stops(forever)
    stops("coroutine.wrap(function() " .. forever .. " end)()")
    stops("local co = coroutine.create(function() " .. forever .. " end) assert(coroutine.resume(co))")
  end)

  it("ends at the second Ctrl-C within a second", function()
    local path = script(support.READY .. "while true do pcall(function() while true do end end) end")
    local ready = support.tmpdir() .. "/ready"
    local twice = "& p=$!; while [ ! -e $READY ]; do sleep 0.01; done; "
      .. "while kill -INT $p 2>/dev/null; do sleep 0.1; done; wait $p"
    local command = ("env --default-signal=INT %s %s %s"):format(support.seqrt, path, twice)
    local _, _, code = support.shell("timeout 60 sh -c " .. support.quote(command), {env = {READY = ready}})
    assert.equal(130, code)
  end)

  it("keeps coroutines as Lua has them", function()
    same("ok\n", "", 0, {"-e", [[
      local gen = coroutine.wrap(function(a) local b = coroutine.yield(a + 1) return b * 2, "end" end)
      assert(gen(1) == 2)
      local x, y = gen(5)
      assert(x == 10 and y == "end")
      local ok, message = pcall(gen)
      assert(message == "cannot resume dead coroutine", message)
      local bad = coroutine.wrap(function() error "inside" end)
      ok, message = pcall(bad)
      assert(message:find "inside", message)
      local closed
      local mark = setmetatable({}, {__close = function() closed = true end})
      local w = coroutine.wrap(function() local _ <close> = mark error "x" end)
      pcall(w)
      assert(closed)
      local self; self = coroutine.wrap(function() return pcall(self) end)
      ok, message = self()
      assert(not ok and message:find "non%-suspended", message)
      local co = coroutine.create(function(...) return select("#", ...) end)
      assert(select(2, coroutine.resume(co, nil, nil)) == 2)
      assert(select(2, coroutine.resume(co)) == "cannot resume dead coroutine")
      ok, message = pcall(coroutine.resume, 1)
      assert(message:find "coroutine expected", message)
      print "ok"]]})
  end)
end)

-- sweep_spec.lua: runs in processes of their own: the same results for any number of jobs, what is finished stays so
-- whatever ends the sweep, failures, signals, the record of a run, what is shown.
local sq = require "seqrt"
local support = require "spec.lib.support"

-- A script with six small runs; --wait makes a run last, --boom makes some fail.
local SCRIPT = [[
local sq = require "seqrt"
local options = sq.cli {
  cell = {{"a", "b"}}, T = {{1, 2, 3}}, lr = 0.5, seed = 7, wait = 0.0, boom = "", out = "x",
  jobs = {type = "integer", min = 0}, fresh = false,
}
local function run(o, folder)
  local f = assert(io.open(folder .. "/count", "a"))
  f:write("x"); f:close()
  local log, bar, list = sq.Log(folder), sq.progress(10), {}
  for step = 1, 10 do
    list[step] = (sq.randn(40, 40):matmul(sq.randn(40, 40)):mean() * o.T):item()
    local start = sq.clock()
    while sq.clock() - start < o.wait / 10 do end
    log:write(step, {value = list[step]})
    bar:set_postfix {value = list[step]}
    bar:update()
    if o.boom == "error" and o.T == 2 then error("it went\n\27[31mwrong", 0) end
    if o.boom == "kill" and o.T == 2 then os.execute "kill -9 $PPID" end
    if o.boom == "exit" and o.T == 2 then os.exit(0) end
    if o.boom == "function" and o.T == 2 then return {f = print} end
  end
  print "said by a run"
  return {value = list[10], list = list, lr = o.lr, tensor = sq.tensor {o.T, 2}, deep = {text = o.cell, yes = true}}
end
local results = sq.sweep(run, options, {over = {"cell", "T"}, on_error = os.getenv "KEEP" and "keep" or "raise"})
for i, r in ipairs(results) do
  print(i, r.cell, r.T, r.error or ("%a %d %a %s %s"):format(r.value, #r.list, r.lr, r.tensor:sum():item(), r.deep.text))
end
]]

local function setup_sweep()
  local dir = support.tmpdir()
  return {script = support.write(dir .. "/s.lua", SCRIPT), out = dir .. "/out", dir = dir}
end

local function run(s, ...) return support.run({s.script, "--out", s.out, ...}, {env = s.env}) end

-- How often the run of that name was begun.
local function times(s, name)
  local path = s.out .. "/" .. name .. "/count"
  return support.exists(path) and #support.read(path) or 0
end

local function lines(text) return select(2, text:gsub("\n", "")) end

-- Starts it in the background; `pid` and `status` are files of s.dir.
local function start(s, ...)
  local words = {support.quote(support.seqrt), support.quote(s.script), "--out", support.quote(s.out), ...}
  words[1] = support.quote(support.seqrt:sub(1, 1) == "/" and support.seqrt or support.cwd() .. "/" .. support.seqrt)
  assert(os.execute(("cd %s && { env --default-signal=INT %s >said 2>err & echo $! >pid; wait $!; echo $? >status; } "
    .. "2>/dev/null >/dev/null &"):format(support.quote(s.dir), table.concat(words, " "))))
end

local wait_for = support.eventually

local function alive(s)
  local found = support.shell("grep -lF " .. support.quote(s.script) .. " /proc/[0-9]*/cmdline 2>/dev/null")
  for pid in found:gmatch "/proc/(%d+)/" do
    local program = support.shell("readlink /proc/" .. pid .. "/exe")
    if program:find "seqrt" then return true end
  end
  return false
end

describe("sq.sweep", function()
  it("gives the same results for any number of jobs, in order", function()
    local first
    for _, jobs in ipairs {1, 2, 3, 0} do
      local s = setup_sweep()
      local out, err, code = run(s, "--jobs", jobs)
      assert.equal(0, code, err)
      out = out:gsub("said by a run\n", "") -- with no jobs the runs speak here
      assert.equal(6, lines(out))
      assert.truthy(out:find "^1\ta\t1\t0x")
      assert.truthy(out:find "\n6\tb\t3\t0x")
      first = first or out
      assert.equal(first, out)
      assert.truthy(jobs == 0 or err:find(("\n6 of 6 runs in [%%d.]+ s, %d at a time with %%d+ threads? each\n$")
        :format(jobs)), err)
      assert.is_nil(err:find "[%c\127]" and err:gsub("\n", ""):find "[%c\127]")
    end
  end)

  it("keeps what is finished, and does again what has other options", function()
    local s = setup_sweep()
    local out = run(s, "--T", "1,2", "--cell", "a")
    local again, err = run(s, "--T", "1,2", "--cell", "a", "--jobs", "1")
    assert.equal(out, again)
    assert.equal("2 of 2 runs are finished already in " .. s.out .. "\n", err)
    assert.equal(1, times(s, "a-T1"))
    local more
    more, err = run(s, "--T", "1,3", "--cell", "a")
    assert.truthy(err:find "^1 of 2 runs are finished already" and err:find "%[1/1%] a T=3: done in ", err)
    assert.truthy(more:find("1\ta\t1\t" .. out:match "1\ta\t1\t([^\n]+)", 1, true))
    assert.same({1, 1, 1}, {times(s, "a-T1"), times(s, "a-T2"), times(s, "a-T3")})
    more = run(s, "--T", "1,2", "--cell", "a", "--lr", "0.25")
    assert.truthy(more:find("0x1p-2", 1, true), more)
    assert.same({2, 2, 1}, {times(s, "a-T1"), times(s, "a-T2"), times(s, "a-T3")})
    run(s, "--T", "1", "--cell", "a", "--lr", "0.25", "--fresh")
    assert.equal(3, times(s, "a-T1"))
    support.write(s.script, SCRIPT .. "\n-- another line\n")
    err = select(2, run(s, "--T", "1", "--cell", "a", "--lr", "0.25"))
    assert.truthy(err:find("note: the script has changed since 1 of them; `fresh` runs them again\n", 1, true), err)
    support.write(s.out .. "/a-T1/result.safetensors", "torn")
    run(s, "--T", "1", "--cell", "a", "--lr", "0.25")
    assert.equal(4, times(s, "a-T1"))
  end)

  it("goes on after the others when one fails, and says what and where", function()
    local s = setup_sweep()
    local out, err, code = run(s, "--jobs", "2", "--boom", "error")
    assert.same({"", 1}, {out, code})
    assert.truthy(err:find("[sweep] 2 of 6 runs failed:\n  a-T2: it went [31mwrong (see " .. s.out .. "/a-T2/output.txt)\n",
      1, true), err)
    assert.is_nil(err:gsub("\n", ""):find "%c")
    assert.same({1, 1, 1}, {times(s, "a-T1"), times(s, "a-T2"), times(s, "b-T3")})
    assert.truthy(support.read(s.out .. "/a-T2/output.txt"):find("it went\n\27[31mwrong\nstack traceback:", 1, true))
    assert.equal("said by a run\n", support.read(s.out .. "/a-T1/output.txt"):match "said[^\n]*\n")
    s.env = {KEEP = "1"}
    out, err, code = run(s, "--jobs", "2", "--boom", "error")
    assert.truthy(err:find(", 2 failed\n", 1, true), err)
    s.env = nil
    assert.equal(0, code)
    assert.truthy(out:find "2\ta\t2\tit went %[31mwrong\n3\ta\t3\t0x")
    assert.same({1, 2, 1}, {times(s, "a-T1"), times(s, "a-T2"), times(s, "b-T3")})
    local cases = {
      kill = "a-T2: killed by signal 9: out of memory? (see ",
      exit = "a-T2: the script ended without its run: it must come to the same sq.sweep with the same options (see ",
      ["function"] = "[save] value.result.f is a function: tensors, numbers, strings, booleans and tables of them",
    }
    for boom, text in pairs(cases) do
      out, err, code = run(s, "--T", "1,2", "--cell", "a", "--boom", boom)
      assert.same({"", 1}, {out, code})
      assert.truthy(err:find(text, 1, true), err)
    end
  end)

  it("leaves the record of a run and the script", function()
    local s = setup_sweep()
    run(s, "--T", "2", "--cell", "b", "--jobs", "1")
    local facts = support.read(s.out .. "/b-T2/run.json")
    for _, text in ipairs {'"T": 2,', '"cell": "b",', '"lr": 0.5,', '"seed": 7,', '"seqrt": "' .. sq._VERSION .. '"',
      '"lua": "Lua 5.4', '"isa": "' .. sq.info().isa .. '"', '"threads": ', '"blas": "',
      '"products": "own panels (', '"started": "20', '"seconds": '} do
      assert.truthy(facts:find(text, 1, true), facts)
    end
    assert.truthy(facts:find(s.script .. " --out " .. s.out .. " --T 2 --cell b --jobs 1", 1, true), facts)
    assert.equal(SCRIPT, support.read(s.out .. "/b-T2/run.lua"))
    assert.equal(SCRIPT, support.read(s.out .. "/run.lua"))
    assert.equal(10, lines(support.read(s.out .. "/b-T2/metrics.jsonl")))
  end)

  it("is resumed after kill -9, which its runs do not outlive", function()
    local s = setup_sweep()
    start(s, "--jobs", "2", "--wait", "0.3")
    wait_for(function() return support.exists(s.out .. "/a-T2/result.safetensors") end, "a-T2")
    os.execute(("kill -9 $(cat %s/pid)"):format(s.dir))
    wait_for(function() return not alive(s) end, "the end of the runs")
    assert.is_false(support.exists(s.out .. "/b-T3/result.safetensors"))
    local out, err, code = run(s, "--wait", "0.3")
    assert.equal(0, code)
    assert.truthy(err:find "^[1-5] of 6 runs are finished already", err)
    assert.same({6, 1}, {lines(out), times(s, "a-T2")})
    local whole = run(setup_sweep(), "--wait", "0.3", "--jobs", "3")
    assert.equal(whole, out)
  end)

  it("ends its runs on SIGTERM and SIGINT, and keeps the finished ones", function()
    for name, status in pairs {TERM = 143, INT = 130} do
      local s = setup_sweep()
      start(s, "--jobs", "2", "--wait", "0.3")
      wait_for(function() return support.exists(s.out .. "/a-T2/result.safetensors") end, "a-T2")
      os.execute(("kill -%s $(cat %s/pid)"):format(name, s.dir))
      wait_for(function() return support.exists(s.dir .. "/status") end, "its end")
      assert.is_false(alive(s))
      assert.equal(status, tonumber(support.read(s.dir .. "/status")), support.read(s.dir .. "/err"))
      local _, err = run(s, "--wait", "0.3")
      assert.truthy(err:find "^[1-5] of 6 runs are finished already", err)
      assert.equal(1, times(s, "a-T2"))
    end
  end)

  it("has its folder for itself", function()
    local s = setup_sweep()
    start(s, "--wait", "0.5")
    wait_for(function() return support.exists(s.out .. "/a-T1/count") end, "a-T1")
    local _, err, code = run(s, "--wait", "0.5")
    assert.equal(1, code)
    assert.truthy(err:find("in use by another process: another sweep runs there", 1, true), err)
    os.execute(("kill $(cat %s/pid)"):format(s.dir))
    wait_for(function() return support.exists(s.dir .. "/status") end, "its end")
  end)

  it("shares the threads among the jobs", function()
    local s = setup_sweep()
    s.env = {SEQRT_THREADS = 4}
    local _, err = run(s, "--jobs", "2", "--cell", "a")
    assert.truthy(err:find("2 at a time with 2 threads each", 1, true), err)
    assert.truthy(support.read(s.out .. "/a-T1/run.json"):find('"threads": 2', 1, true))
  end)

  it("runs in stock Lua too", function()
    if support.seqrt:find "build/[^/]+/" then return pending "a sanitizer's library does not load into a plain lua5.4" end
    local s = setup_sweep()
    local so = support.seqrt:gsub("seqrt$", "?.so")
    local out, err, code = support.shell(("LUA_CPATH=%s lua5.4 %s --out %s --T 1,2 --jobs 2"):format(support.quote(so),
      support.quote(s.script), support.quote(s.out)))
    assert.equal(0, code, err)
    assert.equal(4, lines(out))
    assert.truthy(err:find "4 of 4 runs in [%d.]+ s, 2 at a time", err)
  end)

  it("runs here without a script", function()
    local dir = support.tmpdir()
    local out, err, code = support.run {"-e", [[
      local sq = require "seqrt"
      local n = 0
      local function run(o) n = n + 1; return {x = o.a + o.b, drawn = sq.randn(1):item()} end
      local r = sq.sweep(run, {a = {1, 2}, b = 10}, {over = {"a"}, dir = arg[1]})
      local again = sq.sweep(run, {a = {1, 2}, b = 10}, {over = {"a"}, dir = arg[1]})
      print(n, r[1].x, r[2].x, r[1].drawn == r[2].drawn, again[2].drawn == r[2].drawn, #r.runs, r.dir == arg[1])
    ]], "-", dir}
    assert.equal("", err:gsub("a[12]\n", ""):gsub("2 of 2 runs are finished already[^\n]*\n", ""), err)
    assert.same({"2\t11\t12\ttrue\ttrue\t2\ttrue\n", 0}, {out, code})
  end)

  it("does several sweeps in one script", function()
    local dir = support.tmpdir()
    local script = support.write(dir .. "/s.lua", [[
      local sq = require "seqrt"
      local function one(o) return {x = o.a * 2} end
      local first = sq.sweep(one, {a = {1, 2, 3}}, {over = {"a"}, dir = arg[1] .. "/1"})
      local best = 0
      for _, r in ipairs(first) do best = math.max(best, r.x) end
      local second = sq.sweep(function(o) return {x = o.best + o.b} end, {b = {1, 2}, best = best},
        {over = {"b"}, dir = arg[1] .. "/2"})
      print(second[1].x, second[2].x)
    ]])
    local out, err, code = support.run {script, dir}
    assert.same({"7\t8\n", 0}, {out, code}, err)
  end)

  it("says what is wrong with its arguments", function()
    local dir = support.tmpdir()
    local function raises(text, ...)
      local ok, message = pcall(sq.sweep, ...)
      assert.is_false(ok)
      assert.truthy(tostring(message):find(text, 1, true), message)
    end
    raises("[sweep] over is missing: {over = {\"lr\"}} names the options to sweep over", print, {lr = {1}}, {dir = dir})
    raises("over: there is no option 'ln': did you mean 'lr'?", print, {lr = {1}}, {over = {"ln"}, dir = dir})
    raises("over: the option 'lr' is a number: it must be a list of values", print, {lr = 1}, {over = {"lr"}, dir = dir})
    raises("over: the option 'lr' is an empty list", print, {lr = {}}, {over = {"lr"}, dir = dir})
    raises("over: the option 'lr' has 1 twice", print, {lr = {1, 1}}, {over = {"lr"}, dir = dir})
    raises("over: lr[1] is a table: it must be a number, a string or a boolean", print, {lr = {{}}}, {over = {"lr"}, dir = dir})
    raises("[sweep] options.f is a function: options are numbers, strings, booleans and lists of them", print,
      {lr = {1}, f = print}, {over = {"lr"}, dir = dir})
    raises("[sweep] jobs is -1: it must be at least 0", print, {lr = {1}}, {over = {"lr"}, dir = dir, jobs = -1})
    raises("did you mean 'jobs'?", print, {lr = {1}}, {over = {"lr"}, dir = dir, job = 1})
    raises("[sweep] run returned a number: it must return a table of results", function() return 3 end, {lr = {1}},
      {over = {"lr"}, dir = dir, jobs = 0})
  end)

  it("hears the last of any number of runs", function()
    local process, dir, LONG = require "seqrt.process", support.tmpdir(), 60
    local function started(code)
      code = "require 'seqrt' local process = require 'seqrt.process' " .. code
      return assert(process.spawn({"seqrt", "-e", code}, {}, dir .. "/output"))
    end
    local silent <close> = started("process.wait({}, 10 * " .. LONG .. ")")
    local heard <close> = started "process.tell 'here'"
    local list = {}
    for i = 1, 300 do list[i] = silent end
    list[301] = heard
    local before = sq.clock()
    process.wait(list, LONG)
    assert.is_true(sq.clock() - before < LONG, support.read(dir .. "/output"))
    assert.equal("here", heard:read())
    assert.equal("", silent:read())
  end)

  it("draws a table on a terminal, with colors unless NO_COLOR", function()
    local function on_terminal(env)
      env.KEEP = "1"
      local s = setup_sweep()
      local terminal = support.terminal({s.script, "--out", s.out, "--jobs", "2", "--wait", "0.2", "--boom", "error"},
        {env = env})
      terminal:expect "a  T=2"
      terminal:expect("6 of 6 runs in", 20)
      terminal:status()
      return terminal:text()
    end
    local text = on_terminal {}
    assert.truthy(text:find("  a  T=1  done  ", 1, true), text)
    assert.truthy(text:find("b  T=3  waiting", 1, true), text)
    assert.truthy(text:find("\27[31m  a  T=2  failed ", 1, true), text)
    assert.truthy(text:find "6 of 6 runs in [%d.]+ s, 2 at a time with %d threads? each, 2 failed", text)
    assert.is_nil(on_terminal {NO_COLOR = "1"}:find "\27%[%d*m")
  end)
end)

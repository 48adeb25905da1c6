-- sweep.lua: sq.sweep: one run for each combination of some options, each in a process of its own, its result in its
-- folder.
--
-- How a run gets a process of its own. `run` is a Lua function, with whatever it closes over, and can't be sent to
-- another process. So the parent starts the whole script once more, with the same command line, and a variable in the
-- environment says which run it shall be. The child runs the script from the top like any other: it reads its options,
-- defines its functions and comes to the same sq.sweep, the n-th call of the script. There it finds its token, does the
-- one run that has its name, and ends the process; what stands after sq.sweep in the script is the parent's alone.
-- For this a script must come to its sweep the same way each time: a child that finds no run of its name says so, and
-- one whose script was edited meanwhile says that.
-- A child talks through a pipe: a line for its progress now and then, a line for the error that ended it. Its result is
-- a file in its folder, written whole or not at all, beside the options it was made from. A finished run is one whose
-- file has the options asked for; that is all that a second sweep, or one after a kill, has to look at.

local sq = require "seqrt"
local api = require "seqrt.api"
local files = require "seqrt.files"
local json = require "seqrt.json"
local process = require "seqrt.process"
local Progress = require("seqrt.progress").Progress
local record = require "seqrt.record"
local store = require "seqrt.store"
local sys = require "seqrt.sys"

local join = sys.fs.join

local VARIABLE = "SEQRT_SWEEP" -- tells a process which run it is: "parent's pid, call, threads, script, name"
local RESULT, OUTPUT = "result.safetensors", "output.txt"
local TICK, CLOSING = 0.1, 0.01 -- s between looks at the children; when one is about to end
local PATIENCE = 10 -- s that a run has to end by itself when it is told to
-- Options that say where and how, and not what: a run stays finished when they change.
local ELSEWHERE = {out = true, dir = true, jobs = true, threads = true, fresh = true}

local calls = 0 -- of sq.sweep outside a run, so far
local inside = false -- within a run

local function fail(text, ...) api.fail("[sweep] " .. text, ...) end

-- --- runs -------------------------------------------------------------------------------------------------------

-- The value in a folder's name.
local function value_word(name, value)
  if type(value) == "string" and value ~= "" then return (value:gsub("[^%w_.+-]", "_"):sub(1, 60)) end
  local text = type(value) == "number" and format("%.10g", value) or tostring(value)
  return (name .. text):gsub("[^%w_.+-]", "_")
end

local function check_values(options, name)
  local values = options[name]
  if values == nil then
    local names = {}
    for key in pairs(options) do names[#names + 1] = tostring(key) end
    local near = api.nearest(tostring(name), names)
    fail("over: there is no option '%s'%s", tostring(name), near and format(": did you mean '%s'?", near) or "")
  end
  if type(values) ~= "table" then fail("over: the option '%s' is a %s: it must be a list of values", name, type(values)) end
  if #values == 0 then fail("over: the option '%s' is an empty list", name) end
  local seen = {}
  for i, value in ipairs(values) do
    local kind = type(value)
    if kind ~= "number" and kind ~= "string" and kind ~= "boolean" then
      fail("over: %s[%d] is a %s: it must be a number, a string or a boolean", name, i, kind)
    end
    if seen[value] then fail("over: the option '%s' has %s twice", name, tostring(value)) end
    seen[value] = true
  end
  return values
end

-- What makes a run the one it is: its options but for those of ELSEWHERE, as JSON.
local function key_of(options)
  local what = {}
  for name, value in pairs(options) do
    if not ELSEWHERE[name] then what[name] = value end
  end
  return json.encode(what)
end

local function check_plain(options, where, depth)
  if type(options) ~= "table" or getmetatable(options) or depth > 20 then
    fail("%s is a %s: options are numbers, strings, booleans and lists of them", where, type(options))
  end
  for name, value in pairs(options) do
    local kind = type(value)
    if kind ~= "number" and kind ~= "string" and kind ~= "boolean" then
      check_plain(value, format("%s.%s", where, tostring(name)), depth + 1)
    end
  end
end

-- All runs, the first of `over` in the outermost loop: {name, dir, key, values, options}.
local function make_runs(options, over, dir)
  local runs, names = {}, {}
  local function add(depth, chosen, words)
    if depth <= #over then
      for _, value in ipairs(check_values(options, over[depth])) do
        chosen[over[depth]], words[depth] = value, value_word(over[depth], value)
        add(depth + 1, chosen, words)
      end
      return
    end
    local own = {}
    for name, value in pairs(options) do own[name] = type(value) == "table" and {table.unpack(value)} or value end
    for name, value in pairs(chosen) do own[name] = value end
    local name, values = table.concat(words, "-"), {}
    for _, each in ipairs(over) do values[each] = chosen[each] end
    if names[name] then name = format("%s_%d", name, #runs + 1) end
    names[name] = true
    runs[#runs + 1] = {name = name, dir = join(dir, name), key = key_of(own), values = values, options = own}
  end
  add(1, {}, {})
  return runs
end

-- --- results ------------------------------------------------------------------------------------------------------

-- FNV-1a, of 64 bits: whether a script is the one it was.
local function fingerprint(text)
  local hash = 0xcbf29ce484222325
  for i = 1, #text do hash = (hash ~ text:byte(i)) * 0x100000001b3 end
  return format("%016x", hash)
end

local function script_mark()
  local script = record.script()
  local text = script and sys.read(script)
  return text and fingerprint(text) or "none"
end

-- Reads what a finished run has left; false where there is none, or one of other options.
local function load_result(run)
  local path = join(run.dir, RESULT)
  if not sys.fs.exists(path) then return false end
  local ok, value, metadata = pcall(files.load, path)
  if not ok or metadata.run ~= run.key then return false end
  run.result, run.seconds, run.record, run.mark = value.result, value.seconds, value.record, metadata.script
  for name, each in pairs(run.values) do
    if run.result[name] == nil then run.result[name] = each end
  end
  run.state = "done"
  return true
end

local function call_run(call, run)
  inside = true
  local after <close> = setmetatable({}, {__close = function() inside = false end}) -- luacheck: ignore 211
  return call(run.options, run.dir)
end

-- The run itself, here and now; leaves its result in its folder.
local function perform(run, call, mark)
  local ok, why = sys.fs.mkdir_p(run.dir)
  if not ok then fail("%s", why) end
  os.remove(join(run.dir, RESULT))
  local facts = record.make(run.options)
  record.write(run.dir, facts)
  sq.manual_seed(facts.seed or 0)
  local start = sq.clock()
  local value = call_run(call, run)
  if value == nil then value = {} end
  if type(value) ~= "table" then fail("run returned a %s: it must return a table of results", type(value)) end
  local seconds = sq.clock() - start
  facts.seconds = seconds
  record.write(run.dir, facts)
  facts.options = nil
  files.save(join(run.dir, RESULT), {result = value, seconds = seconds, record = facts}, {run = run.key, script = mark})
end

-- --- in the process of a run ---------------------------------------------------------------------------------------

-- What the environment says: {call, threads, mark, name} in a child, else nil.
local function read_token()
  local parent, call, threads, mark, name = (os.getenv(VARIABLE) or ""):match "^(%d+) (%d+) (%d+) (%w+) (.+)$"
  if not parent then return nil end
  local mine = process.adopt(tonumber(parent), VARIABLE)
  if mine == false then
    io.stderr:write "seqrt: the sweep that this run belongs to has ended\n"
    os.exit(1)
  end
  return mine and {call = tonumber(call), threads = tonumber(threads), mark = mark, name = name} or nil
end

local token = read_token()

-- One line to the parent.
local function tell(kind, text) process.tell(kind .. text:gsub("%c+", " "):sub(1, 3000) .. "\n") end

local function tell_progress(bar)
  local postfix = Progress.text.postfix(bar.postfix)
  tell("p", format("%d %d %s", bar.n, bar.total or 0, postfix))
end

-- Does the run of the token and ends the process.
local function be_child(runs, call)
  io.stdout:setvbuf "line"
  Progress.sink = tell_progress
  sq.set_num_threads(token.threads)
  local ok, message = xpcall(function()
    if script_mark() ~= token.mark then
      fail("%s has changed since the sweep began: run it again, what is finished stays so", record.script())
    end
    for _, run in ipairs(runs) do
      if run.name == token.name then return perform(run, call, token.mark) end
    end
    fail("the script has no run '%s' in the run's own process: its options must not depend on the time or the process",
      token.name)
  end, function(message)
    tell("!", tostring(message))
    return debug.traceback(tostring(message), 2)
  end)
  if not ok then io.stderr:write(message, "\n") end
  os.exit(ok, true)
end

-- --- in the parent -------------------------------------------------------------------------------------------------

local function start_child(run, threads, mark)
  local ok, why = sys.fs.mkdir_p(run.dir)
  if not ok then fail("%s", why) end
  os.remove(join(run.dir, RESULT))
  run.output = join(run.dir, OUTPUT)
  local words = format("%d %d %d %s %s", sys.pid(), calls, threads, mark, run.name)
  local environment = {VARIABLE .. "=" .. words, "SEQRT_THREADS=" .. threads}
  local child
  child, why = process.spawn(record.command(), environment, run.output)
  if not child then fail("cannot start a process: %s", why) end
  run.child, run.state, run.start, run.heard = child, "running", sq.clock(), ""
end

-- Takes in what the run reports; false when it will report no more.
local function listen(run)
  local text = run.child:read()
  while text and text ~= "" do
    run.heard = run.heard .. text
    text = run.child:read()
  end
  for kind, line in run.heard:gmatch "([p!])([^\n]*)\n" do
    if kind == "!" then
      run.failure = line
    else
      local n, total, postfix = line:match "^(%d+) (%d+) (.*)$"
      run.n, run.total, run.postfix = tonumber(n), tonumber(total), postfix
    end
  end
  run.heard = run.heard:match "[^\n]*$"
  return text ~= nil
end

-- The last line of a run's output that says something.
local function last_words(path)
  local last
  for line in (sys.read(path) or ""):gmatch "[^\n]+" do if line:find "%S" then last = line end end
  return last
end

local function end_run(run, how, code)
  run.child, run.seconds = run.child:close(), sq.clock() - run.start
  if how == "exit" and code == 0 and load_result(run) then return end
  run.state = "failed"
  if run.failure then return end
  if how == "signal" then
    run.failure = format("killed by signal %d%s", code, code == 9 and ": out of memory?" or "")
  elseif code == 0 then
    run.failure = "the script ended without its run: it must come to the same sq.sweep with the same options"
  else
    run.failure = last_words(run.output) or format("exit status %d", code)
  end
end

-- Ends what runs: asks, waits a while, kills.
local function stop_children(runs)
  local until_when = sq.clock() + PATIENCE
  for _, run in ipairs(runs) do if run.child then run.child:stop() end end
  for _, run in ipairs(runs) do
    while run.child and not run.child:status() and sq.clock() < until_when do process.wait({}, CLOSING) end
    if run.child then run.child:close() end
    run.child = nil
  end
end

-- Runs all of `todo`, `jobs` at a time.
local function run_children(runs, todo, jobs, threads, mark, board)
  local all <close> = setmetatable({}, {__close = function() stop_children(runs) end}) -- luacheck: ignore 211
  local screen <close> = board -- luacheck: ignore 211
  local active, next_run, tick = {}, 1, TICK
  while next_run <= #todo or #active > 0 do
    while #active < jobs and next_run <= #todo do
      start_child(todo[next_run], threads, mark)
      active[#active + 1], next_run = todo[next_run], next_run + 1
    end
    board:update()
    local children = {}
    for i, run in ipairs(active) do children[i] = run.child end
    process.wait(children, tick)
    tick = TICK
    for i = #active, 1, -1 do
      local run = active[i]
      if not listen(run) then tick = CLOSING end
      local how, code = run.child:status()
      if how then
        listen(run)
        end_run(run, how, code)
        board:finished(run)
        table.remove(active, i)
      end
    end
  end
end

local function run_here(todo, call, mark)
  for _, run in ipairs(todo) do
    io.stderr:write(format("%s\n", run.name))
    perform(run, call, mark)
    if not load_result(run) then fail("%s: the result cannot be read back", run.name) end
  end
end

-- --- the function --------------------------------------------------------------------------------------------------

-- The results in the order of the runs; one that failed is {error = text, ...}.
local function collect_results(runs, options, over, dir)
  local results = {options = options, over = over, dir = dir, runs = {}}
  for i, run in ipairs(runs) do
    results[i] = run.result or {error = run.failure}
    for name, value in pairs(run.values) do
      if results[i][name] == nil then results[i][name] = value end
    end
    results.runs[i] = {name = run.name, dir = run.dir, seconds = run.seconds, record = run.record, output = run.output}
  end
  return results
end

local function raise_failures(runs)
  local lines = {}
  for _, run in ipairs(runs) do
    if run.state == "failed" then lines[#lines + 1] = format("  %s: %s (see %s)", run.name, run.failure, run.output) end
  end
  if #lines == 0 then return end
  fail("[sweep] %d of %d runs failed:\n%s", #lines, #runs, table.concat(lines, "\n"))
end

-- Those still to be done; says on standard error what is there already.
local function unfinished(runs, dir, fresh, mark)
  local todo, other = {}, 0
  for _, run in ipairs(runs) do
    if fresh or not load_result(run) then
      run.state, todo[#todo + 1] = "waiting", run
    elseif run.mark ~= mark then
      other = other + 1
    end
  end
  local kept = #runs - #todo
  if kept > 0 then
    io.stderr:write(format("%d of %d runs are finished already in %s\n", kept, #runs, dir))
  end
  if other > 0 then
    io.stderr:write(format("note: the script has changed since %d of them; `fresh` runs them again\n", other))
  end
  return todo
end

local function default_dir(options)
  if type(options.out) == "string" and options.out ~= "" then return options.out end
  return join("runs", (record.script() or "sweep"):match("([^/]*)$"):gsub("%.lua$", ""))
end

local function do_all(runs, call, options, over, dir, jobs, fresh)
  local ok, why = sys.fs.mkdir_p(dir)
  if not ok then fail("%s", why) end
  local lock <close>, taken = store.lock(dir)
  if not lock then fail("%s: another sweep runs there", taken) end
  local mark = script_mark()
  local todo = unfinished(runs, dir, fresh, mark)
  if #todo == 0 then return end
  record.write(dir, record.make(options))
  if jobs == 0 or inside or not record.script() or not record.command() then return run_here(todo, call, mark) end
  local cores = sq.get_num_threads()
  jobs = math.min(jobs or cores, #todo)
  local pause = package.loaded["seqrt.pause"]
  local before = pause and pause.hold(true)
  local held <close> = setmetatable({}, { -- luacheck: ignore 211
    __close = function() if pause then pause.hold(before) end end,
  })
  local threads = math.max(1, cores // jobs)
  run_children(runs, todo, jobs, threads, mark, require "seqrt.board"(runs, todo, over, jobs, threads))
end

local function sweep(call, options, dir, jobs, over, fresh, on_error)
  check_plain(options, "options", 0)
  if not over or #over == 0 then fail "over is missing: {over = {\"lr\"}} names the options to sweep over" end
  dir = dir or default_dir(options)
  jobs = jobs or math.type(options.jobs) == "integer" and options.jobs or nil
  if jobs and jobs < 0 then fail("jobs is %d: it must be at least 0", jobs) end
  local runs = make_runs(options, over, dir)
  if not inside then
    calls = calls + 1
    if token and calls == token.call then be_child(runs, call) end
  end
  if token and calls < token.call then
    for _, run in ipairs(runs) do
      if not load_result(run) then run.state, run.failure = "failed", "not finished" end
    end
  else
    do_all(runs, call, options, over, dir, jobs, fresh or options.fresh == true)
  end
  if on_error == "raise" then raise_failures(runs) end
  return collect_results(runs, options, over, dir)
end

return api.define {
  owner = "sq", name = "sweep", call = sweep,
  signature = "(run: function, options: table, dir: string? = nil, jobs: int? = nil, over: table? = nil, "
    .. "fresh: bool = false, on_error: \"raise\"|\"keep\" = raise) -> table",
  doc = "Calls run(options, folder) for each combination of the options named by `over`, which are lists, each run in a "
    .. "process of its own, `jobs` (options.jobs, else one per core) at a time with their share of the threads. Results, "
    .. "the tables that run returned, in order; kept in dir (options.out), so that finished runs of the same options are "
    .. "not done again unless `fresh`. With jobs = 0, or without a script: here, one after the other. A run that fails "
    .. "does not stop the others; then it raises, or with on_error = \"keep\" gives {error = text}.",
  example = "local results = sq.sweep(train, options, {over = {\"lr\"}})",
}

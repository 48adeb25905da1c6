-- support.lua: what specs share: running the program, folders that go away, comparisons that NaN fails.
local support = {}

-- The program under test.
support.seqrt = os.getenv "SEQRT" or arg and arg[-1] or "build/seqrt"

-- False where the program was built with READLINE=no: its prompt then knows no history, completion or pasted blocks.
function support.has_readline()
  return os.execute("ldd " .. support.quote(support.seqrt) .. " 2>/dev/null | grep -q libreadline") == true
end

function support.quote(text) return "'" .. tostring(text):gsub("'", "'\\''") .. "'" end

function support.read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  return text
end

function support.write(path, text)
  local file = assert(io.open(path, "wb"))
  assert(file:write(text))
  assert(file:close())
  return path
end

-- Files and folders alike.
function support.exists(path)
  local file = io.open(path)
  return file ~= nil and file:close()
end

-- A fresh folder, removed when the suite ends.
local folders = setmetatable({}, {__gc = function(all)
  for _, path in ipairs(all) do os.execute("rm -rf " .. support.quote(path)) end
end})

function support.tmpdir()
  local name = os.tmpname()
  os.remove(name)
  name = name .. ".d"
  assert(os.execute("mkdir " .. support.quote(name)))
  folders[#folders + 1] = name
  return name
end

-- Whoever runs the suite may ignore signals (nohup, a shell's &), which the programs under test would inherit.
local ENV = "env --default-signal=HUP,INT,QUIT,TERM,USR1,PIPE,XFSZ"

-- Calls condition() until its result is true, which it returns; raises after `seconds` (60) without. No spec waits for a
-- time to pass: a machine under load takes any time.
function support.eventually(condition, what, seconds)
  local waited, step = 0, 0.02
  while waited < (seconds or 60) do
    local result = condition()
    if result then return result end
    os.execute("sleep " .. step)
    waited = waited + step
  end
  error("waited in vain for " .. (what or "a condition"), 2)
end

-- The memory in use when all garbage is gone: what a finalizer lets go only the next collection finds. A limit that is
-- set by it holds: the collection before an out-of-memory error frees nothing more.
function support.settle()
  local sq = require "seqrt"
  local live
  repeat
    live = sq.memory_stats().live_blocks
    collectgarbage()
    collectgarbage()
  until sq.memory_stats().live_blocks == live
  return sq.memory_stats()
end

-- Runs a shell command. Returns its standard output, standard error and exit status (128 + n after signal n).
-- options: stdin (text; default empty), env {NAME = value}, cwd.
function support.shell(command, options)
  options = options or {}
  local dir = support.tmpdir()
  local vars = {}
  for name, value in pairs(options.env or {}) do
    vars[#vars + 1] = name .. "=" .. support.quote(value)
  end
  support.write(dir .. "/in", options.stdin or "")
  local line = ("%s " .. ENV .. " %s %s <%s/in >%s/out 2>%s/err"):format(
    options.cwd and "cd " .. support.quote(options.cwd) .. " &&" or "", table.concat(vars, " "),
    command, dir, dir, dir)
  local _, kind, code = os.execute(line)
  if kind == "signal" then code = code + 128 end
  local out, err = support.read(dir .. "/out"), support.read(dir .. "/err")
  os.execute("rm -rf " .. support.quote(dir))
  return out, err, code
end

-- Runs the program with a list of arguments (or one string, split by the shell). Results and options as shell's;
-- also options.signal = name: sends that signal when the script has run the code support.READY; options.stop =
-- {name, seconds}: sends it at any moment.
support.READY = "io.open(os.getenv 'READY', 'w'):close() "

function support.run(args, options)
  local words = {}
  if type(args) == "string" then
    words[1] = args
  else
    for i, word in ipairs(args) do words[i] = support.quote(word) end
  end
  local program = support.seqrt
  if options and options.cwd and program:sub(1, 1) ~= "/" then program = support.cwd() .. "/" .. program end
  local stop = options and options.stop
  local line = stop and ("timeout --foreground --preserve-status -s %s %.3f "):format(stop[1], stop[2]) or ""
  line = line .. support.quote(program) .. " " .. table.concat(words, " ")
  if not (options and options.signal) then return support.shell(line, options) end
  local ready = support.tmpdir() .. "/ready"
  local wait = "while [ ! -e %s ] && kill -0 $p 2>/dev/null; do sleep 0.01; done"
  local command = ("READY=%s %s %s <&0 & p=$!; %s; kill -%s $p; wait $p"):format(ready, ENV, line, wait:format(ready),
    options.signal)
  return support.shell("timeout 120 sh -c " .. support.quote(command), options)
end

function support.cwd()
  local pipe = assert(io.popen "pwd")
  local path = pipe:read "l"
  pipe:close()
  return path
end

-- The program on a pseudo-terminal of 80 columns (script(1) makes it): send keys, expect texts.
local Terminal = {}
Terminal.__index = Terminal

-- options: env, as shell's.
function support.terminal(args, options)
  local dir = support.tmpdir()
  local vars = {TERM = "xterm", LC_ALL = "C.UTF-8", INPUTRC = "/dev/null", SEQRT_PAUSE = "1",
    SEQRT_HISTORY = dir .. "/history"}
  for name, value in pairs(options and options.env or {}) do vars[name] = value end
  local words = {"cd " .. support.quote(support.cwd()) .. "; stty cols 80 rows 24; exec " .. ENV}
  for name, value in pairs(vars) do words[#words + 1] = name .. "=" .. support.quote(value) end
  words[#words + 1] = support.quote(support.seqrt)
  for _, word in ipairs(args) do words[#words + 1] = support.quote(word) end
  local inner = support.quote(table.concat(words, " "))
  assert(os.execute(("mkfifo %s/in && touch %s/log"):format(dir, dir)))
  local command = [[
    { timeout -k 1 300 script -qfec %s log <in; echo $? >rc.new; mv rc.new rc; } >/dev/null 2>&1 &]]
  assert(os.execute(("export SHELL=/bin/sh; cd %s && %s"):format(dir, command:format(inner))))
  local keys = assert(io.open(dir .. "/in", "w"))
  keys:setvbuf "no"
  return setmetatable({dir = dir, keys = keys, at = 1}, Terminal)
end

function Terminal:send(text)
  self.keys:write(text)
  return self
end

-- All that the program has written, without bells and without what turns bracketed paste on and off.
function Terminal:text()
  local text = support.read(self.dir .. "/log"):gsub("\27%[%?2004h", ""):gsub("\27%[%?2004l\r?", "")
  return (text:gsub("\7", ""):gsub("\r\n", "\n"))
end

-- Waits until the text stands after what was expected before; raises after `seconds` (20).
function Terminal:expect(text, seconds)
  local tries = (seconds or 20) / 0.02
  for _ = 1, tries do
    local all = self:text()
    local first, last = all:find(text, self.at, true)
    if last then
      self.at = last + 1
      return first
    end
    os.execute "sleep 0.02"
  end
  self.keys:close() -- script then types Ctrl-D
  error(("the terminal does not show %q; since the last match it shows %q"):format(text, self:text():sub(self.at)), 2)
end

function Terminal:has_ended() return support.exists(self.dir .. "/rc") end

-- Waits for the end; returns the exit status.
function Terminal:status(seconds)
  for _ = 1, (seconds or 20) / 0.02 do
    if self:has_ended() then
      self.keys:close()
      return tonumber(support.read(self.dir .. "/rc"))
    end
    os.execute "sleep 0.02"
  end
  self.keys:close() -- script then types Ctrl-D
  error(("the program does not end; it shows %q"):format(self:text():sub(-500)), 2)
end

-- |a - b| <= atol + rtol |b|; false for NaN.
function support.close(a, b, rtol, atol)
  return math.abs(a - b) <= (atol or 0) + (rtol or 1e-6) * math.abs(b)
end

-- Raises unless every number of a (nested) table is close to its partner.
function support.assert_close(a, b, rtol, atol, where)
  where = where or "value"
  if type(b) == "table" then
    assert(type(a) == "table" and #a == #b, where .. ": lengths differ")
    for i = 1, #b do support.assert_close(a[i], b[i], rtol, atol, where .. "[" .. i .. "]") end
  elseif not support.close(a, b, rtol, atol) then
    error(("%s is %s, not %s"):format(where, tostring(a), tostring(b)), 2)
  end
end

-- Fails where a registry has what the golden numbers lack, and says what to do.
function support.assert_numbers(missing, script)
  if #missing == 0 then return end
  error(("no numbers from PyTorch for %s: add a case to spec/golden/%s.py and run it with PyTorch, "
    .. "python3 spec/golden/%s.py > spec/golden/%s.lua"):format(table.concat(missing, ", "), script, script, script), 2)
end

return support

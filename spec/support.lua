-- support.lua: what specs share: running the program, folders that go away, comparisons that NaN fails.
local support = {}

-- The program under test.
support.seqrt = os.getenv "SEQRT" or arg and arg[-1] or "build/seqrt"

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
  local line = ("%s env %s %s <%s/in >%s/out 2>%s/err"):format(
    options.cwd and "cd " .. support.quote(options.cwd) .. " &&" or "", table.concat(vars, " "),
    command, dir, dir, dir)
  local _, kind, code = os.execute(line)
  if kind == "signal" then code = code + 128 end
  local out, err = support.read(dir .. "/out"), support.read(dir .. "/err")
  os.execute("rm -rf " .. support.quote(dir))
  return out, err, code
end

-- Runs the program with a list of arguments (or one string, split by the shell). Results and options as shell's;
-- also options.signal = {name, seconds}: sends that signal after that time.
function support.run(args, options)
  local words = {}
  if type(args) == "string" then
    words[1] = args
  else
    for i, word in ipairs(args) do words[i] = support.quote(word) end
  end
  local program = support.seqrt
  if options and options.cwd and program:sub(1, 1) ~= "/" then program = support.cwd() .. "/" .. program end
  local before = ""
  if options and options.signal then
    before = ("timeout --foreground --preserve-status -s %s %s "):format(table.unpack(options.signal))
  end
  return support.shell(before .. support.quote(program) .. " " .. table.concat(words, " "), options)
end

function support.cwd()
  local pipe = assert(io.popen "pwd")
  local path = pipe:read "l"
  pipe:close()
  return path
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

return support

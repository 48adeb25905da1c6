-- record.lua: what a run was: run.json, and the script itself as run.lua, in the run's folder. sq.Log and sq.sweep write them,
-- so that a script needs no line for it.

local sq = require "seqrt"
local sys = require "seqrt.sys"
local json = require "seqrt.json"

local record = {
  options = nil, -- what sq.cli returned last
}

local written = {} -- a folder's record, of those that have one of this process

-- The script that runs, or nil at the prompt, in `-e` and from standard input.
function record.script()
  return arg and arg[-1] and arg[0] ~= "-" and arg[0] or nil
end

-- The words of the command line, or nil where the system does not tell.
function record.command()
  local file <close> = io.open "/proc/self/cmdline" -- its size is 0 until it is read: nothing for sys.read
  if not file then return nil end
  local words = {}
  for word in file:read "a":gmatch "([^\0]*)\0" do words[#words + 1] = word end
  return #words > 0 and words or nil
end

-- A word as a shell takes it.
local function shell_word(word)
  if word:find "^[%w%-%./_=:,+@%%]+$" then return word end
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

function record.command_line()
  local words = record.command() or {}
  for i, word in ipairs(words) do words[i] = shell_word(word) end
  return table.concat(words, " ")
end

-- Options that are numbers, texts, booleans or lists of them; others are named by their type.
local function plain_options(options)
  local out = {}
  for name, value in pairs(options) do
    local kind = type(value)
    if kind == "table" then
      out[name] = getmetatable(value) and tostring(value) or plain_options(value)
    else
      local known = kind == "number" or kind == "boolean" or kind == "string"
      if known then out[name] = value else out[name] = tostring(value) end
    end
  end
  return out
end

-- The record of this process as a table.
function record.make(options)
  local info = sq.info()
  options = options or record.options or {}
  return {
    command = record.command_line(), script = record.script(), options = plain_options(options),
    seed = math.type(options.seed) == "integer" and options.seed or nil, seqrt = info.version, lua = info.lua,
    isa = info.isa, cpu = info.cpu, threads = info.threads, products = info.products, blas = info.blas,
    started = os.date "!%Y-%m-%dT%H:%M:%SZ",
  }
end

-- Writes `values`, a record, with who has multiplied by now, and a copy of the script. A run.lua that is not of an earlier
-- run here is somebody's own and stays. Raises where the folder takes no file.
function record.write(dir, values)
  local info = sq.info()
  local facts, copy = sys.fs.join(dir, "run.json"), sys.fs.join(dir, "run.lua")
  local free = sys.fs.exists(facts) or not sys.fs.exists(copy)
  values.products, values.blas = info.products, info.blas
  written[dir] = values
  local ok, why = sys.write(facts, json.encode(values, "") .. "\n")
  local script = record.script()
  local text = ok and script and sys.read(script)
  if text and free then ok, why = sys.write(copy, text) end
  if not ok then require "seqrt.api".fail("[record] %s", why) end
end

-- The same once for a folder and a process, and once more where the BLAS has multiplied for the first time since.
function record.ensure(dir)
  local values = written[dir]
  if not values or values.products ~= sq.info().products then record.write(dir, values or record.make()) end
end

return record

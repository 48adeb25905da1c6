-- cli.lua: a script's options from its table of defaults: sq.cli{lr = 1e-3, T = {5, 10}, dry_run = false}.
--
-- An entry is a default, or {default, choices =, min =, max =, help =, type =}. The type is the default's: integer,
-- number, string, boolean, or a list of one of these. Without a default `type` names it, and the option is nil.
-- The type "folder" is a path: it is made, and one that can't be written to is an error now, not after the training.

local api = require "seqrt.api"
local sys = require "seqrt.sys"

local FIELDS = {choices = true, min = true, max = true, help = true, type = true}
local TYPES = {integer = true, number = true, string = true, boolean = true, folder = true}
local TRUE = {["true"] = true, yes = true, on = true, ["1"] = true}
local FALSE = {["false"] = true, no = true, off = true, ["0"] = true}

local function shown(name) return "--" .. name:gsub("_", "-") end

local function kind_of(value)
  if type(value) == "number" then return math.type(value) == "integer" and "integer" or "number" end
  return type(value)
end

local function text_of(value)
  if type(value) ~= "table" then return type(value) == "number" and format("%.10g", value) or tostring(value) end
  local out = {}
  for i, item in ipairs(value) do out[i] = text_of(item) end
  return table.concat(out, ",")
end

-- --- what the script declares ----------------------------------------------------------------------

-- One entry as {name, default, type, list, choices, min, max, help}; raises on a table that makes no sense.
local function declare(name, entry)
  local function wrong(why) api.fail("cli: option '%s': %s", tostring(name), why) end
  if type(name) ~= "string" or not name:find "^[%a][%w_]*$" then wrong "names are letters, digits and _" end
  local option = {name = name}
  local described = false
  if type(entry) == "table" then
    described = type(entry[1]) == "table" -- {{5, 10}}: a list, and nothing said of it
    for key in pairs(entry) do
      if type(key) == "string" then
        described = true
        if not FIELDS[key] then wrong(format("'%s' is none of choices, min, max, help, type", key)) end
        option[key] = entry[key]
      end
    end
  end
  if not described and type(entry) == "table" and #entry == 1 then
    local text = text_of(entry)
    wrong(format("{%s} may be one value or a list of one: write %s, {%s, help = \"...\"} to say more of it, "
      .. "or {{%s}} for a list", text, text, text, text))
  end
  if described then option.default = entry[1] else option.default = entry end
  option.list = type(option.default) == "table"
  local sample = option.default
  if option.list then sample = option.default[1] end
  option.type = option.type or sample ~= nil and kind_of(sample) or nil
  if not TYPES[option.type] then wrong "needs a default or a type: integer, number, string, boolean, folder" end
  if option.list and option.type == "integer" then
    for _, item in ipairs(option.default) do if kind_of(item) == "number" then option.type = "number" end end
  end
  return option
end

-- Options sorted by name, and the same by name.
local function declare_all(spec)
  local list, by_name = {}, {}
  for name, entry in pairs(spec) do
    local option = declare(name, entry)
    list[#list + 1], by_name[name] = option, option
  end
  table.sort(list, function(a, b)
    local x, y = a.name:lower(), b.name:lower()
    return x < y or x == y and a.name < b.name
  end)
  return list, by_name
end

-- --- what the user wrote ----------------------------------------------------------------------------

-- The declared name a wrong one may have meant, or nil.
local function nearest(word, list)
  local names = {}
  for i, option in ipairs(list) do names[i] = option.name end
  return api.nearest(word, names)
end

local function check_range(option, value)
  if option.choices then
    for _, choice in ipairs(option.choices) do if value == choice then return end end
    return format("invalid choice '%s' (choose from %s)", text_of(value), text_of(option.choices):gsub(",", ", "))
  end
  if type(value) ~= "number" then return end
  if option.min and value < option.min then
    return format("%s is too small: at least %s", text_of(value), text_of(option.min))
  end
  if option.max and value > option.max then
    return format("%s is too large: at most %s", text_of(value), text_of(option.max))
  end
end

-- One word as the option's type; nil and why.
local function convert(option, word)
  local value
  if option.type == "string" or option.type == "folder" then
    value = word
  elseif option.type == "boolean" then
    if TRUE[word:lower()] then return true end
    if FALSE[word:lower()] then return false end
    return nil, format("'%s' is neither true nor false", word)
  else
    value = tonumber(word)
    if not value then
      return nil, format("'%s' is not %s", word, option.type == "integer" and "an integer" or "a number")
    end
    if value - value ~= 0 then return nil, word .. " is not finite" end
    if option.type == "integer" then
      value = math.tointeger(value)
      if not value then return nil, format("'%s' is not an integer", word) end
    else
      value = value + 0.0
    end
  end
  local bad = check_range(option, value)
  if bad then return nil, bad end
  return value
end

local function convert_list(option, text)
  local out = {}
  for word in (text .. ","):gmatch "([^,]*)," do
    if word == "" then return nil, format("'%s' has an empty item", text) end
    local value, why = convert(option, word)
    if value == nil then return nil, why end
    out[#out + 1] = value
  end
  return out
end

-- --name, -name, --no-name: the option, whether it was negated; nil and a message for an unknown one.
local function find_option(word, list, by_name)
  local name = word:gsub("^%-%-?", ""):gsub("-", "_")
  if by_name[name] then return by_name[name], false end
  local positive = by_name[name:match "^no_(.+)$" or ""]
  if positive and positive.type == "boolean" then return positive, true end
  local near = nearest(name, list)
  return nil, format("unknown option '%s'%s", word, near and format(": did you mean '%s'?", shown(near)) or "")
end

local function is_value(word) return word and (word:sub(1, 1) ~= "-" or word == "-" or tonumber(word) ~= nil
  or word:find "^%-[%d.]") end

-- The value of one option; `i` is where its word stands. Returns value, next i; nil and a message.
local function take_option(option, negated, text, args, i)
  local name = args[i]:match "^[^=]*"
  local function fail(why) return nil, format("argument %s: %s", name, why) end
  if option.type == "boolean" and not option.list then
    if negated then
      if text then return fail "takes no value" end
      return false, i + 1
    end
    if not text then return true, i + 1 end
  elseif not text then
    text, i = args[i + 1], i + 1
    if not is_value(text) then return fail "expected a value" end
  end
  local value, why = (option.list and convert_list or convert)(option, text)
  if value == nil then return fail(why) end
  return value, i + 1
end

local function copy(value) return type(value) == "table" and {table.unpack(value)} or value end

-- The options as a table; nil and a message, or nil, "" and true when help is wanted.
local function parse(list, by_name, args)
  local options = {}
  for _, option in ipairs(list) do options[option.name] = copy(option.default) end
  local i, n = 1, #args
  while i <= n do
    local word, text = args[i]:match "^([^=]*)=(.*)$"
    word = word or args[i]
    if word == "-h" or word == "--help" then return nil, "", true end
    if word:sub(1, 1) ~= "-" then return nil, format("unexpected argument '%s'", args[i]) end
    local option, negated = find_option(word, list, by_name)
    if not option then return nil, negated end
    local value, after = take_option(option, negated, text, args, i)
    if value == nil then return nil, after end
    options[option.name], i = value, after
  end
  return options
end

-- Makes the folders that were asked for; a message where one can't be written to.
local function open_folders(list, options)
  for _, option in ipairs(list) do
    local path = option.type == "folder" and options[option.name]
    if path then
      local ok, why = sys.fs.mkdir_p(path)
      if ok then ok, why = sys.probe(path) end
      if not ok then return format("argument %s: %s", shown(option.name), why) end
    end
  end
end

-- --- help ---------------------------------------------------------------------------------------------

-- What the script says of itself: the comment at its head, from after "-- name.lua: " to the first empty line.
local function head_comment(script)
  local file = script and io.open(script)
  if not file then return nil end
  local out = {}
  for line in file:lines() do
    local text = line:match "^%-%-%s?(.*)$"
    if not text and not line:find "^#!" then break end
    if text then out[#out + 1] = #out == 0 and text:gsub("^[%w_%-.]+%.lua: ", "") or text end
  end
  file:close()
  return #out > 0 and table.concat(out, "\n") or nil
end

local METAVAR = {integer = "N", number = "X", string = "TEXT", folder = "FOLDER"}

local function describe(option)
  local left = shown(option.name)
  if option.choices then
    left = left .. " {" .. text_of(option.choices) .. "}"
  elseif option.type ~= "boolean" then
    left = left .. " " .. METAVAR[option.type]
  end
  if option.list then left = left .. (option.choices and "[,...]" or ",...") end
  if option.type == "boolean" and not option.list then left = left .. ", --no-" .. shown(option.name):sub(3) end
  local right = {option.help}
  if option.min and option.max then
    right[#right + 1] = format("[%s to %s]", text_of(option.min), text_of(option.max))
  elseif option.min or option.max then
    right[#right + 1] = option.min and format("[at least %s]", text_of(option.min))
      or format("[at most %s]", text_of(option.max))
  end
  if option.default ~= nil then right[#right + 1] = format("(default: %s)", text_of(option.default)) end
  return left, table.concat(right, " ")
end

local function help_text(list, script)
  local out = {format("usage: seqrt %s [options]\n", script or "script.lua")}
  local doc = head_comment(script)
  if doc then out[#out + 1] = doc .. "\n" end
  out[#out + 1] = "options:"
  local rows, width = {{"-h, --help", "show this text and leave"}}, 10
  for _, option in ipairs(list) do
    local left, right = describe(option)
    rows[#rows + 1] = {left, right}
    if #left <= 30 then width = math.max(width, #left) end
  end
  for _, row in ipairs(rows) do
    local gap = #row[1] <= width and (" "):rep(width - #row[1] + 2) or "\n" .. (" "):rep(width + 4)
    out[#out + 1] = "  " .. row[1] .. gap .. row[2]
  end
  return table.concat(out, "\n") .. "\n"
end

-- --- the function -------------------------------------------------------------------------------------

local function cli(spec, exit, script, args)
  args, script = args or arg or {}, script or arg and arg[0]
  local list, by_name = declare_all(spec)
  local options, message, help = parse(list, by_name, args)
  if options then message = open_folders(list, options) end
  if options and not message then
    require("seqrt.record").options = options
    return options
  end
  if help then message = help_text(list, script) end
  if not exit then return nil, message end
  if help then
    io.stdout:write(message)
    os.exit(0, true)
  end
  local name = (script or "script.lua"):match "[^/]*$"
  io.stdout:flush()
  io.stderr:write(format("%s: error: %s\n", name, message))
  io.stderr:write(format("%s: --help lists the options\n", name))
  os.exit(2, true)
end

return api.define {owner = "sq", name = "cli",
  signature = "(defaults: table, exit: bool = true, script: string? = nil, args: table? = nil) -> table, string?",
  doc = "The script's options: the table of defaults, changed by the command line. A wrong command line prints why and ends "
    .. "with status 2, --help prints the options and ends with 0; with exit = false both give nil and the text.",
  example = "local options = sq.cli {lr = 1e-3, T = {5, 10}, model = {\"lstm\", choices = {\"rnn\", \"lstm\"}}}",
  call = cli}

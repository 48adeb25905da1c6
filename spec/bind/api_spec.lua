-- api_spec.lua: everything that scripts can call is listed, whether C or Lua has it: with signature, meaning and, where Lua
-- has it, an example; help and both references show all of it.
local sq = require "seqrt"
local api = require "seqrt.api"
local help = require "seqrt.help"
local reference = require "seqrt.reference"
local support = require "spec.lib.support"

local rows = api.list()
local by_path, classes = {}, {}
for _, row in ipairs(rows) do
  by_path[(row.owner or "") .. "." .. row.name] = row
  if row.kind == "class" then classes[row.name] = row end
end

local function path(row) return (row.owner and row.owner .. "." or "") .. row.name end

-- All fields of a table, those that are made at first use too.
local function fields(t)
  local out, meta = {}, getmetatable(t)
  for _, name in ipairs(meta and meta.__dir or {}) do
    local ok, value = pcall(function() return t[name] end)
    if ok then
      out[name] = value
    elseif not tostring(value):find "module 'seqrt.%w+' not found" then -- a part that this build leaves out
      error(value)
    end
  end
  for name, value in pairs(t) do out[name] = value end
  return out
end

-- Calls visit(path, value) for what can be called in a table of ours, and in those below it.
local function walk(t, at, visit)
  for name, value in pairs(fields(t)) do
    local meta = getmetatable(value)
    local full = at .. "." .. tostring(name)
    if type(value) == "function" or type(value) == "table" and meta and meta.__call then
      visit(full, value)
    elseif type(value) == "table" then
      walk(value, full, visit)
    end
  end
end

-- The Lua parts as {name, text}.
local function parts()
  local list = {}
  for _, file in ipairs(sq.fs.glob "bindings/lua/*/*.lua") do
    list[#list + 1] = {file, support.read(file)}
  end
  return list
end

describe("the list of the API", function()
  it("has everything that can be called under sq", function()
    local count = 0
    walk(sq, "sq", function(full)
      count = count + 1
      assert.is_truthy(by_path[full], full .. " is not listed: api.define does it")
    end)
    assert.is_true(count > 300)
  end)

  it("is told by the build which part defines what, from the part's own line", function()
    local dir = support.tmpdir()
    support.write(dir .. "/timer.lua",
      'return require "seqrt.api".define {owner = "sq", name = "timer", signature = "()", call = print}\n')
    assert(os.execute(("make -s OUT=%s LUA_SRC=%s/timer.lua %s/lua_parts.c"):format(dir, dir, dir)))
    assert.truthy(support.read(dir .. "/lua_parts.c"):find('{"sq", "timer", "timer"},', 1, true))
  end)

  it("finds what is not listed", function()
    local missing
    walk({nn = {forgotten = function() end}}, "sq", function(full) missing = not by_path[full] and full end)
    assert.equal("sq.nn.forgotten", missing)
  end)

  it("names nothing that is not there", function()
    for _, row in ipairs(rows) do
      if row.kind == "function" or row.kind == "op" then
        local value = sq
        for word in path(row):sub(4):gmatch "[^.]+" do value = value[word] end
        assert.is_truthy(value, path(row))
        if row.value then assert.equal(row.value, value, path(row)) end
      elseif row.kind == "method" and row.of then
        assert.is_function(row.of[row.name], path(row))
      end
    end
  end)

  it("has in nn.functional what PyTorch has there of the ops", function()
    local names = {}
    for _, row in ipairs(rows) do if row.owner == "sq.nn.functional" then names[#names + 1] = row.name end end
    table.sort(names)
    assert.equal("avg_pool2d batch_norm bilinear binary_cross_entropy binary_cross_entropy_with_logits conv1d conv2d "
      .. "conv_transpose2d cross_entropy dropout elu embedding gelu group_norm kl_div l1_loss layer_norm leaky_relu linear "
      .. "log_softmax max_pool2d mse_loss nll_loss one_hot relu rms_norm scaled_dot_product_attention sigmoid silu "
      .. "smooth_l1_loss softmax softplus tanh",
      table.concat(names, " "))
    for _, name in ipairs(names) do assert.equal(name, api.describe(sq.nn.functional[name]).name) end
  end)

  it("has as a method each op whose first parameter is a Tensor, and no other", function()
    local methods, others = 0, 0
    for _, row in ipairs(rows) do
      if row.kind == "op" then
        local first = row.params[1] and row.params[1].type
        local on_tensor = first == "Tensor" or first == "Tensor|number"
        assert.equal(on_tensor, by_path["Tensor." .. row.name] ~= nil, row.name)
        if on_tensor then methods = methods + 1 else others = others + 1 end
      end
    end
    assert.is_true(methods > 100 and others >= 3, methods .. " " .. others)
  end)

  it("has a signature, a meaning and, for what Lua defines, an example", function()
    for _, row in ipairs(rows) do
      assert.is_true(type(row.doc) == "string" and #row.doc > 2, path(row) .. " has no doc line")
      if row.kind ~= "class" and row.kind ~= "field" then assert.is_string(row.signature, path(row)) end
      if row.kind == "field" then assert.is_string(row.type, path(row) .. " has no type") end
      if row.value and row.kind == "function" then assert.is_string(row.example, path(row) .. " has no example") end
      if row.example then
        local code = row.example:gsub("%)%s+(%a[%w_.]*[:%s(])", ") %1")
        assert(load(code, "=" .. path(row)))
      end
    end
  end)

  it("has every class that a Lua part makes, with each of its methods", function()
    local seen = 0
    for _, part in ipairs(parts()) do
      for variable, name in part[2]:gmatch '\n(%u%w*)%.__name = "(%w+)"' do
        seen = seen + 1
        assert.is_truthy(classes[name], ("%s: class %s is not listed: api.class does it"):format(part[1], name))
        for method in part[2]:gmatch("\nfunction " .. variable .. "[:.](%a[%w_]*)") do
          assert.is_truthy(by_path[name .. "." .. method] or method:find "^__",
            ("%s: %s:%s is not listed"):format(part[1], name, method))
        end
      end
    end
    assert.is_true(seen >= 6)
    for name, method in pairs(sq.nn.Module) do
      if type(method) == "function" and not name:find "^__" then assert.is_truthy(by_path["Module." .. name], name) end
    end
  end)

  it("names arguments in C as the signatures do", function()
    local functions, enums, seen = {}, {}, 0
    for _, file in ipairs(sq.fs.glob "bindings/module/*.c") do
      local text = support.read(file)
      for list in text:gmatch "bind_fn [%w_]+%[%] = (%b{})" do
        for row in list:sub(2, -2):gmatch "%b{}" do
          local name, fn = row:match '^{"([%w_]+)"', row:match "([%w_]+)}$"
          if name then functions[#functions + 1] = {name, fn} end
        end
      end
      for fn, list in text:gmatch "int ([%w_]+)%(lua_State %*L, const sq_arg %*arg%) {\n  enum { ([^}]*) };" do
        enums[fn] = list
      end
    end
    for _, each in ipairs(functions) do
      local names, ok = enums[each[2]], false
      for _, row in ipairs(names and rows or {}) do
        if row.name == each[1] and row.params then
          local params = {}
          for i, p in ipairs(row.params) do params[i] = p.name:upper() end
          ok = ok or (table.concat(params, ", ") .. ","):sub(1, #names + 1) == names .. ","
        end
      end
      if names then seen = seen + 1 end
      assert.is_true(ok or not names, ("%s: enum { %s } is not its signature's beginning"):format(each[2], tostring(names)))
    end
    assert.is_true(seen > 40, seen)
  end)

  it("knows each function's own row", function()
    local done = {}
    for _, row in ipairs(rows) do
      if row.value and row.kind == "function" and not done[row.value] then
        done[row.value] = true
        assert.equal(row.name, api.describe(row.value).name)
      end
    end
    assert.equal("save", api.describe(sq.save).name)
    assert.equal("DataLoader", api.describe(sq.data.DataLoader).name)
  end)
end)

-- One object of each class that a Lua part makes.
local function objects(dir)
  local context
  local Look = sq.autograd.Function "Look"
  function Look.forward(ctx) context = ctx end
  Look()
  local set = sq.data.TensorDataset(sq.ones(2))
  local opt = sq.optim.SGD(sq.nn.Linear(1, 1):parameters(), {lr = 1})
  return {Module = sq.nn.Linear(1, 1), ModuleList = sq.nn.ModuleList(), Sequential = sq.nn.Sequential(),
    MultiheadAttention = sq.nn.MultiheadAttention(2, 1), Dataset = set, DataLoader = sq.data.DataLoader(set),
    Scheduler = sq.optim.lr_scheduler.StepLR(opt, 2), Progress = sq.progress(1, {disable = true}), Context = context,
    Log = sq.Log(dir), Checkpoint = sq.Checkpoint(dir)}
end

describe("a signature", function()
  local wrong = coroutine.create(function() end) -- what no parameter is
  local here = "api_spec.lua:%d+: "

  -- What can be called, with the row that lists it.
  local function each_callable(visit)
    for _, row in ipairs(rows) do
      local value
      if row.kind == "function" or row.kind == "op" then
        value = sq
        for word in path(row):sub(4):gmatch "[^.]+" do value = value[word] end
      elseif row.kind == "method" and row.of then
        value = row.of[row.name]
      end
      if value then visit(row, value) end
    end
  end

  local function raises(row, expected, fn, ...)
    local ok, text = pcall(fn, ...)
    assert.is_false(ok, path(row) .. " takes it")
    assert.is_truthy(tostring(text):find(here), tostring(text))
    assert.is_truthy(tostring(text):find(expected, 1, true), path(row) .. ": " .. tostring(text))
  end

  -- What the first n parameters that have no default are given.
  local function needed(row, n)
    local some = {int = 2, ints = 2, dim = 2, shape = {2}, lone = 2, pair = 2, number = 0.5, Tensor = sq.ones(2, 2)}
    local args = {}
    for i = 1, n or #row.params do
      local p = row.params[i]
      if not p.optional then args[i] = assert(some[p.type], path(row) .. ": " .. p.name .. " is a " .. p.type) end
    end
    return args
  end

  -- Each class of layers that says what a call takes, with a layer of it.
  local function each_layer(visit)
    for _, row in ipairs(rows) do
      if row.kind == "call" then
        local maker = by_path["sq.nn." .. row.owner]
        visit(row, sq.nn[row.owner](table.unpack(needed(maker), 1, #maker.params)))
      end
    end
  end

  it("is enforced: an option of no parameter's name is refused", function()
    local count = 0
    each_callable(function(row, value)
      local n = #row.params
      if n > 0 and row.params[n].name == "..." then return end
      local args = {}
      args[n + 1] = {no_such_option = 1}
      raises(row, "there is no option 'no_such_option'", function()
        value(table.unpack(args, 1, n + 1))
      end)
      count = count + 1
    end)
    assert.is_true(count > 380, count)
  end)

  it("is enforced: an argument of a wrong type is refused", function()
    local of, count = objects(support.tmpdir()), 0
    each_callable(function(row, value)
      local method = row.kind == "method"
      local param = row.params[method and 2 or 1]
      if method then assert.is_truthy(of[row.owner], "the spec has no object of class " .. row.owner) end
      if not param then
        raises(row, "takes", function() if method then value(of[row.owner], wrong) else value(wrong) end end)
      elseif param.type ~= "any" then
        raises(row, "expected", function() if method then value(of[row.owner], wrong) else value(wrong) end end)
        count = count + 1
      end
      if method then raises(row, "self: expected a " .. row.owner, function() value(wrong) end) end
    end)
    of.Checkpoint:close()
    assert.is_true(count > 300, count)
  end)

  it("is enforced where a layer is called", function()
    local count = 0
    each_layer(function(row, layer)
      local n, given = #row.params, needed(row)
      given[n + 1] = {no_such_option = 1}
      raises(row, "there is no option 'no_such_option'", function() layer(table.unpack(given, 1, n + 1)) end)
      for i, param in ipairs(row.params) do
        local args = needed(row, i - 1)
        args[i] = wrong
        raises(row, param.name .. ": expected ", function() layer(table.unpack(args, 1, i)) end)
      end
      raises(row, row.params[1].name .. " is missing; it is called as", layer)
      count = count + 1
    end)
    assert.is_true(count > 35, count)
  end)

  it("can't be given without its function", function()
    assert.error_matches(function() api.define {owner = "sq", name = "hollow", signature = "()", doc = "Nothing."} end,
      "a signature needs its function")
    local method = api.class {name = "Hollow", methods = {}, doc = "Nothing."}
    assert.error_matches(function() method("f", "()", "Nothing.") end, "function expected")
    assert.error_matches(function() method("f", "()", "Nothing.", "h:f()") end, "function expected")
  end)
end)

describe("help", function()
  local function has(text, value)
    local got = assert(help.text(value))
    assert.is_truthy(got:find(text, 1, true), got)
  end

  it("shows functions written in Lua with their example", function()
    has("sq.optim.lr_scheduler.StepLR(optimizer: Optimizer, step_size: int, gamma: number = 0.1", sq.optim.lr_scheduler.StepLR)
    has("example: local scheduler = optim.lr_scheduler.StepLR(opt, 30, {gamma = 0.1})", "StepLR")
    has("sq.fs.join(...: any? = nil) -> string", sq.fs.join)
    has("sq.clock() -> number", "clock")
    has("sq.nn.Module(name: string) -> any", "nn.Module")
    has("sq.nn.functional.cross_entropy(", sq.nn.functional)
    has("sq.nn.utils.clip_grad_norm_(", sq.nn.utils)
  end)

  it("shows what a call takes and gives, after the constructor and in the class", function()
    local call = "lstm(x: Tensor, h0: Tensor? = nil, c0: Tensor? = nil) -> Tensor, Tensor, Tensor\n    y (T,B,H)"
    has(call, sq.nn.LSTM)
    has(call, sq.nn.LSTM(1, 1))
    has(call, "LSTM")
    has("multiheadattention(query: Tensor, key: Tensor, value: Tensor, key_padding_mask", sq.nn.MultiheadAttention)
    for name, row in pairs(classes) do
      if row.owner == "Layer" then has(name:lower() .. "(", sq.nn[name]) end
    end
    assert.is_nil(help.text(sq.nn.functional):find("linear(x: Tensor)", 1, true))
    assert.is_truthy(reference.luacats():find("---@class LSTM: Layer\n---@overload fun(x: Tensor, h0?: Tensor, c0?: Tensor): "
      .. "Tensor, Tensor, Tensor\n", 1, true))
    assert.is_truthy(reference.markdown():find("- `lstm(x: Tensor, h0: Tensor? = nil", 1, true))
  end)

  it("shows the methods of an object, those of its base too", function()
    local Net = sq.nn.Module "Net"
    has("module:load_state_dict(state_dict: table, strict: bool = true) -> table, table", sq.nn.Linear(2, 3))
    has("module:load_state_dict(", Net())
    has("modulelist:append(", sq.nn.ModuleList())
    has("module:parameters()", sq.nn.ModuleList())
    local opt = sq.optim.SGD(sq.nn.Linear(1, 1):parameters(), {lr = 1})
    has("scheduler:get_last_lr()", sq.optim.lr_scheduler.StepLR(opt, 2))
    has("dataloader:epoch() -> function", sq.data.DataLoader(sq.data.TensorDataset(sq.ones(2))))
    has("progress:set_postfix(", sq.progress(1, {disable = true}))
  end)
end)

describe("the references", function()
  it("show every row", function()
    local markdown, luacats = reference.markdown(), reference.luacats()
    assert(load(luacats, "=luacats", "t"))
    for _, row in ipairs(rows) do
      assert.is_truthy(markdown:find(row.kind == "class" and "## class " .. row.name or help.heading(row), 1, true), path(row))
      local text = {method = "function " .. path(row):gsub("%.([%w_]+)$", ":%1") .. "(", class = "---@class " .. row.name,
        field = "---@field " .. row.name .. " ",
        call = "---@overload fun(" .. (row.params and row.params[1] and row.params[1].name or "")}
      assert.is_truthy(luacats:find(text[row.kind] or "function " .. path(row) .. "(", 1, true), path(row))
    end
  end)
end)

describe("the file for lua-language-server", function()
  local text = reference.luacats()

  it("is Lua, and names no type that it does not define", function()
    assert(load(text))
    local known = {}
    for name in ([[any nil boolean string number integer table function userdata thread fun]]):gmatch "%a+" do
      known[name] = true
    end
    for name in text:gmatch "%-%-%-@class ([%w_.]+)" do known[name] = true end
    for name in text:gmatch "%-%-%-@alias ([%w_.]+)" do known[name] = true end
    local function check(types, line)
      for name in types:gsub('"[^"]*"', ""):gmatch "[%a_][%w_.]*" do assert.is_true(known[name], line) end
    end
    local count = 0
    for line in text:gmatch "%-%-%-@[^\n]+" do
      local types = line:match "^%-%-%-@param %S+ (.*)" or line:match "^%-%-%-@return (.*)" or
        line:match "^%-%-%-@field %S+ (%S+)"
      if types then
        count = count + 1
        check(types, line)
      end
    end
    assert.is_true(count > 1000)
  end)

  it("lies where .luarc.json looks for it", function()
    assert.matches('"workspace.library": %["build/types"%]', support.read ".luarc.json")
    assert.matches("%-%-luacats > build/types/seqrt.lua", support.read "Makefile")
  end)
end)

-- locale_spec.lua: a script that sets a locale with a decimal comma and another order of letters gives the same bytes.
local support = require "spec.lib.support"

-- A locale of our own: a bare system has localedef, but no sources of real ones.
local COMMA = [[
comment_char %
escape_char /
LC_NUMERIC
decimal_point ","
thousands_sep "."
grouping 3;3
END LC_NUMERIC
LC_COLLATE
order_start forward
<B>
<b>
<A>
<a>
order_end
END LC_COLLATE
]]
local LETTERS = [[
<code_set_name> ANSI_X3.4-1968
<comment_char> %
<escape_char> /
CHARMAP
<NUL> /x00 NUL
<A> /x41 A
<a> /x61 a
<B> /x42 B
<b> /x62 b
END CHARMAP
]]

local function make_locale()
  local dir = support.tmpdir()
  support.write(dir .. "/source", COMMA)
  support.write(dir .. "/letters", LETTERS)
  os.execute(("localedef -c --no-archive -i %s/source -f %s/letters %s/comma 2>/dev/null"):format(dir, dir, dir))
  local out = support.run({"-e", 'print(os.setlocale("comma", "numeric"), os.setlocale("comma", "collate"), 0.5, "b" < "A")'},
    {env = {LOCPATH = dir}})
  return out == "comma\tcomma\t0,5\ttrue\n" and dir or nil
end

-- What every script below begins with: say() prints texts alone, as Lua's own print would follow the locale.
local BEGIN = [[
  for _, category in ipairs {"numeric", "collate"} do assert(os.setlocale(os.getenv "WANTED", category)) end
  local sq = require "seqrt"
  local nn, optim, dir = sq.nn, sq.optim, arg[1]
  local function say(x) assert(type(x) == "string" or type(x) == "userdata" or type(x) == "table") print(x) end
  local function refused(...) local ok, why = pcall(...) assert(not ok) say(why) end
]]

-- Runs the script with a folder of its own in C's locale and in ours: what it prints, its errors, its files.
local locale = make_locale()
local function run(script, name)
  local dir = support.tmpdir()
  support.write(dir .. "/s.lua", BEGIN .. script)
  assert(os.execute("mkdir " .. dir .. "/o"))
  local out, err, code = support.run({"s.lua", "o"},
    {cwd = dir, env = {LOCPATH = locale, WANTED = name, SEQRT_PROGRESS = "5s", SOURCE_DATE_EPOCH = "1"}})
  assert.equal(0, code, err)
  local files = {}
  for file in support.shell("find . -type f", {cwd = dir .. "/o"}):gmatch "[^\n]+" do
    files[#files + 1] = file
    files[file] = support.read(dir .. "/o/" .. file)
  end
  table.sort(files)
  return out, err, files
end

-- `same` takes away what differs between two runs anyway.
local function alike(script, same)
  if not locale then return pending "localedef makes no locale here" end
  same = same or function(text) return text end
  local out, err, files = run(script, "C")
  local out_comma, err_comma, files_comma = run(script, "comma")
  assert.equal(same(out), same(out_comma))
  assert.equal(same(err), same(err_comma))
  assert.equal(table.concat(files, " "), table.concat(files_comma, " "))
  for _, name in ipairs(files) do
    assert.is_true(same(files[name]) == same(files_comma[name]), name .. " differs: " .. files_comma[name]:sub(1, 300))
  end
  return out_comma, err_comma, files_comma
end

describe("under a decimal comma", function()
  it("layers, optimizers and schedulers are made, printed and trained", function()
    local out = alike [[
      sq.manual_seed(1)
      local net = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.25), nn.LeakyReLU(0.125), nn.BatchNorm1d(4), nn.ELU(),
        nn.Linear(4, 2))
      say(tostring(net))
      say(tostring(nn.LayerNorm(3)) .. tostring(nn.GroupNorm(2, 4)) .. tostring(nn.Softplus(0.5, 12.5)))
      local names = {}
      for _, row in ipairs(require "seqrt.api".list()) do
        if row.owner == "sq.optim" and row.kind == "function" then names[#names + 1] = row.name end
      end
      assert(#names >= 5)
      for _, name in ipairs(names) do
        local opt = optim[name](net:parameters(), {lr = 0.015625})
        assert(opt.lr * 64 == 1)
        net(sq.ones(5, 3)):sum():backward()
        opt:step()
        say(tostring(opt))
      end
      local opt = optim.SGD(net:parameters(), {lr = 1})
      local scheduler = optim.lr_scheduler.StepLR(opt, 1, 0.5)
      scheduler:step()
      assert(opt.lr * 2 == 1)
      say(net[1].weight) say(sq.tensor {0.5, 1e-10, 1e10, 0 / 0}) say(sq.tensor {0.5, 2.25})]]
    assert.truthy(out:find("p=0.25", 1, true) and out:find("lr=0.015625", 1, true) and out:find("2.2500", 1, true), out)
  end)

  it("errors say their numbers with a point", function()
    local out = alike [[
      refused(nn.Dropout, 1.5)
      refused(optim.SGD, {sq.ones(1, {requires_grad = true})}, {lr = -0.5})
      refused(sq.arange, 0.5, 1, -0.25)
      refused(sq.zeros, 2.5)
      refused(sq.ones(2).view, sq.ones(2), 0.5)
      refused(sq.load, 0.5)
      refused(sq.progress, -0.5)
      refused(nn.utils.clip_grad_norm_, net, -0.5)
      refused(optim.lr_scheduler.OneCycleLR, optim.SGD({sq.ones(1, {requires_grad = true})}, {lr = 1}),
        {max_lr = 1, total_steps = 4, pct_start = 1.5})
      refused(sq.Checkpoint(dir).save, sq.Checkpoint(dir), 1.5, {})]]
    assert.truthy(out:find("p is 1.5", 1, true), out)
    assert.is_nil(out:find "%d,%d", out)
  end)

  it("options are read and shown", function()
    local out, _ = alike [[
      local spec = {lr = {1e-3, min = 0, max = 0.5, help = "rate"}, T = {0.5, 1.5}, b = 1.0, A = 2, a = "x", B = true}
      local function try(...)
        local options, why = sq.cli(spec, {args = {...}, exit = false, script = "x.lua"})
        if not options then return say(why) end
        local fields = {}
        for _, name in ipairs {"lr", "b"} do fields[#fields + 1] = name .. ":" .. tostring(options[name] * 1024 // 1 | 0) end
        for _, x in ipairs(options.T) do fields[#fields + 1] = tostring(x * 1024 // 1 | 0) end
        say(table.concat(fields, " "))
      end
      try() try("--lr", "0.25") try("--T", "0.25,1e-1") try("--b=.5") try("--lr", "0,25") try("--lr", "0.75") try "-h"]]
    assert.truthy(out:find("lr:256 ", 1, true), out)
    assert.truthy(out:find("'0,25'", 1, true) or out:find('"0,25"', 1, true), out)
  end)

  it("files are the same bytes, and are read again", function()
    local _, _, files = alike [[
      local w = sq.arange(6, {dtype = "float32"}):view(2, 3) / 3
      sq.save(dir .. "/value", {w = w, b = {0.1, 1 / 3, 1e-300, "x"}, A = 0.5, a = 3, B = {Bb = 0.25, aA = -1e300}},
        {note = "0.5"})
      local back = sq.load(dir .. "/value")
      assert(back.A * 2 == 1 and back.b[2] == 1 / 3 and back.B.aA == -1e300)
      sq.npy.save(dir .. "/w.npy", w)
      assert(sq.npy.load(dir .. "/w.npy"):equal(w))
      sq.image.save(dir .. "/w.png", w / 2)
      local model = nn.LSTM(2, 3)
      sq.manual_seed(3)
      nn.init.uniform_(model.weight_ih_l0) nn.init.zeros_(model.weight_hh_l0)
      nn.init.zeros_(model.bias_ih_l0) nn.init.zeros_(model.bias_hh_l0)
      local opt = optim.Adam(model:parameters(), {lr = 0.125, betas = {0.5, 0.75}})
      local scheduler = optim.lr_scheduler.CosineAnnealingLR(opt, 7)
      local parts = {model = model, opt = opt, scheduler = scheduler, extra = {state_dict = function() return {x = 0.1} end,
        load_state_dict = function(_, s) assert(s.x * 10 == 1) end}}
      local c <close> = sq.Checkpoint(dir .. "/run")
      c:save(1, parts)
      assert(c:resume(parts) == 1)
      assert(opt.lr * 8 == 1)]]
    assert.truthy(files["./value"]:find("0.1", 1, true))
  end)

  it("logs, reports and figures are the same", function()
    local function timeless(text)
      text = text:gsub('"time":[%d.]+', ""):gsub("\n(%d),1%d+%.?%d*,", "\n%1,T,")
      return (text:gsub("%d+%-%d+%-%d+T%d+:%d+:%d+Z", "T"):gsub("%d+%-%d+%-%d+ %d+:%d+", "T"))
    end
    local _, _, files = alike([[
      local log = sq.Log(dir .. "/log", {csv = true})
      log:write(1, {loss = 0.5, B = 0.25, a = 1e-20, A = 3})
      log:write(2, {loss = 1 / 3, b = 1.5})
      local state = log:state_dict()
      log:write(3, {loss = 0.25})
      local again = sq.Log(dir .. "/log", {csv = true})
      again:load_state_dict(state)
      again:write(3, {loss = 0.75, extra = -0.5})
      local figure = sq.plot.figure {width = 300, height = 200}
      figure:axes(1, 1):line({0.1, 0.2, 0.35}, {1e-3, 0.5, 0.25}, {label = "0.5"})
      figure:save(dir .. "/f.svg")
      figure:save(dir .. "/f.png")
      local results = {options = {lr = {0.5, 0.25}, cell = "b", x = 0.125}, over = {"lr"}, runs = {}, dir = dir .. "/report"}
      for i, lr in ipairs(results.options.lr) do
        results[i] = {lr = lr, B = lr / 4, a = 1 / 3, losses = {3.5, 2.25, lr}}
        results.runs[i] = {name = "r" .. i, dir = dir, seconds = 0.5}
      end
      sq.report(results)]], timeless)
    assert.truthy(files["./log/metrics.jsonl"]:find('"loss":0.5', 1, true))
    assert.truthy(files["./report/results.csv"]:find("0.333333333", 1, true))
    assert.truthy(files["./report/report.html"]:find("0.125", 1, true))
  end)

  it("progress lines, sweeps and help are the same", function()
    local function timeless(text)
      return (text:gsub("%[[^%]]*it/s", "[T"):gsub("%[[^%]]*s/it", "[T"):gsub("%d+%.%d+ s", "S"):gsub("%f[%d]%d%d:%d%d", "T"))
    end
    local _, err = alike([[
      local bar = sq.progress(2.5, {desc = "run"})
      bar:set_postfix {loss = 0.5, B = 1e-5, a = 0.25, A = 1}
      bar:update(0.5)
      bar:close()
      local results = sq.sweep(function(o) return {y = o.lr / 2} end, {lr = {0.5, 0.25}}, {over = {"lr"}, jobs = 1,
        dir = dir .. "/sweep"})
      assert(results[2].y * 8 == 1)
      for _, run in ipairs(results.runs) do say(run.name) end
      refused(sq.autograd.gradcheck, function(x) return x * x:detach() end,
        {sq.ones(1, {dtype = "float64", requires_grad = true})})]],
      function(text) return text:find "started" and "" or timeless(text) end)
    assert.truthy(err:find("run:  20% 0.5/2.5 ", 1, true) and err:find("loss=0.5", 1, true), err)
  end)

  it("the profile has points, and the script's own print does as Lua's does", function()
    if not locale then return pending "localedef makes no locale here" end
    local script = 'os.setlocale(os.getenv "WANTED", "numeric") require "seqrt".rand(300, 300):exp():sum() print(0.5)'
    local out, err = support.run({"--profile", "-e", script}, {env = {LOCPATH = locale, WANTED = "comma"}})
    assert.equal("0,5\n", out)
    assert.truthy(err:find "profile of %d+%.%d+ s: forward %d+%.%d+, ", err)
    assert.is_nil(err:find "%d,%d", err)
  end)
end)

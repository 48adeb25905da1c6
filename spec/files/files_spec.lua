-- files_spec.lua: what is saved comes back: state dicts, arrays, checkpoints; a broken file is an error with its name.
local sq = require "seqrt"
local support = require "spec.lib.support"

describe("files", function()
  it("bring a state dict back, to the bit and to the byte", function()
    local dir = support.tmpdir()
    local a, b = sq.nn.LSTM(3, 4), sq.nn.LSTM(3, 4)
    assert.is_false(a.weight_ih_l0:equal(b.weight_ih_l0))
    sq.save(dir .. "/a.safetensors", a:state_dict())
    sq.save(dir .. "/b.safetensors", a:state_dict())
    b:load_state_dict(sq.load(dir .. "/a.safetensors"))
    for name, p in a:named_parameters() do assert.is_true(p:equal(b[name])) end
    assert.equal(support.read(dir .. "/a.safetensors"), support.read(dir .. "/b.safetensors"))
  end)

  it("bring arrays back", function()
    local path = support.tmpdir() .. "/x.npy"
    for _, dtype in ipairs {"float32", "float64", "int64", "uint8"} do
      local x = sq.arange(0, 6, {dtype = dtype}):reshape(2, 3)
      sq.npy.save(path, x)
      local y = sq.npy.load(path)
      assert.equal(dtype, y.dtype)
      assert.is_true(x:equal(y))
    end
  end)

  it("that are broken are errors with their names", function()
    local path = support.write(support.tmpdir() .. "/broken.safetensors", "\8\0\0\0\0\0\0\0[1,2,3]]")
    assert.error_matches(function() sq.load(path) end, "broken.safetensors")
    assert.error_matches(function() sq.load(path .. ".none") end, "broken.safetensors.none")
    assert.error_matches(function() sq.npy.load(path) end, "broken.safetensors")
  end)

  -- Every kind of file that is written, each far beyond the limit, in a folder of its own.
  local WRITERS = [[
    local sq = require "seqrt"
    local big, noise = sq.ones(100000), sq.rand(3, 200, 200)
    local figure = sq.plot.figure {width = 600, height = 400}
    figure:axes(1, 1):scatter(sq.randn(5000), sq.randn(5000))
    local log
    local text = ("x"):rep(1 << 18)
    local writers = {
      save = function(d) sq.save(d .. "/a", big) end,
      checkpoint = function(d) sq.Checkpoint(d):save(1, {x = big}) end,
      npy = function(d) sq.npy.save(d .. "/a.npy", big) end,
      image = function(d) sq.image.save(d .. "/a.png", noise) end,
      svg = function(d) figure:save(d .. "/a.svg") end,
      pdf = function(d) figure:save(d .. "/a.pdf") end,
      png = function(d) figure:save(d .. "/a.png") end,
      log = function(d) log = sq.Log(d) log:write(1, {note = text}) end,
      csv = function(d) log = sq.Log(d, {csv = true}) log:write(1, {note = ("y"):rep(3000)}) log:write(2, {more = text}) end,
      events = function(d) log = sq.Log(d, {tensorboard = true}) log:image(1, {p = noise}) end,
      report = function(d) sq.report({options = {T = {1}}, over = {"T"}, runs = {{name = "r", dir = d, seconds = 1}}, dir = d,
        {T = 1, loss = 1}}, {text = text}) end,
      lua = function(d) local f = assert(io.open(d .. "/a", "w")) f:setvbuf "full" assert(f:write(text)) assert(f:close()) end,
    }
    local names = {}
    for name in pairs(writers) do names[#names + 1] = name end
    table.sort(names)
    for _, name in ipairs(names) do
      local dir = arg[1] .. "/" .. name
      sq.fs.mkdir_p(dir)
      local ok, why = pcall(writers[name], dir)
      local left = #sq.fs.glob(dir .. "/.seqrt-*.tmp")
      print(name, ok, tostring(why):match "File too large" or why, left)
    end
    print "alive"
  ]]

  it("that a limit on their size stops are errors, whoever writes them", function()
    local script, dir = support.write(support.tmpdir() .. "/w.lua", WRITERS), support.tmpdir()
    local run = "bash -c 'ulimit -f 4; exec %s %s %s'"
    local out, err, status = support.shell(run:format(support.seqrt, script, dir)) -- a library may complain of its cache
    assert.equal(0, status, err)
    for name in WRITERS:gmatch "\n      (%l+) = function%(d%)" do
      assert.truthy(("\n" .. out):find("\n" .. name .. "\tfalse\tFile too large\t0\n", 1, true), name .. ": " .. out)
    end
    assert.truthy(out:find "\nalive\n$", out)
  end)

  it("that a limit stops are errors in stock Lua too", function()
    if support.seqrt:find "build/[^/]+/" then return pending "a sanitizer's library does not load into a plain lua5.4" end
    local script = support.write(support.tmpdir() .. "/w.lua", [[
      local sq = require "seqrt"
      print(pcall(sq.save, arg[1], sq.ones(100000)))]])
    local so = support.seqrt:gsub("seqrt$", "?.so")
    local out, _, status = support.shell(("bash -c 'ulimit -f 4; LUA_CPATH=\"%s\" exec lua5.4 %s %s/a'"):format(so, script,
      support.tmpdir()))
    assert.equal(0, status)
    assert.truthy(out:find "^false\t.*: File too large\n$", out)
  end)

  it("resume a training where a checkpoint left it, to the bit", function()
    sq.manual_seed(0)
    local m = sq.nn.LSTM(3, 4)
    local opt = sq.optim.Adam(m:parameters(), {lr = 0.01})
    local function step()
      local y = m(sq.randn(5, 2, 3))
      opt:zero_grad()
      y:sum():backward()
      opt:step()
    end
    step()
    local parts = {model = m, opt = opt, generator = sq.default_generator}
    local checkpoint = sq.Checkpoint(support.tmpdir() .. "/run", {keep = 2})
    checkpoint:save(1, parts)
    step()
    step()
    local weight = m.weight_ih_l0:detach():clone()
    assert.equal(1, (checkpoint:resume(parts)))
    assert.is_false(weight:equal(m.weight_ih_l0))
    step()
    step()
    assert.is_true(weight:equal(m.weight_ih_l0))
  end)
end)

-- profile_spec.lua: --profile and sq.profile: what ops, functions and lines took, to be read, also when a run breaks off.
local support = require "spec.lib.support"

local SCRIPT = [[
local sq = require "seqrt"
local w = sq.ones(512, 512):requires_grad_()
local opt = sq.optim.SGD({w}, {lr = 0})
for i = 1, 5 do
  local y = w:matmul(w):tanh()
  y:sum():backward()
  opt:step()
  pcall(sq.zeros, -1)
end
]]

-- {label = {forward, backward, function, MB, percent, rest of the line}} of the table with that head.
local function rows(text, head)
  local found, inside = {}, false
  for line in text:gmatch "[^\n]*" do
    if line:find("^" .. head .. " +forward ms") then
      inside = true
    elseif line == "" then
      inside = false
    elseif inside then
      local label, f, b, fn, mb, percent, rest = line:match "^(.-) +([%d.-]+) +([%d.-]+) +([%d.-]+) +([%d.]+) +([%d.]+)(.*)$"
      assert.truthy(label, line)
      found[label] = {f, b, fn, tonumber(mb), tonumber(percent), (rest:gsub("^ +", ""))}
    end
  end
  return found
end

local function profile(script)
  local path = support.write(support.tmpdir() .. "/p.lua", script)
  local out, err, code = support.run({"--profile", "p.lua"}, {cwd = path:match "^(.*)/"})
  return err, code, out
end

describe("--profile", function()
  it("shows ops, functions and lines, forward and backward apart", function()
    local text, code = profile(SCRIPT)
    assert.equal(0, code)
    assert.truthy(text:find "^\nprofile of %d+%.%d%d%d s: forward %d+%.%d+, backward %d+%.%d+, functions %d+%.%d+, the rest ")
    local ops = rows(text, "op or function")
    assert.truthy(tonumber(ops.matmul[1]) > 0 and tonumber(ops.matmul[2]) > 0 and ops.matmul[3] == "-", text)
    assert.equal("5", ops.matmul[6])
    assert.truthy(ops.matmul[4] >= 5, text) -- 5 results and 10 gradients of 0.34 MB
    assert.equal("5", ops["SGD:step"][6])
    assert.equal("-", ops["SGD:step"][1])
    assert.same({"-", "-", "1"}, {ops["(load of the BLAS)"][1], ops["(load of the BLAS)"][2], ops["(load of the BLAS)"][6]})
    local lines = rows(text, "line")
    assert.equal("", lines["(load of the BLAS)"][6])
    assert.equal("local y = w:matmul(w):tanh()", lines["p.lua:5"][6])
    assert.truthy(tonumber(lines["p.lua:5"][1]) > 0 and tonumber(lines["p.lua:5"][2]) > 0, text)
    assert.equal("y:sum():backward()", lines["p.lua:6"][6])
    assert.equal("opt:step()", lines["p.lua:7"][6])
    assert.same(ops.all, lines.all)
    assert.truthy(ops.all[5] <= 100.05, text)
    local widest = 0
    for line in text:gmatch "[^\n]+" do widest = math.max(widest, #line) end
    assert.truthy(widest <= 140, widest)
  end)

  it("shows a recorded backward's ops, and the backward of those", function()
    local text, code = profile [[
local sq = require "seqrt"
local x = sq.rand(400, 400):requires_grad_()
local y = x:log_softmax(-1):square():sum()
local g = sq.autograd.grad(y, x, {create_graph = true})
g:square():sum():backward()
]]
    assert.equal(0, code)
    local ops = rows(text, "op or function")
    assert.truthy(ops.log_softmax[2] ~= "-", text)
    assert.truthy(ops.exp[1] ~= "-" and ops.exp[2] ~= "-", text) -- of log_softmax's rule
    local lines = rows(text, "line")
    assert.truthy(lines["p.lua:3"][2] ~= "-" and lines["p.lua:5"][2] ~= "-", text)
  end)

  it("is printed also after an error, os.exit and a signal", function()
    local text, code = profile(SCRIPT .. "error 'no more'")
    assert.equal(1, code)
    assert.truthy(text:find "no more\n.*\nprofile of ", text)
    text, code = profile(SCRIPT .. "os.exit(7)")
    assert.equal(7, code)
    assert.equal(1, select(2, text:gsub("\nprofile of ", "")))
    text, code = profile(SCRIPT .. "os.exit(7, true)")
    assert.equal(7, code)
    assert.equal(1, select(2, text:gsub("\nprofile of ", "")))
    local path = support.write(support.tmpdir() .. "/p.lua", SCRIPT .. support.READY .. "while true do end")
    local _, err, status = support.run({"--profile", path}, {signal = "INT"})
    assert.equal(130, status)
    assert.truthy(err:find "interrupted!.*\nprofile of ", text)
  end)

  it("counts every call once, in functions that call functions, and after errors", function()
    local text = profile [[
      local sq = require "seqrt"
      local net = sq.nn.Sequential(sq.nn.Linear(2, 2), sq.nn.Linear(2, 2))
      for _ = 1, 10 do
        sq.no_grad(function()
          for _ = 1, 3 do net(sq.ones(1, 2)) end
          pcall(function() sq.no_grad(function() sq.no_grad(function() error "out of two" end) end) end)
        end)
      end
      local wrong = pcall(net, sq.ones(1, 3))
      local co = coroutine.wrap(function() for _ = 1, 4 do coroutine.yield(sq.ones(2):exp()) end end)
      for _ = 1, 4 do co() end]]
    local ops = rows(text, "op or function")
    assert.equal("61", ops.linear[6], text) -- the one that failed is a call too
    assert.equal("4", ops.exp[6])
    assert.equal("10", ops.no_grad[6]) -- of those that returned
  end)

  it("has nothing to say where nothing ran", function()
    local text, code = profile "print 'hello'"
    assert.equal(0, code)
    assert.truthy(text:find "^\nprofile of %d+%.%d+ s: nothing of seqrt ran\n$", text)
  end)
end)

describe("sq.profile", function()
  it("takes a block or a function", function()
    local path = support.write(support.tmpdir() .. "/p.lua", [[
      local sq = require "seqrt"
      sq.ones(2):exp()
      do
        local _ <close> = sq.profile()
        sq.ones(2):log()
      end
      sq.ones(2):exp()
      print(sq.profile(function(x) return x:tanh():item() end, sq.zeros(1)))]])
    local out, err, code = support.run {path}
    assert.same({"0.0\n", 0}, {out, code})
    local first, second = err:match "^(.*)\n(\nprofile.*)$"
    assert.truthy(rows(first, "op or function").log)
    assert.is_nil(rows(err, "op or function").exp)
    assert.truthy(rows(second, "op or function").tanh)
  end)
end)

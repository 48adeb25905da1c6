-- op_failure_spec.lua: every op, forward, backward, and backward of recorded ops (create_graph), with each of its
-- allocations failing in turn: the error is the memory's, nothing leaks, and the inputs and their gradients are as before
-- or right.
local sq = require "seqrt"
local golden = require "spec.golden.cases"

local function live()
  collectgarbage()
  collectgarbage()
  return sq.memory_stats().live_blocks
end

-- One case, forwards and back; raises what fails.
local function work(case, args, dys)
  local out = table.pack(sq[case.op](table.unpack(args, 1, args.n)))
  local left = 0
  for i = 1, #case.out do left = left + (dys[i] and 1 or 0) end
  for i = 1, #case.out do
    if dys[i] then
      left = left - 1
      out[i]:backward {gradient = dys[i], retain_graph = left > 0}
    end
  end
end

-- One case, forwards and back by a recorded backward.
local function work_recorded(case, args, dys, inputs)
  local out, from, above = table.pack(sq[case.op](table.unpack(args, 1, args.n))), {}, {}
  for i = 1, #case.out do
    if dys[i] then from[#from + 1], above[#above + 1] = out[i], dys[i] end
  end
  if #from == 0 then return end
  sq.autograd.grad(from, inputs, {grad_outputs = above, create_graph = true, allow_unused = true})
end

local function clear(inputs)
  for _, x in ipairs(inputs) do x.grad = nil end
end

-- What a forward changes that goes well before its backward fails: running statistics.
local follows = {batch_norm = true}

-- How often the case failed until it passed, with failures from allocation n on.
local function persist(case, mode, once)
  local inputs, args = golden.draw(case, "float64", "transposed")
  local dys = {}
  for i = 1, #case.out do dys[i] = case.dy[i] and golden.make(golden.read(case.dy[i], "float64")) end
  local plain = {}
  for i, x in ipairs(inputs) do plain[i] = tostring(x) end
  local differentiated = {}
  for _, x in ipairs(inputs) do
    if x.requires_grad then differentiated[#differentiated + 1] = x end
  end
  once(case, args, dys, differentiated)
  clear(inputs)
  sq.fail_allocations(-1, 0) -- its signature is read once
  local before = live()
  for n = 0, 2000 do
    sq.fail_allocations(n, mode)
    local ok, text = pcall(once, case, args, dys, differentiated)
    sq.fail_allocations(-1, 0)
    clear(inputs)
    if ok then
      assert.equal(before, live(), case.op .. ": something stayed after a failure")
      return n
    end
    assert.matches("memory", text)
    for i, x in ipairs(inputs) do assert(follows[case.op] or plain[i] == tostring(x), case.op .. " changed an input") end
  end
  error(case.op .. " never passes")
end

describe("when memory is refused", function()
  local names = {}
  for name in pairs(golden.ops) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    it(name .. " fails whole", function()
      local cases, failures = golden.ops[name], 0
      for _, i in ipairs {#cases // 2 + 1, #cases} do failures = failures + persist(cases[i], -1, work) end
      assert.is_true(failures > 0)
    end)

    it(name .. " fails whole where its backward is recorded", function()
      local cases = golden.ops[name]
      assert.is_true(persist(cases[#cases], -1, work_recorded) >= 0)
    end)
  end
end)

describe("batch_norm", function()
  it("moves its running statistics only when it succeeds", function()
    local x, mean, var = sq.randn(4, 3):requires_grad_(), sq.zeros(3), sq.ones(3)
    local w = sq.ones {3, requires_grad = true}
    local failures, ok = 0, false
    while not ok do
      sq.fail_allocations(failures, -1)
      ok = pcall(sq.batch_norm, x, mean, var, w, nil, true)
      sq.fail_allocations(-1)
      if not ok then
        failures = failures + 1
        assert.same({0, 0, 0, 1, 1, 1}, sq.cat {mean, var}:tolist())
      end
    end
    assert.is_true(failures > 5)
    assert.is_false(mean:equal(sq.zeros(3)))
  end)
end)

describe("the bits of every op", function()
  -- Large enough that work is cut into tiles.
  local function large(...) return sq.randn({...}, {dtype = "float32"}):requires_grad_() end
  local works = {
    tanh = function() return large(300, 300):tanh() end,
    add = function() return large(300, 300) + large(300) end,
    sum = function() return large(100000):sum() end,
    ["sum of rows"] = function() return large(300, 500):sum(2) end,
    ["sum of columns"] = function() return large(5000, 30):sum(1) end,
    mean = function() return large(40, 50, 60):mean {dim = {1, 3}} end,
    max = function() return (large(3000, 40):max(1)) end,
    var = function() return large(300, 400):var(2) end,
    softmax = function() return large(400, 300):softmax(2) end,
    matmul = function() return large(300, 200):matmul(large(200, 310)) end,
    bmm = function() return large(20, 60, 50):matmul(large(20, 50, 40)) end,
    cross_entropy = function() return sq.cross_entropy(large(3000, 20), sq.randint(0, 20, {3000})) end,
    conv2d = function() return sq.conv2d(large(20, 4, 16, 16), large(6, 4, 3, 3), large(6)) end,
    conv_transpose2d = function() return sq.conv_transpose2d(large(20, 4, 8, 8), large(4, 6, 3, 3), large(6), 2) end,
    max_pool2d = function() return sq.max_pool2d(large(20, 8, 16, 16), 2) end,
    batch_norm = function() return sq.batch_norm(large(50, 8, 100), nil, nil, large(8), large(8), true) end,
    layer_norm = function() return sq.layer_norm(large(500, 100), {100}, large(100), large(100)) end,
    attention = function() return sq.scaled_dot_product_attention(large(6, 150, 20), large(6, 140, 20), large(6, 140, 30)) end,
    ["causal attention"] = function()
      return sq.scaled_dot_product_attention(large(3, 2, 200, 16), large(2, 200, 16), large(3, 1, 200, 16), {is_causal = true})
    end,
    embedding = function() return sq.embedding(sq.randint(0, 50, {2000}), large(50, 60)) end,
    lstm = function()
      return (sq.lstm(large(6, 70, 20), nil, nil, large(160, 20), large(160, 40), large(160), large(160)))
    end,
    linear = function() return sq.linear(large(500, 100), large(200, 100), large(200)) end,
  }

  -- Results and gradients with that many threads, as numbers.
  local function run(make, threads)
    local made = {}
    local was = large
    large = function(...)
      made[#made + 1] = was(...)
      return made[#made]
    end
    sq.set_num_threads(threads)
    sq.manual_seed(5)
    local y = make()
    y:backward(sq.randn(y.shape))
    large = was
    local lists = {y:reshape(-1):tolist()}
    for _, x in ipairs(made) do lists[#lists + 1] = x.grad:reshape(-1):tolist() end
    return lists
  end

  for name, make in pairs(works) do
    it("are the same for any number of threads: " .. name, function()
      local threads = sq.get_num_threads()
      local want = run(make, 1)
      for _, n in ipairs {2, 3, 4, 8} do
        local got = run(make, n)
        for k, list in ipairs(want) do
          assert.equal(#list, #got[k])
          for i, v in ipairs(list) do
            if v ~= got[k][i] then error(("%s, %d threads: %.17g, not %.17g"):format(name, n, got[k][i], v)) end
          end
        end
      end
      sq.set_num_threads(threads)
    end)
  end
end)

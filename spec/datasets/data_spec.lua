-- data_spec.lua: datasets, where they are looked for, what is refused, and the loader's order, place and speed.
local support = require "spec.lib.support"
local sq = require "seqrt"
local data = sq.data

local function raises(expected, fn, ...)
  local ok, message = pcall(fn, ...)
  assert.is_false(ok)
  assert.truthy(tostring(message):find(expected, 1, true), tostring(message))
end

local function u32(...)
  local out = {}
  for i, n in ipairs {...} do out[i] = (">I4"):pack(n) end
  return table.concat(out)
end

-- A folder with a set of n pictures, of which `with` replaces files.
local function set_of(n, with)
  local root = support.tmpdir()
  os.execute("mkdir " .. support.quote(root .. "/mnist"))
  local files = {
    ["train-images-idx3-ubyte"] = u32(0x803, n, 28, 28) .. ("\0\51\255\0"):rep(n * 196),
    ["train-labels-idx1-ubyte"] = u32(0x801, n) .. ("\3"):rep(n),
  }
  for name, text in pairs(with or {}) do files[name] = text or nil end
  for name, text in pairs(files) do
    if text then support.write(root .. "/mnist/" .. name, text) end
  end
  return root
end

local function orders(loader, epochs)
  local out = {}
  for e = 1, epochs do
    out[e] = {}
    for b in loader:epoch() do table.insert(out[e], b:tolist()) end
  end
  return out
end

describe("data.Digits", function()
  it("draws all classes, the same ones for a seed, whatever the number of threads", function()
    local a = data.Digits {n = 300, generator = sq.Generator(1)}
    local threads = sq.get_num_threads()
    sq.set_num_threads(3)
    local b = data.Digits {n = 200, generator = sq.Generator(1)}
    sq.set_num_threads(threads)
    assert.equal("(300,1,28,28)", tostring(a.tensors[1].shape))
    assert.equal("uint8", a.tensors[1].dtype)
    assert.is_true(a.tensors[1][{{1, 200}}]:equal(b.tensors[1]))
    assert.is_true(a.tensors[2][{{1, 200}}]:equal(b.tensors[2]))
    assert.is_false(a.tensors[1]:equal(data.Digits {n = 300, generator = sq.Generator(2)}.tensors[1]))
    local seen = sq.one_hot(a.tensors[2], 10):sum(1)
    assert.is_true(seen:min():item() >= 15, tostring(seen))
  end)

  it("keeps ink away from the border, and one class apart from another", function()
    local set = data.Digits {n = 2000, generator = sq.Generator(0)}
    local x, y = set:batch(nil, 0, 2000)
    local ink = x:mean():item()
    assert.is_true(ink > 0.06 and ink < 0.25, ink)
    assert.is_true(x[{{}, 1, 1}]:mean():item() < 0.002)
    -- the nearest class mean tells most digits
    local hot = sq.one_hot(y, 10):float()
    local flat = x:view(2000, 784)
    local means = hot:t():matmul(flat) / hot:sum(1):view(10, 1)
    local score = flat:matmul(means:t()) - (means * means):sum(2) * 0.5
    assert.is_true(score:argmax(-1):eq(y):float():mean():item() > 0.75)
  end)

  it("refuses a negative number", function()
    raises("[Digits] n is -1", data.Digits, -1)
  end)
end)

describe("data.MNIST", function()
  it("reads pictures and labels, in a range", function()
    local set = data.MNIST {root = set_of(5), range = {-1, 1}}
    assert.equal(5, #set)
    local x, y = table.unpack(set[1])
    assert.equal("(1,28,28)", tostring(x.shape))
    assert.equal(3, y)
    assert.equal(-1, x[{1, 1, 1}])
    assert.equal(1, x[{1, 1, 3}])
    assert.is_true(math.abs(x[{1, 1, 2}] + 0.6) < 1e-6)
    local plain = data.MNIST {root = set_of(5)}
    assert.is_true(math.abs(plain[1][1][{1, 1, 2}] - 0.2) < 1e-7)
  end)

  it("says how to get a set that is missing", function()
    raises("`make mnist`", data.MNIST, {root = support.tmpdir()})
    raises("apt-get install", data.FashionMNIST, {root = support.tmpdir()})
    local folder, why = data.find("mnist", "/nowhere")
    assert.is_nil(folder)
    assert.truthy(why:find("/nowhere/mnist", 1, true))
    raises("t10k-images-idx3-ubyte is missing", data.MNIST, {root = set_of(2), split = "test"})
  end)

  it("names the file that is broken", function()
    local images = "train-images-idx3-ubyte"
    local labels = "train-labels-idx1-ubyte"
    raises(images, data.MNIST, {root = set_of(3, {[images] = u32(0x803, 3, 28, 28) .. ("x"):rep(100)})})
    raises(images, data.MNIST, {root = set_of(3, {[images] = u32(0x803, 3, 20, 20) .. ("x"):rep(1200)})})
    raises("3 pictures", data.MNIST, {root = set_of(3, {[labels] = u32(0x801, 2) .. "\1\2"})})
    raises("a label 11", data.MNIST, {root = set_of(3, {[labels] = u32(0x801, 3) .. "\1\2\11"})})
    raises(labels, data.MNIST, {root = set_of(3, {[labels] = u32(0x801, 3) .. "\1\2"})})
    raises(labels, data.MNIST, {root = set_of(3, {[labels] = ""})})
  end)

  it("checks its options", function()
    raises("did you mean 'split'", data.MNIST, {splt = "test"})
    raises("range must be {lo, hi}", data.MNIST, {root = set_of(2), range = {1}})
    raises("it must be one of", data.MNIST, {split = "tran"})
  end)

  local folder = data.find "mnist"
  if folder then
    it("reads the real one #long", function()
      local set = data.MNIST {split = "test"}
      assert.equal(10000, #set)
      local _, y = set:batch(nil, 0, 10)
      assert.same({7, 2, 1, 0, 4, 1, 4, 9, 5, 9}, y:tolist())
    end)
  end
end)

describe("data.TensorDataset", function()
  it("gives rows of each tensor", function()
    local set = data.TensorDataset(sq.arange(6):view(3, 2), sq.tensor {5., 6., 7.})
    local x, y = table.unpack(set[-1])
    assert.same({4, 5}, x:tolist())
    assert.equal(7, y)
    raises("positions count from 1", function() return set[0] end)
    local count = 0
    for i, row in ipairs(set) do
      assert.equal(i, count + 1)
      assert.is_table(row)
      count = i
    end
    assert.equal(#set, count)
    assert.is_nil(set[#set + 1])
    raises("positions count from 1", function() return set[#set + 2] end)
    raises("[TensorDataset] argument 2 is (2)", data.TensorDataset, sq.zeros(3), sq.zeros(2))
    raises("at least one tensor", data.TensorDataset)
    raises("argument 1 is a number", data.TensorDataset, 1)
  end)
end)

describe("data.DataLoader", function()
  -- Made by PyTorch's DataLoader over arange(10), batches of 4.
  local own = {{{1, 3, 5, 7}, {9, 4, 6, 2}, {8, 0}}, {{5, 1, 6, 0}, {9, 7, 8, 4}, {3, 2}},
    {{4, 3, 2, 8}, {1, 0, 6, 5}, {9, 7}}}
  local default = {{{8, 3, 0, 5}, {9, 1, 6, 2}, {4, 7}}, {{5, 8, 9, 7}, {2, 0, 4, 1}, {3, 6}},
    {{6, 5, 4, 0}, {7, 2, 1, 8}, {9, 3}}}
  local ten = data.TensorDataset(sq.arange(10))

  it("has PyTorch's order, epoch by epoch", function()
    assert.same(own, orders(data.DataLoader(ten, {batch_size = 4, shuffle = true, generator = sq.Generator(7)}), 3))
    sq.manual_seed(5)
    assert.same(default, orders(data.DataLoader(ten, {batch_size = 4, shuffle = true}), 3))
    assert.same({{{0, 1, 2, 3}, {4, 5, 6, 7}, {8, 9}}}, orders(data.DataLoader(ten, 4), 1))
  end)

  it("drops the last batch when asked to", function()
    local loader = data.DataLoader(ten, {batch_size = 4, drop_last = true})
    assert.equal(2, #loader)
    assert.same({{{0, 1, 2, 3}, {4, 5, 6, 7}}}, orders(loader, 1))
    assert.equal(3, #data.DataLoader(ten, {batch_size = 4}))
  end)

  it("goes on from any place of an epoch", function()
    local function loader() return data.DataLoader(ten, {batch_size = 4, shuffle = true, generator = sq.Generator(7)}) end
    for stop = 0, 9 do
      local first, states, seen = loader(), nil, {}
      local count = 0
      if stop == 0 then states = first:state_dict() end
      for _ = 1, 3 do
        for b in first:epoch() do
          count = count + 1
          if count <= stop then seen[#seen + 1] = b:tolist() end
          if count == stop then states = first:state_dict() end
        end
      end
      local second = data.DataLoader(ten, {batch_size = 4, shuffle = true, generator = sq.Generator(99)})
      second:load_state_dict(states)
      while #seen < 9 do
        for b in second:epoch() do seen[#seen + 1] = b:tolist() end
      end
      local want = {}
      for _, epoch in ipairs(own) do for _, b in ipairs(epoch) do want[#want + 1] = b end end
      assert.same(want, seen, "stopped after " .. stop)
    end
  end)

  it("refuses what is no state of it", function()
    local loader = data.DataLoader(ten, {batch_size = 4, shuffle = true})
    raises("a dataset of 9", loader.load_state_dict, loader, {n = 9})
    raises("position 11 of 10", loader.load_state_dict, loader, {n = 10, position = 11})
    raises("does not shuffle", loader.load_state_dict, loader, {n = 10, position = 4})
    raises("permutation", loader.load_state_dict, loader, {n = 10, position = 4, order = sq.arange(10) + 1})
    raises("with a generator", loader.load_state_dict, loader, {n = 10, generator = {}})
    raises("[DataLoader] dataset is a table", data.DataLoader, {})
    raises("at least 1", data.DataLoader, ten, 0)
  end)
end)

describe("data.Palindrome", function()
  it("goes on from its state", function()
    local a = data.Palindrome {length = 7, generator = sq.Generator(1)}
    a:batch(3)
    local state = a:state_dict()
    local x, y = a:batch(4)
    local b = data.Palindrome {length = 7, generator = sq.Generator(2)}
    local u, v = b:load_state_dict(state):batch(4)
    assert.is_true(x:equal(u) and y:equal(v))
    assert.same({}, data.Palindrome(5):state_dict())
    raises("a generator of its own", function() data.Palindrome(5):load_state_dict(state) end)
  end)
end)

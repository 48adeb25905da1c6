-- data.lua: datasets made of tensors, where their files lie, and the loader that cuts them into batches.

local sq = require "seqrt"
local core = require "seqrt.dataset"
local sys = require "seqrt.sys"

local api = require "seqrt.api"

local data = {}

local fail = api.fail

-- --- tensors as a dataset ------------------------------------------------------------------------------

local Dataset = {}
Dataset.__name = "Dataset"
Dataset.__len = function(self) return self.n end

local set_method = api.class {name = "Dataset", methods = Dataset,
  doc = "Tensors of one length: set[i] is {row i of each}, #set counts the rows.",
  example = "local set = data.TensorDataset(x, y); print(#set, set[1][1])",
  fields = {{"name", "string", "What it is."}, {"n", "int", "How many rows it has."},
    {"tensors", "table", "Its tensors."}, {"classes", "any", "The names of the labels, where they have some."}}}

set_method("batch", "(order: Tensor?, first: int, n: int) -> any", "Rows first + 1 to first + n of an order (int64, from 0), "
  .. "or of the set itself where order is nil; one tensor for each of the set's.", "local x, y = set:batch(nil, 0, 32)",
  function(self, order, first, n)
    local out = {}
    for i, t in ipairs(self.tensors) do
      local range = i == 1 and self.range or nil
      if range then
        out[i] = core.batch(t, order, first, n, range[1], range[2])
      else
        out[i] = core.batch(t, order, first, n)
      end
    end
    return table.unpack(out)
  end)

-- ds[i]: {row i of each tensor}; i from 1, or from -1 at the end; nil just past it, where ipairs stops.
function Dataset.__index(self, key)
  if math.type(key) ~= "integer" then return Dataset[key] end
  local n = self.n
  if key == n + 1 then return nil end
  if key == 0 or key > n or key < -n then
    fail("[%s] position %d of %d: positions count from 1, or from -1 at the end", self.name, key, n)
  end
  local row = {self:batch(nil, key > 0 and key - 1 or n + key, 1)}
  for i, t in ipairs(row) do row[i] = t[1] end
  return row
end

function Dataset:__tostring()
  local shapes = {}
  for i, t in ipairs(self.tensors) do shapes[i] = format("%s %s", t.dtype, t.shape) end
  return format("%s of %d: %s", self.name, self.n, table.concat(shapes, ", "))
end

local function check_range(name, range)
  local rising = not range or #range == 2 and range[1] < range[2] -- false for NaN
  if not rising then
    fail("[%s] range must be {lo, hi}, the values of black and white, lo below hi", name)
  end
  return range
end

local function make_set(name, tensors, range, more)
  local set = {name = name, tensors = tensors, n = tensors[1]:size(1), range = range}
  for key, value in pairs(more or {}) do set[key] = value end
  return setmetatable(set, Dataset)
end

function data.TensorDataset(...)
  local tensors = {...}
  if #tensors == 0 then fail "[TensorDataset] give it at least one tensor: TensorDataset(x, y)" end
  for i = 1, select("#", ...) do
    local t = tensors[i]
    if not sq.is_tensor(t) then fail("[TensorDataset] argument %d is a %s: it must be a Tensor", i, type(t)) end
    if t:dim() == 0 then fail("[TensorDataset] argument %d has no dims: rows are along dim 1", i) end
    if t:size(1) ~= tensors[1]:size(1) then
      fail("[TensorDataset] argument %d is %s, argument 1 is %s: dim 1 must agree", i, t.shape, tensors[1].shape)
    end
    tensors[i] = t:detach():contiguous()
  end
  return make_set("TensorDataset", tensors)
end

local ten = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}

function data.Digits(n, generator, range)
  check_range("Digits", range)
  return make_set("Digits", {core.digits(n, generator)}, range or {0, 1}, {classes = ten})
end

-- --- sets in files -----------------------------------------------------------------------------------------

local sets = {
  mnist = {
    name = "MNIST", folders = {"mnist", "MNIST/raw", ""}, classes = ten,
    get = "`make mnist` downloads it",
  },
  ["fashion-mnist"] = {
    name = "FashionMNIST", folders = {"fashion-mnist", "FashionMNIST/raw", ""},
    system = "/usr/share/datasets/fashion-mnist", -- Debian's place
    get = "Debian has it: apt-get install dataset-fashion-mnist",
    classes = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"},
  },
}

-- data/ beside the running script's scripts/, or beside the script.
local function default_root()
  local script = type(arg) == "table" and arg[0] or ""
  local folder = "./" .. (script:match "^(.*)/[^/]*$" or "") .. "/"
  if folder:sub(3, 3) == "/" and #folder > 3 then folder = folder:sub(3) end
  return (folder:gsub("/scripts/$", "/"):gsub("/+$", "") .. "/data"):gsub("^%./", "")
end

local function root_of(root)
  if root then return root end
  local named = os.getenv "SEQRT_DATA"
  return named and named ~= "" and named or default_root()
end

local function find_file(folder, name)
  for _, ending in ipairs {"", ".gz"} do
    local path = sys.fs.join(folder, name .. ending)
    if sys.fs.exists(path) then return path end
  end
end

-- A set is where its training images are.
function data.find(name, root)
  local set = sets[name]
  local top = root_of(root)
  for _, folder in ipairs(set.folders) do
    local path = folder == "" and top or sys.fs.join(top, folder)
    if find_file(path, "train-images-idx3-ubyte") then return path end
  end
  if not root and set.system and find_file(set.system, "train-images-idx3-ubyte") then return set.system end
  return nil, format("%s is not in %s", set.name, sys.fs.join(top, set.folders[1]))
end

local function read_file(set, folder, name)
  local path = find_file(folder, name)
  if not path then fail("[%s] %s/%s is missing: %s", set.name, folder, name, set.get) end
  return core.idx(path), path
end

-- Pictures (n,28,28) with as many labels below 10, or an error that names the file.
local function check_pair(set, images, images_path, labels, labels_path)
  if images.dtype ~= "uint8" or images:dim() ~= 3 or images:size(2) ~= 28 or images:size(3) ~= 28 then
    fail("[%s] %s holds %s %s: pictures are uint8 (n,28,28)", set.name, images_path, images.dtype, images.shape)
  end
  if labels.dtype ~= "uint8" or labels:dim() ~= 1 then
    fail("[%s] %s holds %s %s: labels are uint8 (n)", set.name, labels_path, labels.dtype, labels.shape)
  end
  if labels:size(1) ~= images:size(1) then
    fail("[%s] %s has %d pictures, %s has %d labels", set.name, images_path, images:size(1), labels_path, labels:size(1))
  end
  if images:size(1) == 0 then fail("[%s] %s holds no picture", set.name, images_path) end
  local top = labels:max():item()
  if top > 9 then fail("[%s] %s has a label %d: they are 0 to 9", set.name, labels_path, top) end
end

local function load_set(key, root, split, range)
  local set = sets[key]
  check_range(set.name, range)
  local folder, missing = data.find(key, root)
  if not folder then
    fail("[%s] %s: %s; or name the folder that has it: SEQRT_DATA, or root = ...", set.name, missing, set.get)
  end
  local prefix = split == "test" and "t10k" or "train"
  local images, images_path = read_file(set, folder, prefix .. "-images-idx3-ubyte")
  local labels, labels_path = read_file(set, folder, prefix .. "-labels-idx1-ubyte")
  check_pair(set, images, images_path, labels, labels_path)
  return make_set(set.name, {images:unsqueeze(2), labels:long()}, range or {0, 1},
    {split = split, classes = set.classes, folder = folder})
end

function data.MNIST(root, split, range) return load_set("mnist", root, split, range) end
function data.FashionMNIST(root, split, range) return load_set("fashion-mnist", root, split, range) end

-- --- DataLoader -----------------------------------------------------------------------------------------------

local Loader = {}
Loader.__index = Loader
Loader.__name = "DataLoader"

local loader_method = api.class {name = "DataLoader", methods = Loader, strict = true,
  doc = "Cuts a dataset into batches; #loader counts them.",
  example = "for x, y in loader:epoch() do step(x, y) end",
  fields = {{"dataset", "any", "What it cuts."}, {"batch_size", "int", "Rows of a batch."}}}

function data.DataLoader(dataset, batch_size, shuffle, drop_last, generator)
  if getmetatable(dataset) ~= Dataset then
    fail("[DataLoader] dataset is a %s: it must be a dataset of sq.data (TensorDataset makes one of tensors)",
      type(dataset))
  end
  if batch_size < 1 then fail("[DataLoader] batch_size is %d: it must be at least 1", batch_size) end
  return setmetatable({dataset = dataset, batch_size = batch_size, shuffle = shuffle, drop_last = drop_last,
    generator = generator}, Loader)
end

-- #loader: batches of an epoch.
function Loader:__len()
  local n, size = self.dataset.n, self.batch_size
  return self.drop_last and n // size or (n + size - 1) // size
end

function Loader:__tostring()
  return format("DataLoader of %d batches of %d: %s", #self, self.batch_size, self.dataset)
end

-- What PyTorch's loader draws before an epoch: a seed for its workers, then the order; the order from the generator
-- given, or from a fresh one whose seed the default generator draws.
local function begin_epoch(self)
  core.draw(self.generator)
  local now = {position = 0, ended = false}
  if self.shuffle then
    local source = self.generator or sq.Generator(core.draw())
    now.order = sq.randperm(self.dataset.n, {generator = source})
  end
  return now
end

-- PyTorch's sampler draws one more order when it has run out of numbers, and throws it away.
local function run_out(self, now)
  if now.ended then return end
  now.ended = true
  if self.shuffle and self.generator then sq.randperm(self.dataset.n, {generator = self.generator}) end
end

loader_method("epoch", "() -> function",
  "Goes over all batches once; after load_state_dict over the rest of the epoch that was saved.",
  "for x, y in loader:epoch() do step(x, y) end",
  function(self)
    local now = self.restored or begin_epoch(self)
    self.restored, self.now = nil, now
    local n = self.dataset.n
    return function()
      local count = math.min(self.batch_size, n - now.position)
      if count < self.batch_size then
        run_out(self, now)
        if count == 0 or self.drop_last then
          if self.now == now then self.now = nil end
          return nil
        end
      end
      local first = now.position
      now.position = first + count
      return self.dataset:batch(now.order, first, count)
    end
  end)

loader_method("state_dict", "() -> table",
  "For a checkpoint: its generator; within an epoch also the order and the place in it.",
  function(self)
    local state, now = {n = self.dataset.n}, self.restored or self.now
    if self.generator then state.generator = self.generator:state_dict() end
    if now then state.position, state.ended, state.order = now.position, now.ended, now.order end
    return state
  end)

local function check_state(self, state)
  local n = self.dataset.n
  if type(state) ~= "table" or state.n ~= n then
    fail("[load_state_dict] the state is of a dataset of %s, this one has %d", tostring(state and state.n), n)
  end
  if (state.generator ~= nil) ~= (self.generator ~= nil) then
    fail("[load_state_dict] the state is of a DataLoader %s a generator of its own",
      state.generator and "with" or "without")
  end
  local place = state.position
  if not place then return end
  if math.type(place) ~= "integer" or place < 0 or place > n then
    fail("[load_state_dict] position %s of %d", tostring(place), n)
  end
  local order = state.order
  if (order ~= nil) ~= self.shuffle then
    fail("[load_state_dict] the state is of a DataLoader that %s", order and "shuffles" or "does not shuffle")
  end
  if order and not (order.dtype == "int64" and order:dim() == 1 and order:size(1) == n and
      (n == 0 or (order:min():item() >= 0 and order:max():item() < n))) then
    fail("[load_state_dict] order must be a permutation of 0 to %d, int64", n - 1)
  end
end

loader_method("load_state_dict", "(state_dict: table) -> DataLoader", "The next epoch() goes on where the state was saved.",
  function(self, state)
    check_state(self, state)
    if self.generator then self.generator:load_state_dict(state.generator) end
    self.now, self.restored = nil, nil
    if state.position then
      self.restored = {position = state.position, ended = state.ended or false, order = state.order}
    end
    return self
  end)

return data

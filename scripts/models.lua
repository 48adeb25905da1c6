-- models.lua: what the experiments on pictures of 28x28 share: the GAN's two networks, the classifier, their files, and
-- the pictures themselves. A script finds it beside itself:
--
--   package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
--   local models = require "models"

local sq = require "seqrt"
local nn, data = sq.nn, sq.data

local models = {}

-- Size of the generator's input.
models.LATENT = 100

-- z (B,100), from N(0, I) -> pictures (B,1,28,28) in -1..1.
function models.Generator()
  return nn.Sequential(
    nn.Linear(models.LATENT, 128), nn.LeakyReLU(0.2),
    nn.Linear(128, 256), nn.BatchNorm1d(256), nn.LeakyReLU(0.2),
    nn.Linear(256, 512), nn.BatchNorm1d(512), nn.LeakyReLU(0.2),
    nn.Linear(512, 1024), nn.BatchNorm1d(1024), nn.LeakyReLU(0.2),
    nn.Linear(1024, 784), nn.Tanh(), nn.Unflatten(2, {1, 28, 28}))
end

-- Pictures (B,1,28,28) in -1..1 -> how real they look, (B,1) in 0..1.
function models.Discriminator()
  return nn.Sequential(
    nn.Flatten(),
    nn.Linear(784, 512), nn.LeakyReLU(0.2),
    nn.Linear(512, 256), nn.LeakyReLU(0.2),
    nn.Linear(256, 1), nn.Sigmoid())
end

-- Pictures (B,1,28,28) in -1..1 -> logits of the ten classes (B,10). "wide": the layers of PyTorch's MNIST example, which
-- need no dropout in one epoch.
function models.Classifier(size)
  if size == "wide" then
    return nn.Sequential(
      nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
      nn.Flatten(),
      nn.Linear(64 * 12 * 12, 128), nn.ReLU(), nn.Linear(128, 10))
  end
  return nn.Sequential(
    nn.Conv2d(1, 8, 5, {padding = 2}), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(8, 16, 5, {padding = 2}), nn.ReLU(), nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Linear(16 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, 10))
end

-- A network layer by layer for the batch x, as text: input shape, operation, output shape.
function models.layer_table(title, model, x)
  local rows, widths = {{"input", "operation", "output"}}, {0, 0, 0}
  local _ <close> = sq.no_grad()
  for _, layer in model:eval():named_children() do
    local y = layer(x)
    rows[#rows + 1] = {tostring(x.shape), tostring(layer):match "^(.-%))  ", tostring(y.shape)}
    x = y
  end
  model:train()
  for _, row in ipairs(rows) do
    for i, cell in ipairs(row) do widths[i] = math.max(widths[i], #cell) end
  end
  local lines = {("%s, %d parameters"):format(title, model:num_parameters())}
  local form = ("  %%-%ds  %%-%ds  %%s"):format(widths[1], widths[2])
  for _, row in ipairs(rows) do lines[#lines + 1] = form:format(table.unpack(row)) end
  return table.concat(lines, "\n") .. "\n"
end

-- --- files --------------------------------------------------------------------------------------------

-- Writes a network's weights as safetensors; `kind` ("generator", "classifier") and the set's name go with them.
function models.save(path, model, kind, dataset)
  sq.save(path, model:state_dict(), {kind = kind, dataset = dataset})
end

-- Fills a network with weights that save wrote and turns it to evaluation. Returns it and the name of the set it was
-- trained on. A file of another kind, or of other shapes, is an error that names the file.
function models.load(path, model, kind)
  local state, metadata = sq.load(path)
  metadata = metadata or {}
  if metadata.kind and metadata.kind ~= kind then
    error(("%s holds a %s: it must be a %s"):format(path, metadata.kind, kind), 0)
  end
  local ok, why = pcall(model.load_state_dict, model, state)
  if not ok then error(("%s does not fit the %s: %s"):format(path, kind, why), 0) end
  return model:eval(), metadata.dataset
end

-- The classifier of a set: from `path`, or from where classify.lua writes it, which trains it now where it is missing
-- (into `dry_folder`, two steps only, where that is given).
function models.judge(dataset, path, dry_folder)
  local folder = dry_folder or sq.fs.join("runs/classify", dataset)
  local file = path or sq.fs.join(folder, "classifier.safetensors")
  if not path and not sq.fs.exists(file) then
    io.stderr:write(file, " is not there: training it first\n")
    local script = assert(package.searchpath("classify", package.path))
    assert(loadfile(script))("--dataset", dataset, "--out", folder, dry_folder and "--dry-run")
  end
  local model, learned = models.load(file, models.Classifier(), "classifier")
  if learned and learned ~= dataset then
    error(("%s has learned %s, the generator %s: `seqrt scripts/classify.lua --dataset %s` trains the right one")
      :format(file, learned, dataset, dataset), 0)
  end
  return model
end

-- --- pictures ------------------------------------------------------------------------------------------

-- A split ("train" or "test") of mnist, fashion or digits, pixels in -1..1; and its name. Where MNIST's files are not
-- found: `count` drawn digits (60000 and 10000 where nil), and one line on stderr says so.
function models.pictures(name, split, count)
  local range = {-1, 1}
  if name == "fashion" then return data.FashionMNIST {split = split, range = range}, name end
  if name == "mnist" then
    local folder, missing = data.find "mnist"
    if folder then return data.MNIST {split = split, range = range}, name end
    if split == "train" then io.stderr:write(missing, " (`make mnist` downloads it): drawn digits instead\n") end
  end
  local n, seed = table.unpack(split == "train" and {60000, 1} or {10000, 2})
  return data.Digits {n = count or n, generator = sq.Generator(seed), range = range}, "digits"
end

return models

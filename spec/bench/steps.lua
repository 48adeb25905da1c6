-- steps.lua: one side of bench.lua: training steps of usual models, timed. steps_torch.py is the other: the same models,
-- draws and optimizers, so that the losses are the same numbers.
--
-- steps.lua KEYS SECONDS runs each model (all where KEYS is "") for so long; prints "version TEXT", then a line for each:
-- key, seconds of a step, loss after three steps, seconds of its floor. The floor is the step's matrix products alone, at
-- the best rate this machine reaches on large square ones in this run, and what its optimizer reads and writes, at the
-- rate of a large copy.
local sq = require "seqrt"
local nn, F = sq.nn, sq.nn.functional

local keys, seconds = arg[1] or "", tonumber(arg[2] or 0.3)

-- --- the machine's own rates ---------------------------------------------------------------------

local function best(fn, times)
  local least = math.huge
  for _ = 1, times do
    local begin = sq.clock()
    fn()
    least = math.min(least, sq.clock() - begin)
  end
  return least
end

-- Multiplications a second of products of n x n; bytes a second, read and written, of a copy that no cache holds.
local function product_rate()
  local n = 1024
  local a, b = sq.randn(n, n), sq.randn(n, n)
  return n ^ 3 / best(function() return a:matmul(b) end, 7)
end

local function stream_rate()
  local from, to = sq.zeros(1 << 24), sq.zeros(1 << 24)
  return 2 * 4 * #from / best(function() to:copy_(from) end, 4)
end

-- --- the models: a step that returns its loss, the multiplications of its products, its parameters --------------

local function parameters_of(...)
  local all = {}
  for _, module in ipairs {...} do
    for _, p in ipairs(module:parameters()) do all[#all + 1] = p end
  end
  return all
end

local function adam_step(parameters, loss)
  local optimizer = sq.optim.Adam(parameters, {lr = 1e-3})
  return function()
    local value = loss()
    optimizer:zero_grad()
    value:backward()
    optimizer:step()
    return value:item()
  end
end

local models = {}

-- The last of 29 steps says the class: forward, gradient of h (and not of x), gradient of the weights.
local function recurrent(kind, gates)
  return function()
    local rnn, head = nn[kind](10, 128, {batch_first = true}), nn.Linear(128, 10)
    local parameters = parameters_of(rnn, head)
    local x, y = sq.rand(128, 29, 10), sq.randint(0, 10, {128})
    local step = adam_step(parameters, function() return F.cross_entropy(head((rnn(x))[{{}, -1}]), y) end)
    return step, 128 * (29 * gates * 128 * (138 * 2 + 128) + 128 * 10 * 3), parameters
  end
end
models.lstm, models.rnn, models.gru = recurrent("LSTM", 4), recurrent("RNN", 1), recurrent("GRU", 3)

function models.written_out()
  local H = 128
  local w, b, head = nn.Parameter(sq.randn(10 + H, 4 * H) * 0.05), nn.Parameter(sq.zeros(4 * H)), nn.Linear(H, 10)
  local parameters = parameters_of(head)
  parameters[3], parameters[4] = w, b
  local x, y = sq.rand(29, 128, 10), sq.randint(0, 10, {128})
  local step = adam_step(parameters, function()
    local h, c = sq.zeros(128, H), sq.zeros(128, H)
    for t = 1, 29 do
      local i, f, g, o = (sq.cat({x[t], h}, 2):matmul(w) + b):chunk(4, 2)
      c = f:sigmoid() * c + i:sigmoid() * g:tanh()
      h = o:sigmoid() * c:tanh()
    end
    return F.cross_entropy(head(h), y)
  end)
  return step, 128 * (29 * 4 * H * 138 * 3 + H * 10 * 3), parameters
end

function models.mlp()
  local model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 10))
  local x, y = sq.rand(128, 784), sq.randint(0, 10, {128})
  local step = adam_step(model:parameters(), function() return F.cross_entropy(model(x), y) end)
  return step, 128 * (784 * 512 * 2 + 512 * 10 * 3), model:parameters()
end

function models.vae()
  local a, mean, log_variance = nn.Linear(784, 400), nn.Linear(400, 20), nn.Linear(400, 20)
  local b, c = nn.Linear(20, 400), nn.Linear(400, 784)
  local parameters = parameters_of(a, mean, log_variance, b, c)
  local x = sq.rand(128, 784)
  local step = adam_step(parameters, function()
    local h = a(x):relu()
    local m, l = mean(h), log_variance(h)
    local z = m + (l * 0.5):exp() * sq.randn_like(m)
    local seen = F.binary_cross_entropy_with_logits(c(b(z):relu()), x, {reduction = "sum"})
    return seen - (1 + l - m:square() - l:exp()):sum() * 0.5
  end)
  return step, 128 * (784 * 400 * 5 + 400 * 20 * 9), parameters
end

function models.convnet()
  local model = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
    nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Linear(128, 10))
  local x, y = sq.rand(64, 1, 28, 28), sq.randint(0, 10, {64})
  local step = adam_step(model:parameters(), function() return F.cross_entropy(model(x), y) end)
  local products = 676 * 9 * 32 * 2 + 576 * 288 * 64 * 3 + 9216 * 128 * 3 + 128 * 10 * 3
  return step, 64 * products, model:parameters()
end

-- One step of D, on real pictures and drawn ones, and one of G through D.
local function adversaries(G, D, loss, noise, x)
  local adam = {lr = 2e-4, betas = {0.5, 0.999}}
  local opt_G, opt_D = sq.optim.Adam(G:parameters(), adam), sq.optim.Adam(D:parameters(), adam)
  local one, zero = sq.ones(64, 1), sq.zeros(64, 1)
  return function()
    local drawn = G(noise())
    local loss_D = loss(D(x), one) + loss(D(drawn:detach()), zero)
    opt_D:zero_grad()
    loss_D:backward()
    opt_D:step()
    local loss_G = loss(D(drawn), one)
    opt_G:zero_grad()
    loss_G:backward()
    opt_G:step()
    return loss_D:item() + loss_G:item()
  end
end

function models.gan()
  local layers, size, products = {}, 100, 0
  for i, wide in ipairs {128, 256, 512, 1024} do
    layers[#layers + 1] = nn.Linear(size, wide)
    if i > 1 then layers[#layers + 1] = nn.BatchNorm1d(wide) end
    layers[#layers + 1] = nn.LeakyReLU(0.2)
    size, products = wide, products + size * wide
  end
  layers[#layers + 1], layers[#layers + 2] = nn.Linear(1024, 784), nn.Tanh()
  local G = nn.Sequential(table.unpack(layers))
  local D = nn.Sequential(nn.Linear(784, 512), nn.LeakyReLU(0.2), nn.Linear(512, 256), nn.LeakyReLU(0.2), nn.Linear(256, 1),
    nn.Sigmoid())
  local step = adversaries(G, D, F.binary_cross_entropy, function() return sq.randn(64, 100) end, sq.rand(64, 784))
  local all_G, all_D = products + 1024 * 784, 784 * 512 + 512 * 256 + 256
  return step, 64 * (all_G * 3 - 100 * 128 + 2 * (all_D * 3 - 784 * 512) + all_D * 3), parameters_of(G, D)
end

function models.dcgan()
  local f, plain = 32, {bias = false}
  local function up(i, o, stride, padding) return nn.ConvTranspose2d(i, o, 4, stride, padding, plain) end
  local function down(i, o, stride, padding) return nn.Conv2d(i, o, 4, stride, padding, plain) end
  local G = nn.Sequential(up(100, f * 4, 1, 0), nn.BatchNorm2d(f * 4), nn.ReLU(), up(f * 4, f * 2, 2, 1),
    nn.BatchNorm2d(f * 2), nn.ReLU(), up(f * 2, f, 2, 1), nn.BatchNorm2d(f), nn.ReLU(), up(f, 3, 2, 1), nn.Tanh())
  local D = nn.Sequential(down(3, f, 2, 1), nn.LeakyReLU(0.2), down(f, f * 2, 2, 1), nn.BatchNorm2d(f * 2),
    nn.LeakyReLU(0.2), down(f * 2, f * 4, 2, 1), nn.BatchNorm2d(f * 4), nn.LeakyReLU(0.2), down(f * 4, 1, 1, 0),
    nn.Flatten())
  local step = adversaries(G, D, F.binary_cross_entropy_with_logits, function() return sq.randn(64, 100, 1, 1) end,
    sq.rand(64, 3, 32, 32))
  local wide, thin, first, last = 64 * 32 * 16 * 64, 3 * 32 * 16 * 256, 100 * 128 * 16, 128 * 16
  local all_G, all_D = first + 2 * wide + thin, thin + 2 * wide + last
  return step, 64 * (all_G * 3 - first + 2 * (all_D * 3 - thin) + all_D * 3), parameters_of(G, D)
end

function models.characters()
  local embedding, rnn = nn.Embedding(65, 64), nn.LSTM(64, 256, {num_layers = 2, batch_first = true})
  local head = nn.Linear(256, 65)
  local parameters = parameters_of(embedding, rnn, head)
  local x, y = sq.randint(0, 65, {50, 50}), sq.randint(0, 65, {2500})
  local step = adam_step(parameters, function()
    return F.cross_entropy(head((rnn(embedding(x)))):reshape(2500, 65), y)
  end)
  return step, 2500 * 3 * (4 * 256 * (64 + 256) + 4 * 256 * (256 + 256) + 256 * 65), parameters
end

function models.gpt()
  local d, heads, length, batch = 128, 4, 64, 12
  local token, place, norm, head = nn.Embedding(65, d), nn.Embedding(length, d), nn.LayerNorm(d), nn.Linear(d, 65)
  local blocks = {}
  for i = 1, 4 do
    blocks[i] = nn.ModuleList {nn.LayerNorm(d), nn.LayerNorm(d), nn.MultiheadAttention(d, heads, {batch_first = true}),
      nn.Linear(d, 4 * d), nn.Linear(4 * d, d)}
  end
  local parameters = parameters_of(token, place, norm, head, table.unpack(blocks))
  local x, y, places = sq.randint(0, 65, {batch, length}), sq.randint(0, 65, {batch * length}), sq.arange(length)
  local mask = sq.ones(length, length):triu(1):to "bool"
  local step = adam_step(parameters, function()
    local h = token(x) + place(places)
    for _, block in ipairs(blocks) do
      local n = block[1](h)
      h = h + block[3](n, n, n, {attn_mask = mask, need_weights = false})
      h = h + block[5](block[4](block[2](h)):gelu())
    end
    return F.cross_entropy(head(norm(h)):reshape(batch * length, 65), y)
  end)
  local products = 4 * (d * 4 * d + 2 * d * 4 * d + 2 * length * d) + d * 65
  return step, batch * length * 3 * products, parameters
end

local ORDER = {"lstm", "rnn", "gru", "written_out", "gan", "mlp", "vae", "convnet", "dcgan", "characters", "gpt"}

-- --- the run -------------------------------------------------------------------------------------

-- The median of rounds of at least a sixth of the time each.
local function time_of(step)
  local rounds = {}
  for round = 1, 6 do
    local begin, n = sq.clock(), 0
    repeat
      step()
      n = n + 1
    until sq.clock() - begin > seconds / 6
    rounds[round] = (sq.clock() - begin) / n
  end
  table.sort(rounds)
  return (rounds[3] + rounds[4]) / 2
end

local products, bytes = product_rate(), stream_rate()
local info = sq.info()
print(("version seqrt %s, %s, %s kernels, %s, threads: %d"):format(info.version, info.cpu, info.isa, info.blas, info.threads))
for _, key in ipairs(ORDER) do
  if keys == "" or (","..keys..","):find(","..key..",", 1, true) then
    sq.manual_seed(0)
    local step, multiplications, parameters = models[key]()
    local count, loss = 0, nil
    for _, p in ipairs(parameters) do count = count + p:numel() end
    for _ = 1, 3 do loss = step() end
    local floor = multiplications / products + 7 * 4 * count / bytes -- p, m, v read and written, the gradient read
    print(("%s %.9f %.9g %.9f"):format(key, time_of(step), loss, floor))
    collectgarbage()
  end
end

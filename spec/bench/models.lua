-- models.lua: the usual models whose training steps bench.lua times and instructions_spec.lua counts. steps_torch.py and
-- steps_jax.py have the same models, draws and optimizers, so that the losses are the same numbers.
local sq = require "seqrt"
local nn, F = sq.nn, sq.nn.functional

-- In the order they are shown. T steps of a sequence, B examples, H units, f filters.
local ORDER = {"lstm", "rnn", "gru", "written_out", "gan", "mlp", "vae", "convnet", "dcgan", "characters", "gpt"}
local USUAL = {
  lstm = {T = 29, B = 128, H = 128}, rnn = {T = 29, B = 128, H = 128}, gru = {T = 29, B = 128, H = 128},
  written_out = {T = 29, B = 128, H = 128}, gan = {B = 64, H = 128}, mlp = {B = 128, H = 512}, vae = {B = 128, H = 400},
  convnet = {B = 64, f = 32}, dcgan = {B = 64, f = 32}, characters = {T = 50, B = 50, H = 256}, gpt = {T = 64, B = 12, H = 128},
}

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

local models = {} -- by key: a function of sizes

-- The last of T steps says the class: forward, gradient of h (and not of x), gradient of the weights.
local function recurrent(kind, gates)
  return function(s)
    local T, B, H = s.T, s.B, s.H
    local rnn, head = nn[kind](10, H, {batch_first = true}), nn.Linear(H, 10)
    local parameters = parameters_of(rnn, head)
    local x, y = sq.rand(B, T, 10), sq.randint(0, 10, {B})
    local step = adam_step(parameters, function() return F.cross_entropy(head((rnn(x))[{{}, -1}]), y) end)
    return step, B * (T * gates * H * ((10 + H) * 2 + H) + H * 10 * 3), parameters
  end
end
models.lstm, models.rnn, models.gru = recurrent("LSTM", 4), recurrent("RNN", 1), recurrent("GRU", 3)

function models.written_out(s)
  local T, B, H = s.T, s.B, s.H
  local w, b, head = nn.Parameter(sq.randn(10 + H, 4 * H) * 0.05), nn.Parameter(sq.zeros(4 * H)), nn.Linear(H, 10)
  local parameters = parameters_of(head)
  parameters[3], parameters[4] = w, b
  local x, y = sq.rand(T, B, 10), sq.randint(0, 10, {B})
  local step = adam_step(parameters, function()
    local h, c = sq.zeros(B, H), sq.zeros(B, H)
    for t = 1, T do
      local i, f, g, o = (sq.cat({x[t], h}, 2):matmul(w) + b):chunk(4, 2)
      c = f:sigmoid() * c + i:sigmoid() * g:tanh()
      h = o:sigmoid() * c:tanh()
    end
    return F.cross_entropy(head(h), y)
  end)
  return step, B * (T * 4 * H * (10 + H) * 3 + H * 10 * 3), parameters
end

function models.mlp(s)
  local B, H = s.B, s.H
  local model = nn.Sequential(nn.Linear(784, H), nn.ReLU(), nn.Linear(H, 10))
  local x, y = sq.rand(B, 784), sq.randint(0, 10, {B})
  local step = adam_step(model:parameters(), function() return F.cross_entropy(model(x), y) end)
  return step, B * (784 * H * 2 + H * 10 * 3), model:parameters()
end

function models.vae(s)
  local B, H = s.B, s.H
  local a, mean, log_variance = nn.Linear(784, H), nn.Linear(H, 20), nn.Linear(H, 20)
  local b, c = nn.Linear(20, H), nn.Linear(H, 784)
  local parameters = parameters_of(a, mean, log_variance, b, c)
  local x = sq.rand(B, 784)
  local step = adam_step(parameters, function()
    local h = a(x):relu()
    local m, l = mean(h), log_variance(h)
    local z = m + (l * 0.5):exp() * sq.randn_like(m)
    local seen = F.binary_cross_entropy_with_logits(c(b(z):relu()), x, {reduction = "sum"})
    return seen - (1 + l - m:square() - l:exp()):sum() * 0.5
  end)
  return step, B * (784 * H * 5 + H * 20 * 9), parameters
end

function models.convnet(s)
  local B, f = s.B, s.f
  local model = nn.Sequential(nn.Conv2d(1, f, 3), nn.ReLU(), nn.Conv2d(f, 2 * f, 3), nn.ReLU(), nn.MaxPool2d(2),
    nn.Flatten(), nn.Linear(144 * 2 * f, 4 * f), nn.ReLU(), nn.Linear(4 * f, 10))
  local x, y = sq.rand(B, 1, 28, 28), sq.randint(0, 10, {B})
  local step = adam_step(model:parameters(), function() return F.cross_entropy(model(x), y) end)
  local products = 676 * 9 * f * 2 + 576 * 9 * f * 2 * f * 3 + 144 * 2 * f * 4 * f * 3 + 4 * f * 10 * 3
  return step, B * products, model:parameters()
end

-- One step of D, on real pictures and drawn ones, and one of G through D.
local function adversaries(G, D, loss, noise, x)
  local B = x:size(1)
  local adam = {lr = 2e-4, betas = {0.5, 0.999}}
  local opt_G, opt_D = sq.optim.Adam(G:parameters(), adam), sq.optim.Adam(D:parameters(), adam)
  local one, zero = sq.ones(B, 1), sq.zeros(B, 1)
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

function models.gan(s)
  local B, H = s.B, s.H
  local layers, size, products = {}, 100, 0
  for i, wide in ipairs {H, 2 * H, 4 * H, 8 * H} do
    layers[#layers + 1] = nn.Linear(size, wide)
    if i > 1 then layers[#layers + 1] = nn.BatchNorm1d(wide) end
    layers[#layers + 1] = nn.LeakyReLU(0.2)
    size, products = wide, products + size * wide
  end
  layers[#layers + 1], layers[#layers + 2] = nn.Linear(8 * H, 784), nn.Tanh()
  local G = nn.Sequential(table.unpack(layers))
  local D = nn.Sequential(nn.Linear(784, 4 * H), nn.LeakyReLU(0.2), nn.Linear(4 * H, 2 * H), nn.LeakyReLU(0.2),
    nn.Linear(2 * H, 1), nn.Sigmoid())
  local step = adversaries(G, D, F.binary_cross_entropy, function() return sq.randn(B, 100) end, sq.rand(B, 784))
  local first_D = 784 * 4 * H
  local all_G, all_D = products + 8 * H * 784, first_D + 4 * H * 2 * H + 2 * H
  return step, B * (all_G * 3 - 100 * H + 2 * (all_D * 3 - first_D) + all_D * 3), parameters_of(G, D)
end

function models.dcgan(s)
  local B, f, plain = s.B, s.f, {bias = false}
  local function up(i, o, stride, padding) return nn.ConvTranspose2d(i, o, 4, stride, padding, plain) end
  local function down(i, o, stride, padding) return nn.Conv2d(i, o, 4, stride, padding, plain) end
  local G = nn.Sequential(up(100, f * 4, 1, 0), nn.BatchNorm2d(f * 4), nn.ReLU(), up(f * 4, f * 2, 2, 1),
    nn.BatchNorm2d(f * 2), nn.ReLU(), up(f * 2, f, 2, 1), nn.BatchNorm2d(f), nn.ReLU(), up(f, 3, 2, 1), nn.Tanh())
  local D = nn.Sequential(down(3, f, 2, 1), nn.LeakyReLU(0.2), down(f, f * 2, 2, 1), nn.BatchNorm2d(f * 2),
    nn.LeakyReLU(0.2), down(f * 2, f * 4, 2, 1), nn.BatchNorm2d(f * 4), nn.LeakyReLU(0.2), down(f * 4, 1, 1, 0),
    nn.Flatten())
  local step = adversaries(G, D, F.binary_cross_entropy_with_logits, function() return sq.randn(B, 100, 1, 1) end,
    sq.rand(B, 3, 32, 32))
  local wide, thin, first, last = 2 * f * f * 16 * 64, 3 * f * 16 * 256, 100 * 4 * f * 16, 4 * f * 16
  local all_G, all_D = first + 2 * wide + thin, thin + 2 * wide + last
  return step, B * (all_G * 3 - first + 2 * (all_D * 3 - thin) + all_D * 3), parameters_of(G, D)
end

function models.characters(s)
  local T, B, H = s.T, s.B, s.H
  local embedding, rnn = nn.Embedding(65, 64), nn.LSTM(64, H, {num_layers = 2, batch_first = true})
  local head = nn.Linear(H, 65)
  local parameters = parameters_of(embedding, rnn, head)
  local x, y = sq.randint(0, 65, {B, T}), sq.randint(0, 65, {B * T})
  local step = adam_step(parameters, function()
    return F.cross_entropy(head((rnn(embedding(x)))):reshape(B * T, 65), y)
  end)
  return step, B * T * 3 * (4 * H * (64 + H) + 4 * H * (H + H) + H * 65), parameters
end

function models.gpt(s)
  local d, heads, length, batch = s.H, 4, s.T, s.B
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

-- A step, which returns its loss, the multiplications of its products, and its parameters. `key` is a model's, or one
-- with a size that is doubled: "lstm_T". `sizes`: others than the usual ones.
local function make(key, sizes)
  local name, doubled = key:match "^(.*)_(%u)$"
  name = name or key
  local usual, s = assert(USUAL[name], "no such model: " .. key), {}
  for size, n in pairs(usual) do s[size] = sizes and sizes[size] or n end
  if doubled then s[doubled] = assert(s[doubled], "no such size: " .. key) * 2 end
  sq.manual_seed(0)
  return models[name](s)
end

-- Sizes as they are given on a command line: "B=8", "H=32".
local function sizes(...)
  local s = {}
  for _, text in ipairs {...} do
    local name, n = text:match "^(%a)=(%d+)$"
    s[assert(name, "no size: " .. text)] = math.tointeger(n)
  end
  return s
end

return {order = ORDER, make = make, sizes = sizes}

-- bench.lua: what `make bench` runs: each experiment's training step against its floor, measured in the same run, and
-- against PyTorch's, where a python3 with torch is found (--python names one).
--
-- The floor is the step's matrix products alone, at the best rate this machine reaches on large square ones, and one
-- streaming pass over what Adam reads and writes, at the rate of a large copy. All are timed in turns, and a ratio is the
-- median over the turns, so that a noisy machine disturbs both alike.

local folder = arg[0]:match "^.*/" or ""
package.path = folder .. "../scripts/?.lua;" .. package.path
local sq = require "seqrt"
local models = require "models"
local nn = sq.nn

local options = sq.cli {
  turns = {9, min = 1, help = "turns to take the median of"},
  python = {"python3", help = "a Python that may have torch; none: ''"},
  threads = {0, min = 0, help = "threads, 0: one per core"},
}
if options.threads > 0 then sq.set_num_threads(options.threads) end

local function time(fn, times)
  local begin = sq.clock()
  for _ = 1, times do fn() end
  return (sq.clock() - begin) / times
end

local function best(fn, times)
  local seconds = math.huge
  for _ = 1, times do seconds = math.min(seconds, time(fn, 1)) end
  return seconds
end

local function median(list)
  table.sort(list)
  return list[(#list + 1) // 2]
end

-- --- the machine's own rates ---------------------------------------------------------------------

-- Floating point operations a second of products of n x n.
local N = 1024
local A, B = sq.randn(N, N), sq.randn(N, N)
local function product_rate() return 2 * N ^ 3 / best(function() return A:matmul(B) end, 5) end

-- Bytes a second, read and written, of a copy that no cache holds.
local from, to = sq.zeros(1 << 25), sq.zeros(1 << 25)
local function stream_rate() return 2 * 4 * #from / best(function() to:copy_(from) end, 3) end

-- --- the experiments: a step, the operations of its products, the bytes of its optimizer's pass -----

-- The products of a recurrent step: forward, gradient of h, gradient of the weights; the decoder is counted likewise.
local function palindrome(T)
  local batch, hidden, inputs, classes = 128, 128, 10, 10
  sq.manual_seed(0)
  local set = sq.data.Palindrome {length = T, generator = sq.Generator(0)}
  local rnn = nn.LSTM(inputs, hidden, {batch_first = true, forget_bias = 1})
  local head = nn.Linear(hidden, classes)
  local parameters = rnn:parameters()
  for _, p in ipairs(head:parameters()) do parameters[#parameters + 1] = p end
  local opt = sq.optim.RMSprop(parameters, {lr = 1e-3})
  local function step()
    local x, y = set:batch(batch)
    local logits = head((rnn(x))[{{}, -1}])
    local loss = nn.functional.cross_entropy(logits, y)
    opt:zero_grad()
    loss:backward()
    nn.utils.clip_grad_norm_(parameters, 10)
    opt:step()
  end
  local gates = 4 * hidden
  local flops = 2 * batch * ((T - 1) * gates * (inputs + hidden) * 2 + (T - 2) * gates * hidden + hidden * classes * 3)
  return step, flops
end

-- One step of D, one of G, as scripts/gan.lua takes them. A layer's products are forward, gradient of the weights and, but
-- for the first layer, gradient of the input; D sees real pictures and drawn ones, and then only passes G's gradient on.
local function gan()
  local batch = 64
  sq.manual_seed(0)
  local bce = nn.functional.binary_cross_entropy
  local G, D = models.Generator(), models.Discriminator()
  local adam = {lr = 2e-4, betas = {0.5, 0.999}}
  local opt_G, opt_D = sq.optim.Adam(G:parameters(), adam), sq.optim.Adam(D:parameters(), adam)
  local real, fake = sq.ones(batch, 1), sq.zeros(batch, 1)
  local x = sq.rand(batch, 1, 28, 28)
  local function step()
    local pictures = G(sq.randn(batch, models.LATENT))
    local loss_D = bce(D(x), real) + bce(D(pictures:detach()), fake)
    opt_D:zero_grad()
    loss_D:backward()
    opt_D:step()
    D:requires_grad_(false)
    local loss_G = bce(D(pictures), real)
    opt_G:zero_grad()
    loss_G:backward()
    opt_G:step()
    D:requires_grad_(true)
    return loss_D:item() + loss_G:item()
  end
  local function weights(model, from_layer)
    local count = 0
    for i, p in ipairs(model:parameters()) do
      if i >= from_layer and p:dim() == 2 then count = count + p:numel() end
    end
    return count
  end
  local g, d = weights(G, 1), weights(D, 1)
  local flops = 2 * batch * (2 * g + weights(G, 2) + 2 * (2 * d + weights(D, 2)) + 2 * d)
  local bytes = 7 * 4 * (G:num_parameters() + D:num_parameters()) -- p, m, v read and written, the gradient read
  return step, flops, bytes
end

-- --- the turns -----------------------------------------------------------------------------------

local experiments = {
  {name = "LSTM palindrome, T = 10", key = "palindrome10", steps = 40},
  {name = "LSTM palindrome, T = 30", key = "palindrome30", steps = 20},
  {name = "GAN iteration", key = "gan", steps = 20},
}
for i, T in ipairs {10, 30} do experiments[i].step, experiments[i].flops = palindrome(T) end
experiments[3].step, experiments[3].flops, experiments[3].bytes = gan()

-- A turn of PyTorch: seconds per step by key; nil where there is none.
local function torch_turn()
  if options.python == "" then return nil end
  local command = ("%s %sbench_torch.py %d 2>/dev/null"):format(options.python, folder, sq.get_num_threads())
  local seconds, version = {}, nil
  for line in io.popen(command):lines() do
    local key, value = line:match "^(%w+) (%S+)$"
    if key == "torch" then version = value elseif key then seconds[key] = tonumber(value) end
  end
  if version then return seconds, version end
end

local _, torch_version = torch_turn()
product_rate() -- loads the BLAS, so that info names it
local info = sq.info()
print(("seqrt %s, %s, %s kernels, %s, threads: %d"):format(info.version, info.cpu, info.isa, info.blas, info.threads))
print(torch_version and "PyTorch " .. torch_version .. ", the same models and threads" or "PyTorch: none")

for _, e in ipairs(experiments) do
  e.times, e.floors, e.ratios, e.torch = {}, {}, {}, {}
  for _ = 1, 10 do e.step() end
end
for turn = 1, options.turns do
  local theirs = torch_version and torch_turn()
  for _, e in ipairs(experiments) do
    e.floors[turn] = e.flops / product_rate() + (e.bytes and e.bytes / stream_rate() or 0)
    e.times[turn] = time(e.step, e.steps)
    e.ratios[turn] = e.times[turn] / e.floors[turn]
    if theirs then e.torch[turn] = theirs[e.key] / e.times[turn] end
  end
end
for _, e in ipairs(experiments) do
  local line = ("%-24s %8.2f ms   floor %6.2f ms   ratio %.2f"):format(e.name, median(e.times) * 1e3,
    median(e.floors) * 1e3, median(e.ratios))
  print(torch_version and ("%s   PyTorch takes %.1f times as long"):format(line, median(e.torch)) or line)
end

-- --- batches ---------------------------------------------------------------------------------------

-- An epoch of 60,000 pictures in batches of 64 against one copy of them all, on one thread.
sq.set_num_threads(1)
local pictures, labels, place = sq.rand(60000, 1, 28, 28), sq.zeros(60000, {dtype = "int64"}), sq.zeros(60000, 1, 28, 28)
for _, shuffle in ipairs {false, true} do
  local loader = sq.data.DataLoader(sq.data.TensorDataset(pictures, labels), {batch_size = 64, shuffle = shuffle})
  local ratios = {}
  for turn = 1, options.turns do
    local copy = time(function() place:copy_(pictures) end, 1)
    ratios[turn] = copy / time(function() for _ in loader:epoch() do end end, 1)
  end
  print(("%-24s %8.2f of the speed of a copy"):format(shuffle and "batches, shuffled" or "batches, in order", median(ratios)))
end

-- --- the cost of a call -------------------------------------------------------------------------

local x = sq.randn(16):requires_grad_()
local y = sq.randn(16)
local m, v = sq.randn(4, 4):requires_grad_(), sq.randn(4, 4)
local calls = {
  {"a + b", function() return x + y end},
  {"a:exp()", function() return x:exp() end},
  {"a:matmul(b)", function() return m:matmul(v) end},
  {"5 ops and backward", function() (x * y + y):tanh():exp():sum():backward() end},
}
for _, call in ipairs(calls) do
  local turns = {}
  for turn = 1, 9 do turns[turn] = time(call[2], 20000) end
  print(("%-24s %8.0f ns"):format(call[1], median(turns) * 1e9))
end

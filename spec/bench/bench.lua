-- bench.lua: what `make bench` runs: training steps of usual models (models.lua) against their floor, against PyTorch where a
-- python3 with torch is found (--python names one; `make bench-peers` installs one), and by AVX2 where the machine has more.
--
-- Every side runs each model first to three losses, which must be PyTorch's, then for a while; all sides in turns, so that a
-- noisy machine disturbs them alike. A time is the median over the turns, a ratio the median of the turns' ratios. The figures
-- also go to bench.json (--out).

local folder = arg[0]:match "^.*/" or ""
local sq = require "seqrt"
local json = require "seqrt.json"

local options = sq.cli {
  turns = {5, min = 1, help = "turns to take the median of"},
  models = {"", help = "keys of models, comma between; '': all"},
  seconds = {0.6, min = 0.01, help = "seconds for each model in a turn"},
  python = {"python3", help = "a Python that may have torch; none: ''"},
  threads = {0, min = 0, help = "threads, 0: one per core"},
  out = {"bench.json", help = "file of the figures"},
}
if options.threads > 0 then sq.set_num_threads(options.threads) end
local threads = sq.get_num_threads()

local models = dofile(folder .. "models.lua")
local keys = options.models ~= "" and options.models or table.concat(models.order, ",")

local NAMES = {
  lstm = "LSTM, T 30, B 128, H 128", rnn = "RNN, the same", gru = "GRU, the same", written_out = "LSTM written in the script",
  gan = "GAN iteration, B 64",
  mlp = "MLP 784-512-10, B 128", vae = "VAE 784-400-20, B 128", convnet = "MNIST convnet, 32-64 filters, B 64",
  dcgan = "DCGAN 32x32, f 32, B 64", characters = "char LSTM, 2 x 256, 50 x 50", gpt = "GPT, 4 x 128, 64 tokens, B 12",
}

-- --- sides: a command each; a turn of one is {key = {seconds, loss, floor}} ----------------------

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local program = arg[-1] or "seqrt"
local free = "env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE SEQRT_THREADS=" .. threads -- what would hold the BLAS back
local slower = "ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2"

local function ours(environment)
  return ("%s %s %s %ssteps.lua %s %g"):format(free, environment, quote(program), folder, quote(keys),
    options.seconds)
end

local function theirs(environment)
  return ("%s %s -W ignore %ssteps_torch.py %d %s %g 2>/dev/null"):format(environment, quote(options.python), folder, threads,
    quote(keys), options.seconds)
end

-- One turn of a side, with its keys in their order, and what it says of itself; nil where it does not run.
local function turn_of(command)
  local found, version = {}, nil
  local pipe = assert(io.popen(command))
  for line in pipe:lines() do
    local key, rest = line:match "^(%S+) (.*)$"
    if key == "version" then
      version = rest
    elseif key then
      local time, loss, floor = rest:match "^(%S+) (%S+) ?(%S*)$"
      found[#found + 1] = key
      found[key] = {time = tonumber(time), loss = tonumber(loss), floor = tonumber(floor)}
    end
  end
  pipe:close()
  return version and found, version
end

local sides = {{name = "seqrt", command = ours ""}}
if options.python ~= "" then sides[#sides + 1] = {name = "torch", command = theirs "env"} end
if sq.info().isa == "avx512" then
  sides[#sides + 1] = {name = "seqrt_avx2", command = ours "SEQRT_ISA=avx2"}
  if options.python ~= "" then sides[#sides + 1] = {name = "torch_avx2", command = theirs("env " .. slower)} end
end

-- --- the turns -----------------------------------------------------------------------------------

local function median(list)
  if #list == 0 then return nil end
  table.sort(list)
  return (list[(#list + 1) // 2] + list[#list // 2 + 1]) / 2
end

for _, side in ipairs(sides) do side.turns = {} end
for turn = 1, options.turns do
  for _, side in ipairs(sides) do side.turns[turn], side.version = turn_of(side.command) end
end
local by_name = {}
for _, side in ipairs(sides) do
  if side.version then by_name[side.name] = side end
end
assert(by_name.seqrt, "the steps do not run: " .. sides[1].command)

-- The median over the turns of f(a row of `one`, the same of `other`); nil where a side is missing.
local function over_turns(key, f, one, other)
  if not one or not other then return nil end
  local list = {}
  for turn = 1, options.turns do
    local a, b = one.turns[turn][key], other.turns[turn][key]
    if a and b then list[#list + 1] = f(a, b) end
  end
  return median(list)
end

-- A loss that is not PyTorch's makes a time worth nothing.
local function check_losses(key)
  if not by_name.torch or not by_name.torch.turns[1][key] then return end
  local a, b = by_name.seqrt.turns[1][key].loss, by_name.torch.turns[1][key].loss
  assert(math.abs(a - b) <= 1e-4 * math.abs(b), ("%s: the loss is %.7g, PyTorch's %.7g"):format(key, a, b))
end

local function ratio(value) return value and ("%.2f times"):format(value) or "-" end
local function times_of(a, b) return b.time / a.time end

local figures = {version = by_name.seqrt.version, torch = by_name.torch and by_name.torch.version, models = {}}
print(by_name.seqrt.version)
print(by_name.torch and by_name.torch.version or "PyTorch: none")
for _, name in ipairs {"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"} do
  if os.getenv(name) then print(name .. " in the environment would hold the BLAS back: it is taken out for the steps") end
end
print(("%-36s %9s %8s %14s %14s"):format("a training step", "ms", "x floor", "PyTorch takes", "both by AVX2"))
local seqrt = by_name.seqrt
for _, key in ipairs(seqrt.turns[1]) do
  check_losses(key)
  local figure = {
    seconds = over_turns(key, function(a) return a.time end, seqrt, seqrt),
    floor = over_turns(key, function(a) return a.time / a.floor end, seqrt, seqrt),
    torch = over_turns(key, times_of, seqrt, by_name.torch),
    avx2 = over_turns(key, times_of, by_name.seqrt_avx2, by_name.torch_avx2),
    loss = seqrt.turns[1][key].loss,
  }
  figures.models[key] = figure
  print(("%-36s %9.2f %8.2f %14s %14s"):format(NAMES[key], figure.seconds * 1e3, figure.floor,
    ratio(figure.torch), ratio(figure.avx2)))
end

local file = assert(io.open(options.out, "w"))
assert(file:write(json.encode(figures, ""), "\n"))
assert(file:close())

local function time(fn, times)
  local begin = sq.clock()
  for _ = 1, times do fn() end
  return (sq.clock() - begin) / times
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

-- bench.lua: what `make bench` runs: training steps of usual models (models.lua) against their floor; against PyTorch, eager
-- and compiled, and JAX where a python3 has them (--python names one; `make bench-peers` installs one); once more by AVX2
-- where the machine has more; and how much longer a step takes where a size is doubled.
--
-- Every side is a process that answers for one model at a time. Each runs a model first to three losses, which must be
-- PyTorch's, then for a while, all sides in turns, so that a noisy machine disturbs them alike. A time is the median over
-- the turns, a ratio the median of the turns' ratios. The figures also go to bench.json (--out).

local folder = arg[0]:match "^.*/" or ""
local sq = require "seqrt"
local json = require "seqrt.json"
local models = dofile(folder .. "models.lua")

local options = sq.cli {
  turns = {5, min = 1, help = "turns to take the median of"},
  models = {"", help = "keys of models, comma between; '': all"},
  seconds = {0.6, min = 0.01, help = "seconds for each model in a turn"},
  python = {"python3", help = "a Python that may have torch and jax; none: ''"},
  compile = {true, help = "torch.compile too, which takes minutes where its cache is empty"},
  threads = {0, min = 0, help = "threads, 0: one per core"},
  out = {"bench.json", help = "file of the figures"},
}
if options.threads > 0 then sq.set_num_threads(options.threads) end
local threads = sq.get_num_threads()

local NAMES = {
  lstm = "LSTM, T 30, B 128, H 128", rnn = "RNN, the same", gru = "GRU, the same", written_out = "LSTM written in the script",
  gan = "GAN iteration, B 64",
  mlp = "MLP 784-512-10, B 128", vae = "VAE 784-400-20, B 128", convnet = "MNIST convnet, 32-64 filters, B 64",
  dcgan = "DCGAN 32x32, f 32, B 64", characters = "char LSTM, 2 x 256, 50 x 50", gpt = "GPT, 4 x 128, 64 tokens, B 12",
}
local GROWTH = {
  lstm_T = "LSTM, T doubled", lstm_B = "LSTM, B doubled", lstm_H = "LSTM, H doubled", convnet_B = "convnet, B doubled",
}

local rows, growth = {}, {} -- keys in order
local wanted = "," .. options.models .. ","
for _, key in ipairs(models.order) do
  if options.models == "" or wanted:find("," .. key .. ",", 1, true) then rows[#rows + 1] = key end
end
for _, key in ipairs {"lstm_T", "lstm_B", "lstm_H", "convnet_B"} do
  if options.models == "" or wanted:find("," .. key:match "^(.*)_" .. ",", 1, true) then growth[#growth + 1] = key end
end

-- --- sides ---------------------------------------------------------------------------------------

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

-- A side's process, which reads the lines that ask() writes; what it says of itself first is its version.
local function start(name, command)
  local fifo = os.tmpname()
  assert(os.remove(fifo) and os.execute("mkfifo " .. fifo))
  local side = {name = name, rows = {}, none = {}}
  side.answers = assert(io.popen(("%s <%s 2>/dev/null"):format(command, fifo)))
  side.questions = assert(io.open(fifo, "w"))
  side.questions:setvbuf "line"
  os.remove(fifo)
  side.version = side.answers:read "l"
  side.runs = side.version ~= nil and not side.version:find "^none"
  return side
end

local function ask(side, question)
  if not side.runs then return "none" end
  side.questions:write(question, "\n")
  local answer = side.answers:read "l"
  side.runs = answer ~= nil
  return answer or "none"
end

-- Ends all sides, the last first: a process holds the questions of those that were started before it.
local function stop(sides)
  for i = #sides, 1, -1 do
    sides[i].questions:close()
    sides[i].answers:close()
  end
end

local PROGRAM = quote(arg[-1] or "seqrt") .. " " .. folder .. "steps.lua"
local FREE = "env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE SEQRT_THREADS=" .. threads
local AVX2 = "ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 XLA_FLAGS=--xla_cpu_max_isa=AVX2"

-- Those that run, seqrt first, for the best instructions of the machine or for AVX2.
local function start_sides(avx2)
  local sides = {start("seqrt", FREE .. (avx2 and " SEQRT_ISA=avx2 " or " ") .. PROGRAM)}
  local python = ("env %s %s -B -W ignore %s"):format(avx2 and AVX2 or "", quote(options.python), folder)
  local function peer(name, script) sides[#sides + 1] = start(name, python .. script) end
  if options.python ~= "" then
    peer("eager", "steps_torch.py eager " .. threads)
    if options.compile then peer("compiled", "steps_torch.py compile " .. threads) end
    peer("jax", "steps_jax.py " .. threads)
  end
  assert(sides[1].runs, "the steps do not run: " .. PROGRAM)
  for _, side in ipairs(sides) do sides[side.name] = side end
  return sides
end

-- --- the turns -----------------------------------------------------------------------------------

local function median(list)
  if #list == 0 then return nil end
  table.sort(list)
  return (list[(#list + 1) // 2] + list[#list // 2 + 1]) / 2
end

-- One row of a side in one turn: time, loss and, of ours, floor; nil, and why, where it has none.
local function measure(side, key, seconds)
  local answer = ask(side, ("%s %g"):format(key, seconds))
  local time, loss, floor = answer:match "^([%d.]+) (%S+) ?(%S*)$"
  if not time then return nil, answer end
  return {time = tonumber(time), loss = tonumber(loss), floor = tonumber(floor)}
end

-- Which sides have a model; a loss that is not PyTorch's makes a time worth nothing.
local function check_losses(sides, key)
  local loss
  for _, side in ipairs(sides) do
    local row, why = measure(side, key, 0)
    side.rows[key], side.none[key] = row and {}, why
    if row then
      loss = loss or row.loss
      assert(math.abs(row.loss - loss) <= 1e-4 * math.abs(loss),
        ("%s: the loss is %.7g, that of %s %.7g"):format(key, loss, side.version, row.loss))
    end
  end
  return loss
end

local function take_turn(sides, turn)
  ask(sides.seqrt, "rates")
  for _, key in ipairs(rows) do
    for _, side in ipairs(sides) do
      if side.rows[key] then side.rows[key][turn] = measure(side, key, options.seconds) end
    end
  end
  for _, key in ipairs(growth) do
    sides.seqrt.rows[key] = sides.seqrt.rows[key] or {}
    sides.seqrt.rows[key][turn] = measure(sides.seqrt, key, options.seconds)
  end
end

-- The median over the turns of f(a row of `one`, the same of `other`); nil where one is missing.
local function over_turns(f, one, other)
  if not one or not other then return nil end
  local list = {}
  for turn = 1, options.turns do
    if one[turn] and other[turn] then list[#list + 1] = f(one[turn], other[turn]) end
  end
  return median(list)
end

-- --- the tables ----------------------------------------------------------------------------------

local function seconds_of(row) return row.time end
local function floors_of(row) return row.time / row.floor end
local function times_of(a, b) return b.time / a.time end
local function floor_times_of(a, b) return b.floor / a.floor end

local function figure_of(sides, key, loss)
  local ours = sides.seqrt.rows[key]
  local figure = {loss = loss, seconds = over_turns(seconds_of, ours, ours), floor = over_turns(floors_of, ours, ours)}
  for _, side in ipairs(sides) do -- how many times as long it takes; or why that is not known
    if side ~= sides.seqrt then figure[side.name] = over_turns(times_of, ours, side.rows[key]) or side.none[key] end
  end
  return figure
end

local function ratio(value, name) return tonumber(value) and ("%.2f times%s"):format(value, name) or "-" end

-- PyTorch's better way.
local function torch_text(figure)
  local eager, compiled = tonumber(figure.eager), tonumber(figure.compiled)
  if compiled and (not eager or compiled < eager) then return ratio(compiled, " compiled") end
  return ratio(eager, " eager")
end

local function print_rows(sides, losses, figures)
  print(("%-36s %9s %8s %20s %12s"):format("a training step", "ms", "x floor", "PyTorch takes", "JAX takes"))
  for _, key in ipairs(rows) do
    local figure = figure_of(sides, key, losses[key])
    figures.models[key] = figure
    print(("%-36s %9.2f %8.2f %20s %12s"):format(NAMES[key], figure.seconds * 1e3, figure.floor, torch_text(figure),
      ratio(figure.jax, "")))
  end
end

local function print_growth(sides, figures)
  for _, key in ipairs(growth) do
    local small, large = sides.seqrt.rows[key:match "^(.*)_"], sides.seqrt.rows[key]
    local figure = {time = over_turns(times_of, small, large), floor = over_turns(floor_times_of, small, large)}
    figures.growth[key] = figure
    print(("%-36s %9.2f times the time, %.2f times the floor"):format(GROWTH[key], figure.time, figure.floor))
  end
end

-- All of it for one set of instructions; returns the figures.
local function run(avx2)
  local sides, losses, figures = start_sides(avx2), {}, {versions = {}, models = {}, growth = {}}
  for _, side in ipairs(sides) do
    figures.versions[side.name] = side.version
    if side.version then print(side.version) end
  end
  if options.python ~= "" and not sides.eager.runs then print "PyTorch: none" end
  if options.python ~= "" and not sides.jax.runs then print "JAX: none" end
  for i in sq.progress(#rows, {desc = "losses"}) do losses[rows[i]] = check_losses(sides, rows[i]) end
  for turn in sq.progress(options.turns, {desc = "turns"}) do take_turn(sides, turn) end
  print_rows(sides, losses, figures)
  print_growth(sides, figures)
  stop(sides)
  return figures
end

local held = {} -- what would hold the BLAS back
for _, name in ipairs {"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"} do
  held[name] = os.getenv(name)
  if held[name] then print(name .. " in the environment would hold the BLAS back: it is taken out for the steps") end
end
local figures = {held = held, default = run(false)}
if sq.info().isa == "avx512" then
  print "\nby AVX2"
  figures.avx2 = run(true)
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

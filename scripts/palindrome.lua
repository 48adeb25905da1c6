-- palindrome.lua: how far back can a recurrent network remember?
--
-- A palindrome of T digits ends with the digit it began with. The network sees the first T-1 digits, one after the other,
-- and predicts the last. Expected: the LSTM learns every T up to 30, accuracy 1.0; the vanilla RNN learns T = 5 and stays
-- at chance, 0.1, at T = 30. One to two minutes on two cores; a second time only what has not been finished is run:
--
--   seqrt scripts/palindrome.lua
--   seqrt scripts/palindrome.lua --T 5,10 --hidden 64 --lr 5e-4
--   seqrt scripts/palindrome.lua --cell scratch --T 5
--
-- `scratch` is the LSTM of the text-books, written below out of tensor operations.

local sq = require "seqrt"
local nn, optim, data = sq.nn, sq.optim, sq.data

local options = sq.cli {
  cell = {{"rnn", "lstm"}, choices = {"rnn", "lstm", "scratch"}, help = "models to compare"},
  T = {{5, 10, 15, 20, 25, 30}, min = 2, help = "palindrome lengths"},
  hidden = {128, min = 1, help = "hidden units"},
  batch = {128, min = 1, help = "palindromes per step"},
  steps = {1000, min = 1, help = "training steps per run"},
  lr = {1e-3, min = 0, help = "learning rate of RMSprop"},
  clip = {10.0, min = 0, help = "largest global norm of the gradients"},
  test = {5000, min = 1, help = "fresh palindromes to measure accuracy on"},
  seed = {0, help = "seed of weights and data"},
  out = {"runs/palindrome", type = "folder", help = "folder of results, figures and logs"},
  jobs = {type = "integer", min = 0, help = "runs at a time (default: one per core; 0: here, where Ctrl-C pauses)"},
  threads = {0, min = 0, help = "threads, shared by the jobs; 0: one per core"},
  fresh = {false, help = "do finished runs again"},
  dry_run = {false, help = "two steps of each run only"},
}
if options.dry_run then options.steps, options.test = 2, 64 end
if options.threads > 0 then sq.set_num_threads(options.threads) end

-- --- models ------------------------------------------------------------------------------------

-- g = tanh(W_gx x + W_gh h + b_g)   i, f, o = sigmoid(...) likewise   c' = g * i + c * f   h' = tanh(c') * o
local Scratch = nn.Module "ScratchLSTM"

function Scratch:init(inputs, hidden)
  self.hidden = hidden
  for _, gate in ipairs {"g", "i", "f", "o"} do
    self["W_" .. gate .. "x"] = nn.Parameter(sq.empty(inputs, hidden))
    self["W_" .. gate .. "h"] = nn.Parameter(sq.empty(hidden, hidden))
    self["b_" .. gate] = nn.Parameter(sq.zeros(hidden))
  end
end

function Scratch:forward(x)
  local h = sq.zeros(x:size(1), self.hidden, {dtype = x.dtype})
  local c = h
  local outputs = {}
  for t = 1, x:size(2) do
    local x_t = x[{{}, t}]
    local function pre(gate)
      return x_t:matmul(self["W_" .. gate .. "x"]) + h:matmul(self["W_" .. gate .. "h"]) + self["b_" .. gate]
    end
    local g, i, f, o = pre("g"):tanh(), pre("i"):sigmoid(), pre("f"):sigmoid(), pre("o"):sigmoid()
    c = g * i + c * f
    h = c:tanh() * o
    outputs[t] = h
  end
  return sq.stack(outputs, 2), h, c
end

local Net = nn.Module "Net"

function Net:init(cell, hidden)
  if cell == "scratch" then
    self.rnn = Scratch(10, hidden)
  elseif cell == "lstm" then
    self.rnn = nn.LSTM(10, hidden, {batch_first = true})
  else
    self.rnn = nn.RNN(10, hidden, {batch_first = true})
  end
  self.head = nn.Linear(hidden, 10)
  self:reset(cell, hidden)
end

local function uniform(p, std) nn.init.uniform_(p, -std * math.sqrt(3), std * math.sqrt(3)) end

-- Uniform weights with a standard deviation of 0.2 at input and output; 0.1 in the LSTM's recurrence, its forget gate open:
-- from there it learns fastest. The vanilla RNN starts from 0.04, a memory that fades, as text-books warn.
function Net:reset(cell, hidden)
  for name, p in self:named_parameters() do
    if p:dim() < 2 then
      nn.init.zeros_(p)
    elseif name:find "_hh_" or name:find "W_.h$" then
      uniform(p, cell == "rnn" and 0.04 or 0.1)
    else
      uniform(p, 0.2)
    end
  end
  if cell == "lstm" then
    nn.init.ones_(self.rnn.bias_ih_l0[{{hidden + 1, 2 * hidden}}]) -- gates stand in the order i f g o
  elseif cell == "scratch" then
    nn.init.ones_(self.rnn.b_f)
  end
end

function Net:forward(x)
  local y = self.rnn(x)
  return self.head(y[{{}, -1}])
end

local function accuracy(logits, labels) return logits:argmax(-1):eq(labels):mean():item() end

-- On `count` fresh palindromes, a few hundred at a time: memory stays small.
local function test_accuracy(model, set, count)
  local _ <close> = sq.no_grad()
  local right, left = 0, count
  while left > 0 do
    local n = math.min(left, 500)
    local x, y = set:batch(n)
    right, left = right + n * accuracy(model(x), y), left - n
  end
  return right / count
end

-- --- one run -----------------------------------------------------------------------------------

-- The learning rate falls in a line over the last third, so that no run ends on one of RMSprop's spikes.
local function rate_at(step, o) return o.lr * math.min(1, 3 * (o.steps - step + 1) / o.steps) end

-- `o` holds the options with one cell and one T.
local function train(o, folder)
  sq.manual_seed(o.seed)
  local set = data.Palindrome {length = o.T, generator = sq.Generator(o.seed)}
  local model = Net(o.cell, o.hidden)
  local opt = optim.RMSprop(model:parameters(), {lr = o.lr})
  local log, bar = sq.Log(folder), sq.progress(o.steps)
  local losses, accuracies, begin = {}, {}, sq.clock()

  for step = 1, o.steps do
    local x, y = set:batch(o.batch)
    local logits = model(x)
    local loss = nn.functional.cross_entropy(logits, y)
    opt.lr = rate_at(step, o)
    opt:zero_grad()
    loss:backward()
    nn.utils.clip_grad_norm_(model:parameters(), o.clip)
    opt:step()

    losses[step], accuracies[step] = loss:item(), accuracy(logits, y)
    log:write(step, {loss = losses[step], accuracy = accuracies[step]})
    bar:set_postfix {loss = losses[step], acc = accuracies[step]}
    bar:update()
  end
  bar:close()

  local ms = (sq.clock() - begin) / o.steps * 1000
  local test = test_accuracy(model, set, o.test)
  return {losses = losses, accuracies = accuracies, loss = losses[#losses], accuracy = test, ms = ms}
end

-- --- the sweep ---------------------------------------------------------------------------------

local results = sq.sweep(train, options, {over = {"cell", "T"}})

print(("\n%-8s %3s %6s %10s %9s %8s"):format("model", "T", "steps", "loss", "accuracy", "ms/step"))
for _, run in ipairs(results) do
  print(("%-8s %3d %6d %10.4f %9.4f %8.2f"):format(run.cell, run.T, options.steps, run.loss, run.accuracy, run.ms))
end

local paths = sq.report(results, {
  title = "Remembering the first digit", y = {"accuracy"}, curves = {"losses", "accuracies"},
  text = "A palindrome of T digits ends with the digit it began with. The network sees all but the last, and predicts it.",
  labels = {
    rnn = "Vanilla RNN", lstm = "LSTM", scratch = "LSTM from scratch", T = "palindrome length T", losses = "loss",
    accuracies = "batch accuracy", ms = "ms/step",
  },
})
print("\n" .. table.concat(paths, "\n"))

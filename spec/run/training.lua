-- training.lua: a small training that checkpoint_spec.lua kills and resumes: dropout, a shuffling loader with a generator
-- of its own, Adam, a schedule, a log. Ends with <out>/final.safetensors, all of its state.
--
--   seqrt spec/run/training.lua <out> <steps> <every> [KILL <seconds> | TERM <step> | INT <step> | PAUSE <step>]
--
-- sends itself that signal, KILL after a time from here on, the others in the middle of a step; PAUSE waits there for Ctrl-C.

local sq = require "seqrt"
local nn = sq.nn
local out, steps, every = arg[1], tonumber(arg[2]), tonumber(arg[3])
local signal, when = arg[4], tonumber(arg[5])
local pid = require "seqrt.sys".pid()

local function middle_of(step)
  if step ~= when or signal == "KILL" then return end
  local here, told = true, false -- `here` is what the prompt sets
  if signal ~= "PAUSE" then return io.popen(("kill -%s %d"):format(signal, pid)):close() end -- os.execute has SIGINT ignored
  while here do
    if not told then print "here" end
    told = true
  end
end

sq.manual_seed(1)
sq.set_num_threads(1)
local model = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Dropout(0.25), nn.Linear(12, 3))
local opt = sq.optim.Adam(model:parameters(), {lr = 0.01})
local schedule = sq.optim.lr_scheduler.CosineAnnealingLR(opt, steps)
local set = sq.data.TensorDataset(sq.randn(50, 6), sq.randint(0, 3, {50}))
local loader = sq.data.DataLoader(set, {batch_size = 8, shuffle = true, generator = sq.Generator(2)})
local log = sq.Log(out)

local parts = {model = model, opt = opt, schedule = schedule, loader = loader, log = log}
local checkpoint <close> = sq.Checkpoint(out, {keep = 2, every = every})
local step = checkpoint:resume(parts) or 0
io.stderr:write("from ", step, "\n")
if signal == "KILL" then os.execute(("(sleep %g; kill -9 %d) >/dev/null 2>&1 &"):format(when, pid)) end

while step < steps do
  for x, y in loader:epoch() do
    step = step + 1
    local loss = nn.functional.cross_entropy(model(x), y)
    opt:zero_grad()
    loss:backward()
    middle_of(step)
    opt:step()
    schedule:step()
    log:write(step, {loss = loss:item(), lr = opt.lr})
    checkpoint:step(step, parts)
    if step == steps then break end
  end
end

local state = {default = sq.default_generator:state_dict()}
for name, part in pairs(parts) do state[name] = part ~= log and part:state_dict() or nil end
sq.save(sq.fs.join(out, "final.safetensors"), state)

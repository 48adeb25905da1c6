-- gan.lua: can two networks that play against each other learn to draw digits?
--
-- The generator G makes pictures out of noise, the discriminator D tells them from real ones, and each learns from the
-- other: min_G max_D E log D(x) + E log(1 - D(G(z))), z ~ N(0, I) in R^100. Goodfellow et al., 2014, arXiv:1406.2661.
-- Expected: noise at the first batch, blots that look like digits after one epoch, digits that people read after ten.
-- D keeps the upper hand without winning: D(x) near 0.6, D(G(z)) near 0.4. Eight to twelve minutes on two cores:
--
--   seqrt scripts/gan.lua
--   seqrt scripts/gan.lua --dataset fashion --epochs 20 --out runs/fashion
--   seqrt scripts/gan.lua --resume                   go on after Ctrl-C, to the same bits
--   seqrt scripts/gan.lua --loss minimax             G's loss as the formula has it, not -log D(G(z))
--
-- In the folder: samples/ (5x5 grids of one fixed z), evolution.png, curves.png, metrics.jsonl, generator.safetensors.

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local sq = require "seqrt"
local models = require "models"
local nn, optim, data, plot, image = sq.nn, sq.optim, sq.data, sq.plot, sq.image
local bce = nn.functional.binary_cross_entropy

local options = sq.cli {
  dataset = {"mnist", choices = {"mnist", "fashion", "digits"}, help = "what to draw"},
  digits = {60000, min = 1, help = "how many drawn digits, where they are the data"},
  loss = {"non-saturating", choices = {"non-saturating", "minimax"}, help = "what G minimises"},
  batch = {64, min = 2, help = "pictures per step"},
  epochs = {50, min = 1, help = "times through the data"},
  lr = {2e-4, min = 0, help = "learning rate of Adam, for both"},
  beta1 = {0.5, min = 0, max = 0.999, help = "Adam's memory of the gradient; at 0.9, its usual value, D wins"},
  sample_every = {10, min = 1, help = "epochs between two grids"},
  seed = {0, help = "seed of weights, noise and the order of the data"},
  resume = {false, help = "go on from the newest checkpoint"},
  out = {"runs/gan", type = "folder", help = "folder of figures, checkpoints and the generator"},
  threads = {0, min = 0, help = "threads, 0: one per core"},
  dry_run = {false, help = "two steps only"},
}
if options.dry_run then options.digits = math.min(options.digits, 2 * options.batch) end
if options.threads > 0 then sq.set_num_threads(options.threads) end

local function path(name) return sq.fs.join(options.out, name) end

-- --- data, networks, optimizers ------------------------------------------------------------------

sq.manual_seed(options.seed)
local set, set_name = models.pictures(options.dataset, "train", options.digits)
options.dataset = set_name
if #set < options.batch then error(("--batch %d: there are %d pictures"):format(options.batch, #set), 0) end
local loader = data.DataLoader(set, {batch_size = options.batch, shuffle = true, drop_last = true})

local G, D = models.Generator(), models.Discriminator()
local adam = {lr = options.lr, betas = {options.beta1, 0.999}}
local opt_G, opt_D = optim.Adam(G:parameters(), adam), optim.Adam(D:parameters(), adam)
local fixed_z = sq.randn(25, models.LATENT)
local real, fake = sq.ones(options.batch, 1), sq.zeros(options.batch, 1)

print(models.layer_table("generator", G, sq.zeros(options.batch, models.LATENT)))
print(models.layer_table("discriminator", D, sq.zeros(options.batch, 1, 28, 28)))

-- --- one step of each ----------------------------------------------------------------------------

-- D's: -log D(x) - log(1 - D(G(z))). Returns the loss and the means of D(x) and D(G(z)).
local function step_D(x, pictures)
  local p_real, p_fake = D(x), D(pictures:detach())
  local loss = bce(p_real, real) + bce(p_fake, fake)
  opt_D:zero_grad()
  loss:backward()
  opt_D:step()
  return loss:item(), p_real:mean():item(), p_fake:mean():item()
end

-- G's: -log D(G(z)), which is steep where D wins; or log(1 - D(G(z))). D only passes the gradient on.
local function step_G(pictures)
  D:requires_grad_(false)
  local p = D(pictures)
  local loss = options.loss == "minimax" and -bce(p, fake) or bce(p, real)
  opt_G:zero_grad()
  loss:backward()
  opt_G:step()
  D:requires_grad_(true)
  return loss:item()
end

-- --- what is kept --------------------------------------------------------------------------------

local per_epoch = #loader
local total = options.dry_run and 2 or options.epochs * per_epoch
local middle = math.max(1, total // 2)
local CURVES = {"loss_D", "loss_G", "D_x", "D_Gz"}
local history = sq.zeros(total, #CURVES) -- a row per step
local grids = {} -- first, middle, last: {step, 5x5 pictures as bytes}
local step = 0

local log = sq.Log(options.out)
local checkpoint <close> = sq.Checkpoint(path "checkpoints", {every = math.min(per_epoch, total)})
local asked = {} -- what a resumed run must have in common with the one before
for _, name in ipairs {"dataset", "batch", "lr", "beta1", "loss", "seed"} do asked[name] = options[name] end
local trained = {G = G, D = D, opt_G = opt_G, opt_D = opt_D, loader = loader, log = log}
local parts = {history = history, grids = grids, fixed_z = fixed_z, asked = asked}
for name, object in pairs(trained) do parts[name] = object end

local function resume()
  local found, kept = checkpoint:resume(trained)
  if not found then return print "no checkpoint yet: from the beginning" end
  for name, value in pairs(asked) do
    if kept.asked[name] ~= value then
      error(("--%s was %s in %s and is %s now"):format(name, kept.asked[name], options.out, value), 0)
    end
  end
  if found > total then error(("%s has %d steps, more than the %d asked for"):format(options.out, found, total), 0) end
  step = found
  fixed_z:copy_(kept.fixed_z)
  history[{{1, step}}] = kept.history[{{1, step}}]
  for name, grid in pairs(kept.grids) do grids[name] = grid end
  print(("going on after step %d of %d"):format(step, total))
end

-- --- what is seen --------------------------------------------------------------------------------

sq.fs.mkdir_p(path "samples")
local function sample(name)
  local _ <close> = sq.no_grad()
  local pictures = G:eval()(fixed_z)
  G:train()
  local grid = image.make_grid(pictures, {nrow = 5, normalize = true, value_range = {-1, 1}})
  image.save(path("samples/" .. name .. ".png"), grid)
  return {step = step, picture = grid:mul(255):round():to "uint8"}
end

-- The means of the steps from..to, by name.
local function means(from, to)
  local row, out = history[{{from, to}}]:mean(1), {}
  for i, name in ipairs(CURVES) do out[name] = row[i] end
  return out
end

-- Each curve as the means of 200 stretches at most, over epochs.
local function draw_curves()
  local x, y = {}, {loss_D = {}, loss_G = {}, D_x = {}, D_Gz = {}}
  local stretch = math.max(1, total // 200)
  for to = stretch, total, stretch do
    x[#x + 1] = to / per_epoch
    for name, value in pairs(means(to - stretch + 1, to)) do table.insert(y[name], value) end
  end
  local fig = plot.figure {cols = 2, title = "GAN on " .. options.dataset}
  fig:axes(1, 1):line(x, y.loss_D, {label = "D"}):line(x, y.loss_G, {label = "G"})
    :set {xlabel = "epoch", ylabel = "loss"}:legend()
  fig:axes(1, 2):line(x, y.D_x, {label = "D(x)"}):line(x, y.D_Gz, {label = "D(G(z))"})
    :set {xlabel = "epoch", ylabel = "probability of being real", ylim = {0, 1}}:legend()
  fig:save(path "curves.png")
end

local function draw_evolution()
  local fig = plot.figure {cols = 3}
  for i, name in ipairs {"first", "middle", "last"} do
    local epoch = ("epoch %.3g"):format(grids[name].step / per_epoch)
    fig:axes(1, i):image(grids[name].picture:float() / 255):set {title = name == "first" and "first batch" or epoch}
  end
  fig:save(path "evolution.png")
end

-- --- the game ------------------------------------------------------------------------------------

local function after_step()
  if step == 1 then grids.first = sample "first" end
  if step == middle or step > middle and not grids.middle then grids.middle = sample "middle" end
  if step == total then grids.last = sample "last" end
  if step % per_epoch ~= 0 and step ~= total then return end
  local epoch = (step + per_epoch - 1) // per_epoch
  if epoch % options.sample_every == 0 then sample(("epoch-%03d"):format(epoch)) end
  log:write(step, means(math.max(1, step - per_epoch + 1), step))
end

if options.resume then resume() end
local bar = sq.progress(total, {desc = "GAN", initial = step})
while step < total do
  for x in loader:epoch() do
    local pictures = G(sq.randn(options.batch, models.LATENT))
    local loss_D, D_x, D_Gz = step_D(x, pictures)
    local loss_G = step_G(pictures)
    step = step + 1
    history[step] = sq.tensor {loss_D, loss_G, D_x, D_Gz}
    after_step()
    bar:set_postfix {D = loss_D, G = loss_G, ["D(x)"] = D_x, ["D(G(z))"] = D_Gz}
    bar:update()
    checkpoint:step(step, parts) -- leaves here, with this step saved, when Ctrl-C or SIGTERM came during it
    if step == total then break end
  end
end
bar:close()

draw_curves()
draw_evolution()
models.save(path "generator.safetensors", G, "generator", set_name)
local last = means(math.max(1, total - per_epoch + 1), total)
print(("last epoch: loss of D %.4f, of G %.4f, D(x) %.4f, D(G(z)) %.4f"):format(last.loss_D, last.loss_G, last.D_x, last.D_Gz))
for _, name in ipairs {"evolution.png", "curves.png", "generator.safetensors"} do print(path(name)) end

-- interpolate.lua: is there a way from a 6 to an 8 on which every picture is a digit?
--
-- A trained generator G draws G(z) for points z' = (1-a) z1 + a z2 between two random ones (slerp: on the arc between
-- them). Expected: one digit turns into the other through shapes that look written, in steps of about the same size; a
-- generator that has learnt its pictures by heart would stay, then jump. Takes a second:
--
--   seqrt scripts/gan.lua                                trains G
--   seqrt scripts/interpolate.lua --seed 3
--   seqrt scripts/interpolate.lua --from 6 --to 8 --rows 5
--   seqrt scripts/interpolate.lua --steps 40 --mode slerp --rows 8
--
-- --from and --to need the classifier of scripts/classify.lua: it looks through random pictures for these classes.

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local sq = require "seqrt"
local models = require "models"
local image = sq.image

local options = sq.cli {
  generator = {"runs/gan/generator.safetensors", help = "the weights of G"},
  classifier = {type = "string", help = "of --from and --to (default: in runs/classify/, of the set G was trained on)"},
  from = {type = "integer", min = 0, max = 9, help = "class of the first picture; without it any"},
  to = {type = "integer", min = 0, max = 9, help = "class of the last picture; without it any"},
  steps = {7, min = 1, help = "pictures between the two ends"},
  rows = {1, min = 1, max = 100, help = "how many ways"},
  mode = {"lerp", choices = {"lerp", "slerp"}, help = "straight, or on the arc"},
  scale = {2, min = 1, max = 16, help = "width of a pixel in the picture"},
  seed = {0, help = "seed of the noise"},
  out = {"runs/interpolate", type = "folder", help = "folder of the picture"},
  threads = {0, min = 0, help = "threads, 0: one per core"},
  dry_run = {false, help = "with untrained networks"},
}
if options.threads > 0 then sq.set_num_threads(options.threads) end

-- --- networks --------------------------------------------------------------------------------------------

-- The network of a file, or as it is made when dry; and the name of its set.
local function load(file, make, kind, script)
  if options.dry_run then return make():eval(), "digits" end
  if not sq.fs.exists(file) then error(("there is no %s: seqrt scripts/%s makes one"):format(file, script), 0) end
  return models.load(file, make(), kind)
end

local _ <close> = sq.no_grad()
local G, set_name = load(options.generator, models.Generator, "generator", "gan.lua")
local C
if options.from or options.to then
  local file = options.classifier or ("runs/classify/%s/classifier.safetensors"):format(set_name)
  C = load(file, models.Classifier, "classifier", "classify.lua --dataset " .. set_name)
end

-- --- the ends --------------------------------------------------------------------------------------------

local SURE, TRIED = 0.99, 5000

-- Noise (rows,100): any, or the first whose pictures the classifier takes for that class with SURE probability.
local function ends(class)
  if not class then return sq.randn(options.rows, models.LATENT) end
  local z = sq.randn(TRIED, models.LATENT)
  local found = C(G(z)):softmax(-1)[{{}, class + 1}]:ge(options.dry_run and 0 or SURE):nonzero():flatten()
  if #found < options.rows then
    error(("%d of %d pictures are surely a %d, --rows %d needs more"):format(#found, TRIED, class, options.rows), 0)
  end
  return z:index_select(1, found[{{1, options.rows}}])
end

sq.manual_seed(options.seed)
local from, to = ends(options.from), ends(options.to)

-- --- the ways --------------------------------------------------------------------------------------------

local count = options.steps + 2
local a = sq.linspace(0, 1, count):unsqueeze(2)

-- Noise (count,100) from z1 to z2. On the arc: sin((1-a) w) / sin w z1 + sin(a w) / sin w z2, w the angle between them.
local function way(z1, z2)
  if options.mode == "lerp" then return (1 - a) * z1 + a * z2 end
  local cosine = z1:dot(z2) / (z1:norm() * z2:norm())
  local w = math.acos(math.max(-1, math.min(1, cosine:item())))
  if math.sin(w) < 1e-6 then return (1 - a) * z1 + a * z2 end
  return ((1 - a) * w):sin() / math.sin(w) * z1 + (a * w):sin() / math.sin(w) * z2
end

-- How far it is from each picture to the next, as parts of the distance from the first to the last; and that distance.
local function paces(pictures)
  local x = pictures:flatten(2)
  local whole = (x[-1] - x[1]):norm():item()
  return ((x[{{2, -1}}] - x[{{1, -2}}]):norm(2, 2) / whole):tolist(), whole
end

-- Each pixel as a square of options.scale.
local function enlarged(x)
  local k = options.scale
  local B, Y, X = x:size(1), x:size(3), x:size(4)
  return x:unsqueeze(4):unsqueeze(6):expand(B, 1, Y, k, X, k):reshape(B, 1, Y * k, X * k)
end

print(("steps of %d ways (%s) from %s to %s, as parts of the distance between the ends:\n"):format(options.rows,
  options.mode, options.from or "any", options.to or "any"))
print "row  distance  largest/mean  steps"
local strips, worst = {}, 0
for row = 1, options.rows do
  local pictures = G(way(from[row], to[row]))
  local parts, whole = paces(pictures)
  local largest, sum, words = 0, 0, {}
  for i, part in ipairs(parts) do
    largest, sum, words[i] = math.max(largest, part), sum + part, ("%.2f"):format(part)
  end
  local uneven = largest / (sum / #parts)
  strips[row], worst = enlarged(pictures), math.max(worst, uneven)
  print(("%3d  %8.2f  %12.2f  %s"):format(row, whole, uneven, table.concat(words, " ")))
end
print(("\nlargest/mean is 1 on an even way and %d for one jump; here it is at most %.2f"):format(options.steps + 1, worst))

local file = sq.fs.join(options.out, "interpolation.png")
image.save_grid(file, sq.cat(strips), {nrow = count, padding = 2 * options.scale, normalize = true, value_range = {-1, 1}})
print(file)

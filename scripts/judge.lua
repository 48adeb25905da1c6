-- judge.lua: how good are a generator's pictures? A classifier that learned the real ones looks at 10,000 of them.
--
-- It counts how often each class is drawn, and measures how sure the classifier is; the inception-style score
-- exp(mean KL(p(class | picture) || p(class))), 1 when all pictures look alike and 10 when ten classes are drawn clearly
-- and equally often; and the distance from each picture to the nearest training picture: far below the distance of real
-- test pictures, the generator has learned by heart. Expected of `make gan` after 50 epochs on MNIST: every class has
-- at least 3 % of the pictures, mean confidence at least 0.85. Half a minute, and another where the classifier is to train.
--
--   seqrt scripts/judge.lua --generator runs/gan/generator.safetensors

package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local sq = require "seqrt"
local models = require "models"

local options = sq.cli {
  generator = {"runs/gan/generator.safetensors", help = "weights that gan.lua saved"},
  classifier = {type = "string", help = "weights that classify.lua saved (default: in runs/classify/, trained if missing)"},
  dataset = {type = "string", choices = {"mnist", "fashion", "digits"},
    help = "pictures the generator has learned from (default: as its file says)"},
  samples = {10000, min = 1, help = "pictures to draw"},
  seed = {0, help = "seed of the noise"},
  out = {"runs/judge", type = "folder", help = "folder of judge.json"},
  threads = {0, min = 0, help = "threads, 0: one per core"},
  dry_run = {false, help = "100 pictures, against 1,000 training pictures"},
}
if options.dry_run then options.samples = math.min(options.samples, 100) end
if options.threads > 0 then sq.set_num_threads(options.threads) end

if not sq.fs.exists(options.generator) then
  error(options.generator .. " is not there: `make gan` trains a generator, --generator names another", 0)
end
local generator, learned = models.load(options.generator, models.Generator(), "generator")
local train, name = models.pictures(options.dataset or learned or "mnist", "train")
local test = models.pictures(name, "test")
local classifier = models.judge(name, options.classifier, options.dry_run and options.out)
local _ <close> = sq.no_grad()

-- --- what the classifier says ---------------------------------------------------------------------------

sq.manual_seed(options.seed)
local pictures, logits = {}, {}
for first = 1, options.samples, 500 do
  local z = sq.randn(math.min(500, options.samples - first + 1), models.LATENT)
  local drawn = generator(z)
  pictures[#pictures + 1] = drawn:reshape(-1, 784)
  logits[#logits + 1] = classifier(drawn)
end
pictures = sq.cat(pictures)
local log_p = sq.cat(logits):double():log_softmax(-1)
local p = log_p:exp()
local confidence, class = p:max(-1)
local counts = sq.one_hot(class, 10):sum(1):tolist()
local mean = p:mean(1)
local score = math.exp(((p * log_p):sum(-1):mean() - (mean * mean:clamp(1e-300):log()):sum()):item())

-- --- nearest training pictures ---------------------------------------------------------------------------

-- For each row of x (n,784) the Euclidean distance to the nearest training picture; pixels count -1..1.
-- |a - b|^2 = |a|^2 - 2 a.b + |b|^2, a few thousand pictures at a time: the products stay below 50 MB.
local function nearest(x)
  local total = options.dry_run and 1000 or #train
  local x2, best = x:square():sum(2, true), nil
  for first = 0, total - 1, 5000 do
    local t = train:batch(nil, first, math.min(5000, total - first)):reshape(-1, 784)
    local t2 = t:square():sum(2):unsqueeze(1)
    local parts = {}
    for i = 1, x:size(1), 2000 do
      local rows = {i, math.min(i + 1999, x:size(1))}
      parts[#parts + 1] = (x2[{rows}] - x[{rows}]:matmul(t:t()) * 2 + t2):min(2)
    end
    local distance = sq.cat(parts)
    best = best and best:minimum(distance) or distance
  end
  return best:clamp(0):sqrt()
end

local distance = nearest(pictures)
local real = nearest((test:batch(nil, 0, math.min(options.samples, 1000)):reshape(-1, 784)))

-- --- report -----------------------------------------------------------------------------------------------

local least = math.huge
print(("%s: %d pictures of %s"):format(options.generator, options.samples, name))
print(("\n%-12s %8s %7s"):format("class", "pictures", "share"))
for i, count in ipairs(counts) do
  least = math.min(least, count / options.samples)
  print(("%-12s %8d %6.2f%%"):format(train.classes[i], count, 100 * count / options.samples))
end
local rows = {
  {"least_share", least, "share of the rarest class"},
  {"confidence", confidence:mean():item(), "mean confidence of the classifier"},
  {"score", score, "inception-style score, 1 to 10"},
  {"nearest", distance:mean():item(), "mean distance to the nearest training picture"},
  {"nearest_min", distance:min():item(), "the smallest of these distances"},
  {"nearest_real", real:mean():item(), "mean distance of real test pictures"},
}
local fields = {('"dataset": "%s", "samples": %d, "seed": %d'):format(name, options.samples, options.seed),
  ('"histogram": [%s]'):format(table.concat(counts, ", "))}
print()
for _, row in ipairs(rows) do
  print(("%-46s %8.4f"):format(row[3], row[2]))
  fields[#fields + 1] = ('"%s": %.6g'):format(row[1], row[2])
end
local path = sq.fs.join(options.out, "judge.json")
local file = assert(io.open(path, "w"))
assert(file:write("{", table.concat(fields, ",\n "), "}\n"))
assert(file:close())
print("\n" .. path)

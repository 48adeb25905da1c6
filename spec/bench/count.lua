-- count.lua: instructions of a training step, counted by callgrind on one thread with AVX2: no load and no other processor
-- changes them, so that a slow-down of some percent shows anywhere. instructions_spec.lua holds them against counts.lua,
-- which `make counts` writes.
--
-- Models are small, for valgrind computes fused multiply-adds one by one. Each step is a part of callgrind's profile; the
-- count is the median of the last four of seven, since a collection falls into some. Runs differ
-- by less than 0.2 %, most of it by the hashes that Lua gives its strings anew each time.
local sq = require "seqrt"
local support = require "spec.lib.support"

local count = {
  models = {
    lstm = "T=8 B=16 H=64", written_out = "T=8 B=16 H=64", gan = "B=8 H=32", mlp = "B=64 H=64", convnet = "B=4 f=8",
  },
  file = "spec/bench/counts.lua",
}

local STEPS, FIRST = 7, 4

-- What counts depend on besides the sources: the compiler and Lua.
function count.build()
  local info = sq.info()
  return info.compiler .. ", " .. info.lua
end

-- Why nothing can be counted here; nil where it can.
function count.obstacle()
  if support.seqrt:find "build/[^/]+/" then return "the ordinary build is counted" end
  if not os.execute "command -v valgrind >/dev/null" then return "valgrind is not installed" end
  if support.run({"-e", ""}, {env = {SEQRT_ISA = "avx2"}}) ~= "" then return "this processor has no AVX2" end
end

-- The profile of each of so many steps of a model, as callgrind's text.
function count.profiles(key, sizes, steps, threads)
  local dir = support.tmpdir()
  local valgrind = "valgrind -q --tool=callgrind --dump-before=get_num_threads --callgrind-out-file=" .. dir .. "/part"
  local program = support.quote(support.seqrt) .. " spec/bench/counted.lua"
  local _, err, status = support.shell(("%s %s %s %d %s"):format(valgrind, program, key, steps, sizes),
    {env = {SEQRT_ISA = "avx2", SEQRT_THREADS = threads, SEQRT_PORTABLE = ""}})
  assert(status == 0, err)
  local parts = {}
  for step = 1, steps do parts[step] = support.read(("%s/part.%d"):format(dir, step + 1)) end -- the first is the start
  return parts
end

local function median(list)
  table.sort(list)
  return list[(#list + 1) // 2]
end

-- Instructions of a step of a model; sizes and threads are those that are recorded unless given.
function count.of(key, sizes, threads)
  local steps = {}
  for step, profile in ipairs(count.profiles(key, sizes or count.models[key], STEPS, threads or 1)) do
    if step >= FIRST then steps[#steps + 1] = math.tointeger(profile:match "\ntotals: (%d+)") end
  end
  return median(steps)
end

local POOL = {sq_pool_run = true, run_helper = true, take_tiles = true, leave_job = true, wait_for_job = true} -- of pool.c

-- The tiles that the pool ran, by the name of what runs one: {calls =, instructions =}. A name stands in a profile once,
-- with a number that stands for it from then on; the line after a call has what was executed in it; `cob` comes before a
-- call into another library.
function count.tiles(profile)
  local names, tiles, from, to, times, foreign = {}, {}, nil, nil, nil, false
  for line in profile:gmatch "[^\n]+" do
    local kind, id, text = line:match "^(c?%a+)=(%(%d+%)) ?(.*)$"
    if kind == "fn" or kind == "cfn" then
      if text ~= "" then names[id] = text end
      if kind == "fn" then from = names[id] else to = names[id] end
    elseif kind == "cob" then
      foreign = true
    elseif times then
      if POOL[from] and not POOL[to] and not foreign then
        local tile = tiles[to] or {calls = 0, instructions = 0}
        tile.calls, tile.instructions = tile.calls + times, tile.instructions + math.tointeger(line:match "%d+$")
        tiles[to] = tile
      end
      times, foreign = nil, false
    else
      times = math.tointeger(line:match "^calls=(%d+)")
    end
  end
  return tiles
end

local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

-- Counts all models and writes the file anew, with what other builds counted before.
function count.record()
  local obstacle = count.obstacle()
  assert(not obstacle, obstacle)
  local builds = dofile(count.file)
  builds[count.build()] = {}
  for _, key in ipairs(sorted_keys(count.models)) do
    builds[count.build()][key] = count.of(key)
    print(key, builds[count.build()][key])
  end
  local out = {"-- counts.lua: instructions of a training step by compiler and Lua; `make counts` wrote them, see count.lua.\n",
    "return {\n"}
  for _, build in ipairs(sorted_keys(builds)) do
    out[#out + 1] = ("  [%q] = {\n"):format(build)
    for _, key in ipairs(sorted_keys(builds[build])) do
      out[#out + 1] = ("    %s = %d,\n"):format(key, builds[build][key])
    end
    out[#out + 1] = "  },\n"
  end
  out[#out + 1] = "}\n"
  support.write(count.file, table.concat(out))
end

return count

-- parallel_spec.lua: the pool of threads: every tile once, whatever the number of threads, from job to job.

local sq = require "seqrt"
local support = require "spec.lib.support"

describe("the pool", function()
  local threads = sq.get_num_threads()
  after_each(function() sq.set_num_threads(threads) end)

  it("runs every tile once, the number of threads changing from job to job", function()
    local x = sq.arange(100000, {dtype = "float64"})
    local want = x:square():sum():item()
    for job = 1, 2000 do
      sq.set_num_threads(1 + job % 8)
      local got = x:square():sum():item()
      if got ~= want then error(("job %d with %d threads: %.17g, not %.17g"):format(job, 1 + job % 8, got, want)) end
    end
  end)

  it("serves more threads than there are cores", function()
    local x = sq.arange(300000, {dtype = "float64"})
    sq.set_num_threads(1)
    local want = x:exp():tolist()
    sq.set_num_threads(64)
    for _ = 1, 20 do assert.are.same(want, x:exp():tolist()) end
  end)

  it("wakes its threads after they slept", function()
    sq.set_num_threads(4)
    local x = sq.ones(200000)
    for _ = 1, 20 do
      local till = sq.clock() + 0.002
      while sq.clock() < till do end -- longer than a helper stays awake
      assert.are.equal(400000, (x + x):sum():item())
    end
  end)

  it("takes the number of threads from the environment", function()
    for _, name in ipairs {"SEQRT_THREADS", "OMP_NUM_THREADS"} do
      local env = {SEQRT_THREADS = "", OMP_NUM_THREADS = ""} -- whatever the suite itself runs with
      env[name] = 3
      local out = support.run({"-e", "io.write(require'seqrt'.get_num_threads())"}, {env = env})
      assert.are.equal("3", out)
    end
  end)
end)

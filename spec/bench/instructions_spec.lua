-- instructions_spec.lua: a training step executes as many instructions as when they were last recorded (counts.lua), so that
-- a slow-down is seen on a machine of any speed and load; and what threads share is worth waking one.
local count = require "spec.bench.count"
local recorded = dofile(count.file)

local WITHIN = 0.03
local WORTH = 20000 -- instructions of two tiles, the least that threads share: some ten times what waking one takes

describe("a training step #long", function()
  local obstacle = count.obstacle()
  local counts = recorded[count.build()]

  for key in pairs(count.models) do
    it("executes as many instructions as recorded: " .. key, function()
      if obstacle then return pending(obstacle) end
      if not counts then return pending("`make counts` has recorded none for " .. count.build()) end
      local now, before = count.of(key), counts[key]
      local more = now / before - 1
      assert(math.abs(more) <= WITHIN, ("%s: a step executes %d instructions, %+.1f %% of the %d recorded. Which change "
        .. "made it so (or CFLAGS)? Where it is meant, `make counts` records them anew"):format(key, now, 100 * more, before))
    end)
  end

  -- Two threads are then never slower than one, for the owner of a job waits for no helper that does not run (pool.c).
  it("shares jobs that are worth waking a thread, and no others", function()
    if obstacle then return pending(obstacle) end
    assert.is_nil(next(count.tiles(count.profiles("written_out", "T=8 B=16 H=32", 2, 2)[2])))
    local profile = count.profiles("written_out", "T=1 B=128 H=128", 2, 2)[2]
    local kinds = 0
    for name, tile in pairs(count.tiles(profile)) do
      kinds = kinds + 1
      local job = 2 * tile.instructions // tile.calls
      assert(job >= WORTH, ("two tiles of %s are %d instructions: waking a thread takes as long"):format(name, job))
    end
    assert(kinds >= 3, "products, elementwise work and the optimizer are shared")
  end)
end)

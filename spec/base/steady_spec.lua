-- steady_spec.lua: a steady training step asks the system for no memory: what a step frees the next one uses. Each model has
-- a process of its own: what others needed before is forgotten, and goes back, while it trains.
local support = require "spec.lib.support"

-- What Lua has not collected yet grows for some steps before it is: the first ones go through several collections.
local WARM, STEPS = 60, 20

local SIZES = {mlp = "B=128 H=512", lstm = "T=20 B=64 H=128", convnet = "B=32 f=16", gpt = "T=64 B=8 H=64",
  written_out = "T=10 B=128 H=128"}

describe("a steady step #long", function()
  for name, sizes in pairs(SIZES) do
    it("asks the system for no memory: " .. name, function()
      local out, err, status = support.run(("spec/lib/steady.lua %s %d %d %s"):format(name, WARM, STEPS, sizes))
      assert.equal(0, status, err)
      assert.equal("0\n", out)
    end)
  end
end)

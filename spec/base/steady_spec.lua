-- steady_spec.lua: a steady training step asks the system for no memory: what a step frees the next one uses. Each model has
-- a process of its own: what others needed before is forgotten, and goes back, while it trains.
local support = require "spec.lib.support"

-- What Lua has not collected yet grows for some steps before it is: the first ones go through several collections.
local WARM, STEPS = 60, 20

describe("a steady step #long", function()
  for _, name in ipairs {"perceptron", "recurrent", "convolutional", "attentive", "written_out"} do
    it("asks the system for no memory: " .. name, function()
      local out, err, status = support.run {"spec/lib/steady.lua", name, tostring(WARM), tostring(STEPS)}
      assert.equal(0, status, err)
      assert.equal("0\n", out)
    end)
  end
end)

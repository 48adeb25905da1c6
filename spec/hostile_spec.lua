-- hostile_spec.lua: nothing a script does crashes the process.
local support = require "spec.support"

describe("the process", function()
  for seed = 1, 4 do
    it("survives 5,000 random calls of everything, seed " .. seed, function()
      local out, err, status = support.shell(("%s spec/hostile.lua %d 5000"):format(support.seqrt, seed))
      assert.equal("", err)
      assert.equal("done", out:match "[^\n]*\n$":gsub("\n", ""))
      assert.equal(0, status)
    end)
  end
end)

-- hostile_spec.lua: nothing a script does crashes the process.
local support = require "spec.lib.support"

-- Run in a folder of their own: some of everything writes files.
describe("the process", function()
  for seed = 1, 4 do
    it("survives 5,000 random calls of everything, seed " .. seed, function()
      local here = support.cwd()
      local program = support.seqrt:sub(1, 1) == "/" and support.seqrt or here .. "/" .. support.seqrt
      local line = ("%s %s %d 5000"):format(support.quote(program), support.quote(here .. "/spec/bind/hostile.lua"), seed)
      local out, err, status = support.shell(line, {cwd = support.tmpdir(), env = {SEQRT_PROGRESS = "0"}})
      assert.equal("", (err:gsub("[^\n]*: warning: [^\n]*\n", ""))) -- a call may warn: which are made is chance
      assert.equal("done", out:match "[^\n]*\n$":gsub("\n", ""))
      assert.equal(0, status)
    end)
  end
end)

-- bits_spec.lua: 200 steps of each experiment give the same bits by every instruction set with FMA and any number of threads.
local support = require "spec.lib.support"

local RUNS = {
  ["palindrome.lua"] = {"--T", "8", "--steps", "200", "--jobs", "0", "--test", "100", "--cell", "rnn,lstm,scratch"},
  ["gan.lua"] = {"--dataset", "digits", "--digits", "12800", "--epochs", "1"},
  ["classify.lua"] = {"--dataset", "digits", "--epochs", "1", "--steps", "200"},
}

local function supported(isa)
  local _, _, status = support.run({"-e", "require 'seqrt'"}, {env = {SEQRT_ISA = isa}})
  return status == 0
end

-- What a run leaves of its training: every loss to its last bit, without the time; the weights where it saves them.
local function bits_of(script, arguments, isa, threads)
  local out = support.tmpdir()
  local words = {"scripts/" .. script, "--out", out, table.unpack(arguments)}
  local _, err, status = support.run(words, {env = {SEQRT_ISA = isa, SEQRT_THREADS = threads}})
  assert.equal(0, status, err)
  local list = support.shell("find . -name metrics.jsonl -o -name '*or.safetensors' -o -name '*er.safetensors'", {cwd = out})
  local names, found = {}, {}
  for name in list:gmatch "[^\n]+" do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    found[#found + 1] = name .. "\n" .. support.read(out .. "/" .. name):gsub('"time":[%d.e+-]+', "")
  end
  return table.concat(found, "\n")
end

describe("an experiment #long", function()
  for script, arguments in pairs(RUNS) do
    it("has the same bits by every instruction set, with 1 thread and 4: " .. script, function()
      local first
      for _, isa in ipairs {"avx2", "avx512"} do
        for _, threads in ipairs(supported(isa) and {1, 4} or {}) do
          local bits = bits_of(script, arguments, isa, threads)
          assert.is_true(#bits > 10000, #bits .. " bytes are too little to compare")
          first = first or bits
          assert.is_true(bits == first, ("%s with %d threads differs"):format(isa, threads))
        end
      end
      if not supported "avx512" then pending "this processor has no avx512: threads alone were compared" end
    end)
  end
end)

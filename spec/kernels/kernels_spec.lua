-- kernels_spec.lua: runs kernels_test, which checks every kernel of every ISA and type against plain loops.
local support = require "spec.lib.support"

local program = support.seqrt:gsub("[^/]*$", "") .. "kernels_test"

-- Exit status and all output.
local function run(environment, arguments)
  local command = ("%s %s %s 2>&1; echo status $?"):format(environment, support.quote(program), arguments)
  local pipe = assert(io.popen(command))
  local text = pipe:read "a"
  pipe:close()
  return tonumber(text:match "status (%d+)%s*$"), text
end

-- The program says how much it has checked: a run that checked nothing is no proof.
local function assert_sound(least, environment, arguments)
  local status, text = run(environment, arguments)
  local checks, failures = text:match "(%d+) checks, (%d+) failures"
  assert(status == 0 and failures == "0", text)
  assert(tonumber(checks) >= least, text)
end

local function supported(isa) return run("SEQRT_ISA=" .. isa, "--isa") == 0 end

describe("kernels", function()
  for _, isa in ipairs {"base", "avx2", "avx512"} do
    it("agree with plain loops; products with the BLAS kernels of " .. isa, function()
      if not supported(isa) then return pending("this processor has no " .. isa) end
      assert_sound(5000000, "env -u OPENBLAS_CORETYPE SEQRT_ISA=" .. isa, "")
    end)
  end

  it("name the ISA they do not know", function()
    local status, text = run("SEQRT_ISA=sse9", "")
    assert.equal(1, status)
    assert.truthy(text:find('SEQRT_ISA is "sse9": it must be base, avx2 or avx512', 1, true), text)
  end)

  it("are within 2 ULP for all floats #slow", function()
    assert_sound(10, "", "--exhaustive")
  end)
end)

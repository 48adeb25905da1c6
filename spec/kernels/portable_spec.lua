-- portable_spec.lua: which products the BLAS has a part in: large ones, and none with --portable or SEQRT_PORTABLE.
local support = require "spec.lib.support"

-- What the BLAS is called after a product of n x n, and the bits of the product.
local function product(n, options, env)
  local script = ([[
    local sq = require "seqrt"
    sq.manual_seed(0)
    local y = sq.randn(%d, %d):matmul(sq.randn(%d, %d))
    print(sq.info().blas)
    print(string.format("%%a", y:double():sum():item()))
  ]]):format(n, n, n, n)
  local arguments = {table.unpack(options)}
  arguments[#arguments + 1], arguments[#arguments + 2] = "-e", script
  local out, err, code = support.run(arguments, {env = env})
  assert.equal(0, code, err)
  return out:match "^([^\n]*)\n([^\n]*)\n$"
end

local NONE = "not loaded yet"

describe("a product", function()
  it("goes to the BLAS where no side is short", function()
    assert.equal(NONE, (product(10, {})))
    assert.not_equal(NONE, (product(520, {})))
  end)

  it("goes to none where that is asked for", function()
    local blas, bits = product(520, {"--portable"})
    assert.equal(NONE, blas)
    local other, same = product(520, {}, {SEQRT_PORTABLE = "1"})
    assert.equal(NONE, other)
    assert.equal(bits, same)
    assert.not_equal(NONE, (product(520, {}, {SEQRT_PORTABLE = "0"})))
    assert.not_equal(NONE, (product(520, {}, {SEQRT_PORTABLE = ""})))
  end)
end)

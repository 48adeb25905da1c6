-- portable_spec.lua: which products the BLAS has a part in: large ones, and none with --portable or SEQRT_PORTABLE; and that
-- sq.info() and the record of a run say who multiplied.
local sq = require "seqrt"
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

local NONE = "not loaded"

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

describe("who multiplied", function()
  local OWN = "own panels (" .. sq.info().isa .. ")"

  -- Runs code with a log in a folder of its own; returns what the folder's record then says of its products.
  local function record_after(code, options, env)
    local dir = support.tmpdir()
    local arguments = {table.unpack(options or {})}
    for _, word in ipairs {"-e", ("sq = require 'seqrt' log = sq.Log %q "):format(dir) .. code} do
      arguments[#arguments + 1] = word
    end
    local _, err, status = support.run(arguments, {env = env})
    assert.equal(0, status, err)
    local record, facts = support.read(dir .. "/run.json"), {}
    for _, name in ipairs {"products", "blas", "isa"} do facts[name] = record:match('"' .. name .. '": "([^"]*)"') end
    return facts
  end

  local SMALL, LARGE = "sq.ones(10, 10):matmul(sq.ones(10, 10)) ", "sq.ones(520, 520):matmul(sq.ones(520, 520)) "

  it("is our own panels, and their instruction set, where the BLAS had no part", function()
    for _, isa in ipairs {"base", sq.info().isa} do
      local record = record_after(SMALL .. "log(1, {x = 1})", {}, {SEQRT_ISA = isa})
      assert.same({products = "own panels (" .. isa .. ")", blas = NONE, isa = isa}, record)
    end
    local record = record_after(LARGE .. "log(1, {x = 1})", {"--portable"})
    assert.same({OWN .. ", portable", NONE}, {record.products, record.blas})
  end)

  it("is the BLAS too from the product on that it had a part in, which the next line of the log notes", function()
    local record = record_after("log(1, {x = 1}) " .. LARGE .. "log(2, {x = 1})")
    assert.not_equal(NONE, record.blas)
    assert.equal(OWN .. ", large ones by " .. record.blas, record.products)
    assert.equal(OWN, record_after("log(1, {x = 1}) " .. LARGE).products)
  end)

  it("is told by sq.info() alike", function()
    local out = support.run {"-e", "sq = require 'seqrt' print(sq.info().products) " .. LARGE
      .. "print(sq.info().products == '" .. OWN .. ", large ones by ' .. sq.info().blas)"}
    assert.equal(OWN .. "\ntrue\n", out)
  end)
end)

-- new_op_spec.lua: `make new-op`: each place is a file of the tree and a line of it, and what is done is told from what is not.
local support = require "spec.lib.support"

local function new_op(name, family)
  return support.shell(("make -s --no-print-directory new-op NAME=%s FAMILY=%s"):format(name, family or ""),
    {env = {MAKEFLAGS = ""}})
end

local function count(text, pattern) return select(2, text:gsub(pattern, "")) end

describe("make new-op", function()
  it("names the places of an op that is not there, the line to add, and the first spec that fails", function()
    local out, err, code = new_op "no_such_op"
    assert.equal(0, code, err)
    local places = 0
    for path, line in out:gmatch "%d%. (%S+), after line (%d+): " do
      assert.is_true(support.exists(path), path)
      assert.is_true(tonumber(line) <= count(support.read(path), "\n"), path .. ":" .. line)
      places = places + 1
    end
    assert.equal(8, places)
    assert.truthy(out:find("runtime/autograd/op_elem.c, after line", 1, true))
    assert.truthy(out:find('OP(no_such_op, "(x: Tensor) -> Tensor"', 1, true))
    assert.matches("The first spec that fails: make build/kernels_test", out)
    assert.matches("The first spec that fails: .*op_gradcheck_spec%.lua", (new_op("no_such_op", "linear")))
  end)

  it("knows what is done", function()
    for name, family in pairs {exp = "elem", tanh = "act", layer_norm = "norm", linear = "linear"} do
      local out, err, code = new_op(name, family)
      assert.equal(0, code, err)
      assert.equal(0, count(out, "after line"), out)
      assert.matches("All places have it", out)
    end
  end)

  it("refuses what is no name, and lists the families", function()
    assert.matches("NAME is '': small letters", select(2, new_op ""))
    assert.matches("NAME is 'Atan'", select(2, new_op "Atan"))
    local _, err, code = new_op("exp", "none")
    assert.equal(2, code) -- make's
    assert.matches("there is no runtime/autograd/op_none%.c; FAMILY is one of elem act .*norm", err)
  end)
end)

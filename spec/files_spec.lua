-- files_spec.lua: what is saved comes back: state dicts, arrays, checkpoints; a broken file is an error with its name.
local sq = require "seqrt"
local support = require "spec.support"

describe("files", function()
  it("bring a state dict back, to the bit and to the byte", function()
    local dir = support.tmpdir()
    local a, b = sq.nn.LSTM(3, 4), sq.nn.LSTM(3, 4)
    assert.is_false(a.weight_ih_l0:equal(b.weight_ih_l0))
    sq.save(dir .. "/a.safetensors", a:state_dict())
    sq.save(dir .. "/b.safetensors", a:state_dict())
    b:load_state_dict(sq.load(dir .. "/a.safetensors"))
    for name, p in a:named_parameters() do assert.is_true(p:equal(b[name])) end
    assert.equal(support.read(dir .. "/a.safetensors"), support.read(dir .. "/b.safetensors"))
  end)

  it("bring arrays back", function()
    local path = support.tmpdir() .. "/x.npy"
    for _, dtype in ipairs { "float32", "float64", "int64", "uint8" } do
      local x = sq.arange(0, 6, { dtype = dtype }):reshape(2, 3)
      sq.npy.save(path, x)
      local y = sq.npy.load(path)
      assert.equal(dtype, y.dtype)
      assert.is_true(x:equal(y))
    end
  end)

  it("that are broken are errors with their names", function()
    local path = support.write(support.tmpdir() .. "/broken.safetensors", "\8\0\0\0\0\0\0\0[1,2,3]]")
    assert.error_matches(function() sq.load(path) end, "broken.safetensors")
    assert.error_matches(function() sq.load(path .. ".none") end, "broken.safetensors.none")
    assert.error_matches(function() sq.npy.load(path) end, "broken.safetensors")
  end)

  it("resume a training where a checkpoint left it, to the bit", function()
    sq.manual_seed(0)
    local m = sq.nn.LSTM(3, 4)
    local opt = sq.optim.Adam(m:parameters(), { lr = 0.01 })
    local function step()
      local y = m(sq.randn(5, 2, 3))
      opt:zero_grad()
      y:sum():backward()
      opt:step()
    end
    step()
    local parts = { model = m, opt = opt, generator = sq.default_generator }
    local checkpoint = sq.Checkpoint(support.tmpdir() .. "/run", { keep = 2 })
    checkpoint:save(1, parts)
    step()
    step()
    local weight = m.weight_ih_l0:detach():clone()
    assert.equal(1, (checkpoint:resume(parts)))
    assert.is_false(weight:equal(m.weight_ih_l0))
    step()
    step()
    assert.is_true(weight:equal(m.weight_ih_l0))
  end)
end)

-- padding_spec.lua: convolutions whose padding has a name, and numbers of conv1d that stand in a list.
local sq = require "seqrt"
local nn = sq.nn

local function fails(text, fn)
  local ok, got = pcall(fn)
  assert.is_false(ok)
  assert.equal(text, (got:gsub("^[^:]+:%d+: ", "")))
end

describe('padding = "same"', function()
  it("keeps an image's sizes, in the layers too", function()
    local x = sq.rand(2, 3, 7, 6)
    local layer = nn.Conv2d(3, 4, {4, 3}, {padding = "same", dilation = {1, 2}})
    assert.equal("(2,4,7,6)", tostring(layer(x).shape))
    assert.is_true(layer(x):equal(sq.conv2d(x, layer.weight, layer.bias, {padding = "same", dilation = {1, 2}})))
    assert.matches("padding=same", tostring(layer))
    local row = nn.Conv1d(3, 2, 5, {padding = "same"})
    assert.equal("(2,2,9)", tostring(row(sq.rand(2, 3, 9)).shape))
  end)

  it("is half of the kernel's reach where that is even", function()
    local layer, twin = nn.Conv1d(2, 2, 3, {padding = "same"}), nn.Conv1d(2, 2, 3, {padding = 1})
    twin:load_state_dict(layer:state_dict())
    local x = sq.rand(1, 2, 5)
    assert.is_true(layer(x):equal(twin(x)))
  end)

  it("needs a stride of 1", function()
    fails('[nn.Conv2d] padding "same" needs a stride of 1',
      function() nn.Conv2d(1, 1, 3, {padding = "same", stride = 2}) end)
    fails('[conv1d] padding "same" needs a stride of 1, got 2',
      function() sq.conv1d(sq.rand(1, 1, 5), sq.rand(1, 1, 3), nil, 2, "same") end)
  end)
end)

describe('padding = "valid"', function()
  it("is none", function()
    local x, w = sq.rand(1, 1, 5), sq.rand(1, 1, 3)
    assert.is_true(sq.conv1d(x, w, nil, 1, "valid"):equal(sq.conv1d(x, w)))
    assert.equal("(1,1,3,3)", tostring(nn.Conv2d(1, 1, 3, {padding = "valid"})(sq.rand(1, 1, 5, 5)).shape))
  end)

  it("and same are the only names", function()
    fails('[conv2d] padding is "full": it must be numbers, "same" or "valid"',
      function() sq.conv2d(sq.rand(1, 1, 5, 5), sq.rand(1, 1, 3, 3), nil, 1, "full") end)
  end)
end)

describe("conv1d", function()
  it("takes its numbers in lists of one", function()
    local x, w = sq.rand(1, 1, 9), sq.rand(1, 1, 3)
    assert.is_true(sq.conv1d(x, w, nil, {2}, {1}):equal(sq.conv1d(x, w, nil, 2, 1)))
    assert.equal("(1,1,4)", tostring(nn.Conv1d(1, 1, {3}, {stride = {2}})(x).shape))
    fails("[conv1d] stride: expected one number, got 2", function() sq.conv1d(x, w, nil, {2, 2}) end)
  end)
end)

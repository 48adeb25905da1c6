-- module_spec.lua: modules: names in PyTorch's order, sharing, train and eval, errors with the place in the model.
local sq = require "seqrt"
local support = require "spec.support"
local nn = sq.nn

local Net = nn.Module "Net"
function Net:init()
  self.head = nn.Linear(4, 2)
  self.scale = nn.Parameter(sq.ones(2))
  self:register_buffer("mean", sq.zeros(4))
end
function Net:forward(x) return self.head(x - self.mean) * self.scale end

local function names(model)
  local list = {}
  for name in model:named_parameters() do list[#list + 1] = name end
  return table.concat(list, " ")
end

describe("a module", function()
  it("names its own parameters before its children's, as PyTorch does", function()
    assert.equal("scale head.weight head.bias", names(Net()))
  end)

  it("prints its tree with counts", function()
    local text = tostring(Net())
    assert.matches("^Net%(", text)
    assert.matches("%(head%): Linear%(4 %-> 2%)  10", text)
    assert.matches("12 parameters$", text)
  end)

  it("says where in a model a layer failed", function()
    local model = Net()
    local ok, text = pcall(model.head, sq.zeros(3, 5))
    assert.is_false(ok)
    assert.is_truthy(text:find("x's last dim must be 4 (in Net.head, nn.Linear 4 -> 2)", 1, true), text)
  end)

  it("counts, trains and names a shared parameter once", function()
    local a, b = nn.Linear(3, 3), nn.Linear(3, 3)
    b.weight = a.weight
    local model = nn.Sequential(a, b)
    assert.equal(15, model:num_parameters())
    assert.equal("0.weight 0.bias 1.bias", names(model))
    model(sq.ones(1, 3)):sum():backward()
    sq.optim.SGD(model:parameters(), {lr = 0.1}):step()
    assert.is_true(a.weight:detach():equal(b.weight:detach()))
  end)

  it("saves a shared parameter once, and finds it again in both places", function()
    local function tied()
      local model = nn.Sequential(nn.Linear(30, 30), nn.Linear(30, 30))
      model[2].weight = model[1].weight
      return model
    end
    local path, model, again = support.tmpdir() .. "/tied.safetensors", tied(), tied()
    sq.save(path, model:state_dict())
    local bytes = #support.read(path)
    assert.is_true(bytes >= 960 * 4 and bytes < 2 * 900 * 4, bytes)
    again:load_state_dict(sq.load(path))
    local x = sq.randn(2, 30)
    assert.is_true(again(x):equal(model(x)))
    assert.equal(960, again:num_parameters())
  end)

  it("names the place of a layer that fails inside the model's own forward", function()
    local model = nn.Sequential(nn.Linear(3, 4), Net())
    local ok, text = pcall(model, sq.zeros(2, 5))
    assert.is_false(ok)
    assert.is_truthy(text:find("(in Sequential.0, nn.Linear 3 -> 4)", 1, true), text)
  end)

  it("passes train, eval and apply down to all below", function()
    local model, seen = nn.Sequential(Net(), nn.Dropout(0.5)), 0
    model:eval()
    for _, m in ipairs(model:modules()) do assert.is_false(m.training) end
    model:train()
    for _, m in ipairs(model:modules()) do assert.is_true(m.training) end
    model:apply(function() seen = seen + 1 end)
    assert.equal(4, seen)
  end)

  it("converts all floats it holds", function()
    local model = Net():double()
    for _, t in pairs(model:state_dict()) do assert.equal("float64", t.dtype) end
    assert.equal("float64", model(sq.zeros({1, 4}, {dtype = "float64"})).dtype)
  end)

  it("refuses what can't be in it", function()
    local a, b = Net(), Net()
    a.inner = b
    local cases = {
      {function() a.me = a end, "[nn.Module] Net.me would hold the module it stands in"},
      {function() b.outer = a end, "[nn.Module] Net.outer would hold the module it stands in"},
      {function() a:register_buffer("x", 3) end, "[register_buffer] tensor: expected a Tensor, got the number 3"},
      {function() a:add_module("x", 3) end, "[nn.Module] x is a number: it must be a module"},
      {function() a:load_state_dict(3) end, "[load_state_dict] state_dict: expected a table, got the number 3"},
      {function() nn.Linear(1, 1):load_state_dict{weight = 3, bias = sq.ones(1)} end,
        "wrong shape: weight is a number in the file and (1,1) in the model"},
    }
    for _, case in ipairs(cases) do
      local ok, text = pcall(case[1])
      assert.is_false(ok)
      assert.is_truthy(text:find(case[2], 1, true), text)
    end
    assert.matches("inner", tostring(a))
  end)
end)

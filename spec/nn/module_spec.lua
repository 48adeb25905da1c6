-- module_spec.lua: modules: names in PyTorch's order, sharing, train and eval, errors with the place in the model.
local sq = require "seqrt"
local support = require "spec.lib.support"
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
      {function() nn.Linear(1, 1):load_state_dict {weight = 3, bias = sq.ones(1)} end,
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

-- The numbers are PyTorch 2.15's.
describe("a conversion of a module", function()
  local x = sq.tensor {{1.0, 2.0}}

  local function linear()
    local l = nn.Linear(2, 1)
    sq.no_grad(function()
      l.weight:copy_(sq.tensor {{0.5, -0.25}})
      l.bias:fill_(0.125)
    end)
    return l
  end

  local function near(want, t)
    local flat = t:detach():double():reshape(-1)
    assert.equal(#want, #flat)
    for i, v in ipairs(want) do assert.near(v, flat[i], 1e-6) end
  end

  it("keeps the parameters: the optimizer, its state and the gradients go on", function()
    local l = linear()
    local w, opt = l.weight, sq.optim.SGD(l:parameters(), {lr = 0.1, momentum = 0.9})
    l(x):square():sum():backward()
    opt:step()
    near({0.475, -0.3}, l.weight)
    local grad = w.grad
    l:double()
    assert.equal("float64", w.dtype)
    assert.equal("float64", grad.dtype)
    near({0.25, 0.5}, grad)
    l(x:double()):square():sum():backward()
    near({0.2, 0.4}, w.grad)
    near({0.2, 0.4}, grad)
    opt:step()
    near({0.4325, -0.385}, w)
    near({0.4325, -0.385}, l.weight)
    near({0.0575}, l.bias)
    l:float()
    assert.equal("float32", opt.param_groups[1].params[1].dtype)
    l(x):sum():backward()
    opt:step()
  end)

  it("takes the state of every optimizer along", function()
    local count = 0
    for _, row in ipairs(require "seqrt.api".list()) do
      if row.owner == "sq.optim" and row.kind == "function" then
        count = count + 1
        local a, b = linear():double(), linear()
        local options = {lr = 0.1, momentum = row.signature:find("momentum:", 1, true) and 0.9 or nil}
        local oa, ob = sq.optim[row.name](a:parameters(), options), sq.optim[row.name](b:parameters(), options)
        for step = 1, 4 do
          if step == 3 then b:double() end
          for _, pair in ipairs {{a, oa}, {b, ob}} do
            pair[2]:zero_grad()
            pair[1](x:to(pair[1].weight.dtype)):square():sum():backward()
            pair[2]:step()
          end
        end
        for name, value in pairs(ob:state_dict().state["1"]) do
          if sq.is_tensor(value) then assert.equal("float64", value.dtype, row.name .. "'s " .. name) end
        end
        assert.is_true(a.weight:allclose(b.weight, {atol = 1e-4}), row.name)
      end
    end
    assert.is_true(count >= 5)
  end)

  it("keeps tied weights tied, a frozen model frozen, and all references", function()
    local model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3))
    model[3].weight = model[1].weight
    local mean, w = model[2].running_mean, model[1].weight -- buffers are replaced, as in PyTorch
    model:requires_grad_(false):double()
    for _, p in ipairs(model:parameters()) do
      assert.is_false(p.requires_grad)
      assert.equal("float64", p.dtype)
    end
    assert.equal("float32", mean.dtype)
    assert.equal("float64", model[2].running_mean.dtype)
    assert.equal("float64", w.dtype)
    assert.equal("int64", model[2].num_batches_tracked.dtype)
    model:train()(sq.randn({4, 3}, {dtype = "float64"}))
    assert.equal(5, #model:parameters())
    sq.no_grad(function() w:fill_(2) end)
    assert.equal(2.0, model[3].weight[1][1])
  end)

  it("is refused by a graph that was made before", function()
    for _, use in ipairs {function(l) return l(x):sum() end, function(l) return (l.bias + 1):sum() end} do
      local l = linear()
      local y = use(l)
      l:double()
      assert.error_matches(function() y:backward() end,
        "an input at spec/nn/module_spec.lua:%d+ was float32 %([12,]+%), and its tensor was given another dtype or shape since")
      assert.is_nil(l.weight.grad)
      assert.error_matches(function() sq.autograd.grad(y, l.bias) end, "run the forward again")
    end
    local frozen = linear():requires_grad_(false)
    local input = x:clone():requires_grad_()
    local y = frozen(input):sum()
    frozen:double()
    y:backward() -- it holds the old weight itself
    near({0.5, -0.25}, input.grad)
  end)

  it("is all or nothing, and to floats", function()
    local model = nn.Sequential(nn.Linear(300, 300), nn.Linear(300, 300))
    assert.error_matches(function() model:to "int64" end, "%[to%] dtype is int64: parameters are float32 or float64")
    sq.set_memory_limit(support.settle().live_bytes + 1000000)
    local ok, text = pcall(model.double, model)
    sq.set_memory_limit(0)
    assert.is_false(ok)
    assert.matches("out of memory", text)
    for _, p in ipairs(model:parameters()) do assert.equal("float32", p.dtype) end
    assert.equal("float32", model(sq.zeros(1, 300)).dtype)
  end)
end)

describe("x.data = value", function()
  it("gives a leaf other elements, and another dtype and shape", function()
    local p = nn.Parameter(sq.ones(2))
    local opt = sq.optim.SGD({p}, {lr = 1})
    p.data = sq.tensor {3.0, 4.0}
    assert.is_true(p.requires_grad and p.is_leaf)
    assert.same({3, 4}, p:tolist())
    local value = sq.zeros({3}, {dtype = "float64"})
    p.data = value
    assert.equal("(3)", tostring(p.shape))
    p:sum():backward()
    opt:step()
    assert.same({-1, -1, -1}, p:tolist())
    assert.same({0, 0, 0}, value:tolist())
  end)

  it("is refused where a graph, a gradient or a dtype would be lost", function()
    local p = sq.ones(2, {requires_grad = true})
    local y = (p * p):sum()
    local z = p * 2
    local cases = {
      {function() p.data = sq.ones(2, {dtype = "int64"}) end, "[data] x requires a gradient and can't become int64"},
      {function() z.data = sq.ones(3) end, "[data] x is float32 (2), a result of [mul], and can't become float32 (3)"},
      {function() p.data = 3 end, "[data] expected a Tensor, got the number 3"},
      {function() p.data = sq.zeros(2) y:backward() end, "was changed in place since"},
      {function() p.data = sq.zeros(3) y:backward() end, "was given another dtype or shape since"},
      {function() p:sum():backward() p.data = sq.zeros(4) end,
        "[data] x has a gradient of shape (3) and can't become (4): set x.grad = nil first"},
    }
    for _, case in ipairs(cases) do
      local ok, text = pcall(case[1])
      assert.is_false(ok, case[2])
      assert.is_truthy(text:find(case[2], 1, true), text)
    end
  end)

  it("leaves what looked at it with the old elements", function()
    local a = sq.ones(2)
    local window = a[{{1, 1}}]
    a.data = sq.zeros(3)
    window:add_(sq.ones(1, {requires_grad = true}))
    assert.is_true(window.requires_grad)
    assert.is_false(a.requires_grad)
    assert.same({2}, window:detach():tolist())
    assert.same({0, 0, 0}, a:tolist())
  end)
end)

describe("a field of a module", function()
  local function raises(expected, fn, ...)
    local ok, text = pcall(fn, ...)
    assert.is_false(ok, expected)
    assert.is_truthy(tostring(text):find(expected, 1, true), tostring(text))
    assert.matches("^spec/nn/module_spec.lua:%d+: ", text)
  end

  it("is a member when it is a parameter, a layer or a module; an input with a gradient is not", function()
    local net = Net()
    net.x = sq.ones(3, {requires_grad = true})
    assert.is_true(net.x.requires_grad)
    assert.equal("scale head.weight head.bias", names(net))
    net.y = nn.Parameter(sq.ones(3), false)
    assert.is_false(net.y.requires_grad)
    assert.equal("scale y head.weight head.bias", names(net))
    net.head.weight.requires_grad = false
    net.again = net.head.weight
    assert.equal("scale y again head.bias", names(net))
    for _, made in ipairs {net.scale:detach(), net.scale:clone(), net.scale * 2, net.scale.data} do
      local other = Net()
      other.z = made
      assert.equal("scale head.weight head.bias", names(other))
    end
  end)

  it("may be declared false or nil, and hold a layer later", function()
    local net = Net()
    net.late, net.never = false, nil
    assert.is_false(net.late)
    assert.is_nil(net.never)
    net.late = nn.Linear(1, 1, {bias = false})
    net.never = nn.Parameter(sq.ones(1))
    assert.equal("scale never head.weight head.bias late.weight", names(net))
    net.late = nil
    assert.is_nil(net.late)
    net.never = nil
    assert.equal("scale head.weight head.bias", names(net))
    net:register_parameter("bias", nil)
    assert.is_nil(net.bias)
    assert.equal("scale head.weight head.bias", names(net))
  end)

  it("that was never assigned is an error with the class and the nearest name", function()
    local net = Net()
    net.width = 3
    raises("Net has no 'haed': did you mean 'head'? (a field that may be nil is declared in init: self.haed = nil)",
      function() return net.haed end)
    raises("Net has no 'widht': did you mean 'width'?", function() return net.widht end)
    raises("Net has no 'paramters': did you mean 'parameters'?", function() return net:paramters() end)
    raises("Linear has no 'wieght': did you mean 'weight'?", function() return net.head.wieght end)
    raises("Linear has no 'wieght': did you mean 'weight'?", function() net.head.wieght = 3 end)
    raises("Net has no 1: its fields go by name; nn.ModuleList is a list", function() return net[1] end)
    raises("Net: a field goes by its name, not by 1; nn.ModuleList is a list", function() net[1] = nn.ReLU() end)
    raises("Net has no length: nn.Sequential and nn.ModuleList have", function() return #net end)
    assert.is_nil(net.__name)
  end)

  it("that is a parameter takes no plain tensor", function()
    local net = Net()
    raises("[nn.Module] Net.scale is a parameter and this a plain Tensor, which nothing would train: give it nn.Parameter(t), "
      .. "or copy the values: sq.no_grad(function() m.scale:copy_(t) end)", function() net.scale = sq.zeros(2) end)
    raises("[nn.Module] Net.scale is a parameter and this a number", function() net.scale = 1 end)
    raises("[nn.Module] Net.head is a module and can't become a number: nil takes it out", function() net.head = 1 end)
    raises("[nn.Linear] weight is a parameter and this a plain Tensor, which nothing would train: give it nn.Parameter(t), or "
      .. "copy the values: sq.no_grad(function() layer.weight:copy_(t) end)", function() net.head.weight = sq.ones(2, 4) end)
    raises("[nn.Linear] weight: expected a Tensor, got nil", function() net.head.weight = nil end)
    raises("[nn.Linear] weight is (2,4): it can't become (3,3)", function() net.head.weight = nn.Parameter(sq.ones(3, 3)) end)
    raises("[nn.Linear] the layer was made without bias", function()
      nn.Linear(1, 1, {bias = false}).bias = nn.Parameter(sq.ones(1))
    end)
    raises("[training] expected true or false, got the string \"no\"", function() net.head.training = "no" end)
    net.head.weight = nn.Parameter(sq.ones(2, 4))
    net.mean = sq.ones(4) -- a buffer may be any tensor
    assert.equal(1, #net:buffers())
    local norm = nn.BatchNorm1d(2)
    norm.running_mean = sq.ones(2)
    assert.same({1, 1}, norm.running_mean:tolist())
  end)

  it("has a name without a dot that the class itself does not use", function()
    local net, layer = Net(), nn.Linear(1, 1)
    raises("the name 'a.b' has a dot", net.add_module, net, "a.b", layer)
    raises("the name 'a.b' has a dot", net.register_buffer, net, "a.b", sq.ones(1))
    raises("the name 'a.b' has a dot", net.register_parameter, net, "a.b", nn.Parameter(sq.ones(1)))
    raises("the name 'a.b' has a dot", function() net["a.b"] = layer end)
    raises("a parameter, buffer or module needs a name, got the empty one", net.add_module, net, "", layer)
    raises("Net.train is the class's own: what is registered needs another name", function() net.train = layer end)
    raises("Net.forward is the class's own", net.add_module, net, "forward", layer)
    raises("[register_buffer] Net.head is a child already", net.register_buffer, net, "head", sq.ones(1))
    raises("[register_parameter] Net.mean is a buffer already", net.register_parameter, net, "mean", nn.Parameter(sq.ones(1)))
    net.width = 3
    raises("[add_module] Net.width is a field already", net.add_module, net, "width", layer)
    raises("Net.w is a plain Tensor: a parameter is made by nn.Parameter(t)", net.register_parameter, net, "w", sq.ones(1))
    raises("[add_module] Linear is a layer that holds what it was made with", layer.add_module, layer, "x", layer)
    raises("a class needs a name", nn.Module, "")
  end)

  it("that is a plain table hides no layer", function()
    local List = nn.Module "List"
    function List:init(...) self.layers = {...} end
    raises("[nn.Module] List.layers is a plain table, and the modules in it would be neither trained nor saved: nn.ModuleList "
      .. "keeps them", function() List(nn.Linear(1, 1)):parameters() end)
    raises("the modules in it would be neither", function() nn.Sequential(List(Net())):state_dict() end)
    raises("the parameters in it would be neither", function() List(nn.Parameter(sq.ones(1))):named_parameters() end)
    local late = List()
    assert.equal(0, #late:parameters())
    late.layers.first = nn.Linear(1, 1)
    raises("List.layers is a plain table", late.num_parameters, late)
    late.kept = nn.ModuleList {late.layers.first}
    assert.equal(2, #late:parameters())
    late.teacher = setmetatable({nn.Linear(1, 1)}, {})
    late.numbers, late.self = {1, 2, sq.ones(1)}, {late}
    assert.equal(2, #late:parameters())
  end)

  it("called forward is what a call of this instance runs", function()
    local net, other = Net(), Net()
    function net.forward(self, x) return self.head(x) + 1 end
    local x = sq.ones(1, 4)
    assert.is_true(net(x):equal(net.head(x) + 1))
    assert.is_true(other(x):equal(other.head(x) * other.scale))
    net.forward = nil
    assert.is_true(net(x):equal(net.head(x) * net.scale))
  end)

  it("that a layer was made without is nil", function()
    for _, case in ipairs {{nn.Linear(2, 2, {bias = false}), "bias"}, {nn.Conv2d(1, 1, 2, {bias = false}), "bias"},
      {nn.ConvTranspose2d(1, 1, 2, {bias = false}), "bias"}, {nn.Bilinear(1, 1, 1, {bias = false}), "bias"},
      {nn.LayerNorm(2, {bias = false}), "bias"}, {nn.LayerNorm(2, {elementwise_affine = false}), "weight"},
      {nn.GroupNorm(1, 2, {affine = false}), "bias"}, {nn.BatchNorm1d(2, {affine = false}), "weight"},
      {nn.BatchNorm2d(2, {track_running_stats = false}), "running_var"}, {nn.LSTMCell(1, 1, {bias = false}), "bias_hh"},
      {nn.CrossEntropyLoss(), "weight"}, {nn.MultiheadAttention(2, 1, {bias = false}), "in_proj_bias"},
      {nn.MultiheadAttention(2, 1), "bias_k"}} do
      assert.is_nil(case[1][case[2]])
      raises("has no 'nothing'", function() return case[1].nothing end)
    end
    assert.is_not_nil(nn.Linear(2, 2).bias)
  end)

  it("is what pairs goes over: its own parameters and modules", function()
    local seen = {}
    for name, value in pairs(Net()) do seen[#seen + 1] = name .. " " .. tostring(sq.is_tensor(value)) end
    assert.same({"head false", "scale true"}, seen)
    seen = {}
    for name, value in pairs(nn.Linear(3, 2)) do seen[#seen + 1] = name .. " " .. tostring(value.shape) end
    assert.same({"weight (2,3)", "bias (2)"}, seen)
  end)
end)

describe("a container", function()
  local function raises(expected, fn, ...)
    local ok, text = pcall(fn, ...)
    assert.is_false(ok, expected)
    assert.is_truthy(tostring(text):find(expected, 1, true), tostring(text))
  end

  local function three(make) return make(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 3)) end

  it("replaces at a position, and keeps names and count", function()
    for _, make in ipairs {nn.Sequential, nn.ModuleList} do
      local m, last, first = three(make), nn.Linear(2, 5), nn.Linear(4, 2)
      m[#m], m[-3] = last, first
      assert.equal(3, #m)
      assert.equal(last, m[3])
      assert.equal(first, m[1])
      assert.equal("0.weight 0.bias 2.weight 2.bias", names(m))
      assert.equal("(5,2)", tostring(m:state_dict()["2.weight"].shape))
      raises("position 4 of 3 modules: positions count from 1, or from -1 at the end; :append(module) adds one",
        function() m[4] = last end)
      raises("position 0 of 3", function() m[0] = last end)
      raises("position -4 of 3", function() m[-4] = last end)
      raises("[1] = nil: it must be a module", function() m[1] = nil end)
      raises("[1] = a number: it must be a module", function() m[1] = 3 end)
      raises("would hold the module it stands in", function() m[1] = m end)
      m:append(nn.Tanh()):extend {nn.Linear(1, 1), nn.ReLU()}:extend(nn.ModuleList {nn.ReLU()})
      assert.equal(7, #m)
      assert.equal("4.weight", names(m):match "4%.%a+")
    end
  end)

  it("is gone over by ipairs and pairs, and ends with nil just past its end", function()
    for _, make in ipairs {nn.Sequential, nn.ModuleList} do
      local m, seen = three(make), {}
      for i, layer in ipairs(m) do seen[i] = layer end
      assert.same({m[1], m[2], m[3]}, seen)
      for i, layer in pairs(m) do assert.equal(seen[i], layer) end
      assert.is_nil(m[4])
      raises("position 5 of 3 modules", function() return m[5] end)
      assert.is_nil(make()[1])
    end
  end)

  it("refuses names, gaps and what is no module", function()
    for _, name in ipairs {"Sequential", "ModuleList"} do
      local make = nn[name]
      raises(("[nn.%s] 'fc' is a name, and a table has no order of names"):format(name), make, {fc = nn.ReLU()})
      raises("m:add_module(\"act\", module)", make, {nn.ReLU(), act = nn.ReLU()})
      raises("argument 2 is a nil: it must be a module", make, nn.ReLU(), nil, nn.ReLU())
      raises("argument 1 is a number", make, 3)
      raises("argument 2 is a table", make, nn.ReLU(), {})
      raises("argument 1 is a userdata", make, sq.ones(1))
      raises("'x' is a name", make().extend, make(), {x = nn.ReLU()})
      assert.equal(0, #make {})
      local named = make()
      named:add_module("1", nn.ReLU())
      assert.equal(2, #named:append(nn.Tanh()))
    end
    raises("[nn.Sequential] takes 1 argument, got 2", nn.Sequential(), 1, 2)
    raises("[nn.Module] ModuleList has no forward", nn.ModuleList(), 1)
  end)
end)

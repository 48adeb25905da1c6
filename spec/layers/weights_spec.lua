-- weights_spec.lua: weights go both ways: files of PyTorch's safetensors load by name and compute the same; what we write of
-- them, PyTorch reads (spec/golden/weights.py; run where torch and safetensors are).
local sq = require "seqrt"
local golden = dofile "spec/golden/weights.lua"
local support = require "spec.lib.support"
local nn = sq.nn

local models = {
  lstm = function() return nn.LSTM(3, 4, {num_layers = 2, bidirectional = true}) end,
  conv = function() return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)) end,
  embedding = function() return nn.Sequential(nn.Embedding(6, 4), nn.Linear(4, 2)) end,
}
local inputs = {
  lstm = function() return sq.randint(-64, 65, {3, 2, 3}):float() / 64 end,
  conv = function() return sq.randint(-64, 65, {2, 2, 4, 4}):float() / 64 end,
  embedding = function() return sq.randint(0, 6, {2, 3}) end,
}

local function file(name, folder) return ("%s/weights_%s.safetensors"):format(folder or "spec/golden", name) end

local function loaded(name)
  local model = models[name]()
  model:load_state_dict(sq.load(file(name)))
  return model:eval()
end

describe("weights", function()
  for name in pairs(models) do
    it("of PyTorch's give PyTorch's outputs: " .. name, function()
      local model = loaded(name)
      sq.manual_seed(5)
      local y = model(inputs[name]())
      assert.equal(#golden[name], y:numel())
      support.assert_close(y:reshape(-1):tolist(), golden[name], 1.3e-6, 1e-6, name)
    end)
  end

  it("are the same file, to the byte, when the state is", function()
    local dir = support.tmpdir()
    for name in pairs(models) do
      for _, folder in ipairs {"a", "b"} do
        os.execute("mkdir -p " .. dir .. "/" .. folder)
        sq.save(file(name, dir .. "/" .. folder), loaded(name):state_dict())
      end
      assert.equal(support.read(file(name, dir .. "/a")), support.read(file(name, dir .. "/b")))
      assert.is_true(#support.read(file(name, dir .. "/a")) > 100)
    end
  end)

  it("of ours are read by PyTorch #slow", function()
    local python = os.getenv "SEQRT_TORCH" or "python3"
    local quoted = support.quote(python)
    if select(3, support.shell(quoted .. " -c 'import torch, safetensors.torch'")) ~= 0 then
      return pending "no torch and safetensors here"
    end
    local dir = support.tmpdir()
    for name in pairs(models) do sq.save(file(name, dir), loaded(name):state_dict()) end
    local out, err, status = support.shell(("%s -W ignore -B weights.py %s"):format(quoted, support.quote(dir)),
      {cwd = "spec/golden"})
    assert.equal(0, status, err)
    assert.equal("lstm same\nconv same\nembedding same\n", out)
  end)

  it("that do not fit are listed: missing, unexpected and wrongly shaped, and nothing is changed", function()
    local model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    local before = model[1].weight:detach():clone()
    local state = model:state_dict()
    state["0.weight"], state["0.bias"] = sq.ones(3, 2), nil
    state["1.weight"], state.extra, state.more = sq.ones(2, 3), sq.ones(1), sq.ones(1)
    local ok, text = pcall(model.load_state_dict, model, state)
    assert.is_false(ok)
    for _, part in ipairs {"missing: 0.bias", "unexpected: extra, more",
      "wrong shape: 1.weight is (2,3) in the file and (1,3) in the model"} do
      assert.is_truthy(text:find(part, 1, true), text)
    end
    assert.is_true(before:equal(model[1].weight:detach()))
    state["1.weight"] = nil
    local missing, unexpected = model:load_state_dict(state, {strict = false})
    table.sort(missing)
    table.sort(unexpected)
    assert.same({"0.bias", "1.weight"}, missing)
    assert.same({"extra", "more"}, unexpected)
    assert.is_true(sq.ones(3, 2):equal(model[1].weight:detach()))
  end)
end)

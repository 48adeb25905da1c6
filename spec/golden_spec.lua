-- golden_spec.lua: every op against PyTorch's numbers: results and every gradient, in float64 and float32, on
-- contiguous, transposed and sliced inputs. An op without numbers fails.
local sq = require "seqrt"
local api = require "seqrt.api"

local function folder() return (debug.getinfo(1, "S").source:match "^@(.*/)" or "./") .. "golden/" end

-- What has no numbers, and why.
local without = {
  dropout = "draws at random: its own spec",
}

local rtol = {float64 = 1e-10, float32 = 5.2e-6}
local atol = {float64 = 1e-12, float32 = 4e-6}

-- A tensor of the file: {shape}, {values} or dtype, {shape}, {values}.
local function read(t, float)
  local dtype, shape, data = "float64", t[1], t[2]
  if type(shape) == "string" then dtype, shape, data = t[1], t[2], t[3] end
  return {dtype = dtype == "float64" and float or dtype, wanted = dtype, shape = shape, data = data}
end

local function make(spec)
  local flat = #spec.data == 0 and sq.zeros{size = {0}, dtype = spec.dtype} or sq.tensor(spec.data, {dtype = spec.dtype})
  return flat:reshape(spec.shape)
end

-- The same values with other strides.
local layouts = {
  contiguous = function(x) return x end,
  transposed = function(x)
    local n = x:dim()
    if n < 2 then return x end
    local back = {}
    for i = 1, n do back[i] = n + 1 - i end
    return x:permute(back):contiguous():permute(back)
  end,
  sliced = function(x)
    local n = x:dim()
    if n == 0 or x:numel() == 0 then return x end
    local shape = {}
    for i = 1, n do shape[i] = x:size(i) end
    shape[n] = 2 * shape[n] + 1
    local wide = sq.zeros{size = shape, dtype = x.dtype}
    local view = wide:slice(n, 2, shape[n] - 1, 2)
    view:copy_(x)
    return view
  end,
}

-- nil when got is near want, else what is wrong.
local function differs(got, want, dtype, tol)
  local shape = {}
  for i = 1, got:dim() do shape[i] = got:size(i) end
  if table.concat(shape, ",") ~= table.concat(want.shape, ",") then
    return ("shape (%s), not (%s)"):format(table.concat(shape, ","), table.concat(want.shape, ","))
  end
  local expected = want.wanted == "float64" and dtype or want.wanted
  if got.dtype ~= expected then return ("dtype %s, not %s"):format(got.dtype, expected) end
  local r = (rtol[expected] or 0) * tol
  local a = (atol[expected] or 0) * tol
  local flat = got:numel() == 0 and {} or got:reshape(-1):tolist()
  for i, w in ipairs(want.data) do
    local g = flat[i]
    if type(g) == "boolean" or type(w) == "boolean" then g, w = tostring(g), tostring(w) end
    local ok
    if type(w) == "string" then
      ok = g == w
    else
      ok = g == w or (g ~= g and w ~= w) or math.abs(g - w) <= a + r * math.abs(w)
    end
    if not ok then return ("element %d is %s, not %s"):format(i, g, w) end
  end
end

local cases, ops = {}, {}
do
  local chunk = assert(loadfile(folder() .. "ops.lua", "t"))
  local function T(t) return t end
  local function I(i) return {input = i} end
  local function case(op, tol, only64, tensors, out, dy, grad, args)
    cases[#cases + 1] = {op = op, tol = tol, only64 = only64, tensors = tensors, out = out, dy = dy, grad = grad,
                         args = args}
    ops[op] = ops[op] or {}
    table.insert(ops[op], cases[#cases])
  end
  chunk(T, I, case, 0 / 0, math.huge)
end

-- The arguments with their tensors in place.
local function arguments(case, inputs, dtype)
  local args = {n = case.args.n}
  local function fill(v)
    if type(v) ~= "table" then return v end
    if v.input then return inputs[v.input] end
    local list = {}
    for i, item in ipairs(v) do list[i] = fill(item) end
    return list
  end
  for i = 1, args.n do args[i] = fill(case.args[i]) end
  if case.op == "to" and args[2] == "float64" then args[2] = dtype end
  return args
end

-- Runs a case; raises what is wrong with it.
local function run(case, dtype, layout)
  local inputs = {}
  for i, t in ipairs(case.tensors) do
    inputs[i] = layouts[layout](make(read(t, dtype)))
    if case.grad[i] then inputs[i] = inputs[i]:detach():requires_grad_() end
  end
  local args = arguments(case, inputs, dtype)
  local out = table.pack(sq[case.op](table.unpack(args, 1, args.n)))
  for i, want in ipairs(case.out) do
    local result = out[i]
    if type(result) ~= "userdata" then result = sq.tensor(result) end
    local wrong = differs(result, read(want, dtype), dtype, case.tol)
    if wrong then error(("result %d: %s"):format(i, wrong), 0) end
  end
  local left = 0
  for i = 1, #case.out do left = left + (case.dy[i] and 1 or 0) end
  for i = 1, #case.out do
    if case.dy[i] then
      left = left - 1
      out[i]:backward{gradient = make(read(case.dy[i], dtype)), retain_graph = left > 0}
    end
  end
  for i, want in ipairs(case.grad) do
    local grad = want and (inputs[i].grad or sq.zeros_like(inputs[i]))
    local wrong = want and differs(grad, read(want, dtype), dtype, case.tol)
    if wrong then error(("gradient of input %d: %s"):format(i, wrong), 0) end
  end
end

describe("PyTorch's numbers", function()
  local names = {}
  for name in pairs(ops) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    it("are those of " .. name, function()
      for i, case in ipairs(ops[name]) do
        for _, dtype in ipairs{"float64", "float32"} do
          for layout in pairs(layouts) do
            local skip = case.only64 and dtype == "float32" or name == "view" and layout ~= "contiguous"
            local ok, text = true, nil
            if not skip then ok, text = pcall(run, case, dtype, layout) end
            assert(ok, ("%s, case %d, %s %s: %s"):format(name, i, dtype, layout, text))
          end
        end
      end
    end)
  end

  it("are there for every op", function()
    local missing = {}
    for _, op in ipairs(api.list()) do
      if op.kind == "op" and not ops[op.name] and not without[op.name] then missing[#missing + 1] = op.name end
    end
    assert.same({}, missing)
  end)

  it("are read so that a difference of one part in a thousand shows", function()
    local case = ops.tanh[4]
    local data = {}
    for i, v in ipairs(case.out[1][2]) do data[i] = v * 1.001 end
    local wrong = setmetatable({out = {{case.out[1][1], data}}}, {__index = case})
    assert.is_false(pcall(run, wrong, "float64", "contiguous"))
    assert.is_true(pcall(run, case, "float64", "contiguous"))
  end)
end)

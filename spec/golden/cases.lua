-- cases.lua: the cases of ops.lua and ops_rest.lua as tensors and arguments.
local sq = require "seqrt"
local golden = {}

-- A tensor of the file: {shape}, {values} or dtype, {shape}, {values}.
function golden.read(t, float)
  local dtype, shape, data = "float64", t[1], t[2]
  if type(shape) == "string" then dtype, shape, data = t[1], t[2], t[3] end
  return {dtype = dtype == "float64" and float or dtype, wanted = dtype, shape = shape, data = data}
end

function golden.make(spec)
  local flat = #spec.data == 0 and sq.zeros {size = {0}, dtype = spec.dtype} or sq.tensor(spec.data, {dtype = spec.dtype})
  return flat:reshape(spec.shape)
end

-- The same values with other strides.
golden.layouts = {
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
    local wide = sq.zeros {size = shape, dtype = x.dtype}
    local view = wide:slice(n, 2, shape[n] - 1, 2)
    view:copy_(x)
    return view
  end,
}

golden.ops = {}
do
  local here = debug.getinfo(1, "S").source:match "^@(.*/)" or "./"
  local function T(t) return t end
  local function I(i) return {input = i} end
  local function case(op, tol, only64, tensors, out, dy, grad, args)
    local row = {op = op, tol = tol, only64 = only64, tensors = tensors, out = out, dy = dy, grad = grad,
      args = args}
    golden.ops[op] = golden.ops[op] or {}
    table.insert(golden.ops[op], row)
  end
  for _, file in ipairs {"ops.lua", "ops_rest.lua"} do
    assert(loadfile(here .. file, "t"))(T, I, case, 0 / 0, math.huge)
  end
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

-- The inputs of a case, in that dtype and layout, those with a gradient as leaves; and the arguments.
function golden.draw(case, dtype, layout)
  local inputs = {}
  for i, t in ipairs(case.tensors) do
    inputs[i] = golden.layouts[layout](golden.make(golden.read(t, dtype)))
    if case.grad[i] then inputs[i] = inputs[i]:detach():requires_grad_() end
  end
  return inputs, arguments(case, inputs, dtype)
end

return golden

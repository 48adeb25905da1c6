-- gradcheck.lua: sq.autograd.gradcheck: backward against central differences, the whole Jacobian, in float64.
local sq = require "seqrt"
local api = require "seqrt.api"

-- Element number n (from 0) of a tensor of that shape as positions from 1.
local function positions(shape, n)
  local at = {}
  for i = #shape, 1, -1 do
    at[i] = n % shape[i] + 1
    n = n // shape[i]
  end
  return at
end

local function place_text(shape, n)
  if #shape == 0 then return "its value" end
  return "element (" .. table.concat(positions(shape, n), ",") .. ")"
end

-- fn's results that have a gradient, as a list.
local function call_fn(fn, inputs)
  local kept = {}
  for _, y in ipairs(table.pack(fn(table.unpack(inputs)))) do
    if sq.is_tensor(y) and y.requires_grad then kept[#kept + 1] = y end
  end
  return kept
end

-- fn's results as flat lists of numbers, with element n of input x moved to `value`.
local function values_at(fn, inputs, x, n, value)
  local bare, key = x:detach(), positions(x.shape, n)
  local before = bare[key]
  if sq.is_tensor(before) then before = before:item() end
  bare[key] = value
  local lists = {}
  for k, y in ipairs(call_fn(fn, inputs)) do lists[k] = y:detach():reshape(-1):tolist() end
  bare[key] = before
  return lists
end

-- Column n of the Jacobian of every output, from two central differences (Richardson), and the rounding noise
-- that stands in each element.
local function differences(fn, inputs, x, n, eps)
  local centre = x:detach()[positions(x.shape, n)]
  if sq.is_tensor(centre) then centre = centre:item() end
  local a, b = values_at(fn, inputs, x, n, centre + eps), values_at(fn, inputs, x, n, centre - eps)
  local c, d = values_at(fn, inputs, x, n, centre + eps / 2), values_at(fn, inputs, x, n, centre - eps / 2)
  local columns, noise = {}, {}
  for k = 1, #a do
    columns[k], noise[k] = {}, {}
    for j = 1, #a[k] do
      local wide, narrow = (a[k][j] - b[k][j]) / (2 * eps), (c[k][j] - d[k][j]) / eps
      columns[k][j] = (4 * narrow - wide) / 3
      noise[k][j] = 16 * 2.3e-16 * math.max(math.abs(a[k][j]), math.abs(b[k][j]), 1e-3) / eps
    end
  end
  return columns, noise
end

-- jacobian[k][j][i]: the gradient that backward gives input i for element j of output k, as a flat list.
local function jacobian(fn, inputs, checked)
  local rows = {}
  for k, y in ipairs(call_fn(fn, inputs)) do
    rows[k] = {shape = y.shape}
    for j = 1, y:numel() do
      local seed = sq.zeros(y:numel(), {dtype = "float64"})
      seed[j] = 1
      local grads = table.pack(sq.autograd.grad(y, checked,
        {grad_outputs = {seed:view(y.shape)}, retain_graph = true, allow_unused = true}))
      rows[k][j] = {}
      for i, x in ipairs(checked) do
        rows[k][j][i] = grads[i] and grads[i]:reshape(-1):tolist() or sq.zeros(x:numel()):tolist()
      end
    end
  end
  return rows
end

local function number_of(inputs, x)
  for i, each in ipairs(inputs) do if rawequal(each, x) then return i end end
end

-- The first element where the two differ, as text; nil where all agree.
local function first_difference(fn, inputs, checked, options)
  local rows = jacobian(fn, inputs, checked)
  if #rows == 0 then return "no output of the function has a gradient" end
  for i, x in ipairs(checked) do
    for n = 0, x:numel() - 1 do
      local columns, noise = differences(fn, inputs, x, n, options.eps)
      for k, row in ipairs(rows) do
        for j = 1, #row do
          local got, want = row[j][i][n + 1], columns[k][j]
          local allowed = options.rtol * math.max(math.abs(got), math.abs(want)) + options.atol + noise[k][j]
          local close = math.abs(got - want) <= allowed
          if not close then -- NaN comes here too
            return format("input %d, %s, for output %d, %s: backward gives %.10g, differences give %.10g",
              number_of(inputs, x), place_text(x.shape, n), k, place_text(row.shape, j - 1), got, want)
          end
        end
      end
    end
  end
end

local function fail(text, ...) api.fail("[gradcheck] " .. text, ...) end

local function gradcheck(fn, inputs, options)
  if sq.is_tensor(inputs) then inputs = {inputs} end
  if type(inputs) ~= "table" then fail "inputs: expected a Tensor or a list of Tensors" end
  local checked = {}
  for i, x in ipairs(inputs) do
    if sq.is_tensor(x) and x.requires_grad then
      if x.dtype ~= "float64" then fail("input %d is %s: it must be float64", i, x.dtype) end
      checked[#checked + 1] = x
    end
  end
  if #checked == 0 then fail "no input requires a gradient" end
  local wrong = first_difference(fn, inputs, checked, options)
  if wrong and options.raise_exception then fail("%s", wrong) end
  return not wrong
end

return api.define {owner = "sq.autograd", name = "gradcheck",
  signature = "(fn: function, inputs: any, eps: number = 1e-4, rtol: number = 1e-6, atol: number = 0, "
    .. "raise_exception: bool = true) -> bool",
  doc = "Compares the gradients of fn(inputs...) with differences, element by element, in float64; raises with "
    .. "the first that differs.",
  example = "sq.autograd.gradcheck(sq.tanh, sq.rand(2, 3, {dtype = \"float64\", requires_grad = true}))",
  call = function(fn, inputs, eps, rtol, atol, raise_exception)
    return gradcheck(fn, inputs, {eps = eps, rtol = rtol, atol = atol, raise_exception = raise_exception})
  end}

-- gradcheck.lua: sq.autograd.gradcheck and gradgradcheck: backward, and the backward of a recorded backward, against
-- central differences, the whole Jacobian, in float64.
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

-- The tensors among the inputs that require a gradient; `what` begins the errors.
local function checked_inputs(what, inputs)
  if type(inputs) ~= "table" then api.fail("[%s] inputs: expected a Tensor or a list of Tensors", what) end
  local checked = {}
  for i, x in ipairs(inputs) do
    if sq.is_tensor(x) and x.requires_grad then
      if x.dtype ~= "float64" then api.fail("[%s] input %d is %s: it must be float64", what, i, x.dtype) end
      checked[#checked + 1] = x
    end
  end
  if #checked == 0 then api.fail("[%s] no input requires a gradient", what) end
  return checked
end

local function listed(inputs) return sq.is_tensor(inputs) and {inputs} or inputs end

local function check(what, fn, inputs, checked, options)
  local wrong = first_difference(fn, inputs, checked, options)
  if wrong and options.raise_exception then api.fail("[%s] %s", what, wrong) end
  return not wrong
end

local gradcheck = api.define {owner = "sq.autograd", name = "gradcheck",
  signature = "(fn: function, inputs: any, eps: number = 1e-4, rtol: number = 1e-6, atol: number = 0, "
    .. "raise_exception: bool = true) -> bool",
  doc = "Compares the gradients of fn(inputs...) with differences, element by element, in float64; raises with "
    .. "the first that differs.",
  example = "sq.autograd.gradcheck(sq.tanh, sq.rand(2, 3, {dtype = \"float64\", requires_grad = true}))",
  call = function(fn, inputs, eps, rtol, atol, raise_exception)
    inputs = listed(inputs)
    return check("gradcheck", fn, inputs, checked_inputs("gradcheck", inputs),
      {eps = eps, rtol = rtol, atol = atol, raise_exception = raise_exception})
  end}

-- What comes from above each of fn's results, drawn by chance, with a gradient of its own.
local function draw_above(fn, inputs)
  local above = {}
  for k, y in ipairs(call_fn(fn, inputs)) do
    above[k] = sq.randn(y.shape, {dtype = "float64"}):requires_grad_()
  end
  return above
end

-- The function that gives fn's gradients, recorded. One that is not recorded can only be 0.
local function gradient_of(fn, count, checked, above)
  return function(...)
    local ys = call_fn(fn, {table.unpack({...}, 1, count)})
    local grads = table.pack(sq.autograd.grad(ys, checked,
      {grad_outputs = above, create_graph = true, allow_unused = true}))
    local given = {}
    for i = 1, grads.n do
      local g = grads[i]
      if g and not g.requires_grad and g:ne(0):any():item() then
        api.fail("[gradgradcheck] the gradient of input %d is not recorded", number_of(checked, checked[i]))
      end
      given[#given + 1] = g
    end
    return table.unpack(given)
  end
end

local gradgradcheck = api.define {owner = "sq.autograd", name = "gradgradcheck",
  signature = "(fn: function, inputs: any, grad_outputs: any = nil, eps: number = 1e-4, rtol: number = 1e-5, "
    .. "atol: number = 0, raise_exception: bool = true) -> bool",
  doc = "gradcheck of the gradients of fn(inputs...) that create_graph gives: of each for the inputs and for "
    .. "grad_outputs, which are drawn by chance where none are given.",
  example = "sq.autograd.gradgradcheck(sq.tanh, sq.rand(2, 3, {dtype = \"float64\", requires_grad = true}))",
  call = function(fn, inputs, grad_outputs, eps, rtol, atol, raise_exception)
    inputs = listed(inputs)
    local checked = checked_inputs("gradgradcheck", inputs)
    local above = listed(grad_outputs) or draw_above(fn, inputs)
    if #above == 0 then api.fail "[gradgradcheck] no output of the function has a gradient" end
    local all, wanted = {table.unpack(inputs)}, {table.unpack(checked)}
    for _, g in ipairs(above) do
      all[#all + 1] = g
      if g.requires_grad then wanted[#wanted + 1] = g end
    end
    return check("gradgradcheck", gradient_of(fn, #inputs, checked, above), all, wanted,
      {eps = eps, rtol = rtol, atol = atol, raise_exception = raise_exception})
  end}

return {gradcheck = gradcheck, gradgradcheck = gradgradcheck}

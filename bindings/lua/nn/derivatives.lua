-- derivatives.lua: sq.autograd.functional: Jacobians, Hessians and their products with vectors, of a function of tensors.
local sq = require "seqrt"
local api = require "seqrt.api"

-- --- what goes in and comes out: a Tensor alone or a list of them ------------------------------------------------

local function fail(what, text, ...) api.fail("[" .. what .. "] " .. text, ...) end

local function listed(what, name, value)
  if sq.is_tensor(value) then return {value} end
  if type(value) ~= "table" or #value == 0 then fail(what, "%s: expected a Tensor or a list of Tensors", name) end
  for i, x in ipairs(value) do
    if not sq.is_tensor(x) then fail(what, "%s: element %d is no Tensor", name, i) end
  end
  return value
end

-- As it was given: alone or as a list.
local function as_given(list, alone) return alone and list[1] or list end

-- Tensors of the same values that gradients can be asked of: on the given graph, or on one of their own.
local function enter(what, inputs, create_graph)
  local xs = {}
  for i, x in ipairs(listed(what, "inputs", inputs)) do
    if create_graph and x.requires_grad then
      xs[i] = x:view(x.shape)
    else
      xs[i] = x:detach():requires_grad_()
    end
  end
  return xs
end

local function results(what, func, xs)
  local ys = table.pack(sq.enable_grad(func, table.unpack(xs)))
  if ys.n == 1 and type(ys[1]) == "table" and not sq.is_tensor(ys[1]) then ys = ys[1] end
  return listed(what, "func", {table.unpack(ys)})
end

local function leave(ys, create_graph)
  if create_graph then return as_given(ys, #ys == 1) end
  local bare = {}
  for k, y in ipairs(ys) do bare[k] = y:detach() end
  return as_given(bare, #bare == 1)
end

-- One vector for each of `like`; without any, 1 for a tensor of one element.
local function vectors(what, v, like, name)
  if v == nil and #like == 1 and like[1]:numel() == 1 then return {sq.ones_like(like[1]:detach())} end
  if v == nil then fail(what, "v may be left out only where %s has one element", name) end
  local vs = listed(what, "v", v)
  if #vs ~= #like then fail(what, "v has %d tensors, %s %d", #vs, name, #like) end
  for i, each in ipairs(vs) do
    if tostring(each.shape) ~= tostring(like[i].shape) then
      fail(what, "v is %s, %s is %s: they must be equal", each.shape, name, like[i].shape)
    end
  end
  return vs
end

-- --- gradients --------------------------------------------------------------------------------------------------------

-- The gradients of ys for xs, 0 where there is none, which `strict` refuses.
local function gradients(what, ys, xs, above, create_graph, strict)
  local from, seeds = {}, {}
  for k, y in ipairs(ys) do
    if y.requires_grad then from[#from + 1], seeds[#seeds + 1] = y, above[k] end
  end
  local got = {}
  if #from > 0 then
    got = {sq.autograd.grad(from, xs,
      {grad_outputs = seeds, retain_graph = true, create_graph = create_graph, allow_unused = true})}
  end
  for i, x in ipairs(xs) do
    if got[i] == nil and strict then fail(what, "the result does not depend on input %d", i) end
    got[i] = got[i] or sq.zeros_like(x:detach())
  end
  return got
end

local function joined(a, b)
  local shape = {}
  for _, list in ipairs {a, b} do
    for _, n in ipairs(list) do shape[#shape + 1] = n end
  end
  return shape
end

-- The Jacobian of y for every x, row by row: y's shape, then x's.
local function jacobian_of(what, y, xs, create_graph, strict)
  local rows, whole = {}, {}
  for i in ipairs(xs) do rows[i] = {} end
  for n = 1, y:numel() do
    local seed = sq.zeros(y:numel(), {dtype = y.dtype})
    seed[n] = 1
    local got = gradients(what, {y}, xs, {seed:view(y.shape)}, create_graph, strict)
    for i, g in ipairs(got) do rows[i][n] = g:reshape(-1) end
  end
  for i, x in ipairs(xs) do
    local shape = joined(y.shape, x.shape)
    whole[i] = #rows[i] > 0 and sq.stack(rows[i]):reshape(shape) or sq.zeros(shape, {dtype = x.dtype})
  end
  return whole
end

local function single(what, ys)
  if #ys ~= 1 then fail(what, "func must give one number, it gave %d results", #ys) end
  if ys[1]:numel() ~= 1 then fail(what, "func must give one number, it gave %s", ys[1].shape) end
  return ys
end

local function slopes(what, ys, xs, strict)
  return gradients(what, single(what, ys), xs, {sq.ones_like(ys[1]:detach())}, true, strict)
end

local COMMON = "create_graph: bool = false, strict: bool = false"

local jacobian = api.define {owner = "sq.autograd.functional", name = "jacobian",
  signature = "(func: function, inputs: any, " .. COMMON .. ") -> any",
  doc = "The derivative of each element of func(inputs...) for each element of the inputs: a Tensor of the result's shape "
    .. "and then the input's; of a list of inputs a list, of several results as many.",
  example = "sq.autograd.functional.jacobian(sq.exp, sq.rand(3)) -- a diagonal (3,3)",
  call = function(func, inputs, create_graph, strict)
    local xs, all = enter("jacobian", inputs, create_graph), {}
    for k, y in ipairs(results("jacobian", func, xs)) do
      all[k] = as_given(jacobian_of("jacobian", y, xs, create_graph, strict), sq.is_tensor(inputs))
    end
    return table.unpack(all)
  end}

local hessian = api.define {owner = "sq.autograd.functional", name = "hessian",
  signature = "(func: function, inputs: any, " .. COMMON .. ") -> any",
  doc = "The second derivatives of a func that gives one number: a Tensor of the input's shape twice; of a list of inputs "
    .. "a list of lists.",
  example = "sq.autograd.functional.hessian(function(x) return (x ^ 3):sum() end, sq.rand(2))",
  call = function(func, inputs, create_graph, strict)
    local xs, all = enter("hessian", inputs, create_graph), {}
    for i, g in ipairs(slopes("hessian", results("hessian", func, xs), xs, strict)) do
      all[i] = as_given(jacobian_of("hessian", g, xs, create_graph, strict), sq.is_tensor(inputs))
    end
    return as_given(all, sq.is_tensor(inputs))
  end}

local vjp = api.define {owner = "sq.autograd.functional", name = "vjp",
  signature = "(func: function, inputs: any, v: any = nil, " .. COMMON .. ") -> any, any",
  doc = "func's result, and v times its Jacobian: v has the result's shape.",
  example = "local y, g = sq.autograd.functional.vjp(sq.exp, x, sq.ones_like(x))",
  call = function(func, inputs, v, create_graph, strict)
    local xs = enter("vjp", inputs, create_graph)
    local ys = results("vjp", func, xs)
    local got = gradients("vjp", ys, xs, vectors("vjp", v, ys, "the result"), create_graph, strict)
    return leave(ys, create_graph), as_given(got, sq.is_tensor(inputs))
  end}

-- The gradient g of v y is linear in v, and its own gradient for v, with u from above, is the Jacobian times u.
local jvp = api.define {owner = "sq.autograd.functional", name = "jvp",
  signature = "(func: function, inputs: any, v: any = nil, " .. COMMON .. ") -> any, any",
  doc = "func's result, and its Jacobian times v: v has the inputs' shapes.",
  example = "local y, d = sq.autograd.functional.jvp(sq.exp, x, sq.ones_like(x))",
  call = function(func, inputs, v, create_graph, strict)
    local xs = enter("jvp", inputs, create_graph)
    local ys, above = results("jvp", func, xs), {}
    local us = vectors("jvp", v, xs, "inputs")
    for k, y in ipairs(ys) do above[k] = sq.zeros_like(y:detach()):requires_grad_() end
    local linear = gradients("jvp", ys, xs, above, true, strict)
    local got = gradients("jvp", linear, above, us, create_graph, false)
    return leave(ys, create_graph), as_given(got, #ys == 1)
  end}

local hvp = api.define {owner = "sq.autograd.functional", name = "hvp",
  signature = "(func: function, inputs: any, v: any = nil, " .. COMMON .. ") -> any, any",
  doc = "The number that func gives, and its Hessian times v, without the Hessian: v has the inputs' shapes.",
  example = "local y, hv = sq.autograd.functional.hvp(loss, weights, directions)",
  call = function(func, inputs, v, create_graph, strict)
    local xs = enter("hvp", inputs, create_graph)
    local ys = results("hvp", func, xs)
    local vs = vectors("hvp", v, xs, "inputs")
    local got = gradients("hvp", slopes("hvp", ys, xs, strict), xs, vs, create_graph, strict)
    return leave(ys, create_graph), as_given(got, sq.is_tensor(inputs))
  end}

return {jacobian = jacobian, hessian = hessian, vjp = vjp, jvp = jvp, hvp = hvp}

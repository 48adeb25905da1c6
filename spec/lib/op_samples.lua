-- op_samples.lua: for every op with a gradient, how the arguments of a case are drawn, in float64: what
-- op_gradcheck_spec.lua and op_gradgradcheck_spec.lua go by.
local sq = require "seqrt"

-- --- drawing ------------------------------------------------------------------------------------------------

local pick = math.random

-- 1 to 3 dims of sizes 1 to 3; now and then none, or an empty one.
local function shape(least, most)
  local s = {}
  for i = 1, pick(least or 0, most or 3) do s[i] = pick(12) == 1 and 0 or pick(3) end
  return s
end

local function full_shape(least, most)
  local s = {}
  for i = 1, pick(least or 1, most or 3) do s[i] = pick(3) end
  return s
end

-- A shape that broadcasts with s.
local function partner(s)
  local t = {}
  for i = pick(#s + 1), #s do t[#t + 1] = pick(3) == 1 and 1 or s[i] end
  return t
end

-- The same values seen through other strides.
local function restride(x)
  local n = x:dim()
  local way = pick(3)
  if way == 1 and n > 1 then return x:transpose(1, n):contiguous():transpose(1, n) end
  if way == 2 and n > 0 and x:numel() > 0 then
    local s = x.shape
    s[n] = 2 * s[n]
    local wide = sq.zeros(s, {dtype = x.dtype})
    wide:slice(n, 1, s[n], 2):copy_(x)
    return wide:slice(n, 1, s[n], 2)
  end
  return x
end

local function leaf(x) return restride(x):detach():requires_grad_() end

-- Floats in the op's range.
local lo, hi
local function real(s) return leaf(sq.rand(s, {dtype = "float64"}) * (hi - lo) + lo) end
local function between(a, b, s) return leaf(sq.rand(s, {dtype = "float64"}) * (b - a) + a) end

-- All apart by at least 0.05, so that no order changes under a small step.
local function apart(s)
  local n = 1
  for _, k in ipairs(s) do n = n * k end
  local places = sq.randperm(math.max(n, 1)):to("float64"):narrow(1, 1, n)
  return leaf((places * 0.13 - 0.065 * n + 0.03):reshape(s))
end

local function signed(x) -- half of the elements negative: |x| stays in the range
  local sign = sq.randint(0, 2, x.shape):to "float64" * 2 - 1
  return leaf(x:detach() * sign)
end

local function ints(low, high, s) return sq.randint(low, high, s) end
local function mask(s) return sq.randint(0, 2, s):to "bool" end
local function dim_of(s) return pick(2) == 1 and pick(#s) or -pick(#s) end
local function some(...) return (select(pick(select("#", ...)), ...)) end

-- --- samples: for an op, a function that draws the arguments of one case ------------------------------------

local samples = {}
local function unary(names, draw)
  for name in names:gmatch "%S+" do samples[name] = draw or function() return {real(shape())} end end
end

unary "neg exp log log1p expm1 sqrt rsqrt sin cos atan square reciprocal erf tanh sigmoid silu"
unary "clone contiguous floor ceil round"
unary("abs relu sign", function() return {signed(real(shape()))} end)
unary("softmax log_softmax", function()
  local s = shape(1)
  return {real(s), dim_of(s)}
end)
local function binary(draw)
  return function()
    local s = shape()
    local a, b = draw(s), draw(partner(s))
    if pick(6) == 1 then return {a, a} end
    if pick(6) == 1 then return {a, 0.7} end
    if pick(6) == 1 then return {0.7, b} end
    if pick(2) == 1 then a, b = b, a end
    return {a, b}
  end
end
for _, name in ipairs {"add", "sub", "mul", "div", "pow"} do samples[name] = binary(real) end
local plain_pow = samples.pow
function samples.pow()
  if pick(3) > 1 then return plain_pow() end
  return {real(shape()), some(0, 1, 2, 3, 0.5, -1, 2.5, -0.5)}
end
local plain_add = samples.add
function samples.add()
  local args = plain_add()
  args[3] = some(1, 0.5, -2)
  return args
end
samples.sub = samples.add
for _, name in ipairs {"maximum", "minimum"} do
  samples[name] = function()
    local s = shape()
    local all = apart {2, 1, table.unpack(s)}:detach()
    return {leaf(all:select(1, 1):select(1, 1)), leaf(all:select(1, 2):select(1, 1))}
  end
end
for _, name in ipairs {"remainder", "fmod"} do -- the rounded quotient is 2, or -3 and -2, throughout
  samples[name] = function()
    local s = shape()
    local b = some(between(1.7, 1.9, partner(s)), between(-1.9, -1.7, partner(s)), 1.8)
    return {between(4.2, 4.8, s), b}
  end
end
function samples.clip() return {apart(shape()), some(-0.5, nil), 0.4} end
function samples.clamp()
  local s = shape()
  if pick(2) == 1 then return {between(-2, 2, s), between(-1.1, -1.05, partner(s)), some(between(1, 1.1, partner(s)), 3)} end
  return {apart(shape()), some(-0.5, nil), 0.4}
end
function samples.lerp()
  local s = shape()
  return {real(s), real(partner(s)), pick(3) == 1 and 0.3 or real(partner(s))}
end
function samples.where()
  local s = shape()
  local a, b = real(s), real(partner(s))
  if pick(4) == 1 then b = 0.5 end
  return {mask(partner(s)), a, b}
end
function samples.leaky_relu() return {signed(real(shape())), some(0.01, 0.2)} end
function samples.elu() return {signed(real(shape())), some(1, 0.5)} end
function samples.gelu() return {real(shape()), some("none", "tanh")} end
function samples.softplus() return {real(shape()), some(1, 2), 20} end

-- windows and copies
local function reshaped()
  local s, n = shape(), 1
  for _, k in ipairs(s) do n = n * k end
  return s, n
end
function samples.reshape()
  local s, n = reshaped()
  return {real(s), n > 0 and pick(2) == 1 and {-1} or {1, n}}
end
function samples.view()
  local s, n = reshaped()
  return {real(s):contiguous():detach():requires_grad_(), {n, 1}}
end
function samples.flatten() return {real(shape(2)), 1, some(1, 2, -1)} end
function samples.unflatten()
  local s = full_shape(1, 2)
  local d = pick(#s)
  s[d] = s[d] * 2
  return {real(s):contiguous():detach():requires_grad_(), d, some({2, -1}, {-1, 2})}
end
function samples.transpose()
  local s = shape(1)
  return {real(s), dim_of(s), dim_of(s)}
end
function samples.t() return {real(shape(0, 2))} end
function samples.permute()
  local s = shape(1)
  local order = sq.randperm(#s):tolist()
  for i, d in ipairs(order) do order[i] = math.tointeger(d) + 1 end
  return {real(s), order}
end
function samples.squeeze() return {real {1, 2, 1}, some(nil, 1, 2, 3)} end
function samples.unsqueeze()
  local s = shape()
  return {real(s), pick(#s + 1)}
end
function samples.expand()
  local s = full_shape(0, 2)
  local to = {2}
  for i, k in ipairs(s) do to[i + 1] = k == 1 and 3 or some(k, -1) end
  return {real(s), to}
end
function samples.expand_as()
  local s = full_shape()
  return {real(partner(s)), sq.zeros(s, {dtype = "float64"})}
end
function samples.select()
  local s = full_shape()
  local d = pick(#s)
  return {real(s), d, some(1, -1, pick(s[d]))}
end
function samples.narrow()
  local s = full_shape()
  local d = pick(#s)
  local start = pick(s[d])
  return {real(s), d, start, pick(s[d] - start + 1)}
end
function samples.slice()
  local s = full_shape()
  local d = pick(#s)
  local start = pick(s[d])
  return {real(s), d, start, pick(start, s[d]), pick(2)}
end
function samples.to() return {real(shape()), "float64"} end
function samples.copy()
  local s = shape()
  return {real(s), real(partner(s))}
end
function samples.fill() return {real(shape()), 0.5} end
unary "zero"
function samples.cat()
  local s = full_shape()
  local d, list = pick(#s), {}
  for i = 1, pick(3) do
    s[d] = pick(0, 2)
    list[i] = real(s)
  end
  return {list, d}
end
function samples.stack()
  local s, list = shape(0, 2), {}
  for i = 1, pick(3) do list[i] = real(s) end
  if pick(3) == 1 then list[#list + 1] = list[1] end
  return {list, pick(#s + 1)}
end
function samples.flip()
  local s = shape(1)
  return {real(s), some(dim_of(s), {pick(#s)})}
end
function samples.roll()
  local s = shape(1)
  if pick(3) == 1 then return {real(s), pick(-3, 3)} end
  return {real(s), {pick(-3, 3)}, dim_of(s)}
end
function samples.tril() return {real(shape(2)), pick(-2, 2)} end
samples.triu = samples.tril

-- reductions
local function some_dims(s)
  if #s == 0 or pick(3) == 1 then return nil end
  if #s > 1 and pick(2) == 1 then return {1, #s} end
  return dim_of(s)
end
local function reduced(draw)
  return function()
    local s = full_shape(0)
    local d = some_dims(s)
    if d == nil then return {draw(s)} end
    return {draw(s), d, pick(2) == 1}
  end
end
samples.sum, samples.mean = reduced(function(s) return real(s) end), reduced(function(s) return real(s) end)
for _, name in ipairs {"max", "min"} do
  samples[name] = function()
    local s = full_shape()
    if pick(3) == 1 then return {apart(s)} end
    return {apart(s), dim_of(s), pick(2) == 1}
  end
end
function samples.prod()
  local s = full_shape()
  local x = real(s)
  if pick(2) == 1 then x = leaf(x:detach() * (sq.randint(0, 4, s):to("float64"):clamp(0, 1))) end
  if pick(3) == 1 then return {x} end
  return {x, dim_of(s), pick(2) == 1}
end
for _, name in ipairs {"var", "std"} do
  samples[name] = function()
    local s = full_shape(1, 2)
    for i in ipairs(s) do s[i] = s[i] + 2 end
    return {apart(s), some_dims(s), pick(2) == 1, pick(2) == 1}
  end
end
function samples.norm()
  local s = full_shape(0)
  return {signed(apart(s):detach():abs() + 0.1), some(2, 1, 3, 2.5, math.huge), some_dims(s), pick(2) == 1}
end
function samples.logsumexp()
  local s = full_shape()
  return {real(s), some({1}, dim_of(s)), pick(2) == 1}
end
function samples.cumsum()
  local s = shape(1)
  return {real(s), dim_of(s)}
end
function samples.sort()
  local s = shape(1)
  return {apart(s), dim_of(s), pick(2) == 1}
end
function samples.topk()
  local s = full_shape()
  local d = pick(#s)
  return {apart(s), pick(s[d]), d, pick(2) == 1}
end

-- products
function samples.matmul()
  local m, k, n, b = pick(3), pick(0, 3), pick(3), pick(2)
  local left = some({k}, {m, k}, {b, m, k}, {1, m, k}, {2, b, m, k})
  local right = some({k}, {k, n}, {b, k, n}, {1, k, n})
  if #left == 2 and pick(5) == 1 then
    local square = real {m, m}
    return {square, square}
  end
  return {real(left), real(right)}
end
function samples.mm()
  local m, k, n = pick(3), pick(3), pick(3)
  return {real {m, k}, real {k, n}}
end
function samples.bmm()
  local b, m, k, n = pick(2), pick(3), pick(3), pick(3)
  return {real {b, m, k}, real {b, k, n}}
end
function samples.mv() local k = pick(3) return {real {pick(3), k}, real {k}} end
function samples.dot() local k = pick(0, 3) return {real {k}, real {k}} end
function samples.outer() return {real {pick(3)}, real {pick(3)}} end
function samples.addmm()
  local m, k, n = pick(3), pick(3), pick(3)
  return {real(some({n}, {m, n}, {1, n}, {m, 1})), real {m, k}, real {k, n}, some(1, 0.5), some(1, -2)}
end
function samples.einsum()
  local eq, shapes = table.unpack(some(
    {"ij,jk->ik", {{2, 3}, {3, 2}}}, {"ii->i", {{3, 3}}}, {"ii", {{2, 2}}}, {"ij->j", {{2, 3}}},
    {"ij,kl->ki", {{2, 2}, {3, 2}}},
    {"...i,...i->...", {{2, 1, 3}, {2, 3}}}, {"bij,bjk->bik", {{2, 2, 3}, {2, 3, 1}}}, {"iij,j->i", {{2, 2, 3}, {3}}},
    {"ij,jk,kl->il", {{2, 2}, {2, 3}, {3, 2}}}, {"ij,ij->i", {{2, 3}, {1, 3}}}, {"i,j->ij", {{2}, {3}}}, {"ij", {{2, 3}}}))
  local list = {}
  for i, s in ipairs(shapes) do list[i] = real(s) end
  if eq == "ij,jk->ik" and pick(3) == 1 then
    list = {real {2, 2}}
    list[2] = list[1]
  end
  return {eq, list}
end
function samples.linear()
  local I, O = pick(3), pick(3)
  return {real(some({I}, {2, I}, {2, 2, I}, {0, I})), real {O, I}, some(real {O}, nil)}
end

function samples.bilinear()
  local I, J, O = pick(3), pick(3), pick(3)
  local front = some({}, {2}, {2, 2}, {0})
  local a, b = {table.unpack(front)}, {table.unpack(front)}
  a[#a + 1], b[#b + 1] = I, J
  return {real(a), real(b), real {O, I, J}, some(real {O}, nil)}
end

-- elements by index
local function indexed(n)
  local s = full_shape()
  local d = pick(#s)
  return s, d, ints(0, s[d], {n or pick(0, 3)})
end
local function with(s, d, n)
  local t = {table.unpack(s)}
  t[d] = n
  return t
end
function samples.index_select() local s, d, i = indexed() return {real(s), d, i} end
function samples.index_add()
  local s, d, i = indexed()
  return {real(s), d, i, real(with(s, d, i:numel())), some(1, 0.5)}
end
function samples.index_copy()
  local s = full_shape()
  local d = pick(#s)
  local i = sq.randperm(s[d]):narrow(1, 1, pick(0, s[d]))
  return {real(s), d, i, real(with(s, d, i:numel()))}
end
function samples.index_fill() local s, d, i = indexed() return {real(s), d, i, some(0.5, real {})} end
function samples.index_put()
  local s = full_shape()
  local n, indices, rest = pick(3), {}, {}
  for d = 1, pick(#s) do indices[d] = ints(-s[d], s[d], some({n}, {1})) end
  indices[1] = ints(0, s[1], {n})
  for d = #indices + 1, #s do rest[#rest + 1] = s[d] end
  return {real(s), indices, real(some(rest, {n, table.unpack(rest)})), true}
end
function samples.gather()
  local s = full_shape()
  local d = pick(#s)
  return {real(s), d, ints(0, s[d], with(s, d, pick(3)))}
end
function samples.scatter_add()
  local s = full_shape()
  local d, n = pick(#s), pick(3)
  return {real(s), d, ints(0, s[d], with(s, d, n)), real(with(s, d, n + pick(0, 1)))}
end
function samples.scatter() -- every place is written once: the last of equals would win
  local s = full_shape()
  local d = pick(#s)
  local order = sq.randperm(s[d])
  local ones = {}
  for i = 1, #s do ones[i] = i == d and s[d] or 1 end
  local index = order:reshape(ones):expand(s):contiguous()
  return {real(s), d, index, pick(4) == 1 and 0.5 or real(with(s, d, s[d] + pick(0, 1)))}
end
function samples.masked_fill()
  local s = shape()
  return {real(s), mask(partner(s)), some(0.5, real {})}
end
function samples.masked_select() local s = shape() return {real(s), mask(partner(s))} end
function samples.masked_scatter()
  local s = shape()
  return {real(s), mask(partner(s)), real {27 + pick(3)}}
end
function samples.embedding()
  local N = pick(4)
  local args = {ints(0, N, shape(0, 2)), real {N, pick(3)}}
  return args
end

-- losses
local reductions = {"none", "mean", "sum"}
local function classes()
  local B, C = pick(0, 3), pick(4)
  local s = some({B, C}, {B, C}, {B, C, 2}, {C})
  local t = {}
  for i, k in ipairs(s) do
    if i ~= (#s == 1 and 1 or 2) then t[#t + 1] = k end
  end
  local target = ints(0, C, t)
  local ignore = pick(3) == 1 and 0 or -100
  return real(s), target, some(nil, between(0.5, 1.5, {C}):detach()), ignore, reductions[pick(3)]
end
-- A mean over nothing is NaN: such a case is drawn again.
local function counted(draw)
  return function()
    while true do
      local args = draw()
      local y = args.check()
      if sq.isfinite(y):all():item() then return args end
    end
  end
end
samples.cross_entropy = counted(function()
  local x, t, w, ignore, r = classes()
  local args = {x, t, w, ignore, r, some(0, 0.2, 1), n = 6}
  function args.check() return sq.cross_entropy(table.unpack(args, 1, 6)) end
  return args
end)
samples.nll_loss = counted(function()
  local x, t, w, ignore, r = classes()
  local args = {x, t, w, ignore, r, n = 5}
  function args.check() return sq.nll_loss(table.unpack(args, 1, 5)) end
  return args
end)
local function pair(...)
  local more = table.pack(...)
  return function()
    local s = full_shape(0)
    local both = apart {2, 1, table.unpack(s)}:detach()
    return {leaf(both:select(1, 1):select(1, 1)), leaf(both:select(1, 2):select(1, 1)), reductions[pick(3)],
            more.n > 0 and more[pick(more.n)] or nil}
  end
end
samples.mse_loss, samples.l1_loss, samples.smooth_l1_loss = pair(), pair(), pair(1, 0.7, 0)
function samples.kl_div()
  local s = full_shape()
  return {between(-2, 0, s), between(0.2, 2, s), some("none", "mean", "sum", "batchmean"), pick(2) == 1}
end
function samples.binary_cross_entropy()
  local s = full_shape(0)
  return {real(s), real(s), some(nil, real(s):detach()), reductions[pick(3)]}
end
function samples.binary_cross_entropy_with_logits()
  local s = full_shape()
  return {real(s), between(0, 1, s), some(nil, real(s):detach()), reductions[pick(3)],
          some(nil, between(0.5, 2, {s[#s]}):detach())}
end

-- normalisation, convolutions, recurrence
function samples.batch_norm()
  local C = pick(3)
  local s = some({3, C}, {2, C, 2}, {2, C, 2, 2})
  local training = pick(2) == 1
  local mean, var = between(-1, 1, {C}):detach(), between(0.5, 2, {C}):detach()
  if training and pick(2) == 1 then mean, var = nil, nil end
  return {apart(s), mean, var, some(real {C}, nil), some(real {C}, nil), training, 0.1, 0.1}
end
function samples.layer_norm()
  local s = full_shape(1, 2)
  s[#s] = s[#s] + 1
  return {apart(s), {s[#s]}, some(real {s[#s]}, nil), some(real {s[#s]}, nil), 0.1}
end
function samples.group_norm()
  local s = some({2, 4}, {2, 4, 2}, {1, 4, 2, 2})
  return {apart(s), some(1, 2), some(real {4}, nil), some(real {4}, nil), 0.1}
end
function samples.rms_norm()
  local s = full_shape(1, 2)
  return {signed(real(s)), {s[#s]}, some(real {s[#s]}, nil), some(0.1, nil)}
end
function samples.scaled_dot_product_attention()
  local L, S, E, V = pick(4), pick(0, 5), pick(3), pick(3)
  local q, k, v = some({L, E}, {2, L, E}, {1, 2, L, E}), some({S, E}, {2, S, E}), some({S, V}, {2, S, V}, {1, S, V})
  local visible = mask(some({L, S}, {S}, {2, L, 1}))
  local m = some(nil, nil, visible, real(some({L, S}, {2, 1, S}, {})))
  return {real(q), real(k), real(v), m, 0, m == nil and pick(2) == 1, some(nil, 0.5, -2)}
end
function samples.dropout() return {real(shape()), some(0, 1, 0.5), false} end
function samples.conv1d()
  local g, same = pick(2), pick(3) == 1
  return {real(some({2, 2 * g, 5}, {2 * g, 5})), real {2 * g, 2, pick(2) + 1}, some(nil, real {2 * g}),
    same and 1 or pick(2), same and "same" or pick(0, 1), pick(2), g}
end
function samples.conv2d()
  local g, same = pick(2), pick(3) == 1
  return {real(some({2, g, 4, 3}, {g, 4, 3})), real {2 * g, 1, 2, 2}, some(nil, real {2 * g}),
    same and 1 or some(1, {2, 1}), same and "same" or some(0, {1, 0}), some(1, {2, 1}), g}
end
function samples.conv_transpose2d()
  local g = pick(2)
  return {real(some({2, g, 2, 3}, {g, 2, 3})), real {g, 2, 2, 2}, some(nil, real {2 * g}), 2, some(0, {1, 0}),
    some(0, {1, 0}), g, some(1, {2, 1})}
end
function samples.max_pool2d()
  return {apart(some({1, 2, 4, 4}, {1, 5, 5})), 2, some(nil, {1, 2}), some(0, 1), 1, pick(2) == 1}
end
function samples.avg_pool2d()
  return {real(some({1, 2, 4, 4}, {1, 5, 5})), 2, some(nil, {1, 2}), some(0, 1), pick(2) == 1, pick(2) == 1}
end
local function recurrent(gates, states)
  return function()
    local T, B, I, H = pick(3), pick(2), pick(2), pick(2)
    local first, reverse = pick(2) == 1, pick(2) == 1
    local args = {real(first and {B, T, I} or {T, B, I})}
    local start, bias = pick(2) == 1, pick(2) == 1
    for i = 1, states do args[1 + i] = start and real {B, H} or nil end
    local n = 1 + states
    args[n + 1], args[n + 2] = real {gates * H, I}, real {gates * H, H}
    args[n + 3], args[n + 4] = bias and real {gates * H} or nil, bias and real {gates * H} or nil
    n = n + 4
    if gates == 1 then
      n = n + 1
      args[n] = "tanh"
    end
    args[n + 1], args[n + 2], args.n = first, reverse, n + 2
    return args
  end
end
samples.rnn, samples.lstm, samples.gru = recurrent(1, 1), recurrent(4, 2), recurrent(3, 1)

-- The leaves among the arguments, each once.
local function leaves(args, n)
  local found, seen = {}, {}
  local function visit(v)
    if sq.is_tensor(v) and v.requires_grad and not seen[v] then
      seen[v] = true
      found[#found + 1] = v
    elseif type(v) == "table" then
      for _, item in ipairs(v) do visit(item) end
    end
  end
  for i = 1, n do visit(args[i]) end
  return found
end

-- One case of an op's row of the registry: its arguments, how many, and the leaves among them.
local function draw(row)
  lo, hi = row.lo, row.hi
  if lo == hi then lo, hi = -1, 1 end
  local args = samples[row.name]()
  local n = args.n or #row.params
  return args, n, leaves(args, n)
end

return {samples = samples, draw = draw, between = between}

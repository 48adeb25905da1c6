-- every_size_spec.lua: every op, layer and loss of the registries with more elements than each constant of
-- runtime/base/limits.h, one below, at and above. What is computed at once is what is computed in small pieces, in
-- float64; its bits are those of any number of threads; and its memory follows its inputs.
local sq = require "seqrt"
local api = require "seqrt.api"
local support = require "spec.lib.support"
local nn = sq.nn

local ops = {}
for _, row in ipairs(api.list()) do
  if row.kind == "op" then ops[row.name] = row end
end

-- --- cases: tensors, the dim along which each is cut into pieces (false: not at all), where its results are cut ------
-- call(op, ...) calls it with these tensors; add: results of pieces are summed, not joined.

local lo, hi
local function real(...) return sq.rand({...}, {dtype = "float64"}) * (hi - lo) + lo end
local function whole(n, ...) return sq.randint(0, n, {...}) end
local function mask(...) return sq.randint(0, 2, {...}):to "bool" end
local function plain(op, ...) return op(...) end

local AROUND = {16383, 16384, 16385, 32769, 65537}
local LANES, COLUMNS, ELEM_BLOCK = {31, 32, 33}, {63, 64, 65}, {511, 512, 513}

local function each_size(make)
  local list = {}
  for i, n in ipairs(AROUND) do list[i] = make(n) end
  return list
end

local cases = {}
local function define(names, make)
  for name in names:gmatch "%S+" do cases[name] = make end
end

-- Of n elements, each second one of a tensor.
local function strided(count, n, call)
  local t = {}
  for i = 1, count do t[i] = real(n, 2) end
  return {t, {1, 1, 1}, 1, function(op, ...)
    local windows = {...}
    for i = 1, count do windows[i] = windows[i]:select(2, i % 2 + 1) end
    return call(op, table.unpack(windows))
  end}
end

-- Elementwise, of one shape; the last ones with strides.
local function elementwise(count, call)
  return function()
    local list = each_size(function(n)
      local t = {}
      for i = 1, count do t[i] = real(n) end
      return {t, {1, 1, 1}, 1, call or plain}
    end)
    local t = {}
    for i = 1, count do t[i] = real(3, 16385):t() end
    list[#list + 1] = {t, {1, 1, 1}, 1, call or plain}
    if count == 2 then list[#list + 1] = {{real(5, 20001), real(20001)}, {2, 1}, 2, call or plain} end
    for _, n in ipairs(ELEM_BLOCK) do list[#list + 1] = strided(count, n, call or plain) end
    return list
  end
end

-- Along a dim: many rows, a wide inner dim, a long middle one; what is cut is another dim.
local function along(call, keeps)
  return function()
    local function shaped(dim, cut, ...)
      local out = keeps and cut or cut > dim and cut - 1 or cut
      return {{real(...)}, {cut}, out, function(op, x) return call(op, x, dim) end}
    end
    local list = {
      shaped(2, 1, 16383, 3), shaped(2, 1, 16385, 4), shaped(2, 1, 40001, 3),
      shaped(1, 2, 3, 16385), shaped(1, 2, 4, 16384), shaped(1, 2, 5, 20001),
      shaped(1, 2, 2, 65537), shaped(2, 3, 2, 5, 20001),
      shaped(2, 3, 2, 20001, 3), shaped(2, 1, 3, 70001), shaped(1, 2, 32769, 2), shaped(2, 3, 3, 401, 300),
    }
    local function add(case) list[#list + 1] = case end
    local function with_strides(n)
      return {{real(5, n, 2)}, {1}, 1, function(op, x) return call(op, x:select(3, 2), 2) end}
    end
    for i = 1, 3 do
      add(shaped(2, 1, 5, LANES[i]))
      add(shaped(1, 2, 3, COLUMNS[i]))
      add(with_strides(LANES[i]))
      add(with_strides(ELEM_BLOCK[i]))
    end
    return list
  end
end

define("clamp clip", elementwise(1, function(op, x) return op(x, -0.5, 0.5) end))
define("pow", elementwise(2))
define("lerp", elementwise(3))
define("fill", elementwise(1, function(op, x) return op(x, 0.5) end))
define("to", elementwise(1, function(op, x) return op(x, "float64") end))
define("dropout", elementwise(1, function(op, x) return op(x, 0.5, false) end))
define("floor_divide", function() -- its gradient is an error that says what to write
  local list = elementwise(2)()
  for _, case in ipairs(list) do case.unrecorded = true end
  return list
end)
define("bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift", function()
  return each_size(function(n) return {{whole(60, n), whole(5, n)}, {1, 1}, 1, plain} end)
end)
define("bitwise_not", function() return each_size(function(n) return {{whole(60, n)}, {1}, 1, plain} end) end)
define("where", function()
  return each_size(function(n) return {{mask(n), real(n), real(n)}, {1, 1, 1}, 1, plain} end)
end)
define("softmax log_softmax cumsum sort", along(plain, true))
define("topk", along(function(op, x, dim) return op(x, 2, dim) end, true))
define("sum mean max min argmax argmin all any var logsumexp", along(plain))
define("std", function() -- the spread of two that are nearly equal has no digits
  local list = along(plain)()
  for i = #list, 1, -1 do
    if list[i][1][1]:size(1) == 2 and list[i][2][1] == 2 then table.remove(list, i) end
  end
  return list
end)
define("norm", along(function(op, x, dim) return op(x, 2, dim) end))
define("prod", function()
  lo, hi = 0.9999, 1.0001
  return along(plain)()
end)

-- Each row by itself.
local function rows(call, shape, out)
  return function()
    return each_size(function(n) return {{real(n, table.unpack(shape))}, {1}, out or 1, call} end)
  end
end
define("view reshape", rows(function(op, x) return op(x, {-1, 1, 3}) end, {3}))
define("flatten", rows(function(op, x) return op(x, 2, 3) end, {2, 2}))
define("unflatten", rows(function(op, x) return op(x, 2, {2, 2}) end, {4}))
define("transpose", rows(function(op, x) return op(x, 1, 2) end, {3}, 2))
define("t", rows(plain, {3}, 2))
define("permute", rows(function(op, x) return op(x, {2, 3, 1}) end, {3, 2}, 3))
define("squeeze", rows(function(op, x) return op(x, 2) end, {1, 3}))
define("unsqueeze", rows(function(op, x) return op(x, 1) end, {3}, 2))
define("expand", function()
  return each_size(function(n) return {{real(1, n)}, {2}, 2, function(op, x) return op(x, {5, -1}) end} end)
end)
define("expand_as", function()
  return each_size(function(n) return {{real(1, n), real(5, n)}, {2, 2}, 2, plain, dead = {[2] = true}} end)
end)
define("select", rows(function(op, x) return op(x, 2, 2) end, {3}))
define("narrow", rows(function(op, x) return op(x, 2, 2, 3) end, {5}))
define("slice", rows(function(op, x) return op(x, 2, 1, 5, 2) end, {5}))
define("cat stack", function()
  return each_size(function(n)
    return {{real(n, 3), real(n, 3)}, {1, 1}, 1, function(op, a, b) return op({a, b, a}, 2) end}
  end)
end)
define("flip", rows(function(op, x) return op(x, {2}) end, {3}))
define("roll", rows(function(op, x) return op(x, {1}, {2}) end, {3}))
define("tril triu", rows(plain, {3, 3}))

-- products
define("matmul mm", function()
  local list = each_size(function(n) return {{real(n, 3), real(3, 4)}, {1, false}, 1, plain} end)
  for _, n in ipairs {63, 64, 65, 99, 100, 101, 257} do
    list[#list + 1] = {{real(n, 100), real(100, n)}, {1, false}, 1, plain}
  end
  list[#list + 1] = {{real(2, 20001), real(20001, 3)}, {1, false}, 1, plain}
  return list
end)
define("bmm", function() return each_size(function(n) return {{real(n, 2, 3), real(n, 3, 2)}, {1, 1}, 1, plain} end) end)
define("mv", function() return each_size(function(n) return {{real(n, 3), real(3)}, {1, false}, 1, plain} end) end)
define("dot", function()
  lo, hi = 0.5, 1
  return each_size(function(n) return {{real(n), real(n)}, {1, 1}, 1, plain, add = true} end)
end)
define("outer", function()
  lo, hi = 0.5, 1
  return each_size(function(n) return {{real(n), real(3)}, {1, false}, 1, plain} end)
end)
define("addmm", function()
  return each_size(function(n) return {{real(4), real(n, 3), real(3, 4)}, {false, 1, false}, 1, plain} end)
end)
define("einsum", function()
  return each_size(function(n)
    return {{real(n, 3), real(4, 3)}, {1, false}, 1, function(op, a, b) return op("ij,kj->ik", {a, b}) end}
  end)
end)
define("linear", function()
  local list = each_size(function(n) return {{real(n, 3), real(4, 3), real(4)}, {1, false, false}, 1, plain} end)
  list[#list + 1] = {{real(5, 2), real(16385, 2), real(16385)}, {false, 1, 1}, 2, plain}
  return list
end)
define("bilinear", function()
  return each_size(function(n)
    return {{real(n, 2), real(n, 3), real(2, 2, 3), real(2)}, {1, 1, false, false}, 1, plain}
  end)
end)

-- elements by index
define("index_select", function()
  local list = each_size(function(n)
    return {{real(n, 3), whole(3, 5)}, {1, false}, 1, function(op, x, i) return op(x, 2, i) end}
  end)
  list[#list + 1] = {{real(5, 3), whole(5, 16385)}, {false, 1}, 1, function(op, x, i) return op(x, 1, i) end}
  return list
end)
define("index_add", function()
  return each_size(function(n)
    return {{real(n, 3), whole(3, 5), real(n, 5)}, {1, false, 1}, 1, function(op, x, i, s) return op(x, 2, i, s) end}
  end)
end)
define("index_copy", function()
  return each_size(function(n)
    return {{real(n, 3), sq.randperm(3), real(n, 3)}, {1, false, 1}, 1, function(op, x, i, s) return op(x, 2, i, s) end}
  end)
end)
define("index_fill", function()
  return each_size(function(n)
    return {{real(n, 3), whole(3, 2)}, {1, false}, 1, function(op, x, i) return op(x, 2, i, 0.5) end}
  end)
end)
define("gather", function()
  return each_size(function(n)
    return {{real(n, 3), whole(3, n, 2)}, {1, 1}, 1, function(op, x, i) return op(x, 2, i) end}
  end)
end)
define("scatter", function()
  return each_size(function(n)
    return {{real(n, 3), sq.randperm(3):expand(n, 3), real(n, 3)}, {1, 1, 1}, 1,
            function(op, x, i, s) return op(x, 2, i, s) end}
  end)
end)
define("scatter_add", function()
  return each_size(function(n)
    return {{real(n, 3), whole(3, n, 4), real(n, 4)}, {1, 1, 1}, 1, function(op, x, i, s) return op(x, 2, i, s) end}
  end)
end)
define("index_put", function()
  return each_size(function(n)
    return {{real(3, n), whole(3, 1), real(1, n)}, {2, false, 2}, 2, function(op, x, i, v) return op(x, {i}, v) end}
  end)
end)
define("masked_fill", function()
  return each_size(function(n) return {{real(n), mask(n)}, {1, 1}, 1, function(op, x, m) return op(x, m, 0.5) end} end)
end)
define("masked_select", function() return each_size(function(n) return {{real(n), mask(n)}, {1, 1}, 1, plain} end) end)
define("masked_scatter", function()
  return each_size(function(n)
    return {{real(n, 2), sq.tensor({false, true}):expand(n, 2), real(n)}, {1, 1, 1}, 1, plain}
  end)
end)
define("nonzero", function()
  return each_size(function(n)
    return {{whole(2, n)}, {1}, 1, function(op, x) return op(x) end, shift = true}
  end)
end)
define("one_hot", function()
  return each_size(function(n)
    return {{whole(5, n)}, {1}, 1, function(op, x) return op(x, 5) end}
  end)
end)
define("embedding", function() return each_size(function(n) return {{whole(7, n), real(7, 3)}, {1, false}, 1, plain} end) end)

-- losses: their sums
local function summed(draw, ...)
  local before = select("#", ...)
  local more = {...}
  return function()
    local list = each_size(function(n)
      local t = {draw(n)}
      return {t, {1, 1}, 1, function(op, x, y) return op(x, y, table.unpack(more, 1, before)) end, add = true}
    end)
    return list
  end
end
local function two(n) return real(n), real(n) end
local function classed(n) return real(n, 3), whole(3, n) end
define("mse_loss l1_loss smooth_l1_loss kl_div", summed(two, "sum"))
define("binary_cross_entropy binary_cross_entropy_with_logits",
  summed(function(n) return real(n), sq.rand({n}, {dtype = "float64"}) end, nil, "sum"))
define("cross_entropy nll_loss", function()
  local list = summed(classed, nil, -100, "sum")()
  list[#list + 1] = {{real(3, 16385), whole(16385, 3)}, {1, 1}, 1,
    function(op, x, y) return op(x, y, nil, -100, "sum") end, add = true}
  return list
end)

-- normalisation, windows, recurrence
define("batch_norm", function()
  local function training(op, x, w, b) return op(x, nil, nil, w, b, true) end
  local function channels(C, ...) return {{real(...), real(C), real(C)}, {2, 1, 1}, 2, training} end
  return {channels(16385, 5, 16385), channels(65, 300, 65), channels(3, 32769, 3), channels(5001, 3, 5001, 4)}
end)
define("layer_norm", function()
  local function of(n, d) return {{real(n, d), real(d), real(d)}, {1, false, false}, 1,
    function(op, x, w, b) return op(x, {d}, w, b) end} end
  return {of(16383, 5), of(16385, 4), of(40001, 3), of(3, 16385), of(17, 20001)}
end)
define("rms_norm", function()
  local function of(n, d) return {{real(n, d), real(d)}, {1, false}, 1,
    function(op, x, w) return op(x, {d}, w) end} end
  return {of(16383, 5), of(16385, 4), of(40001, 3), of(3, 16385), of(17, 20001)}
end)
define("group_norm", function()
  return {{{real(16385, 4, 2), real(4), real(4)}, {1, false, false}, 1, function(op, x, w, b) return op(x, 2, w, b) end}}
end)
define("scaled_dot_product_attention", function()
  local function causal(op, q, k, v) return op(q, k, v, {is_causal = true}) end
  local function added(op, q, k, v, m) return op(q, k, v, m) end
  local function of(call, ...)
    local t, cuts = {...}, {}
    for i, x in ipairs(t) do cuts[i] = x:dim() > 2 and 1 end
    return {t, cuts, 1, call}
  end
  local list = {}
  for _, n in ipairs {63, 64, 65, 129} do
    list[#list + 1] = of(plain, real(3, n, 20), real(3, n + 1, 20), real(3, n + 1, 20))
    list[#list + 1] = of(causal, real(3, n, 8), real(3, n, 8), real(3, n, 17))
    list[#list + 1] = of(added, real(3, n, 8), real(3, 2 * n, 8), real(3, 2 * n, 8), real(3, n, 2 * n))
  end
  list[#list + 1] = of(plain, real(2, 3, 385), real(2, 70, 385), real(2, 70, 65))
  list[#list + 1] = of(plain, real(16385, 2, 3), real(16385, 3, 3), real(16385, 3, 2))
  list[#list + 1] = {{real(2001, 8), real(65, 8), real(65, 8)}, {1, false, false}, 1, plain}
  return list
end)
define("conv1d", function()
  return {
    {{real(700, 2, 40), real(4, 2, 3), real(4)}, {1, false, false}, 1, plain},
    {{real(18, 128, 9), real(140, 128, 1), real(140)}, {1, false, false}, 1, plain},
  }
end)
define("conv2d", function()
  return {
    {{real(300, 3, 8, 8), real(5, 3, 3, 3), real(5)}, {1, false, false}, 1, plain},
    {{real(17, 32, 6, 6), real(64, 32, 3, 3), real(64)}, {1, false, false}, 1, plain},
    {{real(2, 1, 150, 150), real(4, 1, 3, 3), real(4)}, {1, false, false}, 1, plain},
  }
end)
define("conv_transpose2d", function()
  return {
    {{real(300, 3, 5, 5), real(3, 5, 3, 3), real(5)}, {1, false, false}, 1, plain},
    {{real(17, 64, 4, 4), real(64, 32, 3, 3), real(32)}, {1, false, false}, 1, plain},
  }
end)
define("max_pool2d avg_pool2d", function()
  local function pool(op, x) return op(x, 2) end
  return {{{real(700, 3, 8, 8)}, {1}, 1, pool}, {{real(2, 1, 260, 260)}, {1}, 1, pool}}
end)
local function recurrent(gates, call, outs)
  return function()
    local function of(T, B, I, H)
      return {{real(T, B, I), real(gates * H, I), real(gates * H, H), real(gates * H), real(gates * H)},
              {2, false, false, false, false}, outs, call}
    end
    return {of(3, 5001, 8, 7), of(2, 63, 40, 40), of(2, 65, 8, 7), of(200, 3, 8, 7)}
  end
end
cases.rnn = recurrent(1, function(op, x, ...) return op(x, nil, ...) end, {2, 1})
cases.gru = recurrent(3, function(op, x, ...) return op(x, nil, ...) end, {2, 1})
cases.lstm = recurrent(4, function(op, x, ...) return op(x, nil, nil, ...) end, {2, 1, 1})

-- An op without a case whose arguments are tensors alone is tried as elementwise.
local function cases_of(name)
  lo, hi = ops[name].lo, ops[name].hi
  if lo == hi then lo, hi = -1, 1 end
  if cases[name] then return cases[name]() end
  local inside, tensors = ops[name].signature:match "^%((.*)%) %->", 0
  for param in (inside .. ", "):gmatch "(.-), " do
    if not param:find "=" then
      assert(param:find ": Tensor$" or param:find ": Tensor|number$",
        name .. " is not tried with many elements: give it a case")
      tensors = tensors + 1
    end
  end
  return elementwise(tensors)()
end

-- --- running ------------------------------------------------------------------------------------------------------

local WORD = {float32 = 4, float64 = 8, int64 = 8, uint8 = 1, bool = 1}
local function bytes(list)
  local n = 0
  for _, x in pairs(list) do n = n + x:numel() * WORD[x.dtype] end
  return n
end

local function is_float(x) return x.dtype == "float32" or x.dtype == "float64" end

local function settle() return support.settle().live_bytes end

-- The case's tensors as dtype; those that are real are leaves.
local function leaves(case, dtype, recorded)
  local list = {}
  for i, x in ipairs(case[1]) do
    list[i] = is_float(x) and x:float():to(dtype):clone() or x
    if is_float(x) and recorded and not case.unrecorded and not (case.dead and case.dead[i]) then list[i]:requires_grad_() end
  end
  return list
end

local function grads(list)
  local out = {}
  for i, x in ipairs(list) do out[i] = x.requires_grad and x.grad or nil end
  return out
end

-- What a result's elements weigh in the loss.
local function weights(y)
  if y:dim() == 0 then return sq.ones_like(y) end
  local steps = sq.arange(0, y:numel(), {dtype = "float64"}) * 0.6180339887
  return (steps - steps:floor() + 0.5):float():to(y.dtype):reshape(y.shape)
end

-- Backward of the recorded results with these weights.
local function go_back(results, w)
  local left = 0
  for i in ipairs(results) do left = left + (results[i].requires_grad and results[i]:numel() > 0 and 1 or 0) end
  for i, y in ipairs(results) do
    if y.requires_grad and y:numel() > 0 then
      left = left - 1
      y:backward {gradient = w[i], retain_graph = left > 0}
    end
  end
end

-- All at once, within ten times the memory of inputs and results; results, gradients.
local function at_once(op, case, dtype, room)
  local list, w, y = leaves(case, dtype, true), {}, nil
  local function within(fn)
    sq.set_memory_limit(settle() + room)
    local ok, text = pcall(fn)
    sq.set_memory_limit(0)
    assert(ok, text)
  end
  within(function() y = {case[4](op, table.unpack(list))} end)
  for i in ipairs(y) do w[i] = is_float(y[i]) and weights(y[i]:detach()) end
  within(function() go_back(y, w) end)
  return y, grads(list)
end

-- In pieces of a thousand elements or so, in float64.
local function in_pieces(op, case, wanted)
  local list, dims, out = leaves(case, "float64", true), case[2], case[3]
  local size, numel = nil, 0
  for i, x in ipairs(list) do
    if dims[i] then
      size = size or x:size(dims[i])
      numel = math.max(numel, x:numel())
    end
  end
  local step, parts, at = math.max(1, size * 2000 // numel), {}, {}
  local w = {}
  for i, y in ipairs(wanted) do
    parts[i], at[i] = {}, 1
    w[i] = is_float(y) and weights(y:detach()):double()
  end
  for first = 1, size, step do
    local n, piece = math.min(step, size - first + 1), {}
    for i, x in ipairs(list) do piece[i] = dims[i] and x:narrow(dims[i], first, n) or x end
    local y, dy = {case[4](op, table.unpack(piece))}, {}
    for i in ipairs(y) do
      local d = type(out) == "table" and out[i] or out
      if case.add then
        dy[i] = w[i]
      else
        dy[i] = w[i] and w[i]:narrow(d, at[i], y[i]:size(d))
        at[i] = at[i] + y[i]:size(d)
      end
      parts[i][#parts[i] + 1] = case.shift and y[i] + (first - 1) or y[i]:detach()
    end
    go_back(y, dy)
  end
  local results = {}
  for i, list_i in ipairs(parts) do
    local d = type(out) == "table" and out[i] or out
    results[i] = case.add and sq.stack(list_i):sum() or sq.cat(list_i, d)
  end
  return results, grads(list)
end

local function assert_near(got, want, what)
  assert.same({table.unpack(want.shape)}, {table.unpack(got.shape)}, what)
  if got:numel() == 0 then return end
  local off = (got:detach():double() - want:detach():double()):abs():max():item()
  local size = want:detach():double():abs():max():item()
  local ok = off <= 1e-5 * size + 1e-9
  assert(ok, ("%s: off by %g where the largest is %g"):format(what, off, size))
end

local function equal(a, b)
  for i, x in pairs(a) do
    if not x:equal(b[i]) then return false end
  end
  return true
end

-- What an op takes at the most while it runs, and the bytes of inputs and results.
local function memory_of(op, case, dtype)
  local list = leaves(case, dtype, false)
  local before = settle()
  sq.reset_peak_memory_stats()
  local results = {case[4](op, table.unpack(list))}
  return sq.memory_stats().peak_bytes - before, bytes(list) + bytes(results)
end

-- Checks a case; which: its text in errors.
local function check(op, case, which)
  local took, size = memory_of(op, case, "float32")
  local fits = took <= 3 * size + (1 << 16)
  assert(fits, ("%s takes %d bytes for %d of inputs and results"):format(which, took, size))
  sq.set_num_threads(1)
  local y, dx = at_once(op, case, "float32", 10 * size + (1 << 20))
  sq.set_num_threads(3)
  local y3, dx3 = at_once(op, case, "float32", 10 * size + (1 << 20))
  assert(equal(y, y3) and equal(dx, dx3), which .. " has other bits with 3 threads")
  local want, dwant = in_pieces(op, case, y)
  for i in ipairs(y) do assert_near(y[i], want[i], which .. ", result " .. i) end
  for i in pairs(dx) do assert_near(dx[i], dwant[i], which .. ", gradient " .. i) end
end

local function shapes(case)
  local text = {}
  for i, x in ipairs(case[1]) do text[i] = "(" .. table.concat({table.unpack(x.shape)}, ",") .. ")" end
  return table.concat(text, " ")
end

-- --- layers ----------------------------------------------------------------------------------------------------------

-- What a class is made with, then a case's tensors, cuts and results' cuts (`twice`: the input is key and value too).
local function of(x, cut, out) return function() return {real(table.unpack(x))}, {cut or 1}, out or 1 end end

local layers = {
  Linear = {{3, 4}, of {16385, 3}},
  Bilinear = {{2, 3, 4}, function() return {real(16385, 2), real(16385, 3)}, {1, 1}, 1 end},
  Embedding = {{7, 3}, function() return {whole(7, 16385)}, {1}, 1 end},
  RNN = {{3, 4, {batch_first = true}}, of({5001, 3, 3}, 1, {1, 2})},
  GRU = {{3, 4, {batch_first = true}}, of({5001, 3, 3}, 1, {1, 2})},
  LSTM = {{3, 4, {batch_first = true}}, of({5001, 3, 3}, 1, {1, 2, 2})},
  RNNCell = {{3, 4}, of {16385, 3}},
  GRUCell = {{3, 4}, of {16385, 3}},
  LSTMCell = {{3, 4}, of({16385, 3}, 1, {1, 1})},
  LayerNorm = {{5}, of {16385, 5}},
  RMSNorm = {{5}, of {16385, 5}},
  GroupNorm = {{2, 4}, of {16385, 4}},
  BatchNorm1d = {{3}, of {16385, 3}},
  BatchNorm2d = {{3}, of {1001, 3, 4, 4}},
  Dropout = {{0.5}, of {16385}},
  Conv1d = {{128, 140, 1}, of {18, 128, 9}},
  Conv2d = {{32, 64, 3}, of {17, 32, 6, 6}},
  ConvTranspose2d = {{64, 32, 3}, of {17, 64, 4, 4}},
  MaxPool2d = {{2}, of {700, 3, 8, 8}},
  AvgPool2d = {{2}, of {700, 3, 8, 8}},
  Flatten = {{}, of {16385, 2, 2}},
  Unflatten = {{2, {2, 2}}, of {16385, 4}},
  Softmax = {{2}, of {16385, 3}},
  LogSoftmax = {{2}, of {16385, 3}},
  MultiheadAttention = {{4, 2, {batch_first = true}}, of({2001, 3, 4}, 1, {1, 1}), twice = true},
}
for name in ("Tanh Sigmoid ReLU LeakyReLU ELU GELU SiLU Softplus"):gmatch "%S+" do layers[name] = {{}, of {65537}} end

local targets = {
  class = function() return whole(3, 16385) end,
  like = function() return real(16385, 3) end,
  unit = function() return sq.rand({16385, 3}, {dtype = "float64"}) end,
}
local losses = {
  CrossEntropyLoss = "class", NLLLoss = "class", BCELoss = "unit", BCEWithLogitsLoss = "unit", MSELoss = "like",
  L1Loss = "like", SmoothL1Loss = "like", KLDivLoss = "unit",
}

-- As of an op: a layer stands for it, one of each dtype with the same parameters.
local function layer_case(name)
  lo, hi = 0.1, 0.9
  if losses[name] then
    local layer = nn[name]{reduction = "sum"}
    return layer, layer, {{real(16385, 3), targets[losses[name]]()}, {1, 1}, 1, plain, add = true}
  end
  local made = assert(layers[name], "nn." .. name .. " is not tried with many elements: give it a case")
  local small = nn[name](table.unpack(made[1])):eval()
  local wide = nn[name](table.unpack(made[1])):double():eval()
  sq.no_grad(function()
    for i, p in ipairs(wide:parameters()) do p:copy_(small:parameters()[i]) end
  end)
  local t, cuts, out = made[2]()
  return small, wide, {t, cuts, out, made.twice and function(op, x) return op(x, x, x) end or plain}
end

local function check_layer(name)
  local small, wide, case = layer_case(name)
  local function taken(layer)
    local list = {}
    for i, p in ipairs(layer:parameters()) do list[i], p.grad = p.grad, nil end
    return list
  end
  local results = sq.no_grad(function() return {case[4](small, table.unpack(leaves(case, "float32", false)))} end)
  local room = 10 * (bytes(leaves(case, "float32", false)) + bytes(results) + bytes(small:parameters())) + (1 << 20)
  sq.set_num_threads(1)
  local y, dx = at_once(small, case, "float32", room)
  local dp = taken(small)
  sq.set_num_threads(3)
  local y3, dx3 = at_once(small, case, "float32", room)
  assert(equal(y, y3) and equal(dx, dx3) and equal(dp, taken(small)), name .. " has other bits with 3 threads")
  local want, dwant = in_pieces(wide, case, y)
  for i in ipairs(y) do assert_near(y[i], want[i], name .. ", result " .. i) end
  for i in pairs(dx) do assert_near(dx[i], dwant[i], name .. ", gradient " .. i) end
  for i, g in pairs(taken(wide)) do assert_near(dp[i], g, name .. ", gradient of parameter " .. i) end
end

describe("with many elements, at once as in pieces #long:", function()
  local threads = sq.get_num_threads()
  after_each(function() sq.set_num_threads(threads) end)

  local names = {}
  for name in pairs(ops) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    it(name, function()
      sq.manual_seed(5)
      for _, case in ipairs(cases_of(name)) do
        case.unrecorded = case.unrecorded or not ops[name].has_backward
        check(sq[name], case, name .. " of " .. shapes(case))
      end
    end)
  end

  for _, dtype in ipairs {"uint8", "bool"} do
    it("takes three times its inputs and results at the most, also of " .. dtype, function()
      local wrong, tried = {}, 0
      for _, name in ipairs(names) do
        for _, case in ipairs(name ~= "logsumexp" and cases_of(name) or {}) do -- its float32 copy alone is four times x
          local ok, took, size = pcall(memory_of, sq[name], case, dtype)
          if ok then tried = tried + 1 end
          if ok and took > 3 * size + (1 << 14) then
            wrong[#wrong + 1] = ("%s of %s takes %d bytes for %d"):format(name, shapes(case), took, size)
          end
        end
      end
      assert.same({}, wrong)
      assert(tried > 100, "ops that take " .. dtype .. ": " .. tried)
    end)
  end

  it("no case is of an op that isn't there", function()
    for name in pairs(cases) do assert(ops[name], name) end
  end)
end)

describe("with many rows, at once as in pieces #long:", function()
  local threads = sq.get_num_threads()
  after_each(function() sq.set_num_threads(threads) end)

  -- Containers, and what computes nothing.
  local without = {Module = true, Sequential = true, ModuleList = true, Identity = true, Parameter = true}
  local names = {}
  assert(nn.MultiheadAttention) -- lists itself when it is loaded
  for _, row in ipairs(api.list()) do
    if row.owner == "sq.nn" and row.name:find "^%u%w+$" and not without[row.name] then names[#names + 1] = row.name end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    it("nn." .. name, function()
      sq.manual_seed(6)
      check_layer(name)
    end)
  end
end)

-- attention_spec.lua: attention that keeps no weights is attention with weights: results, gradients, masks; and what it keeps.
local sq = require "seqrt"
local nn, F = sq.nn, sq.nn.functional

local function assert_near(got, want, what)
  local off = (got:detach() - want:detach()):abs():max():item()
  local ok = off <= 1e-12
  assert(ok, ("%s: off by %g"):format(what, off))
end

local function mask(...) return sq.randint(0, 4, {...}):eq(0) end
local function number(...) return sq.randn({...}, {dtype = "float64"}) end

-- What the layer gives and the gradients of its parameters and inputs.
local function taken(layer, inputs, options)
  local x = {}
  for i, t in ipairs(inputs) do x[i] = t:detach():clone():requires_grad_() end
  for _, p in ipairs(layer:parameters()) do p.grad = nil end
  local y = layer(x[1], x[2], x[3], options)
  sq.manual_seed(3)
  y:backward(sq.randn(y.shape, {dtype = "float64"}))
  local list = {y}
  for _, p in ipairs(layer:parameters()) do list[#list + 1] = p.grad end
  for _, t in ipairs(x) do list[#list + 1] = t.grad end
  return list
end

-- The same call with and without weights.
local function compare(layer, inputs, options, what)
  options.need_weights = true
  local want = taken(layer, inputs, options)
  options.need_weights = false
  for i, got in ipairs(taken(layer, inputs, options)) do assert_near(got, want[i], what .. ", tensor " .. i) end
end

describe("nn.MultiheadAttention without its weights", function()
  local T, S, B = 70, 67, 2
  local inputs = {number(T, B, 6), number(S, B, 6), number(S, B, 6)}

  for name, made in pairs {plain = {}, ["trained row"] = {add_bias_kv = true}, ["row of zeros"] = {add_zero_attn = true}} do
    it("is the same as with them: " .. name, function()
      sq.manual_seed(1)
      local layer = nn.MultiheadAttention(6, 3, made):double()
      compare(layer, inputs, {}, "no mask")
      compare(layer, inputs, {attn_mask = mask(T, S)}, "bool attn_mask")
      compare(layer, inputs, {attn_mask = number(T, S)}, "attn_mask of numbers")
      compare(layer, inputs, {attn_mask = mask(B * 3, T, S)}, "attn_mask for each head")
      compare(layer, inputs, {key_padding_mask = mask(B, S)}, "key_padding_mask")
      compare(layer, inputs, {attn_mask = mask(T, S), key_padding_mask = mask(B, S)}, "both masks")
      compare(layer, inputs, {attn_mask = number(T, S), key_padding_mask = mask(B, S)}, "masks of two kinds")
    end)
  end

  it("reads is_causal as what attn_mask says", function()
    sq.manual_seed(2)
    local layer = nn.MultiheadAttention(6, 2, {batch_first = true}):double()
    local x, later = number(2, 70, 6), sq.ones(70, 70):triu(1):bool()
    local want = layer(x, x, x, {attn_mask = later})
    for _, need_weights in ipairs {true, false} do
      assert_near(layer(x, x, x, {attn_mask = later, is_causal = true, need_weights = need_weights}), want, "is_causal")
    end
    local padded = {attn_mask = later, is_causal = true, key_padding_mask = mask(2, 70)}
    padded.key_padding_mask[{{}, 1}] = false
    compare(layer, {x, x, x}, padded, "is_causal and key_padding_mask")
    local ok, text = pcall(layer, x, x, x, {is_causal = true})
    assert.is_false(ok)
    assert.matches("is_causal says what attn_mask is: give the mask too", text, 1, true)
  end)

  it("gives the bias alone where all keys are hidden, as PyTorch", function()
    local layer = nn.MultiheadAttention(4, 2)
    local y = layer(sq.randn(3, 1, 4), sq.randn(2, 1, 4), sq.randn(2, 1, 4),
      {need_weights = false, attn_mask = sq.ones(3, 2):bool()})
    assert.is_true(y:equal(layer.out_proj.bias:expand(3, 1, 4)))
  end)
end)

describe("scaled_dot_product_attention", function()
  it("keeps no matrix of weights", function()
    local n = 1024
    local q = sq.randn(n, 16):requires_grad_()
    collectgarbage()
    collectgarbage()
    local before = sq.memory_stats().live_bytes
    sq.reset_peak_memory_stats()
    local y = F.scaled_dot_product_attention(q, q, q, {is_causal = true})
    y:sum():backward()
    assert.is_true(sq.memory_stats().peak_bytes - before < 4 * n * n / 2)
  end)

  it("lays heads out so that they become rows without a copy", function()
    local x = sq.randn(2, 5, 3, 4):transpose(2, 3)
    local y = F.scaled_dot_product_attention(x, x, x)
    assert.same({2, 3, 5, 4}, {table.unpack(y.shape)})
    assert.is_true(y:transpose(2, 3):is_contiguous())
  end)

  it("passes NaN and Inf on to their own rows", function()
    local q = sq.tensor {{0 / 0, 1}, {1, 1}, {math.huge, 1}}
    local k, v = sq.ones(3, 2), sq.ones(3, 2)
    local y = F.scaled_dot_product_attention(q, k, v)
    assert.same({true, false, true}, y:isnan():select(2, 1):tolist())
    assert.is_true(y:select(1, 2):allclose(sq.ones(2)))
  end)
end)

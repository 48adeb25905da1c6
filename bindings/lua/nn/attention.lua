-- attention.lua: nn.MultiheadAttention (Vaswani et al. 2017), out of linear maps and F.scaled_dot_product_attention; where
-- weights are asked for or dropped, out of products and a softmax.

local sq = require "seqrt"
local nn = sq.nn
local F = nn.functional
local api = require "seqrt.api"

local Attention = nn.Module "MultiheadAttention"
local method = api.class {name = "MultiheadAttention", owner = "Module", methods = Attention,
  doc = "Attention of several heads."}

local function parameter(shape, dtype) return nn.Parameter(sq.zeros(shape, {dtype = dtype})) end

-- Draws in PyTorch's order: the output map first, then the input maps, each by xavier_uniform_; biases are 0.
function Attention:init(embed_dim, num_heads, o)
  if num_heads < 1 or embed_dim % num_heads ~= 0 then
    api.fail("[nn.MultiheadAttention] embed_dim %d must divide into %d heads", embed_dim, num_heads)
  end
  self.embed_dim, self.num_heads, self.dropout, self.batch_first = embed_dim, num_heads, o.dropout, o.batch_first
  local kdim, vdim = o.kdim or embed_dim, o.vdim or embed_dim
  self.in_proj_bias, self.bias_k, self.bias_v = nil, nil, nil -- there where asked for
  self.apart = kdim ~= embed_dim or vdim ~= embed_dim
  local maps
  if self.apart then
    self.q_proj_weight = parameter({embed_dim, embed_dim}, o.dtype)
    self.k_proj_weight = parameter({embed_dim, kdim}, o.dtype)
    self.v_proj_weight = parameter({embed_dim, vdim}, o.dtype)
    maps = {self.q_proj_weight, self.k_proj_weight, self.v_proj_weight}
  else
    self.in_proj_weight = parameter({3 * embed_dim, embed_dim}, o.dtype)
    maps = {self.in_proj_weight}
  end
  if o.bias then self.in_proj_bias = parameter({3 * embed_dim}, o.dtype) end
  self.out_proj = nn.Linear(embed_dim, embed_dim, {bias = o.bias, dtype = o.dtype})
  for _, w in ipairs(maps) do nn.init.xavier_uniform_(w) end
  if o.bias then nn.init.zeros_(self.out_proj.bias) end
  if o.add_bias_kv then
    self.bias_k = nn.init.xavier_normal_(parameter({1, 1, embed_dim}, o.dtype))
    self.bias_v = nn.init.xavier_normal_(parameter({1, 1, embed_dim}, o.dtype))
  end
  self.add_zero_attn = o.add_zero_attn
end

function Attention:extra_repr() return format("%d, %d heads", self.embed_dim, self.num_heads) end

-- Rows (k-1)E+1..kE of a stacked parameter.
local function third(t, k, E) return t and t:narrow(1, (k - 1) * E + 1, E) end

local function project(self, k, x)
  local E = self.embed_dim
  local w = self.apart and self[({"q", "k", "v"})[k] .. "_proj_weight"] or third(self.in_proj_weight, k, E)
  return F.linear(x, w, third(self.in_proj_bias, k, E))
end

-- (T,B,E) -> (B,heads,T,E/heads)
local function heads(self, x)
  local T, B = x:size(1), x:size(2)
  return x:reshape(T, B, self.num_heads, -1):permute(2, 3, 1, 4)
end

-- A mask as what is added to the scores: bool hides where true.
local function additive(mask, like)
  if mask.dtype ~= "bool" then return mask end
  return sq.zeros(mask.shape, {dtype = like.dtype}):masked_fill(mask, -math.huge)
end

local function widen(mask, n)
  if not mask or n == 0 then return mask end
  local s = mask.shape
  s[#s] = n
  return sq.cat({mask, sq.zeros(s, {dtype = mask.dtype})}, -1)
end

-- attn_mask (T,S) or (B*heads,T,S) and key_padding_mask (B,S) as masks over scores (B,heads,T,S) with B items; nil for one
-- left out.
local function masks(self, options, B, extra)
  local mask, padding = widen(options.attn_mask, extra), widen(options.key_padding_mask, extra)
  if mask and mask:dim() == 3 then mask = mask:reshape(B, self.num_heads, mask:size(2), mask:size(3)) end
  return mask, padding and padding:reshape(B, 1, 1, -1)
end

-- What scaled_dot_product_attention takes for both: true where a key takes part, or what is added to scores like q.
local function merge(mask, padding, q)
  if not (mask and padding) then
    mask = mask or padding
    return mask and mask.dtype == "bool" and mask:logical_not() or mask
  end
  if mask.dtype == "bool" and padding.dtype == "bool" then return mask:logical_or(padding):logical_not() end
  return additive(mask, q) + additive(padding, q)
end

local function fused(self, q, k, v, options, extra)
  if options.is_causal and not options.key_padding_mask and extra == 0 then
    return F.scaled_dot_product_attention(q, k, v, {is_causal = true})
  end
  local mask, padding = masks(self, options, q:size(1), extra)
  return F.scaled_dot_product_attention(q, k, v, merge(mask, padding, q))
end

-- The same with the weights (B,heads,T,S), which are given back as they were used: dropped ones are 0, as by PyTorch.
local function composed(self, q, k, v, options, extra)
  local scores = (q * q:size(4) ^ -0.5):matmul(k:transpose(-2, -1))
  local mask, padding = masks(self, options, q:size(1), extra)
  if mask then scores = scores + additive(mask, scores) end
  if padding then scores = scores + additive(padding, scores) end
  local weights = F.dropout(F.softmax(scores, -1), self.dropout, self.training)
  return weights:matmul(v), weights
end

-- The keys or values with the trained row and the row of zeros that options ask for.
local function lengthen(self, x, row)
  local B, E = x:size(2), self.embed_dim
  if row then x = sq.cat({x, row:expand(1, B, E)}, 1) end
  if self.add_zero_attn then x = sq.cat({x, sq.zeros(1, B, E, {dtype = x.dtype})}, 1) end
  return x
end

-- query (T,B,E), key and value (S,B,E) -> the attended values (T,B,E) and the weights (B,T,S), the mean over the heads
-- (need_weights = false: none; average_attn_weights = false: (B,heads,T,S)). batch_first: (B,T,E). Without a batch: (T,E).
-- is_causal says of attn_mask that it hides what comes later, so that it need not be read.
local function attend(self, query, key, value, options)
  local single = query:dim() == 2
  if options.is_causal and not options.attn_mask then
    api.fail "[nn.MultiheadAttention] is_causal says what attn_mask is: give the mask too, sq.ones(T, T):triu(1):bool()"
  end
  local function enter(x)
    if single then return x:unsqueeze(2) end
    return self.batch_first and x:transpose(1, 2) or x
  end
  local q, k, v = project(self, 1, enter(query)), project(self, 2, enter(key)), project(self, 3, enter(value))
  local S = k:size(1)
  k, v = lengthen(self, k, self.bias_k), lengthen(self, v, self.bias_v)
  local T, B, E = q:size(1), q:size(2), self.embed_dim
  if single and options.key_padding_mask then
    options.key_padding_mask = options.key_padding_mask:unsqueeze(1)
  end
  local weighed = options.need_weights or self.training and self.dropout > 0
  local y, weights = (weighed and composed or fused)(self, heads(self, q), heads(self, k), heads(self, v), options,
    k:size(1) - S)
  y = self.out_proj(y:permute(3, 1, 2, 4):reshape(T, B, E))
  if not options.need_weights then
    weights = nil
  elseif options.average_attn_weights then
    weights = weights:mean(2)
  end
  if single then return y:squeeze(2), weights and weights:squeeze(1) end
  return self.batch_first and y:transpose(1, 2) or y, weights
end

method("forward", "(query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor? = nil, "
    .. "need_weights: bool = true, attn_mask: Tensor? = nil, average_attn_weights: bool = true, "
    .. "is_causal: bool = false) -> Tensor, Tensor",
  "The values, weighed by how well their keys meet each query; and the weights, the mean over the heads.",
  "local y, weights = attention(x, x, x)",
  function(self, query, key, value, key_padding_mask, need_weights, attn_mask, average_attn_weights, is_causal)
    return attend(self, query, key, value, {key_padding_mask = key_padding_mask, need_weights = need_weights,
      attn_mask = attn_mask, average_attn_weights = average_attn_weights, is_causal = is_causal})
  end)

return api.define {owner = "sq.nn", name = "MultiheadAttention",
  signature = "(embed_dim: int, num_heads: int, dropout: number = 0, bias: bool = true, add_bias_kv: bool = false, "
    .. "add_zero_attn: bool = false, kdim: int? = nil, vdim: int? = nil, batch_first: bool = false, "
    .. "dtype: dtype = float32) -> MultiheadAttention",
  example = "local attention = nn.MultiheadAttention(64, 4, {batch_first = true})",
  doc = "Attention of several heads: query (T,B,E), key and value (S,B,E) -> (T,B,E) and the weights (B,T,S).",
  call = function(embed_dim, num_heads, dropout, bias, add_bias_kv, add_zero_attn, kdim, vdim, batch_first, dtype)
    return Attention(embed_dim, num_heads, {dropout = dropout, bias = bias, add_bias_kv = add_bias_kv,
      add_zero_attn = add_zero_attn, kdim = kdim, vdim = vdim, batch_first = batch_first, dtype = dtype})
  end}

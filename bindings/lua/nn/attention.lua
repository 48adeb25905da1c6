-- attention.lua: nn.MultiheadAttention (Vaswani et al. 2017), out of linear maps, products and a softmax.

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

-- Masks onto scores (B,heads,T,S): attn_mask (T,S) or (B*heads,T,S), key_padding_mask (B,S).
local function hide(self, scores, options, extra)
  local B, T, S = scores:size(1), scores:size(3), scores:size(4)
  local mask, padding = widen(options.attn_mask, extra), widen(options.key_padding_mask, extra)
  if mask then
    mask = additive(mask, scores)
    scores = scores + (mask:dim() == 3 and mask:reshape(B, self.num_heads, T, S) or mask)
  end
  if padding then scores = scores + additive(padding, scores):reshape(B, 1, 1, S) end
  return scores
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
local function attend(self, query, key, value, options)
  local single = query:dim() == 2
  local function enter(x)
    if single then return x:unsqueeze(2) end
    return self.batch_first and x:transpose(1, 2) or x
  end
  local q, k, v = project(self, 1, enter(query)), project(self, 2, enter(key)), project(self, 3, enter(value))
  local S = k:size(1)
  k, v = lengthen(self, k, self.bias_k), lengthen(self, v, self.bias_v)
  local T, B, E = q:size(1), q:size(2), self.embed_dim
  local scores = (heads(self, q) * (E // self.num_heads) ^ -0.5):matmul(heads(self, k):transpose(-2, -1))
  if single and options.key_padding_mask then
    options.key_padding_mask = options.key_padding_mask:unsqueeze(1)
  end
  local weights = F.softmax(hide(self, scores, options, k:size(1) - S), -1)
  weights = F.dropout(weights, self.dropout, self.training) -- these are given back, as by PyTorch
  local y = self.out_proj(weights:matmul(heads(self, v)):permute(3, 1, 2, 4):reshape(T, B, E))
  if not options.need_weights then
    weights = nil
  elseif options.average_attn_weights then
    weights = weights:mean(2)
  end
  if single then return y:squeeze(2), weights and weights:squeeze(1) end
  return self.batch_first and y:transpose(1, 2) or y, weights
end

method("forward", "(query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor? = nil, "
    .. "need_weights: bool = true, attn_mask: Tensor? = nil, average_attn_weights: bool = true) -> Tensor, Tensor",
  "The values, weighed by how well their keys meet each query; and the weights, the mean over the heads.",
  "local y, weights = attention(x, x, x)",
  function(self, query, key, value, key_padding_mask, need_weights, attn_mask, average_attn_weights)
    return attend(self, query, key, value, {key_padding_mask = key_padding_mask, need_weights = need_weights,
      attn_mask = attn_mask, average_attn_weights = average_attn_weights})
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

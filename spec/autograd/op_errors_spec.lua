-- op_errors_spec.lua: what a user reads when an op refuses: the op, both shapes, and what to do.
local sq = require "seqrt"

local function z(...) return sq.zeros(...) end
local function whole(list) return sq.tensor(list, {dtype = "int64"}) end

local refused = {
  {"[matmul] inner sizes differ: a is (32,64), b is (32,10)", function() return z(32, 64):matmul(z(32, 10)) end},
  {"[matmul] a is bool, b is bool: both must be of one dtype, and not bool",
    function() return whole {{1}}:bool():matmul(whole {{1}}:bool()) end},
  {"[mm] a is (2), b is (2,2): a must have 2 dims and b 2; use matmul", function() return z(2):mm(z(2, 2)) end},
  {"[add] shapes do not broadcast: a is (2,3), b is (2,4): dim -1 is 3 and 4, they must be equal or one of them 1",
    function() return z(2, 3) + z(2, 4) end},
  {"[mm] dtypes differ: a is float32, b is float64: convert one with :to(\"float64\")",
    function() return z(2, 2):mm(z({2, 2}, {dtype = "float64"})) end},
  {"[cat] tensor 1 is (2,3), tensor 2 is (2,4): they may differ in dim 1 only",
    function() return sq.cat {z(2, 3), z(2, 4)} end},
  {"[cat] there are no tensors to join", function() return sq.cat {} end},
  {"[stack] tensor 1 is (2), tensor 2 is (3): they must be equal", function() return sq.stack {z(2), z(3)} end},
  {"[reshape] x is (2,3) with 6 elements: it can't become (4,-1)", function() return z(2, 3):reshape(4, -1) end},
  {"[view] x is (3,2) and not contiguous: a view as (6) is not possible, use reshape",
    function() return z(2, 3):t():view(6) end},
  {"[select] position 4 is out of range: dim 2 has size 3 (1 to 3, or -1 to -3)", function() return z(2, 3):select(2, 4) end},
  {"[sum] dim 3 is out of range: the tensor has 2 dims (1 to 2, or -1 to -2)", function() return z(2, 3):sum(3) end},
  {"[sum] dim 2 appears twice", function() return z(2, 3):sum {2, -1} end},
  {"[max] x is (0): there is no element to choose", function() return z(0):max() end},
  {"[permute] x is (2,3): 3 dims are given, it has 2", function() return z(2, 3):permute(1, 2, 3) end},
  {"[expand] x is (2,3): it does not expand to (4,3)", function() return z(2, 3):expand(4, 3) end},
  {"[topk] k is 4: dim 1 has 3 positions", function() return z(3):topk(4) end},
  {"[index_select] index 5 at element 2 is out of range: it must be 0 to 2",
    function() return z(3):index_select(1, whole {0, 5}) end},
  {"[embedding] index 9 at element 3 is out of range: it must be 0 to 3",
    function() return sq.embedding(whole {0, 1, 9}, z(4, 2)) end},
  {"[gather] the index is float32: it must be int64, convert it with x:long()", function() return z(3):gather(1, z(3)) end},
  {"[one_hot] index -1 at element 2 is out of range: it must be 0 to 3", function() return whole {0, -1}:one_hot(4) end},
  {"[where] the condition is float32: it must be bool", function() return sq.where(z(2), 1, 2) end},
  {"[cross_entropy] target row 2 is class 7: classes are 0 to 4",
    function() return sq.cross_entropy(z(3, 5), whole {0, 7, 1}) end},
  {"[cross_entropy] target is float32: classes are int64, convert it with x:long()",
    function() return sq.cross_entropy(z(3, 5), z(3)) end},
  {"[cross_entropy] input is (3,5), target is (4): input must be (B,C,...) and target (B,...)",
    function() return sq.cross_entropy(z(3, 5), whole {0, 1, 2, 3}) end},
  {"[mse_loss] input is (3), target is (3,1): they must be equal", function() return sq.mse_loss(z(3), z(3, 1)) end},
  {"[binary_cross_entropy] input is -1 to 2: it must be probabilities, 0 to 1",
    function() return sq.binary_cross_entropy(sq.tensor {-1.0, 2.0}, z(2)) end},
  {"[cross_entropy] weight requires a gradient, which this loss does not give: detach it",
    function() return sq.cross_entropy(z(1, 2):requires_grad_(), whole {0}, z(2):requires_grad_()) end},
  {"[conv2d] x is (1,3,8,8), weight is (4,2,3,3) with 1 groups: x must be (B,C,..)",
    function() return sq.conv2d(z(1, 3, 8, 8), z(4, 2, 3, 3)) end},
  {"[conv2d] x is (1,2,2,2), weight is (4,2,3,3): the kernel is larger than the padded x",
    function() return sq.conv2d(z(1, 2, 2, 2), z(4, 2, 3, 3)) end},
  {"[max_pool2d] x is (2,2): it must be (B,C,Y,X) or (C,Y,X)", function() return sq.max_pool2d(z(2, 2), 2) end},
  {"[einsum] operand 1 is (2,3): its term in \"i->i\" has 1 labels", function() return sq.einsum("i->i", {z(2, 3)}) end},
  {"[einsum] label 'j' is 3, but 4 in operand 2", function() return sq.einsum("ij,jk->ik", {z(2, 3), z(4, 5)}) end},
  {"[einsum] the result's label 'z' is in no operand", function() return sq.einsum("ij->z", {z(2, 3)}) end},
  {"[pow] x is int64: a negative power of it needs floats, use x:float()", function() return whole {2} ^ -1 end},
  {"[gelu] x is int64: it must be float32 or float64", function() return whole {2}:gelu() end},
  {"[scaled_dot_product_attention] query is (2,3), key is (4,3), value is (5,3): they must be (...,L,E), (...,S,E) and "
      .. "(...,S,V)",
    function() return sq.scaled_dot_product_attention(z(2, 3), z(4, 3), z(5, 3)) end},
  {"[scaled_dot_product_attention] attn_mask is (3,4): it must broadcast to the scores, (2,4)",
    function() return sq.scaled_dot_product_attention(z(2, 3), z(4, 3), z(4, 3), z(3, 4)) end},
  {"[scaled_dot_product_attention] attn_mask is int64, query is float32: the mask must be bool or float32",
    function() return sq.scaled_dot_product_attention(z(1, 3), z(2, 3), z(2, 3), whole {{0, 1}}) end},
  {"[scaled_dot_product_attention] query is float32, key is float64, value is float32: they must have one dtype",
    function() return sq.scaled_dot_product_attention(z(1, 3), z(2, 3):double(), z(2, 3)) end},
  {"[scaled_dot_product_attention] attn_mask is given and is_causal is true: only one can hold", function()
    return sq.scaled_dot_product_attention(z(1, 3), z(2, 3), z(2, 3), {attn_mask = z(1, 2), is_causal = true})
  end},
  {"[scaled_dot_product_attention] dropout_p is 1.5: it must be 0 to 1",
    function() return sq.scaled_dot_product_attention(z(1, 3), z(2, 3), z(2, 3), {dropout_p = 1.5}) end},
  {"[scaled_dot_product_attention] dropout_p is 0.5: it keeps no weights that could be dropped",
    function() return sq.scaled_dot_product_attention(z(1, 3), z(2, 3), z(2, 3), {dropout_p = 0.5}) end},
  {"[scaled_dot_product_attention] shapes do not broadcast: a is (2), b is (3)",
    function() return sq.scaled_dot_product_attention(z(2, 1, 3), z(3, 2, 3), z(3, 2, 3)) end},
  {"[clamp] give min, max or both", function() return z(2):clamp() end},
}

describe("an op that refuses says", function()
  for _, case in ipairs(refused) do
    it(case[1], function()
      local ok, text = pcall(case[2])
      assert.is_false(ok)
      assert.is_truthy(tostring(text):find(case[1], 1, true), tostring(text))
    end)
  end
end)

-- loss_layers_spec.lua: losses as layers are the functions with the arguments they were made with, weights among them.
local sq = require "seqrt"
local nn, F = sq.nn, sq.nn.functional

local function same(layer, want, ...)
  local y = layer(...)
  assert.is_true(y:equal(want), ("%s: %s, not %s"):format(layer, y, want))
end

describe("a loss layer", function()
  local x, p = sq.randn(6, 4), sq.rand(6, 4)
  local t, w, v = sq.randint(0, 4, {6}), sq.rand(4), sq.rand(4)

  it("takes a weight", function()
    same(nn.CrossEntropyLoss(w), F.cross_entropy(x, t, w), x, t)
    same(nn.CrossEntropyLoss {weight = w, reduction = "sum", label_smoothing = 0.1},
      F.cross_entropy(x, t, {weight = w, reduction = "sum", label_smoothing = 0.1}), x, t)
    same(nn.NLLLoss(w, 2, "none"), F.nll_loss(x, t, w, 2, "none"), x, t)
    same(nn.BCELoss(w), F.binary_cross_entropy(p, sq.ones(6, 4), w), p, sq.ones(6, 4))
    same(nn.BCEWithLogitsLoss(w, "mean", v), F.binary_cross_entropy_with_logits(x, p, w, "mean", v), x, p)
    same(nn.BCEWithLogitsLoss {pos_weight = v}, F.binary_cross_entropy_with_logits(x, p, {pos_weight = v}), x, p)
  end)

  it("works without one", function()
    same(nn.CrossEntropyLoss(), F.cross_entropy(x, t), x, t)
    same(nn.SmoothL1Loss {beta = 2}, F.smooth_l1_loss(x, p, {beta = 2}), x, p)
    same(nn.KLDivLoss "batchmean", F.kl_div(x, p, "batchmean"), x, p)
  end)
end)

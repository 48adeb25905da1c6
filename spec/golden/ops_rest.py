# ops_rest.py: golden numbers of ops beside ops.py, whose draws stay as they are: `python3 ops_rest.py > ops_rest.lua`
# (made with torch 2.15). Cases are written with ops.py's `case`.
import sys

import torch
import torch.nn.functional as F

import ops
from ops import Dim, bools, case, draw, ints

torch.set_num_threads(1)
ops.CASES.clear()
ops.rng.manual_seed(2)

# --- places that several tensors pick ---------------------------------------------------------------

for s, index in [((4, 3), [ints(2, hi=4)]), ((4, 3), [ints(2, hi=4), ints(2, hi=3)]), ((4, 3), [ints(2, 1, hi=4), ints(3, hi=3)]),
                 ((2, 3, 2), [ints(3, hi=2), ints(hi=3)]), ((2, 3, 2), [ints(4, hi=2), ints(4, hi=3), ints(1, hi=2)]),
                 ((3, 4), [-ints(2, lo=1, hi=4)]), ((5,), [bools(5)]), ((2, 3), [bools(2, 3)]), ((2, 3, 2), [bools(2, 3)]),
                 ((3, 2), [ints(0, hi=3)]), ((0, 3), [ints(0, hi=1)])]:
    x = draw(*s)
    picked = x[tuple(index)]
    value, wide = draw(*picked.shape), draw(*picked.shape[-1:])
    for v in (value, wide):
        case("index_put", [x, index, v, True], lambda a, *t: a.index_put(t[:-1], t[-1], True))
    once = torch.arange(x.numel()).reshape(s)[tuple(index)]
    if once.unique().numel() == once.numel():
        case("index_put", [x, index, value], lambda a, *t: a.index_put(t[:-1], t[-1]))
        case("index_put", [x, index, 1.5], lambda a, *t: a.index_put(t, torch.tensor(1.5, dtype=a.dtype)))

u = torch.tensor([3, 1, 3])
case("index_fill", [draw(4, 3), Dim(0), u, draw()], lambda a, i, v: a.index_fill(0, i, v))
x, mask = draw(3), bools(2, 3)
case("masked_scatter", [x, mask, draw(6)], lambda a, m, s: a.masked_scatter(m, s))
case("masked_scatter", [draw(2, 1), bools(1, 4), draw(8)], lambda a, m, s: a.masked_scatter(m, s))
case("std", [draw(5), False], lambda a: a.std(False))
case("var", [draw(2, 3), False], lambda a: a.var(False))
case("narrow", [draw(2, 4), Dim(1), torch.tensor(1), 2], lambda a, i: a.narrow(1, i, 2))

# --- quotients ----------------------------------------------------------------------------------------

SHAPES = [((), ()), ((3,), ()), ((2, 3), (3,)), ((2, 1), (1, 3)), ((0, 3), (1, 3)), ((8,), (8,))]


def away(*shape):
    """Divisors: none is 0."""
    y = draw(*shape)
    return torch.where(y.abs() < 0.25, y + 0.75, y)


def nonzero(*shape):
    y = ints(*shape, lo=-4, hi=5)
    return torch.where(y == 0, torch.tensor(3), y)


for op, fn in [("remainder", torch.remainder), ("fmod", torch.fmod), ("floor_divide", torch.floor_divide),
               ("floor", lambda a, b: torch.div(a, b, rounding_mode="floor")),
               ("trunc", lambda a, b: torch.div(a, b, rounding_mode="trunc"))]:
    name, extra = ("div", [op]) if op in ("floor", "trunc") else (op, [])
    for a, b in SHAPES:
        case(name, [draw(*a, lo=-8, hi=8), away(*b), *extra], fn, grad=op != "floor_divide")
        case(name, [ints(*a, lo=-9, hi=10), nonzero(*b), *extra], fn)
        case(name, [ints(*a, hi=256).byte(), ints(*b, lo=1, hi=20).byte(), *extra], fn)
    case(name, [ints(4, lo=-9, hi=10), 3, *extra], lambda a: fn(a, 3))
    case(name, [ints(4, lo=-9, hi=10), -4, *extra], lambda a: fn(a, -4))
    case(name, [draw(4, lo=-8, hi=8), -1.5, *extra], lambda a: fn(a, torch.tensor(-1.5, dtype=a.dtype)), grad=False)
    special = torch.tensor([ops.inf, -ops.inf, ops.nan, 0.0, 3.0, -3.0, 3.0, -3.0, 0.0], dtype=torch.double)
    by = torch.tensor([2.0, 2.0, 2.0, 0.0, 0.0, 0.0, ops.inf, ops.inf, -ops.inf], dtype=torch.double)
    case(name, [special, by, *extra], fn, grad=False)
for a, b in SHAPES:
    case("div", [ints(*a, lo=-9, hi=10), nonzero(*b)], torch.div)

# --- bits -----------------------------------------------------------------------------------------------

for op, fn in [("bitwise_and", torch.bitwise_and), ("bitwise_or", torch.bitwise_or), ("bitwise_xor", torch.bitwise_xor),
               ("bitwise_left_shift", torch.bitwise_left_shift), ("bitwise_right_shift", torch.bitwise_right_shift)]:
    shift = "shift" in op
    for a, b in SHAPES:
        case(op, [ints(*a, lo=-99, hi=100), ints(*b, lo=0 if shift else -99, hi=9 if shift else 100)], fn)
        case(op, [ints(*a, hi=256).byte(), ints(*b, hi=9 if shift else 256).byte()], fn)
        if not shift:
            case(op, [bools(*a), bools(*b)], fn)
    case(op, [ints(4, lo=-99, hi=100), 5], lambda a: fn(a, 5))
    case(op, [bools(4), ints(4, hi=4)], fn)
case("bitwise_left_shift", [torch.tensor([1, -8, 7, 1]), torch.tensor([64, -1, 63, 62])], torch.bitwise_left_shift)
case("bitwise_right_shift", [torch.tensor([1, -8, 7, -1]), torch.tensor([64, 70, -1, 62])], torch.bitwise_right_shift)
for s in [(), (0,), (5,), (2, 3)]:
    case("bitwise_not", [ints(*s, lo=-99, hi=100)], torch.bitwise_not)
    case("bitwise_not", [ints(*s, hi=256).byte()], torch.bitwise_not)
    case("bitwise_not", [bools(*s)], torch.bitwise_not)
for a, b in SHAPES:
    case("logical_xor", [bools(*a), bools(*b)], torch.logical_xor)
    case("logical_xor", [ints(*a, lo=-1, hi=2), draw(*b)], torch.logical_xor, grad=False)

# --- bounds ---------------------------------------------------------------------------------------------

for op in ("clamp", "clip"):
    fn = torch.clamp
    for s in [(), (0,), (5,), (2, 3)]:
        case(op, [draw(*s, lo=-1.9), -0.515625, 1.015625], lambda a: fn(a, -0.515625, 1.015625))
        case(op, [draw(*s), None, 0.515625], lambda a: fn(a, max=0.515625))
        case(op, [ints(*s, lo=-9, hi=10), -2, 3], lambda a: fn(a, -2, 3))
x, low, high = [t.reshape(-1).double() for t in torch.meshgrid(*[torch.arange(3)] * 3, indexing="ij")]
case("clamp", [x, low, high], torch.clamp)
case("clamp", [x, low], torch.clamp)
case("clamp", [x, None, high], lambda a, b: torch.clamp(a, max=b))
for s, a, b in [((2, 3), (3,), (2, 1)), ((3,), (2, 3), ()), ((), (), ()), ((0, 3), (3,), (1, 1))]:
    case("clamp", [draw(*s), draw(*a), draw(*b)], torch.clamp)
case("clamp", [ints(5, lo=-9, hi=10), ints(5, lo=-3, hi=3), ints(lo=4, hi=6)], torch.clamp)
for op, fn in (("max", torch.max), ("min", torch.min)):
    case(op, [draw(2, 3), draw(3)], fn)
    case(op, [ints(2, 3), ints(2, 1)], fn)

# --- cross-entropy of distributions ------------------------------------------------------------------------

for s, d in [((3,), 0), ((4, 3), 1), ((2, 3, 2), 1), ((2, 2, 3, 1), 1), ((4, 1), 1)]:
    for reduction in ("mean", "sum", "none"):
        for weighted, smoothing in ((False, 0.0), (True, 0.0), (False, 0.25), (True, 0.5)):
            w = draw(s[d], lo=0.25, hi=2).requires_grad_(False) if weighted else None
            t = F.softmax(draw(*s), d)
            t = (t * 64).round() / 64
            args = [draw(*s), t] + ([w] if weighted else [None]) + [-100, reduction, smoothing]
            case("cross_entropy", args, lambda a, b, *w: F.cross_entropy(
                a, b, w[0].detach() if w else None, reduction=reduction, label_smoothing=smoothing))
            if weighted:
                ops.CASES[-1]["grad"][2] = None

# --- padding by name -----------------------------------------------------------------------------------------

for B, C, O, G, X, K, D in [(2, 2, 3, 1, 5, 3, 1), (1, 2, 2, 2, 6, 4, 1), (2, 1, 2, 1, 5, 2, 3), (1, 1, 1, 1, 1, 4, 1), (2, 2, 1, 1, 4, 1, 1)]:
    for padding in ("same", "valid"):
        if padding == "valid" and X < D * (K - 1) + 1:
            continue
        case("conv1d", [draw(B, C, X), draw(O, C // G, K), draw(O), 1, padding, D, G],
             lambda x, w, b: F.conv1d(x, w, b, 1, padding, D, G), tol=4)
for B, C, O, G, X, K, D in [(2, 2, 3, 1, (5, 4), (3, 3), (1, 1)), (1, 2, 2, 2, (4, 6), (2, 4), (1, 1)), (2, 1, 2, 1, (5, 3), (2, 3), (3, 2)),
                            (1, 1, 2, 1, (2, 1), (4, 2), (1, 1))]:
    for padding in ("same", "valid"):
        if padding == "valid" and X[0] < K[0]:
            continue
        if padding == "valid" and X[1] < D[1] * (K[1] - 1) + 1:
            continue
        case("conv2d", [draw(B, C, *X), draw(O, C // G, *K), draw(O), 1, padding, list(D), G],
             lambda x, w, b: F.conv2d(x, w, b, 1, padding, D, G), tol=4)
        case("conv2d", [draw(C, *X), draw(O, C // G, *K), None, 1, padding, list(D), G],
             lambda x, w: F.conv2d(x, w, None, 1, padding, D, G), tol=4)

# --- attention ----------------------------------------------------------------------------------------------------

SDPA = "scaled_dot_product_attention"
for q, k, v in [((3, 4), (3, 4), (3, 4)), ((2, 3), (5, 3), (5, 2)), ((5, 3), (2, 3), (2, 4)), ((2, 3, 4), (2, 5, 4), (2, 5, 3)),
                ((2, 2, 3, 2), (2, 2, 3, 2), (2, 2, 3, 2)), ((2, 3, 2), (1, 4, 2), (4, 3)), ((3, 1, 2, 2), (2, 4, 2), (3, 1, 4, 1)),
                ((2, 1, 1), (2, 6, 1), (2, 6, 1)), ((9, 2), (10, 2), (10, 2)), ((2, 0, 3), (2, 4, 3), (2, 4, 2)),
                ((2, 3, 3), (2, 0, 3), (2, 0, 2)), ((2, 3, 0), (2, 4, 0), (2, 4, 2)), ((0, 3, 2), (0, 4, 2), (0, 4, 2))]:
    def drawn():
        return [draw(*q), draw(*k), draw(*v)]

    L, S = q[-2], k[-2]
    for causal, scale in ((False, None), (False, -1.5), (True, None), (True, 0.5)):  # below 0 and causal: some give NaN
        case(SDPA, [*drawn(), None, 0, causal, scale],
             lambda a, b, c: F.scaled_dot_product_attention(a, b, c, is_causal=causal, scale=scale), tol=4)
    for mask in (bools(L, S), draw(L, S)):
        case(SDPA, [*drawn(), mask], F.scaled_dot_product_attention, tol=4)
    if q == (3, 4):
        for mask in (bools(1, S), bools(L, 1), draw(1, S), draw(L, 1), bools(1, 1)):
            case(SDPA, [*drawn(), mask], F.scaled_dot_product_attention, tol=4)
        case(SDPA, drawn(), F.scaled_dot_product_attention, tol=4)
        case(SDPA, [*drawn(), bools(L, S), 0, False, 0.25],
             lambda a, b, c, m: F.scaled_dot_product_attention(a, b, c, m, scale=0.25), tol=4)
front = [draw(2, 2, 3, 2), draw(2, 2, 4, 2), draw(2, 2, 4, 1)]
for s in [(2, 2, 3, 4), (2, 1, 1, 4), (1, 2, 3, 1), (2, 3, 4)]:
    case(SDPA, [*front, bools(*s)], F.scaled_dot_product_attention, tol=4)
    case(SDPA, [*front, draw(*s)], F.scaled_dot_product_attention, tol=4)
# A row that sees nothing; one number for all weights of a row; scores far apart.
nothing = torch.tensor([[True, False, True], [False, False, False]])
case(SDPA, [draw(2, 4), draw(3, 4), draw(3, 2), nothing], F.scaled_dot_product_attention, tol=4)
hidden = torch.where(nothing, 0.5, -ops.inf).double()
case(SDPA, [draw(2, 4), draw(3, 4), draw(3, 2), hidden], lambda a, b, c, m: F.scaled_dot_product_attention(a, b, c, m.detach()),
     tol=4)
ops.CASES[-1]["grad"][3] = None
case(SDPA, [draw(3, 2), draw(4, 2), draw(4, 2), draw(3, 4, lo=-90, hi=90)], F.scaled_dot_product_attention, tol=40)
x = draw(2, 4, 3)
case(SDPA, [x, x, x], F.scaled_dot_product_attention, tol=4)

if __name__ == "__main__":
    ops.write(sys.stdout, "ops_rest")

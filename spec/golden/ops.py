# ops.py: golden numbers of every op, from PyTorch: `python3 ops.py > ops.lua` (made with torch 2.15).
#
# A case is an op, its arguments, and what PyTorch gives: results, and the gradient of each float input
# for a fixed dy. Inputs are multiples of 1/64, so that float32 holds them exactly; results are float64.
# Positions are written as Lua counts them, from 1; tensors hold data, which counts from 0. The suite
# runs each case in float64 and float32, on contiguous, transposed and sliced inputs.
import math
import sys
import types

import torch
import torch.nn.functional as F

inf, nan = math.inf, math.nan
CASES = []
rng = torch.Generator().manual_seed(1)


class Dim:
    """A dim or position, written from 0 (or negative): Lua's is one more."""

    def __init__(self, v):
        self.v = v

    def lua(self):
        if isinstance(self.v, (list, tuple)):
            return [Dim(x).lua() for x in self.v]
        return self.v + 1 if self.v >= 0 else self.v


def draw(*shape, lo=-2.0, hi=2.0, apart=False):
    """Multiples of 1/64 in lo..hi; `apart`: all different."""
    n = int(torch.tensor(shape).prod()) if shape else 1
    a, b = round(lo * 64), round(hi * 64)
    if apart:
        assert b - a + 1 >= n, (shape, lo, hi)
        v = (torch.randperm(b - a + 1, generator=rng)[:n] + a)
    else:
        v = torch.randint(a, b + 1, (n,), generator=rng)
    return (v.double() / 64).reshape(shape)


def ints(*shape, lo=0, hi=5):
    return torch.randint(lo, hi, shape, generator=rng)


def bools(*shape):
    return torch.randint(0, 2, shape, generator=rng).bool()


def frozen(fn):
    """fn as it is now, for a later call: with the values that the names it uses have."""
    if not isinstance(fn, types.FunctionType):
        return fn
    cells = tuple(types.CellType(frozen(c.cell_contents)) for c in fn.__closure__ or ())
    return types.FunctionType(fn.__code__, dict(fn.__globals__), fn.__name__, fn.__defaults__, cells)


def case(op, args, fn, grad=True, fn_args=None, tol=1.0, only64=False):
    """args: tensors, Dim, numbers, strings, bools, None, lists of tensors or numbers. fn takes the
    tensors in order. A tensor that appears twice is one tensor."""
    tensors, seen = [], []
    for a in args:
        for t in a if isinstance(a, list) and a and torch.is_tensor(a[0]) else [a]:
            if torch.is_tensor(t):
                tensors.append(t)
    leaves, at = [], []
    for t in tensors:
        k = next((i for i, s in enumerate(seen) if s is t), -1)
        if k < 0:
            seen.append(t)
            leaf = t.clone().detach()
            if grad and leaf.is_floating_point():
                leaf.requires_grad_()
            leaves.append(leaf)
            k = len(seen) - 1
        at.append(k)
    out = fn(*[leaves[k] for k in at])
    out = list(out) if isinstance(out, (tuple, list)) else [out]
    dys = [draw(*o.shape) if grad and o.requires_grad else None for o in out]
    grads = [None] * len(leaves)
    if any(d is not None for d in dys):
        wanted = [l for l in leaves if l.requires_grad]
        got = torch.autograd.grad([o for o, d in zip(out, dys) if d is not None], wanted,
                                  [d for d in dys if d is not None], allow_unused=True)
        got = {id(l): g for l, g in zip(wanted, got)}
        for i, l in enumerate(leaves):
            if l.requires_grad:
                g = got[id(l)]
                grads[i] = torch.zeros_like(l) if g is None else g
    CASES.append(dict(op=op, args=args, fn=frozen(fn), at=at, tensors=seen, out=[o.detach() for o in out], dy=dys,
                      grad=grads, tol=tol, only64=only64, differentiable=grad))


# --- elementwise ----------------------------------------------------------------------------------

SHAPES = [(), (1,), (0,), (5,), (2, 3), (3, 1, 2)]
PAIRS = [((), ()), ((3,), ()), ((), (2, 2)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((0, 3), (1, 3)),
         ((2, 1, 3), (4, 1)), ((4,), (4,))]


def binary(op, fn, lo=-2.0, hi=2.0, grad=True, apart=False, tol=1.0):
    for a, b in PAIRS:
        x, y = draw(*a, lo=lo, hi=hi), draw(*b, lo=lo, hi=hi)
        if apart and y.numel():
            y = y + 1.0 / 128  # never equal to x
        case(op, [x, y], fn, grad=grad, tol=tol)
    x = draw(3, lo=lo, hi=hi)
    case(op, [x, x], fn, grad=grad, tol=tol)
    case(op, [x, 1.5], lambda a: fn(a, torch.tensor(1.5, dtype=a.dtype)), grad=grad, tol=tol)
    case(op, [1.5, x], lambda a: fn(torch.tensor(1.5, dtype=a.dtype), a), grad=grad, tol=tol)


def unary(op, fn, lo=-2.0, hi=2.0, grad=True, special=True, away=(), extra=(), tol=1.0):
    for s in SHAPES:
        x = draw(*s, lo=lo, hi=hi)
        for k in away:
            x = torch.where((x - k).abs() < 0.02, x + 0.0625, x)
        case(op, [x, *extra], fn, grad=grad, tol=tol)
    if special:
        v = torch.tensor([nan, inf, -inf, 0.0, -0.0], dtype=torch.double)
        case(op, [v, *extra], fn, grad=False, tol=tol)


binary("add", torch.add)
binary("sub", torch.sub)
binary("mul", torch.mul)
binary("div", torch.div, lo=0.5)
binary("pow", torch.pow, lo=0.5)
x, y = draw(2, 3), draw(3)
case("add", [x, y, 0.5], lambda a, b: torch.add(a, b, alpha=0.5))
case("sub", [x, y, -2.0], lambda a, b: torch.sub(a, b, alpha=-2.0))
case("add", [ints(3, lo=-4), ints(2, 3)], torch.add)
case("mul", [ints(3, lo=-4), ints(2, 3)], torch.mul)
case("div", [ints(3), ints(2, 3, lo=1)], torch.div)
case("pow", [ints(5, lo=-3), 3], lambda a: a ** 3)
for p in (0, 0.5, 1, 2, 3, -1, 2.5, -0.5):
    case("pow", [draw(4, lo=0.25), p], lambda a: a ** p)
for p in (2, 3):
    case("pow", [draw(4), p], lambda a: a ** p)
case("pow", [torch.tensor([0.0, 1, 2], dtype=torch.double), 2], lambda a: a ** 2)
case("pow", [2.0, draw(4)], lambda a: 2.0 ** a)
unary("neg", torch.neg)
for name in ("eq", "ne", "lt", "le", "gt", "ge"):
    f = getattr(torch, name)
    for a, b in PAIRS:
        case(name, [ints(*a, hi=3).double(), ints(*b, hi=3).double()], f, grad=False)
    case(name, [ints(4, hi=3), ints(4, hi=3)], f)
    case(name, [ints(4, hi=3), 1], lambda a: f(a, 1))
    v = torch.tensor([nan, inf, -inf, 0.0, -0.0, 1.0], dtype=torch.double)
    case(name, [v, v.clone().roll(1)], f, grad=False)
    case(name, [v, v.clone()], f, grad=False)

# --- activations ----------------------------------------------------------------------------------

unary("tanh", torch.tanh)
unary("sigmoid", torch.sigmoid, lo=-4, hi=4)
unary("relu", torch.relu, away=(0,))
unary("leaky_relu", F.leaky_relu, away=(0,))
unary("leaky_relu", lambda a: F.leaky_relu(a, 0.2), away=(0,), extra=(0.2,))
unary("elu", F.elu, away=(0,))
unary("elu", lambda a: F.elu(a, 0.5), away=(0,), extra=(0.5,))
unary("gelu", F.gelu, special=False)
unary("gelu", lambda a: F.gelu(a, approximate="tanh"), special=False, extra=("tanh",))
unary("silu", F.silu, special=False)
unary("softplus", F.softplus, special=False)
unary("softplus", lambda a: F.softplus(a, 2.0, 1.0), special=False, extra=(2.0, 1.0), away=(0.5,))
for f in ("softmax", "log_softmax"):
    g = getattr(torch, f)
    for s, d in [((), 0), ((1,), 0), ((5,), 0), ((2, 3), 0), ((2, 3), -1), ((2, 3, 4), 1), ((0, 3), 1),
                 ((3, 0), 0)]:
        case(f, [draw(*s, lo=-3, hi=3), Dim(d)], lambda a: g(a, d))
    case(f, [torch.tensor([[1000.0, 1001.0], [-1000.0, 0.0]], dtype=torch.double), Dim(1)],
         lambda a: g(a, 1))
    case(f, [torch.tensor([[inf, 1.0], [-inf, 0.0], [nan, 1.0]], dtype=torch.double), Dim(1)],
         lambda a: g(a, 1), grad=False)

# --- windows and copies ---------------------------------------------------------------------------

for s, to in [((2, 3), (3, 2)), ((2, 3), (-1,)), ((6,), (2, -1)), ((), (1, 1)), ((1,), ()),
              ((0, 3), (3, 0)), ((2, 3, 4), (6, 4)), ((2, 3, 4), (2, 12))]:
    case("reshape", [draw(*s), list(to)], lambda a: a.reshape(to))
for s, to in [((6,), (2, 3)), ((2, 3), (2, 1, 3)), ((4, 1), (2, 1, 2)), ((), (1,))]:
    case("view", [draw(*s), list(to)], lambda a: a.reshape(to))
case("flatten", [draw(2, 3, 4)], lambda a: a.flatten())
case("flatten", [draw(2, 3, 4), Dim(1)], lambda a: a.flatten(1))
case("flatten", [draw(2, 3, 4), Dim(0), Dim(1)], lambda a: a.flatten(0, 1))
case("flatten", [draw()], lambda a: a.flatten())
case("unflatten", [draw(2, 6), Dim(1), [2, -1]], lambda a: a.unflatten(1, (2, 3)))
case("unflatten", [draw(6, 2), Dim(-2), [3, 2]], lambda a: a.unflatten(0, (3, 2)))
case("transpose", [draw(2, 3, 4), Dim(0), Dim(-1)], lambda a: a.transpose(0, -1))
case("transpose", [draw(2, 3), Dim(0), Dim(1)], lambda a: a.transpose(0, 1))
for s in ((2, 3), (3,), ()):
    case("t", [draw(*s)], lambda a: a.t())
case("permute", [draw(2, 3, 4), Dim([2, 0, 1])], lambda a: a.permute(2, 0, 1))
case("permute", [draw(2, 3, 4), Dim([-1, 1, 0])], lambda a: a.permute(-1, 1, 0))
case("squeeze", [draw(1, 3, 1)], lambda a: a.squeeze())
case("squeeze", [draw(1, 3, 1), Dim(0)], lambda a: a.squeeze(0))
case("squeeze", [draw(1, 3, 1), Dim(1)], lambda a: a.squeeze(1))
case("squeeze", [draw(1, 3, 1), Dim([0, 2])], lambda a: a.squeeze())
for d in (0, 1, 2, -1):
    case("unsqueeze", [draw(2, 3), Dim(d)], lambda a: a.unsqueeze(d))
case("unsqueeze", [draw(), Dim(0)], lambda a: a.unsqueeze(0))
case("expand", [draw(3, 1), [3, 4]], lambda a: a.expand(3, 4))
case("expand", [draw(3, 1), [2, -1, 4]], lambda a: a.expand(2, -1, 4))
case("expand", [draw(), [2, 2]], lambda a: a.expand(2, 2))
case("expand", [draw(1), [0]], lambda a: a.expand(0))
case("expand_as", [draw(3, 1), draw(2, 3, 4)], lambda a, b: a.expand_as(b))
for d, i in [(0, 0), (0, -1), (1, 2), (-1, 1)]:
    case("select", [draw(2, 3), Dim(d), Dim(i)], lambda a: a.select(d, i))
case("narrow", [draw(4, 3), Dim(0), Dim(1), 2], lambda a: a.narrow(0, 1, 2))
case("narrow", [draw(4, 3), Dim(1), Dim(-2), 1], lambda a: a.narrow(1, 1, 1))
case("narrow", [draw(4, 3), Dim(0), Dim(0), 0], lambda a: a.narrow(0, 0, 0))
case("slice", [draw(7), Dim(0), Dim(1), Dim(5)], lambda a: a[1:6])
case("slice", [draw(7), Dim(0), Dim(1), Dim(5), 2], lambda a: a[1:6:2])
case("slice", [draw(3, 7), Dim(-1), Dim(-4), Dim(-2)], lambda a: a[:, -4:-1])
case("contiguous", [draw(2, 3)], lambda a: a.contiguous())
case("clone", [draw(2, 3)], torch.clone)
case("clone", [ints(2, 3)], torch.clone)
case("to", [draw(2, 3), "float64"], lambda a: a.double())
case("to", [draw(2, 3), "int64"], lambda a: a.long(), grad=False)
case("to", [ints(2, 3, lo=-1), "bool"], lambda a: a.bool(), grad=False)
case("to", [ints(2, 3), "uint8"], lambda a: a.byte(), grad=False)
case("copy", [draw(2, 3), draw(3)], lambda a, b: a * 0 + b)
case("copy", [draw(2, 3), draw(2, 1)], lambda a, b: a * 0 + b)
case("fill", [draw(2, 3), 1.5], lambda a: a.clone().fill_(1.5))
case("zero", [draw(2, 3)], lambda a: a.clone().zero_())
case("fill", [ints(2), 7], lambda a: a.fill_(7))
case("cat", [[draw(2, 3), draw(1, 3), draw(4, 3)]], lambda *a: torch.cat(a))
case("cat", [[draw(2, 3), draw(2, 1)], Dim(-1)], lambda *a: torch.cat(a, -1))
case("cat", [[draw(0), draw(2, 3), draw(0, 3)]], lambda *a: torch.cat(a))
case("cat", [[draw(3)]], lambda *a: torch.cat(a))
case("cat", [[x, x], Dim(1)], lambda *a: torch.cat(a, 1))
case("stack", [[draw(2, 3), draw(2, 3)]], lambda *a: torch.stack(a))
case("stack", [[draw(2, 3), draw(2, 3)], Dim(1)], lambda *a: torch.stack(a, 1))
case("stack", [[draw(2, 3), draw(2, 3)], Dim(-1)], lambda *a: torch.stack(a, -1))
case("stack", [[draw(), draw(), draw()]], lambda *a: torch.stack(a))
case("flip", [draw(2, 3, 2), Dim([0])], lambda a: a.flip(0))
case("flip", [draw(2, 3, 2), Dim([0, -1])], lambda a: a.flip(0, -1))
case("roll", [draw(5), [2]], lambda a: a.roll(2))
case("roll", [draw(2, 3), [-1]], lambda a: a.roll(-1))
case("roll", [draw(2, 3), [1, 4], Dim([0, 1])], lambda a: a.roll((1, 4), (0, 1)))
for k in (0, 1, -1, 5, -5):
    for s in ((3, 4), (2, 4, 3), (0, 2)):
        case("tril", [draw(*s), k], lambda a: a.tril(k))
        case("triu", [draw(*s), k], lambda a: a.triu(k))

# --- reductions -----------------------------------------------------------------------------------

DIMS = [((), None, False), ((5,), None, False), ((2, 3), None, False), ((2, 3), [0], False),
        ((2, 3), [1], True), ((2, 3), [-1], False), ((2, 3, 4), [1], False), ((2, 3, 4), [0, 2], False),
        ((2, 3, 4), [0, 2], True), ((1, 4), [0], False), ((3, 0), [0], False), ((2, 3, 4), [0, 1], False)]


def reduction(op, fn, ok=lambda s, d: True, lo=-2.0, hi=2.0, before=(), tol=1.0):
    for s, d, keep in DIMS:
        if not ok(s, d):
            continue
        x = draw(*s, lo=lo, hi=hi)
        if d is None:
            case(op, [x, *before], lambda a: fn(a), tol=tol)
        else:
            case(op, [x, *before, Dim(d if len(d) > 1 else d[0]), keep],
                 lambda a: fn(a, d if len(d) > 1 else d[0], keep), tol=tol)


reduction("sum", lambda a, d=None, k=False: a.sum() if d is None else a.sum(d, keepdim=k))
reduction("mean", lambda a, d=None, k=False: a.mean() if d is None else a.mean(d, keepdim=k))
case("sum", [draw(0)], torch.sum)
case("sum", [draw(3, 0), Dim(1)], lambda a: a.sum(1))
case("sum", [ints(3, 2)], torch.sum)
case("sum", [bools(3, 2), Dim(0)], lambda a: a.sum(0))
case("mean", [draw(0)], torch.mean)
case("mean", [ints(3, 2)], lambda a: a.float().mean())
case("sum", [torch.tensor([1.0, nan, inf], dtype=torch.double)], torch.sum, grad=False)
for name in ("max", "min"):
    f = getattr(torch, name)
    for s in ((), (1,), (5,), (2, 3)):
        case(name, [draw(*s, apart=True)], f)
    case(name, [torch.tensor([2.0, 1, 2, 1, 0], dtype=torch.double)], f)
    case(name, [torch.tensor([2.0, nan, 2, 1, 0], dtype=torch.double)], f, grad=False)
    for s, d, keep in [((5,), 0, False), ((2, 3), 0, False), ((2, 3), 1, True), ((2, 3, 4), 1, False),
                       ((2, 3, 4), -1, True), ((0, 3), 1, False), ((), 0, False)]:
        case(name, [draw(*s, apart=True), Dim(d), keep], lambda a: f(a, d, keep))
    case(name, [ints(4, 3), Dim(1)], lambda a: f(a, 1)[:1], grad=False)
    case(name, [torch.tensor([[1.0, nan, 3], [inf, -inf, 0]], dtype=torch.double), Dim(1)],
         lambda a: f(a, 1), grad=False)
    g = getattr(torch, "arg" + name)
    case("arg" + name, [draw(2, 3, apart=True)], g, grad=False)
    case("arg" + name, [draw(2, 3, apart=True), Dim(1)], lambda a: g(a, 1), grad=False)
    case("arg" + name, [draw(2, 3, apart=True), Dim(0), True], lambda a: g(a, 0, True), grad=False)
    case("arg" + name, [torch.tensor([1.0, nan, 5], dtype=torch.double)], g, grad=False)

# --- products -------------------------------------------------------------------------------------

for a, b in [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)),
             ((5, 2, 3), (3,)), ((2, 3), (5, 3, 4)), ((3,), (5, 3, 4)), ((5, 2, 3), (5, 3, 4)),
             ((5, 1, 2, 3), (4, 3, 2)), ((1, 2, 3), (4, 3, 2)), ((2, 0), (0, 3)), ((0, 3), (3, 2)),
             ((2, 1), (1, 3)), ((1, 1), (1, 1)), ((2, 2, 0, 3), (3, 2))]:
    case("matmul", [draw(*a), draw(*b)], torch.matmul)
x = draw(3, 3)
case("matmul", [x, x], torch.matmul)
case("matmul", [torch.tensor([[nan, 1.0], [inf, 2]], dtype=torch.double), draw(2, 2)], torch.matmul,
     grad=False)
case("mm", [draw(2, 3), draw(3, 4)], torch.mm)
case("mm", [x, x], torch.mm)
case("bmm", [draw(2, 2, 3), draw(2, 3, 4)], torch.bmm)
case("bmm", [draw(0, 2, 3), draw(0, 3, 4)], torch.bmm)
case("mv", [draw(2, 3), draw(3)], torch.mv)
case("dot", [draw(4), draw(4)], torch.dot)
case("dot", [draw(0), draw(0)], torch.dot)
case("outer", [draw(2), draw(3)], torch.outer)

# --- losses ---------------------------------------------------------------------------------------

CE = dict(weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0)


def cross_entropy(shape, target, weight=None, ignore=-100, reduction="mean", smoothing=0.0):
    args = [draw(*shape), target, weight, ignore, reduction, smoothing]
    w = [weight] if weight is not None else []
    case("cross_entropy", args, lambda a, t, *w: F.cross_entropy(
        a, t, w[0].detach() if w else None, ignore_index=ignore, reduction=reduction,
        label_smoothing=smoothing))
    if w:
        CASES[-1]["grad"][2] = None


for r in ("none", "sum", "mean"):
    cross_entropy((4, 5), ints(4), reduction=r)
    cross_entropy((4, 5), torch.tensor([0, 2, 4, 2]), ignore=2, reduction=r)
    cross_entropy((4, 5), ints(4), weight=draw(5, lo=0.5), reduction=r)
    cross_entropy((4, 5), torch.tensor([0, 1, 4, 2]), weight=draw(5, lo=0.5), ignore=1, reduction=r,
                  smoothing=0.1)
    cross_entropy((2, 5, 3), ints(2, 3), reduction=r)
    cross_entropy((2, 5, 3, 2), ints(2, 3, 2), weight=draw(5, lo=0.5), reduction=r, smoothing=0.25)
    cross_entropy((4, 5), ints(4), reduction=r, smoothing=1.0)
cross_entropy((5,), torch.tensor(3))
cross_entropy((1, 1), torch.tensor([0]))
cross_entropy((3, 2), torch.tensor([-100, -100, -100]))
cross_entropy((0, 3), ints(0), reduction="sum")

# --- elementwise, the rest ------------------------------------------------------------------------

unary("exp", torch.exp)
unary("log", torch.log, lo=0.25)
unary("log1p", torch.log1p, lo=-0.5)
unary("expm1", torch.expm1)
unary("sqrt", torch.sqrt, lo=0.25)
unary("rsqrt", torch.rsqrt, lo=0.25)
unary("abs", torch.abs)
unary("sign", torch.sign)
unary("sin", torch.sin, lo=-3, hi=3)
unary("cos", torch.cos, lo=-3, hi=3)
unary("square", torch.square)
unary("reciprocal", torch.reciprocal, lo=0.25)
unary("erf", torch.erf)
unary("floor", torch.floor)
unary("ceil", torch.ceil)
unary("round", torch.round)
case("round", [torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5], dtype=torch.double)], torch.round)
case("exp", [ints(3)], lambda a: a.float().exp())
for name in ("abs", "sign", "square", "neg"):
    case(name, [ints(5, lo=-3)], getattr(torch, name))
unary("clamp", lambda a: a.clamp(-1.0, 0.5), extra=(-1.0, 0.5), away=(-1.0, 0.5))
unary("clamp", lambda a: a.clamp(min=0.25), extra=(0.25,), away=(0.25,))
unary("clamp", lambda a: a.clamp(max=0.25), extra=(None, 0.25), away=(0.25,))
case("clamp", [torch.tensor([-1.0, 0, 1], dtype=torch.double), -1.0, 1.0], lambda a: a.clamp(-1, 1))
case("clamp", [ints(6, lo=-4), -1, 2], lambda a: a.clamp(-1, 2))
for name in ("maximum", "minimum"):
    f = getattr(torch, name)
    binary(name, f, apart=True)
    v = torch.tensor([nan, inf, -inf, 0.0, 1.0], dtype=torch.double)
    case(name, [v, v.clone().roll(1)], f, grad=False)
    case(name, [torch.tensor([1.0, 2, 3], dtype=torch.double), torch.tensor([1.0, 3, 2], dtype=torch.double)], f)
for a, b, w in [((3,), (3,), (3,)), ((2, 3), (3,), (2, 1)), ((), (4,), ())]:
    case("lerp", [draw(*a), draw(*b), draw(*w)], torch.lerp)
case("lerp", [draw(3), draw(3), 0.25], lambda a, b: torch.lerp(a, b, 0.25))
for c, a, b in [((3,), (3,), (3,)), ((2, 3), (3,), (2, 1)), ((2, 1), (), (3,)), ((0,), (0,), (1,))]:
    case("where", [bools(*c), draw(*a), draw(*b)], torch.where)
case("where", [bools(2, 3), draw(2, 3), 0.5], lambda c, a: torch.where(c, a, torch.tensor(0.5, dtype=a.dtype)))
case("where", [bools(4), 1.5, draw(4)], lambda c, a: torch.where(c, torch.tensor(1.5, dtype=a.dtype), a))
case("where", [bools(4), ints(4), ints(4)], torch.where)
v = torch.tensor([nan, inf, -inf, 0.0, -0.0, 1.0], dtype=torch.double)
for name in ("isnan", "isinf", "isfinite", "logical_not"):
    case(name, [v], getattr(torch, name), grad=False)
    case(name, [ints(4, hi=2)], getattr(torch, name))
    case(name, [draw(2, 0)], getattr(torch, name))
for name in ("logical_and", "logical_or"):
    case(name, [v, v.clone().roll(1)], getattr(torch, name), grad=False)
    case(name, [ints(2, 3, hi=2), bools(3)], getattr(torch, name))

# --- reductions, the rest -------------------------------------------------------------------------

for s, d, k in [((5,), None, False), ((2, 3), None, False), ((2, 3), 1, False), ((2, 3, 4), 1, True),
                ((), None, False), ((3, 0), 1, False), ((0, 3), 1, False)]:
    x = draw(*s, lo=0.5)
    case("prod", [x] if d is None else [x, Dim(d), k],
         lambda a: a.prod() if d is None else a.prod(d, k))
case("prod", [torch.tensor([[2.0, 0, 3], [0, 0, 5], [1, 2, 3]], dtype=torch.double), Dim(1)],
     lambda a: a.prod(1))
case("prod", [torch.tensor([2.0, 0, 3], dtype=torch.double)], torch.prod)
case("prod", [ints(3, 2)], torch.prod)
for name in ("var", "std"):
    f = getattr(torch, name)
    for s, d, keep in DIMS:
        n = 1
        for i in (range(len(s)) if d is None else d):
            n *= s[i]
        for unbiased in (True, False):
            if n < 2 and unbiased or n == 0 or (n == 1 and name == "std"):
                continue
            x = draw(*s)
            if d is None:
                case(name, [x, None, unbiased], lambda a: f(a, unbiased), tol=4)
            else:
                case(name, [x, Dim(d if len(d) > 1 else d[0]), unbiased, keep],
                     lambda a: f(a, d, unbiased, keep), tol=4)
    case(name, [draw(1)], f, grad=False)
    case(name, [draw(2, 5), Dim(1), True, False, 2], lambda a: f(a, 1, correction=2), tol=4)
case("std", [torch.full((3,), 2.0, dtype=torch.double), None, False], lambda a: torch.std(a, False), grad=False)
for p in (1, 2, 3, 2.5, inf, -inf, 0):
    for s, d, keep in [((), None, False), ((5,), None, False), ((2, 3), [1], False), ((2, 3, 4), [0, 2], True)]:
        x = draw(*s, apart=True)
        x = torch.where(x == 0, x + 1.0 / 128, x)
        dd = d if d is None or len(d) > 1 else d[0]
        case("norm", [x, p] if d is None else [x, p, Dim(dd), keep],
             lambda a: torch.linalg.vector_norm(a, p, d, keep), tol=4)
case("norm", [torch.tensor([3.0, 4.0], dtype=torch.double)], torch.norm)
case("norm", [torch.zeros(2, dtype=torch.double)], torch.norm)
case("norm", [torch.tensor([2.0, -2, 1], dtype=torch.double), inf], lambda a: torch.linalg.vector_norm(a, inf))
for s, d, k in [((5,), 0, False), ((2, 3), 1, True), ((2, 3, 4), [0, 2], False), ((), 0, False), ((0, 2), 0, False)]:
    case("logsumexp", [draw(*s), Dim(d), k], lambda a: torch.logsumexp(a, d, k))
case("logsumexp", [torch.tensor([[1000.0, 1000], [-inf, 1], [-inf, -inf], [inf, 1]], dtype=torch.double), Dim(1)],
     lambda a: torch.logsumexp(a, 1), grad=False)
for name in ("all", "any"):
    f = getattr(torch, name)
    for s in ((), (0,), (4,), (2, 3)):
        case(name, [bools(*s)], f)
    case(name, [bools(3, 4), Dim(1)], lambda a: f(a, 1))
    case(name, [bools(3, 0), Dim(-1), True], lambda a: f(a, -1, True))
    case(name, [ints(3, 2, hi=2), Dim(0)], lambda a: f(a.bool(), 0))
    case(name, [v], lambda a: f(a.bool()), grad=False)
for s, d in [((5,), 0), ((2, 3), 0), ((2, 3), 1), ((2, 3, 2), 1), ((), 0), ((0, 2), 0)]:
    case("cumsum", [draw(*s), Dim(d)], lambda a: a.cumsum(d))
case("cumsum", [ints(4), Dim(0)], lambda a: a.cumsum(0))
for s, d, desc in [((7,), -1, False), ((7,), 0, True), ((3, 4), 0, False), ((3, 4), 1, True), ((0, 2), 0, False),
                   ((), 0, False), ((2, 3, 2), 1, True)]:
    case("sort", [draw(*s, apart=True), Dim(d), desc], lambda a: a.sort(d, desc))
case("sort", [torch.tensor([2.0, nan, -inf, inf, -0.5, 1], dtype=torch.double)], lambda a: a.sort(), grad=False)
case("sort", [torch.tensor([2.0, nan, -inf, inf, -0.5, 1], dtype=torch.double), Dim(0), True],
     lambda a: a.sort(0, True), grad=False)
case("sort", [torch.tensor([3, -1, 2, 5])], lambda a: a.sort())
for s, k, d, largest in [((7,), 3, -1, True), ((3, 4), 2, 0, False), ((3, 4), 4, 1, True), ((3, 4), 0, 1, True)]:
    case("topk", [draw(*s, apart=True), k, Dim(d), largest], lambda a: a.topk(k, d, largest))

# --- products, the rest ---------------------------------------------------------------------------

case("addmm", [draw(2, 4), draw(2, 3), draw(3, 4)], torch.addmm)
case("addmm", [draw(4), draw(2, 3), draw(3, 4), 0.5, 2.0],
     lambda i, a, b: torch.addmm(i, a, b, beta=0.5, alpha=2.0))
case("addmm", [draw(2, 1), draw(2, 3), draw(3, 4), 1.0, -1.0],
     lambda i, a, b: torch.addmm(i, a, b, alpha=-1.0))
for eq, *shapes in [("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk", (2, 3), (3, 4)), ("bij,bjk->bik", (2, 3, 4), (2, 4, 2)),
                    ("ii->i", (3, 3)), ("ii", (3, 3)), ("ij->ji", (2, 3)), ("ij->", (2, 3)), ("ij->j", (2, 3)),
                    ("i,j->ij", (2,), (3,)), ("i,i->", (4,), (4,)), ("i,i->i", (4,), (4,)),
                    ("...ij,...jk->...ik", (2, 1, 2, 3), (4, 3, 2)), ("bhid,bhjd->bhij", (2, 2, 3, 2), (2, 2, 4, 2)),
                    ("ij,kl->ikjl", (2, 2), (2, 3)), ("ij,ij->i", (2, 3), (2, 3)), ("ij,j,k->ik", (2, 3), (3,), (2,)),
                    ("ba,cb,dc->da", (2, 3), (4, 2), (2, 4)), ("iij,j->i", (2, 2, 3), (3,)), ("ij,k->i", (2, 3), (4,)),
                    ("...->...", (2, 3)), ("i...->...", (2, 3)), ("ij,jk->ik", (2, 0), (0, 3)),
                    ("b...,b->...", (3, 2), (3,))]:
    case("einsum", [eq, [draw(*s) for s in shapes]], lambda *t: torch.einsum(eq, *t))
x = draw(2, 2)
case("einsum", ["ij,jk->ik", [x, x]], lambda a, b: torch.einsum("ij,jk->ik", a, b))

# --- elements by index ----------------------------------------------------------------------------

for s, d, n in [((5,), 0, 3), ((4, 3), 0, 6), ((4, 3), 1, 2), ((2, 3, 2), 1, 4), ((4, 3), 0, 0)]:
    x, i = draw(*s), ints(n, hi=s[d])
    case("index_select", [x, Dim(d), i], lambda a, i: a.index_select(d, i))
    src = list(s)
    src[d] = n
    case("index_add", [x, Dim(d), i, draw(*src)], lambda a, i, b: a.index_add(d, i, b))
    case("index_add", [x, Dim(d), i, draw(*src), 0.5], lambda a, i, b: a.index_add(d, i, b, alpha=0.5))
    case("index_fill", [x, Dim(d), i, 1.5], lambda a, i: a.index_fill(d, i, 1.5))
    u = torch.randperm(s[d], generator=rng)[:n]
    src[d] = len(u)
    case("index_copy", [x, Dim(d), u, draw(*src)], lambda a, i, b: a.index_copy(d, i, b))
case("index_select", [ints(4), Dim(0), torch.tensor([3, 0])], lambda a, i: a.index_select(0, i))
case("index_add", [ints(4), Dim(0), torch.tensor([3, 3]), ints(2)], lambda a, i, b: a.index_add(0, i, b))
for s, d, t in [((5,), 0, (3,)), ((4, 3), 0, (2, 3)), ((4, 3), 0, (6, 2)), ((4, 3), 1, (4, 1)), ((2, 3, 2), 1, (2, 4, 2)),
                ((4, 3), 1, (0, 2)), ((), 0, ())]:
    x, i = draw(*s), ints(*t, hi=s[d] if s else 1)
    case("gather", [x, Dim(d), i], lambda a, i: a.gather(d, i))
    case("scatter_add", [x, Dim(d), i, draw(*t)], lambda a, i, b: a.scatter_add(d, i, b))
    if s and i.numel() and t[d] <= s[d]:
        u = torch.stack([torch.randperm(s[d], generator=rng)[:t[d]] for _ in range(int(torch.tensor(t).prod()) // max(t[d], 1))])
        u = u.reshape(*[n for k, n in enumerate(t) if k != d], t[d]).movedim(-1, d).contiguous()
        big = [n + 1 for n in t]
        case("scatter", [x, Dim(d), u, draw(*t)], lambda a, i, b: a.scatter(d, i, b))
        case("scatter", [x, Dim(d), u, draw(*big)], lambda a, i, b: a.scatter(d, i, b), grad=False)
        case("scatter_add", [x, Dim(d), u, draw(*big)], lambda a, i, b: a.scatter_add(d, i, b), grad=False)
        case("scatter", [x, Dim(d), u, 2.5], lambda a, i: a.scatter(d, i, 2.5))
case("scatter_add", [ints(4), Dim(0), torch.tensor([1, 1, 3]), ints(3)], lambda a, i, b: a.scatter_add(0, i, b))
for s, m in [((5,), (5,)), ((2, 3), (3,)), ((2, 3), (2, 1)), ((), ()), ((0, 3), (3,))]:
    x, mask = draw(*s), bools(*m)
    case("masked_fill", [x, mask, -1.5], lambda a, m: a.masked_fill(m, -1.5))
    case("masked_fill", [x, mask, draw()], lambda a, m, v: a.masked_fill(m, v))
    case("masked_select", [x, mask], lambda a, m: a.masked_select(m))
    n = int(mask.expand(s).sum()) + 1
    case("masked_scatter", [x, mask, draw(n)], lambda a, m, b: a.masked_scatter(m, b))
case("masked_fill", [draw(2), bools(3, 2), 7.0], lambda a, m: a.expand(3, 2).masked_fill(m, 7.0))
case("masked_fill", [ints(3), bools(3), 7], lambda a, m: a.masked_fill(m, 7))
case("masked_fill", [draw(3), bools(3), -inf], lambda a, m: a.masked_fill(m, -inf))
case("masked_select", [draw(3), bools(2, 3)], lambda a, m: a.masked_select(m))
for s in ((5,), (2, 3), (2, 2, 2), (), (0,)):
    case("nonzero", [bools(*s)], torch.nonzero)
case("nonzero", [v], torch.nonzero, grad=False)
case("one_hot", [ints(4), 6], lambda a: F.one_hot(a, 6))
case("one_hot", [torch.tensor([[0, 3], [1, 1]])], F.one_hot)
case("embedding", [ints(4), draw(5, 3)], F.embedding)
case("embedding", [ints(2, 3), draw(5, 2), 1], lambda i, w: F.embedding(i, w, padding_idx=1))
case("embedding", [torch.tensor([0, 4, 4]), draw(5, 2), -1], lambda i, w: F.embedding(i, w, padding_idx=-1))
case("embedding", [torch.tensor(2), draw(5, 2)], F.embedding)
case("embedding", [ints(0), draw(5, 2)], F.embedding)

# --- losses, the rest -----------------------------------------------------------------------------


def nll(shape, target, weight=None, ignore=-100, reduction="mean"):
    args = [draw(*shape), target, weight, ignore, reduction]
    w = [weight] if weight is not None else []
    case("nll_loss", args, lambda a, t, *w: F.nll_loss(a, t, w[0].detach() if w else None,
                                                       ignore_index=ignore, reduction=reduction))
    if w:
        CASES[-1]["grad"][2] = None


for r in ("none", "sum", "mean"):
    nll((4, 5), ints(4), reduction=r)
    nll((4, 5), torch.tensor([0, 2, 4, 2]), ignore=2, reduction=r)
    nll((4, 5), ints(4), weight=draw(5, lo=0.5), reduction=r)
    nll((2, 5, 3), ints(2, 3), weight=draw(5, lo=0.5), ignore=1, reduction=r)
nll((5,), torch.tensor(3))
nll((3, 2), torch.tensor([-100, -100, -100]))


def pair(op, fn, shapes=((3,), (2, 3), (), (0, 2)), lo=-2.0, hi=2.0, tlo=-2.0, thi=2.0, extra=(), away=False,
         reductions=("none", "sum", "mean"), target_grad=True, at=2):
    for s in shapes:
        for r in reductions:
            x, t = draw(*s, lo=lo, hi=hi), draw(*s, lo=tlo, hi=thi)
            if away and x.numel():
                t = t + 1.0 / 128
            args = [x, t] + [None] * (at - 2) + [r, *extra]
            case(op, args, lambda a, b: fn(a, b if target_grad else b.detach(), r))
            if not target_grad:
                CASES[-1]["grad"][1] = None


pair("mse_loss", lambda a, b, r: F.mse_loss(a, b, reduction=r))
pair("l1_loss", lambda a, b, r: F.l1_loss(a, b, reduction=r), away=True)
pair("smooth_l1_loss", lambda a, b, r: F.smooth_l1_loss(a, b, reduction=r), away=True)
pair("smooth_l1_loss", lambda a, b, r: F.smooth_l1_loss(a, b, reduction=r, beta=0.5), away=True, extra=(0.5,))
pair("smooth_l1_loss", lambda a, b, r: F.smooth_l1_loss(a, b, reduction=r, beta=0.0), away=True, extra=(0,))
KL = ("none", "sum", "mean", "batchmean")
pair("kl_div", lambda a, b, r: F.kl_div(a, b, reduction=r), tlo=0.125, reductions=KL, shapes=((3,), (2, 3)))
pair("kl_div", lambda a, b, r: F.kl_div(a, b, reduction=r, log_target=True), extra=(True,), reductions=KL,
     shapes=((3,), (2, 3)))
case("kl_div", [draw(3), torch.tensor([0.0, 0.5, 0.5], dtype=torch.double), "sum"],
     lambda a, b: F.kl_div(a, b, reduction="sum"), grad=False)
pair("binary_cross_entropy", lambda a, b, r: F.binary_cross_entropy(a, b, reduction=r), lo=0.125, hi=0.875,
     tlo=0.125, thi=0.875, at=3, target_grad=False)
pair("binary_cross_entropy", lambda a, b, r: F.binary_cross_entropy(a, b, reduction=r), lo=0, hi=1, tlo=0, thi=1,
     at=3, target_grad=False)
BCEL = F.binary_cross_entropy_with_logits
pair("binary_cross_entropy_with_logits", lambda a, b, r: BCEL(a, b, reduction=r), tlo=0, thi=1, at=3)
case("binary_cross_entropy_with_logits", [torch.tensor([100.0, -100, 1000]).double(), torch.tensor([0.0, 1, 1]).double()], BCEL)
for r in ("none", "sum", "mean"):
    w, q = draw(2, 3, lo=0.5), draw(3, lo=0.5)
    for weight, pos in ((w, None), (None, q), (w, q)):
        ex = [t for t in (weight, pos) if t is not None]
        case("binary_cross_entropy_with_logits", [draw(2, 3), draw(2, 3, lo=0, hi=1), weight, r, pos],
             lambda a, b, *e: BCEL(a, b, weight=None if weight is None else e[0].detach(), reduction=r,
                                   pos_weight=None if pos is None else e[-1].detach()))
        CASES[-1]["grad"][2:] = [None] * len(ex)
    case("binary_cross_entropy", [draw(2, 3, lo=0.125, hi=0.875), draw(2, 3, lo=0, hi=1), w, r],
         lambda a, b, w: F.binary_cross_entropy(a, b.detach(), weight=w.detach(), reduction=r))
    CASES[-1]["grad"][1:] = [None, None]

# --- normalisation --------------------------------------------------------------------------------

for s in ((4, 3), (2, 3, 4), (2, 3, 2, 2), (3, 1), (8, 70)):
    for training in (True, False):
        x, m, v, w, b = draw(*s), draw(s[1]), draw(s[1], lo=0.5), draw(s[1], lo=0.5), draw(s[1])
        if s[0] == 8:
            x = torch.where(x.abs() < 2, x, x / 2)
        case("batch_norm", [x, m, v, w, b, training], lambda x, m, v, w, b: F.batch_norm(
            x, m.detach().clone(), v.detach().clone(), w, b, training), tol=20)
        CASES[-1]["grad"][1:3] = [None, None]
        if training:
            case("batch_norm", [x, None, None, None, None, True], lambda x: F.batch_norm(
                x, None, None, training=True), tol=20)
        if s == (4, 3):
            case("batch_norm", [x, m, v, w, None, training, 0.3, 0.5], lambda x, m, v, w: F.batch_norm(
                x, m.detach().clone(), v.detach().clone(), w, None, training, 0.3, 0.5))
            CASES[-1]["grad"][1:3] = [None, None]
for s, n in [((4, 3), (3,)), ((2, 3, 4), (3, 4)), ((2, 3, 4), (4,)), ((5,), (5,)), ((0, 3), (3,)), ((2, 70), (70,))]:
    case("layer_norm", [draw(*s), list(n), draw(*n, lo=0.5), draw(*n)], lambda x, w, b: F.layer_norm(x, n, w, b), tol=20)
    case("layer_norm", [draw(*s), list(n)], lambda x: F.layer_norm(x, n), tol=20)
    case("layer_norm", [draw(*s), list(n), draw(*n), None, 0.1], lambda x, w: F.layer_norm(x, n, w, None, 0.1), tol=20)
for s, g in [((2, 4), 2), ((2, 4, 3), 2), ((2, 6, 2, 2), 3), ((2, 3, 4), 1), ((2, 3, 4), 3)]:
    case("group_norm", [draw(*s), g, draw(s[1], lo=0.5), draw(s[1])], lambda x, w, b: F.group_norm(x, g, w, b), tol=40)
    case("group_norm", [draw(*s), g], lambda x: F.group_norm(x, g), tol=40)
case("dropout", [draw(2, 3), 0.5, False], lambda x: F.dropout(x, 0.5, False))
case("dropout", [draw(2, 3), 0], lambda x: F.dropout(x, 0.0))
case("dropout", [draw(2, 3), 1], lambda x: F.dropout(x, 1.0))

# --- convolutions and pooling ---------------------------------------------------------------------

for s, w, b, st, p, d, g in [((2, 3, 7), (4, 3, 3), True, 1, 0, 1, 1), ((2, 4, 8), (6, 2, 3), False, 2, 2, 2, 2),
                             ((3, 5), (2, 3, 1), True, 1, 1, 1, 1), ((0, 3, 5), (2, 3, 2), True, 1, 0, 1, 1)]:
    t = [draw(*s, lo=-1, hi=1), draw(*w, lo=-1, hi=1)] + ([draw(w[0])] if b else [])
    case("conv1d", t + [None] * (3 - len(t)) + [st, p, d, g], lambda *t: F.conv1d(*t, *[None] * (3 - len(t)), st, p, d, g),
         tol=4)
CONV = [((2, 3, 5, 6), (4, 3, 3, 2), True, 1, 0, 1, 1), ((2, 4, 6, 5), (6, 2, 3, 3), False, 2, 1, 1, 2),
        ((1, 2, 7, 7), (3, 2, 2, 3), True, (2, 1), (0, 2), (1, 2), 1), ((3, 4, 4), (4, 1, 3, 3), True, 1, 1, 1, 3),
        ((2, 2, 3, 3), (2, 2, 3, 3), True, 1, 0, 1, 1), ((17, 1, 4, 4), (2, 1, 2, 2), True, 2, 0, 1, 1)]
CONV[3] = ((3, 4, 4), (6, 1, 3, 3), True, 1, 1, 1, 3)
for s, w, b, st, p, d, g in CONV:
    t = [draw(*s, lo=-1, hi=1), draw(*w, lo=-1, hi=1)] + ([draw(w[0])] if b else [])
    ls = [list(v) if isinstance(v, tuple) else v for v in (st, p, d)]
    case("conv2d", t + [None] * (3 - len(t)) + ls + [g], lambda *t: F.conv2d(*t, *[None] * (3 - len(t)), st, p, d, g), tol=4)
for s, w, b, st, p, op, g, d in [((2, 3, 4, 3), (3, 4, 3, 2), True, 1, 0, 0, 1, 1), ((2, 4, 3, 3), (4, 3, 4, 4), False, 2, 1, 0, 2, 1),
                                 ((1, 2, 3, 4), (2, 3, 3, 3), True, (2, 3), (1, 0), (1, 2), 1, 1),
                                 ((3, 3, 3), (3, 2, 2, 2), True, 1, 0, 0, 1, 2), ((2, 2, 2, 2), (2, 1, 3, 3), True, 2, 1, 1, 1, 3),
                                 ((17, 2, 2, 2), (2, 1, 2, 2), True, 2, 0, 0, 1, 1)]:
    t = [draw(*s, lo=-1, hi=1), draw(*w, lo=-1, hi=1)] + ([draw(w[1] * g)] if b else [])
    ls = [list(v) if isinstance(v, tuple) else v for v in (st, p, op)]
    case("conv_transpose2d", t + [None] * (3 - len(t)) + ls + [g, d],
         lambda *t: F.conv_transpose2d(*t, *[None] * (3 - len(t)), st, p, op, g, d), tol=4)
for s, k, st, p, d, ceil in [((2, 2, 4, 4), 2, None, 0, 1, False), ((1, 2, 5, 6), (3, 2), (2, 1), (1, 1), 1, False),
                             ((2, 5, 5), 2, 2, 0, 1, True), ((1, 1, 7, 7), 3, 2, 1, 2, False), ((1, 1, 5, 5), 2, 3, 1, 1, True)]:
    x = draw(*s, apart=True)
    ls = [list(v) if isinstance(v, tuple) else v for v in (k, st, p, d)]
    case("max_pool2d", [x, *ls, ceil], lambda x: F.max_pool2d(x, k, st, p, d, ceil))
    if d == 1:
        for pads in (True, False):
            case("avg_pool2d", [x, *ls[:3], ceil, pads], lambda x: F.avg_pool2d(x, k, st, p, ceil, pads))
case("max_pool2d", [torch.tensor([[[1.0, nan, 2, 3], [0, 1, -inf, 2]]], dtype=torch.double), 2], lambda x: F.max_pool2d(x, 2),
     grad=False)

# --- linear and recurrent -------------------------------------------------------------------------

for s in ((3,), (2, 3), (2, 4, 3), (0, 3)):
    case("linear", [draw(*s), draw(4, 3), draw(4)], F.linear)
    case("linear", [draw(*s), draw(4, 3)], F.linear)


def recurrent(op, T, B, I, H, batch_first=False, reverse=False, bias=True, start=True, relu=False):
    """One direction of torch's layer: the reversed one is computed on x turned round."""
    G = dict(lstm=4, gru=3, rnn=1)[op] * H
    lo, hi = (0.125, 0.5) if relu else (-1, 1)
    x = draw(*((B, T, I) if batch_first else (T, B, I)), lo=lo, hi=hi)
    states = [draw(B, H, lo=lo, hi=hi) if start else None for _ in range(2 if op == "lstm" else 1)]
    w = [draw(G, I, lo=lo, hi=hi), draw(G, H, lo=lo, hi=hi)] + ([draw(G, lo=lo, hi=hi), draw(G, lo=lo, hi=hi)] if bias
                                                                 else [None, None])
    time = 1 if batch_first else 0

    def run(*t):
        t = list(t)
        x = t.pop(0)
        st = [t.pop(0) if start else torch.zeros(B, H, dtype=x.dtype) for _ in states]
        x = x.flip(time) if reverse else x
        x = x.transpose(0, 1) if batch_first else x
        hx = tuple(v.unsqueeze(0) for v in st)
        if op == "lstm":
            y, h, c = torch._VF.lstm(x, hx, tuple(t), bias, 1, 0.0, False, False, False)
            last = [h[0], c[0]]
        else:
            f = torch._VF.gru if op == "gru" else torch._VF.rnn_relu if relu else torch._VF.rnn_tanh
            y, h = f(x, hx[0], tuple(t), bias, 1, 0.0, False, False, False)
            last = [h[0]]
        y = y.transpose(0, 1) if batch_first else y
        return [y.flip(time) if reverse else y] + last

    mode = [] if op != "rnn" else ["relu" if relu else "tanh"]
    case(op, [x, *states, *w, *mode, batch_first, reverse], run, tol=20)


for op in ("rnn", "lstm", "gru"):
    recurrent(op, 3, 2, 2, 3)
    recurrent(op, 3, 2, 2, 3, batch_first=True)
    recurrent(op, 3, 2, 2, 3, reverse=True, bias=False)
    recurrent(op, 2, 3, 1, 1, batch_first=True, reverse=True, start=False)
    recurrent(op, 1, 1, 4, 2)
    recurrent(op, 2, 33, 1, 2, batch_first=True)
recurrent("rnn", 3, 2, 2, 3, relu=True)

for s, i, j, o in [((3,), 2, 3, 4), ((), 2, 2, 1), ((2, 3), 1, 2, 2), ((0,), 2, 3, 2)]:
    w = draw(o, i, j)
    case("bilinear", [draw(*s, i), draw(*s, j), w, draw(o)], F.bilinear, tol=4)
    case("bilinear", [draw(*s, i), draw(*s, j), w], F.bilinear, tol=4)

# --- later ones: earlier cases keep what they drew --------------------------------------------------

unary("atan", torch.atan, lo=-4)
for s, n in [((4, 3), (3,)), ((2, 3, 4), (3, 4)), ((2, 3, 4), (4,)), ((5,), (5,)), ((0, 3), (3,)), ((2, 70), (70,))]:
    case("rms_norm", [draw(*s), list(n), draw(*n, lo=0.5), 1e-5], lambda x, w: F.rms_norm(x, n, w, 1e-5), tol=20)
    case("rms_norm", [draw(*s), list(n), None, 0.1], lambda x: F.rms_norm(x, n, None, 0.1), tol=20)
case("rms_norm", [draw(3, 4), [4]], lambda x: F.rms_norm(x, (4,)), tol=20)
case("rms_norm", [torch.zeros(1, 2).double(), [2]], lambda x: F.rms_norm(x, (2,)), only64=True)

# --- writing --------------------------------------------------------------------------------------


def number(v):
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, int):
        return str(v)
    if v != v:
        return "nan"
    if v in (inf, -inf):
        return "inf" if v > 0 else "-inf"
    return repr(v)[:-2] if repr(v).endswith(".0") and repr(v) != "-0.0" else repr(v)


NAMES = {torch.float64: "float64", torch.float32: "float32", torch.int64: "int64", torch.uint8: "uint8",
         torch.bool: "bool"}


def tensor(t):
    if t is None:
        return "false"
    values = ",".join(number(v) for v in t.contiguous().flatten().tolist())
    dtype = "" if t.dtype == torch.float64 else '"%s",' % NAMES[t.dtype]
    return "T{%s{%s},{%s}}" % (dtype, ",".join(map(str, t.shape)), values)


def argument(a, c):
    if torch.is_tensor(a):
        return "I(%d)" % (1 + next(i for i, t in enumerate(c["tensors"]) if t is a))
    if isinstance(a, Dim):
        v = a.lua()
        return "{%s}" % ",".join(map(str, v)) if isinstance(v, list) else str(v)
    if isinstance(a, list):
        return "{%s}" % ",".join(argument(v, c) for v in a)
    if a is None:
        return "nil"
    if isinstance(a, str):
        return '"%s"' % a
    return number(a)


def write(out, name="ops"):
    out.write("-- %s.lua: made by %s.py with torch %s: inputs, results, dy, gradients and arguments of "
              "each op\n" % (name, name, torch.__version__))
    out.write("local T, I, case, nan, inf = ...\n")
    for c in CASES:
        lists = [[tensor(t) for t in c[k]] for k in ("tensors", "out", "dy", "grad")]
        out.write("case('%s',%s,%s,{%s},{%s},{%s},{%s},{n=%d%s})\n" % (
            c["op"], number(c["tol"]), "true" if c["only64"] else "false", ",".join(lists[0]),
            ",".join(lists[1]), ",".join(lists[2]), ",".join(lists[3]), len(c["args"]),
            "".join(",[%d]=%s" % (i + 1, argument(a, c)) for i, a in enumerate(c["args"])
                    if a is not None)))


if __name__ == "__main__":
    write(sys.stdout)

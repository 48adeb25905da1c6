# index.py: golden numbers of x[key] and x[key] = value, from PyTorch 2.15: `python3 index.py > index.lua`.
#
# A case is a shape, a key, and what PyTorch gives of x = 0, 1, 2, ... in that shape: the result, the gradient of x
# for dy = 1, 2, 3, ..., and x after x[key] = -1, -2, -3, ... (in the result's shape) and after x[key] = a row that
# broadcasts. A key is written as Lua takes it: positions from 1, {first, last, step}, {}, "...", "newaxis"; tensors
# are {"i", shape, values} and {"m", shape, values}. Where indices repeat, x after the assignment is not compared.
import random

import torch

torch.set_num_threads(1)
random.seed(3)
rng = torch.Generator().manual_seed(3)


def lua(v):
    if isinstance(v, (list, tuple)):
        return "{" + ",".join(lua(x) for x in v) + "}"
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, str):
        return '"%s"' % v
    return repr(int(v)) if float(v) == int(v) else repr(v)


def tensor(t):
    return lua([list(t.shape), t.flatten().tolist()])


def item(kind, size, wide):
    """(Lua's, Python's) item for a dim of that size; `wide`: the shape index tensors broadcast to."""
    if kind == "at":
        i = random.randrange(-size, size)
        return (i + 1 if i >= 0 else i), i
    if kind == "range":
        a = random.randrange(size)
        b, step = random.randrange(a, size), random.choice([1, 1, 2])
        return [a + 1, b + 1, step], slice(a, b + 1, step)
    if kind == "all":
        return [], slice(None)
    if kind == "new":
        return "newaxis", None
    if kind == "rest":
        return "...", Ellipsis
    shape = [n if random.random() < 0.7 else 1 for n in wide]
    while shape and random.random() < 0.3:
        shape = shape[1:]
    if kind == "zero":
        shape = []
    t = torch.randint(-size, size, shape, generator=rng)
    return ["i", list(shape), t.flatten().tolist()], t


def mask(shape, count):
    t = torch.zeros(shape, dtype=torch.bool).flatten()
    t[torch.randperm(t.numel(), generator=rng)[:count]] = True
    t = t.view(shape)
    return ["m", list(shape), t.flatten().tolist()], t


def key(shape, kinds, wide):
    out, dim = [], 0
    taken = sum(0 if k in ("new", "rest") else 2 if k == "mask2" else 1 for k in kinds)
    for k in kinds:
        if k in ("mask", "mask2"):
            n = 2 if k == "mask2" else 1
            size = 1
            for s in shape[dim:dim + n]:
                size *= s
            out.append(mask(shape[dim:dim + n], min(size, wide[-1])))
            dim += n
        elif k == "rest":
            out.append(item(k, 0, wide))
            dim += len(shape) - taken
        else:
            out.append(item(k, shape[dim] if dim < len(shape) else 0, wide))
            dim += k != "new"
    return [a for a, _ in out], tuple(b for _, b in out)


def show(shape, kinds, wide):
    lua_key, py_key = key(shape, kinds, wide)
    n = 1
    for s in shape:
        n *= s
    x = torch.arange(n, dtype=torch.float64).reshape(shape).requires_grad_()
    try:
        y = x[py_key]
    except IndexError:
        return  # the draw does not broadcast: there is nothing to compare
    dy = torch.arange(1, y.numel() + 1, dtype=torch.float64).reshape(y.shape)
    (g,) = torch.autograd.grad(y, x, dy)
    put, row = x.detach().clone(), x.detach().clone()
    flat = torch.arange(n).reshape(shape)[py_key]
    once = flat.unique().numel() == flat.numel()
    put[py_key] = -dy
    row[py_key] = -torch.arange(1, y.shape[-1] + 1, dtype=torch.float64) if y.dim() else torch.tensor(-1.0).double()
    print("  {shape=%s, key=%s, y=%s, grad=%s, put=%s, row=%s}," % (
        lua(list(shape)), lua(lua_key), tensor(y.detach()), tensor(g),
        tensor(put) if once else "false", tensor(row) if once else "false"))


print("-- index.lua: made by index.py with torch %s" % torch.__version__.split("+")[0])
print("return {")
PATTERNS = [
    ("index", "index"), ("index", "all", "index"), ("all", "index", "index"), ("index", "at", "index"),
    ("index", "index", "index"), ("all", "index", "all", "index"), ("new", "index", "index"),
    ("index", "new", "index"), ("rest", "index"), ("index", "rest", "index"), ("rest", "at"), ("at", "rest"),
    ("rest",), ("new",), ("new", "at"), ("at", "new"), ("rest", "new"), ("new", "rest", "new"),
    ("range", "new", "at"), ("mask",), ("mask2",), ("all", "mask2"), ("mask", "index"), ("index", "mask"),
    ("mask", "all", "index"), ("mask", "mask"), ("mask2", "index"), ("index", "mask2"), ("range", "index", "index"),
    ("at", "index", "index"), ("index", "at"), ("index", "range"), ("zero", "index"), ("index", "zero", "index"),
    ("rest", "mask2"), ("mask", "rest"), ("index",), ("all", "index"), ("rest", "index", "all"), ("zero", "rest"),
]
for kinds in PATTERNS:
    need = sum(0 if k in ("new", "rest") else 2 if k == "mask2" else 1 for k in kinds)
    for extra in (0, 1):
        for wide in ((2,), (3, 2)):
            shape = [random.choice([2, 3, 4]) for _ in range(need + extra)]
            if shape and len(shape) <= 5:
                show(tuple(shape), kinds, wide)
show((0, 3), ("all", "index"), (2,))
show((3, 4), ("mask", "all"), (0,))
show((3, 4, 2), ("mask", "index"), (1,))
print("}")

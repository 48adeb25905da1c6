# promote.py: the dtypes that PyTorch's ops take and give: `python3 promote.py > promote.lua` (made with torch 2.15).
#
# For every op of ops.py, on its smallest case with tensors alone: each pair of dtypes of its first two float inputs (a
# further one goes with the first), and what PyTorch gives: dtypes and elements, to 4 digits, or nothing where it refuses.
# Then operands that are numbers, as a script writes them: 2 and 1.5.
import sys
import warnings

import torch

import ops

CASES = list(ops.CASES)
import ops_rest  # noqa: E402: it collects its cases in the same list, cleared first

CASES += ops.CASES

warnings.simplefilter("ignore")
torch.set_num_threads(1)
DTYPES = ["bool", "uint8", "int64", "float32", "float64"]


def element(v):
    text = "%.4g" % v
    return {"-0": "0", "-nan": "nan"}.get(text, text)


def show(v):
    if not isinstance(v, torch.Tensor):
        return element(v)
    return str(v.dtype)[6:] + " " + ",".join(element(a) for a in v.double().reshape(-1).tolist())


def attempt(fn, inputs):
    try:
        out = fn(*inputs)
    except Exception:  # PyTorch refuses
        return None
    return " | ".join(show(v) for v in (out if isinstance(out, (tuple, list)) else (out,)))


def usable(c):
    sizes = [t.numel() for t in c["tensors"]]
    scalars = any(isinstance(a, (int, float)) for a in c["args"]) and c["op"] in NUMBERED
    return sizes and min(sizes) > 0 and max(sizes) > 1 and not scalars


def weight(c):
    """Least for the case to take: most float tensors, then fewest elements, but not one alone."""
    floats = sum(t.is_floating_point() for t in c["tensors"])
    return -floats, sum(t.numel() + (50 if t.ndim == 0 else t.numel() == 1) for t in c["tensors"])


def whole(t):
    """Small whole numbers, which all dtypes hold: 0 and 1 in bool."""
    return (t.nan_to_num(1, 1, 1).abs() * 2).floor() if t.is_floating_point() else t


def pairs(c):
    """The row of one op."""
    tensors = [whole(t) for t in c["tensors"]]
    floats = [i for i, t in enumerate(tensors) if t.is_floating_point()]
    results = {}
    for a in DTYPES:
        for b in DTYPES if len(floats) > 1 else [None]:
            names = [a, b] + [a] * len(floats)
            inputs = list(tensors)
            for k, i in enumerate(floats):
                inputs[i] = tensors[i].to(getattr(torch, names[k]))
            got = attempt(c["fn"], [inputs[k] for k in c["at"]])
            if got is not None:
                results[a if b is None else a + " " + b] = got
    return tensors, results


NUMBERED = "add sub mul div pow maximum minimum eq ne lt le gt ge where masked_fill scatter lerp".split()
SCALARS = []


def scalar(lua, python=None):
    """An expression of x, a mask and numbers, in Lua's words and in Python's."""
    SCALARS.append((lua, python or lua.replace(":", ".").replace("sq.", "torch.")))


for n in ("2", "1.5"):
    for name in "add sub mul div pow".split():
        scalar(f"x:{name}({n})")
        scalar(f"sq.{name}({n}, x)")
    for name in "eq ne lt le gt ge".split():
        scalar(f"x:{name}({n})")
    scalar(f"sq.where(mask, x, {n})")
    scalar(f"sq.where(mask, {n}, x)")
    scalar(f"x:lerp(x, {n})")
    scalar(f"sq.where(mask, 2, {n})")
scalar("x:masked_fill(mask, 1)")
for name in "add_ sub_ mul_ div_ pow_ eq_ lt_".split():
    for n in ("1", "1.5"):
        scalar(f"x:{name}({n})")
    for d in DTYPES:
        scalar(f'x:{name}(x:to("{d}"))', f"x.{name}(x.to(torch.{d}))")
for d in DTYPES:  # tensors without dims weigh less than those with dims
    scalar(f'x:add(sq.tensor(1, "{d}"))', f"x.add(torch.tensor(1, dtype=torch.{d}))")
    scalar(f'sq.tensor(1, "{d}"):mul(x)', f"torch.tensor(1, dtype=torch.{d}).mul(x)")
    scalar(f'sq.tensor(1, "{d}") + 1.5', f"torch.tensor(1, dtype=torch.{d}) + 1.5")
    for op in ("sum", "mean", "prod"):
        scalar(f'x:{op}{{dtype = "{d}"}}', f"x.{op}(dtype=torch.{d})")
    for op in ("cumsum", "softmax", "log_softmax"):
        scalar(f'x:{op}(1, {{dtype = "{d}"}})', f"x.{op}(0, dtype=torch.{d})")


def main():
    print("-- promote.lua: made by promote.py with torch %s.\nlocal T, I, nan, inf = ...\nreturn {" % torch.__version__)
    best = {}
    for c in CASES:
        if usable(c) and (c["op"] not in best or weight(c) < weight(best[c["op"]])):
            best[c["op"]] = c
    for name, c in sorted(best.items()):
        tensors, results = pairs(c)
        args = "".join(",[%d]=%s" % (i + 1, ops.argument(a, c)) for i, a in enumerate(c["args"]) if a is not None)
        rows = "".join(',["%s"]="%s"' % r for r in results.items())
        print('  {"%s",{%s},{n=%d%s}%s},' % (name, ",".join(map(ops.tensor, tensors)), len(c["args"]), args, rows))
    print("}, {")
    for lua, python in SCALARS:
        rows = []
        for d in DTYPES:
            x = torch.tensor([1, 0, 3]).to(getattr(torch, d))
            scope = {"torch": torch, "x": x, "mask": torch.tensor([True, False, True])}
            got = attempt(lambda: eval(python, scope), [])
            if got is not None:
                rows.append(', %s = "%s"' % (d, got))
        print("  {[==[%s]==]%s}," % (lua, "".join(rows)))
    print("}")


if __name__ == "__main__":
    main()

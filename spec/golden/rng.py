# rng.py: golden draws of every distribution, from PyTorch's CPU generator: `python3 rng.py > rng.lua` (torch 2.15).
#
# One stream per seed, with the draws interleaved, so that a number too many or too few anywhere shows. Each draw gives
# its first and last elements and a digest of the bits of all; normals, equal to rounding only, give all they have.
import struct

import torch

MASK = 2**64 - 1


def digest(values):
    """d = 31 d + the value's float64 bits, in 64-bit integers."""
    d = 0
    for v in values:
        d = (d * 31 + struct.unpack("<q", struct.pack("<d", float(v)))[0]) & MASK
    return d - 2**64 if d >= 2**63 else d


def show(v):
    return float(v).hex() if isinstance(v, float) else str(v)


def exact(name, args, x):
    v = x.tolist()
    ends = ", ".join(show(e) for e in v[:3] + v[-3:])
    print(f'    {{"{name}", {{{args}}}, digest = {digest(v)}, ends = {{{ends}}}}},')


def near(name, args, x):
    print(f'    {{"{name}", {{{args}}}, all = {{{", ".join(show(e) for e in x.tolist())}}}}},')


def stream():
    for dtype in ("float32", "float64"):
        t = getattr(torch, dtype)
        for n in (1, 5, 16, 1000, 5003):
            exact("rand", f'{n}, "{dtype}"', torch.rand(n, dtype=t))
        for lo, hi in ((-1, 1), (-1 / 7, 1 / 3), (-(128**-0.5), 128**-0.5), (3, 3.7)):
            exact("uniform_", f'2000, "{dtype}", {show(float(lo))}, {show(float(hi))}',
                  torch.empty(2000, dtype=t).uniform_(lo, hi))
        for n in (1, 3, 15, 16, 17, 33, 100):
            near("randn", f'{n}, "{dtype}"', torch.randn(n, dtype=t))
        near("normal_", f'20, "{dtype}", 2, 0.3', torch.empty(20, dtype=t).normal_(2, 0.3))
        for p in (0, 0.1, 0.5, 1):
            exact("bernoulli_", f'1000, "{dtype}", {p}', torch.empty(1000, dtype=t).bernoulli_(p))
    for lo, hi in ((0, 10), (-5, 7), (0, 2**32 - 1), (0, 2**32), (-(2**40), 2**41)):
        exact("randint", f"{lo}, {hi}, 999", torch.randint(lo, hi, (999,)))
    for n in (0, 1, 2, 10, 4099):
        exact("randperm", f"{n}", torch.randperm(n))


if __name__ == "__main__":
    print("-- rng.lua: made by rng.py.\nreturn {")
    for seed in (0, 1, 42, 2**31, 2**32 + 5, -1):
        torch.manual_seed(seed)
        print(f"  {{seed = {seed},")
        stream()
        print("  },")
    print("}")

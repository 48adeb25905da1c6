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

if __name__ == "__main__":
    ops.write(sys.stdout, "ops_rest")

# dtypes.py: what PyTorch gives for each dtype: `python3 dtypes.py > dtypes.lua` (made with torch 2.15).
#
# A case is an expression of x (2,3), in Lua's words and in Python's. For each dtype that PyTorch takes the file has the
# dtype, shape and elements of the results.
import torch
import torch.nn.functional as F

DTYPES = ["float32", "float64", "int64", "uint8", "bool"]
CASES = []


def case(lua, python=None):
    CASES.append((lua, python or lua.replace(":", ".")))


for name in """exp log log1p expm1 sqrt rsqrt abs neg sign sin cos tanh sigmoid relu square reciprocal floor ceil round erf
        isnan isinf isfinite logical_not sum mean prod var std max min argmax argmin norm all any nonzero t contiguous clone
        tril triu flatten squeeze zero_ relu_ exp_ neg_ abs_ sqrt_ square_ sigmoid_ floor_ logical_not_""".split():
    case(f"x:{name}()")
for name in "leaky_relu elu gelu silu softplus one_hot".split():
    case(f"x:{name}()", f"F.{name}(x)")
for name in "sum mean prod var std max min argmax argmin cumsum softmax log_softmax logsumexp sort all any".split():
    case(f"x:{name}(-1)")
case("x:topk(2, -1)")
case("x:norm(2, -1)")
for name in "add sub mul div pow maximum minimum eq ne lt le gt ge logical_and logical_or matmul_t".split():
    y = "x:t()" if name == "matmul_t" else "x"
    case(f"x:{name[:-2] if y != 'x' else name}({y})")
for name in "add sub mul div pow eq ne lt le gt ge".split():
    case(f"x:{name}(2)")
    case(f"x:{name}(1.5)")
    case(f"x:{name}_(x:clone())")
    case(f"x:{name}_(2)")
for name in "logical_and logical_or".split():
    case(f"x:{name}_(x:clone())")
case("x:clamp(1, 2)")
case("x:clamp(0.5, 1.5)")
case("x:clamp_(1, 2)")
case("x:lerp(x, 0.5)")
case("x:add(x, {alpha = 2})", "x.add(x, alpha=2)")
case("sq.where(x:gt(0), x, x)", "torch.where(x > 0, x, x)")
case("x:mm(x:t())")
case("x:mv(x[1])", "x.mv(x[0])")
case("x[1]:dot(x[2])", "x[0].dot(x[1])")
case("x[1]:outer(x[2])", "x[0].outer(x[1])")
case("x:unsqueeze(1):bmm(x:t():unsqueeze(1))", "x[None].bmm(x.t()[None])")
case("x[{{}, {1, 2}}]:addmm(x, x:t())", "x[:, :2].addmm(x, x.t())")
case('sq.einsum("ij,kj->ik", {x, x})', 'torch.einsum("ij,kj->ik", x, x)')
case("sq.cat({x, x})", "torch.cat([x, x])")
case("sq.stack({x, x})", "torch.stack([x, x])")
case("x:index_select(2, two)", "x.index_select(1, two)")
case("x:gather(2, four)", "x.gather(1, four)")
case("x:scatter_(2, four, y)", "x.scatter_(1, four, y)")
case("x:scatter_add_(2, four, y)", "x.scatter_add_(1, four, y)")
case("x:index_add_(2, two, y)", "x.index_add_(1, two, y)")
case("x:index_fill_(2, two, 1)", "x.index_fill_(1, two, 1)")
case("x:masked_fill(x:gt(0), 1)")
case("x:masked_select(x:gt(0))")
case("x:roll(1, 2)", "x.roll(1, 1)")
case("x:flip(2)", "x.flip(1)")
case("x:fill_(1)")
case("x:copy_(x:float())")
case("x:equal(x)")
case("x:allclose(x)")
case("x:max():item()")
for name in "zeros ones".split():
    case(f"sq.{name}_like(x)", f"torch.{name}_like(x)")
case("sq.arange(0, 5, {dtype = dtype})", "torch.arange(0, 5, dtype=dtype)")
case("sq.linspace(0, 4, 5, {dtype = dtype})", "torch.linspace(0, 4, 5, dtype=dtype)")
case("sq.eye(2, {dtype = dtype})", "torch.eye(2, dtype=dtype)")
case("sq.full({2}, 1, {dtype = dtype})", "torch.full((2,), 1, dtype=dtype)")
case("sq.randint(0, 1, {2}, {dtype = dtype})", "torch.randint(0, 1, (2,), dtype=dtype)")
case("sq.randperm(1, {dtype = dtype})", "torch.randperm(1, dtype=dtype)")
case("x:bernoulli_(1)")
case("x:uniform_(0, 0)")
case("x:normal_(2, 0)")


def element(v):
    text = "%.4g" % v
    return {"-0": "0", "-nan": "nan"}.get(text, text)


def show(v):
    if isinstance(v, torch.Tensor):
        dtype, shape = str(v.dtype)[6:], ",".join(str(n) for n in v.shape)
        return f"{dtype} ({shape}) " + ",".join(element(a) for a in v.double().reshape(-1).tolist())
    return str(v).lower() if isinstance(v, bool) else element(v)


print("-- dtypes.lua: made by dtypes.py.\nreturn {")
for lua, python in CASES:
    row = [f"[==[{lua}]==]"]
    for name in DTYPES:
        dtype = getattr(torch, name)
        x = torch.tensor([[1, 0, 2], [3, 1, 0]]).to(dtype)
        scope = {"x": x, "y": x[:, :2].clone(), "dtype": dtype, "torch": torch, "F": F,
                 "two": torch.tensor([0, 1]), "four": torch.tensor([[0, 1], [2, 0]])}
        try:
            result = eval(python, scope)
        except Exception:  # not for this dtype
            continue
        many = result if isinstance(result, tuple) else (result,)
        row.append(f'{name} = "{" | ".join(show(v) for v in many)}"')
    print("  {" + ", ".join(row) + "},")
print("}")

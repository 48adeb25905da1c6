# layers.py: golden results and gradients of every layer and loss, from PyTorch: `python3 layers.py > layers.lua` (torch
# 2.15).
#
# A case is a layer's arguments by name, what its inputs are drawn from, and what comes of them in float64: results, the
# gradients of all parameters and inputs for a dy, and the buffers afterwards. Nothing that can be drawn again is stored:
# parameters, buffers, inputs and dy are multiples of 1/64 from PyTorch's generator, which is ours too, so that float32
# holds them exactly. Case n draws tensors for the constructor from seed n, then, made, the rest from seed 1000 + n.
# Dims are written as Lua counts them.
import math
import sys

import torch
from torch import nn

CASES = []


class Draw:
    """A tensor to be drawn: numbers in [lo, hi], or int64 in [lo, hi), or bool."""

    def __init__(self, kind, shape, lo=-1, hi=1):
        self.kind, self.shape, self.lo, self.hi = kind, shape, lo, hi

    def make(self):
        if self.kind == "number":
            return torch.randint(round(self.lo * 64), round(self.hi * 64) + 1, self.shape).double() / 64
        if self.kind == "int":
            return torch.randint(self.lo, self.hi, self.shape)
        return torch.randint(0, 2, self.shape).bool()

    def lua(self):
        return 'D{"%s",{%s},%s,%s}' % (self.kind, ",".join(map(str, self.shape)), value(self.lo), value(self.hi))


def number(*shape, lo=-1.0, hi=1.0):
    return Draw("number", shape, lo, hi)


def ints(*shape, lo=0, hi=5):
    return Draw("int", shape, lo, hi)


def bools(*shape):
    return Draw("bool", shape)


def flat(out):
    if torch.is_tensor(out):
        return [out]
    return [t for o in out if o is not None for t in flat(o)]


def plain(layer, x, named):
    return layer(*x, **named)


def with_state(layer, x, named):
    if len(x) == 3:
        return layer(x[0], (x[1], x[2]))
    return layer(*x)


def case(name, args, inputs, named=None, lua_args=None, call=plain, train=True, times=1):
    """args: the constructor's, by PyTorch's names; lua_args: those that Lua writes differently."""
    n = len(CASES) + 1
    torch.manual_seed(n)
    made = {k: args[k].make() if isinstance(args[k], Draw) else args[k] for k in sorted(args)}
    layer = getattr(nn, name)(**made).double().train(train)
    torch.manual_seed(1000 + n)
    parameters = list(layer.named_parameters())
    kept = [b for _, b in layer.named_buffers() if b.is_floating_point()] if "Loss" not in name else []
    with torch.no_grad():
        for _, p in parameters:
            p.copy_(number(*p.shape, lo=-0.5, hi=0.5).make())
        for b in kept:
            b.copy_(number(*b.shape, lo=0.5, hi=1.5).make())
    x = [i.make() for i in inputs]
    names = sorted(named or {})
    options = {k: named[k].make() if isinstance(named[k], Draw) else named[k] for k in names}
    leaves = [t.requires_grad_() for t in x if t.is_floating_point()]
    for _ in range(times):
        out = flat(call(layer, x, options))
    loss = sum((o * number(*o.shape).make()).sum() for o in out if o.requires_grad)
    wanted = [p for _, p in parameters] + leaves
    grads = torch.autograd.grad(loss, wanted, allow_unused=True)
    grads = [torch.zeros_like(w) if g is None else g for w, g in zip(wanted, grads)]
    CASES.append(dict(name=name, args={**args, **(lua_args or {})}, inputs=inputs, named=named or {}, train=train,
                      times=times, names=list(layer.state_dict()), out=[o.detach() for o in out], grads=grads,
                      buffers=[b for _, b in layer.named_buffers()] if "Loss" not in name else []))


# --- linear maps ----------------------------------------------------------------------------------

case("Linear", dict(in_features=3, out_features=4), [number(5, 3)])
case("Linear", dict(in_features=3, out_features=2, bias=False), [number(2, 2, 3)])
case("Linear", dict(in_features=3, out_features=2), [number(3)])
case("Bilinear", dict(in1_features=2, in2_features=3, out_features=4), [number(5, 2), number(5, 3)])
case("Bilinear", dict(in1_features=2, in2_features=3, out_features=1, bias=False), [number(2, 2, 2), number(2, 2, 3)])
case("Embedding", dict(num_embeddings=5, embedding_dim=3), [ints(4, 3)])
case("Embedding", dict(num_embeddings=5, embedding_dim=2, padding_idx=1), [ints(9)])
case("Embedding", dict(num_embeddings=5, embedding_dim=2, padding_idx=-1), [ints(9)])

# --- recurrent ------------------------------------------------------------------------------------

for name in ("RNN", "LSTM", "GRU"):
    states = 2 if name == "LSTM" else 1

    def recurrent(x, *state, **args):
        case(name, dict(input_size=2, hidden_size=3, **args), [number(*x)] + [number(*state) for _ in range(states)
                                                                             if state], call=with_state)

    recurrent((4, 2, 2))
    recurrent((4, 2, 2), 1, 2, 3)
    recurrent((2, 4, 2), 2, 2, 3, num_layers=2, batch_first=True)
    recurrent((3, 2, 2), 4, 2, 3, num_layers=2, bidirectional=True)
    recurrent((2, 3, 2), 2, 2, 3, bidirectional=True, batch_first=True, bias=False)
    recurrent((3, 2), 1, 3)
    recurrent((3, 2), 2, 3, bidirectional=True, batch_first=True)
    recurrent((3, 2, 2), num_layers=3, dropout=0.4)
    recurrent((2, 3, 2), num_layers=2, dropout=0.4, bidirectional=True, batch_first=True)
    case(name, dict(input_size=2, hidden_size=3, num_layers=2, dropout=0.4), [number(3, 2, 2)], call=with_state,
         train=False)
    cell = name + "Cell"
    for args in ({}, {"bias": False}):
        case(cell, dict(input_size=2, hidden_size=3, **args), [number(4, 2)] + [number(4, 3) for _ in range(states)],
             call=with_state)
    case(cell, dict(input_size=2, hidden_size=3), [number(4, 2)], call=with_state)
    case(cell, dict(input_size=2, hidden_size=3), [number(2)] + [number(3) for _ in range(states)], call=with_state)
case("RNN", dict(input_size=2, hidden_size=3, nonlinearity="relu", num_layers=2), [number(3, 2, 2), number(2, 2, 3)])
case("RNNCell", dict(input_size=2, hidden_size=3, nonlinearity="relu"), [number(4, 2), number(4, 3)])

# --- normalisation --------------------------------------------------------------------------------

for name, shapes in (("BatchNorm1d", [(5, 3), (3, 3, 2)]), ("BatchNorm2d", [(2, 3, 2, 2)])):
    for shape in shapes:
        case(name, dict(num_features=3), [number(*shape)])
        case(name, dict(num_features=3), [number(*shape)], train=False)
    case(name, dict(num_features=3, momentum=0.3, eps=1e-2), [number(*shapes[0])], times=3)
    case(name, dict(num_features=3, momentum=None), [number(*shapes[0])], lua_args=dict(momentum=None, cumulative=True),
         times=3)
    case(name, dict(num_features=3, affine=False), [number(*shapes[0])])
    for train in (True, False):
        case(name, dict(num_features=3, track_running_stats=False), [number(*shapes[0])], train=train)
    case(name, dict(num_features=3, affine=False, track_running_stats=False), [number(*shapes[0])])
case("LayerNorm", dict(normalized_shape=[4]), [number(3, 4)])
case("LayerNorm", dict(normalized_shape=[2, 3]), [number(2, 2, 3)])
case("LayerNorm", dict(normalized_shape=[4], eps=0.1), [number(2, 2, 4)])
case("LayerNorm", dict(normalized_shape=[4], elementwise_affine=False), [number(3, 4)])
case("GroupNorm", dict(num_groups=2, num_channels=4), [number(2, 4, 3)])
case("GroupNorm", dict(num_groups=4, num_channels=4, eps=0.1), [number(2, 4, 2, 2)])
case("GroupNorm", dict(num_groups=1, num_channels=4, affine=False), [number(3, 4, 2)])
case("GroupNorm", dict(num_groups=2, num_channels=4), [number(3, 4)])

# --- convolution and pooling ----------------------------------------------------------------------

case("Conv1d", dict(in_channels=2, out_channels=3, kernel_size=3), [number(2, 2, 6)])
case("Conv1d", dict(in_channels=2, out_channels=4, kernel_size=2, stride=2, padding=1, dilation=2, groups=2),
     [number(2, 2, 7)])
case("Conv1d", dict(in_channels=2, out_channels=2, kernel_size=1, bias=False), [number(2, 2, 3)])
case("Conv2d", dict(in_channels=2, out_channels=3, kernel_size=3), [number(2, 2, 4, 5)])
case("Conv2d", dict(in_channels=2, out_channels=2, kernel_size=[3, 2], stride=[2, 1], padding=[1, 0], dilation=[1, 2]),
     [number(1, 2, 4, 5)])
case("Conv2d", dict(in_channels=4, out_channels=2, kernel_size=2, groups=2, bias=False, padding=1), [number(1, 4, 3, 2)])
case("ConvTranspose2d", dict(in_channels=2, out_channels=3, kernel_size=3), [number(2, 2, 2, 2)])
case("ConvTranspose2d", dict(in_channels=2, out_channels=2, kernel_size=[3, 2], stride=[2, 3], padding=[1, 0],
                             output_padding=[1, 2]), [number(1, 2, 2, 3)])
case("ConvTranspose2d", dict(in_channels=4, out_channels=4, kernel_size=2, groups=2, bias=False, dilation=2, stride=2),
     [number(1, 4, 2, 2)])
case("MaxPool2d", dict(kernel_size=2), [number(1, 2, 4, 5)])
case("MaxPool2d", dict(kernel_size=[3, 2], stride=[1, 2], padding=[1, 1], dilation=[1, 2], ceil_mode=True),
     [number(1, 2, 4, 6)])
case("AvgPool2d", dict(kernel_size=2), [number(1, 2, 4, 5)])
case("AvgPool2d", dict(kernel_size=[3, 2], stride=[2, 1], padding=[1, 0], ceil_mode=True, count_include_pad=False),
     [number(1, 2, 4, 4)])

# --- without parameters ---------------------------------------------------------------------------

for name in ("Tanh", "Sigmoid", "ReLU", "LeakyReLU", "ELU", "GELU", "SiLU", "Softplus"):
    case(name, {}, [number(2, 5, lo=-3, hi=3)])
case("LeakyReLU", dict(negative_slope=0.2), [number(7, lo=-3, hi=3)])
case("ELU", dict(alpha=0.5), [number(7, lo=-3, hi=3)])
case("GELU", dict(approximate="tanh"), [number(7, lo=-3, hi=3)])
case("Softplus", dict(beta=2, threshold=3), [number(7, lo=-3, hi=3)])
for name in ("Softmax", "LogSoftmax"):
    case(name, dict(dim=-1), [number(2, 4, lo=-3, hi=3)])
    case(name, dict(dim=0), [number(3, 3, lo=-3, hi=3)], lua_args=dict(dim=1))
case("Flatten", {}, [number(2, 2, 3)])
case("Flatten", dict(start_dim=0, end_dim=1), [number(2, 2, 3)], lua_args=dict(start_dim=1, end_dim=2))
case("Unflatten", dict(dim=1, unflattened_size=[2, 3]), [number(2, 6)], lua_args=dict(dim=2))
case("Unflatten", dict(dim=-1, unflattened_size=[3, -1]), [number(2, 6)])
for args in ({}, dict(p=0.2), dict(p=0), dict(p=1)):
    case("Dropout", args, [number(4, 5)])
case("Dropout", {}, [number(4, 5)], train=False)

# --- attention ------------------------------------------------------------------------------------


def attention(q=(3, 2, 4), k=(2, 2, 4), v=None, named=None, train=True, **args):
    case("MultiheadAttention", dict(embed_dim=4, num_heads=2, **args), [number(*q), number(*k), number(*(v or k))],
         named=named, train=train)


attention()
attention(q=(2, 3, 4), k=(2, 2, 4), batch_first=True, bias=False)
attention(k=(2, 2, 3), v=(2, 2, 5), kdim=3, vdim=5)
attention(add_bias_kv=True, add_zero_attn=True)
attention(named=dict(attn_mask=number(3, 2)))
attention(named=dict(attn_mask=number(4, 3, 2), average_attn_weights=False))
attention(k=(5, 2, 4), named=dict(key_padding_mask=bools(2, 5)))
attention(k=(5, 2, 4), add_bias_kv=True, add_zero_attn=True,
          named=dict(key_padding_mask=bools(2, 5), attn_mask=number(3, 5), need_weights=False))
attention(named=dict(attn_mask=bools(3, 2)), add_zero_attn=True)
attention(q=(3, 4), k=(2, 4))
attention(dropout=0.3)

# --- losses ---------------------------------------------------------------------------------------

for r in ({}, dict(reduction="sum"), dict(reduction="none")):
    case("CrossEntropyLoss", r, [number(4, 5, lo=-2, hi=2), ints(4)])
    case("CrossEntropyLoss", dict(weight=number(5, lo=0, hi=2), ignore_index=-1, label_smoothing=0.2, **r),
         [number(6, 5, lo=-2, hi=2), ints(6, lo=-1)])
    case("CrossEntropyLoss", dict(weight=number(3, lo=0, hi=2), ignore_index=1, **r),
         [number(2, 3, 2, 2, lo=-2, hi=2), ints(2, 2, 2, hi=3)])
    case("NLLLoss", r, [number(4, 5, lo=-2, hi=0), ints(4)])
    case("NLLLoss", dict(weight=number(3, lo=0, hi=2), ignore_index=2, **r),
         [number(2, 3, 3, lo=-2, hi=0), ints(2, 3, hi=3)])
    for name in ("BCELoss", "BCEWithLogitsLoss"):
        x = number(4, 3, lo=0.1, hi=0.9) if name == "BCELoss" else number(4, 3, lo=-4, hi=4)
        case(name, r, [x, number(4, 3, lo=0, hi=1)])
        case(name, dict(weight=number(4, 3, lo=0, hi=2), **r), [x, number(4, 3, lo=0, hi=1)])
        case(name, dict(weight=number(3, lo=0, hi=2), **r), [x, number(4, 3, lo=0, hi=1)])
    case("BCEWithLogitsLoss", dict(pos_weight=number(3, lo=0, hi=2), **r), [number(4, 3, lo=-4, hi=4),
                                                                          number(4, 3, lo=0, hi=1)])
    for name in ("MSELoss", "L1Loss", "SmoothL1Loss"):
        case(name, r, [number(4, 3, lo=-2, hi=2), number(4, 3, lo=-2, hi=2)])
    case("SmoothL1Loss", dict(beta=0.3, **r), [number(5), number(5)])
    case("KLDivLoss", r, [number(4, 3, lo=-2, hi=0), number(4, 3, lo=0, hi=1)])
    case("KLDivLoss", dict(log_target=True, **r), [number(4, 3, lo=-2, hi=0), number(4, 3, lo=-2, hi=0)])
for log in (True, False):
    case("KLDivLoss", dict(reduction="batchmean", log_target=log), [number(4, 3, lo=-2, hi=0), number(4, 3, lo=0, hi=1)])

# --- later ones: earlier cases keep what they drew --------------------------------------------------

case("RMSNorm", dict(normalized_shape=[4]), [number(3, 4)])
case("RMSNorm", dict(normalized_shape=[2, 3], eps=0.1), [number(2, 2, 3)])
case("RMSNorm", dict(normalized_shape=[4], eps=1e-5, elementwise_affine=False), [number(2, 2, 4)])

attention(named=dict(need_weights=False))
attention(q=(2, 3, 4), k=(2, 5, 4), batch_first=True, named=dict(need_weights=False, key_padding_mask=bools(2, 5)))
attention(named=dict(need_weights=False, attn_mask=bools(3, 2)), add_zero_attn=True)
attention(named=dict(need_weights=False, attn_mask=number(4, 3, 2)))
attention(named=dict(need_weights=False, attn_mask=bools(4, 3, 2)), add_bias_kv=True)
attention(k=(5, 2, 4), named=dict(need_weights=False, attn_mask=bools(3, 5), key_padding_mask=bools(2, 5)), add_zero_attn=True)
attention(q=(3, 4), k=(2, 4), named=dict(need_weights=False))
attention(dropout=0.3, named=dict(need_weights=False))
attention(dropout=0.3, train=False, named=dict(need_weights=False))

# --- writing --------------------------------------------------------------------------------------


def value(v):
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, Draw):
        return v.lua()
    if isinstance(v, (list, tuple)):
        return "{%s}" % ",".join(map(value, v))
    if isinstance(v, str):
        return '"%s"' % v
    if isinstance(v, int):
        return str(v)
    if v != v:
        return "nan"
    return "inf" if v == float("inf") else "-inf" if v == -float("inf") else "%.12g" % v


def table(d):
    return "{%s}" % ",".join("%s=%s" % (k, value(v)) for k, v in sorted(d.items()) if v is not None)


def tensor(t):
    """Its shape and values; of more than 16 about eight, spread evenly, and the sum of all, weighed by cos 0, 1, 2, ..."""
    v = t.flatten().tolist()
    if len(v) <= 16:
        return "{%s,%s}" % (value(list(t.shape)), value(v))
    return "{%s,%s,%s}" % (value(list(t.shape)), value(v[:: len(v) // 8]),
                           value(sum(x * math.cos(i) for i, x in enumerate(v))))


def tensors(ts):
    return "{%s}" % ",".join(map(tensor, ts))


def write(out):
    out.write("-- layers.lua: made by layers.py.\nlocal case, D, nan, inf = ...\n")
    for c in CASES:
        out.write('case{"%s",%s,%s,%s,train=%s,times=%d,names="%s",out=%s,grads=%s,buffers=%s}\n' % (
            c["name"], table(c["args"]), value(c["inputs"]), table(c["named"]), value(c["train"]), c["times"],
            " ".join(c["names"]), tensors(c["out"]), tensors(c["grads"]), tensors(c["buffers"])))


if __name__ == "__main__":
    write(sys.stdout)

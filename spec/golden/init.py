# init.py: golden initial values of layers and of nn.init, from PyTorch: `python3 init.py > init.lua` (torch 2.15).
#
# Each case starts from a seed and draws once more at its end, so that a draw too many or too few shows. A tensor gives
# its name, shape, first and last elements and a digest of the bits of all; what is equal to rounding only (a QR's, a
# logarithm's) gives some elements spread over it and two sums, plain and weighted.
import math
import re

import torch
from torch import nn

from rng import digest


def show(v):
    if not isinstance(v, float):
        return str(v)
    return re.sub(r"\.?0+p", "p", v.hex())


def lua(v):
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, (list, tuple)):
        return "{%s}" % ", ".join(map(lua, v))
    if isinstance(v, dict):
        return "{%s}" % ", ".join("%s = %s" % (k, lua(x)) for k, x in v.items())
    return '"%s"' % v if isinstance(v, str) else show(v)


def exact(name, t):
    v = t.detach().flatten().tolist()
    return '{"%s", %s, digest = %d, ends = %s}' % (name, lua(list(t.shape)), digest(v), lua([v[0], v[-1]]))


def near(name, t):
    v = t.detach().flatten().tolist()
    some = v[:: max(1, len(v) // 6)]
    weighted = sum(x * math.cos(i) for i, x in enumerate(v))
    return '{"%s", %s, some = %s, sum = %s, weighted = %s}' % (name, lua(list(t.shape)), lua(some), show(sum(v)),
                                                              show(weighted))


# --- default initial values of layers -------------------------------------------------------------

LAYERS = [
    ("Linear", dict(in_features=7, out_features=5)),
    ("Linear", dict(in_features=128, out_features=10)),
    ("Linear", dict(in_features=3, out_features=4, bias=False)),
    ("Linear", dict(in_features=1, out_features=1)),
    ("Bilinear", dict(in1_features=5, in2_features=3, out_features=4)),
    ("Bilinear", dict(in1_features=2, in2_features=2, out_features=2, bias=False)),
    ("RNN", dict(input_size=4, hidden_size=6)),
    ("RNN", dict(input_size=4, hidden_size=6, nonlinearity="relu", bias=False, num_layers=2)),
    ("RNN", dict(input_size=3, hidden_size=5, num_layers=2, bidirectional=True)),
    ("LSTM", dict(input_size=10, hidden_size=32)),
    ("LSTM", dict(input_size=3, hidden_size=5, num_layers=3, bidirectional=True)),
    ("LSTM", dict(input_size=3, hidden_size=5, bias=False)),
    ("GRU", dict(input_size=4, hidden_size=7)),
    ("GRU", dict(input_size=2, hidden_size=3, num_layers=2, bidirectional=True)),
    ("RNNCell", dict(input_size=4, hidden_size=3)),
    ("LSTMCell", dict(input_size=4, hidden_size=3)),
    ("LSTMCell", dict(input_size=4, hidden_size=3, bias=False)),
    ("GRUCell", dict(input_size=4, hidden_size=3)),
    ("Conv1d", dict(in_channels=3, out_channels=8, kernel_size=5)),
    ("Conv2d", dict(in_channels=3, out_channels=8, kernel_size=3)),
    ("Conv2d", dict(in_channels=4, out_channels=6, kernel_size=(3, 2), groups=2, bias=False)),
    ("ConvTranspose2d", dict(in_channels=4, out_channels=6, kernel_size=3)),
    ("ConvTranspose2d", dict(in_channels=4, out_channels=6, kernel_size=(1, 3), groups=2, stride=2)),
    ("Embedding", dict(num_embeddings=11, embedding_dim=6)),
    ("Embedding", dict(num_embeddings=20, embedding_dim=5, padding_idx=3)),
    ("BatchNorm1d", dict(num_features=4)),
    ("BatchNorm2d", dict(num_features=4)),
    ("LayerNorm", dict(normalized_shape=(3, 2))),
    ("RMSNorm", dict(normalized_shape=(3, 2))),
    ("GroupNorm", dict(num_groups=2, num_channels=6)),
    ("MultiheadAttention", dict(embed_dim=8, num_heads=2)),
    ("MultiheadAttention", dict(embed_dim=8, num_heads=2, kdim=3, vdim=5)),
    ("MultiheadAttention", dict(embed_dim=6, num_heads=3, bias=False)),
    ("MultiheadAttention", dict(embed_dim=6, num_heads=1, add_bias_kv=True)),
]


def layers():
    for seed in (0, 42):
        for name, args in LAYERS:
            for dtype in ("float32", "float64"):
                if seed and dtype == "float64":
                    continue
                torch.manual_seed(seed)
                layer = getattr(nn, name)(**args, dtype=getattr(torch, dtype))
                write = near if "add_bias_kv" in args or name == "Embedding" and dtype == "float64" else exact
                tensors = ",\n      ".join(write(n, t) for n, t in layer.state_dict().items())
                print("    {%s, %s, seed = %d, after = %s,\n      %s}," % (
                    lua(name), lua(dict(args, dtype=dtype)), seed, show(torch.rand(1, dtype=torch.double).item()), tensors))


# --- nn.init --------------------------------------------------------------------------------------

INITS = [
    (exact, "uniform_", (50,), {}),
    (exact, "uniform_", (7, 9), dict(a=-0.3, b=1.7)),
    (near, "normal_", (50,), {}),
    (near, "normal_", (5, 7), dict(mean=1.5, std=0.2)),
    (exact, "constant_", (2, 3), dict(val=0.3)),
    (exact, "zeros_", (3,), {}),
    (exact, "ones_", (3,), {}),
    (exact, "xavier_uniform_", (6, 9), {}),
    (exact, "xavier_uniform_", (6, 4, 3, 2), dict(gain=5 / 3)),
    (near, "xavier_normal_", (6, 9), {}),
    (near, "xavier_normal_", (4, 5, 3), dict(gain=0.5)),
    (exact, "kaiming_uniform_", (6, 9), {}),
    (exact, "kaiming_uniform_", (6, 9), dict(a=5**0.5)),
    (exact, "kaiming_uniform_", (6, 4, 3, 3), dict(mode="fan_out", nonlinearity="relu")),
    (exact, "kaiming_uniform_", (6, 9), dict(nonlinearity="tanh")),
    (near, "kaiming_normal_", (6, 9), {}),
    (near, "kaiming_normal_", (6, 4, 3), dict(mode="fan_out", nonlinearity="relu")),
    (near, "kaiming_normal_", (6, 9), dict(a=0.2, nonlinearity="leaky_relu")),
    (near, "orthogonal_", (5, 5), {}),
    (near, "orthogonal_", (3, 9), {}),
    (near, "orthogonal_", (40, 16), dict(gain=2.5)),
    (near, "orthogonal_", (6, 4, 3, 3), {}),
    (near, "orthogonal_", (1, 4), {}),
    (near, "orthogonal_", (1, 1), {}),
]


def inits():
    for write, name, shape, args in INITS:
        for dtype in ("float32", "float64"):
            torch.manual_seed(7)
            t = getattr(nn.init, name)(torch.empty(shape, dtype=getattr(torch, dtype)), **args)
            print("    {%s, %s, %s, after = %s, %s}," % (
                lua(dtype), lua(args), lua(shape), show(torch.rand(1, dtype=torch.double).item()), write(name, t)))


def gains():
    for name, param in (("linear", None), ("conv1d", None), ("conv2d", None), ("conv_transpose2d", None),
                        ("sigmoid", None), ("tanh", None), ("relu", None), ("selu", None), ("leaky_relu", None),
                        ("leaky_relu", 0.3), ("leaky_relu", 0)):
        gain = nn.init.calculate_gain(name, param)
        print("    {%s, %s, %s}," % (lua(name), "nil" if param is None else lua(param), show(float(gain))))


if __name__ == "__main__":
    print("-- init.lua: made by init.py.\nreturn {\n  layers = {")
    layers()
    print("  },\n  inits = {")
    inits()
    print("  },\n  gains = {")
    gains()
    print("  },\n}")

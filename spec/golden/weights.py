# weights.py: small models saved by PyTorch's safetensors, and what they compute: `python3 weights.py` writes
# weights_*.safetensors and weights.lua (torch 2.15, safetensors 0.8). `python3 weights.py FOLDER` reads files of the same
# names, written by seqrt, and fails unless PyTorch computes the same from them.
import sys

import torch
from safetensors.torch import load_file, save_file
from torch import nn

MODELS = {
    "lstm": lambda: nn.LSTM(3, 4, num_layers=2, bidirectional=True),
    "conv": lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)),
    "embedding": lambda: nn.Sequential(nn.Embedding(6, 4), nn.Linear(4, 2)),
}
INPUTS = {
    "lstm": lambda: torch.randint(-64, 65, (3, 2, 3)) / 64,
    "conv": lambda: torch.randint(-64, 65, (2, 2, 4, 4)) / 64,
    "embedding": lambda: torch.randint(0, 6, (2, 3)),
}


def output(name, model):
    torch.manual_seed(5)
    x = INPUTS[name]()
    y = model.eval()(x)
    return (y[0] if isinstance(y, tuple) else y).detach()


def write():
    rows = []
    for name, make in MODELS.items():
        torch.manual_seed(11)
        model = make()
        if name == "conv":
            model(torch.rand(4, 2, 5, 5))  # running averages of their own
        save_file(model.state_dict(), "weights_%s.safetensors" % name)
        rows.append("  %s = {%s}," % (name, ",".join("%.9g" % v for v in output(name, model).flatten().tolist())))
    with open("weights.lua", "w") as f:
        f.write("-- weights.lua: made by weights.py.\nreturn {\n%s\n}\n" % "\n".join(rows))


def check(folder):
    for name, make in MODELS.items():
        model, want = make(), make()
        want.load_state_dict(load_file("weights_%s.safetensors" % name))
        model.load_state_dict(load_file("%s/weights_%s.safetensors" % (folder, name)))
        assert torch.equal(output(name, model), output(name, want)), name
        print(name, "same")


if __name__ == "__main__":
    check(sys.argv[1]) if len(sys.argv) > 1 else write()

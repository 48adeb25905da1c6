# training.py: loss curves of two trainings by PyTorch: `python3 training.py > training.lua` (torch 2.15). Weights and data
# are drawn from seed 0 on both sides; palindromes are digits from randint, mirrored.
import torch
import torch.nn.functional as F
from torch import nn


def curve(name, losses):
    print("  %s = {%s}," % (name, ",".join("%.12g" % v for v in losses)))


def mlp():
    torch.manual_seed(0)
    f64 = dict(dtype=torch.double)
    model = nn.Sequential(nn.Linear(8, 32, **f64), nn.Tanh(), nn.Linear(32, 16, **f64), nn.ReLU(), nn.Linear(16, 4, **f64))
    x, y = torch.rand(64, 8, **f64), torch.randint(0, 4, (64,))
    opt = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(200):
        loss = F.cross_entropy(model(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        yield loss.item()


def lstm():
    torch.manual_seed(0)
    rnn, head = nn.LSTM(10, 32, batch_first=True), nn.Linear(32, 10)
    parameters = [*rnn.parameters(), *head.parameters()]
    opt = torch.optim.RMSprop(parameters, lr=1e-3)
    for _ in range(50):
        half = torch.randint(0, 10, (64, 5))
        digits = torch.cat([half, half.flip(1)], 1)
        x, y = F.one_hot(digits[:, :9], 10).float(), digits[:, 9]
        loss = F.cross_entropy(head(rnn(x)[0][:, -1]), y)
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        opt.step()
        yield loss.item()


print("-- training.lua: made by training.py.\nreturn {")
curve("mlp", mlp())
curve("lstm", lstm())
print("}")

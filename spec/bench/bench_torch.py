# bench_torch.py: PyTorch's side of bench.lua: the same models, data sizes and optimizers, eager, on the CPU.
#
# bench_torch.py THREADS prints "torch VERSION", then "KEY SECONDS" per training step.
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

torch.set_num_threads(int(sys.argv[1]))
torch.manual_seed(0)


def palindrome(T):
    rnn, head = nn.LSTM(10, 128, batch_first=True), nn.Linear(128, 10)
    parameters = [*rnn.parameters(), *head.parameters()]
    opt = torch.optim.RMSprop(parameters, lr=1e-3)

    def step():
        digits = torch.randint(10, (128, T - 1))
        logits = head(rnn(F.one_hot(digits, 10).float())[0][:, -1])
        loss = F.cross_entropy(logits, digits[:, 0])
        opt.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 10)
        opt.step()

    return step


def gan():
    G = nn.Sequential(
        nn.Linear(100, 128), nn.LeakyReLU(0.2),
        nn.Linear(128, 256), nn.BatchNorm1d(256), nn.LeakyReLU(0.2),
        nn.Linear(256, 512), nn.BatchNorm1d(512), nn.LeakyReLU(0.2),
        nn.Linear(512, 1024), nn.BatchNorm1d(1024), nn.LeakyReLU(0.2),
        nn.Linear(1024, 784), nn.Tanh(), nn.Unflatten(1, (1, 28, 28)))
    D = nn.Sequential(
        nn.Flatten(), nn.Linear(784, 512), nn.LeakyReLU(0.2), nn.Linear(512, 256), nn.LeakyReLU(0.2),
        nn.Linear(256, 1), nn.Sigmoid())
    opt_G, opt_D = (torch.optim.Adam(m.parameters(), lr=2e-4, betas=(0.5, 0.999)) for m in (G, D))
    real, fake, x = torch.ones(64, 1), torch.zeros(64, 1), torch.rand(64, 1, 28, 28)

    def step():
        pictures = G(torch.randn(64, 100))
        loss_D = F.binary_cross_entropy(D(x), real) + F.binary_cross_entropy(D(pictures.detach()), fake)
        opt_D.zero_grad(set_to_none=True)
        loss_D.backward()
        opt_D.step()
        D.requires_grad_(False)
        loss_G = F.binary_cross_entropy(D(pictures), real)
        opt_G.zero_grad(set_to_none=True)
        loss_G.backward()
        opt_G.step()
        D.requires_grad_(True)
        return loss_D.item() + loss_G.item()

    return step


def seconds(step, steps):
    for _ in range(5):
        step()
    begin = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - begin) / steps


print("torch", torch.__version__)
for key, step, steps in (("palindrome10", palindrome(10), 40), ("palindrome30", palindrome(30), 20), ("gan", gan(), 20)):
    print(key, seconds(step, steps), flush=True)

# steps_torch.py: PyTorch's side of bench.lua: the models of models.lua on the CPU, eager or by torch.compile.
#
# steps_torch.py eager|compile THREADS answers as side.py says. torch.compile is given what computes the loss (of
# adversaries, each network); with the same draws as eager, and no wider than AVX2 where ATEN_CPU_CAPABILITY says so.
import os
import shutil
import sys

import side
import torch
from torch import nn
from torch.nn import functional as F

torch.set_num_threads(int(sys.argv[2]))
compiled = sys.argv[1] == "compile"
if compiled:
    cxx = os.environ.get("CXX", "g++")
    if not shutil.which(cxx):
        sys.exit(print("none: torch.compile needs a C++ compiler, and there is no", cxx))
    import torch._inductor.config as inductor
    inductor.fallback_random = True
    if os.environ.get("ATEN_CPU_CAPABILITY") == "avx2":
        inductor.cpp.simdlen = 256


def prepared(f):
    return torch.compile(f) if compiled else f


def adam_step(parameters, loss):
    optimizer = torch.optim.Adam(parameters, lr=1e-3)
    loss = prepared(loss)

    def step():
        value = loss()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        return value.item()

    return step


def recurrent(kind):
    rnn, head = getattr(nn, kind)(10, 128, batch_first=True), nn.Linear(128, 10)
    x, y = torch.rand(128, 29, 10), torch.randint(0, 10, (128,))
    return adam_step([*rnn.parameters(), *head.parameters()], lambda: F.cross_entropy(head(rnn(x)[0][:, -1]), y))


def written_out():
    H = 128
    w, b, head = nn.Parameter(torch.randn(10 + H, 4 * H) * 0.05), nn.Parameter(torch.zeros(4 * H)), nn.Linear(H, 10)
    x, y = torch.rand(29, 128, 10), torch.randint(0, 10, (128,))

    def loss():
        h, c = torch.zeros(128, H), torch.zeros(128, H)
        for t in range(29):
            i, f, g, o = (torch.cat([x[t], h], 1) @ w + b).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
        return F.cross_entropy(head(h), y)

    return adam_step([*head.parameters(), w, b], loss)


def mlp():
    model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 10))
    x, y = torch.rand(128, 784), torch.randint(0, 10, (128,))
    return adam_step(model.parameters(), lambda: F.cross_entropy(model(x), y))


def vae():
    a, mean, log_variance, b, c = (nn.Linear(*size) for size in ((784, 400), (400, 20), (400, 20), (20, 400), (400, 784)))
    x = torch.rand(128, 784)

    def loss():
        h = a(x).relu()
        m, v = mean(h), log_variance(h)
        z = m + (v * 0.5).exp() * torch.randn_like(m)
        seen = F.binary_cross_entropy_with_logits(c(b(z).relu()), x, reduction="sum")
        return seen - (1 + v - m.square() - v.exp()).sum() * 0.5

    return adam_step(nn.ModuleList([a, mean, log_variance, b, c]).parameters(), loss)


def convnet():
    model = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                          nn.Linear(9216, 128), nn.ReLU(), nn.Linear(128, 10))
    x, y = torch.rand(64, 1, 28, 28), torch.randint(0, 10, (64,))
    return adam_step(model.parameters(), lambda: F.cross_entropy(model(x), y))


def adversaries(G, D, loss, noise, x):
    opt_G, opt_D = (torch.optim.Adam(m.parameters(), lr=2e-4, betas=(0.5, 0.999)) for m in (G, D))
    one, zero = torch.ones(64, 1), torch.zeros(64, 1)
    G, D = prepared(G), prepared(D)

    def step():
        drawn = G(noise())
        loss_D = loss(D(x), one) + loss(D(drawn.detach()), zero)
        opt_D.zero_grad()
        loss_D.backward()
        opt_D.step()
        loss_G = loss(D(drawn), one)
        opt_G.zero_grad()
        loss_G.backward()
        opt_G.step()
        return loss_D.item() + loss_G.item()

    return step


def gan():
    G = nn.Sequential(nn.Linear(100, 128), nn.LeakyReLU(0.2), nn.Linear(128, 256), nn.BatchNorm1d(256), nn.LeakyReLU(0.2),
                      nn.Linear(256, 512), nn.BatchNorm1d(512), nn.LeakyReLU(0.2), nn.Linear(512, 1024),
                      nn.BatchNorm1d(1024), nn.LeakyReLU(0.2), nn.Linear(1024, 784), nn.Tanh())
    D = nn.Sequential(nn.Linear(784, 512), nn.LeakyReLU(0.2), nn.Linear(512, 256), nn.LeakyReLU(0.2), nn.Linear(256, 1),
                      nn.Sigmoid())
    return adversaries(G, D, F.binary_cross_entropy, lambda: torch.randn(64, 100), torch.rand(64, 784))


def dcgan():
    f = 32

    def up(i, o, stride, padding):
        return nn.ConvTranspose2d(i, o, 4, stride, padding, bias=False)

    def down(i, o, stride, padding):
        return nn.Conv2d(i, o, 4, stride, padding, bias=False)

    G = nn.Sequential(up(100, f * 4, 1, 0), nn.BatchNorm2d(f * 4), nn.ReLU(), up(f * 4, f * 2, 2, 1), nn.BatchNorm2d(f * 2),
                      nn.ReLU(), up(f * 2, f, 2, 1), nn.BatchNorm2d(f), nn.ReLU(), up(f, 3, 2, 1), nn.Tanh())
    D = nn.Sequential(down(3, f, 2, 1), nn.LeakyReLU(0.2), down(f, f * 2, 2, 1), nn.BatchNorm2d(f * 2), nn.LeakyReLU(0.2),
                      down(f * 2, f * 4, 2, 1), nn.BatchNorm2d(f * 4), nn.LeakyReLU(0.2), down(f * 4, 1, 1, 0), nn.Flatten())
    return adversaries(G, D, F.binary_cross_entropy_with_logits, lambda: torch.randn(64, 100, 1, 1), torch.rand(64, 3, 32, 32))


def characters():
    embedding, rnn, head = nn.Embedding(65, 64), nn.LSTM(64, 256, num_layers=2, batch_first=True), nn.Linear(256, 65)
    x, y = torch.randint(0, 65, (50, 50)), torch.randint(0, 65, (2500,))
    return adam_step(nn.ModuleList([embedding, rnn, head]).parameters(),
                     lambda: F.cross_entropy(head(rnn(embedding(x))[0]).reshape(2500, 65), y))


def gpt():
    d, heads, length, batch = 128, 4, 64, 12
    token, place, norm, head = nn.Embedding(65, d), nn.Embedding(length, d), nn.LayerNorm(d), nn.Linear(d, 65)
    blocks = nn.ModuleList([nn.ModuleList([nn.LayerNorm(d), nn.LayerNorm(d), nn.MultiheadAttention(d, heads, batch_first=True),
                                           nn.Linear(d, 4 * d), nn.Linear(4 * d, d)]) for _ in range(4)])
    x, y = torch.randint(0, 65, (batch, length)), torch.randint(0, 65, (batch * length,))
    places, mask = torch.arange(length), torch.ones(length, length).triu(1).bool()

    def loss():
        h = token(x) + place(places)
        for before, after, attention, wide, narrow in blocks:
            n = before(h)
            h = h + attention(n, n, n, attn_mask=mask, need_weights=False)[0]
            h = h + narrow(F.gelu(wide(after(h))))
        return F.cross_entropy(head(norm(h)).reshape(batch * length, 65), y)

    return adam_step(nn.ModuleList([token, place, norm, head, blocks]).parameters(), loss)


MODELS = dict(lstm=lambda: recurrent("LSTM"), rnn=lambda: recurrent("RNN"), gru=lambda: recurrent("GRU"),
              written_out=written_out, gan=gan, mlp=mlp, vae=vae, convnet=convnet, dcgan=dcgan, characters=characters, gpt=gpt)

side.serve("PyTorch %s, %s, threads: %d" % (torch.__version__, sys.argv[1], torch.get_num_threads()), MODELS,
           lambda: torch.manual_seed(0))

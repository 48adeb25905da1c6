# graph.py: writes graph.lua beside itself: trainings and derivatives that need gradients of gradients, computed by
# PyTorch from a seed in float64. Uniform draws have the same bits everywhere.
import os
import torch
from torch import nn
import torch.nn.functional as F

torch.set_num_threads(1)
STEPS = 100


def rand(*shape):
    return torch.rand(*shape).double()


def penalty(D, x):
    x.requires_grad_()
    g, = torch.autograd.grad(D(x).sum(), x, create_graph=True)
    return ((g.flatten(1).norm(2, 1) - 1) ** 2).mean()


def wgan(G, D, shape):
    G.double(), D.double()
    opt_G = torch.optim.Adam(G.parameters(), lr=1e-3, betas=(0.5, 0.9))
    opt_D = torch.optim.Adam(D.parameters(), lr=1e-3, betas=(0.5, 0.9))
    rows = []
    for _ in range(STEPS):
        x, z, t = rand(16, *shape) * 2 - 1, rand(16, 6) * 2 - 1, rand(16, *[1] * len(shape))
        fake = G(z).detach()
        gp = penalty(D, x * t + fake * (1 - t))
        loss_D = D(fake).mean() - D(x).mean() + 10 * gp
        opt_D.zero_grad()
        loss_D.backward()
        opt_D.step()
        loss_G = -D(G(z)).mean()
        opt_G.zero_grad()
        loss_G.backward()
        opt_G.step()
        rows.append((loss_D.item(), gp.item(), loss_G.item()))
    return rows


def wgan_mlp():
    torch.manual_seed(1)
    G = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))
    D = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 16), nn.Softplus(), nn.Linear(16, 1))
    return wgan(G, D, (2,))


def wgan_conv():
    torch.manual_seed(2)
    G = nn.Sequential(nn.Linear(6, 16), nn.Unflatten(1, (4, 2, 2)), nn.ReLU(), nn.ConvTranspose2d(4, 1, 4, 2, 1), nn.Tanh())
    D = nn.Sequential(nn.Conv2d(1, 4, 3, 1, 1), nn.LayerNorm([4, 4, 4]), nn.LeakyReLU(0.2), nn.Conv2d(4, 6, 2, 2),
                      nn.SiLU(), nn.Flatten(), nn.Linear(24, 1))
    return wgan(G, D, (1, 4, 4))


def pinn():
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(1, 12), nn.Tanh(), nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 1)).double()
    opt = torch.optim.Adam(net.parameters(), lr=5e-3)
    rows = []
    for _ in range(STEPS):
        x = (rand(16, 1) * 6).requires_grad_()
        u = net(x)
        d, = torch.autograd.grad(u.sum(), x, create_graph=True)
        dd, = torch.autograd.grad(d.sum(), x, create_graph=True)
        loss = (dd + u).square().mean() + (d[0] - torch.cos(x[0])).square().sum()
        opt.zero_grad()
        loss.backward()
        opt.step()
        rows.append((loss.item(),))
    return rows


# The loss after three steps inside, for the weights before them, and its gradients.
def maml():
    torch.manual_seed(4)
    w = [((rand(*s) - 0.5)).requires_grad_() for s in ((8, 3), (8,), (2, 8), (2,))]
    x, y, x2, y2 = rand(5, 3), rand(5, 2), rand(5, 3), rand(5, 2)

    def net(p, x):
        return F.linear(torch.tanh(F.linear(x, p[0], p[1])), p[2], p[3])
    p = w
    for _ in range(3):
        g = torch.autograd.grad(F.mse_loss(net(p, x), y), p, create_graph=True)
        p = [a - 0.5 * b for a, b in zip(p, g)]
    loss = F.mse_loss(net(p, x2), y2)
    loss.backward()
    return [(loss.item(),)] + [tuple(a.grad.flatten().tolist()) for a in w]


# The Hessian of a loss for all weights of a recurrent layer, row by row.
def hessian(kind):
    torch.manual_seed(5)
    rnn = getattr(nn, kind)(2, 2, batch_first=True).double()
    x, t = rand(3, 4, 2), rand(3, 4, 2)
    p = list(rnn.parameters())
    loss = F.mse_loss(rnn(x)[0], t) + rnn(x)[0][:, -1].pow(3).sum()
    flat = torch.cat([g.flatten() for g in torch.autograd.grad(loss, p, create_graph=True)])
    rows = []
    for v in flat:
        rows.append(tuple(torch.cat([g.flatten() for g in torch.autograd.grad(v, p, retain_graph=True)]).tolist()))
    return rows


# Derivatives of functions of two inputs (2) and (3): each row one result, flat.
def functional():
    torch.manual_seed(6)
    a, b, va, vb, vy = rand(2), rand(3), rand(2), rand(3), rand(2, 3)
    one = torch.autograd.functional

    def table(a, b):
        return (a[:, None] * b).sin() * b

    def number(a, b):
        return (table(a, b) ** 2).sum() + a.prod().exp()
    rows = list(one.jacobian(table, (a, b)))
    for row in one.hessian(number, (a, b)):
        rows.extend(row)
    for y, d in (one.vjp(table, (a, b), vy), one.jvp(table, (a, b), (va, vb)), one.hvp(number, (a, b), (va, vb))):
        rows.append(y)
        rows.extend(d if isinstance(d, tuple) else [d])
    return [tuple(r.flatten().tolist()) for r in rows]


with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "graph.lua"), "w") as out:
    out.write(f"-- graph.lua: written by graph.py with PyTorch {torch.__version__.split('+')[0]}.\nreturn {{\n")
    for name, rows in (("wgan_mlp", wgan_mlp()), ("wgan_conv", wgan_conv()), ("pinn", pinn()), ("maml", maml()),
                       ("lstm", hessian("LSTM")), ("gru", hessian("GRU")), ("rnn", hessian("RNN")),
                       ("functional", functional())):
        out.write(f"  {name} = {{\n")
        for row in rows:
            out.write("    { " + ", ".join("%.16g" % v for v in row) + " },\n")
        out.write("  },\n")
    out.write("}\n")

# gan.py: writes gan.lua beside itself: the losses of 50 steps of the GAN, computed by PyTorch from a seed.
import os
import torch
from torch import nn
import torch.nn.functional as F

torch.set_num_threads(1)
BATCH, STEPS = 32, 50


def block(i, o):
    return [nn.Linear(i, o), nn.BatchNorm1d(o), nn.LeakyReLU(0.2)]


def run(minimax):
    torch.manual_seed(11)
    G = nn.Sequential(nn.Linear(100, 128), nn.LeakyReLU(0.2), *block(128, 256), *block(256, 512), *block(512, 1024),
                      nn.Linear(1024, 784), nn.Tanh(), nn.Unflatten(1, (1, 28, 28)))
    D = nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.LeakyReLU(0.2), nn.Linear(512, 256), nn.LeakyReLU(0.2),
                      nn.Linear(256, 1), nn.Sigmoid())
    G.double()
    D.double()
    opt_G = torch.optim.Adam(G.parameters(), lr=2e-4, betas=(0.5, 0.999))
    opt_D = torch.optim.Adam(D.parameters(), lr=2e-4, betas=(0.5, 0.999))
    real, fake = torch.ones(BATCH, 1).double(), torch.zeros(BATCH, 1).double()
    rows = []
    for _ in range(STEPS):
        x = (torch.rand(BATCH, 1, 28, 28).double() * 2 - 1) ** 3
        pictures = G(torch.rand(BATCH, 100).double() * 4 - 2)  # uniform draws have the same bits everywhere
        p_real, p_fake = D(x), D(pictures.detach())
        loss_D = F.binary_cross_entropy(p_real, real) + F.binary_cross_entropy(p_fake, fake)
        opt_D.zero_grad()
        loss_D.backward()
        opt_D.step()
        p = D(pictures)
        loss_G = -F.binary_cross_entropy(p, fake) if minimax else F.binary_cross_entropy(p, real)
        opt_G.zero_grad()
        loss_G.backward()
        opt_G.step()
        rows.append((loss_D.item(), loss_G.item(), p_real.mean().item(), p_fake.mean().item()))
    return rows


with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "gan.lua"), "w") as out:
    out.write(f"-- gan.lua: written by gan.py with PyTorch {torch.__version__.split('+')[0]}: loss of D, loss of G, D(x), D(G(z)).\n")
    out.write(f"return {{ seed = 11, batch = {BATCH},\n")
    for name, minimax in (("nonsaturating", False), ("minimax", True)):
        out.write(f"  {name} = {{\n")
        for row in run(minimax):
            out.write("    { " + ", ".join("%.15g" % v for v in row) + " },\n")
        out.write("  },\n")
    out.write("}\n")

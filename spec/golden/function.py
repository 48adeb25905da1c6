# function.py: writes function.lua beside itself: a cubic B-spline as torch.autograd.Function, its value, first and second
# gradients, and a training through both, computed by PyTorch in float64.
import os
import torch

torch.set_num_threads(1)
H = 0.5
KNOTS = torch.arange(-4, 5).double() * H


def power(u, p):
    return torch.relu(u) ** p


def spline(u):
    return (power(u + 2, 3) - 4 * power(u + 1, 3) + 6 * power(u, 3) - 4 * power(u - 1, 3) + power(u - 2, 3)) / 6


def slope(u):
    return (power(u + 2, 2) - 4 * power(u + 1, 2) + 6 * power(u, 2) - 4 * power(u - 1, 2) + power(u - 2, 2)) / 2


class Spline(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, c, h):
        ctx.save_for_backward(x, c)
        ctx.h = h
        return spline((x[:, None] - KNOTS) / h) @ c

    @staticmethod
    def backward(ctx, dy):
        x, c = ctx.saved_tensors
        u = (x[:, None] - KNOTS) / ctx.h
        return dy * (slope(u) @ c) / ctx.h, dy @ spline(u), None


def inputs():
    x = ((torch.arange(12).double() * 37 % 23) / 8 - 1.375).requires_grad_()
    c = ((torch.arange(9).double() * 5 % 11) / 8 - 0.5).requires_grad_()
    dy = ((torch.arange(12).double() * 7 % 13) / 16 - 0.25).requires_grad_()
    return x, c, dy


def values():
    x, c, dy = inputs()
    y = Spline.apply(x, c, H)
    dx, dc = torch.autograd.grad(y, (x, c), dy, create_graph=True)
    second = torch.autograd.grad((dx ** 2).sum() + (dc ** 3).sum(), (x, c, dy))
    return [("y", y), ("dx", dx), ("dc", dc), ("xx", second[0]), ("cc", second[1]), ("ydy", second[2])]


def training():
    x, c, _ = inputs()
    target, losses = torch.sin(2 * x.detach()), []
    for _ in range(40):
        y = Spline.apply(x, c, H)
        g, = torch.autograd.grad(y.sum(), x, create_graph=True)
        loss = ((y - target) ** 2).mean() + 0.01 * (g ** 2).mean()
        dc, = torch.autograd.grad(loss, c)
        with torch.no_grad():
            c -= 0.5 * dc
        losses.append(loss.item())
    return losses


def write(f, name, numbers):
    f.write(f"  {name} = {{{', '.join(repr(v) for v in numbers)}}},\n")


with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "function.lua"), "w") as f:
    f.write(f"-- function.lua: written by function.py with PyTorch {torch.__version__.split('+')[0]}.\nreturn {{\n")
    for name, t in values():
        write(f, name, t.detach().tolist())
    write(f, "losses", training())
    f.write("}\n")

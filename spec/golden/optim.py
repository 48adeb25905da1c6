# optim.py: PyTorch's optimizers over 1,000 steps and its schedulers over 200, in float64.
#   python3 spec/golden/optim.py > spec/golden/optim.lua
import math
import warnings

import torch
from torch.optim import lr_scheduler as S

warnings.simplefilter("ignore")

OPTIMIZERS = [
    ("SGD", dict(lr=0.02)),
    ("SGD", dict(lr=0.02, momentum=0.9)),
    ("SGD", dict(lr=0.02, momentum=0.9, dampening=0.3, weight_decay=0.01)),
    ("SGD", dict(lr=0.02, momentum=0.8, nesterov=True, weight_decay=0.05)),
    ("SGD", dict(lr=0.02, momentum=0.5, maximize=True)),
    ("Adam", dict()),
    ("Adam", dict(lr=0.01, betas=(0.8, 0.99), eps=1e-6, weight_decay=0.02)),
    ("Adam", dict(lr=0.01, amsgrad=True)),
    ("Adam", dict(lr=0.01, maximize=True, amsgrad=True, weight_decay=0.01)),
    ("AdamW", dict()),
    ("AdamW", dict(lr=0.01, betas=(0.7, 0.95), eps=1e-5, weight_decay=0.1)),
    ("AdamW", dict(lr=0.01, amsgrad=True, maximize=True)),
    ("RMSprop", dict()),
    ("RMSprop", dict(lr=0.005, alpha=0.9, eps=1e-5, weight_decay=0.02)),
    ("RMSprop", dict(lr=0.005, momentum=0.5)),
    ("RMSprop", dict(lr=0.005, centered=True)),
    ("RMSprop", dict(lr=0.005, centered=True, momentum=0.8, weight_decay=0.01, eps=1e-4)),
    ("Adagrad", dict()),
    ("Adagrad", dict(lr=0.1, lr_decay=0.01, weight_decay=0.02)),
    ("Adagrad", dict(lr=0.1, initial_accumulator_value=0.5, eps=1e-4)),
    ("Adagrad", dict(lr=0.1, maximize=True)),
    ("Adadelta", dict()),
    ("Adadelta", dict(lr=0.5, rho=0.8, eps=1e-4, weight_decay=0.02)),
    ("Adadelta", dict(lr=2.0, eps=1e-3, maximize=True)),
]


def lua(v):
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, (list, tuple)):
        return "{" + ", ".join(lua(x) for x in v) + "}"
    if isinstance(v, dict):
        return "{" + ", ".join("%s = %s" % (k, lua(x)) for k, x in v.items()) + "}"
    return '"%s"' % v if isinstance(v, str) else repr(v)


def numbers(values):
    return "{" + ",".join("%.17g" % v for v in values) + "}"


def parameters():
    a = torch.arange(1, 6, dtype=torch.float64) / 4
    b = 0.3 - torch.arange(0, 4, dtype=torch.float64).reshape(2, 2) / 3
    return a.requires_grad_(), b.requires_grad_()


def loss(a, b, t, sign):
    """Convex, its minimum moves with the step."""
    i = torch.arange(1, 6, dtype=torch.float64)
    x, y = a * i / 2 - torch.sin(i * (0.1 * t)), b * b.t() + b - math.cos(0.05 * t)
    return sign * ((x * x).sum() + (y * y).sum() / 4)


def groups(name, options, a, b):
    second = dict(params=[b], lr=0.5 * options.get("lr", 0.01))
    return getattr(torch.optim, name)([dict(params=[a]), second], **options)


def trajectory(name, options):
    a, b = parameters()
    opt = groups(name, options, a, b)
    rows = []
    for t in range(1, 1001):
        opt.zero_grad()
        loss(a, b, t, -1 if options.get("maximize") else 1).backward()
        opt.step()
        if t in (1, 10, 100, 1000):
            rows.append(numbers(torch.cat([a, b.reshape(-1)]).tolist()))
    return ",\n      ".join(rows)


SCHEDULERS = [
    ("StepLR", "SGD", dict(step_size=30)),
    ("StepLR", "SGD", dict(step_size=7, gamma=0.9)),
    ("MultiStepLR", "SGD", dict(milestones=[5, 60, 60, 150])),
    ("MultiStepLR", "SGD", dict(milestones=[1, 199], gamma=0.3)),
    ("ExponentialLR", "SGD", dict(gamma=0.97)),
    ("CosineAnnealingLR", "SGD", dict(T_max=200)),
    ("CosineAnnealingLR", "SGD", dict(T_max=30, eta_min=0.01)),
    ("LambdaLR", "SGD", dict()),
    ("OneCycleLR", "SGD", dict(max_lr=0.5, total_steps=201)),
    ("OneCycleLR", "SGD", dict(max_lr=[0.5, 0.2], epochs=40, steps_per_epoch=6, pct_start=0.25, anneal_strategy="linear",
                               three_phase=True, div_factor=10.0, final_div_factor=100.0)),
    ("OneCycleLR", "Adam", dict(max_lr=0.1, total_steps=220, base_momentum=0.7, max_momentum=0.9)),
    ("OneCycleLR", "Adam", dict(max_lr=0.1, total_steps=201, cycle_momentum=False)),
    ("ReduceLROnPlateau", "SGD", dict()),
    ("ReduceLROnPlateau", "SGD", dict(mode="max", factor=0.5, patience=3, threshold=0.01, cooldown=4, min_lr=0.001)),
    ("ReduceLROnPlateau", "SGD", dict(factor=0.7, patience=2, threshold=0.05, threshold_mode="abs", min_lr=[0.01, 0.02])),
]


def watched(t):
    return 1 / (1 + t // 20) + 0.01 * ((t * 7) % 5)


def begin(optimizer):
    a, b = parameters()
    more = dict(momentum=0.9) if optimizer == "SGD" else {}
    return getattr(torch.optim, optimizer)([dict(params=[a]), dict(params=[b], lr=0.25)], lr=0.5, **more)


def schedule(name, opt, options, **more):
    if name == "LambdaLR":
        more["lr_lambda"] = [lambda n: 0.95**n, lambda n: 1 / (1 + n)]
    return getattr(S, name)(opt, **options, **more)


def now(optimizer, opt):
    first, second = opt.param_groups
    return [first["lr"], second["lr"], first["momentum"] if optimizer == "SGD" else first["betas"][0]]


def advance(name, opt, scheduler, t):
    opt.step()
    scheduler.step(*([watched(t)] if name == "ReduceLROnPlateau" else []))


def rates(name, optimizer, options):
    opt = begin(optimizer)
    scheduler = schedule(name, opt, options)
    rows = []
    for t in range(0, 201):
        rows.append(now(optimizer, opt))
        if t < 200:
            advance(name, opt, scheduler, t)
    columns = zip(*rows)
    # all of the first group; of the others every 10th
    return ",\n    ".join(numbers(c if i == 0 else c[::10]) for i, c in enumerate(columns))


def resumed(name, optimizer, options, place, how):
    """The rates of 10 places from the resume on, at `place`: the optimizer is loaded; the scheduler is made again with
    last_epoch ("made"), or made before and its state loaded ("loaded"); "hand": a rate assigned by hand before that."""
    opt = begin(optimizer)
    scheduler = schedule(name, opt, options)
    for t in range(place):
        advance(name, opt, scheduler, t)
    if how == "hand":
        opt.param_groups[0]["lr"] = 0.123
    again = begin(optimizer)
    if how == "made":
        again.load_state_dict(opt.state_dict())
        other = schedule(name, again, options, last_epoch=scheduler.last_epoch)
    else:
        other = schedule(name, again, options)
        again.load_state_dict(opt.state_dict())
        other.load_state_dict(scheduler.state_dict())
    values = []
    for t in range(place, place + 10):
        values += now(optimizer, again) + list(other.get_last_lr())
        advance(name, again, other, t)
    return numbers(values)


print("-- optim.lua: made by optim.py with PyTorch %s." % torch.__version__)
print("return {\n  optimizers = {")
for name, options in OPTIMIZERS:
    print("    {\"%s\", %s,\n      %s},\n" % (name, lua(options), trajectory(name, options)), end="")
print("  },\n  schedulers = {")
for name, optimizer, options in SCHEDULERS:
    print("    {\"%s\", \"%s\", %s,\n    %s},\n" % (name, optimizer, lua(options), rates(name, optimizer, options)), end="")
print("  },\n  resumes = {")
for i, (name, optimizer, options) in enumerate(SCHEDULERS):
    for place in (1, 29, 77):
        for how in ("made", "loaded", "hand"):
            if name != "ReduceLROnPlateau" or how != "made":  # it has no last_epoch
                print("    {%d, %d, \"%s\", %s}," % (i + 1, place, how, resumed(name, optimizer, options, place, how)))
print("  },\n}")

# steps_jax.py: JAX's side of bench.lua: those of the models of models.lua that draw nothing while they train, jitted, on
# the CPU. PyTorch draws weights and data, so that the losses are the same numbers.
#
# steps_jax.py THREADS answers as side.py says.
import os
import sys

threads = int(sys.argv[1])
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])  # XLA takes a thread for each core
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import side
import torch
from jax import lax
from jax import numpy as jnp
from torch import nn

torch.set_num_threads(1)


# Gives the modules' parameters as lists of arrays, in PyTorch's order.
def weights(*modules):
    return [[jnp.asarray(p.detach().numpy()) for p in m.parameters()] for m in modules]


def arrays(*tensors):
    return [jnp.asarray(t.numpy()) for t in tensors]


def adam_step(parameters, loss, *data):
    zeros = jax.tree.map(jnp.zeros_like, parameters)

    @jax.jit
    def update(p, m, v, t, *data):
        value, grads = jax.value_and_grad(loss)(p, *data)
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, grads)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, grads)
        scale, root = 1e-3 / (1 - 0.9**t), jnp.sqrt(1 - 0.999**t)
        return value, jax.tree.map(lambda p, m, v: p - scale * m / (jnp.sqrt(v) / root + 1e-8), p, m, v), m, v

    state = [parameters, zeros, zeros]
    t = 0

    def step():
        nonlocal t
        t += 1
        value, *state[:] = update(*state, float(t), *data)
        return float(value)

    return step


def linear(p, x):
    return x @ p[0].T + p[1]


def cross_entropy(z, y):
    return -jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], 1).mean()


def lstm_cell(w_hh, b_hh, h, c, x):
    i, f, g, o = jnp.split(x + h @ w_hh.T + b_hh, 4, 1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


# The layers: all inputs through w_ih at once, then the steps; x (T,B,I) -> h of every step (T,B,H).
def lstm_layer(w_ih, w_hh, b_ih, b_hh, x):
    def step(state, x):
        state = lstm_cell(w_hh, b_hh, *state, x)
        return state, state[0]

    zero = jnp.zeros((x.shape[1], w_hh.shape[1]))
    return lax.scan(step, (zero, zero), x @ w_ih.T + b_ih)[1]


def rnn_layer(w_ih, w_hh, b_ih, b_hh, x):
    def step(h, x):
        h = jnp.tanh(x + h @ w_hh.T + b_hh)
        return h, h

    return lax.scan(step, jnp.zeros((x.shape[1], w_hh.shape[1])), x @ w_ih.T + b_ih)[1]


def gru_layer(w_ih, w_hh, b_ih, b_hh, x):
    def step(h, x):
        (xr, xz, xn), (hr, hz, hn) = jnp.split(x, 3, 1), jnp.split(h @ w_hh.T + b_hh, 3, 1)
        r, z = jax.nn.sigmoid(xr + hr), jax.nn.sigmoid(xz + hz)
        n = jnp.tanh(xn + r * hn)
        h = n + z * (h - n)
        return h, h

    return lax.scan(step, jnp.zeros((x.shape[1], w_hh.shape[1])), x @ w_ih.T + b_ih)[1]


def recurrent(kind, layer):
    p = weights(getattr(nn, kind)(10, 128, batch_first=True), nn.Linear(128, 10))
    x, y = arrays(torch.rand(128, 29, 10), torch.randint(0, 10, (128,)))
    return adam_step(p, lambda p, x, y: cross_entropy(linear(p[1], layer(*p[0], x.swapaxes(0, 1))[-1]), y), x, y)


def written_out():
    H = 128
    w, b = arrays(torch.randn(10 + H, 4 * H) * 0.05, torch.zeros(4 * H))
    p = [*weights(nn.Linear(H, 10)), w, b]
    x, y = arrays(torch.rand(29, 128, 10), torch.randint(0, 10, (128,)))

    def loss(p, x, y):
        head, w, b = p
        h = c = jnp.zeros((128, H))
        for t in range(29):
            i, f, g, o = jnp.split(jnp.concatenate([x[t], h], 1) @ w + b, 4, 1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return cross_entropy(linear(head, h), y)

    return adam_step(p, loss, x, y)


def mlp():
    p = weights(nn.Linear(784, 512), nn.Linear(512, 10))
    x, y = arrays(torch.rand(128, 784), torch.randint(0, 10, (128,)))
    return adam_step(p, lambda p, x, y: cross_entropy(linear(p[1], jax.nn.relu(linear(p[0], x))), y), x, y)


def conv(p, x):
    return lax.conv_general_dilated(x, p[0], (1, 1), "VALID") + p[1][:, None, None]


def convnet():
    p = weights(nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3), nn.Linear(9216, 128), nn.Linear(128, 10))
    x, y = arrays(torch.rand(64, 1, 28, 28), torch.randint(0, 10, (64,)))

    def loss(p, x, y):
        h = jax.nn.relu(conv(p[1], jax.nn.relu(conv(p[0], x))))
        h = lax.reduce_window(h, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID").reshape(64, -1)
        return cross_entropy(linear(p[3], jax.nn.relu(linear(p[2], h))), y)

    return adam_step(p, loss, x, y)


def characters():
    p = weights(nn.Embedding(65, 64), nn.LSTM(64, 256, num_layers=2, batch_first=True), nn.Linear(256, 65))
    x, y = arrays(torch.randint(0, 65, (50, 50)), torch.randint(0, 65, (2500,)))

    def loss(p, x, y):
        (embedding,), rnn, head = p
        h = lstm_layer(*rnn[4:], lstm_layer(*rnn[:4], embedding[x].swapaxes(0, 1)))
        return cross_entropy(linear(head, h.swapaxes(0, 1)).reshape(2500, 65), y)

    return adam_step(p, loss, x, y)


def layer_norm(p, x):
    x = x - x.mean(-1, keepdims=True)
    return x * lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-5) * p[0] + p[1]


def gpt():
    d, heads, length, batch = 128, 4, 64, 12
    outer = weights(nn.Embedding(65, d), nn.Embedding(length, d), nn.LayerNorm(d), nn.Linear(d, 65))
    blocks = [weights(nn.LayerNorm(d), nn.LayerNorm(d), nn.MultiheadAttention(d, heads, batch_first=True),
                      nn.Linear(d, 4 * d), nn.Linear(4 * d, d)) for _ in range(4)]
    x, y = arrays(torch.randint(0, 65, (batch, length)), torch.randint(0, 65, (batch * length,)))
    later = jnp.triu(jnp.ones((length, length), bool), 1)

    def attention(p, x):
        w, b, out_w, out_b = p
        q, k, v = jnp.split((x @ w.T + b).reshape(batch, length, 3 * heads, d // heads).swapaxes(1, 2), 3, 1)
        weight = jax.nn.softmax(jnp.where(later, -jnp.inf, q @ k.swapaxes(2, 3) / (d // heads) ** 0.5))
        return (weight @ v).swapaxes(1, 2).reshape(batch, length, d) @ out_w.T + out_b

    def loss(p, x, y):
        ((token,), (place,), norm, head), blocks = p
        h = token[x] + place
        for before, after, attend, wide, narrow in blocks:
            h = h + attention(attend, layer_norm(before, h))
            h = h + linear(narrow, jax.nn.gelu(linear(wide, layer_norm(after, h)), approximate=False))
        return cross_entropy(linear(head, layer_norm(norm, h)).reshape(batch * length, 65), y)

    return adam_step([outer, blocks], loss, x, y)


MODELS = dict(lstm=lambda: recurrent("LSTM", lstm_layer), rnn=lambda: recurrent("RNN", rnn_layer),
              gru=lambda: recurrent("GRU", gru_layer), written_out=written_out, mlp=mlp, convnet=convnet,
              characters=characters, gpt=gpt)

side.serve("JAX %s, jitted, threads: %d" % (jax.__version__, threads), MODELS, lambda: torch.manual_seed(0))

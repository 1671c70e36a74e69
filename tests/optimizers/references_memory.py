"""Slow references of the memory-saving rules, in float64, written from the papers."""

import numpy as np
from keras import ops
from references import decaying, rate_at
from trajectories import START, STEPS, numpy_gradient

from keras_dlopt.optimizers.memory.projection import random_projection


def adam_mini(rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8, weight_decay=0.0):
    """Algorithm 1 of arXiv 2406.16793: a block is a column of a kernel (all that makes one output), else an element."""
    weights = [np.asarray(w, "float64") for w in START]
    m, v = [0.0] * len(weights), [0.0] * len(weights)
    for step in range(STEPS):
        lr, t = rate_at(rate, step), step + 1
        for i, g in enumerate(numpy_gradient(list(weights), step)):
            block_mean = g**2 if g.ndim < 2 else np.mean(g**2, axis=tuple(range(g.ndim - 1)), keepdims=True)
            m[i] = beta_1 * m[i] + (1 - beta_1) * g
            v[i] = beta_2 * v[i] + (1 - beta_2) * block_mean
            m_hat, v_hat = m[i] / (1 - beta_1**t), v[i] / (1 - beta_2**t)
            weights[i] = weights[i] - lr * weight_decay * weights[i] - lr * m_hat / (np.sqrt(v_hat) + epsilon)
    return weights


def sm3(rate, weight_decay=0.0, **kwargs):
    """optax's SM3, in float64. It asks for an axis, so the scalar is a vector of one element to it."""
    import jax
    import optax

    with jax.enable_x64(True):
        chain = optax.chain(
            optax.scale_by_sm3(**kwargs),
            optax.add_decayed_weights(weight_decay),
            optax.scale_by_learning_rate(decaying if rate == "decaying" else rate),
        )
        weights = [np.atleast_1d(np.asarray(w, "float64")) for w in START]
        state, update = chain.init(weights), jax.jit(chain.update)
        for step in range(STEPS):
            grads = numpy_gradient([np.reshape(w, s.shape) for w, s in zip(weights, START, strict=True)], step)
            updates, state = update([np.atleast_1d(g) for g in grads], state, weights)
            weights = [np.asarray(w) for w in optax.apply_updates(weights, updates)]
    return [np.reshape(w, s.shape) for w, s in zip(weights, START, strict=True)]


def matrix_of(index, input_axes):
    """The shape in which a matrix rule sees the weights of that index; `None` for vectors and the head, the last."""
    shape = START[index].shape
    if len(shape) < 2 or index == len(START) - 1:
        return None
    inputs = (input_axes or {}).get(f"w{index}", len(shape) - 1)
    return int(np.prod(shape[:inputs])), int(np.prod(shape[inputs:]))


def adam(state, g, t, beta_1, beta_2, epsilon):
    """Adam's direction, without bias correction."""
    state["M"] = beta_1 * state.get("M", 0.0) + (1 - beta_1) * g
    state["V"] = beta_2 * state.get("V", 0.0) + (1 - beta_2) * g**2
    return state["M"] / (np.sqrt(state["V"]) + epsilon)


def by_matrix(direction):
    """A rule for matrices, with Adam without weight decay for the rest, as a trajectory.

    `direction(state, G, t, adam, **kwargs)` gets matrices with no more columns than rows: wide ones transposed.
    """

    def trajectory(rate, weight_decay=0.0, beta_1=0.9, beta_2=0.999, epsilon=1e-6, input_axes=None, **kwargs):
        def adam_here(state, g, t):
            return adam(state, g, t, beta_1, beta_2, epsilon)

        weights, states = [np.asarray(w, "float64") for w in START], [{} for _ in START]
        for step in range(STEPS):
            lr, t = rate_at(rate, step), step + 1
            corrected = lr * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
            for i, g in enumerate(numpy_gradient(list(weights), step)):
                shape = matrix_of(i, input_axes)
                if shape is None:
                    weights[i] = weights[i] - corrected * adam_here(states[i], g, t)
                    continue
                wide = shape[0] < shape[1]
                G = g.reshape(shape).T if wide else g.reshape(shape)
                u = direction(states[i], G, t, adam_here, **kwargs)
                u = (u.T if wide else u).reshape(g.shape)
                weights[i] = weights[i] - lr * weight_decay * weights[i] - corrected * u
        return weights

    return trajectory


@by_matrix
def galore(state, G, t, adam, rank, update_proj_gap, scale=0.25):
    """Algorithm 2 of arXiv 2403.03507. An SVD leaves signs open: those of the last projection."""
    if (t - 1) % update_proj_gap == 0:
        P = np.linalg.svd(G)[2][:rank].T
        if "P" in state:
            P = P * np.sign(np.sum(P * state["P"], axis=0))
        state["P"] = P
    return scale * adam(state, G @ state["P"], t) @ state["P"].T


@by_matrix
def apollo(state, G, t, adam, rank, update_proj_gap, scale=1.0, scale_type="channel", growth_limit=1.01, seed=0):
    """Algorithm 1 of arXiv 2412.05270, with the backend's random numbers."""
    if (t - 1) % update_proj_gap == 0:
        drawn = random_projection(
            (1, G.shape[1], min(rank, G.shape[1])), "float32", seed, ops.convert_to_tensor(float(t))
        )
        state["P"] = np.asarray(ops.convert_to_numpy(drawn)[0], "float64")
    R = G @ state["P"]
    axes = 1 if scale_type == "channel" else (0, 1)
    norms = [np.sqrt(np.sum(x**2, axis=axes, keepdims=True)) for x in (adam(state, R, t), R)]
    scaled = G * norms[0] / norms[1]
    if growth_limit is not None and "norm" in state:
        scaled = scaled * min(1.0, growth_limit * state["norm"] / np.linalg.norm(scaled))
    state["norm"] = np.linalg.norm(scaled)
    return scale * scaled


def galore_of_pytorch_optimizer(rate, rank, weight_decay=0.0):
    """Its one projection lasts: where the author's code refreshes at steps 1, T + 1, ..., this does at 1, T, 2T, ...

    Run in float64, with our weight decay, which comes before the step.
    """
    import torch
    from pytorch_optimizer import GaLore

    kernels = {i: shape for i in range(len(START)) if (shape := matrix_of(i, None))}
    weights = [
        torch.nn.Parameter(torch.tensor(w.reshape(kernels.get(i, -1)), dtype=torch.float64))
        for i, w in enumerate(START)
    ]
    galore = {"rank": rank, "update_proj_gap": STEPS + 1, "scale": 0.25, "projection_type": "std"}
    groups = [
        {"params": [weights[i] for i in kernels], **galore},
        {"params": [w for i, w in enumerate(weights) if i not in kernels]},
    ]
    optimizer = GaLore(groups)
    for step in range(STEPS):
        lr = rate_at(rate, step)
        values = [w.detach().numpy().reshape(s.shape) for w, s in zip(weights, START, strict=True)]
        for i, g in enumerate(numpy_gradient(values, step)):
            weights[i].grad = torch.as_tensor(np.reshape(g, weights[i].shape))
            if i in kernels:
                weights[i].data *= 1 - lr * weight_decay
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()
    return [w.detach().numpy().reshape(s.shape) for w, s in zip(weights, START, strict=True)]

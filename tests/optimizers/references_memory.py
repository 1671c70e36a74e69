"""Slow references of the memory-saving rules, in float64, written from the papers."""

import numpy as np
from references import decaying, rate_at
from trajectories import START, STEPS, numpy_gradient


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

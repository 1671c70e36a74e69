"""References of the first-order rules: optax's chains, and papers written out in float64 where no code fits.

A rule written out reads like its paper: a variable at a time, no buckets, no executor.
"""

import math

import numpy as np
from references import decaying, from_torch, rate_at
from trajectories import NOISE, START, STEPS, loss_at, numpy_gradient


def from_transformation(make):
    """An optax transformation, `make(rate, **arguments)`, run in float64."""

    def trajectory(rate, **kwargs):
        import jax
        import optax

        with jax.enable_x64(True):
            optimizer = make(decaying if rate == "decaying" else rate, **kwargs)
            weights = [np.asarray(w, "float64") for w in START]
            state, update = optimizer.init(weights), jax.jit(optimizer.update)
            for step in range(STEPS):
                updates, state = update(numpy_gradient(weights, step), state, weights)
                weights = [np.asarray(w) for w in optax.apply_updates(weights, updates)]
        return weights

    return trajectory


def polyak_sgd(rate, weight_decay=0.0, f_min=0.0, epsilon=0.0):
    """`optax.polyak_sgd` in its variant without negative steps, which takes no schedule: a new one each step.

    It has no decay: added with the step size that it took.
    """
    import jax
    import optax

    with jax.enable_x64(True):
        weights = [np.asarray(w, "float64") for w in START]
        for step in range(STEPS):
            grads = numpy_gradient(weights, step)
            optimizer = optax.polyak_sgd(rate_at(rate, step), f_min=f_min, eps=epsilon, variant="sps+")
            updates, _ = optimizer.update(grads, optimizer.init(weights), weights, value=loss_at(weights, NOISE[step]))
            taken = -float(updates[0]) / float(grads[0])
            weights = [w + np.asarray(u) - taken * weight_decay * w for w, u in zip(weights, updates, strict=True)]
    return weights


def momo(rate, weight_decay=0.0, beta_1=0.9, f_min=0.0, adapt_f_min=False):
    """`optax.contrib.momo`, with its weight decay mended.

    For the step tau that it computes the new weights are (w - tau d) / (1 + eta lambda): only there is the model's
    value the lower bound, as the paper derives it. optax divides the w alone.
    """
    import jax
    import optax
    import optax.contrib

    with jax.enable_x64(True):
        arguments = {"lower_bound": f_min, "adapt_lower_bound": adapt_f_min, "weight_decay": weight_decay}
        optimizer = optax.contrib.momo(decaying if rate == "decaying" else rate, beta_1, **arguments)
        weights = [np.asarray(w, "float64") for w in START]
        state, update = optimizer.init(weights), jax.jit(optimizer.update)
        for step in range(STEPS):
            grads, value = numpy_gradient(weights, step), loss_at(weights, NOISE[step])
            updates, state = update(grads, state, weights, value=value)
            factor = 1 / (1 + rate_at(rate, step) * weight_decay)
            steps = [np.asarray(u) + (1 - factor) * w for w, u in zip(weights, updates, strict=True)]
            weights = [factor * (w + s) for w, s in zip(weights, steps, strict=True)]
    return weights


def signum(rate, beta_1=0.9, weight_decay=0.0):
    """`optax.signum`, with decoupled decay between its links."""
    import optax

    decay, step = optax.add_decayed_weights(weight_decay), optax.scale_by_learning_rate(rate)
    return optax.chain(optax.ema(beta_1, debias=False), optax.scale_by_sign(), decay, step)


def nadamw(rate, weight_decay=1e-4):
    import optax

    return optax.nadamw(rate, weight_decay=weight_decay)


def novograd(rate, beta_1=0.95, beta_2=0.98, weight_decay=0.0):
    import optax

    return optax.novograd(rate, beta_1, beta_2, eps=1e-8, weight_decay=weight_decay)


def mars(rate, weight_decay=0.0, **kwargs):
    """pytorch-optimizer's, where vectors have a rate and a decay of their own: given those of the matrices."""
    vectors = {"lr_1d": rate_at(rate, 0), "weight_decay_1d": weight_decay}
    return from_torch("pytorch_optimizer", "MARS", foreach=False, **vectors)(rate, weight_decay=weight_decay, **kwargs)


def written_out(rule):
    """`rule(w, g, state, t, lr, **arguments) -> w` run over all variables, `state` being a dictionary for each."""

    def trajectory(rate, **kwargs):
        weights = [np.asarray(w, "float64") for w in START]
        states = [{} for _ in weights]
        for step in range(STEPS):
            grads = [np.asarray(g, "float64") for g in numpy_gradient(weights, step)]
            at = (step + 1, rate_at(rate, step))
            weights = [rule(w, g, s, *at, **kwargs) for w, g, s in zip(weights, grads, states, strict=True)]
        return weights

    return trajectory


def lars(w, g, state, t, lr, momentum=0.9, trust_coefficient=0.001, weight_decay=0.0):
    """arXiv 1708.03888, algorithm 1; vectors without its local rate and without decay."""
    if w.ndim > 1:
        local = trust_coefficient * np.linalg.norm(w) / (np.linalg.norm(g) + weight_decay * np.linalg.norm(w))
        g = local * (g + weight_decay * w)
    state["v"] = momentum * state.get("v", 0.0) + lr * g
    return w - state["v"]


def tiger(w, g, state, t, lr, beta_1=0.965, weight_decay=0.01):
    """The author's update: matrices by a share of their root mean square, vectors by half the rate without decay."""
    state["m"] = beta_1 * state.get("m", 0.0) + (1 - beta_1) * g
    if w.ndim > 1:
        return w - lr * np.sqrt(np.mean(w**2)) * (np.sign(state["m"]) + weight_decay * w)
    return w - 0.5 * lr * np.sign(state["m"])


def amos(w, g, state, t, lr, beta_2=0.999, zeta=0.25, momentum=0.0, weight_decay=0.0):
    """arXiv 2210.11693, algorithm 1, with the mean over whole variables."""
    eta = 1 / math.sqrt(math.prod(w.shape[:-1])) if w.ndim > 1 else 0.5
    w = w - lr * weight_decay * w
    b = state.get("b", 0.0)
    g2 = np.mean(g**2)
    state["v"] = beta_2 * state.get("v", 0.0) + (1 - beta_2) * g2
    v_hat = state["v"] / (1 - beta_2**t)
    c = 1 / math.sqrt(1 + zeta * math.sqrt(lr) * b)
    d = 1 / (1 + zeta * math.sqrt(lr * eta) * b)
    gamma = c * g2 / v_hat * lr**2
    delta = d * (lr * eta * g / np.sqrt(v_hat) + gamma * w / 2)
    state["b"] = b + gamma * (1 + b)
    state["delta"] = momentum * state.get("delta", 0.0) + (1 - momentum) * delta
    return w - state["delta"]


def spam(
    w,
    g,
    state,
    t,
    lr,
    beta_1=0.9,
    beta_2=0.999,
    threshold=5000.0,
    reset_every=500,
    warmup=150,
    settle=20,
    weight_decay=0.0,
):
    """arXiv 2501.06842, algorithm 1, with the order and the warm-up of the authors' code."""
    since = t % reset_every
    m, v = (state["m"], state["v"]) if t > 1 and since else (np.zeros_like(w), np.zeros_like(w))
    if since >= settle:
        g = np.where(g**2 > threshold * v, np.sign(g) * np.sqrt(threshold * v), g)
    m, v = beta_1 * m + (1 - beta_1) * g, beta_2 * v + (1 - beta_2) * g**2
    state.update(m=m, v=v)
    scale = 1.0
    if t >= reset_every and since < warmup:
        scale = 1 - 0.99 * (1 + math.cos(math.pi * since / (warmup + 1))) / 2
    w = w - scale * lr * math.sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (np.sqrt(v) + 1e-6)
    return w - lr * weight_decay * w

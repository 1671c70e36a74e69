"""What the wrappers are held against: optax and pytorch-optimizer where they have them, else the authors' lines.

Each takes the inner optimizer's weight decay and gives the weights after 200 steps, in float64.
"""

import numpy as np
from trajectories import START, STEPS, numpy_gradient

RATE = 0.02


def doubles(arrays):
    return [np.asarray(a, "float64") for a in arrays]


class AdamW:
    """Keras's AdamW."""

    def __init__(self, decay):
        self.decay, self.t = decay, 0
        self.m = self.v = [0.0] * len(START)

    def step(self, weights, gradients, mask=lambda i, u: u):
        self.t += 1
        self.m = [0.9 * m + 0.1 * g for m, g in zip(self.m, gradients, strict=True)]
        self.v = [0.999 * v + 0.001 * g * g for v, g in zip(self.v, gradients, strict=True)]
        rate = RATE * np.sqrt(1 - 0.999**self.t) / (1 - 0.9**self.t)
        steps = [rate * m / (np.sqrt(v) + 1e-7) for m, v in zip(self.m, self.v, strict=True)]
        return [w * (1 - RATE * self.decay) - mask(i, u) for i, (w, u) in enumerate(zip(weights, steps, strict=True))]


def follow(step):
    weights = doubles(START)
    for t in range(STEPS):
        weights = step(t, weights, doubles(numpy_gradient(weights, t)))
    return weights


def lookahead(decay):
    """optax.lookahead over AdamW; optax debiases before adding epsilon, which therefore is tiny here and there."""
    import jax
    import optax

    with jax.enable_x64(True):
        adam = optax.adamw(RATE, eps=1e-12, weight_decay=decay)
        optimizer = optax.lookahead(adam, sync_period=5, slow_step_size=0.4)
        params = optax.LookaheadParams.init_synced(doubles(START))
        state, update = optimizer.init(params), jax.jit(optimizer.update)
        for t in range(STEPS):
            updates, state = update(doubles(numpy_gradient(params.fast, t)), state, params)
            params = optax.apply_updates(params, updates)
        return [np.asarray(w) for w in params.fast]


def c_optim(gradients):
    """kyleliang919/C-Optim: the mask from the raw gradient, scaled by its mean over the tensor, clamped at 1e-3."""

    def mask(i, u):
        keep = (u * gradients[i] > 0).astype("float64")
        return u * keep / max(keep.mean(), 1e-3)

    return mask


def cautious(decay):
    adam = AdamW(decay)
    return follow(lambda t, weights, gradients: adam.step(weights, gradients, c_optim(gradients)))


def grokfast(decay):
    """The authors' `gradfilter_ema`, as pytorch-optimizer ships it."""
    import torch
    from pytorch_optimizer.optimizer.grokfast import gradfilter_ema

    model, adam, averages = torch.nn.Module(), AdamW(decay), None
    for i, w in enumerate(START):
        model.register_parameter(f"w{i}", torch.nn.Parameter(torch.tensor(w, dtype=torch.float64)))

    def step(t, weights, gradients):
        nonlocal averages
        for p, g in zip(model.parameters(), gradients, strict=True):
            p.grad = torch.tensor(g)
        averages = gradfilter_ema(model, averages, alpha=0.9, lamb=1.5)
        return adam.step(weights, [p.grad.numpy() for p in model.parameters()])

    return follow(step)


def centralized(decay):
    """optax.centralize, whose output axis is the first."""
    import jax
    import optax

    adam, transform = AdamW(decay), optax.centralize()

    def step(t, weights, gradients):
        with jax.enable_x64(True):
            new, _ = transform.update([np.moveaxis(g, -1, 0) if g.ndim else g for g in gradients], None)
        return adam.step(weights, [np.moveaxis(np.asarray(g), 0, -1) if g.ndim else np.asarray(g) for g in new])

    return follow(step)


def adaptive_clipping(decay):
    """optax.adaptive_grad_clip; its default takes three axes for a head projection's, ours for a convolution's."""
    import jax
    import optax

    adam = AdamW(decay)

    @jax.jit
    def clipped(weights, gradients):
        axes = [(0, 1) if w.ndim == 3 else None for w in weights]
        transforms = [optax.adaptive_grad_clip(0.3, axis=axis) for axis in axes]
        return [t.update(g, None, w)[0] for t, g, w in zip(transforms, gradients, weights, strict=True)]

    def step(t, weights, gradients):
        with jax.enable_x64(True):
            new = clipped(doubles(weights), gradients)
        return adam.step(weights, doubles(new))

    return follow(step)


def nested(decay):
    """Lookahead of the cautious optimizer with Grokfast's gradients; the mask is from the gradient before that."""
    adam, average, slow = AdamW(decay), None, doubles(START)

    def step(t, weights, gradients):
        nonlocal average, slow
        average = [0.98 * a + 0.02 * g for a, g in zip(average or gradients, gradients, strict=True)]
        amplified = [g + 2.0 * a for g, a in zip(gradients, average, strict=True)]
        weights = adam.step(weights, amplified, c_optim(gradients))
        if (t + 1) % 6 == 0:
            weights = slow = [s + 0.5 * (w - s) for s, w in zip(slow, weights, strict=True)]
        return weights

    return follow(step)


def mechanized(base, **kwargs):
    """optax.contrib.mechanize over an optimizer of optax's."""
    import jax
    import optax

    with jax.enable_x64(True):
        optimizer, weights = optax.contrib.mechanize(base, **kwargs), doubles(START)
        state, update = optimizer.init(weights), jax.jit(optimizer.update)
        for t in range(STEPS):
            updates, state = update(doubles(numpy_gradient(weights, t)), state, weights)
            weights = doubles(optax.apply_updates(weights, updates))
        return weights

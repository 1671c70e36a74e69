"""What each optimizer is held against: Keras's own where Keras has it, else torch, optax or pytorch-optimizer."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
from trajectories import START, STEPS, numpy_gradient, run_compiled

from keras_dlopt import optimizers


def decaying(step):
    """The decaying learning rate, as a function of the steps taken so far."""
    return 0.05 / (1 + 0.05 * step)


class Decaying(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step):
        return decaying(keras.ops.cast(step, "float32"))


def rate_at(rate, step):
    return decaying(step) if rate == "decaying" else rate


def keras_rate(rate):
    return Decaying() if rate == "decaying" else rate


def from_keras(name):
    """Keras's optimizer of that name, with the same arguments."""

    def trajectory(rate, **kwargs):
        return run_compiled(getattr(keras.optimizers, name)(learning_rate=keras_rate(rate), **kwargs))

    return trajectory


def _torch_arguments(beta_1=None, beta_2=None, beta_3=None, epsilon=None, **kwargs):
    betas = tuple(b for b in (beta_1, beta_2, beta_3) if b is not None)
    return kwargs | ({"betas": betas} if betas else {}) | ({"eps": epsilon} if epsilon else {})


def from_torch(module, name, **extra):
    """A torch optimizer, run in float64."""

    def trajectory(rate, **kwargs):
        import importlib

        import torch

        weights = [torch.nn.Parameter(torch.tensor(w, dtype=torch.float64)) for w in START]
        cls = getattr(importlib.import_module(module), name)
        optimizer = cls(weights, lr=rate_at(rate, 0), **_torch_arguments(**kwargs), **extra)
        for step in range(STEPS):
            optimizer.param_groups[0]["lr"] = rate_at(rate, step)
            for w, g in zip(weights, numpy_gradient([w.detach().numpy() for w in weights], step), strict=True):
                w.grad = torch.as_tensor(np.asarray(g, "float64"))
            optimizer.step()
        return [w.detach().numpy() for w in weights]

    return trajectory


OPTAX_NAMES = {"beta_1": "b1", "beta_2": "b2", "beta_3": "b3", "epsilon": "eps"}


def from_optax(direction, **extra):
    """An optax direction (a `scale_by_...`) with decoupled decay and the learning rate after it, run in float64.

    It gets the case's arguments under optax's names, then `extra`; the rest keeps optax's defaults, which are ours.
    """

    def trajectory(rate, weight_decay=0.0, **kwargs):
        import jax
        import optax
        import optax.contrib

        make = getattr(optax, direction, None) or getattr(optax.contrib, direction)
        with jax.enable_x64(True):
            chain = optax.chain(
                make(**{OPTAX_NAMES.get(name, name): value for name, value in kwargs.items()}, **extra),
                optax.add_decayed_weights(weight_decay),
                optax.scale_by_learning_rate(decaying if rate == "decaying" else rate),
            )
            weights = [np.asarray(w, "float64") for w in START]
            state, update = chain.init(weights), jax.jit(chain.update)
            for step in range(STEPS):
                updates, state = update(numpy_gradient(weights, step), state, weights)
                weights = [np.asarray(w) for w in optax.apply_updates(weights, updates)]
        return weights

    return trajectory


@dataclasses.dataclass(frozen=True)
class Case:
    """An optimizer with arguments, and the trajectory it must follow."""

    name: str
    reference: Callable
    arguments: dict = dataclasses.field(default_factory=dict)
    label: str = ""
    tolerance: float = 1e-5  # relative to the largest weight

    @property
    def id(self):
        return f"{self.name}-{self.label}" if self.label else self.name

    def make(self, rate, weight_decay=None, **kwargs):
        decay = {} if weight_decay is None else {"weight_decay": weight_decay}
        return optimizers.get(self.name, learning_rate=keras_rate(rate), **self.arguments, **decay, **kwargs)

    def follow(self, rate, weight_decay=None):
        decay = {} if weight_decay is None else {"weight_decay": weight_decay}
        return self.reference(rate, **self.arguments, **decay)


SETTINGS = {"constant": (0.02, None), "decaying+decay": ("decaying", 0.1)}

"""What `keras_dlopt.optimizers.rate_free` is held against: the authors' packages, and optax for DoWG."""

import importlib

import numpy as np
from references import Case, decaying, rate_at
from trajectories import START, STEPS, numpy_gradient

NAMES = {"epsilon": "eps", "beta_3": "beta3"}


def from_authors(module, name, **extra):
    """An author's torch optimizer, run in float64."""

    def trajectory(rate, weight_decay=0.0, **kwargs):
        import torch

        if "beta_1" in kwargs:
            kwargs["betas"] = (kwargs.pop("beta_1"), kwargs.pop("beta_2"))
        arguments = {NAMES.get(key, key): value for key, value in kwargs.items()}
        weights = [torch.nn.Parameter(torch.tensor(w, dtype=torch.float64)) for w in START]
        cls = getattr(importlib.import_module(module), name)
        optimizer = cls(weights, lr=rate_at(rate, 0), weight_decay=weight_decay, **arguments, **extra)
        for step in range(STEPS):
            optimizer.param_groups[0]["lr"] = rate_at(rate, step)
            for w, g in zip(weights, numpy_gradient([w.detach().numpy() for w in weights], step), strict=True):
                w.grad = torch.as_tensor(np.array(g, "float64"))
            optimizer.step()
        return [w.detach().numpy() for w in weights]

    return trajectory


def dowg(rate, **kwargs):
    """optax's, whose weight decay goes into the gradient, as ours."""
    import jax
    import optax.contrib

    with jax.enable_x64(True):
        rule = optax.contrib.dowg(
            decaying if rate == "decaying" else rate, **{NAMES.get(k, k): v for k, v in kwargs.items()}
        )
        weights = [np.asarray(w, "float64") for w in START]
        state, update = rule.init(weights), jax.jit(rule.update)
        for step in range(STEPS):
            updates, state = update(numpy_gradient(weights, step), state, weights)
            weights = [np.asarray(w) for w in optax.apply_updates(weights, updates)]
    return weights


PRODIGY = from_authors("prodigyopt", "Prodigy")
ADAM = from_authors("dadaptation", "DAdaptAdam", decouple=True)
SGD = from_authors("dadaptation", "DAdaptSGD")
DOG, LDOG = from_authors("dog", "DoG"), from_authors("dog", "LDoG")

# Starts large enough that 200 steps at the table's rates go somewhere.
CASES = [
    Case("Prodigy", PRODIGY, {"d0": 0.01}),
    Case(
        "Prodigy",
        PRODIGY,
        {"d0": 0.1, "growth_rate": 1.02, "beta_3": 0.98, "use_bias_correction": True, "d_coef": 2.0},
        "growth",
    ),
    Case("Prodigy", PRODIGY, {"d0": 0.01, "safeguard_warmup": True, "d_coef": 40.0}, "safeguard"),
    Case("DAdaptAdam", ADAM, {"d0": 0.01}),
    Case("DAdaptAdam", ADAM, {"d0": 0.1, "growth_rate": 1.01, "use_bias_correction": True}, "growth"),
    Case("DAdaptSGD", SGD, {"d0": 10.0}),
    Case("DAdaptSGD", SGD, {"d0": 10.0, "momentum": 0.9, "growth_rate": 1.005}, "momentum"),
    Case("DoG", DOG, {"reps_rel": 0.1}),
    Case("DoG", DOG, {"init_eta": 0.1}, "init_eta"),
    Case("LDoG", LDOG, {"reps_rel": 1.0}),
    Case("LDoG", LDOG, {"init_eta": 0.1}, "init_eta"),
    Case("DoWG", dowg),
    Case("DoWG", dowg, {"epsilon": 5.0}, "epsilon"),
]

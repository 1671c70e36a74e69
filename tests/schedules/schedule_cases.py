"""Every schedule with its reference: torch and optax as installed, others by the formula in their documentation."""

import dataclasses
import math
import warnings
from collections.abc import Callable

import numpy as np

from keras_dlopt import schedules

STEPS = 1000


@dataclasses.dataclass(frozen=True)
class Case:
    """A schedule over `STEPS` steps, and the rates that its reference has at steps 0, 1, 2, ..."""

    schedule: schedules.Schedule
    reference: Callable[[], np.ndarray]
    note: str

    def __str__(self):
        return f"{type(self.schedule).__name__}: {self.note}"


def optax(name, *args, **kwargs):
    """optax's schedule of that name at every step, and at a few beyond the run."""

    def rates():
        import jax.numpy as jnp
        import optax

        return np.array(getattr(optax, name)(*args, **kwargs)(jnp.arange(STEPS + 5)) * jnp.ones(STEPS + 5), "float64")

    return rates


def torch(make, rate, steps=STEPS, key="lr"):
    """What torch's schedulers leave in the optimizer for each step. `make(lr_scheduler, optimizer)`."""

    def rates():
        import torch

        optimizer = torch.optim.SGD([torch.zeros(1)], lr=rate, momentum=0.9)
        scheduler = make(torch.optim.lr_scheduler, optimizer)
        found = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the order of calls, which is that of its documentation
            for t in range(steps):
                found.append(optimizer.param_groups[0][key])
                if t < steps - 1:  # OneCycleLR refuses one more
                    scheduler.step()
        return np.array(found)

    return rates


def formula(rate):
    """A rate of the step, in Python's double precision."""
    return lambda: np.array([rate(t) for t in range(STEPS + 5)], "float64")


def transformers_inverse_sqrt(peak, warmup, timescale):
    """`get_inverse_sqrt_schedule`: after the warm-up, 1 / sqrt((step + shift) / timescale)."""

    def rate(t):
        if t < warmup:
            return peak * t / max(1, warmup)
        return peak / math.sqrt((t + timescale - warmup) / timescale)

    return formula(rate)


def transformers_wsd(peak, warmup, decay, kind, floor=0.0, warmup_floor=0.0):
    """`get_wsd_schedule`: linear warm-up, 1, and the decay named, each between `min_lr_ratio` and 1."""

    def rate(t):
        if t < warmup:
            return t / max(1, warmup) * (peak - warmup_floor) + warmup_floor
        if t < STEPS - decay:
            return peak
        if t < STEPS:
            z = (t - STEPS + decay) / max(1, decay)
            left = {"linear": 1 - z, "cosine": 0.5 * (1 + math.cos(math.pi * z)), "1-sqrt": 1 - math.sqrt(z)}[kind]
            return left * (peak - floor) + floor
        return floor

    return formula(rate)


def timm_cosine(peak, first, growth, decay, floor):
    """`CosineLRScheduler(t_initial, lr_min, cycle_mul, cycle_decay)`, its `_get_lr`."""

    def rate(t):
        if growth == 1:
            i, length = t // first, first
            done = t - first * i
        else:
            i = math.floor(math.log(1 - t / first * (1 - growth), growth) + 1e-12)
            length = growth**i * first
            done = t - (1 - growth**i) / (1 - growth) * first
        top = peak * decay**i
        return floor + 0.5 * (top - floor) * (1 + math.cos(math.pi * done / length))

    return formula(rate)


def timm_warmup_cosine(peak, warmup, start, floor):
    """`CosineLRScheduler(t_initial, lr_min, warmup_t, warmup_lr_init, warmup_prefix=True, cycle_limit=1)`."""

    def rate(t):
        if t < warmup:
            return start + t * (peak - start) / warmup
        t, length = t - warmup, STEPS - warmup
        return floor + 0.5 * (peak - floor) * (1 + math.cos(math.pi * t / length)) if t < length else floor

    return formula(rate)


def noam(size, warmup, factor):
    """Attention Is All You Need, equation 3, with step_num = t + 1."""
    return formula(lambda t: factor * size**-0.5 * min((t + 1) ** -0.5, (t + 1) * warmup**-1.5))


def dino_cosine(first, last):
    """DINO's `cosine_scheduler`: final + 0.5 (base - final) (1 + cos(pi i / n)), here up to i = n."""
    return formula(lambda t: last + 0.5 * (first - last) * (1 + math.cos(math.pi * min(t / STEPS, 1))))


def rex(peak, floor):
    """pytorch-optimizer's `REXScheduler`, which shows the rate of step t after its call number t + 2."""

    def rates():
        import pytorch_optimizer as p_o
        import torch

        optimizer = torch.optim.SGD([torch.zeros(1)], lr=peak)
        scheduler = p_o.lr_scheduler.REXScheduler(optimizer, STEPS, peak, floor)
        scheduler.step_t = 0  # its constructor has made a step
        return np.array([scheduler.step() for _ in range(STEPS + 5)])

    return rates


def sequence(*parts):
    """Several references one after the other: (rates, how many of them)."""
    return lambda: np.concatenate([rates()[:count] for rates, count in parts])


def product(*references):
    """The product of references, as far as all of them go."""

    def rates():
        found = [reference() for reference in references]
        return np.prod([f[: min(map(len, found))] for f in found], axis=0)

    return rates


def one_cycle(peak, warmup, key="lr", **kwargs):
    return torch(lambda s, o: s.OneCycleLR(o, peak, STEPS, pct_start=warmup / STEPS, **kwargs), 1.0, key=key)


S = schedules

CASES = [
    Case(S.Constant(0.3, STEPS), optax("constant_schedule", 0.3), "optax"),
    Case(S.LinearDecay(0.3, STEPS), optax("linear_schedule", 0.3, 0.0, STEPS), "optax"),
    Case(S.LinearDecay(0.3, STEPS, 0.1), torch(lambda s, o: s.LinearLR(o, 1.0, 1 / 3, STEPS), 0.3), "torch"),
    Case(S.CosineDecay(0.3, STEPS, 0.03), optax("cosine_decay_schedule", 0.3, STEPS, 0.1), "optax"),
    Case(S.CosineDecay(3e-5, STEPS, 1e-5), torch(lambda s, o: s.CosineAnnealingLR(o, STEPS, 1e-5), 3e-5), "torch"),
    Case(S.PolynomialDecay(2.0, STEPS, 3.0, 0.5), optax("polynomial_schedule", 2.0, 0.5, 3.0, STEPS), "optax"),
    Case(S.PolynomialDecay(0.1, STEPS, 0.9), torch(lambda s, o: s.PolynomialLR(o, STEPS, 0.9), 0.1), "torch"),
    Case(S.PolynomialDecay(0.1, STEPS), optax("polynomial_schedule", 0.1, 0.0, 2.0, STEPS), "optax, the default"),
    Case(
        S.ExponentialDecay(0.1, STEPS, 0.1, 0.25, floor=1e-3),
        optax("exponential_decay", 0.1, 250, 0.1, end_value=1e-3),
        "optax",
    ),
    Case(S.ExponentialDecay(0.5, None, 0.99, 1), torch(lambda s, o: s.ExponentialLR(o, 0.99), 0.5), "torch"),
    Case(S.InverseSquareRoot(0.1, timescale=37), transformers_inverse_sqrt(0.1, 0, 37), "transformers, no warm-up"),
    Case(S.InverseSquareRoot(0.1, STEPS), transformers_inverse_sqrt(0.1, 0, 50), "transformers, the default"),
    Case(S.StepDecay(0.1, STEPS), torch(lambda s, o: s.StepLR(o, 300), 0.1), "torch"),
    Case(S.StepDecay(0.1, None, 0.97, 7), torch(lambda s, o: s.StepLR(o, 7, 0.97), 0.1), "torch, many stairs"),
    Case(
        S.PiecewiseConstant([0.3, 0.06, 0.012, 0.0024], [0.1, 400, 0.9], STEPS),
        torch(lambda s, o: s.MultiStepLR(o, [100, 400, 900], 0.2), 0.3),
        "torch",
    ),
    Case(
        S.PiecewiseConstant([0.3, 0.6, 0.06], [100, 900]),
        optax("piecewise_constant_schedule", 0.3, {100: 2.0, 900: 0.1}),
        "optax",
    ),
    Case(S.REX(0.3, STEPS, 0.01), rex(0.3, 0.01), "pytorch-optimizer"),
    Case(S.WarmupCosine(3e-4, STEPS), optax("warmup_cosine_decay_schedule", 0.0, 3e-4, 50, STEPS), "optax"),
    Case(
        S.WarmupCosine(2.0, STEPS, 137, 0.25),
        optax("warmup_cosine_decay_schedule", 0.0, 2.0, 137, STEPS, 0.25),
        "optax, floor",
    ),
    Case(S.WarmupCosine(1e-2, STEPS, 1), optax("warmup_cosine_decay_schedule", 0.0, 1e-2, 1, STEPS), "optax, 1 step"),
    Case(S.WarmupCosine(1e-2, STEPS, 50, 1e-4), timm_warmup_cosine(1e-2, 50, 0.0, 1e-4), "timm"),
    Case(S.WarmupStableDecay(0.1, STEPS), transformers_wsd(0.1, 50, 200, "1-sqrt"), "transformers"),
    Case(
        S.WarmupStableDecay(0.1, STEPS, 10, 0.9, "linear", 0.02),
        transformers_wsd(0.1, 10, 900, "linear", 0.02),
        "transformers, linear with a floor",
    ),
    Case(
        S.WarmupStableDecay(3e-4, STEPS, 0.1, 300, "cosine"),
        transformers_wsd(3e-4, 100, 300, "cosine"),
        "transformers, cosine",
    ),
    Case(S.Noam(512, STEPS, 0.1), noam(512, 100, 1.0), "the paper"),
    Case(S.Noam(64, warmup=400, factor=2.0), noam(64, 400, 2.0), "the paper, steps"),
    Case(S.OneCycle(0.4, STEPS), one_cycle(0.4, 300), "torch"),
    Case(S.OneCycle(5e-4, STEPS, 100, 10.0, 100.0), one_cycle(5e-4, 100, div_factor=10, final_div_factor=100), "torch"),
    Case(S.OneCycleMomentum(steps=STEPS), one_cycle(0.4, 300, "momentum"), "torch"),
    Case(
        S.OneCycleMomentum(0.99, STEPS, 0.5, warmup=100),
        one_cycle(0.4, 100, "momentum", base_momentum=0.5, max_momentum=0.99),
        "torch, other ends",
    ),
    Case(
        S.CosineRestarts(0.3, STEPS, floor=0.01),
        torch(lambda s, o: s.CosineAnnealingWarmRestarts(o, 250, 1, 0.01), 0.3),
        "torch",
    ),
    Case(
        S.CosineRestarts(0.3, STEPS, 30, 2.0, floor=0.01),
        torch(lambda s, o: s.CosineAnnealingWarmRestarts(o, 30, 2, 0.01), 0.3),
        "torch, growing",
    ),
    Case(S.CosineRestarts(0.3, STEPS, 70, 1.0, 0.6, 0.02), timm_cosine(0.3, 70, 1, 0.6, 0.02), "timm, decay"),
    Case(S.CosineRestarts(0.3, STEPS, 33, 1.3, 0.8), timm_cosine(0.3, 33, 1.3, 0.8, 0.0), "timm, between steps"),
    Case(
        S.CosineRestarts(0.3, STEPS, 1 / 7, 2.0),
        optax(
            "sgdr_schedule",
            [{"init_value": 0.3, "peak_value": 0.3, "warmup_steps": 0, "decay_steps": n} for n in (143, 286, 572)],
        ),
        "optax",
    ),
    Case(
        S.Cyclical(0.3, STEPS, 0.01, 50, 150),
        torch(lambda s, o: s.CyclicLR(o, 0.01, 0.3, 50, 150), 0.01),
        "torch, triangular",
    ),
    Case(
        S.Cyclical(0.3, STEPS, 0.01, mode="triangular2"),
        torch(lambda s, o: s.CyclicLR(o, 0.01, 0.3, 100, mode="triangular2"), 0.01),
        "torch, triangular2",
    ),
    Case(
        S.Cyclical(0.3, None, 0.01, 37, 11, "exp_range", 0.995),
        torch(lambda s, o: s.CyclicLR(o, 0.01, 0.3, 37, 11, mode="exp_range", gamma=0.995), 0.01),
        "torch, exp_range",
    ),
    Case(S.Ramp(0.3, STEPS, 0.1), optax("linear_schedule", 0.03, 0.3, STEPS), "optax, linear"),
    Case(
        S.Ramp(0.3, STEPS, 0.01, "exponential"),
        optax("exponential_decay", 0.003, STEPS, 100.0, end_value=0.3),
        "optax, exponential",
    ),
    Case(S.Ramp(0.4, STEPS, 0.1, "cosine"), dino_cosine(0.04, 0.4), "DINO"),
    Case(
        S.Warmup(S.InverseSquareRoot(0.1, timescale=80), STEPS, 40),
        transformers_inverse_sqrt(0.1, 40, 80),
        "transformers, inverse square root",
    ),
    Case(
        S.Warmup(S.InverseSquareRoot(0.1, timescale=40), None, 40), transformers_inverse_sqrt(0.1, 40, 40), "no steps"
    ),
    Case(S.Warmup(S.CosineDecay(0.1, floor=0.01), STEPS, 0.06, 0.05), timm_warmup_cosine(0.1, 60, 0.005, 0.01), "timm"),
    Case(
        S.Warmup(S.ExponentialDecay(0.1, decay=0.5, every=200), STEPS, 100, 0.1),
        optax("warmup_exponential_decay_schedule", 0.01, 0.1, 100, 200, 0.5),
        "optax",
    ),
    Case(
        S.Warmup(S.LinearDecay(0.1), STEPS, 100, 0.001, "exponential"),
        sequence(
            (optax("exponential_decay", 1e-4, 100, 1000.0), 100),
            (optax("linear_schedule", 0.1, 0.0, STEPS - 100), STEPS - 100),
        ),
        "optax, exponential",
    ),
    Case(
        S.Warmup(S.StepDecay(0.1, every=0.5), STEPS, 0.1, 0.2, "cosine"),
        sequence(
            (formula(lambda t: 0.1 * (0.2 + 0.8 * 0.5 * (1 - math.cos(math.pi * t / 100)))), 100),
            (torch(lambda s, o: s.StepLR(o, 450), 0.1), STEPS - 100),
        ),
        "torch, cosine",
    ),
    Case(
        S.Join([S.Ramp(0.1), S.Constant(0.1), S.LinearDecay(0.1)], [0.1, 0.8], STEPS),
        transformers_wsd(0.1, 100, 200, "linear"),
        "transformers",
    ),
    Case(
        S.Join([S.ExponentialDecay(0.2, decay=0.9, every=1), S.CosineDecay(0.1), S.OneCycle(0.3)], [50, 400], STEPS),
        sequence(
            (torch(lambda s, o: s.ExponentialLR(o, 0.9), 0.2), 50),
            (torch(lambda s, o: s.CosineAnnealingLR(o, 350), 0.1), 350),
            (torch(lambda s, o: s.OneCycleLR(o, 0.3, 600), 0.1, 600), 600),
        ),
        "torch",
    ),
    Case(
        S.Multiply([S.LinearDecay(0.2), S.StepDecay(1.0, decay=0.5), S.Constant(3.0)], STEPS),
        product(optax("linear_schedule", 0.6, 0.0, STEPS), torch(lambda s, o: s.StepLR(o, 300, 0.5), 1.0)),
        "the factors",
    ),
    Case(
        S.Multiply([S.ExponentialDecay(0.2, decay=0.995, every=1), S.Cyclical(1.0, up=20, floor=0.5)]),
        product(
            torch(lambda s, o: s.ExponentialLR(o, 0.995), 0.2), torch(lambda s, o: s.CyclicLR(o, 0.5, 1.0, 20), 0.5)
        ),
        "the factors, no steps",
    ),
]

"""What `keras_dlopt.optimizers.schedule_free` is held against: the authors' package."""

from references import Case, rate_at
from trajectories import START, STEPS, numpy_gradient

NAMES = {"epsilon": "eps"}


def from_authors(name, **extra):
    """An optimizer of the `schedulefree` package, run in float64: the weights y that it leaves."""

    def trajectory(rate, beta_1=0.9, beta_2=0.999, **kwargs):
        import schedulefree
        import torch

        if "SGD" not in name:
            kwargs["betas"] = (beta_1, beta_2)
        weights = [torch.nn.Parameter(torch.tensor(w, dtype=torch.float64)) for w in START]
        arguments = {NAMES.get(key, key): value for key, value in kwargs.items()}
        optimizer = getattr(schedulefree, name)(weights, lr=rate_at(rate, 0), **arguments, **extra)
        optimizer.train()
        for step in range(STEPS):
            optimizer.param_groups[0]["lr"] = rate_at(rate, step)
            for w, g in zip(weights, numpy_gradient([w.detach().numpy() for w in weights], step), strict=True):
                w.grad = torch.as_tensor(g, dtype=torch.float64)
            optimizer.step()
        return [w.detach().numpy() for w in weights]

    return trajectory


WARM = {"warmup_steps": 20, "r": 0.5}

CASES = [
    Case("ScheduleFreeSGD", from_authors("SGDScheduleFree")),
    Case("ScheduleFreeSGD", from_authors("SGDScheduleFree"), {"momentum": 0.7, **WARM}, "warmup"),
    Case("ScheduleFreeAdamW", from_authors("AdamWScheduleFree")),
    Case("ScheduleFreeAdamW", from_authors("AdamWScheduleFree"), {"beta_1": 0.95, **WARM}, "warmup"),
    Case("ScheduleFreeRAdam", from_authors("RAdamScheduleFree")),
    Case("ScheduleFreeRAdam", from_authors("RAdamScheduleFree"), {"silent_sgd_phase": False, "r": 1.0}, "loud"),
]

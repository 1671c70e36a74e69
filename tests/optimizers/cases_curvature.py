"""What `keras_dlopt.optimizers.curvature` is held against: pytorch-optimizer's rule, with the same estimates."""

import numpy as np
from references import Case, rate_at
from trajectories import NOISE, START, STEPS, numpy_gradient, second_gradient


def sophia(diagonal, gamma):
    """pytorch-optimizer's, run in float64; it has no gamma, which therefore goes into the estimates.

    Args:
        diagonal: the estimate from the second gradient.
        gamma: the default of ours.
    """

    def trajectory(rate, gamma=gamma, beta_1=0.965, beta_2=0.99, epsilon=1e-12, update_period=10, weight_decay=0.1):
        import torch
        from pytorch_optimizer import SophiaH

        weights = [torch.nn.Parameter(torch.tensor(w, dtype=torch.float64)) for w in START]
        arguments = {"betas": (beta_1, beta_2), "eps": epsilon, "weight_decay": weight_decay, "p": 1.0}
        optimizer = SophiaH(weights, lr=rate_at(rate, 0), update_period=update_period, foreach=False, **arguments)
        for step in range(STEPS):
            optimizer.param_groups[0]["lr"] = rate_at(rate, step)
            for w, g in zip(weights, numpy_gradient([w.detach().numpy() for w in weights], step), strict=True):
                w.grad = torch.as_tensor(np.asarray(g, "float64"))
            estimates = [diagonal(np.asarray(c, "float64")) for c in second_gradient(NOISE[step])]
            due = step % update_period == 0
            optimizer.step(hessian=[torch.as_tensor(gamma * e) for e in estimates] if due else None)
        return [w.detach().numpy() for w in weights]

    return trajectory


G, H = sophia(np.square, 0.04), sophia(np.asarray, 0.01)

# Where gamma times h is tiny a step is all but a sign, which float32 does not decide as float64 does: the defaults are
# compared in float64, in `test_curvature.py`.
CASES = [
    Case("SophiaG", G, {"gamma": 1.0, "epsilon": 0.05}),
    Case("SophiaG", G, {"gamma": 30.0, "update_period": 3, "epsilon": 0.1}, "unclipped"),
    Case("SophiaH", H, {"gamma": 1.0, "epsilon": 0.05}),
    Case("SophiaH", H, {"gamma": 30.0, "update_period": 3, "beta_2": 0.9, "epsilon": 0.1}, "unclipped"),
]

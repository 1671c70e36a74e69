"""Rates written down one by one."""

from keras import ops

from keras_dlopt.schedules.curves import since
from keras_dlopt.schedules.schedule import Lengths, Rates, Schedule, Steps


class PiecewiseConstant(Schedule):
    r"""The first rate before the first boundary, the second from it on, and so forth.

    With the rates $\eta_0 \dots \eta_n$ and the boundaries $b_1 < \dots < b_n$,

    $$\eta_t = \eta_i \quad\text{for}\quad b_i \le t < b_{i+1}, \qquad b_0 = 0,\; b_{n+1} = \infty$$

    Args:
        rates: numbers >= 0.
        boundaries: where the next rate begins, one fewer than rates, increasing: shares of the run in (0, 1), or
            steps.
        steps: length of the run in steps; needed where a boundary is a share.

    Source: as in torch's `MultiStepLR` and optax's `piecewise_constant_schedule`; Keras's `PiecewiseConstantDecay`
    changes one step later.

    Example:

    >>> schedule = PiecewiseConstant([0.1, 0.01, 0.001], [0.5, 0.75], steps=100)
    >>> [round(float(schedule(t)), 4) for t in (0, 49, 50, 75)]
    [0.1, 0.1, 0.01, 0.001]
    """

    rates: Rates
    boundaries: Lengths
    steps: Steps | None = None

    def __post_init__(self):
        super().__post_init__()
        self.check_boundaries("boundaries", len(self.rates) - 1)

    def rate(self, t):
        rate = self.rates[0] * ops.ones_like(since(t, 0))
        for boundary, after in zip(self.boundaries, self.rates[1:], strict=True):
            rate = ops.where(t < self.in_steps(boundary), rate, after)
        return rate
